# %% [markdown]
# # Episodes for few-shot learning
#
# A hospital has eight images of a rare finding, a shop has three photos of a new product. A model that copes with so
# little has learned nearly all it knows somewhere else, and a fair test of it is a small world of its own: a handful of
# classes it was never trained on, a few labelled samples to adapt to, other samples to be judged on. Such a world is
# called an episode. If one sample lies on both sides of it, or a class was seen in training, the reported accuracy
# means nothing, and no error message says so.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"What is few-shot learning, and what is it good for in large multimodal models?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *setting*: what N-way K-shot means, which classes are used for what, and what the two parts of an episode are for;
# - *prior*: why few samples alone do not suffice, and at least two sources of what is missing;
# - *large models*: how a large multimodal model is adapted to a few samples, with and without changing weights;
# - *evaluation*: how you measure, report and compare, and which cheap competitor you include.

# %% [markdown] tags=["answer"]
# **Model answer.** "Few-shot learning means solving a new task from a handful of labelled samples. The usual
# **setting** is N-way K-shot: N classes with K labelled samples each. The classes are divided into base classes, for
# training, and novel ones, for the test, and no class is in both. An episode draws N classes, K support samples of
# each, from which the model adapts, and other samples of the same classes, the query, on which it is scored (Vinyals et
# al. 2016). Training can imitate this, episode by episode.
#
# Few samples do not prevent overfitting, they are its cause: a large network fits five images without learning
# anything. What makes up for it is **prior knowledge**. It comes from pretraining on a lot of other data; from metric
# learning, where a new class is the mean of its support embeddings (Snell et al. 2017); or from meta-learning, where
# the initial weights are chosen such that a few gradient steps suffice (Finn et al. 2017). So 'few' speaks of the new
# task, not of all the data that the model has seen.
#
# In **large models** the same idea has several forms. In-context learning puts the examples into the prompt and changes
# no weight (Brown et al. 2020), with images and text interleaved in Flamingo (Alayrac et al. 2022). CLIP is adapted
# with learned prompt vectors (CoOp, Zhou et al. 2022), with a cache of support features and no training at all
# (Tip-Adapter, Zhang et al. 2022), or with a small adapter behind the frozen encoder (CLIP-Adapter, Gao et al. 2024).
# The benefit: less labelling, rare classes and private data come within reach, one model serves many tasks.
#
# I **evaluate** on several hundred random episodes of novel classes and report the mean accuracy with its 95 %
# confidence interval, since one episode says little: which samples are drawn matters a lot. All methods get the same
# episodes and the same backbone, and a simple baseline takes part, a well-trained frozen encoder with a new classifier,
# because it is hard to beat (Chen et al. 2019). Hyperparameters are chosen on validation classes. For models
# pretrained on the web I would ask whether the 'novel' classes are novel at all."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, setting: N classes with K labelled samples each; base and novel classes are disjoint; the support adapts,
#   the query scores.
# - 1 point, prior: few samples make overfitting more likely; two of pretraining, metric learning, meta-learning, each
#   with a word on how it helps.
# - 1 point, large models: in-context learning without a change of weights, and one way to adapt a model such as CLIP
#   (prompt vectors, cache, adapter, linear classifier), with what is trained there.
# - 1 point, evaluation: many episodes, mean with interval; a tuned baseline of frozen features with a new classifier;
#   equal conditions. Contamination of the pretraining data is welcome here.
#
# An answer that lists benefits ("needs less data, generalises better") without saying how earns at most one point.
#
# **References of the model answer**
#
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022). Flamingo: a Visual Language Model for Few-Shot
#   Learning.
# - Tom B. Brown, Benjamin Mann, Nick Ryder, et al. (2020). Language Models are Few-Shot Learners.
# - Wei-Yu Chen, Yen-Cheng Liu, Zsolt Kira, Yu-Chiang Frank Wang, Jia-Bin Huang (2019). A Closer Look at Few-shot
#   Classification.
# - Chelsea Finn, Pieter Abbeel, Sergey Levine (2017). Model-Agnostic Meta-Learning for Fast Adaptation of Deep
#   Networks.
# - Peng Gao, Shijie Geng, Renrui Zhang, et al. (2024). CLIP-Adapter: Better Vision-Language Models with Feature
#   Adapters.
# - Jake Snell, Kevin Swersky, Richard S. Zemel (2017). Prototypical Networks for Few-shot Learning.
# - Renrui Zhang, Wei Zhang, Rongyao Fang, et al. (2022). Tip-Adapter: Training-free Adaption of CLIP for Few-shot
#   Classification.
# - Kaiyang Zhou, Jingkang Yang, Chen Change Loy, Ziwei Liu (2022). Learning to Prompt for Vision-Language Models.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. *Base* classes are those for training,
# *novel* classes those of the test. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `few_samples_overfit_less` | With fewer labelled samples, a network of the same size is less prone to overfitting. |
# | `few_in_all` | "Few-shot" says that the model has seen few samples in all its training, pretraining included. |
# | `classes_may_be_shared` | A class may be both a base and a novel class if its images are different ones. |
# | `support_size` | A 5-way 1-shot episode has five labelled support samples in total. |
# | `chance_level` | With 5 ways and equally many queries a class, pure guessing is right in 20 % of cases on average. |
# | `prompt_changes_weights` | In-context learning makes gradient steps on the examples in the prompt. |
# | `episodes_required` | Only a model that was trained on episodes can classify novel classes from few samples. |
# | `interval_shrinks` | With four times as many random episodes, the 95 % interval is about half as wide. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "few_samples_overfit_less",
        "few_in_all",
        "classes_may_be_shared",
        "support_size",
        "chance_level",
        "prompt_changes_weights",
        "episodes_required",
        "interval_shrinks",
    ]
)
### BEGIN SOLUTION
claims.update(
    # The other way round: the fewer samples, the easier it is to fit them without learning the rule behind them.
    few_samples_overfit_less=False,
    # Few is the number of labelled samples of the *new* task; the prior behind it usually comes from a lot of data.
    few_in_all=False,
    # A class of the training is not new. New images of it test ordinary generalisation, not learning a class from K.
    classes_may_be_shared=False,
    # K is counted per class: 5 classes with 1 sample each.
    support_size=True,
    # One of five classes is right, however many shots there were. An accuracy means little without N beside it.
    chance_level=True,
    # The weights stay as they are; the examples only condition the forward pass (Brown et al. 2020).
    prompt_changes_weights=False,
    # Ordinary training on the base classes and a new classifier on top is a strong baseline (Chen et al. 2019).
    episodes_required=False,
    # The half-width is 1.96 s / sqrt(n), and s, the spread between episodes, does not depend on n.
    interval_shrinks=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** in an episode everything is drawn apart: novel classes from base classes, query samples from support
# samples. All indices below are positions in `labels`.
#
# `labels` is a list or an array `(samples,)` of integers of any type. They need not start at 0 or be consecutive; they
# may be negative, and as large as an `int64` can be: product numbers, for instance.
#
# ### `sample_episode(labels, n_way, k_shot, n_query, rng) -> dict`
#
# Draws `n_way` different classes, and of **each** of them `k_shot` support samples and `n_query` query samples, all
# different. Only classes with at least `k_shot + n_query` samples take part. The values of the dictionary are NumPy
# arrays of integers:
#
# | key | shape | content |
# |---|---|---|
# | `support_idx` | `(n_way * k_shot,)` | positions of the support samples |
# | `support_y` | `(n_way * k_shot,)` | their labels in the episode, from 0 to `n_way - 1` |
# | `query_idx` | `(n_way * n_query,)` | positions of the query samples |
# | `query_y` | `(n_way * n_query,)` | their labels in the episode |
# | `classes` | `(n_way,)` | the original label of each episode label |
#
# So `classes[support_y]` equals `np.asarray(labels)[support_idx]`, and likewise for the query.
#
# Every set of `n_way` eligible classes is equally likely, no matter how many samples they have. Within a class every
# choice of support and query is equally likely, drawn independently of the other classes.
#
# ### `split_classes(labels, n_novel, rng) -> (base, novel)`
#
# Two NumPy arrays of integers: `novel` holds `n_novel` of the classes that occur in `labels`, `base` all others, each
# class once. Every set of `n_novel` classes is equally likely, no matter how many samples they have.
#
# ### `mean_ci95(accuracies) -> (mean, half_width)`
#
# `accuracies` is a list or array `(episodes,)`, one number for each episode. Two numbers: their mean, and
# 1.96 · s / √n with the sample standard deviation s (the one that divides by n - 1). Computed in `float64`, whatever
# the type of the input.
#
# ### Rules
#
# - All randomness comes from `rng`, a `numpy.random.Generator`: equal generators give equal results, calling again with
#   the same generator gives new ones, and global generators are left alone.
# - **`ValueError`** for: fewer than `n_way` eligible classes; `n_way`, `k_shot` or `n_query` below 1; `n_novel` below
#   1, or so large that no base class is left; `labels` that are empty or not one-dimensional; accuracies that are fewer
#   than two, not one-dimensional, NaN or infinite.
# - **Your choice:** the order of `classes`, of the samples within support and query (as long as the labels stand in the
#   same order as the positions), of `base` and `novel`; the integer types; what happens with labels and sizes that are
#   not integers.
# - Leave the arguments unchanged. **Not allowed:** `sklearn`, whose stratified splits would do the drawing for you.
#   Loops over classes are fine.
#
# ### A worked example
#
# `labels = [4, 9, 4, 7, 9, 9, 4, 7, 9]`, 2 ways, 1 shot, 2 queries. Class 7 has two samples and three are needed, so it
# takes no part. One of the many possible episodes:
#
# | key | value | |
# |---|---|---|
# | `classes` | `[9, 4]` | 9 is called 0 in this episode, 4 is called 1 |
# | `support_idx` | `[4, 2]` | one sample of each class |
# | `support_y` | `[0, 1]` | |
# | `query_idx` | `[1, 8, 0, 6]` | two of each class, none of them in the support |
# | `query_y` | `[0, 0, 1, 1]` | |
#
# Accuracies 0.5, 0.7, 0.6, 0.6 have the mean 0.6 and s = 0.0816, so the result is (0.6, 0.0800).


# %% tags=["solution"]
def sample_episode(
    labels: ArrayLike, n_way: int, k_shot: int, n_query: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """One N-way K-shot episode: classes, a support to adapt to, a query to be judged on.

    Args:
        labels: class of each sample, (samples,), integers.
        n_way: number of classes in the episode.
        k_shot: support samples of each class.
        n_query: query samples of each class.
        rng: the only source of randomness.

    Returns:
        A dict of integer arrays: support_idx and support_y (n_way * k_shot,), query_idx and query_y
        (n_way * n_query,), classes (n_way,). Positions in labels, and labels from 0 to n_way - 1 in the order of
        classes.

    Raises:
        ValueError: a size below 1, labels empty or not one-dimensional, fewer than n_way classes with enough samples.

    Source: Vinyals et al. 2016 (episodes).
    """
    ### BEGIN SOLUTION
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must be (samples,), not {labels.shape}")
    if min(n_way, k_shot, n_query) < 1:
        raise ValueError(f"n_way, k_shot and n_query must be at least 1, not {n_way}, {k_shot}, {n_query}")

    # a class takes part if its samples suffice for support and query together
    classes, counts = np.unique(labels, return_counts=True)
    eligible = classes[counts >= k_shot + n_query]
    if eligible.size < n_way:
        raise ValueError(f"{n_way} classes with {k_shot + n_query} samples are needed, there are {eligible.size}")
    chosen = rng.choice(eligible, size=n_way, replace=False)  # (n_way,)

    support, query = [], []
    for label in chosen:
        # shuffle the positions of this class once and cut: no sample can lie on both sides
        positions = rng.permutation(np.flatnonzero(labels == label))
        support.append(positions[:k_shot])
        query.append(positions[k_shot : k_shot + n_query])

    return {
        "support_idx": np.concatenate(support),  # (n_way * k_shot,)
        "support_y": np.repeat(np.arange(n_way), k_shot),
        "query_idx": np.concatenate(query),  # (n_way * n_query,)
        "query_y": np.repeat(np.arange(n_way), n_query),
        "classes": chosen,
    }
    ### END SOLUTION


# %% tags=["solution"]
def split_classes(labels: ArrayLike, n_novel: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Divide the classes into base classes, for training, and novel classes, for the test.

    Args:
        labels: class of each sample, (samples,), integers.
        n_novel: number of novel classes.
        rng: the only source of randomness.

    Returns:
        base and novel, integer arrays of classes without a common element.

    Raises:
        ValueError: no novel or no base class, or labels empty or not one-dimensional.
    """
    ### BEGIN SOLUTION
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must be (samples,), not {labels.shape}")
    classes = rng.permutation(np.unique(labels))  # (classes,)
    if not 1 <= n_novel < classes.size:
        raise ValueError(f"cannot make {n_novel} of {classes.size} classes novel and keep a base class")
    return classes[n_novel:], classes[:n_novel]
    ### END SOLUTION


def mean_ci95(accuracies: ArrayLike) -> tuple[float, float]:
    """Mean accuracy over episodes and the half-width of its 95 % confidence interval.

    Args:
        accuracies: one number for each episode, (episodes,).

    Returns:
        The mean and 1.96 * s / sqrt(n), with the sample standard deviation s (divisor n - 1), computed in float64.

    Raises:
        ValueError: fewer than two accuracies, not one-dimensional, NaN or infinite.
    """
    ### BEGIN SOLUTION
    accuracies = np.asarray(accuracies, dtype=np.float64)
    if accuracies.ndim != 1 or accuracies.size < 2 or not np.isfinite(accuracies).all():
        raise ValueError("expected at least two finite accuracies, (episodes,)")
    # standard error of a mean: spread of the single episodes, divided by the root of their number
    standard_error = accuracies.std(ddof=1) / np.sqrt(accuracies.size)
    return float(accuracies.mean()), float(1.96 * standard_error)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# labels = [30, 10, 20, 10, 30, 30, 10, 30, 10, 10, 50, 30]
# episode = sample_episode(labels, n_way=2, k_shot=2, n_query=3, rng=np.random.default_rng(0))
# support, query, classes = episode["support_idx"], episode["query_idx"], episode["classes"]
# assert support.shape == (4,) and query.shape == (6,) and classes.shape == (2,), episode
# assert len({*support.tolist(), *query.tolist()}) == 10, "a sample was taken twice"
# assert [labels[i] for i in support] == [classes[y] for y in episode["support_y"]], episode
# assert [labels[i] for i in query] == [classes[y] for y in episode["query_y"]], episode
# assert sorted(episode["support_y"].tolist()) == [0, 0, 1, 1], episode
# assert sorted(classes.tolist()) == [10, 30], f"{classes}: 20 and 50 have a single sample, five are needed"
#
# base, novel = split_classes(labels, n_novel=1, rng=np.random.default_rng(0))
# assert sorted([*base.tolist(), *novel.tolist()]) == [10, 20, 30, 50] and len(novel) == 1, (base, novel)
#
# mean, half_width = mean_ci95([0.25, 0.75, 0.5, 0.25, 0.75])
# assert np.isclose(mean, 0.5) and np.isclose(half_width, 1.96 * 0.25 / np.sqrt(5)), (mean, half_width)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: an invariant</summary>
#
# Put support and query of an episode together: how many different positions are there, and how many of each class?
# Take any position of the query: is it possible that it is in the support as well?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Drawing without replacement is the same as shuffling and cutting. One shuffle, cut into two pieces, gives two parts
# that cannot overlap; two separate draws can. That holds for the samples of one class, and for the classes themselves.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Count the samples of each class, keep the classes with enough of them, and draw some of those without replacement.
# For each drawn class find the positions of its samples, shuffle them, give the first few to the support and the next
# few to the query. Its episode label is its place among the drawn classes, once for each sample.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# positions = rng.permutation(np.flatnonzero(labels == label))
# ```
# </details>

# %% [markdown]
# ## References
#
# - Oriol Vinyals, Charles Blundell, Tim Lillicrap, Koray Kavukcuoglu, Daan Wierstra (2016). Matching Networks for One
#   Shot Learning.
#
# The works behind the interview answer are listed with the model answer.
