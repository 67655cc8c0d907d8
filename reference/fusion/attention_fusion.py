# %% [markdown]
# # Two-way attention fusion
#
# A word should be able to look at the patches of a picture, and a patch at the words that speak of it. Two
# cross-attentions side by side do that, and a *gate* that starts at 0 makes the addition harmless: on the first day of
# fine-tuning the model is exactly the pretrained one. A much-copied answer pools each modality into one vector and
# applies one self-attention twice. With a single token to choose from, its softmax is always 1, and nothing is fused.
#
# ## Your task (about 55 minutes)
#
# ### Part 1: the block
#
# Write the module `BidirectionalCrossAttention(dim, heads, zero_init=True)` with these attributes:
#
# | attribute | what it is |
# |---|---|
# | `norm_text`, `norm_image` | `nn.LayerNorm(dim)`, one for each modality |
# | `text_from_image`, `image_from_text` | two separate `nn.MultiheadAttention(dim, heads)`; `batch_first` as you like |
# | `gate_text`, `gate_image` | scalar `nn.Parameter`s of shape `()`: 0 at first with `zero_init`, else 0.5 |
#
# `forward(text, image, text_mask=None, image_mask=None)` returns `(new_text, new_image)`:
#
# - new_text = text + tanh(gate_text) · attention of the normalised text (queries) to the normalised image (keys and
#   values), by `text_from_image`;
# - new_image = image + tanh(gate_image) · attention of the normalised image (queries) to the normalised text, by
#   `image_from_text`.
#
# Both directions read the `text` and `image` that came in: neither sees the result of the other. A modality's norm is
# used wherever that modality enters an attention.
#
# ### Part 2: the classifier
#
# Write `AttentionFusion(text_dim, image_dim, dim, heads, n_classes)`, whose `forward` takes the same four arguments and
# returns logits:
#
# | attribute | what it is |
# |---|---|
# | `text_proj`, `image_proj` | `nn.Linear` from `text_dim` and from `image_dim` to `dim` |
# | `block` | `BidirectionalCrossAttention(dim, heads)` with closed gates |
# | `norm`, `head` | `nn.LayerNorm(2 * dim)` and `nn.Linear(2 * dim, n_classes)` |
#
# Project both, send them through the block, take the mean over the valid tokens of each modality, put the two means
# side by side (**text first**), then `norm`, then `head`.
#
# ### Shapes and rules for both
#
# | tensor | shape | |
# |---|---|---|
# | `text`, `image` | `(batch, words, text_dim)`, `(batch, patches, image_dim)` | in the block, both widths are `dim` |
# | `text_mask`, `image_mask` | `(batch, words)`, `(batch, patches)`, boolean | `True` = valid; `None` = all are valid |
# | `new_text`, `new_image` | as `text` and `image` | |
# | logits | `(batch, n_classes)` | |
#
# - `text` and `image` come in the dtype of the module's parameters, and the results have that dtype too; you need not
#   cast anything. There is at least one word and one patch, though all of them may be padding.
# - A padding token (finite content) is never attended to and never averaged: what it holds changes no other token and
#   no logit. The row of a padding token itself in `new_text` or `new_image` is not looked at.
# - If a sample has no valid token of one modality, the other modality has nothing to attend to: its tokens stay exactly
#   as they were, so the bias of the attention does not count either. In the classifier, the mean of no tokens is 0.
# - All gradients stay finite in such a batch.
# - Linear layers, norms and attentions keep PyTorch's default settings and initial values.
# - `ValueError` from both constructors if `heads` is below 1 or `dim` is not a multiple of it. From both `forward`s:
#   `ValueError` if `text` or `image` is not 3-D, if they differ in batch size or if a mask does not have the shape
#   above; a mask that is not boolean is a `TypeError` or a `ValueError`, as you like. Tokens of another width than the
#   module's may raise anything: PyTorch's own error will do.
#
# Nothing is forbidden; `nn.MultiheadAttention` is there to be used. Beware of its `key_padding_mask`: there, `True`
# means *hidden*, and what it does with a sample whose keys are all hidden depends on `need_weights`.
#
# The stub holds two helper functions, `attend` and `masked_mean`. They are a suggestion: the checks only look at the
# two modules.
#
# ## Worked example
#
# `dim` 2, one head, all projections of the attentions the identity without bias, `gate_text` 0.5 and `gate_image` 1.
# There is one word (3, 1) and there are two patches (0, 4) and (5, 1). The norms make (1, −1) of the word and (−1, 1)
# and (1, −1) of the patches.
#
# - The word's dot products −2 and 2 are divided by √2; the weights are 0.0558 and 0.9442, the attention gives
#   (0.8884, −0.8884). With tanh 0.5 = 0.4621 the new word is (3.4105, 0.5895).
# - Each patch has one word to look at, with weight 1, and gets (1, −1). With tanh 1 = 0.7616 the new patches are
#   (0.7616, 3.2384) and (5.7616, 0.2384).
# - The means, side by side, are (3.4105, 0.5895, 3.2616, 1.7384).

# %%
import torch
from torch import Tensor, nn

# %% [markdown]
# ## Part 1


# %% tags=["solution"]
def attend(attention: nn.MultiheadAttention, queries: Tensor, context: Tensor, context_mask: Tensor | None) -> Tensor:
    """Attention of the queries to the valid tokens of the context (Vaswani et al., 2017).

    queries (batch, queries, dim), context (batch, keys, dim), context_mask (batch, keys) boolean, True = valid, or None
    = all valid. Returns (batch, queries, dim), exactly 0 for a sample whose context has no valid token.
    """
    ### BEGIN SOLUTION
    if context_mask is None:
        return attention(queries, context, context, need_weights=False)[0]  # (batch, queries, dim)
    some = context_mask.any(dim=1)[:, None]  # (batch, 1)

    # the library hides where its mask is True; where nothing is valid, hide nothing (all hidden can give NaN) ...
    hidden = ~context_mask & some  # (batch, keys)
    result, _ = attention(queries, context, context, key_padding_mask=hidden, need_weights=False)
    return result.masked_fill(~some[:, :, None], 0)  # ... and drop the result: (batch, queries, dim)
    ### END SOLUTION


class BidirectionalCrossAttention(nn.Module):
    """Gated cross-attention in both directions (Lu et al., 2019; Tan and Bansal, 2019; gates: Alayrac et al., 2022).

    Attributes: norm_text, norm_image, text_from_image, image_from_text, gate_text, gate_image (0 at first with
    zero_init, else 0.5). Raises ValueError if heads is below 1 or dim is not a multiple of heads.
    """

    def __init__(self, dim: int, heads: int, zero_init: bool = True) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if heads < 1 or dim % heads != 0:
            raise ValueError(f"dim {dim} cannot be split into {heads} heads")
        self.norm_text = nn.LayerNorm(dim)
        self.norm_image = nn.LayerNorm(dim)
        self.text_from_image = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.image_from_text = nn.MultiheadAttention(dim, heads, batch_first=True)
        gate = 0.0 if zero_init else 0.5
        self.gate_text = nn.Parameter(torch.tensor(gate))
        self.gate_image = nn.Parameter(torch.tensor(gate))
        ### END SOLUTION

    def forward(
        self, text: Tensor, image: Tensor, text_mask: Tensor | None = None, image_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return new text (batch, words, dim) and new image (batch, patches, dim), each having read the other.

        Masks (batch, words) and (batch, patches): boolean, True = valid; None = all valid. Without a valid token on the
        other side, tokens are returned as they are. Raises ValueError for shapes, TypeError for masks not boolean.
        """
        ### BEGIN SOLUTION
        if text.dim() != 3 or image.dim() != 3 or len(text) != len(image):
            raise ValueError(f"expected (batch, tokens, width) twice, not {tuple(text.shape)}, {tuple(image.shape)}")
        for tokens, mask in ((text, text_mask), (image, image_mask)):
            if mask is not None and mask.dtype != torch.bool:
                raise TypeError(f"masks must be boolean, not {mask.dtype}")
            if mask is not None and mask.shape != tokens.shape[:2]:
                raise ValueError(f"mask {tuple(mask.shape)} does not fit tokens {tuple(tokens.shape)}")

        # new = old + tanh(gate) * attention of the normalised queries to the normalised tokens of the other modality
        text_normed, image_normed = self.norm_text(text), self.norm_image(image)
        to_text = attend(self.text_from_image, text_normed, image_normed, image_mask)  # (batch, words, dim)
        to_image = attend(self.image_from_text, image_normed, text_normed, text_mask)  # (batch, patches, dim)
        return text + torch.tanh(self.gate_text) * to_text, image + torch.tanh(self.gate_image) * to_image
        ### END SOLUTION


# %% [markdown]
# ## Part 2


# %% tags=["solution"]
def masked_mean(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the valid tokens: tokens (batch, tokens, dim), mask (batch, tokens) or None -> (batch, dim).

    The mean of no tokens is 0.
    """
    ### BEGIN SOLUTION
    if mask is None:
        return tokens.mean(dim=1)  # (batch, dim)
    total = tokens.masked_fill(~mask[:, :, None], 0).sum(dim=1)  # (batch, dim)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
    ### END SOLUTION


class AttentionFusion(nn.Module):
    """Classifier of text-image pairs: projection, two-way attention, masked means, LayerNorm, linear head.

    Attributes: text_proj, image_proj, block, norm, head. Raises ValueError if heads is below 1 or does not divide dim.
    """

    def __init__(self, text_dim: int, image_dim: int, dim: int, heads: int, n_classes: int) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.text_proj = nn.Linear(text_dim, dim)
        self.image_proj = nn.Linear(image_dim, dim)
        self.block = BidirectionalCrossAttention(dim, heads)
        self.norm = nn.LayerNorm(2 * dim)
        self.head = nn.Linear(2 * dim, n_classes)
        ### END SOLUTION

    def forward(
        self, text: Tensor, image: Tensor, text_mask: Tensor | None = None, image_mask: Tensor | None = None
    ) -> Tensor:
        """Logits (batch, n_classes) of text (batch, words, text_dim) and image (batch, patches, image_dim).

        Masks as in the block. Raises ValueError for shapes that do not fit, TypeError for masks not boolean.
        """
        ### BEGIN SOLUTION
        new_text, new_image = self.block(self.text_proj(text), self.image_proj(image), text_mask, image_mask)
        means = [masked_mean(new_text, text_mask), masked_mean(new_image, image_mask)]  # (batch, dim) each
        return self.head(self.norm(torch.cat(means, dim=1)))  # (batch, classes)
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# With closed gates the block changes nothing, and the classifier is a network without attention.

# %% tags=["visible-checks", "active-ipynb"]
# block = BidirectionalCrossAttention(dim=6, heads=2)
# text, image = torch.randn(3, 4, 6), torch.randn(3, 5, 6)
# with torch.no_grad():
#     new_text, new_image = block(text, image)
# torch.testing.assert_close(new_text, text)
# torch.testing.assert_close(new_image, image)
# opened = BidirectionalCrossAttention(dim=6, heads=2, zero_init=False)
# gates = [gate.item() for gate in (block.gate_text, block.gate_image, opened.gate_text, opened.gate_image)]
# assert gates == [0.0, 0.0, 0.5, 0.5], f"the gates are {gates}"
#
# model = AttentionFusion(text_dim=5, image_dim=7, dim=6, heads=2, n_classes=3)
# words, patches = torch.randn(2, 4, 5), torch.randn(2, 5, 7)
# three_and_two = torch.tensor([[True, True, True, False], [True, True, False, False]])  # so many words are valid
# for mask, lengths in ((None, (4, 4)), (three_and_two, (3, 2))):
#     with torch.no_grad():
#         logits = model(words, patches, text_mask=mask)
#         text_mean = torch.stack([model.text_proj(text[:n]).mean(dim=0) for text, n in zip(words, lengths)])
#         image_mean = model.image_proj(patches).mean(dim=1)
#         expected = model.head(model.norm(torch.cat([text_mean, image_mean], dim=1)))
#     torch.testing.assert_close(logits, expected)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Change the content of a padding word by a million: which numbers may change? Exchange the two modalities, their
# norms, attentions and gates: what must happen to the two results? Try both with open gates, for with closed gates
# almost every mistake is invisible.
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The two directions are the same formula with the roles exchanged, computed side by side from the same inputs. The gate
# multiplies what is *added* to the residual stream; tanh(0) is 0, but its slope there is 1, so that the gate itself
# gets a gradient at once, and the attention as soon as the gate has moved. A sample without context is best taken out
# before the softmax, since a NaN that is overwritten afterwards is still in the gradients.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Attend: for each sample, is any context token valid? Hand the library the negated mask, but hide nothing in samples
# without a valid token; fill the result of those samples with 0. Block: check, normalise both once, attend twice, add
# with the gates. Pooling: fill padding with 0, sum over the tokens, divide by the number of valid ones, but at least by
# 1. Classifier: project, block, pool, concatenate, normalise, head.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# hidden = ~context_mask & context_mask.any(dim=1, keepdim=True)  # (batch, keys): True = the library hides this key
# ```
#
# </details>
#
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Jiasen Lu, Dhruv Batra, Devi Parikh, Stefan Lee (2019), ViLBERT: Pretraining Task-Agnostic Visiolinguistic
#   Representations for Vision-and-Language Tasks: two streams that attend to each other.
# - Hao Tan, Mohit Bansal (2019), LXMERT: Learning Cross-Modality Encoder Representations from Transformers.
# - Ruibin Xiong, Yunchang Yang, Di He, et al. (2020), On Layer Normalization in the Transformer Architecture: the norm
#   before the attention.
# - Arsha Nagrani, Shan Yang, Anurag Arnab, Aren Jansen, Cordelia Schmid, Chen Sun (2021), Attention Bottlenecks for
#   Multimodal Fusion: a cheaper way to exchange between two streams.
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022), Flamingo: a Visual Language Model for Few-Shot
#   Learning: cross-attention behind a tanh gate that starts at 0.
