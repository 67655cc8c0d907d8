"""The reference against PyTorch's functions and BERT's own layers, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reference.attention import feed_forward as lesson
from reference.attention.feed_forward import feed_forward

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "swiglu": F.silu,
}


def inputs() -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(6)
    shapes = [(4, 7), (7,), (7, 4), (4,), (4, 7), (7,)]
    return rng.normal(size=(2, 3, 4)), [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("with_third_bias", [True, False])
def test_equals_the_functions_of_torch(activation, with_third_bias) -> None:
    x, parameters = inputs()
    W1, b1, W2, b2, W3, b3 = map(torch.from_numpy, parameters)
    tokens = torch.from_numpy(x)
    inner, more = ACTIVATIONS[activation](tokens @ W1 + b1), []
    if activation == "swiglu":
        inner = inner * (tokens @ W3 + (b3 if with_third_bias else 0))
        more = [parameters[4], parameters[5] if with_third_bias else None]
    expected = (inner @ W2 + b2).numpy()
    np.testing.assert_allclose(feed_forward(x, *parameters[:4], activation, *more), expected, **CLOSE)


def test_equals_the_layers_of_bert() -> None:
    bert = pytest.importorskip("transformers.models.bert.modeling_bert")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(hidden_size=4, num_attention_heads=2, intermediate_size=7)
    torch.manual_seed(0)
    intermediate, dense = bert.BertIntermediate(config).double(), bert.BertOutput(config).double().dense
    x, _ = inputs()
    with torch.no_grad():
        expected = dense(intermediate(torch.from_numpy(x))).numpy()
    parameters = [
        array.detach().numpy()
        for layer in (intermediate.dense, dense)
        for array in (layer.weight.T.contiguous(), layer.bias)
    ]
    np.testing.assert_allclose(feed_forward(x, *parameters), expected, **CLOSE)


def test_tokens_alone_and_together() -> None:
    x, parameters = inputs()
    together = feed_forward(x, *parameters[:4])
    alone = [[feed_forward(token, *parameters[:4]) for token in sentence] for sentence in x]
    np.testing.assert_allclose(together, alone, **CLOSE)
    assert feed_forward(x[:0], *parameters[:4]).shape == (0, 3, 4)


def test_only_relu_is_homogeneous() -> None:
    x, (W1, b1, W2, b2, *_) = inputs()
    for activation, homogeneous in (("relu", True), ("gelu", False)):
        once, thrice = (feed_forward(factor * x, W1, 0 * b1, W2, 0 * b2, activation) for factor in (1, 3))
        assert np.allclose(thrice, 3 * once, rtol=1e-12) is homogeneous


def test_the_two_gelus_differ_most_near_2_7() -> None:
    z = np.linspace(-5, 5, 1001)[:, None]
    one, zero = np.ones((1, 1)), np.zeros(1)
    gap = np.abs(feed_forward(z, one, zero, one, zero) - feed_forward(z, one, zero, one, zero, "gelu_tanh"))
    assert 4.6e-4 < gap.max() < 4.8e-4 and 2.6 < abs(z[gap.argmax(), 0]) < 2.8


def test_far_from_zero() -> None:
    z = np.array([[-1e4], [1e4]])
    one, zero = np.ones((1, 1)), np.zeros(1)
    for activation, more in (("relu", ()), ("gelu", ()), ("gelu_tanh", ()), ("swiglu", (0 * one, one[0]))):
        np.testing.assert_array_equal(feed_forward(z, one, zero, one, zero, activation, *more), [[0], [1e4]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_everything_is_computed_in_float64(dtype) -> None:
    x, parameters = inputs()
    narrow = [(3 * array).astype(dtype) for array in (x, *parameters[:4])]
    result = feed_forward(*narrow)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, feed_forward(*(array.astype(np.float64) for array in narrow)))


def test_bad_input() -> None:
    x, (W1, b1, W2, b2, W3, b3) = inputs()
    for bad in (
        (x[..., :3], W1, b1, W2, b2),
        (np.float64(1), W1, b1, W2, b2),
        (x, W1[0], b1, W2, b2),
        (x, W1, b1[:1], W2, b2),
        (x, W1, b1, W2[:, :1], b2),
        (x, W1, b1, W2, b2[:1]),
        (x, W1, b1, W2, b2, "swish"),
        (x, W1, b1, W2, b2, "gelu", W3),
        (x, W1, b1, W2, b2, "gelu", None, b3),
        (x, W1, b1, W2, b2, "swiglu"),
        (x, W1, b1, W2, b2, "swiglu", None, b3),
        (x, W1, b1, W2, b2, "swiglu", W3.T, b3),
        (x, W1, b1, W2, b2, "swiglu", W3, b3[:1]),
    ):
        with pytest.raises(ValueError):
            feed_forward(*bad)


def test_worked_example_of_the_lesson() -> None:
    x, W1, b1 = np.array([1.0, -2.0]), np.array([[1.0, 0, 1], [0, 1, 1]]), np.array([0.0, 1, 0])
    W2, b2 = np.array([[2.0, 1], [5, 5], [3, 0]]), np.array([0.0, 1])
    np.testing.assert_allclose(feed_forward(x, W1, b1, W2, b2, "relu"), [2, 2], **CLOSE)
    np.testing.assert_allclose(feed_forward(x, W1, b1, W2, b2), [0.4134, 1.0481], atol=5e-5)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
