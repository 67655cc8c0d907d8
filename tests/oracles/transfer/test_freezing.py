"""The reference of transfer/freezing on models of the transformers library, and the student's asserts."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.transfer import freezing as lesson
from reference.transfer.freezing import freeze_except, make_optimizer, set_training_mode


class Classifier(nn.Module):
    """A tiny BERT (without pooler, whose parameters would get no gradient), batch normalisation and a head."""

    def __init__(self):
        super().__init__()
        transformers = pytest.importorskip("transformers")
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12
        )
        self.bert = transformers.BertModel(config, add_pooling_layer=False)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, ids):
        return self.head(self.norm(self.bert(input_ids=ids).last_hidden_state[:, 0]))


def train(model, ids, *optimizers, steps):
    for _ in range(steps):
        optimizers[0].zero_grad()
        nn.functional.cross_entropy(model(ids), torch.arange(len(ids)) % 3).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("patterns", [["head.*"], ["head.*", "bert.encoder.layer.1.*"], ["head.*", "norm.*"], ["*"]])
def test_frozen_parts_keep_every_bit_and_trainable_ones_move(patterns):
    model, ids = Classifier(), torch.arange(30).reshape(5, 6) % 20
    old = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
    train(model, ids, old, steps=2)
    names = freeze_except(model, patterns)
    set_training_mode(model)
    new = make_optimizer(model, 0.01, 0.5)
    before = copy.deepcopy(model.state_dict())
    train(model, ids, new, old, steps=5)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    statistics = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert moved == set(names) | (statistics if "norm.weight" in names else set())
    if "bert.embeddings.word_embeddings.weight" not in names and not model.bert.training:
        with torch.no_grad():
            assert torch.equal(model.bert(input_ids=ids).last_hidden_state, model.bert(input_ids=ids).last_hidden_state)


def test_doing_it_twice_changes_nothing():
    model = Classifier()
    for _ in range(2):
        names = freeze_except(model, ["head.*", "bert.encoder.layer.1.*"])
        set_training_mode(model)
        modes = [name for name, module in model.named_modules() if module.training]
        assert "bert.encoder.layer.1.attention.self.dropout" in modes
        assert "bert.encoder.layer.0.attention.self.dropout" not in modes and "norm" not in modes
        assert all(name.startswith(("head.", "bert.encoder.layer.1.")) for name in names)


def test_a_gradient_of_zero_does_not_hold_a_weight():
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(0.99)  # why a frozen parameter's gradient has to be None
    weight.grad = None
    optimizer.step()
    assert weight.item() == pytest.approx(0.99)


def test_the_worked_example():
    model = nn.Sequential()
    model.add_module("body", nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
    model.add_module("whiten", nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.Dropout(0.2)))
    model.add_module("head", nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2)))
    freeze_except(model, ["head.*"])
    set_training_mode(model)
    training = [name for name, module in model.named_modules() if module.training]
    assert training == ["", "whiten.1", "head", "head.0", "head.1"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
