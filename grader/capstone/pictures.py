"""Figures and drawings as pictures that a page can hold."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from grader.capstone.compositing import on_background
from grader.capstone.data_set import DataSet
from grader.capstone.vendors import Vendor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Whose drawing stands for a concept on our pages: the target's may not be shown.
SHOWN_VENDOR = Vendor.GOOGLE
_DOTS_PER_INCH = 130


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH)
    return stream.getvalue()


def address(png: bytes) -> str:
    """A PNG file's content as an address that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def on_paper(data: DataSet, vendor: Vendor, concept: int) -> np.ndarray:
    """A drawing on white, float32 (size, size, 3) in [0, 1].

    Only drawings that may be passed on are made into pictures: raises ValueError for another vendor's.
    """
    if not vendor.openly_licensed:
        raise ValueError(f"drawings by {vendor.company} may not be shown")
    return on_background(data.of(vendor)[concept].cpu().numpy()).transpose(1, 2, 0)


def drawing_address(data: DataSet, vendor: Vendor, concept: int) -> str:
    """A drawing on white as an address that a page can hold; raises ValueError as `on_paper` does."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray((on_paper(data, vendor, concept) * 255).round().astype(np.uint8)).save(stream, format="png")
    return address(stream.getvalue())
