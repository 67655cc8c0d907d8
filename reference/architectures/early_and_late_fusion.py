# %% [markdown]
# # Early and late fusion
#
# Every multimodal model has to decide *where* its modalities meet: at the features, in the middle of the network, or at
# the decisions. The choice settles what the model can learn, what it costs, and what happens on the day when the image
# is missing. Here you answer the interview question about architectures in your own words, judge eight claims about
# it, and build the two ends of the scale: fusion of features and fusion of decisions.
#
# Plan about 45 minutes: 10 for the answer, 5 for the claims, 30 for the code.

# %%
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# %% [markdown]
# ## The question
#
# *"Which architectures are common for large multimodal models, and when would you choose which?"*
#
# Answer in the next cell as you would say it aloud, in 10 to 15 sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# 1. where the modalities can meet;
# 2. the families of today's vision-language models;
# 3. what each choice can and cannot represent, and what it costs;
# 4. cascades and missing modalities.

# %% [markdown] tags=["answer"]
# **Model answer.** I sort architectures by the place where the modalities meet. In *early* fusion the features are
# joined and one network sees them all; in *intermediate* fusion two streams exchange information inside the network,
# by cross-attention as in ViLBERT and LXMERT (Lu et al. 2019; Tan & Bansal 2019); in *late* fusion each modality
# reaches a decision of its own and the decisions are combined; hybrids mix these (Snoek et al. 2005; Baltrušaitis et
# al. 2019). Even a "single" network has a front end for each modality, a tokeniser and an embedding for text and a
# projection of patches for images, because pixels and characters cannot enter the same layer as they are.
#
# Among large models I see four families. *Dual encoders* such as CLIP (Radford et al. 2021) compare two vectors. The
# vectors of a collection can be computed once, which makes retrieval cheap, but word order and relations come out weak
# (Thrush et al. 2022; Yuksekgonul et al. 2023). *A language model with a connector*: a projector puts all patches into
# the sequence (LLaVA, Liu et al. 2023); a Q-Former or resampler compresses them into a few tokens (BLIP-2, Li et al.
# 2023); gated cross-attention leaves the sequence alone and adds layers that start closed, so that a frozen language
# model keeps its abilities (Flamingo, Alayrac et al. 2022). *Native token models* train one transformer on text and
# image tokens and can generate images too (Chameleon Team 2024). A *mixture of experts* is a way to grow any of these
# without growing the compute for each token in step, no way of fusing.
#
# Combining decisions of separate classifiers is additive in their evidence. It cannot represent an interaction such as
# XOR, where neither modality says anything alone; early and intermediate fusion can. In return late fusion is easy to
# train and to debug, and when a modality is missing I leave its vote out and renormalise the weights. A network on
# joined features needs a mask or a learned stand-in, and modality dropout in training (Neverova et al. 2016).
#
# A *cascade* is something else than separate processing followed by fusion: a cheap stage sees everything, and an
# expensive one sees only the hard inputs, together with the first stage's output (Viola & Jones 2001). So I ask for the
# task, the compute at inference, the data, and whether modalities can be missing, and then choose.
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, the place: early, intermediate (cross- or co-attention), late, hybrid; each modality needs a front end.
# - 1 point, the families: dual encoder; connector (projector, Q-Former or resampler, gated cross-attention); one
#   transformer on tokens of all modalities. Two of the three with a named model each are enough.
# - 1 point, the trade-off: late fusion is additive (XOR or another interaction as the example); dual encoders are
#   precomputable but weak at composition; number of visual tokens, or ease of keeping the language model frozen.
# - 1 point, cascade and missing modality: in a cascade one stage's output feeds or gates the next and saves compute;
#   late fusion renormalises, early fusion needs masks or modality dropout.
#
# An answer that calls separate sub-models with fused results a cascade earns nothing for the first half of item 4.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as good advice. A *dual encoder* has an encoder for
# each modality and compares the two vectors that come out; a *projector* maps image features to the width of a language
# model's embeddings. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `cascade_fuses_results` | In a cascade, each sub-model gets one type of data; at the end the results are fused. |
# | `raw_data_share_layers` | Pixels and characters have the same shape and meaning before any encoding or projection. |
# | `late_fusion_does_xor` | The mean log-probability of deep models, one for each modality, can express their XOR. |
# | `vectors_ahead_of_time` | A dual encoder's image vectors can be stored before any query is known. |
# | `dual_encoders_get_order` | Dual encoders like CLIP reliably tell "a dog on a horse" from "a horse on a dog". |
# | `mean_of_logits` | Softmax of the heads' mean logits is the renormalised geometric mean of their probabilities. |
# | `late_leaves_out` | Late fusion can omit a missing modality's vote; concatenated features need a stand-in for it. |
# | `projector_lengthens` | A projector lengthens the language model's sequence; gated cross-attention does not. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "cascade_fuses_results",
        "raw_data_share_layers",
        "late_fusion_does_xor",
        "vectors_ahead_of_time",
        "dual_encoders_get_order",
        "mean_of_logits",
        "late_leaves_out",
        "projector_lengthens",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # That is late fusion. In a cascade one stage's output feeds or gates the next (Viola and Jones, 2001).
    cascade_fuses_results=False,
    # A grid of brightness values is one thing, a row of symbols another. Characters become tokens and embeddings,
    # pixels become projected patches; only these have a common width.
    raw_data_share_layers=False,
    # The log-odds are f(text) + g(image). XOR needs f(0)+g(1) and f(1)+g(0) positive, f(0)+g(0) and f(1)+g(1) negative,
    # yet both pairs have the same sum. Depth changes f and g, never the plus between them.
    late_fusion_does_xor=False,
    # Image and text meet only in the final dot product, so the image's vector does not depend on the query.
    vectors_ahead_of_time=True,
    # They often behave like bags of words (Thrush et al. 2022; Yuksekgonul et al. 2023).
    dual_encoders_get_order=False,
    # The logits differ from log-probabilities by one number a sample, and softmax does not see such a number. It does
    # not equal the arithmetic mean of the probabilities.
    mean_of_logits=True,
    # A mean can be taken over the votes that are there. The first layer on concatenated features has a fixed width, so
    # zeros, a mean or a learned vector have to fill the gap, and training with modality dropout makes it used to that.
    late_leaves_out=True,
    # Projected patches become tokens of the sequence; cross-attention reads them from the side (Alayrac et al. 2022).
    projector_lengthens=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Both classes get `dims`, a dictionary from the name of each modality to the width of its features, for example
# `{"text": 16, "image": 32}`, and are called with `feats`, a dictionary from the same names to tensors
# `(batch, width)`.
#
# **`EarlyFusion(dims, hidden, n_classes)`**; `forward(feats)` returns logits `(batch, n_classes)`.
#
# - The features are concatenated **in the order of `dims`**, whatever the order of `feats`. Then `fc1` (a linear layer
#   to `hidden`), ReLU, `fc2` (a linear layer to `n_classes`), and no other parameters.
#
# **`LateFusion(dims, n_classes, combine="mean_prob")`**; `forward(feats, mask=None)` returns **log-probabilities**
# `(batch, n_classes)`: their exponentials sum to 1 in each row, for both values of `combine`.
#
# - `heads` is an `nn.ModuleDict` with one `nn.Linear` a modality, under the modality's name. Its output goes through a
#   softmax.
# - `combine="mean_prob"`: the logarithm of the mean of the heads' probabilities.
# - `combine="log_opinion"`: the mean of the heads' log-probabilities, renormalised (a *logarithmic opinion pool*).
# - `mask` is a dictionary from names to **boolean** tensors `(batch,)`, `True` = this sample has this modality. The
#   mean is taken over the modalities that the sample has. A modality without an entry in `mask` is there for every
#   sample; `mask=None` means that everything is there.
# - What `feats` holds for a missing modality, NaN and infinity included, has no influence on the result **and none on
#   the gradients** of the heads.
# - The result is right for large logits too: where the probabilities are too small for a float, their logarithms are
#   not.
#
# Linear layers have a bias, all of them. Features come in the dtype of the module's parameters, and the results have
# it too; you need not cast anything. `feats` and its tensors stay as they are. Names that are not in `dims` occur
# neither in `feats` nor in `mask`.
#
# | bad input | raises |
# |---|---|
# | `combine` is neither of the two names | `ValueError`, when the module is made |
# | a modality of `dims` is not in `feats` (even if its mask is all `False`) | `KeyError` |
# | features that are not `(batch, width)` with the width in `dims`, or differ in batch size | `ValueError` |
# | a mask whose shape is not `(batch,)` | `ValueError` |
# | a mask that is not boolean | `TypeError` or `ValueError`, as you like |
# | a sample without any modality | `ValueError` |
#
# The features have the same rules in both classes, so the notebook gives you a place for them: `ordered_features`. Use
# it or leave it; only the two classes are graded. Nothing is forbidden.

# %% [markdown]
# **Worked example**, `combine="mean_prob"` and `"log_opinion"` for two classes. The head of the text says (9/10, 1/10),
# the head of the image (1/2, 1/2).
#
# | | mean_prob | log_opinion |
# |---|---|---|
# | both there | (0.9 + 0.5) / 2 = 0.7 against 0.3 | √(0.9·0.5) : √(0.1·0.5) = 3 : 1, so 0.75 against 0.25 |
# | no image | 0.9 against 0.1 | 0.9 against 0.1 |
#
# The module returns the logarithms of these numbers. The uncertain head pulls the arithmetic mean further down.


# %% tags=["solution"]
def ordered_features(feats: dict[str, Tensor], dims: dict[str, int]) -> list[Tensor]:
    """The features in the order of `dims`, each (batch, its width), after checking them.

    Raises KeyError for a missing modality, ValueError for wrong shapes or batch sizes that differ.
    """
    ### BEGIN SOLUTION
    ordered = [feats[name] for name in dims]
    for features, width in zip(ordered, dims.values(), strict=True):
        if features.shape != (len(ordered[0]), width):
            raise ValueError(f"expected features ({len(ordered[0])}, {width}), got {tuple(features.shape)}")
    return ordered
    ### END SOLUTION


# %% tags=["solution"]
class EarlyFusion(nn.Module):
    """A classifier on the concatenated features of all modalities (Snoek, Worring & Smeulders 2005).

    Linear layers with bias: fc1 (sum of the widths -> hidden), fc2 (hidden -> n_classes), ReLU in between.
    """

    def __init__(self, dims: dict[str, int], hidden: int, n_classes: int) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.dims = dict(dims)
        self.fc1 = nn.Linear(sum(dims.values()), hidden)
        self.fc2 = nn.Linear(hidden, n_classes)
        ### END SOLUTION

    def forward(self, feats: dict[str, Tensor]) -> Tensor:
        """Return logits (batch, n_classes) for feats: name -> (batch, width).

        Raises KeyError for a missing modality, ValueError for wrong widths or batch sizes that differ.
        """
        ### BEGIN SOLUTION
        joined = torch.cat(ordered_features(feats, self.dims), dim=1)  # (batch, sum of widths)
        return self.fc2(F.relu(self.fc1(joined)))
        ### END SOLUTION


# %% tags=["solution"]
class LateFusion(nn.Module):
    """One linear classifier a modality, their opinions combined (Snoek, Worring & Smeulders 2005).

    heads: nn.ModuleDict, name -> nn.Linear(width, n_classes). combine: "mean_prob" or "log_opinion", otherwise
    ValueError.
    """

    def __init__(self, dims: dict[str, int], n_classes: int, combine: str = "mean_prob") -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if combine not in ("mean_prob", "log_opinion"):
            raise ValueError(f"combine must be 'mean_prob' or 'log_opinion', not {combine!r}")
        self.dims = dict(dims)
        self.combine = combine
        self.heads = nn.ModuleDict({name: nn.Linear(width, n_classes) for name, width in dims.items()})
        ### END SOLUTION

    def forward(self, feats: dict[str, Tensor], mask: dict[str, Tensor] | None = None) -> Tensor:
        """Return log-probabilities (batch, n_classes), each sample's from the modalities that it has.

        feats: name -> (batch, width); mask: name -> (batch,) boolean, True = there; no entry = there for all.
        Raises KeyError for a missing modality, ValueError for shapes that do not fit and for a sample without any
        modality, TypeError for a mask that is not boolean.
        """
        ### BEGIN SOLUTION
        opinions, presence = [], []
        for name, features in zip(self.dims, ordered_features(feats, self.dims), strict=True):
            there = torch.ones(len(features), dtype=torch.bool, device=features.device)
            if mask is not None and name in mask:
                there = mask[name]
            if there.dtype != torch.bool:
                raise TypeError(f"the mask of {name} must be boolean, not {there.dtype}")
            if there.shape != (len(features),):
                raise ValueError(f"the mask of {name} must be ({len(features)},), not {tuple(there.shape)}")
            # empty what is missing before the head: behind it, 0 * NaN = NaN would still reach the gradients
            features = features.masked_fill(~there[:, None], 0)
            opinions.append(F.log_softmax(self.heads[name](features), dim=1))  # (batch, classes)
            presence.append(there)
        log_probs = torch.stack(opinions)  # (modalities, batch, classes)
        absent = ~torch.stack(presence)[:, :, None]  # (modalities, batch, 1)
        count = (~absent).sum(dim=0)  # (batch, 1)
        if (count == 0).any():
            raise ValueError("a sample has no modality at all")

        if self.combine == "mean_prob":
            # log of the mean probability = logsumexp of the log-probabilities - log(count); exp alone would underflow
            total = log_probs.masked_fill(absent, -torch.inf).logsumexp(dim=0)  # (batch, classes)
            return total - count.to(total.dtype).log()
        # renormalised mean of the log-probabilities
        return F.log_softmax(log_probs.masked_fill(absent, 0).sum(dim=0) / count, dim=1)
        ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# early = EarlyFusion({"text": 1, "image": 1}, hidden=1, n_classes=2)
# for parameter, value in [
#     (early.fc1.weight, [[1.0, 10.0]]), (early.fc1.bias, [0.0]),
#     (early.fc2.weight, [[1.0], [-1.0]]), (early.fc2.bias, [0.5, 0.0]),
# ]:
#     parameter.data = torch.tensor(value)
# text, image = torch.tensor([[2.0], [-2.0]]), torch.tensor([[3.0], [-3.0]])
# expected = torch.tensor([[32.5, -32.0], [0.5, 0.0]])
# torch.testing.assert_close(early({"text": text, "image": image}), expected)
# torch.testing.assert_close(early({"image": image, "text": text}), expected)
#
# for combine, both in [("mean_prob", [0.65, 0.35]), ("log_opinion", [2 / 3, 1 / 3])]:
#     late = LateFusion({"text": 1, "image": 1}, n_classes=2, combine=combine)
#     for name, ratio in [("text", 4.0), ("image", 1.0)]:  # the text says 4 : 1, the image 1 : 1, whatever they see
#         nn.init.zeros_(late.heads[name].weight)
#         late.heads[name].bias.data = torch.tensor([ratio, 1.0]).log()
#     first, second = torch.tensor([True, False]), torch.tensor([False, True])
#     for mask, expected in [
#         ({"text": first, "image": second}, [[0.8, 0.2], [0.5, 0.5]]),  # no image first, then no text
#         ({"text": first}, [both, [0.5, 0.5]]),  # both, then no text
#     ]:
#         log_probs = late({"text": text, "image": image}, mask)
#         torch.testing.assert_close(log_probs, torch.tensor(expected).log())

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Whatever `combine` is and whatever is missing, the exponentials of each row sum to 1. And a sample whose image is
# missing must get exactly what a `LateFusion` without an image head would say. Do both hold for your module?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A dictionary has an order, and the caller's may differ from yours: only `dims` knows which columns belong to which
# modality. Missing opinions must be *replaced*, not multiplied by 0, and by something that does not count in what comes
# next: 0 in a sum, and in a logarithm of a sum of exponentials? For the NaN in the features, the replacement has to
# come before the head, because a gradient of a head is a product with its input.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# For each modality in the order of `dims`: check the features, fetch the mask or make one that is all true, replace the
# rows that are missing, apply the head, take the log-softmax. Stack the opinions and the masks, count for each sample.
# For the mean of probabilities: fill what is missing, `logsumexp` over the modalities, subtract the logarithm of the
# count. For the other: fill with something else, sum, divide by the count, log-softmax once more.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# features = feats[name].masked_fill(~there[:, None], 0)  # (batch, width)
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022). Flamingo: a Visual Language Model for Few-Shot
#   Learning.
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). Multimodal Machine Learning: A Survey and
#   Taxonomy.
# - Chameleon Team (2024). Chameleon: Mixed-Modal Early-Fusion Foundation Models.
# - Junnan Li, Dongxu Li, Silvio Savarese, Steven Hoi (2023). BLIP-2: Bootstrapping Language-Image Pre-training with
#   Frozen Image Encoders and Large Language Models.
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023). Visual Instruction Tuning.
# - Jiasen Lu, Dhruv Batra, Devi Parikh, Stefan Lee (2019). ViLBERT: Pretraining Task-Agnostic Visiolinguistic
#   Representations for Vision-and-Language Tasks.
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision.
# - Cees G. M. Snoek, Marcel Worring, Arnold W. M. Smeulders (2005). Early versus late fusion in semantic video
#   analysis.
# - Hao Tan, Mohit Bansal (2019). LXMERT: Learning Cross-Modality Encoder Representations from Transformers.
# - Tristan Thrush, Ryan Jiang, Max Bartolo, et al. (2022). Winoground: Probing Vision and Language Models for
#   Visio-Linguistic Compositionality.
# - Paul Viola, Michael Jones (2001). Rapid Object Detection using a Boosted Cascade of Simple Features.
# - Mert Yuksekgonul, Federico Bianchi, Pratyusha Kalluri, Dan Jurafsky, James Zou (2023). When and Why Vision-Language
#   Models Behave like Bags-Of-Words, and What to Do About It?
