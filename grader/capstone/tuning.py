"""What each method of fine-tuning trains, and what it leaves alone."""

from __future__ import annotations

import enum

from torch import nn

from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError

LORA_RANK = 8
LORA_SCALE = 16
# As the layers are called in BERT, and in CLIP and SigLIP.
_QUERY_AND_VALUE = ("query", "value", "q_proj", "v_proj")


class Method(enum.StrEnum):
    """The ways to adapt that a run compares; zero-shot trains nothing and is what all others are measured against."""

    ZERO_SHOT = "zero-shot"
    LINEAR_PROBE = "linear probe"
    FULL = "full"
    LORA = "LoRA"
    REPLAY = "replay"
    INTERPOLATION = "interpolation"
    COMBINATION = "replay and interpolation"
    RANDOM_LABELS = "random labels"

    @property
    def slug(self) -> str:
        """The name as one types it and as its files are called: `linear-probe`."""
        return self.lower().replace(" ", "-")


def find_method(name: str) -> Method:
    """The method of a name as one types it, whatever its case. Raises CapstoneError naming those that there are."""
    methods = {method.slug: method for method in Method}
    if (found := methods.get(name.lower().replace(" ", "-"))) is None:
        raise CapstoneError(f"there is no method {name!r}; there are: {', '.join(methods)}")
    return found


# Weights between the pretrained ones and those that another method ended with; nothing is trained for them.
BETWEEN = {Method.INTERPOLATION: Method.FULL, Method.COMBINATION: Method.REPLAY}


def choose_parameters(
    model: DualEncoder, method: Method, *, trains_text: bool = False, rank: int = LORA_RANK, scale: int = LORA_SCALE
) -> None:
    """Set `requires_grad` of every parameter as the method wants it; LoRA adds its matrices first.

    Without `trains_text` the text side stays as it was pretrained: names do not change with a vendor's style.
    """
    model.requires_grad_(False)
    if method is Method.ZERO_SHOT:
        return
    if method is Method.LORA:
        add_lora(model, trains_text=trains_text, rank=rank, scale=scale)
    else:
        model.image_projection.requires_grad_(True)
        model.text_projection.requires_grad_(trains_text)
        if method is not Method.LINEAR_PROBE:
            model.image_tower.requires_grad_(True)
            model.text_tower.requires_grad_(trains_text)
    model.log_scale.requires_grad_(True)


def add_lora(model: DualEncoder, *, trains_text: bool, rank: int, scale: int) -> None:
    """Give every convolution and linear layer of the image side a low-rank update (Hu et al. 2022), by peft.

    With `trains_text` also the query and value layers of the text tower. Everything else is frozen. The output layer of
    torch's own multi-head attention is left out: that module reads its weight past any update.
    """
    from peft import LoraConfig, inject_adapter_in_model

    image_side = [
        name
        for name, module in model.named_modules()
        if name.startswith("image_")
        and isinstance(module, nn.Conv2d | nn.Linear)
        and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)
    ]
    text_side = [name for name, _ in model.text_tower.named_modules() if name.endswith(_QUERY_AND_VALUE)]
    targets = image_side + [f"text_tower.{name}" for name in text_side if trains_text]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=scale, target_modules=targets), model)


def merge_lora(model: nn.Module) -> None:
    """Add the low-rank updates to the weights they belong to: the same outputs at the cost of the plain tower."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
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
