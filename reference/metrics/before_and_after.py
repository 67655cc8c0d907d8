# %% [markdown]
# # Before and after fine-tuning
#
# "Accuracy rose from 81 % to 83 %, so fine-tuning helped": most reports end there. But the test set is one sample of
# the questions that will be asked, and on another sample the two numbers may change places. Both models answered *the
# same* items, and this pairing is worth a lot: only the items on which they disagree carry information. Here you write
# the two tools that turn "83 is more than 81" into a statement with its uncertainty: a test and an interval.
#
# ## Your task (about 30 minutes)
#
# Both functions take `correct_a` and `correct_b`, boolean arrays of shape `(items,)`: entry i says whether the model
# *before* (a) and the model *after* fine-tuning (b) got item i right.
#
# **`mcnemar_exact(correct_a, correct_b)`** returns the two-sided p-value of McNemar's exact test, a float.
#
# - An item is *discordant* if exactly one of the two models is right. If fine-tuning changed nothing, each discordant
#   item is as likely to speak for a as for b, like the toss of a fair coin. The p-value is the probability that the
#   tosses come out at least as lopsided, in **either** direction, as they did here. It is at most 1.
# - It is exact: the binomial distribution itself, no normal or chi-square approximation and no continuity correction.
# - Without any discordant item there is no evidence at all: the p-value is 1.
# - It works for thousands of discordant items (to 8 digits).
#
# **`paired_bootstrap(correct_a, correct_b, n_boot=2000, seed=0, level=0.95)`** returns a dictionary of floats with the
# keys `diff`, `low` and `high`.
#
# - `diff` is the accuracy of b minus the accuracy of a.
# - For the interval, draw as many *items* as there are, with replacement, and compute the difference of the accuracies
#   on them; do so `n_boot` times. `low` and `high` are the percentiles of these differences that leave a probability of
#   (1 - `level`) / 2 on each side. Any common rule for percentiles between two values will do.
# - The seed decides everything: the same seed gives the same result, another seed draws other items. Use a generator of
#   your own; the global random states of NumPy and of the module `random` stay as they are.
#
# **Rules for both**
#
# - **Bad input**: arrays of different lengths, arrays that are empty or not one-dimensional, `n_boot` below 1, and a
#   `level` that is not strictly between 0 and 1 (NaN included) raise `ValueError`. An array that is not boolean, such
#   as one of 0 and 1, raises `TypeError` or `ValueError`. The function `require_pairs` below checks the two arrays; it
#   is yours to call.
# - No argument is changed.
# - **Forbidden:** `scipy.stats`. Everything else is allowed, `math` and `scipy.special` included.
#
# ## A worked example
#
# On 50 items, a alone is right on 2 and b alone on 8; on the other 40 both are right or both wrong.
#
# | step | value |
# |---|---|
# | difference of the accuracies | (8 - 2) / 50 = 0.12 |
# | discordant items, the smaller side | 10, of them 2 |
# | ways to get 0, 1 or 2 heads in 10 tosses | 1 + 10 + 45 = 56 of 1024 |
# | as lopsided in either direction | 2 · 56 / 1024 = **0.109** |
# | 95 % interval of the difference | about 0.00 to 0.24 |
#
# Twelve points more, and yet fair coins alone would come out that lopsided in one comparison of nine. The 40 items on
# which the models agree change nothing in the test: ten thousand more of them would not either.
#
# ## What the numbers do not say
#
# The size of the difference comes first. The p-value is not the probability that fine-tuning did nothing; it says how
# often chance alone would look at least like this. And both look at *these two* models: another random seed of the
# fine-tuning is another model, so report several. Compare also with what costs less, the model without any fine-tuning
# on new prompts or a linear layer on frozen features, and look at slices: a gain on average can hide a loss on a group.
# Each decision made on the test set wears it out.

# %%
import numpy as np


def require_pairs(correct_a: np.ndarray, correct_b: np.ndarray) -> None:
    """Raise ValueError or TypeError unless both are boolean arrays `(items,)` of one length. (This one is given.)"""
    if correct_a.dtype != bool or correct_b.dtype != bool:
        raise TypeError(f"boolean arrays are needed, not {correct_a.dtype} and {correct_b.dtype}")
    if correct_a.ndim != 1 or correct_a.shape != correct_b.shape or len(correct_a) == 0:
        raise ValueError(f"two arrays of one length are needed, not {correct_a.shape} and {correct_b.shape}")


# %% [markdown]
# ## Part 1: could it be chance?


# %% tags=["solution"]
def mcnemar_exact(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p-value of the exact McNemar test (McNemar 1947).

    correct_a, correct_b: boolean (items,), whether each model got each item right.
    Returns a float between 0 and 1; 1.0 when no item is discordant.
    Raises ValueError for other lengths, shapes or no items, TypeError for arrays that are not boolean.
    """
    ### BEGIN SOLUTION
    require_pairs(correct_a, correct_b)
    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    tosses = only_a + only_b

    # number of ways to get at most as many heads as the smaller side: sum of "tosses choose heads", in whole numbers
    ways, tail = 1, 0
    for heads in range(min(only_a, only_b) + 1):
        tail += ways
        ways = ways * (tosses - heads) // (heads + 1)

    # both tails out of 2**tosses outcomes; they overlap when the sides are equal, and the p-value is then 1
    return min(1.0, 2 * tail / 2**tosses)
    ### END SOLUTION


# %% [markdown]
# ## Part 2: how large is the gain?


# %% tags=["solution"]
def paired_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, float]:
    """Difference of two accuracies on the same items, with a bootstrap interval (Koehn 2004).

    correct_a, correct_b: boolean (items,). n_boot: number of resamples. level: probability covered by the interval.
    Returns a dict of floats: `diff` = accuracy of b - accuracy of a, and the percentiles `low` and `high`.
    Raises ValueError for other lengths, shapes, no items, n_boot < 1 or level outside (0, 1), TypeError for arrays that
    are not boolean.
    """
    ### BEGIN SOLUTION
    require_pairs(correct_a, correct_b)
    if n_boot < 1:
        raise ValueError(f"n_boot must be at least 1, not {n_boot}")
    if not 0 < level < 1:  # NaN fails as well
        raise ValueError(f"level must be between 0 and 1, not {level}")

    # +1 where only b is right, -1 where only a is, 0 where they agree: one number an item keeps the pairs together
    gain = correct_b.astype(np.float64) - correct_a.astype(np.float64)  # (items,)
    rng = np.random.default_rng(seed)
    resamples = [gain[rng.integers(len(gain), size=len(gain))].mean() for _ in range(n_boot)]
    low, high = np.quantile(resamples, [(1 - level) / 2, (1 + level) / 2])
    return {"diff": float(gain.mean()), "low": float(low), "high": float(high)}
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Eight items, of which the model after fine-tuning alone gets four right and the model before alone gets one, and then
# a model compared with itself.

# %% tags=["visible-checks", "active-ipynb"]
# before = np.array([True, False, False, False, False, True, True, False])
# after = np.array([False, True, True, True, True, True, True, False])
# assert np.isclose(mcnemar_exact(before, after), 0.375)  # 4 items for b alone, 1 for a alone: 2 * (1 + 5) / 32
# assert np.isclose(mcnemar_exact(before, before), 1.0)
#
# report = paired_bootstrap(before, after, n_boot=500, seed=3)
# assert np.isclose(report["diff"], 3 / 8)
# assert report["low"] <= report["diff"] <= report["high"]
# assert report == paired_bootstrap(before, after, n_boot=500, seed=3)
#
# same = paired_bootstrap(before, before)
# assert same["diff"] == same["low"] == same["high"] == 0

# %% [markdown]
# The next cell makes up 400 items on which fine-tuning repairs 30 and breaks 14. In orange are the differences of
# resamples drawn in pairs, as you draw them; in blue those of the same items drawn for each model by itself. Both heaps
# lie around the gain of 4 points, but the blue one is about twice as wide and reaches far below 0: whoever forgets the
# pairs cannot tell this gain from chance. In pairs it stands out, if not by much: the title shows your p-value, about
# 0.02, and your interval, whose lower end is a little above 0.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# correct_before = np.repeat([True, True, False, False], [270, 14, 30, 86])  # both, before only, after only, neither
# correct_after = np.repeat([True, False, True, False], [270, 14, 30, 86])
# p_value = mcnemar_exact(correct_before, correct_after)
# interval = paired_bootstrap(correct_before, correct_after)
#
# generator = np.random.default_rng(1)
# picks, other_picks = generator.integers(400, size=(2, 3000, 400))  # (resamples, items): which item is drawn
# after_minus_before = {
#     "each model by itself": correct_after[picks].mean(axis=1) - correct_before[other_picks].mean(axis=1),
#     "in pairs": correct_after[picks].mean(axis=1) - correct_before[picks].mean(axis=1),
# }
# for label, differences in after_minus_before.items():
#     plt.hist(differences, np.arange(-40.5, 70) / 400, alpha=0.6, label=label)
# plt.axvline(0, color="black", linewidth=1)
# plt.xlabel("accuracy after - accuracy before")
# plt.ylabel("number of resamples")
# low, high = interval["low"], interval["high"]
# plt.title(f"gain {interval['diff']:.3f}, 95 % interval {low:.3f} to {high:.3f}, p = {p_value:.3f}")
# plt.legend()
# plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Suppose both models were right on the first thousand items and wrong on the next thousand, and disagreed on ten. Which
# of the 2010 items could tell you which model is better? And if a resample picks item 17 for one model, which item must
# it pick for the other?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The test is about coin tosses: as many tosses as there are discordant items, a fair coin, and the question how often
# the rarer side is at most as frequent as here, or the other side is. For the interval, put the two arrays into one:
# what each item contributes to the difference. Then there is nothing left that could lose its partner.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arrays. Count both kinds of discordant items. Add up the numbers of ways from no heads to the smaller count,
# double, divide by all outcomes, and think of what happens when both counts are equal. Python's whole numbers have no
# limit (NumPy's have, so turn the counts into `int`), and dividing two of them gives a proper float. For the interval:
# a generator from the seed, `n_boot` means of resampled contributions, two percentiles.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# differences = generator.choice(contributions, size=(n_boot, len(contributions))).mean(axis=1)  # (n_boot,)
# ```
#
# </details>
#
# ## References
#
# - Quinn McNemar (1947), Note on the sampling error of the difference between correlated proportions or percentages.
# - Philipp Koehn (2004), Statistical Significance Tests for Machine Translation Evaluation.
# - Rotem Dror, Gili Baumer, Segev Shlomov, Roi Reichart (2018), The Hitchhiker's Guide to Testing Statistical
#   Significance in Natural Language Processing.
