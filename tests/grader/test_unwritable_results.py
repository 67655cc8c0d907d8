"""Results that something keeps from being written: the rest is, nothing is graded again, and no file is ever half."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from grader.course import load_course
from grader.gradebook.files import partial_path, remove_partial_files, write_text
from grader.gradebook.made_meanwhile import made_meanwhile
from grader.gradebook.nbgrader_connection import open_gradebook
from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID
from grader.grading.class_grading import ClassResult, ClassRun, grade_class
from grader.grading.journal import JOURNAL_NAME
from grader.grading.unwritable import ResultsNotWritten
from grader.sandbox.confinement import missing_protections
from tests.grader import waiting

pytest.importorskip("nbgrader")

ROOT = Path(__file__).resolve().parents[2]
COURSE = load_course(ROOT)
SAMPLE = ROOT / "tests/sample_class/submitted"
EXERCISE = "metrics/classification"
STUDENTS = ("student-01", "student-02")

pytestmark = pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")
eventually = partial(waiting.eventually, seconds=30.0)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two submissions and the results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("class")
    for student in STUDENTS:
        path = folder / "submitted" / student / f"{EXERCISE}.ipynb"
        path.parent.mkdir(parents=True)
        shutil.copy(SAMPLE / student / f"{EXERCISE}.ipynb", path)
    result = run(folder)
    assert (result.reused, len(result.records)) == (0, len(STUDENTS)) and result.gradebook
    return folder


@pytest.fixture
def folder(graded: Path, tmp_path: Path) -> Path:
    """The same with nothing but the journal and the gradebook left of the results."""
    shutil.copytree(graded / "submitted", tmp_path / "submitted")
    (tmp_path / "results").mkdir()
    for name in (JOURNAL_NAME, "gradebook.db"):
        shutil.copy(graded / "results" / name, tmp_path / "results")
    return tmp_path


def run(folder: Path) -> ClassResult:
    exercises = tuple(COURSE.select([EXERCISE]))
    return grade_class(ClassRun(COURSE, folder / "submitted", folder / "results", exercises))


def assert_all_but_the_gradebook(folder: Path, result: ClassResult) -> str:
    """The note about the gradebook."""
    results = folder / "results"
    assert result.reused == len(STUDENTS) and result.gradebook == ""
    assert {"grades.csv", "checks.csv", "results.jsonl", "report.html"} <= {path.name for path in results.iterdir()}
    assert len(list((results / "feedback").rglob("*.html"))) == len(STUDENTS)
    (note,) = (note for note in result.notes if note.startswith("The gradebook was not written"))
    return note


def scores(database: Path) -> dict[str, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{database}") as gradebook:
        return {submission.student.id: submission.score for submission in gradebook.assignment_submissions("metrics")}


def test_a_gradebook_that_formgrader_keeps_locked(folder: Path, graded: Path) -> None:
    database = folder / "results" / "gradebook.db"
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        note = assert_all_but_the_gradebook(folder, run(folder))
    finally:
        other.close()
    assert str(database) in note and "locked by another program" in note and "formgrader" in note
    result = run(folder)
    assert result.reused == len(STUDENTS) and result.gradebook
    assert scores(database) == scores(graded / "results" / "gradebook.db")


def test_a_gradebook_that_is_no_database(folder: Path, graded: Path) -> None:
    database = folder / "results" / "gradebook.db"
    text = "my notes on the class\n" * 100
    database.write_text(text)
    note = assert_all_but_the_gradebook(folder, run(folder))
    assert str(database) in note and "not an SQLite database" in note
    assert database.read_text() == text, "whatever it is, it is somebody's"
    database.unlink()
    assert run(folder).reused == len(STUDENTS)
    assert scores(database) == scores(graded / "results" / "gradebook.db")


def test_one_report_in_the_way_does_not_keep_the_others_from_being_written(folder: Path) -> None:
    results = folder / "results"
    before = (results / JOURNAL_NAME).read_bytes()
    (results / "feedback").write_text("a file where the folder should be")
    (results / "report.html").mkdir()
    with pytest.raises(ResultsNotWritten) as caught:
        run(folder)
    for part in (f"{results / 'feedback'} could not be", f"{results / 'report.html'} could not be", "same command"):
        assert part in str(caught.value)
    assert (results / "grades.csv").exists() and (results / "results.jsonl").exists()
    assert (results / JOURNAL_NAME).read_bytes() == before
    (results / "feedback").unlink()
    (results / "report.html").rmdir()
    assert run(folder).reused == len(STUDENTS)
    assert (results / "report.html").is_file() and (results / "feedback").is_dir()


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_half_written_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    dead = dead_process()
    below = tmp_path / "feedback" / "ada"
    below.mkdir(parents=True)
    left = [below / f".page.html.{dead}.part", tmp_path / f".gradebook.db.{dead}.part-journal"]
    kept = [partial_path(below / "page.html"), tmp_path / f"page.{dead}.part", tmp_path / ".part"]
    for path in (*left, *kept):
        path.write_text("half")
    remove_partial_files(tmp_path)
    assert [path.exists() for path in left] == [False] * 2 and all(path.exists() for path in kept)


WRITES = """
import sys
from pathlib import Path
from grader.gradebook.files import write_text

while True:
    for letter in "ab":
        write_text(Path(sys.argv[1]), letter * 3_000_000)
"""


def test_whenever_a_writer_is_killed_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for moment in (0.0, 0.013, 0.027):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", WRITES, str(path)], cwd=ROOT)
        assert eventually(path.exists)
        time.sleep(moment)
        writer.kill()
        writer.wait()
        text = path.read_text()
        assert len(text) == 3_000_000 and len(set(text)) == 1
        remove_partial_files(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    write_text(path, "old")
    script = (
        "import resource, sys; from pathlib import Path; from grader.gradebook.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_text(Path(sys.argv[1]), 'new' * 1000)"
    )
    finished = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 1 and "File too large" in finished.stderr
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


MAKES_A_GRADEBOOK = """
import sys
from grader.gradebook.nbgrader_connection import open_gradebook
with open_gradebook(sys.argv[1], "default_course"):
    pass
"""


def test_a_gradebook_whose_making_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    """nbgrader writes the version of its tables last; a database without it could not be brought up to date."""
    database = tmp_path / "gradebook.db"
    url = f"sqlite:///{database}"
    maker = subprocess.Popen([sys.executable, "-c", MAKES_A_GRADEBOOK, url], cwd=ROOT, env={**os.environ, "PATH": ""})

    def has_tables() -> bool:
        return any(path.stat().st_size > 50_000 for path in tmp_path.glob(".gradebook.db.*.part"))

    assert eventually(has_tables, seconds=60)
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    assert not database.exists(), "not before it is whole"
    remove_partial_files(tmp_path)
    assert not list(tmp_path.iterdir())
    with open_gradebook(url, DEFAULT_COURSE_ID):
        pass
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    assert [path.name for path in tmp_path.iterdir()] == ["gradebook.db"]


def test_a_run_that_fails_leaves_no_gradebook_half_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk is full"), made_meanwhile(f"sqlite:///{tmp_path / 'gradebook.db'}"):
        raise OSError("the disk is full")
    assert [path.name for path in tmp_path.iterdir()] == ["gradebook.db"]
    with sqlite3.connect(tmp_path / "gradebook.db") as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
