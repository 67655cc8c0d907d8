"""`course capstone ...`: the capstone's own commands."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from grader.cli import capstone_explain, capstone_serving
from grader.cli.capstone_options import Backbone, BundleFolder, Pack, Weights
from grader.cli.options import Json

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Fine-tune an image-text model for drawings it has never seen: plan, train, grade, explain, serve.",
)


class PresetName(enum.StrEnum):
    """Sizes of the capstone."""

    CPU = "cpu"
    GPU = "gpu"


Preset = Annotated[
    PresetName, typer.Option(help="cpu: minutes on two cores. gpu: a vision transformer in bfloat16, compiled.")
]
Target = Annotated[str, typer.Option(metavar="VENDOR", help="The new vendor: Appl, FB, Goog, Joy, Sams, Twtr or Wind.")]


@app.command()
def plan(preset: Preset = PresetName.CPU, pack: Pack = None, as_json: Json = False) -> None:
    """Tell what a training run will cost on this machine, before it is begun.

    Times a few steps of each method and says minutes and memory; trains nothing and keeps nothing.
    """
    from grader.cli.capstone_display import show_plan

    show_plan(preset.value, pack, as_json=as_json)


@app.command()
def pretrain(
    preset: Preset = PresetName.CPU,
    pack: Pack = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the weights go. Default: where the course ships them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the pretrained image tower again, from the drawings of the source vendors.

    The course ships it for the cpu preset, so this is for those who want to see where it comes from, and for the gpu
    preset. A run that was interrupted goes on where it was.
    """
    from grader.cli.capstone_display import pretrain_with_progress

    pretrain_with_progress(preset.value, pack, output, as_json=as_json)


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="The folder to write.")],
    preset: Preset = PresetName.CPU,
    open_vendors: Annotated[
        bool, typer.Option("--open-vendors", help="Only drawings that may be passed on: Google's and Twitter's.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write all that training needs into files of at most 30 MB, for machines without network or packages.

    Drawings at training resolution, names, splits and the text tower in half precision, with their hashes.
    """
    from grader.cli.capstone_display import pack_with_progress

    pack_with_progress(folder, preset.value, open_vendors=open_vendors, as_json=as_json)


@app.command()
def train(
    output: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="The bundle: figures, adapters, curves, report.")
    ] = Path("results/capstone"),
    preset: Preset = PresetName.CPU,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="Only this method; may be repeated: linear-probe, full, lora, replay, interpolation, "
            "replay-and-interpolation, random-labels.",
        ),
    ] = None,
    target: Target = "Wind",
    pack: Pack = None,
    weights: Weights = None,
    backbone: Backbone = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of order and augmentation.")] = 0,
    number: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=NUMBER",
            help="Another number of the recipe, for example epochs=30 or learning_rate=0.0005; may be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Adapt the pretrained model to a vendor it has never seen, by every method, and measure each of them.

    Zero-shot, linear probe, full tuning, LoRA, replay, interpolation, and a control with random labels. Interrupt it at
    any moment, even by kill -9: the same command goes on where it was, and ends with the same figures.
    """
    from grader.cli.capstone_display import train_with_progress

    train_with_progress(
        output,
        preset.value,
        method or (),
        target=target,
        pack=pack,
        weights=weights,
        changes={"seed": str(seed), **dict(text.partition("=")[::2] for text in number or ())},
        backbone=backbone,
        as_json=as_json,
    )


@app.command()
def grade(
    bundle: BundleFolder = Path("results/capstone"),
    pack: Pack = None,
    weights: Weights = None,
    target: Target = "Wind",
    backbone: Backbone = None,
    as_json: Json = False,
) -> None:
    """Measure a bundle's adapters again on held-out drawings, and award points by what is seen.

    What the bundle claims counts for nothing, and none of its code runs: it holds only numbers. Exits with 1 when not
    all points were awarded.
    """
    from grader.cli.capstone_display import grade_and_show

    raise typer.Exit(grade_and_show(bundle, pack, weights, backbone, target=target, as_json=as_json))


app.command()(capstone_explain.explain)
app.command()(capstone_serving.export)
app.command()(capstone_serving.serve)
app.command("load-test")(capstone_serving.load_test)
