"""Checks of attention/feed_forward."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

ONE, ZERO = np.ones((1, 1)), np.zeros(1)


def relu(z: float) -> float:
    return z if z > 0 else 0.0


def gelu(z: float) -> float:
    return z * NormalDist().cdf(z)


def gelu_tanh(z: float) -> float:
    # (1 + tanh(a)) / 2 is the logistic function of 2a
    return z * logistic(2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z))


def logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > 0 else 1 - 1 / (1 + math.exp(z))


ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh}


def random_parameters(rng: np.random.Generator, width: int, hidden: int) -> list[np.ndarray]:
    """W1, b1, W2, b2, W3, b3: no two alike, no bias near 0."""
    shapes = [(width, hidden), (hidden,), (hidden, width), (width,), (width, hidden), (hidden,)]
    return [
        rng.normal(size=shape) if len(shape) == 2 else rng.uniform(0.3, 1, shape) * rng.choice([-1, 1], shape)
        for shape in shapes
    ]


def by_loops(token, W1, b1, W2, b2, activation, W3=None, b3=None):
    """The layer for one token, one hidden unit and one output feature at a time."""
    width, hidden = W1.shape
    inner = []
    for unit in range(hidden):
        z = math.fsum(float(token[i]) * float(W1[i, unit]) for i in range(width)) + float(b1[unit])
        if activation == "swiglu":
            other = math.fsum(float(token[i]) * float(W3[i, unit]) for i in range(width))
            inner.append(z * logistic(z) * (other + (0.0 if b3 is None else float(b3[unit]))))
        else:
            inner.append(ACTIVATIONS[activation](z))
    return np.array([math.fsum(inner[j] * float(W2[j, o]) for j in range(hidden)) + float(b2[o]) for o in range(width)])


def curve(student, values, activation):
    """The activation itself: a layer of one feature, weight 1 and no bias."""
    if activation == "default":
        return student.feed_forward(values[:, None], ONE, ZERO, ONE, ZERO)
    return student.feed_forward(values[:, None], ONE, ZERO, ONE, ZERO, activation)


@points(1)
@visible
def test_small_layers_worked_out_by_hand(student):
    """A layer with ReLU worked out by hand, and the other activations at z = 1."""
    tokens = np.array([[1.0, 2.0], [3.0, 0.0]])
    first, second = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, 2.0]]), np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 1.0]])
    biases = np.array([0.0, 0.0, -1.0]), np.array([10.0, 20.0])
    close = {"rtol": 1e-5, "atol": 1e-8}
    output = student.feed_forward(tokens, first, biases[0], second, biases[1], activation="relu")
    assert_close(output, np.array([[13.0, 24.0], [13.0, 20.0]]), **close, what="output with relu")
    for name, keywords, expected in (
        ("gelu", {}, 0.841344746),
        ("gelu_tanh", {"activation": "gelu_tanh"}, 0.841191990),
        ("swiglu", {"activation": "swiglu", "W3": np.full((1, 1), 2.0)}, 1.462117157),
    ):
        output = student.feed_forward(np.ones(1), ONE, ZERO, ONE, ZERO, **keywords)
        assert_close(output, np.array([expected]), **close, what=f"output with {name}")


def arguments_after_the_call(student, *arguments):
    x, W1, b1, W2, b2, W3, b3 = arguments
    student.feed_forward(x, W1, b1, W2, b2, "swiglu", W3, b3)
    for activation in ("relu", "gelu", "gelu_tanh"):
        student.feed_forward(x, W1, b1, W2, b2, activation)
    return list(arguments)


@points(1)
@catches("input-precision")
def test_the_output_has_the_shape_of_the_tokens(student, rng):
    """The output has the shape of x whatever its axes, in float64, and the arguments stay as they were."""
    W1, b1, W2, b2, W3, b3 = random_parameters(rng, 4, 7)
    for leading in ((), (3,), (2, 3), (2, 1, 3)):
        for activation, more in (("relu", ()), ("gelu", ()), ("gelu_tanh", ()), ("swiglu", (W3, b3))):
            output = student.feed_forward(rng.normal(size=(*leading, 4)), W1, b1, W2, b2, activation, *more)
            what = f"output with {activation} for x of shape {(*leading, 4)}"
            assert_shape(output, (*leading, 4), what=what)
            assert_dtype(output, np.float64, what=what)
    x = rng.normal(size=(3, 4))
    for dtype in (np.float32, np.float16, np.int64):
        narrow = [(array if dtype is not np.int64 else 4 * array).astype(dtype) for array in (x, W1, b1, W2, b2)]
        output = student.feed_forward(*narrow)
        expected = np.array([by_loops(token, *narrow[1:], "gelu") for token in narrow[0]])
        what, cause = f"output for {np.dtype(dtype).name} inputs", "arithmetic in the precision of the inputs"
        assert_dtype(output, np.float64, what=what, cause=cause)
        assert_close(output, expected, what=what, cause=cause)
    before = (x, W1, b1, W2, b2, W3, b3)
    after = student.run(arguments_after_the_call, *before)
    for name, old, new in zip(("x", "W1", "b1", "W2", "b2", "W3", "b3"), before, after, strict=True):
        assert_unchanged(new, old, what=name)


@points(2)
@catches("relu-for-gelu", "tanh-for-gelu", "quick-gelu")
def test_the_default_is_exact_gelu(student, rng):
    """Without a name the activation is the exact GELU, z times Φ(z)."""
    # 2.7 is where the approximation by tanh is furthest off (4.7e-4)
    values = np.concatenate([[-2.7, 2.7, 0.0], rng.uniform(-5, 5, size=8)])
    expected = np.array([[gelu(float(value))] for value in values])
    cause = "an approximation, or another activation: BERT's uses the normal distribution function itself"
    for activation in ("gelu", "default"):
        output = curve(student, values, activation)
        assert_close(output, expected, what=f"{activation} activation at {np.round(values, 3)}", cause=cause)


@points(1)
@catches("exact-for-gelu-tanh")
def test_relu_and_gelu_by_tanh_are_those_asked_for(student, rng):
    """ReLU and the approximation of GELU are given when they are asked for by name."""
    values = np.concatenate([[-2.7, 2.7, 0.0], rng.uniform(-5, 5, size=8)])
    for activation in ("relu", "gelu_tanh"):
        expected = np.array([[ACTIVATIONS[activation](float(value))] for value in values])
        output = curve(student, values, activation)
        assert_close(output, expected, what=f"{activation} activation at {np.round(values, 3)}")


@points(1)
@catches("activation-after-the-second-map", "first-bias-left-out", "second-bias-left-out")
@settings(max_examples=8)
@given(
    sizes=st.permutations([2, 3, 4, 5]),
    activation=st.sampled_from(["relu", "gelu", "gelu_tanh"]),
    draw=st.integers(0, 2**32 - 1),
)
def test_bias_and_activation_stand_between_the_two_maps(student, sizes, activation, draw):
    """First map, bias, activation, second map, bias: all values are right with random weights and biases."""
    batch, tokens, width, hidden = sizes
    rng = np.random.default_rng(draw)
    x, parameters = rng.normal(size=(batch, tokens, width)), random_parameters(rng, width, hidden)[:4]
    output = student.feed_forward(x, *parameters, activation)
    expected = np.array([[by_loops(token, *parameters, activation) for token in sample] for sample in x])
    what = f"output with {activation} (batch {batch}, {tokens} tokens, width {width}, hidden width {hidden})"
    assert_close(output, expected, what=what, cause="a bias, or the place of the activation")


@points(1)
@catches("silu-on-the-wrong-branch", "sigmoid-gate", "third-bias-left-out")
def test_swiglu_opens_and_closes_one_branch_with_the_other(student, rng):
    """In the gated layer, SiLU of the branch of W1 multiplies the branch of W3, which has a bias or none."""
    W1, b1, W2, b2, W3, b3 = random_parameters(rng, 4, 6)
    x = rng.normal(size=(3, 5, 4))
    for bias in (b3, None):
        output = student.feed_forward(x, W1, b1, W2, b2, "swiglu", W3, bias)
        expected = np.array([[by_loops(token, W1, b1, W2, b2, "swiglu", W3, bias) for token in row] for row in x])
        case = "without b3" if bias is None else "with b3"
        cause = "which of the two branches goes through SiLU, and which function SiLU is"
        assert_close(output, expected, what=f"output with swiglu {case}", cause=cause)


@points(1)
@catches("tokens-flattened", "tokens-pooled")
def test_every_token_is_processed_by_itself(student, rng):
    """A token gives the same result alone, in its sentence, and in a batch of sentences in any order."""
    W1, b1, W2, b2, W3, b3 = random_parameters(rng, 3, 5)
    x = rng.normal(size=(4, 2, 3))
    for activation, more in (("relu", ()), ("gelu", ()), ("gelu_tanh", ()), ("swiglu", (W3, b3))):
        together = student.feed_forward(x, W1, b1, W2, b2, activation, *more)
        alone = [[student.feed_forward(token, W1, b1, W2, b2, activation, *more) for token in row] for row in x]
        cause = "something mixes tokens; only the last axis, the features of one token, may be summed over"
        what = f"output with {activation} for a whole batch, compared with one token at a time,"
        assert_close(together, np.array(alone), what=what, cause=cause)
        backwards = student.feed_forward(x[::-1, ::-1], W1, b1, W2, b2, activation, *more)
        what = f"output with {activation} for sentences and tokens in reverse order"
        assert_close(backwards[::-1, ::-1], together, what=what, cause=cause)


@points(1)
@catches("silu-overflow")
def test_large_values_stay_finite(student, rng):
    """Entries of z as large as 10000, of either sign, give finite and correct results."""
    values = np.concatenate([[-10000.0, 10000.0], rng.uniform(-9000, -100, 2), rng.uniform(100, 9000, 2)])
    for activation in ("relu", "gelu", "gelu_tanh", "swiglu"):
        more = (0 * ONE, np.full(1, 3.0)) if activation == "swiglu" else ()
        output = student.feed_forward(values[:, None], ONE, ZERO, ONE, ZERO, activation, *more)
        # far from 0 each of them is z on the right and 0 on the left
        expected = np.array([[max(value, 0.0) * (3 if more else 1)] for value in values.tolist()])
        cause = "exp(10000) is infinite, and inf / inf is not a number"
        assert_close(output, expected, what=f"{activation} at {np.round(values)}", cause=cause)


@points(1)
@catches("third-matrix-ignored")
def test_arguments_that_do_not_fit_are_refused(student, rng):
    """Shapes, names and combinations of arguments that do not fit raise ValueError."""
    x, (W1, b1, W2, b2, W3, b3) = rng.normal(size=(3, 4)), random_parameters(rng, 4, 6)
    for activation in ("silu", "GELU", "", "linear"):
        with raises(ValueError, what=f"a call with the activation {activation!r}"):
            student.feed_forward(x, W1, b1, W2, b2, activation)
    for activation in ("relu", "gelu", "gelu_tanh"):
        for name, more in (("W3", (W3,)), ("b3", (None, b3)), ("W3 and b3", (W3, b3))):
            with raises(ValueError, what=f"a call with {name} and the activation {activation!r}"):
                student.feed_forward(x, W1, b1, W2, b2, activation, *more)
    for name, more in (("neither W3 nor b3", ()), ("b3 but no W3", (None, b3))):
        with raises(ValueError, what=f"a call with swiglu and {name}"):
            student.feed_forward(x, W1, b1, W2, b2, "swiglu", *more)
    wrong_shapes = {
        "x": [(), (3, 5), (4, 1)],
        "W1": [(4,), (6, 4), (1, 6), (2, 4, 6)],
        "b1": [(1,), (5,), (3, 6)],
        "W2": [(6,), (4, 6), (6, 1), (6, 5)],
        "b2": [(1,), (5,), (3, 4)],
        "W3": [(4,), (6, 4), (4, 1), (1, 6)],
        "b3": [(1,), (5,), (3, 6)],
    }
    right = {"x": x, "W1": W1, "b1": b1, "W2": W2, "b2": b2, "W3": W3, "b3": b3}
    for name, shapes in wrong_shapes.items():
        for shape in shapes:
            changed = right | {name: np.array(rng.normal(size=shape))}
            arguments = [changed[key] for key in ("x", "W1", "b1", "W2", "b2")]
            with raises(ValueError, what=f"a call with {name} of shape {shape}, the others for width 4 and hidden 6"):
                student.feed_forward(*arguments, "swiglu", changed["W3"], changed["b3"])
            if name not in ("W3", "b3"):
                with raises(ValueError, what=f"a call with gelu and {name} of shape {shape}"):
                    student.feed_forward(*arguments)
