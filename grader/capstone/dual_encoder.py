"""The dual encoder: two towers, two projection heads, one learnable temperature (Radford et al. 2021)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_LOGIT_SCALE = math.log(100)
_FIRST_LOGIT_SCALE = math.log(1 / 0.07)


class Encoded(NamedTuple):
    """Unit vectors of a batch's images and texts, float (batch, width), and the logarithm of the logits' scale."""

    images: Tensor
    texts: Tensor
    log_scale: Tensor


class DualEncoder(nn.Module):
    """Images and names in one space, where the cosine says how well they go together."""

    def __init__(self, image_tower: nn.Module, text_tower: nn.Module, width: int = 256) -> None:
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = nn.Linear(_features(image_tower), width, bias=False)
        self.text_projection = nn.Linear(_features(text_tower), width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_LOGIT_SCALE))

    def forward(self, pixels: Tensor, concepts: Tensor) -> Encoded:
        """`pixels`: float (batch, 3, size, size), normalised; `concepts`: int64 (batch,), what they show."""
        return Encoded(self.encode_images(pixels), self.encode_texts(concepts), self.clamped_log_scale())

    def encode_images(self, pixels: Tensor) -> Tensor:
        """float (batch, 3, size, size) -> unit vectors (batch, width)."""
        return F.normalize(self.image_projection(self.image_tower(pixels)).float(), dim=1)

    def encode_texts(self, concepts: Tensor) -> Tensor:
        """int64 (batch,) -> unit vectors (batch, width)."""
        return F.normalize(self.text_projection(self.text_tower(concepts)).float(), dim=1)

    def clamped_log_scale(self) -> Tensor:
        """The logits' scale stays below 100, as in CLIP: unbounded it can swallow the loss and stop learning."""
        return self.log_scale.clamp(max=LARGEST_LOGIT_SCALE)


def _features(tower: nn.Module) -> int:
    features = tower.features
    assert isinstance(features, int)
    return features
