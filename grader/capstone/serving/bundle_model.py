"""The tuned model of a bundle: the pretrained weights and one method's adapter, put together again."""

from __future__ import annotations

from pathlib import Path

from grader.capstone.bundle import Bundle
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.graded_run import preset_of
from grader.capstone.presets import TARGET_VENDOR
from grader.capstone.pretrained import Pretrained
from grader.capstone.serving.manifest import FileFacts, Origin
from grader.capstone.tuning import Method


def tuned_model(
    bundle: Bundle, method: Method, data: DataSet, weights: Path | None = None
) -> tuple[DualEncoder, Origin]:
    """A method's model, and what it was made of. `weights` are the pretrained ones, those that are shipped by default.

    Raises CapstoneError when the bundle has no adapter of this method, or when data, pretrained weights and adapter do
    not belong together.
    """
    preset, facts = preset_of(bundle.folder), bundle.facts()
    adapter = bundle.existing_adapter(method)
    bundle.check_data(data_digest := data.digest())
    pretrained = Pretrained.load(preset, data, weights)
    model, _ = pretrained.tuned(adapter)
    vendor = str(facts.get("target", TARGET_VENDOR))
    return model.eval(), Origin(
        method=str(method),
        preset=preset.name,
        vendor=vendor,
        data=data_digest,
        pretrained=pretrained.digest,
        adapter=FileFacts.of(adapter).sha256,
    )
