"""`course diff`: what differs between two runs, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grader.cli.options import Json

RUN_HELP = "A folder of results, or one of the runs that it keeps (results/runs/0001)."
Table = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", dir_okay=False, help="Also write every changed check to a CSV file."),
]
Versions = Annotated[
    Path | None,
    typer.Option(
        "--versions",
        metavar="MANIFEST",
        exists=True,
        dir_okay=False,
        help="manifest.json of a release, which has names for versions of checks. Default: the one beside course.toml.",
    ),
]


def run(
    first: Annotated[
        Path,
        typer.Argument(metavar="RUN_A", exists=True, file_okay=False, help=RUN_HELP),
    ],
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN_B]",
            exists=True,
            file_okay=False,
            help="Likewise. Default: RUN_A's newest kept run is compared with what RUN_A holds now.",
        ),
    ] = None,
    as_json: Json = False,
    csv: Table = None,
    versions: Versions = None,
) -> None:
    """Compare two runs: whose results differ, in which checks, and what caused it.

    Causes are told apart by what each result was made from: the checks changed, the submission changed, the libraries
    changed, another seed, or nothing of these, which means that the submission itself is not repeatable. A folder of
    results keeps a run whenever `course grade` or `course regrade` changes what it holds.

    Exit status: 0 when no result differs, 1 when some do, 2 when there is nothing to compare.
    """
    from grader.cli.diff_display import compare_and_show

    raise typer.Exit(compare_and_show(first, second, as_json=as_json, table=csv, manifest=versions))
