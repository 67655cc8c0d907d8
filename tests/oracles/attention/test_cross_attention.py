"""The reference against PyTorch's own attention, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference.attention import cross_attention
from reference.attention.cross_attention import CrossAttention


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def module_with_random_biases(q_dim: int, kv_dim: int, d_model: int, n_heads: int) -> CrossAttention:
    torch.manual_seed(0)
    module = CrossAttention(q_dim, kv_dim, d_model, n_heads).double()
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return module


MASK = torch.tensor([[True, True, False, True, False], [True] * 5, [False, False, False, True, False]])


@pytest.mark.parametrize("n_heads", [1, 2, 3, 6])
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_multihead_attention_with_copied_weights(n_heads, mask) -> None:
    module = module_with_random_biases(q_dim=6, kv_dim=7, d_model=6, n_heads=n_heads)  # it needs q_dim == d_model
    library = nn.MultiheadAttention(6, n_heads, kdim=7, vdim=7, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name in "qkv":
            getattr(library, f"{name}_proj_weight").copy_(getattr(module, f"{name}_proj").weight)
        library.in_proj_bias.copy_(torch.cat([module.q_proj.bias, module.k_proj.bias, module.v_proj.bias]))
        library.out_proj.load_state_dict(module.out_proj.state_dict())
    query, context = normal(3, 4, 6, seed=1), normal(3, 5, 7, seed=2)

    output, weights = module(query, context, mask)
    padding = None if mask is None else ~mask
    expected = library(query, context, context, key_padding_mask=padding, average_attn_weights=False)
    torch.testing.assert_close(output, expected[0], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(weights, expected[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mask", [None, MASK, MASK & torch.tensor([[True], [False], [True]])])
def test_equals_the_functional_attention(mask) -> None:
    module = module_with_random_biases(q_dim=4, kv_dim=7, d_model=6, n_heads=2)
    query, context = normal(3, 4, 4, seed=1), normal(3, 5, 7, seed=2)
    q, k, v = (
        torch.stack(projected.chunk(2, dim=-1), dim=1)
        for projected in (module.q_proj(query), module.k_proj(context), module.v_proj(context))
    )
    attn_mask = None if mask is None else mask[:, None, None, :].expand(3, 2, 4, 5)
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
    expected = module.out_proj(torch.cat(heads.unbind(dim=1), dim=-1))
    torch.testing.assert_close(module(query, context, mask)[0], expected, rtol=1e-12, atol=1e-13)


def test_sample_without_context() -> None:
    module = module_with_random_biases(q_dim=4, kv_dim=7, d_model=6, n_heads=2)
    query, context = normal(3, 4, 4, seed=1).requires_grad_(), normal(3, 5, 7, seed=2)
    mask = MASK.index_fill(0, torch.tensor(1), False)
    output, weights = module(query, context.index_fill(0, torch.tensor(1), torch.nan), mask)
    torch.testing.assert_close(output[1], module.out_proj.bias.expand(4, 4), rtol=0, atol=0)
    assert not weights[1].any()
    output.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (query, *module.parameters()))


def test_permuting_the_context_with_its_mask_changes_nothing() -> None:
    module = module_with_random_biases(q_dim=4, kv_dim=7, d_model=6, n_heads=3)
    query, context = normal(3, 4, 4, seed=1), normal(3, 5, 7, seed=2)
    order = torch.tensor([3, 0, 4, 2, 1])
    output, weights = module(query, context, MASK)
    shuffled_output, shuffled_weights = module(query, context[:, order], MASK[:, order])
    torch.testing.assert_close(shuffled_output, output, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(shuffled_weights, weights[..., order], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_stays_close_to_float64(dtype) -> None:
    module = module_with_random_biases(q_dim=4, kv_dim=7, d_model=6, n_heads=2)
    query, context = normal(3, 4, 4, seed=1), normal(3, 5, 7, seed=2)
    exact, _ = module(query, context, MASK)
    output, weights = module.to(dtype)(query.to(dtype), context.to(dtype), MASK)
    assert output.dtype == weights.dtype == dtype
    torch.testing.assert_close(output.double(), exact, rtol=0, atol=30 * torch.finfo(dtype).eps)


def test_gradients_are_those_of_finite_differences() -> None:
    module = module_with_random_biases(q_dim=2, kv_dim=3, d_model=4, n_heads=2)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    inputs = (normal(2, 2, 2, seed=1).requires_grad_(), normal(2, 3, 3, seed=2).requires_grad_())
    assert torch.autograd.gradcheck(lambda query, context: module(query, context, mask), inputs)


def test_bad_input() -> None:
    for n_heads in (4, 0):
        with pytest.raises(ValueError, match="heads"):
            CrossAttention(4, 7, 6, n_heads)
    module = CrossAttention(4, 7, 6, 2)
    query, context = torch.zeros(3, 4, 4), torch.zeros(3, 5, 7)
    for bad_query, bad_context in (
        (query[0], context),
        (query, context[0]),
        (query, context[:1]),
        (query[:1], context),
    ):
        with pytest.raises(ValueError, match="batch, tokens, width"):
            module(bad_query, bad_context)
    for mask in (
        torch.ones(3, 4, dtype=torch.bool),
        torch.ones(5, dtype=torch.bool),
        torch.ones(1, 5, dtype=torch.bool),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            module(query, context, mask)
    with pytest.raises(TypeError, match="boolean"):
        module(query, context, torch.ones(3, 5))


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(cross_attention.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(cross_attention)))
