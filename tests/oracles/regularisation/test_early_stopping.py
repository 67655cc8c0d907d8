"""The reference of regularisation/early_stopping against Keras, driven by hand, and against what must always hold.

Keras is an oracle where the first value is finite and no value is infinite: it records whatever comes first, treats
infinities as numbers and never stops at epoch 0. Values are dyadic, so that both compute the same limits.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference.regularisation import early_stopping as lesson
from reference.regularisation.early_stopping import EarlyStopping

dyadic = st.integers(-12, 12).map(lambda eighths: eighths / 8)
any_value = dyadic | st.sampled_from([math.nan, math.inf, -math.inf])


def run(stopper, values, model=None):
    """Answers of step; the model's weight is the number of the call, changed in place."""
    model = model or nn.Linear(1, 1)
    answers = []
    for call, value in enumerate(values):
        nn.init.constant_(model.weight, float(call))
        answers.append(stopper.step(value, model))
    return answers


class KerasModel:
    """What the callback needs of a model."""

    def __init__(self):
        self.weight, self.stop_training = 0.0, False

    def get_weights(self):
        return [self.weight]

    def set_weights(self, weights):
        (self.weight,) = weights


def run_keras(values, patience, min_delta, mode):
    """Epoch of the stop (None: never), best epoch and the weight at the end."""
    callbacks = pytest.importorskip("keras").callbacks
    callback = callbacks.EarlyStopping(
        monitor="metric", patience=patience, min_delta=min_delta, mode=mode, restore_best_weights=True
    )
    model = KerasModel()
    callback.set_model(model)
    callback._set_monitor_op()
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.weight = float(epoch)
        callback.on_epoch_end(epoch, {"metric": value})
        if model.stop_training:
            callback.on_train_end()
            return epoch, callback.best_epoch, model.weight
    return None, callback.best_epoch, model.weight


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("seed", range(25))
def test_stops_and_restores_where_keras_does(seed, mode):
    rng = np.random.default_rng(seed)
    values = (rng.integers(-6, 7, 12) / 8).tolist()
    if seed % 3 == 0:
        values[int(rng.integers(1, 12))] = math.nan
    patience, min_delta = int(rng.integers(1, 6)), float(rng.integers(0, 4)) / 8
    stop, best_epoch, weight = run_keras(values, patience, min_delta, mode)
    stopper, model = EarlyStopping(patience, min_delta, mode), nn.Linear(1, 1)
    answers = run(stopper, values[: len(values) if stop is None else stop + 1], model)
    assert (answers.index(True) if True in answers else None) == stop
    assert stopper.best_epoch == best_epoch
    assert model.weight.item() == weight


@settings(max_examples=100, deadline=None)
@given(st.lists(any_value, max_size=12), st.integers(1, 4), dyadic.map(abs))
def test_mirrored_values_and_mode_give_the_same_decisions(values, patience, min_delta):
    falling, rising = EarlyStopping(patience, min_delta, "min"), EarlyStopping(patience, min_delta, "max")
    assert run(falling, values) == run(rising, [-value for value in values])
    assert (falling.best_epoch, falling.epoch, falling.wait) == (rising.best_epoch, rising.epoch, rising.wait)


@settings(max_examples=100, deadline=None)
@given(st.lists(any_value, max_size=12), st.integers(1, 4))
def test_without_min_delta_the_best_is_the_least_finite_value_up_to_the_stop(values, patience):
    stopper = EarlyStopping(patience)
    answers = run(stopper, values)
    seen = values[: answers.index(True) + 1] if True in answers else values
    assert stopper.best_value == min((value for value in seen if math.isfinite(value)), default=None)
    assert stopper.epoch == len(seen) - 1
    if seen and math.isfinite(seen[0]) and stopper.stopped:
        assert stopper.epoch >= patience


@settings(max_examples=50, deadline=None)
@given(dyadic, st.lists(st.integers(1, 9), max_size=12), dyadic.map(abs))
def test_improving_by_more_than_min_delta_every_time_never_stops(first, gains, min_delta):
    values = [first]
    for gain in gains:
        values.append(values[-1] - min_delta - gain / 8)
    assert not any(run(EarlyStopping(1, min_delta), values))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_real_training_ends_with_the_state_of_the_best_epoch_to_the_bit(dtype):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1)).to(dtype)
    stopper, history = EarlyStopping(patience=2), []
    for value in (3.0, 1.0, 2.0, 1.5):
        model(torch.randn(8, 3).to(dtype)).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.1 * parameter.grad)
        history.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        stopped = stopper.step(value, model)
    assert stopped
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, history[1][name]), name
    assert not torch.equal(history[1]["1.running_mean"], history[3]["1.running_mean"])


def test_the_claims_that_can_be_computed():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(40, 6)), rng.normal(size=40)
    assert (linear_model.Lasso(alpha=0.2).fit(features, target).coef_ == 0).any() == lesson.claims[
        "l1_zeroes_l2_shrinks"
    ]
    assert (linear_model.Ridge(alpha=1e4).fit(features, target).coef_ != 0).all()

    updated = []
    for optimiser, decay in (
        (torch.optim.AdamW, 0.5),
        (torch.optim.Adam, 0.5),
    ):  # Adam's weight_decay is the L2 penalty
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        weight.grad = torch.tensor([0.5, 3.0])
        optimiser([weight], lr=0.1, weight_decay=decay).step()
        updated.append(weight.detach())
    assert torch.allclose(*updated) == lesson.claims["adamw_is_adam_with_l2"]

    kept = nn.functional.dropout(torch.ones(1000), 0.2, training=True).unique().tolist()
    assert (kept == [0.0, 1.25]) == lesson.claims["dropout_rescales"]
    assert torch.equal(nn.functional.dropout(torch.ones(9), 0.2, training=False), torch.ones(9))


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})


def test_the_worked_example():
    stopper, model = EarlyStopping(patience=2, min_delta=0.25), nn.Linear(1, 1)
    assert run(stopper, [2.0, 1.5, 1.375, 1.0, 1.0, 0.75], model) == [False] * 5 + [True]
    assert (stopper.best_value, stopper.best_epoch, model.weight.item()) == (1.0, 3, 3.0)
