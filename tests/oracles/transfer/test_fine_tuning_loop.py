"""The reference of transfer/fine_tuning_loop against the closed form of linear regression and a plain loop."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from reference.transfer import fine_tuning_loop as lesson
from reference.transfer.fine_tuning_loop import finetune


def as_pairs(loader):
    """A DataLoader of (x, y), as re-iterable pairs of a tuple and a tensor."""

    class Pairs:
        def __iter__(self):
            return (((x,), y) for x, y in loader)

    return Pairs()


def test_full_batch_steps_follow_the_closed_form_of_least_squares():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 1))
    model = nn.Linear(3, 1, bias=False).double()
    start = model.weight.detach().numpy().T.copy()  # (3, 1)
    batch = [((torch.from_numpy(x),), torch.from_numpy(y))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = finetune(model, batch, batch, F.mse_loss, optimizer, epochs=6)

    # w_k - w* = (I - lr * 2/n * X'X)^k (w_0 - w*)
    optimum = np.linalg.lstsq(x, y, rcond=None)[0]
    shrink = np.eye(3) - 0.1 * 2 / 12 * x.T @ x
    weights = [optimum + np.linalg.matrix_power(shrink, k) @ (start - optimum) for k in range(7)]
    losses = [float(((x @ w - y) ** 2).mean()) for w in weights]
    np.testing.assert_allclose(result["train_loss"], losses[:-1], rtol=1e-10)
    np.testing.assert_allclose(result["val_loss"], losses[1:], rtol=1e-10)
    assert result["best_epoch"] == 5
    np.testing.assert_allclose(model.weight.detach().numpy().T, weights[-1], rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_plain_loop_with_dropout_and_batch_normalisation(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    twin = copy.deepcopy(model)
    train = TensorDataset(torch.randn(20, 4), torch.randint(0, 3, (20,)))
    val = TensorDataset(torch.randn(9, 4), torch.randint(0, 3, (9,)))
    optimizer, other = (torch.optim.AdamW(m.parameters(), lr=0.05) for m in (model, twin))
    schedule, other_schedule = (torch.optim.lr_scheduler.CosineAnnealingLR(o, 15) for o in (optimizer, other))

    torch.manual_seed(seed)
    batches = [as_pairs(DataLoader(data, batch_size=8)) for data in (train, val)]
    result = finetune(model, *batches, F.cross_entropy, optimizer, epochs=5, scheduler=schedule)

    torch.manual_seed(seed)
    states, losses = [], []
    for _ in range(5):
        twin.train()
        for x, y in DataLoader(train, batch_size=8):
            other.zero_grad()
            F.cross_entropy(twin(x), y).backward()
            other.step()
            other_schedule.step()
        twin.eval()
        next(iter(DataLoader(val, batch_size=9)))  # a DataLoader draws a seed for its workers, the other loop too
        losses.append(F.cross_entropy(twin(val.tensors[0]), val.tensors[1]).item())
        states.append(copy.deepcopy(twin.state_dict()))
    np.testing.assert_allclose(result["val_loss"], losses, rtol=1e-5)
    assert result["best_epoch"] == int(np.nanargmin(losses))
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, states[result["best_epoch"]][name])
    assert not model.training


def test_frozen_parameters_stay():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    batch = [((torch.randn(5, 2),), torch.randn(5, 1))]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    result = finetune(model, batch, batch, F.mse_loss, torch.optim.SGD(trainable, lr=0.1), epochs=3)
    assert torch.equal(model[0].weight, before)
    assert result["val_loss"][result["best_epoch"]] == np.nanmin(result["val_loss"])


def test_equal_seeds_give_equal_runs():
    histories = []
    for _ in range(2):
        torch.manual_seed(4)
        model = nn.Sequential(nn.Linear(2, 6), nn.Dropout(0.5), nn.Linear(6, 1))
        data = TensorDataset(torch.randn(11, 2), torch.randn(11, 1))
        loader = as_pairs(DataLoader(data, batch_size=4, shuffle=True))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        histories.append(finetune(model, loader, loader, F.mse_loss, optimizer, epochs=3))
    assert histories[0] == histories[1]


def test_the_claims_that_can_be_computed():
    with torch.no_grad():
        dropped = nn.functional.dropout(torch.ones(1000), 0.5, training=True)
    assert (dropped == 0).any().item() != lesson.claims["no_grad_is_eval"]

    rng = np.random.default_rng(0)
    scores = 0.7 + 0.05 * rng.normal(size=(2000, 20))  # twenty equally good checkpoints
    assert (scores.max(axis=1).mean() > 0.75) == lesson.claims["best_of_many"]

    images = np.repeat(np.arange(200), 5)
    order = rng.permutation(len(images))
    train, test = images[order[:800]], images[order[800:]]
    assert (not set(test) & set(train)) == lesson.claims["random_pairs"]


def test_the_worked_example():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 4.0)
    one = torch.ones(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    result = finetune(model, [((one,), 0 * one)], [((one,), one)], F.mse_loss, optimizer, epochs=3)
    assert result == {"train_loss": [16.0, 4.0, 1.0], "val_loss": [1.0, 0.0, 0.25], "best_epoch": 1}
    assert model.weight.item() == 1.0
    assert math.isfinite(result["val_loss"][0])


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
