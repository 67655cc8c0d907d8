"""Drawings with opacity put on a background of one grey."""

from __future__ import annotations

import numpy as np


def on_background(pixels: np.ndarray, grey: float = 1.0) -> np.ndarray:
    """uint8 (..., 4, size, size) -> float32 (..., 3, size, size) in [0, 1], on a background of this brightness."""
    scaled = pixels.astype(np.float32) / 255
    colour, opacity = scaled[..., :3, :, :], scaled[..., 3:, :, :]
    # colour over background = opacity * colour + (1 - opacity) * background
    return opacity * colour + (1 - opacity) * grey
