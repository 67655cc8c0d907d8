"""The reference of transfer/keras_feature_extractor against direct calls of the encoders and of their layers."""

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from reference.transfer import keras_feature_extractor  # noqa: E402
from reference.transfer.keras_feature_extractor import build_feature_extractor  # noqa: E402


def tiny_encoders():
    rows = keras.Input((4,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(6, activation="relu", name="hidden")(rows))
    text = keras.Model(rows, keras.layers.Dense(2, name="classes")(keras.layers.BatchNormalization()(hidden)))
    image = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3), keras.layers.BatchNormalization()])
    image.add(keras.layers.GlobalAveragePooling2D(name="pooled"))
    image.add(keras.layers.Dense(3, name="classes"))
    return text, image


def random_batch(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(7, 4)).astype(np.float32), rng.normal(size=(7, 8, 8, 3)).astype(np.float32)]


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_outputs_are_those_of_direct_calls():
    text_encoder, image_encoder = tiny_encoders()
    batch = random_batch(1)
    extractor = build_feature_extractor(text_encoder, image_encoder)
    direct = [text_encoder.predict(batch[0], verbose=0), image_encoder.predict(batch[1], verbose=0)]
    np.testing.assert_allclose(array(extractor(batch)), np.hstack(direct), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(array(extractor(batch, training=True)), array(extractor(batch)))
    np.testing.assert_allclose(extractor.predict(batch, verbose=0), np.hstack(direct), rtol=1e-5, atol=1e-6)


def test_inner_layers_are_those_of_calls_layer_by_layer():
    text_encoder, image_encoder = tiny_encoders()
    batch = random_batch(2)
    extractor = build_feature_extractor(text_encoder, image_encoder, text_layer="hidden", image_layer="pooled")
    image = batch[1]
    for layer in image_encoder.layers[:3]:
        image = layer(image)
    expected = np.hstack([array(text_encoder.get_layer("hidden")(batch[0])), array(image)])
    np.testing.assert_allclose(array(extractor(batch)), expected, rtol=1e-5, atol=1e-6)


def test_weights_are_shared_and_frozen_and_only_the_projection_learns():
    text_encoder, image_encoder = tiny_encoders()
    batch = random_batch(3)
    extractor = build_feature_extractor(text_encoder, image_encoder, image_layer="pooled", hidden_size=4)
    extractor(batch)
    shared = {id(variable) for variable in extractor.variables}
    assert {id(variable) for variable in text_encoder.variables} <= shared
    assert len(extractor.trainable_variables) == 2
    assert not text_encoder.trainable_variables and not image_encoder.trainable_variables
    before = text_encoder.get_weights() + image_encoder.get_weights()
    projection = [variable.numpy() for variable in extractor.trainable_variables]
    extractor.compile("sgd", "mse")
    extractor.fit(batch, np.ones((7, 4)), epochs=2, verbose=0)
    for old, new in zip(before, text_encoder.get_weights() + image_encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for old, variable in zip(projection, extractor.trainable_variables, strict=True):
        assert not np.array_equal(variable.numpy(), old)


def test_visible_checks_pass_for_the_reference():
    source = Path(keras_feature_extractor.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(keras_feature_extractor).copy())
