"""Wrong answers and alternatives of architectures/multi_task_model.

The published answer has no loss at all; its model, `isolated-towers`, runs.
"""

from grader.catalogue import Alternative, WrongAnswer

MODEL = "test_model_has_one_trunk_and_a_head_for_each_task"
HEADS = "test_every_head_reads_the_fused_features"
VALUE = "test_loss_of_a_task_is_its_mean_cross_entropy"
MISSING = "test_samples_without_a_label_do_not_count"
REFUSED = "test_impossible_input_is_refused"

JOIN = "keras.layers.Concatenate()([text, image])"
SHARED = 'shared = keras.layers.Dense(hidden_size, activation="relu")(joined)'
HEAD = "keras.layers.Dense(n_logits)(shared)"
SIGMOID = "tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits[:, 0])"
MEAN = "tf.reduce_sum(known * losses) / max(known.sum(), 1)"

wrong_answers = [
    WrongAnswer(
        id="isolated-towers",
        title="one network on the text and one on the image that never meet",
        explanation=(
            "One task reads the text, the other the image. Change the image and the text task's output stays exactly "
            "as it was; nothing is shared, so no task can help another. What do all heads have to read?"
        ),
        caught_by=HEADS,
        swap=(
            (
                HEAD,
                "keras.layers.Dense(n_logits)(\n"
                '            keras.layers.Dense(hidden_size, activation="relu")([text, image][list(tasks).index(task) % 2])\n'
                "        )",
            ),
        ),
    ),
    WrongAnswer(
        id="text-only-trunk",
        title="the shared trunk sees the text only",
        explanation=(
            "The tasks share a trunk, but the image never gets into it. Joining is of no use if a later layer is "
            "called on one of the parts. Look at the shape of the trunk's kernel."
        ),
        caught_by=HEADS,
        swap=((SHARED, 'shared = keras.layers.Dense(hidden_size, activation="relu")(text)'),),
    ),
    WrongAnswer(
        id="trunk-per-task",
        title="every task has a trunk of its own",
        explanation=(
            "Each task sees both modalities, but through a layer of its own: these are several models in one "
            "dictionary, and the labels of one task teach the others nothing. Make the trunk once, before the heads."
        ),
        caught_by=MODEL,
        swap=((HEAD, 'keras.layers.Dense(n_logits)(keras.layers.Dense(hidden_size, activation="relu")(joined))'),),
    ),
    WrongAnswer(
        id="probability-of-two-classes",
        title="a task with one logit gets two",
        explanation=(
            "A yes-or-no task with one logit is read by the binary cross-entropy; your head has two outputs for it. "
            "`tasks` gives the number of logits, not of classes, for such a task."
        ),
        caught_by=MODEL,
        swap=((HEAD, "keras.layers.Dense(max(n_logits, 2))(shared)"),),
    ),
    WrongAnswer(
        id="softmax-on-one-logit",
        title="the heads apply a softmax, also to a single logit",
        explanation=(
            "A softmax over one number is 1, whatever the number: that head says the same about every sample and never "
            "learns. And the losses here expect logits in any case. What activation does a head that returns logits "
            "have?"
        ),
        caught_by=HEADS,
        swap=((HEAD, 'keras.layers.Dense(n_logits, activation="softmax")(shared)'),),
    ),
    WrongAnswer(
        id="no-non-linearity",
        title="the trunk has no non-linearity",
        explanation=(
            "Without a non-linearity the trunk and each head together are one linear layer, so text and image add up "
            "but cannot interact."
        ),
        caught_by=HEADS,
        swap=((SHARED, "shared = keras.layers.Dense(hidden_size)(joined)"),),
    ),
    WrongAnswer(
        id="label-one-refused",
        title="labels are compared with the number of logits, also if that is 1",
        explanation=(
            "A task with one logit has two classes, 0 and 1. Comparing its labels with the number of logits refuses "
            "every positive sample."
        ),
        caught_by=VALUE,
        swap=(("n_classes = max(n_logits, 2)", "n_classes = n_logits"),),
    ),
    WrongAnswer(
        id="labels-broadcast",
        title="labels (batch,) meet logits (batch, 1)",
        explanation=(
            "Every label is compared with every logit: the result is (batch, batch), and its mean is a number that "
            "looks plausible. Bring the two to one shape first."
        ),
        caught_by=VALUE,
        swap=((SIGMOID, "tf.reduce_mean(tf.nn.softplus(logits) - target * logits, axis=1)"),),
    ),
    WrongAnswer(
        id="softmax-in-the-loss",
        title="a softmax is applied before a loss that contains one",
        explanation=(
            "The logits go through a softmax and then into a loss that applies another. The loss of a sure and right "
            "model stays large, and gradients fade. Count the softmaxes."
        ),
        caught_by=VALUE,
        swap=(
            (
                "(target.astype(np.int64), logits)  # (batch,)",
                "(target.astype(np.int64), tf.nn.softmax(logits))  # (batch,)",
            ),
        ),
    ),
    WrongAnswer(
        id="missing-as-class-zero",
        title="a missing label is treated as class 0",
        explanation=(
            "Samples without a label count as members of class 0, so the model learns to say 0 where nobody knows. "
            "Their losses must not enter the sum."
        ),
        caught_by=MISSING,
        swap=(("known = (label >= 0)", "known = (label >= -1)"),),
    ),
    WrongAnswer(
        id="divided-by-batch",
        title="the sum over known labels is divided by the batch",
        explanation=(
            "The sum is right, the divisor is not: a task with few labels gets a small loss, so it is drowned by the "
            "others. Over how many samples is the mean taken?"
        ),
        caught_by=MISSING,
        swap=((MEAN, "tf.reduce_mean(known * losses)"),),
    ),
    WrongAnswer(
        id="nan-without-labels",
        title="a task without known labels becomes NaN",
        explanation=(
            "A batch in which nobody labelled a task is common, and 0 / 0 turns the whole total into NaN. Which "
            "divisor gives 0 there and changes nothing otherwise?"
        ),
        caught_by=MISSING,
        swap=((MEAN, "tf.reduce_sum(known * losses) / known.sum()"),),
    ),
    WrongAnswer(
        id="weights-ignored",
        title="the weights are not used",
        explanation="The total is the same for all weights. Each task's loss is multiplied by its weight in the total.",
        caught_by="test_total_is_the_weighted_sum",
        swap=(("total += weight * per_task[task]", "total += per_task[task]"),),
    ),
    WrongAnswer(
        id="weights-normalised",
        title="the total is divided by the sum of the weights",
        explanation=(
            "Your total is a weighted mean of the tasks. Here it is a weighted sum: doubling all weights doubles it, "
            "and weights that are all 0 give 0."
        ),
        caught_by="test_total_is_the_weighted_sum",
        swap=(("    return total, per_task", "    return total / sum(weights.values()), per_task"),),
    ),
    WrongAnswer(
        id="zero-chosen-after-division",
        title="0 / 0 is replaced after the division",
        explanation=(
            "The value of a task without labels is 0, but its gradient is NaN: on the way back, the division that was "
            "not chosen still multiplies 0 by infinity. After one step all weights are NaN. Keep the division itself "
            "from going wrong."
        ),
        caught_by="test_gradients",
        swap=(
            (
                MEAN,
                "tf.where(known.any(), tf.reduce_sum(losses / (tf.reduce_sum(known) / known)), 0.0)",
            ),
        ),
    ),
    WrongAnswer(
        id="total-outside-tensorflow",
        title="the total is a plain number",
        explanation=(
            "`float` takes the value out of TensorFlow, and a tape cannot follow it: every gradient is None. Add up "
            "the tensors."
        ),
        caught_by="test_gradients",
        swap=(("total += weight * per_task[task]", "total += weight * float(per_task[task])"),),
    ),
    WrongAnswer(
        id="keys-not-compared",
        title="tasks without labels or outputs are skipped",
        explanation=(
            "A slip in a task's name switches that task off without a word. Compare the keys of outputs, labels and "
            "weights first; missing labels are said with -1."
        ),
        caught_by=REFUSED,
        swap=(
            ("if not outputs or not outputs.keys() == labels.keys() == weights.keys():", "if not outputs:"),
            (
                "        batch, n_logits = logits.shape\n",
                "        if task not in labels or task not in weights:\n            continue\n"
                "        batch, n_logits = logits.shape\n",
            ),
        ),
    ),
    WrongAnswer(
        id="label-range-unchecked",
        title="labels out of range are not noticed",
        explanation=(
            "A label -2 counts as missing, and one that is too large reaches TensorFlow, which stops with an error of "
            "its own on a CPU and returns NaN on a GPU. Compare with -1 and with the number of classes first."
        ),
        caught_by=REFUSED,
        swap=((" or not np.isin(label, range(-1, n_classes)).all():", ":"),),
    ),
    WrongAnswer(
        id="any-weight-accepted",
        title="negative and infinite weights are accepted",
        explanation=(
            "A negative weight makes the model as bad as possible at that task. Phrase the condition so that NaN fails "
            "it too."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "        if not 0 <= weight < np.inf:  # written so that NaN is refused too\n"
                '            raise ValueError(f"the weight of {task} must be finite and 0 or more, not {weight}")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="logarithm-of-a-probability",
        title="probabilities first, then their logarithm",
        explanation=(
            "For a large logit the probability rounds to 0 or 1, and its logarithm is infinite. The cross-entropy can "
            "be computed from the logit directly, in a form that cannot overflow; the libraries have it."
        ),
        caught_by="test_large_logits",
        swap=(
            (
                SIGMOID,
                "-target * tf.math.log(tf.sigmoid(logits[:, 0])) - (1 - target) * tf.math.log(\n"
                "                1 - tf.sigmoid(logits[:, 0])\n"
                "            )",
            ),
        ),
    ),
]

# Keras raises ValueError too, for a model without outputs and for a layer without units; ours says which task it is.
equivalent_mutants = {
    "Or -> And in `if not tasks or min(tasks.values()) < 1:`": (
        "without tasks, min raises ValueError; with too few logits, keras.layers.Dense does"
    ),
    "dropped `raise ValueError(f'at least one task is needed": (
        "a Keras model without outputs and a Dense layer without units raise ValueError as well"
    ),
}

alternatives = [
    Alternative(
        id="subclass-and-gathered-samples",
        title="a subclass of keras.Model, and losses of the known samples only",
        code="""
class MultiTask(keras.Model):
    def __init__(self, hidden_size, tasks):
        super().__init__()
        self.trunk = keras.layers.Dense(hidden_size)
        self.heads = [keras.layers.Dense(n) for n in tasks.values()]
        self.names = list(tasks)

    def call(self, inputs):
        shared = tf.nn.relu(self.trunk(tf.concat(inputs, axis=1)))
        return {name: head(shared) for name, head in zip(self.names, self.heads)}


def build_multi_task_model(text_width, image_width, hidden_size, tasks):
    if len(tasks) == 0 or any(n <= 0 for n in tasks.values()):
        raise ValueError(tasks)
    return MultiTask(hidden_size, tasks)


def multi_task_loss(outputs, labels, weights=None):
    if weights is None:
        weights = {task: 1.0 for task in outputs}
    if len(outputs) == 0 or set(outputs) != set(labels) or set(outputs) != set(weights):
        raise ValueError("tasks")
    losses = {}
    for task in outputs:
        label, logits = labels[task], outputs[task]
        if label.dtype.kind != "i" or label.ndim != 1 or len(label) != logits.shape[0]:
            raise ValueError("labels")
        if label.min() < -1 or label.max() > max(1, logits.shape[1] - 1):
            raise ValueError("label range")
        if not (np.isfinite(weights[task]) and weights[task] >= 0):
            raise ValueError("weights")
        rows = np.flatnonzero(label != -1)
        if len(rows) == 0:
            losses[task] = tf.zeros(())
            continue
        logits, label = tf.gather(logits, rows), label[rows]
        if logits.shape[1] == 1:
            logits = tf.concat([tf.zeros_like(logits), logits], axis=1)  # two classes
        right = tf.gather(tf.nn.log_softmax(logits), label.astype(np.int32), axis=1, batch_dims=1)
        losses[task] = -tf.reduce_mean(right)
    return tf.add_n([weights[task] * loss for task, loss in losses.items()]), losses
""",
    ),
    Alternative(
        id="keras-losses",
        title="Keras's own losses, with the mask as sample weights",
        code="""
def build_multi_task_model(text_width, image_width, hidden_size, tasks):
    if not tasks:
        raise ValueError("no tasks")
    inputs = [keras.layers.Input(shape=(width,)) for width in (text_width, image_width)]
    trunk = keras.layers.Activation("relu")(keras.layers.Dense(hidden_size)(keras.ops.concatenate(inputs, axis=-1)))
    outputs = {}
    for task, units in tasks.items():
        if units < 1:
            raise ValueError(task)
        outputs[task] = keras.layers.Dense(units, activation="linear", name=f"head_of_{task}")(trunk)
    return keras.Model(inputs=inputs, outputs=outputs)


def multi_task_loss(outputs, labels, weights=None):
    weights = weights or dict.fromkeys(outputs, 1)
    for other in (labels, weights):
        if set(other) != set(outputs):
            raise ValueError("tasks")
    if not outputs:
        raise ValueError("no tasks")
    per_task = {}
    for task, label in labels.items():
        if not np.issubdtype(label.dtype, np.signedinteger):
            raise TypeError("integers only")
        samples, classes = outputs[task].shape
        highest = classes - 1 if classes > 1 else 1
        if label.shape != (samples,) or not all(-1 <= one <= highest for one in label.tolist()):
            raise ValueError("labels")
        if not 0 <= weights[task] <= 1e300:
            raise ValueError("weights")
        mask = label != -1
        clean = np.where(mask, label, 0).astype("int32")[:, None]  # (samples, 1)
        kind = keras.losses.BinaryCrossentropy if classes == 1 else keras.losses.SparseCategoricalCrossentropy
        compute = kind(from_logits=True, reduction="sum")
        total = compute(clean, outputs[task], sample_weight=mask.astype("float32"))
        per_task[task] = tf.math.divide_no_nan(total, tf.cast(tf.math.count_nonzero(mask), tf.float32))
    total = 0.0
    for task, weight in weights.items():
        total = total + per_task[task] * weight
    return total, per_task
""",
    ),
    Alternative(
        id="one-hot-and-safe-divisor",
        title="one-hot targets that are zero where the label is missing, and a divisor that is chosen first",
        code="""
def multi_task_loss(outputs, labels, weights=None):
    names = sorted(outputs)
    weights = {name: 1.0 for name in names} if weights is None else weights
    if not names or names != sorted(labels) or names != sorted(weights):
        raise ValueError("the tasks differ")
    if not all(0 <= weights[name] < float("inf") for name in names):
        raise ValueError("weights")
    per_task = {}
    for name in names:
        logits, label = outputs[name], np.asarray(labels[name])
        if label.dtype.kind not in "iu":
            raise TypeError(label.dtype)
        if logits.shape[-1] == 1:
            logits = logits * tf.constant([[0.0, 1.0]])  # (batch, 2)
        classes = logits.shape[-1]
        if label.shape != tuple(logits.shape[:1]) or np.any(label < -1) or np.any(label >= classes):
            raise ValueError("labels")
        target = tf.one_hot(label.astype(np.int64), classes)  # (batch, classes), a row of zeros where it is -1
        surprise = tf.reduce_logsumexp(logits, axis=1, keepdims=True) - logits  # (batch, classes)
        count = tf.reduce_sum(target)
        per_task[name] = tf.reduce_sum(target * surprise) / tf.where(count == 0, 1.0, count)
    stacked = tf.stack([per_task[name] for name in names])
    return tf.tensordot(stacked, tf.constant([float(weights[name]) for name in names]), axes=1), per_task
""",
    ),
]
