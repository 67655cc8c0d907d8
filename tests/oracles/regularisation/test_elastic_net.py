"""The reference of regularisation/elastic_net against scikit-learn and a numerical minimiser, and the laws it obeys."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.regularisation import elastic_net as lesson
from reference.regularisation.elastic_net import elastic_prox_step, fit_elastic_net


def data(seed, samples=40, features=6, correlation=0.0):
    rng = np.random.default_rng(seed)
    X = np.sqrt(1 - correlation) * rng.normal(size=(samples, features))
    X += np.sqrt(correlation) * rng.normal(size=(samples, 1))
    y = X[:, :3] @ np.array([2.0, -1.0, 0.5]) + 0.3 * rng.normal(size=samples)
    return X, y


@pytest.mark.parametrize(("seed", "correlation"), [(0, 0.0), (1, 0.5), (2, 0.9)])
@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.1, 0.4), (0.05, 0.01)])
def test_agrees_with_scikit_learn(seed, correlation, l1, l2):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = data(seed, correlation=correlation)
    model = linear_model.ElasticNet(
        alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), fit_intercept=False, tol=1e-12, max_iter=100_000
    )
    expected = model.fit(X, y).coef_
    found = fit_elastic_net(X, y, l1, l2)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found == 0, expected == 0)


def test_without_l1_it_is_ridge_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = data(3)
    ridge = linear_model.Ridge(alpha=len(X) * 0.4, fit_intercept=False).fit(X, y).coef_
    np.testing.assert_allclose(fit_elastic_net(X, y, 0.0, 0.4), ridge, rtol=1e-9)
    assert (fit_elastic_net(X, y, 0.0, 0.4) != 0).all()
    np.testing.assert_allclose(fit_elastic_net(X, y, 0.0, 0.0), np.linalg.lstsq(X, y)[0], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(-4, 4), st.floats(0.01, 2), st.floats(0, 2), st.floats(0, 2))
def test_the_step_is_the_minimiser(v, lr, l1, l2):
    optimize = pytest.importorskip("scipy.optimize")

    def objective(u):
        return 0.5 * (u - v) ** 2 + lr * (l1 * abs(u) + l2 / 2 * u**2)

    found = elastic_prox_step([v], [0.0], lr, l1, l2)[0]
    best = optimize.minimize_scalar(objective, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).x
    assert objective(found) <= objective(best) + 1e-12
    assert found == pytest.approx(best, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 3), st.floats(0, 3), st.floats(0, 3))
def test_the_step_never_increases_distances(seed, lr, l1, l2):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, 5)) * 3
    zeros = np.zeros(5)
    gap = elastic_prox_step(left, zeros, lr, l1, l2) - elastic_prox_step(right, zeros, lr, l1, l2)
    assert np.linalg.norm(gap) <= np.linalg.norm(left - right) * (1 + 1e-12)


def test_zeros_grow_with_l1_and_a_large_one_leaves_nothing():
    basis, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(30, 8)))
    X, y = basis * np.sqrt(30), np.random.default_rng(5).normal(size=30)
    largest = np.abs(X.T @ y).max() / 30
    counts = [int((fit_elastic_net(X, y, l1, 0.1) == 0).sum()) for l1 in np.linspace(0, 1.001 * largest, 9)]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 8

    X, y = data(6)
    assert not fit_elastic_net(X, y, 1.0001 * np.abs(X.T @ y).max() / len(X), 0.0).any()


def test_the_objective_falls_with_every_step():
    X, y = data(7, correlation=0.8)

    def objective(w):
        return ((y - X @ w) ** 2).sum() / (2 * len(X)) + 0.1 * np.abs(w).sum() + 0.2 / 2 * (w**2).sum()

    values = [objective(fit_elastic_net(X, y, 0.1, 0.2, n_steps)) for n_steps in range(12)]
    assert all(later < earlier for earlier, later in zip(values, values[1:], strict=False))


def test_the_worked_example():
    w, grad = [1.0, -0.3, 0.05], [0.5, -0.5, 0.2]
    for (l1, l2), expected in {
        (0.0, 0.0): [0.9, -0.2, 0.01],
        (0.5, 0.0): [0.8, -0.1, 0.0],
        (0.0, 1.0): [0.75, -0.167, 0.0083],
        (0.5, 1.0): [0.667, -0.083, 0.0],
    }.items():
        np.testing.assert_allclose(elastic_prox_step(w, grad, 0.2, l1, l2), expected, atol=4e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: elastic_prox_step([1.0], [1.0, 2.0], 0.1),
        lambda: elastic_prox_step([1.0], [1.0], 0.0),
        lambda: elastic_prox_step([1.0], [1.0], 0.1, l1=-1.0),
        lambda: elastic_prox_step([1.0], [np.nan], 0.1),
        lambda: fit_elastic_net(np.zeros((0, 2)), np.zeros(0), 0.1, 0.1),
        lambda: fit_elastic_net(np.zeros((2, 2)), np.zeros(3), 0.1, 0.1),
        lambda: fit_elastic_net(np.zeros((2, 2)), np.zeros(2), 0.1, np.nan),
    ],
)
def test_refuses(call):
    with pytest.raises(ValueError):
        call()


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
