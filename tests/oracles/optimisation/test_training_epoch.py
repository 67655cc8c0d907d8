"""The reference of optimisation/training_epoch against a plain PyTorch loop, and with a model of transformers."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from reference.optimisation import training_epoch as lesson
from reference.optimisation.training_epoch import train_epoch


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 4)).double()

    def forward(self, features, labels):
        return {"loss": F.cross_entropy(self.layers(features), labels)}


def examples(count):
    features, labels = torch.randn(count, 3, dtype=torch.float64), torch.randint(0, 4, (count,))
    return [{"features": f, "labels": label} for f, label in zip(features, labels, strict=True)]


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("max_norm", [None, 0.3])
def test_equals_a_plain_loop(optimiser, max_norm):
    torch.manual_seed(0)
    model = Classifier()
    twin = copy.deepcopy(model)
    data = examples(11)
    optimizer, other = optimiser(model.parameters(), lr=0.05), optimiser(twin.parameters(), lr=0.05)
    schedule, other_schedule = (torch.optim.lr_scheduler.CosineAnnealingLR(o, 9) for o in (optimizer, other))
    for epoch in range(3):
        order = torch.Generator().manual_seed(epoch)
        loader = DataLoader(data, batch_size=4, shuffle=True, generator=order)
        report = train_epoch(model, loader, optimizer, scheduler=schedule, max_norm=max_norm)
        losses, norms = [], []
        for batch in DataLoader(data, batch_size=4, shuffle=True, generator=order.manual_seed(epoch)):
            other.zero_grad()
            per_example = F.cross_entropy(twin.layers(batch["features"]), batch["labels"], reduction="none")
            per_example.mean().backward()
            norms.append(nn.utils.clip_grad_norm_(twin.parameters(), max_norm or math.inf))
            other.step()
            other_schedule.step()
            losses.append(per_example.detach())
        assert report["loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-12)
        assert (report["steps"], report["samples"]) == (3, 11)
        if max_norm is None:
            assert report["grad_norm"] is None
        else:
            assert report["grad_norm"] == pytest.approx(torch.stack(norms).mean().item(), rel=1e-12)
        for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter, expected, rtol=1e-12, atol=1e-12)


def test_a_single_full_batch_is_one_optimiser_step():
    torch.manual_seed(1)
    model = Classifier()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    batch = next(iter(DataLoader(examples(8), batch_size=8)))
    gradients = torch.autograd.grad(model(**batch)["loss"], list(model.parameters()))
    report = train_epoch(model, [batch], torch.optim.SGD(model.parameters(), lr=0.1))
    assert report["steps"] == 1
    for parameter, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(parameter, old - 0.1 * gradient)


def test_a_rate_of_zero_changes_nothing():
    model = Classifier()
    before = copy.deepcopy(model.state_dict())
    train_epoch(model, DataLoader(examples(5), batch_size=2), torch.optim.SGD(model.parameters(), lr=0.0))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_trains_a_model_of_the_transformers_library():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    torch.manual_seed(2)
    model = transformers.BertForSequenceClassification(config)
    batches = [
        {
            "input_ids": torch.randint(0, 20, (n, 5)),
            "attention_mask": torch.ones(n, 5),
            "labels": torch.randint(0, 3, (n,)),
        }
        for n in (3, 2)
    ]
    report = train_epoch(model, batches, torch.optim.AdamW(model.parameters(), lr=1e-3), max_norm=1.0)
    assert (report["steps"], report["samples"]) == (2, 5)
    assert report["grad_norm"] > 0


def test_the_worked_example():
    namespace = visible_cell()
    loader = [{"x": torch.ones(3), "labels": torch.zeros(3)}, {"x": torch.ones(1), "labels": torch.tensor([4.6])}]
    for max_norm, weight, norm in ((None, 2.2, None), (3.0, 2.0, 4.9)):
        model = namespace["Line"]()
        nn.init.constant_(model.weight, 2.0)
        report = train_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=0.1), max_norm=max_norm)
        assert model.weight.item() == pytest.approx(weight)
        if max_norm is None:
            assert report["loss"] == pytest.approx(5.25)
        else:
            assert report["grad_norm"] == pytest.approx(norm)


def visible_cell():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    namespace = {**vars(lesson)}
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), namespace)
    return namespace


def test_the_visible_cell_passes_with_the_reference():
    visible_cell()
