"""Drawings that are the same or nearly so: within a vendor (two concepts, one picture) and across vendors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grader.capstone.compositing import on_background
from grader.capstone.drawings import Drawings
from grader.capstone.vendors import Vendor

# Cosine similarity of mean-free 16 x 16 thumbnails; above it, two drawings of 40 pixels differ in a detail at most.
TWIN_SIMILARITY = 0.985
_THUMBNAIL = 16


@dataclass(frozen=True)
class Pair:
    """Two drawings that look alike: a vendor and a concept's index for each; `similarity` is 1 for equal pixels."""

    vendor: Vendor
    concept: int
    other_vendor: Vendor
    other_concept: int
    similarity: float


def find_twins(drawings: Drawings, threshold: float = TWIN_SIMILARITY) -> list[Pair]:
    """Pairs of different concepts that one vendor draws alike: a split must not tear them apart."""
    pairs = []
    for vendor in drawings.vendors:
        features = _thumbnails(drawings.of(vendor))
        similar = np.triu(features @ features.T, k=1)
        for one, other in np.argwhere(similar >= threshold):
            pairs.append(Pair(vendor, int(one), vendor, int(other), float(similar[one, other])))
    return pairs


def find_copies(drawings: Drawings, threshold: float = TWIN_SIMILARITY) -> Iterator[Pair]:
    """The same concept drawn alike by two vendors: there a new vendor is no new style."""
    features = {vendor: _thumbnails(drawings.of(vendor)) for vendor in drawings.vendors}
    for row, vendor in enumerate(drawings.vendors):
        for other in drawings.vendors[row + 1 :]:
            similar = (features[vendor] * features[other]).sum(axis=1)
            for concept in np.flatnonzero(similar >= threshold):
                yield Pair(vendor, int(concept), other, int(concept), float(similar[concept]))


def _thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Unit vectors of drawings on grey, scaled to 16 x 16: float32 (concepts, 768).

    Grey, because on white all white drawings would be alike.
    """
    edges = np.linspace(0, pixels.shape[-1], _THUMBNAIL + 1).round().astype(int)
    grey = on_background(pixels, 0.5)  # (concepts, 3, size, size)
    small = np.add.reduceat(np.add.reduceat(grey, edges[:-1], axis=2), edges[:-1], axis=3)
    flat = small.reshape(len(small), -1)  # (concepts, 3 * 16 * 16)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
