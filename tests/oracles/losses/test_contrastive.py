"""The reference of losses/contrastive against transformers, PyTorch's losses and what must always hold."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.losses import contrastive as lesson
from reference.losses.contrastive import clip_loss, siglip_loss


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_clip_equals_the_loss_of_transformers(n):
    clip = pytest.importorskip("transformers.models.clip.modeling_clip")
    loss_of_logits = getattr(clip, "image_text_contrastive_loss", None) or clip.clip_loss
    text, image = normal(n, 4, seed=1), normal(n, 4, seed=2)
    for log_scale in (0.0, 2.6592, math.log(100)):  # the library has no cap, so not above ln 100
        logits = math.exp(log_scale) * F.cosine_similarity(text[:, None], image[None], dim=2)
        torch.testing.assert_close(clip_loss(text, image, scalar(log_scale)), loss_of_logits(logits))


def test_siglip_equals_a_tiny_siglip_model():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text_sizes = {**sizes, "vocab_size": 20, "max_position_embeddings": 6, "projection_size": 8}
    config = transformers.SiglipConfig(
        text_config=text_sizes, vision_config={**sizes, "image_size": 8, "patch_size": 4}
    )
    torch.manual_seed(0)
    model = transformers.SiglipModel(config).eval()
    with torch.no_grad():
        model.logit_scale.fill_(1.3)
        model.logit_bias.fill_(-2.0)
        output = model(torch.randint(2, 20, (5, 6)), torch.randn(5, 3, 8, 8), return_loss=True)
        loss = siglip_loss(
            output.text_embeds, output.image_embeds, model.logit_scale.squeeze(), model.logit_bias.squeeze()
        )
    torch.testing.assert_close(loss, output.loss.squeeze(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_siglip_equals_binary_cross_entropy(n):
    text, image = normal(n, 4, seed=1), normal(n, 4, seed=2)
    logits = math.exp(1.7) * F.cosine_similarity(text[:, None], image[None], dim=2) - 3
    expected = F.binary_cross_entropy_with_logits(logits, torch.eye(n).double(), reduction="sum") / n
    torch.testing.assert_close(siglip_loss(text, image, scalar(1.7), scalar(-3.0)), expected)


def test_pair_ids_equal_the_mean_of_the_losses_of_each_choice():
    text, image, ids = normal(5, 4, seed=1), normal(5, 4, seed=2), torch.tensor([7, 2, 7, 7, 2])
    logits = 5 * F.normalize(text) @ F.normalize(image).T
    rows = []
    for i in range(5):
        partners = [j for j in range(5) if ids[j] == ids[i]]
        rows += [torch.stack([F.cross_entropy(logits[i : i + 1], torch.tensor([j])) for j in partners]).mean()]
    torch.testing.assert_close(clip_loss(text, image, scalar(5.0).log(), "t2i", ids), torch.stack(rows).mean())
    assert clip_loss(text, image, scalar(5.0).log(), pair_ids=torch.zeros(5)) > math.log(5)


@pytest.mark.parametrize("seed", range(5))
def test_invariants(seed):
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(2, 7)), int(rng.integers(2, 6))
    text, image = torch.from_numpy(rng.normal(size=(2, n, width)))
    scale, bias = scalar(rng.uniform(0, 4)), scalar(rng.uniform(-5, 1))
    order, lengths = torch.from_numpy(rng.permutation(n)), torch.from_numpy(rng.uniform(0.1, 10, (n, 1)))
    rotation = torch.linalg.qr(torch.from_numpy(rng.normal(size=(width, width)))).Q
    for loss in (lambda t, i: clip_loss(t, i, scale), lambda t, i: siglip_loss(t, i, scale, bias)):
        value = loss(text, image)
        assert value > 0
        for other_text, other_image in (
            (image, text),
            (text[order], image[order]),
            (text @ rotation, image @ rotation),
            (text * lengths, image / lengths),
        ):
            torch.testing.assert_close(loss(other_text, other_image), value)
    torch.testing.assert_close(clip_loss(text, image, scale, "t2i"), clip_loss(image, text, scale, "i2t"))
    torch.testing.assert_close(clip_loss(text[:1].expand(n, -1), image[:1].expand(n, -1), scale), scalar(math.log(n)))
    assert clip_loss(text, text, scalar(20.0)) >= -1e-12


def test_gradients_are_those_of_finite_differences():
    inputs = [normal(3, 4, seed=1), normal(3, 4, seed=2), scalar(1.2), scalar(-0.5)]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(clip_loss, inputs[:3])
    assert torch.autograd.gradcheck(siglip_loss, inputs)
    above = scalar(5.5).requires_grad_()
    clip_loss(normal(3, 4, seed=1), normal(3, 4, seed=2), above).backward()
    assert above.grad == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision(dtype):
    text, image = normal(6, 5, seed=1), normal(6, 5, seed=2)
    scale, bias = scalar(3.0), scalar(-2.0)
    low = [tensor.to(dtype) for tensor in (text, image, scale, bias)]
    for actual, exact in (
        (clip_loss(*low[:3]), clip_loss(text, image, scale)),
        (siglip_loss(*low), siglip_loss(text, image, scale, bias)),
    ):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.double(), exact, rtol=20 * torch.finfo(dtype).eps, atol=0)


def test_bad_input():
    text, one = normal(4, 3), scalar(1.0)
    for bad in (text[:1], text[:3], text[:, :2], text[0], text[None]):
        with pytest.raises(ValueError, match="expected"):
            clip_loss(text, bad, one)
        with pytest.raises(ValueError, match="expected"):
            siglip_loss(bad, text, one, one)
    with pytest.raises(ValueError, match="N > 0"):
        clip_loss(text[:0], text[:0], one)
    with pytest.raises(ValueError, match="direction"):
        clip_loss(text, text, one, "text")
    with pytest.raises(ValueError, match="pair_ids"):
        clip_loss(text, text, one, pair_ids=torch.arange(3))


def test_the_claims_that_can_be_computed():
    ignorant = {}  # the loss of a model that gives every input the same embedding
    for n in (64, 256):
        same = normal(1, 3).expand(n, 3)
        ignorant[n] = clip_loss(same, same, scalar(3.0)).item()
        assert ignorant[n] == pytest.approx(math.log(n))
    assert (ignorant[64] == pytest.approx(ignorant[256])) == lesson.claims["loss_without_batch"]
    assert (F.mse_loss(same, same) > 0) == lesson.claims["distance_is_enough"]
    simplex = torch.eye(64).double() - 1 / 64  # every partner at cosine 1, all others as far apart as 64 can be
    assert (clip_loss(simplex, simplex, scalar(0.0)) < 2.25) == lesson.claims["scale_one_suffices"]

    shares = []  # of the hardest negative in the push on all negatives
    for scale in (2.0, 20.0):
        cosines = torch.tensor([[0.9, 0.7, 0.1, -0.5]], dtype=torch.float64, requires_grad=True)
        F.cross_entropy(scale * cosines, torch.tensor([0])).backward()
        push = cosines.grad[0, 1:]
        shares.append((push.max() / push.sum()).item())
    assert (shares[1] > shares[0]) == lesson.claims["scale_sharpens"]

    # the same embeddings as their partners, apart from everything else: the best that there is
    best = torch.eye(4).double()[[0, 0, 1, 2]]
    floor = clip_loss(best, best, scalar(4.6), pair_ids=torch.tensor([5, 5, 6, 7]))
    torch.testing.assert_close(floor, scalar(math.log(2) / 2))  # two of four rows cost ln 2
    assert (floor > 0) == lesson.claims["shared_target_floor"]

    # with bias 0 an untrained model is pushed by its negatives far more than with the bias of the paper
    shares = []
    for bias in (0.0, -10.0):
        start = scalar(bias).requires_grad_()
        siglip_loss(normal(50, 9, seed=1), normal(50, 9, seed=2), scalar(0.0), start).backward()
        shares.append(start.grad.item())
    assert (shares[0] > 20 > 0 > shares[1]) == lesson.claims["bias_starts_negative"]


def test_the_worked_example():
    text, image = torch.tensor([[2.0, 0.0], [0.0, 5.0]]), torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    log_5 = torch.tensor(5.0).log()
    for direction, value in (("t2i", 0.1809), ("i2t", 0.6600), ("both", 0.4205)):
        assert clip_loss(text, image, log_5, direction).item() == pytest.approx(value, abs=6e-5)
    assert siglip_loss(text, image, log_5, torch.tensor(-4.0)).item() == pytest.approx(1.1689, abs=6e-5)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
