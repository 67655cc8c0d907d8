"""transfer/semantic_alignment against SciPy's pairwise distances and the laws of the three measures."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.special import logsumexp
from scipy.stats import ortho_group

from reference.transfer import semantic_alignment as lesson
from reference.transfer.semantic_alignment import alignment, modality_gap, uniformity


def two_sets(seed, n=7, width=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, n, width)) + 0.3


@pytest.mark.parametrize("t", [0.01, 2, 50, 1e4, 1e6])
def test_uniformity_agrees_with_pdist(t):
    x, _ = two_sets(0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    squared = pdist(unit, "sqeuclidean")
    expected = logsumexp(-t * squared) - np.log(len(squared))
    assert uniformity(x, t) == pytest.approx(expected, rel=1e-10)
    if t == 2:
        assert uniformity(x) == pytest.approx(np.log(np.exp(-2 * squared).mean()), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 9), width=st.integers(2, 6))
def test_laws(seed, n, width):
    u, v = two_sets(seed, n, width)
    unit_u, unit_v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, v))
    assert alignment(u, v) == pytest.approx(2 - 2 * (unit_u * unit_v).sum(axis=1).mean())
    assert alignment(u, v) == pytest.approx(alignment(v, u))
    assert modality_gap(u, v) == pytest.approx(modality_gap(v, u))
    assert modality_gap(u, v) <= np.sqrt(alignment(u, v)) + 1e-12
    assert -8 - 1e-12 <= uniformity(u) <= 1e-12

    rotation = ortho_group.rvs(width, random_state=seed % 2**32)
    scales = np.random.default_rng(seed).uniform(0.1, 9, size=(n, 1))
    for measure in (alignment, modality_gap):
        assert measure(u @ rotation * scales, v @ rotation) == pytest.approx(measure(u, v), abs=1e-12)
    assert uniformity(u @ rotation * scales) == pytest.approx(uniformity(u), abs=1e-12)
    order = np.random.default_rng(seed).permutation(n)
    assert uniformity(u[order]) == pytest.approx(uniformity(u))
    assert alignment(u[order], v[order]) == pytest.approx(alignment(u, v))


def test_collapse_and_the_claims_that_are_arithmetic():
    same = np.tile([0.3, -2.0, 1.0], (5, 1))
    assert alignment(same, 4 * same) == pytest.approx(0, abs=1e-12)
    assert uniformity(same) == pytest.approx(0, abs=1e-12)
    u, v = two_sets(3, 40, 8)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, u + 0.02 * v))
    apart = np.hstack([u, np.ones((40, 1))]), np.hstack([v, -np.ones((40, 1))])
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in apart]
    similarity = unit[0] @ unit[1].T
    assert (similarity.argmax(axis=1) == np.arange(40)).all() and (similarity.argmax(axis=0) == np.arange(40)).all()
    assert modality_gap(*apart) > 1
    rotation = ortho_group.rvs(8, random_state=1)
    assert abs(alignment(u, v @ rotation) - alignment(u, v)) > 0.5


def test_refusals():
    u, v = two_sets(4)
    zero = u.copy()
    zero[3] = 0
    for bad in (zero, u[:1], u[0], np.where(u == u[0, 0], np.nan, u)):
        with pytest.raises(ValueError):
            uniformity(bad)
        with pytest.raises(ValueError):
            alignment(bad, bad)
    for measure in (alignment, modality_gap):
        with pytest.raises(ValueError):
            measure(u, v[:5])
    for t in (0, -1, np.nan):
        with pytest.raises(ValueError):
            uniformity(u, t)


def test_the_cells_of_the_lesson_run(capsys):
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    cells = re.findall(
        r'^# %% tags=\[(?:"visible-checks", )?"active-ipynb"\]\n((?:#.*\n)+)', source, flags=re.MULTILINE
    )
    assert len(cells) == 2
    for cell in cells:
        exec(compile(re.sub(r"^# ?", "", cell, flags=re.MULTILINE), "a cell", "exec"), dict(vars(lesson)))
    recalls = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert recalls[0] < 0.1 and recalls[1] > 0.95 and recalls[2] > 0.95
    texts, images = [[1, 0], [0, 2], [0, -5]], [[3, 0], [-1, 0], [0, -1]]
    assert alignment(texts, images) == pytest.approx(2 / 3)
    assert uniformity(texts, 1) == pytest.approx(-2.340, abs=5e-4)
    assert modality_gap(texts, images) == pytest.approx(2**0.5 / 3)
