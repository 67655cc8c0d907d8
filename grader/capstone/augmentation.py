"""Augmentation of a whole batch at once, on whatever device it lies.

No mirroring and no large turns: left and right, and the hands of a clock, are part of a name.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN, SPREAD = 0.5, 0.25
_TURN = math.radians(12)
_SCALE = (0.75, 1.15)
_SHIFT = 0.12


def draw_chances(batch: int, generator: torch.Generator) -> Tensor:
    """The random numbers that `augment` needs, float32 (batch, 10) in [0, 1).

    Drawn on the processor and for the whole batch, so that a run is the same on any device and on any number of them.
    """
    return torch.rand(batch, 10, generator=generator)


def augment(pixels: Tensor, chances: Tensor) -> Tensor:
    """uint8 (batch, 4, size, size) -> normalised float32 (batch, 3, size, size).

    Turned, scaled and shifted a little, on a background of a random colour, with random contrast, brightness and
    strength of colour, as `chances`, float32 (batch, 10), say.
    """
    premultiplied = _premultiplied(pixels)
    chances = chances.to(pixels.device, non_blocking=True)

    def between(low: float, high: float, chance: Tensor) -> Tensor:
        return low + (high - low) * chance

    angle, scale = between(-_TURN, _TURN, chances[:, 0]), between(*_SCALE, chances[:, 1])
    shift = between(-_SHIFT, _SHIFT, chances[:, 2:4])
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    rows = [torch.stack([cosine, -sine, shift[:, 0]], dim=1), torch.stack([sine, cosine, shift[:, 1]], dim=1)]
    matrices = torch.stack(rows, dim=1)  # (batch, 2, 3)
    grid = F.affine_grid(matrices, list(premultiplied.shape), align_corners=False)
    moved = F.grid_sample(premultiplied, grid, align_corners=False)

    background = chances[:, 4:7, None, None]  # (batch, 3, 1, 1)
    image = moved[:, :3] + (1 - moved[:, 3:]) * background
    colour, contrast, brightness = chances[:, 7:, None, None, None].unbind(dim=1)  # each (batch, 1, 1, 1)
    grey = image.mean(dim=1, keepdim=True)
    image = grey + (image - grey) * between(0, 1.4, colour)  # from no colour to strong colour
    image = (image - 0.5) * between(0.6, 1.4, contrast) + 0.5 + between(-0.2, 0.2, brightness)
    return normalise(image.clamp(0, 1))


def prepare(pixels: Tensor) -> Tensor:
    """The same without any chance, on white: what evaluation and serving see."""
    premultiplied = _premultiplied(pixels)
    return normalise(premultiplied[:, :3] + (1 - premultiplied[:, 3:]))


def normalise(image: Tensor) -> Tensor:
    """Brightness in [0, 1] -> about zero mean and unit spread."""
    return (image - MEAN) / SPREAD


def _premultiplied(pixels: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1], colours weighed by opacity: only such may be mixed by scaling and turning."""
    scaled = pixels.float() / 255
    return torch.cat([scaled[:, :3] * scaled[:, 3:], scaled[:, 3:]], dim=1)
