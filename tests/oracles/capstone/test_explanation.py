"""The reference of capstone/explanation against the package shap, orders of arrival and NumPy."""

from __future__ import annotations

from itertools import permutations as all_orders
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reference.capstone import explanation as lesson
from reference.capstone.explanation import (
    area_under,
    deletion_curve,
    insertion_curve,
    keep_patches,
    modality_values,
    patch_values,
    score_function,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


IMAGE, BASELINE = normal(3, 4, 9, seed=1), normal(3, 4, 9, seed=2)
HIDDEN, READOUT = normal(108, 6, seed=3) / 5, normal(6, seed=4)


def smooth_score(images: Tensor) -> Tensor:
    return torch.tanh(images.flatten(1) @ HIDDEN) @ READOUT


def exact_values() -> np.ndarray:
    masks = torch.arange(64)[:, None] >> torch.arange(6) & 1
    table = smooth_score(keep_patches(IMAGE, BASELINE, masks.bool().reshape(-1, 2, 3))).tolist()
    gains = np.zeros(6)
    for order in all_orders(range(6)):
        present = 0
        for patch in order:
            gains[patch] += (table[present | 1 << patch] - table[present]) / 720
            present |= 1 << patch
    return gains.reshape(2, 3)


def test_exact_values_agree_with_shap() -> None:
    """The oracle of the checks, walking through all orders, is what shap's exact explainer says."""
    shap = pytest.importorskip("shap")

    def game(rows: np.ndarray) -> np.ndarray:
        keep = torch.from_numpy(rows > 0.5).reshape(-1, 2, 3)
        return smooth_score(keep_patches(IMAGE, BASELINE, keep)).numpy()

    explanation = shap.explainers.Exact(game, np.zeros((1, 6)))(np.ones((1, 6)))
    np.testing.assert_allclose(explanation.values[0].reshape(2, 3), exact_values(), atol=1e-9)


def test_sampled_values_approach_the_exact_ones() -> None:
    values = patch_values(smooth_score, IMAGE, BASELINE, (2, 3), 3000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(values.numpy(), exact_values(), atol=0.04)


@pytest.mark.parametrize("permutations", [1, 2, 5])
def test_values_add_up(permutations) -> None:
    values = patch_values(smooth_score, IMAGE, BASELINE, (2, 3), permutations, torch.Generator().manual_seed(7))
    rise = smooth_score(IMAGE[None]) - smooth_score(BASELINE[None])
    torch.testing.assert_close(values.sum(), rise[0], rtol=0, atol=1e-12)


def test_a_linear_score_has_a_closed_form() -> None:
    weights = normal(3, 4, 9, seed=5)
    values = patch_values(
        lambda images: (images * weights).sum(dim=(1, 2, 3)), IMAGE, BASELINE, (2, 3), 1, torch.Generator()
    )
    expected = ((IMAGE - BASELINE) * weights).reshape(3, 2, 2, 3, 3).sum(dim=(0, 2, 4))
    torch.testing.assert_close(values, expected, rtol=1e-10, atol=1e-10)


def test_modalities_agree_with_shap() -> None:
    shap = pytest.importorskip("shap")
    table = {(0, 0): 0.3, (1, 0): 1.7, (0, 1): -0.4, (1, 1): 2.6}

    def game(rows: np.ndarray) -> np.ndarray:
        return np.array([table[tuple(int(number) for number in row)] for row in rows])

    found = modality_values(lambda present: table["image" in present, "text" in present])
    expected = shap.explainers.Exact(game, np.zeros((1, 2)))(np.ones((1, 2))).values[0]
    np.testing.assert_allclose([found["image"], found["text"]], expected, atol=1e-9)


def test_curves_meet_at_their_ends() -> None:
    values = normal(2, 3, seed=6)
    gone, come = (curve(smooth_score, IMAGE, BASELINE, values) for curve in (deletion_curve, insertion_curve))
    ends = torch.stack([smooth_score(IMAGE[None])[0], smooth_score(BASELINE[None])[0]])
    torch.testing.assert_close(gone[[0, -1]], ends)
    torch.testing.assert_close(come[[-1, 0]], ends)
    # inserting in the opposite order is deleting, read backwards
    torch.testing.assert_close(insertion_curve(smooth_score, IMAGE, BASELINE, -values).flip(0), gone)
    torch.testing.assert_close(deletion_curve(smooth_score, BASELINE, IMAGE, values), come)


def test_area_agrees_with_numpy() -> None:
    curve = normal(11, seed=8)
    assert area_under(curve) == pytest.approx(np.trapezoid(curve.numpy(), dx=0.1), rel=1e-12)
    assert area_under(torch.tensor([8.0, 2.0, 1.0, 0.0])) == pytest.approx(7 / 3)


def test_score_of_a_real_module() -> None:
    torch.manual_seed(0)

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(108, 4), nn.BatchNorm1d(4))
            self.text = nn.Embedding(9, 4)

        def forward(self, images: Tensor, texts: Tensor) -> Tensor:
            return (self.image(images) * self.text(texts).mean(dim=1)).sum(dim=1)

    model = Pair()
    images, text = torch.randn(5, 3, 4, 9), torch.tensor([3, 1, 4])
    found = score_function(model, text, batch_size=2)(images)
    assert model.image[1].training and not found.requires_grad
    model.eval()
    torch.testing.assert_close(found, model(images, text.repeat(5, 1)).detach())


def test_visible_cell_runs() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible", "exec"), dict(vars(lesson)))
