# %% [markdown]
# # Binary cross-entropy from probabilities and logits
#
# Does this text belong to this image? A model answers with a score, and binary cross-entropy tells it how wrong it was.
# The formula is in every article, and it is unusable as printed: once the model is sure of itself, `log 0` gives
# infinity, `0 · log 0` gives NaN, and the gradient printed next to it multiplies zero by infinity. All frameworks
# compute the same loss from the **score** instead, where nothing overflows and the gradient collapses to one
# subtraction. Here you write both, and a test that can tell a right gradient from a wrong one.
#
# ## Your task (about 50 minutes)
#
# A *logit* `s` is any finite score, `p = σ(s) = 1 / (1 + exp(-s))` its probability, a *target* `z` is 1 for a match, 0
# for a mismatch, or anything between (a soft label). The loss of a pair is `-z · log p - (1 - z) · log(1 - p)`, with
# the natural logarithm. Everything is computed in `float64`; inputs may be lists or arrays of any number type.
#
# **Part 1: loss and risk (25 minutes)**
#
# | function | returns |
# |---|---|
# | `bce_with_logits(logits, targets)` | loss of **each** pair, in the shape of the inputs |
# | `bce_from_probs(probs, targets, eps=1e-12)` | the same from probabilities, clipped to [`eps`, 1 - `eps`] first |
# | `bce_risk(logits, targets, pos_weight=1.0, sample_weight=None)` | one number: the weighted mean of `(N,)` losses |
# | `two_logit_to_margin(logits)` | `(N, 2)` scores of (mismatch, match) to `(N,)` logits with the same probabilities |
# | `prior_correction(logit, sampled_pos_rate, true_pos_rate)` | logits in the shape of `logit`, for another prior |
#
# - `bce_with_logits` is right to nine digits (or to 1e-12) for every logit from -10000 to 10000.
# - The risk is Σ wᵢ ℓᵢ / Σ wᵢ with the sample weights wᵢ `(N,)`, all 1 if not given. `pos_weight` multiplies the term
#   `-z · log p` **only**, and appears nowhere else. The logits of the risk can be as large as those above.
# - Mismatched pairs are made by sampling, so the share of matches in training, `sampled_pos_rate`, is a choice. The
#   corrected logit is the one a model would have learned at a share of `true_pos_rate`: the log odds
#   log(rate / (1 - rate)) of the new share replace those of the old one.
#
# **Part 2: gradient (25 minutes)**
#
# | function | returns |
# |---|---|
# | `bce_logistic_grad(X, z, theta)` | `(d,)`: gradient, by `theta`, of the mean loss of the logits `X @ theta` |
# | `chain_form_grad(X, z, theta)` | `(d,)`: the same as the product of three derivatives that passes through p |
# | `finite_difference(f, theta, h=1e-6)` | `(d,)`: central differences (f(θ + h eᵢ) - f(θ - h eᵢ)) / 2h |
#
# - `X` is `(N, d)`, `z` `(N,)`, `theta` `(d,)`. `bce_logistic_grad` is right for logits from -10000 to 10000.
# - `chain_form_grad` multiplies ∂ℓ/∂p, ∂p/∂s and ∂s/∂θ as in the textbook. It is there for comparison: where p rounds
#   to 0 or 1 it may return what it likes (NaN too), but it raises nothing.
# - `finite_difference` calls `f` with arrays `(d,)` of `float64`, as often as you like; `f` returns one number. `theta`
#   may hold integers, and is not changed.
#
# ### Rules
#
# - **`ValueError`** for
#   - arguments of different shapes (nothing is broadcast), NaN or infinite logits, a target or probability outside
#     [0, 1], and `eps` outside (0, 0.5);
#   - in the risk: no pairs at all, anything but `(N,)`, `pos_weight` that is not a finite number above 0, and sample
#     weights that are negative, not finite, of another shape or all 0;
#   - anything but `(N, 2)` in `two_logit_to_margin`, and rates outside (0, 1);
#   - in the gradients: no pairs at all, `X` that is not `(N, d)`, `theta` that is not `(d,)`, and `h` that is not a
#     finite number above 0.
# - Two helpers that check pairs are given below; use them or not. Single numbers instead of arrays are not asked for.
# - **Forbidden:** `scipy`, `sklearn`, `torch`, `tensorflow`, `keras`. NumPy is enough. Leave the arguments unchanged.
#
# ## Worked example
#
# The logit ln 4 has p = 0.8. A match costs -ln 0.8 = 0.223, a mismatch -ln 0.2 = 1.609, and the soft label z = 0.5
# costs 0.916. With `pos_weight=3` the match costs 0.669 and the mismatch still 1.609.
#
# The logit 800 with target 0 costs 800. Through the probability it costs infinity, since 1 - p is 0 in floating point;
# clipped at 1e-12 it costs 27.6, and the gradient of the worst mistake of all is 0.
#
# If half of the training pairs were matches and in use it is one in ten, a logit of 0 becomes 0 + ln(1/9) - ln 1 =
# -2.197: a probability of 0.1.
#
# With X = [[1, 2], [0, 1]], z = [1, 0] and θ = 0 all p are 0.5, and the gradient is
# ((0.5 - 1)·(1, 2) + (0.5 - 0)·(0, 1)) / 2 = (-0.25, -0.25).

# %%
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike


def as_pairs(values: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays. (This one is given.)

    Raises ValueError if their shapes differ, a value is not finite or a target is not in [0, 1].
    """
    values, targets = np.asarray(values, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if values.shape != targets.shape:
        raise ValueError(f"one target for each value, please: shapes {values.shape} and {targets.shape}")
    if not np.isfinite(values).all() or not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError("values must be finite and targets between 0 and 1")
    return values, targets


def linear_logits(X: ArrayLike, z: ArrayLike, theta: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (N, d), the logits X @ theta (N,) and the targets z (N,), as float64 arrays. (This one is given.)

    Raises ValueError if the shapes do not fit, there are no pairs, a logit is not finite or a target is not in [0, 1].
    """
    X, theta = np.asarray(X, dtype=np.float64), np.asarray(theta, dtype=np.float64)
    if X.ndim != 2 or len(X) == 0 or theta.shape != X.shape[1:]:
        raise ValueError(f"X must be (pairs, features) and theta (features,), not {X.shape} and {theta.shape}")
    logits, z = as_pairs(X @ theta, z)
    return X, logits, z


# %% [markdown]
# ## Part 1: loss and risk


# %% tags=["solution"]
def bce_with_logits(logits: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """Binary cross-entropy of each pair, computed from the logits.

    logits: any shape, finite. targets: the same shape, in [0, 1].

    Returns float64 losses in the shape of the inputs. Raises ValueError for bad input (see the rules).
    """
    ### BEGIN SOLUTION
    logits, targets = as_pairs(logits, targets)
    # -z log p - (1 - z) log(1 - p) = log(1 + exp(s)) - s z, and log(1 + exp(s)) = max(s, 0) + log(1 + exp(-|s|))
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    ### END SOLUTION


def bce_from_probs(probs: ArrayLike, targets: ArrayLike, eps: float = 1e-12) -> np.ndarray:
    """Binary cross-entropy of each pair, computed from probabilities that are clipped to [eps, 1 - eps].

    probs: any shape, in [0, 1]. targets: the same shape, in [0, 1]. eps: in (0, 0.5).

    Returns float64 losses in the shape of the inputs. Raises ValueError for bad input (see the rules).
    """
    ### BEGIN SOLUTION
    probs, targets = as_pairs(probs, targets)
    if not ((probs >= 0) & (probs <= 1)).all():
        raise ValueError("probabilities must be between 0 and 1")
    if not 0 < eps < 0.5:
        raise ValueError(f"eps must be above 0 and below 0.5, not {eps}")
    clipped = np.clip(probs, eps, 1 - eps)
    return -targets * np.log(clipped) - (1 - targets) * np.log1p(-clipped)
    ### END SOLUTION


# %% tags=["solution"]
def bce_risk(
    logits: ArrayLike, targets: ArrayLike, pos_weight: float = 1.0, sample_weight: ArrayLike | None = None
) -> float:
    """Weighted mean of the binary cross-entropies of a data set.

    logits, targets and sample_weight: (N,). pos_weight: factor of the term of the matches, -z log p, alone.

    Returns sum(weight * loss) / sum(weight). Raises ValueError for bad input (see the rules).
    """
    ### BEGIN SOLUTION
    logits, targets = as_pairs(logits, targets)  # (pairs,)
    weights = np.ones_like(logits) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if logits.ndim != 1 or weights.shape != logits.shape:
        raise ValueError(f"expected (pairs,) for logits, targets and weights, got {logits.shape} and {weights.shape}")
    if not 0 < pos_weight < np.inf:
        raise ValueError(f"pos_weight must be finite and above 0, not {pos_weight}")
    if not ((weights >= 0) & (weights < np.inf)).all() or weights.sum() == 0:  # without pairs the sum is 0 as well
        raise ValueError("weights must be finite, not negative and not all 0")

    # loss = pos_weight * z * (-log p) + (1 - z) * (-log(1 - p))
    as_match = bce_with_logits(logits, np.ones_like(logits))  # -log p
    as_mismatch = bce_with_logits(logits, np.zeros_like(logits))  # -log(1 - p)
    losses = pos_weight * targets * as_match + (1 - targets) * as_mismatch  # (pairs,)
    return float((weights * losses).sum() / weights.sum())
    ### END SOLUTION


def two_logit_to_margin(logits: ArrayLike) -> np.ndarray:
    """One logit of a match from the two scores of a softmax: (N, 2), columns mismatch and match, to (N,) float64.

    Raises ValueError if the shape is not (N, 2).
    """
    ### BEGIN SOLUTION
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"expected (pairs, 2), got {logits.shape}")
    # softmax over two scores: exp(b) / (exp(a) + exp(b)) = 1 / (1 + exp(-(b - a)))
    return logits[:, 1] - logits[:, 0]  # (pairs,)
    ### END SOLUTION


def prior_correction(logit: ArrayLike, sampled_pos_rate: float, true_pos_rate: float) -> np.ndarray:
    """Logits for a share of matches of true_pos_rate, from a model trained at sampled_pos_rate.

    logit: any shape. The rates: in (0, 1). Returns float64 in the shape of logit.

    Raises ValueError for a rate outside (0, 1).
    """
    ### BEGIN SOLUTION
    for rate in (sampled_pos_rate, true_pos_rate):
        if not 0 < rate < 1:
            raise ValueError(f"rates must be above 0 and below 1, not {rate}")
    sampled_log_odds = np.log(sampled_pos_rate / (1 - sampled_pos_rate))
    true_log_odds = np.log(true_pos_rate / (1 - true_pos_rate))
    # logit = log odds of the prior + evidence: take the old prior out, put the new one in
    return np.asarray(logit, dtype=np.float64) - sampled_log_odds + true_log_odds
    ### END SOLUTION


# %% [markdown]
# ## Part 2: gradient


# %% tags=["solution"]
def bce_logistic_grad(X: ArrayLike, z: ArrayLike, theta: ArrayLike) -> np.ndarray:
    """Gradient of the mean binary cross-entropy of the logits X @ theta with respect to theta.

    X (N, d), z (N,) in [0, 1], theta (d,).

    Returns float64 (d,). Raises ValueError for bad input (see the rules).
    """
    ### BEGIN SOLUTION
    X, logits, z = linear_logits(X, z, theta)
    # p = 1 / (1 + exp(-s)), with an exponential that is never above 1
    small = np.exp(-np.abs(logits))
    p = np.where(logits >= 0, 1, small) / (1 + small)  # (pairs,)
    # derivative of the loss with respect to its logit: p - z
    return (p - z) @ X / len(X)  # (features,)
    ### END SOLUTION


def chain_form_grad(X: ArrayLike, z: ArrayLike, theta: ArrayLike) -> np.ndarray:
    """The same gradient as a product of three derivatives; not finite where p rounds to 0 or 1.

    X (N, d), z (N,) in [0, 1], theta (d,).

    Returns float64 (d,). Raises ValueError for bad input (see the rules).
    """
    ### BEGIN SOLUTION
    X, logits, z = linear_logits(X, z, theta)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        p = 1 / (1 + np.exp(-logits))
        loss_by_p = (1 - z) / (1 - p) - z / p
        p_by_logit = p * (1 - p)
        return (loss_by_p * p_by_logit) @ X / len(X)  # the derivative of the logits is X
    ### END SOLUTION


# %% tags=["solution"]
def finite_difference(f: Callable[[np.ndarray], float], theta: ArrayLike, h: float = 1e-6) -> np.ndarray:
    """Gradient of f at theta by central differences; the error shrinks with h squared, until rounding takes over.

    f: maps (d,) float64 to one number. theta: (d,). h: step, finite and above 0.

    Returns float64 (d,). Raises ValueError if theta is not (d,) or h is not a finite number above 0.
    """
    ### BEGIN SOLUTION
    theta = np.asarray(theta, dtype=np.float64)
    if theta.ndim != 1 or not 0 < h < np.inf:
        raise ValueError(f"expected theta (features,) and a step above 0, got shape {theta.shape} and {h}")
    steps = h * np.eye(theta.size)  # (features, features): one row moves one entry
    return np.array([(f(theta + step) - f(theta - step)) / (2 * h) for step in steps])
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The logit ln 3 has p = 0.75. The last lines compare three ways to the same gradient.

# %% tags=["visible-checks", "active-ipynb"]
# s = np.log(3)
# assert np.allclose(bce_with_logits([s, s, -s], [1, 0, 0.5]), [np.log(4 / 3), np.log(4), np.log(16 / 3) / 2])
# assert np.allclose(bce_with_logits([500, -500], [0, 1]), [500, 500])
# assert np.allclose(bce_from_probs([0.75, 1.0], [1, 0], eps=0.125), [np.log(4 / 3), np.log(8)])
# risk = bce_risk([s, s], [1, 0], pos_weight=2, sample_weight=[1, 3])
# assert np.isclose(risk, (2 * np.log(4 / 3) + 3 * np.log(4)) / 4)
# assert np.allclose(two_logit_to_margin([[1, 4], [2, 0]]), [3, -2])
# assert np.allclose(prior_correction([s, -s], 0.5, 0.25), [0, -2 * s])
#
# X, z, theta = [[1, 2], [3, 0], [-1, 1]], [1, 0, 1], [s, 0]
# gradient = bce_logistic_grad(X, z, theta)
# assert np.allclose(gradient, [(-1 / 4 + 3 * 27 / 28 + 3 / 4) / 3, (-1 / 2 - 3 / 4) / 3])
# assert np.allclose(chain_form_grad(X, z, theta), gradient)
# numerical = finite_difference(lambda at: bce_risk(np.array(X) @ at, z), theta)
# assert np.allclose(numerical, gradient, atol=1e-7)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Swap match and mismatch and change the sign of the logit: may the loss change? How does the loss of a very wrong pair
# grow with the size of its logit? And what is the slope of the loss far out to the right and far out to the left, for z
# = 0 and for z = 1?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# log(1 - p) = log p - s, so both terms share one function, softplus(s) = log(1 + exp(s)), and the loss is
# softplus(s) - s · z. Take the larger of 0 and s out of that logarithm and the remaining exponential is at most 1. The
# derivative of softplus is σ, so the derivative of the loss is σ(s) - z: the factor p (1 - p) of the chain rule has
# cancelled. A logit is the log odds of the prior plus the evidence, so another prior is another summand.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check first, with the helper. Loss: three summands, max(s, 0), -s z and a `log1p`. Risk: the loss as if all were
# matches, the loss as if none were, mixed with z and 1 - z, `pos_weight` on the first, then a weighted mean. Gradient:
# a sigmoid whose exponential never exceeds 1, residuals, a product with X, divided by the number of pairs. Finite
# differences: for each entry two calls of `f`, one step up and one step down from a float copy of `theta`.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `np.log1p(np.exp(-np.abs(s)))` is the part of softplus that is left when max(s, 0) is taken out.
# </details>
#
# ## References
#
# - Tsung-Yi Lin, Priya Goyal, Ross B. Girshick, Kaiming He, Piotr Dollár (2017). Focal Loss for Dense Object Detection:
#   starts the bias at the log odds of the prior, and changes this loss for rare positives.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision: CLIP itself is trained by contrast within a batch, not with this loss.
# - Atılım Güneş Baydin, Barak A. Pearlmutter, Alexey Andreyevich Radul, Jeffrey Mark Siskind (2018). Automatic
#   Differentiation in Machine Learning: a Survey: on finite differences and their errors.
