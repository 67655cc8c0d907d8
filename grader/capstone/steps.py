"""The gradient of one step: in one piece, in micro-batches, or spread over several processes; always the same."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from grader.capstone.contrastive import contrastive_loss
from grader.capstone.dual_encoder import Encoded
from grader.capstone.errors import CapstoneError
from grader.capstone.processes import count_processes


def backward(
    model: nn.Module, pixels: Tensor, concepts: Tensor, *, micro_batch: int | None = None, rows: int | None = None
) -> Tensor:
    """Add this step's gradient to the parameters' `.grad`; the loss, detached.

    `pixels`: float (batch, 3, size, size), this process's share; `concepts`: int64 (batch,). `rows`: how many all
    processes have together, without the repeated ones at the end (`Batch.share`); None for all.

    `micro_batch` bounds how many rows are held with their activations at once. The loss compares every row with every
    other one, so gradients of micro-batches' own losses would be another thing: the embeddings of all rows come first,
    without activations, then their gradients are carried into one micro-batch after the other (GradCache; Gao et al.
    2021).
    """
    in_pieces = micro_batch is not None and micro_batch < len(pixels)
    if in_pieces or count_processes() > 1:
        _refuse_batch_statistics(model)
    if not in_pieces:
        encoded = model(pixels, concepts)
        loss = contrastive_loss(_gather(encoded, rows), _gather_concepts(concepts, rows))
        loss.backward()
        return loss.detach()
    assert micro_batch is not None
    pieces = list(zip(pixels.split(micro_batch), concepts.split(micro_batch), strict=True))
    with torch.no_grad():
        parts = [model(*piece) for piece in pieces]
    whole = Encoded(torch.cat([p.images for p in parts]), torch.cat([p.texts for p in parts]), parts[0].log_scale)
    leaves = Encoded(*(value.detach().requires_grad_() for value in whole))
    loss = contrastive_loss(_gather(leaves, rows), _gather_concepts(concepts, rows))
    gradients = Encoded(*torch.autograd.grad(loss, leaves))
    shares = zip(gradients.images.split(micro_batch), gradients.texts.split(micro_batch), strict=True)
    for number, (piece, (of_images, of_texts)) in enumerate(zip(pieces, shares, strict=True)):
        last = number == len(pieces) - 1
        with contextlib.nullcontext() if last else _alone(model):
            encoded = model(*piece)
            of_scale = gradients.log_scale if last else torch.zeros_like(gradients.log_scale)
            flows = zip(encoded, (of_images, of_texts, of_scale), strict=True)
            learned = [(value, gradient) for value, gradient in flows if value.requires_grad]
            torch.autograd.backward([value for value, _ in learned], [gradient for _, gradient in learned])
    return loss.detach()


def _alone(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Keeps this process's gradients to itself until the last micro-batch, when they are averaged once."""
    inner: Any = getattr(model, "_orig_mod", model)  # of a compiled model
    return inner.no_sync() if isinstance(inner, DistributedDataParallel) else contextlib.nullcontext()


def _gather(encoded: Encoded, rows: int | None) -> Encoded:
    """All processes' rows, through which gradients flow back; each then holds the loss of the whole batch.

    Gathering adds the processes' gradients up and DistributedDataParallel averages them, which cancels out.
    """
    if count_processes() == 1:
        return encoded
    from torch.distributed.nn.functional import all_gather

    with warnings.catch_warnings():
        # torch 2.13 calls it deprecated, but has the one that lets gradients through only in a private module.
        warnings.simplefilter("ignore", FutureWarning)
        images, texts = (_interleave(all_gather(part), rows) for part in (encoded.images, encoded.texts))
    return Encoded(images, texts, encoded.log_scale)


def _gather_concepts(concepts: Tensor, rows: int | None) -> Tensor:
    if count_processes() == 1:
        return concepts
    parts = [torch.empty_like(concepts) for _ in range(count_processes())]
    torch.distributed.all_gather(parts, concepts)
    return _interleave(parts, rows)


def _interleave(parts: Sequence[Tensor], rows: int | None) -> Tensor:
    """The batch in its own order from the processes' shares, each (share, ...), without rows that stand again."""
    return torch.stack(tuple(parts), dim=1).flatten(0, 1)[:rows]


def _refuse_batch_statistics(model: nn.Module) -> None:
    """BatchNorm in training mode looks at its part of the batch alone, so the gradient would be another one."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise CapstoneError(
                f"micro-batches and several processes need frozen BatchNorm statistics, but {name} is in training "
                "mode: leave them out, or freeze the statistics"
            )
