# %% [markdown]
# # Low-rank adaptation
#
# A model of seven billion parameters takes about 14 GB to run in 16 bits, but about 112 GB to fine-tune in full with
# AdamW, before a single activation is stored (`compression/memory_budget` counts these bytes). Low-rank adaptation
# (LoRA) leaves the weights as they are and learns a small correction next to each chosen matrix, so that one GPU and a
# file of a few megabytes are enough. It is short, and it fails quietly: with the wrong start it never learns, with the
# wrong flag it trains everything after all. Here you answer two interview questions in your own words, judge eight
# claims, and write the layer.
#
# Plan about 55 minutes: 12 for the answer, 5 for the claims, 38 for the code.

# %%
import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# %% [markdown]
# ## The questions
#
# *(a) "How is a large multimodal model fine-tuned?"*
#
# *(b) "Explain low-rank adaptation. Why does it work with so few parameters, and when would you not rely on it?"*
#
# Answer both in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and
# is read by a person, one point for each of these:
#
# - *the choice* (a): which parameters can be trained, from few to all, and what decides between them;
# - *the multimodal side* (a): what is trained in which order, and what comes after supervised fine-tuning;
# - *the mechanism* (b): the formula, the start, the number of parameters, what happens at inference;
# - *practice and limits* (b): where to put the adapters, which learning rate, at least two variants, when it falls
#   short.

# %% [markdown] tags=["answer"]
# **Model answer.** (a) "Fine-tuning goes on training a pretrained model for a task, but the first decision is *which*
# parameters move. All of them: then mixed-precision AdamW needs about 16 bytes for each, two for the weight, two for
# the gradient, four for the 32-bit copy and eight for the two moments, some 112 GB for seven billion. A part: the head,
# the last blocks, the norms or biases. Or new small modules next to frozen weights: adapters, prompts, low-rank
# factors. Memory, amount of data, distance of the task and the abilities that must survive decide. In a vision-language
# model I first train the projector alone, because it is new and everything behind it is useless until it fits; then the
# projector with LoRA on the language model; the vision tower stays frozen, or joins last with a smaller rate. The loss
# is next-token cross-entropy on the answers. Supervised tuning is followed by preference or reinforcement tuning.
#
# (b) LoRA computes W x + (alpha / r) B A x, with W frozen, A of r rows and B of r columns. A starts random and B at
# zero: the model begins exactly as it was, and B has a gradient at once; A gets one as soon as B has moved. A matrix
# costs r (in + out) parameters instead of in times out, and gradients and optimiser states shrink with them; the
# forward pass does not get cheaper while training. Afterwards the product is added into W, so inference costs nothing
# extra, or it stays apart and many adapters share one base. I put it on all linear layers, the MLPs included, and use
# roughly ten times the rate of full tuning. QLoRA keeps the base in 4 bits and trains factors in 16; rsLoRA scales by
# alpha over the square root of r; DoRA learns direction and magnitude apart. The correction has rank r at most: on
# large data far from pretraining it has been measured to learn less than full tuning, and to forget less. So I compare
# with full tuning where I can afford it, and raise the rank where training loss stays high."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, the choice: full, partial and parameter-efficient tuning are told apart; about 16 bytes a parameter, or
#   gradients and optimiser states as the reason. "Going on training for the task" alone earns nothing.
# - 1 point, the multimodal side: projector first, then language model (LoRA), vision tower frozen or with a smaller
#   rate; supervised tuning, then preference or reinforcement tuning.
# - 1 point, the mechanism: W x + (alpha / r) B A x; B zero and A random, with the reason; r (in + out) parameters;
#   mergeable.
# - 1 point, practice and limits: attention and MLP matrices; a higher rate than full tuning; two of QLoRA, rsLoRA,
#   DoRA; may underfit large changes of distribution (learns less, forgets less).
#
# **References of the model answer**
#
# - Dan Biderman, Jacob Portes, Jose Javier Gonzalez Ortiz, et al. (2024). *LoRA Learns Less and Forgets Less.*
# - Tim Dettmers, Artidoro Pagnoni, Ari Holtzman, Luke Zettlemoyer (2023). *QLoRA: Efficient Finetuning of Quantized
#   LLMs.*
# - Damjan Kalajdzievski (2023). *A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA.*
# - Shih-Yang Liu, Chien-Yi Wang, Hongxu Yin, et al. (2024). *DoRA: Weight-Decomposed Low-Rank Adaptation.*
# - John Schulman and Thinking Machines Lab (2025). *LoRA Without Regret.* A technical blog, not peer reviewed: the
#   source of the tenfold learning rate and of the advice to include the MLPs.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of the false ones can be found in print. All of them must be right for the 3
# points, so guessing earns nothing. "The start" is before the first step; A, B and r are those of the code below.
#
# | id | claim |
# |---|---|
# | `all_weights_move` | A model is fine-tuned only if training goes on with all of its weights. |
# | `both_factors_random` | A and B both start from random numbers, so that the adapted model starts out unchanged. |
# | `b_moves_first` | At the start, with B = 0, the gradient of A is 0, while that of B in general is not. |
# | `rank_stays_bounded` | The product B A has rank r or less, however long A and B are trained. |
# | `merging_is_free` | Once merged, a LoRA layer needs no more multiplications than the layer it was made from. |
# | `forward_gets_cheaper` | In training, an unmerged LoRA layer's forward pass multiplies less than its base's alone. |
# | `accuracy_is_kept` | Low-rank adaptation reaches the accuracy of full fine-tuning whatever the task and the data. |
# | `qlora_base_frozen` | In QLoRA the 4-bit base weights are frozen, and factors of higher precision are trained. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "all_weights_move",
        "both_factors_random",
        "b_moves_first",
        "rank_stays_bounded",
        "merging_is_free",
        "forward_gets_cheaper",
        "accuracy_is_kept",
        "qlora_base_frozen",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Linear probes, partial and parameter-efficient tuning are fine-tuning too, and in practice the more common kind.
    all_weights_move=False,
    # The product of two random matrices is not 0, so the model would start out changed. One of them has to be 0.
    both_factors_random=False,
    # The gradient of A contains B as a factor, that of B contains A x, which is random (Hu et al., 2022).
    b_moves_first=True,
    # A product has no higher rank than either factor, and A has r rows.
    rank_stays_bounded=True,
    # The sum of W and the correction is one matrix of the shape of W.
    merging_is_free=True,
    # W x is computed as before, and the branch comes on top. Gradients and optimiser states are what is saved.
    forward_gets_cheaper=False,
    # Biderman et al. (2024) measured a gap to full tuning in code and mathematics, at low rank on much data.
    accuracy_is_kept=False,
    # Gradients flow through the 4-bit weights into 16-bit factors (Dettmers et al., 2023).
    qlora_base_frozen=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write the layer and two functions around it.
#
# ```python
# layer = LoRALinear(base, r, alpha, dropout=0.0)                       # base is an nn.Linear
# names = inject_lora(model, targets, r, alpha, dropout=0.0)            # changes model in place
# state = lora_state(model)                                             # what has to be saved
# ```
#
# **`LoRALinear`**, for a base of `in` input and `out` output features:
#
# | attribute | what it is |
# |---|---|
# | `base` | the given `nn.Linear` itself, with or without bias; its parameters get `requires_grad=False` |
# | `lora_A` | parameter `(r, in)`, at the start drawn by `nn.init.kaiming_uniform_`: any `a`, all else by default |
# | `lora_B` | parameter `(out, r)`, at the start all 0 |
# | `merged` | bool, at the start `False` |
#
# - `forward(x)`, x of shape `(..., in)` with any leading axes, or none: base(x) + (alpha / r) · B A x. As long as B is
#   0, the output equals that of the base to the last bit.
# - In training mode, `dropout` is the probability with which each number of x is dropped **on its way into A**
#   (ordinary inverted dropout, as in `nn.Dropout`). The path through the base never sees it.
# - `lora_A` and `lora_B` have the dtype and the device of the base's weight. The layer starts in the mode (`training`)
#   of its base: a model in evaluation mode stays in it when it is adapted.
# - `delta_weight()` returns (alpha / r) · B A, of shape `(out, in)`, merged or not. Whether gradients flow through it
#   is up to you.
# - `merge()` makes `base.weight` hold W + delta and sets `merged`; from then on `forward` is base(x) alone, without
#   dropout. `unmerge()` brings W back, up to rounding, and clears `merged`; the factors do not change between the two.
#   Either one does nothing when it has been done already, and never touches the bias or the factors. `base.weight`
#   stays an `nn.Parameter` that requires no gradient. Nothing else changes it: `train()` and `eval()` neither merge nor
#   unmerge. No base shares its weight tensor with another module, so tied embeddings are no concern here.
# - `TypeError` for a base that is no `nn.Linear` (a subclass of it is one); `ValueError` for r below 1 or above the
#   smaller of `in` and `out`, for an `alpha` that is not positive and finite, for a `dropout` outside [0, 1). NaN is
#   refused in both places.
#
# **`inject_lora`** replaces every `nn.Linear` inside `model`, at any depth, whose own name is in `targets` by a
# `LoRALinear` around it with the given r, alpha and dropout. The own name is the last part of the qualified name, the
# `q` of `encoder.0.q`; it has to match exactly. Subclasses of `nn.Linear` are replaced too, modules of other kinds stay
# as they are. What lies inside a `LoRALinear` is left alone: a later call with the target `base` wraps nothing again.
#
# - Afterwards `lora_A` and `lora_B` of all LoRA layers in the model require a gradient, including those of an earlier
#   call, and no other parameter of the model does, not even in heads and norms, and whatever its name: a module of
#   somebody else's may own a `lora_A` or a `lora_gate`.
# - It returns the sorted list of the qualified names of what was replaced. If one `nn.Linear` is found under several
#   matching names, one `LoRALinear` takes its place under all of them, and the list has all these names.
# - `targets` is any collection of str: list, tuple, set. A plain string: `TypeError`. A target that matches nothing is
#   ignored, but if nothing at all matches: `ValueError`, and the model is left as it was. That includes a `model` that
#   is a bare `nn.Linear`, since there is nothing inside it. If `LoRALinear` refuses one of the layers, its error comes
#   through; how much of the model has changed by then is not laid down.
#
# **`lora_state`** returns those entries of `model.state_dict()` that are factors of LoRA layers, under the same names,
# as detached copies that do not follow further training. A layer with several names is in there under each of them.
# Without LoRA layers the dictionary is empty.
#
# A warning for later: some of PyTorch's own modules read the weights of their parts without calling them
# (`nn.MultiheadAttention` its `out_proj`, `nn.TransformerEncoderLayer` in evaluation mode also `linear1`) and fail with
# an `AttributeError` once a `LoRALinear` is in that place. Such models are not used here.
#
# **Forbidden:** the library `peft`. Everything in PyTorch is allowed.

# %% [markdown]
# **Worked example.** `in` 2, `out` 3, no bias, `r=1`, `alpha=4`: the scaling is 4.
#
# | | |
# |---|---|
# | W = `[[1, 0], [0, 1], [1, 1]]`, x = `[1, 1]` | W x = `[1, 1, 2]` |
# | A = `[[1, 2]]` | A x = `[3]` |
# | B = `[[0.5], [0], [-1]]` | B A x = `[1.5, 0, -3]`, times 4 = `[6, 0, -12]` |
# | output | `[7, 1, -10]` |
# | `delta_weight()` | `[[2, 4], [0, 0], [-4, -8]]` |


# %% tags=["solution"]
class LoRALinear(nn.Module):
    """A frozen linear layer with a trainable low-rank correction (Hu et al., 2022).

    Args:
        base: the layer to adapt; it is kept as `base`, and its parameters are frozen.
        r: rank of the correction, from 1 to min(in_features, out_features).
        alpha: positive and finite; the correction is scaled by alpha / r.
        dropout: probability of dropping an input of the correction in training mode, in [0, 1).

    Parameters lora_A (r, in_features) and lora_B (out_features, r), in the dtype of the base.

    Raises:
        TypeError: base is not an nn.Linear.
        ValueError: r, alpha or dropout out of range.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float, dropout: float = 0.0) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if not isinstance(base, nn.Linear):
            raise TypeError(f"base must be an nn.Linear, not a {type(base).__name__}")
        if not 1 <= r <= min(base.in_features, base.out_features):
            raise ValueError(f"r must be from 1 to {min(base.in_features, base.out_features)}, got {r}")
        if not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite, got {alpha}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(base.weight.new_empty(r, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)
        self.scaling = alpha / r
        self.merged = False
        self.train(base.training)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., in_features) to (..., out_features), in the dtype of the layer."""
        ### BEGIN SOLUTION
        if self.merged:
            return self.base(x)
        # output = W x + bias + alpha / r * B A x
        low_rank = F.linear(self.dropout(x), self.lora_A)  # (..., r)
        return self.base(x) + self.scaling * F.linear(low_rank, self.lora_B)  # (..., out_features)
        ### END SOLUTION

    def delta_weight(self) -> Tensor:
        """Return the correction alpha / r * B A, (out_features, in_features)."""
        ### BEGIN SOLUTION
        return self.scaling * self.lora_B @ self.lora_A
        ### END SOLUTION

    def merge(self) -> None:
        """Add the correction to the weight of the base; nothing happens if it is in there already."""
        ### BEGIN SOLUTION
        if not self.merged:
            with torch.no_grad():
                self.base.weight += self.delta_weight()
            self.merged = True
        ### END SOLUTION

    def unmerge(self) -> None:
        """Take the correction out of the weight of the base; nothing happens if it is not in there."""
        ### BEGIN SOLUTION
        if self.merged:
            with torch.no_grad():
                self.base.weight -= self.delta_weight()
            self.merged = False
        ### END SOLUTION


def inject_lora(model: nn.Module, targets: Collection[str], r: int, alpha: float, dropout: float = 0.0) -> list[str]:
    """Put a LoRALinear around every nn.Linear whose own name is in targets, in place; freeze all but the factors.

    Returns the sorted qualified names of the replaced layers; a layer with several names counts under each of them.
    Raises TypeError if targets is a string, ValueError if nothing matches.
    """
    ### BEGIN SOLUTION
    if isinstance(targets, str):
        raise TypeError("targets must be a collection of names, not one string")

    def in_lora(name: str) -> bool:
        return isinstance(model.get_submodule(name.rpartition(".")[0]), LoRALinear)

    found = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets and not in_lora(name)
    }
    if not found:
        raise ValueError(f"no nn.Linear inside the model is called {' or '.join(sorted(targets))}")

    # one LoRALinear for each layer, even if the layer has several names
    adapted = {layer: LoRALinear(layer, r, alpha, dropout) for layer in found.values()}
    for name, layer in found.items():
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, adapted[layer])

    model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            module.lora_A.requires_grad_(True)
            module.lora_B.requires_grad_(True)
    return sorted(found)
    ### END SOLUTION


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all lora_A and lora_B under their names in `model.state_dict()`."""
    ### BEGIN SOLUTION
    lora_layers = [
        name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, LoRALinear)
    ]
    factors = {f"{name}.{factor}".lstrip(".") for name in lora_layers for factor in ("lora_A", "lora_B")}
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name in factors}
    ### END SOLUTION


# %% [markdown]
# **Try it.** One layer by hand, then a small model.

# %% tags=["visible-checks", "active-ipynb"]
# base = nn.Linear(3, 2)
# layer = LoRALinear(base, r=2, alpha=6)
# x = torch.tensor([[1.0, 0.0, 2.0]])
# assert torch.equal(layer(x), base(x)), "before training, the layer should do exactly what its base does"
# with torch.no_grad():
#     base.weight.fill_(1.0)
#     base.bias.fill_(0.5)
#     layer.lora_A.copy_(torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]]))
#     layer.lora_B.copy_(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
# output = layer(x).detach()  # the base gives 3.5 twice, B A x is (1, 1), the scaling is 3
# torch.testing.assert_close(output, torch.tensor([[6.5, 6.5]]))
# layer.merge()
# assert layer.merged
# torch.testing.assert_close(base.weight.detach(), torch.tensor([[4.0, 4.0, 1.0], [-2.0, 4.0, 4.0]]))
# torch.testing.assert_close(layer(x).detach(), torch.tensor([[6.5, 6.5]]))
#
# model = nn.ModuleDict({"q": nn.Linear(4, 4), "norm": nn.LayerNorm(4), "head": nn.Linear(4, 3)})
# names = inject_lora(model, ["q"], r=2, alpha=6)
# assert names == ["q"], f"inject_lora returned {names}"
# trained = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
# assert trained == ["q.lora_A", "q.lora_B"], f"these parameters would be trained: {trained}"
# assert sorted(lora_state(model)) == ["q.lora_A", "q.lora_B"]

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# A freshly adapted model gives bit for bit the outputs of the model it was made from, and after any amount of training
# everything except `lora_A` and `lora_B` still has the bits it had. Merged or not, the outputs agree. Which of your
# lines makes each of these three true?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# x takes two ways: through the frozen matrix, and through a bottleneck of width r. The two results are added. As
# everything is linear, the second way is a matrix too, and it can be added to the first one. `named_modules` knows the
# qualified name of every module inside another one; its documentation says what it does with a module that has several.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Layer: check the arguments, freeze the base, make the factors like the base's weight, take over its mode. Forward: if
# merged, the base alone; otherwise drop out, down to r, up again, scale, add. Injection: first list everything that
# matches, then build one layer for each different `nn.Linear`, then put it in its parent's place under each name, and
# at last set `requires_grad` of every parameter of the model by the layer that the parameter belongs to.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# parent = model.get_submodule(name.rpartition(".")[0])  # the module that holds the layer; "" is the model itself
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
#   ICLR 2022.
#
# The works behind the model answer are listed there, in the solution: their titles would answer the questions.
