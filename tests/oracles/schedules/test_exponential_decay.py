"""The reference of schedules/exponential_decay against Keras's own schedules and optimiser."""

import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from reference.schedules import exponential_decay  # noqa: E402
from reference.schedules.exponential_decay import WarmupExponentialDecay, lr_trace  # noqa: E402

STEPS = [0, 1, 999, 1000, 1001, 10**6]


@pytest.mark.parametrize("staircase", [False, True])
@pytest.mark.parametrize(("decay_steps", "decay_rate"), [(1000, 0.96), (1000, 0.5), (7, 0.999), (1, 0.999), (9, 1.01)])
def test_without_warm_up_it_is_keras_exponential_decay(staircase, decay_steps, decay_rate):
    ours = WarmupExponentialDecay(0.1, decay_steps, decay_rate, staircase=staircase)
    library = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps, decay_rate, staircase=staircase)
    steps = [step for step in STEPS if decay_rate < 1 or step < 10**6]
    actual = [float(ours(step)) for step in steps]
    np.testing.assert_allclose(actual, [float(library(step)) for step in steps], rtol=1e-4, atol=1e-12)
    exponents = [step // decay_steps if staircase else step / decay_steps for step in steps]
    np.testing.assert_allclose(actual, [0.1 * decay_rate**exponent for exponent in exponents], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("staircase", [False, True])
def test_warm_up_is_keras_polynomial_decay_upwards_and_then_the_shifted_decay(staircase):
    ours = WarmupExponentialDecay(0.3, 5, 0.7, staircase=staircase, warmup_steps=8)
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 8, end_learning_rate=0.3)
    decay = keras.optimizers.schedules.ExponentialDecay(0.3, 5, 0.7, staircase=staircase)
    expected = [float(ramp(step)) if step < 8 else float(decay(step - 8)) for step in range(30)]
    np.testing.assert_allclose([float(ours(step)) for step in range(30)], expected, rtol=1e-5)


def test_staircase_is_never_below_smooth_and_equal_at_the_edges():
    smooth = WarmupExponentialDecay(0.3, 6, 0.7, warmup_steps=4)
    stairs = WarmupExponentialDecay(0.3, 6, 0.7, staircase=True, warmup_steps=4)
    for step in range(40):
        assert float(stairs(step)) >= float(smooth(step)) * (1 - 1e-6)
        if step >= 4 and (step - 4) % 6 == 0:
            assert float(stairs(step)) == pytest.approx(float(smooth(step)), rel=1e-6)


@pytest.mark.parametrize("autograph", [True, False])
def test_compiled_calls_agree_with_eager_ones(autograph):
    ours = WarmupExponentialDecay(0.3, 6, 0.7, staircase=True, warmup_steps=4)
    compiled = tf.function(lambda step: ours(step), autograph=autograph)
    for step in (0, 3, 4, 17):
        assert float(compiled(tf.constant(step, tf.int64))) == pytest.approx(float(ours(step)), rel=1e-6)


def test_serialization_round_trip():
    ours = WarmupExponentialDecay(0.3, 6, 0.7, staircase=True, warmup_steps=4, name="mine")
    data = keras.optimizers.schedules.serialize(ours)
    again = keras.optimizers.schedules.deserialize(
        data, custom_objects={"WarmupExponentialDecay": WarmupExponentialDecay}
    )
    assert again.get_config() == ours.get_config()


def test_trace_of_keras_own_schedule_and_the_weights_of_a_hand_written_loop():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(14, 3)).astype(np.float32), rng.normal(size=(14, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    library = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True)
    trace = lr_trace(model, library, x, y, batch_size=4, epochs=3)
    np.testing.assert_allclose(trace, np.repeat([0.1, 0.05, 0.025, 0.0125], 3), rtol=1e-6)
    assert trace.dtype == np.float64
    assert int(model.optimizer.iterations) == 12

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    kernel, bias = (np.array(weight, np.float64) for weight in model.get_weights())
    trace = lr_trace(model, library, x, y, batch_size=20, epochs=5)  # one batch an epoch: the order does not matter
    for rate in trace:
        error = x @ kernel + bias - y  # (samples, 1)
        kernel, bias = kernel - rate * 2 * x.T @ error / 14, bias - rate * 2 * error.mean(axis=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias, rtol=1e-4, atol=1e-6)


def test_visible_checks_pass_for_the_reference():
    source = Path(exponential_decay.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n(.*?)\n\n# %%', source, re.DOTALL).group(1)
    code = "\n".join(line.removeprefix("#").removeprefix(" ") for line in cell.splitlines())
    exec(code, vars(exponential_decay).copy())
