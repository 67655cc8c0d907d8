"""Checks of data/feature_augmentation: noise is judged by its statistics, mixing against a loop over samples."""

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


def call_layer(student, relative_std, seed, text, image, modes):
    """Probe: one call of a PairedNoise for each mode; returns the pairs of results."""
    layer = student.PairedNoise(relative_std, seed)
    results = []
    for mode in modes:
        pair = layer([text, image], **({} if mode is None else {"training": mode}))
        results.append([pair[0], pair[1]])
    return results


def measure_noise(student, relative_std, seed, text, image):
    """Probe: statistics of the noise that a layer adds in training, rounded so that they do not depend on the draw."""
    import numpy as np

    layer = student.PairedNoise(relative_std, seed)
    result = layer([text, image], training=True)
    statistics = []
    for features, noisy in zip((text, image), result, strict=True):
        wide = np.asarray(features, np.float64)
        noise = np.asarray(noisy, np.float64) - wide
        spread = noise.std() if np.isfinite(noise).all() and noise.std() > 0 else np.nan
        centred = (noise - noise.mean()) / spread
        rows = centred.reshape(len(centred), -1)
        statistics.append(
            {
                "relative": round(float(spread / wide.std()), 2),
                "mean": abs(round(float(noise.mean() / spread), 1)),
                "kurtosis": round(float((centred**4).mean() * 2)) / 2 if np.isfinite(spread) else np.nan,
                "columns": [round(float(rows[:, column].std()), 1) for column in range(3)],
                "between columns": abs(round(float((rows[:, 0] * rows[:, 1]).mean()), 1)),
                "between samples": abs(round(float((rows[:-1] * rows[1:]).mean()), 1)),
                "finite": bool(np.isfinite(np.asarray(noisy, np.float64)).all()),
            }
        )
    return statistics


def compare_noise(student, relative_std, text, image, factor):
    """Probe: which noises are the same; the names say of what."""
    import numpy as np
    import tensorflow as tf

    def noise(layer, scale=1.0, call=None):
        inputs = [text * scale, image]
        result = call(*inputs) if call is not None else layer(inputs, training=True)
        return [np.asarray(noisy) - features for noisy, features in zip(result, inputs, strict=True)]

    def same(left, right):
        return bool(np.allclose(left, right, rtol=1e-3, atol=1e-4 * np.abs(right).max()))

    before = np.random.get_state()[1].copy()
    layer, twin, other = (student.PairedNoise(relative_std, seed) for seed in (7, 7, 8))
    first, second = noise(layer), noise(layer)
    twin_first, twin_second = noise(twin, factor), noise(twin)
    graph_layer = student.PairedNoise(relative_std, 7)
    compiled = tf.function(lambda text, image: graph_layer([text, image], training=True))
    graph_first = noise(None, call=lambda *inputs: compiled(*map(tf.constant, inputs)))
    graph_second = noise(None, call=lambda *inputs: compiled(*map(tf.constant, inputs)))
    return {
        "text and image": same(first[0] / text.std(), first[1] / image.std()),
        "two calls": same(first[0], second[0]) or same(first[1], second[1]),
        "two calls of a tf.function": same(graph_first[0], graph_second[0]) or same(graph_first[1], graph_second[1]),
        "two seeds": same(first[0], noise(other)[0]),
        "first calls, one seed, one text larger": same(first[0] * factor, twin_first[0]),
        "second calls, one seed": same(second[0], twin_second[0]) and same(second[1], twin_second[1]),
        "NumPy's global random state": bool((np.random.get_state()[1] == before).all()),
    }


def mixed_by_hand(values, lam, perm):
    """One sample after the other, in float64."""
    wide = np.asarray(values, np.float64)
    return np.array([lam * wide[sample] + (1 - lam) * wide[partner] for sample, partner in enumerate(perm)])


def random_pairs(rng, batch, dtype="float32"):
    """Text with three axes, image with two, soft labels."""
    text = rng.normal(size=(batch, 3, 2)) * 3 + 1
    image = rng.normal(size=(batch, 4))
    labels = rng.dirichlet(np.ones(3), size=batch)
    return [values.astype(dtype) for values in (text, image, labels)]


def mix(student, values, lam, perm):
    """The submission's three results; fails unless there are three."""
    result = student.mixup_pairs(*map(TensorFlowTensor, values), lam, perm)
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise AssertionError("mixup_pairs should return three things, (text, image, labels).")
    return result


@visible
@points(1)
def test_worked_example(student):
    """The worked example is mixed as in the table, and noise acts in training only, in proportion to the features."""

    def noises(student, text, image):
        import numpy as np

        same = student.PairedNoise(0.1, seed=3)([text, image])
        noise = np.asarray(student.PairedNoise(0.1, seed=3)([text, image], training=True)[0]) - text
        larger = np.asarray(student.PairedNoise(0.1, seed=3)([100 * text, image], training=True)[0]) - 100 * text
        identical = bool(np.array_equal(same[0], text) and np.array_equal(same[1], image))
        return identical, bool(np.abs(noise).min() > 0), bool(np.allclose(larger, 100 * noise, atol=0.01))

    text = np.array([[4.0], [8.0], [-4.0]], np.float32)
    image = np.array([[8.0, 0.0], [0.0, 4.0], [4.0, 4.0]], np.float32)
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float32)
    mixed = mix(student, (text, image, labels), 0.75, np.array([1, 2, 0]))
    table = ([[5, 5, -2]], [[6, 1], [1, 4], [5, 3]], [[0.75, 0.25], [0, 1], [0.25, 0.75]])
    for result, expected, name in zip(mixed, table, ("text", "image", "labels"), strict=True):
        expected = np.array(expected, float).reshape(3, -1)
        assert_close(result, expected, rtol=1e-5, atol=1e-6, what=f"{name} of mixup_pairs(...)")
    identical, noisy, scaled = student.run(noises, text, image)
    assert_equal(identical, True, what="equality of input and result outside training")
    assert_equal(noisy, True, what="presence of noise in training")
    assert_equal(scaled, True, what="equality of 100 times the noise and the noise of 100 times the text")


@points(1)
@catches("published-always-on", "float32-in-every-case", "dtype-of-the-text-for-both")
def test_features_pass_unchanged_outside_training(student, rng):
    """Outside training the result is the input, bit for bit; dtypes are kept in every mode."""
    for text_dtype, image_dtype in (("float32", "float32"), ("float64", "float16"), ("float16", "float64")):
        text, image = rng.normal(size=(6, 3)).astype(text_dtype), rng.normal(size=(6, 2, 2)).astype(image_dtype)
        results = student.run(call_layer, 0.5, 3, text, image, [None, False])
        for mode, pair in zip(("", ", training=False"), results, strict=True):
            for features, result, name in zip((text, image), pair, ("text", "image"), strict=True):
                what = f"{name} of layer([text, image]{mode}), for {text_dtype} text and {image_dtype} image"
                assert_dtype(result, features.dtype, what=what)
                assert_shape(result, features.shape, what=what)
                assert_close(result, features, rtol=0, atol=0, what=what, cause="noise outside training, or rounding")

    def dtypes_in_training(student, text, image):
        import keras

        layer = student.PairedNoise(0.5, 3)
        results = layer([text, image], training=True)
        is_layer = isinstance(layer, keras.layers.Layer)
        shapes = [tuple(result.shape) for result in results]
        return is_layer, [keras.backend.standardize_dtype(result.dtype) for result in results], shapes

    is_layer, dtypes, shapes = student.run(dtypes_in_training, text, image)
    assert_equal(is_layer, True, what="isinstance(PairedNoise(...), keras.layers.Layer)")
    what = "list of the results' dtypes in training, for float16 text and float64 image"
    assert_equal(dtypes, ["float16", "float64"], what=what)
    assert_equal(shapes, [(6, 3), (6, 2, 2)], what="list of the results' shapes in training")


@points(2)
@catches(
    "absolute-size",
    "spread-of-each-feature",
    "one-spread-for-both",
    "uniform-noise",
    "variance-for-spread",
    "overflow-in-float16",
    "one-draw-for-each-sample",
    "one-draw-for-all-samples",
    "root-mean-square",
)
def test_size_of_the_noise(student, rng):
    """The noise is normal with mean 0, is drawn for every number, and its size follows that of the modality."""
    columns = np.array([0.1, 1.0, 3.0, 0.5, 2.0])
    cases = (
        ("float32", rng.normal(size=(8000, 5)) * columns, rng.normal(size=(8000, 3, 2)) * 40 + 90),
        ("float16", rng.normal(size=(8000, 3)) * 1000, rng.normal(size=(8000, 4)) * 0.01),
        ("float64", rng.normal(size=(8000, 4)) * 1e-3 + 0.005, rng.normal(size=(8000, 4)) * 1e6),
    )
    for dtype, text, image in cases:
        measured = student.run(measure_noise, 0.5, 5, text.astype(dtype), image.astype(dtype))
        for seen, name in zip(measured, ("text", "image"), strict=True):
            what = f"noise of the {dtype} {name}, for relative_std=0.5"
            if not seen["finite"]:
                raise AssertionError(f"The {what} is not finite. Squares of large float16 numbers overflow.")
            relative = f"standard deviation of the {what}, relative to that of the {name}"
            assert_close(seen["relative"], 0.5, rtol=0.05, what=relative)
            assert_close(seen["mean"], 0.0, what=f"mean of the {what}, in standard deviations", atol=0.05)
            cause = "the noise is not normally distributed"
            assert_equal(seen["kurtosis"], 3.0, what=f"kurtosis of the {what}, to the next half,", cause=cause)
            cause = "a spread for each feature instead of one for the modality"
            what_columns = f"list of the spreads of three columns of the {what}, relative to all of it,"
            assert_close(np.array(seen["columns"]), np.ones(3), atol=0.05, what=what_columns, cause=cause)
            cause = "one random number for several values"
            for between in ("between columns", "between samples"):
                assert_close(seen[between], 0.0, atol=0.15, what=f"correlation {between} of the {what}", cause=cause)


@points(2)
@catches("same-noise-for-both", "same-noise-in-every-call", "noise-made-by-numpy", "seed-ignored", "global-seed")
def test_noise_is_new_in_every_call_and_decided_by_the_seed(student, rng):
    """Text and image, calls and seeds have different noise; layers with one seed make one sequence."""
    text, image = (rng.normal(size=(8, 5)) * 2).astype(np.float32), rng.normal(size=(8, 5)).astype(np.float32)
    same = student.run(compare_noise, 0.5, text, image, 30.0)
    for name, cause in (
        ("text and image", "one draw for both"),
        ("two calls", "a seed that each call starts from again"),
        ("two calls of a tf.function", "a draw that is made while the function is traced, not when it runs"),
        ("two seeds", "a seed that is not used"),
    ):
        if same[name]:
            raise AssertionError(f"The noise of {name} is the same. A likely cause: {cause}.")
    for name, cause in (
        ("first calls, one seed, one text larger", "a seed that is not used, or noise that does not follow the scale"),
        ("second calls, one seed", "a seed that is not used"),
    ):
        if not same[name]:
            raise AssertionError(f"The noise of two layers ({name}) should be the same. A likely cause: {cause}.")
    assert_equal(same["NumPy's global random state"], True, what="sameness of NumPy's global random state")


@points(2)
@catches(
    "labels-not-mixed",
    "a-permutation-for-each-modality",
    "weights-swapped",
    "inverse-permutation",
    "mixed-in-float32",
    "weight-rounded-to-float32",
    "labels-of-the-larger-share",
)
@given(data_seed=st.integers(0, 2**32 - 1), batch=st.integers(3, 6), hundredths=st.integers(1, 99))
def test_mixed_pairs(student, data_seed, batch, hundredths):
    """Text, image and labels are mixed with the same weight and the same partner, each in its own dtype."""
    generator = np.random.default_rng(data_seed)
    lam, perm = hundredths / 100, generator.permutation(batch)
    for dtype in ("float64", "float32"):
        values = random_pairs(generator, batch, dtype)
        mixed = mix(student, values, lam, perm)
        for before, result, name in zip(values, mixed, ("text", "image", "labels"), strict=True):
            what = f"{name} of mixup_pairs with {dtype} values, lam={lam}, perm={perm.tolist()}"
            assert_dtype(result, dtype, what=what)
            tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-5}
            cause = "another partner or weight than for the other two, or another dtype on the way"
            assert_close(result, mixed_by_hand(before, lam, perm), what=what, cause=cause, **tolerance)


@points(1)
@catches("one-not-allowed", "permutation-sorted-in-place")
def test_edges_of_mixing(student, rng):
    """A weight of 1 changes nothing, a weight of 0 permutes; half precision stays; the inputs are not changed."""

    def mix_and_return_perm(student, values, lam, perm):
        import tensorflow as tf

        student.mixup_pairs(*map(tf.constant, values), lam, perm)
        return perm

    values, perm = random_pairs(rng, 5), np.array([3, 0, 4, 1, 2])
    for lam, expected, what in ((1.0, values, "lam=1.0"), (0.0, [array[perm] for array in values], "lam=0.0")):
        for wanted, result, name in zip(
            expected, mix(student, values, lam, perm), ("text", "image", "labels"), strict=True
        ):
            assert_close(result, wanted, rtol=0, atol=0, what=f"{name} of mixup_pairs with {what}")
    half = random_pairs(rng, 5, "float16")
    for before, result, name in zip(half, mix(student, half, 0.3, perm), ("text", "image", "labels"), strict=True):
        assert_dtype(result, "float16", what=f"{name} of mixup_pairs with float16 values")
        assert_close(result, mixed_by_hand(before, 0.3, perm), rtol=1e-2, atol=1e-2, what=f"float16 {name}")
    (single, _, _) = mix(student, [array[:1] for array in values], 0.4, np.array([0]))
    assert_close(single, values[0][:1], rtol=1e-5, what="text of mixup_pairs with one sample, its own partner")
    order = student.run(mix_and_return_perm, values, 0.3, perm)
    assert_equal(order, perm, what="array perm after mixup_pairs")


@points(1)
@catches("integers-accepted", "any-relative-std", "any-weight", "any-permutation", "batch-sizes-not-compared")
def test_impossible_input_is_refused(student, rng):
    """Integer features raise TypeError; bad sizes, weights, permutations and batches raise ValueError."""
    text, image, labels = random_pairs(rng, 5)
    ids = np.arange(15).reshape(5, 3).astype(np.int32)
    for value in (-0.1, float("nan"), float("inf")):
        with raises(ValueError, what=f"PairedNoise({value}, 3)"):
            student.run(call_layer, value, 3, text, image, [])
    for mode in (True, None):
        for pair, what in (((ids, image), "integer text"), ((text, ids), "integer image")):
            with raises(TypeError, what=f"a call of PairedNoise with {what} and training={mode}"):
                student.run(call_layer, 0.5, 3, *pair, [mode])
        with raises(ValueError, what=f"a call of PairedNoise with 5 texts, 4 images and training={mode}"):
            student.run(call_layer, 0.5, 3, text, image[:4], [mode])
    ((same_text, same_image),) = student.run(call_layer, 0.0, 3, text, image, [True])
    assert_close(same_text, text, rtol=1e-6, what="text of PairedNoise(0.0, 3) in training")
    assert_close(same_image, image, rtol=1e-6, what="image of PairedNoise(0.0, 3) in training")

    perm = np.array([3, 0, 4, 1, 2])
    for arguments, error, what in (
        ((ids, image, labels, 0.5, perm), TypeError, "integer text"),
        ((text, ids, labels, 0.5, perm), TypeError, "integer image"),
        ((text, image, ids, 0.5, perm), TypeError, "integer labels"),
        ((text, image, labels, -0.1, perm), ValueError, "lam=-0.1"),
        ((text, image, labels, 1.1, perm), ValueError, "lam=1.1"),
        ((text, image, labels, float("nan"), perm), ValueError, "lam=nan"),
        ((text, image, labels, 0.5, np.array([3, 0, 4, 1, 1])), ValueError, "a partner that comes twice"),
        ((text, image, labels, 0.5, np.array([3, 0, 5, 1, 2])), ValueError, "a partner 5 of 5 samples"),
        ((text, image, labels, 0.5, np.array([3, 0, -1, 1, 2])), ValueError, "a partner -1"),
        ((text, image, labels, 0.5, np.array([3, 0, 1, 2])), ValueError, "a permutation of 4 for 5 samples"),
        ((text[:4], image, labels, 0.5, perm), ValueError, "4 texts"),
        ((text, image[:4], labels, 0.5, perm), ValueError, "4 images"),
        ((text, image, labels[:4], 0.5, perm), ValueError, "labels of 4 samples"),
    ):
        with raises(error, what=f"mixup_pairs with {what}"):
            mix(student, arguments[:3], *arguments[3:])
