"""The reference against scikit-learn, SciPy's bootstrap and closed forms; the visible asserts."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, top_k_accuracy_score

from reference.capstone import evaluation as lesson
from reference.capstone.evaluation import (
    bootstrap_interval,
    compare,
    expected_calibration_error,
    forgetting,
    matching_auc,
    median_rank,
    paired_gain,
    ranks,
    recall_at,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(queries: int, candidates: int, seed: int = 0) -> np.ndarray:
    return generator(seed).normal(size=(queries, candidates))


def test_recall_is_the_top_k_accuracy() -> None:
    similarity, concepts = table(40, 7), generator(1).integers(0, 7, 40)
    found = ranks(similarity, concepts, np.arange(7))
    for k in (1, 2, 5, 6):
        expected = top_k_accuracy_score(concepts, similarity, k=k, labels=np.arange(7))
        np.testing.assert_allclose(recall_at(found, k), expected)
    assert median_rank(found) == np.median(found)


def test_ranks_with_ties_are_the_largest_ranks() -> None:
    similarity = generator(2).integers(0, 4, (30, 9)).astype(float)
    concepts = generator(3).integers(0, 9, 30)
    expected = [stats.rankdata(-row, method="max")[concept] for row, concept in zip(similarity, concepts, strict=True)]
    np.testing.assert_array_equal(ranks(similarity, concepts, np.arange(9)), expected)
    assert ranks(np.zeros((2, 5)), np.array([0, 3]), np.arange(5)).tolist() == [5, 5]


def test_auc_of_scikit_learn() -> None:
    queries, candidates = generator(4).integers(0, 3, 8), generator(5).integers(0, 3, 6)
    same = np.equal.outer(queries, candidates)
    for similarity in (table(8, 6), generator(6).integers(0, 3, (8, 6)).astype(float)):
        expected = roc_auc_score(same.ravel(), similarity.ravel())
        np.testing.assert_allclose(matching_auc(similarity, queries, candidates), expected)


def test_calibration_of_a_model_that_knows_how_sure_it_may_be() -> None:
    logits = np.log(generator(7).dirichlet(np.ones(4), 60000))
    drawn = (logits + generator(8).gumbel(size=logits.shape)).argmax(axis=1)
    assert expected_calibration_error(logits, drawn, np.arange(4)) < 0.01
    assert expected_calibration_error(3 * logits, drawn, np.arange(4)) > 0.1


def test_calibration_with_one_bin_is_the_difference_of_the_means() -> None:
    logits, concepts = table(50, 5, seed=9), generator(10).integers(0, 5, 50)
    powers = np.exp(logits)
    confidence = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1).mean()
    accuracy = (logits.argmax(axis=1) == concepts).mean()
    found = expected_calibration_error(logits, concepts, np.arange(5), bins=1)
    np.testing.assert_allclose(found, abs(accuracy - confidence))


def test_intervals_of_scipy() -> None:
    values = generator(11).exponential(size=300)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=8000, rng=generator(12)
    ).confidence_interval
    low, high = bootstrap_interval(values, 8000, generator(13))
    spread = values.std() / np.sqrt(300)
    assert abs(low - theirs.low) < 0.15 * spread and abs(high - theirs.high) < 0.15 * spread


def test_paired_gain_of_scipy() -> None:
    tuned, baseline = generator(14).integers(1, 4, 400), generator(15).integers(1, 5, 400)
    baseline[:250] = tuned[:250]

    def difference(x, y, axis):
        return (x <= 2).mean(axis=axis) - (y <= 2).mean(axis=axis)

    theirs = stats.bootstrap(
        (tuned, baseline), difference, paired=True, method="percentile", n_resamples=8000, rng=generator(16)
    ).confidence_interval
    ours = paired_gain(tuned, baseline, 2, 8000, generator(17))
    np.testing.assert_allclose(ours["gain"], difference(tuned, baseline, 0))
    assert abs(ours["low"] - theirs.low) <= 0.006 and abs(ours["high"] - theirs.high) <= 0.006
    assert paired_gain(tuned, tuned, 1, 50, generator()) == {"gain": 0.0, "low": 0.0, "high": 0.0}


def test_a_line_does_not_depend_on_the_others() -> None:
    tables = {
        name: (table(12, 12, seed), table(12, 12, seed + 50)) for seed, name in enumerate(("a", "zero-shot", "b"))
    }
    concepts = np.arange(12)
    whole = compare(tables, concepts, concepts, 100, 5)
    part = compare({name: tables[name] for name in ("b", "zero-shot")}, concepts, concepts, 100, 5)
    assert whole["b"] == part["b"] and list(whole) == ["a", "zero-shot", "b"]
    assert {whole["zero-shot"][key] for key in ("gain", "low", "high", "forgetting")} == {0.0}
    sources = [ranks(tables[name][1], concepts, concepts) for name in ("zero-shot", "b")]
    assert whole["b"]["forgetting"] == forgetting(*sources)


def test_worked_example_of_the_lesson() -> None:
    similarity = np.array([[0.2, 0.6, 0.8, 0.1], [0.9, 0.3, 0.3, 0.1], [0.5, 0.7, 0.4, 0.5]])
    queries, candidates = np.array([5, 9, 7]), np.array([5, 9, 5, 7])
    found = ranks(similarity, queries, candidates)
    assert found.tolist() == [1, 3, 3] and median_rank(found) == 3
    np.testing.assert_allclose(recall_at(found, 1), 1 / 3)
    np.testing.assert_allclose(matching_auc(similarity, queries, candidates), 0.5)
    # 0.5 (two names of the concept), 0.4 and 0.9
    logits = np.array([[0, 0, -5000, -5000], *np.log([[0.3, 0.2, 0.1, 0.4], [0.04, 0.03, 0.03, 0.9]])])
    error = expected_calibration_error(logits, np.array([5, 9, 7]), np.array([5, 5, 9, 7]), bins=2)
    np.testing.assert_allclose(error, 2 / 3 * 0.05 + 1 / 3 * 0.1)
    gain = paired_gain(np.array([1, 1, 1, 2, 3]), np.array([1, 4, 2, 1, 6]), 1, 20000, generator(18))
    np.testing.assert_allclose([gain["gain"], gain["low"], gain["high"]], [0.2, -0.4, 0.8])


def test_bad_input() -> None:
    good, concepts = table(3, 3), np.arange(3)
    with pytest.raises(ValueError, match="NaN"):
        ranks(np.full((3, 3), np.nan), concepts, concepts)
    with pytest.raises(ValueError, match="right candidate"):
        ranks(good, concepts + 1, concepts)
    with pytest.raises(ValueError, match="right and wrong"):
        matching_auc(good, concepts, concepts + 5)
    with pytest.raises(ValueError, match="same queries"):
        paired_gain(np.ones(3), np.ones(4), 1, 5, generator())
    with pytest.raises(KeyError):
        compare({"full": (good, good)}, concepts, concepts, 5, 0)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(lesson)))
