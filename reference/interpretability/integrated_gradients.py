# %% [markdown]
# # Integrated gradients
#
# A model reads a caption and an image and says 0.97. How much of that came from the word "square", how much from a
# pixel, how much from the image as a whole? The plain gradient does not say: it tells what the *next* small change
# would do, and where the output is saturated that is nothing. Integrated gradients walk from an input that says nothing
# to the input in question and add up what happens on the way, so that the parts sum to the difference of the outputs.
# Whether they really do can be measured for every single sample. Here you answer the interview question in your own
# words, judge eight claims about it, and write the method for several modalities at once.
#
# Plan about 50 minutes: 15 for the answer, 5 for the claims, 30 for the code.

# %%
from __future__ import annotations

import os
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import numpy as np
import tensorflow as tf

# %% [markdown]
# ## The question
#
# *"What role does interpretability play for a fine-tuned multimodal model? Which methods do you use, what exactly does
# each of them promise, and when do you believe what they show?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *kinds*: the distinctions you make between explanations, and what an explanation is used for and is not;
# - *gradients*: a method with a property that can be measured, the property, and one more method based on gradients;
# - *perturbation and modalities*: methods that change the input, and how to say what each modality contributed;
# - *trust*: at least two tests of an explanation, and the limits of what any of these methods can show.

# %% [markdown] tags=["answer"]
# **Model answer.** "First I say which kind of explanation is wanted: local, for one prediction, or global, for the
# model as a whole; and whether the model is simple enough to be read itself or is explained afterwards. Where a lot
# depends on single decisions, a model that can be read may be the better choice. Explanations serve debugging,
# finding shortcuts, and talking with the people concerned. By themselves they make no model better: somebody has to act
# on what they show.
#
# Among the gradient methods, integrated gradients add up the gradient along a straight path from a baseline to the
# input, times the difference of the two. They are complete: the attributions sum to the difference of the two outputs,
# so the error of the numerical integral can be measured. With several modalities all of them move together. Grad-CAM
# weights the feature maps of a layer with the gradient of a class; for transformers there is a relevance that weights
# attention with gradients and follows it through the layers, also between modalities.
#
# Other methods change the input and watch the output. LIME fits a small linear model around one sample; SHAP estimates
# Shapley values. For a multimodal model I add up the absolute Shapley values of the words and of the image regions, as
# MM-SHAP does, or compare with the best additive model of the two modalities, EMAP: if it predicts as well, the
# interactions of text and image were not needed.
#
# A plausible picture is no proof. I replace weights by random ones and expect the explanation to change, and I delete
# or insert the parts in the order of their importance and watch the score. Attention weights alone are not an
# explanation. The baseline is part of the question: with a black one, black pixels get nothing. And whatever comes out
# describes the model. That a feature is important to it does not make it a cause in the world."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, kinds: local against global, and explained afterwards against interpretable by design; explanations do not
#   improve a model by themselves.
# - 1 point, gradients: integrated gradients with completeness (or another method with the property it has), and one
#   of Grad-CAM, relevance in transformers.
# - 1 point, perturbation and modalities: LIME, SHAP or deletion of parts; and MM-SHAP, EMAP or another way to compare
#   modalities.
# - 1 point, trust: two of randomised weights, deletion or insertion, measured completeness; and one of: attention alone
#   is no explanation, the choice of the baseline matters, importance is not causation.
#
# **References of the model answer**
#
# - Julius Adebayo, Justin Gilmer, Michael Muelly, et al. (2018). *Sanity Checks for Saliency Maps.*
# - Hila Chefer, Shir Gur, Lior Wolf (2021). *Generic Attention-model Explainability for Interpreting Bi-Modal and
#   Encoder-Decoder Transformers.*
# - Jack Hessel, Lillian Lee (2020). *Does my multimodal model learn cross-modal interactions? It's harder to tell than
#   you might think!*
# - Scott M. Lundberg, Su-In Lee (2017). *A Unified Approach to Interpreting Model Predictions.*
# - Letitia Parcalabescu, Anette Frank (2023). *MM-SHAP: A Performance-agnostic Metric for Measuring Multimodal
#   Contributions in Vision and Language Models & Tasks.*
# - Marco Túlio Ribeiro, Sameer Singh, Carlos Guestrin (2016). *"Why Should I Trust You?": Explaining the Predictions of
#   Any Classifier.*
# - Cynthia Rudin (2019). *Stop explaining black box machine learning models for high stakes decisions and use
#   interpretable models instead.*
# - Ramprasaath R. Selvaraju, Michael Cogswell, Abhishek Das, et al. (2017). *Grad-CAM: Visual Explanations from Deep
#   Networks via Gradient-Based Localization.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published as the benefit of interpretability. All of them
# must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `explaining_improves` | Computing explanations makes a model more accurate, even if nobody acts on them. |
# | `parts_add_up` | For a smooth network and exact integrals, the attributions sum to f(input) − f(baseline). |
# | `gradient_can_vanish` | A feature that drove a sigmoid into saturation can have a gradient close to 0. |
# | `baseline_is_free` | Integrated gradients do not depend on the baseline that is chosen. |
# | `black_gets_nothing` | With an all-black image as baseline, a black pixel gets the attribution 0. |
# | `linear_case` | For a linear model and a baseline of zeros, integrated gradients are gradient times input. |
# | `sum_proves_truth` | Attributions that sum to the right difference are thereby shown to be faithful. |
# | `cause_in_the_world` | A large attribution shows that the feature causes the outcome in the real world. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "explaining_improves",
        "parts_add_up",
        "gradient_can_vanish",
        "baseline_is_free",
        "black_gets_nothing",
        "linear_case",
        "sum_proves_truth",
        "cause_in_the_world",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # An explanation changes no weight. It may show a person what to repair in the data or the model.
    explaining_improves=False,
    # Completeness: the fundamental theorem of calculus along the path (Sundararajan et al., 2017).
    parts_add_up=True,
    # The slope of the sigmoid is near 0 there, and with it the gradient of everything in front.
    gradient_can_vanish=True,
    # The path starts at the baseline and the attributions share out f(input) - f(baseline): both change with it.
    baseline_is_free=False,
    # The factor (input - baseline) of this pixel is 0, whatever the pixel means to the model.
    black_gets_nothing=True,
    # The gradient is the same all along the path, and the factor in front is the input.
    linear_case=True,
    # Giving every feature an equal part of the difference also sums to it and says nothing about the model.
    sum_proves_truth=False,
    # It describes what the model computes; the model may rest on a mere correlation.
    cause_in_the_world=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write three functions. `inputs` is **one sample**: a list or tuple with one float array or tensor for each modality,
# all of one dtype (float32 or float64), each of shape `(1, …)`. `f` takes a list of tensors `(rows, …)`, one for each
# modality and in that dtype, and returns a tensor `(rows,)`, or `(rows, outputs)`; row i of the result depends on row i
# of the inputs only, so you may ask for one row at a time or for many at once.
#
# | function | returns |
# |---|---|
# | `explained_score(f, inputs, target=None)` | tensor `(rows,)`: the output of `f` that is explained |
# | `integrated_gradients(f, inputs, baselines=None, target=None, steps=50)` | list: attributions of each modality |
# | `completeness_gap(f, inputs, baselines, attributions, target=None)` | a number |
#
# - **The score.** If `f` returns `(rows, outputs)`, `target` (an `int`) is the column to explain, as it is, without a
#   softmax. If `f` returns `(rows,)`, `target` stays `None`. `ValueError` if a target is missing, is given for
#   `(rows,)`, or is not one of 0 … outputs − 1. `explained_score` also takes inputs of several rows.
# - **The path.** From the baselines to the inputs on one straight line, **all modalities together**: at the fraction α
#   of the way every modality is at `baseline + α · (input − baseline)`. `baselines` has one array for each modality, of
#   the shape and dtype of the input; `None` means zeros.
# - **The sum.** Midpoint rule: the path is cut into `steps` pieces of equal length, and the gradient is taken in the
#   middle of each piece. The attribution of a value is its own `(input − baseline)` times the mean of its gradients.
# - **The result.** One attribution for every value: the shape and dtype of each input, tensors or NumPy arrays. A
#   modality that `f` does not use gets zeros. Attributions can be negative.
# - **The gap** is the sum of all attributions of all modalities, minus (score of the inputs − score of the baselines),
#   with its sign. `None` means zeros here, too. A Python float, a NumPy number or a tensor of shape `()`.
# - `integrated_gradients` and `completeness_gap` raise `TypeError` for integer inputs, and `ValueError` for no inputs,
#   an input whose first axis does not have length 1, and baselines of another number or other shapes than the inputs.
#   The given `require_one_sample` does this for you if you call it. `integrated_gradients` also raises `ValueError` for
#   `steps` below 1, and both pass on the errors of `explained_score`.
# - Nothing that is passed in is changed, the lists included. Nothing is forbidden.
#
# **Worked example.** `f` is the product of a text of one number and an image of one number, at 2 and 3, from the
# baselines 0 and 0. At α = ½ the gradients are 1.5 and 1; they grow evenly along the path, so these are their means.
#
# | | text | image | sum |
# |---|---|---|---|
# | gradient at the input | 3 | 2 | 5 |
# | gradient times input | 6 | 6 | 12 |
# | one modality on its way, the other already at its input | 6 | 6 | 12 |
# | integrated gradients | 3 | 3 | **6** = f(input) − f(baseline) |


# %%
def require_one_sample(inputs: Sequence, baselines: Sequence | None) -> None:
    """Raise TypeError or ValueError unless inputs and baselines are as the lesson says. (This one is given.)"""
    if len(inputs) == 0:
        raise ValueError("there must be at least one input")
    for x in inputs:
        if not tf.convert_to_tensor(x).dtype.is_floating:
            raise TypeError("inputs must be floating, since nothing can be differentiated in integers")
        if np.shape(x)[:1] != (1,):
            raise ValueError(f"the first axis of an input must have length 1, not shape {np.shape(x)}")
    if baselines is not None and [np.shape(start) for start in baselines] != [np.shape(x) for x in inputs]:
        raise ValueError("baselines must have the number and the shapes of the inputs")


# %% tags=["solution"]
def explained_score(
    f: Callable[[list[tf.Tensor]], tf.Tensor], inputs: Sequence[tf.Tensor], target: int | None = None
) -> tf.Tensor:
    """The output of `f` that is explained.

    f: maps a list of tensors (rows, …) to (rows,) or (rows, outputs). inputs: one tensor (rows, …) for each modality.
    target: the column of (rows, outputs); None for (rows,).

    Returns a tensor (rows,) in the dtype of f's result.
    Raises ValueError for a target that is missing, superfluous or out of range.
    """
    ### BEGIN SOLUTION
    scores = f(list(inputs))  # (rows,) or (rows, outputs)
    if len(scores.shape) == 1:
        if target is not None:
            raise ValueError(f"f has one output for each row, so there is no target {target}")
        return scores
    if target is None or not 0 <= target < scores.shape[1]:
        raise ValueError(f"target must be one of the {scores.shape[1]} outputs, not {target}")
    return scores[:, target]  # (rows,)
    ### END SOLUTION


# %% tags=["solution"]
def integrated_gradients(
    f: Callable[[list[tf.Tensor]], tf.Tensor],
    inputs: Sequence[tf.Tensor],
    baselines: Sequence[tf.Tensor] | None = None,
    target: int | None = None,
    steps: int = 50,
) -> list[tf.Tensor]:
    """Attribute one score to every value of every modality: integrated gradients (Sundararajan, Taly and Yan, 2017).

    f: maps a list of tensors (rows, …) to (rows,) or (rows, outputs). inputs: one float32 or float64 tensor (1, …) for
    each modality. baselines: where the path begins, same shapes and dtype; None for zeros. target: the output to
    explain. steps: pieces of the midpoint rule.

    Returns a list of tensors with the shapes and the dtype of the inputs.
    Raises TypeError for integer inputs, ValueError for bad shapes, targets and steps.
    """
    ### BEGIN SOLUTION
    require_one_sample(inputs, baselines)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    inputs = [tf.convert_to_tensor(x) for x in inputs]
    starts = [tf.zeros_like(x) for x in inputs] if baselines is None else baselines
    ways = [x - start for x, start in zip(inputs, starts, strict=True)]  # (1, …) each

    sums = [tf.zeros_like(x) for x in inputs]
    for step in range(steps):
        fraction = (step + 0.5) / steps  # the middle of the piece
        point = [start + fraction * way for start, way in zip(starts, ways, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(point)
            score = explained_score(f, point, target)  # (1,)
        gradients = tape.gradient(score, point, unconnected_gradients="zero")
        sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
    # attribution = (input - baseline) times the mean gradient on the path
    return [way * total / steps for way, total in zip(ways, sums, strict=True)]
    ### END SOLUTION


# %% tags=["solution"]
def completeness_gap(
    f: Callable[[list[tf.Tensor]], tf.Tensor],
    inputs: Sequence[tf.Tensor],
    baselines: Sequence[tf.Tensor] | None,
    attributions: Sequence[tf.Tensor],
    target: int | None = None,
) -> float:
    """How far attributions are from completeness, with its sign: 0 for exact integrals (Sundararajan et al., 2017).

    Arguments as in `integrated_gradients`; attributions: one array (1, …) for each modality.

    Returns the sum of all attributions minus (score of the inputs - score of the baselines).
    Raises TypeError for integer inputs, ValueError for bad shapes and targets.
    """
    ### BEGIN SOLUTION
    require_one_sample(inputs, baselines)
    inputs = [tf.convert_to_tensor(x) for x in inputs]
    starts = [tf.zeros_like(x) for x in inputs] if baselines is None else map(tf.convert_to_tensor, baselines)
    total = sum(float(tf.reduce_sum(attribution)) for attribution in attributions)
    rise = float(explained_score(f, inputs, target)[0]) - float(explained_score(f, starts, target)[0])
    return total - rise
    ### END SOLUTION


# %% [markdown]
# **Try it.** Text of two numbers, an image of one; the score is (t₀ + 2 t₁) · i². With two steps the sum is still
# visibly too small, and the gap says by how much. Then two outputs, and a path that does not begin at zeros.

# %% tags=["visible-checks", "active-ipynb"]
# def product(inputs):
#     text, image = inputs
#     return (text[:, 0] + 2 * text[:, 1]) * image[:, 0, 0] ** 2
#
#
# def two_outputs(inputs):
#     return tf.stack([-product(inputs), product(inputs)], axis=1)
#
#
# sample = [tf.constant([[1.0, 2.0]]), tf.constant([[[3.0]]])]
# start = [tf.constant([[1.0, 0.0]]), tf.constant([[[1.0]]])]
# assert explained_score(two_outputs, sample, 0).numpy().tolist() == [-45.0]
#
# text_part, image_part = integrated_gradients(product, sample, steps=2)
# assert np.allclose(text_part, [[2.8125, 11.25]]), f"the text's attributions are {text_part}"
# assert np.allclose(image_part, [[[28.125]]]), f"the image's attributions are {image_part}"
# assert np.isclose(completeness_gap(product, sample, None, [text_part, image_part]), 42.1875 - 45)
#
# text_part, image_part = integrated_gradients(two_outputs, sample, start, target=1, steps=2)
# assert np.allclose(text_part, [[0.0, 17.0]]), f"the text's attributions are {text_part}"
# assert np.allclose(image_part, [[[26.0]]]), f"the image's attributions are {image_part}"
# assert np.isclose(completeness_gap(two_outputs, sample, start, [text_part, image_part], target=1), -1.0)

# %% [markdown]
# **Look at it.** The caption is "a red square", each word a vector of four numbers; the image has two bright patches.
# The small model below multiplies what it sees in the left patch by what it reads about a square. The right panel shows
# the completeness gap: from two steps on, ten times as many make it a hundred times smaller, roughly.

# %% tags=["active-ipynb"]
# import matplotlib.pyplot as plt
#
# generator = np.random.default_rng(5)
# words, caption = ["a", "red", "square"], generator.normal(size=(1, 3, 4)).astype(np.float32)
# picture = generator.uniform(0.0, 0.15, size=(1, 8, 8)).astype(np.float32)
# picture[0, 2:5, 1:4] = picture[0, 4:7, 5:8] = 0.9
# reader = caption[0] * np.array([[0.1], [0.4], [0.8]], np.float32)  # what the model listens to, word by word
# window = np.zeros((8, 8), np.float32)
# window[1:6, 0:5] = 0.15
#
#
# def small_model(inputs):
#     text, image = inputs
#     return tf.tanh(tf.reduce_sum(text * reader, [1, 2]) * tf.tanh(tf.reduce_sum(image * window, [1, 2])))
#
#
# of_words, of_pixels = integrated_gradients(small_model, [caption, picture])
# counts, gaps = [1, 2, 5, 10, 20, 50, 100], []
# for count in counts:
#     parts = integrated_gradients(small_model, [caption, picture], steps=count)
#     gaps.append(abs(float(completeness_gap(small_model, [caption, picture], None, parts))))
#
# _, axes = plt.subplots(1, 4, figsize=(14, 3))
# axes[0].bar(words, np.sum(of_words, axis=(0, 2)))
# axes[0].set_title(f"words, together {np.sum(of_words):.2f}")
# axes[1].imshow(picture[0], cmap="gray", vmin=0, vmax=1)
# axes[1].set_title("image")
# axes[2].imshow(np.array(of_pixels)[0], cmap="inferno")
# axes[2].set_title(f"pixels, together {np.sum(of_pixels):.2f}")
# axes[3].loglog(counts, gaps, marker="o")
# axes[3].set_title("gap against steps")
# plt.show()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# For the product of text and image the attributions of both must sum to what the score has risen by, for every number
# of steps. If yours sum to twice as much, how often was the common part of the rise given away?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Along the path the score changes at the rate "gradient times direction", and the direction is input − baseline. The
# integral of that rate is the whole rise, and each value's own term in it is its attribution. A mean over the middles
# of equal pieces approximates the integral; beginnings or ends of the pieces lean to one side.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Call what is given, check the steps, make tensors, and zeros where baselines are missing. For each piece compute the
# fraction of its middle, the point of every modality at that fraction, and under one tape that watches them all the
# score; ask for all gradients at once and add them up. What the score does not use must come back as zeros. In the end
# multiply and divide.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# gradients = tape.gradient(score, point, unconnected_gradients="zero")
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Mukund Sundararajan, Ankur Taly, Qiqi Yan (2017). *Axiomatic Attribution for Deep Networks.*
#
# The other works behind the model answer are listed there, in the solution: their titles would answer the question.
