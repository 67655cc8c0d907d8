"""Points on their way into another gradebook: which exercises make one column, and how many points each student has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.gradebook.csv_export import NO_SCORE

if TYPE_CHECKING:
    from grader.gradebook.nbgrader_scores import NotebookScore

NOT_READ = "{exercise}: the written answer has not been graded in formgrader yet"
NOT_IN_GRADEBOOK = "{exercise}: nbgrader's gradebook has no score; was it written?"


class ExportError(ValueError):
    """Results cannot be passed on as asked; the message says what to do."""


@dataclass(frozen=True)
class StudentPoints:
    """A student's points in one column. `points` is None when there is no score, and `reason` says why.

    `records` are the results behind it.
    """

    student: str
    points: float | None
    max_points: float
    records: tuple[ResultRecord, ...]
    reason: str = ""

    @property
    def handed_in(self) -> bool:
        """Whether there is anything of this student's."""
        return any(record.status is not SubmissionStatus.MISSING for record in self.records)


def points_by_student(records: Iterable[ResultRecord], exercises: Sequence[str]) -> list[StudentPoints]:
    """The points of every student over these exercises, in order of their names.

    A student whose notebook could not be graded through no fault of theirs has no score; neither has one who handed in
    nothing at all. One who left out some of several exercises has the points of the others.
    """
    by_student: dict[str, list[ResultRecord]] = {}
    worth: dict[str, float] = {}
    for record in records:
        if record.exercise in exercises:
            by_student.setdefault(record.student, []).append(record)
            worth[record.exercise] = max(record.max_points, worth.get(record.exercise, 0.0))
    total = sum(worth.values())
    return [_points(student, group, total) for student, group in sorted(by_student.items())]


def with_written(
    students: Iterable[StudentPoints], scores: Mapping[tuple[str, str], NotebookScore]
) -> list[StudentPoints]:
    """The same with the points of nbgrader's gradebook, by student and exercise, in place of the checks' alone.

    Whose written answer nobody has read yet has no score.
    """
    return [_with_written(student, scores) for student in students]


def _with_written(student: StudentPoints, scores: Mapping[tuple[str, str], NotebookScore]) -> StudentPoints:
    if student.points is None:
        return student
    points = most = 0.0
    for record in student.records:
        score = scores.get((record.student, record.exercise))
        if score is None and record.status is not SubmissionStatus.MISSING:
            return replace(student, points=None, reason=NOT_IN_GRADEBOOK.format(exercise=record.exercise))
        if score is not None and score.awaits_reading:
            return replace(student, points=None, reason=NOT_READ.format(exercise=record.exercise))
        points += score.points if score is not None else 0.0
        most += score.max_points if score is not None else record.max_points
    return replace(student, points=points, max_points=most)


def scaled(points: float, max_points: float, possible: float | None) -> float:
    """Points in proportion to what the other gradebook gives for full marks; as they are for None."""
    value = points if possible is None or not max_points else points * possible / max_points
    return round(value, 2)


def plain(points: float) -> str:
    """Points as a spreadsheet reads them in any language: 7, 7.5, 7.25."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def _points(student: str, records: Sequence[ResultRecord], total: float) -> StudentPoints:
    broken = next((one for one in records if one.status in NO_SCORE - {SubmissionStatus.MISSING}), None)
    if broken is not None:
        reason = f"{broken.exercise}: {broken.status.value}; a person has to look at it"
        return StudentPoints(student, None, total, tuple(records), reason)
    if all(record.status is SubmissionStatus.MISSING for record in records):
        return StudentPoints(student, None, total, tuple(records), "nothing was handed in")
    return StudentPoints(student, sum(record.points for record in records), total, tuple(records))
