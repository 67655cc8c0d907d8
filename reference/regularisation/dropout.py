# %% [markdown]
# # Dropout and modality dropout
#
# Dropout is the best-known measure against overfitting, and it fits into three lines. Two of them are often wrong: the
# factor that makes inference work without a change, and the mask that the backward pass has to use again. With several
# modalities there is a second use: dropping a whole modality keeps a model from reading only the easier one. Here you
# answer the interview question in your own words, judge eight claims about it, and write both kinds of dropout.
#
# Plan about 40 minutes: 10 for the answer, 5 for the claims, 25 for the code.

# %%
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Your fine-tuned multimodal model does far better on the training split than on the validation split. What do you do?
# And since dropout is on everybody's list: what exactly does it compute, in training and at inference?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *diagnosis*: how you find out that it is overfitting, and what you rule out before you regularise;
# - *dropout*: what is drawn, by what the rest is multiplied, what changes at inference, and with which rates it is
#   used;
# - *the other measures*: penalties on the weights, and how you limit the room and the time to memorise;
# - *several modalities*: which augmentation is safe for a pair, and what dropping a whole modality is good for.

# %% [markdown] tags=["answer"]
# **Model answer.** "Before I regularise, I rule out that the split misleads me. I group it by image, user or document,
# remove near-duplicates, and compare the curves of training and validation. A photo that sits on both sides hides
# overfitting, and a validation part from another source shows a shift that no regulariser closes.
#
# Dropout then: in training every unit is set to zero independently with probability p, and the units that are kept are
# divided by 1 - p. So the expected value of each unit stays what it was, and at inference the layer passes its input on
# without any factor. This form is called inverted dropout; the paper of 2014 multiplied the weights at test time
# instead. The backward pass multiplies by the same mask and the same factor. The number of dropped units varies from
# draw to draw. In pretrained transformers 0.1 is common; on low-rank adapters I would try 0.05 to 0.1.
#
# Dropout is one measure of several. Decoupled weight decay shrinks the weights; an L1 penalty can set some to exactly
# zero, an L2 penalty shrinks all and zeroes hardly any. I give the model less room: frozen layers or low-rank adapters,
# one to three epochs for a vision-language model. And I stop early on a validation metric, with a patience, and restore
# the weights of the best evaluation.
#
# Augmentation has to keep a pair true. A mirrored image needs mirrored boxes and 'left' and 'right' exchanged in its
# caption; I leave images with readable text, and captions that name directions, alone. Colour changes are out when the
# text names colours. Finally, one modality is often easier and the model leans on it alone. Modality dropout removes
# whole modalities of single samples at random, at least one always stays, and the model has to make use of each of
# them; it also learns to work when one is missing."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, diagnosis: training and validation curves; a grouped split or removed duplicates; leakage or a shift
#   between the parts told apart from overfitting.
# - 1 point, dropout: independent draws with probability p, kept units divided by 1 - p, identity at inference. The same
#   mask in the backward pass and typical rates (about 0.1; adapters 0.05 to 0.1) are welcome here.
# - 1 point, other measures: two of weight decay (L1 gives zeros, L2 shrinks), frozen layers or adapters with few
#   epochs, early stopping with patience and restored weights, each with what it does.
# - 1 point, several modalities: image, boxes and text are augmented together or not at all, with an example of what
#   goes wrong otherwise; modality dropout against reliance on the easier modality, or for missing ones.
#
# **References of the model answer**
#
# - Edward J. Hu, Yelong Shen, Phillip Wallis, et al. (2022). *LoRA: Low-Rank Adaptation of Large Language Models.*
# - Ilya Loshchilov, Frank Hutter (2019). *Decoupled Weight Decay Regularization.*
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). *ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.*
# - Lutz Prechelt (1998). *Early Stopping - But When?*
# - Nitish Srivastava, Geoffrey Hinton, Alex Krizhevsky, Ilya Sutskever, Ruslan Salakhutdinov (2014). *Dropout: A Simple
#   Way to Prevent Neural Networks from Overfitting.*
# - Weiyao Wang, Du Tran, Matt Feiszli (2020). *What Makes Training Multi-Modal Classification Networks Hard?*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. All of them must be right for the 3
# points, so guessing earns nothing. The rate p is the probability of being dropped.
#
# | id | claim |
# |---|---|
# | `crops_are_safe` | Rotating and cropping the images alone is a safe measure for captioned images with boxes. |
# | `factor_at_inference` | After training with inverted dropout, inference must multiply each unit by 1 - p. |
# | `tenth_is_dropped` | In training, PyTorch's `nn.Dropout(0.1)` sets about a tenth of its input to zero. |
# | `exact_share` | Dropout on 100 units with p = 0.2 sets exactly 20 of them to zero in every step. |
# | `mean_not_variance` | Inverted dropout with p = 0.5 adds variance to a unit that is 3, but keeps its mean 3. |
# | `mean_behind_relu` | As inverted dropout keeps the mean of its input, it keeps the mean of a ReLU layer behind it. |
# | `absent_in_18_percent` | Two modalities, p = 0.2, one put back if both drop: each is absent in 18 % of samples. |
# | `leak_misleads` | If validation data repeat training data, the dropout rate chosen on them may be too low. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "crops_are_safe",
        "factor_at_inference",
        "tenth_is_dropped",
        "exact_share",
        "mean_not_variance",
        "mean_behind_relu",
        "absent_in_18_percent",
        "leak_misleads",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # The boxes no longer enclose their objects, and "the dog on the left" may have been cropped away.
    crops_are_safe=False,
    # The division by 1 - p in training has done it already; a second factor would make every unit too small.
    factor_at_inference=False,
    # Its argument is the probability of being dropped, not of being kept.
    tenth_is_dropped=True,
    # Each unit is drawn by itself; the number is binomial, 20 on average with a standard deviation of 4.
    exact_share=False,
    # The unit is 0 or 6, each half of the time: mean 3, variance 9. Without dropout the variance is 0.
    mean_not_variance=True,
    # A ReLU is not linear. The sum of units 2 and -2 is 0 without noise; with p = 0.5 it is 4, -4, 0 or 0, each a
    # quarter of the time, and behind a ReLU the mean is 1.
    mean_behind_relu=False,
    # Drawn absent alone: 0.2 * 0.8 = 0.16; both drawn and the other one kept: 0.04 / 2 = 0.02. Together p - p^2 / 2.
    absent_in_18_percent=True,
    # What was memorised counts as generalised there, so the choice goes to the setting that memorises more.
    leak_misleads=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Write three functions. The rate `p` is the probability of being **dropped**, between 0 and 1, both included.
#
# | call | result |
# |---|---|
# | `dropout(x, p, training, rng)` | a pair `(y, mask)`, both of the shape of `x` |
# | `dropout_backward(grad_y, mask, p)` | `grad_x`, of the shape of `mask` |
# | `modality_dropout(features, p, rng, training=True)` | a pair `(features, present)`, a list and an array |
#
# **`dropout`.** `x` is an array of any shape with one axis or more, finite floats or integers. `mask` is boolean and
# True where an entry is kept. In training each entry is dropped **independently** with probability `p`; dropped entries
# become 0 and kept ones are divided by `1 - p`. With `p = 1` everything is dropped: `y` is 0, the mask all False. At
# inference (`training=False`) `y` equals `x` and the mask is all True.
#
# **`dropout_backward`.** The gradient of the loss with respect to `x`, given the one with respect to `y` and the mask
# of that forward pass. With `p = 1`, where the mask is all False, it is 0. After a forward pass at inference the caller
# passes `p=0`.
#
# **`modality_dropout`.** `features` is a list with one array `(batch, width of this modality)` of finite floats for
# each modality; the widths differ. In training each modality of each sample is dropped independently with probability
# `p`. A sample that has lost **all** of its modalities gets one of them back, each with the same probability, drawn for
# each such sample anew. Dropped vectors become 0; present ones stay as they are, **without** a factor. `present` is
# boolean, `(batch, modalities)`, True where a modality was not dropped. At inference nothing is dropped.
#
# Rules for all three:
#
# - Floating results are float64 and computed in float64, also for float32 or integer arguments.
# - All randomness comes from `rng`, a `numpy.random.Generator`: equal generators give equal results, and the global
#   generators are left alone. At inference `rng` is not used, so its state stays as it was.
# - Arguments stay unchanged, and results are new arrays that share no memory with them, at inference too.
# - `ValueError` if `p` is outside [0, 1] or NaN, at inference too; if `grad_y` and `mask` differ in shape; if
#   `features` is empty, holds an array that does not have two axes, or arrays with different numbers of samples.
#   `TypeError` if an array in `features` holds integers or booleans.
# - **Forbidden:** the modules `torch`, `tensorflow` and `keras`, whose layers are the answer.
# - **Accepted:** any way and order of drawing, one number at a time or all at once.
#
# **Worked example.** `x = [3, 6, -9, 12]`, `p = 0.25`, and the second entry happens to be drawn: the mask is
# `[True, False, True, True]` and `y = [4, 0, -12, 16]`. For `grad_y = [1, 1, 2, 3]` the gradient is
# `grad_x = [4/3, 0, 8/3, 4]`.


# %% tags=["solution"]
def dropout(x: ArrayLike, p: float, training: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Inverted dropout (after Srivastava et al. 2014, with the factor moved from inference to training).

    Args:
        x: array of any shape, floats or integers.
        p: probability that an entry is dropped, in [0, 1].
        training: False makes it the identity, and rng is not used.
        rng: source of all randomness.

    Returns:
        y, float64, and mask, bool, True where an entry was kept; both of the shape of x.

    Raises:
        ValueError: p outside [0, 1] or NaN.
    """
    ### BEGIN SOLUTION
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], not {p}")
    x = np.array(x, dtype=np.float64)  # a copy
    if not training:
        return x, np.ones(x.shape, dtype=bool)
    mask = rng.random(x.shape) >= p
    # divided by the probability of being kept, an entry keeps its mean; with p = 1 nothing is kept
    scale = 1 / (1 - p) if p < 1 else 0.0
    return x * mask * scale, mask
    ### END SOLUTION


# %% tags=["solution"]
def dropout_backward(grad_y: ArrayLike, mask: np.ndarray, p: float) -> np.ndarray:
    """Gradient of inverted dropout with respect to its input.

    Args:
        grad_y: gradient with respect to the output.
        mask: bool, the mask of the forward pass, of the shape of grad_y.
        p: the rate of the forward pass, in [0, 1]; 0 after a forward pass at inference.

    Returns:
        float64 array of the shape of mask.

    Raises:
        ValueError: p outside [0, 1] or NaN, or shapes that differ.
    """
    ### BEGIN SOLUTION
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], not {p}")
    grad_y = np.asarray(grad_y, dtype=np.float64)
    if grad_y.shape != mask.shape:
        raise ValueError(f"gradient {grad_y.shape} and mask {mask.shape} differ in shape")
    # dropout multiplies x by mask * scale, so its gradient is multiplied by the same
    scale = 1 / (1 - p) if p < 1 else 0.0
    return grad_y * mask * scale
    ### END SOLUTION


# %% tags=["solution"]
def modality_dropout(
    features: Sequence[np.ndarray], p: float, rng: np.random.Generator, training: bool = True
) -> tuple[list[np.ndarray], np.ndarray]:
    """Drop whole modalities of single samples, but never all of a sample's (in the spirit of Neverova et al. 2016).

    Args:
        features: one floating array (batch, width) for each modality; widths may differ.
        p: probability that a modality of a sample is dropped, in [0, 1].
        rng: source of all randomness.
        training: False drops nothing, and rng is not used.

    Returns:
        The features as float64 arrays with dropped vectors set to 0, and present, bool (batch, modalities).

    Raises:
        ValueError: p outside [0, 1] or NaN, no modality, an array without two axes, different numbers of samples.
        TypeError: features that are not floating.
    """
    ### BEGIN SOLUTION
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], not {p}")
    if len(features) == 0:
        raise ValueError("there must be at least one modality")
    if any(feature.ndim != 2 or len(feature) != len(features[0]) for feature in features):
        raise ValueError(f"expected arrays (batch, width), not {[feature.shape for feature in features]}")
    if any(not np.issubdtype(feature.dtype, np.floating) for feature in features):
        raise TypeError(f"features must be floating, not {[feature.dtype for feature in features]}")

    batch, modalities = len(features[0]), len(features)
    present = np.ones((batch, modalities), dtype=bool)
    if training:
        present = rng.random((batch, modalities)) >= p
        # a sample that has lost everything gets one modality back, each with the same probability
        bare = np.flatnonzero(~present.any(axis=1))
        present[bare, rng.integers(modalities, size=len(bare))] = True
    # a column of present, (batch, 1), switches whole vectors, (batch, width)
    kept = [feature.astype(np.float64) * present[:, [m]] for m, feature in enumerate(features)]
    return kept, present
    ### END SOLUTION


# %% [markdown]
# **Try it.** What is random differs from draw to draw; these checks look at what must hold for every draw.

# %% tags=["visible-checks", "active-ipynb"]
# x = np.linspace(1, 2, 60).reshape(3, 20)
# y, mask = dropout(x, 0.2, True, np.random.default_rng(0))
# assert y.shape == mask.shape == (3, 20) and mask.dtype == bool
# assert np.allclose(y[mask], x[mask] / 0.8), "kept entries are divided by the probability of being kept"
# assert (y[~mask] == 0).all(), "dropped entries are 0"
#
# gradient = dropout_backward([1.0, 1.0, 2.0], np.array([True, False, True]), 0.5)
# assert np.allclose(gradient, [2, 0, 4]), f"the gradient is {gradient}"
#
# text, image = np.full((4, 2), 5.0), np.full((4, 3), 7.0)
# (new_text, new_image), present = modality_dropout([text, image], 1.0, np.random.default_rng(0))
# assert present.shape == (4, 2) and (present.sum(axis=1) == 1).all(), "with p = 1 one modality is left to each sample"
# assert np.allclose(new_text[:, 0], 5 * present[:, 0]) and np.allclose(new_image[:, 2], 7 * present[:, 1])

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Average `y` over very many masks. Entry by entry the average has to be `x`, for every rate below 1. What does that say
# about the factor of the kept entries? And what does it say about inference, where nothing is drawn?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# For a given mask, dropout multiplies each entry by a number that does not depend on the entry. Such a function is
# linear, and its gradient is multiplied by the same numbers. A comparison of uniform random numbers with a rate gives
# independent booleans of the wanted probability. For modalities there is one boolean for each sample and modality, and
# it acts on a whole vector.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check `p`. At inference: copies, and all True. In training: draw one uniform number for each entry, compare, multiply
# by the mask, divide by the probability of being kept, and treat `p = 1` by itself before dividing. For modalities:
# draw a table (batch, modalities), find the rows without a True, draw a modality for each of them and set it, then
# multiply each array by its column of the table.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# rows_without_any = np.flatnonzero(~present.any(axis=1))
# ```
#
# </details>
#
# ## References
#
# - Nitish Srivastava, Geoffrey Hinton, Alex Krizhevsky, Ilya Sutskever, Ruslan Salakhutdinov (2014). *Dropout: A Simple
#   Way to Prevent Neural Networks from Overfitting.* JMLR 15.
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). *ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.* IEEE TPAMI 38(8).
