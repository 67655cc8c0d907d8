"""Comparisons that explain themselves: type, shape and dtype first, then values, then where they first differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from grader.checking.record import LIKELY_CAUSE
from grader.sandbox.proxy import NotWrittenYet, RemoteObject, StudentRaised, describe_value
from grader.sandbox.wire import TensorFlowTensor

# (relative, absolute) by the precision of the result
_TOLERANCES = {
    "float64": (1e-9, 1e-12),
    "complex128": (1e-9, 1e-12),
    "float32": (1e-5, 1e-6),
    "complex64": (1e-5, 1e-6),
    "float16": (2e-3, 1e-3),
    "bfloat16": (2e-2, 1e-2),
}
_HALF = {"float16", "bfloat16"}


class Mismatch(AssertionError):
    """A comparison that failed, with short summaries of both sides for the report."""

    def __init__(self, message: str, expected: str = "", actual: str = "", cause: str = "") -> None:
        self.expected, self.actual = expected, actual
        super().__init__(message + (f"\n{LIKELY_CAUSE}{cause}" if cause else ""))


def dtype_name(value: Any) -> str:
    """Name of a value's dtype ("float32"), or of its Python type."""
    if not isinstance(value, RemoteObject) and hasattr(value, "dtype"):  # an object over there is not asked for one
        return str(getattr(value.dtype, "name", value.dtype)).removeprefix("torch.")
    return type(value).__name__


def to_array(value: Any) -> np.ndarray:
    """The numbers in a value as a NumPy array. Raises TypeError for a value that has none."""
    if isinstance(value, TensorFlowTensor):
        return value.array
    if type(value).__module__ == "torch" or type(value).__module__.startswith("torch."):
        plain = value.detach()
        return plain.float().numpy() if dtype_name(value) == "bfloat16" else plain.numpy()
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return np.asarray([to_array(item) for item in value])
    raise TypeError(f"a {type(value).__name__} is not an array of numbers")


def _default_tolerance(actual: list[Any], expected: list[Any]) -> tuple[float, float]:
    """The tolerance of the coarsest precision; a half precision counts only where it was expected.

    Otherwise an answer could loosen its own check by being returned in float16.
    """
    wanted = {dtype_name(value) for value in expected}
    found = {dtype_name(value) for value in actual}
    if not wanted & _HALF:
        found -= _HALF
    known = [_TOLERANCES[name] for name in wanted | found if name in _TOLERANCES]
    return max(known, default=_TOLERANCES["float64"])


def _numbers(found: Any, wanted: Any) -> tuple[str, str]:
    """Two numbers for a message, in six digits where that is enough to tell them apart."""
    short = [f"{value:.6g}" if isinstance(value, float | np.floating) else str(value) for value in (found, wanted)]
    return (short[0], short[1]) if short[0] != short[1] else (str(found), str(wanted))


def assert_shape(actual: Any, shape: tuple[int, ...], *, what: str = "result", cause: str = "") -> None:
    """Fail unless `actual` is an array or tensor of exactly that shape."""
    try:
        has_shape = not isinstance(actual, RemoteObject) and hasattr(actual, "shape")
        found = tuple(actual.shape if has_shape else to_array(actual).shape)
    except (TypeError, ValueError):
        raise Mismatch(f"The {what} should be an array; it is {describe_value(actual)}.", cause=cause) from None
    if found != tuple(shape):
        raise Mismatch(
            f"The {what} has shape {found}; it should be {tuple(shape)}.", str(tuple(shape)), str(found), cause
        )


def assert_dtype(actual: Any, *dtypes: str | type | np.dtype, what: str = "result", cause: str = "") -> None:
    """Fail unless the dtype of `actual` is one of `dtypes`, such as "float32" or `np.float32`."""
    found = dtype_name(actual)
    names = [dtype if isinstance(dtype, str) else np.dtype(dtype).name for dtype in dtypes]
    if found not in names:
        wanted = " or ".join(names)
        raise Mismatch(f"The {what} is {found}; it should be {wanted}.", wanted, found, cause)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    what: str = "result",
    cause: str = "",
) -> None:
    """Fail unless two arrays, tensors or numbers have one shape and agree within tolerance; NaN equals NaN.

    By default the tolerance follows the coarser of the two precisions. `what` names the value in the message, `cause`
    is the most likely mistake in words.
    """
    try:
        found = to_array(actual)
    except (TypeError, ValueError):
        raise Mismatch(f"The {what} should be numbers; it is {describe_value(actual)}.", cause=cause) from None
    wanted = to_array(expected)
    if found.dtype.kind not in "biufc":
        raise Mismatch(f"The {what} should be numbers; it is {describe_value(actual)}.", cause=cause)
    if found.shape != wanted.shape:
        raise Mismatch(
            f"The {what} has shape {found.shape}; it should be {wanted.shape}.",
            str(wanted.shape),
            str(found.shape),
            cause,
        )
    default_rtol, default_atol = _default_tolerance([actual, found], [expected, wanted])
    relative = default_rtol if rtol is None else rtol
    absolute = default_atol if atol is None else atol
    kinds = {found.dtype.kind, wanted.dtype.kind}
    if kinds <= set("biu") and not relative and not absolute:
        left, right = found.astype(object), wanted.astype(object)  # float64 knows no integers beyond 2**53
        agree = np.asarray(left == right, dtype=bool)
    else:
        kind: Any = np.complex128 if "c" in kinds else np.float64
        left, right = found.astype(kind), wanted.astype(kind)
        with np.errstate(invalid="ignore", over="ignore"):
            agree = np.isclose(left, right, rtol=relative, atol=absolute, equal_nan=True)
    if agree.all():
        return
    first = tuple(int(axis[0]) for axis in np.nonzero(~agree)) if agree.ndim else ()
    at, (found_here, wanted_here) = "", _numbers(found[first], wanted[first])
    if first:
        at = f" at index {first}" if len(first) > 1 else f" at index {first[0]}"
    lines = [f"The {what} differs from what is expected{at}: it is {found_here}, expected {wanted_here}."]
    if agree.size > 1:
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(left - right)[~agree]
        largest = "not a number" if (gap != gap).any() else f"{gap.max():.3g}"
        lines.append(f"{int((~agree).sum())} of {agree.size} values differ; the largest difference is {largest}.")
    raise Mismatch("\n".join(lines), f"{wanted_here}{at}", f"{found_here}{at}", cause)


def assert_equal(actual: Any, expected: Any, *, what: str = "result", cause: str = "") -> None:
    """Fail unless two plain values are the same: exactly for numbers, text and arrays, item by item for containers."""
    _assert_equal_part(actual, expected, what, "", cause)


def _assert_equal_part(actual: Any, expected: Any, whole: str, place: str, cause: str) -> None:
    """`assert_equal` for the part of `whole` at `place`, such as "[0]['a']"; "" is all of it."""
    what = f"item {place} of the {whole}" if place and " " in whole else f"{whole}{place}"
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            raise Mismatch(f"The {what} should be a dict; it is {describe_value(actual)}.", cause=cause)
        missing, extra = (
            sorted(map(str, expected.keys() - actual.keys())),
            sorted(map(str, actual.keys() - expected.keys())),
        )
        if missing or extra:
            parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} too many"] * bool(extra)
            raise Mismatch(f"The {what} {' and '.join(parts)}.", cause=cause)
        for key, item in expected.items():
            _assert_equal_part(actual[key], item, whole, f"{place}[{key!r}]", cause)
        return
    if isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple):
            raise Mismatch(f"The {what} should be a sequence; it is {describe_value(actual)}.", cause=cause)
        if len(actual) != len(expected):
            difference = _difference_of_names(actual, expected)
            raise Mismatch(
                f"The {what} has {_items(len(actual))}; it should have {len(expected)}{difference}.", cause=cause
            )
        for index, item in enumerate(expected):
            _assert_equal_part(actual[index], item, whole, f"{place}[{index}]", cause)
        return
    if isinstance(expected, np.ndarray | np.generic) and expected.dtype.kind in "US":
        if not isinstance(actual, str | bytes | np.ndarray | np.generic):
            raise Mismatch(f"The {what} should be an array of text; it is {describe_value(actual)}.", cause=cause)
        _assert_equal_part(np.asarray(actual).tolist(), expected.tolist(), whole, place, cause)
        return
    if isinstance(expected, bool | np.bool_):
        same = isinstance(actual, bool | np.bool_) and bool(actual) == bool(expected)
    elif isinstance(expected, int) and isinstance(actual, int):
        same = actual == expected  # of any size
    elif isinstance(expected, int | float | complex | np.generic) or hasattr(expected, "shape"):
        assert_close(actual, expected, rtol=0.0, atol=0.0, what=what, cause=cause)
        return
    else:
        same = isinstance(actual, type(expected)) and bool(actual == expected)  # NumPy's texts are texts
    if not same:
        wanted, found = describe_value(expected), describe_value(actual)
        raise Mismatch(f"The {what} is {found}; it should be {wanted}.", wanted, found, cause)


def assert_unchanged(after: Any, before: Any, *, what: str = "argument") -> None:
    """Fail unless an argument is bit for bit what it was before the call."""
    try:
        left, right = to_array(after), to_array(before)
    except (TypeError, ValueError):
        raise Mismatch(f"The {what} was changed: it is now {describe_value(after)}.") from None
    if left.shape != right.shape or not np.array_equal(left, right, equal_nan=left.dtype.kind in "fc"):
        raise Mismatch(f"The {what} was changed in place; it must stay as it was.", cause="an in-place operation")


class _Raised:
    """What a `raises` block caught."""

    error: StudentRaised | None = None


@contextmanager
def raises(*classes: type[BaseException] | str, what: str = "this call") -> Iterator[_Raised]:
    """Fail unless the submission raises one of the classes (or a subclass) inside the block.

    Classes are compared by name, since the exception itself stays in the student's process. A NotImplementedError of
    the stub never counts.
    """
    names = [entry if isinstance(entry, str) else entry.__name__ for entry in classes]
    wanted = " or ".join(names)
    caught = _Raised()
    try:
        yield caught
    except NotWrittenYet:
        raise
    except StudentRaised as error:
        if not set(names) & set(error.class_names):
            message = f"{what} should raise {wanted}; it raised {error.class_name}: {error.message}"
            raise Mismatch(message, wanted, error.class_name) from None
        caught.error = error
    else:
        raise Mismatch(f"{what} should raise {wanted}; it returned without an error.", wanted, "no error")


def _difference_of_names(actual: Sequence[Any], expected: Sequence[Any]) -> str:
    """Which names are too many and which are missing, where both are lists of names."""
    if not all(isinstance(name, str) for name in (*actual, *expected)):
        return ""
    found, wanted = Counter(actual), Counter(expected)
    parts = [
        f"{words}: {', '.join(map(repr, sorted(names.elements())))}"
        for words, names in (("too many", found - wanted), ("missing", wanted - found))
        if names
    ]
    return f" ({'; '.join(parts)})"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"
