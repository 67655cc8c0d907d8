# %% [markdown]
# # Attention over modalities
#
# A product has a title and a photo. For one product the title says it all, for another only the photo helps, for a
# third the photo is missing. A layer that gives every sample its own weight for every modality can follow that, and the
# weights can be logged. They have to look at **all** the modalities: a published version computes them from the text
# alone, mixes the samples of a batch on the way, and never asks whether the image was worth anything.
#
# ## Your task (about 35 minutes)
#
# Write the Keras layer `ModalityAttention(hidden_size, score_size=16)`. Its `call(features, present=None)` returns
# `(fused, weights)`.
#
# | tensor | shape | |
# |---|---|---|
# | `features` | a list: `(batch, width 0)`, `(batch, width 1)`, … | one vector of each modality for each sample |
# | `present` | `(batch, modalities)`, boolean | `True` = this modality is there; `None` = all are |
# | `fused` | `(batch, hidden_size)`, float32 | |
# | `weights` | `(batch, modalities)`, float32 | |
#
# The first call creates the weights of the layer. They are Keras variables under these names, and there are no others:
#
# | attribute | shape | |
# |---|---|---|
# | `W`, a list | `W[m]`: `(width m, hidden_size)` | one projection for each modality |
# | `b`, a list | `b[m]`: `(hidden_size,)` | |
# | `U` | `(hidden_size, score_size)` | one scorer, shared by all modalities, without biases |
# | `v` | `(score_size,)` or `(score_size, 1)` | |
#
# For the vector x of modality m, in one sample:
#
# - projected vector: h = tanh(x W[m] + b[m]); score: v · tanh(h U).
# - `weights`: softmax of the scores over the modalities of that sample. `fused`: the sum of the projected vectors, each
#   times its weight. Scores of some hundreds give finite, correct results.
# - An absent modality has weight exactly 0, the others sum to 1, and what stands in its place has no influence on
#   results or gradients, **even if it is NaN**.
# - A sample in which nothing is present has weights 0 and a fused vector 0, and no gradient becomes NaN because of it.
# - `ValueError` for an empty list (Keras then calls `build` with `None`), for features that are not 2-D, for different
#   batch sizes, when a later call brings another number of modalities or another width than the first, and when
#   `present` does not have the shape `(batch, modalities)`. Test this in Python, before TensorFlow meets shapes that do
#   not fit. Integer features, or a `present` that is not boolean: `TypeError` or `ValueError`, as you like.
#
# All of TensorFlow and Keras may be used. How `W`, `U` and `v` start is your choice, as long as it is at random.
#
# ## Worked example
#
# In one sample, the projected vectors of text and image are (0.8, 0) and (0, 0.4), and the scorer gives them ln 3
# and 0. The weights are 3/4 and 1/4 and the fused vector is (0.6, 0.1). If the image is absent, the weights are 1 and 0
# and the fused vector is (0.8, 0); if both are, everything is 0.

# %%
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import tensorflow as tf


# %% tags=["solution"]
class ModalityAttention(keras.layers.Layer):
    """Weighted sum of one vector a modality, with weights from a shared additive scorer (Bahdanau et al. 2015).

    Variables, created by the first call: W[m] (width m, hidden_size), b[m] (hidden_size,), U (hidden_size, score_size),
    v (score_size,).
    """

    def __init__(self, hidden_size: int, score_size: int = 16) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.hidden_size = hidden_size
        self.score_size = score_size
        ### END SOLUTION

    def build(self, input_shape: list[tuple[int, int]] | None) -> None:
        """Create the variables; Keras calls this before the first `call`, with the shapes of the features."""
        ### BEGIN SOLUTION
        if not input_shape:
            raise ValueError("there is no modality to attend to")
        self.W = [self.add_weight(shape=(shape[-1], self.hidden_size)) for shape in input_shape]
        self.b = [self.add_weight(shape=(self.hidden_size,), initializer="zeros") for _ in input_shape]
        self.U = self.add_weight(shape=(self.hidden_size, self.score_size))
        self.v = self.add_weight(shape=(self.score_size,))
        ### END SOLUTION

    def call(self, features: list[tf.Tensor], present: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the fused vectors (batch, hidden_size) and the weights (batch, modalities), both float32.

        features: floating, one (batch, width) a modality. present: boolean (batch, modalities), None = all there.
        A sample in which nothing is present gives 0 and 0.
        Raises ValueError for shapes that do not fit together or not to the first call, TypeError for a wrong dtype.
        """
        ### BEGIN SOLUTION
        if len(features) != len(self.W):
            raise ValueError(f"{len(features)} modalities, but the layer was built for {len(self.W)}")
        batch = features[0].shape[0]
        for vectors, kernel in zip(features, self.W, strict=True):
            if not vectors.dtype.is_floating:
                raise TypeError(f"features must be floating, not {vectors.dtype.name}")
            if vectors.shape != (batch, kernel.shape[0]):
                raise ValueError(f"expected features {(batch, kernel.shape[0])}, not {vectors.shape}")
        if present is None:
            present = tf.stack([tf.ones_like(x[:, 0], tf.bool) for x in features], axis=1)  # (batch, modalities)
        if present.dtype != tf.bool:
            raise TypeError(f"present must be boolean, not {present.dtype.name}")
        if present.shape != (batch, len(features)):
            raise ValueError(f"expected present {(batch, len(features))}, not {present.shape}")

        # what stands in for an absent modality may be anything, and 0 * NaN is NaN: empty it before it enters a product
        features = [tf.where(present[:, m, tf.newaxis], vectors, 0.0) for m, vectors in enumerate(features)]

        # projected vector = tanh(x W + b), one projection for each modality
        projected = [tf.tanh(tf.matmul(x, W) + b) for x, W, b in zip(features, self.W, self.b, strict=True)]
        projected = tf.stack(projected, axis=1)  # (batch, modalities, hidden size)

        # score = v . tanh(h U), the same scorer for all
        scores = tf.linalg.matvec(tf.tanh(tf.matmul(projected, self.U)), self.v)  # (batch, modalities)

        # weights = softmax over the present modalities; without any it is 0/0 = NaN, and everything counts 0 instead
        weights = tf.nn.softmax(tf.where(present, scores, -math.inf), axis=1)
        weights = tf.where(present, weights, 0.0)

        # fused = sum of the projected vectors, each times its weight
        fused = tf.reduce_sum(weights[:, :, tf.newaxis] * projected, axis=1)  # (batch, hidden size)
        return fused, weights
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# With the variables set by hand, the text becomes (0.5, 0) and gets the score ln 4, the image becomes (0, 0.3) and gets
# the score 0.

# %% tags=["visible-checks", "active-ipynb"]
# layer = ModalityAttention(hidden_size=2, score_size=1)
# text = tf.constant([[math.atanh(0.5)], [math.atanh(0.5)]])  # (2, 1)
# image = tf.constant([[math.atanh(0.3), 7.0], [math.nan, math.nan]])  # (2, 2)
# layer([text, image])  # creates the variables
# layer.W[0].assign([[1.0, 0.0]])
# layer.W[1].assign([[0.0, 1.0], [0.0, 0.0]])
# for bias in layer.b:
#     bias.assign([0.0, 0.0])
# layer.U.assign([[2 * math.atanh(0.5)], [0.0]])
# layer.v.assign(tf.reshape([2 * math.log(4)], layer.v.shape))
#
# fused, weights = layer([text, image], present=tf.constant([[True, True], [True, False]]))
# assert fused.shape == (2, 2) and weights.shape == (2, 2), (fused.shape, weights.shape)
# tf.debugging.assert_near(weights, [[0.8, 0.2], [1.0, 0.0]], atol=1e-5)
# tf.debugging.assert_near(fused, [[0.4, 0.06], [0.5, 0.0]], atol=1e-5)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# For one sample, which numbers should sum to 1? If only the photo of a product is replaced, which weights may change,
# and may those of another product in the batch? Which of your axes is the one to choose from?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Vectors of different widths cannot be compared. Once each has been projected to the same width, one scorer can judge
# them all, and a softmax over the modalities turns the scores of one sample into shares. An absent modality must be
# gone before the shares are made. And NaN survives a multiplication by 0.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Create the variables in `build`. In `call`, check list, shapes and mask. Put zeros where nothing is present. Project
# each modality and stack the results to (batch, modalities, hidden size). Apply the scorer to the last axis. Replace
# the scores of absent modalities by minus infinity, take the softmax over the modalities, and think of samples in which
# nothing was left. Multiply, with an axis added to the weights, and sum over the modalities.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# fused = tf.einsum("bm,bmh->bh", weights, projected)  # (batch, hidden size)
# ```
#
# </details>
#
# ## Going further
#
# - The Gated Multimodal Unit lets every modality, and every coordinate, have a sigmoid gate of its own; those do not
#   sum to 1.
# - Such layers tend to lean on the one modality that is easiest to learn from. Dropping whole modalities at random
#   during training counters that; the mask is what you need for it.
# - Log the weights, but do not read them as causes: a weight says how much of a vector went into the sum, not what the
#   answer would have been without it.
#
# ## References
#
# - Dzmitry Bahdanau, Kyunghyun Cho, Yoshua Bengio (2015), Neural Machine Translation by Jointly Learning to Align and
#   Translate: the additive score.
# - John Arevalo, Thamar Solorio, Manuel Montes-y-Gómez, Fabio A. González (2017), Gated Multimodal Units for
#   Information Fusion.
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016), ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.
# - Sarthak Jain, Byron C. Wallace (2019), Attention is not Explanation.
# - Sarah Wiegreffe, Yuval Pinter (2019), Attention is not not Explanation.
