"""What each player of a game is worth: Shapley values, exact or sampled, and what is lost where one is left out.

A game's worth says what a set of players earns together. Here the players are patches of a drawing, and what they earn
is how well the drawing fits a name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from grader.capstone.errors import CapstoneError

Worth = Callable[[np.ndarray], np.ndarray]
"""Sets of players, bool (sets, players) -> what each earns, float64 (sets,)."""

MOST_EXACT = 10  # players: 1,024 sets, as many as some 16 orders of 64 players


@dataclass(frozen=True)
class Attribution:
    """A value for each player, float64 (players,). `standard_error` is the sampling's, 0 where nothing was sampled."""

    values: np.ndarray
    standard_error: np.ndarray


def exact_shapley(worth: Worth, players: int) -> Attribution:
    """Shapley values (Shapley 1953) from all sets of players; raises CapstoneError for more than 10 of them."""
    if players > MOST_EXACT:
        raise CapstoneError(f"{players} players have 2^{players} sets; at most {MOST_EXACT} are counted out")
    numbers = np.arange(2**players)
    present = (numbers[:, None] >> np.arange(players)) & 1 == 1  # (sets, players)
    earned = worth(present)
    sizes = present.sum(axis=1)
    # Of all orders of arrival, the part in which exactly this set comes before a given other player.
    share = np.array([1 / (players * math.comb(players - 1, size)) for size in range(players)])
    values = np.empty(players)
    for player in range(players):
        before = numbers[~present[:, player]]
        values[player] = share[sizes[before]] @ (earned[before | 1 << player] - earned[before])
    return Attribution(values, np.zeros(players))


def sampled_shapley(
    worth: Worth,
    players: int,
    pairs: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Attribution:
    """Shapley values from pairs of a random order of arrival and the same one backwards; at least two pairs.

    In an order and its reverse a player has many companions once and few the other time, which takes some of the
    chance out (antithetic sampling; Mitchell et al. 2022). Whatever the orders, the values add up to what all players
    earn less what none does. `progress(done, total)` counts pairs.
    """
    generator = np.random.default_rng(seed)
    earned = np.empty((pairs, players))
    for pair in range(pairs):
        order = generator.permutation(players)
        earned[pair] = (_earned_on_arrival(worth, order) + _earned_on_arrival(worth, order[::-1])) / 2
        progress(pair + 1, pairs)
    return Attribution(earned.mean(axis=0), earned.std(axis=0, ddof=1) / math.sqrt(pairs))


def occlusion(worth: Worth, players: int) -> Attribution:
    """What all players together lose when one of them is left out (Zeiler and Fergus 2014).

    Cheap and easily read, but players that stand in for each other each seem worthless, and nothing adds up.
    """
    present = np.vstack([np.ones((1, players), dtype=bool), ~np.eye(players, dtype=bool)])
    earned = worth(present)
    return Attribution(earned[0] - earned[1:], np.zeros(players))


def worth_on_arrival(worth: Worth, order: np.ndarray) -> np.ndarray:
    """What is earned while players come in in this order: float64 (players + 1,), from nobody to everybody."""
    place = np.argsort(order)  # when each player comes in
    return worth(place < np.arange(len(order) + 1)[:, None])


def _earned_on_arrival(worth: Worth, order: np.ndarray) -> np.ndarray:
    """What is earned more when each player comes in, in this order: float64 (players,)."""
    return np.diff(worth_on_arrival(worth, order))[np.argsort(order)]
