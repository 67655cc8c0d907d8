"""The reference of capstone/low_rank_adapters against the one weight it stands for, peft, and the student's asserts."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.capstone import low_rank_adapters as lesson
from reference.capstone.low_rank_adapters import (
    LoRAConv2d,
    LoRALinear,
    adapter_state,
    inject,
    load_adapter,
    worth_adapting,
)

BASES = {
    "linear": (lambda: nn.Linear(5, 7), (3, 5)),
    "linear without bias": (lambda: nn.Linear(6, 2, bias=False), (2, 4, 6)),
    "stride and padding": (lambda: nn.Conv2d(3, 5, 3, stride=2, padding=1), (2, 3, 8, 7)),
    "dilation": (lambda: nn.Conv2d(2, 4, (3, 2), dilation=2, bias=False), (2, 2, 8, 7)),
    "same": (lambda: nn.Conv2d(4, 3, 3, padding="same"), (2, 4, 6, 5)),
    "1 x 1": (lambda: nn.Conv2d(6, 3, 1), (2, 6, 4, 4)),
}
each_base = pytest.mark.parametrize("name", BASES)


def adapted(name: str, dtype: torch.dtype = torch.float64):
    """An adapter with random factors, in inference mode, a plain layer with the summed weight, and an input."""
    make, shape = BASES[name]
    torch.manual_seed(0)
    base = make().to(dtype).eval()
    kind = LoRALinear if isinstance(base, nn.Linear) else LoRAConv2d
    layer = kind(base, 2, 5.0, dropout=0.3)
    nn.init.normal_(layer.lora_B)
    whole = copy.deepcopy(base)
    with torch.no_grad():
        for r in range(2):
            b = layer.lora_B[:, r].reshape(-1, *[1] * (base.weight.dim() - 1))
            whole.weight += 2.5 * b * layer.lora_A[r]
    return layer, whole, torch.randn(shape).to(dtype)


@each_base
def test_equals_the_layer_with_the_summed_weight(name):
    layer, whole, x = adapted(name)
    torch.testing.assert_close(layer(x), whole(x))
    torch.testing.assert_close(layer.base.weight + layer.delta_weight(), whole.weight)
    layer.merge()
    torch.testing.assert_close(layer(x), whole(x))


@each_base
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_unmerging_brings_back_every_bit(name, dtype):
    layer, _, x = adapted(name, dtype)
    before = layer.base.weight.clone()
    output = layer(x)
    assert output.dtype == dtype
    for _ in range(3):
        layer.merge()
        assert not torch.equal(layer.base.weight, before)
        tolerance = 100 * torch.finfo(dtype).eps
        torch.testing.assert_close(layer(x), output, rtol=tolerance, atol=tolerance)
        layer.unmerge()
        assert torch.equal(layer.base.weight, before) and torch.equal(layer(x), output)


@each_base
def test_gradients_agree_with_finite_differences(name):
    layer, _, x = adapted(name)

    def output(x, a, b):
        return torch.func.functional_call(layer, {"lora_A": a, "lora_B": b}, (x,))

    factors = [factor.detach().clone().requires_grad_() for factor in (layer.lora_A, layer.lora_B)]
    assert torch.autograd.gradcheck(output, (x.requires_grad_(), *factors))


@pytest.mark.parametrize("name", [name for name in BASES if name != "dilation"])  # which peft 0.x leaves out of A
def test_equals_peft(name):
    peft = pytest.importorskip("peft")
    layer, _, x = adapted(name)
    model = nn.ModuleDict({"layer": copy.deepcopy(layer.base)})
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, lora_alpha=5.0, target_modules=["layer"]), model)
    theirs = model["layer"].double()
    with torch.no_grad():
        theirs.lora_A["default"].weight.copy_(layer.lora_A)
        theirs.lora_B["default"].weight.copy_(layer.lora_B)
    torch.testing.assert_close(layer(x), theirs(x))
    torch.testing.assert_close(layer.delta_weight(), theirs.get_delta_weight("default"))


class Towers(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        transformers = pytest.importorskip("transformers")
        super().__init__()
        torch.manual_seed(seed)
        config = transformers.BertConfig(
            vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12
        )
        self.text_tower = transformers.BertModel(config, add_pooling_layer=False)
        first = [nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
        self.image_tower = nn.Sequential(*first, nn.Conv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 8)

    def forward(self, pixels, tokens):
        return self.head(self.image_tower(pixels)) @ self.text_tower(input_ids=tokens).last_hidden_state.mean(dim=1).T


def test_two_towers_are_adapted_trained_saved_and_loaded():
    model = Towers().eval()
    pixels, tokens = torch.randn(3, 3, 8, 8), torch.randint(0, 30, (4, 5))
    before = model(pixels, tokens)
    names = inject(model, rank=2, alpha=6)
    assert len(names) == 2 + 4 and all(name.startswith(("image_tower.", "text_tower.")) for name in names)
    assert torch.equal(model(pixels, tokens), before)
    with pytest.raises(ValueError, match="wanted"):
        inject(model, rank=2, alpha=6)

    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(pixels, tokens).square().mean().backward()
        optimizer.step()
    trained = model(pixels, tokens).detach()
    assert not torch.equal(trained, before)
    assert all(torch.equal(p, frozen[name]) for name, p in model.named_parameters() if name in frozen)

    state = adapter_state(model)
    assert sorted(state) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    second = Towers().eval()
    inject(second, rank=2, alpha=6)
    load_adapter(second, state)
    assert torch.equal(second(pixels, tokens), trained)
    for name in names:
        second.get_submodule(name).merge()
    torch.testing.assert_close(second(pixels, tokens), trained, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="merged"):
        load_adapter(second, state)
    third = Towers().eval()
    inject(third, rank=3, alpha=6)
    with pytest.raises(ValueError, match="lora_A has shape"):
        load_adapter(third, state)
    del state["image_tower.3.lora_B"]
    with pytest.raises(KeyError, match=r"image_tower\.3\.lora_B.*elsewhere"):
        load_adapter(model, {**state, "elsewhere": torch.ones(1)})
    assert adapter_state(nn.Linear(2, 2)) == {} and sorted(adapter_state(LoRALinear(nn.Linear(2, 2), 1, 1))) == [
        "lora_A",
        "lora_B",
    ]


def test_the_rule():
    for name, layer, expected in (
        ("image_tower.0", nn.Conv2d(1, 1, 1), True),
        ("image_tower.query", nn.Linear(1, 1), False),
        ("text_tower.a.query", nn.Linear(1, 1), True),
        ("text_tower.a.queries", nn.Linear(1, 1), False),
        ("image_towers.0", nn.Conv2d(1, 1, 1), False),
    ):
        assert worth_adapting(name, layer) is expected


def test_the_worked_example():
    base = nn.Conv2d(1, 2, (1, 2), stride=2, bias=False)
    layer = LoRAConv2d(base, rank=1, alpha=2)
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 1, 1, 2))
        layer.lora_A.copy_(torch.tensor([1.0, -1.0]).reshape(1, 1, 1, 2))
        layer.lora_B.copy_(torch.tensor([3.0, 5.0]).reshape(2, 1, 1, 1))
    row = torch.tensor([1.0, 2, 3, 4]).reshape(1, 1, 1, 4)
    assert layer(row).flatten().tolist() == [-5, -3, -8, -6]
    assert layer.delta_weight().flatten().tolist() == [6, -6, 10, -10]
    layer.merge()
    assert base.weight.flatten().tolist() == [7, -6, 10, -9] and layer(row).flatten().tolist() == [-5, -3, -8, -6]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
