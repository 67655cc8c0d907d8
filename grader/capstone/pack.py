"""Packs: the data set in a folder of files of at most 30 MB with their hashes, for machines without the packages."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from grader.capstone.concepts import Concept
from grader.capstone.data_set import DataSet
from grader.capstone.errors import CapstoneError
from grader.capstone.splits import Part, Splits
from grader.capstone.text_towers import package_folder
from grader.capstone.vendors import Vendor

SCHEMA = 1
MOST_BYTES = 30_000_000
MANIFEST = "pack.json"
_TEXT_FOLDER = "text"
_TEXT_INDEX = "text/model.safetensors.index.json"


def write_pack(
    data: DataSet, folder: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, int]:
    """Write `data` and the text tower, in half precision, to `folder`; sizes in bytes by file.

    The manifest is written last, so that a pack that was interrupted is never taken for a whole one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    text = data.text_folder or package_folder()
    pieces = [*_drawing_pieces(data), *_text_pieces(text)]
    files = []
    for number, (name, tensors) in enumerate(pieces):
        (folder / name).parent.mkdir(exist_ok=True)
        save_file(tensors, folder / name)
        files.append(name)
        progress(number + 1, len(pieces))
    index = {name: Path(file).name for file, tensors in pieces if file.startswith(_TEXT_FOLDER) for name in tensors}
    (folder / _TEXT_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}), "utf-8")
    files.append(_TEXT_INDEX)
    for source in sorted(text.glob("*.json")) + sorted(text.glob("vocab.txt")):
        shutil.copyfile(source, folder / _TEXT_FOLDER / source.name)
        files.append(f"{_TEXT_FOLDER}/{source.name}")
    sizes = {name: (folder / name).stat().st_size for name in files}
    manifest = {
        "schema": SCHEMA,
        "digest": data.digest(),
        "size": data.size,
        "vendors": list(data.vendors),
        "concepts": [dataclasses.asdict(concept) for concept in data.concepts],
        "splits": {part: list(data[part]) for part in Part},
        "files": {name: {"bytes": sizes[name], "sha256": _sha256(folder / name)} for name in files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return sizes


def read_pack(folder: Path) -> DataSet:
    """The data set of a pack. Raises CapstoneError naming a file that is missing or not what it was."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CapstoneError(f"{folder}: not a whole pack ({error}); write it with: course capstone pack DIR") from error
    if manifest.get("schema") != SCHEMA:
        raise CapstoneError(f"{folder}: a pack of schema {manifest.get('schema')}, this version reads {SCHEMA}")
    for name, facts in manifest["files"].items():
        file = folder / name
        if not file.is_file() or _sha256(file) != facts["sha256"]:
            raise CapstoneError(f"{file}: missing or changed since it was packed; copy the pack again")
    drawings = [load_file(folder / name)["pixels"] for name in manifest["files"] if name.startswith("drawings-")]
    vendors, concepts = manifest["vendors"], manifest["concepts"]
    pixels = torch.cat(drawings).reshape(len(vendors), len(concepts), 4, manifest["size"], manifest["size"])
    return DataSet(
        tuple(map(Vendor, vendors)),
        tuple(Concept(**concept) for concept in concepts),
        pixels,
        Splits({part: tuple(manifest["splits"][part]) for part in Part}),
        folder / _TEXT_FOLDER,
    )


def _drawing_pieces(data: DataSet) -> Iterator[tuple[str, dict[str, Tensor]]]:
    flat = data.pixels.flatten(0, 1)  # (vendors * concepts, 4, size, size)
    rows = max(1, (MOST_BYTES - 4096) // flat[0].numel())
    for number, piece in enumerate(flat.split(rows)):
        yield f"drawings-{number:03}.safetensors", {"pixels": piece.contiguous()}


def _text_pieces(folder: Path) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The text tower's weights in files named as transformers names the parts of a large model."""
    stored = load_file(folder / "model.safetensors")
    weights = {name: value.half() for name, value in stored.items() if value.is_floating_point()}
    pieces: list[dict[str, Tensor]] = [{}]
    for name, value in weights.items():
        if sum(t.nbytes for t in pieces[-1].values()) + value.nbytes > MOST_BYTES - 65536:
            pieces.append({})
        pieces[-1][name] = value.contiguous()
    for number, piece in enumerate(pieces):
        yield f"{_TEXT_FOLDER}/model-{number + 1:05}-of-{len(pieces):05}.safetensors", piece


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def not_to_be_passed_on(vendors: Sequence[Vendor]) -> list[Vendor]:
    """Vendors whose drawings a pack must not be given away with."""
    return [vendor for vendor in vendors if not vendor.openly_licensed]
