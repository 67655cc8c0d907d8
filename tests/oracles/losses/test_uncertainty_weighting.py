"""The reference of losses/uncertainty_weighting against PyTorch's Gaussian likelihood and SciPy's minimiser."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.losses import uncertainty_weighting as lesson
from reference.losses.uncertainty_weighting import UncertaintyWeighting


def doubles(values) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def weighting_at(log_var) -> UncertaintyWeighting:
    module = UncertaintyWeighting(len(log_var)).double()
    with torch.no_grad():
        module.log_var.copy_(doubles(log_var))
    return module


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_negative_log_likelihood_of_gaussians(seed):
    rng = np.random.default_rng(seed)
    n_terms = int(rng.integers(1, 6))
    log_var, errors = rng.uniform(-3, 3, n_terms), doubles(rng.normal(size=n_terms))
    expected = F.gaussian_nll_loss(errors, torch.zeros_like(errors), doubles(log_var).exp(), eps=1e-12, reduction="sum")
    module = weighting_at(log_var)
    for losses in (errors.square(), [*errors.square()], tuple(errors.square())):
        torch.testing.assert_close(module(losses), expected)
    torch.testing.assert_close(module.weights(), doubles([math.exp(-s) for s in log_var]))


@pytest.mark.parametrize("loss", [2.0, 0.1, 1.0, 37.0])
def test_the_best_log_var_is_the_log_of_the_loss(loss):
    optimize = pytest.importorskip("scipy.optimize")
    best = optimize.minimize_scalar(lambda s: weighting_at([s])(doubles([loss])).item(), bracket=(-1, 1)).x
    assert best == pytest.approx(math.log(loss), abs=1e-6)


def test_slow_gradient_descent_arrives_there_too():
    module, losses = UncertaintyWeighting(2), torch.tensor([2.0, 0.1])
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(250):
        optimiser.zero_grad()
        module(losses).backward()
        optimiser.step()
    torch.testing.assert_close(module.log_var.detach(), torch.tensor([0.6931, -2.3026]), rtol=0, atol=1e-3)


def test_gradients_are_those_of_finite_differences():
    def total(log_var, losses):
        return torch.func.functional_call(UncertaintyWeighting(3).double(), {"log_var": log_var}, losses)

    inputs = [doubles([0.5, -1.0, 2.0]).requires_grad_(), doubles([1.5, 0.3, 4.0]).requires_grad_()]
    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision(dtype):
    module, losses = weighting_at([0.5, -1.0, 2.0]), doubles([1.5, 0.0, 4.0])
    exact = module(losses)
    total = module.to(dtype)(losses.to(dtype))
    assert total.dtype == dtype
    torch.testing.assert_close(total.double(), exact, rtol=0, atol=8 * torch.finfo(dtype).eps)


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1"):
        UncertaintyWeighting(0)
    module = UncertaintyWeighting(2)
    for losses in (torch.ones(1), torch.ones(2, 1), torch.tensor(1.0), [], [torch.tensor(1.0)]):
        with pytest.raises(ValueError, match="expected 2 losses"):
            module(losses)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            module(torch.tensor([1.0, bad]))


def test_the_claims_that_can_be_computed():
    claims = lesson.claims
    weight = torch.tensor(1.0, requires_grad=True)
    (weight * 0.7).backward()
    assert (weight.grad <= 0) == claims["sum_alone_learns"]

    at_best = weighting_at(np.log([3.0, 0.2]))
    at_best(doubles([3.0, 0.2])).backward()
    assert (at_best.log_var.grad.abs().max() < 1e-12) == claims["optimum_is_log_loss"]
    moved = weighting_at(np.log([3000.0, 0.2]))
    moved(doubles([3000.0, 0.2])).backward()
    assert (moved.log_var.grad.abs().max() < 1e-12) == claims["units_cancel"]
    assert (at_best.weights()[0] > at_best.weights()[1]) == claims["largest_loss_leads"]

    before, after = weighting_at([0.0])(doubles([0.1])), weighting_at([-1.5])(doubles([0.12]))
    assert (after < before and after < 0) == claims["total_may_mislead"]


def test_the_worked_example():
    module = weighting_at([math.log(2), math.log(0.25)])
    total = module(doubles([3.0, 0.5]))
    assert total.item() == pytest.approx(1.4034, abs=6e-5)
    assert module.weights().tolist() == pytest.approx([0.5, 4.0])
    total.backward()
    assert module.log_var.grad.tolist() == pytest.approx([-0.25, -0.5])


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
