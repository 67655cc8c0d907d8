"""Whether an attribution can be believed: what happens when players come, or go, in the order of their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from grader.capstone.attribution import Worth, worth_on_arrival


@dataclass(frozen=True)
class Faithfulness:
    """What is earned while players come in (`insertion`) and go (`deletion`), the most valuable first.

    Both float64 (players + 1,), after Petsiuk et al. (2018). `by_chance`, float64 (orders, players + 1): insertion in
    random orders. A random order's deletion is another random order's insertion backwards, so these serve both
    comparisons. Areas are means over the curve, by the trapezoidal rule, in the unit of what is earned.
    """

    insertion: np.ndarray
    deletion: np.ndarray
    by_chance: np.ndarray

    @property
    def insertion_area(self) -> float:
        """The larger, the better the values tell what suffices."""
        return _area(self.insertion)

    @property
    def deletion_area(self) -> float:
        """The smaller, the better the values tell what is needed."""
        return _area(self.deletion)

    @property
    def chance_areas(self) -> np.ndarray:
        """The area of every random order, float64 (orders,)."""
        return np.array([_area(curve) for curve in self.by_chance])

    @property
    def insertion_beats(self) -> float:
        """The part of the random orders with a smaller area than `insertion`."""
        return float((self.chance_areas < self.insertion_area).mean())

    @property
    def deletion_beats(self) -> float:
        """The part of the random orders with a larger area than `deletion`."""
        return float((self.chance_areas > self.deletion_area).mean())


def judge(
    worth: Worth,
    values: np.ndarray,
    orders: int,
    *,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Faithfulness:
    """The curves of values, float64 (players,), beside those of `orders` random orders.

    `seed` must not be the one that the values were sampled with, or these orders are those that the values know.
    """
    best_first = np.argsort(-values, kind="stable")
    insertion = worth_on_arrival(worth, best_first)
    deletion = worth_on_arrival(worth, best_first[::-1])[::-1]
    generator = np.random.default_rng(seed)
    by_chance = []
    for number in range(orders):
        by_chance.append(worth_on_arrival(worth, generator.permutation(len(values))))
        progress(number + 1, orders)
    return Faithfulness(insertion, deletion, np.array(by_chance))


def _area(curve: np.ndarray) -> float:
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
