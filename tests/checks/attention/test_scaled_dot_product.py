"""Checks of attention/scaled_dot_product."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

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


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def attend(student, *arguments, **keywords) -> tuple[Tensor, Tensor]:
    result = student.scaled_dot_product_attention(*arguments, **keywords)
    if not (
        isinstance(result, (tuple, list)) and len(result) == 2 and all(isinstance(part, Tensor) for part in result)
    ):
        raise AssertionError(
            f"The result should be two tensors, (output, weights); it is of type {type(result).__name__}."
        )
    return result[0], result[1]


def attend_by_loops(query: Tensor, key: Tensor, value: Tensor, scale: float, allowed: Tensor | None = None):
    """Attention of 2-D inputs in Python's floats, one query at a time. `allowed` has the shape of the weights."""
    keys, values = key.tolist(), value.tolist()
    outputs, weights = [], []
    for i, question in enumerate(query.tolist()):
        partners = [j for j in range(len(keys)) if allowed is None or bool(allowed[i, j])]
        scores = {j: scale * sum(q * k for q, k in zip(question, keys[j], strict=True)) for j in partners}
        top = max(scores.values(), default=0.0)
        total = sum(math.exp(score - top) for score in scores.values())
        row = [math.exp(scores[j] - top) / total if j in scores else 0.0 for j in range(len(keys))]
        outputs.append(
            [sum(w * v[column] for w, v in zip(row, values, strict=True)) for column in range(len(values[0]))]
        )
        weights.append(row)
    return torch.tensor(outputs, dtype=value.dtype), torch.tensor(weights, dtype=query.dtype)


@points(1)
@visible
def test_two_keys_worked_out_by_hand(student):
    """Two keys, worked out by hand: plain, causal, and with a mask."""
    query = torch.zeros(2, 9)
    query[:, 0] = 1.0
    key = torch.zeros(2, 9)
    key[0, 0] = 3 * math.log(3)
    value = torch.tensor([[8.0, 0.0], [0.0, 4.0]])
    cases = [
        ("plain", {}, [[0.75, 0.25], [0.75, 0.25]], [[6.0, 1.0], [6.0, 1.0]]),
        ("causal", {"causal": True}, [[1.0, 0.0], [0.75, 0.25]], [[8.0, 0.0], [6.0, 1.0]]),
        (
            "masked",
            {"mask": torch.tensor([[False, True], [False, False]])},
            [[0.0, 1.0], [0.0, 0.0]],
            [[0.0, 4.0], [0.0, 0.0]],
        ),
    ]
    for name, keywords, expected_weights, expected_output in cases:
        output, weights = attend(student, query, key, value, **keywords)
        assert_close(weights, torch.tensor(expected_weights), what=f"weight tensor ({name})")
        assert_close(output, torch.tensor(expected_output), what=f"output ({name})")


def inputs_after_the_call(student, query, key, value, mask):
    student.scaled_dot_product_attention(query, key, value, mask=mask, causal=True)
    return query, key, value, mask


@points(1)
@catches("ready-made", "query-changed-in-place")
def test_output_and_weights_have_the_announced_shapes(student, rng):
    """Output and weights have the announced shapes and dtypes, and the inputs stay as they were."""
    for leading in ((), (2,), (2, 3)):
        for dtype in (torch.float32, torch.float64):
            query, key, value = (normal(rng, *leading, *shape).to(dtype) for shape in ((4, 5), (6, 5), (6, 3)))
            output, weights = attend(student, query, key, value)
            for name, result, shape in (
                ("output", output, (*leading, 4, 3)),
                ("weight tensor", weights, (*leading, 4, 6)),
            ):
                assert_shape(result, shape, what=f"{name} for leading dimensions {leading}")
                assert_dtype(result, str(dtype).removeprefix("torch."), what=f"{name} for {dtype} inputs")
    inputs = [normal(rng, 4, 5), normal(rng, 6, 5), normal(rng, 6, 3), torch.ones(4, 6, dtype=torch.bool)]
    afterwards = student.run(inputs_after_the_call, *inputs)
    for name, before, after in zip(("query", "key", "value", "mask"), inputs, afterwards, strict=True):
        assert_unchanged(after, before, what=name)


@points(1)
@catches("one-score-per-token", "softmax-over-queries")
def test_every_query_has_its_own_distribution_over_the_keys(student, rng):
    """Every query gets its own distribution over the keys."""
    # keys are the unit vectors, and query i points along one of them: that key scores `match`, all the others 0
    keys, match = 6, 2.0
    choices = rng.permutation(keys)[:4]
    key = torch.eye(keys, dtype=torch.float64)
    value = normal(rng, keys, 3)
    output, weights = attend(student, match * key[choices], key, value, scale=1.0)
    expected = torch.ones(4, keys, dtype=torch.float64)
    expected[range(4), choices] = math.exp(match)
    expected /= keys - 1 + math.exp(match)
    cause = "queries that look for different keys must get different weights; each query is one row of the weights"
    assert_close(weights, expected, what="weight tensor", cause=cause)
    expected_output = torch.stack([sum(w * v for w, v in zip(row, value, strict=True)) for row in expected])
    assert_close(output, expected_output, what="output", cause=cause)


@points(2)
@catches("unscaled", "scaled-by-key-width", "scaled-by-value-width", "scale-or-default")
@given(sizes=st.lists(st.integers(2, 6), min_size=4, max_size=4, unique=True), draw=st.integers(0, 2**32 - 1))
def test_dot_products_are_divided_by_the_square_root_of_the_key_width(student, sizes, draw):
    """Dot products are divided by the square root of the key width, or multiplied by the scale that is given."""
    rng = np.random.default_rng(draw)
    queries, keys, key_width, value_width = sizes
    query = normal(rng, 2, queries, key_width)
    key, value = normal(rng, 2, keys, key_width), normal(rng, 2, keys, value_width)
    for scale, cause in (
        (None, "by default the scores are the dot products divided by the square root of the keys' width"),
        (1.7, "a scale that is given replaces the default"),
        (0.0, "a scale of 0 is a scale like any other: all scores are 0"),
    ):
        output, weights = attend(student, query, key, value, scale=scale)
        factor = key_width**-0.5 if scale is None else scale
        case = f"{queries} queries, {keys} keys, key width {key_width}, value width {value_width}, scale {scale}"
        assert_shape(weights, (2, queries, keys), what=f"weight tensor ({case})")
        assert_shape(output, (2, queries, value_width), what=f"output ({case})")
        for b in range(2):
            expected_output, expected_weights = attend_by_loops(query[b], key[b], value[b], factor)
            assert_close(weights[b], expected_weights, what=f"weight tensor [{b}] ({case})", cause=cause)
            assert_close(output[b], expected_output, what=f"output [{b}] ({case})", cause=cause)


@points(1)
@catches("mask-after-softmax", "causal-aligned-bottom-right")
def test_masked_keys_are_left_out_of_the_softmax(student, rng):
    """Keys that are masked out have weight 0, the others share the rest; mask and causal are combined."""
    batch, width = 3, 4
    for queries, keys in ((5, 7), (7, 5)):
        query = normal(rng, batch, queries, width)
        key, value = normal(rng, batch, keys, width), normal(rng, batch, keys, 2)
        triangle = torch.tensor([[j <= i for j in range(keys)] for i in range(queries)])
        everything = torch.ones(queries, keys, dtype=torch.bool)
        for mask_shape in (None, (keys,), (queries, keys), (batch, 1, keys), (batch, queries, keys)):
            mask = None
            if mask_shape is not None:
                mask = torch.from_numpy(rng.random(mask_shape) < 0.5)
                mask[..., 0] = True  # no query is left without a key
                mask[..., 2] = False  # key 2 is hidden from everyone, so what it says cannot matter
                key[:, 2] = 1e6
                value[:, 2] = -1e6
            for causal in (False, True):
                output, weights = attend(student, query, key, value, mask=mask, causal=causal, scale=0.7)
                allowed = triangle if causal else everything
                allowed = (allowed if mask is None else allowed & mask).expand(batch, queries, keys)
                case = f"{queries} queries, {keys} keys, mask {mask_shape}, causal={causal}"
                cause = "keys are left out before the softmax; with causal, query i sees keys 0 to i and no others"
                for b in range(batch):
                    expected_output, expected_weights = attend_by_loops(query[b], key[b], value[b], 0.7, allowed[b])
                    assert_shape(weights, (batch, queries, keys), what=f"weight tensor ({case})")
                    assert_shape(output, (batch, queries, 2), what=f"output ({case})")
                    for name, result, expected in (
                        (f"weight tensor [{b}]", weights[b], expected_weights),
                        (f"output [{b}]", output[b], expected_output),
                    ):
                        assert_close(result, expected, what=f"{name} ({case})", cause=cause)
                hidden = weights[~allowed]
                assert_close(hidden, torch.zeros_like(hidden), rtol=0, atol=0, what=f"weight of masked keys ({case})")


@points(1)
@catches("nan-without-keys", "uniform-without-keys")
def test_a_query_without_keys_attends_to_nothing(student, rng):
    """A query that may attend to no key has weights 0 and output 0, and disturbs no other query."""
    query, key, value = normal(rng, 3, 4, 6), normal(rng, 3, 5, 6), normal(rng, 3, 5, 2)
    mask = torch.from_numpy(rng.random((3, 4, 5)) < 0.7)
    mask[..., 0] = True
    mask[0] = False  # a whole sample without keys
    mask[1, 2] = False  # one query among others
    output, weights = attend(student, query, key, value, mask=mask, scale=0.6)
    assert_shape(weights, (3, 4, 5), what="weight tensor")
    assert_shape(output, (3, 4, 2), what="output")
    cause = "a softmax over nothing is 0/0, and over equally large negative numbers it is uniform; neither is 'nothing'"
    for b in range(3):
        expected_output, expected_weights = attend_by_loops(query[b], key[b], value[b], 0.6, mask[b])
        assert_close(weights[b], expected_weights, what=f"weight tensor of sample {b}", cause=cause)
        assert_close(output[b], expected_output, what=f"output of sample {b}", cause=cause)


@points(1)
@catches("overflow")
def test_scores_of_ten_thousand_stay_finite(student, rng):
    """Scores of 10000 and of -10000 give finite and correct results."""
    query = torch.tensor([[100.0, 1.0], [-100.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    key = torch.tensor([[100.0, 0.0], [100.0, -1.0], [-100.0, 0.5]], dtype=torch.float64)
    key[:, 1] += torch.from_numpy(rng.uniform(-0.2, 0.2, 3))
    value = normal(rng, 3, 4)
    mask = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])  # query 1 sees only -10000
    output, weights = attend(student, query, key, value, mask=mask, scale=1.0)
    expected_output, expected_weights = attend_by_loops(query, key, value, 1.0, mask)
    cause = "exp(10000) is infinite and exp(-10000) is 0; taking the same number off all scores changes no softmax"
    assert_close(weights, expected_weights, what="weight tensor", cause=cause)
    assert_close(output, expected_output, what="output", cause=cause)


@points(1)
def test_shapes_and_masks_that_do_not_fit_are_refused(student, rng):
    """Widths, lengths and masks that do not fit are refused with the announced exceptions."""
    query, key, value = normal(rng, 2, 3, 4), normal(rng, 2, 5, 4), normal(rng, 2, 5, 6)
    with raises(ValueError, what="a call with queries 4 wide and keys 6 wide"):
        student.scaled_dot_product_attention(query, normal(rng, 2, 5, 6), value)
    with raises(ValueError, what="a call with 5 keys and 7 values"):
        student.scaled_dot_product_attention(query, key, normal(rng, 2, 7, 6))
    with raises(ValueError, what="a call with a (3, 4) mask for 3 queries and 5 keys"):
        student.scaled_dot_product_attention(query, key, value, mask=torch.ones(3, 4, dtype=torch.bool))
    for dtype in (torch.float64, torch.int64):
        with raises(TypeError, ValueError, what=f"a call with a mask of dtype {dtype}"):
            student.scaled_dot_product_attention(query, key, value, mask=torch.ones(3, 5, dtype=dtype))


def differentiate_output(student, query, key, value, mask, direction):
    inputs = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
    output, _ = student.scaled_dot_product_attention(*inputs, mask=mask, scale=0.8)
    (output * direction).sum().backward()
    return [tensor.grad for tensor in inputs]


def gradients_by_differences(inputs: list[Tensor], mask: Tensor | None, direction: Tensor, step: float = 1e-5):
    """The same gradients from central differences of the loops, one entry of the inputs at a time."""
    gradients = [torch.zeros_like(tensor) for tensor in inputs]
    for tensor, gradient in zip(inputs, gradients, strict=True):
        for entry in np.ndindex(*tensor.shape):
            before, sums = tensor[entry].item(), []
            for moved in (before + step, before - step):
                tensor[entry] = moved
                sums.append((attend_by_loops(*inputs, 0.8, mask)[0] * direction).sum().item())
            tensor[entry] = before
            gradient[entry] = (sums[0] - sums[1]) / (2 * step)
    return gradients


@points(1)
@catches("nan-gradients")
def test_gradients_are_right_and_finite(student, rng):
    """The gradients are right, and finite even when a query may attend to no key."""
    query, key, value = normal(rng, 4, 3), normal(rng, 5, 3), normal(rng, 5, 2)
    direction = normal(rng, 4, 2)
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[0, 3] = False
    for name, case_mask in (("no mask", None), ("query 2 has no key", mask.index_fill(0, torch.tensor(2), False))):
        actual = student.run(differentiate_output, query, key, value, case_mask, direction)
        expected = gradients_by_differences([query, key, value], case_mask, direction)
        cause = "something on the way from the inputs to the output is cut off from autograd, for example by detach()"
        if case_mask is not None:
            cause = "NaN in the forward pass survives in the gradient, even if the result is repaired afterwards"
        for argument, gradient, expected_gradient in zip(("query", "key", "value"), actual, expected, strict=True):
            assert_close(
                gradient, expected_gradient, rtol=1e-6, atol=1e-7, what=f"gradient of {argument} ({name})", cause=cause
            )
