"""What a class did, as plain data: from result records and the course to one `ClassSummary`. No I/O."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.gradebook.class_summary import (
    NOTHING_OF_THEIR_OWN,
    Cell,
    ClassSummary,
    DiagnosisCount,
    ExerciseStatistics,
    GradingTime,
    IdenticalSubmissions,
    StudentRow,
    SubmissionProblem,
)
from grader.gradebook.item_analysis import ATTEMPTED, analyse_checks, item_rest_correlation

if TYPE_CHECKING:
    from grader.course import Course, Exercise

# A person has to look at these; in the order in which they should be looked at.
PROBLEM_STATUSES = (
    SubmissionStatus.GRADER_ERROR,
    SubmissionStatus.REFUSED,
    SubmissionStatus.UNREADABLE,
    SubmissionStatus.DUPLICATE,
    SubmissionStatus.CRASHED,
    SubmissionStatus.TIMED_OUT,
)
UNKNOWN_EXERCISE = "the course has no such exercise, so this does not count"


def counted_records(records: Iterable[ResultRecord]) -> dict[tuple[str, str], ResultRecord]:
    """The record that counts for every (student, exercise).

    A duplicate never counts, a refused file only when there is nothing else; among others, the latest does.
    """
    counted: dict[tuple[str, str], ResultRecord] = {}
    for record in records:
        key = (record.student, record.exercise)
        if record.status is SubmissionStatus.DUPLICATE:
            continue
        if record.status is SubmissionStatus.REFUSED and key in counted:
            continue
        counted[key] = record
    return counted


def summarise(records: Sequence[ResultRecord], course: Course) -> ClassSummary:
    """Summarise a class."""
    counted = counted_records(records)
    collected = {record.exercise for record in records}
    exercises = [exercise for exercise in course.exercises if exercise.id in collected]
    students = sorted({record.student for record in records}, key=lambda name: (name.casefold(), name))
    by_exercise: dict[str, list[ResultRecord]] = {exercise.id: [] for exercise in exercises}
    for record in counted.values():
        if record.exercise in by_exercise:
            by_exercise[record.exercise].append(record)
    totals = _total_points(record for group in by_exercise.values() for record in group)
    analysed = tuple(
        _analyse_exercise(exercise, by_exercise[exercise.id], len(students), totals) for exercise in exercises
    )
    diagnoses = [diagnosis for exercise in analysed for diagnosis in exercise.diagnoses]
    return ClassSummary(
        title=course.title,
        version=course.version,
        topics=tuple((topic.id, topic.title) for topic in course.topics),
        exercises=analysed,
        students=tuple(_student_row(student, exercises, counted) for student in students),
        diagnoses=tuple(sorted(diagnoses, key=lambda diagnosis: -diagnosis.count)),
        problems=_find_problems(records, {exercise.id for exercise in course.exercises}),
        identical=_find_identical([record for group in by_exercise.values() for record in group]),
    )


def _student_row(
    student: str, exercises: Sequence[Exercise], counted: dict[tuple[str, str], ResultRecord]
) -> StudentRow:
    cells = []
    diagnoses = []
    for exercise in exercises:
        record = counted.get((student, exercise.id))
        if record is None:
            cells.append(Cell(exercise.id, SubmissionStatus.MISSING, 0.0, exercise.points))
            continue
        cells.append(Cell(exercise.id, record.status, record.points, record.max_points or exercise.points))
        diagnoses += [(exercise.id, diagnosis.id) for diagnosis in record.diagnoses]
    return StudentRow(student, tuple(cells), tuple(diagnoses))


def _total_points(records: Iterable[ResultRecord]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for record in records:
        totals[record.student] += record.points
    return totals


def _grading_time(records: Iterable[ResultRecord]) -> GradingTime | None:
    seconds = [record.seconds for record in records if record.seconds > 0]
    return GradingTime(statistics.median(seconds), max(seconds), sum(seconds)) if seconds else None


def _analyse_exercise(
    exercise: Exercise, records: Sequence[ResultRecord], class_size: int, totals: Mapping[str, float]
) -> ExerciseStatistics:
    attempted = [record for record in records if record.status in ATTEMPTED]
    points = [record.points for record in attempted]
    maximum = max((record.max_points for record in records), default=0.0) or exercise.points
    return ExerciseStatistics(
        exercise=exercise.id,
        topic=exercise.topic,
        slug=exercise.slug,
        title=exercise.title,
        max_points=maximum,
        graded=len(attempted),
        not_handed_in=class_size - sum(record.status is not SubmissionStatus.MISSING for record in records),
        complete=sum(record.points >= (record.max_points or maximum) for record in attempted),
        mean=statistics.fmean(points) if points else None,
        median=statistics.median(points) if points else None,
        checks=analyse_checks(attempted),
        diagnoses=_count_diagnoses(exercise.id, attempted),
        minutes=exercise.minutes,
        discrimination=item_rest_correlation(points, [totals[record.student] - record.points for record in attempted]),
        time=_grading_time(records),
        prerequisites=exercise.prerequisites,
    )


def _count_diagnoses(exercise: str, records: Iterable[ResultRecord]) -> tuple[DiagnosisCount, ...]:
    found = defaultdict(list)
    for record in records:
        for diagnosis in record.diagnoses:
            found[diagnosis.id].append((record.student, diagnosis))
    counts = [
        DiagnosisCount(
            exercise=exercise,
            id=id,
            title=entries[-1][1].title,
            explanation=entries[-1][1].explanation,
            exact=sum(diagnosis.match == "exact" for _, diagnosis in entries),
            students=tuple(sorted({student for student, _ in entries})),
        )
        for id, entries in found.items()
    ]
    return tuple(sorted(counts, key=lambda diagnosis: (-diagnosis.count, diagnosis.id)))


def _find_problems(records: Iterable[ResultRecord], known: set[str]) -> tuple[SubmissionProblem, ...]:
    urgency = {status: place for place, status in enumerate(PROBLEM_STATUSES)}
    problems = []
    for record in records:
        message = record.message
        if record.exercise not in known:
            message = f"{UNKNOWN_EXERCISE}; {message}" if message else UNKNOWN_EXERCISE
        elif record.status not in urgency:
            continue
        problems.append(SubmissionProblem(record.student, record.exercise, record.status, message, record.source))
    last = len(urgency)
    return tuple(sorted(problems, key=lambda problem: (urgency.get(problem.status, last), problem.student)))


def _find_identical(records: Iterable[ResultRecord]) -> tuple[IdenticalSubmissions, ...]:
    groups = defaultdict(list)
    for record in records:
        if record.submission_hash and record.status not in NOTHING_OF_THEIR_OWN:
            groups[record.exercise, record.submission_hash].append(record)
    return tuple(
        IdenticalSubmissions(
            exercise=exercise,
            submission_hash=digest,
            students=tuple(sorted(record.student for record in group)),
            points=group[0].points,
            max_points=group[0].max_points,
        )
        for (exercise, digest), group in groups.items()
        if len(group) > 1
    )
