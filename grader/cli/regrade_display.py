"""What `course regrade` shows: progress, then whose score changes and why."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from grader.checking.outcome import SubmissionStatus
from grader.cli.diff_display import show_comparison, version_names, write_table
from grader.cli.grade_display import UNCONFINED, grading_progress, nothing_to_run
from grader.cli.tables import console_for_tables, printable_text
from grader.grading.class_grading import ClassRun, GradingStopped
from grader.grading.regrading import Regraded, regrade, try_regrading
from grader.grading.run_comparison import to_dict

TRIED = "Nothing was written into {output}. Without --dry-run these results take the place of the present ones."
DONE = "The results in {output} are up to date."
KEPT = "The earlier results are kept: course diff {kept} {output}"
COUNTS = "{notebooks} notebooks: {graded} graded now, {reused} taken from the journal{rest}; {seconds:.1f} s."


def regrade_with_progress(
    run: ClassRun, *, dry_run: bool, as_json: bool, table: Path | None, manifest: Path | None
) -> int:
    """Regrade with a progress bar on standard error and the result on standard output; returns the exit status.

    Raises typer.Exit(130) when interrupted, and what `regrade` raises.
    """
    errors = Console(stderr=True)
    if not run.confine:
        errors.print(f"[bold red]{UNCONFINED}[/]")
    names = version_names(manifest)
    try:
        with grading_progress(errors, quiet=as_json) as (on_start, on_result):
            regraded = (try_regrading if dry_run else regrade)(run, on_start, on_result)
    except GradingStopped as error:
        errors.print(f"course: {error}")
        raise typer.Exit(130) from None
    write_table(regraded.comparison, table, names)
    if as_json:
        print(json.dumps(_as_json(run, regraded, dry_run), indent=1))
    else:
        console = console_for_tables()
        show_comparison(console, regraded.comparison, names)
        _show_end(console, run, regraded, dry_run)
    if dry_run:
        return 1 if regraded.comparison.changes else 0
    return 0 if regraded.result.gradebook else 1  # a note says why the gradebook was not written


def _as_json(run: ClassRun, regraded: Regraded, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "output": str(run.output),
        "kept": str(regraded.kept) if regraded.kept else None,
        "reused": regraded.result.reused,
        "seconds": round(regraded.result.seconds, 3),
        "notes": regraded.result.notes,
        **to_dict(regraded.comparison),
    }


def _show_end(console: Console, run: ClassRun, regraded: Regraded, dry_run: bool) -> None:
    records = [record for record in regraded.result.records if record.exercise]
    asked_for = {exercise.id for exercise in run.exercises}
    notebooks = sum(
        record.status is not SubmissionStatus.MISSING and record.exercise in asked_for for record in records
    )
    graded, reused = regraded.result.graded, regraded.result.reused
    rest = nothing_to_run(notebooks - graded - reused)
    console.print()
    for record in records:
        if record.status is SubmissionStatus.GRADER_ERROR:
            message = f"Grader error: {record.student} · {record.exercise}: {record.message}"
            console.print(printable_text(message), soft_wrap=True)
    for note in regraded.result.notes:
        console.print(printable_text(f"Note: {note}"), soft_wrap=True)
    counts = COUNTS.format(
        notebooks=notebooks, graded=graded, reused=reused, rest=rest, seconds=regraded.result.seconds
    )
    console.print(counts, highlight=False)
    console.print(Text((TRIED if dry_run else DONE).format(output=run.output)), soft_wrap=True)
    if regraded.kept is not None:
        console.print(Text(KEPT.format(kept=regraded.kept, output=run.output)), soft_wrap=True)
