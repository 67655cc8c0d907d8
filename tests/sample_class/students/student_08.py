"""Asks the schedule once an epoch, with the number of the epoch: the bug of the published example."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    notebook = Notebook(student, "schedules/exponential_decay")
    notebook.write(
        "WarmupExponentialDecay.__init__",
        """
        super().__init__()
        if warmup_steps < 0:
            raise ValueError("warmup_steps < 0")
        for n in (initial_learning_rate, decay_steps, decay_rate):
            if n <= 0 or math.isnan(n) or math.isinf(n):
                raise ValueError(n)
        self.lr0, self.every, self.factor = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.warmup, self.name = staircase, warmup_steps, name
        """,
    )
    notebook.write(
        "WarmupExponentialDecay.__call__",
        """
        t = tf.cast(step, tf.float32)
        n = tf.nn.relu(t - self.warmup) / self.every
        n = tf.floor(n) if self.staircase else n
        lr = self.lr0 * tf.constant(self.factor, tf.float32) ** n
        if self.warmup:
            up = self.lr0 * (t / self.warmup)
            lr = tf.where(tf.less(t, self.warmup), up, lr)
        return lr
        """,
    )
    notebook.write(
        "WarmupExponentialDecay.get_config",
        """
        return dict(
            initial_learning_rate=self.lr0, decay_steps=self.every, decay_rate=self.factor,
            staircase=self.staircase, warmup_steps=self.warmup, name=self.name,
        )
        """,
    )
    notebook.write(
        "lr_trace",
        """
        lrs = []
        change = keras.callbacks.LearningRateScheduler(lambda epoch, lr: float(schedule(epoch)))
        remember = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: lrs.append(float(model.optimizer.learning_rate))
        )
        model.compile(keras.optimizers.SGD(learning_rate=0.01), "mse")
        model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=[change, remember], verbose=0)
        return np.array(lrs, dtype=np.float64)
        """,
    )
    notebook.failed(
        "visible-checks",
        "AssertionError",
        "[0.         0.         0.         0.40000001 0.40000001 0.40000001]",
        "assert np.allclose(trace, [0.0, 0.4, 0.8, 0.8, 0.8, 0.8]), trace",
    )
    notebook.scratch(
        "solution",
        """
        wd = WarmupExponentialDecay(0.8, 4, 0.5, warmup_steps=2)
        [round(float(wd(s)), 3) for s in range(8)]
        """,
        value="[0.0, 0.4, 0.8, 0.673, 0.566, 0.476, 0.4, 0.336]",
    )
    return [notebook]
