# %% [markdown]
# # Adversarial training of multimodal features
#
# A model that reads text and images can be wrong although neither has changed in a way that a person would notice.
# Adversarial training shows the model such inputs while it learns. An answer that is often published adds a noise layer
# to both feature vectors and calls the result adversarial: it has no labels, no loss and no gradient, and since a noise
# layer does nothing outside of training, its "adversarial" features are exactly twice the features. An attack asks the
# model where it hurts. Here you write that attack, with a budget for each modality, and the training step around it.
#
# ## Your task (45 minutes)
#
# Throughout, `model([text, image], training=...)` is a Keras model that returns logits `(batch, classes)`, without a
# softmax. `text` and `image` are its inputs, float32 NumPy arrays or tensors of shape `(batch, ...)`, each with one or
# more axes behind the batch, of any sizes. `labels` are class indices, NumPy integers `(batch,)`.
#
# ### The attack
#
# `adversarial_pair(model, text, image, labels, eps_text, eps_image, norm="linf", steps=1, step_size=None)` returns
# `(adv_text, adv_image)`, the inputs moved so that the cross-entropy of the labels grows, each by at most its own
# budget, `eps_text` or `eps_image`. Start at the clean inputs, and repeat `steps` times:
#
# 1. Take the gradient of the cross-entropy with respect to both inputs at the point reached so far. Both come from the
#    same forward pass, in inference mode.
# 2. Move each input *uphill*. With `"linf"` every entry moves by the step size in the direction of the sign of its
#    gradient; an entry with gradient 0 does not move. With `"l2"` every *sample* moves along its gradient by the step
#    size, measured as Euclidean length over all entries of that sample in that modality.
# 3. Project back: the distance from the *clean* input must not exceed the budget. With `"linf"` each entry of the
#    difference is cut to between -eps and eps; with `"l2"` a sample's difference that is longer than eps is made
#    shorter, in the same direction, until its length is eps.
#
# The last point is the result. `step_size` is one number for both modalities; `None` means the modality's own budget if
# `steps` is 1, and 2.5 times its budget divided by `steps` otherwise.
#
# - A sample whose gradient is all zeros does not move, and neither does a modality with budget 0 or one that the model
#   does not use. No NaN comes out of that. With `"l2"`, a gradient with entries of 1e-12 has a direction like any
#   other.
# - Values are not limited to a range: these are features, not pixels. Nothing is random.
# - The results are float32, tensors or NumPy arrays. The arguments stay as they are, and so does the model: its
#   weights, the statistics of its BatchNorm layers, and what is trainable in it.
#
# ### The training step
#
# `adversarial_train_step(model, optimizer, text, image, labels, eps_text, eps_image, clean_weight=0.5, norm="linf",
# steps=1)` attacks the model as it is now, with the default step size, and then makes **one** update:
#
# - `loss_clean` and `loss_adv` are the mean cross-entropies of the clean batch and of the attacked one. Each comes from
#   one call of the model with `training=True` on that batch alone (in which order does not matter).
# - `loss = clean_weight * loss_clean + (1 - clean_weight) * loss_adv`. One step of `optimizer`, a Keras optimiser,
#   moves the model's trainable variables with the gradient of this loss. The attacked inputs count as constants: no
#   gradient goes through the attack.
# - It returns a dictionary with `"loss_clean"`, `"loss_adv"` and `"loss"`, one number each (a float, or a tensor
#   without axes), all of them from before the update. The models here have no losses of their own (`model.losses` is
#   empty).
#
# ### Bad input
#
# **`ValueError`**, before anything is changed: a budget that is negative, infinite or NaN; `steps` below 1; a `norm`
# that is neither `"linf"` nor `"l2"`; a `step_size` that is not positive and finite; `clean_weight` outside [0, 1] or
# NaN; no samples; text, image and labels of different lengths; labels that are not one-dimensional; a label below 0 or
# not below the number of classes, which is the width of the logits.
#
# Nothing is forbidden; the functions run eagerly when they are called.
#
# ## A worked example
#
# Two classes with logits (0, s), and s = 3·t₀ − 4·t₁ + i for a text (t₀, t₁) and an image i. Take the text (1, 0.5),
# the image 0.2 and label 1: s = 1.2, and the loss is ln(1 + exp(−1.2)) = 0.263. It grows when s falls.
#
# | attack with `eps_text` 0.1, `eps_image` 0.3 | text | image | s | loss |
# |---|---|---|---|---|
# | none | (1, 0.5) | 0.2 | 1.2 | 0.263 |
# | `"linf"`, one step | (0.9, 0.6) | -0.1 | 0.2 | 0.598 |
# | `"l2"`, one step | (0.94, 0.58) | -0.1 | 0.4 | 0.513 |
# | `"linf"`, two steps of 0.08 | (0.9, 0.6), cut off at 0.1 | 0.04 | 0.34 | 0.538 |
#
# With `clean_weight=0.25` the loss of the training step in the second row is 0.25 · 0.263 + 0.75 · 0.598 = 0.514.

# %%
from __future__ import annotations

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf

# %% [markdown]
# ## Part 1: the attack


# %% tags=["solution"]
def adversarial_pair(
    model: keras.Model,
    text: np.ndarray | tf.Tensor,
    image: np.ndarray | tf.Tensor,
    labels: np.ndarray,
    eps_text: float,
    eps_image: float,
    norm: str = "linf",
    steps: int = 1,
    step_size: float | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Move text and image uphill on the loss, each within its own ball (projected gradient, Madry et al. 2018).

    Args:
        model: `model([text, image], training=False)` gives logits (batch, classes); it is left as it is.
        text: float32, (batch, ...).
        image: float32, (batch, ...).
        labels: class indices, integers, (batch,).
        eps_text, eps_image: radius of each modality's ball around the clean input, at least 0 and finite.
        norm: "linf" (each entry) or "l2" (each sample's Euclidean length).
        steps: number of gradient steps, at least 1; one step with "linf" is FGSM (Goodfellow et al. 2015).
        step_size: length of a step in both modalities; None: eps for one step, 2.5 * eps / steps for several.

    Returns:
        (adv_text, adv_image), float32, in the shapes of text and image.

    Raises:
        ValueError: a setting out of range, lengths that differ, no samples, or a label that is no class.
    """
    ### BEGIN SOLUTION
    for eps in (eps_text, eps_image):
        if not 0 <= eps < math.inf:  # written so that NaN is refused too
            raise ValueError(f"budgets must be at least 0 and finite, not {eps}")
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm must be 'linf' or 'l2', not {norm!r}")
    if steps < 1 or (step_size is not None and not 0 < step_size < math.inf):
        raise ValueError(f"steps must be at least 1 and the step size positive, not {steps} and {step_size}")
    clean = [tf.convert_to_tensor(text, tf.float32), tf.convert_to_tensor(image, tf.float32)]  # (batch, ...) each
    labels = np.asarray(labels)
    samples = len(clean[0])
    if samples == 0 or len(clean[1]) != samples or labels.shape != (samples,):
        raise ValueError(f"{samples} texts, {len(clean[1])} images and labels of shape {labels.shape}")
    classes = model(clean, training=False).shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}")

    def length(values: tf.Tensor) -> tf.Tensor:
        """Euclidean length of each sample, over all its axes: (batch, 1, ..., 1)."""
        return tf.sqrt(tf.reduce_sum(values**2, axis=range(1, values.ndim), keepdims=True))

    def uphill(gradient: tf.Tensor) -> tf.Tensor:
        """The direction of length 1 along the gradient; zero where the gradient is."""
        return tf.sign(gradient) if norm == "linf" else tf.math.divide_no_nan(gradient, length(gradient))

    def project(delta: tf.Tensor, eps: float) -> tf.Tensor:
        """The nearest point of the ball with radius eps."""
        if norm == "linf":
            return tf.clip_by_value(delta, -eps, eps)
        return delta * tf.minimum(1.0, tf.math.divide_no_nan(eps, length(delta)))

    budgets = (eps_text, eps_image)
    if step_size is None:
        step_sizes = [eps if steps == 1 else 2.5 * eps / steps for eps in budgets]
    else:
        step_sizes = [step_size, step_size]

    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    current = clean
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(current)
            loss = cross_entropy(labels, model(current, training=False))
        gradients = tape.gradient(loss, current, unconnected_gradients="zero")
        # a step uphill from the current point, then back into the ball around the clean one
        current = [
            start + project(point + size * uphill(gradient) - start, eps)
            for start, point, gradient, size, eps in zip(clean, current, gradients, step_sizes, budgets, strict=True)
        ]
    return current[0], current[1]
    ### END SOLUTION


# %% [markdown]
# ## Part 2: the training step


# %% tags=["solution"]
def adversarial_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    text: np.ndarray | tf.Tensor,
    image: np.ndarray | tf.Tensor,
    labels: np.ndarray,
    eps_text: float,
    eps_image: float,
    clean_weight: float = 0.5,
    norm: str = "linf",
    steps: int = 1,
) -> dict[str, float]:
    """One update on a mix of clean and adversarial loss (Goodfellow et al. 2015; Madry et al. 2018).

    Args:
        optimizer: a Keras optimiser; it makes exactly one step.
        clean_weight: share of the clean loss, in [0, 1]; the rest goes to the adversarial one.
        the others: as in `adversarial_pair`; the step size is the default.

    Returns:
        {"loss_clean": ..., "loss_adv": ..., "loss": ...}, each one number, before the update.

    Raises:
        ValueError: as in `adversarial_pair`, or clean_weight outside [0, 1]; nothing is changed then.
    """
    ### BEGIN SOLUTION
    if not 0 <= clean_weight <= 1:
        raise ValueError(f"clean_weight must be in [0, 1], not {clean_weight}")
    adv_text, adv_image = adversarial_pair(model, text, image, labels, eps_text, eps_image, norm, steps)

    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        loss_clean = cross_entropy(labels, model([text, image], training=True))
        loss_adv = cross_entropy(labels, model([adv_text, adv_image], training=True))
        loss = clean_weight * loss_clean + (1 - clean_weight) * loss_adv
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return {"loss_clean": float(loss_clean), "loss_adv": float(loss_adv), "loss": float(loss)}
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# Two classes with logits (0, 3·t₀ − 4·t₁ − i).

# %% tags=["visible-checks", "active-ipynb"]
# inputs = [keras.Input((2,)), keras.Input((1,))]
# model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(inputs)))
# model.set_weights([np.array([[0, 3], [0, -4], [0, -1]]), np.zeros(2)])
# text = np.array([[1, 0.5], [0, 0.5]], dtype="float32")
# image = np.array([[0.2], [1]], dtype="float32")
# labels = np.array([1, 0])
#
# adv_text, adv_image = adversarial_pair(model, text, image, labels, 0.1, 0.3)
# assert np.allclose(adv_text, [[0.9, 0.6], [0.1, 0.4]], atol=1e-5), adv_text
# assert np.allclose(adv_image, [[0.5], [0.7]], atol=1e-5), adv_image
#
# # three steps of length 0.06: the text is stopped at its budget of 0.1, the image moves on to 0.18
# adv_text, adv_image = adversarial_pair(model, text, image, labels, 0.1, 0.3, norm="l2", steps=3, step_size=0.06)
# assert np.allclose(adv_text, [[0.94, 0.58], [0.06, 0.42]], atol=1e-5), adv_text
# assert np.allclose(adv_image, [[0.38], [0.82]], atol=1e-5), adv_image
#
# optimizer = keras.optimizers.SGD(1.0)
# losses = adversarial_train_step(model, optimizer, text, image, labels, 0.1, 0.3, clean_weight=0.25)
# found = [float(losses[name]) for name in ("loss_clean", "loss_adv", "loss")]
# assert np.allclose(found, [0.209844, 0.462533, 0.399361], atol=1e-4), found
# assert np.allclose(model.get_weights()[1], [-0.194318, 0.194318], atol=1e-4), model.get_weights()[1]

# %% [markdown]
# The next cell asks a random linear model of 40 + 60 features what random signs of size 0.05 do to its loss, and what
# your attack of the same size does.

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# inputs = [keras.Input((40,)), keras.Input((60,))]
# wide_model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Concatenate()(inputs)))
# wide_model.set_weights([0.4 * generator.normal(size=(100, 3)), np.zeros(3)])
# text, image = (generator.normal(size=(30, width)).astype("float32") for width in (40, 60))
# labels = np.argmax(wide_model([text, image]), axis=1)
# noisy = [part + 0.05 * generator.choice([-1.0, 1.0], size=part.shape).astype("float32") for part in (text, image)]
# attacked = adversarial_pair(wide_model, text, image, labels, 0.05, 0.05)
# for name, pair in {"clean": [text, image], "random signs": noisy, "attacked": list(attacked)}.items():
#     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, wide_model(pair))
#     print(f"{name:12} loss {float(loss):.3f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Whatever the model, the norm and the number of steps: how far may each modality be from its clean input at the end,
# and which of the model's variables may differ from what they were? Print both after an attack with budgets 0.1 and
# 0.3, on a model with a BatchNorm layer.
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A tape can watch inputs as well as weights. The gradient of the loss with respect to the inputs points uphill; weights
# go down, an attack goes up. Its length says nothing useful here, so only the direction is kept, and the step size
# decides how far to go. Samples do not share anything: each has its own gradient, its own length, its own ball.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. In a loop: open a tape, watch both inputs, compute the loss in inference mode, ask for both
# gradients at once; move, subtract the clean input, project, add the clean input again. For the training step: attack
# first, before the tape that the update needs is opened; then two forward passes, one weighted sum, one update.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# gradients = tape.gradient(loss, [text, image], unconnected_gradients="zero")  # zero for an input without influence
# ```
# </details>
#
# ## Going further
#
# - Test with a stronger attack than the one you trained with: more steps, several random starts, or a whole ensemble of
#   attacks (Croce & Hein 2020). A model that withstands one step of FGSM can still fall to ten steps of PGD.
# - Ask which modality is the weak one: attack with `eps_text=0`, then with `eps_image=0`.
# - Text has no pixels, so what is perturbed are embeddings; VILLA does this for vision-language models (Gan et al.
#   2020).
# - Train two small models, one with `clean_weight=1` and one with 0, and attack both: what does each of them pay?
#
# ## References
#
# - Ian J. Goodfellow, Jonathon Shlens, Christian Szegedy (2015). Explaining and Harnessing Adversarial Examples.
# - Aleksander Madry, Aleksandar Makelov, Ludwig Schmidt, Dimitris Tsipras, Adrian Vladu (2018). Towards Deep Learning
#   Models Resistant to Adversarial Attacks.
# - Francesco Croce, Matthias Hein (2020). Reliable evaluation of adversarial robustness with an ensemble of diverse
#   parameter-free attacks.
# - Zhe Gan, Yen-Chun Chen, Linjie Li, Chen Zhu, Yu Cheng, Jingjing Liu (2020). Large-Scale Adversarial Training for
#   Vision-and-Language Representation Learning.
