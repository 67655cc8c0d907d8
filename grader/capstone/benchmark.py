"""`make bench-gpu`: how fast the capstone trains, beside Hugging Face's Trainer with the same model and data.

One card. Both train the preset's model from the same first weights on the source vendors' drawings, with the same loss,
batch size, precision, optimizer and schedule, one after the other in the same process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from grader.capstone.augmentation import prepare
from grader.capstone.dual_encoder import DualEncoder
from grader.capstone.errors import CapstoneError
from grader.capstone.flops import card_name, count_flops, peak_flops
from grader.capstone.stopwatch import Stopwatch
from grader.capstone.trainer_baseline import train_with_trainer
from grader.capstone.training import train
from grader.capstone.watching import Watcher
from grader.capstone.workload import Workload, workload

_COUNTED_ROWS = 16


@dataclass(frozen=True)
class Speed:
    """One trainer's figures. `utilisation` is None where the card's peak is not known."""

    title: str
    samples_per_second: float
    utilisation: float | None
    seconds_to_target: float | None
    best_recall: float
    peak_memory_megabytes: float | None


@dataclass(frozen=True)
class Comparison:
    """The whole benchmark; `ratio` is our samples a second over each Trainer's."""

    card: str
    precision: str
    batch_size: int
    target_recall: float
    flops_per_sample: float
    peak_flops: float | None
    speeds: tuple[Speed, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(self.speeds[0].samples_per_second / other.samples_per_second for other in self.speeds[1:])


class _EnoughSeen(Exception):
    """Ends our training loop, which knows only epochs."""


def compare(
    work: Workload, *, seconds: float, target: float, workers: int = 0, compiled_trainer: bool = False
) -> Comparison:
    """Time both trainers for `seconds` each, after their warm-up."""
    flops = _flops_per_sample(work)
    card = card_name()
    peak = peak_flops(card, work.recipe.precision)

    def timed(title: str, run: Callable[[DualEncoder, Stopwatch], None]) -> Speed:
        torch.manual_seed(work.recipe.seed)
        model = work.model().to(work.device)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        watch = Stopwatch(seconds, target)
        run(model, watch)
        if not watch.rows:
            raise CapstoneError(f"{title}: all epochs are over before a step could be timed; give fewer --seconds")
        memory = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
        rate = watch.rows_per_second
        utilisation = None if peak is None else rate * flops / peak
        return Speed(title, rate, utilisation, watch.seconds_to_target, watch.best, memory)

    def trainer(compiled: bool) -> Callable[[DualEncoder, Stopwatch], None]:
        return lambda model, watch: train_with_trainer(work, model, watch, workers=workers, compiled=compiled)

    speeds = [timed("this course", lambda model, watch: _train_ours(work, model, watch))]
    speeds.append(timed("Hugging Face Trainer", trainer(False)))
    if compiled_trainer:
        speeds.append(timed("Hugging Face Trainer, compiled", trainer(True)))
    return Comparison(card, work.recipe.precision, work.recipe.batch_size, target, flops, peak, tuple(speeds))


def _train_ours(work: Workload, model: DualEncoder, watch: Stopwatch) -> None:
    sizes = [len(batch.concepts) for batch in work.examples.epoch(0, work.recipe.batch_size, work.recipe.seed)]

    def on_step(number: int) -> None:
        watch.step(sizes[number])
        if watch.enough:
            raise _EnoughSeen

    def validate(judged: DualEncoder) -> float:
        watch.pause()
        score = work.score(judged)
        watch.validate(score)
        return score

    pixels = work.pixels.to(work.device)
    try:
        watcher = Watcher(on_step=lambda step: on_step(step.step))
        train(model, pixels, work.examples, work.recipe, validate=validate, watcher=watcher)
    except _EnoughSeen:
        pass
    watch.pause()


def _flops_per_sample(work: Workload) -> float:
    pairs = work.examples.pairs[:_COUNTED_ROWS]
    images = prepare(work.pixels[pairs[:, 0], pairs[:, 1]]).to(work.device)
    return count_flops(work.model().to(work.device), images, pairs[:, 1].to(work.device))


def describe(found: Comparison) -> str:
    """The figures and the arithmetic of the utilisation, as lines of text."""
    lines = [f"{found.card}, {found.precision}, {found.batch_size} drawings a batch"]
    for speed in found.speeds:
        reached = "not reached" if speed.seconds_to_target is None else f"{speed.seconds_to_target:.1f} s"
        memory = "" if speed.peak_memory_megabytes is None else f", at most {speed.peak_memory_megabytes:,.0f} MB"
        lines.append(
            f"{speed.title}: {speed.samples_per_second:,.1f} samples/s{memory}; "
            f"recall@1 of {found.target_recall:.2f}: {reached} (best seen {speed.best_recall:.2f})"
        )
    per_sample = f"{found.flops_per_sample / 1e9:.3f} GFLOP a sample (forward and backward, counted from the shapes)"
    for speed in found.speeds:
        work = f"{speed.title}: {per_sample} x {speed.samples_per_second:,.1f} samples/s"
        if found.peak_flops is None or speed.utilisation is None:
            done = found.flops_per_sample * speed.samples_per_second / 1e12
            lines.append(f"{work} = {done:.3f} TFLOP/s; no peak of this device is known, so no utilisation is stated")
        else:
            peak = f"{found.peak_flops / 1e12:,.0f} TFLOP/s (dense {found.precision})"
            lines.append(f"{work} / {peak} = {speed.utilisation:.1%} model FLOPs utilisation")
    for ratio, other in zip(found.ratios, found.speeds[1:], strict=True):
        lines.append(f"{ratio:.2f} times the samples/s of {other.title}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The benchmark as a program; its exit status: 0 measured, 2 it could not be."""
    parser = argparse.ArgumentParser(prog="python -m grader.capstone.benchmark", description=__doc__)
    parser.add_argument("--preset", choices=["cpu", "gpu"], default="gpu")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="read the data from a pack, not from the packages")
    parser.add_argument("--seconds", type=float, default=60, help="of training to time, for each (default: 60)")
    parser.add_argument("--batch-size", type=int, help="default: the preset's")
    parser.add_argument("--target-recall", type=float, default=0.3, help="on an unseen vendor, of 100 names")
    parser.add_argument("--workers", type=int, help="of Trainer's data loader (default: one a core, at most 8)")
    parser.add_argument("--compiled-trainer", action="store_true", help="also time Trainer with torch_compile")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # with several cards Trainer would use them all
    if asked.preset == "gpu" and not torch.cuda.is_available():
        print(
            "There is no graphics card here, so nothing was measured. The same on the processor, with the small model: "
            "python -m grader.capstone.benchmark --preset cpu --seconds 10",
            file=sys.stderr,
        )
        return 2
    workers = asked.workers if asked.workers is not None else min(8, os.cpu_count() or 1)
    try:
        work = workload(asked.preset, asked.pack, asked.batch_size)
        found = compare(
            work,
            seconds=asked.seconds,
            target=asked.target_recall,
            workers=workers,
            compiled_trainer=asked.compiled_trainer,
        )
    except CapstoneError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps({**dataclasses.asdict(found), "ratios": found.ratios}, indent=1))
    else:
        print(describe(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
