"""Hidden checks of transfer/linear_probe_first, against least squares on an extended data set and exact differences."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
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

CLOSE = {"rtol": 1e-8, "atol": 1e-9}

# ---------------------------------------------------------------- probes: they run in the student's process


def init_head_and_look(student, weight, bias, W, b):
    """What the arrays that were in the head before hold afterwards, and what W and b are once these are overwritten."""
    from types import SimpleNamespace

    head = SimpleNamespace(weight=weight, bias=bias)
    student.init_head(head, W, b)
    held = weight.copy(), bias.copy()
    kept_objects = head.weight is weight, head.bias is bias
    head.weight[...] = 7
    head.bias[...] = 7
    return held, kept_objects, (W, b)


def init_head_badly(student, weight, bias, W, b):
    """The name of the exception's class, or None, and the head's arrays afterwards."""
    from types import SimpleNamespace

    head = SimpleNamespace(weight=weight, bias=bias)
    try:
        student.init_head(head, W, b)
    except Exception as error:
        return [entry.__name__ for entry in type(error).__mro__], head.weight, head.bias
    return None, head.weight, head.bias


def try_the_example(student):
    from types import SimpleNamespace

    import numpy as np

    W, b = student.ridge_probe([[0.0], [4.0]], [0, 1], n_classes=2, l2=8.0)
    head = SimpleNamespace(weight=np.full((2, 1), 9.0, dtype=np.float32), bias=np.full(2, 9.0, dtype=np.float32))
    held = head.weight
    student.init_head(head, W, b)
    return W, b, held, head.bias, student.feature_gradient([[0.0], [4.0]], [0, 1], W, b)


# ---------------------------------------------------------------- what is expected, worked out here


def one_hot(labels, n_classes):
    return np.array([[float(label == c) for c in range(n_classes)] for label in np.asarray(labels).tolist()])


def expected_probe(features, labels, n_classes, l2):
    """A column of ones for the intercept, and a row sqrt(l2) e_j with the target 0 for each feature, but not for it."""
    features = np.asarray(features, dtype=np.float64)
    samples, width = features.shape
    rows = np.zeros((samples + width, width + 1))
    rows[:samples, :width], rows[:samples, width] = features, 1.0
    rows[samples:, :width] = math.sqrt(l2) * np.eye(width)
    targets = np.vstack([one_hot(labels, n_classes), np.zeros((width, n_classes))])
    solution = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return solution[:width].T, solution[width]


def mean_squared_error(features, labels, W, b):
    total = 0.0
    for f, target in zip(features.tolist(), one_hot(labels, len(W)).tolist(), strict=True):
        for row, intercept, wanted in zip(W.tolist(), b.tolist(), target, strict=True):
            total += (math.fsum(w * x for w, x in zip(row, f, strict=True)) + intercept - wanted) ** 2
    return total / len(features)


def expected_gradient(features, labels, W, b):
    """Central differences, which are exact for a quadratic function, whatever the step."""
    gradient = np.zeros(features.shape)
    for index in np.ndindex(*features.shape):
        above, below = features.astype(float), features.astype(float)
        above[index] += 0.5
        below[index] -= 0.5
        gradient[index] = mean_squared_error(above, labels, W, b) - mean_squared_error(below, labels, W, b)
    return gradient


def assert_probe(student, features, labels, n_classes, l2, told, cause=""):
    W, b = student.ridge_probe(features, labels, n_classes, l2)
    width = np.shape(features)[1]
    expected_W, expected_b = expected_probe(features, labels, n_classes, l2)
    for name, value, expected, shape in (("W", W, expected_W, (n_classes, width)), ("b", b, expected_b, (n_classes,))):
        assert_shape(value, shape, what=f"{name} of ridge_probe ({told})")
        assert_dtype(value, np.float64, what=f"{name} of ridge_probe ({told})")
        assert_close(value, expected, **CLOSE, what=f"{name} of ridge_probe ({told})", cause=cause)


def labels_of_every_class(rng, samples, n_classes):
    return rng.permutation(np.arange(samples) % n_classes)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_the_example_of_the_notebook(student):
    """The example of the notebook: two samples, a head of float32, and a gradient."""
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    W, b, held, bias, gradient = student.run(try_the_example)
    assert_close(W, [[-0.125], [0.125]], **loose, what="W of ridge_probe")
    assert_close(b, [0.75, 0.25], **loose, what="b of ridge_probe")
    assert_dtype(held, np.float32, what="array that was the head's weight before init_head")
    cause = "the values have to go into this array"
    expected = np.array([[-0.125], [0.125]])
    assert_close(held, expected, **loose, what="array that was the head's weight before init_head", cause=cause)
    assert_close(bias, [0.75, 0.25], **loose, what="bias of the head after init_head")
    assert_close(gradient, [[0.0625], [-0.0625]], **loose, what="result of feature_gradient")


@points(2)
@catches("intercept-penalised", "not-centred", "intercept-without-the-mean-feature", "no-intercept")
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 4), n_classes=st.integers(2, 4))
def test_the_intercept_is_free(student, seed, width, n_classes):
    """Shifting the features changes only the intercept, and the predictions of a sample sum to 1."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(9, width))
    labels = labels_of_every_class(generator, 9, n_classes)
    shift = generator.normal(size=width) * 3 + 4
    l2 = float(generator.uniform(0.5, 4))
    W, b = student.ridge_probe(features, labels, n_classes, l2)
    shifted_W, shifted_b = student.ridge_probe(features + shift, labels, n_classes, l2)
    cause = "an intercept without a penalty takes up every shift of the features"
    what = "W of ridge_probe after a shift of all features, compared with W before"
    for name, value, shape in (("W", W, (n_classes, width)), ("b", b, (n_classes,))):
        assert_shape(value, shape, what=f"{name} of ridge_probe")
    W, b = np.asarray(W), np.asarray(b)
    assert_close(shifted_W, W, **CLOSE, what=what, cause=cause)
    what = "intercept of ridge_probe after a shift of all features"
    assert_close(shifted_b, b - W @ shift, **CLOSE, what=what, cause=cause)
    sums = (features @ W.T + b).sum(axis=1)
    assert_close(sums, np.ones(9), **CLOSE, what="array of sums of the predictions over the classes", cause=cause)
    W, b = student.ridge_probe(features + shift, labels, n_classes, 1e9)
    shares = one_hot(labels, n_classes).mean(axis=0)
    what = "intercept with l2 = 1e9 (with weights near 0 it is the share of each class)"
    assert_close(b, shares, rtol=1e-5, atol=1e-5, what=what, cause=cause)


@points(2)
@catches(
    "random-head",
    "penalty-ignored",
    "transposed",
    "l2-times-n",
    "l2-squared",
    "signs-as-targets",
    "computed-in-float32",
)
def test_the_probe_solves_the_ridge_problem(student, rng):
    """W and b minimise the sum of squared errors plus l2 times the squared weights."""
    # one feature, -1 and 1, by hand: W = 1 / (2 + l2) for class 1
    W, b = student.ridge_probe([[-1.0], [1.0]], [0, 1], 2, 3.0)
    assert_close(W, [[-0.2], [0.2]], **CLOSE, what="W of ridge_probe for the samples -1 and 1 with l2 = 3")
    assert_close(b, [0.5, 0.5], **CLOSE, what="b of ridge_probe for the samples -1 and 1 with l2 = 3")
    cause = "the sum of squared errors plus l2 times the sum of squares of W; W is (classes, features)"
    for (samples, width), n_classes, l2 in (((11, 4), 3, 0.7), ((8, 5), 2, 12.0), ((5, 9), 4, 0.3), ((20, 2), 5, 0.05)):
        labels = labels_of_every_class(rng, samples, n_classes)
        features = rng.normal(size=(samples, width)) + 1.5 + np.eye(n_classes, width)[labels]
        told = f"{samples} samples, {width} features, {n_classes} classes, l2 = {l2}"
        assert_probe(student, features, labels, n_classes, l2, told, cause)
        assert_probe(student, features.tolist(), labels.tolist(), n_classes, l2, f"{told}, lists", cause)
        single = (features + 40).astype("f4")
        assert_probe(student, single, labels.astype("u1"), n_classes, l2, f"{told}, float32 and uint8", cause)
        whole = rng.integers(-100, 100, size=(samples, width)).astype("i1")
        assert_probe(student, whole, labels.astype("i4"), n_classes, l2, f"{told}, int8 and int32", cause)


@points(1)
@catches("classes-from-the-labels", "classes-that-occur", "one-class-fails")
def test_classes_that_do_not_occur_and_few_samples(student, rng):
    """A class without samples gets zeros; one class, one sample, and more features than samples are fine."""
    for name, samples, width, n_classes, labels in (
        ("the last class is missing", 7, 3, 4, [0, 1, 2, 0, 1, 2, 1]),
        ("the first and a middle class are missing", 6, 4, 5, [1, 3, 4, 1, 3, 4]),
        ("one class only", 4, 3, 3, [1, 1, 1, 1]),
        ("a single sample", 1, 5, 3, [2]),
        ("many features", 4, 30, 3, [0, 1, 2, 1]),
        ("a single class to choose from", 3, 2, 1, [0, 0, 0]),
    ):
        features = rng.normal(size=(samples, width)) + 0.5
        assert_probe(student, features, labels, n_classes, 0.6, name)
        W, b = student.ridge_probe(features, labels, n_classes, 0.6)
        missing = [c for c in range(n_classes) if c not in labels]
        zeros = np.zeros((len(missing), width))
        assert_close(W[missing], zeros, atol=1e-14, what=f"rows of W of classes without samples ({name})")
        assert_close(b[missing], zeros[:, 0], atol=1e-14, what=f"intercepts of classes without samples ({name})")


@points(2)
@catches("attributes-replaced", "head-widened", "bias-forgotten", "head-half-written", "head-broadcast", "nan-written")
def test_the_head_is_written_in_place(student, rng):
    """The values of the probe go into the head's own arrays, all of them or none."""
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 0.0), (np.float16, 1e-3)):
        weight, bias = np.full((4, 3), 9.0, dtype), np.full(4, 9.0, dtype)
        W, b = rng.normal(size=(4, 3)), rng.normal(size=4)
        held, same, given = student.run(init_head_and_look, weight, bias, W.copy(), b.copy())
        for name, value, is_same, wanted in zip(("weight", "bias"), held, same, (W, b), strict=True):
            what = f"array that was the {name} of a {np.dtype(dtype).name} head before init_head"
            assert_dtype(value, dtype, what=what)
            cause = "an optimiser holds this array; write into it instead of putting another in its place"
            assert_close(value, wanted, rtol=tolerance, atol=tolerance, what=what, cause=cause)
            if not is_same:
                raise AssertionError(f"head.{name} is another array after init_head; it should be the one from before.")
        for name, value, wanted in zip(("W", "b"), given, (W, b), strict=True):
            assert_unchanged(value, wanted, what=f"argument {name}, once the head was overwritten,")

    W, b = rng.normal(size=(4, 3)), rng.normal(size=4)
    spoilt_W, spoilt_b = W.copy(), b.copy()
    spoilt_W[1, 2], spoilt_b[3] = math.nan, math.inf
    for name, bad_W, bad_b in (
        ("b of 3 entries for 4 classes", W, b[:3]),
        ("b of 1 entry for 4 classes", W, b[:1]),
        ("b of shape (4, 1)", W, b[:, None]),
        ("infinity in b", W, spoilt_b),
        ("W transposed", W.T, b),
        ("W of one row", W[:1], b),
        ("W of shape (1, 4, 3)", W[None], b),
        ("NaN in W", spoilt_W, b),
    ):
        weight, bias = rng.normal(size=(4, 3)).astype("f4"), rng.normal(size=4).astype("f4")
        classes, weight_after, bias_after = student.run(init_head_badly, weight.copy(), bias.copy(), bad_W, bad_b)
        if classes is None or "ValueError" not in classes:
            found = "no error" if classes is None else classes[0]
            raise AssertionError(f"init_head with {name} should raise ValueError; there was {found}.")
        assert_equal(weight_after, weight, what=f"weight of the head after init_head refused {name}")
        assert_equal(bias_after, bias, what=f"bias of the head after init_head refused {name}")


@points(1)
@catches("gradient-without-the-weights", "gradient-without-the-factor-2", "gradient-of-the-sum", "gradient-in-float32")
def test_the_gradient_reaches_the_features_through_the_weights(student, rng):
    """The gradient is that of the mean squared error with respect to the features, for any head."""
    cause = "errors go back through W; the square gives a factor 2, the mean over the samples 1 / samples"
    for (samples, width), n_classes in (((5, 3), 4), ((4, 6), 2), ((1, 2), 3)):
        features = rng.normal(size=(samples, width)) + 0.5
        labels = rng.integers(n_classes, size=samples)
        W, b = rng.normal(size=(n_classes, width)), rng.normal(size=n_classes)
        for kind, given_features, given_W, given_b in (
            ("random head", features, W, b),
            ("lists", features.tolist(), W.tolist(), b.tolist()),
            ("float32", features.astype("f4"), W.astype("f4"), b.astype("f4")),
        ):
            what = f"result of feature_gradient ({samples} samples, {width} features, {n_classes} classes, {kind})"
            gradient = student.feature_gradient(given_features, labels, given_W, given_b)
            assert_shape(gradient, (samples, width), what=what)
            assert_dtype(gradient, np.float64, what=what)
            exact = [np.asarray(value, dtype=np.float64) for value in (given_features, given_W, given_b)]
            expected = expected_gradient(exact[0], labels, *exact[1:])
            assert_close(gradient, expected, rtol=1e-9, atol=1e-10, what=what, cause=cause)


@points(1)
@catches(
    "negative-labels-wrap-around", "column-of-labels-accepted", "nan-penalty-accepted", "features-changed-in-place"
)
def test_bad_input_is_refused_and_arguments_stay(student, rng):
    """Shapes that do not fit, labels outside the classes and numbers out of range are refused; arguments stay."""
    features, labels = rng.normal(size=(5, 3)), np.array([0, 2, 1, 2, 0])
    W, b = rng.normal(size=(3, 3)), rng.normal(size=3)

    def spoilt(number):
        x = features.copy()
        x[2, 1] = number
        return x

    for l2 in (0, 0.0, -1.0, math.nan, math.inf):
        with raises(ValueError, what=f"ridge_probe with l2 = {l2}"):
            student.ridge_probe(features, labels, 3, l2)
    for name, bad_features, bad_labels in (
        ("4 labels for 5 samples", features, labels[:4]),
        ("1 label for 5 samples", features, labels[:1]),
        ("labels of shape (5, 1)", features, labels[:, None]),
        ("features of one axis", features[:, 0], labels),
        ("features of three axes", features[None], labels),
        ("no samples", features[:0], labels[:0]),
        ("no features", features[:, :0], labels),
        ("a label of 3 with 3 classes", features, np.array([0, 3, 1, 2, 0])),
        ("a label of -1", features, np.array([0, -1, 1, 2, 0])),
        ("a feature that is NaN", spoilt(math.nan), labels),
        ("a feature that is infinite", spoilt(math.inf), labels),
    ):
        with raises(ValueError, what=f"ridge_probe with {name}"):
            student.ridge_probe(bad_features, bad_labels, 3, 1.0)
        fitting_W = W[:, : np.shape(bad_features)[-1]]
        with raises(ValueError, what=f"feature_gradient with {name}"):
            student.feature_gradient(bad_features, bad_labels, fitting_W, b)
    with raises(ValueError, TypeError, what="ridge_probe with a label of 0.5"):
        student.ridge_probe(features, labels + 0.5, 4, 1.0)
    with raises(ValueError, TypeError, what="feature_gradient with a label of 0.5"):
        student.feature_gradient(features, labels - 0.5 * (labels > 0), W, b)
    for name, bad_W, bad_b in (
        ("2 columns for 3 features", W[:, :2], b),
        ("1 column for 3 features", W[:, :1], b),
        ("W of one axis", W[0], b),
        ("2 intercepts for 3 classes", W, b[:2]),
        ("1 intercept for 3 classes", W, b[:1]),
        ("intercepts of shape (3, 1)", W, b[:, None]),
    ):
        with raises(ValueError, what=f"feature_gradient with {name}"):
            student.feature_gradient(features, labels, bad_W, bad_b)

    after = student.run(arguments_after_the_calls, features.copy(), labels.copy(), W.copy(), b.copy())
    for name, left, right in zip(("features", "labels", "W", "b"), after, (features, labels, W, b), strict=True):
        assert_unchanged(left, right, what=f"argument {name}")


def arguments_after_the_calls(student, features, labels, W, b):
    student.ridge_probe(features, labels, 3, 1.0)
    student.feature_gradient(features, labels, W, b)
    return features, labels, W, b
