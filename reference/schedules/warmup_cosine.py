# %% [markdown]
# # Warm-up and cosine decay
#
# Of all settings of a fine-tuning run, the learning rate is the one most worth your time. Two runs that differ in
# nothing else can end as a good model and as one that has forgotten its pretraining. Most recipes share one shape: a
# short climb, a long fall, and small steps at the end. It takes ten lines, and the usual mistakes in them raise no
# error: a rate that climbs again after the last step, a whole run spent in the warm-up. Here you answer the interview
# question in your own words, judge eight claims about it, and write the schedule and the loop that drives it.
#
# Plan about 45 minutes: 15 for the answer, 5 for the claims, 25 for the code.

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

# %% [markdown]
# ## The question
#
# *"How do you choose the learning rate for fine-tuning a multimodal model, and how do you change it during training?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *the peak*: how you find the largest rate of the run, and what a rate that is too large does first;
# - *the shape*: how the rate changes during the run, and what each part of the shape is good for;
# - *who gets which rate*: parts of the model, and what changes with the batch size;
# - *doing it*: how the schedule is driven in a training loop, and what you watch while it runs.

# %% [markdown] tags=["answer"]
# **Model answer.** "The peak matters most, so I look for it first: short runs on a logarithmic grid, chosen by the
# validation metric, or a range test that raises the rate and looks where the loss falls fastest (Smith 2017). Usual
# starting points are 1e-5 to 5e-5 for all weights of a pretrained trunk, 1e-4 to 2e-4 for LoRA and 1e-3 for a new head
# or projector; to begin at 1e-5 and only go down is no search. A rate far too large shows in the training loss itself,
# which jumps or becomes NaN, and in pretrained abilities that are gone; overfitting is another matter. On a quadratic
# loss plain gradient descent diverges above 2 divided by the largest curvature.
#
# For the shape I warm up linearly over 3 to 10 % of the updates and then decay along a cosine or a line to between 0
# and 10 % of the peak. Warm-up keeps the first updates small, while Adam's second-moment estimate rests on few
# gradients (Liu et al. 2020); Goyal et al. (2017) use it for large batches with SGD. Decay is there for the noise: with
# a constant rate SGD ends up wandering around the minimum, with a variance about proportional to the rate, so a small
# rate at the end lets it settle; growing the batch does the same (Smith et al. 2018). Adam needs a schedule as well: it
# rescales coordinates, and its global rate is still mine to choose. If the end of the run is not known, I reduce on a
# plateau, or use warm-up, a stable phase and a short decay (Hu et al. 2024).
#
# Parts of the model get rates of their own: small in the pretrained trunk, smaller still in its lowest layers, 10 to
# 100 times larger in projector, LoRA matrices and head. After a change of batch size I tune again, starting from linear
# scaling for SGD (Goyal et al. 2017) and from the square root for Adam (Malladi et al. 2022).
#
# In the loop I call `optimizer.step()` and then `scheduler.step()`, once an update and not once an epoch if the
# schedule counts updates. I log rate, gradient norm, loss spikes and a zero-shot score, and compare several seeds."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, the peak: a search on a logarithmic scale, or a range test, judged by validation; too large means loss
#   spikes, divergence or destroyed features, not overfitting. The bound 2 / largest curvature is welcome here.
# - 1 point, the shape: warm-up of a few percent and what it is for; decay because it lowers the noise at the end (not
#   because it speeds up the end); a shape with its final value. Plateau or warmup-stable-decay is welcome.
# - 1 point, who gets which rate: pretrained trunk against new head, projector or LoRA, with orders of magnitude;
#   tuning again when the batch size changes, linear for SGD, square root for Adam.
# - 1 point, doing it: one scheduler step for each update, after the optimiser's; Adam needs a schedule too; gradient
#   norm, loss spikes or forgetting watched.
#
# **References of the model answer**
#
# - Leslie N. Smith (2017). *Cyclical Learning Rates for Training Neural Networks.*
# - Samuel L. Smith, Pieter-Jan Kindermans, Chris Ying, Quoc V. Le (2018). *Don't Decay the Learning Rate, Increase the
#   Batch Size.*
# - Liyuan Liu, Haoming Jiang, Pengcheng He, et al. (2020). *On the Variance of the Adaptive Learning Rate and Beyond.*
# - Sadhika Malladi, Kaifeng Lyu, Abhishek Panigrahi, Sanjeev Arora (2022). *On the SDEs and Scaling Rules for Adaptive
#   Gradient Algorithms.*
# - Shengding Hu, Yuge Tu, Xu Han, et al. (2024). *MiniCPM: Unveiling the Potential of Small Language Models with
#   Scalable Training Strategies.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of the false ones can be found in print. All of them must be right for the 3
# points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `decay_quickens_the_end` | The purpose of the decay is to make training faster towards its end. |
# | `small_data_fixed_rate` | That a data set is small is in itself a good reason to keep the rate constant. |
# | `adam_sets_the_rate` | With Adam it makes no difference what `lr` is, as Adam finds the size of its steps itself. |
# | `overfitting_comes_first` | A rate 100 times too large shows first in the validation loss alone, as overfitting. |
# | `downward_search_misses` | A search that starts at 1e-5 and only goes down can miss the best rate of a new head. |
# | `flattest_direction_limits` | On a quadratic loss, the flattest direction decides which rate still converges. |
# | `noise_floor_falls` | On a quadratic loss with noisy gradients, a smaller constant rate leaves SGD less spread. |
# | `stepped_each_epoch` | A warm-up of 100 steps, stepped once an epoch, is below 5 % of the peak in epoch 3. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "decay_quickens_the_end",
        "small_data_fixed_rate",
        "adam_sets_the_rate",
        "overfitting_comes_first",
        "downward_search_misses",
        "flattest_direction_limits",
        "noise_floor_falls",
        "stepped_each_epoch",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Smaller steps move less: decay makes the end slower, on purpose. What it buys is less noise around the minimum.
    decay_quickens_the_end=False,
    # Nothing about a small set speaks against decay; its gradients are noisy too.
    small_data_fixed_rate=False,
    # Adam divides by the size of recent gradients and then multiplies by `lr`: twice the rate is twice the step.
    adam_sets_the_rate=False,
    # A gap means that the training loss still falls. Far too large a rate makes the training loss itself jump or NaN.
    overfitting_comes_first=False,
    # A new head often wants 1e-3 or more, two orders of magnitude above everything that such a search looks at.
    downward_search_misses=True,
    # Along each eigenvector the error is multiplied by 1 - rate * curvature, so the steepest direction is the limit.
    flattest_direction_limits=False,
    # The stationary variance is rate * noise / (curvature * (2 - rate * curvature)), which grows with the rate.
    noise_floor_falls=True,
    # Three calls of `scheduler.step()` are step 3 of 100. No error is raised, and the model hardly learns.
    stepped_each_epoch=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** a schedule is a factor for each *update*, and every group of parameters multiplies its own rate by it.
#
# Steps are counted from 0: the update number `step` (the first is 0) uses the factor of `step`. Results are single
# numbers in double precision, such as Python floats; `step`, `warmup_steps` and `total_steps` are ints. The first four
# functions raise `ValueError` for arguments out of range, as listed. Mind the signatures: where `total_steps` comes
# first, the arguments can be given by name only.
#
# ### `lr_factor(step, warmup_steps, total_steps, kind, min_ratio=0.0) -> float`
#
# - Climb, `step < warmup_steps`: from 0 at step 0 in equal parts; step `warmup_steps` would be 1. `min_ratio` plays no
#   part in the climb. With `warmup_steps=0` there is no climb, and step 0 has the factor 1.
# - Fall, `warmup_steps <= step <= total_steps`: from 1 at `warmup_steps` to `min_ratio` at `total_steps`. With
#   `kind="linear"` along a straight line, with `kind="cosine"` along half a period of a cosine, stretched to reach from
#   1 down to `min_ratio`. With `kind="constant"` the factor stays 1 and `min_ratio` is ignored.
# - Afterwards, `step > total_steps`: it stays what it was at `total_steps`.
# - `ValueError` for `step < 0`, `warmup_steps < 0`, `warmup_steps >= total_steps`, `min_ratio` outside [0, 1] or NaN
#   (for every kind), and a `kind` that is none of the three.
#
# ### `warmup_cosine_lr(step, *, total_steps, warmup_steps, base_lr, min_lr=0.0) -> float`
#
# The same as a rate: linearly from 0 to `base_lr` at `warmup_steps`, half a cosine down to `min_lr` at `total_steps`,
# `min_lr` from then on. `ValueError` as above, and for a `base_lr` that is not positive and finite or a `min_lr`
# outside [0, `base_lr`] or NaN.
#
# ### `make_factor_scheduler(optimizer, warmup_steps, total_steps, kind, min_ratio=0.0) -> LambdaLR`
#
# A `torch.optim.lr_scheduler.LambdaLR` that gives each parameter group its own rate times the factor of the step. The
# `ValueError` of arguments out of range comes from this call, not from the middle of a training.
#
# ### `make_scheduler(optimizer, *, total_steps, warmup_steps, min_ratio=0.0) -> LambdaLR`
#
# The same with `kind="cosine"`, since that is what you will call most.
#
# ### `train_with_schedule(optimizer, scheduler, loss_fn, batches, epochs) -> list[float]`
#
# Makes one update for each batch of the list `batches`, in order, `epochs` times over; `loss_fn(batch)` is the loss, a
# scalar tensor. An update uses the gradient of its own batch alone, even where the parameters hold an old gradient
# before the call, and `scheduler` (any scheduler that counts updates) moves on by one step with each. Returns the rates
# of the first parameter group that the updates really used, in order. `epochs=0` gives an empty list.
#
# ### `max_stable_lr(hessian) -> float`
#
# `hessian` is a symmetric positive semidefinite matrix, a float32 or float64 tensor of shape `(n, n)`. Gradient descent
# with a constant rate runs on the loss `0.5 * x @ hessian @ x`. Return the bound of the rate: below it gradient descent
# converges from every start, above it it diverges from almost every one. (`foundations/fine_tuning_objective` has used
# this bound for a sum of squares.) `ValueError` if `hessian` is empty, not 2-D or not square, has an entry that is not
# finite, is not symmetric, or is all zeros, so that there is no bound. Negative eigenvalues do not occur. How far
# `hessian` is from its transpose is judged relative to its largest entry: a difference of up to a millionth of it is
# rounding and must be accepted, one of a hundredth or more must be refused; where in between you draw the line is up to
# you.
#
# **Forbidden:** ready-made schedules (`CosineAnnealingLR`, `LinearLR`, `OneCycleLR`, `SequentialLR` and their like in
# `torch.optim.lr_scheduler`) and the package `transformers`. `LambdaLR` is what you should use.
#
# **Worked example**, `warmup_steps=3`, `total_steps=9`, `min_ratio=0`:
#
# | step | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 |
# |---|---|---|---|---|---|---|---|---|---|---|---|
# | linear | 0 | 0.333 | 0.667 | 1 | 0.833 | 0.667 | 0.5 | 0.333 | 0.167 | 0 | 0 |
# | cosine | 0 | 0.333 | 0.667 | 1 | 0.933 | 0.75 | 0.5 | 0.25 | 0.067 | 0 | 0 |
#
# With `min_ratio=0.2` the cosine has 0.6 at step 6 and 0.2 from step 9 on; its climb and its peak are the same.


# %% tags=["solution"]
def lr_factor(step: int, warmup_steps: int, total_steps: int, kind: str, min_ratio: float = 0.0) -> float:
    """Factor of the learning rate at one update: linear warm-up, then constant, linear or cosine decay.

    Args:
        step: number of the update, from 0.
        warmup_steps: length of the climb from 0 to 1, in updates.
        total_steps: the step at which the decay arrives at min_ratio; later steps keep its value.
        kind: "constant", "linear" or "cosine".
        min_ratio: the factor at the end of the decay, in [0, 1]; ignored by "constant".

    Raises:
        ValueError: an argument is out of range, or the kind is unknown.

    Source: cosine, Loshchilov and Hutter (2017); warm-up after Goyal et al. (2017), but from 0, while they climb
    from the rate of a small batch.
    """
    ### BEGIN SOLUTION
    if kind not in ("constant", "linear", "cosine"):
        raise ValueError(f"kind must be 'constant', 'linear' or 'cosine', got {kind!r}")
    if step < 0 or not 0 <= warmup_steps < total_steps:
        raise ValueError(f"step {step}, warmup_steps {warmup_steps} and total_steps {total_steps} do not fit together")
    if not 0 <= min_ratio <= 1:  # written so that NaN is refused too
        raise ValueError(f"min_ratio must be between 0 and 1, got {min_ratio}")

    if step < warmup_steps:
        return step / warmup_steps
    if kind == "constant":
        return 1.0
    # progress of the decay: 0 where the warm-up ends, 1 at total_steps and ever after
    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
    # height above the floor, from 1 down to 0
    height = 1 - progress if kind == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return min_ratio + (1 - min_ratio) * height
    ### END SOLUTION


def warmup_cosine_lr(step: int, *, total_steps: int, warmup_steps: int, base_lr: float, min_lr: float = 0.0) -> float:
    """Learning rate of one update: linear from 0 to base_lr, half a cosine down to min_lr, then min_lr.

    Raises ValueError for steps out of range (see `lr_factor`), unless base_lr is positive and finite, and unless min_lr
    is in [0, base_lr].
    """
    ### BEGIN SOLUTION
    if not 0 < base_lr < math.inf or not 0 <= min_lr <= base_lr:
        raise ValueError(f"base_lr must be positive and min_lr between 0 and base_lr, got {base_lr} and {min_lr}")
    return base_lr * lr_factor(step, warmup_steps, total_steps, "cosine", min_lr / base_lr)
    ### END SOLUTION


# %% tags=["solution"]
def make_factor_scheduler(
    optimizer: Optimizer, warmup_steps: int, total_steps: int, kind: str, min_ratio: float = 0.0
) -> LambdaLR:
    """A scheduler that gives every parameter group its own rate times `lr_factor`. Raises ValueError as that does."""
    ### BEGIN SOLUTION
    # LambdaLR remembers the rate of each group, multiplies it by the factor, and asks for the factor of step 0 at once
    return LambdaLR(optimizer, lambda step: lr_factor(step, warmup_steps, total_steps, kind, min_ratio))
    ### END SOLUTION


def make_scheduler(optimizer: Optimizer, *, total_steps: int, warmup_steps: int, min_ratio: float = 0.0) -> LambdaLR:
    """The scheduler of `make_factor_scheduler` with cosine decay. Raises ValueError as that does."""
    ### BEGIN SOLUTION
    return make_factor_scheduler(optimizer, warmup_steps, total_steps, "cosine", min_ratio)
    ### END SOLUTION


# %% tags=["solution"]
def train_with_schedule(
    optimizer: Optimizer, scheduler: Any, loss_fn: Callable[[Any], Tensor], batches: Sequence[Any], epochs: int
) -> list[float]:
    """Make one update, and one step of the scheduler, for each batch in each epoch.

    Args:
        optimizer: holds the parameters to train.
        scheduler: a scheduler of this optimiser that counts updates.
        loss_fn: maps a batch to its loss, a scalar tensor.
        batches: the batches of an epoch, a list.
        epochs: passes over the batches, 0 or more.

    Returns:
        The rate of the first parameter group in force at each update, in order.
    """
    ### BEGIN SOLUTION
    rates = []
    for _ in range(epochs):
        for batch in batches:
            optimizer.zero_grad()
            loss_fn(batch).backward()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()  # after the update, and once for each: it sets the rate of the next one
    return rates
    ### END SOLUTION


def max_stable_lr(hessian: Tensor) -> float:
    """Bound of the learning rate of gradient descent on the loss `0.5 * x @ hessian @ x`.

    hessian (n, n): float32 or float64, symmetric up to rounding, positive semidefinite; computed in float64.
    Raises ValueError if it is empty, not a square matrix, not finite, not symmetric or all zeros.
    """
    ### BEGIN SOLUTION
    if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1] or hessian.numel() == 0:
        raise ValueError(f"expected a square matrix, got shape {tuple(hessian.shape)}")
    hessian = hessian.double()
    if not hessian.isfinite().all():
        raise ValueError("every entry must be finite")
    if (hessian - hessian.T).abs().max() > 1e-5 * hessian.abs().max():
        raise ValueError("the matrix must be symmetric")
    largest = torch.linalg.eigvalsh(hessian).max().item()
    if largest <= 0:
        raise ValueError(f"the largest eigenvalue must be positive, got {largest}")
    # along an eigenvector each step multiplies x by 1 - rate * eigenvalue: stable while that lies between -1 and 1
    return 2 / largest
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# linear = [lr_factor(step, 2, 6, "linear") for step in range(8)]
# assert torch.allclose(torch.tensor(linear), torch.tensor([0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0])), linear
# cosine = [warmup_cosine_lr(step, total_steps=6, warmup_steps=2, base_lr=0.5, min_lr=0.1) for step in range(8)]
# expected = torch.tensor([0, 0.25, 0.5, 0.441421, 0.3, 0.158579, 0.1, 0.1])
# assert torch.allclose(torch.tensor(cosine), expected), cosine
#
# trunk, head = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
# optimizer = torch.optim.SGD([{"params": [trunk]}, {"params": [head], "lr": 1.0}], lr=0.01)
# scheduler = make_scheduler(optimizer, total_steps=4, warmup_steps=1)
# rates = train_with_schedule(optimizer, scheduler, lambda batch: (trunk + head).sum() * batch, [1.0, 3.0], epochs=2)
# assert torch.allclose(torch.tensor(rates), torch.tensor([0, 0.01, 0.0075, 0.0025])), rates
# assert math.isclose(head.item(), -(1 * 3 + 0.75 * 1 + 0.25 * 3), rel_tol=1e-6), head.item()
# assert math.isclose(max_stable_lr(torch.diag(torch.tensor([5.0, 0.1]))), 0.4, rel_tol=1e-6)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Write down the factor at four steps: 0, `warmup_steps`, `total_steps`, and one after that. Do your formulas give these
# four, for every kind and every `min_ratio`? And for `max_stable_lr`: by which number is `x` multiplied in one step if
# the loss is `0.5 * c * x**2`?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Think of the fall in two quantities: the progress, which goes from 0 to 1 while the fall lasts and then stays, and the
# height above the floor, which goes from 1 to 0. A scheduler in PyTorch sets the rate for the *next* update, so it
# moves after the optimiser. In the directions of its eigenvectors, a quadratic loss falls apart into one-dimensional
# ones, and all of them have to survive the same rate.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. In the climb, return the fraction of the climb that is over. Otherwise compute the progress,
# capped at 1, turn it into a height by the kind, and place the height between floor and 1. The rate is the base rate
# times the factor whose floor is the quotient of the two rates. In the loop, for every batch: clear, go backward, note
# the rate, update, move the scheduler.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)`
#
# </details>

# %% [markdown]
# ## References
#
# - Priya Goyal, Piotr Dollár, Ross Girshick, et al. (2017). *Accurate, Large Minibatch SGD: Training ImageNet in 1
#   Hour.*
# - Ilya Loshchilov, Frank Hutter (2017). *SGDR: Stochastic Gradient Descent with Warm Restarts.* ICLR 2017.
#
# The works behind the model answer are listed there, in the solution.
