"""Finding drawings by Chinese names: a small tower of characters, taught to stand where the drawings already stand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from grader.capstone.contrastive import contrastive_loss
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder, Encoded
from grader.capstone.evaluation import embed, evaluate
from grader.capstone.retrieval import Retrieval
from grader.capstone.splits import Part
from grader.capstone.text_towers import CharacterTower
from grader.capstone.vendors import Vendor

_STEPS = 150
_RATE = 5e-3


def learn_chinese_names(model: DualEncoder, data: DataSet, vendors: Sequence[Vendor], *, seed: int = 0) -> DualEncoder:
    """A copy of the model's image side with a text side for Chinese names; the image side is not changed.

    The names of all concepts that pretraining saw are learned from these vendors' drawings, which are embedded once:
    with the image side frozen, nothing else about a drawing matters.
    """
    torch.manual_seed(seed)
    known = data.splits.pretraining
    tower = CharacterTower(data.chinese_names, known)
    chinese = DualEncoder(model.image_tower, tower, model.image_projection.out_features)
    chinese.image_projection, chinese.log_scale = model.image_projection, model.log_scale
    device = data.pixels.device
    chinese.to(device)
    concepts = torch.tensor(known, device=device)
    with torch.inference_mode():
        embedded = [embed(model, data.of(vendor)[concepts], concepts)[0] for vendor in vendors]
        images = nn.functional.normalize(torch.stack(embedded).mean(dim=0), dim=1).clone()  # (concepts, width)
        scale = model.clamped_log_scale().clone()
    learned = [*tower.parameters(), *chinese.text_projection.parameters()]
    optimizer = torch.optim.AdamW(learned, lr=_RATE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        # The image side is shared with the model, so its gradients must not be touched here: only embeddings enter.
        contrastive_loss(Encoded(images.clone(), chinese.encode_texts(concepts), scale.clone()), concepts).backward()
        optimizer.step()
    return chinese


def evaluate_chinese_names(chinese: DualEncoder, data: DataSet, vendor: Vendor) -> Retrieval:
    """The retrieval of a vendor's known concepts by their Chinese names."""
    return evaluate(chinese, data.of(vendor), data[Part.KNOWN])
