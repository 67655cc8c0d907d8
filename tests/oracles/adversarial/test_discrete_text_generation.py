"""The reference against PyTorch's own Gumbel-softmax and embedding, and the asserts the student sees."""

from __future__ import annotations

import math
from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.adversarial import discrete_text_generation as lesson
from reference.adversarial.discrete_text_generation import gumbel_softmax, soft_embed


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_equals_the_library_with_its_own_noise(hard, tau) -> None:
    logits, direction = 2 * normal(2, 3, 5), normal(2, 3, 5, seed=1)
    torch.manual_seed(4)
    waiting = torch.empty_like(logits).exponential_()  # the library's noise is -log of exponential draws
    torch.manual_seed(4)
    leaf = logits.clone().requires_grad_()
    expected = F.gumbel_softmax(leaf, tau, hard=hard)
    expected.backward(direction)
    own = logits.clone().requires_grad_()
    sample = gumbel_softmax(own, tau, torch.exp(-waiting), hard=hard)
    sample.backward(direction)
    torch.testing.assert_close(sample, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(own.grad, leaf.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tau", [0.4, 3.0])
def test_frequencies_of_the_winners_are_the_softmax(tau) -> None:
    logits = torch.tensor([0.0, -1.0, 1.2, 0.4], dtype=torch.float64)
    u = torch.rand(50_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    frequencies = gumbel_softmax(logits.expand_as(u), tau, u, hard=True).mean(dim=0)
    torch.testing.assert_close(frequencies, torch.softmax(logits, dim=-1), rtol=0, atol=0.01)


def test_limits_of_the_temperature_and_shift_invariance() -> None:
    logits, u = normal(4, 5), torch.sigmoid(normal(4, 5, seed=1))
    hard = gumbel_softmax(logits, 1.0, u, hard=True)
    torch.testing.assert_close(gumbel_softmax(logits, 1e-4, u), hard, rtol=0, atol=1e-9)
    torch.testing.assert_close(gumbel_softmax(logits, 1e8, u), torch.full_like(u, 0.2), rtol=0, atol=1e-6)
    torch.testing.assert_close(gumbel_softmax(logits + 7, 0.6, u), gumbel_softmax(logits, 0.6, u))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_hard_samples_are_exactly_one_hot_and_ends_are_finite(dtype) -> None:
    u = torch.rand(5000, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    u[:3], u[3:6, :2] = 0.0, 1.0
    logits = normal(5000, 6).to(dtype).requires_grad_()
    hard = gumbel_softmax(logits, 0.7, u, hard=True)
    assert hard.dtype == dtype
    assert set(hard.unique().tolist()) == {0.0, 1.0} and bool((hard.sum(dim=-1) == 1).all())
    hard.backward(normal(5000, 6, seed=2).to(dtype))
    assert logits.grad.isfinite().all()


def test_embedding_of_whole_tokens_is_the_library_embedding() -> None:
    table, tokens = normal(7, 3), torch.tensor([[0, 6, 2], [5, 5, 1]])
    one_hot = F.one_hot(tokens, 7).double()
    torch.testing.assert_close(soft_embed(one_hot, table), F.embedding(tokens, table), rtol=0, atol=0)
    inputs = (torch.softmax(normal(2, 3, 4), dim=-1).requires_grad_(), normal(4, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(soft_embed, inputs)


def test_worked_example_of_the_lesson() -> None:
    logits = torch.tensor([math.log(4), 0, 0])
    u = torch.exp(-torch.tensor([2.0, 1.0, 1 / 9]))
    sample = gumbel_softmax(logits, 1.0, u)
    torch.testing.assert_close(sample, torch.tensor([2.0, 1.0, 9.0]) / 12)
    torch.testing.assert_close(gumbel_softmax(logits, 0.5, u), torch.tensor([4.0, 1.0, 81.0]) / 86)
    smooth = torch.tensor([0.261, 0.185, 0.554])
    torch.testing.assert_close(gumbel_softmax(logits, 2.0, u), smooth, rtol=0, atol=5e-4)
    table = torch.tensor([[6.0, 0.0], [0.0, 12.0], [2.0, 4.0]])
    torch.testing.assert_close(soft_embed(sample, table), torch.tensor([2.5, 4.0]))
    assert soft_embed(gumbel_softmax(logits, 1.0, u, hard=True), table).tolist() == [2.0, 4.0]


def test_bad_arguments() -> None:
    logits, u = normal(2, 5), torch.full((2, 5), 0.5, dtype=torch.float64)
    for tau in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tau"):
            gumbel_softmax(logits, tau, u)
    with pytest.raises(ValueError, match="shape"):
        gumbel_softmax(logits, 1.0, u[:1])
    for number in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="lie in"):
            gumbel_softmax(logits, 1.0, u.index_fill(1, torch.tensor(3), number))
    for shape in ((4, 3), (5,), (5, 4, 3)):
        with pytest.raises(ValueError, match="table"):
            soft_embed(u, normal(*shape))


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
