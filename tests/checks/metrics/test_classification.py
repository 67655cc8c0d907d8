"""Checks of metrics/classification. Expected values are counted sample by sample, never through a matrix."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "constant_guess": False,
    "precision": False,
    "micro_f1": True,
    "macro_f1": False,
    "batch_mean": False,
    "roc_auc_rare": False,
    "roc_auc_classes": True,
    "no_images": True,
}
PER_CLASS = ("precision", "recall", "f1")
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1")
COUNTS = ("tp", "fp", "fn", "tn")
RATIOS = ("accuracy", "precision", "recall", "f1")


def ratio(numerator, denominator, if_empty=0.0):
    return numerator / denominator if denominator else if_empty


def count_by_class(y_true, y_pred, n_classes):
    """The promised dictionary from the definitions: one pass over the samples for each class."""
    pairs = [(int(t), int(p)) for t, p in zip(y_true, y_pred, strict=True)]
    tp = [sum(t == c and p == c for t, p in pairs) for c in range(n_classes)]
    fp = [sum(t != c and p == c for t, p in pairs) for c in range(n_classes)]
    fn = [sum(t == c and p != c for t, p in pairs) for c in range(n_classes)]
    precision = [ratio(tp[c], tp[c] + fp[c]) for c in range(n_classes)]
    recall = [ratio(tp[c], tp[c] + fn[c]) for c in range(n_classes)]
    f1 = [ratio(2 * tp[c], 2 * tp[c] + fp[c] + fn[c]) for c in range(n_classes)]
    present = sorted({t for t, _ in pairs})
    return {
        "confusion": np.array([[pairs.count((t, p)) for p in range(n_classes)] for t in range(n_classes)]),
        "precision": np.array(precision),
        "recall": np.array(recall),
        "f1": np.array(f1),
        "accuracy": sum(t == p for t, p in pairs) / len(pairs),
        "balanced_accuracy": math.fsum(recall[c] for c in present) / len(present),
        "macro_f1": math.fsum(f1) / n_classes,
        "micro_f1": 2 * sum(tp) / (2 * sum(tp) + sum(fp) + sum(fn)),
        "weighted_f1": math.fsum(f1[t] for t, _ in pairs) / len(pairs),
    }


def entry(report, key, call):
    """One entry of a report, after making sure that there is one."""
    if not isinstance(report, dict):
        raise AssertionError(f"{call} returned {type(report).__name__}, expected a dict")
    if key not in report:
        raise AssertionError(f"{call} returned a dict without {key!r}; it has {sorted(map(str, report))}")
    return report[key]


def number(report, key, call):
    """A single number of a report as a Python float; Python numbers, NumPy scalars and 0-d arrays are all fine."""
    value = entry(report, key, call)
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number:
        raise AssertionError(f"The entry {key!r} of {call} is {value!r}, expected a single number")
    return float(value)


def assert_multiclass(report, expected, call, causes=None):
    """Compare a whole report, in the order in which its entries depend on one another."""
    causes = causes or {}
    confusion = entry(report, "confusion", call)
    what = f"entry 'confusion' of {call}"
    if not isinstance(confusion, np.ndarray):
        raise AssertionError(f"The {what} is {type(confusion).__name__}, expected an array")
    assert_shape(
        confusion,
        expected["confusion"].shape,
        what=what,
        cause="the matrix has a row and a column for each of the n_classes classes, also for those that do not occur",
    )
    assert_dtype(confusion, np.int64, what=what)
    assert_equal(
        confusion,
        expected["confusion"].astype(np.int64),
        what=what,
        cause=causes.get("confusion", "rows are the true classes, columns the predicted ones"),
    )
    for key in PER_CLASS:
        value = entry(report, key, call)
        if not isinstance(value, np.ndarray):
            raise AssertionError(f"The entry {key!r} of {call} is {type(value).__name__}, expected an array")
        assert_close(
            value, expected[key], rtol=1e-9, atol=1e-12, what=f"entry {key!r} of {call}", cause=causes.get(key, "")
        )
    for key in OVERALL:
        assert_close(
            number(report, key, call),
            expected[key],
            rtol=1e-9,
            atol=1e-12,
            what=f"entry {key!r} of {call}",
            cause=causes.get(key, ""),
        )


def assert_binary(report, expected, call, causes=None):
    causes = causes or {}
    for key in (*COUNTS, *RATIOS):
        if key not in expected:
            continue
        assert_close(
            number(report, key, call),
            float(expected[key]),
            rtol=1e-9,
            atol=1e-12,
            what=f"entry {key!r} of {call}",
            cause=causes.get(key, ""),
        )


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    call = "classification_metrics([0, 1, 2, 1, 0, 1, 1, 0], [0, 1, 1, 1, 2, 1, 0, 1], n_classes=3)"
    report = student.classification_metrics([0, 1, 2, 1, 0, 1, 1, 0], [0, 1, 1, 1, 2, 1, 0, 1], n_classes=3)
    expected = {
        "confusion": np.array([[1, 1, 1], [1, 3, 0], [0, 1, 0]]),
        "precision": np.array([1 / 2, 3 / 5, 0]),
        "recall": np.array([1 / 3, 3 / 4, 0]),
        "f1": np.array([2 / 5, 2 / 3, 0]),
        "accuracy": 1 / 2,
        "balanced_accuracy": 13 / 36,
        "macro_f1": 16 / 45,
        "micro_f1": 1 / 2,
        "weighted_f1": 29 / 60,
    }
    for key, value in expected.items():  # np.allclose in the notebook: lists would do as well
        assert_close(entry(report, key, call), value, rtol=1e-5, atol=1e-8, what=f"entry {key!r} of {call}")
    call = "binary_report([1, 0, 1, 1, 0, 0, 1], [0.75, 0.5, 0.25, 0.5, 0.125, 0.875, 0.625])"
    report = student.binary_report([1, 0, 1, 1, 0, 0, 1], [0.75, 0.5, 0.25, 0.5, 0.125, 0.875, 0.625])
    expected = dict(tp=3, fp=2, fn=1, tn=1, accuracy=4 / 7, precision=3 / 5, recall=3 / 4, f1=2 / 3)
    assert_binary(report, expected, call)


@points(3)
@catches("claims-as-published", "averages-confused-in-the-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("accuracy-for-everything", "confusion-of-floats", "f1-of-no-hits-is-nan")
def test_always_answering_the_frequent_class_is_not_rewarded(student, rng):
    """A model that always answers the frequent class has a high accuracy and a low balanced accuracy and macro-F1."""
    n_classes = 4
    frequent = int(rng.integers(n_classes))
    support = rng.integers(2, 5, size=n_classes)
    support[frequent] = rng.integers(60, 90)
    y_true = rng.permutation(np.repeat(np.arange(n_classes), support))
    y_pred = np.full(y_true.size, frequent)
    share = support[frequent] / y_true.size
    f1 = 2 * share / (1 + share)  # precision is the share of the frequent class, recall is 1
    one_hot = np.eye(n_classes)[frequent]
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    confusion[:, frequent] = support
    call = f"classification_metrics(y_true, [{frequent}] * {y_true.size}, {n_classes})"
    assert_multiclass(
        student.classification_metrics(y_true, y_pred, n_classes),
        {
            "confusion": confusion,
            "precision": share * one_hot,
            "recall": one_hot,
            "f1": f1 * one_hot,
            "accuracy": share,
            "balanced_accuracy": 1 / n_classes,
            "macro_f1": f1 / n_classes,
            "micro_f1": share,
            "weighted_f1": share * f1,
        },
        call,
        causes={
            "f1": "a class without a single hit has F1 0, also where precision and recall are both 0",
            "balanced_accuracy": "this is the mean of the recalls, and three of the four classes are never found",
            "macro_f1": "this is the mean of the F1 values of all classes",
        },
    )


@points(1)
@catches(
    "transposed-confusion",
    "repeated-pairs-counted-once",
    "macro-f1-of-averages",
    "micro-f1-weighted-by-support",
    "pairs-coded-in-uint8",
)
def test_multiclass_report_equals_counting_sample_by_sample(student, rng):
    """The metrics of several classes equal counting sample by sample, also when the classes are renamed."""
    causes = {
        "macro_f1": "take F1 in each class first, then the mean over the classes",
        "micro_f1": "pool the counts of all classes, then take one F1; no class support enters as a weight",
        "weighted_f1": "each class's F1 is weighted by how often the class occurs in y_true",
    }
    # five classes that are confused more in one direction than in the other
    n_classes, n_samples = 5, 83
    y_true = rng.choice(n_classes, size=n_samples, p=[0.4, 0.25, 0.17, 0.1, 0.08])
    y_pred = np.where(rng.random(n_samples) < 0.45, np.minimum(y_true + 1, n_classes - 1), y_true)
    y_true[:3], y_pred[:3] = [0, 0, 1], [1, 1, 2]  # never symmetric
    y_true[3:8], y_pred[3:8] = range(5), range(5)  # every class occurs
    for name, convert in (("lists", np.ndarray.tolist), ("int32 arrays", np.int32)):
        report = student.classification_metrics(convert(y_true), convert(y_pred), n_classes)
        call = f"classification_metrics(y_true, y_pred, {n_classes}) with {name} of {n_samples} labels"
        assert_multiclass(report, count_by_class(y_true, y_pred, n_classes), call, causes)

    renamed = rng.permutation(n_classes)  # old name -> new name
    call = f"classification_metrics(renamed[y_true], renamed[y_pred], {n_classes}) with renamed = {renamed.tolist()}"
    report = student.classification_metrics(renamed[y_true], renamed[y_pred], n_classes)
    assert_multiclass(report, count_by_class(renamed[y_true], renamed[y_pred], n_classes), call, causes)

    # more pairs of classes than the labels' own type can number
    n_classes, n_samples = 23, 61
    y_true = np.concatenate([[22, 22, 20], rng.integers(n_classes, size=n_samples - 3)])
    y_pred = np.concatenate([[21, 22, 20], rng.integers(n_classes, size=n_samples - 3)])
    report = student.classification_metrics(y_true.astype(np.uint8), y_pred.astype(np.uint8), n_classes)
    call = f"classification_metrics(y_true, y_pred, {n_classes}) with {n_samples} uint8 labels"
    causes["confusion"] = "arithmetic on uint8 labels wraps around at 256"
    assert_multiclass(report, count_by_class(y_true, y_pred, n_classes), call, causes)


@points(1)
@catches(
    "nan-for-unused-classes",
    "matrix-of-the-labels-seen",
    "absent-classes-dropped",
    "classes-never-seen-dropped",
    "balanced-over-all-classes",
)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=12),
    unused=st.integers(1, 3),
)
@example(pairs=[(0, 0), (0, 3), (2, 2), (2, 2), (2, 1)], unused=2)  # 1 and 3 only predicted, 4 and 5 neither
@example(pairs=[(1, 1)], unused=1)
def test_classes_that_do_not_occur_count_as_promised(student, pairs, unused):
    """A class that never occurs gets zeros, counts in macro-F1 and is left out of balanced accuracy."""
    y_true, y_pred = [t for t, _ in pairs], [p for _, p in pairs]
    n_classes = 4 + unused
    report = student.classification_metrics(y_true, y_pred, n_classes)
    causes = {
        "precision": "a class that is never predicted has precision 0",
        "recall": "a class that never occurs has recall 0",
        "f1": "a class that neither occurs nor is predicted has F1 0",
        "balanced_accuracy": "the mean is over the classes that occur in y_true, and no others",
        "macro_f1": f"the mean is over all {n_classes} classes, used or not",
    }
    call = f"classification_metrics({y_true}, {y_pred}, {n_classes})"
    assert_multiclass(report, count_by_class(y_true, y_pred, n_classes), call, causes)


@points(1)
@catches(
    "correct-predictions-as-denominator",
    "false-positives-and-negatives-swapped",
    "counts-as-floats",
    "ratios-per-row",
    "column-against-row",
    "binary-precision-and-recall-swapped",
    "arithmetic-mean-f1",
)
def test_binary_report_counts_over_the_whole_set(student, rng):
    """The binary report counts over all samples and divides once, whatever the shapes of labels and probabilities."""
    tp, fp, fn, tn = (int(rng.integers(low, low + 4)) for low in (6, 11, 18, 27))  # all different, in every seed
    truth = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
    high = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    # multiples of 1/64: from 24/64 = 0.375 on positive, so 0.5 as threshold would miscount
    prob = np.where(high, rng.integers(24, 65, size=truth.size), rng.integers(0, 24, size=truth.size)) / 64
    order = rng.permutation(truth.size)
    truth, prob = truth[order], prob[order]
    expected = dict(
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
        accuracy=(tp + tn) / truth.size,
        precision=tp / (tp + fp),
        recall=tp / (tp + fn),
        f1=tp / (tp + (fp + fn) / 2),
    )
    causes = {
        "tp": "another threshold than the one given, or a column compared with a row (the counts then add up to N * N)",
        "precision": "of the samples called positive, the share that is: the denominator is TP + FP",
        "recall": "of the samples that are positive, the share that was found: the denominator is TP + FN",
        "f1": "the harmonic mean of precision and recall",
    }
    inputs = {
        "y_true (N,), prob (N,)": (truth, prob),
        "y_true (N, 1), prob (N,)": (truth[:, None], prob),
        "y_true (N,), prob (N, 1)": (truth, prob[:, None]),
        "y_true (N, 1) float32, prob (N, 1) float32": (truth[:, None].astype("f4"), prob[:, None].astype("f4")),
        "y_true (N,) bool, prob (N,)": (truth == 1, prob),
        "y_true (N,) uint8, prob (N,)": (truth.astype(np.uint8), prob),
        "lists": (truth.tolist(), prob.tolist()),
    }
    for name, (y_true, p) in inputs.items():
        report = student.binary_report(y_true, p, threshold=0.375)
        assert_binary(report, expected, f"binary_report(y_true, prob, threshold=0.375) with {name}", causes)
    for key in COUNTS:
        if np.asarray(report[key]).dtype.kind not in "iu":
            raise AssertionError(f"The entry {key!r} of binary_report is {report[key]!r}; counts are integers")


@points(1)
@catches(
    "strictly-above-the-threshold",
    "rounded-probabilities",
    "zero-division-ignored",
    "nan-on-zero-division",
    "f1-without-hits",
)
def test_threshold_and_zero_division(student, rng):
    """A probability at the threshold is positive, and each ratio 0/0 takes the promised value."""
    threshold = int(rng.integers(3, 14)) / 16
    y_true, prob = [1, 1, 0, 0, 1, 0, 0], [threshold, 1.0, threshold, 0.0, threshold - 1 / 16, threshold + 1 / 8, 0.0]
    report = student.binary_report(y_true, prob, threshold=threshold)
    expected = dict(tp=2, fp=2, fn=1, tn=2, accuracy=4 / 7, precision=1 / 2, recall=2 / 3, f1=4 / 7)
    assert_binary(report, expected, f"binary_report({y_true}, {prob}, threshold={threshold})")
    expected = dict(tp=1, fp=1, fn=0, tn=1, precision=1 / 2, recall=1.0, f1=2 / 3)
    assert_binary(
        student.binary_report([1, 0, 0], [0.5, 0.5, 0.25]), expected, "binary_report([1, 0, 0], [0.5, 0.5, 0.25])"
    )

    cases = [  # y_true, prob, what is 0/0, the other ratios
        ([1, 0, 1], [0.25, 0.125, 0.0], ["precision"], dict(recall=0.0, f1=0.0, accuracy=1 / 3)),
        ([0, 0, 0], [0.75, 0.25, 0.0], ["recall"], dict(precision=0.0, f1=0.0, accuracy=2 / 3)),
        ([0, 0, 0], [0.25, 0.25, 0.0], ["precision", "recall", "f1"], dict(accuracy=1.0)),
        ([1, 0, 0], [0.25, 0.75, 0.0], [], dict(precision=0.0, recall=0.0, f1=0.0, accuracy=1 / 3)),
        ([1, 1, 0], [0.75, 0.25, 0.0], [], dict(precision=1.0, recall=0.5, f1=2 / 3, accuracy=2 / 3)),
        ([1, 0, 1], [0.75, 0.25, 1.0], [], dict(precision=1.0, recall=1.0, f1=1.0, accuracy=1.0)),
    ]
    causes = {"f1": "F1 is 2TP / (2TP + FP + FN); only with TP + FP + FN = 0 is it 0/0"}
    for y_true, prob, undefined, defined in cases:
        call = f"binary_report({y_true}, {prob})"
        expected = defined | dict.fromkeys(undefined, 0.0)
        assert_binary(student.binary_report(y_true, prob), expected, call, causes)
        for value in (1.0, 0.25):
            call = f"binary_report({y_true}, {prob}, zero_division={value})"
            expected = defined | dict.fromkeys(undefined, value)
            assert_binary(student.binary_report(y_true, prob, zero_division=value), expected, call, causes)


@points(1)
@catches("negative-labels-wrap-around", "one-probability-for-all-labels", "nan-probability-slips-through")
def test_bad_input_is_refused(student):
    """Labels that are no class, probabilities that are none, empty input and unequal lengths raise ValueError."""

    def called(name, arguments):
        plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in arguments]
        return f"{name}({', '.join(map(str, plain))})"

    none = np.zeros(0, dtype=np.int64)
    refused = [
        ([0, 1, 2], [0, 1], 3),
        ([0, 1, 2], [0], 3),
        (none, none, 3),
        ([0, 1, 3], [0, 1, 2], 3),
        ([0, 1, 2], [0, 3, 2], 3),
        ([0, -1, 2], [0, 1, 2], 3),
        ([0, 1, 2], [0, -1, 2], 3),
        (np.array([[0, 1], [2, 0]]), np.array([[0, 1], [1, 0]]), 3),
    ]
    for arguments in refused:
        with raises(ValueError, what=called("classification_metrics", arguments)):
            student.classification_metrics(*arguments)
    for arguments in [([0, 1.5, 2], [0, 1, 2], 3), ([0, 1, 2], [0, float("nan"), 2], 3)]:
        with raises(TypeError, ValueError, what=called("classification_metrics", arguments)):
            student.classification_metrics(*arguments)

    prob = [0.75, 0.5, 0.25]
    refused = [
        ([1, 0, 1], [0.75, 0.5]),
        ([1, 0, 1], [0.75]),
        ([1], prob),
        (none, np.zeros(0)),
        ([1, 0, 2], prob),
        ([1, -1, 1], prob),
        ([1, 0, 0.5], prob),
        ([1, 0, float("nan")], prob),
        ([1, 0, 1], [0.75, 1.25, 0.25]),
        ([1, 0, 1], [0.75, 0.5, -0.25]),
        ([1, 0, 1], [0.75, float("nan"), 0.25]),
        ([1, 0, 1], np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])),
        (np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])),
    ]
    for arguments in refused:
        with raises(ValueError, what=called("binary_report", arguments)):
            student.binary_report(*arguments)
