# %% [markdown]
# # Reducing the learning rate on a plateau
#
# A cosine needs to know when the training ends. Often you do not: you train until the validation metric stops getting
# better. This schedule watches that metric and lowers the rate when it has stood still for long enough. It is a small
# state machine, and easily off by one: reducing a call too early, or at every call once it has begun. And choosing
# Adam does not replace it, since Adam leaves its global rate where you put it.

# %% [markdown]
# ## Your task (25 minutes)
#
# Complete the class `PlateauLR`. It is told the validation metric after every evaluation and answers with the rate to
# use from then on.
#
# ```python
# schedule = PlateauLR(
#     lr, factor=0.1, patience=10, threshold=1e-4, mode="min", threshold_mode="rel", cooldown=0, min_lr=0.0
# )
# schedule.step(metric)  # float: the rate to use next
# ```
#
# What one call of `step` does, in this order:
#
# 1. **Is it an improvement?** The metric is compared with the best one so far, in all calls, also before a reduction
#    and in a cooldown. With `mode="min"` it has to lie *below* `best - margin`, with `mode="max"` *above*
#    `best + margin`; equality is no improvement. The margin is `threshold` with `threshold_mode="abs"`, and
#    `threshold * best` with `"rel"`. The first finite metric is an improvement. A metric that is NaN or infinite is
#    none. An improvement becomes the new best; nothing else ever changes the best.
# 2. **Count.** A call without improvement is a bad call. Bad calls in a row are counted; an improvement sets the count
#    back to 0. A call in a cooldown is not counted, whatever its metric.
# 3. **Reduce?** When the count *exceeds* `patience`, the rate is multiplied by `factor`, but does not go below
#    `min_lr`. If that would lower the rate by 1e-8 or less, the rate stays as it is. Then the count goes back to 0, and
#    the next `cooldown` calls are a cooldown.
#
# So with `patience=2` the third bad call in a row reduces the rate, and that call itself answers with the lower rate.
# (Early stopping usually stops at the call that *uses up* its patience, one call earlier.)
#
# The constructor raises `ValueError` unless `lr` is positive and finite, `min_lr` is between 0 and `lr` (both
# included), `factor` lies strictly between 0 and 1, `patience` and `cooldown` are at least 0, `threshold` is finite and
# at least 0, and the two modes are among the words above. Metrics are Python floats or ints.
#
# `"rel"` is meant for positive metrics: for a negative best its margin is negative too, and even a metric that does
# not change would count as better. The checks use positive metrics there.
#
# **Forbidden:** `torch`, `tensorflow` and `keras`, which have such a class ready-made. **Accepted:** either arrangement
# of the inequality and of the product, `lr * factor * factor` or `lr * factor**2` (the checks allow for rounding).

# %% [markdown]
# ## A worked example
#
# `lr=0.8, factor=0.5, patience=1, threshold=0.25, threshold_mode="abs", cooldown=1`:
#
# | call | metric | an improvement must lie below | improvement? | bad calls in a row | answer |
# |---|---|---|---|---|---|
# | 0 | 3.0 | | yes, the first | 0 | 0.8 |
# | 1 | 2.5 | 2.75 | yes | 0 | 0.8 |
# | 2 | 2.375 | 2.25 | no | 1 | 0.8 |
# | 3 | 2.25 | 2.25 | no, equality | 2, more than 1: reduce | 0.4 |
# | 4 | 2.75 | 2.25 | no | 0, cooldown | 0.4 |
# | 5 | 2.625 | 2.25 | no | 1 | 0.4 |
# | 6 | 2.5 | 2.25 | no | 2, reduce | 0.2 |
# | 7 | 1.5 | 2.25 | yes, in the cooldown | 0, cooldown | 0.2 |
# | 8 | 1.375 | 1.25 | no | 1 | 0.2 |

# %%
from __future__ import annotations

import math

SMALLEST_CHANGE = 1e-8  # a reduction by this much or less is not worth making


# %% tags=["solution"]
class PlateauLR:
    """Lower the learning rate when a metric has stopped improving; behaves like PyTorch's ReduceLROnPlateau.

    Args:
        lr: the rate to start with, positive and finite.
        factor: what the rate is multiplied by, strictly between 0 and 1.
        patience: bad calls in a row that are put up with, at least 0; one more reduces the rate.
        threshold: how much better than the best an improvement has to be, finite and at least 0.
        mode: "min" for a metric that should fall, "max" for one that should rise.
        threshold_mode: "rel" if the threshold is a fraction of the best metric, "abs" if it is a difference.
        cooldown: calls after a reduction in which bad ones are not counted, at least 0.
        min_lr: the rate never goes below this, between 0 and lr.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        lr: float,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        mode: str = "min",
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        ### BEGIN SOLUTION
        # conditions that good values fulfil, so that NaN is refused as well
        if not 0 < lr < math.inf or not 0 <= min_lr <= lr:
            raise ValueError(f"lr must be positive and min_lr between 0 and lr, got {lr} and {min_lr}")
        if not 0 < factor < 1:
            raise ValueError(f"factor must lie between 0 and 1, got {factor}")
        if patience < 0 or cooldown < 0:
            raise ValueError(f"patience and cooldown must be at least 0, got {patience} and {cooldown}")
        if not 0 <= threshold < math.inf:
            raise ValueError(f"threshold must be finite and at least 0, got {threshold}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"unknown mode {mode!r} or threshold_mode {threshold_mode!r}")
        self.lr, self.factor, self.min_lr = lr, factor, min_lr
        self.patience, self.cooldown = patience, cooldown
        self.threshold, self.mode, self.threshold_mode = threshold, mode, threshold_mode
        self.best: float | None = None
        self.bad_calls = 0  # in a row
        self.cooldown_left = 0  # calls
        ### END SOLUTION

    def step(self, metric: float) -> float:
        """Take in the metric of one evaluation; return the rate to use next."""
        ### BEGIN SOLUTION
        if not math.isfinite(metric):
            improved = False
        elif self.best is None:
            improved = True
        else:
            # an improvement beats the best metric so far by more than the margin
            margin = self.threshold * self.best if self.threshold_mode == "rel" else self.threshold
            improved = metric < self.best - margin if self.mode == "min" else metric > self.best + margin

        if improved:
            self.best = metric
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
        elif improved:
            self.bad_calls = 0
        else:
            self.bad_calls += 1

        if self.bad_calls > self.patience:
            lower = max(self.lr * self.factor, self.min_lr)
            if self.lr - lower > SMALLEST_CHANGE:
                self.lr = lower
            self.bad_calls = 0
            self.cooldown_left = self.cooldown
        return self.lr
        ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# schedule = PlateauLR(0.5, factor=0.25, patience=2, threshold=0.125, mode="max", threshold_mode="abs")
# rates = [schedule.step(metric) for metric in [0.5, 0.75, 0.875, 0.25, 0.5, 0.625, 1.0, 0.5]]
# assert rates == [0.5, 0.5, 0.5, 0.5, 0.125, 0.125, 0.125, 0.125], rates
# rests = PlateauLR(0.5, factor=0.5, patience=0, threshold=0.0, cooldown=2, min_lr=0.1875)
# rates = [rests.step(metric) for metric in [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]
# assert rates == [0.5, 0.25, 0.25, 0.25, 0.1875, 0.1875], rates

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Between two calls, what does the object have to remember? Find the four things, and for each the event that changes
# it. Does a reduction change the best metric?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Patience is about a run of bad calls, measured against the best metric and not against the last one: a metric that
# jumps up and then creeps back is getting smaller from call to call and still is no better than it was. A cooldown is a
# number of calls in which the counting is switched off, while the comparison goes on.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Decide whether the metric is an improvement: not finite, no; no best yet, yes; otherwise compare with the best and the
# margin, by mode. If so, remember it. Then one of three: in a cooldown, one call of it is over; improved, the count is
# 0; otherwise the count grows. If the count exceeds the patience: lower the rate if that is worth it, reset the count,
# start the cooldown. Return the rate.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `lower = max(self.lr * self.factor, self.min_lr)`
#
# </details>

# %% [markdown]
# ## Going further
#
# * When the rate falls, the noise of the mini-batches falls with it, and the metric often drops at once: a plateau of
#   noise has ended, not a plateau of learning.
# * The metric has to come from validation data, and reducing on it is a choice made on them: report another set.
# * Together with early stopping, the patience of the stop must be longer than that of the schedule, or the training
#   ends before a smaller rate could help.
#
# ## References
#
# * Lutz Prechelt (1998). Early Stopping - But When? In Neural Networks: Tricks of the Trade. (Patience, and what counts
#   as progress.)
# * Diederik P. Kingma, Jimmy Ba (2015). Adam: A Method for Stochastic Optimization. ICLR 2015.
