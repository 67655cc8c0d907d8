"""The reference of transfer/keras_two_stage against Keras on cached features, and what may move in which stage."""

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from sklearn.metrics import log_loss  # noqa: E402

from reference.transfer import keras_two_stage  # noqa: E402
from reference.transfer.keras_two_stage import TransferClassifier, two_stage_fit  # noqa: E402


def tiny_encoder(width, features):
    rows = keras.Input((width,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(6, activation="relu")(rows))
    return keras.Model(rows, keras.layers.Dense(features)(keras.layers.Dropout(0.5)(hidden)))


def tiny_model(**options):
    return TransferClassifier(tiny_encoder(3, 4), tiny_encoder(5, 2), 3, **options)


def random_data(seed, samples=10):
    rng = np.random.default_rng(seed)
    text, image = rng.normal(size=(samples, 3)).astype(np.float32), rng.normal(size=(samples, 5)).astype(np.float32)
    return text, image, rng.integers(0, 3, samples)


def test_stage_one_is_a_dense_layer_on_cached_features():
    model, (text, image, labels) = tiny_model(), random_data(1)
    features = np.hstack([model.text_encoder.predict(text, verbose=0), model.image_encoder.predict(image, verbose=0)])
    model([text, image])
    head = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    head.set_weights(model.head.get_weights())
    first_loss = log_loss(labels, keras.ops.convert_to_numpy(keras.ops.softmax(head(features))), labels=[0, 1, 2])
    head.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = head.fit(features, labels, batch_size=10, epochs=4, verbose=0).history["loss"]
    losses = two_stage_fit(model, text, image, labels, 4, 0, 0.03, 0.01, 10, seed=0)
    assert losses["stage2"] == []
    np.testing.assert_allclose(losses["stage1"], expected, rtol=1e-5)
    np.testing.assert_allclose(losses["stage1"][0], first_loss, rtol=1e-5)
    for ours, theirs in zip(model.head.get_weights(), head.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_moves_in_which_stage_and_the_seed():
    model, data = tiny_model(dropout=0.0), random_data(2)
    text, image, _ = data
    model([text, image])
    start = [model.text_encoder.get_weights(), model.image_encoder.get_weights(), model.head.get_weights()]
    results = []
    for seed in (3, 3, 4):
        for part, weights in zip((model.text_encoder, model.image_encoder, model.head), start, strict=True):
            part.set_weights(weights)
        results.append(two_stage_fit(model, *data, 1, 2, 0.05, 0.01, 4, seed=seed))
    for encoder, before in zip((model.text_encoder, model.image_encoder), start[:2], strict=True):
        for variable, old in zip(encoder.weights, before, strict=True):
            assert np.array_equal(variable.numpy(), old) == ("moving" in variable.path), variable.path
    assert results[0] == results[1]
    assert results[0] != results[2]
    assert [len(results[0][stage]) for stage in ("stage1", "stage2")] == [1, 2]
    assert len(model.trainable_variables) == 14
    model.freeze()
    assert len(model.trainable_variables) == 2


def test_training_mode_leaves_the_encoders_alone():
    model, (text, image, _) = tiny_model(), random_data(3)
    for switch in (model.freeze, model.unfreeze):
        switch()
        usual = keras.ops.convert_to_numpy(model([text, image]))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(model([text, image], training=True)), usual)


def test_visible_checks_pass_for_the_reference():
    source = Path(keras_two_stage.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(keras_two_stage).copy())
