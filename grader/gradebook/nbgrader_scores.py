"""Scores from nbgrader's gradebook: the checks' points with what a person gave in formgrader, less late penalties."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grader.gradebook.errors import GradebookError
from grader.gradebook.nbgrader_connection import database_file, open_gradebook
from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID

if TYPE_CHECKING:
    from sqlalchemy import Select

NO_GRADEBOOK = "{file}: there is no gradebook; grade with `course grade` first, or name another database with --db"


@dataclass(frozen=True)
class NotebookScore:
    """One notebook's score with extra credit, less its late penalty, never below 0 (as nbgrader itself exports it).

    `awaits_reading` when a person has yet to read an answer in it.
    """

    points: float
    max_points: float
    awaits_reading: bool


def read_scores(database_url: str, exercises: Iterable[str]) -> dict[tuple[str, str], NotebookScore]:
    """The score of every student and exercise that the gradebook has. Raises GradebookError."""
    file = database_file(database_url)
    if file is not None and not file.is_file():
        raise GradebookError(NO_GRADEBOOK.format(file=file))
    wanted = set(exercises)
    with open_gradebook(database_url, DEFAULT_COURSE_ID) as gradebook:
        rows = gradebook.db.execute(_statement()).all()
    return {
        (row.student_id, exercise): NotebookScore(
            max(0.0, float(row.score) - float(row.late_submission_penalty or 0.0)),
            float(row.max_score),
            bool(row.needs_manual_grade),
        )
        for row in rows
        if (exercise := f"{row.topic}/{row.slug}") in wanted
    }


def _statement() -> Select[Any]:
    from nbgrader.api import Assignment, Notebook, SubmittedAssignment, SubmittedNotebook
    from sqlalchemy import select

    return (
        select(
            SubmittedAssignment.student_id,
            Assignment.name.label("topic"),
            Notebook.name.label("slug"),
            SubmittedNotebook.score.label("score"),
            SubmittedNotebook.max_score.label("max_score"),
            SubmittedNotebook.needs_manual_grade.label("needs_manual_grade"),
            SubmittedNotebook.late_submission_penalty,
        )
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, SubmittedNotebook.notebook_id == Notebook.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
    )
