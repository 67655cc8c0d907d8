"""The reference of architectures/keras_two_tower against the layers' own weights in NumPy and scikit-learn's loss."""

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from sklearn.metrics import log_loss  # noqa: E402

from reference.architectures import keras_two_tower  # noqa: E402
from reference.architectures.keras_two_tower import build_two_tower_classifier  # noqa: E402


def tiny_base(pooled: bool = False) -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    maps = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(pixels))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(maps) if pooled else maps)


def random_data(seed: int, samples: int = 12) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 255, (samples, 8, 8, 3)).astype(np.float32)
    text = rng.integers(0, 10, (samples, 5)).astype(np.int32)
    text[0] = 0
    return {"image": image, "text": text}, (np.arange(samples) % 2).astype(np.float32)[:, None]


@pytest.mark.parametrize("pooled", [False, True])
def test_forward_from_the_weights_of_the_layers(pooled):
    base = tiny_base(pooled)
    model = build_two_tower_classifier(base, 10, 5, preprocess=keras.layers.Rescaling(1 / 255))
    batch, labels = random_data(1)
    table, kernel, bias, last_kernel, last_bias = (v.numpy().astype(np.float64) for v in model.trainable_variables)
    features = np.array(base(batch["image"] / 255, training=False))
    features = features if pooled else features.mean(axis=(1, 2))
    # scikit-learn's weighted average would refuse a text without words, so the mean is taken from sums
    words = np.stack([table[row[row != 0]].sum(axis=0) / max((row != 0).sum(), 1) for row in batch["text"]])
    units = np.maximum(np.hstack([features, words]) @ kernel + bias, 0)
    expected = 1 / (1 + np.exp(-(units @ last_kernel + last_bias)))
    np.testing.assert_allclose(np.array(model(batch)), expected, rtol=1e-4)
    loss = model.evaluate(batch, labels, verbose=0)
    np.testing.assert_allclose(loss, log_loss(labels.ravel(), expected.ravel()), rtol=1e-4)


def test_fit_leaves_the_base_as_it_is():
    base = tiny_base()
    model = build_two_tower_classifier(base, 10, 5, embed_dim=4, hidden=6, learning_rate=0.01)
    before, head = base.get_weights(), [variable.numpy() for variable in model.trainable_variables]
    batch, labels = random_data(2)
    model.fit(batch, labels, batch_size=5, epochs=2, verbose=0)
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for old, variable in zip(head, model.trainable_variables, strict=True):
        assert not np.array_equal(variable.numpy(), old)
        assert np.isfinite(variable.numpy()).all()
    assert len(model.trainable_variables) == 5


def test_keras_own_masked_mean_agrees_where_there_are_words():
    batch, _ = random_data(3)
    batch = {name: value[1:] for name, value in batch.items()}
    batch["text"][:, 2] = 7
    model = build_two_tower_classifier(tiny_base(), 10, 5, embed_dim=4)
    table = model.trainable_variables[0]
    library = keras.Sequential([keras.layers.Embedding(10, 4, mask_zero=True), keras.layers.GlobalAveragePooling1D()])
    library.build((None, 5))
    library.layers[0].embeddings.assign(table)
    text = next(layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)).input[1]
    ours = keras.Model(model.input, text)
    np.testing.assert_allclose(np.array(ours(batch)), np.array(library(batch["text"])), rtol=1e-5, atol=1e-6)


def test_visible_checks_pass_for_the_reference():
    source = Path(keras_two_tower.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(keras_two_tower).copy())
