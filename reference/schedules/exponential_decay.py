# %% [markdown]
# # Exponential decay with warm-up
#
# The learning rate often decides whether fine-tuning works. Large early steps cross the loss surface quickly; small
# late steps average out the noise of the mini-batches, so that training can settle. A short warm-up keeps the first,
# least informed updates small. A schedule helps only if the optimiser really evaluates it, at the number of *updates*
# made so far: an example that is often published counts epochs instead, and its rate hardly ever changes.

# %% [markdown]
# ## Your task (35 minutes)
#
# Write a schedule that Keras can evaluate, compile and save, and a function that records which rate each update used.
#
# `WarmupExponentialDecay(initial_learning_rate, decay_steps, decay_rate, staircase=False, warmup_steps=0, name=None)`
# is a subclass of `keras.optimizers.schedules.LearningRateSchedule`. Its `__call__(step)` returns a float32 scalar,
# shape `()`:
#
# * warm-up, `step < warmup_steps`: `initial_learning_rate * step / warmup_steps` (so the rate of step 0 is 0; some
#   libraries start at `1 / warmup_steps` of the rate instead);
# * afterwards: `initial_learning_rate * decay_rate ** p` with `p = (step - warmup_steps) / decay_steps`, and with `p`
#   rounded down to a whole number if `staircase`.
#
# `step` is a Python int, an integer tensor or the optimiser's counter; the call must also work inside `tf.function`,
# with or without AutoGraph. `get_config()` returns a dictionary that JSON can hold, with the six arguments under their
# names, so that `keras.optimizers.schedules.serialize` and `deserialize` (called with `custom_objects`) give the same
# schedule back. The constructor raises `ValueError` unless `initial_learning_rate`, `decay_steps` and `decay_rate`
# are positive and finite and `warmup_steps` is at least 0. A `decay_rate` of 1 or more is allowed.
#
# `lr_trace(model, schedule, x, y, *, batch_size, epochs)` compiles `model` with plain SGD (no momentum) and the loss
# `"mse"`, trains it on `x` with shape `(samples, width)` and `y` with shape `(samples, 1)`, and returns a NumPy float64
# array of shape `(number of updates,)`: the rate in force at each update, in order. A short last batch is an update
# too. `schedule` can be any `LearningRateSchedule`. Afterwards `model.optimizer.iterations` is the number of updates.
#
# Not allowed: the ready-made schedules of `keras.optimizers.schedules` (`ExponentialDecay` and its siblings) and
# `tf.compat.v1.train.exponential_decay`. Everything else is yours to choose: `tf` or `keras.ops`, `fit` or your loop.

# %% [markdown]
# ## A worked example
#
# `initial_learning_rate=0.8, decay_steps=4, decay_rate=0.5, warmup_steps=2`:
#
# | step | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
# |---|---|---|---|---|---|---|---|---|
# | smooth | 0 | 0.4 | 0.8 | 0.673 | 0.566 | 0.476 | 0.4 | 0.336 |
# | staircase | 0 | 0.4 | 0.8 | 0.8 | 0.8 | 0.8 | 0.4 | 0.4 |
#
# Five samples in batches of two are three updates an epoch (2 + 2 + 1 samples), so two epochs give six updates, and the
# staircase trace is `[0, 0.4, 0.8, 0.8, 0.8, 0.8]`: the rate changes in the middle of an epoch.

# %%
from __future__ import annotations

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its notes on the machine help nobody here

import keras
import numpy as np
import tensorflow as tf


# %% tags=["solution"]
class WarmupExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then exponential decay of the learning rate, smooth or in stairs.

    Args:
        initial_learning_rate: the rate at the end of the warm-up, positive and finite.
        decay_steps: number of updates over which the rate is multiplied by `decay_rate`, positive and finite.
        decay_rate: factor of the decay, positive and finite.
        staircase: whether the exponent is rounded down to a whole number.
        warmup_steps: length of the warm-up in updates, 0 or more.
        name: optional name, kept in the configuration.

    Raises:
        ValueError: an argument is out of its range.

    Source: decreasing step sizes, Robbins and Monro (1951); gradual warm-up, Goyal et al. (2017).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        warmup_steps: int = 0,
        name: str | None = None,
    ) -> None:
        ### BEGIN SOLUTION
        for value in (initial_learning_rate, decay_steps, decay_rate):
            if not 0 < value < math.inf:  # written so that NaN is refused too
                raise ValueError(f"the rate, decay_steps and decay_rate must be positive and finite, got {value}")
        if not 0 <= warmup_steps < math.inf:
            raise ValueError(f"warmup_steps must be 0 or more, got {warmup_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.warmup_steps = warmup_steps
        self.name = name
        ### END SOLUTION

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Rate of the update number `step` (an integer, the first update is 0): float32, shape ()."""
        ### BEGIN SOLUTION
        step = tf.cast(step, tf.float32)  # ()
        # warm-up: the initial rate times the fraction of the warm-up that is over
        ramp = self.initial_learning_rate * step / max(self.warmup_steps, 1)
        # decay: the initial rate times one factor `decay_rate` for every `decay_steps` updates since the warm-up
        decays = tf.maximum(step - self.warmup_steps, 0.0) / self.decay_steps
        if self.staircase:  # a Python bool, known before any graph is built
            decays = tf.floor(decays)
        decayed = self.initial_learning_rate * self.decay_rate**decays
        # inside `tf.function` the step has no value yet, so the choice between the two is an operation as well
        return tf.where(step < self.warmup_steps, ramp, decayed)
        ### END SOLUTION

    def get_config(self) -> dict:
        """The six arguments of the constructor by name, as plain Python values."""
        ### BEGIN SOLUTION
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "warmup_steps": self.warmup_steps,
            "name": self.name,
        }
        ### END SOLUTION


# %% tags=["solution"]
def lr_trace(
    model: keras.Model,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    x: np.ndarray,
    y: np.ndarray,
    *,
    batch_size: int,
    epochs: int,
) -> np.ndarray:
    """Train `model` with plain SGD and mean squared error under `schedule`; report the rate of every update.

    Args:
        model: a Keras model; it is compiled and trained here.
        schedule: any Keras learning-rate schedule.
        x: inputs, float, shape (samples, width).
        y: targets, float, shape (samples, 1).
        batch_size: samples an update; the last batch of an epoch may be shorter.
        epochs: passes over the data.

    Returns:
        float64, shape (number of updates,): the rate in force at each update, in order.
    """
    ### BEGIN SOLUTION
    rates = []

    class RecordRate(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            # before an update, `optimizer.iterations` is the number of updates made: the step this one will use
            rates.append(float(self.model.optimizer.learning_rate))

    model.compile(optimizer=keras.optimizers.SGD(learning_rate=schedule), loss="mse")
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[RecordRate()])
    return np.array(rates, dtype=np.float64)  # (number of updates,)
    ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# stairs = WarmupExponentialDecay(0.8, decay_steps=4, decay_rate=0.5, staircase=True, warmup_steps=2)
# rates = [float(stairs(step)) for step in range(8)]
# assert np.allclose(rates, [0.0, 0.4, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4]), rates
#
# smooth = WarmupExponentialDecay(0.8, decay_steps=4, decay_rate=0.5, warmup_steps=2)
# rates = [float(smooth(step)) for step in range(8)]
# assert np.allclose(rates, [0.0, 0.4, 0.8, 0.672717, 0.565685, 0.475683, 0.4, 0.336359], rtol=1e-5), rates
#
# model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
# x = np.array([[0.5, 0.1], [0.2, 0.3], [0.4, 0.6], [0.1, 0.2], [0.3, 0.4]])
# y = np.array([[0.1], [0.2], [0.3], [0.4], [0.5]])
# trace = lr_trace(model, stairs, x, y, batch_size=2, epochs=2)
# assert trace.shape == (6,) and trace.dtype == np.float64, (trace.shape, trace.dtype)
# assert np.allclose(trace, [0.0, 0.4, 0.8, 0.8, 0.8, 0.8]), trace

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Training runs for 3 epochs of 4 updates each. How many different values of `step` should your schedule have seen?
# And which value belongs to the very first update?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# An optimiser that was built with a schedule object evaluates it at its own counter, `optimizer.iterations`, which
# counts updates. Inside a compiled function that counter is symbolic: it has no value that Python could compare, so a
# choice that depends on it must be an operation. A choice that depends on your constructor's arguments can stay Python.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Cast the step to float32. Compute the rate of the ramp and the rate of the decay, both for every step, and make sure
# that neither divides by zero or overflows where it is not needed. Let an operation pick one of the two. For the trace,
# give the schedule itself to the optimiser and let a callback read the optimiser's rate before each batch.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# `return tf.where(step < warmup_steps, rate_of_the_ramp, rate_of_the_decay)`; and in the callback
# `rates.append(float(self.model.optimizer.learning_rate))`.
# </details>

# %% [markdown]
# ## Going further
#
# * The decay is counted from the end of the warm-up, so the two parts meet at the initial rate without a jump.
# * Only an optimiser that was built with a number lets you assign `optimizer.learning_rate`; one that was built with a
#   schedule raises `TypeError`.
# * For transformers, linear or cosine decay (Loshchilov and Hutter, 2017) and warmup-stable-decay (Hu et al., 2024) are
#   more common today than exponential decay. Liu et al. (2020) study why adaptive optimisers need the warm-up.
# * Usual peaks for fine-tuning: about 1e-5 to 5e-5 for all weights, 1e-4 to 2e-4 for LoRA (small added matrices,
#   `transfer/lora`). The 0.1 of many examples is meant for plain SGD from scratch; with Adam it would destroy
#   pretrained weights.
#
# ## References
#
# * Herbert Robbins, Sutton Monro (1951). A Stochastic Approximation Method. Annals of Mathematical Statistics 22.
# * Priya Goyal, Piotr Dollár, Ross Girshick, et al. (2017). Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour.
#   arXiv 1706.02677.
# * Ilya Loshchilov, Frank Hutter (2017). SGDR: Stochastic Gradient Descent with Warm Restarts. ICLR 2017.
# * Liyuan Liu, Haoming Jiang, Pengcheng He, et al. (2020). On the Variance of the Adaptive Learning Rate and Beyond.
#   ICLR 2020.
# * Shengding Hu, Yuge Tu, Xu Han, et al. (2024). MiniCPM: Unveiling the Potential of Small Language Models with
#   Scalable Training Strategies. COLM 2024.
