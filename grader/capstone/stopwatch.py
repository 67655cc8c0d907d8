"""Times a training from outside, whoever does it: rows a second, and when a recall was first reached."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

# Steps before the counting: they start threads, kernels' tuning and the compiler.
WARM_UP = 3


@dataclass
class Stopwatch:
    """`seconds`: how long to count after the warm-up. Time of validation is never counted."""

    seconds: float
    target: float
    rows: int = 0
    steps: int = 0
    best: float = 0.0
    seconds_to_target: float | None = None
    counted: float = 0.0
    everything: float = 0.0
    _last: float = field(default_factory=time.perf_counter)

    def step(self, rows: int) -> None:
        """A step is done, or on its way to the card."""
        if self.steps == WARM_UP - 1:
            wait_for_card()
        passed = self._lap()
        self.steps += 1
        if self.steps > WARM_UP:
            self.rows += rows
            self.counted += passed

    def validate(self, recall: float) -> None:
        """A score was found after training stood still; the watch stood still, too, since `pause`."""
        self.best = max(self.best, recall)
        if recall >= self.target and self.seconds_to_target is None:
            self.seconds_to_target = self.everything
        self._last = time.perf_counter()

    def pause(self) -> None:
        """Stop counting for a validation, or at the end: what the card still has to do counts."""
        wait_for_card()
        passed = self._lap()
        if self.steps > WARM_UP:
            self.counted += passed

    @property
    def enough(self) -> bool:
        return self.counted >= self.seconds

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.counted if self.counted else 0.0

    def _lap(self) -> float:
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        self.everything += passed
        return passed


def wait_for_card() -> None:
    """Return when all that was asked of the card is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
