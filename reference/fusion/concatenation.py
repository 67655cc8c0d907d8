# %% [markdown]
# # Concatenating text and image features
#
# The plainest way to fuse two modalities is to put their feature vectors side by side. A well-known short answer joins
# them on axis 0. That is right for two single vectors, but a batch of text and image vectors of equal width then comes
# out stacked: twice as many samples, each with one modality only, and no error. Two more things are easy to miss: the
# modality with the larger numbers drowns the other one, and arrays of different shapes may be stretched to fit.
#
# ## Your task (20 minutes)
#
# `concat_modalities(text, image, *, l2_normalize=False)` joins text features of shape `(..., text_width)` and image
# features of shape `(..., image_width)` into a new array of shape `(..., text_width + image_width)`, text first.
#
# - **Axes.** The last axis holds the features. All axes before it are the same in both: no axis `(text_width,)`, one
#   axis `(batch, text_width)`, two `(batch, tokens, text_width)`, or more. Sizes of 0 are allowed anywhere, so a batch
#   may be empty and a modality may have no features.
# - **Dtype.** Integers and booleans become float64 first. The result then has the dtype `np.result_type` of the two:
#   float32 and float32 give float32, float16 and float32 give float32, float32 and int8 give float64.
# - **Values.** Without `l2_normalize` they are those of the inputs, exactly.
# - **`l2_normalize=True`** divides the text vector and the image vector of each sample (or token) by its own length,
#   the root of the sum of its squares. A zero vector stays zero. This holds for all finite numbers of float16 and
#   float32 (tiny ones below 1e-37 aside), so compute the length in float64; float64 input is only tried with numbers
#   between 1e-100 and 1e100.
# - **`TypeError`** for complex numbers, text and Python objects (a `ValueError` is accepted too).
# - **`ValueError`** for an array without axes, and for leading axes that differ: nothing is stretched, so a batch of 1
#   does not fit a batch of 4. In the second case the message names both shapes as Python writes them, like `(4, 3)`.
# - The inputs stay as they are, and the result shares no memory with them.
#
# Nothing is forbidden: NumPy has the tool, and the exercise is about calling it right.
#
# ## A worked example
#
# Two samples with two text features and one image feature:
#
# | | text | image | joined | each modality scaled to length 1 |
# |---|---|---|---|---|
# | sample 0 | 3, 4 | 200 | 3, 4, 200 | 0.6, 0.8, 1 |
# | sample 1 | 0, -2 | 0 | 0, -2, 0 | 0, -1, 0 |
#
# In the first joined row the image holds more than 99.9 % of the squared length; after scaling both hold one half.

# %%
import numpy as np
from numpy.typing import ArrayLike


# %% tags=["solution"]
def concat_modalities(text: ArrayLike, image: ArrayLike, *, l2_normalize: bool = False) -> np.ndarray:
    """Join text and image features on the feature axis (feature-level fusion, Baltrušaitis et al., 2019).

    Args:
        text: real numbers, `(..., text_width)`.
        image: real numbers, `(..., image_width)`, with the same leading axes as text.
        l2_normalize: whether each text vector and each image vector is first divided by its own length.

    Returns:
        A new array `(..., text_width + image_width)` of the common floating dtype; integers and booleans count as
        float64.

    Raises:
        TypeError: text or image holds complex numbers, text or objects.
        ValueError: an array has no axes, or the leading axes differ; the message then names both shapes.
    """
    ### BEGIN SOLUTION
    parts = []
    for features in (np.asarray(text), np.asarray(image)):
        if features.dtype.kind not in "biuf":  # booleans, signed and unsigned integers, floats
            raise TypeError(f"features must be real numbers, not {features.dtype}")
        if features.ndim == 0:
            raise ValueError("features need at least one axis, the feature axis")
        parts.append(features if features.dtype.kind == "f" else features.astype(np.float64))
    if parts[0].shape[:-1] != parts[1].shape[:-1]:
        raise ValueError(f"text {parts[0].shape} and image {parts[1].shape} differ before the feature axis")

    dtype = np.result_type(*parts)
    if l2_normalize:
        for index, features in enumerate(parts):
            # length of each vector: root of the sum of squares, in float64 because squares overflow narrower dtypes
            length = np.linalg.norm(features.astype(np.float64), axis=-1, keepdims=True)  # (..., 1)
            parts[index] = features / np.where(length > 0, length, 1)  # (..., width)
    return np.concatenate(parts, axis=-1, dtype=dtype)  # (..., text_width + image_width)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# text, image = np.array([[3.0, 4.0], [0.0, -2.0]]), np.array([[200.0], [0.0]])
# joined = concat_modalities(text, image)
# assert joined.shape == (2, 3), joined.shape
# assert np.array_equal(joined, [[3, 4, 200], [0, -2, 0]]), joined
# assert np.allclose(concat_modalities(text, image, l2_normalize=True), [[0.6, 0.8, 1], [0, -1, 0]])
#
# single = concat_modalities(np.array([1.5, 2.5]), np.array([-1.0]))  # one sample, no batch axis
# assert np.array_equal(single, [1.5, 2.5, -1.0]), single

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Four samples go in. How many samples must come out, and which of the axes has to grow? Does your answer depend on how
# many axes there are?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The feature axis is always the last one, and NumPy counts axes from the end with negative numbers. A length belongs to
# one vector of one modality: it is a sum over the feature axis alone, taken before the two are joined. NumPy keeps the
# dtype when it squares, and the largest number of float16 is 65504.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# For each of the two arrays: look at the kind of its dtype, look at its number of axes, turn integers and booleans into
# float64. Compare the shapes without their last entry. Note the common dtype. If asked, divide each array by the
# lengths of its vectors, with the reduced axis kept so that the shapes fit, and by 1 where the length is 0. Join them
# in the common dtype.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# With `features` in float64: `length = np.linalg.norm(features, axis=-1, keepdims=True)`.
# </details>
#
# ## Going further
#
# - A linear layer on the joined vector is a sum of two: with the weight split into columns for text and columns for
#   image, `weight @ joined == weight_text @ text + weight_image @ image`. The modalities do not interact before the
#   first non-linearity, and it is then that layer, not the joining, that learns the interaction.
# - L2 scaling is one remedy for unequal scales; a LayerNorm for each modality is another, and it can be trained.
# - For a missing modality, use zeros and one more feature that says "missing", and hide modalities at random in
#   training (Neverova et al., 2016).
# - Sequences of tokens of equal width are joined along the *token* axis instead, with an embedding added that tells the
#   modalities apart, so that attention can relate them (Kim, Son and Kim, 2021).
#
# ## References
#
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). Multimodal Machine Learning: A Survey and
#   Taxonomy. IEEE TPAMI 41(2).
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). ModDrop: Adaptive Multi-Modal Gesture
#   Recognition. IEEE TPAMI 38(8).
# - Wonjae Kim, Bokyung Son, Ildoo Kim (2021). ViLT: Vision-and-Language Transformer Without Convolution or Region
#   Supervision. ICML 2021.
