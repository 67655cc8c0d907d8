"""How a model is trained: every number that a run depends on."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from grader.capstone.errors import CapstoneError


class Precision(enum.StrEnum):
    """The number format of the forward pass; parameters and optimizer state stay in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Recipe:
    """Every number of a run. Rates are per step; `warmup` is the part of all steps in which the rate rises.

    `micro_batch`: rows held with their activations at once. `ema`: decay of the averaged weights that are evaluated and
    kept, None for the plain ones. `patience`: epochs without a better score before the run ends. `replay`: drawings of
    source vendors for every one of the target's. `frozen_statistics`: BatchNorm keeps what pretraining found.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0
    ema: float | None = None
    patience: int | None = None
    micro_batch: int | None = None
    replay: float = 0.0
    frozen_statistics: bool = True
    precision: Precision = Precision.FLOAT32
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise CapstoneError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "head_learning_rate", "weight_decay", "replay"):
            if not getattr(self, name) >= 0:
                raise CapstoneError(f"{name} must not be negative, but is {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise CapstoneError(f"warmup is a part of all steps, from 0 to below 1, not {self.warmup}")
        if not self.clip > 0:
            raise CapstoneError(f"clip is a gradient norm above 0, not {self.clip}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise CapstoneError(f"ema is a decay from 0 to below 1, not {self.ema}")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise CapstoneError(f"micro_batch must be at least 1, not {self.micro_batch}")

    def as_json(self) -> dict[str, object]:
        """Plain values, as a bundle keeps them."""
        return dataclasses.asdict(self)
