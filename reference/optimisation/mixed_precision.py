# %% [markdown]
# # Mixed precision and loss scaling
#
# Half precision makes training faster and activations half as large, and float16 has a trap: numbers below about 3e-8
# become 0 and numbers above 65504 become infinite. Gradients of a large model live dangerously near the lower end, and
# what is rounded to 0 is not learned. Loss scaling moves them up before the backward pass and down again before the
# step; done in the wrong order, it shortens every step by the factor 65536, or trains on infinities.
#
# Here you answer the interview question about scarce resources, judge eight claims, and write the scaler. Plan about
# 45 minutes: 12 for the answer, 5 for the claims, 28 for the code.

# %%
import math

import torch
from torch import Tensor, nn

# %% [markdown]
# ## The question
#
# *"You want to fine-tune a large multimodal model. Which resources run out first, and what helps against each
# shortage?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *where the memory goes*: what has to be stored for each trained parameter, with bytes, and what comes on top;
# - *activations*: what gradient accumulation and checkpointing save, what they cost, and where accumulation is no
#   substitute for a large batch;
# - *precision*: what mixed precision saves and what not, and the difference between float16 and bfloat16;
# - *fewer bytes on each device*: how a model is spread over devices, and what freezing most of it changes.

# %% [markdown] tags=["answer"]
# **Model answer.** "Memory usually runs out first. Training holds weights, gradients, optimiser state and activations,
# and generation adds a cache of keys and values. With Adam in mixed precision that is 16 bytes for each trained
# parameter: 2 for the half-precision weight, 2 for its gradient, 4 for a float32 master copy and 8 for the two float32
# averages (Rajbhandari et al. 2020). Seven billion parameters are then over 110 GB before a single activation.
#
# Activations grow with batch and sequence length. Gradient accumulation makes the batch of each pass smaller and so
# saves activations only; weights and optimiser state stay as they are. Checkpointing stores some activations and
# computes the others again in the backward pass, about one more forward pass (Chen et al. 2016). Attention that is
# computed block by block never stores its matrix of weights (Dao et al. 2022). For a contrastive loss accumulation is
# no substitute: each micro-batch sees its own negatives only. There one caches embedding gradients (GradCache, Gao et
# al. 2021), gathers features over devices, or uses a pairwise sigmoid loss (Zhai et al. 2023).
#
# Mixed precision halves activations and speeds up matrix products; it does not halve the optimiser's memory, since the
# master weights and averages stay in float32. Float16 needs loss scaling: multiply the loss, divide the gradients
# before clipping and stepping, skip a step whose gradients overflow (Micikevicius et al. 2018). Bfloat16 has about the
# range of float32 and needs no scaling, but only 8 bits of precision, so small updates still need a float32 copy.
#
# If one device is not enough, ZeRO or FSDP shard optimiser state, gradients and weights over data-parallel devices;
# tensor parallelism splits layers (Shoeybi et al. 2019), pipeline parallelism splits the depth (Huang et al. 2019), and
# context parallelism splits the sequence. Often it is cheaper to train less: LoRA freezes the base, which then needs no
# gradients and no state, and QLoRA keeps it in 4 bits (Dettmers et al. 2023). Compute and data loading run out as well,
# so I profile before I choose."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, where the memory goes: weights, gradients, optimiser state, activations, with 16 bytes a parameter for Adam
#   in mixed precision, or a count that comes to the like.
# - 1 point, activations: accumulation saves activations and not weights or state; checkpointing trades compute for
#   memory; accumulation does not enlarge the set of negatives in a contrastive loss.
# - 1 point, precision: what is saved and that float32 copies remain; float16 needs loss scaling because of its range,
#   bfloat16 does not.
# - 1 point, fewer bytes on each device: at least two of sharding (ZeRO, FSDP), tensor and pipeline parallelism told
#   apart, or one of them and the saving of gradients and state by LoRA or QLoRA.
#
# An answer that only names "accumulation, mixed precision, model parallelism" earns at most half a point.
#
# **References of the model answer**
#
# - Tianqi Chen, Bing Xu, Chiyuan Zhang, Carlos Guestrin (2016). *Training Deep Nets with Sublinear Memory Cost.*
# - Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré (2022). *FlashAttention: Fast and Memory-Efficient
#   Exact Attention with IO-Awareness.*
# - Tim Dettmers, Artidoro Pagnoni, Ari Holtzman, Luke Zettlemoyer (2023). *QLoRA: Efficient Finetuning of Quantized
#   LLMs.*
# - Luyu Gao, Yunyi Zhang, Jiawei Han, Jamie Callan (2021). *Scaling Deep Contrastive Learning Batch Size under Memory
#   Limited Setup.*
# - Yanping Huang, Youlong Cheng, Ankur Bapna, et al. (2019). *GPipe: Efficient Training of Giant Neural Networks using
#   Pipeline Parallelism.*
# - Mohammad Shoeybi, Mostofa Patwary, Raul Puri, et al. (2019). *Megatron-LM: Training Multi-Billion Parameter Language
#   Models Using Model Parallelism.*
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023). *Sigmoid Loss for Language Image
#   Pre-Training.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of the wrong ones are often published as advice. fp16 and fp32 are float16
# and float32; LoRA trains small added matrices beside frozen weights (`transfer/lora`). All of them must be right for
# the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `small_steps_add_up` | Adding 0.001 to a bfloat16 weight of 1, a thousand times one by one, leads to about 2. |
# | `scaling_saves_activations` | Loss scaling also saves activations that are too small for float16 from becoming 0. |
# | `autocast_shrinks_adam` | `torch.autocast` with float32 parameters halves the memory for Adam's state. |
# | `bfloat16_range` | 1e-8 and 70000 can both be converted to bfloat16 without becoming 0 or infinite. |
# | `overflow_is_clamped` | After an overflow, dynamic loss scaling steps with the largest finite gradient instead. |
# | `sixteen_bytes` | fp16 weights and gradients, an fp32 copy and Adam's two fp32 averages: 16 bytes a parameter. |
# | `frozen_base` | Frozen base weights under LoRA need neither gradients nor optimiser state. |
# | `checkpointing_recomputes` | Activation checkpointing computes some activations twice in order to store fewer. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "small_steps_add_up",
        "scaling_saves_activations",
        "autocast_shrinks_adam",
        "bfloat16_range",
        "overflow_is_clamped",
        "sixteen_bytes",
        "frozen_base",
        "checkpointing_recomputes",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Above 1 the numbers of bfloat16 are 1/128 apart, so each sum is rounded back to 1: hence the float32 copy.
    small_steps_add_up=False,
    # They are computed before the loss, and their size does not depend on its factor; only the backward pass does.
    scaling_saves_activations=False,
    # Autocast runs operations in half precision; parameters, and the averages shaped after them, stay in float32.
    autocast_shrinks_adam=False,
    # It has the 8 exponent bits of float32. In float16 the first becomes 0 and the second infinite.
    bfloat16_range=True,
    # The step is skipped, the scale goes down, and the next batch is tried; a clamped gradient would be made up.
    overflow_is_clamped=False,
    # 2 + 2 + 4 + 4 + 4, without activations (Rajbhandari et al. 2020).
    sixteen_bytes=True,
    # Nothing is stepped there, so there is nothing to keep; the weights themselves remain, and can be in 4 bits.
    frozen_base=True,
    # What was not stored is computed again when the backward pass needs it (Chen et al. 2016).
    checkpointing_recomputes=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** multiply the loss so that small gradients survive in half precision, divide them again before anybody
# looks at their size, and let overflows tell you when the factor is too large.
#
# ### `LossScaler(init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000)`
#
# One scaler serves one optimiser, and one iteration is `scale`, backward, perhaps `unscale_`, `step`, `update`.
#
# - `get_scale()`: the present scale, a float.
# - `scale(loss)`: the loss times the scale, still connected to its graph. The loss is a float32 scalar.
# - `unscale_(optimizer)`: divides every gradient of the optimiser's parameters (all groups) by the scale, in place.
#   Parameters with `.grad` `None` are left out. Parameters and gradients are float32.
# - `step(optimizer)`: unscales first if `unscale_` was not called in this iteration. If every gradient is finite it
#   calls the optimiser's `step()` and returns `True`. If there is an infinity or a NaN in any of them the optimiser is
#   not called at all, so that neither parameters nor state change, and it returns `False`. (No gradient at all counts
#   as finite.)
# - `update()`: ends the iteration. After a skipped step the scale is multiplied by `backoff_factor`, and the count of
#   good steps starts again at 0. After a good step the count goes up by one, and when it reaches `growth_interval` the
#   scale is multiplied by `growth_factor` and the count starts again at 0.
# - `RuntimeError`: a second `unscale_` or a second `step` before the next `update`, `unscale_` after `step`, and
#   `update` without a `step` since the last one.
# - `ValueError` in the constructor: `init_scale` not positive and finite, `growth_factor` not above 1, `backoff_factor`
#   not strictly between 0 and 1, `growth_interval` below 1; NaN is refused everywhere.
#
# ### `amp_step(loss, model, optimizer, scaler, max_norm)`
#
# One iteration with clipping: clears the old gradients, makes those of the scaled loss, clips the *unscaled* gradients
# of `model.parameters()` so that the norm of all of them together is at most `max_norm`, steps, updates the scaler, and
# returns what the scaler's `step` returned. It uses only the methods above, so that it works with any scaler that has
# them. `ValueError` if `max_norm` is not above 0, or NaN. `torch.nn.utils.clip_grad_norm_` may be used; an accuracy of
# 1e-4 is enough for the clipped norm.
#
# ### `master_update(param, master, grad, lr)`
#
# One step of plain gradient descent with a master copy. `param` and `grad` are float16 or bfloat16, `master` is the
# same parameter in float32, and `grad` is already unscaled. Returns `(new_param, new_master)`: the master copy after
# the step, computed in float32 throughout, and the parameter as the master copy rounded to the dtype of `param`. The
# arguments stay as they are. `ValueError` if the three shapes differ, or if `lr` is negative or NaN.
#
# Not allowed: `torch.amp.GradScaler` under any of its names.
#
# ### Worked example
#
# `init_scale` 8, `growth_interval` 2, plain SGD with rate 0.1, a weight of 1 and the gradients 1, inf, 1, 1, 1:
#
# | gradient | 1 | inf | 1 | 1 | 1 |
# |---|---|---|---|---|---|
# | `step` returns | `True` | `False` | `True` | `True` | `True` |
# | weight afterwards | 0.9 | 0.9 | 0.8 | 0.7 | 0.6 |
# | scale after `update` | 8 | 4 | 4 | 8 | 8 |
#
# The overflow ends the run of good steps, so two more are needed before the scale grows.


# %% tags=["solution"]
class LossScaler:
    """Dynamic loss scaling for training in float16 (Micikevicius et al. 2018).

    Args:
        init_scale: the first scale, positive and finite.
        growth_factor: multiplies the scale after `growth_interval` good steps in a row, above 1.
        backoff_factor: multiplies the scale after an overflow, strictly between 0 and 1.
        growth_interval: good steps in a row before the scale grows, at least 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        ### BEGIN SOLUTION
        # each range written so that NaN is refused too
        if not 0 < init_scale < math.inf:
            raise ValueError(f"init_scale must be positive and finite, not {init_scale}")
        if not growth_factor > 1:
            raise ValueError(f"growth_factor must be above 1, not {growth_factor}")
        if not 0 < backoff_factor < 1:
            raise ValueError(f"backoff_factor must be between 0 and 1, not {backoff_factor}")
        if not growth_interval >= 1:
            raise ValueError(f"growth_interval must be at least 1, not {growth_interval}")
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._good_steps = 0  # in a row
        self._unscaled = self._stepped = self._overflow = False  # in this iteration
        ### END SOLUTION

    def get_scale(self) -> float:
        """The present scale."""
        ### BEGIN SOLUTION
        return self._scale
        ### END SOLUTION

    def scale(self, loss: Tensor) -> Tensor:
        """The loss (a float32 scalar) times the scale, connected to its graph."""
        ### BEGIN SOLUTION
        return loss * self._scale
        ### END SOLUTION

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide all gradients of the optimiser by the scale, in place.

        Raises RuntimeError a second time before `update`, and after `step`.
        """
        ### BEGIN SOLUTION
        if self._unscaled:
            raise RuntimeError("the gradients have already been unscaled since the last update")
        self._unscaled = True
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(self._scale)
                    if not parameter.grad.isfinite().all():
                        self._overflow = True
        ### END SOLUTION

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Unscale if that was not done, and step unless a gradient is infinite or NaN. Whether there was a step.

        Raises RuntimeError a second time before `update`.
        """
        ### BEGIN SOLUTION
        if self._stepped:
            raise RuntimeError("step has already been called since the last update")
        if not self._unscaled:
            self.unscale_(optimizer)
        self._stepped = True
        if self._overflow:
            return False
        optimizer.step()
        return True
        ### END SOLUTION

    def update(self) -> None:
        """End the iteration: a smaller scale after an overflow, a larger one after enough good steps in a row.

        Raises RuntimeError without a `step` since the last `update`.
        """
        ### BEGIN SOLUTION
        if not self._stepped:
            raise RuntimeError("update belongs after step")
        if self._overflow:
            self._scale *= self._backoff_factor
            self._good_steps = 0
        else:
            self._good_steps += 1
            if self._good_steps == self._growth_interval:
                self._scale *= self._growth_factor
                self._good_steps = 0
        self._unscaled = self._stepped = self._overflow = False
        ### END SOLUTION


# %% tags=["solution"]
def amp_step(
    loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: LossScaler, max_norm: float
) -> bool:
    """One training iteration with loss scaling and clipping by the global norm.

    Args:
        loss: float32 scalar with its graph.
        model: its parameters are clipped.
        optimizer: holds these parameters.
        scaler: a LossScaler, or anything with its methods.
        max_norm: largest norm of all unscaled gradients together, above 0.

    Returns:
        What `scaler.step` returned: whether the optimiser stepped.

    Raises:
        ValueError: `max_norm` is not above 0.
    """
    ### BEGIN SOLUTION
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, not {max_norm}")
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)  # before clipping: max_norm is meant for gradients of their true size
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    stepped = scaler.step(optimizer)
    scaler.update()
    return stepped
    ### END SOLUTION


# %% tags=["solution"]
def master_update(param: Tensor, master: Tensor, grad: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """One step of gradient descent on a float32 copy of a half-precision parameter (Micikevicius et al. 2018).

    Args:
        param: the parameter, float16 or bfloat16.
        master: its copy, float32, of the same shape.
        grad: unscaled gradient, float16 or bfloat16, of the same shape.
        lr: learning rate, at least 0.

    Returns:
        The new parameter in the dtype of `param`, and the new copy in float32. The arguments are not changed.

    Raises:
        ValueError: shapes differ, or `lr` is negative or NaN.
    """
    ### BEGIN SOLUTION
    if not param.shape == master.shape == grad.shape:
        raise ValueError(f"shapes differ: {tuple(param.shape)}, {tuple(master.shape)}, {tuple(grad.shape)}")
    if not lr >= 0:
        raise ValueError(f"lr must be at least 0, not {lr}")
    # float32 before the product: in float16 lr · grad may be rounded to 0 already
    new_master = master - lr * grad.float()
    return new_master.to(param.dtype), new_master
    ### END SOLUTION


# %% [markdown]
# **Try it.** The second part goes through float16: with the scale 65536 the gradient of 3 overflows, so two steps are
# skipped until 16384 · 3 fits.

# %% tags=["visible-checks", "active-ipynb"]
# weight = nn.Parameter(torch.tensor([2.0]))
# optimizer = torch.optim.SGD([weight], lr=0.5)
# scaler = LossScaler(init_scale=4.0, growth_interval=2)
# history = []
# for slope in (1.0, 0.5, 2.0, float("nan"), 1.0):
#     optimizer.zero_grad()
#     scaler.scale((slope * weight).sum()).backward()
#     stepped = scaler.step(optimizer)
#     scaler.update()
#     history.append((stepped, weight.item(), scaler.get_scale()))
# expected = [(True, 1.5, 4.0), (True, 1.25, 8.0), (True, 0.25, 8.0), (False, 0.25, 4.0), (True, -0.25, 4.0)]
# assert history == expected, history
#
# layer = nn.Linear(1, 1, bias=False)
# nn.init.ones_(layer.weight)
# optimizer, scaler = torch.optim.SGD(layer.parameters(), lr=1.0), LossScaler()
# steps = []
# for _ in range(3):
#     loss = (layer.weight.half() * 3).float().sum()
#     steps.append(amp_step(loss, layer, optimizer, scaler, max_norm=1.0))
# assert steps == [False, False, True] and scaler.get_scale() == 16384.0, (steps, scaler.get_scale())
# assert abs(layer.weight.item()) < 1e-3, layer.weight  # 1 minus a gradient of 3 that was clipped to 1
#
# param, master = master_update(torch.ones(1).half(), torch.ones(1), torch.full((1,), 0.01).half(), lr=0.01)
# assert param.dtype == torch.float16 and param.item() == 1.0, param
# assert master.dtype == torch.float32 and 0.99989 < master.item() < 0.99991, master

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A loss is multiplied by 1024, and `max_norm` is 1. How long is the step if you clip first and divide afterwards? And
# if one of a million gradients is infinite, which of the other parameters may move?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The scaler is a small machine with two memories. One lasts for an iteration: were the gradients unscaled, was an
# overflow seen, was there a step? The other lasts: the scale, and the number of good steps in a row. Every method asks
# or changes one of these, and `update` wipes the first.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Unscale: refuse a second time; for all groups and parameters with a gradient, divide in place and note whether it is
# finite. Step: refuse a second time; unscale if needed; call the optimiser or not. Update: refuse without a step; after
# an overflow shrink and set the count to 0, else count, and grow when the count is full; wipe. For the master copy:
# convert the gradient, then multiply, then subtract, then round.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# finite = all(p.grad.isfinite().all() for g in optimizer.param_groups for p in g["params"] if p.grad is not None)
# ```
#
# </details>
#
# ## References
#
# - Paulius Micikevicius, Sharan Narang, Jonah Alben, et al. (2018). *Mixed Precision Training.*
# - Samyam Rajbhandari, Jeff Rasley, Olatunji Ruwase, Yuxiong He (2020). *ZeRO: Memory optimizations Toward Training
#   Trillion Parameter Models.*
