"""The journal: what was reported is on disk, and what is on disk is read again, whatever happened to the file."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import RECORD_SCHEMA, CheckRecord, Diagnosis, ResultRecord
from grader.checking.versions import rules_hash
from grader.course import Exercise, Framework, Kind, Limits
from grader.grading import journal as journal_module
from grader.grading.journal import EarlierResults, Journal, JournalError, JournalKey, read_journal

ROOT = Path(__file__).resolve().parents[2]
RECORD = ResultRecord(
    student="ada",
    exercise="metrics/classification",
    status=SubmissionStatus.GRADED,
    checks=(
        CheckRecord("test_a", "It adds.", CheckOutcome.PASSED, 2.0, 2.0, True, seconds=0.1),
        CheckRecord("test_b", "It ends.", CheckOutcome.TIMEOUT, 0.0, 1.0, message="line\nbreak \udcff é 学 \x1b[0m"),
    ),
    diagnoses=(Diagnosis("unscaled", "no scaling", "Look at it.", "exact"),),
    notes=("cell 3 was left out",),
    output="printed\n",
    course_version="1.0",
    checks_hash="aa" * 32,
    submission_hash="bb" * 32,
    seed=7,
    environment={"python": "3.12.1", "numpy": "2.1"},
    max_points=3.0,
    seconds=0.25,
    source="submitted/ada/metrics/classification.ipynb",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "journal.jsonl"


def written(path: Path, *records: ResultRecord, fresh: bool = False) -> bytes:
    with Journal(path, fresh=fresh) as journal:
        for record in records:
            journal.append(record)
    return path.read_bytes()


def students(path: Path) -> list[str]:
    return [record.student for record in read_journal(path)]


def test_what_is_written_is_read_again(path: Path) -> None:
    others = replace(RECORD, student="bob", checks=(), diagnoses=(), notes=(), environment={})
    data = written(path, RECORD, others)
    assert list(read_journal(path)) == [RECORD, others]
    assert data.count(b"\n") == 2 and data.endswith(b"\n"), "one line a result"
    assert data.isascii(), "no terminal, editor or log stumbles over it"


def test_a_journal_that_is_not_there_is_empty(path: Path) -> None:
    assert list(read_journal(path)) == []
    assert written(path) == b""


def test_later_runs_go_on_below(path: Path) -> None:
    written(path, RECORD)
    written(path, replace(RECORD, student="bob"))
    assert students(path) == ["ada", "bob"]


def test_a_fresh_journal_forgets(path: Path) -> None:
    written(path, RECORD)
    written(path, replace(RECORD, student="bob"), fresh=True)
    assert students(path) == ["bob"]


@pytest.mark.parametrize("kept", [1, 10, 400, -2, -1])
def test_a_last_line_that_was_cut_is_dropped_and_written_below(path: Path, kept: int) -> None:
    data = written(path, RECORD, replace(RECORD, student="bob"))
    end = data.index(b"\n") + 1
    path.write_bytes(data[: end + kept] if kept > 0 else data[:kept])
    whole = ["ada", "bob"] if kept == -1 else ["ada"]  # only the line's end is missing
    assert students(path) == whole
    written(path, replace(RECORD, student="cleo"))
    assert students(path) == [*whole, "cleo"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"null",
        b"[]",
        b"{}",
        b'{"schema": 1}',
        b"\xff\xfe\x00",
        b"[" * 5000,
        b'{"schema": 1, "student": "x", "exercise": "y", "status": "no such status", "checks": [], "diagnoses": []}',
        json.dumps({**RECORD.to_dict(), "schema": RECORD_SCHEMA + 1}).encode(),
        json.dumps({**RECORD.to_dict(), "a new field": 1}).encode(),
        json.dumps({**RECORD.to_dict(), "checks": [1]}).encode(),
        json.dumps({**RECORD.to_dict(), "checks": None}).encode(),
        json.dumps({**RECORD.to_dict(), "status": None}).encode(),
        json.dumps({**RECORD.to_dict(), "environment": ["3.12"]}).encode(),
        json.dumps({**RECORD.to_dict(), "environment": {"python": ["3.12"]}}).encode(),
    ],
)
def test_lines_of_another_kind_are_passed_over(path: Path, line: bytes) -> None:
    data = written(path, RECORD)
    path.write_bytes(line + b"\n" + data + line + b"\n" + data)
    records = list(read_journal(path))
    assert records == [RECORD, RECORD]
    assert {JournalKey.of(record) for record in records} == {JournalKey.of(RECORD)}


def test_a_line_is_on_disk_before_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, folders = [], []

    def fsync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), path.parent.stat()):
            folders.append(path.exists())
            return
        assert os.path.samestat(os.fstat(descriptor), path.stat())
        synced.append(path.read_bytes())

    monkeypatch.setattr(journal_module.os, "fsync", fsync)
    with Journal(path) as journal:
        for number in range(3):
            journal.append(replace(RECORD, student=f"student-{number}"))
            assert len(synced) == number + 1, "not reported before it is safe"
            assert synced[-1].count(b"\n") == number + 1, "the whole line is written before it is made safe"
    assert folders == [True], "and so is the new file's name"


def test_threads_do_not_mix_their_lines(path: Path) -> None:
    long = replace(RECORD, output="x" * 20_000)
    with Journal(path) as journal:
        threads = [
            threading.Thread(target=lambda n=n: [journal.append(replace(long, student=f"{n}")) for _ in range(10)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(students(path)) == sorted(str(n) for n in range(8) for _ in range(10))


def test_a_full_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal_module.os, "fsync", fsync)
    with Journal(path) as journal, pytest.raises(JournalError, match="the disk is full") as caught:
        journal.append(RECORD)
    assert str(path) in str(caught.value)


def test_a_device_that_takes_nothing_is_told(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with Journal(path) as journal, pytest.raises(JournalError, match="the disk is full.*run the same command again"):
        journal.append(RECORD)


FILLS_UP = """
import resource, sys
from pathlib import Path
from dataclasses import replace
from grader.grading.journal import Journal, JournalError, read_journal

path, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
first = next(read_journal(path))
with Journal(path) as journal:
    try:
        journal.append(replace(first, student="too-much"))
    except JournalError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(replace(first, student="fits-again"))
"""


def test_of_a_line_that_did_not_fit_nothing_is_left(path: Path) -> None:
    line = written(path, RECORD)
    limit = len(line) + len(line) // 2  # the kernel takes half of the next line, and refuses the rest
    finished = subprocess.run(
        [sys.executable, "-c", FILLS_UP, str(path), str(limit)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "no file may grow that large" in finished.stdout and str(path) in finished.stdout
    data = path.read_bytes()
    assert data.startswith(line) and b"too-much" not in data
    assert data.count(b"\n") == 2 and students(path) == ["ada", "fits-again"]


def test_a_line_that_cannot_be_taken_back_is_not_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, *_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal(path) as journal:
        journal.append(RECORD)
        with monkeypatch.context() as broken:
            broken.setattr(journal_module.os, "ftruncate", refuse)
            broken.setattr(journal_module.os, "fsync", refuse)
            broken.setattr(journal_module, "_write_all", lambda file, data: os.write(file, data[:100]))
            with pytest.raises(JournalError, match="Input/output error"):
                journal.append(replace(RECORD, student="bob"))
        journal.append(replace(RECORD, student="cleo"))
    assert students(path) == ["ada", "cleo"]


def test_earlier_results_are_found_by_what_they_depend_on(path: Path) -> None:
    assert EarlierResults(path).get(JournalKey.of(RECORD)) is None
    better = replace(RECORD, output="the second time")
    others = [replace(RECORD, student=f"student-{number}", output="x" * number) for number in range(20)]
    data = written(path, RECORD, *others, better)
    path.write_bytes(data + b"cut off")
    earlier = EarlierResults(path)
    assert len(earlier) == 21
    assert earlier.get(JournalKey.of(RECORD)) == better, "the last one counts"
    assert [earlier.get(JournalKey.of(other)) for other in others] == others
    for change in CHANGES[1:]:
        assert earlier.get(JournalKey.of(replace(RECORD, **change))) is None
    written(path, replace(RECORD, student="later"))
    assert earlier.get(JournalKey.of(others[3])) == others[3], "places stay as they were when the journal grows"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="could not be written"):
        Journal(tmp_path / "file" / "journal.jsonl")
    (tmp_path / "folder" / "journal.jsonl").mkdir(parents=True)
    with pytest.raises(JournalError, match="could not be written"):
        Journal(tmp_path / "folder" / "journal.jsonl")
    with pytest.raises(JournalError, match="cannot be read"):
        list(read_journal(tmp_path / "folder" / "journal.jsonl"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(JournalError, match="you have no right to write there"):
            Journal(tmp_path / "journal.jsonl")
    finally:
        tmp_path.chmod(0o700)


CHANGES: list[dict[str, Any]] = [
    {"student": "bob"},
    {"exercise": "metrics/recall"},
    {"submission_hash": "cc" * 32},
    {"checks_hash": "cc" * 32},
    {"seed": 8},
    {"environment": {"python": "3.13.0", "numpy": "2.1"}},
    {"environment": {"python": "3.12.1"}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_what_a_result_depends_on_is_in_its_key(change: dict[str, Any]) -> None:
    assert JournalKey.of(replace(RECORD, **change)) != JournalKey.of(RECORD)


def test_what_a_result_does_not_depend_on_is_not(path: Path) -> None:
    other = replace(
        RECORD,
        status=SubmissionStatus.MISSING,
        checks=(),
        diagnoses=(),
        source="elsewhere.ipynb",
        seconds=9.0,
        environment={"numpy": "2.1", "python": "3.12.1"},
    )
    assert JournalKey.of(other) == JournalKey.of(RECORD)
    written(path, RECORD)
    assert JournalKey.of(next(read_journal(path))) == JournalKey.of(RECORD), "the same after a way through the file"


def test_other_rules_are_another_version_of_the_checks(tmp_path: Path) -> None:
    exercise = Exercise(tmp_path, "topic/one", "One", Kind.CODING, Framework.NUMPY, 1, 10, 3.0)
    for path in (exercise.checks_path, exercise.catalogue_path):
        path.parent.mkdir(parents=True)
        path.write_text("x = 1", encoding="utf-8")
    before = rules_hash(exercise)
    assert rules_hash(replace(exercise, title="Another title", minutes=20)) == before
    changed = [
        replace(exercise, forbidden=("math.hypot",)),
        replace(exercise, limits=Limits(seconds=1.0)),
        replace(exercise, points=4.0),
    ]
    hashes = {rules_hash(other) for other in changed}
    for path in (exercise.checks_path, exercise.catalogue_path):
        path.write_text("x = 2", encoding="utf-8")
        hashes.add(rules_hash(exercise))
    assert len(hashes | {before}) == 6
