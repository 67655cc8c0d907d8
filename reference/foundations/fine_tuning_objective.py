# %% [markdown]
# # The objective of fine-tuning
#
# Articles on fine-tuning print one formula: the new parameters are the argmin of the loss on your data. Then they say
# that pretraining helps because the search starts from good parameters. Read literally, the two do not fit: an argmin
# does not know where the search began. And the loss they report while training, the mean of the means of the batches,
# is not the loss in the formula either. Here you write down what is minimised, and find out which of its many
# minimisers gradient descent arrives at.
#
# ## Your task (35 minutes)
#
# | function | returns |
# |---|---|
# | `empirical_risk(losses, weights=None, mask=None)` | a number: the weighted mean of the losses `(items,)` |
# | `merge_batch_means(means, sizes)` | a number: the mean over all items, from the mean and the size of each batch |
# | `gd_path(X, y, theta0, lr, steps)` | `(steps + 1, features)`: the parameters before and after each step |
# | `gd_limit(X, y, theta0)` | `(features,)`: where that path ends if it goes on for ever |
#
# **Part 1: what is minimised.** The empirical risk of items with losses ℓᵢ and weights wᵢ is Σ wᵢ ℓᵢ / Σ wᵢ.
#
# - `weights` `(items,)`: not negative; all 1 if not given. Only their proportions matter.
# - `mask` `(items,)`: boolean, `True` where the item counts; all `True` if not given. Items that do not count are not
#   there at all: whatever stands at their places in `losses` and `weights`, even NaN, has no influence.
# - `sizes` holds the number of items of each batch, integers of 1 or more; `means` the mean loss of each.
#
# **Part 2: which minimiser is found.** The model is linear, and the objective is half the **sum** of squared errors,
#
# $$L(\theta) = \tfrac12 \lVert X\theta - y \rVert^2,$$
#
# with `X` `(samples, features)`, `y` `(samples,)` and the pretrained parameters `theta0` `(features,)`. There may be
# more features than samples, rows and columns may be linearly dependent, and `X` may be all zero.
#
# - `gd_path`: full-batch gradient descent with the constant rate `lr`. The first row is `theta0`; `steps` is an
#   integer, and 0 steps give one row.
# - Gradient descent converges if `lr` is below 2 / λ, λ being the largest eigenvalue of XᵀX. From 2 / λ on, `gd_path`
#   raises `ValueError`, whatever `steps` is. (Within a millionth of 2 / λ both answers are accepted.) If `X` is all
#   zero, there is no such limit.
# - `gd_limit` has no rate: below that limit, it makes no difference to where the path ends. The result must be right to
#   eight digits when the largest singular value of `X` is 100 times the smallest that is not zero. Walking there step
#   by step is no solution: that may take hundreds of thousands of steps.
#
# **Rules for all four**
#
# - Arguments are lists or arrays of floats or integers, and stay unchanged. Everything is computed in float64, and the
#   arrays that come back are new float64 arrays. A number may be a `float` or a NumPy scalar.
# - **Forbidden:** `scipy`, `sklearn`, `torch`, `tensorflow`, `keras`. All of NumPy is allowed, its linear algebra too.
# - **`TypeError`** for a mask that is not boolean, such as a list of 0 and 1.
# - **`ValueError`** for
# - losses, weights or a mask that are not one-dimensional and of one length; no item that counts; and, among the items
# that count, weights that sum to 0, a weight below 0, or a loss or weight that is NaN or infinite (a loss of weight 0
# as well);
#   - means and sizes that are not one-dimensional, of one length and at least one; a size below 1; a mean that is NaN
#     or infinite;
#   - shapes of `X`, `y` and `theta0` that do not fit, an empty `X`, or a number in them that is NaN or infinite (the
#     given helper raises all of these);
#   - `lr` that is not a finite number above 0, and `steps` below 0.
#
# ## A worked example
#
# Losses 0.2 and 0.4 in one batch, 3.0 alone in the next: the batch means are 0.3 and 3.0, their mean is 1.65, and the
# risk is 3.6 / 3 = 1.2. In 1.65 the last item has weighed as much as the two before together. With the weights 2, 1, 1
# the risk is 3.8 / 4 = 0.95; with the third item masked out and no weights it is 0.3.
#
# One sample x = (3, 4) with y = 10. Every point of a whole line has loss 0. From (0, 0) gradient descent ends at
# (1.2, 1.6); from (5, 0), where the prediction is 15, it ends at (5, 0) - 5/25 · (3, 4) = (4.4, -0.8).

# %%
import numpy as np
from numpy.typing import ArrayLike


def as_regression(X: ArrayLike, y: ArrayLike, theta0: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All three as float64 arrays, not necessarily copies. (This one is given.)

    Raises ValueError if X is empty or not (samples, features), y is not (samples,), theta0 is not (features,), or a
    number is not finite.
    """
    X, y, theta0 = (np.asarray(values, dtype=np.float64) for values in (X, y, theta0))
    if X.ndim != 2 or X.size == 0 or y.shape != X.shape[:1] or theta0.shape != X.shape[1:]:
        raise ValueError(f"X {X.shape}, y {y.shape} and theta0 {theta0.shape} do not fit together")
    if not all(np.isfinite(values).all() for values in (X, y, theta0)):
        raise ValueError("all numbers must be finite")
    return X, y, theta0


# %% [markdown]
# ## Part 1: what is minimised


# %% tags=["solution"]
def empirical_risk(losses: ArrayLike, weights: ArrayLike | None = None, mask: ArrayLike | None = None) -> float:
    """Weighted mean of the losses of the items that count: the sum of weight times loss over the sum of the weights.

    Args:
        losses: `(items,)`.
        weights: `(items,)`, not negative; all 1 if not given.
        mask: `(items,)`, boolean, True where the item counts; all True if not given.

    Raises:
        ValueError: shapes differ or are not `(items,)`, nothing counts, the weights sum to 0, one of them is negative,
            or a loss or weight that counts is not finite.
        TypeError: the mask is not boolean.
    """
    ### BEGIN SOLUTION
    losses = np.asarray(losses, dtype=np.float64)  # (items,)
    weights = np.ones_like(losses) if weights is None else np.asarray(weights, dtype=np.float64)  # (items,)
    mask = np.ones(losses.shape, dtype=bool) if mask is None else np.asarray(mask)  # (items,)
    if mask.dtype != bool:
        raise TypeError(f"the mask must be boolean, not {mask.dtype}")
    if losses.ndim != 1 or weights.shape != losses.shape or mask.shape != losses.shape:
        raise ValueError(f"losses {losses.shape}, weights {weights.shape} and mask {mask.shape} do not fit together")

    # items that do not count are taken out: multiplied by 0, a NaN would stay
    losses, weights = losses[mask], weights[mask]  # (active,)
    if not (np.isfinite(losses).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("losses and weights must be finite, and weights not negative")
    if weights.sum() == 0:
        raise ValueError("no item has any weight")
    # sum of weight times loss, divided by the sum of the weights
    return float((weights * losses).sum() / weights.sum())
    ### END SOLUTION


def merge_batch_means(means: ArrayLike, sizes: ArrayLike) -> float:
    """The mean over all items, from the mean and the number of items of each batch, both `(batches,)`.

    Raises:
        ValueError: shapes differ or are not `(batches,)`, no batch, a size below 1, or a mean that is not finite.
    """
    ### BEGIN SOLUTION
    means, sizes = np.asarray(means, dtype=np.float64), np.asarray(sizes, dtype=np.float64)  # (batches,)
    if means.ndim != 1 or len(means) == 0 or sizes.shape != means.shape:
        raise ValueError(f"one size for each mean, please: shapes {means.shape} and {sizes.shape}")
    if not np.isfinite(means).all() or (sizes < 1).any():
        raise ValueError("means must be finite and sizes at least 1")
    # mean times size is the sum over the batch
    return float((means * sizes).sum() / sizes.sum())
    ### END SOLUTION


# %% [markdown]
# ## Part 2: which minimiser is found


# %% tags=["solution"]
def gd_path(X: ArrayLike, y: ArrayLike, theta0: ArrayLike, lr: float, steps: int) -> np.ndarray:
    """Full-batch gradient descent on half the sum of squared errors of `X @ theta`.

    Args:
        X: `(samples, features)`.
        y: `(samples,)`.
        theta0: the start, `(features,)`.
        lr: constant rate, above 0 and below 2 / (largest eigenvalue of X^T X).
        steps: at least 0.

    Returns:
        float64 `(steps + 1, features)`: the start, then the parameters after each step.

    Raises:
        ValueError: shapes, an empty X or numbers that are not finite (see `as_regression`), lr outside its range, or
            steps below 0.
    """
    ### BEGIN SOLUTION
    X, y, theta = as_regression(X, y, theta0)
    largest = np.linalg.norm(X, ord=2) ** 2  # largest eigenvalue of X^T X; 0 if X is all zero
    if not 0 < lr < np.inf or lr * largest >= 2:
        raise ValueError(f"with the rate {lr} gradient descent does not converge")
    if steps < 0:
        raise ValueError(f"the number of steps must be at least 0, not {steps}")

    path = [theta]
    for _ in range(steps):
        gradient = X.T @ (X @ theta - y)  # (features,)
        theta = theta - lr * gradient  # (features,)
        path.append(theta)
    return np.array(path)  # (steps + 1, features)
    ### END SOLUTION


def gd_limit(X: ArrayLike, y: ArrayLike, theta0: ArrayLike) -> np.ndarray:
    """Where gradient descent from theta0 ends, for every rate at which it converges.

    X: (samples, features). y: (samples,). theta0: (features,).

    Returns float64 (features,). Raises ValueError as `as_regression` does.
    """
    ### BEGIN SOLUTION
    X, y, theta0 = as_regression(X, y, theta0)
    # Each gradient is a combination of the rows of X, so the way from theta0 is one too; of all minimisers this leaves
    # the one nearest to theta0: theta0 plus the shortest step that fits what theta0 leaves over
    return theta0 + np.linalg.pinv(X) @ (y - X @ theta0)  # (features,)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# # batches of 3 and 1 items; the fifth item has no loss and does not count
# losses, mask = [1.0, 2.0, 6.0, 7.0, np.nan], [True, True, True, True, False]
# assert np.isclose(empirical_risk(losses, mask=mask), 4)
# assert np.isclose(empirical_risk(losses, weights=[1, 1, 0, 3, 5], mask=mask), 24 / 5)
# assert np.isclose(merge_batch_means([3.0, 7.0], [3, 1]), 4)
#
# # two samples, three parameters; the start predicts 2 and 2
# X, y, start = [[1, 0, 1], [0, 2, 0]], [4, 6], [3, 1, -1]
# path = gd_path(X, y, start, lr=0.25, steps=2)
# assert path.shape == (3, 3) and path.dtype == np.float64
# assert np.allclose(path, [[3, 1, -1], [3.5, 3, -0.5], [3.75, 3, -0.25]]), f"the path is {path}"
# assert np.allclose(gd_limit(X, y, start), [4, 3, 0]), f"the limit is {gd_limit(X, y, start)}"

# %% [markdown]
# The next cell draws the worked example with a few starts and two rates. The dashed line holds all minimisers, the
# stars are your limits. The smaller rate (orange) takes the same way, and after 40 steps it has not yet arrived.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# line = np.array([[-2.0, 4.0], [6.0, -2.0]])  # 3 a + 4 b = 10
# plt.plot(*line.T, "k--", linewidth=0.8, label="loss 0")
# for origin in ([0.0, 0.0], [5.0, 0.0], [1.0, 4.0], [-1.0, 1.0]):
#     for rate, style in ((0.01, "o-"), (0.002, ".")):
#         walk = gd_path([[3, 4]], [10], origin, rate, steps=40)
#         plt.plot(*walk.T, style, markersize=4, color="tab:blue" if rate == 0.01 else "tab:orange")
#     plt.plot(*gd_limit([[3, 4]], [10], origin), "r*", markersize=12)
# plt.gca().set_aspect("equal")
# plt.xlabel("first parameter")
# plt.ylabel("second parameter")
# plt.legend()
# plt.show()

# %% [markdown]
# ## What this says about fine-tuning
#
# - **Where the start matters.** If one parameter vector alone minimises the objective, as with full column rank here,
#   the start decides how long the way is and nothing else. A large network has many minimisers, and start and optimiser
#   choose one. So pretrained weights help in a way that is not in the formula; an explicit penalty on the distance to
#   them, L2-SP (Li et al., 2018), puts it there. Weight decay would be another objective, and pulls towards zero.
# - **"A smaller rate than in pretraining keeps the knowledge"** is a good habit when all weights of a pretrained
#   network are tuned, and no law. In your function the rate changes how far the path gets in a given number of steps,
#   not where it ends; stopping early is what keeps close to the start. New heads, projections and low-rank adapters
#   have no pretrained values to keep, and use rates as large as in pretraining or larger. One model can have several
#   rates: ELECTRA (Clark et al., 2020) and BEiT (Bao et al., 2022) give lower layers smaller ones.
# - **Unstable runs** of BERT on small data are a matter of optimisation before they are one of forgetting: warm-up,
#   Adam's bias correction and more steps help (Mosbach et al., 2021; Zhang et al., 2021). Whether something was
#   forgotten is not visible in the risk: measure the old abilities, too.
# - **The risk is a stand-in** for the expected loss on new data; choose between models on validation data. And not
#   every loss is a mean over items: in a contrastive loss each item's loss depends on who else is in the batch, so that
#   no merging of batches gives the loss of the whole.
#
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# However the same items are cut into batches, the risk must be the same number. And whatever the rate: in which
# directions can a step of gradient descent move the parameters at all, and in which directions does it never move them?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Sums and counts can be added, means cannot. An item that does not count is missing above and below the fraction bar.
# Each gradient is a sum of multiples of the rows of `X`. So the path never leaves the plane through its start that the
# rows span, and within that plane there is exactly one minimiser. It is the minimiser nearest to the start.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Risk: convert, look at dtype and shapes, take out what does not count, look at the rest, divide two sums. Merging:
# get each batch's sum back from its mean. Path: compare the rate with the largest singular value squared, without a
# division, then collect a new array for each step. Limit: ask which targets the start leaves unexplained, find the
# shortest step that fits them best, and go that step from the start.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# The shortest vector that fits targets `r` best: `np.linalg.lstsq(X, r, rcond=None)[0]`.
#
# </details>
#
# ## References
#
# - Hangbo Bao, Li Dong, Songhao Piao, Furu Wei (2022). *BEiT: BERT Pre-Training of Image Transformers.*
# - Kevin Clark, Minh-Thang Luong, Quoc V. Le, Christopher D. Manning (2020). *ELECTRA: Pre-training Text Encoders as
#   Discriminators Rather Than Generators.*
# - Xuhong Li, Yves Grandvalet, Franck Davoine (2018). *Explicit Inductive Bias for Transfer Learning with Convolutional
#   Networks.*
# - Marius Mosbach, Maksym Andriushchenko, Dietrich Klakow (2021). *On the Stability of Fine-tuning BERT:
#   Misconceptions, Explanations, and Strong Baselines.*
# - Tianyi Zhang, Felix Wu, Arzoo Katiyar, Kilian Q. Weinberger, Yoav Artzi (2021). *Revisiting Few-sample BERT
#   Fine-tuning.*
