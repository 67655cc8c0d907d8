"""Checks of interpretability/integrated_gradients: TensorFlow stays in probes, by which the functions to be explained
are built; what is expected comes from gradients worked out by hand, one step and one value at a time, in float64.
"""

from __future__ import annotations

import math

import numpy as np

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "explaining_improves": False,
    "parts_add_up": True,
    "gradient_can_vanish": True,
    "baseline_is_free": False,
    "black_gets_nothing": True,
    "linear_case": True,
    "sum_proves_truth": False,
    "cause_in_the_world": False,
}
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}  # in float64: fractions that went through float32 are welcome
SINGLE = {"rtol": 2e-4, "atol": 1e-5}
TEXT, IMAGE = (1, 4), (1, 2, 3)

# Probes: they run in the student's process.


def integrated_gradients_of_a_power(student, weights, power, inputs, baselines=None, **options):
    """The score is the sum of weight · value ** power over all values of all modalities."""
    import tensorflow as tf

    def f(inputs):
        terms = [tf.cast(w, x.dtype) * x**power for w, x in zip(weights, inputs, strict=True)]
        return tf.add_n([tf.reduce_sum(tf.reshape(term, (tf.shape(term)[0], -1)), axis=1) for term in terms])

    given = [] if baselines is None else [baselines]
    return list(student.integrated_gradients(f, inputs, *given, **options))


def integrated_gradients_of_a_network(student, parameters, inputs, baselines, target, **options):
    """Several scores of one hidden layer that sees both modalities."""
    import tensorflow as tf

    w, u, b, v, c = (tf.constant(parameter) for parameter in parameters)

    def f(inputs):
        text, image = inputs
        text, image = (tf.cast(tf.reshape(x, (tf.shape(x)[0], -1)), w.dtype) for x in (text, image))
        return tf.tanh(text @ w + image @ u + b) @ v + c

    return list(student.integrated_gradients(f, inputs, baselines, target, **options))


def integrated_gradients_of_the_text_alone(student, inputs):
    """A model that looks at the first of three modalities only."""
    import tensorflow as tf

    return list(student.integrated_gradients(lambda inputs: tf.reduce_prod(inputs[0], axis=1), inputs, steps=3))


def completeness_gap_of_a_product(student, inputs, baselines, attributions, target=None):
    """The score is the product of the sums of both modalities; with a target, one of three multiples of it."""
    import tensorflow as tf

    def f(inputs):
        sums = [tf.reduce_sum(tf.reshape(x, (tf.shape(x)[0], -1)), axis=1) for x in inputs]
        product = sums[0] * sums[1]
        return product if target is None else product[:, None] * tf.constant([[1.0, -2.0, 3.0]], product.dtype)

    options = {} if target is None else {"target": target}
    return student.completeness_gap(f, inputs, baselines, attributions, **options)


def explained_score_of_a_table(student, rows, *target):
    """The model hands its one input on."""
    import tensorflow as tf

    return student.explained_score(lambda inputs: inputs[0] * 1.0, [tf.constant(rows)], *target)


def what_is_left_of_the_arguments(student, inputs, baselines):
    """The lists and arrays after the calls, and whether the lists still hold the same objects."""
    import tensorflow as tf

    def f(inputs):
        return tf.reduce_sum(inputs[0], axis=1) * tf.reduce_sum(inputs[1], axis=[1, 2])

    held = [*inputs, *baselines]
    attributions = student.integrated_gradients(f, inputs, baselines, steps=2)
    student.completeness_gap(f, inputs, baselines, attributions)
    now = [*inputs, *baselines]
    same = len(now) == len(held) and all(left is right for left, right in zip(held, now, strict=True))
    return {"same": same, "inputs": [x + 0 for x in held[:2]], "baselines": [x + 0 for x in held[2:]]}


def call_with(student, function, outputs, inputs, baselines=None, target=None, **options):
    """One call with a model of so many outputs (0: shape (rows,))."""
    import tensorflow as tf

    def f(inputs):
        total = tf.add_n([tf.reduce_sum(tf.reshape(x, (tf.shape(x)[0], -1)), axis=1) for x in inputs])
        return tf.stack([total * (j + 1) for j in range(outputs)], axis=1) if outputs else total

    if function == "integrated_gradients":
        return list(student.integrated_gradients(f, inputs, baselines, target, **options))
    return student.completeness_gap(f, inputs, baselines, list(inputs), target)


# What is expected


def attributions_of_a_power(weights, power, inputs, baselines, steps):
    """One value at a time: the derivative of w · x ** p in the middle of every piece."""
    results = []
    for weight, x, start in zip(weights, inputs, baselines, strict=True):
        result = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            low, high = float(start[index]), float(x[index])
            slopes = [
                float(weight[index]) * power * (low + (k + 0.5) / steps * (high - low)) ** (power - 1)
                for k in range(steps)
            ]
            result[index] = (high - low) * math.fsum(slopes) / steps
        results.append(result)
    return results


def attributions_of_the_network(parameters, inputs, baselines, target, steps):
    """The chain rule by hand for one hidden layer."""
    w, u, b, v, _ = (np.asarray(parameter, np.float64) for parameter in parameters)
    ends = [np.asarray(x, np.float64).reshape(-1) for x in inputs]
    starts = [np.asarray(x, np.float64).reshape(-1) for x in baselines]
    sums = [np.zeros_like(end) for end in ends]
    for k in range(steps):
        alpha = (k + 0.5) / steps
        text, image = (start + alpha * (end - start) for start, end in zip(starts, ends, strict=True))
        slope = (1 - np.tanh(text @ w + image @ u + b) ** 2) * v[:, target]  # (hidden,)
        sums[0] += w @ slope
        sums[1] += u @ slope
    return [
        ((end - start) * total / steps).reshape(x.shape)
        for start, end, total, x in zip(starts, ends, sums, inputs, strict=True)
    ]


def draw(rng, *shapes, dtype=np.float64):
    """Values of both signs, all at least 0.3 away from 0."""
    return [((0.3 + rng.random(shape)) * rng.choice([-1.0, 1.0], size=shape)).astype(dtype) for shape in shapes]


def network(rng, hidden=5, outputs=3, dtype=np.float64):
    """Random weights and biases; the units are not saturated."""
    shapes = [(4, hidden), (6, hidden), (hidden,), (hidden, outputs), (outputs,)]
    return [(rng.normal(size=shape) * (0.5 if len(shape) == 2 else 0.3)).astype(dtype) for shape in shapes]


def assert_attributions(found, expected, call, cause="", **tolerance):
    assert_equal(len(found), len(expected), what=f"number of modalities in the result of {call}")
    for name, actual, wanted in zip(("text", "image", "audio"), found, expected, strict=False):
        assert_close(actual, wanted, what=f"attribution of the {name} in {call}", cause=cause, **tolerance)


@visible
@points(1)
def test_worked_example(student):
    """A product of text and image, worked out by hand with two steps."""

    def explain_a_product(student, start, target):
        import tensorflow as tf

        def product(inputs):
            text, image = inputs
            return (text[:, 0] + 2 * text[:, 1]) * image[:, 0, 0] ** 2

        def two_outputs(inputs):
            return tf.stack([-product(inputs), product(inputs)], axis=1)

        sample = [tf.constant([[1.0, 2.0]]), tf.constant([[[3.0]]])]
        start = None if start is None else [tf.constant(start[0]), tf.constant(start[1])]
        f = product if target is None else two_outputs
        score = student.explained_score(two_outputs, sample, 0)
        parts = list(student.integrated_gradients(f, sample, start, target=target, steps=2))
        return {"parts": parts, "gap": student.completeness_gap(f, sample, start, parts, target=target), "score": score}

    first = student.run(explain_a_product, None, None)
    assert_close(first["score"], np.array([-45.0]), **SINGLE, what="explained score of output 0")
    assert_attributions(
        first["parts"], [np.array([[2.8125, 11.25]]), np.array([[[28.125]]])], "steps=2 from zeros", **SINGLE
    )
    assert_close(first["gap"], -2.8125, **SINGLE, what="completeness gap of steps=2 from zeros")
    second = student.run(explain_a_product, [[[1.0, 0.0]], [[[1.0]]]], 1)
    assert_attributions(
        second["parts"], [np.array([[0.0, 17.0]]), np.array([[[26.0]]])], "steps=2 from (1, 0), 1", **SINGLE
    )
    assert_close(second["gap"], -1.0, **SINGLE, what="completeness gap of steps=2 from (1, 0), 1")


@points(3)
@catches("published-claims")
def test_claims(student):
    """Every claim about interpretability is judged right."""
    assert_claims(student.claims, CLAIMS)


@points(0.5)
@catches("one-number-for-each-modality", "without-the-first-axis", "float32-for-float64", "lists-overwritten")
def test_attributions_look_like_the_inputs_and_these_stay_as_they_are(student, rng):
    """There is one attribution for every value, in the shape and dtype of the inputs, which stay as they are."""
    for dtype in (np.float64, np.float32):
        inputs = draw(rng, TEXT, IMAGE, dtype=dtype)
        found = student.run(integrated_gradients_of_a_power, [np.ones(TEXT), np.ones(IMAGE)], 2, tuple(inputs), steps=2)
        assert_equal(len(found), 2, what="number of modalities in the result of integrated_gradients")
        for name, attribution, x in zip(("text", "image"), found, inputs, strict=True):
            what = f"attribution of the {name} for a {x.dtype.name} input"
            assert_shape(attribution, x.shape, what=what)
            assert_dtype(attribution, dtype, what=what)

    inputs, baselines = draw(rng, TEXT, IMAGE), draw(rng, TEXT, IMAGE)
    left = student.run(what_is_left_of_the_arguments, inputs, baselines)
    if not left["same"]:
        raise AssertionError("After the calls the list of inputs or the list of baselines holds other objects.")
    for before, after in zip([*inputs, *baselines], [*left["inputs"], *left["baselines"]], strict=True):
        assert_unchanged(after, before, what="array of an input or baseline")


@points(1)
@catches(
    "raw-gradient", "no-difference-in-front", "input-in-front", "baseline-ignored", "sum-over-steps", "absolute-values"
)
def test_a_linear_score_is_shared_out_exactly(student, rng):
    """For a linear score every value gets its weight times its way from the baseline, whatever the number of steps."""
    inputs, baselines, weights = draw(rng, TEXT, IMAGE), draw(rng, TEXT, IMAGE), draw(rng, TEXT, IMAGE)
    for steps in (3, 1):
        found = student.run(integrated_gradients_of_a_power, weights, 1, inputs, baselines, steps=steps)
        expected = [w * (x - start) for w, x, start in zip(weights, inputs, baselines, strict=True)]
        assert_attributions(found, expected, f"a linear score with baselines and steps={steps}", **TOLERANCE)
    found = student.run(integrated_gradients_of_a_power, weights, 1, inputs, steps=2)
    expected = [w * x for w, x in zip(weights, inputs, strict=True)]
    assert_attributions(found, expected, "a linear score without baselines", **TOLERANCE)


@points(1)
@catches(
    "gradient-times-input",
    "right-ends",
    "left-ends",
    "ends-included",
    "steps-not-used",
    "rescaled-to-the-sum",
    "midpoint-of-the-path-only",
)
def test_gradients_are_taken_in_the_middle_of_every_piece(student, rng):
    """With few steps the midpoint rule has an error of its own, which is known; 50 steps are the default."""
    inputs, baselines = draw(rng, TEXT, IMAGE), [np.zeros(TEXT), np.zeros(IMAGE)]
    weights = [np.abs(w) for w in draw(rng, TEXT, IMAGE)]
    for steps in (2, 1, 3):
        found = student.run(integrated_gradients_of_a_power, weights, 3, inputs, steps=steps)
        expected = attributions_of_a_power(weights, 3, inputs, baselines, steps)
        assert_attributions(
            found,
            expected,
            f"a sum of cubes with steps={steps}",
            cause="gradients at other points of the path than the middles of the pieces",
            **TOLERANCE,
        )
    inputs = [np.abs(x) for x in inputs]
    found = student.run(integrated_gradients_of_a_power, weights, 9, inputs)
    expected = attributions_of_a_power(weights, 9, inputs, baselines, 50)
    assert_attributions(found, expected, "a sum of ninth powers without `steps`", **TOLERANCE)


@points(1.5)
@catches(
    "others-at-their-input",
    "others-at-their-baseline",
    "all-outputs-together",
    "highest-output",
    "softmax-of-the-output",
    "path-beyond-the-input",
)
def test_all_modalities_walk_together_to_one_output(student, rng):
    """Text and image meet in a hidden layer, and each of three outputs gets its own attributions."""
    parameters, inputs, baselines = network(rng), draw(rng, TEXT, IMAGE), draw(rng, TEXT, IMAGE)
    for target, steps in ((1, 4), (0, 3), (2, 1)):
        found = student.run(integrated_gradients_of_a_network, parameters, inputs, baselines, target, steps=steps)
        expected = attributions_of_the_network(parameters, inputs, baselines, target, steps)
        assert_attributions(
            found, expected, f"a network with three outputs, target={target} and steps={steps}", **TOLERANCE
        )
    single = network(rng, dtype=np.float32)
    inputs, baselines = draw(rng, TEXT, IMAGE, dtype=np.float32), [np.zeros(TEXT), np.zeros(IMAGE)]
    found = student.run(integrated_gradients_of_a_network, single, inputs, None, 1, steps=4)
    expected = attributions_of_the_network(single, inputs, baselines, 1, 4)
    assert_attributions(found, expected, "a network in float32 without baselines", **SINGLE)


@points(0.5)
@catches("none-for-unused")
def test_what_is_not_used_gets_zeros(student, rng):
    """A modality that the score does not use, and a value that is already at its baseline, get zeros."""
    inputs = draw(rng, (1, 2), IMAGE, (1, 3))
    text, image, audio = student.run(integrated_gradients_of_the_text_alone, inputs)
    half = float(np.prod(inputs[0])) / 2  # the gradients of a product of two grow evenly from zero
    assert_close(text, np.array([[half, half]]), **TOLERANCE, what="attribution of the text, the only one that is used")
    assert_close(image, np.zeros(IMAGE), **TOLERANCE, what="attribution of the image, which is not used")
    assert_close(audio, np.zeros((1, 3)), **TOLERANCE, what="attribution of the audio, which is not used")

    parameters, inputs = network(rng), draw(rng, TEXT, IMAGE)
    found = student.run(integrated_gradients_of_a_network, parameters, inputs, inputs, 2, steps=2)
    assert_attributions(found, [np.zeros(TEXT), np.zeros(IMAGE)], "baselines equal to the inputs", **TOLERANCE)


@points(0.75)
@catches("gap-without-sign", "gap-the-other-way-round", "gap-without-the-baseline", "gap-of-the-first-modality")
def test_the_gap_is_the_sum_minus_the_rise_of_the_score(student, rng):
    """The gap of any attributions is their sum minus what the score rises by, with its sign."""
    inputs, baselines, attributions = draw(rng, TEXT, IMAGE), draw(rng, TEXT, IMAGE), draw(rng, TEXT, IMAGE)
    given = float(sum(attribution.sum() for attribution in attributions))
    end = math.prod(float(x.sum()) for x in inputs)
    begin = math.prod(float(x.sum()) for x in baselines)
    cases = [
        ("baselines", baselines, attributions, given - (end - begin), None),
        ("negated attributions", baselines, [-a for a in attributions], -given - (end - begin), None),
        ("baselines=None", None, attributions, given - end, None),
        ("target=1", baselines, attributions, given + 2 * (end - begin), 1),
        ("target=2", baselines, attributions, given - 3 * (end - begin), 2),
    ]
    for name, start, parts, expected, target in cases:
        found = student.run(completeness_gap_of_a_product, inputs, start, parts, target)
        assert_close(found, expected, **TOLERANCE, what=f"completeness gap with {name}")


@points(0.75)
@catches(
    "integers-converted",
    "several-samples",
    "baselines-stretched",
    "no-steps",
    "first-output-by-default",
    "negative-target",
    "target-ignored-for-one-output",
)
def test_bad_arguments_are_refused(student, rng):
    """Scores come from the column asked for; integers, wrong shapes, steps and targets are refused."""
    table = rng.normal(size=(4, 3))
    assert_close(student.run(explained_score_of_a_table, table, 2), table[:, 2], what="explained score of output 2")
    assert_close(student.run(explained_score_of_a_table, table[:, 1]), table[:, 1], what="explained score of (rows,)")
    for target, what in ((None, "no target"), (3, "target=3"), (-1, "target=-1")):
        with raises(ValueError, what=f"explained_score with 3 outputs and {what}"):
            student.run(explained_score_of_a_table, table, *([] if target is None else [target]))
    with raises(ValueError, what="explained_score with one output and target=0"):
        student.run(explained_score_of_a_table, table[:, 1], 0)

    inputs = draw(rng, TEXT, IMAGE)
    for name in ("integrated_gradients", "completeness_gap"):
        with raises(ValueError, what=f"{name} with 2 outputs and no target"):
            student.run(call_with, name, 2, inputs)
        with raises(ValueError, what=f"{name} with one output and target=0"):
            student.run(call_with, name, 0, inputs, None, 0)
        with raises(ValueError, what=f"{name} with 2 outputs and target=2"):
            student.run(call_with, name, 2, inputs, None, 2)
        with raises(TypeError, what=f"{name} with an integer image"):
            student.run(call_with, name, 0, [inputs[0], np.arange(6).reshape(IMAGE)])
        with raises(ValueError, what=f"{name} with inputs of two rows"):
            student.run(call_with, name, 0, draw(rng, (2, 4), (2, 3)))
        with raises(ValueError, what=f"{name} with an image of two rows"):
            student.run(call_with, name, 0, [inputs[0], *draw(rng, (2, 3))])
        with raises(ValueError, what=f"{name} without inputs"):
            student.run(call_with, name, 0, [])
        with raises(ValueError, what=f"{name} with one baseline for two modalities"):
            student.run(call_with, name, 0, inputs, inputs[:1])
        with raises(ValueError, what=f"{name} with a baseline of shape (1, 1) for a text of shape {TEXT}"):
            student.run(call_with, name, 0, inputs, [np.zeros((1, 1)), np.zeros(IMAGE)])
    for steps in (0, -2):
        with raises(ValueError, what=f"integrated_gradients with steps={steps}"):
            student.run(call_with, "integrated_gradients", 0, inputs, None, None, steps=steps)
