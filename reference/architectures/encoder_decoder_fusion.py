# %% [markdown]
# # Encoder-decoder fusion
#
# A translation model reads a sentence once, keeps what it read as a memory, and asks that memory a question at every
# step. The same two roles fuse modalities: the encoder turns the caption into a memory, and every image patch asks it
# what the words say about this place. "Encoder" and "decoder" are roles, not names of layers. A published answer puts
# four dense layers in two rows and adds the results: nothing asks, nothing is remembered, and what a word contributes
# is the same for every image.
#
# ## Your task (about 50 minutes)
#
# Write the Keras layer `EncoderDecoderFusion(hidden_size, num_heads=1, dropout=0.0)`, with
# `call(text, image, text_mask=None, training=None, return_attention_scores=False)`.
#
# | tensor | shape | |
# |---|---|---|
# | `text` | `(batch, text tokens, text width)` | |
# | `image` | `(batch, image tokens, image width)` | |
# | `text_mask` | `(batch, text tokens)`, boolean | `True` = may be attended to; `None` = every token may |
# | output | `(batch, image tokens, hidden_size)`, float32 | what each image token became |
# | attention scores | `(batch, num_heads, image tokens, text tokens)` | returned on request only |
#
# - **Encoder:** project the text to `hidden_size` and let its tokens attend to each other. The result is the memory.
# - **Decoder:** project the image to `hidden_size`; each image token attends to the memory with `num_heads` heads. Add
#   what it finds to the image token (a residual connection), and let a feed-forward network follow, with a residual
#   connection of its own. Use layer normalisation, before the parts or after the sums, as you like. The output has both
#   signs: do not end with a ReLU.
# - No positional codes: the order of the text tokens has no influence, and when image tokens change places, so do their
#   outputs. Width and activation of the feed-forward network, and further layers, are up to you.
# - With `return_attention_scores=True` the result is `(output, scores)`: the decoder's attention weights, after the
#   softmax, each head its own. For every image token they sum to 1.
# - A masked text token has no influence, as little as if it were not there, and scores of exactly 0 (finite content).
# - A sample whose text is completely masked has scores 0, its text has no influence, and the attention adds nothing to
#   its image tokens, not even a bias; they still go through the feed-forward network. No gradient becomes NaN.
# - A 2-D input, `(batch, width)`, counts as one token. If `image` is 2-D the output is `(batch, hidden_size)`. The mask
#   of a 2-D text has shape `(batch, 1)`; the scores keep their four axes. One layer takes 2-D and 3-D inputs in turn.
# - `dropout` acts only while `training` is true. Otherwise the same input gives the same output.
# - All variables belong to the layer, are created once, and all of them take part in the result. `get_config()` returns
#   what JSON can hold, with the three arguments under their names; `from_config` makes a layer with the same settings
#   from it. Keyword arguments of `keras.layers.Layer`, such as `name`, are accepted too.
# - `ValueError` from the constructor unless `hidden_size` and `num_heads` are at least 1, `hidden_size` is a multiple
#   of `num_heads`, and `dropout` is at least 0 and less than 1. `ValueError` from a call when `text` or `image` is
#   neither 2-D nor 3-D, when their batch sizes differ, and when the mask's shape is not `(batch, text tokens)`. A mask
#   that is not boolean: `TypeError` or `ValueError`, as you like.
#
# Nothing is forbidden: `keras.layers.MultiHeadAttention` and `keras.layers.LayerNormalization` are good building
# blocks. Know one thing about the former: where everything is masked, its default call averages what it should not
# see; when it is asked for its scores as well, those are 0, and its result is the bias of its output projection.
#
# ## Worked example
#
# A caption of 4 tokens 300 wide and an image of 49 patches 512 wide, 2 samples, `hidden_size=64`, `num_heads=4`: the
# memory is (2, 4, 64), the queries are (2, 49, 64), the scores (2, 4, 49, 4), the output (2, 49, 64). If the four text
# tokens are equal, so are the four vectors of the memory, and every score is 1/4. Mask one of them, and the scores are
# 1/3, 1/3, 1/3 and 0.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import tensorflow as tf


# %% tags=["solution"]
class EncoderDecoderFusion(keras.layers.Layer):
    """Image tokens read a memory made from the text by cross-attention (Vaswani et al. 2017; Xiong et al. 2020).

    Raises ValueError unless hidden_size is a positive multiple of a positive num_heads and 0 <= dropout < 1.
    """

    def __init__(self, hidden_size: int, num_heads: int = 1, dropout: float = 0.0, **kwargs) -> None:
        ### BEGIN SOLUTION
        super().__init__(**kwargs)
        if hidden_size < 1 or num_heads < 1 or hidden_size % num_heads != 0:
            raise ValueError(f"hidden_size {hidden_size} cannot be split into {num_heads} heads")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, not {dropout}")
        self.hidden_size, self.num_heads, self.dropout = hidden_size, num_heads, dropout

        self.text_projection = keras.layers.Dense(hidden_size)
        self.encoder_norm = keras.layers.LayerNormalization()
        self.encoder_attention = keras.layers.MultiHeadAttention(num_heads, hidden_size // num_heads, dropout=dropout)
        self.memory_norm = keras.layers.LayerNormalization()

        self.image_projection = keras.layers.Dense(hidden_size)
        self.decoder_norm = keras.layers.LayerNormalization()
        self.decoder_attention = keras.layers.MultiHeadAttention(num_heads, hidden_size // num_heads, dropout=dropout)

        self.feed_forward_norm = keras.layers.LayerNormalization()
        self.expand = keras.layers.Dense(4 * hidden_size, activation="gelu")
        self.contract = keras.layers.Dense(hidden_size)
        self.drop = keras.layers.Dropout(dropout)
        ### END SOLUTION

    def get_config(self) -> dict:
        """The arguments of the constructor by name, with those of keras.layers.Layer."""
        ### BEGIN SOLUTION
        own = {"hidden_size": self.hidden_size, "num_heads": self.num_heads, "dropout": self.dropout}
        return {**super().get_config(), **own}
        ### END SOLUTION

    def call(
        self,
        text: tf.Tensor,
        image: tf.Tensor,
        text_mask: tf.Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Return the output (batch, image tokens, hidden_size) and, on request, the scores of the decoder's attention.

        text (batch, text tokens, width), image (batch, image tokens, width); one of 2 dimensions counts as one token.
        text_mask (batch, text tokens) boolean, True = may be attended to. Scores (batch, heads, image tokens, text
        tokens). Results are float32.
        Raises ValueError for shapes that do not fit together, TypeError for a mask that is not boolean.
        """
        ### BEGIN SOLUTION
        if text.ndim not in (2, 3) or image.ndim not in (2, 3):
            raise ValueError(f"expected 2 or 3 dimensions, not text {text.shape} and image {image.shape}")
        if text.shape[0] != image.shape[0]:
            raise ValueError(f"batch sizes differ: text {text.shape}, image {image.shape}")
        single = image.ndim == 2
        text = text[:, tf.newaxis, :] if text.ndim == 2 else text  # (batch, text tokens, text width)
        image = image[:, tf.newaxis, :] if single else image  # (batch, image tokens, image width)
        if text_mask is None:
            text_mask = tf.ones_like(text[:, :, 0], tf.bool)
        if text_mask.dtype != tf.bool:
            raise TypeError(f"text_mask must be boolean, not {text_mask.dtype}")
        if text_mask.shape != text.shape[:2]:
            raise ValueError(f"text_mask {text_mask.shape} does not fit text {text.shape}")
        visible = text_mask[:, tf.newaxis, :]  # (batch, 1, text tokens), the same for every query

        # encoder: memory = text + what its tokens find in each other
        memory = self.text_projection(text)  # (batch, text tokens, hidden size)
        normed = self.encoder_norm(memory)
        found = self.encoder_attention(normed, normed, attention_mask=visible, training=training)
        memory = self.memory_norm(memory + self.drop(found, training=training))

        # decoder: image tokens = image + what they find in the memory; without text nothing, not even a bias
        tokens = self.image_projection(image)  # (batch, image tokens, hidden size)
        found, scores = self.decoder_attention(
            self.decoder_norm(tokens), memory, attention_mask=visible, training=training, return_attention_scores=True
        )
        found = tf.where(tf.reduce_any(visible, axis=-1, keepdims=True), found, 0.0)
        tokens = tokens + self.drop(found, training=training)

        # feed-forward: every token by itself, wider and back
        wide = self.expand(self.feed_forward_norm(tokens))  # (batch, image tokens, 4 * hidden size)
        tokens = tokens + self.drop(self.contract(wide), training=training)  # (batch, image tokens, hidden size)

        output = tokens[:, 0] if single else tokens
        return (output, scores) if return_attention_scores else output
        ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Whatever the random weights are: if all text tokens of a sample are equal, each image token spreads its attention
# evenly over those it may see.

# %% tags=["visible-checks", "active-ipynb"]
# layer = EncoderDecoderFusion(hidden_size=8, num_heads=2)
# text = tf.repeat(tf.random.normal((3, 1, 5)), 3, axis=1)  # (3, 3, 5), in each sample the same token three times
# image = tf.random.normal((3, 4, 6))
# mask = tf.constant([[True, True, True], [True, False, True], [False, False, False]])
#
# output, scores = layer(text, image, text_mask=mask, return_attention_scores=True)
# assert output.shape == (3, 4, 8) and scores.shape == (3, 2, 4, 3), (output.shape, scores.shape)
# share = tf.constant([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
# tf.debugging.assert_near(scores, tf.tile(share[:, tf.newaxis, tf.newaxis], (1, 2, 4, 1)), atol=1e-5)
#
# again = layer(text, image, text_mask=mask)
# tf.debugging.assert_near(again, output, atol=1e-5)
# assert layer(text, image[:, 0]).shape == (3, 8)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Who asks, and who is asked? The output has as many rows as the image has tokens: which of the two inputs must
# therefore be the queries? And if text and image only meet in a sum of two functions, f(text) + g(image), what can the
# layer say about *this* caption for *this* image?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# The encoder is self-attention: queries, keys and values from the text. The decoder is cross-attention: queries from
# the image, keys and values from the memory. The same text mask says which keys are there in both. Residual connections
# keep the image when nothing was found.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# Create all sublayers in `__init__`. In the call: check shapes, give 2-D inputs an axis, give the mask an axis for the
# queries. Project the text, attend to itself, add, normalise. Project the image, attend to the memory and keep the
# scores, set what was found to 0 where a sample has no text, add. Normalise, feed forward, add. Take the axis away
# again if you added it to the image.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# found, scores = self.decoder_attention(tokens, memory, attention_mask=visible, return_attention_scores=True)
# ```
#
# </details>
#
# ## Going further
#
# - Turn the roles around and let a few learned vectors ask the image: that compresses many patches into few tokens
#   (Perceiver, BLIP-2's Q-Former, Flamingo's resampler).
# - A causal mask is for generating a sequence. An encoder that reads a whole caption needs none, only the padding mask.
# - LLaVA and its successors need no cross-attention: projected image tokens are put before the text of a decoder-only
#   language model, whose own attention does the fusion.
#
# ## References
#
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Ruibin Xiong, Yunchang Yang, Di He, et al. (2020), On Layer Normalization in the Transformer Architecture: why the
#   normalisation before each part trains more stably.
# - Andrew Jaegle, Felix Gimeno, Andy Brock, et al. (2021), Perceiver: General Perception with Iterative Attention.
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022), Flamingo: a Visual Language Model for Few-Shot
#   Learning.
# - Junnan Li, Dongxu Li, Silvio Savarese, Steven Hoi (2023), BLIP-2: Bootstrapping Language-Image Pre-training with
#   Frozen Image Encoders and Large Language Models.
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023), Visual Instruction Tuning.
