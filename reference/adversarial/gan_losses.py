# %% [markdown]
# # Numerically stable GAN losses
#
# Making up image and text features to train on is a popular idea when pairs are scarce, and a generative adversarial
# network is the classical way to try it. Its two losses are three logarithms, usually published as logarithms of
# probabilities. That code works on the first day and returns infinity on the second: a discriminator that is sure
# rounds to 0 or 1 long before it is perfect. And of the two losses in print for the generator, one tells it almost
# nothing as long as its fakes are bad, which is when it needs to know most.
#
# ## Your task (about 30 minutes)
#
# The discriminator gives every sample a *logit* s, any finite number; D = σ(s) = 1 / (1 + exp(-s)) is the probability
# that it calls the sample real. Write
#
# ```python
# d_loss(real_logits, fake_logits, real_label=1.0)  # -> Tensor without dimensions
# g_loss(fake_logits, kind)                         # -> Tensor without dimensions
# ```
#
# | argument | meaning |
# |---|---|
# | `real_logits`, `fake_logits` | floating tensors of logits, each of any shape; the two may differ in shape |
# | `real_label` | the target y of the real samples, a number in (0, 1]; below 1 it is *label smoothing* |
# | `kind` | `"non_saturating"` or `"saturating"` |
#
# All losses are there to be **minimised**; log is the natural logarithm.
#
# | loss | formula |
# |---|---|
# | `d_loss` | mean over the real samples of −y·log D − (1 − y)·log(1 − D), plus mean over the fakes of −log(1 − D) |
# | `g_loss`, non-saturating | mean over the fakes of −log D |
# | `g_loss`, saturating | mean over the fakes of log(1 − D): a negative number |
#
# - The smoothing is one-sided: the target of the fakes is 0, whatever `real_label` is.
# - For all logits from −10000 to 10000, values and gradients are those of the formulas, to 1e-6 (relative or absolute)
#   in `float64` and to 1e-5 in `float32`.
# - The result is in the dtype of the logits, `float16` and `bfloat16` included, and gradients flow back to all of them.
# - `ValueError` for a tensor of logits without any element, for a `real_label` outside (0, 1] or NaN, and for an
#   unknown `kind`. NaN or infinite logits are not asked for.
#
# Not allowed: the ready-made `F.binary_cross_entropy_with_logits` and `nn.BCEWithLogitsLoss`. Everything else in
# PyTorch is welcome. Leave the arguments unchanged.
#
# ## Worked example
#
# Two real samples with the logits ln 4 and 0, so D is 0.8 and 0.5; one fake with the logit −ln 3, so D is 0.25.
#
# | | computed as | value |
# |---|---|---|
# | `d_loss` | (−ln 0.8 − ln 0.5) / 2 − ln 0.75 | 0.458 + 0.288 = 0.746 |
# | the same with `real_label=0.9` | (−0.9·ln 0.8 − 0.1·ln 0.2 − ln 0.5) / 2 − ln 0.75 | 0.527 + 0.288 = 0.815 |
# | non-saturating | −ln 0.25 | 1.386 |
# | saturating | ln 0.75 | −0.288 |
#
# The slope by that fake's logit is −0.75 for the non-saturating and −0.25 for the saturating loss. Make the fake worse,
# to a logit of −20: the slopes become −1 and −0.000000002. Both losses pull in the same direction; one has stopped
# pulling.

# %%
import torch
import torch.nn.functional as F


# %% tags=["solution"]
def d_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor, real_label: float = 1.0) -> torch.Tensor:
    """Loss of the discriminator, to be minimised (Goodfellow et al. 2014, Generative Adversarial Nets).

    real_logits, fake_logits: floating tensors of any shapes, not empty. real_label: target of the real samples, in
    (0, 1]; the target of the fakes is 0.

    Returns a tensor of shape (), in the dtype of the logits: the sum of two means.
    Raises ValueError for an empty tensor and for a real_label outside (0, 1] or NaN.
    """
    ### BEGIN SOLUTION
    if real_logits.numel() == 0 or fake_logits.numel() == 0:
        raise ValueError("there must be at least one real and one fake logit")
    if not 0 < real_label <= 1:
        raise ValueError(f"real_label must be in (0, 1], not {real_label}")

    # -log D = softplus(-logit) and -log(1 - D) = softplus(logit), where softplus(x) = log(1 + exp(x))
    real = real_label * F.softplus(-real_logits) + (1 - real_label) * F.softplus(real_logits)  # shape of real_logits
    fake = F.softplus(fake_logits)  # shape of fake_logits
    return real.mean() + fake.mean()
    ### END SOLUTION


def g_loss(fake_logits: torch.Tensor, kind: str) -> torch.Tensor:
    """Loss of the generator, to be minimised (Goodfellow et al. 2014, Generative Adversarial Nets, section 3).

    fake_logits: floating tensor of any shape, not empty. kind: "non_saturating" or "saturating".

    Returns a tensor of shape (), in the dtype of the logits: mean of -log D, or mean of log(1 - D).
    Raises ValueError for an empty tensor and for an unknown kind.
    """
    ### BEGIN SOLUTION
    if fake_logits.numel() == 0:
        raise ValueError("there must be at least one fake logit")

    if kind == "non_saturating":
        return F.softplus(-fake_logits).mean()  # mean of -log D
    if kind == "saturating":
        return -F.softplus(fake_logits).mean()  # mean of log(1 - D)
    raise ValueError(f"kind must be 'non_saturating' or 'saturating', not {kind!r}")
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Three real samples with D = 0.75, 0.9 and 0.25, and two fakes with D = 0.2 and 0.1.

# %% tags=["visible-checks", "active-ipynb"]
# import math
#
# real_logits = torch.tensor([math.log(3), math.log(9), -math.log(3)], dtype=torch.float64)
# fake_logits = torch.tensor([[-math.log(4)], [-math.log(9)]], dtype=torch.float64)
#
# on_fake = -(math.log(0.8) + math.log(0.9)) / 2
# loss = d_loss(real_logits, fake_logits).item()
# expected = -(math.log(0.75) + math.log(0.9) + math.log(0.25)) / 3 + on_fake
# assert abs(loss - expected) < 1e-6, f"d_loss is {loss:.6f}; it should be {expected:.6f}"
#
# smooth = d_loss(real_logits, fake_logits, real_label=0.8).item()
# expected = 0.8 * (expected - on_fake) - 0.2 * (math.log(0.25) + math.log(0.1) + math.log(0.75)) / 3 + on_fake
# assert abs(smooth - expected) < 1e-6, f"d_loss with real_label=0.8 is {smooth:.6f}; it should be {expected:.6f}"
#
# for kind, expected in (("non_saturating", -(math.log(0.2) + math.log(0.1)) / 2), ("saturating", -on_fake)):
#     loss = g_loss(fake_logits, kind).item()
#     assert abs(loss - expected) < 1e-6, f"the {kind} g_loss is {loss:.6f}; it should be {expected:.6f}"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# What is 1 − σ(40) in floating point, and what is its logarithm? And what is −log σ(−40), worked out with a pencil,
# when you divide nothing and round nothing? No detour through a number that rounds to 0 or 1 should be needed.
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Put the formula of σ into −log D and simplify: one logarithm of a sum of two terms is left. For large logits one of
# the terms dwarfs the other and the result becomes a straight line. PyTorch has a function with exactly this shape that
# takes care of both ends. The other logarithm follows from 1 − σ(s) = σ(−s).
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments; mind that NaN is neither below 0 nor above 1. Every loss is a mean of the function from hint 2,
# applied to the logits or to the negative logits. For the real samples there are two terms, one for each target, with
# the weights y and 1 − y. Work out on paper which term takes the logit and which its negative.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# F.softplus(torch.tensor([-10000.0, 10000.0]))  # 0 and 10000: log(1 + exp(x)) without overflow
# ```
#
# </details>
#
# ## References
#
# - Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, et al. (2014), Generative Adversarial Nets: both losses of the
#   generator, and why the second is the better one early in training.
# - Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna (2016), Rethinking the Inception
#   Architecture for Computer Vision: label smoothing (for classifiers).
# - Suman V. Ravuri, Oriol Vinyals (2019), Classification Accuracy Score for Conditional Generative Models: what
#   generated samples are worth as training data.
