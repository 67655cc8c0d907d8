"""metrics/classification against scikit-learn, and the laws its metrics obey."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from reference.metrics import classification
from reference.metrics.classification import binary_report, classification_metrics

labels = st.integers(0, 4)
pairs = st.lists(st.tuples(labels, labels), min_size=1, max_size=30)
KEYS = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "confusion",
)


def same(report, expected, keys):
    for key in keys:
        np.testing.assert_allclose(report[key], expected[key], rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@settings(max_examples=30, deadline=None)
@given(pairs, st.integers(5, 7))
def test_multiclass_agrees_with_scikit_learn(samples, n_classes):
    y_true, y_pred = np.array(samples).T
    names = dict(labels=range(n_classes), zero_division=0)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(y_true, y_pred, **names)
    expected = {
        "confusion": metrics.confusion_matrix(y_true, y_pred, labels=range(n_classes)),
        "accuracy": metrics.accuracy_score(y_true, y_pred),
        "balanced_accuracy": metrics.balanced_accuracy_score(y_true, y_pred),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        **{
            f"{how}_f1": metrics.f1_score(y_true, y_pred, average=how, **names)
            for how in ("macro", "micro", "weighted")
        },
    }
    report = classification_metrics(y_true, y_pred, n_classes)
    assert report.keys() == expected.keys()
    assert report["confusion"].dtype == np.int64
    same(report, expected, KEYS)


@settings(max_examples=30, deadline=None)
@given(pairs, st.permutations(range(5)), st.randoms(use_true_random=False))
def test_laws_of_the_multiclass_report(samples, renaming, random):
    y_true, y_pred = np.array(samples).T
    report = classification_metrics(y_true, y_pred, 5)
    assert report["confusion"].sum() == len(samples)
    assert report["micro_f1"] == pytest.approx(report["accuracy"])

    random.shuffle(samples)
    same(classification_metrics(*np.array(samples).T, 5), report, KEYS)

    renaming = np.array(renaming)
    renamed = classification_metrics(renaming[y_true], renaming[y_pred], 5)
    same(renamed, report, ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1"))
    for key in ("precision", "recall", "f1"):
        np.testing.assert_allclose(renamed[key][renaming], report[key])
    np.testing.assert_array_equal(renamed["confusion"][np.ix_(renaming, renaming)], report["confusion"])


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.uint64, np.float16, np.float32])
def test_labels_of_any_width(dtype):
    rng = np.random.default_rng(3)
    n_classes = 2 if dtype is bool else 23
    y_true, y_pred = rng.integers(n_classes, size=(2, 97))
    report = classification_metrics(y_true.astype(dtype), y_pred.astype(dtype), n_classes)
    same(report, classification_metrics(y_true, y_pred, n_classes), KEYS)


@settings(max_examples=30, deadline=None)
@given(
    samples=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 16)), min_size=1, max_size=30),
    threshold=st.integers(0, 16),
    zero_division=st.sampled_from([0.0, 1.0]),
)
def test_binary_report_agrees_with_scikit_learn(samples, threshold, zero_division):
    y_true, prob = np.array(samples).T
    prob, threshold = prob / 16, threshold / 16
    positive = (prob >= threshold).astype(int)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y_true, positive, average="binary", zero_division=zero_division
    )
    tn, fp, fn, tp = metrics.confusion_matrix(y_true, positive, labels=[0, 1]).ravel()
    expected = dict(precision=precision, recall=recall, f1=f1, accuracy=(y_true == positive).mean())
    expected |= dict(tp=tp, fp=fp, fn=fn, tn=tn)
    report = binary_report(y_true, prob, threshold, zero_division)
    assert report.keys() == expected.keys()
    same(report, expected, report)


def test_laws_of_the_binary_report():
    rng = np.random.default_rng(5)
    y_true, prob = rng.integers(2, size=60), rng.integers(0, 65, size=60) / 64
    whole = binary_report(y_true, prob, 0.375)
    assert whole["tp"] + whole["fp"] + whole["fn"] + whole["tn"] == 60
    low, high = sorted((whole["precision"], whole["recall"]))
    assert low <= whole["f1"] <= (low + high) / 2

    batches = [binary_report(y_true[i : i + 7], prob[i : i + 7], 0.375) for i in range(0, 60, 7)]
    for key in ("tp", "fp", "fn", "tn"):
        assert sum(batch[key] for batch in batches) == whole[key]

    recalls = [binary_report(y_true, prob, threshold)["recall"] for threshold in np.linspace(0, 1, 17)]
    assert all(later <= earlier for earlier, later in zip(recalls, recalls[1:], strict=False))

    order = rng.permutation(60)
    assert binary_report(y_true[order, None], prob[order], 0.375) == whole
    assert binary_report(y_true, y_true)["f1"] == 1.0


def test_the_threshold_is_compared_in_float64():
    assert binary_report([1], np.array([0.7], dtype=np.float32), threshold=0.7)["tp"] == 0
    assert binary_report([1], np.array([0.7]), threshold=0.7)["tp"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ([0, 1], [0], 2),
        ([], [], 2),
        (0, 0, 2),
        ([[0]], [[0]], 2),
        ([0, 2], [0, 1], 2),
        ([0, 1], [0, -1], 2),
        ([0, 0.5], [0, 1], 2),
        ([0, np.nan], [0, 1], 2),
        ([0, np.inf], [0, 1], 2),
        ([0], [0], 0),
    ],
)
def test_classification_metrics_refuses(arguments):
    with pytest.raises(ValueError):
        classification_metrics(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ([1, 0], [0.5]),
        ([1], [0.5, 0.5]),
        ([], []),
        (1, 0.5),
        ([[1, 0]], [[0.5, 0.5]]),
        ([1, 0], [[0.5, 0.5], [0.5, 0.5]]),
        ([1, 2], [0.5, 0.5]),
        ([1, 0.5], [0.5, 0.5]),
        ([1, np.nan], [0.5, 0.5]),
        ([1, 0], [0.5, 1.5]),
        ([1, 0], [0.5, -0.5]),
        ([1, 0], [0.5, np.nan]),
        ([1, 0], [0.5, np.inf]),
    ],
)
def test_binary_report_refuses(arguments):
    with pytest.raises(ValueError):
        binary_report(*arguments)


def test_inputs_are_left_alone():
    y_true, prob = np.array([1, 0, 1]), np.array([0.75, 0.5, 0.25])
    before = y_true.copy(), prob.copy()
    binary_report(y_true, prob)
    classification_metrics(y_true, y_true, 2)
    assert np.array_equal(y_true, before[0]) and np.array_equal(prob, before[1])


def test_the_visible_checks_of_the_lesson_hold():
    lesson = Path(classification.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 14
    exec(compile(code, "visible checks", "exec"), dict(vars(classification)))


def test_the_claims_that_are_arithmetic():
    always_zero = classification_metrics([0] * 95 + [1] * 5, [0] * 100, 2)
    assert always_zero["accuracy"] == 0.95 and always_zero["balanced_accuracy"] == 0.5

    y_true, y_pred = [0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 0, 2]
    report = classification_metrics(y_true, y_pred, 3)
    precision, recall = report["precision"].mean(), report["recall"].mean()
    assert report["macro_f1"] < 2 * precision * recall / (precision + recall) - 0.01

    y_true, prob = [1, 0, 0, 1], [0.9, 0.8, 0.1, 0.9]
    batches = [binary_report(y_true[:2], prob[:2]), binary_report(y_true[2:], prob[2:])]
    assert np.mean([batch["precision"] for batch in batches]) > binary_report(y_true, prob)["precision"] + 0.05

    # one positive ranked below 50 of 999 negatives: AUC 0.95, and none of the fifty samples on top is a positive
    scores = np.arange(1000)
    is_positive = scores == 949
    assert metrics.roc_auc_score(is_positive, scores) == pytest.approx(0.95, abs=1e-4)
    assert not is_positive[-50:].any()
