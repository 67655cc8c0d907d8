"""Checks of fusion/modality_attention: Keras stays in probes; what is expected comes from loops in NumPy's float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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

TOLERANCE = {"rtol": 1e-5, "atol": 5e-6}
MASK_CAUSE = "True in `present` means that the modality is there; an absent one must be gone before the softmax"

Parameters = dict[str, Any]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def random_parameters(rng: np.random.Generator, widths, hidden_size: int, score_size: int) -> Parameters:
    """All variables of a layer. No bias is 0, so that forgetting one shows."""
    return {
        "W": [normal(rng, width, hidden_size) / np.float32(width**0.5) for width in widths],
        "b": [normal(rng, hidden_size) for _ in widths],
        "U": normal(rng, hidden_size, score_size),
        "v": normal(rng, score_size),
    }


def modality_attention(student, parameters, features, present):
    """Probe: the layer with given variables, called once to create them and once for the result."""
    import numpy as np
    import tensorflow as tf

    layer = student.ModalityAttention(*parameters["U"].shape)
    features = [tf.constant(vectors) for vectors in features]
    layer(features)
    for m in range(len(features)):
        layer.W[m].assign(parameters["W"][m])
        layer.b[m].assign(parameters["b"][m])
    layer.U.assign(parameters["U"])
    layer.v.assign(np.reshape(parameters["v"], layer.v.shape))
    return layer(features) if present is None else layer(features, present=tf.constant(present))


def pair(result, features, hidden_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Fused vectors and weights of a submission, of the announced shapes."""
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        raise AssertionError(f"A call should return (fused, weights); it returned a {type(result).__name__}.")
    for name, value in zip(("fused", "weights"), result, strict=True):
        if not isinstance(value, TensorFlowTensor):
            raise AssertionError(f"{name} should be a TensorFlow tensor; it is of type {type(value).__name__}.")
    fused, weights = result
    case = f"for {len(features)} modalities of shapes {', '.join(str(vectors.shape) for vectors in features)}"
    assert_shape(weights, (len(features[0]), len(features)), what=f"weight tensor {case}")
    assert_shape(fused, (len(features[0]), hidden_size), what=f"fused tensor {case}")
    return fused.array, weights.array


def fuse(student, parameters: Parameters, features, present=None) -> tuple[np.ndarray, np.ndarray]:
    result = student.run(modality_attention, parameters, features, present)
    return pair(result, features, parameters["U"].shape[0])


def fuse_by_loops(parameters: Parameters, features, present=None) -> tuple[np.ndarray, np.ndarray]:
    """Fused vectors and weights, one sample and one present modality at a time."""
    U, v = (np.asarray(parameters[name], np.float64) for name in ("U", "v"))
    fused, weights = np.zeros((len(features[0]), len(U))), np.zeros((len(features[0]), len(features)))
    for sample in range(len(fused)):
        there = [m for m in range(len(features)) if present is None or present[sample, m]]
        projected, scores = {}, {}
        for m in there:
            W, b = (np.asarray(parameters[name][m], np.float64) for name in ("W", "b"))
            projected[m] = np.tanh(features[m][sample].astype(np.float64) @ W + b)
            scores[m] = float(v @ np.tanh(projected[m] @ U))
        total = sum(math.exp(score - max(scores.values())) for score in scores.values())
        for m in there:
            weights[sample, m] = math.exp(scores[m] - max(scores.values())) / total
            fused[sample] += weights[sample, m] * projected[m]
    return fused, weights


@points(1)
@visible
def test_text_and_image_worked_out_by_hand(student):
    """Text and image, worked out by hand: both present, and the image absent."""
    parameters = {
        "W": [np.array([[1, 0]], np.float32), np.array([[0, 1], [0, 0]], np.float32)],
        "b": [np.zeros(2, np.float32)] * 2,
        "U": np.array([[2 * math.atanh(0.5)], [0]], np.float32),
        "v": np.array([2 * math.log(4)], np.float32),
    }
    text = np.full((2, 1), math.atanh(0.5), np.float32)
    image = np.array([[math.atanh(0.3), 7], [math.nan, math.nan]], np.float32)
    fused, weights = fuse(student, parameters, [text, image], np.array([[True, True], [True, False]]))
    assert_close(weights, np.array([[0.8, 0.2], [1, 0]]), atol=1e-5, what="weight tensor")
    assert_close(fused, np.array([[0.4, 0.06], [0.5, 0]]), atol=1e-5, what="fused tensor")


def describe(student, features, dtypes):
    """Probe: the variables of a fresh layer, and its results in two calls, for features of each dtype."""
    import tensorflow as tf

    layer = student.ModalityAttention(6, score_size=4)
    results = [layer([tf.constant(vectors, dtype) for vectors in features]) for dtype in (*dtypes, dtypes[0])]
    lists = {name: [tuple(entry.shape) for entry in getattr(layer, name)] for name in ("W", "b")}
    single = {name: tuple(getattr(layer, name).shape) for name in ("U", "v")}
    default = student.ModalityAttention(3)
    default([tf.constant(features[0], dtypes[0])])
    return {
        "shapes": lists | single,
        "trainable": len({id(variable) for variable in layer.trainable_variables}),
        "default": tuple(default.U.shape),
        "results": results,
    }


@points(1)
@catches("published-gate", "not-summed", "new-layers-per-call")
def test_the_layer_keeps_its_variables_and_returns_the_announced_shapes(student, rng):
    """The layer has the announced variables, keeps them from call to call, and returns float32 of the right shapes."""
    features = [normal(rng, 5, width) for width in (4, 2, 3)]
    seen = student.run(describe, features, ("float32", "float64"))
    for name, size in (("W", None), ("b", 6)):
        expected = [(width, 6) if size is None else (size,) for width in (4, 2, 3)]
        assert_equal(seen["shapes"][name], expected, what=f"list of shapes of the variables in {name}")
    assert_equal(seen["shapes"]["U"], (6, 4), what="shape of U")
    if seen["shapes"]["v"] not in ((4,), (4, 1)):
        raise AssertionError(f"The shape of v is {seen['shapes']['v']}; it should be (4,) or (4, 1).")
    assert_equal(seen["trainable"], 8, what="number of trainable variables for three modalities (W, b, U and v)")
    assert_equal(seen["default"], (3, 16), what="shape of U in ModalityAttention(3)")
    for dtype, result in zip(("float32", "float64"), seen["results"][:2], strict=True):
        pair(result, features, 6)
        for name, value in zip(("fused tensor", "weight tensor"), result, strict=True):
            assert_dtype(value, "float32", what=f"{name} of {dtype} features")
    cause = "variables belong to the layer; a layer that is created inside `call` starts anew with every call"
    first, again = pair(seen["results"][0], features, 6), pair(seen["results"][2], features, 6)
    for name, before, after in zip(("fused tensor", "weight tensor"), first, again, strict=True):
        assert_close(after, before, **TOLERANCE, what=f"{name} of a second call with the same features", cause=cause)


@points(1)
@catches("softmax-over-batch", "independent-sigmoids")
def test_the_modalities_of_a_sample_share_a_total_of_one(student, rng):
    """The weights of a sample sum to 1 over its modalities, and no sample influences another."""
    for widths in ((4, 2, 3), (2, 5), (3,)):
        parameters = random_parameters(rng, widths, 5, 2)
        features = [normal(rng, 6, width) for width in widths]
        fused, weights = fuse(student, parameters, features)
        case = f"{len(widths)} modalities, 6 samples"
        cause = "each sample shares a total of 1 among its own modalities"
        assert_close(weights.sum(axis=1), np.ones(6), **TOLERANCE, what=f"sum of the weights ({case})", cause=cause)
        if weights.min() < 0:
            raise AssertionError(f"One of the weights is {weights.min():.6g}; weights are never negative.")
        some = [4, 1]
        alone_fused, alone_weights = fuse(student, parameters, [vectors[some] for vectors in features])
        cause = "one sample must not influence another one of the same batch"
        assert_close(
            weights[some], alone_weights, **TOLERANCE, what=f"weights of samples 4 and 1 ({case})", cause=cause
        )
        assert_close(
            fused[some], alone_fused, **TOLERANCE, what=f"fused vectors of samples 4 and 1 ({case})", cause=cause
        )


@points(1)
@catches("weights-from-the-text-alone", "scores-of-the-whole-sample")
def test_every_modality_is_scored_by_its_own_vector(student, rng):
    """Another image changes the weight of the image, and leaves the proportion of the other two as it was."""
    parameters = random_parameters(rng, (4, 2, 3), 5, 2)
    parameters["v"] = np.array([1.5, -1.0], np.float32)
    text, image, sound = (normal(rng, 6, width) for width in (4, 2, 3))
    _, before = fuse(student, parameters, [text, image, sound])
    _, after = fuse(student, parameters, [text, -image, sound])
    if np.abs(after - before).max(axis=1).min() < 1e-6:
        raise AssertionError(
            "The weights of a sample stay the same when modality 1 is replaced: what it holds has no say in them."
        )
    assert_close(
        after[:, 0] / after[:, 2],
        before[:, 0] / before[:, 2],
        rtol=1e-3,
        what="weight of modality 0 over that of modality 2, after modality 1 was replaced,",
        cause="the score of a modality comes from its own projected vector",
    )


@points(2)
@catches("linear-projection", "linear-scorer", "bias-forgotten", "mean-instead-of-sum", "overflow")
def test_weights_and_fused_vector_follow_the_formula(student, rng):
    """Projection, score, softmax and sum follow the formula, for any number of modalities and for large scores."""
    for batch, hidden_size, score_size, widths, scale in (
        (5, 3, 4, (2, 6), 1),
        (4, 6, 2, (3, 1, 5), 1),
        (2, 4, 3, (5, 2, 4, 1), 1),
        (6, 5, 3, (4, 2), 300),
    ):
        parameters = random_parameters(rng, widths, hidden_size, score_size)
        parameters["v"] = np.float32(scale) * parameters["v"]
        features = [normal(rng, batch, width) for width in widths]
        fused, weights = fuse(student, parameters, features)
        expected_fused, expected_weights = fuse_by_loops(parameters, features)
        case = f"{batch} samples, widths {widths}, hidden_size {hidden_size}, score_size {score_size}"
        cause = "h = tanh(x W[m] + b[m]); the score is v · tanh(h U); fused is the weighted sum of the h"
        tolerance = TOLERANCE
        if scale > 1:
            cause = "scores of some hundreds: exp overflows, unless the largest score is taken off first"
            tolerance = {"rtol": 1e-3, "atol": 1e-3}
        assert_close(weights, expected_weights, **tolerance, what=f"weight tensor ({case})", cause=cause)
        assert_close(fused, expected_fused, **tolerance, what=f"fused tensor ({case})", cause=cause)


@points(1)
@catches("absent-keeps-its-weight", "mask-after-softmax", "nan-of-the-absent")
def test_an_absent_modality_has_no_influence(student, rng):
    """An absent modality gives the same result as one that is not in the list at all, whatever stands in its place."""
    widths = (4, 2, 3)
    parameters = random_parameters(rng, widths, 5, 2)
    present = np.array([[True, False, True], [False, True, True], [True, True, False], [False, False, True]])
    features = [normal(rng, 4, width) for width in widths]
    alone = []  # each sample as a batch of its own, with a shorter list of modalities
    for sample, there in enumerate(present):
        kept = np.flatnonzero(there)
        fewer = {**parameters, "W": [parameters["W"][m] for m in kept], "b": [parameters["b"][m] for m in kept]}
        alone.append(fuse(student, fewer, [features[m][sample : sample + 1] for m in kept]))
    for junk in (1000.0, math.nan):
        for m, vectors in enumerate(features):
            vectors[~present[:, m]] = junk
        fused, weights = fuse(student, parameters, features, present)
        for sample, there in enumerate(present):
            case = f"sample {sample}, present {there.tolist()}, {junk:g} in the absent ones"
            own_fused, own_weights = alone[sample]
            hidden = weights[sample, ~there]
            what = f"weight of absent modalities ({case})"
            assert_close(hidden, np.zeros(len(hidden)), rtol=0, atol=0, what=what, cause=MASK_CAUSE)
            what = f"weight of present modalities ({case})"
            assert_close(weights[sample, there], own_weights[0], **TOLERANCE, what=what, cause=MASK_CAUSE)
            cause = MASK_CAUSE
            if math.isnan(junk):
                cause = "0 · NaN is NaN: an absent vector must be emptied before it enters a product"
            assert_close(fused[sample], own_fused[0], **TOLERANCE, what=f"fused vector ({case})", cause=cause)


@points(1)
@catches("uniform-without-modalities", "nan-without-modalities")
def test_a_sample_without_modalities_gives_zeros(student, rng):
    """A sample in which nothing is present has weights 0 and a fused vector 0, and disturbs no other sample."""
    parameters = random_parameters(rng, (4, 3), 5, 2)
    features = [normal(rng, 3, 4), normal(rng, 3, 3)]
    present = np.array([[True, False], [False, False], [True, True]])
    fused, weights = fuse(student, parameters, features, present)
    cause = "a softmax over nothing is 0/0, and over equally large negative numbers it is uniform; neither is 'nothing'"
    assert_close(weights[1], np.zeros(2), rtol=0, atol=0, what="weight tensor of that sample", cause=cause)
    assert_close(fused[1], np.zeros(5), rtol=0, atol=0, what="fused vector of that sample", cause=cause)
    others = [0, 2]
    alone_fused, alone_weights = fuse(student, parameters, [vectors[others] for vectors in features], present[others])
    cause = "one sample must not influence another one of the same batch"
    assert_close(weights[others], alone_weights, **TOLERANCE, what="weight tensor of the other samples", cause=cause)
    assert_close(fused[others], alone_fused, **TOLERANCE, what="fused tensor of the other samples", cause=cause)


def call_layer(student, first, features, present):
    """Probe: a call of a layer, after an earlier call with the features `first` if these are given."""
    import tensorflow as tf

    layer = student.ModalityAttention(5, 2)
    if first is not None:
        layer([tf.constant(vectors) for vectors in first])
    return layer(
        [tf.constant(vectors) for vectors in features], present=None if present is None else tf.constant(present)
    )


@points(1)
@catches("other-number-of-modalities", "shapes-left-to-tensorflow")
def test_inputs_that_do_not_fit_are_refused(student):
    """Lists, shapes, masks and dtypes that do not fit are refused with the announced exceptions."""
    text, image, sound = (np.ones((3, width), np.float32) for width in (4, 2, 6))
    good = [text, image]
    for what, first, features in (
        ("the first call with an empty list", None, []),
        ("a later call with an empty list", good, []),
        ("a first call with 1-D features", None, [text, image[:, 0]]),
        ("a first call with 3-D features", None, [text[:, None], image[:, None]]),
        ("a later call with 1-D features", good, [text[0], image]),
        ("a later call with 3-D features", good, [text[:, None], image[:, None]]),
        ("a first call with batches of 3 and 1", None, [text, image[:1]]),
        ("a later call with batches of 1 and 3", good, [text[:1], image]),
        ("a later call with one modality more", good, [text, image, sound]),
        ("a later call with one modality less", good, [text]),
        ("a later call with text of another width", good, [sound, image]),
    ):
        with raises(ValueError, what=what):
            student.run(call_layer, first, features, None)
    for shape in ((2,), (2, 3), (3, 1), (1, 2), (3, 2, 1)):
        with raises(ValueError, what=f"a call with `present` of shape {shape} for 3 samples of 2 modalities"):
            student.run(call_layer, None, good, np.ones(shape, bool))
    for what, features, present in (
        ("a call with int32 text", [text.astype(np.int32), image], None),
        ("a call with an int32 image", [text, image.astype(np.int32)], None),
        ("a call with a float32 `present`", good, np.ones((3, 2), np.float32)),
        ("a call with an int32 `present`", good, np.ones((3, 2), np.int32)),
    ):
        with raises(TypeError, ValueError, what=what):
            student.run(call_layer, None, features, present)


def differentiate(student, parameters, features, present, direction):
    """Probe: gradients of sum(fused * direction) with respect to the features and to the variables of the layer."""
    import numpy as np
    import tensorflow as tf

    layer = student.ModalityAttention(*parameters["U"].shape)
    features = [tf.constant(vectors) for vectors in features]
    layer(features)
    for m in range(len(features)):
        layer.W[m].assign(parameters["W"][m])
        layer.b[m].assign(parameters["b"][m])
    layer.U.assign(parameters["U"])
    layer.v.assign(np.reshape(parameters["v"], layer.v.shape))
    with tf.GradientTape() as tape:
        tape.watch(features)
        fused, _ = layer(features, present=tf.constant(present))
        total = tf.reduce_sum(fused * direction)
    variables = [getattr(entry, "value", entry) for entry in (*layer.W, *layer.b, layer.U, layer.v)]
    return tape.gradient(total, [*features, *variables])


def slope(function, array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a function of one array, which is left as it was."""
    result = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        value = array[index]
        ends = []
        for moved in (value + step, value - step):
            array[index] = moved
            ends.append(function())
        array[index] = value
        result[index] = (ends[0] - ends[1]) / (2 * step)
    return result


@points(1)
@catches("nan-gradients", "weights-without-gradient")
def test_gradients_reach_every_variable(student, rng):
    """All gradients are right, also next to an absent modality that is NaN and a sample in which nothing is present."""
    widths = (2, 1, 3)
    parameters = random_parameters(rng, widths, 2, 3)
    features = [normal(rng, 3, width) for width in widths]
    direction = normal(rng, 3, 2)
    present = np.array([[True, True, True], [True, False, True], [False, False, False]])
    features[1][1] = math.nan
    names = [f"features[{m}]" for m in range(3)] + [f"W[{m}]" for m in range(3)] + [f"b[{m}]" for m in range(3)]
    gradients = student.run(differentiate, parameters, features, present, direction)

    exact = {
        name: [np.asarray(item, np.float64) for item in value] if isinstance(value, list) else np.asarray(value, float)
        for name, value in parameters.items()
    }
    exact_features = [vectors.astype(np.float64) for vectors in features]

    def total() -> float:
        return float((fuse_by_loops(exact, exact_features, present)[0] * direction).sum())

    arrays = [*exact_features, *exact["W"], *exact["b"], exact["U"], exact["v"]]
    for name, gradient, array in zip([*names, "U", "v"], gradients, arrays, strict=True):
        if gradient is None:
            raise AssertionError(f"There is no gradient of {name}: it has no part in the fused vectors, or is cut off.")
        assert_close(
            gradient.array.reshape(array.shape),
            slope(total, array),
            rtol=1e-3,
            atol=1e-4,
            what=f"gradient of {name}",
            cause="NaN in the forward pass survives in the gradient, even if the result is repaired afterwards",
        )
