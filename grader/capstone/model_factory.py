"""Builds the dual encoder of a preset."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.presets import Preset, Tower
from grader.capstone.text_towers import FrozenNames, features_of_names
from grader.capstone.weights import load_weights, weights_file


def make_model(preset: Preset, data: DataSet, names: Tensor | None = None, *, seed: int = 0) -> DualEncoder:
    """An untrained image tower beside the pretrained text tower; the preset's backbone as it is, where it has one.

    `names`: features of all names, float32 (concepts, features), where they are at hand already and the preset keeps
    the text tower frozen. The weights are drawn on the processor, so that they are the same on any device, and end up
    where the drawings lie.
    """
    if preset.backbone is not None:
        from grader.capstone.backbones import load_backbone

        backbone = load_backbone(preset.backbone, data.names, trains_text=preset.trains_text, features=names)
        torch.manual_seed(seed)  # for what a method adds to it
        return backbone.to(data.pixels.device)
    from grader.capstone.image_towers import ConvolutionalTower, TransformerTower

    text_tower = data.sentence_tower() if preset.trains_text else FrozenNames(_names(data) if names is None else names)
    torch.manual_seed(seed)
    image_tower = ConvolutionalTower() if preset.tower is Tower.CONVOLUTIONAL else TransformerTower(preset.size)
    return DualEncoder(image_tower, text_tower).to(data.pixels.device)


def frozen_names(preset: Preset, data: DataSet) -> Tensor | None:
    """Features of all names, float32 (concepts, features), for `make_model`; None where the text tower is trained.

    Computed once for all models of a run, because the text tower costs more than everything else about making one.
    """
    if preset.trains_text:
        return None
    if preset.backbone is None:
        return _names(data)
    tower = make_model(preset, data).text_tower
    assert isinstance(tower, FrozenNames)
    return tower.names


def pretrained_weights(preset: Preset, data: DataSet, file: Path | None = None) -> dict[str, Tensor]:
    """What every method begins with, on the processor: a file's weights (default: the shipped), or the backbone's."""
    if preset.backbone is None:
        return load_weights(file or weights_file(preset.name))[0]
    if file is not None:
        raise CapstoneError(f"the backbone {preset.backbone} has weights of its own: leave out {file}")
    return {name: value.cpu().clone() for name, value in make_model(preset, data).state_dict().items()}


def _names(data: DataSet) -> Tensor:
    return features_of_names(data.sentence_tower())
