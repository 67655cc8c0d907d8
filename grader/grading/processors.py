"""Which processor a job's two processes share.

The checker and the student's process take turns: one waits while the other works. On one processor the turn passes by a
switch; on two, the one that waits has gone to sleep each time and must be woken, which takes three times as long as the
question and its answer (measured on a virtual machine with two processors).
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

_STATISTICS = Path("/proc/stat")
_IDLE_COLUMN = 4  # of a processor's line: its name, user, nice, system, idle
_LOOK_SECONDS = 0.1  # the kernel counts in hundredths of a second


class Processors:
    """Gives each job the processor with the fewest jobs of ours, of these the one that was idle longest.

    Other work on this machine, another grader too, is seen by that. Thread-safe.
    """

    def __init__(self) -> None:
        """Where the system knows no affinity, there is none to give."""
        self._allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._jobs: Counter[int] = Counter()
        self._looked, self._idle_then, self._idle = 0.0, idle_time(), Counter[int]()
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """The processor for a job; None where the system is left to choose."""
        with self._lock:
            if not self._allowed:
                return None
            self._look()
            chosen = min(self._allowed, key=lambda one: (self._jobs[one], -self._idle[one], random.random()))
            self._jobs[chosen] += 1
            return chosen

    def give_back(self, processor: int | None) -> None:
        """The job has ended."""
        if processor is not None:
            with self._lock:
                self._jobs[processor] -= 1

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        idle_now = idle_time()
        self._idle = Counter({one: idle_now[one] - self._idle_then[one] for one in self._allowed})
        self._looked, self._idle_then = now, idle_now


def keep_on(process: int, processor: int | None) -> None:
    """Let a process run on that processor alone. One that has ended, or that the system protects, is left as it is."""
    if processor is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(process, {processor})


def idle_time() -> Counter[int]:
    """Hundredths of a second that each processor was idle since the machine started; empty where it is not told."""
    try:
        lines = _STATISTICS.read_text().splitlines()
    except OSError:
        return Counter()
    columns = [line.split() for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
    return Counter({int(one[0].removeprefix("cpu")): int(one[_IDLE_COLUMN]) for one in columns})
