# %% [markdown]
# # Augmentation at feature level
#
# Images can be cropped and sentences rephrased, but features that were computed once and stored can only be changed as
# they are: by a little noise, or by mixing two samples. A published answer adds noise in a `Lambda` layer: it is added
# at test time as well, it has the same size whether the features are around 0.01 or around 100, and token ids make it
# crash. And for pairs of text and image there is one more rule: what happens to a text has to happen to its image and
# to its label too, or the pairs are no longer pairs.
#
# ## Your task (35 minutes)
#
# **1. `PairedNoise(relative_std, seed)`**, a subclass of `keras.layers.Layer` that is called as
# `layer([text, image], training=None)` and returns a list of two tensors, with the shapes and dtypes of the inputs.
#
# - `text` and `image` are floating-point arrays or tensors with the batch as their first axis, for example
#   `(batch, text width)` and `(batch, image width)`; their dtype may be float16, float32 or float64. **The result keeps
#   the dtype.** (Keras layers turn all floats into float32, unless the constructor of `keras.layers.Layer` gets
#   `autocast=False`.)
# - Only with `training=True` noise is added. Otherwise the result equals the input bit for bit.
# - The noise is normal with mean 0 and standard deviation `relative_std` times that of the modality: the standard
#   deviation of **all** numbers in that tensor (dividing by their number, as `np.std` does). Every number gets its own
#   noise, and text and image get different noise. Float16 features of a size of 1000 must not overflow on the way.
# - Every call makes new noise, even inside a `tf.function`. Two layers with the same seed make the same sequence of
#   noise, also for inputs of another scale; another seed gives another sequence. NumPy's global random state stays as
#   it is.
# - `ValueError` from the constructor for a `relative_std` that is negative or not finite, and from a call, whatever
#   `training` is, if the batch sizes differ. `TypeError` from a call, whatever `training` is, if text or image hold
#   integers (such as token ids).
#
# **2. `mixup_pairs(text, image, labels_onehot, lam, perm)`** returns `(text, image, labels)`, tensors or arrays in
# which row `i` is `lam` times row `i` plus `1 - lam` times row `perm[i]`. Weight and partner are the same for text,
# image and labels.
#
# - `text` and `image` are tensors as above with any number of axes, `labels_onehot` is a tensor `(batch, classes)` of
#   floating-point numbers, `lam` a Python float, `perm` a NumPy array of integers `(batch,)`: a permutation of 0 …
#   batch - 1. Each result has the dtype of its input and its precision (float64 is not rounded to float32 on the way),
#   and the inputs stay as they are.
# - `ValueError` if `lam` is not between 0 and 1 (both are allowed), if `perm` is not a permutation, and if the batch
#   sizes differ. `TypeError` if text, image or labels are integers.
#
# Not allowed: `keras.layers.GaussianNoise`. `mixup_pairs` is called eagerly, the layer inside a `tf.function` too.
#
# ## A worked example
#
# With `lam=0.75` and `perm=[1, 2, 0]`:
#
# | sample | text | image | label | partner | new text | new image | new label |
# |---|---|---|---|---|---|---|---|
# | 0 | 4 | (8, 0) | (1, 0) | 1 | 3 + 2 = 5 | (6, 1) | (0.75, 0.25) |
# | 1 | 8 | (0, 4) | (0, 1) | 2 | 6 - 1 = 5 | (1, 4) | (0, 1) |
# | 2 | -4 | (4, 4) | (0, 1) | 0 | -3 + 1 = -2 | (5, 3) | (0.25, 0.75) |
#
# The texts 4, 8 and -4 have the standard deviation 4.99. With `relative_std=0.1` their noise has 0.499, and for 400,
# 800 and -400 it has 49.9.

# %%
from __future__ import annotations

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf

# %% [markdown]
# ## Part 1: noise that fits the features


# %% tags=["solution"]
class PairedNoise(keras.layers.Layer):
    """Gaussian noise on text and image features, relative to the spread of each modality, in training only.

    Args:
        relative_std: standard deviation of the noise over that of the features, 0 or more.
        seed: decides the sequence of noise.
        kwargs: arguments of keras.layers.Layer, such as name.

    Raises:
        ValueError: relative_std is negative or not finite.

    Source: small input noise acts like a penalty on rough functions (Bishop, 1995).
    """

    def __init__(self, relative_std: float, seed: int, **kwargs) -> None:
        ### BEGIN SOLUTION
        super().__init__(autocast=False, **kwargs)  # otherwise Keras turns float64 and float16 into float32
        if not 0 <= relative_std < math.inf:  # written so that NaN is refused too
            raise ValueError(f"relative_std must be finite and 0 or more, not {relative_std}")
        self.relative_std = relative_std
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        ### END SOLUTION

    def call(self, inputs: list[tf.Tensor], training: bool | None = None) -> list[tf.Tensor]:
        """[text (batch, ...), image (batch, ...)] with noise if `training`, as they are otherwise; dtypes are kept.

        Raises TypeError for integer features, ValueError for different batch sizes.
        """
        ### BEGIN SOLUTION
        text, image = (tf.convert_to_tensor(features) for features in inputs)
        if not (text.dtype.is_floating and image.dtype.is_floating):
            raise TypeError(f"features must be floating-point numbers, not {text.dtype.name} and {image.dtype.name}")
        if text.shape[0] != image.shape[0]:
            raise ValueError(f"{text.shape[0]} texts and {image.shape[0]} images are no pairs")
        if not training:
            return [text, image]
        noisy = []
        for features in (text, image):
            # in float64, since a square in float16 overflows from 256 on
            spread = tf.math.reduce_std(tf.cast(features, tf.float64))  # ()
            noise = keras.random.normal(tf.shape(features), dtype="float64", seed=self.generator)
            noisy.append(features + tf.cast(self.relative_std * spread * noise, features.dtype))
        return noisy
        ### END SOLUTION


# %% [markdown]
# ## Part 2: mixing pairs


# %% tags=["solution"]
def mixup_pairs(
    text: tf.Tensor, image: tf.Tensor, labels_onehot: tf.Tensor, lam: float, perm: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mix each sample with its partner: lam * x + (1 - lam) * x[perm], for text, image and label alike.

    Args:
        text: floating-point features, (batch, ...).
        image: floating-point features, (batch, ...).
        labels_onehot: floating-point numbers, (batch, classes).
        lam: weight of the sample itself, between 0 and 1.
        perm: integers, (batch,), the partner of each sample; a permutation.

    Returns:
        Mixed text, image and labels, with the shapes and dtypes of the inputs.

    Raises:
        TypeError: text, image or labels are integers.
        ValueError: lam is not between 0 and 1, perm is no permutation, or batch sizes differ.

    Source: mixup (Zhang, Cissé, Dauphin and Lopez-Paz, 2018); on features Verma et al. (2019).
    """
    ### BEGIN SOLUTION
    tensors = [tf.convert_to_tensor(values) for values in (text, image, labels_onehot)]
    if not all(values.dtype.is_floating for values in tensors):
        raise TypeError(f"expected floating-point numbers, not {[values.dtype.name for values in tensors]}")
    batch = len(perm)
    if any(values.shape[0] != batch for values in tensors):
        raise ValueError(f"batch sizes differ: {[values.shape[0] for values in tensors]}, and {batch} in perm")
    if not np.array_equal(np.sort(perm), np.arange(batch)):
        raise ValueError(f"perm must hold each of 0 to {batch - 1} once, not {perm}")
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be between 0 and 1, not {lam}")
    mixed_text, mixed_image, mixed_labels = (lam * values + (1 - lam) * tf.gather(values, perm) for values in tensors)
    return mixed_text, mixed_image, mixed_labels
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# text = tf.constant([[4.0], [8.0], [-4.0]])
# image = tf.constant([[8.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
# labels = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
# mixed_text, mixed_image, mixed_labels = mixup_pairs(text, image, labels, 0.75, np.array([1, 2, 0]))
# assert np.allclose(mixed_text, [[5.0], [5.0], [-2.0]]), mixed_text
# assert np.allclose(mixed_image, [[6.0, 1.0], [1.0, 4.0], [5.0, 3.0]]), mixed_image
# assert np.allclose(mixed_labels, [[0.75, 0.25], [0.0, 1.0], [0.25, 0.75]]), mixed_labels
#
# same_text, same_image = PairedNoise(0.1, seed=3)([text, image])
# assert np.array_equal(same_text, text) and np.array_equal(same_image, image)
# noise = PairedNoise(0.1, seed=3)([text, image], training=True)[0] - text
# larger = PairedNoise(0.1, seed=3)([100 * text, image], training=True)[0] - 100 * text
# assert np.abs(noise).min() > 0 and np.allclose(larger, 100 * noise, atol=0.01), (noise, larger)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Features that are stored in other units, a thousand times larger, mean the same. So the noise should be a thousand
# times larger, too. And a test set should give the same accuracy twice. What do your layer and the published one do?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# `training` tells a layer whether it is being trained; whatever is random asks for it. A seed generator of the library
# is a small counter that belongs to the layer: each draw moves it on, inside a compiled function as well. A random
# array that NumPy made while the function was traced stays the same in every call.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Layer: the constructor checks, keeps the factor and makes one generator; the call converts, checks dtypes and batch
# sizes, returns the inputs if nobody is training, and otherwise for each modality adds normal noise times its spread
# times the factor, in a wide dtype, cast back. Mixing: check everything in Python, then the same line for all three.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `mixed = lam * features + (1 - lam) * tf.gather(features, perm)`; and
# `keras.random.normal(features.shape, dtype="float64", seed=self.generator)` for the noise.
# </details>
#
# ## Going further
#
# - Noise belongs on embeddings, never on token ids: the id 17.3 is no word between 17 and 18.
# - For small noise, training on noisy inputs is about the same as a penalty on the slope of the model (Bishop, 1995).
#   It makes the model smoother; it adds no information that the data did not have.
# - `lam` is usually drawn anew for every batch from a beta distribution. A different permutation for each modality
#   would give the model texts beside images that they do not describe.
# - Mixing hidden features instead of inputs is called manifold mixup (Verma et al., 2019).
#
# ## References
#
# - Chris M. Bishop (1995). Training with Noise is Equivalent to Tikhonov Regularization. Neural Computation 7(1).
# - Hongyi Zhang, Moustapha Cissé, Yann N. Dauphin, David Lopez-Paz (2018). mixup: Beyond Empirical Risk Minimization.
#   ICLR 2018.
# - Vikas Verma, Alex Lamb, Christopher Beckham, et al. (2019). Manifold Mixup: Better Representations by Interpolating
#   Hidden States. ICML 2019.
