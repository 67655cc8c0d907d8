"""What students wrote, read again from their notebooks, and what was handed out or is known of every exercise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.catalogue import CatalogueError, apply_change, load_catalogue
from grader.checking.record import ResultRecord
from grader.gradebook.item_analysis import ATTEMPTED
from grader.gradebook.similarity import ExerciseSimilarity, SubmittedCode, compare, known_hashes
from grader.gradebook.summary import counted_records
from grader.notebooks.submission import Stub, SubmissionError, read_own_code, read_stub

if TYPE_CHECKING:
    from grader.course import Course, Exercise

MAX_CHARACTERS = 64 * 1024  # of one student's own code; longer is left out of the comparison


def compare_class(records: Sequence[ResultRecord], course: Course) -> tuple[ExerciseSimilarity, ...]:
    """Compare the submissions of every exercise, reading each notebook once more from where it was graded.

    A notebook that is gone, has changed since, or cannot be parsed is counted as left out and stops nothing.
    """
    by_exercise: dict[str, list[ResultRecord]] = {}
    for record in counted_records(records).values():
        if record.status in ATTEMPTED:
            by_exercise.setdefault(record.exercise, []).append(record)
    return tuple(
        _compare_exercise(exercise, by_exercise[exercise.id])
        for exercise in course.exercises
        if exercise.id in by_exercise
    )


def _compare_exercise(exercise: Exercise, records: Sequence[ResultRecord]) -> ExerciseSimilarity:
    stub = _read_stub(exercise)
    codes = [code for record in records if (code := _read_code(record, stub)) is not None]
    return compare(exercise.id, codes, known_hashes(_known_sources(exercise, stub)), len(records) - len(codes))


def _read_stub(exercise: Exercise) -> Stub | None:
    try:
        return read_stub(exercise.stub_path)
    except (SubmissionError, OSError):
        return None


def _read_code(record: ResultRecord, stub: Stub | None) -> SubmittedCode | None:
    """The student's own cells; None where they cannot be had as they were graded."""
    if not record.source:
        return None
    try:
        cells, sha256 = read_own_code(Path(record.source), stub)
    except (SubmissionError, OSError, ValueError):
        return None
    if record.submission_hash and sha256 != record.submission_hash:
        return None
    return SubmittedCode(record.student, cells, sha256) if sum(map(len, cells)) <= MAX_CHARACTERS else None


def _known_sources(exercise: Exercise, stub: Stub | None) -> Iterable[str]:
    """What was handed out, the reference, and every answer, right or wrong, that the catalogue expects."""
    if stub is not None:
        yield from stub.code_cells
        yield from stub.check_cells
    try:
        reference = exercise.reference_path.read_text(encoding="utf-8")
    except OSError:
        return
    yield reference
    try:
        catalogue = load_catalogue(exercise.catalogue_path)
        yield from (apply_change(entry, reference) for entry in catalogue.wrong_answers)
        yield from (apply_change(entry, reference) for entry in catalogue.alternatives)
    except (CatalogueError, OSError):
        return
