# %% [markdown]
# # A two-tower classifier in Keras
#
# A trained image network is a good start for a model that reads an image and a caption: keep it as one tower, add a
# small tower for the text, and train a head on both. What can go wrong raises no error: a head that hangs on the
# *input* of the trained network is a valid model without a single convolution, padding can pass for words, and weights
# can move that should stand still.
#
# ## Your task (about 35 minutes)
#
# Write
#
# ```python
# build_two_tower_classifier(image_base, vocab_size, max_len, *,
#                            embed_dim=32, hidden=64, dropout=0.2, preprocess=None, learning_rate=1e-3)
# ```
#
# It returns a compiled `keras.Model` that is called with a dictionary:
#
# | | shape | |
# |---|---|---|
# | `"image"` | `(batch, height, width, 3)`, float32 | pixel values from 0 to 255 |
# | `"text"` | `(batch, max_len)`, int32 | token ids from 0 to `vocab_size - 1`; 0 is padding, wherever it stands |
# | result | `(batch, 1)`, float32 | probability of class 1 |
#
# - **Image tower:** `preprocess`, then `image_base`, then the mean over height and width if the base returns 4-D
#   feature maps `(batch, height, width, channels)`. Features that are 2-D already stay as they are. `image_base` is a
#   functional model with one input and one output, like those of `keras.applications`; use it itself, not a copy of it.
#   Its `input_shape` says how large the images are (always with definite sizes here).
#   `preprocess` is a Keras layer or a function that works on Keras tensors, such as `lambda x: x / 255`; with `None`
#   the base gets the pixels as they are.
# - **Text tower:** one embedding table of shape `(vocab_size, embed_dim)`, and the mean of the embeddings of the tokens
#   that are not padding. A text of padding only has the vector 0, and no weight becomes NaN when it is trained on.
#   Padding has no influence on the result, whatever finite numbers row 0 of the table holds.
# - **Head:** image features first, the text's vector second; one linear layer with `hidden` units and a ReLU, dropout
#   of these units with rate `dropout` (in training mode only), one linear layer with one unit, a sigmoid. Both linear
#   layers have a bias. Nothing else is dropped: neither pixels nor words nor what goes into the hidden layer.
# - **What can be trained** are these five weights: the table, the two kernels and the two biases. `image_base` is
#   frozen in place: all of its weights, the statistics of its batch normalisation included, keep their values in
#   training. (The bases in the checks have batch normalisation, but no dropout.)
# - The model is compiled with `keras.optimizers.Adam` at `learning_rate` and with binary cross-entropy.
# - `ValueError` when the result of `image_base` is neither 2-D nor 4-D, `vocab_size` is below 2 or `max_len` below 1.
#
# A functional model and a subclass of `keras.Model` are both fine; the weights exist after the first call at the
# latest. Nothing is forbidden.
#
# ## A worked example
#
# The base turns pixels that were divided by 255 into feature maps whose means are 0.8 and 0.2. `embed_dim` is 2, row
# `i` of the table is `(i, i)`, `hidden` is 3, and all weights of the head are 0.1.
#
# | text | its vector | the head gets | a hidden unit | logit | probability |
# |---|---|---|---|---|---|
# | `[3, 5, 0, 0]` | (4, 4) | (0.8, 0.2, 4, 4) | 0.1 · 9 + 0.1 = 1 | 0.1 · 3 + 0.1 = 0.4 | 0.599 |
# | `[0, 0, 0, 0]` | (0, 0) | (0.8, 0.2, 0, 0) | 0.1 · 1 + 0.1 = 0.2 | 0.1 · 0.6 + 0.1 = 0.16 | 0.540 |

# %%
from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
from keras import layers, ops


# %% tags=["solution"]
def build_two_tower_classifier(
    image_base: keras.Model,
    vocab_size: int,
    max_len: int,
    *,
    embed_dim: int = 32,
    hidden: int = 64,
    dropout: float = 0.2,
    preprocess: Callable | None = None,
    learning_rate: float = 1e-3,
) -> keras.Model:
    """A classifier on frozen image features and the mean word vector (fusion: Baltrušaitis, Ahuja and Morency, 2019).

    Args:
        image_base: functional model from images (batch, height, width, 3) to features (batch, width) or feature maps
            (batch, height, width, channels); frozen in place.
        vocab_size: number of token ids, with 0 for padding.
        max_len: tokens of a text, padding included.
        embed_dim: width of the word vectors.
        hidden: units of the hidden layer.
        dropout: rate of the dropout on the hidden units.
        preprocess: Keras layer or function applied to the images; None for nothing.
        learning_rate: rate of Adam.

    Returns:
        A compiled model from {"image": float32, "text": int32 (batch, max_len)} to probabilities (batch, 1), float32.

    Raises:
        ValueError: the base's result is neither 2-D nor 4-D, vocab_size is below 2, or max_len is below 1.
    """
    ### BEGIN SOLUTION
    rank = len(image_base.output_shape)
    if rank not in (2, 4):
        raise ValueError(f"image_base must return 2-D features or 4-D feature maps, not {image_base.output_shape}")
    if vocab_size < 2 or max_len < 1:
        raise ValueError(f"vocab_size must be at least 2 and max_len at least 1, not {vocab_size} and {max_len}")

    image_base.trainable = False  # in Keras, frozen batch normalisation also keeps its statistics
    image = keras.Input(image_base.input_shape[1:], name="image")
    features = image_base(image if preprocess is None else preprocess(image))
    if rank == 4:
        features = layers.GlobalAveragePooling2D()(features)  # (batch, channels)

    text = keras.Input((max_len,), dtype="int32", name="text")
    vectors = layers.Embedding(vocab_size, embed_dim)(text)  # (batch, max_len, embed_dim)
    present = ops.cast(ops.not_equal(text, 0), "float32")[:, :, None]  # (batch, max_len, 1)
    # mean = sum over the real tokens / their number, which counts as 1 where there are none
    sentence = ops.sum(present * vectors, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)  # (batch, embed_dim)

    joined = layers.Concatenate()([features, sentence])  # (batch, channels + embed_dim)
    units = layers.Dense(hidden, activation="relu")(joined)  # (batch, hidden)
    probability = layers.Dense(1, activation="sigmoid")(layers.Dropout(dropout)(units))  # (batch, 1)

    model = keras.Model({"image": image, "text": text}, probability)
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="binary_crossentropy")
    return model
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# import numpy as np
#
# pixels = keras.Input((2, 2, 3))
# base = keras.Model(pixels, layers.Conv2D(2, 1, use_bias=False)(pixels))
# base.set_weights([np.array([[1, 0], [0, 1], [0, 0]], np.float32).reshape(1, 1, 3, 2)])  # red and green
# model = build_two_tower_classifier(base, 6, 4, embed_dim=2, hidden=3, dropout=0.0, preprocess=lambda x: x / 255)
# image = np.full((2, 2, 2, 3), [204, 51, 77], np.float32)
# batch = {"image": image, "text": np.array([[3, 5, 0, 0], [0, 0, 0, 0]], np.int32)}
# assert model(batch).shape == (2, 1), f"model(batch).shape is {model(batch).shape}; expected (2, 1)"
#
# shapes = sorted(tuple(variable.shape) for variable in model.trainable_variables)
# expected = [(1,), (3,), (3, 1), (4, 3), (6, 2)]
# assert shapes == expected, f"the trainable weights have the shapes {shapes}; expected {expected}"
# for variable in model.trainable_variables:
#     rows = np.arange(6)[:, None] if variable.shape == (6, 2) else 0.1
#     variable.assign(np.broadcast_to(rows, variable.shape).astype(np.float32))
# probability = np.array(model(batch))
# expected = [[0.598688], [0.539915]]
# assert np.allclose(probability, expected, atol=1e-4), f"model(batch) is {probability.tolist()}; expected {expected}"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If you change a kernel inside `image_base`, should the prediction change? And if you replace the padding's row of the
# embedding table by huge numbers? Which of the two does your model do?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A functional model is what lies between its inputs and its outputs: a layer that is not on this way is no part of it.
# So call the base on the (preprocessed) image and go on with the result. A mean over some of the tokens is a sum times
# a mask, divided by what the mask counts, and that number may be 0.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments; the base knows its `input_shape` and `output_shape`. Freeze the base. Two inputs, named like the
# keys of the dictionary. Image: preprocess, base, pooling if 4-D. Text: embedding, a mask of 0 and 1 with an axis for
# the width, the sum of mask times embeddings, divided by the larger of 1 and the mask's sum. Join, hidden layer,
# dropout, output; then compile.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `sentence = ops.sum(present * vectors, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)`, with `present` of shape
# `(batch, max_len, 1)`.
# </details>
#
# ## Going further
#
# - `GlobalAveragePooling1D` after an embedding with `mask_zero=True` takes the same mean, but gives NaN for a text of
#   padding only, and one NaN in a batch makes all weights NaN.
# - Flattening the 7 × 7 × 512 feature maps of VGG16 gives 25 088 features, and a first layer of 256 units on them has
#   6.4 million weights. The mean over height and width leaves 512 features.
# - `preprocess` inside the model means that serving and training cannot disagree about it.
# - Freezing protects batch normalisation, not dropout: in Keras 3 a `training=False` given to a base inside a
#   *functional* model is overridden in `fit`, and the base's dropout is active. In a subclass it is respected.
# - Next step: unfreeze the top of the base and go on at a much smaller rate; that needs a second `compile`. Lower
#   layers tend to be more general than higher ones (Yosinski et al., 2014), so one starts at the top.
# - For image and text today one would rather start from a model that was trained on both, such as CLIP (Radford et al.,
#   2021).
#
# ## References
#
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). Multimodal Machine Learning: A Survey and
#   Taxonomy. IEEE TPAMI 41(2).
# - Jason Yosinski, Jeff Clune, Yoshua Bengio, Hod Lipson (2014). How transferable are features in deep neural networks?
#   NIPS 2014.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision. ICML 2021.
