"""Checks of deployment/predictor: Keras stays in probes; what is expected is worked out in NumPy's float64.

Where statistics are not the point they are 0 and 1, and where the head is not the point it is "softmax", so that one
mistake costs its own check and not all of them.
"""

from __future__ import annotations

import math

import numpy as np

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    visible,
)

TEXT, IMAGE, HIDDEN = 3, 4, 5
NAMES = ["zebra", "ant", "cow"]  # not in alphabetical order
PLAIN = [(np.zeros(TEXT), np.ones(TEXT)), (np.zeros(IMAGE), np.ones(IMAGE))]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}

# Probes: they run in the student's process.


def predict_with_a_linear_model(student, kernel, activation, stats, head, names, options, requests):
    """The model is one linear layer without bias on text and image side by side."""
    import keras

    inputs = [keras.Input((len(mean),)) for mean, _ in stats]
    layer = keras.layers.Dense(kernel.shape[1], use_bias=False, activation=activation)
    model = keras.Model(inputs, layer(keras.layers.Concatenate()(inputs)))
    model.set_weights([kernel])
    predictor = student.Predictor(model, *stats, head, names, **options)
    return [predictor.predict(text, image, **more) for text, image, more in requests]


def predict_with_a_deep_model(student, weights, stats, names, requests):
    """The model has dropout and batch normalisation, and notes how many rows it gets."""
    import keras
    import numpy as np
    import tensorflow as tf

    seen = []

    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_jit = False

        def call(self, x):
            def note(x):
                seen.append(len(x))
                return x

            result = tf.numpy_function(note, [x], tf.float32)
            result.set_shape(x.shape)
            return result

    inputs = [keras.Input((len(mean),)) for mean, _ in stats]
    x = Counting()(keras.layers.Concatenate()(inputs))
    x = keras.layers.Dense(len(weights[1]), activation="tanh")(x)
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.6)(x))
    model = keras.Model(inputs, keras.layers.Dense(len(weights[-1]), activation="softmax")(x))
    model.set_weights(weights)
    predictor = student.Predictor(model, *stats, "softmax", names)
    results = []
    for text, image, more in requests:
        seen.clear()
        result = dict(predictor.predict(text, image, **more))
        results.append({"result": result, "most rows": max(seen, default=0), "rows": sum(seen)})
    left = [np.array(weight) for weight in model.get_weights()]
    return {"results": results, "weights": left}


def predict_after_loading(student, kernel, activation, stats, head, names, options, text, image, former):
    """Save (twice, if there is a former predictor), move the folder, load, predict."""
    import os
    import pathlib
    import tempfile

    import keras

    def predictor_of(kernel, stats, names, head, options):
        inputs = [keras.Input((len(mean),)) for mean, _ in stats]
        layer = keras.layers.Dense(kernel.shape[1], use_bias=False, activation=activation)
        model = keras.Model(inputs, layer(keras.layers.Concatenate()(inputs)))
        model.set_weights([kernel])
        return student.Predictor(model, *stats, head, names, **options)

    predictor = predictor_of(kernel, stats, names, head, options)
    with tempfile.TemporaryDirectory() as folder:
        here, there = pathlib.Path(folder, "new", "predictor"), os.path.join(folder, "moved")
        if former:
            predictor_of(-kernel, stats[:1] + [(stats[1][0] + 1, stats[1][1])], names[::-1], head, {}).save(str(here))
        predictor.save(here)
        os.rename(here, there)
        loaded = student.Predictor.load(there)
        after = dict(loaded.predict(text, image))
        return {"is a predictor": isinstance(loaded, student.Predictor), "after": after}


def predict_after_changes(student, text, image):
    """The caller changes its arrays and its list after the constructor; the features are compared afterwards."""
    import keras
    import numpy as np

    stats = [(np.zeros(3, dtype), np.ones(3, dtype)) for dtype in (np.float32, np.float64)]
    names = ["no", "yes"]
    inputs = [keras.Input((3,)), keras.Input((3,))]
    total = keras.layers.Add()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="zeros", use_bias=False)(total))
    model.set_weights([np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], np.float32)])
    predictor = student.Predictor(model, *stats, "logits", names)
    before = dict(predictor.predict(text, image))
    for mean, std in stats:
        mean += np.array([7.0, -7.0, 0.0], mean.dtype)
        std *= 3
    names[:] = ["changed", "changed too"]
    after = dict(predictor.predict(text, image))
    return {"before": before, "after": after, "text": text + 0, "image": image + 0}


def predictors_of_a_small_model(student, cases):
    """The constructor alone, case by case: the classes of what was raised, and how it reads."""
    import keras

    def model_of(outputs):
        inputs = [keras.Input((3,)), keras.Input((4,))]
        return keras.Model(inputs, keras.layers.Dense(outputs)(keras.layers.Concatenate()(inputs)))

    models, answers = {outputs: model_of(outputs) for outputs in (1, 2, 3)}, []
    for outputs, stats, head, names, options in cases:
        try:
            student.Predictor(models[outputs], *stats, head, names, **options)
            answers.append(([], "returned without an error"))
        except NotImplementedError:
            raise
        except Exception as error:
            classes = [kind.__name__ for kind in type(error).__mro__]
            answers.append((classes, f"raised {classes[0]}: {str(error)[:200]}"))
    return answers


def predict_with_a_small_model(student, requests):
    """A softmax head of three classes, request by request: the classes of what was raised, and how it reads."""
    import keras
    import numpy as np

    inputs = [keras.Input((3,)), keras.Input((4,))]
    joined = keras.layers.Concatenate()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(joined))
    stats = [(np.zeros(width), np.ones(width)) for width in (3, 4)]
    predictor, answers = student.Predictor(model, *stats, "softmax", ["a", "b", "c"]), []
    for text, image, options in requests:
        try:
            predictor.predict(text, image, **options)
            answers.append(([], "returned without an error"))
        except NotImplementedError:
            raise
        except Exception as error:
            classes = [kind.__name__ for kind in type(error).__mro__]
            answers.append((classes, f"raised {classes[0]}: {str(error)[:200]}"))
    return answers


# What is expected


def softmax(logits):
    """Row by row, in Python's float64."""
    rows = []
    for row in logits:
        weights = [math.exp(float(logit) - float(max(row))) for logit in row]
        rows.append([weight / math.fsum(weights) for weight in weights])
    return np.array(rows).reshape(len(rows), logits.shape[1])


def draw(rng, *shapes, dtype=np.float32):
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def random_stats(rng):
    """Statistics far from 0 and 1, different in every column and for the two modalities."""
    return [
        (rng.normal(size=width) * 20 + shift, rng.uniform(2, 6, size=width))
        for width, shift in ((TEXT, 40), (IMAGE, -30))
    ]


def features_of(rng, stats, rows):
    """Raw features around the training mean, but on one side of it."""
    return [mean + std * (rng.normal(size=(rows, len(mean))) + 0.7) for mean, std in stats]


def logits_of(features, stats, kernel):
    """What the linear model makes of raw features, in float64."""
    normalised = [(x - mean) / std for x, (mean, std) in zip(features, stats, strict=True)]
    return np.hstack(normalised) @ kernel.astype(np.float64)


def assert_result(result, labels, probabilities, call):
    assert_equal(sorted(result), ["labels", "probabilities"], what=f"keys of the result of {call}")
    assert_close(result["probabilities"], probabilities, **TOLERANCE, what=f"probability array of {call}")
    assert_equal(result["labels"], list(labels), what=f"labels of {call}")


def assert_refused(answer, wanted, call):
    classes, text = answer
    if wanted not in classes:
        raise AssertionError(f"{call} should raise {wanted}; it {text}")


def best(probabilities, names=NAMES):
    return [names[int(np.argmax(row))] for row in probabilities]


def hand_on(outputs):
    """A kernel that hands on the first columns of the text."""
    return np.eye(TEXT + IMAGE, outputs, dtype=np.float32)


@visible
@points(1)
def test_worked_example(student):
    """Three rows of a sigmoid head, together and one alone, and once more after saving and loading."""
    stats = [(np.array([10.0]), np.array([2.0])), (np.array([0.0]), np.array([0.5]))]
    text, image = np.array([[13.0], [12.0], [7.0]]), np.array([[0.25], [-0.25], [-0.5]])
    arguments = (np.ones((2, 1), np.float32), "sigmoid", stats, "sigmoid", ["no", "yes"], {"threshold": 0.7})
    expected = ["yes", "no", "no"], np.array([0.880797, 0.622459, 0.075858])
    requests = [(text, image, {"batch_size": 2}), (text[:1], image[:1], {})]
    together, alone = student.run(predict_with_a_linear_model, *arguments, requests)
    assert_result(together, *expected, "predict with three rows")
    assert_result(alone, ["yes"], expected[1][:1], "predict with the first row alone")
    loaded = student.run(predict_after_loading, *arguments, text, image, False)
    assert_result(loaded["after"], *expected, "predict after loading")


@points(1.25)
@catches(
    "labels-as-array", "labels-as-numbers", "float64-probabilities", "one-column-of-probabilities", "empty-as-flat"
)
def test_labels_are_a_list_of_names_and_probabilities_float32(student, rng):
    """Labels are a list of texts, probabilities a float32 array of the head's shape, also for no rows at all."""
    for head, activation, outputs, names in (
        ("logits", None, 3, NAMES),
        ("softmax", "softmax", 3, NAMES),
        ("sigmoid", "sigmoid", 1, NAMES[:2]),
    ):
        (kernel,) = draw(rng, (TEXT + IMAGE, outputs))
        requests = [
            (*draw(rng, (rows, TEXT), (rows, IMAGE), dtype=dtype), {})
            for rows, dtype in ((2, np.float64), (2, np.float32), (0, np.float32))
        ]
        results = student.run(predict_with_a_linear_model, kernel, activation, PLAIN, head, tuple(names), {}, requests)
        for result, (text, _, _) in zip(results, requests, strict=True):
            call = f"predict with a {head} head and {len(text)} rows in {text.dtype.name}"
            assert_equal(sorted(result), ["labels", "probabilities"], what=f"keys of the result of {call}")
            labels = result["labels"]
            if type(labels) is not list or not all(type(label) is str for label in labels):
                kinds = sorted({type(label).__name__ for label in labels}) if isinstance(labels, list) else ""
                raise AssertionError(
                    f"The labels of {call} should be a list of str; they are {type(labels).__name__} {kinds or ''}"
                )
            assert_equal(len(labels), len(text), what=f"number of labels of {call}")
            strange = sorted({label for label in labels} - set(names))
            if strange:
                raise AssertionError(f"The labels of {call} hold {strange}; the class names are {names}.")
            shape = (len(text),) if head == "sigmoid" else (len(text), outputs)
            assert_shape(result["probabilities"], shape, what=f"probability array of {call}")
            assert_dtype(result["probabilities"], "float32", what=f"probability array of {call}")


@points(1.25)
@catches("softmax-twice", "logits-as-probabilities", "softmax-overflows", "softmax-over-the-rows", "sigmoid-of-logits")
def test_logits_go_through_one_softmax_and_probabilities_through_none(student, rng):
    """Logits become probabilities by one softmax of each row; a softmax head's probabilities stay as they are."""
    text, image = draw(rng, (6, TEXT), (6, IMAGE))
    (kernel,) = draw(rng, (TEXT + IMAGE, 3))
    expected = softmax(logits_of((text, image), PLAIN, kernel))
    for head, activation in (("softmax", "softmax"), ("logits", None)):
        (result,) = student.run(
            predict_with_a_linear_model, kernel, activation, PLAIN, head, NAMES, {}, [(text, image, {})]
        )
        assert_result(result, best(expected), expected, f"predict with a {head} head")
    large = np.array([[300.0, 299.0, -300.0], [-2000.0, -2002.0, -2001.0]], np.float32)
    requests = [(large, np.zeros((2, IMAGE), np.float32), {})]
    (result,) = student.run(predict_with_a_linear_model, hand_on(3), None, PLAIN, "logits", NAMES, {}, requests)
    expected = softmax(large)
    assert_result(result, ["zebra", "zebra"], expected, "predict with logits 300, 299, -300 and -2000, -2002, -2001")


@points(1.25)
@catches(
    "argmax-for-sigmoid", "above-the-threshold", "threshold-of-a-half", "names-the-other-way-round", "sigmoid-twice"
)
def test_a_sigmoid_head_is_compared_with_the_threshold(student):
    """A sigmoid head means class 1 from the threshold on, and its number is the probability of class 1."""
    values = np.array([0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875])
    text = np.stack([values, values[::-1], values * 0], axis=1).astype(np.float32)
    image = np.ones((len(values), IMAGE), np.float32)
    for options, threshold in (({"threshold": 0.75}, 0.75), ({"threshold": 0.25}, 0.25), ({}, 0.5)):
        (result,) = student.run(
            predict_with_a_linear_model,
            hand_on(1),
            None,
            PLAIN,
            "sigmoid",
            ["yes", "no"],
            options,
            [(text, image, {})],
        )
        labels = ["no" if value >= threshold else "yes" for value in values]
        assert_result(
            result, labels, values, f"predict with a sigmoid head, names ['yes', 'no'], threshold {threshold}"
        )


@points(1.5)
@catches(
    "statistics-of-the-request",
    "statistics-of-each-batch",
    "no-normalisation",
    "image-not-normalised",
    "divided-by-the-variance",
    "mean-not-subtracted",
)
def test_features_are_normalised_with_the_statistics_of_training(student, rng):
    """The model gets features minus training mean, divided by training std, for one row as for many."""
    stats = random_stats(rng)
    kernel = draw(rng, (TEXT + IMAGE, 3))[0] * np.float32(0.6)
    features = features_of(rng, stats, 5)
    expected = softmax(logits_of(features, stats, kernel))
    one = [x[2:3] for x in features]
    requests = [(*features, {}), (*one, {}), (*features, {"batch_size": 2})]
    results = student.run(predict_with_a_linear_model, kernel, "softmax", stats, "softmax", NAMES, {}, requests)
    for result, rows, call in (
        (results[0], slice(None), "predict with five rows"),
        (results[1], slice(2, 3), "predict with the third of these rows alone"),
        (results[2], slice(None), "predict with five rows and batch_size=2"),
    ):
        assert_result(result, best(expected[rows]), expected[rows], call)


@points(1.25)
@catches("training-mode", "last-batch-dropped", "batch-size-ignored", "results-kept-between-calls")
def test_inference_mode_and_batches(student, rng):
    """In inference mode a row's result does not depend on the batch, and no batch is larger than `batch_size`."""
    weights = draw(rng, (TEXT + IMAGE, HIDDEN), HIDDEN)
    weights += [rng.uniform(0.5, 1.5, HIDDEN), rng.normal(size=HIDDEN), rng.normal(size=HIDDEN) * 0.3]
    weights += [rng.uniform(0.5, 2, HIDDEN), *draw(rng, (HIDDEN, 3), 3)]
    weights = [weight.astype(np.float32) for weight in weights]
    text, image = draw(rng, (7, TEXT), (7, IMAGE))
    kernel, bias, gamma, beta, mean, variance, last, last_bias = (weight.astype(np.float64) for weight in weights)
    hidden = np.tanh(np.hstack([text, image]) @ kernel + bias)
    expected = softmax(((hidden - mean) / np.sqrt(variance + 1e-3) * gamma + beta) @ last + last_bias)

    order = rng.permutation(7)
    requests = [
        (text, image, {"batch_size": 3}),
        (text, image, {}),
        (text, image, {"batch_size": 1}),
        (text[order], image[order], {"batch_size": 7}),
    ]
    found = student.run(predict_with_a_deep_model, weights, PLAIN, NAMES, requests)
    for one, (_, _, options), rows in zip(found["results"], requests, [range(7)] * 3 + [order], strict=True):
        call = f"predict with seven rows and {options or 'no batch_size'}"
        assert_result(one["result"], best(expected[rows]), expected[rows], call)
        most = options.get("batch_size", 32)
        if one["most rows"] > most:
            raise AssertionError(
                f"In {call} the model got {one['most rows']} rows at a time; at most {most} are allowed."
            )
    for before, after in zip(weights, found["weights"], strict=True):
        assert_unchanged(after, before, what="weight or moving statistic of the model")


@points(1.5)
@catches(
    "statistics-lost-on-save",
    "threshold-lost-on-save",
    "names-sorted-on-save",
    "head-lost-on-save",
    "absolute-path-on-save",
    "first-save-stays",
)
def test_a_loaded_predictor_does_the_same(student, rng):
    """After saving, moving the folder and loading, everything is as before, also in a folder that was used already."""
    stats = random_stats(rng)
    kernel = draw(rng, (TEXT + IMAGE, 3))[0] * np.float32(0.6)
    features = features_of(rng, stats, 5)
    logits = logits_of(features, stats, kernel)
    for head, activation, former in (("logits", None, False), ("softmax", "softmax", True)):
        found = student.run(predict_after_loading, kernel, activation, stats, head, NAMES, {}, *features, former)
        assert_equal(found["is a predictor"], True, what="answer to `isinstance(Predictor.load(path), Predictor)`")
        call = f"predict of a loaded {head} head" + (" in a folder that was used before" if former else "")
        assert_result(found["after"], best(softmax(logits)), softmax(logits), call)
    values = np.array([0.125, 0.375, 0.5, 0.75], np.float32)
    text = np.stack([values] * TEXT, axis=1)
    options = {"threshold": 0.375}
    found = student.run(
        predict_after_loading,
        hand_on(1),
        None,
        PLAIN,
        "sigmoid",
        ["yes", "no"],
        options,
        text,
        np.ones((4, IMAGE), np.float32),
        False,
    )
    assert_result(
        found["after"], ["yes", "no", "no", "no"], values, "predict of a loaded sigmoid head, threshold 0.375"
    )


@points(0.5)
@catches("statistics-not-copied", "names-not-copied", "features-changed")
def test_arguments_stay_as_they_are_and_are_copied(student, rng):
    """Features stay as they are, and arrays or names that are changed later do not change the predictions."""
    for dtype in (np.float32, np.float64):
        text, image = draw(rng, (4, 3), (4, 3), dtype=dtype)
        found = student.run(predict_after_changes, text, image)
        for name, before in (("text", text), ("image", image)):
            assert_unchanged(found[name], before, what=f"{name} array in {before.dtype.name}")
        before, after = found["before"], found["after"]
        assert_equal(after["labels"], before["labels"], what="list of labels after the caller's changes")
        assert_close(
            after["probabilities"],
            before["probabilities"],
            what="probability array after the caller's changes of its statistics",
            **TOLERANCE,
        )


@points(0.5)
@catches(
    "integers-converted",
    "nan-repaired",
    "std-of-zero-repaired",
    "unknown-head-accepted",
    "number-of-names-not-checked",
    "rows-cut-to-the-shorter",
)
def test_bad_arguments_are_refused(student, rng):
    """Heads, statistics, names, thresholds and features that do not fit are refused."""

    def changed(place, part, value, column=1):
        stats = [[mean.copy(), std.copy()] for mean, std in PLAIN]
        stats[place][part][column] = value
        return [tuple(pair) for pair in stats]

    def with_shape(place, part, values):
        stats = [list(pair) for pair in PLAIN]
        stats[place][part] = values
        return [tuple(pair) for pair in stats]

    cases = [
        ("head='argmax'", 3, PLAIN, "argmax", NAMES, {}),
        ("two names for three softmax outputs", 3, PLAIN, "softmax", NAMES[:2], {}),
        ("three names for two logits", 2, PLAIN, "logits", NAMES, {}),
        ("three names for a sigmoid head", 1, PLAIN, "sigmoid", NAMES, {}),
        ("one name for a sigmoid head", 1, PLAIN, "sigmoid", NAMES[:1], {}),
        ("a sigmoid head with two outputs", 2, PLAIN, "sigmoid", NAMES[:2], {}),
        ("a text std that holds 0", 3, changed(0, 1, 0.0), "softmax", NAMES, {}),
        ("an image std that holds -1", 3, changed(1, 1, -1.0), "softmax", NAMES, {}),
        ("an image std that holds NaN", 3, changed(1, 1, np.nan), "softmax", NAMES, {}),
        ("a text std that holds infinity", 3, changed(0, 1, np.inf), "softmax", NAMES, {}),
        ("a text mean that holds NaN", 3, changed(0, 0, np.nan), "softmax", NAMES, {}),
        ("an image mean that holds infinity", 3, changed(1, 0, np.inf), "softmax", NAMES, {}),
        ("a text mean of shape (2,)", 3, with_shape(0, 0, np.zeros(2)), "softmax", NAMES, {}),
        ("an image std of shape (1,)", 3, with_shape(1, 1, np.ones(1)), "softmax", NAMES, {}),
        ("an image mean of shape (1, 4)", 3, with_shape(1, 0, np.zeros((1, 4))), "softmax", NAMES, {}),
        ("threshold=1.5", 1, PLAIN, "sigmoid", NAMES[:2], {"threshold": 1.5}),
        ("threshold=-0.5", 1, PLAIN, "sigmoid", NAMES[:2], {"threshold": -0.5}),
        ("threshold=nan", 1, PLAIN, "sigmoid", NAMES[:2], {"threshold": math.nan}),
    ]
    good = [(1, PLAIN, "sigmoid", NAMES[:2], {"threshold": threshold}) for threshold in (0.0, 1.0)]
    answers = student.run(predictors_of_a_small_model, [case for _, *case in cases] + good)
    for (what, *_), answer in zip(cases, answers, strict=False):
        assert_refused(answer, "ValueError", f"Predictor with {what}")
    for threshold, answer in zip((0.0, 1.0), answers[len(cases) :], strict=True):
        assert_equal(answer[1], "returned without an error", what=f"answer to threshold={threshold}")

    text, image = draw(rng, (2, TEXT), (2, IMAGE))
    hole, endless = text.copy(), image.copy()
    hole[1, 2], endless[0, 3] = np.nan, -np.inf
    requests = [
        ("TypeError", "integer text", np.ones((2, TEXT), np.int64), image, {}),
        ("TypeError", "an integer image", text, np.ones((2, IMAGE), np.uint8), {}),
        ("ValueError", "NaN in the text", hole, image, {}),
        ("ValueError", "infinity in the image", text, endless, {}),
        ("ValueError", "a text of width 2", text[:, :2], image, {}),
        ("ValueError", "an image of width 1", text, image[:, :1], {}),
        ("ValueError", "a text of shape (3,)", text[0], image, {}),
        ("ValueError", "an image of shape (2, 4, 1)", text, image[:, :, None], {}),
        ("ValueError", "two texts and one image", text, image[:1], {}),
        ("ValueError", "no text and two images", text[:0], image, {}),
        ("ValueError", "batch_size=0", text, image, {"batch_size": 0}),
        ("ValueError", "batch_size=-2", text, image, {"batch_size": -2}),
    ]
    answers = student.run(predict_with_a_small_model, [request for _, _, *request in requests])
    for (wanted, what, *_), answer in zip(requests, answers, strict=True):
        assert_refused(answer, wanted, f"predict with {what}")
