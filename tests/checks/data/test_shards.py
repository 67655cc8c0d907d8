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
    "filtering_can_win": True,
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


def shards(student, n: int, world_size: int, epoch: int, seed: int = 0, **options: bool) -> list[list[int]]:
    """The lists of all ranks, each checked to be a list of ints."""
    lists = []
    for rank in range(world_size):
        found = student.shard_indices(n, world_size, rank, epoch, seed, **options)
        call = f"shard_indices({n}, {world_size}, {rank}, {epoch}, {seed}, {options})"
        if not isinstance(found, list):
            raise AssertionError(f"{call} returned a {type(found).__name__}; it should return a list.")
        strange = [type(index).__name__ for index in found if not isinstance(index, int) or isinstance(index, bool)]
        if strange:
            raise AssertionError(f"{call} holds a {strange[0]}; it should hold Python ints.")
        lists.append(found)
    return lists


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
    parts = [student.shard_indices(12, 4, rank, epoch=3, seed=1) for rank in range(4)]
    assert_equal(sorted(sum(parts, [])), list(range(12)), what="sorted list of all that four ranks read of 12 samples")
    permutation = torch.randperm(12, generator=torch.Generator().manual_seed(4)).tolist()
    assert_equal(parts[0], permutation[::4], what="shard of rank 0 of 4, 12 samples, epoch 3, seed 1")
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
@catches("tensors-in-the-list", "unequal-lengths", "global-random-state", "drop-last-ignored")
def test_every_rank_has_a_list_of_the_same_length(student, seed):
    """Every rank gets a list of Python ints, equally long on all ranks; the global random state stays as it is."""
    for n, world_size in ((11, 4), (20, 5), (3, 1), (9, 2), (7, 7), (2, 5)):
        for drop_last in (False, True):
            lengths = [len(part) for part in shards(student, n, world_size, 2, seed, drop_last=drop_last)]
            count = n // world_size if drop_last else (n + world_size - 1) // world_size
            assert_equal(
                lengths,
                [count] * world_size,
                what=f"number of samples of each rank ({n} samples, {world_size} ranks, drop_last={drop_last})",
                cause="every rank has to take the same number of steps",
            )
    if not student.run(draw_around_a_call, 11, 4, 1, 2, seed):
        raise AssertionError("shard_indices changed PyTorch's global random state; use a generator of your own.")


@points(1)
@catches("contiguous-blocks", "padded-with-the-own-samples", "padded-with-the-last", "wrapped-once", "tail-dropped")
def test_unshuffled_samples_are_dealt_out_in_turn(student):
    """Without shuffling, the samples are dealt out to the ranks in turn, and a last round is filled or dropped."""
    for drop_last in (False, True):
        for n, world_size in ((8, 4), (11, 4), (14, 5), (6, 1), (3, 3), (3, 8), (1, 4), (5, 16), (13, 2)):
            found = shards(student, n, world_size, 0, 0, shuffle=False, drop_last=drop_last)
            expected = dealt_out(n, world_size, drop_last)
            case = f"{n} samples in order, {world_size} ranks, drop_last={drop_last}"
            assert_equal(found, expected, what=f"list of the shards of all ranks ({case})")
    later = shards(student, 9, 4, 6, 5, shuffle=False)
    assert_equal(
        later, dealt_out(9, 4, False), what="list of the shards of 9 samples in order, 4 ranks, epoch 6, seed 5"
    )


@points(2)
@catches(
    "numpy-permutation", "epoch-times-seed", "tail-cut-before-shuffling", "padding-drawn-at-random", "reversed-ranks"
)
def test_shuffled_shards_equal_those_of_the_distributed_sampler(student, rng):
    """Shuffled shards equal those of PyTorch's DistributedSampler on every rank."""
    for drop_last in (False, True):
        for n, world_size in ((12, 3), (11, 4), (17, 5), (2, 7), (23, 1), (10, 6)):
            epoch, seed = (int(number) for number in rng.integers(1, 50, 2))
            found = shards(student, n, world_size, epoch, seed, shuffle=True, drop_last=drop_last)
            expected = [sampled(n, world_size, rank, epoch, seed, drop_last) for rank in range(world_size)]
            case = f"{n} samples, {world_size} ranks, epoch {epoch}, seed {seed}, drop_last={drop_last}"
            assert_equal(found, expected, what=f"list of the shards of all ranks ({case})")
    assert_equal(
        [student.shard_indices(19, 3, rank, 0) for rank in range(3)],
        [sampled(19, 3, rank, 0, 0, False) for rank in range(3)],
        what="list of the shards of 19 samples, 3 ranks, epoch 0, everything else left at its default",
    )


@points(1)
@catches("seed-differs-per-rank", "epoch-ignored", "seed-ignored", "shuffled-within-the-shard")
def test_ranks_agree_and_epochs_differ(student, seed):
    """All ranks together read everything once; another epoch or seed gives every rank other samples."""
    n, world_size = 40, 5
    first = shards(student, n, world_size, 1, seed)
    for rank, part in enumerate(first):
        for other in range(rank):
            shared = sorted(set(part) & set(first[other]))
            if shared:
                raise AssertionError(
                    f"Ranks {other} and {rank} both read {len(shared)} of 40 samples in epoch 1, among them "
                    f"{shared[0]}; 5 ranks should read 8 samples each, all different."
                )
    assert_equal(sorted(sum(first, [])), list(range(n)), what="sorted list of all that five ranks read of 40 samples")
    assert_equal(shards(student, n, world_size, 1, seed), first, what="list of the shards of a second call")
    for what, epoch, other_seed in (("epoch 2 instead of 1", 2, seed), ("another seed", 1, seed + 1000)):
        other_shards = shards(student, n, world_size, epoch, other_seed)
        if other_shards == first:
            raise AssertionError(f"With {what} the shards of 40 samples on 5 ranks are the same.")
        if any(set(part) == set(other_part) for part, other_part in zip(first, other_shards, strict=True)):
            raise AssertionError(
                f"With {what} a rank reads the same 8 of 40 samples, in another order: which samples a rank reads "
                "should change as well."
            )


@points(1)
@catches("negative-rank-accepted", "rank-beyond-the-world", "no-samples-accepted")
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
            with raises(ValueError, what=f"shard_indices({n}, {world_size}, {rank}, epoch=0, {options})"):
                student.shard_indices(n, world_size, rank, epoch=0, **options)
    assert_equal(
        shards(student, 3, 4, 0, drop_last=True), [[]] * 4, what="list of the shards with drop_last, 3 samples, 4 ranks"
    )
