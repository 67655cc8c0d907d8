"""The reference of foundations/fine_tuning_suitability against scikit-learn, SciPy and the laws of its measure."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel

from reference.foundations import fine_tuning_suitability as lesson
from reference.foundations.fine_tuning_suitability import (
    median_sigma,
    mmd2_unbiased,
    mmd_permutation_test,
    pooled_distances,
)


def sets(seed, n=7, m=5, width=3, shift=0.5, spread=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)), rng.normal(size=(m, width)) * spread + shift


def with_scikit_learn(source, target, sigma):
    gamma = 1 / (2 * sigma**2)
    within = [rbf_kernel(part, gamma=gamma) for part in (source, target)]
    means = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in within]
    return sum(means) - 2 * rbf_kernel(source, target, gamma=gamma).mean()


def test_distances_and_median_agree_with_scipy():
    for seed in range(3):
        source, target = sets(seed)
        pooled = np.concatenate([source, target])
        np.testing.assert_allclose(pooled_distances(source, target), cdist(pooled, pooled), rtol=1e-12, atol=1e-12)
        assert median_sigma(source, target) == pytest.approx(np.median(pdist(pooled)), rel=1e-12)


def test_the_estimate_agrees_with_scikit_learn():
    for seed, sigma in enumerate((0.5, 1.0, 3.0)):
        for shape in ((7, 5, 3), (2, 9, 4), (4, 4, 1)):
            source, target = sets(seed, *shape)
            assert mmd2_unbiased(source, target, sigma) == pytest.approx(with_scikit_learn(source, target, sigma))


def test_the_permutation_test_agrees_with_one_kernel_matrix():
    source, target = sets(4)
    n, m, sigma = len(source), len(target), 1.25
    kernel = rbf_kernel(np.concatenate([source, target]), gamma=1 / (2 * sigma**2))
    np.fill_diagonal(kernel, 0)

    def of(order):
        k = kernel[np.ix_(order, order)]
        return k[:n, :n].sum() / (n * n - n) + k[n:, n:].sum() / (m * m - m) - 2 * k[:n, n:].mean()

    rng = np.random.default_rng(11)
    stat = of(np.arange(n + m))
    count = sum(of(rng.permutation(n + m)) >= stat - 1e-12 for _ in range(99))
    assert mmd_permutation_test(source, target, sigma, 99, 11) == pytest.approx((stat, (1 + count) / 100))


def test_laws():
    source, target = sets(5)
    value = mmd2_unbiased(source, target, 1.5)
    assert mmd2_unbiased(target, source, 1.5) == pytest.approx(value)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    moved = [part @ rotation + [5.0, -7.0, 9.0] for part in (source, target)]
    assert mmd2_unbiased(*moved, 1.5) == pytest.approx(value)
    assert median_sigma(*moved) == pytest.approx(median_sigma(source, target))
    assert mmd2_unbiased(source * 4, target * 4, 6.0) == pytest.approx(value)
    assert mmd2_unbiased(source, source, 1.5) < 0


def test_right_on_average_where_both_are_equal():
    values = np.array([mmd2_unbiased(*sets(seed, 8, 8, 2, shift=0.0), 1.5) for seed in range(400)])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert 0.4 < (values < 0).mean() < 0.75


def test_the_share_of_all_splits():
    source, target = sets(6, 3, 3, 2)
    pooled = np.concatenate([source, target])
    stat = mmd2_unbiased(source, target, 1.0)
    splits = [set(part) for part in combinations(range(6), 3)]
    reached = [
        mmd2_unbiased(pooled[sorted(part)], pooled[sorted(set(range(6)) - part)], 1.0) >= stat - 1e-12
        for part in splits
    ]
    _, p = mmd_permutation_test(source, target, 1.0, 2000, 0)
    assert p == pytest.approx(np.mean(reached), abs=0.04)
    assert mmd_permutation_test(source, target, 1.0, 1, 0)[1] in (0.5, 1.0)


def test_a_difference_of_spread_is_found_at_equal_means():
    source, target = sets(7, 25, 30, 4, shift=0.0, spread=3.0)
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    stat, p = mmd_permutation_test(source, target, median_sigma(source, target), 99, 0)
    assert stat > 0.02 and p == 0.01


def test_the_lesson_s_example():
    source, target, sigma = [[0, 0], [1, 0]], [[0, 1], [1, 2]], 1 / np.sqrt(2 * np.log(2))
    a, b, c, d = *source, *target
    for one, other, expected in (((a, b), (c, d), 0.328125), ((a, c), (b, d), 0.046875), ((a, d), (b, c), -0.375)):
        assert mmd2_unbiased(one, other, sigma) == pytest.approx(expected)
    assert median_sigma(source, target) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    "arguments",
    [
        ([[1.0]], [[1.0], [2.0]]),
        ([[1.0], [2.0]], [[1.0]]),
        ([[1.0], [2.0]], [[1.0, 2.0], [3.0, 4.0]]),
        ([1.0, 2.0], [3.0, 4.0]),
        (1.0, 2.0),
        ([[1.0], [np.nan]], [[1.0], [2.0]]),
        ([[1.0], [2.0]], [[np.inf], [2.0]]),
    ],
)
def test_refuses(arguments):
    for function, options in (
        (pooled_distances, ()),
        (median_sigma, ()),
        (mmd2_unbiased, (1.0,)),
        (mmd_permutation_test, (1.0, 3, 0)),
    ):
        with pytest.raises(ValueError):
            function(*arguments, *options)


def test_refuses_options():
    source, target = sets(8)
    for sigma in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError):
            mmd2_unbiased(source, target, sigma)
    with pytest.raises(ValueError):
        mmd_permutation_test(source, target, 1.0, 0, 0)
    with pytest.raises(ValueError):
        median_sigma(np.ones((3, 2)), np.ones((2, 2)))


def cells(tag):
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    found = re.findall(rf"^# %% tags=\[{tag}\]\n((?:#.*\n)+)", text, flags=re.MULTILINE)
    return [re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in found]


def test_the_visible_checks_of_the_lesson_hold():
    (code,) = cells('"visible-checks", "active-ipynb"')
    assert code.count("assert ") == 4
    exec(compile(code, "visible checks", "exec"), dict(vars(lesson)))


def test_the_demonstration_runs(capsys):
    (code,) = cells('"active-ipynb"')
    exec(compile(code, "demonstration", "exec"), dict(vars(lesson)))
    lines = capsys.readouterr().out.splitlines()
    p = [float(line.rsplit(maxsplit=1)[1]) for line in lines]
    assert p[0] > 0.1 and max(p[1:]) < 0.05
