"""Checks of schedules/range_test. Averages are weighted sums written out, slopes are parabolas through three points."""

from __future__ import annotations

import math

import numpy as np

from grader.checking import assert_claims, assert_close, assert_unchanged, catches, points, raises, visible

CLAIMS = {
    "tenth_of_pretraining": False,
    "bert_is_a_tenth": False,
    "fewer_weights_smaller_rate": False,
    "lowest_loss_is_best": False,
    "equal_factors": True,
    "smoothing_lags": True,
    "no_forgetting_seen": True,
    "batch_size_is_free": False,
}
NAN, INF = math.nan, math.inf


# ---------------------------------------------------------------- what is expected, worked out here


def smoothed(losses, beta):
    """Every value as the weighted mean of the losses so far, written out; ends before the first that is not finite."""
    finite = next((t for t, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    values = []
    for t in range(finite):
        weights = [beta ** (t - earlier) for earlier in range(t + 1)]
        terms = [weight * float(loss) for weight, loss in zip(weights, losses, strict=False)]
        values.append(math.fsum(terms) / math.fsum(weights))
    return values


def usable(values, divergence):
    """How many values there are before the first that has diverged."""
    for t in range(1, len(values)):
        lowest = min(values[:t])
        if lowest > 0 and values[t] / lowest > divergence:
            return t
    return len(values)


def slopes(values, rates):
    """The slope at each point: of the parabola through it and its neighbours, and of one interval at both ends."""
    x = [math.log(rate) for rate in rates]
    steps = [(values[i + 1] - values[i]) / (x[i + 1] - x[i]) for i in range(len(values) - 1)]
    inside = []
    for i in range(1, len(values) - 1):
        left, right = x[i] - x[i - 1], x[i + 1] - x[i]
        inside.append((right * steps[i - 1] + left * steps[i]) / (left + right))
    return [steps[0], *inside, steps[-1]]


def expected_suggestion(rates, losses, beta=0.0, divergence=4.0):
    """The suggestion, and by how much its slope is lower than any other."""
    values = smoothed(losses, beta)
    values = values[: usable(values, divergence)]
    found = slopes(values, rates[: len(values)])
    best, second = sorted(found)[:2]
    return float(rates[found.index(best)]), second - best


def number(value, what):
    """A single number of the submission; NumPy scalars and arrays of one number pass as well."""
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionError(f"The {what} should be a number; it is {type(value).__name__}.")
    return float(value)


def suggestion_and_arguments(student, lrs, losses, options):
    """The suggestion, and the two sequences after the call."""
    return student.lr_range_suggestion(lrs, losses, **options), lrs, losses


def curve(rates, losses, told, cause="", expected=None, **options):
    """One call to make, and what it should return."""
    if expected is None:
        expected, margin = expected_suggestion(rates, losses, **options)
        if margin < 1e-9:
            raise ValueError(f"what is expected of {told} depends on rounding")
    return rates, losses, told, cause, expected, options


def check(student, *curves):
    """Make all calls, then compare: what a submission returned to all of them tells the mistakes apart."""
    answers = [student.lr_range_suggestion(rates, losses, **options) for rates, losses, *_, options in curves]
    for (rates, losses, told, cause, expected, options), answer in zip(curves, answers, strict=True):
        call = f"lr_range_suggestion of {told}" + (f" with {options}" if options else "")
        try:
            assert_close(number(answer, call), expected, rtol=1e-9, atol=0.0, what=f"result of {call}", cause=cause)
        except AssertionError:
            student.lr_range_suggestion(rates, losses, **options)  # once more: the message shows the last call
            raise


def log_spaced(first, last, count):
    return [10 ** (first + (last - first) * i / (count - 1)) for i in range(count)]


def falling_step(rates, centre, width=0.6, high=3.0, depth=2.5):
    """A loss that falls by `depth`, fastest at the rate `centre`, against the logarithm of the rate."""
    return [high - depth / (1 + math.exp(-math.log(rate / centre) / width)) for rate in rates]


# ---------------------------------------------------------------- the checks


@visible
@points(1)
def test_worked_example(student):
    """Two small curves and one change of the batch size come out as worked out by hand."""
    rates, losses = [1e-4, 1e-3, 1e-2, 1e-1, 1.0], [5.0, 4.5, 2.0, 1.0, NAN]
    plain = curve(rates, losses, f"the rates {rates} and losses {losses}", expected=1e-2)
    rates, losses = [1, 2, 4, 8, 16, 32], [6.0, 6.0, 2.0, 2.0, 2.0, 2.0]
    check(student, plain, curve(rates, losses, f"the rates {rates} and losses {losses}", expected=4.0, beta=0.5))
    for optimizer, expected in (("sgd", 1.6e-2), ("adam", 4e-3)):
        call = f"scale_lr(1e-3, 32, 512, {optimizer!r})"
        scaled = number(student.scale_lr(1e-3, 32, 512, optimizer), call)
        assert_close(scaled, expected, rtol=1e-9, what=f"result of {call}")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "tenth-of-the-first-rate",
    "rate-at-the-lowest-loss",
    "tenth-of-the-lowest",
    "slope-against-the-rate",
    "difference-of-neighbours",
    "steepest-in-size",
    "index-in-place-of-the-rate",
    "last-of-the-steepest",
    "distances-ignored",
    "secant-of-the-neighbours",
    "edges-of-second-order",
)
def test_steepest_fall(student, rng):
    """Without noise, the suggestion is where the loss falls fastest against the logarithm of the rate."""
    cause = "the lowest slope of the loss against the logarithm of the rate, of all points that are used"
    rates = log_spaced(-6, 0, 61)
    curves = [curve(rates, falling_step(rates, 1e-3), "a curve that falls fastest at 1e-3", cause)]
    for _ in range(3):
        first = float(rng.uniform(-7, -5))
        rates = log_spaced(first, first + 5, int(rng.integers(40, 60)))
        centre = rates[int(rng.integers(12, 26))]
        losses = falling_step(rates, centre)
        told = f"a curve that falls fastest at {centre:.3g} and is lowest at {rates[-1]:.3g}"
        curves.append(curve(rates, losses, told, cause))
        with_a_rise = [loss + 8 * max(i - 35, 0) / 10 for i, loss in enumerate(losses)]
        told = f"a curve that falls fastest at {centre:.3g} and rises faster at the end"
        curves.append(curve(rates, with_a_rise, told, cause, divergence=INF))
    few = [1e-5, 3e-5, 1e-4, 3e-4, 1e-2, 3e-2, 1.0]
    losses = [9.0, 8.9, 8.4, 8.1, 6.9, 6.7, 5.7]
    curves.append(curve(few, losses, f"the losses {losses} at the uneven rates {few}", cause))
    # the point between a steep short step and a flat long one: its slope is nearly that of the short one
    few = [1e-5, 1e-4, 2e-4, 1e-2, 1e-1, 1.0]
    losses = [9.0, 8.6, 8.0, 7.9, 7.0, 6.8]
    nearer = "at uneven distances the nearer neighbour counts more"
    curves.append(curve(few, losses, f"the losses {losses} at the uneven rates {few}", nearer))
    rates = log_spaced(-4, -1, 7)
    several = "the first of several lowest slopes"
    curves.append(curve(rates, [0.0] * 7, "a curve that is 0 throughout", several, expected=rates[0]))
    told = "three points, the most of the fall at the first"
    curves.append(curve(rates[:3], [3.0, 2.0, 1.75], told, cause, expected=rates[0]))
    losses = [4.0, 3.75, 3.25, 2.0, 1.0, 0.75, 0.0]  # a parabola through the last three would be steepest at the end
    ends = "at both ends the slope is that of the one interval there"
    curves.append(curve(rates, losses, f"the losses {losses}", ends, divergence=INF))
    check(student, *curves)


@points(1)
@catches(
    "no-bias-correction",
    "weights-swapped",
    "weights-swapped-throughout",
    "smoothing-for-the-cut-only",
    "smoothing-ignored",
    "average-starts-at-the-first-loss",
)
def test_smoothing(student, rng):
    """The slope is that of the smoothed curve, with the correction for the start of the average."""
    cause = "the average weighs loss t - k with beta ** k, and the weights add up to 1 from the first value on"
    rates = log_spaced(-6, 0, 61)
    curves = [curve(rates, falling_step(rates, 1e-3), "a curve that falls fastest at 1e-3", cause, beta=0.9)]
    falling = [9.0, 8.0, 6.6, 6.4, 6.0, 5.9, 3.5, 3.4]
    rates = log_spaced(-5, -2, len(falling))
    curves.append(curve(rates, falling, "a curve that falls twice", cause, beta=0.9))
    for beta in (0.6, 0.3, 0.9):
        high_first = [float(v) for v in np.concatenate(([9.0], rng.uniform(5.0, 5.2, 5), np.linspace(5, 3.5, 20)))]
        rates = log_spaced(-5, -2, len(high_first))
        curves.append(curve(rates, high_first, "a curve whose first loss is the highest", cause, beta=beta))
        low_first = [2.0, 4.0, *(4.0 - 0.05 * i * i for i in range(1, 7)), 2.2, 2.2, 2.2]
        rates = log_spaced(-5, -2, len(low_first))
        curves.append(curve(rates, low_first, "a curve whose first loss is low", cause, beta=beta))
        rates = log_spaced(-6, -1, 50)
        noisy = falling_step(rates, 1e-3) + rng.normal(size=50) * 0.15
        curves.append(curve(rates, [float(loss) for loss in noisy], "a noisy curve", cause, beta=beta))
    check(student, *curves)


@points(1)
@catches(
    "diverged-tail-included",
    "diverged-point-kept",
    "minimum-of-the-whole-curve",
    "ratio-to-the-value-before",
    "minimum-of-the-last-few",
    "raw-minimum",
    "exactly-the-factor-cut",
    "cut-on-the-raw-losses",
    "not-finite-skipped",
    "not-finite-kept",
    "infinity-kept",
    "ratio-to-the-first-loss",
    "negative-losses-cut",
    "size-of-a-negative-minimum",
    "minimum-of-0-taken-as-the-measure",
    "diverged-points-skipped",
)
def test_where_the_curve_ends(student, rng):
    """What comes after the curve has blown up plays no part, even if it comes down again."""
    curves = []

    def add(losses, told, cause, at=None, **options):
        rates = log_spaced(-6, -1, len(losses))
        curves.append(curve(rates, losses, told, cause, None if at is None else rates[at], **options))

    cause = "the curve ends for good at the first loss that is not finite or too far above the smallest one before"
    shift = float(rng.uniform(0.0, 0.2))
    add([3.0, 2.9, 2.5, 2.2, 2.1, 2.05 + shift, 12.0, 4.0, 3.0, 2.0], "a tail that jumps to 12 and falls", cause, at=2)
    # no single step is large: only against the smallest value of all before has the curve left the ground
    climbing = "each value is compared with the smallest of all before it, however long ago that was"
    losses = [4.0, 3.0, 1.5, 1.9, 2.4, 3.0, 3.8, 4.8, 5.9, 7.0, 8.5, 10.0, 4.0, 3.0]
    add(losses, "a curve that climbs step by step to 10, more than four times its minimum of 1.5", climbing)
    losses = [3.0, 2.9, 2.5, 2.0 + shift / 2, 5.0, 12.0, 4.0]
    add(losses, "a curve that climbs in two steps to 12", climbing)
    add(
        [3.0, 2.9, 2.7, 1.5 - shift, 12.0, 11.0, 2.0],
        "a curve that falls fastest at its last usable point",
        cause,
        at=3,
    )
    for bad in (NAN, INF, -INF):
        losses = [3.0, 2.9, 2.5, 2.2, 2.1 + shift, bad, 2.0, 0.5, 0.4]
        for beta in (0.0, 0.5):
            add(losses, f"losses with {bad} in the middle", cause, beta=beta)

    # a steep fall at the beginning: the early losses are far above the minimum of all, and are used
    early = "early losses far above the minimum"
    add([40.0, 39.0, 20.0, 8.0, 4.0, 3.0, 2.5 + shift, 2.4], "a curve that falls from 40 to 2.4", early, at=2)
    losses = [2.0, 2.6, 1.2, 1.0, 0.9, 5.5, 2.1, 0.2]  # 5.5 is more than 4 * 0.9, but not more than 4 * 2
    add(losses, "a curve that rises to six times its minimum", cause)
    exactly = "a value of exactly divergence times the minimum is not more than that"
    add([2.0, 1.75, 1.5, 1.0, 4.0, 0.5, 0.25], "a curve that rises to exactly four times its minimum", exactly)

    # one outlier that the smoothing takes in
    losses = [4.0, 3.9, 3.7, 3.4, 15.0, 3.0, 2.0, 1.0, 0.9, 0.85]
    add(losses, "losses with one outlier", "the cut is on the smoothed curve", beta=0.75)
    low = "the smoothed value is compared with the smallest smoothed value, not with the smallest loss"
    add([4.0, 4.0, 0.6, 4.0, 4.0, 4.0, 4.0, 0.5, 0.5], "losses with one outlier below the others", low, beta=0.5)
    losses = [4.0, 3.9, 3.0, 2.8, 16.1, 3.0, 2.0, 0.5]
    for divergence in (4.0, 1.5, 20.0, INF):
        add(losses, "losses with one outlier", cause, divergence=divergence)

    cause = "a ratio to a number that is not positive means nothing, so the curve does not end there"
    for losses in (
        [1.0, 0.5, 0.25, -1.0, -1.5, -1.25, -1.0, -3.0],
        [1.0, 0.5, 0.0, 0.3, 0.1, -1.2, -1.25],
        [0.5, 0.25, -0.125, 1.0, 0.75, -1.0],
    ):
        for divergence in (4.0, INF):
            add(losses, f"the losses {losses}", cause, divergence=divergence)
    check(student, *curves)


@points(1)
@catches(
    "two-points-are-enough",
    "order-of-rates-unchecked",
    "rates-behind-the-end-unchecked",
    "nan-accepted",
    "batch-of-zero-accepted",
)
def test_arguments_that_make_no_sense_are_refused(student):
    """Too few points, rates in disorder and options out of range are refused."""
    rates, losses = [1e-4, 1e-3, 1e-2, 1e-1], [3.0, 2.5, 2.0, 1.9]
    for what, bad_rates, bad_losses in (
        ("two points", rates[:2], losses[:2]),
        ("no points", [], []),
        ("two losses before a NaN", rates, [3.0, 2.5, NAN, 1.9]),
        ("two losses before the divergence", rates, [3.0, 2.5, 30.0, 1.9]),
        ("a first loss that is not finite", rates, [INF, 2.5, 2.0, 1.9]),
        ("more rates than losses", rates, losses[:3]),
        ("more losses than rates", rates[:3], losses),
        ("falling rates", rates[::-1], losses),
        ("a rate that occurs twice", [1e-4, 1e-3, 1e-3, 1e-1], losses),
        ("a rate of 0", [0.0, 1e-3, 1e-2, 1e-1], losses),
        ("a negative rate", [-1e-4, 1e-3, 1e-2, 1e-1], losses),
        ("a rate that is NaN", [1e-4, NAN, 1e-2, 1e-1], losses),
        ("an infinite rate", [1e-4, 1e-3, 1e-2, INF], losses),
        ("a rate that falls behind the end of the curve", [1e-4, 1e-3, 1e-2, 1e-3], [3.0, 2.5, 2.0, NAN]),
        ("a rate that is NaN behind the end of the curve", [1e-4, 1e-3, 1e-2, NAN], [3.0, 2.5, 2.0, NAN]),
        ("an infinite rate behind a divergence", [1e-4, 1e-3, 1e-2, INF], [3.0, 2.5, 2.0, 30.0]),
        ("two-dimensional sequences", [rates, rates], [losses, losses]),
    ):
        with raises(ValueError, what=f"lr_range_suggestion with {what}"):
            student.lr_range_suggestion(bad_rates, bad_losses)
    for bad in (
        {"beta": 1.0},
        {"beta": -0.1},
        {"beta": 1.5},
        {"beta": NAN},
        {"divergence": 1.0},
        {"divergence": 0.5},
        {"divergence": -4.0},
        {"divergence": NAN},
    ):
        with raises(ValueError, what=f"lr_range_suggestion with {bad}"):
            student.lr_range_suggestion(rates, losses, **bad)
    for arguments in (
        (0.0, 32, 64, "sgd"),
        (-1e-3, 32, 64, "sgd"),
        (NAN, 32, 64, "adam"),
        (INF, 32, 64, "adam"),
        (1e-3, 0, 64, "sgd"),
        (1e-3, 32, 0, "adam"),
        (1e-3, -32, -64, "sgd"),
        (1e-3, 32, 64, "lion"),
        (1e-3, 32, 64, ""),
    ):
        with raises(ValueError, what=f"scale_lr{arguments}"):
            student.scale_lr(*arguments)


@points(1)
@catches("linear-for-adam", "root-for-sgd", "ratio-upside-down", "whole-ratios-only")
def test_batch_size(student, rng):
    """The rate follows the batch size, in proportion for SGD and with its square root for Adam."""
    for base, new in ((32, 288), (256, 64), (48, 36), (7, 7), (1, 1000), (512, 1)):
        lr = float(rng.uniform(1e-5, 1e-1))
        for optimizer, power in (("sgd", 1.0), ("adam", 0.5)):
            call = f"scale_lr({lr:.6g}, {base}, {new}, {optimizer!r})"
            expected = lr * math.exp(power * (math.log(new) - math.log(base)))
            found = number(student.scale_lr(lr, base, new, optimizer), call)
            assert_close(found, expected, rtol=1e-9, atol=0.0, what=f"result of {call}")


@points(1)
@catches("arguments-changed", "computed-in-float32", "computed-in-the-dtype-given")
def test_random_curves(student, rng):
    """Random curves, as lists and as arrays, give the expected rate and are left as they were."""
    curves = []
    for case in range(8):
        count = int(rng.integers(20, 60))
        options = {"beta": (0.5, 0.0, 0.8, 0.6)[case % 4], "divergence": float(rng.choice([1.5, 3.0, 4.0]))}
        if case == 0:
            options["divergence"] = INF  # all points are used
        while True:
            steps = rng.uniform(0.1, 0.4, count)
            rates = np.exp(-12 + np.cumsum(steps))
            falls = np.array(falling_step(rates, float(np.exp(-12 + steps.sum() * rng.uniform(0.3, 0.7)))))
            losses = (falls + rng.normal(size=count) * 0.05) * np.where(np.arange(count) > count * 0.9, 6.0, 1.0)
            if case % 2:
                rates, losses = rates.astype(np.float32), losses.astype(np.float32)
            if expected_suggestion(rates.tolist(), losses.tolist(), **options)[1] > 1e-4:
                break
        expected, _ = expected_suggestion(rates.tolist(), losses.tolist(), **options)
        told = f"a random curve of {count} points, {losses.dtype}"
        curves.append(curve(rates, losses, told, "", expected, **options))
        curves.append(curve(rates.tolist(), losses.tolist(), told + ", as lists", "", expected, **options))
    rates = np.array([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    losses = 1e6 + np.array([0.0, -0.001, -0.004, -0.0045, -0.005])  # as float32 these are five equal numbers
    curves.append(curve(rates, losses, "losses that differ in the tenth digit", "losses were rounded to float32", 1e-4))
    # float16 holds these losses, near 6 in steps of 1/256, but not their averages
    steps = np.array([1, 2, 2, 3, 4, 5, 6, 6, 7, 6, 7, 8, 8, 6])
    rates, losses = np.geomspace(1e-6, 1e-1, len(steps)), (6 + steps / 256).astype(np.float16)
    cause = "averages were rounded to the dtype of the losses"
    expected, _ = expected_suggestion(rates.tolist(), losses.tolist(), beta=0.9)
    curves.append(curve(rates, losses, "losses in float16", cause, expected, beta=0.9))
    whole = [9, 9, 8, 8, 7, 6, 5, 6]
    rates = log_spaced(-5, -1, len(whole))
    curves.append(curve(rates, whole, "losses that are whole numbers", cause, beta=0.75))
    curves.append(curve(rates, np.array(whole), "losses in an array of integers", cause, beta=0.75))
    check(student, *curves)
    for rates, losses, told, _, _, options in curves:
        if isinstance(losses, np.ndarray):
            _, rates_after, losses_after = student.run(suggestion_and_arguments, rates, losses, options)
            call = f"lr_range_suggestion of {told}"
            assert_unchanged(rates_after, rates, what=f"array lrs ({call})")
            assert_unchanged(losses_after, losses, what=f"array losses ({call})")
