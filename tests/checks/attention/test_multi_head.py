"""Checks of attention/multi_head."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
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


def random_parameters(rng: np.random.Generator, width: int) -> list[np.ndarray]:
    """Wq, Wk, Wv, Wo, bq, bk, bv, bo: no two alike, no bias 0, scores of about 1."""
    matrices = [rng.normal(size=(width, width)) / math.sqrt(width) for _ in range(4)]
    return matrices + [rng.uniform(0.3, 1.0, width) * rng.choice([-1, 1], width) for _ in range(4)]


def attend(student, *arguments) -> tuple[np.ndarray, np.ndarray]:
    result = student.multi_head_self_attention(*arguments)
    if not (
        isinstance(result, (tuple, list)) and len(result) == 2 and all(isinstance(part, np.ndarray) for part in result)
    ):
        raise AssertionError(
            f"The result should be two arrays, (output, weights); it is of type {type(result).__name__}."
        )
    return result[0], result[1]


def attend_by_loops(x, parameters, n_heads, key_mask=None):
    """One head, one query and one key at a time, with the rows of the matrices that belong to the head."""
    Wq, Wk, Wv, Wo, bq, bk, bv, bo = (np.asarray(parameter, dtype=np.float64) for parameter in parameters)
    batch, tokens, width = x.shape
    size = width // n_heads
    output, weights = np.zeros((batch, tokens, width)), np.zeros((batch, n_heads, tokens, tokens))
    for b in range(batch):
        visible_keys = [k for k in range(tokens) if key_mask is None or key_mask[b, k]]
        for q in range(tokens):
            output[b, q] = bo
            for h in range(n_heads):
                rows = range(h * size, (h + 1) * size)
                query = [sum(Wq[row] * x[b, q]) + bq[row] for row in rows]
                scores = {}
                for k in visible_keys:
                    key = [sum(Wk[row] * x[b, k]) + bk[row] for row in rows]
                    scores[k] = sum(left * right for left, right in zip(query, key, strict=True)) / math.sqrt(size)
                total = sum(math.exp(score - max(scores.values())) for score in scores.values())
                for k, score in scores.items():
                    weights[b, h, q, k] = math.exp(score - max(scores.values())) / total
                    for row in rows:
                        output[b, q] += Wo[:, row] * weights[b, h, q, k] * (sum(Wv[row] * x[b, k]) + bv[row])
    return output, weights


LOOSE = {"rtol": 1e-6, "atol": 1e-6}  # single precision costs the checks that are about precision or large numbers
PRECISION = "only the last digits differ; are the parameters, and all steps in between, float64 as well?"


def likely(actual: np.ndarray, expected: np.ndarray, otherwise: str) -> str:
    """The cause to name: rounding where the difference is as small as that of single precision."""
    if actual.shape != expected.shape or actual.dtype.kind != "f":
        return otherwise
    small = np.abs(actual - expected).max() < 1e-5 * np.abs(expected).max()  # False for NaN
    return PRECISION if small else otherwise


def heads_in_words(n_heads: int) -> str:
    return "1 head" if n_heads == 1 else f"{n_heads} heads"


def compare(student, x, parameters, n_heads, key_mask=None, *, case, cause="", tolerance=None):
    output, weights = attend(student, x, *parameters, n_heads, key_mask)
    expected_output, expected_weights = attend_by_loops(x, parameters, n_heads, key_mask)
    for result, expected, name in ((weights, expected_weights, "weight array"), (output, expected_output, "output")):
        assert_close(
            result, expected, **tolerance or {}, what=f"{name} ({case})", cause=likely(result, expected, cause)
        )
    return output, weights


@points(1)
@visible
def test_two_tokens_worked_out_by_hand(student):
    """Two tokens and two heads, worked out by hand, with and without padding."""
    tokens = np.array([[[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]])
    identity, nothing = np.eye(4), np.zeros(4)
    to_output = identity.copy()
    to_output[0, 1] = 1.0
    matrices = (np.sqrt(2) * np.log(2) * identity, identity, 6 * identity, to_output)
    arguments = (tokens, *matrices, nothing, nothing, nothing, np.array([0.0, 0.0, 0.0, -6.0]), 2)
    cases = [
        (
            "no padding",
            {},
            [[[[2 / 3, 1 / 3], [1 / 3, 2 / 3]], [[2 / 3, 1 / 3], [1 / 2, 1 / 2]]]],
            [[[6, 2, 4, 0], [6, 4, 3, 0]]],
        ),
        (
            "the second token is padding",
            {"key_mask": np.array([[True, False]])},
            [[[[1, 0], [1, 0]], [[1, 0], [1, 0]]]],
            [[[6, 0, 6, 0], [6, 0, 6, 0]]],
        ),
    ]
    for name, keywords, expected_weights, expected_output in cases:
        output, weights = student.multi_head_self_attention(*arguments, **keywords)
        assert_close(weights, np.array(expected_weights), rtol=1e-5, atol=1e-8, what=f"weight array ({name})")
        assert_close(output, np.array(expected_output), rtol=1e-5, atol=1e-8, what=f"output ({name})")


def arguments_after_the_call(student, x, parameters, key_mask):
    student.multi_head_self_attention(x, *parameters, 3, key_mask)
    return [x, *parameters, key_mask]


@points(1)
@catches("weights-averaged-over-heads", "input-precision", "single-precision")
def test_shapes_and_float64_whatever_the_input(student, rng):
    """One output a token, one weight for each head, query and key, in float64; the arguments stay as they were."""
    x, parameters = rng.normal(size=(2, 5, 6)), random_parameters(rng, 6)
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    for dtype in (np.float64, np.float32, np.float16, np.int64):
        narrow = rng.integers(-2, 3, size=(2, 5, 6)) if dtype is np.int64 else x.astype(dtype)
        matrices = parameters if dtype is np.int64 else [parameter.astype(dtype) for parameter in parameters]
        output, weights = attend(student, narrow, *matrices, 3, mask)
        case, cause = f"{np.dtype(dtype).name} inputs", "arithmetic in the precision of the inputs, not in float64"
        assert_shape(output, (2, 5, 6), what=f"output ({case})")
        assert_shape(weights, (2, 3, 5, 5), what=f"weight array ({case})")
        assert_dtype(output, np.float64, what=f"output ({case})", cause=cause)
        assert_dtype(weights, np.float64, what=f"weight array ({case})", cause=cause)
        exact = attend(student, narrow.astype(np.float64), *(m.astype(np.float64) for m in matrices), 3, mask)
        assert_close(weights, exact[1], what=f"weight array ({case})", cause=cause)
        assert_close(output, exact[0], what=f"output ({case})", cause=cause)
    # With 15 digits every number of the output notices that x has changed in the tenth; with 7 hardly any does.
    output, nudged = (attend(student, tokens, *parameters, 3, mask)[0] for tokens in (x, x * (1 + 1e-10)))
    if (output == nudged).mean() > 0.5:
        raise AssertionError(
            "The output hardly changes with the tenth digit of x: its numbers carry fewer digits than float64 has. "
            "Which step is computed in another precision?"
        )
    before = [x, *parameters, mask]
    after = student.run(arguments_after_the_call, x, parameters, mask)
    names = ("x", "Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "bo", "key_mask")
    for name, old, new in zip(names, before, after, strict=True):
        assert_unchanged(new, old, what=name)


@points(1)
@catches("in-out-layout", "no-output-projection", "value-bias-left-out")
def test_a_lone_token_is_projected_twice(student, rng):
    """A token with nobody else to attend to goes through the value and the output projection, whatever the heads."""
    for n_heads in (1, 2, 3):
        x, parameters = rng.normal(size=(4, 1, 6)), random_parameters(rng, 6)
        _, _, Wv, Wo, _, _, bv, bo = parameters
        output, weights = attend(student, x, *parameters, n_heads)
        assert_close(
            weights, np.ones((4, n_heads, 1, 1)), **LOOSE, what=f"weight array (one token, {heads_in_words(n_heads)})"
        )
        expected = np.zeros((4, 1, 6))
        for b in range(4):
            value = [sum(Wv[row] * x[b, 0]) + bv[row] for row in range(6)]
            expected[b, 0] = [sum(Wo[row] * value) + bo[row] for row in range(6)]
        cause = "matrices are laid out (out, in), one row an output feature; each of the projections has its bias"
        assert_close(output, expected, **LOOSE, what=f"output (one token, {heads_in_words(n_heads)})", cause=cause)


@points(2)
@catches(
    "reshape-without-transpose",
    "heads-split-without-transpose",
    "heads-interleaved",
    "heads-joined-without-transpose",
    "heads-averaged",
)
def test_heads_are_contiguous_blocks_of_features(student, rng):
    """Head number h works on the h-th block of query, key and value, and its result is the h-th block again."""
    width, n_heads, tokens = 12, 3, 5
    size = width // n_heads
    identity, nothing = np.eye(width), np.zeros(width)
    cause = "the features of a token are split into blocks that follow each other; no number changes its token"
    for h in range(n_heads):
        block = slice(h * size, (h + 1) * size)
        # Queries are 0 outside block h: the other heads have all scores 0 and can only average.
        choose = np.zeros((width, width))
        choose[block, block] = rng.normal(size=(size, size))
        x = rng.normal(size=(2, tokens, width))
        parameters = [choose, identity, identity, identity, nothing, nothing, nothing, nothing]
        output, weights = attend(student, x, *parameters, n_heads)
        assert_shape(weights, (2, n_heads, tokens, tokens), what="weight array")
        for other in range(n_heads):
            if other != h:
                what = f"array of weights of head {other} (only the queries of head {h} are not 0)"
                uniform = np.full((2, tokens, tokens), 1 / tokens)
                assert_close(weights[:, other], uniform, **LOOSE, what=what, cause=cause)
        # With the identity as output projection, block `other` of the output is the average that head `other` takes.
        expected = np.zeros((2, tokens, width))
        for b in range(2):
            for q in range(tokens):
                for feature in range(width):
                    head = feature // size
                    expected[b, q, feature] = sum(weights[b, head, q, k] * x[b, k, feature] for k in range(tokens))
        assert_close(output, expected, **LOOSE, what="output (output projection = identity)", cause=cause)


@points(1)
@catches("unscaled", "scaled-by-model-width")
def test_dot_products_are_divided_by_the_square_root_of_the_head_width(student, rng):
    """Dot products are divided by the square root of the width of one head."""
    for n_heads, width in ((1, 6), (2, 6), (3, 6), (4, 20)):
        # Every query is the same and key k scores `x[k, block]` added up: the weights tell the scale.
        x = rng.normal(size=(1, 4, width)) * 0.5
        matrices = [np.zeros((width, width)), np.eye(width), np.eye(width), np.eye(width)]
        biases = [np.ones(width), np.zeros(width), np.zeros(width), np.zeros(width)]
        _, weights = attend(student, x, *matrices, *biases, n_heads)
        expected = np.zeros((1, n_heads, 4, 4))
        for h in range(n_heads):
            blocks = [x[0, k].tolist()[h * width // n_heads : (h + 1) * width // n_heads] for k in range(4)]
            powers = [math.exp(sum(block) / math.sqrt(width / n_heads)) for block in blocks]
            expected[0, h, :] = [power / sum(powers) for power in powers]
        cause = "the factor of the dot products: count how many products are added up for one score"
        assert_close(
            weights, expected, **LOOSE, what=f"weight array (width {width}, {heads_in_words(n_heads)})", cause=cause
        )


@points(1)
@catches(
    "mask-on-queries",
    "mask-on-queries-and-keys",
    "mask-inverted",
    "mask-after-softmax",
    "mask-of-ten-thousand",
    "query-and-key-bias-left-out",
)
@given(
    shape=st.tuples(st.integers(2, 3), st.integers(4, 5), st.sampled_from([(2, 2), (3, 1), (2, 3)])),
    draw=st.integers(0, 2**32 - 1),
)
def test_padding_is_hidden_as_key_only(student, shape, draw):
    """With random weights, biases and padding all values are right; padding gets no weight but has a row of its own."""
    rng = np.random.default_rng(draw)
    batch, tokens, (n_heads, size) = shape
    x, parameters = rng.normal(size=(batch, tokens, n_heads * size)), random_parameters(rng, n_heads * size)
    case = f"{batch} samples, {tokens} tokens, {heads_in_words(n_heads)} of width {size}"
    if draw % 4 == 0:
        compare(student, x, parameters, n_heads, case=case + ", no mask")
        return
    mask = np.ones((batch, tokens), dtype=bool)
    mask[0, rng.integers(tokens)] = False
    mask[1, rng.permutation(tokens)[: tokens - 2]] = False
    x[~mask] = rng.choice([-1000.0, 1000.0], size=x[~mask].shape)  # what padding says cannot matter to the others
    cause = "`True` marks tokens to attend to; padded keys are left out before the softmax, padded queries are not"
    output, weights = compare(student, x, parameters, n_heads, mask, case=case + ", with padding", cause=cause)
    hidden = weights[np.broadcast_to(~mask[:, None, None, :], weights.shape)]
    assert_close(hidden, np.zeros_like(hidden), rtol=0, atol=0, what=f"weight of padded keys ({case})", cause=cause)


@points(1)
@catches("nan-without-keys", "uniform-without-keys", "padding-among-itself")
def test_a_sample_of_padding_gets_the_output_bias(student, rng):
    """A sample of padding only has weights 0 and the output bias in every row, and disturbs no other sample."""
    x, parameters = rng.normal(size=(3, 5, 4)), random_parameters(rng, 4)
    mask = rng.random((3, 5)) < 0.6
    mask[:, 2] = True
    mask[1] = False
    cause = "a softmax over nothing is 0/0; one number put in place of all scores, or added to them, hides none of them"
    case = "sample 1 is padding only"
    output, weights = compare(student, x, parameters, 2, mask, case=case, cause=cause, tolerance=LOOSE)
    assert_close(weights[1], np.zeros((2, 5, 5)), rtol=0, atol=0, what="weight array of sample 1", cause=cause)
    assert_close(output[1], np.tile(parameters[-1], (5, 1)), **LOOSE, what="output of sample 1", cause=cause)


@points(1)
@catches("overflow")
def test_scores_of_ten_thousand_stay_finite(student, rng):
    """Scores of 10000 and of -10000 give finite and correct results."""
    x, parameters = rng.normal(size=(2, 5, 6)), random_parameters(rng, 6)
    parameters[4] = np.array([4.0, 4.0, 4.0, -4.0, -4.0, -4.0])
    parameters[0] *= 0.3
    expected_output, expected_weights = attend_by_loops(x, parameters, 2)
    # The same vector added to every key adds the same number to all scores of a query, which changes no softmax.
    parameters[5] = parameters[5] + 1200.0
    output, weights = attend(student, x, *parameters, 2)
    cause = "exp(10000) is infinite and exp(-10000) is 0; what can be taken off all scores without changing a softmax?"
    for result, expected, name in ((weights, expected_weights, "weight array"), (output, expected_output, "output")):
        assert_close(result, expected, rtol=1e-7, atol=1e-10, what=name, cause=likely(result, expected, cause))


@points(1)
@catches("mask-of-numbers")
def test_arguments_that_do_not_fit_are_refused(student, rng):
    """Numbers of heads, shapes and masks that do not fit are refused with the announced exceptions."""
    x, parameters = rng.normal(size=(2, 5, 6)), random_parameters(rng, 6)
    for n_heads in (4, 0, -2, 12):
        with raises(ValueError, what=f"a call with n_heads = {n_heads} for a width of 6"):
            student.multi_head_self_attention(x, *parameters, n_heads)
    for shape in ((5, 6), (1, 2, 5, 6)):
        with raises(ValueError, what=f"a call with x of shape {shape}"):
            student.multi_head_self_attention(rng.normal(size=shape), *parameters, 2)
    names = ("Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "bo")
    for position, name in enumerate(names):
        for shape in ((12, 6), (6, 12), (1, 6)) if position < 4 else ((1,), (12,), (5, 6)):
            changed = list(parameters)
            changed[position] = rng.normal(size=shape)
            with raises(ValueError, what=f"a call with {name} of shape {shape} for x of shape (2, 5, 6)"):
                student.multi_head_self_attention(x, *changed, 2)
    for shape in ((5,), (1, 5), (2, 1), (2, 6), (2, 5, 5)):
        with raises(ValueError, what=f"a call with a mask of shape {shape} for x of shape (2, 5, 6)"):
            student.multi_head_self_attention(x, *parameters, 2, np.ones(shape, dtype=bool))
    for mask in (np.ones((2, 5)), np.ones((2, 5), dtype=np.int64), np.where(np.ones((2, 5)), 0.0, -1e9)):
        with raises(TypeError, ValueError, what=f"a call with a mask of dtype {mask.dtype}"):
            student.multi_head_self_attention(x, *parameters, 2, mask)
