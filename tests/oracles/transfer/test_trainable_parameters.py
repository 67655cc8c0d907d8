"""The reference of transfer/trainable_parameters against published counts, BERT of the library, and real training."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.transfer import trainable_parameters as lesson
from reference.transfer.trainable_parameters import (
    TransformerSpec,
    optimizer_state_bytes,
    select_trainable,
    trainable_parameters,
)

BERT_BASE = TransformerSpec(d_model=768, n_layers=12, d_ff=3072, vocab_size=30522, max_len=512, n_classes=2)


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("full", 108_891_650),
        ("linear_probe", 1_538),
        ("bitfit", 103_682),
        ("lora", 296_450),
        ("adapter", 2_380_802),
        ("prompt", 16_898),
        ("prefix", 370_178),
        ("ia3", 56_834),
    ],
)
def test_counts_at_the_sizes_of_bert_base(method, count):
    assert trainable_parameters(BERT_BASE, method) == count


def test_bert_of_the_library_has_this_many():
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        bert = transformers.BertModel(transformers.BertConfig(), add_pooling_layer=False)
    # the library's has segment embeddings, its LayerNorm before the layers instead of after, and no head
    expected = trainable_parameters(BERT_BASE, "full") - trainable_parameters(BERT_BASE, "linear_probe") + 2 * 768
    assert sum(parameter.numel() for parameter in bert.parameters()) == expected


def test_low_rank_counts_are_linear_in_rank_and_every_count_in_the_layers():
    head = trainable_parameters(BERT_BASE, "linear_probe")
    one = trainable_parameters(BERT_BASE, "lora", rank=1) - head
    assert all(trainable_parameters(BERT_BASE, "lora", rank=r) == head + r * one for r in (2, 5, 16))
    for method in ("full", "bitfit", "lora", "adapter", "prefix", "ia3"):
        counts = [trainable_parameters(TransformerSpec(24, n, 96, 50, 10, 3), method) for n in (2, 3, 4)]
        assert counts[2] - counts[1] == counts[1] - counts[0] > 0


@pytest.mark.parametrize("sizes", [(4, 1, 8, 10, 6, 0), (-1, 1, 8, 10, 6, 2)])
def test_senseless_specs_are_refused(sizes):
    with pytest.raises(ValueError):
        TransformerSpec(*sizes)
    with pytest.raises(TypeError):
        TransformerSpec(4, True, 8, 10, 6, 2)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(8), enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(x).mean(dim=1))


@pytest.mark.parametrize("policy", ["full", "head", "bias", "norm", "last_n"])
def test_a_step_changes_exactly_what_was_selected(policy):
    model = Classifier()
    report = select_trainable(model, policy, n_last=2)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    loss = nn.functional.cross_entropy(model(torch.randn(5, 4, 8)), torch.tensor([0, 1, 2, 0, 1]))
    loss.backward()
    optimizer.step()
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert sorted(moved) == report["names"]
    assert optimizer_state_bytes(optimizer) == 8 * report["trainable"]
    assert 0 < report["ratio"] <= 1


def test_head_is_part_of_bias_and_bias_of_full():
    model = Classifier()
    head, bias, full = (set(select_trainable(model, policy)["names"]) for policy in ("head", "bias", "full"))
    assert head < bias < full
    assert "encoder.layers.0.self_attn.in_proj_bias" in bias


def test_the_claims_that_can_be_computed():
    model = Classifier()
    select_trainable(model, "last_n", n_last=2)
    hidden = []
    model.encoder.layers[0].register_forward_hook(lambda module, inputs, output: hidden.append(output))
    model(torch.randn(2, 4, 8))
    assert (not hidden[0].requires_grad) == lesson.claims["backward_stops_early"]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    model(torch.randn(2, 4, 8)).sum().backward()
    optimizer.step()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert (optimizer_state_bytes(optimizer) == 8 * trained) == lesson.claims["state_follows_the_trained"]


def test_the_worked_example():
    spec = TransformerSpec(d_model=4, n_layers=1, d_ff=8, vocab_size=10, max_len=6, n_classes=3)
    assert trainable_parameters(spec, "full") == 259
    assert trainable_parameters(spec, "lora", rank=2, targets=("ffn_in",)) == 39


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
