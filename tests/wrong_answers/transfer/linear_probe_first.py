"""Wrong and differently written answers to transfer/linear_probe_first.

Every "must reject" line of C-Q1a has an entry. The published answer to C-Q1 has no code; leaving the head random, which
is what the usual recipe does, comes first.
"""

from grader.catalogue import Alternative, WrongAnswer

GRAM = "    gram = centred.T @ centred + l2 * np.eye(centred.shape[1])  # (features, features)\n"
SOLVE = "    weight = np.linalg.solve(gram, centred.T @ goals).T  # (classes, features)\n"
RESULT = "    return weight, target_mean - weight @ feature_mean\n"
CENTRE = "    centred = features - feature_mean  # (samples, features)\n"
TARGETS = "    targets = np.eye(n_classes)[labels]  # (samples, classes), one-hot\n"
WRITE = "    head.weight[...] = W  # into the array itself: its dtype stays, and whoever holds it sees the change\n"
WRITE_BIAS = "    head.bias[...] = b\n"
FIT = "    if W.shape != head.weight.shape or b.shape != head.bias.shape:\n"
GRADIENT = "    return 2 * errors @ W / len(features)  # (samples, features)\n"

wrong_answers = [
    WrongAnswer(
        id="random-head",
        title="a head with random weights",
        explanation=(
            "Your weights do not depend on the features and labels. That is the head that most recipes start with, and what "
            "this exercise is there to replace: fit it on the frozen features."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=(
            (
                RESULT,
                "    bound = 1 / np.sqrt(features.shape[1])\n"
                "    return np.random.default_rng(0).uniform(-bound, bound, weight.shape), np.zeros(n_classes)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="intercept-penalised",
        title="the intercept penalised like a weight",
        explanation=(
            "You treat the intercept as one more weight, so the penalty pulls it towards zero. Then predictions depend on "
            "where the features have their origin. Leave it out of the penalty, or centre so that it drops out."
        ),
        caught_by="test_the_intercept_is_free",
        swap=(
            (
                RESULT,
                "    extended = np.column_stack([features, np.ones(len(features))])\n"
                "    gram = extended.T @ extended + l2 * np.eye(extended.shape[1])\n"
                "    weight = np.linalg.solve(gram, extended.T @ targets).T\n"
                "    return weight[:, :-1], weight[:, -1]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="not-centred",
        title="features not centred",
        explanation=(
            "Your weights are fitted to the features as they are, with the intercept added afterwards. Part of the weights is "
            "then spent on the mean. Subtract the mean features before solving."
        ),
        caught_by="test_the_intercept_is_free",
        swap=((CENTRE, "    centred = features\n"),),
    ),
    WrongAnswer(
        id="penalty-ignored",
        title="the pseudo-inverse, whatever l2 is",
        explanation=(
            "Your weights do not depend on l2. Without a penalty a probe with more features than samples fits every label, "
            "noise included."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=((SOLVE, "    weight = (np.linalg.pinv(centred) @ goals).T\n"),),
    ),
    WrongAnswer(
        id="transposed",
        title="W with features as rows",
        explanation=(
            "Your W is (features, classes). A head of PyTorch holds (classes, features) and multiplies by the transpose."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=((RESULT, "    return weight.T.copy(), target_mean - weight @ feature_mean\n"),),
    ),
    WrongAnswer(
        id="l2-times-n",
        title="l2 multiplied by the number of samples",
        explanation=(
            "Your penalty grows with the data, as it does when the errors are averaged. Here they are summed, so more samples "
            "outweigh it."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=((GRAM, GRAM.replace("l2 *", "l2 * len(centred) *")),),
    ),
    WrongAnswer(
        id="l2-squared",
        title="l2 squared on the diagonal",
        explanation=(
            "If the penalty is written as more samples, their rows are squared like all others: they hold the root of l2, "
            "not l2."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=((GRAM, GRAM.replace("l2 *", "l2**2 *")),),
    ),
    WrongAnswer(
        id="signs-as-targets",
        title="targets of plus and minus one",
        explanation=(
            "Your targets are +1 and -1, which doubles the weights and shifts the intercepts. Asked for are one-hot targets, "
            "0 and 1, so that predictions sum to 1."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=((TARGETS, "    targets = 2 * np.eye(n_classes)[labels] - 1\n"),),
    ),
    WrongAnswer(
        id="computed-in-float32",
        title="narrow features computed in their own type",
        explanation=(
            "For float32 features your result is right to a few digits only, and small integers may overflow. Convert to "
            "float64 before the means and products."
        ),
        caught_by="test_the_probe_solves_the_ridge_problem",
        swap=(
            (
                CENTRE,
                CENTRE + "    if narrow:\n        centred = centred.astype(np.float32)\n",
            ),
            (
                "    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)\n"
                "    if features.ndim != 2 or features.size == 0 or labels.shape != features.shape[:1]:\n"
                '        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit together")\n'
                "    if not np.issubdtype",
                "    narrow = getattr(features, 'dtype', None) == np.float32\n"
                "    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)\n"
                "    if features.ndim != 2 or features.size == 0 or labels.shape != features.shape[:1]:\n"
                '        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit together")\n'
                "    if not np.issubdtype",
            ),
        ),
    ),
    WrongAnswer(
        id="intercept-without-the-mean-feature",
        title="the intercept without the mean feature",
        explanation=(
            "Your intercept is the mean target, as it is for centred features. The head gets features as they are: what do "
            "the weights make of their mean, and who takes that off?"
        ),
        caught_by="test_the_intercept_is_free",
        swap=((RESULT, "    return weight, target_mean\n"),),
    ),
    WrongAnswer(
        id="no-intercept",
        title="an intercept of zero",
        explanation=(
            "Your head has no intercept, so a sample whose features are 0 gets the prediction 0 for every class. Fit it along "
            "with the weights."
        ),
        caught_by="test_the_intercept_is_free",
        swap=((RESULT, "    return weight, np.zeros(n_classes)\n"),),
    ),
    WrongAnswer(
        id="classes-from-the-labels",
        title="the number of classes taken from the largest label",
        explanation=(
            "You count the classes up to the largest label that occurs. A rare last class may be missing from a small "
            "sample; the head has a row for it all the same."
        ),
        caught_by="test_classes_that_do_not_occur_and_few_samples",
        swap=((TARGETS, "    targets = np.eye(labels.max() + 1)[labels]\n"),),
    ),
    WrongAnswer(
        id="classes-that-occur",
        title="rows only for classes that occur",
        explanation=(
            "Your W has a row for each class that occurs, so the rows behind a missing class belong to the wrong one. Keep a "
            "row for every class."
        ),
        caught_by="test_classes_that_do_not_occur_and_few_samples",
        swap=((TARGETS, "    targets = (labels[:, None] == np.unique(labels)).astype(np.float64)\n"),),
    ),
    WrongAnswer(
        id="one-class-fails",
        title="NaN where the features or targets do not vary",
        explanation=(
            "You divide by the spread of the targets, or of the features, and it is 0 when there is one sample or one class. "
            "Centring is enough; nothing has to be scaled."
        ),
        caught_by="test_classes_that_do_not_occur_and_few_samples",
        swap=(
            (
                SOLVE,
                "    with np.errstate(invalid='ignore', divide='ignore'):\n"
                "        spread = targets.std(axis=0)\n"
                "        weight = (np.linalg.solve(gram, centred.T @ (goals / spread)) * spread).T\n",
            ),
        ),
    ),
    WrongAnswer(
        id="attributes-replaced",
        title="new arrays put in the head's place",
        explanation=(
            "You assign to `head.weight`. The head is right then, but the optimiser still holds the old array and goes on "
            "training that one. Write into the array."
        ),
        caught_by="test_the_head_is_written_in_place",
        swap=(
            (WRITE, "    head.weight = W.astype(head.weight.dtype)\n"),
            (WRITE_BIAS, "    head.bias = b.astype(head.bias.dtype)\n"),
        ),
    ),
    WrongAnswer(
        id="head-widened",
        title="the probe's float64 arrays put into the head",
        explanation=(
            "Your head holds the float64 arrays of the probe themselves. Its dtype has changed, the optimiser holds another "
            "array, and training the head changes W."
        ),
        caught_by="test_the_head_is_written_in_place",
        swap=((WRITE, "    head.weight = W\n"), (WRITE_BIAS, "    head.bias = b\n")),
    ),
    WrongAnswer(
        id="bias-forgotten",
        title="the bias left as it was",
        explanation=(
            "Only the weights reach the head. With the old bias its predictions are off by a constant for each class, and the "
            "first gradients are large again."
        ),
        caught_by="test_the_head_is_written_in_place",
        swap=((WRITE_BIAS, ""),),
    ),
    WrongAnswer(
        id="head-half-written",
        title="the weights written before the intercepts are looked at",
        explanation=(
            "When `b` does not fit, you raise, but the weights are in the head already: half a probe. Check everything before "
            "you write anything."
        ),
        caught_by="test_the_head_is_written_in_place",
        swap=(
            (
                FIT,
                "    if W.shape == head.weight.shape and np.isfinite(W).all():\n        head.weight[...] = W\n" + FIT,
            ),
            (WRITE, ""),
        ),
    ),
    WrongAnswer(
        id="head-broadcast",
        title="a probe of another shape stretched to fit",
        explanation=(
            "NumPy copies one row or one intercept to all classes without a word. Such a head says the same about every "
            "class. Compare the shapes."
        ),
        caught_by="test_the_head_is_written_in_place",
        swap=((FIT, "    if False:\n"),),
    ),
    WrongAnswer(
        id="nan-written",
        title="NaN and infinity written into the head",
        explanation=(
            "A probe that holds NaN goes through, and the model predicts NaN from the first step on. Look at the values before "
            "you write."
        ),
        caught_by="test_the_head_is_written_in_place",
        swap=(('        raise ValueError("W and b must be finite")\n', "        pass\n"),),
    ),
    WrongAnswer(
        id="gradient-without-the-weights",
        title="the errors themselves taken for the gradient",
        explanation=(
            "You return a gradient with respect to the predictions, or the weights. The features reach the loss through W, so "
            "the errors have to go back through it: (samples, features) should come out."
        ),
        caught_by="test_the_gradient_reaches_the_features_through_the_weights",
        swap=((GRADIENT, "    return 2 * errors / len(features)\n"),),
    ),
    WrongAnswer(
        id="gradient-without-the-factor-2",
        title="the factor of the square missing",
        explanation="Your gradient is half as large as it should be: the derivative of a square has a factor 2.",
        caught_by="test_the_gradient_reaches_the_features_through_the_weights",
        swap=((GRADIENT, "    return errors @ W / len(features)\n"),),
    ),
    WrongAnswer(
        id="gradient-of-the-sum",
        title="the gradient of the sum instead of the mean",
        explanation=(
            "Your gradient is too large by the number of samples, or differs by another count: the loss is a mean over the "
            "samples, and a sum over the classes."
        ),
        caught_by="test_the_gradient_reaches_the_features_through_the_weights",
        swap=((GRADIENT, "    return 2 * errors @ W\n"),),
    ),
    WrongAnswer(
        id="gradient-in-float32",
        title="a gradient in the type of the features",
        explanation=("For float32 arguments your gradient is float32. The rules promise float64, so convert first."),
        caught_by="test_the_gradient_reaches_the_features_through_the_weights",
        swap=(
            (GRADIENT, "    return (2 * errors @ W / len(features)).astype(kind)\n"),
            (
                "    W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)\n",
                "    kind = np.asarray(W).dtype\n    W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="negative-labels-wrap-around",
        title="negative labels counted from the end",
        explanation=(
            "A label of -1, often the mark of a sample without a label, is read as the last class, since NumPy counts negative "
            "indices from the end. Refuse labels below 0."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            ("    if labels.min() < 0 or labels.max() >= n_classes:\n", "    if labels.max() >= n_classes:\n"),
            ("    if labels.min() < 0 or labels.max() >= len(W):\n", "    if labels.max() >= len(W):\n"),
        ),
    ),
    WrongAnswer(
        id="column-of-labels-accepted",
        title="labels of shape (samples, 1) accepted",
        explanation=(
            "A column of labels goes through. In other places it would be broadcast against a row and give a table; the rules "
            "ask for the shape (samples,)."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                "    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)\n"
                "    if features.ndim != 2 or features.size == 0 or labels.shape != features.shape[:1]:\n"
                '        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit together")\n'
                "    if not np.issubdtype",
                "    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels).ravel()\n"
                "    if features.ndim != 2 or features.size == 0 or labels.shape != features.shape[:1]:\n"
                '        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit together")\n'
                "    if not np.issubdtype",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-penalty-accepted",
        title="NaN accepted as l2",
        explanation=(
            "Your test of l2 lets NaN pass: every comparison with it is False. Ask whether l2 is inside the range rather than "
            "whether it is outside."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(("    if not 0 < l2 < np.inf:\n", "    if l2 <= 0 or l2 == np.inf:\n"),),
    ),
    WrongAnswer(
        id="features-changed-in-place",
        title="the caller's features centred in place",
        explanation=(
            "`-=` writes into the array that was passed in, so the cached features are shifted for everybody who uses them "
            "next. Make a new array."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                CENTRE,
                "    features -= feature_mean\n    centred = features\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="extended-data",
        title="a column of ones, and the penalty as more samples",
        code="""
def _data(features, labels):
    features, labels = np.array(features, dtype=float), np.array(labels)
    if features.ndim != 2 or not features.size or labels.ndim != 1 or len(labels) != len(features):
        raise ValueError("shapes")
    if labels.dtype.kind not in "iu":
        raise ValueError("labels")
    if not np.isfinite(features).all():
        raise ValueError("features")
    return features, labels


def ridge_probe(features, labels, n_classes, l2):
    features, labels = _data(features, labels)
    if set(labels.tolist()) - set(range(n_classes)) or np.isnan(l2) or np.isinf(l2) or l2 <= 0:
        raise ValueError("labels or l2")
    samples, width = features.shape
    top = np.concatenate([features, np.ones((samples, 1))], axis=1)
    bottom = np.concatenate([np.sqrt(l2) * np.eye(width), np.zeros((width, 1))], axis=1)
    targets = np.zeros((samples + width, n_classes))
    targets[np.arange(samples), labels] = 1
    solution = np.linalg.lstsq(np.concatenate([top, bottom]), targets, rcond=None)[0]
    missing = np.bincount(labels, minlength=n_classes) == 0
    solution[:, missing] = 0
    return solution[:-1].T.copy(), solution[-1].copy()


def init_head(head, W, b):
    for array, values in ((head.weight, W), (head.bias, b)):
        if np.shape(array) != np.shape(values) or not np.all(np.isfinite(values)):
            raise ValueError("probe")
    np.copyto(head.weight, W, casting="unsafe")
    np.copyto(head.bias, b, casting="unsafe")


def feature_gradient(features, labels, W, b):
    features, labels = _data(features, labels)
    W, b = np.array(W, dtype=float), np.array(b, dtype=float)
    if W.ndim != 2 or b.ndim != 1 or len(W) != len(b) or W.shape[1] != features.shape[1]:
        raise ValueError("head")
    if (labels < 0).any() or (labels >= len(b)).any():
        raise ValueError("labels")
    errors = np.einsum("nd,cd->nc", features, W) + b
    errors[np.arange(len(labels)), labels] -= 1
    return np.einsum("nc,cd->nd", errors, W) * (2 / len(labels))
""",
    ),
    Alternative(
        id="dual-form",
        title="the dual form, with a kernel of the samples",
        code="""
def ridge_probe(features, labels, n_classes, l2):
    features = np.asarray(features).astype(np.float64)
    labels = np.asarray(labels)
    if features.ndim != 2 or 0 in features.shape or labels.shape != (features.shape[0],):
        raise ValueError("shapes")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError("labels")
    if not (0 <= labels.min() and labels.max() < n_classes):
        raise ValueError("labels")
    if np.isnan(features).any() or np.isinf(features).any() or not (l2 > 0 and l2 < np.inf):
        raise ValueError("numbers")
    samples = len(features)
    targets = (labels.reshape(-1, 1) == np.arange(n_classes)).astype(np.float64)
    centring = np.eye(samples) - 1 / samples
    rows = centring @ features
    dual = np.linalg.inv(rows @ rows.T + l2 * np.eye(samples)) @ (centring @ targets)
    W = dual.T @ rows
    W[np.bincount(labels, minlength=n_classes) == 0] = 0
    b = np.array([targets[:, c].mean() - features.mean(0) @ W[c] for c in range(n_classes)])
    return W, b


def init_head(head, W, b):
    W, b = np.array(W, dtype=np.float64), np.array(b, dtype=np.float64)
    fits = W.shape == np.shape(head.weight) and b.shape == np.shape(head.bias)
    if not fits or np.isnan(W.sum() + b.sum()) or np.isinf(W).any() or np.isinf(b).any():
        raise ValueError("probe")
    head.weight[:] = W
    head.bias[:] = b


def feature_gradient(features, labels, W, b):
    features, W, b = (np.asarray(value, dtype=np.float64) for value in (features, W, b))
    labels = np.asarray(labels)
    if features.ndim != 2 or features.size < 1 or not np.isfinite(features).all():
        raise ValueError("features")
    if labels.shape != features.shape[:1] or labels.dtype.kind in "fc":
        raise ValueError("labels")
    if W.ndim != 2 or b.shape != (W.shape[0],) or W.shape[1] != features.shape[1]:
        raise ValueError("head")
    gradient = np.zeros_like(features)
    for n, (f, y) in enumerate(zip(features, labels)):
        if not 0 <= y < len(W):
            raise ValueError("label")
        for c in range(len(W)):
            gradient[n] += 2 * (W[c] @ f + b[c] - (c == y)) * W[c] / len(features)
    return gradient
""",
    ),
    Alternative(
        id="free-diagonal-entry",
        title="one linear system with a zero on the intercept's diagonal",
        code="""
def ridge_probe(features, labels, n_classes, l2):
    labels = list(labels)
    try:
        rows = np.array([[*map(float, row), 1.0] for row in features])
    except TypeError as error:
        raise ValueError("two axes") from error
    if len(rows) == 0 or rows.shape[1] < 2 or len(labels) != len(rows) or not np.isfinite(rows).all():
        raise ValueError("features")
    if any(np.ndim(label) for label in labels) or any(int(label) != label for label in labels):
        raise ValueError("labels")
    if any(label not in range(n_classes) for label in labels) or not 0 < l2 < float("inf"):
        raise ValueError("labels or l2")
    penalty = np.diag([float(l2)] * (rows.shape[1] - 1) + [0.0])
    columns = []
    for c in range(n_classes):
        target = np.array([1.0 if label == c else 0.0 for label in labels])
        columns.append(np.linalg.solve(rows.T @ rows + penalty, rows.T @ target))
    stacked = np.stack(columns)
    return stacked[:, :-1], stacked[:, -1]


def init_head(head, W, b):
    if np.asarray(W).shape != head.weight.shape:
        raise ValueError("weight")
    if np.asarray(b).shape != head.bias.shape:
        raise ValueError("bias")
    if not np.isfinite(np.append(np.ravel(W), b)).all():
        raise ValueError("finite")
    head.weight.flat = np.ravel(W)
    head.bias.flat = np.ravel(b)


def feature_gradient(features, labels, W, b):
    x, W, b = np.array(features, dtype=float), np.array(W, dtype=float), np.array(b, dtype=float)
    y = np.asarray(labels)
    if x.ndim != 2 or x.size == 0 or y.shape != (len(x),) or W.ndim != 2 or W.shape[1] != x.shape[1]:
        raise ValueError("shapes")
    if b.shape != (len(W),) or not np.isin(y, np.arange(len(W))).all() or not np.isfinite(x).all():
        raise ValueError("values")
    if y.dtype.kind == "f":
        raise TypeError("labels")
    target = np.array([[c == label for c in range(len(W))] for label in y], dtype=float)
    return (2.0 / len(x)) * ((x.dot(W.T) + b - target).dot(W))
""",
    ),
]

equivalent_mutants = {
    "Sub -> Add in `goals = targets - target_mean": "centred features are orthogonal to every constant, whatever is added",
}
