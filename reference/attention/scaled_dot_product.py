# %% [markdown]
# # Scaled dot-product attention
#
# Every transformer block, in a language model, a vision encoder or a model that joins the two, is built around one
# small operation: each query looks at all keys and takes a weighted average of the values. It is often described as
# giving every word one score of importance. What it computes is richer than that: **every query gets its own
# distribution over the keys**. Whoever has written it once, with its masks, can read the attention code of any library
# and knows where a NaN comes from.
#
# ## Your task (about 30 minutes)
#
# Write `scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None)`.
#
# | argument | shape | meaning |
# |---|---|---|
# | `query` | `(..., queries, key width)` | what each position is looking for |
# | `key` | `(..., keys, key width)` | what each position offers to be found by |
# | `value` | `(..., keys, value width)` | what each position hands over when it is attended to |
# | `mask` | boolean, broadcastable to `(..., queries, keys)` | `True` = this query may attend to this key |
# | `causal` | `bool` | if true, query number i may attend to keys 0 to i only |
# | `scale` | number or `None` | factor of the dot products; `None` means 1 / √(key width) |
#
# It returns `(output, weights)` of shapes `(..., queries, value width)` and `(..., queries, keys)`, in the dtype of the
# inputs. `...` stands for any number of leading dimensions, the same for all three inputs.
#
# - Weights: softmax, over the keys, of the scaled dot products. Output: the values averaged with these weights.
# - A key that is masked out gets a weight of exactly 0, and the other weights of that query sum to 1.
# - `mask` and `causal` can be given together; a key must then be allowed by both. When there are more keys than queries
#   or fewer, the causal triangle stays aligned at the top left: query 0 sees key 0 only.
# - A query that may attend to no key at all gets weights 0 and output 0, and no gradient becomes NaN because of it.
# - Scores as large as ±10000 give finite, correct results. A `scale` of 0 is a valid scale.
# - `ValueError` when the widths of queries and keys differ, when there are not as many values as keys, or when the mask
#   cannot be broadcast to `(..., queries, keys)`. A mask that is not boolean: `TypeError` or `ValueError`, as you like.
#
# Not allowed: the ready-made `F.scaled_dot_product_attention`, `nn.MultiheadAttention` and
# `F.multi_head_attention_forward`. Everything else in PyTorch is welcome, loops included. Leave the inputs unchanged.
#
# ## Worked example
#
# One query (1, 0, 0, 0) and three keys (2 ln 4, 0, 0, 0), (0, 5, 0, 0), (0, 0, 0, -3). The dot products are 2 ln 4, 0
# and 0. The key width is 4, so they are divided by 2: ln 4, 0, 0. The softmax gives 4/6, 1/6, 1/6. With the values 3,
# 12 and 6 the output is (4·3 + 12 + 6) / 6 = 5.
#
# Mask the third key out: the weights become 4/5, 1/5, 0 and the output 4.8. Mask all three out: weights 0, 0, 0 and
# output 0.

# %%
import math

import torch
from torch import Tensor


# %% tags=["solution"]
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Let every query take a weighted average of the values (Vaswani et al. 2017, Attention is All you Need).

    query (..., queries, key width), key (..., keys, key width), value (..., keys, value width): one floating dtype.
    mask: boolean, broadcastable to (..., queries, keys), True = may attend. causal: query i sees keys 0 to i only.
    scale: factor of the dot products, 1 / sqrt(key width) if None.

    Returns the output (..., queries, value width) and the weights (..., queries, keys), in the dtype of the inputs.
    A query that may attend to no key has weights 0 and output 0.
    Raises ValueError for shapes that do not fit together, TypeError for a mask that is not boolean.
    """
    ### BEGIN SOLUTION
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"queries are {query.shape[-1]} wide but keys {key.shape[-1]}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"{key.shape[-2]} keys but {value.shape[-2]} values")
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, not {mask.dtype}")
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])

    # score = dot product of query and key, times the scale (applied to the query first: float16 overflows less easily)
    scores = (query * scale) @ key.transpose(-2, -1)  # (..., queries, keys)

    # allowed = not later than the query if causal, and not masked out
    allowed = torch.ones_like(scores, dtype=torch.bool)  # (..., queries, keys)
    if causal:
        allowed = allowed.tril()
    if mask is not None:
        try:
            allowed = allowed & mask.expand_as(scores)
        except RuntimeError as error:
            raise ValueError(f"mask {tuple(mask.shape)} does not broadcast to {tuple(scores.shape)}") from error

    # weights = softmax over the allowed keys; a query without any gives 0/0 = NaN there, and attends to nothing instead
    weights = torch.softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1)
    weights = weights.masked_fill(~allowed, 0)

    # output = average of the values with these weights
    return weights @ value, weights  # (..., queries, value width), (..., queries, keys)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# One query, two keys that are 9 wide: the dot products 3 ln 3 and 0 become ln 3 and 0, the weights 3/4 and 1/4.

# %% tags=["visible-checks", "active-ipynb"]
# query = torch.zeros(2, 9)
# query[:, 0] = 1.0
# key = torch.zeros(2, 9)
# key[0, 0] = 3 * math.log(3)
# value = torch.tensor([[8.0, 0.0], [0.0, 4.0]])
#
# output, weights = scaled_dot_product_attention(query, key, value)
# torch.testing.assert_close(weights, torch.tensor([[0.75, 0.25], [0.75, 0.25]]))
# torch.testing.assert_close(output, torch.tensor([[6.0, 1.0], [6.0, 1.0]]))
#
# output, weights = scaled_dot_product_attention(query, key, value, causal=True)
# torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0], [0.75, 0.25]]))
# torch.testing.assert_close(output, torch.tensor([[8.0, 0.0], [6.0, 1.0]]))
#
# output, weights = scaled_dot_product_attention(query, key, value, mask=torch.tensor([[False, True], [False, False]]))
# torch.testing.assert_close(weights, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
# torch.testing.assert_close(output, torch.tensor([[0.0, 4.0], [0.0, 0.0]]))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Of the two last axes of the weights, along which one do the numbers sum to 1? Who is choosing, and among what? And if
# queries and keys became four times as wide, with entries as large as before, what would the spread of the scores do?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The dot product of two vectors with d independent entries of variance 1 has variance d. Dividing by √d keeps the
# scores at the same spread whatever the width, so that the softmax does not collapse onto one key. A mask has to act
# before the softmax: what is removed afterwards leaves a hole, and the rest no longer sums to 1.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the shapes. Compute all scores with one matrix product. Build one boolean tensor of what is allowed, from the
# triangle and from the mask. Set the scores that are not allowed to minus infinity and take the softmax over the last
# axis, with a function that subtracts the maximum for you. Think of rows in which everything was minus infinity. Then
# multiply with the values.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# scores = scores.masked_fill(~allowed, -torch.inf)  # (..., queries, keys), before the softmax
# ```
#
# </details>
#
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré (2022), FlashAttention: Fast and Memory-Efficient
#   Exact Attention with IO-Awareness: the same result without ever storing all the weights.
