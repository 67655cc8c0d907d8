"""`course release`: what students get, and what instructors keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from grader.cli.options import Json, complete_exercise


def run(
    target: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="Where the bundles go; made if need be.")
    ],
    exercise: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this exercise; may be repeated.", autocompletion=complete_exercise),
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only the exercises of this topic; may be repeated.")
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            exists=True,
            dir_okay=False,
            help="manifest.json of the previous release (its instructor's bundle): versions count on from there. "
            "Default: the release that DIR holds.",
        ),
    ] = None,
    form: Annotated[
        Literal["both", "folder", "zip"], typer.Option(help="Write folders, zips, or both of them.")
    ] = "both",
    as_json: Json = False,
) -> None:
    """Write a bundle for students and one for instructors, with a changelog of the checks.

    The student's bundle has the notebooks to be filled in, their visible checks, what to install, and a README. Nothing
    hidden is in it: before anything is written, all of it is searched for the names and sources of hidden checks,
    solutions, judged claims, model answers and catalogued mistakes, in any encoding, and one hit stops the release.

    The instructor's bundle is the whole course with checks, references, solutions, catalogue and the toolkit: unpacked
    anywhere, `course grade` works in it. Both carry a manifest.json with the version of every exercise, which counts up
    whenever its checks, points or statement change. The same course gives the same bytes.

    Exit status: 0 when both bundles were written, 2 when they could not be.
    """
    from grader.cli.release_display import release_and_show

    release_and_show(target, exercise or (), topic or (), since=since, form=form, as_json=as_json)
