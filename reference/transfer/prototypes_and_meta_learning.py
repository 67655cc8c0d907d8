# %% [markdown]
# # Prototypes and meta-learning
#
# Five labelled examples of a new class cannot train a network, but a network can be trained to cope with five examples.
# Two ways to do that have shaped the field. A prototypical network turns each class into the mean of its examples and
# classifies by distance. MAML looks for initial weights from which a few gradient steps go a long way, and to find them
# it differentiates *through* those steps. Here you write the core of both.
#
# ## Your task (50 minutes)
#
# An episode has a *support*, the labelled examples to adapt to, and a *query*, other samples of the same classes.
#
# ### `prototypical_logits(support, support_y, query) -> logits`
#
# * `support` `(S, D)` and `query` `(Q, D)` are float32 tensors, the features that some encoder has made; `support_y` is
#   a NumPy array of integers `(S,)`, the classes 0 ... N - 1 of the support in any order. Each class has at least one
#   example; they need not have equally many.
# * The prototype of a class is the mean of its support features. The result is a float32 tensor `(Q, N)`: **minus the
#   squared Euclidean distance** of each query to each prototype, summed over the D features. A softmax over the classes
#   turns it into probabilities, so these are logits; the softmax is not part of the function.
# * The result can be differentiated with respect to `support` and `query`, since the encoder learns through both.
# * Only differences between features count. The result has to stay accurate, to about 1e-3, for features that all lie
#   near 1000, with distances of about 1 between them.
# * `ValueError` for a support or query that is not a matrix, different widths, `support_y` of another shape than
#   `(S,)`, an empty support, and labels that are not exactly 0 ... N - 1: a negative label, or a gap such as 0, 0, 2.
#   `TypeError` for labels that are floats (a `ValueError` is accepted too).
#
# ### `maml_gradient(loss_fn, params, support, query, inner_lr, steps=1, first_order=False) -> gradients`
#
# * `loss_fn(params, batch)` returns a scalar tensor. `params` is a list of floating tensors or `tf.Variable`s of any
#   shapes; `loss_fn` can be called with any list of tensors of these shapes, and its gradients are dense tensors.
#   `support` and `query` may be anything that `loss_fn` takes as a batch.
# * Adaptation: `steps` steps of plain gradient descent with the rate `inner_lr`, starting at `params`; every step uses
#   the gradient of `loss_fn(…, support)` where the step begins.
# * The result is a list with the gradient of `loss_fn(adapted params, query)` **with respect to the initial `params`**,
#   one tensor for each, of the same shape and dtype. It runs through all steps, second derivatives included.
# * With `first_order=True`, the gradients of the inner steps are treated as constants.
# * A parameter that a loss does not use has the gradient zero, in the inner steps and in the result. `inner_lr=0` is
#   allowed and gives the plain gradient of the query's loss.
# * Nothing is changed: the list `params` holds the same objects afterwards, and variables keep their values.
# * `ValueError` for `steps` below 1, and for an `inner_lr` that is negative, NaN or infinite.
#
# Everything runs eagerly; no `tf.function` is needed. Nothing is forbidden. How you treat what is not named here (an
# empty query, labels as bools or in a list, NumPy arrays as features, `steps=2.0`) is up to you.
#
# ## A worked example
#
# Support `[[0, 0], [2, 0], [4, 3]]` with labels `[0, 0, 1]`: the prototypes are (1, 0) and (4, 3). The query (1, 1) has
# the logits (-1, -13), the query (4, 0) has (-9, -9).
#
# One parameter θ = 0.5 and the loss (θ - c)² with c = 1 on the support and c = 3 on the query, `inner_lr=0.1`:
#
# | | steps=1 | steps=3 |
# |---|---|---|
# | adapted θ | 0.6 | 0.744 |
# | gradient of the query's loss at the adapted θ | -4.8 | -4.512 |
# | result, `first_order=True` | -4.8 | -4.512 |
# | result, `first_order=False` | -3.84 | -2.31014 |
#
# Moving the initial θ by a little moves the adapted θ by 0.8 times as much after one step: 0.8 · (-4.8) = -3.84.

# %%
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import numpy as np
import tensorflow as tf

# %% [markdown]
# ## Part 1: prototypes


# %% tags=["solution"]
def prototypical_logits(support: tf.Tensor, support_y: np.ndarray, query: tf.Tensor) -> tf.Tensor:
    """Logits of a prototypical network (Snell, Swersky and Zemel, 2017).

    Args:
        support: features of the labelled examples, float32, (S, D).
        support_y: their classes, integers, (S,); every class 0 ... N - 1 occurs.
        query: features of the samples to classify, float32, (Q, D).

    Returns:
        Minus the squared Euclidean distance of every query to every class mean, float32, (Q, N).

    Raises:
        TypeError: labels are not integers.
        ValueError: shapes do not fit together, or the labels are not exactly 0 ... N - 1.
    """
    ### BEGIN SOLUTION
    if support.ndim != 2 or query.ndim != 2 or support.shape[1] != query.shape[1]:
        raise ValueError(f"support {support.shape} and query {query.shape} must be matrices of one width")
    if support_y.shape != (support.shape[0],):
        raise ValueError(f"{support.shape[0]} examples need labels ({support.shape[0]},), not {support_y.shape}")
    if not np.issubdtype(support_y.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {support_y.dtype}")
    classes = np.unique(support_y)
    if classes.size == 0 or not np.array_equal(classes, np.arange(classes.size)):
        raise ValueError(f"labels must be 0 ... N - 1 without gaps, found {classes}")

    # prototype of a class: the mean of its own examples
    prototypes = tf.math.unsorted_segment_mean(support, support_y, classes.size)  # (classes, width)
    # logit: minus the squared distance; differences first, since squares of large features would swallow them
    differences = query[:, None, :] - prototypes[None, :, :]  # (queries, classes, width)
    return -tf.reduce_sum(differences**2, axis=-1)  # (queries, classes)
    ### END SOLUTION


# %% [markdown]
# ## Part 2: the gradient of MAML


# %% tags=["solution"]
def maml_gradient(
    loss_fn: Callable[[list[tf.Tensor], Any], tf.Tensor],
    params: list[tf.Tensor],
    support: Any,
    query: Any,
    inner_lr: float,
    steps: int = 1,
    first_order: bool = False,
) -> list[tf.Tensor]:
    """Gradient of the query's loss after adaptation to the support, with respect to the initial parameters.

    Args:
        loss_fn: maps a list of parameters and a batch to a scalar.
        params: the initial parameters, floating tensors or variables; they are not changed.
        support: batch for the inner steps.
        query: batch for the loss after them.
        inner_lr: rate of the inner steps, 0 or more.
        steps: number of inner steps of gradient descent, 1 or more.
        first_order: treat the gradients of the inner steps as constants.

    Returns:
        One gradient for each parameter, of its shape and dtype; zero where a parameter has no influence.

    Raises:
        ValueError: steps below 1, or a rate that is negative or not finite.

    Source: Finn, Abbeel and Levine (2017), including the first-order approximation.
    """
    ### BEGIN SOLUTION
    if steps < 1:
        raise ValueError(f"at least one inner step is needed, not {steps}")
    if not 0 <= inner_lr < np.inf:  # written so that NaN is refused too
        raise ValueError(f"the inner rate must be finite and 0 or more, not {inner_lr}")

    zero = tf.UnconnectedGradients.ZERO  # not None for a parameter that the loss does not use
    params = [tf.convert_to_tensor(param) for param in params]
    with tf.GradientTape() as outer:  # records the inner steps as well, so that it can differentiate through them
        outer.watch(params)
        adapted = params
        for _ in range(steps):
            with tf.GradientTape() as inner:
                inner.watch(adapted)
                loss = loss_fn(adapted, support)
            gradients = inner.gradient(loss, adapted, unconnected_gradients=zero)
            if first_order:
                gradients = [tf.stop_gradient(gradient) for gradient in gradients]
            # inner step: parameter minus rate times gradient, as new tensors
            adapted = [param - inner_lr * gradient for param, gradient in zip(adapted, gradients, strict=True)]
        query_loss = loss_fn(adapted, query)
    return outer.gradient(query_loss, params, unconnected_gradients=zero)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# support = tf.constant([[1.0, 0.0], [3.0, 2.0], [0.0, 4.0]])
# query = tf.constant([[2.0, 2.0], [0.0, 0.0]])
# logits = prototypical_logits(support, np.array([1, 0, 1]), query)
# assert logits.shape == (2, 2), f"the shape is {logits.shape}; expected (2, 2)"
# expected = [[-1.0, -2.25], [-13.0, -4.25]]
# assert np.allclose(logits, expected), f"the logits are {np.array(logits).tolist()}; expected {expected}"
#
# def squared_distance(params, target):
#     return (params[0] - target) ** 2
#
# start = [tf.constant(2.0)]
# (gradient,) = maml_gradient(squared_distance, start, 0.0, 5.0, inner_lr=0.25)
# assert np.isclose(gradient, -4.0), f"the gradient is {float(gradient):g}; expected -4.0"
# (gradient,) = maml_gradient(squared_distance, start, 0.0, 5.0, inner_lr=0.25, first_order=True)
# assert np.isclose(gradient, -8.0), f"the gradient is {float(gradient):g}; expected -8.0"
# (gradient,) = maml_gradient(squared_distance, start, 0.0, 5.0, inner_lr=0.25, steps=2)
# assert np.isclose(gradient, -2.25), f"the gradient is {float(gradient):g}; expected -2.25"

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Add the same vector to every support and every query feature: what happens to the logits? And for MAML: move the
# initial parameters a little, adapt again, and look at the query's loss. By how much did it change, and does your
# gradient predict it?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# An adapted parameter is a function of the initial one: a subtraction whose second part, the inner gradient, depends on
# the initial parameter as well. A gradient tape can differentiate that function if it was recording while the inner
# gradient was computed, which takes one tape inside another. Assigning to a variable would break the chain.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Logits: check; average the support rows of each class; subtract every prototype from every query with two axes of
# size one; square, sum over the features, change the sign. MAML: open the outer tape and watch the parameters; for each
# step, open an inner tape, compute the support's loss at the current parameters, take its gradient, and make new
# tensors; then the query's loss at the last ones, still under the outer tape; at the end its gradient with respect to
# the first ones.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `differences = query[:, None, :] - prototypes[None, :, :]`, of shape (Q, N, D); and for unused parameters
# `tape.gradient(loss, params, unconnected_gradients="zero")`.
# </details>

# %% [markdown]
# ## Going further
#
# * Expand the square: -‖q - c‖² = 2c·q - ‖c‖² - ‖q‖². The last term is the same for all classes, so a prototypical
#   network is a linear classifier with the weights 2c and the bias -‖c‖², read off from the examples instead of
#   trained.
# * One inner step has the Jacobian I - αH, with the Hessian H of the support's loss. The first-order version (FOMAML)
#   leaves it out, and Reptile even needs no query (Nichol, Achiam and Schulman, 2018). ANIL adapts the last layer only,
#   with little loss (Raghu et al., 2020): much of MAML's success is a good representation.
# * In an episode of a few samples the statistics of BatchNorm are part of the task: use inference mode, or decide
#   knowingly to normalise with the episode's own statistics.
# * Try the simple competitor first: a frozen, well pretrained encoder with a new linear head is hard to beat (Chen et
#   al., 2019). For a multimodal model that is often the frozen CLIP encoder.
#
# ## References
#
# * Chelsea Finn, Pieter Abbeel, Sergey Levine (2017). Model-Agnostic Meta-Learning for Fast Adaptation of Deep
#   Networks. ICML 2017.
# * Jake Snell, Kevin Swersky, Richard S. Zemel (2017). Prototypical Networks for Few-shot Learning. NIPS 2017.
# * Alex Nichol, Joshua Achiam, John Schulman (2018). On First-Order Meta-Learning Algorithms. arXiv 1803.02999.
# * Wei-Yu Chen, Yen-Cheng Liu, Zsolt Kira, Yu-Chiang Frank Wang, Jia-Bin Huang (2019). A Closer Look at Few-shot
#   Classification. ICLR 2019.
# * Aniruddh Raghu, Maithra Raghu, Samy Bengio, Oriol Vinyals (2020). Rapid Learning or Feature Reuse? Towards
#   Understanding the Effectiveness of MAML. ICLR 2020.
