"""A tuned model as an index that can be served: written whole and proven right, or not at all."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from grader.capstone.compositing import on_background
from grader.capstone.data_set import DataSet
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.evaluation import embed
from grader.capstone.serving.comparison import Comparison, Trial, compare
from grader.capstone.serving.compression import prune_weights, quantise
from grader.capstone.serving.image_side import ImageSide, image_side, write_onnx
from grader.capstone.serving.index import embed_images, open_session
from grader.capstone.serving.manifest import (
    EMBEDDINGS,
    IMAGE_SIDE,
    MANIFEST,
    SCHEMA,
    Compression,
    FileFacts,
    IndexedConcept,
    Manifest,
    Origin,
    write_manifest,
)
from grader.capstone.serving.parity import check_parity
from grader.capstone.splits import Part
from grader.capstone.vendors import Vendor

SPARSITY = 0.5
_CALIBRATION = 256  # drawings


@dataclass(frozen=True)
class Export:
    """What was written, and what its compression cost; None without one."""

    manifest: Manifest
    comparison: Comparison | None


def export_index(
    model: DualEncoder,
    data: DataSet,
    origin: Origin,
    folder: Path,
    *,
    compression: Compression = Compression.NONE,
    sparsity: float = SPARSITY,
) -> Export:
    """Write a model as an index to `folder`, in the place of an earlier one.

    The exported file must agree with the evaluation of the model, LoRA unmerged and drawings prepared as there, on
    every known concept's drawing by `origin.vendor`. Raises CapstoneError, and leaves the folder as it was, when it
    does not.
    """
    if folder.exists() and not folder.is_dir():
        raise CapstoneError(f"{folder}: not a folder; name another one with --output")
    embeddings = _embeddings(model, data, Vendor(origin.vendor))
    images = on_background(data.of(Vendor(origin.vendor)).numpy())
    known = list(data[Part.KNOWN])
    side = image_side(model)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as unfinished:
        work = Path(unfinished)
        write_onnx(side, work / IMAGE_SIDE, data.size)
        parity = check_parity(work / IMAGE_SIDE, images[known], embeddings["drawings"][known], embeddings["names"])
        comparison = None
        if compression is not Compression.NONE:
            plain = (work / IMAGE_SIDE).rename(work / "plain.onnx")
            if compression is Compression.INT8:
                # Not on the test's drawings: ranges measured on those would make the comparison too kind.
                quantise(plain, work / IMAGE_SIDE, images[list(data[Part.TUNING])[:_CALIBRATION]])
            else:
                _write_pruned(side, sparsity, work / IMAGE_SIDE, images[known], embeddings["names"])
            trial = Trial(images[known], embeddings["names"][known])
            comparison = compare(compression, plain, work / IMAGE_SIDE, trial)
            embeddings["drawings"] = embed_images(open_session(work / IMAGE_SIDE), images)
        save_file(embeddings, work / EMBEDDINGS)
        manifest = Manifest(
            schema=SCHEMA,
            origin=origin,
            compression=compression,
            size=data.size,
            width=embeddings["names"].shape[1],
            log_scale=float(model.clamped_log_scale().detach()),
            parity=parity,
            files={name: FileFacts.of(work / name) for name in (IMAGE_SIDE, EMBEDDINGS)},
            concepts=tuple(IndexedConcept(concept.characters, concept.name) for concept in data.concepts),
        )
        write_manifest(work, manifest)
        _put_in_place(work, folder)
    return Export(manifest, comparison)


def _embeddings(model: DualEncoder, data: DataSet, vendor: Vendor) -> dict[str, np.ndarray]:
    """Unit vectors of one vendor's drawings and of all names, as the evaluation has them."""
    device = model.log_scale.device
    everything = torch.arange(len(data.concepts), device=device)
    images, texts = embed(model, data.of(vendor).to(device), everything)
    return {"drawings": images.float().cpu().numpy(), "names": texts.float().cpu().numpy()}


def _write_pruned(side: ImageSide, sparsity: float, file: Path, images: np.ndarray, names: np.ndarray) -> None:
    pruned = prune_weights(side, sparsity)
    write_onnx(pruned, file, images.shape[-1])
    with torch.inference_mode():
        expected = pruned(torch.from_numpy(images)).numpy()
    check_parity(file, images, expected, names)


def _put_in_place(work: Path, folder: Path) -> None:
    """Move the files, the manifest last: a folder without one is no index, so nobody takes half of two for one."""
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name in (IMAGE_SIDE, EMBEDDINGS, MANIFEST):
        os.replace(work / name, folder / name)
