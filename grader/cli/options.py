"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def complete_exercise() -> list[str]:
    """Ids of all exercises, for the shell's completion; none when there is no valid course here."""
    from grader.course import CourseError, load_course

    try:
        return [exercise.id for exercise in load_course().exercises]
    except CourseError:
        return []


Exercises = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EXERCISE",
        help="Ids such as attention/scaled_dot_product. Default: all exercises.",
        autocompletion=complete_exercise,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="Seed of the checks' random inputs; the same seed, the same inputs.")
]
