"""`course doctor`: what this machine can do."""

from __future__ import annotations

from grader.cli.errors import CommandUnavailable
from grader.cli.options import Json


def run(as_json: Json = False) -> None:
    """Say what this machine can do: Python, libraries, and how well it can confine a student's code.

    Exits with 1 when something that grading needs is missing, and says how to get it.
    """
    raise CommandUnavailable("`course doctor` is not part of this version yet")
