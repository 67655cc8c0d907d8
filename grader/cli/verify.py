"""`course verify`: proof that the checks are right."""

from __future__ import annotations

from typing import Annotated

import typer

from grader.cli.options import Exercises, Json


def run(
    exercises: Exercises = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="How many seeds must agree.")] = 3,
    mutants: Annotated[
        bool,
        typer.Option("--mutants/--no-mutants", help="Also change the reference automatically, and count who notices."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Prove that the checks of each exercise are right.

    The reference and every other correct solution get full marks, the stub gets none and fails cleanly, each catalogued
    wrong answer is rejected by the check named for it, several seeds agree, and the notebooks are up to date. Exits
    with 1 on any gap.
    """
    from grader.cli.verify_display import verify_and_show

    raise typer.Exit(verify_and_show(exercises or (), seeds=seeds, with_mutants=mutants, as_json=as_json))
