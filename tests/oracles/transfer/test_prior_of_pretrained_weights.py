"""transfer/prior_of_pretrained_weights against scikit-learn's Ridge, SciPy's minimiser and gradient descent."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from reference.transfer import prior_of_pretrained_weights as lesson
from reference.transfer.prior_of_pretrained_weights import l2sp_ridge, transfer_gain


def some_data(samples, features, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, features)), rng.normal(size=samples), 2 * rng.normal(size=features)


@pytest.mark.parametrize(("samples", "features"), [(20, 4), (3, 9), (5, 5)])
@pytest.mark.parametrize("lam", [0.05, 1.0, 30.0])
def test_agrees_with_scikit_learn(samples, features, lam):
    X, y, w_source = some_data(samples, features)
    ridge = Ridge(alpha=lam, fit_intercept=False, solver="svd").fit(X, y - X @ w_source)
    np.testing.assert_allclose(l2sp_ridge(X, y, w_source, lam), w_source + ridge.coef_, rtol=1e-8, atol=1e-10)


def test_the_claims_that_can_be_computed():
    X, y, w_source = some_data(20, 4)
    ten_copies = l2sp_ridge(np.tile(X, (10, 1)), np.tile(y, 10), w_source, 3.0)
    assert np.allclose(ten_copies, l2sp_ridge(X, y, w_source, 0.3)) == lesson.claims["copies_weaken_the_prior"]

    errors = [np.sum((X @ l2sp_ridge(X, y, w_source, lam) - y) ** 2) for lam in (0.0, 0.1, 1.0, 10.0)]
    assert (errors != sorted(errors)) == lesson.claims["lam_from_training_error"]

    weights, distances = w_source.copy(), [0.0]
    for _ in range(200):
        weights -= 0.01 * X.T @ (X @ weights - y)
        distances.append(np.linalg.norm(weights - w_source))
    assert (max(distances) <= distances[-1] + 1e-12) == lesson.claims["stopped_early_is_nearer"]


def test_agrees_with_a_numerical_minimiser():
    X, y, w_source = some_data(6, 4)

    def objective(w):
        return ((X @ w - y) ** 2).sum() + 1.7 * ((w - w_source) ** 2).sum()

    found = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(l2sp_ridge(X, y, w_source, 1.7), found, atol=1e-6)


def test_without_a_penalty_it_is_where_gradient_descent_from_the_source_ends():
    X, y, w_source = some_data(3, 6)
    w = w_source.copy()
    for _ in range(4000):
        w -= 0.05 * X.T @ (X @ w - y)
    np.testing.assert_allclose(l2sp_ridge(X, y, w_source, 0.0), w, atol=1e-8)
    tall, targets, _ = some_data(9, 4)
    np.testing.assert_allclose(
        l2sp_ridge(tall, targets, [5, 5, 5, 5], 0.0), np.linalg.lstsq(tall, targets, rcond=None)[0], rtol=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 8), features=st.integers(1, 8), lam=st.floats(0.01, 100))
def test_laws(seed, samples, features, lam):
    X, y, w_source = some_data(samples, features, seed)
    w = l2sp_ridge(X, y, w_source, lam)
    gradient = X.T @ (X @ w - y) + lam * (w - w_source)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    np.testing.assert_allclose(l2sp_ridge(X, y, w_source, 1e12), w_source, rtol=1e-6, atol=1e-8)
    shift = np.random.default_rng(seed + 1).normal(size=features)
    np.testing.assert_allclose(l2sp_ridge(X, y + X @ shift, w_source + shift, lam), w + shift, rtol=1e-7, atol=1e-9)
    assert transfer_gain(X, y, X, y, np.zeros(features), lam) == 0
    # a perfect source on noise-free data cannot hurt
    gain = transfer_gain(X, X @ w_source, np.eye(features), w_source, w_source, lam)
    assert gain >= -1e-12


def test_transfer_can_be_negative():
    X, _, truth = some_data(5, 12)
    X_test = np.random.default_rng(9).normal(size=(400, 12))
    near, opposed = (transfer_gain(X, X @ truth, X_test, X_test @ truth, s * truth, 2.0) for s in (0.9, -1.0))
    assert near > 1 and opposed < -1


def test_refusals():
    X, y, w_source = some_data(4, 3)
    bad = np.full(3, np.nan)
    for arguments in (
        (X, y[:, None], w_source, 1.0),
        (X, y, w_source[:2], 1.0),
        (X[0], y[:1], w_source, 1.0),
        (X[:0], y[:0], w_source, 1.0),
        (X, y, bad, 1.0),
        (X, y, w_source, -1.0),
        (X, y, w_source, np.nan),
    ):
        with pytest.raises(ValueError):
            l2sp_ridge(*arguments)
    for rows, targets in ((X[:, :2], y), (X, y[:1]), (X[:0], y[:0]), (X, np.full(4, np.inf))):
        with pytest.raises(ValueError):
            transfer_gain(X, y, rows, targets, w_source, 1.0)


def test_the_visible_checks_of_the_lesson_and_its_worked_example_hold():
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE)
    exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "visible checks", "exec"), dict(vars(lesson)))
    assert l2sp_ridge([[1], [2]], [4, 6], [1], 3) == pytest.approx([2.375])
    assert transfer_gain([[1], [2]], [4, 6], [[2]], [5], [1], 3) == pytest.approx(0.9375)
    assert transfer_gain([[1], [2]], [4, 6], [[2]], [5], [-3], 3) == pytest.approx(-9.5625)
