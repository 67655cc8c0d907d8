"""The reference of data/shards against PyTorch's DistributedSampler, and the claims that can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from reference.data import shards as lesson
from reference.data.shards import shard_indices


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 8, 12])
def test_identical_to_the_distributed_sampler(world_size, shuffle, drop_last):
    for n in range(1, 30):
        for rank in range(world_size):
            sampler = DistributedSampler(range(n), world_size, rank, shuffle=shuffle, seed=7, drop_last=drop_last)
            sampler.set_epoch(n % 4)
            assert shard_indices(n, world_size, rank, n % 4, 7, shuffle, drop_last) == list(sampler)


def test_rank_0_of_1_reads_the_permutation():
    expected = torch.randperm(50, generator=torch.Generator().manual_seed(9)).tolist()
    assert shard_indices(50, 1, 0, epoch=6, seed=3) == expected


def test_worked_example():
    assert [shard_indices(7, 3, rank, 0, shuffle=False) for rank in range(3)] == [[0, 3, 6], [1, 4, 0], [2, 5, 1]]
    assert shard_indices(7, 3, 1, 0, shuffle=False, drop_last=True) == [1, 4]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(6))


def test_the_claims_that_can_be_run():
    claims = lesson.claims
    read = {
        index
        for rank in range(4)
        for index in torch.randperm(1000, generator=torch.Generator().manual_seed(rank))[rank::4].tolist()
    }
    assert (len(read) == 1000) == claims["own_seeds"]
    sampler = DistributedSampler(range(100), 4, 1)
    assert (list(sampler) == list(sampler)) == claims["set_epoch_forgotten"]
    padded = sum((shard_indices(10, 4, rank, 0) for rank in range(4)), [])
    assert (len(padded) == 12 and max(map(padded.count, padded)) == 2) == claims["padded_evaluation"]
    samples = sorted(DataLoader(Stream(), batch_size=None, num_workers=2))
    assert (samples == sorted(list(range(6)) * 2)) == claims["every_worker_streams"]
    text, image = (F.normalize(torch.randn(256, 16), dim=1) for _ in range(2))
    scores = text @ image.T / 0.07
    whole = F.cross_entropy(scores, torch.arange(256))
    local = torch.stack([F.cross_entropy(scores[i : i + 32, i : i + 32], torch.arange(32)) for i in range(0, 256, 32)])
    assert bool(torch.isclose(local.mean(), whole, rtol=0.01)) == claims["local_negatives"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
