"""The reference against PyTorch's fake quantisation, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
import torch
from torch import Tensor, nn

from reference.compression import int8_quantisation
from reference.compression.int8_quantisation import Int8Linear, dequantize, quantize_affine, quantize_symmetric


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_symmetric_equals_fake_quantisation(seed) -> None:
    weight = normal(7, 50, seed=seed) * normal(7, 1, seed=seed + 100)
    levels, scale = quantize_symmetric(weight)
    zeros = torch.zeros(7, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(weight, scale[:, 0], zeros, 0, -127, 127)
    torch.testing.assert_close(dequantize(levels, scale), expected, rtol=1e-6, atol=0)
    levels, scale = quantize_symmetric(weight, per_channel=False)
    expected = torch.fake_quantize_per_tensor_affine(weight, scale.item(), 0, -127, 127)
    torch.testing.assert_close(dequantize(levels, scale), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_affine_equals_fake_quantisation(shift) -> None:
    x = normal(4, 5, 6, seed=3) + shift
    levels, scale, zero_point = quantize_affine(x)
    expected = torch.fake_quantize_per_tensor_affine(x, scale.item(), zero_point, 0, 255)
    torch.testing.assert_close(dequantize(levels, scale, zero_point), expected, rtol=1e-6, atol=1e-7)


def test_error_bound_and_the_erased_row() -> None:
    weight = normal(6, 40, seed=1)
    weight[2] /= 500
    levels, scale = quantize_symmetric(weight)
    whole_levels, whole_scale = quantize_symmetric(weight, per_channel=False)
    error = (dequantize(levels, scale) - weight).abs()
    assert (error <= scale / 2 * (1 + 1e-4)).all() and (scale <= whole_scale).all()
    assert error[2].max() <= 0.004 * weight[2].abs().max()
    assert not whole_levels[2].any()


def test_quantising_again_changes_nothing() -> None:
    weight = normal(20, 30, seed=2)
    levels, scale = quantize_symmetric(weight)
    again, _ = quantize_symmetric(dequantize(levels, scale))
    assert torch.equal(again, levels)


def test_scaling_rows_scales_the_scales() -> None:
    weight, factors = normal(4, 9, seed=4), torch.tensor([[1.0], [4.0], [0.125], [2.0**20]])
    levels, scale = quantize_symmetric(weight)
    scaled_levels, scaled_scale = quantize_symmetric(weight * factors)
    assert torch.equal(scaled_levels, levels) and torch.equal(scaled_scale, scale * factors)


@pytest.mark.parametrize("bias", [True, False])
def test_layer_equals_a_linear_layer_with_rounded_weights(bias) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(8, 5, bias=bias)
    layer, x = Int8Linear(linear), normal(3, 2, 8, seed=5)
    zeros = torch.zeros(5, dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(linear.weight.detach(), layer.scale[:, 0], zeros, 0, -127, 127)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, rounded, linear.bias))
    stored = sum(value.numel() * value.element_size() for value in layer.state_dict().values())
    assert stored == 8 * 5 + 4 * 5 + 4 * 5 * bias


def test_edge_cases_and_bad_input() -> None:
    levels, scale = quantize_symmetric(torch.tensor([[0.0, 0.0], [1e-44, 0.0]]))
    assert not levels.any() and (scale == 1).all()
    levels, scale, zero_point = quantize_affine(torch.zeros(3))
    assert not levels.any() and scale == 1 and zero_point == 0
    assert quantize_affine(torch.tensor([-1.5, 253.5]))[0].tolist() == [0, 255]
    for bad in (torch.tensor([[torch.nan]]), torch.zeros(0, 2), torch.zeros(3), torch.tensor([[torch.inf]])):
        with pytest.raises(ValueError, match="finite"):
            quantize_symmetric(bad)
    with pytest.raises(TypeError, match="floating"):
        quantize_affine(torch.ones(2, dtype=torch.int32))


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(int8_quantisation.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(int8_quantisation)))
