"""The reference against PyTorch's own attention, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.attention import scaled_dot_product
from reference.attention.scaled_dot_product import scaled_dot_product_attention


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def inputs(*leading: int, queries: int = 4, keys: int = 7, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    return (
        normal(*leading, queries, 5, dtype=dtype, seed=1),
        normal(*leading, keys, 5, dtype=dtype, seed=2),
        normal(*leading, keys, 3, dtype=dtype, seed=3),
    )


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
@pytest.mark.parametrize(("queries", "keys"), [(4, 7), (7, 4), (1, 6), (6, 1)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.0, -0.7, 2.5])
def test_output_equals_the_library(leading, queries, keys, causal, scale) -> None:
    query, key, value = inputs(*leading, queries=queries, keys=keys)
    mask = torch.rand(queries, keys, generator=torch.Generator().manual_seed(4)) < 0.7
    mask[queries // 2] = False  # one query without any key
    both = mask & torch.ones(queries, keys, dtype=torch.bool).tril() if causal else mask  # the library takes only one

    output, weights = scaled_dot_product_attention(query, key, value, mask, causal, scale)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=both, scale=scale)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights.sum(dim=-1), both.any(dim=-1).double().expand(*leading, queries))

    output, _ = scaled_dot_product_attention(query, key, value, causal=causal, scale=scale)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scale)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-14)


def test_weights_are_what_the_library_applies_to_the_identity() -> None:
    query, key, _ = inputs(2)
    _, weights = scaled_dot_product_attention(query, key, torch.zeros(2, 7, 1, dtype=torch.float64))
    identity = torch.eye(7, dtype=torch.float64).expand(2, 7, 7)
    torch.testing.assert_close(weights, F.scaled_dot_product_attention(query, key, identity), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(dtype) -> None:
    query, key, value = inputs(2, dtype=dtype)
    output, weights = scaled_dot_product_attention(query, key, value, causal=True)
    exact, exact_weights = scaled_dot_product_attention(query.double(), key.double(), value.double(), causal=True)
    assert output.dtype == weights.dtype == dtype
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(output.double(), exact, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(weights.double(), exact_weights, rtol=tolerance, atol=tolerance)


def test_float16_survives_products_beyond_its_range() -> None:
    query = torch.full((1, 64), 40.0, dtype=torch.float16)  # 64 * 40 * 40 = 102400 > 65504
    output, _ = scaled_dot_product_attention(query, query, torch.ones(1, 2, dtype=torch.float16))
    assert torch.equal(output, torch.ones(1, 2, dtype=torch.float16))


def test_gradients_are_those_of_finite_differences() -> None:
    arguments = tuple(tensor.requires_grad_() for tensor in inputs(2, queries=3, keys=4))
    mask = torch.tensor([[True, True, False, True], [False] * 4, [True, False, True, True]])
    assert torch.autograd.gradcheck(lambda *tensors: scaled_dot_product_attention(*tensors, mask, True), arguments)


def test_no_keys_at_all() -> None:
    query, key, value = inputs(2, keys=0)
    output, weights = scaled_dot_product_attention(query, key, value)
    assert torch.equal(output, torch.zeros(2, 4, 3, dtype=torch.float64)) and weights.shape == (2, 4, 0)


def test_bad_input() -> None:
    query, key, value = inputs(2)
    with pytest.raises(ValueError, match="wide"):
        scaled_dot_product_attention(query, key[..., :4], value)
    with pytest.raises(ValueError, match="values"):
        scaled_dot_product_attention(query, key, value[:, :6])
    with pytest.raises(ValueError, match="broadcast"):
        scaled_dot_product_attention(query, key, value, torch.ones(4, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match="broadcast"):
        scaled_dot_product_attention(query, key, value, torch.ones(3, 1, 4, 7, dtype=torch.bool))
    with pytest.raises(TypeError, match="boolean"):
        scaled_dot_product_attention(query, key, value, torch.ones(4, 7))


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(scaled_dot_product.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(scaled_dot_product)))
