"""Wrong and differently written answers to transfer/prior_of_pretrained_weights.

Every "reject" line of D-Q9 has an entry. Two lines are one behaviour: leaving lam * w_source out of the right-hand side
of the normal equations *is* shrinking to zero ("shrinks-to-zero"). The published answer has no code; its promises are
wrong claims.
"""

from grader.catalogue import Alternative, WrongAnswer

SOLVE = "        step = np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ residual)  # (features,)\n"
NEAREST = "        step = np.linalg.pinv(X) @ residual  # (features,), the shortest of all best steps\n"
RESULT = "    return w_source + step\n"
GAIN = "    return float(error_from_zero - error_from_source)\n"
FROM_ZERO = "    from_zero = l2sp_ridge(X, y, np.zeros_like(from_source), lam)\n"

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="transfer believed to help in every case",
        explanation=(
            "One of the claims is among the benefits that are usually listed. Compute `transfer_gain` for a source that "
            "points the other way."
        ),
        caught_by="test_claims",
        swap=(("never_worse=False", "never_worse=True"),),
    ),
    WrongAnswer(
        id="start-and-prior-misjudged",
        title="a claim about starts or penalties judged wrongly",
        explanation=(
            "At least one claim about where gradient descent ends, or about what a penalty pulls towards, is judged "
            "wrongly. Take two weights and one sample that sees the first of them only: which weight can move?"
        ),
        caught_by="test_claims",
        swap=(
            ("start_matters_wide=True", "start_matters_wide=False"),
            ("decay_keeps_source=False", "decay_keeps_source=True"),
        ),
    ),
    WrongAnswer(
        id="shrinks-to-zero",
        title="the weights shrunk towards zero",
        explanation=(
            "Your weights are those of plain ridge regression: the source plays no part, or its term is missing on the "
            "right-hand side of the linear system. What should come out for an enormous lam?"
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=((SOLVE, "        step = np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ y) - w_source\n"),),
    ),
    WrongAnswer(
        id="source-returned",
        title="the source returned as it is",
        explanation=(
            "Your weights are the source, whatever the data say. A prior is where one starts from; the samples have to move "
            "it."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=((RESULT, "    return w_source + 0 * step\n"),),
    ),
    WrongAnswer(
        id="only-started-at-the-source",
        title="started at the source, and then fitted without a penalty",
        explanation=(
            "Your weights fit the data as well as possible and do not depend on lam. Starting at the source is not enough "
            "if one then goes all the way: the distance has to cost something."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=((SOLVE, NEAREST),),
    ),
    WrongAnswer(
        id="lam-times-n",
        title="lam multiplied by the number of samples",
        explanation=(
            "Your penalty grows with the data, as it does when the errors are averaged. Here they are summed, so that more "
            "samples outweigh the prior."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=((SOLVE, SOLVE.replace("lam *", "lam * len(X) *")),),
    ),
    WrongAnswer(
        id="half-the-squared-error",
        title="a factor of 2 between error and penalty",
        explanation=(
            "Your weights minimise half of one of the two terms. Both are without a factor here; derive the linear system "
            "from the formula of the task and see which factors cancel."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=((SOLVE, SOLVE.replace("lam *", "2 * lam *")),),
    ),
    WrongAnswer(
        id="lam-squared",
        title="lam instead of its root in the extended data",
        explanation=(
            "If the penalty is written as more samples, their rows are squared like all others. A row multiplied by lam "
            "gives a penalty of lam squared."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=((SOLVE, SOLVE.replace("lam *", "lam**2 *")),),
    ),
    WrongAnswer(
        id="intercept-fitted",
        title="features and targets centred first",
        explanation=(
            "Centring fits an intercept along the way. The model here is X @ w without one, and the source weights belong "
            "to features that were not centred."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=(
            (
                "    residual = y - X @ w_source  # (samples,)\n",
                "    X, y = X - X.mean(axis=0), y - y.mean()\n    residual = y - X @ w_source  # (samples,)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="computed-in-float32",
        title="float32 arguments computed in float32",
        explanation=(
            "For float32 arguments your weights are right to a few digits only. Convert to float64 first, then compute."
        ),
        caught_by="test_weights_minimise_error_plus_distance_to_the_source",
        swap=(
            (
                RESULT,
                "    if narrow:\n"
                "        gram = (X.T @ X + lam * np.eye(X.shape[1])).astype(np.float32)\n"
                "        step = np.linalg.solve(gram, (X.T @ residual).astype(np.float32)) if lam > 0 else step\n"
                + RESULT,
            ),
            (
                "    X, y, w_source = (np.asarray(values, dtype=np.float64) for values in (X, y, w_source))\n",
                "    narrow = getattr(X, 'dtype', None) == np.float32\n"
                "    X, y, w_source = (np.asarray(values, dtype=np.float64) for values in (X, y, w_source))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nearest-to-zero",
        title="with lam = 0 the solution closest to zero",
        explanation=(
            "The pseudo-inverse of X times y gives the shortest weights. Asked for are the weights closest to the source: "
            "which vector should be as short as possible?"
        ),
        caught_by="test_without_a_penalty_the_nearest_solution_is_returned",
        swap=((NEAREST, "        step = np.linalg.pinv(X) @ y - w_source\n"),),
    ),
    WrongAnswer(
        id="singular-without-lam",
        title="the normal equations solved without a penalty",
        explanation=(
            "With lam = 0 and dependent columns, X-transposed X has no inverse: solving fails, or returns numbers that "
            "rounding has made up. This case needs the pseudo-inverse or a least-squares routine."
        ),
        caught_by="test_without_a_penalty_the_nearest_solution_is_returned",
        swap=((NEAREST, SOLVE),),
    ),
    WrongAnswer(
        id="no-prior-means-no-source",
        title="a tiny lam put in the place of 0",
        explanation=(
            "You replace lam = 0 by a small number. Then the fit is not the best one, and for badly scaled data the "
            "difference shows. The limit can be computed exactly."
        ),
        caught_by="test_without_a_penalty_the_nearest_solution_is_returned",
        swap=((NEAREST, SOLVE.replace("lam *", "1e-4 *")),),
    ),
    WrongAnswer(
        id="rows-counted-once",
        title="repeated samples counted once",
        explanation=(
            "Equal rows of X are merged, so a sample that was observed twice weighs like one. Every observation counts."
        ),
        caught_by="test_laws_of_the_prior",
        swap=(
            (
                "    # ridge regression of what the source leaves unexplained",
                "    data = np.unique(np.column_stack([X, y]), axis=0)\n"
                "    X, y = data[:, :-1], data[:, -1]\n"
                "    # ridge regression of what the source leaves unexplained",
            ),
        ),
    ),
    WrongAnswer(
        id="gain-clipped",
        title="negative gains reported as 0",
        explanation=(
            "Your gain never falls below 0, so negative transfer is invisible. It is the reason for measuring at all: keep "
            "the sign."
        ),
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=((GAIN, "    return float(max(error_from_zero - error_from_source, 0.0))\n"),),
    ),
    WrongAnswer(
        id="gain-reversed",
        title="the gain with the opposite sign",
        explanation="Your gain is positive where the source hurts. Which of the two errors should be the larger one?",
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=((GAIN, "    return float(error_from_source - error_from_zero)\n"),),
    ),
    WrongAnswer(
        id="gain-on-the-training-data",
        title="the gain measured on the training data",
        explanation=(
            "Your errors are those on the samples that were fitted. How well a prior generalises shows on the test data "
            "only."
        ),
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=(
            (
                "    error_from_zero = ",
                "    X_test, y_test = np.asarray(X, dtype=np.float64), np.asarray(y)\n    error_from_zero = ",
            ),
        ),
    ),
    WrongAnswer(
        id="sum-of-squared-errors",
        title="sums of squared errors subtracted",
        explanation="Your gain grows with the number of test samples. The errors are means over them.",
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=((GAIN, "    return float(error_from_zero - error_from_source) * len(X_test)\n"),),
    ),
    WrongAnswer(
        id="root-of-the-mean",
        title="roots of the mean squared errors subtracted",
        explanation="Your gain is a difference of root mean squared errors. The task asks for the mean squared errors.",
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=((GAIN, "    return float(error_from_zero**0.5 - error_from_source**0.5)\n"),),
    ),
    WrongAnswer(
        id="compared-with-the-bare-source",
        title="the source itself evaluated, without fitting",
        explanation=(
            "You measure the error of the source weights as they came. The comparison is between two fits on the same "
            "samples, which differ in what they are shrunk towards."
        ),
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=(("(X_test @ from_source - y_test)", "(X_test @ np.asarray(w_source, dtype=np.float64) - y_test)"),),
    ),
    WrongAnswer(
        id="compared-without-a-penalty",
        title="the fit from zero without a penalty",
        explanation=(
            "Your comparison has no penalty: it mixes the worth of the source with that of shrinking at all. Both fits use "
            "the same lam."
        ),
        caught_by="test_the_gain_has_a_sign_and_is_measured_on_test_data",
        swap=((FROM_ZERO, "    from_zero = l2sp_ridge(X, y, np.zeros_like(from_source), 0.0)\n"),),
    ),
    WrongAnswer(
        id="column-of-targets-accepted",
        title="targets of shape (samples, 1) accepted",
        explanation=(
            "A column minus a row is a whole table in NumPy, so `y` of shape (samples, 1) gives errors of every target "
            "with every prediction. Compare the shapes exactly."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            ("y.shape != X.shape[:1] or w_source.shape", "len(np.atleast_1d(y)) != len(X) or w_source.shape"),
            ("    residual = y - X @ w_source  # (samples,)\n", "    residual = y.ravel() - X @ w_source\n"),
        ),
    ),
    WrongAnswer(
        id="nan-lam-accepted",
        title="NaN accepted as lam",
        explanation=(
            "Your test of lam lets NaN pass: every comparison with it is False. Ask whether lam is inside the range rather "
            "than whether it is outside."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(("    if not 0 <= lam < np.inf:\n", "    if lam < 0 or lam == np.inf:\n"),),
    ),
    WrongAnswer(
        id="nan-test-data-accepted",
        title="test data with NaN accepted",
        explanation=(
            "NaN in the test data makes the gain NaN, and nobody is told why. Check the test data as well as the training "
            "data."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                "    if len(X_test) == 0 or not (np.isfinite(X_test).all() and np.isfinite(y_test).all()):\n",
                "    if len(X_test) == 0:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="source-changed-in-place",
        title="the step added to the caller's source",
        explanation=(
            "`+=` writes into the array that was passed in, so the pretrained weights are gone after the first call, and "
            "the result shares memory with them. Make a new array."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=((RESULT, "    w_source += step\n    return w_source\n"),),
    ),
]

alternatives = [
    Alternative(
        id="singular-values",
        title="by singular values, one formula for every lam",
        code="""
def l2sp_ridge(X, y, w_source, lam):
    X, y, w_source = np.array(X, dtype=float), np.array(y, dtype=float), np.array(w_source, dtype=float)
    if X.ndim != 2 or min(X.shape) < 1 or y.shape != (len(X),) or w_source.shape != (X.shape[1],):
        raise ValueError("shapes")
    if not np.isfinite(X).all() or not np.isfinite(y).all() or not np.isfinite(w_source).all():
        raise ValueError("finite")
    if np.isnan(lam) or np.isinf(lam) or lam < 0:
        raise ValueError("lam")
    u, s, vt = np.linalg.svd(X, full_matrices=False)
    seen = s > 1e-12 * max(s[0], 1e-300)
    factors = np.zeros_like(s)
    factors[seen] = s[seen] / (s[seen] ** 2 + lam)
    return vt.T @ (factors * (u.T @ (y - X @ w_source))) + w_source


def transfer_gain(X, y, X_test, y_test, w_source, lam):
    rows, targets = np.array(X_test, dtype=float), np.array(y_test, dtype=float)
    if rows.ndim != 2 or rows.shape[0] < 1 or targets.shape != rows.shape[:1]:
        raise ValueError("test shapes")
    if rows.shape[1] != np.shape(w_source)[-1] or np.isnan(rows.sum() + targets.sum()) or np.isinf(rows).any():
        raise ValueError("test data")
    errors = []
    for source in (np.zeros(np.shape(w_source)), w_source):
        errors.append(np.square(rows.dot(l2sp_ridge(X, y, source, lam)) - targets).mean())
    return errors[0] - errors[1]
""",
    ),
    Alternative(
        id="extended-data",
        title="the penalty written as more samples",
        code="""
def checked(X, y):
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2 or 0 in X.shape or y.ndim != 1 or len(y) != len(X):
        raise ValueError("shapes")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("not finite")
    return X, y


def l2sp_ridge(X, y, w_source, lam):
    X, y = checked(X, y)
    w = np.asarray(w_source, dtype=np.float64)
    if w.ndim != 1 or w.size != X.shape[1] or not np.isfinite(w).all():
        raise ValueError("source")
    if not (lam >= 0 and lam < float("inf")):
        raise ValueError("lam")
    rows = np.concatenate([X, np.sqrt(lam) * np.identity(w.size)])
    targets = np.concatenate([y - X @ w, np.zeros(w.size)])
    return np.linalg.lstsq(rows, targets, rcond=None)[0] + w


def transfer_gain(X, y, X_test, y_test, w_source, lam):
    w = l2sp_ridge(X, y, w_source, lam)
    zero = l2sp_ridge(X, y, 0 * w, lam)
    X_test, y_test = checked(X_test, y_test)
    if X_test.shape[1] != w.size:
        raise ValueError("features")
    total = 0.0
    for row, target in zip(X_test, y_test):
        total += float((row @ zero - target) ** 2 - (row @ w - target) ** 2)
    return total / len(y_test)
""",
    ),
    Alternative(
        id="dual-form",
        title="the dual form with a pseudo-inverse of the samples' products",
        code="""
def l2sp_ridge(X, y, w_source, lam):
    try:
        X, y, w_source = [np.array(values, dtype=np.float64, ndmin=0) for values in (X, y, w_source)]
        samples, features = X.shape
        (targets,), (weights,) = y.shape, w_source.shape
    except (TypeError, ValueError) as error:
        raise ValueError("shapes") from error
    if targets != samples or weights != features or not samples * features:
        raise ValueError("shapes")
    if not np.isfinite(np.concatenate([X.ravel(), y, w_source, [lam]])).all() or lam < 0:
        raise ValueError("numbers")
    left = y - X.dot(w_source)
    if lam == 0:
        return w_source + np.linalg.lstsq(X, left, rcond=1e-10)[0]
    return w_source + X.T.dot(np.linalg.inv(X.dot(X.T) + lam * np.eye(samples)).dot(left))


def transfer_gain(X, y, X_test, y_test, w_source, lam):
    with_source = l2sp_ridge(X, y, w_source, lam)
    without = l2sp_ridge(X, y, [0] * len(with_source), lam)
    l2sp_ridge(X_test, y_test, with_source, 1.0)  # refuses test data that do not fit
    a, b = (np.asarray(X_test, float) @ w - np.asarray(y_test, float) for w in (without, with_source))
    return np.float64(a @ a - b @ b) / len(a)
""",
    ),
]
