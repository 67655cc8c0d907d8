# %% [markdown]
# # Gradient accumulation equal to the large batch
#
# A recipe for fine-tuning asks for a batch of 256, and your GPU holds 8 samples. Gradient accumulation runs small
# pieces one after the other and takes a single step at the end. It is often published with one division too few or the
# wrong one: for years, large training libraries weighted tokens by the piece they happened to lie in. Here you answer
# the interview question in your own words, judge eight claims about it, and write a step that equals the step on the
# large batch.
#
# Plan about 45 minutes: 15 for the answer, 5 for the claims, 25 for the code.

# %%
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# %% [markdown]
# ## The question
#
# *"The batch that you want does not fit into memory. What do you do, and what is then no longer as it would be with the
# large batch?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. How one update is made you have
# described in `optimisation/optimizers`; begin where its batch does not fit. The answer is worth 4 points and is read
# by a person, one point for each of these:
#
# - *the same step*: how the large batch is cut and put together again, so that the update is that of the large batch;
# - *what differs*: what depends on the batch and not only on the mean of its losses, and what helps there;
# - *once a step*: what must happen once for all micro-batches together, in which order, and when there is no step;
# - *memory*: what takes the space, which part of it accumulation saves, and what helps with the rest.

# %% [markdown] tags=["answer"]
# **Model answer.** "I cut the batch into micro-batches, run forward and backward for each, let the gradients add up,
# and step once. The mean over the large batch is the sum of the micro-batch means, each weighted by its share of the
# samples, or of the valid tokens when the loss is a mean over tokens. Dividing by the number of micro-batches is right
# only if all are equally large. It costs time: the pieces run one after the other, and each may be too small to keep
# the device busy.
#
# Some things stay different, because they depend on who shares a batch. Batch normalisation sees micro-batches only,
# and dropout draws other masks. An in-batch contrastive loss has only the negatives of its micro-batch; there I would
# cache the embeddings' gradients (GradCache, Gao et al. 2021), gather features across devices or use a sigmoid loss.
# Stepping after each micro-batch with a smaller rate is not the same either, since the later gradients are taken at
# other weights.
#
# What belongs to the update happens once. I clear the gradients before the first micro-batch, since PyTorch adds new
# ones to the old. After the last one I divide out the loss scale, if float16 needed one, clip by the global norm over
# all parameters together, and let optimiser and scheduler step: warm-up and decay count updates, not micro-batches. If
# the gradients are not finite, the step is left out.
#
# Memory goes to weights, gradients, optimiser states and activations. Adam in mixed precision takes about 16 bytes a
# parameter before any activation (Rajbhandari et al. 2020). Accumulation saves activations only, as checkpointing does
# by computing them again (Chen et al. 2016). The rest is helped by sharding states, gradients and weights over devices,
# by tensor or pipeline parallelism, and by adapters such as LoRA, which need no gradients and states for the frozen
# base."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, the same step: gradients add up over micro-batches, weighted by samples or valid tokens, one step at the
#   end; dividing by their number is right for equal sizes only.
# - 1 point, what differs: two of batch normalisation, dropout, in-batch negatives; for the last one a remedy.
# - 1 point, once a step: one clearing; clipping by the global norm once, after the last micro-batch and after
#   unscaling; the scheduler counts updates. That steps with non-finite gradients are skipped is welcome here.
# - 1 point, memory: weights, gradients, optimiser states, activations; accumulation saves only the last of these; at
#   least two remedies for the rest (checkpointing counts for activations), with what each is good for.
#
# **References of the model answer**
#
# - Tianqi Chen, Bing Xu, Chiyuan Zhang, Carlos Guestrin (2016). *Training Deep Nets with Sublinear Memory Cost.*
# - Luyu Gao, Yunyi Zhang, Jiawei Han, Jamie Callan (2021). *Scaling Deep Contrastive Learning Batch Size under Memory
#   Limited Setup.*
# - Yanping Huang, Youlong Cheng, Ankur Bapna, et al. (2019). *GPipe: Efficient Training of Giant Neural Networks using
#   Pipeline Parallelism.*
# - Samyam Rajbhandari, Jeff Rasley, Olatunji Ruwase, Yuxiong He (2020). *ZeRO: Memory optimizations Toward Training
#   Trillion Parameter Models.*
# - Mohammad Shoeybi, Mostofa Patwary, Raul Puri, et al. (2019). *Megatron-LM: Training Multi-Billion Parameter Language
#   Models Using Model Parallelism.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as good advice. All of them must be right for the 3
# points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `mean_of_means` | The average of the mean losses of 4, 4 and 2 samples is the mean loss of all 10 samples. |
# | `backward_replaces` | In PyTorch a call of `backward()` replaces the gradients of the call before it. |
# | `saves_activations` | Accumulation saves memory for activations, and none for weights or Adam's averages. |
# | `more_negatives` | Four accumulated micro-batches of 64 pairs give CLIP's loss 255 negatives for each text. |
# | `batch_norm_differs` | In training mode, batch normalisation uses the statistics of each micro-batch by itself. |
# | `clip_each` | Clipping the gradient of each micro-batch and adding up is the same as clipping their sum. |
# | `four_small_steps` | Four SGD steps, one a micro-batch, at a quarter of the rate equal the accumulated step. |
# | `scaling_for_fp16` | Scaling the loss saves small gradients from becoming 0 in float16; bfloat16 seldom needs it. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "mean_of_means",
        "backward_replaces",
        "saves_activations",
        "more_negatives",
        "batch_norm_differs",
        "clip_each",
        "four_small_steps",
        "scaling_for_fp16",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Each sample of the small one would count twice as much as the others. Weights 4/10, 4/10 and 2/10 are right.
    mean_of_means=False,
    # It adds to `.grad`. That is why accumulation works, and why a loop has to clear.
    backward_replaces=False,
    # Activations live from a forward pass to its backward pass; the rest is there all the time, whatever the batch.
    saves_activations=True,
    # A text meets the 63 other images of its own micro-batch; the others are no longer there (Gao et al., 2021).
    more_negatives=False,
    # The statistics are computed in the forward pass, which sees one micro-batch. Normalised values and loss differ.
    batch_norm_differs=True,
    # Clipped to 1 each, two gradients of length 3 in the same direction add up to 2, twice the limit; and a short one
    # weighs more against a clipped long one than it should.
    clip_each=False,
    # Each of them takes its gradient at weights that the steps before have moved; accumulation takes all at one point.
    four_small_steps=False,
    # 1e-8 is 0 in float16. Multiplying the loss first, and dividing the gradients later, keeps it (Micikevicius et al.,
    # 2018); bfloat16 has as many bits for the exponent as float32 and reaches as far down, with fewer digits.
    scaling_for_fp16=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write
#
# ```python
# accumulated_step(model, micro_batches, loss_fn, optimizer, *, max_grad_norm=None, ignore_index=None)  # -> dict
# ```
#
# | argument | meaning |
# |---|---|
# | `model` | an `nn.Module`, called as `model(inputs)` |
# | `micro_batches` | list or tuple of pairs of tensors `(inputs, targets)`, samples along the first dimension |
# | `loss_fn` | `loss_fn(output, targets)` is a tensor without dimensions: a **mean**, over the samples of this pair |
# | `optimizer` | a `torch.optim` optimiser of all trainable parameters, and perhaps of frozen ones too |
# | `max_grad_norm` | longest gradient allowed, or `None` for no limit; `math.inf` is allowed and no limit either |
# | `ignore_index` | `None`, or an `int`: then the mean of `loss_fn` is over **valid** targets, those other than this |
#
# The call makes **one** step, the step of the mean loss over everything: over all samples, or with `ignore_index` over
# all valid targets, each counting the same wherever it lies. Micro-batches may have different sizes.
#
# With `ignore_index` (often -100), targets may have any shape, such as `(batch, length)`, as in a language model whose
# prompt and padding are not learned from. A micro-batch without any valid target has no part in the step: over no
# targets `loss_fn` would be 0/0, which is NaN.
#
# | key | type | value |
# |---|---|---|
# | `"loss"` | `float` | that mean loss, before the step |
# | `"grad_norm"` | `float` | length of the gradients of all trainable parameters as one vector, **before** clipping |
# | `"skipped"` | `bool` | whether the step was left out because `grad_norm` is NaN or infinite |
# | `"count"` | `int` | how many samples, or with `ignore_index` how many valid targets |
#
# Rules:
#
# - No gradient from before counts. At the start the `.grad` of every parameter of the model, frozen ones included,
#   becomes `None`: with zeros in its place, an optimiser with weight decay would move a parameter that has no part in
#   the loss. A frozen parameter (`requires_grad=False`) is not changed.
# - The model is called once for each micro-batch, and the backward pass of one comes before the forward pass of the
#   next: only then is one of them in memory at a time. (One without a valid target may be left out or not.)
# - If the gradient of everything is longer than `max_grad_norm`, all of it is scaled to that length, once.
# - If `grad_norm` is NaN or infinite, `optimizer.step()` is not called, and afterwards each `.grad` is `None` or zero.
#   `loss` is then whatever came out. Otherwise `optimizer.step()` is called once, and the gradients it used stay in
#   `.grad`. The loss plays no part in this decision: an infinite loss can have a finite gradient, and the other way
#   round.
# - Which modules are in training mode stays as it is.
# - `ValueError`, before the model is called and before anything is changed: no micro-batch at all; one without samples
#   (inputs and targets have the length 0); `ignore_index` is given and no target is valid; `max_grad_norm` is zero,
#   negative or NaN; the model has no trainable parameter.
#
# Nothing is forbidden; `torch.nn.utils.clip_grad_norm_` is welcome. The numbers of the dictionary are Python numbers:
# a loss tensor would keep the graph of its micro-batch in memory for as long as somebody keeps the dictionary.
#
# **Worked example.** The model is a single weight w = 1 without bias, the loss is the mean of (w·x)², and SGD has the
# rate 0.1. The micro-batches are x = (1, 1, 1) and x = (3); their means are 1 and 9, with the gradients 2 and 18.
#
# | | loss | gradient | w afterwards |
# |---|---|---|---|
# | one batch of four | (1 + 1 + 1 + 9) / 4 = 3 | 24 / 4 = 6 | 1 - 0.1 · 6 = **0.4** |
# | two micro-batches, weighted | 3/4 · 1 + 1/4 · 9 = 3 | 3/4 · 2 + 1/4 · 18 = 6 | **0.4** |
# | two micro-batches, averaged | (1 + 9) / 2 = 5 | (2 + 18) / 2 = 10 | 0.0 |
#
# With `max_grad_norm=3` the step uses 3 in place of 6: w becomes 0.7, and `grad_norm` is reported as 6.


# %% tags=["solution"]
def accumulated_step(
    model: nn.Module,
    micro_batches: Sequence[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float | None = None,
    ignore_index: int | None = None,
) -> dict[str, float | bool | int]:
    """One optimiser step on the mean loss over all micro-batches together, with one of them in memory at a time.

    micro_batches: pairs (inputs, targets) with samples along the first dimension.
    loss_fn: mean loss over the samples of a pair; with ignore_index, over its targets other than ignore_index.

    Returns a dict: loss (float), grad_norm (float, global and before clipping), skipped (bool: grad_norm is not finite,
    no step was made, gradients are cleared) and count (int: samples, or valid targets).
    Raises ValueError, before anything is changed, for: no micro-batch, one without samples, no valid target,
    max_grad_norm not above 0, no trainable parameter.

    Source: steps with non-finite gradients are left out as in Micikevicius et al. 2018.
    """
    ### BEGIN SOLUTION
    if max_grad_norm is not None and not max_grad_norm > 0:
        raise ValueError(f"max_grad_norm must be above 0, not {max_grad_norm}")
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("the model has no trainable parameter")
    if not micro_batches or any(len(inputs) == 0 for inputs, _ in micro_batches):
        raise ValueError("there must be micro-batches, each with at least one sample")

    # how many terms the mean of each micro-batch has
    if ignore_index is None:
        counts = [len(targets) for _, targets in micro_batches]
    else:
        counts = [int((targets != ignore_index).sum()) for _, targets in micro_batches]
    total = sum(counts)
    if total == 0:
        raise ValueError(f"every target is {ignore_index}: there is nothing to learn from")

    model.zero_grad(set_to_none=True)  # the model's, not the optimiser's: frozen parameters may have an old gradient
    loss = 0.0
    for (inputs, targets), count in zip(micro_batches, counts, strict=True):
        if count == 0:
            continue  # its mean is 0/0
        # part of the mean over everything = mean of the micro-batch, times its share of all terms
        part = loss_fn(model(inputs), targets) * (count / total)
        part.backward()  # adds to .grad, and frees the activations
        loss += part.item()

    # norm of all gradients as one vector; with an infinite limit it is measured and nothing is scaled
    limit = math.inf if max_grad_norm is None else max_grad_norm
    grad_norm = nn.utils.clip_grad_norm_(trainable, limit).item()
    skipped = not math.isfinite(grad_norm)
    if skipped:
        model.zero_grad()
    else:
        optimizer.step()
    return {"loss": loss, "grad_norm": grad_norm, "skipped": skipped, "count": total}
    ### END SOLUTION


# %% [markdown]
# **Try it.** Five samples, cut into three and two.

# %% tags=["visible-checks", "active-ipynb"]
# def one_weight():
#     model = nn.Linear(1, 1, bias=False)
#     nn.init.constant_(model.weight, 2.0)
#     return model, torch.optim.SGD(model.parameters(), lr=0.25)
#
#
# x = torch.tensor([[1.0], [0.0], [1.0], [2.0], [2.0]])
# cut = [(x[:3], torch.zeros(3, 1)), (x[3:], torch.zeros(2, 1))]
# model, optimizer = one_weight()
# report = accumulated_step(model, cut, nn.functional.mse_loss, optimizer)
# # mean of (2x)^2 over the five: (4 + 0 + 4 + 16 + 16) / 5 = 8; its gradient is 8 too
# assert abs(report["loss"] - 8.0) < 1e-5, f"the loss is {report['loss']}; the mean over the five samples is 8"
# assert abs(report["grad_norm"] - 8.0) < 1e-5, f"the norm is {report['grad_norm']}; it should be 8"
# assert report["skipped"] is False and report["count"] == 5, report
# assert abs(model.weight.item() - 0.0) < 1e-5, f"the weight is {model.weight.item()}; it should be 2 - 0.25 * 8 = 0"
#
# model, optimizer = one_weight()
# report = accumulated_step(model, cut, nn.functional.mse_loss, optimizer, max_grad_norm=4.0)
# assert abs(report["grad_norm"] - 8.0) < 1e-5, f"the norm is {report['grad_norm']}; it is that before clipping, 8"
# assert abs(model.weight.item() - 1.0) < 1e-5, f"the weight is {model.weight.item()}; it should be 2 - 0.25 * 4 = 1"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Cut ten samples into 10, into 4 + 4 + 2, into 2 + 4 + 4 and into ten times one. The parameters after the step, and
# every number you return, should agree. Which of your lines know how large a micro-batch is?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A mean over everything is a sum of the parts' means, each times its share of all terms. The gradient is linear in the
# loss, so the same weights apply to gradients, and PyTorch adds up for you. What is *not* linear, such as the norm and
# the clipping, has to wait until the sum is complete.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Count the terms of each micro-batch and of all. Clear. Go through the micro-batches one by one,
# and finish each before the next begins. Only then look at the gradient as a whole, and decide between two endings.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# loss_fn(output, targets) * (count / total)  # what is special about a count of 0?
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Paulius Micikevicius, Sharan Narang, Jonah Alben, et al. (2018). *Mixed Precision Training.* ICLR 2018.
#
# The works behind the model answer are listed there, in the solution: their titles would answer the question.
