"""The tuned model of a bundle: the pretrained weights and one method's adapter, put together again."""

from __future__ import annotations

from pathlib import Path

from grader.capstone.adapters import apply_adapter
from grader.capstone.bundle import Bundle
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.graded_run import preset_of
from grader.capstone.model_factory import make_model
from grader.capstone.presets import TARGET_VENDOR
from grader.capstone.pretraining import digest_of
from grader.capstone.serving.manifest import FileFacts, Origin
from grader.capstone.tuning import Method
from grader.capstone.weights import load_weights, restore, weights_file


def tuned_model(
    bundle: Bundle, method: Method, data: DataSet, weights: Path | None = None
) -> tuple[DualEncoder, Origin]:
    """A method's model, and what it was made of. `weights` are the pretrained ones, those that are shipped by default.

    Raises CapstoneError when the bundle has no adapter of this method, or when data, pretrained weights and adapter do
    not belong together.
    """
    preset, facts = preset_of(bundle.folder), bundle.facts()
    adapter = bundle.adapter(method)
    if not adapter.is_file():
        done = [str(each) for each in Method if bundle.adapter(each).is_file()]
        raise CapstoneError(
            f"{adapter} is missing: the run has no {method}, only: {', '.join(done) or 'nothing yet'}; "
            "name one of those with --method, or let course capstone train go on"
        )
    if facts.get("data") != (data_digest := data.digest()):
        raise CapstoneError(f"{bundle.folder}: made with other data than this (hash {str(facts.get('data'))[:12]}...)")
    file = weights or weights_file(preset.name)
    pretrained, _ = load_weights(file)
    digest = digest_of(pretrained)
    model = make_model(preset, data)
    restore(model, pretrained, file)
    apply_adapter(model, adapter, digest, trains_text=preset.trains_text)
    vendor = str(facts.get("target", TARGET_VENDOR))
    return model.eval(), Origin(
        method=str(method),
        preset=preset.name,
        vendor=vendor,
        data=data_digest,
        pretrained=digest,
        adapter=FileFacts.of(adapter).sha256,
    )
