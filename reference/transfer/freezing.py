# %% [markdown]
# # Freezing that really freezes
#
# "Freeze the encoder and train the head" sounds like one flag, and with the flag alone the encoder goes on changing. An
# optimiser that still sees an old gradient moves the weights, batch normalisation updates its statistics in every
# forward pass in training mode, and dropout makes noisy the features that should be fixed. Freezing has three sides:
# gradients, modes and the optimiser. Here you write one function for each.
#
# ## Your task (about 40 minutes)
#
# ```python
# names = freeze_except(model, trainable)           # list of str; trainable is a list of patterns
# set_training_mode(model)                          # None
# optimizer = make_optimizer(model, lr, weight_decay)  # torch.optim.AdamW
# ```
#
# **`freeze_except`** makes exactly those parameters trainable whose qualified names match at least one of the patterns.
#
# - Patterns are those of `fnmatch.fnmatchcase`: `*` stands for any run of characters, dots included, even an empty one,
#   `?` for exactly one character, `[01]` for one of these two. The name has to match from its first character to its
#   last: `layers.1.*` covers `layers.1.weight` and not `layers.10.weight`, and `scale` does not cover `scale_offset`.
# - `requires_grad` of every parameter is set, whatever it was before. Frozen parameters have no gradient afterwards:
#   their `.grad` is `None`, even where the parameter was frozen before the call. Gradients of trainable parameters stay
#   as they are.
# - A **tied** parameter, the same object under several names, is trainable if any of its names matches.
# - The result is the sorted list of the names of the trainable parameters, each parameter once, as
#   `model.named_parameters()` calls it. An empty list of patterns freezes everything.
# - `TypeError` if `trainable` is a plain string. `ValueError` if any one of the patterns matches no parameter. After an
#   error the model is as it was.
#
# **`set_training_mode`** sets the attribute `training` of every module, containers included, by what is trainable at
# that moment. What the attribute was before plays no part. "Inside" a module means in itself or in anything below it,
# whatever its class is: what counts are the parameters and buffers that it has.
#
# | a module that has inside | is in training mode if |
# |---|---|
# | parameters | at least one of these is trainable |
# | neither parameters nor buffers, such as dropout | its nearest ancestor with parameters has a trainable one inside |
# | buffers, but no parameters | its nearest ancestor with parameters has *only* trainable ones inside |
#
# The last row is that of `BatchNorm1d(4, affine=False)`, and also of a `Sequential` that holds it and a dropout. A
# module of the last two kinds without such an ancestor is in evaluation mode (its `training` is `False`, as after
# `eval()`), and so is everything when nothing is trainable. You may assume that no module is used in two places.
#
# **`make_optimizer`** returns a `torch.optim.AdamW` with the given rate and weight decay for all parameters that are
# trainable at that moment, each once, and holds no others. `ValueError` if there is none.
#
# Nothing is forbidden.
#
# ## Worked example
#
# ```python
# model = nn.Sequential()
# model.add_module("body", nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
# model.add_module("whiten", nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.Dropout(0.2)))
# model.add_module("head", nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2)))
# ```
#
# `freeze_except(model, ["head.*"])`, then `set_training_mode(model)`:
#
# | module | parameters inside | trainable | training mode | because |
# |---|---|---|---|---|
# | `model` | 6 | 2 | yes | one is enough |
# | `body`, a Sequential | 4 | 0 | no | |
# | `body.0` Linear, `body.1` BatchNorm1d | 2 each | 0 | no | its running statistics stand still |
# | `body.2` Dropout | none | | no | nothing in `body` is trainable |
# | `whiten`, a Sequential | none, but buffers | | no | not all of `model` is trainable |
# | `whiten.0` BatchNorm1d | none, but buffers | | no | not all of `model` is trainable |
# | `whiten.1` Dropout | none | | yes | something in `model` is trainable |
# | `head`, a Sequential | 2 | 2 | yes | |
# | `head.0` Dropout | none | | yes | something in `head` is trainable |
# | `head.1` Linear | 2 | 2 | yes | |

# %%
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn


# %% tags=["solution"]
def freeze_except(model: nn.Module, trainable: Sequence[str]) -> list[str]:
    """Make exactly the parameters trainable whose qualified name matches a pattern; clear the gradients of the others.

    trainable: patterns as for fnmatch.fnmatchcase. A parameter with several names is matched under each of them.
    Returns the sorted names of the trainable parameters, each once, as in model.named_parameters().
    Raises TypeError if trainable is a string, ValueError if a pattern matches nothing; the model is then unchanged.
    """
    ### BEGIN SOLUTION
    if isinstance(trainable, str):
        raise TypeError("trainable must be a list of patterns, not one string")
    named = list(model.named_parameters(remove_duplicate=False))  # a tied parameter comes under each of its names
    chosen: set[nn.Parameter] = set()
    for pattern in trainable:
        matching = [parameter for name, parameter in named if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f"the pattern {pattern!r} matches no parameter")
        chosen.update(matching)

    for parameter in model.parameters():
        parameter.requires_grad_(parameter in chosen)
        if parameter not in chosen:
            parameter.grad = None  # an optimiser skips None; a gradient of zeros would still decay the weight
    return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    ### END SOLUTION


def set_training_mode(model: nn.Module) -> None:
    """Put what is trained into training mode and everything else into evaluation mode.

    With parameters inside: training mode if at least one is trainable. Without, the parameters of the nearest ancestor
    that has some decide: at least one has to be trainable, or, where there are buffers inside, all of them.
    """
    ### BEGIN SOLUTION
    inherited: dict[nn.Module, list[bool]] = {model: []}  # flags of the nearest ancestor with parameters
    for module in model.modules():  # a parent comes before its children
        own = [parameter.requires_grad for parameter in module.parameters()]
        flags = own or inherited[module]
        has_statistics = not own and bool(list(module.buffers()))
        module.training = bool(flags) and all(flags) if has_statistics else any(flags)
        inherited.update(dict.fromkeys(module.children(), flags))
    ### END SOLUTION


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Return an AdamW (Loshchilov and Hutter, 2019) that holds the trainable parameters and no others.

    Raises ValueError if there are none.
    """
    ### BEGIN SOLUTION
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("no parameter is trainable")
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=weight_decay)
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The model of the worked example: everything but the head stays to the last bit what it was, while the head learns.

# %% tags=["visible-checks", "active-ipynb"]
# model = nn.Sequential()
# model.add_module("body", nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
# model.add_module("whiten", nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.Dropout(0.2)))
# model.add_module("head", nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2)))
# model(torch.randn(6, 3)).sum().backward()  # every parameter has a gradient now
#
# names = freeze_except(model, ["head.*"])
# assert names == ["head.1.bias", "head.1.weight"], f"freeze_except returned {names}"
# left = [name for name, parameter in model.body.named_parameters() if parameter.grad is not None]
# assert not left, f"these frozen parameters still have a gradient: {left}"
#
# set_training_mode(model)
# modes = [name or "model" for name, module in model.named_modules() if module.training]
# assert modes == ["model", "whiten.1", "head", "head.0", "head.1"], f"these modules are in training mode: {modes}"
#
# optimizer = make_optimizer(model, lr=0.1, weight_decay=0.1)
# before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
# for _ in range(2):
#     optimizer.zero_grad()
#     model(torch.randn(6, 3)).square().sum().backward()
#     optimizer.step()
# moved = sorted(name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name]))
# assert moved == names, f"these changed in training: {moved}"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Save the `state_dict` of a frozen part, train for as long as you like with any optimiser, old or new, and compare: not
# one bit may differ, in parameters or in buffers. And two forward passes of the frozen part give the same features.
# Which of the three functions guarantees what?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# An optimiser of PyTorch looks at `.grad`, not at `requires_grad`: `None` is skipped, while a tensor of zeros still
# lets weight decay and momentum act. Buffers such as running statistics belong to no optimiser; the forward pass itself
# changes them, in training mode. Modes are attributes of each module by itself: `module.training` of a container says
# nothing about its children, and `module.train()` overwrites all of them.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Freezing: collect the parameters that match, pattern by pattern, and complain about a pattern without any; only then
# walk over all parameters, set the flag, and clear the gradient where the flag is off. Modes: walk from the model down.
# At each module look at the flags of all parameters inside; if there are any, they decide, and they are what the
# children inherit; if there are none, what was inherited decides. Optimiser: filter by the flag.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# flags = [parameter.requires_grad for parameter in module.parameters()]  # of the module and of everything below it
# ```
#
# </details>
#
# ## References
#
# - Jeremy Howard, Sebastian Ruder (2018), Universal Language Model Fine-tuning for Text Classification: unfreezing a
#   model layer by layer, from the top.
# - Ilya Loshchilov, Frank Hutter (2019), Decoupled Weight Decay Regularization: AdamW, whose decay acts on a weight
#   whatever its gradient is.
