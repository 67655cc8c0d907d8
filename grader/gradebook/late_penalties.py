"""Penalties for late submissions: nbgrader's due dates, extensions and plugin, as `nbgrader autograde` applies them."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from grader.gradebook.csv_export import Value, safe_cell, to_csv
from grader.gradebook.errors import GradebookError
from grader.gradebook.files import write_text
from grader.gradebook.nbgrader_batch import PlannedSubmission

if TYPE_CHECKING:
    from nbgrader.api import Gradebook
    from traitlets.config import Config

LATE_FILE = "late_submissions.csv"
LATE_COLUMNS = ("student", "exercise", "handed_in_utc", "due_utc", "seconds_late", "score", "penalty")
BAD_PLUGIN = (
    "the plugin for late submissions failed ({reason}). It is AssignLatePenalties.plugin_class in nbgrader_config.py"
)
BAD_TABLE = "{path}: this table cannot be read ({error}); run `course grade` again, which writes it anew"


@dataclass(frozen=True)
class LateSubmission:
    """A notebook that was handed in late. Times are in UTC; `due` has the student's extension in it.

    `score` is nbgrader's before the penalty, with points given by a person and extra credit; `penalty` is in points.
    """

    student: str
    exercise: str
    handed_in: datetime
    due: datetime
    seconds_late: float
    score: float
    penalty: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**vars(self), "handed_in": self.handed_in.isoformat() + "Z", "due": self.due.isoformat() + "Z"}


class LatePenalties:
    """Applies nbgrader's plugin for late submissions. The settings are read when the first late one is found."""

    def __init__(self, read_settings: Callable[[], Config]) -> None:
        self._read_settings = read_settings
        self._plugin: Any = None

    def apply(self, gradebook: Gradebook, planned: Sequence[PlannedSubmission]) -> list[LateSubmission]:
        """Write the penalties of these submissions, whose scores are already in the gradebook; commits nothing.

        A penalty that is no longer due is taken back. Raises GradebookError when the plugin fails.
        """
        from nbgrader.api import SubmittedNotebook
        from sqlalchemy import update

        by_key = {(submission.student, submission.assignment): submission for submission in planned}
        graded = [  # others keep what they have
            (row, submission)
            for row in _notebooks(gradebook, planned)
            if (submission := by_key.get((row.student_id, row.assignment))) and row.notebook in submission.notebooks
        ]
        times = {row.id: found for row, one in graded if row.notebook not in one.missing and (found := _late(row))}
        scores = _scores(gradebook, list(times))
        late: list[LateSubmission] = []
        penalties: list[dict[str, Any]] = []
        for row, _ in graded:
            penalty = None
            if row.id in times:
                due, seconds = times[row.id]
                penalty = self._penalty(row.student_id, scores[row.id], seconds)
                exercise, points = f"{row.assignment}/{row.notebook}", (scores[row.id], penalty or 0.0)
                late.append(LateSubmission(row.student_id, exercise, row.timestamp, due, seconds, *points))
            if penalty != row.late_submission_penalty:
                penalties.append({"id": row.id, "late_submission_penalty": penalty})
        if penalties:
            gradebook.db.execute(update(SubmittedNotebook), penalties)
        return late

    def _penalty(self, student: str, score: float, seconds: float) -> float | None:
        try:
            if self._plugin is None:
                self._plugin = _start_plugin(self._read_settings())
            penalty = self._plugin.plugin_inst.late_submission_penalty(student, score, seconds)
            if penalty is None:
                return None
            return float(self._plugin._check_late_penalty(SimpleNamespace(score=score), penalty))
        except GradebookError:
            raise
        except Exception as error:  # the plugin is the instructor's own code
            raise GradebookError(BAD_PLUGIN.format(reason=f"{type(error).__name__}: {error}")) from error


def late_table(late: Sequence[LateSubmission]) -> list[list[Value]]:
    """One row a late notebook."""
    rows: list[list[Value]] = [list(LATE_COLUMNS)]
    for entry in late:
        times = [entry.handed_in.isoformat() + "Z", entry.due.isoformat() + "Z"]
        rows.append([entry.student, entry.exercise, *times, entry.seconds_late, entry.score, entry.penalty])
    return rows


def write_late_table(late: Sequence[LateSubmission], directory: Path) -> None:
    """Write late_submissions.csv, or remove an earlier one when nothing is late. Raises OSError."""
    path = directory / LATE_FILE
    if late:
        write_text(path, to_csv(late_table(late)))
    else:
        path.unlink(missing_ok=True)


def read_late_table(directory: Path, students: Iterable[str]) -> list[LateSubmission]:
    """The late submissions of these students that `write_late_table` told of; none where it wrote nothing.

    Raises GradebookError when the file was changed into something else, OSError.
    """
    path = directory / LATE_FILE
    if not path.is_file():
        return []
    by_cell = {safe_cell(student): student for student in students}
    late = []
    with path.open(encoding="utf-8", newline="") as file:
        try:
            for row in csv.DictReader(file):
                if row["student"] not in by_cell:
                    continue
                handed_in, due = (datetime.fromisoformat(row[name].removesuffix("Z")) for name in LATE_COLUMNS[2:4])
                numbers = (float(row[name]) for name in LATE_COLUMNS[4:])
                late.append(LateSubmission(by_cell[row["student"]], row["exercise"], handed_in, due, *numbers))
        except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
            raise GradebookError(BAD_TABLE.format(path=path, error=error)) from None
    return late


def _start_plugin(settings: Config) -> Any:
    from nbgrader.preprocessors import AssignLatePenalties

    preprocessor = AssignLatePenalties(config=settings)
    preprocessor.log = logging.Logger("nbgrader", logging.ERROR)  # its warnings repeat what the tables say
    preprocessor.init_plugin()
    return preprocessor


def _notebooks(gradebook: Gradebook, planned: Sequence[PlannedSubmission]) -> Sequence[Any]:
    """Submitted notebooks of these students, with times and penalties as they are now."""
    from nbgrader.api import Assignment, Notebook, SubmittedAssignment, SubmittedNotebook
    from sqlalchemy import select

    statement = (
        select(
            SubmittedNotebook.id,
            SubmittedNotebook.late_submission_penalty,
            SubmittedAssignment.student_id,
            SubmittedAssignment.timestamp,
            SubmittedAssignment.extension,
            Assignment.duedate,
            Assignment.name.label("assignment"),
            Notebook.name.label("notebook"),
        )
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, SubmittedNotebook.notebook_id == Notebook.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .where(SubmittedAssignment.student_id.in_(sorted({submission.student for submission in planned})))
    )
    rows: Sequence[Any] = gradebook.db.execute(statement).all()
    return rows


def _late(row: Any) -> tuple[datetime, float] | None:
    """When a late notebook was due, the student's extension included, and by how many seconds it is late."""
    if not row.timestamp or not row.duedate:
        return None
    due: datetime = row.duedate + row.extension if row.extension else row.duedate
    return (due, (row.timestamp - due).total_seconds()) if row.timestamp > due else None


def _scores(gradebook: Gradebook, notebooks: Sequence[str]) -> dict[str, float]:
    """The scores of these submitted notebooks, with a person's points and extra credit, by id.

    One sum over the grades: `SubmittedNotebook.score` reads all of the gradebook's grades anew for every notebook.
    """
    from nbgrader.api import Grade
    from sqlalchemy import func, select

    if not notebooks:
        return {}
    statement = (
        select(Grade.notebook_id, func.sum(Grade.score))
        .where(Grade.notebook_id.in_(notebooks))
        .group_by(Grade.notebook_id)
    )
    return dict.fromkeys(notebooks, 0.0) | {id: float(score) for id, score in gradebook.db.execute(statement)}
