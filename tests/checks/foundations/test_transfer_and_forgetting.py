"""Checks of foundations/transfer_and_forgetting. Expected values are added up task by task in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from grader.checking import assert_claims, assert_close, assert_unchanged, catches, points, raises, visible

CLAIMS = {
    "cannot_hurt": False,
    "cheaper_predictions": False,
    "accuracy_only": False,
    "weekly_facts": True,
    "probe_first": True,
    "old_tasks_needed": True,
    "two_stages": True,
    "nothing_forgotten": False,
}
NAN, INF = math.nan, math.inf


# ---------------------------------------------------------------- what is expected, worked out here


def expected_metrics(scores, baseline):
    """The four numbers from their definitions, one task at a time, in exact fractions."""
    table = [[Fraction(float(score)) for score in row] for row in scores]
    start = [Fraction(float(score)) for score in baseline]
    last = len(table) - 1
    changes = [table[last][task] - table[task][task] for task in range(last)]
    ahead = [table[task - 1][task] - start[task] for task in range(1, last + 1)]
    lost = [max(table[stage][task] for stage in range(last)) - table[last][task] for task in range(last)]
    return {
        "acc": float(sum(table[last]) / (last + 1)),
        "bwt": float(sum(changes) / last),
        "fwt": float(sum(ahead) / last),
        "forgetting": float(sum(lost) / last),
    }


def ledger(rng, tasks, dtype=None, low=0, high=100):
    """A table of random scores and a baseline."""
    if dtype is None:
        return rng.uniform(low, high, (tasks, tasks)), rng.uniform(low, high, tasks)
    return rng.integers(low, high, (tasks, tasks)).astype(dtype), rng.integers(low, high, tasks).astype(dtype)


def entry(result, key, call):
    """One of the four numbers as a Python float; NumPy scalars and arrays of shape () are fine."""
    if not isinstance(result, dict):
        raise AssertionError(f"{call} returned {type(result).__name__}, expected a dict")
    if key not in result:
        raise AssertionError(f"{call} returned a dict without {key!r}; it has {sorted(map(str, result))}")
    value = result[key]
    if isinstance(value, np.ndarray | np.generic) and value.shape == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionError(f"The entry {key!r} of {call} is {value!r}, expected a single number")
    return float(value)


def check(student, cases, keys, cause=""):
    """Call the student's function with every case first, then compare the named entries."""
    results = [student.continual_metrics(scores, baseline) for _, scores, baseline in cases]
    for (told, scores, baseline), result in zip(cases, results, strict=True):
        call = f"continual_metrics of {told}"
        expected = expected_metrics(scores, baseline)
        for key in keys:
            found = entry(result, key, call)
            assert_close(found, expected[key], rtol=1e-9, atol=1e-9, what=f"entry {key!r} of {call}", cause=cause)


def metrics_and_arguments(student, scores, baseline):
    """What the call returned, and both arguments after it."""
    return student.continual_metrics(scores, baseline), scores, baseline


# ---------------------------------------------------------------- the checks


@visible
@points(1)
def test_worked_example(student):
    """Three tasks, and one ability before and after a fine-tuning, give the numbers worked out by hand."""
    three_tasks = ([[0.5, 0.2, 0.1], [0.7, 0.6, 0.3], [0.6, 0.65, 0.8]], [0.3, 0.1, 0.05])
    before_and_after = ([[0.7, 0.4], [0.6, 0.9]], [0.1, 0.25])
    for told, arguments, expected in (
        ("the three tasks", three_tasks, {"acc": 2.05 / 3, "bwt": 0.075, "fwt": 0.175, "forgetting": 0.025}),
        ("before and after", before_and_after, {"acc": 0.75, "bwt": -0.1, "fwt": 0.15, "forgetting": 0.1}),
    ):
        result = student.continual_metrics(*arguments)
        for key, value in expected.items():
            call = f"continual_metrics of {told}"
            assert_close(entry(result, key, call), value, rtol=1e-9, atol=1e-9, what=f"entry {key!r} of {call}")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("average-of-the-diagonal", "transposed", "average-of-the-whole-table", "average-of-old-tasks")
def test_average_score(student, rng):
    """The average score is that of all tasks at the end of all training."""
    cases = [("a table in which every entry differs", [[1, 2, 4], [8, 16, 32], [64, 128, 256]], [5, 7, 9])]
    cases += [(f"{tasks} tasks with random scores", *ledger(rng, tasks)) for tasks in (2, 3, 5)]
    check(student, cases, ["acc"], "all tasks count, each with its score after the last stage")


@points(1)
@catches(
    "divided-by-the-number-of-tasks",
    "backward-transfer-from-stage-0",
    "backward-transfer-of-the-next-stage",
    "backward-transfer-with-the-sign-of-a-loss",
    "backward-transfer-added-up",
    "average-size-of-the-change",
)
def test_backward_transfer(student, rng):
    """Backward transfer is what an old task has gained since its own stage, on average over the old tasks."""
    cases = [("a table in which every entry differs", [[1, 2, 4], [8, 16, 32], [64, 128, 256]], [5, 7, 9])]
    falling = [[80, 1, 2, 3], [70, 90, 4, 5], [60, 50, 40, 6], [30, 20, 10, 95]]
    cases.append(("four tasks that are forgotten", falling, [50, 50, 50, 50]))
    cases += [(f"{tasks} tasks with random scores", *ledger(rng, tasks)) for tasks in (2, 3, 5)]
    cause = "score after the last stage minus score after the task's own stage, and the last task does not count"
    check(student, cases, ["bwt"], cause)


@points(1)
@catches(
    "forward-transfer-after-training",
    "forward-transfer-without-baseline",
    "forward-transfer-of-stage-0",
    "forward-transfer-below-the-diagonal",
    "baseline-of-the-task-before",
    "forward-transfer-of-task-0",
    "forward-transfer-over-all-tasks",
)
def test_forward_transfer(student, rng):
    """Forward transfer is how far a task was above random weights before it was taught."""
    cases = [("a table in which every entry differs", [[1, 2, 4], [8, 16, 32], [64, 128, 256]], [5, 70, 900])]
    rising = [[80, 30, 20, 10], [70, 90, 40, 15], [60, 50, 92, 60], [30, 20, 10, 95]]
    cases.append(("four tasks that help the next", rising, [50, 5, 6, 7]))
    cases += [(f"{tasks} tasks with random scores", *ledger(rng, tasks)) for tasks in (2, 3, 5)]
    cause = "score after the stage before the task's own minus its baseline, and task 0 does not count"
    check(student, cases, ["fwt"], cause)


@points(1)
@catches(
    "forgetting-is-minus-backward-transfer",
    "forgetting-cut-at-0",
    "forgetting-of-a-task-cut-at-0",
    "best-with-the-last-stage",
    "best-since-the-own-stage",
    "best-of-the-whole-table",
    "forgetting-over-all-tasks",
    "forgetting-negated",
)
def test_forgetting(student, rng):
    """Forgetting is the way down from a task's best earlier score to its last one, and may be negative."""
    later = [[40, 2, 4], [75, 60, 8], [50, 55, 90]]
    earlier = [[40, 70, 4], [30, 60, 8], [25, 65, 90]]
    gains = [[40, 30, 20], [45, 50, 25], [60, 70, 80]]
    mixed = [[40, 30, 20], [45, 50, 25], [85, 20, 80]]
    nothing = [10, 10, 10]
    cases = [
        ("tasks of which one is best between its own stage and the last", later, nothing),
        ("tasks of which one is best before its own stage", earlier, nothing),
        ("tasks that are best at the end", gains, nothing),
        ("tasks of which one gains and one loses", mixed, nothing),
    ]
    cases += [(f"{tasks} tasks with random scores", *ledger(rng, tasks)) for tasks in (2, 3, 6)]
    cause = "the best score of every stage but the last, minus the last one, with its sign"
    check(student, cases, ["forgetting"], cause)


@points(1)
@catches(
    "shape-unchecked",
    "baseline-shape-unchecked",
    "values-unchecked",
    "unread-values-unchecked",
    "one-task-accepted",
    "infinity-accepted",
)
def test_tables_that_make_no_sense_are_refused(student, rng):
    """Tables of other shapes, baselines of other lengths and scores that are not finite are refused."""
    scores, baseline = ledger(rng, 3)

    def with_value(array, place, value):
        changed = array.copy()
        changed[place] = value
        return changed

    for told, bad_scores, bad_baseline in (
        ("one task", [[0.5]], [0.25]),
        ("no tasks", np.zeros((0, 0)), []),
        ("a row less than columns", scores[:2], baseline),
        ("a column less than rows", scores[:, :2], baseline),
        ("a row less than columns, and two baselines", scores[:2], baseline[:2]),
        ("a column less than rows, and two baselines", scores[:, :2], baseline[:2]),
        ("scores with one axis", scores[0], baseline),
        ("scores with three axes", rng.uniform(size=(3, 3, 3)), baseline),
        ("a baseline that is too short", scores, baseline[:2]),
        ("a baseline that is too long", scores, [*baseline, 0.5]),
        ("a baseline of shape (1,)", scores, baseline[:1]),
        ("a baseline of shape (3, 1)", scores, baseline[:, None]),
        ("a baseline of shape (1, 3)", scores, baseline[None]),
        ("one number as baseline", scores, 0.5),
        ("NaN in the last row", with_value(scores, (2, 0), NAN), baseline),
        ("NaN in the baseline", scores, with_value(baseline, 1, NAN)),
        ("NaN above the diagonal", with_value(scores, (0, 2), NAN), baseline),
        ("NaN in the first baseline", scores, with_value(baseline, 0, NAN)),
        ("infinity on the diagonal", with_value(scores, (1, 1), INF), baseline),
        ("minus infinity in the first row", with_value(scores, (0, 0), -INF), baseline),
        ("infinity in the baseline", scores, with_value(baseline, 2, INF)),
        ("minus infinity in the first baseline", scores, with_value(baseline, 0, -INF)),
    ):
        with raises(ValueError, what=f"continual_metrics with {told}"):
            student.continual_metrics(bad_scores, bad_baseline)


@points(1)
@catches("computed-in-the-dtype-given", "computed-in-float32", "scores-changed", "baseline-changed", "rounded")
def test_every_kind_of_numbers(student, rng):
    """Lists and arrays of every numeric dtype give the numbers in float64, and stay as they were."""
    cases = [("percentages in uint8", *ledger(rng, 4, np.uint8))]
    cases.append(("scores in int8", *ledger(rng, 3, np.int8, -128, 127)))
    cases += [(f"scores in {np.dtype(kind)}", *(part.astype(kind) for part in ledger(rng, 5))) for kind in "efd"]
    cases.append(("scores in float32 and a baseline in uint8", ledger(rng, 3)[0].astype("f"), ledger(rng, 3, "u1")[1]))
    cases += [(f"scores as lists, {told}", scores.tolist(), baseline.tolist()) for told, scores, baseline in cases[:3]]
    cases.append(("two tasks with random scores", *ledger(rng, 2)))
    cases.append(("log-likelihoods, all negative", *ledger(rng, 4, low=-9, high=-1)))
    cause = "a difference or a mean was taken in the dtype of the scores, or in float32, or was rounded"
    check(student, cases, ["acc", "bwt", "fwt", "forgetting"], cause)
    for told, scores, baseline in cases:
        if isinstance(scores, np.ndarray):
            _, scores_after, baseline_after = student.run(metrics_and_arguments, scores, baseline)
            assert_unchanged(scores_after, scores, what=f"table of scores ({told})")
            assert_unchanged(baseline_after, baseline, what=f"baseline ({told})")
