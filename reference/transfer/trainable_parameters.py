# %% [markdown]
# # Which parameters train, and what they cost
#
# Before a fine-tuning run starts, two numbers decide whether it fits: how many parameters will move, and how many bytes
# the optimiser keeps for them. Both are easy to get wrong by a factor of two (a tied weight counted twice, a second
# factor forgotten) and then the comparison of two methods is worth nothing. Here you answer two interview questions in
# your own words, judge eight claims, and write the bookkeeping: on paper for a transformer of any size, and on a real
# model.
#
# Plan about 45 minutes: 12 for the answer, 5 for the claims, 28 for the code.

# %%
from collections.abc import Collection
from dataclasses import asdict, dataclass

import torch
from torch import nn

# %% [markdown]
# ## The questions
#
# *(a) "Which ways of adjusting a pretrained model are common in fine-tuning?"*
#
# *(b) "How do you keep the number of updated parameters small without losing accuracy, and what does it save?"*
#
# Answer both in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and
# is read by a person, one point for each of these:
#
# - *choosing among the model's own parameters* (a): at least three ways to choose, from all of them down to a few;
# - *adding new ones* (a): at least three kinds of added modules, and what distinguishes them when the model is served;
# - *cost and accuracy* (b): what becomes smaller and what does not, and how you would compare two methods fairly;
# - *the rest of the recipe* (a, b): how the chosen parameters are moved and on which data, what is special for
#   vision-language models, and what does not belong in such a list.

# %% [markdown] tags=["answer"]
# **Model answer.** (a) "First I say which parameters move. All of them: full fine-tuning. The head alone: a linear
# probe. The last blocks, or more and more of them from the top, as in ULMFiT. Only biases, as in BitFit, or only the
# normalisation layers. Or the model stays frozen and something is added: bottleneck adapters in each layer, low-rank
# factors (LoRA, DoRA), learned prefixes for keys and values, a soft prompt at the input, scaling vectors as in (IA)³.
# LoRA, and scaling vectors where they meet a linear layer, can be merged into the weights afterwards; adapters and
# prompts stay and cost time. QLoRA also stores the frozen base in 4 bits. Then I say how they move: AdamW, warm-up and
# decay, different rates for groups, weight decay on matrices only. And on what: a mixture of instructions,
# deduplicated, with some general data replayed, augmented so that pairs stay true, since a mirrored image needs
# mirrored words and boxes. Optimiser and rate are part of every training run; they are no fine-tuning methods. Pruning
# is compression.
#
# (b) With AdamW in 32 bits, each trained parameter costs 4 bytes of gradient and 8 of state besides its weight.
# Freezing saves those, and below the lowest trained layer the backward pass as well. It does not save the forward pass,
# and not the activations on the way back to what is trained. In a vision-language model I train the projector first,
# then LoRA on all linear layers of the language model, at a higher rate than in full tuning, and leave the vision tower
# frozen or give it a small rate. I compare methods by trained parameters, memory, quality on the task and on what must
# not be forgotten, and cost of serving, with the rate tuned for each. LoRA tends to learn less and to forget less than
# full tuning; many of these methods can be written as one family that modifies hidden states."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, own parameters: three of full, head only, top blocks or gradual unfreezing, biases (BitFit), norms.
# - 1 point, added ones: three of adapters, LoRA or DoRA or QLoRA, prefix, prompt, (IA)³; which can be merged.
# - 1 point, cost and accuracy: gradients and optimiser state shrink, forward computation does not; compared by
#   parameters, memory, quality and serving cost, each at its own tuned rate.
# - 1 point, the rest: optimiser, schedule and augmentation belong to any training (augmentation must keep pairs true),
#   pruning is compression; projector first, then LoRA, vision tower frozen or slow.
#
# **References of the model answer**
#
# - Dan Biderman, Jacob Portes, Jose Javier Gonzalez Ortiz, et al. (2024). *LoRA Learns Less and Forgets Less.*
# - Tim Dettmers, Artidoro Pagnoni, Ari Holtzman, Luke Zettlemoyer (2023). *QLoRA: Efficient Finetuning of Quantized
#   LLMs.*
# - Junxian He, Chunting Zhou, Xuezhe Ma, Taylor Berg-Kirkpatrick, Graham Neubig (2022). *Towards a Unified View of
#   Parameter-Efficient Transfer Learning.*
# - Jeremy Howard, Sebastian Ruder (2018). *Universal Language Model Fine-tuning for Text Classification.* ULMFiT.
# - Shih-Yang Liu, Chien-Yi Wang, Hongxu Yin, et al. (2024). *DoRA: Weight-Decomposed Low-Rank Adaptation.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as advice. All of them must be right for the 3 points,
# so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `optimiser_chooses` | Choosing Adam instead of SGD decides which parameters of the model are fine-tuned. |
# | `pruning_compresses` | Magnitude pruning makes a model smaller; by itself it does not teach it a new task. |
# | `memory_follows_the_share` | Training 1 % of the parameters needs about 1 % of the memory of training all of them. |
# | `state_follows_the_trained` | AdamW, given only the trained parameters, keeps two moments for these and no others. |
# | `frozen_is_not_computed` | Freezing 99 % of a model saves about 99 % of the computation of a forward pass. |
# | `backward_stops_early` | If only the last two blocks and the head train, no gradient is needed below those blocks. |
# | `bitfit_moves_matrices` | BitFit trains the biases and, inside the encoder, the attention matrices as well. |
# | `prompts_can_be_merged` | A trained soft prompt can be merged into the weights, so that inference costs no more. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "optimiser_chooses",
        "pruning_compresses",
        "memory_follows_the_share",
        "state_follows_the_trained",
        "frozen_is_not_computed",
        "backward_stops_early",
        "bitfit_moves_matrices",
        "prompts_can_be_merged",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # An optimiser says how parameters move. Which ones do is decided by what it is given and by requires_grad.
    optimiser_chooses=False,
    # It removes the smallest weights; whatever is learnt is learnt by the training before or after.
    pruning_compresses=True,
    # Gradients and optimiser state shrink like that. All weights stay, and activations on the way back to what trains.
    memory_follows_the_share=False,
    # Its state is made for parameters that it updates, so it shrinks with them: 8 bytes for each one in 32 bits.
    state_follows_the_trained=True,
    # Frozen layers compute what they always did. Gradients and optimiser state are saved.
    frozen_is_not_computed=False,
    # Gradients flow from the loss down to the lowest trained parameter; what lies below gets none.
    backward_stops_early=True,
    # Inside the encoder only bias vectors move, about 0.1 % of the parameters (Ben Zaken et al., 2022).
    bitfit_moves_matrices=False,
    # It is a sequence of extra input vectors; they take up positions in every forward pass.
    prompts_can_be_merged=False,
)
### END SOLUTION

# %% [markdown]
# ## The code, part 1: on paper
#
# Write `trainable_parameters(spec, method, *, rank=8, targets=("q", "v"), bottleneck=64, n_tokens=20)`. It returns the
# number of trained parameters, an `int`, for an encoder of this architecture (d is `d_model`, f is `d_ff`):
#
# | part | what it is made of |
# |---|---|
# | embeddings | tokens `(vocab_size, d)` and learned positions `(max_len, d)`, no bias |
# | each of the `n_layers` layers | projections q, k, v, o, each d → d with bias |
# | | feed-forward `ffn_in`, d → f, and `ffn_out`, f → d, both with bias |
# | | two LayerNorms, each with weight and bias of width d |
# | after the last layer | one more LayerNorm |
# | head | one linear layer d → `n_classes` with bias |
#
# The head is new and is trained by **every** method, weight and bias. Besides the head:
#
# | `method` | what is trained |
# |---|---|
# | `"full"` | everything |
# | `"linear_probe"` | nothing more |
# | `"bitfit"` | every bias vector of the encoder, those of the LayerNorms included |
# | `"lora"` | in each layer, for each of the `targets`, two factors `(rank, in)` and `(out, rank)` without bias |
# | `"adapter"` | two adapters a layer; each goes d → `bottleneck` → d with biases |
# | `"prompt"` | `n_tokens` vectors of width d, at the input only |
# | `"prefix"` | in each layer, `n_tokens` vectors of width d for the keys and as many for the values |
# | `"ia3"` | in each layer, scaling vectors for keys and values (width d) and inner activations (width f) |
#
# Of `"lora"` it is enough to know here that the product of the two factors is added to the frozen matrix;
# `transfer/lora` builds it.
#
# - `targets` is a list or tuple of names out of q, k, v, o, `ffn_in`, `ffn_out`.
# - `ValueError` for an unknown method; with `"lora"` for empty `targets`, an unknown or a repeated one.
# - The options `rank` (for `"lora"`), `bottleneck` (for `"adapter"`), `n_tokens` (for `"prompt"` and `"prefix"`) are
#   positive integers: `TypeError` for anything but an `int` (a `bool` does not count as one), `ValueError` below 1. The
#   function `check_size` in the next cell does that; the sizes in `spec` have been checked by it already. Options that
#   a method does not use need no check.
#
# **Worked example.** `TransformerSpec(d_model=4, n_layers=1, d_ff=8, vocab_size=10, max_len=6, n_classes=3)`: the head
# has 4 · 3 + 3 = 15 parameters. Embeddings 64, projections 80, feed-forward 40 + 36, three LayerNorms 24: `"full"` is
# 259. `"lora"` with `rank=2, targets=("ffn_in",)` trains 2 · (4 + 8) + 15 = 39.


# %%
def check_size(name: str, value: object) -> None:
    """Raise TypeError unless value is an int (and no bool), ValueError unless it is at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class TransformerSpec:
    """Sizes of a transformer encoder with a classification head."""

    d_model: int
    n_layers: int
    d_ff: int
    vocab_size: int
    max_len: int
    n_classes: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_size(name, value)


# %% tags=["solution"]
def trainable_parameters(
    spec: TransformerSpec,
    method: str,
    *,
    rank: int = 8,
    targets: Collection[str] = ("q", "v"),
    bottleneck: int = 64,
    n_tokens: int = 20,
) -> int:
    """Count the parameters that a fine-tuning method trains in a transformer encoder, head included.

    Methods: full; linear_probe; bitfit (Ben Zaken et al., 2022); lora (Hu et al., 2022); adapter (Houlsby et al.,
    2019); prompt (Lester et al., 2021); prefix (Li and Liang, 2021); ia3 (Liu et al., 2022).
    Raises ValueError for an unknown method, unknown, repeated or missing targets, or an option below 1; TypeError for
    an option that is not an int.
    """
    ### BEGIN SOLUTION
    d, f, layers = spec.d_model, spec.d_ff, spec.n_layers
    head = d * spec.n_classes + spec.n_classes
    if method == "full":
        embeddings = (spec.vocab_size + spec.max_len) * d
        projections = 4 * (d * d + d)
        feed_forward = (d * f + f) + (f * d + d)
        norm = 2 * d
        return embeddings + layers * (projections + feed_forward + 2 * norm) + norm + head
    if method == "linear_probe":
        return head
    if method == "bitfit":
        biases = 4 * d + (f + d) + 2 * d  # projections, feed-forward, two norms
        return layers * biases + d + head  # and the last norm
    if method == "lora":
        check_size("rank", rank)
        # rows + columns of each matrix, since its factors are (rank, in) and (out, rank)
        perimeter = {"q": d + d, "k": d + d, "v": d + d, "o": d + d, "ffn_in": d + f, "ffn_out": f + d}
        if not targets or len(set(targets)) < len(targets) or not set(targets) <= perimeter.keys():
            raise ValueError(f"targets must be different names out of {', '.join(perimeter)}, got {targets!r}")
        return layers * sum(rank * perimeter[target] for target in targets) + head
    if method == "adapter":
        check_size("bottleneck", bottleneck)
        adapter = (d * bottleneck + bottleneck) + (bottleneck * d + d)
        return layers * 2 * adapter + head
    if method == "prompt":
        check_size("n_tokens", n_tokens)
        return n_tokens * d + head
    if method == "prefix":
        check_size("n_tokens", n_tokens)
        return layers * 2 * n_tokens * d + head  # keys and values
    if method == "ia3":
        return layers * (d + d + f) + head  # keys, values, inner activations
    raise ValueError(f"unknown method {method!r}")
    ### END SOLUTION


# %% [markdown]
# ## The code, part 2: on a real model
#
# Write `select_trainable(model, policy, head_prefixes=("head",), n_last=None)`. It sets `requires_grad` of **every**
# parameter of `model`, whatever it was before, and returns a dict.
#
# | `policy` | what is trained besides the head |
# |---|---|
# | `"full"` | everything |
# | `"head"` | nothing more |
# | `"bias"` | every parameter, of whatever module, whose name ends with `bias` |
# | `"norm"` | all parameters of normalisation layers, which are the instances of the classes in `NORM_CLASSES` |
# | `"last_n"` | all parameters of the last `n_last` modules in the list `model.encoder.layers` |
#
# - The **head** is made of the parameters inside the modules named in `head_prefixes`: their qualified name is the
#   prefix or begins with the prefix and a dot. The prefix `head` covers `head.weight` and `head.0.bias`, not
#   `header.weight`.
# - A **tied** parameter, the same object under several names, is one parameter. It is trained if any of its names says
#   so, and it counts once.
#
# | key | value |
# |---|---|
# | `"trainable"`, `"total"` | how many numbers the trained parameters, and all parameters, have; buffers do not count |
# | `"ratio"` | trained share of the total, a float, above 0 and at most 1 |
# | `"names"` | sorted list of the names of the trained parameters, each once, as in `model.named_parameters()` |
#
# - `ValueError` for an unknown policy, if no parameter belongs to the head (whatever the policy), and with `"last_n"`
#   if `n_last` is `None`, below 1 or above the number of layers. Other policies ignore `n_last`.
#
# Write `optimizer_state_bytes(optimizer)`, the memory of an optimiser's state: the bytes of all tensors in
# `optimizer.state[parameter]`, over all parameters in `optimizer.state`, without those under the key `"step"`, the step
# counters. Entries that are no tensors do not count. A new optimiser has 0.
#
# **Forbidden:** the library `peft`. Everything in PyTorch is allowed, except that you must not change what an optimiser
# holds.

# %%
NORM_CLASSES = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


# %% tags=["solution"]
def select_trainable(
    model: nn.Module, policy: str, head_prefixes: Collection[str] = ("head",), n_last: int | None = None
) -> dict[str, int | float | list[str]]:
    """Set requires_grad of all parameters by a policy: "full", "head", "bias", "norm" or "last_n".

    Returns {"trainable": int, "total": int, "ratio": float, "names": list of str}.
    Raises ValueError for an unknown policy, a head without parameters, or n_last out of range.
    """
    ### BEGIN SOLUTION
    named = list(model.named_parameters(remove_duplicate=False))  # a tied parameter comes under each of its names
    inside = tuple(f"{prefix}." for prefix in head_prefixes)
    trained = {parameter for name, parameter in named if name in head_prefixes or name.startswith(inside)}
    if not trained:
        raise ValueError(f"no parameter belongs to the head {head_prefixes!r}")
    if policy == "full":
        trained.update(model.parameters())
    elif policy == "bias":
        trained.update(parameter for name, parameter in named if name.endswith("bias"))
    elif policy == "norm":
        for module in model.modules():
            if isinstance(module, NORM_CLASSES):
                trained.update(module.parameters())
    elif policy == "last_n":
        layers = model.encoder.layers
        if n_last is None or not 1 <= n_last <= len(layers):
            raise ValueError(f"n_last must be from 1 to {len(layers)}, got {n_last}")
        for layer in layers[len(layers) - n_last :]:
            trained.update(layer.parameters())
    elif policy != "head":
        raise ValueError(f"unknown policy {policy!r}")

    for parameter in model.parameters():
        parameter.requires_grad_(parameter in trained)
    trainable = sum(parameter.numel() for parameter in trained)
    total = sum(parameter.numel() for parameter in model.parameters())
    names = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return {"trainable": trainable, "total": total, "ratio": trainable / total, "names": names}
    ### END SOLUTION


def optimizer_state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of all tensors in the optimiser's state, its step counters left out."""
    ### BEGIN SOLUTION
    return sum(
        value.numel() * value.element_size()
        for entries in optimizer.state.values()
        for key, value in entries.items()
        if key != "step" and isinstance(value, torch.Tensor)
    )
    ### END SOLUTION


# %% [markdown]
# **Try it.** A small encoder on paper, and a small model with a BatchNorm.

# %% tags=["visible-checks", "active-ipynb"]
# spec = TransformerSpec(d_model=6, n_layers=2, d_ff=10, vocab_size=20, max_len=5, n_classes=4)
# assert trainable_parameters(spec, "full") == 846
# assert trainable_parameters(spec, "linear_probe") == 28
# assert trainable_parameters(spec, "lora", rank=3, targets=["q", "ffn_out"]) == 196
#
# model = nn.Sequential()
# model.add_module("body", nn.Linear(3, 5))
# model.add_module("norm", nn.BatchNorm1d(5))
# model.add_module("head", nn.Linear(5, 2))
# report = select_trainable(model, "bias")
# assert report["names"] == ["body.bias", "head.bias", "head.weight", "norm.bias"], report["names"]
# assert (report["trainable"], report["total"]) == (22, 42), report
# assert abs(report["ratio"] - 22 / 42) < 1e-12
#
# optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
# assert optimizer_state_bytes(optimizer) == 0
# model(torch.randn(4, 3)).sum().backward()
# optimizer.step()
# assert optimizer_state_bytes(optimizer) == 8 * 22  # two moments of 4 bytes for each trained number

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Calling `select_trainable` with one policy and then with another must give the same as calling it with the second
# alone. The trained numbers of a policy never exceed the total, and an AdamW that got the trained parameters keeps
# 8 bytes for each of their numbers in 32 bits. Which of these can your code break?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A matrix from `in` to `out` has in · out numbers, and a low-rank pair next to it rank · (in + out). On a real model,
# what is trained is a set of parameter *objects*, chosen by names or by modules; the names are many, the objects count.
# PyTorch's documentation of `named_parameters` says what happens to an object with two names.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# On paper: one product for each matrix, one width for each vector, times the number of layers, plus the head. On the
# model: start the set with the head; add to it what the policy asks for; then walk over all parameters once and set
# every flag to whether the parameter is in the set. Count from the same set. For the state: over the parameters, over
# their entries, leave out the counters, add numbers of elements times bytes of an element.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# names_and_objects = list(model.named_parameters(remove_duplicate=False))
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Neil Houlsby, Andrei Giurgiu, Stanislaw Jastrzebski, et al. (2019). *Parameter-Efficient Transfer Learning for NLP.*
# - Brian Lester, Rami Al-Rfou, Noah Constant (2021). *The Power of Scale for Parameter-Efficient Prompt Tuning.*
# - Xiang Lisa Li, Percy Liang (2021). *Prefix-Tuning: Optimizing Continuous Prompts for Generation.*
# - Elad Ben Zaken, Yoav Goldberg, Shauli Ravfogel (2022). *BitFit: Simple Parameter-efficient Fine-tuning for
#   Transformer-based Masked Language-models.*
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
# - Haokun Liu, Derek Tam, Mohammed Muqeeth, et al. (2022). *Few-Shot Parameter-Efficient Fine-Tuning is Better and
#   Cheaper than In-Context Learning.* The method is called (IA)³.
#
# The other works behind the model answer are listed there, in the solution.
