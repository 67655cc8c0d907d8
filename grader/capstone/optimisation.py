"""The optimizer and its schedule: AdamW in groups, linear warm-up, half a cosine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from grader.capstone.recipe import Recipe

_Tensors = list[Tensor] | tuple[Tensor, ...]
_HEADS = ("image_projection", "text_projection", "log_scale")


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the trainable parameters of a dual encoder, in up to four groups.

    Pretrained weights and new heads have rates of their own; matrices decay, biases, norms and the temperature do not.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith(_HEADS), parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    on_graphics_card = next(model.parameters()).is_cuda
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": recipe.head_learning_rate if is_head else recipe.learning_rate,
                "weight_decay": recipe.weight_decay if decays else 0.0,
            }
            for (is_head, decays), parameters in groups.items()
        ],
        fused=on_graphics_card,
    )


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """A factor for every one of `steps` steps: up in a line, then down to 0 along a cosine."""
    warmup = round(recipe.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def make_average(model: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    """A copy of the model whose weights and statistics follow by an exponential moving average.

    Tokens and counters are copied: torch's average would cut them to whole numbers below what they are.
    """
    floats = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)

    def average(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            floats(averaged, current, count)
        else:
            torch._foreach_copy_(averaged, current)

    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average, use_buffers=True)
