"""The reference against `BertLayer` of Transformers, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from torch import nn

from reference.architectures import bert_encoder_layer as lesson
from reference.architectures.bert_encoder_layer import bert_encoder_layer, layer_norm

MASK = np.array([[True, True, False, True, False], [True] * 5, [False, False, False, True, False]])


def library_layer(n_heads: int, activation: str = "gelu") -> nn.Module:
    transformers = pytest.importorskip("transformers")
    from transformers.models.bert.modeling_bert import BertLayer

    config = transformers.BertConfig(
        hidden_size=6,
        num_attention_heads=n_heads,
        intermediate_size=10,
        hidden_act=activation,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    layer = BertLayer(config).double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def parameters_of(layer: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in layer.state_dict().items()}


def run_library(layer: nn.Module, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    additive = torch.zeros(len(x), 1, 1, x.shape[1], dtype=torch.float64)
    additive.masked_fill_(torch.from_numpy(~mask)[:, None, None, :], torch.finfo(torch.float64).min)
    with torch.no_grad():
        output = layer(torch.from_numpy(x), attention_mask=additive)
    return (output[0] if isinstance(output, tuple) else output).numpy()


@pytest.mark.parametrize("n_heads", [1, 2, 3])
@pytest.mark.parametrize("mask", [MASK, np.ones_like(MASK)])
def test_equals_the_library(n_heads, mask) -> None:
    layer = library_layer(n_heads)
    x = np.random.default_rng(1).normal(size=(3, 5, 6))
    output = bert_encoder_layer(x, parameters_of(layer), n_heads, mask)
    np.testing.assert_allclose(output, run_library(layer, x, mask), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ["relu", "gelu_new"])
def test_other_activations_are_far_off(activation) -> None:
    layer = library_layer(2, activation)
    x = np.random.default_rng(1).normal(size=(3, 5, 6))
    gap = np.abs(bert_encoder_layer(x, parameters_of(layer), 2, MASK) - run_library(layer, x, MASK))[MASK].max()
    assert gap > (0.05 if activation == "relu" else 1e-5)


def test_layer_norm_equals_that_of_torch() -> None:
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(2, 7))
    for x in (rng.normal(size=(2, 3, 7)), 1e-6 * rng.normal(size=7), np.full((4, 7), 3.0)):
        tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
        expected = nn.functional.layer_norm(tensors[0], (7,), tensors[1], tensors[2], 1e-12)
        np.testing.assert_allclose(layer_norm(x, weight, bias), expected.numpy(), rtol=1e-9, atol=1e-10)


def test_rows_have_the_statistics_of_the_last_normalisation() -> None:
    layer = library_layer(2)
    parameters = parameters_of(layer)
    x = np.random.default_rng(1).normal(size=(3, 5, 6))
    output = bert_encoder_layer(x, parameters, 2, MASK)
    rows = ((output - parameters["output.LayerNorm.bias"]) / parameters["output.LayerNorm.weight"])[MASK]
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.std(axis=1), 1, atol=1e-9)


def test_padding_is_irrelevant_to_the_tokens() -> None:
    parameters = parameters_of(library_layer(3))
    x = np.random.default_rng(1).normal(size=(3, 5, 6))
    changed = np.where(MASK[:, :, None], x, 1e3)
    before, after = (bert_encoder_layer(tokens, parameters, 3, MASK) for tokens in (x, changed))
    np.testing.assert_array_equal(before[MASK], after[MASK])


def test_everything_is_computed_in_float64() -> None:
    parameters = {name: array.astype(np.float16) for name, array in parameters_of(library_layer(2)).items()}
    x = np.random.default_rng(1).normal(size=(3, 5, 6)).astype(np.float32)
    result = bert_encoder_layer(x, parameters, 2, MASK)
    wide = {name: array.astype(np.float64) for name, array in parameters.items()}
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, bert_encoder_layer(x.astype(np.float64), wide, 2, MASK))


def test_bad_input() -> None:
    parameters, x = parameters_of(library_layer(2)), np.zeros((3, 5, 6))
    for name, array in parameters.items():
        with pytest.raises(KeyError):
            bert_encoder_layer(x, {other: parameters[other] for other in parameters if other != name}, 2, MASK)
        with pytest.raises(ValueError, match="weights of shape"):
            bert_encoder_layer(x, parameters | {name: array[:1]}, 2, MASK)
    for n_heads in (4, 0, -2):
        with pytest.raises(ValueError, match="heads"):
            bert_encoder_layer(x, parameters, n_heads, MASK)
    with pytest.raises(ValueError, match="batch, tokens, width"):
        bert_encoder_layer(x[0], parameters, 2, MASK)
    for mask in (MASK[0], MASK[:, :4], MASK & np.array([[True], [True], [False]])):
        with pytest.raises(ValueError, match="mask"):
            bert_encoder_layer(x, parameters, 2, mask)
    with pytest.raises(TypeError, match="boolean"):
        bert_encoder_layer(x, parameters, 2, MASK.astype(float))


def test_worked_example_of_the_lesson() -> None:
    identity, nothing = np.eye(2), np.zeros(2)
    parameters = {f"attention.self.{name}.{kind}": identity if kind == "weight" else nothing
                  for name in ("query", "key") for kind in ("weight", "bias")}  # fmt: skip
    parameters |= {
        "attention.self.value.weight": np.array([[1.0, 1], [0, 3]]),
        "attention.self.value.bias": nothing,
        "attention.output.dense.weight": identity,
        "attention.output.dense.bias": nothing,
        "attention.output.LayerNorm.weight": np.array([1.0, 2]),
        "attention.output.LayerNorm.bias": nothing,
        "intermediate.dense.weight": np.ones((1, 2)),
        "intermediate.dense.bias": np.zeros(1),
        "output.dense.weight": np.array([[20.0], [0]]),
        "output.dense.bias": nothing,
        "output.LayerNorm.weight": np.ones(2),
        "output.LayerNorm.bias": np.array([0.0, 5]),
    }
    output = bert_encoder_layer(np.array([[[2.0, 0.0]]]), parameters, 1, np.array([[True]]))
    np.testing.assert_allclose(output, [[[-1, 6]]], atol=1e-9)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
