"""The reference of architectures/pair_matcher against a formula on CLIP's outputs, and what must hold of the model."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

from reference.architectures import pair_matcher as lesson
from reference.architectures.pair_matcher import PairClassifier, tiny_clip


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(seed=3).eval()


def batch_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 57, (count, 6), generator=generator)
    ids[:, 0], ids[:, 5] = 57, 58
    ids[0, 4:] = torch.tensor([58, 59])
    return ids, (ids != 59).long(), torch.randn(count, 3, 16, 16, generator=generator)


def test_the_given_model_is_the_small_fixture(clip):
    assert sum(parameter.numel() for parameter in clip.parameters()) == 44_033
    assert torch.equal(tiny_clip(3).text_projection.weight, clip.text_projection.weight)
    state = torch.random.get_rng_state()
    tiny_clip(4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_logits_loss_and_gradients_follow_the_formula(clip):
    classifier = PairClassifier(clip, num_labels=3).eval()
    ids, mask, pixels = batch_of(4)
    labels = torch.tensor([2, 0, 1, 2])
    result = classifier(ids, mask, pixels, labels)
    u = F.normalize(clip.get_text_features(input_ids=ids, attention_mask=mask).pooler_output, dim=1)
    v = F.normalize(clip.get_image_features(pixel_values=pixels).pooler_output, dim=1)
    logits = F.linear(torch.hstack([u, v, (u - v).abs(), u * v]), classifier.head.weight, classifier.head.bias)
    torch.testing.assert_close(result["logits"], logits)
    torch.testing.assert_close(result["loss"], F.nll_loss(logits.log_softmax(1), labels))
    parameters = [p for name, p in classifier.named_parameters() if name != "clip.logit_scale"]
    ours = torch.autograd.grad(result["loss"], parameters, allow_unused=True)
    theirs = torch.autograd.grad(F.cross_entropy(logits, labels), parameters, allow_unused=True)
    for gradient, expected in zip(ours, theirs, strict=True):
        assert (gradient is None) == (expected is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_padding_and_order_are_neutral_in_evaluation_mode(clip):
    classifier = PairClassifier(clip, dropout=0.5).eval()
    ids, mask, pixels = batch_of(3)
    logits = classifier(ids, mask, pixels)["logits"]
    assert torch.equal(logits, classifier(ids, mask, pixels)["logits"])
    padded = classifier(F.pad(ids, (0, 3), value=59), F.pad(mask, (0, 3)), pixels)["logits"]
    torch.testing.assert_close(padded, logits)
    flipped = classifier(ids.flip(0), mask.flip(0), pixels.flip(0))["logits"]
    torch.testing.assert_close(flipped, logits.flip(0))
    assert not torch.allclose(classifier(ids.flip(0), mask.flip(0), pixels)["logits"], logits, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("used", "additive"), [(slice(0, 32), True), (slice(32, 64), False)])
def test_only_distance_and_product_can_express_a_match(clip, used, additive):
    classifier = PairClassifier(clip).eval()
    weight = torch.zeros(2, 64)
    weight[:, used] = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    classifier.head.weight.copy_(weight)
    ids, mask, pixels = batch_of(2)
    t, i = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    logits = classifier(ids[t], mask[t], pixels[i])["logits"]
    mixed = logits[0] - logits[1] - logits[2] + logits[3]
    assert (mixed.abs().max() < 1e-5) == additive


def test_training_fits_a_few_pairs():
    classifier = PairClassifier(tiny_clip(5))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
    ids, mask, pixels = batch_of(8)
    labels = torch.arange(8) % 2
    for _ in range(30):
        optimizer.zero_grad()
        loss = classifier(ids, mask, pixels, labels)["loss"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_half_precision_stays_close():
    ids, mask, pixels = batch_of(3)
    classifier = PairClassifier(tiny_clip(6)).eval()
    exact = classifier(ids, mask, pixels)["logits"]
    rounded = classifier.to(torch.bfloat16)(ids, mask, pixels.to(torch.bfloat16))["logits"]
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=0.03)


def test_the_worked_example():
    u, v = torch.tensor([0.6, 0.8]), torch.tensor([0.0, 1.0])
    features = torch.cat([u, v, (u - v).abs(), u * v])
    torch.testing.assert_close(features, torch.tensor([0.6, 0.8, 0, 1, 0.6, 0.2, 0, 0.8]))
    logits = torch.tensor([[0.0, 5 * features[6:].sum().item() - 3]])
    loss = F.cross_entropy(logits, torch.tensor([1])).item()
    assert math.isclose(loss, math.log1p(math.exp(-1)), rel_tol=1e-5)
    assert round(loss, 3) == 0.313


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
