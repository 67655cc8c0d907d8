# %% [markdown]
# # Cross-modal retrieval metrics
#
# A fine-tuned image-text model is often used as a search engine: a caption looks for its image, an image for its
# captions. "Recall@1 of 0.62" sounds clear, and hides three decisions: what counts as a hit when an image has five
# captions, who wins when two items have the same score, and whether position 1 is called 0. A model that gives every
# pair the same similarity gets a perfect recall from a careless implementation. Here every metric is read off one kind
# of number, the rank of a relevant item, so these decisions are made once.
#
# ## Your task (40 minutes)
#
# Row `q` of `sim` `(queries, items)` holds the similarities of query `q` to all items of the gallery, higher is better.
# `relevant` `(queries, items)` is boolean: `True` where the item is an answer to the query, at least one in each row.
# There is no diagonal to rely on: with five captions an image, the matrix is not even square.
#
# | function | returns |
# |---|---|
# | `positive_ranks(sim, relevant)` | a list with one array of whole numbers for each query |
# | `retrieval_metrics(sim, relevant, ks=(1, 5, 10))` | a dictionary: `"R@1"`, `"R@5"`, ..., `"median_rank"`, `"mrr"` |
# | `ndcg_at_k(sim, relevant, k)` | one number |
#
# - **`positive_ranks`.** Entry `q` of the list is an array of shape `(number of relevant items of query q,)` with an
#   integer dtype of 32 or 64 bits (narrower ones cannot count a large gallery). It holds the ranks of the query's
#   relevant items, in the order in which these stand in the gallery. Ranks count from 1. The rank of a relevant item
#   is 1 plus
#   - the number of **non-relevant** items that score higher or **equally** (a tie never favours the model), plus
#   - the number of relevant items that score higher, or equally and stand earlier in the gallery.
# - **`retrieval_metrics`.** Each query is judged by its best rank, the smallest of its ranks: `"R@k"` is the share of
#   queries whose best rank is at most `k`, for each `k` in `ks`; `"median_rank"` the median of the best ranks (for an
#   even number of queries the mean of the two in the middle); `"mrr"` the mean of 1 / best rank.
# - **`ndcg_at_k`.** A relevant item at rank `r` gains `1 / log2(r + 1)` if `r <= k`, and nothing otherwise. The gains
#   of a query are added and divided by the largest sum that the query allows, with its `n` relevant items at the ranks
#   1 to `n`: the sum of `1 / log2(i + 1)` for `i = 1, ..., min(k, n)`. The result is the mean of these quotients over
#   the queries.
# - **Any whole `k` from 1 on** is allowed, also one beyond the gallery: there, `"R@k"` is 1. A `k` that is no whole
#   number need not be handled. Empty `ks` leave `"median_rank"` and `"mrr"`.
# - **Types.** `sim` and `relevant` are arrays or lists; `sim` holds integers (unsigned ones too) or floats. Numbers in
#   the results may be Python numbers or NumPy scalars; further keys in the dictionary do no harm. No argument is
#   changed.
# - **`ValueError`** in all three functions for: `sim` that is not two-dimensional, `relevant` of another shape, no
#   query, a query without a relevant item, a NaN in `sim`; and for a `k` below 1. `relevant` that is not boolean raises
#   `TypeError` or `ValueError`.
# - **Forbidden:** `sklearn.metrics`. **Accepted either way:** infinite similarities may be compared or refused.
#
# ## A worked example
#
# Two images look for their captions. Captions 0 to 2 belong to image 0, captions 3 and 4 to image 1:
#
# | | caption 0 | 1 | 2 | 3 | 4 | ranks of its captions | best |
# |---|---|---|---|---|---|---|---|
# | image 0 | **0.9** | **0.2** | **0.7** | 0.7 | 0.1 | 1, 4, 3 | 1 |
# | image 1 | 0.3 | 0.6 | 0.5 | **0.5** | **0.4** | 3, 4 | 3 |
#
# Caption 2 ties with caption 3, which is no caption of image 0 and therefore goes first. Of the best ranks 1 and 3, one
# is at most 2: R@2 is 0.5, the median rank 2, the mean reciprocal rank (1 + 1/3) / 2 = 0.667. For nDCG@3, image 0 gains
# 1 + 1/2 of at most 1 + 0.631 + 1/2 (0.704), image 1 gains 1/2 of at most 1 + 0.631 (0.307): together 0.505.
#
# The other direction, captions looking for their image, has five queries with one relevant item each: call the same
# functions with `sim.T` and `relevant.T`. Reports give both directions, since they can be far apart.
#
# ## What the numbers do not say
#
# They depend on the size of the gallery: R@1 among 1 000 items and among 100 000 are different tasks. Captions that
# describe another image equally well count as wrong. Clicks are no relevance labels: people click what is shown first.
# In a system, a dual encoder finds candidates with approximate nearest neighbours, and a slower cross-encoder, which
# reads text and image together, sorts them again; recall at the number of candidates limits what the second stage can
# reach.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## Part 1: ranks


# %% tags=["solution"]
def positive_ranks(sim: ArrayLike, relevant: ArrayLike) -> list[np.ndarray]:
    """Rank of every relevant item among all items of the gallery, ties against the model.

    Args:
        sim: similarities, (queries, items), higher is better.
        relevant: boolean, (queries, items), at least one True in each row.

    Returns:
        For each query an array, (relevant items of this query,), in gallery order, with an integer dtype of 32 or 64
        bits; the best rank possible is 1.

    Raises:
        ValueError: not two-dimensional, shapes differ, no query, a query without a relevant item, NaN.
        TypeError: relevant is not boolean (ValueError is as good).
    """
    ### BEGIN SOLUTION
    sim, relevant = np.asarray(sim, dtype=np.float64), np.asarray(relevant)
    if sim.ndim != 2 or relevant.shape != sim.shape or len(sim) == 0:
        raise ValueError(f"expected two matrices (queries, items), got shapes {sim.shape} and {relevant.shape}")
    if relevant.dtype != np.bool_:
        raise TypeError(f"relevant must be boolean, not {relevant.dtype}")
    if not relevant.any(axis=1).all():
        raise ValueError("every query needs at least one relevant item")
    if np.isnan(sim).any():
        raise ValueError("a similarity is NaN")

    ranks = []
    for scores, is_relevant in zip(sim, relevant, strict=True):
        positives, negatives = scores[is_relevant], scores[~is_relevant]
        # non-relevant items at least as good: ties count against the model
        ahead = (negatives >= positives[:, None]).sum(axis=1)  # (positives, negatives) -> (positives,)
        # relevant items ahead: the place of each in a stable sort, highest first
        place = np.argsort(np.argsort(-positives, kind="stable"))  # (positives,)
        ranks.append(1 + ahead + place)
    return ranks
    ### END SOLUTION


# %% [markdown]
# ## Part 2: summaries of the ranks


# %% tags=["solution"]
def retrieval_metrics(sim: ArrayLike, relevant: ArrayLike, ks: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """Recall@k, median rank and mean reciprocal rank of the best relevant item of each query.

    Args:
        sim: similarities, (queries, items), higher is better.
        relevant: boolean, (queries, items), at least one True in each row.
        ks: the cut-offs of the recall, whole numbers from 1 on, or none; k may exceed the number of items.

    Returns:
        A dict with "R@k" for each k, "median_rank" and "mrr".

    Raises:
        ValueError, TypeError: bad input as in `positive_ranks`; ValueError: a k below 1.

    Source: Radford et al. 2021 (image-text retrieval with Recall@k in both directions).
    """
    ### BEGIN SOLUTION
    if any(k < 1 for k in ks):
        raise ValueError(f"k must be at least 1, got {ks}")
    best = np.array([ranks.min() for ranks in positive_ranks(sim, relevant)])  # (queries,)
    metrics = {f"R@{k}": float((best <= k).mean()) for k in ks}
    return metrics | {"median_rank": float(np.median(best)), "mrr": float((1 / best).mean())}
    ### END SOLUTION


# %% tags=["solution"]
def ndcg_at_k(sim: ArrayLike, relevant: ArrayLike, k: int) -> float:
    """Normalised discounted cumulative gain at k with binary relevance, mean over the queries.

    Args:
        sim: similarities, (queries, items), higher is better.
        relevant: boolean, (queries, items), at least one True in each row.
        k: cut-off, a whole number from 1 on; may exceed the number of items.

    Raises:
        ValueError, TypeError: bad input as in `positive_ranks`; ValueError: k below 1.

    Source: Järvelin & Kekäläinen 2002.
    """
    ### BEGIN SOLUTION
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")

    def gain(ranks: np.ndarray) -> float:
        # every relevant item up to rank k gains 1 / log2(rank + 1)
        return (1 / np.log2(ranks[ranks <= k] + 1)).sum()

    # the best that a query can do: its relevant items at the ranks 1, 2, ...
    shares = [gain(ranks) / gain(np.arange(1, len(ranks) + 1)) for ranks in positive_ranks(sim, relevant)]
    return float(np.mean(shares))
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# sim = [[0.5, 0.25, 0.5, 0.75], [0.125, 0.75, 0.5, 0.25], [0.5, 0.5, 0.5, 0.5]]
# relevant = [[True, False, False, False], [False, True, True, False], [False, False, True, False]]
# ranks = positive_ranks(sim, relevant)
# assert [list(row) for row in ranks] == [[3], [1, 2], [4]], ranks
# metrics = retrieval_metrics(sim, relevant, ks=(1, 3, 9))
# assert np.isclose(metrics["R@1"], 1 / 3), metrics
# assert np.isclose(metrics["R@3"], 2 / 3), metrics
# assert np.isclose(metrics["R@9"], 1), metrics
# assert np.isclose(metrics["median_rank"], 3), metrics
# assert np.isclose(metrics["mrr"], 19 / 36), metrics
# assert np.isclose(ndcg_at_k(sim, relevant, 2), 1 / 3), ndcg_at_k(sim, relevant, 2)
# assert np.isclose(ndcg_at_k(sim, relevant, 3), 1 / 2), ndcg_at_k(sim, relevant, 3)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Which rank should the one relevant item have when all similarities are equal? And if two of a query's three items are
# relevant and all scores are equal: which two ranks, and which best rank?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A rank is a count of the items ahead, plus one. Counting needs no sorted list of the gallery, and it lets you treat
# ties with relevant and with non-relevant items differently. Everything else is a summary of these counts.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check shapes, type and values. For each query, split its scores into those of relevant and of other items. For each
# relevant item, count the others that score at least as high; find its place among the relevant ones in a stable sort,
# highest first; add both and 1. The best rank of each query is a minimum. For nDCG, write the sum of gains once and use
# it for the real ranks and for the ideal ones.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# ahead = (negatives >= positives[:, None]).sum(axis=1)
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Kalervo Järvelin, Jaana Kekäläinen (2002). *Cumulated gain-based evaluation of IR techniques.* ACM Transactions
#   on Information Systems 20(4).
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). *Learning Transferable Visual Models From Natural
#   Language Supervision.* ICML 2021.
