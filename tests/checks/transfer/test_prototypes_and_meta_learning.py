"""Checks of transfer/prototypes_and_meta_learning: expected values are loops, closed forms and finite differences."""

import math

import numpy as np

from grader.checking import (
    TensorFlowTensor,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

SQUARED = "minus the squared distance to the mean of the class's own examples, summed over the features"
THROUGH = "the adapted parameters depend on the initial ones through every inner gradient as well"
CONSTANT = "with first_order the gradient at the adapted parameters is the result"


def logits_of(student, support, labels, query):
    return student.prototypical_logits(TensorFlowTensor(support), labels, TensorFlowTensor(query))


def expected_logits(support, labels, query):
    """The definition in Python's float64, one query and one class at a time."""
    support, query = support.astype(np.float64), query.astype(np.float64)
    rows = []
    for one in query:
        row = []
        for label in range(max(labels) + 1):
            examples = [example for example, own in zip(support, labels, strict=True) if own == label]
            mean = sum(examples) / len(examples)
            row.append(-math.fsum((one - mean) ** 2))
        rows.append(row)
    return np.array(rows)


def random_episode(rng, shots, queries, width):
    """Support with `shots[c]` examples of class c in random order, and queries: float32."""
    labels = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    support = rng.normal(size=(labels.size, width)).astype(np.float32)
    return support, labels, rng.normal(size=(queries, width)).astype(np.float32)


# ------------------------------------------------------------------ probes: they run in the student's process


def slopes_of_prototypical_logits(student, support, labels, query, coefficients, directions):
    """How a weighted sum of the logits changes along directions of the support and of the query.

    Returns for each of the two: slopes by the gradient (None where none arrives), and slopes by differences.
    """
    import numpy as np
    import tensorflow as tf

    def weighted_sum(features):
        logits = student.prototypical_logits(features[0], labels, features[1])
        return tf.reduce_sum(coefficients * tf.convert_to_tensor(logits))

    features = [tf.constant(support), tf.constant(query)]
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = weighted_sum(features)
    gradients = tape.gradient(loss, features)
    found = []
    for number, (gradient, ways) in enumerate(zip(gradients, directions, strict=True)):
        slopes = (
            None if gradient is None else [float(tf.reduce_sum(tf.convert_to_tensor(gradient) * way)) for way in ways]
        )
        differences = []
        for way in ways:
            ends = []
            for sign in (1, -1):
                moved = list(features)
                moved[number] = moved[number] + np.float32(0.05 * sign) * way
                ends.append(float(weighted_sum(moved)))
            differences.append((ends[0] - ends[1]) / 0.1)
        found.append([slopes, differences])
    return found


def maml_gradient_of_a_quadratic(student, start, support, query, inner_lr, options, variables=False):
    """`maml_gradient` for half of (p - c) A (p - c), where p are all parameters in a row and a batch is (A, c).

    Returns the gradients, the parameters' values after the call, and whether the list still holds those parameters.
    """
    import numpy as np
    import tensorflow as tf

    def quadratic(params, batch):
        matrix, centre = batch
        away = tf.concat([tf.reshape(param, [-1]) for param in params], axis=0) - centre
        return 0.5 * tf.tensordot(away, tf.linalg.matvec(matrix, away), axes=1)

    params = [tf.Variable(value) if variables else tf.constant(value) for value in start]
    given = list(params)
    gradients = student.maml_gradient(quadratic, params, support, query, inner_lr, **options)
    same_list = len(params) == len(given) and all(now is before for now, before in zip(params, given, strict=True))
    return list(gradients), [np.array(param) for param in given], same_list


def maml_gradient_of_a_network(student, start, support, query, inner_lr, steps):
    """`maml_gradient` for the mean squared error of a small tanh network, in float64."""
    import tensorflow as tf

    def squared_error(params, batch):
        first, bias, second = params
        x, y = batch
        hidden = tf.tanh(tf.matmul(x, first) + bias)
        return tf.reduce_mean((tf.linalg.matvec(hidden, second) - y) ** 2)

    params = [tf.constant(value) for value in start]
    return list(student.maml_gradient(squared_error, params, support, query, inner_lr, steps=steps))


def maml_gradient_with_unused_parameters(student, start, inner_lr, options):
    """Of four parameters the support's loss uses a and b, the query's loss a and c, and none of them d."""
    import tensorflow as tf

    def loss(params, batch):
        a, b, c, _ = params
        return tf.reduce_sum(a**2) * tf.reduce_sum(b) if batch == "support" else tf.reduce_sum(a**3) + tf.reduce_sum(c)

    params = [tf.constant(value) for value in start]
    return list(student.maml_gradient(loss, params, "support", "query", inner_lr, **options))


def refused_by_maml_gradient(student, inner_lr, options):
    import tensorflow as tf

    def loss(params, target):
        return (params[0] - target) ** 2

    student.maml_gradient(loss, [tf.constant(1.0)], 0.0, 2.0, inner_lr, **options)


def called(inner_lr, options):
    """A call as the student would write it."""
    settings = "".join(f", {name}={value}" for name, value in options.items())
    return f"maml_gradient(loss_fn, params, support, query, {inner_lr}{settings})"


# ------------------------------------------------------------------------------------- expected gradients


def assert_gradients(found, expected, call, cause="", numbers=(), **tolerance):
    if len(found) != len(expected):
        raise AssertionError(f"{call} returned {len(found)} gradients; it should return {len(expected)}.")
    for number, gradient, wanted in zip(numbers or range(len(expected)), found, expected, strict=True):
        what = f"gradient of parameter {number} in {call}"
        if gradient is None:
            raise AssertionError(f"The {what} is None; it should be a tensor of shape {wanted.shape}.")
        assert_shape(gradient, wanted.shape, what=what)
        assert_dtype(gradient, wanted.dtype, what=what)
        assert_close(gradient, wanted, what=what, cause=cause, **tolerance)


def like(flat, start):
    """A vector of all parameters, cut into arrays of the shapes and dtype of `start`."""
    cuts = np.cumsum([value.size for value in start])[:-1]
    return [
        part.reshape(value.shape).astype(value.dtype) for part, value in zip(np.split(flat, cuts), start, strict=True)
    ]


def quadratic_gradient(start, support, query, inner_lr, steps, first_order):
    """Closed form: every step has the Jacobian 1 - inner_lr * A, and A is symmetric."""
    (a_support, c_support), (a_query, c_query) = (
        [np.asarray(value, dtype=np.float64) for value in batch] for batch in (support, query)
    )
    point = np.concatenate([value.ravel() for value in start]).astype(np.float64)
    for _ in range(steps):
        point = point - inner_lr * a_support @ (point - c_support)
    gradient = a_query @ (point - c_query)
    if not first_order:
        step = np.eye(point.size) - inner_lr * a_support
        gradient = np.linalg.matrix_power(step, steps) @ gradient
    return like(gradient, start)


def random_quadratic(rng, shapes, dtype):
    """Parameters of these shapes and two batches (A, c) with symmetric positive definite A."""
    start = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    size = sum(value.size for value in start)

    def batch():
        root = rng.normal(size=(size, size)) / math.sqrt(size)
        return ((root @ root.T + 0.5 * np.eye(size)).astype(dtype), rng.normal(size=size).astype(dtype))

    return start, batch(), batch()


def network_loss(params, batch):
    first, bias, second = params
    x, y = batch
    return np.mean((np.tanh(x @ first + bias) @ second - y) ** 2)


def network_gradient(params, batch):
    """Backward pass of the network by hand."""
    first, bias, second = params
    x, y = batch
    hidden = np.tanh(x @ first + bias)
    error = 2 * (hidden @ second - y) / len(y)
    back = error[:, None] * second * (1 - hidden**2)
    return [x.T @ back, back.sum(axis=0), hidden.T @ error]


def loss_after_adaptation(params, support, query, inner_lr, steps):
    for _ in range(steps):
        gradients = network_gradient(params, support)
        params = [param - inner_lr * gradient for param, gradient in zip(params, gradients, strict=True)]
    return network_loss(params, query)


def finite_differences(start, *arguments, width=1e-5):
    """Central differences of the loss after adaptation, one initial number at a time."""
    gradients = []
    for number, value in enumerate(start):
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            losses = []
            for sign in (1, -1):
                moved = [param.copy() for param in start]
                moved[number][index] += sign * width
                losses.append(loss_after_adaptation(moved, *arguments))
            gradient[index] = (losses[0] - losses[1]) / (2 * width)
        gradients.append(gradient)
    return gradients


# ---------------------------------------------------------------------------------------------- the checks


@visible
@points(1)
def test_worked_example(student):
    """The logits and gradients of the visible example come out."""

    def maml_gradient(student, options):
        import tensorflow as tf

        def squared_distance(params, target):
            return (params[0] - target) ** 2

        (gradient,) = student.maml_gradient(squared_distance, [tf.constant(2.0)], 0.0, 5.0, inner_lr=0.25, **options)
        return gradient

    support = np.array([[1, 0], [3, 2], [0, 4]], np.float32)
    query = np.array([[2, 2], [0, 0]], np.float32)
    logits = logits_of(student, support, np.array([1, 0, 1]), query)
    assert_shape(logits, (2, 2), what="logit tensor of the example")
    expected = np.array([[-1, -2.25], [-13, -4.25]])
    assert_close(logits, expected, rtol=1e-5, what="logit tensor of the example", cause=SQUARED)
    for options, expected, cause in (
        ({}, -4.0, THROUGH),
        ({"first_order": True}, -8.0, CONSTANT),
        ({"steps": 2}, -2.25, THROUGH),
    ):
        gradient = student.run(maml_gradient, options)
        assert_close(
            gradient, expected, rtol=1e-5, what=f"gradient of the example, {called(0.25, options)},", cause=cause
        )


@points(2)
@catches(
    "untrained-layers",
    "distance-not-squared",
    "sign-forgotten",
    "one-example-instead-of-the-mean",
    "query-in-the-prototypes",
    "sums-instead-of-means",
    "support-taken-as-sorted",
    "mean-over-the-features",
    "log-softmax-returned",
    "term-of-the-query-dropped",
    "prototypes-against-queries",
    "labels-sorted-alone",
    "equal-counts",
)
def test_logits_are_minus_squared_distances_to_the_class_means(student, rng):
    """Each logit is minus the squared distance to the mean of the class's examples, however many there are."""
    cases = [((2, 5, 2), 4, 3), ((3, 3), 5, 4), ((1, 1, 1, 1), 2, 6), ((4,), 3, 2), ((2, 1), 1, 1)]
    for shots, queries, width in cases:
        support, labels, query = random_episode(rng, shots, queries, width)
        what = f"logit tensor of {list(shots)} examples of the classes, {queries} queries, width {width}"
        logits = logits_of(student, support, labels, query)
        assert_shape(logits, (queries, len(shots)), what=what)
        assert_dtype(logits, "float32", what=what)
        expected = expected_logits(support, labels, query)
        assert_close(logits, expected, rtol=1e-4, atol=1e-5, what=what, cause=SQUARED)
    labels = labels.astype(np.int32)
    assert_close(
        logits_of(student, support, labels, query), expected, rtol=1e-4, atol=1e-5, what="logit (int32 labels)"
    )


@points(1)
@catches("square-expanded")
def test_only_differences_between_features_count(student, rng):
    """Features near 1000 give the logits of the same features around 0."""
    width = 5
    # eighths between -1 and 1, and 2 or 4 examples a class: exact in float32 around 0 and around 1000
    labels = rng.permutation(np.repeat(np.arange(3), [4, 2, 4]))
    support = (rng.integers(-8, 9, size=(labels.size, width)) / 8).astype(np.float32)
    query = (rng.integers(-8, 9, size=(4, width)) / 8).astype(np.float32)
    around_zero = logits_of(student, support, labels, query)  # whether these are right is the matter of another check
    for offset in (1000.0, -1000.0):
        shift = np.float32(offset)
        assert_close(
            logits_of(student, support + shift, labels, query + shift),
            around_zero,
            rtol=1e-3,
            atol=1e-3,
            what=f"logit tensor with {offset:g} added to all features, against the one without,",
            cause="squares of features near 1000 are near 1000000, where neighbouring float32 numbers are 1/16 apart",
        )


@points(1)
@catches("cut-off-in-numpy", "prototypes-as-constants")
def test_gradients_reach_support_and_query(student, rng):
    """The logits can be differentiated with respect to the support and the query."""
    shots, queries, width = (2, 3, 1), 4, 5
    support, labels, query = random_episode(rng, shots, queries, width)
    coefficients = rng.normal(size=(queries, len(shots))).astype(np.float32)
    directions = [rng.normal(size=(3, *features.shape)).astype(np.float32) for features in (support, query)]
    found = student.run(slopes_of_prototypical_logits, support, labels, query, coefficients, directions)
    for name, (slopes, differences) in zip(("support", "query"), found, strict=True):
        if slopes is None:
            raise AssertionError(f"No gradient reaches the {name} through prototypical_logits.")
        # whether the logits are right is the matter of another check: here the gradient fits the function it is of
        assert_close(
            np.array(slopes),
            np.array(differences),
            rtol=1e-2,
            atol=1e-2,
            what=f"slope of a weighted sum of logits along a direction of the {name}, by the gradient,",
            cause="what you return changes with the features in another way than its gradient says",
        )


@points(2)
@catches(
    "first-order-only",
    "inner-steps-on-the-query",
    "outer-loss-on-the-support",
    "no-adaptation",
    "one-step-only",
    "gradient-of-the-start-reused",
    "only-the-last-step-differentiated",
    "uphill",
    "difference-of-parameters",
    "steps-assigned",
)
def test_gradient_runs_through_all_inner_steps(student, rng):
    """The result is the derivative of the query's loss after adaptation by the initial parameters."""
    start, support, query = random_quadratic(rng, [(2,), (2, 1), ()], np.float32)
    for options in ({}, {"steps": 3}, {"steps": 2, "first_order": False}):
        found, *_ = student.run(maml_gradient_of_a_quadratic, start, support, query, 0.2, options)
        expected = quadratic_gradient(start, support, query, 0.2, options.get("steps", 1), False)
        call = f"{called(0.2, options)} of a quadratic loss"
        assert_gradients(found, expected, call, THROUGH, rtol=1e-4, atol=1e-4)

    start = [rng.normal(size=shape) for shape in ((2, 3), (3,), (3,))]
    support = rng.normal(size=(5, 2)), rng.normal(size=5)
    query = rng.normal(size=(4, 2)), rng.normal(size=4)
    for steps in (1, 3):
        found = student.run(maml_gradient_of_a_network, start, support, query, 0.15, steps)
        expected = finite_differences(start, support, query, 0.15, steps)
        call = f"{called(0.15, {'steps': steps})} of a small network in float64"
        assert_gradients(found, expected, call, THROUGH, rtol=1e-5, atol=1e-6)


@points(1)
@catches(
    "first-order-ignored", "first-order-at-the-start", "first-order-of-one-step", "first-order-cuts-the-parameters"
)
def test_first_order_treats_inner_gradients_as_constants(student, rng):
    """With first_order the result is the gradient of the query's loss at the adapted parameters."""
    start, support, query = random_quadratic(rng, [(3,), (1, 2)], np.float32)
    for steps in (1, 3):
        options = {"steps": steps, "first_order": True}
        found, *_ = student.run(maml_gradient_of_a_quadratic, start, support, query, 0.2, options)
        expected = quadratic_gradient(start, support, query, 0.2, steps, True)
        call = f"{called(0.2, options)} of a quadratic loss"
        assert_gradients(found, expected, call, CONSTANT, rtol=1e-4, atol=1e-4)


@points(1)
@catches(
    "none-for-unused-parameters",
    "none-in-the-inner-step",
    "unused-parameters-left-out",
    "steps-taken-in-place",
    "rate-of-zero-refused",
    "list-changed",
)
def test_unused_parameters_variables_and_a_rate_of_zero(student, rng):
    """Unused parameters have the gradient zero, variables keep their values, and the rate may be 0."""
    start = [rng.uniform(0.5, 1.5, size=shape).astype(np.float32) for shape in ((2,), (3,), (2, 2), (1,))]
    for options in ({}, {"steps": 2}, {"first_order": True}):
        found = student.run(maml_gradient_with_unused_parameters, start, 0.1, options)
        call = f"{called(0.1, options)} (four parameters; the support's loss uses 0 and 1, the query's 0 and 2)"
        if len(found) != 4:
            raise AssertionError(f"{call} returned {len(found)} gradients; it should return 4, one for each parameter.")
        # what 0 and 1 should have is the business of the checks above
        for number in (0, 1):
            if found[number] is None:
                raise AssertionError(f"The gradient of parameter {number} in {call} is None; it should be a tensor.")
            assert_shape(found[number], start[number].shape, what=f"gradient of parameter {number} in {call}")
        expected = [np.ones((2, 2), np.float32), np.zeros(1, np.float32)]
        assert_gradients(found[2:], expected, call, numbers=(2, 3))

    start, support, query = random_quadratic(rng, [(2,), (2, 1)], np.float32)
    for name, variables in (("variables", True), ("tensors", False)):
        _, after, same_list = student.run(
            maml_gradient_of_a_quadratic, start, support, query, 0.3, {"steps": 2}, variables
        )
        if not same_list:
            raise AssertionError(
                f"The list `params` of {name} was changed by the call: it holds other objects than before. The adapted "
                "parameters need a list of their own."
            )
        for number, (left, right) in enumerate(zip(after, start, strict=True)):
            assert_unchanged(left, right, what=f"parameter {number} of the {name}")
    for options in ({}, {"first_order": True}):
        found, *_ = student.run(maml_gradient_of_a_quadratic, start, support, query, 0.0, options)
        expected = quadratic_gradient(start, support, query, 0.0, 1, True)
        assert_gradients(found, expected, called(0.0, options), rtol=1e-4, atol=1e-4)


@points(1)
@catches(
    "gaps-accepted",
    "labels-renumbered",
    "width-of-one-stretched",
    "negative-label-accepted",
    "labels-only-counted",
    "rate-unchecked",
    "no-steps-accepted",
)
def test_bad_input_is_refused(student, rng):
    """Shapes and labels that do not fit, no inner steps, and impossible rates are refused."""
    support, _, query = random_episode(rng, (2, 2), 3, 4)
    good = np.array([1, 0, 0, 1])
    refused = [
        ("labels 0, 0, 2, 2, a gap", support, np.array([0, 0, 2, 2]), query),
        ("labels 1, 2, 2, 1, without 0", support, np.array([1, 2, 2, 1]), query),
        ("labels -1, 0, 1, 0", support, np.array([-1, 0, 1, 0]), query),
        ("labels -1, 1, 1, -1", support, np.array([-1, 1, 1, -1]), query),
        ("labels -1, 0, 2, 2", support, np.array([-1, 0, 2, 2]), query),
        ("a query of width 1 and a support of width 4", support, good, query[:, :1]),
        ("a query of width 4 and a support of width 1", support[:, :1], good, query),
        ("a query of width 3 and a support of width 4", support, good, query[:, :3]),
        ("3 labels for 4 examples", support, good[:3], query),
        ("5 labels for 4 examples", support, np.array([1, 0, 0, 1, 1]), query),
        ("labels of shape (4, 1)", support, good[:, None], query),
        ("an empty support", support[:0], good[:0], query),
        ("a support of shape (4,)", support[:, 0], good, query),
        ("a support of shape (1, 4, 4)", support[None], good[:1], query),
        ("a query of shape (4,)", support, good, query[0]),
        ("a query of shape (1, 3, 4)", support, good, query[None]),
    ]
    for name, *arguments in refused:
        with raises(ValueError, what=f"prototypical_logits with {name}"):
            logits_of(student, *arguments)
    with raises(TypeError, ValueError, what="prototypical_logits with labels 1.0, 0.0, 0.0, 1.0"):
        logits_of(student, support, good.astype(np.float64), query)

    for inner_lr, options in (
        (0.1, {"steps": 0}),
        (0.1, {"steps": -1}),
        (-0.1, {}),
        (math.nan, {}),
        (math.inf, {}),
        (-0.1, {"steps": 2, "first_order": True}),
    ):
        with raises(ValueError, what=called(inner_lr, options)):
            student.run(refused_by_maml_gradient, inner_lr, options)
