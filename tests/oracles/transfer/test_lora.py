"""The reference of transfer/lora against the one matrix it stands for, in all dtypes, and the student's asserts."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.transfer import lora as lesson
from reference.transfer.lora import LoRALinear, inject_lora, lora_state


def adapted(in_features, out_features, r, alpha, dtype=torch.float64, bias=True, seed=0):
    """A layer with random factors, in inference mode, and a plain nn.Linear with the sum of both matrices."""
    torch.manual_seed(seed)
    base = nn.Linear(in_features, out_features, bias=bias).to(dtype).eval()
    layer = LoRALinear(base, r, alpha, dropout=0.3)
    nn.init.normal_(layer.lora_B)
    whole = copy.deepcopy(base)
    with torch.no_grad():
        for i in range(r):
            whole.weight += alpha / r * torch.outer(layer.lora_B[:, i], layer.lora_A[i])
    return layer, whole


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("sizes", "r", "alpha"), [((5, 7), 3, 6.0), ((8, 2), 2, 0.5), ((1, 4), 1, 16)])
def test_equals_the_layer_with_the_summed_matrix(sizes, r, alpha, bias):
    layer, whole = adapted(*sizes, r, alpha, bias=bias)
    x = torch.randn(2, 3, sizes[0], dtype=torch.float64)
    torch.testing.assert_close(layer(x), whole(x))
    layer.merge()
    torch.testing.assert_close(layer.base.weight, whole.weight)
    assert torch.linalg.matrix_rank(layer.delta_weight()) <= r


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_merging_keeps_the_output_and_unmerging_the_weight(dtype):
    layer, _ = adapted(6, 5, 2, 4.0, dtype)
    x, before = torch.randn(4, 6).to(dtype), layer.base.weight.clone()
    output = layer(x)
    assert output.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps * 4
    layer.merge()
    torch.testing.assert_close(layer(x), output, rtol=tolerance, atol=10 * tolerance)
    layer.unmerge()
    torch.testing.assert_close(layer.base.weight, before, rtol=tolerance, atol=tolerance)


def test_gradients_agree_with_finite_differences():
    layer, _ = adapted(3, 4, 2, 5.0)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def output(x, a, b):
        return torch.func.functional_call(layer, {"lora_A": a, "lora_B": b}, (x,))

    factors = [parameter.detach().clone().requires_grad_() for parameter in (layer.lora_A, layer.lora_B)]
    assert torch.autograd.gradcheck(output, (x, *factors))


def test_a_transformer_of_the_library_trains_its_factors_only():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config).eval()
    ids = torch.randint(0, 30, (3, 6))
    before = model(input_ids=ids).logits
    names = inject_lora(model, ["query", "value"], r=2, alpha=4)
    assert len(names) == 4
    assert torch.equal(model(input_ids=ids).logits, before)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == 4 * 2 * (8 + 8)

    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=ids, labels=torch.tensor([0, 1, 0])).loss.backward()
        optimizer.step()
    assert not torch.equal(model(input_ids=ids).logits, before)
    assert all(torch.equal(p, frozen[name]) for name, p in model.named_parameters() if name in frozen)

    state, trained_logits = lora_state(model), model(input_ids=ids).logits
    optimizer.step()
    missing, surplus = model.load_state_dict(state, strict=False)
    assert len(state) == 8 and not surplus and not [name for name in missing if "lora" in name]
    assert torch.equal(model(input_ids=ids).logits, trained_logits)


def test_the_claims_that_can_be_computed():
    layer, _ = adapted(6, 5, 2, 4.0)
    nn.init.zeros_(layer.lora_B)
    layer(torch.randn(3, 6, dtype=torch.float64)).square().sum().backward()
    assert (not layer.lora_A.grad.any() and bool(layer.lora_B.grad.any())) == lesson.claims["b_moves_first"]
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for run in (layer.base, layer):
        with FlopCounterMode(display=False) as counter:
            run(torch.randn(3, 6, dtype=torch.float64))
        counts.append(counter.get_total_flops())
    assert (counts[1] < counts[0]) == lesson.claims["forward_gets_cheaper"]
    layer.merge()
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(3, 6, dtype=torch.float64))
    assert (counter.get_total_flops() == counts[0]) == lesson.claims["merging_is_free"]


def test_the_worked_example():
    base = nn.Linear(2, 3, bias=False)
    layer = LoRALinear(base, r=1, alpha=4)
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        layer.lora_A.copy_(torch.tensor([[1.0, 2.0]]))
        layer.lora_B.copy_(torch.tensor([[0.5], [0.0], [-1.0]]))
    assert layer(torch.ones(2)).tolist() == [7, 1, -10]
    assert layer.delta_weight().tolist() == [[2, 4], [0, 0], [-4, -8]]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
