"""Hidden checks of data/shards. Expected shards come from PyTorch's DistributedSampler, or are dealt out one by one."""

from __future__ import annotations

import torch
from torch.utils.data import DistributedSampler

from grader.checking import assert_claims, assert_equal, catches, points, raises, visible

CLAIMS = {
    "own_seeds": False,
    "set_epoch_forgotten": True,
    "padded_evaluation": True,
    "every_worker_streams": True,
    "fsdp_divides_the_batch": False,
    "local_negatives": False,
    "whole_pool_wins": False,
    "buffer_is_enough": False,
}


def dealt_out(n: int, world_size: int, drop_last: bool) -> list[list[int]]:
    """The samples 0 to n - 1 dealt out like cards, round by round; a round that is not full is dropped or filled."""
    hands: list[list[int]] = [[] for _ in range(world_size)]
    first = 0
    while first < n:
        if drop_last and first + world_size > n:
            break
        for rank in range(world_size):
            hands[rank].append((first + rank) % n)
        first += world_size
    return hands


def sampled(n: int, world_size: int, rank: int, epoch: int, seed: int, drop_last: bool) -> list[int]:
    sampler = DistributedSampler(range(n), world_size, rank, shuffle=True, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    return list(sampler)


def shard(student, n: int, world_size: int, rank: int, epoch: int, seed: int = 0, **options: bool) -> list[int]:
    """The list of one rank, checked to be a list of ints."""
    found = student.shard_indices(n, world_size, rank, epoch, seed, **options)
    settings = "".join(f", {name}={value}" for name, value in options.items())
    call = f"shard_indices({n}, {world_size}, {rank}, {epoch}, {seed}{settings})"
    if not isinstance(found, list):
        raise AssertionError(f"{call} returned a {type(found).__name__}; it should return a list.")
    strange = [type(index).__name__ for index in found if not isinstance(index, int) or isinstance(index, bool)]
    if strange:
        raise AssertionError(f"{call} holds a {strange[0]}; it should hold Python ints.")
    return found


def compare(found: list[int], expected: list[int], what: str) -> None:
    """Fail, with both lists whole, unless they are equal."""
    if found != expected:
        raise AssertionError(f"The {what} is {found}; it should be {expected}.")


@points(1)
@visible
def test_ten_samples_on_four_ranks(student):
    """Ten samples on four ranks are shared as in the notebook, and twelve shuffled ones are each read once."""
    in_order = student.shard_indices(10, 4, 1, epoch=0, shuffle=False)
    assert_equal(in_order, [1, 5, 9], what="shard of rank 1 of 4, 10 samples in order")
    repeated = student.shard_indices(10, 4, 2, epoch=0, shuffle=False)
    assert_equal(repeated, [2, 6, 0], what="shard of rank 2 of 4, 10 samples in order")
    dropped = student.shard_indices(10, 4, 2, epoch=5, shuffle=False, drop_last=True)
    assert_equal(dropped, [2, 6], what="shard of rank 2 of 4, 10 samples in order with drop_last")
    permutation = torch.randperm(12, generator=torch.Generator().manual_seed(4)).tolist()
    first = student.shard_indices(12, 4, 0, epoch=3, seed=1)
    assert_equal(first, permutation[::4], what="shard of rank 0 of 4, 12 samples, epoch 3, seed 1")
    parts = [first, *(student.shard_indices(12, 4, rank, epoch=3, seed=1) for rank in (1, 2, 3))]
    compare([len(part) for part in parts], [3, 3, 3, 3], "list of the numbers of samples that four ranks read of 12")
    compare(sorted(sum(parts, [])), list(range(12)), "sorted list of all that four ranks read of 12 samples")
    if parts == [student.shard_indices(12, 4, rank, epoch=4, seed=1) for rank in range(4)]:
        raise AssertionError("Epochs 3 and 4 gave the same order of 12 samples.")


@points(3)
@catches("published-claims", "buffer-taken-for-a-shuffle")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


def draw_around_a_call(student, n, world_size, rank, epoch, seed):
    """Whether the global random state of PyTorch is the same after a call as before."""
    import torch

    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    student.shard_indices(n, world_size, rank, epoch, seed)
    return bool(torch.equal(before, torch.random.get_rng_state()))


@points(1)
@catches("tensors-in-the-list", "unequal-lengths", "global-random-state", "drop-last-ignored", "one-round-too-many")
def test_every_rank_has_a_list_of_the_same_length(student, seed):
    """Every rank gets a list of Python ints, equally long on all ranks; the global random state stays as it is."""
    for n, world_size in ((11, 4), (20, 5), (3, 1), (9, 2), (7, 7), (5, 4)):
        for drop_last in (False, True):
            count = n // world_size if drop_last else (n + world_size - 1) // world_size
            for rank in range(world_size):
                length = len(shard(student, n, world_size, rank, 2, seed, drop_last=drop_last))
                if length != count:
                    raise AssertionError(
                        f"Rank {rank} of {world_size} gets {length} of {n} samples with drop_last={drop_last}; it "
                        f"should get {count}, like all ranks: they have to take the same number of steps."
                    )
    if not student.run(draw_around_a_call, 11, 4, 1, 2, seed):
        raise AssertionError("shard_indices changed PyTorch's global random state; use a generator of your own.")


@points(1)
@catches("contiguous-blocks", "padded-with-the-own-samples", "padded-with-the-last", "wrapped-once", "tail-dropped")
def test_unshuffled_samples_are_dealt_out_in_turn(student):
    """Without shuffling, the samples are dealt out to the ranks in turn, and a last round is filled or dropped."""
    sizes = ((11, 4), (8, 4), (14, 5), (6, 1), (3, 3), (13, 2))
    more_ranks_than_samples = ((3, 8), (1, 4), (5, 16))
    for drop_last in (False, True):
        for n, world_size in sizes if drop_last else sizes + more_ranks_than_samples:
            for rank, expected in enumerate(dealt_out(n, world_size, drop_last)):
                found = shard(student, n, world_size, rank, 0, 0, shuffle=False, drop_last=drop_last)
                what = f"shard of rank {rank} of {world_size}, {n} samples in order, drop_last={drop_last},"
                compare(found, expected, what)
    for rank, expected in enumerate(dealt_out(9, 4, False)):
        found = shard(student, 9, 4, rank, 6, 5, shuffle=False)
        compare(found, expected, f"shard of rank {rank} of 4, 9 samples in order, epoch 6, seed 5,")


@points(2)
@catches(
    "numpy-permutation",
    "epoch-times-seed",
    "tail-cut-before-shuffling",
    "padding-drawn-at-random",
    "reversed-ranks",
    "padded-before-shuffling",
    "permutations-in-a-row",
)
def test_shuffled_shards_equal_those_of_the_distributed_sampler(student, rng):
    """Shuffled shards equal those of PyTorch's DistributedSampler on every rank."""
    for drop_last in (False, True):
        for n, world_size in ((11, 4), (12, 3), (17, 5), (23, 1), (10, 6)):
            epoch, seed = (int(number) for number in rng.integers(1, 50, 2))
            for rank in range(world_size):
                found = shard(student, n, world_size, rank, epoch, seed, shuffle=True, drop_last=drop_last)
                what = f"shard of rank {rank} of {world_size}, {n} samples, epoch {epoch}, seed {seed}, "
                what += f"drop_last={drop_last},"
                compare(found, sampled(n, world_size, rank, epoch, seed, drop_last), what)
    for rank in range(3):
        found = student.shard_indices(19, 3, rank, 0)
        what = f"shard of rank {rank} of 3, 19 samples, epoch 0, everything else left at its default,"
        assert_equal(found, sampled(19, 3, rank, 0, 0, False), what=what)


@points(1)
@catches("seed-differs-per-rank", "rank-instead-of-epoch", "epoch-ignored", "seed-ignored", "shuffled-within-the-shard")
def test_ranks_agree_and_epochs_differ(student, seed):
    """All ranks together read everything once; another epoch or a distant seed gives every rank other samples."""
    n, world_size = 40, 5

    def all_shards(epoch, seed):
        return [shard(student, n, world_size, rank, epoch, seed) for rank in range(world_size)]

    first = all_shards(1, seed)
    for rank, part in enumerate(first):
        for other in range(rank):
            shared = sorted(set(part) & set(first[other]))
            if shared:
                raise AssertionError(
                    f"Ranks {other} and {rank} both read {len(shared)} of 40 samples in epoch 1, among them "
                    f"{shared[0]}; 5 ranks should read 8 samples each, all different."
                )
    compare(sorted(sum(first, [])), list(range(n)), "sorted list of all that five ranks read of 40 samples")
    if all_shards(1, seed) != first:
        raise AssertionError("Asked again for the same epoch and seed, the ranks get other samples than before.")
    for what, epoch, other_seed in (("epoch 2 instead of 1", 2, seed), ("another seed", 1, seed + 1000)):
        other_shards = all_shards(epoch, other_seed)
        if other_shards == first:
            raise AssertionError(f"With {what} the shards of 40 samples on 5 ranks are the same.")
        if any(set(part) == set(other_part) for part, other_part in zip(first, other_shards, strict=True)):
            raise AssertionError(
                f"With {what} a rank reads the same 8 of 40 samples, in another order: which samples a rank reads "
                "should change as well."
            )


@points(1)
@catches("negative-rank-accepted", "rank-beyond-the-world", "no-samples-accepted", "few-samples-refused")
def test_ranks_and_sizes_that_do_not_exist_are_refused(student):
    """No samples, no ranks and ranks that do not exist are refused; fewer samples than ranks are not."""
    for n, world_size, rank in (
        (0, 2, 0),
        (-3, 2, 0),
        (5, 0, 0),
        (5, -2, 0),
        (5, 3, 3),
        (5, 3, 7),
        (5, 3, -1),
        (5, 1, 1),
    ):
        for options in ({}, {"shuffle": False}, {"drop_last": True}, {"shuffle": False, "drop_last": True}):
            settings = "".join(f", {name}={value}" for name, value in options.items())
            with raises(ValueError, what=f"shard_indices({n}, {world_size}, {rank}, epoch=0{settings})"):
                student.shard_indices(n, world_size, rank, epoch=0, **options)
    for n, world_size in ((3, 4), (2, 5)):
        for rank in range(world_size):
            what = f"shard of rank {rank} of {world_size}, {n} samples, drop_last=True,"
            compare(shard(student, n, world_size, rank, 0, drop_last=True), [], what)
