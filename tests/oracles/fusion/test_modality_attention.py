"""The reference against Keras's own layers, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from reference.fusion import modality_attention  # noqa: E402
from reference.fusion.modality_attention import ModalityAttention  # noqa: E402

PRESENT = np.array([[True, True, True], [True, False, True], [False, False, True], [False, True, True]])


def layer_and_features(widths=(4, 2, 3)) -> tuple:
    rng = np.random.default_rng(0)
    layer = ModalityAttention(5, score_size=6)
    features = [tf.constant(rng.normal(size=(4, width)).astype(np.float32)) for width in widths]
    layer(features)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer, features


def by_keras_layers(layer, features, present) -> tuple:
    projected = [
        keras.ops.tanh(keras.ops.matmul(keras.ops.nan_to_num(x), W) + b)
        for x, W, b in zip(features, layer.W, layer.b, strict=True)
    ]
    values = keras.ops.stack(projected, axis=1)
    # additive attention scores are a sum over tanh(query + key): a query of 0, and the columns of U scaled by v
    attention = keras.layers.AdditiveAttention(use_scale=True)
    keys = keras.ops.matmul(values, layer.U)
    query = keras.ops.zeros_like(keys[:, :1])
    attention.build([query.shape, values.shape, keys.shape])
    attention.scale.assign(layer.v)
    fused, weights = attention([query, values, keys], mask=[None, present], return_attention_scores=True)
    return fused[:, 0], weights[:, 0]


@pytest.mark.parametrize("present", [None, PRESENT])
def test_equals_additive_attention_with_a_query_of_zero(present) -> None:
    layer, features = layer_and_features()
    present = None if present is None else tf.constant(present)
    expected_fused, expected_weights = by_keras_layers(layer, features, present)
    fused, weights = layer(features, present=present)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fused, expected_fused, rtol=1e-5, atol=1e-6)


def test_nan_in_absent_modalities_and_a_sample_without_any() -> None:
    layer, features = layer_and_features()
    present = PRESENT & np.array([[True], [True], [True], [False]])
    clean, _ = layer(features, present=tf.constant(present))
    dirty = [tf.where(present[:, m : m + 1], x, np.nan) for m, x in enumerate(features)]
    with tf.GradientTape() as tape:
        tape.watch(dirty)
        fused, weights = layer(dirty, present=tf.constant(present))
        total = tf.reduce_sum(fused**2)
    np.testing.assert_allclose(fused, clean, rtol=1e-6)
    assert not np.any(fused[3]) and not np.any(weights[3])
    variables = [variable.value for variable in layer.trainable_variables]
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(total, [*dirty, *variables]))


def test_one_modality_has_weight_one() -> None:
    layer, features = layer_and_features(widths=(3,))
    fused, weights = layer(features)
    np.testing.assert_array_equal(weights, np.ones((4, 1)))
    np.testing.assert_allclose(fused, np.tanh(features[0] @ layer.W[0] + layer.b[0]), rtol=1e-5)


def test_works_inside_a_functional_model_and_learns() -> None:
    rng = np.random.default_rng(1)
    text, image = keras.Input((4,)), keras.Input((3,))
    fused, _ = ModalityAttention(6)([text, image])
    model = keras.Model([text, image], keras.layers.Dense(1)(fused))
    x = [rng.normal(size=(32, width)).astype(np.float32) for width in (4, 3)]
    y = (x[0][:, :1] + x[1][:, :1]).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.02), loss="mse")
    history = model.fit(x, y, epochs=20, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


def test_bad_input() -> None:
    layer, features = layer_and_features()
    with pytest.raises(ValueError, match="no modality"):
        ModalityAttention(5)([])
    for bad in ([], features[:2], [*features, features[0]]):
        with pytest.raises(ValueError, match="built for 3"):
            layer(bad)
    for bad in (features[0][:1], features[0][:, :1], features[0][0], features[0][None]):
        with pytest.raises(ValueError, match="expected features"):
            layer([bad, *features[1:]])
    with pytest.raises(ValueError, match="expected present"):
        layer(features, present=tf.fill((4, 2), True))
    with pytest.raises(TypeError, match="boolean"):
        layer(features, present=tf.ones((4, 3)))
    with pytest.raises(TypeError, match="floating"):
        layer([tf.cast(features[0], tf.int32), *features[1:]])


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(modality_attention.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(modality_attention)))
