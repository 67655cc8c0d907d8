# %% [markdown]
# # Pretrained weights as a prior
#
# "Transfer learning saves data and time and improves results" is the answer that everybody gives, and the follow-up is
# always the same: *when does it not?* One picture holds both halves of the answer. Pretrained weights are a prior, a
# guess at the solution from before the data were seen. A good guess is worth many samples; a bad one has to be
# overcome first. Here you answer the interview question in your own words, judge eight claims about it, and write the
# prior for linear regression, where everything can be computed exactly.
#
# Plan about 35 minutes: 10 for the answer, 5 for the claims, 20 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"In what sense are pretrained weights a prior, and when does transfer learning hurt?"*
#
# Answer in the next cell as you would say it aloud, in about ten sentences. What transfer learning is, and which ways
# of doing it there are, you have said in `schedules/gradual_unfreezing`; begin where that ends. The answer is worth 4
# points and is read by a person, one point for each of these:
#
# - *penalty*: which penalty makes the prior explicit, which density it stands for, and how weight decay differs;
# - *start*: in what sense the start of the training is a prior too, without any penalty;
# - *strength*: what decides how much the prior counts against the data, and how you would choose it;
# - *limits*: when it hurts, and with what you would compare before you believe in the gain.

# %% [markdown] tags=["answer"]
# **Model answer.** "A prior says where I expect the solution before I have seen the data. With pretrained weights I
# expect it close to them. L2-SP says so openly: it penalises the squared distance to the pretrained weights (Li,
# Grandvalet and Davoine 2018). That is a Gaussian prior with its mean at the source. Plain weight decay is one with its
# mean at zero, so in fine-tuning it pulls away from what was learned. A new head has no source; it gets plain decay.
#
# The start is a prior without a penalty. In a model with more weights than data many solutions fit, and the start
# decides which one is reached: in a linear model the nearest one, since the steps are made of the samples. Stopping
# early stays closer still. Freezing layers, or training low-rank adapters only (Hu et al. 2022), rules most directions
# out altogether.
#
# How much the prior counts is decided by λ against the number of samples: with few data the prior decides, with many
# the data do. I choose λ on validation data, because the training error is always lowest without a prior. Early layers
# learn more general features than late ones (Yosinski et al. 2014), so I trust their prior more and give them the
# smaller rates.
#
# A prior can be wrong. If source and target disagree, transfer makes results worse: negative transfer (Pan and Yang
# 2010). Full fine-tuning can also distort good features and lose accuracy on shifted data, where a probe would have
# kept it (Kumar et al. 2022); training the head first helps. And nothing of this makes the finished model cheaper to
# run. So I compare with training from scratch and with a linear probe, on the target and on shifted data, before I
# speak of a gain."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, penalty: the squared distance to the pretrained weights (L2-SP), a Gaussian with its mean there, told apart
#   from decay to zero.
# - 1 point, start: with more weights than data the start decides among the solutions; stopping early, small rates or
#   freezing keep the model close to it.
# - 1 point, strength: λ, or the length of the training, against the number of samples; chosen on validation data. That
#   early layers deserve more trust than late ones is welcome here.
# - 1 point, limits: negative transfer or distorted features, with the condition; from-scratch and linear-probe
#   baselines. That deployment does not become cheaper is welcome here.
#
# **References of the model answer**
#
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution.*
# - Xuhong Li, Yves Grandvalet, Franck Davoine (2018). *Explicit Inductive Bias for Transfer Learning with Convolutional
#   Networks.* (L2-SP)
# - Sinno Jialin Pan, Qiang Yang (2010). *A Survey on Transfer Learning.*
# - Jason Yosinski, Jeff Clune, Yoshua Bengio, Hod Lipson (2014). *How transferable are features in deep neural
#   networks?*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. All of them must be right for the 3
# points, so guessing earns nothing. Where a claim speaks of gradient descent, it minimises the sum of squared errors of
# a linear model with small steps and without a penalty, to the end unless the claim says otherwise; you know it from
# `foundations/fine_tuning_objective`.
#
# | id | claim |
# |---|---|
# | `never_worse` | On test data, transfer does at least as well as training from scratch, whatever the source. |
# | `lam_from_training_error` | The error on the samples that were fitted shows which λ of an L2-SP penalty is best. |
# | `gaussian_prior` | Up to constants, an L2-SP penalty is -log of a Gaussian density with its mean at the source. |
# | `decay_keeps_source` | Plain weight decay in fine-tuning pulls the weights towards their pretrained values. |
# | `start_matters_wide` | With more weights than samples, the fit that gradient descent ends at depends on its start. |
# | `start_matters_tall` | With full column rank, the fit that gradient descent ends at depends on its start. |
# | `copies_weaken_the_prior` | With L2-SP on a sum of squared errors, ten copies of all samples act like λ / 10. |
# | `stopped_early_is_nearer` | Stopped early, gradient descent is no farther from its start than at its end. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "never_worse",
        "lam_from_training_error",
        "gaussian_prior",
        "decay_keeps_source",
        "start_matters_wide",
        "start_matters_tall",
        "copies_weaken_the_prior",
        "stopped_early_is_nearer",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # A source that disagrees with the target makes it worse; `transfer_gain` below is negative then.
    never_worse=False,
    # It is never higher for a smaller λ, so it always votes for no prior at all. Choose λ on validation data.
    lam_from_training_error=False,
    # -log of a Gaussian with mean w_source and equal variances is the squared distance times a factor, plus a constant.
    gaussian_prior=True,
    # It pulls towards zero, away from the pretrained values; L2-SP pulls towards them (Li et al. 2018).
    decay_keeps_source=False,
    # Its steps are combinations of the samples, so what the samples do not see keeps its starting value.
    start_matters_wide=True,
    # There is one minimiser, and a small enough step leads to it from everywhere.
    start_matters_tall=False,
    # The sum becomes ten times as large; dividing everything by 10 leaves λ / 10. More data, less prior.
    copies_weaken_the_prior=True,
    # Along each eigenvector of XᵀX the distance from the start only grows: stopping early is a prior as well.
    stopped_early_is_nearer=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# A linear model predicts `X @ w`. `X` is `(samples, features)`, `y` is `(samples,)`, and `w_source`, `(features,)`,
# holds the weights that were learned on the source. There may be more features than samples, and columns of `X` may be
# equal or zero.
#
# **`l2sp_ridge(X, y, w_source, lam)`** returns the weights `(features,)` that minimise
#
# $$\lVert Xw - y \rVert^2 + \lambda\, \lVert w - w_{source} \rVert^2,$$
#
# the *sum* of squared errors plus `lam` times the squared distance to the source; no factor 1/2 or 1/n, no intercept.
# With `lam = 0` this has many minimisers if the columns of `X` are linearly dependent: return the one closest to
# `w_source`.
#
# **`transfer_gain(X, y, X_test, y_test, w_source, lam)`** returns a number: the mean squared error on the test data of
# the weights that are shrunk **towards zero**, minus that of the weights shrunk **towards the source**, both fitted on
# `X, y` with the same `lam`. It is positive where the source helps and negative where it hurts. For `lam = 0` the two
# are the minimisers closest to zero and to the source.
#
# Rules for both:
#
# - Arguments are lists or arrays of floats or integers; everything is computed in float64. Arguments stay unchanged,
#   and the weights are a new float64 array.
# - `ValueError` if `X` does not have two axes or is empty, if `y`, `w_source` or the test data do not fit (`y` of shape
#   `(samples, 1)` does not), if a number in an array is NaN or infinite, or if `lam` is negative, NaN or infinite.
# - **Forbidden:** the modules `sklearn`, `torch`, `tensorflow` and `keras`. All of NumPy is allowed.
#
# **Worked example.** One feature, `X = [[1], [2]]`, `y = [4, 6]`, source weight 1, `lam = 3`. The derivative of
# (w - 4)² + (2w - 6)² + 3 (w - 1)² is zero at w = (4 + 12 + 3·1) / (1 + 4 + 3) = 19/8 = 2.375. Without the prior the
# weight would be 16/5 = 3.2, shrunk towards zero 16/8 = 2.
#
# On the test sample x = 2, y = 5 the errors are 4 - 5 and 4.75 - 5, so the gain is 1 - 0.0625 = 0.9375. With the source
# weight -3 the weight is 7/8, the error 1.75 - 5, and the gain 1 - 10.5625 = -9.5625: negative transfer.


# %% tags=["solution"]
def l2sp_ridge(X: ArrayLike, y: ArrayLike, w_source: ArrayLike, lam: float) -> np.ndarray:
    """Least squares with a penalty on the distance to given weights (L2-SP, Li et al. 2018, for a linear model).

    X: (samples, features). y: (samples,). w_source: (features,). lam: finite, at least 0.

    Returns the minimiser of |X w - y|^2 + lam |w - w_source|^2, float64 (features,); for lam = 0 the least-squares
    solution closest to w_source.
    Raises ValueError for shapes that do not fit, an empty X, numbers that are not finite, or lam outside its range.
    """
    ### BEGIN SOLUTION
    X, y, w_source = (np.asarray(values, dtype=np.float64) for values in (X, y, w_source))
    if X.ndim != 2 or X.size == 0 or y.shape != X.shape[:1] or w_source.shape != X.shape[1:]:
        raise ValueError(f"X {X.shape}, y {y.shape} and w_source {w_source.shape} do not fit together")
    if not all(np.isfinite(values).all() for values in (X, y, w_source)):
        raise ValueError("all numbers must be finite")
    if not 0 <= lam < np.inf:
        raise ValueError(f"lam must be finite and at least 0, not {lam}")

    # ridge regression of what the source leaves unexplained; its solution is the step away from the source
    residual = y - X @ w_source  # (samples,)
    if lam > 0:
        # (X^T X + lam I) step = X^T residual
        step = np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ residual)  # (features,)
    else:
        step = np.linalg.pinv(X) @ residual  # (features,), the shortest of all best steps
    return w_source + step
    ### END SOLUTION


# %% tags=["solution"]
def transfer_gain(
    X: ArrayLike, y: ArrayLike, X_test: ArrayLike, y_test: ArrayLike, w_source: ArrayLike, lam: float
) -> float:
    """What the source is worth: test error shrunk towards zero minus test error shrunk towards the source.

    X, X_test: (samples, features), of any two numbers of samples. y, y_test: (samples,). w_source: (features,).

    Returns the difference of the mean squared errors; negative where the source hurts.
    Raises ValueError as `l2sp_ridge` does, for the test data too.
    """
    ### BEGIN SOLUTION
    from_source = l2sp_ridge(X, y, w_source, lam)
    from_zero = l2sp_ridge(X, y, np.zeros_like(from_source), lam)

    X_test, y_test = (np.asarray(values, dtype=np.float64) for values in (X_test, y_test))
    if X_test.ndim != 2 or X_test.shape[1:] != from_source.shape or y_test.shape != X_test.shape[:1]:
        raise ValueError(f"X_test {X_test.shape} and y_test {y_test.shape} do not fit {len(from_source)} features")
    if len(X_test) == 0 or not (np.isfinite(X_test).all() and np.isfinite(y_test).all()):
        raise ValueError("the test data must be finite and hold at least one sample")

    error_from_zero = np.mean((X_test @ from_zero - y_test) ** 2)
    error_from_source = np.mean((X_test @ from_source - y_test) ** 2)
    return float(error_from_zero - error_from_source)
    ### END SOLUTION


# %% [markdown]
# **Try it.**

# %% tags=["visible-checks", "active-ipynb"]
# X, y = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([3.0, 4.0])
# w = l2sp_ridge(X, y, [1.0, 5.0], lam=4.0)
# assert w.shape == (2,) and w.dtype == np.float64
# assert np.allclose(w, [1.4, 3.5]), f"the weights are {w}"  # (3 + 4 * 1) / (1 + 4), (8 + 4 * 5) / (4 + 4)
#
# # one sample that does not see the second feature: its weight stays what it was in the source
# assert np.allclose(l2sp_ridge([[2.0, 0.0]], [6.0], [1.0, 7.0], lam=0.0), [3, 7])
#
# gain = transfer_gain(X, y, [[1.0, 1.0]], [5.0], [1.0, 5.0], lam=4.0)  # the weights towards zero are 0.6 and 1
# assert np.isclose(gain, 3.4**2 - 0.1**2), f"the gain is {gain}"

# %% [markdown]
# The next cell draws the gain against the strength of the prior, for a good source, a mediocre one and an opposed one.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# generator = np.random.default_rng(1)
# truth = generator.normal(size=20)
# few, many = generator.normal(size=(12, 20)), generator.normal(size=(2000, 20))
# few_y, many_y = few @ truth + 0.5 * generator.normal(size=12), many @ truth
# strengths = np.logspace(-2, 4, 40)
# for name, source in [
#     ("close to the target", truth + 0.3 * generator.normal(size=20)),
#     ("half unrelated", 0.5 * truth + 0.5 * generator.normal(size=20)),
#     ("opposed", -truth),
# ]:
#     plt.plot(strengths, [transfer_gain(few, few_y, many, many_y, source, lam) for lam in strengths], label=name)
# plt.axhline(0, color="black", linewidth=0.8)
# plt.xscale("log")
# plt.xlabel("lam")
# plt.ylabel("gain in mean squared error")
# plt.legend(title="source")
# plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Which weights should come out when `lam` is enormous? And which when there is a single sample, `lam` is 0, and the
# source already fits that sample?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Write the weights as the source plus a step. The penalty is then an ordinary ridge penalty on the step, and the data
# that the step has to explain are what the source leaves over. Setting the gradient to zero gives a linear system. For
# `lam = 0` the system may be singular, and the pseudo-inverse gives the shortest step.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Convert, check shapes, finiteness and `lam`. Compute the residual of the source. Solve for the step: the matrix is
# X-transposed X plus `lam` on the diagonal, the right-hand side X-transposed times the residual; for `lam = 0` use the
# pseudo-inverse of X. Add the step to the source. For the gain: two fits that differ in the source only, two mean
# squared errors on the test data, their difference with its sign.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# step = np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ residual)  # for lam > 0
# ```
#
# </details>
#
# ## References
#
# - Xuhong Li, Yves Grandvalet, Franck Davoine (2018). *Explicit Inductive Bias for Transfer Learning with Convolutional
#   Networks.* ICML 2018.
# - Sinno Jialin Pan, Qiang Yang (2010). *A Survey on Transfer Learning.* IEEE TKDE 22(10).
