"""metrics/ranking_curves against scikit-learn and SciPy, and the laws its numbers obey."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from reference.metrics import ranking_curves
from reference.metrics.ranking_curves import average_precision, roc_auc, roc_points, threshold_counts

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
two_classes = st.lists(st.tuples(st.integers(0, 1), st.integers(-8, 8)), min_size=2, max_size=40).filter(
    lambda samples: len({label for label, _ in samples}) == 2
)


@settings(max_examples=50, deadline=None)
@given(two_classes)
def test_agrees_with_scikit_learn_and_mann_whitney(samples):
    y_true, scores = np.array(samples).T
    expected = metrics.roc_curve(y_true, scores, drop_intermediate=False)
    for found, wanted in zip(roc_points(y_true, scores), expected, strict=True):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, **CLOSE)
    auc = roc_auc(y_true, scores)
    assert auc == pytest.approx(metrics.roc_auc_score(y_true, scores), rel=1e-9)
    positives, negatives = scores[y_true == 1], scores[y_true == 0]
    u = stats.mannwhitneyu(positives, negatives).statistic
    assert auc == pytest.approx(u / (positives.size * negatives.size), rel=1e-9)
    expected = metrics.average_precision_score(y_true, scores)
    assert average_precision(y_true, scores) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(two_classes, st.integers(2, 4), st.randoms(use_true_random=False))
def test_laws(samples, copies, random):
    y_true, scores = np.array(samples).T
    auc, precision = roc_auc(y_true, scores), average_precision(y_true, scores)
    for changed in (2 * scores + 1, scores**3, scores / 64):
        assert roc_auc(y_true, changed) == pytest.approx(auc)
        assert average_precision(y_true, changed) == pytest.approx(precision)
    assert roc_auc(y_true, -scores) == pytest.approx(1 - auc)
    assert roc_auc(1 - y_true, -scores) == pytest.approx(auc)
    assert roc_auc(y_true, 0 * scores) == 0.5
    assert average_precision(y_true, 0 * scores) == pytest.approx(y_true.mean())

    more = np.concatenate([np.arange(y_true.size), np.repeat(np.flatnonzero(y_true == 0), copies)])
    assert roc_auc(y_true[more], scores[more]) == pytest.approx(auc)
    assert average_precision(y_true[more], scores[more]) <= precision + 1e-12

    random.shuffle(samples)
    shuffled = np.array(samples).T
    for found, wanted in zip(threshold_counts(*shuffled), threshold_counts(y_true, scores), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64, np.float16, np.float32, bool])
def test_inputs_of_any_width(dtype):
    rng = np.random.default_rng(4)
    y_true = rng.integers(2, size=300)
    scores = rng.integers(2 if dtype is bool else 90, size=300)
    expected = threshold_counts(y_true, scores)
    for labels in (y_true, y_true.astype(bool), y_true.astype(dtype), y_true.tolist()):
        found = threshold_counts(labels, scores.astype(dtype))
        for array, wanted, kind in zip(found, expected, (np.int64, np.int64, np.float64), strict=True):
            assert array.dtype == kind
            np.testing.assert_array_equal(array, wanted)


def test_one_class_only():
    tp, fp, thresholds = threshold_counts([1, 1], [0.5, 2.0])
    assert (tp.tolist(), fp.tolist(), thresholds.tolist()) == ([1, 2], [0, 0], [2.0, 0.5])
    assert average_precision([1, 1], [0.5, 2.0]) == 1.0
    for function, labels in ((roc_auc, [1, 1]), (roc_points, [0, 0]), (roc_auc, [0, 0]), (average_precision, [0, 0])):
        with pytest.raises(ValueError):
            function(labels, [0.5, 2.0])


@pytest.mark.parametrize("function", [threshold_counts, roc_points, roc_auc, average_precision])
@pytest.mark.parametrize(
    "arguments",
    [
        ([], []),
        (1, 0.5),
        ([0, 1], [0.5]),
        ([0], [0.5, 0.5]),
        ([[0], [1]], [[0.5], [1.0]]),
        ([0, 1], [[0.5], [1.0]]),
        ([0, 2], [0.5, 1.0]),
        ([-1, 1], [0.5, 1.0]),
        ([0, np.nan], [0.5, 1.0]),
        ([0, 1], [0.5, np.nan]),
        ([0, 1], [0.5, np.inf]),
        ([0, 1], [-np.inf, 0.5]),
    ],
)
def test_bad_input_is_refused(function, arguments):
    with pytest.raises(ValueError):
        function(*arguments)


def test_extreme_scores_keep_their_order():
    scores = np.array([-1.7e308, -5e-324, 0.0, 5e-324, np.nextafter(1, 2), 1.0, 1.7e308])
    assert threshold_counts([0, 1, 0, 1, 0, 1, 0], scores)[2].size == 7
    assert threshold_counts([0, 1], [0.0, -0.0])[2].size == 1


def test_inputs_are_left_alone():
    y_true, scores = np.array([1, 0, 1]), np.array([0.25, 0.5, 0.75])
    before = y_true.copy(), scores.copy()
    roc_auc(y_true, scores), average_precision(y_true, scores)
    assert np.array_equal(y_true, before[0]) and np.array_equal(scores, before[1])


def test_the_worked_example_of_the_lesson():
    labels, scores = [1, 0, 1, 1, 0, 0], [0.9, 0.7, 0.7, 0.4, 0.4, 0.2]
    tp, fp, _ = threshold_counts(labels, scores)
    assert (tp.tolist(), fp.tolist()) == ([1, 2, 3, 3], [0, 1, 2, 3])
    assert roc_auc(labels, scores) == pytest.approx(7 / 9)
    assert average_precision(labels, scores) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert roc_auc(labels, np.array(scores) >= 0.5) == pytest.approx(2 / 3)


def test_the_visible_checks_of_the_lesson_hold():
    lesson = Path(ranking_curves.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 10
    exec(compile(code, "visible checks", "exec"), dict(vars(ranking_curves)))


def test_the_claims_that_are_arithmetic():
    rng = np.random.default_rng(6)
    y_true, scores = rng.random(4000) < 0.05, rng.random(4000)
    assert average_precision(y_true, scores) == pytest.approx(0.05, abs=0.02)  # random_ranking

    scores = scores + y_true
    for cut in (0.4, 0.8, 1.2):  # hard_labels
        expected = metrics.balanced_accuracy_score(y_true, scores >= cut)
        assert roc_auc(y_true, scores >= cut) == pytest.approx(expected)

    y_true, always = np.arange(100) > 0, np.ones(100)  # always_positive
    assert metrics.f1_score(y_true, always) > 0.99
    assert metrics.matthews_corrcoef(y_true, always) == 0

    y_true, scores = [0, 1, 0, 0, 1], [5, 4, 3, 2, 1]  # straight_lines: the trapezoids overestimate here
    precision, recall, _ = metrics.precision_recall_curve(y_true, scores)
    assert metrics.auc(recall, precision) != pytest.approx(average_precision(y_true, scores), abs=1e-3)
