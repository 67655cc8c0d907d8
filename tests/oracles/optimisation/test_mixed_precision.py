"""The reference of optimisation/mixed_precision against torch.amp.GradScaler, torch.autocast and exact sums."""

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference.optimisation import mixed_precision as lesson
from reference.optimisation.mixed_precision import LossScaler, amp_step, master_update

slopes = st.sampled_from([1.0, 0.5, -2.0, math.inf, -math.inf, math.nan])


def run(scaler, gradients):
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer, history = torch.optim.SGD([weight], lr=0.1, momentum=0.5), []
    for slope in gradients:
        optimizer.zero_grad()
        scaler.scale((slope * weight).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        history.append((weight.item(), scaler.get_scale()))
    return history


@settings(max_examples=60, deadline=None)
@given(
    st.lists(slopes, max_size=20),
    st.integers(1, 4),
    st.sampled_from([2.0, 1.5]),
    st.sampled_from([0.5, 0.25]),
)
def test_equals_the_scaler_of_torch(gradients, interval, growth, backoff):
    options = dict(init_scale=8.0, growth_factor=growth, backoff_factor=backoff, growth_interval=interval)
    expected = run(torch.amp.GradScaler("cpu", **options), gradients)
    found = run(LossScaler(**options), gradients)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected))


@pytest.mark.parametrize("max_norm", [0.05, 1e6])
def test_training_under_autocast_follows_training_in_float32(max_norm):
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    y = torch.randn(16, 1, generator=torch.Generator().manual_seed(1))
    ends = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.1), LossScaler(init_scale=256.0)
        for _ in range(10):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
                output = model(x)
            assert amp_step(nn.functional.mse_loss(output.float(), y), model, optimizer, scaler, max_norm)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=0.1, atol=0.02)


def test_clipping_with_the_scaler_equals_clipping_without():
    torch.manual_seed(0)
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    models[1].load_state_dict(models[0].state_dict())
    x = 10 * torch.randn(5, 3)
    amp_step(models[0](x).square().sum(), models[0], torch.optim.SGD(models[0].parameters(), lr=0.1), LossScaler(), 0.5)
    models[1](x).square().sum().backward()
    nn.utils.clip_grad_norm_(models[1].parameters(), 0.5)
    torch.optim.SGD(models[1].parameters(), lr=0.1).step()
    for left, right in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(left, right)


def test_small_gradients_survive_float16_only_when_scaled():
    weight = nn.Parameter(torch.tensor([1.0]))
    for scaler, survives in ((LossScaler(init_scale=1.0), False), (LossScaler(init_scale=1024.0), True)):
        optimizer = torch.optim.SGD([weight], lr=1.0)
        optimizer.zero_grad()
        scaler.scale((weight.half() * 1.0).float().sum() * 1e-8).backward()
        scaler.unscale_(optimizer)
        assert (weight.grad.item() > 0) == survives


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_thousand_small_updates(dtype):
    param = half = torch.ones(1, dtype=dtype)
    master, grad = torch.ones(1), torch.full((1,), 0.01, dtype=dtype)
    for _ in range(1000):
        param, master = master_update(param, master, grad, 1e-3)
        half = half - (1e-3 * grad)
    assert half.item() == 1.0  # every single update was rounded away
    assert master.item() == pytest.approx(1 - 1000 * 1e-3 * grad.item(), abs=1e-4)
    assert param.item() == pytest.approx(0.99, abs=2e-3 if dtype == torch.float16 else 1e-2)


def test_the_claims_that_can_be_computed():
    numbers = torch.tensor([1e-8, 70000.0])
    kept = numbers.bfloat16()
    assert (bool((kept > 0).all()) and bool(kept.isfinite().all())) == lesson.claims["bfloat16_range"]
    assert numbers.half().tolist() == [0.0, math.inf]

    weight = torch.ones((), dtype=torch.bfloat16)
    for _ in range(1000):
        weight = weight + torch.tensor(0.001, dtype=torch.bfloat16)
    assert (weight.item() > 1.5) == lesson.claims["small_steps_add_up"]

    model = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.ones(2, 4)).sum()
    loss.backward()
    optimizer.step()
    averages = [optimizer.state[p][key] for p in model.parameters() for key in ("exp_avg", "exp_avg_sq")]
    assert any(average.dtype != torch.float32 for average in averages) == lesson.claims["autocast_shrinks_adam"]

    sizes = [torch.float16, torch.float16, torch.float32, torch.float32, torch.float32]
    assert (sum(dtype.itemsize for dtype in sizes) == 16) == lesson.claims["sixteen_bytes"]
    assert (run(LossScaler(init_scale=8.0), [math.inf])[0][0] != 1.0) == lesson.claims["overflow_is_clamped"]


def test_the_worked_example():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer, scaler, history = torch.optim.SGD([weight], lr=0.1), LossScaler(8.0, growth_interval=2), []
    for slope in (1.0, math.inf, 1.0, 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((slope * weight).sum()).backward()
        stepped = scaler.step(optimizer)
        scaler.update()
        history.append((stepped, pytest.approx(weight.item()), scaler.get_scale()))
    assert history == [(True, 0.9, 8.0), (False, 0.9, 4.0), (True, 0.8, 4.0), (True, 0.7, 8.0), (True, 0.6, 8.0)]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
