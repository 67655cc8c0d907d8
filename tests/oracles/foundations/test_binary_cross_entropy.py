"""foundations/binary_cross_entropy against PyTorch, and the laws of the loss."""

from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reference.foundations import binary_cross_entropy as lesson
from reference.foundations.binary_cross_entropy import (
    bce_from_probs,
    bce_logistic_grad,
    bce_risk,
    bce_with_logits,
    chain_form_grad,
    finite_difference,
    prior_correction,
    two_logit_to_margin,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(17)


def test_losses_are_those_of_pytorch(rng):
    logits = np.concatenate([rng.normal(size=20) * 5, rng.uniform(-1e4, 1e4, size=20)])
    targets = rng.uniform(size=40)
    expected = F.binary_cross_entropy_with_logits(*map(torch.from_numpy, (logits, targets)), reduction="none")
    np.testing.assert_allclose(bce_with_logits(logits, targets), expected, **CLOSE)
    probs = rng.uniform(0.01, 0.99, size=(5, 8))
    expected = F.binary_cross_entropy(*map(torch.from_numpy, (probs, targets.reshape(5, 8))), reduction="none")
    np.testing.assert_allclose(bce_from_probs(probs, targets.reshape(5, 8)), expected, **CLOSE)


def test_the_vector_of_the_syllabus():
    losses = bce_with_logits([-200, -3, 0, 3, 200], [0, 1, 1, 0, 0])
    np.testing.assert_allclose(losses, [0, 3.048587, 0.693147, 3.048587, 200], atol=1e-6)


@pytest.mark.parametrize("pos_weight", [1.0, 0.3, 4.0])
def test_the_risk_is_that_of_pytorch(rng, pos_weight):
    logits, targets, weights = rng.normal(size=30) * 4, rng.uniform(size=30), rng.uniform(size=30)
    tensors = [torch.from_numpy(array) for array in (logits, targets)]
    factor = torch.tensor(pos_weight, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(*tensors, pos_weight=factor)
    np.testing.assert_allclose(bce_risk(logits, targets, pos_weight), expected, **CLOSE)
    losses = F.binary_cross_entropy_with_logits(*tensors, pos_weight=factor, reduction="none").numpy()
    np.testing.assert_allclose(
        bce_risk(logits, targets, pos_weight, weights), np.average(losses, weights=weights), **CLOSE
    )


def test_two_scores_are_a_softmax(rng):
    scores, labels = rng.normal(size=(20, 2)) * 3, rng.integers(2, size=20)
    expected = F.cross_entropy(torch.from_numpy(scores), torch.from_numpy(labels))
    np.testing.assert_allclose(bce_risk(two_logit_to_margin(scores), labels), expected, **CLOSE)


def test_laws_of_the_loss(rng):
    logits, targets = rng.normal(size=50) * 6, rng.uniform(size=50)
    losses = bce_with_logits(logits, targets)
    np.testing.assert_allclose(losses, bce_with_logits(-logits, 1 - targets), **CLOSE)
    entropy = -targets * np.log(targets) - (1 - targets) * np.log(1 - targets)
    assert (losses >= entropy - 1e-12).all()
    best = np.log(targets / (1 - targets))
    np.testing.assert_allclose(bce_with_logits(best, targets), entropy, **CLOSE)
    middle = bce_with_logits((logits + best) / 2, targets)
    assert (middle <= (losses + entropy) / 2 + 1e-12).all()  # convex
    assert (bce_from_probs([0.0, 1.0, 1.0], [0, 1, 1]) >= 0).all()


def test_the_best_constant_is_the_log_odds_of_the_prior():
    targets = np.repeat([1, 0], [3, 9])
    best = np.log(3 / 9)
    ones = np.ones((12, 1))
    np.testing.assert_allclose(bce_logistic_grad(ones, targets, [best]), 0, atol=1e-12)
    corrected = prior_correction([best], 0.25, 0.6)
    np.testing.assert_allclose(corrected, [np.log(0.6 / 0.4)], **CLOSE)


@pytest.mark.parametrize("scale", [1.0, 40.0, 3000.0])
def test_gradients_are_those_of_autograd(rng, scale):
    X, z, theta = rng.normal(size=(15, 4)), rng.uniform(size=15), rng.normal(size=4) * scale
    at = torch.from_numpy(theta).requires_grad_()
    F.binary_cross_entropy_with_logits(torch.from_numpy(X) @ at, torch.from_numpy(z)).backward()
    np.testing.assert_allclose(bce_logistic_grad(X, z, theta), at.grad, **CLOSE)
    if scale == 1.0:
        np.testing.assert_allclose(chain_form_grad(X, z, theta), at.grad, **CLOSE)
        numerical = finite_difference(lambda t: bce_risk(X @ t, z), theta)
        np.testing.assert_allclose(numerical, at.grad, rtol=1e-6, atol=1e-8)


def test_the_chain_form_breaks_where_the_short_form_does_not():
    arguments = [[200.0], [200.0]], [0, 1], [1.0]
    assert np.isnan(chain_form_grad(*arguments)).all()
    np.testing.assert_allclose(bce_logistic_grad(*arguments), [100.0], **CLOSE)


def test_parts_add_up_and_features_can_be_mixed(rng):
    X, z, theta = rng.normal(size=(11, 3)), rng.uniform(size=11), rng.normal(size=3)
    whole = bce_logistic_grad(X, z, theta)
    parts = (4 * bce_logistic_grad(X[:4], z[:4], theta) + 7 * bce_logistic_grad(X[4:], z[4:], theta)) / 11
    np.testing.assert_allclose(parts, whole, **CLOSE)
    mixing = rng.normal(size=(3, 3))
    mixed = bce_logistic_grad(X @ mixing, z, np.linalg.solve(mixing, theta))
    np.testing.assert_allclose(mixed, whole @ mixing, rtol=1e-7)


def test_central_differences_have_a_small_error():
    error = [abs(finite_difference(lambda t: np.exp(t[0]), [1.0], h)[0] - np.e) for h in (1e-2, 1e-3)]
    assert error[0] < 1e-4 and 80 < error[0] / error[1] < 120


def test_worked_example_of_the_lesson():
    s = np.log(4)
    np.testing.assert_allclose(bce_with_logits([s, s, s], [1, 0, 0.5]), [0.223, 1.609, 0.916], atol=5e-4)
    assert bce_risk([s], [1], pos_weight=3) == pytest.approx(0.669, abs=5e-4)
    np.testing.assert_allclose(bce_with_logits([800], [0]), [800])
    np.testing.assert_allclose(bce_from_probs([1.0], [0]), [27.6], atol=0.05)
    np.testing.assert_allclose(prior_correction([0], 0.5, 0.1), [-2.197], atol=5e-4)
    np.testing.assert_allclose(bce_logistic_grad([[1, 2], [0, 1]], [1, 0], [0, 0]), [-0.25, -0.25])


@pytest.mark.parametrize("tag", ["visible-checks"])
def test_cells_of_the_notebook_run(tag):
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], tag, "exec"), dict(vars(lesson)))
