"""How well drawings find their names and names their drawings: ranks, recall, AUC, intervals, paired comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grader.capstone.errors import CapstoneError

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Retrieval:
    """Ranks, int64 (candidates,), 0 for the best: of each drawing's name among all names, and the other way round."""

    to_names: np.ndarray
    to_drawings: np.ndarray
    auc: float

    def recall(self, k: int, *, to_drawings: bool = False) -> float:
        """The part of the queries whose right answer is among the first k."""
        ranks = self.to_drawings if to_drawings else self.to_names
        return float((ranks < k).mean())

    @property
    def mean_reciprocal_rank(self) -> float:
        """Of drawings' names: finer than recall@1 where candidates are few."""
        return float((1 / (1 + self.to_names)).mean())

    @property
    def median_rank(self) -> float:
        """Of drawings' names, counted from 1."""
        return float(np.median(self.to_names)) + 1


def retrieve(similarity: np.ndarray) -> Retrieval:
    """From cosines, float (candidates, candidates), row i and column i belonging together.

    A tie counts against the query: a model that gives everything the same score finds nothing. Raises CapstoneError
    when a similarity is not a number.
    """
    if not np.isfinite(similarity).all():
        raise CapstoneError("the model's embeddings hold nan or inf, so nothing can be ranked")
    right = np.diagonal(similarity)
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    return Retrieval(
        to_names=(others >= right[:, None]).sum(axis=1),
        to_drawings=(others >= right[None, :]).sum(axis=0),
        auc=_area_under_curve(similarity),
    )


def _area_under_curve(similarity: np.ndarray) -> float:
    """Chance that a right pair scores above a wrong one, ties counted half (Mann and Whitney's statistic)."""
    right = np.sort(np.diagonal(similarity))
    wrong = similarity[~np.eye(len(similarity), dtype=bool)]
    below = np.searchsorted(right, wrong, side="left")
    upto = np.searchsorted(right, wrong, side="right")
    # For each wrong pair: right pairs above it, plus half of those equal to it.
    wins = (len(right) - upto) + 0.5 * (upto - below)
    return float(wins.sum() / (len(right) * len(wrong)))


def bootstrap(values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of one value a query, with the percentile interval of resampled queries (Efron and Tibshirani 1993).

    Given differences of two methods on the same queries, it is the paired comparison.
    """
    if len(values) == 0:
        raise CapstoneError("there are no queries to take a mean over")
    rows = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    means = values[rows].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def gain(tuned: Retrieval, baseline: Retrieval, *, k: int = 1) -> Interval:
    """Recall@k of `tuned` minus that of `baseline`, on the same drawings."""
    return bootstrap((tuned.to_names < k).astype(float) - (baseline.to_names < k).astype(float))
