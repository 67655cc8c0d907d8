"""Scores from nbgrader's gradebook: the checks' points together with what a person gave in formgrader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grader.gradebook.errors import GradebookError
from grader.gradebook.nbgrader_connection import database_file, open_gradebook
from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID

NO_GRADEBOOK = "{file}: there is no gradebook; grade with `course grade` first, or name another database with --db"


@dataclass(frozen=True)
class NotebookScore:
    """One notebook's score, extra credit included. `awaits_reading` when a person has yet to read an answer in it."""

    points: float
    max_points: float
    awaits_reading: bool


def read_scores(database_url: str, exercises: Iterable[str]) -> dict[tuple[str, str], NotebookScore]:
    """The score of every student and exercise that the gradebook has. Raises GradebookError."""
    file = database_file(database_url)
    if file is not None and not file.is_file():
        raise GradebookError(NO_GRADEBOOK.format(file=file))
    scores = {}
    with open_gradebook(database_url, DEFAULT_COURSE_ID) as gradebook:
        for exercise in exercises:
            topic, _, slug = exercise.partition("/")
            for entry in gradebook.notebook_submission_dicts(slug, topic):
                scores[entry["student"], exercise] = NotebookScore(
                    float(entry["score"]), float(entry["max_score"]), bool(entry["needs_manual_grade"])
                )
    return scores
