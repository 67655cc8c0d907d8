"""transfer/prototypes_and_meta_learning against scikit-learn's NearestCentroid, torch.func and finite differences."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

tf = pytest.importorskip("tensorflow")

from reference.transfer import prototypes_and_meta_learning as lesson  # noqa: E402
from reference.transfer.prototypes_and_meta_learning import maml_gradient, prototypical_logits  # noqa: E402

RNG = np.random.default_rng(0)


def episode(classes=4, width=6):
    labels = RNG.permutation(np.repeat(np.arange(classes), RNG.integers(1, 5, size=classes)))
    support = RNG.normal(size=(labels.size, width)).astype(np.float32)
    return support, labels, RNG.normal(size=(9, width)).astype(np.float32)


def test_agrees_with_the_nearest_centroid():
    for _ in range(5):
        support, labels, query = episode()
        model = NearestCentroid().fit(support, labels)
        logits = prototypical_logits(tf.constant(support), labels, tf.constant(query)).numpy()
        assert np.array_equal(logits.argmax(axis=1), model.predict(query))
        expected = -((query[:, None] - model.centroids_[None]) ** 2).sum(axis=-1)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_is_a_linear_classifier():
    support, labels, query = episode()
    logits = prototypical_logits(tf.constant(support), labels, tf.constant(query)).numpy()
    means = np.array([support[labels == c].mean(axis=0) for c in range(4)])
    linear = query @ (2 * means.T) - (means**2).sum(axis=1)
    np.testing.assert_allclose(tf.nn.softmax(logits), tf.nn.softmax(linear), rtol=1e-4, atol=1e-6)


def test_logits_do_not_change_with_a_translation_or_rotation():
    support, labels, query = episode()
    rotation = np.linalg.qr(RNG.normal(size=(6, 6)))[0].astype(np.float32)
    shift = RNG.normal(size=6).astype(np.float32)
    logits = prototypical_logits(tf.constant(support), labels, tf.constant(query))
    moved = prototypical_logits(tf.constant(support @ rotation + shift), labels, tf.constant(query @ rotation + shift))
    np.testing.assert_allclose(logits, moved, rtol=1e-4, atol=1e-4)


def torch_gradient(loss, start, support, query, rate, steps):
    params = [torch.tensor(value, requires_grad=True) for value in start]
    adapted = params
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(adapted, support), adapted, create_graph=True)
        adapted = [param - rate * gradient for param, gradient in zip(adapted, gradients, strict=True)]
    return torch.autograd.grad(loss(adapted, query), params)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_agrees_with_second_derivatives_in_torch(steps):
    start = [RNG.normal(size=shape) for shape in ((3, 4), (4,), (4, 2))]
    batches = [(RNG.normal(size=(n, 3)), RNG.integers(2, size=n)) for n in (5, 7)]

    def tf_loss(params, batch):
        logits = tf.tanh(batch[0] @ params[0] + params[1]) @ params[2]
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(batch[1], logits))

    def torch_loss(params, batch):
        logits = torch.tanh(torch.tensor(batch[0]) @ params[0] + params[1]) @ params[2]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(batch[1]))

    found = maml_gradient(tf_loss, [tf.constant(value) for value in start], *batches, 0.3, steps=steps)
    for gradient, expected in zip(found, torch_gradient(torch_loss, start, *batches, 0.3, steps), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, -3.84),
        ({"first_order": True}, -4.8),
        ({"steps": 3}, -2.31014),
        ({"steps": 3, "first_order": True}, -4.512),
    ],
)
def test_the_worked_example(options, expected):
    def loss(params, centre):
        return (params[0] - centre) ** 2

    (gradient,) = maml_gradient(loss, [tf.constant(0.5)], 1.0, 3.0, 0.1, **options)
    assert float(gradient) == pytest.approx(expected, rel=1e-5)


def test_the_rate_zero_gives_the_plain_gradient():
    params = [tf.Variable([1.0, -2.0])]
    (gradient,) = maml_gradient(lambda p, b: tf.reduce_sum(b * p[0] ** 2), params, 1.0, 3.0, 0.0, steps=2)
    np.testing.assert_allclose(gradient, [6.0, -12.0], rtol=1e-6)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
