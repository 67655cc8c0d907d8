"""The reference of data/group_split against scikit-learn's group-aware split, and the cells of the notebook."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest

from reference.data import group_split as lesson
from reference.data.group_split import group_split, leakage, size_aware_group_split


@pytest.mark.parametrize("seed", range(5))
def test_same_numbers_of_groups_as_group_shuffle_split(seed):
    """Where the quotas are whole numbers, scikit-learn's counts are the same."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    groups = np.random.default_rng(seed).integers(0, 20, 300)
    assert len(set(groups)) == 20
    train, test = next(
        model_selection.GroupShuffleSplit(1, test_size=0.25, random_state=seed).split(groups, groups=groups)
    )
    assert leakage(groups, (train, test)) == 0
    parts = group_split(groups, (0.75, 0.25), seed)
    assert leakage(groups, parts) == 0
    assert [len(set(groups[part])) for part in parts] == [len(set(groups[part])) for part in (train, test)] == [15, 5]


@pytest.mark.parametrize("splitter", [group_split, size_aware_group_split])
def test_each_group_is_as_likely_as_any_other_to_be_tested(splitter):
    groups, tested = np.arange(20).repeat(3), np.zeros(20)
    for seed in range(400):
        tested[np.unique(groups[splitter(groups, (0.75, 0.25), seed)[1]])] += 1
    np.testing.assert_allclose(tested / 400, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 400))


def test_leakage_of_a_split_by_rows():
    """Counted by scikit-learn's KFold, which splits by rows: each photo has its captions in all three folds."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    photo = np.tile(np.arange(50), 3)
    folds = [test for _, test in model_selection.KFold(3).split(photo)]
    assert leakage(photo, folds) == 50
    grouped = [test for _, test in model_selection.GroupKFold(3).split(photo, groups=photo)]
    assert leakage(photo, grouped) == 0


@pytest.mark.parametrize("seed", range(10))
def test_size_aware_split_keeps_its_bounds(seed):
    rng = np.random.default_rng(seed)
    sizes = np.floor(rng.pareto(1.5, 50)).astype(int) + 1
    groups = rng.permutation(np.repeat(np.arange(50), sizes))
    fractions = (0.6, 0.25, 0.15)
    parts = size_aware_group_split(groups, fractions, seed)
    excess = [len(part) - fraction * len(groups) for part, fraction in zip(parts, fractions, strict=True)]
    assert max(excess) < sizes.max()


def test_worked_examples_of_the_lesson():
    assert [len(part) for part in group_split(np.arange(25))] == [20, 3, 2]
    assert leakage(["a", "a", "b", "b", "c"], ([0, 2], [1, 3], [4])) == 2
    rows = {tuple(map(len, size_aware_group_split(list("aaaabcdd"), (0.5, 0.5), seed))) for seed in range(50)}
    assert (5, 3) in rows


def test_visible_cell_runs():
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible", "exec"), dict(vars(lesson)))
