"""Checks of metrics/before_and_after."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.checking import assert_close, assert_equal, assert_unchanged, catches, points, raises, visible


def items(rng: np.random.Generator, only_a: int, only_b: int, both: int = 0, neither: int = 0):
    """Boolean arrays with that many items of each kind, in random order."""
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    order = rng.permutation(len(a))
    return a[order], b[order]


def is_number(value) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def p_value(student, correct_a, correct_b) -> float:
    result = student.mcnemar_exact(correct_a, correct_b)
    if not is_number(result):
        raise AssertionError(f"mcnemar_exact should return a float; it returned a {type(result).__name__}.")
    return float(result)


def report(student, *arguments) -> dict[str, float]:
    result = student.paired_bootstrap(*arguments)
    if not isinstance(result, dict) or not {"diff", "low", "high"} <= result.keys():
        raise AssertionError("paired_bootstrap should return a dict with the keys 'diff', 'low' and 'high'.")
    for key in ("diff", "low", "high"):
        if not is_number(result[key]):
            raise AssertionError(f"'{key}' should be a float; it is a {type(result[key]).__name__}.")
    return {key: float(result[key]) for key in ("diff", "low", "high")}


def p_by_flipping_signs(only_a: int, only_b: int) -> float:
    """Share of all assignments of signs to the discordant items whose sum is at least as far from 0 as theirs."""
    sums = [abs(sum(signs)) for signs in itertools.product([-1, 1], repeat=only_a + only_b)]
    return sum(total >= abs(only_a - only_b) for total in sums) / len(sums)


def distribution_of_resamples(n: int, only_a: int, only_b: int) -> tuple[np.ndarray, np.ndarray]:
    """All differences that a resample of n items can have, and the probability of being at most as large."""
    one_item = np.array([only_a, n - only_a - only_b, only_b]) / n  # -1, 0, +1
    probabilities = np.ones(1)
    for _ in range(n):
        probabilities = np.convolve(probabilities, one_item)
    return np.arange(-n, n + 1) / n, np.cumsum(probabilities)


@points(1)
@visible
def test_eight_items_worked_out_by_hand(student):
    """Eight items worked out by hand: the p-value, the difference, and a model compared with itself."""
    before = np.array([True, False, False, False, False, True, True, False])
    after = np.array([False, True, True, True, True, True, True, False])
    close = {"rtol": 1e-5, "atol": 1e-8}
    assert_close(student.mcnemar_exact(before, after), 0.375, **close, what="p-value")
    assert_close(student.mcnemar_exact(before, before), 1.0, **close, what="p-value of a model against itself")
    result = student.paired_bootstrap(before, after, n_boot=500, seed=3)
    assert_close(result["diff"], 3 / 8, **close, what="diff")
    if not result["low"] <= result["diff"] <= result["high"]:
        raise AssertionError(f"The interval {result['low']} to {result['high']} should contain diff, {result['diff']}.")
    again = student.paired_bootstrap(before, after, n_boot=500, seed=3)
    assert_equal(again, result, what="report of a second call with the same seed")
    same = student.paired_bootstrap(before, before)
    for key in ("diff", "low", "high"):
        assert_equal(same[key], 0.0, what=f"value of '{key}' when a model is compared with itself")


def mcnemar_exact_and_paired_bootstrap(student, correct_a, correct_b):
    import random

    import numpy as np

    random.seed(5)
    np.random.seed(5)
    student.mcnemar_exact(correct_a, correct_b)
    student.paired_bootstrap(correct_a, correct_b, 50, 7)
    drawn = random.random(), float(np.random.random())
    random.seed(5)
    np.random.seed(5)
    return correct_a, correct_b, drawn, (random.random(), float(np.random.random()))


@points(1)
@catches("global-random-state")
def test_floats_come_back_and_nothing_else_changes(student, rng):
    """The functions return floats and leave the arguments and the global random states as they are."""
    a, b = items(rng, 5, 9, 12, 7)
    p_value(student, a, b)
    report(student, a, b)
    a_after, b_after, drawn, expected = student.run(mcnemar_exact_and_paired_bootstrap, a, b)
    assert_unchanged(a_after, a, what="correct_a")
    assert_unchanged(b_after, b, what="correct_b")
    cause = "random numbers were drawn from a global state, or it was seeded; make a generator from the seed instead"
    for module, found, wanted in zip(("random", "np.random"), drawn, expected, strict=True):
        assert_equal(found, wanted, what=f"number that `{module}.random()` gives the caller next", cause=cause)


@points(2)
@catches("one-sided", "chi-square", "continuity-correction", "mid-p")
def test_the_p_value_counts_both_directions_exactly(student, rng):
    """The p-value is the exact probability of a result at least as lopsided, in either direction."""
    for only_a, only_b in ((3, 7), (8, 1), (0, 6), (5, 6), (0, 1), (2, 9)):
        a, b = items(rng, only_a, only_b, 4, 3)
        what = f"p-value for {only_a} items that only a got right and {only_b} that only b got right"
        cause = "how many of the outcomes of so many fair coins are at least as lopsided, to one side or the other?"
        assert_close(p_value(student, a, b), p_by_flipping_signs(only_a, only_b), what=what, cause=cause)


@points(1)
@catches("all-items-as-trials", "nothing-from-nothing", "above-one", "above-one-but-for-no-tosses")
@settings(max_examples=8)
@given(
    sides=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    both=st.integers(1, 40),
    neither=st.integers(1, 40),
    draw=st.integers(0, 2**32 - 1),
)
def test_items_on_which_the_models_agree_do_not_count(student, sides, both, neither, draw):
    """Items on which both models agree change nothing; equal sides, or no discordant item at all, give 1."""
    rng = np.random.default_rng(draw)
    only_a, only_b = sides
    for left, right in ((only_a, only_b), (only_b, only_a), (only_a, only_a), (0, 0)):
        a, b = items(rng, left, right, both, neither)
        what = f"p-value for {left} items only a got right, {right} only b, {both} both and {neither} neither"
        cause = "the tosses are the discordant items; a probability is at most 1; no evidence is not strong evidence"
        assert_close(p_value(student, a, b), p_by_flipping_signs(left, right), what=what, cause=cause)


@points(1)
@catches("underflow", "integers-of-64-bits")
def test_thousands_of_discordant_items(student, rng):
    """The p-value is right for thousands of discordant items too."""
    for _ in range(2):
        tosses = 3000
        only_a = int(rng.integers(1400, 1480))
        a, b = items(rng, only_a, tosses - only_a, 50, 60)
        ways = [math.lgamma(tosses + 1) - math.lgamma(k + 1) - math.lgamma(tosses - k + 1) for k in range(only_a + 1)]
        expected = 2 * math.fsum(math.exp(logarithm - tosses * math.log(2)) for logarithm in ways)
        what = f"p-value for {only_a} items that only a got right and {tosses - only_a} that only b got right"
        cause = "0.5**3000 is 0 and 3000 choose 1500 is larger than any float"
        assert_close(p_value(student, a, b), expected, rtol=1e-8, atol=0, what=what, cause=cause)


@points(1)
@catches("difference-taken-for-gain", "sign-reversed", "normal-interval", "reflected-interval", "discordant-items-only")
def test_the_difference_and_what_no_resample_can_show(student, rng):
    """diff is after minus before, and the interval keeps to differences that a resample of the items can have."""
    # b never loses, so no resample has a negative difference; a has all of them when the roles are exchanged
    winner = items(rng, 0, 3, 5, 7)
    for case, (a, b) in (("b never loses", winner), ("a never loses", winner[::-1])):
        for level in (0.8, 0.98):
            # so many resamples that the percentiles are the same for any generator: 1 and 5 of 15, or 0 and 7
            result = report(student, a, b, 4000, 11, level)
            expected = sum(int(y) - int(x) for x, y in zip(a, b, strict=True)) / 15
            assert_close(result["diff"], expected, what=f"diff ({case})", cause="b is the model after fine-tuning")
            inner, outer = (result["low"], result["high"]) if expected > 0 else (-result["high"], -result["low"])
            interval = f"{level:.0%} interval from {result['low']:.4g} to {result['high']:.4g} for 15 items ({case})"
            if inner < -1e-12:
                raise AssertionError(f"The {interval} reaches over 0, which no resample of these items can.")
            # the sum of a resample is binomial (15, 3/15): 0 or 1 with probability 0.17, 5 or more with 0.16
            if not (inner < 3 / 15 < outer):
                raise AssertionError(f"The {interval} should have the difference, {expected:.4g}, in its inside.")


def allowed_range(differences, cumulative, probability, n_boot):
    """Where the percentile of n_boot resamples lies, all but surely: within six standard errors."""
    slack = 6 * math.sqrt(probability * (1 - probability) / n_boot)
    first = differences[np.searchsorted(cumulative, max(probability - slack, 0.0))]
    last = differences[min(np.searchsorted(cumulative, min(probability + slack, 1.0)), len(differences) - 1)]
    return first - 1e-9, last + 1e-9


@points(1)
@catches("unpaired", "level-as-tails", "fractions-as-percent")
def test_the_interval_holds_the_middle_of_the_resamples(student, rng):
    """The ends are the percentiles that leave half of 1 - level on each side, for items resampled in pairs."""
    n, n_boot = 300, 5000
    only_a, only_b = int(rng.integers(10, 14)), int(rng.integers(24, 30))
    a, b = items(rng, only_a, only_b, 150, n - 150 - only_a - only_b)
    differences, cumulative = distribution_of_resamples(n, only_a, only_b)
    for level in (0.5, 0.9):
        result = report(student, a, b, n_boot, int(rng.integers(1000)), level)
        for key, probability in (("low", (1 - level) / 2), ("high", (1 + level) / 2)):
            first, last = allowed_range(differences, cumulative, probability, n_boot)
            if not first <= result[key] <= last:
                raise AssertionError(
                    f"'{key}' is {result[key]:.4g} for level {level} and {n} items, {only_a} of them right for a only "
                    f"and {only_b} for b only; items drawn {n_boot} times in pairs give "
                    f"{first:.4g} to {last:.4g}, whatever the seed.\n"
                    "Likely cause: the models were resampled each by itself, or the wrong percentiles were taken"
                )


@points(1)
@catches("seed-ignored", "unseeded", "number-of-resamples-ignored")
def test_seed_and_number_of_resamples_decide(student, rng):
    """The same seed gives the same interval, other seeds other ones, and one resample gives a single difference."""
    a, b = items(rng, 90, 120, 160, 131)
    results = {seed: report(student, a, b, 5, seed, 0.9) for seed in (1, 2, 3, 4, 5)}
    for seed, result in results.items():
        assert_equal(report(student, a, b, 5, seed, 0.9), result, what=f"report of a second call with seed {seed}")
    if len({tuple(result.values()) for result in results.values()}) == 1:
        raise AssertionError("Five different seeds gave the same interval of 5 resamples; the seed has no effect.")
    one = report(student, a, b, 1, 8)
    what = "high for a single resample, compared with low,"
    assert_close(one["high"], one["low"], what=what, cause="n_boot is not the number of resamples")


@points(1)
@catches("level-unchecked", "pairs-unchecked")
def test_arguments_that_make_no_sense_are_refused(student, rng):
    """Arrays that are no pairs, levels and numbers of resamples that make no sense are refused."""
    a, b = items(rng, 3, 4, 5, 6)
    empty = np.array([], dtype=bool)
    pairs = {
        "18 and 17 items": (a, b[:-1]),
        "18 items and 1 item": (a, b[:1]),
        "no items": (empty, empty),
        "arrays of two axes": (a[:, None], b[:, None]),
    }
    for case, (x, y) in pairs.items():
        with raises(ValueError, what=f"mcnemar_exact with {case}"):
            student.mcnemar_exact(x, y)
        with raises(ValueError, what=f"paired_bootstrap with {case}"):
            student.paired_bootstrap(x, y)
    for dtype in (np.int64, np.float64):
        for x, y in ((a.astype(dtype), b.astype(dtype)), (a, b.astype(dtype)), (a.astype(dtype), b)):
            case = f"arrays of dtype {x.dtype} and {y.dtype}"
            with raises(TypeError, ValueError, what=f"mcnemar_exact with {case}"):
                student.mcnemar_exact(x, y)
            with raises(TypeError, ValueError, what=f"paired_bootstrap with {case}"):
                student.paired_bootstrap(x, y)
    for n_boot in (0, -3):
        with raises(ValueError, what=f"paired_bootstrap with n_boot={n_boot}"):
            student.paired_bootstrap(a, b, n_boot)
    for level in (0.0, 1.0, -0.1, 1.5, 95.0, float("nan")):
        with raises(ValueError, what=f"paired_bootstrap with level={level}"):
            student.paired_bootstrap(a, b, 20, 0, level)
