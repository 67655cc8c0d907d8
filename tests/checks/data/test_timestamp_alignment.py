"""Checks of data/timestamp_alignment. Expected positions come from looking at every pair, in exact fractions.

Times are multiples of 1/64 or 1/1024, so that distances are exact, ties are ties, and the order of operations is free.
"""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "timestamps_for_photos": False,
    "attention_repairs_pairs": False,
    "second_task_repairs_pairs": False,
    "filter_loses_nothing": False,
    "offset_goes_unnoticed": True,
    "drift_is_no_offset": True,
    "batch_has_false_negatives": True,
    "tolerance_only_adds": True,
}
NEAREST = "the nearest reference is the last one before the query or the first one after it, whichever is closer"
OFFSET = "reference j happened at ref_t[j] + offset on the clock of the queries"


def expected_positions(query, ref, tolerance, offset=0.0):
    """The definition, one pair at a time: `min` keeps the first of equal distances, and that is the earlier one."""
    positions = []
    for time in map(float, query):
        gaps = [abs(time - (float(reference) + offset)) for reference in ref]
        best = min(range(len(gaps)), key=gaps.__getitem__, default=None)
        positions.append(best if best is not None and gaps[best] <= tolerance else -1)
    return np.array(positions, dtype=np.int64)


def assert_positions(found, expected, what, cause=""):
    assert_shape(found, expected.shape, what=what)
    assert_dtype(found, np.int64, what=what)
    assert_equal(found, expected, what=what, cause=cause)


def arguments_after_the_call(student, query, ref):
    """Probe: the arguments, after the function has had them."""
    student.align_nearest(query, ref, 0.5, 0.25)
    return query, ref


def align_nearest_of_long_streams(student, steps, jitter):
    """Probe: how many of as many queries as references, in mixed order, find their own reference."""
    import numpy as np

    ref = np.arange(len(steps)) / 32
    found = student.align_nearest(steps / 32 + jitter, ref, 0.5)
    return int((np.asarray(found) == steps).sum())


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    ref, query = [1.0, 1.5, 4.0, 4.0, 6.0], [5.0, 0.25, 1.375, 8.0, 4.25, 2.25]
    found = student.align_nearest(query, ref, tolerance=1.0)
    assert_positions(found, np.array([2, 0, 1, -1, 2, 1]), "result of the first example")
    found = student.align_nearest(query, ref, tolerance=1.0, offset=0.5)
    assert_positions(found, np.array([2, -1, 0, -1, 2, 1]), "result of the example with offset=0.5")


@points(3)
@catches("claims-as-published", "join-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "paired-by-row",
    "previous-only",
    "next-only",
    "each-reference-once",
    "queries-sorted",
    "times-returned",
    "computed-in-the-input-type",
    "rounded-to-float32",
)
def test_the_nearer_neighbour_is_found(student, rng):
    """Every query finds the nearest reference, before or after it, also beyond both ends of the references."""
    ref = np.sort(rng.choice(np.arange(64, 640), size=9, replace=False)) / 64  # from 1 to 10, all different
    middle = rng.uniform(0.1, 0.4, size=8) * np.diff(ref)
    query = np.concatenate([ref[:-1] + middle, ref[1:] - middle, [0.25, -3.0, 10.5, 14.0], ref[[2, 2, 5]]])
    query = np.round(query * 1024) / 1024
    query = query[rng.permutation(query.size)]
    what = f"result of align_nearest for {query.size} queries and 9 references, tolerance 100"
    expected = expected_positions(query, ref, 100.0)
    assert_positions(student.align_nearest(query, ref, 100.0), expected, what, NEAREST)
    assert_positions(student.align_nearest(query.tolist(), ref.tolist(), 100), expected, f"{what} (lists)", NEAREST)
    assert_positions(student.align_nearest([2.0], [5.0], 10.0), np.array([0]), "result for 1 query and 1 reference")

    whole = {"query": rng.permutation(np.arange(0, 250, 7)), "ref": np.sort(rng.choice(125, size=8, replace=False)) * 2}
    for dtype in (np.int64, np.uint8, np.float32):
        query, ref = whole["query"].astype(dtype), whole["ref"].astype(dtype)
        found = student.align_nearest(query, ref, 1000.0)
        what = f"result of align_nearest for {query.size} queries and 8 references, all {np.dtype(dtype).name}"
        assert_positions(found, expected_positions(query, ref, 1000.0), what, "times are compared in float64")
    # seconds since 1970: float32 would round them to multiples of 128
    start = 1.7e9
    ref = start + np.arange(7) * 10.0
    query = start + np.array([33.0, 4.0, 47.0, 61.0, 18.0])
    found = student.align_nearest(query, ref, 6.0)
    assert_positions(found, np.array([3, 0, 5, 6, 2]), "result for times near 1.7e9", "times are compared in float64")


@points(1)
@catches("tolerance-ignored", "tolerance-exclusive", "half-the-tolerance", "marked-with-another-number")
def test_the_tolerance_is_the_largest_distance_that_counts(student, rng):
    """A reference at exactly the tolerance counts, one a little farther away gives -1."""
    ref = np.array([0.0, 3.0, 10.0, 20.0])
    step = 1 / 64
    for tolerance in (0.5, 1.25, 0.0):
        query = np.concatenate([10 + tolerance + step * np.arange(-1, 2), 20 - tolerance + step * np.arange(-1, 2)])
        query = np.concatenate([query, [-tolerance, -tolerance - step, 20 + tolerance, 20 + tolerance + step]])
        query = query[rng.permutation(query.size)]
        found = student.align_nearest(query, ref, tolerance)
        what = f"result of align_nearest({query.tolist()}, {ref.tolist()}, {tolerance})"
        assert_positions(
            found, expected_positions(query, ref, tolerance), what, "a distance of exactly the tolerance counts"
        )
    found = student.align_nearest([-1e6, 14.5, 1e6], ref, math.inf)
    assert_positions(found, np.array([0, 2, 3]), "result for an infinite tolerance")


@points(1)
@catches("later-in-a-tie", "last-of-equal-times")
def test_ties_go_to_the_earlier_and_the_first(student, rng):
    """Of two references at the same distance the earlier counts, and of equal times the first."""
    ref = np.array([1.0, 1.0, 1.0, 3.0, 3.0, 6.0, 8.0, 8.0])
    query = np.array([2.0, 4.5, 7.0, 1.0, 3.0, 8.0, 1.25, 2.75, 3.5, 5.75, 7.5, 9.0, 0.0])
    for shift in (0.0, float(rng.integers(-640, 640)) / 64):
        found = student.align_nearest(query + shift, ref + shift, 5.0)
        what = f"result of align_nearest({(query + shift).tolist()}, {(ref + shift).tolist()}, 5.0)"
        cause = "the earlier of two at the same distance, the first of equal times"
        assert_positions(found, expected_positions(query, ref, 5.0), what, cause)
    found = student.align_nearest([5.0, 4.0], [5.0] * 6, 2.0)
    assert_positions(found, np.array([0, 0]), "result for six references with one time", "of equal times the first")


@points(1)
@catches("offset-subtracted", "offset-ignored", "offset-after-the-search")
@given(
    query=st.lists(st.integers(-200, 200), max_size=6),
    ref=st.lists(st.integers(-200, 200), min_size=1, max_size=6).map(sorted),
    offset=st.integers(-150, 150).filter(bool),
    tolerance=st.integers(0, 100),
)
def test_the_offset_moves_the_references(student, query, ref, offset, tolerance):
    """Reference j counts at ref_t[j] + offset, and moving both clocks alike changes nothing."""
    query, ref, offset = [time / 64 for time in query], [time / 64 for time in ref], offset / 64
    tolerance = (tolerance + 0.5) / 64  # never exactly a distance
    expected = expected_positions(query, ref, tolerance, offset)
    found = student.align_nearest(query, ref, tolerance, offset)
    call = f"align_nearest({query}, {ref}, {tolerance}, offset={offset})"
    assert_positions(found, expected, f"result of {call}", OFFSET)
    moved = [time + offset for time in query]
    found = student.align_nearest(moved, ref, tolerance, offset=offset)
    what = f"result of align_nearest({moved}, {ref}, {tolerance}, offset={offset})"
    assert_positions(found, expected_positions(query, ref, tolerance), what, OFFSET)


@points(1)
@catches("table-of-all-pairs")
def test_long_streams_are_aligned(student, rng):
    """100 000 queries find their references among 100 000, without a table of all pairs."""
    steps = rng.permutation(100_000)
    jitter = rng.integers(-15, 16, size=steps.size) / 1024  # less than half an interval of 1/32
    right = student.run(align_nearest_of_long_streams, steps, jitter)
    if right != steps.size:
        raise AssertionError(f"{right} of {steps.size} queries found their reference; all of them should. {NEAREST}.")


@points(1)
@catches(
    "sorted-in-silence",
    "order-unchecked",
    "not-a-number-accepted",
    "negative-tolerance-accepted",
    "nan-tolerance-accepted",
    "no-references-crash",
    "repeats-refused",
)
def test_empty_and_bad_input(student):
    """Empty streams are fine; unsorted references and times, tolerances and offsets that are none are refused."""
    empty = np.zeros(0)
    found = student.align_nearest([1.0, 2.0, 0.5], empty, 1.0)
    assert_positions(found, np.array([-1, -1, -1]), "result without references")
    assert_positions(student.align_nearest([1.0], [], math.inf), np.array([-1]), "result without references")
    assert_positions(student.align_nearest(empty, [1.0, 2.0], 1.0), np.zeros(0, np.int64), "result without queries")
    assert_positions(student.align_nearest([], [], 1.0), np.zeros(0, np.int64), "result without both")
    assert_positions(
        student.align_nearest([3.0, 2.0], [2.0, 2.0, 2.0], 0.5), np.array([-1, 0]), "result of equal times"
    )

    nan, inf = math.nan, math.inf
    refused = [
        ([1.0, 2.0], [2.0, 1.0], 1.0, 0.0),
        ([1.0, 2.0], [1.0, 3.0, 2.0, 4.0], 1.0, 0.0),
        ([1.0], [3.0, 2.0, 1.0], 1.0, 0.0),
        ([], [2.0, 1.0], 1.0, 0.0),
        ([1.0, nan], [1.0, 2.0], 1.0, 0.0),
        ([1.0, 2.0], [1.0, nan], 1.0, 0.0),
        ([1.0, 2.0], [nan], 1.0, 0.0),
        ([1.0, inf], [1.0, 2.0], 1.0, 0.0),
        ([1.0, 2.0], [-inf, 2.0], 1.0, 0.0),
        ([1.0, 2.0], [1.0, 2.0], -0.5, 0.0),
        ([1.0, 2.0], [1.0, 2.0], nan, 0.0),
        ([1.0, 2.0], [], -0.5, 0.0),
        ([1.0, 2.0], [1.0, 2.0], 1.0, nan),
        ([1.0, 2.0], [1.0, 2.0], 1.0, inf),
        ([[1.0, 2.0]], [1.0, 2.0], 1.0, 0.0),
        ([1.0, 2.0], [[1.0, 2.0]], 1.0, 0.0),
        (1.0, [1.0, 2.0], 1.0, 0.0),
        ([1.0], 1.0, 1.0, 0.0),
    ]
    for query, ref, tolerance, offset in refused:
        with raises(ValueError, what=f"align_nearest({query}, {ref}, {tolerance}, offset={offset})"):
            student.align_nearest(query, ref, tolerance, offset)

    before = np.array([2.0, 1.0, 5.0]), np.array([0.5, 1.5, 1.5, 4.0])
    after = student.run(arguments_after_the_call, *[value.copy() for value in before])
    for name, left, right in zip(("query_t", "ref_t"), after, before, strict=True):
        assert_unchanged(left, right, what=f"argument {name}")
