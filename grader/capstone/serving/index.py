"""An exported index in memory: drawings to names and names to drawings, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grader.capstone.errors import CapstoneError
from grader.capstone.name_directory import NameDirectory
from grader.capstone.serving.manifest import EMBEDDINGS, IMAGE_SIDE, IndexedConcept, Manifest, read_manifest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "images", "embeddings"
_BATCH = 64


@dataclass(frozen=True)
class Ranked:
    """An answer; the probabilities of all concepts add up to 1."""

    concept: IndexedConcept
    probability: float


class Index:
    """Ranks the concepts of an export. May be used by several threads at once."""

    def __init__(self, manifest: Manifest, session: InferenceSession, names: np.ndarray, drawings: np.ndarray) -> None:
        """`names`, `drawings`: unit vectors, float32 (concepts, width), in the order of the manifest's concepts."""
        self.manifest = manifest
        self._session = session
        self._names = names
        self._drawings = drawings
        self._directory = NameDirectory([concept.name for concept in manifest.concepts])

    @classmethod
    def load(cls, folder: Path) -> Index:
        """Read an exported index. Raises CapstoneError when it is not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        manifest = read_manifest(folder)
        try:
            embeddings = load_file(folder / EMBEDDINGS)
        except (OSError, SafetensorError) as error:
            raise CapstoneError(f"{folder / EMBEDDINGS}: cannot be read ({error}); export the index again") from error
        shape = (len(manifest.concepts), manifest.width)
        for part in ("names", "drawings"):
            if part not in embeddings or embeddings[part].shape != shape:
                raise CapstoneError(f"{folder / EMBEDDINGS}: no {part} of shape {shape}; export the index again")
        return cls(manifest, open_session(folder / IMAGE_SIDE), embeddings["names"], embeddings["drawings"])

    def embed(self, images: np.ndarray) -> np.ndarray:
        """float32 (batch, 3, size, size) in [0, 1] on white -> unit vectors, float32 (batch, width)."""
        return embed_images(self._session, images)

    def names_of(self, image: np.ndarray, k: int) -> list[Ranked]:
        """The k likeliest names of a drawing, float32 (3, size, size) in [0, 1] on white."""
        return self._ranked(self._names @ self.embed(image[None])[0], k)

    def drawings_of(self, row: int, k: int) -> list[Ranked]:
        """The k concepts whose drawings go best with the name of the concept in this row."""
        return self._ranked(self._drawings @ self._names[row], k)

    def row_of(self, name: str) -> int | None:
        """The row of the concept of this name, whatever its case, spaces and underscores; None where there is none."""
        return self._directory.row_of(name)

    def similar_names(self, name: str) -> list[str]:
        """Up to three names spelt like this one."""
        return self._directory.similar_names(name)

    def _ranked(self, cosines: np.ndarray, k: int) -> list[Ranked]:
        logits = cosines.astype(np.float64) * math.exp(self.manifest.log_scale)
        if not np.isfinite(logits).all():
            raise ArithmeticError("the model's embedding holds nan or inf")
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        best = np.argsort(-logits, kind="stable")[:k]
        return [Ranked(self.manifest.concepts[row], float(probabilities[row])) for row in best]


def open_session(file: Path) -> InferenceSession:
    """An image side on one thread: a server's requests and a fair comparison of latencies both want just that.

    Raises CapstoneError when onnxruntime cannot read the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: warnings about the graph are no business of whoever runs it
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen exceptions without a common base
        raise CapstoneError(f"{file}: onnxruntime cannot read it ({error}); export the index again") from error


def embed_images(session: InferenceSession, images: np.ndarray) -> np.ndarray:
    """Unit vectors, float32 (n, width), of images, float32 (n, 3, size, size) in [0, 1] on white, batch by batch."""
    batches = np.array_split(images, max(1, -(-len(images) // _BATCH)))
    return np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in batches])
