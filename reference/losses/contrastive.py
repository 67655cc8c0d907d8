# %% [markdown]
# # Contrastive losses: CLIP and SigLIP
#
# A model that is to find the caption of a picture needs a space in which both lie close together. A contrastive loss
# builds one: it says which texts and images belong together, and which must stay apart. The batch itself tells it,
# without any further label. CLIP and SigLIP, the two losses you write here, are behind most vision encoders of today's
# multimodal models.
#
# Plan about 45 minutes: 12 for the answer, 5 for the claims, 28 for the code.

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor

# %% [markdown]
# ## The questions
#
# *(a) "Which losses does a multimodal model need, and what does each of them do?"*
#
# *(b) "Some of the pairs that you train on do not match. What can a contrastive loss do about that, and what not?"*
#
# What is done about such pairs in the data you have said in `data/timestamp_alignment`; question (b) asks for the loss.
# Answer both in the next cell as you would say it aloud, in about twelve sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *families* (a): at least three families of losses, told apart by what they compare and by what each can do alone;
# - *how they are used* (a): temperature, the part that the batch plays, and how several terms are weighted;
# - *what goes wrong* (b): what a wrong pair does to the loss, and what a partner that was not meant to be one does;
# - *remedies* (b): what you change in the targets, the weights or the batch, and what no loss can do.

# %% [markdown] tags=["answer"]
# **Model answer.** (a) I name a loss by what it compares. *Alignment* of two encoders is trained contrastively: the
# symmetric softmax loss of CLIP, which goes back to InfoNCE, or SigLIP's sigmoid for every pair. A squared distance
# between paired embeddings alone will not do, because mapping everything to one point makes it 0. On top of a joint
# encoder come *matching* (does this caption belong to this image?) and masked modelling as in ALBEF, or *captioning*
# as in CoCa. The *task* has its own loss: cross-entropy, binary cross-entropy, focal loss when classes are rare, with
# label smoothing if I want less confidence. Several terms have different units, so I weigh them, by hand, by learned
# uncertainty or with GradNorm, and log each one. In the contrastive term the temperature decides how much the hardest
# negatives count; its logarithm is learned and the scale capped at 100. The batch supplies the negatives: with N pairs
# the softmax loss of a model that knows nothing is about ln N. Two copies of one caption in a batch are false
# negatives, so they get shared targets.
#
# (b) A *wrong pair* is a wrong label: the loss pulls a caption towards an image that it does not describe, and the
# better the model, the larger the loss of just this pair and its gradient. A *false negative* is the reverse: another
# image of the batch fits the caption as well and is pushed away. A larger scale makes this worse, since more of the
# push goes to the closest ones. Against wrong pairs I make the targets less sure: label smoothing, or soft targets from
# a slowly moving copy of the model, as in ALBEF; or I give pairs of low similarity a smaller weight. Against false
# negatives I let duplicates share their target. SigLIP makes each pair a question of its own, but a false negative is a
# wrong answer there, too. Hard negatives sharpen the model for details such as word order, and the harder they are, the
# more of them are false negatives. Where a modality is missing, its terms are masked. What no loss can do is to find
# out what the right caption would have been. Filtering by similarity and deduplication (DataComp), new captions (BLIP)
# and common clocks come first; fusion by attention comes after, and mixes what it is given.
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, families: contrastive alignment (softmax or sigmoid), matching or masked modelling or captioning, and the
#   task loss are told apart; distance alone collapses. "Multimodal cross-entropy" or "fusion loss" without content
#   earns nothing.
# - 1 point, how they are used: temperature learned in log space and capped; negatives come from the batch (start near
#   ln N); false negatives; weighting of several terms.
# - 1 point, what goes wrong: a wrong pair is pulled together like a right one, with a large gradient; a false negative
#   is pushed away although it fits.
# - 1 point, remedies: two of smoothed or soft targets, shared targets for duplicates, smaller weights or a robust loss,
#   masks; hard negatives with their price. The loss does not repair the data: filtering or new captions come first.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as good advice. All of them must be right for the 3
# points, so guessing earns nothing. The CLIP loss is the one that you write below; "plain" means without `pair_ids`.
#
# | id | claim |
# |---|---|
# | `distance_is_enough` | Squared distance between paired embeddings is a safe alignment loss on its own. |
# | `named_by_modality` | "Fusion cross-entropy" is an established loss that differs from cross-entropy. |
# | `scale_one_suffices` | At a fixed scale of 1, good embeddings bring the plain CLIP loss of 64 pairs close to 0. |
# | `sigmoid_pairs_alone` | In SigLIP's loss, what one pair adds to the sum does not depend on the others. |
# | `loss_without_batch` | A plain CLIP loss of 4 is equally good news at a batch size of 64 and of 32768. |
# | `scale_sharpens` | The larger the scale, the more of the push in the CLIP loss goes to the hardest negatives. |
# | `bias_starts_negative` | SigLIP's bias starts far below 0, since most of the N·N pairs are not true ones. |
# | `shared_target_floor` | If two pairs have equal `pair_ids`, no embeddings at all bring the CLIP loss to 0. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "distance_is_enough",
        "named_by_modality",
        "scale_one_suffices",
        "sigmoid_pairs_alone",
        "loss_without_batch",
        "scale_sharpens",
        "bias_starts_negative",
        "shared_target_floor",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # It is 0 when both encoders return one constant vector; nothing in it keeps different pairs apart.
    distance_is_enough=False,
    # Cross-entropy on fused features is cross-entropy: the name says where the logits come from, not what is computed.
    named_by_modality=False,
    # Cosines lie between -1 and 1, so a true pair leads by 2 at most: the loss stays above ln(1 + 63 e⁻²) = 2.25.
    scale_one_suffices=False,
    # Each pair is a yes/no question with a sigmoid of its own; in CLIP's softmax the candidates compete.
    sigmoid_pairs_alone=True,
    # A model that knows nothing has ln N: 4.16 for 64 pairs, so 4 is hardly better, but 10.4 for 32768.
    loss_without_batch=False,
    # The gradient on a negative is proportional to its softmax weight, and a large scale puts that on the closest ones.
    scale_sharpens=True,
    # Otherwise the many negatives dominate the first steps; Zhai et al. (2023) start the bias at -10.
    bias_starts_negative=True,
    # Their rows have the target 1/2 and 1/2: cross-entropy is at least the entropy of its target, here ln 2.
    shared_target_floor=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write two functions. Row i of `text_emb` and row i of `image_emb` belong together.
#
# ```python
# clip_loss(text_emb, image_emb, logit_scale, direction="both", pair_ids=None)  # scalar tensor
# siglip_loss(text_emb, image_emb, log_t, bias)                                 # scalar tensor
# ```
#
# | argument | shape | |
# |---|---|---|
# | `text_emb`, `image_emb` | `(N, D)`, float32 or float64 | of any length: the functions bring the rows to length 1 |
# | `logit_scale`, `log_t`, `bias` | `()`, same dtype | learned; the first two are **logarithms** of a scale |
# | `pair_ids` | `(N,)`, integer | pairs with equal ids fit each other crosswise; `None` = all are different |
# | result | `()`, same dtype | differentiable in both embeddings and in the learned scalars |
#
# **CLIP.** The logits are the cosines of all texts with all images, times the scale exp(`logit_scale`) (articles also
# speak of the *temperature*, which is 1 / scale). The scale is capped at 100: above the cap the scale is 100 and
# `logit_scale` gets the gradient 0.
#
# - `direction="t2i"`: every text chooses among the **images**. The loss is the mean over the texts of the
#   cross-entropy between the softmax over the images and the target.
# - `direction="i2t"`: every image chooses among the **texts**, in the same way.
# - `direction="both"`: the mean of the two.
# - The target of row i is 1 for partner i. With `pair_ids` it is shared equally by all partners whose id is that of
#   row i: with three of them, 1/3 each.
# - N = 1 is allowed and gives 0.
#
# **SigLIP.** The logits are the cosines times exp(`log_t`), without a cap, plus `bias`. Every one of the N·N pairs is a
# yes/no question of its own: its loss is −log σ(logit) for the N true pairs (i, i) and −log σ(−logit) for all others.
# The result is the **sum over all pairs, divided by N**.
#
# Both functions:
#
# - A vector of zeros counts as having cosine 0 with everything; the loss stays finite. (The checks do not look at the
#   gradient of such a row.) A small epsilon in the normalisation, up to 1e-8, is fine.
# - In float32 too, the results stay finite and right for scales up to 100 (CLIP) and 1000 (SigLIP) and for any cosines,
#   1 and −1 in one row included: the true pair may be the one with −1.
# - `logit_scale` and `log_t` stay below 10, so that their exponentials fit into float32.
# - The arguments are not changed.
# - `ValueError` if `text_emb` and `image_emb` are not 2-D, differ in shape or have no rows (`N` = 0); for any other
#   `direction`; for a `pair_ids` whose shape is not `(N,)`.
#
# **Forbidden:** anything from `transformers`. **Allowed:** all of PyTorch, `F.normalize`, `F.cross_entropy` and
# `F.logsigmoid` included, and loops.

# %% [markdown]
# **Worked example.** Texts (2, 0) and (0, 5), images (3, 4) and (0, 2). The cosines, with a row for each text, are
# (0.6, 0) and (0.8, 1).
#
# CLIP with `logit_scale` = ln 5 has the logits (3, 0) and (4, 5). Text 1 has the loss ln(1 + e⁻³) = 0.0486, text 2
# ln(1 + e⁻¹) = 0.3133: `t2i` is 0.1809. Image 1 sees the column (3, 4) and has the loss ln(1 + e¹) = 1.3133, image 2
# sees (0, 5) and has 0.0067: `i2t` is 0.6600, and `both` 0.4205.
#
# SigLIP with `log_t` = ln 5 and `bias` = −4 has the logits (−1, −4) and (0, 1). The true pairs cost ln(1 + e¹) = 1.3133
# and ln(1 + e⁻¹) = 0.3133, the others ln(1 + e⁻⁴) = 0.0181 and ln 2 = 0.6931. The sum divided by 2 is 1.1689.


# %% tags=["solution"]
def clip_loss(
    text_emb: Tensor,
    image_emb: Tensor,
    logit_scale: Tensor,
    direction: str = "both",
    pair_ids: Tensor | None = None,
) -> Tensor:
    """Softmax contrastive loss of N text-image pairs, a scalar (van den Oord et al., 2018; Radford et al., 2021).

    text_emb and image_emb (N, D) of any length; logit_scale () is the log of the scale, which is capped at 100.
    direction: "t2i" (softmax over the images), "i2t" (over the texts) or "both" (their mean).
    pair_ids (N,) integer: partners with the same id share the target equally.
    Raises ValueError for shapes that do not fit, N = 0 or an unknown direction.
    """
    ### BEGIN SOLUTION
    if text_emb.dim() != 2 or text_emb.shape != image_emb.shape or len(text_emb) == 0:
        raise ValueError(f"expected (N, D) twice with N > 0, not {tuple(text_emb.shape)}, {tuple(image_emb.shape)}")
    if direction not in ("both", "t2i", "i2t"):
        raise ValueError(f"direction must be 'both', 't2i' or 'i2t', not {direction!r}")
    if pair_ids is None:
        pair_ids = torch.arange(len(text_emb), device=text_emb.device)
    if pair_ids.shape != text_emb.shape[:1]:
        raise ValueError(f"pair_ids must have shape ({len(text_emb)},), not {tuple(pair_ids.shape)}")

    # logits = min(exp(logit_scale), 100) * cosine of every text with every image
    scale = logit_scale.clamp(max=math.log(100)).exp()
    text, image = F.normalize(text_emb, dim=1), F.normalize(image_emb, dim=1)
    logits = scale * text @ image.T  # (texts, images)

    # target = an equal share for each partner with the same id; symmetric, so it serves both directions
    same = (pair_ids[:, None] == pair_ids).to(logits.dtype)  # (texts, images)
    target = same / same.sum(dim=1, keepdim=True)

    # loss = mean over the rows of the cross-entropy between target and softmax
    text_to_image = F.cross_entropy(logits, target)
    image_to_text = F.cross_entropy(logits.T, target)
    if direction == "t2i":
        return text_to_image
    if direction == "i2t":
        return image_to_text
    return (text_to_image + image_to_text) / 2
    ### END SOLUTION


def siglip_loss(text_emb: Tensor, image_emb: Tensor, log_t: Tensor, bias: Tensor) -> Tensor:
    """Sigmoid contrastive loss of N text-image pairs, a scalar (Zhai et al., 2023).

    text_emb and image_emb (N, D) of any length; log_t () is the log of the scale; bias () is added to every logit.
    The sum of the N * N logistic losses is divided by N. Raises ValueError for shapes that do not fit or N = 0.
    """
    ### BEGIN SOLUTION
    if text_emb.dim() != 2 or text_emb.shape != image_emb.shape or len(text_emb) == 0:
        raise ValueError(f"expected (N, D) twice with N > 0, not {tuple(text_emb.shape)}, {tuple(image_emb.shape)}")

    # logits = exp(log_t) * cosine of every text with every image + bias
    text, image = F.normalize(text_emb, dim=1), F.normalize(image_emb, dim=1)
    logits = log_t.exp() * text @ image.T + bias  # (texts, images)

    # loss = -log sigmoid(+logit) for the true pairs, -log sigmoid(-logit) for all others; their sum over N
    n = len(text_emb)
    sign = 2 * torch.eye(n, dtype=logits.dtype, device=logits.device) - 1  # (texts, images): 1 on the diagonal, else -1
    return -F.logsigmoid(sign * logits).sum() / n
    ### END SOLUTION


# %% [markdown]
# **Try it.** Pairs that all look alike, and pairs on perpendicular axes: both losses are known in closed form.

# %% tags=["visible-checks", "active-ipynb"]
# same_vector = torch.tensor([[1.0, 2.0, 2.0]]).repeat(5, 1)
# for scale in (1.0, 20.0):  # five partners that look alike: every one gets 1/5
#     loss = clip_loss(same_vector, 3 * same_vector, torch.tensor(scale).log()).item()
#     assert abs(loss - math.log(5)) < 1e-4, f"five identical pairs at scale {scale}: clip_loss is {loss}, not ln 5"
# axes = torch.eye(3)
# loss = clip_loss(2 * axes, 7 * axes, torch.tensor(4.0).log()).item()  # logits: 4 on the diagonal, 0 elsewhere
# expected = math.log(1 + 2 * math.exp(-4))
# assert abs(loss - expected) < 1e-4, f"three perpendicular pairs at scale 4: clip_loss is {loss}, not {expected}"
# loss = siglip_loss(same_vector, 3 * same_vector, torch.tensor(6.0).log(), torch.tensor(-6.0)).item()  # logits are 0
# expected = 5 * math.log(2)  # 25 pairs of ln 2, divided by 5
# assert abs(loss - expected) < 1e-4, f"25 logits of 0: siglip_loss is {loss}, not {expected}"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# What happens to your loss when both encoders return the same vector for everything? When one text is multiplied by 10?
# And when the two arguments change places, what must happen to `t2i` and `i2t`?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# CLIP is N-way classification, twice: each text is a sample and the N images are its classes, then the other way round.
# SigLIP has no competition between candidates: N·N binary classifications, of which N have the label yes. Both start
# from one N × N matrix of cosines.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Bring the rows to length 1, multiply the matrices, multiply by the scale. For CLIP: build the
# matrix that says which ids are equal and divide each row by its sum; cross-entropy of the logits with it, and of the
# transposed logits. For SigLIP: flip the sign of the logits off the diagonal, log-sigmoid, sum, divide by N. Never
# take the logarithm of a softmax or a sigmoid that you computed before: near 0 it is minus infinity.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# loss = F.cross_entropy(logits, target)  # target: (N, N) with rows that sum to 1, or (N,) with class numbers
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Aaron van den Oord, Yazhe Li, Oriol Vinyals (2018). *Representation Learning with Contrastive Predictive Coding.*
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). *Learning Transferable Visual Models From Natural
#   Language Supervision* (CLIP). ICML 2021.
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023). *Sigmoid Loss for Language Image
#   Pre-Training* (SigLIP). ICCV 2023.
# - Junnan Li, Ramprasaath R. Selvaraju, Akhilesh Gotmare, et al. (2021). *Align before Fuse: Vision and Language
#   Representation Learning with Momentum Distillation* (ALBEF). NeurIPS 2021.
# - Jiahui Yu, Zirui Wang, Vijay Vasudevan, Legg Yeung, Mojtaba Seyedhosseini, Yonghui Wu (2022). *CoCa: Contrastive
#   Captioners are Image-Text Foundation Models.* TMLR 2022.
# - Tsung-Yi Lin, Priya Goyal, Ross B. Girshick, Kaiming He, Piotr Dollár (2017). *Focal Loss for Dense Object
#   Detection.* ICCV 2017.
# - Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna (2016). *Rethinking the
#   Inception Architecture for Computer Vision* (label smoothing). CVPR 2016.
# - Alex Kendall, Yarin Gal, Roberto Cipolla (2018). *Multi-task Learning Using Uncertainty to Weigh Losses for Scene
#   Geometry and Semantics.* CVPR 2018.
# - Zhao Chen, Vijay Badrinarayanan, Chen-Yu Lee, Andrew Rabinovich (2018). *GradNorm: Gradient Normalization for
#   Adaptive Loss Balancing in Deep Multitask Networks.* ICML 2018.
# - Samir Yitzhak Gadre, Gabriel Ilharco, Alex Fang, et al. (2023). *DataComp: In search of the next generation of
#   multimodal datasets.* NeurIPS 2023.
# - Junnan Li, Dongxu Li, Caiming Xiong, Steven C. H. Hoi (2022). *BLIP: Bootstrapping Language-Image Pre-training for
#   Unified Vision-Language Understanding and Generation.* ICML 2022.
# - Mert Yuksekgonul, Federico Bianchi, Pratyusha Kalluri, Dan Jurafsky, James Zou (2023). *When and Why Vision-Language
#   Models Behave like Bags-Of-Words, and What to Do About It?* (hard negatives). ICLR 2023.
