"""`course export ...`: results and autograders for other platforms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.cli.options import Json, complete_exercise

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Take results and autograders to Gradescope, Canvas, Moodle, PrairieLearn, GitHub Classroom or JUnit XML.",
)

Results = Annotated[
    Path,
    typer.Argument(metavar="RESULTS", exists=True, file_okay=False, help="The output folder of `course grade`."),
]
Output = Annotated[
    Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Where to write. Default: into the folder RESULTS.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--exercise", metavar="ID", help="Only this exercise; may be repeated.", autocompletion=complete_exercise
    ),
]
Scale = Annotated[
    bool,
    typer.Option("--scale", help="Give points in proportion to the platform's maximum, instead of points as they are."),
]


@app.command()
def canvas(
    results: Results,
    gradebook: Annotated[
        Path,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="The gradebook that Canvas exported: Grades, Export."
        ),
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXERCISE=COLUMN",
            help="The assignment, by title or id, for the points of an exercise, or of all exercises of a topic; may "
            "be repeated. Default: the assignments that are called like an exercise or a topic.",
        ),
    ] = None,
    output: Output = None,
    scale: Scale = False,
    as_json: Json = False,
) -> None:
    """Put points into the columns of Canvas' own gradebook, ready to be imported.

    Students are found by Canvas' id, SIS user id or SIS login id, compared exactly. Whoever has points and no row is
    listed, and the exit status is then 1. Nothing is graded again.
    """
    from grader.cli.export_display import export_canvas

    raise typer.Exit(export_canvas(results, gradebook, column or [], output, scale=scale, as_json=as_json))


@app.command()
def moodle(
    results: Results,
    worksheet: Annotated[
        Path,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="The assignment's grading worksheet that Moodle made."
        ),
    ],
    exercise: Only = None,
    output: Output = None,
    scale: Scale = False,
    as_json: Json = False,
) -> None:
    """Put points and comments into the grading worksheet of a Moodle assignment, ready to be uploaded.

    Students are found by the participant's number or the email address, compared exactly. Whoever has points and no
    row is listed, and the exit status is then 1. Where RESULTS has several exercises, --exercise says which of them the
    assignment is.
    """
    from grader.cli.export_display import export_moodle

    raise typer.Exit(export_moodle(results, worksheet, exercise or [], output, scale=scale, as_json=as_json))


@app.command()
def junit(results: Results, exercise: Only = None, output: Output = None, as_json: Json = False) -> None:
    """Write results as JUnit XML: a test suite for every student and exercise, a test case for every check.

    It has the whole messages of all checks, so it is for instructors.
    """
    from grader.cli.export_display import export_junit

    export_junit(results, exercise or [], output, as_json=as_json)
