"""The reference of optimisation/optimizers against torch.optim in float64, and the laws of the update rules."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.optimisation import optimizers as lesson
from reference.optimisation.optimizers import adamw_step, run_optimizer, sgd_step


def torch_steps(make, param, grads):
    tensor = torch.tensor(param, requires_grad=True)
    optimiser, after = make([tensor]), []
    for grad in grads:
        tensor.grad = torch.tensor(grad)
        optimiser.step()
        after.append(tensor.detach().numpy().copy())
    return after


def own_steps(step, param, grads, **options):
    state, after = {}, []
    for grad in grads:
        param, state = step(param, grad, state, **options)
        after.append(param)
    return after


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "weight_decay": 0.3},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "nesterov": True},
    ],
)
def test_sgd_equals_torch_over_fifty_steps(options, scale):
    rng = np.random.default_rng(0)
    param, grads = rng.normal(size=(3, 4)), scale * rng.normal(size=(50, 3, 4))
    expected = torch_steps(lambda params: torch.optim.SGD(params, **options), param, grads)
    np.testing.assert_allclose(own_steps(sgd_step, param, grads, **options), expected, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.0},
        {"lr": 0.1, "betas": (0.0, 0.5)},
    ],
)
def test_adamw_equals_torch_over_fifty_steps(options, scale):
    rng = np.random.default_rng(1)
    param, grads = rng.normal(size=(3, 4)), scale * rng.normal(size=(50, 3, 4))
    expected = torch_steps(lambda params: torch.optim.AdamW(params, **options), param, grads)
    np.testing.assert_allclose(own_steps(adamw_step, param, grads, **options), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["sgd", "momentum", "nesterov", "adam", "adam_l2", "adamw"])
def test_runs_equal_torch(kind):
    rng = np.random.default_rng(2)
    half = rng.normal(size=(4, 4))
    matrix, target, theta0 = half @ half.T + np.eye(4), rng.normal(size=4), rng.normal(size=4)
    make = {
        "sgd": lambda params: torch.optim.SGD(params, lr=0.02, weight_decay=0.2),
        "momentum": lambda params: torch.optim.SGD(params, lr=0.02, weight_decay=0.2, momentum=0.8),
        "nesterov": lambda params: torch.optim.SGD(params, lr=0.02, weight_decay=0.2, momentum=0.8, nesterov=True),
        "adam": lambda params: torch.optim.Adam(params, lr=0.02, weight_decay=0.2),
        "adam_l2": lambda params: torch.optim.Adam(params, lr=0.02, weight_decay=0.2),
        "adamw": lambda params: torch.optim.AdamW(params, lr=0.02, weight_decay=0.2),
    }[kind]
    tensor = torch.tensor(theta0, requires_grad=True)
    optimiser, expected = make([tensor]), [theta0]
    for _ in range(30):
        tensor.grad = torch.tensor(matrix @ expected[-1] - target)
        optimiser.step()
        expected.append(tensor.detach().numpy().copy())
    found = run_optimizer(kind, lambda theta: matrix @ theta - target, theta0, 30, 0.02, momentum=0.8, weight_decay=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_adam_with_l2_ends_at_the_ridge_solution_and_adamw_elsewhere():
    matrix, target, decay = np.diag([1.0, 10.0]), np.array([1.0, 1.0]), 0.5

    def grad(theta):
        return matrix @ theta - target

    ridge = np.linalg.solve(matrix + decay * np.eye(2), target)
    ends = {}
    for kind in ("adam_l2", "adamw"):
        theta = np.zeros(2)
        for lr in (0.03, 0.003, 0.0003):  # a falling rate, so that Adam settles
            theta = run_optimizer(kind, grad, theta, 1000, lr, weight_decay=decay)[-1]
        ends[kind] = theta
    np.testing.assert_allclose(ends["adam_l2"], ridge, atol=1e-3)
    assert np.abs(ends["adamw"] - ridge).max() > 0.02


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_laws(seed, scale):
    rng = np.random.default_rng(seed)
    param, grads = rng.normal(size=3), rng.normal(size=(5, 3))
    grads += np.where(grads < 0, -0.01, 0.01)
    free = {"lr": 0.1, "eps": 0.0, "weight_decay": 0.0}
    np.testing.assert_allclose(
        own_steps(adamw_step, param, scale * grads, **free), own_steps(adamw_step, param, grads, **free), atol=1e-11
    )
    ways = [own_steps(sgd_step, param, c * grads, lr=0.1, momentum=0.9)[-1] - param for c in (1.0, scale)]
    np.testing.assert_allclose(ways[1], scale * ways[0], rtol=1e-9, atol=1e-11)
    first = adamw_step(param, grads[0], {}, lr=0.1, weight_decay=0.0)[0]
    np.testing.assert_allclose(np.abs(first - param), 0.1, rtol=1e-5)
    shrunk = adamw_step(param, np.zeros(3), {}, lr=0.1, weight_decay=0.5)[0]
    np.testing.assert_allclose(shrunk, 0.95 * param)
    coupled = sgd_step(param, grads[0], {}, lr=0.1, weight_decay=0.5)[0]
    np.testing.assert_allclose(coupled, 0.95 * param - 0.1 * grads[0])


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 2, 3)])
def test_any_shape(shape):
    for step in (sgd_step, adamw_step):
        param, _ = step(np.ones(shape, dtype=np.float16), np.ones(shape), {}, lr=0.1)
        assert param.shape == shape and param.dtype == np.float64


def test_the_claims_that_can_be_computed():
    param, grad = np.array([1.0, -2.0]), np.array([0.5, 30.0])
    lr, decay = 0.1, 0.5
    first = sgd_step((1 - lr * decay) * param, grad, {}, lr=lr)[0]
    assert (
        np.allclose(sgd_step(param, grad, {}, lr=lr, weight_decay=decay)[0], first) == lesson.claims["equal_under_sgd"]
    )
    points = {k: run_optimizer(k, lambda _: grad, param, 3, lr, weight_decay=decay) for k in ("adam_l2", "adamw")}
    assert np.allclose(points["adam_l2"], points["adamw"]) == lesson.claims["equal_under_adam"]
    ways = [adamw_step(param, c * grad, {}, lr=lr, weight_decay=0.0)[0] - param for c in (1.0, 100.0)]
    assert np.allclose(*ways) == lesson.claims["first_adam_step"]

    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    torch.optim.AdamW([weight], lr=0.1, weight_decay=0.01).step()
    assert (weight.item() == 1.0) == lesson.claims["zero_gradient_stays"]

    parameters = [torch.nn.Parameter(torch.ones(n)) for n in (2, 3)]
    for parameter, value in zip(parameters, (3.0, -4.0), strict=True):
        parameter.grad = torch.full_like(parameter, value)
    before = torch.cat([p.grad.clone() for p in parameters])
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    after = torch.cat([p.grad for p in parameters])
    assert (torch.cosine_similarity(before, after, dim=0) < 0.9999).item() == lesson.claims["clipping_turns"]

    norm = torch.nn.BatchNorm1d(2)
    for parameter in norm.parameters():
        parameter.requires_grad_(False)
    norm(torch.randn(4, 2) + 5)
    assert (norm.running_mean == 0).all().item() == lesson.claims["norm_statistics"]


def test_the_worked_example():
    param, grad = np.array([1.0, -2.0]), np.array([0.5, -0.25])
    for step, options, table in (
        (sgd_step, {}, [[0.95, -1.975], [0.9, -1.95]]),
        (sgd_step, {"momentum": 0.8}, [[0.95, -1.975], [0.86, -1.93]]),
        (sgd_step, {"momentum": 0.8, "nesterov": True}, [[0.91, -1.955], [0.788, -1.894]]),
        (adamw_step, {"weight_decay": 0.0}, [[0.9, -1.9], [0.8, -1.8]]),
        (adamw_step, {"weight_decay": 0.5}, [[0.85, -1.8], [0.7075, -1.61]]),
    ):
        np.testing.assert_allclose(own_steps(step, param, [grad, grad], lr=0.1, **options), table, atol=1e-6)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
