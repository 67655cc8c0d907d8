"""The reference of foundations/sentence_embeddings against single texts without padding, and its own promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")

from reference.foundations import sentence_embeddings as lesson  # noqa: E402
from reference.foundations.sentence_embeddings import load_frozen, save_tiny_bert, sentence_embeddings  # noqa: E402

COUNTS = (6, 2, 9, 1)


@pytest.fixture
def model(tmp_path):
    save_tiny_bert(tmp_path, seed=3)
    return load_frozen(tmp_path)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(4)
    input_ids = torch.randint(0, 30, (len(COUNTS), 9), generator=generator)
    return input_ids, (torch.arange(9) < torch.tensor(COUNTS)[:, None]).long()


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_each_text_alone_gives_the_same_vector(model, batch, pooling):
    input_ids, mask = batch
    vectors = sentence_embeddings(model, input_ids, mask, pooling)
    assert vectors.shape == (4, 8) and vectors.dtype == torch.float32 and not vectors.requires_grad
    for row, count, vector in zip(input_ids, COUNTS, vectors, strict=True):
        states = model(row[None, :count]).last_hidden_state[0]
        expected = {"mean": states.mean(dim=0), "cls": states[0], "max": states.max(dim=0).values}[pooling]
        torch.testing.assert_close(vector, expected, rtol=1e-4, atol=1e-5)
    unit = sentence_embeddings(model, input_ids, mask, pooling, normalize=True)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(torch.cosine_similarity(unit, vectors, dim=1), torch.ones(4))


def test_rubbish_in_the_padding_and_more_padding_change_nothing(model, batch):
    input_ids, mask = batch
    vectors = sentence_embeddings(model, input_ids, mask)
    other = torch.where(mask == 1, input_ids, (input_ids + 7) % 30)
    torch.testing.assert_close(sentence_embeddings(model, other, mask), vectors, rtol=1e-4, atol=1e-5)
    longer, wider = torch.nn.functional.pad(input_ids, (0, 3), value=5), torch.nn.functional.pad(mask, (0, 3))
    torch.testing.assert_close(sentence_embeddings(model, longer, wider), vectors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_any_checkpoint_is_loaded_as_float32(tmp_path, dtype):
    save_tiny_bert(tmp_path, seed=3, dtype=torch.float32)
    exact = dict(load_frozen(tmp_path).named_parameters())
    save_tiny_bert(tmp_path, seed=3, dtype=dtype)
    model = load_frozen(str(tmp_path))
    assert isinstance(model, transformers.BertModel) and not any(module.training for module in model.modules())
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32 and not parameter.requires_grad
        assert torch.equal(parameter, exact[name].to(dtype).float())


def test_a_missing_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for path in (tmp_path / "missing", "no-such-folder/missing"):
        with pytest.raises(OSError):
            load_frozen(path)


def test_modes_and_gradients_are_left_alone(model, batch):
    input_ids, mask = batch
    model.config.hidden_dropout_prob = 0.5
    model.requires_grad_(True)
    for number, module in enumerate(model.modules()):
        module.training = number % 3 == 0
    modes = [module.training for module in model.modules()]
    first, second = (sentence_embeddings(model, input_ids, mask) for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad
    with pytest.raises(IndexError):
        sentence_embeddings(model, input_ids + 30, mask)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    torch.nn.Linear(8, 2)(first).sum().backward()


def test_refusals(model, batch):
    input_ids, mask = batch
    empty = mask.clone()
    empty[1] = 0
    for arguments in (
        (input_ids, empty),
        (input_ids, mask[:, :4]),
        (input_ids[0], mask[0]),
        (input_ids, mask, "median"),
    ):
        with pytest.raises(ValueError):
            sentence_embeddings(model, *arguments)


def test_the_visible_checks_of_the_lesson_hold():
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE)
    exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "visible checks", "exec"), dict(vars(lesson)))


def test_the_worked_example_of_the_lesson():
    """Two tokens and a place of padding, through a model whose hidden states are given."""

    class Given(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            states = torch.tensor([[[-2.0, 3.0], [-4.0, 1.0], [7.0, 9.0]]])
            return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=states)

    arguments = Given(), torch.tensor([[1, 2, 0]]), torch.tensor([[1, 1, 0]])
    assert sentence_embeddings(*arguments).tolist() == [[-3, 2]]
    assert sentence_embeddings(*arguments, "max").tolist() == [[-2, 3]]
    assert sentence_embeddings(*arguments, "cls").tolist() == [[-2, 3]]
    assert sentence_embeddings(*arguments, normalize=True)[0].tolist() == pytest.approx([-3 / 13**0.5, 2 / 13**0.5])
