# %% [markdown]
# # Multi-head self-attention
#
# One softmax can point each token at one kind of partner: the noun it refers to, say, or the image patch that shows it.
# Transformers therefore attend several times side by side, in *heads* that each work on their own slice of the
# features, and join the results. The arithmetic is that of one attention; what goes wrong in practice is the
# bookkeeping. A reshape in the wrong order raises no error, trains, and mixes tokens with heads, and a wrong scale
# shows only as a model that learns badly. After this exercise you can read the attention code of BERT or of a vision
# transformer line by line and load its weights into your own.
#
# ## Your task (about 35 minutes)
#
# Write `multi_head_self_attention(x, Wq, Wk, Wv, Wo, bq, bk, bv, bo, n_heads, key_mask=None)`.
#
# | argument | shape | meaning |
# |---|---|---|
# | `x` | `(batch, tokens, width)` | the tokens, which are queries, keys and values at once |
# | `Wq`, `Wk`, `Wv`, `Wo` | `(width, width)`, laid out as `(out, in)` | projections to query, key, value and output |
# | `bq`, `bk`, `bv`, `bo` | `(width,)` | their biases |
# | `n_heads` | `int` | number of heads; it divides `width` |
# | `key_mask` | boolean `(batch, tokens)` or `None` | `True` = a token to attend to, `False` = padding |
#
# It returns `(output, weights)` of shapes `(batch, tokens, width)` and `(batch, heads, tokens, tokens)`; the last axis
# of the weights is that of the keys.
#
# - **Projections** are stored as in PyTorch, one row for each output feature: query = x times the transpose of `Wq`,
#   plus `bq`, and so on.
# - **Heads** are contiguous blocks: with a width of 12 and 3 heads, head 0 has features 0 to 3 of query, key and value,
#   head 1 features 4 to 7, head 2 features 8 to 11. Each head attends for itself, with its dot products divided by
#   √(width / heads). The results are put side by side in the order of the heads, then projected with `Wo` and `bo`.
# - **Padding** is hidden as a *key*: its weights are exactly 0 and the others sum to 1. As a query it is treated like
#   any other token. What a padded token contains, numbers up to 1000 included, changes nothing at the other tokens.
# - A **sample of padding only** has weights 0 everywhere, so that every row of its output is `bo`.
# - Scores as large as ±10000 give finite, correct results.
# - The arguments are NumPy arrays of any integer or floating dtype. Everything is computed in **float64** and both
#   results are float64. No argument is changed.
# - **`ValueError`**: `x` does not have three axes, `n_heads` is below 1 or does not divide the width, or a weight
#   matrix, a bias or the mask has another shape than in the table. A mask that is not boolean: `TypeError` or
#   `ValueError`, as you like.
# - **Forbidden:** `torch`, `tensorflow` and `keras`. All of NumPy is welcome, loops included.
#
# ## A worked example
#
# Two tokens (1, 0) and (0, 1), two heads of width 1, `Wq` = ln 3 times the identity, the other three matrices the
# identity, no biases. The scale is √1 = 1. Head 0 sees only the first column: the queries are ln 3 and 0, the keys 1
# and 0, so the scores are (ln 3, 0) for the first token and (0, 0) for the second, the weights (3/4, 1/4) and
# (1/2, 1/2). Head 1 sees only the second column, and there the second token is the one that can choose: (1/2, 1/2) and
# (1/4, 3/4).
#
# | token | head 0 | head 1 | output |
# |---|---|---|---|
# | (1, 0) | 3/4 · 1 + 1/4 · 0 = 3/4 | 1/2 · 0 + 1/2 · 1 = 1/2 | (3/4, 1/2) |
# | (0, 1) | 1/2 · 1 + 1/2 · 0 = 1/2 | 1/4 · 0 + 3/4 · 1 = 3/4 | (1/2, 3/4) |
#
# A single head of width 2 would have to use the same weights for both columns.

# %%
import numpy as np


# %% tags=["solution"]
def multi_head_self_attention(
    x: np.ndarray,
    Wq: np.ndarray,
    Wk: np.ndarray,
    Wv: np.ndarray,
    Wo: np.ndarray,
    bq: np.ndarray,
    bk: np.ndarray,
    bv: np.ndarray,
    bo: np.ndarray,
    n_heads: int,
    key_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Self-attention in several heads (Vaswani et al. 2017, Attention is All you Need).

    x (batch, tokens, width); Wq, Wk, Wv, Wo (width, width) in the layout (out, in); bq, bk, bv, bo (width,).
    n_heads divides the width. key_mask: boolean (batch, tokens), True = may be attended to; None hides nothing.

    Returns the output (batch, tokens, width) and the weights (batch, heads, tokens, tokens), both float64. A sample in
    which every token is hidden has weights 0, and its output is bo.
    Raises ValueError for shapes or a number of heads that do not fit, TypeError or ValueError for a mask
    that is not boolean.
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, tokens, width), not {x.shape}")
    batch, tokens, width = x.shape
    if n_heads < 1 or width % n_heads:
        raise ValueError(f"a width of {width} cannot be split into {n_heads} heads")
    if any(weight.shape != (width, width) for weight in (Wq, Wk, Wv, Wo)):
        raise ValueError(f"weight matrices must be ({width}, {width})")
    if any(bias.shape != (width,) for bias in (bq, bk, bv, bo)):
        raise ValueError(f"biases must be ({width},)")
    if key_mask is None:
        key_mask = np.ones((batch, tokens), dtype=bool)
    if key_mask.dtype != bool:
        raise TypeError(f"key_mask must be boolean, not {key_mask.dtype}")
    if key_mask.shape != (batch, tokens):
        raise ValueError(f"key_mask {key_mask.shape} does not fit x {x.shape}")
    head_width = width // n_heads

    def split_heads(projected: np.ndarray) -> np.ndarray:
        # (batch, tokens, width) -> (batch, tokens, heads, head width) -> (batch, heads, tokens, head width)
        return projected.reshape(batch, tokens, n_heads, head_width).transpose(0, 2, 1, 3)

    query = split_heads(x @ Wq.T + bq)
    key = split_heads(x @ Wk.T + bk)
    value = split_heads(x @ Wv.T + bv)

    # score = dot product of query and key within the head, divided by the square root of the head's width
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(head_width)  # (batch, heads, queries, keys)

    # weights = softmax over the visible keys; the largest score is taken off first, so that exp cannot overflow
    visible = key_mask[:, None, None, :]  # (batch, 1, 1, keys)
    scores = np.where(visible, scores, np.finfo(np.float64).min)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True)) * visible
    # the largest visible score adds exp(0) = 1 to the sum, so it is below 1 only where no key is visible: 0/1 = 0 there
    weights = exponentials / np.maximum(exponentials.sum(axis=-1, keepdims=True), 1)

    # output = the heads' averages of their values, side by side, projected
    heads = weights @ value  # (batch, heads, tokens, head width)
    joined = heads.transpose(0, 2, 1, 3).reshape(batch, tokens, width)  # (batch, tokens, heads * head width)
    return joined @ Wo.T + bo, weights
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two tokens of width 4 and two heads of width 2. The √2 in `Wq` takes back the scale, so that all weights are simple
# fractions.

# %% tags=["visible-checks", "active-ipynb"]
# tokens = np.array([[[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]])
# identity, nothing = np.eye(4), np.zeros(4)
# to_query, to_value = np.sqrt(2) * np.log(2) * identity, 6 * identity
# to_output = identity.copy()
# to_output[0, 1] = 1.0  # output feature 0 takes feature 1 as well
# shift = np.array([0.0, 0.0, 0.0, -6.0])
# arguments = (tokens, to_query, identity, to_value, to_output, nothing, nothing, nothing, shift, 2)
#
# output, weights = multi_head_self_attention(*arguments)
# assert np.allclose(weights, [[[[2 / 3, 1 / 3], [1 / 3, 2 / 3]], [[2 / 3, 1 / 3], [1 / 2, 1 / 2]]]])
# assert np.allclose(output, [[[6, 2, 4, 0], [6, 4, 3, 0]]])
#
# output, weights = multi_head_self_attention(*arguments, key_mask=np.array([[True, False]]))
# assert np.allclose(weights, [[[[1, 0], [1, 0]], [[1, 0], [1, 0]]]])
# assert np.allclose(output, [[[6, 0, 6, 0], [6, 0, 6, 0]]])

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A row of the projected `x` holds all features of one token. Which of these numbers belong to head 1? And if you change
# the features of one token, in which rows of which heads may the queries change, and in which must they stay?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A reshape never moves a number, it only draws new borders into the same sequence. Splitting the last axis into (heads,
# head width) is a new border; bringing the heads in front of the tokens is a move. You need both, in this order, and on
# the way back the same two in reverse. The scale follows from how many products are added up for *one* score.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Project three times over the full width. Split each result into heads, so that the last two axes
# are (tokens, head width). Then it is ordinary attention: scores by a matrix product, hide the padded keys with an axis
# each for heads and queries, softmax over the last axis with the maximum subtracted first, and think of the rows in
# which nothing was left. Average the values, join the heads, project once more.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# query = (x @ Wq.T + bq).reshape(batch, tokens, n_heads, -1).transpose(0, 2, 1, 3)  # tokens behind heads
# ```
#
# </details>
#
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Noam Shazeer (2019), Fast Transformer Decoding: One Write-Head is All You Need: all heads share one key and value.
