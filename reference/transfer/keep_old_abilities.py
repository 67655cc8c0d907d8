# %% [markdown]
# # Keeping old abilities: weight interpolation
#
# A pretrained vision-language model recognises sketches, paintings and photos from other cameras. Fine-tune it on one
# task, and accuracy on that task rises while part of this breadth is lost, often without anybody measuring it. One of
# the cheapest remedies needs no training at all: move back part of the way, in a straight line through the weights.
# Here you answer the interview question in your own words, judge eight claims about it, and write the interpolation and
# the choice of how far to go.
#
# Plan about 35 minutes: 10 for the answer, 5 for the claims, 20 for the code.

# %%
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# %% [markdown]
# ## The question
#
# *"You fine-tune a pretrained multimodal model for one task. How do you get the accuracy there without losing what the
# model could do before?"*
#
# Answer in the next cell as you would say it aloud, in about ten sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# - *what is lost*: what fine-tuning does to accuracy on other data, and how you would see it;
# - *averaging weights*: what is averaged with what, what it costs, and when it works;
# - *during training*: at least two ways to train so that less is lost, and how they work;
# - *choosing*: on which data you choose, by which rule, and what you report.

# %% [markdown] tags=["answer"]
# **Model answer.** "Fine-tuning raises accuracy on data like the training data and can lower it on shifted data and on
# other tasks; in the extreme that is called catastrophic forgetting. A validation set of the target task cannot show
# this, so I keep a fixed set of old abilities: zero-shot classification, retrieval, shifted versions of the target
# data. I measure it before and after.
#
# The cheapest remedy comes after training. WiSE-FT interpolates in a straight line between the weights before and after
# fine-tuning. It costs one model at inference, and along the line accuracy on shifted data often rises well above both
# ends while the target loses little. It works because the fine-tuned weights stay near their start; between models of
# unrelated starts there is usually a barrier. Model soups average several fine-tuned runs in the same way. This is not
# an ensemble: with more than one layer the outputs do not follow the line.
#
# I can also lose less during training. Training the head alone first and everything afterwards keeps a random head from
# distorting the features. FLYP fine-tunes with the contrastive loss of pretraining. L2-SP and EWC pull the weights back
# to their start, EWC harder where they mattered; replay mixes in old data. Low-rank updates learn less and forget less.
#
# I choose how far to go on validation data, shifted ones when I have them, and by a rule that I state beforehand:
# for instance the best shifted accuracy among the models that lose at most half a point on the target. I report both
# accuracies, and the test sets play no part in the choice."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, what is lost: target accuracy rises, accuracy on shifted data or other tasks can fall; measured on a set of
#   old abilities, before and after.
# - 1 point, averaging weights: the line between the weights before and after fine-tuning (WiSE-FT), or several runs of
#   one start (soups); one model at inference; it needs the common start. That it is no ensemble is welcome here.
# - 1 point, during training: two of probe first and then fine-tune, the loss of pretraining, L2-SP or EWC, replay,
#   low-rank updates or a small rate for the backbone, each with how it keeps old abilities.
# - 1 point, choosing: validation data, shifted ones if possible; a rule or constraint stated beforehand; both
#   accuracies reported, and no choice on a test set.
#
# **References of the model answer**
#
# - Dan Biderman, Jacob Portes, Jose Javier Gonzalez Ortiz, et al. (2024). *LoRA Learns Less and Forgets Less.*
# - Sachin Goyal, Ananya Kumar, Sankalp Garg, Zico Kolter, Aditi Raghunathan (2023). *Finetune like you pretrain:
#   Improved finetuning of zero-shot vision models.* (FLYP)
# - James Kirkpatrick, Razvan Pascanu, Neil Rabinowitz, et al. (2017). *Overcoming catastrophic forgetting in neural
#   networks.* (EWC)
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution.*
# - Xuhong Li, Yves Grandvalet, Franck Davoine (2018). *Explicit Inductive Bias for Transfer Learning with Convolutional
#   Networks.* (L2-SP)
# - Michael McCloskey, Neal J. Cohen (1989). *Catastrophic Interference in Connectionist Networks: The Sequential
#   Learning Problem.*
# - Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, et al. (2022). *Robust fine-tuning of zero-shot models.*
#   (WiSE-FT)
# - Mitchell Wortsman, Gabriel Ilharco, Samir Yitzhak Gadre, et al. (2022). *Model soups: averaging weights of multiple
#   fine-tuned models improves accuracy without increasing inference time.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. All of them must be right for the 3
# points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `better_everywhere` | A model that fine-tuning improved on its task is at least as good as before on other data. |
# | `same_as_logits` | For any network, averaging two models' weights gives the average of their logits. |
# | `linear_agrees` | For linear classifiers of the same features, averaging weights averages the logits. |
# | `any_checkpoint` | Any two checkpoints of one architecture can be interpolated without a loss of accuracy. |
# | `chosen_on_shift` | A model chosen for its accuracy on a shifted test set has an optimistic score there. |
# | `target_is_enough` | Validation accuracy on the target task shows how much of the old abilities was lost. |
# | `random_head_distorts` | Training all weights at once behind a random head can distort pretrained features. |
# | `replay_helps` | Mixing general data into the fine-tuning data is a way to forget less. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "better_everywhere",
        "same_as_logits",
        "linear_agrees",
        "any_checkpoint",
        "chosen_on_shift",
        "target_is_enough",
        "random_head_distorts",
        "replay_helps",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Accuracy on shifted data and on other tasks can fall while the target rises (Wortsman et al. 2022).
    better_everywhere=False,
    # With two layers the output is not linear in the weights, ReLU or not; the demonstration below measures the gap.
    same_as_logits=False,
    # The logits W x + b are linear in W and b, so mean weights give mean logits.
    linear_agrees=True,
    # From unrelated starts the same unit does different work in each, and in between there is usually a barrier.
    any_checkpoint=False,
    # It was picked for being high on these very data; another sample of the shift tells what it is worth.
    chosen_on_shift=True,
    # It looks at the target only. Old abilities need a set of their own, measured before and after.
    target_is_enough=False,
    # Large gradients of the wrong head reach the backbone first (Kumar et al. 2022).
    random_head_distorts=True,
    # What is still trained on is forgotten less; the price is training time and access to such data.
    replay_helps=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# A *state* is what `model.state_dict()` gives, a mapping from names to tensors. Both states of a call are of one
# architecture and have the same dtypes; all floating values are finite, and no tensor is complex.
#
# **`interpolate_weights(zero_shot, fine_tuned, alpha)`** returns a new dict, the state at the part `alpha` of the way
# from the model before fine-tuning to the one after it. `alpha` is a Python number from 0 to 1.
#
# - Tensors of any floating dtype, running statistics included: `(1 - alpha) * zero_shot + alpha * fine_tuned`, in the
#   dtype of the tensor. 16-bit tensors (float16, bfloat16) are computed in float32 or wider and rounded once, at the
#   end; float64 is computed in float64.
# - `alpha = 0` and `alpha = 1` give the floating tensors of the one model and of the other exactly: every number is
#   equal (`==`), with no difference of rounding.
# - Tensors of integers or booleans are copied from `fine_tuned`, for every `alpha`, 0 too.
# - The names come in the order of `zero_shot`. The result shares no memory with the arguments, and these stay
#   unchanged; remember that `model.state_dict()` holds the live tensors of the model.
# - `ValueError` if `alpha` is outside [0, 1] or NaN, if the two states differ in their names, or if two tensors of a
#   name differ in shape.
#
# **`pick_alpha(alphas, id_acc, shift_acc, max_id_drop)`** returns one of the numbers in `alphas`, unchanged and as a
# Python float (NumPy's float64 is one too; a tensor or a float32 is not). The three lists of numbers have the same
# length: entry i of `id_acc` and of `shift_acc` is the accuracy at `alphas[i]` on data like the training data ("in
# distribution") and on shifted data.
#
# - Allowed is every alpha whose `id_acc` is at least the largest `id_acc` of the list minus `max_id_drop`: a difference
#   in the unit of the accuracies, whether they are parts of 1 or percent.
# - Among the allowed ones take the highest `shift_acc`; if several share it, the largest alpha of them.
# - `max_id_drop` may be of any size from 0 on. Infinity allows every alpha.
# - `ValueError` if the lists are empty or differ in length, if `alphas` are not strictly increasing or not all in
#   [0, 1], if an accuracy is NaN or infinite, or if `max_id_drop` is negative or NaN.
#
# All of PyTorch is allowed. The checks of `pick_alpha` use accuracies and drops that binary fractions hold exactly, so
# rounding in "largest minus drop" does not matter; `alphas` may be 0, 0.1, 0.2 and so on.
#
# **Worked example.** A weight is 2.0 before and 4.0 after fine-tuning: at `alpha = 0.75` it is 0.25·2 + 0.75·4 = 3.5. A
# counter of 10 before and 25 after is 25 there.
#
# | alpha | `id_acc` | `shift_acc` | allowed with a drop of at most 0.25? |
# |---|---|---|---|
# | 0.0 | 0.250 | 0.500 | no |
# | 0.5 | 0.625 | 0.875 | yes, exactly |
# | 0.8 | 0.875 | 0.750 | yes, the largest |
# | 1.0 | 0.750 | 0.625 | yes |
#
# So 0.5 is picked.


# %% tags=["solution"]
def interpolate_weights(
    zero_shot: Mapping[str, Tensor], fine_tuned: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """Weights on the line from a model before fine-tuning to the model after it (WiSE-FT, Wortsman et al. 2022).

    zero_shot, fine_tuned: states with the same names, shapes and dtypes. alpha: part of the way, in [0, 1].

    Returns a new state in the order of zero_shot: floating tensors interpolated, computed in float32 or wider and
    returned in their own dtype; other tensors copied from fine_tuned.
    Raises ValueError for alpha outside [0, 1] and for states that differ in names or shapes.
    """
    ### BEGIN SOLUTION
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], not {alpha}")
    if zero_shot.keys() != fine_tuned.keys():
        raise ValueError(f"names that only one of the states has: {sorted(zero_shot.keys() ^ fine_tuned.keys())}")

    state = {}
    for name, before in zero_shot.items():
        after = fine_tuned[name]
        if before.shape != after.shape:
            raise ValueError(f"{name} has the shapes {tuple(before.shape)} and {tuple(after.shape)}")
        if before.is_floating_point():
            wide = torch.promote_types(before.dtype, torch.float32)
            # in this form, and not as before + alpha * (after - before), both ends are exact
            mixed = (1 - alpha) * before.to(wide) + alpha * after.to(wide)
            state[name] = mixed.to(before.dtype)
        else:
            state[name] = after.clone()
    return state
    ### END SOLUTION


# %% tags=["solution"]
def pick_alpha(
    alphas: Sequence[float], id_acc: Sequence[float], shift_acc: Sequence[float], max_id_drop: float
) -> float:
    """The alpha of the best accuracy under shift among those that lose little in distribution.

    alphas: strictly increasing, in [0, 1]. id_acc, shift_acc: accuracies at each alpha, finite.
    max_id_drop: how far the id_acc of an allowed alpha may lie below the largest id_acc, at least 0.

    Returns one of alphas, a Python float; of several equally good ones the largest.
    Raises ValueError for empty lists, lists of different lengths, and numbers outside these ranges.
    """
    ### BEGIN SOLUTION
    if not len(alphas) == len(id_acc) == len(shift_acc) or len(alphas) == 0:
        raise ValueError(f"lists of {len(alphas)}, {len(id_acc)} and {len(shift_acc)} entries")
    if not all(0 <= alpha <= 1 for alpha in alphas):
        raise ValueError("alphas must be in [0, 1]")
    if any(later <= earlier for earlier, later in zip(alphas, alphas[1:], strict=False)):
        raise ValueError("alphas must be strictly increasing")
    if not all(math.isfinite(accuracy) for accuracy in [*id_acc, *shift_acc]):
        raise ValueError("accuracies must be finite")
    if not max_id_drop >= 0:
        raise ValueError(f"max_id_drop must be at least 0, not {max_id_drop}")

    floor = max(id_acc) - max_id_drop
    allowed = [i for i in range(len(alphas)) if id_acc[i] >= floor]
    # highest shifted accuracy; a later index is a larger alpha
    best = max(allowed, key=lambda i: (shift_acc[i], i))
    return alphas[best]
    ### END SOLUTION


# %% [markdown]
# **Try it.**

# %% tags=["visible-checks", "active-ipynb"]
# before = {"weight": torch.tensor([1.0, -2.0]), "steps": torch.tensor(3)}
# after = {"weight": torch.tensor([5.0, 2.0]), "steps": torch.tensor(8)}
# state = interpolate_weights(before, after, 0.25)
# torch.testing.assert_close(state["weight"], torch.tensor([2.0, -1.0]))
# assert state["steps"] == 8 and state["steps"].dtype == torch.int64, "integers come from the fine-tuned model"
# assert before["weight"].tolist() == [1.0, -2.0], "the argument was changed"
#
# picked = pick_alpha([0.0, 0.25, 0.5, 1.0], [0.25, 0.5, 0.75, 0.75], [0.75, 0.875, 0.5, 0.25], 0.25)
# assert picked == 0.25, f"picked {picked}; 0.25 loses no more than 0.25 and is best under shift"

# %% [markdown]
# The next cell looks at claims `same_as_logits` and `linear_agrees`. The second model of each pair is the first one
# with every weight moved a little, instead of a real fine-tuning. At three points on the line it compares the outputs
# of the interpolated network with the interpolated outputs and prints the largest difference: nothing but rounding for
# one linear layer; something for two layers, with a ReLU between them and without. In two layers weights are multiplied
# with weights, and the product of two interpolated matrices is not the interpolated product.

# %% tags=["active-ipynb"]
# import copy
#
# from torch import nn
#
# torch.manual_seed(0)
# inputs = torch.randn(200, 4)
# networks = {
#     "one linear layer": nn.Sequential(nn.Linear(4, 3)),
#     "two linear layers": nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 3)),
#     "two layers, a ReLU between": nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)),
# }
# for name, before in networks.items():
#     after, between = copy.deepcopy(before), copy.deepcopy(before)
#     with torch.no_grad():
#         for weight in after.parameters():
#             weight += 0.2 * torch.randn_like(weight)
#         gaps = []
#         for alpha in (0.25, 0.5, 0.75):
#             outputs = (1 - alpha) * before(inputs) + alpha * after(inputs)
#             between.load_state_dict(interpolate_weights(before.state_dict(), after.state_dict(), alpha))
#             gaps.append((between(inputs) - outputs).abs().max().item())
#     print(f"{name}: largest difference {max(gaps):.3f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Both models may be the same: what must every `alpha` return then? And what do `alpha = 0` and `alpha = 1` return? Do
# the tensors that you hand out belong to anybody else?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A state holds parameters and buffers. What is a measured or learned quantity can be mixed; what counts or marks
# something cannot. Products of tensors with a number are new tensors, a plain assignment is not. For the choice of
# alpha: first a constraint, then a goal, then a rule for ties, in this order.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check alpha, names and shapes. For each name: if floating, widen both tensors, take the weighted sum, convert back;
# otherwise copy the fine-tuned one. For alpha: check the lists; compute the lowest accuracy that is allowed; keep the
# indices that reach it; among these take the maximum of the pair (shifted accuracy, alpha).
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# allowed = [i for i in range(len(alphas)) if id_acc[i] >= max(id_acc) - max_id_drop]
# ```
#
# </details>
#
# ## References
#
# - Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, et al. (2022). *Robust fine-tuning of zero-shot models.*
#   CVPR 2022. (WiSE-FT)
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). *Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution.* ICLR 2022.
