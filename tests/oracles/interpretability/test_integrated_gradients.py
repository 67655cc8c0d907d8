"""The reference of interpretability/integrated_gradients against quadrature of finite differences, and the axioms."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
integrate = pytest.importorskip("scipy.integrate")

from reference.interpretability import integrated_gradients as lesson  # noqa: E402
from reference.interpretability.integrated_gradients import completeness_gap, integrated_gradients  # noqa: E402


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def network(rng):
    w, u = rng.normal(size=(3, 6)) * 0.7, rng.normal(size=(4, 6)) * 0.7
    b, v = rng.normal(size=6), rng.normal(size=(6, 2))

    def f(inputs):
        text, image = inputs
        return tf.tanh(text @ w + tf.reshape(image, (-1, 4)) @ u + b) @ v

    return f


@pytest.fixture
def inputs(rng):
    return [rng.normal(size=(1, 3)), rng.normal(size=(1, 2, 2))]


@pytest.fixture
def baselines(rng):
    return [rng.normal(size=(1, 3)), rng.normal(size=(1, 2, 2))]


def by_quadrature(f, inputs, baselines, target, step=1e-5):
    """Central differences of the network, integrated along the path by an adaptive rule."""
    results = []
    for place, (x, start) in enumerate(zip(inputs, baselines, strict=True)):
        result = np.zeros(x.shape)
        for index in np.ndindex(x.shape):

            def slope(alpha, place=place, index=index):
                point = [s + alpha * (e - s) for s, e in zip(baselines, inputs, strict=True)]
                ends = []
                for sign in (1, -1):
                    moved = [p.copy() for p in point]
                    moved[place][index] += sign * step
                    ends.append(float(f([tf.constant(m) for m in moved])[0, target]))
                return (ends[0] - ends[1]) / (2 * step)

            result[index] = (x[index] - start[index]) * integrate.fixed_quad(np.vectorize(slope), 0, 1, n=12)[0]
        results.append(result)
    return results


@pytest.mark.parametrize("target", [0, 1])
def test_equals_quadrature_of_finite_differences(network, inputs, baselines, target):
    found = integrated_gradients(network, inputs, baselines, target, steps=200)
    for actual, expected in zip(found, by_quadrature(network, inputs, baselines, target), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_the_gap_shrinks_with_the_square_of_the_steps(network, inputs):
    gaps = [
        completeness_gap(network, inputs, None, integrated_gradients(network, inputs, target=1, steps=steps), 1)
        for steps in (20, 40, 80)
    ]
    assert abs(gaps[0]) < 1e-2
    np.testing.assert_allclose([gaps[0] / gaps[1], gaps[1] / gaps[2]], 4, rtol=0.05)


def test_a_bilinear_score_is_exact_and_the_right_ends_are_not(rng, inputs):
    a, b = rng.normal(size=3), rng.normal(size=(2, 2))

    def f(inputs):
        return tf.linalg.matvec(inputs[0], a) * tf.reduce_sum(inputs[1] * b, axis=[1, 2])

    parts = integrated_gradients(f, inputs)
    rise = float(f([tf.constant(x) for x in inputs])[0])
    assert abs(completeness_gap(f, inputs, None, parts)) < 1e-12
    np.testing.assert_allclose([float(tf.reduce_sum(part)) for part in parts], rise / 2, rtol=1e-12)
    right_ends = sum((step + 1) / 50 for step in range(50)) / 50 * 2 * rise  # the same sum with the ends of the pieces
    assert abs(right_ends - rise) > 1e-3 * max(1.0, abs(rise))


def test_linear_in_the_function_and_equal_for_symmetric_values(network):
    inputs = [np.full((1, 3), 0.4), np.full((1, 2, 2), -0.3)]
    both = integrated_gradients(lambda x: network(x)[:, 0] * 2 - network(x)[:, 1], inputs, steps=5)
    first, second = (integrated_gradients(network, inputs, target=target, steps=5) for target in (0, 1))
    for total, one, two in zip(both, first, second, strict=True):
        np.testing.assert_allclose(total, 2 * one - two, atol=1e-12)
    symmetric = integrated_gradients(lambda x: tf.exp(tf.reduce_sum(x[0], 1)) * x[1][:, 0, 1], inputs, steps=5)
    np.testing.assert_allclose(symmetric[0], symmetric[0][0, 0])
    assert np.count_nonzero(symmetric[1]) == 1  # the three others are dummies


def test_the_worked_example_and_the_claims_that_can_be_computed():
    inputs = [np.array([[2.0]]), np.array([[3.0]])]
    parts = integrated_gradients(lambda x: x[0][:, 0] * x[1][:, 0], inputs)
    np.testing.assert_allclose(np.ravel(parts), [3, 3])
    moved = integrated_gradients(lambda x: x[0][:, 0] * x[1][:, 0], inputs, [np.ones((1, 1)), np.zeros((1, 1))])
    assert np.allclose(np.ravel(parts), np.ravel(moved)) == lesson.claims["baseline_is_free"]
    linear = integrated_gradients(lambda x: 5 * x[0][:, 0] - x[1][:, 0], inputs, steps=7)
    assert np.allclose(np.ravel(linear), [10, -3]) == lesson.claims["linear_case"]


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
