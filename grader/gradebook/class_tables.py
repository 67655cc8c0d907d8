"""Everything the class report shows, as CSV tables that are safe to open in a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.checking.record import ResultRecord
from grader.gradebook.attention import students_to_help
from grader.gradebook.class_summary import ClassSummary
from grader.gradebook.csv_export import Value, to_csv
from grader.gradebook.files import write_text
from grader.gradebook.similarity import ExerciseSimilarity

TABLES_FOLDER = "tables"

Rows = list[list[Value]]


@dataclass(frozen=True)
class ClassTables:
    """What the tables are made of."""

    summary: ClassSummary
    records: Sequence[ResultRecord]
    similarity: Sequence[ExerciseSimilarity] = ()


def write_class_tables(tables: ClassTables, directory: Path) -> tuple[Path, ...]:
    """Write every table into a directory, and return their paths.

    Raises OSError when one cannot be written.
    """
    paths = []
    for name, rows in TABLES.items():
        paths.append(directory / name)
        write_text(paths[-1], to_csv(rows(tables)))
    return tuple(paths)


def results_table(tables: ClassTables) -> Rows:
    """One row a student and exercise."""
    header = ["student", "exercise", "status", "points", "max_points", "grading_seconds", "misconceptions"]
    return _table(
        [*header, "message", "checks_hash", "submission_hash", "source"],
        (
            [
                record.student,
                record.exercise,
                record.status.value,
                record.points,
                record.max_points,
                record.seconds,
                _listed(diagnosis.id for diagnosis in record.diagnoses),
                record.message,
                record.checks_hash,
                record.submission_hash,
                record.source,
            ]
            for record in tables.records
        ),
    )


def students_table(tables: ClassTables) -> Rows:
    """One row a student, with the reasons why somebody should talk to them."""
    reasons = {entry.row.student: "; ".join(entry.reasons) for entry in students_to_help(tables.summary)}
    return _table(
        ["student", "handed_in", "exercises", "points", "max_points", "share", "needs_help_because"],
        (
            [
                row.student,
                row.handed_in,
                len(row.cells),
                row.points,
                row.max_points,
                row.share,
                reasons.get(row.student, ""),
            ]
            for row in tables.summary.students
        ),
    )


def exercises_table(tables: ClassTables) -> Rows:
    """One row an exercise: its item analysis, and how long it takes."""
    header = ["exercise", "title", "graded", "not_handed_in", "complete", "mean", "median", "max_points"]
    return _table(
        [*header, "difficulty", "discrimination", "promised_minutes", *(f"grading_seconds_{word}" for word in _TIMES)],
        (
            [
                exercise.exercise,
                exercise.title,
                exercise.graded,
                exercise.not_handed_in,
                exercise.complete,
                exercise.mean,
                exercise.median,
                exercise.max_points,
                exercise.mean_share,
                exercise.discrimination,
                exercise.minutes,
                *(None if exercise.time is None else getattr(exercise.time, word) for word in _TIMES),
            ]
            for exercise in tables.summary.exercises
        ),
    )


def check_analysis_table(tables: ClassTables) -> Rows:
    """One row a check: its item analysis, and what to look at."""
    header = ["exercise", "check", "title", "visible", "max_points", "answered", "passed", "broken"]
    return _table(
        [*header, "difficulty", "discrimination", "look_at"],
        (
            [
                exercise.exercise,
                check.name,
                check.title,
                _yes(check.visible),
                check.max_points,
                check.answered,
                check.passed,
                check.broken,
                check.pass_rate,
                check.discrimination,
                "; ".join(map(str, check.hints)),
            ]
            for exercise in tables.summary.exercises
            for check in exercise.checks
        ),
    )


def misconceptions_table(tables: ClassTables) -> Rows:
    """One row a misconception, the most common first."""
    return _table(
        ["exercise", "misconception", "title", "submissions", "match_in_every_result", "students"],
        (
            [
                diagnosis.exercise,
                diagnosis.id,
                diagnosis.title,
                diagnosis.count,
                diagnosis.exact,
                _listed(diagnosis.students),
            ]
            for diagnosis in tables.summary.diagnoses
        ),
    )


def similarity_table(tables: ClassTables) -> Rows:
    """One row a pair of submissions that are more alike than is usual for their exercise."""
    header = ["exercise", "student_1", "student_2", "similarity", "shared_fingerprints", "evidence", "same_file"]
    return _table(
        [*header, "similarity_below_which_three_quarters_of_pairs_are", "similarity_needed"],
        (
            [
                pair.exercise,
                *pair.students,
                pair.similarity,
                pair.shared,
                pair.evidence,
                _yes(pair.same_file),
                exercise.usual,
                exercise.bound,
            ]
            for exercise in tables.similarity
            for pair in exercise.pairs
        ),
    )


def identical_table(tables: ClassTables) -> Rows:
    """One row a file that several students handed in."""
    return _table(
        ["exercise", "submission_hash", "points", "max_points", "students"],
        (
            [group.exercise, group.submission_hash, group.points, group.max_points, _listed(group.students)]
            for group in tables.summary.identical
        ),
    )


TABLES: dict[str, Callable[[ClassTables], Rows]] = {
    "results.csv": results_table,
    "students.csv": students_table,
    "exercises.csv": exercises_table,
    "check_analysis.csv": check_analysis_table,
    "misconceptions.csv": misconceptions_table,
    "similarity.csv": similarity_table,
    "identical.csv": identical_table,
}

_TIMES = ("median", "longest", "total")


def _table(header: Iterable[str], rows: Iterable[Iterable[Value | None]]) -> Rows:
    """A table whose numbers are rounded to four digits; what is undefined is an empty cell."""
    return [list(header), *([_cell(value) for value in row] for row in rows)]


def _cell(value: Value | None) -> Value:
    if value is None:
        return ""
    if isinstance(value, float):
        rounded = round(value, 4)
        return int(rounded) if rounded.is_integer() else rounded
    return value


def _listed(names: Iterable[str]) -> str:
    return "; ".join(names)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
