"""The reference of architectures/two_tower_classifier against EmbeddingBag, NumPy, scikit-learn and what must hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reference.architectures import two_tower_classifier as lesson
from reference.architectures.two_tower_classifier import MultimodalClassifier, strip_head


class Cnn(nn.Module):
    """A residual-network-like classifier in small, with batch normalisation and a linear fc."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.fc = nn.Linear(5, 9)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.body(image))


def classifier(pad_id: int = 3, dtype: torch.dtype = torch.float64) -> MultimodalClassifier:
    torch.manual_seed(0)
    encoder, width = strip_head(Cnn())
    model = MultimodalClassifier(encoder, width, 11, 4, 8, 2, pad_id=pad_id, dropout=0.5).eval()
    nn.init.normal_(model.embedding.weight)  # the row of the padding too
    return model.to(dtype)


def batch(pad_id: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, 11, (5, 7), generator=generator)
    text[torch.rand(5, 7, generator=generator) < 0.4] = pad_id
    text[1] = pad_id
    return torch.randn(5, 3, 4, 4, generator=generator).double(), text


@pytest.mark.parametrize("pad_id", [0, 3])
def test_equals_embedding_bag_and_numpy(pad_id) -> None:
    model, (image, text) = classifier(pad_id), batch(pad_id)
    words = F.embedding_bag(text, model.embedding.weight, mode="mean", padding_idx=pad_id).detach().numpy()
    assert not words[1].any()
    joined = np.hstack([model.image_encoder(image).detach().numpy(), words])
    weight1, bias1, weight2, bias2 = (
        parameter.detach().numpy() for parameter in (*model.fc1.parameters(), *model.fc2.parameters())
    )
    expected = np.maximum(joined @ weight1.T + bias1, 0) @ weight2.T + bias2
    np.testing.assert_allclose(model(image, text).detach(), expected, rtol=1e-12, atol=1e-13)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), more=st.integers(0, 3))
def test_padding_and_order_change_nothing_and_rows_are_independent(seed, more) -> None:
    model, (image, text) = classifier(), batch(seed=seed)
    logits = model(image, text)
    longer = torch.cat([text, torch.full((5, more), 3)], dim=1)
    shuffled = longer[:, torch.randperm(7 + more, generator=torch.Generator().manual_seed(seed))]
    torch.testing.assert_close(model(image, shuffled), logits, rtol=1e-10, atol=1e-12)
    for row in range(5):
        alone = model(image[row : row + 1], text[row : row + 1])
        torch.testing.assert_close(alone, logits[row : row + 1], rtol=1e-10, atol=1e-12)


def test_the_head_is_not_linear() -> None:
    torch.manual_seed(0)
    model, text = MultimodalClassifier(nn.Flatten(), 12, 11, 4, 8, 2).double(), torch.ones(1, 2, dtype=torch.int64)
    image, step = torch.randn(1, 3, 2, 2).double(), 5 * torch.randn(1, 3, 2, 2).double()
    second_difference = model(image + step, text) - 2 * model(image, text) + model(image - step, text)
    assert second_difference.abs().min() > 1e-2


def test_gradients_reach_everything_but_the_padding() -> None:
    model, (image, text) = classifier().train(), batch()
    F.cross_entropy(model(image, text), torch.tensor([0, 1, 1, 0, 1])).backward()
    assert all(
        parameter.grad.any() for name, parameter in model.named_parameters() if name != "image_encoder.body.0.bias"
    )
    used = torch.zeros(11, dtype=torch.bool)
    used[text.flatten()] = True
    used[3] = False
    assert torch.equal(model.embedding.weight.grad.any(dim=1), used)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(dtype) -> None:
    image, text = batch()
    exact, logits = classifier()(image, text), classifier(dtype=dtype)(image.to(dtype), text)
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.double(), exact, rtol=0, atol=30 * torch.finfo(dtype).eps)


def test_learns_which_word_goes_with_which_colour() -> None:
    """The label is XOR of the colour and the word, out of reach for a model without interactions."""
    torch.manual_seed(0)
    colour, word = torch.randint(0, 2, (2, 40))
    image = F.one_hot(2 * colour, 3).float()[:, :, None, None].expand(-1, -1, 2, 2)
    text = torch.stack([word + 1, torch.full_like(word, 3), torch.zeros_like(word)], dim=1)
    model = MultimodalClassifier(nn.Flatten(), 12, 4, 4, 16, 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(model(image, text), colour ^ word).backward()
        optimiser.step()
    assert (model(image, text).argmax(dim=1) == (colour ^ word)).all()


def test_strip_head_of_a_small_network() -> None:
    cnn, image = Cnn().eval(), torch.randn(2, 3, 4, 4)
    scores = cnn(image)
    encoder, width = strip_head(cnn)
    assert width == 5
    torch.testing.assert_close(cnn.fc(encoder(image)), scores)
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        tensor.data.fill_(7)
    torch.testing.assert_close(cnn(image), scores)
    for bad in (encoder, nn.Linear(5, 9), nn.Sequential(cnn)):
        with pytest.raises(TypeError, match="fc"):
            strip_head(bad)


def test_bad_input() -> None:
    model, (image, text) = classifier(), batch()
    for bad_image, bad_text in ((image[:1], text), (image, text[:3]), (image, text[:, :0]), (image, text[0])):
        with pytest.raises(ValueError, match="expected"):
            model(bad_image, bad_text)
    for token in (-1, 11):
        with pytest.raises(ValueError, match="token ids"):
            model(image, torch.full_like(text, token))
    with pytest.raises(TypeError, match="token ids"):
        model(image, text.float())
    model.image_encoder = nn.Flatten()
    with pytest.raises(ValueError, match="image features"):
        model(image, text)


def test_the_visible_cell_passes_with_the_reference() -> None:
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
