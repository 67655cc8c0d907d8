# %% [markdown]
# # Fine-tuning in stages
#
# A new head with random weights sends large gradients into features that took weeks to learn
# (`transfer/linear_probe_first` measures them). Training everything at one rate, as published code often does, pays for
# that with accuracy on other data. The remedy is cheap: train the head alone, then the top blocks with it, then
# everything, with a smaller rate for what was pretrained. Here you write the model, the switch between the stages, and
# the groups for the optimiser.
#
# ## Your task (about 50 minutes)
#
# ```python
# model = MultimodalFineTuner(image_encoder, text_encoder, image_dim, text_dim, hidden, n_classes, dropout=0.1)
# logits = model(pixel_values, input_ids, attention_mask)
# set_stage(model, stage, image_blocks, text_blocks, top_k=1)               # None; stage is "head", "top" or "full"
# groups = param_groups(model, head_lr, backbone_lr, weight_decay)          # list of dict, for torch.optim.AdamW
# ```
#
# **`MultimodalFineTuner`** keeps the encoders it is given (not copies) as `image_encoder` and `text_encoder`. Its
# `head` is an `nn.Sequential` of four modules: `nn.Linear(image_dim + text_dim, hidden)`, `nn.GELU()`,
# `nn.Dropout(dropout)`, `nn.Linear(hidden, n_classes)`.
#
# | tensor | shape | |
# |---|---|---|
# | `pixel_values` | `(batch, 3, height, width)` | handed on as `image_encoder(pixel_values=...)` |
# | `input_ids`, `attention_mask` | `(batch, length)` | handed on as `text_encoder(input_ids=..., attention_mask=...)` |
# | `logits` | `(batch, n_classes)` | |
#
# - Both encoders return an object with the attribute `last_hidden_state`, of shape `(batch, tokens, image_dim)` and
#   `(batch, length, text_dim)`. Use nothing else of it.
# - Image feature: token 0. Text feature: the mean over the tokens whose `attention_mask` is 1. The mask comes as
#   integers 0 and 1 or as booleans. What stands at masked positions plays no part, not even if it is NaN, and a text
#   without any real token has the feature 0. The head gets the image feature followed by the text feature.
# - `ValueError` if `attention_mask` has another shape than `input_ids`.
#
# **`set_stage`** sets `requires_grad` of every parameter of the model, whatever it was before, and sets `.grad` to
# `None` where the parameter is frozen.
#
# | stage | trainable |
# |---|---|
# | `"head"` | the parameters of `model.head` |
# | `"top"` | these, and the parameters of the **last** `top_k` modules of `image_blocks` and of `text_blocks` |
# | `"full"` | all parameters |
#
# - The blocks of an encoder are given in order, the one nearest to the input first, as a list or an `nn.ModuleList`;
#   they are parts of the model. In stage `"top"` all the rest of the encoders is frozen, embeddings and a final norm
#   behind the blocks included.
# - `ValueError` for any other stage, and in stage `"top"` for a `top_k` below 1 or above the length of one of the
#   lists. The model is then as it was. Other stages ignore `top_k`.
#
# **Modes.** `eval()` puts every module into evaluation mode, as always.
# Override `train(mode=True)`, so that `model.train()` follows what is trainable: it sets `training` of every module by
# the rule of `transfer/freezing`. "Inside" a module means in itself or in anything below it.
#
# | module | in training mode after `model.train()` if |
# |---|---|
# | with parameters inside | at least one of these is trainable |
# | without parameters or buffers inside, such as dropout | its nearest ancestor with parameters inside is |
# | with buffers only, such as `BatchNorm1d(4, affine=False)` | *all* parameters inside that ancestor are trainable |
#
# `train` returns the model. If the model is in training mode when `set_stage` is called, the modes fit the new stage
# right afterwards; a model in evaluation mode stays in it.
#
# **`param_groups`** returns up to four dicts with the keys `"params"` (list), `"lr"` and `"weight_decay"`. They hold
# the parameters that are trainable at that moment, each exactly once, and no others; no group is empty. Parameters of
# the head have `head_lr`, all others `backbone_lr`. Parameters of one dimension or none (biases, norms, learned
# scalars) have the decay 0, all others `weight_decay`. The order is free, and groups with equal settings may be joined.
#
# Nothing is forbidden.
#
# ## Worked example
#
# Two encoders with three blocks each, stage `"top"` with `top_k=1`, then
# `param_groups(model, head_lr=1e-3, backbone_lr=1e-5, weight_decay=0.1)`:
#
# | parameters | trainable | `lr` | `weight_decay` |
# |---|---|---|---|
# | `head.0.weight`, `head.3.weight` | yes | 1e-3 | 0.1 |
# | `head.0.bias`, `head.3.bias` | yes | 1e-3 | 0 |
# | matrices of the third block of each encoder | yes | 1e-5 | 0.1 |
# | biases and norms in these blocks | yes | 1e-5 | 0 |
# | embeddings, first and second blocks, final norms | no | | |

# %%
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Self

import torch
from torch import Tensor, nn


# %% tags=["solution"]
class MultimodalFineTuner(nn.Module):
    """Two pretrained encoders and a new classification head on their joined features.

    The encoders are called with keyword arguments and return an object with last_hidden_state (batch, tokens, width).
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        text_encoder: nn.Module,
        image_dim: int,
        text_dim: int,
        hidden: int,
        n_classes: int,
        dropout: float = 0.1,
    ) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.head = nn.Sequential(
            nn.Linear(image_dim + text_dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, n_classes)
        )
        ### END SOLUTION

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits (batch, n_classes).

        pixel_values (batch, 3, height, width); input_ids and attention_mask (batch, length), 1 = real token.
        Raises ValueError if the mask does not have the shape of the ids.
        """
        ### BEGIN SOLUTION
        if attention_mask.shape != input_ids.shape:
            raise ValueError(f"mask {tuple(attention_mask.shape)} does not fit ids {tuple(input_ids.shape)}")
        image = self.image_encoder(pixel_values=pixel_values).last_hidden_state[:, 0]  # (batch, image_dim)
        tokens = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

        # text = sum of the real tokens / number of real tokens; fill instead of multiply, since 0 * NaN is NaN
        is_real = attention_mask.bool()  # (batch, length)
        total = tokens.masked_fill(~is_real[:, :, None], 0).sum(dim=1)  # (batch, text_dim)
        text = total / is_real.sum(dim=1, keepdim=True).clamp(min=1)  # (batch, text_dim)
        return self.head(torch.cat((image, text), dim=1))
        ### END SOLUTION

    def train(self, mode: bool = True) -> Self:
        """Put what is trainable into training mode and the rest into evaluation mode; with mode=False everything."""

        ### BEGIN SOLUTION
        def visit(module: nn.Module, some: bool, every: bool) -> None:
            """some, every: whether some, every parameter of the nearest ancestor that has parameters is trainable."""
            trainable = [parameter.requires_grad for parameter in module.parameters()]
            if trainable:
                some, every = any(trainable), all(trainable)
            has_statistics = not trainable and bool(list(module.buffers()))
            module.training = every if has_statistics else some
            for child in module.children():
                visit(child, some, every)

        super().train(mode)
        if mode:
            visit(self, False, False)
        return self
        ### END SOLUTION


def set_stage(
    model: MultimodalFineTuner,
    stage: str,
    image_blocks: Sequence[nn.Module],
    text_blocks: Sequence[nn.Module],
    top_k: int = 1,
) -> None:
    """Make the head ("head"), also the last top_k blocks of both encoders ("top"), or everything ("full") trainable.

    Frozen parameters lose their gradients; a model in training mode gets the modes of the new stage.
    Raises ValueError for an unknown stage, or in stage "top" for a top_k below 1 or above the number of blocks.
    """
    ### BEGIN SOLUTION
    parts: list[nn.Module] = [model.head]
    if stage == "full":
        parts.append(model)
    elif stage == "top":
        for blocks in (image_blocks, text_blocks):
            if not 1 <= top_k <= len(blocks):
                raise ValueError(f"top_k must be from 1 to {len(blocks)}, got {top_k}")
            parts.extend(blocks[len(blocks) - top_k :])
    elif stage != "head":
        raise ValueError(f"unknown stage {stage!r}")

    trained = {parameter for part in parts for parameter in part.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in trained)
        if parameter not in trained:
            parameter.grad = None  # an optimiser moves whatever has a gradient
    model.train(model.training)
    ### END SOLUTION


def param_groups(
    model: MultimodalFineTuner, head_lr: float, backbone_lr: float, weight_decay: float
) -> list[dict[str, list[nn.Parameter] | float]]:
    """Return parameter groups with "params", "lr" and "weight_decay" for the trainable parameters, each once.

    The head has its own rate (Howard and Ruder, 2018: rates that differ by layer); vectors and scalars do not decay.
    """
    ### BEGIN SOLUTION
    head = set(model.head.parameters())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter in head, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": head_lr if in_head else backbone_lr,
            "weight_decay": weight_decay if is_matrix else 0.0,
        }
        for (in_head, is_matrix), parameters in groups.items()
    ]
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two toy encoders, so that you can see what happens without downloading anything.


# %%
class ToyImageEncoder(nn.Module):
    """Four patches of an image of 4 x 4 pixels; two blocks; batch normalisation in front."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 2, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.blocks = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        x = self.norm(self.patches(pixel_values)).flatten(2).transpose(1, 2)  # (batch, 4, 6)
        for block in self.blocks:
            x = x + block(x).tanh()
        return SimpleNamespace(last_hidden_state=x)


class ToyTextEncoder(nn.Module):
    """Token embeddings, two blocks, a final norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 5)
        self.blocks = nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)])
        self.final = nn.LayerNorm(5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        x = self.embedding(input_ids)  # (batch, length, 5)
        for block in self.blocks:
            x = x + block(x).tanh()
        return SimpleNamespace(last_hidden_state=self.final(x))


# %% tags=["visible-checks", "active-ipynb"]
# images, texts = ToyImageEncoder(), ToyTextEncoder()
# model = MultimodalFineTuner(images, texts, image_dim=6, text_dim=5, hidden=7, n_classes=3)
# batch = torch.randn(4, 3, 4, 4), torch.randint(0, 9, (4, 6)), torch.tensor([[1, 1, 1, 0, 0, 0]] * 3 + [[0] * 6])
# assert model(*batch).shape == (4, 3)
#
# set_stage(model, "head", images.blocks, texts.blocks)
# model.train()
# trained = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
# assert trained == ["head.0.bias", "head.0.weight", "head.3.bias", "head.3.weight"], trained
# assert not images.norm.training and model.head[2].training, "BatchNorm is frozen, the dropout of the head is not"
#
# set_stage(model, "top", images.blocks, texts.blocks, top_k=1)
# trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
# assert len(trained) == 8 and {"image_encoder.blocks.1.weight", "text_encoder.blocks.1.bias"} < trained, trained
# groups = param_groups(model, head_lr=1e-3, backbone_lr=1e-5, weight_decay=0.1)
# settings = sorted((group["lr"], group["weight_decay"], len(group["params"])) for group in groups)
# assert settings == [(1e-5, 0.0, 2), (1e-5, 0.1, 2), (1e-3, 0.0, 2), (1e-3, 0.1, 2)], settings

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# In stage "head", which numbers of the model may differ after an epoch, counting parameters *and* buffers? And in stage
# "top", through which frozen parts does the gradient have to pass to reach the top blocks?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A stage is a set of parameters; flags, gradients, modes and groups all follow from it. `requires_grad` says that a
# parameter gets a gradient, not that gradients stop there. `Module.train` sets the mode of everything below, so that
# whoever calls `model.train()` at the start of each epoch wakes the frozen parts up, unless your override has the last
# word.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Forward: compare the shapes; call both encoders by keyword; take token 0; empty the masked tokens, add up, divide by
# their number, at least 1; join, head. Stage: list the parts to be trained, checking as you go; make a set of their
# parameters; walk over all parameters of the model; apply the mode again. Groups: for each trainable parameter two
# yes/no questions, is it in the head and is it a matrix, and one list for each pair of answers.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# in_head = {id(parameter) for parameter in model.head.parameters()}
# ```
#
# </details>
#
# ## References
#
# - Jeremy Howard, Sebastian Ruder (2018), Universal Language Model Fine-tuning for Text Classification: gradual
#   unfreezing and rates that differ from layer to layer.
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022), Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution: first the head, then everything.
# - Ilya Loshchilov, Frank Hutter (2019), Decoupled Weight Decay Regularization.
