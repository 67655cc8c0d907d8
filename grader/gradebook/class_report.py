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

from grader.gradebook.attention import students_to_help
from grader.gradebook.class_matrix import FeedbackLinks
from grader.gradebook.class_summary import ClassSummary
from grader.gradebook.files import write_text
from grader.gradebook.rendering import render_page
from grader.gradebook.similar_passages import view_similarity
from grader.gradebook.similarity import ExerciseSimilarity
from grader.gradebook.wording import STATUS_FOR_INSTRUCTOR

BINS = 10
MESSAGE_LIMIT = 600
LONG_TABLE = 12  # rows from which on a table scrolls in a window of its own
PRINTED_ROWS = 40  # of such a table on paper
MAX_NAMES = 40  # students named beside one misconception; all are in the table


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
    summary: ClassSummary,
    *,
    similarity: Sequence[ExerciseSimilarity] | None = None,
    feedback: str | None = "feedback",
    lessons: str | None = None,
    generated: datetime | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """The report as HTML.

    `feedback` is the folder of the feedback pages and `lessons` that of the notebooks, both relative to the report;
    None for no links. Without `similarity` there is no section on it. `remarks` on the run stand below its date.
    """
    shares = [row.share for row in summary.students]
    links = FeedbackLinks(summary.exercises, feedback)
    help_list = students_to_help(summary)
    checks = [(exercise, check) for exercise in summary.exercises for check in exercise.checks if check.hints]
    to_look_at = sorted(checks, key=lambda entry: not entry[1].suspect)
    needing_help = {entry.row.student for entry in help_list}
    return render_page(
        "class_report.html.j2",
        script="class_report.js.j2",
        summary=summary,
        generated=generated.strftime("%Y-%m-%d %H:%M") if generated else "",
        remarks=remarks,
        bars=score_bars(shares),
        mean=statistics.fmean(shares) if shares else None,
        median=statistics.median(shares) if shares else None,
        graded=sum(exercise.graded for exercise in summary.exercises),
        groups=_topic_groups(summary),
        rows=[links.row(row, needs_help=row.student in needing_help) for row in summary.students],
        help_list=help_list,
        problems=[(STATUS_FOR_INSTRUCTOR[problem.status], problem) for problem in summary.problems],
        flagged=[(exercise, check) for exercise, check in to_look_at if check.suspect],
        to_look_at=to_look_at,
        reversed=[exercise for exercise in summary.exercises if exercise.reversed],
        by_id={exercise.exercise: exercise for exercise in summary.exercises},
        grading_seconds=sum(exercise.time.total for exercise in summary.exercises if exercise.time),
        similar=None if similarity is None else view_similarity(similarity),
        link=links.to,
        lesson=lambda exercise: "" if lessons is None else quote(f"{lessons}/{exercise}.ipynb"),
        long=LONG_TABLE,
        printed=PRINTED_ROWS,
        max_names=MAX_NAMES,
        message_limit=MESSAGE_LIMIT,
        largest_diagnosis=max((diagnosis.count for diagnosis in summary.diagnoses), default=1),
    )


def write_class_report(
    summary: ClassSummary,
    path: Path,
    *,
    similarity: Sequence[ExerciseSimilarity] | None = None,
    feedback_directory: Path | None = None,
    course_root: Path | None = None,
    generated: datetime | None = None,
    remarks: Sequence[str] = (),
) -> Path:
    """Write the report, with links to feedback pages and to the notebooks of the course where these are given.

    Raises OSError when the file cannot be written.
    """
    html = render_class_report(
        summary,
        similarity=similarity,
        feedback=_relative(feedback_directory, path),
        lessons=None if course_root is None else _relative(course_root / "exercises", path),
        generated=generated,
        remarks=remarks,
    )
    write_text(path, html)
    return path


def _relative(folder: Path | None, page: Path) -> str | None:
    """A folder's address on a page."""
    return None if folder is None else Path(os.path.relpath(folder.absolute(), page.absolute().parent)).as_posix()


def _topic_groups(summary: ClassSummary) -> list[dict[str, Any]]:
    """Topics in order, each with its columns of the matrix, so that one heading can span them."""
    groups = []
    for id, title in summary.topics:
        exercises = [exercise for exercise in summary.exercises if exercise.topic == id]
        if exercises:
            groups.append({"id": id, "title": title, "exercises": exercises})
    return groups
