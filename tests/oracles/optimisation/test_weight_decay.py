"""The reference of optimisation/weight_decay against torch.optim, and against updates that are run until they rest."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.optimisation import weight_decay as lesson
from reference.optimisation.weight_decay import SGDDecay, decay_fixed_point, risk_minimiser, shrinkage


def train(make, model, steps=6):
    optimizer = make(model.parameters())
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(8, 3, dtype=torch.float64, generator=generator)
        optimizer.zero_grad(set_to_none=False)
        model(x).square().mean().backward()
        optimizer.step()
    return model


def new_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def same(left, right):
    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_coupled_equals_torch_sgd(momentum, decay):
    own = train(lambda p: SGDDecay(p, 0.1, momentum, decay, "coupled"), new_model())
    same(own, train(lambda p: torch.optim.SGD(p, lr=0.1, momentum=momentum, weight_decay=decay), new_model()))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decoupled_equals_shrinking_by_hand_before_torch_sgd(momentum):
    class Shrink(torch.optim.SGD):
        def step(self):
            with torch.no_grad():
                for p in self.param_groups[0]["params"]:
                    p.mul_(1 - 0.1 * 0.5)
            super().step()

    own = train(lambda p: SGDDecay(p, 0.1, momentum, 0.5), new_model())
    same(own, train(lambda p: Shrink(p, lr=0.1, momentum=momentum), new_model()))


def test_adamw_shrinks_as_the_decoupled_mode_does():
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    twin = nn.Parameter(weight.detach().clone())
    for parameter in (weight, twin):
        parameter.grad = torch.zeros_like(parameter)
    SGDDecay([weight], 0.1, weight_decay=0.5).step()
    torch.optim.AdamW([twin], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight, twin)


def run_to_rest(H, b, momentum, decay, mode, steps=1500):
    theta = nn.Parameter(torch.zeros_like(b))
    optimizer = SGDDecay([theta], 0.02, momentum, decay, mode)
    for _ in range(steps):
        theta.grad = (H @ theta - b).detach()
        optimizer.step()
    return theta.detach()


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(3, 3, dtype=torch.float64, generator=generator)
    return half @ half.T + torch.eye(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64, generator=generator)


def test_the_update_rests_at_the_fixed_point(problem):
    H, b = problem
    for momentum, decay, mode, where in (
        (0.0, 0.5, "decoupled", 0.5),
        (0.0, 0.5, "coupled", 0.5),
        (0.8, 0.5, "coupled", 0.5),
        (0.8, 0.5, "decoupled", 0.5 * (1 - 0.8)),  # as the lesson says under "Going further"
        (0.8, 0.0, "decoupled", 0.0),
    ):
        end = run_to_rest(H, b, momentum, decay, mode)
        torch.testing.assert_close(end, decay_fixed_point(H, b, where), rtol=1e-8, atol=1e-9)


def test_laws_of_the_points(problem):
    H, b = problem
    torch.testing.assert_close(risk_minimiser(H, b), torch.linalg.inv(H) @ b)
    torch.testing.assert_close(decay_fixed_point(H, b, 0.0), risk_minimiser(H, b))
    assert decay_fixed_point(H, b, 1e9).abs().max() < 1e-8
    factors = shrinkage(H, 0.7)
    assert (factors > 0).all() and (factors <= 1).all() and (factors.diff() > 0).all()
    _, basis = torch.linalg.eigh(H)
    ratio = (basis.T @ decay_fixed_point(H, b, 0.7)) / (basis.T @ risk_minimiser(H, b))
    torch.testing.assert_close(ratio, factors)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    turned = decay_fixed_point(rotation @ H @ rotation.T, rotation @ b, 0.7)
    torch.testing.assert_close(turned, rotation @ decay_fixed_point(H, b, 0.7))


def test_float32_and_rounding_in_the_symmetry(problem):
    H, b = problem
    basis, _ = torch.linalg.qr(H.float())
    made = basis @ torch.diag(torch.tensor([1.0, 2.0, 3.0])) @ basis.T  # symmetric up to rounding
    assert decay_fixed_point(made, b.float(), 0.5).dtype == torch.float32
    torch.testing.assert_close(shrinkage(made, 1.0), torch.tensor([1 / 2, 2 / 3, 3 / 4]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_stay_half(dtype):
    weight = nn.Parameter(torch.tensor([2.0, -4.0], dtype=dtype))
    weight.grad = torch.tensor([1.0, 2.0], dtype=dtype)
    SGDDecay([weight], 0.5, 0.5, 0.25).step()
    assert weight.dtype == dtype and weight.tolist() == [1.25, -4.5]


def test_a_learning_rate_scheduler_drives_it():
    weight = nn.Parameter(torch.ones(1))
    optimizer = SGDDecay([weight], 1.0, weight_decay=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        weight.grad = torch.zeros(1)
        optimizer.step()
        scheduler.step()
    assert weight.item() == 0.5 * 0.75


def test_the_worked_example():
    for momentum, mode, expected in (
        (0.0, "coupled", [1.8, 1.61]),
        (0.0, "decoupled", [1.8, 1.61]),
        (0.5, "coupled", [1.8, 1.51]),
        (0.5, "decoupled", [1.8, 1.56]),
    ):
        weight = nn.Parameter(torch.tensor([2.0]))
        optimizer, after = SGDDecay([weight], 0.1, momentum, 0.5, mode), []
        for _ in range(2):
            weight.grad = torch.ones(1)
            optimizer.step()
            after.append(weight.item())
        assert after == pytest.approx(expected)
    H, b = torch.diag(torch.tensor([1.0, 10.0])), torch.ones(2)
    torch.testing.assert_close(decay_fixed_point(H, b, 0.5), torch.tensor([2 / 3, 1 / 10.5]))
    torch.testing.assert_close(shrinkage(H, 0.5), torch.tensor([2 / 3, 10 / 10.5]))


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
