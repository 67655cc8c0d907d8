"""The reference of transfer/staged_fine_tuner on tiny ViT and BERT of the transformers library."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.transfer import staged_fine_tuner as lesson
from reference.transfer.staged_fine_tuner import MultimodalFineTuner, param_groups, set_stage


@pytest.fixture
def model():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    vit = transformers.ViTConfig(
        hidden_size=8, intermediate_size=12, num_hidden_layers=3, num_attention_heads=2, image_size=8, patch_size=4
    )
    bert = transformers.BertConfig(
        vocab_size=20, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    images = transformers.ViTModel(vit, add_pooling_layer=False)
    texts = transformers.BertModel(bert, add_pooling_layer=False)
    return MultimodalFineTuner(images, texts, 8, 12, 6, 3, dropout=0.2)


def blocks(model):
    images = model.image_encoder
    image_blocks = images.layers if hasattr(images, "layers") else images.encoder.layer  # by version of the library
    return image_blocks, model.text_encoder.encoder.layer


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    pixels = torch.randn(4, 3, 8, 8, generator=generator)
    return pixels, torch.randint(0, 20, (4, 6), generator=generator), mask


@torch.no_grad()
def test_logits_are_those_of_the_parts(model):
    model.eval()
    pixels, ids, mask = batch()
    image = model.image_encoder(pixel_values=pixels).last_hidden_state[:, 0]
    for row, length in ((0, 4), (1, 2), (2, 6)):
        text = model.text_encoder(input_ids=ids[row : row + 1, :length]).last_hidden_state[0].mean(dim=0)
        expected = model.head(torch.cat((image[row], text)))
        torch.testing.assert_close(model(pixels, ids, mask)[row], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(pixels, ids, mask)[3], model.head(torch.cat((image[3], torch.zeros(12)))))
    other = torch.where(mask == 1, ids, (ids + 3) % 20)
    torch.testing.assert_close(model(pixels, other, mask), model(pixels, ids, mask))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_logits_keep_the_dtype(model, dtype):
    pixels, ids, mask = batch()
    assert model.to(dtype).eval()(pixels.to(dtype), ids, mask).dtype == dtype


def test_stage_by_stage_only_the_stage_moves(model):
    pixels, ids, mask = batch()
    old = torch.optim.AdamW(model.parameters(), lr=0.01)
    counts = []
    for stage, top_k in (("full", 1), ("head", 1), ("top", 1), ("top", 2), ("full", 1)):
        set_stage(model, stage, *blocks(model), top_k=top_k)
        model.train()
        groups = param_groups(model, 1e-2, 1e-3, 0.1)
        trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        assert sum(len(group["params"]) for group in groups) == len(trainable)
        counts.append(len(trainable))
        new, before = torch.optim.AdamW(groups), copy.deepcopy(model.state_dict())
        for _ in range(2):
            new.zero_grad()
            nn.functional.cross_entropy(model(pixels, ids, mask), torch.tensor([0, 1, 2, 0])).backward()
            new.step()
            old.step()
        moved = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
        assert sorted(moved) == sorted(trainable)
    assert counts[0] == counts[4] > counts[3] > counts[2] > counts[1] == 4


def test_a_frozen_encoder_gives_the_same_features_in_training(model):
    set_stage(model, "head", *blocks(model))
    model.train()
    assert model.head[2].training
    pixels, ids, mask = batch()
    with torch.no_grad():
        first, second = (model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
