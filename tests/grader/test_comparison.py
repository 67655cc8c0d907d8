"""Comparisons: what passes, what fails, and that the message says where, how far apart, and what was expected."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from grader.checking import (
    TensorFlowTensor,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    raises,
)
from grader.checking.comparison import Mismatch, dtype_name, to_array
from grader.sandbox.proxy import NotWrittenYet, RemoteObject, Session, StudentRaised, StudentTimeout
from grader.sandbox.wire import HandleReference

NAN, INF = math.nan, math.inf
QUICK = settings(deadline=None, max_examples=60, database=None)


def mismatch(check, *arguments, **keywords) -> Mismatch:
    with pytest.raises(Mismatch) as caught:
        check(*arguments, **keywords)
    return caught.value


@pytest.fixture
def handle():
    """An object of the submission's; asking it for anything at all fails the test."""

    class Untouched:
        def request(self, message):
            raise AssertionError(f"the comparison asked the submission: {message}")

    session = Session()
    session.transport = Untouched()
    return RemoteObject(session, HandleReference(1, ("__main__.Answer", "builtins.object")), "answer")


class TestClose:
    @pytest.mark.parametrize(
        ("actual", "expected"),
        [
            (1, 1.0),
            (1.0, 1),
            (True, 1),
            (2, np.int64(2)),
            (np.float32(0.1), 0.1),
            ([1, 2.5], np.array([1, 2.5])),
            ([[1, 2], [3, 4]], torch.tensor([[1, 2], [3, 4]])),
            (torch.tensor([0.5], requires_grad=True), [0.5]),
            (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
            (TensorFlowTensor(np.float32([1, 2])), np.array([1.0, 2.0])),
            (1 + 2j, np.complex64(1 + 2j)),
            ([NAN, INF, -INF], np.array([NAN, INF, -INF])),
            (complex(NAN, 1), complex(NAN, 1)),
            ([], np.zeros(0)),
            (np.zeros((0, 3)), np.ones((0, 3))),
            (0.0, -0.0),
        ],
        ids=str,
    )
    def test_passes(self, actual, expected):
        assert_close(actual, expected)

    @pytest.mark.parametrize(
        ("actual", "expected", "said"),
        [
            (2, 3, "The result differs from what is expected: it is 2, expected 3."),
            (0.123456789, 0.5, "it is 0.123457, expected 0.5."),
            ([1, 2, 4, 9], [1, 2, 3, 7], "at index 2: it is 4, expected 3.\n2 of 4 values differ; the largest"),
            ([1, 2, 4, 9], [1, 2, 3, 7], "the largest difference is 2."),
            (np.ones((2, 3)), [[1, 1, 1], [1, 2, 1]], "at index (1, 1): it is 1, expected 2.\n1 of 6 values differ"),
            (torch.tensor([[0.25]]), [[0.5]], "at index (0, 0): it is 0.25, expected 0.5."),
            (NAN, 1.0, "it is nan, expected 1."),
            (
                [1.0, NAN],
                [1.0, 2.0],
                "at index 1: it is nan, expected 2.\n1 of 2 values differ; the largest difference is not",
            ),
            ([1.0, 2.0], [1.0, NAN], "it is 2, expected nan."),
            ([INF, 1], [1.0, 1], "it is inf, expected 1.\n1 of 2 values differ; the largest difference is inf."),
            ([INF, INF], [INF, -INF], "at index 1: it is inf, expected -inf."),
            ([1e308, 0], [-1e308, 0], "the largest difference is inf."),
            (1 + 2j, 1 - 2j, "it is (1+2j), expected (1-2j)."),
            (1 + 2j, 1.0, "it is (1+2j), expected 1."),
            (TensorFlowTensor(np.array([1.0, 5.0])), [1, 2], "at index 1: it is 5, expected 2."),
            (True, 0, "it is True, expected 0."),
            (np.uint8([0, 255]), np.uint8([255, 255]), "the largest difference is 255."),
        ],
        ids=str,
    )
    def test_says_where_and_how_far(self, actual, expected, said):
        assert said in str(mismatch(assert_close, actual, expected))

    @pytest.mark.parametrize(
        ("actual", "expected", "said"),
        [
            ([1, 2], [1, 2, 3], "The result has shape (2,); it should be (3,)."),
            (np.ones((2, 1)), np.ones(2), "The result has shape (2, 1); it should be (2,)."),
            (np.zeros((0, 3)), np.zeros((3, 0)), "The result has shape (0, 3); it should be (3, 0)."),
            (1.0, [1.0], "The result has shape (); it should be (1,)."),
            (None, 1, "The result should be numbers; it is None."),
            ("1", 1, "The result should be numbers; it is '1'."),
            ({"a": 1}, 1, "The result should be numbers; it is {'a': 1}."),
            ([1, "a"], [1, 2], "The result should be numbers; it is [1, 'a']."),
            ([[1], [2, 3]], [1], "The result should be numbers; it is [[1], [2, 3]]."),
            (np.array(["a", "b"]), [1, 2], "The result should be numbers; it is <U1 (2,)."),
            (TensorFlowTensor(np.array(["a"])), [1], "The result should be numbers; it is TensorFlow str"),
        ],
        ids=str,
    )
    def test_looks_at_the_kind_and_the_shape_first(self, actual, expected, said):
        assert said in str(mismatch(assert_close, actual, expected))

    def test_an_object_of_the_submission_is_no_number(self, handle):
        assert str(mismatch(assert_close, handle, 1.0)) == "The result should be numbers; it is <Answer>."

    def test_names_the_value_and_the_cause(self):
        error = mismatch(assert_close, [1.0, 2.0], [1.0, 3.0], what="output", cause="the scores are not scaled")
        assert str(error).startswith("The output differs from what is expected at index 1: it is 2, expected 3.\n")
        assert str(error).endswith("\nLikely cause: the scores are not scaled")
        assert (error.expected, error.actual) == ("3 at index 1", "2 at index 1")

    @pytest.mark.parametrize(
        ("dtype", "within", "beyond"),
        [
            (torch.float64, 5e-10, 2e-9),
            (torch.float32, 5e-6, 3e-5),
            (torch.float16, 1e-3, 8e-3),
            (torch.bfloat16, 1e-2, 8e-2),
        ],
        ids=str,
    )
    def test_tolerance_follows_the_precision(self, dtype, within, beyond):
        # the values are exact multiples of two plus the error, computed in float64 for the other side
        value, other = torch.tensor([4.0], dtype=dtype), torch.float32 if dtype.itemsize < 4 else torch.float64
        assert_close(torch.tensor([4 * (1 + within)], dtype=other), value)
        mismatch(assert_close, torch.tensor([4 * (1 + beyond)], dtype=other), value)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_an_answer_cannot_loosen_its_check_by_coming_in_half_precision(self, dtype):
        assert_close(torch.tensor([4.0], dtype=dtype), np.array([4.0]))
        mismatch(assert_close, torch.tensor([4.0], dtype=dtype), np.array([4.004]))

    @pytest.mark.parametrize("swap", [False, True])
    def test_the_coarser_of_two_precisions_decides(self, swap):
        pair = (np.float32([1.000004]), np.float64([1.0]))
        assert_close(*(pair[::-1] if swap else pair))
        mismatch(assert_close, np.float64([1.000004]), np.float64([1.0]))

    def test_precision_of_the_arrays_in_a_list_counts(self):
        assert_close([torch.tensor(0.1), torch.tensor(0.2)], [0.1, 0.2])
        mismatch(assert_close, [0.1 + 1e-7], [0.1])

    def test_tensorflows_bfloat16_is_known_by_its_name(self):
        expected = TensorFlowTensor(np.float32([1.0]), "bfloat16")
        assert_close(TensorFlowTensor(np.float32([1.01]), "bfloat16"), expected)
        mismatch(assert_close, TensorFlowTensor(np.float32([1.1]), "bfloat16"), expected)
        mismatch(assert_close, TensorFlowTensor(np.float32([1.01])), [1.0])

    def test_given_tolerances_win(self):
        assert_close(1.05, 1.0, rtol=0.1)
        assert_close(0.05, 0.0, atol=0.1)
        mismatch(assert_close, np.float32(1.000001), 1.0, rtol=0, atol=1e-9)

    def test_relative_tolerance_is_of_the_expected_value(self):
        assert_close(90.0, 100.0, rtol=0.1, atol=0)
        mismatch(assert_close, 100.0, 90.0, rtol=0.1, atol=0)

    def test_digits_that_tell_two_numbers_apart_are_shown(self):
        assert "it is 1.00000001, expected 1.0." in str(mismatch(assert_close, 1.00000001, 1.0))

    @QUICK
    @given(
        arrays_of.arrays(np.float64, st.just((3, 2)), elements=st.floats(-1e3, 1e3)),
        st.integers(0, 5),
        st.floats(0.01, 100),
    )
    def test_one_changed_value_is_found_at_its_place(self, array, place, change):
        assert_close(array.copy(), array)
        changed = array.copy()
        changed.flat[place] += change
        index = tuple(int(axis) for axis in np.unravel_index(place, array.shape))
        message = str(mismatch(assert_close, changed, array))
        assert f"at index {index}:" in message
        assert "1 of 6 values differ" in message


class TestEqual:
    @pytest.mark.parametrize(
        ("actual", "expected"),
        [
            (1, 1),
            (1.0, 1),
            (np.int32(3), 3),
            (10**30, 10**30),
            (NAN, NAN),
            (1j, 1j),
            (True, True),
            (np.bool_(True), True),
            (True, np.bool_(True)),
            ("text", "text"),
            (np.str_("text"), "text"),
            ("text", np.str_("text")),
            (b"bytes", b"bytes"),
            (None, None),
            ({1, 2}, {2, 1}),
            ([1, "a", None], (1, "a", None)),
            ({"a": [1, 2], "b": {"c": 0.5}}, {"b": {"c": 0.5}, "a": [1, 2]}),
            (np.array([1, 2]), np.array([1, 2])),
            (np.array([[True]]), np.array([[True]])),
            (np.array(["a", "b"]), np.array(["a", "b"])),
            (torch.tensor([1.5]), torch.tensor([1.5])),
            (TensorFlowTensor(np.array([1])), np.array([1])),
            ([], []),
            ({}, {}),
        ],
        ids=str,
    )
    def test_passes(self, actual, expected):
        assert_equal(actual, expected)

    @pytest.mark.parametrize(
        ("actual", "expected", "said"),
        [
            (2, 3, "The result is 2; it should be 3."),
            (2.5, 3, "The result differs from what is expected: it is 2.5, expected 3."),
            (2**53 + 1, 2**53, "The result is 9007199254740993; it should be 9007199254740992."),
            (10**30, 10**30 + 1, "it should be 1000000000000000000000000000001."),
            (1, True, "The result is 1; it should be True."),
            (np.array(True), True, "The result is bool (); it should be True."),
            (False, True, "The result is False; it should be True."),
            (0.1 + 0.2, 0.3, "it is 0.30000000000000004, expected 0.3."),
            (1 + 1j, 1 - 1j, "it is (1+1j), expected (1-1j)."),
            ("Text", "text", "The result is 'Text'; it should be 'text'."),
            ("text", b"text", "The result is 'text'; it should be b'text'."),
            ("1", 1, "The result should be numbers; it is '1'."),
            (None, 0, "The result should be numbers; it is None."),
            (0, None, "The result is 0; it should be None."),
            ({1}, {1, 2}, "The result is set; it should be set."),
            ("ab", ["a", "b"], "The result should be a sequence; it is 'ab'."),
            ([1, 2], [1, 2, 3], "The result has 2 items; it should have 3."),
            ([1, [2, 4]], [1, [2, 3]], "The result[1][1] is 4; it should be 3."),
            (["a", "a", "c"], ["a", "b"], "it should have 2 (too many: 'a', 'c'; missing: 'b')."),
            ([("k", 1)], {"k": 1}, "The result should be a dict; it is [('k', 1)]."),
            ({"a": 1, "z": 0}, {"a": 1, "b": 2, "c": 3}, "The result lacks b, c and has z too many."),
            (
                {"a": {"b": 1.0}},
                {"a": {"b": 2.0}},
                "The result['a']['b'] differs from what is expected: it is 1, expected 2.",
            ),
            (np.array([1, 2]), np.array([1, 3]), "at index 1: it is 2, expected 3."),
            (np.array([2**53 + 1, 0]), np.array([2**53, 0]), "1 of 2 values differ; the largest difference is 1."),
            (np.array(["a", "c"]), np.array(["a", "b"]), "The result[1] is 'c'; it should be 'b'."),
            (np.array(["a"]), np.array(["a", "b"]), "The result has 1 item; it should have 2 (missing: 'b')."),
            (5, np.array(["a"]), "The result should be an array of text; it is 5."),
            (np.array([1.0 + 1e-12]), np.array([1.0]), "differs from what is expected at index 0"),
        ],
        ids=str,
    )
    def test_says_what_is_wrong_and_where(self, actual, expected, said):
        assert said in str(mismatch(assert_equal, actual, expected))

    def test_a_part_of_what_has_several_words_is_told_in_words(self):
        error = mismatch(assert_equal, [{"a": 1}], [{"a": 2}], what="list of shapes")
        assert str(error) == "The item [0]['a'] of the list of shapes is 1; it should be 2."

    def test_names_the_value_and_the_cause(self):
        error = mismatch(assert_equal, {"a": 1}, {"a": 2}, what="history", cause="counted twice")
        assert str(error) == "The history['a'] is 1; it should be 2.\nLikely cause: counted twice"
        assert (error.expected, error.actual) == ("2", "1")

    def test_an_object_of_the_submission_equals_nothing(self, handle):
        for expected in (1, "a", None, True, np.ones(2), [1], {"a": 1}, np.array(["a"])):
            assert "<Answer>" in str(mismatch(assert_equal, handle, expected))

    def test_long_values_are_shortened(self):
        assert len(str(mismatch(assert_equal, "x" * 10_000, "y"))) < 200

    @QUICK
    @given(st.recursive(st.integers() | st.text() | st.booleans(), lambda inner: st.lists(inner, max_size=4)))
    def test_anything_equals_itself(self, value):
        assert_equal(value, value)


class TestShape:
    @pytest.mark.parametrize(
        ("actual", "shape"),
        [
            (np.zeros((2, 3)), (2, 3)),
            (torch.zeros(0, 4), (0, 4)),
            (TensorFlowTensor(np.zeros(5)), (5,)),
            (np.float32(1), ()),
            (1.5, ()),
            ([[1, 2]], (1, 2)),
        ],
        ids=str,
    )
    def test_passes(self, actual, shape):
        assert_shape(actual, shape)

    def test_says_both_shapes(self):
        error = mismatch(assert_shape, torch.zeros(2, 3), (3, 2), what="weights", cause="transposed")
        assert str(error) == "The weights has shape (2, 3); it should be (3, 2).\nLikely cause: transposed"
        assert (error.expected, error.actual) == ("(3, 2)", "(2, 3)")

    @pytest.mark.parametrize("actual", [None, "text", {"a": 1}, [[1], [2, 3]]], ids=str)
    def test_what_is_no_array_is_described(self, actual):
        assert "The result should be an array; it is " in str(mismatch(assert_shape, actual, (1,)))

    def test_an_object_of_the_submission_is_no_array(self, handle):
        assert str(mismatch(assert_shape, handle, (1,))) == "The result should be an array; it is <Answer>."


class TestDtype:
    @pytest.mark.parametrize(
        ("actual", "dtypes"),
        [
            (np.zeros(2), ["float64"]),
            (np.zeros(2, ">f4"), ["float32"]),
            (torch.zeros(2, dtype=torch.bfloat16), ["bfloat16"]),
            (TensorFlowTensor(np.float32([1]), "bfloat16"), ["bfloat16"]),
            (np.int64(1), ["int32", np.int64]),
            (1.5, ["float"]),
            ([1], ["list"]),
        ],
        ids=str,
    )
    def test_passes(self, actual, dtypes):
        assert_dtype(actual, *dtypes)

    def test_says_both_types(self):
        error = mismatch(assert_dtype, torch.zeros(1), "float64", "int64", what="mask", cause="a cast is missing")
        assert str(error) == "The mask is float32; it should be float64 or int64.\nLikely cause: a cast is missing"
        assert (error.expected, error.actual) == ("float64 or int64", "float32")

    def test_an_object_of_the_submission_is_not_asked(self, handle):
        assert dtype_name(handle) == "RemoteObject"
        assert "The result is RemoteObject; it should be float32." in str(mismatch(assert_dtype, handle, "float32"))


class TestUnchanged:
    @pytest.mark.parametrize(
        "value", [np.array([1.0, NAN]), torch.tensor([1, 2]), [1, 2], TensorFlowTensor(np.ones(2)), 5], ids=str
    )
    def test_passes(self, value):
        assert_unchanged(value, value)

    @pytest.mark.parametrize(
        ("after", "before"),
        [
            (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-15])),
            (np.array([1.0]), np.array([NAN])),
            (np.zeros((1, 2)), np.zeros((2, 1))),
            ([1, 2, 3], [1, 2]),
        ],
        ids=str,
    )
    def test_says_so(self, after, before):
        message = str(mismatch(assert_unchanged, after, before, what="query"))
        assert message.startswith("The query was changed in place; it must stay as it was.")
        assert message.endswith("Likely cause: an in-place operation")

    def test_something_else_in_its_place(self):
        assert str(mismatch(assert_unchanged, {"a": 1}, [1])) == "The argument was changed: it is now {'a': 1}."


class TestToArray:
    def test_tensors_lose_their_gradients_and_bfloat16_is_widened(self):
        array = to_array(torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True))
        assert (array.dtype, array.tolist()) == (np.float32, [1.5])

    @pytest.mark.parametrize("value", ["a", None, {1}, {"a": 1}, [None]], ids=str)
    def test_what_holds_no_numbers(self, value):
        with pytest.raises(TypeError, match="is not an array of numbers"):
            to_array(value)


class TestRaises:
    @staticmethod
    def raised(class_name: str, *bases: str, message: str = "no") -> StudentRaised:
        return StudentRaised("f(1)", {"class": class_name, "bases": [class_name, *bases], "message": message})

    def test_the_class_itself_a_subclass_and_any_of_several(self):
        error = self.raised("MyError", "ValueError", "Exception")
        for wanted in (["MyError"], [ValueError], [KeyError, "ValueError"], [Exception]):
            with raises(*wanted) as caught:
                raise error
            assert caught.error is error

    def test_another_class(self):
        with pytest.raises(Mismatch) as caught, raises(ValueError, KeyError, what="a negative width"):
            raise self.raised("TypeError", "Exception", message="bad operand")
        message = "a negative width should raise ValueError or KeyError; it raised TypeError: bad operand"
        assert str(caught.value) == message
        assert (caught.value.expected, caught.value.actual) == ("ValueError or KeyError", "TypeError")

    def test_no_error(self):
        with pytest.raises(Mismatch) as caught, raises(ValueError):
            pass
        assert str(caught.value) == "this call should raise ValueError; it returned without an error."
        assert caught.value.actual == "no error"

    def test_the_stub_never_counts(self):
        with pytest.raises(NotWrittenYet), raises(NotImplementedError, Exception):
            raise NotWrittenYet("f is not written yet")

    def test_a_process_that_cannot_answer_never_counts(self):
        with pytest.raises(StudentTimeout), raises(Exception):  # noqa: B017
            raise StudentTimeout("no answer")

    def test_an_error_of_the_check_is_not_the_submissions(self):
        with pytest.raises(ZeroDivisionError), raises(ZeroDivisionError):
            _ = 1 / 0
