# %% [markdown]
# # What L1 and L2 penalties do: the elastic net
#
# "L1 and L2 punish sparse parameters", one can read. It is the other way round: both punish *large* parameters, and L1
# makes zeros. How it makes them is worth knowing, since plain gradient descent on an L1 penalty almost never reaches an
# exact zero. The tool is the proximal step: first a gradient step on the loss, then a shrinkage that is worked out
# exactly. The same idea of treating the penalty apart from the gradient is behind the weight decay of AdamW.

# %% [markdown]
# ## Your task (35 minutes)
#
# Write one step, and with it a solver for linear regression with both penalties, the *elastic net*.
#
# ### `elastic_prox_step(w, grad, lr, l1=0.0, l2=0.0) -> np.ndarray`
#
# `w` and `grad` have the same shape, with any number of axes: the weights, and the gradient of the loss *without*
# penalties there. The step has two parts.
#
# 1. A gradient step of length `lr` on the loss leads to a point; call it `v`.
# 2. The result is the `u` that makes `0.5 * sum((u - v)**2) + lr * (l1 * sum(abs(u)) + l2 / 2 * sum(u**2))` as small
#    as possible: close to `v`, but with a small penalty. Each entry of `u` depends on its own entry of `v` alone, and
#    has a formula, which you are to find. There is no iteration in it.
#
# ### `fit_elastic_net(X, y, l1, l2, n_steps=5000) -> np.ndarray`
#
# The weights `(features,)` that minimise, for `X` of shape `(samples, features)` and `y` of shape `(samples,)`,
#
# `sum((y - X @ w)**2) / (2 * samples) + l1 * sum(abs(w)) + l2 / 2 * sum(w**2)`
#
# Start at zeros and make `n_steps` steps, each the step above from where the last one ended, with the gradient of the
# first term and with `lr = 1 / L`, where `L` is the largest eigenvalue of `X.T @ X / samples`. No intercept, nothing is
# centred or scaled, and nothing is added to speed it up: the checks also look at the first few steps. If all of `X` is
# zero, so that `L` is 0, return zeros.
#
# ### Rules
#
# - Everything is computed in float64, whatever the dtype of the inputs (lists are fine too), and the result is a new
#   float64 array. No argument is changed.
# - `ValueError` for a negative penalty, an `lr` that is not positive, `n_steps` below 0, shapes that do not fit
#   (nothing is broadcast), no samples or no features, and for NaN or infinity anywhere.
# - **Forbidden:** `sklearn`, `scipy`, `torch`, `tensorflow` and `keras`. `np.linalg` is allowed.

# %% [markdown]
# ## A worked example
#
# `w = [1.0, -0.3, 0.05]`, `grad = [0.5, -0.5, 0.2]`, `lr = 0.2`:
#
# | | first entry | second | third |
# |---|---|---|---|
# | `v` | 0.9 | -0.2 | 0.01 |
# | `l1=0.5, l2=0` | 0.8 | -0.1 | **0**, exactly |
# | `l1=0, l2=1` | 0.75 | -0.167 | 0.0083 |
# | `l1=0.5, l2=1` | 0.667 | -0.083 | **0**, exactly |
#
# L1 takes the same amount off every entry, until nothing is left. L2 takes the same *share* off every entry, so that
# something is always left. `lr` scales both.

# %%
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


# %% tags=["solution"]
def elastic_prox_step(w: ArrayLike, grad: ArrayLike, lr: float, l1: float = 0.0, l2: float = 0.0) -> np.ndarray:
    """One proximal gradient step for a loss with the penalty l1 * sum(abs(w)) + l2 / 2 * sum(w**2).

    Args:
        w: the weights, any shape.
        grad: the gradient of the loss without the penalty at w, same shape.
        lr: length of the step, positive and finite.
        l1: strength of the L1 penalty, at least 0.
        l2: strength of the L2 penalty, at least 0.

    Returns:
        The new weights: float64, same shape.

    Raises:
        ValueError: shapes differ, lr is not positive, a penalty is negative, or something is not finite.

    Source: soft thresholding is how the lasso of Tibshirani (1996) makes zeros.
    """
    ### BEGIN SOLUTION
    w, grad = np.asarray(w, dtype=np.float64), np.asarray(grad, dtype=np.float64)
    if w.shape != grad.shape:
        raise ValueError(f"weights {w.shape} and gradient {grad.shape} must have one shape")
    if not (np.isfinite(w).all() and np.isfinite(grad).all()):
        raise ValueError("weights and gradient must be finite")
    if not 0 < lr < np.inf or not 0 <= l1 < np.inf or not 0 <= l2 < np.inf:
        raise ValueError(f"lr must be positive, l1 and l2 at least 0, got {lr}, {l1} and {l2}")

    v = w - lr * grad
    # L1: every entry moves towards 0 by the same amount and stops there
    shrunk = np.sign(v) * np.maximum(np.abs(v) - lr * l1, 0.0)
    # L2: every entry is divided by the same number
    return shrunk / (1 + lr * l2)
    ### END SOLUTION


# %% tags=["solution"]
def fit_elastic_net(X: ArrayLike, y: ArrayLike, l1: float, l2: float, n_steps: int = 5000) -> np.ndarray:
    """Linear regression with L1 and L2 penalties by proximal gradient steps from zero, without intercept.

    Args:
        X: inputs, (samples, features).
        y: targets, (samples,).
        l1: strength of the L1 penalty, at least 0.
        l2: strength of the L2 penalty, at least 0.
        n_steps: number of steps, at least 0, each of length 1 / (largest eigenvalue of X.T @ X / samples).

    Returns:
        The weights: float64, (features,).

    Raises:
        ValueError: shapes do not fit, there are no samples or no features, or an argument is out of range.
    """
    ### BEGIN SOLUTION
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2 or y.shape != X.shape[:1] or X.size == 0:
        raise ValueError(f"expected (samples, features) and (samples,), got {X.shape} and {y.shape}")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("inputs and targets must be finite")
    if not 0 <= l1 < np.inf or not 0 <= l2 < np.inf or n_steps < 0:
        raise ValueError(f"l1, l2 and n_steps must be at least 0, got {l1}, {l2} and {n_steps}")

    samples, features = X.shape
    w = np.zeros(features)
    largest = np.linalg.eigvalsh(X.T @ X / samples)[-1]  # eigenvalues come in ascending order
    if largest <= 0:
        return w
    for _ in range(n_steps):
        grad = X.T @ (X @ w - y) / samples  # (features,)
        w = elastic_prox_step(w, grad, 1 / largest, l1, l2)
    return w
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# step = elastic_prox_step([2.0, -0.5, 0.25], [1.0, -3.0, 0.5], lr=0.25, l1=0.5, l2=2.0)
# assert step.dtype == np.float64 and np.allclose(step, [1.625 / 1.5, 0.125 / 1.5, 0.0]), step
# assert step[2] == 0
#
# # two features that do not share a sample: each has a problem of its own
# X, y = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, -2.0]]), np.array([3.0, 0.5, 5.0, 0.5])
# assert np.allclose(fit_elastic_net(X, y, 0.0, 0.0), [2.0, 0.0]), fit_elastic_net(X, y, 0.0, 0.0)
# assert np.allclose(fit_elastic_net(X, y, 1.0, 0.0), [1.5, 0.0]), fit_elastic_net(X, y, 1.0, 0.0)
# assert np.allclose(fit_elastic_net(X, y, 1.0, 1.0), [1.0, 0.0]), fit_elastic_net(X, y, 1.0, 1.0)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Take a single number `v = 3`. Which `u` makes `0.5 * (u - 3)**2 + 0.5 * abs(u)` smallest, and which one
# `0.5 * (u - 3)**2 + 5 * abs(u)`? Try some values of `u`, or draw the two curves. What changes for `v = -3`?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Where `u` is not 0, the derivative of the sum has to vanish, and the sign of `u` is that of `v`. That gives a formula,
# which makes sense only while its result keeps that sign. Where it would cross 0, the kink of the absolute value holds
# `u` at 0. Shrinking by an amount and stopping at 0 is called soft thresholding.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Step: check; go against the gradient; take the amount off the size of each entry, but not below 0; put the sign back;
# divide by a number that comes from the derivative of `0.5 * (u - v)**2 + lr * l2 / 2 * u**2`. Fit: check; find the
# largest eigenvalue; as often as asked, compute the gradient of the squared error at the present weights and step.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `shrunk = np.sign(v) * np.maximum(np.abs(v) - amount, 0.0)`
#
# </details>

# %% [markdown]
# ## Going further
#
# * An L1 penalty of at least `max(abs(X.T @ y)) / samples` makes all weights zero. From there, lower it step by step
#   and watch the features come in one after the other.
# * An L1 penalty in the loss of an optimiser with gradients alone gives small weights, not zeros: near 0 the sign flips
#   from step to step. If you need zeros, use a proximal step or prune.
# * L2 added to the loss and weights multiplied by a number below 1 are the same for plain SGD, but not for Adam, which
#   is why AdamW decays weights apart from the gradient (Loshchilov and Hutter, 2019).
#
# ## References
#
# * Robert Tibshirani (1996). Regression Shrinkage and Selection via the Lasso. Journal of the Royal Statistical Society
#   B 58.
# * Ilya Loshchilov, Frank Hutter (2019). Decoupled Weight Decay Regularization. ICLR 2019.
