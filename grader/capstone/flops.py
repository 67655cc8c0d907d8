"""Model FLOPs utilisation: the work a model needs, over the work a graphics card could have done in that time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from grader.capstone.recipe import Precision
from grader.capstone.steps import backward

# Tera-FLOP/s of dense bfloat16 matrix products by a part of the card's name, as published for it (data sheets name the
# double, for sparse matrices, first). A card that is not here gets no utilisation rather than a wrong one: H100s differ
# by their form.
_PEAKS = {"H200": 989.0, "H100 80GB HBM3": 989.0, "A100": 312.0, "RTX 4090": 165.0}


def count_flops(model: nn.Module, images: Tensor, concepts: Tensor) -> float:
    """FLOPs of one row's forward and backward pass: of all matrix products and convolutions, two for each addition.

    `images`: float (batch, 3, size, size); `concepts`: int64 (batch,). torch counts from the operators' shapes,
    attention as plain matrix products; what a recomputation or another kernel adds does not count. Gradients are thrown
    away.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        backward(model, images, concepts)
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops() / len(concepts)


def peak_flops(card: str, precision: Precision) -> float | None:
    """FLOP/s that a card of this name could do; None where no data sheet was looked up."""
    if precision is not Precision.BFLOAT16:
        return None
    return next((peak * 1e12 for name, peak in _PEAKS.items() if name in card), None)


def card_name() -> str:
    """The card's name, or "cpu"."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
