"""Options that several of the capstone's commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[
    Path, typer.Argument(metavar="BUNDLE", exists=True, file_okay=False, help="What `course capstone train` wrote.")
]
Pack = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", exists=True, file_okay=False, help="Read the data from a pack instead of the installed packages."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, help="Pretrained weights. Default: those that are shipped."),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="A CLIP or SigLIP checkpoint instead of our model: a folder, or a name on the hub."
    ),
]
