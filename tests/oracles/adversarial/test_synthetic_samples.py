"""The reference of adversarial/synthetic_samples against counts in exact arithmetic, its invariants and its example."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import jupytext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.adversarial import synthetic_samples as lesson
from reference.adversarial.synthetic_samples import balance_with_synthetic


def rows_for(label, n):
    return np.full((n, 2), 1000.0 + hash(label) % 7)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(labels=st.lists(st.integers(-3, 4), min_size=1, max_size=40), eighths=st.integers(0, 30))
def test_counts_and_invariants(labels, eighths) -> None:
    y, ratio = np.array(labels), eighths / 8
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    X_aug, y_aug, is_synthetic = balance_with_synthetic(X, y, rows_for, ratio)
    real, total = Counter(labels), Counter(y_aug.tolist())
    largest = max(real.values())
    for label, count in real.items():
        assert total[label] == count + min(largest - count, math.floor(Fraction(eighths, 8) * count)) <= largest
    np.testing.assert_array_equal(X_aug[~is_synthetic], X)
    np.testing.assert_array_equal(y_aug[~is_synthetic], y)
    new = y_aug[is_synthetic]
    np.testing.assert_array_equal(new, np.sort(new))
    assert set(total) == set(real) and len(X_aug) == len(y_aug) == len(is_synthetic) == sum(total.values())
    if not eighths:
        assert not is_synthetic.any() and X_aug is not X


def test_worked_example_of_the_lesson() -> None:
    y = np.array(["cat"] * 7 + ["dog"] * 3 + ["owl"] * 2)
    calls: list[tuple[str, int]] = []

    def generate_fn(label, n):
        calls.append((str(label), n))
        return np.zeros((n, 4, 4, 3), dtype=np.uint8)

    X = np.ones((12, 4, 4, 3), dtype=np.uint8)
    for ratio, expected in ((0.5, [("dog", 1), ("owl", 1)]), (2, [("dog", 4), ("owl", 4)])):
        calls.clear()
        X_aug, y_aug, is_synthetic = balance_with_synthetic(X, y, generate_fn, ratio)
        assert calls == expected
    assert X_aug.shape == (20, 4, 4, 3) and X_aug.dtype == np.uint8
    assert y_aug[12:].tolist() == ["dog"] * 4 + ["owl"] * 4 and y_aug.dtype == y.dtype
    np.testing.assert_array_equal(np.flatnonzero(is_synthetic), np.arange(12, 20))


@pytest.mark.parametrize("shape", [(3, 2), (1, 2), (2,), (2, 1), (2, 2, 1), (0, 2)])
def test_rows_of_another_shape(shape) -> None:
    X, y = np.zeros((6, 2)), np.array([0, 0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="generate_fn returned"):
        balance_with_synthetic(X, y, lambda label, n: np.zeros(shape), 1.0)


@pytest.mark.parametrize(("data", "made"), [("f4", "f8"), ("u1", "f4"), ("i2", "i8"), ("U3", "U5")])
def test_rows_that_do_not_cast_safely(data, made) -> None:
    X, y = np.zeros((6, 2), dtype=data), np.array([0, 0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="safely"):
        balance_with_synthetic(X, y, lambda label, n: np.zeros((n, 2), dtype=made), 1.0)
    X = X.astype(made)
    assert balance_with_synthetic(X, y, lambda label, n: np.zeros((n, 2), dtype=data), 1.0)[0].dtype == X.dtype


def test_bad_arguments() -> None:
    X, y = np.zeros((6, 2)), np.array([0, 0, 0, 0, 1, 1])
    for ratio in (-0.1, math.nan):
        with pytest.raises(ValueError, match="max_ratio"):
            balance_with_synthetic(X, y, rows_for, ratio)
    for bad_X, bad_y in ((X[:0], y[:0]), (X, y[1:]), (X[1:], y), (X, y[:, None])):
        with pytest.raises(ValueError, match="same rows"):
            balance_with_synthetic(bad_X, bad_y, rows_for, 1.0)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
