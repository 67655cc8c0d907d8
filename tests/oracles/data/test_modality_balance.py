"""data/modality_balance against pandas' groupby and torch, and the laws of both functions."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.data import modality_balance as lesson
from reference.data.modality_balance import balanced_sampling_probs, ogm_coefficients

rows = st.lists(st.booleans(), min_size=3, max_size=3).filter(any)
eighths = st.integers(0, 8).map(lambda number: number / 8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 3), rows), min_size=1, max_size=25))
def test_probs_agree_with_groupby(samples):
    pandas = pytest.importorskip("pandas")
    labels, present = [label for label, _ in samples], np.array([row for _, row in samples])
    frame = pandas.DataFrame(present).assign(label=labels)
    groups = frame.groupby([*range(3), "label"])
    sizes = groups[0].transform("size").to_numpy()
    np.testing.assert_allclose(balanced_sampling_probs(labels, present), 1 / (groups.ngroups * sizes), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), rows), min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_laws_of_the_probs(samples, random):
    labels, present = [label for label, _ in samples], [row for _, row in samples]
    probs = balanced_sampling_probs(labels, present)
    assert probs.sum() == pytest.approx(1) and (probs > 0).all()
    order = random.sample(range(len(labels)), len(labels))
    moved = balanced_sampling_probs([labels[i] for i in order], [present[i] for i in order])
    np.testing.assert_array_equal(moved, probs[order])
    np.testing.assert_allclose(balanced_sampling_probs(labels * 2, present * 2), np.tile(probs, 2) / 2)
    np.testing.assert_array_equal(balanced_sampling_probs(labels, [[*row, True] for row in present]), probs)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(eighths, eighths), min_size=1, max_size=8), st.integers(0, 16).map(lambda n: n / 8))
def test_laws_of_the_coefficients(pairs, alpha):
    p_text, p_image = (list(side) for side in zip(*pairs, strict=True))
    if not sum(p_text) + sum(p_image):
        with pytest.raises(ValueError):
            ogm_coefficients(p_text, p_image, alpha)
        return
    text, image = ogm_coefficients(p_text, p_image, alpha)
    assert ogm_coefficients(p_image, p_text, alpha) == (image, text)
    assert 0 <= text <= 1 and 0 <= image <= 1 and max(text, image) == 1
    if sum(p_text) != sum(p_image) and alpha:
        assert (text < 1) == (sum(p_text) > sum(p_image))


def test_coefficients_agree_with_the_formula_in_torch():
    """The formula of OGM-GE, on softmax scores of the true class, with the sum over the batch."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 5, (16,), generator=generator)
    scores = [torch.softmax(torch.randn(16, 5, generator=generator, dtype=torch.float64), 1) for _ in range(2)]
    text, image = (score[torch.arange(16), targets] for score in scores)
    ratio = text.sum() / image.sum()
    expected = (1 - torch.tanh(0.3 * ratio), 1.0) if ratio > 1 else (1.0, 1 - torch.tanh(0.3 / ratio))
    found = ogm_coefficients(text.numpy(), image.numpy(), alpha=0.3)
    np.testing.assert_allclose(found, [float(value) for value in expected], rtol=1e-12)


def test_the_worked_example():
    present = [[True, True], [True, True], [True, False], [True, True]]
    np.testing.assert_allclose(balanced_sampling_probs([0, 0, 0, 1], present), [1 / 6, 1 / 6, 1 / 3, 1 / 3])
    assert ogm_coefficients([0.9, 0.8], [0.3, 0.2]) == (pytest.approx(0.064591, abs=1e-6), 1.0)


def test_a_tie_is_a_tie_in_any_order():
    assert ogm_coefficients([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]) == (1.0, 1.0)


def test_the_claims_that_are_arithmetic():
    labels = [0] * 100 + [1] * 100
    present = [[True, i >= 90] for i in range(100)] + [[True, True]] * 100
    classes = [balanced_sampling_probs(labels, [[True]] * 200)[:100].sum()]
    assert classes == [pytest.approx(0.5)]  # the classes are balanced
    cells = balanced_sampling_probs(labels, present)
    assert (cells.max() / cells.min() > 5) == lesson.claims["coverage_is_separate"]  # and the cells are not
    assert (cells[:100].sum() != pytest.approx(0.5)) == lesson.claims["prior_moves"]  # balancing them moves the prior


def test_the_visible_checks_of_the_lesson_hold():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 3
    exec(compile(code, "visible checks", "exec"), dict(vars(lesson)))
