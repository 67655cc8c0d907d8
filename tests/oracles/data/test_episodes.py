"""data/episodes against scikit-learn's splits, SciPy's standard error, and set arithmetic."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.model_selection import StratifiedShuffleSplit

from reference.data import episodes
from reference.data.episodes import mean_ci95, sample_episode, split_classes


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(st.integers(-2, 4), min_size=1, max_size=60),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 99),
)
def test_set_arithmetic_of_episodes(labels, sizes, seed):
    n_way, k_shot, n_query = sizes
    counts = Counter(labels)
    eligible = {label for label, count in counts.items() if count >= k_shot + n_query}
    rng = np.random.default_rng(seed)
    if len(eligible) < n_way:
        with pytest.raises(ValueError):
            sample_episode(labels, *sizes, rng)
        return
    episode = sample_episode(labels, *sizes, rng)
    again = sample_episode(labels, *sizes, np.random.default_rng(seed))
    assert all(np.array_equal(episode[key], again[key]) for key in episode)
    assert set(episode["classes"].tolist()) <= eligible and len(set(episode["classes"].tolist())) == n_way
    drawn = [*episode["support_idx"].tolist(), *episode["query_idx"].tolist()]
    assert len(set(drawn)) == n_way * (k_shot + n_query)
    labels = np.array(labels)
    for part, size in (("support", k_shot), ("query", n_query)):
        assert np.array_equal(episode["classes"][episode[f"{part}_y"]], labels[episode[f"{part}_idx"]])
        assert Counter(episode[f"{part}_y"].tolist()) == dict.fromkeys(range(n_way), size)


def test_a_whole_class_each_is_a_stratified_split():
    """With every class and every sample in play an episode divides as scikit-learn's stratified split does."""
    labels = np.repeat([3, 7, 9], 5)
    episode = sample_episode(labels, 3, 2, 3, np.random.default_rng(0))
    (train, test), *_ = StratifiedShuffleSplit(1, train_size=6, random_state=0).split(labels, labels)
    assert Counter(labels[train].tolist()) == Counter(labels[episode["support_idx"]].tolist())
    assert Counter(labels[test].tolist()) == Counter(labels[episode["query_idx"]].tolist())


def test_all_sets_of_classes_and_samples_are_equally_likely():
    labels = [0] * 2 + [1] * 3 + [2] * 12
    rng = np.random.default_rng(1)
    counts = Counter()
    for _ in range(3000):
        episode = sample_episode(labels, 1, 1, 1, rng)
        counts[int(episode["classes"][0]), int(episode["support_idx"][0]), int(episode["query_idx"][0])] += 1
    for label, pairs in ((0, 2), (1, 6), (2, 132)):
        found = [count for (drawn, _, _), count in counts.items() if drawn == label]
        assert sum(found) == pytest.approx(1000, abs=160)  # six standard deviations
        assert len(found) == pairs
        assert stats.chisquare([*found, *[0] * (pairs - len(found))]).pvalue > 1e-4


def test_split_classes_divides_and_is_uniform():
    rng = np.random.default_rng(2)
    counts = Counter()
    for _ in range(2000):
        base, novel = split_classes([4, 4, 4, 4, 1, 1, 8, -2], 2, rng)
        assert sorted([*base.tolist(), *novel.tolist()]) == [-2, 1, 4, 8]
        counts[frozenset(novel.tolist())] += 1
    assert len(counts) == 6 and stats.chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mean_ci95_agrees_with_scipy(dtype):
    accuracies = np.random.default_rng(3).uniform(0.2, 0.9, size=500).astype(dtype)
    mean, half_width = mean_ci95(accuracies)
    assert mean == pytest.approx(accuracies.astype(np.float64).mean(), rel=1e-12)
    assert half_width == pytest.approx(1.96 * stats.sem(accuracies.astype(np.float64)), rel=1e-12)


def test_the_interval_covers_the_mean_in_95_percent():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(2000):
        mean, half_width = mean_ci95(rng.binomial(15, 0.6, size=100) / 15)
        covered += abs(mean - 0.6) <= half_width
    assert covered / 2000 == pytest.approx(0.95, abs=0.025)


def test_the_claims_that_are_arithmetic():
    rng = np.random.default_rng(5)
    accuracies = rng.uniform(0.4, 0.8, size=4000)
    ratio = mean_ci95(accuracies)[1] / mean_ci95(accuracies[:1000])[1]
    assert (ratio == pytest.approx(0.5, abs=0.03)) == episodes.claims["interval_shrinks"]
    labels = np.repeat(np.arange(8), 20)
    episode = sample_episode(labels, 5, 1, 15, rng)
    assert (len(episode["support_idx"]) == 5) == episodes.claims["support_size"]
    guesses = [rng.integers(5, size=75) == episode["query_y"] for _ in range(200)]
    assert (np.mean(guesses) == pytest.approx(0.2, abs=0.02)) == episodes.claims["chance_level"]


def test_the_visible_checks_of_the_lesson_hold():
    lesson = Path(episodes.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 8
    exec(compile(code, "visible checks", "exec"), dict(vars(episodes)))
