"""Wrong answers and differently written correct ones for foundations/fine_tuning_objective.

Every "Reject" line of E-F1 and E-F2 has an entry. C-S3.2 is covered by its text and claims only: the published rule, one
smaller rate for everything, is discussed in the lesson, and the check on rates shows that the end does not depend on it.
"""

from grader.catalogue import Alternative, WrongAnswer

RISK = "test_the_risk_is_a_weighted_mean"
MASKED = "test_masked_items_have_no_influence"
MERGED = "test_batches_merge_to_the_mean_over_all_items"
PATH = "test_the_path_takes_gradient_steps"
RATES = "test_the_rate_decides_whether_it_arrives_not_where"
LIMIT = "test_the_limit_is_the_minimiser_nearest_to_the_start"
REFUSED = "test_impossible_arguments_are_refused"

WEIGHTED_MEAN = "    return float((weights * losses).sum() / weights.sum())\n"
MERGED_MEAN = "    return float((means * sizes).sum() / sizes.sum())\n"
TAKE_OUT = "    losses, weights = losses[mask], weights[mask]  # (active,)\n"
STEP = "        theta = theta - lr * gradient  # (features,)\n        path.append(theta)\n"
GRADIENT = "gradient = X.T @ (X @ theta - y)  # (features,)"
LARGEST = "largest = np.linalg.norm(X, ord=2) ** 2  # largest eigenvalue of X^T X; 0 if X is all zero"
MINIMISER = "    return theta0 + np.linalg.pinv(X) @ (y - X @ theta0)  # (features,)\n"

wrong_answers = [
    WrongAnswer(
        id="mean-of-means",
        title="the mean of the batches' means",
        explanation=(
            "Every batch counts the same, so the items of a short last batch count more than all others. The published "
            "training loop reports this number as its loss. Try one batch of 99 items and one of a single item."
        ),
        caught_by=MERGED,
        swap=((MERGED_MEAN, "    return float(means.mean())\n"),),
    ),
    WrongAnswer(
        id="sum-of-batches",
        title="batches merged to a sum, or divided by the number of batches",
        explanation=(
            "The sums over the batches are right and are then divided by something else than the number of items. "
            "Merging batches of one item each must give their plain mean."
        ),
        caught_by=MERGED,
        swap=((MERGED_MEAN, "    return float((means * sizes).sum() / len(sizes))\n"),),
    ),
    WrongAnswer(
        id="sum-of-losses",
        title="the sum of the losses",
        explanation=(
            "A sum grows with the number of items, and a rate that suits ten items is too large for a thousand. The risk "
            "is an estimate of what one item costs."
        ),
        caught_by=RISK,
        swap=((WEIGHTED_MEAN, "    return float((weights * losses).sum())\n"),),
    ),
    WrongAnswer(
        id="weights-divided-by-n",
        title="weighted losses divided by the number of items",
        explanation=(
            "Doubling all weights doubles your risk, although it changes nothing about how the items compare. Equal "
            "losses of 3 must give a risk of 3 whatever the weights are."
        ),
        caught_by=RISK,
        swap=((WEIGHTED_MEAN, "    return float((weights * losses).sum() / len(losses))\n"),),
    ),
    WrongAnswer(
        id="single-precision",
        title="the sum in the precision of the losses",
        explanation=(
            "Losses often arrive in half or single precision, and a mean taken in that precision loses digits, or "
            "overflows. The task asks for float64; convert before you sum."
        ),
        caught_by=RISK,
        swap=(
            (
                "losses = np.asarray(losses, dtype=np.float64)  # (items,)",
                "losses = np.asarray(losses)\n    losses = losses if losses.dtype.kind == 'f' else losses.astype(float)",
            ),
            (
                "weights = np.ones_like(losses) if weights is None else np.asarray(weights, dtype=np.float64)",
                "weights = np.ones_like(losses) if weights is None else np.asarray(weights, dtype=losses.dtype)",
            ),
        ),
    ),
    WrongAnswer(
        id="masked-in-the-denominator",
        title="items that do not count are still counted",
        explanation=(
            "They are gone from the sum of the losses but not from what it is divided by, so each of them pulls the "
            "risk down as an item of loss 0 would. The more padding, the better your model looks."
        ),
        caught_by=MASKED,
        swap=(
            (TAKE_OUT, "    total = np.where(np.isfinite(weights), weights, 1.0).sum()\n" + TAKE_OUT),
            (WEIGHTED_MEAN, "    return float((weights * losses).sum() / total)\n"),
        ),
    ),
    WrongAnswer(
        id="mask-multiplied",
        title="the mask multiplied into the losses",
        explanation=(
            "Zero times NaN is NaN, and zero times infinity too. What does not count has to be left out rather than "
            "multiplied away."
        ),
        caught_by=MASKED,
        swap=(
            (TAKE_OUT, "    weights, checked = weights * mask, (losses[mask], weights[mask])\n"),
            (
                "np.isfinite(losses).all() and np.isfinite(weights).all() and (weights >= 0).all()",
                "np.isfinite(checked).all() and (checked[1] >= 0).all()",
            ),
        ),
    ),
    WrongAnswer(
        id="masked-losses-overwritten",
        title="zeros written into the caller's losses",
        explanation=(
            "The risk comes out right, and afterwards the caller's array has lost the values that did not count this "
            "time. `np.asarray` makes no copy of an array that has the right type."
        ),
        caught_by=MASKED,
        swap=((TAKE_OUT, "    losses[~mask], weights = 0.0, np.where(mask, weights, 0.0)\n"),),
    ),
    WrongAnswer(
        id="gradient-divided-by-n",
        title="the gradient of the mean, not of the sum",
        explanation=(
            "Your gradient is divided by the number of samples, the objective here is not. The limit of the rate "
            "belongs to the objective: with another one your steps are shorter than the rate says."
        ),
        caught_by=PATH,
        swap=((GRADIENT, "gradient = X.T @ (X @ theta - y) / len(y)  # (features,)"),),
    ),
    WrongAnswer(
        id="uphill",
        title="steps along the gradient instead of against it",
        explanation=(
            "The loss grows with every step. Look at the sign: if the prediction is too large, which way should a "
            "parameter with a positive feature go?"
        ),
        caught_by=PATH,
        swap=((GRADIENT, "gradient = X.T @ (y - X @ theta)  # (features,)"),),
    ),
    WrongAnswer(
        id="rows-of-one-array",
        title="the same array in every row of the path",
        explanation=(
            "The parameters are changed in place and stored many times, but it is one array, and it shows its last "
            "values everywhere. The caller's start may have been changed as well."
        ),
        caught_by=PATH,
        swap=((STEP, "        theta -= lr * gradient  # (features,)\n        path.append(theta)\n"),),
    ),
    WrongAnswer(
        id="start-left-out",
        title="the path without its first row",
        explanation=(
            "A path of three steps has four points, and the first is the start. With no steps at all there is still one."
        ),
        caught_by=PATH,
        swap=(
            (
                "return np.array(path)  # (steps + 1, features)",
                "return np.array(path[1:]).reshape(steps, X.shape[1])",
            ),
        ),
    ),
    WrongAnswer(
        id="start-truncated",
        title="parameters cut to whole numbers when the start has whole numbers",
        explanation=(
            "The path is kept in an array of the start's type, and an integer array cuts off what stands behind the "
            "decimal point. The task asks for float64 whatever comes in."
        ),
        caught_by=PATH,
        swap=(
            (
                "return np.array(path)  # (steps + 1, features)",
                "return np.array(path).astype(start_type)",
            ),
            (
                "    X, y, theta = as_regression(X, y, theta0)\n",
                "    start_type = np.asarray(theta0).dtype\n    X, y, theta = as_regression(X, y, theta0)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="rate-not-checked",
        title="rates that diverge are accepted",
        explanation=(
            "From 2 / λ on, each step overshoots by at least as much as it corrects, and the parameters run away or "
            "swing for ever. The largest eigenvalue of XᵀX is known before the first step."
        ),
        caught_by=RATES,
        swap=((" or lr * largest >= 2:", ":"),),
    ),
    WrongAnswer(
        id="largest-singular-value-not-squared",
        title="the limit of the rate taken from X instead of XᵀX",
        explanation=(
            "The matrix norm of X is its largest singular value. The steps are governed by XᵀX; how are its eigenvalues "
            "related to the singular values of X?"
        ),
        caught_by=RATES,
        swap=((LARGEST, "largest = np.linalg.norm(X, ord=2)"),),
    ),
    WrongAnswer(
        id="only-half-the-rates",
        title="rates above 1 / λ are refused",
        explanation=(
            "Above 1 / λ a step overshoots the optimum in the steepest direction, but comes closer all the same. The "
            "path converges up to twice that rate."
        ),
        caught_by=RATES,
        swap=(("lr * largest >= 2", "lr * largest >= 1"),),
    ),
    WrongAnswer(
        id="minimum-norm",
        title="the minimiser of smallest norm, whatever the start",
        explanation=(
            "This is where the path ends if it starts at zero. From pretrained parameters it ends elsewhere whenever "
            "several parameter vectors fit equally well, and this is the reason why pretraining matters at all."
        ),
        caught_by=LIMIT,
        swap=((MINIMISER, "    return np.linalg.pinv(X) @ y\n"),),
    ),
    WrongAnswer(
        id="start-returned",
        title="the start itself",
        explanation=(
            "The formula of the article uses one symbol for the pretrained parameters and for the variable. They are "
            "two things: the path begins at the one and changes the other."
        ),
        caught_by=LIMIT,
        swap=((MINIMISER, "    return theta0.copy()\n"),),
    ),
    WrongAnswer(
        id="ridge",
        title="a small penalty added so that the matrix can be inverted",
        explanation=(
            "A penalty makes the system solvable and changes the objective: the result is a little off everywhere, and "
            "more so in flat directions. A pseudo-inverse or a least-squares solver needs no penalty."
        ),
        caught_by=LIMIT,
        swap=(
            (
                MINIMISER,
                "    penalty = 1e-4 * np.eye(X.shape[1])\n"
                "    return theta0 + np.linalg.solve(X.T @ X + penalty, X.T @ (y - X @ theta0))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="fixed-number-of-steps",
        title="a fixed number of steps taken for the limit",
        explanation=(
            "In a flat direction each step covers a tiny share of the way, and after a few thousand steps much of it "
            "may still be left. The end of the path can be written down without walking."
        ),
        caught_by=LIMIT,
        swap=(
            (
                MINIMISER,
                "    rate = 1 / max(np.linalg.norm(X, ord=2) ** 2, 1e-300)\n"
                "    for _ in range(2000):\n"
                "        theta0 = theta0 - rate * X.T @ (X @ theta0 - y)\n"
                "    return theta0\n",
            ),
        ),
    ),
    WrongAnswer(
        id="integer-mask",
        title="a mask of 0 and 1 is accepted",
        explanation=(
            "Used as an index, an array of the integers 0 and 1 picks the first two items again and again instead of "
            "choosing places. The task asks for a TypeError, so that nobody gets a wrong number without a word."
        ),
        caught_by=REFUSED,
        swap=(("    if mask.dtype != bool:\n", "    mask = mask.astype(bool)\n    if mask.dtype != bool:\n"),),
    ),
    WrongAnswer(
        id="nothing-counts",
        title="a number is returned when nothing counts",
        explanation=(
            "Zero is the best risk there is, and no items is no evidence. If nothing counts, or no weight is left, the "
            "caller should hear about it."
        ),
        caught_by=REFUSED,
        swap=(('raise ValueError("no item has any weight")', "return 0.0"),),
    ),
    WrongAnswer(
        id="column-of-targets",
        title="targets as a column are accepted",
        explanation=(
            "Predictions (samples,) minus targets (samples, 1) is a square matrix by broadcasting, or, as here, the "
            "column is flattened without a word. The task asks for a ValueError; the given helper raises it."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    X, y, theta = as_regression(X, y, theta0)\n",
                "    X, y, theta = as_regression(X, np.ravel(y), theta0)\n",
            ),
            (
                "    X, y, theta0 = as_regression(X, y, theta0)\n",
                "    X, y, theta0 = as_regression(X, np.ravel(y), theta0)\n",
            ),
        ),
    ),
]

equivalent_mutants = {
    "GtE -> Gt in `if not 0 < lr < np.inf or lr * largest >= 2": "differs at the limit itself, where both are accepted",
}

alternatives = [
    Alternative(
        id="library-mean",
        title="np.average, np.repeat-free merging by np.average, lstsq, and the limit from an eigenvalue",
        code="""
def empirical_risk(losses, weights=None, mask=None):
    losses = np.array(losses, dtype=float)
    if losses.ndim != 1 or losses.size == 0:
        raise ValueError("losses must be (items,)")
    weights = np.ones(losses.size) if weights is None else np.array(weights, dtype=float)
    mask = np.full(losses.size, True) if mask is None else np.array(mask)
    if not np.issubdtype(mask.dtype, np.bool_):
        raise TypeError("boolean mask, please")
    if not losses.shape == weights.shape == mask.shape:
        raise ValueError("lengths")
    losses, weights = np.compress(mask, losses), np.compress(mask, weights)
    if losses.size == 0 or not np.isfinite([losses, weights]).all() or np.any(weights < 0) or not np.any(weights):
        raise ValueError("nothing to average")
    return np.average(losses, weights=weights)


def merge_batch_means(means, sizes):
    if np.ndim(means) != 1 or np.shape(means) != np.shape(sizes) or np.min(sizes, initial=1) < 1:
        raise ValueError("one size of 1 or more for each mean")
    return empirical_risk(means, weights=sizes)


def gd_path(X, y, theta0, lr, steps):
    X, y, theta0 = as_regression(X, y, theta0)
    largest = np.linalg.eigvalsh(X.T @ X)[-1]
    bound = 2 / largest if largest > 0 else np.inf
    if steps < 0 or not np.isfinite(lr) or lr <= 0 or lr >= bound:
        raise ValueError("rate or steps")
    path = np.empty((steps + 1, len(theta0)))
    path[0] = theta0
    for step in range(steps):
        path[step + 1] = path[step] - lr * (path[step] @ X.T - y) @ X
    return path


def gd_limit(X, y, theta0):
    X, y, theta0 = as_regression(X, y, theta0)
    return theta0 - np.linalg.lstsq(X, X @ theta0 - y, rcond=None)[0]
""",
    ),
    Alternative(
        id="loops",
        title="loops and exact sums; the limit from projections on the row space",
        code='''
from math import fsum, isfinite


def empirical_risk(losses, weights=None, mask=None):
    losses = np.asarray(losses)
    weights = np.ones(losses.shape) if weights is None else np.asarray(weights)
    mask = np.ones(losses.shape, bool) if mask is None else np.asarray(mask)
    if mask.dtype.kind != "b":
        raise TypeError("boolean mask, please")
    if losses.ndim != 1 or weights.shape != losses.shape or mask.shape != losses.shape:
        raise ValueError("lengths")
    pairs = [(float(w), float(l)) for w, l, counts in zip(weights, losses, mask) if counts]
    if any(not isfinite(w) or not isfinite(l) or w < 0 for w, l in pairs):
        raise ValueError("bad item")
    total = fsum(w for w, _ in pairs)
    if total == 0:
        raise ValueError("nothing counts")
    return np.float64(fsum(w * l for w, l in pairs) / total)


def merge_batch_means(means, sizes):
    if np.ndim(means) != 1 or np.ndim(sizes) != 1 or len(means) != len(sizes) or len(means) == 0:
        raise ValueError("lengths")
    total = count = 0
    for mean, size in zip(means, sizes):
        if size < 1 or not isfinite(mean):
            raise ValueError("bad batch")
        count += size
        total += (float(mean) - total) * size / count  # running mean
    return total


def gd_limit(X, y, theta0):
    """Rotate so that the rows of X span the first coordinates; only these move."""
    X, y, theta0 = as_regression(X, y, theta0)
    left, values, right = np.linalg.svd(X, full_matrices=False)
    limit = theta0.copy()
    for u, value, v in zip(left.T, values, right):
        if value > 1e-10 * values.max():
            limit += v * (u @ y / value - v @ theta0)
    return limit
''',
    ),
    Alternative(
        id="closed-form-path",
        title="the path from powers of the step matrix, the limit by doubling the number of steps",
        code="""
def gd_path(X, y, theta0, lr, steps):
    X, y, theta0 = as_regression(X, y, theta0)
    if not 0 < lr < float("inf") or steps < 0 or np.linalg.svd(X, compute_uv=False)[0] ** 2 * lr >= 2:
        raise ValueError("rate or steps")
    shrink, push = np.eye(len(theta0)) - lr * X.T @ X, lr * X.T @ y
    rows = [np.array(theta0)]
    while len(rows) <= steps:
        rows += [shrink @ rows[-1] + push]
    return np.stack(rows)


def gd_limit(X, y, theta0):
    X, y, theta0 = as_regression(X, y, theta0)
    gram = X.T @ X
    largest = np.linalg.eigvalsh(gram)[-1]
    if largest == 0:
        return theta0 + 0.0
    values, vectors = np.linalg.eigh(gram / largest)
    inverse = np.array([1 / value if value > 1e-10 else 0.0 for value in values])
    return theta0 - vectors @ (inverse * (vectors.T @ X.T @ (X @ theta0 - y))) / largest
""",
    ),
]
