"""The reference against PyTorch's cross-entropy of logits, and the asserts the student sees."""

from __future__ import annotations

import math
from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.adversarial import gan_losses
from reference.adversarial.gan_losses import d_loss, g_loss


def normal(*shape: int, seed: int = 0) -> Tensor:
    return 4 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


EXTREME = torch.tensor([-1e4, -700.0, -40.0, -20.5, -1.0, 0.0, 3.0, 19.9, 35.0, 1e4], dtype=torch.float64)


@pytest.mark.parametrize("real_label", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("fake", [normal(7, seed=1), normal(2, 1, 3, 3, seed=1), EXTREME])
def test_discriminator_loss_equals_the_library(real_label, fake) -> None:
    real = normal(5, 1)
    inputs = [real.requires_grad_(), fake.clone().requires_grad_()]
    loss = d_loss(*inputs, real_label=real_label)
    expected = F.binary_cross_entropy_with_logits(inputs[0], torch.full_like(real, real_label))
    expected = expected + F.binary_cross_entropy_with_logits(inputs[1], torch.zeros_like(fake))
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for actual, wanted in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("kind", "target", "sign"), [("non_saturating", 1.0, 1), ("saturating", 0.0, -1)])
@pytest.mark.parametrize("fake", [normal(7), normal(2, 1, 3, 3), EXTREME])
def test_generator_loss_equals_the_library(kind, target, sign, fake) -> None:
    fake = fake.clone().requires_grad_()
    loss = g_loss(fake, kind)
    expected = sign * F.binary_cross_entropy_with_logits(fake, torch.full_like(fake, target))
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    actual, wanted = torch.autograd.grad(loss, fake)[0], torch.autograd.grad(expected, fake)[0]
    torch.testing.assert_close(actual, wanted, rtol=1e-8, atol=1e-8)


def test_bad_fakes_teach_only_through_the_non_saturating_loss() -> None:
    for kind, slope in (("non_saturating", -1.0), ("saturating", -2.0611536e-9)):
        fake = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
        g_loss(fake, kind).backward()
        assert fake.grad.item() == pytest.approx(slope, rel=1e-6)


def test_the_best_discriminator_of_equal_distributions_pays_two_log_two() -> None:
    zeros = torch.zeros(4, dtype=torch.float64)
    assert d_loss(zeros, zeros[:3]).item() == pytest.approx(2 * math.log(2), abs=1e-12)
    real, fake = normal(4), normal(6, seed=1)
    torch.testing.assert_close(d_loss(real, fake), d_loss(-fake, -real))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_in_its_dtype_and_finite(dtype) -> None:
    logits = EXTREME.to(dtype).requires_grad_()
    for loss in (d_loss(logits, logits, 0.9), g_loss(logits, "saturating"), g_loss(logits, "non_saturating")):
        assert loss.dtype == dtype and loss.shape == () and loss.isfinite()
        assert torch.autograd.grad(loss, logits)[0].isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    real, fake = normal(3).requires_grad_(), normal(2, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, f: d_loss(r, f, 0.8), (real, fake))
    for kind in ("non_saturating", "saturating"):
        assert torch.autograd.gradcheck(lambda f, kind=kind: g_loss(f, kind), (fake,))


def test_bad_input() -> None:
    good, empty = normal(3), torch.zeros(0)
    for real, fake in ((good, empty), (empty, good)):
        with pytest.raises(ValueError, match="at least one"):
            d_loss(real, fake)
    for label in (0.0, -1.0, 1.01, math.nan, math.inf):
        with pytest.raises(ValueError, match="real_label"):
            d_loss(good, good, label)
    with pytest.raises(ValueError, match="at least one"):
        g_loss(empty, "saturating")
    with pytest.raises(ValueError, match="kind"):
        g_loss(good, "minimax")


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(gan_losses.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(gan_losses)))
