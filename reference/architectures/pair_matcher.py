# %% [markdown]
# # Does this caption belong to this image?
#
# Data cleaning, product search and visual entailment all come down to one question about a pair: do text and image fit?
# CLIP consists of two towers that were trained to give an image and its caption similar vectors. It has seen millions
# of pairs, so it is the natural model to fine-tune, but the transformers library has no ready-made class for this.
# `CLIPForImageClassification` never sees the text, and a `CLIPModel` takes your `labels` without complaint and returns
# a loss of `None`. You will put a head on top of both towers yourself, and meet a trap: with the wrong features a
# linear head cannot express "these two belong together" at all.
#
# ## Your task (about 40 minutes)
#
# Write the module `PairClassifier(clip, num_labels=2, dropout=0.0)`.
#
# | argument | meaning |
# |---|---|
# | `clip` | a `transformers.CLIPModel`; its embeddings have the width `clip.config.projection_dim` |
# | `num_labels` | number of classes, at least 2 |
# | `dropout` | probability of dropping each feature in front of the head, in training mode only |
#
# | attribute | what it is |
# |---|---|
# | `clip` | the model that was handed in itself, no copy, so that training goes on in it |
# | `head` | `nn.Linear` with bias, from 4 × width features to `num_labels` logits |
#
# There are no other parameters. `forward(input_ids, attention_mask, pixel_values, labels=None)` takes
#
# | argument | shape | meaning |
# |---|---|---|
# | `input_ids` | `(batch, length)` | token ids; pair number i is text i with image i |
# | `attention_mask` | `(batch, length)`, 0 or 1 | handed on to CLIP's text tower |
# | `pixel_values` | `(batch, 3, height, width)` | images |
# | `labels` | `(batch,)`, int64, or `None` | classes from 0 to `num_labels - 1` |
#
# and returns a `dict` with the keys `"loss"` and `"logits"`. For each pair:
#
# - u and v are CLIP's *projected* embeddings of text and image, each divided by its Euclidean length.
# - The features are u, v, |u − v| and u ⊙ v, in this order: difference and product are taken entry by entry.
# - The logits, `(batch, num_labels)`, are `head(features)`, with dropout on the features in training mode: each is set
#   to 0 with probability `dropout`, and the others are divided by `1 - dropout`, as `nn.Dropout` does.
# - The loss is the cross-entropy of the logits, averaged over the pairs, a tensor without dimensions. Without labels it
#   is `None`.
#
# Rules:
#
# - Gradients reach the head and both towers.
# - `ValueError` when `num_labels` is below 2, when the batch sizes of the three inputs differ (one image for several
#   texts included), when the labels have another shape than `(batch,)`, or when one of them is no class: -100, which
#   `F.cross_entropy` skips, is refused here too. Labels of a floating dtype: `TypeError` or `ValueError`, as you like.
# - Nothing is forbidden. CLIP's own methods are welcome: in transformers 5, `clip.get_text_features(...)` and
#   `clip.get_image_features(...)` return an object whose `pooler_output` is projected but not normalised, while
#   `clip(...)` returns `text_embeds` and `image_embeds`, which are both.
#
# ## Worked example
#
# Width 2. The projected text is (3, 4), the image (0, 2): u = (.6, .8), v = (0, 1). The features are
# (.6, .8, 0, 1, .6, .2, 0, .8). A head whose class 1 has the weight 5 on the last two features and the bias -3, and all
# zeros for class 0, gives the logits (0, 5 · .8 - 3) = (0, 1). With the label 1 the loss is ln(1 + e⁻¹) = 0.313.

# %%
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel


def tiny_clip(seed: int) -> CLIPModel:
    """A CLIP model with random weights, small enough for a notebook; nothing is downloaded. (This one is given.)"""
    text = {"vocab_size": 60, "max_position_embeddings": 12, "bos_token_id": 57, "eos_token_id": 58, "pad_token_id": 59}
    vision = {"image_size": 16, "patch_size": 8}
    for tower in (text, vision):
        tower |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))


# %% tags=["solution"]
class PairClassifier(nn.Module):
    """Classify pairs of a text and an image from their CLIP embeddings (CLIP: Radford et al. 2021).

    Args:
        clip: the encoder of both modalities; kept as `clip`, not copied.
        num_labels: number of classes, at least 2.
        dropout: probability of dropping a feature in front of the head, in training mode.

    Raises:
        ValueError: num_labels is below 2.
    """

    def __init__(self, clip: CLIPModel, num_labels: int = 2, dropout: float = 0.0) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if num_labels < 2:
            raise ValueError(f"a classifier needs at least 2 classes, not {num_labels}")
        self.clip = clip
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * clip.config.projection_dim, num_labels)
        ### END SOLUTION

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor | None]:
        """Logits (batch, num_labels) of the pairs and, with labels (batch,) int64, their mean cross-entropy.

        input_ids and attention_mask (batch, length), pixel_values (batch, 3, height, width).
        Returns {"loss": tensor () or None, "logits": tensor (batch, num_labels)}.
        Raises ValueError for batch sizes that differ, labels of another shape and labels that are no class, TypeError
        for labels that are not integers.
        """
        ### BEGIN SOLUTION
        batch = len(input_ids)
        if len(attention_mask) != batch or len(pixel_values) != batch:
            raise ValueError(f"{batch} texts, {len(attention_mask)} masks and {len(pixel_values)} images")
        if labels is not None:
            if labels.is_floating_point():
                raise TypeError(f"labels must be integers, not {labels.dtype}")
            if labels.shape != (batch,):
                raise ValueError(f"labels must have the shape {(batch,)}, not {tuple(labels.shape)}")
            if ((labels < 0) | (labels >= self.head.out_features)).any():
                raise ValueError(f"labels must lie between 0 and {self.head.out_features - 1}")

        # CLIP's embeddings: projected into the shared space and divided by their length
        outputs = self.clip(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values)
        text, image = outputs.text_embeds, outputs.image_embeds  # both (batch, width)

        # features = both embeddings, and entry by entry how far apart they are and how well they agree
        features = torch.cat([text, image, (text - image).abs(), text * image], dim=1)  # (batch, 4 * width)
        logits = self.head(self.dropout(features))  # (batch, num_labels)

        # loss = cross-entropy, averaged over the pairs
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# A head that adds up the last quarter of the features, the product, gives the cosine of text and image. CLIP computes
# the same number, times its scale, on the diagonal of `logits_per_image`.

# %% tags=["visible-checks", "active-ipynb"]
# clip = tiny_clip(seed=0)
# input_ids = torch.tensor([[57, 3, 4, 58], [57, 5, 58, 59], [57, 8, 9, 58]])
# attention_mask = (input_ids != 59).long()
# pixel_values = torch.linspace(-1, 1, 3 * 3 * 16 * 16).sin().reshape(3, 3, 16, 16)
# labels = torch.tensor([1, 0, 1])
#
# classifier = PairClassifier(clip)
# assert classifier.head.weight.shape == (2, 64), f"head.weight has the shape {tuple(classifier.head.weight.shape)}"
# with torch.no_grad():
#     classifier.head.weight.zero_()
#     classifier.head.bias.zero_()
#     classifier.head.weight[1, 48:] = 1.0
#     result = classifier(input_ids, attention_mask, pixel_values)
#     outputs = clip(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values)
# cosine = outputs.logits_per_image.diagonal() / clip.logit_scale.detach().exp()
# torch.testing.assert_close(result["logits"], torch.stack([torch.zeros(3), cosine], dim=1), rtol=1e-4, atol=1e-5)
# assert result["loss"] is None, "without labels there is no loss"
#
# loss = classifier(input_ids, attention_mask, pixel_values, labels)["loss"]
# signs = torch.tensor([-1.0, 1.0, -1.0])  # for two classes: the mean of ln(1 + exp(logit of the other - own logit))
# torch.testing.assert_close(loss.detach(), torch.log1p(torch.exp(signs * cosine)).mean(), rtol=1e-4, atol=1e-5)

# %% [markdown]
# ## Training it
#
# The head is new and the towers are not, so they get different learning rates; and weight decay is for matrices, not
# for biases, norms and CLIP's `logit_scale`:
#
# ```python
# decayed = [parameter for parameter in clip.parameters() if parameter.ndim > 1]
# spared = [parameter for parameter in clip.parameters() if parameter.ndim <= 1]
# optimizer = torch.optim.AdamW([
#     {"params": classifier.head.parameters(), "lr": 1e-3},
#     {"params": decayed, "lr": 1e-5, "weight_decay": 0.01},
#     {"params": spared, "lr": 1e-5, "weight_decay": 0.0},
# ])
# ```
#
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Take two texts and two images, of which the pairs (0, 0) and (1, 1) match. If a logit is the sum of something that
# depends on the text and something that depends on the image, what must the four logits satisfy? Can both matching
# pairs then be above both others?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A linear head adds up its inputs. On [u; v] that is a score of the text plus a score of the image, and no match can be
# read off a sum. The product u ⊙ v and the distance |u − v| are computed from both, so a sum of *their* entries can
# tell whether the two agree. Normalised embeddings keep this comparison apart from how long the vectors happen to be.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Keep the model, a dropout and a linear layer. In `forward`: compare the batch sizes; check dtype, shape and range of
# the labels if there are any; let CLIP embed both; join the four blocks along the feature axis; dropout; head; loss if
# asked for. `F.cross_entropy` takes logits, not probabilities, and averages by itself.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# outputs = self.clip(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values)
# ```
#
# </details>
#
# ## References
#
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021), Learning Transferable Visual Models From Natural Language
#   Supervision: CLIP.
# - Junnan Li, Ramprasaath R. Selvaraju, Akhilesh Gotmare, et al. (2021), Align before Fuse: Vision and Language
#   Representation Learning with Momentum Distillation: a matching head after cross-attention, which is stronger.
