# %% [markdown]
# # Shards, ranks and workers
#
# A training run on eight GPUs is eight programs that never see each other's data loader. Each has to read its own part
# of the data in every epoch, without asking the others, and all have to take the same number of steps, or the fastest
# one waits for the others for ever. When it goes wrong nothing crashes: some samples are read twice, others never, and
# an evaluation is off in the third digit. Here you answer the interview question in your own words, judge eight claims
# about it, and write the rule by which ranks share a data set.
#
# Plan about 40 minutes: 15 for the answer, 5 for the claims, 20 for the code.

# %%
import torch

# %% [markdown]
# ## The question
#
# *"You have hundreds of millions of image-text pairs and several machines with GPUs. How do you train efficiently on
# data of that size?"*
#
# Answer in the next cell as you would say it aloud, in 12 to 18 sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *reading*: how the data lie in storage and reach the GPU without holding it up;
# - *sharing*: how samples, and what a model keeps in memory, are divided among the GPUs;
# - *choosing*: why not all of the data, and how to find the part to train on;
# - *computing and traps*: what makes a step cheaper, and where sharing changes a result without a message.

# %% [markdown] tags=["answer"]
# **Model answer.** "First I make reading sequential. Millions of small files are slow to open one by one, so I pack
# them into shards, tar files of some hundred megabytes as WebDataset does, stream these, and mix with a shuffled order
# of shards and a buffer. Texts are tokenised ahead of time, and decoding and resizing of images happen in worker
# processes or once and for all, never on the path that the GPU waits for. I measure first: a GPU that waits for data
# gains nothing from a faster kernel.
#
# Samples are shared by data parallelism. All ranks shuffle with the same seed, which depends on the epoch, and each
# takes its own part, the same number on each; gradients are averaged. In PyTorch that is a DistributedSampler and
# `set_epoch`. If the model does not fit, ZeRO or FSDP divide optimiser state, gradients and parameters among the ranks,
# while each keeps its own part of the batch.
#
# Quality beats quantity. I remove duplicates, also near ones and those of the test sets, filter pairs by the similarity
# of image and text, and balance sources. DataComp showed that, for the same number of samples seen, a filtered part of
# a pool can train a better model than all of it.
#
# Then the step itself: bfloat16, fused attention such as FlashAttention, compilation, gradient checkpointing for larger
# batches. There are traps. Padding the shards to equal length reads some samples twice, which is harmless in training
# and wrong in an evaluation; I drop the repeated ones there. A stream with several workers has to be divided among the
# workers as well. And a contrastive loss needs the negatives of all ranks: gather the features, or use a sigmoid loss
# that can be computed in chunks."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, reading: shards and streaming or sequential reads; texts tokenised ahead, or decoding kept off the path
#   that the GPU waits for. Prefetching and measuring are welcome.
# - 1 point, sharing: data parallelism with disjoint parts that change with the epoch; and division of state, gradients
#   or parameters (ZeRO, FSDP) told apart from it.
# - 1 point, choosing: at least two of deduplication, filtering by image-text similarity, balancing, removal of test
#   data; and that less but better data can win at the same cost.
# - 1 point, computing and traps: one of mixed precision, fused attention, compilation; and one of padding that biases
#   an evaluation, workers that repeat a stream, negatives that stay on their rank.
#
# **References of the model answer**
#
# - Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré (2022). *FlashAttention: Fast and Memory-Efficient
#   Exact Attention with IO-Awareness.*
# - Samir Yitzhak Gadre, Gabriel Ilharco, Alex Fang, et al. (2023). *DataComp: In search of the next generation of
#   multimodal datasets.*
# - Paulius Micikevicius, Sharan Narang, Jonah Alben, et al. (2018). *Mixed Precision Training.*
# - Samyam Rajbhandari, Jeff Rasley, Olatunji Ruwase, Yuxiong He (2020). *ZeRO: Memory optimizations Toward Training
#   Trillion Parameter Models.*
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023). *Sigmoid Loss for Language Image
#   Pre-Training.*
# - Yanli Zhao, Andrew Gu, Rohan Varma, et al. (2023). *PyTorch FSDP: Experiences on Scaling Fully Sharded Data
#   Parallel.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. A *rank* is one process with one GPU. `DistributedSampler`, `IterableDataset` and
# FSDP (fully sharded data parallel) are parts of PyTorch; CLIP's loss lets each text find its image among all images of
# a batch (`losses/contrastive`), the others being its *negatives*. All of them must be right for the 3 points, so
# guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `own_seeds` | 4 ranks each shuffle 1000 samples by their own seed and keep every 4th: every sample is read once. |
# | `set_epoch_forgotten` | If `set_epoch` is never called, a shuffling `DistributedSampler` repeats one order. |
# | `padded_evaluation` | With its defaults, `DistributedSampler` makes 4 ranks read 12 samples of a set that has 10. |
# | `every_worker_streams` | With 4 workers, an `IterableDataset` that ignores its worker yields each sample 4 times. |
# | `fsdp_divides_the_batch` | FSDP saves memory by smaller batches per rank; each rank keeps the whole model. |
# | `local_negatives` | CLIP's loss on 8 ranks of 32 pairs, each by itself, averages to the loss of all 256 pairs. |
# | `whole_pool_wins` | DataComp trained CLIP on equally many samples each time: no filter beat the unfiltered pool. |
# | `buffer_is_enough` | A stream with a shuffle buffer of 1000 makes all orders of 100 000 samples equally likely. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "own_seeds",
        "set_epoch_forgotten",
        "padded_evaluation",
        "every_worker_streams",
        "fsdp_divides_the_batch",
        "local_negatives",
        "whole_pool_wins",
        "buffer_is_enough",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Every rank takes a quarter of another order, so about a third of the samples, (3/4)**4, is read by nobody.
    own_seeds=False,
    # The permutation is drawn from seed + epoch, and the epoch stays 0.
    set_epoch_forgotten=True,
    # It pads to equal parts: two samples come twice, and have double weight in a mean over all that was read.
    padded_evaluation=True,
    # Each worker process has a copy of the data set and iterates over all of it, unless it asks which worker it is.
    every_worker_streams=True,
    # It divides parameters, gradients and optimiser state among the ranks (Zhao et al., 2023); that each rank has its
    # own part of the batch is data parallelism, with or without it.
    fsdp_divides_the_batch=False,
    # A rank by itself compares an image with 31 wrong texts, the whole batch with 255: another softmax, another loss.
    local_negatives=False,
    # Gadre et al. (2023) found several that do, with a part of the pool that is seen more often.
    whole_pool_wins=False,
    # The first sample to come out is one of the first 1000 that went in: most orders are impossible.
    buffer_is_enough=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write `shard_indices(n, world_size, rank, epoch, seed=0, shuffle=True, drop_last=False)`: the list of the samples that
# one rank reads in one epoch, as Python `int`s, in the order of reading.
#
# | argument | meaning |
# |---|---|
# | `n` | number of samples, numbered from 0; a whole number, like all that follow |
# | `world_size`, `rank` | number of ranks, and which of them this is, from 0 to `world_size - 1` |
# | `epoch`, `seed` | 0 or more; what the order depends on when it is shuffled |
# | `drop_last` | what to do when `n` is no multiple of `world_size`: drop samples, or repeat some |
#
# Three steps, which every rank carries out by itself, with the same result on all of them up to the last one:
#
# 1. **Order.** With `shuffle`, the permutation `torch.randperm(n, generator=generator)` of a new `torch.Generator`
#    seeded with `seed + epoch`. Without it, 0, 1, ..., n - 1 in every epoch. The global random state of PyTorch stays
#    as it is. (Only the sum counts: epoch 1 of seed 0 has the order of epoch 0 of seed 1. For repeated runs, choose
#    seeds that are farther apart than the number of epochs.)
# 2. **Equal parts.** With `drop_last`, the order is cut to the largest multiple of `world_size`, which is 0 if `n` is
#    smaller: then every rank has an empty list. Otherwise it is extended to the next multiple of `world_size`, with its
#    own samples from the front; if it runs out of these, from the front again, as often as it takes.
# 3. **Selection.** Rank `r` takes the places r, r + `world_size`, r + 2 · `world_size`, ... of the result.
#
# `ValueError` for `n` below 1, `world_size` below 1 and a `rank` that does not exist, negative ones included.
#
# **Forbidden:** `torch.utils.data.DistributedSampler`, which follows the same rule.
#
# **Worked example.** Seven samples, three ranks, not shuffled. Nine places are needed, so the samples 0 and 1 come
# again: 0 1 2 3 4 5 6 0 1. Rank 0 reads `[0, 3, 6]`, rank 1 `[1, 4, 0]`, rank 2 `[2, 5, 1]`. With `drop_last` six
# places are left, and rank 1 reads `[1, 4]`; nobody reads sample 6.


# %% tags=["solution"]
def shard_indices(
    n: int, world_size: int, rank: int, epoch: int, seed: int = 0, shuffle: bool = True, drop_last: bool = False
) -> list[int]:
    """Indices of the samples that one rank reads in one epoch (the rule of PyTorch's DistributedSampler).

    Args:
        n: number of samples.
        world_size: number of ranks.
        rank: this rank, from 0 to world_size - 1.
        epoch, seed: the order is drawn from seed + epoch; the same on all ranks.
        shuffle: a new permutation every epoch, or 0, 1, ..., n - 1.
        drop_last: cut to equal parts, or repeat samples from the front to make them equal.

    Returns:
        A list of Python ints, equally long on every rank.

    Raises:
        ValueError: n or world_size below 1, or no such rank.
    """
    ### BEGIN SOLUTION
    if n < 1 or world_size < 1:
        raise ValueError(f"there must be samples and ranks, not {n} and {world_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not one of the ranks 0 to {world_size - 1}")

    # no rank in the seed: all ranks have to draw the same permutation, or their parts overlap
    if shuffle:
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    else:
        order = list(range(n))

    rounds = n // world_size if drop_last else -(-n // world_size)  # samples for each rank, rounded down or up
    equal = [order[place % n] for place in range(rounds * world_size)]  # from the front again when they run out
    return equal[rank::world_size]
    ### END SOLUTION


# %% [markdown]
# **Try it.** Ten samples on four ranks, in order and shuffled.

# %% tags=["visible-checks", "active-ipynb"]
# def compare(found, expected, what):
#     assert found == expected, f"{what} is {found}; expected {expected}"
#
#
# compare(shard_indices(10, 4, 1, epoch=0, shuffle=False), [1, 5, 9], "rank 1 of 4, 10 samples in order,")
# compare(shard_indices(10, 4, 2, epoch=0, shuffle=False), [2, 6, 0], "rank 2, where the last round is filled up,")
# compare(shard_indices(10, 4, 2, epoch=5, shuffle=False, drop_last=True), [2, 6], "rank 2 with drop_last")
#
# permutation = torch.randperm(12, generator=torch.Generator().manual_seed(4)).tolist()  # seed + epoch
# parts = [shard_indices(12, 4, rank, epoch=3, seed=1) for rank in range(4)]
# compare(parts[0], [permutation[0], permutation[4], permutation[8]], "rank 0 of 4, 12 shuffled samples,")
# compare([len(part) for part in parts], [3, 3, 3, 3], "the number of samples of each rank")
# compare(sorted(sum(parts, [])), list(range(12)), "what all ranks read together")
# assert parts != [shard_indices(12, 4, rank, epoch=4, seed=1) for rank in range(4)], "epochs 3 and 4 have one order"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Put the lists of all ranks side by side and read them row by row. Which list do you see? And what would you see if one
# of the ranks had shuffled differently from the others?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Ranks cannot talk about who reads what, so they agree beforehand: each computes the whole order, the same one, and
# then looks at its own places only. What may differ between ranks enters in the last step. What has to differ between
# epochs enters in the first.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Make the order, shuffled or not, as a list. Work out how many samples each rank gets: n divided
# by the number of ranks, rounded down when samples are dropped and up when they are repeated. Make the list exactly
# that many times `world_size` long, going round it as often as needed. Take every `world_size`-th place from the rank's
# own on.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# mine = everything[first::step]  # places first, first + step, first + 2 * step, ...
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Yanli Zhao, Andrew Gu, Rohan Varma, et al. (2023). *PyTorch FSDP: Experiences on Scaling Fully Sharded Data
#   Parallel.*
#
# The works behind the model answer are listed in the solution, because their titles give it away.
