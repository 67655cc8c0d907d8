"""losses/class_weights against PyTorch and scikit-learn, and the laws its functions obey."""

from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from reference.losses import class_weights as lesson
from reference.losses.class_weights import balanced_indices, class_weights, sample_weights, weighted_cross_entropy

CLOSE = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_inverse_weights_are_those_of_scikit_learn(rng):
    labels = rng.choice(4, size=200, p=[0.6, 0.25, 0.1, 0.05])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(class_weights(np.bincount(labels), "inverse"), expected, **CLOSE)


def test_sample_weights_are_those_of_scikit_learn(rng):
    labels = rng.choice(["cat", "dog", "owl"], size=90, p=[0.7, 0.2, 0.1])
    expected = compute_sample_weight("balanced", labels)
    np.testing.assert_allclose(sample_weights(labels), expected / expected.sum(), **CLOSE)


def test_effective_weights_lie_between_equal_and_inverse(rng):
    counts = rng.integers(1, 1000, size=6)
    np.testing.assert_allclose(class_weights(counts, "effective", beta=0.0), np.ones(6), **CLOSE)
    inverse = class_weights(counts, "inverse")
    limit = class_weights(counts, "effective", beta=1 - 1e-7)
    np.testing.assert_allclose(limit, inverse * 6 / inverse.sum(), rtol=1e-3)
    for method in ("inverse", "effective"):
        np.testing.assert_allclose(class_weights([7] * 5, method), np.ones(5), **CLOSE)
        assert (np.diff(class_weights(np.sort(counts), method)) <= 0).all()


@pytest.mark.parametrize("ignore_index", [-100, 2, 17])
def test_the_loss_is_that_of_pytorch(rng, ignore_index):
    logits = rng.normal(size=(30, 5)) * 4
    targets = rng.integers(5, size=30)
    targets[::4] = ignore_index
    weights = rng.uniform(0, 3, size=5)
    expected = F.cross_entropy(
        torch.from_numpy(logits),
        torch.from_numpy(targets),
        weight=torch.from_numpy(weights),
        ignore_index=ignore_index,
    )
    loss = weighted_cross_entropy(logits, targets, weights, ignore_index)
    np.testing.assert_allclose(loss, expected.item(), **CLOSE)
    np.testing.assert_allclose(weighted_cross_entropy(logits, targets, 7 * weights, ignore_index), loss, **CLOSE)


def test_large_logits_agree_with_pytorch():
    logits = np.array([[1e4, -1e4, 3.0], [-1e4, -1e4, -1e4 + 2], [0.0, 1e4, 1e4]])
    targets, weights = np.array([1, 0, 2]), np.array([1.0, 2.0, 5.0])
    expected = F.cross_entropy(*map(torch.from_numpy, (logits, targets)), weight=torch.from_numpy(weights))
    np.testing.assert_allclose(weighted_cross_entropy(logits, targets, weights), expected.item(), **CLOSE)


def test_draws_are_as_frequent_as_those_of_the_weighted_random_sampler():
    labels = np.array([3] * 20 + [1] * 4 + [9])
    drawn = balanced_indices(labels, 20_000, np.random.default_rng(2))
    sampler = torch.utils.data.WeightedRandomSampler(
        torch.from_numpy(sample_weights(labels)), 20_000, generator=torch.Generator().manual_seed(3)
    )
    for indices in (drawn, np.array(list(sampler))):
        shares = [(labels[indices] == label).mean() for label in (3, 1, 9)]
        np.testing.assert_allclose(shares, [1 / 3] * 3, atol=0.02)
    assert drawn.dtype == np.int64


def test_order_of_the_samples_does_not_matter(rng):
    labels = rng.integers(-3, 3, size=40)
    order = rng.permutation(40)
    np.testing.assert_allclose(sample_weights(labels[order]), sample_weights(labels)[order], **CLOSE)


def test_worked_example_of_the_lesson():
    np.testing.assert_allclose(class_weights([6, 3, 1], "inverse"), [10 / 18, 10 / 9, 10 / 3], **CLOSE)
    np.testing.assert_allclose(class_weights([6, 3, 1], "effective", 0.5), [0.733, 0.824, 1.443], atol=5e-4)
    loss = weighted_cross_entropy(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 1], [1, 3])
    assert loss == pytest.approx(0.592, abs=5e-4)
    np.testing.assert_allclose(sample_weights(["cat", "dog", "dog", "dog"]), [1 / 2, 1 / 6, 1 / 6, 1 / 6])


def test_claims_that_are_arithmetic():
    counts = np.array([90, 10])
    drawn_and_weighted = 0.5 * class_weights(counts, "inverse")  # share of draws times weight in the loss
    assert drawn_and_weighted[1] == pytest.approx(9 * drawn_and_weighted[0])
    labels = np.repeat([0, 1], counts)
    batches = [labels[balanced_indices(labels, 8, np.random.default_rng(seed))].sum() for seed in range(20)]
    assert min(batches) < 4 < max(batches)


@pytest.mark.parametrize("tag", ["visible-checks"])
def test_cells_of_the_notebook_run(tag):
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], tag, "exec"), dict(vars(lesson)))
