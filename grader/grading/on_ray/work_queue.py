"""Which submission goes to which node next, and what becomes of those whose node is lost. Pure: knows no Ray.

A submission that was at work on a node when that was lost may be what ended it. Which of several it was, nobody knows:
from then on each of them is graded alone, on one node kept free for that, so that the next loss says who it was. One
that a node was lost with ATTEMPTS times while it was alone there is given up; the others pay nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

ATTEMPTS = 3
PREFETCHED = 1  # handed to a node beyond what it can do at once, so that it need not wait for the next


class WorkQueue(Generic[Item]):
    """Every item is in one place: waiting, suspected, at work on a node, or finished. Not thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._suspects: deque[Item] = deque()
        self._at_work: dict[str, set[Item]] = {}
        self._losses: Counter[Item] = Counter()  # of a node, while the item was alone there
        self._lost_with: dict[Item, str] = {}  # the node that was last lost with it
        self._isolating = ""  # the node that is kept free for suspects

    def __len__(self) -> int:
        """How many items are not finished."""
        return len(self._waiting) + len(self._suspects) + sum(map(len, self._at_work.values()))

    def add(self, item: Item) -> None:
        """Put an item at the end."""
        self._waiting.append(item)

    def next_for(self, node: str, slots: int, others: bool) -> Item | None:
        """The item that a node with so many slots should get now, if any; `others` tells of other usable nodes."""
        at_work = self._at_work.setdefault(node, set())
        if self._suspects and not self._isolating and not (others and self._lost_with[self._suspects[0]] == node):
            self._isolating = node
        if self._isolating == node:
            if at_work:
                return None
            if self._suspects:
                return self._begin(node, self._suspects.popleft())
            self._isolating = ""
        if not self._waiting or len(at_work) >= slots + PREFETCHED:
            return None
        return self._begin(node, self._waiting.popleft())

    def _begin(self, node: str, item: Item) -> Item:
        self._at_work[node].add(item)
        return item

    def finish(self, node: str, item: Item) -> bool:
        """Take an item off a node; False when it was not at work there any more, and its result must be dropped."""
        if item not in self._at_work.get(node, ()):
            return False
        self._at_work[node].remove(item)
        return True

    def lose(self, node: str) -> list[Item]:
        """A node is lost, and what was at work there is done again, elsewhere if possible; those that are given up."""
        lost = self._at_work.pop(node, set())
        if self._isolating == node:
            self._isolating = ""
        given_up = []
        for item in sorted(lost, key=repr):
            self._losses[item] += len(lost) == 1
            self._lost_with[item] = node
            if self._losses[item] >= ATTEMPTS:
                given_up.append(item)
            else:
                self._suspects.appendleft(item)  # one after the other: whoever it was is known soonest
        return given_up
