# %% [markdown]
# # Is fine-tuning worth it? Measuring domain shift
#
# "Fine-tune a multimodal model" is offered as the answer to every task, above all where labels are few. Whether it is
# one can be found out in advance: does the image tell anything about the label, does something cheaper do, and how far
# are your data from those that the model was trained on? The last question is often settled by a feeling. Here you
# answer the interview question in your own words, judge eight claims about it, and write a measure of the distance
# between two sets of embeddings, with a test that says whether it is more than chance.
#
# Plan about 40 minutes: 12 for the answer, 5 for the claims, 23 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Is multimodal fine-tuning suitable for every task? And what do you do when your domain is far from the one that the
# model was pretrained on?"*
#
# Answer in the next cell as you would say it aloud, in about twelve sentences. The answer is worth 4 points and is read
# by a person, one point for each of these:
#
# - *the task*: what decides whether a multimodal model can help at all, and with what you would compare it;
# - *the order*: what you try first, what last, and what the number of labels has to do with it;
# - *the distance*: how you measure how far the domain is, and what you do about a distant one;
# - *when not*: at least two situations in which you would not fine-tune, and what you would do there.

# %% [markdown] tags=["answer"]
# **Model answer.** "No. First the task decides: does the image carry information about the label that the text does not
# have? A task of text alone, and most tasks of language processing are that, gains little from a vision-language model.
# So I always keep a unimodal baseline: if a text-only model does as well, the images have earned nothing.
#
# Then I go from cheap to expensive: zero-shot or prompting, a linear probe on frozen features, parameter-efficient
# fine-tuning, all weights. I stop where validation no longer pays for the next step. 'Especially for little data' holds
# on a condition: with few labels it is the frozen features that help, while training all weights on them overfits.
#
# For a distant domain, medical images say, I measure before I train. Zero-shot accuracy is the most direct measure. On
# the embeddings I compute the maximum mean discrepancy with a permutation test (Gretton et al. 2012), or train a
# classifier to tell the domains apart, which gives the proxy A-distance (Ben-David et al. 2010). If the distance is
# large, I first continue pretraining on unlabelled or paired data of the domain (Gururangan et al. 2020), or start
# from a model that somebody has pretrained there, such as BiomedCLIP (Zhang et al. 2023), and fine-tune afterwards.
# A measured distance is a warning, not a verdict: whether the shift matters for the task is for validation to say.
#
# I do not fine-tune for facts that change: they belong into retrieval. Nor without labels *and* without any metric that
# could stand in for them, since I could not tell success from failure; nor where a hard latency limit calls for a small
# specialist, or regulation for a model that can be inspected. 'It only needs targeted improvement' is no plan for
# dialogue or recommendation either: each needs its own baseline, metric and data."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, the task: the image has to carry information about the label; a unimodal baseline. That text-only tasks
#   gain little is welcome here.
# - 1 point, the order: zero-shot or prompt, probe, parameter-efficient, full; with few labels the cheap end.
# - 1 point, the distance: one measure (MMD, a domain classifier, zero-shot accuracy) and one remedy (continued
#   pretraining on the domain, a model of the domain).
# - 1 point, when not: two of changing facts, neither labels nor metric, latency, transparency, each with the reason or
#   with what to do in its place.
#
# **References of the model answer**
#
# - Shai Ben-David, John Blitzer, Koby Crammer, Alex Kulesza, Fernando Pereira, Jennifer Wortman Vaughan (2010). *A
#   theory of learning from different domains.*
# - Suchin Gururangan, Ana Marasović, Swabha Swayamdipta, et al. (2020). *Don't Stop Pretraining: Adapt Language Models
#   to Domains and Tasks.*
# - Sheng Zhang, Yanbo Xu, Naoto Usuyama, et al. (2023). *BiomedCLIP: a multimodal biomedical foundation model
#   pretrained from fifteen million scientific image-text pairs.*

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`. Some of them are often published. A *linear probe* is a linear classifier on the
# features of a frozen model. The last four claims speak of the measure and the test that are defined below. All of them
# must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `text_alone` | On a task of text alone, a vision-language model can be expected to beat a text model of its size. |
# | `few_labels` | The fewer labels there are, the more training all weights gains over a linear probe. |
# | `unimodal_baseline` | If a text-only model scores as high as the multimodal one, images have not raised the score. |
# | `unlabelled_domain` | Pretraining can be continued on domain data without labels before fine-tuning begins. |
# | `equal_means` | Where two domains have the same mean embedding, their MMD with a Gaussian kernel is 0. |
# | `negative_estimate` | The unbiased estimate of the squared MMD can come out negative. |
# | `p_of_40` | A p-value of 0.4 in the permutation test shows that both domains have the same distribution. |
# | `smallest_p` | With 99 permutations, the p-value defined below cannot be smaller than 0.01. |

# %% tags=["claims"]
claims = dict.fromkeys(
    [
        "text_alone",
        "few_labels",
        "unimodal_baseline",
        "unlabelled_domain",
        "equal_means",
        "negative_estimate",
        "p_of_40",
        "smallest_p",
    ]
)  # None = no answer yet; set each to True or False
### BEGIN SOLUTION
claims.update(
    # There is nothing to see, and part of its capacity and training went into seeing. Compare with a text model.
    text_alone=False,
    # With few labels all weights overfit; a probe has few parameters to fit. The gap closes as labels are added.
    few_labels=False,
    # The score of a multimodal model tells nothing about the images until the model without them has been measured.
    unimodal_baseline=True,
    # Its loss (masked words, contrastive pairs) needs no labels of the task (Gururangan et al. 2020).
    unlabelled_domain=True,
    # This kernel sees every difference of distributions, spread and shape included (Gretton et al. 2012).
    equal_means=False,
    # It is right on average, so where the true value is 0 it has to fall on both sides.
    negative_estimate=True,
    # It shows that this sample gives no evidence against it; a few more samples may.
    p_of_40=False,
    # The observed statistic counts as one of the 100 arrangements: (1 + 0) / (1 + 99).
    smallest_p=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** two sets come from one distribution if samples are, on average, as similar *between* the sets as they
# are *within* them. A kernel says how similar two samples are, and shuffling tells how large a difference can come
# about by chance.
#
# `source` is `(n, d)` and `target` is `(m, d)`: one embedding a row, as lists, or as arrays of integers or of any float
# dtype (`uint8` and `int8` are common for stored embeddings). "Pooled" means the n rows of `source`, then the m rows of
# `target`, in their order.
#
# **1. `pooled_distances(source, target) -> (n + m, n + m)`**, float64: the Euclidean distance of every pooled row to
# every other. It has to be right to nine digits even where all embeddings share a large offset (1e6 in the checks, with
# distances near 1), and duplicate rows have distance 0.
#
# **2. `median_sigma(source, target) -> float`**, a usual width for the kernel: the median distance over all pairs of
# two pooled rows, within both sets and between them. Rows i and j make one pair, and a row makes none with itself. For
# an even number of pairs it is the mean of the two middle distances, as in `np.median`.
#
# **3. `mmd2_unbiased(source, target, sigma) -> float`**: with the Gaussian kernel
# k(x, y) = exp(-‖x - y‖² / (2 sigma²)), the squared maximum mean discrepancy (MMD²) is estimated by
#
# - the mean of k over the n (n - 1) ordered pairs of two rows i and j of `source`, i other than j,
# - *plus* the mean of k over the m (m - 1) such pairs of rows of `target`,
# - *minus twice* the mean of k over all n m pairs of a row of `source` and a row of `target`.
#
# A row is not paired with itself because k is 1 there: with such pairs the estimate would be too large on average. Two
# different rows that happen to be equal do count as a pair. The estimate may be negative, and stays so.
#
# **4. `mmd_permutation_test(source, target, sigma, n_perm, seed) -> (stat, p)`**: how often is a random split as far
# apart as the real one? `stat` is the estimate above. So that everybody gets the same p, the random splits are drawn in
# one way: make `np.random.default_rng(seed)` once, and call its `permutation(n + m)` once for each of `n_perm` splits,
# and nothing else. The pooled rows named by the first n numbers play `source`, the others `target`, and the estimate is
# computed again. With `count` the number of splits whose estimate is at least `stat - 1e-12`,
#
# $$p = (1 + count) / (1 + n\_perm).$$
#
# (The same split in another order gives the same estimate up to rounding; 1e-12 lets it count.)
#
# Rules:
#
# - Everything is computed in float64. No argument is changed, and the global random state of NumPy is neither used nor
#   touched.
# - `stat`, `p` and the results of 2 and 3 are single numbers: Python floats, NumPy float64 or arrays of shape `()`.
# - `ValueError`, from all four, if `source` or `target` does not have two axes or has fewer than two rows, if their
#   widths d differ, or if a value is NaN or infinite; from 2 if the median is 0; from 3 and 4 if `sigma` is not
#   positive and finite (NaN too); from 4 if `n_perm` is below 1.
# - **Forbidden:** `scipy`, `sklearn`, `torch`, `tensorflow` and `keras`. Your functions may call each other.
#
# **Worked example** with two rows on each side, and `sigma = 1 / sqrt(2 ln 2)`, so that k = 2 to the power -‖x - y‖²:
#
# | | a = (0, 0), source | b = (1, 0), source | c = (0, 1), target | d = (1, 2), target |
# |---|---|---|---|---|
# | **a** | | 1/2 | 1/2 | 1/32 |
# | **b** | 1/2 | | 1/4 | 1/16 |
# | **c** | 1/2 | 1/4 | | 1/4 |
# | **d** | 1/32 | 1/16 | 1/4 | |
#
# The estimate is 1/2 + 1/4 - 2 · (1/2 + 1/32 + 1/4 + 1/16) / 4 = 0.328. The six distances are 1, 1, √2, √2, 2 and √5,
# with median √2. There are six splits into two and two. Both orders of ab | cd give 0.328, those of ac | bd 0.047, and
# those of ad | bc -0.375. So a third of all splits is as far apart as the real one: p will be near 1/3, however many
# are drawn, and four samples can show nothing.


# %% tags=["solution"]
def pooled_distances(source: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Euclidean distances between all rows of both sets, (n + m, n + m), float64; the rows of source come first.

    Raises ValueError unless source is (n, d) and target (m, d) with n and m of at least 2 and finite values.
    """
    ### BEGIN SOLUTION
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"expected (n, d) and (m, d), got {source.shape} and {target.shape}")
    if len(source) < 2 or len(target) < 2:
        raise ValueError(f"both sets need at least two rows, got {len(source)} and {len(target)}")
    pooled = np.concatenate([source, target])  # (n + m, d)
    if not np.isfinite(pooled).all():
        raise ValueError("embeddings must be finite")
    # subtract before squaring: |x|² + |y|² - 2xy loses its digits far from the origin
    differences = pooled[:, None, :] - pooled[None, :, :]  # (n + m, n + m, d)
    return np.sqrt((differences**2).sum(axis=-1))  # (n + m, n + m)
    ### END SOLUTION


def median_sigma(source: ArrayLike, target: ArrayLike) -> float:
    """The median distance over all pairs of two pooled rows, a usual width for a Gaussian kernel.

    Raises ValueError for the arguments that pooled_distances refuses, and if the median is 0.
    Source: the median heuristic, as in Gretton et al. (2012).
    """
    ### BEGIN SOLUTION
    distances = pooled_distances(source, target)
    # above the diagonal every pair stands once, and no row with itself
    median = np.median(distances[np.triu_indices(len(distances), k=1)])
    if median == 0:
        raise ValueError("at least half of the pairs are duplicates: the median distance is 0")
    return float(median)
    ### END SOLUTION


def mmd2_unbiased(source: ArrayLike, target: ArrayLike, sigma: float) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy, with the kernel exp(-‖x - y‖² / (2 sigma²)).

    Args:
        source: (n, d), one embedding a row.
        target: (m, d).
        sigma: width of the kernel, positive and finite.

    Raises:
        ValueError: sigma is out of range, or an argument that pooled_distances refuses.

    Source: Gretton et al. (2012).
    """
    ### BEGIN SOLUTION
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma must be positive and finite, not {sigma}")
    kernel = np.exp(-0.5 * (pooled_distances(source, target) / sigma) ** 2)  # (n + m, n + m)
    n, m = len(source), len(target)
    np.fill_diagonal(kernel, 0.0)  # no row is paired with itself

    within_source = kernel[:n, :n].sum() / (n * (n - 1))
    within_target = kernel[n:, n:].sum() / (m * (m - 1))
    between = kernel[:n, n:].mean()
    return float(within_source + within_target - 2 * between)
    ### END SOLUTION


def mmd_permutation_test(
    source: ArrayLike, target: ArrayLike, sigma: float, n_perm: int, seed: int
) -> tuple[float, float]:
    """Do both sets come from one distribution? The estimate, and the share of random splits that reach it.

    Args:
        source: (n, d), one embedding a row.
        target: (m, d).
        sigma: width of the kernel, positive and finite.
        n_perm: number of random splits, at least 1.
        seed: for np.random.default_rng, of which permutation(n + m) is called once a split.

    Returns:
        stat, the estimate of mmd2_unbiased, and p = (1 + number of splits that reach it) / (1 + n_perm).

    Raises:
        ValueError: n_perm is below 1, or an argument that mmd2_unbiased refuses.

    Source: Gretton et al. (2012).
    """
    ### BEGIN SOLUTION
    if n_perm < 1:
        raise ValueError(f"n_perm must be at least 1, not {n_perm}")
    stat = mmd2_unbiased(source, target, sigma)
    n = len(source)
    pooled = np.concatenate([np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)])  # (n + m, d)
    generator = np.random.default_rng(seed)
    count = 0
    for _ in range(n_perm):
        order = generator.permutation(len(pooled))  # (n + m,)
        count += mmd2_unbiased(pooled[order[:n]], pooled[order[n:]], sigma) >= stat - 1e-12
    # the real split is one of the arrangements too, so p is never 0
    return stat, float((1 + count) / (1 + n_perm))
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# source, target = [[0, 0], [1, 0], [1, 1]], [[3, 0], [2, 2]]
# squares = [[0, 1, 2, 9, 8], [1, 0, 1, 4, 5], [2, 1, 0, 5, 2], [9, 4, 5, 0, 5], [8, 5, 2, 5, 0]]
# found = pooled_distances(source, target)
# assert np.allclose(found, np.sqrt(squares)), f"the distances are {found}"
# found = median_sigma(source, target)
# assert np.isclose(found, (2 + np.sqrt(5)) / 2), f"median_sigma is {found}; the middle two of ten are 2 and sqrt(5)"
# sigma = 1 / np.sqrt(2 * np.log(2))  # k is 2 to the power -d²
# found = mmd2_unbiased(source, target, sigma)
# within, between = 5 / 12 + 1 / 32, 195 / 512 / 6
# assert np.isclose(found, within - 2 * between), f"mmd2_unbiased is {found}; it should be {within - 2 * between}"
# stat, p = mmd_permutation_test(source, target, sigma, n_perm=19, seed=3)
# assert np.isclose(stat, found) and np.isclose(p, 0.2), f"the test gives {stat} and p = {p}; p should be 0.2"

# %% [markdown]
# **Read a distance.** The next cell compares embeddings of 30 source samples with four kinds of targets. Which of them
# differ in their means, for which would you have seen it there, and what happens to the estimate and to p when you
# change `rows` from 30 to 10 or to 60?

# %% tags=["active-ipynb"]
# generator = np.random.default_rng(0)
# rows, width = 30, 8
# source = generator.normal(size=(rows, width))
# targets = {
#     "the same distribution": generator.normal(size=(rows, width)),
#     "a small shift": generator.normal(size=(rows, width)) + 0.3,
#     "a large shift": generator.normal(size=(rows, width)) + 1.0,
#     "the same mean, twice the spread": generator.normal(size=(rows, width)) * 2,
# }
# for name, target in targets.items():
#     sigma = median_sigma(source, target)
#     stat, p = mmd_permutation_test(source, target, sigma, n_perm=199, seed=1)
#     means = np.linalg.norm(source.mean(axis=0) - target.mean(axis=0))
#     print(f"{name:32s} distance of the means {means:.2f}   MMD² {stat:7.4f}   p {p:.3f}")

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# In the worked example, let the two means *within* the sets also count each sample with itself, where the kernel is 1.
# By how much does the estimate grow, and could the third split still come out below 0? And what would the estimate be
# if `target` were a copy of `source`?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The squared distance between two mean points in the space of the kernel multiplies out to three means of kernel
# values, as (a - b)² does to three products. For the test: if both sets come from one distribution, the labels "source"
# and "target" are arbitrary, so the real split is one draw among all of them. How unusual is it?
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# One matrix of pooled distances serves everything. The median takes its entries above the diagonal. The kernel is
# applied to all of it, its diagonal is set to 0, and three blocks are summed, each divided by its own number of pairs.
# A split re-orders the pooled rows, cuts after n, and calls the estimate again.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# differences = pooled[:, None, :] - pooled[None, :, :]  # (n + m, n + m, d)
# ```
#
# </details>
#
# ## Going further
#
# A split re-orders the rows and columns of *one* kernel matrix, so that it need not be computed again: index it with
# the permutation on both axes. The width matters: a kernel far narrower than all distances sees only identical rows,
# one far wider sees only the means. And the measure depends on the encoder: a shift that its features do not show, MMD
# cannot show.
#
# ## References
#
# - Arthur Gretton, Karsten M. Borgwardt, Malte J. Rasch, Bernhard Schölkopf, Alexander Smola (2012). *A Kernel
#   Two-Sample Test.*
#
# The works behind the interview answer are listed with the model answer.
