# %% [markdown]
# # The memory of a fine-tuning run
#
# "Does it fit on our card?" comes before every other question about fine-tuning, and it can be answered on paper. The
# usual mistake is to count the weights alone: a model of 14 GB then seems to fit on a card of 24 GB, although training
# all of it with Adam takes eight times as much. Once you know what each parameter costs, and which parameters cost it,
# you also know what adapters, 4-bit weights and sharding save, and what they do not.
#
# ## Your task (about 40 minutes)
#
# **What Adam keeps**, in bytes for each parameter:
#
# | `precision` | weight | gradient | optimiser |
# |---|---|---|---|
# | `"fp32"` | 4 | 4 | 8: two moments of 4 |
# | `"mixed"` | 2 | 2 | 12: two moments of 4, and a float32 master copy of the weight |
#
# A frozen parameter has a weight and nothing else. Activations, temporary buffers and the step counters of the
# optimiser are left out: what you compute is the floor, and the activations come on top.
#
# **`training_bytes(total, trainable, precision, zero_stage=0, world=1, base_bytes=None)`** returns a dictionary with
# the keys `weights`, `grads`, `optimizer` and `total` (their sum), in bytes **on each device**.
#
# - Of `total` parameters, `trainable` are trained and the others are frozen.
# - `base_bytes`, an int, float or `Fraction`, is the number of bytes of each *frozen* weight; `None` stands for that of
#   the table. 4-bit weights have 0.5. The frozen weights together take a whole number of bytes, rounded up.
# - ZeRO shares the work of `world` devices so that each keeps a part only: stage 1 shards the optimiser, stage 2 the
#   gradients too, stage 3 the weights too (frozen ones included). Each shard is rounded up to whole bytes. Whatever is
#   not sharded is kept in full by every device; in stage 0 that is everything.
#
# **`max_trainable(total, budget, precision, zero_stage=0, world=1, base_bytes=None)`** returns the largest number of
# trainable parameters, 0 to `total`, whose `training_bytes` come to at most `budget` bytes on each device, and −1 where
# not even the frozen model fits. Sizes of 10¹⁰ parameters should take well under a second.
#
# **`training_memory_bytes(n_params, method, n_trainable=0, block=64, double_quant=True)`** compares three methods in
# mixed precision. Here the `n_trainable` adapter parameters come **on top** of the `n_params` of the base model.
#
# | `method` | bytes |
# |---|---|
# | `"full"` | 16 for each parameter; all further arguments are ignored |
# | `"lora"` | 2 for each of the base, 16 for each of the adapter |
# | `"qlora"` | 4 + c bits for each of the base, the whole base rounded up to bytes; 16 bytes for each of the adapter |
#
# A block of `block` weights shares one constant of 32 bits: c = 32 / `block` bits for each weight. With `double_quant`
# these constants are quantised themselves, to 8 bits, with one 32-bit constant for 256 of them:
# c = 8 / `block` + 32 / (256 · `block`).
#
# The two ways of counting meet: `training_memory_bytes(n, "lora", t)` equals the total of
# `training_bytes(n + t, t, "mixed")`.
#
# **`training_flops(n_params, n_tokens, frozen_base)`** returns the floating-point operations of one pass of training
# over `n_tokens` tokens. Each parameter and token costs 2 in the forward pass, 2 for the gradients of the activations
# and 2 for the gradient of the weight itself; a frozen base has no need of the last two. (What small adapters add is
# left out.)
#
# **For all of them**
#
# - Every result is exact and a Python `int`, or a dictionary of them, also for 10¹² parameters. A float has 53 bits.
# - `TypeError` where `total`, `trainable`, `world`, `budget`, `n_params`, `n_trainable`, `n_tokens` or `block` is not
#   an integer: a float such as `7e9`, or a text. (Booleans and NumPy integers may be accepted or refused.)
# - `ValueError`: `total`, `n_params`, `n_tokens`, `world`, or a `block` that is used, below 1; `trainable` below 0 or
#   above `total`; `budget` below 0; `zero_stage` other than 0, 1, 2, 3; an unknown `precision` or `method`;
#   `base_bytes` below 0, above the bytes of a weight in the table, or NaN; for `"lora"` and `"qlora"`, `n_trainable`
#   below 1 or above `n_params`.
# - Not allowed: torch, TensorFlow and Keras. None of it is needed.
#
# ## Worked example
#
# A model of 7 billion parameters, in units of 10⁹ bytes (GB):
#
# | | weights | grads | optimizer | total |
# |---|---|---|---|---|
# | everything trained, mixed precision | 14 | 14 | 84 | 112 |
# | everything trained, float32 | 28 | 28 | 56 | 112 |
# | mixed, ZeRO stage 1 on 8 devices | 14 | 14 | 10.5 | 38.5 |
# | mixed, ZeRO stage 3 on 8 devices | 1.75 | 1.75 | 10.5 | 14 |
# | LoRA with 20 million parameters | 14.04 | 0.04 | 0.24 | 14.32 |
# | QLoRA with the same adapter, double quantisation | 3.65 | 0.04 | 0.24 | 3.93 |
#
# Mixed precision alone saves nothing here; its gains are speed and smaller activations. And with LoRA nearly all that
# is left is the frozen base, which is why the next saving has to come from its weights.

# %%
from fractions import Fraction
from math import ceil
from operator import index

# %% [markdown]
# ## Part 1: count the bytes


# %% tags=["solution"]
def training_bytes(
    total: int,
    trainable: int,
    precision: str,
    zero_stage: int = 0,
    world: int = 1,
    base_bytes: int | float | Fraction | None = None,
) -> dict[str, int]:
    """Bytes on each device when training with Adam, without activations (Rajbhandari et al. 2020).

    total parameters, of which trainable are trained; precision "fp32" or "mixed"; ZeRO stage 0 to 3 on world devices;
    base_bytes for each frozen weight. Returns ints under "weights", "grads", "optimizer" and "total".
    Raises TypeError for numbers that are not integers, ValueError for values out of range.
    """
    ### BEGIN SOLUTION
    total, trainable, world = index(total), index(trainable), index(world)  # TypeError for floats
    if total < 1 or not 0 <= trainable <= total or world < 1:
        raise ValueError(f"impossible sizes: {trainable} of {total} parameters trained on {world} devices")
    if precision not in ("fp32", "mixed"):
        raise ValueError(f"precision must be 'fp32' or 'mixed', not {precision!r}")
    if zero_stage not in (0, 1, 2, 3):
        raise ValueError(f"zero_stage must be 0, 1, 2 or 3, not {zero_stage!r}")

    # bytes of a weight, a gradient and the optimiser's numbers; "mixed" counts the float32 master copy with the last
    weight_bytes, grad_bytes, optimizer_bytes = (4, 4, 4 + 4) if precision == "fp32" else (2, 2, 4 + 4 + 4)
    if base_bytes is None:
        base_bytes = weight_bytes
    if not 0 <= base_bytes <= weight_bytes:
        raise ValueError(f"base_bytes must be in 0 ... {weight_bytes}, not {base_bytes}")

    # every parameter has a weight; only the trainable ones have a gradient and a part in the optimiser
    weights = ceil(Fraction(base_bytes) * (total - trainable)) + weight_bytes * trainable
    grads = grad_bytes * trainable
    optimizer = optimizer_bytes * trainable

    # each stage of ZeRO shards one thing more; -(-a // b) is a / b, rounded up
    if zero_stage >= 1:
        optimizer = -(-optimizer // world)
    if zero_stage >= 2:
        grads = -(-grads // world)
    if zero_stage >= 3:
        weights = -(-weights // world)
    return {"weights": weights, "grads": grads, "optimizer": optimizer, "total": weights + grads + optimizer}
    ### END SOLUTION


def max_trainable(
    total: int,
    budget: int,
    precision: str,
    zero_stage: int = 0,
    world: int = 1,
    base_bytes: int | float | Fraction | None = None,
) -> int:
    """Largest number of trainable parameters whose training_bytes fit into budget; -1 if the frozen model does not.

    Arguments and errors as those of training_bytes; a negative budget raises ValueError, too.
    """
    ### BEGIN SOLUTION
    from bisect import bisect_right

    budget = index(budget)
    if budget < 0:
        raise ValueError(f"budget must not be negative, it is {budget}")

    def needed(trainable: int) -> int:
        return training_bytes(total, trainable, precision, zero_stage, world, base_bytes)["total"]

    if needed(0) > budget:
        return -1
    # training one more parameter never takes less, so that bisection finds the last number that fits
    return bisect_right(range(total + 1), budget, key=needed) - 1
    ### END SOLUTION


# %% [markdown]
# ## Part 2: compare methods


# %% tags=["solution"]
def training_memory_bytes(
    n_params: int, method: str, n_trainable: int = 0, block: int = 64, double_quant: bool = True
) -> int:
    """Bytes of full fine-tuning, LoRA (Hu et al. 2022) or QLoRA (Dettmers et al. 2023), without activations.

    method "full", "lora" or "qlora"; the n_trainable adapter parameters come on top of n_params.
    Raises TypeError for numbers that are not integers, ValueError for values out of range.
    """
    ### BEGIN SOLUTION
    n_params = index(n_params)
    if n_params < 1:
        raise ValueError(f"n_params must be at least 1, not {n_params}")
    if method not in ("full", "lora", "qlora"):
        raise ValueError(f"method must be 'full', 'lora' or 'qlora', not {method!r}")
    if method == "full":
        return 16 * n_params
    n_trainable, block = index(n_trainable), index(block)
    if not 1 <= n_trainable <= n_params or block < 1:
        raise ValueError(f"impossible sizes: {n_trainable} adapter parameters for {n_params}, blocks of {block}")
    if method == "lora":
        return 2 * n_params + 16 * n_trainable

    # bits of a 4-bit weight with its share of the constants of its block, as an exact fraction
    constants = Fraction(8, block) + Fraction(32, 256 * block) if double_quant else Fraction(32, block)
    return ceil(n_params * (4 + constants) / 8) + 16 * n_trainable
    ### END SOLUTION


def training_flops(n_params: int, n_tokens: int, frozen_base: bool) -> int:
    """Floating-point operations of one pass of training over n_tokens tokens (Kaplan et al. 2020).

    6 for each parameter and token, 4 with a frozen base. Raises TypeError for numbers that are not integers, ValueError
    below 1.
    """
    ### BEGIN SOLUTION
    n_params, n_tokens = index(n_params), index(n_tokens)
    if n_params < 1 or n_tokens < 1:
        raise ValueError(f"n_params and n_tokens must be at least 1, not {n_params} and {n_tokens}")
    # forward 2, gradients of the activations 2, gradients of the weights 2, which a frozen base does not need
    return (4 if frozen_base else 6) * n_params * n_tokens
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Small odd numbers, so that every rounding and every factor shows.

# %% tags=["visible-checks", "active-ipynb"]
# assert training_bytes(1000, 100, "mixed") == {"weights": 2000, "grads": 200, "optimizer": 1200, "total": 3400}
# assert training_bytes(1001, 100, "fp32", zero_stage=2, world=3, base_bytes=0.5) == {
#     "weights": 851,  # 100 · 4 + 450.5, rounded up
#     "grads": 134,
#     "optimizer": 267,
#     "total": 1252,
# }
# assert max_trainable(1000, 3400, "mixed") == 100 and max_trainable(1000, 3399, "mixed") == 99
# assert max_trainable(1000, 1999, "mixed") == -1
#
# assert training_memory_bytes(1000, "full") == 16000
# assert training_memory_bytes(1000, "lora", n_trainable=10) == 2160
# assert training_memory_bytes(1000, "qlora", n_trainable=10) == 676  # 515.87 and 160, rounded up
# assert training_flops(1000, 50, frozen_base=False) == 300_000
# assert training_flops(1000, 50, frozen_base=True) == 200_000

# %% [markdown]
# ## What comes on top
#
# Activations grow with batch size and sequence length, and in a vision-language model a single image may bring hundreds
# of tokens. Three things help against them: smaller micro-batches with gradient accumulation; checkpointing, which
# computes activations a second time instead of storing them (Chen et al. 2016); and attention kernels that never store
# the whole matrix of scores (Dao et al. 2022). None of the three changes a number of this notebook. In the other
# direction, ZeRO does not shrink the activations of a given micro-batch, and adapters shrink them a little only:
# gradients still have to travel back through the frozen layers.
#
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Take one single parameter and follow it through one step of training. Which numbers have to be in memory at the same
# time if it is trained? Which of them are there if it is frozen?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# There are three things to store (weights, gradients, optimiser) and two kinds of parameters. Fill in the table of
# three times two, then let ZeRO divide one row after the other. For `max_trainable`, note that training one parameter
# more never takes less memory, and think of how you find a name in a telephone book.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments first. Frozen weights and trained weights are two terms; only the first knows `base_bytes`. Round
# up where a fraction can arise, before you add anything to it. For 4-bit weights collect the *bits* of one weight as a
# fraction of integers, multiply by the number of weights, and divide by 8 at the very end.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# shard = (size + world - 1) // world  # size / world, rounded up, without a float
# ```
#
# </details>
#
# ## References
#
# - Samyam Rajbhandari, Jeff Rasley, Olatunji Ruwase, Yuxiong He (2020), ZeRO: Memory optimizations Toward Training
#   Trillion Parameter Models: 16 bytes for each parameter, and the three stages.
# - Paulius Micikevicius, Sharan Narang, Jonah Alben, et al. (2018), Mixed Precision Training: the master copy.
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models.
# - Tim Dettmers, Artidoro Pagnoni, Ari Holtzman, Luke Zettlemoyer (2023), QLoRA: Efficient Finetuning of Quantized
#   LLMs: 4-bit blocks and double quantisation.
# - Jared Kaplan, Sam McCandlish, Tom Henighan, et al. (2020), Scaling Laws for Neural Language Models: 6 operations for
#   each parameter and token.
# - Tianqi Chen, Bing Xu, Chiyuan Zhang, Carlos Guestrin (2016), Training Deep Nets with Sublinear Memory Cost.
# - Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré (2022), FlashAttention: Fast and Memory-Efficient
#   Exact Attention with IO-Awareness.
