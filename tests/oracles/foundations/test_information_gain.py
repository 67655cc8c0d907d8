"""foundations/information_gain against scipy and scikit-learn, closed forms and the chain rule."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import mutual_info_score

from reference.foundations import information_gain
from reference.foundations.information_gain import entropy, interaction_bits, mutual_information

KEYS = ("text", "image", "joint", "interaction")
SHAPES = [(2, 3, 4), (3, 2, 2), (1, 4, 3), (5, 1, 2), (4, 4, 4)]


def table(seed, *shape, zeros=True):
    rng = np.random.default_rng(seed)
    weights = rng.random(shape) * ((rng.random(shape) > 0.3) if zeros else 1)
    weights.flat[0] += 0.1
    return weights / weights.sum()


def world(label, n_labels=2):
    joint = np.zeros((2, 2, n_labels))
    for t in (0, 1):
        for i in (0, 1):
            joint[t, i, label(t, i)] = 1 / 4
    return joint


@pytest.mark.parametrize("shape", SHAPES)
def test_scipy_and_scikit_learn_agree(shape):
    counts = np.random.default_rng(1).integers(0, 9, shape)
    joint = counts / counts.sum()
    assert entropy(joint) == pytest.approx(scipy_entropy(joint.ravel(), base=2), abs=1e-12)
    report = interaction_bits(joint)
    for key, table_of_two in (
        ("text", counts.sum(1)),
        ("image", counts.sum(0)),
        ("joint", counts.reshape(-1, shape[2])),
    ):
        expected = mutual_info_score(None, None, contingency=table_of_two) / np.log(2)
        pair = table_of_two / counts.sum()
        assert report[key] == pytest.approx(expected, abs=1e-12)
        product = np.outer(pair.sum(1), pair.sum(0)).ravel()
        occurs = pair.ravel() > 0
        divergence = scipy_entropy(pair.ravel()[occurs], product[occurs] / product[occurs].sum(), base=2)
        assert report[key] == pytest.approx(divergence - np.log2(product[occurs].sum()), abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_laws(shape):
    joint = table(2, *shape, zeros=False)
    report = interaction_bits(joint)
    beyond = sum(part.sum() * mutual_information(part / part.sum()) for part in joint)
    assert report["joint"] == pytest.approx(report["text"] + beyond, abs=1e-12)  # the chain rule
    assert max(report["text"], report["image"]) - 1e-12 <= report["joint"] <= entropy(joint.sum((0, 1))) + 1e-12
    assert min(report["text"], report["image"]) >= -1e-12
    exchanged = interaction_bits(joint.transpose(1, 0, 2))
    assert (exchanged["text"], exchanged["image"]) == pytest.approx((report["image"], report["text"]))
    assert exchanged["interaction"] == pytest.approx(report["interaction"], abs=1e-12)
    rng = np.random.default_rng(3)
    relabelled = joint[np.ix_(*(rng.permutation(size) for size in shape))]
    assert interaction_bits(relabelled) == pytest.approx(report, abs=1e-12)


@pytest.mark.parametrize(
    ("joint", "expected"),
    [
        (world(lambda t, i: t ^ i), (0, 0, 1, 1)),
        (np.diag([0.5, 0.5])[:, :, None] * np.eye(2)[:, None, :], (1, 1, 1, -1)),
        (world(lambda t, i: 2 * t + i, n_labels=4), (1, 1, 2, 0)),
        (world(lambda t, i: t & i), (0.31127812, 0.31127812, 0.81127812, 0.18872188)),
    ],
)
def test_the_four_worlds(joint, expected):
    report = interaction_bits(joint)
    assert [report[key] for key in KEYS] == pytest.approx(expected, abs=1e-8)


def test_tiny_probabilities_and_certainty():
    assert mutual_information([[1.0, 0.0], [0.0, 1e-200]]) == pytest.approx(0, abs=1e-12)
    assert interaction_bits([[[1]]]) == dict.fromkeys(KEYS, 0.0)
    assert entropy(np.full(10, 0.1)) == pytest.approx(np.log2(10))


@pytest.mark.parametrize("function", [entropy, mutual_information, interaction_bits])
def test_what_is_refused(function):
    shape = {entropy: (4,), mutual_information: (2, 2), interaction_bits: (2, 2, 1)}[function]
    for values in ([0.5, 0.5, 0.5, -0.5], [0.5, np.nan, 0.25, 0.25], [1, 2, 3, 4], [0.25, 0.25, 0.25, 0.2500001]):
        with pytest.raises(ValueError):
            function(np.reshape(values, shape))
    for wrong_shape in ((1, 1, 1, 4), (0,) * len(shape)):
        if function is not entropy or 0 in wrong_shape:
            with pytest.raises(ValueError):
                function(np.full(wrong_shape, 0.25))


def test_the_argument_is_left_alone():
    joint = table(4, 2, 3, 2)
    before = joint.copy()
    interaction_bits(joint)
    assert np.array_equal(joint, before)


def test_the_claims_that_are_arithmetic():
    xor = world(lambda t, i: t ^ i)
    average = (xor.sum(1)[:, None] / 0.5 + xor.sum(0)[None, :] / 0.5) / 2
    assert np.allclose(average, 0.5)  # late_average
    # a copied bit beside the XOR of two more: T = (r, a), I = (r, b), Z = (r, a xor b)
    joint = np.zeros((4, 4, 4))
    for r, a, b in np.ndindex(2, 2, 2):
        joint[2 * r + a, 2 * r + b, 2 * r + (a ^ b)] = 1 / 8
    report = interaction_bits(joint)
    assert [report[key] for key in KEYS] == pytest.approx([1, 1, 2, 0], abs=1e-12)  # zero_interaction


def test_the_visible_checks_of_the_lesson_hold():
    lesson = Path(information_gain.__file__).read_text(encoding="utf-8")
    (cell,) = re.findall(r'^# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', lesson, flags=re.MULTILINE)
    code = re.sub(r"^# ?", "", cell, flags=re.MULTILINE)
    assert code.count("assert ") == 3
    exec(compile(code, "visible checks", "exec"), dict(vars(information_gain)))
