"""The reference of capstone/training_run against PyTorch and transformers, and a process that is really killed."""

from __future__ import annotations

import copy
import math
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference.capstone import training_run as lesson
from reference.capstone.training_run import (
    Recipe,
    epoch_order,
    fine_tune,
    load_checkpoint,
    make_optimizer,
    make_schedule,
    save_checkpoint,
    training_step,
    update_average,
)

ROOT = Path(__file__).resolve().parents[3]
RECIPE = {"epochs": 5, "batch_size": 4, "micro_batch": 3, "backbone_rate": 0.01, "head_rate": 0.05}


class Network(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Linear(6, 4)

    def forward(self, inputs):
        return self.head(self.tower(inputs))


def network(dropout: float = 0.0) -> Network:
    torch.manual_seed(0)
    return Network(dropout)


def samples(name: str, n: int, seed: int) -> list[tuple]:
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = torch.randn(n, 3, generator=generator), torch.randint(0, 4, (n,), generator=generator)
    return [((name, i), inputs[i], labels[i]) for i in range(n)]


SETS = samples("train", 10, 1), samples("validation", 6, 2), samples("test", 5, 3)


def loss_fn(model, batch):
    return F.cross_entropy(model(torch.stack([x for _, x, _ in batch])), torch.stack([y for *_, y in batch]))


def score_fn(model, batch):
    return -loss_fn(model, batch).item()


def test_groups_hold_every_trainable_parameter_once():
    model = network()
    model.tower[0].requires_grad_(False)
    optimizer = make_optimizer(model, Recipe(**RECIPE, weight_decay=0.2))
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(map(id, held)) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert len(optimizer.param_groups) == 3
    assert {(g["lr"], g["weight_decay"]) for g in optimizer.param_groups} == {(0.01, 0.0), (0.05, 0.0), (0.05, 0.2)}


@pytest.mark.parametrize(("warmup", "total"), [(0, 7), (3, 11), (9, 10)])
def test_fall_is_that_of_transformers_and_climb_that_of_linear_lr(warmup, total):
    from transformers import get_cosine_schedule_with_warmup

    def optimizer():
        return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)

    ours, theirs, line = optimizer(), optimizer(), optimizer()
    schedule = make_schedule(ours, Recipe(**RECIPE, warmup_steps=warmup), total)
    fall = get_cosine_schedule_with_warmup(theirs, warmup, total)
    climb = torch.optim.lr_scheduler.LinearLR(line, start_factor=1 / (warmup + 1), total_iters=max(1, warmup))
    for step in range(total):
        expected = line if step < warmup else theirs
        assert ours.param_groups[0]["lr"] == pytest.approx(expected.param_groups[0]["lr"], rel=1e-12)
        for one, its_schedule in ((ours, schedule), (theirs, fall), (line, climb)):
            one.step()
            its_schedule.step()
    assert ours.param_groups[0]["lr"] == 0


@pytest.mark.parametrize("micro_batch", [1, 3, 10, 99])
@pytest.mark.parametrize("max_norm", [1e9, 0.05])
def test_steps_equal_those_of_a_plain_loop_on_the_large_batch(micro_batch, max_norm):
    recipe = Recipe(1, 10, micro_batch, 0.01, 0.05, max_norm=max_norm)
    model, twin = network(), network()
    optimizer, other = make_optimizer(model, recipe), make_optimizer(twin, recipe)
    schedule, its_schedule = make_schedule(optimizer, recipe, 4), make_schedule(other, recipe, 4)
    for _ in range(3):
        report = training_step(model, SETS[0], optimizer, schedule, loss_fn, recipe)
        other.zero_grad()
        loss = loss_fn(twin, SETS[0])
        loss.backward()
        norm = nn.utils.clip_grad_norm_(twin.parameters(), max_norm)
        assert report == pytest.approx(
            {"loss": loss.item(), "rate": other.param_groups[-1]["lr"], "gradient_norm": norm.item()}, rel=1e-5
        )
        other.step()
        its_schedule.step()
        for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_close_to_float32():
    losses = []
    for bfloat16 in (False, True):
        recipe = Recipe(1, 10, 4, 0.01, 0.05, bfloat16=bfloat16)
        model = network()
        optimizer = make_optimizer(model, recipe)
        schedule = make_schedule(optimizer, recipe, 9)
        losses.append([training_step(model, SETS[0], optimizer, schedule, loss_fn, recipe)["loss"] for _ in range(5)])
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_average_is_that_of_torch():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = copy.deepcopy(model)
    theirs = torch.optim.swa_utils.AveragedModel(
        copy.deepcopy(model), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    theirs.update_parameters(model)  # its first update copies
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for seed in range(4):
        model(torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
        optimizer.step()
        update_average(average, model, 0.9)
        theirs.update_parameters(model)
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value, theirs.module.state_dict()[name], rtol=1e-6, atol=1e-7)
    assert average[1].num_batches_tracked == 4


def test_frozen_parameters_of_the_average_stay_bit_for_bit():
    model = network().requires_grad_(False)
    average = copy.deepcopy(model)
    for _ in range(100):
        update_average(average, model, 0.97)
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), model.parameters(), strict=True))


def test_orders_are_uniform_enough():
    orders = np.array([epoch_order(6, seed, epoch) for seed in range(20) for epoch in range(50)])
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    counts = np.stack([(orders == i).sum(axis=0) for i in range(6)])
    assert np.abs(counts - 1000 / 6).max() < 5 * math.sqrt(1000 * 5 / 36)


def test_checkpoint_comes_back(tmp_path):
    path = tmp_path / "run.pt"
    assert load_checkpoint(path) is None
    state = {"weights": {"w": torch.arange(3)}, "best": None, "history": [{"loss": 0.5}]}
    save_checkpoint(path, state)
    found = load_checkpoint(path)
    assert found.pop("weights")["w"].tolist() == [0, 1, 2] and found == {"best": None, "history": [{"loss": 0.5}]}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("ema_decay", [None, 0.8])
def test_run_equals_a_loop_without_any_of_it(ema_decay):
    """No dropout and one micro-batch: the run is a plain loop over large batches, and the best epoch is the argmax."""
    recipe = Recipe(**RECIPE | {"micro_batch": 4}, ema_decay=ema_decay, patience=9, warmup_steps=2, seed=3)
    model, twin = network(), network()
    result = fine_tune(model, *SETS, recipe, loss_fn=loss_fn, score_fn=score_fn)
    optimizer = make_optimizer(twin, recipe)
    schedule = make_schedule(optimizer, recipe, 15)
    average = torch.optim.swa_utils.AveragedModel(
        twin, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema_decay or 0.0)
    )
    average.update_parameters(twin)
    assert result["baseline"] == score_fn(twin, SETS[1])
    scores = []
    for epoch in range(5):
        order = epoch_order(10, 3, epoch)
        for rows in (order[:4], order[4:8], order[8:]):
            optimizer.zero_grad()
            loss_fn(twin, [SETS[0][i] for i in rows]).backward()
            nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(twin)
        scores.append(score_fn(average.module, SETS[1]))
    assert [epoch["validation"] for epoch in result["history"]] == pytest.approx(scores, rel=1e-5)
    assert result["best_epoch"] == int(np.argmax(scores)) and result["stopped_early"] is False
    assert result["validation"] == score_fn(model, SETS[1])
    assert result["test"] == score_fn(model, SETS[2])


def test_a_process_that_is_killed_in_earnest(tmp_path):
    """SIGKILL from inside the loss, twice, in processes of their own; then the run goes on here."""
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from tests.oracles.capstone import test_training_run as oracle
        calls = [0]
        def loss_fn(model, batch):
            calls[0] += 1
            if calls[0] == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            return oracle.loss_fn(model, batch)
        oracle.resume(Path(sys.argv[1]), loss_fn)
        """
    )
    path = tmp_path / "run.pt"
    killed = subprocess.run([sys.executable, "-c", program, str(path), "17"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(load_checkpoint(path)["history"]) == 3
    result, model = resume(path, loss_fn)
    expected, twin = resume(tmp_path / "other.pt", loss_fn)
    assert result == expected
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def resume(path, its_loss_fn):
    recipe = Recipe(**RECIPE, ema_decay=0.8, seed=3, patience=9)
    model = network(dropout=0.3)
    return fine_tune(model, *SETS, recipe, loss_fn=its_loss_fn, score_fn=score_fn, checkpoint=path), model


def test_overlap_and_empty_sets():
    recipe = Recipe(**RECIPE)
    train, validation, test = SETS
    for sets in (
        (train, validation, test + train[:1]),
        (train, validation + train[-1:], test),
        (train, validation, test + validation[:1]),
        ([], validation, test),
        (train, [], test),
        (train, validation, []),
    ):
        with pytest.raises(ValueError, match="sets|set need"):
            fine_tune(network(), *sets, recipe, loss_fn=loss_fn, score_fn=score_fn)
    fine_tune(network(), train + train[:2], validation, test, recipe, loss_fn=loss_fn, score_fn=score_fn)


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"head_rate": -1.0}, {"patience": 0}, {"max_norm": 0.0}, {"ema_decay": 1.0}, {"seed": -1}]
)
def test_recipes_out_of_range(change):
    with pytest.raises(ValueError, match="must"):
        Recipe(**RECIPE | change)


def test_the_worked_examples():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = make_schedule(optimizer, Recipe(**RECIPE, warmup_steps=3), 8)
    rates = []
    for _ in range(8):
        rates.append(round(optimizer.param_groups[0]["lr"], 3))
        optimizer.step()
        schedule.step()
    assert rates == [0.25, 0.5, 0.75, 1, 0.905, 0.655, 0.345, 0.095]

    average, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(average.weight, 1.0)
    for weight, expected in ((3.0, 1.5), (5.0, 2.375)):
        nn.init.constant_(model.weight, weight)
        update_average(average, model, 0.75)
        assert average.weight.item() == expected

    scores = iter([0.6, 0.3, 0.5, 0.5, 0.4, 0.9])
    result = fine_tune(
        network(), *SETS, Recipe(**RECIPE, patience=2), loss_fn=loss_fn, score_fn=lambda model, batch: next(scores)
    )
    assert result["best_epoch"] == 1 and len(result["history"]) == 4 and result["stopped_early"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
