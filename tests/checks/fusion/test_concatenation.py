"""Hidden checks of fusion/concatenation. Independent path: every vector is joined and scaled as a Python list."""

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


def scaled(vector):
    """A list of numbers divided by its length; zeros stay as they are."""
    length = math.sqrt(math.fsum(number * number for number in vector))
    return [number / length for number in vector] if length else vector


def joined_by_hand(text, image, l2_normalize=False):
    """The definition, one vector at a time: float64, shape (..., text_width + image_width)."""
    result = np.zeros((*text.shape[:-1], text.shape[-1] + image.shape[-1]))
    for place in np.ndindex(text.shape[:-1]):
        vectors = [[float(number) for number in features[place]] for features in (text, image)]
        if l2_normalize:
            vectors = [scaled(vector) for vector in vectors]
        result[place] = vectors[0] + vectors[1]
    return result


def random_pair(rng, leading, text_width, image_width, dtype=np.float64):
    """Text and image features with scales that differ, and no zeros."""
    text = rng.uniform(0.5, 2.0, size=(*leading, text_width)) * rng.choice([-1, 1], size=(*leading, text_width))
    image = rng.uniform(5.0, 20.0, size=(*leading, image_width)) * rng.choice([-1, 1], size=(*leading, image_width))
    return text.astype(dtype), image.astype(dtype)


@visible
@points(1)
def test_worked_example(student):
    """The worked example comes out, plain and scaled, and so does a single sample."""
    text, image = np.array([[3.0, 4.0], [0.0, -2.0]]), np.array([[200.0], [0.0]])
    joined = student.concat_modalities(text, image)
    assert_close(joined, np.array([[3.0, 4.0, 200.0], [0.0, -2.0, 0.0]]), what="concat_modalities(text, image)")
    both = student.concat_modalities(text, image, l2_normalize=True)
    expected = np.array([[0.6, 0.8, 1.0], [0.0, -1.0, 0.0]])
    assert_close(both, expected, what="concat_modalities(text, image, l2_normalize=True)")
    single = student.concat_modalities(np.array([1.5, 2.5]), np.array([-1.0]))
    assert_close(single, np.array([1.5, 2.5, -1.0]), what="concat_modalities of two single vectors")


@points(1)
@catches("axis-zero", "element-wise-sum")
def test_samples_stay_and_features_grow(student, rng):
    """Each sample keeps its row and has the features of both modalities, text first."""
    cause = "the axis that grows: samples must not be stacked or mixed"
    # equal widths, too: there the wrong axis raises nothing
    for leading, text_width, image_width in (((4,), 3, 5), ((4,), 3, 3), ((), 2, 4), ((1,), 2, 6), ((0,), 3, 5)):
        text, image = random_pair(rng, leading, text_width, image_width)
        joined = student.concat_modalities(text, image)
        what = f"concat_modalities(text {text.shape}, image {image.shape})"
        assert_shape(joined, (*leading, text_width + image_width), what=what, cause=cause)
        assert_equal(joined, joined_by_hand(text, image), what=what, cause=cause)


@points(1)
@catches("hstack", "axis-one")
@given(
    leading=st.lists(st.integers(1, 3), min_size=0, max_size=3),
    widths=st.tuples(*[st.integers(1, 4)] * 3),
    data_seed=st.integers(0, 2**32 - 1),
)
def test_any_number_of_leading_axes(student, leading, widths, data_seed):
    """The last axis holds the features, however many axes come before it."""
    generator = np.random.default_rng(data_seed)
    text, image, audio = (generator.normal(size=(*leading, width)) for width in widths)
    joined = student.concat_modalities(text, image)
    what = f"concat_modalities(text {text.shape}, image {image.shape})"
    cause = "an axis counted from the front"
    assert_equal(joined, joined_by_hand(text, image), what=what, cause=cause)
    # three modalities: the grouping does not matter
    left = student.concat_modalities(joined, audio)
    right = student.concat_modalities(text, student.concat_modalities(image, audio))
    assert_equal(left, right, what="join of (text, image) with audio, against that of text with (image, audio)")


@points(1)
@catches("integers-not-promoted", "always-float64")
def test_dtype_of_the_result(student, rng):
    """Floats keep their precision, and integers and booleans count as float64."""
    for text_dtype, image_dtype, expected in (
        ("float32", "float32", "float32"),
        ("float16", "float16", "float16"),
        ("float16", "float32", "float32"),
        ("float64", "float32", "float64"),
        ("float32", "int8", "float64"),
        ("bool", "float16", "float64"),
        ("int64", "uint8", "float64"),
    ):
        text, image = rng.integers(0, 2, size=(4, 3)).astype(text_dtype), rng.integers(1, 9, (4, 2)).astype(image_dtype)
        for l2_normalize in (False, True):
            joined = student.concat_modalities(text, image, l2_normalize=l2_normalize)
            what = f"result for text {text_dtype} and image {image_dtype} with l2_normalize={l2_normalize}"
            assert_dtype(joined, expected, what=what)
            tolerance = 2e-3 if l2_normalize and "float16" in (text_dtype, image_dtype) else 1e-6
            wanted = joined_by_hand(text, image, l2_normalize)
            assert_close(joined, wanted, rtol=tolerance, atol=tolerance if l2_normalize else 0, what=what)


@points(2)
@catches("broadcast", "message-without-shapes", "complex-accepted")
def test_impossible_inputs_are_refused(student, rng):
    """Shapes that do not belong together raise ValueError and name both; what is no real number raises TypeError."""

    def call_with_objects(student):
        import numpy as np

        return np.shape(student.concat_modalities(np.array([[None, "red"], [1, 2]], dtype=object), np.ones((2, 3))))

    for text_shape, image_shape in (
        ((4, 3), (5, 3)),
        ((1, 3), (4, 5)),
        ((4, 3), (1, 5)),
        ((3,), (4, 5)),
        ((4, 3), (5,)),
        ((2, 4, 3), (4, 2, 3)),
        ((1, 4, 3), (4, 3)),
        ((0, 3), (1, 3)),
    ):
        text, image = rng.normal(size=text_shape), rng.normal(size=image_shape)
        what = f"concat_modalities(text {text_shape}, image {image_shape})"
        with raises(ValueError, what=what) as caught:
            student.concat_modalities(text, image)
        for shape in (text_shape, image_shape):
            if str(shape) not in caught.error.message:
                raise AssertionError(
                    f"{what} raised ValueError, but its message does not name the shape {shape}: "
                    f"{caught.error.message!r}. The lesson asks for a message that names both shapes."
                )
    vector = rng.normal(size=3)
    for text, image in ((np.array(2.0), vector), (vector, np.array(2.0)), (np.array(1.0), np.array(2.0))):
        with raises(ValueError, what="concat_modalities with an array without axes"):
            student.concat_modalities(text, image)
    pair = rng.normal(size=(2, 3))
    for bad in (pair + 1j, np.array([["a", "b"], ["c", "d"]])):
        for text, image in ((bad, pair), (pair, bad)):
            with raises(TypeError, ValueError, what=f"concat_modalities with features of dtype {bad.dtype}"):
                student.concat_modalities(text, image)
    with raises(TypeError, ValueError, what="concat_modalities with features of dtype object"):
        student.run(call_with_objects)


@points(1)
@catches("normalise-after-joining", "one-norm-for-the-batch")
def test_each_modality_is_scaled_by_itself(student, rng):
    """With l2_normalize the text vector and the image vector of each sample have length 1 each."""
    cause = "the vectors over which a length is taken: one of one modality of one sample"
    for leading in ((), (4,), (2, 3)):
        text, image = random_pair(rng, leading, 3, 5)
        joined = student.concat_modalities(text, image, l2_normalize=True)
        what = f"concat_modalities(text {text.shape}, image {image.shape}, l2_normalize=True)"
        assert_close(joined, joined_by_hand(text, image, l2_normalize=True), what=what, cause=cause)
        rescaled = student.concat_modalities(3.0 * text, 0.5 * image, l2_normalize=True)
        assert_close(rescaled, joined, what=f"{what} with text three times and image half as large", cause=cause)


@points(1)
@catches("zero-becomes-nan", "overflowing-squares")
def test_zero_tiny_and_huge_vectors(student, rng):
    """Zero vectors stay zero, empty modalities are allowed, and lengths neither overflow nor vanish."""
    text, image = random_pair(rng, (4,), 3, 2)
    text[1], image[2], text[3], image[3] = 0, 0, 0, 0
    joined = student.concat_modalities(text, image, l2_normalize=True)
    assert_close(joined, joined_by_hand(text, image, True), what="result for samples with zero vectors", cause="0 / 0")
    for text_width, image_width in ((0, 2), (3, 0), (0, 0)):
        text, image = random_pair(rng, (4,), text_width, image_width)
        for l2_normalize in (False, True):
            joined = student.concat_modalities(text, image, l2_normalize=l2_normalize)
            what = f"result for widths {text_width} and {image_width} with l2_normalize={l2_normalize}"
            assert_close(joined, joined_by_hand(text, image, l2_normalize), what=what)
    for dtype, size in (("float16", 3000.0), ("float16", 2e-4), ("float32", 1e30), ("float32", 1e-30)):
        text, image = random_pair(rng, (2,), 3, 2)
        text, image = (text * size).astype(dtype), (image * size).astype(dtype)
        joined = student.concat_modalities(text, image, l2_normalize=True)
        assert_close(
            joined,
            joined_by_hand(text, image, True),
            rtol=2e-3 if dtype == "float16" else 1e-5,
            atol=1e-3 if dtype == "float16" else 1e-6,
            what=f"result for {dtype} numbers around {size:g} with l2_normalize=True",
            cause=f"squares that do not fit into {dtype}",
        )


@points(2)
@catches("view-of-an-input", "scaled-in-place")
def test_inputs_stay_and_the_result_is_new(student, rng):
    """The inputs are not changed, and the result shares no memory with them."""

    def call(student, text, image, l2_normalize):
        import numpy as np

        joined = student.concat_modalities(text, image, l2_normalize=l2_normalize)
        shared = bool(np.shares_memory(joined, text) or np.shares_memory(joined, image))
        return text, image, shared

    for text_width, image_width in ((3, 2), (3, 0), (0, 2)):
        for l2_normalize in (False, True):
            text, image = random_pair(rng, (4,), text_width, image_width)
            text_after, image_after, shared = student.run(call, text.copy(), image.copy(), l2_normalize)
            assert_unchanged(text_after, text, what="text")
            assert_unchanged(image_after, image, what="image")
            if shared:
                raise AssertionError(
                    f"concat_modalities(text {text.shape}, image {image.shape}, l2_normalize={l2_normalize}) returned "
                    "an array that shares memory with an input: writing into one changes the other. A new array is "
                    "asked for, also when one modality has no features."
                )
