"""Telling somebody how a training goes, without making a graphics card wait for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from grader.capstone.training import Epoch


@dataclass(frozen=True)
class Step:
    """What one step did. `gradient_norm` is before clipping; `images_per_second` counts this step's rows."""

    epoch: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    images_per_second: float


@dataclass
class Watcher:
    """Who is told how the training goes; does nothing by default."""

    on_step: Callable[[Step], None] = lambda step: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None


@dataclass
class StepReporter:
    """Tells a watcher of an epoch's steps.

    Reading a loss off a card waits until the card has computed it. There a step is told only when the next one is
    already on its way, so that the card never stands still.
    """

    watcher: Watcher
    device: torch.device
    epoch: int
    steps: int
    _waiting: deque[tuple[int, int, Tensor, float, Tensor]] = field(default_factory=deque)
    _last: float = field(default_factory=time.perf_counter)

    def add(self, step: int, rows: int, loss: Tensor, rate: float, norm: Tensor) -> None:
        """A step that has been started; `rows` of all processes together."""
        self._waiting.append((step, rows, loss, rate, norm))
        if self.device.type == "cpu" or len(self._waiting) > 1:
            self._tell()

    def end(self) -> None:
        """The epoch is over: tell what is left."""
        while self._waiting:
            self._tell()

    def _tell(self) -> None:
        step, rows, loss, rate, norm = self._waiting.popleft()
        loss_value, norm_value = float(loss), float(norm)
        now = time.perf_counter()
        speed, self._last = rows / (now - self._last), now
        self.watcher.on_step(Step(self.epoch, step, self.steps, loss_value, rate, norm_value, speed))
