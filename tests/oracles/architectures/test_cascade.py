"""The reference of architectures/cascade against running both stages on everything, and what must always hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from torch import Tensor, nn

from reference.architectures import cascade as lesson
from reference.architectures.cascade import CascadeClassifier


class Expensive(nn.Module):
    """A small network on images and cheap logits, with a note of the batch sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12 + 3, 3)
        self.batch_sizes: list[int] = []

    def forward(self, x: Tensor, cheap_logits: Tensor) -> Tensor:
        self.batch_sizes.append(len(x))
        return self.layer(torch.cat([x.flatten(1), cheap_logits], dim=1).tanh())


def cascade(threshold: float, dtype: torch.dtype = torch.float64) -> CascadeClassifier:
    torch.manual_seed(0)
    return CascadeClassifier(nn.Linear(4, 3), Expensive(), threshold).to(dtype)


def inputs(batch: int = 9, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(batch, 4, generator=generator).double(), torch.randn(
        batch, 3, 2, 2, generator=generator
    ).double()


@settings(max_examples=30, deadline=None)
@given(threshold=st.floats(0, 1), batch=st.integers(0, 9), seed=st.integers(0, 99))
def test_equals_running_both_stages_and_choosing(threshold, batch, seed) -> None:
    module, (x, images) = cascade(threshold), inputs(batch, seed)
    logits, used = module(x, images)
    assert module.expensive.batch_sizes == [int(used.sum())] * bool(used.any())
    cheap = module.cheap(x)
    expensive = module.expensive(images, cheap)
    expected_used = softmax(cheap.detach().numpy(), axis=1).max(axis=1, initial=0) < threshold
    np.testing.assert_array_equal(used, expected_used)
    torch.testing.assert_close(logits, torch.where(used[:, None], expensive, cheap), rtol=1e-12, atol=1e-12)


def test_a_higher_threshold_only_adds_samples() -> None:
    x, images = inputs(50)
    flags = [cascade(threshold)(x, images)[1].int() for threshold in np.linspace(0, 1, 11)]
    assert all((low <= high).all() for low, high in zip(flags, flags[1:], strict=False))
    assert not flags[0].any() and flags[-1].all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(dtype) -> None:
    x, images = inputs()
    exact, used = cascade(0.8)(x, images)
    logits, low_used = cascade(0.8, dtype)(x.to(dtype), images.to(dtype))
    assert logits.dtype == dtype and low_used.tolist() == used.tolist()
    torch.testing.assert_close(logits.double(), exact, rtol=0, atol=30 * torch.finfo(dtype).eps)


def test_gradients_are_those_of_finite_differences() -> None:
    module, (x, images) = cascade(0.8), inputs(5)
    assert 0 < module(x, images)[1].sum() < 5
    variables = [x.requires_grad_(), images.requires_grad_()]
    assert torch.autograd.gradcheck(lambda *values: module(*values)[0], variables)


def test_a_cheap_stage_that_passes_its_input_through_is_not_overwritten() -> None:
    x = torch.tensor([[0.5, 0.0, 0.0], [9.0, 0.0, 0.0]], requires_grad=True)
    module = CascadeClassifier(nn.Identity(), Expensive(), 0.9)
    logits, used = module(x, torch.zeros(2, 12))
    logits.sum().backward()
    assert used.tolist() == [True, False] and x.tolist() == [[0.5, 0.0, 0.0], [9.0, 0.0, 0.0]]


def test_cost_grows_with_the_share_that_is_sent_on() -> None:
    """The worked example: logits (ln 9, 0), (0, ln 3) and (5, 5) at threshold 0.8."""
    logits = torch.tensor([[np.log(9), 0, -100], [0, np.log(3), -100], [5, 5, -100]]).float()
    module = CascadeClassifier(nn.Identity(), Expensive(), 0.8)
    assert module(logits, torch.zeros(3, 12))[1].tolist() == [False, True, True]
    assert module.expensive.batch_sizes == [2]


def test_bad_input() -> None:
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            cascade(threshold)
    x, images = inputs()
    with pytest.raises(ValueError, match="batch sizes"):
        cascade(0.5)(x, images[:1])


def test_the_visible_cell_passes_with_the_reference() -> None:
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
