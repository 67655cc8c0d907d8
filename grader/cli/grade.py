"""`course grade`: a whole class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.cli.options import Address, Engine, Json, Seed, complete_exercise, engine_kind


def run(
    submissions: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            exists=True,
            help="nbgrader's submitted/ (<student>/<topic>/<exercise>.ipynb), or a flat folder, a zip as a learning "
            "platform exports it, or a folder of such zips.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Where results, feedback and the report go.")
    ] = Path("results"),
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Submissions graded at once, on every machine. Default: one a core."),
    ] = None,
    exercise: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this exercise; may be repeated.", autocompletion=complete_exercise),
    ] = None,
    seed: Seed = 0,
    unconfined: Annotated[
        bool,
        typer.Option("--unconfined", help="Grade although this machine cannot confine the students' code. Dangerous."),
    ] = False,
    as_json: Json = False,
    db: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of nbgrader's gradebook: sqlite:///FILE, or postgresql://USER@HOST/NAME (extra postgresql; "
            "~/.pgpass keeps the password). Default: gradebook.db in the output folder.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Grade everything again, also what has not changed since the last run.")
    ] = False,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Grade a folder of submissions, in parallel and out of the students' reach.

    May be interrupted at any moment: the next run goes on where this one stopped, and grades only what changed. Writes
    a gradebook for nbgrader, feedback for every student and a report on the class. A wrong or broken submission is a
    result, not an error: the exit status is 0 when every submission got one.

    The exit status is 1 when everything was written but the gradebook (read-only, or locked by formgrader, say), and 2
    when grading stopped, for example on a full disk. Then what was graded is kept: put right what the message names and
    run the same command again. Only one grader at a time writes to an output folder.
    """
    from grader.cli.grade_display import grade_with_progress
    from grader.course import load_course
    from grader.grading.class_grading import ClassRun

    kind = engine_kind(engine, address)
    course = load_course()
    grade_with_progress(
        ClassRun(
            course=course,
            place=submissions,
            output=output,
            exercises=course.select(exercise or ()),
            jobs=jobs,
            seed=seed,
            confine=not unconfined,
            fresh=fresh,
            database_url=db,
            engine=kind,
            address=address,
        ),
        as_json=as_json,
    )
