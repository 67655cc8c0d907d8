"""An exported index is a folder of three files; its manifest is written last and says what the others must be.

manifest.json           what was exported, out of what, and the names that can be answered
image_side.onnx         images, float32 (batch, 3, size, size) in [0, 1] on white -> unit vectors (batch, width)
embeddings.safetensors  unit vectors of all names and of one vendor's drawings, float32 (concepts, width) each
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from grader.capstone.errors import CapstoneError

SCHEMA = 1
MANIFEST = "manifest.json"
IMAGE_SIDE = "image_side.onnx"
EMBEDDINGS = "embeddings.safetensors"


class Compression(enum.StrEnum):
    """How the image side of an index was made smaller."""

    NONE = "none"
    INT8 = "int8"
    PRUNING = "pruning"


@dataclass(frozen=True)
class IndexedConcept:
    """One possible answer."""

    characters: str
    name: str


@dataclass(frozen=True)
class Origin:
    """What an index was made of; `vendor` is the one whose drawings it holds as embeddings. Digests are SHA-256."""

    method: str
    preset: str
    vendor: str
    data: str = ""
    pretrained: str = ""
    adapter: str = ""


@dataclass(frozen=True)
class Parity:
    """How closely the exported model, before any compression, followed the torch model it was made of.

    `largest_difference` is that of any component of an embedding; `drawings` is how many were tried, and all of them
    had the same first answer.
    """

    largest_difference: float
    drawings: int


@dataclass(frozen=True)
class FileFacts:
    """A file as it was exported."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, file: Path) -> FileFacts:
        with file.open("rb") as stream:
            return cls(file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


@dataclass(frozen=True)
class Manifest:
    """What an index is: `size` of its images in pixels, `width` of its embeddings, `log_scale` of its logits."""

    schema: int
    origin: Origin
    compression: Compression
    size: int
    width: int
    log_scale: float
    parity: Parity
    files: Mapping[str, FileFacts]
    concepts: tuple[IndexedConcept, ...]

    @property
    def model_digest(self) -> str:
        """What tells one model in service from the next."""
        return self.files[IMAGE_SIDE].sha256


_MANIFEST = TypeAdapter(Manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make an index of a folder that holds the other two files."""
    (folder / MANIFEST).write_bytes(_MANIFEST.dump_json(manifest, indent=1) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index whose files are what they were.

    Raises CapstoneError when the folder is no index, or naming the file that is missing or was changed.
    """
    file = folder / MANIFEST
    try:
        manifest = _MANIFEST.validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise CapstoneError(
            f"{folder}: not an exported index (no {MANIFEST}); make one with: course capstone export BUNDLE"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CapstoneError(f"{file}: {where}: {first['msg']}; export the index again") from error
    except OSError as error:
        raise CapstoneError(f"{file}: cannot be read ({error})") from error
    if manifest.schema != SCHEMA:
        raise CapstoneError(f"{file}: an index of schema {manifest.schema}, this version reads {SCHEMA}")
    for name in (IMAGE_SIDE, EMBEDDINGS):
        if not (folder / name).is_file() or manifest.files.get(name) != FileFacts.of(folder / name):
            raise CapstoneError(f"{folder / name}: missing or changed since it was exported; export the index again")
    return manifest
