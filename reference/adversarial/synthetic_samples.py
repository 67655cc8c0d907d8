# %% [markdown]
# # Synthetic samples without leaking or swamping
#
# A GAN is trained for days to make images and texts for the rare classes, and then the classifier is fine-tuned on the
# same old loader: the popular program in print never uses what it generated. Using it invites two other accidents.
# Generated rows drift into the data on which you evaluate, so that the score tells how well the model knows the
# generator. Or a class of five real samples gets five hundred artificial ones, and the class *becomes* what the
# generator believes of it. The function you write here keeps the books: how many, for whom, and which rows they are.
#
# ## Your task (about 35 minutes)
#
# ```python
# balance_with_synthetic(X, y, generate_fn, max_ratio)  # -> (X_aug, y_aug, is_synthetic)
# ```
#
# | argument | meaning |
# |---|---|
# | `X` | array `(rows, ...)` of real samples, **training split only**; texts have no further axes |
# | `y` | array `(rows,)` of their labels, all integers or all strings; integers may be negative and have gaps |
# | `generate_fn` | `generate_fn(label, n)` returns an array `(n, ...)` of n new samples of that class |
# | `max_ratio` | number, at least 0: how many synthetic samples there may be for each real one of the same class |
#
# - Each class of `y` is topped up towards the size of the **largest** class. It gets as many synthetic samples as it
#   lacks, but at most max_ratio · (its real samples), rounded down. The checks avoid ratios for which rounding errors
#   of that product would matter.
# - `generate_fn` is called once for each class that gets any, in the sorted order of the labels, and not at all for the
#   others. It is given, by position, the label as it stands in `y` and n, both as Python's or NumPy's scalars.
#
# The result is a tuple of three arrays, all new: writing into them later leaves `X` and `y` as they were.
#
# | result | shape | |
# |---|---|---|
# | `X_aug` | `(rows + new, ...)` | the real rows in their order, then the synthetic ones, by sorted label |
# | `y_aug` | `(rows + new,)` | the labels of the real rows; for a synthetic row the label that was **asked for** |
# | `is_synthetic` | `(rows + new,)` | boolean, `True` for synthetic rows |
#
# - `X_aug` has the dtype of `X`, and `y_aug` that of `y`. Generated rows may have another dtype as long as it casts
#   safely, in the sense of `np.can_cast(rows.dtype, X.dtype, casting="safe")`: `float32` rows for `float64` data are
#   fine, `float64` rows for `float32` data are not.
# - `ValueError` when `generate_fn` returns any other shape than `(n, ...)`, with the further axes of `X`, or a dtype
#   that does not cast safely. Brightness from 0 to 1 cast into `uint8` pixels gives black images without a word.
# - `ValueError` for a `max_ratio` that is negative or NaN, for no rows, for `y` that is not one-dimensional, and when
#   `X` and `y` differ in length. An infinite `max_ratio` is not asked for.
#
# No argument is changed. **Forbidden:** `sklearn`.
#
# ## A worked example
#
# A training split has 7 photos of cats, 3 of dogs and 2 of owls.
#
# | | lacks | max_ratio 0.5: at most | gets | max_ratio 2: at most | gets |
# |---|---|---|---|---|---|
# | cat | 0 | 3 | 0 | 14 | 0 |
# | dog | 4 | 1 | **1** | 6 | **4** |
# | owl | 5 | 1 | **1** | 4 | **4** |
#
# With the ratio 2, `generate_fn("dog", 4)` and `generate_fn("owl", 4)` are called. The result has 12 + 8 rows: the 12
# real ones, 4 dogs, 4 owls.

# %%
import math
from collections.abc import Callable

import numpy as np


# %% tags=["solution"]
def balance_with_synthetic(
    X: np.ndarray, y: np.ndarray, generate_fn: Callable[..., np.ndarray], max_ratio: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Top up the smaller classes of a training split with generated samples, within a limit.

    Args:
        X: real samples, `(rows, ...)`.
        y: their labels, `(rows,)`, integers or strings.
        generate_fn: `generate_fn(label, n)` returns n samples of a class, `(n, ...)`.
        max_ratio: largest number of synthetic samples for each real one of a class, at least 0.

    Returns:
        X_aug `(rows + new, ...)` in the dtype of X, y_aug `(rows + new,)` in the dtype of y, and is_synthetic
        `(rows + new,)`, boolean. Real rows come first.

    Raises:
        ValueError: no rows, X and y that do not fit together, max_ratio negative or NaN, generated rows of a wrong
            number or shape, or of a dtype that does not cast safely.
    """
    ### BEGIN SOLUTION
    X, y = np.asarray(X), np.asarray(y)
    if y.ndim != 1 or len(y) == 0 or len(X) != len(y):
        raise ValueError(f"X {X.shape} and y {y.shape} must hold the same rows, at least one")
    if not max_ratio >= 0:  # true for NaN as well
        raise ValueError(f"max_ratio must be at least 0, not {max_ratio}")

    labels, counts = np.unique(y, return_counts=True)  # (classes,), (classes,), sorted by label
    samples, targets = [X], [y]
    for label, count in zip(labels, counts, strict=True):
        # what the class lacks to be as large as the largest, but no more than max_ratio for each real sample
        n = min(int(counts.max() - count), math.floor(max_ratio * count))
        if n < 1:
            continue
        rows = np.asarray(generate_fn(label, n))  # (n, ...)
        if rows.shape != (n, *X.shape[1:]):
            raise ValueError(f"generate_fn returned {rows.shape} for {n} samples shaped {X.shape[1:]}")
        if not np.can_cast(rows.dtype, X.dtype, casting="safe"):
            raise ValueError(f"generate_fn returned {rows.dtype}, which does not cast safely to {X.dtype}")
        samples.append(rows.astype(X.dtype))
        targets.append(np.full(n, label, dtype=y.dtype))  # (n,)

    X_aug, y_aug = np.concatenate(samples), np.concatenate(targets)  # (rows + new, ...), (rows + new,)
    is_synthetic = np.arange(len(X_aug)) >= len(X)  # (rows + new,)
    return X_aug, y_aug, is_synthetic
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Eight samples of class 5, five of class 2 and three of class 10; at most half as many synthetic as real ones.

# %% tags=["visible-checks", "active-ipynb"]
# y = np.array([5, 10, 2, 5, 2, 5, 5, 2, 10, 5, 2, 5, 2, 5, 10, 5])
# X = np.stack([np.arange(16.0), -np.arange(16.0)], axis=1)
# calls = []
#
#
# def generate_fn(label, n):
#     calls.append((int(label), n))
#     return 100.0 * label + np.arange(2 * n).reshape(n, 2)
#
#
# X_aug, y_aug, is_synthetic = balance_with_synthetic(X, y, generate_fn, max_ratio=0.5)
# assert calls == [(2, 2), (10, 1)], f"generate_fn was asked for {calls}"
# new = [[200.0, 201.0], [202.0, 203.0], [1000.0, 1001.0]]
# assert np.array_equal(X_aug, np.concatenate([X, new])), f"X_aug ends with {X_aug[-3:]}"
# assert y_aug.tolist() == [*y.tolist(), 2, 2, 10], f"y_aug is {y_aug}"
# assert is_synthetic.tolist() == [False] * 16 + [True] * 3, f"is_synthetic is {is_synthetic}"
# # the real rows can always be found again
# assert np.array_equal(X_aug[~is_synthetic], X) and np.array_equal(y_aug[~is_synthetic], y)

# %% [markdown]
# ## What the books cannot tell
#
# Split first, then generate: the generator may be fitted on the training split only, and validation and test stay real.
# Classifiers trained on the output of image GANs did clearly worse on real photographs than those trained on real
# ones, although the images looked convincing (Ravuri and Vinyals, 2019), so compare with plain reweighting before you
# believe in a gain. A generator has least to learn from exactly where data are rare. And a *pair* of image and text
# needs more than two good halves: the generator has to be conditional, as `generate_fn(label, n)` is (Mirza and
# Osindero, 2014), and its judge should see mismatched pairs as well (Reed et al., 2016). Today the rows would rather
# come from a pretrained diffusion or language model, and pairs that do not match are filtered out, for example with a
# CLIP score (Hessel et al., 2021). The cap, the mask and the honest split stay the same.
#
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Whatever you add, `X_aug[~is_synthetic]` is `X`, row for row, and no class ends up larger than the largest one was at
# the start. With `max_ratio=0` the result equals the input. Which two numbers limit what a class gets?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The books are kept by class: how many real rows it has, how many it lacks, how many it may get. The smaller of the
# last two decides. What comes back from outside, here from a generator that somebody else wrote, is checked before it
# is used: NumPy stretches a single row over many, and turns fractions into integers, without complaint.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Find the labels in sorted order with their counts. For each label work out the number; if there
# is something to get, ask for it, compare shape and dtype with what you need, and collect rows and labels in two lists
# that began with the real data. Join the lists at the end. The mask follows from the number of real rows.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# classes, sizes = np.unique(["owl", "cat", "owl"], return_counts=True)  # ['cat', 'owl'] and [1, 2]
# ```
#
# </details>
#
# ## References
#
# - Suman V. Ravuri, Oriol Vinyals (2019), Classification Accuracy Score for Conditional Generative Models.
# - Mehdi Mirza, Simon Osindero (2014), Conditional Generative Adversarial Nets.
# - Scott E. Reed, Zeynep Akata, Xinchen Yan, Lajanugen Logeswaran, Bernt Schiele, Honglak Lee (2016), Generative
#   Adversarial Text to Image Synthesis: a discriminator that is shown mismatched pairs too.
# - Jack Hessel, Ari Holtzman, Maxwell Forbes, Ronan Le Bras, Yejin Choi (2021), CLIPScore: A Reference-free Evaluation
#   Metric for Image Captioning.
