"""The reference of interpretability/shapley_values against the package shap, orders of arrival and closed forms."""

from itertools import permutations
from pathlib import Path

import jupytext
import numpy as np
import pytest

from reference.interpretability import shapley_values as lesson
from reference.interpretability.shapley_values import (
    game_shapley,
    global_importance,
    group_shapley,
    modality_shapley,
    modality_shares,
    shapley_values,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def random_model(rng, width, outputs=()):
    hidden, readout = rng.normal(size=(width, 7)), rng.normal(size=(7, *outputs))
    return lambda rows: np.tanh(rows @ hidden) @ readout


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_features_agree_with_the_exact_explainer(rng, outputs):
    shap = pytest.importorskip("shap")
    x, background = rng.normal(size=5), rng.normal(size=(40, 5))  # shap samples backgrounds of more than 100 rows
    f = random_model(rng, 5, outputs)
    explanation = shap.explainers.Exact(f, background)(x[None])
    phi, base = shapley_values(f, x, background)
    np.testing.assert_allclose(phi, explanation.values[0], **CLOSE)
    np.testing.assert_allclose(base, explanation.base_values[0], **CLOSE)


def test_features_agree_with_the_kernel_explainer(rng):
    shap = pytest.importorskip("shap")
    x, background = rng.normal(size=5), rng.normal(size=(30, 5))
    f = random_model(rng, 5)
    phi, base = shapley_values(f, x, background)
    explainer = shap.KernelExplainer(f, background)
    np.testing.assert_allclose(phi, explainer.shap_values(x, silent=True), rtol=0, atol=1e-7)
    np.testing.assert_allclose(base, explainer.expected_value, **CLOSE)


def test_linear_model_has_a_closed_form(rng):
    x, background, slope = rng.normal(size=6), rng.normal(size=(9, 6)), rng.normal(size=6)
    phi, base = shapley_values(lambda rows: rows @ slope + 2, x, background)
    np.testing.assert_allclose(phi, slope * (x - background.mean(axis=0)), **CLOSE)
    np.testing.assert_allclose(base, background.mean(axis=0) @ slope + 2, **CLOSE)


def test_games_agree_with_a_walk_through_all_orders(rng):
    names = ["text", "image", "audio", "video", "layout"]
    value = {}

    def value_fn(coalition):
        return value.setdefault(coalition, rng.normal())

    phi = modality_shapley(value_fn, names)
    gains = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        for place, name in enumerate(order):
            gains[name] += (value[frozenset(order[: place + 1])] - value[frozenset(order[:place])]) / 120
    np.testing.assert_allclose(list(phi.values()), list(gains.values()), **CLOSE)
    assert list(phi) == names and len(value) == 2**5


def test_worked_example_of_the_lesson():
    value = dict(zip(["", "t", "i", "a", "it", "at", "ai", "ait"], [0, 2, 4, 0, 9, 2, 4, 15], strict=True))
    phi = modality_shapley(lambda coalition: value["".join(sorted(coalition))], ["t", "i", "a"])
    np.testing.assert_allclose(list(phi.values()), [5.5, 7.5, 2], **CLOSE)


def test_a_group_is_a_player_not_a_sum(rng):
    """With a product of three features the two readings differ; both add up to the same total."""
    x, background = rng.normal(size=4), rng.normal(size=(20, 4))

    def f(rows):
        return rows[:, 0] * rows[:, 1] * rows[:, 2] + rows[:, 3]

    phi, base = shapley_values(f, x, background)
    groups = group_shapley(f, x, background, {"text": [0, 1], "image": [2, 3]})
    np.testing.assert_allclose(sum(groups.values()), f(x[None])[0] - base, **CLOSE)
    assert abs(groups["text"] - phi[:2].sum()) > 1e-3
    singles = group_shapley(f, x, background, {str(feature): [feature] for feature in range(4)})
    np.testing.assert_allclose(list(singles.values()), phi, **CLOSE)


def test_group_values_agree_with_shap_on_the_grouped_game(rng):
    shap = pytest.importorskip("shap")
    x, background, groups = rng.normal(size=6), rng.normal(size=(15, 6)), {"a": [4, 0], "b": [1, 2, 5], "c": [3]}
    f = random_model(rng, 6)

    def mean_prediction(presence):  # (rows, groups) of 0 and 1
        means = []
        for row in presence:
            mixed = background.copy()
            for present, features in zip(row, groups.values(), strict=True):
                if present:
                    mixed[:, features] = x[features]
            means.append(f(mixed).mean())
        return np.array(means)

    explanation = shap.explainers.Exact(mean_prediction, np.zeros((1, 3)))(np.ones((1, 3)))
    values = group_shapley(f, x, background, groups)
    np.testing.assert_allclose(list(values.values()), explanation.values[0], **CLOSE)


def test_order_of_the_background_does_not_matter(rng):
    x, background, f = rng.normal(size=4), rng.normal(size=(8, 4)), random_model(rng, 4)
    phi, _ = shapley_values(f, x, background)
    np.testing.assert_allclose(shapley_values(f, x, background[::-1])[0], phi, **CLOSE)


def test_largest_game():
    phi = game_shapley(lambda coalition: len(coalition) ** 2, 12)
    np.testing.assert_allclose(phi, np.full(12, 12.0), **CLOSE)


def test_summaries():
    shares = modality_shares([2.0, -1.0, 5.0], {"text": (0, 1), "image": (2,)})
    assert shares == pytest.approx({"text": 3 / 8, "image": 5 / 8})
    np.testing.assert_allclose(global_importance([[1, -2], [-3, 4], [0, 0]]), [4 / 3, 2])


@pytest.mark.parametrize("tag", ["visible-checks"])
def test_cells_of_the_notebook_run(tag):
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], tag, "exec"), dict(vars(lesson)))
