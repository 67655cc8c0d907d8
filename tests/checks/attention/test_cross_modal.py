"""Checks of attention/cross_modal: tensors travel as arrays; what is expected comes from loops in NumPy's float64."""

from __future__ import annotations

import math

import numpy as np

from grader.checking import (
    TensorFlowTensor,
    assert_close,
    assert_dtype,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

TOLERANCE = {"rtol": 1e-5, "atol": 5e-6}


def call(student, text, image, image_mask=None):
    """Call the submission with tensors of these arrays; without a mask, the argument is left out."""
    mask = {} if image_mask is None else {"image_mask": TensorFlowTensor(image_mask)}
    return student.cross_modal_attention(TensorFlowTensor(text), TensorFlowTensor(image), **mask)


def attend(student, text, image, image_mask=None) -> tuple[TensorFlowTensor, TensorFlowTensor]:
    """Context and weights of the submission, of the announced shapes."""
    result = call(student, text, image, image_mask)
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        raise AssertionError(f"The result should be (context, weights); it is of type {type(result).__name__}.")
    context, weights = result
    for name, value in (("context", context), ("weight tensor", weights)):
        if not isinstance(value, TensorFlowTensor):
            raise AssertionError(f"The {name} should be a TensorFlow tensor; it is of type {type(value).__name__}.")
    case = f"for text {text.shape} and image {image.shape}"
    assert_shape(weights, (*text.shape[:2], image.shape[1]), what=f"weight tensor {case}")
    assert_shape(context, text.shape, what=f"context {case}")
    return context, weights


def attend_by_loops(text, image, image_mask=None) -> tuple[np.ndarray, np.ndarray]:
    """Context and weights, one sample, one text token and one image token at a time."""
    context = np.zeros(text.shape)
    weights = np.zeros((len(text), text.shape[1], image.shape[1]))
    for b in range(len(text)):
        seen = [j for j in range(image.shape[1]) if image_mask is None or image_mask[b, j]]
        for i in range(text.shape[1]):
            scores = {
                j: sum(float(t) * float(v) for t, v in zip(text[b, i], image[b, j], strict=True))
                / math.sqrt(text.shape[2])
                for j in seen
            }
            top = max(scores.values(), default=0.0)
            total = sum(math.exp(score - top) for score in scores.values())
            for j, score in scores.items():
                weights[b, i, j] = math.exp(score - top) / total
                context[b, i] += weights[b, i, j] * image[b, j].astype(np.float64)
    return context, weights


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


@points(1)
@visible
def test_four_image_tokens_worked_out_by_hand(student):
    """Four image tokens, worked out by hand: all visible, one masked, all masked."""
    text, image = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32)
    text[0, 0, 0] = 2
    image[0, 0, :2] = math.log(7), 10
    image[0, 1, 2] = image[0, 2, 3] = 10

    context, weights = attend(student, text, image)
    assert_close(
        weights.array[0, :2], np.array([[0.7, 0.1, 0.1, 0.1], [0.25] * 4]), **TOLERANCE, what="block weights[0, :2]"
    )
    expected = np.array([[7, 1, 1], [2.5, 2.5, 2.5]])
    assert_close(context.array[0, :2, 1:], expected, **TOLERANCE, what="block context[0, :2, 1:]")

    context, weights = attend(student, text, image, np.array([[True, False, True, True]]))
    what = "with image token 1 masked"
    expected = np.array([[7 / 9, 0, 1 / 9, 1 / 9], [1 / 3, 0, 1 / 3, 1 / 3]])
    assert_close(weights.array[0, :2], expected, **TOLERANCE, what=f"block weights[0, :2] {what}")
    expected = np.array([[70 / 9, 0, 10 / 9], [10 / 3, 0, 10 / 3]])
    assert_close(context.array[0, :2, 1:], expected, **TOLERANCE, what=f"block context[0, :2, 1:] {what}")

    context, weights = attend(student, text, image, np.zeros((1, 4), bool))
    assert_close(weights, np.zeros((1, 4, 4)), **TOLERANCE, what="weight tensor with all image tokens masked")
    assert_close(context, np.zeros((1, 4, 4)), **TOLERANCE, what="context with all image tokens masked")


@points(1)
@catches("float32-results", "ready-made")
def test_context_and_weights_have_the_announced_shapes_and_dtypes(student, rng):
    """Context and weights are tensors of the announced shapes, in the dtype of the inputs."""
    mask = np.array([[True, False, True, True, False], [False, True, True, False, False]])
    for dtype in ("float32", "float64"):
        text, image = normal(rng, 2, 3, 4).astype(dtype), normal(rng, 2, 5, 4).astype(dtype)
        for name, image_mask in (("without a mask", None), ("with a mask", mask)):
            context, weights = attend(student, text, image, image_mask)
            assert_dtype(context, dtype, what=f"context of {dtype} inputs {name}")
            assert_dtype(weights, dtype, what=f"weight tensor of {dtype} inputs {name}")


@points(1)
@catches("published-gate", "weights-as-gate", "scores-as-gate", "softmax-over-text", "values-from-text")
def test_text_tokens_of_zero_take_the_average_of_the_image(student, rng):
    """A text token that is all 0 looks everywhere alike: its context is the average of the image tokens."""
    for text_tokens, image_tokens, width in ((4, 4, 4), (3, 5, 2)):
        text = normal(rng, 2, text_tokens, width)
        text[:, 1] = 0
        image = normal(rng, 2, image_tokens, width) + np.float32(3)
        context, weights = attend(student, text, image)
        case = f"{text_tokens} text tokens, {image_tokens} image tokens, width {width}"
        cause = "each text token shares a total of 1 among the image tokens, and what it averages are image tokens"
        ones = np.ones((2, text_tokens))
        assert_close(weights.array.sum(axis=2), ones, **TOLERANCE, what=f"sum of the weights ({case})", cause=cause)
        alike = np.full((2, image_tokens), 1 / image_tokens)
        assert_close(weights.array[:, 1], alike, **TOLERANCE, what=f"block weights[:, 1] ({case})", cause=cause)
        average = image.astype(np.float64).mean(axis=1)
        assert_close(context.array[:, 1], average, **TOLERANCE, what=f"block context[:, 1] ({case})", cause=cause)


@points(2)
@catches("unscaled", "scaled-by-width", "scaled-by-token-count", "samples-mixed")
def test_scores_are_scaled_dot_products_within_a_sample(student, rng):
    """Scores compare the tokens of one sample, and are divided by the square root of the width."""
    for _ in range(4):
        check_values(student, rng, *rng.permutation(np.arange(2, 7))[:4].tolist())


def check_values(student, rng, batch, text_tokens, image_tokens, width):
    """Weights and context of random tokens, against the loops."""
    text, image = normal(rng, batch, text_tokens, width), normal(rng, batch, image_tokens, width)
    context, weights = attend(student, text, image)
    expected_context, expected_weights = attend_by_loops(text, image)
    case = f"{batch} samples, {text_tokens} text tokens, {image_tokens} image tokens, width {width}"
    cause = "a score is the dot product of two tokens of the same sample, divided by the square root of their width"
    assert_close(weights, expected_weights, **TOLERANCE, what=f"weight tensor ({case})", cause=cause)
    assert_close(context, expected_context, **TOLERANCE, what=f"context ({case})", cause=cause)


@points(1)
@catches("mask-after-softmax", "mask-inverted", "mask-multiplied-into-scores")
def test_masking_an_image_token_equals_leaving_it_out(student, rng):
    """Masking an image token gives the same result as leaving it out, whatever it holds."""
    text, image = normal(rng, 3, 2, 4), normal(rng, 3, 6, 4)
    mask = np.zeros((3, 6), bool)
    for b, count in enumerate((4, 1, 3)):
        mask[b, rng.permutation(6)[:count]] = True
    image[~mask] *= np.float32(3)
    alone = [attend(student, text[b : b + 1], image[b : b + 1, mask[b]]) for b in range(3)]
    context, weights = attend(student, text, image, mask)
    cause = "True in the mask means 'may be attended to'; a masked token must be gone before the softmax"
    for b, (alone_context, alone_weights) in enumerate(alone):
        case = f"sample {b}, image_mask[{b}] = {mask[b].tolist()}"
        hidden = weights.array[b][:, ~mask[b]]
        assert_close(
            hidden, np.zeros_like(hidden), rtol=0, atol=0, what=f"weight of masked tokens ({case})", cause=cause
        )
        seen = weights.array[b : b + 1, :, mask[b]]
        assert_close(seen, alone_weights, **TOLERANCE, what=f"weight of visible tokens ({case})", cause=cause)
        assert_close(context.array[b : b + 1], alone_context, **TOLERANCE, what=f"context ({case})", cause=cause)


@points(1)
@catches("uniform-without-tokens", "nan-without-tokens")
def test_a_sample_without_image_tokens_attends_to_nothing(student, rng):
    """A sample whose image tokens are all masked has weights 0 and context 0, and disturbs no other sample."""
    text, image = normal(rng, 3, 2, 4), normal(rng, 3, 5, 4)
    mask = np.ones((3, 5), bool)
    mask[0, 3] = False
    mask[1] = False
    others = [0, 2]
    alone_context, alone_weights = attend(student, text[others], image[others], mask[others])
    context, weights = attend(student, text, image, mask)
    cause = "a softmax over nothing is 0/0, and over equally large negative numbers it is uniform; neither is 'nothing'"
    for name, value in (("weight tensor", weights.array[1]), ("context", context.array[1])):
        what = f"{name} of the sample without visible image tokens"
        assert_close(value, np.zeros_like(value), rtol=0, atol=0, what=what, cause=cause)
    cause = "one sample must not influence another one of the same batch"
    assert_close(weights.array[others], alone_weights, **TOLERANCE, what="weight tensor of the others", cause=cause)
    assert_close(context.array[others], alone_context, **TOLERANCE, what="context of the others", cause=cause)


@points(1)
@catches("overflow", "small-fill", "small-bias")
def test_scores_of_ten_thousand_stay_finite(student, rng):
    """Scores of 10000 and of -10000 give finite and correct results, also next to masked tokens."""
    # width 1, so that the scores are plain products: 100 * (100 - k/128) is exact in float32
    text = np.array([[[100.0], [-100.0], [0.5]]], np.float32)
    steps = rng.permutation(8)[:5].astype(np.float32)
    image = (np.float32(100) - steps / np.float32(128)).reshape(1, 5, 1)
    mask = np.array([[True, True, False, True, True]])
    loud = image.copy()
    loud[0, 2] = 1e5
    for case, shown, image_mask, cause in (
        (
            "no mask",
            image,
            None,
            "exp(10000) is infinite; taking the same number off all scores of a row changes nothing",
        ),
        (
            "image token 2 masked",
            image,
            mask,
            "a hidden score must lie below every score that may be seen, and these go down to -10000",
        ),
        (
            "image token 2 masked, its scores up to ten million",
            loud,
            mask,
            "a hidden token has no part in the softmax, the maximum of the row included, however large its own score",
        ),
    ):
        context, weights = attend(student, text, shown, image_mask)
        expected_context, expected_weights = attend_by_loops(text, shown, image_mask)
        assert_close(weights, expected_weights, **TOLERANCE, what=f"weight tensor ({case})", cause=cause)
        assert_close(context, expected_context, **TOLERANCE, what=f"context ({case})", cause=cause)


@points(1)
@catches("one-image-for-all", "one-mask-for-all", "shapes-left-to-tensorflow", "empty-image-accepted")
def test_inputs_that_do_not_fit_are_refused(student):
    """Shapes, widths, masks and dtypes that do not fit are refused with the announced exceptions."""

    def ones(*shape, dtype=np.float32):
        return np.ones(shape, dtype)

    text, image = ones(2, 3, 4), ones(2, 5, 4)
    for what, bad_text, bad_image in (
        ("a call with text 4 wide and an image 6 wide", text, ones(2, 5, 6)),
        ("a call with a 2-D text", text[:, 0], image),
        ("a call with a 2-D image", text, image[:, 0]),
        ("a call with 2-D text and image", text[:, 0], image[:, 0]),
        ("a call with 4-D text and image", text[:, None], image[:, None]),
        ("a call with 2 samples of text and 1 image", text, image[:1]),
        ("a call with 1 sample of text and 2 images", text[:1], image),
        ("a call with an image of 0 tokens", text, image[:, :0]),
    ):
        with raises(ValueError, what=what):
            call(student, bad_text, bad_image)
    for shape in ((2, 3), (2, 4), (1, 5), (5,), (2, 5, 1), (2, 1, 5)):
        with raises(ValueError, what=f"a call with a mask of shape {shape} for an image of shape (2, 5, 4)"):
            call(student, text, image, ones(*shape, dtype=bool))
    for what, *arguments in (
        ("a call with int32 text", text.astype(np.int32), image, None),
        ("a call with an int32 image", text, image.astype(np.int32), None),
        ("a call with int32 text and image", text.astype(np.int32), image.astype(np.int32), None),
        ("a call with a float32 mask", text, image, ones(2, 5)),
        ("a call with an int32 mask", text, image, ones(2, 5, dtype=np.int32)),
    ):
        with raises(TypeError, ValueError, what=what):
            call(student, *arguments)


def gradients_of_cross_modal_attention(student, text, image, image_mask, direction):
    """Probe: gradients of sum(context * direction) with respect to text and image."""
    import tensorflow as tf

    text, image = tf.constant(text), tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch([text, image])
        context, _ = student.cross_modal_attention(text, image, image_mask=tf.constant(image_mask))
        total = tf.reduce_sum(tf.cast(context, tf.float32) * direction)
    return tape.gradient(total, [text, image])


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
@catches("nan-gradients", "computed-in-numpy")
def test_gradients_reach_text_and_image(student, rng):
    """The gradients are right, and finite even when a sample has no image token."""
    # width 1, where the square root of the width is 1
    text, image, direction = normal(rng, 3, 2, 1), normal(rng, 3, 4, 1), normal(rng, 3, 2, 1)
    mask = np.ones((3, 4), bool)
    mask[0, 1] = False
    without = mask.copy()
    without[2] = False
    for case, image_mask in (("image token 1 of sample 0 masked", mask), ("no image token in sample 2", without)):
        gradients = student.run(
            gradients_of_cross_modal_attention, text, image, image_mask=image_mask, direction=direction
        )
        exact_text, exact_image = text.astype(np.float64), image.astype(np.float64)

        def total(exact_text=exact_text, exact_image=exact_image, image_mask=image_mask) -> float:
            return float((attend_by_loops(exact_text, exact_image, image_mask)[0] * direction).sum())

        cause = "NaN in the forward pass survives in the gradient, even if the result is repaired afterwards"
        for name, gradient, exact in zip(("text", "image"), gradients, (exact_text, exact_image), strict=True):
            if gradient is None:
                raise AssertionError(
                    f"There is no gradient of {name}: something between it and the context is not a TensorFlow "
                    "operation, or stops gradients."
                )
            assert_close(
                gradient,
                slope(total, exact),
                rtol=1e-4,
                atol=1e-5,
                what=f"gradient of {name} ({case})",
                cause=cause if image_mask is without else "",
            )
