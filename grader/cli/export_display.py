"""What `course export` writes for gradebooks and reports, and what it shows: files, counts, and who is left over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from grader.cli.tables import printable_text
from grader.course import load_course
from grader.gradebook.files import write_text
from grader.grading.results_file import RunResults, read_results
from grader.platforms.canvas import fill_gradebook, read_gradebook
from grader.platforms.canvas_columns import exercises_of_columns
from grader.platforms.junit import junit_xml
from grader.platforms.moodle import fill_worksheet, read_worksheet
from grader.platforms.placing import Unmatched
from grader.platforms.points import ExportError, StudentPoints, points_by_student, with_written

GRADEBOOK_NAME = "gradebook.db"  # of class_grading, which need not be imported for it
CANVAS_FILE, MOODLE_FILE, JUNIT_FILE = "canvas.csv", "moodle.csv", "junit.xml"
MAX_SHOWN, MAX_NAMES = 50, 10
WITHOUT_RESULTS = "{count} students there have no points here, and stay as they are: {names}"
SEVERAL_EXERCISES = "{folder} has results of {count} exercises; name those of this assignment with --exercise: {names}"
NOTHING_OF = "{folder} has no results of {names}; it has: {known}"
OTHER_MAXIMUM = (
    "{column}: full marks are {ours:g} points here and {theirs:g} there, and points were given as they are; --scale "
    "converts them."
)


@dataclass(frozen=True)
class PointsFrom:
    """Where points come from: the results in a folder and, with `written`, nbgrader's gradebook."""

    folder: Path
    written: bool = False
    database_url: str | None = None

    def points(self, results: RunResults, exercises: Sequence[str]) -> list[StudentPoints]:
        """The points of every student over these exercises. Raises GradebookError."""
        students = points_by_student(results.counted, exercises)
        if not self.written:
            return students
        from grader.gradebook.nbgrader_scores import read_scores

        default = f"sqlite:///{(self.folder / GRADEBOOK_NAME).absolute()}"
        return with_written(students, read_scores(self.database_url or default, exercises))


def export_canvas(
    source: PointsFrom, gradebook_path: Path, columns: Sequence[str], output: Path | None, *, scale: bool, as_json: bool
) -> int:
    """Fill Canvas' gradebook. Returns the exit status.

    Raises ExportError, ResultsError, GradebookError, CourseError, OSError.
    """
    results, course = read_results(source.folder), load_course()
    gradebook = read_gradebook(gradebook_path)
    wanted = exercises_of_columns(gradebook, course, _exercises(results), columns)
    points = {column: source.points(results, exercises) for column, exercises in wanted.items()}
    export = fill_gradebook(gradebook, points, scale=scale)
    notes = [*results.notes, *_other_maximum(points, {c: gradebook.possible(c) for c in points}, scale)]
    path = output or source.folder / CANVAS_FILE
    write_text(path, export.text)
    notes += _without_results(export.without_results)
    return _report(path, export.filled, export.unmatched, notes, as_json=as_json)


def export_moodle(
    source: PointsFrom,
    worksheet_path: Path,
    exercises: Sequence[str],
    output: Path | None,
    *,
    scale: bool,
    as_json: bool,
) -> int:
    """Fill Moodle's worksheet. Returns the exit status. Raises ExportError, ResultsError, GradebookError, OSError."""
    folder = source.folder
    results = read_results(folder)
    worksheet = read_worksheet(worksheet_path)
    known = _exercises(results)
    if not exercises and len(known) > 1:
        raise ExportError(SEVERAL_EXERCISES.format(folder=folder, count=len(known), names=", ".join(known)))
    chosen = _chosen(folder, known, exercises)
    points = source.points(results, chosen)
    column = ", ".join(chosen)
    export = fill_worksheet(worksheet, points, column=column, scale=scale)
    maximum = worksheet.maximum(0) if worksheet.students else None
    notes = [*results.notes, *_other_maximum({column: points}, {column: maximum}, scale)]
    path = output or source.folder / MOODLE_FILE
    write_text(path, export.text)
    notes += _without_results(export.without_results)
    return _report(path, {column: export.filled}, export.unmatched, notes, as_json=as_json)


def export_junit(folder: Path, exercises: Sequence[str], output: Path | None, *, as_json: bool) -> None:
    """Write JUnit XML. Raises ExportError, ResultsError, OSError."""
    results = read_results(folder)
    chosen = _chosen(folder, _exercises(results), exercises)
    records = [record for record in results.counted if record.exercise in chosen]
    path = output or folder / JUNIT_FILE
    write_text(path, junit_xml(records))
    _report(path, Counter(record.exercise for record in records), (), results.notes, as_json=as_json)


def _exercises(results: RunResults) -> list[str]:
    return sorted({record.exercise for record in results.counted})


def _chosen(folder: Path, known: Sequence[str], exercises: Sequence[str]) -> list[str]:
    unknown = [id for id in exercises if id not in known]
    if unknown:
        names = ", ".join(unknown)
        raise ExportError(NOTHING_OF.format(folder=folder, names=names, known=", ".join(known) or "none"))
    return list(dict.fromkeys(exercises)) or list(known)


def _other_maximum(
    points: dict[str, list[StudentPoints]], possible: dict[str, float | None], scale: bool
) -> Iterable[str]:
    for column, students in points.items():
        ours, theirs = max((one.max_points for one in students), default=0.0), possible[column]
        if theirs is not None and not scale and students and abs(ours - theirs) > 0.005:
            yield OTHER_MAXIMUM.format(column=column, ours=ours, theirs=theirs)


def _without_results(names: Sequence[str]) -> Iterable[str]:
    if names:
        some = "; ".join(names[:MAX_NAMES]) + ("; …" if len(names) > MAX_NAMES else "")
        yield WITHOUT_RESULTS.format(count=len(names), names=some)


def _report(
    path: Path, filled: Mapping[str, int], unmatched: Sequence[Unmatched], notes: Sequence[str], *, as_json: bool
) -> int:
    """Show what was written and who is left over. Returns 1 when a student's work has no place to go."""
    problems = [one for one in unmatched if one.is_problem]
    if as_json:
        left = [asdict(one) for one in unmatched]
        print(json.dumps({"file": str(path), "filled": filled, "unmatched": left, "notes": list(notes)}, indent=1))
        return 1 if problems else 0
    console = Console(soft_wrap=True, highlight=False)
    for column, count in filled.items():
        console.print(printable_text(f"{column}: {count} results"))
    if len(unmatched) > len(problems):
        console.print(f"{len(unmatched) - len(problems)} handed in nothing, and what stands there is left as it is.")
    if problems:
        console.print(f"{len(problems)} not passed on:", style="yellow")
        for one in problems[:MAX_SHOWN]:
            console.print(printable_text(f"  {one.student} · {one.column}: {one.reason}"))
        if len(problems) > MAX_SHOWN:
            console.print(f"  … and {len(problems) - MAX_SHOWN} more; --json lists all.")
    for note in notes:
        console.print(printable_text(f"Note: {note}"))
    console.print(printable_text(f"Written: {path}"))
    return 1 if problems else 0
