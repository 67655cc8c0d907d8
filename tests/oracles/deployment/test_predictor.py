"""The reference of deployment/predictor against direct calls of the model and scikit-learn's scaler."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
preprocessing = pytest.importorskip("sklearn.preprocessing")

from reference.deployment import predictor as lesson  # noqa: E402
from reference.deployment.predictor import Predictor  # noqa: E402

NAMES = ["zebra", "ant", "cow"]


@pytest.fixture(scope="module")
def training():
    rng = np.random.default_rng(4)
    return rng.normal(50, 9, size=(60, 3)), rng.normal(-3, 0.2, size=(60, 2))


@pytest.fixture(scope="module")
def scalers(training):
    return [preprocessing.StandardScaler().fit(features) for features in training]


def build(scalers, head, outputs, activation=None):
    keras.utils.set_random_seed(7)
    inputs = [keras.Input((3,)), keras.Input((2,))]
    hidden = keras.layers.Dense(5, activation="tanh")(keras.layers.Concatenate()(inputs))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(hidden))
    model = keras.Model(inputs, keras.layers.Dense(outputs, activation=activation, kernel_initializer="normal")(hidden))
    stats = [(scaler.mean_, scaler.scale_) for scaler in scalers]
    return model, Predictor(model, *stats, head, NAMES if outputs == 3 else ["no", "yes"])


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_logits_and_softmax_heads_agree_with_the_model(training, scalers, batch_size):
    model, of_logits = build(scalers, "logits", 3)
    _, of_softmax = build(scalers, "softmax", 3, "softmax")
    expected = model([scaler.transform(x) for scaler, x in zip(scalers, training, strict=True)], training=False)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(expected))
    for predictor in (of_logits, of_softmax):
        result = predictor.predict(*training, batch_size=batch_size)
        np.testing.assert_allclose(result["probabilities"], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(result["probabilities"].sum(axis=1), 1, rtol=1e-5)
        assert result["labels"] == [NAMES[index] for index in expected.argmax(axis=1)]


def test_the_order_of_the_rows_changes_nothing_else(training, scalers):
    _, predictor = build(scalers, "sigmoid", 1, "sigmoid")
    order = np.random.default_rng(0).permutation(60)
    straight, mixed = predictor.predict(*training), predictor.predict(*(x[order] for x in training), batch_size=11)
    np.testing.assert_allclose(mixed["probabilities"], straight["probabilities"][order], rtol=1e-5)
    assert mixed["labels"] == [straight["labels"][index] for index in order]
    assert set(straight["labels"]) == {"no", "yes"}


@pytest.mark.parametrize(("head", "outputs", "activation"), [("logits", 3, None), ("sigmoid", 1, "sigmoid")])
def test_loaded_predictors_give_the_same_numbers(training, scalers, tmp_path, head, outputs, activation):
    _, predictor = build(scalers, head, outputs, activation)
    predictor.save(tmp_path / "deep" / "folder")
    again = Predictor.load(str(tmp_path / "deep" / "folder"))
    before, after = predictor.predict(*training), again.predict(*training)
    np.testing.assert_array_equal(before["probabilities"], after["probabilities"])
    assert before["labels"] == after["labels"]
    assert (again.head, again.threshold, again.class_names) == (head, 0.5, predictor.class_names)


def test_no_rows(scalers):
    empty = np.zeros((0, 3)), np.zeros((0, 2))
    assert build(scalers, "logits", 3)[1].predict(*empty)["probabilities"].shape == (0, 3)
    assert build(scalers, "sigmoid", 1, "sigmoid")[1].predict(*empty)["probabilities"].shape == (0,)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
