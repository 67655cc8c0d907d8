"""regularisation/dropout against PyTorch, finite differences and the closed form of the rate of absence."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.regularisation import dropout as lesson
from reference.regularisation.dropout import dropout, dropout_backward, modality_dropout


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7, 1.0])
def test_zeros_and_scale_are_those_of_pytorch(p):
    x = np.random.default_rng(1).normal(size=(200, 300))
    torch.manual_seed(0)
    inputs = torch.tensor(x, requires_grad=True)
    outputs = torch.nn.functional.dropout(inputs, p)
    theirs, ours = outputs.detach().numpy(), dropout(x, p, True, np.random.default_rng(2))
    assert abs((theirs == 0).mean() - (ours[0] == 0).mean()) < 0.01
    np.testing.assert_array_equal(ours[0] == 0, ~ours[1])
    # their mask, our arithmetic: the same output and the same gradient
    mask = theirs != 0
    np.testing.assert_allclose(dropout_backward(x, mask, p), theirs, rtol=1e-12)
    weights = np.random.default_rng(3).normal(size=x.shape)
    outputs.backward(torch.tensor(weights))
    np.testing.assert_allclose(dropout_backward(weights, mask, p), inputs.grad.numpy(), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(p=st.floats(0, 0.99), seed=st.integers(0, 2**32 - 1))
def test_the_backward_pass_is_the_adjoint_of_the_forward_pass(p, seed):
    rng = np.random.default_rng(seed)
    x, v, grad_y = rng.normal(size=(3, 4, 6))
    y, mask = dropout(x, p, True, np.random.default_rng(seed))
    np.testing.assert_allclose(y[mask], x[mask] / (1 - p))
    moved, same_mask = dropout(v, p, True, np.random.default_rng(seed))
    np.testing.assert_array_equal(mask, same_mask)
    np.testing.assert_allclose((dropout_backward(grad_y, mask, p) * v).sum(), (grad_y * moved).sum(), atol=1e-9)
    # finite differences, exact up to rounding because dropout is linear in x
    stepped, _ = dropout(x + 0.5 * v, p, True, np.random.default_rng(seed))
    np.testing.assert_allclose((grad_y * (stepped - y)).sum() / 0.5, (grad_y * moved).sum(), atol=1e-7)


def test_the_mean_is_kept():
    x = np.random.default_rng(4).normal(size=7)
    y, _ = dropout(np.tile(x, (40_000, 1)), 0.3, True, np.random.default_rng(5))
    standard_error = np.abs(x) * np.sqrt(0.3 / 0.7) / np.sqrt(40_000)
    assert (np.abs(y.mean(axis=0) - x) < 5 * standard_error).all()


@pytest.mark.parametrize(("modalities", "p"), [(2, 0.2), (2, 0.9), (3, 0.5), (4, 0.8), (1, 0.6), (3, 1.0), (3, 0.0)])
def test_rate_of_absence(modalities, p):
    batch = 60_000
    features = [np.ones((batch, 1)) for _ in range(modalities)]
    kept, present = modality_dropout(features, p, np.random.default_rng(6))
    expected = p - p**modalities / modalities  # drawn, unless it is the one that comes back
    assert np.abs((~present).mean(axis=0) - expected).max() < 5 * 0.5 / np.sqrt(batch)
    assert present.any(axis=1).all()
    np.testing.assert_array_equal(np.column_stack(kept), present)


def test_inference_is_the_identity_and_draws_nothing():
    x = np.random.default_rng(7).normal(size=(3, 4))
    y, mask = dropout(x, 0.9, False, None)
    np.testing.assert_array_equal(y, x)
    assert mask.all() and not np.shares_memory(x, y)
    (z,), present = modality_dropout([x], 0.9, None, training=False)
    np.testing.assert_array_equal(z, x)
    assert present.all() and not np.shares_memory(x, z)


def test_refusals():
    floats, rng = np.ones((3, 2)), np.random.default_rng(0)
    for p in (-0.01, 1.01, np.nan):
        for call in (
            lambda p=p: dropout(floats, p, True, rng),
            lambda p=p: dropout_backward(floats, floats > 0, p),
            lambda p=p: modality_dropout([floats], p, rng),
        ):
            with pytest.raises(ValueError, match="p must be"):
                call()
    with pytest.raises(ValueError, match="shape"):
        dropout_backward(floats, floats[0] > 0, 0.5)
    for features in ([], [floats, floats[:2]], [floats[0]]):
        with pytest.raises(ValueError):
            modality_dropout(features, 0.5, rng)
    with pytest.raises(TypeError):
        modality_dropout([floats, floats.astype(int)], 0.5, rng)


def test_the_claims_that_are_arithmetic():
    rng = np.random.default_rng(8)
    y, _ = dropout(np.full(100_000, 3.0), 0.5, True, rng)
    assert abs(y.mean() - 3) < 0.05 and abs(y.var() - 9) < 0.05
    pair, _ = dropout(np.tile([2.0, -2.0], (100_000, 1)), 0.5, True, rng)
    assert abs(np.maximum(pair.sum(axis=1), 0).mean() - 1) < 0.03
    torch.manual_seed(0)
    assert abs((torch.nn.Dropout(0.1)(torch.ones(100_000)) == 0).double().mean().item() - 0.1) < 0.01


def test_the_visible_checks_of_the_lesson_hold():
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE)
    exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "visible checks", "exec"), dict(vars(lesson)))
