"""The reference against PyTorch's attention and Keras's layer, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

from reference.attention import cross_modal  # noqa: E402
from reference.attention.cross_modal import cross_modal_attention  # noqa: E402

MASK = np.array([[True, True, False, True, False], [True] * 5, [False, False, False, True, False]])
EMPTY = MASK & np.array([[True], [False], [True]])


def features(dtype: str = "float64") -> tuple:
    rng = np.random.default_rng(0)
    return tf.constant(rng.normal(size=(3, 4, 6)).astype(dtype)), tf.constant(rng.normal(size=(3, 5, 6)).astype(dtype))


def torch_attention(text, image, mask):
    text, image = (torch.tensor(value.numpy(), requires_grad=True) for value in (text, image))
    attn_mask = None if mask is None else torch.tensor(mask)[:, None, :].expand(3, 4, 5)
    return text, image, torch.nn.functional.scaled_dot_product_attention(text, image, image, attn_mask=attn_mask)


@pytest.mark.parametrize("mask", [None, MASK, EMPTY])
def test_equals_pytorch_in_value_and_gradient(mask) -> None:
    text, image = features()
    with tf.GradientTape() as tape:
        tape.watch([text, image])
        context, weights = cross_modal_attention(text, image, None if mask is None else tf.constant(mask))
        total = tf.reduce_sum(context**2)
    gradients = tape.gradient(total, [text, image])

    torch_text, torch_image, expected = torch_attention(text, image, mask)
    np.testing.assert_allclose(context, expected.detach(), rtol=1e-12, atol=1e-13)
    (expected**2).sum().backward()
    for gradient, leaf in zip(gradients, (torch_text, torch_image), strict=True):
        np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-11, atol=1e-12)
    some = np.ones((3, 1)) if mask is None else mask.any(axis=1, keepdims=True)
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), np.broadcast_to(some, (3, 4)), rtol=1e-12)


@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_keras_attention_where_every_sample_has_a_token(mask) -> None:
    text, image = features("float32")
    mask = None if mask is None else tf.constant(mask)
    context, weights = cross_modal_attention(text, image, mask)
    layer = keras.layers.Attention()
    expected = layer([text / 6**0.5, image], mask=[None, mask], return_attention_scores=True)
    np.testing.assert_allclose(context, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights, expected[1], rtol=1e-5, atol=1e-6)


def test_order_of_tokens_and_added_padding() -> None:
    text, image = features()
    context, weights = cross_modal_attention(text, image, tf.constant(MASK))
    order = [3, 0, 4, 2, 1]
    shuffled = cross_modal_attention(text, tf.gather(image, order, axis=1), tf.constant(MASK[:, order]))
    np.testing.assert_allclose(shuffled[0], context, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(shuffled[1], tf.gather(weights, order, axis=2), rtol=1e-12, atol=1e-13)
    swapped, _ = cross_modal_attention(tf.reverse(text, [1]), image, tf.constant(MASK))
    np.testing.assert_allclose(swapped, tf.reverse(context, [1]), rtol=1e-12, atol=1e-13)
    padded = tf.pad(image, [[0, 0], [0, 2], [0, 0]], constant_values=1e5)
    longer, _ = cross_modal_attention(text, padded, tf.constant(np.pad(MASK, [(0, 0), (0, 2)])))
    np.testing.assert_allclose(longer, context, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_low_precision_stays_close_to_float64(dtype) -> None:
    text, image = features()
    exact, _ = cross_modal_attention(text, image, tf.constant(EMPTY))
    context, weights = cross_modal_attention(tf.cast(text, dtype), tf.cast(image, dtype), tf.constant(EMPTY))
    assert context.dtype == weights.dtype == dtype
    tolerance = 20 * np.finfo(np.float16).eps * (1 if dtype == tf.float16 else 8)
    np.testing.assert_allclose(tf.cast(context, tf.float64), exact, atol=tolerance)


def test_bad_input() -> None:
    text, image = features("float32")
    for bad_text, bad_image in ((text[0], image), (text, image[0]), (text, image[:1]), (text[..., 1:], image)):
        with pytest.raises(ValueError, match=r"expected|differ"):
            cross_modal_attention(bad_text, bad_image)
    with pytest.raises(ValueError, match="no image token"):
        cross_modal_attention(text, image[:, :0])
    with pytest.raises(ValueError, match="does not fit"):
        cross_modal_attention(text, image, tf.fill((3, 4), True))
    with pytest.raises(TypeError, match="boolean"):
        cross_modal_attention(text, image, tf.ones((3, 5)))
    with pytest.raises(TypeError, match="floating"):
        cross_modal_attention(tf.cast(text, tf.int32), image)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(cross_modal.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(cross_modal)))
