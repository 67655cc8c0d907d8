# %% [markdown]
# # A fusion model and its loss
#
# Fused features are not a prediction yet: a head turns them into one score for each class, the *logits*, and the loss
# compares those with the labels. A well-known short answer has no head and compares the fused features themselves with
# labels that nobody passed in. Once there is a head, the next trap is the number of softmaxes: with none or with two
# instead of one, training still runs and the loss still falls, yet its value is wrong and gradients fade. And at the
# end a score is wanted; that answer's precision divides by the *correct* predictions instead of the positive ones.
#
# ## Your task (40 minutes)
#
# All arrays that come in are NumPy arrays: `text` `(batch, text_width)` and `image` `(batch, image_width)` are float32.
#
# ### `FusionClassifier(hidden_size, num_classes)`, a `keras.Model`
#
# `model([text, image])` returns a dictionary of two float32 tensors: `"fused"`, `(batch, hidden_size)`, and `"logits"`,
# `(batch, num_classes)`. The model has exactly two layers with weights, both `keras.layers.Dense` with a bias, in the
# attributes `fusion` (on text and image side by side, text first, followed by a ReLU) and `head` (on the fused
# features, without activation). Both are made once, so that a second call uses the same weights.
#
# ### `fusion_loss(model, text, image, labels, sample_weight=None) -> (fused, logits, loss)`
#
# * `model` is any Keras model that is called as `model([text, image])` and returns such a dictionary; the first two
#   results are its tensors. Call it once, without other arguments.
# * `loss` is a float32 tensor of shape `()`: the sum of `weight * cross_entropy` over the samples, divided by the sum
#   of the weights. `labels` `(batch,)` holds integers of any integer dtype, `sample_weight` `(batch,)` numbers; without
#   it all weights are 1. The loss can be differentiated with respect to the model's weights, and it is finite for
#   logits such as ±1000.
# * `TypeError` for labels that are not integers, such as floats (a `ValueError` is accepted too).
# * `ValueError` for text or image that is not a matrix, numbers of rows that differ, labels or weights of another shape
#   than `(batch,)`, labels below 0 or not below the number of classes, weights that are negative or not finite, and
#   weights whose sum is 0 (so an empty batch as well).
#
# ### `fuse_and_score(model, text, image, labels, threshold=0.5) -> dict`
#
# * Runs a given model of two classes in inference mode (`training=False`) and counts over the whole set: `tp`, `fp`,
#   `fn`, `tn`, and from them `accuracy`, `precision` (`tp / (tp + fp)`), `recall` (`tp / (tp + fn)`) and `f1` (`2 tp /
#   (2 tp + fp + fn)`); `metrics/classification` looks at them more closely. Class 1 is the positive class. A sample is
#   predicted positive if the softmax probability of class 1, in float64, is **at least** `threshold`.
# * `labels` `(batch,)` or `(batch, 1)` holds the numbers 0 and 1. Where a ratio is 0/0, it is 0.
# * `ValueError` for no samples, text or image that is not a matrix, numbers of rows that differ, labels of another
#   shape or other than 0 and 1, and logits that are not `(batch, 2)` or not finite.
#
# Everything runs eagerly; no `tf.function` is needed. **Forbidden:** `sklearn.metrics` (counting is part of the task).
# Keras's and TensorFlow's losses are allowed: the point is to hand them what they expect.
#
# ## A worked example
#
# | logits | label | cross-entropy |
# |---|---|---|
# | 2, -1, 0.5 | 1 | 3.2413 |
# | -3, 1, 0 | 0 | 4.3265 |
#
# The loss is 3.7839, and 3.5126 with weights 3 and 1. Taken for probabilities, the same logits give 16.32, a value that
# comes from clipping and has no gradient in the clipped entries.
#
# Five samples with labels 1, 1, 0, 0, 0 and predictions 1, 0, 1, 1, 0 have `tp=1, fn=1, fp=2, tn=1`: precision 1/3,
# recall 1/2, F1 0.4, accuracy 0.4.

# %%
from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf


def require_same_batch(text: np.ndarray, image: np.ndarray, labels: np.ndarray) -> None:
    """Raise ValueError unless text and image are matrices with as many rows as there are labels. (This is given.)"""
    if np.ndim(text) != 2 or np.ndim(image) != 2 or np.ndim(labels) == 0:
        raise ValueError(f"text {np.shape(text)} and image {np.shape(image)} must be (batch, width)")
    if not len(text) == len(image) == len(labels):
        raise ValueError(f"{len(text)} texts, {len(image)} images and {len(labels)} labels do not fit together")


# %% [markdown]
# ## Part 1: the model


# %% tags=["solution"]
class FusionClassifier(keras.Model):
    """Feature-level fusion with a classification head (early fusion in Baltrušaitis et al., 2019).

    Args:
        hidden_size: width of the fused features.
        num_classes: number of logits.

    Attributes:
        fusion: the Dense layer that fuses the joined features.
        head: the Dense layer from fused features to logits.
    """

    def __init__(self, hidden_size: int, num_classes: int) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.fusion = keras.layers.Dense(hidden_size, activation="relu")
        self.head = keras.layers.Dense(num_classes)  # logits, so no activation
        ### END SOLUTION

    def call(self, inputs: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """[text (batch, text_width), image (batch, image_width)] to "fused" and "logits" (see the table above)."""
        ### BEGIN SOLUTION
        text, image = inputs
        joined = tf.concat([text, image], axis=-1)  # (batch, text_width + image_width)
        fused = self.fusion(joined)  # (batch, hidden_size)
        return {"fused": fused, "logits": self.head(fused)}  # logits: (batch, num_classes)
        ### END SOLUTION


# %% [markdown]
# ## Part 2: the loss


# %% tags=["solution"]
def fusion_loss(
    model: keras.Model,
    text: np.ndarray,
    image: np.ndarray,
    labels: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Weighted mean of the cross-entropy between the labels and the model's logits.

    Args:
        model: maps [text, image] to a dictionary with "fused" and "logits".
        text: float32, (batch, text_width).
        image: float32, (batch, image_width).
        labels: integers 0 ... classes - 1, (batch,).
        sample_weight: non-negative numbers, (batch,); None for equal weights.

    Returns:
        The model's fused features (batch, hidden_size) and logits (batch, classes), and the loss: float32, shape ().

    Raises:
        TypeError: labels are not integers.
        ValueError: shapes do not fit together, labels are out of range, or weights are negative, not finite or all 0.
    """
    ### BEGIN SOLUTION
    require_same_batch(text, image, labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)  # (batch,)
    if labels.ndim != 1 or weight.shape != labels.shape:
        raise ValueError(f"labels {labels.shape} and weights {weight.shape} must both be (batch,)")
    if not (weight >= 0).all() or not 0 < weight.sum() < np.inf:  # written so that NaN is refused too
        raise ValueError("weights must be finite and not negative, and one must be positive")

    output = model([text, image])
    fused, logits = output["fused"], output["logits"]  # (batch, hidden_size), (batch, classes)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels must be 0 ... {logits.shape[1] - 1}, got {labels.min()} ... {labels.max()}")
    # cross-entropy of a sample: log of the sum of exp(logit) over the classes, minus the logit of its label
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels.astype(np.int64), logits)  # (batch,)
    # loss: every sample counts with its share of the total weight
    share = tf.constant(weight / weight.sum(), dtype=tf.float32)  # (batch,)
    return fused, logits, tf.reduce_sum(share * cross_entropy)
    ### END SOLUTION


# %% [markdown]
# ## Part 3: the score


# %% tags=["solution"]
def fuse_and_score(
    model: keras.Model, text: np.ndarray, image: np.ndarray, labels: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of a two-class model, counted over the whole set.

    Args:
        model: maps [text, image] to a dictionary with "logits" (batch, 2); class 1 is the positive one.
        text: float32, (batch, text_width).
        image: float32, (batch, image_width).
        labels: 0 or 1, (batch,) or (batch, 1).
        threshold: smallest probability of class 1 that counts as positive.

    Returns:
        The counts tp, fp, fn, tn, and accuracy, precision, recall, f1; a ratio 0/0 is 0.

    Raises:
        ValueError: no samples, shapes do not fit, labels other than 0 and 1, or logits that are not finite.
    """
    ### BEGIN SOLUTION
    require_same_batch(text, image, labels)
    size = len(labels)
    if size == 0 or labels.shape not in ((size,), (size, 1)) or not np.isin(labels, [0, 1]).all():
        raise ValueError("labels must be at least one 0 or 1, in shape (batch,) or (batch, 1)")
    actual = labels.reshape(size) == 1  # (batch,)

    logits = tf.cast(model([text, image], training=False)["logits"], tf.float64)  # (batch, 2)
    if logits.shape != (size, 2) or not np.isfinite(logits).all():
        raise ValueError(f"two finite logits are needed for each of {size} samples, not {logits.shape}")
    predicted = tf.nn.softmax(logits).numpy()[:, 1] >= threshold  # (batch,)

    tp = int(np.sum(predicted & actual))
    fp = int(np.sum(predicted & ~actual))
    fn = int(np.sum(~predicted & actual))
    tn = int(np.sum(~predicted & ~actual))
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "accuracy": (tp + tn) / size,
        # without a true positive all three are 0, or 0/0, which counts as 0
        "precision": tp / (tp + fp) if tp else 0.0,  # of the predicted positives, the right ones
        "recall": tp / (tp + fn) if tp else 0.0,  # of the actual positives, the found ones
        "f1": 2 * tp / (2 * tp + fp + fn) if tp else 0.0,  # harmonic mean of the two
    }
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The model of the second part hands its inputs on, so that you can choose the logits.

# %% tags=["visible-checks", "active-ipynb"]
# text, image = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32), np.array([[0.5], [-2.0]], np.float32)
# output = FusionClassifier(hidden_size=4, num_classes=3)([text, image])
# assert output["fused"].shape == (2, 4) and output["logits"].shape == (2, 3), output
#
#
# class PassOn(keras.Model):
#     def call(self, inputs):
#         return {"fused": inputs[1], "logits": inputs[0]}
#
#
# logits, fused = np.array([[2, -1, 0.5], [-3, 1, 0]], np.float32), np.ones((2, 4), np.float32)
# _, _, loss = fusion_loss(PassOn(), logits, fused, np.array([1, 0]))
# assert loss.shape == () and np.isclose(loss, 3.783937), loss
# _, _, loss = fusion_loss(PassOn(), logits, fused, np.array([1, 0]), sample_weight=np.array([3.0, 1.0]))
# assert np.isclose(loss, 3.512624), loss
#
# logits = np.array([[0, 3], [2, 1], [-1, 0], [0, 1], [4, -2]], np.float32)
# score = fuse_and_score(PassOn(), logits, np.ones((5, 4), np.float32), np.array([1, 1, 0, 0, 0]))
# assert [score[count] for count in ("tp", "fp", "fn", "tn")] == [1, 2, 1, 1], score
# ratios = [score[ratio] for ratio in ("precision", "recall", "f1", "accuracy")]
# assert np.allclose(ratios, [1 / 3, 0.5, 0.4, 0.4]), score

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A model that knows nothing gives the same logit to each of `C` classes. What must its loss be? What would a second
# softmax, or a missing one, do to the loss of a model that is completely sure and right?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Cross-entropy on logits contains the softmax already, in a form that cannot overflow. A weighted mean divides by the
# sum of the weights. Precision and recall are shares of two different sets, the predicted and the actual positives, and
# both are counted over the whole data set before anything is divided.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arrays, run the model, check the labels against the number of logits. Compute one cross-entropy for each
# sample, multiply by weights that sum to 1, add up. For the score: bring labels and probabilities to one shape
# `(batch,)`, make two boolean arrays, count the four combinations, then divide, with a rule for 0/0.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)` has shape `(batch,)`; its labels are int32 or int64.
# </details>
#
# ## Going further
#
# * With a second softmax the loss of `C` classes cannot fall below `ln(1 + (C - 1) / e)`: 0.55 for three classes, 3.62
#   for a hundred, even if every prediction is right. A loss that stops at such a value is worth a look at the head.
# * Before training, with small logits, expect a loss near `ln C`. It is a cheap test of the whole chain.
# * Keras recognises probabilities that come directly from its own softmax layer and repairs the double softmax with a
#   warning. It cannot do so once the values went through another operation, so do not rely on it.
# * A score belongs to a trained model and to data it has not seen. In batches, add up the counts, not the ratios.
#
# ## References
#
# * Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). Multimodal Machine Learning: A Survey and
#   Taxonomy. IEEE TPAMI 41(2).
# * Takaya Saito, Marc Rehmsmeier (2015). The Precision-Recall Plot Is More Informative than the ROC Plot When
#   Evaluating Binary Classifiers on Imbalanced Datasets. PLoS ONE 10(3).
