"""`course anonymise`: results that can be shown without telling whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.cli.options import Json


def run(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", exists=True, file_okay=False, help="The folder that `course grade` wrote."),
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", file_okay=False, help="Where the copy goes: an empty folder, or an earlier copy's."
        ),
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Who has which pseudonym: read if it is there, and completed. Default: RESULTS/anonymous_ids.json.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy results with pseudonyms in the place of students' ids.

    The copy has results.jsonl, grades.csv, checks.csv, tables, feedback pages and the class report. Pseudonyms are
    random, and the same in every copy that is made with the same key. Keep the key, and do not give it away: whoever
    has it can read whose work is whose. An id is also replaced where a student's notebook prints it; a name that is not
    the id cannot be found, so look through output and code before you publish them.

    Exit status: 0 when it is done, 2 when it could not be done.
    """
    from grader.cli.anonymise_display import anonymise_and_show
    from grader.course import load_course

    anonymise_and_show(load_course(), results, folder, key, as_json=as_json)
