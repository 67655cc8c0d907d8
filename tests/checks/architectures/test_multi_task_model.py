"""Checks of architectures/multi_task_model: Keras stays in probes; expected values are sums over samples in Python."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
    TensorFlowTensor,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

TASKS = {"spam": 1, "topic": 3, "tone": 4}  # with widths 2 and 3 and 6 units, every weight has a shape of its own
TEXT_WIDTH, IMAGE_WIDTH, HIDDEN = 2, 3, 6


def cross_entropy(row, label):
    """Loss of one sample; a single logit stands for the logits (0, logit) of two classes."""
    row = [float(logit) for logit in row]
    row = [0.0, *row] if len(row) == 1 else row
    largest = max(row)
    return largest + math.log(math.fsum(math.exp(logit - largest) for logit in row)) - row[int(label)]


def expected_losses(logits, labels):
    """Loss of each task: the mean over the samples whose label is known, one sample at a time."""
    losses = {}
    for task, rows in logits.items():
        known = [cross_entropy(row, label) for row, label in zip(rows, labels[task], strict=True) if label >= 0]
        losses[task] = math.fsum(known) / len(known) if known else 0.0
    return losses


def random_logits(rng, tasks, batch=7):
    return {task: rng.normal(scale=2.0, size=(batch, n)).astype(np.float32) for task, n in tasks.items()}


def random_labels(rng, tasks, batch=7):
    """Labels of all classes, in random order, all of them known."""
    return {task: rng.permutation(np.arange(batch) % max(n, 2)) for task, n in tasks.items()}


def as_tensors(logits):
    return {task: TensorFlowTensor(rows) for task, rows in logits.items()}


def losses_of(student, logits, labels, *weights):
    """Total and losses of the submission, as two plain values."""
    result = student.multi_task_loss(as_tensors(logits), labels, *weights)
    assert_equal(len(result), 2, what="number of results of multi_task_loss")
    return result[0], dict(result[1])


def assert_losses(per_task, expected, call, cause=""):
    assert_equal(sorted(per_task), sorted(expected), what=f"keys of per_task of {call}")
    for task, value in expected.items():
        what = f"loss of {task!r} in {call}"
        assert_shape(per_task[task], (), what=what)
        assert_close(per_task[task], value, rtol=1e-5, atol=1e-6, what=what, cause=cause)


@visible
@points(1)
def test_worked_example(student):
    """The shapes, the number of parameters and the losses of the worked example come out."""

    def build(student):
        import numpy as np

        model = student.build_multi_task_model(2, 3, 4, {"spam": 1, "topic": 3})
        outputs = model([np.ones((5, 2), np.float32), np.ones((5, 3), np.float32)])
        return dict(outputs), model.count_params()

    outputs, n_parameters = student.run(build)
    assert_shape(outputs["spam"], (5, 1), what="logit tensor of 'spam'")
    assert_shape(outputs["topic"], (5, 3), what="logit tensor of 'topic'")
    assert_equal(n_parameters, 44, what="number of parameters of the model")
    logits = {
        "spam": np.array([[2.0], [-1.0], [0.5]], np.float32),
        "topic": np.diag([1.0, 2.0, 3.0]).astype(np.float32),
    }
    labels = {"spam": np.array([1, -1, 0]), "topic": np.array([-1, 1, -1])}
    total, per_task = losses_of(student, logits, labels)
    assert_losses(per_task, {"spam": 0.550502, "topic": 0.239545}, "the worked example")
    assert_close(total, 0.790047, rtol=1e-5, what="total of the worked example")
    total, _ = losses_of(student, logits, labels, {"spam": 2.0, "topic": 0.5})
    assert_close(total, 1.220777, rtol=1e-5, what="total of the worked example with weights 2 and 0.5")


@points(1)
@catches("trunk-per-task", "probability-of-two-classes")
def test_model_has_one_trunk_and_a_head_for_each_task(student, rng):
    """Every task has its logits, and the weights are those of one trunk and one head for each task."""

    def forward_twice(student, text, image, hidden, tasks):
        import keras

        model = student.build_multi_task_model(text.shape[1], image.shape[1], hidden, tasks)
        first, second = model([text, image]), model([text, image])
        shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        return isinstance(model, keras.Model), dict(first), dict(second), shapes

    for tasks in (TASKS, {"match": 2}):
        text = rng.normal(size=(5, TEXT_WIDTH)).astype(np.float32)
        image = rng.normal(size=(5, IMAGE_WIDTH)).astype(np.float32)
        is_model, first, second, shapes = student.run(forward_twice, text, image, HIDDEN, tasks)
        assert_equal(is_model, True, what="isinstance(build_multi_task_model(...), keras.Model)")
        assert_equal(sorted(first), sorted(tasks), what="keys of model([text, image])")
        for task, n_logits in tasks.items():
            what = f"tensor model([text, image])[{task!r}]"
            assert_shape(first[task], (5, n_logits), what=what)
            assert_dtype(first[task], "float32", what=what)
            assert_close(second[task], first[task], what=f"{what} of a second call", cause="layers made in each call")
        expected = [(TEXT_WIDTH + IMAGE_WIDTH, HIDDEN), (HIDDEN,)]
        expected += [shape for n_logits in tasks.values() for shape in ((HIDDEN, n_logits), (n_logits,))]
        assert_equal(
            sorted(shapes),
            sorted(expected),
            what=f"sorted shapes of the weights, for widths {TEXT_WIDTH} and {IMAGE_WIDTH}, {HIDDEN} units and {tasks}",
            cause="a trunk that is not shared, or does not see both modalities",
        )


@points(2)
@catches("isolated-towers", "text-only-trunk", "softmax-on-one-logit", "no-non-linearity")
def test_every_head_reads_the_fused_features(student, rng):
    """Every output depends on text and image, through one ReLU layer and one linear head, for any weights."""

    def forward(student, batches, hidden, tasks, seed):
        import numpy as np

        text, image = batches[0]
        model = student.build_multi_task_model(text.shape[1], image.shape[1], hidden, tasks)
        model([text, image])  # the weights exist from here on
        generator = np.random.default_rng(seed)
        model.set_weights([generator.normal(size=tuple(variable.shape)) for variable in model.weights])
        return [dict(model(list(batch))) for batch in batches], [np.asarray(weight) for weight in model.get_weights()]

    text, other_text = rng.normal(size=(2, 8, TEXT_WIDTH)).astype(np.float32)
    image, other_image = rng.normal(size=(2, 8, IMAGE_WIDTH)).astype(np.float32)
    batches = [(text, image), (other_text, image), (text, other_image)]
    (outputs, other_texts, other_images), arrays = student.run(
        forward, batches, HIDDEN, TASKS, int(rng.integers(2**32))
    )
    for task in TASKS:
        for changed, modality in ((other_texts, "text"), (other_images, "image")):
            if not np.abs(changed[task].array - outputs[task].array).max() > 1e-4:
                raise AssertionError(
                    f"model([text, image])[{task!r}] stays the same when the {modality} changes. "
                    "Every task should see both modalities."
                )
    weights = {array.shape: array for array in arrays}
    missing = [shape for n in TASKS.values() for shape in ((HIDDEN, n), (n,)) if shape not in weights]
    missing += [shape for shape in ((TEXT_WIDTH + IMAGE_WIDTH, HIDDEN), (HIDDEN,)) if shape not in weights]
    if missing:
        raise AssertionError(f"Among the weights of the model there is none of the shapes {missing}.")
    kernel, bias = weights[TEXT_WIDTH + IMAGE_WIDTH, HIDDEN], weights[(HIDDEN,)]
    shared = [t @ kernel[:TEXT_WIDTH] + i @ kernel[TEXT_WIDTH:] + bias for t, i in zip(text, image, strict=True)]
    for task, n in TASKS.items():
        logits = np.array([np.where(row > 0, row, 0) @ weights[HIDDEN, n] + weights[(n,)] for row in shared])
        what = f"tensor model([text, image])[{task!r}], for random weights"
        assert_close(
            outputs[task],
            logits,
            rtol=1e-4,
            atol=1e-4,
            what=what,
            cause="an activation, or the order of text and image",
        )


@points(1)
@catches("label-one-refused", "labels-broadcast", "softmax-in-the-loss")
def test_loss_of_a_task_is_its_mean_cross_entropy(student, rng):
    """With all labels known, each task has the mean of its cross-entropies, binary for one logit."""
    tasks = {"spam": 1, "match": 2, "topic": 3}
    for dtype in ("int64", "int32", "int8"):
        logits, labels = random_logits(rng, tasks), random_labels(rng, tasks)
        labels = {task: label.astype(dtype) for task, label in labels.items()}
        total, per_task = losses_of(student, logits, labels)
        expected = expected_losses(logits, labels)
        cause = "what the loss is given (logits, and one column for a task with one logit)"
        assert_losses(per_task, expected, f"multi_task_loss with {dtype} labels", cause)
        for value, what in ((total, "total"), *((loss, "loss of a task") for loss in per_task.values())):
            assert_dtype(value, "float32", what=what)
        assert_shape(total, (), what="total")
        assert_close(total, math.fsum(expected.values()), rtol=1e-5, what="total without weights")
    zeros = {task: np.zeros_like(rows) for task, rows in logits.items()}
    _, per_task = losses_of(student, zeros, labels)
    assert_losses(per_task, {"spam": math.log(2), "match": math.log(2), "topic": math.log(3)}, "logits that are all 0")


@points(1)
@catches("missing-as-class-zero", "divided-by-batch", "nan-without-labels")
@given(data_seed=st.integers(0, 2**32 - 1), n_known=st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_samples_without_a_label_do_not_count(student, data_seed, n_known):
    """A mean is taken over the known labels of a task, and a task without any contributes 0."""
    generator = np.random.default_rng(data_seed)
    logits, labels = random_logits(generator, TASKS, 5), random_labels(generator, TASKS, 5)
    for count, label in zip(n_known, labels.values(), strict=True):
        label[generator.permutation(5)[count:]] = -1
    total, per_task = losses_of(student, logits, labels)
    expected = expected_losses(logits, labels)
    call = f"multi_task_loss with {n_known} known labels of 5"
    assert_losses(per_task, expected, call, "missing labels in the sum, or in the number it is divided by")
    assert_close(total, math.fsum(expected.values()), rtol=1e-5, atol=1e-6, what=f"total of {call}")
    # what the model says about a sample without a label is of no interest
    other = {
        task: np.where((label < 0)[:, None], -3 * logits[task] + 1, logits[task]) for task, label in labels.items()
    }
    again, _ = losses_of(student, other, labels)
    assert_close(
        again, total, rtol=1e-5, atol=1e-6, what=f"total of {call}, after changing logits of unlabelled samples"
    )


@points(1)
@catches("weights-ignored", "weights-normalised")
def test_total_is_the_weighted_sum(student, rng):
    """The total adds up weight times loss, with the weights as they are."""
    logits, labels = random_logits(rng, TASKS), random_labels(rng, TASKS)
    labels["topic"][2:5] = -1
    expected = expected_losses(logits, labels)
    for values in ((2.0, 0.5, 3.0), (0.0, 1.5, 0.25), (0, 0, 0)):
        weights = dict(zip(TASKS, values, strict=True))
        total, per_task = losses_of(student, logits, labels, weights)
        assert_losses(per_task, expected, f"multi_task_loss with weights {values} (per_task is without weights)")
        wanted = math.fsum(weights[task] * expected[task] for task in TASKS)
        assert_close(total, wanted, rtol=1e-5, atol=1e-6, what=f"total with weights {values}")


@points(1)
@catches("zero-chosen-after-division", "total-outside-tensorflow")
def test_gradients(student, rng):
    """The total has the gradient of the known labels, zero for a task without any, and each task reaches the trunk."""

    def gradients_of_logits(student, logits, labels, weights):
        import numpy as np
        import tensorflow as tf

        variables = {task: tf.Variable(rows) for task, rows in logits.items()}
        with tf.GradientTape() as tape:
            outputs = {task: tf.convert_to_tensor(variable) for task, variable in variables.items()}
            total = tf.convert_to_tensor(student.multi_task_loss(outputs, labels, weights)[0])
        gradients = tape.gradient(total, variables)
        return {
            task: None if gradient is None else np.asarray(tf.convert_to_tensor(gradient))
            for task, gradient in gradients.items()
        }

    def gradients_of_model(student, text, image, tasks, labels):
        import numpy as np
        import tensorflow as tf

        model = student.build_multi_task_model(text.shape[1], image.shape[1], 16, tasks)
        with tf.GradientTape() as tape:
            total = tf.convert_to_tensor(student.multi_task_loss(dict(model([text, image])), labels)[0])
        variables = model.trainable_variables
        gradients = tape.gradient(total, variables)
        return [
            (tuple(variable.shape), None if gradient is None else np.asarray(tf.convert_to_tensor(gradient)))
            for variable, gradient in zip(variables, gradients, strict=True)
        ]

    logits, labels = random_logits(rng, TASKS), random_labels(rng, TASKS)
    labels["tone"][:] = -1
    labels["topic"][[0, 3]] = -1
    weights = {"spam": 0.5, "topic": 2.0, "tone": 3.0}
    gradients = student.run(gradients_of_logits, logits, labels, weights)
    if gradients["tone"] is not None:
        expected = np.zeros_like(logits["tone"])
        cause = "a division by zero whose value was replaced, but not its gradient"
        assert_close(gradients["tone"], expected, what="gradient of a task without labels", cause=cause)
    for task in ("spam", "topic"):
        if gradients[task] is None:
            raise AssertionError(f"The total has no gradient with respect to the logits of {task!r}: None came back.")
        known = labels[task] >= 0
        expected = np.zeros(logits[task].shape)
        for sample in np.flatnonzero(known):
            row, label = logits[task][sample], labels[task][sample]
            if len(row) == 1:
                expected[sample] = math.exp(-cross_entropy(row, 1)) - label
            else:
                expected[sample] = [
                    math.exp(-cross_entropy(row, index)) - (index == label) for index in range(len(row))
                ]
        expected *= weights[task] / known.sum()
        assert_close(gradients[task], expected, rtol=1e-4, atol=1e-6, what=f"gradient by the logits of {task!r}")

    text = rng.normal(size=(9, TEXT_WIDTH)).astype(np.float32)
    image = rng.normal(size=(9, IMAGE_WIDTH)).astype(np.float32)
    for only in TASKS:
        labels = {
            task: label if task == only else label * 0 - 1 for task, label in random_labels(rng, TASKS, 9).items()
        }
        for shape, gradient in student.run(gradients_of_model, text, image, TASKS, labels):
            in_trunk = shape in ((TEXT_WIDTH + IMAGE_WIDTH, 16), (16,))
            if in_trunk and (gradient is None or not np.abs(gradient).max() > 0):
                raise AssertionError(f"With labels for {only!r} alone, the trunk's weight {shape} gets no gradient.")
            if gradient is not None and not np.isfinite(gradient).all():
                raise AssertionError(
                    f"With labels for {only!r} alone, the gradient of the weight {shape} is not finite."
                )


@points(1)
@catches("keys-not-compared", "label-range-unchecked", "any-weight-accepted")
def test_impossible_input_is_refused(student, rng):
    """Tasks, labels and weights that make no sense raise ValueError before TensorFlow sees them."""

    def build(student, tasks):
        return type(student.build_multi_task_model(2, 3, 4, tasks)).__name__

    for tasks in ({}, {"spam": 1, "topic": 0}, {"spam": -2}):
        with raises(ValueError, what=f"build_multi_task_model with tasks {tasks}"):
            student.run(build, tasks)

    logits, labels = random_logits(rng, TASKS), random_labels(rng, TASKS)
    ones = dict.fromkeys(TASKS, 1.0)
    third = np.arange(7) == 2
    without_tone = {task: label for task, label in labels.items() if task != "tone"}
    for name, arguments in {
        "no tasks": ({}, {}),
        "no labels for one task": (logits, without_tone),
        "labels for a task without outputs": (logits, {**labels, "mood": labels["tone"]}),
        "another task's name in the labels": (logits, {**without_tone, "Tone": labels["tone"]}),
        "no weight for one task": (logits, labels, {"spam": 1.0, "topic": 1.0}),
        "a weight for a task without outputs": (logits, labels, {**ones, "mood": 1.0}),
        "a label -2": (logits, {**labels, "topic": np.where(third, -2, labels["topic"])}),
        "a label 3 of 3 classes": (logits, {**labels, "topic": np.where(third, 3, labels["topic"])}),
        "a label 2 for one logit": (logits, {**labels, "spam": np.where(third, 2, labels["spam"])}),
        "one label too few": (logits, {**labels, "topic": labels["topic"][1:]}),
        "labels of shape (batch, 1)": (logits, {**labels, "spam": labels["spam"][:, None]}),
        "a negative weight": (logits, labels, {**ones, "topic": -0.5}),
        "a weight that is NaN": (logits, labels, {**ones, "topic": math.nan}),
        "an infinite weight": (logits, labels, {**ones, "topic": math.inf}),
    }.items():
        with raises(ValueError, what=f"multi_task_loss with {name}"):
            losses_of(student, *arguments)
    with raises(TypeError, ValueError, what="multi_task_loss with float labels"):
        losses_of(student, logits, {**labels, "topic": labels["topic"].astype(np.float32)})


@points(1)
@catches("logarithm-of-a-probability")
def test_large_logits(student, rng):
    """Logits of ±1000 give finite losses and gradients."""

    def loss_and_gradients(student, logits, labels):
        import numpy as np
        import tensorflow as tf

        variables = {task: tf.Variable(rows) for task, rows in logits.items()}
        with tf.GradientTape() as tape:
            outputs = {task: tf.convert_to_tensor(variable) for task, variable in variables.items()}
            total, per_task = student.multi_task_loss(outputs, labels)
        gradients = tape.gradient(tf.convert_to_tensor(total), variables)
        return dict(per_task), {
            task: np.asarray(tf.convert_to_tensor(gradient)) for task, gradient in gradients.items()
        }

    spam = np.array([[1000], [-1000], [1000], [-60]], np.float32)
    topic = np.array([[1000, 0, -1000], [0, 1000, -1000], [0, 0, 60], [-1000, 0, 0]], np.float32)
    labels = {"spam": np.array([0, 1, 1, -1]), "topic": np.array([2, 1, 0, -1])}
    per_task, gradients = student.run(loss_and_gradients, {"spam": spam, "topic": topic}, labels)
    expected = expected_losses({"spam": spam, "topic": topic}, labels)
    assert_losses(per_task, expected, "multi_task_loss with logits of ±1000", "log(0), or clipped probabilities")
    expected = np.array([[1.0], [-1.0], [0.0], [0.0]]) / 3
    assert_close(
        gradients["spam"], expected, atol=1e-6, what="gradient by the logits of 'spam' (1000, -1000, 1000, -60)"
    )
    if not np.isfinite(gradients["topic"]).all():
        raise AssertionError("The gradient by the logits of 'topic' is not finite for logits of ±1000.")
