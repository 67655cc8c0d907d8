"""Checks of schedules/gradual_unfreezing. Expected rates come from logarithms and from np.interp between corners."""

from __future__ import annotations

import math

import numpy as np

from grader.checking import assert_claims, assert_close, assert_equal, catches, points, raises, visible

CLAIMS = {
    "rate_zero_saves_memory": False,
    "answers_faster": False,
    "first_layers_general": True,
    "probe_first_can_win": True,
    "freezing_stops_statistics": False,
    "optimizer_must_hold_it": True,
    "interpolation_keeps_more": True,
    "factor_compounds": True,
}
NAN, INF = math.nan, math.inf


# ---------------------------------------------------------------- what is expected, worked out here


def expected_lrs(n_groups, top_lr, factor=2.6):
    """From the top down, each a quotient of the one above."""
    rates = [top_lr]
    while len(rates) < n_groups:
        rates.append(rates[-1] / factor)
    return rates[::-1]


def expected_plan(n_groups, epochs):
    """Group by group: the epoch in which it is set free is the number of groups above it."""
    return [[group for group in range(n_groups) if n_groups - 1 - group <= epoch] for epoch in range(epochs)]


def expected_triangle(times, total, lr_max, cut_frac=0.1, ratio=32):
    """Straight lines between three corners; np.interp stays at the last value behind the last corner."""
    cut = math.floor(total * cut_frac)
    corners = [0.0, cut, cut + cut * (1 / cut_frac - 1)]
    return np.interp(times, corners, [lr_max / ratio, lr_max, lr_max / ratio])


def as_numbers(values, what):
    """A list of numbers of the submission; a tuple or an array of one axis passes as well."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise AssertionError(f"The {what} should be a list; it is {type(values).__name__}.")
    for value in values:
        plain = value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            raise AssertionError(f"The {what} should hold numbers; it holds {type(value).__name__}.")
    return [float(value) for value in values]


# ---------------------------------------------------------------- what runs in the student's process


def slanted_triangular_rates(student, times, arguments):
    return [student.slanted_triangular(t, **arguments) for t in times]


def plan_after_clearing_an_epoch(student, n_groups, epochs, cleared):
    """The plan after the list of one epoch was emptied by whoever uses it."""
    plan = student.unfreeze_schedule(n_groups, epochs)
    plan[cleared].clear()
    return [list(groups) for groups in plan]


# ---------------------------------------------------------------- the checks


def assert_triangle(student, times, arguments, expected, cause=""):
    rates = as_numbers(student.run(slanted_triangular_rates, list(times), arguments), "list of rates")
    for t, rate, wanted in zip(times, rates, expected, strict=True):
        what = f"result of slanted_triangular(t={t}) with {arguments}"
        assert_close(rate, wanted, rtol=1e-9, atol=0.0, what=what, cause=cause)


def assert_plan(plan, n_groups, epochs, cause=""):
    what = f"plan of unfreeze_schedule({n_groups}, {epochs})"
    if not isinstance(plan, list | tuple):
        raise AssertionError(f"The {what} should be a list; it is {type(plan).__name__}.")
    found = [as_numbers(groups, f"{what}[{epoch}]") for epoch, groups in enumerate(plan)]
    wanted = [[float(group) for group in groups] for groups in expected_plan(n_groups, epochs)]
    assert_equal(len(found), epochs, what=f"number of epochs in the {what}", cause=cause)
    for epoch, (groups, expected) in enumerate(zip(found, wanted, strict=True)):
        if groups != expected:
            shown = [int(group) if group.is_integer() else group for group in groups]
            wanted_text = [int(group) for group in expected]
            text = f"The {what} trains the groups {shown} in epoch {epoch}; it should be {wanted_text}."
            raise AssertionError(text + (f"\nLikely cause: {cause}" if cause else ""))


@visible
@points(1)
def test_worked_example(student):
    """The rates of three groups, a plan for two groups, and a triangle of nine updates come out."""
    rates = as_numbers(student.discriminative_lrs(3, 0.9, factor=3), "result of discriminative_lrs(3, 0.9, factor=3)")
    assert_close(rates, [0.1, 0.3, 0.9], rtol=1e-9, what="list of discriminative_lrs(3, 0.9, factor=3)")
    assert_plan(student.unfreeze_schedule(2, 3), 2, 3)
    arguments = {"total": 9, "lr_max": 1.0, "cut_frac": 0.25, "ratio": 4}
    expected = [0.25, 0.625, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.25]
    assert_triangle(student, range(10), arguments, expected)


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "one-rate-for-all",
    "largest-at-the-bottom",
    "one-division-too-many",
    "subtracted-from-group-to-group",
    "divided-by-a-multiple",
    "factor-fixed",
)
def test_rates_grow_with_depth(student, rng):
    """The top group has `top_lr`, and each group below has the rate above it divided by `factor`."""
    cause = "index 0 is the bottom and has the smallest rate; one division by factor for each group in between"
    for n_groups, options in ((4, {"factor": 2.0}), (3, {}), (7, {"factor": 1.25}), (1, {}), (2, {"factor": 1e3})):
        top_lr = float(rng.uniform(1e-4, 1e-1))
        call = f"discriminative_lrs({n_groups}, {top_lr:.6g}, {options})"
        rates = as_numbers(student.discriminative_lrs(n_groups, top_lr, **options), f"result of {call}")
        assert_equal(len(rates), n_groups, what=f"number of rates of {call}")
        for group, (rate, wanted) in enumerate(zip(rates, expected_lrs(n_groups, top_lr, **options), strict=True)):
            assert_close(rate, wanted, rtol=1e-9, atol=0.0, what=f"rate of group {group} of {call}", cause=cause)


@points(1)
@catches(
    "unfrozen-from-the-bottom",
    "everything-at-once",
    "one-group-at-a-time",
    "numbers-below-zero",
    "one-epoch-for-each-group",
    "head-alone-for-two-epochs",
    "lists-shared",
    "descending-order",
)
def test_one_group_more_in_each_epoch(student):
    """Epoch 0 trains the top, each further epoch one group more from the top down, until all are trained."""
    cause = "epoch e trains the e + 1 groups at the top, and never more than there are"
    for n_groups, epochs in ((4, 4), (3, 6), (5, 2), (1, 3), (6, 1), (4, 0)):
        assert_plan(student.unfreeze_schedule(n_groups, epochs), n_groups, epochs, cause)
    for n_groups, epochs, cleared in ((3, 6, 4), (3, 6, 2), (2, 3, 0)):
        plan = student.run(plan_after_clearing_an_epoch, n_groups, epochs, cleared)
        wanted = expected_plan(n_groups, epochs)
        wanted[cleared] = []
        if [[int(group) for group in groups] for groups in plan] != wanted:
            raise AssertionError(
                f"Emptying the list of epoch {cleared} in the plan of unfreeze_schedule({n_groups}, {epochs}) changed "
                f"other epochs too: {plan}. Each epoch needs a list of its own."
            )


@points(1)
@catches("no-climb", "peak-one-early", "climb-from-zero", "lowest-rate-subtracted", "ratio-fixed")
def test_climb(student, rng):
    """The rate climbs from `lr_max / ratio` on a straight line and is highest at update `cut`."""
    cause = "lr_max / ratio at update 0, lr_max at update floor(total * cut_frac), a straight line in between"
    for total, options in ((40, {"cut_frac": 0.25, "ratio": 8}), (128, {"cut_frac": 0.125}), (100, {})):
        cut = math.floor(total * options.get("cut_frac", 0.1))
        arguments = {"total": total, "lr_max": float(rng.uniform(1e-3, 1.0)), **options}
        times = [0, 1, cut // 2, cut - 1, cut, cut + 1]
        assert_triangle(student, times, arguments, expected_triangle(times, **arguments), cause)


@points(1)
@catches("negative-at-the-end", "falls-to-the-last-update", "cut-rounded", "cut-rounded-up", "falls-to-zero")
def test_fall(student, rng):
    """The rate falls on a straight line to `lr_max / ratio` and stays there, however the lengths divide."""
    cause = "the fall takes cut * (1 / cut_frac - 1) updates; behind it the rate stays at lr_max / ratio"
    for total, options in (
        (40, {"cut_frac": 0.25, "ratio": 8}),
        (15, {}),
        (39, {}),
        (27, {"cut_frac": 0.375, "ratio": 5.5}),
        (31, {"cut_frac": 0.75, "ratio": 16}),
        (1001, {"cut_frac": 0.03125}),
    ):
        arguments = {"total": total, "lr_max": float(rng.uniform(1e-3, 1.0)), **options}
        times = range(total + 1) if total < 100 else [0, 31, 32, 500, 961, 992, 993, 1000, 1001]
        assert_triangle(student, times, arguments, expected_triangle(times, **arguments), cause)


@points(1)
@catches("share-of-one-accepted", "short-training-accepted", "updates-out-of-range", "nan-accepted", "factor-below-one")
def test_arguments_out_of_range_are_refused(student):
    """Arguments out of range are refused in all three functions, and those at the limits are not."""
    good = {"t": 3, "total": 20, "lr_max": 0.5, "cut_frac": 0.25, "ratio": 8}
    for bad in (
        {"cut_frac": 0.0},
        {"cut_frac": 1.0},
        {"cut_frac": 1.5},
        {"cut_frac": -0.25},
        {"cut_frac": NAN},
        {"total": 3},  # 0.75 updates of climb
        {"t": 0, "total": 0},
        {"t": 21},
        {"t": -1},
        {"ratio": 1},
        {"ratio": 0.5},
        {"ratio": -2},
        {"ratio": NAN},
        {"ratio": INF},
        {"lr_max": 0.0},
        {"lr_max": -0.5},
        {"lr_max": NAN},
        {"lr_max": INF},
    ):
        for t in (3, 18):  # in the climb and in the fall
            arguments = {**good, "t": t, **bad} if "total" not in bad else {**good, **bad}
            with raises(ValueError, what=f"slanted_triangular with {arguments}"):
                student.slanted_triangular(**arguments)
    for arguments in ((0, 0.5), (-2, 0.5), (3, 0.0), (3, -0.5), (3, NAN), (3, INF)):
        with raises(ValueError, what=f"discriminative_lrs{arguments}"):
            student.discriminative_lrs(*arguments)
    for factor in (1.0, 0.5, 0.0, -2.0, NAN, INF):
        for n_groups in (3, 1):
            with raises(ValueError, what=f"discriminative_lrs({n_groups}, 0.5, factor={factor})"):
                student.discriminative_lrs(n_groups, 0.5, factor=factor)
    for arguments in ((0, 3), (-1, 3), (3, -1), (0, 0)):
        with raises(ValueError, what=f"unfreeze_schedule{arguments}"):
            student.unfreeze_schedule(*arguments)
    arguments = {"total": 4, "lr_max": 0.5, "cut_frac": 0.25, "ratio": 2}  # the shortest training: a climb of 1 update
    assert_triangle(student, range(5), arguments, expected_triangle(range(5), **arguments))


@points(1)
@catches("length-of-the-fall-rounded")
def test_shapes_that_hold_for_all_arguments(student, rng):
    """Random triangles touch their highest and lowest rate and never leave the range between them."""
    for _ in range(10):
        cut_frac, total = float(rng.uniform(0.05, 0.9)), int(rng.integers(40, 200))
        if abs(total * cut_frac - round(total * cut_frac)) < 1e-6:
            continue
        ratio, lr_max = float(rng.uniform(1.5, 40)), float(rng.uniform(1e-5, 1.0))
        arguments = {"total": total, "lr_max": lr_max, "cut_frac": cut_frac, "ratio": ratio}
        rates = as_numbers(student.run(slanted_triangular_rates, list(range(total + 1)), arguments), "list of rates")
        called = f"slanted_triangular with {arguments}"
        assert_close(max(rates), lr_max, rtol=1e-9, what=f"highest rate of {called}")
        assert_close(min(rates), lr_max / ratio, rtol=1e-9, what=f"lowest rate of {called}")
        assert_equal(
            rates.index(max(rates)), math.floor(total * cut_frac), what=f"update of the highest rate, {called}"
        )
        assert_close(
            rates, expected_triangle(range(total + 1), **arguments), rtol=1e-9, what=f"list of rates, {called}"
        )
