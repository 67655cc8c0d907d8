"""Checks of schedules/reduce_on_plateau.

Metrics and thresholds are dyadic numbers, so that every arrangement of the inequality decides alike. The expected rates
are found by searching the whole sequence for runs of bad calls; the submission counts call by call.
"""

from __future__ import annotations

import math

import numpy as np

from grader.checking import assert_close, assert_equal, catches, points, raises, visible

NAN, INF = math.nan, math.inf


# ---------------------------------------------------------------- what is expected, worked out here


def improvements(metrics, threshold=1e-4, mode="min", threshold_mode="rel"):
    """For each metric whether it improves on the best one before it."""
    sign = -1.0 if mode == "min" else 1.0
    flags, best = [], None
    for metric in metrics:
        if not -INF < metric < INF:
            flags.append(False)
            continue
        scale = 1.0 if threshold_mode == "abs" else best
        flags.append(best is None or sign * (metric - best) > threshold * scale)
        best = metric if flags[-1] else best
    return flags


def expected_rates(metrics, lr, factor=0.1, patience=10, cooldown=0, min_lr=0.0, **comparison):
    """The answers of step: every run of patience + 1 bad calls outside a cooldown ends in a reduction."""
    improved = improvements(metrics, **comparison)
    reductions, counted_from = [], 0
    for call in range(len(metrics)):
        first = call - patience
        if first >= counted_from and not any(improved[first : call + 1]):
            reductions.append(call)
            counted_from = call + 1 + cooldown
    rates = []
    for call in range(len(metrics)):
        if call in reductions:
            lower = max(lr * factor, min_lr)
            lr = lower if lr - lower > 1e-8 else lr
        rates.append(lr)
    return rates


# ---------------------------------------------------------------- what runs in the student's process


def rates_of_step(student, settings, metrics):
    schedule = student.PlateauLR(**settings)
    return [schedule.step(metric) for metric in metrics]


def rates_of_two_schedules(student, settings, metrics):
    """Two schedules side by side, of which the second is told the metrics in reverse."""
    first, second = student.PlateauLR(**settings), student.PlateauLR(**settings)
    pairs = [(first.step(one), second.step(other)) for one, other in zip(metrics, metrics[::-1], strict=True)]
    return [rate for rate, _ in pairs], [rate for _, rate in pairs]


# ---------------------------------------------------------------- comparing


def described(settings):
    return f"PlateauLR({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def assert_rates(rates, expected, settings, metrics, cause=""):
    assert_equal(len(rates), len(expected), what=f"number of answers of {described(settings)}.step")
    for call, (rate, wanted) in enumerate(zip(rates, expected, strict=True)):
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number | np.ndarray):
            raise AssertionError(f"The answer of step should be a number; it is of type {type(rate).__name__}.")
        told = ", ".join(f"{metric:g}" for metric in metrics[: call + 1])
        assert_close(
            float(rate) if np.size(rate) == 1 else rate,
            wanted,
            rtol=1e-9,
            atol=0.0,
            what=f"answer of {described(settings)}.step after the metrics {told}",
            cause=cause,
        )


def check(student, settings, metrics, expected=None, cause=""):
    metrics = [float(metric) for metric in metrics]
    expected = expected_rates(metrics, **settings) if expected is None else expected
    assert_rates(student.run(rates_of_step, settings, metrics), expected, settings, metrics, cause)


# ---------------------------------------------------------------- the checks


@visible
@points(1)
def test_first_steps(student):
    """A rising metric with an absolute threshold, and a cooldown with a floor, give the rates worked out by hand."""
    settings = {"lr": 0.5, "factor": 0.25, "patience": 2, "threshold": 0.125, "mode": "max", "threshold_mode": "abs"}
    metrics = [0.5, 0.75, 0.875, 0.25, 0.5, 0.625, 1.0, 0.5]
    check(student, settings, metrics, [0.5, 0.5, 0.5, 0.5, 0.125, 0.125, 0.125, 0.125])
    settings = {"lr": 0.5, "factor": 0.5, "patience": 0, "threshold": 0.0, "cooldown": 2, "min_lr": 0.1875}
    check(student, settings, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.5, 0.25, 0.25, 0.25, 0.1875, 0.1875])


@points(1)
@catches("factor-of-one-accepted", "floor-above-the-rate-accepted", "nan-settings-accepted", "unknown-mode-accepted")
def test_settings(student):
    """The defaults are as stated, and senseless settings are refused."""
    worse = [1.0] * 12 + [0.5] + [0.75] * 11
    check(student, {"lr": 0.5}, worse, [0.5] * 11 + [0.05] * 12 + [0.005], "the defaults are not as stated")
    small_gains = [1.0] + [1.0 - 2.0**-14] * 11  # 0.6 of the default threshold
    check(student, {"lr": 0.5}, small_gains, [0.5] * 11 + [0.05], "the defaults are not as stated")
    for settings in (
        {"factor": 1.0},
        {"factor": 0.0},
        {"factor": 1.5},
        {"factor": -0.5},
        {"factor": NAN},
        {"patience": -1},
        {"cooldown": -1},
        {"threshold": -0.125},
        {"threshold": NAN},
        {"threshold": INF},
        {"mode": "auto"},
        {"mode": ""},
        {"threshold_mode": "relative"},
        {"threshold_mode": "min"},
        {"min_lr": -0.125},
        {"min_lr": 0.75},
        {"min_lr": NAN},
        {"lr": 0.0},
        {"lr": -0.5},
        {"lr": NAN},
        {"lr": INF},
    ):
        settings = {"lr": 0.5, **settings}
        with raises(ValueError, what=described(settings)):
            student.PlateauLR(**settings)
    settings = {"lr": 0.5, "factor": 0.5, "min_lr": 0.5, "patience": 0, "cooldown": 0, "threshold": 0}
    check(student, settings, [1.0, 1.0, 1.0], [0.5, 0.5, 0.5], "min_lr may equal lr")


@points(2)
@catches(
    "never-reduced",
    "reduced-when-patience-is-reached",
    "count-never-reset-by-improvement",
    "reduced-at-every-call-afterwards",
    "subtracted-instead-of-multiplied",
    "one-lower-rate-only",
    "answer-one-call-late",
    "reduced-on-a-timer",
)
def test_patience(student, rng):
    """The rate falls by the factor when the bad calls in a row exceed the patience, again and again."""
    cause = "patience bad calls in a row are put up with, one more reduces the rate, and the count starts anew"
    for patience in (2, 0, int(rng.integers(4, 7))):
        settings = {"lr": 0.5, "factor": 0.25, "patience": patience, "threshold": 0.0}
        best = float(rng.integers(8, 17)) / 8
        run = patience + 1
        expected = [0.5] * run + [0.125] * run + [0.03125] * run + [0.0078125]
        check(student, settings, [best] * (3 * run + 1), expected, cause)
        check(student, settings, [best + call for call in range(3 * run + 1)], expected, cause)
        if patience:  # an improvement in time, and another
            metrics = [best, *[best + 1] * patience, best - 0.5, *[best] * patience, best - 1, *[best] * run]
            check(student, settings, metrics, [0.5] * (len(metrics) - 1) + [0.125], cause)
        improving = [best + 20 - call for call in range(3 * run + 1)]
        check(student, settings, improving, [0.5] * len(improving), cause)


@points(2)
@catches(
    "previous-metric",
    "best-reset-by-a-reduction",
    "equality-improves",
    "threshold-ignored",
    "relative-taken-as-absolute",
    "absolute-taken-as-relative",
    "mode-ignored",
    "margin-to-the-wrong-side",
    "best-creeps",
)
def test_improvements(student, rng):
    """An improvement beats the best metric by more than the margin, in the direction of `mode`."""
    cause = "the comparison is with the best metric so far and its margin, on the side that mode names"
    base = {"lr": 0.5, "factor": 0.5, "patience": 1}
    top = 8.0 + float(rng.integers(0, 8))
    zigzag = [top, top + 4, top + 3, top + 2, top + 1, top + 0.5, top, top - 4, top - 4]
    check(student, {**base, "threshold": 0.0}, zigzag, cause=cause)
    check(student, {**base, "threshold": 0.0}, [top, top + 2, top + 2, top + 1, top + 1, top + 1, top], cause=cause)
    for threshold_mode, threshold in (("abs", 0.5), ("rel", 0.125)):
        for mode, sign in (("min", -1), ("max", 1)):
            settings = {**base, "threshold": threshold, "mode": mode, "threshold_mode": threshold_mode}
            margin = threshold if threshold_mode == "abs" else threshold * top
            check(student, settings, [top, top + sign * margin, top + sign * margin, top], cause=cause)  # equality
            gains = [top + sign * margin * (1 + 1 / 64), top - sign, top + sign * margin * (1 + 1 / 64)]
            check(student, settings, [top, *gains, top - sign], cause=cause)
            creeping = [top + sign * margin * call / 4 for call in range(10)]
            check(student, settings, creeping, cause=cause)
            check(student, settings, [top, top - sign * margin / 2, top - sign * margin / 2, top], cause=cause)
            for _ in range(2):
                metrics = rng.integers(16, 80, 14) / 8
                check(student, settings, metrics, cause=cause)


@points(1)
@catches("cooldown-ignored", "cooldown-one-too-short", "cooldown-delays-the-best", "cooldown-one-too-long")
def test_cooldown(student, rng):
    """After a reduction, bad calls are not counted for `cooldown` calls, while improvements are still noticed."""
    cause = "the cooldown begins with the call after the reduction; in it no call is counted, but the best still moves"
    best = float(rng.integers(40, 60)) / 4
    for patience, cooldown in ((0, 3), (2, 1), (1, 4), (3, 2)):
        settings = {"lr": 0.5, "factor": 0.5, "patience": patience, "threshold": 0.0, "cooldown": cooldown}
        length = 3 * (patience + cooldown + 2)
        check(student, settings, [best] * length, cause=cause)
        reduced = 1 + patience  # the call of the first reduction
        for better in range(reduced + 1, reduced + cooldown + 2):  # an improvement in the cooldown, and just after it
            metrics = [best] * length
            metrics[better] = best - 4
            metrics[better + 1 :] = [best - 2] * (length - better - 1)
            check(student, settings, metrics, cause=cause)


@points(1)
@catches(
    "floor-ignored", "reduction-refused-at-the-floor", "smallest-change-ignored", "new-rate-compared-with-the-limit"
)
def test_floor_and_smallest_change(student, rng):
    """The rate stops at `min_lr`, and changes of 1e-8 or less are not made."""
    floor = float(rng.uniform(0.03, 0.06))
    settings = {"lr": 0.5, "factor": 0.5, "patience": 0, "threshold": 0.0, "min_lr": floor}
    check(student, settings, [1.0] * 8, cause="a rate that would fall below min_lr becomes min_lr")
    cause = "a reduction by 1e-8 or less leaves the rate as it is"
    check(student, {**settings, "min_lr": 0.5 - 2.0**-28}, [1.0] * 4, [0.5] * 4, cause)
    check(student, {**settings, "lr": 1e-6, "min_lr": 0.0}, [1.0] * 12, cause=cause)
    check(student, {**settings, "lr": 1e-9, "min_lr": 0.0}, [1.0] * 4, [1e-9] * 4, cause)
    check(student, {**settings, "lr": 2e-8, "min_lr": 0.0}, [1.0] * 4, [2e-8] * 4, cause)  # by exactly 1e-8


@points(1)
@catches("nan-becomes-the-best", "nan-not-counted", "infinity-becomes-the-best", "first-metric-blindly-the-best")
def test_metrics_that_are_not_finite(student, rng):
    """A metric that is NaN or infinite is a bad call."""
    cause = "a metric that is not finite never becomes the best one, and counts as a bad call like any other"
    best = float(rng.integers(8, 17)) / 4
    for mode in ("min", "max"):
        settings = {"lr": 0.5, "factor": 0.5, "patience": 1, "threshold": 0.125, "threshold_mode": "abs", "mode": mode}
        for metrics in (
            [NAN, best, best, best, NAN, best],
            [best, NAN, NAN, NAN, best, best],
            [best, NAN, best, best - 0.0625, NAN],
            [INF, -INF, best, best, best],
            [best, -INF, best, best - 1, INF, best - 1, -INF, INF],
            [-INF, best, best + 1, best - 1, best],
        ):
            check(student, settings, metrics, cause=cause)


@points(1)
@catches("state-in-the-class")
def test_random_runs(student, rng):
    """Random metrics with random settings give the expected rates, and two schedules do not disturb each other."""
    for case in range(12):
        settings = {
            "lr": float(rng.uniform(0.1, 1.0)),
            "factor": float(rng.uniform(0.2, 0.8)),
            "patience": int(rng.integers(0, 4)),
            "threshold": float(rng.integers(0, 3)) / 16,
            "mode": ("min", "max")[case % 2],
            "threshold_mode": ("rel", "abs")[case // 2 % 2],
            "cooldown": int(rng.integers(0, 4)),
            "min_lr": float(rng.uniform(0.001, 0.05)),
        }
        trend = np.linspace(40, 16, 30) if settings["mode"] == "min" else np.linspace(16, 40, 30)
        metrics = [float(metric) for metric in np.round(trend + rng.integers(-6, 7, 30)) / 8]
        if case % 3:
            check(student, settings, metrics)
            continue
        first, second = student.run(rates_of_two_schedules, settings, metrics)
        cause = "two schedules share something that each should have for itself"
        assert_rates(first, expected_rates(metrics, **settings), settings, metrics, cause)
        assert_rates(second, expected_rates(metrics[::-1], **settings), settings, metrics[::-1], cause)
