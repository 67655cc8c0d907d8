"""`course build`: the notebooks, from the references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from grader.cli.options import Exercises

if TYPE_CHECKING:
    from pathlib import Path

    from grader.course import Course


def run(
    exercises: Exercises = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 when a notebook is not up to date.")
    ] = False,
) -> None:
    """Build the notebooks in solutions/ and exercises/ from the lessons in reference/, and the course map in README.md.

    The same lesson always gives the same bytes, so that only what really changed is written. Also finds out, where
    checks or catalogue changed, what every catalogued mistake does under the checks, which diagnosis compares with.
    """
    from grader.behaviours import build_behaviours
    from grader.course import load_course
    from grader.notebooks.build import build_course

    course = load_course()
    report = build_course(course, course.select(exercises) if exercises else None, check=check)
    behaviours = build_behaviours(course, course.select(exercises or ()), check=check)
    for path in (*report.written, *behaviours.written):
        print(f"written: {_shown(path, course)}")
    for file in report.stale:
        print(f"{file.reason.value}: {_shown(file.path, course)}")
    for path in behaviours.stale:
        print(f"outdated: {_shown(path, course)}")
    stale = len(report.stale) + len(behaviours.stale)
    unchanged = len(report.unchanged) + len(behaviours.unchanged)
    if check:
        print(f"{stale} not up to date, {unchanged} up to date")
    else:
        print(f"{len(report.written) + len(behaviours.written)} written, {unchanged} unchanged")
    if stale:
        print("`course build` writes what is missing or outdated; delete what is orphaned")
    if check and stale:
        raise typer.Exit(1)


def _shown(path: Path, course: Course) -> str:
    return path.relative_to(course.root).as_posix()
