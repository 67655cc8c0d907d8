"""The reference of optimisation/adam_training_loop against `fit`, and the claims of its lesson."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from reference.optimisation import adam_training_loop as lesson  # noqa: E402
from reference.optimisation.adam_training_loop import train_classifier  # noqa: E402


def data(n_samples, seed=0):
    rng = np.random.default_rng(seed)
    text, image = rng.normal(size=(n_samples, 3)).astype("float32"), rng.normal(size=(n_samples, 4)).astype("float32")
    labels = ((text[:, 0] > 0).astype(int) + (image[:, 0] > 0)) % 3
    return {"text": text, "image": image}, labels


def new_model(activation=None, penalty=0.0):
    keras.utils.set_random_seed(3)
    text, image = keras.Input((3,), name="text"), keras.Input((4,), name="image")
    hidden = keras.layers.Concatenate()([text, image])
    hidden = keras.layers.Dense(6, "tanh", kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None)(
        hidden
    )
    hidden = keras.layers.BatchNormalization()(hidden)
    return keras.Model({"text": text, "image": image}, keras.layers.Dense(3, activation)(hidden))


@pytest.mark.parametrize(("activation", "penalty"), [(None, 0.0), (None, 0.1), ("softmax", 0.1)])
def test_equals_fit(activation, penalty):
    inputs, labels = data(11)
    validation = data(5, seed=1)
    own, library = new_model(activation, penalty), new_model(activation, penalty)
    settings = {"epochs": 3, "batch_size": 4}
    found = train_classifier(
        own,
        inputs,
        labels,
        learning_rate=0.01,
        from_logits=activation is None,
        shuffle=False,
        validation=validation,
        **settings,
    )
    library.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None),
        metrics=["accuracy"],
    )
    expected = library.fit(
        inputs, labels, shuffle=False, validation_data=validation, validation_batch_size=4, verbose=0, **settings
    ).history
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    for mine, theirs in zip(own.get_weights(), library.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_full_batch_does_not_care_about_the_order_and_the_loss_falls():
    inputs, labels = data(40)
    histories = [
        train_classifier(
            new_model(), inputs, labels, epochs=25, batch_size=64, learning_rate=0.05, from_logits=True, seed=seed
        )
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(histories[0]["loss"][:5], histories[1]["loss"][:5], rtol=1e-4)
    assert histories[0]["loss"][-1] < 0.5 * histories[0]["loss"][0]


def test_the_floor_of_a_double_softmax():
    for classes in (2, 3, 10):
        probabilities = np.eye(classes, dtype="float32")[:1]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0]), probabilities * 1.0)
        assert float(loss) == pytest.approx(math.log(1 + (classes - 1) / math.e), rel=1e-5)


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
