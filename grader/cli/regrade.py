"""`course regrade`: grading again after the checks changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.cli.diff import Table, Versions
from grader.cli.options import Address, Engine, Json, complete_exercise, engine_kind


def run(
    submissions: Annotated[
        Path,
        typer.Argument(metavar="DIR", exists=True, help="The submissions, as for `course grade`."),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="The folder of results that `course grade` wrote.")
    ] = Path("results"),
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would change, and write nothing into the folder of results."),
    ] = False,
    exercise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Only this exercise, may be repeated; the others keep their results.",
            autocompletion=complete_exercise,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Submissions graded at once, on every machine. Default: one a core."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Seed of the checks' random inputs. Default: that of the earlier run."),
    ] = None,
    unconfined: Annotated[
        bool,
        typer.Option("--unconfined", help="Grade although this machine cannot confine the students' code. Dangerous."),
    ] = False,
    as_json: Json = False,
    csv: Table = None,
    versions: Versions = None,
    db: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of nbgrader's gradebook, as for `course grade`. Default: gradebook.db in the output folder.",
        ),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Grade again what a change of the checks concerns, and show whose score changes and why.

    Try it first with --dry-run: that shows every score that would change, the check that changed it, and the versions
    of the checks before and after. What it graded is kept outside of the results, so that regrading then takes the very
    same results over. May be interrupted at any moment: the same command goes on where it stopped.

    Without --dry-run, the earlier results are kept as a run (results/runs/0001, …), for `course diff`. Points and
    comments that a person gave in formgrader are never touched.

    Exit status: with --dry-run 0 when no result would change and 1 when some would; without it 0 when it is done
    and 1 when all but the gradebook could be written.
    """
    from grader.cli.regrade_display import regrade_with_progress
    from grader.course import load_course
    from grader.grading.class_grading import ClassRun
    from grader.grading.runs import read_run

    kind = engine_kind(engine, address)
    course = load_course()
    run = ClassRun(
        course=course,
        place=submissions,
        output=output,
        exercises=course.select(exercise or ()),
        jobs=jobs,
        seed=read_run(output).seed if seed is None else seed,
        confine=not unconfined,
        database_url=db,
        engine=kind,
        address=address,
    )
    raise typer.Exit(regrade_with_progress(run, dry_run=dry_run, as_json=as_json, table=csv, manifest=versions))
