"""Two more right answers of another kind: a second model as memory, and Keras operations with a loop of batches."""

from notebook_maker import Notebook


def hand_in(student: str) -> list[Notebook]:
    return [exponential_decay(student), early_stopping(student)]


def exponential_decay(student: str) -> Notebook:
    notebook = Notebook(student, "schedules/exponential_decay")
    notebook.rewrite(
        "solution",
        '''
        from keras import ops


        class WarmupExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
            """ramp up for warmup_steps, then lr * rate ** (steps / decay_steps)"""

            def __init__(
                self, initial_learning_rate, decay_steps, decay_rate, staircase=False, warmup_steps=0, name=None
            ):
                numbers = np.array([initial_learning_rate, decay_steps, decay_rate], dtype=float)
                if not np.all(np.isfinite(numbers) & (numbers > 0)) or warmup_steps < 0:
                    raise ValueError("rates and steps must be positive")
                self._config = dict(
                    initial_learning_rate=initial_learning_rate,
                    decay_steps=decay_steps,
                    decay_rate=decay_rate,
                    staircase=staircase,
                    warmup_steps=warmup_steps,
                    name=name,
                )

            def __call__(self, step):
                c = self._config
                step = ops.cast(step, "float32")
                late = ops.maximum(step - c["warmup_steps"], 0.0) / c["decay_steps"]
                if c["staircase"]:
                    late = ops.floor(late)
                # a ** b = exp(b * log(a)), the logarithm is a plain number
                rate = c["initial_learning_rate"] * ops.exp(late * math.log(c["decay_rate"]))
                if c["warmup_steps"] > 0:
                    ramp = step * (c["initial_learning_rate"] / c["warmup_steps"])
                    rate = ops.where(step < c["warmup_steps"], ramp, rate)
                return rate

            def get_config(self):
                return self._config.copy()
        ''',
    )
    notebook.write(
        "lr_trace",
        """
        opt = keras.optimizers.SGD(learning_rate=schedule)
        model.compile(optimizer=opt, loss="mse")
        trace = []
        for epoch in range(epochs):
            order = np.random.permutation(len(x))
            for i in range(0, len(x), batch_size):
                part = order[i : i + batch_size]
                trace.append(float(opt.learning_rate))  # before the update
                model.train_on_batch(x[part], y[part])
        return np.array(trace, dtype="float64")
        """,
    )
    notebook.scratch(
        "solution-2",
        """
        %matplotlib inline
        import matplotlib.pyplot as plt

        s = WarmupExponentialDecay(1.0, 20, 0.5, staircase=True, warmup_steps=10)
        plt.plot([s(i) for i in range(100)])
        print("looks right")
        """,
        "looks right",
    )
    return notebook


def early_stopping(student: str) -> Notebook:
    notebook = Notebook(student, "regularisation/early_stopping")
    notebook.answer(
        """
        I look at both curves on a split by user. If they part, I train fewer weights (LoRA), for fewer steps, with
        early stopping and the best checkpoint restored. Then weight decay, dropout, and most of all more data. For
        image and text together I do not flip images whose caption says left or right, and I sometimes drop one of the
        two inputs, because the text side learns faster by heart than the image side.
        """
    )
    notebook.rewrite(
        "claims",
        """
        claims = dict(
            sparsity_is_penalised=False,
            l1_zeroes_l2_shrinks=True,
            patience_is_in_steps=False,
            one_rise_is_enough=False,
            dropout_rescales=True,
            adamw_is_adam_with_l2=False,
            shared_photos_hide_it=True,
            modalities_differ=True,
        )
        """,
    )
    notebook.rewrite(
        "solution",
        '''
        class EarlyStopping:
            """Everything is turned into "larger is better"; the memory is a whole second model."""

            def __init__(self, patience=3, min_delta=0.0, mode="min", restore_best=True):
                if patience < 1 or not 0 <= min_delta < float("inf") or mode not in ("min", "max"):
                    raise ValueError(f"patience={patience}, min_delta={min_delta}, mode={mode}")
                self.patience = patience
                self.min_delta = min_delta
                self.direction = -1 if mode == "min" else 1
                self.restore_best = restore_best
                self.history = []
                self.best_epoch = None
                self.memory = None
                self.stopped = False

            @property
            def epoch(self):
                return len(self.history) - 1

            @property
            def best_value(self):
                return self.history[self.best_epoch] if self.best_epoch is not None else None

            @property
            def wait(self):
                return len(self.history) if self.best_epoch is None else self.epoch - self.best_epoch

            def step(self, value, model):
                if self.stopped:
                    return True
                self.history.append(value)
                if math.isfinite(value) and (
                    self.best_epoch is None or self.direction * (value - self.best_value) > self.min_delta
                ):
                    self.best_epoch = self.epoch
                    self.memory = copy.deepcopy(model)
                elif self.wait >= self.patience:
                    self.stopped = True
                    if self.restore_best and self.memory is not None:
                        self.restore(model)
                return self.stopped

            def restore(self, model):
                if self.memory is None:
                    raise RuntimeError("never saw a finite value")
                mine = [*model.parameters(), *model.buffers()]
                best = [*self.memory.parameters(), *self.memory.buffers()]
                with torch.no_grad():
                    for a, b in zip(mine, best):
                        a.copy_(b)
        ''',
    )
    notebook.scratch(
        "visible-checks",
        """
        net = nn.Linear(3, 1)
        es = EarlyStopping(patience=1, mode="max")
        for acc in (0.5, 0.7, 0.6):
            print(acc, es.step(acc, net), es.wait)
        """,
        """
        0.5 False 0
        0.7 False 0
        0.6 True 1
        """,
    )
    return notebook
