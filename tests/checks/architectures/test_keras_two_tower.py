"""Checks of architectures/keras_two_tower: Keras stays in one probe; expected values are computed in NumPy here."""

import math

import numpy as np

from grader.checking import assert_close, assert_dtype, assert_equal, assert_shape, catches, points, raises, visible

SIDE, VOCAB, LENGTH, EMBED, HIDDEN, CHANNELS, BATCH = 5, 9, 4, 3, 7, 2, 6
SIZES = {"embed_dim": EMBED, "hidden": HIDDEN, "dropout": 0.0}


def use_classifier(student, base, arguments, options, steps):
    """Probe: build a base and the classifier on it, then take the steps; returns one result for each step.

    base: {"kind": "maps" or "features", "weights": arrays}. Of `options`, "preprocess" is given by name here.
    """
    import keras
    import numpy as np

    layers = [keras.Input(base["shape"]), keras.layers.Conv2D(base["channels"], 2, strides=2)]
    layers.append(keras.layers.BatchNormalization())
    layers += {
        "maps": [],
        "features": [keras.layers.GlobalMaxPooling2D()],
        "tokens": [keras.layers.Reshape((-1, base["channels"]))],
    }[base["kind"]]
    output = layers[0]
    for layer in layers[1:]:
        output = layer(output)
    image_base = keras.Model(layers[0], output)
    image_base.set_weights(base["weights"])
    preprocess = {
        None: None,
        "layer": keras.layers.Rescaling(1 / 100, offset=-1.0),
        "function": lambda image: image / 100 - 1,
    }[options.get("preprocess")]
    model = student.build_two_tower_classifier(image_base, *arguments, **{**options, "preprocess": preprocess})

    def as_plain(value):
        return np.array(keras.ops.convert_to_numpy(value))

    def trainable():
        return [(tuple(variable.shape), as_plain(variable)) for variable in model.trainable_variables]

    def set_weights(arrays):
        """Put random values into the trainable weights, found by their shapes; returns the shapes not found."""
        known = {tuple(variable.shape): variable for variable in model.trainable_variables}
        missing = [array.shape for array in arrays if array.shape not in known]
        for array in arrays:
            if array.shape in known:
                known[array.shape].assign(array)
        return missing

    def fill_weights(number, active):
        """Put values into the trainable weights, the same for the same shapes; if active, no hidden unit is dead."""
        of_base = {id(variable) for variable in image_base.variables}
        for variable in (variable for variable in model.trainable_variables if id(variable) not in of_base):
            shape = tuple(variable.shape)
            value = np.random.default_rng([number, *shape]).normal(size=shape) * 0.6
            if active and len(shape) == 1 and shape != (1,):
                value = np.abs(value) + 5
            if active and len(shape) == 2 and shape[1] == 1:
                value = value / 10  # the sigmoid is not saturated
            variable.assign(value.astype(np.float32))

    def train(batch, labels):
        model.run_eagerly = True  # the same steps without the time for compiling them
        return float(model.train_on_batch(batch, labels, return_dict=True)["loss"])

    def loss(batch, labels):
        model.run_eagerly = True
        return float(model.test_on_batch(batch, labels, return_dict=True)["loss"])

    actions = {
        "is model": lambda: isinstance(model, keras.Model),
        "call": lambda batch: len(np.shape(model(batch))),  # the weights exist from now on
        "predict": lambda batch: as_plain(model(batch)),
        "dtype": lambda batch: keras.backend.standardize_dtype(model(batch).dtype),
        "trainable": trainable,
        "set weights": set_weights,
        "fill weights": fill_weights,
        "base weights": image_base.get_weights,
        "set base weights": image_base.set_weights,
        "base's trainable weights": lambda: len(image_base.trainable_variables),
        "optimizer": lambda: type(model.optimizer).__name__,
        "rate": lambda: float(model.optimizer.learning_rate),
        "train": train,
        "loss": loss,
    }
    return [actions[name](*values) for name, *values in steps]


def random_base(rng, kind="maps", scale=1.0):
    """A base with random weights and, in its batch normalisation, random statistics."""
    weights = [
        rng.normal(size=(2, 2, 3, CHANNELS)) * scale / 4,
        rng.normal(size=CHANNELS),
        rng.uniform(0.5, 1.5, size=CHANNELS),  # gamma
        rng.normal(size=CHANNELS),  # beta
        rng.normal(size=CHANNELS),  # moving mean
        rng.uniform(0.5, 2.0, size=CHANNELS),  # moving variance
    ]
    weights = [array.astype(np.float32) for array in weights]
    return {"kind": kind, "shape": (SIDE, SIDE, 3), "channels": CHANNELS, "weights": weights}


def random_head(rng, embed_dim=EMBED, hidden=HIDDEN, vocab=VOCAB):
    """Embedding table, kernel, bias, kernel, bias, all shapes different."""
    shapes = [(vocab, embed_dim), (CHANNELS + embed_dim, hidden), (hidden,), (hidden, 1), (1,)]
    return [(rng.normal(size=shape) * 0.6).astype(np.float32) for shape in shapes]


def random_batch(rng, batch=BATCH, length=LENGTH):
    """Images, and texts with `length` to 0 padding tokens at any place; the first text is all padding."""
    text = rng.integers(1, VOCAB, size=(batch, length))
    for row in range(batch):
        text[row, rng.permutation(length)[: max(length - row, 0) if row < length else 0]] = 0
    image = rng.uniform(0, 255, size=(batch, SIDE, SIDE, 3)).astype(np.float32)
    return {"image": image, "text": text.astype(np.int32)}


def expected_probabilities(base, head, batch, rescaled=False):
    """The formula in float64, one sample at a time: shape (batch, 1)."""
    kernel, bias, gamma, beta, mean, variance = (array.astype(np.float64) for array in base["weights"])
    table, first_kernel, first_bias, last_kernel, last_bias = (array.astype(np.float64) for array in head)
    results = []
    for pixels, ids in zip(batch["image"].astype(np.float64), batch["text"], strict=True):
        pixels = pixels / 100 - 1 if rescaled else pixels
        cells = []
        for top in range(0, SIDE - 1, 2):
            for left in range(0, SIDE - 1, 2):
                window = pixels[top : top + 2, left : left + 2]
                value = np.tensordot(window, kernel, axes=3) + bias
                cells.append((value - mean) / np.sqrt(variance + 1e-3) * gamma + beta)
        features = np.max(cells, axis=0) if base["kind"] == "features" else np.mean(cells, axis=0)
        words = [table[word] for word in ids if word != 0]
        sentence = np.mean(words, axis=0) if words else np.zeros(table.shape[1])
        units = np.maximum(np.concatenate([features, sentence]) @ first_kernel + first_bias, 0)
        logit = float((units @ last_kernel + last_bias)[0])
        results.append([1 / (1 + math.exp(-logit))])
    return np.array(results)


def use(student, base, steps, options=None, arguments=(VOCAB, LENGTH)):
    return student.run(use_classifier, base, list(arguments), {**SIZES, **(options or {})}, steps)


def need_weights(missing):
    """Fail when the weights that the statement lists are not among the model's trainable ones."""
    if missing:
        raise AssertionError(
            f"Among model.trainable_variables there is none of the shapes {missing}, for vocab_size={VOCAB}, "
            f"embed_dim={EMBED}, hidden={HIDDEN} and an image_base with {CHANNELS} channels."
        )


def need_shapes(shapes, expected, of=""):
    """Fail, with both lists whole, unless the trainable weights have the shapes that the statement lists."""
    if sorted(shapes) != sorted(expected):
        raise AssertionError(
            f"The sorted shapes of model.trainable_variables{of} are {sorted(shapes)}; "
            f"they should be {sorted(expected)}."
        )


@visible
@points(1)
def test_worked_example(student):
    """The model of the worked example has the right shapes and gives its probabilities."""

    def example(student):
        import keras
        import numpy as np

        pixels = keras.Input((2, 2, 3))
        base = keras.Model(pixels, keras.layers.Conv2D(2, 1, use_bias=False)(pixels))
        base.set_weights([np.array([[1, 0], [0, 1], [0, 0]], np.float32).reshape(1, 1, 3, 2)])
        model = student.build_two_tower_classifier(
            base, 6, 4, embed_dim=2, hidden=3, dropout=0.0, preprocess=lambda image: image / 255
        )
        image = np.full((2, 2, 2, 3), [204, 51, 77], np.float32)
        batch = {"image": image, "text": np.array([[3, 5, 0, 0], [0, 0, 0, 0]], np.int32)}
        result_shape = tuple(model(batch).shape)
        shapes = sorted(tuple(variable.shape) for variable in model.trainable_variables)
        for variable in model.trainable_variables:
            rows = np.arange(6)[:, None] if variable.shape == (6, 2) else 0.1
            variable.assign(np.broadcast_to(rows, variable.shape).astype(np.float32))
        return result_shape, shapes, np.array(model(batch))

    result_shape, shapes, probability = student.run(example)
    if result_shape != (2, 1):
        raise AssertionError(f"The shape of model(batch) for two samples is {result_shape}; it should be (2, 1).")
    need_shapes(shapes, [(1,), (3,), (3, 1), (4, 3), (6, 2)])
    assert_close(probability, np.array([[0.598688], [0.539915]]), atol=1e-4, what="tensor model(batch)")


@points(1)
@catches("softmax-on-one-unit", "flattened-maps", "no-bias", "one-dimensional-output", "joined-along-the-samples")
def test_model_gives_one_probability_for_each_sample(student, rng):
    """The model takes the dictionary, gives float32 probabilities of shape (batch, 1), and has the five weights."""
    base, batch = random_base(rng, scale=1 / 255), random_batch(rng)
    batch["text"][0, 0] = 1  # a text of padding only is the matter of another check
    one = {key: value[-1:] for key, value in batch.items()}
    steps = [("call", batch), ("fill weights", 1, False), ("is model",), ("predict", batch), ("predict", one)]
    steps += [("dtype", batch), ("trainable",)]
    _, _, is_model, probability, single, dtype, trainable = use(student, base, steps)
    assert_equal(is_model, True, what="isinstance(build_two_tower_classifier(...), keras.Model)")
    what = f"tensor model(batch) for {BATCH} samples"
    assert_shape(probability, (BATCH, 1), what=what)
    assert_shape(single, (1, 1), what="tensor model(batch) for one sample")
    assert_equal(dtype, "float32", what="dtype of model(batch)")
    assert_dtype(probability, "float32", what=what)
    if not ((probability > 0) & (probability < 1)).all() or not np.ptp(probability) > 0:
        raise AssertionError(
            f"model(batch) should hold probabilities between 0 and 1 that differ from sample to sample; "
            f"it holds {probability.ravel().tolist()}."
        )
    need_shapes(
        [shape for shape, _ in trainable],
        [(VOCAB, EMBED), (CHANNELS + EMBED, HIDDEN), (HIDDEN,), (HIDDEN, 1), (1,)],
        f" for vocab_size={VOCAB}, embed_dim={EMBED}, hidden={HIDDEN} and an image_base with {CHANNELS} channels",
    )


@points(1)
@catches("head-on-the-input", "copied-base", "preprocess-ignored")
def test_head_sees_the_features_of_the_base(student, rng):
    """The prediction depends on the weights of `image_base` itself, and on the images after `preprocess`."""
    batch = random_batch(rng)
    batch["text"][0, 0] = 1
    for kind, preprocess in (("maps", None), ("features", "function")):
        base = random_base(rng, kind, scale=1.0 if preprocess else 1 / 255)
        other = random_base(rng, kind, scale=1.0 if preprocess else 1 / 255)
        kernel_changed = [other["weights"][0], *base["weights"][1:]]
        steps = [("call", batch), ("fill weights", 2, True), ("predict", batch)]
        steps += [("set base weights", kernel_changed), ("predict", batch)]
        _, _, before, _, after = use(student, base, steps, {"preprocess": preprocess})
        if np.allclose(before, after, rtol=1e-5, atol=1e-7):
            raise AssertionError(
                "model(batch) stays the same when a convolution kernel of image_base is changed. "
                "The features that the head gets do not come from image_base itself."
            )
        if preprocess:
            without = use(student, base, steps[:3])[2]
            if np.allclose(before, without, rtol=1e-5, atol=1e-7):
                raise AssertionError("model(batch) is the same with and without preprocess.")


@points(2)
@catches(
    "no-text",
    "padding-in-the-mean",
    "divided-by-the-length",
    "nan-for-padding-only",
    "padding-at-the-end-only",
    "padding-by-its-vector",
)
def test_padding_has_no_influence(student, rng):
    """The tokens count, the padding does not, wherever it stands and however much of it there is."""
    base, table = random_base(rng, scale=1 / 255), random_head(rng)[0]
    image = np.repeat(rng.uniform(0, 255, size=(1, SIDE, SIDE, 3)), 6, axis=0).astype(np.float32)
    first, second, third = (int(word) for word in rng.permutation(np.arange(1, VOCAB))[:3])
    text = [
        [first, second, 0, 0],
        [0, first, 0, second],  # the same words elsewhere
        [first, first, second, second],  # the same mean without padding
        [third, second, 0, 0],
        [first, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    batch = {"image": image, "text": np.array(text, np.int32)}
    other_padding = table.copy()
    other_padding[0] = 50.0
    steps = [("call", batch), ("fill weights", 3, True), ("set weights", [table]), ("predict", batch)]
    steps += [("set weights", [other_padding]), ("predict", batch)]
    _, _, missing, before, _, after = use(student, base, steps)
    need_weights(missing)
    before, after = np.ravel(before), np.ravel(after)
    if not np.isfinite(before).all():
        raise AssertionError(f"model(batch) is {before[5]} for a text of padding only; its vector should be 0.")
    if np.isclose(before[0], before[3], rtol=1e-5):
        raise AssertionError("model(batch) stays the same when a word of the text is replaced by another.")
    assert_close(before[1], before[0], what=f"probability for the text {text[1]}, against {text[0]}")
    assert_close(before[2], before[0], what=f"probability for the text {text[2]}, against {text[0]}")
    cause = "the padding's row of the table takes part in the sum"
    assert_close(after, before, what="probability after another row 0 of the embedding table", cause=cause)
    # with as many words in a longer text, the result is the same
    longer = np.concatenate([batch["text"], np.zeros((6, 3), np.int32)], axis=1)
    more = {**batch, "text": longer}
    steps = [("call", more), ("fill weights", 3, True), ("set weights", [table]), ("predict", more)]
    *_, padded = use(student, base, steps, arguments=(VOCAB, LENGTH + 3))
    assert_close(np.ravel(padded), before, what="probability with three more padding tokens in every text")


@points(1)
@catches("text-before-image", "no-activation", "maximum-over-places", "summed-words", "divided-by-255-as-well")
def test_probabilities(student, rng):
    """Towers, pooling, head and sigmoid give the probabilities of the formula, for any weights."""
    for kind, preprocess in (("maps", None), ("features", "layer")):
        base = random_base(rng, kind, scale=1.0 if preprocess else 1 / 255)
        head, batch = random_head(rng), random_batch(rng)
        steps = [("call", batch), ("set weights", head), ("predict", batch)]
        _, missing, probability = use(student, base, steps, {"preprocess": preprocess})
        need_weights(missing)
        assert_close(
            probability,
            expected_probabilities(base, head, batch, rescaled=preprocess is not None),
            rtol=1e-4,
            atol=1e-5,
            what=f"tensor model(batch) with a base that returns {kind} and "
            + ("a layer as preprocess" if preprocess else "preprocess=None"),
            cause="the order of image and text, the pooling, an activation, or something done to the images or the "
            "features that the statement does not name",
        )


@points(1)
@catches(
    "dropout-rate-ignored",
    "dropout-always",
    "dropout-on-the-features",
    "samples-share-their-dropout",
    "second-dropout-on-the-features",
    "second-dropout-on-the-image",
    "second-dropout-on-the-words",
    "gaussian-dropout",
)
def test_dropout_of_the_hidden_units(student, rng):
    """In training mode each hidden unit is dropped with the given rate and nothing else is; otherwise none is."""

    def count_kept_units(student, hidden, rate, image, text, table):
        """All hidden units are alike, so that the logit in training mode tells how many were kept.

        They get only their bias, only the image's features, or only the words. The counts are random; what comes back
        for each case is not: what is strange about them, or the share of kept units to one digit.
        """
        import keras
        import numpy as np

        pixels = keras.Input(image.shape[1:])
        base = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
        model = student.build_two_tower_classifier(
            base, len(table), text.shape[1], embed_dim=table.shape[1], hidden=hidden, dropout=rate
        )

        def logits(batch, **mode):
            probability = np.array(model(batch, **mode), np.float64).reshape(len(image), -1)[:, 0]
            return np.log(probability / (1 - probability))

        model({"image": image, "text": text})
        found = []
        for bias, shown, words in (
            (1.0, 0.0 * image, 0.0 * table),
            (0.0, image, 0.0 * table),
            (0.0, 0.0 * image, table),
        ):
            for variable in model.trainable_variables:
                shape = tuple(variable.shape)
                value = {(hidden,): bias, (hidden, 1): 1 / hidden, (1,): 0.0, table.shape: words}.get(shape, 1.0)
                variable.assign(np.broadcast_to(value, shape).astype(np.float32))
            batch = {"image": shown, "text": text}
            every, again, some = logits(batch), logits(batch), logits(batch, training=True)
            if not np.allclose(every, again):
                found.append("random outside training")
            elif np.allclose(every, 0):
                found.append("silent")
            elif np.allclose(some, every):
                found.append("nothing dropped")
            else:
                kept = some / every * hidden * (1 - rate)
                whole = np.abs(kept - np.round(kept)).max() < 0.01
                same = np.ptp(kept) < 0.01
                share = round(float(np.mean(kept)) / hidden, 1)
                found.append("not whole" if not whole else "the same for all samples" if same else share)
        return found

    hidden, rate, batch = 41, 0.3, 50
    image = rng.uniform(0.2, 1.0, size=(batch, 2, 2, 3)).astype(np.float32)
    text = rng.integers(1, 5, size=(batch, 3)).astype(np.int32)
    table = rng.uniform(0.2, 1.0, size=(5, 2)).astype(np.float32)
    found = student.run(count_kept_units, hidden, rate, image, text, table)
    call = f"with hidden={hidden} and dropout={rate}"
    if "random outside training" in found:
        raise AssertionError(f"Two calls model(batch) outside training differ, {call}: something is dropped there.")
    units, *towers = found
    if units == "silent":
        raise AssertionError(f"With only a bias of 1 in the hidden layer the logit is 0, {call}: is that bias missing?")
    if units == "nothing dropped":
        raise AssertionError(f"In training mode no hidden unit is dropped, {call}: all give what they give otherwise.")
    if units == "the same for all samples":
        raise AssertionError(f"In training mode the same hidden units are dropped for all samples of a batch, {call}.")
    if units == "not whole":
        raise AssertionError(
            f"In training mode a hidden unit should be 0 or its value divided by 1 - dropout = {1 - rate}, {call}; "
            f"in yours the sum of equal hidden units is no whole number of such values."
        )
    if units != round(1 - rate, 1):
        raise AssertionError(
            f"In training mode a share of about {units} of the hidden units is kept, {call}; "
            f"it should be about {1 - rate:.1f}."
        )
    for case, name in zip(towers, ("the image's features", "the words"), strict=True):
        if case == "not whole":
            raise AssertionError(
                f"In training mode something besides the hidden units is dropped, {call}: where all hidden units are "
                f"alike and depend on {name} only, their sum is no whole number of kept units."
            )


@points(1)
@catches("squared-error", "default-rate", "plain-sgd")
def test_model_is_compiled(student, rng):
    """The loss is the binary cross-entropy, and the optimiser Adam with the given rate."""
    base, batch = random_base(rng, scale=1 / 255), random_batch(rng)
    batch["text"][0, 0] = 1
    labels = rng.permutation(np.arange(BATCH) % 2).astype(np.float32)[:, None]
    steps = [("call", batch), ("fill weights", 4, True), ("optimizer",), ("rate",), ("predict", batch)]
    steps += [("loss", batch, labels)]
    _, _, optimizer, rate, probability, loss = use(student, base, steps, {"learning_rate": 0.0123})
    assert_equal(optimizer, "Adam", what="class of model.optimizer")
    assert_close(rate, 0.0123, rtol=1e-5, what="learning rate of model.optimizer, for learning_rate=0.0123")
    probability = np.asarray(probability, np.float64).reshape(BATCH, -1)[:, :1]
    with np.errstate(all="ignore"):
        by_hand = -np.mean(labels * np.log(probability) + (1 - labels) * np.log(1 - probability))
    assert_close(
        loss,
        float(by_hand),
        rtol=1e-4,
        what="loss of the model on a batch, against the cross-entropy of the probabilities that it gives for it,",
        cause="another loss, or something that is added to the loss",
    )


@points(1)
@catches("base-trainable", "batch-normalisation-moves", "all-frozen", "nan-gradient")
def test_training_moves_the_new_weights_only(student, rng):
    """A training step moves the five new weights and leaves every weight of the base bit for bit as it is."""
    labels = (np.arange(BATCH) % 2).astype(np.float32)[:, None]
    base, batch = random_base(rng, scale=1 / 255), random_batch(rng)
    steps = [("call", batch), ("fill weights", 5, True), ("base weights",), ("trainable",)]
    steps += [("train", batch, labels), ("train", batch, labels)]
    steps += [("base weights",), ("trainable",), ("base's trainable weights",)]
    _, _, base_before, before, *_, base_after, after, in_base = use(student, base, steps)
    names = ("kernel", "bias", "gamma", "beta", "moving mean", "moving variance")
    moved = [
        name for name, old, new in zip(names, base_before, base_after, strict=True) if not np.array_equal(old, new)
    ]
    if moved:
        raise AssertionError(f"Two training steps change weights of image_base: {', '.join(moved)}.")
    assert_equal(in_base, 0, what="number of image_base.trainable_variables after building")
    still = [shape for (shape, old), (_, new) in zip(before, after, strict=True) if np.array_equal(old, new)]
    if still:
        raise AssertionError(f"Two training steps do not change the weights of the shapes {still}.")
    if not all(np.isfinite(new).all() for _, new in after):
        raise AssertionError("Two training steps on a batch with a text of padding only make weights NaN.")


@points(1)
@catches("any-rank", "any-vocabulary", "any-length")
def test_impossible_arguments_are_refused(student, rng):
    """A base of the wrong rank, a vocabulary without words and texts without tokens raise ValueError."""
    base, batch = random_base(rng, scale=1 / 255), random_batch(rng)
    for arguments in ((1, LENGTH), (0, LENGTH), (VOCAB, 0), (VOCAB, -2)):
        with raises(ValueError, what=f"build_two_tower_classifier(image_base, {arguments[0]}, {arguments[1]})"):
            use(student, base, [], arguments=arguments)
    with raises(ValueError, what="build_two_tower_classifier with a base that returns (batch, 4, channels)"):
        use(student, {**base, "kind": "tokens"}, [])
    smallest = {"image": batch["image"], "text": (batch["text"][:, :1] > 0).astype(np.int32)}
    (probability,) = use(student, base, [("predict", smallest)], arguments=(2, 1))
    assert_shape(probability, (BATCH, 1), what="tensor model(batch) for vocab_size=2 and max_len=1")
