"""losses/focal_and_logit_adjustment against cross-entropy, the two-class sigmoid form and finite differences."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.losses import focal_and_logit_adjustment as lesson
from reference.losses.focal_and_logit_adjustment import adjust_logits, focal_loss


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


TARGETS = torch.tensor([0, 3, 1, 2, 3, 0])


def test_gamma_zero_is_cross_entropy() -> None:
    logits = 3 * normal(6, 4)
    torch.testing.assert_close(focal_loss(logits, TARGETS, 0.0), F.cross_entropy(logits, TARGETS))
    alpha = normal(4, seed=1).abs()
    expected = F.cross_entropy(logits, TARGETS, weight=alpha, reduction="sum") / 6  # "mean" divides by the alphas
    torch.testing.assert_close(focal_loss(logits, TARGETS, 0.0, alpha), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 4.0])
def test_two_classes_have_the_sigmoid_form(gamma: float) -> None:
    score, targets = 3 * normal(9), torch.arange(9) % 2
    logits = torch.stack([torch.zeros(9, dtype=torch.float64), score], dim=1)
    p = torch.where(targets == 1, torch.sigmoid(score), 1 - torch.sigmoid(score))
    expected = ((1 - p) ** gamma * F.binary_cross_entropy(p, torch.ones_like(p), reduction="none")).mean()
    torch.testing.assert_close(focal_loss(logits, targets, gamma), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_gradients_are_those_of_finite_differences(gamma: float) -> None:
    logits, alpha = normal(6, 4).requires_grad_(), normal(4, seed=2).abs()
    assert torch.autograd.gradcheck(lambda z: focal_loss(z, TARGETS, gamma, alpha), logits)
    assert torch.autograd.gradcheck(lambda z: adjust_logits(z, alpha / alpha.sum(), 0.7, mode="train"), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_and_hopeless_samples_in_every_dtype(dtype: torch.dtype, gamma: float) -> None:
    logits = torch.tensor([[900.0, 0, 0], [0, 900, 0], [1, 2, 0]], dtype=dtype, requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 2, 1]), gamma)
    loss.backward()
    assert loss.dtype == dtype and 299 < loss.item() < 303
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_stays_close_to_float64(dtype: torch.dtype) -> None:
    logits = normal(6, 4).to(dtype)
    tolerance = 4 * torch.finfo(dtype).eps
    exact = focal_loss(logits.double(), TARGETS)
    torch.testing.assert_close(focal_loss(logits, TARGETS).double(), exact, rtol=tolerance, atol=tolerance)
    priors = torch.tensor([0.4, 0.3, 0.2, 0.1])
    assert adjust_logits(logits, priors, mode="posthoc").dtype == dtype


def test_focal_loss_does_not_rise_with_gamma() -> None:
    losses = [focal_loss(2 * normal(6, 4), TARGETS, gamma / 4) for gamma in range(20)]
    assert all(later <= earlier for earlier, later in zip(losses, losses[1:], strict=False))


def test_post_hoc_adjustment_takes_the_prior_out() -> None:
    evidence, priors = (
        torch.rand(50, 4, generator=torch.Generator().manual_seed(3)),
        torch.tensor([0.7, 0.2, 0.06, 0.04]),
    )
    joint = torch.log(priors * evidence)
    assert torch.equal(adjust_logits(joint, priors, mode="posthoc").argmax(dim=1), evidence.argmax(dim=1))
    assert not torch.equal(joint.argmax(dim=1), evidence.argmax(dim=1))
    uniform = torch.full((4,), 0.25)
    for mode in ("train", "posthoc"):
        assert torch.equal(adjust_logits(joint, uniform, 3.0, mode=mode).argmax(dim=1), joint.argmax(dim=1))


def test_training_with_added_prior_leaves_the_evidence() -> None:
    """Counts that differ only by the prior: with the log prior added, the best constant logits are all equal."""
    priors = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([60, 30, 10]))
    scores = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    F.cross_entropy(adjust_logits(scores.expand(100, 3), priors, mode="train"), targets).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(1, 3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_many_float32_priors_are_accepted() -> None:
    priors = torch.softmax(normal(1000).float(), dim=0)
    assert adjust_logits(torch.zeros(2, 1000), priors, mode="train").shape == (2, 1000)


def test_worked_example_of_the_lesson() -> None:
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    targets = torch.tensor([0, 0])
    assert focal_loss(logits, targets).item() == pytest.approx(0.516, abs=5e-4)
    assert focal_loss(logits, targets, 0.0).item() == pytest.approx(0.857, abs=5e-4)
    row, priors = torch.tensor([[1.0, 0.5]]), torch.tensor([0.9, 0.1])
    assert adjust_logits(row, priors, mode="posthoc")[0].tolist() == pytest.approx([1.105, 2.803], abs=5e-4)
    assert adjust_logits(row, priors, mode="train")[0].tolist() == pytest.approx([0.895, -1.803], abs=5e-4)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible checks", "exec"), dict(vars(lesson)))
