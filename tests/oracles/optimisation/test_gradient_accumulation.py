"""The reference of optimisation/gradient_accumulation against PyTorch on the whole batch, and against Keras."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference.optimisation import gradient_accumulation as lesson
from reference.optimisation.gradient_accumulation import accumulated_step


def network(dtype=torch.float64):
    return nn.Sequential(nn.Linear(3, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 4)).to(dtype)


def large_batch_step(model, inputs, targets, loss_fn, optimizer, max_grad_norm):
    model.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return loss.item(), norm.item()


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("sizes", [[4, 4, 2], [10], [1, 9], [1] * 10])
@pytest.mark.parametrize("limit", [None, 0.05])
def test_several_steps_equal_those_on_the_large_batch(optimiser, sizes, limit):
    torch.manual_seed(0)
    model = network()
    twin = copy.deepcopy(model)
    optimizer, other = optimiser(model.parameters(), lr=0.05), optimiser(twin.parameters(), lr=0.05)
    for _ in range(4):
        inputs, targets = torch.randn(10, 3, dtype=torch.float64), torch.randint(0, 4, (10,))
        pieces = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
        report = accumulated_step(model, pieces, F.cross_entropy, optimizer, max_grad_norm=limit)
        loss, norm = large_batch_step(twin, inputs, targets, F.cross_entropy, other, limit or math.inf)
        assert report["loss"] == pytest.approx(loss, rel=1e-12)
        assert report["grad_norm"] == pytest.approx(norm, rel=1e-12)
        for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter, expected, rtol=1e-9, atol=1e-9)
        if limit is not None:
            length = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
            assert length <= limit * (1 + 1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_tokens_equal_cross_entropy_over_the_padded_batch(dtype):
    torch.manual_seed(1)
    model = network(dtype)
    twin = copy.deepcopy(model)
    inputs, targets = torch.randn(6, 5, 3, dtype=dtype), torch.randint(0, 4, (6, 5))
    targets[torch.rand(6, 5) < 0.5] = -100
    targets[2] = -100

    def token_loss(output, labels):
        return F.cross_entropy(output.flatten(0, 1), labels.flatten())

    pieces = [(inputs[:2], targets[:2]), (inputs[2:3], targets[2:3]), (inputs[3:], targets[3:])]
    optimizer, other = (torch.optim.SGD(m.parameters(), lr=0.5) for m in (model, twin))
    report = accumulated_step(model, pieces, token_loss, optimizer, ignore_index=-100)
    large_batch_step(twin, inputs, targets, token_loss, other, math.inf)
    assert report["count"] == int((targets != -100).sum())
    tolerance = 3e-2 if dtype == torch.bfloat16 else 1e-5
    for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=tolerance, atol=tolerance)


def test_equal_micro_batches_are_averaged_as_by_keras():
    keras = pytest.importorskip("keras")
    variable = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(learning_rate=1.0, gradient_accumulation_steps=2)
    optimizer.build([variable])
    for gradient in (1.0, 3.0):
        optimizer.apply_gradients([(keras.ops.convert_to_tensor([gradient]), variable)])
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    pieces = [(torch.tensor([[1.0]]), torch.zeros(1, 1)), (torch.tensor([[3.0]]), torch.zeros(1, 1))]
    accumulated_step(model, pieces, lambda o, t: o.mean(), torch.optim.SGD(model.parameters(), lr=1.0))
    assert model.weight.item() == pytest.approx(float(keras.ops.convert_to_numpy(variable)[0]))


def test_a_skipped_step_does_not_touch_the_state_of_the_optimiser():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    good = (torch.randn(3, 3, dtype=torch.float64), torch.tensor([0, 1, 2]))
    accumulated_step(model, [good], F.cross_entropy, optimizer)
    before = copy.deepcopy(optimizer.state_dict())
    report = accumulated_step(model, [good, (good[0] * math.nan, good[1])], F.cross_entropy, optimizer)
    assert report["skipped"]
    for old, new in zip(before["state"].values(), optimizer.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)


def test_the_claims_that_can_be_computed():
    losses = torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    parts = torch.stack([part.mean() for part in losses.split([4, 4, 2])])
    assert bool(parts.mean() == losses.mean()) == lesson.claims["mean_of_means"]

    weight = torch.ones(1, requires_grad=True)
    for _ in range(2):
        (3 * weight).sum().backward()
    assert (weight.grad.item() == 3.0) == lesson.claims["backward_replaces"]

    norm, inputs = nn.BatchNorm1d(2), torch.randn(8, 2)
    pieces = torch.cat([norm(inputs[:4]), norm(inputs[4:])])
    assert torch.allclose(norm(inputs), pieces) != lesson.claims["batch_norm_differs"]

    inputs, moved = torch.tensor([1.0, 2.0, 3.0, 4.0]), []
    for pieces, rate in ((inputs.split(4), 0.04), (inputs.split(1), 0.01)):
        weight = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=rate)
        for piece in pieces:
            optimizer.zero_grad()
            (weight * piece).square().mean().backward()
            optimizer.step()
        moved.append(weight.detach())
    assert torch.allclose(*moved) == lesson.claims["four_small_steps"]

    tiny = torch.tensor(1e-8)
    assert (tiny.half() == 0 and tiny.bfloat16() != 0) == lesson.claims["scaling_for_fp16"]


def test_the_worked_example():
    pieces = [(torch.ones(3, 1), torch.zeros(3, 1)), (torch.full((1, 1), 3.0), torch.zeros(1, 1))]
    for limit, after in ((None, 0.4), (3.0, 0.7)):
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        report = accumulated_step(model, pieces, F.mse_loss, optimizer, max_grad_norm=limit)
        assert (report["loss"], report["grad_norm"]) == (pytest.approx(3.0), pytest.approx(6.0))
        assert model.weight.item() == pytest.approx(after)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
