"""Checks of schedules/exponential_decay: all of Keras stays in probes; the expected values are plain formulas."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_close, assert_dtype, assert_equal, assert_shape, catches, points, raises, visible

ARGUMENTS = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "warmup_steps", "name")


def expected_rate(step, initial, decay_steps, decay_rate, staircase=False, warmup_steps=0):
    """The definition for one step, in Python's float64 and integers."""
    if step < warmup_steps:
        return initial * step / warmup_steps
    since = step - warmup_steps
    exponent = since // decay_steps if staircase else since / decay_steps
    return initial * decay_rate**exponent


def expected_curve(steps, *arguments, **options):
    """The definition at every step: float64, shape (steps,)."""
    return np.array([expected_rate(step, *arguments, **options) for step in steps])


def curve(student, steps, arguments, options):
    """Probe: the rate of every step, as Python floats."""
    schedule = student.WarmupExponentialDecay(*arguments, **options)
    return [float(schedule(step)) for step in steps]


def curve_of(student, steps, *arguments, **options):
    """The submission's rate at every step: float64, shape (steps,)."""
    return np.array(student.run(curve, list(steps), list(arguments), options))


def train(student, rates, x, y, start, batch_size, epochs):
    """Probe: `lr_trace` on one linear layer without bias, under a schedule that reads its rates from a table."""
    import keras

    class Table(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return keras.ops.take(keras.ops.convert_to_tensor(rates, dtype="float32"), step)

        def get_config(self):
            return {"rates": rates}

    model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([start])
    trace = student.lr_trace(model, Table(), x, y, batch_size=batch_size, epochs=epochs)
    optimizer = getattr(model, "optimizer", None)
    updates = None if optimizer is None else int(optimizer.iterations)
    return {"trace": trace, "updates": updates, "weights": model.get_weights()[0]}


def table_of_rates(rng, count):
    """Different rates for different steps, in random order, and a few more than there are updates."""
    return [float(rate) for rate in rng.permutation(np.linspace(0.02, 0.2, count + 5))]


@visible
@points(1)
def test_worked_example(student):
    """The rates and the trace of the worked example come out."""

    def trace(student):
        import keras
        import numpy as np

        stairs = student.WarmupExponentialDecay(0.8, decay_steps=4, decay_rate=0.5, staircase=True, warmup_steps=2)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        x = np.array([[0.5, 0.1], [0.2, 0.3], [0.4, 0.6], [0.1, 0.2], [0.3, 0.4]])
        y = np.array([[0.1], [0.2], [0.3], [0.4], [0.5]])
        return student.lr_trace(model, stairs, x, y, batch_size=2, epochs=2)

    options = {"decay_steps": 4, "decay_rate": 0.5, "warmup_steps": 2}
    stairs = curve_of(student, range(8), 0.8, staircase=True, **options)
    assert_close(stairs, np.array([0.0, 0.4, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4]), rtol=1e-5, what="rates with staircase")
    smooth = curve_of(student, range(8), 0.8, **options)
    by_hand = np.array([0.0, 0.4, 0.8, 0.672717, 0.565685, 0.475683, 0.4, 0.336359])
    assert_close(smooth, by_hand, rtol=1e-5, what="rates without staircase")
    rates = student.run(trace)
    assert_shape(rates, (6,), what="lr_trace(...) of 5 samples, batch_size 2, 2 epochs")
    assert_dtype(rates, "float64", what="lr_trace(...)")
    assert_close(rates, np.array([0.0, 0.4, 0.8, 0.8, 0.8, 0.8]), rtol=1e-5, what="lr_trace(...)")


@points(1)
@catches("ready-made", "python-if")
def test_every_kind_of_step_gives_a_float32_scalar(student, rng):
    """The schedule is your own, and takes Python ints, tensors and the symbolic steps of a compiled function."""

    def describe(student, steps, arguments):
        import keras
        import tensorflow as tf

        def forbid(name):
            def forbidden(*args, **kwargs):
                raise RuntimeError(f"{name} is not allowed in this exercise")

            return forbidden

        # the classes themselves, since each can be reached by several names (keras, tf.keras, keras.src)
        base = keras.optimizers.schedules.LearningRateSchedule
        ready_made = [cls for cls in base.__subclasses__() if cls.__module__.startswith("keras.")]
        saved = [(owner, name, getattr(owner, name)) for owner in ready_made for name in ("__init__", "__call__")]
        saved.append((tf.compat.v1.train, "exponential_decay", tf.compat.v1.train.exponential_decay))
        try:
            for owner, name, _ in saved:
                setattr(owner, name, forbid(name if name == "exponential_decay" else owner.__name__))
            schedule = student.WarmupExponentialDecay(*arguments)
            compiled = tf.function(lambda step: schedule(step), autograph=False)
            results = {
                "a Python int": [schedule(step) for step in steps],
                "an int64 tensor": [schedule(tf.constant(step, tf.int64)) for step in steps],
                "a symbolic step in tf.function": [compiled(tf.constant(step, tf.int64)) for step in steps],
            }
        finally:
            for owner, name, value in saved:
                setattr(owner, name, value)
        results = {kind: [tf.convert_to_tensor(rate) for rate in rates] for kind, rates in results.items()}
        return {
            "is_schedule": isinstance(schedule, base),
            "dtypes": {kind: rates[0].dtype.name for kind, rates in results.items()},
            "shapes": {kind: tuple(rates[0].shape) for kind, rates in results.items()},
            "values": {kind: [float(rate) for rate in rates] for kind, rates in results.items()},
        }

    arguments = [float(rng.uniform(0.05, 0.5)), 7, float(rng.uniform(0.4, 0.8)), True, 4, "positional"]
    seen = student.run(describe, [1, 3, 4, 9, 20], arguments)
    assert_equal(seen["is_schedule"], True, what="isinstance(schedule, LearningRateSchedule)")
    for kind, values in seen["values"].items():
        assert_equal(seen["dtypes"][kind], "float32", what=f"dtype of schedule(step) for {kind}")
        assert_equal(tuple(seen["shapes"][kind]), (), what=f"shape of schedule(step) for {kind}")
        assert_close(
            np.array(values),
            np.array(seen["values"]["a Python int"]),
            rtol=1e-6,
            what=f"rates of steps 1, 3, 4, 9, 20 for {kind}, against those for a Python int",
        )


@points(1)
@catches("no-decay-steps", "integer-division")
def test_smooth_decay(student, rng):
    """Without warm-up and staircase the rate falls smoothly by `decay_rate` every `decay_steps` updates."""
    initial, decay_rate = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.4, 0.9))
    decay_steps = int(rng.integers(5, 12))
    steps = [0, 1, 2, decay_steps - 1, decay_steps, decay_steps + 1, 3 * decay_steps + 2, 10 * decay_steps]
    assert_close(
        curve_of(student, steps, initial, decay_steps, decay_rate),
        expected_curve(steps, initial, decay_steps, decay_rate),
        rtol=1e-5,
        what=f"rates of steps {steps} for initial={initial}, decay_steps={decay_steps}, decay_rate={decay_rate}",
        cause="the exponent is step / decay_steps, a fraction",
    )
    # late steps: float32 and float64 powers differ by up to a few 1e-5; the last rate is 0 in float32
    steps = [999, 1000, 1001, 50_000, 1_000_000]
    assert_close(
        curve_of(student, steps, initial, 1000, 0.5),
        expected_curve(steps, initial, 1000, 0.5),
        rtol=1e-4,
        atol=1e-12,
        what=f"rates of steps {steps} for initial={initial}, decay_steps=1000, decay_rate=0.5",
    )
    assert_close(
        curve_of(student, [0, 3, 500], initial, decay_steps, 1.0),
        np.full(3, initial),
        rtol=1e-5,
        what="rates of steps 0, 3, 500 for decay_rate=1.0, which is no decay",
    )


@points(1)
@catches("rounded-exponent")
@given(
    decay_steps=st.integers(2, 40),
    decay_rate=st.floats(0.1, 0.95),
    stairs=st.lists(st.integers(0, 6), min_size=2, max_size=3, unique=True),
)
def test_staircase(student, decay_steps, decay_rate, stairs):
    """With staircase the rate stays constant for `decay_steps` updates and then drops at once."""
    first = [stair * decay_steps for stair in sorted(stairs)]  # the first step of each stair
    steps = [step + offset for step in first for offset in (0, decay_steps - 1)]
    assert_close(
        curve_of(student, steps, 0.25, decay_steps, decay_rate, staircase=True),
        expected_curve(steps, 0.25, decay_steps, decay_rate, staircase=True),
        rtol=1e-5,
        what=f"staircase rates of steps {steps} for initial=0.25, decay_steps={decay_steps}, decay_rate={decay_rate}",
        cause="the exponent is the number of complete stairs, so it is rounded down",
    )


@points(2)
@catches("clock-from-zero", "warm-up-from-one", "choice-by-multiplication")
def test_warm_up(student, rng):
    """The rate climbs from 0 in equal parts, and the decay begins where the warm-up ends."""
    initial, decay_rate = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.4, 0.8))
    warmup_steps, decay_steps = int(rng.integers(6, 10)), int(rng.integers(3, 6))
    steps = range(warmup_steps + 3 * decay_steps + 1)
    for staircase in (False, True):
        options = {"staircase": staircase, "warmup_steps": warmup_steps}
        assert_close(
            curve_of(student, steps, initial, decay_steps, decay_rate, **options),
            expected_curve(steps, initial, decay_steps, decay_rate, **options),
            rtol=1e-5,
            what=f"rates of steps 0, 1, 2, … for initial={initial}, decay_steps={decay_steps}, "
            f"decay_rate={decay_rate}, {options}",
            cause="step 0 has rate 0, step warmup_steps has the initial rate, and the decay counts from there",
        )
    # a long warm-up before a fast decay: the decay formula itself overflows at the early, negative exponents
    steps = [0, 1, 30, 59, 60, 61]
    assert_close(
        curve_of(student, steps, initial, 1, 0.01, warmup_steps=60),
        expected_curve(steps, initial, 1, 0.01, warmup_steps=60),
        rtol=1e-5,
        what=f"rates of steps {steps} for initial={initial}, decay_steps=1, decay_rate=0.01, warmup_steps=60",
        cause="an infinite or undefined rate of the branch that is not used",
    )


@points(1)
@catches("zero-allowed")
def test_bad_arguments(student):
    """The constructor refuses arguments that are out of range, and only those."""
    good = {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5}
    for argument in good:
        for value in (0, -3, float("nan"), float("inf")):
            with raises(ValueError):
                student.WarmupExponentialDecay(**{**good, argument: value})
    with raises(ValueError):
        student.WarmupExponentialDecay(**good, warmup_steps=-1)
    for options in ({"decay_rate": 1.0}, {"decay_rate": 1.5}, {"warmup_steps": 0}, {"decay_steps": 1}):
        arguments = {**good, **options}
        rates = curve_of(student, [0], **arguments)
        assert_close(rates, np.array([0.1]), rtol=1e-5, what=f"rate of step 0 for {arguments}")


@points(1)
@catches("config-without-warm-up")
def test_configuration_restores_the_schedule(student, rng):
    """The configuration is plain data, and the schedule that is built from it is the same."""

    def round_trip(student, steps, options):
        import json

        import keras

        cls = student.WarmupExponentialDecay
        schedule = cls(**options)
        config = json.dumps(schedule.get_config())
        serialized = json.loads(json.dumps(keras.optimizers.schedules.serialize(schedule)))
        custom_objects = {"WarmupExponentialDecay": cls}
        restored = keras.optimizers.schedules.deserialize(serialized, custom_objects=custom_objects)
        again = cls.from_config(json.loads(config))
        return {
            "config": config,
            "original": [float(schedule(step)) for step in steps],
            "deserialize": [float(restored(step)) for step in steps],
            "from_config": [float(again(step)) for step in steps],
        }

    options = {
        "initial_learning_rate": float(rng.uniform(0.05, 0.5)),
        "decay_steps": int(rng.integers(5, 9)),
        "decay_rate": float(rng.uniform(0.4, 0.8)),
        "staircase": True,
        "warmup_steps": int(rng.integers(2, 5)),
        "name": "stairs",
    }
    seen = student.run(round_trip, list(range(20)), options)
    config = json.loads(seen["config"])
    missing = [argument for argument in ARGUMENTS if argument not in config]
    assert not missing, f"get_config() leaves out arguments of the constructor: {', '.join(missing)}"
    for argument, value in options.items():
        if isinstance(value, float):
            assert_close(float(config[argument]), value, rtol=1e-6, what=f"get_config()[{argument!r}]")
        else:
            assert config[argument] == value, f"get_config()[{argument!r}] is {config[argument]!r}, expected {value!r}"
    for way in ("deserialize", "from_config"):
        assert_close(
            np.array(seen[way]),
            np.array(seen["original"]),
            rtol=1e-6,
            what=f"rates of the schedule restored with {way}, against the original's",
        )


def training(student, seed):
    """One training of 12 updates, of which the two checks below look at different sides.

    x = ±1 and y = slope * x: every batch, however it is drawn, has the gradient 2 * (weight - slope).
    """
    rng = np.random.default_rng([seed, 12])
    rates = table_of_rates(rng, 12)
    slope, start = float(rng.uniform(0.5, 1.5)), float(rng.uniform(-1.5, -0.5))
    x = rng.choice([-1.0, 1.0], size=(14, 1))
    seen = student.run_once(train, rates, x, slope * x, np.array([[start]], np.float32), 4, 3)
    return rates[:12], slope, start, seen


@points(1)
@catches("epoch-index", "read-after-the-update", "short-batch-dropped")
def test_trace_has_the_rate_of_every_update(student, seed):
    """`lr_trace` lists one rate for every update, also for a short last batch."""
    rates, _, _, seen = training(student, seed)
    call = "lr_trace(...) of 14 samples, batch_size 4, 3 epochs"
    assert_shape(seen["trace"], (12,), what=f"{call}, which are 4 updates an epoch, the last with 2 samples")
    assert_dtype(seen["trace"], "float64", what=call)
    assert_close(
        seen["trace"],
        np.array(rates),
        rtol=1e-5,
        what=f"{call}, under a schedule with a different rate for every step",
        cause="the step is the number of updates made before this one, not the epoch and not one more",
    )


@points(1)
@catches("constant-rate-in-training", "no-training")
def test_training_uses_the_rates_of_the_trace(student, seed):
    """The model is really trained, with exactly these rates."""
    rates, slope, weight, seen = training(student, seed)
    updates = seen["updates"]
    assert updates == 12, f"after lr_trace(...) model.optimizer.iterations is {updates}, expected 12 (3 epochs of 4)"
    for rate in rates:
        weight -= rate * 2 * (weight - slope)
    assert_close(
        np.asarray(seen["weights"], np.float64),
        np.array([[weight]]),
        rtol=1e-4,
        what="weight of the model after lr_trace(...), against gradient descent by hand with the schedule's rates",
        cause="the optimiser is not plain SGD, or it does not use the schedule that the trace reports",
    )
