"""Checks of architectures/bert_encoder_layer."""

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

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
LOOSE = {"rtol": 1e-3, "atol": 1e-3}  # epsilon and precision have checks of their own: one slip there is to cost those
LAST_DIGITS = "only the last digits differ: the size of epsilon, or a step that is not computed in float64"
ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
FIRST_NORM, SECOND_NORM = "attention.output.LayerNorm", "output.LayerNorm"


def random_parameters(rng: np.random.Generator, width: int, hidden: int) -> dict[str, np.ndarray]:
    """All parameters: matrices that keep the size of vectors, biases and norm weights away from 0 and from 1."""
    shapes = dict.fromkeys(ATTENTION, (width, width))
    shapes |= {"intermediate.dense": (hidden, width), "output.dense": (width, hidden)}
    shapes |= {FIRST_NORM: (width,), SECOND_NORM: (width,)}
    parameters = {}
    for name, shape in shapes.items():
        if len(shape) == 2:
            parameters[f"{name}.weight"] = rng.normal(size=shape) * 1.5 / math.sqrt(shape[1])
        else:
            parameters[f"{name}.weight"] = rng.uniform(0.4, 0.8, shape) * rng.choice([1, 2], shape)
        parameters[f"{name}.bias"] = rng.uniform(0.2, 0.8, shape[0]) * rng.choice([-1, 1], shape[0])
    return parameters


def silence(parameters: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    """The same parameters, those of the named matrices and their biases set to 0."""
    zeros = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    return {name: np.zeros_like(array) if name in zeros else array for name, array in parameters.items()}


# Independent path: lists of numbers, one feature at a time


def affine(parameters, name, vector):
    matrix, bias = parameters[f"{name}.weight"].tolist(), parameters[f"{name}.bias"].tolist()
    return [math.fsum(w * v for w, v in zip(row, vector, strict=True)) + b for row, b in zip(matrix, bias, strict=True)]


def normalise(vector, weight, bias):
    mean = math.fsum(vector) / len(vector)
    spread = math.sqrt(math.fsum((entry - mean) ** 2 for entry in vector) / len(vector) + 1e-12)
    return [(entry - mean) / spread * float(w) + float(b) for entry, w, b in zip(vector, weight, bias, strict=True)]


def add_and_norm(parameters, name, left, right):
    total = [a + b for a, b in zip(left, right, strict=True)]
    return normalise(total, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def attend(parameters, tokens, n_heads):
    """Attention of one sentence without padding, one head, one query and one key at a time."""
    query, key, value = ([affine(parameters, name, token) for token in tokens] for name in ATTENTION[:3])
    size = len(tokens[0]) // n_heads
    results = []
    for q in range(len(tokens)):
        joined = []
        for start in range(0, size * n_heads, size):
            block = range(start, start + size)
            scores = [math.fsum(query[q][i] * key[k][i] for i in block) / math.sqrt(size) for k in range(len(tokens))]
            powers = [math.exp(score - max(scores)) for score in scores]
            for i in block:
                joined.append(math.fsum(p * v[i] for p, v in zip(powers, value, strict=True)) / math.fsum(powers))
        results.append(affine(parameters, ATTENTION[3], joined))
    return results


def layer_by_loops(x, parameters, n_heads, mask):
    """Output of the layer at the tokens, NaN at the padding."""
    output = np.full(x.shape, np.nan)
    for b in range(len(x)):
        tokens = x[b, mask[b]].astype(np.float64).tolist()
        rows = []
        for token, change in zip(tokens, attend(parameters, tokens, n_heads), strict=True):
            attended = add_and_norm(parameters, FIRST_NORM, token, change)
            inner = [z * NormalDist().cdf(z) for z in affine(parameters, "intermediate.dense", attended)]
            change = affine(parameters, "output.dense", inner)
            rows.append(add_and_norm(parameters, SECOND_NORM, attended, change))
        output[b, mask[b]] = rows
    return output


def likely(actual: np.ndarray, expected: np.ndarray, otherwise: str) -> str:
    """The cause to name: epsilon or rounding where the difference is that small."""
    if not isinstance(actual, np.ndarray) or actual.shape != expected.shape or actual.dtype.kind != "f":
        return otherwise
    return LAST_DIGITS if np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max() else otherwise


def heads_in_words(n_heads: int) -> str:
    return "1 head" if n_heads == 1 else f"{n_heads} heads"


def compare(student, x, parameters, n_heads, mask, *, case, cause, tolerance=CLOSE):
    output = student.bert_encoder_layer(x, parameters, n_heads, mask)
    assert_shape(output, x.shape, what=f"output ({case})")
    expected = layer_by_loops(x, parameters, n_heads, mask)
    if mask.all():
        assert_close(output, expected, **tolerance, what=f"output ({case})", cause=likely(output, expected, cause))
    else:
        rows, wanted = output[mask], expected[mask]
        what = f"array of the tokens' rows ({case})"
        assert_close(rows, wanted, **tolerance, what=what, cause=likely(rows, wanted, cause))


@points(1)
@visible
def test_one_token_worked_out_by_hand(student):
    """One token and one padded token, worked out by hand, and the normalisation of three numbers."""
    close = {"rtol": 1e-5, "atol": 1e-8}
    normalised = student.layer_norm(np.array([1.0, 3.0, 5.0]), np.full(3, 2.0), np.ones(3))
    assert_close(normalised, np.array([-1.449489743, 1, 3.449489743]), **close, what="result of layer_norm")
    parameters = {f"{name}.{kind}": np.eye(2) if kind == "weight" else np.zeros(2)
                  for name in ATTENTION for kind in ("weight", "bias")}  # fmt: skip
    parameters |= {
        "attention.self.key.weight": -np.eye(2),
        "attention.self.value.weight": np.array([[0.0, 2.0], [2.0, 0.0]]),
        "attention.output.LayerNorm.weight": np.array([2.0, 1.0]),
        "attention.output.LayerNorm.bias": np.array([0.0, 1.0]),
        "intermediate.dense.weight": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        "intermediate.dense.bias": np.zeros(3),
        "output.dense.weight": np.array([[0.0, 0.0, 1.0], [100.0, 0.0, 0.0]]),
        "output.dense.bias": np.zeros(2),
        "output.LayerNorm.weight": np.array([1.0, 3.0]),
        "output.LayerNorm.bias": np.array([10.0, 20.0]),
    }
    tokens, is_token = np.array([[[3.0, 1.0], [-70.0, 50.0]]]), np.array([[True, False]])
    output = student.bert_encoder_layer(tokens, parameters, 1, is_token)
    assert_shape(output, (1, 2, 2), what="output")
    assert_close(output[0, 0], np.array([11.0, 17.0]), **close, what="row of the token")


def arguments_after_the_call(student, x, parameters, mask):
    student.bert_encoder_layer(x, parameters, 2, mask)
    return x, parameters, mask


@points(1)
@catches("input-precision")
def test_shapes_and_float64_whatever_the_input(student, rng):
    """The output has the shape of x and is float64; further parameters do no harm, and no argument changes."""
    x, parameters = rng.normal(size=(2, 3, 4)), random_parameters(rng, 4, 7)
    mask = np.array([[True, True, True], [True, True, False]])
    for dtype in (np.float64, np.float32, np.float16, np.int64):
        narrow = (x if dtype is not np.int64 else 3 * x).astype(dtype)
        matrices = {
            name: (array if dtype is not np.int64 else 3 * array).astype(dtype) for name, array in parameters.items()
        }
        if dtype is np.float64:
            matrices["pooler.dense.weight"] = np.ones((5, 5))
        output = student.bert_encoder_layer(narrow, matrices, 2, mask)
        exact = student.bert_encoder_layer(
            narrow.astype(np.float64), {name: array.astype(np.float64) for name, array in matrices.items()}, 2, mask
        )
        what, cause = f"output for {np.dtype(dtype).name} inputs", "arithmetic in the precision of the inputs"
        assert_shape(output, (2, 3, 4), what=what)
        assert_dtype(output, np.float64, what=what, cause=cause)
        assert_close(output[mask], exact[mask], what=what, cause=cause)
        weight, bias = (matrices[f"output.LayerNorm.{kind}"] for kind in ("weight", "bias"))
        for rows in (narrow, narrow[0], narrow[0, 0]):
            normalised = student.layer_norm(rows, weight, bias)
            what = f"result of layer_norm for {np.dtype(dtype).name} inputs of shape {rows.shape}"
            assert_shape(normalised, rows.shape, what=what)
            assert_dtype(normalised, np.float64, what=what, cause=cause)
    # With 15 digits every number of the output notices that x has changed in the ninth; with 7 hardly any does.
    output, nudged = (student.bert_encoder_layer(tokens, parameters, 2, mask) for tokens in (x, x * (1 + 1e-9 * x)))
    if (output == nudged)[mask].mean() > 0.5:
        raise AssertionError(
            "The output hardly changes with the ninth digit of x: its numbers carry fewer digits than float64 has. "
            "Which step is computed in another precision?"
        )
    after = student.run(arguments_after_the_call, x, parameters, mask)
    assert_unchanged(after[0], x, what="x")
    assert_unchanged(after[2], mask, what="mask")
    for name, array in parameters.items():
        assert_unchanged(after[1][name], array, what=f"parameter {name}")


@points(2)
@catches("sample-variance", "norm-over-time", "large-epsilon", "epsilon-outside-the-root", "one-pass-variance")
def test_layer_norm_brings_every_token_to_one_scale(student, rng):
    """The normalisation uses mean and population variance of each token's features, and an epsilon of 1e-12."""
    weight, bias = rng.uniform(0.5, 2, 5), rng.uniform(-1, 1, 5)
    for case, x, tolerance, cause in (
        ("ordinary vectors", rng.normal(size=(3, 4, 5)) * 2 + 1, CLOSE, "which axis, and which variance"),
        ("vectors of spread 1e-6", rng.normal(size=(3, 4, 5)) * 1e-6, CLOSE, "the size and the place of epsilon"),
        ("vectors without any spread", np.full((3, 4, 5), 2.0), CLOSE, "epsilon keeps 0/0 away"),
        (
            "vectors of spread 1 around a million",
            rng.normal(size=(3, 4, 5)) + 1e6,
            {"rtol": 1e-7, "atol": 1e-7},
            "the difference of two large numbers; take the mean off before you square",
        ),
    ):
        expected = np.array([[normalise(token.tolist(), weight, bias) for token in row] for row in x])
        result = student.layer_norm(x, weight, bias)
        what = f"result of layer_norm for {case}"
        assert_close(result, expected, **tolerance, what=what, cause=likely(result, expected, cause))


@points(1)
@catches(
    "pre-norm",
    "no-residual",
    "second-residual-from-x",
    "one-norm-for-both",
    "second-norm-for-both",
    "norms-exchanged",
    "norm-before-addition",
    "second-norm-before-addition",
)
def test_each_half_adds_to_its_input_and_normalises_the_sum(student, rng):
    """Where attention or feed-forward part, or both, are silent, additions and normalisations remain."""
    x, parameters = rng.normal(size=(2, 3, 6)) * 1.5, random_parameters(rng, 6, 10)
    mask = np.ones((2, 3), dtype=bool)
    # This check is about additions: all hidden units are far above 0, where every activation returns what it gets.
    parameters["intermediate.dense.bias"] = parameters["intermediate.dense.bias"] + 40
    parameters["output.dense.weight"] = parameters["output.dense.weight"] * 0.1
    for case, names in (
        ("attention and feed-forward part return 0", ("attention.output.dense", "output.dense")),
        ("the attention returns 0", ("attention.output.dense",)),
        ("the feed-forward part returns 0", ("output.dense",)),
    ):
        cause = "what is added to what, and what is normalised: post-norm, with two sets of norm parameters"
        compare(student, x, silence(parameters, *names), 1, mask, case=case, cause=cause, tolerance=LOOSE)


@points(1)
@catches("attention-weights-transposed", "heads-mixed-up", "scaled-by-model-width", "overflow")
def test_attention_in_heads_with_the_stored_matrices(student, rng):
    """Attention uses the matrices as (out, in), contiguous heads and the head's scale, also for large scores."""
    for n_heads, width in ((1, 4), (3, 6), (2, 6)):
        x, parameters = rng.normal(size=(2, 4, width)), random_parameters(rng, width, 7)
        parameters = silence(parameters, "output.dense")
        case = f"{heads_in_words(n_heads)}, width {width}, the feed-forward part returns 0"
        cause = "the layout of the matrices, the heads, or the scale of the scores"
        everything = np.ones((2, 4), dtype=bool)
        compare(student, x, parameters, n_heads, everything, case=case, cause=cause, tolerance=LOOSE)

    # The same vector added to every key adds the same number to all scores of a query, which changes no softmax.
    parameters["attention.self.query.bias"] = np.array([3.0, 3.0, 3.0, -3.0, -3.0, -3.0])
    parameters["attention.self.query.weight"] = parameters["attention.self.query.weight"] * 0.2
    expected = layer_by_loops(x, parameters, 2, everything)
    shifted = parameters | {"attention.self.key.bias": parameters["attention.self.key.bias"] + 1200.0}
    output = student.bert_encoder_layer(x, shifted, 2, everything)
    cause = "exp(10000) is infinite and exp(-10000) is 0; what can be taken off all scores without changing a softmax?"
    assert_close(output, expected, **LOOSE, what="output for scores of ±10000", cause=cause)


@points(1)
@catches("relu", "tanh-gelu")
def test_the_activation_is_exact_gelu(student, rng):
    """The feed-forward part uses the exact GELU between its two maps."""
    # large vectors in front of both normalisations, so that their epsilon does not matter here
    x, parameters = 10 * rng.normal(size=(2, 3, 4)), random_parameters(rng, 4, 9)
    parameters["output.dense.weight"] = parameters["output.dense.weight"] * 10
    parameters = silence(parameters, "attention.output.dense")
    # the hidden units get large and small entries of both signs, far beyond 2.7, where approximations are worst
    parameters["intermediate.dense.weight"] = parameters["intermediate.dense.weight"] * 2
    cause = "BERT was trained with z times the normal distribution function, not with ReLU or an approximation"
    mask = np.ones((2, 3), dtype=bool)
    output, expected = student.bert_encoder_layer(x, parameters, 2, mask), layer_by_loops(x, parameters, 2, mask)
    assert_close(output, expected, rtol=1e-6, atol=1e-6, what="output (the attention returns 0)", cause=cause)


@points(1)
@catches("biases-left-out")
@settings(max_examples=5)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 4), st.sampled_from([(1, 4), (2, 3), (3, 2)])),
    hidden=st.integers(5, 9),
    draw=st.integers(0, 2**32 - 1),
)
def test_the_whole_layer_with_random_parameters(student, shape, hidden, draw):
    """With random parameters and padding, the output of the whole layer is right."""
    generator = np.random.default_rng(draw)
    batch, tokens, (n_heads, size) = shape
    x, parameters = generator.normal(size=(batch, tokens, n_heads * size)), {}
    parameters = random_parameters(generator, n_heads * size, hidden)
    mask = generator.random((batch, tokens)) < 0.7
    mask[range(batch), generator.integers(tokens, size=batch)] = True
    samples = "1 sample" if batch == 1 else f"{batch} samples"
    case = f"{samples}, {tokens} tokens, {heads_in_words(n_heads)} of width {size}, hidden width {hidden}"
    cause = "if the checks of the parts pass, look at the biases and at what each part is given"
    compare(student, x, parameters, n_heads, mask, case=case, cause=cause)


@points(1)
@catches("mask-ignored", "mask-inverted", "mask-of-ten-thousand")
def test_padding_changes_nothing_for_the_tokens(student, rng):
    """What padding contains changes nothing at the tokens: each sentence comes out as it does without padding."""
    x, parameters = rng.normal(size=(3, 5, 6)), random_parameters(rng, 6, 8)
    mask = np.array([[True] * 5, [True, True, False, True, False], [False, True, True, True, True]])
    cause = "padding takes part in the softmax, or `True` and `False` are confused"
    for content in (x[~mask], rng.choice([-1000.0, 1000.0], size=x[~mask].shape)):
        x[~mask] = content
        output = student.bert_encoder_layer(x, parameters, 2, mask)
        assert_shape(output, (3, 5, 6), what="output")
        for b in range(3):
            short, everything = x[b : b + 1, mask[b]], np.ones((1, mask[b].sum()), dtype=bool)
            alone = student.bert_encoder_layer(short, parameters, 2, everything)
            what = f"array of the tokens' rows in sample {b}, compared with the sentence without padding,"
            assert_close(output[b, mask[b]], alone[0], rtol=1e-6, atol=1e-6, what=what, cause=cause)

    # One head of width 2 in which a query scores the *opposite* of itself best: the token scores itself with about
    # -10000 and the padding with about +9000, both within what the layer has to bear.
    parameters = {f"{name}.{kind}": np.eye(2) if kind == "weight" else np.zeros(2)
                  for name in (*ATTENTION, "intermediate.dense", "output.dense")
                  for kind in ("weight", "bias")}  # fmt: skip
    parameters |= {f"{name}.weight": np.array([2.0, 1.0]) for name in (FIRST_NORM, SECOND_NORM)}
    parameters |= {f"{name}.bias": np.zeros(2) for name in (FIRST_NORM, SECOND_NORM)}
    parameters["attention.self.key.weight"] = -np.eye(2)
    parameters["attention.output.dense.weight"] = -3 * np.eye(2)
    size = rng.uniform(115, 118)
    token, padding = [size, 1.0], [-size, 900.0]
    alone = student.bert_encoder_layer(np.array([[token]]), parameters, 1, np.array([[True]]))
    output = student.bert_encoder_layer(np.array([[token, padding]]), parameters, 1, np.array([[True, False]]))
    what = "row of a token that scores itself with -10000 and its padding with +9000, compared with the token alone,"
    cause = "the score of padding is only lowered by some number; a large enough score makes up for it"
    assert_shape(output, (1, 2, 2), what="output")
    assert_close(output[0, 0], alone[0, 0], rtol=1e-6, atol=1e-6, what=what, cause=cause)


@points(1)
@catches("missing-parameters-are-zero", "sample-without-tokens")
def test_arguments_that_do_not_fit_are_refused(student, rng):
    """Missing parameters raise KeyError; shapes, heads and masks that do not fit raise the announced exceptions."""
    x, parameters = rng.normal(size=(2, 3, 4)), random_parameters(rng, 4, 7)
    mask = np.array([[True, True, False], [False, True, True]])
    for name, array in parameters.items():
        with raises(KeyError, what=f"a call without {name}"):
            without = {other: value for other, value in parameters.items() if other != name}
            student.bert_encoder_layer(x, without, 2, mask)
        shapes = [(1,), (5,)] if array.ndim == 1 else [(array.shape[0], 5), (5, array.shape[1]), (1, array.shape[1])]
        for shape in shapes:
            with raises(ValueError, what=f"a call with {name} of shape {shape} instead of {array.shape}"):
                student.bert_encoder_layer(x, parameters | {name: rng.normal(size=shape)}, 2, mask)
    for n_heads in (3, 0, -2, 8):
        with raises(ValueError, what=f"a call with n_heads = {n_heads} for a width of 4"):
            student.bert_encoder_layer(x, parameters, n_heads, mask)
    for shape in ((3, 4), (1, 2, 3, 4), (2, 3, 6)):
        with raises(ValueError, what=f"a call with x of shape {shape} and parameters for width 4"):
            student.bert_encoder_layer(rng.normal(size=shape), parameters, 2, mask)
    for shape in ((3,), (1, 3), (2, 1), (2, 4), (2, 3, 3)):
        with raises(ValueError, what=f"a call with a mask of shape {shape} for x of shape (2, 3, 4)"):
            student.bert_encoder_layer(x, parameters, 2, np.ones(shape, dtype=bool))
    with raises(ValueError, what="a call with a sample that is padding only"):
        student.bert_encoder_layer(x, parameters, 2, np.array([[True, True, True], [False, False, False]]))
    for bad_mask in (mask.astype(np.int64), mask.astype(np.float64)):
        with raises(TypeError, ValueError, what=f"a call with a mask of dtype {bad_mask.dtype}"):
            student.bert_encoder_layer(x, parameters, 2, bad_mask)
