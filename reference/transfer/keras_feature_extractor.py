# %% [markdown]
# # A feature extractor from pretrained encoders
#
# A pretrained classifier is worth more than its classes: one layer before them it has a description of its input that
# serves for search, for clustering, or as the input of a new head. A published "multimodal feature extractor on
# pretrained models" contains no pretrained model: it puts two fresh dense layers on its inputs, nothing is frozen, and
# what comes out are random projections. Here you cut two real encoders at a layer of your choice, share their weights
# instead of copying them, and make sure that the same input gives the same features, even while something behind them
# is being trained.
#
# ## Your task (35 minutes)
#
# Write
#
# ```python
# build_feature_extractor(text_encoder, image_encoder, text_layer=None, image_layer=None, hidden_size=None)
# ```
#
# It returns a `keras.Model` that is called as `extractor([text, image], training=...)` and returns float32 features.
#
# - Each encoder is a built functional or `Sequential` Keras model with one input and one output. `text_layer` and
#   `image_layer` are names of layers in them; the features are what that layer **returns**, one vector for each sample,
#   `(batch, width)`. `None` means the encoder's own output. (In the checks the text is int32 token ids, the image
#   float32.)
# - Without `hidden_size` the result is the text features and the image features side by side, text first:
#   `(batch, text width + image width)`, and the extractor has no trainable variables.
# - With `hidden_size` one linear layer with bias and without activation follows: `(batch, hidden_size)`. Its kernel and
#   its bias are the two trainable variables of the extractor; they exist after the first call at the latest.
# - The encoders are shared, not copied: new weights in an encoder are new weights in the extractor. They are **frozen
#   in place**: afterwards neither encoder has trainable variables.
# - The encoders always run in inference mode. With `training=True` their dropout is off, too, the result is the same as
#   without, and the moving statistics of their batch normalisation do not change.
# - `ValueError` for a name that no layer of the encoder has, an encoder that is not built (`encoder.built` is false), a
#   layer (or an encoder's output) that does not return `(batch, width)`, and a `hidden_size` below 1. When an argument
#   is refused, nothing has been frozen.
#
# Nothing is forbidden. One fact about Keras 3 that you need: in a *functional* model, `encoder(x, training=False)` does
# not keep its promise. When the model is called with `training=True`, as `fit` does, all layers inside get that mode.
# In the `call` method of a subclass of `keras.Model` the encoder gets the mode that you write.
#
# ## A worked example
#
# The text encoder has a layer `"features"`, which doubles its input, and a layer `"classes"`, which adds up the two
# numbers. The image encoder has one layer, which returns its input times -1.
#
# | call | text (1, 3), image (5) |
# |---|---|
# | `build_feature_extractor(text_encoder, image_encoder)` | (8, -5) |
# | `build_feature_extractor(text_encoder, image_encoder, text_layer="features")` | (2, 6, -5) |
# | the same with `hidden_size=2`, all weights of the projection 1 | (4, 4) |

# %%
from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import tensorflow as tf


# %% tags=["solution"]
def build_feature_extractor(
    text_encoder: keras.Model,
    image_encoder: keras.Model,
    text_layer: str | None = None,
    image_layer: str | None = None,
    hidden_size: int | None = None,
) -> keras.Model:
    """Join the features of two frozen encoders, cut at a layer, with an optional trainable projection.

    Args:
        text_encoder: built functional or Sequential model; frozen in place.
        image_encoder: built functional or Sequential model; frozen in place.
        text_layer: name of the layer whose result is the text features; None for the encoder's output.
        image_layer: name of the layer whose result is the image features; None for the encoder's output.
        hidden_size: width of the projection; None for no projection.

    Returns:
        A model from [text, image] to float32 features (batch, text width + image width) or (batch, hidden_size).

    Raises:
        ValueError: unknown layer, encoder that is not built, features that are not 2-D, hidden_size below 1.

    Source: features of deep networks and how they transfer (Yosinski, Clune, Bengio and Lipson, 2014).
    """
    ### BEGIN SOLUTION
    if hidden_size is not None and hidden_size < 1:
        raise ValueError(f"hidden_size must be at least 1, not {hidden_size}")

    def up_to(encoder: keras.Model, layer: str | None) -> keras.Model:
        """The part of an encoder from its input to a layer's result; its layers are the encoder's own."""
        if not encoder.built:
            raise ValueError(f"{encoder.name} is not built, so it has no weights yet")
        output = encoder.outputs[0] if layer is None else encoder.get_layer(layer).output  # (batch, width)
        if len(output.shape) != 2:
            raise ValueError(f"features must be of shape (batch, width), not {output.shape}")
        return keras.Model(encoder.inputs[0], output)

    text_part, image_part = up_to(text_encoder, text_layer), up_to(image_encoder, image_layer)
    text_encoder.trainable = False
    image_encoder.trainable = False

    class FeatureExtractor(keras.Model):  # a subclass, since only there `training=False` is the last word
        def __init__(self) -> None:
            super().__init__()
            self.text_part, self.image_part = text_part, image_part
            self.projection = None if hidden_size is None else keras.layers.Dense(hidden_size)

        def call(self, inputs: list[tf.Tensor], training: bool | None = None) -> tf.Tensor:
            text, image = inputs
            text_features = self.text_part(text, training=False)  # (batch, text width)
            image_features = self.image_part(image, training=False)  # (batch, image width)
            joined = tf.concat([text_features, image_features], axis=1)  # (batch, text width + image width)
            return joined if self.projection is None else self.projection(joined)  # (batch, hidden_size)

    return FeatureExtractor()
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# import numpy as np
#
# words = keras.Input((2,))
# doubled = keras.layers.Rescaling(2.0, name="features")(words)
# text_encoder = keras.Model(words, keras.layers.Dense(1, name="classes", kernel_initializer="ones")(doubled))
# image_encoder = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(-1.0)])
# text, image = np.array([[1.0, 3.0]], np.float32), np.array([[5.0]], np.float32)
#
# extractor = build_feature_extractor(text_encoder, image_encoder)
# assert np.allclose(extractor([text, image]), [[8.0, -5.0]]), extractor([text, image])
# extractor = build_feature_extractor(text_encoder, image_encoder, text_layer="features")
# assert np.allclose(extractor([text, image]), [[2.0, 6.0, -5.0]]), extractor([text, image])
# assert extractor.trainable_variables == [] and text_encoder.trainable_variables == []
#
# extractor = build_feature_extractor(text_encoder, image_encoder, text_layer="features", hidden_size=2)
# assert extractor([text, image]).shape == (1, 2)
# assert len(extractor.trainable_variables) == 2
# for variable in extractor.trainable_variables:
#     variable.assign(np.ones(variable.shape))
# assert np.allclose(extractor([text, image]), [[4.0, 4.0]]), extractor([text, image])

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If someone gives the text encoder new weights after you have built the extractor, should the features change? And if
# the same sentence is sent through the extractor twice during training, may its features differ?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A functional model remembers what each of its layers returned, as a symbolic tensor. A new model from the old input to
# such a tensor is the old network cut off at that place, with the very same layers in it: no weight is copied.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# For each encoder: is it built, does it have the layer, is the layer's result 2-D? (`encoder.outputs[0]` is its own
# output; a `Sequential` model that was never called has no `encoder.output`.) Make the cut-off model. After both
# were accepted, freeze the encoders. Then a small subclass of `keras.Model`: it keeps the two parts and the projection,
# and its call runs both parts in inference mode, joins the results and projects them if asked to.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `part = keras.Model(encoder.inputs[0], encoder.get_layer(name).output)`
# </details>
#
# ## Going further
#
# - Why one layer before the classes: the classes keep what tells them apart and drop the rest. Which layer is best for
#   a new task has to be tried out; features tend to get more specific towards the end of a network (Yosinski et al.,
#   2014).
# - Token vectors `(batch, tokens, width)` need pooling first: the mean over the tokens that are not padding, or the
#   vector of a special token.
# - For retrieval, scale each modality to length 1 before joining, otherwise the one with the larger numbers decides.
# - Features of frozen encoders never change, so compute them once, store them, and train small heads on the stored
#   ones.
# - CLIP (Radford et al., 2021) trains its two encoders so that their features can be compared with each other directly.
#
# ## References
#
# - Jason Yosinski, Jeff Clune, Yoshua Bengio, Hod Lipson (2014). How transferable are features in deep neural networks?
#   NIPS 2014.
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). Learning Transferable Visual Models From Natural Language
#   Supervision. ICML 2021.
