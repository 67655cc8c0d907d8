# %% [markdown]
# # Pruning a Keras model by magnitude
#
# A trained network has many weights close to zero, and often most of them can go before the accuracy does. A published
# answer calls `model.prune()`, a method that no Keras model has, on a network that was never trained. Pruning takes
# three things: a rule which weights may go, a ranking with an exact count, and masks that are kept, since the next step
# of the optimiser gives the removed weights new values. It makes a model cheaper to store or to run, if format and
# hardware make use of zeros; it does not explain what the model does.
#
# ## Your task (45 minutes)
#
# Write four functions. Models are Keras models whose weights exist and are finite; the `path` of each weight, a string
# such as `"image/kernel"`, occurs only once in a model.
#
# **1. `prunable_kernels(model)`** returns a dictionary from path to variable, in the order of `model.weights`: all
# weights whose own name (`variable.name`) ends with `kernel` and that have at least two axes, wherever in the model
# they are: in nested models, in the cells of recurrent layers, in frozen layers. That leaves out biases (some of which
# have two axes), the weights of normalisation and the tables of `Embedding` layers.
#
# **2. `magnitude_prune(model, sparsity, scope="layer", skip=())`** sets the smallest weights to 0, in place, and
# returns the masks: a dictionary from path to a boolean array (or tensor) of the kernel's shape, `True` where the
# weight is kept.
#
# - Smallest means smallest absolute value. With `scope="layer"` each kernel of n entries loses `round(sparsity * n)` of
#   them. With `scope="global"` there is one ranking of all kernels together, and n is the number of all their entries.
# - `round` is Python's, which takes halves to the even neighbour. The number may be 0, or n for a small kernel: then
#   nothing of it goes, or all of it.
# - Of equal magnitudes, those that come first go first: in a kernel in the order of the flattened array (`ravel()`),
#   and globally the kernels in the order of `model.weights`.
# - A weight that is 0 already is ranked like any other. So the same call twice does what it does once.
# - `skip` is a collection of paths. Kernels with these paths are not pruned, have no mask and do not count in n.
# - All other weights stay as they are, to the last bit. Nothing is trained, added or removed.
#
# **3. `apply_masks(model, masks)`** sets the weights to 0 where their mask is `False`, in place, and leaves all others
# as they are. It is called after each step of the optimiser. `masks` has boolean NumPy arrays, or what your
# `magnitude_prune` returned; kernels without a mask stay as they are.
#
# **4. `sparsity_report(model)`** returns a dictionary with the share of exact zeros in each prunable kernel, by path,
# and under `"total"` the share of zeros among the entries of all these kernels. The shares are numbers from 0 to 1.
#
# **Errors.** A refused call changes no weight.
#
# - `ValueError`: a sparsity outside 0 ≤ sparsity < 1 (NaN included); a scope that is neither `"layer"` nor `"global"`;
#   no kernel to prune, since the model has none or all are skipped; a mask that does not have its kernel's shape.
# - `KeyError`: an entry of `skip`, or a key of `masks`, that is not the path of any weight of the model. For a plain
#   string as `skip`, `TypeError` is as good.
# - Your choice: a report for a model without kernels, masks for weights other than kernels.
#
# Nothing is forbidden.
#
# ## A worked example
#
# A model has the kernels `text/kernel` `[[-0.2, 0.4]]` and `image/kernel` `[[3, -1], [0.5, 2]]`, in this order, and a
# sparsity of 0.5 is asked for.
#
# | scope | entries | pruned | `text/kernel` | `image/kernel` | report |
# |---|---|---|---|---|---|
# | `"layer"` | 2 and 4 | -0.2; 0.5 and -1 | `[[0, 0.4]]` | `[[3, 0], [0, 2]]` | 0.5, 0.5, total 0.5 |
# | `"global"` | 6 | -0.2, 0.4, 0.5 | `[[0, 0]]` | `[[3, -1], [0, 2]]` | 1.0, 0.25, total 0.5 |
#
# One ranking for all takes the whole text side here, whose weights happen to be small: a good reason to look at the
# report, and at the accuracy with and without each modality.

# %%
from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np


# %% tags=["solution"]
def prunable_kernels(model: keras.Model) -> dict[str, keras.Variable]:
    """The kernels with two or more axes, by `variable.path`, in the order of `model.weights`."""
    ### BEGIN SOLUTION
    # `model.weights` goes through nested models and the cells of recurrent layers, and lists a shared weight once
    return {
        variable.path: variable
        for variable in model.weights
        if variable.name.endswith("kernel") and len(variable.shape) >= 2
    }
    ### END SOLUTION


# %% tags=["solution"]
def magnitude_prune(
    model: keras.Model, sparsity: float, scope: str = "layer", skip: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Set the weights of smallest magnitude to 0, in place (Han, Pool, Tran and Dally, 2015).

    Args:
        model: a built Keras model.
        sparsity: share of the entries to prune, 0 <= sparsity < 1.
        scope: "layer", the share holds in each kernel; "global", it holds in all kernels together.
        skip: paths of kernels to leave alone.

    Returns:
        For each pruned kernel its path and a boolean mask of its shape, True where the weight is kept.

    Raises:
        ValueError: sparsity out of range, unknown scope, or nothing to prune.
        KeyError: an entry of skip is not the path of a weight.
    """
    ### BEGIN SOLUTION
    if not 0 <= sparsity < 1:  # written so that NaN is refused too
        raise ValueError(f"sparsity must be at least 0 and below 1, not {sparsity}")
    if scope not in ("layer", "global"):
        raise ValueError(f'scope must be "layer" or "global", not {scope!r}')
    unknown = set(skip) - {variable.path for variable in model.weights}
    if unknown:
        raise KeyError(f"skip names weights that the model does not have: {sorted(unknown)}")
    kernels = {path: kernel for path, kernel in prunable_kernels(model).items() if path not in skip}
    if not kernels:
        raise ValueError("there is no kernel to prune")

    # one ranking for each group: each kernel by itself, or all of them together
    groups = [[path] for path in kernels] if scope == "layer" else [list(kernels)]
    masks = {}
    for group in groups:
        flat = [np.abs(kernels[path].numpy()).ravel() for path in group]
        magnitudes = np.concatenate(flat)  # (entries of the group,)
        # a stable sort keeps equal magnitudes in their order: the first ones go first
        smallest = np.argsort(magnitudes, kind="stable")[: round(sparsity * magnitudes.size)]  # (pruned,)
        keep = np.ones(magnitudes.size, dtype=bool)  # (entries of the group,)
        keep[smallest] = False
        ends = np.cumsum([part.size for part in flat])
        for path, part in zip(group, np.split(keep, ends[:-1]), strict=True):
            masks[path] = part.reshape(kernels[path].shape)  # shape of the kernel
    apply_masks(model, masks)
    return masks
    ### END SOLUTION


# %% tags=["solution"]
def apply_masks(model: keras.Model, masks: Mapping[str, np.ndarray]) -> None:
    """Set weights to 0, in place, where their mask is False; call it after each step of the optimiser.

    Args:
        model: a built Keras model.
        masks: for some of its kernels, by path, a boolean array of the kernel's shape, True where it is kept.

    Raises:
        KeyError: a key is not the path of a weight.
        ValueError: a mask does not have its kernel's shape.
    """
    ### BEGIN SOLUTION
    kernels = prunable_kernels(model)
    for path, mask in masks.items():  # all of them before the first change
        kernel = kernels[path]  # KeyError if the model has no such kernel
        if mask.shape != kernel.shape:  # a smaller one would be stretched by broadcasting
            raise ValueError(f"the mask of {path!r} is {mask.shape}, the kernel {kernel.shape}")
    for path, mask in masks.items():
        kernels[path].assign(keras.ops.where(mask, kernels[path], 0.0))
    ### END SOLUTION


# %% tags=["solution"]
def sparsity_report(model: keras.Model) -> dict[str, float]:
    """Share of exact zeros in each prunable kernel, by path, and in all of them together as "total"."""
    ### BEGIN SOLUTION
    kernels = prunable_kernels(model)
    zeros = {path: int(np.sum(kernel.numpy() == 0)) for path, kernel in kernels.items()}
    entries = {path: math.prod(kernel.shape) for path, kernel in kernels.items()}
    report = {path: zeros[path] / entries[path] for path in kernels}
    report["total"] = sum(zeros.values()) / sum(entries.values())  # large kernels count for more
    return report
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# text, image = keras.Input((2,)), keras.Input((3,))
# features = [keras.layers.Dense(1, name="text")(text), keras.layers.Dense(2, name="image")(image)]
# model = keras.Model([text, image], keras.layers.Concatenate()(features))
# text_weights = [np.array([[-0.1], [0.25]]), np.array([0.01])]  # kernel and bias
# image_weights = [np.array([[0.9, -0.3], [0.05, 0.6], [-0.7, 0.2]]), np.array([0.02, 0.03])]
#
# def reset():
#     model.get_layer("text").set_weights(text_weights)
#     model.get_layer("image").set_weights(image_weights)
#
# assert sorted(prunable_kernels(model)) == ["image/kernel", "text/kernel"], sorted(prunable_kernels(model))
#
# reset()
# masks = magnitude_prune(model, 0.5)
# assert np.array_equal(masks["text/kernel"], [[False], [True]]), masks
# assert np.array_equal(masks["image/kernel"], [[True, False], [False, True], [True, False]]), masks
#
# reset()
# masks = magnitude_prune(model, 0.5, scope="global")
# assert np.array_equal(masks["text/kernel"], [[False], [False]]), masks
# kernel, bias = model.get_layer("image").get_weights()
# assert np.allclose(kernel, [[0.9, -0.3], [0, 0.6], [-0.7, 0]]) and np.allclose(bias, [0.02, 0.03]), (kernel, bias)
# report = sparsity_report(model)
# assert np.allclose([report["text/kernel"], report["image/kernel"], report["total"]], [1, 1 / 3, 1 / 2]), report
#
# reset()  # as if training had gone on
# apply_masks(model, masks)
# kernel, bias = model.get_layer("text").get_weights()
# assert np.array_equal(kernel, [[0], [0]]) and np.allclose(bias, [0.01]), (kernel, bias)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Whatever the values are, exactly `round(sparsity * n)` entries are pruned, even if all n are equal; no pruned one was
# larger, in absolute value, than any that is kept; and flipping the sign of a weight changes no mask. Which of these
# hold if you compare with a threshold?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A ranking with an exact count is a matter of sorting positions, not of comparing values. A sort is called stable if it
# leaves equal values in their old order. "Global" is the same ranking on one long array in which all kernels lie one
# after the other; afterwards the result has to be cut into pieces again.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Collect the kernels from `model.weights`. Check all arguments. Make groups of kernels, one each or one for all. For a
# group: flatten, absolute values, positions of the smallest, a mask that is true but at these positions, cut and
# reshaped. To apply masks, check every path and shape first, then write back each kernel with zeros in its places.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `order = np.argsort(magnitudes, kind="stable")`; a variable takes a new value by `variable.assign(value)`.
# </details>
#
# ## Going further
#
# - Zeros shrink nothing by themselves: `model.count_params()` is the same as before, and so are the file and the time
#   of a dense product. Gains come from a sparse format, or from removing whole neurons, heads or channels.
# - The masks have to be applied after every step: a removed weight still gets gradients, and the moving averages of
#   Adam push it even without them. Usual is to train, prune, and fine-tune with masks, at a sparsity that rises step by
#   step (Zhu and Gupta, 2018). Frankle and Carbin (2019) train what is left from its first values again.
# - Magnitude is the plainest criterion. Others estimate how much the loss rises when a weight is removed (LeCun, Denker
#   and Solla, 1990; Hassibi and Stork, 1993), weigh weights by the size of their inputs (Sun et al., 2024), or repair
#   the layer after it (Frantar and Alistarh, 2023).
# - Before shipping, compare accuracy by class and by modality, and the latency on the machine that will do the work.
#
# ## References
#
# - Yann LeCun, John S. Denker, Sara A. Solla (1990). Optimal Brain Damage. NIPS 2.
# - Babak Hassibi, David G. Stork (1993). Second Order Derivatives for Network Pruning: Optimal Brain Surgeon. NIPS 5.
# - Song Han, Jeff Pool, John Tran, William J. Dally (2015). Learning both Weights and Connections for Efficient Neural
#   Network. NIPS 2015.
# - Michael H. Zhu, Suyog Gupta (2018). To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model
#   Compression. ICLR 2018 Workshop.
# - Jonathan Frankle, Michael Carbin (2019). The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks.
#   ICLR 2019.
# - Elias Frantar, Dan Alistarh (2023). SparseGPT: Massive Language Models Can be Accurately Pruned in One-Shot. ICML
#   2023.
# - Mingjie Sun, Zhuang Liu, Anna Bair, J. Zico Kolter (2024). A Simple and Effective Pruning Approach for Large
#   Language Models. ICLR 2024.
