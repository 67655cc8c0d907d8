"""Wrong answers and differently written correct solutions of metrics/ranking_curves."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
COUNTS = "test_counts_at_every_distinct_score"
POINTS = "test_roc_points_from_corner_to_corner"
AUC = "test_auc_is_the_share_of_ordered_pairs"
PRECISION = "test_average_precision_goes_in_steps"
BAD_INPUT = "test_bad_input_is_refused"
SIZE = "test_two_hundred_thousand_samples_in_time"

# the functions that build on threshold_counts and roc_points go on with those of the reference, so that a mistake in one
# function is recognised whether or not the others are written on top of it
OTHERS_AS_THEY_WERE = """
before = dict(globals())
for name in ("threshold_counts", "roc_points", "roc_auc", "average_precision"):
    globals()[name] = before[name] = type(before[name])(before[name].__code__, before)
"""

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="accuracy-at-one-half",
        title="the accuracy at threshold 0.5 in place of ROC-AUC",
        explanation=(
            "This is the share of right decisions at one threshold. It follows the frequent class, and it changes when "
            "all scores are doubled. ROC-AUC has no threshold: it only asks how often a positive is ranked above a "
            "negative. What happens to your number when every negative is copied?"
        ),
        caught_by=AUC,
        code="""
def roc_auc(y_true, scores):
    roc_points(y_true, scores)
    return float(((np.asarray(scores) >= 0.5) == np.asarray(y_true)).mean())
""",
    ),
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answers have them",
        explanation=(
            "Some claims follow statements that are in print and wrong. Compare a constant answer with a model that "
            "finds half of a rare class, and square all probabilities of a good model: which numbers change?"
        ),
        caught_by=CLAIMS,
        swap=(("higher_accuracy=False", "higher_accuracy=True"), ("auc_and_trust=False", "auc_and_trust=True")),
    ),
    WrongAnswer(
        id="curves-confused-in-the-claims",
        title="the precision-recall curve judged by the rules of the ROC curve",
        explanation=(
            "A random ranking lies on the diagonal of the ROC plot, and straight lines are right there. For precision "
            "and recall neither holds. Which precision does a random ranking have when one sample in a hundred is "
            "positive, and what does half of a group of tied samples look like?"
        ),
        caught_by=CLAIMS,
        swap=(("random_ranking=False", "random_ranking=True"), ("straight_lines=False", "straight_lines=True")),
    ),
    # ------------------------------------------------------------------------------------------------- the counts
    WrongAnswer(
        id="thresholded-first",
        title="scores cut to 0 and 1 at one half before anything is counted",
        explanation=(
            "Only one threshold is left when the scores become labels first. The ranking among the samples on either "
            "side is lost, and scores need not be probabilities at all. How many thresholds can tell your samples apart?"
        ),
        caught_by=COUNTS,
        swap=(("order = np.argsort(-values)", "values = (values >= 0.5) * 1.0\n    order = np.argsort(-values)"),),
    ),
    WrongAnswer(
        id="counts-by-sort-order",
        title="one threshold for each sample, tied or not",
        explanation=(
            "Tied samples enter one after the other, in whatever order the sort left them, so the counts change when "
            "the samples are shuffled. No threshold lies between two equal scores. Which of a group's counts can be "
            "reached by a threshold?"
        ),
        caught_by=COUNTS,
        code=OTHERS_AS_THEY_WERE
        + """
def threshold_counts(y_true, scores):
    before["threshold_counts"](y_true, scores)  # refuses bad input
    values = np.asarray(scores, dtype=float)
    order = np.argsort(-values, kind="stable")
    positive = np.asarray(y_true)[order] == 1
    return np.cumsum(positive), np.cumsum(~positive), values[order]
""",
    ),
    WrongAnswer(
        id="counts-strictly-above",
        title="samples counted that score above the threshold, without those at it",
        explanation=(
            "The counts stop short of the samples whose score is the threshold itself. The lowest threshold then leaves "
            "some out, and the curves never reach their end. Is a sample called positive when its score equals the "
            "threshold?"
        ),
        caught_by=COUNTS,
        code=OTHERS_AS_THEY_WERE
        + """
def threshold_counts(y_true, scores):
    tp, fp, thresholds = before["threshold_counts"](y_true, scores)
    return np.append(0, tp[:-1]), np.append(0, fp[:-1]), thresholds
""",
    ),
    WrongAnswer(
        id="ascending-counts",
        title="thresholds from the lowest score to the highest",
        explanation=(
            "The sort is ascending, so the samples that look least positive enter first, and the counts say how many "
            "score at most the threshold. At the highest threshold only the most positive-looking samples are called "
            "positive: with which score does the walk begin?"
        ),
        caught_by=COUNTS,
        swap=(("np.argsort(-values)", "np.argsort(values)"),),
    ),
    WrongAnswer(
        id="unsigned-scores-negated",
        title="unsigned scores negated for the sort",
        explanation=(
            "Negating an unsigned integer wraps around: minus 1 is 255 in uint8, and minus 0 stays 0, so the lowest "
            "score comes first. Which type should the scores have before the minus?"
        ),
        caught_by=COUNTS,
        swap=(
            (
                "values = np.asarray(y_true), np.asarray(scores, dtype=np.float64)",
                "values = np.asarray(y_true), np.asarray(scores)",
            ),
            ("return tp, fp, values[last_of_its_score]", "return tp, fp, values[last_of_its_score].astype(np.float64)"),
        ),
    ),
    WrongAnswer(
        id="nearly-equal-scores-tied",
        title="scores that are nearly equal treated as tied",
        explanation=(
            "A tolerance merges scores that a threshold can tell apart, and with large scores it merges many. Ranking "
            "needs only the order, and the order of floating-point numbers is exact: no tolerance is called for."
        ),
        caught_by=COUNTS,
        swap=(
            (
                "np.append(values[1:] != values[:-1], True)  #",
                "np.append(~np.isclose(values[1:], values[:-1]), True)  #",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------------- the ROC curve
    WrongAnswer(
        id="no-point-at-the-origin",
        title="a ROC curve that begins at the highest score",
        explanation=(
            "The point at which nothing is called positive is missing. If the highest score is shared by several "
            "samples, the area left of the first point is then lost. At which threshold is nothing called positive?"
        ),
        caught_by=POINTS,
        code=OTHERS_AS_THEY_WERE
        + """
def roc_points(y_true, scores):
    fpr, tpr, thresholds = before["roc_points"](y_true, scores)
    return fpr[1:], tpr[1:], thresholds[1:]
""",
    ),
    WrongAnswer(
        id="rates-swapped",
        title="true-positive and false-positive rate returned in the wrong order",
        explanation=(
            "The values are right, but the two arrays have changed places. The first is the horizontal axis of the ROC "
            "plot: which of the two rates stands there?"
        ),
        caught_by=POINTS,
        code=OTHERS_AS_THEY_WERE
        + """
def roc_points(y_true, scores):
    fpr, tpr, thresholds = before["roc_points"](y_true, scores)
    return tpr, fpr, thresholds
""",
    ),
    WrongAnswer(
        id="rates-of-the-whole-set",
        title="rates divided by the number of all samples",
        explanation=(
            "Both counts are divided by the number of samples, so the curve does not end at (1, 1) and depends on how "
            "rare the positives are. A false-positive rate is a share of the negatives: which count does the last "
            "threshold give you for each class?"
        ),
        caught_by=POINTS,
        swap=(
            ("np.append(0, fp) / fp[-1]", "np.append(0, fp) / (tp[-1] + fp[-1])"),
            ("np.append(0, tp) / tp[-1]", "np.append(0, tp) / (tp[-1] + fp[-1])"),
        ),
    ),
    WrongAnswer(
        id="points-on-lines-dropped",
        title="points dropped that lie on a straight line of the ROC curve",
        explanation=(
            "Leaving out the middle of three points in line, the default of a well-known library, keeps the picture "
            "and loses thresholds that somebody may want to choose. The task asks for one point for each distinct score."
        ),
        caught_by=POINTS,
        swap=(
            (
                "    return fpr, tpr, np.append(np.inf, thresholds)",
                "    corner = np.r_[True, (np.diff(fpr, 2) != 0) | (np.diff(tpr, 2) != 0), True]\n"
                "    return fpr[corner], tpr[corner], np.append(np.inf, thresholds)[corner]",
            ),
        ),
    ),
    # ----------------------------------------------------------------------------------------------------- ROC-AUC
    WrongAnswer(
        id="auc-of-hard-labels",
        title="ROC-AUC of predictions that were cut to 0 and 1 first",
        explanation=(
            "The area is right, but the scores were turned into labels before. What is left is the balanced accuracy at "
            "that cut. Pass the scores themselves: which pairs can hard labels no longer tell apart?"
        ),
        caught_by=AUC,
        swap=(
            (
                "fpr, tpr, _ = roc_points(y_true, scores)",
                "roc_points(y_true, scores)\n    fpr, tpr, _ = roc_points(y_true, np.asarray(scores) >= 0.5)",
            ),
        ),
    ),
    WrongAnswer(
        id="one-minus-the-area",
        title="one minus the ROC-AUC: the ranking from the wrong end",
        explanation=(
            "The samples are ranked from the lowest score on, so a perfect model gets 0. Test with one positive scored "
            "above one negative: the answer must be 1."
        ),
        caught_by=AUC,
        swap=(("np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2)", "np.sum(np.diff(tpr) * (fpr[1:] + fpr[:-1]) / 2)"),),
    ),
    WrongAnswer(
        id="ties-count-zero",
        title="tied pairs counted as lost",
        explanation=(
            "Each step of the curve is summed with its lower end, so a positive and a negative with one score count as "
            "a wrong pair. A model that gives everybody the same score then gets 0, although it ranks nobody wrongly. "
            "What should it get?"
        ),
        caught_by=AUC,
        swap=(("(tpr[1:] + tpr[:-1]) / 2", "tpr[:-1]"),),
    ),
    WrongAnswer(
        id="ties-count-one",
        title="tied pairs counted as won",
        explanation=(
            "Each step of the curve is summed with its upper end, so a positive and a negative with one score count as "
            "a right pair. A model that gives everybody the same score is then perfect. What should it get?"
        ),
        caught_by=AUC,
        swap=(("(tpr[1:] + tpr[:-1]) / 2", "tpr[1:]"),),
    ),
    WrongAnswer(
        id="auc-by-sort-order",
        title="tied samples ranked in the order in which they came",
        explanation=(
            "The sum of ranks is a good way to ROC-AUC, but sorting gives tied samples different ranks, by their place "
            "in the input. Reverse the input and the result changes. Which rank is fair to each member of a tied group?"
        ),
        caught_by=AUC,
        code="""
def roc_auc(y_true, scores):
    roc_points(y_true, scores)
    labels = np.asarray(y_true) == 1
    rank = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1
    p, n = labels.sum(), (~labels).sum()
    return float((rank[labels].sum() - p * (p + 1) / 2) / (p * n))
""",
    ),
    # -------------------------------------------------------------------------------------------- average precision
    WrongAnswer(
        id="trapezoidal-average-precision",
        title="the area under straight lines between the points of the precision-recall curve",
        explanation=(
            "The trapezoidal rule averages the precisions at both ends of a step. Between two thresholds precision does "
            "not follow a straight line, and the area comes out too large (Davis & Goadrich 2006). Which one of the two "
            "precisions belongs to the gain in recall?"
        ),
        caught_by=PRECISION,
        swap=(
            (
                "np.sum(gain_in_recall * precision)",
                "np.sum(gain_in_recall * (precision + np.append(1.0, precision[:-1])) / 2)",
            ),
        ),
    ),
    WrongAnswer(
        id="average-precision-by-sort-order",
        title="average precision with tied samples taken one by one",
        explanation=(
            "Precision is taken at each positive in sorted order, also within a group of equal scores. The result then "
            "depends on which of the tied samples the sort put first. No threshold cuts through a group: at which "
            "samples is the precision one that a threshold reaches?"
        ),
        caught_by=PRECISION,
        code="""
def average_precision(y_true, scores):
    if threshold_counts(y_true, scores)[0][-1] == 0:
        raise ValueError("no positive")
    hits = np.asarray(y_true)[np.argsort(-np.asarray(scores, dtype=float), kind="stable")] == 1
    precision = np.cumsum(hits) / np.arange(1, hits.size + 1)
    return float(precision[hits].mean())
""",
    ),
    WrongAnswer(
        id="mean-of-all-precisions",
        title="the plain mean of the precisions at all thresholds",
        explanation=(
            "Every threshold counts alike, also those at which only negatives enter. Average precision weights each "
            "precision with the recall that is gained there. What is the weight of a threshold that adds no positive?"
        ),
        caught_by=PRECISION,
        swap=(("np.sum(gain_in_recall * precision)", "np.mean(precision)"),),
    ),
    # ------------------------------------------------------------------------------------------ bad input and size
    WrongAnswer(
        id="nan-sorted-along",
        title="scores that are NaN sorted along with the others",
        explanation=(
            "A NaN is neither above nor below any score; sorting puts it at one end, and a number comes out that means "
            "nothing. A diverged model should be noticed, so the task asks for a ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not np.isfinite(values).all():", "if np.isinf(values).any():"),),
    ),
    WrongAnswer(
        id="infinite-scores-taken",
        title="infinite scores accepted",
        explanation=(
            "Infinite scores can be sorted, but they are the sign of an overflow, and infinity is the threshold of the "
            "first ROC point, where nothing is called positive. The task asks for a ValueError. Asking whether all "
            "scores are finite refuses NaN as well."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not np.isfinite(values).all():", "if np.isnan(values).any():"),),
    ),
    WrongAnswer(
        id="one-class-gives-nan",
        title="a ROC curve of NaN when only one class is present",
        explanation=(
            "Without a positive or without a negative there is no pair to compare, and 0/0 comes out as NaN. A NaN in a "
            "report is easily averaged into the next one. Which two counts must not be 0?"
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '    if tp[-1] == 0 or fp[-1] == 0:\n        raise ValueError("a ROC curve needs at least one positive '
                'and one negative")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="auc-of-one-class",
        title="a ROC-AUC of NaN when only one class is present",
        explanation=(
            "`roc_points` refuses a single class, but `roc_auc` divides by the number of pairs without asking whether "
            "there are any, and 0/0 comes out as NaN. Which two counts must not be 0?"
        ),
        caught_by=BAD_INPUT,
        code="""
def roc_auc(y_true, scores):
    tp, fp, _ = threshold_counts(y_true, scores)
    widths, heights = np.diff(fp, prepend=0), tp - np.diff(tp, prepend=0) / 2
    with np.errstate(invalid="ignore"):
        return float((widths * heights).sum() / (tp[-1] * fp[-1]))
""",
    ),
    WrongAnswer(
        id="no-positive-gives-nan",
        title="average precision NaN when there is no positive",
        explanation=(
            "Recall is a share of the positives; without any it is 0/0, and NaN comes out. A NaN in a report is easily "
            "averaged into the next one. Which count must not be 0?"
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '    if tp[-1] == 0:\n        raise ValueError("average precision needs at least one positive")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="no-positive-gives-zero",
        title="average precision 0 when there is no positive",
        explanation=(
            "Without a positive there is no recall, and 0 looks like the worst possible ranking. It is no ranking at "
            "all: the task asks for a ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(('        raise ValueError("average precision needs at least one positive")', "        return 0.0"),),
    ),
    WrongAnswer(
        id="all-pairs",
        title="every positive compared with every negative",
        explanation=(
            "The result is right on small inputs, and the table of all pairs grows with the square of their number: "
            "with 200 000 samples it has billions of entries. After one sort, how many negatives lie below a positive "
            "can be read off a running count."
        ),
        caught_by=SIZE,
        code="""
def roc_auc(y_true, scores):
    roc_points(y_true, scores)
    labels, scores = np.asarray(y_true), np.asarray(scores, dtype=float)
    positive, negative = scores[labels == 1][:, None], scores[labels == 0]
    return float(np.mean(positive > negative) + np.mean(positive == negative) / 2)
""",
    ),
]

alternatives = [
    Alternative(
        id="unique-and-bincount",
        title="distinct scores from np.unique, counts of each from np.bincount",
        code="""
def threshold_counts(y_true, scores):
    y_true, scores = np.array(y_true), np.array(scores).astype(float)
    if y_true.ndim != 1 or scores.ndim != 1 or len(y_true) != len(scores) or len(scores) == 0:
        raise ValueError("shapes")
    if not np.isin(y_true, [0, 1]).all() or not np.isfinite(scores).all():
        raise ValueError("values")
    distinct, which = np.unique(scores, return_inverse=True)
    positives = np.bincount(which, weights=y_true == 1, minlength=distinct.size).astype(int)
    everybody = np.bincount(which, minlength=distinct.size)
    tp = positives[::-1].cumsum()
    return tp, everybody[::-1].cumsum() - tp, distinct[::-1]


def average_precision(y_true, scores):
    tp, fp, _ = threshold_counts(y_true, scores)
    if not tp.any():
        raise ValueError("no positive")
    return np.diff(tp / tp[-1], prepend=0.0) @ (tp / (tp + fp))


def roc_auc(y_true, scores):
    fpr, tpr, _ = roc_points(y_true, scores)
    return np.trapezoid(tpr, fpr)
""",
    ),
    Alternative(
        id="walk-in-plain-python",
        title="one walk over the sorted samples in plain Python",
        code="""
def threshold_counts(y_true, scores):
    from itertools import groupby
    from math import isfinite

    if np.ndim(y_true) != 1 or np.ndim(scores) != 1 or len(y_true) != len(scores) or not len(y_true):
        raise ValueError("shapes")
    labels, numbers = np.asarray(y_true).tolist(), np.asarray(scores, dtype=np.float64).tolist()
    if not all(label in (0, 1) for label in labels) or not all(map(isfinite, numbers)):
        raise ValueError("values")
    tp, fp, thresholds, hits, seen = [], [], [], 0, 0
    ranking = sorted(zip(numbers, labels), reverse=True)
    for score, group in groupby(ranking, key=lambda sample: sample[0]):
        for _, label in group:
            hits += bool(label)
            seen += 1
        tp.append(hits)
        fp.append(seen - hits)
        thresholds.append(score)
    return [np.array(tp), np.array(fp), np.array(thresholds)]


def roc_points(y_true, scores):
    tp, fp, thresholds = threshold_counts(y_true, scores)
    positives, negatives = int(tp[-1]), int(fp[-1])
    if not positives * negatives:
        raise ValueError("one class")
    fpr = np.array([0.0, *(count / negatives for count in fp.tolist())])
    tpr = np.array([0.0, *(count / positives for count in tp.tolist())])
    return fpr, tpr, np.array([float("inf"), *thresholds])


def roc_auc(y_true, scores):
    tp, fp, _ = threshold_counts(y_true, scores)
    if not tp[-1] or not fp[-1]:
        raise ValueError("one class")
    area, above, left = 0.0, 0, 0
    for hits, alarms in zip(tp.tolist(), fp.tolist()):
        area += (alarms - left) * (above + hits) / 2
        above, left = hits, alarms
    return area / (above * left)


def average_precision(y_true, scores):
    tp, fp, _ = threshold_counts(y_true, scores)
    total = before = 0
    for hits, alarms in zip(tp.tolist(), fp.tolist()):
        total += (hits - before) * hits / (hits + alarms)
        before = hits
    if not before:
        raise ValueError("no positive")
    return total / before
""",
    ),
    Alternative(
        id="searched-positions",
        title="counts by searching each score among the sorted scores of a class",
        code="""
def checked(y_true, scores):
    y_true, scores = np.asarray(y_true), np.asarray(scores, dtype="float64")
    if y_true.shape != scores.shape or scores.ndim != 1 or scores.size < 1:
        raise ValueError("shapes")
    if (y_true != 0)[y_true != 1].any() or (scores - scores).any() or np.isnan(scores - scores).any():
        raise ValueError("values")
    return np.sort(scores[y_true == 1]), np.sort(scores[y_true == 0])


def threshold_counts(y_true, scores):
    positive, negative = checked(y_true, scores)
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    tp = positive.size - np.searchsorted(positive, thresholds, side="left")
    fp = negative.size - np.searchsorted(negative, thresholds, side="left")
    return tp, fp, thresholds


def roc_auc(y_true, scores):
    positive, negative = checked(y_true, scores)
    if positive.size == 0 or negative.size == 0:
        raise ValueError("one class")
    below = np.searchsorted(negative, positive, side="left")
    not_above = np.searchsorted(negative, positive, side="right")
    return (below + not_above).mean() / (2 * negative.size)


def average_precision(y_true, scores):
    positive, negative = checked(y_true, scores)
    if positive.size == 0:
        raise ValueError("no positive")
    hits = positive.size - np.searchsorted(positive, positive, side="left")
    alarms = negative.size - np.searchsorted(negative, positive, side="left")
    return np.mean(hits / (hits + alarms))
""",
    ),
]
