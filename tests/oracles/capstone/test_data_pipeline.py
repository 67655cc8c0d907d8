"""The reference of capstone/data_pipeline against Pillow, SciPy and PyTorch's own loader."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from reference.capstone import data_pipeline as lesson
from reference.capstone.data_pipeline import (
    DrawingDataset,
    augment,
    bucket_batches,
    collate,
    composite,
    generator_for,
)

NAMES = {4: [7, 8], 9: [5], 2: [1, 0, 3, 6]}


def random_drawings(count: int, height: int, width: int) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 4, height, width), generator=source).to(torch.uint8)


def data_set(count: int = 10) -> DrawingDataset:
    return DrawingDataset(random_drawings(count, 8, 12), [(4, 9, 2)[i % 3] for i in range(count)], NAMES, seed=5)


def test_composite_agrees_with_pillow_up_to_rounding() -> None:
    image = pytest.importorskip("PIL.Image")
    drawing = random_drawings(1, 9, 11)[0]
    ground = image.new("RGBA", (11, 9), (51, 102, 204, 255))
    pasted = image.alpha_composite(ground, image.fromarray(drawing.permute(1, 2, 0).contiguous().numpy(), "RGBA"))
    expected = torch.from_numpy(np.array(pasted))[:, :, :3].permute(2, 0, 1) / 255
    torch.testing.assert_close(composite(drawing, (0.2, 0.4, 0.8)), expected, rtol=0, atol=1.01 / 255)


def test_augment_agrees_with_an_affine_transform_of_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    drawing = random_drawings(1, 14, 20)[0]
    for seed in range(5):
        s, x, y, *background = torch.rand(6, generator=torch.Generator().manual_seed(seed)).double().tolist()
        scale, shift = 0.8 + 0.4 * s, np.array([(2 * y - 1) * 0.1 * 14, (2 * x - 1) * 0.1 * 20])
        middle = np.array([6.5, 9.5])
        pixels = drawing.double().numpy() / 255
        # the origin of place p is middle + (p - middle - shift) / scale
        offset = middle - (middle + shift) / scale
        planes = [
            ndimage.affine_transform(
                pixels[c] * pixels[3] if c < 3 else pixels[3], [1 / scale] * 2, offset, order=1, mode="grid-constant"
            )
            for c in range(4)
        ]
        expected = np.stack([planes[c] + (1 - planes[3]) * background[c] for c in range(3)])
        found = augment(drawing, torch.Generator().manual_seed(seed))
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_generators_differ() -> None:
    draws = {
        tuple(torch.rand(3, generator=generator_for(seed, epoch, index)).tolist())
        for seed in range(3)
        for epoch in range(3)
        for index in range(100)
    }
    assert len(draws) == 900


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_make_no_difference(workers) -> None:
    dataset = data_set()
    dataset.set_epoch(3)
    batches = bucket_batches([len(NAMES[concept]) for concept in dataset.concepts], 4, seed=5, epoch=3)
    torch.manual_seed(workers)
    loader = DataLoader(dataset, batch_sampler=batches, collate_fn=partial(collate, pad_id=0), num_workers=workers)
    for indices, batch in zip(batches, loader, strict=True):
        expected = [dataset[index] for index in indices]
        assert torch.equal(batch["pixels"], torch.stack([sample["pixels"] for sample in expected]))
        assert torch.equal(batch["input_ids"], pad_sequence([sample["input_ids"] for sample in expected], True))
        assert batch["concepts"].tolist() == [dataset.concepts[index] for index in indices]


def test_batches_follow_a_sorted_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 50).tolist()
    batches = bucket_batches(lengths, 8, seed=1, epoch=2)
    assert sorted(index for batch in batches for index in batch) == list(range(50))
    by_length = sorted(([lengths[index] for index in batch] for batch in batches), key=lambda row: (row[0], row[-1]))
    assert [length for row in by_length for length in row] == sorted(lengths)


def test_equal_lengths_meet_with_equal_chance() -> None:
    together = np.zeros((6, 6))
    for epoch in range(600):
        for batch in bucket_batches([3] * 6, 2, seed=0, epoch=epoch):
            together[np.ix_(batch, batch)] += 1
    np.testing.assert_allclose(together[~np.eye(6, dtype=bool)], 120, atol=40)


def test_visible_cell_runs() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible", "exec"), dict(vars(lesson)))
