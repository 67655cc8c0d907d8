"""A small model, its data and its export, all made up in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grader.capstone.augmentation import prepare
from grader.capstone.concepts import Concept
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.image_towers import ConvolutionalTower
from grader.capstone.serving.export import Export, export_index
from grader.capstone.serving.index import Index
from grader.capstone.serving.manifest import Origin
from grader.capstone.splits import Part, Splits
from grader.capstone.text_towers import FrozenNames
from grader.capstone.vendors import Vendor

CONCEPTS, SIZE = 48, 32


@pytest.fixture(scope="session")
def data() -> DataSet:
    """Blots of colour with soft edges, drawn by one vendor."""
    rng = np.random.default_rng(7)
    coarse = torch.from_numpy(rng.uniform(0, 255, (CONCEPTS, 4, 5, 5)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    concepts = tuple(Concept(chr(0x1F400 + n), f"Blot no {n}", f"斑点{n}", f"blot {n}") for n in range(CONCEPTS))
    bounds = {Part.TUNING: (0, 16), Part.VALIDATION: (16, 20), Part.KNOWN: (20, 40), Part.UNSEEN: (40, CONCEPTS)}
    splits = Splits({part: tuple(range(*bound)) for part, bound in bounds.items()})
    return DataSet((Vendor.WINDOWS,), concepts, fine.to(torch.uint8)[None], splits)


@pytest.fixture(scope="session")
def model(data: DataSet) -> DualEncoder:
    """An untrained image tower beside names whose vectors are those of their drawings, so that it finds them all."""
    torch.manual_seed(0)
    tower = ConvolutionalTower((16, 24, 32))
    drawings = prepare(data.of(Vendor.WINDOWS))
    with torch.no_grad():
        for _ in range(20):
            tower(drawings)  # in training mode: BatchNorm gets statistics that are neither 0 nor 1
        features = tower.eval()(drawings)
    model = DualEncoder(tower, FrozenNames(features), width=48)
    with torch.no_grad():
        # Without their common part, in which all drawings of an untrained tower are alike.
        common = features.mean(dim=0) / features.mean(dim=0).norm()
        away = torch.eye(len(common)) - torch.outer(common, common)
        model.image_projection.weight.copy_(model.image_projection.weight @ away)
        model.text_projection.weight.copy_(model.image_projection.weight)
    return model.eval()


@pytest.fixture(scope="session")
def origin() -> Origin:
    return Origin("LoRA", "cpu", Vendor.WINDOWS, "data", "pretrained", "adapter")


@pytest.fixture(scope="session")
def exported(
    model: DualEncoder, data: DataSet, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Export]:
    """The model as an index: its folder, and what the export said."""
    folder = tmp_path_factory.mktemp("exported") / "index"
    return folder, export_index(model, data, origin, folder)


@pytest.fixture(scope="session")
def index_folder(exported: tuple[Path, Export]) -> Path:
    return exported[0]


@pytest.fixture(scope="session")
def index(index_folder: Path) -> Index:
    return Index.load(index_folder)
