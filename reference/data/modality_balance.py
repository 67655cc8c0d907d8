# %% [markdown]
# # Balancing the modalities
#
# "The data is unbalanced, so I resample" is half an answer for multimodal data, because three things can be out of
# balance: classes, the modalities that samples come with, and the speed at which the modalities are learned. They look
# alike in a loss curve and need different remedies; equalising the classes can leave all pictures in one class, and no
# sampler slows down a text branch that has won already. Here you take the question apart, and build one tool for the
# data and one for the training.
#
# Plan about 35 minutes: 12 for the answer, 5 for the claims, 18 for the code.

# %%
import math

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Which problems do you expect with a large multimodal model, and what do you do about each?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these, always with a remedy beside the problem:
#
# - *imbalance*: what exactly can be out of balance, told apart, and what changes when you correct it;
# - *pairs*: what can be wrong between the modalities of a sample, up to one that is missing at test time;
# - *model*: how the fusion is chosen for the task, and what you do against overfitting;
# - *cost and risks*: what makes training and use affordable, and what such models get wrong that others do not.

# %% [markdown] tags=["answer"]
# **Model answer.** "The standing problems are that modalities are heterogeneous, have to be aligned and fused, and that
# knowledge should transfer between them (Baltrušaitis et al. 2019; Liang et al. 2024). In practice I go through four
# lists.
#
# **Imbalance** means three things. Classes differ in frequency: I re-weight or resample, and correct the prior
# afterwards, because balanced sampling changes the class frequencies that the model learns. Coverage differs: images
# are missing, and more often in some classes, so I balance over class and presence together. And modalities learn at
# different speeds: the faster one explains the loss and the other stops learning, so that a joint network can be worse
# than its best branch (Wang et al. 2020; Huang et al. 2022). There I watch each branch and slow the leading one down by
# modulating its gradient, as OGM-GE does (Peng et al. 2022), or give every branch a loss of its own.
#
# **Pairs** can be wrong or loose: captions from the web are filtered by similarity (DataComp, Gadre et al. 2023) or
# rewritten, and soft targets forgive near matches. A generated image must fit its text, so an unconditional GAN is no
# filler for missing images. If a modality may be missing at test time, I train with modality dropout (Neverova et al.
# 2016) and with presence flags.
#
# The **model** follows the task: two separate encoders for retrieval, cross-attention or a projector into a language
# model for reasoning (Alayrac et al. 2022; Li et al. 2023; Liu et al. 2023). Against overfitting I freeze most weights
# or train adapters, use weight decay, augmentation that keeps pairs matched, and early stopping. Throwing away random
# samples prevents nothing, it is less data.
#
# Pruning and quantisation are for the **cost**, as are mixed precision, sharding, exact but memory-saving attention
# (Dao et al. 2022) and fewer visual tokens. The **risks** of such models: they answer from the language prior without
# looking, name objects that are not there (Li et al. 2023, POPE), and may have seen the test set; so I test with the
# image removed or swapped, and check for leakage."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, imbalance: classes, coverage and learning speed told apart, with a fitting remedy for two of them, and the
#   shift of the prior, or that the remedy for one does not cure the others.
# - 1 point, pairs: noisy or unmatched pairs with a remedy (filtering, re-captioning, soft targets), and a missing
#   modality with a remedy (modality dropout, flags).
# - 1 point, model: two kinds of fusion with the tasks they suit; two remedies against overfitting that are remedies.
# - 1 point, cost and risks: two ways to save memory or time, and two of language prior, hallucinated objects, leakage.
#
# An answer that treats imbalance as a matter of amounts alone, with resampling and GANs as the cure, earns at most half
# a point for the first item.
#
# **References of the model answer**
#
# - Jean-Baptiste Alayrac, Jeff Donahue, Pauline Luc, et al. (2022). Flamingo: a Visual Language Model for Few-Shot
#   Learning.
# - Tadas Baltrušaitis, Chaitanya Ahuja, Louis-Philippe Morency (2019). Multimodal Machine Learning: A Survey and
#   Taxonomy.
# - Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré (2022). FlashAttention: Fast and Memory-Efficient
#   Exact Attention with IO-Awareness.
# - Samir Yitzhak Gadre, Gabriel Ilharco, Alex Fang, et al. (2023). DataComp: In search of the next generation of
#   multimodal datasets.
# - Yu Huang, Junyang Lin, Chang Zhou, Hongxia Yang, Longbo Huang (2022). Modality Competition: What Makes Joint
#   Training of Multi-modal Network Fail in Deep Learning? (Provably).
# - Junnan Li, Dongxu Li, Silvio Savarese, Steven Hoi (2023). BLIP-2: Bootstrapping Language-Image Pre-training with
#   Frozen Image Encoders and Large Language Models.
# - Yifan Li, Yifan Du, Kun Zhou, Jinpeng Wang, Xin Zhao, Ji-Rong Wen (2023). Evaluating Object Hallucination in Large
#   Vision-Language Models (POPE).
# - Paul Pu Liang, Amir Zadeh, Louis-Philippe Morency (2024). Foundations & Trends in Multimodal Machine Learning:
#   Principles, Challenges, and Open Questions.
# - Haotian Liu, Chunyuan Li, Qingyang Wu, Yong Jae Lee (2023). Visual Instruction Tuning.
# - Natalia Neverova, Christian Wolf, Graham W. Taylor, Florian Nebout (2016). ModDrop: Adaptive Multi-Modal Gesture
#   Recognition.
# - Weiyao Wang, Du Tran, Matt Feiszli (2020). What Makes Training Multi-Modal Classification Networks Hard?

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. A *GAN*, a generative adversarial
# network, is trained to draw new samples (`adversarial/gan_step`, much later); a *prior* is the share of each class
# before anything else is known. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `classes_cure_speed` | Equal class frequencies also make text and image branch learn equally fast. |
# | `subset_prevents_overfitting` | Training on a random subset of the samples makes overfitting less likely. |
# | `gan_completes_pairs` | An unconditional GAN, trained on the images at hand, draws images that match given texts. |
# | `eight_bits_regularise` | Storing trained weights in 8 bits is mainly a remedy against overfitting. |
# | `joint_may_lose` | A jointly trained multimodal network can do worse than the best network of one modality. |
# | `coverage_is_separate` | With equally many samples of each class, images may still be missing mostly in one class. |
# | `prior_moves` | A sampler that makes all classes equally frequent changes the class prior that a model learns. |
# | `dropout_of_modalities` | Hiding modalities at random in training prepares a model for missing ones at test time. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "classes_cure_speed",
        "subset_prevents_overfitting",
        "gan_completes_pairs",
        "eight_bits_regularise",
        "joint_may_lose",
        "coverage_is_separate",
        "prior_moves",
        "dropout_of_modalities",
    ]
)
### BEGIN SOLUTION
claims.update(
    # The speed of a branch depends on the signal in its modality and on its network, with any class frequencies.
    classes_cure_speed=False,
    # It is less data for the same network, so the gap between training and test usually grows.
    subset_prevents_overfitting=False,
    # It draws plausible images and never sees a text: nothing ties a drawn image to any caption.
    gan_completes_pairs=False,
    # It saves memory and time. The function computed is meant to stay the same, overfitted or not.
    eight_bits_regularise=False,
    # Observed by Wang, Tran and Feiszli (2020): the branches overfit at different rates.
    joint_may_lose=True,
    # Count the cells of class and presence, not the classes: four classes of 100, and 90 images missing in one.
    coverage_is_separate=True,
    # It trains on a uniform prior; probabilities for other frequencies need a correction.
    prior_moves=True,
    # ModDrop (Neverova et al. 2016): the fused representation has to work without each of them.
    dropout_of_modalities=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** name what is out of balance, then give each part of it the same say. `N` is the number of samples, `M`
# of modalities. Everything is computed in `float64`, whatever the type of the input.
#
# ### `balanced_sampling_probs(labels, present) -> (N,) float64`
#
# `labels` `(N,)` holds integers, not necessarily from 0 on, and `present` `(N, M)` booleans: whether sample `i` has
# modality `m`. Both are lists or arrays. A *cell* is one label together with one presence pattern, a whole row of
# `present`. The result has one probability for each sample: they sum to 1, each cell **that occurs** has the same
# total, and the samples of a cell share it equally.
#
# ### `ogm_coefficients(p_text, p_image, alpha=0.5) -> (text, image)`
#
# `p_text` and `p_image` `(N,)`, lists or arrays, hold the probability that the text branch alone, or the image branch
# alone, gives to the true class of each sample in a batch. The two numbers are factors for the gradients of the two
# branches (on-the-fly gradient modulation):
#
# - The branch with the larger sum of probabilities is ahead and gets `1 - tanh(alpha * ratio)`, where `ratio` is its
#   **sum divided by the other's sum**; the other branch gets 1. With equal sums both get 1.
# - If the sum of the other branch is 0, the branch ahead gets 0, the limit of the formula.
# - With `alpha=0` both get 1, whatever the sums are.
#
# ### Rules
#
# - **`ValueError`** for: no samples; shapes that do not fit the description or each other; a sample without any
#   modality; probabilities outside [0, 1] or NaN; both sums 0 (even if `alpha` is 0); an `alpha` that is negative, NaN
#   or infinite. For labels that are not integers `TypeError` or `ValueError`, as you like.
# - **Your choice:** the two factors are Python numbers or NumPy scalars; what happens if `present` is not boolean.
# - Leave the arguments unchanged. Nothing is forbidden.
#
# ### A worked example
#
# | sample | label | text | image | cell | probability |
# |---|---|---|---|---|---|
# | 0 | 0 | yes | yes | class 0, both | 1/6 |
# | 1 | 0 | yes | yes | class 0, both | 1/6 |
# | 2 | 0 | yes | no | class 0, text only | 1/3 |
# | 3 | 1 | yes | yes | class 1, both | 1/3 |
#
# Three cells occur, so each has 1/3. (The fourth, class 1 with text only, is empty and has nothing to give away.)
#
# With `p_text = [0.9, 0.8]` and `p_image = [0.3, 0.2]` the sums are 1.7 and 0.5, the ratio is 3.4, and the result for
# `alpha=0.5` is (1 - tanh 1.7, 1) = (0.0646, 1): the text branch is nearly stopped until the image branch catches up.


# %% tags=["solution"]
def balanced_sampling_probs(labels: ArrayLike, present: ArrayLike) -> np.ndarray:
    """Probability of each sample when every occurring cell of label and presence pattern is equally likely.

    Args:
        labels: class of each sample, (N,), integers.
        present: which modalities each sample has, (N, M), booleans.

    Returns:
        float64 array (N,), summing to 1.

    Raises:
        ValueError: no samples, shapes that do not fit, or a sample without any modality.
        TypeError: labels that are not integers.
    """
    ### BEGIN SOLUTION
    labels, present = np.asarray(labels), np.asarray(present, dtype=bool)
    if labels.ndim != 1 or labels.size == 0 or present.ndim != 2 or len(present) != labels.size:
        raise ValueError(f"expected labels (N,) and present (N, M), not {labels.shape} and {present.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if not present.any(axis=1).all():
        raise ValueError("a sample has no modality at all")

    cell = np.column_stack([labels, present])  # (samples, 1 + modalities)
    _, cell_of_sample, counts = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    cell_of_sample = cell_of_sample.ravel()  # (samples,)
    # share of a cell, 1 / (number of cells), divided among its samples
    return 1 / (counts.size * counts[cell_of_sample])  # (samples,)
    ### END SOLUTION


# %% tags=["solution"]
def ogm_coefficients(p_text: ArrayLike, p_image: ArrayLike, alpha: float = 0.5) -> tuple[float, float]:
    """Factors for the gradients of the text and the image branch, smaller for the branch that is ahead.

    Args:
        p_text: the text branch's probability of each sample's true class, (N,).
        p_image: the image branch's, (N,).
        alpha: strength of the modulation, 0 or more.

    Returns:
        Factor for the text branch, factor for the image branch; both in [0, 1], at least one of them 1.

    Raises:
        ValueError: no samples, shapes that differ or are not (N,), probabilities outside [0, 1], both sums 0, or an
            alpha that is negative or not finite.

    Source: OGM-GE, Peng et al. 2022, without its added noise.
    """
    ### BEGIN SOLUTION
    text, image = np.asarray(p_text, dtype=np.float64), np.asarray(p_image, dtype=np.float64)
    if text.ndim != 1 or text.shape != image.shape or text.size == 0:
        raise ValueError(f"expected two arrays (N,) of one length, not {text.shape} and {image.shape}")
    for probability in (text, image):
        if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails both comparisons
            raise ValueError("probabilities must be in [0, 1]")
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha must be finite and at least 0, not {alpha}")
    sum_text, sum_image = math.fsum(text), math.fsum(image)  # exact sums, so that a tie is a tie
    if sum_text == sum_image == 0:
        raise ValueError("both branches give every true class probability 0: there is no ratio")

    def coefficient(own: float, other: float) -> float:
        if own <= other or alpha == 0:
            return 1.0
        # one minus tanh(alpha times the ratio of the sums); towards 0 as the other sum vanishes
        return 1 - math.tanh(alpha * own / other) if other > 0 else 0.0

    return coefficient(sum_text, sum_image), coefficient(sum_image, sum_text)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# labels = [5, 5, 2, 5, 2, 5, 5]
# present = [[True, True], [True, False], [True, True], [True, True], [True, True], [True, True], [False, True]]
# probabilities = balanced_sampling_probs(labels, present)
# assert np.allclose(probabilities, [1 / 12, 1 / 4, 1 / 8, 1 / 12, 1 / 8, 1 / 12, 1 / 4]), probabilities
#
# factors = ogm_coefficients([0.5, 0.25, 0.25], [1.0, 0.5, 0.75])
# assert np.allclose(factors, [1, 1 - np.tanh(1.125)]), factors
# factors = ogm_coefficients([0.75, 0.5], [0.25, 0.5], alpha=0.2)
# assert np.allclose(factors, [1 - np.tanh(1 / 3), 1]), factors

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Add up your probabilities over the samples of each cell: are all totals equal, and how many cells are there? And for
# the factors: exchange the two arguments. What must happen to the two results?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# To balance several properties at once, balance their combinations: equal classes and equal patterns, each by itself,
# do not make equal cells. For the branches, a ratio of sums asks how far one is ahead over the whole batch; single
# samples with tiny probabilities would blow up a mean of ratios.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Write label and presence pattern of a sample into one row. Find the distinct rows, for each sample which of them it
# has, and how often each occurs. A sample's probability is one over (number of distinct rows times the count of its
# own). For the factors: check, sum each side, and write one small function for "own sum, other sum" that you call
# twice.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# rows, row_of_sample, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
# ```
# </details>

# %% [markdown]
# ## Going further
#
# The factor jumps when the lead changes sides: a branch that is ahead by a hair already gets 1 - tanh(alpha), 0.538 for
# alpha = 0.5. The full method also adds noise to the gradient, to make up for the noise that smaller steps lose. And
# both tools say nothing about *why* a branch is behind; an image branch may be slow because the images tell little.
#
# ## References
#
# - Xiaokang Peng, Yake Wei, Andong Deng, Dong Wang, Di Hu (2022). Balanced Multimodal Learning via On-the-fly Gradient
#   Modulation.
#
# The works behind the interview answer are listed with the model answer.
