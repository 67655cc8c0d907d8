"""Checks of deployment/dynamic_batching. Expected values come from a calendar of events, worked off one by one.

All times are multiples of 1/8: exact in floating point, so that "exactly at the departure" has one meaning.
"""

import heapq

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "moved_to_a_server": False,
    "lonely_requests": True,
    "fuller_batches": True,
    "mean_bounds_p99": False,
    "mean_of_p99": False,
    "hundred_calls": True,
    "twice_the_load": False,
    "stored_features": True,
}
# likely causes
DUE = "a batch is due when it is full or when its oldest request has waited max_wait since its own arrival"
BUSY = "a batch that is due leaves when the server is free; until then others may join it, up to max_batch"
RANK = "the rank is the smallest whole number r with 100 r >= q N, counted from 1 in the sorted latencies"


# Independent path: a calendar of arrivals, alarms (somebody has waited max_wait) and ends of batches.


def work_off_calendar(arrivals, max_batch, max_wait, base, slope):
    """(finish, batch_sizes): after all events of one moment, send a batch if there is reason and a free server."""
    calendar = [(time, "arrival", i) for i, time in enumerate(arrivals)]
    calendar += [(time + max_wait, "alarm", i) for i, time in enumerate(arrivals)]
    heapq.heapify(calendar)
    finish, batch_sizes, queue, busy = [None] * len(arrivals), [], [], False
    while calendar:
        now = calendar[0][0]
        while calendar and calendar[0][0] == now:
            _, kind, i = heapq.heappop(calendar)
            if kind == "arrival":
                queue.append(i)
            elif kind == "end":
                busy = False
        overdue = any(now - arrivals[i] >= max_wait for i in queue)
        if queue and not busy and (len(queue) >= max_batch or overdue):
            batch, queue = queue[:max_batch], queue[max_batch:]
            end = now + base + slope * len(batch)
            for i in batch:
                finish[i] = end
            batch_sizes.append(len(batch))
            busy = True
            heapq.heappush(calendar, (end, "end", -1))
    return finish, batch_sizes


# Probes: they run in the student's process, where the service time is a function.


def simulate_batching(student, arrivals, max_batch, max_wait, base, slope):
    return student.simulate_batching(arrivals, max_batch, max_wait, lambda b: base + slope * b)


def simulate_batching_with_keywords(student, arrivals, max_batch, max_wait, base, slope):
    return student.simulate_batching(
        arrivals=arrivals, max_batch=max_batch, max_wait=max_wait, service_time=lambda b: base + slope * b
    )


def number(value, call):
    """A single number as a Python float; Python numbers, NumPy scalars and 0-d arrays are all fine."""
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise AssertionError(f"{call} returned {value!r}; it should return a single number.")
    return float(value)


def array_of(served, key, call):
    if not isinstance(served, dict):
        raise AssertionError(f"{call} returned {type(served).__name__}; it should return a dict.")
    if key not in served:
        raise AssertionError(f"{call} returned a dict without {key!r}; it has {sorted(map(str, served))}.")
    if not isinstance(served[key], np.ndarray):
        raise AssertionError(f"The entry {key!r} of {call} is {type(served[key]).__name__}; it should be an array.")
    return served[key]


def assert_served(served, arrivals, finish, batch_sizes, call, cause=""):
    """Compare all three arrays; the sizes first, since the rest follows from them."""
    sizes = array_of(served, "batch_sizes", call)
    text = f"{sizes.tolist()}"[:200]
    if sizes.shape != (len(batch_sizes),) or sizes.tolist() != list(batch_sizes):
        raise AssertionError(
            f"The batch_sizes of {call} are {text}; they should be {list(batch_sizes)}.\nLikely cause: {cause or DUE}"
        )
    close = {"rtol": 1e-9, "atol": 1e-9}
    found = array_of(served, "finish", call)
    assert_shape(found, (len(finish),), what=f"array finish of {call}")
    assert_close(found, np.array(finish, dtype=np.float64), **close, what=f"array finish of {call}", cause=cause)
    latency = array_of(served, "latency", call)
    assert_shape(latency, (len(finish),), what=f"array latency of {call}")
    expected = np.array([end - start for start, end in zip(arrivals, finish, strict=True)], dtype=np.float64)
    assert_close(
        latency,
        expected,
        **close,
        what=f"array latency of {call}",
        cause="a latency runs from the request's own arrival until its batch is finished",
    )


def run_and_compare(student, cases, cause):
    """Each case: arrivals, max_batch, max_wait, base, slope, and the finish times and sizes worked out by hand."""
    for arrivals, max_batch, max_wait, base, slope, finish, sizes in cases:
        call = f"simulate_batching({arrivals}, {max_batch}, {max_wait}, lambda b: {base} + {slope} * b)"
        served = student.run(simulate_batching, arrivals, max_batch, max_wait, base, slope)
        assert_served(served, arrivals, finish, sizes, call, cause)


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    arrivals = [0, 0.25, 0.75, 1, 1.25, 1.5, 4]
    served = student.run(simulate_batching_with_keywords, arrivals, 3, 0.5, 0.5, 0.25)
    call = f"simulate_batching({arrivals}, max_batch=3, max_wait=0.5, service_time=lambda b: 0.5 + 0.25 * b)"
    assert_served(served, arrivals, [1.5, 1.5, 2.75, 2.75, 2.75, 3.5, 5.25], [2, 3, 1, 1], call)
    latency = [1.5, 1.25, 2, 1.75, 1.5, 2, 1.25]
    for q, expected in ((30, 1.5), (75, 2.0)):
        call = f"percentile({latency}, {q})"
        assert_close(number(student.percentile(latency, q), call), expected, what=f"value of {call}", cause=RANK)


@points(3)
@catches("claims-as-published")
def test_claims(student):
    """The eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("waits-for-a-full-batch", "timer-restarts", "no-batching", "leaves-when-the-server-is-free", "last-one-leaves")
def test_a_batch_is_due_when_full_or_old(student):
    """With an idle server a batch leaves when it is full or its oldest request has waited long enough."""
    run_and_compare(
        student,
        [
            # full before anybody has waited long, then a lonely request that waits to the end of its time
            ([0, 0.25, 0.5, 20], 3, 4, 1, 0.5, [3, 3, 3, 25.5], [3, 1]),
            # a stream without pause: each arrival comes soon after the last, the oldest still leaves in time
            ([0, 0.5, 1, 1.5, 2, 2.5], 9, 1.25, 0.25, 0.125, [1.875, 1.875, 1.875, 3.375, 3.375, 3.375], [3, 3]),
            # the last two wait out their time although nobody follows
            ([1, 1.5], 3, 2, 0.5, 0.25, [4, 4], [2]),
        ],
        DUE,
    )


@points(1)
@catches("busy-server-ignored", "batch-grows-beyond-max-batch", "on-board-when-due", "timer-starts-with-a-free-server")
def test_a_busy_server_is_waited_for(student):
    """While the server is busy a batch waits, and those who arrive meanwhile come along, up to max_batch."""
    run_and_compare(
        student,
        [
            # the second batch is due at 1.5, the server is free at 6: the requests of 2 and 4 come along
            ([0, 1, 2, 4, 9], 3, 0.5, 5, 0.5, [6, 12.5, 12.5, 12.5, 18], [1, 3, 1]),
            # five wait when the server is free, only three may go
            ([0, 1, 1.5, 2, 2.5, 3], 3, 0, 4, 1, [5, 12, 12, 12, 18, 18], [1, 3, 2]),
            # free at 2.25, before the second batch is due: its request has waited since 1.5, not since 2.25
            ([0, 1.5, 9], 4, 1, 1, 0.25, [2.25, 3.75, 11.25], [1, 1, 1]),
        ],
        BUSY,
    )


eighths = st.integers(0, 24).map(lambda i: i / 8)


@points(1)
@catches("arrival-at-the-departure-left-behind", "latency-from-the-departure")
@given(
    gaps=st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 5, 12, 40]), max_size=14),
    start=st.integers(-9, 9),
    max_batch=st.integers(1, 5),
    max_wait=eighths,
    base=st.integers(1, 30).map(lambda i: i / 8),
    slope=eighths,
)
@example(gaps=[4, 0, 4, 16], start=3, max_batch=5, max_wait=1.0, base=1.0, slope=0.5)
@example(gaps=[1, 23, 1, 1], start=0, max_batch=3, max_wait=1.25, base=1.0, slope=0.625)
def test_simulation_equals_a_calendar_of_events(student, gaps, start, max_batch, max_wait, base, slope):
    """The simulation agrees with working off arrivals, alarms and ends of batches one by one."""
    arrivals = (np.cumsum([start, *gaps]) / 8).tolist()
    finish, sizes = work_off_calendar(arrivals, max_batch, max_wait, base, slope)
    call = f"simulate_batching({arrivals}, {max_batch}, {max_wait}, lambda b: {base} + {slope} * b)"
    served = student.run(simulate_batching, np.array(arrivals), max_batch, max_wait, base, slope)
    cause = "who arrives exactly at the departure comes along if there is room; nobody overtakes"
    assert_served(served, arrivals, finish, sizes, call, cause)


@points(1)
@catches("mean-as-percentile", "percentile-of-unsorted-latencies", "interpolated", "share-first", "rank-rounded-down")
def test_percentile_is_the_latency_at_the_nearest_rank(student, rng):
    """A percentile is the latency at its rank among all latencies."""
    skewed = [12.5, 3.25, 90.0, 4.75, 8.0, 5.5, 3.5]
    cases = [(skewed, 99), (skewed, 50), (skewed, 15), (skewed, 40), (skewed, 100), (skewed, 0.5), ([2.5], 1)]
    hundred = (rng.permutation(100) + 1.0) / 4  # the value at rank r is r / 4
    cases += [(hundred, q) for q in (7, 14, 28, 55, 56, 99, 12.5, 56.5, 80.5)]
    for latency, q in cases:
        expected = next(sorted(latency)[r - 1] for r in range(1, len(latency) + 1) if 100 * r >= q * len(latency))
        shown = "a permutation of 0.25, 0.5, ..., 25" if len(latency) == 100 else latency
        call = f"percentile({shown}, {q})"
        before = np.array(latency)
        value = number(student.percentile(latency, q), call)
        assert_close(value, float(expected), what=f"value of {call}", cause=RANK)
        assert_unchanged(np.array(latency), before, what="argument latency")


def percentile_and_its_argument(student, latency, q):
    student.percentile(latency, q)
    return latency


def simulate_batching_and_its_argument(student, arrivals, max_batch, max_wait, base, slope):
    served = student.simulate_batching(arrivals, max_batch, max_wait, lambda b: base + slope * b)
    return served, arrivals


@points(1)
@catches("times-in-the-dtype-of-the-arrivals", "latency-in-place", "sorts-in-place", "empty-is-an-error")
def test_dtypes_empty_input_and_arguments(student):
    """Times come back in float64, no requests give empty arrays, and the arguments stay as they are."""
    # requests far apart that are served at once: nothing here depends on the rules of waiting
    for arrivals in (np.array([0, 2, 5, 9]), np.array([0, 2, 5, 9], dtype=np.float32)):
        name = f"simulate_batching(an {arrivals.dtype} array, 1, 0, lambda b: 0.375 + 0.25 * b)"
        before = arrivals.copy()
        served, after = student.run(simulate_batching_and_its_argument, arrivals, 1, 0, 0.375, 0.25)
        finish, sizes = (before + 0.625).tolist(), [1, 1, 1, 1]
        cause = "times are computed in float64, also from whole numbers"
        assert_served(served, before.tolist(), finish, sizes, name, cause)
        for key, dtype in (("finish", "float64"), ("latency", "float64"), ("batch_sizes", "int64")):
            assert_dtype(array_of(served, key, name), dtype, what=f"array {key} of {name}")
        assert_unchanged(after, before, what="argument arrivals")
    exact = np.array([0.0, 0.25, 2.0])
    _, after = student.run(simulate_batching_and_its_argument, exact.copy(), 2, 0.5, 1.0, 0.25)
    assert_unchanged(after, exact, what="argument arrivals")
    unsorted = np.array([3.5, 1.5, 2.5, 0.5])
    after = student.run(percentile_and_its_argument, unsorted.copy(), 60)
    assert_unchanged(after, unsorted, what="argument latency")

    for nothing in ([], np.array([])):
        call = f"simulate_batching({nothing!r}, 3, 0.5, ...)"
        served = student.run(simulate_batching, nothing, 3, 0.5, 1.0, 0.25)
        for key, dtype in (("finish", "float64"), ("latency", "float64"), ("batch_sizes", "int64")):
            assert_shape(array_of(served, key, call), (0,), what=f"array {key} of {call}")
            assert_dtype(served[key], dtype, what=f"array {key} of {call}")


@points(1)
@catches("nothing-refused", "nan-is-accepted", "every-q-is-accepted")
def test_bad_input_is_refused(student):
    """Times that go back, impossible limits and percentages outside (0, 100] raise ValueError."""
    nan, inf = float("nan"), float("inf")
    good = ([0.0, 1.0, 2.0], 2, 0.5, 1.0, 0.25)
    student.run(simulate_batching, *good)
    for arrivals, max_batch, max_wait, base, slope in (
        ([0.0, 2.0, 1.0], *good[1:]),
        ([[0.0, 1.0], [2.0, 3.0]], *good[1:]),
        ([0.0, nan, 2.0], *good[1:]),
        ([nan], *good[1:]),
        ([0.0, inf], *good[1:]),
        ([-inf, 0.0], *good[1:]),
        (good[0], 0, *good[2:]),
        (good[0], -2, *good[2:]),
        (good[0], 2, -0.5, *good[3:]),
        (good[0], 2, nan, *good[3:]),
        (good[0], 2, inf, *good[3:]),
        (*good[:3], 0.0, 0.0),
        (*good[:3], 1.0, -1.0),
        ([0.0, 0.0, 5.0], *good[1:3], 3.0, -2.0),  # positive for one request, negative for two
        (*good[:3], nan, 0.0),
        (*good[:3], inf, 0.0),
    ):
        call = f"simulate_batching({arrivals}, {max_batch}, {max_wait}, lambda b: {base} + {slope} * b)"
        with raises(ValueError, what=call):
            student.run(simulate_batching, arrivals, max_batch, max_wait, base, slope)
    for latency, q in (
        ([], 50),
        ([1.0, 2.0], 0),
        ([1.0, 2.0], -5),
        ([1.0, 2.0], 100.5),
        ([1.0, 2.0], 150),
        ([1.0, 2.0], nan),
    ):
        with raises(ValueError, what=f"percentile({latency}, {q})"):
            student.percentile(latency, q)
    # the edges of what is allowed
    student.run(simulate_batching, [2.0, 2.0], 1, 0, 1.0, 0.0)
    student.percentile([1.0, 2.0], 100)
