"""What retrieval looks like: a name, and the drawings that a model puts first for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import embed
from grader.capstone.splits import Part
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor

FIRST = 5


@dataclass(frozen=True)
class Row:
    """The concept asked for, and the concepts of the first drawings found, best first."""

    concept: int
    found: tuple[int, ...]


@dataclass(frozen=True)
class Gallery:
    """A method's answers to the same names as every other gallery's."""

    method: Method
    rows: tuple[Row, ...]


def asked_concepts(data: DataSet, count: int) -> tuple[int, ...]:
    """Known concepts, evenly spread: the same for every method of a run."""
    known = data[Part.KNOWN]
    return tuple(known[int(place)] for place in torch.linspace(0, len(known) - 1, min(count, len(known))))


def make_gallery(method: Method, model: DualEncoder, data: DataSet, vendor: Vendor, queries: int = 8) -> Gallery:
    """Names of known concepts, evenly spread, and which of the vendor's drawings the model puts first for them."""
    concepts = torch.tensor(data[Part.KNOWN])
    images, texts = embed(model, data.of(vendor)[concepts], concepts)
    asked = torch.linspace(0, len(concepts) - 1, queries).long()
    best = (texts[asked] @ images.T).topk(FIRST, dim=1).indices.cpu()  # (queries, first)
    rows = (
        Row(int(concepts[query]), tuple(int(concepts[i]) for i in found))
        for query, found in zip(asked, best, strict=True)
    )
    return Gallery(method, tuple(rows))
