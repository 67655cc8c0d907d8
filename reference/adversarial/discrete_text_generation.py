# %% [markdown]
# # Gradients through discrete text: Gumbel-softmax
#
# A generator of images hands its pixels to the discriminator, and the gradient flows back through them. A generator of
# text has to *choose* a token at every place, and a choice has no slope. A popular way out in print calls the softmax
# output "the text". Real text is made of whole tokens, so a discriminator needs one look to tell the two apart: a
# vector without a single zero is fake. Here you draw real choices, with a gradient, and put them where embedded text
# lives.
#
# ## Your task (about 40 minutes)
#
# ```python
# gumbel_softmax(logits, tau, u, hard=False)  # -> Tensor (..., tokens)
# soft_embed(y, embedding_weight)             # -> Tensor (..., width)
# ```
#
# | argument | shape | meaning |
# |---|---|---|
# | `logits` | `(..., tokens)` | finite scores of all tokens of the vocabulary, for each place of each text |
# | `tau` | number | temperature, greater than 0 |
# | `u` | shape and dtype of `logits` | numbers from 0 to 1, drawn uniformly by the caller; you draw nothing |
# | `hard` | `bool` | whole tokens instead of mixtures |
# | `y` | `(..., tokens)` | samples that `gumbel_softmax` returned |
# | `embedding_weight` | `(tokens, width)` | one row for each token, in the dtype of `y` |
#
# `...` stands for any number of leading axes, such as `(batch, places)`; there may be none.
#
# **`gumbel_softmax`** makes one sample for each place:
#
# - The noise of a token is −log(−log u), a draw from the Gumbel distribution. The *soft* sample is the softmax, over
#   the tokens, of (logits + noise) / tau.
# - With `hard=True` the result is exactly one-hot, 1.0 at the largest entry of the soft sample and 0.0 elsewhere (of
#   several largest entries, any one), but its gradient with respect to `logits` is exactly **the gradient that the soft
#   sample has**. This is called *straight-through*.
# - For u from 0.01 to 0.99 the numbers are those of the formula, to 1e-5 in `float32` and `float64`.
# - Values and gradients are finite for every u in [0, 1]. Exactly 0 does occur: `torch.rand` in `bfloat16` gives it
#   about once in 500 draws, and rounding turns numbers near the other end into 1. Treat both like numbers very close
#   by: with equal logits, a token with u = 1 beats one with u = 0.6, and one with u = 0 loses to one with u = 0.3. Mind
#   the precision: in `float32`, 1 − 1e-10 is 1.
# - In `float32` and `float64`, logits from −10000 to 10000 with `tau` = 0.1 give finite results as well.
#
# **`soft_embed`** returns, for each place, the sum over all tokens of `y` times the token's row. A one-hot `y` picks
# its row; gradients flow back to both arguments. The discriminator can then compare samples with embedded real tokens.
#
# **Both**:
#
# - The result has the dtype of `logits` or `y`: `float64`, `float32`, `float16` or `bfloat16`. Arguments stay
#   unchanged.
# - `ValueError` for a `tau` that is NaN, 0 or negative; for `u` that does not have exactly the shape of `logits`, or
#   that holds NaN or a number outside [0, 1]; for an `embedding_weight` that is not 2-D or does not have one row for
#   each token.
# - Tensors without elements and infinite `logits` or `tau` are not asked for.
#
# Not allowed: the ready-made `F.gumbel_softmax`, which draws its own noise anyway.
#
# ## Worked example
#
# Three tokens at one place. Token 0 has the best logit; token 2 has the luck.
#
# | | token 0 | token 1 | token 2 |
# |---|---|---|---|
# | logit | ln 4 = 1.386 | 0 | 0 |
# | u | exp(−2) = 0.135 | exp(−1) = 0.368 | exp(−1/9) = 0.895 |
# | noise | −ln 2 | 0 | ln 9 |
# | logit + noise | ln 2 | 0 | ln 9 |
# | soft sample, tau = 1 | 2/12 | 1/12 | 9/12 |
# | soft sample, tau = 0.5 | 4/86 | 1/86 | 81/86 |
# | soft sample, tau = 2 | 0.261 | 0.185 | 0.554 |
# | hard sample, any tau | 0 | 0 | 1 |
#
# With the rows (6, 0), (0, 12) and (2, 4) as embeddings, the soft sample of tau = 1 is embedded as (2.5, 4) and the
# hard one as (2, 4).

# %%
import torch
from torch import Tensor


# %% tags=["solution"]
def gumbel_softmax(logits: Tensor, tau: float, u: Tensor, hard: bool = False) -> Tensor:
    """Differentiable sample of one token for each place (Jang et al. 2017; Maddison et al. 2017).

    logits: (..., tokens), floating. tau: temperature > 0. u: uniform numbers in [0, 1], shape and dtype of logits.
    hard: exactly one-hot samples with the gradient of the soft ones.

    Returns (..., tokens) in the dtype of logits; each place sums to 1.
    Raises ValueError for tau that is not positive, for u of another shape, for NaN in u or numbers outside [0, 1].
    """
    ### BEGIN SOLUTION
    if not tau > 0:  # true for NaN as well
        raise ValueError(f"tau must be positive, not {tau}")
    if u.shape != logits.shape:
        raise ValueError(f"u {tuple(u.shape)} has not the shape of logits {tuple(logits.shape)}")
    if not ((u >= 0) & (u <= 1)).all():  # true for NaN as well
        raise ValueError("u must lie in [0, 1]")

    # noise = -log(-log u), kept finite: u = 0 and u = 1 become the numbers next to them that the dtype can tell apart
    limits = torch.finfo(u.dtype)
    noise = -torch.log(-torch.log(u.clamp(limits.tiny, 1 - limits.eps)))  # (..., tokens)

    # soft sample = softmax of (logits + noise) / temperature
    soft = torch.softmax((logits + noise) / tau, dim=-1)  # (..., tokens)
    if not hard:
        return soft

    # hard sample = one-hot vector, plus a difference that is 0 and has the gradient of the soft sample
    one_hot = torch.zeros_like(soft).scatter(-1, soft.argmax(dim=-1, keepdim=True), 1.0)  # (..., tokens)
    return one_hot + (soft - soft.detach())
    ### END SOLUTION


def soft_embed(y: Tensor, embedding_weight: Tensor) -> Tensor:
    """Embedding of samples: the rows of the table, added up with the weights of the sample.

    y: (..., tokens), floating. embedding_weight: (tokens, width), one row for each token.

    Returns (..., width) in the dtype of y.
    Raises ValueError for a table that is not 2-D or has not one row for each token.
    """
    ### BEGIN SOLUTION
    if embedding_weight.dim() != 2 or len(embedding_weight) != y.shape[-1]:
        raise ValueError(f"a table {tuple(embedding_weight.shape)} cannot embed samples {tuple(y.shape)}")
    return y @ embedding_weight  # (..., width)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two places, three tokens. The logits are logarithms and u is exp(−e), so that the soft sample with tau = 0.5 is
# proportional to (exp(logit) / e)².

# %% tags=["visible-checks", "active-ipynb"]
# logits = torch.tensor([[3.0, 1.0, 2.0], [1.0, 5.0, 2.0]]).log()
# u = torch.exp(-torch.tensor([[1.0, 1 / 4, 2.0], [1 / 2, 1.0, 1 / 6]]))
#
# soft = gumbel_softmax(logits, 0.5, u)
# expected = torch.tensor([[9 / 26, 16 / 26, 1 / 26], [4 / 173, 25 / 173, 144 / 173]])
# torch.testing.assert_close(soft, expected, rtol=0, atol=1e-5)
# hard = gumbel_softmax(logits, 0.5, u, hard=True)
# assert hard.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], f"the hard sample is {hard.tolist()}"
#
# # both have a gradient, and it is the same one
# reward, gradients = torch.tensor([1.0, 2.0, 4.0]), []
# for sample_is_hard in (False, True):
#     leaf = logits.clone().requires_grad_()
#     (gumbel_softmax(leaf, 0.5, u, hard=sample_is_hard) * reward).sum().backward()
#     gradients.append(leaf.grad)
# assert gradients[0].abs().max() > 0.1, f"the gradient of the soft sample is {gradients[0].tolist()}"
# torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-5)
#
# table = torch.tensor([[1.0, 0.0], [0.0, 10.0], [5.0, 5.0]])
# embedded = soft_embed(torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]), table)
# torch.testing.assert_close(embedded, torch.tensor([[1.75, 3.75], [5.0, 5.0]]))

# %% [markdown]
# ## What it buys, and what it does not
#
# However you choose tau, each token is the largest of the sample with the probability that softmax(logits) gives it:
# the noise does the drawing. What tau decides is how close the soft sample comes to that token. A small tau makes it
# nearly one-hot and its gradients erratic; a large one makes it smooth and unlike any text, so tau is often lowered
# during training. The gradient of a hard sample is biased, since the step forward and the step back belong to two
# different functions. The other classical way, the policy gradient of SeqGAN (Yu et al., 2017), is unbiased and noisy.
# Measured in quality and diversity together, a language model trained by maximum likelihood did better than the text
# GANs that were compared with it (Caccia et al., 2020), so make sure that you need an adversary at all.
#
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Draw u twenty thousand times for the same three logits and count which token is the largest of the sample. Which
# frequencies should come out, and should they depend on tau? And if you move one logit a tiny bit: does your hard
# sample move? What does the generator learn from that?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The largest of "logit plus Gumbel noise" is an exact draw from softmax(logits). Replacing the largest-of by a softmax
# makes it differentiable; logits and noise cool down together. For the hard sample, forward value and gradient may come
# from two different tensors, when you add something that is zero and still has a history.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Refuse bad arguments (NaN fails every comparison). Move u off its two ends, by steps that its dtype can represent:
# look at what `torch.finfo` knows. Two logarithms, two minus signs. Add, divide, softmax over the last axis. For the
# hard sample, find the largest entry of each place, write a 1 into zeros there, and attach the history of the soft
# sample.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# zero_with_a_history = x - x.detach()  # the value is 0, the gradient is that of x
# ```
#
# </details>
#
# ## References
#
# - Eric Jang, Shixiang Gu, Ben Poole (2017), Categorical Reparameterization with Gumbel-Softmax: soft and
#   straight-through samples.
# - Chris J. Maddison, Andriy Mnih, Yee Whye Teh (2017), The Concrete Distribution: A Continuous Relaxation of Discrete
#   Random Variables: the same distribution, found independently.
# - Lantao Yu, Weinan Zhang, Jun Wang, Yong Yu (2017), SeqGAN: Sequence Generative Adversarial Nets with Policy
#   Gradient.
# - Massimo Caccia, Lucas Caccia, William Fedus, Hugo Larochelle, Joelle Pineau, Laurent Charlin (2020), Language GANs
#   Falling Short.
