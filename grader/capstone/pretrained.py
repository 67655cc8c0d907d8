"""What every method of a run begins with, and the models that are made of it: the pretrained one and the tuned ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from grader.capstone.adapters import apply_adapter
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.model_factory import frozen_names, make_model, pretrained_weights
from grader.capstone.presets import Preset
from grader.capstone.pretraining import digest_of
from grader.capstone.weights import restore


@dataclass(frozen=True)
class Pretrained:
    """`weights`, on the processor; `names`: features of all names where the preset keeps the text tower frozen.

    `file`: where the weights come from, for messages.
    """

    preset: Preset
    data: DataSet
    weights: dict[str, Tensor]
    names: Tensor | None
    file: Path = Path("the pretrained weights")

    @classmethod
    def load(cls, preset: Preset, data: DataSet, file: Path | None = None) -> Pretrained:
        """From a file's weights; from those that are shipped, or the preset's backbone, by default.

        Raises CapstoneError naming a file that is missing or broken.
        """
        weights = pretrained_weights(preset, data, file)
        return cls(preset, data, weights, frozen_names(preset, data), *([file] if file else []))

    @cached_property
    def digest(self) -> str:
        """The hash by which an adapter knows the weights it belongs to."""
        return digest_of(self.weights)

    def model(self) -> DualEncoder:
        """The pretrained model, new. Raises CapstoneError when the weights are another model's."""
        model = make_model(self.preset, self.data, self.names)
        restore(model, self.weights, self.file)
        return model

    def tuned(self, adapter: Path) -> tuple[DualEncoder, dict[str, Tensor]]:
        """The model that an adapter makes of it, new, and the adapter's tensors.

        Raises CapstoneError when the adapter cannot be read or does not fit (`apply_adapter`).
        """
        model = self.model()
        return model, apply_adapter(model, adapter, self.digest, trains_text=self.preset.trains_text)
