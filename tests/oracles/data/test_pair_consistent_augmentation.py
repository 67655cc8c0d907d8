"""The reference of data/pair_consistent_augmentation against NumPy and PyTorch, and properties of boxes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from reference.data import pair_consistent_augmentation as lesson
from reference.data.pair_consistent_augmentation import flip_pair, swap_left_and_right


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def random_boxes(rng, count, height, width):
    x, y = (np.sort(rng.uniform(0, side, (count, 2)), axis=1) for side in (width, height))
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def overlaps(boxes):
    """Intersection over union of all pairs."""
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return shared / (area[:, None] + area - shared)


def test_image_is_that_of_numpy_and_torch_can_wrap_it(rng):
    torch = pytest.importorskip("torch")
    image = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    mirrored, *_ = flip_pair(image, "", np.zeros((0, 4)))
    assert np.array_equal(mirrored, np.flip(image, axis=1))
    assert torch.equal(torch.from_numpy(mirrored), torch.from_numpy(image).flip(1))


def test_areas_and_overlaps_of_boxes_stay(rng):
    boxes = random_boxes(rng, 8, 20, 30)
    moved = flip_pair(np.zeros((20, 30, 1)), "", boxes)[2]
    np.testing.assert_allclose(overlaps(moved), overlaps(boxes), rtol=1e-9, atol=1e-12)
    assert (moved[:, 0] <= moved[:, 2]).all()


def test_twice_restores_everything(rng):
    image, boxes = rng.normal(size=(6, 4, 3)), random_boxes(rng, 5, 6, 4)
    caption = "Left of the RIGHTMOST lamp, a left-hander's bright mug"
    once = flip_pair(image, caption, boxes)
    again = flip_pair(*once[:3])
    assert np.array_equal(again[0], image) and again[1] == caption
    np.testing.assert_allclose(again[2], boxes, rtol=0, atol=1e-12)
    assert len(once[1].split()) == len(caption.split())


def test_worked_example():
    found = swap_left_and_right("Left: a lamp, leftover pizza on the right-hand side")
    assert found == "Right: a lamp, leftover pizza on the left-hand side"
    assert flip_pair(np.zeros((8, 10, 3)), "", [[1, 2, 4, 7]])[2].tolist() == [[6, 2, 9, 7]]


def test_letters_beyond_ascii():
    assert (
        swap_left_and_right("leftmo\u017ft \u00e9left, left\u2013right") == "leftmo\u017ft \u00e9left, right\u2013left"
    )


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
