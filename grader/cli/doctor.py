"""`course doctor`: what this machine can do."""

from __future__ import annotations

import typer

from grader.cli.options import Json


def run(as_json: Json = False) -> None:
    """Say what this machine can do: Python, libraries, and how well it can confine a student's code.

    Exits with 1 when something that grading needs is missing, and says how to get it.
    """
    from grader.cli.doctor_display import examine_and_show

    raise typer.Exit(examine_and_show(as_json=as_json))
