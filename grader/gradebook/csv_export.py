"""Grades and check outcomes as CSV files that are safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.checking.versions import short_version
from grader.gradebook.class_summary import ClassSummary
from grader.gradebook.files import write_text
from grader.gradebook.student_names import StudentName
from grader.gradebook.summary import summarise
from grader.gradebook.wording import clean_text
from grader.release.manifest import version_names_beside

if TYPE_CHECKING:
    from grader.course import Course
    from grader.gradebook.late_penalties import LateSubmission

GRADES_FILE = "grades.csv"
CHECKS_FILE = "checks.csv"
CHECK_COLUMNS = (
    "student",
    "exercise",
    "status",
    "check",
    "title",
    "outcome",
    "points",
    "max_points",
    "diagnosis",
    "checks_version",
)

# A spreadsheet runs a cell that begins with one of these as a formula; the last four are full-width forms.
_FORMULA_STARTS = tuple("=+-@|\t＝＋－＠")
# Nobody has judged these: a zero would be a judgement.
NO_SCORE = frozenset({SubmissionStatus.MISSING, SubmissionStatus.GRADER_ERROR, SubmissionStatus.REFUSED})

Value = str | float | int


def safe_cell(value: Value) -> Value:
    """A value that no spreadsheet takes for a formula: such a text gets an apostrophe in front, a number stays one."""
    if not isinstance(value, str):
        return value
    text = clean_text(value)
    return f"'{text}" if text.lstrip(" \n\ufeff\xa0").startswith(_FORMULA_STARTS) else text


def grades_table(
    summary: ClassSummary, late: Sequence[LateSubmission] = (), names: Mapping[str, StudentName] | None = None
) -> list[list[Value]]:
    """One row a student: points of every exercise, total and maximum, headed by the ids of the exercises.

    An exercise without a score (not handed in, refused, or grading broke) is an empty cell, which a sum takes for zero.
    Where somebody lost points for being late, these have a column of their own and the total is what is left. Names and
    addresses have theirs where any is known.
    """
    penalties = {(entry.student, entry.exercise): entry.penalty for entry in late if entry.penalty}
    exercises = [exercise.exercise for exercise in summary.exercises]
    people = ["last_name", "first_name", "email"] if names else []
    rows: list[list[Value]] = [
        ["student", *people, *exercises, *(["late_penalty"] if penalties else []), "total", "max"]
    ]
    for row in summary.students:
        scores: list[Value] = ["" if cell.status in NO_SCORE else _number(cell.points) for cell in row.cells]
        # A penalty may also take points that a person gave, which are not in this table.
        lost = sum(min(penalties.get((row.student, cell.exercise), 0.0), cell.points) for cell in row.cells)
        if penalties:
            scores.append(_number(lost))
        name = (names or {}).get(row.student, StudentName())
        person = [name.last_name, name.first_name, name.email] if names else []
        rows.append([row.student, *person, *scores, _number(row.points - lost), _number(row.max_points)])
    return rows


def checks_table(records: Iterable[ResultRecord], names: Mapping[str, str] | None = None) -> list[list[Value]]:
    """One row a student, exercise and check; a submission without checks has one row with no check in it.

    The diagnosis and the version of the checks belong to the submission and are repeated in all of its rows;
    `names` are what a release calls these versions, by hash.
    """
    rows: list[list[Value]] = [list(CHECK_COLUMNS)]
    for record in records:
        start = [record.student, record.exercise, record.status.value]
        diagnosis = "; ".join(diagnosis.id for diagnosis in record.diagnoses)
        version = short_version(record.checks_hash, names)
        if not record.checks:
            rows.append([*start, "", "", "", 0, _number(record.max_points), diagnosis, version])
        for check in record.checks:
            points, maximum = _number(check.points), _number(check.max_points)
            rows.append([*start, check.name, check.title, check.outcome.value, points, maximum, diagnosis, version])
    return rows


def to_csv(rows: Iterable[Sequence[Value]]) -> str:
    """CSV text of a table, every cell made safe."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([safe_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def write_csv(
    records: Sequence[ResultRecord],
    course: Course,
    directory: Path,
    *,
    late: Sequence[LateSubmission] = (),
    names: Mapping[str, StudentName] | None = None,
) -> tuple[Path, Path]:
    """Write grades.csv and checks.csv into a directory, and return their paths.

    Raises OSError when they cannot be written.
    """
    grades, checks = directory / GRADES_FILE, directory / CHECKS_FILE
    write_text(grades, to_csv(grades_table(summarise(records, course), late, names)))
    write_text(checks, to_csv(checks_table(records, version_names_beside(course.root))))
    return grades, checks


def _number(value: float) -> float | int:
    """Points rounded to what a table shows; whole ones without a decimal point."""
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded
