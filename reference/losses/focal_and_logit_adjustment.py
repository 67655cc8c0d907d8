# %% [markdown]
# # Focal loss and logit adjustment
#
# "Resample or weight the classes" is where many answers about class imbalance end. Two more remedies are used
# everywhere, and each is one line: the **focal loss** turns down the samples that are already classified well, so that
# thousands of easy ones do not drown the few that matter; **logit adjustment** moves the logits by the log of the class
# prior, before the loss in training or after training when predicting. Both lines are easily turned upside down, and
# both fail silently: the focal loss with NaN gradients once the model is sure of itself, the adjustment by helping the
# frequent classes even more.
#
# ## Your task (about 30 minutes)
#
# **`focal_loss(logits, targets, gamma=2.0, alpha=None)`** returns a tensor without axes, in the dtype of `logits`.
#
# | argument | shape | meaning |
# |---|---|---|
# | `logits` | `(batch, classes)` | scores, `float32` or `float64` |
# | `targets` | `(batch,)`, `int64` | the right class of each sample |
# | `gamma` | finite number ≥ 0 | how strongly easy samples are turned down |
# | `alpha` | `(classes,)` or `None` | a factor for each class; `None` means no factor |
#
# - With p the softmax probability of the right class, the loss of a sample is `-alpha[target] · (1 - p)^gamma · log p`.
#   The result is the **plain mean** over the batch, even with `alpha`.
# - It stays right when p underflows: with logits 2000 apart the loss of a sample can be 2000.
# - Its gradient flows through *both* factors, and stays finite when p rounds to 1, for every `gamma` ≥ 0. (The
#   derivative of x^gamma at x = 0 is infinite for 0 < gamma < 1.)
# - Losses and their gradients are compared to about six digits, whatever the dtype. So a small lower bound for 1 - p,
#   or a small number added to it, such as 1e-8, does no harm.
#
# **`adjust_logits(logits, priors, tau=1.0, *, mode)`** returns `(batch, classes)`, in the dtype of `logits`. `priors`
# `(classes,)` holds the share of each class in the training data, `tau` is a finite number (0 changes nothing; it need
# not be checked).
#
# - `mode="train"`: `logits + tau · log(priors)`, which then go into the ordinary cross-entropy.
# - `mode="posthoc"`: `logits - tau · log(priors)`, at prediction time, for a model trained without adjustment. (With
#   two classes and `tau=1` this is the prior correction of `foundations/binary_cross_entropy`, for a true share of one
#   half.)
#
# ### Rules
#
# - `ValueError` in both functions for `logits` that are not `(batch, classes)`.
# - `ValueError` in `focal_loss` for `targets` that are not `(batch,)`, an empty batch, a target outside 0 to
#   classes - 1 (there is no `ignore_index` here), `gamma` below 0 or NaN, and `alpha` that is not `(classes,)`.
# - `ValueError` in `adjust_logits` for `priors` that are not `(classes,)`, that are not all positive, that are NaN, or
#   whose sum differs from 1 by more than `PRIOR_TOLERANCE`, and for a `mode` other than the two.
# - Targets that are floating-point numbers: `TypeError` or `ValueError`, as you like. (Other integers than `int64` do
#   not occur.)
# - `alpha` and `priors` are `float32` or `float64`, whichever of the two `logits` are; the result keeps the dtype of
#   `logits`. `adjust_logits` also takes `float16` and `bfloat16` logits, and the priors (0.9, 0.1) are good ones there
#   too: rounded to `float16` they would no longer sum to 1.
# - Everything in PyTorch is allowed. Leave the inputs unchanged, and let gradients flow to the logits.
#
# ## Worked example
#
# Two samples whose right classes have p = 0.9 and p = 0.2. Cross-entropy: 0.105 and 1.609, mean 0.857; the easy sample
# has 6 % of the total. With `gamma=2` the factors are 0.1² = 0.01 and 0.8² = 0.64: the losses are 0.001 and 1.030, mean
# 0.516, and the easy sample has 0.1 %.
#
# Priors (0.9, 0.1) and logits (1.0, 0.5): the model prefers class 0. Post-hoc with `tau=1` the logits become
# (1.0 + 0.105, 0.5 + 2.303) = (1.105, 2.803), and the rare class wins. In training they become (0.895, -1.803): the
# model has to score the rare class higher on its own to reach the same loss.

# %%
import torch
import torch.nn.functional as F
from torch import Tensor

PRIOR_TOLERANCE = 1e-6  # how far the sum of the priors may be from 1


# %% tags=["solution"]
def focal_loss(logits: Tensor, targets: Tensor, gamma: float = 2.0, alpha: Tensor | None = None) -> Tensor:
    """Cross-entropy in which samples that are classified well count less (Lin et al. 2017).

    logits (batch, classes), floating; targets (batch,) int64; gamma >= 0; alpha (classes,), a factor for each class.

    Returns the plain mean over the batch, a tensor without axes, in the dtype of the logits.
    Raises ValueError for shapes that do not fit, an empty batch, targets outside the classes and a gamma below 0 or
    NaN, TypeError or ValueError for floating-point targets.
    """
    ### BEGIN SOLUTION
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or targets.numel() == 0:
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(targets.shape)} are no batch of logits and targets")
    n_classes = logits.shape[1]
    if targets.dtype != torch.int64:
        raise TypeError(f"targets must be int64, not {targets.dtype}")
    if targets.min() < 0 or targets.max() >= n_classes:
        raise ValueError(f"targets must be classes from 0 to {n_classes - 1}")
    if not gamma >= 0:  # NaN fails as well
        raise ValueError(f"gamma must not be negative, it is {gamma}")
    if alpha is not None and alpha.shape != (n_classes,):
        raise ValueError(f"alpha must be ({n_classes},), not {tuple(alpha.shape)}")

    # log p of the right class
    log_p = F.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)  # (batch,)

    # 1 - p, kept off 0, where the derivative of x^gamma is infinite for gamma < 1
    miss = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)  # (batch,)

    # loss = -alpha (1 - p)^gamma log p
    losses = -(miss**gamma) * log_p  # (batch,)
    if alpha is not None:
        losses = losses * alpha[targets].to(losses.dtype)
    return losses.mean()
    ### END SOLUTION


# %% tags=["solution"]
def adjust_logits(logits: Tensor, priors: Tensor, tau: float = 1.0, *, mode: str) -> Tensor:
    """Move logits by the log of the class prior (Menon et al. 2021).

    logits (batch, classes), floating; priors (classes,), positive, summing to 1; tau: strength of the adjustment.
    mode: "train" adds tau * log(priors), for the loss; "posthoc" subtracts it, for predictions.

    Returns (batch, classes) in the dtype of the logits.
    Raises ValueError for shapes that do not fit, priors that are no distribution, an unknown mode.
    """
    ### BEGIN SOLUTION
    if logits.ndim != 2 or priors.shape != logits.shape[1:]:
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(priors.shape)} do not fit together")
    if not (priors > 0).all() or abs(priors.double().sum().item() - 1) > PRIOR_TOLERANCE:  # NaN fails as well
        raise ValueError("priors must be positive and sum to 1")
    if mode not in ("train", "posthoc"):
        raise ValueError(f'mode must be "train" or "posthoc", not {mode!r}')

    adjustment = (tau * priors.log()).to(logits.dtype)  # (classes,)
    # in training the prior is put in, so that the model need not learn it; afterwards a learned prior is taken out
    return logits + adjustment if mode == "train" else logits - adjustment  # (batch, classes)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two samples of class 0 with p = 0.75 and p = 0.4; the second one as a sample of class 1, with p = 0.6; and priors 0.8
# and 0.2 with `tau=2`.

# %% tags=["visible-checks", "active-ipynb"]
# logits = torch.log(torch.tensor([[0.75, 0.25], [0.4, 0.6]]))
# targets = torch.tensor([0, 0])
# easy, hard = -torch.log(torch.tensor([0.75, 0.4]))  # the cross-entropies
#
# torch.testing.assert_close(focal_loss(logits, targets, gamma=1.0), (0.25 * easy + 0.6 * hard) / 2)
# alpha = torch.tensor([3.0, 0.5])
# loss = focal_loss(logits, torch.tensor([0, 1]), gamma=0.0, alpha=alpha)
# torch.testing.assert_close(loss, (3 * easy - 0.5 * torch.log(torch.tensor(0.6))) / 2)
#
# priors = torch.tensor([0.8, 0.2])
# zeros = torch.zeros(1, 2)
# torch.testing.assert_close(adjust_logits(zeros, priors, 2.0, mode="train"), torch.log(torch.tensor([[0.64, 0.04]])))
# torch.testing.assert_close(adjust_logits(zeros, priors, 2.0, mode="posthoc"), torch.log(torch.tensor([[1.5625, 25]])))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A sample with p = 0.99 and one with p = 0.01: by which factor should each be turned down? And a model that has learned
# the prior perfectly has log(prior · evidence) as its logit: what must be taken away to be left with the evidence?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The modulating factor (1 - p)^gamma is near 0 for easy samples and near 1 for hard ones. Everything is computed from
# log p, which a log-softmax gives without underflow; p itself is its exponential. Where 1 - p is exactly 0, the
# derivative of a root is infinite, and infinity times 0 is NaN on the way back; a lower bound for 1 - p prevents that.
# In training, adding the log prior makes the model's own scores carry the evidence alone.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Take the log-softmax over the classes and pick each sample's right class. Compute 1 - p from it,
# keep it above the smallest normal number of the dtype, raise it to gamma, multiply by -log p and by each sample's
# alpha, take the plain mean. For the adjustment: check the priors and the mode, then add or subtract one row of
# `tau * log(priors)`.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# log_p = F.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)  # (batch,)
# ```
#
# </details>
#
# ## References
#
# - Tsung-Yi Lin, Priya Goyal, Ross B. Girshick, Kaiming He, Piotr Dollár (2017). Focal Loss for Dense Object Detection.
# - Aditya Krishna Menon, Sadeep Jayasumana, Ankit Singh Rawat, Himanshu Jain, Andreas Veit, Sanjiv Kumar (2021).
#   Long-tail learning via logit adjustment.
