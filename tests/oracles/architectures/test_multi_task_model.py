"""The reference of architectures/multi_task_model against scikit-learn and a recomputation in NumPy."""

from pathlib import Path

import jupytext
import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
metrics = pytest.importorskip("sklearn.metrics")

from reference.architectures import multi_task_model as lesson  # noqa: E402
from reference.architectures.multi_task_model import build_multi_task_model, multi_task_loss  # noqa: E402

TASKS = {"spam": 1, "match": 2, "topic": 4}


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def random_outputs(rng, batch):
    outputs = {task: tf.constant(rng.normal(scale=3, size=(batch, n)).astype(np.float32)) for task, n in TASKS.items()}
    labels = {task: rng.permutation(np.arange(batch) % max(n, 2)) for task, n in TASKS.items()}
    return outputs, labels


def probabilities(logits):
    logits = np.asarray(logits, dtype=np.float64)
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_missing", [0, 1, 5, 8])
def test_losses_are_log_loss_of_scikit_learn_on_the_known_samples(rng, n_missing):
    outputs, labels = random_outputs(rng, 9)
    for label in labels.values():
        label[rng.permutation(9)[:n_missing]] = -1
    weights = {"spam": 0.3, "match": 0.0, "topic": 2.0}
    total, per_task = multi_task_loss(outputs, labels, weights)
    expected = {}
    for task, logits in outputs.items():
        known = labels[task] >= 0
        probability = probabilities(logits)[known]
        expected[task] = metrics.log_loss(labels[task][known], probability, labels=range(probability.shape[1]))
    np.testing.assert_allclose([per_task[task] for task in TASKS], [expected[task] for task in TASKS], rtol=1e-5)
    np.testing.assert_allclose(total, sum(weights[task] * expected[task] for task in TASKS), rtol=1e-5)
    assert total.dtype == tf.float32 and total.shape == ()


def test_nothing_known_gives_zero_and_zero_gradients(rng):
    outputs, labels = random_outputs(rng, 5)
    with tf.GradientTape() as tape:
        tape.watch(list(outputs.values()))
        total, _ = multi_task_loss(outputs, {task: np.full(5, -1) for task in labels})
    assert float(total) == 0
    for gradient in tape.gradient(total, list(outputs.values())):
        np.testing.assert_array_equal(gradient, 0)


def test_model_has_the_parameters_of_the_formula_and_computes_what_numpy_does(rng):
    model = build_multi_task_model(3, 5, 7, TASKS)
    assert model.count_params() == (3 + 5 + 1) * 7 + sum((7 + 1) * n for n in TASKS.values())
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    text, image = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(6, 5)).astype(np.float32)
    weights = {weight.shape: weight for weight in model.get_weights()}  # every shape occurs once
    shared = np.maximum(np.hstack([text, image]) @ weights[8, 7] + weights[(7,)], 0)
    for task, logits in model([text, image]).items():
        n = TASKS[task]
        np.testing.assert_allclose(logits, shared @ weights[7, n] + weights[(n,)], rtol=1e-4, atol=1e-4)


def test_partly_labelled_tasks_are_learned_together(rng):
    text, image = (rng.choice([-1.0, 1.0], size=(64, 1)).astype(np.float32) for _ in range(2))
    agree = (text[:, 0] == image[:, 0]).astype(int)  # both tasks need both modalities
    corner = agree + 2 * (text[:, 0] > 0)
    half = np.arange(64) < 32
    labels = {"agree": np.where(half, agree, -1), "corner": np.where(half, -1, corner)}
    keras.utils.set_random_seed(0)
    model, optimizer = build_multi_task_model(1, 1, 16, {"agree": 1, "corner": 4}), keras.optimizers.Adam(0.1)
    for _ in range(40):
        with tf.GradientTape() as tape:
            total, _ = multi_task_loss(model([text, image]), labels)
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    outputs = {task: logits.numpy() for task, logits in model([text, image]).items()}
    np.testing.assert_array_equal(outputs["agree"][:, 0] > 0, agree)  # on the samples without a label too
    np.testing.assert_array_equal(outputs["corner"].argmax(axis=1), corner)


def test_visible_checks_pass_for_the_reference():
    cells = [
        cell.source
        for cell in jupytext.read(Path(lesson.__file__)).cells
        if "visible-checks" in cell.metadata.get("tags", [])
    ]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], "visible-checks", "exec"), dict(vars(lesson)))
