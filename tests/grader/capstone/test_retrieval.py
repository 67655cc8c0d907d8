"""Ranks, recall, AUC, intervals and calibration, against independent ways to count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from grader.capstone.calibration import expected_calibration_error
from grader.capstone.contrastive import contrastive_loss
from grader.capstone.dual_encoder import Encoded
from grader.capstone.errors import CapstoneError
from grader.capstone.retrieval import Interval, bootstrap, gain, retrieve


def _similarity(seed: int = 0, candidates: int = 23) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(candidates, candidates)) + 0.8 * np.eye(candidates)


def test_ranks_are_places_in_a_sorted_list() -> None:
    similarity = _similarity()
    found = retrieve(similarity)
    for query in range(len(similarity)):
        assert found.to_names[query] == list(np.argsort(-similarity[query])).index(query)
        assert found.to_drawings[query] == list(np.argsort(-similarity[:, query])).index(query)
    assert found.recall(5) == np.mean(found.to_names < 5)
    assert found.recall(5, to_drawings=True) == np.mean(found.to_drawings < 5)
    assert found.recall(3) != found.recall(3, to_drawings=True)
    assert found.mean_reciprocal_rank == pytest.approx(np.mean([1 / (rank + 1) for rank in found.to_names]))
    assert found.median_rank == np.median(found.to_names) + 1


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    found = retrieve(np.full((9, 9), 0.5))
    assert found.recall(1) == found.recall(8) == 0 and found.recall(9) == 1
    assert found.auc == 0.5


def test_auc_is_scikit_learn_s() -> None:
    similarity = np.round(_similarity(4), 1)  # with ties
    right = np.eye(len(similarity), dtype=bool)
    assert retrieve(similarity).auc == pytest.approx(roc_auc_score(right.ravel(), similarity.ravel()), abs=1e-12)


def test_embeddings_that_are_no_numbers_are_refused() -> None:
    similarity = _similarity()
    similarity[3, 4] = np.nan
    with pytest.raises(CapstoneError, match="nan or inf"):
        retrieve(similarity)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        found = bootstrap(generator.binomial(1, 0.3, 120).astype(float), seed=trial, resamples=400)
        covered += found.low <= 0.3 <= found.high
    assert 178 <= covered <= 200


def test_a_gain_is_compared_drawing_by_drawing() -> None:
    better, worse = _similarity(1, 200), _similarity(1, 200)
    better[np.arange(0, 200, 4), np.arange(0, 200, 4)] += 9  # a quarter is surely found
    paired = gain(retrieve(better), retrieve(worse))
    difference = retrieve(better).recall(1) - retrieve(worse).recall(1)
    assert paired.value == pytest.approx(difference)
    assert paired.excludes_zero and paired.high - paired.low < 0.13
    assert gain(retrieve(worse), retrieve(worse)) == Interval(0.0, 0.0, 0.0)
    with pytest.raises(CapstoneError, match="no queries"):
        bootstrap(np.array([]))


def test_calibration_is_zero_for_honest_confidence_and_large_for_boasting() -> None:
    candidates = 400
    generator = np.random.default_rng(2)
    similarity = np.zeros((candidates, candidates))
    # Every query is answered with confidence 0.73, and 0.73 of them are right.
    answered = np.where(
        generator.permutation(candidates) < 292, np.arange(candidates), (np.arange(candidates) + 1) % candidates
    )
    similarity[np.arange(candidates), answered] = np.log(0.73 / 0.27 * (candidates - 1))
    assert expected_calibration_error(similarity, 0.0) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(similarity * 3, 0.0) == pytest.approx(0.27, abs=1e-3)


def test_the_loss_counts_every_pair_of_one_concept_as_right() -> None:
    torch.manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(5, 3, dtype=torch.float64), dim=1) for _ in range(2))
    concepts = torch.tensor([7, 2, 7, 9, 4])
    scale = torch.tensor(0.9, dtype=torch.float64)
    logits = torch.exp(scale) * images @ texts.T
    total = 0.0
    for rows in (logits, logits.T):
        for row in range(5):
            right = [column for column in range(5) if concepts[column] == concepts[row]]
            total -= sum(float(torch.log_softmax(rows[row], dim=0)[column]) for column in right) / len(right)
    assert float(contrastive_loss(Encoded(images, texts, scale), concepts)) == pytest.approx(total / 10)
