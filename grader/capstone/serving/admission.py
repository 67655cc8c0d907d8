"""How many requests are let in: a few at work, a short queue behind them, and everybody else told at once to come back.

A long queue would help nobody: whoever waits in it for longer than they care to wait gets an answer that nobody reads,
and the server spends its time on those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Overloaded(RuntimeError):
    """All places are taken."""


class Admission:
    """`concurrent` requests at work, each in a thread of its own, and `waiting` more that wait for such a thread."""

    def __init__(
        self, concurrent: int, waiting: int, *, on_change: Callable[[int], None] = lambda inside: None
    ) -> None:
        """`on_change` is told the number of requests inside whenever it changes."""
        self._places = concurrent + waiting
        self._threads = anyio.CapacityLimiter(concurrent)
        self._on_change = on_change
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """A place inside for as long as the context lasts. Raises Overloaded, without any wait, when there is none."""
        if self._inside >= self._places:
            raise Overloaded
        self._move(+1)
        try:
            yield
        finally:
            self._move(-1)

    async def work(
        self, function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **options: _Arguments.kwargs
    ) -> _Result:
        """What a slow function returns; it runs in a thread, so that the event loop goes on meanwhile."""
        return await anyio.to_thread.run_sync(lambda: function(*arguments, **options), limiter=self._threads)

    def _move(self, change: int) -> None:
        self._inside += change
        self._on_change(self._inside)
