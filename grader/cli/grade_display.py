"""What `course grade` shows: progress while it runs, a table and the way to the reports at the end."""

from __future__ import annotations

import json
import sys

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.gradebook.summary import counted_records
from grader.gradebook.wording import clean_text
from grader.grading.class_grading import FEEDBACK_FOLDER, ClassResult, ClassRun, GradingStopped, grade_class

UNCONFINED = "Grading without confinement: the students' code can read and change everything that you can."
MAX_ROWS = 60
_LIKE = {"exact": "behaves like", "partial": "looks like"}
_SHORT = {
    SubmissionStatus.MISSING: "–",
    SubmissionStatus.UNREADABLE: "unreadable",
    SubmissionStatus.NO_CODE: "no code",
    SubmissionStatus.SYNTAX_ERROR: "syntax error",
    SubmissionStatus.UNTOUCHED: "untouched",
    SubmissionStatus.TIMED_OUT: "timed out",
    SubmissionStatus.CRASHED: "crashed",
    SubmissionStatus.DUPLICATE: "duplicate",
    SubmissionStatus.REFUSED: "refused",
    SubmissionStatus.GRADER_ERROR: "GRADER ERROR",
}


def grade_with_progress(run: ClassRun, *, as_json: bool) -> None:
    """Grade a class with a progress bar on standard error and the result on standard output.

    Raises typer.Exit(130) when interrupted.
    """
    errors = Console(stderr=True)
    if not run.confine:
        errors.print(f"[bold red]{UNCONFINED}[/]")
    columns = (
        TextColumn("Grading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    )
    with Progress(*columns, console=errors, disable=as_json and not sys.stderr.isatty()) as progress:
        task = progress.add_task("grading", total=None, last="")

        def on_start(count: int) -> None:
            progress.update(task, total=count)

        def on_result(record: ResultRecord, reused: bool) -> None:
            last = f"{record.student} · {record.exercise}" + (" (unchanged)" if reused else "")
            progress.update(task, advance=1, last=clean_text(last)[:60])

        try:
            result = grade_class(run, on_start, on_result)
        except GradingStopped as error:
            progress.stop()
            errors.print(f"course: {error}")
            raise typer.Exit(130) from None
        progress.update(task, last="done")
    if as_json:
        print(json.dumps(_as_json(result), indent=1))
    else:
        _show(Console(), run, result)


def _as_json(result: ClassResult) -> dict[str, object]:
    return {
        "records": [record.to_dict() for record in result.records],
        "reused": result.reused,
        "seconds": round(result.seconds, 3),
        "report": str(result.report),
        "gradebook": result.gradebook,
        "notes": result.notes,
    }


def _show(console: Console, run: ClassRun, result: ClassResult) -> None:
    counted = [record for record in result.records if record.exercise]
    exercises = [exercise for exercise in run.exercises if any(record.exercise == exercise.id for record in counted)]
    cells = counted_records(counted)
    students = sorted({record.student for record in counted}, key=str.casefold)
    table = Table(title=f"{run.course.title}: {len(students)} students", title_justify="left")
    table.add_column("student")
    for exercise in exercises:
        table.add_column(exercise.slug.replace("_", " "), justify="right", overflow="fold")
    table.add_column("points", justify="right")
    worth = sum(exercise.points for exercise in exercises)
    for student in students[:MAX_ROWS]:
        row = [cells.get((student, exercise.id)) for exercise in exercises]
        total = sum(record.points for record in row if record is not None)
        table.add_row(_text(student), *(_cell(record) for record in row), f"{total:g}/{worth:g}")
    console.print(table)
    if len(students) > MAX_ROWS:
        console.print(f"… and {len(students) - MAX_ROWS} more students in the report.")
    diagnosed = [
        f"  {record.student} · {record.exercise}: {_LIKE[record.diagnoses[0].match]} {record.diagnoses[0].title}"
        for record in counted
        if record.diagnoses
    ]
    if diagnosed:
        console.print(_text("\n".join(["Misconceptions recognised:", *diagnosed[:15]])))
        if len(diagnosed) > 15:
            console.print(f"  … and {len(diagnosed) - 15} more in the report.")
    odd = [
        f"  {record.student} · {record.exercise or record.source}: {record.status.value}: "
        + record.message.partition("\n")[0]
        for record in result.records
        if record.status in (SubmissionStatus.REFUSED, SubmissionStatus.DUPLICATE, SubmissionStatus.GRADER_ERROR)
    ]
    if odd:
        console.print(_text("\n".join(["A person should look at these:", *odd])))
    for note in result.notes:
        console.print(_text(f"Note: {note}"))
    notebooks = sum(record.status is not SubmissionStatus.MISSING for record in result.records)
    console.print(
        f"{notebooks} notebooks: {notebooks - result.reused} graded now, {result.reused} unchanged since the last run; "
        f"{result.seconds:.1f} s.",
        highlight=False,
    )
    console.print(Text(f"Gradebook:    {result.gradebook or 'not written'}"), soft_wrap=True)
    console.print(Text(f"Feedback:     {run.output / FEEDBACK_FOLDER}"), soft_wrap=True)
    console.print(Text(f"Class report: {result.report}"), soft_wrap=True)


def _text(text: str) -> Text:
    """Text with names and messages of students in it, which must not steer the terminal."""
    return Text(clean_text(text))


def _cell(record: ResultRecord | None) -> Text:
    if record is None or record.status is SubmissionStatus.MISSING:
        return Text("–", style="dim")
    if record.status is not SubmissionStatus.GRADED:
        return Text(_SHORT[record.status], style="red" if record.status is SubmissionStatus.GRADER_ERROR else "yellow")
    style = "green" if record.points == record.max_points else "" if record.points else "yellow"
    return Text(f"{record.points:g}/{record.max_points:g}", style=style)
