"""Wrong answers and alternatives of schedules/exponential_decay.

The published answer does not run (`tf.train.exponential_decay` and sessions are gone since TensorFlow 2, `num_epochs`
and `session` are undefined); `epoch-index` is what it would do if it did. Its initial rate of 0.1 with Adam is a choice
of arguments, not a behaviour of the functions asked for here, so only the lesson's text deals with it.
"""

from grader.catalogue import Alternative, WrongAnswer

wrong_answers = [
    WrongAnswer(
        id="epoch-index",
        title="the number of the epoch is used as the step",
        explanation=(
            "The rate changes only between epochs, because the schedule is asked for the rate of epoch 0, 1, 2, …. Its "
            "clock is meant to count updates: with `decay_steps=1000` the rate would stay where it is for a thousand "
            "epochs. Who else in Keras keeps a counter that goes up by one at every update?"
        ),
        caught_by="test_trace_has_the_rate_of_every_update",
        code="""
def lr_trace(model, schedule, x, y, *, batch_size, epochs):
    rates = []

    class RateOfTheEpoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = float(schedule(epoch))

        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    model.compile(optimizer=keras.optimizers.SGD(learning_rate=float(schedule(0))), loss="mse")
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[RateOfTheEpoch()])
    return np.array(rates, dtype=np.float64)
""",
    ),
    WrongAnswer(
        id="read-after-the-update",
        title="the rate is read after the update",
        explanation=(
            "When the batch has ended, the optimiser's counter has moved on, so you report the rate of the next "
            "update: the first rate is missing and one that was never used stands at the end. Which callback method "
            "runs while the counter still belongs to the update you report?"
        ),
        caught_by="test_trace_has_the_rate_of_every_update",
        swap=(("def on_train_batch_begin(self", "def on_train_batch_end(self"),),
    ),
    WrongAnswer(
        id="short-batch-dropped",
        title="the short last batch is left out",
        explanation=(
            "14 samples in batches of 4 are four updates, the last with 2 samples; your training makes three. Keras "
            "trains on a short last batch too. Which rounding turns samples per batch into updates per epoch?"
        ),
        caught_by="test_trace_has_the_rate_of_every_update",
        swap=(
            (
                "    rates = []\n",
                "    rates = []\n    full = len(x) // batch_size * batch_size\n    x, y = x[:full], y[:full]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="constant-rate-in-training",
        title="the rates are reported, but training uses the first one throughout",
        explanation=(
            "The trace is right, yet the weights are not those of a training with these rates: the optimiser was given "
            "one number. Evaluating a schedule beside the training does not change the training. What does the "
            "optimiser need to be given so that it looks up the rate itself?"
        ),
        caught_by="test_training_uses_the_rates_of_the_trace",
        swap=(
            (
                "rates.append(float(self.model.optimizer.learning_rate))\n\n",
                "rates.append(float(schedule(len(rates))))\n\n",
            ),
            ("SGD(learning_rate=schedule)", "SGD(learning_rate=float(schedule(1)))"),
        ),
    ),
    WrongAnswer(
        id="no-training",
        title="the schedule is evaluated without any training",
        explanation=(
            "The rates are those of the schedule, but the model was not trained: its weights and the optimiser's "
            "counter have not moved. A trace is a record of what happened, which is how a wrong counter would be "
            "noticed. Let the training run, and record the rate from inside it."
        ),
        caught_by="test_training_uses_the_rates_of_the_trace",
        code="""
def lr_trace(model, schedule, x, y, *, batch_size, epochs):
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=schedule), loss="mse")
    updates = epochs * math.ceil(len(x) / batch_size)
    return np.array([float(schedule(step)) for step in range(updates)], dtype=np.float64)
""",
    ),
    WrongAnswer(
        id="no-decay-steps",
        title="the exponent is the step itself, `decay_steps` has no effect",
        explanation=(
            "The rate falls by the factor `decay_rate` at every update instead of once in `decay_steps` updates. With "
            "0.5 it is practically zero after thirty updates. In which unit does the exponent count?"
        ),
        caught_by="test_smooth_decay",
        swap=((" / self.decay_steps", ""),),
    ),
    WrongAnswer(
        id="rounded-exponent",
        title="the stairs are rounded to the nearest, not down",
        explanation=(
            "Every drop comes half a stair too early. A stair is over only when all of its `decay_steps` updates have "
            "been made, so an exponent of 0.9 still counts as no complete stair. Which rounding says that?"
        ),
        caught_by="test_staircase",
        swap=(("tf.floor(decays)", "tf.round(decays)"),),
    ),
    WrongAnswer(
        id="integer-division",
        title="the smooth mode has stairs as well",
        explanation=(
            "Without `staircase` the rate should change a little at every update; yours stands still and then drops. "
            "Look at the kind of division that makes the exponent."
        ),
        caught_by="test_smooth_decay",
        swap=((" / self.decay_steps", " // self.decay_steps"),),
    ),
    WrongAnswer(
        id="clock-from-zero",
        title="the decay counts from step 0, not from the end of the warm-up",
        explanation=(
            "During the warm-up the decay is running already, so the rate never reaches its initial value: it jumps "
            "down where the two parts should meet. How many updates of decay have been made at `step == warmup_steps`?"
        ),
        caught_by="test_warm_up",
        swap=(("tf.maximum(step - self.warmup_steps, 0.0)", "step"),),
    ),
    WrongAnswer(
        id="python-if",
        title="a Python `if` on the step",
        explanation=(
            "This works for numbers and fails in a compiled function, where the step is symbolic: it has no value yet "
            "when Python wants to know which way to go. AutoGraph can hide that when your code is in a file, but not "
            "in every notebook. Which operation picks one of two tensors?"
        ),
        caught_by="test_every_kind_of_step_gives_a_float32_scalar",
        swap=(
            (
                "return tf.where(step < self.warmup_steps, ramp, decayed)",
                "return ramp if step < self.warmup_steps else decayed",
            ),
        ),
    ),
    WrongAnswer(
        id="config-without-warm-up",
        title="the configuration leaves out the warm-up",
        explanation=(
            "The schedule that is restored from your configuration has no warm-up, since an argument that is missing "
            "there takes its default. A run that is resumed from a saved model would then train with other rates. "
            "Compare the keys of `get_config()` with the arguments of the constructor."
        ),
        caught_by="test_configuration_restores_the_schedule",
        swap=(('            "warmup_steps": self.warmup_steps,\n', ""),),
    ),
    WrongAnswer(
        id="warm-up-from-one",
        title="the warm-up starts one step up the ramp",
        explanation=(
            "Your rate of step 0 is `initial / warmup_steps`: every rate of the ramp comes one update early. Several "
            "libraries do that; the convention of this task is that the very first update has the rate 0."
        ),
        caught_by="test_warm_up",
        swap=(("* step / max(", "* (step + 1) / max("),),
    ),
    WrongAnswer(
        id="choice-by-multiplication",
        title="the two parts are multiplied by 0 and 1 and added",
        explanation=(
            "A long warm-up before a fast decay makes your rate NaN: early in the warm-up the decay formula has a "
            "large negative exponent and overflows, and 0 times infinity is not 0. Pick one of the two with an "
            "operation that ignores the other, or keep the exponent from becoming negative."
        ),
        caught_by="test_warm_up",
        swap=(
            ("tf.maximum(step - self.warmup_steps, 0.0)", "(step - self.warmup_steps)"),
            (
                "        return tf.where(step < self.warmup_steps, ramp, decayed)\n",
                "        warm = tf.cast(step < self.warmup_steps, tf.float32)\n"
                "        return warm * ramp + (1.0 - warm) * decayed\n",
            ),
        ),
    ),
    WrongAnswer(
        id="zero-allowed",
        title="zero and NaN are accepted as arguments",
        explanation=(
            "Negative arguments are refused, but a `decay_steps` of 0 divides by zero and a rate of 0 or NaN trains "
            "nothing or destroys the weights. A comparison with NaN is always false: phrase the condition so that it "
            "has to be true for good values."
        ),
        caught_by="test_bad_arguments",
        swap=(("if not 0 < value < math.inf:", "if value < 0:"),),
    ),
    WrongAnswer(
        id="ready-made",
        title="the library's own ExponentialDecay does the work",
        explanation=(
            "The rates are right, but the decay comes from the library's schedule, which this exercise asks you to "
            "write. Its formula is one line: start from the worked example's table."
        ),
        caught_by="test_every_kind_of_step_gives_a_float32_scalar",
        swap=(
            (
                "        decayed = self.initial_learning_rate * self.decay_rate**decays\n",
                "        library = tf.keras.optimizers.schedules.ExponentialDecay(\n"
                "            self.initial_learning_rate, self.decay_steps, self.decay_rate, self.staircase\n"
                "        )\n"
                "        decayed = library(tf.maximum(step - self.warmup_steps, 0.0))\n",
            ),
        ),
    ),
]

equivalent_mutants = {
    "1 -> 2 in `ramp = self.initial_learning_rate * step / max(self.warmup_steps, 1)`": (
        "the divisor differs only for warmup_steps <= 1, where the ramp is used at step 0 at most, and 0 / 2 is 0 too"
    ),
    "0 -> 1 in `model.fit(": "verbose: the progress bar is printed, which no check may look at",
}

alternatives = [
    Alternative(
        id="keras-ops-and-batches",
        title="keras.ops in float64, and a loop over train_on_batch",
        code="""
class WarmupExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, warmup_steps=0, name=None):
        if not all(np.isfinite([initial_learning_rate, decay_steps, decay_rate, warmup_steps])):
            raise ValueError("not finite")
        if initial_learning_rate <= 0 or decay_steps <= 0 or decay_rate <= 0 or warmup_steps < 0:
            raise ValueError("out of range")
        self.config = {
            "initial_learning_rate": initial_learning_rate,
            "decay_steps": decay_steps,
            "decay_rate": decay_rate,
            "staircase": staircase,
            "warmup_steps": warmup_steps,
            "name": name or "WarmupExponentialDecay",
        }

    def __call__(self, step):
        ops, config = keras.ops, self.config
        step = ops.cast(step, "float64")
        exponent = (step - config["warmup_steps"]) / config["decay_steps"]
        exponent = ops.relu(ops.floor(exponent) if config["staircase"] else exponent)
        factor = ops.exp(exponent * math.log(config["decay_rate"]))
        if config["warmup_steps"]:
            factor = ops.where(step < config["warmup_steps"], step / config["warmup_steps"], factor)
        return ops.cast(config["initial_learning_rate"] * factor, "float32")

    def get_config(self):
        return dict(self.config)


def lr_trace(model, schedule, x, y, *, batch_size, epochs):
    model.compile(optimizer=keras.optimizers.SGD(schedule), loss=keras.losses.MeanSquaredError())
    rates = []
    for _ in range(epochs):
        for start in range(0, len(x), batch_size):
            rates.append(float(schedule(model.optimizer.iterations)))
            model.train_on_batch(x[start : start + batch_size], y[start : start + batch_size])
    return np.asarray(rates)
""",
    ),
    Alternative(
        id="cond-and-assigned-rate",
        title="tf.cond on whole numbers, and a callback that assigns the rate of every update",
        code="""
@keras.saving.register_keras_serializable(package="schedules")
class WarmupExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, warmup_steps=0, name=None):
        for value in (initial_learning_rate, decay_steps, decay_rate):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(value)
        if warmup_steps < 0:
            raise ValueError(warmup_steps)
        self.peak, self.every, self.factor = initial_learning_rate, decay_steps, decay_rate
        self.stairs, self.warm, self.name = staircase, warmup_steps, name

    def climbing(self, step):
        return tf.cast(self.peak * tf.cast(step, tf.float32) / self.warm, tf.float32)

    def falling(self, step):
        since = step - self.warm
        exponent = since // self.every if self.stairs else since / self.every
        return self.peak * tf.pow(tf.constant(self.factor, tf.float32), tf.cast(exponent, tf.float32))

    def __call__(self, step):
        step = tf.cast(step, tf.int64)
        if self.warm == 0:
            return self.falling(step)
        return tf.cond(step < self.warm, lambda: self.climbing(step), lambda: self.falling(step))

    def get_config(self):
        return dict(initial_learning_rate=self.peak, decay_steps=self.every, decay_rate=self.factor,
                    staircase=self.stairs, warmup_steps=self.warm, name=self.name)


def lr_trace(model, schedule, x, y, *, batch_size, epochs):
    rates = []

    def assign(batch, logs):
        rates.append(float(schedule(len(rates))))
        model.optimizer.learning_rate = rates[-1]

    model.compile(optimizer=keras.optimizers.SGD(learning_rate=1.0), loss="mean_squared_error")
    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=assign)
    model.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback])
    return np.array(rates)
""",
    ),
    Alternative(
        id="minimum-and-replay",
        title="the exponent from clipped counters, and the trace replayed from the optimiser's final counter",
        code="""
class WarmupExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, warmup_steps=0, name=None):
        self.__dict__.update(
            initial_learning_rate=initial_learning_rate,
            decay_steps=decay_steps,
            decay_rate=decay_rate,
            staircase=staircase,
            warmup_steps=warmup_steps,
            name=name,
        )
        positive = np.array([initial_learning_rate, decay_steps, decay_rate], dtype=float)
        if not np.all((positive > 0) & np.isfinite(positive)) or warmup_steps < 0:
            raise ValueError(self.get_config())

    def __call__(self, step):
        step = tf.convert_to_tensor(step)
        warm = tf.cast(tf.minimum(step, self.warmup_steps), tf.float32)
        after = tf.cast(tf.maximum(step - self.warmup_steps, 0), tf.float32)
        progress = after / float(self.decay_steps)
        progress = tf.math.floor(progress) if self.staircase else progress
        ramp = warm / self.warmup_steps if self.warmup_steps else 1.0
        return self.initial_learning_rate * ramp * tf.pow(float(self.decay_rate), progress)

    def get_config(self):
        return {**vars(self)}


def lr_trace(model, schedule, x, y, *, batch_size, epochs):
    model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse", run_eagerly=True)
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)
    return np.fromiter((schedule(step) for step in range(int(model.optimizer.iterations))), dtype=np.float64)
""",
    ),
]
