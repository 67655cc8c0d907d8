"""The reference of optimisation/gradient_conflicts against projections by torch and scikit-learn, and its laws."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from reference.optimisation import gradient_conflicts as lesson
from reference.optimisation.gradient_conflicts import combine_gradients, conflict_matrix


def by_least_squares(grads, order):
    """Each conflict removed as the residual of a least-squares fit of the copy on the other gradient alone."""
    total = np.zeros(grads.shape[1])
    for i, sequence in enumerate(order):
        copy = grads[i]
        for j in sequence:
            if copy @ grads[j] < 0:
                share, *_ = np.linalg.lstsq(grads[j][:, None], copy, rcond=None)
                copy = copy - share[0] * grads[j]
        total = total + copy
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4))
def test_equals_residuals_of_least_squares(seed, n_tasks, width):
    rng = np.random.default_rng(seed)
    grads = rng.normal(size=(n_tasks, width))
    order = [rng.permutation([j for j in range(n_tasks) if j != i]).tolist() for i in range(n_tasks)]
    found = combine_gradients(grads, "pcgrad", order)
    np.testing.assert_allclose(found, by_least_squares(grads, order), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(conflict_matrix(grads), cosine_similarity(grads), rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(1e-3, 1e3))
def test_laws(seed, n_tasks, scale):
    rng = np.random.default_rng(seed)
    grads = rng.normal(size=(n_tasks, 4))
    result = combine_gradients(grads, "pcgrad")
    np.testing.assert_allclose(combine_gradients(scale * grads, "pcgrad"), scale * result, rtol=1e-9, atol=1e-9 * scale)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    np.testing.assert_allclose(combine_gradients(grads @ rotation, "pcgrad"), result @ rotation, atol=1e-11)
    agreeing = np.abs(grads)
    np.testing.assert_allclose(combine_gradients(agreeing, "pcgrad"), agreeing.sum(axis=0))
    pair = grads[:2]
    np.testing.assert_allclose(combine_gradients(pair, "pcgrad"), combine_gradients(pair[::-1], "pcgrad"))
    limits = -1e-12 * np.linalg.norm(pair, axis=1) ** 2
    assert (pair @ combine_gradients(pair, "pcgrad") >= limits).all() == lesson.claims["two_tasks"]


def test_with_three_tasks_the_order_matters_and_conflicts_may_stay():
    rng = np.random.default_rng(0)
    sets = rng.normal(size=(300, 3, 3))
    backwards = [[2, 1], [2, 0], [1, 0]]
    results = [combine_gradients(grads, "pcgrad") for grads in sets]
    assert any(
        not np.allclose(r, combine_gradients(g, "pcgrad", backwards)) for r, g in zip(results, sets, strict=True)
    )
    never_negative = all((g @ r >= -1e-9).all() for r, g in zip(results, sets, strict=True))
    assert never_negative == lesson.claims["three_tasks"]


def test_claims_about_networks():
    torch.manual_seed(0)
    networks = [torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)]
    x = torch.randn(8, 3)
    losses = [network(x).square().mean() for network in networks]
    together = torch.autograd.grad(sum(losses), networks[0].weight, retain_graph=True)[0]
    alone = torch.autograd.grad(losses[0], networks[0].weight)[0]
    assert (not torch.equal(together, alone)) == lesson.claims["separate_networks"]

    target = torch.tensor([1.0, -2.0])
    theta = torch.zeros(2)
    first, second = torch.tensor([1.0, 0.25]), 2 * (theta - target)
    assert first @ second < 0
    moved = theta - 1e-3 * first
    assert ((moved - target).square().sum() > target.square().sum()).item() == lesson.claims["first_order"]

    small = np.array([[1.0, 0.0], [1e-6, 1e-6]])
    assert (combine_gradients(small, "pcgrad")[1] > 0.1) == lesson.claims["balances_sizes"]


def test_the_worked_example():
    grads = [[1, 0], [-1, 1]]
    np.testing.assert_allclose(combine_gradients(grads, "pcgrad"), [0.5, 1.5])
    np.testing.assert_allclose(combine_gradients(grads, "sum"), [0.0, 1.0])
    np.testing.assert_allclose(conflict_matrix(grads)[0, 1], -0.707, atol=1e-3)


@pytest.mark.parametrize("order", [np.array([[2, 1], [2, 0], [1, 0]]), ((2, 1), (2, 0), (1, 0))])
def test_orders_of_other_kinds(order):
    grads = np.random.default_rng(1).normal(size=(3, 3))
    expected = combine_gradients(grads, "pcgrad", [[2, 1], [2, 0], [1, 0]])
    np.testing.assert_array_equal(combine_gradients(grads, "pcgrad", order), expected)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
