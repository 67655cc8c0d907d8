"""Wrong and differently written answers to regularisation/early_stopping.

Every "must reject" line of A-Q4a and E-X05 and of the errata has an entry. Lines that both entries share appear once:
"stores references" (live-references), "compares with the previous value" (previous-value), "NaN becomes best"
(nan-first-is-best), "stops one evaluation late" and `wait > patience` (one-too-late).
"""

from grader.catalogue import Alternative, WrongAnswer

wrong_answers = [
    WrongAnswer(
        id="stops-at-first-rise",
        title="training ended at the first evaluation without improvement",
        explanation=(
            "Your class says stop as soon as one value is no improvement, so patience has no effect. Early stopping "
            "is often described like this, yet a validation metric is noisy. Look at what your code does with `wait` "
            "between two bad values."
        ),
        caught_by="test_patience",
        swap=(("self.stopped = self.wait >= self.patience", "self.stopped = True"),),
    ),
    WrongAnswer(
        id="published-claims",
        title="regularisation taken for a penalty on sparsity",
        explanation=(
            "One of the claims follows a sentence that is often published: that the penalties act against sparsity. "
            "Work out both penalties for a vector of zeros and for a vector of large numbers, and compare."
        ),
        caught_by="test_claims",
        swap=(("sparsity_is_penalised=False", "sparsity_is_penalised=True"),),
    ),
    WrongAnswer(
        id="one-too-late",
        title="the stop comes one evaluation after patience is used up",
        explanation=(
            "Your stop needs more than `patience` evaluations without improvement. PyTorch's plateau scheduler counts "
            "like that; early stopping here stops on the evaluation that uses the patience up. Follow `wait` with "
            "patience 1."
        ),
        caught_by="test_patience",
        swap=(("self.wait >= self.patience", "self.wait > self.patience"),),
    ),
    WrongAnswer(
        id="one-too-early",
        title="the stop comes one evaluation before patience is used up",
        explanation=(
            "Training ends although one more evaluation was allowed to be without improvement. Your count may start at "
            "1, or include the evaluation of the improvement itself. Follow `wait` by hand with patience 3."
        ),
        caught_by="test_patience",
        swap=(("self.wait >= self.patience", "self.wait + 1 >= self.patience"),),
    ),
    WrongAnswer(
        id="previous-value",
        title="each value compared with the one before it",
        explanation=(
            "A value that is better than its predecessor counts as an improvement, even when it is worse than the best "
            "one. A metric that jumps up and then creeps down keeps such a loop alive. Which value should the "
            "comparison start from?"
        ),
        caught_by="test_patience",
        swap=(
            ("self.epoch += 1\n", "self.epoch += 1\n        previous, self.previous = self.previous, value\n"),
            ("        self.stopped = False\n", "        self.stopped = False\n        self.previous = None\n"),
            ("elif self.best_value is None:", "elif previous is None:"),
            ("value < self.best_value - self.min_delta", "value < previous - self.min_delta"),
            ("value > self.best_value + self.min_delta", "value > previous + self.min_delta"),
        ),
    ),
    WrongAnswer(
        id="wait-never-reset",
        title="all evaluations without improvement counted, not those in a row",
        explanation=(
            "`wait` only ever grows. Patience is meant for a run of evaluations without improvement, so something has "
            "to happen to `wait` when one comes."
        ),
        caught_by="test_patience",
        swap=(("            self.wait = 0\n", ""),),
    ),
    WrongAnswer(
        id="stop-not-final",
        title="counting and recording go on after the stop",
        explanation=(
            "A call after the stop is treated like any other: `epoch` moves on, and a good value becomes the best one. "
            "The rule says that such a call changes nothing. Ask first whether the stop has already been given."
        ),
        caught_by="test_patience",
        swap=(("        if self.stopped:\n            return True\n", ""),),
    ),
    WrongAnswer(
        id="stop-taken-back",
        title="a good value after the stop takes the stop back",
        explanation=(
            "A call after the stop is treated like any other, and an improvement makes the answer False again. A stop "
            "is final. Ask first whether it has already been given."
        ),
        caught_by="test_patience",
        swap=(
            ("        if self.stopped:\n            return True\n", ""),
            ("        if improved:\n", "        if improved:\n            self.stopped = False\n"),
        ),
    ),
    WrongAnswer(
        id="equality-improves",
        title="a plateau counted as improvement",
        explanation=(
            "A value equal to the limit resets the waiting, so a metric that has stopped moving never ends the "
            "training. Look at the comparison sign and read the rule on equality again."
        ),
        caught_by="test_improvements",
        swap=(
            ("value < self.best_value - self.min_delta", "value <= self.best_value - self.min_delta"),
            ("value > self.best_value + self.min_delta", "value >= self.best_value + self.min_delta"),
        ),
    ),
    WrongAnswer(
        id="min-delta-ignored",
        title="every gain counted as improvement, however small",
        explanation=(
            "`min_delta` has no effect: a value that is better by a hair resets the waiting, so noise keeps the "
            "training going. An improvement has to exceed the best value by more than `min_delta`."
        ),
        caught_by="test_improvements",
        swap=(
            ("value < self.best_value - self.min_delta", "value < self.best_value"),
            ("value > self.best_value + self.min_delta", "value > self.best_value"),
        ),
    ),
    WrongAnswer(
        id="mode-ignored",
        title="smaller taken for better in both modes",
        explanation=(
            'With `mode="max"` your class still waits for the value to fall, so a rising accuracy looks like a '
            "failure. Both the comparison and the side of min_delta depend on `mode`."
        ),
        caught_by="test_improvements",
        swap=(("value > self.best_value + self.min_delta", "value < self.best_value - self.min_delta"),),
    ),
    WrongAnswer(
        id="delta-widens-max",
        title="min_delta subtracted in both modes",
        explanation=(
            'With `mode="max"` the limit lies below the best value, so slightly worse values count as improvements. '
            "Draw the best value on a line and mark where an improvement has to lie in either mode."
        ),
        caught_by="test_improvements",
        swap=(("value > self.best_value + self.min_delta", "value > self.best_value - self.min_delta"),),
    ),
    WrongAnswer(
        id="best-creeps",
        title="the best value updated by gains that are too small to count",
        explanation=(
            "A gain below min_delta does not reset the waiting, but it moves the mark for the next comparison. Many "
            "small steps that together make a large one then never count. Value, epoch and weights of the best "
            "evaluation change together or not at all."
        ),
        caught_by="test_improvements",
        swap=(
            (
                "            self.wait += 1\n",
                "            self.wait += 1\n"
                "            if self.best_value is not None and math.isfinite(value):\n"
                "                choose = min if self.mode == 'min' else max\n"
                "                self.best_value = choose(self.best_value, value)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-first-is-best",
        title="NaN accepted as the best value",
        explanation=(
            "If the first value is NaN, it is recorded as the best, and as every comparison with NaN is False, no "
            "later value can beat it: a run that recovers is stopped. Deal with such values before comparing."
        ),
        caught_by="test_values_that_are_not_finite",
        swap=(("if not math.isfinite(value):", "if False:"),),
    ),
    WrongAnswer(
        id="infinity-is-best",
        title="infinity accepted as the best value",
        explanation=(
            "NaN is turned away, but an infinite value is recorded, and if it lies on the good side nothing can ever "
            "beat it. An overflow is as little a measurement as NaN is."
        ),
        caught_by="test_values_that_are_not_finite",
        swap=(("if not math.isfinite(value):", "if math.isnan(value):"),),
    ),
    WrongAnswer(
        id="nan-not-counted",
        title="NaN skipped instead of counted",
        explanation=(
            "A value that is not finite leaves `wait` where it was, so a run whose loss has become NaN goes on until "
            "the last epoch. Such an evaluation took place and brought no improvement."
        ),
        caught_by="test_values_that_are_not_finite",
        swap=(
            (
                "        # improvement: better",
                "        if not math.isfinite(value):\n            return False\n        # improvement: better",
            ),
        ),
    ),
    WrongAnswer(
        id="stop-without-a-state-raises",
        title="the stop restores also when no state was kept",
        explanation=(
            "If all values were NaN or infinite, there is nothing to bring back when patience runs out, and your "
            "`step` ends in an error instead of saying stop. In this case the model stays as it is."
        ),
        caught_by="test_values_that_are_not_finite",
        swap=(
            (
                "if self.stopped and self.restore_best and self.best_state is not None:",
                "if self.stopped and self.restore_best:",
            ),
        ),
    ),
    WrongAnswer(
        id="best-value-begins-at-infinity",
        title="best_value begins at infinity instead of None",
        explanation=(
            "Infinity is a handy starting value for a comparison, but whoever looks at `best_value` before the first "
            "finite value should see that there is none. The table of attributes says what it is before the first call."
        ),
        caught_by="test_settings",
        swap=(
            ("self.best_value: float | None = None", 'self.best_value = math.inf if mode == "min" else -math.inf'),
            ("elif self.best_value is None:", "elif math.isinf(self.best_value):"),
        ),
    ),
    WrongAnswer(
        id="epochs-counted-from-one",
        title="epochs counted from 1",
        explanation=(
            "The first call of `step` is number 1 for you, so `epoch` and `best_epoch` are one too high. The task "
            "counts from 0: which value must `epoch` have before the first call?"
        ),
        caught_by="test_settings",
        swap=(("self.epoch = -1", "self.epoch = 0"),),
    ),
    WrongAnswer(
        id="nan-min-delta",
        title="NaN accepted as min_delta",
        explanation=(
            "`min_delta < 0` is False for NaN, so this setting slips through, and afterwards no value but the first "
            "can be an improvement. Infinity does the same. The rule asks for a finite number."
        ),
        caught_by="test_settings",
        swap=(("if min_delta < 0 or not math.isfinite(min_delta):", "if min_delta < 0:"),),
    ),
    WrongAnswer(
        id="live-references",
        title="the live tensors stored instead of a copy",
        explanation=(
            "`state_dict()` hands out the tensors that training changes in place, and copying the dictionary copies "
            'only the names. The "best" weights therefore follow the training and are the last ones at the stop.'
        ),
        caught_by="test_best_weights_after_the_stop",
        swap=(("copy.deepcopy(model.state_dict())", "copy.copy(model.state_dict())"),),
    ),
    WrongAnswer(
        id="buffers-forgotten",
        title="parameters restored, buffers not",
        explanation=(
            "The weights are those of the best epoch, but the running statistics of batch normalisation are those of "
            "the last one, so the model computes something it never computed at either. What else is in a state_dict "
            "besides the parameters?"
        ),
        caught_by="test_best_weights_after_the_stop",
        swap=(
            ("copy.deepcopy(model.state_dict())", "copy.deepcopy(dict(model.named_parameters()))"),
            ("model.load_state_dict(self.best_state)", "model.load_state_dict(self.best_state, strict=False)"),
        ),
    ),
    WrongAnswer(
        id="last-weights",
        title="the last weights brought back instead of the best",
        explanation=(
            "The state is copied at every evaluation, so at the stop the copy is that of the last, which is `patience` "
            "evaluations past the best. Copy at the moment the record is set, and only then."
        ),
        caught_by="test_best_weights_after_the_stop",
        swap=(
            ("            self.best_state = copy.deepcopy(model.state_dict())", "            pass"),
            (
                "        if improved:\n",
                "        self.best_state = copy.deepcopy(model.state_dict())\n        if improved:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="not-restored-at-the-stop",
        title="the best weights kept, but not brought back at the stop",
        explanation=(
            "`restore` works when it is called, but `step` never calls it, so at the stop the model has the weights of "
            "the last epoch although `restore_best` is set."
        ),
        caught_by="test_best_weights_after_the_stop",
        swap=(("                self.restore(model)", "                pass"),),
    ),
    WrongAnswer(
        id="restore-best-ignored",
        title="the weights brought back although restore_best is False",
        explanation=(
            "With `restore_best=False` the model has to keep the weights of the last epoch at the stop; yours are "
            "overwritten. See where the setting is read."
        ),
        caught_by="test_best_weights_after_the_stop",
        swap=(("if self.stopped and self.restore_best and", "if self.stopped and"),),
    ),
    WrongAnswer(
        id="restore-hands-over-the-copy",
        title="the kept tensors handed to the model instead of written into its own",
        explanation=(
            "After restoring, the model's parameters are new objects that share memory with the kept copy: an "
            "optimiser goes on changing the old ones, and training the new ones changes the copy. Write the values "
            "into the tensors that the model already has."
        ),
        caught_by="test_restore_on_request",
        swap=(("model.load_state_dict(self.best_state)", "model.load_state_dict(self.best_state, assign=True)"),),
    ),
    WrongAnswer(
        id="restore-rebinds-the-name",
        title="restore gives the best weights to a new model that nobody sees",
        explanation=(
            "Inside a function, `model = ...` only lets the name point to something else; the caller's model keeps its "
            "weights. Which call writes values into a model that exists already?"
        ),
        caught_by="test_restore_on_request",
        swap=(
            (
                "model.load_state_dict(self.best_state)",
                "model = copy.deepcopy(model)\n        model.load_state_dict(self.best_state)",
            ),
        ),
    ),
    WrongAnswer(
        id="restore-ignores-its-argument",
        title="restore writes into the model seen by step, whatever model it is given",
        explanation=(
            "You remember the model that was trained and write the best state back into it. `restore(model)` may be "
            "given another one, for example a copy for the evaluation, and then yours changes the wrong one."
        ),
        caught_by="test_restore_on_request",
        swap=(
            ("        self.epoch += 1\n", "        self.epoch += 1\n        self.model = model\n"),
            ("model.load_state_dict(self.best_state)", "self.model.load_state_dict(self.best_state)"),
        ),
    ),
    WrongAnswer(
        id="restore-ends-training-mode",
        title="restore switches the model to evaluation mode",
        explanation=(
            "After restoring, dropout and batch normalisation of the model work as in inference, and whoever trains on "
            "does so without noticing. `restore` is about the state only; the mode is the caller's choice."
        ),
        caught_by="test_restore_on_request",
        swap=(
            (
                "model.load_state_dict(self.best_state)",
                "model.eval()\n        model.load_state_dict(self.best_state)",
            ),
        ),
    ),
    WrongAnswer(
        id="kept-only-to-restore",
        title="no copy kept with restore_best=False",
        explanation=(
            "`restore_best` decides what happens at the stop. `restore` may be asked for the best state in either "
            "case, so it has to be kept in either case."
        ),
        caught_by="test_restore_on_request",
        swap=(
            (
                "self.best_state = copy.deepcopy(model.state_dict())",
                "self.best_state = copy.deepcopy(model.state_dict()) if self.restore_best else None",
            ),
        ),
    ),
    WrongAnswer(
        id="restores-nothing-silently",
        title="restore does nothing when no state was kept",
        explanation=(
            "Without a finite value there is no best state, and `restore` returns as if all were well. Whoever calls "
            "it then evaluates or saves the last weights for the best ones. This is a case to report."
        ),
        caught_by="test_restore_on_request",
        swap=(('raise RuntimeError("no finite value has been seen, so there is no state to restore")', "return"),),
    ),
]

alternatives = [
    Alternative(
        id="whole-history",
        title="the list of values is kept and everything else is worked out from it",
        code="""
class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0, mode="min", restore_best=True):
        if mode not in {"min", "max"} or patience < 1 or not 0 <= min_delta < math.inf:
            raise ValueError((patience, min_delta, mode))
        self.patience, self.min_delta, self.restore_best = patience, min_delta, restore_best
        self.sign = {"min": -1, "max": 1}[mode]
        self.values = []
        self.twin = None  # a second model that holds the best weights

    @property
    def best_epoch(self):
        best = None
        for epoch, value in enumerate(self.values):
            if math.isfinite(value) and (best is None or self.sign * (value - self.values[best]) > self.min_delta):
                best = epoch
        return best

    @property
    def best_value(self):
        return None if self.best_epoch is None else self.values[self.best_epoch]

    @property
    def epoch(self):
        return len(self.values) - 1

    @property
    def wait(self):
        return len(self.values) if self.best_epoch is None else self.epoch - self.best_epoch

    @property
    def stopped(self):
        return self.wait >= self.patience

    def step(self, value, model):
        if not self.stopped:
            self.values.append(value)
            if self.best_epoch == self.epoch:
                self.twin = copy.deepcopy(model)
            if self.stopped and self.restore_best and self.twin is not None:
                self.restore(model)
        return self.stopped

    def restore(self, model):
        if self.twin is None:
            raise RuntimeError("nothing recorded")
        model.load_state_dict(self.twin.state_dict())
""",
    ),
    Alternative(
        id="bytes",
        title="the state kept as bytes, the patience counted down",
        code="""
import io
import operator


class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0, mode="min", restore_best=True):
        if mode == "min":
            self._better, self._shift = operator.lt, -min_delta
        elif mode == "max":
            self._better, self._shift = operator.gt, min_delta
        else:
            raise ValueError(mode)
        if patience <= 0 or not (math.isfinite(min_delta) and min_delta >= 0):
            raise ValueError("patience or min_delta")
        self._patience = self._left = patience
        self._restore_best = restore_best
        self._saved = b""
        self.best_value, self.best_epoch, self.epoch = None, None, -1

    @property
    def wait(self):
        return self._patience - self._left

    @property
    def stopped(self):
        return self._left == 0

    def step(self, value, model):
        if self._left == 0:
            return True
        self.epoch = self.epoch + 1
        limit = None if self.best_value is None else self.best_value + self._shift
        if abs(value) < math.inf and (limit is None or self._better(value, limit)):
            self.best_value, self.best_epoch, self._left = value, self.epoch, self._patience
            file = io.BytesIO()
            torch.save(model.state_dict(), file)
            self._saved = file.getvalue()
            return False
        self._left -= 1
        if self._left > 0:
            return False
        if self._restore_best and self._saved:
            self.restore(model)
        return True

    def restore(self, model):
        if not self._saved:
            raise RuntimeError("no best state")
        model.load_state_dict(torch.load(io.BytesIO(self._saved), weights_only=True))
""",
    ),
    Alternative(
        id="tensor-by-tensor",
        title="parameters and buffers cloned and written back one by one, larger is better inside",
        code="""
class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0, mode="min", restore_best=True):
        for fault in (patience < 1, not min_delta >= 0, min_delta == math.inf, mode not in ("min", "max")):
            if fault:
                raise ValueError("bad setting")
        self.patience, self.min_delta, self.mode, self.restore_best = patience, min_delta, mode, restore_best
        self.best_value = self.best_epoch = None
        self.epoch, self.wait, self.stopped = -1, 0, False
        self._kept = []
        self._score = -math.inf

    def step(self, value, model):
        if self.stopped:
            return True
        self.epoch += 1
        score = value if self.mode == "max" else -value
        first = self.best_value is None
        if not math.isfinite(score) or (not first and score - self._score <= self.min_delta):
            self.wait += 1
            self.stopped = self.wait == self.patience
            if self.stopped and self.restore_best and not first:
                self.restore(model)
        else:
            self._score, self.best_value, self.best_epoch, self.wait = score, value, self.epoch, 0
            self._kept = [tensor.detach().cpu().clone() for tensor in (*model.parameters(), *model.buffers())]
        return self.stopped

    def restore(self, model):
        if self.best_epoch is None:
            raise RuntimeError("no finite value so far")
        with torch.no_grad():
            for tensor, kept in zip((*model.parameters(), *model.buffers()), self._kept, strict=True):
                tensor.copy_(kept)
""",
    ),
]
