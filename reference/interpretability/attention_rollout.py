# %% [markdown]
# # Attention rollout
#
# A heat map of attention is quickly drawn: take the last layer, average the heads, show the row of the class token. But
# the last layer does not look at image patches. It looks at vectors that ten layers before it have already mixed, and a
# bright corner of the sky may be where the model has put down what it knows about the dog. Attention rollout follows
# the mixing back through all layers to the input. It needs nothing but the weights that every library hands out, and it
# is a handful of lines in which the order decides everything.
#
# ## Your task (about 40 minutes)
#
# Write `attention_rollout(attentions, add_residual=True, head_fusion="mean")`.
#
# | argument | | meaning |
# |---|---|---|
# | `attentions` | list or tuple of tensors `(batch, heads, tokens, tokens)` | one for each layer, in their order |
# | `add_residual` | `bool` | whether each layer also hands on every token as it is, beside the attention |
# | `head_fusion` | `"mean"`, `"max"` or `"min"` | how the heads of a layer become one matrix |
#
# Row i of a layer's tensor says what token i takes from which token, as the softmax of the attention left it. The
# result, `(batch, tokens, tokens)`, says in row i how much of each **input** token has arrived at token i after the
# last layer. It has the dtype of `attentions`.
#
# For each layer, in this order:
#
# 1. Fuse the heads, entry by entry: their mean, their largest or their smallest value.
# 2. With `add_residual`, take half of it plus half of the identity matrix.
# 3. Divide every row by its sum, with and without residual. (`"max"` and `"min"` do not leave rows that sum to 1, nor
#    does dropout.)
#
# Then multiply the matrices of all layers as matrices, **later layers on the left**: last · … · second · first.
#
# - Attention weights are not negative, and they may be 0. Their rows need not sum to 1.
# - The list and the tensors in it stay as they are, and the result shares no memory with them.
# - Whether gradients flow through the result is up to you. Everything in PyTorch and NumPy is allowed.
# - `ValueError` for no layer at all, for a tensor that does not have the form `(batch, heads, tokens, tokens)`, for
#   layers of different shapes (even if only the batch or the heads differ), for an entry that is negative, infinite or
#   NaN, for any other `head_fusion`, and for a row that is 0 everywhere once the heads are fused: such a token has
#   looked at nothing, residual or not.
#
# ## A worked example
#
# One sample, one head, two tokens, two layers. With the residual, each layer becomes half of itself plus half of the
# identity; all rows sum to 1 already.
#
# | | attention | with residual |
# |---|---|---|
# | first layer | `[[1, 0], [0.5, 0.5]]` | `[[1, 0], [0.25, 0.75]]` |
# | second layer | `[[0, 1], [0.2, 0.8]]` | `[[0.5, 0.5], [0.1, 0.9]]` |
#
# After the first layer, token 1 consists of 0.25 of token 0 and 0.75 of itself. In the second, token 0 takes half of
# itself and half of *that*: 0.5 · (1, 0) + 0.5 · (0.25, 0.75) = (0.625, 0.375). The whole result is
# `[[0.625, 0.375], [0.325, 0.675]]`. The last layer's attention alone would say (0, 1) for token 0.
#
# ## What the picture does not say
#
# Rollout takes a token to be what it has collected. It knows nothing of the value vectors, which may be tiny where the
# attention is large, of the feed-forward layers, or of any class: the map is the same for "dog" and for "cat". It
# describes how information could flow, and it is no proof that the prediction rests on it.

# %%
from collections.abc import Sequence

import torch
from torch import Tensor


# %% tags=["solution"]
def attention_rollout(attentions: Sequence[Tensor], add_residual: bool = True, head_fusion: str = "mean") -> Tensor:
    """Follow attention back to the input tokens, through all layers (Abnar and Zuidema, 2020).

    attentions: one tensor (batch, heads, tokens, tokens) for each layer, first layer first, floating, not negative.
    add_residual: add the identity to each layer's attention, half and half. head_fusion: "mean", "max" or "min".

    Returns (batch, tokens, tokens) in the dtype of the attentions: row i holds the shares of the input tokens in
    token i, and sums to 1.
    Raises ValueError for no layer, shapes that do not fit, entries that are negative or not finite, an unknown fusion,
    and a row of zeros after the fusion.
    """
    ### BEGIN SOLUTION
    if head_fusion not in ("mean", "max", "min"):
        raise ValueError(f"head_fusion must be 'mean', 'max' or 'min', not {head_fusion!r}")
    if len(attentions) == 0:
        raise ValueError("there is no layer to follow")
    shape = attentions[0].shape
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ValueError(f"attention must be (batch, heads, tokens, tokens), not {tuple(shape)}")

    identity = torch.eye(shape[3]).to(attentions[0])  # (tokens, tokens)
    rollout = identity.repeat(shape[0], 1, 1)  # (batch, tokens, tokens): before the first layer, every token is itself
    for attention in attentions:
        if attention.shape != shape:
            raise ValueError(f"layers of shapes {tuple(shape)} and {tuple(attention.shape)} do not fit together")
        if not torch.isfinite(attention).all() or (attention < 0).any():
            raise ValueError("attention weights must be finite and not negative")

        # one matrix for all heads
        if head_fusion == "mean":
            mixing = attention.mean(dim=1)  # (batch, tokens, tokens)
        elif head_fusion == "max":
            mixing = attention.amax(dim=1)
        else:
            mixing = attention.amin(dim=1)
        if (mixing == 0).all(dim=2).any():
            raise ValueError("a token attends to nothing")

        # what leaves the layer = half attention, half the token itself; shares that sum to 1
        if add_residual:
            mixing = 0.5 * mixing + 0.5 * identity
        mixing = mixing / mixing.sum(dim=2, keepdim=True)

        # the layer mixes tokens that are already mixtures: row i of the product = average of their rows
        rollout = mixing @ rollout  # (batch, tokens, tokens)
    return rollout
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Three tokens, two layers of two heads. Every number below can be worked out by hand.

# %% tags=["visible-checks", "active-ipynb"]
# first = torch.tensor(
#     [[[[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]], [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]]]
# )  # (batch 1, heads 2, tokens 3, tokens 3)
# second = torch.tensor([[[[0, 0, 1.0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]]])
#
# rollout = attention_rollout([first, second])
# assert rollout.shape == (1, 3, 3), f"the shape is {tuple(rollout.shape)}; one matrix for each sample"
# expected = torch.tensor([[[0.375, 0.25, 0.375], [0.375, 0.53125, 0.09375], [0.25, 0.34375, 0.40625]]])
# torch.testing.assert_close(rollout, expected)
#
# rollout = attention_rollout([first], add_residual=False, head_fusion="max")
# third = 1 / 3
# torch.testing.assert_close(rollout, torch.tensor([[[0.5, 0.5, 0], [third, third, third], [0, 0.5, 0.5]]]))

# %% [markdown]
# **Look at it.** A class token and 6×8 patches, five layers made by hand. In four of them the patch in the upper right
# corner collects what nine patches of an object contain; in the last one the class token reads that corner. The
# attention of the last layer shows the corner alone, the rollout also the object that it stands for.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# patch_numbers = 1 + torch.arange(6 * 8).reshape(6, 8)  # token 0 is the class token
# object_patches = patch_numbers[2:5, 1:4].flatten()
# corner, class_token = patch_numbers[0, 7], 0
#
# generator = torch.Generator().manual_seed(0)
# layers = list(torch.softmax(0.5 * torch.randn(5, 1, 3, 49, 49, generator=generator), dim=-1))
# for layer in layers[:4]:
#     layer[0, :, corner] = 0.0
#     layer[0, :, corner, object_patches] = 1 / 9
# layers[4][0, :, class_token] *= 0.2
# layers[4][0, :, class_token, corner] += 0.8
#
# pictures = {
#     "attention of the last layer": layers[4].mean(dim=1)[0, class_token],
#     "attention rollout": attention_rollout(layers)[0, class_token],
# }
# _, axes = plt.subplots(1, 2, figsize=(9, 3))
# for panel, (name, row) in zip(axes, pictures.items()):
#     patches = row[1:].reshape(6, 8)  # what the class token has of each patch
#     panel.imshow(patches, cmap="inferno", vmin=0)
#     panel.set_title(name)
#     panel.axis("off")
# plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Every row of the result is a mixture of input tokens, so it sums to 1, whatever the layers and however the heads were
# fused. And if no token ever looks at token 2, what must stand in column 2 of the result? Which of your steps could
# break one of the two?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Let R hold the mixtures after some layers, one in each row. The next layer takes, for token i, an average of these
# rows, with the weights in its own row i: that is a matrix product with the new layer on the left. Before the first
# layer every token consists of itself. The residual connection is the share of a token that passes the layer without
# looking at anybody, and it passes every layer, not only the first.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Begin with an identity matrix for each sample, in the right dtype. Go through the layers from the
# first to the last: check the entries, fuse along the axis of the heads, refuse rows of zeros, mix with the identity,
# divide each row by its sum, and multiply what you have so far from the left.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# mixing = mixing / mixing.sum(dim=-1, keepdim=True)  # (batch, tokens, tokens), every row sums to 1
# ```
#
# </details>
#
# ## References
#
# - Samira Abnar, Willem Zuidema (2020), Quantifying Attention Flow in Transformers.
# - Sarthak Jain, Byron C. Wallace (2019), Attention is not Explanation.
# - Hila Chefer, Shir Gur, Lior Wolf (2021), Generic Attention-model Explainability for Interpreting Bi-Modal and
#   Encoder-Decoder Transformers: attention weighted with gradients, so that the map depends on the class.
