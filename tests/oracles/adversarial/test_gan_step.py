"""The reference against steps on deep copies, a run that must converge, and the asserts the student sees."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference.adversarial import gan_step as lesson
from reference.adversarial.gan_step import gan_step


def networks(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    G = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    return G, nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))


def adam(network: nn.Module, lr: float = 3e-3) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.9))


def batch(size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Real samples around (3, -2) with the spread 0.5, and noise for both steps."""
    return torch.tensor([3.0, -2.0]) + 0.5 * torch.randn(size, 2), torch.randn(size, 2), torch.randn(size, 2)


def published_step(G, D, real, opt_g, opt_d, z_d, z_g) -> None:
    opt_g.zero_grad(), opt_d.zero_grad()
    real_logits, fake_logits = D(real), D(G(z_d))
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean() + F.softplus(-fake_logits).mean()
    loss.backward()
    opt_g.step(), opt_d.step()


def distance_after_training(step) -> float:
    """Distance between the target and the generated mean, the latter averaged over the last 100 of 400 steps."""
    G, D = networks()
    opt_g, opt_d = adam(G), adam(D)
    means = []
    for _ in range(400):
        real, z_d, z_g = batch()
        step(G, D, real, opt_g, opt_d, z_d, z_g)
        means.append(G(z_g).detach().mean(dim=0))
    return (torch.stack(means[-100:]).mean(dim=0) - torch.tensor([3.0, -2.0])).norm().item()


def test_learns_a_gaussian_where_the_published_step_does_not() -> None:
    assert distance_after_training(gan_step) < 1.0
    assert distance_after_training(published_step) > 1.0


@pytest.mark.parametrize("rates", [(0.1, 0.2), (0.0, 0.2), (0.1, 0.0)])
def test_equals_two_steps_on_copies(rates) -> None:
    G, D = (network.double() for network in networks(1))
    G[0].bias.requires_grad_(False)
    D[2].bias.requires_grad_(False)
    copies = copy.deepcopy(G), copy.deepcopy(D)
    real, z_d, z_g = (values.double() for values in batch(5))
    opts = [torch.optim.SGD(net.parameters(), lr=rate) for net, rate in zip((G, D), rates, strict=True)]
    report = gan_step(G, D, real, *opts, z_d, z_g[:3])

    old_g, new_d = copies
    logits = torch.cat([new_d(real), new_d(old_g(z_d).detach())])
    targets = torch.tensor([[1.0]] * 5 + [[0.0]] * 5, dtype=torch.float64)
    d_loss = 2 * F.binary_cross_entropy_with_logits(logits, targets)  # the sum of two means over 5
    trainable = [parameter for parameter in new_d.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(d_loss, trainable)
    with torch.no_grad():
        for parameter, gradient in zip(trainable, gradients, strict=True):
            parameter -= rates[1] * gradient
    assert report["d_loss"] == pytest.approx(d_loss.item())
    assert report["d_real"] == pytest.approx(logits[:5].sigmoid().mean().item())
    assert report["d_fake"] == pytest.approx(logits[5:].sigmoid().mean().item())
    left = [parameter.grad for parameter in D.parameters() if parameter.requires_grad]
    torch.testing.assert_close(left, list(gradients))

    g_loss = -F.logsigmoid(new_d(old_g(z_g[:3]))).mean()
    trainable = [parameter for parameter in old_g.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(g_loss, trainable)
    with torch.no_grad():
        for parameter, gradient in zip(trainable, gradients, strict=True):
            parameter -= rates[0] * gradient
    assert report["g_loss"] == pytest.approx(g_loss.item())
    torch.testing.assert_close(G.state_dict(), old_g.state_dict())
    torch.testing.assert_close(D.state_dict(), new_d.state_dict())
    assert [p.requires_grad for p in G.parameters()] == [p.requires_grad for p in old_g.parameters()]
    assert [p.requires_grad for p in D.parameters()] == [p.requires_grad for p in new_d.parameters()]


def test_a_rate_of_zero_leaves_a_network_bit_for_bit() -> None:
    for rates in ((0.0, 1e-2), (1e-2, 0.0)):
        G, D = networks()
        before = copy.deepcopy(G.state_dict()), copy.deepcopy(D.state_dict())
        real, z_d, z_g = batch(6)
        gan_step(G, D, real, adam(G, rates[0]), adam(D, rates[1]), z_d, z_g)
        for network, state, rate in zip((G, D), before, rates, strict=True):
            same = [torch.equal(state[name], value) for name, value in network.state_dict().items()]
            assert all(same) if rate == 0 else not any(same)


def test_a_loss_that_is_not_finite() -> None:
    for place, who_moves in ((0, ""), (1, ""), (2, "D")):
        G, D = networks()
        before = copy.deepcopy(G.state_dict()), copy.deepcopy(D.state_dict())
        inputs = list(batch(4))
        inputs[place][1, 0] = math.nan
        with pytest.raises(RuntimeError, match="loss of the"):
            gan_step(G, D, inputs[0], adam(G), adam(D), *inputs[1:])
        for name, network, state in zip("GD", (G, D), before, strict=True):
            same = all(torch.equal(state[key], value) for key, value in network.state_dict().items())
            assert same == (name not in who_moves)


def test_bad_input() -> None:
    G, D = networks()
    real, z_d, z_g = batch(4)
    for arguments in ((real, z_d[:3], z_g), (real[:0], z_d[:0], z_g), (real, z_d, z_g[:0])):
        with pytest.raises(ValueError, match="sample"):
            gan_step(G, D, arguments[0], adam(G), adam(D), *arguments[1:])
    both = torch.optim.SGD([*G.parameters(), *D.parameters()], lr=0.1)
    for opt_g, opt_d in ((both, both), (both, adam(D)), (adam(G), both)):
        with pytest.raises(ValueError, match="both optimisers"):
            gan_step(G, D, real, opt_g, opt_d, z_d, z_g)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
