"""Wrong and differently written answers to data/shards.

Every line under "reject" of E-K4 has an entry: contiguous-blocks, seed-differs-per-rank, epoch-ignored, tail-dropped,
unequal-lengths, wrapped-once (no wrap when there are more ranks than samples). The published answer leaves the question
open, so it has no code; the first two entries are claims that are often published.
"""

from grader.catalogue import Alternative, WrongAnswer

LENGTHS = "test_every_rank_has_a_list_of_the_same_length"
DEALT = "test_unshuffled_samples_are_dealt_out_in_turn"
SAMPLER = "test_shuffled_shards_equal_those_of_the_distributed_sampler"
AGREE = "test_ranks_agree_and_epochs_differ"
REFUSED = "test_ranks_and_sizes_that_do_not_exist_are_refused"

SHUFFLE = "        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).tolist()\n"
EQUAL = "    equal = [order[place % n] for place in range(rounds * world_size)]"
SELECT = "    return equal[rank::world_size]\n"
ROUNDS = "    rounds = n // world_size if drop_last else -(-n // world_size)"

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="sharded parameters taken for a smaller batch",
        explanation=(
            "One of the claims confuses two things that are divided among ranks: the samples of a batch and what the "
            "model keeps in memory. Ask of each method which tensors are smaller on a rank because of it."
        ),
        caught_by="test_claims",
        swap=(("fsdp_divides_the_batch=False", "fsdp_divides_the_batch=True"),),
    ),
    WrongAnswer(
        id="buffer-taken-for-a-shuffle",
        title="a shuffle buffer taken for a full shuffle",
        explanation=(
            "One of the claims is about streams that are mixed by a buffer. Think of the very last sample of the stream "
            "and ask whether it could be the first one to come out."
        ),
        caught_by="test_claims",
        swap=(("buffer_is_enough=False", "buffer_is_enough=True"),),
    ),
    WrongAnswer(
        id="contiguous-blocks",
        title="neighbouring samples given to a rank as one block",
        explanation=(
            "Each rank gets one block of the order instead of every so-many-th place. The parts are disjoint too, but "
            "the samples of one step are then not neighbours in the order, so another number of GPUs means other "
            "batches, and with sorted data each rank sees one kind only. The task says which places a rank takes."
        ),
        caught_by=DEALT,
        swap=((SELECT, "    return equal[rank * rounds : (rank + 1) * rounds]\n"),),
    ),
    WrongAnswer(
        id="tail-dropped",
        title="the last samples dropped although nobody asked for it",
        explanation=(
            "When the number of samples is no multiple of the number of ranks, the rest is left out, also without "
            "`drop_last`. Without shuffling they are the same samples in every epoch."
        ),
        caught_by=DEALT,
        swap=((ROUNDS, "    rounds = n // world_size"),),
    ),
    WrongAnswer(
        id="wrapped-once",
        title="samples repeated once at most",
        explanation=(
            "The list is extended by its own front, but a slice cannot be longer than the list. With more than twice as "
            "many ranks as samples some ranks stay without any, and a run that waits for them hangs. Go round as often "
            "as it takes."
        ),
        caught_by=DEALT,
        swap=((EQUAL, "    equal = (order + order[: rounds * world_size - n])[: rounds * world_size]"),),
    ),
    WrongAnswer(
        id="padded-with-the-own-samples",
        title="each rank's list filled up with its own first sample",
        explanation=(
            "The lengths are equal, but the repeated samples are others than asked for: each short rank repeats its own "
            "first sample, where the common order is to begin again from its front."
        ),
        caught_by=DEALT,
        swap=(
            (
                SELECT,
                "    mine = order[: rounds * world_size][rank::world_size]\n"
                "    return mine + (mine or order)[:1] * (rounds - len(mine))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="padded-with-the-last",
        title="the last sample repeated until the parts are equal",
        explanation=(
            "One sample fills all the places that are missing, so it can count many times in one epoch. The rule spreads "
            "the repetition over the samples at the front."
        ),
        caught_by=DEALT,
        swap=((EQUAL, "    equal = (order + order[-1:] * world_size)[: rounds * world_size]"),),
    ),
    WrongAnswer(
        id="unequal-lengths",
        title="shards of unequal length",
        explanation=(
            "Every sample is read once, but some ranks have one more than others. The ranks wait for each other at every "
            "step, so in the last one they wait for a gradient that never comes."
        ),
        caught_by=LENGTHS,
        swap=((SELECT, "    return (equal if drop_last else order)[rank::world_size]\n"),),
    ),
    WrongAnswer(
        id="drop-last-ignored",
        title="samples repeated although drop_last asks to drop some",
        explanation=(
            "`drop_last` makes no difference in your code. In an evaluation it is the caller's way to avoid samples that "
            "count twice."
        ),
        caught_by=LENGTHS,
        swap=((ROUNDS, "    rounds = -(-n // world_size)"),),
    ),
    WrongAnswer(
        id="one-round-too-many",
        title="one more sample for each rank than needed where the division leaves no remainder",
        explanation=(
            "The number of samples for a rank is rounded up by adding one, also where nothing has to be rounded. With "
            "12 samples on 4 ranks all of them read 4 instead of 3, and four samples are read twice for no reason."
        ),
        caught_by=LENGTHS,
        swap=((ROUNDS, "    rounds = n // world_size if drop_last else n // world_size + 1"),),
    ),
    WrongAnswer(
        id="tensors-in-the-list",
        title="tensors instead of Python ints",
        explanation=(
            "Your list holds tensors of one number, or is a tensor itself. Many data sets accept them as an index, but "
            "a dictionary does not find its key, and files get names such as tensor(7). Convert once, at the source."
        ),
        caught_by=LENGTHS,
        swap=((SHUFFLE, SHUFFLE.replace("order = ", "order = list(").replace(".tolist()", ")")),),
    ),
    WrongAnswer(
        id="global-random-state",
        title="PyTorch's global generator seeded",
        explanation=(
            "The order is the right one, but your function resets the generator that dropout and initialisation draw "
            "from: they repeat themselves from here in every epoch. Make a generator for this purpose alone."
        ),
        caught_by=LENGTHS,
        swap=((SHUFFLE, "        torch.manual_seed(seed + epoch)\n        order = torch.randperm(n).tolist()\n"),),
    ),
    WrongAnswer(
        id="seed-differs-per-rank",
        title="the rank mixed into the seed",
        explanation=(
            "Every rank shuffles differently and then takes its places, so the parts overlap: some samples are read by "
            "several ranks and others by none. Different numbers on different ranks is right for augmentation, not here."
        ),
        caught_by=AGREE,
        swap=(("manual_seed(seed + epoch)", "manual_seed(seed + epoch + rank)"),),
    ),
    WrongAnswer(
        id="rank-instead-of-epoch",
        title="the rank in the seed where the epoch should be",
        explanation=(
            "Every rank shuffles differently, so the parts overlap: some samples are read by several ranks and others "
            "by none. And the epoch has no influence. Which of the two should the ranks have in common, and which "
            "should change with time?"
        ),
        caught_by=AGREE,
        swap=(("manual_seed(seed + epoch)", "manual_seed(seed + rank)"),),
    ),
    WrongAnswer(
        id="epoch-ignored",
        title="the same order in every epoch",
        explanation=(
            "The epoch does not enter the seed. All epochs then have the same order and each rank sees the same samples "
            "for the whole training."
        ),
        caught_by=AGREE,
        swap=(("manual_seed(seed + epoch)", "manual_seed(seed)"),),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="the seed of the run not used",
        explanation=(
            "Only the epoch decides the order, so a second run with another seed reads the data in the same order, and "
            "the spread over seeds is underestimated."
        ),
        caught_by=AGREE,
        swap=(("manual_seed(seed + epoch)", "manual_seed(epoch)"),),
    ),
    WrongAnswer(
        id="shuffled-within-the-shard",
        title="samples divided first and shuffled within each part",
        explanation=(
            "Each rank keeps the same samples for the whole training and only their order changes, so the same samples "
            "never meet in one batch. Shuffle before you divide."
        ),
        caught_by=AGREE,
        code="""
_divide = shard_indices


def shard_indices(n, world_size, rank, epoch, seed=0, shuffle=True, drop_last=False):
    mine = _divide(n, world_size, rank, epoch, seed, False, drop_last)
    if not shuffle:
        return mine
    generator = torch.Generator().manual_seed(seed + epoch)
    return [mine[place] for place in torch.randperm(len(mine), generator=generator).tolist()]
""",
    ),
    WrongAnswer(
        id="numpy-permutation",
        title="the permutation drawn by another generator than PyTorch's",
        explanation=(
            "The shards are disjoint and change with the epoch, but the order is not the one that was agreed on. As soon "
            "as one program uses this function and another one PyTorch's sampler, they overlap."
        ),
        caught_by=SAMPLER,
        swap=(
            (
                SHUFFLE,
                "        import random\n\n        order = list(range(n))\n        random.Random(seed + epoch).shuffle(order)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="epoch-times-seed",
        title="seed and epoch combined in another way than by a sum",
        explanation=(
            "The seed of the permutation is another one than seed + epoch. Ranks that run your code agree with each "
            "other, but not with the agreed order."
        ),
        caught_by=SAMPLER,
        swap=(("manual_seed(seed + epoch)", "manual_seed(1000 * seed + epoch)"),),
    ),
    WrongAnswer(
        id="tail-cut-before-shuffling",
        title="with drop_last, the last samples cut off before the shuffle",
        explanation=(
            "The same few samples at the end of the data set are dropped in every epoch and never seen. Cut the shuffled "
            "order instead, so that the dropped ones change."
        ),
        caught_by=SAMPLER,
        swap=(
            (
                SHUFFLE,
                "        kept = n // world_size * world_size if drop_last else n\n"
                "        order = torch.randperm(kept, generator=torch.Generator().manual_seed(seed + epoch)).tolist()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="padded-before-shuffling",
        title="the list extended first and shuffled afterwards",
        explanation=(
            "You shuffle the list that already holds the repeated samples. The parts are equal, but it is always the "
            "samples 0, 1, ... that come twice, and the order is not the agreed one. Which of the steps comes first?"
        ),
        caught_by=SAMPLER,
        swap=(
            (
                SELECT,
                "    if shuffle:\n"
                "        places = torch.randperm(len(equal), generator=torch.Generator().manual_seed(seed + epoch))\n"
                "        equal = [place % n for place in places.tolist()]\n" + SELECT,
            ),
        ),
    ),
    WrongAnswer(
        id="permutations-in-a-row",
        title="the epochs drawn one after another from one generator",
        explanation=(
            "The generator is seeded with the seed alone, and one permutation is drawn for each epoch so far. The "
            "orders differ, but they are not the agreed ones, and in epoch 1000 a rank draws a thousand of them."
        ),
        caught_by=SAMPLER,
        swap=(
            (
                SHUFFLE,
                "        generator = torch.Generator().manual_seed(seed)\n"
                "        for _ in range(epoch + 1):\n"
                "            order = torch.randperm(n, generator=generator).tolist()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="padding-drawn-at-random",
        title="the missing places filled with samples drawn at random",
        explanation=(
            "The repeated samples are drawn instead of taken from the front of the order. In training the difference "
            "hardly matters, but the rule is what all ranks agree on."
        ),
        caught_by=SAMPLER,
        swap=(
            (
                EQUAL,
                "    missing = torch.randint(0, n, (world_size,), generator=torch.Generator().manual_seed(epoch)).tolist()\n"
                "    extended = order + missing if shuffle else (order * (world_size + 1))[: n + world_size]\n"
                "    equal = extended[: rounds * world_size]",
            ),
        ),
    ),
    WrongAnswer(
        id="reversed-ranks",
        title="the places of another rank taken when shuffled",
        explanation=(
            "All samples are read, but the ranks have changed places: rank 0 reads what the last rank should read. Look "
            "at where a rank's first place is, and in which direction it goes on."
        ),
        caught_by=SAMPLER,
        swap=(
            (SELECT, "    return equal[world_size - 1 - rank :: world_size] if shuffle else equal[rank::world_size]\n"),
        ),
    ),
    WrongAnswer(
        id="negative-rank-accepted",
        title="a negative rank accepted",
        explanation=(
            "Python counts negative places from the end, so rank -1 gets a list that looks normal. It is the usual value "
            "for 'not set', and such a program reads the data of another rank."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= rank < world_size:", "if rank >= world_size:"),),
    ),
    WrongAnswer(
        id="rank-beyond-the-world",
        title="a rank as large as the number of ranks accepted",
        explanation=(
            "Ranks are counted from 0, so with three ranks there is no rank 3. Your code gives it samples that others "
            "read as well, or none."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= rank < world_size:", "if not 0 <= rank <= world_size:"),),
    ),
    WrongAnswer(
        id="no-samples-accepted",
        title="a data set without samples accepted",
        explanation=(
            "With n = 0 your code returns an empty list, and the training ends after no step at all and reports success. "
            "Usually a path was wrong; say so."
        ),
        caught_by=REFUSED,
        swap=(("if n < 1 or world_size < 1:", "if n < 0 or world_size < 1:"),),
    ),
    WrongAnswer(
        id="few-samples-refused",
        title="with drop_last, fewer samples than ranks refused",
        explanation=(
            "Your code raises an error where the rule has an answer: the largest multiple of `world_size` is then 0, "
            "and every rank has an empty list. The ranks still agree, and the caller can decide what that means."
        ),
        caught_by=REFUSED,
        swap=(
            (
                ROUNDS,
                "    if drop_last and n < world_size:\n        raise ValueError('fewer samples than ranks')\n" + ROUNDS,
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="modulo",
        title="places counted by arithmetic, without a padded list",
        code="""
def shard_indices(n, world_size, rank, epoch, seed=0, shuffle=True, drop_last=False):
    if min(n, world_size) <= 0 or rank not in range(world_size):
        raise ValueError("n, world_size or rank")
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator) if shuffle else torch.arange(n)
    count = n // world_size
    if n % world_size and not drop_last:
        count += 1
    return [int(order[(rank + place * world_size) % n]) for place in range(count)]
""",
    ),
    Alternative(
        id="table",
        title="a table of rounds and ranks, one column a rank",
        code="""
def shard_indices(n, world_size, rank, epoch, seed=0, shuffle=True, drop_last=False):
    if n < 1:
        raise ValueError("n")
    if world_size < 1:
        raise ValueError("world_size")
    if rank < 0 or rank >= world_size:
        raise ValueError("rank")
    order = torch.arange(n)
    if shuffle:
        g = torch.Generator()
        g.manual_seed(seed + epoch)
        order = torch.randperm(n, generator=g)
    rows = n // world_size if drop_last else (n + world_size - 1) // world_size
    table = order.repeat(world_size + 1)[: rows * world_size].reshape(rows, world_size)
    return table[:, rank].tolist()
""",
    ),
    Alternative(
        id="repeated-list",
        title="the list multiplied and cut",
        code="""
import math


def shard_indices(n, world_size, rank, epoch, seed=0, shuffle=True, drop_last=False):
    if not (n >= 1 and world_size >= 1 and 0 <= rank <= world_size - 1):
        raise ValueError("impossible")
    indices = [*range(n)]
    if shuffle:
        state = torch.Generator(device="cpu")
        state.manual_seed(epoch + seed)
        indices = [index.item() for index in torch.randperm(n, generator=state)]
    if drop_last:
        indices = indices[: len(indices) - len(indices) % world_size]
    else:
        total = math.ceil(n / world_size) * world_size
        indices += (indices * math.ceil((total - n) / n))[: total - n]
    return [index for place, index in enumerate(indices) if place % world_size == rank]
""",
    ),
]
