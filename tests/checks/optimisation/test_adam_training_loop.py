"""Checks of optimisation/adam_training_loop: Keras stays in probes; what is expected is softmax regression in NumPy."""

import math

import numpy as np

from grader.checking import assert_close, assert_equal, catches, points, visible

# ---------------------------------------------------------------- what runs in the student's process


def train(student, weights, inputs, labels, options, penalty=0.0, head="logits", shift=0.0, extra=0.0):
    """Train one linear layer behind a frozen identity: the history, and the weights of both afterwards.

    `shift` is added to the first logit in training mode only; `penalty` is the factor of an L2 regulariser; `extra` is
    what a layer adds to the loss with `add_loss`.
    """
    import keras
    import tensorflow as tf

    class Shift(keras.layers.Layer):
        def call(self, x, training=None):
            return x + tf.one_hot(0, x.shape[-1], on_value=float(shift)) if training else x

    class Extra(keras.layers.Layer):
        def call(self, x):
            self.add_loss(tf.constant(float(extra)))
            return x

        def compute_output_shape(self, shape):
            return shape

    class Softmax(keras.layers.Layer):  # not Keras's own, whose logits the losses would find again
        def call(self, x):
            return tf.nn.softmax(x)

    width, classes = weights[0].shape
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    features = keras.Input((width,))
    frozen = keras.layers.Dense(width, use_bias=False, kernel_initializer="identity")
    last = keras.layers.Dense(classes, kernel_regularizer=regularizer)
    output = last(frozen(features))
    frozen.trainable = False
    output = Extra()(output) if extra else output
    output = Shift()(output) if shift else output
    output = Softmax()(output) if head == "probabilities" else output
    model = keras.Model(features, output)
    last.set_weights(weights)
    history = student.train_classifier(model, inputs, labels, **options)
    return {"history": history, "weights": last.get_weights(), "frozen": frozen.get_weights()[0]}


def train_on_two_inputs(student, text_kernel, image_kernel, inputs, labels, options):
    """Train a model of a text and an image array, in a list, a tuple or a dictionary: the history."""
    import keras

    text, image = (keras.Input((len(kernel),)) for kernel in (text_kernel, image_kernel))
    classes = text_kernel.shape[1]
    text_logits, image_logits = (keras.layers.Dense(classes, use_bias=False) for _ in range(2))
    taken = {"text": text, "image": image} if isinstance(inputs, dict) else [text, image]
    model = keras.Model(taken, keras.layers.Add()([text_logits(text), image_logits(image)]))
    text_logits.set_weights([text_kernel])
    image_logits.set_weights([image_kernel])
    return student.train_classifier(model, inputs, labels, **options)


def look_at_the_batches(student, inputs, labels, settings, runs):
    """One training for each of the runs, seen from inside the model. The first input is the number of the row.

    Returns no order, only what is true of the orders.
    """
    import random

    import keras
    import numpy as np
    import tensorflow as tf

    seen, untouched = [], []

    class Recorder(keras.layers.Layer):
        def call(self, x, training=None):
            if training:
                tf.py_function(lambda rows: seen.append([int(row) for row in rows.numpy()]), [x[:, 0]], [])
            return x

    def epochs_of(options):
        seen.clear()
        features = keras.Input((inputs.shape[1],))
        model = keras.Model(features, keras.layers.Dense(3)(Recorder()(features)))
        before = np.random.get_state()[1].copy(), random.getstate()  # making layers draws from the latter
        student.train_classifier(model, inputs, labels, **settings, **options)
        untouched.append(np.array_equal(before[0], np.random.get_state()[1]) and before[1] == random.getstate())
        per_epoch = -(-len(labels) // settings["batch_size"])
        sizes.append([len(rows) for rows in seen])
        return [sum(seen[start : start + per_epoch], []) for start in range(0, len(seen), per_epoch)]

    before, sizes, everything = (inputs.copy(), labels.copy()), [], list(range(len(labels)))
    orders = [epochs_of(options) for options in runs]
    return {
        "sizes": sizes,
        "complete": [all(sorted(epoch) == everything for epoch in epochs) for epochs in orders],
        "as given": [[epoch == everything for epoch in epochs] for epochs in orders],
        "different": [len({tuple(epoch) for epoch in epochs}) for epochs in orders],
        "far ahead": [
            any(row - place >= settings["batch_size"] for epoch in epochs for place, row in enumerate(epoch))
            for epochs in orders
        ],
        "like the first": [epochs == orders[0] for epochs in orders],
        "data unchanged": np.array_equal(inputs, before[0]) and np.array_equal(labels, before[1]),
        "random states unchanged": all(untouched),
    }


def count_refusals(student, weights, cases):
    """For each (inputs, labels, options): the classes of what was raised, by name, and whether the weights moved.

    Inputs in a list are the first column and the other columns.
    """
    import keras
    import numpy as np

    width, classes = weights[0].shape
    features, first, others = (keras.Input((columns,)) for columns in (width, 1, width - 1))
    whole = keras.Model(features, keras.layers.Dense(classes)(features))
    split = keras.Model([first, others], keras.layers.Dense(classes)(keras.layers.Concatenate()([first, others])))
    raised = []
    for inputs, labels, options in cases:
        model = split if isinstance(inputs, list) else whole
        model.set_weights(weights)
        try:
            student.train_classifier(model, inputs, labels, **options)
            names = []
        except NotImplementedError:
            raise
        except Exception as error:
            names = [cls.__name__ for cls in type(error).__mro__]
        moved = not all(map(np.array_equal, model.get_weights(), weights))
        raised.append([names, moved])
    return raised


# ---------------------------------------------------------------- what is expected, worked out here


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def measure(weights, x, y, penalty=0.0, shift=0.0):
    """Mean loss with the penalty, and accuracy, of softmax regression."""
    kernel, bias = weights
    logits = x @ kernel + bias + shift * np.eye(kernel.shape[1])[0]
    loss = -log_softmax(logits)[np.arange(len(y)), y].mean() + penalty * (kernel**2).sum()
    return loss, float((logits.argmax(axis=1) == y).mean())


def adam_by_hand(weights, x, y, epochs, batch_size, rate, penalty=0.0, validation=None):
    """Softmax regression with Keras's Adam in float64, in the order given: weights, and the history."""
    weights = [np.array(weight, dtype=np.float64) for weight in weights]
    means, squares, step = [0.0, 0.0], [0.0, 0.0], 0
    history = {name: [] for name in ("loss", "accuracy", *(("val_loss", "val_accuracy") if validation else ()))}
    for _ in range(epochs):
        losses, hits = 0.0, 0.0
        for start in range(0, len(y), batch_size):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            loss, accuracy = measure(weights, xb, yb, penalty)
            losses, hits = losses + loss * len(yb), hits + accuracy * len(yb)
            wrong = np.exp(log_softmax(xb @ weights[0] + weights[1])) - np.eye(weights[0].shape[1])[yb]
            grads = [xb.T @ wrong / len(yb) + 2 * penalty * weights[0], wrong.mean(axis=0)]
            step += 1
            for i, grad in enumerate(grads):
                means[i] = 0.9 * means[i] + 0.1 * grad
                squares[i] = 0.999 * squares[i] + 0.001 * grad**2
                correction = math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                weights[i] = weights[i] - rate * correction * means[i] / (np.sqrt(squares[i]) + 1e-7)
        history["loss"].append(losses / len(y))
        history["accuracy"].append(hits / len(y))
        if validation:
            for name, value in zip(("val_loss", "val_accuracy"), measure(weights, *validation, penalty), strict=True):
                history[name].append(value)
    return weights, history


def problem(rng, n_samples, width=3, classes=4):
    """Weights, float32 inputs and labels; the classes can be guessed from the inputs in part."""
    weights = [0.3 * rng.normal(size=(width, classes)), 0.3 * rng.normal(size=classes)]
    x = rng.normal(size=(n_samples, width)) * np.array([1.0, 2.0, 0.5])[:width]
    y = (x @ rng.normal(size=(width, classes)) + rng.normal(size=(n_samples, classes))).argmax(axis=1)
    return [weight.astype(np.float32) for weight in weights], x.astype(np.float32), y


def assert_history(found, expected, told, atol=1e-4, cause=""):
    """Keys, lengths and values of a history."""
    if not isinstance(found, dict):
        raise AssertionError(f"{told} returned {type(found).__name__}, expected a dict")
    assert_equal(sorted(found), sorted(expected), what=f"list of keys of the history of {told}")
    for name, values in expected.items():
        what = f"history[{name!r}] of {told}"
        if not isinstance(found[name], list):
            raise AssertionError(f"The {what} is {type(found[name]).__name__}, expected a list")
        assert_close(np.array(found[name], np.float64), np.array(values), rtol=1e-4, atol=atol, what=what, cause=cause)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    x, y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=np.float32), np.array([0, 1, 0])
    weights = [np.zeros((2, 2), np.float32), np.array([0.2, 0.0], np.float32)]
    settings = {"batch_size": 2, "learning_rate": 0.1, "from_logits": True, "shuffle": False}
    seen = student.run(train, weights, x, y, {"epochs": 0, **settings})
    assert_history(seen["history"], {"loss": [], "accuracy": []}, "0 epochs")
    seen = student.run(train, weights, x, y, {"epochs": 1, "validation": (x, y), **settings})
    told = "one epoch of the worked example"
    if sorted(seen["history"]) != ["accuracy", "loss", "val_accuracy", "val_loss"]:
        raise AssertionError(f"The history of {told} has the keys {sorted(seen['history'])}")
    expected = {"loss": [(0.598139 + 0.798139 + 0.598139) / 3], "accuracy": [2 / 3], "val_accuracy": [1.0]}
    assert_history({name: seen["history"][name] for name in expected}, expected, told)


@points(2)
@catches(
    "optimiser-of-each-epoch",
    "partial-batch-dropped",
    "plain-gradient-descent",
    "shuffled-in-any-case",
    "measured-after-the-update",
    "trained-on-validation",
    "frozen-layers-moved",
)
def test_without_shuffling_the_weights_follow_adam(student, rng):
    """Without shuffling, weights and history are those of Adam by hand, over several epochs with a short last batch."""
    weights, x, y = problem(rng, 10)
    validation = problem(rng, 5)[1:]
    settings = {"epochs": 3, "batch_size": 4, "learning_rate": 0.05}
    told = "3 epochs of 10 samples, batch_size=4, learning_rate=0.05, shuffle=False"
    cause = (
        "one Adam step for each batch in the order given, the last batch of 2 included, and one optimiser throughout"
    )
    for val in (None, validation):
        options = settings | {"from_logits": True, "shuffle": False} | ({} if val is None else {"validation": val})
        seen = student.run(train, weights, x, y, options)
        expected, history = adam_by_hand(weights, x, y, 3, 4, 0.05, validation=val)
        for name, found, wanted in zip(("kernel", "bias"), seen["weights"], expected, strict=True):
            what = f"{name} after {told}{'' if val is None else ', with validation'}"
            assert_close(found.astype(np.float64), wanted, rtol=0, atol=2e-4, what=what, cause=cause)
        what = f"kernel of a frozen layer after {told}"
        assert_close(
            seen["frozen"], np.eye(3), rtol=0, atol=0, what=what, cause="`trainable = False` was not respected"
        )
        assert_history(
            seen["history"], history, told, atol=5e-4, cause="loss and accuracy are those before each update"
        )


@points(1)
@catches(
    "regularisers-ignored", "regularisers-without-gradient", "regularisers-not-reported", "only-kernels-regularised"
)
def test_regularisers_count(student, rng):
    """The model's own losses are part of the loss, of its gradient, and of what is reported."""
    weights, x, y = problem(rng, 6)
    weights[0] *= 3
    validation = problem(rng, 3)[1:]
    options = {"epochs": 2, "batch_size": 4, "learning_rate": 0.05, "from_logits": True, "shuffle": False}
    seen = student.run(train, weights, x, y, options | {"validation": validation}, 2.0)
    expected, history = adam_by_hand(weights, x, y, 2, 4, 0.05, penalty=2.0, validation=validation)
    told = "2 epochs with an L2 regulariser of 2.0 on the kernel"
    cause = "sum(model.losses) belongs to the loss, while the tape is recording"
    for name, found, wanted in zip(("kernel", "bias"), seen["weights"], expected, strict=True):
        assert_close(found.astype(np.float64), wanted, rtol=0, atol=2e-4, what=f"{name} after {told}", cause=cause)
    cause = "the reported loss includes sum(model.losses)"
    assert_history(seen["history"], history, told, atol=5e-4, cause=cause)
    seen = student.run(
        train, weights, x, y, options | {"epochs": 1, "validation": validation}, 0.0, "logits", 0.0, 0.75
    )
    history = adam_by_hand(weights, x, y, 1, 4, 0.05, validation=validation)[1]
    history |= {name: [history[name][0] + 0.75] for name in ("loss", "val_loss")}
    told = "1 epoch of a model in which a layer adds 0.75 to the loss with add_loss"
    assert_history(seen["history"], history, told, atol=5e-4, cause=cause)


@points(1)
@catches(
    "last-batch-reported", "mean-of-batch-means", "sum-reported", "accuracy-of-batches", "accuracy-of-the-last-batch"
)
def test_every_sample_counts_once_in_the_history(student, rng):
    """With weights that do not move, the loss and the accuracy of an epoch are those over all samples."""
    weights, x, y = problem(rng, 9)
    # the last batch, of one sample, has another loss than the others, and is classified otherwise
    logits = x @ weights[0] + weights[1]
    y[:8] = logits[:8].argmax(axis=1)
    y[8] = logits[8].argmin()
    y[[2, 5]] = logits[[2, 5]].argmin(axis=1)
    loss, accuracy = measure([weight.astype(np.float64) for weight in weights], x, y)
    for batch_size, shuffle, epochs in ((4, False, 2), (4, True, 1), (20, False, 1)):
        expected = {"loss": [loss] * epochs, "accuracy": [accuracy] * epochs}
        options = {"epochs": epochs, "batch_size": batch_size, "learning_rate": 1e-9, "from_logits": True}
        seen = student.run(train, weights, x, y, options | {"shuffle": shuffle})
        told = f"{epochs} epochs of 9 samples, batch_size={batch_size}, shuffle={shuffle}, learning_rate=1e-9"
        cause = (
            "sums over samples, divided by the number of samples; a batch of 4 counts four times as much as one of 1"
        )
        assert_history(seen["history"], expected, told, cause=cause)


@points(1)
@catches("always-probabilities", "always-logits", "softmax-before-the-logarithm")
def test_the_loss_fits_the_head(student, rng):
    """from_logits says whether the model's output is logits or probabilities, and both give the same training."""
    weights, x, y = problem(rng, 6)
    validation = problem(rng, 3)[1:]
    expected, history = adam_by_hand(weights, x, y, 2, 4, 0.05, validation=validation)
    for head in ("logits", "probabilities"):
        options = {"epochs": 2, "batch_size": 4, "learning_rate": 0.05, "shuffle": False, "validation": validation}
        seen = student.run(train, weights, x, y, options | {"from_logits": head == "logits"}, 0.0, head)
        told = f"2 epochs of a model that returns {head}, from_logits={head == 'logits'}"
        cause = "the cross-entropy has to be told what it gets, in training and in validation"
        assert_history(seen["history"], history, told, atol=5e-4, cause=cause)
        for name, found, wanted in zip(("kernel", "bias"), seen["weights"], expected, strict=True):
            what = f"{name} after {told}"
            assert_close(found.astype(np.float64), wanted, rtol=0, atol=5e-4, what=what, cause=cause)

    weights[0] *= 150
    y = ((x @ weights[0] + weights[1]).argmax(axis=1) + 1) % 4  # every sample is far on the wrong side
    options = {"epochs": 1, "batch_size": 4, "learning_rate": 0.05, "shuffle": False, "from_logits": True}
    seen = student.run(train, weights, x, y, options)
    told = "1 epoch of a model with logits of some hundred"
    cause = "a probability that is 0 in float32 has no logarithm; clipping it changes the loss and stops the gradient"
    expected, history = adam_by_hand(weights, x, y, 1, 4, 0.05)
    assert_history(seen["history"], history, told, atol=5e-4, cause=cause)
    for name, found, wanted in zip(("kernel", "bias"), seen["weights"], expected, strict=True):
        what = f"{name} after {told}"
        assert_close(found.astype(np.float64), wanted, rtol=0, atol=5e-4, what=what, cause=cause)


@points(1)
@catches(
    "never-shuffled",
    "one-order-for-all-epochs",
    "seed-ignored",
    "drawn-with-replacement",
    "arguments-shuffled",
    "global-seed-set",
    "small-shuffle-buffer",
)
def test_every_epoch_has_an_order_of_its_own(student, rng):
    """Each epoch goes through all samples once, in a new order that the seed decides; nothing else is touched."""
    n_samples = 13
    inputs = np.column_stack([np.arange(n_samples), rng.normal(size=n_samples)]).astype(np.float32)
    labels = rng.integers(0, 3, n_samples)
    settings = {"epochs": 2, "batch_size": 7, "learning_rate": 0.01, "from_logits": True}
    told = "2 epochs of 13 samples, batch_size=7"
    given, shuffled = (
        student.run(look_at_the_batches, inputs, labels, settings, runs)
        for runs in ([{"shuffle": False}, {}], [{"seed": 5}, {"seed": 5}, {"seed": 6}])
    )
    cause = "batches of batch_size samples, and one shorter batch with what is left"
    for seen in (given, shuffled):
        for sizes in seen["sizes"]:
            assert_equal(sizes, [7, 6] * 2, what=f"list of batch sizes in {told}", cause=cause)
    for holds, question in (
        (all(given["complete"] + shuffled["complete"]), "does each epoch see every sample exactly once?"),
        (all(given["as given"][0]), "with shuffle=False, is each epoch in the order given?"),
        (not any(given["as given"][1]), "without saying shuffle, is every epoch in another order than the one given?"),
        (not any(shuffled["as given"][0]), "with seed=5, is every epoch in another order than the one given?"),
        (shuffled["different"] == [2, 2, 2], "does every epoch have an order of its own?"),
        (
            any(given["far ahead"][1:] + shuffled["far ahead"]),
            "in some epoch, does a sample come 7 or more places before its given one?",
        ),
        (shuffled["like the first"][1], "do two trainings with seed=5 see the same batches?"),
        (not shuffled["like the first"][2], "does seed=6 give other batches than seed=5?"),
        (given["data unchanged"] and shuffled["data unchanged"], "are the caller's inputs and labels as they were?"),
        (
            given["random states unchanged"] and shuffled["random states unchanged"],
            "are the global random states of NumPy and Python as they were?",
        ),
    ):
        if not holds:
            raise AssertionError(f"In {told}: {question} It should be so, and it is not.")


@points(1)
@catches("labels-shuffled-apart", "inputs-shuffled-apart", "list-read-as-samples", "only-lists-and-arrays")
def test_text_image_and_label_stay_together(student, rng):
    """A list, a tuple or a dictionary of arrays works like one array, and its rows stay together when shuffled."""
    n_samples, classes = 11, 4
    labels = rng.integers(0, classes, n_samples)
    one_hot = np.eye(classes)[labels]
    turn, _ = np.linalg.qr(rng.normal(size=(classes, classes)))
    # both modalities point to the label: 3 + 3 for the right class, and 0 for the others
    text, image = one_hot.astype(np.float32), np.hstack([one_hot @ turn, one_hot[:, :1]]).astype(np.float32)
    text_kernel = (3 * np.eye(classes)).astype(np.float32)
    image_kernel = np.vstack([3 * turn.T, np.zeros((1, classes))]).astype(np.float32)
    together = {"loss": [math.log(1 + (classes - 1) * math.exp(-6))], "accuracy": [1.0]}
    options = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-9, "from_logits": True, "seed": 1}
    for name, inputs in (
        ("a list [text, image]", [text, image]),
        ("a dictionary with text and image", {"text": text, "image": image}),
        ("a tuple (text, image)", (text, image)),
    ):
        expected, arguments = dict(together), dict(options)
        if isinstance(inputs, list):
            arguments["validation"] = [text[:5], image[:5]], labels[:5]
            expected |= {f"val_{key}": values for key, values in together.items()}
        cause = "one order of rows for all inputs and for the labels"
        found = student.run(train_on_two_inputs, text_kernel, image_kernel, inputs, labels, arguments)
        assert_history(found, expected, f"1 epoch with shuffling on {name}", cause=cause)


@points(1)
@catches("inference-mode-in-training", "training-mode-in-validation", "validation-batch-means")
def test_training_and_inference_mode(student, rng):
    """Updates run the model in training mode, validation in inference mode, over all its samples."""
    weights, x, y = problem(rng, 7)
    val_x, val_y = problem(rng, 5)[1:]
    y[:4], val_y[:2] = 0, 0
    val_y[2:] = 1 + val_y[2:] % 3
    exact = [weight.astype(np.float64) for weight in weights]
    options = {"epochs": 1, "batch_size": 3, "learning_rate": 1e-9, "from_logits": True, "validation": (val_x, val_y)}
    seen = student.run(train, weights, x, y, options, 0.0, "logits", 4.0)
    expected = dict(zip(("loss", "accuracy"), measure(exact, x, y, shift=4.0), strict=True))
    expected |= dict(zip(("val_loss", "val_accuracy"), measure(exact, val_x, val_y), strict=True))
    told = "1 epoch of a model that adds 4 to its first logit in training mode only, learning_rate=1e-9"
    cause = "training=True for updates, training=False for validation; every validation sample counts once"
    assert_history(seen["history"], {name: [value] for name, value in expected.items()}, told, cause=cause)


@points(1)
@catches(
    "labels-unchecked",
    "lengths-unchecked",
    "first-array-counted",
    "empty-data-accepted",
    "settings-unchecked",
    "validation-unchecked",
)
def test_no_epochs_and_bad_input(student, rng):
    """No epochs leave everything as it is, and bad data and settings raise ValueError before anything is trained."""
    weights, x, y = problem(rng, 6)
    good = {"epochs": 1, "batch_size": 4, "learning_rate": 0.05, "from_logits": True}
    for validation in (None, (x[:2], y[:2])):
        options = good | {"epochs": 0, "validation": validation}
        seen = student.run(train, weights, x, y, options)
        names = ["loss", "accuracy"] + ([] if validation is None else ["val_loss", "val_accuracy"])
        assert_history(seen["history"], {name: [] for name in names}, "0 epochs")
        for name, found, wanted in zip(("kernel", "bias"), seen["weights"], weights, strict=True):
            assert_close(found, wanted, rtol=0, atol=0, what=f"{name} after 0 epochs")

    seen = student.run(train, weights, x[:1], y[:1], good | {"epochs": 2, "batch_size": 1})
    history = adam_by_hand(weights, x[:1], y[:1], 2, 1, 0.05)[1]
    assert_history(seen["history"], history, "2 epochs of a single sample, batch_size=1")

    def changed(values, row, value):
        values = values.copy()
        values[row] = value
        return values

    cases = {
        "a label of -1": (x, changed(y, 5, -1), good),
        "a label of 4 for 4 classes": (x, changed(y, 5, 4), good),
        "6 inputs and 5 labels": (x, y[:5], good),
        "5 inputs and 6 labels": (x[:5], y, good),
        "a list of arrays with 6 and 5 samples": ([x[:, :1], x[:5, 1:]], y, good),
        "a list of arrays with 6 and 7 samples": ([x[:, :1], np.vstack([x, x])[:7, 1:]], y, good),
        "no samples": (x[:0], y[:0], good),
        "batch_size=0": (x, y, good | {"batch_size": 0}),
        "batch_size=-4": (x, y, good | {"batch_size": -4}),
        "epochs=-1": (x, y, good | {"epochs": -1}),
        "learning_rate=0": (x, y, good | {"learning_rate": 0.0}),
        "learning_rate=-0.1": (x, y, good | {"learning_rate": -0.1}),
        "learning_rate=nan": (x, y, good | {"learning_rate": math.nan}),
        "a label of -1 in validation": (x, y, good | {"validation": (x, changed(y, 0, -1))}),
        "a label of 4 in validation": (x, y, good | {"validation": (x, changed(y, 0, 4))}),
        "a validation of 6 inputs and 5 labels": (x, y, good | {"validation": (x, y[:5])}),
        "an empty validation": (x, y, good | {"validation": (x[:0], y[:0])}),
    }
    raised = student.run(count_refusals, weights, list(cases.values()))
    for name, (classes, moved) in zip(cases, raised, strict=True):
        if "ValueError" not in classes:
            happened = f"raised {classes[0]}" if classes else "returned without an error"
            raise AssertionError(f"train_classifier with {name} {happened}; it should raise ValueError.")
        if moved:
            raise AssertionError(f"train_classifier with {name} raised ValueError after it had trained the model.")
