"""deployment/dynamic_batching against a clock that ticks, Lindley's recursion and NumPy's percentiles."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.deployment import dynamic_batching
from reference.deployment.dynamic_batching import percentile, simulate_batching

steps = st.lists(st.integers(0, 9), max_size=12).map(lambda gaps: np.cumsum(gaps).tolist())


def tick_by_tick(arrivals, max_batch, max_wait, service_time):
    """Whole numbers only: at each tick look who is there and whether a batch may leave."""
    finish, sizes, gone, free = [0] * len(arrivals), [], 0, 0
    for now in range(2000):
        waiting = [i for i in range(gone, len(arrivals)) if arrivals[i] <= now]
        reason = len(waiting) >= max_batch or (waiting and now - arrivals[waiting[0]] >= max_wait)
        if waiting and reason and now >= free:
            batch = waiting[:max_batch]
            free = now + service_time(len(batch))
            for i in batch:
                finish[i] = free
            sizes.append(len(batch))
            gone += len(batch)
    return finish, sizes


@settings(max_examples=30, deadline=None)
@given(arrivals=steps, max_batch=st.integers(1, 5), max_wait=st.integers(0, 12), base=st.integers(1, 15))
def test_simulation_agrees_with_a_ticking_clock(arrivals, max_batch, max_wait, base):
    served = simulate_batching(arrivals, max_batch, max_wait, lambda b: base + 2 * b)
    finish, sizes = tick_by_tick(arrivals, max_batch, max_wait, lambda b: base + 2 * b)
    assert served["batch_sizes"].tolist() == sizes and served["finish"].tolist() == finish
    assert served["batch_sizes"].sum() == len(arrivals)
    own_service = np.repeat(base + 2 * served["batch_sizes"], served["batch_sizes"])
    assert (served["latency"] >= own_service).all()
    assert (np.diff(served["finish"]) >= 0).all()


def test_batches_of_one_follow_lindleys_recursion():
    rng = np.random.default_rng(4)
    arrivals = np.cumsum(rng.exponential(size=200))
    served = simulate_batching(arrivals, 1, 0, lambda b: 0.9)
    wait = [0.0]
    for gap in np.diff(arrivals):
        wait.append(max(0.0, wait[-1] + 0.9 - gap))
    np.testing.assert_allclose(served["latency"], np.array(wait) + 0.9, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("arrivals", "max_batch", "max_wait", "finish", "sizes"),
    [
        ([0, 0.1, 0.2, 5, 5.05], 2, 0.5, [1.3, 1.3, 2.4, 6.25, 6.25], [2, 1, 2]),
        ([0, 0.3, 0.6], 4, 0.5, [1.7, 1.7, 2.8], [2, 1]),
        ([], 4, 0.5, [], []),
    ],
)
def test_examples_of_the_syllabus(arrivals, max_batch, max_wait, finish, sizes):
    served = simulate_batching(arrivals, max_batch, max_wait, lambda b: 1 + 0.1 * b)
    np.testing.assert_allclose(served["finish"], finish)
    np.testing.assert_array_equal(served["batch_sizes"], sizes)
    assert served["batch_sizes"].dtype == np.int64 and served["latency"].dtype == np.float64


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=120), st.integers(1, 100))
def test_percentile_is_the_inverse_of_the_empirical_distribution(latency, q):
    value = percentile(latency, q)
    assert value in latency
    at_most, below = sum(x <= value for x in latency), sum(x < value for x in latency)
    assert below < Fraction(q * len(latency), 100) <= at_most
    off_grid = q - 0.3  # where q * N / 100 is far from whole numbers, NumPy's own method agrees
    if abs(off_grid * len(latency) / 100 % 1 - 0.5) < 0.49:
        assert percentile(latency, off_grid) == np.percentile(latency, off_grid, method="inverted_cdf")


def test_ranks_of_a_hundred():
    latency = np.arange(100, 0, -1)
    assert [percentile(latency, q) for q in range(1, 101)] == list(range(1, 101))


def test_the_claims_that_are_arithmetic():
    slow_tail = [10.0] * 98 + [2010.0] * 2
    assert np.mean(slow_tail) == 50 and percentile(slow_tail, 99) > 500
    one, other = [10.0] * 100, [10.0] * 98 + [1000.0] * 2
    assert percentile(one + other, 99) == 10 and (percentile(one, 99) + percentile(other, 99)) / 2 == 505
    assert 1 - 0.99**100 > 0.5
    assert 8 / 18 > 1 / 11
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(size=20000))
    low, high = (simulate_batching(arrivals[:4000], 1, 0, lambda b, s=s: s)["latency"].mean() - s for s in (0.45, 0.9))
    assert high > 5 * low
    lonely = [simulate_batching(np.arange(50) * 1000, 8, wait, lambda b: 20)["latency"].mean() for wait in (0, 10)]
    assert lonely == [20, 30]


def test_the_worked_example_and_the_visible_checks_of_the_lesson_hold():
    served = simulate_batching([0, 10, 30, 35, 36, 100], 3, 20, lambda b: 20 + 5 * b)
    assert served["finish"].tolist() == [50, 50, 85, 85, 85, 145]
    assert served["latency"].tolist() == [50, 40, 55, 50, 49, 45]
    assert (percentile(served["latency"], 50), percentile(served["latency"], 90)) == (49, 55)

    lesson = Path(dynamic_batching.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 5
    exec(compile(code, "visible checks", "exec"), dict(vars(dynamic_batching)))
