"""The two sizes the capstone comes in: minutes on two processor cores, or a vision transformer on graphics cards."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from grader.capstone.errors import CapstoneError
from grader.capstone.recipe import Precision, Recipe
from grader.capstone.tuning import Method
from grader.capstone.vendors import Vendor

SOURCE_VENDORS = (Vendor.GOOGLE, Vendor.TWITTER)
TARGET_VENDOR = Vendor.WINDOWS
CHOOSING_VENDOR = Vendor.SAMSUNG  # pretraining does not see it either: it only chooses the best epoch
REMEMBERED_VENDOR = Vendor.GOOGLE  # the source vendor on which forgetting is measured

_KINDS: dict[str, Callable[[str], Any]] = {"int": int, "float": float}


class Tower(enum.StrEnum):
    """Kinds of image towers."""

    CONVOLUTIONAL = "convolutional"
    TRANSFORMER = "transformer"


@dataclass(frozen=True)
class Preset:
    """One size: image resolution, tower, whether names go through a trainable text tower, and how it is trained.

    `backbone`: a CLIP or SigLIP checkpoint in the place of our towers and weights.
    """

    name: str
    size: int
    tower: Tower
    trains_text: bool
    pretraining: Recipe
    tuning: Recipe
    backbone: str | None = None

    def recipe(self, method: Method) -> Recipe:
        """How a method is trained in this size: the common recipe and what the method changes of it."""
        return replace(self.tuning, **_CHANGES.get(method, {}))

    def changed(self, changes: Mapping[str, str]) -> Preset:
        """The same with other numbers of the common recipe for tuning, as text, for example {"epochs": "30"}.

        Raises CapstoneError naming a number that no recipe has, or a text that is none.
        """
        kinds = {field.name: str(field.type) for field in fields(Recipe)}
        numbers = {}
        for name, text in changes.items():
            kind = _KINDS.get(kinds.get(name, "").removesuffix(" | None"))
            if kind is None:
                known = ", ".join(name for name in kinds if kinds[name].removesuffix(" | None") in _KINDS)
                raise CapstoneError(f"a recipe has no number {name!r}; there are: {known}")
            try:
                numbers[name] = kind(text)
            except ValueError:
                raise CapstoneError(
                    f"{name} is not {text!r} but a number such as {getattr(self.tuning, name)}"
                ) from None
        return replace(self, tuning=replace(self.tuning, **numbers))


_CHANGES: dict[Method, dict[str, Any]] = {
    Method.LINEAR_PROBE: {"head_learning_rate": 3e-3},
    Method.LORA: {"learning_rate": 3e-3, "head_learning_rate": 3e-3},
    Method.REPLAY: {"replay": 1.0},
}

CPU = Preset(
    name="cpu",
    size=40,
    tower=Tower.CONVOLUTIONAL,
    trains_text=False,
    pretraining=Recipe(epochs=60, batch_size=256, learning_rate=2e-3, head_learning_rate=2e-3, frozen_statistics=False),
    # A contrastive step learns from the other names in its batch: with 64 rows instead of 256, full tuning's mean
    # reciprocal rank on validation was 0.55 instead of 0.58, and it forgot three times as much.
    tuning=Recipe(epochs=40, batch_size=256, learning_rate=1e-3, head_learning_rate=1e-3, ema=0.97, patience=12),
)
GPU = Preset(
    name="gpu",
    size=72,
    tower=Tower.TRANSFORMER,
    trains_text=True,
    pretraining=Recipe(
        epochs=200,
        batch_size=1024,
        learning_rate=5e-4,
        head_learning_rate=5e-4,
        ema=0.999,
        precision=Precision.BFLOAT16,
        compile=True,
    ),
    tuning=Recipe(
        epochs=60,
        batch_size=512,
        learning_rate=1e-4,
        head_learning_rate=5e-4,
        patience=12,
        ema=0.99,
        precision=Precision.BFLOAT16,
        compile=True,
    ),
)
PRESETS = {preset.name: preset for preset in (CPU, GPU)}
