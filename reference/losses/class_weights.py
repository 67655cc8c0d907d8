# %% [markdown]
# # Class weights and balanced sampling
#
# Few data sets for fine-tuning are balanced, and the short answer in circulation names three things: resample, weight
# the classes, let a GAN fill up the rare ones. Interviewers then ask what they wanted to ask from the start: resample
# *which part* of the data, what happens if you do two of these at once, and how would you notice that it helped? The
# code below is small, and each of its lines is one that people get wrong: what a weighted mean divides by, and who gets
# the weight, a class or a sample.
#
# Plan about 45 minutes: 10 for the answer, 5 for the claims, 30 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Your data for fine-tuning a multimodal model has a few frequent classes and many rare ones. What do you do?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# 1. what you measure, and which part of the data you rebalance;
# 2. weights in the loss and balanced sampling, each alone and both together;
# 3. one method made for long tails, and what rebalancing does to the predicted probabilities;
# 4. additional data, real or synthetic, and what you distrust.

# %% [markdown] tags=["answer"]
# **Model answer.** "First I choose **metrics** that can see the problem: recall of each class, macro-F1, average
# precision. Accuracy is decided by the frequent classes. Validation and test data keep the class frequencies of the
# application; only the training part is ever resampled, after the split, so that no copy of a sample lands on both
# sides.
#
# The cheapest remedy is a **weighted loss**. Weights are inverse to the counts, or to the effective number of samples
# (1 - β^n) / (1 - β), which lies between no weighting and inverse frequency (Cui et al. 2019). PyTorch's weighted mean
# divides by the sum of the targets' weights, not by the batch size, so only ratios of weights matter.
#
# The alternative is a **class-balanced sampler** on the training part: each class gets the same total probability. It
# adds no information; rare samples are repeated, so I watch for memorised ones and augment them. Both together correct
# twice, so I use one, or a milder version of each.
#
# Then come the **losses made for it**: focal loss turns down what is already classified well (Lin et al. 2017); logit
# adjustment adds the log prior to the logits in training, or subtracts it afterwards, and has a statistical
# justification (Menon et al. 2021); LDAM gives rare classes a larger margin (Cao et al. 2019). A strong simple baseline
# learns the representation on the data as they are and rebalances only the classifier (Kang et al. 2020).
#
# I keep two warnings in mind. In an over-parameterised network trained to zero loss the effect of importance weights
# can vanish (Byrd & Lipton 2019). And every rebalancing shifts the predicted probabilities towards a uniform prior, so
# I correct the prior or recalibrate, and choose thresholds on validation data.
#
# **Synthetic data** is my last resort. GANs have least to learn from exactly where data is rare, and classifiers
# trained on GAN images did much worse on real ones (Ravuri & Vinyals 2019). I would rather collect more, paraphrase
# captions, or generate with a pretrained diffusion model, filter for image and text that match, in the training part
# only. And multimodal data has more than one imbalance: labels, missing modalities, and modalities that learn at
# different rates. Class weights cure only the first."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, measuring and the part of the data: recall of each class, macro-F1 or average precision beside accuracy;
#   only the training part is rebalanced, after the split, while validation and test keep the true frequencies.
# - 1 point, weights and sampler: inverse counts or effective number, and a mean that divides by the targets' weights;
#   the sampler gives each class equal mass, repeats samples and adds no information; both together correct twice.
# - 1 point, methods and probabilities: one of focal loss, logit adjustment, LDAM, decoupled training, with what it
#   does; and the shift of the prior (calibration, thresholds), or that the effect of weights may vanish.
# - 1 point, data: doubts about GAN samples for rare classes, with a reason; what is added belongs in the training part
#   only, and image and text must still fit. Missing modalities as an imbalance of their own are welcome here.
#
# An answer that lists resampling, class weights and GANs without saying where and with which side effects earns at most
# one point.
#
# **References of the model answer**
#
# - Jonathon Byrd, Zachary Chase Lipton (2019). What is the Effect of Importance Weighting in Deep Learning?
# - Kaidi Cao, Colin Wei, Adrien Gaidon, Nikos Aréchiga, Tengyu Ma (2019). Learning Imbalanced Datasets with
#   Label-Distribution-Aware Margin Loss.
# - Yin Cui, Menglin Jia, Tsung-Yi Lin, Yang Song, Serge J. Belongie (2019). Class-Balanced Loss Based on Effective
#   Number of Samples.
# - Bingyi Kang, Saining Xie, Marcus Rohrbach, et al. (2020). Decoupling Representation and Classifier for Long-Tailed
#   Recognition.
# - Tsung-Yi Lin, Priya Goyal, Ross B. Girshick, Kaiming He, Piotr Dollár (2017). Focal Loss for Dense Object Detection.
# - Aditya Krishna Menon, Sadeep Jayasumana, Ankit Singh Rawat, et al. (2021). Long-tail learning via logit adjustment.
# - Suman V. Ravuri, Oriol Vinyals (2019). Classification Accuracy Score for Conditional Generative Models.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. Effective-number weights and β are
# defined below. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `resample_everything` | Training, validation and test data should all be resampled to equal class frequencies. |
# | `correct_twice` | A balanced sampler together with inverse-frequency weights in the loss corrects twice. |
# | `gan_fills_up` | GAN samples of the rare classes are a dependable replacement for real training data. |
# | `scale_of_weights` | For class indices, PyTorch's weighted mean cross-entropy is the same if all weights double. |
# | `effective_number` | From β = 0 to β → 1, effective-number weights go from equal ones to inverse frequency. |
# | `exact_batches` | Independent draws with class-balanced weights put equally many of each class into every batch. |
# | `probabilities_stay` | A model trained with inverse-frequency weights puts out probabilities for the true prior. |
# | `effect_can_vanish` | In a large network trained to zero loss, class weights may end up with hardly any effect. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "resample_everything",
        "correct_twice",
        "gan_fills_up",
        "scale_of_weights",
        "effective_number",
        "exact_batches",
        "probabilities_stay",
        "effect_can_vanish",
    ]
)
### BEGIN SOLUTION
claims.update(
    # Only the training part: validation and test have to tell how the model does on the frequencies it will meet.
    resample_everything=False,
    # A class of n samples is drawn equally often as any other *and* weighs 1 / n in the loss: a total of 1 / n
    # where 1 was wanted, so the rarest class now dominates.
    correct_twice=True,
    # Classifiers trained on GAN images lost much accuracy on real ones (Ravuri & Vinyals 2019), and a rare class is
    # where a GAN has least to learn from.
    gan_fills_up=False,
    # The mean divides by the sum of the targets' weights, so a common factor cancels. It does not with "sum", nor for
    # targets that are probabilities, where PyTorch divides by the number of samples.
    scale_of_weights=True,
    # The effective number is 1 for every class at β = 0 and tends to n as β → 1 (Cui et al. 2019).
    effective_number=True,
    # Only in expectation: each draw is independent, so the counts in a batch vary, in a small batch a lot.
    exact_batches=False,
    # They are tilted towards the rare classes, as if all classes were equally frequent: correct the prior.
    probabilities_stay=False,
    # Observed by Byrd & Lipton (2019): weights change the way there more than the separating boundary at the end.
    effect_can_vanish=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** rare classes get more say, either by weight in the loss or by being drawn more often. `C` is the number
# of classes, `N` of samples. Everything is computed in `float64`, whatever the type of the input.
#
# ### `class_weights(counts, method, beta=0.999) -> (C,) float64`
#
# `counts` holds the number of training samples of each class, `(C,)`, whole numbers from 1 on (a list, or an array of
# any integer type, `uint8` too).
#
# - `method="inverse"`: number of all samples / (`C` × samples of the class).
# - `method="effective"`: proportional to (1 - β) / (1 - β^n), one over the effective number of a class of `n` samples,
#   rescaled so that the `C` weights sum to `C`.
#
# ### `weighted_cross_entropy(logits, targets, weights, ignore_index=-100) -> float`
#
# `logits` `(N, C)`, `targets` `(N,)` integers, `weights` `(C,)`, all lists or arrays. The loss of a sample is the
# negative logarithm of its target's softmax probability. The result is the mean of these losses, **weighted by the
# weight of each sample's target**. Samples whose target equals `ignore_index` count neither above nor below the
# fraction bar; `ignore_index` may be any integer, also the number of a class. Logits of ±10000 give finite and
# accurate results.
#
# ### `sample_weights(labels) -> (N,) float64`
#
# `labels` is a list or array `(N,)` of integers or of strings; they need not start at 0 or be consecutive. One
# probability for each **sample**: they sum to 1, each class that occurs has the same total, and the samples of a class
# share it equally.
#
# ### `balanced_indices(labels, num_samples, rng) -> (num_samples,) int64`
#
# Positions in `labels`, each drawn **independently and with replacement** with the probabilities of `sample_weights`:
# every draw is made as if it were the only one, whatever the others gave, and so their order is random as well. All
# randomness comes from `rng`, a `numpy.random.Generator`: equal generators give equal draws, and global generators are
# left alone. `num_samples` is an integer and may be larger than `N`.
#
# ### Rules
#
# - **`ValueError`** for: `counts` that are empty, not one-dimensional, below 1 or not whole; an unknown `method`;
#   `beta` outside [0, 1) (with `"inverse"` you may ignore `beta`); `logits`, `targets` and `weights` whose shapes do
#   not fit; a target that is neither a class nor `ignore_index`; weights that are negative, infinite or NaN; nothing
#   left to average (all targets ignored, or the weights of all targets 0); `labels` that are empty or not
#   one-dimensional; `num_samples` below 1.
# - For counts and targets such as 1.5, `TypeError` is as good. Whether 2.0 counts as whole is your choice.
# - **Your choice:** the loss is a Python number or a NumPy scalar; what happens with NaN or infinite logits.
# - **Not allowed:** the module `torch` (its `cross_entropy` and `WeightedRandomSampler` are the answer) and the module
#   `sklearn.utils.class_weight`; using either raises an error here. Leave the arguments unchanged.
#
# ### A worked example
#
# Three classes with 6, 3 and 1 samples. Inverse: 10/18 = 0.556, 10/9 = 1.111, 10/3 = 3.333. Effective with β = 0.5:
# the effective numbers are 63/32, 7/4 and 1, one over them 0.508, 0.571 and 1; rescaled to sum 3, the weights are
# 0.733, 0.824 and 1.443.
#
# Two samples with the probabilities (3/4, 1/4) and (1/2, 1/2), targets 0 and 1, class weights 1 and 3: the losses are
# ln(4/3) = 0.288 and ln 2 = 0.693, and their weighted mean is (1·0.288 + 3·0.693) / (1 + 3) = 0.592.
#
# Labels `["cat", "dog", "dog", "dog"]` give the sample weights 1/2, 1/6, 1/6, 1/6: a draw is the cat half of the time.


# %% tags=["solution"]
def class_weights(counts: ArrayLike, method: str, beta: float = 0.999) -> np.ndarray:
    """Weight of each class in the loss, larger for rarer classes.

    Args:
        counts: training samples of each class, (C,), whole numbers >= 1.
        method: "inverse" (N / (C * n)) or "effective" (one over the effective number, rescaled to sum C).
        beta: of the effective number (1 - beta**n) / (1 - beta), in [0, 1).

    Returns:
        float64 array (C,).

    Raises:
        ValueError: counts empty, not one-dimensional, below 1 or not whole; unknown method; beta outside [0, 1).

    Source: Cui et al. 2019 (effective number).
    """
    ### BEGIN SOLUTION
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.size == 0:
        raise ValueError(f"counts must be (classes,) with at least one class, not {counts.shape}")
    if not ((counts >= 1) & (counts < np.inf) & (counts == np.floor(counts))).all():  # NaN fails as well
        raise ValueError("counts must be whole numbers from 1 on")
    samples = counts.astype(np.float64)  # (classes,); small integers would wrap around in the products below

    if method == "inverse":
        # all samples / (number of classes * samples of the class)
        return samples.sum() / (samples.size * samples)
    if method == "effective":
        if not 0 <= beta < 1:
            raise ValueError(f"beta must be in [0, 1), not {beta}")
        # one over the effective number (1 - beta^n) / (1 - beta); the factor 1 - beta drops out of the rescaling
        weights = 1 / (1 - beta**samples)
        return weights * samples.size / weights.sum()
    raise ValueError(f'method must be "inverse" or "effective", not {method!r}')
    ### END SOLUTION


# %% tags=["solution"]
def weighted_cross_entropy(
    logits: ArrayLike, targets: ArrayLike, weights: ArrayLike, ignore_index: int = -100
) -> float:
    """Cross-entropy averaged with the weight of each sample's target, as PyTorch does with `weight=`.

    Args:
        logits: (N, C).
        targets: (N,), integers: classes 0 to C - 1, or ignore_index.
        weights: (C,), finite and not negative.
        ignore_index: samples with this target are left out.

    Returns:
        Sum of weight times loss over the samples that count, divided by the sum of these weights.

    Raises:
        ValueError: shapes that do not fit, a target outside the classes, a negative or non-finite weight, or nothing
            to average.
        TypeError: targets that are not integers.
    """
    ### BEGIN SOLUTION
    logits = np.asarray(logits, dtype=np.float64)  # (samples, classes)
    targets = np.asarray(targets)  # (samples,)
    weights = np.asarray(weights, dtype=np.float64)  # (classes,)
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or weights.shape != logits.shape[1:]:
        raise ValueError(f"shapes {logits.shape}, {targets.shape} and {weights.shape} do not fit together")
    if not np.issubdtype(targets.dtype, np.integer):
        raise TypeError(f"targets must be integers, not {targets.dtype}")
    if not ((weights >= 0) & (weights < np.inf)).all():  # NaN fails as well
        raise ValueError("weights must be finite and not negative")

    counted = targets != ignore_index  # (samples,)
    logits, targets = logits[counted], targets[counted]  # (counted, classes), (counted,)
    if not ((targets >= 0) & (targets < weights.size)).all():
        raise ValueError(f"targets must be classes from 0 to {weights.size - 1}")
    target_weights = weights[targets]  # (counted,)
    if target_weights.sum() == 0:
        raise ValueError("nothing to average: no sample counts, or all that count have weight 0")

    # loss of a sample = log(sum of exp(logits)) - logit of the target; taking off the row's maximum changes nothing
    shifted = logits - logits.max(axis=1, keepdims=True)  # (counted, classes)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(targets.size), targets]  # (counted,)

    # weighted mean: divide by the weights that were handed out, not by the number of samples
    return float((target_weights * losses).sum() / target_weights.sum())
    ### END SOLUTION


# %% tags=["solution"]
def sample_weights(labels: ArrayLike) -> np.ndarray:
    """Probability of each sample under class-balanced sampling.

    Args:
        labels: (N,), integers or strings.

    Returns:
        float64 array (N,), summing to 1: the same total for each class, shared equally by its samples.

    Raises:
        ValueError: labels empty or not one-dimensional.
    """
    ### BEGIN SOLUTION
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"labels must be (samples,) with at least one sample, not {labels.shape}")
    classes, class_of_sample, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # a class's share of 1 / (number of classes), divided among its samples
    return 1 / (classes.size * counts[class_of_sample])  # (samples,)
    ### END SOLUTION


def balanced_indices(labels: ArrayLike, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of samples drawn independently, with replacement, so that every class is equally likely.

    Args:
        labels: (N,), integers or strings.
        num_samples: how many to draw, at least 1.
        rng: the only source of randomness.

    Returns:
        int64 array (num_samples,) of positions in labels.

    Raises:
        ValueError: num_samples below 1, labels empty or not one-dimensional.
    """
    ### BEGIN SOLUTION
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, not {num_samples}")
    probabilities = sample_weights(labels)  # (samples,)
    return rng.choice(probabilities.size, size=num_samples, p=probabilities)  # (num_samples,)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# assert np.allclose(class_weights([8, 2], "inverse"), [5 / 8, 5 / 2])
# assert np.allclose(class_weights([8, 2], "effective", beta=0.5), [128 / 149, 170 / 149])
#
# logits = np.log([[0.5, 0.5], [0.2, 0.8], [0.75, 0.25]])
# loss = weighted_cross_entropy(logits, [0, 1, 0], [1, 4])
# assert np.isclose(loss, (np.log(2) + 4 * np.log(1.25) + np.log(4 / 3)) / 6), loss
# loss = weighted_cross_entropy(logits, [0, 1, -100], [1, 4])
# assert np.isclose(loss, (np.log(2) + 4 * np.log(1.25)) / 5), loss
#
# assert np.allclose(sample_weights([7, 7, 3, 7]), [1 / 6, 1 / 6, 1 / 2, 1 / 6])
# drawn = balanced_indices([7, 7, 3, 7], 10, np.random.default_rng(0))
# assert drawn.shape == (10,) and drawn.dtype == np.int64 and set(drawn.tolist()) <= {0, 1, 2, 3}, drawn

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# If all classes have the same weight, which plain number must the weighted loss be equal to? And if all weights are
# doubled? How often should each class come up in a thousand balanced draws, and does your answer depend on how many
# samples it has?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# A weighted mean divides by the weights that were handed out: Σ wᵢ xᵢ / Σ wᵢ, over the same samples above and below.
# Weights of *classes* belong to the loss; a sampler draws *samples*, so it needs one probability for each sample, and
# these add up to the class's share. Subtracting a number from all logits of a row changes no softmax.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Weights: check, turn the counts into floats, apply the formula, rescale. Loss: check shapes and weights, drop the
# ignored samples, check the remaining targets, look up their weights, subtract each row's maximum, take the
# log-sum-exp minus the target's logit, average. Sampling: find the distinct labels, the position of each sample's
# label among them and the counts; the probability of a sample is 1 / (classes × samples of its class).
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# classes, class_of_sample, counts = np.unique(labels, return_inverse=True, return_counts=True)
# ```
# </details>

# %% [markdown]
# ## References
#
# The works behind the interview answer are listed with the model answer. The effective number of samples is from Yin
# Cui, Menglin Jia, Tsung-Yi Lin, Yang Song, Serge J. Belongie (2019). Class-Balanced Loss Based on Effective Number of
# Samples.
