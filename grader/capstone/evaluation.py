"""A model's retrieval figures on a vendor's drawings of a part of the concepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from grader.capstone.augmentation import prepare
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.retrieval import Retrieval, retrieve


def embed(model: DualEncoder, drawings: Tensor, concepts: Tensor, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """Unit vectors of drawings and of the names of concepts: `embed_drawings` and `embed_names`."""
    texts = embed_names(model, concepts.to(drawings.device), batch_size)
    return embed_drawings(model, drawings, batch_size), texts


def embed_drawings(model: DualEncoder, drawings: Tensor, batch_size: int = 256) -> Tensor:
    """Unit vectors, float32 (n, width), of drawings, uint8 (n, 4, size, size), in evaluation mode."""
    with _evaluation_mode(model):
        return torch.cat([model.encode_images(prepare(part)) for part in drawings.split(batch_size)])


def embed_names(model: DualEncoder, concepts: Tensor, batch_size: int = 256) -> Tensor:
    """Unit vectors, float32 (n, width), of the names of `concepts`, int64 (n,), in evaluation mode."""
    with _evaluation_mode(model):
        return torch.cat([model.encode_texts(part) for part in concepts.split(batch_size)])


@contextmanager
def _evaluation_mode(model: DualEncoder) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


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
