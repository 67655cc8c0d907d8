"""Checks of metrics/ranking_curves. Expected values come from counting sample by sample and pair by pair."""

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
    "higher_accuracy": False,
    "ranking_probability": True,
    "copied_negatives": True,
    "random_ranking": False,
    "straight_lines": False,
    "hard_labels": True,
    "auc_and_trust": False,
    "always_positive": True,
}
# likely causes
THRESHOLDS = "one threshold for each distinct score, highest first; tied samples enter together"
COUNTED = "counts of all samples that score at least the threshold, ties included"
PAIRS = "compare each positive with each negative: higher counts 1, equal counts 1/2, lower counts 0"
STEPS = "each gain in recall is multiplied by the precision at the same threshold; ties make one threshold"
POINT_CAUSES = {
    "thresholds": "(0, 0) at threshold inf comes first, then one point for each distinct score, none left out",
    "tpr": "the second array is the true positives divided by the number of positives",
    "fpr": "the first array is the false positives divided by the number of negatives",
}

SAME_FOR_ALL = ("threshold_counts", "roc_points", "roc_auc", "average_precision")
ties = st.lists(st.tuples(st.integers(0, 1), st.integers(-2, 3)), min_size=2, max_size=9).filter(
    lambda samples: len({label for label, _ in samples}) == 2
)


def count_above(y_true, scores):
    """TP and FP at each distinct score, highest first, by a pass over all samples for each."""
    samples = list(zip(y_true, scores, strict=True))
    thresholds = sorted(set(scores), reverse=True)
    tp = [sum(label == 1 and score >= threshold for label, score in samples) for threshold in thresholds]
    fp = [sum(label == 0 and score >= threshold for label, score in samples) for threshold in thresholds]
    return tp, fp, thresholds


def share_of_ordered_pairs(y_true, scores):
    """P(positive above negative) + P(tie) / 2, pair by pair."""
    samples = list(zip(y_true, scores, strict=True))
    positives = [score for label, score in samples if label == 1]
    negatives = [score for label, score in samples if label == 0]
    twice = sum(2 * (p > n) + (p == n) for p in positives for n in negatives)
    return twice / (2 * len(positives) * len(negatives))


def mean_precision_at_the_positives(y_true, scores):
    """Average precision as a mean over the positives: each one's precision when its own score is the threshold."""
    positives = [score for label, score in zip(y_true, scores, strict=True) if label == 1]
    tp, fp, thresholds = count_above(y_true, scores)
    precision = {threshold: hits / (hits + alarms) for hits, alarms, threshold in zip(tp, fp, thresholds, strict=True)}
    return sum(precision[score] for score in positives) / len(positives)


def number(value, call):
    """A single number as a Python float; Python numbers, NumPy scalars and 0-d arrays are all fine."""
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise AssertionError(f"{call} returned {value!r}; it should return a single number.")
    return float(value)


def three_arrays(value, call):
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise AssertionError(f"{call} returned {type(value).__name__}; it should return three arrays.")
    if not all(isinstance(array, np.ndarray) for array in value):
        kinds = ", ".join(type(array).__name__ for array in value)
        raise AssertionError(f"{call} returned ({kinds}); each of the three should be an array.")
    return value


def assert_counts(student, labels, scores, expected, call):
    """Compare `threshold_counts` with (tp, fp, thresholds)."""
    tp, fp, thresholds = three_arrays(student.threshold_counts(labels, scores), call)
    wanted_tp, wanted_fp, wanted_thresholds = expected
    assert_shape(thresholds, (len(wanted_thresholds),), what=f"array of thresholds of {call}", cause=THRESHOLDS)
    assert_dtype(thresholds, "float64", what=f"array of thresholds of {call}")
    wanted_thresholds = np.array(wanted_thresholds, dtype=np.float64)
    assert_close(thresholds, wanted_thresholds, rtol=0, atol=0, what=f"array of thresholds of {call}", cause=THRESHOLDS)
    for name, found, wanted in (("tp", tp, wanted_tp), ("fp", fp, wanted_fp)):
        if found.dtype.kind not in "iu":
            raise AssertionError(f"The array {name} of {call} is {found.dtype}; it should be of an integer dtype.")
        assert_equal(found, np.array(wanted), what=f"array {name} of {call}", cause=COUNTED)


def assert_points(student, labels, scores, expected, call):
    """Compare `roc_points` with (fpr, tpr, thresholds)."""
    found = three_arrays(student.roc_points(labels, scores), call)
    for name, array, wanted in zip(POINT_CAUSES, reversed(found), reversed(expected), strict=True):
        what = f"array {name} of {call}"
        assert_shape(array, (len(wanted),), what=what, cause=POINT_CAUSES["thresholds"])
        assert_dtype(array, "float64", what=what)
        assert_close(array, np.array(wanted), rtol=1e-9, atol=1e-12, what=what, cause=POINT_CAUSES[name])


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    for labels, scores, wanted in (
        ([1, 0, 1], [0.5, 0.25, 0.5], ([2, 2], [0, 1], [0.5, 0.25])),
        ([0, 0, 1, 1], [0.125, 0.5, 0.5, 0.75], ([1, 2, 2], [0, 1, 2], [0.75, 0.5, 0.125])),
    ):
        call = f"threshold_counts({labels}, {scores})"
        tp, fp, thresholds = student.threshold_counts(labels, scores)
        assert_equal(thresholds, np.array(wanted[2]), what=f"array of thresholds of {call}", cause=THRESHOLDS)
        assert_equal(tp, np.array(wanted[0]), what=f"array tp of {call}", cause=COUNTED)
        assert_equal(fp, np.array(wanted[1]), what=f"array fp of {call}", cause=COUNTED)
    call = f"roc_points({labels}, {scores})"
    close = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    fpr, tpr, thresholds = student.roc_points(labels, scores)
    wanted = np.array([np.inf, 0.75, 0.5, 0.125])
    assert_equal(thresholds, wanted, what=f"array of thresholds of {call}", cause=POINT_CAUSES["thresholds"])
    assert_close(tpr, [0, 1 / 2, 1, 1], **close, what=f"array tpr of {call}", cause=POINT_CAUSES["tpr"])
    assert_close(fpr, [0, 0, 1 / 2, 1], **close, what=f"array fpr of {call}", cause=POINT_CAUSES["fpr"])
    for name, expected, cause in (("roc_auc", 7 / 8, PAIRS), ("average_precision", 5 / 6, STEPS)):
        call = f"{name}({labels}, {scores})"
        value = number(getattr(student, name)(labels, scores), call)
        assert_close(value, expected, **close, what=f"value of {call}", cause=cause)


@points(3)
@catches("claims-as-published", "curves-confused-in-the-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "thresholded-first",
    "counts-by-sort-order",
    "counts-strictly-above",
    "ascending-counts",
    "unsigned-scores-negated",
    "nearly-equal-scores-tied",
)
@given(samples=ties)
@example(samples=[(1, 2), (0, 2), (1, 2)])
@example(samples=[(0, 1), (1, 1), (0, -1), (0, 1), (1, -2)])
def test_counts_at_every_distinct_score(student, samples):
    """The counts at each distinct score, highest first, equal counting sample by sample, for scores of any type."""
    labels, scores = [label for label, _ in samples], [score for _, score in samples]
    tp, fp, thresholds = count_above(labels, scores)
    assert_counts(student, labels, scores, (tp, fp, thresholds), f"threshold_counts({labels}, {scores})")

    shifted = np.array(scores) + 2  # from 0 on
    cases = {
        "bool labels and uint8 scores": (np.array(labels) == 1, shifted.astype(np.uint8), [t + 2 for t in thresholds]),
        "float labels and float32 scores": (np.array(labels, dtype=float), shifted.astype(np.float32) / 8, None),
        "scores a little above 1000": (labels, 1000 + shifted * 2.0**-40, None),
    }
    for case, (y_true, values, expected) in cases.items():
        expected = sorted(set(values.tolist()), reverse=True) if expected is None else expected
        call = f"threshold_counts(y_true, scores) with {case}: y_true = {labels}, scores = {values.tolist()}"
        assert_counts(student, y_true, values, (tp, fp, expected), call)


@points(1)
@catches("no-point-at-the-origin", "rates-swapped", "rates-of-the-whole-set", "points-on-lines-dropped")
def test_roc_points_from_corner_to_corner(student, rng):
    """The ROC curve runs from (0, 0) to (1, 1) through one point for each distinct score."""
    n_samples = 37
    labels = (np.arange(n_samples) < int(rng.integers(9, 14)))[rng.permutation(n_samples)].astype(int).tolist()
    scores = (rng.integers(-9, 10, size=n_samples) + 3 * np.array(labels)).tolist()
    # three points in one line: two thresholds with a negative each
    labels, scores = [*labels, 0, 0, 1, 0], [*scores, 20, 21, -20, -21]
    n_positive, n_negative = labels.count(1), labels.count(0)
    tp, fp, thresholds = count_above(labels, scores)
    expected = (
        [0.0] + [count / n_negative for count in fp],
        [0.0] + [count / n_positive for count in tp],
        [np.inf] + [float(threshold) for threshold in thresholds],
    )
    call = f"roc_points(y_true, scores) with {n_positive} positives, {n_negative} negatives, {len(thresholds)} scores"
    assert_points(student, labels, scores, expected, call)
    assert_points(student, np.array(labels, dtype=bool), np.array(scores, dtype=np.int8), expected, call)
    # all scores equal: two points, no curve in between
    expected = ([0.0, 1.0], [0.0, 1.0], [np.inf, -1.5])
    assert_points(student, [1, 0, 0], [-1.5] * 3, expected, "roc_points([1, 0, 0], [-1.5, -1.5, -1.5])")


@points(1)
@catches(
    "accuracy-at-one-half",
    "auc-of-hard-labels",
    "one-minus-the-area",
    "ties-count-zero",
    "ties-count-one",
    "auc-by-sort-order",
)
@given(samples=ties, copies=st.integers(2, 4))
@example(samples=[(1, 0), (0, 0), (0, 0)], copies=2)
@example(samples=[(0, 0), (1, 0), (1, 0)], copies=2)
@example(samples=[(1, 3), (0, 2), (1, 2), (0, 1), (0, 1), (1, -2)], copies=3)
def test_auc_is_the_share_of_ordered_pairs(student, samples, copies):
    """ROC-AUC is the share of pairs in the right order, ties half, whatever the scale of scores and the class sizes."""
    labels, scores = [label for label, _ in samples], [score for _, score in samples]
    auc = share_of_ordered_pairs(labels, scores)
    negatives = [score for label, score in samples if label == 0] * (copies - 1)
    cases = {
        "": (labels, scores, auc),
        "the scores in a sigmoid": (labels, [1 / (1 + np.exp(-score)) for score in scores], auc),
        "2 * scores + 1": (labels, [2.0 * score + 1 for score in scores], auc),
        "scores ** 3": (labels, [score**3 for score in scores], auc),
        "-scores": (labels, [-score for score in scores], 1 - auc),
        f"every negative {copies} times": (labels + [0] * len(negatives), scores + negatives, auc),
        "the samples in reversed order": (labels[::-1], scores[::-1], auc),
    }
    for case, (y_true, values, expected) in cases.items():
        call = f"roc_auc({y_true}, {values})"
        cause = PAIRS
        if case:
            cause += f"; these are {case} of y_true = {labels}, scores = {scores}"
        found = number(student.roc_auc(y_true, values), call)
        assert_close(found, expected, rtol=1e-9, atol=1e-12, what=f"value of {call}", cause=cause)


@points(1)
@catches("trapezoidal-average-precision", "average-precision-by-sort-order", "mean-of-all-precisions")
@given(samples=ties, above=st.integers(1, 3))
@example(samples=[(1, 0), (0, 0), (0, 0)], above=1)
@example(samples=[(0, 0), (1, 0), (1, 0)], above=1)
@example(samples=[(0, 3), (1, 2), (0, 1), (0, 1), (1, 1), (1, -2), (0, -2)], above=2)
def test_average_precision_goes_in_steps(student, samples, above):
    """Average precision is a sum of steps over the distinct scores, and the share of positives if all are equal."""
    labels, scores = [label for label, _ in samples], [score for _, score in samples]
    first = above + max(scores)  # a negative above all others: the curve does not begin with precision 1
    cases = [
        (labels, scores),
        (labels[::-1], scores[::-1]),
        (labels, [score**3 for score in scores]),
        ([0, *labels], [first, *scores]),
        (labels, [above] * len(labels)),
        ([1] * len(labels), scores),
    ]
    for y_true, values in cases:
        call = f"average_precision({y_true}, {values})"
        cause = STEPS
        if len(set(values)) == 1:
            cause = "with one threshold, precision is the share of positives and recall goes from 0 to 1"
        found = number(student.average_precision(y_true, values), call)
        expected = mean_precision_at_the_positives(y_true, values)
        assert_close(found, expected, rtol=1e-9, atol=1e-12, what=f"value of {call}", cause=cause)


@points(1)
@catches(
    "nan-sorted-along",
    "infinite-scores-taken",
    "one-class-gives-nan",
    "auc-of-one-class",
    "no-positive-gives-zero",
    "no-positive-gives-nan",
)
def test_bad_input_is_refused(student):
    """Labels and scores that are none, empty input, unequal lengths and a missing class raise ValueError."""
    nan, inf, none = float("nan"), float("inf"), np.zeros(0)
    scores = [0.75, -0.5, 0.25]
    for labels, names, missing in (
        ([1, 1, 1], ("roc_points", "roc_auc"), "negative"),
        ([0, 0, 0], ("roc_points", "roc_auc", "average_precision"), "positive"),
    ):
        for name in names:
            with raises(ValueError, what=f"{name}({labels}, {scores}), without any {missing},"):
                getattr(student, name)(labels, scores)
    call = "threshold_counts([1, 1, 1], [0.75, -0.5, 0.25])"
    assert_counts(student, [1, 1, 1], scores, ([1, 2, 3], [0, 0, 0], [0.75, 0.25, -0.5]), call)
    call = "threshold_counts([0, 0, 0], [0.75, -0.5, 0.25])"
    assert_counts(student, [0, 0, 0], scores, ([0, 0, 0], [1, 2, 3], [0.75, 0.25, -0.5]), call)
    # what tells the catalogued mistakes apart comes first: diagnosis looks at 40 calls of a check
    refused = [
        ([1, 0, 1], [0.75, inf, 0.25]),
        ([1, 0, 1], [-inf, 0.5, 0.25]),
        ([1, 0, 1], [0.75, nan, 0.25]),
        ([1, 0, 2], scores),
        ([-1, 0, 1], scores),
        ([-1, 1, 1], scores),
        ([1, 0, 0.5], scores),
        ([1, 0, nan], scores),
        (none, none),
        ([1, 0, 1], [0.75, 0.5]),
        ([1, 0], scores),
        ([1], scores),
        (np.array([[1], [0], [1]]), np.array(scores)),
        (np.array([[1], [0], [1]]), np.array(scores)[:, None]),
        (np.array([1, 0, 1]), np.array(scores)[:, None]),
    ]
    for labels, values in refused:
        plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in (labels, values)]
        for name in SAME_FOR_ALL:
            with raises(ValueError, what=f"{name}({plain[0]}, {plain[1]})"):
                getattr(student, name)(labels, values)


def with_seconds(student, labels, scores):
    """Number, if there is one, and whole seconds of computing of each function."""
    from time import process_time

    result = {}
    for name in ("threshold_counts", "roc_auc", "average_precision"):
        start = process_time()
        value = getattr(student, name)(labels, scores)
        seconds = int(process_time() - start)  # whole seconds: the same in every run, unless it is slow
        result[name] = (None if name == "threshold_counts" else value, seconds)
    return result


@points(1)
@catches("all-pairs")
def test_two_hundred_thousand_samples_in_time(student, rng):
    """200 000 samples take less than two seconds of computing, and the areas are still about right."""
    n_samples, n_scores = 200_000, 30_000
    labels = rng.random(n_samples) < 0.2
    scores = rng.integers(n_scores, size=n_samples).astype(np.int32)
    scores[labels] = np.maximum(scores[labels], rng.integers(n_scores, size=n_samples).astype(np.int32)[labels])
    # independent of sorting: how many samples of each class have each score
    positives, negatives = (np.bincount(scores[chosen], minlength=n_scores) for chosen in (labels, ~labels))
    lower_negatives = np.cumsum(negatives) - negatives
    auc = (positives * (lower_negatives + negatives / 2)).sum() / positives.sum() / negatives.sum()
    hits, alarms = (counts.sum() - np.cumsum(counts) + counts for counts in (positives, negatives))
    precision = (positives * hits / np.maximum(hits + alarms, 1)).sum() / positives.sum()
    expected = {"roc_auc": auc, "average_precision": precision}
    for name, (value, seconds) in student.run(with_seconds, labels, scores).items():
        call = f"{name}(y_true, scores) with 200 000 samples"
        if seconds >= 2:
            raise AssertionError(
                f"{call} took {seconds} seconds of computing or more; it should stay below 2. Likely cause: the work "
                "grows with the square of the number of samples."
            )
        if name in expected:  # ties and steps are the matter of other checks: they move these values by far less
            cause = "not the time, which was fine: the number itself, such as an overflow or another definition"
            value = number(value, call)
            assert_close(value, float(expected[name]), rtol=0, atol=0.005, what=f"value of {call}", cause=cause)
