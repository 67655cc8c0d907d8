"""The `course` command, one module a command.

Only typer may be imported before a command runs, so that `course --help` answers at once: a command's module holds its
signature and help text, and imports what it needs inside `run`.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from grader import __version__
from grader.cli import (
    anonymise,
    build,
    capstone,
    check,
    collect,
    coverage,
    diff,
    doctor,
    exercises,
    export,
    grade,
    regrade,
    release,
    verify,
)
from grader.cli.errors import explain

_STUDY, _TEACH, _MACHINE = "Work on exercises", "Teach", "This machine"

app = typer.Typer(
    name="course",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 something was found wrong, 2 it could not be done. COURSE_ROOT names the folder of "
    "the course (default: the nearest one above the working directory); COURSE_DEBUG=1 shows where an error arose.",
)


def _add(name: str, run: Callable[..., None], panel: str) -> None:
    app.command(name, help=_help_text(run), rich_help_panel=panel)(run)


def _add_group(name: str, group: typer.Typer, panel: str) -> None:
    for command in group.registered_commands:
        command.help = _help_text(command.callback)
    app.add_typer(group, name=name, rich_help_panel=panel)


def _help_text(run: object) -> str:
    """A command's docstring, each paragraph on one line, because typer keeps the line breaks of the source."""
    paragraphs = (inspect.getdoc(run) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


_add("list", exercises.run, _STUDY)
_add("check", check.run, _STUDY)
_add_group("capstone", capstone.app, _STUDY)
_add("build", build.run, _TEACH)
_add("release", release.run, _TEACH)
_add("collect", collect.run, _TEACH)
_add("grade", grade.run, _TEACH)
_add("regrade", regrade.run, _TEACH)
_add("diff", diff.run, _TEACH)
_add("anonymise", anonymise.run, _TEACH)
_add_group("export", export.app, _TEACH)
_add("verify", verify.run, _TEACH)
_add("coverage", coverage.run, _TEACH)
_add("doctor", doctor.run, _MACHINE)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"course {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Graded notebooks on fine-tuning multimodal models: list, check, build, grade and verify them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `course` command, with the process's arguments by default.

    Always ends in SystemExit, with the status that the help text promises; an error that is nobody's mistake but ours
    comes through as it is.
    """
    try:
        app(arguments, prog_name="course")
    except Exception as error:
        message = None if os.environ.get("COURSE_DEBUG") else explain(error)
        if message is None:
            raise
        print(f"course: {message}", file=sys.stderr)
        sys.exit(2)
