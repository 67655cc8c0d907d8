"""Micro-batches, several processes, the compiler and a kill change nothing about what a training finds.

On the processor, with a model of a few hundred weights; cards differ from it only in rounding.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from grader.capstone.augmentation import prepare
from grader.capstone.errors import CapstoneError
from grader.capstone.examples import Batch
from grader.capstone.recipe import Precision
from grader.capstone.steps import backward
from tests.grader.capstone.tiny import figures, recipe, run, tiny_model, tiny_pixels

ROOT = Path(__file__).parents[3]
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(autouse=True)
def one_thread():
    """Several threads add up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def program(result: Path, runs: list[dict[str, Any]], *options: str, processes: int = 1) -> subprocess.CompletedProcess:
    """`tiny` in processes of its own, by torchrun where there are several."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    program = ["-m", "tests.grader.capstone.tiny", str(result), json.dumps(runs)]
    command = [sys.executable, *launcher, *program, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def result_of(file: Path, rank: int = 0) -> list[dict[str, Any]]:
    return torch.load(f"{file}.{rank}", weights_only=True)


def gradients(model, *, micro_batch=None, concepts=None):
    """Loss and gradients of one batch of 13 rows in which concepts stand twice."""
    concepts = torch.arange(13) % 9 if concepts is None else concepts
    images = prepare(tiny_pixels()[torch.arange(13) % 2, concepts])
    loss = backward(model, images, concepts, micro_batch=micro_batch)
    return loss, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 12, 13, 99])
def test_micro_batches_have_the_gradient_of_the_whole_batch(micro_batch):
    loss, whole = gradients(tiny_model())
    loss_in_pieces, in_pieces = gradients(tiny_model(), micro_batch=micro_batch)
    torch.testing.assert_close(loss_in_pieces, loss, rtol=0, atol=1e-6)
    assert whole["log_scale"].abs() > 1e-4
    norm = torch.nn.utils.get_total_norm(whole.values())
    for name, gradient in whole.items():
        assert (in_pieces[name] - gradient).abs().max() <= 1e-6 * norm, name


def test_micro_batches_with_frozen_names_and_a_clamped_temperature():
    def frozen():
        model = tiny_model(learns_names=False)
        model.text_projection.requires_grad_(False)
        model.log_scale.data.fill_(9.0)  # above the bound, where the temperature's gradient is 0
        return model

    _, whole = gradients(frozen())
    _, in_pieces = gradients(frozen(), micro_batch=5)
    assert whole["log_scale"] == in_pieces["log_scale"] == 0
    assert whole["text_projection.weight"] is in_pieces["text_projection.weight"] is None
    for name in ("image_tower.linear.weight", "image_projection.weight"):
        assert (in_pieces[name] - whole[name]).abs().max() <= 1e-6 * whole[name].norm(), name


def test_the_mean_of_micro_batches_own_losses_would_be_another_gradient():
    """What GradCache is for: the tests above would pass for no gradient that is merely close."""
    _, whole = gradients(tiny_model())
    model, concepts = tiny_model(), torch.arange(13) % 9
    images = prepare(tiny_pixels()[torch.arange(13) % 2, concepts])
    for rows in torch.arange(13).split(5):
        backward(model, images[rows], concepts[rows])
    difference = model.image_projection.weight.grad / 3 - whole["image_projection.weight"]
    assert difference.abs().max() > 1e-3


def test_micro_batches_are_refused_while_batch_norm_learns_statistics():
    model = tiny_model(normalised=True)
    with pytest.raises(CapstoneError, match="image_tower.norm is in training mode"):
        gradients(model, micro_batch=4)
    model.image_tower.norm.eval()
    gradients(model, micro_batch=4)


def test_shares_are_equally_long_and_hold_every_row():
    batch = Batch(torch.zeros(7, dtype=torch.long), torch.arange(7), torch.zeros(7, 10))
    shares = [batch.share(rank, 3).concepts for rank in range(3)]
    assert [list(share) for share in shares] == [[0, 3, 6], [1, 4, 6], [2, 5, 6]]
    assert torch.equal(torch.stack(shares, dim=1).flatten()[:7], batch.concepts)


def test_two_processes_end_with_the_weights_of_one(tmp_path):
    """Batches of 15 and of 4 rows: the first kind does not come out even, and whole as well as in micro-batches."""
    runs = [{"clip": 0.5}, {"micro_batch": 3, "ema": 0.6}]
    done = program(tmp_path / "result.pt", runs, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (result_of(tmp_path / "result.pt", rank) for rank in range(2))
    for changes, one, other in zip(runs, first, second, strict=True):
        weights, history = run(recipe(**changes))
        compare(one, weights, history)
        compare(other, weights, history)
        assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in weights)


def test_a_run_of_two_processes_goes_on_after_a_kill(tmp_path):
    file, changes = tmp_path / "result.pt", {"ema": 0.6}
    options = ("--checkpoint", str(tmp_path / "run.pt"))
    killed = program(file, [changes], *options, "--kill-at", "5", processes=2)
    assert killed.returncode != 0 and (tmp_path / "run.pt").exists()
    done = program(file, [changes], *options, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        compare(result_of(file, rank)[0], *run(recipe(**changes)))


def compare(found, weights, history):
    """A result of `tiny` against a plain run's."""
    for name, value in weights.items():
        torch.testing.assert_close(found["weights"][name], value, **CLOSE, msg=lambda text, n=name: f"{n}: {text}")
    torch.testing.assert_close(torch.tensor(found["figures"]), torch.tensor(figures(history)), **CLOSE)
    assert found["best"] == history.best


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the processor")
@pytest.mark.parametrize("changes", [{"batch_size": 17}, {"batch_size": 34, "micro_batch": 17}], ids=str)
def test_compiled_training_ends_with_the_same_weights(changes):
    """All batches and pieces of one shape: compiling is what takes the time."""
    weights, history = run(recipe(epochs=2, **changes))
    compiled, found = run(recipe(epochs=2, compile=True, **changes))
    compare({"weights": compiled, "figures": figures(found), "best": found.best}, weights, history)


def test_bfloat16_stays_close_and_is_not_float32():
    weights, history = run(recipe())
    half, half_history = run(recipe(precision=Precision.BFLOAT16))
    assert {value.dtype for value in half.values()} == {torch.float32, torch.int64}
    assert half_history.epochs[-1].loss == pytest.approx(history.epochs[-1].loss, rel=0.02)
    distance = max(float((half[name] - value).abs().max()) for name, value in weights.items())
    assert 0 < distance < 0.1


KILLED = {
    "plain": {},
    "average": {"ema": 0.7},
    "early-stopping": {"epochs": 12, "ema": 0.5, "patience": 2, "learning_rate": 0.02},
}


@pytest.mark.parametrize("changes", KILLED.values(), ids=KILLED)
def test_a_killed_run_ends_bit_for_bit_as_an_uninterrupted_one(changes, tmp_path):
    file, checkpoint = tmp_path / "result.pt", tmp_path / "checkpoints" / "run.pt"
    killed = program(file, [changes], "--checkpoint", str(checkpoint), "--kill-at", "5")
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert checkpoint.exists() and not Path(f"{file}.0").exists()
    weights, history = run(recipe(**changes))
    resumed, resumed_history = run(recipe(**changes), checkpoint=checkpoint)
    assert figures(resumed_history) == figures(history)
    assert (resumed_history.best, resumed_history.stopped_early) == (history.best, history.stopped_early)
    assert history.stopped_early == ("patience" in changes)
    for name, value in weights.items():
        assert torch.equal(resumed[name], value), name


def test_averaging_leaves_tokens_as_they_are():
    """torch's own average turns 7 into 6.999 and then into 6."""
    weights, _ = run(recipe(ema=0.97))
    assert torch.equal(weights["text_tower.tokens"], tiny_model().text_tower.tokens)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    run(recipe(epochs=1), checkpoint=tmp_path / "run.pt")
    with pytest.raises(CapstoneError, match="another learning_rate"):
        run(recipe(epochs=1, learning_rate=1e-4), checkpoint=tmp_path / "run.pt")
