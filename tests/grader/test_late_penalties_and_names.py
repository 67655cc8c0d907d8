"""What reports take from nbgrader's gradebook: late penalties, as its own step would have written them, and names."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from grader.course import Course
from grader.gradebook.csv_export import write_csv
from grader.gradebook.errors import GradebookError
from grader.gradebook.feedback import write_feedback
from grader.gradebook.late_penalties import LateSubmission, write_late_table
from grader.gradebook.nbgrader_database import write_gradebook
from tests.grader.test_nbgrader_database import (
    PASSED,
    course,
    database,
    empty_gradebook,
    grade,
    hand_in,
    masks,
    no_database,
    opened,
    softmax,
    softmax_cells,
)

pytest.importorskip("nbgrader")

__all__ = ["course", "database", "empty_gradebook", "no_database"]  # fixtures

TENTH_A_DAY = """
from nbgrader.plugins import LateSubmissionPlugin

class TenthADay(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        if student_id == "broken":
            raise RuntimeError("half an edit")
        return score * 0.1 * (total_seconds_late / 86400)

c.AssignLatePenalties.plugin_class = TenthADay
"""
SETTINGS = {
    "none": "",
    "zero": "c.LateSubmissionPlugin.penalty_method = 'zero'",
    "a tenth a day": TENTH_A_DAY,
    "more than there is": TENTH_A_DAY.replace("0.1", "99"),
    "less than nothing": TENTH_A_DAY.replace("0.1", "-1"),
}


def configure(course: Course, text: str) -> None:
    (course.root / "nbgrader_config.py").write_text(f"c = get_config()\n{text}\n")


def submit(tmp_path: Path, student: str, time: str, slug: str = "softmax") -> str:
    path = hand_in(tmp_path / "handed in", student, slug, softmax_cells("My answer."))
    (path.parent / "timestamp.txt").write_text(time)
    return str(path)


def set_due(database: str, due: str) -> None:
    with opened(database) as gradebook:
        gradebook.update_or_create_assignment("attention", duedate=due)


def nbgraders_own(course: Course, database: str, student: str, notebook: str = "softmax") -> float | None:
    """What nbgrader's own step writes for a notebook."""
    from nbformat.v4 import new_notebook
    from nbgrader.preprocessors import AssignLatePenalties

    from grader.gradebook.nbgrader_settings import read_settings

    names = {"notebook": notebook, "assignment": "attention", "student": student, "db_url": database}
    AssignLatePenalties(config=read_settings(course.root)).preprocess(new_notebook(), {"nbgrader": names})
    return penalty(database, student, notebook)


def penalty(database: str, student: str, notebook: str = "softmax") -> Any:
    with opened(database) as gradebook:
        return gradebook.find_submission_notebook(notebook, "attention", student).late_submission_penalty


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_penalty_is_the_one_that_nbgrader_would_have_written(
    course: Course, database: str, tmp_path: Path, settings: str
) -> None:
    configure(course, SETTINGS[settings])
    set_due(database, "2026-01-10 12:00:00 UTC")
    records = [
        softmax("ada", source=submit(tmp_path, "ada", "2026-01-10 11:59:59 UTC")),
        softmax("bob", range_=PASSED, source=submit(tmp_path, "bob", "2026-01-12 12:00:00 UTC")),  # two days late
        masks("bob", source=submit(tmp_path, "bob", "2026-01-12 12:00:00 UTC", "masks")),
        softmax("cyd", source=submit(tmp_path, "cyd", "2026-02-10 12:00:00 UTC")),
    ]
    write_gradebook(course, records, database)
    with opened(database) as gradebook:  # points given by a person and extra credit count, too
        grade(gradebook, "answer", "bob").manual_score = 4.0
        grade(gradebook, "answer", "bob").extra_credit = 1.0
        gradebook.find_submission("attention", "cyd").extension = timedelta(days=31)  # a whole month more
        gradebook.db.commit()
    report = write_gradebook(course, records, database)
    for student, notebook in (("ada", "softmax"), ("bob", "softmax"), ("bob", "masks"), ("cyd", "softmax")):
        ours = penalty(database, student, notebook)
        assert ours == nbgraders_own(course, database, student, notebook), (student, notebook)
    assert sorted((late.student, late.exercise, late.seconds_late) for late in report.late) == [
        ("bob", "attention/masks", 172_800.0),
        ("bob", "attention/softmax", 172_800.0),
    ]
    expected = {
        "none": 0.0,
        "zero": 11.0,
        "a tenth a day": 11.0 * 0.2,
        "more than there is": 11.0,
        "less than nothing": 0.0,
    }
    softmax_of_bob = next(late for late in report.late if late.exercise == "attention/softmax")
    assert softmax_of_bob.score == 11.0
    assert softmax_of_bob.penalty == pytest.approx(expected[settings])


def test_a_penalty_is_taken_back_when_the_due_date_moves(course: Course, database: str, tmp_path: Path) -> None:
    configure(course, SETTINGS["zero"])
    records = [softmax("bob", source=submit(tmp_path, "bob", "2026-01-12 12:00:00 UTC"))]
    set_due(database, "2026-01-10 12:00:00 UTC")
    write_gradebook(course, records, database)
    assert penalty(database, "bob") == 3.0
    set_due(database, "2026-01-20 12:00:00 UTC")
    assert write_gradebook(course, records, database).late == []
    assert penalty(database, "bob") is None


def test_a_broken_plugin_is_named_and_nothing_is_written(course: Course, database: str, tmp_path: Path) -> None:
    configure(course, SETTINGS["a tenth a day"])
    set_due(database, "2026-01-10 12:00:00 UTC")
    records = [softmax("broken", source=submit(tmp_path, "broken", "2026-01-12 12:00:00 UTC"))]
    with pytest.raises(GradebookError, match=r"RuntimeError: half an edit.*AssignLatePenalties\.plugin_class"):
        write_gradebook(course, records, database)
    with opened(database) as gradebook:
        assert gradebook.students == []


def test_times_are_where_formgrader_looks_for_them_and_links_are_not_read(
    course: Course, database: str, tmp_path: Path
) -> None:
    time = "2026-01-12 12:00:00 UTC"
    records = [softmax(name, source=submit(tmp_path, name, time)) for name in ("ada", "eve")]
    secret = tmp_path / "private"
    secret.write_text("secret" * 3)
    mine = tmp_path / "handed in/submitted/eve/attention"
    (mine / "submission_secret.txt").symlink_to(secret)
    (mine / "timestamp.txt").unlink()
    (mine / "timestamp.txt").symlink_to(secret)
    (tmp_path / "handed in/submitted/ada/attention/submission_secret.txt").write_text("ab12" * 32)
    write_gradebook(course, records, database)
    root = tmp_path / "class"
    for folder in ("submitted", "autograded"):
        assert (root / folder / "ada/attention/timestamp.txt").read_text() == time
        assert not (root / folder / "eve/attention/timestamp.txt").exists()
    assert (root / "autograded/ada/attention/submission_secret.txt").read_text() == "ab12" * 32
    assert not (root / "autograded/eve/attention/submission_secret.txt").exists()


def test_tables_and_feedback_show_the_penalty_as_its_own_item(course: Course, tmp_path: Path) -> None:
    from datetime import datetime

    handed_in, due = datetime(2026, 1, 12, 13), datetime(2026, 1, 10, 12)
    seconds = (handed_in - due).total_seconds()
    late = [LateSubmission("bob", "attention/softmax", handed_in, due, seconds, 3.0, 1.5)]
    records = [softmax("ada"), softmax("bob")]
    grades, _ = write_csv(records, course, tmp_path, late=late)
    with grades.open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert [(row["attention/softmax"], row["late_penalty"], row["total"]) for row in rows.values()] == [
        ("3", "0", "3"),
        ("3", "1.5", "1.5"),
    ]
    write_late_table(late, tmp_path)
    with (tmp_path / "late_submissions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["student"], row["due_utc"], row["penalty"]) == ("bob", "2026-01-10T12:00:00Z", "1.5")
    pages = {path.parts[-3]: path.read_text() for path in write_feedback(course, records, tmp_path, late=late)}
    assert "Handed in 2 days and 1 hour after it was due (2026-01-10 12:00 UTC)." in pages["bob"]
    assert "That costs 1.5 points" in pages["bob"]
    assert "after it was due" not in pages["ada"]
    write_late_table([], tmp_path)
    assert not (tmp_path / "late_submissions.csv").exists()


def test_names_that_nbgrader_knows_are_shown(course: Course, database: str, tmp_path: Path) -> None:
    records = [softmax("ada"), softmax("bob")]
    assert write_gradebook(course, records, database).names == {}
    with opened(database) as gradebook:
        gradebook.update_or_create_student("ada", first_name="=Ada", last_name="<b>Lovelace", email="ada@example.org")
    names = write_gradebook(course, records, database).names
    grades, _ = write_csv(records, course, tmp_path, names=names)
    with grades.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["student"], row["last_name"], row["first_name"], row["email"]) for row in rows] == [
        ("ada", "<b>Lovelace", "'=Ada", "ada@example.org"),
        ("bob", "", "", ""),
    ]
    pages = {path.parts[-3]: path.read_text() for path in write_feedback(course, records, tmp_path, names=names)}
    assert "Feedback for <bdi>=Ada &lt;b&gt;Lovelace (ada)</bdi>" in pages["ada"]
    assert "Feedback for <bdi>bob</bdi>" in pages["bob"]
    header, *_ = write_csv(records, course, tmp_path)[0].read_text().splitlines()
    assert header.startswith("student,attention/"), "no columns without anything in them"
