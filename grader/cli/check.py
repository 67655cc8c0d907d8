"""`course check`: one's own work, checked on one's own machine."""

from __future__ import annotations

from typing import Annotated

import typer

from grader.cli.options import Json, Seed, complete_exercise


def run(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="EXERCISE|PATH",
            help="An exercise's id, for its notebook in exercises/, or the path of a notebook. "
            "Default: every notebook in exercises/ that you have changed.",
            autocompletion=complete_exercise,
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever the notebook is saved.")] = False,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Check your own notebook and say which mistake you made.

    Exits with 1 unless every check passes. Your code runs confined where this machine can confine it; where it cannot,
    the report says so.
    """
    from grader.cli.check_display import check_and_show

    raise typer.Exit(check_and_show(target, watch=watch, as_json=as_json, seed=seed))
