"""All that training and evaluation need, from the installed packages or from a pack, in one object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from grader.capstone.concepts import Concept
from grader.capstone.drawings import Drawings, read_drawings
from grader.capstone.errors import CapstoneError
from grader.capstone.splits import Part, Splits, read_splits
from grader.capstone.text_towers import SentenceTower, load_sentence_tower
from grader.capstone.vendors import Vendor


@dataclass(frozen=True)
class DataSet:
    """`pixels`: uint8 (vendors, concepts, 4, size, size); `text_folder` holds the pretrained text tower."""

    vendors: tuple[Vendor, ...]
    concepts: tuple[Concept, ...]
    pixels: Tensor
    splits: Splits
    text_folder: Path | None = None

    @property
    def size(self) -> int:
        return int(self.pixels.shape[-1])

    def row(self, vendor: Vendor) -> int:
        """A vendor's place in `pixels`. Raises CapstoneError when there are no drawings by that vendor."""
        if vendor not in self.vendors:
            raise CapstoneError(f"there are no drawings by {vendor!s} here, only by: {', '.join(self.vendors)}")
        return self.vendors.index(vendor)

    def of(self, vendor: Vendor) -> Tensor:
        """One vendor's drawings, uint8 (concepts, 4, size, size)."""
        return self.pixels[self.row(vendor)]

    def __getitem__(self, part: Part) -> tuple[int, ...]:
        return self.splits[part]

    @property
    def names(self) -> list[str]:
        return [concept.name for concept in self.concepts]

    @property
    def chinese_names(self) -> list[str]:
        return [concept.chinese_name for concept in self.concepts]

    def to(self, device: torch.device) -> DataSet:
        """The same with all drawings on a device; models are built where the drawings lie."""
        return replace(self, pixels=self.pixels.to(device))

    def sentence_tower(self) -> SentenceTower:
        """The pretrained text tower, with the English names as its tokens."""
        return load_sentence_tower(self.names, self.text_folder)

    def digest(self) -> str:
        """A hash of every pixel, name and part: two runs with equal digests saw the same data."""
        text = json.dumps(
            [
                list(self.vendors),
                [[c.characters, c.name, c.chinese_name] for c in self.concepts],
                {part: list(indices) for part, indices in sorted(self.splits.parts.items())},
                list(self.pixels.shape),
            ],
            ensure_ascii=False,
        )
        found = hashlib.sha256(text.encode())
        found.update(self.pixels.contiguous().cpu().numpy().data)
        return found.hexdigest()


def load_packages(
    size: int,
    vendors: Sequence[Vendor] = tuple(Vendor),
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DataSet:
    """The data set from the installed packages. Raises CapstoneError naming the one that is missing."""
    drawings: Drawings = read_drawings(size, vendors, progress=progress)
    pixels = torch.from_numpy(drawings.pixels)
    return DataSet(drawings.vendors, drawings.concepts, pixels, read_splits(drawings.concepts))
