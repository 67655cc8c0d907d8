"""Hidden checks of adversarial/worst_case. Expected values come from trying the corners of the ball, or from loops."""

import math
from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "noise_on_average": False,
    "one_step_is_exact": True,
    "largest_weight": False,
    "raises_both": False,
    "fresh_examples": False,
    "cost_of_steps": True,
    "through_embeddings": True,
    "second_network": False,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
NORMS = ("linf", "l2", "l1")

# likely causes
SIGN = "the direction that hurts depends on the label: what lowers the margin of one class raises that of the other"
BALL = "in this ball every feature may use the whole eps, whatever the others do"
ROUND = "the ball is round: the step has length eps, and goes straight along the weights or against them"
SHARED = "in this ball the features share one eps, so it goes where it has the largest effect"
TINY = "the direction of w does not depend on how small it is: nothing may be added to its length before dividing"


def lowest(values):
    """The index of the smallest of some numbers."""
    return min(range(len(values)), key=values.__getitem__)


def worst_corner(w, y, eps, norm):
    """Try all corners of the ball ("linf", "l1"): the one with the smallest margin; no weight may be zero."""
    if norm == "linf":
        corners = [[eps * sign for sign in signs] for signs in product([-1, 1], repeat=len(w))]
    else:
        corners = [[eps * sign * (i == j) for j in range(len(w))] for i in range(len(w)) for sign in (-1, 1)]
    change = [y * math.fsum(a * d for a, d in zip(w, corner, strict=True)) for corner in corners]
    return np.array(corners[lowest(change)], dtype=np.float64)


def along_the_weights(w, y, eps):
    """The step of length eps against y times w ("l2")."""
    length = math.sqrt(math.fsum(float(value) ** 2 for value in w))
    return np.array([-y * eps * float(value) / length for value in w])


def worst(w, y, eps, norm):
    return along_the_weights(w, y, eps) if norm == "l2" else worst_corner(w, y, eps, norm)


def length_of(delta, norm):
    if norm == "linf":
        return max(abs(float(value)) for value in delta)
    if norm == "l2":
        return math.sqrt(math.fsum(float(value) ** 2 for value in delta))
    return math.fsum(abs(float(value)) for value in delta)


def weights(rng, width):
    """Weights of clearly different sizes and of both signs, in random order."""
    signs = np.array([1, -1] * width)[:width]
    return rng.permutation(signs * rng.permutation(np.linspace(0.3, 2.7, width)) * rng.uniform(0.9, 1.1, width))


def shown(values):
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


def assert_perturbation(student, w, y, eps, norm, expected, cause, case=""):
    """Call `worst_case_perturbation` and compare with the expected delta."""
    told = case or f"w = {shown(w)}"
    delta = student.worst_case_perturbation(w, y, eps, norm)
    what = f"delta of worst_case_perturbation(w, y={y}, eps={eps:.4g}, norm={norm!r}) for {told}"
    assert_shape(delta, expected.shape, what=what)
    assert_close(delta, expected, rtol=1e-9, atol=1e-12, what=what, cause=cause)


@points(1)
@visible
def test_worked_example(student):
    """The small example of the notebook comes out as worked by hand."""
    w, x = [0, 3, -4], [1, -2, 1]
    for norm, expected in (("linf", [0, 0.5, -0.5]), ("l2", [0, 0.3, -0.4]), ("l1", [0, 0, -0.5])):
        delta = student.worst_case_perturbation(w, -1, 0.5, norm)
        what = f"delta of worst_case_perturbation({w}, -1, 0.5, {norm!r})"
        assert_close(delta, np.array(expected), rtol=1e-5, atol=1e-8, what=what)
    for norm, expected in (("linf", 5), ("l2", 6), ("l1", 6.5)):
        margin = student.worst_case_margin(w, 1.5, x, -1, 0.5, norm)
        what = f"result of worst_case_margin({w}, 1.5, {x}, -1, 0.5, {norm!r})"
        assert_close(margin, float(expected), rtol=1e-5, atol=1e-8, what=what)


@points(3)
@catches("claims-as-published", "claims-about-attacks-wrong")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "random-noise",
    "random-signs",
    "sign-flipped",
    "label-ignored",
    "weights-in-place-of-signs",
    "linf-step-along-the-weights",
    "linf-step-shared-out",
)
def test_largest_entry_is_bounded(student, rng):
    """With "linf" no perturbation in the ball does more harm, for either label and any number of features."""
    for width in (7, 4, 1):
        w = weights(rng, width)
        for y in (1, -1):
            eps = float(rng.uniform(0.2, 0.8))
            assert_perturbation(
                student, w, y, eps, "linf", worst_corner(w, y, eps, "linf"), SIGN if width == 1 else BALL
            )
    w = weights(rng, 6)
    holes = [1, 4]
    expected = np.insert(worst_corner(w, -1, 0.3, "linf"), holes, 0.0)
    cause = "a feature with weight 0 is left alone"
    assert_perturbation(student, np.insert(w, holes, 0.0), -1, 0.3, "linf", expected, cause)


@points(1)
@catches("l2-divided-by-the-square", "epsilon-in-the-denominator", "l2-unnormalised", "nan-for-zero-weights")
def test_euclidean_length_is_bounded(student, rng):
    """With "l2" no perturbation in the ball does more harm, however small or large the weights are."""
    for width in (7, 4, 1):
        w = weights(rng, width)
        for y in (1, -1):
            eps = float(rng.uniform(0.2, 0.8))
            assert_perturbation(student, w, y, eps, "l2", along_the_weights(w, y, eps), ROUND)
    direction = weights(rng, 5)
    for size in (1e-7, 1e-13, 1e-100, 1e100):
        expected = along_the_weights(direction, 1, 0.4)
        assert_perturbation(student, direction * size, 1, 0.4, "l2", expected, TINY, f"weights of about {size:g}")
    expected = np.zeros(4)
    cause = "weights of zero have no direction"
    assert_perturbation(student, np.zeros(4), 1, 0.5, "l2", expected, cause)


@points(1)
@catches("l1-spread-over-all", "l1-largest-signed-weight", "l1-shared-among-equals", "l1-last-of-equals")
@given(draw=st.integers(0, 2**32 - 1), y=st.sampled_from([-1, 1]), width=st.sampled_from([5, 8, 1, 3]))
def test_sum_of_sizes_is_bounded(student, draw, y, width):
    """With "l1" no perturbation in the ball does more harm, and of equally good ones it is the promised one."""
    rng = np.random.default_rng(draw)
    w = weights(rng, width)
    w[np.argmax(np.abs(w))] *= 1 if draw % 3 == 0 else -1.0  # of either sign
    eps = float(rng.uniform(0.2, 0.8))
    assert_perturbation(student, w, y, eps, "l1", worst_corner(w, y, eps, "l1"), SHARED)
    # the largest weight once more, with the other sign, further back and between: the first one takes all
    largest = float(w[np.argmax(np.abs(w))])
    tied = np.concatenate([w, [-largest], w[:1] / 2, [largest]])
    expected = np.concatenate([worst_corner(w, y, eps, "l1"), np.zeros(3)])
    cause = "several features have the same effect: the one with the lowest index takes all of eps"
    assert_perturbation(student, tied, y, eps, "l1", expected, cause)


@points(1)
@catches(
    "clean-margin",
    "same-norm-in-place-of-the-dual",
    "bias-without-label",
    "bias-forgotten",
    "geometric-margin",
    "never-below-zero",
    "margin-raised",
)
def test_the_smallest_margin_in_the_ball(student, rng):
    """The worst-case margin is the smallest over the ball, and falls in proportion to eps, below zero if need be."""
    for norm in NORMS:
        for width, y in ((6, 1), (5, -1)):
            w, x, b = weights(rng, width), rng.normal(size=width), float(rng.uniform(0.4, 0.9))
            x += y * w * (1.5 - y * (w @ x + b)) / (w @ w)  # the clean margin is 1.5
            for eps in (0.0, 0.1, 0.35, 4.0):
                moved = x + worst(w, y, eps, norm)
                expected = y * (math.fsum(a * v for a, v in zip(w, moved, strict=True)) + b)
                margin = student.worst_case_margin(w, b, x, y, eps, norm)
                what = (
                    f"result of worst_case_margin(w, b={b:.4g}, x, y={y}, eps={eps}, norm={norm!r}) "
                    f"for w = {shown(w)}, clean margin 1.5,"
                )
                assert_close(margin, expected, **CLOSE, what=what, cause="the margin at x plus the worst delta")


def arguments_after_the_calls(student, w, x):
    for norm in ("linf", "l2", "l1"):
        student.worst_case_perturbation(w, -1, 0.25, norm)
        student.worst_case_margin(w, 0.5, x, -1, 0.25, norm)
    return w, x


@points(1)
@catches("integer-delta", "half-precision", "changed-in-place")
def test_types_zeros_and_arguments(student, rng):
    """Everything is float64 whatever comes in, zeros give zeros, nothing in the ball does worse, arguments stay."""
    integers = np.array([-3, 0, 2, 5, -1])
    halves = (weights(rng, 6) * 300).astype(np.float16)
    singles = weights(rng, 6).astype(np.float32)
    for w in (integers, halves, singles, integers.tolist(), integers.astype(np.int8) * 20):
        plain = np.asarray(w, dtype=np.float64)
        kind = "a list" if isinstance(w, list) else f"an array of {w.dtype}"
        for norm in NORMS:
            nonzero = np.flatnonzero(plain)
            expected = np.zeros(plain.shape)
            expected[nonzero] = worst(plain[nonzero].tolist(), 1, 0.3, norm)
            told = f"{kind}, w = {shown(plain)}"
            cause = "turn the weights into float64 before anything is computed from them"
            assert_perturbation(student, w, 1, 0.3, norm, expected, cause, told)
            delta = student.worst_case_perturbation(w, 1, 0.3, norm)
            assert_dtype(delta, np.float64, what=f"delta for {kind} and norm {norm!r}", cause=cause)
        margin = student.worst_case_margin(w, 0, np.round(plain).astype(np.int64), 1, 0, "linf")
        expected = math.fsum(float(a) * round(float(a)) for a in plain)
        assert_close(margin, expected, **CLOSE, what=f"worst-case margin at eps=0 for {kind} and integers x")

    for norm in NORMS:
        for told, w, eps in (("zero weights", np.zeros(5), 0.5), ("eps=0", weights(rng, 5), 0)):
            cause = "nothing can be won or nothing may move: delta is zero, and no NaN"
            assert_perturbation(student, w, -1, eps, norm, np.zeros(5), cause, told)
            x, b = rng.normal(size=5), 0.7
            clean = -(math.fsum(a * v for a, v in zip(w, x, strict=True)) + b)
            margin = student.worst_case_margin(w, b, x, -1, eps, norm)
            assert_close(margin, clean, **CLOSE, what=f"worst-case margin for {told} and norm {norm!r}", cause=cause)

        # the promise itself: the length fits, and none of many other perturbations does more harm
        w = weights(rng, 6)
        delta = student.worst_case_perturbation(w, -1, 0.4, norm)
        assert_close(length_of(delta, norm), 0.4, **CLOSE, what=f"length of delta in the norm {norm!r} for eps=0.4")
        for other in rng.normal(size=(40, 6)):
            other *= 0.4 / length_of(other, norm)
            if -(w @ other) < -(w @ delta) - 1e-9:
                raise AssertionError(
                    f"For norm {norm!r} another perturbation of the same length lowers the margin more."
                )

    w, x = weights(rng, 4), rng.normal(size=4)
    w_after, x_after = student.run(arguments_after_the_calls, w.copy(), x.copy())
    assert_unchanged(w_after, w, what="w array")
    assert_unchanged(x_after, x, what="x array")


@points(1)
@catches("labels-of-0-and-1", "negative-radius", "nan-radius", "unknown-norm-is-l1", "one-number-for-all-features")
def test_bad_input_is_refused(student, rng):
    """A radius, a label, a norm or a shape that makes no sense raises ValueError."""
    w, x = weights(rng, 4), rng.normal(size=4)
    nan, inf = float("nan"), float("inf")
    for y, eps, norm in (
        (0, 0.1, "linf"),
        (2, 0.1, "l2"),
        (-0.5, 0.1, "l1"),
        (nan, 0.1, "linf"),
        (1, -0.1, "linf"),
        (-1, -0.1, "l2"),
        (1, nan, "l1"),
        (1, inf, "l2"),
        (1, 0.1, "l3"),
        (1, 0.1, "L2"),
        (1, 0.1, 2),
        (1, 0.1, ""),
        (1, 0.0, "max"),
    ):
        with raises(ValueError, what=f"worst_case_perturbation(w, y={y}, eps={eps}, norm={norm!r})"):
            student.worst_case_perturbation(w, y, eps, norm)
        with raises(ValueError, what=f"worst_case_margin(w, 0.5, x, y={y}, eps={eps}, norm={norm!r})"):
            student.worst_case_margin(w, 0.5, x, y, eps, norm)
    for norm in NORMS:
        for bad in (w[None], w[:, None], np.float64(2.0), w[:0]):
            told = f"w of shape {np.shape(bad)}"
            with raises(ValueError, what=f"worst_case_perturbation with {told}, norm={norm!r}"):
                student.worst_case_perturbation(bad, 1, 0.1, norm)
            with raises(ValueError, what=f"worst_case_margin with {told} and x of the same shape, norm={norm!r}"):
                student.worst_case_margin(bad, 0.5, bad, 1, 0.1, norm)
        for bad in (x[:3], x[:1], np.append(x, 1.0), x[None], x[:, None], np.float64(2.0), x[:0]):
            with raises(ValueError, what=f"worst_case_margin with w (4,) and x {np.shape(bad)}, norm={norm!r}"):
                student.worst_case_margin(w, 0.5, bad, 1, 0.1, norm)
