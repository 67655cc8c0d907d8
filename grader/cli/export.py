"""`course export ...`: results and autograders for other platforms."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.options import Json, Seed, complete_exercise

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

Written = Annotated[
    bool,
    typer.Option(
        "--written",
        help="Take points from nbgrader's gradebook, with written answers, extra credit and late penalties, instead of "
        "the checks' alone. Who has an answer that nobody has read yet is listed.",
    ),
]
Database = Annotated[
    str | None, typer.Option(metavar="URL", help="nbgrader's database for --written. Default: RESULTS/gradebook.db.")
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
    written: Written = False,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Put points into the columns of Canvas' own gradebook, ready to be imported.

    Students are found by Canvas' id, SIS user id or SIS login id, compared exactly. Whoever has points and no row is
    listed, and the exit status is then 1. Nothing is graded again.
    """
    from grader.cli.export_display import PointsFrom, export_canvas

    points = PointsFrom(results, written=written, database_url=db)
    raise typer.Exit(export_canvas(points, gradebook, column or [], output, scale=scale, as_json=as_json))


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
    written: Written = False,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Put points and comments into the grading worksheet of a Moodle assignment, ready to be uploaded.

    Students are found by the participant's number or the email address, compared exactly. Whoever has points and no
    row is listed, and the exit status is then 1. Where RESULTS has several exercises, --exercise says which of them the
    assignment is.
    """
    from grader.cli.export_display import PointsFrom, export_moodle

    points = PointsFrom(results, written=written, database_url=db)
    raise typer.Exit(export_moodle(points, worksheet, exercise or [], output, scale=scale, as_json=as_json))


@app.command()
def junit(results: Results, exercise: Only = None, output: Output = None, as_json: Json = False) -> None:
    """Write results as JUnit XML: a test suite for every student and exercise, a test case for every check.

    It has the whole messages of all checks, so it is for instructors.
    """
    from grader.cli.export_display import export_junit

    export_junit(results, exercise or [], output, as_json=as_json)


Exercises = Annotated[
    list[str],
    typer.Option(
        "--exercise", metavar="ID", help="An exercise to grade; may be repeated.", autocompletion=complete_exercise
    ),
]
Unconfined = Annotated[
    bool,
    typer.Option(
        "--unconfined",
        help="Grade although the platform's machine cannot confine the students' code. It can then read the checks; "
        "model answers are left out of the bundle, so no misconceptions are recognised. Dangerous.",
    ),
]


class HiddenVisibility(enum.StrEnum):
    """When students see hidden checks on Gradescope."""

    HIDDEN = "hidden"
    AFTER_DUE_DATE = "after_due_date"
    AFTER_PUBLISHED = "after_published"
    VISIBLE = "visible"


@app.command()
def gradescope(
    exercise: Exercises,
    output: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="The zip to write.")] = Path(
        "autograder.zip"
    ),
    hidden_visibility: Annotated[
        HiddenVisibility,
        typer.Option(help="When students see checks that the notebook does not show. Values are never told."),
    ] = HiddenVisibility.AFTER_PUBLISHED,
    seed: Seed = 0,
    unconfined: Unconfined = False,
    as_json: Json = False,
) -> None:
    """Make an autograder zip for Gradescope.

    Upload it under Configure Autograder, with a base image that has Python 3.11 or newer (Ubuntu 24.04). It has the
    checks of these exercises and what runs them, nothing of the other ones.
    """
    from grader.cli.export_autograders import export_gradescope

    export_gradescope(
        exercise,
        output,
        hidden_visibility=hidden_visibility.value,
        seed=seed,
        confine=not unconfined,
        as_json=as_json,
    )


@app.command()
def prairielearn(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="Where questions/ and image/ are written.")
    ],
    exercise: Exercises,
    image: Annotated[
        str, typer.Option(metavar="NAME", help="The Docker image, built from DIR/image, that PrairieLearn grades in.")
    ],
    seed: Seed = 0,
    unconfined: Unconfined = False,
    as_json: Json = False,
) -> None:
    """Make externally graded questions for PrairieLearn, one for each exercise.

    Copy DIR/questions into your PrairieLearn course, build DIR/image and push it under the name given.
    """
    from grader.cli.export_autograders import export_prairielearn

    export_prairielearn(folder, exercise, image, seed=seed, confine=not unconfined, as_json=as_json)


@app.command()
def classroom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="The template repository's folder.")],
    exercise: Exercises,
    repository: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="The GitHub repository of this course, where the checks are.")
    ],
    ref: Annotated[str, typer.Option(metavar="REF", help="Its tag, branch or commit that grades.")] = "main",
    seed: Seed = 0,
    unconfined: Unconfined = False,
    as_json: Json = False,
) -> None:
    """Make a template repository for GitHub: the stubs, and a workflow that grades them on every push.

    The workflow takes the checks from the course's repository; if that is private, the secret COURSE_TOKEN must be able
    to read it. Students own their repositories and could change the workflow: use it for feedback, and grade for good
    with `course grade`.
    """
    from grader.cli.export_autograders import export_classroom

    export_classroom(folder, exercise, repository, ref, seed=seed, confine=not unconfined, as_json=as_json)
