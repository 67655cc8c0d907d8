"""Checks of architectures/encoder_decoder_fusion.

The layer's inside is free, so no check recomputes its output. Each compares the submission with itself: tokens left
out, replaced, or in another order. Keras stays in probes.
"""

from __future__ import annotations

import json
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

TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
OPTIONS = {"hidden_size": 6, "num_heads": 3}

Call = tuple[np.ndarray, np.ndarray, dict[str, Any]]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def encoder_decoder_fusion(student, options, seed, calls):
    """Probe: the results of several calls of one layer, whose variables are moved away from where they started."""
    import numpy as np
    import tensorflow as tf

    layer = student.EncoderDecoderFusion(**options)
    layer(*(tf.constant(array) for array in calls[0][:2]))
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(variable + 0.4 * rng.standard_normal(tuple(variable.shape)).astype(np.float32))
    results = []
    for text, image, keywords in calls:
        keywords = {name: tf.constant(value) if name == "text_mask" else value for name, value in keywords.items()}
        results.append(layer(tf.constant(text), tf.constant(image), **keywords))
    return results


def fuse(student, seed: int, *calls: Call, **options) -> list[Any]:
    """For each call of one layer: its output, or its output and scores where they are asked for."""
    results = student.run(encoder_decoder_fusion, {**OPTIONS, **options}, seed, list(calls))
    heads, hidden_size = {**OPTIONS, **options}["num_heads"], {**OPTIONS, **options}["hidden_size"]
    plain = []
    for (text, image, keywords), result in zip(calls, results, strict=True):
        case = f"for text {text.shape} and image {image.shape}"
        scored = keywords.get("return_attention_scores", False)
        if scored and not (isinstance(result, (tuple, list)) and len(result) == 2):
            raise AssertionError(
                "With return_attention_scores=True a call should return (output, scores); it returned a "
                f"{type(result).__name__}."
            )
        output, scores = result if scored else (result, None)
        if not isinstance(output, TensorFlowTensor):
            raise AssertionError(f"The output should be a TensorFlow tensor; it is a {type(output).__name__}.")
        assert_shape(output, (*image.shape[:-1], hidden_size), what=f"output {case}")
        assert_dtype(output, "float32", what=f"output {case}")
        if scored:
            image_tokens = 1 if image.ndim == 2 else image.shape[1]
            text_tokens = 1 if text.ndim == 2 else text.shape[1]
            assert_shape(scores, (len(text), heads, image_tokens, text_tokens), what=f"tensor of scores {case}")
            plain.append((output.array, scores.array))
        else:
            plain.append(output.array)
    return plain


def scored(text: np.ndarray, image: np.ndarray, text_mask: np.ndarray | None = None) -> Call:
    keywords = {} if text_mask is None else {"text_mask": text_mask}
    return text, image, {**keywords, "return_attention_scores": True}


@points(1)
@visible
def test_equal_text_tokens_share_the_attention_evenly(student, rng, seed):
    """If all text tokens of a sample are equal, the image tokens attend evenly to those that are not masked."""
    text, image = normal(rng, 3, 1, 5).repeat(3, axis=1), normal(rng, 3, 4, 6)
    mask = np.array([[True, True, True], [True, False, True], [False, False, False]])
    options = {"hidden_size": 8, "num_heads": 2}
    (output, scores), again, _ = fuse(
        student,
        seed,
        scored(text, image, mask),
        (text, image, {"text_mask": mask}),
        (text, image[:, 0], {}),
        **options,
    )
    share = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5], [0, 0, 0]])
    assert_close(scores, np.broadcast_to(share[:, None, None], (3, 2, 4, 3)), **TOLERANCE, what="tensor of scores")
    assert_close(again, output, **TOLERANCE, what="output without return_attention_scores")


@points(1)
@catches("roles-swapped", "text-pooled", "heads-averaged")
def test_output_and_scores_have_the_announced_shapes(student, rng, seed):
    """The output has a row for each image token; 2-D inputs count as one token; float64 input gives float32."""
    text, image = normal(rng, 2, 5, 4), normal(rng, 2, 3, 7)
    mask = np.array([[True], [False]])
    (output, _), (double, _), (pooled, pooled_scores), (one, one_scores), _, _ = fuse(
        student,
        seed,
        scored(text, image),
        scored(text.astype("float64"), image.astype("float64")),
        scored(text[:, 0], image[:, 0], mask),
        scored(text[:, :1], image[:, :1], mask),
        scored(text, image[:, 0]),
        (text[:, 0], image, {}),
    )
    assert_close(double, output, **TOLERANCE, what="output for float64 input")
    cause = "a 2-D input is one token: the same numbers with an axis of length 1 must give the same result"
    assert_close(pooled, one[:, 0], **TOLERANCE, what="output for 2-D text and image", cause=cause)
    assert_close(pooled_scores, one_scores, **TOLERANCE, what="tensor of scores for 2-D text and image", cause=cause)


def observe_state(student, text, image, text_mask, direction):
    """Probe: variables, gradients, repeated calls, dropout, and a layer made from the configuration."""
    import json

    import numpy as np
    import tensorflow as tf

    text, image = tf.constant(text), tf.constant(image)
    layer = student.EncoderDecoderFusion(6, num_heads=3, dropout=0.5, name="fusion")
    layer(text, image)
    variables = list(layer.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in variables:
        variable.assign(variable + 0.4 * rng.standard_normal(tuple(variable.shape)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch([text, image])
        total = tf.reduce_sum(layer(text, image, text_mask=tf.constant(text_mask)) * direction)
    gradients = tape.gradient(total, [text, image, *(variable.value for variable in variables)])
    names = ["text", "image", *(getattr(variable, "path", variable.name) for variable in variables)]
    config = json.dumps(layer.get_config())
    restored = None
    if {"hidden_size", "num_heads", "dropout"} <= set(json.loads(config)):
        again = student.EncoderDecoderFusion.from_config(json.loads(config))
        again(text, image)
        again.set_weights(layer.get_weights())
        restored = again(text, image)
    return {
        "variables": (len(variables), len(layer.trainable_variables)),
        "gradients": list(zip(names, gradients, strict=True)),
        "calls": [layer(text, image), layer(text, image, training=False)],
        "training": [layer(text, image, training=True), layer(text, image, training=True)],
        "config": config,
        "restored": restored,
    }


@points(1)
@catches("published-dense-stack", "config-without-heads", "dropout-always", "unused-variables")
def test_the_layer_keeps_its_variables_and_settings(student, rng):
    """Variables are created once and all used, dropout acts in training only, the configuration restores the layer."""
    text, image, direction = normal(rng, 2, 5, 4), normal(rng, 2, 3, 7), normal(rng, 2, 3, 6)
    mask = np.array([[True, True, False, True, True], [False] * 5])
    seen = student.run(observe_state, text, image, mask, direction)
    before, after = seen["variables"]
    if before == 0:
        raise AssertionError("The layer has no trainable variables: layers that a call creates belong to nobody.")
    assert_equal(after, before, what="number of trainable variables after some more calls")
    for name, gradient in seen["gradients"]:
        if gradient is None:
            raise AssertionError(f"There is no gradient of {name}: it takes no part in the result, or is cut off.")
        if not np.isfinite(gradient.array).all():
            raise AssertionError(f"The gradient of {name} is not finite, in a batch with a sample without text.")
    cause = "something random outside of training"
    assert_close(seen["calls"][1], seen["calls"][0], **TOLERANCE, what="output of a second call", cause=cause)
    gap = [np.abs(output.array - seen["calls"][0].array).max() for output in seen["training"]]
    apart = np.abs(seen["training"][0].array - seen["training"][1].array).max()
    if min(*gap, apart) < 1e-6:
        raise AssertionError("With dropout=0.5 and training=True, two calls give the same output: nothing is dropped.")
    config = json.loads(seen["config"])
    expected = {"hidden_size": 6, "num_heads": 3, "dropout": 0.5, "name": "fusion"}
    found = {name: config[name] for name in expected if name in config}
    assert_equal(found, expected, what="relevant part of get_config()")
    cause = "the layer that is made from the configuration has other settings"
    assert_close(seen["restored"], seen["calls"][0], **TOLERANCE, what="output of the restored layer", cause=cause)


@points(1)
@catches("additive-dense-stack", "decoder-attends-to-itself", "relu-at-the-end")
def test_text_and_image_interact(student, rng, seed):
    """What another caption changes depends on the image: the output is more than f(text) + g(image)."""
    texts, images = normal(rng, 2, 5, 4), normal(rng, 2, 3, 7)
    [output] = fuse(student, seed, (texts[[0, 1, 0, 1]], images[[0, 0, 1, 1]], {}))
    if output.min() >= 0 or output.max() <= 0:
        raise AssertionError("All outputs have one sign; half of what the layer could say is cut off at its end.")
    if np.abs(output[0] - output[1]).max() < 1e-3:
        raise AssertionError("Another text gives the same output: nothing of the text arrives in it.")
    mixed = np.abs(output[0] - output[1] - output[2] + output[3]).max()
    if mixed < 1e-3:
        raise AssertionError(
            f"For two texts t, u and two images i, j, f(t, i) - f(u, i) - f(t, j) + f(u, j) is at most {mixed:.3g}: "
            "what the text contributes is the same for every image, so the two never meet."
        )


@points(2)
@catches("uniform-scores", "no-encoder", "scores-before-softmax")
def test_every_image_token_has_its_own_attention_to_a_memory(student, rng, seed):
    """Scores sum to 1 over the text, differ from image token to image token, and each memory token knows the others."""
    text, image = normal(rng, 2, 5, 4), normal(rng, 2, 3, 7)
    other = text.copy()
    other[:, 0] = normal(rng, 2, 4)
    (_, scores), (_, changed) = fuse(student, seed, scored(text, image), scored(other, image))
    cause = "each image token shares a total of 1 among the text tokens, in every head"
    assert_close(scores.sum(axis=-1), np.ones((2, 3, 3)), **TOLERANCE, what="sum of the scores", cause=cause)
    if scores.min() < 0:
        raise AssertionError(f"One of the scores is {scores.min():.6g}; after a softmax none is negative.")
    if np.abs(scores[:, :, 0] - scores[:, :, 1]).max() < 1e-4:
        raise AssertionError("Two image tokens of a sample have the same scores: the image does not ask.")
    if np.abs(scores[:, 0] - scores[:, 1]).max() < 1e-4:
        raise AssertionError("Two heads have the same scores; each should keep its own.")
    ratio, after = scores[..., 1] / scores[..., 2], changed[..., 1] / changed[..., 2]
    if np.abs(after / ratio - 1).max() < 1e-3:
        raise AssertionError(
            "When text token 0 is replaced, the proportion between the scores of tokens 1 and 2 stays the same: in "
            "your memory a token knows nothing of the others. The encoder's part is missing."
        )


@points(1)
@catches("positions-added", "samples-mixed")
def test_order_and_company_have_no_influence(student, rng, seed):
    """The order of text tokens has no influence, outputs move with their image tokens, samples do not meet."""
    text, image = normal(rng, 3, 5, 4), normal(rng, 3, 4, 7)
    words, patches = rng.permutation(5), np.roll(rng.permutation(4), 1)
    words = words if (words != np.arange(5)).any() else words[::-1]
    patches = patches if (patches != np.arange(4)).any() else patches[::-1]
    (output, scores), (other_words, _), (other_patches, moved), (alone, _) = fuse(
        student,
        seed,
        scored(text, image),
        scored(text[:, words], image),
        scored(text, image[:, patches]),
        scored(text[1:2], image[1:2]),
    )
    cause = "there are no positional codes here: attention sees a set of tokens"
    assert_close(other_words, output, **TOLERANCE, what="output after the text was reordered", cause=cause)
    what = "output after the image tokens were reordered"
    assert_close(other_patches, output[:, patches], **TOLERANCE, what=what, cause=cause)
    assert_close(moved, scores[:, :, patches], **TOLERANCE, what="tensor of scores after that", cause=cause)
    cause = "one sample must not influence another one of the same batch"
    assert_close(alone, output[1:2], **TOLERANCE, what="output of sample 1 in a batch of its own", cause=cause)


@points(1)
@catches("mask-ignored", "mask-in-the-decoder-only", "mask-in-the-encoder-only", "mask-inverted")
def test_a_masked_text_token_is_as_good_as_absent(student, rng, seed):
    """Masking text tokens gives the same result as leaving them out, whatever they hold."""
    text, image = normal(rng, 3, 6, 4), normal(rng, 3, 2, 7)
    mask = np.zeros((3, 6), bool)
    for sample, count in enumerate((4, 1, 3)):
        mask[sample, rng.permutation(6)[:count]] = True
    text[~mask] *= np.float32(100)
    shorter = [scored(text[b : b + 1, mask[b]], image[b : b + 1]) for b in range(3)]
    (output, scores), plain, *alone = fuse(
        student, seed, scored(text, image, mask), (text, image, {"text_mask": mask}), *shorter
    )
    for b, (own_output, own_scores) in enumerate(alone):
        case = f"sample {b}, {int(mask[b].sum())} of 6 text tokens visible"
        cause = "True in the mask means 'may be attended to', and that holds for the decoder's attention"
        hidden = scores[b][..., ~mask[b]]
        what = f"score of masked tokens ({case})"
        assert_close(hidden, np.zeros_like(hidden), rtol=0, atol=1e-12, what=what, cause=cause)
        what = f"score of visible tokens ({case})"
        cause = "a masked token must be hidden from the other text tokens as well as from the image"
        assert_close(scores[b : b + 1][..., mask[b]], own_scores, **TOLERANCE, what=what, cause=cause)
        assert_close(output[b : b + 1], own_output, **TOLERANCE, what=f"output ({case})", cause=cause)
        what = f"output without return_attention_scores ({case})"
        assert_close(plain[b : b + 1], own_output, **TOLERANCE, what=what, cause=cause)


@points(1)
@catches("empty-text-leaks", "no-residual", "nan-without-text")
def test_a_sample_without_text_keeps_its_image(student, rng, seed):
    """Where all the text is masked, scores are 0, the text has no influence, and the image still has."""
    text, image = normal(rng, 3, 5, 4), normal(rng, 3, 4, 7)
    mask = np.ones((3, 5), bool)
    mask[0, 3] = False
    mask[1] = False
    other_text, other_image = text.copy(), image.copy()
    other_text[1] = normal(rng, 5, 4)
    other_image[1] = normal(rng, 4, 7)
    others = [0, 2]
    masked = {"text_mask": mask}
    (output, scores), plain, (changed, _), plain_changed, (moved, _), (alone, _) = fuse(
        student,
        seed,
        scored(text, image, mask),
        (text, image, masked),
        scored(other_text, image, mask),
        (other_text, image, masked),
        scored(text, other_image, mask),
        scored(text[others], image[others], mask[others]),
    )
    assert_close(scores[1], np.zeros((3, 4, 5)), rtol=0, atol=0, what="tensor of scores of the sample without text")
    cause = "masked text still reaches the image: look at what your attention gives when everything is masked"
    assert_close(changed[1], output[1], **TOLERANCE, what="output of that sample with another text", cause=cause)
    for case, value in (("", plain), (" and with another text", plain_changed)):
        what = f"output of that sample without return_attention_scores{case}"
        assert_close(value[1], output[1], **TOLERANCE, what=what, cause=cause)
    if np.abs(moved[1] - output[1]).max() < 1e-3:
        raise AssertionError(
            "Without text, another image gives the same output: what the attention finds replaces the image token "
            "instead of being added to it."
        )
    cause = "one sample must not influence another one of the same batch"
    assert_close(alone, output[others], **TOLERANCE, what="output of the other samples", cause=cause)


def call_layer(student, text, image, text_mask):
    """Probe: one call of a fresh layer."""
    import tensorflow as tf

    layer = student.EncoderDecoderFusion(6, 3)
    mask = None if text_mask is None else tf.constant(text_mask)
    return layer(tf.constant(text), tf.constant(image), text_mask=mask)


@points(1)
@catches("heads-that-do-not-divide", "shapes-left-to-tensorflow")
def test_arguments_and_shapes_that_do_not_fit_are_refused(student):
    """Settings, shapes and masks that do not fit are refused with the announced exceptions."""
    for options in (
        {"hidden_size": 0},
        {"hidden_size": -6},
        {"hidden_size": -6, "num_heads": -3},
        {"hidden_size": 6, "num_heads": 0},
        {"hidden_size": 6, "num_heads": 4},
        {"hidden_size": 6, "dropout": -0.1},
        {"hidden_size": 6, "dropout": 1.0},
        {"hidden_size": 6, "dropout": 1.5},
    ):
        with raises(ValueError, what=f"EncoderDecoderFusion with {options}"):
            student.EncoderDecoderFusion(**options)
    student.EncoderDecoderFusion(1)  # the smallest that is allowed
    text, image = np.ones((2, 5, 4), np.float32), np.ones((2, 3, 7), np.float32)
    for what, bad_text, bad_image in (
        ("a call with a 1-D text", text[:, 0, 0], image),
        ("a call with a 4-D text", text[:, None], image),
        ("a call with a 1-D image", text, image[:, 0, 0]),
        ("a call with a 4-D image", text, image[:, None]),
        ("a call with 1 text and 2 images", text[:1], image),
        ("a call with 2 texts and 1 image", text, image[:1]),
    ):
        with raises(ValueError, what=what):
            student.run(call_layer, bad_text, bad_image, None)
    for bad_text, shape in ((text, (2, 3)), (text, (1, 5)), (text, (5,)), (text, (2, 1)), (text[:, 0], (2,))):
        with raises(ValueError, what=f"a call with a mask of shape {shape} for a text of shape {bad_text.shape}"):
            student.run(call_layer, bad_text, image, np.ones(shape, bool))
    for dtype in (np.float32, np.int32):
        with raises(TypeError, ValueError, what=f"a call with a mask of dtype {dtype.__name__}"):
            student.run(call_layer, text, image, np.ones((2, 5), dtype))
