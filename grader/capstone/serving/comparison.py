"""What a compression cost and brought: size, recall and latency before and after, measured in one run."""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grader.capstone.retrieval import retrieve
from grader.capstone.serving.index import embed_images, open_session
from grader.capstone.serving.manifest import Compression

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_ROUNDS = 200


@dataclass(frozen=True)
class Trial:
    """What a model is tried on: `images`, float32 (n, 3, size, size) in [0, 1] on white, and the unit vectors of their
    names, float32 (n, width), row by row."""

    images: np.ndarray
    names: np.ndarray


@dataclass(frozen=True)
class Measured:
    """A model's file in bytes, plain and deflated; recall@1 of the trial; milliseconds for one image on one thread."""

    bytes: int
    deflated_bytes: int
    recall_at_1: float
    milliseconds: float


@dataclass(frozen=True)
class Comparison:
    """The same trial before and after a compression."""

    compression: Compression
    before: Measured
    after: Measured

    @property
    def speedup(self) -> float:
        """How many times as fast it became; below 1 it became slower."""
        return self.before.milliseconds / self.after.milliseconds

    @property
    def verdict(self) -> str:
        """The result in one sentence, losses first."""
        points = 100 * (self.after.recall_at_1 - self.before.recall_at_1)
        pace = (
            f"{self.speedup:.2f} times as fast" if self.speedup >= 1 else f"slower ({self.speedup:.2f} times as fast)"
        )
        size = self.after.bytes / self.before.bytes
        deflated = self.after.deflated_bytes / self.before.deflated_bytes
        return (
            f"{self.compression}: {points:+.1f} points of recall@1; on this machine {pace} on one thread; "
            f"{size:.0%} of the size ({deflated:.0%} when deflated)"
        )


def compare(compression: Compression, before: Path, after: Path, trial: Trial) -> Comparison:
    """Try two ONNX files. Their calls take turns, so that whatever else this machine does hits both alike."""
    files = (before, after)
    sessions = [open_session(file) for file in files]
    milliseconds = _latencies(sessions, trial.images)
    measured = [
        Measured(
            file.stat().st_size,
            len(zlib.compress(file.read_bytes(), level=6)),
            _recall_at_1(session, trial),
            latency,
        )
        for file, session, latency in zip(files, sessions, milliseconds, strict=True)
    ]
    return Comparison(compression, *measured)


def _recall_at_1(session: InferenceSession, trial: Trial) -> float:
    return retrieve((embed_images(session, trial.images) @ trial.names.T).astype(np.float64)).recall(1)


def _latencies(sessions: Sequence[InferenceSession], images: np.ndarray) -> list[float]:
    """Median milliseconds of each session for one image."""
    taken: list[list[float]] = [[] for _ in sessions]
    for number in range(_ROUNDS):
        image = images[number % len(images)][None]
        for session, milliseconds in zip(sessions, taken, strict=True):
            started = time.perf_counter()
            embed_images(session, image)
            milliseconds.append(1000 * (time.perf_counter() - started))
    return [statistics.median(each[_ROUNDS // 10 :]) for each in taken]  # the first calls prepare memory
