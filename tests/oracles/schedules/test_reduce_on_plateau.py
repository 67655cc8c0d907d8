"""The reference of schedules/reduce_on_plateau against torch's ReduceLROnPlateau, and the laws that it obeys.

Torch takes an infinite metric for the best one where infinity is on the good side; here it is a bad call, so infinite
metrics are left out of the comparison.
"""

import itertools
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.schedules import reduce_on_plateau as lesson
from reference.schedules.reduce_on_plateau import PlateauLR

GRID = list(
    itertools.product(("min", "max"), ("rel", "abs"), (0, 1, 3), (0, 2), (0.0, 0.125), (0.0, 0.125), (0.5, 0.1))
)


def run_torch(metrics, lr, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rates = []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def run(metrics, lr, **options):
    schedule = PlateauLR(lr, **options)
    return [schedule.step(metric) for metric in metrics]


def test_agrees_with_torch_on_a_grid_of_options():
    rng = np.random.default_rng(0)
    names = ("mode", "threshold_mode", "patience", "cooldown", "threshold", "min_lr", "factor")
    for values in GRID:
        options = dict(zip(names, values, strict=True))
        metrics = (rng.integers(8, 60, 40) / 8).tolist()
        metrics[int(rng.integers(40))] = math.nan
        expected = run_torch(metrics, 0.5, **options)
        np.testing.assert_allclose(run(metrics, 0.5, **options), expected, rtol=1e-12, err_msg=str(options))


def test_agrees_with_torch_on_the_defaults_and_on_tiny_rates():
    rng = np.random.default_rng(1)
    metrics = rng.uniform(1, 2, 100).tolist()
    assert run(metrics, 0.5) == run_torch(metrics, 0.5)
    assert run([1.0] * 40, 1e-6, patience=0, factor=0.5) == run_torch([1.0] * 40, 1e-6, patience=0, factor=0.5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    st.sampled_from(["min", "max"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.floats(0, 0.5),
)
def test_the_rate_never_rises_and_stays_between_floor_and_start(metrics, mode, patience, cooldown, min_lr):
    rates = run(metrics, 0.5, factor=0.5, mode=mode, patience=patience, cooldown=cooldown, min_lr=min_lr)
    assert all(later <= earlier for earlier, later in zip([0.5, *rates], rates, strict=False))
    assert all(min_lr <= rate <= 0.5 for rate in rates)
    reductions = sum(later < earlier for earlier, later in zip([0.5, *rates], rates, strict=False))
    assert reductions * (patience + 1) <= len(metrics)


def test_the_worked_example():
    metrics = [3.0, 2.5, 2.375, 2.25, 2.75, 2.625, 2.5, 1.5, 1.375]
    options = dict(factor=0.5, patience=1, threshold=0.25, threshold_mode="abs", cooldown=1)
    assert run(metrics, 0.8, **options) == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]
    assert run_torch(metrics, 0.8, **options) == run(metrics, 0.8, **options)


@pytest.mark.parametrize(
    "bad",
    [
        {"lr": 0.0},
        {"lr": math.nan},
        {"min_lr": 1.0},
        {"min_lr": -1.0},
        {"factor": 1.0},
        {"factor": 0.0},
        {"patience": -1},
        {"cooldown": -1},
        {"threshold": math.nan},
        {"mode": "mean"},
        {"threshold_mode": "min"},
    ],
)
def test_settings_out_of_range(bad):
    with pytest.raises(ValueError):
        PlateauLR(**{"lr": 0.5, **bad})


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
