"""The reference of capstone/dual_encoder against CLIP of transformers and plain cosines, and the student's asserts."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference.capstone import dual_encoder as lesson
from reference.capstone.dual_encoder import DualEncoder, freeze, parameter_groups


class Words(nn.Module):
    """A text tower with everything that freezing is about."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.dropout = nn.Embedding(9, 6), nn.BatchNorm1d(6), nn.Dropout(0.3)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = self.words(tokens)  # (texts, length, 6)
        return self.dropout(self.norm(hidden.flatten(0, 1)).unflatten(0, tokens.shape))


def small_model(seed: int = 0) -> DualEncoder:
    torch.manual_seed(seed)
    image_tower = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Flatten())
    return DualEncoder(image_tower, Words(), 36, 6, 5)


def small_batch(seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7], [8, 1, 0, 0], [2, 4, 0, 0]])
    return torch.randn(5, 3, 4, 4, generator=generator), tokens, tokens > 0


def test_equals_clip_of_transformers():
    transformers = pytest.importorskip("transformers")
    layers = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**layers, "vocab_size": 20, "eos_token_id": 19, "max_position_embeddings": 6},
        vision_config={**layers, "image_size": 8, "patch_size": 4},
        projection_dim=5,
    )
    torch.manual_seed(0)
    clip = transformers.CLIPModel(config).eval()

    class ImageTower(nn.Module):
        def forward(self, pixels):
            return clip.vision_model(pixels).pooler_output

    class TextTower(nn.Module):
        def forward(self, tokens, mask):
            return clip.text_model(tokens, mask.long()).pooler_output[:, None].expand(-1, tokens.shape[1], -1)

    model = DualEncoder(ImageTower(), TextTower(), 8, 8, 5)
    with torch.no_grad():
        model.image_projection.weight.copy_(clip.visual_projection.weight)
        model.text_projection.weight.copy_(clip.text_projection.weight)
        model.log_scale.copy_(clip.logit_scale)
        pixels, tokens = torch.randn(3, 3, 8, 8), torch.tensor([[1, 5, 19], [7, 19, 19]])
        expected = clip(input_ids=tokens, pixel_values=pixels, attention_mask=torch.ones_like(tokens))
        found = model(pixels, tokens, torch.ones_like(tokens))
    torch.testing.assert_close(found, expected.logits_per_image, rtol=1e-4, atol=1e-5)
    assert math.isclose(DualEncoder(nn.Identity(), nn.Identity(), 1, 1, 1).scale().item(), 1 / 0.07, rel_tol=1e-4)


def test_equals_cosine_similarity_of_each_pair():
    model = small_model().eval()
    pixels, tokens, mask = small_batch()
    logits = model(pixels, tokens, mask)
    for i, pixel in enumerate(pixels):
        image = model.image_projection(model.image_tower(pixel[None]))[0]
        for j, (token, keep) in enumerate(zip(tokens, mask, strict=True)):
            vectors = model.text_tower(token[None], keep[None])[0, keep]
            text = model.text_projection(vectors.mean(dim=0))
            torch.testing.assert_close(logits[i, j], F.cosine_similarity(image, text, dim=0) / 0.07)


@pytest.mark.parametrize(("log_scale", "expected"), [(0.0, 1.0), (3.0, math.exp(3)), (4.7, 100.0), (80.0, 100.0)])
def test_the_cap_and_its_gradient(log_scale, expected):
    model = small_model()
    model.log_scale.data.fill_(log_scale)
    model.scale().backward()
    assert math.isclose(model.scale().item(), expected, rel_tol=1e-5)
    assert math.isclose(model.log_scale.grad.item(), expected if expected < 100 else 0.0, rel_tol=1e-5)
    assert math.isclose(model.log_scale.item(), log_scale, rel_tol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_close_to_float64(dtype):
    model = small_model().eval()
    model.log_scale.data.fill_(4.0)
    pixels, tokens, mask = small_batch()
    found = model.to(dtype)(pixels.to(dtype), tokens, mask)
    assert found.dtype == torch.float32
    exact = model.double()(pixels.to(dtype).double(), tokens, mask)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=54 * 6 * torch.finfo(dtype).eps)


def test_gradients_are_those_of_finite_differences():
    model = small_model().double().eval()
    pixels, tokens, mask = small_batch()
    names = ["image_projection.weight", "text_projection.weight", "log_scale", "text_tower.words.weight"]
    parameters = dict(model.named_parameters())

    def logits(*values):
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (pixels.double(), tokens, mask))

    assert torch.autograd.gradcheck(logits, [parameters[n].detach().clone().requires_grad_() for n in names])


def test_frozen_parts_survive_training_and_copies():
    model = small_model()
    freeze(model.text_tower)
    freeze(model.image_tower[1])
    ema = copy.deepcopy(model)
    pixels, tokens, mask = small_batch()
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01, 0.1, 0.2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model.train()(pixels, tokens, mask), torch.arange(5)).backward()
        optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    expected = {"image_tower.0.weight", "image_tower.0.bias", "image_projection.weight", "text_projection.weight"}
    assert moved == expected | {"log_scale"}
    assert ema.train().text_tower.train() is ema.text_tower and not ema.text_tower.training
    assert not any(torch.equal(value, before[name]) for name, value in model.state_dict().items() if name in moved)
    assert all(torch.equal(value, before[name]) for name, value in ema.state_dict().items())


def test_the_groups_cover_the_trainable_parameters():
    model = small_model()
    for frozen in (None, model.image_tower[0], model.text_tower):
        if frozen is not None:
            freeze(frozen)
        groups = parameter_groups(model, 0.01, 0.1, 0.2)
        listed = [parameter for group in groups for parameter in group["params"]]
        assert {id(p) for p in listed} == {id(p) for p in model.parameters() if p.requires_grad}
        assert len(listed) == len({id(p) for p in listed})
        for group in groups:
            assert all((p.ndim >= 2) == (group["weight_decay"] == 0.2) for p in group["params"])
    freeze(model)
    with pytest.raises(ValueError, match="gradient"):
        parameter_groups(model, 0.01, 0.1, 0.2)


def test_a_mask_that_does_not_fit_and_a_name_without_tokens():
    model = small_model().eval()
    pixels, tokens, mask = small_batch()
    with pytest.raises(ValueError, match="does not fit"):
        model(pixels, tokens, mask[:, :3])
    assert not model(pixels, tokens, torch.zeros_like(mask)).any()


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
