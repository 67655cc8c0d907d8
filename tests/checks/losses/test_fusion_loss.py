"""Checks of losses/fusion_loss: Keras stays in probes; expected values are sums over samples and classes in Python.

Loss and score are checked with a model that hands its inputs on (the text as logits, the image as fused features), so
that a mistake in the submission's own model costs the check of the model only.
"""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_close, assert_dtype, assert_equal, assert_shape, catches, points, raises, visible

COUNTS = ("tp", "fp", "fn", "tn")
RATIOS = ("accuracy", "precision", "recall", "f1")


def cross_entropy(row, label):
    """log of the sum of exp(logit), minus the logit of the label, in Python's float64."""
    row = [float(logit) for logit in row]
    largest = max(row)
    return largest + math.log(math.fsum(math.exp(logit - largest) for logit in row)) - row[int(label)]


def expected_loss(logits, labels, weight=None):
    """The definition, one sample at a time."""
    weight = [1.0] * len(labels) if weight is None else [float(one) for one in weight]
    losses = [cross_entropy(row, label) for row, label in zip(logits, labels, strict=True)]
    return math.fsum(w * loss for w, loss in zip(weight, losses, strict=True)) / math.fsum(weight)


def expected_score(positive, labels):
    """Counts and ratios, one sample at a time."""
    count = dict.fromkeys(COUNTS, 0)
    for predicted, actual in zip(positive, labels, strict=True):
        count[("t" if bool(predicted) == bool(actual) else "f") + ("p" if predicted else "n")] += 1
    tp, fp, fn, tn = (count[name] for name in COUNTS)

    def ratio(part, whole):
        return part / whole if whole else 0.0

    precision, recall = ratio(tp, tp + fp), ratio(tp, tp + fn)
    harmonic = ratio(2 * precision * recall, precision + recall)
    return {**count, "accuracy": (tp + tn) / len(labels), "precision": precision, "recall": recall, "f1": harmonic}


def random_batch(rng, batch=7, classes=3, hidden=5, spread=2.0):
    """Logits (batch, classes), fused features (batch, hidden) wider than that, and labels of every class."""
    logits = rng.normal(scale=spread, size=(batch, classes)).astype(np.float32)
    fused = rng.normal(size=(batch, hidden)).astype(np.float32)
    labels = rng.permutation(np.arange(batch) % classes)
    return logits, fused, labels


# Probes: they run in the student's process.


def loss_of(student, logits, fused, labels, sample_weight=None):
    """`fusion_loss` with a model that hands its inputs on."""
    import keras

    class PassOn(keras.Model):
        def call(self, inputs):
            return {"fused": inputs[1], "logits": inputs[0]}

    arguments = (labels,) if sample_weight is None else (labels, sample_weight)
    return student.fusion_loss(PassOn(), logits, fused, *arguments)


def score_of(student, logits, fused, labels, *threshold):
    """`fuse_and_score` with a model that hands its inputs on, and turns the logits round in training mode."""
    import keras

    class PassOn(keras.Model):
        def call(self, inputs, training=False):
            return {"fused": inputs[1], "logits": -inputs[0] if training else inputs[0] + 0.0}

    return dict(student.fuse_and_score(PassOn(), logits, fused, labels, *threshold))


def loss_value(student, *arguments):
    """The loss of the submission with a model that hands its inputs on."""
    result = student.run(loss_of, *arguments)
    assert_equal(len(result), 3, what="number of results of fusion_loss")
    return result[2]


def assert_score(score, expected, call):
    assert_equal(sorted(score), sorted(expected), what=f"keys of {call}")
    for name in COUNTS:
        assert_equal(score[name], expected[name], what=f"{name} of {call}")
    for name in RATIOS:
        assert_close(score[name], expected[name], rtol=1e-6, atol=1e-9, what=f"{name} of {call}")


@visible
@points(1)
def test_worked_example(student):
    """The losses and the score of the worked example come out."""

    def forward(student, text, image):
        return student.FusionClassifier(hidden_size=4, num_classes=3)([text, image])

    text, image = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32), np.array([[0.5], [-2.0]], np.float32)
    output = student.run(forward, text, image)
    assert_shape(output["fused"], (2, 4), what="fused features of FusionClassifier(4, 3)")
    assert_shape(output["logits"], (2, 3), what="logit tensor of FusionClassifier(4, 3)")
    logits, fused = np.array([[2, -1, 0.5], [-3, 1, 0]], np.float32), np.ones((2, 4), np.float32)
    labels = np.array([1, 0])
    assert_close(loss_value(student, logits, fused, labels), 3.783937, rtol=1e-5, what="loss of the worked example")
    weighted = loss_value(student, logits, fused, labels, np.array([3.0, 1.0]))
    assert_close(weighted, 3.512624, rtol=1e-5, what="loss of the worked example with weights 3 and 1")
    logits = np.array([[0, 3], [2, 1], [-1, 0], [0, 1], [4, -2]], np.float32)
    labels = np.array([1, 1, 0, 0, 0])
    score = student.run(score_of, logits, np.ones((5, 4), np.float32), labels)
    expected = {"tp": 1, "fp": 2, "fn": 1, "tn": 1, "accuracy": 0.4, "precision": 1 / 3, "recall": 0.5, "f1": 0.4}
    assert_score(score, expected, "fuse_and_score(...) of the worked example")


@points(2)
@catches("layers-made-in-call", "text-only", "no-non-linearity", "softmax-in-the-head")
def test_model_fuses_both_modalities_into_logits(student, rng, seed):
    """The fused features are a ReLU layer on text and image, the logits a linear layer on those."""

    def forward_twice(student, text, image, hidden, classes):
        import keras

        model = student.FusionClassifier(hidden, classes)
        first, second = model([text, image]), model([text, image])
        return isinstance(model, keras.Model), dict(first), dict(second)

    def forward_with_random_weights(student, text, image, hidden, classes, seed):
        import numpy as np

        model = student.FusionClassifier(hidden, classes)
        model([text, image])  # the weights exist from here on
        generator = np.random.default_rng(seed)
        weights = [generator.normal(size=tuple(variable.shape)) for variable in model.weights]
        model.set_weights(weights)
        layers = [[np.asarray(weight) for weight in layer.get_weights()] for layer in (model.fusion, model.head)]
        return len(weights), layers, dict(model([text, image]))

    batch, text_width, image_width, hidden, classes = 4, 2, 3, 6, 5
    text = rng.normal(size=(batch, text_width)).astype(np.float32)
    image = rng.normal(size=(batch, image_width)).astype(np.float32)
    is_model, first, second = student.run(forward_twice, text, image, hidden, classes)
    assert_equal(is_model, True, what="isinstance(FusionClassifier(...), keras.Model)")
    for name, width in (("fused", hidden), ("logits", classes)):
        if name not in first:
            raise AssertionError(f"model([text, image]) has the keys {sorted(first)}; {name!r} is missing")
        what = f'model([text, image])["{name}"]'
        assert_shape(first[name], (batch, width), what=what)
        assert_dtype(first[name], "float32", what=what)
        assert_close(second[name], first[name], what=f"{what} of a second call", cause="layers made anew in each call")

    n_weights, layers, output = student.run(
        forward_with_random_weights, text, image, hidden, classes, int(rng.integers(2**32))
    )
    assert_equal(n_weights, 4, what="number of weight arrays of the model (two kernels, two biases)")
    assert_equal(
        [len(layer) for layer in layers], [2, 2], what="number of weight arrays of model.fusion and model.head"
    )
    (kernel, bias), (head_kernel, head_bias) = layers
    assert_shape(kernel, (text_width + image_width, hidden), what="kernel of model.fusion")
    assert_shape(head_kernel, (hidden, classes), what="kernel of model.head")
    # row by row, text and image apart: a linear layer on joined vectors is a sum of two
    before = np.array(
        [t @ kernel[:text_width] + i @ kernel[text_width:] + bias for t, i in zip(text, image, strict=True)]
    )
    fused = np.where(before > 0, before, 0)
    assert_close(output["fused"], fused, rtol=1e-4, atol=1e-5, what="tensor of fused features, for random weights")
    logits = np.array([row @ head_kernel + head_bias for row in fused])
    assert_close(output["logits"], logits, rtol=1e-4, atol=1e-4, what="logit tensor, for random weights")


@points(1)
@catches("loss-object", "one-loss-a-sample")
def test_results_of_the_loss(student, rng):
    """The results are the model's fused features, its logits and one number."""
    logits, fused, labels = random_batch(rng)
    for dtype in ("int64", "int32", "uint8"):
        result = student.run(loss_of, logits, fused, labels.astype(dtype))
        assert_equal(len(result), 3, what="number of results of fusion_loss")
        assert_close(result[0], fused, what="first result of fusion_loss, against the model's fused features")
        assert_close(result[1], logits, what="second result of fusion_loss, against the model's logits")
        assert_shape(result[2], (), what="loss", cause="a loss function or losses of single samples, not their mean")
        assert_dtype(result[2], "float32", what="loss")


@points(1)
@catches("loss-on-fused-features", "second-softmax", "logits-as-probabilities", "sum-not-mean")
def test_loss_is_the_mean_cross_entropy_of_the_logits(student, rng):
    """The loss is the cross-entropy between labels and logits, averaged over the samples."""
    cause = "what the loss was given: it wants logits, and exactly one softmax in all"
    for batch, classes in ((7, 3), (4, 2), (5, 4)):
        logits, fused, labels = random_batch(rng, batch, classes)
        loss = loss_value(student, logits, fused, labels)
        what = f"loss of {batch} samples and {classes} classes"
        assert_close(loss, expected_loss(logits, labels), rtol=1e-5, what=what, cause=cause)
        shifted = loss_value(student, logits + np.float32(3), fused, labels)
        assert_close(shifted, loss, rtol=1e-4, atol=1e-5, what=f"{what} after adding 3 to all logits", cause=cause)
        equal = loss_value(student, np.zeros_like(logits), fused, labels)
        assert_close(equal, math.log(classes), rtol=1e-5, what=f"{what} that are all 0", cause=cause)
    # large logits: no overflow, no clipping
    logits = np.array([[1000, 0, -1000], [40, 0, 5], [-500, 500, 0]], np.float32)
    for labels in ([2, 1, 0], [0, 0, 1]):
        loss = loss_value(student, logits, random_batch(rng, 3)[1], np.array(labels))
        what = f"loss of the logits {logits.astype(int).tolist()} with labels {labels}"
        assert_close(loss, expected_loss(logits, labels), rtol=1e-5, atol=1e-6, what=what, cause="overflow or clipping")


@points(1)
@catches("weights-divided-by-batch", "weights-ignored")
@given(data_seed=st.integers(0, 2**32 - 1), batch=st.integers(2, 6))
def test_weights_say_how_much_a_sample_counts(student, data_seed, batch):
    """The loss is a weighted mean: a sample of weight 2 counts like two samples, and weight 0 like none."""
    generator = np.random.default_rng(data_seed)
    logits, fused, labels = random_batch(generator, batch)
    weight = generator.uniform(0.5, 4.0, size=batch)
    weight[generator.integers(batch)] = 0
    loss = loss_value(student, logits, fused, labels, weight)
    what = f"loss of {batch} samples with weights that sum to {weight.sum():.3g}"
    assert_close(loss, expected_loss(logits, labels, weight), rtol=1e-5, what=what, cause="the divisor of the mean")
    order = generator.permutation(batch)
    factor = 3.0 if data_seed % 2 else 0.2 / weight.sum()  # to a large sum, or to one below 1
    again = loss_value(student, logits[order], fused[order], labels[order], factor * weight[order])
    scaled = f"{what}, with the samples in another order and all weights times {factor:.3g}"
    assert_close(again, loss, rtol=1e-5, what=scaled, cause="the divisor of the mean")


@points(1)
@catches("loss-outside-tensorflow")
def test_gradients_reach_the_whole_model(student, rng):
    """The loss has the gradient of a weighted cross-entropy, and it reaches every weight of the model."""

    def gradient_of_scale(student, logits, fused, labels, weight):
        import keras
        import tensorflow as tf

        class Scaled(keras.Model):
            def __init__(self, classes):
                super().__init__()
                self.scale = self.add_weight(shape=(classes,), initializer="ones")

            def call(self, inputs):
                return {"fused": inputs[1], "logits": inputs[0] * self.scale}

        model = Scaled(logits.shape[1])
        with tf.GradientTape() as tape:
            loss = student.fusion_loss(model, logits, fused, labels, weight)[2]
        return tape.gradient(tf.convert_to_tensor(loss), model.trainable_variables[0])

    def gradients_of_classifier(student, text, image, labels, classes):
        import numpy as np
        import tensorflow as tf

        model = student.FusionClassifier(16, classes)
        with tf.GradientTape() as tape:
            loss = student.fusion_loss(model, text, image, labels)[2]
        gradients = tape.gradient(tf.convert_to_tensor(loss), model.trainable_variables)
        return [None if gradient is None else np.asarray(tf.convert_to_tensor(gradient)) for gradient in gradients]

    logits, fused, labels = random_batch(rng)
    weight = rng.uniform(0.5, 4.0, size=len(labels))
    gradient = student.run(gradient_of_scale, logits, fused, labels, weight)
    if gradient is None:
        raise AssertionError(
            "The loss has no gradient with respect to the model's weights: it was computed outside TensorFlow, or "
            "turned into a plain number."
        )
    expected = np.zeros(logits.shape[1])
    for row, label, one in zip(logits.astype(np.float64), labels, weight / weight.sum(), strict=True):
        softmax = np.array([math.exp(-cross_entropy(row, index)) for index in range(len(row))])
        expected += one * (softmax - np.eye(len(row))[label]) * row
    assert_close(gradient, expected, rtol=1e-4, atol=1e-5, what="gradient of the loss by a factor on each logit")

    text, image = rng.normal(size=(8, 2)).astype(np.float32), rng.normal(size=(8, 3)).astype(np.float32)
    gradients = student.run(gradients_of_classifier, text, image, np.arange(8) % 3, 3)
    for index, gradient in enumerate(gradients):
        if gradient is None or not np.abs(gradient).max() > 0:
            raise AssertionError(f"The loss does not reach weight array {index} of FusionClassifier(16, 3).")


@points(1)
@catches("float-labels-cast", "label-range-unchecked", "bad-weights-accepted")
def test_loss_refuses_bad_input(student, rng):
    """Labels, shapes and weights that make no sense are refused before TensorFlow sees them."""
    logits, fused, labels = random_batch(rng)
    weight = rng.uniform(0.5, 4.0, size=len(labels))
    with raises(TypeError, ValueError, what="fusion_loss with float labels"):
        loss_value(student, logits, fused, labels.astype(np.float32))
    for bad in (-1, 3):
        with raises(ValueError, what=f"fusion_loss of 3 classes with a label {bad}"):
            loss_value(student, logits, fused, np.where(np.arange(len(labels)) == 2, bad, labels))
    zeros, negative = np.zeros(len(labels)), np.where(np.arange(len(labels)) == 1, -0.1, weight)
    nan, infinite = np.where(weight > 0, np.nan, 0), np.where(np.arange(len(labels)) == 1, np.inf, weight)
    for name, arguments in {
        "one label too few": (logits, fused, labels[1:]),
        "one image too few": (logits, fused[1:], labels),
        "one text too few": (logits[1:], fused, labels),
        "text of shape (batch, 1, width)": (logits[:, None], fused, labels),
        "image of shape (batch, 1, width)": (logits, fused[:, None], labels),
        "labels of shape (batch, 1)": (logits, fused, labels[:, None]),
        "labels of shape (batch, 1) and weights of the same shape": (logits, fused, labels[:, None], weight[:, None]),
        "one weight too few": (logits, fused, labels, weight[1:]),
        "weights of shape (batch, 1)": (logits, fused, labels, weight[:, None]),
        "a negative weight": (logits, fused, labels, negative),
        "all weights 0": (logits, fused, labels, zeros),
        "weights NaN": (logits, fused, labels, nan),
        "an infinite weight": (logits, fused, labels, infinite),
        "an empty batch": (logits[:0], fused[:0], labels[:0]),
    }.items():
        with raises(ValueError, what=f"fusion_loss with {name}"):
            loss_value(student, *arguments)


@points(1)
@catches("divided-by-correct", "ratios-of-rows", "broadcast-labels", "precision-and-recall-swapped", "arithmetic-mean")
def test_score_counts_over_the_whole_set(student, rng):
    """The four counts cover all samples, and the ratios are taken from them, for labels of both shapes."""
    # more wrong positives than missed ones, so that precision, recall and their means differ
    labels = rng.permutation(np.repeat([1, 1, 0, 0], [5, 2, 4, 3]))
    positive = labels.copy()
    positive[np.flatnonzero(labels == 1)[:2]] = 0
    positive[np.flatnonzero(labels == 0)[:4]] = 1
    margin = rng.uniform(0.3, 3.0, size=len(labels)) * np.where(positive == 1, 1, -1)
    base = rng.normal(size=len(labels))
    logits = np.stack([base, base + margin], axis=1).astype(np.float32)  # (batch, 2)
    fused = rng.normal(size=(len(labels), 5)).astype(np.float32)
    expected = expected_score(positive, labels)
    for shape in ((len(labels),), (len(labels), 1)):
        score = student.run(score_of, logits, fused, labels.reshape(shape))
        assert_score(score, expected, f"fuse_and_score(...) with labels {shape}")
    score = student.run(score_of, logits, fused, positive[:, None])
    assert_score(
        score, expected_score(positive, positive), "fuse_and_score(...) of a perfect model with labels (14, 1)"
    )


@points(1)
@catches("above-the-threshold", "nan-for-no-positives", "training-mode")
def test_threshold_zero_division_mode_and_bad_input_of_the_score(student, rng):
    """A probability at the threshold is positive, 0/0 is 0, dropout is off, and impossible input is refused."""
    logits, fused = rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(6, 5)).astype(np.float32)
    labels = np.array([1, 0, 1, 0, 0, 0])
    margin = logits[:, 1].astype(np.float64) - logits[:, 0]
    ordered = np.sort(1 / (1 + np.exp(-margin)))
    middle = float(ordered[1:3].mean())
    # equal logits have the probability 0.5 exactly
    ties = np.array([[1, 1], [2, 2], [0, 0], [3, 1], [0, 0], [1, 2]], np.float32)
    huge = np.array([[-800, 800], [800, -800], [-3000, 3000], [800, -800], [3000, 0], [0, 800]], np.float32)
    for name, scores, truth, threshold, positive in (
        (f"threshold {middle:.3f}", logits, labels, (middle,), margin > math.log(middle / (1 - middle))),
        ("probabilities of exactly 0.5, default threshold", ties, labels, (), [1, 1, 1, 0, 1, 1]),
        ("probabilities of exactly 0.5, threshold 0.75", ties, labels, (0.75,), [0, 0, 0, 0, 0, 0]),
        ("threshold 0", logits, labels, (0.0,), np.ones(6)),
        ("no positive prediction", logits, labels, (1.0,), np.zeros(6)),
        ("no positive label", logits, 0 * labels, (0.0,), np.ones(6)),
        ("no positive at all", logits, 0 * labels, (1.0,), np.zeros(6)),
        ("logits of ±3000", huge, labels, (), [1, 0, 1, 0, 0, 1]),
    ):
        score = student.run(score_of, scores, fused, truth, *threshold)
        assert_score(score, expected_score(positive, truth), f"fuse_and_score(...) with {name}")

    not_finite = np.where(np.arange(12).reshape(6, 2) == 3, np.nan, logits)
    for name, arguments in {
        "no samples": (logits[:0], fused[:0], labels[:0]),
        "one label too few": (logits, fused, labels[1:]),
        "one image too few": (logits, fused[1:], labels),
        "text of shape (batch, 1, width)": (logits[:, None], fused, labels),
        "labels 1 and 2": (logits, fused, labels + 1),
        "labels of shape (batch, 2)": (logits, fused, np.stack([labels, labels], axis=1)),
        "labels of shape (batch, 1, 1)": (logits, fused, labels[:, None, None]),
        "a label 0.5": (logits, fused, np.where(np.arange(6) == 1, 0.5, labels)),
        "three logits a sample": (fused[:, :3], fused, labels),
        "one logit a sample": (logits[:, :1], fused, labels),
        "a logit that is NaN": (not_finite, fused, labels),
        "a logit that is infinite": (np.where(np.isnan(not_finite), np.inf, logits), fused, labels),
    }.items():
        with raises(ValueError, what=f"fuse_and_score with {name}"):
            student.run(score_of, *arguments)
