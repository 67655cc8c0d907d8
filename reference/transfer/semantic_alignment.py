# %% [markdown]
# # A semantic link between modalities
#
# "The modalities are aligned in a common space" is easily said of any two encoders. But a space in which *everything*
# lies at one point is perfectly aligned too, and in real models images and texts keep to regions of their own. Three
# small numbers tell these cases apart: how close the partners are, how well the rest is spread out, and how far apart
# the two clouds lie. Here you answer the interview question in your own words, judge eight claims about it, and write
# the three measures.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"How do you build a stable semantic link between two modalities, and how do you measure whether you have one?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *building*: which space, which loss, and what each term of it does;
# - *measuring*: at least two measures, and why one of them alone can mislead;
# - *what remains*: a gap or a failure that is known even of well-trained models, and how it is tested;
# - *finer and steadier*: how parts of image and text are linked, and what keeps training stable.

# %% [markdown] tags=["answer"]
# **Model answer.** "I train two encoders into one space, normalise all embeddings to length one, and use a contrastive
# loss: for every text its image should be more similar than the other images of the batch, and the other way round. The
# partners are pulled together and the others pushed apart; without the push, everything collapses to one point.
#
# To measure the link I look at two sides of it. Alignment is the mean squared distance of partners, uniformity says how
# evenly the embeddings cover the sphere. Low alignment alone proves nothing, for a collapsed space has alignment 0.
# What counts in the end is the task: recall at 1, 5 and 10 in both directions, on data the model has not seen.
#
# Some things remain. Image and text embeddings stay in separate cones, the modality gap; it is there at initialisation
# already, and contrastive training keeps it. Retrieval may be good all the same, but thresholds and distances across
# modalities mean less than they seem to. And contrastive models often treat a caption as a bag of words: they do not
# tell 'the horse eats the grass' from 'the grass eats the horse'. Winoground tests that; hard negatives, captions with
# exchanged words, help somewhat.
#
# For a finer link I compare words with regions or patches instead of one vector each, as FILIP does, or add layers of
# cross-attention with an image-text matching loss on hard pairs. For stability I cap the learned temperature, use large
# batches so that there are hard negatives among them, or keep a slowly moving average of the encoders that supplies
# targets and further negatives."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, building: a shared, normalised space; a contrastive loss that pulls partners together and pushes others
#   apart, in both directions; what happens without the push.
# - 1 point, measuring: two of alignment, uniformity, retrieval recall; collapse as the reason why alignment alone
#   misleads.
# - 1 point, what remains: the modality gap, or bag-of-words behaviour with a test such as Winoground; hard negatives
#   are welcome here.
# - 1 point, finer and steadier: words against regions, or cross-attention with a matching loss; one of a temperature
#   cap, large batches, momentum encoders, with what it does.
#
# **References of the model answer**
#
# - Junnan Li, Ramprasaath R. Selvaraju, Akhilesh Gotmare, Shafiq R. Joty, Caiming Xiong, Steven Chu-Hong Hoi (2021).
#   *Align before Fuse: Vision and Language Representation Learning with Momentum Distillation.*
# - Weixin Liang, Yuhui Zhang, Yongchan Kwon, Serena Yeung, James Y. Zou (2022). *Mind the Gap: Understanding the
#   Modality Gap in Multi-modal Contrastive Representation Learning.*
# - Alec Radford, Jong Wook Kim, Chris Hallacy, et al. (2021). *Learning Transferable Visual Models From Natural
#   Language Supervision.*
# - Tristan Thrush, Ryan Jiang, Max Bartolo, et al. (2022). *Winoground: Probing Vision and Language Models for
#   Visio-Linguistic Compositionality.*
# - Tongzhou Wang, Phillip Isola (2020). *Understanding Contrastive Representation Learning through Alignment and
#   Uniformity on the Hypersphere.*
# - Lewei Yao, Runhui Huang, Lu Hou, et al. (2022). *FILIP: Fine-grained Interactive Language-Image Pre-Training.*
# - Mert Yuksekgonul, Federico Bianchi, Pratyusha Kalluri, Dan Jurafsky, James Zou (2023). *When and Why Vision-Language
#   Models Behave like Bags-Of-Words, and What to Do About It?*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. All of them must be right for the 3
# points, so guessing earns nothing. Alignment, uniformity and gap are those of the code below.
#
# | id | claim |
# |---|---|
# | `low_alignment_is_enough` | An alignment near 0 alone proves that a space links images and texts well. |
# | `worst_uniformity` | No set of embeddings has a uniformity above 0, the value of a collapsed set. |
# | `gap_closes` | After CLIP's contrastive training, image and text embeddings lie in one common cloud. |
# | `gap_at_the_start` | Two randomly initialised encoders usually show a modality gap before any training. |
# | `perfect_recall_with_gap` | Recall@1 can be 1 in both directions although the modality gap is well above 0. |
# | `retrieval_shows_grammar` | High retrieval recall on captioned photos proves that word order is understood. |
# | `alignment_is_cosine` | The alignment of u and v equals 2 minus twice the mean cosine of their partners. |
# | `one_sided_rotation` | Rotating all image embeddings, and not the texts, leaves alignment and gap as they were. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "low_alignment_is_enough",
        "worst_uniformity",
        "gap_closes",
        "gap_at_the_start",
        "perfect_recall_with_gap",
        "retrieval_shows_grammar",
        "alignment_is_cosine",
        "one_sided_rotation",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # If every embedding is the same vector, alignment is 0 and nothing can be told from anything else.
    low_alignment_is_enough=False,
    # Each term exp(-t d^2) is at most 1, so the mean is at most 1 and its logarithm at most 0.
    worst_uniformity=True,
    # They stay in separate cones (Liang et al. 2022).
    gap_closes=False,
    # The outputs of each encoder fill a narrow cone of its own from the start (Liang et al. 2022).
    gap_at_the_start=True,
    # Give normalised embeddings one more coordinate, 1 for texts and -1 for images, and normalise again: every
    # similarity s becomes (s - 1) / 2, which keeps their order.
    perfect_recall_with_gap=True,
    # The captions of different photos mostly differ in their words, so their order hardly matters there; tests with the
    # same words in another order are failed (Thrush et al. 2022; Yuksekgonul et al. 2023).
    retrieval_shows_grammar=False,
    # For rows of length one, |u - v|^2 = 2 - 2 u.v.
    alignment_is_cosine=True,
    # Only a rotation of both keeps the distances between them; one modality's uniformity would stay, its alignment not.
    one_sided_rotation=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# Rows are embeddings: `(n, width)`. Row i of `u` and row i of `v` are partners, a text and its image. Every function
# first divides each row by its Euclidean length. After that:
#
# | function | result |
# |---|---|
# | `alignment(u, v)` | the mean over i of the squared distance between row i of u and row i of v |
# | `uniformity(x, t=2)` | the natural logarithm of the mean, over all pairs i < j, of exp(-t · squared distance) |
# | `modality_gap(u, v)` | the distance between the mean row of u and the mean row of v |
#
# In formulas, with rows of length one,
#
# $$\text{alignment} = \frac1n \sum_i \lVert u_i - v_i \rVert^2, \qquad
# \text{uniformity} = \log \frac{2}{n (n - 1)} \sum_{i < j} e^{-t \lVert x_i - x_j \rVert^2}, \qquad
# \text{gap} = \lVert \bar u - \bar v \rVert.$$
#
# Small alignment and small (very negative) uniformity are good; the mean rows are not normalised again. The first cell
# below has room for a helper, `unit_rows`, that checks and normalises; use it or leave it as it is.
#
# - Results are numbers, computed in float64 for arrays or lists of any float or integer type. Arguments stay unchanged.
# - A large `t` makes every exponential 0 in floating point. The logarithm is still finite: for `t = 10_000` and two
#   opposite rows the uniformity is -40000. Results are finite and accurate for every `t` from 1e-3 to 1e6.
# - `ValueError` if an argument does not have two axes, has fewer than two rows, or holds a row of zeros, a NaN or an
#   infinity; if `u` and `v` differ in shape; if `t` is not above 0 (NaN too).
# - **Forbidden:** the modules `scipy`, `sklearn`, `torch`, `tensorflow` and `keras`. All of NumPy is allowed.
#
# **Worked example.** Three texts (1, 0), (0, 2), (0, -5) and their images (3, 0), (-1, 0), (0, -1), with `t = 1`:
#
# | | |
# |---|---|
# | normalised | texts (1, 0), (0, 1), (0, -1); images (1, 0), (-1, 0), (0, -1) |
# | squared distances of partners | 0, 2, 0, so the alignment is 2/3 |
# | squared distances among the texts | 2, 2, 4, so the uniformity is log((2 e^-2 + e^-4) / 3) = -2.340 |
# | mean rows | (1/3, 0) and (0, -1/3), so the gap is √2 / 3 = 0.471 |


# %% tags=["solution"]
def unit_rows(x: ArrayLike) -> np.ndarray:
    """Rows of x divided by their Euclidean length, float64 `(n, width)`; used by the three measures.

    Raises ValueError for another number of axes than 2, fewer than 2 rows, a row of zeros, or numbers that are not
    finite. (A helper of your own: the checks do not call it.)
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"expected at least two rows, not the shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("embeddings must be finite")
    length = np.linalg.norm(x, axis=1, keepdims=True)  # (n, 1)
    if (length == 0).any():
        raise ValueError("a row of zeros has no direction")
    return x / length
    ### END SOLUTION


# %% tags=["solution"]
def alignment(u: ArrayLike, v: ArrayLike) -> float:
    """Mean squared distance of partners on the unit sphere (Wang & Isola 2020).

    u, v: (n, width), row i of each belongs together. Returns a number from 0 to 4.
    Raises ValueError for different shapes, and as `unit_rows` does.
    """
    ### BEGIN SOLUTION
    u, v = unit_rows(u), unit_rows(v)
    if u.shape != v.shape:
        raise ValueError(f"partners must have one shape, not {u.shape} and {v.shape}")
    return float(((u - v) ** 2).sum(axis=1).mean())
    ### END SOLUTION


# %% tags=["solution"]
def uniformity(x: ArrayLike, t: float = 2) -> float:
    """Logarithm of the mean Gaussian potential of all pairs on the unit sphere (Wang & Isola 2020).

    x: (n, width). t: above 0, a larger one looks at closer pairs. Returns a number, at most 0 up to rounding.
    Raises ValueError for t not above 0, and as `unit_rows` does.
    """
    ### BEGIN SOLUTION
    x = unit_rows(x)
    if not t > 0:
        raise ValueError(f"t must be above 0, not {t}")
    i, j = np.triu_indices(len(x), k=1)  # all pairs i < j
    exponents = -t * ((x[i] - x[j]) ** 2).sum(axis=1)  # (pairs,)
    # log of a mean of exponentials, with the largest taken out so that not all of them vanish
    largest = exponents.max()
    return float(largest + np.log(np.exp(exponents - largest).mean()))
    ### END SOLUTION


# %% tags=["solution"]
def modality_gap(u: ArrayLike, v: ArrayLike) -> float:
    """Distance between the centres of two modalities on the unit sphere (Liang et al. 2022).

    u, v: (n, width). Returns a number from 0 to 2.
    Raises ValueError for different shapes, and as `unit_rows` does.
    """
    ### BEGIN SOLUTION
    u, v = unit_rows(u), unit_rows(v)
    if u.shape != v.shape:
        raise ValueError(f"both modalities must have one shape, not {u.shape} and {v.shape}")
    return float(np.linalg.norm(u.mean(axis=0) - v.mean(axis=0)))
    ### END SOLUTION


# %% [markdown]
# **Try it.**

# %% tags=["visible-checks", "active-ipynb"]
# texts = np.array([[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0], [0.0, -1.0]])
# images = np.array([[0.0, 1.0], [0.0, 4.0], [-1.0, 0.0], [0.0, -2.0]])
# assert np.isclose(alignment(texts, images), 0.5)  # the first pair is at a right angle, the others agree
# assert np.isclose(uniformity(texts), np.log((4 * np.exp(-4) + 2 * np.exp(-8)) / 6))
# assert np.isclose(modality_gap(texts, images), np.sqrt(2) / 4)
#
# collapsed = np.ones((4, 2))
# assert np.isclose(alignment(collapsed, collapsed), 0) and np.isclose(uniformity(collapsed), 0)

# %% [markdown]
# The next cell measures three spaces. By alignment the collapsed one is the best; uniformity tells it from the others.
# The last one has a gap, although the texts are still closest to their own images.

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# meaning = generator.normal(size=(200, 16))
# meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
# noise = 0.05 * generator.normal(size=(2, 200, 16))
# column = np.ones((200, 1))
# spaces = {
#     "collapsed": (1 + 0.1 * noise[0], 1 + 0.1 * noise[1]),
#     "spread out": (meaning + noise[0], meaning + noise[1]),
#     "with a gap": (np.hstack([meaning, column]), np.hstack([meaning + noise[1], -column])),
# }
# for name, (text, image) in spaces.items():
#     similarity = text @ image.T / np.linalg.norm(text, axis=1)[:, None] / np.linalg.norm(image, axis=1)
#     recall = (similarity.argmax(axis=1) == np.arange(200)).mean()
#     numbers = f"alignment {alignment(text, image):.3f}  uniformity {uniformity(text):.3f}"
#     print(f"{name:10}  {numbers}  gap {modality_gap(text, image):.3f}  recall@1 {recall:.2f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Let all embeddings be the same vector. Which value should each of the three measures have, and which of them warns
# you? Now turn all images around, to the opposite side of the sphere: which of the three notice?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Directions are compared, so every row is brought to length one before anything else. A mean over pairs counts each
# pair once and no row with itself. For the logarithm of a mean of tiny numbers, take the largest of them out first: it
# comes back as a summand.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# One helper checks and normalises. Alignment: subtract row by row, square, sum over the width, mean over the rows.
# Uniformity: squared distances of all pairs i < j, times minus t; subtract the largest of these exponents, take exp,
# mean and log, and add the largest again. Gap: mean over the rows of each, subtract, length.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# i, j = np.triu_indices(len(x), k=1)  # row numbers of all pairs i < j
# ```
#
# </details>
#
# ## References
#
# - Tongzhou Wang, Phillip Isola (2020). *Understanding Contrastive Representation Learning through Alignment and
#   Uniformity on the Hypersphere.* ICML 2020.
# - Weixin Liang, Yuhui Zhang, Yongchan Kwon, Serena Yeung, James Y. Zou (2022). *Mind the Gap: Understanding the
#   Modality Gap in Multi-modal Contrastive Representation Learning.* NeurIPS 2022.
