# %% [markdown]
# # ROC and precision-recall curves
#
# "Higher accuracy means a better model, and AUC is the area under a curve" is the answer in circulation. The first half
# fails as soon as one class is rare; the second half is true and says nothing. A good answer says what event a number
# is the probability of, what it does when positives are rare, and what it does not see at all.
#
# Plan about 45 minutes: 10 for the answer, 5 for the claims, 30 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"Which metrics do you use to evaluate a fine-tuned classifier, and what does each of the numbers mean?"*
#
# Answer in the next cell as you would say it aloud, in ten to fifteen sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# 1. decisions: what accuracy and F1 count, and when each misleads;
# 2. ranking: what ROC-AUC is the probability of, and what it does not depend on;
# 3. rare positives: average precision, and what to compare it with;
# 4. two things that none of these numbers shows, and how you would measure them.

# %% [markdown] tags=["answer"]
# **Model answer.** "I separate three things: how well the scores *rank*, how good the *decisions* at one threshold are,
# and whether the scores can be read as *probabilities*.
#
# For the ranking I use **ROC-AUC**. It is the probability that a random positive scores above a random negative, with
# a tie counted as half (Fawcett 2006). It needs no threshold and does not depend on how rare the
# positives are. The second property is its weakness: with one positive in a thousand, a false-positive rate of one
# percent looks excellent, and ten of eleven alarms are false. There I report **average precision**, the mean of the
# precision at the score of each positive, whose baseline is the share of positives and not one half (Davis & Goadrich
# 2006; Saito & Rehmsmeier 2015). I sum it in steps: straight lines between the points of a precision-recall curve
# promise results that no threshold reaches.
#
# For decisions I choose a threshold on **validation** data, from the costs of the two mistakes. Accuracy alone does
# not say that a model is better, since a constant answer wins it when one class is frequent. Beside it go balanced
# accuracy, precision and recall, or the **Matthews correlation**, which uses all four cells of the confusion matrix,
# while F1 ignores the true negatives (Chicco & Jurman 2020). For several classes I name the averaging: micro-F1 pools
# the samples, so frequent classes decide it; macro-F1 gives every class the same weight, and even 'macro F1' is two
# formulas (Opitz & Burst 2019).
#
# If somebody acts on the probabilities I check **calibration**: the expected calibration error or the Brier score, and
# temperature scaling on validation data (Guo et al. 2017). AUC cannot see it, because every increasing transform of the
# scores has the same AUC.
#
# A **multimodal** model needs more: Recall@K and mean reciprocal rank for retrieval, VQA accuracy against several human
# answers (Antol et al. 2015), CIDEr or CLIPScore for captions (Vedantam et al. 2015; Hessel et al. 2021), CHAIR or POPE
# for objects that are not there (Rohrbach et al. 2018; Li et al. 2023), and the same test with one modality removed.
#
# Finally I give confidence intervals, and since both models see the same samples, I compare them with a *paired* test
# or a bootstrap over the samples."
#
# **Rubric, 4 points** (half a point where an item is only partly there):
#
# - 1 point, decisions: accuracy can be high with a constant answer when one class is frequent; F1 combines precision
#   and recall and does not see the true negatives; balanced accuracy or MCC beside them. For several classes, macro
#   weights classes alike and micro weights samples alike.
# - 1 point, ranking: ROC-AUC as the probability that a positive outranks a negative, ties counting half; no threshold,
#   and no dependence on how rare the positives are. "The area under the curve" alone earns nothing here.
# - 1 point, rare positives: false alarms outnumber hits although the false-positive rate looks small; average
#   precision, with the share of positives as its baseline; steps and no straight lines are welcome here.
# - 1 point, what is not seen, two of: the threshold, chosen on validation data by the costs of the mistakes;
#   calibration (ECE, Brier, temperature scaling); the uncertainty of a difference (intervals, a paired comparison on
#   the same samples); what is special to several modalities (a modality left out, Recall@K, VQA accuracy, a caption
#   metric, a rate of hallucinated objects). Each with what it measures.
#
# **References of the model answer**
#
# - Stanislaw Antol, Aishwarya Agrawal, Jiasen Lu, et al. (2015). VQA: Visual Question Answering.
# - Davide Chicco, Giuseppe Jurman (2020). The advantages of the Matthews correlation coefficient (MCC) over F1 score
#   and accuracy in binary classification evaluation.
# - Jesse Davis, Mark Goadrich (2006). The Relationship Between Precision-Recall and ROC Curves.
# - Tom Fawcett (2006). An introduction to ROC analysis.
# - Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger (2017). On Calibration of Modern Neural Networks.
# - Jack Hessel, Ari Holtzman, Maxwell Forbes, Ronan Le Bras, Yejin Choi (2021). CLIPScore: A Reference-free Evaluation
#   Metric for Image Captioning.
# - Yifan Li, Yifan Du, Kun Zhou, Jinpeng Wang, Xin Zhao, Ji-Rong Wen (2023). Evaluating Object Hallucination in Large
#   Vision-Language Models (POPE).
# - Juri Opitz, Sebastian Burst (2019). Macro F1 and Macro F1.
# - Anna Rohrbach, Lisa Anne Hendricks, Kaylee Burns, Trevor Darrell, Kate Saenko (2018). Object Hallucination in Image
#   Captioning (CHAIR).
# - Takaya Saito, Marc Rehmsmeier (2015). The Precision-Recall Plot Is More Informative than the ROC Plot When
#   Evaluating Binary Classifiers on Imbalanced Datasets.
# - Ramakrishna Vedantam, C. Lawrence Zitnick, Devi Parikh (2015). CIDEr: Consensus-based image description evaluation.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of them are often published wrongly. MCC is Matthews' correlation
# coefficient, (TP · TN − FP · FN) / √((TP + FP)(TP + FN)(TN + FP)(TN + FN)). All of them must be right for the 3
# points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `higher_accuracy` | Of two classifiers tested on the same data, the one with the higher accuracy is always better. |
# | `ranking_probability` | For a random pair of both classes, ROC-AUC is P(positive scores higher) + P(tie) / 2. |
# | `copied_negatives` | Nine more copies of each negative leave ROC-AUC as it is, but can lower average precision. |
# | `random_ranking` | Scores drawn at random have an average precision near 0.5, however rare the positives are. |
# | `straight_lines` | Straight lines may join the points of a precision-recall curve, as they may for ROC. |
# | `hard_labels` | The ROC-AUC of scores that were cut to 0 and 1 first is the balanced accuracy of that cut. |
# | `auc_and_trust` | A ROC-AUC of 0.99 shows that of the samples with probability 0.9, nine in ten are positive. |
# | `always_positive` | With 99 % positives, always answering "positive" has F1 above 0.99, but MCC (0/0 as 0) of 0. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "higher_accuracy",
        "ranking_probability",
        "copied_negatives",
        "random_ranking",
        "straight_lines",
        "hard_labels",
        "auc_and_trust",
        "always_positive",
    ]
)
### BEGIN SOLUTION
claims.update(
    # With 99 % negatives, never answering "positive" reaches 0.99 and beats most models that find something.
    higher_accuracy=False,
    # This is what the area comes to, ties included: the Mann-Whitney statistic divided by the number of pairs.
    ranking_probability=True,
    # ROC-AUC averages over pairs, and each occurs ten times now; precision meets ten times as many negatives.
    copied_negatives=True,
    # Each cut of a random ranking holds the same share of positives as the whole set: that share is the baseline.
    random_ranking=False,
    # Precision is not linear in recall between thresholds; straight lines are too optimistic (Davis & Goadrich 2006).
    straight_lines=False,
    # The curve then has one corner, (FPR, TPR), and the area below it is (TPR + 1 - FPR) / 2.
    hard_labels=True,
    # AUC sees only the order. Squaring all probabilities changes what they promise, and leaves AUC as it is.
    auc_and_trust=False,
    # F1 = 2 * 0.99 / 1.99 = 0.995 knows no true negatives. MCC needs them, and there is none (Chicco & Jurman 2020).
    always_positive=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** sort once, and count the positives and negatives above every threshold. Both curves and both areas are
# ratios of these counts. Samples with equal scores cannot be told apart by any threshold, so they enter together.
#
# | function | returns |
# |---|---|
# | `threshold_counts(y_true, scores)` | `(tp, fp, thresholds)`, each an array `(K,)`, for the `K` distinct scores |
# | `roc_points(y_true, scores)` | `(fpr, tpr, thresholds)`, each a `float64` array `(K + 1,)` |
# | `roc_auc(y_true, scores)` | one number: the area under these points |
# | `average_precision(y_true, scores)` | one number |
#
# - **Input.** `y_true` `(N,)` holds 0 and 1 as integers, floats or booleans; `scores` `(N,)` any finite numbers:
#   logits, probabilities, integers (also `uint8`). Lists or arrays. Higher means "more likely positive".
# - **`threshold_counts`.** `thresholds` are the distinct scores, **highest first**, as `float64`. `tp[k]` and `fp[k]`,
#   of an integer dtype, count the positives and the negatives that score **at least** `thresholds[k]`. Scores are tied
#   only when they are exactly equal as `float64`. One class alone is fine here.
# - **`roc_points`.** `fpr` and `tpr` are `fp` and `tp` divided by the number of negatives and positives. In front
#   stands the point (0, 0) with the threshold `inf`, where nothing is called positive yet. No point is left out, also
#   where three lie on one line.
# - **`roc_auc`.** The same number as P(score of a positive > score of a negative) + P(the two are equal) / 2.
# - **`average_precision`.** The sum over `k` of `(recall[k] - recall[k - 1]) * precision[k]`, with recall 0 before the
#   first threshold: steps, no straight lines.
# - **Size.** 200 000 samples take well under a second in each function (the check allows two seconds of computing).
#   Comparing each positive with each negative is out of reach.
# - **`ValueError`** in all four functions for: no samples, lengths that differ, an input that is not one-dimensional, a
#   label other than 0 and 1, a score that is NaN or infinite. Besides, in `roc_points` and `roc_auc` if there is only
#   one class, and in `average_precision` if there is no positive (without negatives it is 1).
# - **Your choice:** single numbers may be Python numbers or NumPy scalars, the three arrays a tuple or a list.
# - **Not allowed:** `sklearn.metrics`.
#
# ### A worked example
#
# Labels `[1, 0, 1, 1, 0, 0]`, scores `[0.9, 0.7, 0.7, 0.4, 0.4, 0.2]`:
#
# | threshold | TP | FP | FPR | TPR = recall | precision |
# |---|---|---|---|---|---|
# | inf | 0 | 0 | 0 | 0 | |
# | 0.9 | 1 | 0 | 0 | 1/3 | 1 |
# | 0.7 | 2 | 1 | 1/3 | 2/3 | 2/3 |
# | 0.4 | 3 | 2 | 2/3 | 1 | 3/5 |
# | 0.2 | 3 | 3 | 1 | 1 | 3/6 |
#
# Of the nine pairs of a positive and a negative, six are in the right order, two are tied and one is in the wrong
# order: ROC-AUC is (6 + 2/2) / 9 = 0.778. Average precision is (1 + 2/3 + 3/5) / 3 = 0.756. For scores that were cut to
# 0 and 1 at 0.5 first, ROC-AUC would be 0.667.


# %% tags=["solution"]
def threshold_counts(y_true: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True and false positives at every threshold that can be told apart.

    Args:
        y_true: labels 0 and 1, (N,).
        scores: finite numbers, (N,), higher for the positive class.

    Returns:
        tp, fp: numbers of positives and of negatives that score at least the threshold, int64, (K,).
        thresholds: the K distinct scores, highest first, float64, (K,).

    Raises:
        ValueError: no samples, lengths differ, not one-dimensional, labels other than 0 and 1, scores not finite.

    Source: Fawcett 2006.
    """
    ### BEGIN SOLUTION
    labels, values = np.asarray(y_true), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape or labels.size == 0:
        raise ValueError(f"expected two non-empty arrays of one length, got shapes {labels.shape}, {values.shape}")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")

    order = np.argsort(-values)  # highest first
    positive, values = labels[order] == 1, values[order]  # (samples,)

    # a threshold lets all samples of one score in together: count where the last of them is reached
    last_of_its_score = np.append(values[1:] != values[:-1], True)  # (samples,)
    tp = np.cumsum(positive)[last_of_its_score]  # (thresholds,)
    fp = np.cumsum(~positive)[last_of_its_score]  # (thresholds,)
    return tp, fp, values[last_of_its_score]
    ### END SOLUTION


# %% tags=["solution"]
def roc_points(y_true: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the ROC curve, from (0, 0) to (1, 1).

    Args:
        y_true: labels 0 and 1, (N,), both present.
        scores: finite numbers, (N,).

    Returns:
        fpr, tpr: false-positive and true-positive rate, float64, (K + 1,), both starting with 0.
        thresholds: inf, then the K distinct scores, highest first, float64, (K + 1,).

    Raises:
        ValueError: bad input as in `threshold_counts`, or one class only.

    Source: Fawcett 2006.
    """
    ### BEGIN SOLUTION
    tp, fp, thresholds = threshold_counts(y_true, scores)
    if tp[-1] == 0 or fp[-1] == 0:
        raise ValueError("a ROC curve needs at least one positive and one negative")
    fpr = np.append(0, fp) / fp[-1]  # (thresholds + 1,)
    tpr = np.append(0, tp) / tp[-1]  # (thresholds + 1,)
    return fpr, tpr, np.append(np.inf, thresholds)
    ### END SOLUTION


# %% tags=["solution"]
def roc_auc(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: P(positive scores above negative) + P(tie) / 2.

    Args:
        y_true: labels 0 and 1, (N,), both present.
        scores: finite numbers, (N,).

    Raises:
        ValueError: bad input as in `threshold_counts`, or one class only.

    Source: Fawcett 2006.
    """
    ### BEGIN SOLUTION
    fpr, tpr, _ = roc_points(y_true, scores)
    # a group of tied scores is one sloping piece of the curve; the triangle under it is the half that ties count
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    ### END SOLUTION


# %% tags=["solution"]
def average_precision(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: the sum over the thresholds of (gain in recall) * precision.

    Args:
        y_true: labels 0 and 1, (N,), at least one 1.
        scores: finite numbers, (N,).

    Raises:
        ValueError: bad input as in `threshold_counts`, or no positive.

    Source: Davis & Goadrich 2006 (why no straight lines).
    """
    ### BEGIN SOLUTION
    tp, fp, _ = threshold_counts(y_true, scores)
    if tp[-1] == 0:
        raise ValueError("average precision needs at least one positive")
    gain_in_recall = np.diff(tp, prepend=0) / tp[-1]  # (thresholds,)
    precision = tp / (tp + fp)  # (thresholds,)
    return float(np.sum(gain_in_recall * precision))
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# tp, fp, thresholds = threshold_counts([1, 0, 1], [0.5, 0.25, 0.5])
# assert np.array_equal(thresholds, [0.5, 0.25]), thresholds
# assert np.array_equal(tp, [2, 2]) and np.array_equal(fp, [0, 1]), (tp, fp)
#
# labels, scores = [0, 0, 1, 1], [0.125, 0.5, 0.5, 0.75]
# tp, fp, thresholds = threshold_counts(labels, scores)
# assert np.array_equal(thresholds, [0.75, 0.5, 0.125]), thresholds
# assert np.array_equal(tp, [1, 2, 2]), tp
# assert np.array_equal(fp, [0, 1, 2]), fp
# fpr, tpr, thresholds = roc_points(labels, scores)
# assert np.allclose(fpr, [0, 0, 1 / 2, 1]), fpr
# assert np.allclose(tpr, [0, 1 / 2, 1, 1]), tpr
# assert np.array_equal(thresholds, [np.inf, 0.75, 0.5, 0.125]), thresholds
# assert np.isclose(roc_auc(labels, scores), 7 / 8), roc_auc(labels, scores)
# assert np.isclose(average_precision(labels, scores), 5 / 6), average_precision(labels, scores)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Shuffle the samples. Which of your numbers may change? What if all scores are equal: how many thresholds are there
# then, and what should ROC-AUC and average precision be?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Lower the threshold step by step. At each distinct score a group of samples enters: positives move the ROC curve up,
# negatives move it to the right, and a mixed group moves it along a slope. For precision, the number that entered so
# far is the denominator.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check shapes and values. Sort by score, highest first, and reorder the labels likewise. Count positives and negatives
# cumulatively. Keep the counts only where the next score is different, and at the end. For the ROC curve, put a zero in
# front and divide by the last counts; its area is a sum of trapezoids, that of average precision a sum of rectangles.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# last_of_its_score = np.append(values[1:] != values[:-1], True)
# ```
# </details>

# %% [markdown]
# ## References
#
# The works behind the interview answer are listed with the model answer.
#
# - Tom Fawcett (2006). An introduction to ROC analysis.
# - Jesse Davis, Mark Goadrich (2006). The Relationship Between Precision-Recall and ROC Curves.
# - Davide Chicco, Giuseppe Jurman (2020). The advantages of the Matthews correlation coefficient (MCC) over F1 score
#   and accuracy in binary classification evaluation.
