"""The reference of schedules/gradual_unfreezing against the paper's formula and torch's CyclicLR, and its laws."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.schedules import gradual_unfreezing as lesson
from reference.schedules.gradual_unfreezing import discriminative_lrs, slanted_triangular, unfreeze_schedule


def paper(t, total, lr_max, cut_frac=0.1, ratio=32):
    """The formula of Howard and Ruder (2018), unclamped."""
    cut = math.floor(total * cut_frac)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return lr_max * (1 + p * (ratio - 1)) / ratio


def test_the_paper_s_formula_where_the_cut_is_a_whole_number():
    for total, cut_frac in ((100, 0.1), (40, 0.25), (8, 0.5)):
        for t in range(total + 1):
            assert slanted_triangular(t, total, 0.3, cut_frac) == pytest.approx(paper(t, total, 0.3, cut_frac))


def test_the_paper_s_formula_turns_negative_and_ours_does_not():
    assert paper(15, 15, 1.0) == pytest.approx(-0.507, abs=5e-4)
    assert slanted_triangular(15, 15, 1.0) == pytest.approx(1 / 32)


def test_one_cycle_of_torch_s_cyclic_rate_is_the_same_triangle():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    cyclic = torch.optim.lr_scheduler.CyclicLR(
        optimizer, base_lr=0.8 / 8, max_lr=0.8, step_size_up=5, step_size_down=15, cycle_momentum=False
    )
    for t in range(20):
        assert slanted_triangular(t, 20, 0.8, 0.25, 8) == pytest.approx(cyclic.get_last_lr()[0])
        optimizer.step()
        cyclic.step()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.floats(0.01, 0.99), st.floats(1.01, 100), st.floats(1e-6, 10))
def test_laws_of_the_triangle(total, cut_frac, ratio, lr_max):
    cut = math.floor(total * cut_frac)
    if cut < 1:
        with pytest.raises(ValueError):
            slanted_triangular(0, total, lr_max, cut_frac, ratio)
        return
    rates = [slanted_triangular(t, total, lr_max, cut_frac, ratio) for t in range(total + 1)]
    assert rates[0] == pytest.approx(lr_max / ratio) and rates[cut] == pytest.approx(lr_max)
    assert min(rates) >= lr_max / ratio * (1 - 1e-12) and max(rates) <= lr_max * (1 + 1e-12)
    assert (np.diff(rates[: cut + 1]) > 0).all() and (np.diff(rates[cut:]) <= 1e-15 * lr_max).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 15), st.floats(1.1, 5))
def test_laws_of_rates_and_plan(n_groups, epochs, factor):
    rates = np.array(discriminative_lrs(n_groups, 1e-3, factor))
    assert len(rates) == n_groups and rates[-1] == 1e-3
    np.testing.assert_allclose(rates[1:] / rates[:-1], factor)
    plan = unfreeze_schedule(n_groups, epochs)
    assert len(plan) == epochs
    for epoch, groups in enumerate(plan):
        assert groups == list(range(n_groups))[-(epoch + 1) :]
        assert epoch == 0 or set(plan[epoch - 1]) <= set(groups)


def test_the_worked_example():
    assert discriminative_lrs(4, 0.8, factor=2) == [0.1, 0.2, 0.4, 0.8]
    assert unfreeze_schedule(3, 4) == [[2], [1, 2], [0, 1, 2], [0, 1, 2]]
    for total in (20, 23):
        rates = [round(slanted_triangular(t, total, 0.8, 0.25, 8), 3) for t in (0, 1, 3, 5, 10, 15, 16, 20)]
        assert rates == [0.1, 0.24, 0.52, 0.8, 0.567, 0.333, 0.287, 0.1]
    assert [round(slanted_triangular(t, 23, 0.8, 0.25, 8), 9) for t in (21, 22, 23)] == [0.1] * 3


def test_the_claims_that_can_be_tried():
    norm = torch.nn.BatchNorm1d(2).requires_grad_(False).train()
    norm(torch.randn(8, 2) + 5)
    moved = not torch.equal(norm.running_mean, torch.zeros(2))
    assert lesson.claims["freezing_stops_statistics"] is not moved

    trunk, head = torch.nn.Linear(2, 2).requires_grad_(False), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    trunk.requires_grad_(True)
    before = trunk.weight.detach().clone()
    head(trunk(torch.ones(1, 2))).sum().backward()
    optimizer.step()
    assert torch.equal(trunk.weight, before) == lesson.claims["optimizer_must_hold_it"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: discriminative_lrs(0, 0.1),
        lambda: discriminative_lrs(2, 0.1, 1.0),
        lambda: discriminative_lrs(2, math.nan),
        lambda: unfreeze_schedule(0, 2),
        lambda: unfreeze_schedule(2, -1),
        lambda: slanted_triangular(0, 9, 0.1),
        lambda: slanted_triangular(11, 10, 0.1),
        lambda: slanted_triangular(-1, 10, 0.1),
        lambda: slanted_triangular(0, 10, 0.1, 1.0),
        lambda: slanted_triangular(0, 10, 0.1, ratio=1),
        lambda: slanted_triangular(0, 10, 0.0),
    ],
)
def test_refuses(call):
    with pytest.raises(ValueError):
        call()


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
