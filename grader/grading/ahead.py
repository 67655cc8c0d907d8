"""Processes forked ahead of the job that needs them, so that no job waits for a fork, a confinement or an end.

A process that is taken is replaced at once, in the background: while a job runs, those of the next are made ready.
Those that have served are ended in the background as well.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from threading import Lock
from typing import Generic, TypeVar

Kind = TypeVar("Kind")
Made = TypeVar("Made")

MAX_KINDS = 4  # an exercise has two: its checker, and its student's process


class MadeAhead(Generic[Kind, Made]):
    """Makes things before they are asked for, by kind, and ends what is no longer needed. Thread-safe."""

    def __init__(self, make: Callable[[Kind], Made], end: Callable[[Made], object]) -> None:
        """`make` may raise: then there is nothing ahead, and whoever needs one meets the reason."""
        self._make, self._end = make, end
        self._makes = ThreadPoolExecutor(1, thread_name_prefix="make-ahead")
        self._ends = ThreadPoolExecutor(1, thread_name_prefix="end-later")  # of its own: an end may take its time
        self._ready: OrderedDict[Kind, deque[Future[Made]]] = OrderedDict()
        self._lock = Lock()
        self._closed = False

    def take(self, kind: Kind) -> Made | None:
        """One that was made ahead, if there is one; the next is made in the background."""
        with self._lock:
            ready = self._ready.setdefault(kind, deque())
            taken = ready.popleft() if ready else None
            self._ready.move_to_end(kind)
            if not self._closed:
                ready.append(self._makes.submit(self._make, kind))
            unused = [self._ready.popitem(last=False)[1] for _ in range(len(self._ready) - MAX_KINDS)]
        for old in chain.from_iterable(unused):
            old.add_done_callback(self._discard)
        with contextlib.suppress(Exception):
            return taken.result() if taken is not None else None
        return None

    def waiting(self) -> list[Made]:
        """Those that are made and not taken."""
        with self._lock:
            ready = [one for row in self._ready.values() for one in row if one.done()]
        return [one.result() for one in ready if one.exception() is None]

    def end_later(self, end: Callable[[], object]) -> None:
        """Do what ends a process in the background; at once when this is closed."""
        with self._lock:
            if not self._closed:
                self._ends.submit(end)
                return
        end()

    def close(self) -> None:
        """Finish what was begun, and end all that nobody took."""
        with self._lock:
            self._closed = True
            left = [one for ready in self._ready.values() for one in ready]
            self._ready.clear()
        self._makes.shutdown()
        self._ends.shutdown()
        for one in left:
            self._discard(one)

    def _discard(self, made: Future[Made]) -> None:
        if made.exception() is None:
            self.end_later(lambda: self._end(made.result()))
