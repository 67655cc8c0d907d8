"""Which drawings an epoch shows, and in which order: a pure function of seed and epoch.

Because nothing is remembered from one epoch to the next, a run that was killed goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grader.capstone.errors import CapstoneError


@dataclass(frozen=True)
class Batch:
    """Rows of one step: `vendors` and `concepts`, int64 (batch,), say whose drawing of what; `chances` (batch, 10)."""

    vendors: Tensor
    concepts: Tensor
    chances: Tensor

    def share(self, rank: int, processes: int) -> Batch:
        """What one of several processes works on: equally many rows for each.

        Process r has rows r, r + processes, ...; where they do not come out even, the last row stands again at the end,
        and the loss leaves it out.
        """
        if processes == 1:
            return self
        most = -(-len(self.vendors) // processes)
        rows = (torch.arange(most) * processes + rank).clamp(max=len(self.vendors) - 1)
        return Batch(self.vendors[rows], self.concepts[rows], self.chances[rows])


@dataclass(frozen=True)
class Examples:
    """Drawings to learn from: int64 (examples, 2), each a vendor's row and a concept's index.

    `replayed`: drawings of the source vendors mixed into every batch, `replay` for every example of its own.
    """

    pairs: Tensor
    replayed: Tensor | None = None
    replay: float = 0.0

    def steps(self, batch_size: int) -> int:
        """Steps of an epoch; a last batch of fewer examples counts."""
        return -(-len(self.pairs) // batch_size)

    def epoch(self, epoch: int, batch_size: int, seed: int) -> Iterator[Batch]:
        """The batches of an epoch: every example once, and each batch's share of replayed drawings."""
        from grader.capstone.augmentation import draw_chances

        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        order = torch.randperm(len(self.pairs), generator=generator)
        for rows in order.split(batch_size):
            pairs = self.pairs[rows]
            if self.replayed is not None and (count := round(self.replay * len(rows))):
                again = torch.randint(len(self.replayed), (count,), generator=generator)
                pairs = torch.cat([pairs, self.replayed[again]])
            yield Batch(pairs[:, 0], pairs[:, 1], draw_chances(len(pairs), generator))


def all_pairs(vendors: Sequence[int], concepts: Sequence[int]) -> Tensor:
    """Every one of these vendors' drawings of every one of these concepts, int64 (examples, 2)."""
    if not vendors or not concepts:
        raise CapstoneError("there is nothing to learn from: no vendor or no concept is chosen")
    return torch.cartesian_prod(torch.tensor(list(vendors)), torch.tensor(list(concepts))).reshape(-1, 2)
