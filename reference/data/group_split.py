# %% [markdown]
# # Splits that do not leak
#
# An image with five captions makes five rows of a data set. Shuffle the rows, cut the list at 80 % and 90 %, and nearly
# every image of the test set is in the training set as well, with another caption. The score then says how well the
# model remembers pictures, and nobody sees it until the model meets new ones. "Split the data at random" is the usual
# advice; here you split whole *groups* of rows, such as all rows of one image, one patient or one video.
#
# ## Your task (40 minutes)
#
# | function | returns |
# |---|---|
# | `group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0)` | a tuple with one index array for each fraction |
# | `size_aware_group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0)` | the same, for groups of unequal size |
# | `leakage(groups, parts)` | number of groups that have rows in more than one part |
#
# - `groups` `(rows,)` is an array or a list and holds the name of each row's group, all whole numbers or all strings.
#   Rows of one group need not be neighbours.
# - `fractions` is a tuple or list of any length, one number for each split; zeros are allowed.
#
# **Both functions that split** keep these rules; a helper that both need may stand in the cell of part 1.
#
# - They return `int64` arrays `(rows of the split,)` of row numbers in ascending order. Every row is in exactly one
#   split, and all rows of a group are in the same one.
# - A fraction of 0 gives an empty array (of dtype `int64` too), every other split gets at least one group.
# - The seed decides which groups go where: the same call gives the same result, even when Python is started again
#   tomorrow. Another seed shuffles the groups differently, so that over many seeds every group is found in different
#   splits.
# - Draw from a generator of your own, made from the seed (`np.random.default_rng(seed)`, for example): the global
#   random states of NumPy and Python stay as they are.
#
# They differ in what they count:
#
# - **`group_split` counts groups.** With `G` groups, split `i` has a quota of `fractions[i] * G` groups. It gets the
#   whole part of its quota. The groups that remain go to the splits with the largest fractional parts, one each, ties
#   to the earlier split (the largest-remainder method). Then every split with a positive fraction that is still empty,
#   the earlier one first, takes one group from the split that has the most groups at that moment (the earliest of
#   several). Whether you compute quotas as floats or exactly is up to you: cases in which rounding errors decide do not
#   occur.
# - **`size_aware_group_split` counts rows.** Split `i` has a target of `fractions[i] * rows` rows. Take the groups in
#   an order shuffled by the seed; each goes to the split that lacks most rows (target minus rows so far), ties to the
#   earlier split. But as soon as there are only as many groups left as there are empty splits with a positive
#   fraction, a group may go to one of these only. A split then exceeds its target by less than the largest group has
#   rows.
#
# **`leakage`** takes a tuple or list `parts` of index arrays or lists, of any number; a part may be empty. A group that
# is in three parts counts once. The result is an `int` or a NumPy integer.
#
# **`ValueError`** in both functions that split for no rows and for `groups` that is not one-dimensional; and for a
# negative or NaN fraction, for fractions whose sum differs from 1 by more than 1e-9, and for fewer groups than positive
# fractions. These last three are found by the function `require_fractions` below, which is given; calling it is up to
# you. `leakage` need not check anything.
#
# No argument is changed. **Forbidden:** `sklearn`.
#
# ## A worked example
#
# 25 groups and the fractions 0.8, 0.1, 0.1: the quotas are 20, 2.5 and 2.5, the whole parts 20, 2 and 2. One group is
# left, and the tie goes to the earlier split: 20, 3 and 2 groups.
#
# Groups `a`, `b`, `c`, `d` with 4, 1, 1 and 2 rows, fractions 0.5 and 0.5 by rows: both targets are 4. In the order
# `b`, `d`, `a`, `c`, group `b` goes to split 0 (4 and 4 lacking, a tie), `d` to split 1 (3 and 4 lacking), `a` to split
# 0 (3 and 2) and `c` to split 1 (-1 and 2): 5 and 3 rows.
#
# `leakage(["a", "a", "b", "b", "c"], ([0, 2], [1, 3], [4]))` is 2: groups `a` and `b` are in the first two parts.
#
# ## What a split cannot repair
#
# Near-duplicates under two names leak as well, so look for them *before* splitting and give them one name. Where the
# data drift, split by time; where a class is rare, keep its share the same in all splits as well as the groups permit.
# Augment, and fit means, vocabularies or scalers, on the training split alone, and use the test split once. Write down
# where the data come from, since a benchmark may have been in the data of pretraining already (Chen et al., 2024). A
# test split tells about data like the training data; for a distant domain, think of a further stage of pretraining on
# that domain (Gururangan et al., 2020).

# %%
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def require_fractions(fractions: Sequence[float], n_groups: int) -> None:
    """Raise ValueError for fractions that are no shares, or too few groups for them. (This one is given.)"""
    if not all(fraction >= 0 for fraction in fractions) or not abs(sum(fractions) - 1) <= 1e-9:
        raise ValueError(f"fractions must be at least 0 and sum to 1, not {fractions}")
    if n_groups < sum(fraction > 0 for fraction in fractions):
        raise ValueError(f"{n_groups} groups are too few for the positive ones among {fractions}")


# %% [markdown]
# ## Part 1: count groups


# %% tags=["solution"]
def group_split(
    groups: ArrayLike, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Split rows by whole groups, so that the numbers of groups follow the fractions.

    Args:
        groups: name of each row's group, `(rows,)`, integers or strings.
        fractions: share of the groups for each split, summing to 1.
        seed: decides which groups go where.

    Returns:
        For each fraction an int64 array of row numbers, ascending.

    Raises:
        ValueError: no rows, not one-dimensional, impossible fractions, fewer groups than positive fractions.
    """
    ### BEGIN SOLUTION
    groups = np.asarray(groups)
    if groups.ndim != 1 or groups.size == 0:
        raise ValueError(f"groups must be one-dimensional with at least one row, not of shape {groups.shape}")
    names, group_of_row = np.unique(groups, return_inverse=True)  # (groups,), (rows,)
    require_fractions(fractions, len(names))

    # largest remainder: the whole parts of the quotas first, then one more where most is missing
    quota = np.asarray(fractions) * len(names)  # (splits,)
    counts = np.floor(quota).astype(np.int64)  # (splits,)
    by_remainder = np.argsort(counts - quota, kind="stable")  # stable: ties to the earlier split
    counts[by_remainder[: len(names) - counts.sum()]] += 1

    for split, fraction in enumerate(fractions):
        if fraction > 0 and counts[split] == 0:
            counts[counts.argmax()] -= 1
            counts[split] = 1

    # the shuffled groups are dealt out in runs
    order = np.random.default_rng(seed).permutation(len(names))
    split_of_group = np.empty(len(names), dtype=np.int64)
    split_of_group[order] = np.repeat(np.arange(len(fractions)), counts)
    split_of_row = split_of_group[group_of_row]  # (rows,)
    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))
    ### END SOLUTION


# %% [markdown]
# ## Part 2: count rows


# %% tags=["solution"]
def size_aware_group_split(
    groups: ArrayLike, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Split rows by whole groups, so that the numbers of rows follow the fractions.

    Arguments, result and errors are those of `group_split`. In an order shuffled by the seed, each group goes to the
    split that lacks most rows; no split exceeds its target by as many rows as the largest group has.
    """
    ### BEGIN SOLUTION
    groups = np.asarray(groups)
    if groups.ndim != 1 or groups.size == 0:
        raise ValueError(f"groups must be one-dimensional with at least one row, not of shape {groups.shape}")
    names, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    require_fractions(fractions, len(names))

    lacking = np.asarray(fractions) * len(groups)  # rows each split still needs, (splits,)
    empty = [split for split, fraction in enumerate(fractions) if fraction > 0]
    split_of_group = np.empty(len(names), dtype=np.int64)
    for placed, group in enumerate(np.random.default_rng(seed).permutation(len(names))):
        only_empty = len(names) - placed == len(empty)
        eligible = empty if only_empty else range(len(fractions))
        split = max(eligible, key=lacking.__getitem__)  # the first of several: ties to the earlier split
        split_of_group[group] = split
        lacking[split] -= sizes[group]
        if split in empty:
            empty.remove(split)

    split_of_row = split_of_group[group_of_row]  # (rows,)
    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))
    ### END SOLUTION


# %% [markdown]
# ## Part 3: look for leaks


# %% tags=["solution"]
def leakage(groups: ArrayLike, parts: Sequence[ArrayLike]) -> int:
    """Number of groups that have rows in more than one part.

    Args:
        groups: name of each row's group, `(rows,)`.
        parts: arrays or lists of row numbers, any of them may be empty.
    """
    ### BEGIN SOLUTION
    groups = np.asarray(groups)
    # an empty list would become a float array, which cannot be an index
    names_in_part = [set(groups[np.asarray(part, dtype=np.int64)].tolist()) for part in parts]
    found_in = {name: sum(name in names for names in names_in_part) for name in set().union(*names_in_part)}
    return sum(count > 1 for count in found_in.values())
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# # Twelve photos with three captions each, the rows of a photo not next to each other.
# photo = [f"photo {row % 12}" for row in range(36)]
# assert leakage(photo, (list(range(24)), list(range(24, 36)))) == 12  # the first 24 rows show all twelve photos
# for split_rows in (group_split, size_aware_group_split):
#     parts = split_rows(photo, (0.3, 0.4, 0.3), seed=3)
#     assert sorted(row for part in parts for row in part) == list(range(36))
#     assert leakage(photo, parts) == 0
# # The quotas are 3.6, 4.8 and 3.6 photos, the targets 10.8, 14.4 and 10.8 rows.
# assert [len(part) for part in group_split(photo, (0.3, 0.4, 0.3), seed=3)] == [12, 15, 9]
# assert [len(part) for part in size_aware_group_split(photo, (0.3, 0.4, 0.3), seed=3)] == [12, 15, 9]

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Write the name of its split beside every row. Whatever the fractions and the seed are, two rows with the same group
# must have the same split beside them. Is there a step in your code at which this could fail?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The unit that is shuffled and counted is the group; rows follow. So there are two tables: one that says the group of
# each row, which you are given, and one that says the split of each group, which you make. Looking up the second in the
# first gives the split of each row. The two functions differ only in how they fill the second table.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Number the distinct groups. For `group_split`, work out how many groups each split gets, before any group has a place:
# whole parts, remainders, empty splits. Then shuffle the groups and deal them out in runs of these lengths. For the
# other, count the rows of each group, keep a list of what each split lacks, and walk through the shuffled groups. For
# `leakage`, make the set of groups of every part and count in how many sets each group is.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# distinct, number_of_row = np.unique(groups, return_inverse=True)  # distinct[number_of_row] is groups again
# ```
# </details>
#
# ## References
#
# - Suchin Gururangan, Ana Marasović, Swabha Swayamdipta, et al. (2020). Don't Stop Pretraining: Adapt Language Models
#   to Domains and Tasks. ACL 2020.
# - Lin Chen, Jinsong Li, Xiaoyi Dong, et al. (2024). Are We on the Right Way for Evaluating Large Vision-Language
#   Models? NeurIPS 2024.
