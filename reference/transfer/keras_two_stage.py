# %% [markdown]
# # Two-stage fine-tuning in Keras
#
# A new head on pretrained encoders starts with random weights, and its first gradients would drag the encoders along.
# So one trains in two stages: first the head alone on frozen encoders, then everything at a much lower rate. A
# published answer to "transfer learning" loads nothing, freezes nothing and trains nothing: it makes two random dense
# layers in every call. And code that does freeze often fails silently in Keras, since `trainable` is not the only thing
# that matters: a training step that was compiled before the change goes on as before, and batch normalisation and
# dropout have a mode of their own. The way to know is to look at which weights moved.
#
# ## Your task (50 minutes)
#
# **1. `TransferClassifier(text_encoder, image_encoder, num_classes, dropout=0.0)`**, a subclass of `keras.Model` that
# is called as `model([text, image], training=None)` and returns logits `(batch, num_classes)`, float32.
#
# - Both encoders are built Keras models (functional or `Sequential`) that map a float32 batch to features
#   `(batch, width)`; the widths may differ. They are used by reference, as the attributes `text_encoder` and
#   `image_encoder`: no copies.
# - Text features first, image features second; dropout with rate `dropout` on these joined features (in training mode
#   only, like `keras.layers.Dropout`); one linear layer with bias; no softmax.
# - **The encoders always run in inference mode**, whatever `training` is and whether they are frozen or not: their
#   dropout is off, and the moving statistics of their batch normalisation never change.
# - `freeze()` makes all weights of both encoders untrainable, in place; `unfreeze()` makes them trainable again (moving
#   statistics never are). The head is trainable in any case. A new model is frozen: its `trainable_variables` are the
#   kernel and the bias of the head, once it has been called.
# - `ValueError` when an encoder is not built (`encoder.built` is false).
#
# **2. `two_stage_fit(model, text, image, labels, head_epochs, full_epochs, head_lr, full_lr, batch_size, seed)`**
# trains such a model and returns `{"stage1": losses, "stage2": losses}`, two lists of floats, one for each epoch.
#
# - `text` and `image` are float32 arrays with `samples` rows, `labels` are integers `(samples,)` from 0 to
#   `num_classes - 1`. The encoders in the checks take rows of numbers: `(samples, text width)` and
#   `(samples, image width)`.
# - Stage 1 trains the head for `head_epochs` epochs at the rate `head_lr` and changes nothing else, even if the model
#   was unfrozen before. Stage 2 trains the head and both encoders for `full_epochs` epochs at the rate `full_lr`.
#   Either number may be 0: then that stage changes nothing and its list is empty.
# - Each stage has a new `keras.optimizers.Adam`, with its defaults apart from the rate. The loss is the mean
#   cross-entropy of the batch, from the logits.
# - In each epoch every sample is used once, in batches of `batch_size` of which the last may be shorter. Every epoch
#   has another random order, which depends on `seed` alone: the same seed gives the same batches, another seed gives
#   others. NumPy's global random state stays as it is.
# - The loss of an epoch is the mean over its samples of the losses with which the updates were made, as `fit` reports
#   it.
# - `ValueError`, before any weight moves, for a negative number of epochs, a rate that is not positive and finite, a
#   `batch_size` below 1, numbers of samples that differ or are 0, and labels outside the range.
#
# Nothing is forbidden: `fit` or a loop of your own are both fine.
#
# ## A worked example
#
# One sample. The text encoder is `2 · x + 1` and makes 3 of the text 1, the image encoder is `1 · x + 0` and makes 5 of
# the image 5. The kernel of the head is `[[1, 0], [0, 1]]`, its bias 0: the logits are (3, 5), and for the label 1 the
# loss is log(1 + e⁻²) = 0.1269. The first step of Adam moves each weight by its rate, against the sign of its gradient.
#
# | | what moves | by | logits afterwards | loss of the next update |
# |---|---|---|---|---|
# | stage 1, one epoch, rate 0.1 | head only | 0.1 | (2.1, 5.9) | log(1 + e⁻³·⁸) = 0.0221 |
# | stage 2, one epoch, rate 0.01 | head and encoders | 0.01 | | |
#
# So the result is `{"stage1": [0.1269], "stage2": [0.0221]}`, and in the end the text encoder is `1.99 · x + 0.99` and
# the image encoder `1.01 · x + 0.01`.

# %%
from __future__ import annotations

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf

# %% [markdown]
# ## Part 1: the model


# %% tags=["solution"]
class TransferClassifier(keras.Model):
    """A linear head on the joined features of two pretrained encoders, which always run in inference mode.

    Args:
        text_encoder: built Keras model to features (batch, text features); used and frozen in place.
        image_encoder: built Keras model to features (batch, image features); used and frozen in place.
        num_classes: number of logits.
        dropout: rate of the dropout on the joined features.

    Raises:
        ValueError: an encoder is not built.

    Source: transferring features (Yosinski, Clune, Bengio and Lipson, 2014).
    """

    def __init__(
        self, text_encoder: keras.Model, image_encoder: keras.Model, num_classes: int, dropout: float = 0.0
    ) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        if not (text_encoder.built and image_encoder.built):
            raise ValueError("an encoder without weights is no pretrained one: build it, or load its weights, first")
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.drop = keras.layers.Dropout(dropout)
        self.head = keras.layers.Dense(num_classes)
        self.freeze()
        ### END SOLUTION

    def freeze(self) -> None:
        """Make the weights of both encoders untrainable; a change takes effect with the next `compile`."""
        ### BEGIN SOLUTION
        self.text_encoder.trainable = False
        self.image_encoder.trainable = False
        ### END SOLUTION

    def unfreeze(self) -> None:
        """Make the weights of both encoders trainable again; a change takes effect with the next `compile`."""
        ### BEGIN SOLUTION
        self.text_encoder.trainable = True
        self.image_encoder.trainable = True
        ### END SOLUTION

    def call(self, inputs: list[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Logits (batch, num_classes), float32, for [text (batch, ...), image (batch, ...)]."""
        ### BEGIN SOLUTION
        text, image = inputs
        # a subclass may say this: in a functional model `fit` would override the False
        text_features = self.text_encoder(text, training=False)  # (batch, text features)
        image_features = self.image_encoder(image, training=False)  # (batch, image features)
        joined = tf.concat([text_features, image_features], axis=1)  # (batch, text features + image features)
        return self.head(self.drop(joined, training=training))  # (batch, num_classes)
        ### END SOLUTION


# %% [markdown]
# ## Part 2: the two stages


# %% tags=["solution"]
def two_stage_fit(
    model: TransferClassifier,
    text: np.ndarray,
    image: np.ndarray,
    labels: np.ndarray,
    head_epochs: int,
    full_epochs: int,
    head_lr: float,
    full_lr: float,
    batch_size: int,
    seed: int,
) -> dict[str, list[float]]:
    """Train the head on frozen encoders, then head and encoders together at another rate (Howard and Ruder, 2018).

    Args:
        model: the classifier; trained in place.
        text: float32, (samples, ...), input of the text encoder.
        image: float32, (samples, ...), input of the image encoder.
        labels: integers, (samples,), classes from 0 on.
        head_epochs: epochs of stage 1, 0 or more.
        full_epochs: epochs of stage 2, 0 or more.
        head_lr: Adam's rate in stage 1, positive and finite.
        full_lr: Adam's rate in stage 2, positive and finite.
        batch_size: samples an update; the last batch of an epoch may be shorter.
        seed: decides the order of the samples in every epoch.

    Returns:
        {"stage1": losses, "stage2": losses}, the mean loss over the samples of each epoch.

    Raises:
        ValueError: epochs, rates, batch size, numbers of samples or labels are out of range.
    """
    ### BEGIN SOLUTION
    if not 0 < len(text) == len(image) == len(labels):
        raise ValueError(f"{len(text)} texts, {len(image)} images and {len(labels)} labels do not belong together")
    if np.min(labels) < 0 or np.max(labels) >= model.head.units:
        raise ValueError(f"labels must be classes from 0 to {model.head.units - 1}")
    if head_epochs < 0 or full_epochs < 0 or batch_size < 1:
        raise ValueError("epochs must be 0 or more, and batch_size at least 1")
    if not (0 < head_lr < math.inf and 0 < full_lr < math.inf):  # written so that NaN is refused too
        raise ValueError(f"rates must be positive and finite, not {head_lr} and {full_lr}")

    samples = tf.data.Dataset.from_tensor_slices(((text, image), labels))
    batches = samples.shuffle(len(labels), seed=seed).batch(batch_size)  # a new order whenever it is read again
    losses = {}
    for stage, switch, epochs, rate in (
        ("stage1", model.freeze, head_epochs, head_lr),
        ("stage2", model.unfreeze, full_epochs, full_lr),
    ):
        switch()
        # compile makes a new training step, for the weights that are trainable now, and here a new optimiser
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)
        history = model.fit(batches, epochs=epochs, shuffle=False, verbose=0).history
        losses[stage] = history.get("loss", [])  # no epoch, no entry
    return losses
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# def line(slope, offset):
#     x = keras.Input((1,))
#     encoder = keras.Model(x, keras.layers.Dense(1)(x))
#     encoder.set_weights([np.array([[slope]]), np.array([offset])])
#     return encoder
#
# text_encoder, image_encoder = line(2.0, 1.0), line(1.0, 0.0)
# model = TransferClassifier(text_encoder, image_encoder, 2)
# text, image, labels = np.array([[1.0]], np.float32), np.array([[5.0]], np.float32), np.array([1])
# model([text, image])
# kernel, bias = sorted(model.trainable_variables, key=lambda variable: -len(variable.shape))
# kernel.assign(np.eye(2))
# bias.assign(np.zeros(2))
# assert np.allclose(model([text, image]), [[3.0, 5.0]]), model([text, image])
#
# losses = two_stage_fit(model, text, image, labels, 1, 1, 0.1, 0.01, batch_size=1, seed=0)
# assert np.allclose(losses["stage1"], [0.126928], atol=1e-4), losses
# assert np.allclose(losses["stage2"], [0.022124], atol=1e-4), losses
# assert np.allclose(np.ravel(text_encoder.get_weights()[0]), 1.99, atol=1e-4), text_encoder.get_weights()
# assert np.allclose(np.ravel(image_encoder.get_weights()[0]), 1.01, atol=1e-4), image_encoder.get_weights()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Write down the weights of an encoder before stage 1, between the stages and in the end. Which of the three should be
# equal, bit for bit? And the moving mean of its batch normalisation?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# `trainable` says which weights the next compiled training step will update; `training` says how a layer computes right
# now. Freezing needs the first, inference mode the second. `fit` keeps the training step that was built when it first
# ran after `compile`, so a changed flag has no effect, and raises no error, until `compile` is called again.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Constructor: check, keep the two encoders, make the dropout and the head, freeze. Call: both encoders with a fixed
# mode, join, dropout with the mode of the call, head. Training: check everything; make shuffled batches from the seed;
# then for each stage set the flags, compile with a new optimiser and the stage's rate, fit, and keep the losses.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `features = self.text_encoder(text, training=False)` in `call`; and
# `model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)` after every change of the flags.
# </details>
#
# ## Going further
#
# - Features of a frozen encoder are the same in every epoch: compute them once and train the head on them. That is only
#   allowed as long as nothing in front of the head is random.
# - A common middle way unfreezes the top blocks only, or one block after the other from the top (Howard and Ruder,
#   2018). Lower layers tend to be more general than higher ones (Yosinski et al., 2014).
# - Usual rates are around 1e-3 for the head and 10 to 100 times less for the rest. Kumar et al. (2022) study why
#   fine-tuning everything at once can spoil good features.
# - An optimiser made for the head alone has no state for the encoders, and one that still holds weights which are
#   frozen now may go on decaying them. A new one for each stage avoids both.
#
# ## References
#
# - Jason Yosinski, Jeff Clune, Yoshua Bengio, Hod Lipson (2014). How transferable are features in deep neural networks?
#   NIPS 2014.
# - Jeremy Howard, Sebastian Ruder (2018). Universal Language Model Fine-tuning for Text Classification. ACL 2018.
# - Ananya Kumar, Aditi Raghunathan, Robbie Matthew Jones, Tengyu Ma, Percy Liang (2022). Fine-Tuning can Distort
#   Pretrained Features and Underperform Out-of-Distribution. ICLR 2022.
