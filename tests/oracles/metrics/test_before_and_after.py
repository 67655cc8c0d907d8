"""The reference against scipy's tests and bootstrap, closed forms, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
from scipy import stats

from reference.metrics import before_and_after as lesson
from reference.metrics.before_and_after import mcnemar_exact, paired_bootstrap


def items(only_a: int, only_b: int, both: int = 3, neither: int = 2) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    return a, b


@pytest.mark.parametrize("sides", [(2, 8), (8, 2), (0, 1), (5, 5), (5, 6), (0, 30), (480, 520), (1400, 1600)])
def test_equals_the_binomial_test(sides) -> None:
    expected = stats.binomtest(min(sides), sum(sides), 0.5).pvalue
    np.testing.assert_allclose(mcnemar_exact(*items(*sides)), expected, rtol=1e-10)


def test_special_p_values() -> None:
    np.testing.assert_allclose(mcnemar_exact(*items(2, 8)), 0.109375, rtol=1e-15)
    assert mcnemar_exact(*items(0, 0)) == 1 and mcnemar_exact(*items(7, 7)) == 1
    assert mcnemar_exact(*items(3, 9)) == mcnemar_exact(*items(9, 3)) == mcnemar_exact(*items(3, 9, 1000, 500))


def test_agrees_with_the_bootstrap_of_scipy() -> None:
    a, b = items(40, 70, 200, 90)

    def difference(x, y, axis):
        return y.mean(axis=axis) - x.mean(axis=axis)

    for level in (0.5, 0.95):
        theirs = stats.bootstrap(
            (a.astype(float), b.astype(float)),
            difference,
            paired=True,
            method="percentile",
            n_resamples=8000,
            confidence_level=level,
            rng=np.random.default_rng(1),
        ).confidence_interval
        ours = paired_bootstrap(a, b, 8000, 2, level)
        spread = np.std(b.astype(float) - a) / np.sqrt(len(a))
        assert abs(ours["low"] - theirs.low) < 0.2 * spread and abs(ours["high"] - theirs.high) < 0.2 * spread
        assert ours["low"] <= ours["diff"] <= ours["high"]
        np.testing.assert_allclose(ours["diff"], 30 / 400)


def test_identical_models_seeds_and_roles() -> None:
    a, b = items(20, 40, 30, 10)
    assert paired_bootstrap(a, a) == {"diff": 0.0, "low": 0.0, "high": 0.0}
    assert paired_bootstrap(a, b, 50, 3) == paired_bootstrap(a, b, 50, 3) != paired_bootstrap(a, b, 50, 4)
    there, back = paired_bootstrap(a, b, 300, 5, 0.8), paired_bootstrap(b, a, 300, 5, 0.8)
    np.testing.assert_allclose(
        [back["diff"], back["low"], back["high"]], [-there["diff"], -there["high"], -there["low"]]
    )
    single = paired_bootstrap(a, b, n_boot=1)
    assert single["low"] == single["high"]


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(100):
        kinds = rng.choice(4, size=200, p=[0.1, 0.2, 0.5, 0.2])
        report = paired_bootstrap((kinds == 0) | (kinds == 2), (kinds == 1) | (kinds == 2), 200, seed, 0.8)
        covered += report["low"] <= 0.1 <= report["high"]
    assert 68 <= covered <= 92


def test_bad_input() -> None:
    a, b = items(2, 3)
    for function in (mcnemar_exact, paired_bootstrap):
        for x, y in ((a, b[:-1]), (a[:0], b[:0]), (a[None], b[None])):
            with pytest.raises(ValueError, match="one length"):
                function(x, y)
        with pytest.raises(TypeError, match="boolean"):
            function(a, b.astype(int))
    for level in (0, 1, 95, np.nan):
        with pytest.raises(ValueError, match="level"):
            paired_bootstrap(a, b, 10, 0, level)
    with pytest.raises(ValueError, match="n_boot"):
        paired_bootstrap(a, b, 0)


def test_worked_example_of_the_lesson() -> None:
    report = paired_bootstrap(*items(2, 8, 30, 10), n_boot=20000)
    np.testing.assert_allclose(report["diff"], 0.12)
    assert abs(report["low"]) <= 0.021 and abs(report["high"] - 0.24) <= 0.021


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
