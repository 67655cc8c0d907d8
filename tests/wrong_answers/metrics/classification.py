"""Wrong answers and differently written correct solutions of metrics/classification."""

from grader.catalogue import Alternative, WrongAnswer

FREQUENT_CLASS = "test_always_answering_the_frequent_class_is_not_rewarded"
COUNTING = "test_multiclass_report_equals_counting_sample_by_sample"
UNUSED_CLASSES = "test_classes_that_do_not_occur_count_as_promised"
WHOLE_SET = "test_binary_report_counts_over_the_whole_set"
THRESHOLD = "test_threshold_and_zero_division"
BAD_INPUT = "test_bad_input_is_refused"
CLAIMS = "test_claims"

# Not in the list: comparing float32 probabilities with the threshold in float32. It differs only for a probability that
# rounds across the threshold; the checks use multiples of 1/64, which float32 holds exactly (errata, D-T16).

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="accuracy-for-everything",
        title="one overall accuracy, given for every average",
        explanation=(
            "Balanced accuracy, macro-F1 and weighted F1 all come out as the overall accuracy. On unbalanced classes "
            "that number is decided by the frequent class alone: always answering it scores well. Which of these "
            "numbers should fall when a rare class is never found, and which row of the confusion matrix shows it?"
        ),
        caught_by=FREQUENT_CLASS,
        swap=(
            ("float(recall[support > 0].mean())", "float(correct.sum() / confusion.sum())"),
            ("float(f1.mean())", "float(correct.sum() / confusion.sum())"),
            ("float((f1 * support).sum() / support.sum())", "float(correct.sum() / confusion.sum())"),
        ),
    ),
    WrongAnswer(
        id="correct-predictions-as-denominator",
        title="precision as the share of true positives among the correct predictions",
        explanation=(
            "Precision is divided by TP + TN, the number of correct predictions, so it falls when more negatives are "
            "recognised and ignores false alarms. Precision answers: of the samples that were *called* positive, how "
            "many are? Which two of the four counts make up the samples called positive?"
        ),
        caught_by=WHOLE_SET,
        swap=(("precision = tp / (tp + fp) if tp + fp else", "precision = tp / (tp + tn) if tp + tn else"),),
    ),
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answers have them",
        explanation=(
            "Some claims follow statements that are in print and wrong. Try each on numbers: a constant answer on "
            "unbalanced labels for the accuracy, four samples with two errors of different kinds for the precision."
        ),
        caught_by=CLAIMS,
        swap=(("constant_guess=False", "constant_guess=True"), ("    precision=False", "    precision=True")),
    ),
    # ------------------------------------------------------------------------------- several classes: the averages
    WrongAnswer(
        id="macro-f1-of-averages",
        title="macro-F1 as the harmonic mean of macro precision and macro recall",
        explanation=(
            "Precision and recall are averaged over the classes first and combined afterwards. A class with high "
            "precision and another with high recall then lift each other, although neither has a good F1. The order of "
            "the two steps matters: what does macro-F1 average?"
        ),
        caught_by=COUNTING,
        swap=(
            (
                "float(f1.mean())",
                "float(2 * precision.mean() * recall.mean() / max(precision.mean() + recall.mean(), 1e-300))",
            ),
        ),
    ),
    WrongAnswer(
        id="transposed-confusion",
        title="the transposed confusion matrix, with precision and recall swapped",
        explanation=(
            "Rows and columns of the confusion matrix have changed places, and with them precision and recall. F1 and "
            "accuracy do not notice, since they treat both alike. Take one sample of class 0 that is predicted as 1: "
            "in which row does it belong?"
        ),
        caught_by=COUNTING,
        swap=(
            (
                "(truth.astype(np.int64), predicted.astype(np.int64))",
                "(predicted.astype(np.int64), truth.astype(np.int64))",
            ),
        ),
    ),
    WrongAnswer(
        id="repeated-pairs-counted-once",
        title="a pair (true, predicted) that occurs several times counted once",
        explanation=(
            "confusion[y_true, y_pred] += 1 with whole arrays as index reads all cells first, adds one, and writes them "
            "back, so ten samples in one cell leave a 1 there. What should the sum of the matrix be, and what is it?"
        ),
        caught_by=COUNTING,
        swap=(
            (
                "np.add.at(confusion, (truth.astype(np.int64), predicted.astype(np.int64)), 1)",
                "confusion[truth.astype(np.int64), predicted.astype(np.int64)] += 1",
            ),
        ),
    ),
    WrongAnswer(
        id="micro-f1-weighted-by-support",
        title="micro-F1 as the mean of the per-class F1 weighted by support",
        explanation=(
            "That is the weighted F1. Micro does not average F1 values at all: it adds the true positives, false "
            "positives and false negatives of all classes, and takes one F1 of the sums. With one label a sample, "
            "which simpler metric must it equal?"
        ),
        caught_by=COUNTING,
        swap=(
            ("float(2 * correct.sum() / (calls.sum() + support.sum()))", "float((f1 * support).sum() / truth.size)"),
        ),
    ),
    WrongAnswer(
        id="pairs-coded-in-uint8",
        title="pairs of classes coded as n_classes * true + predicted in the labels' own 8 bits",
        explanation=(
            "Counting the numbers n_classes * true + predicted is a good way to a confusion matrix, but arithmetic on "
            "uint8 labels stays uint8 and wraps around at 256 without a word. From 17 classes on, counts land in the "
            "wrong cells. Which type should the labels have before the multiplication?"
        ),
        caught_by=COUNTING,
        swap=(
            (
                "np.add.at(confusion, (truth.astype(np.int64), predicted.astype(np.int64)), 1)",
                "pairs = (truth * n_classes + predicted).astype(np.int64)\n"
                "    confusion += np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)",
            ),
        ),
    ),
    WrongAnswer(
        id="confusion-of-floats",
        title="a confusion matrix of floating-point numbers",
        explanation=(
            "The values are right, the type is not: numpy.zeros makes float64 unless told otherwise. Counts are whole "
            "numbers; the task asks for int64."
        ),
        caught_by=FREQUENT_CLASS,
        swap=(("dtype=np.int64)\n    np.add", "dtype=np.float64)\n    np.add"),),
    ),
    WrongAnswer(
        id="f1-of-no-hits-is-nan",
        title="F1 left as NaN where precision and recall are both 0",
        explanation=(
            "Precision and recall are safe, but their harmonic mean divides by their sum, which is 0 for a class "
            "without a hit. The NaN then spreads into macro-F1 and weighted F1. Written in counts, F1 has a "
            "denominator that is 0 in one case only: which?"
        ),
        caught_by=FREQUENT_CLASS,
        swap=(
            (
                "f1 = 2 * correct / np.maximum(calls + support, 1)",
                'with np.errstate(invalid="ignore"):\n        f1 = 2 * precision * recall / (precision + recall)',
            ),
        ),
    ),
    # --------------------------------------------------------------------------- several classes: the unused classes
    WrongAnswer(
        id="nan-for-unused-classes",
        title="0/0 left as NaN",
        explanation=(
            "A class that is never predicted, or never occurs, divides 0 by 0. The NaN then spreads into every average "
            "over the classes. What should the denominator be where the count is 0, so that the result is 0?"
        ),
        caught_by=UNUSED_CLASSES,
        swap=(
            ("np.maximum(calls, 1)", "calls"),
            ("np.maximum(support, 1)", "support"),
            ("np.maximum(calls + support, 1)", "(calls + support)"),
        ),
    ),
    WrongAnswer(
        id="matrix-of-the-labels-seen",
        title="a confusion matrix only as large as the highest label in the data",
        explanation=(
            "The size of the matrix is taken from the labels that happen to occur, so two test sets of one task give "
            "matrices of different sizes, and macro-F1 forgets the classes above the highest one. Which argument says "
            "how many classes there are?"
        ),
        caught_by=UNUSED_CLASSES,
        swap=(
            (
                "confusion = np.zeros(",
                "n_classes = int(max(truth.max(), predicted.max())) + 1\n    confusion = np.zeros(",
            ),
        ),
    ),
    WrongAnswer(
        id="absent-classes-dropped",
        title="macro-F1 over the classes that occur in y_true only",
        explanation=(
            "Classes without a sample are left out of macro-F1. Two test sets with different classes then have "
            "different denominators, and false alarms for an absent class cost less. The task fixes the number of "
            "classes: how many values does the mean of `f1` have?"
        ),
        caught_by=UNUSED_CLASSES,
        swap=(("float(f1.mean())", "float(f1[support > 0].mean())"),),
    ),
    WrongAnswer(
        id="classes-never-seen-dropped",
        title="macro-F1 over the classes that occur in y_true or y_pred",
        explanation=(
            "This is the default of a well-known library when it is not told the list of labels: classes that appear "
            "nowhere are left out of the mean. Here the mean is over all n_classes, so that a model's score does not "
            "change when it stops predicting a class."
        ),
        caught_by=UNUSED_CLASSES,
        swap=(("float(f1.mean())", "float(f1[calls + support > 0].mean())"),),
    ),
    WrongAnswer(
        id="balanced-over-all-classes",
        title="balanced accuracy over all classes, also those without a sample",
        explanation=(
            "A class without a sample has no recall; its 0 only stands in for 0/0. Counted in balanced accuracy, it "
            "lowers the score of a perfect model. Over which classes is the mean of the recalls taken?"
        ),
        caught_by=UNUSED_CLASSES,
        swap=(("recall[support > 0].mean()", "recall.mean()"),),
    ),
    # ----------------------------------------------------------------------------------------- the binary report
    WrongAnswer(
        id="false-positives-and-negatives-swapped",
        title="false positives and false negatives swapped in the binary report",
        explanation=(
            "The second word says what the sample was called, the first whether that was right. A false positive was "
            "*called* positive although its label is 0. With the two swapped, precision and recall change places too."
        ),
        caught_by=WHOLE_SET,
        swap=(
            ("fp = int((~truth & positive).sum())", "fp = int((truth & ~positive).sum())"),
            ("fn = int((truth & ~positive).sum())", "fn = int((~truth & positive).sum())"),
        ),
    ),
    WrongAnswer(
        id="counts-as-floats",
        title="counts given as floating-point numbers",
        explanation=(
            "The values are right, the type is not: sums of labels that were turned into floats are floats. Counts are "
            "whole numbers; the task asks for integers."
        ),
        caught_by=WHOLE_SET,
        swap=(
            (
                "recall=recall, f1=f1, tp=tp, fp=fp, fn=fn, tn=tn)",
                "recall=recall, f1=f1, tp=float(tp), fp=float(fp), fn=float(fn), tn=float(tn))",
            ),
        ),
    ),
    WrongAnswer(
        id="ratios-per-row",
        title="precision and recall taken in each row and averaged",
        explanation=(
            "Each sample gets a precision and a recall of its own, 0 or 1 (or 0/0), and these are averaged. The "
            "average divides by the number of samples, so even a perfect model gets the share of positives. Count over "
            "the whole set first; how many divisions are left then?"
        ),
        caught_by=WHOLE_SET,
        swap=(
            (
                "precision = tp / (tp + fp) if tp + fp else float(zero_division)",
                "precision = float(np.where(positive, truth, zero_division).mean())",
            ),
            (
                "recall = tp / (tp + fn) if tp + fn else float(zero_division)",
                "recall = float(np.where(truth, positive, zero_division).mean())",
            ),
        ),
    ),
    WrongAnswer(
        id="column-against-row",
        title="a column of labels compared with a row of probabilities",
        explanation=(
            "An (N, 1) array and an (N,) array broadcast to (N, N): every label meets every probability, and the "
            "counts add up to N squared. What must be true of tp + fp + fn + tn, and which step before the comparison "
            "makes it so?"
        ),
        caught_by=WHOLE_SET,
        swap=(("labels.ravel() == 1", "labels == 1"), ("probability.ravel() >=", "probability >=")),
    ),
    WrongAnswer(
        id="binary-precision-and-recall-swapped",
        title="precision and recall swapped in the binary report",
        explanation=(
            "Precision is divided by TP + FN and recall by TP + FP. A false positive is a false alarm: it is among "
            "the samples called positive, so it lowers precision and leaves recall alone."
        ),
        caught_by=WHOLE_SET,
        swap=(
            ("precision = tp / (tp + fp) if tp + fp else", "precision = tp / (tp + fn) if tp + fn else"),
            ("recall = tp / (tp + fn) if tp + fn else", "recall = tp / (tp + fp) if tp + fp else"),
        ),
    ),
    WrongAnswer(
        id="arithmetic-mean-f1",
        title="F1 as the arithmetic mean of precision and recall",
        explanation=(
            "With the arithmetic mean, calling everything positive already gives at least 0.5. F1 uses another mean, "
            "one that stays near the smaller of the two numbers. Which one, and how does it read in counts?"
        ),
        caught_by=WHOLE_SET,
        swap=(("2 * tp / (2 * tp + fp + fn) if", "(precision + recall) / 2 if"),),
    ),
    WrongAnswer(
        id="strictly-above-the-threshold",
        title="positive only above the threshold, not at it",
        explanation=(
            "A probability equal to the threshold is called negative here. The task calls it positive; look at the "
            "comparison. Values such as 0.5 do occur, whenever two logits are equal."
        ),
        caught_by=THRESHOLD,
        swap=((">= threshold", "> threshold"),),
    ),
    WrongAnswer(
        id="rounded-probabilities",
        title="probabilities rounded to 0 or 1, whatever the threshold is",
        explanation=(
            "Rounding fixes the threshold at 0.5, so the argument has no effect; and NumPy rounds 0.5 itself to the "
            "even neighbour, 0. Compare the probabilities with the threshold instead."
        ),
        caught_by=THRESHOLD,
        swap=(("probability.ravel() >= threshold", "np.round(probability.ravel()) == 1"),),
    ),
    WrongAnswer(
        id="zero-division-ignored",
        title="0/0 always counted as 0, whatever zero_division says",
        explanation=(
            "The argument `zero_division` has no effect in your report. Where precision or recall is 0/0, the caller "
            "chooses the value; 0 is only the default."
        ),
        caught_by=THRESHOLD,
        swap=(("precision = tp / (tp + fp) if", "zero_division = 0.0\n    precision = tp / (tp + fp) if"),),
    ),
    WrongAnswer(
        id="nan-on-zero-division",
        title="0/0 left as NaN in the binary report",
        explanation=(
            "Without a positive prediction precision is 0/0, without a positive label recall is, and the NaN goes on "
            "into F1. The caller says with `zero_division` what such a ratio should be: test each denominator."
        ),
        caught_by=THRESHOLD,
        swap=(
            ("if tp + fp else float(zero_division)", 'if tp + fp else float("nan")'),
            ("if tp + fn else float(zero_division)", 'if tp + fn else float("nan")'),
            (
                "2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float(zero_division)",
                '2 * precision * recall / (precision + recall) if precision + recall else float("nan")',
            ),
        ),
    ),
    WrongAnswer(
        id="f1-without-hits",
        title="F1 set to zero_division whenever precision and recall are both 0",
        explanation=(
            "With mistakes and no true positive, precision and recall are both 0 and their harmonic mean looks like "
            "0/0. It is not: in counts, F1 has 2TP + FP + FN below, which is 0 only if there is neither a positive "
            "label nor a positive prediction. With zero_division=1 a model that is always wrong would get F1 = 1."
        ),
        caught_by=THRESHOLD,
        swap=(
            (
                "2 * tp / (2 * tp + fp + fn) if tp + fp + fn else",
                "2 * precision * recall / (precision + recall) if precision + recall else",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="negative-labels-wrap-around",
        title="a label of -1 counted for the last class",
        explanation=(
            "A negative index counts from the end, so the label -1, a usual mark for 'no label', lands in the last "
            "row or column without an error. Check both ends of the range before counting."
        ),
        caught_by=BAD_INPUT,
        swap=(("(labels >= 0) & (labels < n_classes)", "(labels >= -n_classes) & (labels < n_classes)"),),
    ),
    WrongAnswer(
        id="one-probability-for-all-labels",
        title="lengths not compared, so one probability serves for all labels",
        explanation=(
            "An array of one element broadcasts against any other, and the report comes out as if that probability had "
            "been predicted for each sample. Compare the lengths before comparing the values."
        ),
        caught_by=BAD_INPUT,
        swap=(("labels.size != probability.size or labels.size == 0", "labels.size == 0 or probability.size == 0"),),
    ),
    WrongAnswer(
        id="nan-probability-slips-through",
        title="NaN accepted as a probability",
        explanation=(
            "Every comparison with NaN is false, so asking whether a value is below 0 or above 1 never finds it, and "
            "it counts as a confident negative. Ask the other way round: is every value inside the range?"
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if not ((probability >= 0) & (probability <= 1)).all():",
                "if ((probability < 0) | (probability > 1)).any():",
            ),
        ),
    ),
    WrongAnswer(
        id="averages-confused-in-the-claims",
        title="macro-F1 and micro-F1 taken for each other in the claims",
        explanation=(
            "Of the two claims on averaged F1, one is an identity and one is a common confusion. Work out both on "
            "three samples of two classes with one mistake."
        ),
        caught_by=CLAIMS,
        swap=(("micro_f1=True", "micro_f1=False"), ("macro_f1=False", "macro_f1=True")),
    ),
]

equivalent_mutants = {
    "1 -> 2 in `f1 = 2 * correct / np.maximum(calls + support, 1)`": (
        "where calls + support is 0 or 1 there is no correct prediction, so 0 is divided, by 1 or by 2"
    ),
}

alternatives = [
    Alternative(
        id="one-hot-product",
        title="the confusion matrix as a product of one-hot matrices, NumPy scalars in the result",
        code="""
def _one_hot(values, n_classes):
    values = np.asarray(values)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError("expected a non-empty one-dimensional array")
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError("labels must be integers")
    if values.min() < 0 or values.max() >= n_classes:
        raise ValueError("label outside the classes")
    return np.arange(n_classes) == values[:, None]  # (samples, classes)


def _safe(top, bottom):
    return np.divide(top, bottom, out=np.zeros(len(top)), where=bottom != 0)


def classification_metrics(y_true, y_pred, n_classes):
    true, pred = _one_hot(y_true, n_classes), _one_hot(y_pred, n_classes)
    if true.shape != pred.shape:
        raise ValueError("lengths differ")
    confusion = true.astype(np.int64).T @ pred.astype(np.int64)
    tp = np.trace(confusion)
    diagonal = np.diag(confusion)
    precision, recall = _safe(diagonal, pred.sum(0)), _safe(diagonal, true.sum(0))
    f1 = _safe(2 * precision * recall, precision + recall)
    return {
        "confusion": confusion,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "accuracy": tp / len(true),
        "balanced_accuracy": recall[true.any(0)].mean(),
        "macro_f1": np.mean(f1),
        "micro_f1": tp / len(true),
        "weighted_f1": np.average(f1, weights=true.sum(0)),
    }


def binary_report(y_true, prob, threshold=0.5, zero_division=0.0):
    y, p = np.atleast_1d(np.array(y_true, float)), np.atleast_1d(np.array(prob, float))
    if any(a.ndim > 2 or (a.ndim == 2 and a.shape[1] != 1) for a in (y, p)):
        raise ValueError("shape")
    y, p = y.ravel(), p.ravel()
    if len(y) != len(p) or not len(y) or set(np.unique(y)) - {0.0, 1.0}:
        raise ValueError("labels")
    if np.isnan(p).any() or p.min() < 0 or p.max() > 1:
        raise ValueError("probabilities")
    called = (p >= threshold).astype(float)
    tp = y @ called
    fp, fn, tn = (1 - y) @ called, y @ (1 - called), (1 - y) @ (1 - called)
    with np.errstate(invalid="ignore"):
        ratios = np.array([tp, tp, 2 * tp]) / np.array([tp + fp, tp + fn, 2 * tp + fp + fn])
    precision, recall, f1 = np.where(np.isnan(ratios), zero_division, ratios)
    counts = {name: np.int64(value) for name, value in dict(tp=tp, fp=fp, fn=fn, tn=tn).items()}
    return {"precision": precision, "recall": recall, "f1": f1, "accuracy": np.mean(y == called), **counts}
""",
    ),
    Alternative(
        id="plain-loops",
        title="plain Python loops and a Counter",
        code="""
def classification_metrics(y_true, y_pred, n_classes):
    from collections import Counter

    def whole(values):
        plain = [float(v) for v in values]  # a nested row is a TypeError of float
        if any(v not in range(n_classes) for v in plain):
            raise ValueError("label outside the classes")
        return [int(v) for v in plain]

    if np.ndim(y_true) != 1 or np.ndim(y_pred) != 1 or len(y_true) != len(y_pred) or len(y_true) == 0:
        raise ValueError("expected two lists of one length")
    pairs = Counter(zip(whole(y_true), whole(y_pred)))
    total = sum(pairs.values())
    classes = range(n_classes)
    confusion = [[pairs[row, column] for column in classes] for row in classes]
    precision, recall, f1, occurs = [], [], [], []
    for c in classes:
        hits = pairs[c, c]
        called = sum(confusion[row][c] for row in classes)
        present = sum(confusion[c])
        precision.append(hits / called if called else 0.0)
        recall.append(hits / present if present else 0.0)
        f1.append(2 * hits / (called + present) if called + present else 0.0)
        occurs.append(present)
    hits = sum(pairs[c, c] for c in classes)
    misses = total - hits  # each is one false positive and one false negative
    return {
        "n": total,
        "confusion": np.array(confusion, dtype=np.int64),
        "precision": np.array(precision),
        "recall": np.array(recall),
        "f1": np.array(f1),
        "accuracy": hits / total,
        "balanced_accuracy": sum(recall) / sum(1 for count in occurs if count),
        "macro_f1": sum(f1) / n_classes,
        "micro_f1": 2 * hits / (2 * hits + misses + misses),
        "weighted_f1": sum(value * count for value, count in zip(f1, occurs)) / total,
    }


def binary_report(y_true, prob, threshold=0.5, zero_division=0.0):
    def flat(values):
        numbers = []
        for value in list(values):
            row = np.atleast_1d(value)
            if row.shape != (1,):
                raise ValueError("more than one column")
            numbers.append(float(row[0]))
        return numbers

    labels, chances = flat(y_true), flat(prob)
    if not labels or len(labels) != len(chances):
        raise ValueError("lengths")
    tp = fp = fn = tn = 0
    for label, chance in zip(labels, chances):
        if label not in (0, 1) or not 0 <= chance <= 1:
            raise ValueError("not a label or not a probability")
        called = chance >= threshold
        if called and label:
            tp += 1
        elif called:
            fp += 1
        elif label:
            fn += 1
        else:
            tn += 1
    try:
        precision = tp / (tp + fp)
    except ZeroDivisionError:
        precision = zero_division
    try:
        recall = tp / (tp + fn)
    except ZeroDivisionError:
        recall = zero_division
    if tp:
        f1 = 2 / (1 / precision + 1 / recall)
    else:
        f1 = 0 if fp or fn else zero_division
    return {
        "accuracy": (tp + tn) / len(labels),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
    }
""",
    ),
    Alternative(
        id="one-class-against-the-rest",
        title="each class against the rest with masks; the binary report from the 2 x 2 confusion matrix",
        code="""
def classification_metrics(y_true, y_pred, n_classes):
    y_true, y_pred = (np.asarray(values) for values in (y_true, y_pred))
    if y_true.ndim != 1 or y_pred.shape != y_true.shape or not y_true.size:
        raise ValueError("shapes")
    if not np.isin([y_true, y_pred], np.arange(n_classes)).all():
        raise ValueError("labels")
    table = np.empty((n_classes, 3), dtype=np.int64)  # tp, fp, fn of each class
    confusion = np.empty((n_classes, n_classes), dtype=np.int64)
    for c in range(n_classes):
        is_c, called_c = y_true == c, y_pred == c
        table[c] = np.sum(is_c & called_c), np.sum(~is_c & called_c), np.sum(is_c & ~called_c)
        confusion[c] = [np.count_nonzero(is_c & (y_pred == other)) for other in range(n_classes)]

    def scores(tp, fp, fn):
        return [
            tp / (tp + fp) if tp + fp else 0.0,
            tp / (tp + fn) if tp + fn else 0.0,
            tp / (tp + 0.5 * (fp + fn)) if tp + fp + fn else 0.0,
        ]

    precision, recall, f1 = np.array([scores(*row) for row in table.tolist()]).T
    return dict(
        confusion=confusion,
        accuracy=np.mean(y_true == y_pred),
        balanced_accuracy=np.mean([recall[c] for c in np.unique(y_true).astype(int)]),
        precision=precision,
        recall=recall,
        f1=f1,
        macro_f1=f1.mean(),
        micro_f1=scores(*table.sum(axis=0))[2],
        weighted_f1=f1[y_true.astype(int)].mean(),
    )


def binary_report(y_true, prob, threshold=0.5, zero_division=0.0):
    def column(values):
        values = np.asarray(values, dtype=np.float64)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError("shape")
        return values

    y_true, prob = column(y_true), column(prob)
    if not np.all(np.clip(prob, 0, 1) == prob):
        raise ValueError("probabilities")
    report = classification_metrics(y_true, (prob >= threshold).astype(int), 2)
    (tn, fp), (fn, tp) = report["confusion"]
    return dict(
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
        accuracy=report["accuracy"],
        precision=report["precision"][1] if tp + fp > 0 else zero_division,
        recall=report["recall"][1] if tp + fn > 0 else zero_division,
        f1=report["f1"][1] if tp + fp + fn > 0 else zero_division,
    )
""",
    ),
]
