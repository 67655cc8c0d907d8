"""The benchmark on the processor, with a model of a few hundred weights: figures add up, and no card is no crash."""

from __future__ import annotations

import json

import pytest
import torch

from grader.capstone import benchmark, flops
from grader.capstone.augmentation import prepare
from grader.capstone.contrastive import contrastive_loss
from grader.capstone.evaluation import evaluate
from grader.capstone.recipe import Precision
from grader.capstone.stopwatch import Stopwatch
from grader.capstone.trainer_baseline import train_with_trainer
from tests.grader.capstone.tiny import CONCEPTS, recipe, tiny_examples, tiny_model, tiny_pixels

pytest.importorskip("accelerate")


def tiny_work(**changes) -> benchmark.Workload:
    pixels = tiny_pixels()
    return benchmark.Workload(
        model=tiny_model,
        pixels=pixels,
        examples=tiny_examples(),
        recipe=recipe(epochs=2000, **changes),
        score=lambda model: evaluate(model, pixels[0], range(CONCEPTS)).recall(1),
        device=torch.device("cpu"),
    )


def test_both_trainers_are_timed():
    found = benchmark.compare(tiny_work(), seconds=0.5, target=0.0)
    ours, trainer = found.speeds
    assert ours.samples_per_second > 0 and trainer.samples_per_second > 0
    for speed in found.speeds:
        assert speed.seconds_to_target is not None and speed.seconds_to_target > 0
        assert speed.utilisation is None
    assert found.ratios == (ours.samples_per_second / trainer.samples_per_second,)
    text = benchmark.describe(found)
    assert "no peak of this device is known" in text and "times the samples/s of Hugging Face Trainer" in text


@pytest.mark.parametrize("name", ["ours", "Trainer"])
def test_either_trainer_learns(name):
    work, model, watch = tiny_work(warmup=0.0), tiny_model(), Stopwatch(seconds=0.5, target=1.0)
    concepts = torch.arange(17)
    images = prepare(work.pixels[0, concepts])
    before = float(contrastive_loss(model(images, concepts), concepts).detach())
    if name == "ours":
        benchmark._train_ours(work, model, watch)
    else:
        train_with_trainer(work, model, watch, workers=0, compiled=False)
    assert watch.enough
    assert float(contrastive_loss(model(images, concepts), concepts)) < before


def test_utilisation_is_flops_times_samples_over_the_peak(monkeypatch):
    monkeypatch.setattr(benchmark, "card_name", lambda: "NVIDIA A100-SXM4-80GB")
    found = benchmark.compare(tiny_work(precision=Precision.BFLOAT16), seconds=0.1, target=2.0)
    assert found.peak_flops == 312e12
    for speed in found.speeds:
        assert speed.utilisation == pytest.approx(found.flops_per_sample * speed.samples_per_second / 312e12)
        assert speed.seconds_to_target is None
    assert "312 TFLOP/s (dense bfloat16)" in benchmark.describe(found)


def test_flops_are_those_of_the_shapes():
    """Two a multiplication; backward once for the weights and once for the inputs, which the drawings do not need."""
    model, rows = tiny_model(learns_names=False), 5
    convolution, linear = 3 * 9 * 4 * 16, 64 * 12
    projections, logits = 12 * 8 + 6 * 8, 8 * rows
    forward = convolution + linear + projections + logits
    backward = convolution + 2 * linear + 2 * 12 * 8 + 6 * 8 + 2 * logits
    counted = flops.count_flops(model, torch.randn(rows, 3, 8, 8), torch.arange(rows))
    assert counted == 2 * (forward + backward)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "card, peak",
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 PCIe", None),
        ("Tesla T4", None),
    ],
)
def test_peaks_are_looked_up_by_name(card, peak):
    assert flops.peak_flops(card, Precision.BFLOAT16) == peak
    assert flops.peak_flops(card, Precision.FLOAT32) is None


def test_the_stopwatch_counts_neither_warm_up_nor_validation(monkeypatch):
    now = 0.0
    monkeypatch.setattr("grader.capstone.stopwatch.time.perf_counter", lambda: now)
    watch = Stopwatch(seconds=2.0, target=0.5, _last=0.0)
    for _ in range(3):
        now += 10
        watch.step(4)
    assert (watch.rows, watch.counted, watch.everything) == (0, 0, 30)
    now += 1
    watch.step(4)
    watch.pause()
    now += 100
    watch.validate(0.6)
    now += 1
    watch.step(4)
    assert watch.enough and watch.rows_per_second == 4 and watch.seconds_to_target == 31


def test_without_a_card_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main([]) == 2
    assert "nothing was measured" in capsys.readouterr().err


def test_figures_as_json(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "workload", lambda *asked: tiny_work())
    assert benchmark.main(["--preset", "cpu", "--seconds", "0.1", "--workers", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["card"] == "cpu" and len(found["speeds"]) == 2 and found["ratios"][0] > 0
