# %% [markdown]
# # An evaluation loop to trust
#
# A test loop of fifteen lines, as it is often published, has three silent faults: it never leaves training mode, so
# dropout is on and batch normalisation learns from the test set; it averages batch averages, so one sample in a small
# last batch counts as much as four others; and it hands the model back in another state than it got it. No error
# appears, only a number that changes with the batch size. Here you write the loop so that its result depends on the
# model and the data, and on nothing else.
#
# ## Your task (40 minutes)
#
# | part | function | returns |
# |---|---|---|
# | 0 | `evaluation_mode(model)`, used as `with evaluation_mode(model): ...` | nothing |
# | 1 | `evaluate_accuracy(model, batches)` | share of right predictions, a number in [0, 1] |
# | 2 | `evaluate(model, loader, *, num_labels, device="cpu")` | a dictionary, see below |
#
# **Part 0.** Inside the block, every module of the model is in evaluation mode, and PyTorch records no gradients
# (`torch.is_grad_enabled()` is `False`). When the block ends, **also by an exception**, every module has the mode it
# had before, each its own: a backbone that was frozen with `.eval()` inside a training model stays in evaluation mode.
#
# **Part 1.** `batches` is any iterable, a generator too. Each batch is a tuple `(*inputs, labels)` with one input or
# several; `model(*inputs)` returns logits `(batch, classes)`, the labels are `int64` `(batch,)`, and the prediction is
# the class with the largest logit.
#
# **Part 2.** `loader` is any iterable of dictionaries of tensors, with the labels under `"labels"`. Move each tensor
# with its method `.to(device)` (the model is there already) and call `model(**batch)`; it returns a dictionary with
# `"logits"` `(batch, num_labels)` and `"loss"`, the mean loss of the samples of this batch. With `N` samples
# (samples) in all:
#
# | key | value |
# |---|---|
# | `loss` | mean over the **samples** of the loss that the model reports |
# | `accuracy` | share of right predictions |
# | `macro_f1` | mean of the F1 over **all** `num_labels` classes, even those that never occur |
# | `per_class` | for each label `0 ... num_labels - 1` a dictionary `precision`, `recall`, `f1`, `support`; 0/0 is 0 |
# | `y_true`, `y_pred` | `int64` tensors `(N,)` on the CPU, in the order of the loader |
# | `probs` | floating-point tensor `(N, num_labels)` on the CPU: the softmax of the logits |
#
# The keys of `per_class` are the labels as `int`; `support` is the number of samples with that label. Precision,
# recall and F1 of a class are taken once, from the counts of the whole set; F1 is `2TP / (2TP + FP + FN)`.
#
# Rules for parts 1 and 2:
#
# - During every call of the model, evaluation mode is on for all its modules and no gradients are recorded. Afterwards
#   everything is as it was: the mode of each module, parameters, buffers, the parameters' `.grad`, and whether PyTorch
#   records gradients. That holds too if the model raises an error, which is passed on to the caller.
# - Batches may have different sizes, and a batch of one sample is ordinary. How the samples are cut into batches has
#   no influence on any result.
# - **`ValueError`** for: no samples (no batch, or only empty ones); labels that are not `(batch,)`; logits that are
#   not `(batch, classes)` with one row for each label. In part 2 besides: logits without exactly `num_labels` columns,
#   a label outside `0 ... num_labels - 1` (test it before you call the model), a loss that is missing or `None`.
# - **Forbidden:** `sklearn.metrics`, `torchmetrics`. **Accepted either way:** `torch.no_grad` or
#   `torch.inference_mode`; numbers as Python numbers, NumPy scalars or 0-d tensors.
#
# ## A worked example
#
# Five samples in batches of four and one, with `num_labels=4`. True labels `[0, 0, 1, 1]` and `[2]`, predictions
# `[0, 0, 1, 0]` and `[1]`, losses of the samples `[0, 1, 2, 3]` and `[4]` (the model reports 1.5 and 4):
#
# | | right | mean over the batches |
# |---|---|---|
# | loss | 10 / 5 = **2.0** | (1.5 + 4) / 2 = 2.75 |
# | accuracy | 3 / 5 = **0.6** | (3/4 + 0) / 2 = 0.375 |
#
# | label | precision | recall | F1 | support |
# |---|---|---|---|---|
# | 0 | 2/3 | 2/2 | 0.8 | 2 |
# | 1 | 1/2 | 1/2 | 0.5 | 2 |
# | 2 | 0 | 0/1 | 0 | 1 |
# | 3 | 0 | 0 | 0 | 0 |
#
# Macro-F1 is (0.8 + 0.5 + 0 + 0) / 4 = 0.325; over the three labels that occur it would be 0.433.

# %%
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# %% [markdown]
# ## Part 0: evaluation mode, and back


# %% tags=["solution"]
@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module of the model into evaluation mode and record no gradients, for the time of a `with` block.

    Afterwards each module has its own mode again, also when the block ends with an exception.
    """
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training  # not module.train(training): that would switch its children as well
    ### END SOLUTION


# %% [markdown]
# ## Part 1: accuracy


# %% tags=["solution"]
def evaluate_accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> float:
    """Share of the samples whose label has the largest logit.

    Args:
        model: `model(*inputs)` returns logits, (batch, classes).
        batches: tuples `(*inputs, labels)` with labels int64, (batch,).

    Raises:
        ValueError: no samples, labels not (batch,), or logits not (batch, classes) with as many rows.
    """
    ### BEGIN SOLUTION
    correct = total = 0
    with evaluation_mode(model):
        for *inputs, labels in batches:
            logits = model(*inputs)  # (batch, classes)
            if labels.ndim != 1 or logits.ndim != 2 or len(labels) != len(logits):
                raise ValueError(f"labels {tuple(labels.shape)} do not fit logits {tuple(logits.shape)}")
            # count here, divide once at the end: batches may have different sizes
            correct += (logits.argmax(dim=1) == labels).sum().item()
            total += len(labels)
    if total == 0:
        raise ValueError("there are no samples")
    return correct / total
    ### END SOLUTION


# %% [markdown]
# ## Part 2: a report on the whole set


# %% tags=["solution"]
def evaluate(
    model: nn.Module, loader: Iterable[Mapping[str, Tensor]], *, num_labels: int, device: str | torch.device = "cpu"
) -> dict:
    """Loss, accuracy and F1 of a classifier, with its predictions.

    Args:
        model: `model(**batch)` returns a dict with `loss`, the mean over the batch, and `logits`, (batch, num_labels).
        loader: dicts of tensors, among them `labels`, int64, (batch,).
        num_labels: number of classes, also of those that never occur.
        device: where the batches go; the model is there already.

    Returns:
        A dict with `loss`, `accuracy`, `macro_f1` (numbers), `per_class` (label -> dict of precision, recall, f1,
        support), `y_true`, `y_pred` (int64, (N,)) and `probs` (float, (N, num_labels)), all on the CPU.

    Raises:
        ValueError: no samples, labels not (batch,) or outside the classes, logits of another shape, no loss.

    Source: Opitz and Burst 2019 (macro F1 as the mean of the F1 of the classes).
    """
    ### BEGIN SOLUTION
    total_loss = 0.0
    y_true, y_pred, probs = [], [], []
    with evaluation_mode(model):
        for batch in loader:
            labels = batch["labels"]
            if labels.ndim != 1 or ((labels < 0) | (labels >= num_labels)).any():
                raise ValueError(f"labels must be (batch,) and lie between 0 and {num_labels - 1}")
            output = model(**{name: tensor.to(device) for name, tensor in batch.items()})
            if output.get("loss") is None:
                raise ValueError("the model returned no loss")
            logits = output["logits"]  # (batch, labels)
            if logits.shape != (len(labels), num_labels):
                raise ValueError(f"expected logits {(len(labels), num_labels)}, got {tuple(logits.shape)}")
            # the loss is a mean over the batch: times its size, it is a sum over samples
            total_loss += output["loss"].item() * len(labels)
            y_true.append(labels.cpu())
            y_pred.append(logits.argmax(dim=1).cpu())
            probs.append(logits.softmax(dim=1, dtype=torch.float32).cpu())
    n_examples = sum(len(labels) for labels in y_true)
    if n_examples == 0:
        raise ValueError("there are no samples")
    y_true, y_pred, probs = torch.cat(y_true), torch.cat(y_pred), torch.cat(probs)  # (samples, ...)

    # one count for each pair (true label, predicted label) over the whole set
    pairs = torch.bincount(y_true * num_labels + y_pred, minlength=num_labels**2)
    confusion = pairs.reshape(num_labels, num_labels).double()  # (true, predicted)
    correct, calls, support = confusion.diagonal(), confusion.sum(dim=0), confusion.sum(dim=1)  # (labels,) each

    # where a denominator is 0, so is its numerator: dividing by 1 instead gives 0
    precision = correct / calls.clamp(min=1)
    recall = correct / support.clamp(min=1)
    f1 = 2 * correct / (calls + support).clamp(min=1)
    columns = torch.stack([precision, recall, f1, support], dim=1)  # (labels, 4)
    per_class = {
        label: {"precision": p, "recall": r, "f1": f, "support": int(n)}
        for label, (p, r, f, n) in enumerate(columns.tolist())
    }
    return {
        "loss": total_loss / n_examples,
        "accuracy": correct.sum().item() / n_examples,
        "macro_f1": f1.mean().item(),
        "per_class": per_class,
        "y_true": y_true,
        "y_pred": y_pred,
        "probs": probs,
    }
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# class Echo(nn.Module):
#     """Gives its input back as logits, with the loss if labels are given."""
#
#     def forward(self, scores, labels=None):
#         return scores if labels is None else {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}
#
#
# model = Echo()
# with evaluation_mode(model):
#     assert not model.training and not torch.is_grad_enabled(), "inside the block"
# assert model.training and torch.is_grad_enabled(), "after the block"
#
# scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
# labels = torch.tensor([0, 1, 2, 1])
# accuracy = evaluate_accuracy(model, [(scores[:3], labels[:3]), (scores[3:], labels[3:])])
# assert abs(accuracy - 1 / 2) < 1e-6, accuracy
#
# loader = [{"scores": scores[:3], "labels": labels[:3]}, {"scores": scores[3:], "labels": labels[3:]}]
# report = evaluate(model, loader, num_labels=3)
# assert abs(report["loss"] - nn.functional.cross_entropy(scores, labels)) < 1e-5, report["loss"]
# assert abs(report["accuracy"] - 1 / 2) < 1e-6, report["accuracy"]
# assert abs(report["macro_f1"] - 7 / 18) < 1e-6, report["macro_f1"]
# assert abs(report["per_class"][0]["precision"] - 1 / 2) < 1e-6, report["per_class"]
# assert report["y_pred"].tolist() == [0, 1, 1, 0], report["y_pred"]
# assert report["y_true"].tolist() == [0, 1, 2, 1], report["y_true"]
# assert torch.allclose(report["probs"].double(), scores.double().softmax(dim=1)), report["probs"]

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Evaluate the same model on the same data twice, once in batches of four and once sample by sample. Which of your
# numbers differ, and which line makes them? And if you had asked the model for its modes, parameters and buffers before
# and after?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A module's mode is an attribute of that one module; `model.eval()` walks through all of them and remembers nothing. A
# mean over the set is a sum of counts divided once. F1 is no mean over samples at all, so that no average of batch
# values can give it: keep what you need to count on the whole set.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Note the mode of each module in a list. In a `try`, switch to evaluation mode, turn gradients off, `yield`; in its
# `finally`, give each module its mode back. In the loops, check shapes and labels, add up counts, and add the loss
# times the number of samples; keep labels, predictions and probabilities in lists. After the loop, refuse an empty
# set, concatenate, count the pairs (true, predicted) in a matrix, and read everything off its diagonal, columns, rows.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# modes = [(module, module.training) for module in model.modules()]
# ```
#
# </details>

# %% [markdown]
# ## What the report is for
#
# Choose thresholds and checkpoints on validation data, and run the test set once. Report intervals and slices (by
# source, by language, by class) beside the totals: with 200 samples, an accuracy of 0.80 has a standard error of 0.03.
# For rare classes, look at macro-F1 and average precision first.
#
# ## References
#
# - Juri Opitz, Sebastian Burst (2019). *Macro F1 and Macro F1.* arXiv 1911.03347.
# - Nitish Srivastava, Geoffrey Hinton, Alex Krizhevsky, Ilya Sutskever, Ruslan Salakhutdinov (2014). *Dropout: A Simple
#   Way to Prevent Neural Networks from Overfitting.* JMLR 15.
