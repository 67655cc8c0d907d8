"""The reference of schedules/warmup_cosine against transformers' schedules, and the laws that it obeys."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.schedules import warmup_cosine as lesson
from reference.schedules.warmup_cosine import (
    lr_factor,
    make_factor_scheduler,
    make_scheduler,
    max_stable_lr,
    warmup_cosine_lr,
)

lengths = st.tuples(st.integers(0, 20), st.integers(1, 40)).map(lambda pair: (pair[0], sum(pair)))


def curve(make, updates, base_lr=0.5):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base_lr)
    scheduler = make(optimizer)
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(updates):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    return rates


@pytest.mark.parametrize(("warmup_steps", "total_steps"), [(4, 10), (0, 7), (1, 2), (9, 40)])
def test_agrees_with_transformers_up_to_the_last_step(warmup_steps, total_steps):
    optimization = pytest.importorskip("transformers.optimization")
    lengths = {"num_warmup_steps": warmup_steps, "num_training_steps": total_steps}
    pairs = [
        (lambda o: make_scheduler(o, total_steps=total_steps, warmup_steps=warmup_steps), "cosine", {}),
        (lambda o: make_factor_scheduler(o, warmup_steps, total_steps, "linear"), "linear", {}),
        (
            lambda o: make_factor_scheduler(o, warmup_steps, total_steps, "cosine", 0.2),
            "cosine_with_min_lr",
            {"min_lr_rate": 0.2},
        ),
    ]
    for make, name, options in pairs:
        theirs = getattr(optimization, f"get_{name}_schedule_with_warmup")
        expected = curve(lambda o, theirs=theirs, options=options: theirs(o, **lengths, **options), total_steps)
        np.testing.assert_allclose(curve(make, total_steps), expected, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=50, deadline=None)
@given(lengths, st.sampled_from(["constant", "linear", "cosine"]), st.floats(0, 1))
def test_laws_of_the_factor(lengths, kind, min_ratio):
    warmup_steps, total_steps = lengths
    factors = [lr_factor(step, warmup_steps, total_steps, kind, min_ratio) for step in range(2 * total_steps + 3)]
    assert min(factors) >= 0 and max(factors) <= 1 + 1e-12
    assert factors[warmup_steps] == pytest.approx(1)
    fall = factors[warmup_steps:]
    assert all(later <= earlier + 1e-12 for earlier, later in zip(fall, fall[1:], strict=False))
    assert factors[total_steps:] == pytest.approx([1 if kind == "constant" else min_ratio] * (total_steps + 3))


@settings(max_examples=50, deadline=None)
@given(lengths, st.floats(1e-6, 10), st.floats(0, 1))
def test_the_cosine_is_symmetric_about_the_middle_of_the_fall(lengths, base_lr, ratio):
    warmup_steps, total_steps = lengths
    min_lr = base_lr * ratio
    for offset in range(total_steps - warmup_steps + 1):
        pair = [
            warmup_cosine_lr(step, total_steps=total_steps, warmup_steps=warmup_steps, base_lr=base_lr, min_lr=min_lr)
            for step in (warmup_steps + offset, total_steps - offset)
        ]
        assert sum(pair) == pytest.approx(base_lr + min_lr, rel=1e-9)


def test_the_factor_by_hand():
    assert [round(lr_factor(step, 4, 10, "linear"), 3) for step in range(11)] == [
        0,
        0.25,
        0.5,
        0.75,
        1,
        0.833,
        0.667,
        0.5,
        0.333,
        0.167,
        0,
    ]
    lesson_table = [round(lr_factor(step, 3, 9, "cosine"), 3) for step in range(11)]
    assert lesson_table == [0, 0.333, 0.667, 1, 0.933, 0.75, 0.5, 0.25, 0.067, 0, 0]
    assert lr_factor(6, 3, 9, "cosine", 0.2) == pytest.approx(0.6)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_descent_converges_below_the_bound_and_diverges_above(seed):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    hessian = factor.T @ factor / 6 + 0.3 * torch.eye(4, dtype=torch.float64)
    bound = max_stable_lr(hessian)
    for rate, converges in ((0.98 * bound, True), (1.02 * bound, False)):
        x = torch.randn(4, generator=generator, dtype=torch.float64)
        start = x.norm()
        for _ in range(1000):
            x = x - rate * hessian @ x
            if x.norm() > 1e6 * start:
                break
        assert (x.norm() < 1e-2 * start) == converges


def test_the_claims_that_can_be_computed():
    steps = []
    for rate in (0.1, 0.2):  # Adam: twice the rate, twice the step
        weight = torch.nn.Parameter(torch.tensor([1.0]))
        weight.grad = torch.tensor([3.0])
        torch.optim.Adam([weight], lr=rate).step()
        steps.append(1 - weight.item())
    assert math.isclose(2 * steps[0], steps[1], rel_tol=1e-4) and lesson.claims["adam_sets_the_rate"] is False

    rng, spread = np.random.default_rng(0), []
    for rate in (0.5, 0.1):  # SGD on a quadratic with noisy gradients
        x = np.zeros(4000)
        for _ in range(200):
            x = x - rate * (x + rng.normal(size=4000))
        spread.append(x.var())
        assert x.var() == pytest.approx(rate / (2 - rate), rel=0.15)
    assert (spread[1] < spread[0]) == lesson.claims["noise_floor_falls"]
    assert (max(lr_factor(step, 100, 1000, "cosine") for step in (2, 3)) < 0.05) == lesson.claims["stepped_each_epoch"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    code = re.sub(r"(?m)^# ?", "", cell.group(1))
    assert code.count("assert ") == 5
    exec(compile(code, "visible checks", "exec"), {**vars(lesson)})
