"""Wrong and differently written answers to regularisation/elastic_net.

Every "must reject" line of A-Q4b has an entry, the published misunderstanding (sparsity is punished) first.
"""

from grader.catalogue import Alternative, WrongAnswer

STEP = "test_one_step"
ARRAYS = "test_dtypes_shapes_and_arguments"
FIRST = "test_first_steps_of_the_fit"
ALONE = "test_features_with_a_problem_of_their_own"
RIDGE = "test_l2_alone"
MINIMUM = "test_conditions_of_the_minimum"
REFUSED = "test_bad_input_is_refused"

wrong_answers = [
    # ------------------------------------------------------------------------------------------ the L1 penalty
    WrongAnswer(
        id="zeros-punished",
        title="weights pushed away from zero, as if sparsity were punished",
        explanation=(
            "Your L1 part makes every weight larger in size. The penalty is the sum of the sizes: zeros cost nothing, "
            "large weights cost much. In which direction does a minimiser move?"
        ),
        caught_by=STEP,
        swap=(("np.maximum(np.abs(v) - lr * l1, 0.0)", "(np.abs(v) + lr * l1)"),),
    ),
    WrongAnswer(
        id="subgradient-step",
        title="a gradient step on the penalty as well",
        explanation=(
            "You add the slopes of the penalties to the gradient. Near 0 such a step jumps across to the other side "
            "instead of stopping, so no weight ever becomes exactly 0. The penalty wants its own minimisation after "
            "the gradient step on the loss."
        ),
        caught_by=STEP,
        swap=(
            ("    v = w - lr * grad\n", "    v = w - lr * (grad + l1 * np.sign(w) + l2 * w)\n"),
            ("np.sign(v) * np.maximum(np.abs(v) - lr * l1, 0.0)", "v"),
            ("    return shrunk / (1 + lr * l2)\n", "    return shrunk\n"),
        ),
    ),
    WrongAnswer(
        id="hard-threshold",
        title="small weights set to zero and the others left alone",
        explanation=(
            "You zero what is below the threshold and keep the rest as it is. The penalty costs the large weights as "
            "much per unit, so these are shrunk too. Draw the result against `v`: does yours jump?"
        ),
        caught_by=STEP,
        swap=(("np.sign(v) * np.maximum(np.abs(v) - lr * l1, 0.0)", "np.where(np.abs(v) > lr * l1, v, 0.0)"),),
    ),
    WrongAnswer(
        id="threshold-without-rate",
        title="the threshold does not depend on the step size",
        explanation=(
            "You take `l1` itself off each entry. A step half as long should do half as much, of the penalty too. Look "
            "for `lr` in the quantity that is minimised."
        ),
        caught_by=STEP,
        swap=(("np.abs(v) - lr * l1", "np.abs(v) - l1"),),
    ),
    WrongAnswer(
        id="threshold-of-the-old-weights",
        title="the old weights shrunk, and the gradient taken off afterwards",
        explanation=(
            "The shrinkage comes before the gradient step, so a weight that was just set to 0 leaves it again at once. "
            "Which comes first in the task?"
        ),
        caught_by=STEP,
        swap=(
            ("np.sign(v) * np.maximum(np.abs(v) - lr * l1, 0.0)", "np.sign(w) * np.maximum(np.abs(w) - lr * l1, 0.0)"),
            ("    return shrunk / (1 + lr * l2)\n", "    return shrunk / (1 + lr * l2) - lr * grad\n"),
        ),
    ),
    WrongAnswer(
        id="negative-weights-lost",
        title="negative weights become zero",
        explanation=(
            "You take the amount off and cut at 0 from below, which is right for positive entries only. A negative one "
            "has to move *up* towards 0."
        ),
        caught_by=STEP,
        swap=(("np.sign(v) * np.maximum(np.abs(v) - lr * l1, 0.0)", "np.maximum(v - lr * l1, 0.0)"),),
    ),
    WrongAnswer(
        id="clipped",
        title="what should be taken off is kept",
        explanation=(
            "You limit each entry to the threshold: large weights become small and small ones stay. That is the part "
            "that the shrinkage removes, not the one that remains."
        ),
        caught_by=STEP,
        swap=(("np.sign(v) * np.maximum(np.abs(v) - lr * l1, 0.0)", "np.clip(v, -lr * l1, lr * l1)"),),
    ),
    # ------------------------------------------------------------------------------------------ the L2 penalty
    WrongAnswer(
        id="shrinkage-without-rate",
        title="the shrinkage of L2 does not depend on the step size",
        explanation=(
            "You multiply by `1 - l2`, whatever the step size is; for a penalty above 1 the weights even change their "
            "sign. A short step should shrink a little. Set the derivative of the quantity that is minimised to 0."
        ),
        caught_by=STEP,
        swap=(("    return shrunk / (1 + lr * l2)\n", "    return shrunk * (1 - l2)\n"),),
    ),
    WrongAnswer(
        id="decay-by-a-gradient-step",
        title="L2 as a gradient step instead of its exact minimiser",
        explanation=(
            "You multiply by `1 - lr * l2`. That is a gradient step on the penalty, close to the right number for small "
            "`lr * l2` and of the wrong sign for large ones. The task asks for the exact minimiser."
        ),
        caught_by=STEP,
        swap=(("    return shrunk / (1 + lr * l2)\n", "    return shrunk * (1 - lr * l2)\n"),),
    ),
    WrongAnswer(
        id="l2-not-halved",
        title="the L2 penalty counted twice",
        explanation=("Your divisor has twice the penalty. The term is `l2 / 2 * sum(u**2)`: what is its derivative?"),
        caught_by=STEP,
        swap=(("    return shrunk / (1 + lr * l2)\n", "    return shrunk / (1 + 2 * lr * l2)\n"),),
    ),
    WrongAnswer(
        id="divided-before-the-threshold",
        title="L2 applied before L1",
        explanation=(
            "You divide first and take the amount off afterwards, so L1 takes more than its share. Solve the condition "
            "for `u` where it is positive: which of the two is done to `v` first?"
        ),
        caught_by=STEP,
        swap=(
            ("    v = w - lr * grad\n", "    v = (w - lr * grad) / (1 + lr * l2)\n"),
            ("    return shrunk / (1 + lr * l2)\n", "    return shrunk\n"),
        ),
    ),
    WrongAnswer(
        id="uphill",
        title="the step goes along the gradient, uphill",
        explanation="Your step adds the gradient. The loss falls in the opposite direction.",
        caught_by=STEP,
        swap=(("    v = w - lr * grad\n", "    v = w + lr * grad\n"),),
    ),
    # --------------------------------------------------------------------------------------- arrays and dtypes
    WrongAnswer(
        id="weights-changed-in-place",
        title="the caller's weights are changed",
        explanation=(
            "After the call the caller's `w` holds other numbers: an operation such as `-=` writes into the array it is "
            "given, and `np.asarray` makes no copy of one that has the right type already."
        ),
        caught_by=ARRAYS,
        swap=(("    v = w - lr * grad\n", "    w -= lr * grad\n    v = w\n"),),
    ),
    WrongAnswer(
        id="gradient-overwritten",
        title="the caller's gradient is overwritten",
        explanation=(
            "After the call the caller's `grad` holds other numbers. It is an argument, not memory for intermediate "
            "results."
        ),
        caught_by=ARRAYS,
        swap=(("    v = w - lr * grad\n", "    v = np.subtract(w, lr * grad, out=grad)\n"),),
    ),
    WrongAnswer(
        id="float32-kept",
        title="computed in the dtype of the inputs",
        explanation=(
            "float32 inputs give a float32 result, with seven digits. The task asks for float64 throughout, whatever "
            "comes in."
        ),
        caught_by=ARRAYS,
        swap=(
            (
                "    w, grad = np.asarray(w, dtype=np.float64), np.asarray(grad, dtype=np.float64)\n",
                "    w, grad = np.asarray(w), np.asarray(grad)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="flattened",
        title="the shape is lost",
        explanation="Weights with several axes come back as one long row. The result has the shape of `w`.",
        caught_by=ARRAYS,
        swap=(("    v = w - lr * grad\n", "    v = (w - lr * grad).ravel()\n"),),
    ),
    # -------------------------------------------------------------------------------------------------- the fit
    WrongAnswer(
        id="error-not-averaged",
        title="the squared error summed over the samples instead of averaged",
        explanation=(
            "Without the division by the number of samples, the loss grows with the data while the penalties do not, so "
            "these have hardly any effect. Look at the first term of what is minimised."
        ),
        caught_by=FIRST,
        swap=(
            ("np.linalg.eigvalsh(X.T @ X / samples)", "np.linalg.eigvalsh(X.T @ X)"),
            ("X.T @ (X @ w - y) / samples", "X.T @ (X @ w - y)"),
        ),
    ),
    WrongAnswer(
        id="samples-in-the-step-only",
        title="steps that are too short by the number of samples",
        explanation=(
            "Your gradient is divided by the number of samples and your `L` is not, so every step is too short by that "
            "factor and the fit arrives late, or not at all."
        ),
        caught_by=FIRST,
        swap=(("np.linalg.eigvalsh(X.T @ X / samples)", "np.linalg.eigvalsh(X.T @ X)"),),
    ),
    WrongAnswer(
        id="frobenius-step",
        title="the sum of all eigenvalues taken for the largest",
        explanation=(
            "Your `L` is the sum of the squares of `X` over the samples, which is the sum of all eigenvalues: a safe "
            "step, but shorter than the promised one."
        ),
        caught_by=FIRST,
        swap=(("np.linalg.eigvalsh(X.T @ X / samples)[-1]", "(X**2).sum() / samples"),),
    ),
    WrongAnswer(
        id="starts-elsewhere",
        title="the fit does not start at zeros",
        explanation="After no step at all the weights should be zeros, and the first steps tell where yours started.",
        caught_by=FIRST,
        swap=(("    w = np.zeros(features)\n", "    w = np.ones(features)\n"),),
    ),
    WrongAnswer(
        id="zero-data-divides",
        title="a division by zero where all of X is zero",
        explanation=(
            "With `X` zero there is no largest step, and yours becomes infinite or NaN. The penalties alone want zeros."
        ),
        caught_by=FIRST,
        swap=(("    if largest <= 0:\n        return w\n", ""),),
    ),
    WrongAnswer(
        id="intercept-added",
        title="inputs and targets centred, as for an intercept",
        explanation=(
            "You subtract the means first, which is what an intercept would do. The task has none: the data are used as "
            "they are."
        ),
        caught_by=ALONE,
        swap=(
            (
                "    samples, features = X.shape\n",
                "    X, y = X - X.mean(axis=0), y - y.mean()\n    samples, features = X.shape\n",
            ),
        ),
    ),
    WrongAnswer(
        id="l1-ignored-in-the-fit",
        title="the fit does not pass `l1` on",
        explanation="The step knows `l1`, the fit does not hand it over: no weight becomes zero, however large it is.",
        caught_by=ALONE,
        swap=(("elastic_prox_step(w, grad, 1 / largest, l1, l2)", "elastic_prox_step(w, grad, 1 / largest, 0.0, l2)"),),
    ),
    WrongAnswer(
        id="l2-ignored-in-the-fit",
        title="the fit does not pass `l2` on",
        explanation="The step knows `l2`, the fit does not hand it over: the weights are not shrunk by it.",
        caught_by=ALONE,
        swap=(("elastic_prox_step(w, grad, 1 / largest, l1, l2)", "elastic_prox_step(w, grad, 1 / largest, l1)"),),
    ),
    WrongAnswer(
        id="zeros-by-rounding-down",
        title="small weights set to zero at the end",
        explanation=(
            "You set weights below some size to 0 after the fit. A feature measured in small units, or one that matters "
            "little, has a small weight that is not 0, and L2 alone makes no zeros. The zeros of L1 need no help."
        ),
        caught_by=RIDGE,
        swap=(("l1, l2)\n    return w\n", "l1, l2)\n    w[np.abs(w) < 1e-2] = 0.0\n    return w\n"),),
    ),
    WrongAnswer(
        id="gradient-of-the-first-step-kept",
        title="the gradient computed once and kept",
        explanation=(
            "All your steps use the gradient at the zeros of the beginning, so the weights run away along it. It has to "
            "be computed anew where each step ended."
        ),
        caught_by=MINIMUM,
        swap=(
            (
                "    for _ in range(n_steps):\n        grad = X.T @ (X @ w - y) / samples  # (features,)\n",
                "    grad = X.T @ (X @ w - y) / samples  # (features,)\n    for _ in range(n_steps):\n",
            ),
        ),
    ),
    WrongAnswer(
        id="few-steps",
        title="fewer steps than asked for",
        explanation=(
            "Where features are correlated, the fit moves slowly, and yours ends before it has arrived. Make as many "
            "steps as asked for."
        ),
        caught_by=MINIMUM,
        swap=(("for _ in range(n_steps):", "for _ in range(min(n_steps, 200)):"),),
    ),
    # ------------------------------------------------------------------------------------------------ bad input
    WrongAnswer(
        id="broadcast",
        title="a gradient of another shape stretched to fit",
        explanation=(
            "NumPy stretches a single number, or a column, to whatever shape is needed. A gradient of another shape "
            "than the weights is a mistake: compare the shapes before you compute."
        ),
        caught_by=REFUSED,
        swap=(("    if w.shape != grad.shape:\n", "    if w.ndim < grad.ndim:\n"),),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN and infinity accepted",
        explanation=(
            "NaN in the input makes NaN of everything after it, and infinity soon does as well. Comparisons with NaN "
            "are false, so a test of the form 'too small' lets it through."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "if not 0 < lr < np.inf or not 0 <= l1 < np.inf or not 0 <= l2 < np.inf:",
                "if lr <= 0 or l1 < 0 or l2 < 0:",
            ),
            ("    if not (np.isfinite(w).all() and np.isfinite(grad).all()):\n", "    if False:\n"),
        ),
    ),
    WrongAnswer(
        id="negative-penalty-accepted",
        title="negative penalties accepted",
        explanation="A negative penalty pays for large weights: they grow without limit. The task asks for a ValueError.",
        caught_by=REFUSED,
        swap=(
            (
                "not 0 < lr < np.inf or not 0 <= l1 < np.inf or not 0 <= l2 < np.inf:",
                "not 0 < lr < np.inf or not np.isfinite([l1, l2]).all():",
            ),
            ("if not 0 <= l1 < np.inf or not 0 <= l2 < np.inf or n_steps < 0:", "if n_steps < 0:"),
        ),
    ),
    WrongAnswer(
        id="empty-data-accepted",
        title="data without samples or features accepted",
        explanation=(
            "Without samples there is nothing to fit, and the mean over none is 0 / 0; without features there is no "
            "eigenvalue. Refuse both before you compute."
        ),
        caught_by=REFUSED,
        swap=((" or X.size == 0:", ":"),),
    ),
    WrongAnswer(
        id="column-of-targets-accepted",
        title="targets of shape (samples, 1) accepted",
        explanation=(
            "A column of targets minus a row of predictions is a table of all pairs, one of NumPy's best hidden traps. "
            "You flatten it silently; the task asks for a ValueError."
        ),
        caught_by=REFUSED,
        swap=(("np.asarray(y, dtype=np.float64)\n", "np.asarray(y, dtype=np.float64).ravel()\n"),),
    ),
]

alternatives = [
    Alternative(
        id="two-sided-maximum",
        title="two one-sided shrinkages added up, the Gram matrix kept",
        code="""
def elastic_prox_step(w, grad, lr, l1=0.0, l2=0.0):
    w, grad = np.array(w, dtype=float), np.array(grad, dtype=float)
    numbers = np.array([lr, l1, l2], dtype=float)
    if w.shape != grad.shape or not np.isfinite(numbers).all() or lr <= 0 or min(l1, l2) < 0:
        raise ValueError("arguments")
    if not np.isfinite(w + grad).all():
        raise ValueError("not finite")
    w -= lr * grad
    up, down = np.maximum(w - lr * l1, 0), np.minimum(w + lr * l1, 0)
    return (up + down) / (1 + lr * l2)


def fit_elastic_net(X, y, l1, l2, n_steps=5000):
    X, y = np.array(X, dtype=float), np.array(y, dtype=float)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y) or 0 in X.shape:
        raise ValueError("shapes")
    if not np.isfinite(X).all() or not np.isfinite(y).all() or not l1 >= 0 or not l2 >= 0 or n_steps < 0:
        raise ValueError("values")
    if np.isinf([l1, l2]).any():
        raise ValueError("infinite")
    gram, target = X.T @ X / len(X), X.T @ y / len(X)
    w = np.zeros(X.shape[1])
    if not X.any():
        return w
    lr = 1 / np.linalg.norm(gram, 2)
    for _ in range(n_steps):
        w = elastic_prox_step(w, gram @ w - target, lr, l1=l1, l2=l2)
    return w
""",
    ),
    Alternative(
        id="case-by-case",
        title="three cases with np.select, the step from the largest singular value",
        code="""
def elastic_prox_step(w, grad, lr, l1=0.0, l2=0.0):
    w, grad = np.asarray(w, np.float64), np.asarray(grad, np.float64)
    for name, value, low in (("lr", lr, 0.0), ("l1", l1, None), ("l2", l2, None)):
        if value != value or value in (np.inf, -np.inf) or value < 0 or value == low:
            raise ValueError(name)
    if np.shape(w) != np.shape(grad) or np.isnan(w).any() or np.isnan(grad).any():
        raise ValueError("w, grad")
    if np.isinf(w).any() or np.isinf(grad).any():
        raise ValueError("infinite")
    v = w - np.multiply(grad, lr)
    amount, divisor = lr * l1, 1.0 + lr * l2
    return np.select([v > amount, v < -amount], [(v - amount) / divisor, (v + amount) / divisor], 0.0)


def fit_elastic_net(X, y, l1, l2, n_steps=5000):
    X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
    if X.ndim != 2 or X.shape[0] < 1 or X.shape[1] < 1 or y.shape != (X.shape[0],) or n_steps < 0:
        raise ValueError("shapes")
    if not np.all(np.isfinite(X)) or not np.all(np.isfinite(y)):
        raise ValueError("data")
    samples = X.shape[0]
    w = elastic_prox_step(np.zeros(X.shape[1]), np.zeros(X.shape[1]), 1.0, l1, l2)  # checks the penalties
    largest = np.linalg.svd(X, compute_uv=False)[0]
    if largest == 0:
        return w
    for _ in range(n_steps):
        residual = y - X @ w
        w = elastic_prox_step(w, -np.einsum("nf,n->f", X, residual) / samples, samples / largest**2, l1, l2)
    return w
""",
    ),
    Alternative(
        id="loops",
        title="a helper for one number, and a loop over the entries",
        code="""
import math


def shrink(v, amount, strength):
    size = abs(v) - amount
    return math.copysign(size, v) / (1 + strength) if size > 0 else 0.0


def check(*penalties):
    for penalty in penalties:
        if not math.isfinite(penalty) or penalty < 0:
            raise ValueError(penalty)


def elastic_prox_step(w, grad, lr, l1=0.0, l2=0.0):
    check(l1, l2, lr)
    w, grad = np.array(w, dtype="float64"), np.array(grad, dtype="float64")
    if lr == 0 or w.shape != grad.shape or not all(map(math.isfinite, [*w.flat, *grad.flat])):
        raise ValueError("arguments")
    result = np.empty_like(w)
    for index in np.ndindex(*w.shape):
        result[index] = shrink(w[index] - lr * grad[index], lr * l1, lr * l2)
    return result


def fit_elastic_net(X, y, l1, l2, n_steps=5000):
    check(l1, l2)
    X, y = np.array(X, dtype="float64"), np.array(y, dtype="float64")
    if X.ndim != 2 or y.ndim != 1 or X.shape[0] != y.shape[0] or not X.size or n_steps < 0:
        raise ValueError("shapes")
    if not (np.isfinite(X.sum()) and np.isfinite(y.sum())):
        raise ValueError("not finite")
    w = np.zeros(X.shape[1])
    covariance = X.T @ X / len(X)
    moment = X.T @ y / len(X)
    largest = max(np.linalg.eigvalsh(covariance))
    step = 1 / largest if largest > 0 else 0.0
    for _ in range(n_steps if step else 0):
        v = w - step * (covariance @ w - moment)
        w = np.sign(v) * (np.abs(v) - step * l1).clip(0) / (1 + step * l2)
    return w
""",
    ),
]
