"""metrics/retrieval against scikit-learn, SciPy's ranks and closed forms."""

from pathlib import Path

import jupytext
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from reference.metrics import retrieval
from reference.metrics.retrieval import ndcg_at_k, positive_ranks, retrieval_metrics


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def random_relevance(rng, queries, items):
    relevant = rng.random((queries, items)) < 0.3
    relevant[np.arange(queries), rng.integers(items, size=queries)] = True
    return relevant


def test_ranks_agree_with_scipy_without_ties(rng):
    sim, relevant = rng.normal(size=(12, 9)), random_relevance(rng, 12, 9)
    expected = stats.rankdata(-sim, axis=1)
    for row, answers, ranks in zip(expected, relevant, positive_ranks(sim, relevant), strict=True):
        assert ranks.dtype == np.int64
        np.testing.assert_array_equal(ranks, row[answers])


def test_best_rank_with_ties_is_the_pessimistic_rank_among_the_others(rng):
    sim, relevant = rng.integers(3, size=(40, 6)), random_relevance(rng, 40, 6)
    for row, answers, ranks in zip(sim, relevant, positive_ranks(sim, relevant), strict=True):
        others = np.append(row[~answers], row[answers].max())
        assert ranks.min() == stats.rankdata(-others, method="max")[-1]
        assert len(set(ranks.tolist())) == len(ranks) and ranks.max() <= row.size


@pytest.mark.parametrize("k", [1, 2, 5, 9, 30])
def test_ndcg_and_recall_agree_with_scikit_learn_without_ties(rng, k):
    sim, relevant = rng.normal(size=(15, 9)), random_relevance(rng, 15, 9)
    assert ndcg_at_k(sim, relevant, k) == pytest.approx(metrics.ndcg_score(relevant, sim, k=k), rel=1e-12)
    if k < 9:
        target = rng.integers(9, size=15)
        one_answer = target[:, None] == np.arange(9)
        expected = metrics.top_k_accuracy_score(target, sim, k=k, labels=range(9))
        assert retrieval_metrics(sim, one_answer, ks=(k,))[f"R@{k}"] == pytest.approx(expected)


def test_mrr_is_label_ranking_average_precision_with_one_answer(rng):
    sim = rng.normal(size=(15, 9))
    one_answer = rng.integers(9, size=15)[:, None] == np.arange(9)
    expected = metrics.label_ranking_average_precision_score(one_answer, sim)
    assert retrieval_metrics(sim, one_answer)["mrr"] == pytest.approx(expected)


def test_constant_similarities_are_the_worst_case():
    constant, one_answer = np.ones((3, 7)), np.eye(3, 7, dtype=bool)
    assert [ranks.tolist() for ranks in positive_ranks(constant, one_answer)] == [[7]] * 3
    report = retrieval_metrics(constant, one_answer, ks=(1, 6, 7))
    assert report == {"R@1": 0.0, "R@6": 0.0, "R@7": 1.0, "median_rank": 7.0, "mrr": pytest.approx(1 / 7)}


def test_perfect_similarities(rng):
    relevant = random_relevance(rng, 6, 8)
    report = retrieval_metrics(relevant.astype(np.uint8), relevant)
    assert report == {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0, "median_rank": 1.0, "mrr": 1.0}
    assert all(ndcg_at_k(relevant, relevant, k) == pytest.approx(1) for k in range(1, 10))


def test_recall_and_invariances(rng):
    sim, relevant = rng.integers(-9, 9, size=(11, 8)), random_relevance(rng, 11, 8)
    ks = tuple(range(1, 12))
    report = retrieval_metrics(sim, relevant, ks)
    recalls = [report[f"R@{k}"] for k in ks]
    assert recalls == sorted(recalls) and recalls[-1] == 1
    order = rng.permutation(11)
    for changed in (2 * sim + 1, sim**3, sim / 8):
        assert retrieval_metrics(changed, relevant, ks) == report
    assert retrieval_metrics(sim[order], relevant[order], ks) == pytest.approx(report)
    columns = rng.permutation(8)
    assert retrieval_metrics(sim[:, columns], relevant[:, columns], ks) == report


def test_inputs_are_left_alone(rng):
    sim, relevant = rng.normal(size=(3, 4)), random_relevance(rng, 3, 4)
    before = sim.copy(), relevant.copy()
    retrieval_metrics(sim, relevant), ndcg_at_k(sim, relevant, 2)
    assert np.array_equal(sim, before[0]) and np.array_equal(relevant, before[1])


def test_bad_input():
    sim, relevant = [[1.0, 2.0]], [[True, False]]
    for arguments in (
        ([1.0], [True]),
        (sim, [True, False]),
        ([], []),
        (sim, [[False, False]]),
        ([[1.0, np.nan]], relevant),
    ):
        with pytest.raises(ValueError):
            positive_ranks(*arguments)
    with pytest.raises(TypeError):
        positive_ranks(sim, [[1, 0]])
    for k in (0, -3):
        with pytest.raises(ValueError):
            ndcg_at_k(sim, relevant, k)
        with pytest.raises(ValueError):
            retrieval_metrics(sim, relevant, (1, k))


def test_the_worked_example_of_the_lesson():
    sim = [[0.9, 0.2, 0.7, 0.7, 0.1], [0.3, 0.6, 0.5, 0.5, 0.4]]
    relevant = [[True, True, True, False, False], [False, False, False, True, True]]
    assert [ranks.tolist() for ranks in positive_ranks(sim, relevant)] == [[1, 4, 3], [3, 4]]
    report = retrieval_metrics(sim, relevant, ks=(2,))
    assert report == {"R@2": 0.5, "median_rank": 2.0, "mrr": pytest.approx(2 / 3)}
    assert ndcg_at_k(sim, relevant, 3) == pytest.approx(0.505, abs=5e-4)


def test_the_visible_checks_of_the_lesson_hold():
    cells = jupytext.read(Path(retrieval.__file__)).cells
    (cell,) = [cell for cell in cells if "visible-checks" in cell.metadata.get("tags", [])]
    code = "\n".join(line.removeprefix("# ") for line in cell.source.splitlines())
    assert code.count("assert ") == 8
    exec(compile(code, "visible checks", "exec"), dict(vars(retrieval)))
