# %% [markdown]
# # A multi-task model
#
# Several questions about the same text and image can share one model: a trunk that fuses the modalities, and one small
# head for each task. What one task learns in the trunk serves the others, and a sample helps even if only some of its
# labels are known. A well-known short answer builds two networks that never meet, one on the text and one on the image:
# the text task cannot see the image, nothing is shared, and there is no loss. Here you build the shared version and a
# loss that copes with missing labels.
#
# ## Your task (40 minutes)
#
# ### `build_multi_task_model(text_width, image_width, hidden_size, tasks) -> keras.Model`
#
# * `tasks` maps the name of each task to its number of logits `n`: 1 for a yes-or-no task, the number of classes
#   otherwise.
# * `model([text, image])`, with text `(batch, text_width)` and image `(batch, image_width)`, returns a dictionary with
#   the same keys: float32 logits of shape `(batch, n)`.
# * The trunk is one linear layer with bias on text and image side by side, text first, followed by a ReLU; it has
#   `hidden_size` units and serves all tasks. Each head is one linear layer with bias on the trunk's output, without
#   activation. So the weights are a kernel `(text_width + image_width, hidden_size)` with its bias, and for each task a
#   kernel `(hidden_size, n)` with its bias. They exist after the first call at the latest and stay the same afterwards.
# * A functional model and a subclass of `keras.Model` are both fine.
# * `ValueError` for no tasks, and for an `n` below 1.
#
# ### `multi_task_loss(outputs, labels, weights=None) -> (total, per_task)`
#
# * `outputs` is such a dictionary of float32 tensors. `labels` has the same keys and NumPy arrays of integers of shape
#   `(batch,)`: a class 0 ... n - 1, **0 or 1 for a task with one logit**, or -1 for "not known".
# * `per_task` maps each task to a float32 scalar, shape `()`: the mean of the cross-entropy over the samples whose
#   label is known, and 0 if there are none. With one logit it is the binary cross-entropy with the logit of class 1.
# * `total` is a float32 scalar: the sum of weight times loss over the tasks. `weights` has the same keys and numbers of
#   at least 0; without it all weights are 1. The weights are used as they are, not scaled to any sum.
# * The total can be differentiated. A task without known labels contributes a gradient of zero (or none), never NaN.
#   For logits such as ±1000, value and gradient are finite.
# * `ValueError` for no tasks, keys that are not the same in all dictionaries, labels of another shape or out of range
#   (below -1 or no class of the task), and weights that are negative or not finite. `TypeError` for labels that are not
#   integers (a `ValueError` is accepted too).
#
# Everything runs eagerly. Nothing is forbidden: Keras's and TensorFlow's layers and losses are yours to use.
#
# ## A worked example
#
# With text width 2, image width 3, 4 hidden units and the tasks `{"spam": 1, "topic": 3}`, the trunk has
# `(2 + 3 + 1) * 4 = 24` parameters and the heads `(4 + 1) * (1 + 3) = 20`.
#
# | sample | logit of spam | label | loss | logits of topic | label | loss |
# |---|---|---|---|---|---|---|
# | 0 | 2 | 1 | 0.1269 | 1, 0, 0 | -1 | |
# | 1 | -1 | -1 | | 0, 2, 0 | 1 | 0.2395 |
# | 2 | 0.5 | 0 | 0.9741 | 0, 0, 3 | -1 | |
#
# The loss of spam is (0.1269 + 0.9741) / 2 = 0.5505, that of topic 0.2395, and the total 0.7900. Weights 2 and 0.5 give
# 2 * 0.5505 + 0.5 * 0.2395 = 1.2208.

# %%
from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf

# %% [markdown]
# ## Part 1: one trunk, many heads


# %% tags=["solution"]
def build_multi_task_model(text_width: int, image_width: int, hidden_size: int, tasks: dict[str, int]) -> keras.Model:
    """A shared trunk on both modalities with one linear head for each task (hard sharing, Caruana, 1997).

    Args:
        text_width: number of text features.
        image_width: number of image features.
        hidden_size: units of the shared trunk.
        tasks: number of logits of each task by name, 1 for a binary task.

    Returns:
        A model from [text (batch, text_width), image (batch, image_width)] to {task: logits (batch, n)}.

    Raises:
        ValueError: there are no tasks, or a task has fewer than one logit.
    """
    ### BEGIN SOLUTION
    if not tasks or min(tasks.values()) < 1:
        raise ValueError(f"at least one task is needed, each with at least one logit, not {tasks}")
    text, image = keras.Input((text_width,)), keras.Input((image_width,))
    joined = keras.layers.Concatenate()([text, image])  # (batch, text_width + image_width)
    shared = keras.layers.Dense(hidden_size, activation="relu")(joined)  # (batch, hidden_size)
    # every head reads the same shared features; its outputs are logits, so it has no activation
    logits = {task: keras.layers.Dense(n_logits)(shared) for task, n_logits in tasks.items()}  # (batch, n_logits) each
    return keras.Model([text, image], logits)
    ### END SOLUTION


# %% [markdown]
# ## Part 2: a loss for partly labelled samples


# %% tags=["solution"]
def multi_task_loss(
    outputs: dict[str, tf.Tensor], labels: dict[str, np.ndarray], weights: dict[str, float] | None = None
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Weighted sum of the tasks' cross-entropies, each a mean over the samples whose label is known.

    Args:
        outputs: logits (batch, n) of each task, float32.
        labels: integers (batch,) of each task: a class, 0 or 1 where n is 1, or -1 for a label that is not known.
        weights: weight of each task, 0 or more; None for 1 each.

    Returns:
        The total and the loss of each task, float32, shape (); a task without known labels has the loss 0.

    Raises:
        TypeError: labels are not integers.
        ValueError: no tasks, different keys, labels of another shape or out of range, negative or infinite weights.
    """
    ### BEGIN SOLUTION
    weights = dict.fromkeys(outputs, 1.0) if weights is None else weights
    if not outputs or not outputs.keys() == labels.keys() == weights.keys():
        raise ValueError(
            f"tasks differ: {list(outputs)} in outputs, {list(labels)} in labels, {list(weights)} in weights"
        )
    total, per_task = tf.constant(0.0), {}
    for task, logits in outputs.items():
        batch, n_logits = logits.shape
        label, weight = labels[task], float(weights[task])
        if not np.issubdtype(label.dtype, np.integer):
            raise TypeError(f"labels of {task} must be integers, not {label.dtype}")
        n_classes = max(n_logits, 2)  # one logit stands for two classes
        if label.shape != (batch,) or not np.isin(label, range(-1, n_classes)).all():
            raise ValueError(f"labels of {task} must be {batch} classes below {n_classes}, or -1")
        if not 0 <= weight < np.inf:  # written so that NaN is refused too
            raise ValueError(f"the weight of {task} must be finite and 0 or more, not {weight}")

        known = (label >= 0).astype(np.float32)  # (batch,)
        target = np.maximum(label, 0)  # (batch,), any valid class where none is known: its loss counts 0 times
        if n_logits == 1:
            target = target.astype(np.float32)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits[:, 0])  # (batch,)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target.astype(np.int64), logits)  # (batch,)
        # loss of a task: sum over the known samples divided by their number, which must not be 0
        per_task[task] = tf.reduce_sum(known * losses) / max(known.sum(), 1)
        total += weight * per_task[task]
    return total, per_task
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# model = build_multi_task_model(2, 3, 4, {"spam": 1, "topic": 3})
# outputs = model([np.ones((5, 2), np.float32), np.ones((5, 3), np.float32)])
# assert outputs["spam"].shape == (5, 1) and outputs["topic"].shape == (5, 3), outputs
# assert model.count_params() == 44, model.count_params()
#
# outputs = {
#     "spam": tf.constant([[2.0], [-1.0], [0.5]]),
#     "topic": tf.constant([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]),
# }
# labels = {"spam": np.array([1, -1, 0]), "topic": np.array([-1, 1, -1])}
# total, per_task = multi_task_loss(outputs, labels)
# assert np.allclose([per_task["spam"], per_task["topic"], total], [0.550502, 0.239545, 0.790047]), (total, per_task)
# total, _ = multi_task_loss(outputs, labels, {"spam": 2.0, "topic": 0.5})
# assert np.isclose(total, 1.220777), total

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If you change the image only, which outputs of your model change? And if only one task has labels, which weights get a
# gradient? What should the answers be for a model that shares?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# One trunk computes features from both modalities, once; all heads read those same features. For the loss, a mask of
# known labels turns a mean over the batch into a mean over the known samples: the sum is masked, and so is the number
# it is divided by.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Model: two inputs, join them, one layer with a ReLU, then a dictionary with one linear layer for each task, all on
# that layer's output. Loss: compare the keys; for each task check labels and weight, make the mask, put some valid
# class where the label is -1 (the library refuses -1), compute one loss for each sample, mask, add up, divide by the
# number of known labels or by 1 if that is 0. One logit needs the binary cross-entropy on logits.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `logits = {task: keras.layers.Dense(n)(shared) for task, n in tasks.items()}`, and a functional model takes that
# dictionary as its outputs.
# </details>
#
# ## Going further
#
# * A softmax over one logit is 1 whatever the logit is, so such a head can never learn.
# * Dividing by the batch instead of the known labels weighs a task by how often it happens to be labelled.
# * Choosing zero with `tf.where` *after* a division by zero repairs the value but not the gradient: 0 times infinity is
#   NaN on the way back. Make the division harmless instead.
# * Tasks can also harm each other: gradients conflict (Yu et al., 2020), and which tasks help each other has to be
#   tried out (Standley et al., 2020). Ruder (2017) surveys other forms of sharing. Weights can be learned from each
#   task's uncertainty (Kendall, Gal and Cipolla, 2018). Watch a metric for each task, not only the total.
#
# ## References
#
# * Rich Caruana (1997). Multitask Learning. Machine Learning 28(1).
# * Sebastian Ruder (2017). An Overview of Multi-Task Learning in Deep Neural Networks. arXiv 1706.05098.
# * Alex Kendall, Yarin Gal, Roberto Cipolla (2018). Multi-task Learning Using Uncertainty to Weigh Losses for Scene
#   Geometry and Semantics. CVPR 2018.
# * Tianhe Yu, Saurabh Kumar, Abhishek Gupta, et al. (2020). Gradient Surgery for Multi-Task Learning. NeurIPS 2020.
# * Trevor Standley, Amir Roshan Zamir, Dawn Chen, et al. (2020). Which Tasks Should Be Learned Together in Multi-task
#   Learning? ICML 2020.
