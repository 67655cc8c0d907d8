# %% [markdown]
# # Early stopping with the best weights brought back
#
# A fine-tuned model is large and its data set is small, so sooner or later training starts to learn the training
# examples by heart. Early stopping is the cheapest remedy, and it is often half built: it ends training at the first
# bad evaluation, or it stops well and then hands over the weights of the wrong epoch. Here you answer the interview
# question in your own words, judge eight claims about it, and write the part of the answer that can be run.
#
# Plan about 35 minutes: 10 for the answer, 5 for the claims, 20 for the code.

# %%
import copy
import math

import torch
from torch import nn

# %% [markdown]
# ## The question
#
# *"You fine-tune a vision-language model on a few thousand image-text pairs. Which measures do you take against
# overfitting, and how do you know that you need them?"*
#
# Answer in the next cell as you would say it aloud, in about ten sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# 1. how you diagnose;
# 2. how you give the model less room and less time to memorise;
# 3. what penalties, noise and data do;
# 4. what is particular to several modalities.

# %% [markdown] tags=["answer"]
# **Model answer.** First I make sure that what I see is overfitting: I plot training and validation metric over the
# evaluations, on a split grouped by image, user or document. If the same photo sits in both parts, the gap is hidden;
# if the validation data come from elsewhere, the gap is a shift and no regulariser closes it. Then I give the model
# less room: freeze most of it or train low-rank adapters of small rank, with a low rate and one to three epochs. Time
# is limited by early stopping on a validation metric, with a patience because one evaluation is noisy, with a smallest
# improvement that counts, and with a copy of the best weights that is restored at the end. Next come penalties and
# noise: decoupled weight decay, dropout, stochastic depth, label smoothing. An L1 penalty can put weights at exactly
# zero; an L2 penalty shrinks them all and zeroes none. More, cleaner and deduplicated data beat most of this. For pairs
# of modalities, augmentation must keep the pair true: mirror the boxes and the words "left" and "right" with the image,
# or leave the image alone. One modality often overfits before the other, so I drop a modality at random or rebalance
# the gradients. At the end I may average fine-tuned and pretrained weights and replay general data, and I look at the
# test set once.
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, diagnosis: the curves of both parts; a split grouped by image, user or document; overfitting, leakage and
#   distribution shift are told apart; the test set plays no part in any choice.
# - 1 point, less room and time: freezing or low-rank adapters, few epochs; early stopping with patience, least
#   improvement over the *best* value, and the best weights copied and restored.
# - 1 point, penalties, noise and data: L1 gives exact zeros and L2 shrinks; AdamW's decay is decoupled; dropout
#   rescales during training and is off at inference; label smoothing or stochastic depth; more or cleaner data.
# - 1 point, several modalities: augmentation that keeps image, boxes and text consistent; modality dropout or
#   balancing, because modalities overfit at different rates. Weight averaging or replay is welcome here too.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as good advice. All of them must be right for the 3
# points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `sparsity_is_penalised` | L1 and L2 regularisation work by penalising the sparsity of the parameters. |
# | `l1_zeroes_l2_shrinks` | At the minimum, an L1 penalty can put weights at exactly 0; an L2 penalty rarely does. |
# | `patience_is_in_steps` | A patience of 3 waits equally many steps whether you evaluate every 100 or every 1000. |
# | `one_rise_is_enough` | A single rise of the validation loss shows that the model has begun to overfit. |
# | `dropout_rescales` | Inverted dropout of rate p divides kept units by 1 - p in training; at inference it is off. |
# | `adamw_is_adam_with_l2` | AdamW's weight decay makes the updates of Adam on a loss with an L2 penalty added. |
# | `shared_photos_hide_it` | If validation photos are trained on too, early stopping may let memorising go on. |
# | `modalities_differ` | Two modalities in one network may overfit at different rates, so one stop may not suit both. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "sparsity_is_penalised",
        "l1_zeroes_l2_shrinks",
        "patience_is_in_steps",
        "one_rise_is_enough",
        "dropout_rescales",
        "adamw_is_adam_with_l2",
        "shared_photos_hide_it",
        "modalities_differ",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # Both penalise size. Zeros cost nothing under either; L1 even favours them (Tibshirani, 1996).
    sparsity_is_penalised=False,
    # The pull of L1 keeps its strength up to zero and can hold a weight there; the pull of L2 fades with the weight, so
    # it shrinks weights and leaves them apart from zero unless the data pull nowhere.
    l1_zeroes_l2_shrinks=True,
    # Patience counts evaluations: three of them are 300 training steps in the one case and 3000 in the other.
    patience_is_in_steps=False,
    # A validation metric is measured on a finite sample of a noisy run; that is what patience is for (Prechelt, 1998).
    one_rise_is_enough=False,
    # The division keeps the expected activation the same in both modes, so inference needs no change.
    dropout_rescales=True,
    # Adam divides the gradient of the penalty by its running scale; AdamW's decay bypasses that division
    # (Loshchilov and Hutter, 2019).
    adamw_is_adam_with_l2=False,
    # On photos that were trained on, memorising looks like generalising, so the validation metric goes on improving.
    shared_photos_hide_it=True,
    # Observed by Wang, Tran and Feiszli (2020); blending the gradients of the modalities is their remedy.
    modalities_differ=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Complete the class `EarlyStopping`. It is told the validation metric after every evaluation and says when to stop.
#
# ```python
# stopper = EarlyStopping(patience=3, min_delta=0.0, mode="min", restore_best=True)
# stopper.step(value, model)   # bool: True means stop
# stopper.restore(model)       # None
# ```
#
# | attribute | meaning | before the first call |
# |---|---|---|
# | `best_value`, `best_epoch` | metric and index of the last improvement | `None`, `None` |
# | `epoch` | index of the latest call of `step`, counted from 0 | `-1` |
# | `wait` | calls since the last improvement | `0` |
# | `stopped` | whether `step` has said stop | `False` |
#
# Rules for `step`, with `value` a Python float (`loss.item()`):
#
# - `mode="min"`: the value is an improvement when it lies below `best_value - min_delta`; `mode="max"`: when it lies
#   above `best_value + min_delta`. Equality is no improvement. The first finite value always is one.
# - NaN and both infinities are never an improvement. They count as an evaluation like any other.
# - On an improvement `wait` returns to 0 and a copy of the model's whole `state_dict` is kept, including buffers such
#   as the running statistics of batch normalisation. Training changes the weights in place; the copy must not follow.
#   The copy is kept for `restore` even with `restore_best=False`.
# - Otherwise `wait` grows by one, and the answer is "stop" as soon as `wait` reaches `patience`. At that moment the
#   best state goes back into the model, if `restore_best` is set and a state was kept; if none was, the model stays
#   as it is.
# - After the stop, every further call returns `True` and changes nothing, neither the attributes nor the model.
#
# `restore(model)` writes the kept state into the model's own tensors, so that an optimiser holding them works on.
# `model` is usually the one that was trained, but may be another one of the same architecture. `restore` may be called
# at any time and any number of times, and raises `RuntimeError` if no finite value has been seen. Nothing else changes:
# neither the attributes above nor whether the model is in training mode.
#
# `ValueError` for `patience` below 1, for a `min_delta` that is negative or not finite, for a `mode` other than
# `"min"` and `"max"`.
#
# **Forbidden:** ready-made early stopping (`keras.callbacks` and its like). **Accepted:** any way of keeping the copy
# (in memory, as bytes, on the CPU) and either arrangement of the inequality (`best - value > min_delta` is as good: the
# checks use values that binary fractions hold exactly).

# %% [markdown]
# **Worked example**, `patience=2, min_delta=0.25, mode="min"`:
#
# | epoch | value | an improvement must lie below | improvement? | `wait` | returned |
# |---|---|---|---|---|---|
# | 0 | 2.0 | | yes, the first | 0 | `False` |
# | 1 | 1.5 | 1.75 | yes | 0 | `False` |
# | 2 | 1.375 | 1.25 | no | 1 | `False` |
# | 3 | 1.0 | 1.25 | yes | 0 | `False` |
# | 4 | 1.0 | 0.75 | no | 1 | `False` |
# | 5 | 0.75 | 0.75 | no, equality | 2 | `True` |
#
# The model then holds the weights of epoch 3 again, and `best_value` is 1.0, although 0.75 was seen later.


# %% tags=["solution"]
class EarlyStopping:
    """Say when to stop training, and bring the best weights back (Prechelt, 1998).

    Args:
        patience: evaluations in a row without improvement after which to stop, at least 1.
        min_delta: an improvement must exceed the best value by more than this, finite and at least 0.
        mode: "min" for a metric to be small (a loss), "max" for one to be large (an accuracy).
        restore_best: whether `step` puts the best weights back into the model when it says stop.

    Raises:
        ValueError: patience below 1, min_delta negative or not finite, unknown mode.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0, mode: str = "min", restore_best: bool = True) -> None:
        ### BEGIN SOLUTION
        if patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience}")
        if min_delta < 0 or not math.isfinite(min_delta):
            raise ValueError(f"min_delta must be finite and at least 0, got {min_delta}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        self.patience, self.min_delta, self.mode, self.restore_best = patience, min_delta, mode, restore_best
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self.best_state: dict[str, torch.Tensor] | None = None
        self.epoch = -1
        self.wait = 0
        self.stopped = False
        ### END SOLUTION

    def step(self, value: float, model: nn.Module) -> bool:
        """Take in the metric of one evaluation of `model`; return True when training should stop.

        Keeps a copy of the model's state on an improvement; writes it back on the stop if `restore_best` is set.
        """
        ### BEGIN SOLUTION
        if self.stopped:
            return True
        self.epoch += 1

        # improvement: better than the best value so far by more than min_delta, in the direction of mode
        if not math.isfinite(value):
            improved = False
        elif self.best_value is None:
            improved = True
        elif self.mode == "min":
            improved = value < self.best_value - self.min_delta
        else:
            improved = value > self.best_value + self.min_delta

        if improved:
            self.best_value, self.best_epoch = value, self.epoch
            self.wait = 0
            self.best_state = copy.deepcopy(model.state_dict())  # parameters and buffers, detached from the live model
        else:
            self.wait += 1
            self.stopped = self.wait >= self.patience
            if self.stopped and self.restore_best and self.best_state is not None:
                self.restore(model)
        return self.stopped
        ### END SOLUTION

    def restore(self, model: nn.Module) -> None:
        """Write the kept state of the best evaluation into the tensors of `model`.

        Raises RuntimeError if no finite value has been seen.
        """
        ### BEGIN SOLUTION
        if self.best_state is None:
            raise RuntimeError("no finite value has been seen, so there is no state to restore")
        model.load_state_dict(self.best_state)  # copies element by element: the kept state stays independent
        ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# model = nn.Linear(1, 1, bias=False)
# stopper = EarlyStopping(patience=2)
# answers = []
# for weight, loss in [(3.0, 0.75), (5.0, 0.5), (7.0, 0.625), (11.0, 0.5)]:
#     with torch.no_grad():
#         model.weight.fill_(weight)  # stands for an epoch of training, which changes the weights in place
#     answers.append(stopper.step(loss, model))
# assert answers == [False, False, False, True], f"step answered {answers}; stop after two epochs without improvement"
# summary = (stopper.best_value, stopper.best_epoch, stopper.epoch, stopper.wait, stopper.stopped)
# assert summary == (0.5, 1, 3, 2, True), f"best_value, best_epoch, epoch, wait, stopped are {summary}"
# weight = model.weight.item()
# assert weight == 5.0, f"the weight is {weight} after the stop; epoch 1 was the best, and the weight was 5.0 then"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Suppose training goes on for ten epochs after the best one. Which of your attributes may change in that time, and
# which of them, and which tensors, must still be what they were?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Every value is compared with the best one so far, never with its predecessor, and only an improvement may touch the
# record: value, epoch and weights change together or not at all. The tensors in `model.state_dict()` are the live ones,
# so a dictionary of them shows tomorrow's weights tomorrow. PyTorch's notes on saving and loading models say which
# tensors a `state_dict` holds.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# If already stopped: return True. Count the call. Decide in this order: not finite, no; nothing recorded yet, yes;
# otherwise compare, by mode. If improved: record value and epoch, reset the waiting, copy the state. If not: wait one
# more; if the patience is used up, remember that, and write the copy back when asked to and when there is one.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# kept = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Lutz Prechelt (1998). *Early Stopping - But When?* In Neural Networks: Tricks of the Trade.
# - Robert Tibshirani (1996). *Regression Shrinkage and Selection via the Lasso.* Journal of the Royal Statistical
#   Society B 58.
# - Nitish Srivastava, Geoffrey Hinton, Alex Krizhevsky, Ilya Sutskever, Ruslan Salakhutdinov (2014). *Dropout: A Simple
#   Way to Prevent Neural Networks from Overfitting.* JMLR 15.
# - Ilya Loshchilov, Frank Hutter (2019). *Decoupled Weight Decay Regularization.* ICLR 2019.
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
#   ICLR 2022.
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). *ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.* IEEE TPAMI 38(8).
# - Weiyao Wang, Du Tran, Matt Feiszli (2020). *What Makes Training Multi-Modal Classification Networks Hard?*
#   CVPR 2020.
# - Xiaokang Peng, Yake Wei, Andong Deng, Dong Wang, Di Hu (2022). *Balanced Multimodal Learning via On-the-fly Gradient
#   Modulation.* CVPR 2022.
# - Mitchell Wortsman, Gabriel Ilharco, Jong Wook Kim, et al. (2022). *Robust fine-tuning of zero-shot models.*
#   CVPR 2022.
