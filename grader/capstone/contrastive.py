"""The contrastive loss, with every pair that shows the same concept counted as a positive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from grader.capstone.dual_encoder import Encoded


def contrastive_loss(encoded: Encoded, concepts: Tensor) -> Tensor:
    """Mean of both directions' cross-entropy, float scalar (van den Oord et al. 2018; Radford et al. 2021).

    Where a concept stands in the batch several times, the target is spread evenly over all its places (Khosla et al.
    2020), so that a drawing is never pushed away from its own name.
    """
    # Inside autocast the product would be taken in bfloat16, which at a scale of 100 is off by a quarter.
    with torch.autocast(encoded.images.device.type, enabled=False):
        logits = encoded.log_scale.exp() * encoded.images @ encoded.texts.T  # (images, texts)
        same = concepts.unsqueeze(1) == concepts.unsqueeze(0)
        targets = same.to(logits.dtype) / same.sum(dim=1, keepdim=True)  # rows and columns have the same sums
        return torch.stack([F.cross_entropy(logits, targets), F.cross_entropy(logits.T, targets)]).mean()
