"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from grader.grading.submission_engine import EngineKind


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
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where to grade: on this machine, or on a Ray cluster of which it is a part (docs/ray.md)."),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster's address, for --engine ray. Default: RAY_ADDRESS, or the one running here.",
    ),
]


def engine_kind(engine: str, address: str | None) -> EngineKind:
    """Where to grade. Raises BadParameter for an address of nothing."""
    from grader.grading.submission_engine import EngineKind

    kind = EngineKind(engine)
    if address is not None and kind is not EngineKind.RAY:
        raise typer.BadParameter("it is the address of a Ray cluster: add --engine ray", param_hint="--address")
    return kind
