# %% [markdown]
# # One correct adversarial step
#
# Two networks share one training loop: the generator G makes fakes, the discriminator D tells them from real samples,
# and each learns from the other's mistakes. In print this often becomes one optimiser over both networks and one sum of
# two losses. But the two want opposite things of the same fakes, so the gradients that reach the generator point in
# opposite directions and largely cancel: the loop runs without an error and learns nothing. What makes the game work is
# bookkeeping: who sees what, who gets which gradient, and who moves when.
#
# ## Your task (about 45 minutes)
#
# ```python
# gan_step(G, D, real, opt_g, opt_d, z_d, z_g)  # -> dict
# ```
#
# | argument | meaning |
# |---|---|
# | `G` | `nn.Module`: noise `(batch, ...)` to fakes, shaped like `real` |
# | `D` | `nn.Module`: samples to **logits** of "real", of any shape with the batch first; every logit counts alike |
# | `real` | real samples `(batch, ...)` |
# | `opt_g`, `opt_d` | one `torch.optim` optimiser for the parameters of each network |
# | `z_d`, `z_g` | noise for the step of D, as many samples as `real`, and for the step of G, any number of samples |
#
# One call makes one step of each, first D, then G. Both losses are minimised; BCE(logits, t) is the binary
# cross-entropy of logits with the target t, averaged over all logits: `F.binary_cross_entropy_with_logits` is welcome.
#
# 1. **D learns**: fakes are made from `z_d`, and `d_loss` = BCE(D(real), 1) + BCE(D(fakes), 0). `opt_d` steps once.
# 2. **G learns**: fresh fakes are made from `z_g` and shown to the D that has **already been updated**. The loss is the
#    non-saturating one: `g_loss` = BCE(D(fakes), 1). `opt_g` steps once.
#
# The dictionary has exactly these entries, all of them Python floats:
#
# | key | value |
# |---|---|
# | `"d_loss"`, `"g_loss"` | the two losses |
# | `"d_real"`, `"d_fake"` | mean probability σ(logit) of `real` and of the fakes of `z_d`, **before** D's update |
#
# Rules:
#
# - G is called twice, with `z_d` and with `z_g`. D is called three times: `real`, the fakes of `z_d` and the fakes of
#   `z_g` each in a call of their own, since batch normalisation would mix what is joined.
# - In D's step the fakes are data: when D receives them, they are cut off from G (their `requires_grad` is `False`).
# - Nothing from before counts: a `.grad` left over from an earlier step has no influence on either network.
# - The generator's loss leaves nothing behind in D. After the call every `.grad` in D is the gradient of `d_loss`
#   alone, or `None`, or zero.
# - Both networks may hold frozen parameters; these do not move. Every `requires_grad` is afterwards what it was before,
#   **even when an error is raised**; in between you may change it. Leave `train()` and `eval()` alone: the modes are
#   the caller's choice.
# - `ValueError`, before a network is called or anything is changed: `real` and `z_d` differ in their number of
#   samples, `real` or `z_g` has none, or some parameter belongs to both optimisers (the same tensor, that is: equal
#   numbers in two tensors are no reason to worry).
# - `RuntimeError` when a loss is NaN or infinite. No optimiser steps after that: with such a `d_loss` both networks
#   keep their parameters; with such a `g_loss` D has already moved, and G keeps its parameters.
# - Networks and data are `float32` or `float64`.
#
# Nothing is forbidden.
#
# ## Worked example
#
# One weight each: G(z) = θ·z, and D has the logit w·x, with θ = 1 and w = 0. Both optimisers are SGD, with the rate 1
# for D and 4 for G. The real samples are 3 and 5, `z_d` is 1 and 3, `z_g` is ln 3.
#
# | | | |
# |---|---|---|
# | D before | every logit is 0, `d_real` = `d_fake` = 0.5 | `d_loss` = 2 ln 2 = 1.386 |
# | D's gradient | (0.5 − 1) · mean(3, 5) + (0.5 − 0) · mean(1, 3) = −2 + 1 = −1 | w = 0 + 1 · 1 = **1** |
# | G meets the new D | logit w·θ·z = ln 3, probability 0.75 | `g_loss` = −ln 0.75 = 0.288 |
# | G's gradient | (0.75 − 1) · w · ln 3 = −0.275 | θ = 1 + 4 · 0.275 = **2.099** |
#
# With the old D, w = 0, the gradient of G would have been 0.

# %%
import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% tags=["solution"]
def gan_step(
    G: nn.Module,
    D: nn.Module,
    real: Tensor,
    opt_g: torch.optim.Optimizer,
    opt_d: torch.optim.Optimizer,
    z_d: Tensor,
    z_g: Tensor,
) -> dict[str, float]:
    """One step of the discriminator, then one of the generator (Goodfellow et al. 2014, Generative Adversarial Nets).

    G: noise to samples. D: samples to logits. real: (batch, ...). z_d: noise for D's step, (batch, ...).
    z_g: noise for G's step, any number of samples.

    Returns a dict of floats: d_loss, g_loss, d_real and d_fake (mean probabilities before D's update).
    Raises ValueError, before anything is changed, for batches of real and z_d that differ, for an empty batch and for
    optimisers that share a parameter. Raises RuntimeError when a loss is not finite; no optimiser steps after that.
    """
    ### BEGIN SOLUTION
    if len(real) != len(z_d):
        raise ValueError(f"there are {len(real)} real samples but noise for {len(z_d)} fakes")
    if len(real) == 0 or len(z_g) == 0:
        raise ValueError("real and z_g must hold at least one sample")
    of_g = {id(parameter) for group in opt_g.param_groups for parameter in group["params"]}
    of_d = {id(parameter) for group in opt_d.param_groups for parameter in group["params"]}
    if of_g & of_d:
        raise ValueError("a parameter belongs to both optimisers")

    # D learns: target 1 for real samples and 0 for fakes, which are data here, without a graph back to G
    with torch.no_grad():
        fakes = G(z_d)  # (batch, ...)
    real_logits, fake_logits = D(real), D(fakes)
    d_loss = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    d_loss = d_loss + F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    if not d_loss.isfinite():
        raise RuntimeError(f"the loss of the discriminator is {d_loss.item()}")
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()

    # G learns: target 1 for its fakes, judged by the updated D
    logits = D(G(z_g))
    g_loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    if not g_loss.isfinite():
        raise RuntimeError(f"the loss of the generator is {g_loss.item()}")
    opt_g.zero_grad()
    g_loss.backward(inputs=[parameter for parameter in G.parameters() if parameter.requires_grad])  # nothing into D
    opt_g.step()

    return {
        "d_loss": d_loss.item(),
        "g_loss": g_loss.item(),
        "d_real": torch.sigmoid(real_logits).mean().item(),
        "d_fake": torch.sigmoid(fake_logits).mean().item(),
    }
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Again one weight each, with θ = 1 and w = ln 2: D gives the real samples 1 and 2 the probabilities 2/3 and 4/5, and
# the fakes 0 and −1 the probabilities 1/2 and 1/3.

# %% tags=["visible-checks", "active-ipynb"]
# import math
#
# G, D = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
# nn.init.constant_(G.weight, 1.0)
# nn.init.constant_(D.weight, math.log(2))
# opt_g = torch.optim.SGD(G.parameters(), lr=5.0)
# opt_d = torch.optim.SGD(D.parameters(), lr=math.log(2) * 15 / 8)
# real, z_d, z_g = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [-1.0]]), torch.tensor([[1.0]])
# report = gan_step(G, D, real, opt_g, opt_d, z_d, z_g)
#
# # D's gradient is ((2/3 - 1) * 1 + (4/5 - 1) * 2) / 2 + (1/2 * 0 + 1/3 * (-1)) / 2 = -8/15
# w, theta = D.weight.item(), G.weight.item()
# assert abs(w - math.log(4)) < 1e-4, f"w is {w:.4f}; it should be ln 4 = {math.log(4):.4f}"
# # G meets the new D: the logit is ln 4, the gradient (4/5 - 1) * ln 4
# assert abs(theta - 1 - math.log(4)) < 1e-4, f"theta is {theta:.4f}; it should be {1 + math.log(4):.4f}"
#
# expected = {
#     "d_loss": -(math.log(2 / 3) + math.log(4 / 5)) / 2 - (math.log(1 / 2) + math.log(2 / 3)) / 2,
#     "g_loss": -math.log(4 / 5),
#     "d_real": (2 / 3 + 4 / 5) / 2,
#     "d_fake": (1 / 2 + 1 / 3) / 2,
# }
# assert set(report) == set(expected), f"the dictionary has the keys {sorted(report)}"
# for key, value in expected.items():
#     assert abs(report[key] - value) < 1e-4, f"{key} is {report[key]:.4f}; it should be {value:.4f}"

# %% [markdown]
# ## See it learn
#
# When the checks pass, paste this into a cell of your own. G learns to make points around (3, −2) in a few seconds.
# Then try what the loop in print does: one backward pass of `d_loss + g_loss`, and both optimisers step. It stays about
# four away from its target.
#
# ```python
# def networks():
#     G = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
#     return G, nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
#
# G, D = networks()
# opt_g = torch.optim.Adam(G.parameters(), lr=3e-3, betas=(0.5, 0.9))
# opt_d = torch.optim.Adam(D.parameters(), lr=3e-3, betas=(0.5, 0.9))
# means = []
# for step in range(700):
#     real = torch.tensor([3.0, -2.0]) + 0.5 * torch.randn(64, 2)
#     gan_step(G, D, real, opt_g, opt_d, torch.randn(64, 2), torch.randn(64, 2))
#     means.append(G(torch.randn(64, 2)).mean(dim=0).detach())
# print(torch.stack(means[-300:]).mean(dim=0))
# ```

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Give one of the optimisers a learning rate of 0: that network must come out bit for bit as it went in, while the other
# one moves as if alone. Then look at every `.grad` after the call: can you say of each which loss it comes from?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# `backward()` adds to the `.grad` of everything that the loss depends on and that requires a gradient. The loss of D
# depends on G through the fakes, unless the fakes are cut off. The loss of G has to pass *through* D to reach G, so
# here you cannot cut; but passing through D's layers and filling the `.grad` of D's weights are two different things.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Make fakes without a graph, get both kinds of logits, add the two losses, see whether the sum is
# finite, clear, go backward, step. Make fresh fakes with a graph, get their logits, loss, see whether it is finite,
# clear, go backward into G only, step. For "into G only", either tell the backward pass which leaves it may fill, or
# switch `requires_grad` off in D for a while and bring each flag back in a `finally`.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# loss.backward(inputs=[p for p in network.parameters() if p.requires_grad])  # fills no other .grad
# ```
#
# </details>
#
# ## References
#
# - Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, et al. (2014), Generative Adversarial Nets: the game, and its
#   alternating steps.
# - Alec Radford, Luke Metz, Soumith Chintala (2016), Unsupervised Representation Learning with Deep Convolutional
#   Generative Adversarial Networks: architectures for which the game is stable.
# - Martin Heusel, Hubert Ramsauer, Thomas Unterthiner, Bernhard Nessler, Sepp Hochreiter (2017), GANs Trained by a Two
#   Time-Scale Update Rule Converge to a Local Nash Equilibrium: a rate for each of the two optimisers.
# - Takeru Miyato, Toshiki Kataoka, Masanori Koyama, Yuichi Yoshida (2018), Spectral Normalization for Generative
#   Adversarial Networks, and Lars M. Mescheder, Andreas Geiger, Sebastian Nowozin (2018), Which Training Methods for
#   GANs do actually Converge?: what keeps D from winning too early.
