"""The reference of fusion/attention_fusion against functional attention, and against what must always hold."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference.fusion import attention_fusion as lesson
from reference.fusion.attention_fusion import AttentionFusion, BidirectionalCrossAttention, masked_mean


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module) -> nn.Module:
    """Random biases and open gates, so that nothing hides behind a zero."""
    torch.manual_seed(0)
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


TEXT, IMAGE = normal(3, 4, 6, seed=1), normal(3, 5, 6, seed=2)
TEXT_MASK = torch.tensor([[True, False, True, True], [True] * 4, [False, True, False, False]])
IMAGE_MASK = torch.tensor([[True] * 5, [False, True, True, False, False], [True, True, True, False, True]])
NOTHING = torch.tensor([False, True, True])[:, None]  # empties sample 0


def functional_attention(layer: nn.MultiheadAttention, queries: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    parts = zip((queries, context, context), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
    q, k, v = (
        torch.stack(F.linear(x, weight, bias).chunk(layer.num_heads, dim=-1), dim=1) for x, weight, bias in parts
    )
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
    return layer.out_proj(torch.cat(heads.unbind(dim=1), dim=-1))


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_equals_functional_attention(heads):
    block = randomised(BidirectionalCrossAttention(6, heads))
    t, i = block.norm_text(TEXT), block.norm_image(IMAGE)
    expected_text = TEXT + block.gate_text.tanh() * functional_attention(block.text_from_image, t, i, IMAGE_MASK)
    expected_image = IMAGE + block.gate_image.tanh() * functional_attention(block.image_from_text, i, t, TEXT_MASK)
    new_text, new_image = block(TEXT, IMAGE, TEXT_MASK, IMAGE_MASK)
    torch.testing.assert_close(new_text, expected_text, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(new_image, expected_image, rtol=1e-12, atol=1e-13)


def test_exchanging_the_modalities_exchanges_the_results():
    block = randomised(BidirectionalCrossAttention(6, 2))
    mirror = BidirectionalCrossAttention(6, 2).double()
    for one, other in (
        ("norm_text", "norm_image"),
        ("text_from_image", "image_from_text"),
    ):
        getattr(mirror, one).load_state_dict(getattr(block, other).state_dict())
        getattr(mirror, other).load_state_dict(getattr(block, one).state_dict())
    with torch.no_grad():
        mirror.gate_text.copy_(block.gate_image)
        mirror.gate_image.copy_(block.gate_text)
    new_text, new_image = block(TEXT, IMAGE, TEXT_MASK, IMAGE_MASK)
    mirrored_image, mirrored_text = mirror(IMAGE, TEXT, IMAGE_MASK, TEXT_MASK)
    torch.testing.assert_close(mirrored_text, new_text)
    torch.testing.assert_close(mirrored_image, new_image)


def test_closed_gates_give_the_identity_and_gates_learn_first():
    block = BidirectionalCrossAttention(6, 2).double()
    new_text, new_image = block(TEXT, IMAGE, TEXT_MASK, IMAGE_MASK)
    assert torch.equal(new_text, TEXT) and torch.equal(new_image, IMAGE)
    ((new_text * normal(3, 4, 6, seed=3)).sum() + (new_image * normal(3, 5, 6, seed=4)).sum()).backward()
    assert block.gate_text.grad != 0 and block.gate_image.grad != 0
    assert not block.text_from_image.in_proj_weight.grad.any()
    assert BidirectionalCrossAttention(6, 2, zero_init=False).gate_image.item() == 0.5


def test_padding_has_no_influence():
    model = randomised(AttentionFusion(6, 6, 4, 2, 3))
    logits = model(TEXT, IMAGE, TEXT_MASK, IMAGE_MASK)
    text, image = TEXT.clone(), IMAGE.clone()
    text[~TEXT_MASK] = 1e30
    image[~IMAGE_MASK] = -1e30
    torch.testing.assert_close(model(text, image, TEXT_MASK, IMAGE_MASK), logits)
    for b in range(3):
        alone = model(TEXT[b : b + 1, TEXT_MASK[b]], IMAGE[b : b + 1, IMAGE_MASK[b]])
        torch.testing.assert_close(alone[0], logits[b])


def test_the_order_of_patches_and_words_does_not_matter():
    model = randomised(AttentionFusion(6, 6, 4, 2, 3))
    logits = model(TEXT, IMAGE, TEXT_MASK, IMAGE_MASK)
    patches, words = torch.tensor([3, 0, 4, 2, 1]), torch.tensor([2, 3, 0, 1])
    shuffled = model(TEXT[:, words], IMAGE[:, patches], TEXT_MASK[:, words], IMAGE_MASK[:, patches])
    torch.testing.assert_close(shuffled, logits)


def test_a_sample_without_words():
    block = randomised(BidirectionalCrossAttention(6, 2))
    new_text, new_image = block(TEXT, IMAGE, TEXT_MASK & NOTHING, IMAGE_MASK)
    assert torch.equal(new_image[0], IMAGE[0]) and not torch.equal(new_image[1], IMAGE[1])
    assert masked_mean(new_text, TEXT_MASK & NOTHING)[0].eq(0).all()
    model = randomised(AttentionFusion(6, 6, 4, 2, 3))
    logits = model(TEXT, IMAGE, TEXT_MASK & NOTHING, IMAGE_MASK & NOTHING)
    features = torch.zeros(8, dtype=torch.float64)
    torch.testing.assert_close(logits[0], model.head(model.norm(features)))
    logits.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("text_mask", [TEXT_MASK, TEXT_MASK & NOTHING])
def test_gradients_are_those_of_finite_differences(text_mask):
    model = randomised(AttentionFusion(6, 6, 4, 2, 3))
    inputs = [TEXT.clone().requires_grad_(), IMAGE.clone().requires_grad_()]
    assert torch.autograd.gradcheck(lambda text, image: model(text, image, text_mask, IMAGE_MASK), inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(dtype):
    model = randomised(AttentionFusion(6, 6, 4, 2, 3))
    exact = model(TEXT, IMAGE, TEXT_MASK & NOTHING, IMAGE_MASK)
    logits = model.to(dtype)(TEXT.to(dtype), IMAGE.to(dtype), TEXT_MASK & NOTHING, IMAGE_MASK)
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.double(), exact, rtol=0, atol=50 * torch.finfo(dtype).eps)


def test_bad_input():
    for heads in (4, 0):
        with pytest.raises(ValueError, match="heads"):
            AttentionFusion(6, 6, 6, heads, 2)
    block = BidirectionalCrossAttention(6, 2).double()
    for text, image in ((TEXT[0], IMAGE), (TEXT, IMAGE[0]), (TEXT[:1], IMAGE)):
        with pytest.raises(ValueError, match="batch, tokens, width"):
            block(text, image)
    for text_mask, image_mask in ((TEXT_MASK[:1], None), (None, TEXT_MASK)):
        with pytest.raises(ValueError, match="does not fit"):
            block(TEXT, IMAGE, text_mask, image_mask)
    with pytest.raises(TypeError, match="boolean"):
        block(TEXT, IMAGE, TEXT_MASK.float())


def test_the_worked_example():
    block = BidirectionalCrossAttention(2, 1)
    with torch.no_grad():
        for attention in (block.text_from_image, block.image_from_text):
            attention.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
            attention.out_proj.weight.copy_(torch.eye(2))
        block.gate_text.fill_(0.5)
        block.gate_image.fill_(1.0)
        new_text, new_image = block(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[0.0, 4.0], [5.0, 1.0]]]))
    close = {"rtol": 0, "atol": 6e-5}
    torch.testing.assert_close(new_text, torch.tensor([[[3.4105, 0.5895]]]), **close)
    torch.testing.assert_close(new_image, torch.tensor([[[0.7616, 3.2384], [5.7616, 0.2384]]]), **close)
    torch.testing.assert_close(masked_mean(new_image, None), torch.tensor([[3.2616, 1.7384]]), **close)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
