"""The reference of foundations/fine_tuning_objective against NumPy, SciPy and long walks."""

import re
from pathlib import Path

import numpy as np
import pytest

from reference.foundations import fine_tuning_objective as lesson
from reference.foundations.fine_tuning_objective import empirical_risk, gd_limit, gd_path, merge_batch_means

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def with_condition(rng, rows, columns, condition):
    left, _, right = np.linalg.svd(rng.normal(size=(rows, columns)), full_matrices=False)
    return left * np.linspace(1, 1 / condition, min(rows, columns)) @ right


def test_risk_agrees_with_numpy(rng):
    losses, weights, mask = rng.normal(size=20), rng.uniform(0, 2, size=20), rng.random(20) < 0.6
    np.testing.assert_allclose(empirical_risk(losses), losses.mean(), **CLOSE)
    np.testing.assert_allclose(empirical_risk(losses, weights), np.average(losses, weights=weights), **CLOSE)
    expected = np.average(losses[mask], weights=weights[mask])
    np.testing.assert_allclose(empirical_risk(np.where(mask, losses, np.nan), weights, mask), expected, **CLOSE)
    risk = empirical_risk(losses, weights, mask)
    np.testing.assert_allclose(empirical_risk(losses, 8 * weights, mask), risk, **CLOSE)
    order = rng.permutation(20)
    np.testing.assert_allclose(empirical_risk(losses[order], weights[order], mask[order]), risk, **CLOSE)
    assert losses[mask].min() <= risk <= losses[mask].max()


def test_any_partition_merges_to_the_mean(rng):
    losses = rng.normal(size=17)
    for cuts in ([], [5], [1, 2, 16], [4, 8, 12, 16]):
        batches = np.split(losses, cuts)
        merged = merge_batch_means([batch.mean() for batch in batches], [len(batch) for batch in batches])
        np.testing.assert_allclose(merged, losses.mean(), **CLOSE)


@pytest.mark.parametrize(("rows", "columns"), [(3, 6), (6, 3), (4, 4)])
def test_a_long_walk_ends_at_the_limit(rng, rows, columns):
    """20 000 steps are enough for a condition number of 20 at the most (errata of E-F1)."""
    X, y, theta0 = with_condition(rng, rows, columns, 20), rng.normal(size=rows), rng.normal(size=columns)
    path = gd_path(X, y, theta0, 1.9, 20_000)
    assert path.shape == (20_001, columns)
    np.testing.assert_allclose(path[-1], gd_limit(X, y, theta0), **CLOSE)
    np.testing.assert_allclose(path[1], theta0 - 1.9 * X.T @ (X @ theta0 - y), **CLOSE)


def test_limit_agrees_with_a_constrained_minimiser(rng):
    """The nearest of all exact fits, from the equations of Lagrange multipliers."""
    X, y, theta0 = rng.normal(size=(3, 7)), rng.normal(size=3), rng.normal(size=7)
    system = np.block([[np.eye(7), X.T], [X, np.zeros((3, 3))]])
    expected = np.linalg.solve(system, np.concatenate([theta0, y]))[:7]
    np.testing.assert_allclose(gd_limit(X, y, theta0), expected, **CLOSE)
    np.testing.assert_allclose(X @ gd_limit(X, y, theta0), y, **CLOSE)


def test_properties_of_the_limit(rng):
    scipy_linalg = pytest.importorskip("scipy.linalg")
    X, y, theta0 = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=5)
    np.testing.assert_allclose(gd_limit(X, y, np.zeros(5)), scipy_linalg.lstsq(X, y)[0], **CLOSE)
    unseen = scipy_linalg.null_space(X) @ rng.normal(size=2)
    np.testing.assert_allclose(gd_limit(X, y, theta0 + unseen), gd_limit(X, y, theta0) + unseen, **CLOSE)
    np.testing.assert_allclose(scipy_linalg.null_space(X).T @ (gd_limit(X, y, theta0) - theta0), 0, atol=1e-10)
    tall, targets = rng.normal(size=(9, 4)), rng.normal(size=9)
    expected = scipy_linalg.lstsq(tall, targets)[0]
    for _ in range(3):
        np.testing.assert_allclose(gd_limit(tall, targets, rng.normal(size=4)), expected, **CLOSE)


def test_refusals(rng):
    X, y, theta0 = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=5)
    bound = 2 / np.linalg.eigvalsh(X @ X.T).max()
    gd_path(X, y, theta0, 0.999 * bound, 2)
    for lr, steps in ((1.001 * bound, 2), (0.0, 2), (-1.0, 2), (np.nan, 2), (0.5 * bound, -1)):
        with pytest.raises(ValueError):
            gd_path(X, y, theta0, lr, steps)
    assert np.array_equal(gd_path(np.zeros((3, 5)), y, theta0, 1e9, 1), [theta0, theta0])
    assert np.array_equal(gd_limit(np.zeros((3, 5)), y, theta0), theta0)
    with pytest.raises(TypeError):
        empirical_risk([1.0, 2.0], mask=[1, 0])
    with pytest.raises(ValueError):
        empirical_risk([1.0, np.nan], [1, 0])
    with pytest.raises(ValueError):
        merge_batch_means([1.0], [0])


def test_the_visible_checks_of_the_lesson_and_its_worked_example_hold():
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE)
    exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "visible checks", "exec"), dict(vars(lesson)))
    assert merge_batch_means([0.3, 3.0], [2, 1]) == pytest.approx(1.2)
    assert empirical_risk([0.2, 0.4, 3.0], [2, 1, 1]) == pytest.approx(0.95)
    assert empirical_risk([0.2, 0.4, 3.0], mask=[True, True, False]) == pytest.approx(0.3)
    assert gd_limit([[3, 4]], [10], [0, 0]) == pytest.approx([1.2, 1.6])
    assert gd_limit([[3, 4]], [10], [5, 0]) == pytest.approx([4.4, -0.8])
