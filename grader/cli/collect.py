"""`course collect`: submissions from nbgrader's exchange directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.cli.options import Json


def run(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOPIC", help="Topics (nbgrader's assignments) to collect. Default: all of the course."),
    ] = None,
    into: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Where submissions go, for `course grade`.")
    ] = Path("submitted"),
    exchange: Annotated[
        str, typer.Option(metavar="DIR", help="nbgrader's exchange directory. Default: as in nbgrader_config.py.")
    ] = "",
    course_id: Annotated[
        str, typer.Option("--course", metavar="ID", help="nbgrader's id of the course. Default: as in its settings.")
    ] = "",
    update: Annotated[
        bool, typer.Option("--update", help="Replace what was collected earlier where there is something newer.")
    ] = False,
    before_duedate: Annotated[
        bool,
        typer.Option(
            "--before-duedate",
            help="The last submission before the due date instead of the newest one; the newest where all are late.",
        ),
    ] = False,
    db: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Gradebook with the due dates. Default: results/gradebook.db, if there is one."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Collect what students submitted with nbgrader: from its exchange directory into submitted/.

    Takes the newest submission of every student; one that is already in submitted/ stays unless --update or
    --before-duedate says otherwise. Unsafe names and links are refused, and concern nobody else. The exit
    status is 1 when something was refused, or is owned by somebody else than its name says.
    """
    from grader.cli.collect_display import collect_and_show
    from grader.course import load_course

    collect_and_show(
        load_course(),
        topics or [],
        into,
        exchange=exchange,
        course_id=course_id,
        update=update,
        before_duedate=before_duedate,
        database_url=db,
        as_json=as_json,
    )
