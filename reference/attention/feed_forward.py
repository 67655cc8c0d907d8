# %% [markdown]
# # The position-wise feed-forward layer
#
# After attention has moved information between tokens, the other half of every transformer block works on each token by
# itself: two matrices with a bend, the activation, in between. It holds about two thirds of a block's parameters, and
# its activation is where published explanations slip: the formula with max(0, ·) is often presented as BERT's, but BERT
# uses another function. Load trained weights into the wrong one and nothing complains; the features come out wrong in
# every layer.
#
# ## Your task (about 25 minutes)
#
# Write `feed_forward(x, W1, b1, W2, b2, activation="gelu", W3=None, b3=None)`.
#
# | argument | shape | meaning |
# |---|---|---|
# | `x` | `(..., width)` | tokens, with any number of axes in front, or none |
# | `W1`, `b1` | `(width, hidden)`, `(hidden,)` | first map, z = x `W1` + `b1` |
# | `W2`, `b2` | `(hidden, width)`, `(width,)` | second map, back to the width of the tokens |
# | `activation` | text | one of the four names below |
# | `W3`, `b3` | `(width, hidden)`, `(hidden,)` | for `"swiglu"` only; `b3=None` means no bias there |
#
# It returns a float64 array of the shape of `x`: act(z) `W2` + `b2`, where act depends on `activation`.
#
# | name | what goes into the second map | met in |
# |---|---|---|
# | `"relu"` | max(0, z) | the first transformer (Vaswani et al. 2017) |
# | `"gelu"` | z · Φ(z), with Φ the distribution function of the standard normal distribution, exactly | BERT, ViT |
# | `"gelu_tanh"` | z/2 · (1 + tanh(√(2/π) · (z + 0.044715 z³))) | GPT-2 |
# | `"swiglu"` | SiLU(z) · (x `W3` + `b3`), elementwise, with SiLU(z) = z / (1 + exp(-z)) | LLaMA, Qwen |
#
# - **Layout.** Row vectors times matrices, `x @ W`, as in the formula; PyTorch's `nn.Linear` stores the transpose.
# - **Position-wise.** Every token goes through the same map and no token sees another.
# - **Numbers.** The arguments are NumPy arrays of any integer or floating dtype. Everything is computed in **float64**.
#   Entries of z as large as ±10000 give finite, correct results. No argument is changed.
# - **`ValueError`**: a shape that is not the one in the table (`x` without any axis included), another name of an
#   activation, `"swiglu"` without `W3`, and `W3` or `b3` given with any other activation.
# - **Forbidden:** `torch`, `tensorflow` and `keras`. NumPy has no error function; the cell below gives you `erf`.
#
# What is not part of this layer, though each block has it: the residual connection and the normalisation around it.
#
# ## A worked example
#
# One token x = (1, -2), a hidden width of 3:
#
# | step | values |
# |---|---|
# | `W1` with rows (1, 0, 1) and (0, 1, 1), `b1` = (0, 1, 0) | z = (1, -1, -1) |
# | `"relu"` | (1, 0, 0) |
# | `"gelu"`: z · Φ(z), Φ(1) = 0.8413 and Φ(-1) = 0.1587 | (0.8413, -0.1587, -0.1587) |
# | `W2` with rows (2, 1), (5, 5) and (3, 0), `b2` = (0, 1) | relu: (2, 2), gelu: (0.4134, 1.0481) |
#
# ReLU throws the negative entries away; GELU keeps a little of them.

# %%
import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])  # the error function of every entry: Φ(z) = (1 + erf(z / √2)) / 2


# %% tags=["solution"]
def feed_forward(
    x: np.ndarray,
    W1: np.ndarray,
    b1: np.ndarray,
    W2: np.ndarray,
    b2: np.ndarray,
    activation: str = "gelu",
    W3: np.ndarray | None = None,
    b3: np.ndarray | None = None,
) -> np.ndarray:
    """Two affine maps with an activation in between, for every token alike (Vaswani et al. 2017).

    x (..., width); W1 (width, hidden), b1 (hidden,); W2 (hidden, width), b2 (width,), in the layout (in, out).
    activation: "relu"; "gelu" or "gelu_tanh" (Hendrycks & Gimpel 2016); "swiglu" (Shazeer 2020), which multiplies
    SiLU(x W1 + b1) by x W3 + b3, with W3 (width, hidden) and b3 (hidden,) or None.

    Returns (..., width), float64.
    Raises ValueError for shapes that do not fit together, another activation, "swiglu" without W3, and for W3 or b3
    with any other activation.
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=np.float64)
    if W1.ndim != 2 or x.ndim == 0 or x.shape[-1] != W1.shape[0]:
        raise ValueError(f"x {x.shape} and W1 {W1.shape} do not fit together")
    width, hidden = W1.shape
    if b1.shape != (hidden,) or W2.shape != (hidden, width) or b2.shape != (width,):
        raise ValueError(f"b1 {b1.shape}, W2 {W2.shape} or b2 {b2.shape} does not fit W1 {W1.shape}")
    if activation == "swiglu":
        if W3 is None or W3.shape != (width, hidden):
            raise ValueError("swiglu needs a matrix W3 of the shape of W1")
        if b3 is not None and b3.shape != (hidden,):
            raise ValueError(f"b3 {b3.shape} does not fit W1 {W1.shape}")
    elif W3 is not None or b3 is not None:
        raise ValueError(f"W3 and b3 are for swiglu, not for {activation}")

    z = x @ W1 + b1  # (..., hidden)
    if activation == "relu":
        inner = np.maximum(z, 0)
    elif activation == "gelu":
        # z times the probability that a standard normal number is below z
        inner = z * (1 + erf(z / np.sqrt(2))) / 2
    elif activation == "gelu_tanh":
        inner = z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2
    elif activation == "swiglu":
        # SiLU(z) = z times sigmoid(z), and sigmoid(z) = (1 + tanh(z / 2)) / 2, which cannot overflow
        gate = z * (1 + np.tanh(z / 2)) / 2
        inner = gate * (x @ W3 + (0 if b3 is None else b3))  # (..., hidden)
    else:
        raise ValueError(f"unknown activation {activation!r}")
    return inner @ W2 + b2  # (..., width)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two tokens through ReLU, and then a layer with one feature only, which shows the activation itself: at z = 1 the two
# kinds of GELU differ in the fourth decimal.

# %% tags=["visible-checks", "active-ipynb"]
# tokens = np.array([[1.0, 2.0], [3.0, 0.0]])
# first, second = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, 2.0]]), np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 1.0]])
# output = feed_forward(tokens, first, np.array([0.0, 0.0, -1.0]), second, np.array([10.0, 20.0]), activation="relu")
# assert np.allclose(output, [[13, 24], [13, 20]])
#
# one, two, zero = np.ones((1, 1)), np.full((1, 1), 2.0), np.zeros(1)
# assert np.allclose(feed_forward(np.ones(1), one, zero, one, zero), [0.841344746])
# assert np.allclose(feed_forward(np.ones(1), one, zero, one, zero, activation="gelu_tanh"), [0.841191990])
# assert np.allclose(feed_forward(np.ones(1), one, zero, one, zero, activation="swiglu", W3=two), [1.462117157])

# %% [markdown]
# The next cell draws the activations. All agree far from 0; what differs is how much of a small negative input is kept.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# grid = np.linspace(-4, 2, 200)
# one, zero = np.ones((1, 1)), np.zeros(1)
# for name in ("relu", "gelu"):
#     plt.plot(grid, feed_forward(grid[:, None], one, zero, one, zero, activation=name)[:, 0], label=name)
# plt.plot(grid, feed_forward(grid[:, None], one, zero, one, zero, "swiglu", 0 * one, np.ones(1))[:, 0], label="SiLU")
# plt.axhline(0, color="grey", linewidth=0.8)
# plt.xlabel("z")
# plt.legend()
# plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If you exchange two tokens of a sentence, what happens to the output? And if you run a batch of three sentences or the
# same tokens one at a time, may any number differ? What does that say about the axes you have to touch?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# `@` works on the last axis of its left side and carries all the others along, so that no reshape is needed. A gated
# layer has two first maps: one decides how far a channel is open, the other supplies what passes. Only the one that
# decides goes through the activation.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the shapes against those of `W1`, then the combinations of activation, `W3` and `b3`. Compute z once. Choose the
# activation by its name; for the gated one compute the second branch from x as well and multiply. The second map comes
# last, and nothing follows it. For SiLU, think of which exponential is taken when z is -10000, and when it is +10000.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# inner = 0.5 * z * (1 + erf(z / np.sqrt(2)))  # exact GELU, (..., hidden)
# ```
#
# </details>
#
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Dan Hendrycks, Kevin Gimpel (2016), Gaussian Error Linear Units (GELUs).
# - Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova (2018), BERT: Pre-training of Deep Bidirectional
#   Transformers for Language Understanding.
# - Noam Shazeer (2020), GLU Variants Improve Transformer.
