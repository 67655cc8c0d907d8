"""What the benchmark trains: a preset's pretraining, with another batch size where wished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from grader.capstone.data_source import load_data
from grader.capstone.devices import choose_device
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import evaluate
from grader.capstone.examples import Examples, all_pairs
from grader.capstone.model_factory import make_model
from grader.capstone.presets import CHOOSING_VENDOR, PRESETS, SOURCE_VENDORS
from grader.capstone.recipe import Recipe
from grader.capstone.splits import Part


@dataclass(frozen=True)
class Workload:
    """What is trained. `pixels`: uint8 (vendors, concepts, 4, size, size), on the processor; `score`: recall@1."""

    model: Callable[[], DualEncoder]
    pixels: Tensor
    examples: Examples
    recipe: Recipe
    score: Callable[[DualEncoder], float]
    device: torch.device


def workload(preset_name: str, pack: Path | None, batch_size: int | None) -> Workload:
    """A preset's pretraining as it is, on its own data."""
    preset, device = PRESETS[preset_name], choose_device()
    data = load_data(preset, pack)
    recipe = replace(preset.pretraining, batch_size=batch_size or preset.pretraining.batch_size, patience=None)
    judged_on = data.of(CHOOSING_VENDOR).to(device)
    return Workload(
        model=lambda: make_model(preset, data),
        pixels=data.pixels,
        examples=Examples(all_pairs([data.row(vendor) for vendor in SOURCE_VENDORS], data.splits.pretraining)),
        recipe=recipe,
        score=lambda model: evaluate(model, judged_on, data[Part.VALIDATION]).recall(1),
        device=device,
    )
