# %% [markdown]
# # Probe first, then fine-tune
#
# A new head on a pretrained backbone usually starts with random weights. Its first predictions are nonsense, its errors
# are large, and the gradients that flow back through it change the backbone's features before the head has learned to
# read them. The remedy costs one line of linear algebra: fit the head on the frozen features first, put it in place,
# and only then train everything. Here you write the probe in closed form, the step that puts it into the head, and the
# gradient that shows what was gained.
#
# ## Your task (about 40 minutes)
#
# `features` is `(samples, features)`, what the frozen backbone makes of the training data; `labels` is `(samples,)`
# with integers from 0 to `n_classes - 1`. A head predicts `features @ W.T + b`, with `W` `(classes, features)` and `b`
# `(classes,)`, as `nn.Linear` does.
#
# **1. `ridge_probe(features, labels, n_classes, l2) -> (W, b)`**, both float64. Row y of the identity matrix is the
# target of a sample of class y (one-hot). `W` and `b` minimise
#
# $$\sum_{samples} \lVert W f + b - \text{onehot} \rVert^2 + l2 \cdot \lVert W \rVert^2,$$
#
# the *sum* of squared errors over samples and classes plus `l2` times the sum of squares of `W`. The intercept `b`
# costs nothing. A class that does not occur in `labels` gets a row of zeros and the intercept 0; this comes out by
# itself. There may be more features than samples.
#
# **2. `init_head(head, W, b) -> None`** puts the probe into a head. `head` is any object with arrays `head.weight`
# `(classes, features)` and `head.bias` `(classes,)` of float16, float32 or float64. The values go **into these
# arrays**: an optimiser holds on to them and must see the change. So their dtypes stay as they are, and `W` and `b`
# stay independent of them.
#
# **3. `feature_gradient(features, labels, W, b) -> (samples, features)`**, float64: the gradient with respect to the
# features of the *mean* over the samples of ‖W f + b - onehot‖². It is what reaches the backbone.
#
# Rules:
#
# - Everything is computed in float64, for arrays or lists of floats or integers of any width. Apart from `head`,
#   arguments stay unchanged.
# - `ValueError` from 1 and 3 if `features` does not have two axes or is empty, if `labels` has another shape than
#   `(samples,)`, if a label is outside the classes (in 3, `W` has a row for each class), or if a feature is NaN or
#   infinite; from 1 if `l2` is not above 0 or not finite (NaN too); from 3 if `W` or `b` do not fit.
# - Labels of a floating type: `TypeError` or `ValueError`, as you like.
# - `ValueError` from 2 if `W` or `b` differ in shape from the head's arrays or hold NaN or infinity; the head is then
#   left as it was, both of its arrays.
# - **Forbidden:** the module `sklearn`. **Accepted:** any way of solving, and any order of steps.
#
# In PyTorch, part 2 reads `with torch.no_grad(): head.weight.copy_(torch.from_numpy(W))`, and the same for the bias:
# the parameter object stays, with its dtype, its device and its `requires_grad`.
#
# ## A worked example
#
# One feature, samples -1 and 3, labels 0 and 1, `l2 = 2`. The mean feature is 1, the mean target (1/2, 1/2). Centred
# features are -2 and 2, centred targets of class 1 are -1/2 and 1/2. So its weight is (1 + 1) / (4 + 4 + 2) = 1/5, that
# of class 0 is -1/5, and the intercepts are 1/2 ± 1/5: `W = [[-0.2], [0.2]]`, `b = [0.7, 0.3]`. The predictions are
# (0.9, 0.1) and (0.1, 0.9). The errors of sample 0 are (-0.1, 0.1), so its gradient is
# 2 · (-0.2 · -0.1 + 0.2 · 0.1) / 2 = 0.04.

# %%
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## Part 1: the probe


# %% tags=["solution"]
def ridge_probe(features: ArrayLike, labels: ArrayLike, n_classes: int, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear probe on frozen features: ridge regression on one-hot targets, the intercept without a penalty.

    The first step of LP-FT, linear probing and then fine-tuning (Kumar et al. 2022).

    Args:
        features: (samples, features).
        labels: (samples,), integers from 0 to n_classes - 1.
        n_classes: number of classes, those that do not occur included.
        l2: strength of the penalty, above 0.

    Returns:
        W (classes, features) and b (classes,), float64.

    Raises:
        ValueError: shapes that do not fit, no sample, a label outside the classes, a feature or l2 out of range.
        TypeError: labels that are not integers.
    """
    ### BEGIN SOLUTION
    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if features.ndim != 2 or features.size == 0 or labels.shape != features.shape[:1]:
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit together")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must be from 0 to {n_classes - 1}")
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")
    if not 0 < l2 < np.inf:
        raise ValueError(f"l2 must be above 0 and finite, not {l2}")

    targets = np.eye(n_classes)[labels]  # (samples, classes), one-hot
    # with centred features and targets the best intercept is 0, so it drops out and is not penalised
    feature_mean, target_mean = features.mean(axis=0), targets.mean(axis=0)  # (features,), (classes,)
    centred = features - feature_mean  # (samples, features)
    goals = targets - target_mean  # (samples, classes)
    # (F^T F + l2 I) W^T = F^T T
    gram = centred.T @ centred + l2 * np.eye(centred.shape[1])  # (features, features)
    weight = np.linalg.solve(gram, centred.T @ goals).T  # (classes, features)
    return weight, target_mean - weight @ feature_mean
    ### END SOLUTION


# %% [markdown]
# ## Part 2: into the head


# %% tags=["solution"]
def init_head(head: Any, W: np.ndarray, b: np.ndarray) -> None:
    """Write a probe into the arrays of a head, in place.

    Args:
        head: has arrays weight (classes, features) and bias (classes,), whose dtypes stay as they are.
        W: (classes, features), finite.
        b: (classes,), finite.

    Raises:
        ValueError: W or b differ in shape from the head's arrays or are not finite; the head is then unchanged.
    """
    ### BEGIN SOLUTION
    W, b = np.asarray(W), np.asarray(b)
    if W.shape != head.weight.shape or b.shape != head.bias.shape:
        raise ValueError(f"a probe {W.shape}, {b.shape} does not fit a head {head.weight.shape}, {head.bias.shape}")
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise ValueError("W and b must be finite")
    head.weight[...] = W  # into the array itself: its dtype stays, and whoever holds it sees the change
    head.bias[...] = b
    ### END SOLUTION


# %% [markdown]
# ## Part 3: what reaches the backbone


# %% tags=["solution"]
def feature_gradient(features: ArrayLike, labels: ArrayLike, W: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Gradient of the mean squared error of a head, with respect to its features.

    Args:
        features: (samples, features).
        labels: (samples,), integers from 0 to classes - 1.
        W: (classes, features).
        b: (classes,).

    Returns:
        float64 array (samples, features): gradient of mean over samples of |W f + b - onehot|^2.

    Raises:
        ValueError: shapes that do not fit, no sample, a label outside the classes, features that are not finite.
        TypeError: labels that are not integers.
    """
    ### BEGIN SOLUTION
    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)
    W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if features.ndim != 2 or features.size == 0 or labels.shape != features.shape[:1]:
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit together")
    if W.ndim != 2 or W.shape[1:] != features.shape[1:] or b.shape != W.shape[:1]:
        raise ValueError(f"W {W.shape} and b {b.shape} do not fit features {features.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if labels.min() < 0 or labels.max() >= len(W):
        raise ValueError(f"labels must be from 0 to {len(W) - 1}")
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")

    errors = features @ W.T + b - np.eye(len(W))[labels]  # (samples, classes)
    return 2 * errors @ W / len(features)  # (samples, features)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# W, b = ridge_probe([[0.0], [4.0]], [0, 1], n_classes=2, l2=8.0)
# assert np.allclose(W, [[-0.125], [0.125]]) and np.allclose(b, [0.75, 0.25]), f"W is {W}, b is {b}"
#
#
# class Head:
#     weight = np.full((2, 1), 9.0, dtype=np.float32)
#     bias = np.full(2, 9.0, dtype=np.float32)
#
#
# head, held = Head(), Head.weight  # an optimiser holds on to the array, like the name `held` here
# init_head(head, W, b)
# assert held.dtype == np.float32 and np.allclose(held, W), "the values did not reach the array that was there before"
# assert np.allclose(head.bias, b)
#
# # the predictions are (0.75, 0.25) and (0.25, 0.75)
# assert np.allclose(feature_gradient([[0.0], [4.0]], [0, 1], W, b), [[0.0625], [-0.0625]])

# %% [markdown]
# The next cell makes three classes of features and compares the gradients that reach the backbone at the first step:
# through a random head, and through the probe.

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# classes = generator.integers(3, size=120)
# points = 2 * generator.normal(size=(3, 16))[classes] + generator.normal(size=(120, 16))
# random_head = generator.uniform(-0.25, 0.25, size=(3, 16)), np.zeros(3)  # like nn.Linear(16, 3)
# probe_head = ridge_probe(points, classes, 3, l2=1.0)
# for name, (weight, bias) in [("random head", random_head), ("probe", probe_head)]:
#     accuracy = ((points @ weight.T + bias).argmax(axis=1) == classes).mean()
#     norm = np.linalg.norm(feature_gradient(points, classes, weight, bias))
#     print(f"{name:12} accuracy {accuracy:.2f}   norm of the gradient {norm:.4f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Add the same vector to all features. The probe's predictions must not change: which of `W` and `b` may? And with an
# enormous `l2`, what do `W` and `b` tend to?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# If features and targets have mean zero, the best intercept is zero, whatever the weights are. So centre both, solve
# for the weights alone with the penalty on the diagonal, and let the intercept make up for the two means afterwards.
# All classes share one matrix, so they can be solved for together.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Probe: check; one-hot targets; two means; centre; solve (features, features) times (features, classes); transpose;
# intercept is the mean target minus what the weights make of the mean feature. Head: compare shapes first, then write
# into the arrays. Gradient: errors (samples, classes), through the weights back to (samples, features), with the factor
# of the square and of the mean.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# intercept = target_mean - weight @ feature_mean
# ```
#
# </details>
#
# ## References
#
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution.* ICLR 2022.
