"""The training loop: epochs of contrastive steps, validation, early stopping, and a resume that changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grader.capstone.augmentation import augment
from grader.capstone.checkpoint import read_checkpoint, write_checkpoint
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.examples import Examples
from grader.capstone.optimisation import make_average, make_optimizer, make_schedule
from grader.capstone.processes import count_processes, from_first, rank
from grader.capstone.recipe import Precision, Recipe
from grader.capstone.steps import backward
from grader.capstone.tuning import training_mode
from grader.capstone.watching import Step, StepReporter, Watcher

__all__ = ["Epoch", "History", "Step", "Watcher", "train"]


@dataclass(frozen=True)
class Epoch:
    """What one epoch did: mean loss of its steps, the validation's score, seconds without validation."""

    epoch: int
    loss: float
    score: float
    images_per_second: float
    seconds: float


@dataclass
class History:
    """All epochs of a run; `best` is the epoch whose weights were kept."""

    epochs: list[Epoch] = field(default_factory=list)
    best: int = -1
    stopped_early: bool = False

    @property
    def best_score(self) -> float:
        return self.epochs[self.best].score if self.epochs else float("-inf")


def train(
    model: DualEncoder,
    pixels: Tensor,
    examples: Examples,
    recipe: Recipe,
    *,
    validate: Callable[[DualEncoder], float],
    checkpoint: Path | None = None,
    watcher: Watcher | None = None,
) -> History:
    """Train the parameters that require gradients, in place; the model ends with its best epoch's weights.

    `pixels`: uint8 (vendors, concepts, 4, size, size), on the model's device. `validate` scores a model, higher is
    better. With `checkpoint`, a run that was killed goes on after its last whole epoch, and ends bit for bit as it
    would have on a processor, because every epoch's order and augmentation follow from seed and epoch alone.

    Under `torchrun` all processes call this with equal arguments: each works on its share of every batch, and all end
    with the weights that one process alone would have found; only the first writes the checkpoint and is watched.
    """
    watcher = watcher or Watcher()
    place, processes, device = rank(), count_processes(), pixels.device
    steps = examples.steps(recipe.batch_size)
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, recipe, recipe.epochs * steps)
    averaged = None if recipe.ema is None else make_average(model, recipe.ema)
    history, best = History(), _trainable(model)
    if checkpoint is not None and (state := from_first(lambda: read_checkpoint(checkpoint))) is not None:
        history, best = _restore(state, checkpoint, recipe, model, optimizer, schedule, averaged)
    runner = _runner(model, recipe)

    for number in range(len(history.epochs), recipe.epochs):
        if history.stopped_early:
            break
        training_mode(model, frozen_statistics=recipe.frozen_statistics)
        losses, rows, started = [], 0, time.perf_counter()
        reporter = StepReporter(watcher, device, number, steps)
        for step, batch in enumerate(examples.epoch(number, recipe.batch_size, recipe.seed)):
            share = batch.share(place, processes)
            concepts = share.concepts.to(device)
            images = augment(pixels[share.vendors.to(device), concepts], share.chances)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision is Precision.BFLOAT16):
                loss = backward(runner, images, concepts, micro_batch=recipe.micro_batch, rows=len(batch.concepts))
            norm = nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], recipe.clip)
            rate = float(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if averaged is not None:
                averaged.update_parameters(model)
            losses.append(loss)
            rows += len(batch.concepts)
            if place == 0:
                reporter.add(step, len(batch.concepts), loss, rate, norm)
        reporter.end()
        mean_loss = float(torch.stack(losses).mean())  # waits for the card, so that the time below is true
        seconds = time.perf_counter() - started
        judged: Any = model if averaged is None else averaged.module
        score = from_first(lambda: validate(judged))  # noqa: B023 (called at once)
        history.epochs.append(Epoch(number, mean_loss, score, rows / seconds, seconds))
        if history.best < 0 or score > history.best_score:
            history.best, best = number, _trainable(judged)
        history.stopped_early = recipe.patience is not None and number - history.best >= recipe.patience
        if place == 0:
            watcher.on_epoch(history.epochs[-1])
            if checkpoint is not None:
                write_checkpoint(checkpoint, _state(recipe, model, optimizer, schedule, averaged, history, best))
    model.load_state_dict(best, strict=False)
    return history


def _runner(model: DualEncoder, recipe: Recipe) -> nn.Module:
    """What computes the embeddings: the model, compiled and spread over processes as wished. Shares its parameters."""
    runner: nn.Module = model
    if count_processes() > 1 and any(parameter.requires_grad for parameter in model.parameters()):
        # Buffers are the same everywhere and never change here, so they need not be sent at every step.
        runner = nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)
    if recipe.compile:
        # What was compiled for the method before is of no use, and counts against the limit of recompilations.
        torch.compiler.reset()
        runner = torch.compile(runner)  # type: ignore[assignment]
    return runner


def _trainable(model: nn.Module) -> dict[str, Tensor]:
    """A copy of what training changes: trainable parameters, and buffers (BatchNorm's statistics)."""
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in model.named_buffers()}
    return {n: v.detach().clone() for n, v in model.state_dict().items() if n in learned or n in buffers}


def _state(
    recipe: Recipe, model: nn.Module, optimizer: Any, schedule: Any, averaged: Any, history: History, best: Any
) -> dict[str, Any]:
    return {
        "recipe": {name: str(value) for name, value in recipe.as_json().items()},
        "model": _trainable(model),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "averaged": None if averaged is None else averaged.state_dict(),
        "history": {"epochs": [asdict(e) for e in history.epochs], "best": history.best},
        "stopped_early": history.stopped_early,
        "best": best,
    }


def _restore(
    state: dict[str, Any], file: Path, recipe: Recipe, model: Any, optimizer: Any, schedule: Any, averaged: Any
) -> tuple[History, dict[str, Tensor]]:
    wanted = {name: str(value) for name, value in recipe.as_json().items()}
    if state["recipe"] != wanted:
        changed = sorted(name for name in wanted if state["recipe"].get(name) != wanted[name])
        raise CapstoneError(f"{file}: belongs to a run with another {', '.join(changed)}; delete it to start again")
    model.load_state_dict(state["model"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    if averaged is not None:
        averaged.load_state_dict(state["averaged"])
    epochs = [Epoch(**epoch) for epoch in state["history"]["epochs"]]
    return History(epochs, state["history"]["best"], state["stopped_early"]), state["best"]
