"""The reference of data/feature_augmentation against Keras's GaussianNoise, SciPy and plain NumPy."""

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
from scipy import stats  # noqa: E402

from reference.data import feature_augmentation  # noqa: E402
from reference.data.feature_augmentation import PairedNoise, mixup_pairs  # noqa: E402


def test_noise_is_that_of_keras_gaussian_noise_at_the_spread_of_the_modality():
    rng = np.random.default_rng(1)
    text, image = rng.normal(size=(4000, 5)) * 2 + 7, rng.normal(size=(4000, 3, 2)) * 0.02
    # GaussianNoise takes no standard deviation above 1
    noisy = PairedNoise(0.3, seed=4)([text, image], training=True)
    for features, result in zip((text, image), noisy, strict=True):
        noise = np.asarray(result) - features
        library = keras.layers.GaussianNoise(0.3 * features.std(), seed=9, dtype="float64")
        other = np.asarray(library(features, training=True)) - features
        assert noise.std() == pytest.approx(0.3 * features.std(), rel=0.05)
        assert stats.ks_2samp(noise.ravel(), other.ravel()).pvalue > 1e-3
        assert stats.kstest(noise.ravel() / (0.3 * features.std()), "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_identity_outside_training_and_dtypes(dtype):
    rng = np.random.default_rng(2)
    text, image = (rng.normal(size=(6, 4)) * 1000).astype(dtype), rng.normal(size=(6, 2)).astype(dtype)
    layer = PairedNoise(0.2, seed=1)
    for result, features in zip(layer([text, image]), (text, image), strict=True):
        np.testing.assert_array_equal(result, features)
    for result in layer([text, image], training=True):
        assert result.dtype == dtype
        assert np.isfinite(result).all()


def test_layer_in_a_functional_model_with_short_batches():
    inputs = [keras.Input((3,)), keras.Input((2,))]
    outputs = keras.layers.Concatenate()(PairedNoise(0.5, seed=1)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs))
    model.compile("sgd", "mse")
    rng = np.random.default_rng(3)
    model.fit([rng.normal(size=(7, 3)), rng.normal(size=(7, 2))], np.ones((7, 1)), batch_size=3, verbose=0)


def test_mixup_is_the_formula_of_numpy():
    rng = np.random.default_rng(4)
    values = [rng.normal(size=(6, 3, 2)), rng.normal(size=(6, 4)), rng.dirichlet(np.ones(3), size=6)]
    perm = rng.permutation(6)
    for lam in (0.0, 0.3, 1.0):
        for result, array in zip(mixup_pairs(*map(tf.constant, values), lam, perm), values, strict=True):
            np.testing.assert_allclose(result, lam * array + (1 - lam) * array[perm], rtol=1e-12)
    labels = mixup_pairs(*map(tf.constant, values), 0.3, perm)[2]
    np.testing.assert_allclose(np.sum(labels, axis=1), 1.0, rtol=1e-12)


def test_visible_checks_pass_for_the_reference():
    source = Path(feature_augmentation.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(feature_augmentation).copy())
