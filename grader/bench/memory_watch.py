"""Memory of the grader and of its sandboxes while a class is graded: the highest of each tenth of the run.

Sandboxes share most of their pages with the process that they are forked from, so what counts of them is the
proportional set size (PSS: a shared page is divided among those that share it); of the grader it is the resident set
(RSS).
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped,unused-ignore]

TENTHS = 10
SECONDS_BETWEEN = 2.0
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class MemoryPeaks:
    """The highest memory in one tenth of the run, in MiB: resident of the grader, proportional of all its processes."""

    grader: float
    sandboxes: float


class MemoryWatch:
    """Looks every two seconds, in a thread of its own. Use it as a context manager, and tell it of progress."""

    def __init__(self) -> None:
        self._grader, self._sandboxes = [0.0] * TENTHS, [0.0] * TENTHS
        self._tenth = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_until_the_end, name="memory", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def progress(self, share: float) -> None:
        """How much of the work is done, from 0 to 1."""
        self._tenth = min(TENTHS - 1, int(share * TENTHS))

    @property
    def peaks(self) -> list[MemoryPeaks]:
        """By tenth of the work; 0 for one too short to be looked at."""
        return [MemoryPeaks(*pair) for pair in zip(self._grader, self._sandboxes, strict=True)]

    def _look_until_the_end(self) -> None:
        own = psutil.Process()
        while True:
            tenth = self._tenth
            self._grader[tenth] = max(self._grader[tenth], own.memory_info().rss / _MEBIBYTE)
            held = sum(_proportional_bytes(process) for process in own.children(recursive=True))
            self._sandboxes[tenth] = max(self._sandboxes[tenth], held / _MEBIBYTE)
            if self._end.wait(SECONDS_BETWEEN):
                return


def _proportional_bytes(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error, OSError):  # it may have ended by now
        return int(process.memory_full_info().pss)
    return 0
