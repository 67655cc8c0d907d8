"""The reference of transfer/bert_fine_tuning against a plain loop, and on a task of its own."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

transformers = pytest.importorskip("transformers")

from reference.transfer import bert_fine_tuning as lesson  # noqa: E402
from reference.transfer.bert_fine_tuning import finetune_bert, predict, tiny_bert  # noqa: E402


def marker_batches(seed, count=4, size=8):
    """The class is decided by the token at position 0, the only one that the pooler reads."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(count):
        input_ids = torch.randint(5, 40, (size, 6), generator=generator)
        labels = torch.randint(0, 2, (size,), generator=generator)
        input_ids[:, 0] = 3 + labels
        mask = (torch.arange(6) < torch.randint(2, 7, (size, 1), generator=generator)).long()
        batches.append({"input_ids": input_ids, "attention_mask": mask, "labels": labels})
    return batches


def bert_with_dropout(seed):
    config = copy.deepcopy(tiny_bert(0).config)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    torch.manual_seed(seed)
    return transformers.BertForSequenceClassification(config)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.3])
def test_equals_a_plain_loop_step_by_step(ratio):
    batches = marker_batches(0)
    model = bert_with_dropout(1)
    twin = copy.deepcopy(model)
    torch.manual_seed(5)
    losses = finetune_bert(model, batches, epochs=3, lr=1e-3, weight_decay=0.1, warmup_ratio=ratio)

    torch.manual_seed(5)
    groups = [
        {"params": [p for p in twin.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in twin.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, int(12 * ratio), 12)
    twin.train()
    expected = []
    for batch in batches * 3:
        optimizer.zero_grad()
        output = twin(**batch)
        output.loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        expected.append(output.loss.item())
    assert losses == pytest.approx(expected, rel=1e-5)
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-4, atol=1e-6, msg=name)
    assert not model.training


def test_learns_the_marker_task_and_changes_every_parameter():
    batches = marker_batches(1)
    model = bert_with_dropout(2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    losses = finetune_bert(model, batches, epochs=10, lr=2e-3)
    assert len(losses) == 40
    assert not any(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))
    assert torch.equal(predict(model, batches), torch.cat([batch["labels"] for batch in batches]))


def test_equal_seeds_give_equal_runs():
    runs = []
    for _ in range(2):
        model = bert_with_dropout(3)
        torch.manual_seed(6)
        runs.append(finetune_bert(model, marker_batches(2), epochs=2, lr=1e-3))
    assert runs[0] == runs[1]


def test_the_published_statement_changes_nothing():
    model = bert_with_dropout(4).eval()
    before = copy.deepcopy(model.state_dict())
    batch = marker_batches(3)[0]
    model.train()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.equal(model(**batch).logits, model(**batch).logits)  # dropout
    assert torch.equal(predict(model, [batch]), predict(model, [batch]))
    assert model.training


def test_predictions_do_not_depend_on_padding():
    model = bert_with_dropout(5)
    batch = marker_batches(4)[0]
    longer = {name: torch.nn.functional.pad(batch[name], (0, 5)) for name in ("input_ids", "attention_mask")}
    assert torch.equal(predict(model, [batch]), predict(model, [longer]))


def test_the_worked_example():
    model = tiny_bert(seed=2)
    rates = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    finetune_bert(model, marker_batches(5, count=5, size=2), epochs=2, lr=1e-3, warmup_ratio=0.25)
    hook.remove()
    shares = [0 / 2, 1 / 2, 8 / 8, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert rates == pytest.approx([1e-3 * share for share in shares])


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
