"""Checks of transfer/keras_two_stage: Keras stays in probes; expected weights come from Adam and gradients in NumPy."""

import math

import numpy as np

from grader.checking import assert_close, assert_equal, assert_shape, catches, points, raises, visible

TEXT, IMAGE, TEXT_FEATURES, IMAGE_FEATURES, CLASSES, SAMPLES = 3, 5, 4, 2, 3, 7
NAMES = ("kernel", "bias", "gamma", "beta", "moving mean", "moving variance")
JOINED = TEXT_FEATURES + IMAGE_FEATURES


def use_classifier(student, text_weights, image_weights, dropout, steps):
    """Probe: a TransferClassifier on two encoders with these weights; returns one result for each step.

    An encoder is a linear layer, batch normalisation and dropout; the order of the arrays is that of `NAMES`.
    """
    import keras
    import numpy as np

    def encoder(arrays):
        pixels = keras.Input((arrays[0].shape[0],))
        output = keras.layers.BatchNormalization()(keras.layers.Dense(arrays[0].shape[1])(pixels))
        model = keras.Model(pixels, keras.layers.Dropout(0.5)(output))
        model.set_weights(arrays)
        return model

    text_encoder, image_encoder = encoder(text_weights), encoder(image_weights)
    model = student.TransferClassifier(text_encoder, image_encoder, 3, dropout=dropout)

    def as_plain(value):
        return np.array(keras.ops.convert_to_numpy(value))

    def set_head(arrays):
        """Put values into the trainable weights of a frozen model, by their shapes; returns the shapes that it has."""
        shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        for variable in model.trainable_variables:
            for array in arrays:
                if array.shape == tuple(variable.shape):
                    variable.assign(array)
        return sorted(shapes)

    actions = {
        "is model": lambda: isinstance(model, keras.Model),
        "same encoders": lambda: [model.text_encoder is text_encoder, model.image_encoder is image_encoder],
        "predict": lambda text, image, **mode: as_plain(model([text, image], **mode)),
        "dtype": lambda text, image: keras.backend.standardize_dtype(model([text, image]).dtype),
        "set head": set_head,
        "trainable shapes": lambda: sorted(tuple(variable.shape) for variable in model.trainable_variables),
        "trainable in encoders": lambda: [
            len(text_encoder.trainable_variables),
            len(image_encoder.trainable_variables),
        ],
        "encoder weights": lambda: [text_encoder.get_weights(), image_encoder.get_weights()],
        "change text encoder": text_encoder.set_weights,
        "freeze": lambda: model.freeze() and None,
        "unfreeze": lambda: model.unfreeze() and None,
    }
    return [actions[name](*values[:2], **(values[2] if len(values) > 2 else {})) for name, *values in steps]


def fit_and_look(student, text_weights, image_weights, head, data, arguments, unfreeze_first):
    """Probe: two_stage_fit on a model with these weights; returns losses, final weights and the order of the samples.

    An encoder is a linear layer, with batch normalisation and dropout behind it if there are weights for that.
    Compiling a training step takes seconds, so steps run eagerly here; `keep_steps` makes them go on as they were built
    until `compile` is called again, as compiled ones do. The order is written down by a layer of the text encoder, at
    each update whose gradient goes through it; the first column of the text is the number of the sample.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    seen = []

    class Witness(keras.layers.Layer):
        def call(self, inputs):
            features, numbers = inputs

            @tf.custom_gradient
            def watched(features):
                def gradient(upstream):
                    if tf.executing_eagerly():
                        seen.append([int(round(float(number))) for number in np.ravel(numbers)])
                    return upstream

                return tf.identity(features), gradient

            return watched(features)

        def compute_output_shape(self, shapes):
            return shapes[0]

    def keep_steps(model):
        make = model.make_train_function

        def flags():
            return [(part, part.trainable) for part in (*model._flatten_layers(), *model.variables)]

        def set_flags(values):
            for part, value in values:
                part.trainable = value

        def make_and_remember(force=False):
            known = model.train_function
            make(force)
            if model.train_function is known or model.run_eagerly:
                return
            step, optimizer, built_for = model.train_function, model.optimizer, flags()

            def compiled_step(iterator):
                now, now_optimizer = flags(), model.optimizer
                changed = [value for _, value in now] != [value for _, value in built_for]
                if not changed and optimizer is now_optimizer:
                    return step(iterator)
                set_flags(built_for)
                model.optimizer = optimizer
                try:
                    return step(iterator)
                finally:
                    set_flags(now)
                    model.optimizer = now_optimizer

            model.train_function = compiled_step

        model.make_train_function = make_and_remember

    def encoder(arrays, with_witness):
        rows = keras.Input((arrays[0].shape[0],))
        output = keras.layers.Dense(arrays[0].shape[1])(rows)
        if len(arrays) > 2:
            output = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(output))
        if with_witness:
            output = Witness()([output, rows[:, :1]])
        model = keras.Model(rows, output)
        model.set_weights(arrays)
        return model

    text, image, labels = data
    tf.config.run_functions_eagerly(True)
    try:
        text_encoder, image_encoder = encoder(text_weights, True), encoder(image_weights, False)
        model = student.TransferClassifier(text_encoder, image_encoder, head[0].shape[1])
        keep_steps(model)
        model([text[:1], image[:1]])
        variables = list(model.trainable_variables)
        for variable in variables:
            for array in head:
                if array.shape == tuple(variable.shape):
                    variable.assign(array)
        if unfreeze_first:
            model.unfreeze()
        state = np.random.get_state()[1].copy()
        losses = student.two_stage_fit(model, text, image, labels, *arguments)
        return {
            "losses": losses,
            "head": {str(tuple(variable.shape)): variable.numpy() for variable in variables},
            "text encoder": text_encoder.get_weights(),
            "image encoder": image_encoder.get_weights(),
            "order": seen,
            "NumPy's state is the same": bool((np.random.get_state()[1] == state).all()),
        }
    finally:
        tf.config.run_functions_eagerly(False)


def random_encoder(rng, width, features):
    arrays = [rng.normal(size=shape) * 0.7 for shape in ((width, features), features, features, features, features)]
    arrays[2] = rng.uniform(0.5, 1.5, size=features)
    arrays.append(rng.uniform(0.5, 2.0, size=features))
    return [array.astype(np.float32) for array in arrays]


def random_setup(rng):
    """Weights of both encoders and the head, and data with all classes."""
    text_weights = random_encoder(rng, TEXT, TEXT_FEATURES)
    image_weights = random_encoder(rng, IMAGE, IMAGE_FEATURES)
    head = [(rng.normal(size=shape) * 0.5).astype(np.float32) for shape in ((JOINED, CLASSES), (CLASSES,))]
    text = rng.normal(size=(SAMPLES, TEXT)).astype(np.float32)
    image = rng.normal(size=(SAMPLES, IMAGE)).astype(np.float32)
    return text_weights, image_weights, head, (text, image, rng.permutation(np.arange(SAMPLES) % CLASSES))


def features_of(arrays, rows):
    """Encoder in inference mode: features, and what the gradient needs."""
    kernel, bias, *normalisation = arrays
    if not normalisation:
        return rows @ kernel + bias, None, None
    gamma, beta, mean, variance = normalisation
    spread = np.sqrt(variance + 1e-3)
    normed = (rows @ kernel + bias - mean) / spread
    return normed * gamma + beta, normed, spread


def logits_of(text_weights, image_weights, head, text, image):
    """Expected logits in float64."""
    wide = [[array.astype(np.float64) for array in arrays] for arrays in (text_weights, image_weights, head)]
    parts = [features_of(arrays, rows.astype(np.float64))[0] for arrays, rows in zip(wide, (text, image), strict=False)]
    return np.concatenate(parts, axis=1) @ wide[2][0] + wide[2][1]


def losses_of_samples(logits, labels):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


def train_by_hand(text_weights, image_weights, head, data, stages):
    """Full-batch Adam in float64; stages: (epochs, rate, with encoders). Returns losses by stage, encoders and head."""
    weights = [array.astype(np.float64) for array in (*text_weights, *image_weights, *head)]
    text, image, labels = data
    losses = []
    for epochs, rate, with_encoders in stages:
        moved = [*range(4), *range(6, 10), 12, 13] if with_encoders else [12, 13]
        first = {index: 0.0 for index in moved}
        second = {index: 0.0 for index in moved}
        losses.append([])
        for step in range(1, epochs + 1):
            outputs = [features_of(weights[:6], text), features_of(weights[6:12], image)]
            joined = np.concatenate([outputs[0][0], outputs[1][0]], axis=1)
            logits = joined @ weights[12] + weights[13]
            losses[-1].append(float(losses_of_samples(logits, labels).mean()))
            share = np.exp(logits - logits.max(axis=1, keepdims=True))
            by_logits = (share / share.sum(axis=1, keepdims=True) - np.eye(CLASSES)[labels]) / len(labels)
            gradient = {12: joined.T @ by_logits, 13: by_logits.sum(axis=0)}
            back = by_logits @ weights[12].T
            for start, rows, (_, normed, spread), by_features in (
                (0, text, outputs[0], back[:, :TEXT_FEATURES]),
                (6, image, outputs[1], back[:, TEXT_FEATURES:]),
            ):
                by_sum = by_features * weights[start + 2] / spread
                gradient[start] = rows.astype(np.float64).T @ by_sum
                gradient[start + 1] = by_sum.sum(axis=0)
                gradient[start + 2] = (by_features * normed).sum(axis=0)
                gradient[start + 3] = by_features.sum(axis=0)
            for index in moved:
                first[index] = 0.9 * first[index] + 0.1 * gradient[index]
                second[index] = 0.999 * second[index] + 0.001 * gradient[index] ** 2
                scale = rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                weights[index] = weights[index] - scale * first[index] / (np.sqrt(second[index]) + 1e-7)
    return losses, weights[:6], weights[6:12], weights[12:]


def assert_encoders_unchanged(seen, text_weights, image_weights, when, names=NAMES):
    """Fail when one of the named weights of an encoder is not bit for bit what it was."""
    for which, before in (("text encoder", text_weights), ("image encoder", image_weights)):
        for name, old, new in zip(NAMES, before, seen[which], strict=True):
            if name in names and not np.array_equal(old, new):
                gap = float(np.abs(new - old).max())
                raise AssertionError(f"{when} the {name} of the {which} has changed, by up to {gap:.2g}.")


def assert_losses(losses, stage, expected, call, rtol=1e-3):
    assert_equal(sorted(losses), ["stage1", "stage2"], what=f"sorted list of keys of {call}")
    what = f"list {call}[{stage!r}]"
    assert_shape(np.array(losses[stage], dtype=np.float64), (len(expected),), what=what)
    assert_close(np.array(losses[stage], dtype=np.float64), np.array(expected), rtol=rtol, atol=1e-4, what=what)


@visible
@points(1)
def test_worked_example(student):
    """Logits, losses and the encoders' weights of the worked example come out."""

    def example(student):
        import keras
        import numpy as np
        import tensorflow as tf

        def line(slope, offset):
            x = keras.Input((1,))
            encoder = keras.Model(x, keras.layers.Dense(1)(x))
            encoder.set_weights([np.array([[slope]]), np.array([offset])])
            return encoder

        tf.config.run_functions_eagerly(True)
        try:
            text_encoder, image_encoder = line(2.0, 1.0), line(1.0, 0.0)
            model = student.TransferClassifier(text_encoder, image_encoder, 2)
            text, image = np.array([[1.0]], np.float32), np.array([[5.0]], np.float32)
            model([text, image])
            kernel, bias = sorted(model.trainable_variables, key=lambda variable: -len(variable.shape))
            kernel.assign(np.eye(2))
            bias.assign(np.zeros(2))
            logits = np.array(model([text, image]))
            losses = student.two_stage_fit(model, text, image, np.array([1]), 1, 1, 0.1, 0.01, batch_size=1, seed=0)
        finally:
            tf.config.run_functions_eagerly(False)
        weights = [np.ravel(array) for array in (*text_encoder.get_weights(), *image_encoder.get_weights())]
        return logits, losses, np.concatenate(weights)

    logits, losses, weights = student.run(example)
    assert_close(logits, np.array([[3.0, 5.0]]), what="tensor model([text, image])", rtol=1e-5)
    assert_losses(losses, "stage1", [0.126928], "two_stage_fit(...)")
    assert_losses(losses, "stage2", [0.022124], "two_stage_fit(...)")
    what = "list of kernel and bias of the text encoder and of the image encoder after both stages"
    assert_close(weights, np.array([1.99, 0.99, 1.01, 0.01]), atol=1e-4, what=what)


@points(1)
@catches("published-fresh-layers", "cloned-encoders", "image-first", "softmax-in-the-model")
def test_logits_come_from_the_given_encoders(student, rng):
    """The logits are one linear layer on the features of these very encoders, text first."""
    text_weights, image_weights, head, (text, image, _) = random_setup(rng)
    other = random_encoder(rng, TEXT, TEXT_FEATURES)
    steps = [("is model",), ("predict", text, image), ("set head", head), ("same encoders",)]
    steps += [("predict", text, image), ("predict", text[2:3], image[2:3]), ("dtype", text, image)]
    steps += [("change text encoder", other), ("predict", text, image)]
    is_model, _, shapes, same, logits, single, dtype, _, changed = student.run(
        use_classifier, text_weights, image_weights, 0.0, steps
    )
    assert_equal(is_model, True, what="isinstance(TransferClassifier(...), keras.Model)")
    what = f"sorted list of shapes of model.trainable_variables, for {JOINED} joined features and {CLASSES} classes"
    cause = "a head that is not kept, or encoders that are not frozen in a new model"
    assert_equal(shapes, [(CLASSES,), (JOINED, CLASSES)], what=what, cause=cause)
    assert_equal(same, [True, True], what="[model.text_encoder is text_encoder, model.image_encoder is image_encoder]")
    assert_shape(logits, (SAMPLES, CLASSES), what="tensor model([text, image])")
    assert_equal(dtype, "float32", what="dtype of model([text, image])")
    expected = logits_of(text_weights, image_weights, head, text, image)
    cause = "other features, their order, or an activation"
    assert_close(logits, expected, rtol=1e-4, atol=1e-4, what="tensor model([text, image])", cause=cause)
    assert_close(single, expected[2:3], rtol=1e-4, atol=1e-4, what="tensor model([text, image]) of one sample")
    expected = logits_of(other, image_weights, head, text, image)
    what = "tensor model([text, image]) after text_encoder.set_weights"
    assert_close(changed, expected, rtol=1e-4, atol=1e-4, what=what, cause="a copy of the encoder")


@points(1)
@catches("starts-unfrozen", "freezes-the-head", "image-encoder-stays-frozen")
def test_freeze_and_unfreeze(student, rng):
    """A new model is frozen; the two methods switch all weights of both encoders, never the head."""
    text_weights, image_weights, _, (text, image, _) = random_setup(rng)
    steps = [("predict", text, image)]
    for switch in (None, "unfreeze", "freeze", "unfreeze"):
        steps += [(switch,)] if switch else []
        steps += [("trainable in encoders",), ("trainable shapes",)]
    results = student.run(use_classifier, text_weights, image_weights, 0.0, steps)
    head = [(CLASSES,), (JOINED, CLASSES)]
    encoders = [(TEXT, TEXT_FEATURES), (IMAGE, IMAGE_FEATURES), *[(TEXT_FEATURES,)] * 3, *[(IMAGE_FEATURES,)] * 3]
    results = [result for result in results[1:] if result is not None]
    for index, when in enumerate(("in a new model", "after unfreeze()", "after freeze()", "after unfreeze() again")):
        free = bool(index % 2)
        what = f"numbers of trainable variables of text and image encoder {when}"
        assert_equal(results[2 * index], [4, 4] if free else [0, 0], what=what)
        expected = sorted(head + encoders) if free else head
        assert_equal(
            results[2 * index + 1], expected, what=f"sorted list of shapes of model.trainable_variables {when}"
        )


@points(1)
@catches("mode-passed-on", "statistics-move-when-unfrozen", "functional-core", "no-dropout", "dropout-always")
def test_encoders_run_in_inference_mode(student, rng):
    """In training mode, frozen or not, encoders drop nothing and keep their statistics; only joined features drop."""
    text_weights, image_weights, head, (text, image, _) = random_setup(rng)
    training = {"training": True}
    steps = [("predict", text, image), ("set head", head)]
    for switch in ("freeze", "unfreeze"):
        steps += [(switch,), ("predict", text, image, training), ("encoder weights",)]
    results = student.run(use_classifier, text_weights, image_weights, 0.0, steps)
    expected = logits_of(text_weights, image_weights, head, text, image)
    for start, when in ((2, "after freeze()"), (5, "after unfreeze()")):
        what = f"tensor model([text, image], training=True) {when}, for dropout=0.0"
        cause = "an encoder that computes in training mode"
        assert_close(results[start + 1], expected, rtol=1e-4, atol=1e-4, what=what, cause=cause)
        seen = dict(zip(("text encoder", "image encoder"), results[start + 2], strict=True))
        assert_encoders_unchanged(seen, text_weights, image_weights, f"After a call with training=True {when},")

    # with all features 1 and one class that adds them up, the logits count the features that are kept
    ones = [np.zeros_like(array) for array in text_weights], [np.zeros_like(array) for array in image_weights]
    for arrays in ones:
        arrays[3][:], arrays[5][:] = 1, 1
    counting = [np.zeros((JOINED, CLASSES), np.float32), np.zeros(CLASSES, np.float32)]
    counting[0][:, 1] = 1
    many = [np.zeros((300, TEXT), np.float32), np.zeros((300, IMAGE), np.float32)]
    steps = [("predict", *many), ("set head", counting), ("predict", *many), ("predict", *many, training)]
    _, _, without, kept = student.run(use_classifier, *ones, 0.2, steps)
    assert_close(
        without[:, 1], np.full(300, float(JOINED)), what="sum of joined features outside training, dropout=0.2"
    )
    kept = kept[:, 1] * 0.8
    whole = np.abs(kept - np.round(kept)).max() < 1e-3
    if not whole or not abs(kept.mean() / JOINED - 0.8) < 0.06 or len(set(np.round(kept))) < 3:
        raise AssertionError(
            f"In training mode, with dropout=0.2, a share of {kept.mean() / JOINED:.2f} of joined features is kept; "
            "it should be near 0.80, drawn for each feature of each sample, the kept ones divided by 0.80."
        )


@points(2)
@catches("encoders-train-in-stage-1", "logits-taken-for-probabilities", "another-optimiser")
def test_stage_one_trains_the_head_alone(student, rng):
    """Stage 1 is full-batch Adam on the head over fixed features; no bit of an encoder changes."""
    text_weights, image_weights, head, data = random_setup(rng)
    arguments = [3, 0, 0.05, 0.01, SAMPLES, 4]
    call = f"two_stage_fit(model, text, image, labels, {', '.join(map(str, arguments))})"
    seen = student.run(fit_and_look, text_weights, image_weights, head, list(data), arguments, True)
    assert_encoders_unchanged(seen, text_weights, image_weights, f"After {call}, on a model that was unfrozen,")
    losses, _, _, expected = train_by_hand(text_weights, image_weights, head, data, [(3, 0.05, False)])
    assert_losses(seen["losses"], "stage1", losses[0], call)
    assert_losses(seen["losses"], "stage2", [], call)
    for array, name in zip(expected, ("kernel", "bias"), strict=True):
        what = f"{name} of the head after {call}"
        assert_close(seen["head"][str(array.shape)], array, rtol=1e-3, atol=2e-3, what=what, cause="rate or loss")


@points(2)
@catches("no-second-compile", "new-optimiser-without-compile", "never-unfrozen", "same-rate", "rates-swapped")
def test_stage_two_trains_everything_at_its_own_rate(student, rng):
    """After stage 2 head and encoders are where Adam takes them with the two rates; moving statistics are not moved."""
    text_weights, image_weights, head, data = random_setup(rng)
    arguments = [2, 3, 0.05, 0.02, SAMPLES, 4]
    call = f"two_stage_fit(model, text, image, labels, {', '.join(map(str, arguments))})"
    seen = student.run(fit_and_look, text_weights, image_weights, head, list(data), arguments, False)
    stages = [(2, 0.05, False), (3, 0.02, True)]
    losses, text_after, image_after, head_after = train_by_hand(text_weights, image_weights, head, data, stages)
    for which, before in (("text encoder", text_weights), ("image encoder", image_weights)):
        if all(np.array_equal(old, new) for old, new in zip(before, seen[which], strict=True)):
            raise AssertionError(f"After {call} the {which} has not moved: every weight is exactly as before.")
    statistics = ("moving mean", "moving variance")
    assert_encoders_unchanged(seen, text_weights, image_weights, f"After {call}", names=statistics)
    cause = "which weights a stage trains, or its rate"
    for which, expected in (("text encoder", text_after), ("image encoder", image_after)):
        for name, array, found in zip(NAMES, expected, seen[which], strict=True):
            assert_close(found, array, rtol=1e-3, atol=3e-3, what=f"{name} of the {which} after {call}", cause=cause)
    for array, name in zip(head_after, ("kernel", "bias"), strict=True):
        found = seen["head"][str(array.shape)]
        assert_close(found, array, rtol=1e-3, atol=3e-3, what=f"{name} of the head after {call}", cause=cause)
    assert_losses(seen["losses"], "stage1", losses[0], call)
    assert_losses(seen["losses"], "stage2", losses[1], call, rtol=5e-3)


@points(1)
@catches(
    "no-shuffling",
    "one-order-for-all-epochs",
    "global-seed",
    "seed-ignored",
    "mean-over-batches",
    "short-batch-dropped",
)
def test_batches_and_their_order(student, rng):
    """Every epoch uses all samples once, in a new order that the seed decides; its loss is a mean over samples."""
    text_weights, image_weights, head, _ = random_setup(rng)
    count = 8  # 3 + 3 + 2
    text = rng.normal(size=(count, TEXT)).astype(np.float32)
    text[:, 0] = np.arange(count)
    image = rng.normal(size=(count, IMAGE)).astype(np.float32)
    data = [text, image, np.arange(count) % CLASSES]
    text_weights[0][0] *= 0.1  # keeps the logits of sample 7 in bounds
    text_weights, image_weights = text_weights[:2], image_weights[:2]
    orders = {}
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        arguments = [0, 2, 0.05, 1e-6, 3, seed]
        call = f"two_stage_fit(model, text, image, labels, {', '.join(map(str, arguments))}), for {count} samples,"
        seen = student.run(fit_and_look, text_weights, image_weights, head, data, arguments, False)
        if not seen["NumPy's state is the same"]:
            raise AssertionError(f"{call} changes NumPy's global random state.")
        flat = [number for batch in seen["order"] for number in batch]
        epochs = [flat[start : start + count] for start in range(0, len(flat), count)]
        if len(flat) != 2 * count or any(sorted(epoch) != list(range(count)) for epoch in epochs):
            raise AssertionError(f"In {call} the updates use the samples {epochs}, not each once an epoch.")
        sizes = [len(batch) for batch in seen["order"]]
        assert_equal(sizes, [3, 3, 2] * 2, what=f"list of batch sizes in {call}")
        orders[name] = epochs
        expected = losses_of_samples(logits_of(text_weights, image_weights, head, text, image), data[2]).mean()
        cause = "a mean over batches counts the samples of a short batch more than others"
        what = f"list of losses of stage 2 in {call} whose rate moves next to nothing"
        assert_close(np.array(seen["losses"]["stage2"]), np.full(2, expected), rtol=1e-3, what=what, cause=cause)
    first, other = orders["first"], orders["other"]
    if list(range(count)) in first or first[0] == first[1]:
        raise AssertionError(f"The orders of the two epochs for seed 5 are {first}; each should be a new one.")
    assert_equal(orders["again"], first, what="list of orders of the samples for seed 5, called again")
    if other == first:
        raise AssertionError("Seeds 5 and 6 give the same order of the samples in all epochs.")


@points(1)
@catches("any-label", "any-rate", "unbuilt-encoder-accepted")
def test_impossible_arguments_are_refused(student, rng):
    """Encoders without weights, and epochs, rates, sizes and labels that make no sense, raise ValueError."""

    def build_on_unbuilt(student, unbuilt):
        import keras

        rows = keras.Input((3,))
        built = keras.Model(rows, keras.layers.Dense(2)(rows))
        encoders = [built, built]
        encoders[unbuilt] = keras.Sequential([keras.layers.Dense(4)])
        student.TransferClassifier(*encoders, 3)

    def fit_badly(student, text, image, labels, arguments):
        import keras
        import tensorflow as tf

        rows, pixels = keras.Input((text.shape[1],)), keras.Input((image.shape[1],))
        encoders = [keras.Model(inputs, keras.layers.Dense(2)(inputs)) for inputs in (rows, pixels)]
        model = student.TransferClassifier(*encoders, 3)
        model([text[:1], image[:1]])
        tf.config.run_functions_eagerly(True)
        try:
            student.two_stage_fit(model, text, image, labels, *arguments)
        finally:
            tf.config.run_functions_eagerly(False)

    for unbuilt, which in ((0, "text"), (1, "image")):
        with raises(ValueError, what=f"TransferClassifier with a {which} encoder that is not built"):
            student.run(build_on_unbuilt, unbuilt)
    _, _, _, (text, image, labels) = random_setup(rng)
    good = [1, 1, 0.1, 0.1, 3, 0]
    nan, infinity = float("nan"), float("inf")
    changes = [(0, -1), (1, -1), (2, 0.0), (3, 0.0), (2, -0.1), (3, -0.1), (2, nan), (3, infinity), (4, 0)]
    names = ("head_epochs", "full_epochs", "head_lr", "full_lr", "batch_size")
    for index, value in changes:
        arguments = [value if place == index else usual for place, usual in enumerate(good)]
        with raises(ValueError, what=f"two_stage_fit with {names[index]}={value}"):
            student.run(fit_badly, text, image, labels, arguments)
    last = np.arange(SAMPLES) == SAMPLES - 1
    for data, what in (
        ((text, image, np.where(last, CLASSES, labels)), f"a label {CLASSES} of {CLASSES} classes"),
        ((text, image, np.where(last, -1, labels)), "a label -1"),
        ((text[:-1], image, labels), "one text too few"),
        ((text, image[:-1], labels), "one image too few"),
        ((text, image, labels[:-1]), "one label too few"),
    ):
        with raises(ValueError, what=f"two_stage_fit with {what}"):
            student.run(fit_badly, *data, good)
