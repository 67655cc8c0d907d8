"""The class report: one self-contained HTML file for the instructor, readable without scripts."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from grader.checking.outcome import SubmissionStatus
from grader.gradebook.attention import students_to_help
from grader.gradebook.class_summary import Cell, ClassSummary, ExerciseStatistics, StudentRow
from grader.gradebook.feedback import has_page
from grader.gradebook.files import feedback_path, write_text
from grader.gradebook.rendering import render_page
from grader.gradebook.wording import STATUS_FOR_INSTRUCTOR, format_points

BINS = 10
MESSAGE_LIMIT = 600
LISTED = 12  # rows shown at once of a list that may be as long as the class

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
class Bar:
    """One bar of the histogram, in the units of its drawing."""

    label: str
    count: int
    x: float
    y: float
    width: float
    height: float


def score_bars(shares: Sequence[float], *, width: float = 640, height: float = 150) -> list[Bar]:
    """Bars of the number of students in each tenth of the points; a full score is in the last one."""
    counts = [0] * BINS
    for share in shares:
        counts[min(int(share * BINS + 1e-9), BINS - 1)] += 1
    tallest = max([*counts, 1])
    step = width / BINS
    bars = []
    for place, count in enumerate(counts):
        tall = height * count / tallest
        label = f"{place * 100 // BINS}–{(place + 1) * 100 // BINS}"
        bars.append(Bar(label, count, round(place * step + 3, 1), round(height - tall, 1), step - 6, round(tall, 1)))
    return bars


def render_class_report(
    summary: ClassSummary, *, feedback: str | None = "feedback", generated: datetime | None = None
) -> str:
    """The report as HTML. `feedback` is the folder of the feedback pages relative to the report; None for no links."""
    shares = [row.share for row in summary.students]
    links = _Links(summary.exercises, feedback)
    return render_page(
        "class_report.html.j2",
        script="class_report.js.j2",
        summary=summary,
        generated=generated.strftime("%Y-%m-%d %H:%M") if generated else "",
        bars=score_bars(shares),
        mean=statistics.fmean(shares) if shares else None,
        median=statistics.median(shares) if shares else None,
        graded=sum(exercise.graded for exercise in summary.exercises),
        groups=_topic_groups(summary),
        rows=[(row, [links.view(row, cell) for cell in row.cells]) for row in summary.students],
        help_list=students_to_help(summary),
        problems=[(STATUS_FOR_INSTRUCTOR[problem.status], problem) for problem in summary.problems],
        flagged=[(exercise, check) for exercise in summary.exercises for check in exercise.checks if check.suspect],
        link=links.to,
        listed=LISTED,
        message_limit=MESSAGE_LIMIT,
        largest_diagnosis=max((diagnosis.count for diagnosis in summary.diagnoses), default=1),
        marks=_QUIET_MARKS,
    )


def write_class_report(
    summary: ClassSummary, path: Path, *, feedback_directory: Path | None = None, generated: datetime | None = None
) -> Path:
    """Write the report, with links to the feedback pages in `feedback_directory` where one is given.

    Raises OSError when the file cannot be written.
    """
    feedback = None
    if feedback_directory is not None:
        feedback = Path(os.path.relpath(feedback_directory.absolute(), path.absolute().parent)).as_posix()
    write_text(path, render_class_report(summary, feedback=feedback, generated=generated))
    return path


def _topic_groups(summary: ClassSummary) -> list[dict[str, Any]]:
    """Topics in order, each with its columns of the matrix, so that one heading can span them."""
    groups = []
    for id, title in summary.topics:
        exercises = [exercise for exercise in summary.exercises if exercise.topic == id]
        if exercises:
            groups.append({"id": id, "title": title, "exercises": exercises})
    return groups


class _Links:
    """Cells of the matrix with links to the feedback pages."""

    def __init__(self, exercises: Sequence[ExerciseStatistics], feedback: str | None) -> None:
        self._exercises = {exercise.exercise: exercise for exercise in exercises}
        self._feedback = feedback

    def to(self, student: str, exercise: str) -> str:
        """Address of a feedback page; empty when pages are not linked."""
        known = self._exercises.get(exercise)
        if self._feedback is None or known is None:
            return ""
        return quote(f"{self._feedback}/{feedback_path(student, known.topic, known.slug)}")

    def view(self, row: StudentRow, cell: Cell) -> CellView:
        """A cell of the matrix."""
        words = (
            f"{self._exercises[cell.exercise].title}: {format_points(cell.points)} of {format_points(cell.max_points)}"
        )
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
