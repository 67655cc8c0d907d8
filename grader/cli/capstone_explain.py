"""`course capstone explain`: which parts of a drawing a tuned model's answer rests on."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.capstone_options import Backbone, BundleFolder, Pack, Weights
from grader.cli.options import Json


class WayName(enum.StrEnum):
    """How patches get their values."""

    SHAPLEY = "shapley"
    OCCLUSION = "occlusion"


def explain(
    bundle: BundleFolder = Path("results/capstone"),
    method: Annotated[
        str,
        typer.Option(metavar="METHOD", help="Which of the run's models: zero-shot, full, lora, replay and so on."),
    ] = "replay-and-interpolation",
    query: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help='The drawing of this concept, such as "red heart"; may be repeated. Default: some held-out ones.',
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Explain how well the drawings fit this name. Default: each drawing its own."
        ),
    ] = None,
    vendor: Annotated[
        str,
        typer.Option(
            metavar="VENDOR",
            help="Whose drawings. Of others than Goog and Twtr, which may not be shown, only the maps are.",
        ),
    ] = "Goog",
    way: Annotated[
        WayName,
        typer.Option(
            "--attribution",
            help="shapley: what a patch adds, averaged over orders of drawing. occlusion: what is lost without it.",
        ),
    ] = WayName.SHAPLEY,
    grid: Annotated[
        int, typer.Option(min=2, max=16, metavar="N", help="N x N patches; with 3 or fewer the values are exact.")
    ] = 8,
    orders: Annotated[
        int, typer.Option(min=4, max=10_000, metavar="N", help="Random orders for sampled Shapley values.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of all random orders.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Default: BUNDLE/explanations/METHOD.")
    ] = None,
    pack: Pack = None,
    weights: Weights = None,
    backbone: Backbone = None,
    as_json: Json = False,
) -> None:
    """Show which patches of a drawing a tuned model's answer rests on, and whether that map can be believed.

    Writes a figure for every drawing and one page with all of them. Each map is put to the test: patches are drawn, and
    taken away, in the order of their values, and the score must rise and fall faster than in random orders. The wrong
    name is worth a look, too: `--query "crescent moon" --name banana`.
    """
    from grader.cli.capstone_explain_display import explain_and_show

    explain_and_show(
        bundle,
        method,
        query or (),
        name,
        vendor=vendor,
        plan={"way": way.value, "grid": grid, "orders": orders, "seed": seed},
        output=output,
        pack=pack,
        weights=weights,
        backbone=backbone,
        as_json=as_json,
    )
