"""What a check file imports: marks, comparison and the values that cross from the student's process."""

from grader.checking.claims import assert_claims
from grader.checking.comparison import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    raises,
)
from grader.checking.marks import catches, points, visible
from grader.sandbox.wire import TensorFlowTensor

__all__ = [
    "TensorFlowTensor",
    "assert_claims",
    "assert_close",
    "assert_dtype",
    "assert_equal",
    "assert_shape",
    "assert_unchanged",
    "catches",
    "points",
    "raises",
    "visible",
]
