"""adversarial/worst_case against all corners, SciPy's optimisers, NumPy's dual norms and torch's gradient."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from reference.adversarial import worst_case
from reference.adversarial.worst_case import worst_case_margin, worst_case_perturbation

DUAL = {"linf": 1, "l2": 2, "l1": np.inf}
ORDER = {"linf": np.inf, "l2": 2, "l1": 1}


@pytest.mark.parametrize("y", [1, -1])
def test_linf_is_the_best_of_all_corners(y):
    w = np.random.default_rng(0).normal(size=8)
    corners = 0.3 * np.array(list(product([-1.0, 1.0], repeat=8)))
    best = corners[np.argmin(y * corners @ w)]
    np.testing.assert_allclose(worst_case_perturbation(w, y, 0.3, "linf"), best)


@pytest.mark.parametrize("y", [1, -1])
def test_l1_is_the_solution_of_the_linear_program(y):
    w = np.random.default_rng(1).normal(size=6)
    # delta = up - down with up, down >= 0 and sum(up + down) <= eps
    costs = y * np.concatenate([w, -w])
    solution = linprog(costs, A_ub=np.ones((1, 12)), b_ub=[0.7])
    np.testing.assert_allclose(worst_case_perturbation(w, y, 0.7, "l1"), solution.x[:6] - solution.x[6:], atol=1e-9)
    assert worst_case_margin(w, 0.2, np.zeros(6), y, 0.7, "l1") == pytest.approx(solution.fun + y * 0.2)


@pytest.mark.parametrize("y", [1, -1])
def test_l2_is_what_scipy_finds(y):
    w = np.random.default_rng(2).normal(size=5)
    inside = {"type": "ineq", "fun": lambda delta: 0.6**2 - delta @ delta}
    found = minimize(lambda delta: y * w @ delta, 0.01 * np.ones(5), constraints=[inside], method="SLSQP")
    np.testing.assert_allclose(worst_case_perturbation(w, y, 0.6, "l2"), found.x, atol=1e-3)
    assert y * w @ worst_case_perturbation(w, y, 0.6, "l2") == pytest.approx(found.fun, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    w=st.lists(st.floats(-50, 50), min_size=1, max_size=9),
    y=st.sampled_from([-1, 1]),
    eps=st.floats(0, 10),
    norm=st.sampled_from(sorted(DUAL)),
)
def test_the_margin_falls_by_eps_times_the_dual_norm(w, y, eps, norm):
    x = np.linspace(-1, 2, len(w))
    clean = y * (np.dot(w, x) - 0.4)
    margin = worst_case_margin(w, -0.4, x, y, eps, norm)
    assert margin == pytest.approx(clean - eps * np.linalg.norm(w, DUAL[norm]), rel=1e-9, abs=1e-8)
    delta = worst_case_perturbation(w, y, eps, norm)
    # known limit of the reference: weights below 1e-154 have squares, and so a length, of 0
    if np.linalg.norm(w) > 0 if norm == "l2" else any(w):
        assert np.linalg.norm(delta, ORDER[norm]) == pytest.approx(eps)
    else:
        assert not delta.any()


def test_linf_is_a_signed_step_on_the_logistic_loss():
    w, x = torch.randn(7, generator=torch.Generator().manual_seed(3)), torch.ones(7, requires_grad=True)
    torch.nn.functional.softplus(w @ x + 0.5).backward()  # the loss for label -1
    np.testing.assert_allclose(worst_case_perturbation(w.numpy(), -1, 0.1, "linf"), 0.1 * x.grad.sign(), rtol=1e-6)


def test_noise_changes_nothing_on_average_and_far_less_in_many_dimensions():
    rng = np.random.default_rng(4)
    w = rng.normal(size=400)
    noise = rng.normal(size=(2000, 400))
    noise *= 0.5 / np.linalg.norm(noise, axis=1, keepdims=True)
    worst = w @ worst_case_perturbation(w, 1, 0.5, "l2")
    assert abs((noise @ w).mean()) < 0.01 * abs(worst)
    assert (noise @ w).min() > 0.3 * worst


def test_the_worked_example_of_the_lesson():
    w, b, x = [1, -4, 2], -1, [2, 0, 1]
    np.testing.assert_allclose(worst_case_perturbation(w, 1, 0.5, "l2"), [-0.109, 0.436, -0.218], atol=5e-4)
    margins = [worst_case_margin(w, b, x, 1, 0.5, norm) for norm in ("linf", "l2", "l1")]
    np.testing.assert_allclose(margins, [-0.5, 0.709, 1], atol=5e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        ([1.0], 0, 0.1, "l1"),
        ([1.0], float("nan"), 0.1, "l1"),
        ([1.0], 1, -0.1, "l2"),
        ([1.0], 1, float("nan"), "l2"),
        ([1.0], 1, float("inf"), "l2"),
        ([1.0], 1, 0.1, "max"),
        ([[1.0]], 1, 0.1, "linf"),
        ([], 1, 0.1, "linf"),
        (2.0, 1, 0.1, "linf"),
    ],
)
def test_bad_input_is_refused(arguments):
    with pytest.raises(ValueError):
        worst_case_perturbation(*arguments)


@pytest.mark.parametrize("x", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], 1.0])
def test_a_sample_of_another_shape_is_refused(x):
    with pytest.raises(ValueError):
        worst_case_margin([1.0, 2.0], 0.0, x, 1, 0.1, "l2")


def test_the_visible_checks_of_the_lesson_hold():
    lesson = Path(worst_case.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 4
    exec(compile(code, "visible checks", "exec"), dict(vars(worst_case)))
