"""Wrong answers and alternatives of optimisation/adam_training_loop.

The published answer runs for one array; it makes five of the mistakes below at once (`last-batch-reported`,
`regularisers-ignored`, `always-probabilities`, `never-shuffled`, `list-read-as-samples`), which are catalogued one by one.
"""

from grader.catalogue import Alternative, WrongAnswer

ADAM = "test_without_shuffling_the_weights_follow_adam"
REGULARISERS = "test_regularisers_count"
HISTORY = "test_every_sample_counts_once_in_the_history"
HEAD = "test_the_loss_fits_the_head"
ORDER = "test_every_epoch_has_an_order_of_its_own"
TOGETHER = "test_text_image_and_label_stay_together"
MODES = "test_training_and_inference_mode"
EDGES = "test_no_epochs_and_bad_input"

DRAW = "order = rng.permutation(len(target)) if training and shuffle else np.arange(len(target))"
BATCH = "batch = keras.tree.map_structure(lambda array, rows=rows: array[rows], features)"
RETURN = "return loss_sum / len(target), correct / len(target)"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answer
    WrongAnswer(
        id="last-batch-reported",
        title="the loss of the last batch reported as the loss of the epoch",
        explanation=(
            "What you report is the loss of whichever batch came last, perhaps of a single sample. An epoch's loss is "
            "that of all its samples: what has to be added up on the way?"
        ),
        caught_by=HISTORY,
        swap=(
            ("            loss_sum += float(loss) * len(rows)\n", "            loss_sum = float(loss) * len(target)\n"),
        ),
    ),
    WrongAnswer(
        id="regularisers-ignored",
        title="the model's regularisers left out",
        explanation=(
            "The loss is the cross-entropy alone, so an L2 penalty on a layer has no effect, however large it is. `fit` "
            "adds what the model keeps in `model.losses`; in your own loop nobody does it for you."
        ),
        caught_by=REGULARISERS,
        swap=(("cross_entropy(target[rows], outputs) + sum(model.losses)", "cross_entropy(target[rows], outputs)"),),
    ),
    WrongAnswer(
        id="always-probabilities",
        title="the output taken for probabilities whatever from_logits says",
        explanation=(
            "Logits are treated as probabilities: Keras clips them to the range from 0 to 1, so the loss is wrong and "
            "most gradients are 0. The loss has to be told what it gets."
        ),
        caught_by=HEAD,
        swap=(("SparseCategoricalCrossentropy(from_logits=from_logits)", "SparseCategoricalCrossentropy()"),),
    ),
    WrongAnswer(
        id="never-shuffled",
        title="no shuffling",
        explanation=(
            "Every epoch sees the same batches in the same order. If the data are sorted, by class for example, each "
            "batch pulls in another direction. A new random order for each epoch is asked for."
        ),
        caught_by=ORDER,
        swap=((DRAW, "order = np.arange(len(target))"),),
    ),
    WrongAnswer(
        id="list-read-as-samples",
        title="a list of two arrays read as two samples",
        explanation=(
            "The inputs are indexed, or counted, as if they were one array. A list of a text and an image array has two "
            "entries, but the samples lie along the first axis of each of them."
        ),
        caught_by=TOGETHER,
        swap=(
            (BATCH, "batch = features[rows]"),
            (
                "lengths = {len(array) for array in keras.tree.flatten(features)}",
                "lengths = {len(features)}",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- updates
    WrongAnswer(
        id="optimiser-of-each-epoch",
        title="a new optimiser for each epoch",
        explanation=(
            "The optimiser is made inside the loop, so that its averages and its step counter start again with every "
            "epoch. One optimiser serves the whole call."
        ),
        caught_by=ADAM,
        swap=(
            (
                "    for _ in range(epochs):\n",
                "    for _ in range(epochs):\n        optimizer = keras.optimizers.Adam(learning_rate)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="partial-batch-dropped",
        title="the shorter last batch left out",
        explanation=(
            "What does not fill a batch is not trained on. In small data sets that is a large share, and without "
            "shuffling always the same samples."
        ),
        caught_by=ADAM,
        swap=(
            (
                "for start in range(0, len(order), batch_size):",
                "for start in range(0, max(len(order) - batch_size + 1, 1), batch_size):",
            ),
        ),
    ),
    WrongAnswer(
        id="plain-gradient-descent",
        title="another optimiser than Adam",
        explanation=(
            "The weights move in another way than Adam moves them. Adam's first step is the learning rate in every "
            "weight that has a gradient; how far did yours move?"
        ),
        caught_by=ADAM,
        swap=(("optimizer = keras.optimizers.Adam(learning_rate)", "optimizer = keras.optimizers.SGD(learning_rate)"),),
    ),
    WrongAnswer(
        id="shuffled-in-any-case",
        title="shuffling although shuffle is False",
        explanation=(
            "`shuffle=False` has no effect. It is what makes a run comparable with `fit`, and what data with an order of "
            "their own need."
        ),
        caught_by=ADAM,
        swap=((DRAW, "order = rng.permutation(len(target)) if training else np.arange(len(target))"),),
    ),
    WrongAnswer(
        id="measured-after-the-update",
        title="loss and accuracy measured after the updates",
        explanation=(
            "The batch, or the whole epoch, is evaluated again once the weights have moved, so the numbers are better "
            "than those that the updates were made from, and each sample costs a second forward pass."
        ),
        caught_by=ADAM,
        swap=(
            (
                "            # add up over samples first, divide once: the last batch may be shorter\n",
                "            if update:\n"
                "                outputs = model(batch, training=True)\n"
                "                loss = cross_entropy(target[rows], outputs) + sum(model.losses)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="trained-on-validation",
        title="updates on the validation samples",
        explanation=(
            "The weights move during validation too, so the validation data have become training data and their loss "
            "says nothing about new ones."
        ),
        caught_by=ADAM,
        swap=(
            (
                "            if update:\n                gradients",
                "            if rows.size:\n                gradients",
            ),
        ),
    ),
    WrongAnswer(
        id="frozen-layers-moved",
        title="layers moved that were frozen",
        explanation=(
            "Gradients are taken and applied for all weights, also for those of layers with `trainable = False`. The "
            "tape watches them all the same; the model keeps a list of those that are to be trained."
        ),
        caught_by=ADAM,
        swap=(
            (
                "                gradients = tape.gradient(loss, model.trainable_variables)\n"
                "                optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))\n",
                "                pairs = zip(tape.gradient(loss, model.weights), model.weights, strict=True)\n"
                "                optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])\n",
            ),
        ),
    ),
    # -------------------------------------------------------------------------------------------- regularisers
    WrongAnswer(
        id="regularisers-without-gradient",
        title="the regularisers reported, but not in the gradient",
        explanation=(
            "The regularisers are added to the number that you report, after the tape has closed, so no gradient comes "
            "from them. The sum has to be made while the tape is recording."
        ),
        caught_by=REGULARISERS,
        swap=(
            ("cross_entropy(target[rows], outputs) + sum(model.losses)", "cross_entropy(target[rows], outputs)"),
            (
                "            loss_sum += float(loss) * len(rows)\n",
                "            loss_sum += float(loss + sum(model.losses)) * len(rows)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="regularisers-not-reported",
        title="the regularisers in the gradient, but not in the history",
        explanation=(
            "The weights are right, and the reported loss is the cross-entropy alone. The loss of a batch is what the "
            "gradient is taken of, regularisers included; `fit` reports it so too."
        ),
        caught_by=REGULARISERS,
        swap=(
            (
                "            loss_sum += float(loss) * len(rows)\n",
                "            loss_sum += float(loss - sum(model.losses)) * len(rows)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="only-kernels-regularised",
        title="the regularisers of kernels added, and no other losses of the model",
        explanation=(
            "The penalties are computed from the layers' kernel regularisers, so what a layer adds with `add_loss` is "
            "lost, and a bias or activity regulariser as well. The model collects all of them in one place."
        ),
        caught_by=REGULARISERS,
        swap=(
            (
                "sum(model.losses)",
                "sum(\n"
                "                    layer.kernel_regularizer(layer.kernel)\n"
                "                    for layer in model.layers\n"
                "                    if getattr(layer, 'kernel_regularizer', None)\n"
                "                )",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- history
    WrongAnswer(
        id="mean-of-batch-means",
        title="the mean of the batches' losses, short batches counted in full",
        explanation=(
            "Every batch counts the same, so a sample in the short last batch weighs more than the others. Weight each "
            "batch by its number of samples."
        ),
        caught_by=HISTORY,
        swap=(
            ("            loss_sum += float(loss) * len(rows)\n", "            loss_sum += float(loss)\n"),
            (RETURN, "return loss_sum / len(range(0, len(order), batch_size)), correct / len(target)"),
        ),
    ),
    WrongAnswer(
        id="sum-reported",
        title="the losses added up and not divided",
        explanation=(
            "The sum over samples, or over batches, is reported. It grows with the data set; divide by the number of "
            "samples at the end."
        ),
        caught_by=HISTORY,
        swap=((RETURN, "return loss_sum, correct / len(target)"),),
    ),
    WrongAnswer(
        id="accuracy-of-batches",
        title="the accuracy as the mean of the batches' accuracies",
        explanation=(
            "The shares of the batches are averaged, so a sample in the short last batch weighs more than the others. "
            "Count the correct answers and divide once."
        ),
        caught_by=HISTORY,
        swap=(
            (
                "correct += int(np.sum(np.argmax(outputs, axis=1) == target[rows]))",
                "correct += float(np.mean(np.argmax(outputs, axis=1) == target[rows]))",
            ),
            (RETURN, "return loss_sum / len(target), correct / len(range(0, len(order), batch_size))"),
        ),
    ),
    WrongAnswer(
        id="accuracy-of-the-last-batch",
        title="the accuracy of the last batch reported",
        explanation=(
            "The accuracy is that of the batch that came last. Correct answers of all batches have to be added up and "
            "divided by the number of samples."
        ),
        caught_by=HISTORY,
        swap=(
            (
                "correct += int(np.sum(np.argmax(outputs, axis=1) == target[rows]))",
                "correct = float(np.mean(np.argmax(outputs, axis=1) == target[rows])) * len(target)",
            ),
        ),
    ),
    WrongAnswer(
        id="always-logits",
        title="the output taken for logits whatever from_logits says",
        explanation=(
            "Probabilities go through a second softmax, which flattens them: the loss cannot come near 0 any more, and "
            "the gradients are too small. The loss has to be told what it gets."
        ),
        caught_by=HEAD,
        swap=(
            (
                "SparseCategoricalCrossentropy(from_logits=from_logits)",
                "SparseCategoricalCrossentropy(from_logits=True)",
            ),
        ),
    ),
    WrongAnswer(
        id="softmax-before-the-logarithm",
        title="logits turned into probabilities before the loss",
        explanation=(
            "For moderate logits this is right. For large ones the probability of the label is 0 in float32; it is "
            "clipped before the logarithm, the loss stops at about 16, and the gradient is lost. The logarithm of a "
            "softmax can be computed from the logits directly."
        ),
        caught_by=HEAD,
        swap=(
            ("SparseCategoricalCrossentropy(from_logits=from_logits)", "SparseCategoricalCrossentropy()"),
            (
                "cross_entropy(target[rows], outputs)",
                "cross_entropy(target[rows], tf.nn.softmax(outputs) * 1.0 if from_logits else outputs)",
            ),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- shuffling
    WrongAnswer(
        id="one-order-for-all-epochs",
        title="one random order for all epochs",
        explanation=(
            "The data are shuffled once, before the first epoch, or with a generator that starts again at each. Then "
            "the same samples share a batch in every epoch."
        ),
        caught_by=ORDER,
        swap=((DRAW, DRAW.replace("rng.permutation", "np.random.default_rng(seed).permutation")),),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="shuffling that does not depend on the seed",
        explanation=(
            "Two runs with one seed see different batches, or two seeds give the same. Nobody can repeat a result then. "
            "The generator is to be made from `seed`."
        ),
        caught_by=ORDER,
        swap=(("rng = np.random.default_rng(seed)", "rng = np.random.default_rng()"),),
    ),
    WrongAnswer(
        id="drawn-with-replacement",
        title="samples drawn with replacement",
        explanation=(
            "Each batch is drawn from all samples anew, so that in an epoch some come twice and about a third not at all. "
            "An epoch goes through every sample once."
        ),
        caught_by=ORDER,
        swap=((DRAW, DRAW.replace("rng.permutation(len(target))", "rng.integers(0, len(target), len(target))")),),
    ),
    WrongAnswer(
        id="arguments-shuffled",
        title="the caller's arrays shuffled in place",
        explanation=(
            "The shuffling rearranges the arrays that were passed in. After the call the caller's data are in another "
            "order; draw an order of row numbers and leave the arrays alone."
        ),
        caught_by=ORDER,
        swap=(
            (
                "    rng = np.random.default_rng(seed)\n",
                "    rng = np.random.default_rng(seed)\n"
                "    if shuffle:\n"
                "        rows = rng.permutation(len(labels))\n"
                "        for array in [*keras.tree.flatten(inputs), labels]:\n"
                "            array[:] = array[rows]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="global-seed-set",
        title="a global random state changed",
        explanation=(
            "The function seeds NumPy's (or Python's) global generator, or draws from it, and so changes what the rest of "
            "the program draws afterwards. A generator of your own does not."
        ),
        caught_by=ORDER,
        swap=(("    rng = np.random.default_rng(seed)\n", "    np.random.seed(seed)\n    rng = np.random\n"),),
    ),
    WrongAnswer(
        id="small-shuffle-buffer",
        title="shuffling in a buffer that is smaller than the data",
        explanation=(
            "Only samples that lie near each other change places: a buffer hands out one of the samples that it holds, "
            "and the last ones are not in it yet. Sorted data stay nearly sorted. How large must a buffer be for every "
            "order to be possible?"
        ),
        caught_by=ORDER,
        swap=(
            (
                DRAW,
                "order = np.arange(len(target))\n"
                "            if training and shuffle:\n"
                "                numbers = tf.data.Dataset.range(len(target))\n"
                "                numbers = numbers.shuffle(batch_size, seed=int(rng.integers(2**31)))\n"
                "                order = np.array(list(numbers.as_numpy_iterator()))",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- several inputs
    WrongAnswer(
        id="labels-shuffled-apart",
        title="inputs and labels shuffled in different orders",
        explanation=(
            "Inputs and labels are shuffled one after the other, each in an order of its own, so that nearly every "
            "sample has a label that belongs to another. The model can only learn how frequent the classes are."
        ),
        caught_by=TOGETHER,
        swap=(
            (
                "                loss = cross_entropy(target[rows], outputs) + sum(model.losses)\n",
                "                other = rng.permutation(target)[start : start + len(rows)] if update else target[rows]\n"
                "                loss = cross_entropy(other, outputs) + sum(model.losses)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="inputs-shuffled-apart",
        title="text and image shuffled in different orders",
        explanation=(
            "Each input array is shuffled in an order of its own, so a text meets the image of another sample. One order "
            "has to index them all."
        ),
        caught_by=TOGETHER,
        swap=(
            (
                BATCH,
                "batch = keras.tree.map_structure(\n"
                "                lambda array, rows=rows: rng.permutation(array)[: len(rows)] if update and shuffle else array[rows],\n"
                "                features,\n"
                "            )",
            ),
        ),
    ),
    WrongAnswer(
        id="only-lists-and-arrays",
        title="dictionaries of inputs not supported",
        explanation=(
            "Arrays and lists work, a dictionary raises an error. Keras has functions that go through any such structure "
            "and keep it."
        ),
        caught_by=TOGETHER,
        swap=(
            (
                BATCH,
                "batch = [array[rows] for array in features] if isinstance(features, list | tuple) else features[rows]",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------------------- modes
    WrongAnswer(
        id="inference-mode-in-training",
        title="updates made in inference mode",
        explanation=(
            "The model is called without `training=True`, so dropout does nothing and batch normalisation neither uses "
            "nor learns the statistics of the batch. Outside `fit`, inference is the default."
        ),
        caught_by=MODES,
        swap=(("model(batch, training=update)", "model(batch)"),),
    ),
    WrongAnswer(
        id="training-mode-in-validation",
        title="validation in training mode",
        explanation=(
            "Validation runs with dropout, and batch normalisation goes on learning from the validation data. It is a "
            "measurement and should change nothing."
        ),
        caught_by=MODES,
        swap=(("model(batch, training=update)", "model(batch, training=True)"),),
    ),
    WrongAnswer(
        id="validation-batch-means",
        title="the validation loss as the mean of batch means",
        explanation=(
            "The validation loss weighs the samples of a short batch more than the others. The rule for the training "
            "loss holds here as well."
        ),
        caught_by=MODES,
        swap=(
            (
                RETURN,
                "if update:\n            return loss_sum / len(target), correct / len(target)\n"
                "        firsts = range(0, len(target), batch_size)\n"
                "        pieces = [slice(first, first + batch_size) for first in firsts]\n"
                "        means = [\n"
                "            cross_entropy(target[p], model(keras.tree.map_structure(lambda a, p=p: a[p], features)))\n"
                "            for p in pieces\n"
                "        ]\n"
                "        return float(np.mean(means) + sum(model.losses)), correct / len(target)",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------------------- edges
    WrongAnswer(
        id="labels-unchecked",
        title="labels that are no class accepted",
        explanation=(
            "A label of -1 or beyond the last class is not refused. Depending on the machine TensorFlow raises an error "
            "of its own, or answers NaN. Look at the labels first."
        ),
        caught_by=EDGES,
        swap=(
            (
                "if np.min(target) < 0 or np.max(target) >= model.output_shape[1]:",
                "if np.max(target) > model.output_shape[1]:",
            ),
        ),
    ),
    WrongAnswer(
        id="lengths-unchecked",
        title="inputs and labels of different lengths accepted",
        explanation=(
            "More labels than inputs, or fewer, are not refused; some samples are then trained with no label of their "
            "own, or left out in silence."
        ),
        caught_by=EDGES,
        code="""
_train_classifier = train_classifier


def _common(inputs, labels):
    length = min([len(labels), *(len(array) for array in keras.tree.flatten(inputs))])
    return keras.tree.map_structure(lambda array: array[:length], inputs), labels[:length]


def train_classifier(model, inputs, labels, *, validation=None, **options):
    inputs, labels = _common(inputs, labels)
    validation = None if validation is None else _common(*validation)
    return _train_classifier(model, inputs, labels, validation=validation, **options)
""",
    ),
    WrongAnswer(
        id="first-array-counted",
        title="only the first of several arrays counted",
        explanation=(
            "A text array of the right length hides an image array that is too short or too long. One that is too long "
            "is trained on without an error, with images that may belong to other texts. Look at every array."
        ),
        caught_by=EDGES,
        swap=(("for array in keras.tree.flatten(features)}", "for array in keras.tree.flatten(features)[:1]}"),),
    ),
    WrongAnswer(
        id="empty-data-accepted",
        title="data without samples accepted",
        explanation=(
            "With no samples the loop does nothing, and the history is made of zeros, NaN or an error from a variable "
            "that was never set. Refuse them at the start."
        ),
        caught_by=EDGES,
        code="""
_train_classifier = train_classifier


def train_classifier(model, inputs, labels, *, epochs, validation=None, **options):
    if len(labels) == 0:
        return {"loss": [0.0] * epochs, "accuracy": [0.0] * epochs}
    return _train_classifier(model, inputs, labels, epochs=epochs, validation=validation, **options)
""",
    ),
    WrongAnswer(
        id="settings-unchecked",
        title="settings out of their range accepted",
        explanation=(
            "A learning rate of 0, below 0 or NaN, or a negative number of epochs, is accepted: the training does "
            "nothing, climbs, or destroys the weights, without a word."
        ),
        caught_by=EDGES,
        swap=(("if batch_size < 1 or epochs < 0 or not learning_rate > 0:", "if batch_size < 1:"),),
    ),
    WrongAnswer(
        id="validation-unchecked",
        title="validation data not checked",
        explanation=(
            "Only the training data are checked. A wrong label in the validation data then ends the run after the first "
            "epoch, when the weights have already moved."
        ),
        caught_by=EDGES,
        swap=(
            (
                "    for features, target in sets.values():\n        lengths",
                "    for features, target in [(inputs, labels)]:\n        lengths",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="tf-data",
        title="tf.data for batches and shuffling, a tf.function for the step, Keras metrics for the history",
        code="""
def train_classifier(model, inputs, labels, *, epochs, batch_size, learning_rate, from_logits, shuffle=True, seed=0,
                     validation=None):
    def dataset(features, target):
        flat = tf.nest.flatten(features)
        if len(target) == 0 or any(len(array) != len(target) for array in flat):
            raise ValueError("lengths")
        if target.min() < 0 or target.max() >= model.output_shape[-1]:
            raise ValueError("labels")
        features = tuple(features) if isinstance(features, list) else features
        return tf.data.Dataset.from_tensor_slices((features, target))

    if not (batch_size >= 1 and epochs >= 0 and learning_rate > 0):
        raise ValueError("settings")
    train_set = dataset(inputs, labels)
    if shuffle:
        train_set = train_set.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
    train_set = train_set.batch(batch_size)
    val_set = None if validation is None else dataset(*validation).batch(3)
    optimizer = keras.optimizers.Adam(learning_rate)
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    mean, accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()

    def record(x, y, training):
        outputs = model(x, training=training)
        total = criterion(y, outputs)
        if model.losses:
            total += tf.add_n(model.losses)
        mean.update_state(total, sample_weight=tf.shape(y)[0])
        accuracy.update_state(y, outputs)
        return total

    @tf.function(reduce_retracing=True)
    def train_step(x, y):
        with tf.GradientTape() as tape:
            total = record(x, y, True)
        optimizer.apply(tape.gradient(total, model.trainable_variables), model.trainable_variables)

    optimizer.build(model.trainable_variables)
    history = {"loss": [], "accuracy": []}
    if val_set is not None:
        history.update(val_loss=[], val_accuracy=[])
    for _ in range(epochs):
        for prefix, data in (("", train_set), ("val_", val_set)):
            if data is None:
                continue
            mean.reset_state()
            accuracy.reset_state()
            for x, y in data:
                train_step(x, y) if prefix == "" else record(x, y, False)
            history[prefix + "loss"].append(float(mean.result()))
            history[prefix + "accuracy"].append(float(accuracy.result()))
    return history
""",
    ),
    Alternative(
        id="adam-by-hand",
        title="Adam written out on the variables, the cross-entropy from its formula, batches by np.array_split",
        code="""
def train_classifier(model, inputs, labels, *, epochs, batch_size, learning_rate, from_logits, shuffle=True, seed=0,
                     validation=None):
    def rows_of(structure, rows):
        if isinstance(structure, dict):
            return {key: rows_of(value, rows) for key, value in structure.items()}
        if isinstance(structure, (list, tuple)):
            return [rows_of(value, rows) for value in structure]
        return tf.constant(structure[rows])

    def check(features, target):
        arrays = list(features.values()) if isinstance(features, dict) else features
        arrays = [arrays] if isinstance(arrays, np.ndarray) else arrays
        if not len(target) or {len(array) for array in arrays} != {len(target)}:
            raise ValueError("samples")
        if not set(np.unique(target).tolist()) <= set(range(model.outputs[0].shape[-1])):
            raise ValueError("labels")

    check(inputs, labels)
    if validation is not None:
        check(*validation)
    if batch_size <= 0 or epochs < 0 or learning_rate != learning_rate or learning_rate <= 0:
        raise ValueError("settings")

    def per_sample(outputs, y):
        y = tf.cast(y, tf.int32)
        if from_logits:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=outputs)
        return -tf.math.log(tf.gather(outputs, y, batch_dims=1))

    def forward(features, target, rows, training):
        outputs = model(rows_of(features, rows), training=training)
        y = target[rows]
        penalty = tf.add_n(model.losses) if model.losses else 0.0
        return per_sample(outputs, y), penalty, (tf.argmax(outputs, -1).numpy() == y)

    variables = model.trainable_variables
    first = [tf.zeros_like(v) for v in variables]
    second = [tf.zeros_like(v) for v in variables]
    generator = np.random.Generator(np.random.PCG64(seed))
    history = {"loss": [], "accuracy": []} | ({"val_loss": [], "val_accuracy": []} if validation is not None else {})
    t = 0
    for epoch in range(epochs):
        order = np.argsort(generator.random(len(labels))) if shuffle else np.array(range(len(labels)))
        losses, hits = [], []
        for rows in np.split(order, np.arange(batch_size, len(order), batch_size)):
            t += 1
            with tf.GradientTape() as tape:
                each, penalty, right = forward(inputs, labels, rows, True)
                total = tf.reduce_mean(each) + penalty
            for i, gradient in enumerate(tape.gradient(total, variables)):
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                step = (first[i] / (1 - 0.9**t)) / (tf.sqrt(second[i] / (1 - 0.999**t)) + 1e-7)
                variables[i].assign_sub(learning_rate * step)
            losses += [float(total)] * len(rows)
            hits += right.tolist()
        history["loss"].append(sum(losses) / len(losses))
        history["accuracy"].append(sum(hits) / len(hits))
        if validation is not None:
            each, penalty, right = forward(*validation, np.arange(len(validation[1])), False)
            history["val_loss"].append(float(tf.reduce_mean(each) + penalty))
            history["val_accuracy"].append(float(right.mean()))
    return history
""",
    ),
    Alternative(
        id="evaluate-apart",
        title="a queue of indices, persistent weighted averages, the loss by one-hot labels",
        code="""
import random


def _take(features, rows):
    match features:
        case dict():
            return {name: features[name][rows] for name in features}
        case list() | tuple():
            return type(features)(array[rows] for array in features)
        case _:
            return features[rows]


def _samples(features):
    arrays = [features] if isinstance(features, np.ndarray) else list(getattr(features, "values", lambda: features)())
    lengths = sorted(map(len, arrays))
    return lengths[0] if lengths[0] == lengths[-1] else -1


def train_classifier(model, inputs, labels, *, epochs, batch_size, learning_rate, from_logits, shuffle=True, seed=0,
                     validation=None):
    classes = model.output.shape[-1]
    pairs = [(inputs, labels)]
    if validation is not None:
        pairs.append(tuple(validation))
    for features, target in pairs:
        if _samples(features) != len(target) or len(target) < 1:
            raise ValueError("samples")
        if any(not 0 <= label < classes for label in target.tolist()):
            raise ValueError("labels")
    if min(batch_size, epochs + 1) < 1 or not 0 < learning_rate:
        raise ValueError("settings")
    opt = keras.optimizers.Adam(learning_rate=learning_rate)
    own = random.Random(seed)
    log = {key: [] for key in ["loss", "accuracy"] + ["val_loss", "val_accuracy"] * (validation is not None)}

    def loss_and_hits(features, target, rows, training):
        out = model(_take(features, rows), training=training)
        truth = keras.ops.one_hot(target[rows], classes)
        each = keras.losses.categorical_crossentropy(truth, out, from_logits=from_logits)
        loss = keras.ops.mean(each)
        for extra in model.losses:
            loss = loss + extra
        return loss, np.count_nonzero(out.numpy().argmax(1) == target[rows])

    for _ in range(epochs):
        queue = list(range(len(labels)))
        if shuffle:
            own.shuffle(queue)
        loss_mean = seen = hits = 0
        while queue:
            rows, queue = queue[:batch_size], queue[batch_size:]
            with tf.GradientTape() as tape:
                loss, right = loss_and_hits(inputs, labels, rows, True)
            opt.apply_gradients(zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights))
            seen += len(rows)
            loss_mean += (float(loss) - loss_mean) * len(rows) / seen
            hits += right
        log["loss"].append(loss_mean)
        log["accuracy"].append(hits / seen)
        if validation is not None:
            loss, right = loss_and_hits(*validation, list(range(len(validation[1]))), False)
            log["val_loss"].append(loss.numpy().item())
            log["val_accuracy"].append(right / len(validation[1]))
    return log
""",
    ),
]
