"""Wrong and differently written answers to schedules/reduce_on_plateau.

Every "must reject" line of B-Q8b has an entry, the published one ("Adam adapts already") first.
"""

from grader.catalogue import Alternative, WrongAnswer

SETTINGS = "test_settings"
PATIENCE = "test_patience"
IMPROVEMENTS = "test_improvements"
COOLDOWN = "test_cooldown"
FLOOR = "test_floor_and_smallest_change"
NOT_FINITE = "test_metrics_that_are_not_finite"

wrong_answers = [
    # --------------------------------------------------------------------------------------- when to reduce
    WrongAnswer(
        id="never-reduced",
        title="the rate never changes, as if the optimiser adapted it",
        explanation=(
            "Your answers are all the rate of the beginning. An adaptive optimiser scales every coordinate by its own "
            "gradients, but the rate that multiplies all of them stays where you put it. Which event should lower it?"
        ),
        caught_by=PATIENCE,
        swap=(("        if self.bad_calls > self.patience:\n", "        if False:\n"),),
    ),
    WrongAnswer(
        id="reduced-when-patience-is-reached",
        title="the rate reduced one call too early",
        explanation=(
            "Your rate falls when the number of bad calls reaches `patience`. That many are put up with; the next one "
            "is too many. Follow the count by hand with `patience=1`."
        ),
        caught_by=PATIENCE,
        swap=(("self.bad_calls > self.patience", "self.bad_calls >= max(self.patience, 1)"),),
    ),
    WrongAnswer(
        id="count-never-reset-by-improvement",
        title="all bad calls counted, not those in a row",
        explanation=(
            "An improvement does not set your count back, so a metric that gets better now and then is punished for "
            "its bad calls of long ago. Patience is about a run of bad calls."
        ),
        caught_by=PATIENCE,
        swap=(
            ("        elif improved:\n            self.bad_calls = 0\n", "        elif improved:\n            pass\n"),
        ),
    ),
    WrongAnswer(
        id="reduced-at-every-call-afterwards",
        title="the count goes on after a reduction",
        explanation=(
            "After the first reduction every further bad call reduces the rate again, so it collapses within a few "
            "calls. The smaller rate deserves as much patience as the first one had. What has to happen to the count?"
        ),
        caught_by=PATIENCE,
        swap=(
            (
                "                self.lr = lower\n            self.bad_calls = 0\n",
                "                self.lr = lower\n",
            ),
        ),
    ),
    WrongAnswer(
        id="subtracted-instead-of-multiplied",
        title="a fixed amount subtracted instead of multiplying by the factor",
        explanation=(
            "Every reduction takes the same amount off. Learning rates are chosen on a logarithmic scale: a step that "
            "is small at 1e-1 is the whole rate at 1e-3. What does `factor` stand for?"
        ),
        caught_by=PATIENCE,
        swap=(
            (
                "            lower = max(self.lr * self.factor, self.min_lr)",
                "            lower = max(self.lr - self.amount, self.min_lr)",
            ),
            (
                "        self.best: float | None = None\n",
                "        self.best: float | None = None\n        self.amount = (1 - factor) * lr\n",
            ),
        ),
    ),
    WrongAnswer(
        id="one-lower-rate-only",
        title="the rate reduced to one fixed lower value, once",
        explanation=(
            "Your rate falls to `factor` times the rate of the beginning and then stays. Every reduction multiplies "
            "the rate that is in force, so there are as many levels as plateaus."
        ),
        caught_by=PATIENCE,
        swap=(
            (
                "            lower = max(self.lr * self.factor, self.min_lr)",
                "            lower = max(self.first * self.factor, self.min_lr)",
            ),
            (
                "        self.best: float | None = None\n",
                "        self.best: float | None = None\n        self.first = lr\n",
            ),
        ),
    ),
    WrongAnswer(
        id="answer-one-call-late",
        title="the answer is the rate before the reduction",
        explanation=(
            "The call that reduces the rate still answers with the old one; the new one comes a call later. `step` "
            "answers with the rate to use next."
        ),
        caught_by=PATIENCE,
        swap=(
            (
                "        if not math.isfinite(metric):\n",
                "        rate = self.lr\n        if not math.isfinite(metric):\n",
            ),
            ("        return self.lr\n", "        return rate\n"),
        ),
    ),
    WrongAnswer(
        id="reduced-on-a-timer",
        title="the rate reduced after every so many calls, whatever the metric does",
        explanation=(
            "Your rate falls on a timer, also while the metric is improving. That is a step schedule. Here only a run "
            "of calls without improvement may lower it."
        ),
        caught_by=PATIENCE,
        swap=(("        elif improved:\n            self.bad_calls = 0\n        else:\n", "        else:\n"),),
    ),
    # --------------------------------------------------------------------------------- what an improvement is
    WrongAnswer(
        id="previous-metric",
        title="each metric compared with the one before it",
        explanation=(
            "A metric that is better than its predecessor counts as an improvement, even when it is worse than the "
            "best. One that jumps up and creeps back keeps such a schedule waiting. Which value is the comparison with?"
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            (
                "        if improved:\n            self.best = metric\n",
                "        self.best = metric if math.isfinite(metric) else self.best\n",
            ),
        ),
    ),
    WrongAnswer(
        id="best-reset-by-a-reduction",
        title="the best metric forgotten at a reduction",
        explanation=(
            "After a reduction the next metric counts as an improvement, however bad it is. A smaller rate changes "
            "nothing about what has been reached before: the best of all calls stays the measure."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            (
                "            self.cooldown_left = self.cooldown\n",
                "            self.cooldown_left = self.cooldown\n            self.best = None\n",
            ),
        ),
    ),
    WrongAnswer(
        id="equality-improves",
        title="a metric exactly at the limit counted as improvement",
        explanation=(
            "A metric that is better by exactly the margin counts for you, and with `threshold=0` even one that stands "
            "still. Look at the comparison sign."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            ("metric < self.best - margin", "metric <= self.best - margin"),
            ("metric > self.best + margin", "metric >= self.best + margin"),
        ),
    ),
    WrongAnswer(
        id="threshold-ignored",
        title="every gain counted as improvement, however small",
        explanation=(
            "`threshold` has no effect: a gain in the seventh digit, which is noise, postpones the reduction. An "
            "improvement has to exceed the best by more than the margin."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            ('margin = self.threshold * self.best if self.threshold_mode == "rel" else self.threshold', "margin = 0.0"),
        ),
    ),
    WrongAnswer(
        id="relative-taken-as-absolute",
        title="the threshold used as a difference in both modes",
        explanation=(
            'With `threshold_mode="rel"` the threshold is a fraction of the best metric, so the margin grows and '
            "shrinks with it. Yours is the same for a loss of 100 and one of 0.01."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            ('if self.threshold_mode == "rel" else self.threshold', 'if self.threshold_mode == "" else self.threshold'),
        ),
    ),
    WrongAnswer(
        id="absolute-taken-as-relative",
        title="the threshold used as a fraction in both modes",
        explanation=(
            'With `threshold_mode="abs"` the threshold is a difference in the units of the metric. Yours is multiplied '
            "by the best metric there too."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            ('if self.threshold_mode == "rel" else self.threshold', 'if self.threshold_mode != "" else self.threshold'),
        ),
    ),
    WrongAnswer(
        id="mode-ignored",
        title="smaller taken for better in both modes",
        explanation=(
            'With `mode="max"` your class waits for the metric to fall, so a rising accuracy looks like a plateau. '
            "Direction and side of the margin both depend on `mode`."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            ('if self.mode == "min" else metric > self.best + margin', "if self.mode else metric > self.best + margin"),
        ),
    ),
    WrongAnswer(
        id="margin-to-the-wrong-side",
        title='the margin subtracted with `mode="max"` as well',
        explanation=(
            'With `mode="max"` your limit lies below the best metric, so slightly worse ones count as improvements. '
            "Draw the best on a line and mark where an improvement has to lie in either mode."
        ),
        caught_by=IMPROVEMENTS,
        swap=(("metric > self.best + margin", "metric > self.best - margin"),),
    ),
    WrongAnswer(
        id="best-creeps",
        title="the best moves with gains that are too small to count",
        explanation=(
            "A metric that is better, but not by more than the margin, still becomes your best. The limit then creeps "
            "along with it and is out of reach. Only an improvement may change the best."
        ),
        caught_by=IMPROVEMENTS,
        swap=(
            (
                "        if improved:\n            self.best = metric\n",
                "        if improved:\n            self.best = metric\n"
                "        elif math.isfinite(metric) and self.best is not None:\n"
                '            self.best = min(self.best, metric) if self.mode == "min" else max(self.best, metric)\n',
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- the cooldown
    WrongAnswer(
        id="cooldown-ignored",
        title="the cooldown has no effect",
        explanation=(
            "Bad calls are counted at once after a reduction. Right after it the metric needs time to react to the new "
            "rate, which is what the cooldown is for."
        ),
        caught_by=COOLDOWN,
        swap=(("            self.cooldown_left = self.cooldown\n", ""),),
    ),
    WrongAnswer(
        id="cooldown-one-too-short",
        title="the cooldown one call too short",
        explanation=(
            "Your cooldown includes the call of the reduction itself, so it ends a call early. The *next* `cooldown` "
            "calls are not counted."
        ),
        caught_by=COOLDOWN,
        swap=(
            (
                "            self.cooldown_left = self.cooldown\n",
                "            self.cooldown_left = max(self.cooldown - 1, 0)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="cooldown-one-too-long",
        title="the call after the cooldown not counted either",
        explanation=(
            "Your counting resumes one call late. After `cooldown` calls without counting, the next one counts again."
        ),
        caught_by=COOLDOWN,
        swap=(
            (
                "            self.cooldown_left = self.cooldown\n",
                "            self.cooldown_left = self.cooldown + 1 if self.cooldown else 0\n",
            ),
        ),
    ),
    WrongAnswer(
        id="cooldown-delays-the-best",
        title="improvements in a cooldown go unnoticed",
        explanation=(
            "In a cooldown your code skips the comparison as well as the counting. A best metric that is reached there "
            "has to be remembered: what comes later is measured against it."
        ),
        caught_by=COOLDOWN,
        swap=(
            (
                "        if improved:\n            self.best = metric\n",
                "        if improved and self.cooldown_left == 0:\n            self.best = metric\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------ floor, tiny changes
    WrongAnswer(
        id="floor-ignored",
        title="the rate falls below `min_lr`",
        explanation=(
            "`min_lr` has no effect. A rate that has been reduced too often no longer trains anything; the floor is "
            "there so that the run stays alive."
        ),
        caught_by=FLOOR,
        swap=(
            (
                "            lower = max(self.lr * self.factor, self.min_lr)",
                "            lower = self.lr * self.factor",
            ),
        ),
    ),
    WrongAnswer(
        id="reduction-refused-at-the-floor",
        title="a reduction that would cross the floor is not made at all",
        explanation=(
            "Where the factor would carry the rate below `min_lr`, yours stays above it. It should become `min_lr`."
        ),
        caught_by=FLOOR,
        swap=(
            (
                "            lower = max(self.lr * self.factor, self.min_lr)",
                "            lower = self.lr * self.factor",
            ),
            ("if self.lr - lower > SMALLEST_CHANGE:", "if self.lr - lower > SMALLEST_CHANGE and lower >= self.min_lr:"),
        ),
    ),
    WrongAnswer(
        id="smallest-change-ignored",
        title="reductions by 1e-8 or less are made as well",
        explanation=(
            "Your rate goes on shrinking where the change is no longer worth making. A reduction by 1e-8 or less leaves "
            "the rate as it is."
        ),
        caught_by=FLOOR,
        swap=(("if self.lr - lower > SMALLEST_CHANGE:", "if self.lr > lower:"),),
    ),
    WrongAnswer(
        id="new-rate-compared-with-the-limit",
        title="1e-8 compared with the new rate instead of the change",
        explanation=(
            "Your rate stops falling when it gets small itself. The rule is about the difference: a reduction from "
            "0.5 to 0.499999999 changes nothing worth having, although both are large."
        ),
        caught_by=FLOOR,
        swap=(("if self.lr - lower > SMALLEST_CHANGE:", "if lower > SMALLEST_CHANGE:"),),
    ),
    # -------------------------------------------------------------------------------------------- not finite
    WrongAnswer(
        id="nan-becomes-the-best",
        title="NaN taken for the best metric",
        explanation=(
            "A first metric of NaN becomes your best, and every comparison with NaN is false: nothing is an improvement "
            "ever after. A metric that is not finite can never be the best."
        ),
        caught_by=NOT_FINITE,
        swap=(("        if not math.isfinite(metric):\n", "        if math.isinf(metric):\n"),),
    ),
    WrongAnswer(
        id="nan-not-counted",
        title="a metric that is not finite is skipped",
        explanation=(
            "NaN and infinity leave your count as it is. A run whose loss is NaN at every evaluation is in trouble: "
            "such a call is a bad one like any other."
        ),
        caught_by=NOT_FINITE,
        swap=(
            (
                "        if not math.isfinite(metric):\n            improved = False\n",
                "        if not math.isfinite(metric):\n            return self.lr\n",
            ),
        ),
    ),
    WrongAnswer(
        id="infinity-becomes-the-best",
        title="an infinite metric taken for the best",
        explanation=(
            "Infinity on the good side becomes your best, and nothing can beat it any more. PyTorch's class does that; "
            "here a metric that is not finite is a bad call."
        ),
        caught_by=NOT_FINITE,
        swap=(("        if not math.isfinite(metric):\n", "        if math.isnan(metric):\n"),),
    ),
    WrongAnswer(
        id="first-metric-blindly-the-best",
        title="the first metric is the best, whatever it is",
        explanation=(
            "Your first comparison is skipped, so a first metric that is NaN or infinite becomes the best. Ask whether "
            "it is finite before anything else."
        ),
        caught_by=NOT_FINITE,
        swap=(
            (
                "        if not math.isfinite(metric):\n            improved = False\n        elif self.best is None:\n            improved = True\n",
                "        if self.best is None:\n            improved = True\n        elif not math.isfinite(metric):\n            improved = False\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------ the settings
    WrongAnswer(
        id="factor-of-one-accepted",
        title="a factor of 1 or 0 accepted",
        explanation=(
            "A factor of 1 never lowers the rate, and one of 0 ends the training. The task asks for a ValueError at "
            "both ends of the range."
        ),
        caught_by=SETTINGS,
        swap=(("if not 0 < factor < 1:", "if not 0 <= factor <= 1:"),),
    ),
    WrongAnswer(
        id="floor-above-the-rate-accepted",
        title="a `min_lr` above `lr` accepted",
        explanation=(
            "A floor above the rate contradicts itself: a reduction would have to raise the rate. Say so when the "
            "object is made."
        ),
        caught_by=SETTINGS,
        swap=(("not 0 <= min_lr <= lr:", "not 0 <= min_lr:"),),
    ),
    WrongAnswer(
        id="nan-settings-accepted",
        title="NaN passes the tests of the settings",
        explanation=(
            "Every comparison with NaN is false, so a test of the form 'too small or too large' lets it through. Phrase "
            "the conditions so that they have to be true for good values."
        ),
        caught_by=SETTINGS,
        swap=(
            ("if not 0 < factor < 1:", "if factor <= 0 or factor >= 1:"),
            ("if not 0 <= threshold < math.inf:", "if threshold < 0 or threshold == math.inf:"),
        ),
    ),
    WrongAnswer(
        id="unknown-mode-accepted",
        title="an unknown mode taken for one of the two",
        explanation=(
            "A misspelt mode behaves like one of the known ones, and the mistake shows weeks later. Refuse what you do "
            "not know."
        ),
        caught_by=SETTINGS,
        swap=(
            (
                '        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):\n',
                "        if mode is None:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="state-in-the-class",
        title="two schedules share their state",
        explanation=(
            "The metrics of one schedule change the answers of another: something that belongs to the object is kept in "
            "the class or in the module. Each schedule needs a best metric and counts of its own."
        ),
        caught_by="test_random_runs",
        code="""
class PlateauLR(PlateauLR):
    seen = {}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        PlateauLR.seen["best"] = None

    def step(self, metric):
        self.best = PlateauLR.seen["best"]
        answer = super().step(metric)
        PlateauLR.seen["best"] = self.best
        return answer
""",
    ),
]

alternatives = [
    Alternative(
        id="numpy-and-signs",
        title="larger is better inside, the limit kept ready, the patience counted down",
        code="""
import numpy as np


class PlateauLR:
    def __init__(self, lr, factor=0.1, patience=10, threshold=1e-4, mode="min", threshold_mode="rel", cooldown=0,
                 min_lr=0.0):
        numbers = np.array([lr, factor, patience, threshold, cooldown, min_lr], dtype=float)
        if not np.isfinite(numbers).all() or numbers.min() < 0:
            raise ValueError("negative or not finite")
        if lr == 0 or min_lr > lr or factor == 0 or factor >= 1:
            raise ValueError("out of range")
        try:
            self.sign = {"min": -1.0, "max": 1.0}[mode]
            self.relative = {"rel": True, "abs": False}[threshold_mode]
        except KeyError as error:
            raise ValueError(f"unknown mode {error}") from None
        self.rate, self.factor, self.floor = np.float64(lr), factor, min_lr
        self.threshold, self.patience, self.cooldown = threshold, patience, cooldown
        self.limit = -np.inf
        self.left = patience
        self.pause = 0

    def step(self, metric):
        score = self.sign * metric
        better = np.isfinite(score) and score > self.limit
        if better:
            self.limit = score + self.threshold * (abs(metric) if self.relative else 1.0)
        if self.pause:
            self.pause -= 1
        elif better:
            self.left = self.patience
        elif self.left == 0:
            self.left, self.pause = self.patience, self.cooldown
            reduced = np.maximum(self.rate * self.factor, self.floor)
            self.rate = self.rate if self.rate - reduced <= 1e-8 else reduced
        else:
            self.left -= 1
        return self.rate
""",
    ),
    Alternative(
        id="whole-history",
        title="all metrics kept, everything worked out from them again at every call",
        code="""
class PlateauLR:
    def __init__(self, lr, factor=0.1, patience=10, threshold=1e-4, mode="min", threshold_mode="rel", cooldown=0,
                 min_lr=0.0):
        fine = lr > 0 and lr != math.inf and min_lr >= 0 and min_lr <= lr and factor > 0 and factor < 1
        fine = fine and patience >= 0 and cooldown >= 0 and threshold >= 0 and threshold != math.inf
        if not fine or mode not in {"min", "max"} or threshold_mode not in {"rel", "abs"}:
            raise ValueError("settings")
        self.settings = lr, factor, patience, threshold, mode, threshold_mode, cooldown, min_lr
        self.metrics = []

    def better(self, metric, best):
        _, _, _, threshold, mode, threshold_mode, _, _ = self.settings
        if metric - metric != 0:  # NaN or infinite
            return False
        if best is None:
            return True
        limit = {"rel": {"min": best * (1 - threshold), "max": best * (1 + threshold)},
                 "abs": {"min": best - threshold, "max": best + threshold}}[threshold_mode][mode]
        return (metric < limit) if mode == "min" else (metric > limit)

    def step(self, metric):
        self.metrics += [metric]
        rate, factor, patience, _, _, _, cooldown, min_lr = self.settings
        best, bad, resting = None, 0, 0
        for value in self.metrics:
            good = self.better(value, best)
            best = value if good else best
            bad = 0 if good or resting else bad + 1
            resting = max(resting - 1, 0)
            if bad == patience + 1:
                new = rate * factor
                new = min_lr if new < min_lr else new
                if rate - new > 1e-8:
                    rate = new
                bad, resting = 0, cooldown
        return rate
""",
    ),
    Alternative(
        id="call-numbers",
        title="numbers of calls instead of counters, the rate as a power of the factor",
        code="""
class PlateauLR:
    def __init__(self, lr, factor=0.1, patience=10, threshold=1e-4, mode="min", threshold_mode="rel", cooldown=0,
                 min_lr=0.0):
        for name, value in list(locals().items()):
            if name != "self":
                setattr(self, name, value)
        if isinstance(lr, str) or not (0 < lr < math.inf) or not (0 <= min_lr <= lr) or not (0 < factor < 1):
            raise ValueError("rates")
        if min(patience, cooldown) < 0 or not (0 <= threshold < math.inf):
            raise ValueError("counts")
        if mode not in ["min", "max"] or threshold_mode not in ["rel", "abs"]:
            raise ValueError("modes")
        self.call, self.counted_from, self.reductions, self.frozen = -1, 0, 0, False
        self.best = math.inf if mode == "min" else -math.inf

    def step(self, metric):
        self.call += 1
        gain = self.best - metric if self.mode == "min" else metric - self.best
        margin = self.threshold
        if self.threshold_mode == "rel":
            margin = self.threshold * self.best if math.isfinite(self.best) else 0.0
        if math.isfinite(metric) and gain > margin:
            self.best = metric
            self.counted_from = max(self.counted_from, self.call + 1)
        elif self.call - self.counted_from >= self.patience:
            self.counted_from = self.call + 1 + self.cooldown
            old = self.rate()
            self.reductions += 1
            if old - self.rate() <= 1e-8:
                self.reductions -= 1
        return self.rate()

    def rate(self):
        return max(self.lr * self.factor**self.reductions, self.min_lr)
""",
    ),
]
