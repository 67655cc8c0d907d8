"""What each method of fine-tuning trains, and what it leaves alone."""

from __future__ import annotations

import enum

from torch import nn

from grader.capstone.dual_encoder import DualEncoder

LORA_RANK = 8
LORA_SCALE = 16


class Method(enum.StrEnum):
    """The ways to adapt that a run compares; zero-shot trains nothing and is what all others are measured against."""

    ZERO_SHOT = "zero-shot"
    LINEAR_PROBE = "linear probe"
    FULL = "full"
    LORA = "LoRA"
    REPLAY = "replay"
    INTERPOLATION = "interpolation"
    RANDOM_LABELS = "random labels"


def choose_parameters(model: DualEncoder, method: Method, *, rank: int = LORA_RANK, scale: float = LORA_SCALE) -> None:
    """Set `requires_grad` of every parameter as the method wants it; LoRA adds its matrices first.

    The text side stays as it was pretrained in all of them: names do not change with a vendor's style.
    """
    model.requires_grad_(False)
    if method is Method.ZERO_SHOT:
        return
    model.image_projection.requires_grad_(True)
    model.log_scale.requires_grad_(True)
    if method is Method.LORA:
        add_lora(model.image_tower, rank=rank, scale=scale)
    elif method is not Method.LINEAR_PROBE:
        model.image_tower.requires_grad_(True)


def add_lora(tower: nn.Module, *, rank: int, scale: float) -> None:
    """Give every convolution and every linear layer of a tower a low-rank update (Hu et al. 2022), by peft."""
    from peft import LoraConfig, inject_adapter_in_model

    layers = [name for name, module in tower.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=scale, target_modules=layers), tower)


def merge_lora(tower: nn.Module) -> None:
    """Add the low-rank updates to the weights they belong to: the same outputs at the cost of the plain tower."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in tower.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)


def training_mode(model: nn.Module, *, frozen_statistics: bool) -> None:
    """Training mode, in which frozen BatchNorm layers keep their statistics as well as their parameters."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            frozen = module.weight is not None and not module.weight.requires_grad
            module.train(not (frozen or frozen_statistics))


def count_trainable(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
