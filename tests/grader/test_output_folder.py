"""One grader at a time in an output folder, and no lock outlives the process that held it."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from grader.grading import output_folder
from grader.grading.output_folder import LOCK_NAME, OutputFolderError, OutputFolderInUse, claim

ROOT = Path(__file__).resolve().parents[2]
HOLDS_IT = """
import sys, time
from pathlib import Path
from grader.grading.output_folder import claim

with claim(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_claim_is_refused_until_the_first_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "results"
    with claim(folder) as locked:
        assert locked
        with pytest.raises(OutputFolderInUse, match=f"{folder} is in use: process {os.getpid()} on "), claim(folder):
            pass
        with claim(tmp_path / "elsewhere"):
            pass
    with claim(folder):
        pass


def test_the_lock_of_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS_IT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"ready\n"
        with pytest.raises(OutputFolderInUse) as caught, claim(tmp_path):
            pass
        assert f"process {holder.pid} on {socket.gethostname()}, since 20" in str(caught.value)
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / LOCK_NAME).exists()
    with claim(tmp_path) as locked:
        assert locked and f'"process": {os.getpid()}' in (tmp_path / LOCK_NAME).read_text()


@pytest.mark.parametrize("said", ["", "{}", "no json", "[" * 3000, '{"process": "x", "host": 1, "since": 2}', "\udcff"])
def test_a_lock_file_that_says_nothing_useful_still_locks(tmp_path: Path, said: str) -> None:
    with claim(tmp_path):
        (tmp_path / LOCK_NAME).write_bytes(said.encode("utf-8", "surrogateescape"))
        with pytest.raises(OutputFolderInUse, match="is in use: another process is grading"), claim(tmp_path):
            pass


def test_what_is_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match="file.* could not be written"), claim(tmp_path / "file"):
        pass
    (tmp_path / "other").write_text("kept")
    (tmp_path / LOCK_NAME).symlink_to("other")
    with pytest.raises(OutputFolderError, match=r"\.lock could not be written"), claim(tmp_path):
        pass
    assert (tmp_path / "other").read_text() == "kept"


def test_a_file_system_without_locks_is_used_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(output_folder.fcntl, "flock", flock)
    with claim(tmp_path) as locked:
        assert not locked
