"""data/timestamp_alignment against pandas.merge_asof, a k-d tree and a look at every pair."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from reference.data import timestamp_alignment as lesson
from reference.data.timestamp_alignment import align_nearest

times = st.integers(-40, 40).map(lambda number: number / 8)
references = st.lists(times, max_size=12).map(sorted)


@settings(max_examples=100, deadline=None)
@given(st.lists(times, max_size=8), references, st.integers(0, 30).map(lambda n: n / 8), times)
def test_agrees_with_every_pair(query, ref, tolerance, offset):
    found = align_nearest(query, ref, tolerance, offset)
    assert found.dtype == np.int64 and found.shape == (len(query),)
    if not ref:
        assert (found == -1).all()
        return
    gaps = np.abs(np.subtract.outer(np.array(query), np.array(ref) + offset))
    expected = np.where(gaps.min(axis=1) <= tolerance, gaps.argmin(axis=1), -1) if query else found
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(times, min_size=1, max_size=8), references, st.integers(0, 20).map(lambda n: n / 8), times)
def test_laws(query, ref, tolerance, shift):
    found = align_nearest(query, ref, tolerance)
    moved = align_nearest([time + shift for time in query], [time + shift for time in ref], tolerance)
    np.testing.assert_array_equal(moved, found)
    np.testing.assert_array_equal(align_nearest([time + shift for time in query], ref, tolerance, shift), found)
    wider = align_nearest(query, ref, tolerance + 1.0)
    assert ((wider == found) | (found == -1)).all() == lesson.claims["tolerance_only_adds"]
    order = np.random.default_rng(0).permutation(len(query))
    np.testing.assert_array_equal(align_nearest(np.array(query)[order], ref, tolerance), found[order])


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_merge_asof(seed):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    query, ref = np.sort(rng.uniform(0, 100, size=200)), np.sort(rng.uniform(0, 100, size=60))
    right = pandas.DataFrame({"t": ref, "position": np.arange(60)})
    joined = pandas.merge_asof(pandas.DataFrame({"t": query}), right, on="t", direction="nearest", tolerance=0.4)
    expected = joined["position"].fillna(-1).to_numpy(dtype=np.int64)
    np.testing.assert_array_equal(align_nearest(query, ref, 0.4), expected)


def test_agrees_with_a_tree_on_long_streams():
    rng = np.random.default_rng(4)
    query, ref = rng.uniform(0, 1000, size=200_000), np.sort(rng.uniform(0, 1000, size=200_000))
    gap, position = KDTree(ref[:, None] - 2.5).query(query[:, None])
    np.testing.assert_array_equal(align_nearest(query, ref, 0.005, -2.5), np.where(gap <= 0.005, position, -1))


def test_the_worked_example():
    ref, query = [0, 0.5, 2, 3], [2.5, 0.125, 9, 1]
    assert align_nearest(query, ref, 0.5).tolist() == [2, 0, -1, 1]
    assert align_nearest(query, ref, 0.5, offset=1.0).tolist() == [2, -1, -1, 0]


def test_the_claims_that_are_arithmetic():
    frames, words = np.arange(0, 600, 0.04), np.arange(0.3, 600, 0.5)
    right, wrong = align_nearest(words, frames, 0.02001), align_nearest(words, frames, 0.02001, offset=60.0)
    matched = wrong >= 0
    assert (matched.mean() > 0.85 and (wrong != right)[matched].all()) == lesson.claims["offset_goes_unnoticed"]
    hour = np.arange(0, 3600, 1.0)
    errors = [np.abs(hour * 1.001 + offset - hour).max() for offset in np.linspace(-4, 4, 81)]
    assert (min(errors) > 1.5) == lesson.claims["drift_is_no_offset"]


def test_the_visible_checks_of_the_lesson_hold():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 2
    exec(compile(code, "visible checks", "exec"), dict(vars(lesson)))
