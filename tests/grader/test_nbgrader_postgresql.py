"""nbgrader's gradebook on a real PostgreSQL server, which is started here and reached by its socket."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from grader.checking.record import ResultRecord
from grader.course import Course, Limits
from grader.gradebook import nbgrader_connection
from grader.gradebook.errors import GradebookError
from grader.gradebook.nbgrader_database import write_gradebook
from tests.grader.test_nbgrader_database import FAILED, PASSED, course, grade, hand_in, masks, softmax, softmax_cells

pytest.importorskip("nbgrader")
pytest.importorskip("psycopg")
pgserver = pytest.importorskip("pgserver")

__all__ = ["course"]  # a fixture

PASSWORD = "se cret/@:word"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    try:
        started = pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="stop")
    except Exception as error:  # the package has no server for this machine
        pytest.skip(f"no PostgreSQL server can be started here: {error}")
    yield started
    started.cleanup()


@pytest.fixture(scope="module")
def empty_gradebook(server: Any) -> str:
    """The name of a database with nbgrader's tables and nothing in them, which take seconds to make."""
    server.psql("create database empty_gradebook;")
    nobody = Course(Path("none"), "demo", "Demo", "1.0", Limits(), (), (), ())
    write_gradebook(nobody, [], server.get_uri(database="empty_gradebook"))
    return "empty_gradebook"


@pytest.fixture
def database(server: Any, empty_gradebook: str, request: pytest.FixtureRequest) -> str:
    """The URL of a new gradebook with nothing in it, named after the test."""
    name = request.node.name[:60]
    server.psql(f'create database "{name}" template {empty_gradebook};')
    uri: str = server.get_uri(database=name)
    assert uri.startswith("postgresql://"), "the form that libpq and this course's help name"
    return uri


@pytest.fixture
def no_tables(server: Any) -> str:
    """The URL of a database without any table."""
    server.psql("create database no_tables;")
    uri: str = server.get_uri(database="no_tables")
    return uri


def opened(database: str) -> Any:
    from nbgrader.api import Gradebook

    return Gradebook(database.replace("postgresql://", "postgresql+psycopg://"))


def test_scores_comments_and_written_answers_are_in_the_database(course: Course, database: str, tmp_path: Path) -> None:
    path = hand_in(tmp_path / "class", "Zoë Å", "softmax", softmax_cells("Because it saturates. \x00 \ud800"))
    (path.parent / "timestamp.txt").write_text("2025-03-04 12:05:00.5 UTC")
    records = [softmax("Zoë Å", failure="expected 1, \x00 got \ud800 2", source=str(path)), masks("bob", FAILED)]
    report = write_gradebook(course, records, database, course_directory=tmp_path / "class")
    assert (report.students, report.submissions, report.waiting, report.notes) == (2, 2, 1, [])
    with opened(database) as gradebook:
        zoe = gradebook.find_submission("attention", "Zoë Å")
        assert (zoe.score, zoe.max_score, zoe.needs_manual_grade) == (3.0, 16.0, True)
        assert zoe.timestamp.isoformat() == "2025-03-04T12:05:00.500000"
        assert grade(gradebook, "test_rows", "Zoë Å").auto_score == 2.0
        assert "expected 1" in gradebook.find_comment("solution", "softmax", "attention", "Zoë Å").comment
    assert (tmp_path / "class/autograded/Zoë Å/attention/softmax.ipynb").is_file()


def test_a_rerun_keeps_what_a_person_wrote(course: Course, database: str, tmp_path: Path) -> None:
    source = str(hand_in(tmp_path, "ada", "softmax", softmax_cells("Because it saturates.")))
    write_gradebook(course, [softmax("ada", source=source)], database, course_directory=tmp_path)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        answer.manual_score, answer.extra_credit, answer.needs_manual_grade = 3.5, 0.5, False
        gradebook.find_comment("answer", "softmax", "attention", "ada").manual_comment = "Good."
        gradebook.db.commit()
    write_gradebook(course, [softmax("ada", range_=PASSED, source=source)], database, course_directory=tmp_path)
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        assert (answer.manual_score, answer.extra_credit, answer.needs_manual_grade) == (3.5, 0.5, False)
        assert gradebook.find_comment("answer", "softmax", "attention", "ada").comment == "Good."
        assert gradebook.find_submission("attention", "ada").score == 1 + 2 + 3 + 3.5 + 0.5


def test_several_writers_at_once_write_everything_once(course: Course, no_tables: str, tmp_path: Path) -> None:
    """Each finds an empty database at first, and they share some students and the tables themselves."""
    database = no_tables
    names = [f"student-{number:02}" for number in range(60)]
    records: list[list[ResultRecord]] = [[softmax(name) for name in names[start : start + 30]] for start in (0, 15, 30)]
    with ThreadPoolExecutor(len(records)) as executor:
        jobs = [
            executor.submit(write_gradebook, course, part, database, course_directory=tmp_path / str(number))
            for number, part in enumerate(records)
        ]
        assert [job.result().submissions for job in jobs] == [30, 30, 30]
    with opened(database) as gradebook:
        assert sorted(student.id for student in gradebook.students) == names
        assert len(gradebook.assignment_submissions("attention")) == 60
        assert {submission.score for submission in gradebook.assignment_submissions("attention")} == {3.0}


def test_what_formgrader_writes_meanwhile_is_not_lost(course: Course, database: str, tmp_path: Path) -> None:
    source = str(hand_in(tmp_path, "ada", "softmax", softmax_cells("Because it saturates.")))
    write_gradebook(course, [softmax("ada", source=source)], database, course_directory=tmp_path)
    with opened(database) as gradebook, ThreadPoolExecutor(1) as executor:
        grade(gradebook, "answer", "ada").manual_score = 4.0
        grade(gradebook, "answer", "ada").needs_manual_grade = False
        gradebook.db.flush()  # written, and not yet committed: the row is locked
        again = [softmax("ada", range_=PASSED, source=source)]
        other = executor.submit(write_gradebook, course, again, database, course_directory=tmp_path)
        with pytest.raises(TimeoutError):
            other.result(timeout=1.0)
        gradebook.db.commit()
        other.result()
    with opened(database) as gradebook:
        answer = grade(gradebook, "answer", "ada")
        assert (answer.manual_score, answer.needs_manual_grade) == (4.0, False)
        assert grade(gradebook, "test_range", "ada").auto_score == 3.0


def test_errors_of_the_server_say_what_to_do_and_hide_the_password(course: Course, database: str) -> None:
    socket = database.rpartition("host=")[2]
    user = f"postgres:{quote(PASSWORD, safe='')}@"
    wrong = {
        f"postgresql://{user}/nothing?host={socket}": r"does not exist.*createdb",
        f"postgresql://{user}127.0.0.1:1/postgres": r"cannot be reached. Check host and port",
        f"postgresql://{user}/postgres?host={socket}/none": r"cannot be reached. Check the folder of the socket",
        f"postgresql://127.0.0.1:1/postgres?user=me&password={quote(PASSWORD, safe='')}": r"cannot be reached",
        f"postgresql://{user}127.0.0.1:port/postgres": r"is not a database's URL",
        f"postgresql+none://{user}127.0.0.1/postgres": r"could not be written",
    }
    for url, message in wrong.items():
        with pytest.raises(GradebookError, match=message) as error:
            write_gradebook(course, [softmax("ada")], url)
        assert PASSWORD not in str(error.value) and quote(PASSWORD, safe="") not in str(error.value), url
        assert "***" in str(error.value) or "%2A%2A%2A" in str(error.value)


def test_a_user_without_rights_is_told_so(course: Course, server: Any, database: str) -> None:
    server.psql("create user reader;")
    with pytest.raises(GradebookError, match=r"permission denied.*right to create tables"):
        write_gradebook(course, [softmax("ada")], database.replace("postgres:@", "reader@"))
    with opened(database) as gradebook:
        assert gradebook.students == []


def test_a_missing_driver_names_the_extra(
    course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nbgrader_connection.importlib.util, "find_spec", lambda name: None)
    for module in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GradebookError, match=r'driver psycopg, which is not installed; run: .*"\.\[postgresql\]"'):
        write_gradebook(course, [softmax("ada")], "postgresql://me:secret@localhost/grades")


def test_a_late_penalty_is_written_there_too(course: Course, database: str, tmp_path: Path) -> None:
    (course.root / "nbgrader_config.py").write_text(
        "c = get_config()\nc.LateSubmissionPlugin.penalty_method = 'zero'\n"
    )
    path = hand_in(tmp_path, "ada", "softmax", softmax_cells("Because it saturates."))
    (path.parent / "timestamp.txt").write_text("2026-01-12 12:00:00 UTC")
    with opened(database) as gradebook:
        gradebook.add_assignment("attention", duedate="2026-01-10 12:00:00 UTC")
    report = write_gradebook(course, [softmax("ada", source=str(path))], database, course_directory=tmp_path)
    assert [(late.student, late.score, late.penalty) for late in report.late] == [("ada", 3.0, 3.0)]
    with opened(database) as gradebook:
        submission = gradebook.find_submission("attention", "ada")
        assert (submission.score, submission.late_submission_penalty) == (3.0, 3.0)
