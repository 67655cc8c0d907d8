"""Wrong answers and alternatives of fusion/concatenation.

That scales are ignored, a fault of the published answer too, is what the default `l2_normalize=False` asks for; the
lesson's text deals with it.
"""

from grader.catalogue import Alternative, WrongAnswer

JOIN = "np.concatenate(parts, axis=-1, dtype=dtype)"
SCALE = "            parts[index] = features / np.where(length > 0, length, 1)  # (..., width)\n"

wrong_answers = [
    WrongAnswer(
        id="axis-zero",
        title="joined on axis 0",
        explanation=(
            "Two single vectors come out right, but in a batch axis 0 counts samples: image vectors become further "
            "samples, and each row knows one modality only. With unequal widths NumPy complains, with equal ones it "
            "does not. Which axis has to grow?"
        ),
        caught_by="test_samples_stay_and_features_grow",
        swap=((JOIN, "np.concatenate(parts, axis=0, dtype=dtype)"),),
    ),
    WrongAnswer(
        id="element-wise-sum",
        title="the two vectors are added",
        explanation=(
            "You add the features, so the widths must be equal and nobody can tell afterwards what came from the text. "
            "Joining keeps every number of both: the widths add up, the numbers do not."
        ),
        caught_by="test_samples_stay_and_features_grow",
        swap=((JOIN, "np.add(*parts).astype(dtype)"),),
    ),
    WrongAnswer(
        id="hstack",
        title="joined with np.hstack",
        explanation=(
            "`np.hstack` joins vectors on axis 0 and everything else on axis 1. For (batch, tokens, width) that is the "
            "token axis. What is the number of the last axis if you do not know how many there are?"
        ),
        caught_by="test_any_number_of_leading_axes",
        swap=((JOIN, "np.hstack(parts).astype(dtype)"),),
    ),
    WrongAnswer(
        id="axis-one",
        title="joined on axis 1",
        explanation=(
            "Axis 1 holds the features of a matrix only: a single vector has no such axis, and in (batch, tokens, "
            "width) it counts tokens. Counting from the end names the feature axis in every case."
        ),
        caught_by="test_any_number_of_leading_axes",
        swap=((JOIN, "np.concatenate(parts, axis=1, dtype=dtype)"),),
    ),
    WrongAnswer(
        id="integers-not-promoted",
        title="integers are left to NumPy's promotion",
        explanation=(
            "NumPy's rules depend on the width of the integer: float32 with int8 stays float32, with int64 it becomes "
            "float64, and two integer arrays stay integers. The lesson asks for one rule: integers and booleans count "
            "as float64 before the common dtype is looked up."
        ),
        caught_by="test_dtype_of_the_result",
        swap=(('features if features.dtype.kind == "f" else features.astype(np.float64)', "features"),),
    ),
    WrongAnswer(
        id="always-float64",
        title="the result is always float64",
        explanation=(
            "Features in float32 come back as float64, twice the memory for nothing, and a model in float32 may refuse "
            "them. The length is computed in float64, the result has the common dtype of the inputs."
        ),
        caught_by="test_dtype_of_the_result",
        swap=(("dtype = np.result_type(*parts)", "dtype = np.dtype(np.float64)"),),
    ),
    WrongAnswer(
        id="broadcast",
        title="leading axes are stretched to fit",
        explanation=(
            "One text is repeated for all images, or the other way round, without a word. Mostly that hides a mistake "
            "in the pairing. Compare the shapes without their last entry and refuse what differs."
        ),
        caught_by="test_impossible_inputs_are_refused",
        swap=(
            (
                "    if parts[0].shape[:-1] != parts[1].shape[:-1]:\n"
                '        raise ValueError(f"text {parts[0].shape} and image {parts[1].shape} differ before the feature'
                ' axis")\n',
                "    leading = np.broadcast_shapes(parts[0].shape[:-1], parts[1].shape[:-1])\n"
                "    parts = [np.broadcast_to(features, (*leading, features.shape[-1])) for features in parts]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="message-without-shapes",
        title="NumPy's own error for shapes that do not fit",
        explanation=(
            "An error does come, but from inside NumPy: it names one size of each array and not which modality has "
            "which shape. Whoever reads it wants to see both shapes. Compare them yourself before you join."
        ),
        caught_by="test_impossible_inputs_are_refused",
        swap=(
            (
                "    if parts[0].shape[:-1] != parts[1].shape[:-1]:\n"
                '        raise ValueError(f"text {parts[0].shape} and image {parts[1].shape} differ before the feature'
                ' axis")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="complex-accepted",
        title="complex numbers, text and objects are accepted",
        explanation=(
            "Features are real numbers. Text becomes an array of text without any error, and complex numbers lose "
            "their imaginary part or pass it on. Look at the kind of the dtype first."
        ),
        caught_by="test_impossible_inputs_are_refused",
        swap=(
            (
                '        if features.dtype.kind not in "biuf":  # booleans, signed and unsigned integers, floats\n'
                '            raise TypeError(f"features must be real numbers, not {features.dtype}")\n',
                "",
            ),
            ('features.dtype.kind == "f" else', 'features.dtype.kind not in "biu" else'),
        ),
    ),
    WrongAnswer(
        id="normalise-after-joining",
        title="the joined vector is scaled to length 1",
        explanation=(
            "The whole row has length 1, but inside it the modality with the larger numbers still drowns the other. "
            "Take the lengths before the two are joined."
        ),
        caught_by="test_each_modality_is_scaled_by_itself",
        swap=(
            (SCALE, "            parts[index] = features\n"),
            (
                f"    return {JOIN}",
                f"    joined = {JOIN}\n"
                "    if l2_normalize:\n"
                "        length = np.linalg.norm(joined.astype(np.float64), axis=-1, keepdims=True)\n"
                "        joined = (joined / np.where(length > 0, length, 1)).astype(dtype)\n"
                "    return joined",
            ),
        ),
    ),
    WrongAnswer(
        id="one-norm-for-the-batch",
        title="one length for the whole array",
        explanation=(
            "You divide all samples by one number, so a sample's features depend on its neighbours in the batch. Every "
            "vector has a length of its own: reduce over the feature axis only, and keep it so that the shapes fit."
        ),
        caught_by="test_each_modality_is_scaled_by_itself",
        swap=(("np.linalg.norm(features.astype(np.float64), axis=-1, keepdims=True)", "np.linalg.norm(features)"),),
    ),
    WrongAnswer(
        id="zero-becomes-nan",
        title="a zero vector becomes NaN",
        explanation=(
            "A zero vector has length 0, and 0 / 0 is NaN, which then spreads through the model. Zeros are common: a "
            "missing modality is often filled with them. Which divisor leaves zeros as they are?"
        ),
        caught_by="test_zero_tiny_and_huge_vectors",
        swap=(("np.where(length > 0, length, 1)", "length"),),
    ),
    WrongAnswer(
        id="overflowing-squares",
        title="lengths are computed in the input's own precision",
        explanation=(
            "In float16 the square of 300 is infinite already and the square of 0.0001 is zero, and float32 has the "
            "same trouble further out. The features come out as zeros or unscaled. Widen the numbers before squaring."
        ),
        caught_by="test_zero_tiny_and_huge_vectors",
        swap=(("np.linalg.norm(features.astype(np.float64), axis", "np.linalg.norm(features, axis"),),
    ),
    WrongAnswer(
        id="view-of-an-input",
        title="the other input itself is returned when one modality has no features",
        explanation=(
            "The shortcut for an empty modality hands out the caller's own array: whoever writes into the fused "
            "features then changes the inputs. Joining always makes a new array; leave the special case out."
        ),
        caught_by="test_inputs_stay_and_the_result_is_new",
        swap=(
            (
                f"    return {JOIN}",
                "    if 0 in (parts[0].shape[-1], parts[1].shape[-1]):\n"
                "        return parts[0] if parts[1].shape[-1] == 0 else parts[1]\n"
                f"    return {JOIN}",
            ),
            (SCALE, "            parts[index] = (features / np.where(length > 0, length, 1)).astype(dtype)\n"),
        ),
    ),
    WrongAnswer(
        id="scaled-in-place",
        title="the inputs themselves are scaled",
        explanation=(
            "`/=` writes into the caller's array, and `np.asarray` does not copy. The caller's features are scaled "
            "afterwards, so a second call or another branch of the model sees other numbers. Make a new array."
        ),
        caught_by="test_inputs_stay_and_the_result_is_new",
        swap=((SCALE, "            features /= np.where(length > 0, length, 1).astype(features.dtype)\n"),),
    ),
]

equivalent_mutants = {
    "dropped `raise ValueError('features need at least one axis": (
        "np.concatenate refuses an array without axes with a ValueError as well; ours says which axis is missing"
    ),
    "1 -> 2 in `parts[index] = features / np.where(length > 0, length, 1)": "a zero vector divided by 2 is zero too",
}

alternatives = [
    Alternative(
        id="filled-slices",
        title="a new array that is filled slice by slice, lengths by einsum after scaling by the maximum",
        code="""
def concat_modalities(text, image, *, l2_normalize=False):
    text, image = np.array(text), np.array(image)
    if not all(np.issubdtype(a.dtype, np.integer) or np.issubdtype(a.dtype, np.floating) or a.dtype == bool
               for a in (text, image)):
        raise TypeError("real numbers only")
    if min(text.ndim, image.ndim) < 1:
        raise ValueError("a feature axis is needed")
    *leading, text_width = text.shape
    if image.shape[:-1] != tuple(leading):
        raise ValueError("shapes " + str(text.shape) + " and " + str(image.shape))
    floats = [a.dtype if a.dtype.kind == "f" else np.dtype("float64") for a in (text, image)]
    fused = np.empty((*leading, text_width + image.shape[-1]), dtype=np.result_type(*floats))
    for columns, features in ((np.s_[..., :text_width], text), (np.s_[..., text_width:], image)):
        if l2_normalize:
            features = features.astype(np.float64)
            largest = np.abs(features).max(axis=-1, keepdims=True, initial=0.0)
            largest[largest == 0] = 1
            features = features / largest
            squares = np.einsum("...i,...i->...", features, features)[..., None]
            features = features / np.sqrt(np.where(squares == 0, 1, squares))
        fused[columns] = features
    return fused
""",
    ),
    Alternative(
        id="recursion-over-axes",
        title="recursion over the leading axes down to single vectors",
        code="""
import math


def concat_modalities(text, image, *, l2_normalize=False):
    text, image = np.asarray(text), np.asarray(image)
    for features in (text, image):
        if features.dtype.kind in "cOSU":
            raise ValueError("no real numbers")
        if not features.shape:
            raise ValueError("no feature axis")
    if text.shape[:-1] != image.shape[:-1]:
        raise ValueError(f"{text.shape} does not go with {image.shape}")
    text, image = (a.astype(float) if a.dtype.kind in "biu" else a for a in (text, image))
    dtype = (text.ravel()[:0].sum() + image.ravel()[:0].sum()).dtype

    def scale(vector):
        length = math.hypot(*vector)
        return [number / length for number in vector] if l2_normalize and length else vector

    def join(left, right, depth):
        if depth == 0:
            return [*scale(left), *scale(right)]
        return [join(a, b, depth - 1) for a, b in zip(left, right, strict=True)]

    rows = join(text.tolist(), image.tolist(), text.ndim - 1)
    return np.array(rows, dtype=dtype).reshape(*text.shape[:-1], text.shape[-1] + image.shape[-1])
""",
    ),
    Alternative(
        id="axes-moved-to-the-front",
        title="feature axis moved to the front, stacked there and moved back",
        code="""
def concat_modalities(text, image, *, l2_normalize=False):
    text, image = np.asarray(text), np.asarray(image)
    if np.ndim(text) == 0 or np.ndim(image) == 0:
        raise ValueError("no feature axis")
    if not (np.can_cast(text.dtype, np.float64, "safe") and np.can_cast(image.dtype, np.float64, "safe")):
        # int64 is not cast safely by every NumPy, so ask for its kind as well
        if text.dtype.kind not in "iuf" or image.dtype.kind not in "iuf":
            raise TypeError("real numbers only")
    common = np.result_type(*(a.dtype if a.dtype.kind == "f" else np.float64 for a in (text, image)))
    if text.shape[:-1] != image.shape[:-1]:
        raise ValueError("text has shape %s and image has shape %s" % (text.shape, image.shape))
    columns = []
    for features in (text, image):
        features = np.moveaxis(features.astype(np.float64), -1, 0)
        if l2_normalize:
            length = np.sqrt((features**2).sum(axis=0))
            features = np.divide(features, length, out=np.zeros_like(features), where=length != 0)
        columns.extend(features)
    fused = np.zeros((len(columns), *text.shape[:-1]))
    for index, column in enumerate(columns):
        fused[index] = column
    return np.ascontiguousarray(np.moveaxis(fused, 0, -1).astype(common))
""",
    ),
]
