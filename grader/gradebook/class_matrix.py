"""Cells of the class report's matrix, with links to the feedback pages. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from grader.checking.outcome import SubmissionStatus
from grader.gradebook.class_summary import Cell, ExerciseStatistics, StudentRow
from grader.gradebook.feedback import has_page
from grader.gradebook.files import feedback_path
from grader.gradebook.wording import STATUS_FOR_INSTRUCTOR, format_points

_QUIET_MARKS = {SubmissionStatus.MISSING: "–", SubmissionStatus.UNTOUCHED: "○"}
_HIGH_SHARE = 0.75
_LOW_SHARE = 0.4
_WORTH_SAYING = frozenset(SubmissionStatus) - {SubmissionStatus.GRADED}


@dataclass(frozen=True)
class CellView:
    """One cell of the matrix: text and style class for the eye, a tooltip in words, a link where there is a page."""

    text: str
    style: str
    tooltip: str
    link: str


@dataclass(frozen=True)
class RowView:
    """One row of the matrix. `groups` are the choices of the filter that show it."""

    row: StudentRow
    cells: tuple[CellView, ...]
    groups: tuple[str, ...]


class FeedbackLinks:
    """Addresses of the feedback pages, relative to the report; empty ones where `folder` is None."""

    def __init__(self, exercises: Sequence[ExerciseStatistics], folder: str | None) -> None:
        self._exercises: Mapping[str, ExerciseStatistics] = {exercise.exercise: exercise for exercise in exercises}
        self._folder = folder

    def to(self, student: str, exercise: str) -> str:
        """Address of a feedback page; empty when pages are not linked."""
        known = self._exercises.get(exercise)
        if self._folder is None or known is None:
            return ""
        return quote(f"{self._folder}/{feedback_path(student, known.topic, known.slug)}")

    def row(self, row: StudentRow, *, needs_help: bool) -> RowView:
        """A row of the matrix."""
        broken = any(cell.status in _WORTH_SAYING and cell.status not in _QUIET_MARKS for cell in row.cells)
        groups = [name for name, holds in (("help", needs_help), ("broken", broken)) if holds]
        if any(cell.status is SubmissionStatus.MISSING for cell in row.cells):
            groups.append("missing")
        return RowView(row, tuple(self._cell(row, cell) for cell in row.cells), tuple(groups))

    def _cell(self, row: StudentRow, cell: Cell) -> CellView:
        title = self._exercises[cell.exercise].title
        words = f"{title}: {format_points(cell.points)} of {format_points(cell.max_points)}"
        if cell.status in _WORTH_SAYING:
            words = f"{words}, {STATUS_FOR_INSTRUCTOR[cell.status]}"
        link = self.to(row.student, cell.exercise) if has_page(cell.status) else ""
        return CellView(_cell_text(cell), _cell_style(cell), words, link)


def _cell_text(cell: Cell) -> str:
    if cell.status in _QUIET_MARKS:
        return _QUIET_MARKS[cell.status]
    mark = "" if cell.status is SubmissionStatus.GRADED else "!"
    return f"{format_points(cell.points)}{mark}"


def _cell_style(cell: Cell) -> str:
    share = cell.points / cell.max_points if cell.max_points else 0.0
    if cell.status in _QUIET_MARKS:
        return "none"
    if cell.complete:
        return "full"
    return "high" if share >= _HIGH_SHARE else "low" if share < _LOW_SHARE else "middle"
