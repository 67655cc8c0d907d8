# %% [markdown]
# # One training epoch
#
# Every fine-tuning run is a few epochs, and an epoch is a loop of some ten lines. The published one stops at its first
# line, since it asks a dictionary to move to the GPU. What remains once that is repaired is quieter: it reports a mean
# of means, it has no place for a learning-rate schedule or for clipping, and a loss of NaN goes straight into the
# weights. Here you write a loop that any fine-tuning run could call.
#
# ## Your task (35 minutes)
#
# ```python
# train_epoch(model, loader, optimizer, *, device="cpu", scheduler=None, max_norm=None)  # -> dict
# ```
#
# | argument | meaning |
# |---|---|
# | `model` | called as `model(**batch)`, returns a dictionary; its `"loss"` is the **mean** over the batch |
# | `loader` | any iterable of batches, also a generator; each is a dictionary of tensors, among them `"labels"` |
# | `optimizer` | a `torch.optim` optimiser of the model's trainable parameters |
# | `device` | where the batches go; the model is there already |
# | `scheduler` | `None`, or an object whose `step()` sets the learning rate for the next optimiser step |
# | `max_norm` | `None`, or the longest gradient allowed |
#
# It walks through the loader once, makes one optimiser step for each batch, and returns
#
# | key | type | value |
# |---|---|---|
# | `"loss"` | `float` | mean over the **samples** of the losses that the model reported on the way |
# | `"steps"` | `int` | number of optimiser steps |
# | `"samples"` | `int` | number of samples; a batch has as many as its `"labels"` are long |
# | `"grad_norm"` | `float` or `None` | mean length of the steps' gradients before clipping; without `max_norm` `None` |
#
# Rules:
#
# - The model is called in training mode, all its modules are, whatever their mode was before; it stays so afterwards.
# - Each tensor of a batch is moved with its method `.to(device)`. The loader's own dictionaries stay as they are.
# - Each step uses the gradient of its own batch alone. An old gradient of a parameter that is trained, left by whoever
#   used the model before, has no influence. (Frozen parameters hold no gradient, and every loss depends on all
#   parameters that are trained, so that it is up to you whether clearing makes a gradient `None` or 0.)
# - With `max_norm`, the gradients of all parameters together are scaled down to that length if they are longer as one
#   vector.
# - `scheduler.step()`, without arguments, comes after each `optimizer.step()`.
# - **`FloatingPointError`** if a loss is NaN or infinite, before that batch changes a parameter or the learning rate.
#   What earlier batches did stays done.
# - **`ValueError`** if `max_norm` is zero, negative or NaN, before the model is called; if the loader yields no batch;
#   if the model's dictionary has no `"loss"`, or `None` there, before the step. (No batch is without samples.)
# - Up to you: `max_norm=math.inf`, a finite loss whose gradient is not finite, and the model's mode after an exception.
# - Nothing is forbidden; `torch.nn.utils.clip_grad_norm_` is welcome. The numbers are Python numbers: a list of loss
#   tensors would keep every graph of the epoch in memory.
#
# ## A worked example
#
# One weight w = 2, prediction w·x, loss = mean of (w·x - y)², SGD with the rate 0.1. The first batch has three
# samples x = 1, y = 0, the second has one, x = 1, y = 4.6.
#
# | | loss | gradient | w afterwards |
# |---|---|---|---|
# | first batch | 2² = 4 | 2 · 2 · 1 = 4 | 2 - 0.1 · 4 = 1.6 |
# | second batch | (1.6 - 4.6)² = 9 | 2 · (-3) · 1 = -6 | 1.6 + 0.1 · 6 = 2.2 |
#
# The epoch's loss is (3 · 4 + 1 · 9) / 4 = **5.25**; the mean of the two batch losses would be 6.5. With `max_norm=3`
# the steps use 3 and -3 (w becomes 1.7, then 2.0), and `grad_norm` is the mean of 4 and 5.8, **4.9**.

# %%
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


# %% tags=["solution"]
def train_epoch(
    model: nn.Module,
    loader: Iterable[Mapping[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    device: str | torch.device = "cpu",
    scheduler: Any = None,
    max_norm: float | None = None,
) -> dict[str, float | int | None]:
    """Train for one pass over the data, one optimiser step for each batch.

    Args:
        model: `model(**batch)` returns a dict with `loss`, the mean over the batch.
        loader: dicts of tensors, among them `labels`, (batch,).
        optimizer: holds the trainable parameters of the model.
        device: where the batches go.
        scheduler: its `step()` is called after each optimiser step, or None.
        max_norm: longest gradient allowed, above 0, or None.

    Returns:
        A dict: loss (float, mean over the samples), steps (int), samples (int), grad_norm (float, mean over the steps
        of the global norm before clipping, or None without max_norm).

    Raises:
        ValueError: max_norm not above 0, no batch, no loss.
        FloatingPointError: a loss is NaN or infinite; its batch makes no step.

    Source: stochastic gradient steps, Robbins and Monro 1951; a new learning rate at each step, as in Loshchilov and
    Hutter 2017.
    """
    ### BEGIN SOLUTION
    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, not {max_norm}")
    steps = samples = 0
    loss_sum = norm_sum = 0.0
    model.train()
    for batch in loader:
        loss = model(**{name: tensor.to(device) for name, tensor in batch.items()}).get("loss")
        if loss is None:
            raise ValueError("the model returned no loss")
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of batch {steps} is {loss.item()}")

        # the gradient of this batch alone: backward() adds to what is in .grad
        optimizer.zero_grad()
        loss.backward()
        if max_norm is not None:
            norm_sum += nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()

        # the loss is a mean over the batch: times its size, it is a sum over samples
        n_examples = len(batch["labels"])
        loss_sum += loss.item() * n_examples
        samples += n_examples
        steps += 1
    if steps == 0:
        raise ValueError("the loader yielded no batch; a generator yields its batches only once")
    return {
        "loss": loss_sum / samples,
        "steps": steps,
        "samples": samples,
        "grad_norm": None if max_norm is None else norm_sum / steps,
    }
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# class Line(nn.Module):
#     """Predicts weight * x; the loss is the mean squared error."""
#
#     def __init__(self):
#         super().__init__()
#         self.weight = nn.Parameter(torch.tensor(1.0))
#
#     def forward(self, x, labels):
#         return {"loss": ((self.weight * x - labels) ** 2).mean()}
#
#
# loader = [
#     {"x": torch.tensor([1.0, 1.0]), "labels": torch.tensor([0.0, 0.0])},
#     {"x": torch.tensor([2.0]), "labels": torch.tensor([3.0])},
# ]
# model = Line()
# report = train_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=0.25))
# assert abs(model.weight.item() - 2.5) < 1e-6, f"the weight is {model.weight.item()}; it should go 1, 0.5, 2.5"
# assert abs(report["loss"] - 2.0) < 1e-6, f"the loss is {report['loss']}; it should be (2 * 1 + 1 * 4) / 3 = 2"
# assert (report["steps"], report["samples"], report["grad_norm"]) == (2, 3, None), report
#
# model = Line()
# report = train_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=0.25), max_norm=1.0)
# # the gradients 2 and -6 are scaled to 1 and -1
# assert abs(model.weight.item() - 1.0) < 1e-5, f"the weight is {model.weight.item()}; it should go 1, 0.75, 1"
# assert abs(report["grad_norm"] - 4.0) < 1e-5, f"grad_norm is {report['grad_norm']}; it should be (2 + 6) / 2 = 4"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Ten samples in batches of 4, 4 and 2: how much does each sample weigh in the loss you report? And for each line of
# your loop: may it run before `backward()`, between `backward()` and `optimizer.step()`, or only after it?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The order follows from who reads what. `backward()` adds to `.grad`, so the clearing comes before it. The optimiser
# reads `.grad` and the learning rate, so clipping comes before the step, and the scheduler, which sets the rate of the
# *next* step, after it. A mean over samples is a sum divided once, at the end.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check `max_norm`; training mode on. For each batch: a new dictionary of moved tensors, forward, look at the loss
# (missing? finite?), clear, backward, clip and note the length, optimiser, scheduler; add the loss times the number of
# labels, count samples and steps. After the loop: no step, no result; otherwise divide.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# moved = {name: tensor.to(device) for name, tensor in batch.items()}
# ```
#
# </details>

# %% [markdown]
# ## What belongs around it
#
# The loader decides on the order of the samples: give it a seeded `torch.Generator`, or two runs with the same weights
# will differ. Mixed precision and gradient accumulation are variations of the lines between clearing and step. And this
# loss is no evaluation: it was measured in training mode, with weights that changed from batch to batch.
#
# ## References
#
# - Herbert Robbins, Sutton Monro (1951). *A Stochastic Approximation Method.* Annals of Mathematical Statistics 22.
# - Ilya Loshchilov, Frank Hutter (2017). *SGDR: Stochastic Gradient Descent with Warm Restarts.* ICLR 2017.
