# %% [markdown]
# # The learning-rate range test
#
# "Take a tenth of the pretraining rate" is advice you will read, and it is off by a factor of ten in either direction
# for models you may know. A range test measures instead: raise the rate from far too small to far too large over a few
# hundred updates, record the loss, and read the curve. Reading it is where the mistakes are made. Here you answer the
# interview question in your own words, judge eight claims about it, and write the function that reads the curve, and
# the rule for another batch size.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"You are going to fine-tune a pretrained model. How do you choose the learning rate?"*
#
# Answer in the next cell as you would say it aloud, in about ten sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# - *where to start*: usual rates for the ways of fine-tuning that you know, and what to make of the pretraining rate;
# - *how to search*: which candidates, which short experiment, and how you read its result;
# - *what it depends on*: what makes you search again, and where one rate is not enough;
# - *how to judge*: what decides between two rates that both train.

# %% [markdown] tags=["answer"]
# **Model answer.** "I start from recipes for the method, not from a fraction of the pretraining rate: 1e-5 to 5e-5
# when all weights are trained, 1e-4 to 2e-4 for LoRA, about 1e-3 for a new head or projector. There is no rule of one
# tenth. BERT was pretrained at 1e-4 and its authors recommend 2e-5 to 5e-5 (Devlin et al. 2019), a half to a fifth;
# LLaVA-1.5 trains its projector at 1e-3 and then fine-tunes at 2e-5, a fiftieth; LoRA often wants about ten times the
# rate of full fine-tuning (Schulman et al. 2025). The pretraining rate belongs to its batch size, its optimiser and
# its schedule, at the end of which it was nearly zero.
#
# Then I search on a logarithmic grid, a factor of two or three between candidates, with short runs; or I do a range
# test (Smith 2017): the rate grows by a constant factor with each update, the loss is recorded and smoothed, and I
# take a rate where it falls fastest against the logarithm of the rate. The lowest point is the edge of divergence,
# and everything after the curve has blown up is left out.
#
# I search again when the batch size changes; as a first guess the rate grows in proportion for SGD (Goyal et al.
# 2017) and with the square root for Adam (Malladi et al. 2022). Lower layers, trunk, LoRA matrices and head get rates
# of their own, and a warm-up goes before the peak.
#
# In the end validation decides, with the schedule I will really use, over several seeds, together with a test of what
# the model could do before: a range test sees the training loss of a few hundred updates and no forgetting."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, where to start: rates by method with their orders of magnitude (full, LoRA, head or projector); no fixed
#   fraction of the pretraining rate, with a reason or a counterexample.
# - 1 point, how to search: a logarithmic grid or a range test; the steepest fall rather than the lowest loss.
# - 1 point, what it depends on: batch size (linear for SGD, square root for Adam, then tune again); rates by part or
#   layer, or warm-up.
# - 1 point, how to judge: validation, not training loss; forgetting or the abilities before; several seeds.
#
# **References of the model answer**
#
# - Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova (2019). *BERT: Pre-training of Deep Bidirectional
#   Transformers for Language Understanding.*
# - Priya Goyal, Piotr Dollár, Ross Girshick, et al. (2017). *Accurate, Large Minibatch SGD: Training ImageNet in 1
#   Hour.*
# - Sadhika Malladi, Kaifeng Lyu, Abhishek Panigrahi, Sanjeev Arora (2022). *On the SDEs and Scaling Rules for Adaptive
#   Gradient Algorithms.*
# - John Schulman and Thinking Machines Lab (2025). *LoRA Without Regret.* Not peer reviewed.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as advice. LoRA trains small added matrices and leaves
# the weights of the model frozen (`transfer/lora`). All of them must be right for the 3 points, so guessing earns
# nothing.
#
# | id | claim |
# |---|---|
# | `tenth_of_pretraining` | One tenth of the pretraining rate is the right fine-tuning rate for most models. |
# | `bert_is_a_tenth` | BERT's own authors fine-tune it at about one tenth of its pretraining peak of 1e-4. |
# | `fewer_weights_smaller_rate` | LoRA trains few weights and therefore wants a smaller rate than full fine-tuning. |
# | `lowest_loss_is_best` | In a range test, the rate with the lowest loss is a safe choice for the training. |
# | `equal_factors` | Candidates for a rate should be spaced by equal factors rather than by equal differences. |
# | `smoothing_lags` | Smoothing the losses exponentially moves the steepest fall towards larger rates. |
# | `no_forgetting_seen` | A range test that records the training loss alone cannot show forgetting. |
# | `batch_size_is_free` | A rate tuned at batch size 32 can be kept at 512: it depends on the model and data alone. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "tenth_of_pretraining",
        "bert_is_a_tenth",
        "fewer_weights_smaller_rate",
        "lowest_loss_is_best",
        "equal_factors",
        "smoothing_lags",
        "no_forgetting_seen",
        "batch_size_is_free",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # The ratio in good recipes runs from above 1 (LoRA) to 1/50; it depends on method, batch, optimiser and schedule.
    tenth_of_pretraining=False,
    # They recommend 5e-5, 3e-5 or 2e-5: a half to a fifth.
    bert_is_a_tenth=False,
    # Typical rates for LoRA are about ten times those of full fine-tuning.
    fewer_weights_smaller_rate=False,
    # The minimum of the curve is the last point before it blows up, and the loss there is the work of smaller rates.
    lowest_loss_is_best=False,
    # What matters is the ratio: 1e-5 and 2e-5 are as far apart as 1e-3 and 2e-3.
    equal_factors=True,
    # The average still contains the higher losses of the smaller rates, so it falls later than the curve itself.
    smoothing_lags=True,
    # Forgetting shows on other data than those trained on; a few hundred updates of training loss say nothing of it.
    no_forgetting_seen=True,
    # A batch sixteen times as large has less noise and makes fewer updates: search again, from a scaled guess.
    batch_size_is_free=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** look for the rate at which the loss *falls fastest*, on a logarithmic axis, before it blows up.
#
# ### `lr_range_suggestion(lrs, losses, beta=0.0, divergence=4.0) -> float`
#
# `lrs` and `losses`, shape `(n,)` each (lists, or arrays of integers or of any float dtype; everything is computed in
# float64): the rate of every update of the test and the loss there. In this order:
#
# 1. **End of the data.** The curve ends before the first loss that is NaN or infinite. That one and all that follow are
#    not used, finite or not.
# 2. **Smoothing.** `average[t] = beta * average[t - 1] + (1 - beta) * loss[t]`, starting from `average[-1] = 0`, and
#    corrected for that start: `smooth[t] = average[t] / (1 - beta ** (t + 1))`. The first value is then the first
#    loss, and `beta=0` smooths nothing.
# 3. **Divergence.** The curve also ends before the first *smoothed* value that is more than `divergence` times the
#    smallest smoothed value before it: all the values before it, not only the last few. What follows is not used, even
#    if it comes down again. Where that smallest value is 0 or negative, a ratio means nothing, and the curve does not
#    end at this value.
# 4. **Slope.** On what is left, the slope of the smoothed loss against the *logarithm* of the rate, as
#    `np.gradient(values, positions)` computes it without further options: at both ends the slope of the one interval
#    there; elsewhere that of the parabola through the point and its two neighbours, so that at uneven distances the
#    nearer neighbour counts more. You may call it. Return the rate with the lowest slope, the first of them if several
#    are equal (in the checks slopes are either equal throughout, all 0, or clearly apart).
#
# `ValueError` if fewer than three points are left after step 3; if `lrs` and `losses` are not two 1-D sequences of one
# length; if `lrs` are not positive, finite and strictly increasing, those behind the end of the curve included; if
# `beta` is outside [0, 1) or `divergence` not above 1, NaN included (`divergence=float("inf")` is allowed). Neither
# argument is changed.
#
# ### `scale_lr(lr, base_batch, new_batch, optimizer) -> float`
#
# A first guess for another batch size, from a rate that is good at `base_batch` samples an update. With
# `optimizer="sgd"` the rate grows in proportion to the batch size, with `optimizer="adam"` in proportion to its square
# root. `ValueError` for another optimiser, a batch size below 1, and a rate that is not positive and finite.
#
# Both functions may return a Python float or a NumPy float64. **Forbidden:** `torch`, `tensorflow` and `keras`.
#
# **Worked example**, `beta=0`, `divergence=4`:
#
# | rate | 1e-5 | 1e-4 | 1e-3 | 1e-2 | 1e-1 | 1 |
# |---|---|---|---|---|---|---|
# | loss | 3.0 | 2.9 | 2.3 | 2.0 | 9.0 | 1.0 |
# | smallest before | | 3.0 | 2.9 | 2.3 | 2.0 | |
# | used | yes | yes | yes | yes | no, 9 > 4 · 2 | no, behind the end |
# | slope for a factor of 10 | -0.1 | -0.35 | **-0.45** | -0.3 | | |
#
# The suggestion is 1e-3, not 1e-2, where the loss of what is used is lowest. At both ends the slope is that of one
# interval; elsewhere, since the distances here are equal, it is the mean of both sides.


# %% tags=["solution"]
def lr_range_suggestion(lrs: ArrayLike, losses: ArrayLike, beta: float = 0.0, divergence: float = 4.0) -> float:
    """The rate at which the loss of a range test falls fastest against the logarithm of the rate.

    Args:
        lrs: the rate of every update, (n,), positive and strictly increasing.
        losses: the loss of every update, (n,); the curve ends before the first one that is not finite.
        beta: weight of the past in the exponential average, in [0, 1).
        divergence: the curve ends where the smoothed loss exceeds this many times its running minimum, above 1.

    Raises:
        ValueError: an argument is out of range, or fewer than three points are usable.

    Source: range test, Smith (2017); bias correction of the average, Kingma and Ba (2015).
    """
    ### BEGIN SOLUTION
    lrs, losses = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)  # (n,), (n,)
    if lrs.ndim != 1 or lrs.shape != losses.shape:
        raise ValueError(f"expected two sequences of one length, got shapes {lrs.shape} and {losses.shape}")
    if not np.isfinite(lrs).all() or not (lrs > 0).all() or not (np.diff(lrs) > 0).all():
        raise ValueError("the rates must be positive, finite and strictly increasing")
    if not 0 <= beta < 1 or not divergence > 1:
        raise ValueError(f"beta must be in [0, 1) and divergence above 1, got {beta} and {divergence}")

    smooth: list[float] = []
    average = 0.0
    for loss in losses.tolist():
        if not np.isfinite(loss):
            break
        # exponential average, divided by the sum of its weights so that it does not start near 0
        average = beta * average + (1 - beta) * loss
        value = average / (1 - beta ** (len(smooth) + 1))
        if smooth and 0 < min(smooth) * divergence < value:
            break
        smooth.append(value)
    if len(smooth) < 3:
        raise ValueError(f"{len(smooth)} usable points; three are needed for a slope")

    slopes = np.gradient(smooth, np.log(lrs[: len(smooth)]))  # (usable points,)
    return float(lrs[slopes.argmin()])
    ### END SOLUTION


def scale_lr(lr: float, base_batch: int, new_batch: int, optimizer: str) -> float:
    """A rate for another batch size: linear for "sgd", square root for "adam".

    Raises ValueError unless lr is positive and finite, both batch sizes are at least 1 and the optimiser is known.
    Source: Goyal et al. (2017) for SGD, Malladi et al. (2022) for Adam.
    """
    ### BEGIN SOLUTION
    if not 0 < lr < np.inf or base_batch < 1 or new_batch < 1:
        raise ValueError(f"lr must be positive and batch sizes at least 1, got {lr}, {base_batch} and {new_batch}")
    if optimizer not in ("sgd", "adam"):
        raise ValueError(f"optimizer must be 'sgd' or 'adam', got {optimizer!r}")
    ratio = new_batch / base_batch
    return lr * (ratio if optimizer == "sgd" else ratio**0.5)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# rates, losses = [1e-4, 1e-3, 1e-2, 1e-1, 1.0], [5.0, 4.5, 2.0, 1.0, np.nan]
# found = lr_range_suggestion(rates, losses)
# assert np.isclose(found, 1e-2), f"the suggestion is {found}; the loss falls fastest at 1e-2"
# smoothed = lr_range_suggestion([1, 2, 4, 8, 16, 32], [6.0, 6.0, 2.0, 2.0, 2.0, 2.0], beta=0.5)
# assert np.isclose(smoothed, 4.0), f"with beta=0.5 the suggestion is {smoothed}; it should be 4"
# for optimizer, expected in (("sgd", 1.6e-2), ("adam", 4e-3)):
#     scaled = scale_lr(1e-3, 32, 512, optimizer)
#     assert np.isclose(scaled, expected), f"for {optimizer} the rate is {scaled}; it should be {expected}"

# %% [markdown]
# **Read a curve.** The next cell makes up a range test of 300 noisy losses that falls fastest at 1e-3 and blows up from
# about 0.1 on. Compare the suggestions with the rate of the lowest loss, and with each other as `beta` grows: without
# smoothing the noise decides, and too much of it lags behind. Then change the noise and the seed. With seed 3 every
# suggestion is the first rate: at the very beginning hardly anything has been averaged yet, so in practice one leaves
# the first points of the curve out.

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# rates = np.geomspace(1e-6, 1, 300)
# clean = 3 - 2.5 / (1 + (rates / 1e-3) ** (-1 / 0.6)) + (rates / 0.1) ** 4
# losses = clean + 0.1 * generator.normal(size=300)
# print(f"the loss is lowest at {rates[losses.argmin()]:.2g}")
# for beta in (0.0, 0.9, 0.98):
#     print(f"beta = {beta}: the suggestion is {lr_range_suggestion(rates, losses, beta=beta):.2g}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A curve falls steadily until 1e-2, where it is lowest, and is NaN from 3e-2 on. Which rate would you train with for
# thousands of updates, and would you still if the same curve were drawn against the rate itself in place of its
# logarithm?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The last rates of the test stand at the edge of what the training can bear, and the loss that was reached there is the
# merit of all rates before. The speed of the fall belongs to the rate itself. Rates live on a logarithmic scale, so the
# speed is measured for each factor of ten (or of e); otherwise the small rates would win because their steps are so
# narrow.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Walk along the losses: stop at one that is not finite; update the average; correct it; stop if it
# is too far above the smallest corrected value so far; otherwise keep it. Three or more kept? Take their slopes against
# the logarithms of as many rates, and return the rate at the lowest slope.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `slopes = np.gradient(kept, np.log(rates))`, where `kept` holds the smoothed losses that were kept, and `rates` the
# rates that belong to them.
#
# </details>

# %% [markdown]
# ## References
#
# - Leslie N. Smith (2017). *Cyclical Learning Rates for Training Neural Networks.* WACV 2017.
# - Diederik P. Kingma, Jimmy Ba (2015). *Adam: A Method for Stochastic Optimization.* ICLR 2015. (The same correction
#   of an average that starts at 0.)
#
# The other works behind the model answer are listed there, in the solution.
