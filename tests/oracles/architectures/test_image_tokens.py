"""The reference of architectures/image_tokens against LLaVA of the transformers library, and the student's asserts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from reference.architectures import image_tokens as lesson
from reference.architectures.image_tokens import merge_multimodal_embeddings

IMAGE_TOKEN = 40


@pytest.fixture(scope="module")
def llava():
    transformers = pytest.importorskip("transformers")
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = transformers.LlamaConfig(
        vocab_size=50, hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN, image_seq_length=4
    )
    torch.manual_seed(0)
    return transformers.LlavaForConditionalGeneration(config).eval()


@torch.no_grad()
def test_the_library_computes_the_same_logits_from_the_merged_embeddings(llava):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, IMAGE_TOKEN, (2, 11), generator=generator)
    ids[0, 1:5] = IMAGE_TOKEN  # one image in the first sample, two in the second
    ids[1, [0, 2, 3, 4, 6, 7, 9, 10]] = IMAGE_TOKEN
    pixels = torch.randn(3, 3, 8, 8, generator=generator)

    features = torch.cat(list(llava.get_image_features(pixel_values=pixels).pooler_output))  # (3 * 4, width)
    merged = merge_multimodal_embeddings(ids, llava.get_input_embeddings()(ids), features, IMAGE_TOKEN)
    expected = llava(input_ids=ids, pixel_values=pixels).logits
    assert torch.equal(llava(inputs_embeds=merged).logits, expected)
    assert not torch.allclose(llava(input_ids=ids).logits, expected, atol=1e-3)  # the images matter


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_equals_masked_scatter(dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 3, (3, 7), generator=generator)
    tokens = torch.randn(3, 7, 5, generator=generator).to(dtype)
    rows = torch.randn(int((ids == 2).sum()), 5, generator=generator)
    expected = tokens.masked_scatter((ids == 2)[..., None], rows.to(dtype))
    assert torch.equal(merge_multimodal_embeddings(ids, tokens, rows, 2), expected)


def test_gradients_agree_with_finite_differences():
    ids = torch.tensor([[2, 1, 2], [1, 1, 2]])
    tokens = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t, r: merge_multimodal_embeddings(ids, t, r, 2), (tokens, rows))


def test_the_worked_example():
    ids = torch.tensor([[7, 1, 2], [1, 7, 7]])
    tokens = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])[:, None].expand(6, 2).reshape(2, 3, 2)
    rows = torch.tensor([[10.0, 11.0], [20.0, 21.0], [30.0, 31.0]])
    expected = [[[10, 11], [0.2, 0.2], [0.3, 0.3]], [[0.4, 0.4], [20, 21], [30, 31]]]
    assert torch.equal(merge_multimodal_embeddings(ids, tokens, rows, 7), torch.tensor(expected))


def test_the_claims_that_can_be_computed():
    transformers = pytest.importorskip("transformers")
    assert hasattr(transformers.CLIPModel, "generate") != lesson.claims["clip_only_scores"]
    # learned queries give one output each, however many features they look at
    queries = torch.randn(1, 6, 8)
    counts = {F.scaled_dot_product_attention(queries, x, x).shape[1] for x in (torch.randn(1, n, 8) for n in (3, 50))}
    assert (counts == {6}) == lesson.claims["resampler_fixes_count"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
