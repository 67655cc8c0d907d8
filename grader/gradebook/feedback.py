"""Feedback pages: one HTML file a student and exercise, made from the result record alone, never from the notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.checking.versions import SHOWN_DIGITS, short_version
from grader.gradebook.files import feedback_path, write_text
from grader.gradebook.rendering import render_page
from grader.gradebook.summary import counted_records
from grader.gradebook.wording import (
    BROKEN_CHECK,
    OUTCOME_SYMBOLS,
    OUTCOME_WORDS,
    clean_text,
    explain_check,
    explain_status,
    format_points,
)
from grader.release.manifest import version_names_beside

if TYPE_CHECKING:
    from grader.course import Course, Exercise
    from grader.gradebook.late_penalties import LateSubmission
    from grader.gradebook.student_names import StudentName

MESSAGE_LIMIT = 6_000
VALUE_LIMIT = 2_000
OUTPUT_LIMIT = 10_000
NOTES_SHOWN = 30

MATCH_WORDS = {
    "exact": "Every result that we compared is the one that this mistake gives.",
    "partial": "The first check that does not pass sees the result that this mistake gives; other results differ.",
}
NO_DIAGNOSIS = (
    "Your answer behaves like none of the mistakes that we know for this exercise. "
    "Start with the first check that does not pass: the ones after it often fail for the same reason."
)
ALL_PASSED = "Every check passes."
WRITTEN_PENDING = "The written answer (up to {points} more points) is read by a person and is not part of this number."
LATE = "Handed in {late} after it was due ({due} UTC)."
PENALTY = "That costs {points} points, which are still in the number above."
NO_PENALTY = "No points are taken for that."
MORE_NOTES = "… and {count} more."

_WITHOUT_PAGE = frozenset({SubmissionStatus.MISSING, SubmissionStatus.REFUSED, SubmissionStatus.DUPLICATE})
_HARMLESS = frozenset({CheckOutcome.PASSED, CheckOutcome.SKIPPED})


@dataclass(frozen=True)
class CheckView:
    """One check as the page shows it."""

    title: str
    outcome: str
    word: str
    symbol: str
    points: str
    visible: bool
    passed: bool
    expanded: bool
    message: str
    values: tuple[tuple[str, str], ...]


def has_page(status: SubmissionStatus) -> bool:
    """Whether a submission with this status gets a feedback page."""
    return status not in _WITHOUT_PAGE


def render_feedback(
    record: ResultRecord, exercise: Exercise, course: Course, late: LateSubmission | None = None, name: str = ""
) -> str:
    """The feedback page of one submission, as HTML that loads nothing and runs nothing."""
    status, message = explain_status(record, MESSAGE_LIMIT)
    checks = _check_views(record.checks)
    passed = sum(check.passed for check in checks)
    maximum = record.max_points or exercise.points
    notes = [clean_text(note, VALUE_LIMIT) for note in record.notes[:NOTES_SHOWN]]
    if len(record.notes) > NOTES_SHOWN:
        notes.append(MORE_NOTES.format(count=len(record.notes) - NOTES_SHOWN))
    complete = bool(checks) and passed == len(checks)
    return render_page(
        "feedback.html.j2",
        course=course.title,
        exercise=exercise.title,
        topic=next((topic.title for topic in course.topics if topic.id == exercise.topic), exercise.topic),
        student=f"{name} ({record.student})" if name else record.student,
        points=record.points,
        max_points=maximum,
        share=min(record.points / maximum, 1.0) if maximum else 0.0,
        status=ALL_PASSED if complete else status,
        message=message,
        written=WRITTEN_PENDING.format(points=format_points(exercise.written_points))
        if exercise.written_points
        else "",
        late=_explain_late(late) if late else "",
        complete=complete,
        passed=passed,
        checks=checks,
        diagnoses=[(MATCH_WORDS.get(found.match, MATCH_WORDS["partial"]), found) for found in record.diagnoses],
        no_diagnosis=NO_DIAGNOSIS if checks and not complete and not record.diagnoses else "",
        output=clean_text(record.output, OUTPUT_LIMIT),
        notes=notes,
        versions=_versions(record, version_names_beside(course.root)),
    )


def write_feedback(
    course: Course,
    records: Sequence[ResultRecord],
    directory: Path,
    *,
    late: Sequence[LateSubmission] = (),
    names: Mapping[str, StudentName] | None = None,
) -> list[Path]:
    """Write the page of every record that counts into `directory`, and return their paths.

    Records of exercises that the course does not have are left out; so are refused files, duplicates and exercises that
    were not handed in. Raises OSError when a page cannot be written.
    """
    exercises = {exercise.id: exercise for exercise in course.exercises}
    too_late = {(entry.student, entry.exercise): entry for entry in late}
    written = []
    for record in counted_records(records).values():
        exercise = exercises.get(record.exercise)
        if exercise is None or not has_page(record.status):
            continue
        full = names[record.student].full if names and record.student in names else ""
        path = directory / feedback_path(record.student, exercise.topic, exercise.slug)
        write_text(
            path, render_feedback(record, exercise, course, too_late.get((record.student, record.exercise)), full)
        )
        written.append(path)
    return written


def _explain_late(late: LateSubmission) -> str:
    minutes = max(1, round(late.seconds_late / 60))
    days, hours = divmod(minutes // 60, 24)
    units = [(days, "day"), (hours, "hour"), (minutes % 60, "minute")]
    shown = [f"{count} {unit}{'s' if count > 1 else ''}" for count, unit in units if count][:2]
    costs = PENALTY.format(points=format_points(late.penalty)) if late.penalty else NO_PENALTY
    return f"{LATE.format(late=' and '.join(shown), due=late.due.strftime('%Y-%m-%d %H:%M'))} {costs}"


def _check_views(checks: Sequence[CheckRecord]) -> list[CheckView]:
    first = next((check for check in checks if check.outcome not in _HARMLESS), None)
    first = first or next((check for check in checks if check.outcome is CheckOutcome.SKIPPED), None)
    return [_check_view(check, expanded=check is first) for check in checks]


def _check_view(check: CheckRecord, *, expanded: bool) -> CheckView:
    message = explain_check(check, MESSAGE_LIMIT)
    values = [("Call", check.called), ("Expected", check.expected), ("Yours", check.actual)]
    shown = [] if message == BROKEN_CHECK else [(label, clean_text(value, VALUE_LIMIT)) for label, value in values]
    shown = [(label, value) for label, value in shown if value and value not in message]
    return CheckView(
        title=check.title or check.name,
        outcome=check.outcome.name.lower(),
        word=OUTCOME_WORDS[check.outcome],
        symbol=OUTCOME_SYMBOLS[check.outcome],
        points=f"{format_points(check.points)} of {format_points(check.max_points)}",
        visible=check.visible,
        passed=check.outcome is CheckOutcome.PASSED,
        expanded=expanded,
        message=message,
        values=tuple(shown),
    )


def _versions(record: ResultRecord, names: Mapping[str, str]) -> list[tuple[str, str]]:
    versions = [
        ("course", record.course_version),
        ("checks", short_version(record.checks_hash, names)),
        ("your notebook", record.submission_hash[:SHOWN_DIGITS]),
        *sorted(record.environment.items()),
    ]
    return [(name, value) for name, value in versions if value]
