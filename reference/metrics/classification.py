# %% [markdown]
# # Classification metrics
#
# Interviewers like to ask for metrics because the quick answer, "accuracy, precision, recall, F1 and AUC", invites
# three follow-ups: averaged how over the classes, counted over what, and where is the part about *multimodal*? A model
# that never leaves the majority class has a fine accuracy, and a vision-language model can have a fine score without
# looking at the image. Here you answer the interview question in your own words, judge eight claims about it, and count
# one confusion matrix, off which every classification metric is read.
#
# Plan about 45 minutes: 10 for the answer, 5 for the claims, 30 for the code.

# %%
import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"You have fine-tuned a multimodal model. Which metrics do you use to evaluate it, and why those?"*
#
# Answer in the next cell as you would say it aloud, in 10 to 15 sentences. Say of every metric that you name what
# it measures or when it misleads. The answer is worth 4 points and is read by a person, one point for each of these:
#
# 1. metrics of predicted classes, and what an average over the classes weighs;
# 2. metrics of scores and probabilities, and the choice of the threshold;
# 3. metrics of the other outputs of a multimodal model, such as rankings, answers and captions;
# 4. how you find out whether it uses both modalities, and how you report numbers that others can trust.

# %% [markdown] tags=["answer"]
# ### Model answer
#
# "I start from the decision that the number has to support, and then choose by the type of output.
#
# For **classification** I read everything off one confusion matrix. Accuracy alone hides a small class, so beside it
# I report balanced accuracy, the mean recall over the classes, and F1 *with its averaging named*: macro when every
# class matters equally, weighted when every sample does; micro-F1 is the accuracy again when each sample has one label.
# I avoid home-made names such as 'set classification rate': for several labels a sample the established metric is
# subset (exact-match) accuracy, for several classes it is balanced accuracy or macro-F1. Precision is
# TP / (TP + FP) and recall TP / (TP + FN), counted over the whole set and divided once, with 0/0 defined.
#
# If the model gives scores, I add threshold-free metrics: ROC-AUC, one-vs-rest for several classes, and, when
# positives are rare, average precision, because ROC-AUC looks optimistic there (Davis & Goadrich 2006; Saito &
# Rehmsmeier 2015). The threshold is chosen on validation data. If somebody acts on the probabilities, I check
# calibration too (Guo et al. 2017).
#
# For **multimodal outputs** other metrics apply: Recall@K in both directions and the median rank for retrieval,
# taking into account that an image has several captions; VQA accuracy against ten human answers (Antol et al. 2015);
# CIDEr, SPICE or CLIPScore for captions (Vedantam et al. 2015; Anderson et al. 2016; Hessel et al. 2021); suites such
# as MMMU, MMBench, DocVQA and MathVista for general vision-language models; CHAIR or POPE for objects that the model
# invents (Rohrbach et al. 2018; Li et al. 2023).
#
# Then I ask whether the model **uses both modalities**: I run it with the text alone and with images shuffled between
# samples. Many benchmark items can be answered without the image (Chen et al. 2024), and I check for training data that
# leaked into the benchmark.
#
# I report confidence intervals over samples and several seeds, compare with the model before fine-tuning, also on the
# abilities it had then, add latency and memory, and use the test set once, at the end."
#
# ### Rubric, 4 points
#
# Half a point where an item is only partly there, or where metrics are named without what they measure.
#
# - 1 point, predicted classes: accuracy misleads on unbalanced classes, balanced accuracy or macro-F1 beside it;
#   precision and recall defined rightly; the averaging (macro, micro, weighted) named with what each one weighs.
# - 1 point, scores and probabilities: average precision beside ROC-AUC when positives are rare; the threshold chosen on
#   validation data. One class against the rest, and calibration where somebody acts on the probabilities, are welcome.
# - 1 point, other outputs: Recall@K in both directions for retrieval; VQA accuracy or a caption metric (CIDEr, SPICE,
#   CLIPScore); a vision-language suite (MMMU, MMBench, ...) or a test for invented objects (CHAIR, POPE).
# - 1 point, trust: text alone or shuffled images, to see whether both modalities are used; intervals or several seeds,
#   the model before fine-tuning as comparison, one final test evaluation. Contamination is welcome here.
#
# An answer that names only accuracy, precision, recall, F1 and AUC, with no averaging and nothing multimodal, earns at
# most half a point.
#
# ### References of the model answer
#
# - Peter Anderson, Basura Fernando, Mark Johnson, Stephen Gould (2016). SPICE: Semantic Propositional Image Caption
#   Evaluation.
# - Stanislaw Antol, Aishwarya Agrawal, Jiasen Lu, et al. (2015). VQA: Visual Question Answering.
# - Lin Chen, Jinsong Li, Xiaoyi Dong, et al. (2024). Are We on the Right Way for Evaluating Large Vision-Language
#   Models?
# - Jesse Davis, Mark Goadrich (2006). The Relationship Between Precision-Recall and ROC Curves.
# - Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger (2017). On Calibration of Modern Neural Networks.
# - Jack Hessel, Ari Holtzman, Maxwell Forbes, Ronan Le Bras, Yejin Choi (2021). CLIPScore: A Reference-free Evaluation
#   Metric for Image Captioning.
# - Yifan Li, Yifan Du, Kun Zhou, Jinpeng Wang, Xin Zhao, Ji-Rong Wen (2023). Evaluating Object Hallucination in Large
#   Vision-Language Models (POPE).
# - Yuan Liu, Haodong Duan, Yuanhan Zhang, et al. (2024). MMBench: Is Your Multi-modal Model an All-around Player?
# - Pan Lu, Hritik Bansal, Tony Xia, et al. (2024). MathVista: Evaluating Mathematical Reasoning of Foundation Models in
#   Visual Contexts.
# - Minesh Mathew, Dimosthenis Karatzas, C. V. Jawahar (2021). DocVQA: A Dataset for VQA on Document Images.
# - Anna Rohrbach, Lisa Anne Hendricks, Kaylee Burns, Trevor Darrell, Kate Saenko (2018). Object Hallucination in Image
#   Captioning (CHAIR).
# - Takaya Saito, Marc Rehmsmeier (2015). The Precision-Recall Plot Is More Informative than the ROC Plot When
#   Evaluating Binary Classifiers on Imbalanced Datasets.
# - Ramakrishna Vedantam, C. Lawrence Zitnick, Devi Parikh (2015). CIDEr: Consensus-based image description evaluation.
# - Xiang Yue, Yuansheng Ni, Tianyu Zheng, et al. (2024). MMMU: A Massive Multi-discipline Multimodal Understanding and
#   Reasoning Benchmark for Expert AGI.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of the wrong ones are often published. The point of the exercise is the
# reason you could give for each. A claim is true if it holds for all data that it speaks of. Macro and micro averages
# are defined under "The code"; ROC-AUC is the area under the ROC curve (`metrics/ranking_curves`). All of them must be
# right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `constant_guess` | With 95 % of the samples in one class, accuracy 0.95 shows that the model learned something. |
# | `precision` | Precision is TP / (TP + TN), the share of true positives among the correct predictions. |
# | `micro_f1` | With one true and one predicted class for each sample, micro-F1 over all classes equals accuracy. |
# | `macro_f1` | The mean of the per-class F1 equals the harmonic mean of macro precision and macro recall. |
# | `batch_mean` | The mean of the precisions of equally large batches is the precision on the whole set. |
# | `roc_auc_rare` | With 1 positive in 1000, a ROC-AUC of 0.95 means that the top of the ranking is mostly positives. |
# | `roc_auc_classes` | ROC-AUC can be used for more than two classes, one class against the rest at a time. |
# | `no_images` | A model can score far above chance on a vision-language benchmark without seeing the images. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "constant_guess",
        "precision",
        "micro_f1",
        "macro_f1",
        "batch_mean",
        "roc_auc_rare",
        "roc_auc_classes",
        "no_images",
    ]
)
### BEGIN SOLUTION
claims.update(
    # Always answering the frequent class reaches 0.95 as well; its balanced accuracy is 1 / (number of classes).
    constant_guess=False,
    # The denominator is everything *called* positive, TP + FP; true negatives are in neither precision nor recall.
    precision=False,
    # Every mistake is one false positive (of the class given) and one false negative (of the class missed), so the
    # pooled 2TP / (2TP + FP + FN) is TP / N. With several labels a sample, or a class left out, the two differ.
    micro_f1=True,
    # Both are published as "macro F1"; the mean of the per-class values is never the larger one (Opitz & Burst 2019).
    macro_f1=False,
    # Batches of equal size still differ in how many samples they call positive, the denominator: add counts instead.
    batch_mean=False,
    # The false-positive rate divides by the many negatives: a rate of 1 % is ten false alarms for the one positive.
    roc_auc_rare=False,
    # Each class against the rest, then an average over the classes, which has to be named as it has for F1.
    roc_auc_classes=True,
    # Answers can be guessed from the question, or were in the training data (Chen et al. 2024): run it without images.
    no_images=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** count first, divide once. Every metric below is a ratio of entries of one confusion matrix, taken over
# the whole data set; what differs is only the denominator.
#
# ### `classification_metrics(y_true, y_pred, n_classes) -> dict`
#
# `y_true` and `y_pred` are `(N,)` lists or integer arrays (of any width: `uint8` labels are common) with labels from 0
# to `n_classes - 1`. With `C = n_classes`, the dictionary holds
#
# | key | value |
# |---|---|
# | `confusion` | array `(C, C)`, `int64`; row = true class, column = predicted class |
# | `precision`, `recall`, `f1` | arrays `(C,)`, `float64`, one value a class |
# | `accuracy` | share of correct predictions |
# | `balanced_accuracy` | mean recall over the classes that **occur in `y_true`** |
# | `macro_f1` | mean of `f1` over **all** `C` classes, even those that never occur |
# | `micro_f1` | F1 of the counts pooled over all classes |
# | `weighted_f1` | mean of `f1`, weighted by how often each class occurs in `y_true` |
#
# 0/0 counts as 0: a class that is never predicted has precision 0, one that never occurs has recall 0, and one that
# does neither has F1 0.
#
# ### `binary_report(y_true, prob, threshold=0.5, zero_division=0.0) -> dict`
#
# `y_true` holds 0 and 1 (integers, floats or booleans) and `prob` the probabilities of class 1; each may be a list, an
# array `(N,)` or a column `(N, 1)`, and the two need not have the same one of these shapes. A sample is called positive
# if its probability is **at least** `threshold`, compared in `float64`. The dictionary holds
#
# - `tp`, `fp`, `fn`, `tn`: the numbers of true positives (called positive, and rightly), false positives (called
#   positive, wrongly), false negatives (called negative, wrongly) and true negatives, as integers (`3`, not `3.0`);
# - `accuracy`, `precision`, `recall`, `f1`. Where precision or recall is 0/0, its value is `zero_division`. F1 is
#   `2TP / (2TP + FP + FN)`, and `zero_division` only if there is neither a positive label nor a positive prediction:
#   with mistakes and no hit, F1 is 0.
#
# ### Rules
#
# - **Bad input** raises `ValueError`: no samples, different lengths, other shapes than those named, a label outside the
#   classes (-1 and NaN included), a probability outside [0, 1] or NaN. A label that is not a whole number raises
#   `ValueError` (for `classification_metrics`, `TypeError` is as good).
# - **Your choice:** single numbers may be Python numbers or NumPy scalars (or arrays of shape `()`); further keys do no
#   harm; whether `classification_metrics` takes labels such as `1.0` is up to you.
# - **Not allowed:** `sklearn.metrics`.
#
# ### A worked example
#
# True classes `[0, 0, 0, 0, 1, 1, 2]`, predictions `[0, 0, 1, 1, 1, 0, 2]`, three classes:
#
# | true \ predicted | 0 | 1 | 2 | recall |
# |---|---|---|---|---|
# | **0** | 2 | 2 | 0 | 2/4 |
# | **1** | 1 | 1 | 0 | 1/2 |
# | **2** | 0 | 0 | 1 | 1/1 |
# | **precision** | 2/3 | 1/3 | 1/1 | |
#
# F1 is `[4/7, 2/5, 1]`. Accuracy and micro-F1 are 4/7 = 0.571, balanced accuracy is 2/3 = 0.667, macro-F1 0.657,
# weighted F1 0.584: one set of predictions, four different "overall" numbers.
#
# Labels `[1, 1, 1, 0, 0, 0, 0, 0]` with probabilities `[.9, .6, .2, .7, .55, .3, .1, .05]` at threshold 0.5 give TP 2,
# FP 2, FN 1, TN 3: accuracy 5/8, precision 2/4, recall 2/3, F1 4/7.


# %% tags=["solution"]
def classification_metrics(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> dict:
    """Confusion matrix of a multi-class classifier and the metrics that follow from it.

    Args:
        y_true: true classes, (N,), whole numbers from 0 to n_classes - 1.
        y_pred: predicted classes, (N,), likewise.
        n_classes: number of classes C.

    Returns:
        A dict with `confusion` (C, C) int64, rows = true class; `precision`, `recall`, `f1`, each (C,) float64;
        `accuracy`, `balanced_accuracy`, `macro_f1`, `micro_f1`, `weighted_f1`, each one number. 0/0 counts as 0.

    Raises:
        ValueError: no samples, lengths differ, not one-dimensional, or a label that is not one of the classes.

    Sources: Fawcett 2006 (precision, recall, F-measure); Opitz & Burst 2019 (the two macro F1).
    """
    ### BEGIN SOLUTION
    truth, predicted = np.asarray(y_true), np.asarray(y_pred)
    if truth.ndim != 1 or truth.shape != predicted.shape or truth.size == 0:
        raise ValueError(f"expected two non-empty arrays of one length, got shapes {truth.shape}, {predicted.shape}")
    for labels in (truth, predicted):
        if not ((labels >= 0) & (labels < n_classes) & (labels == np.floor(labels))).all():  # NaN fails as well
            raise ValueError(f"labels must be whole numbers from 0 to {n_classes - 1}")

    # one count for each pair (true class, predicted class)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (truth.astype(np.int64), predicted.astype(np.int64)), 1)

    correct = confusion.diagonal()  # (classes,)
    calls = confusion.sum(axis=0)  # how often each class was predicted, (classes,)
    support = confusion.sum(axis=1)  # how often each class occurs, (classes,)

    # where a denominator is 0, so is its numerator: dividing by 1 instead gives 0
    precision = correct / np.maximum(calls, 1)
    recall = correct / np.maximum(support, 1)
    # 2TP / (2TP + FP + FN): a class's calls are its TP + FP, its support is its TP + FN
    f1 = 2 * correct / np.maximum(calls + support, 1)

    return {
        "confusion": confusion,
        "accuracy": float(correct.sum() / confusion.sum()),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "macro_f1": float(f1.mean()),
        "micro_f1": float(2 * correct.sum() / (calls.sum() + support.sum())),  # pooled: the same formula on the sums
        "weighted_f1": float((f1 * support).sum() / support.sum()),
    }
    ### END SOLUTION


# %% tags=["solution"]
def binary_report(y_true: ArrayLike, prob: ArrayLike, threshold: float = 0.5, zero_division: float = 0.0) -> dict:
    """Counts, accuracy, precision, recall and F1 of a binary classifier at one threshold.

    Args:
        y_true: labels 0 and 1, (N,) or (N, 1).
        prob: probabilities of class 1, (N,) or (N, 1), in [0, 1]; compared with the threshold in float64.
        threshold: a sample is called positive if its probability is at least this.
        zero_division: value of precision and recall where they are 0/0, and of F1 where there is neither a positive
            label nor a positive prediction.

    Returns:
        A dict with `tp`, `fp`, `fn`, `tn` (int), `accuracy`, `precision`, `recall` and `f1` (float).

    Raises:
        ValueError: no samples, lengths differ, another shape, labels other than 0 and 1, probabilities outside [0, 1].

    Source: Fawcett 2006.
    """
    ### BEGIN SOLUTION
    labels, probability = np.asarray(y_true), np.asarray(prob, dtype=np.float64)
    for values in (labels, probability):
        if values.shape not in ((values.size,), (values.size, 1)):
            raise ValueError(f"expected shape (N,) or (N, 1), got {values.shape}")
    if labels.size != probability.size or labels.size == 0:
        raise ValueError(f"expected as many probabilities as labels, got {probability.size} and {labels.size}")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails both comparisons
        raise ValueError("probabilities must be in [0, 1]")

    # a column (N, 1) against a row (N,) would broadcast to all N x N pairs
    truth = labels.ravel() == 1  # (samples,)
    positive = probability.ravel() >= threshold  # (samples,)

    # count over the whole set first ...
    tp = int((truth & positive).sum())
    fp = int((~truth & positive).sum())
    fn = int((truth & ~positive).sum())
    tn = int((~truth & ~positive).sum())

    # ... then divide once
    precision = tp / (tp + fp) if tp + fp else float(zero_division)
    recall = tp / (tp + fn) if tp + fn else float(zero_division)
    f1 = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float(zero_division)
    accuracy = (tp + tn) / (tp + fp + fn + tn)
    return dict(accuracy=accuracy, precision=precision, recall=recall, f1=f1, tp=tp, fp=fp, fn=fn, tn=tn)
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# report = classification_metrics([0, 1, 2, 1, 0, 1, 1, 0], [0, 1, 1, 1, 2, 1, 0, 1], n_classes=3)
# assert np.array_equal(report["confusion"], [[1, 1, 1], [1, 3, 0], [0, 1, 0]]), report["confusion"]
# assert np.allclose(report["precision"], [1 / 2, 3 / 5, 0]), report["precision"]
# assert np.allclose(report["recall"], [1 / 3, 3 / 4, 0]), report["recall"]
# assert np.allclose(report["f1"], [2 / 5, 2 / 3, 0]), report["f1"]
# assert np.isclose(report["accuracy"], 1 / 2), report["accuracy"]
# assert np.isclose(report["balanced_accuracy"], 13 / 36), report["balanced_accuracy"]
# assert np.isclose(report["macro_f1"], 16 / 45), report["macro_f1"]
# assert np.isclose(report["micro_f1"], 1 / 2), report["micro_f1"]
# assert np.isclose(report["weighted_f1"], 29 / 60), report["weighted_f1"]
#
# report = binary_report([1, 0, 1, 1, 0, 0, 1], [0.75, 0.5, 0.25, 0.5, 0.125, 0.875, 0.625])
# assert [report[key] for key in ("tp", "fp", "fn", "tn")] == [3, 2, 1, 1], report
# assert np.isclose(report["accuracy"], 4 / 7), report["accuracy"]
# assert np.isclose(report["precision"], 3 / 5), report["precision"]
# assert np.isclose(report["recall"], 3 / 4), report["recall"]
# assert np.isclose(report["f1"], 2 / 3), report["f1"]

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# A mistake is one wrong sample. In how many cells of the confusion matrix is it counted, and for which two classes
# does it matter? What must the sum of all cells be, whatever the predictions are?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Precision asks about everything that was *called* a class, recall about everything that *is* that class. One is a
# sum over a column of the matrix, the other over a row. Averages over classes are taken last, and each one says which
# classes (all, or those present) and with which weights.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Check shapes and values. Make a matrix of zeros and add one for each pair (true, predicted). Take its diagonal, its
# column sums and its row sums; divide, with a denominator that cannot be 0; average. For the binary report make both
# inputs one-dimensional, turn each into booleans, count the four combinations over all samples, then divide.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# np.add.at(confusion, (truth, predicted), 1)  # adds for every pair; confusion[truth, predicted] += 1 would not
# ```
# </details>

# %% [markdown]
# ## References
#
# The works behind the interview answer are listed with the model answer.
#
# - Tom Fawcett (2006). An introduction to ROC analysis.
# - Juri Opitz, Sebastian Burst (2019). Macro F1 and Macro F1.
