"""Builds the dual encoder of a preset."""

from __future__ import annotations

import torch
from torch import Tensor

from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.presets import Preset, Tower
from grader.capstone.text_towers import FrozenNames, features_of_names


def make_model(preset: Preset, data: DataSet, names: Tensor | None = None, *, seed: int = 0) -> DualEncoder:
    """An untrained image tower beside the pretrained text tower.

    `names`: features of all names, float32 (concepts, 384), where they are at hand already and the preset keeps the
    text tower frozen. The weights are drawn on the processor, so that they are the same on any device, and end up
    where the drawings lie.
    """
    from grader.capstone.image_towers import ConvolutionalTower, TransformerTower

    text_tower = data.sentence_tower() if preset.trains_text else FrozenNames(_names(data) if names is None else names)
    torch.manual_seed(seed)
    image_tower = ConvolutionalTower() if preset.tower is Tower.CONVOLUTIONAL else TransformerTower(preset.size)
    return DualEncoder(image_tower, text_tower).to(data.pixels.device)


def _names(data: DataSet) -> Tensor:
    return features_of_names(data.sentence_tower())
