"""What `course grade` shows: progress while it runs, a table and the way to the reports at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.cli.class_table import show_class_table
from grader.cli.tables import console_for_tables, printable_text
from grader.gradebook.summary import counted_records
from grader.gradebook.wording import clean_text
from grader.grading.class_grading import FEEDBACK_FOLDER, ClassResult, ClassRun, GradingStopped, grade_class
from grader.grading.class_grading import Progress as OnResult

UNCONFINED = "Grading without confinement: the students' code can read and change everything that you can."
REPORTING = "comparing submissions and writing the reports …"
COUNTS = "{notebooks} notebooks: {graded} graded now, {reused} unchanged since the last run"
NOTHING_TO_RUN = ", {count} with nothing to run"  # untouched, unreadable, refused …
MAX_ROWS = 60
_LIKE = {"exact": "behaves like", "partial": "looks like"}


def grade_with_progress(run: ClassRun, *, as_json: bool) -> None:
    """Grade a class with a progress bar on standard error and the result on standard output.

    Raises typer.Exit: 130 when interrupted, 1 when the gradebook could not be written.
    """
    errors = Console(stderr=True)
    if not run.confine:
        errors.print(f"[bold red]{UNCONFINED}[/]")
    try:
        with grading_progress(errors, quiet=as_json) as (on_start, on_result):
            result = grade_class(run, on_start, on_result)
    except GradingStopped as error:
        errors.print(f"course: {error}")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(_as_json(result), indent=1))
    else:
        _show(console_for_tables(), run, result)
    if not result.gradebook:
        raise typer.Exit(1)


@contextmanager
def grading_progress(errors: Console, *, quiet: bool) -> Iterator[tuple[Callable[[int], None], OnResult]]:
    """A progress bar; what to call with the number of submissions, and with every result."""
    columns = (
        TextColumn("Grading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    )
    with Progress(*columns, console=errors, disable=quiet and not sys.stderr.isatty()) as progress:
        task = progress.add_task("grading", total=None, last="")

        def on_start(count: int) -> None:
            progress.update(task, total=count)

        def on_result(record: ResultRecord, reused: bool) -> None:
            last = f"{record.student} · {record.exercise}" + (" (unchanged)" if reused else "")
            progress.update(task, advance=1, last=clean_text(last)[:60])
            if progress.tasks[task].finished:
                progress.update(task, last=REPORTING)

        yield on_start, on_result
        progress.update(task, last="done")


def _as_json(result: ClassResult) -> dict[str, object]:
    return {
        "records": [record.to_dict() for record in result.records],
        "reused": result.reused,
        "identical": result.identical,
        "seconds": round(result.seconds, 3),
        "report": str(result.report),
        "gradebook": result.gradebook,
        "late": [entry.to_dict() for entry in result.late],
        "notes": result.notes,
    }


def _show(console: Console, run: ClassRun, result: ClassResult) -> None:
    counted = [record for record in result.records if record.exercise]
    exercises = [exercise for exercise in run.exercises if any(record.exercise == exercise.id for record in counted)]
    students = sorted({record.student for record in counted}, key=str.casefold)
    title = f"{run.course.title}: {len(students)} students"
    show_class_table(console, title, counted_records(counted), exercises, students[:MAX_ROWS])
    if len(students) > MAX_ROWS:
        console.print(f"… and {len(students) - MAX_ROWS} more students in the report.")
    diagnosed = [
        f"  {record.student} · {record.exercise}: {_LIKE[record.diagnoses[0].match]} {record.diagnoses[0].title}"
        for record in counted
        if record.diagnoses
    ]
    if diagnosed:
        console.print(printable_text("\n".join(["Misconceptions recognised:", *diagnosed[:15]])))
        if len(diagnosed) > 15:
            console.print(f"  … and {len(diagnosed) - 15} more in the report.")
    odd = [
        f"  {record.student} · {record.exercise or record.source}: {record.status.value}: "
        + record.message.partition("\n")[0]
        for record in result.records
        if record.status in (SubmissionStatus.REFUSED, SubmissionStatus.DUPLICATE, SubmissionStatus.GRADER_ERROR)
    ]
    if odd:
        console.print(printable_text("\n".join(["A person should look at these:", *odd])))
    for note in result.notes:
        console.print(printable_text(f"Note: {note}"))
    notebooks = sum(record.status is not SubmissionStatus.MISSING for record in result.records)
    counts = COUNTS.format(notebooks=notebooks, graded=result.graded, reused=result.reused)
    console.print(
        counts + nothing_to_run(notebooks - result.graded - result.reused) + f"; {result.seconds:.1f} s.",
        highlight=False,
    )
    console.print(Text(f"Gradebook:    {result.gradebook or 'not written'}"), soft_wrap=True)
    console.print(Text(f"Feedback:     {run.output / FEEDBACK_FOLDER}"), soft_wrap=True)
    console.print(Text(f"Class report: {result.report}"), soft_wrap=True)


def nothing_to_run(count: int) -> str:
    """The end of a sentence that counts notebooks; empty for none."""
    return NOTHING_TO_RUN.format(count=count) if count else ""
