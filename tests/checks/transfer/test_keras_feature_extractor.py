"""Checks of transfer/keras_feature_extractor: Keras stays in a probe; expected features are computed in NumPy here."""

import numpy as np

from grader.checking import assert_close, assert_equal, assert_shape, catches, points, raises, visible

WORDS, LENGTH, EMBED, TEXT_FEATURES, TEXT_CLASSES = 9, 5, 3, 4, 2
IMAGE, IMAGE_HIDDEN, IMAGE_FEATURES, IMAGE_CLASSES = 6, 7, 5, 3
BATCH = 8


def use_extractor(student, text_weights, image_weights, arguments, steps):
    """Probe: two encoders, the extractor on them, and one result for each step.

    Text: ids, embedding, mean, dropout, batch normalisation, features, classes (a functional model).
    Image: rows of numbers, hidden, dropout, batch normalisation, features, classes (a Sequential one).
    """
    import keras
    import numpy as np

    layers = keras.layers
    words, width = text_weights[0].shape
    ids = keras.Input((5,), dtype="int32")
    vectors = layers.Embedding(words, width, name="vectors")(ids)
    output = layers.GlobalAveragePooling1D(name="mean")(vectors)
    output = layers.BatchNormalization(name="norm")(layers.Dropout(0.5, name="drop")(output))
    output = layers.Dense(text_weights[5].shape[1], activation="tanh", name="features")(output)
    output = layers.Dense(text_weights[7].shape[1], name="classes")(output)
    text_encoder = keras.Model(ids, output)
    text_encoder.set_weights(text_weights)
    image_encoder = keras.Sequential(
        [
            keras.Input((image_weights[0].shape[0],)),
            layers.Dense(image_weights[0].shape[1], activation="relu", name="hidden"),
            layers.Dropout(0.5, name="drop"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(image_weights[6].shape[1], activation="tanh", name="features"),
            layers.Dense(image_weights[8].shape[1], name="classes"),
        ]
    )
    image_encoder.set_weights(image_weights)
    encoders, options = {"text": text_encoder, "image": image_encoder}, dict(arguments)
    if "unbuilt" in options:
        encoders[options.pop("unbuilt")] = keras.Sequential([layers.Dense(4, name="features")])
    if options.pop("tokens", None):  # an image encoder whose own output is (batch, 3, 2)
        rows = keras.Input((6,))
        encoders["image"] = keras.Model(rows, layers.Reshape((3, 2), name="tokens")(layers.Dense(6)(rows)))
    try:
        extractor = student.build_feature_extractor(encoders["text"], encoders["image"], **options)
    except ValueError:
        if steps[0][0] != "trainable in encoders after a refusal":
            raise

    def as_plain(value):
        return np.array(keras.ops.convert_to_numpy(value))

    def count_trainable():
        return [len(encoder.trainable_variables) for encoder in (text_encoder, image_encoder)]

    def set_projection(kernel, bias):
        known = {tuple(variable.shape): variable for variable in extractor.trainable_variables}
        for array in (kernel, bias):
            if array.shape in known:
                known[array.shape].assign(array)

    def change_encoders(text, image):
        text_encoder.set_weights(text)
        image_encoder.set_weights(image)

    def train(text, image, target):
        extractor.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
        for _ in range(2):
            extractor.train_on_batch([text, image], target)

    actions = {
        "is model": lambda: isinstance(extractor, keras.Model),
        "call": lambda text, image: as_plain(extractor([text, image])),
        "call in training mode": lambda text, image: as_plain(extractor([text, image], training=True)),
        "dtype": lambda text, image: keras.backend.standardize_dtype(extractor([text, image]).dtype),
        "trainable shapes": lambda: sorted(tuple(variable.shape) for variable in extractor.trainable_variables),
        "trainable in encoders": count_trainable,
        "trainable in encoders after a refusal": count_trainable,
        "set projection": set_projection,
        "projection": lambda: [as_plain(variable) for variable in extractor.trainable_variables],
        "train": train,
        "encoder weights": lambda: [text_encoder.get_weights(), image_encoder.get_weights()],
        "change encoders": change_encoders,
    }
    return [actions[name](*values) for name, *values in steps]


def random_arrays(rng, *shapes):
    return [(rng.normal(size=shape) * 0.7).astype(np.float32) for shape in shapes]


def batch_normalisation(rng, width):
    """gamma, beta, moving mean and moving variance."""
    gamma, variance = rng.uniform(0.5, 1.5, size=width), rng.uniform(0.5, 2.0, size=width)
    return [array.astype(np.float32) for array in (gamma, rng.normal(size=width), rng.normal(size=width), variance)]


def random_encoders(rng):
    text = random_arrays(rng, (WORDS, EMBED)) + batch_normalisation(rng, EMBED)
    text += random_arrays(rng, (EMBED, TEXT_FEATURES), TEXT_FEATURES, (TEXT_FEATURES, TEXT_CLASSES), TEXT_CLASSES)
    image = random_arrays(rng, (IMAGE, IMAGE_HIDDEN), IMAGE_HIDDEN) + batch_normalisation(rng, IMAGE_HIDDEN)
    image += random_arrays(rng, (IMAGE_HIDDEN, IMAGE_FEATURES), IMAGE_FEATURES)
    image += random_arrays(rng, (IMAGE_FEATURES, IMAGE_CLASSES), IMAGE_CLASSES)
    return text, image


def random_batch(rng):
    text = rng.integers(0, WORDS, size=(BATCH, LENGTH)).astype(np.int32)
    return text, rng.normal(size=(BATCH, IMAGE)).astype(np.float32)


def normalised(rows, gamma, beta, mean, variance):
    return (rows - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def text_features(weights, ids):
    """What each layer of the text encoder returns in inference mode, by name, in float64."""
    table, gamma, beta, mean, variance, kernel, bias, last_kernel, last_bias = (w.astype(np.float64) for w in weights)
    results = {"mean": np.array([np.mean([table[word] for word in row], axis=0) for row in ids])}
    results["norm"] = normalised(results["mean"], gamma, beta, mean, variance)
    results["features"] = np.tanh(results["norm"] @ kernel + bias)
    results["classes"] = results[None] = results["features"] @ last_kernel + last_bias
    return results


def image_features(weights, rows):
    """What each layer of the image encoder returns in inference mode, by name, in float64."""
    first, first_bias, *statistics, kernel, bias, last, last_bias = (w.astype(np.float64) for w in weights)
    results = {"hidden": np.maximum(rows @ first + first_bias, 0)}
    results["norm"] = normalised(results["hidden"], *statistics)
    results["features"] = np.tanh(results["norm"] @ kernel + bias)
    results["classes"] = results[None] = results["features"] @ last + last_bias
    return results


def expected_features(encoders, batch, text_layer=None, image_layer=None):
    parts = [text_features(encoders[0], batch[0])[text_layer], image_features(encoders[1], batch[1])[image_layer]]
    return np.concatenate(parts, axis=1)


def extract(student, encoders, steps, **arguments):
    return student.run(use_extractor, *encoders, arguments, steps)


def shown(arguments):
    """The call in words."""
    options = [f"{name}={value!r}" for name, value in arguments.items()]
    return f"build_feature_extractor({', '.join(['text_encoder', 'image_encoder', *options])})"


@visible
@points(1)
def test_worked_example(student):
    """The three extractors of the worked example return its features."""

    def example(student):
        import keras
        import numpy as np

        words = keras.Input((2,))
        doubled = keras.layers.Rescaling(2.0, name="features")(words)
        text_encoder = keras.Model(words, keras.layers.Dense(1, name="classes", kernel_initializer="ones")(doubled))
        image_encoder = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(-1.0)])
        batch = [np.array([[1.0, 3.0]], np.float32), np.array([[5.0]], np.float32)]
        outputs = student.build_feature_extractor(text_encoder, image_encoder)
        cut = student.build_feature_extractor(text_encoder, image_encoder, text_layer="features")
        results = [np.array(outputs(batch)), np.array(cut(batch))]
        counts = [len(cut.trainable_variables), len(text_encoder.trainable_variables)]
        projected = student.build_feature_extractor(text_encoder, image_encoder, text_layer="features", hidden_size=2)
        projected(batch)
        counts.append(len(projected.trainable_variables))
        for variable in projected.trainable_variables:
            variable.assign(np.ones(variable.shape))
        return [*results, np.array(projected(batch))], counts

    results, counts = student.run(example)
    for result, expected, what in zip(
        results,
        ([[8.0, -5.0]], [[2.0, 6.0, -5.0]], [[4.0, 4.0]]),
        ("encoders' outputs", 'outputs for text_layer="features"', "projection"),
        strict=True,
    ):
        assert_close(result, np.array(expected), rtol=1e-5, what=f"tensor of the {what}")
    what = "list of numbers of trainable variables of extractor, text encoder and extractor with projection"
    assert_equal(counts, [0, 0, 2], what=what)


@points(2)
@catches("published-fresh-layers", "image-first", "cloned-encoders")
def test_features_are_the_outputs_of_the_encoders(student, rng):
    """Without layer names the features are the two encoders' own outputs, text first, and follow their weights."""
    encoders, others, batch = random_encoders(rng), random_encoders(rng), random_batch(rng)
    steps = [("is model",), ("call", *batch), ("call", batch[0][:1], batch[1][:1]), ("dtype", *batch)]
    steps += [("change encoders", *others), ("call", *batch)]
    is_model, features, single, dtype, _, changed = extract(student, encoders, steps)
    assert_equal(is_model, True, what="isinstance(build_feature_extractor(...), keras.Model)")
    expected = expected_features(encoders, batch)
    assert_shape(features, expected.shape, what="tensor extractor([text, image])")
    assert_equal(dtype, "float32", what="dtype of extractor([text, image])")
    cause = "features that are not the encoders' outputs, or their order"
    assert_close(features, expected, rtol=1e-4, atol=1e-5, what="tensor extractor([text, image])", cause=cause)
    assert_close(single, expected[:1], rtol=1e-4, atol=1e-5, what="tensor extractor([text, image]) of one sample")
    what = "tensor extractor([text, image]) after set_weights on both encoders"
    cause = "copies of the encoders"
    assert_close(changed, expected_features(others, batch), rtol=1e-4, atol=1e-5, what=what, cause=cause)


@points(1)
@catches("outputs-instead-of-the-layer", "input-of-the-layer", "one-name-for-both", "always-the-last-but-one")
def test_features_of_a_named_layer(student, rng):
    """A layer's name gives what that layer returns, for each encoder by itself."""
    encoders, batch = random_encoders(rng), random_batch(rng)
    for text_layer, image_layer in (("features", "norm"), ("mean", "features"), ("norm", None), (None, "hidden")):
        arguments = {"text_layer": text_layer, "image_layer": image_layer}
        (features,) = extract(student, encoders, [("call", *batch)], **arguments)
        what = f"tensor extractor([text, image]) of {shown(arguments)}"
        cause = "another layer, or its input"
        expected = expected_features(encoders, batch, **arguments)
        assert_close(features, expected, rtol=1e-4, atol=1e-5, what=what, cause=cause)


@points(1)
@catches("projection-with-activation", "hidden-size-ignored", "projection-without-bias", "one-projection-each")
def test_projection(student, rng):
    """With `hidden_size` one linear layer follows, whose kernel and bias are all that can be trained."""
    encoders, batch = random_encoders(rng), random_batch(rng)
    arguments = {"image_layer": "features", "hidden_size": 3}
    width = TEXT_CLASSES + IMAGE_FEATURES
    kernel, bias = random_arrays(rng, (width, 3), 3)
    steps = [("call", *batch), ("trainable shapes",), ("set projection", kernel, bias), ("call", *batch)]
    random_features, shapes, _, features = extract(student, encoders, steps, **arguments)
    assert_shape(random_features, (BATCH, 3), what=f"tensor extractor([text, image]) of {shown(arguments)}")
    what = f"sorted list of shapes of extractor.trainable_variables for {width} features and hidden_size=3"
    assert_equal(shapes, sorted([(width, 3), (3,)]), what=what)
    expected = expected_features(encoders, batch, image_layer="features") @ kernel.astype(np.float64) + bias
    what = f"tensor extractor([text, image]) of {shown(arguments)}, for random weights of the projection"
    assert_close(features, expected, rtol=1e-4, atol=1e-5, what=what, cause="an activation")
    for size in (1, width):
        (features,) = extract(student, encoders, [("call", *batch)], image_layer="features", hidden_size=size)
        assert_shape(features, (BATCH, size), what=f"tensor extractor([text, image]) for hidden_size={size}")


@points(1)
@catches("encoders-trainable", "only-the-extractor-frozen")
def test_encoders_are_frozen_in_place(student, rng):
    """After building, neither encoder has trainable variables, and the extractor has those of the projection only."""
    encoders, batch = random_encoders(rng), random_batch(rng)
    for arguments in ({}, {"text_layer": "norm", "image_layer": "hidden"}):
        steps = [("call", *batch), ("trainable shapes",), ("trainable in encoders",)]
        _, shapes, counts = extract(student, encoders, steps, **arguments)
        assert_equal(shapes, [], what=f"list of shapes of extractor.trainable_variables of {shown(arguments)}")
        what = f"list of numbers of trainable variables of text and image encoder after {shown(arguments)}"
        assert_equal(counts, [0, 0], what=what)


@points(2)
@catches("mode-passed-on", "functional-model", "dropout-of-one-encoder")
def test_features_are_the_same_in_training_mode(student, rng):
    """With training=True nothing is dropped and no statistics move, with and without a projection."""
    encoders, batch = random_encoders(rng), random_batch(rng)
    for arguments in ({"text_layer": "features", "image_layer": "features"}, {}):
        steps = [("call", *batch), ("call in training mode", *batch), ("encoder weights",)]
        _, features, after = extract(student, encoders, steps, **arguments)
        expected = expected_features(encoders, batch, **arguments)
        what = f"tensor extractor([text, image], training=True) of {shown(arguments)}"
        cause = "an encoder that computes in training mode"
        assert_close(features, expected, rtol=1e-4, atol=1e-5, what=what, cause=cause)
        for which, old, new in zip(("text", "image"), encoders, after, strict=True):
            if not all(np.array_equal(before, now) for before, now in zip(old, new, strict=True)):
                raise AssertionError(f"A call with training=True changes weights or statistics of the {which} encoder.")


@points(1)
@catches("features-without-gradient")
def test_training_moves_the_projection_only(student, rng):
    """Training the extractor moves the projection along its gradient, and no bit of the encoders."""
    encoders, batch = random_encoders(rng), random_batch(rng)
    kernel, bias = random_arrays(rng, (TEXT_FEATURES + IMAGE_CLASSES, 2), 2)
    target = rng.normal(size=(BATCH, 2)).astype(np.float32)
    steps = [("call", *batch), ("set projection", kernel, bias), ("train", *batch, target)]
    steps += [("encoder weights",), ("projection",)]
    *_, after, projection = extract(student, encoders, steps, text_layer="features", hidden_size=2)
    for which, old, new in zip(("text", "image"), encoders, after, strict=True):
        if not all(np.array_equal(before, now) for before, now in zip(old, new, strict=True)):
            raise AssertionError(f"Two training steps change weights of the {which} encoder.")
    features = expected_features(encoders, batch, text_layer="features")
    kernel, bias = kernel.astype(np.float64), bias.astype(np.float64)
    for _ in range(2):  # gradient descent on the mean squared error by hand
        error = 2 * (features @ kernel + bias - target) / target.size
        kernel, bias = kernel - 0.1 * features.T @ error, bias - 0.1 * error.sum(axis=0)
    known = {array.shape: array for array in projection}
    for expected, name in ((kernel, "kernel"), (bias, "bias")):
        if expected.shape not in known:
            raise AssertionError(f"Among extractor.trainable_variables there is none of the shape {expected.shape}.")
        what = f"{name} of the projection after two steps of gradient descent on the squared error"
        assert_close(known[expected.shape], expected, rtol=1e-4, atol=1e-5, what=what)


@points(1)
@catches("any-rank", "unknown-layer-ignored", "unbuilt-encoder-accepted", "any-size", "frozen-before-refused")
def test_impossible_arguments_are_refused(student, rng):
    """Unknown layers, encoders without weights, features that are no vectors and sizes below 1 raise ValueError."""
    encoders = random_encoders(rng)
    for arguments, what in (
        ({"text_layer": "vectors"}, "a layer that returns (batch, tokens, width)"),
        ({"tokens": True}, "an image encoder that returns (batch, 3, 2)"),
        ({"text_layer": "hidden"}, "a layer of the image encoder as text_layer"),
        ({"image_layer": "last"}, "an image_layer that does not exist"),
        ({"unbuilt": "text"}, "a text encoder that is not built"),
        ({"unbuilt": "image", "image_layer": "features"}, "a layer of an image encoder that is not built"),
        ({"hidden_size": 0}, "hidden_size=0"),
        ({"hidden_size": -2}, "hidden_size=-2"),
    ):
        with raises(ValueError, what=f"build_feature_extractor with {what}"):
            extract(student, encoders, [("is model",)], **arguments)
    for arguments, what in (
        ({"image_layer": "last"}, "an image_layer that does not exist"),
        ({"hidden_size": 0}, "hidden_size=0"),
    ):
        (counts,) = extract(student, encoders, [("trainable in encoders after a refusal",)], **arguments)
        what = f"list of numbers of trainable variables of the encoders after a refusal of {what}"
        assert_equal(counts, [7, 8], what=what, cause="freezing before all arguments were looked at")
