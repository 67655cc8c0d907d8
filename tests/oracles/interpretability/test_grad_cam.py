"""The reference of interpretability/grad_cam against finite differences in a residual network, and against CAM."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reference.interpretability import grad_cam as lesson
from reference.interpretability.grad_cam import grad_cam


class Residual(nn.Module):
    """Feature maps with a way around them, and a head of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 5 * 4, 7), nn.GELU(), nn.Linear(7, 6))

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        return self.head(features + self.block(features))


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    return Residual().double().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_finite_differences(model: Residual, images: Tensor, classes: list[int], step: float = 1e-5) -> Tensor:
    with torch.no_grad():
        stem = model.stem(images)
        features = model.block(stem)  # (batch, channels, height, width)
        weights = torch.zeros(features.shape[:2], dtype=features.dtype)
        for channel in range(features.shape[1]):
            for place in range(features[0, 0].numel()):
                moved = torch.zeros_like(features)
                moved[:, channel].flatten(1)[:, place] = step
                rise = model.head(stem + features + moved) - model.head(stem + features - moved)
                weights[:, channel] += rise[range(len(images)), classes] / (2 * step) / features[0, 0].numel()
        maps = (weights[:, :, None, None] * features).sum(dim=1).clamp(min=0)
        return maps / maps.amax(dim=(1, 2), keepdim=True)


@pytest.mark.parametrize("classes", [[0, 5, 2], [3, 3, 1]])
def test_equals_finite_differences(model, images, classes):
    expected = by_finite_differences(model, images, classes)
    torch.testing.assert_close(grad_cam(model, model.block, images, classes), expected, rtol=1e-6, atol=1e-8)


def test_a_number_added_to_all_scores_changes_nothing(model, images):
    before = grad_cam(model, model.block, images)
    with torch.no_grad():
        model.head[-1].bias += 100
    torch.testing.assert_close(grad_cam(model, model.block, images), before, rtol=1e-9, atol=1e-12)


def test_the_order_of_the_batch_changes_nothing_else(model, images):
    order = torch.tensor([2, 0, 1])
    maps = grad_cam(model, model.block, images, [1, 2, 3])
    torch.testing.assert_close(grad_cam(model, model.block, images[order], [3, 1, 2]), maps[order])


def test_enlarging_all_scores_changes_nothing(model, images):
    before = grad_cam(model, model.block, images, 4)
    with torch.no_grad():
        model.head[-1].weight *= 1e-9
    torch.testing.assert_close(grad_cam(model, model.block, images, 4), before, rtol=1e-9, atol=1e-12)


def test_equals_cam():
    torch.manual_seed(2)
    features = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    images = torch.randn(2, 3, 8, 9)
    with torch.no_grad():
        maps = torch.einsum("k,bkhw->bhw", model[3].weight[1], features(images)).relu()
    torch.testing.assert_close(
        grad_cam(model, features, images, 1), maps / maps.amax((1, 2), keepdim=True), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(model, images, dtype):
    exact = grad_cam(model, model.block, images, [0, 5, 2])
    maps = grad_cam(model.to(dtype), model.block, images.to(dtype), [0, 5, 2])
    assert maps.dtype == dtype
    torch.testing.assert_close(maps.double(), exact, rtol=0, atol=20 * torch.finfo(dtype).eps)


def test_the_worked_example():
    channels = torch.tensor([[4.0, 3.0, 0.0], [1.0, 2.0, 2.0]]).reshape(1, 2, 1, 3)
    layer = nn.Identity()
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(6, 1, bias=False))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[3.0, 0.0, 0.0, 0.0, -3.0, 0.0]]))
    torch.testing.assert_close(grad_cam(model, layer, channels, 0), torch.tensor([[[1.0, 1 / 3, 0.0]]]))


def test_the_claims_that_can_be_computed(model, images):
    classes = [0, 5, 2]
    logits = grad_cam(model, model.block, images, classes)
    probabilities = grad_cam(nn.Sequential(model, nn.Softmax(dim=1)), model.block, images, classes)
    assert torch.allclose(logits, probabilities, atol=1e-3) == lesson.claims["probability_will_do"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
