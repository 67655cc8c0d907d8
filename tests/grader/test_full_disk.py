"""`course grade` where there is no room or no right to write: nothing is lost, and the same command goes on.

The small disks and the read-only folders are real ones, mounted for one command alone.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course import load_course
from grader.gradebook.nbgrader_database import write_gradebook
from grader.grading.journal import JOURNAL_NAME, read_journal

pytest.importorskip("nbgrader")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "tests/sample_class/submitted/student-01/metrics/classification.ipynb"
TALKS = {"cell_type": "code", "execution_count": 1, "id": "talks", "metadata": {}, "outputs": []}
STUDENTS = 6
UNSHARE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
ON_A_SMALL_DISK = """
disk=$1; size=$2; kept=$3; shift 3
mount -t tmpfs -o size="$size" none "$disk" && cp -r "$kept/." "$disk" || exit 99
"$@"
status=$?
cp -r "$disk/." "$kept"
exit $status
"""
ON_A_READ_ONLY_ONE = """
folder=$1; shift
mount --bind "$folder" "$folder" && mount -o remount,ro,bind "$folder" || exit 99
exec "$@"
"""


def _can_mount() -> bool:
    try:
        command = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _can_mount(), reason="this user may not mount a small disk (unshare -m)")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six right notebooks that print 30 kB each, so that every line of the journal is a long one."""
    folder = tmp_path_factory.mktemp("class") / "submitted"
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    notebook["cells"].append(dict(TALKS))
    for number in range(STUDENTS):
        notebook["cells"][-1]["source"] = f"print('x' * 30_000)  # {number}"
        path = folder / f"student-{number}" / "metrics" / "classification.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def empty_gradebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nbgrader takes seconds to make a gradebook, so it is made once and copied."""
    file = tmp_path_factory.mktemp("empty") / "gradebook.db"
    write_gradebook(load_course(ROOT), [], f"sqlite:///{file}")
    return file


@pytest.fixture(scope="module")
def graded(submitted: Path, empty_gradebook: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("graded") / "results"
    output.mkdir()
    shutil.copy(empty_gradebook, output / "gradebook.db")
    assert finish(command(submitted, output)).returncode == 0
    return output


def command(submitted: Path, output: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "grader.cli", "grade", str(submitted), "--output", str(output), "--json", *options]


def finish(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False)


def on_a_small_disk(disk: Path, size: str, kept: Path, command: list[str], **environment: str):
    """Run a command with a disk of that size at `disk`, which begins and ends with what is in `kept`."""
    for folder in (disk, kept):
        folder.mkdir(exist_ok=True)
    return finish([*UNSHARE, "sh", "-c", ON_A_SMALL_DISK, "sh", str(disk), size, str(kept), *command], **environment)


def students_in(journal: Path) -> list[str]:
    return sorted(record.student for record in read_journal(journal))


EVERYBODY = [f"student-{number}" for number in range(STUDENTS)]


def test_a_disk_that_is_full_at_the_journal(submitted: Path, empty_gradebook: Path, tmp_path: Path) -> None:
    shutil.copy(empty_gradebook, tmp_path / "gradebook.db")
    database = ("--db", f"sqlite:///{tmp_path / 'gradebook.db'}")
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    stopped = on_a_small_disk(disk, "160k", kept, command(submitted, disk, *database))
    assert (stopped.returncode, stopped.stdout) == (2, ""), stopped.stderr
    assert f"{disk / JOURNAL_NAME} could not be written: the disk is full" in stopped.stderr
    assert "run the same command again" in stopped.stderr and "Traceback" not in stopped.stderr
    graded = students_in(kept / JOURNAL_NAME)
    assert 0 < len(graded) < STUDENTS
    data = (kept / JOURNAL_NAME).read_bytes()
    assert data.endswith(b"\n") and data.count(b"\n") == len(graded), "no half a line"
    assert not (kept / "report.html").exists()

    again = finish(command(submitted, kept, *database))  # with room
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["reused"] == len(graded)
    assert students_in(kept / JOURNAL_NAME) == EVERYBODY, "nobody is graded twice"


def test_a_disk_that_is_full_at_the_reports(submitted: Path, graded: Path, tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    kept.mkdir()
    shutil.copy(graded / JOURNAL_NAME, kept)
    before = (kept / JOURNAL_NAME).read_bytes()
    shutil.copy(graded / "gradebook.db", tmp_path)
    size = f"{len(before) // 1024 + 100}k"
    options = ("--db", f"sqlite:///{tmp_path / 'gradebook.db'}")
    stopped = on_a_small_disk(disk, size, kept, command(submitted, disk, *options))
    assert (stopped.returncode, stopped.stdout) == (2, ""), stopped.stderr
    assert f"{disk / 'results.jsonl'} could not be written: the disk is full" in stopped.stderr
    assert "run the same command again" in stopped.stderr and "Traceback" not in stopped.stderr
    assert (kept / JOURNAL_NAME).read_bytes() == before
    assert (kept / "grades.csv").read_bytes() == (graded / "grades.csv").read_bytes(), "what fits is written, whole"
    assert not list(kept.rglob("*.part"))
    for page in kept.rglob("*.html"):
        assert page.read_text().rstrip().endswith("</html>"), "no half a page"


def test_a_full_disk_for_temporary_files(submitted: Path, tmp_path: Path) -> None:
    disk, output = tmp_path / "disk", tmp_path / "results"
    stopped = on_a_small_disk(disk, "20m", tmp_path / "kept", command(submitted, output), TMPDIR=str(disk))
    assert (stopped.returncode, stopped.stdout) == (2, ""), stopped.stderr
    assert f"the temporary directory {disk} is on a full disk" in stopped.stderr and "TMPDIR" in stopped.stderr
    assert students_in(output / JOURNAL_NAME) == [], "no submission is blamed for it"
    assert not list((tmp_path / "kept").iterdir())


def test_a_gradebook_that_is_read_only(submitted: Path, graded: Path, empty_gradebook: Path, tmp_path: Path) -> None:
    """Everything else is written, and the next run writes it without grading anything again."""
    output, place = tmp_path / "results", tmp_path / "read-only"
    output.mkdir()
    place.mkdir()
    shutil.copy(graded / JOURNAL_NAME, output)
    shutil.copy(empty_gradebook, place / "gradebook.db")
    grade = command(submitted, output, "--db", f"sqlite:///{place / 'gradebook.db'}")
    first = finish([*UNSHARE, "sh", "-c", ON_A_READ_ONLY_ONE, "sh", str(place), *grade])
    assert first.returncode == 1, first.stderr
    answer = json.loads(first.stdout)
    assert answer["gradebook"] == "" and any("gradebook.db is read-only" in note for note in answer["notes"])
    assert (output / "grades.csv").read_bytes() == (graded / "grades.csv").read_bytes()
    assert (output / "report.html").exists() and len(list(output.rglob("feedback/**/*.html"))) == STUDENTS

    second = finish(grade)
    assert second.returncode == 0, second.stderr
    answer = json.loads(second.stdout)
    assert answer["reused"] == STUDENTS and answer["gradebook"].endswith("gradebook.db")


def test_a_disk_that_is_full_at_the_gradebook(
    submitted: Path, graded: Path, empty_gradebook: Path, tmp_path: Path
) -> None:
    output, disk, kept = tmp_path / "results", tmp_path / "disk", tmp_path / "kept"
    for folder in (output, kept):
        folder.mkdir()
    shutil.copy(graded / JOURNAL_NAME, output)
    shutil.copy(empty_gradebook, kept / "gradebook.db")
    size = f"{empty_gradebook.stat().st_size // 1024 + 12}k"
    grade = command(submitted, output, "--db", f"sqlite:///{disk / 'gradebook.db'}")
    finished = on_a_small_disk(disk, size, kept, grade)
    assert finished.returncode == 1, finished.stderr
    answer = json.loads(finished.stdout)
    assert answer["gradebook"] == "" and answer["reused"] == STUDENTS
    (note,) = (note for note in answer["notes"] if "The gradebook was not written" in note)
    assert str(disk / "gradebook.db") in note and "disk is full" in note
    assert (output / "report.html").exists()
    with sqlite3.connect(kept / "gradebook.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM submitted_assignment").fetchone() == (0,), "no half a batch"


def test_an_output_folder_that_is_read_only(submitted: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    output.mkdir()
    stopped = finish([*UNSHARE, "sh", "-c", ON_A_READ_ONLY_ONE, "sh", str(output), *command(submitted, output)])
    assert (stopped.returncode, stopped.stdout) == (2, ""), stopped.stderr
    assert str(output) in stopped.stderr and "the file system is read-only" in stopped.stderr
    assert "--output" in stopped.stderr and "Traceback" not in stopped.stderr
