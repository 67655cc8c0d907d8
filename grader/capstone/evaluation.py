"""A model's retrieval figures on a vendor's drawings of a part of the concepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from grader.capstone.augmentation import prepare
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.retrieval import Retrieval, retrieve


@torch.inference_mode()
def embed(model: DualEncoder, drawings: Tensor, concepts: Tensor, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """Unit vectors of drawings, uint8 (n, 4, size, size), and of the names of `concepts`, each float32 (n, width).

    In evaluation mode; every module is left in the mode it was in.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        images = [model.encode_images(prepare(part)) for part in drawings.split(batch_size)]
        texts = [model.encode_texts(part) for part in concepts.to(drawings.device).split(batch_size)]
    finally:
        for module, training in modes.items():
            module.training = training
    return torch.cat(images), torch.cat(texts)


def similarities(model: DualEncoder, pixels: Tensor, concepts: Sequence[int]) -> np.ndarray:
    """Cosines of drawings (rows) and names (columns) of `concepts`, float64 (candidates, candidates).

    `pixels`, uint8 (all concepts, 4, size, size), are one vendor's drawings.
    """
    chosen = torch.tensor(list(concepts), device=pixels.device)
    images, texts = embed(model, pixels[chosen], chosen)
    return (images @ texts.T).float().cpu().numpy().astype(np.float64)


def evaluate(model: DualEncoder, pixels: Tensor, concepts: Sequence[int]) -> Retrieval:
    """How well the drawings and names of `concepts` find each other; arguments as of `similarities`."""
    return retrieve(similarities(model, pixels, concepts))
