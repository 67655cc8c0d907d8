# %% [markdown]
# # A training loop with Adam in Keras
#
# Sooner or later `fit` is not enough: two losses, gradients that you want to look at, a batch that is put together in a
# special way. Then you write the loop yourself, and everything that `fit` did silently is yours to remember. A loop
# that is often published forgets four of these things and raises no error: it never shuffles, it reports the loss of
# the last batch as the loss of the epoch, it drops the model's regularisers, and it believes that every model ends in a
# softmax.
#
# ## Your task (40 minutes)
#
# Write `train_classifier(model, inputs, labels, *, epochs, batch_size, learning_rate, from_logits, shuffle=True,
# seed=0, validation=None)`. It trains `model` in place with `keras.optimizers.Adam(learning_rate)` (its other settings
# as they are, one optimiser for the whole call) and returns a dictionary with the history.
#
# | argument | |
# |---|---|
# | `model` | a functional Keras model, as from `keras.Model(...)`, not compiled, with one output `(batch, classes)` |
# | `inputs` | what the model takes: an array, or a list, tuple or dictionary of NumPy arrays of one length |
# | `labels` | class indices, NumPy integers `(samples,)` |
# | `from_logits` | whether the output is logits (`True`) or probabilities (`False`) |
# | `seed` | decides the shuffling: an equal seed gives equal batches |
# | `validation` | `None`, or a pair (inputs, labels) of the same kinds |
#
# - **Batches:** `batch_size` samples each; what is left at the end of an epoch is a shorter batch, and is trained on
#   too. With `shuffle` every epoch goes through all samples once in a new random order, drawn from all possible orders;
#   without it, in the order given.
# - **The loss of a batch** is the mean cross-entropy of its samples plus the sum of `model.losses`: the model's own
#   regularisers, and what its layers add with `add_loss`. This is what the gradient is taken of. Logits may be as large
#   as several hundred, and the loss has to be right for them too.
# - **Updates** move the model's trainable variables; layers with `trainable = False` stay as they are.
# - **Modes:** updates call the model with `training=True`, validation with `training=False`.
# - **History:** lists with one float an epoch. `"loss"` is the mean of the batches' losses, each weighted by its number
#   of samples; `"accuracy"` is the share of samples whose largest output is that of their label. Both are taken on the
#   way, for each batch before its update, as `fit` does. With `validation` there are also `"val_loss"` and
#   `"val_accuracy"`, the same over the validation samples after the last update of each epoch; without it these two
#   keys are missing. `epochs=0` gives empty lists and leaves the weights as they are.
# - `inputs` and `labels` stay as they are, and so do the global random states of NumPy and Python.
# - **`ValueError`**, before anything is trained: no samples, arrays of different lengths, a label below 0 or not below
#   the number of classes (for `validation` the same), `batch_size` below 1, `epochs` below 0, `learning_rate` not above
#   0 (NaN included).
#
# Not allowed: `fit` and `train_on_batch`. Keras's optimisers, losses and metrics are yours to use; whether your step
# runs eagerly or in a `tf.function` is up to you.
#
# ## A worked example
#
# Five samples in batches of two, with batch losses 0.4, 0.8 and 1.5, the last of one sample. The loss of the epoch is
# (2 · 0.4 + 2 · 0.8 + 1 · 1.5) / 5 = 0.78. The mean of the three is 0.9, and the last one 1.5: neither is the loss of
# the epoch.

# %%
from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf


# %% tags=["solution"]
def train_classifier(
    model: keras.Model,
    inputs: np.ndarray | list | tuple | dict,
    labels: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    from_logits: bool,
    shuffle: bool = True,
    seed: int = 0,
    validation: tuple | None = None,
) -> dict[str, list[float]]:
    """Train a classifier with Adam (Kingma & Ba 2015), and report loss and accuracy of every epoch.

    Args:
        model: functional model with one output (batch, classes); trained in place.
        inputs: an array, or a list, tuple or dict of arrays, with the samples along the first axis.
        labels: class indices, integers, (samples,).
        epochs: passes over the data, at least 0.
        batch_size: samples an update, at least 1; the last batch of an epoch may be shorter.
        learning_rate: Adam's, above 0.
        from_logits: whether the model's output is logits; probabilities otherwise.
        shuffle: whether each epoch has a random order of its own.
        seed: decides these orders.
        validation: (inputs, labels) to evaluate after each epoch.

    Returns:
        {"loss": [...], "accuracy": [...]}, with validation also "val_loss" and "val_accuracy"; one float an epoch.

    Raises:
        ValueError: no samples, lengths that differ, labels out of range, or a setting out of its range.
    """
    ### BEGIN SOLUTION
    sets = {"": (inputs, labels)} if validation is None else {"": (inputs, labels), "val_": validation}
    for features, target in sets.values():
        lengths = {len(array) for array in keras.tree.flatten(features)}
        if lengths != {len(target)} or len(target) == 0:
            raise ValueError(f"{len(target)} labels for inputs of lengths {sorted(lengths)}")
        if np.min(target) < 0 or np.max(target) >= model.output_shape[1]:  # (batch, classes)
            raise ValueError(f"labels must be from 0 to {model.output_shape[1] - 1}")
    if batch_size < 1 or epochs < 0 or not learning_rate > 0:
        raise ValueError(f"out of range: batch_size={batch_size}, epochs={epochs}, learning_rate={learning_rate}")

    optimizer = keras.optimizers.Adam(learning_rate)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def go_through(features: np.ndarray | list | tuple | dict, target: np.ndarray, order: np.ndarray, update: bool):
        """Loss and accuracy over all samples, in batches in this order; with `update`, a step after each."""
        loss_sum, correct = 0.0, 0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]  # the same samples of every array and of the labels
            batch = keras.tree.map_structure(lambda array, rows=rows: array[rows], features)
            with tf.GradientTape() as tape:
                outputs = model(batch, training=update)  # (batch, classes)
                loss = cross_entropy(target[rows], outputs) + sum(model.losses)
            if update:
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            # add up over samples first, divide once: the last batch may be shorter
            loss_sum += float(loss) * len(rows)
            correct += int(np.sum(np.argmax(outputs, axis=1) == target[rows]))
        return loss_sum / len(target), correct / len(target)

    rng = np.random.default_rng(seed)
    history: dict[str, list[float]] = {prefix + name: [] for prefix in sets for name in ("loss", "accuracy")}
    for _ in range(epochs):
        for prefix, (features, target) in sets.items():
            training = prefix == ""
            order = rng.permutation(len(target)) if training and shuffle else np.arange(len(target))
            loss, accuracy = go_through(features, target, order, update=training)
            history[prefix + "loss"].append(loss)
            history[prefix + "accuracy"].append(accuracy)
    return history
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Adam's first step is the learning rate in every weight that has a gradient, so the first update can be done by hand.

# %% tags=["visible-checks", "active-ipynb"]
# x, y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype="float32"), np.array([0, 1, 0])
# features = keras.Input((2,))
# model = keras.Model(features, keras.layers.Dense(2)(features))
# model.set_weights([np.zeros((2, 2)), np.array([0.2, 0.0])])
# settings = dict(batch_size=2, learning_rate=0.1, from_logits=True, shuffle=False)
#
# history = train_classifier(model, x, y, epochs=0, **settings)
# assert history == {"loss": [], "accuracy": []}, history
#
# history = train_classifier(model, x, y, epochs=1, validation=(x, y), **settings)
# assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"], history
# # the first batch has the losses 0.598139 and 0.798139, the second, after one update, 0.598139
# assert np.allclose(history["loss"], [(0.598139 + 0.798139 + 0.598139) / 3], rtol=1e-4), history
# assert np.allclose(history["accuracy"], [2 / 3]), history
# assert history["val_accuracy"] == [1.0], history

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# With weights that do not move, what should the loss of an epoch be, whatever the order and the size of the batches?
# And after shuffling, which label stands beside the text and the image of sample 7?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Draw one order of row numbers for each epoch, and index everything with it: all inputs and the labels. Whatever is a
# mean over a batch becomes a sum again when it is multiplied by the number of its samples; sums of different batches
# can be added. What the gradient is taken of has to be computed while the tape is recording, regularisers included.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check everything. Make the optimiser and the loss once. For each epoch: draw an order; for each slice of it take the
# rows of every array; under a tape call the model, add cross-entropy and regularisers; apply the gradients; add up loss
# times samples and correct answers. Divide by the number of samples. For validation the same without tape and update.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# batch = keras.tree.map_structure(lambda array: array[rows], inputs)  # an array, a list or a dictionary alike
# ```
# </details>
#
# ## Going further
#
# - Compare your loop with `fit(shuffle=False)` from the same initial weights: losses and weights should agree.
# - A softmax at the end and `from_logits=True` is a quiet mistake, the double softmax of `losses/fusion_loss`. Logits
#   taken for probabilities are clipped, and most gradients become 0.
# - `tf.function` around the step is several times faster; clip gradients by their global norm before applying them.
# - Keras places Adam's epsilon differently from the paper and from PyTorch, and its default is 1e-7 in place of 1e-8.
#
# ## References
#
# - Diederik P. Kingma, Jimmy Ba (2015). Adam: A Method for Stochastic Optimization.
