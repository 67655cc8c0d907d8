# %% [markdown]
# # Text tokens attend to image tokens (TensorFlow)
#
# "A red kite over the bay": the word *red* has to look at other parts of the picture than the word *bay*. Cross-modal
# attention gives every text token its own weighted average of the image tokens, and a model can act on what it found
# there. A shortcut that circulates multiplies the matrix of similarities with the features number by number, as if it
# were a gate. That fits together only when the shapes agree by chance, and no image token is ever averaged: what makes
# it attention is a second matrix product.
#
# ## Your task (about 35 minutes)
#
# Write `cross_modal_attention(text, image, image_mask=None)`, which returns `(context, weights)`.
#
# | tensor | shape | |
# |---|---|---|
# | `text` | `(batch, text tokens, width)` | the queries |
# | `image` | `(batch, image tokens, width)` | keys and values at once: there are no projections here |
# | `image_mask` | `(batch, image tokens)`, boolean | `True` = may be attended to; `None` = every token may |
# | `context` | `(batch, text tokens, width)` | for each text token, the average of the image tokens it looks at |
# | `weights` | `(batch, text tokens, image tokens)` | how much of each |
#
# - Arguments and results are TensorFlow tensors (eager mode). `text`, `image` and both results have one floating dtype:
#   float32 comes back as float32, float64 as float64. A mix of two dtypes need not be handled.
# - Weights: the dot product of a text token with each image token **of the same sample**, divided by √width, then a
#   softmax over the image tokens. Context: the image tokens averaged with these weights.
# - A masked image token has weight exactly 0, the others sum to 1, and its content has no influence, even where it is
#   large: in a check, masked tokens have scores of ten million (they are finite; you need not handle NaN there).
# - A sample whose image tokens are all masked has weights 0 and context 0, and no gradient becomes NaN because of it.
# - Scores as large as ±10000 give finite, correct results. Gradients flow from `context` to `text` and `image`.
# - `ValueError` when `text` or `image` is not 3-D, when they differ in batch size or in width, when there are 0 image
#   tokens, or when the mask's shape is not `(batch, image tokens)`. Test this in Python, before TensorFlow meets shapes
#   that do not fit. Features that are not floating, or a mask that is not boolean: `TypeError` or `ValueError`, as you
#   like. There is at least one text token, and the width is at least 1.
#
# Not allowed: the ready-made `Attention`, `MultiHeadAttention` and `GroupQueryAttention` of `keras.layers`, and
# `keras.ops.dot_product_attention`. Everything else in TensorFlow and Keras is welcome, loops included.
#
# ## Worked example
#
# One text token (2, 0, 0, 0) and three image tokens (ln 6, 8, 0, 0), (0, 0, 8, 0) and (0, 0, 0, 8). The dot products
# 2 ln 6, 0, 0 are divided by √4: ln 6, 0, 0. The softmax gives 6/8, 1/8, 1/8, and the context is
# (0.75 ln 6, 6, 1, 1).
#
# Mask the third image token: the weights become 6/7, 1/7, 0. Mask all three: weights 0, 0, 0 and context (0, 0, 0, 0).

# %%
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import tensorflow as tf


# %% tags=["solution"]
def cross_modal_attention(
    text: tf.Tensor, image: tf.Tensor, image_mask: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Let every text token take a weighted average of the image tokens (Vaswani et al. 2017; Lu et al. 2019).

    text (batch, text tokens, width), image (batch, image tokens, width): one floating dtype.
    image_mask (batch, image tokens) boolean, True = may be attended to; None = all.

    Returns the context (batch, text tokens, width) and the weights (batch, text tokens, image tokens), in the dtype of
    the inputs. A sample without any valid image token has weights 0 and context 0.
    Raises ValueError for shapes that do not fit together or no image tokens; TypeError (ValueError is as good) for
    features that are not floating and for a mask that is not boolean.
    """
    ### BEGIN SOLUTION
    if not (text.dtype.is_floating and image.dtype.is_floating):
        raise TypeError(f"features must be floating, not {text.dtype.name} and {image.dtype.name}")
    if text.ndim != 3 or image.ndim != 3:
        raise ValueError(f"expected (batch, tokens, width) twice, not {text.shape} and {image.shape}")
    if text.shape[0] != image.shape[0] or text.shape[2] != image.shape[2]:
        raise ValueError(f"batch size or width differ: text {text.shape}, image {image.shape}")
    if image.shape[1] == 0:
        raise ValueError("there is no image token to attend to")
    if image_mask is None:
        image_mask = tf.fill(image.shape[:2], True)
    if image_mask.dtype != tf.bool:
        raise TypeError(f"image_mask must be boolean, not {image_mask.dtype.name}")
    if image_mask.shape != image.shape[:2]:
        raise ValueError(f"image_mask {image_mask.shape} does not fit image {image.shape}")

    # score = dot product of a text and an image token, divided by sqrt(width) (first: float16 overflows less easily)
    scores = tf.matmul(text / math.sqrt(text.shape[2]), image, transpose_b=True)  # (batch, text tokens, image tokens)

    # weights = softmax over the visible image tokens; without any it is 0/0 = NaN, and nothing is attended to instead
    visible = image_mask[:, tf.newaxis, :]  # (batch, 1, image tokens)
    weights = tf.nn.softmax(tf.where(visible, scores, -math.inf), axis=-1)
    weights = tf.where(visible, weights, 0.0)

    # context = average of the image tokens with these weights
    context = tf.matmul(weights, image)  # (batch, text tokens, width)
    return context, weights
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# The first text token is (2, 0, 0, 0): its dot products 2 ln 7, 0, 0, 0 become ln 7, 0, 0, 0, and the weights are 7/10
# and three times 1/10. The other text tokens are all 0 and take the plain average. There are 4 text tokens, 4 image
# tokens and 4 coordinates, so that the shortcut of the introduction runs as well: see what it returns. In the hidden
# checks the sizes differ.

# %% tags=["visible-checks", "active-ipynb"]
# text = tf.pad(tf.constant([[[2.0]]]), [[0, 0], [0, 3], [0, 3]])  # (1, 4, 4)
# image = tf.constant([[[math.log(7), 10, 0, 0], [0, 0, 10, 0], [0, 0, 0, 10], [0, 0, 0, 0]]])  # (1, 4, 4)
#
# context, weights = cross_modal_attention(text, image)
# assert context.shape == (1, 4, 4) and weights.shape == (1, 4, 4), (context.shape, weights.shape)
# tf.debugging.assert_near(weights[0, :2], [[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
# tf.debugging.assert_near(context[0, :2, 1:], [[7.0, 1.0, 1.0], [2.5, 2.5, 2.5]], atol=1e-5)
#
# context, weights = cross_modal_attention(text, image, image_mask=tf.constant([[True, False, True, True]]))
# tf.debugging.assert_near(weights[0, :2], [[7 / 9, 0.0, 1 / 9, 1 / 9], [1 / 3, 0.0, 1 / 3, 1 / 3]])
# tf.debugging.assert_near(context[0, :2, 1:], [[70 / 9, 0.0, 10 / 9], [10 / 3, 0.0, 10 / 3]], atol=1e-5)
#
# context, weights = cross_modal_attention(text, image, image_mask=tf.constant([[False, False, False, False]]))
# tf.debugging.assert_near(weights, tf.zeros((1, 4, 4)))
# tf.debugging.assert_near(context, tf.zeros((1, 4, 4)))

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Hide an image token by the mask, or leave it out of the tensor: the context must be the same. Take one sample out of
# the batch and call the function with it alone: the same again. What do the weights of one text token sum to?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Two matrix products for every sample. The first compares: each text token with each image token of its sample. The
# second mixes: each row of weights with the image tokens. What is between them turns the row of scores into shares, and
# a token that must not be seen has to be gone before the shares are made.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Check dtypes and shapes. Multiply the text with the transposed image, divided by the square root of the width: one
# (text tokens, image tokens) matrix a sample. Give the mask an axis for the text tokens. Replace hidden scores by minus
# infinity and take the softmax over the last axis. Think of rows in which nothing was left: of their weights, and of
# the gradient that goes back through them. Multiply with the image.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# scores = tf.matmul(text, image, transpose_b=True) / math.sqrt(width)  # (batch, text tokens, image tokens)
# ```
#
# </details>
#
# ## Going further
#
# - In a model, learned projections come before (queries from the text, keys and values from the image, several heads)
#   and a residual connection, layer normalisation and a feed-forward layer after it.
# - The attention layers of Keras treat a sample without valid tokens differently: `keras.layers.Attention` averages all
#   the masked tokens. An empty image in a batch is a common accident; know what your library makes of it.
#
# ## References
#
# - Dzmitry Bahdanau, Kyunghyun Cho, Yoshua Bengio (2015), Neural Machine Translation by Jointly Learning to Align and
#   Translate: attention before the dot product, with additive scores.
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Jiasen Lu, Dhruv Batra, Devi Parikh, Stefan Lee (2019), ViLBERT: Pretraining Task-Agnostic Visiolinguistic
#   Representations for Vision-and-Language Tasks.
# - Hao Tan, Mohit Bansal (2019), LXMERT: Learning Cross-Modality Encoder Representations from Transformers.
# - Yao-Hung Hubert Tsai, Shaojie Bai, Paul Pu Liang, et al. (2019), Multimodal Transformer for Unaligned Multimodal
#   Language Sequences.
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022), Flamingo: a Visual Language Model for Few-Shot
#   Learning.
