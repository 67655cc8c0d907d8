"""Pretrains an image tower on the source vendors, contrastively, and keeps it with a manifest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import evaluate
from grader.capstone.examples import Examples, all_pairs
from grader.capstone.presets import Preset
from grader.capstone.processes import is_first
from grader.capstone.splits import Part
from grader.capstone.training import Watcher, train
from grader.capstone.vendors import Vendor
from grader.capstone.weights import save_weights


def pretrain(
    model: DualEncoder,
    preset: Preset,
    data: DataSet,
    sources: Sequence[Vendor],
    held_out: Vendor,
    file: Path,
    *,
    command: str,
    checkpoint: Path | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Train `model` on the sources' drawings of all but the unseen concepts; write `file` and its manifest.

    `held_out` is a vendor that pretraining does not see, on whose validation concepts the best epoch is chosen; it must
    not be one of the sources. Returns the manifest. Under `torchrun` all processes call this; the first writes.
    """
    assert held_out not in sources
    started = time.perf_counter()

    def score(judged: DualEncoder) -> float:
        return evaluate(judged, data.of(held_out), data[Part.VALIDATION]).mean_reciprocal_rank

    pairs = all_pairs([data.row(vendor) for vendor in sources], data.splits.pretraining)
    history = train(
        model, data.pixels, Examples(pairs), preset.pretraining, validate=score, checkpoint=checkpoint, watcher=watcher
    )
    manifest = {
        "command": command,
        "preset": preset.name,
        "recipe": preset.pretraining.as_json(),
        "sources": list(sources),
        "chosen_on": held_out,
        "data": data.digest(),
        "seconds": round(time.perf_counter() - started, 1),
        "epochs": len(history.epochs),
        "best_epoch": history.best,
        "parameters": sum(parameter.numel() for parameter in model.image_tower.parameters()),
        "recall_at_1": {
            f"{vendor} {part}": round(evaluate(model, data.of(vendor), data[part]).recall(1), 4)
            for vendor in data.vendors
            for part in (Part.KNOWN, Part.UNSEEN)
        },
    }
    if is_first():
        trained = {n: v for n, v in model.state_dict().items() if preset.trains_text or not n.startswith("text_tower.")}
        save_weights(file, trained, manifest)
    return manifest


def digest_of(weights: dict[str, Tensor]) -> str:
    """A hash of weights, by which an adapter knows the ones it belongs to."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].contiguous().cpu().numpy().tobytes())
    return found.hexdigest()
