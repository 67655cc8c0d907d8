"""The reference recomputed from its weights with einsum, inside a model, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
from scipy.special import erf

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from reference.architectures import encoder_decoder_fusion  # noqa: E402
from reference.architectures.encoder_decoder_fusion import EncoderDecoderFusion  # noqa: E402

MASK = np.array([[True, True, False, True, False], [True] * 5, [False] * 5])


def layer_and_inputs() -> tuple:
    rng = np.random.default_rng(0)
    layer = EncoderDecoderFusion(6, num_heads=3)
    text, image = rng.normal(size=(3, 5, 4)).astype(np.float32), rng.normal(size=(3, 2, 7)).astype(np.float32)
    layer(tf.constant(text), tf.constant(image))
    for variable in layer.trainable_variables:
        variable.assign(variable + 0.5 * rng.normal(size=variable.shape))
    return layer, text, image


def norm(layer, x):
    gamma, beta = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.epsilon) * gamma + beta


def dense(layer, x):
    kernel, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    return x @ kernel + bias


def attention(layer, query, memory, visible):
    """Multi-head attention from the weights of a Keras layer; a query without visible keys gets weights 0."""
    wq, bq, wk, bk, wv, bv, wo, bo = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    q = np.einsum("bqd,dhw->bqhw", query, wq) + bq
    k = np.einsum("bkd,dhw->bkhw", memory, wk) + bk
    v = np.einsum("bkd,dhw->bkhw", memory, wv) + bv
    weights = np.exp(np.einsum("bqhw,bkhw->bhqk", q, k) / np.sqrt(q.shape[-1])) * visible[:, None, None, :]
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    return np.einsum("bhqk,bkhw,hwd->bqd", weights, v, wo) + bo, weights


def recompute(layer, text, image, visible):
    memory = dense(layer.text_projection, text.astype(np.float64))
    normed = norm(layer.encoder_norm, memory)
    memory = norm(layer.memory_norm, memory + attention(layer.encoder_attention, normed, normed, visible)[0])
    tokens = dense(layer.image_projection, image.astype(np.float64))
    found, scores = attention(layer.decoder_attention, norm(layer.decoder_norm, tokens), memory, visible)
    tokens = tokens + found * visible.any(axis=1)[:, None, None]
    wide = dense(layer.expand, norm(layer.feed_forward_norm, tokens))
    return tokens + dense(layer.contract, wide * (1 + erf(wide / np.sqrt(2))) / 2), scores


@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_the_formula_with_the_same_weights(mask) -> None:
    layer, text, image = layer_and_inputs()
    text_mask = None if mask is None else tf.constant(mask)
    output, scores = layer(tf.constant(text), tf.constant(image), text_mask=text_mask, return_attention_scores=True)
    expected, expected_scores = recompute(layer, text, image, np.ones((3, 5), bool) if mask is None else mask)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=5e-5)


def test_gradients_are_finite_without_text_and_its_own_gradient_is_zero() -> None:
    layer, text, image = layer_and_inputs()
    text = tf.constant(text)
    with tf.GradientTape() as tape:
        tape.watch(text)
        total = tf.reduce_sum(layer(text, tf.constant(image), text_mask=tf.constant(MASK)) ** 2)
    gradients = tape.gradient(total, [text, *(variable.value for variable in layer.trainable_variables)])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert not np.any(gradients[0][2]) and np.any(gradients[0][0])


def test_works_inside_a_functional_model_that_is_saved_and_loaded(tmp_path) -> None:
    rng = np.random.default_rng(1)
    text, image, mask = keras.Input((5, 4)), keras.Input((3, 7)), keras.Input((5,), dtype="bool")
    output = EncoderDecoderFusion(6, num_heads=2, dropout=0.1)(text, image, text_mask=mask)
    model = keras.Model([text, image, mask], output)
    assert model.output_shape == (None, 3, 6)
    inputs = [rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 3, 7)), rng.random((2, 5)) < 0.7]
    model.save(tmp_path / "model.keras")
    custom = {"EncoderDecoderFusion": EncoderDecoderFusion}
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=custom)
    np.testing.assert_allclose(loaded(inputs), model(inputs), rtol=1e-5, atol=1e-6)


def test_bad_input() -> None:
    for options in ((0,), (6, 4), (6, 0), (6, 3, 1.0), (6, 3, -0.1)):
        with pytest.raises(ValueError, match=r"heads|dropout"):
            EncoderDecoderFusion(*options)
    layer, text, image = layer_and_inputs()
    text, image = tf.constant(text), tf.constant(image)
    for bad_text, bad_image in ((text[:, 0, 0], image), (text, image[:, None]), (text[:1], image)):
        with pytest.raises(ValueError, match=r"expected|differ"):
            layer(bad_text, bad_image)
    with pytest.raises(ValueError, match="does not fit"):
        layer(text, image, text_mask=tf.fill((3, 2), True))
    with pytest.raises(TypeError, match="boolean"):
        layer(text, image, text_mask=tf.ones((3, 5)))


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(encoder_decoder_fusion.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(encoder_decoder_fusion)))
