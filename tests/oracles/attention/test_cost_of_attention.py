"""The reference of attention/cost_of_attention against PyTorch's FLOP counter, and the claims that can be computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from reference.attention import cost_of_attention as lesson
from reference.attention.cost_of_attention import attention_macs, fusion_macs


def attend(n_query, n_key, d_model, d_value, num_heads, mask=None):
    """Plain attention; the FLOPs that PyTorch counts."""
    query, key, value = (
        torch.randn(num_heads, length, width // num_heads)
        for length, width in ((n_query, d_model), (n_key, d_model), (n_key, d_value))
    )
    with FlopCounterMode(display=False) as counter:
        scores = query @ key.transpose(-2, -1)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        torch.softmax(scores, dim=-1) @ value
    return counter.get_total_flops()


@pytest.mark.parametrize("sizes", [(5, 7, 8, 8, 1), (5, 7, 8, 4, 2), (1, 9, 6, 12, 3), (11, 2, 4, 16, 4)])
def test_two_flops_a_mac(sizes):
    n_query, n_key, d_model, d_value, num_heads = sizes
    assert 2 * attention_macs(n_query, n_key, d_model, d_value, num_heads) == attend(*sizes)


def test_the_library_counts_its_fused_attention_alike():
    query, key, value = (torch.randn(1, 3, length, 8) for length in (5, 7, 7))
    with FlopCounterMode(display=False) as counter:
        F.scaled_dot_product_attention(query, key, value)
    assert counter.get_total_flops() in (0, 2 * attention_macs(5, 7, 24, num_heads=3))  # 0: no formula for this kernel


def test_fusions_are_made_of_attentions():
    text, image, latents, width = 5, 7, 3, 8
    joint = attend(12, 12, width, width, 1)
    cross = attend(text, image, width, width, 1) + attend(image, text, width, width, 1)
    within = attend(text, text, width, width, 1) + attend(image, image, width, width, 1)
    resampler = attend(latents, image, width, width, 1) + attend(8, 8, width, width, 1)
    assert (joint, cross, within) == (4608, 2240, 2368)
    assert 2 * fusion_macs(text, image, width, "joint") == joint == cross + within
    assert 2 * fusion_macs(text, image, width, "cross") == cross
    assert 2 * fusion_macs(text, image, width, "resampler", latents) == resampler


def test_a_resampler_pays_off_for_few_latents_only():
    joint = fusion_macs(20, 576, 64, "joint")
    assert fusion_macs(20, 576, 64, "resampler", n_latent=32) < joint / 10
    assert fusion_macs(20, 576, 64, "resampler", n_latent=576) > joint


def test_the_worked_example():
    assert attention_macs(4, 6, 10, 3) == 312
    assert fusion_macs(2, 10, 4, "joint") == 1152
    assert fusion_macs(2, 10, 4, "cross") == 320
    assert fusion_macs(2, 10, 4, "resampler", 3) == 440


def test_the_claims_that_can_be_computed():
    claims = lesson.claims
    mask = torch.arange(8) < 4
    assert (attend(6, 8, 4, 4, 1, mask) < attend(6, 8, 4, 4, 1)) == claims["masked_keys_are_free"]
    assert (4 * fusion_macs(6, 9, 4, "joint") == fusion_macs(12, 18, 4, "joint")) == claims["twice_is_fourfold"]
    assert (attend(6, 8, 32, 32, 16) == 2 * attend(6, 8, 32, 32, 8)) == claims["more_heads_cost_more"]
    tokens, order = torch.randn(1, 9, 4, dtype=torch.float64), torch.randperm(9)
    permuted = F.scaled_dot_product_attention(tokens[:, order], tokens[:, order], tokens[:, order])
    unpermuted = F.scaled_dot_product_attention(tokens, tokens, tokens)
    assert torch.allclose(permuted, unpermuted[:, order]) == claims["order_needs_positions"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cells = re.findall(r'# %% tags=\[(?:"visible-checks", )?"active-ipynb"\]\n((?:#.*\n)+)', text)
    assert len(cells) == 2
    for cell in cells:
        exec(re.sub(r"(?m)^# ?", "", cell), {**vars(lesson)})
