"""The reference of losses/fusion_loss against scikit-learn's metrics and a recomputation in NumPy."""

from pathlib import Path

import jupytext
import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
metrics = pytest.importorskip("sklearn.metrics")

from reference.losses import fusion_loss as lesson  # noqa: E402
from reference.losses.fusion_loss import FusionClassifier, fuse_and_score, fusion_loss  # noqa: E402


class PassOn(keras.Model):
    def call(self, inputs):
        return {"fused": inputs[1], "logits": inputs[0]}


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_log_loss_of_scikit_learn(rng, weighted):
    logits = rng.normal(scale=3, size=(9, 4)).astype(np.float32)
    labels = rng.permutation(np.arange(9) % 4)
    weight = rng.uniform(0.1, 3, size=9) if weighted else None
    *_, loss = fusion_loss(PassOn(), logits, np.ones((9, 6), np.float32), labels, weight)
    probability = softmax(logits.astype(np.float64))
    expected = metrics.log_loss(labels, probability, sample_weight=weight, labels=range(4))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert loss.dtype == tf.float32 and loss.shape == ()


def test_floor_of_the_second_softmax_that_the_lesson_quotes():
    for classes, floor in ((3, 0.55), (100, 3.62)):
        logits = np.eye(classes, dtype=np.float32)[[0]]  # the softmax of a sure and right model
        *_, loss = fusion_loss(PassOn(), logits, logits, np.array([0]))
        np.testing.assert_allclose(loss, np.log(1 + (classes - 1) / np.e), rtol=1e-5)
        assert abs(float(loss) - floor) < 0.005


def test_clipped_value_that_the_lesson_quotes():
    logits = tf.constant([[2, -1, 0.5], [-3, 1, 0]])
    assert abs(float(keras.losses.SparseCategoricalCrossentropy()(np.array([1, 0]), logits)) - 16.32) < 0.005


def test_model_agrees_with_numpy_and_learns_an_interaction(rng):
    text, image = (rng.choice([-1.0, 1.0], size=(64, 1)).astype(np.float32) for _ in range(2))
    labels = (text[:, 0] * image[:, 0] > 0).astype(int)  # needs both modalities
    keras.utils.set_random_seed(0)
    model, optimizer = FusionClassifier(12, 2), keras.optimizers.Adam(0.1)
    losses = []
    for _ in range(40):
        with tf.GradientTape() as tape:
            fused, logits, loss = fusion_loss(model, text, image, labels)
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        losses.append(float(loss))
    assert losses[-1] < 0.1 < losses[0]
    assert fuse_and_score(model, text, image, labels)["f1"] == 1.0

    kernel, bias, head_kernel, head_bias = model.get_weights()
    fused = np.maximum(np.hstack([text, image]) @ kernel + bias, 0)
    output = model([text, image])
    np.testing.assert_allclose(output["fused"], fused, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output["logits"], fused @ head_kernel + head_bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("positives", [0, 5])
def test_scores_of_scikit_learn(rng, threshold, positives):
    logits = rng.normal(size=(20, 2)).astype(np.float32)
    labels = rng.permutation(np.arange(20) < positives).astype(int)
    score = fuse_and_score(PassOn(), logits, np.ones((20, 3), np.float32), labels[:, None], threshold)
    predicted = softmax(logits.astype(np.float64))[:, 1] >= threshold
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, average="binary", zero_division=0
    )
    accuracy = metrics.accuracy_score(labels, predicted)
    np.testing.assert_allclose(
        [score[name] for name in ("precision", "recall", "f1", "accuracy")], [precision, recall, f1, accuracy]
    )
    tn, fp, fn, tp = metrics.confusion_matrix(labels, predicted, labels=[0, 1]).ravel()
    assert [score[name] for name in ("tp", "fp", "fn", "tn")] == [tp, fp, fn, tn]


def test_visible_checks_pass_for_the_reference():
    cells = [
        cell.source
        for cell in jupytext.read(Path(lesson.__file__)).cells
        if "visible-checks" in cell.metadata.get("tags", [])
    ]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible-checks", "exec"), dict(vars(lesson)))
