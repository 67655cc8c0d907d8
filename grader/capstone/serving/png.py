"""A client's PNG as the model's pixels, exactly as training prepared them; nothing a client sends can cost much."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from grader.capstone.compositing import on_background
from grader.capstone.drawings import to_pixels

if TYPE_CHECKING:
    from PIL import Image


class UnreadableImage(ValueError):
    """A body that is not an image we take; the message is for the client."""


def read_png(body: bytes, size: int, most_side: int) -> np.ndarray:
    """float32 (3, size, size) in [0, 1], on white.

    Raises UnreadableImage for what is not a whole PNG of at most `most_side` pixels a side. The sides stand in the
    file's head and are looked at before any pixel is decoded, so that a small file of billions of pixels costs nothing.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # judged below, by a stricter limit
            image = Image.open(io.BytesIO(body), formats=["PNG"])
    except UnidentifiedImageError:
        raise UnreadableImage("the body is not a PNG") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"the image has more than {most_side} pixels a side") from None
    except Exception:  # a broken head can fail in any of Pillow's parsers
        raise UnreadableImage("the head of the PNG is broken") from None
    with image:
        if max(image.size) > most_side:
            raise UnreadableImage(f"the image has more than {most_side} pixels a side")
        try:
            pixels = to_pixels(_in_8_bits(image), size)
        except Exception:  # broken pixels too: struct.error, zlib.error, SyntaxError, OSError and more
            raise UnreadableImage("the pixels of the PNG are cut short or broken") from None
    return on_background(pixels)


def _in_8_bits(image: Image.Image) -> Image.Image:
    """16-bit grey levels scaled to 8 bits; Pillow itself would turn all above 255 into white."""
    return image.point(lambda level: level / 257).convert("L") if image.mode.startswith("I") else image
