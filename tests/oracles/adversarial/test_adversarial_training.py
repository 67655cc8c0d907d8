"""adversarial/adversarial_training against torch, finite differences and the closed form of a linear model."""

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

from reference.adversarial import adversarial_training  # noqa: E402
from reference.adversarial.adversarial_training import adversarial_pair, adversarial_train_step  # noqa: E402

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def tanh_network(rng, text_shape=(3, 2), image_shape=(4,), classes=3, hidden=7):
    """A Keras model with one hidden layer, its weights, and a batch of five samples."""
    inputs = [keras.Input(text_shape), keras.Input(image_shape)]
    both = keras.layers.Concatenate()([keras.layers.Flatten()(part) for part in inputs])
    first, last = keras.layers.Dense(hidden, activation="tanh"), keras.layers.Dense(classes)
    model = keras.Model(inputs, last(first(both)))
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    text, image = (rng.normal(size=(5, *shape)).astype(np.float32) for shape in (text_shape, image_shape))
    return model, text, image, rng.integers(0, classes, 5)


def torch_loss(weights, text, image, labels):
    flat = torch.cat([text.flatten(1), image.flatten(1)], dim=1)
    logits = torch.tanh(flat @ weights[0] + weights[1]) @ weights[2] + weights[3]
    return torch.nn.functional.cross_entropy(logits, torch.as_tensor(labels))


def torch_attack(weights, text, image, labels, budgets, norm, steps, step_size):
    """Projected gradient ascent in float64, one sample at a time for "l2"."""
    weights = [torch.as_tensor(weight, dtype=torch.float64) for weight in weights]
    starts = [torch.as_tensor(part, dtype=torch.float64) for part in (text, image)]
    points = [start.clone() for start in starts]
    for _ in range(steps):
        points = [point.detach().requires_grad_() for point in points]
        gradients = torch.autograd.grad(torch_loss(weights, *points, labels), points)
        for index, (start, point, gradient, eps) in enumerate(zip(starts, points, gradients, budgets, strict=True)):
            size = step_size or (eps if steps == 1 else 2.5 * eps / steps)
            if norm == "linf":
                points[index] = torch.clamp(point + size * gradient.sign(), start - eps, start + eps)
            else:
                unit = torch.nn.functional.normalize(gradient.flatten(1), eps=1e-30).reshape(gradient.shape)
                points[index] = start + torch.renorm(point + size * unit - start, 2, 0, eps)
    return [point.detach().numpy() for point in points]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("steps", "step_size"), [(1, None), (4, None), (3, 0.05)])
def test_the_attack_agrees_with_torch(norm, steps, step_size):
    model, text, image, labels = tanh_network(np.random.default_rng(steps))
    pair = adversarial_pair(model, text, image, labels, 0.1, 0.3, norm, steps, step_size)
    expected = torch_attack(model.get_weights(), text, image, labels, (0.1, 0.3), norm, steps, step_size)
    for found, wanted in zip(pair, expected, strict=True):
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_one_step_goes_in_the_direction_of_finite_differences():
    model, text, image, labels = tanh_network(np.random.default_rng(5))
    weights = [torch.as_tensor(weight, dtype=torch.float64) for weight in model.get_weights()]
    parts = [torch.as_tensor(part, dtype=torch.float64) for part in (text, image)]
    pair = adversarial_pair(model, text, image, labels, 0.2, 0.2)
    for which, (part, moved) in enumerate(zip(parts, pair, strict=True)):
        signs = np.sign(np.asarray(moved) - part.numpy())
        for index in np.ndindex(*part.shape):
            change = []
            for step in (1e-4, -1e-4):
                shifted = [other.clone() for other in parts]
                shifted[which][index] += step
                change.append(float(torch_loss(weights, *shifted, labels)))
            assert np.sign(change[0] - change[1]) == signs[index]


@pytest.mark.parametrize(("norm", "order"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("steps", [1, 6])
def test_a_linear_model_of_two_classes_loses_eps_times_the_dual_norm(norm, order, steps):
    rng = np.random.default_rng(6)
    inputs = [keras.Input((3,)), keras.Input((5,))]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(inputs)))
    model.set_weights([rng.normal(size=(8, 2)), rng.normal(size=2)])
    kernel, bias = model.get_weights()
    w, b = kernel[:, 1] - kernel[:, 0], bias[1] - bias[0]
    text, image = (rng.normal(size=(9, width)).astype(np.float32) for width in (3, 5))
    labels = rng.integers(0, 2, 9)
    margins = (2 * labels - 1) * (np.hstack([text, image]) @ w + b)
    drop = 0.2 * np.linalg.norm(w[:3], order) + 0.1 * np.linalg.norm(w[3:], order)
    losses = adversarial_train_step(
        model, keras.optimizers.SGD(0.0), text, image, labels, 0.2, 0.1, norm=norm, steps=steps
    )
    assert losses["loss_clean"] == pytest.approx(np.logaddexp(0, -margins).mean(), rel=1e-5)
    assert losses["loss_adv"] == pytest.approx(np.logaddexp(0, drop - margins).mean(), rel=1e-5)
    assert losses["loss_adv"] >= losses["loss_clean"]


def test_budgets_are_kept_and_zero_budgets_change_nothing():
    model, text, image, labels = tanh_network(np.random.default_rng(7))
    for norm in ("linf", "l2"):
        pair = adversarial_pair(model, text, image, labels, 0.0, 0.4, norm, steps=5)
        np.testing.assert_array_equal(pair[0], text)
        delta = np.asarray(pair[1]) - image
        size = np.abs(delta).max() if norm == "linf" else np.linalg.norm(delta, axis=1).max()
        assert 0.39 < size <= 0.4 + 1e-6


def test_the_update_agrees_with_torch_on_frozen_attacks():
    model, text, image, labels = tanh_network(np.random.default_rng(8))
    weights = [torch.tensor(weight, dtype=torch.float64, requires_grad=True) for weight in model.get_weights()]
    pair = adversarial_pair(model, text, image, labels, 0.2, 0.3, "l2", 3)
    clean = torch_loss(weights, torch.as_tensor(text).double(), torch.as_tensor(image).double(), labels)
    attacked = [torch.tensor(np.array(part)).double() for part in pair]
    mixed = 0.3 * clean + 0.7 * torch_loss(weights, *attacked, labels)
    gradients = torch.autograd.grad(mixed, weights)
    optimizer = keras.optimizers.SGD(0.1)
    losses = adversarial_train_step(model, optimizer, text, image, labels, 0.2, 0.3, 0.3, "l2", 3)
    assert losses["loss"] == pytest.approx(float(mixed.detach()), rel=1e-4)
    assert int(optimizer.iterations) == 1
    for found, weight, gradient in zip(model.get_weights(), weights, gradients, strict=True):
        np.testing.assert_allclose(found, (weight - 0.1 * gradient).detach(), rtol=1e-4, atol=1e-5)


def test_random_signs_do_far_less_than_the_attack():
    rng = np.random.default_rng(9)
    inputs = [keras.Input((40,)), keras.Input((60,))]
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Concatenate()(inputs)))
    model.set_weights([0.4 * rng.normal(size=(100, 3)), np.zeros(3)])
    text, image = (rng.normal(size=(30, width)).astype(np.float32) for width in (40, 60))
    labels = np.argmax(model([text, image]), axis=1)
    noisy = [part + 0.05 * rng.choice([-1.0, 1.0], size=part.shape).astype(np.float32) for part in (text, image)]
    attacked = adversarial_pair(model, text, image, labels, 0.05, 0.05)
    clean, noise, attack = (
        float(CROSS_ENTROPY(labels, model(list(pair)))) for pair in ([text, image], noisy, attacked)
    )
    assert abs(noise - clean) < 0.2 * (attack - clean)


@pytest.mark.parametrize(
    "changed",
    [
        {"eps_text": -0.1},
        {"eps_image": float("nan")},
        {"eps_image": float("inf")},
        {"norm": "l1"},
        {"steps": 0},
        {"labels": np.array([0, 1, 2, 3, 0])},
        {"labels": np.array([0, 1, 2, -1, 0])},
        {"labels": np.array([0, 1])},
        {"text": np.zeros((4, 3, 2), np.float32)},
    ],
)
def test_bad_input_is_refused(changed):
    model, text, image, labels = tanh_network(np.random.default_rng(10))
    good = dict(text=text, image=image, labels=labels, eps_text=0.1, eps_image=0.1)
    before = model.get_weights()
    with pytest.raises(ValueError):
        adversarial_pair(model, **good | changed)
    with pytest.raises(ValueError):
        adversarial_train_step(model, keras.optimizers.SGD(0.1), **good | changed)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_visible_checks_pass_for_the_reference():
    source = Path(adversarial_training.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(adversarial_training).copy())
