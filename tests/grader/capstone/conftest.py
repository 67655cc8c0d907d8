"""Data for the capstone's tests: the real drawings, read once, and a small invented data set for everything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grader.capstone.concepts import Concept
from grader.capstone.data_set import DataSet
from grader.capstone.drawings import Drawings, read_drawings
from grader.capstone.splits import Part, Splits
from grader.capstone.vendors import Vendor

CONCEPTS = 40


@pytest.fixture(scope="session")
def native_drawings() -> Drawings:
    """Every vendor's drawings in the resolution they were drawn in, from the installed package."""
    return read_drawings(72)


@pytest.fixture
def small_data() -> DataSet:
    """Forty concepts drawn by four vendors as 16-pixel noise of their own, the vendor's noise on top of it."""
    generator = np.random.default_rng(3)
    vendors = (Vendor.GOOGLE, Vendor.TWITTER, Vendor.SAMSUNG, Vendor.WINDOWS)
    concepts = tuple(
        Concept(chr(0x1F400 + i), f"name {i}", f"名{chr(0x4E00 + i)}", f"family {i}") for i in range(CONCEPTS)
    )
    own = generator.integers(0, 200, (1, CONCEPTS, 4, 16, 16))
    style = generator.integers(0, 55, (len(vendors), CONCEPTS, 4, 16, 16))
    parts = {
        Part.TUNING: range(16),
        Part.VALIDATION: range(16, 22),
        Part.KNOWN: range(22, 32),
        Part.UNSEEN: range(32, 40),
    }
    splits = Splits({part: tuple(indices) for part, indices in parts.items()})
    return DataSet(vendors, concepts, torch.from_numpy((own + style).astype(np.uint8)), splits)
