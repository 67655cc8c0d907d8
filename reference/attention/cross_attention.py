# %% [markdown]
# # Cross-attention from text to image
#
# To answer "what colour is the dog's collar?" the word *collar* has to look at the few image patches that show it.
# Cross-attention does that: the queries come from one modality, the keys and values from the other. It needs **tokens**
# to choose from. A common mistake is to pool the image into one vector first: a softmax over a single key is 1 whatever
# the question is, so nothing is selected, and the layers that make queries and keys never receive a gradient.
#
# ## Your task (about 40 minutes)
#
# Write the module `CrossAttention(q_dim, kv_dim, d_model, n_heads=1)` with four linear layers, all with bias:
#
# | attribute | from → to | applied to |
# |---|---|---|
# | `q_proj` | `q_dim` → `d_model` | the query tokens (here: the text) |
# | `k_proj` | `kv_dim` → `d_model` | the context tokens (here: the image) |
# | `v_proj` | `kv_dim` → `d_model` | the context tokens |
# | `out_proj` | `d_model` → `q_dim` | the result of all heads |
#
# `forward(query, context, context_mask=None)` returns `(output, weights)`.
#
# | tensor | shape | |
# |---|---|---|
# | `query` | `(batch, queries, q_dim)` | text tokens |
# | `context` | `(batch, keys, kv_dim)` | image tokens |
# | `context_mask` | `(batch, keys)`, boolean | `True` = this token is real and may be attended to; `None` = all are |
# | `output` | `(batch, queries, q_dim)` | in the dtype of the module |
# | `weights` | `(batch, n_heads, queries, keys)` | each head keeps its own |
#
# - Head number h works with the columns h·w to (h+1)·w − 1 of the projected tokens, where w = `d_model` / `n_heads`.
#   The heads' results are put side by side again in the same order before `out_proj`, as in `attention/multi_head`.
# - In every head, the dot products are divided by √w and go through a softmax over the keys.
# - A masked image token has weight exactly 0 everywhere, the other weights sum to 1, and its content has no influence
#   (finite content; you need not handle NaN there).
# - A sample whose image tokens are all masked has weights 0. What goes into `out_proj` is then 0, so that the output of
#   that sample is the bias of `out_proj`. All gradients stay finite.
# - `ValueError` when `d_model` is not a multiple of `n_heads`, when `query` or `context` is not 3-D, when they differ
#   in batch size, or when the mask's shape is not `(batch, keys)`. A mask that is not boolean: `TypeError` or
#   `ValueError`, as you like.
#
# Not allowed: the ready-made `F.scaled_dot_product_attention`, `nn.MultiheadAttention` and
# `F.multi_head_attention_forward`. Matrix products, `einsum` and loops are all fine.
#
# ## Worked example
#
# One head with `d_model` 4. A text token is projected to the query (2, 0, 0, 0), two image tokens to the keys
# (ln 9, 0, 0, 0) and (0, 5, 0, 0) and to the values (10, 0, 0, 0) and (20, 0, 0, 0). The dot products 2 ln 9 and 0 are
# divided by √4: ln 9 and 0. The weights are 9/10 and 1/10, and (11, 0, 0, 0) goes into `out_proj`. With two heads, the
# first would see the queries and keys (2, 0), (ln 9, 0) and (0, 5), and divide by √2.

# %%
import math

import torch
from torch import Tensor, nn


# %% tags=["solution"]
class CrossAttention(nn.Module):
    """Multi-head attention from the tokens of one modality to those of another (Vaswani et al. 2017; Lu et al. 2019).

    Linear layers with bias: q_proj (q_dim -> d_model), k_proj and v_proj (kv_dim -> d_model), out_proj (d_model ->
    q_dim). Raises ValueError if d_model is not a multiple of n_heads.
    """

    def __init__(self, q_dim: int, kv_dim: int, d_model: int, n_heads: int = 1) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if n_heads < 1 or d_model % n_heads != 0:
            raise ValueError(f"d_model {d_model} cannot be split into {n_heads} heads")
        self.n_heads = n_heads
        self.q_proj = nn.Linear(q_dim, d_model)
        self.k_proj = nn.Linear(kv_dim, d_model)
        self.v_proj = nn.Linear(kv_dim, d_model)
        self.out_proj = nn.Linear(d_model, q_dim)
        ### END SOLUTION

    def forward(self, query: Tensor, context: Tensor, context_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output (batch, queries, q_dim) and the weights (batch, heads, queries, keys).

        query (batch, queries, q_dim), context (batch, keys, kv_dim); context_mask (batch, keys) boolean, True = attend.
        A sample without any valid context token has weights 0, and its output is the bias of out_proj.
        Raises ValueError for shapes that do not fit together, TypeError for a mask that is not boolean.
        """
        ### BEGIN SOLUTION
        if query.dim() != 3 or context.dim() != 3 or len(query) != len(context):
            raise ValueError(f"expected (batch, tokens, width) twice, not {tuple(query.shape)}, {tuple(context.shape)}")
        if context_mask is None:
            context_mask = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
        if context_mask.dtype != torch.bool:
            raise TypeError(f"context_mask must be boolean, not {context_mask.dtype}")
        if context_mask.shape != context.shape[:2]:
            raise ValueError(f"context_mask {tuple(context_mask.shape)} does not fit context {tuple(context.shape)}")

        # padding may hold anything, and 0 * NaN is NaN: empty it before it enters a product
        hidden = ~context_mask  # (batch, keys)
        context = context.masked_fill(hidden[:, :, None], 0)

        # project, and give each head its own block of columns
        q = self.q_proj(query).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (batch, heads, queries, head width)
        k = self.k_proj(context).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (batch, heads, keys, head width)
        v = self.v_proj(context).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (batch, heads, keys, head width)

        # weights = softmax, over the visible keys, of the dot products divided by sqrt(head width)
        scores = q / math.sqrt(q.shape[-1]) @ k.transpose(2, 3)  # (batch, heads, queries, keys)
        hidden = hidden[:, None, None, :]  # (batch, 1, 1, keys)
        weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)
        weights = weights.masked_fill(hidden, 0)  # a sample without any visible key: 0 instead of 0/0 = NaN

        # output = average of the values in each head, the heads side by side, projected back to the width of the query
        heads = weights @ v  # (batch, heads, queries, head width)
        output = self.out_proj(heads.transpose(1, 2).flatten(2))  # (batch, queries, q_dim)
        return output, weights
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# If `q_proj` always gives 0, all scores are 0: every text token takes the plain average of the image tokens it may see.

# %% tags=["visible-checks", "active-ipynb"]
# attention = CrossAttention(q_dim=5, kv_dim=7, d_model=6, n_heads=2)
# nn.init.zeros_(attention.q_proj.weight)
# nn.init.zeros_(attention.q_proj.bias)
# text, image = torch.randn(3, 2, 5), torch.randn(3, 4, 7)
# mask = torch.tensor([[True, True, True, True], [True, False, True, False], [False, False, False, False]])
#
# with torch.no_grad():
#     output, weights = attention(text, image, mask)
#     four_tokens = attention.out_proj(attention.v_proj(image[0].mean(dim=0)))
#     two_tokens = attention.out_proj(attention.v_proj(image[1, [0, 2]].mean(dim=0)))
# assert output.shape == (3, 2, 5) and weights.shape == (3, 2, 2, 4)
# share = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]])
# torch.testing.assert_close(weights, share[:, None, None, :].expand(3, 2, 2, 4))
# torch.testing.assert_close(output[0], four_tokens.expand(2, 5))
# torch.testing.assert_close(output[1], two_tokens.expand(2, 5))
# torch.testing.assert_close(output[2], attention.out_proj.bias.detach().expand(2, 5))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Masking an image token must give exactly the same output as leaving that token out of the batch. And shuffling the
# image tokens together with their mask must change nothing in the output. Does your module do that with one head? With
# three?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Each head is an attention of its own, on its own block of columns, and its dot products have `d_model` / `n_heads`
# terms. To compute all heads with one matrix product, the head axis has to become a batch axis: it belongs next to
# `batch`, in front of the tokens, while the columns of one head stay together.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Project. Split the last axis into (heads, head width), then swap the token axis with the head axis. Scores: queries
# times transposed keys, divided by the square root of the head width. Bring the mask to four axes, so that it
# broadcasts over heads and queries. Fill with minus infinity, softmax, fill with 0. Multiply with the values, swap the
# axes back, join the last two, project.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# keys = self.k_proj(context).view(batch, n_keys, self.n_heads, width).transpose(1, 2)  # (batch, heads, keys, width)
# ```
#
# </details>
#
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Jiasen Lu, Dhruv Batra, Devi Parikh, Stefan Lee (2019), ViLBERT: Pretraining Task-Agnostic Visiolinguistic
#   Representations for Vision-and-Language Tasks: cross-attention in both directions.
# - Hao Tan, Mohit Bansal (2019), LXMERT: Learning Cross-Modality Encoder Representations from Transformers.
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022), Flamingo: a Visual Language Model for Few-Shot
#   Learning: cross-attention from a frozen language model to an image, opened by a gate that starts at 0.
