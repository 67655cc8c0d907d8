"""The training loop: epochs of contrastive steps, validation, early stopping, and a resume that changes nothing."""

from __future__ import annotations

import copy
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
from grader.capstone.optimisation import make_optimizer, make_schedule
from grader.capstone.recipe import Precision, Recipe
from grader.capstone.steps import backward
from grader.capstone.tuning import training_mode


@dataclass(frozen=True)
class Step:
    """What one step did. `gradient_norm` is before clipping; `images_per_second` counts this step's rows."""

    epoch: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    images_per_second: float


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


@dataclass
class Watcher:
    """Who is told how the training goes; does nothing by default."""

    on_step: Callable[[Step], None] = lambda step: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None


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
    """
    watcher = watcher or Watcher()
    rank, processes = _place()
    steps = examples.steps(recipe.batch_size)
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, recipe, recipe.epochs * steps)
    averaged = _averaged(model, recipe)
    history, best = History(), _trainable(model)
    if checkpoint is not None and (state := read_checkpoint(checkpoint)) is not None:
        history, best = _restore(state, checkpoint, recipe, model, optimizer, schedule, averaged)
    runner = _runner(model, recipe)

    for number in range(len(history.epochs), recipe.epochs):
        if history.stopped_early:
            break
        training_mode(model, frozen_statistics=recipe.frozen_statistics)
        losses, rows, started = [], 0, time.perf_counter()
        for step, batch in enumerate(examples.epoch(number, recipe.batch_size, recipe.seed)):
            begun = time.perf_counter()
            share = batch.share(rank, processes)
            concepts = share.concepts.to(pixels.device)
            images = augment(pixels[share.vendors.to(pixels.device), concepts], share.chances)
            with torch.autocast(pixels.device.type, torch.bfloat16, enabled=recipe.precision is Precision.BFLOAT16):
                loss = backward(runner, images, concepts, micro_batch=recipe.micro_batch)
            norm = nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], recipe.clip)
            rate = schedule.get_last_lr()[0]
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if averaged is not None:
                averaged.update_parameters(model)
            losses.append(loss)
            rows += len(batch.concepts)
            if rank == 0:
                seconds = time.perf_counter() - begun
                speed = len(batch.concepts) / seconds
                watcher.on_step(Step(number, step, steps, float(loss), float(rate), float(norm), speed))
        seconds = time.perf_counter() - started
        judged = model if averaged is None else averaged.module
        score = validate(judged)
        history.epochs.append(Epoch(number, float(torch.stack(losses).mean()), score, rows / seconds, seconds))
        if history.best < 0 or score > history.best_score:
            history.best, best = number, _trainable(judged)
        history.stopped_early = recipe.patience is not None and number - history.best >= recipe.patience
        if rank == 0:
            watcher.on_epoch(history.epochs[-1])
            if checkpoint is not None:
                write_checkpoint(checkpoint, _state(recipe, model, optimizer, schedule, averaged, history, best))
    model.load_state_dict(best, strict=False)
    return history


def _place() -> tuple[int, int]:
    """This process's rank and the number of processes."""
    if torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _runner(model: DualEncoder, recipe: Recipe) -> nn.Module:
    """What computes the embeddings: the model, compiled and spread over processes as wished. Shares its parameters."""
    runner: nn.Module = model
    if torch.distributed.is_initialized():
        runner = nn.parallel.DistributedDataParallel(model, device_ids=None)
    return torch.compile(runner) if recipe.compile else runner  # type: ignore[return-value]


def _averaged(model: DualEncoder, recipe: Recipe) -> Any:
    if recipe.ema is None:
        return None
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average, use_buffers=True)


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
    return History(epochs, state["history"]["best"], state["stopped_early"]), copy.copy(state["best"])
