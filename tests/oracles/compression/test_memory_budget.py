"""The reference against the tensors of a real training step, published formulas, and the asserts the student sees."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import jupytext
import pytest
import torch
from torch import nn

from reference.compression import memory_budget
from reference.compression.memory_budget import max_trainable, training_bytes, training_flops, training_memory_bytes


def nbytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_equals_the_tensors_of_a_torch_model(frozen_layers) -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    for layer in model[:frozen_layers]:
        layer.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    model(torch.ones(2, 7)).sum().backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    counted = training_bytes(sum(p.numel() for p in model.parameters()), sum(p.numel() for p in trained), "fp32")
    assert counted["weights"] == nbytes(model.parameters())
    assert counted["grads"] == nbytes(p.grad for p in model.parameters() if p.grad is not None)
    assert counted["optimizer"] == nbytes(states)
    assert counted["total"] == sum(counted[name] for name in ("weights", "grads", "optimizer"))


@pytest.mark.parametrize("world", [1, 4, 64])
def test_formulas_of_zero(world) -> None:
    n = 64 * 1000
    totals = [training_bytes(n, n, "mixed", stage, world)["total"] for stage in range(4)]
    assert totals == [16 * n, 4 * n + 12 * n // world, 2 * n + 14 * n // world, 16 * n // world]


def test_published_sizes() -> None:
    n, adapter = 7 * 10**9, 20 * 10**6
    assert training_memory_bytes(n, "full") == 112 * 10**9
    assert training_memory_bytes(n, "lora", adapter) == 14_320_000_000
    assert training_memory_bytes(n, "qlora", adapter) == pytest.approx(3.93e9, rel=1e-3)


def test_the_two_ways_of_counting_meet() -> None:
    for n, t in ((1000, 10), (12345, 6789), (10**12, 3)):
        assert training_bytes(n + t, t, "mixed")["total"] == training_memory_bytes(n, "lora", t)
        assert training_bytes(n, n, "mixed")["total"] == training_memory_bytes(n, "full")
        bits = Fraction(4) + Fraction(8, 64) + Fraction(32, 256 * 64)
        assert training_bytes(n + t, t, "mixed", base_bytes=bits / 8)["total"] == training_memory_bytes(n, "qlora", t)
        assert training_memory_bytes(n, "qlora", 1) < training_memory_bytes(n, "lora", 1) < 16 * n


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
@pytest.mark.parametrize("base_bytes", [None, 0, 0.5, Fraction(5, 7)])
@pytest.mark.parametrize(("stage", "world"), [(0, 1), (1, 3), (2, 4), (3, 7)])
def test_the_largest_number_that_fits(precision, base_bytes, stage, world) -> None:
    options = (precision, stage, world, base_bytes)
    needed = [training_bytes(20, trainable, *options)["total"] for trainable in range(21)]
    assert needed == sorted(needed)
    for budget in range(0, needed[-1] + 10):
        expected = max((t for t in range(21) if needed[t] <= budget), default=-1)
        assert max_trainable(20, budget, *options) == expected


def test_bad_input() -> None:
    with pytest.raises(TypeError):
        training_bytes(7e9, 1, "mixed")
    with pytest.raises(ValueError, match="base_bytes"):
        training_bytes(7, 1, "mixed", base_bytes=float("nan"))
    with pytest.raises(ValueError, match="budget"):
        max_trainable(7, -1, "mixed")
    with pytest.raises(ValueError, match="impossible"):
        training_memory_bytes(7, "lora")
    assert training_memory_bytes(7, "full", block=0) == 112
    with pytest.raises(ValueError, match="at least 1"):
        training_flops(0, 1, True)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(memory_budget.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(memory_budget)))
