"""What `course check` shows a student: a verdict grouped by check, the first failure explained, what to try next."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from grader.behaviours import Diagnostician
from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import LIKELY_CAUSE, CheckRecord, ResultRecord
from grader.course import Course, CourseError, Exercise, load_course
from grader.grading.collect import CollectedSubmission, exercise_of
from grader.grading.engine import ConfinementUnavailable, LocalEngine
from grader.grading.submission_grading import Grader

YOURSELF = "you"
UNCONFINED = "This machine cannot confine your code, so it runs with your own rights. Fine for your own work."
STUB_MARKS = ("raise NotImplementedError(", "# YOUR ANSWERS HERE")  # what `course build` leaves in a cell to be written
NOTHING_CHANGED = (
    "No notebook in exercises/ has been changed yet. Open one in Jupyter, write your answer, save, and check again."
)
MARKS = {
    CheckOutcome.PASSED: ("✓", "green"),
    CheckOutcome.FAILED: ("✗", "red"),
    CheckOutcome.TIMEOUT: ("⏱", "red"),
    CheckOutcome.CRASHED: ("✗", "red"),
    CheckOutcome.ERROR: ("!", "magenta"),
    CheckOutcome.SKIPPED: ("·", "dim"),
}


def check_and_show(target: str | None, *, watch: bool, as_json: bool, seed: int) -> int:
    """Check one's own notebooks and show the result. Returns the exit status: 0 when every check passes.

    Raises CourseError for a target that is neither an exercise nor a notebook, LibraryMissing.
    """
    course = load_course()
    targets = list(_targets(course, target))
    console = Console(stderr=as_json)
    if not targets:
        console.print(NOTHING_CHANGED)
        return 1
    with _engine(course, console, [exercise for exercise, _ in targets]) as engine:
        engine.warm(*dict.fromkeys(exercise.framework for exercise, _ in targets))
        grader = Grader(engine, Diagnostician(engine, _cache(course)), seed)
        status = _check_once(grader, targets, console, as_json)
        while watch:
            changed = _wait_for_change([path for _, path in targets], console)
            if changed is None:
                return status
            status = _check_once(grader, [entry for entry in targets if entry[1] in changed], console, as_json)
    return status


def _engine(course: Course, console: Console, exercises: Sequence[Exercise]) -> LocalEngine:
    try:
        return LocalEngine(course, exercises=exercises)
    except ConfinementUnavailable as error:
        console.print(f"[yellow]{UNCONFINED}[/] ({escape(str(error))})")
        return LocalEngine(course, confine=False, exercises=exercises)


def _cache(course: Course) -> Path:
    """Where the behaviour of known mistakes is kept: in the course, or somewhere temporary when that is read-only."""
    place = course.root / ".course" / "diagnosis"
    try:
        place.mkdir(parents=True, exist_ok=True)
        return place
    except OSError:
        return Path(tempfile.gettempdir()) / "course-diagnosis"


def _targets(course: Course, target: str | None) -> Iterator[tuple[Exercise, Path]]:
    """The notebooks to check, each with its exercise."""
    if target is None:
        for exercise in course.exercises:
            if exercise.stub_path.is_file() and _is_changed(exercise):
                yield exercise, exercise.stub_path
        return
    path = Path(target)
    if path.suffix in (".ipynb", ".py") or path.is_file():
        if not path.is_file():
            raise CourseError(f"{target}: there is no such file")
        found = exercise_of(path.stem, course.exercises, path.resolve().parent.name)
        if found is None:
            names = ", ".join(exercise.slug for exercise in course.exercises)
            raise CourseError(f"{target}: the file name matches no exercise; rename it to one of: {names}")
        yield found, path
        return
    exercise = course.exercise(target)
    if not exercise.stub_path.is_file():
        raise CourseError(
            f"{exercise.stub_path}: the notebook is missing; get it back with `course build {exercise.id}`"
        )
    yield exercise, exercise.stub_path


def _is_changed(exercise: Exercise) -> bool:
    """Whether somebody has begun on a notebook in exercises/: a cell to be written is no longer as handed out."""
    try:
        notebook = json.loads(exercise.stub_path.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True  # whatever it is, it is not the stub; checking it says what is wrong
    return any(not any(mark in source for mark in STUB_MARKS) for source in sources)


def _check_once(grader: Grader, targets: Sequence[tuple[Exercise, Path]], console: Console, as_json: bool) -> int:
    records = []
    for exercise, path in targets:
        started = time.monotonic()
        if not as_json and sys.stdout.isatty():
            console.print(f"Checking {exercise.id} …", style="dim")
        record = check_notebook(grader, exercise, path)
        records.append(replace(record, seconds=round(time.monotonic() - started, 3)))
        if not as_json:
            show_record(console, exercise, records[-1])
    if as_json:
        print(json.dumps([record.to_dict() for record in records], indent=1))
    complete = all(
        record.status is SubmissionStatus.GRADED and record.points == record.max_points for record in records
    )
    return 0 if complete else 1


def check_notebook(grader: Grader, exercise: Exercise, path: Path) -> ResultRecord:
    """Check one notebook; the record says everything."""
    collected = CollectedSubmission(YOURSELF, exercise.id, str(path), path)
    read = grader.read(exercise, collected)
    return read if isinstance(read, ResultRecord) else grader.grade(exercise, collected, read)


def show_record(console: Console, exercise: Exercise, record: ResultRecord) -> None:
    """Print a verdict: every check, the first failure in full, the misconception it looks like."""
    console.print(Text(f"\n{exercise.title}  ", style="bold") + Text(f"({exercise.id})", style="dim"))
    if record.status is not SubmissionStatus.GRADED:
        console.print(Text(f"{record.status.value}: {record.message}", style="yellow"))
    for check in record.checks:
        mark, style = MARKS[check.outcome]
        points = f"{check.points:g}/{check.max_points:g}"
        console.print(Text(f"  {mark} ", style=style) + Text(check.title) + Text(f"  {points}", style="dim"))
    first = next((check for check in record.checks if check.outcome is not CheckOutcome.PASSED), None)
    if first is not None and record.status is SubmissionStatus.GRADED:
        console.print(Panel(_explanation(first), title="first to fix", title_align="left", border_style="red"))
        if record.diagnoses or not any(clear in first.message for clear in (LIKELY_CAUSE, "ForbiddenCall")):
            console.print(_diagnosis(record))
    if record.notes:
        console.print(
            Text("Notes on reading the notebook:\n" + "\n".join(f"  {note}" for note in record.notes), style="dim")
        )
    if record.output.strip():
        lines = record.output.rstrip().strip("\n").splitlines()
        shown = "\n".join(lines[:8]) + (f"\n… {len(lines) - 8} more lines" if len(lines) > 8 else "")
        console.print(Panel(Text(shown), title="your code printed", title_align="left", border_style="dim"))
    console.print(Text(f"{record.points:g} of {record.max_points:g} points, {record.seconds:.2f} s", style="bold"))
    if exercise.written_points:
        console.print(
            Text(f"The written answer ({exercise.written_points:g} points) is read by a person.", style="dim")
        )


def _explanation(check: CheckRecord) -> Text:
    text = Text(check.title, style="bold")
    text.append(f"\n{check.message}", style="not bold")
    if check.called and check.called not in check.message:
        text.append(f"\nCalled: {check.called}", style="dim not bold")
    return text


def _diagnosis(record: ResultRecord) -> Text:
    if not record.diagnoses:
        return Text("It behaves like none of the mistakes in the catalogue.", style="dim")
    best = record.diagnoses[0]
    how = "Behaves exactly like" if best.match == "exact" else "Looks like"
    return Text(f"{how}: {best.title}\n", style="bold yellow") + Text(best.explanation, style="not bold")


def _wait_for_change(paths: Sequence[Path], console: Console) -> set[Path] | None:
    """Wait until one of the notebooks is saved. None on Ctrl-C."""
    from watchfiles import watch

    console.print("Watching; save the notebook to check again, Ctrl-C ends.", style="dim")
    real = {path.resolve(): path for path in paths}
    for changes in watch(*{path.parent for path in real}, raise_interrupt=False, debounce=100, step=50):
        changed = {real[Path(name).resolve()] for _, name in changes if Path(name).resolve() in real}
        if changed:
            return changed
    return None
