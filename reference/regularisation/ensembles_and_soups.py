# %% [markdown]
# # Ensembles and model soups
#
# A search for learning rates leaves a handful of fine-tuned models behind, and usually all but one are thrown away.
# They can be put to use together in two ways: average their *predictions*, which costs a forward pass for each of them,
# or average their *weights*, which costs nothing at inference and works only under a condition. Both are often
# recommended against overfitting, and promise more than they keep. Here you answer the interview question in your own
# words, judge eight claims about it, and write the ensemble, the uniform soup and the greedy soup.
#
# Plan about 45 minutes: 10 for the answer, 5 for the claims, 30 for the code.

# %%
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

# %% [markdown]
# ## The question
#
# *"How do you limit overfitting when you fine-tune a multimodal model? You have trained it several times: can the runs
# help each other?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *diagnosis and data*: how you see overfitting, and what you do about the data, the pairs included;
# - *less room, less time, more noise*: what you freeze or stop, and which regularisers you use with which optimiser;
# - *averaging*: predictions against weights, what each costs, what each needs, and what neither of them does;
# - *limits*: a remedy on the usual lists that you would not count on, and what is particular to several modalities.

# %% [markdown] tags=["answer"]
# **Model answer.** "I look at training and validation curves first, on a split without near-duplicates. Then come the
# data: more of them, cleaner, deduplicated. Augmentation must keep a pair true; swapping words of a caption at random
# turns a red car into a blue one while the picture stays red.
#
# Next I give the model less room and less time: frozen layers or low-rank adapters, low rates, few epochs, early
# stopping on a validation metric. Dropout, label smoothing and stochastic depth add noise. With Adam I use decoupled
# weight decay, since an L2 penalty in the loss is divided by Adam's running scale and shrinks weights with large
# gradients less.
#
# Several runs can help each other. An ensemble averages the predicted probabilities; its variance is lower, its
# log-likelihood is never worse than the members' mean, and its calibration is often better. The price is one forward
# pass a member, and the members still overfit, each in its own way. Averaging weights costs one model at inference.
# SWA averages along one run; a soup averages runs that started from the same pretrained weights and differ in rates,
# seeds or augmentation. That works where they lie in one basin of the loss; networks from different random starts do
# not. The greedy soup adds a run only when the score on held-out data does not fall. WiSE-FT averages fine-tuned and
# pretrained weights and keeps more of the accuracy on shifted data. Whatever I chose with the validation data, I report
# on a test set.
#
# I would not count on adversarial training as a plain remedy: it can overfit robustly itself, and clean accuracy often
# falls. And with several modalities the model may lean on the easier one, so I drop modalities at random and check what
# is left with one of them alone."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, diagnosis and data: curves on a clean split; more, cleaner or deduplicated data; augmentation that keeps
#   image and text in agreement, with an example of what breaks it.
# - 1 point, room, time and noise: two of freezing or adapters, few epochs, early stopping; and dropout or label
#   smoothing; weight decay that is decoupled when the optimiser is Adam.
# - 1 point, averaging: predictions cost one forward pass a member, weights one model; weights need a common start; an
#   ensemble lowers variance while its members still overfit. SWA, WiSE-FT and the greedy rule are welcome here.
# - 1 point, limits: adversarial training or another listed remedy doubted with a reason; modality dropout or a check
#   of the single modalities. The test set kept out of every choice is welcome here.
#
# **References of the model answer**
#
# - Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry P. Vetrov, Andrew Gordon Wilson (2018). *Averaging
#   Weights Leads to Wider Optima and Better Generalization.*
# - Balaji Lakshminarayanan, Alexander Pritzel, Charles Blundell (2017). *Simple and Scalable Predictive Uncertainty
#   Estimation using Deep Ensembles.*
# - Ilya Loshchilov, Frank Hutter (2019). *Decoupled Weight Decay Regularization.*
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). *ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.*
# - Leslie Rice, Eric Wong, J. Zico Kolter (2020). *Overfitting in adversarially robust deep learning.*
# - Nitish Srivastava, Geoffrey Hinton, Alex Krizhevsky, Ilya Sutskever, Ruslan Salakhutdinov (2014). *Dropout: A Simple
#   Way to Prevent Neural Networks from Overfitting.*
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
# | `members_stop_overfitting` | Averaging the predictions of several models stops its members from overfitting. |
# | `best_or_better` | On the data that it was searched with, a greedy soup scores no worse than its best member. |
# | `different_starts` | Weights of two networks trained from different random starts can usually be averaged well. |
# | `random_words` | Replacing words of a caption at random can turn a matching image-text pair into a mismatch. |
# | `robust_overfitting` | Adversarial training can overfit: robust test accuracy may fall while training goes on. |
# | `likelihood_of_the_mean` | On no sample is the log loss of averaged probabilities above its mean over members. |
# | `soup_is_ensemble` | In a network with ReLU layers, a soup's logits equal the mean of its members' logits. |
# | `chosen_score_is_fair` | On the data that chose its members, a greedy soup's accuracy has no upward bias. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "members_stop_overfitting",
        "best_or_better",
        "different_starts",
        "random_words",
        "robust_overfitting",
        "likelihood_of_the_mean",
        "soup_is_ensemble",
        "chosen_score_is_fair",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # The members are trained as before and each overfits as before; the mean of their predictions has less variance.
    members_stop_overfitting=False,
    # It starts from the best one, and whatever would lower the score is left out.
    best_or_better=True,
    # Their hidden units do not correspond to each other. Soups work for runs from one pretrained start, which stay in
    # one region of low loss (Wortsman et al. 2022).
    different_starts=False,
    # "A red car" becomes "a blue car", and the picture stays red.
    random_words=True,
    # Observed on several data sets by Rice, Wong & Kolter (2020), who recommend early stopping against it.
    robust_overfitting=True,
    # -log is convex, so -log of a mean is at most the mean of -log (Jensen's inequality).
    likelihood_of_the_mean=True,
    # True for a linear model only; behind a ReLU the output is not linear in the weights.
    soup_is_ensemble=False,
    # It was selected to be high on these very data, so part of it is luck; report on a test set.
    chosen_score_is_fair=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write three functions. A *state* is what `model.state_dict()` gives: a dict from names to tensors. All states of a
# call come from one architecture and have the same dtypes.
#
# **`ensemble_probs(logits, mode="prob")`.** `logits` is a list of tensors `(samples, classes)`, one a member, floating,
# with one dtype. The result has the same shape and dtype, and its rows are probabilities.
#
# - `mode="prob"`: the mean over the members of their softmax probabilities.
# - `mode="logit"`: the softmax of the mean over the members of their logits.
# - Logits of ±10000 give finite and accurate results.
#
# **`uniform_soup(states)`.** A new dict with the names of the states.
#
# - Every floating tensor, running statistics included, is the mean of all states' tensors of this name, in the same
#   dtype. 16-bit tensors are averaged in float32 and converted back at the end, so that even values near the largest
#   number of the dtype are right.
# - Tensors of integers or booleans, such as `num_batches_tracked`, are copied from the first state.
#
# **`greedy_soup(states, evaluate)`.** `evaluate(state)` returns a Python float, higher is better, the same for equal
# states; it may be called any number of times. The result is a pair `(state, used)`:
#
# 1. Order the states by their own score from high to low; equal scores in the order of the list.
# 2. Begin with the first of this order. Its score is the best score so far.
# 3. For each further state: take the uniform soup of all members so far and this one. If its score is **at least** the
#    best score so far, the state becomes a member and this score the best so far; otherwise it is left out for good.
# 4. `used` is the list of the members' positions in `states`, in the order in which they joined. `state` is the uniform
#    soup of them in this order, so that its integer tensors are those of `used[0]`.
#
# Rules for all three:
#
# - Results share no memory with the arguments, even if there is a single state, and arguments stay unchanged.
# - float64 is computed in float64.
# - `ValueError` for an empty list, for another `mode`, for logits that are not of two dimensions or differ in shape,
#   for states that differ in their names or in the shape of a tensor, and for a score that is NaN, whether of a single
#   state or of a soup.
# - **Forbidden:** the module `torch.optim.swa_utils`. The rest of PyTorch is allowed.
#
# **Worked example.** Two members and one sample with the probabilities (0.9, 0.1) and (0.4, 0.6): the ensemble predicts
# (0.65, 0.35). With the mean of the logits the odds are the geometric mean of 9 and 2/3, which is 2.449, so the
# probabilities are (0.71, 0.29).
#
# Four states with the scores 0.70, 0.80, 0.75, 0.80 are tried in the order 1, 3, 2, 0:
#
# | soup tried | score | best so far | decision |
# |---|---|---|---|
# | 1 | | 0.80 | the start |
# | 1, 3 | 0.82 | 0.80 | joins |
# | 1, 3, 2 | 0.81 | 0.82 | left out |
# | 1, 3, 0 | 0.82 | 0.82 | joins, a tie is enough |
#
# The result is the mean of the states 1, 3 and 0, and `used` is `[1, 3, 0]`.


# %% tags=["solution"]
def ensemble_probs(logits: Sequence[Tensor], mode: str = "prob") -> Tensor:
    """Probabilities of an ensemble (Lakshminarayanan et al. 2017).

    logits: one floating tensor (samples, classes) for each member.
    mode: "prob" averages probabilities, "logit" averages logits.

    Returns a tensor (samples, classes) in the dtype of the logits; its rows sum to 1.
    Raises ValueError for no member, an unknown mode, or logits that are not (samples, classes), all alike.
    """
    ### BEGIN SOLUTION
    if mode not in ("prob", "logit"):
        raise ValueError(f'mode must be "prob" or "logit", not {mode!r}')
    if len(logits) == 0:
        raise ValueError("an ensemble has at least one member")
    if any(member.ndim != 2 or member.shape != logits[0].shape for member in logits):
        raise ValueError(f"expected logits (samples, classes), not {[tuple(member.shape) for member in logits]}")

    dtype = logits[0].dtype
    stacked = torch.stack(list(logits))  # (members, samples, classes)
    stacked = stacked.to(torch.promote_types(dtype, torch.float32))
    if mode == "prob":
        probs = stacked.softmax(dim=-1).mean(dim=0)  # (samples, classes)
    else:
        probs = stacked.mean(dim=0).softmax(dim=-1)  # (samples, classes)
    return probs.to(dtype)
    ### END SOLUTION


# %% tags=["solution"]
def uniform_soup(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of models that were fine-tuned from one start (Wortsman et al. 2022).

    states: state dicts with the same names, shapes and dtypes.

    Returns a new state: floating tensors are averaged (16-bit ones in float32), others copied from the first state.
    Raises ValueError for no state, or for states that differ in names or shapes.
    """
    ### BEGIN SOLUTION
    if len(states) == 0:
        raise ValueError("a soup needs at least one state")
    for state in states:
        if state.keys() != states[0].keys():
            raise ValueError(f"names differ: {sorted(state.keys() ^ states[0].keys())}")
        for name, tensor in state.items():
            if tensor.shape != states[0][name].shape:
                raise ValueError(f"{name} has the shapes {tuple(tensor.shape)} and {tuple(states[0][name].shape)}")

    soup = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            stacked = torch.stack([state[name] for state in states])  # (states, ...)
            wide = torch.promote_types(first.dtype, torch.float32)
            soup[name] = stacked.to(wide).mean(dim=0).to(first.dtype)
        else:
            soup[name] = first.clone()
    return soup
    ### END SOLUTION


# %% tags=["solution"]
def greedy_soup(
    states: Sequence[Mapping[str, Tensor]], evaluate: Callable[[Mapping[str, Tensor]], float]
) -> tuple[dict[str, Tensor], list[int]]:
    """Add models to a soup, best first, as long as its score does not fall (Wortsman et al. 2022).

    states: state dicts with the same names, shapes and dtypes.
    evaluate: score of a state on held-out data, higher is better.

    Returns the uniform soup of the members and their positions in `states`, in the order in which they joined.
    Raises ValueError for no state, states that differ in names or shapes, or a score that is NaN.
    """
    ### BEGIN SOLUTION

    def score_of(state: Mapping[str, Tensor]) -> float:
        score = evaluate(state)
        if math.isnan(score):
            raise ValueError("a score is NaN")
        return score

    uniform_soup(states)  # refuses states that do not fit together, before anything is evaluated
    scores = [score_of(state) for state in states]
    order = sorted(range(len(states)), key=lambda position: -scores[position])  # stable: ties stay in order
    used, best = order[:1], scores[order[0]]
    for position in order[1:]:
        score = score_of(uniform_soup([states[member] for member in [*used, position]]))
        if score >= best:
            used.append(position)
            best = score
    return uniform_soup([states[member] for member in used]), used
    ### END SOLUTION


# %% [markdown]
# **Try it.**

# %% tags=["visible-checks", "active-ipynb"]
# members = [torch.tensor([[0.5, 0.5], [0.2, 0.8]]).log(), torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log()]
# torch.testing.assert_close(ensemble_probs(members), torch.tensor([[0.7, 0.3], [0.4, 0.6]]))
# torch.testing.assert_close(ensemble_probs(members, "logit")[0], torch.tensor([0.75, 0.25]))  # odds: root of 1 * 9
#
# first = {"weight": torch.tensor([1.0, 2.0]), "steps": torch.tensor(4)}
# second = {"weight": torch.tensor([5.0, 2.0]), "steps": torch.tensor(9)}
# soup = uniform_soup([first, second])
# torch.testing.assert_close(soup["weight"], torch.tensor([3.0, 2.0]))
# assert soup["steps"].dtype == torch.int64 and soup["steps"] == 4, "integers come from the first state"
#
# scores = {1.0: 0.5, 5.0: 0.75, 3.0: 0.625}  # of the states whose first weight is 1, 5, and their mean
# state, used = greedy_soup([first, second], lambda state: scores[state["weight"][0].item()])
# assert used == [1], f"used is {used}; the soup of both scores less than state 1 alone"
# assert state["weight"].tolist() == [5.0, 2.0] and state["steps"] == 9

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Give every member the same logits, and every run the same weights: what should an ensemble and a soup return? And with
# the members in another order? Which of your three functions may depend on the order of its list?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Averaging and softmax do not commute, so the mode says which comes first. A soup's members all weigh the same however
# late they join: it is the mean of all of them, not the mean of the last soup and the newcomer. A greedy search keeps
# two things: who is in, and the best score so far.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Ensemble: stack the members along a new first dimension; take softmax and mean over the right dimensions in the order
# that the mode names. Uniform soup: compare names and shapes; for each name stack and average, or copy. Greedy soup:
# score all, order the positions, start with the first; for each further one make the soup of members and candidate from
# the original states, score it, compare with the best so far; at the end make the soup of the members.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# candidate = uniform_soup([states[member] for member in [*used, position]])
# ```
#
# </details>
#
# ## References
#
# - Balaji Lakshminarayanan, Alexander Pritzel, Charles Blundell (2017). *Simple and Scalable Predictive Uncertainty
#   Estimation using Deep Ensembles.* NIPS 2017.
# - Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry P. Vetrov, Andrew Gordon Wilson (2018). *Averaging
#   Weights Leads to Wider Optima and Better Generalization.* UAI 2018.
# - Mitchell Wortsman, Gabriel Ilharco, Samir Yitzhak Gadre, et al. (2022). *Model soups: averaging weights of multiple
#   fine-tuned models improves accuracy without increasing inference time.* ICML 2022.
