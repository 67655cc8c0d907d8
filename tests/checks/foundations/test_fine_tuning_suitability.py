"""Checks of foundations/fine_tuning_suitability. Expected values come from loops over pairs and exact sums."""

from __future__ import annotations

import math
import statistics

import numpy as np

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "text_alone": False,
    "few_labels": False,
    "unimodal_baseline": True,
    "unlabelled_domain": True,
    "equal_means": False,
    "negative_estimate": True,
    "p_of_40": False,
    "smallest_p": True,
}
NAN, INF = math.nan, math.inf


# ---------------------------------------------------------------- what is expected, worked out here


def expected_distances(source, target):
    """The distance of every pair of pooled rows, one pair at a time."""
    rows = [[float(value) for value in row] for row in [*source, *target]]
    return [[math.dist(one, other) for other in rows] for one in rows]


def expected_median(source, target):
    table = expected_distances(source, target)
    return statistics.median(table[i][j] for i in range(len(table)) for j in range(i))


def estimate(table, first, second, sigma):
    """The estimate from a table of distances, for the rows named by two lists of indices."""

    def mean_of(pairs):
        values = [math.exp(-((table[i][j] / sigma) ** 2) / 2) for i, j in pairs]
        return math.fsum(values) / len(values)

    within = [mean_of([(i, j) for i in part for j in part if i != j]) for part in (first, second)]
    return math.fsum([*within, -2 * mean_of([(i, j) for i in first for j in second])])


def expected_mmd2(source, target, sigma):
    n, total = len(source), len(source) + len(target)
    return estimate(expected_distances(source, target), range(n), range(n, total), sigma)


def expected_test(source, target, sigma, n_perm, seed):
    table, n = expected_distances(source, target), len(source)
    stat = expected_mmd2(source, target, sigma)
    generator = np.random.default_rng(seed)
    splits = [generator.permutation(len(table)).tolist() for _ in range(n_perm)]
    count = sum(estimate(table, order[:n], order[n:], sigma) >= stat - 1e-12 for order in splits)
    return stat, (1 + count) / (1 + n_perm)


def number(value, what):
    """A single number of the submission; NumPy scalars and arrays of shape () pass as well."""
    if isinstance(value, np.ndarray | np.generic) and value.shape == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionError(f"The {what} should be a number; it is {type(value).__name__}.")
    return float(value)


def pair(value, call):
    """The two numbers of the permutation test."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise AssertionError(f"{call} should return two numbers, stat and p; it returned {type(value).__name__}.")
    return number(value[0], f"stat of {call}"), number(value[1], f"p of {call}")


def embeddings(rng, n, m, width, shift=0.0, spread=1.0):
    """Two sets of random embeddings, the second one moved and stretched."""
    return rng.normal(size=(n, width)), rng.normal(size=(m, width)) * spread + shift


def sizes(source, target):
    return f"{len(source)} and {len(target)} rows of width {np.shape(source)[1]}"


def result_and_arguments(student, function, source, target, options):
    """What a call returned, both arguments after it, and whether the global random state has moved."""
    import numpy as np

    before = np.random.get_state()[1:3]
    result = getattr(student, function)(source, target, **options)
    after = np.random.get_state()[1:3]
    return result, source, target, bool(np.array_equal(before[0], after[0]) and before[1] == after[1])


# ---------------------------------------------------------------- the checks


@visible
@points(1)
def test_worked_example(student):
    """Three source and two target samples give the numbers worked out by hand."""
    source, target = [[0, 0], [1, 0], [1, 1]], [[3, 0], [2, 2]]
    squares = [[0, 1, 2, 9, 8], [1, 0, 1, 4, 5], [2, 1, 0, 5, 2], [9, 4, 5, 0, 5], [8, 5, 2, 5, 0]]
    distances = student.pooled_distances(source, target)
    assert_close(distances, np.sqrt(squares), rtol=1e-9, atol=1e-9, what="matrix of distances")
    median = number(student.median_sigma(source, target), "median_sigma")
    assert_close(median, (2 + math.sqrt(5)) / 2, rtol=1e-9, what="median distance")
    sigma = 1 / math.sqrt(2 * math.log(2))
    expected = 5 / 12 + 1 / 32 - 2 * 195 / 512 / 6
    found = number(student.mmd2_unbiased(source, target, sigma), "mmd2_unbiased")
    assert_close(found, expected, rtol=1e-9, what="result of mmd2_unbiased")
    call = "mmd_permutation_test with n_perm=19 and seed=3"
    stat, p = pair(student.mmd_permutation_test(source, target, sigma, n_perm=19, seed=3), call)
    assert_close(stat, expected, rtol=1e-9, what=f"stat of {call}")
    assert_close(p, 0.2, rtol=1e-9, what=f"p of {call}")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "squares-without-root",
    "mean-over-the-width",
    "sum-of-absolute-differences",
    "target-first",
    "expanded-square",
    "differences-in-the-dtype-given",
    "single-precision",
    "argument-centred-in-place",
)
def test_pooled_distances(student, rng):
    """Distances are exact for every kind of numbers and at every place, and the arguments stay as they were."""
    source, target = embeddings(rng, 4, 3, 5)
    whole = [rng.integers(0, 256, (rows, 3)).astype(np.uint8) for rows in (3, 5)]
    cases = [
        ("random embeddings", source, target, "the Euclidean distance, source rows before target rows"),
        ("duplicate rows", source[[0, 1, 1]], np.concatenate([target, source[:1]]), "equal rows have distance 0"),
        ("embeddings with an offset of 1e6", source + 1e6, target + 1e6, "digits lost far from the origin"),
        ("duplicates with an offset of 1e6", source[[2, 2]] + 1e6, target[[1, 0, 1]] + 1e6, "digits lost"),
        ("embeddings in uint8", *whole, "differences were taken in the dtype of the embeddings"),
        ("embeddings in int8", *(part.view(np.int8) for part in whole), "differences in the dtype of the embeddings"),
        ("embeddings in float16", source.astype("e"), target.astype("e"), "computed in the dtype of the embeddings"),
        ("embeddings in float32", source.astype("f"), target.astype("f"), "computed in the dtype of the embeddings"),
        ("lists", source.tolist(), target.tolist(), ""),
        ("embeddings of width 1", source[:, :1], target[:, :1], ""),
    ]
    answers = [student.pooled_distances(one, other) for _, one, other, _ in cases]
    for (told, one, other, cause), found in zip(cases, answers, strict=True):
        what = f"matrix of distances for {told}"
        expected = np.array(expected_distances(one, other))
        assert_close(found, expected, rtol=1e-9, atol=1e-12, what=what, cause=cause)
        assert_dtype(found, np.float64, what=what)
    for told, one, other, _ in cases[:2]:
        _, first, second, _ = student.run(result_and_arguments, "pooled_distances", one, other, {})
        assert_unchanged(first, one, what=f"source (pooled_distances of {told})")
        assert_unchanged(second, other, what=f"target (pooled_distances of {told})")


@points(1)
@catches(
    "median-with-self-pairs",
    "median-between-only",
    "median-within-source",
    "mean-in-place-of-median",
    "median-of-squares",
    "root-of-the-median-of-squares",
    "median-over-root-two",
    "upper-median",
    "lower-median",
)
def test_median_sigma(student, rng):
    """The width is the median distance over all pairs of the pooled rows, each row with every other."""
    cases = [
        ("one far row", [[0.0], [1.0], [3.0]], [[10.0], [30.0]]),
        ("an odd number of pairs", [[0.0], [1.0], [3.0]], [[10.0], [30.0], [70.0]]),
        ("a duplicate", [[2.0, 1.0], [2.0, 1.0], [5.0, 5.0]], [[0.0, 1.0], [9.0, 1.0]]),
    ]
    for n, m, width in ((2, 2, 3), (5, 3, 2), (4, 6, 7), (2, 7, 4)):
        source, target = embeddings(rng, n, m, width, shift=2.0, spread=0.5)
        cases.append((sizes(source, target), source, target))
    answers = [student.median_sigma(source, target) for _, source, target in cases]
    cause = "the median of the distances of all pairs of two rows, within both sets and between them"
    for (told, source, target), answer in zip(cases, answers, strict=True):
        call = f"median_sigma of {told}"
        found = number(answer, f"result of {call}")
        expected = expected_median(source, target)
        assert_close(found, expected, rtol=1e-9, atol=0.0, what=f"result of {call}", cause=cause)


@points(1)
@catches(
    "self-pairs-kept",
    "self-pairs-in-the-sum-only",
    "self-pairs-in-the-count-only",
    "between-once",
    "partners-left-out-between",
    "sigma-squared-without-2",
    "distance-not-squared",
    "sigma-as-gamma",
    "root-of-the-estimate",
    "equal-sizes-assumed",
    "sigma-ignored",
    "blocks-rounded",
)
def test_unbiased_estimate(student, rng):
    """The estimate is the mean similarity within both sets less that between them."""
    cases = []
    for n, m, width, shift, sigma in (
        (5, 3, 4, 1.0, 1.7),
        (2, 6, 3, 2.0, 2.5),
        (4, 4, 2, 1.5, 0.8),
        (2, 2, 5, 1.0, 3.0),
    ):
        source, target = embeddings(rng, n, m, width, shift=shift)
        cases.append((sizes(source, target), source, target, sigma))
        cases.append((sizes(target, source) + ", exchanged", target, source, sigma))
    answers = [student.mmd2_unbiased(source, target, sigma) for _, source, target, sigma in cases]
    cause = "two means without the pairs of a row with itself, minus twice the mean over all pairs between the sets"
    for (told, source, target, sigma), answer in zip(cases, answers, strict=True):
        call = f"mmd2_unbiased of {told}, sigma = {sigma}"
        found = number(answer, f"result of {call}")
        expected = expected_mmd2(source, target, sigma)
        assert_close(found, expected, rtol=1e-9, atol=1e-11, what=f"result of {call}", cause=cause)


@points(1)
@catches("difference-of-means", "difference-of-means-and-variances", "estimate-cut-at-0", "absolute-estimate")
def test_spread_and_sign(student, rng):
    """A difference of spread or shape is seen where the means are equal, and an estimate below 0 stays below 0."""
    mirrored = rng.normal(size=(4, 3))
    small = np.concatenate([mirrored, -mirrored])
    # three equal-mean, equal-variance pairs of a shape with two peaks and one with three
    peaks, three = np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.array([[-math.sqrt(2)], [0.0], [0.0], [math.sqrt(2)]])
    copy = rng.normal(size=(5, 4))
    cases = [
        (
            "two sets of equal means, one spread four times as wide",
            small,
            np.concatenate([mirrored[:3], -mirrored[:3]]) * 4,
        ),
        ("two sets of equal means and variances", peaks, three),
        ("a set and its own copy", copy, copy.copy()),
        ("rows that alternate between the sets", [[0.0], [2.0], [4.0]], [[1.0], [3.0]]),
    ]
    answers = [student.mmd2_unbiased(source, target, 1.25) for _, source, target in cases]
    for (told, source, target), answer in zip(cases, answers, strict=True):
        call = f"mmd2_unbiased of {told}"
        found, expected = number(answer, f"result of {call}"), expected_mmd2(source, target, 1.25)
        cause = (
            "where the sets are mixed, the estimate is below 0, and nothing is cut off"
            if expected < 0
            else "the mean vectors alone do not show this difference"
        )
        assert_close(found, expected, rtol=1e-9, atol=1e-11, what=f"result of {call}", cause=cause)


@points(1)
@catches(
    "p-without-the-real-split",
    "one-more-in-the-denominator-only",
    "one-more-in-the-numerator-only",
    "share-of-smaller-splits",
    "ties-not-counted",
    "ties-left-to-rounding",
    "labels-drawn-for-each-block",
    "sets-shuffled-within",
    "drawn-with-replacement",
    "same-split-every-time",
    "cumulative-shuffle",
    "seed-ignored",
    "global-generator",
    "real-split-drawn-first",
    "sizes-exchanged-in-the-split",
    "p-before-stat",
)
def test_permutation_test(student, rng, seed):
    """The p-value counts the real split and every random split that is as far apart."""
    cases = []
    for n, m, width, shift, n_perm in ((6, 4, 3, 0.5, 30), (4, 7, 2, 0.0, 25), (5, 5, 4, 3.0, 19), (3, 5, 2, 1.0, 1)):
        source, target = embeddings(rng, n, m, width, shift=shift)
        cases.append((sizes(source, target), source, target, 1.5, n_perm, int(rng.integers(1000))))
    for case in range(4):  # few splits, which come up again and again
        source, target = embeddings(rng, 3 - case % 2, 2, 2, shift=1.0)
        cases.append((sizes(source, target), source, target, 1.0, 40 + case, 10 * seed + case))
    cases.append(("rows on a grid", [[0], [1], [1], [3]], [[4], [2], [4]], 2.0, 30, 7))
    results = [student.mmd_permutation_test(*arguments) for _, *arguments in cases]
    for (told, *arguments), result in zip(cases, results, strict=True):
        call = f"mmd_permutation_test of {told}, n_perm = {arguments[3]}, seed = {arguments[4]}"
        stat, p = pair(result, call)
        expected_stat, expected_p = expected_test(*arguments)
        assert_close(stat, expected_stat, rtol=1e-9, atol=1e-11, what=f"stat of {call}", cause="the unbiased estimate")
        cause = "p is a share with n_perm + 1 below the line, and the splits are drawn as the task says"
        assert_close(p, expected_p, rtol=1e-9, what=f"p of {call}", cause=cause)
    told, source, target, sigma, n_perm, drawn_with = cases[0]
    options = {"sigma": sigma, "n_perm": n_perm, "seed": drawn_with}
    _, first, second, untouched = student.run(result_and_arguments, "mmd_permutation_test", source, target, options)
    assert_unchanged(first, source, what="source (mmd_permutation_test)")
    assert_unchanged(second, target, what="target (mmd_permutation_test)")
    if not untouched:
        raise AssertionError("mmd_permutation_test moved the global random state of NumPy; it must leave it alone")


@points(1)
@catches(
    "one-row-accepted",
    "widths-unchecked",
    "axes-unchecked",
    "nan-accepted",
    "infinity-accepted",
    "median-of-0-accepted",
    "sigma-unchecked",
    "nan-sigma-accepted",
    "infinite-sigma-accepted",
    "no-splits-accepted",
)
def test_arguments_that_make_no_sense_are_refused(student, rng):
    """Too few rows, other widths, values and options that make no sense are refused."""
    source, target = embeddings(rng, 3, 4, 2)
    broken = {value: source.copy() for value in (NAN, INF, -INF)}
    for value, array in broken.items():
        array[1, 1] = value
    for told, one, other in (
        ("one row in source", source[:1], target),
        ("one row in target", source, target[:1]),
        ("no rows in source", source[:0], target),
        ("a wider target", source, rng.normal(size=(4, 3))),
        ("a target of width 1", source, target[:, :1]),
        ("a source of width 1", source[:, :1], target),
        ("a source with one axis", source[:, 0], target),
        ("a target with one axis", source, target[0]),
        ("two sets with one axis", source[:, 0], target[:, 0]),
        ("two sets with three axes", source[None], target[None]),
        ("two sets with three axes, several rows", rng.normal(size=(3, 2, 2)), rng.normal(size=(4, 2, 2))),
        ("NaN in source", broken[NAN], target),
        ("NaN in target", target, broken[NAN]),
        ("infinity in source", broken[INF], target),
        ("minus infinity in target", target, broken[-INF]),
    ):
        for function, options in (
            ("pooled_distances", ()),
            ("median_sigma", ()),
            ("mmd2_unbiased", (1.5,)),
            ("mmd_permutation_test", (1.5, 3, 0)),
        ):
            with raises(ValueError, what=f"{function} with {told}"):
                getattr(student, function)(one, other, *options)
    with raises(ValueError, what="median_sigma of rows that are all equal"):
        student.median_sigma([[1.0, 2.0]] * 3, [[1.0, 2.0]] * 2)
    with raises(ValueError, what="median_sigma of rows that are equal but for one"):
        student.median_sigma([[1.0, 2.0]] * 4, [[1.0, 2.0], [5.0, 5.0]])
    for sigma in (0.0, -1.5, NAN, INF):
        with raises(ValueError, what=f"mmd2_unbiased with sigma={sigma}"):
            student.mmd2_unbiased(source, target, sigma)
        with raises(ValueError, what=f"mmd_permutation_test with sigma={sigma}"):
            student.mmd_permutation_test(source, target, sigma, 3, 0)
    for n_perm in (0, -1):
        with raises(ValueError, what=f"mmd_permutation_test with n_perm={n_perm}"):
            student.mmd_permutation_test(source, target, 1.5, n_perm, 0)
