"""The reference of interpretability/attention_rollout against NumPy's chain of matrices and a model of transformers."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from torch import Tensor

from reference.interpretability import attention_rollout as lesson
from reference.interpretability.attention_rollout import attention_rollout


def attention(count: int, batch: int, heads: int, tokens: int, seed: int = 0) -> list[Tensor]:
    scores = torch.randn(
        count, batch, heads, tokens, tokens, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return list(torch.softmax(scores, dim=-1))


@pytest.mark.parametrize("add_residual", [False, True])
@pytest.mark.parametrize("head_fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("count", [2, 5])
def test_equals_a_chain_of_matrices(add_residual, head_fusion, count) -> None:
    layers = attention(count, 2, 3, 6)
    rollout = attention_rollout(layers, add_residual, head_fusion)
    for sample in range(2):
        chain = []
        for layer in layers:
            mixing = getattr(np, head_fusion)(layer[sample].numpy(), axis=0)
            mixing = mixing + np.eye(6) if add_residual else mixing
            chain.insert(0, mixing / mixing.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(rollout[sample].numpy(), np.linalg.multi_dot(chain), rtol=1e-12)


def test_rows_sum_to_one_and_attention_may_be_a_tuple() -> None:
    rollout = attention_rollout(tuple(attention(12, 2, 4, 7)), head_fusion="max")
    torch.testing.assert_close(rollout.sum(dim=-1), torch.ones(2, 7, dtype=torch.float64))


def test_linear_layers_that_only_mix_are_followed_exactly() -> None:
    """Without values, feed-forward layers and norms, the rollout is what the network does to its tokens."""
    layers = attention(4, 2, 3, 5)
    tokens = torch.randn(2, 5, 8, dtype=torch.float64)
    mixed = tokens
    for layer in layers:
        mixed = 0.5 * mixed + 0.5 * layer.mean(dim=1) @ mixed
    torch.testing.assert_close(attention_rollout(layers) @ tokens, mixed)


def test_takes_what_the_library_hands_out() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = transformers.ViTModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        attentions = model(torch.randn(2, 3, 8, 8), output_attentions=True).attentions
    rollout = attention_rollout(attentions)
    assert rollout.shape == (2, 5, 5)
    torch.testing.assert_close(rollout.sum(dim=-1), torch.ones(2, 5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(dtype) -> None:
    layers = [layer.to(dtype) for layer in attention(6, 2, 3, 9)]
    rollout = attention_rollout(layers)
    assert rollout.dtype == dtype
    exact = attention_rollout([layer.double() for layer in layers])
    torch.testing.assert_close(rollout.double(), exact, rtol=0, atol=8 * torch.finfo(dtype).eps)


def test_gradients_are_those_of_finite_differences() -> None:
    layers = tuple(layer.requires_grad_() for layer in attention(2, 1, 2, 3))
    assert torch.autograd.gradcheck(lambda *given: attention_rollout(given), layers)


def test_the_worked_example() -> None:
    first, second = torch.tensor([[1, 0], [0.5, 0.5]])[None, None], torch.tensor([[0, 1], [0.2, 0.8]])[None, None]
    expected = torch.tensor([[[0.625, 0.375], [0.325, 0.675]]])
    torch.testing.assert_close(attention_rollout([first, second]), expected)


def test_bad_input() -> None:
    (layer,) = attention(1, 2, 3, 4)
    for bad in ([], [layer[0]], [layer[..., :3]], [layer, layer[:1]], [-layer], [layer * torch.nan], [0 * layer]):
        with pytest.raises(ValueError):
            attention_rollout(bad)
    with pytest.raises(ValueError, match="head_fusion"):
        attention_rollout([layer], head_fusion="sum")


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
