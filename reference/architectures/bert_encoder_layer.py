# %% [markdown]
# # One complete BERT encoder layer
#
# BERT is often summed up as "self-attention and feed-forward layers". With these two alone it would not train: what
# holds twelve of them together are the residual connections and the normalisations, and their order is part of the
# model. Text encoders of vision-language models are stacks of this layer. Here you write one so exactly that it takes
# the weights of the library's model and gives the library's numbers; then nothing in it is hidden from you any more.
# (BERT itself reads text only. It is the part that multimodal models build on, not one of them.)
#
# ## Your task (about 50 minutes)
#
# Two functions: `layer_norm(x, weight, bias)` and `bert_encoder_layer(x, params, n_heads, mask)`.
#
# **`layer_norm`** takes `x` of shape `(..., width)` and `weight` and `bias` of shape `(width,)`. Each vector along the
# last axis is brought to mean 0 and variance 1, then multiplied by `weight`, and `bias` is added:
# (x - mean) / √(variance + 10⁻¹²) · `weight` + `bias`. The variance is that of the population: the mean of the squared
# deviations. It works for vectors of tiny spread and for vectors of spread 1 around a million (there to 7 digits).
#
# **`bert_encoder_layer`** takes
#
# | argument | shape | meaning |
# |---|---|---|
# | `x` | `(batch, tokens, width)` | the tokens |
# | `params` | a mapping from name to array | the parameters below, under their names in Hugging Face Transformers |
# | `n_heads` | `int` | number of heads; it divides `width` |
# | `mask` | boolean `(batch, tokens)` | `True` = token, `False` = padding |
#
# and returns an array `(batch, tokens, width)`:
#
# 1. *attention* of x, in heads, projected by `attention.output.dense`;
# 2. h = layer norm of (x + attention), with the parameters `attention.output.LayerNorm`;
# 3. *feed-forward* of h: `intermediate.dense`, exact GELU, `output.dense`;
# 4. output = layer norm of (h + feed-forward), with the parameters `output.LayerNorm`.
#
# | parameters, each with `.weight` and `.bias` | shape of the weight | shape of the bias |
# |---|---|---|
# | `attention.self.query`, `attention.self.key`, `attention.self.value` | `(width, width)` | `(width,)` |
# | `attention.output.dense` | `(width, width)` | `(width,)` |
# | `attention.output.LayerNorm`, `output.LayerNorm` | `(width,)` | `(width,)` |
# | `intermediate.dense` | `(hidden, width)` | `(hidden,)` |
# | `output.dense` | `(width, hidden)` | `(width,)` |
#
# - **`hidden`** is any number that the three shapes with `hidden` agree on.
# - **Matrices** are stored as `(out, in)`, one row for each output feature.
# - **Heads** are contiguous blocks of width / heads features; dot products are divided by √(width / heads); the results
#   of the heads are put side by side in their order. Scores as large as ±10000 give finite, correct results.
# - **GELU** is z · Φ(z), with Φ the distribution function of the standard normal distribution, not an approximation.
# - **Padding** gets no attention from anybody: what it contains, numbers up to 1000 included, changes nothing in the
#   rows of the tokens. The rows of the padding itself are not looked at.
# - There is no dropout: this is the layer as it runs in evaluation mode.
# - All arrays may have any integer or floating dtype. Everything is computed in **float64**, and both functions return
#   float64. No argument is changed. Further entries in `params` do no harm.
# - **`KeyError`**: a parameter is missing. **`ValueError`**: `x` does not have three axes, `n_heads` is below 1 or does
#   not divide the width, a parameter or the mask has another shape, or a sample has no token at all. A mask that is not
#   boolean: `TypeError` or `ValueError`, as you like. Where several of these apply, raise whichever you find first.
#   `layer_norm` need not check anything.
# - **Forbidden:** `torch`, `transformers`, `tensorflow` and `keras`. NumPy has no error function; the cell below gives
#   you `erf`.
#
# ## A worked example
#
# A single token x = (2, 0), one head, a hidden width of 1. Attending to itself alone, it gets its own value.
#
# | step | parameters | result |
# |---|---|---|
# | weights of the token for itself | query and key: any, since there is nothing to choose from | 1 |
# | value, projected | value weight with rows (1, 1) and (0, 3), projection = identity, biases 0 | (2, 0) |
# | + x | | (4, 0) |
# | layer norm | weight (1, 2), bias (0, 0) | (1, -1), then h = (1, -2) |
# | first map | weight (1, 1), bias 0 | z = -1 |
# | GELU | | -0.1587 |
# | second map | weight with rows (20) and (0), biases 0 | (-3.173, 0) |
# | + h | | (-2.173, -2) |
# | layer norm | weight (1, 1), bias (0, 5) | (-1, 1), then **(-1, 6)** |
#
# With ReLU, z = -1 would be thrown away and the last normalisation would see (1, -2): the result would be (1, 4).

# %%
import math
from collections.abc import Mapping

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])  # the error function of every entry: Φ(z) = (1 + erf(z / √2)) / 2


# %% [markdown]
# ## Part 1: the normalisation


# %% tags=["solution"]
def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Layer normalisation over the last axis with BERT's epsilon, 1e-12 (Devlin et al. 2018).

    x (..., width), weight and bias (width,). Returns (..., width), float64: mean 0 and population variance 1 along the
    last axis, then times weight plus bias.
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=np.float64)
    mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)  # (..., 1)
    return (x - mean) / np.sqrt(variance + 1e-12) * weight + bias
    ### END SOLUTION


# %% [markdown]
# ## Part 2: the layer


# %% tags=["solution"]
def bert_encoder_layer(x: np.ndarray, params: Mapping[str, np.ndarray], n_heads: int, mask: np.ndarray) -> np.ndarray:
    """One layer of BERT's encoder: attention, add, norm, feed-forward, add, norm (Devlin et al. 2018).

    x (batch, tokens, width); params as in Hugging Face's `BertLayer`, matrices (out, in); mask boolean (batch, tokens),
    True = token, at least one in every sample. Returns (batch, tokens, width), float64.

    Raises KeyError for a missing parameter, ValueError for shapes and numbers of heads that do not fit and for a sample
    without tokens, TypeError or ValueError for a mask that is not boolean.
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, tokens, width), not {x.shape}")
    batch, tokens, width = x.shape
    if n_heads < 1 or width % n_heads:
        raise ValueError(f"a width of {width} cannot be split into {n_heads} heads")
    if mask.dtype != bool:
        raise TypeError(f"mask must be boolean, not {mask.dtype}")
    if mask.shape != (batch, tokens) or not mask.any(axis=1).all():
        raise ValueError("mask must be (batch, tokens), with a token in every sample")
    hidden = len(params["intermediate.dense.bias"])
    weight_shapes = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "attention.output.LayerNorm": (width,),
        "intermediate.dense": (hidden, width),
        "output.dense": (width, hidden),
        "output.LayerNorm": (width,),
    }
    for name, shape in weight_shapes.items():
        if params[f"{name}.weight"].shape != shape or params[f"{name}.bias"].shape != shape[:1]:
            raise ValueError(f"{name} does not have weights of shape {shape} and biases of shape {shape[:1]}")

    def dense(name: str, inputs: np.ndarray) -> np.ndarray:
        return inputs @ params[f"{name}.weight"].T + params[f"{name}.bias"]  # (batch, tokens, out)

    def split_heads(projected: np.ndarray) -> np.ndarray:
        # (batch, tokens, width) -> (batch, tokens, heads, head width) -> (batch, heads, tokens, head width)
        return projected.reshape(batch, tokens, n_heads, width // n_heads).transpose(0, 2, 1, 3)

    def add_and_norm(name: str, before: np.ndarray, change: np.ndarray) -> np.ndarray:
        return layer_norm(before + change, params[f"{name}.weight"], params[f"{name}.bias"])

    # attention: in every head, an average of the values; weights = softmax of the scaled dot products, no padding
    query, key, value = (split_heads(dense(f"attention.self.{name}", x)) for name in ("query", "key", "value"))
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(width // n_heads)  # (batch, heads, queries, keys)
    scores = np.where(mask[:, None, None, :], scores, -np.inf)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = exponentials / exponentials.sum(axis=-1, keepdims=True)  # (batch, heads, queries, keys)
    joined = (weights @ value).transpose(0, 2, 1, 3).reshape(batch, tokens, width)  # (batch, tokens, width)
    attended = add_and_norm("attention.output.LayerNorm", x, dense("attention.output.dense", joined))

    # feed-forward: two maps with GELU in between, z times the probability that a standard normal number is below z
    z = dense("intermediate.dense", attended)  # (batch, tokens, hidden)
    activated = z * (1 + erf(z / np.sqrt(2))) / 2
    return add_and_norm("output.LayerNorm", attended, dense("output.dense", activated))
    ### END SOLUTION


# %% [markdown]
# ## Try it
#
# A token and a padded one, one head. The padding is what the token would attend to, were it not hidden.

# %% tags=["visible-checks", "active-ipynb"]
# assert np.allclose(layer_norm(np.array([1.0, 3.0, 5.0]), np.full(3, 2.0), np.ones(3)), [-1.449489743, 1, 3.449489743])
#
# tokens, is_token = np.array([[[3.0, 1.0], [-70.0, 50.0]]]), np.array([[True, False]])
# parameters = {
#     "attention.self.query.weight": np.eye(2),
#     "attention.self.query.bias": np.zeros(2),
#     "attention.self.key.weight": -np.eye(2),
#     "attention.self.key.bias": np.zeros(2),
#     "attention.self.value.weight": np.array([[0.0, 2.0], [2.0, 0.0]]),
#     "attention.self.value.bias": np.zeros(2),
#     "attention.output.dense.weight": np.eye(2),
#     "attention.output.dense.bias": np.zeros(2),
#     "attention.output.LayerNorm.weight": np.array([2.0, 1.0]),
#     "attention.output.LayerNorm.bias": np.array([0.0, 1.0]),
#     "intermediate.dense.weight": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
#     "intermediate.dense.bias": np.zeros(3),
#     "output.dense.weight": np.array([[0.0, 0.0, 1.0], [100.0, 0.0, 0.0]]),
#     "output.dense.bias": np.zeros(2),
#     "output.LayerNorm.weight": np.array([1.0, 3.0]),
#     "output.LayerNorm.bias": np.array([10.0, 20.0]),
# }
# output = bert_encoder_layer(tokens, parameters, 1, is_token)
# assert output.shape == (1, 2, 2)
# assert np.allclose(output[0, 0], [11, 17])

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Set all parameters of the attention and of the feed-forward part to 0, so that both return 0. What is left of the
# layer? Which of your lines still do something to x, and in which order?
#
# </details>
# <details><summary>Hint 2: the concept</summary>
#
# Each half of the layer computes a *change* of its input, adds it, and then normalises the sum ("post-norm"; today's
# language models normalise the input of each half instead, "pre-norm", and the two do not accept each other's weights).
# A normalisation looks at the features of one token only, so that neither the sentence nor the batch matters to it.
#
# </details>
# <details><summary>Hint 3: the structure in words</summary>
#
# A small helper that multiplies by a named matrix and adds its bias saves most of the writing. Check everything first.
# Three projections, split into heads; scores, padding out, softmax; average, join, project. Add x, normalise, and keep
# the result: it is both the input of the feed-forward part and what its output is added to. Mind that the two
# normalisations have parameters of their own.
#
# </details>
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# variance = np.square(x - mean).mean(axis=-1, keepdims=True)  # (..., 1), one for each token
# ```
#
# </details>
#
# ## References
#
# - Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova (2018), BERT: Pre-training of Deep Bidirectional
#   Transformers for Language Understanding.
# - Ashish Vaswani, Noam Shazeer, Niki Parmar, et al. (2017), Attention is All you Need.
# - Dan Hendrycks, Kevin Gimpel (2016), Gaussian Error Linear Units (GELUs).
# - Ruibin Xiong, Yunchang Yang, Di He, et al. (2020), On Layer Normalization in the Transformer Architecture: what
#   changes when the normalisation moves in front.
