# %% [markdown]
# # A fine-tuning loop with model selection
#
# Five steps are usually listed for fine-tuning: data, initialisation, loss, optimiser, training. A run that does just
# this ends with the weights of its last epoch, measured by a loop that leaves dropout on, and nobody can say whether
# the model has become better at all. What is missing is everything that looks at the model instead of changing it. You
# have written both halves by now, `optimisation/training_epoch` and `regularisation/early_stopping`; here they become
# one run. Here you answer the interview question in your own words, judge eight claims about it, and write a loop that
# chooses.
#
# Plan about 45 minutes: 15 for the answer, 5 for the claims, 25 for the code.

# %%
import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# %% [markdown]
# ## The question
#
# *"What are the main steps of fine-tuning a large multimodal model, from the task to the running service?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *before*: what you fix, measure and prepare before anything is trained;
# - *what learns*: which model, which of its parameters, and on which loss;
# - *the run*: how the training proceeds, and how you know which of its states to keep;
# - *after*: what you examine before anybody uses the model, and what happens to it then.

# %% [markdown] tags=["answer"]
# **Model answer.** "I begin with the task and its metric, and measure the model as it is: without a zero-shot baseline
# I cannot say what fine-tuning brings, and sometimes a better prompt is enough. Then come the data. I clean and
# deduplicate them, remove what also lies in the benchmarks, bring them into the model's chat template, and split them
# by image, document or user: if the captions of one photo are spread over training and test set, the test set is no
# longer new.
#
# I choose a base model by its license, size and baseline, and which part learns: adapters such as LoRA, the connector,
# the top blocks, or everything. For a generative vision-language model the loss is the cross-entropy of the next token,
# on the tokens of the answer only: prompt, image positions and padding are masked out. A classifier has a head and a
# loss over classes.
#
# The optimiser gets groups: a larger rate for new layers than for pretrained ones, no decay on biases and norms; then
# warm-up and decay by optimiser steps, bfloat16, and accumulation if the batch does not fit. In every epoch I train in
# training mode and validate in evaluation mode without gradients. The validation metric decides when to stop and which
# checkpoint to keep, and a few seeds show how much of a difference is noise.
#
# At the end I use the test set once. I also run regression sets for abilities that the model had before, and safety
# sets; I blank the image, and the text, to see whether both are used; and I read the errors by slice. Then I merge
# adapters, quantise if needed, measure again, deploy with a way back, and watch inputs and quality."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, before: task and metric; a baseline before training; cleaning, deduplication or decontamination; a split by
#   groups, with validation and test apart.
# - 1 point, what learns: a choice of the trainable part (adapters, connector, top, all); the loss that fits, with
#   prompt and padding masked for generation.
# - 1 point, the run: learning rates or groups, warm-up and decay; training and evaluation mode; validation decides on
#   stopping and checkpoint; seeds, precision or accumulation welcome.
# - 1 point, after: the test set once; regression, safety or slices; each modality ablated; merge, quantise, deploy,
#   monitor.
#
# **References of the model answer**
#
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023). *Visual Instruction Tuning.*
# - Lin Chen, Jinsong Li, Xiaoyi Dong, et al. (2024). *Are We on the Right Way for Evaluating Large Vision-Language
#   Models?* Many visual questions can be answered without the image.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are published as good advice. All of them must be right for the 3
# points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `training_loss_suffices` | A falling training loss shows that the model gets better at its task on new data. |
# | `random_pairs` | With five captions for each image, a random split of the pairs keeps the test images unseen. |
# | `no_grad_is_eval` | Inside `torch.no_grad()` dropout is off, so `model.eval()` is not needed for validation. |
# | `test_set_chooses` | A checkpoint chosen by its test score has, on average, the same score on fresh data. |
# | `baseline_needed` | What fine-tuning has brought can only be said in comparison with the model before it. |
# | `prompt_is_masked` | Instruction tuning often takes the loss over the tokens of the answer and masks the prompt. |
# | `best_of_many` | The best of twenty validation scores tends to be better than that model's score on fresh data. |
# | `blank_image` | If scores on visual questions hardly fall with blank images, they say little about seeing. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "training_loss_suffices",
        "random_pairs",
        "no_grad_is_eval",
        "test_set_chooses",
        "baseline_needed",
        "prompt_is_masked",
        "best_of_many",
        "blank_image",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # It also falls while the model learns its samples by heart. New data have to be asked.
    training_loss_suffices=False,
    # Most images will have a caption on both sides. The split has to be made by image.
    random_pairs=False,
    # `no_grad` only stops the recording of gradients. Dropout and batch normalisation look at the mode of their module.
    no_grad_is_eval=False,
    # The choice favours whichever checkpoint was lucky on the test set. That is what the validation set is there for.
    test_set_chooses=False,
    # A high score may have been there from the start, and a low one may still be a gain.
    baseline_needed=True,
    # The model is to learn what to answer, not to produce questions, as for instance in LLaVA (Liu et al., 2023).
    prompt_is_masked=True,
    # The maximum of noisy measurements is too high on average: the same reason for which a test set is kept apart.
    best_of_many=True,
    # Then the answers came from the question and from what is known of the world (Chen et al., 2024).
    blank_image=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write
#
# ```python
# finetune(model, train_batches, val_batches, loss_fn, optimizer, *, epochs, scheduler=None)  # -> dict
# ```
#
# | argument | meaning |
# |---|---|
# | `model` | an `nn.Module`, called as `model(*inputs)` |
# | `train_batches`, `val_batches` | can be walked through again and again, as a list or a `DataLoader` can |
# | a batch | a pair `(inputs, targets)`: a tuple of tensors, one or several, and a tensor |
# | `loss_fn` | `loss_fn(output, targets)`: the **mean** over the samples of the batch, a tensor without dimensions |
# | `optimizer` | a `torch.optim` optimiser of the model's trainable parameters |
# | `epochs` | how many times to train and to validate, at least 1 |
# | `scheduler` | `None`, or an object whose `step()` sets the learning rate for the next optimiser step |
#
# | key of the result | value |
# |---|---|
# | `"train_loss"` | list of `epochs` numbers (`float`): mean over the **samples** of the losses during that epoch |
# | `"val_loss"` | list of `epochs` numbers (`float`): mean over the validation **samples** after that epoch |
# | `"best_epoch"` | `int`, counted from 0: where `val_loss` is lowest, the first such epoch if there are several |
#
# Rules:
#
# - An epoch walks once through the training batches, with all modules in training mode. Each batch makes one step with
#   its own gradient alone, and `scheduler.step()`, without arguments, comes after each `optimizer.step()`. A gradient
#   that was there before the call has no influence.
# - Then it walks once through the validation batches, with all modules in evaluation mode and without recording
#   gradients (`torch.no_grad` or `torch.inference_mode`). The number of samples of a batch is `len(targets)`; batches
#   may have different sizes, and how the samples are cut into batches has no influence on a mean.
# - A validation loss that is NaN or infinite never makes an epoch the best one, and training goes on. At the end
#   **`RuntimeError`** if all were.
# - At the end the model holds the parameters **and buffers** it had after the best epoch, written into its own tensors
#   (as `load_state_dict` does), is in evaluation mode with all its modules, and gradients are recorded again as before.
# - **`ValueError`** if `epochs` is below 1, before anything is changed; if there is no training batch or no validation
#   batch, at the latest when the first epoch ends. They need not have a `len`. (No batch is without samples.)
# - Nothing is forbidden.
#
# **Worked example.** One weight w = 4, loss = mean of (w·x - y)², SGD with the rate 0.25. One training sample, x = 1
# and y = 0: its gradient is 2w, so each step halves w. One validation sample, x = 1 and y = 1.
#
# | epoch | loss in training | w afterwards | loss in validation |
# |---|---|---|---|
# | 0 | 4² = 16 | 2 | (2 - 1)² = 1 |
# | 1 | 2² = 4 | 1 | (1 - 1)² = **0** |
# | 2 | 1² = 1 | 0.5 | (0.5 - 1)² = 0.25 |
#
# The result is `{"train_loss": [16, 4, 1], "val_loss": [1, 0, 0.25], "best_epoch": 1}`, and w is 1 again.


# %% tags=["solution"]
def finetune(
    model: nn.Module,
    train_batches: Iterable[tuple[tuple[Tensor, ...], Tensor]],
    val_batches: Iterable[tuple[tuple[Tensor, ...], Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    scheduler: Any = None,
) -> dict[str, list[float] | int]:
    """Train for some epochs, validate after each, and leave the model with the weights of the best one.

    train_batches, val_batches: pairs (inputs, targets), inputs a tuple of tensors; walked through once an epoch.
    loss_fn: mean loss over the samples of a batch. scheduler: its `step()` follows each step of the optimiser.

    Returns a dict: train_loss and val_loss (lists of floats, one an epoch, means over samples) and best_epoch (int).
    Raises ValueError for epochs below 1 or an empty set, RuntimeError if no validation loss is finite.

    Source: choosing the state with the lowest validation error as in Prechelt 1998.
    """
    ### BEGIN SOLUTION
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, not {epochs}")
    train_losses, val_losses = [], []
    best_loss, best_epoch, best_state = math.inf, None, None
    for epoch in range(epochs):
        model.train()
        total, n_examples = 0.0, 0
        for inputs, targets in train_batches:
            optimizer.zero_grad()
            loss = loss_fn(model(*inputs), targets)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            # the loss is a mean over the batch: times its size, it is a sum over samples
            total += loss.item() * len(targets)
            n_examples += len(targets)
        if n_examples == 0:
            raise ValueError("there is no training batch")
        train_losses.append(total / n_examples)

        model.eval()
        total, n_examples = 0.0, 0
        with torch.no_grad():
            for inputs, targets in val_batches:
                total += loss_fn(model(*inputs), targets).item() * len(targets)
                n_examples += len(targets)
        if n_examples == 0:
            raise ValueError("there is no validation batch")
        val_losses.append(total / n_examples)

        # below, not equal: the first of several equal ones stays the best
        if math.isfinite(val_losses[-1]) and val_losses[-1] < best_loss:
            best_loss, best_epoch = val_losses[-1], epoch
            best_state = copy.deepcopy(model.state_dict())  # parameters and buffers; training changes the live ones
    if best_state is None:
        raise RuntimeError(f"no validation loss is finite: {val_losses}")
    model.load_state_dict(best_state)
    return {"train_loss": train_losses, "val_loss": val_losses, "best_epoch": best_epoch}
    ### END SOLUTION


# %% [markdown]
# **Try it.** Each step halves the weight; two validation batches of different size say where to stop.

# %% tags=["visible-checks", "active-ipynb"]
# model = nn.Linear(1, 1, bias=False)
# nn.init.constant_(model.weight, 8.0)
# train = [((torch.ones(2, 1),), torch.zeros(2, 1))]
# val = [((torch.ones(2, 1),), torch.ones(2, 1)), ((torch.ones(1, 1),), torch.full((1, 1), 4.0))]
# optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
# result = finetune(model, train, val, nn.functional.mse_loss, optimizer, epochs=4)
# # w is 4, 2, 1, 0.5 after the epochs; the validation loss is ((w - 1)^2 + (w - 1)^2 + (w - 4)^2) / 3
# expected = {"train_loss": [64.0, 16.0, 4.0, 1.0], "val_loss": [6.0, 2.0, 3.0, 4.25], "best_epoch": 1}
# for key, value in expected.items():
#     found = torch.tensor(result[key], dtype=torch.float64)
#     assert torch.allclose(found, torch.tensor(value, dtype=torch.float64)), f"{key} is {result[key]}, not {value}"
# assert abs(model.weight.item() - 2.0) < 1e-6, f"the weight is {model.weight.item()}; after the best epoch it was 2"
# assert not model.training, "the model is in training mode; it should be left in evaluation mode"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# When your function has returned, somebody evaluates the model on the validation batches, in one large batch. Which
# number of your result must come out, and which of your lines could spoil it?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Two modes alternate: learning, where dropout drops and batch normalisation updates its statistics, and measuring,
# where neither may happen and no gradient is needed. Choosing needs a copy of the state at the moment of the
# measurement, because the live tensors go on changing. What a `state_dict` holds is more than the parameters.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# For each epoch: training mode; for each batch clear, forward, loss, backward, optimiser, scheduler, and add up loss
# times size. Evaluation mode; without gradients, add up the same for the validation batches. Divide each sum by its
# number of samples. If the new validation loss is finite and below the best so far, note it with its epoch and copy
# the state. After the loop, load the copy.
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
#
# The works behind the model answer are listed there, in the solution: their titles would answer the question.
