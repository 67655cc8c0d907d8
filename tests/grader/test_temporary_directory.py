"""The engine's temporary directory: gone with its grader, one way or the other, and never anybody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from grader.grading import temporary_directory
from grader.grading.temporary_directory import TemporaryDirectory, TemporaryDirectoryError

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 2**20
USES_ONE = """
import time
from grader.grading.temporary_directory import TemporaryDirectory

directory = TemporaryDirectory()
student = directory.for_a_student(1)
deep = student / "deep" / "deeper"
deep.mkdir(parents=True)
(deep / "file").write_text("x")
deep.chmod(0)
(directory.path / "first.log").write_text("x")
print(directory.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_it_goes_with_its_grader(place: Path) -> None:
    directory = TemporaryDirectory()
    assert directory.path.parent == place and directory.path.stat().st_mode & 0o777 == 0o700
    student = directory.for_a_student(MEGABYTE)
    (student / "file").write_text("x")
    assert student.parent == directory.path
    directory.take_back(student)
    assert not student.exists()
    directory.for_a_student(MEGABYTE)
    directory.close()
    assert names(place) == set()
    directory.close()
    with pytest.raises(TemporaryDirectoryError, match="the engine is closed"):
        directory.for_a_student(MEGABYTE)


def test_what_a_killed_grader_left_is_removed_by_the_next_and_a_living_ones_stays(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-c", USES_ONE]
    both = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        lines = [process.stdout.readline() for process in both if process.stdout is not None]
        dead, living = (Path(line.strip()) for line in lines)
        both[0].kill()
        both[0].wait()
        assert dead.is_dir(), "killed, it could not tidy up"
        next_one = TemporaryDirectory()
        assert names(place) == {living.name, next_one.path.name}
        assert (living / "first.log").exists()
        next_one.close()
        assert names(place) == {living.name}
    finally:
        for process in both:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    TemporaryDirectory().close()
    assert names(place) == set()


def test_what_is_not_a_graders_is_left_alone(place: Path) -> None:
    """Folders without the owner's file, files, links, and other names."""
    outside = place / "outside"
    outside.mkdir()
    (outside / "owner").write_text("")
    (place / "course-notes").mkdir()
    (place / "course-file").write_text("x")
    (place / "course-link").symlink_to(outside)
    (place / "course-linked-owner").mkdir()
    (place / "course-linked-owner" / "owner").symlink_to(outside / "owner")
    before = names(place)
    TemporaryDirectory().close()
    assert names(place) == before and (outside / "owner").exists()


def test_a_link_in_what_was_left_is_removed_and_not_followed(place: Path) -> None:
    outside = place / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    left = place / "course-left"
    left.mkdir()
    (left / "owner").write_text("")
    (left / "link").symlink_to(outside)
    TemporaryDirectory().close()
    assert names(place) == {"outside"} and (outside / "kept").exists()


def test_without_room_a_submission_waits_for_others_and_with_none_to_wait_for_grading_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = [150 * MEGABYTE]
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(temporary_directory.shutil, "disk_usage", lambda path: usage(0, 0, free[0]))
    directory = TemporaryDirectory()
    both = [directory.for_a_student(64 * MEGABYTE) for _ in range(2)]
    third: list[Path] = []
    waiting = threading.Thread(target=lambda: third.append(directory.for_a_student(64 * MEGABYTE)))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive() and not third, "three times 64 MB are more than there is"
    directory.take_back(both[0])
    waiting.join(10)
    assert third and third[0].is_dir()
    free[0] = 63 * MEGABYTE
    for path in (both[1], third[0]):
        directory.take_back(path)
    with pytest.raises(TemporaryDirectoryError) as caught:
        directory.for_a_student(64 * MEGABYTE)
    for part in (str(directory.path.parent), "63 MB are free", "64 MB", "TMPDIR", "run the same command again"):
        assert part in str(caught.value)
    directory.close()


def test_one_that_waits_for_room_is_let_go_when_the_engine_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(temporary_directory.shutil, "disk_usage", lambda path: usage(0, 0, 1))
    directory = TemporaryDirectory()
    directory.for_a_student(1)
    errors: list[Exception] = []

    def wait() -> None:
        try:
            directory.for_a_student(1)
        except TemporaryDirectoryError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    directory.close()
    waiting.join(10)
    assert len(errors) == 1


def test_a_place_that_cannot_be_used_is_told(place: Path) -> None:
    directory = TemporaryDirectory()
    shutil.rmtree(directory.path)
    with pytest.raises(TemporaryDirectoryError, match=r"cannot be used: No such file or directory\. .*TMPDIR"):
        directory.for_a_student(1)
    directory.close()
