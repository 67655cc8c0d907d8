# %% [markdown]
# # The worst case inside a small ball
#
# "Adversarial training adds noise, and makes a model more robust, less overfitted and better at generalising." That is
# the quick answer, and an interviewer will ask three things about it: noise from where, robust against what, and at
# which price? Behind all three stands one small problem: how bad can it get if every input may move a little? For a
# linear model you can solve it with pencil and paper, and the solution is the step that attacks on large models take.
# Here you answer the question in your own words, judge eight claims about it, and write that solution.
#
# Plan about 40 minutes: 15 for the answer, 5 for the claims, 20 for the code.

# %%
from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"What is adversarial training of a multimodal model, how is it done, and what does it really buy you?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *objective*: what is minimised and what is maximised, over which set, and where the perturbation comes from;
# - *attack*: how the inner problem is solved approximately, what the choice of the norm does, and how you perturb text;
# - *price*: what it costs, what it does not promise, and how you would test the result;
# - *neighbours*: how it differs from adding random noise, and from other methods that are called adversarial.

# %% [markdown] tags=["answer"]
# **Model answer.** "Adversarial training is a min-max problem: the weights θ minimise the average over the data of the
# *largest* loss that any perturbation δ of the input with ‖δ‖ ≤ ε can cause, min over θ of E max over ‖δ‖ ≤ ε of
# L(f(x + δ), y) (Madry et al. 2018). The label stays the same, since the ball is so small that the right answer does
# not change. The perturbation is no noise and no odd data point: it is computed for this sample and this model, from
# the gradient of the loss with respect to the *input*.
#
# The inner maximum is approximated. FGSM takes one step of size ε along the sign of the gradient (Goodfellow, Shlens &
# Szegedy 2015); PGD takes several smaller ones and projects back onto the ball around the clean input after each. The
# norm says what 'a little' means. For a linear model the answer is exact: the margin falls by ε times the *dual* norm
# of the weights, so by ε‖w‖₁ if every feature may move by ε, by ε‖w‖₂ for the Euclidean ball, and by ε max|w| for ℓ1.
# Many small changes add up, which is why high-dimensional inputs are so easy to attack. An image can be perturbed in
# its pixels or its features; tokens are discrete, so text is perturbed at its embeddings (Miyato, Dai & Goodfellow
# 2017; FreeLB, Zhu et al. 2020), and VILLA does so for both modalities of a vision-language model (Gan et al. 2020).
# Each modality has a scale of its own, so each gets its own budget.
#
# The price: with k steps of attack, an update takes k more forward and backward passes. Accuracy on clean images often
# falls (Tsipras et al. 2019), and TRADES makes the exchange explicit (Zhang et al. 2019). The robust accuracy on test
# data can get worse in late training: robust overfitting (Rice, Wong & Kolter 2020). Generalisation does not follow,
# then, although small perturbations of embeddings have helped language and vision-language models on clean data as
# well. What is learned holds for the ball that was trained on, not for other norms or shifted data. So I report clean
# and robust accuracy side by side, and attack with something stronger than I trained with (AutoAttack, Croce & Hein
# 2020).
#
# Random noise is another thing: small Gaussian noise on the inputs acts like Tikhonov regularisation (Bishop 1995), and
# it gives a guarantee only for the smoothed classifier, which takes a vote over noisy copies (Cohen, Rosenfeld & Kolter
# 2019). Two more methods have the word in their name: in a GAN the opponent is a network that tells real from generated
# data (Goodfellow et al. 2014), and domain-adversarial training has a classifier from which the features hide their
# domain (Ganin et al. 2016)."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, objective: a minimum over the weights of a maximum over a small set of perturbations, with the label kept;
#   the perturbation comes from the gradient of the loss with respect to the input.
# - 1 point, attack: one signed step, or several with projection; the norm decides the shape of the step (the dual norm
#   is welcome here); text is perturbed at its embeddings. A budget for each modality is welcome here.
# - 1 point, price: two of: more passes for each update, lower accuracy on clean data, robust overfitting, protection
#   for the chosen ball only; and a test with clean and attacked data, with a stronger attack than in training.
# - 1 point, neighbours: random noise is not the worst case (regularisation, or smoothing with a vote); GANs or
#   domain-adversarial training named as something else, with the difference.
#
# An answer that says only "noise makes the model robust and improves generalisation" earns no point.
#
# **References of the model answer**
#
# - Chris M. Bishop (1995). *Training with Noise is Equivalent to Tikhonov Regularization.*
# - Jeremy M. Cohen, Elan Rosenfeld, J. Zico Kolter (2019). *Certified Adversarial Robustness via Randomized Smoothing.*
# - Francesco Croce, Matthias Hein (2020). *Reliable evaluation of adversarial robustness with an ensemble of diverse
#   parameter-free attacks.*
# - Zhe Gan, Yen-Chun Chen, Linjie Li, Chen Zhu, Yu Cheng, Jingjing Liu (2020). *Large-Scale Adversarial Training for
#   Vision-and-Language Representation Learning.*
# - Yaroslav Ganin, Evgeniya Ustinova, Hana Ajakan, et al. (2016). *Domain-Adversarial Training of Neural Networks.*
# - Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, et al. (2014). *Generative Adversarial Nets.*
# - Ian J. Goodfellow, Jonathon Shlens, Christian Szegedy (2015). *Explaining and Harnessing Adversarial Examples.*
# - Aleksander Madry, Aleksandar Makelov, Ludwig Schmidt, Dimitris Tsipras, Adrian Vladu (2018). *Towards Deep Learning
#   Models Resistant to Adversarial Attacks.*
# - Takeru Miyato, Andrew M. Dai, Ian J. Goodfellow (2017). *Adversarial Training Methods for Semi-Supervised Text
#   Classification.*
# - Leslie Rice, Eric Wong, J. Zico Kolter (2020). *Overfitting in adversarially robust deep learning.*
# - Dimitris Tsipras, Shibani Santurkar, Logan Engstrom, Alexander Turner, Aleksander Madry (2019). *Robustness May Be
#   at Odds with Accuracy.*
# - Hongyang Zhang, Yaodong Yu, Jiantao Jiao, Eric P. Xing, Laurent El Ghaoui, Michael I. Jordan (2019). *Theoretically
#   Principled Trade-off between Robustness and Accuracy.*
# - Chen Zhu, Yu Cheng, Zhe Gan, Siqi Sun, Tom Goldstein, Jingjing Liu (2020). *FreeLB: Enhanced Adversarial Training
#   for Natural Language Understanding.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published as facts. All of them must be right for the 3
# points, so guessing earns nothing. FGSM is the attack that takes one step of size ε along the sign of the gradient,
# PGD the one that takes several steps and projects back after each.
#
# | id | claim |
# |---|---|
# | `noise_on_average` | Gaussian noise of mean zero on the input lowers the margin of a linear model on average. |
# | `one_step_is_exact` | For a linear two-class model, FGSM reaches the worst case of the ball with max abs(δ) ≤ ε. |
# | `largest_weight` | If all features may move by ε, a linear model's margin falls by at most ε · max abs(w). |
# | `raises_both` | Adversarial training can be relied on to raise the accuracy on clean images as well. |
# | `fresh_examples` | Perturbations are made anew in every epoch, so robust accuracy on test data keeps rising. |
# | `cost_of_steps` | Training on what ten PGD steps find takes about eleven times the passes of plain training. |
# | `through_embeddings` | Tokens cannot move by a small step; a text encoder can be attacked at its embeddings. |
# | `second_network` | The min-max problem needs a second network, trained to find the perturbations. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "noise_on_average",
        "one_step_is_exact",
        "largest_weight",
        "raises_both",
        "fresh_examples",
        "cost_of_steps",
        "through_embeddings",
        "second_network",
    ]
)
### BEGIN SOLUTION
claims.update(
    # The change of the margin is linear in the noise, so its mean is zero: up as often as down.
    noise_on_average=False,
    # The gradient is a positive multiple of -y·w everywhere in the ball, and the loss only falls with the margin.
    one_step_is_exact=True,
    # All features move at once and their shares add up: the margin falls by ε times the sum of abs(w).
    largest_weight=False,
    # It often falls (Tsipras et al. 2019); TRADES exchanges one for the other openly (Zhang et al. 2019).
    raises_both=False,
    # Robust overfitting: it falls again late in training, also with new perturbations each time (Rice et al. 2020).
    fresh_examples=False,
    # Ten forward and backward passes for the attack, and one for the update.
    cost_of_steps=True,
    # Embeddings are real vectors, and there a small step along the gradient makes sense (Miyato et al. 2017).
    through_embeddings=True,
    # The model's own gradient is enough; an opponent that learns belongs to GANs.
    second_network=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# A linear model with weights `w`, shape `(d,)`, and bias `b` says class 1 if `w · x + b` is positive and class -1 if it
# is negative. For a sample `x`, shape `(d,)`, with label `y` (1 or -1), the *margin* is `y * (w · x + b)`: positive if
# the model is right, and the larger the safer. An opponent may now replace `x` by `x + delta`, and wants the margin as
# small as possible.
#
# **One idea:** of all perturbations in the ball, find the one that does most harm. The ball is the set of all `delta`
# with length at most `eps`, and the norm says how length is measured:
#
# | `norm` | length of `delta` |
# |---|---|
# | `"linf"` | the largest absolute value of an entry |
# | `"l2"` | the square root of the sum of the squares |
# | `"l1"` | the sum of the absolute values |
#
# ### `worst_case_perturbation(w, y, eps, norm) -> delta`
#
# The `delta`, a float64 array `(d,)`, that makes the margin as small as it can get.
#
# ### `worst_case_margin(w, b, x, y, eps, norm) -> float`
#
# The smallest margin that any `x + delta` in the ball can have. It may be negative.
#
# ### Rules
#
# - A feature with weight 0 is left alone (its entry of `delta` is 0), so weights that are all zero give a `delta` of
#   zeros. With `"l1"`, if several features are equally good, the one with the lowest index takes all.
# - Everything is computed in float64; `w` and `x` may be lists, or arrays of integers, float16 or any other real type.
#   `w` and `x` stay as they are.
# - The size of `w` does not matter for `delta`: weights of 1e-100 have a worst case like any others.
# - **`ValueError`:** `eps` negative, infinite or NaN; a `y` that is not 1 or -1; a `norm` that is none of the three
#   names above (`"L2"` and `2` are refused too); `w` or `x` that is not one-dimensional or has no entry; `x` of another
#   length than `w`.
# - **Your choice:** the margin is a Python or NumPy number; NaN and infinities in `w`, `b` and `x` do what you like.
# - **Not allowed:** the modules `torch`, `tensorflow` and `keras`. No search is needed: NumPy or plain Python will do.
#
# ### A worked example
#
# `w = [1, -4, 2]`, `b = -1`, and `x = [2, 0, 1]` with label 1: the margin is 2 + 0 + 2 - 1 = 3. With `eps = 0.5`:
#
# | `norm` | worst `delta` | margin that is left |
# |---|---|---|
# | `"linf"` | (-0.5, 0.5, -0.5) | -0.5: the model is now wrong |
# | `"l2"` | (-0.109, 0.436, -0.218) | 0.709 |
# | `"l1"` | (0, 0.5, 0) | 1 |


# %% tags=["solution"]
def worst_case_perturbation(w: ArrayLike, y: int, eps: float, norm: str) -> np.ndarray:
    """The perturbation in a ball that makes the margin of a linear model smallest (Goodfellow et al. 2015 for linf).

    Args:
        w: weights, (d,), any real type; computed in float64.
        y: label, 1 or -1.
        eps: radius of the ball, at least 0 and finite.
        norm: "linf", "l2" or "l1", how the length of the perturbation is measured.

    Returns:
        float64, (d,): 0 where w is 0; for "l1" the lowest index wins a tie.

    Raises:
        ValueError: eps, y or norm out of range, or w not one-dimensional or empty.
    """
    ### BEGIN SOLUTION
    w = np.asarray(w, dtype=np.float64)  # (features,)
    if w.ndim != 1 or w.size == 0:
        raise ValueError(f"w must be one row of weights, not of shape {w.shape}")
    if y not in (-1, 1):
        raise ValueError(f"the label must be 1 or -1, not {y}")
    if not 0 <= eps < math.inf:  # written so that NaN is refused too
        raise ValueError(f"eps must be at least 0 and finite, not {eps}")

    # of all directions of length 1, the one with the largest dot product with w
    if norm == "linf":  # every feature may move by the full length
        direction = np.sign(w)
    elif norm == "l2":
        length = np.linalg.norm(w)
        direction = w / length if length > 0 else np.zeros_like(w)
    elif norm == "l1":  # the whole length goes to the feature with the largest weight
        direction = np.zeros_like(w)
        strongest = np.argmax(np.abs(w))
        direction[strongest] = np.sign(w[strongest])
    else:
        raise ValueError(f"norm must be 'linf', 'l2' or 'l1', not {norm!r}")
    return -y * eps * direction  # (features,)
    ### END SOLUTION


# %% tags=["solution"]
def worst_case_margin(w: ArrayLike, b: float, x: ArrayLike, y: int, eps: float, norm: str) -> float:
    """Smallest margin y * (w · (x + delta) + b) in a ball: the inner problem of Madry et al. 2018.

    Args:
        w, x: weights and sample, (d,) each, any real type; computed in float64.
        b: bias.
        y, eps, norm: as in `worst_case_perturbation`.

    Returns:
        one number, the margin that is left; it may be negative.

    Raises:
        ValueError: as in `worst_case_perturbation`, or x has another shape than w.
    """
    ### BEGIN SOLUTION
    delta = worst_case_perturbation(w, y, eps, norm)  # (features,)
    w, x = np.asarray(w, dtype=np.float64), np.asarray(x, dtype=np.float64)  # (features,) each
    if x.shape != w.shape:
        raise ValueError(f"x of shape {x.shape} does not fit w of shape {w.shape}")
    return float(y * (w @ (x + delta) + b))
    ### END SOLUTION


# %% [markdown]
# **Try it.** The weights are (0, 3, -4), and the label is -1.

# %% tags=["visible-checks", "active-ipynb"]
# w, x = [0, 3, -4], [1, -2, 1]
# delta = worst_case_perturbation(w, -1, 0.5, "linf")
# assert np.allclose(delta, [0, 0.5, -0.5]), delta
# delta = worst_case_perturbation(w, -1, 0.5, "l2")
# assert np.allclose(delta, [0, 0.3, -0.4]), delta
# delta = worst_case_perturbation(w, -1, 0.5, "l1")
# assert np.allclose(delta, [0, 0, -0.5]), delta
# # without an opponent the margin is -(0 - 6 - 4 + 1.5) = 8.5
# margins = [worst_case_margin(w, 1.5, x, -1, 0.5, norm) for norm in ("linf", "l2", "l1")]
# assert np.allclose(margins, [5, 6, 6.5]), margins

# %% [markdown]
# The next cell compares your perturbation with random ones of the same size, for models with more and more features.

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# for width in (10, 100, 1000):
#     weights = generator.normal(size=width) / np.sqrt(width)
#     attack = worst_case_perturbation(weights, 1, 0.1, "linf")
#     noise = 0.1 * generator.choice([-1.0, 1.0], size=(300, width))
#     print(
#         f"{width:4} features: your perturbation changes the margin by {weights @ attack:.2f}, "
#         f"the worst of 300 random ones by {(noise @ weights).min():.2f}"
#     )

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# By how much does the margin change if you move feature 3 alone, by a small t? Which sign of t hurts the model, and
# does it depend on `x`? And if you could move one feature only, which one would you take?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The margin changes by y times the dot product of `w` and `delta`, so `x` plays no part in the choice. The smallest
# value of a dot product over a ball is minus the radius times another norm of `w`, the *dual* norm. Which one it is
# follows from how the ball lets you share out the length: does moving one feature leave less for the others?
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check the arguments. Find a direction of length 1 in the given norm that points as far along `w` as possible: for one
# ball all features go to their limit, for one the direction is `w` itself, made shorter, and for one a single feature
# takes everything. Look after weights that are all zero. Then turn the direction against the label and stretch it.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# strongest = np.argmax(np.abs(w))  # the first of the largest
# ```
#
# </details>

# %% [markdown]
# ## References
#
# - Ian J. Goodfellow, Jonathon Shlens, Christian Szegedy (2015). *Explaining and Harnessing Adversarial Examples.* Its
#   first sections treat the linear model.
# - Aleksander Madry, Aleksandar Makelov, Ludwig Schmidt, Dimitris Tsipras, Adrian Vladu (2018). *Towards Deep Learning
#   Models Resistant to Adversarial Attacks.*
#
# The other works behind the model answer are listed there, in the solution.
