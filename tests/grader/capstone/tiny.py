"""A dual encoder and drawings so small that a whole training takes a second, made of nothing but random numbers.

Also a program, so that a training can be begun by `torchrun`, killed and begun again:

    python -m tests.grader.capstone.tiny RESULT.pt '[{"epochs": 2, ...}, ...]' [--checkpoint FILE] [--kill-at STEP]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.evaluation import evaluate
from grader.capstone.examples import Examples, all_pairs
from grader.capstone.processes import process_group, rank
from grader.capstone.recipe import Recipe
from grader.capstone.text_towers import FrozenNames
from grader.capstone.training import History, Step, Watcher, train

VENDORS, CONCEPTS, SIZE = 2, 19, 8


class TinyTower(nn.Module):
    """A convolution and a linear layer; with BatchNorm between them where wished."""

    def __init__(self, *, normalised: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4) if normalised else nn.Identity()
        self.linear = nn.Linear(4 * (SIZE // 2) ** 2, 12)
        self.features = 12

    def forward(self, pixels: Tensor) -> Tensor:
        return self.linear(torch.tanh(self.norm(self.convolution(pixels))).flatten(1))


class TinyNames(nn.Module):
    """A text tower that learns, with whole numbers among its buffers as a tokenizer's."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(40, 6)
        self.register_buffer("tokens", torch.randint(40, (CONCEPTS, 3)))
        self.features = 6

    def forward(self, concepts: Tensor) -> Tensor:
        return self.vectors(self.tokens[concepts]).mean(dim=1)


def tiny_model(*, normalised: bool = False, learns_names: bool = True) -> DualEncoder:
    """The same weights at every call."""
    torch.manual_seed(7)
    names = TinyNames() if learns_names else FrozenNames(torch.randn(CONCEPTS, 6))
    return DualEncoder(TinyTower(normalised=normalised), names, width=8)


def tiny_pixels() -> Tensor:
    """uint8 (vendors, concepts, 4, size, size)."""
    shape = (VENDORS, CONCEPTS, 4, SIZE, SIZE)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def tiny_examples() -> Examples:
    """Both vendors' drawings of 17 concepts, so that most batches hold a concept twice and the last one is short."""
    return Examples(all_pairs(range(VENDORS), range(17)))


def recipe(**changes: Any) -> Recipe:
    """A few steps at a rate at which every one of them shows."""
    plain: dict[str, Any] = {"epochs": 3, "batch_size": 15, "learning_rate": 3e-3, "head_learning_rate": 1e-2}
    return Recipe(**{**plain, **changes})


def run(
    wanted: Recipe, model: DualEncoder | None = None, *, checkpoint: Path | None = None, kill_at: int | None = None
) -> tuple[dict[str, Tensor], History]:
    """A whole training. Returns the weights and the history; dies by SIGKILL after `kill_at` steps of this process."""
    model, pixels, taken = model or tiny_model(), tiny_pixels(), 0

    def on_step(step: Step) -> None:
        nonlocal taken
        taken += 1
        if taken == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def validate(judged: DualEncoder) -> float:
        return evaluate(judged, pixels[0], range(CONCEPTS)).mean_reciprocal_rank

    history = train(
        model, pixels, tiny_examples(), wanted, validate=validate, checkpoint=checkpoint, watcher=Watcher(on_step)
    )
    return {name: value.clone() for name, value in model.state_dict().items()}, history


def figures(history: History) -> list[tuple[float, float]]:
    """What of a history does not depend on the clock: loss and score of every epoch."""
    return [(epoch.loss, epoch.score) for epoch in history.epochs]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("runs", type=json.loads)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--kill-at", type=int)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    with process_group():
        for changes in asked.runs:
            weights, history = run(recipe(**changes), checkpoint=asked.checkpoint, kill_at=asked.kill_at)
            results.append({"weights": weights, "figures": figures(history), "best": history.best})
        torch.save(results, f"{asked.result}.{rank()}")


if __name__ == "__main__":
    main()
