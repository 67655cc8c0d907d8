"""Hidden checks of transfer/prior_of_pretrained_weights, against least squares on an extended data set."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "never_worse": False,
    "lam_from_training_error": False,
    "gaussian_prior": True,
    "decay_keeps_source": False,
    "start_matters_wide": True,
    "start_matters_tall": False,
    "copies_weaken_the_prior": True,
    "stopped_early_is_nearer": True,
}
CLOSE = {"rtol": 1e-8, "atol": 1e-9}

# ---------------------------------------------------------------- probes: they run in the student's process


def arguments_after_both_calls(student, X, y, w_source, lam):
    w = student.l2sp_ridge(X, y, w_source, lam)
    student.transfer_gain(X, y, X, y, w_source, lam)
    w += 7
    return X, y, w_source


def try_the_example(student):
    import numpy as np

    X, y = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([3.0, 4.0])
    w = student.l2sp_ridge(X, y, [1.0, 5.0], lam=4.0)
    nearest = student.l2sp_ridge([[2.0, 0.0]], [6.0], [1.0, 7.0], lam=0.0)
    return w, nearest, student.transfer_gain(X, y, [[1.0, 1.0]], [5.0], [1.0, 5.0], lam=4.0)


# ---------------------------------------------------------------- what is expected, worked out here


def expected_weights(X, y, w_source, lam):
    """The penalty as more samples: a row sqrt(lam) e_j with the target sqrt(lam) w_source_j for each feature."""
    X, y, w_source = (np.asarray(values, dtype=np.float64) for values in (X, y, w_source))
    if lam > 0:
        rows = np.vstack([X, math.sqrt(lam) * np.eye(X.shape[1])])
        targets = np.concatenate([y, math.sqrt(lam) * w_source])
        return np.linalg.lstsq(rows, targets, rcond=None)[0]
    # the solution of least length after the source has been moved to the origin
    return np.linalg.lstsq(X, y - X @ w_source, rcond=None)[0] + w_source


def mean_squared_error(X, y, w):
    total = 0.0
    for row, target in zip(np.asarray(X, float).tolist(), np.asarray(y, float).tolist(), strict=True):
        total += (sum(x * weight for x, weight in zip(row, w.tolist(), strict=True)) - target) ** 2
    return total / len(y)


def expected_gain(X, y, X_test, y_test, w_source, lam):
    from_zero = expected_weights(X, y, np.zeros(np.shape(X)[1]), lam)
    from_source = expected_weights(X, y, w_source, lam)
    return mean_squared_error(X_test, y_test, from_zero) - mean_squared_error(X_test, y_test, from_source)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_the_example_of_the_notebook(student):
    """The example of the notebook: two weights, a weight that no sample sees, and a gain."""
    w, nearest, gain = student.run(try_the_example)
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    assert_shape(w, (2,), what="array of weights with lam = 4")
    assert_dtype(w, np.float64, what="array of weights with lam = 4")
    assert_close(w, [1.4, 3.5], **loose, what="array of weights with lam = 4")
    cause = "no sample sees the second feature, so its weight stays what it was in the source"
    assert_close(nearest, [3.0, 7.0], **loose, what="array of weights for one sample with lam = 0", cause=cause)
    assert_close(gain, 3.4**2 - 0.1**2, **loose, what="gain", cause="error from zero minus error from the source")


@points(3)
@catches("published-claims", "start-and-prior-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "shrinks-to-zero",
    "source-returned",
    "only-started-at-the-source",
    "lam-times-n",
    "half-the-squared-error",
    "lam-squared",
    "intercept-fitted",
    "computed-in-float32",
)
def test_weights_minimise_error_plus_distance_to_the_source(student, rng):
    """The weights minimise the sum of squared errors plus lam times the squared distance to the source."""
    # one feature, by hand: (sum of x y + lam * source) / (sum of x^2 + lam)
    cause = "the sum of squared errors, plus lam times the squared distance to the source; nothing else"
    for x, target, source, lam in (([1.0, 3.0], [2.0, 4.0], -2.0, 5.0), ([2.0], [1.0], 6.0, 0.5)):
        expected = [(np.dot(x, target) + lam * source) / (np.dot(x, x) + lam)]
        w = student.l2sp_ridge([[value] for value in x], target, [source], lam)
        what = f"weight for the one feature {x}, y {target}, source {source} and lam = {lam}"
        assert_close(w, expected, **CLOSE, what=what, cause=cause)
    for (samples, features), lam in (((9, 4), 2.5), ((3, 7), 0.3), ((6, 6), 40.0), ((1, 3), 0.7), ((5, 1), 0.01)):
        X, y = rng.normal(size=(samples, features)) + 0.5, rng.normal(size=samples) + 2
        w_source = 3 * rng.normal(size=features)
        what = f"array of weights for {samples} samples, {features} features and lam = {lam}"
        w = student.l2sp_ridge(X, y, w_source, lam)
        assert_shape(w, (features,), what=what)
        assert_dtype(w, np.float64, what=what)
        assert_close(w, expected_weights(X, y, w_source, lam), **CLOSE, what=what, cause=cause)
        singles = X.astype("f4"), y.astype("f4"), w_source.astype("f4")
        integers = rng.integers(-4, 5, (samples, features)), rng.integers(-4, 5, samples), rng.integers(1, 5, features)
        for kind, data in (("float32", singles), ("integers", integers)):
            w = student.l2sp_ridge(*data, lam)
            assert_dtype(w, np.float64, what=f"{what} ({kind})")
            assert_close(w, expected_weights(*data, lam), **CLOSE, what=f"{what} ({kind})", cause=cause)


@points(1)
@catches("nearest-to-zero", "singular-without-lam", "no-prior-means-no-source")
def test_without_a_penalty_the_nearest_solution_is_returned(student, rng):
    """With lam = 0 the weights fit best, and of all that fit equally well they are the closest to the source."""
    cause = (
        "of all weights with the least squared error, the closest to w_source; directions unseen by X keep their value"
    )
    tall, wide = rng.normal(size=(9, 4)), rng.normal(size=(3, 7))
    dependent = np.column_stack([tall[:, 0], tall[:, 1], tall[:, 0], tall[:, 0] - 2 * tall[:, 1]])
    unseen = np.zeros((9, 6))
    unseen[:, [0, 2, 3]] = tall[:, :3]
    cases = [
        ("independent columns", tall),
        ("more features than samples", wide),
        ("dependent columns", dependent),
        ("columns of zeros", unseen),
        ("nothing but zeros", np.zeros((2, 3))),
        ("integers, a column twice", np.array([[1, 2, 1], [3, -1, 3], [0, 2, 0], [2, 2, 2]])),
    ]
    for name, X in cases:
        y, w_source = rng.normal(size=len(X)), 3 * rng.normal(size=X.shape[1])
        for lam in (0, 0.0):
            what = f"array of weights for {name} {X.shape} and lam = {lam}"
            w = student.l2sp_ridge(X, y, w_source, lam)
            assert_shape(w, (X.shape[1],), what=what)
            assert_dtype(w, np.float64, what=what)
            assert_close(w, expected_weights(X, y, w_source, 0), rtol=1e-7, atol=1e-8, what=what, cause=cause)


@points(1)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(6, 3), (2, 5), (4, 4)]))
@catches("rows-counted-once")
def test_laws_of_the_prior(student, seed, shape):
    """A strong prior returns the source, twice the data balance twice the penalty, and common shifts carry over."""
    generator = np.random.default_rng(seed)
    X, y, w_source = generator.normal(size=shape), generator.normal(size=shape[0]), generator.normal(size=shape[1])
    lam = float(generator.uniform(0.2, 3))
    w = student.l2sp_ridge(X, y, w_source, lam)
    strong = student.l2sp_ridge(X, y, w_source, 1e12)
    assert_close(strong, w_source, rtol=1e-6, atol=1e-8, what="array of weights with lam = 1e12 (it tends to w_source)")
    twice = student.l2sp_ridge(np.vstack([X, X]), np.concatenate([y, y]), w_source, 2 * lam)
    cause = "errors are summed over the samples, not averaged, so twice the data stand against twice the penalty"
    assert_close(twice, w, **CLOSE, what="array of weights for all samples twice and twice lam", cause=cause)
    shift = generator.normal(size=shape[1])
    moved = student.l2sp_ridge(X, y + X @ shift, w_source + shift, lam)
    cause = "if source and targets move by the same weights, the result moves with them"
    assert_close(moved, w + shift, **CLOSE, what="array of weights after a common shift", cause=cause)


@points(2)
@catches(
    "gain-clipped",
    "gain-reversed",
    "gain-on-the-training-data",
    "sum-of-squared-errors",
    "root-of-the-mean",
    "compared-with-the-bare-source",
    "compared-without-a-penalty",
)
def test_the_gain_has_a_sign_and_is_measured_on_test_data(student, rng):
    """The gain is the test error from zero minus the test error from the source, negative where the source hurts."""
    cause = "two fits on the training data with the same lam, two mean squared errors on the test data, with its sign"
    for (samples, features, tests), lam in (((5, 8, 11), 0.6), ((12, 4, 7), 3.0), ((3, 6, 1), 1.5), ((4, 9, 6), 0.0)):
        truth = rng.normal(size=features) + 1
        X, X_test = rng.normal(size=(samples, features)), rng.normal(size=(tests, features))
        y, y_test = X @ truth + 0.1 * rng.normal(size=samples), X_test @ truth
        near, far = truth + 0.1 * rng.normal(size=features), -2 * truth
        for name, w_source in (("near", near), ("opposed", far), ("zero", np.zeros(features))):
            what = (
                f"gain of a source {name} ({samples} samples, {features} features, {tests} test samples, lam = {lam})"
            )
            gain = student.transfer_gain(X, y, X_test, y_test, w_source, lam)
            expected = expected_gain(X, y, X_test, y_test, w_source, lam)
            assert_close(gain, expected, rtol=1e-7, atol=1e-9, what=what, cause=cause)
    data = [[2, 1], [0, 1], [1, 3]], [3, 1, 2], [[1, 1], [2, 0]], [1, 4], [1, -1], 2
    gain = student.transfer_gain(*data)
    assert_close(gain, expected_gain(*data), **CLOSE, what="gain for lists of integers", cause=cause)


@points(1)
@catches("column-of-targets-accepted", "nan-lam-accepted", "nan-test-data-accepted", "source-changed-in-place")
def test_bad_input_is_refused_and_arguments_stay(student, rng):
    """Shapes that do not fit and numbers out of range are refused, and arguments stay unchanged."""
    X, y, w_source = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    X_test, y_test = rng.normal(size=(2, 3)), rng.normal(size=2)

    def spoilt(values, number):
        values = values.copy()
        values.flat[1] = number
        return values

    for lam in (-0.5, math.nan, math.inf):
        with raises(ValueError, what=f"l2sp_ridge with lam = {lam}"):
            student.l2sp_ridge(X, y, w_source, lam)
        with raises(ValueError, what=f"transfer_gain with lam = {lam}"):
            student.transfer_gain(X, y, X_test, y_test, w_source, lam)
    training = [
        ("y of shape (4, 1)", X, y[:, None], w_source),
        ("3 targets for 4 samples", X, y[:3], w_source),
        ("1 target for 4 samples", X, y[:1], w_source),
        ("y a number", X, 1.0, w_source),
        ("X of one axis", X[:, 0], y, w_source[:1]),
        ("X of three axes", X[None], y, w_source),
        ("no samples", X[:0], y[:0], w_source),
        ("no features", X[:, :0], y, w_source[:0]),
        ("2 source weights for 3 features", X, y, w_source[:2]),
        ("1 source weight for 3 features", X, y, w_source[:1]),
        ("a source of shape (3, 1)", X, y, w_source[:, None]),
        ("a source of shape (1, 3)", X, y, w_source[None]),
        ("NaN in X", spoilt(X, math.nan), y, w_source),
        ("infinity in y", X, spoilt(y, math.inf), w_source),
        ("NaN in w_source", X, y, spoilt(w_source, math.nan)),
    ]
    for name, *data in training:
        for lam in (0.5, 0.0):
            with raises(ValueError, what=f"l2sp_ridge with {name} and lam = {lam}"):
                student.l2sp_ridge(*data, lam)
        with raises(ValueError, what=f"transfer_gain with {name}"):
            student.transfer_gain(*data[:2], X_test, y_test, data[2], 0.5)
    for name, rows, targets in (
        ("y_test of shape (2, 1)", X_test, y_test[:, None]),
        ("1 test target for 2 samples", X_test, y_test[:1]),
        ("2 test features instead of 3", X_test[:, :2], y_test),
        ("X_test of one axis", X_test[0], y_test[:1]),
        ("X_test of three axes", X_test[None], y_test),
        ("no test samples", X_test[:0], y_test[:0]),
        ("NaN in X_test", spoilt(X_test, math.nan), y_test),
        ("NaN in y_test", X_test, spoilt(y_test, math.nan)),
        ("infinity in X_test", spoilt(X_test, math.inf), y_test),
    ):
        with raises(ValueError, what=f"transfer_gain with {name}"):
            student.transfer_gain(X, y, rows, targets, w_source, 0.5)
    for lam in (0.5, 0.0):
        after = student.run(arguments_after_both_calls, X.copy(), y.copy(), w_source.copy(), lam)
        for name, left, right in zip(("X", "y", "w_source"), after, (X, y, w_source), strict=True):
            assert_unchanged(left, right, what=f"argument {name} (also after the result was overwritten)")
