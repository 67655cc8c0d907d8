"""Hidden checks of regularisation/early_stopping.

Every metric value is a multiple of 1/8, so that both arrangements of the inequality give the same decisions. The oracle
walks from one improvement straight to the next; the submission counts call by call.
"""

import math

import numpy as np
import torch

from grader.checking import assert_equal, catches, points, raises, visible

NAN, INF = math.nan, math.inf

CLAIMS = {
    "sparsity_is_penalised": False,
    "l1_zeroes_l2_shrinks": True,
    "flips_are_safe": False,
    "one_rise_is_enough": False,
    "dropout_rescales": True,
    "adamw_is_adam_with_l2": False,
    "shared_photos_hide_it": True,
    "modalities_differ": True,
}

ATTRIBUTES = ("best_value", "best_epoch", "epoch", "wait", "stopped")


# ---------------------------------------------------------------- what runs in the student's process


def attributes_at_the_start(student, settings):
    stopper = student.EarlyStopping(**settings)
    return [stopper.best_value, stopper.best_epoch, stopper.epoch, stopper.wait, stopper.stopped]


def evaluate(student, settings, values):
    """What step returned and the attributes afterwards, call by call."""
    from torch import nn

    model = nn.Linear(2, 1)
    stopper = student.EarlyStopping(**settings)
    history = []
    for value in values:
        returned = stopper.step(value, model)
        history.append([returned, stopper.best_value, stopper.best_epoch, stopper.epoch, stopper.wait, stopper.stopped])
    return history


def train(student, settings, values, states, restores=0):
    """Overwrite the model in place with states[name][e] before call e; then restore, with overwriting in between.

    Returns what step returned, the state after the last call, the states after each restore, and whether the model
    still consists of the same parameters and buffers.
    """
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    tensors = [*model.parameters(), *model.buffers()]

    def overwrite(epoch):
        with torch.no_grad():
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
                tensor.copy_(states[name][epoch])

    def snapshot():
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    stopper = student.EarlyStopping(**settings)
    returned = []
    for epoch, value in enumerate(values):
        overwrite(epoch)
        returned.append(stopper.step(value, model))
    at_the_end = snapshot()
    restored = []
    for time in range(restores):
        if time > 0:
            overwrite(len(values) + time - 1)
        stopper.restore(model)
        restored.append(snapshot())
    same = all(old is new for old, new in zip(tensors, [*model.parameters(), *model.buffers()], strict=True))
    return returned, at_the_end, restored, same


def restore_without_a_best_value(student, values):
    from torch import nn

    model = nn.Linear(2, 1)
    stopper = student.EarlyStopping(patience=9)
    for value in values:
        stopper.step(value, model)
    stopper.restore(model)


def first_steps(student, weights, losses):
    from torch import nn

    model = nn.Linear(1, 1, bias=False)
    stopper = student.EarlyStopping(patience=2)
    answers = []
    for weight, loss in zip(weights, losses, strict=True):
        nn.init.constant_(model.weight, weight)
        answers.append(stopper.step(loss, model))
    summary = [stopper.best_value, stopper.best_epoch, stopper.epoch, stopper.wait, stopper.stopped]
    return answers, summary, model.weight.item()


# ---------------------------------------------------------------- what is expected, worked out here


def improvements_and_stop(values, patience, min_delta, mode):
    """Epochs of the improvements and the epoch of the stop (None: never), jumping from improvement to improvement."""
    sign = 1.0 if mode == "max" else -1.0
    improvements = []
    while True:
        best = improvements[-1] if improvements else None
        first = 0 if best is None else best + 1
        for epoch in range(first, min(first + patience, len(values))):
            finite = abs(values[epoch]) < INF  # False for NaN too
            if finite and (best is None or sign * (values[epoch] - values[best]) > min_delta):
                improvements.append(epoch)
                break
        else:
            stop = first + patience - 1
            return improvements, stop if stop < len(values) else None


def expected_history(values, patience, min_delta=0.0, mode="min"):
    """Rows like those of `evaluate`."""
    improvements, stop = improvements_and_stop(values, patience, min_delta, mode)
    history = []
    for call in range(len(values)):
        epoch = call if stop is None else min(call, stop)
        best = max((improvement for improvement in improvements if improvement <= epoch), default=None)
        wait = epoch + 1 if best is None else epoch - best
        stopped = stop is not None and call >= stop
        history.append([stopped, None if best is None else values[best], best, epoch, wait, stopped])
    return history


def described(settings):
    return f"EarlyStopping({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def assert_history(student, settings, values, expected, cause):
    """The submission, told these values, answers and reports as in the rows `expected`."""
    history = student.run(evaluate, settings, values)
    for call, (row, wanted) in enumerate(zip(history, expected, strict=True)):
        told = f"{described(settings)} after step was given the values {values[: call + 1]}"
        assert_equal(row[0], wanted[0], what=f"answer of step in {told}", cause=cause)
        for name, got, want in zip(ATTRIBUTES, row[1:], wanted[1:], strict=True):
            assert_equal(got, want, what=f"{name} of {told}", cause=cause)


def random_states(rng, count):
    """`count` states of Linear(3, 4), BatchNorm1d(4), Linear(4, 2), stacked, all different in every entry."""
    shapes = {
        "0.weight": (4, 3),
        "0.bias": (4,),
        "1.weight": (4,),
        "1.bias": (4,),
        "1.running_mean": (4,),
        "1.running_var": (4,),
        "2.weight": (2, 4),
        "2.bias": (2,),
    }
    states = {
        name: torch.tensor(np.stack([rng.uniform(0.5, 1.5, shape) + epoch for epoch in range(count)])).float()
        for name, shape in shapes.items()
    }
    states["1.num_batches_tracked"] = 7 * torch.arange(1, count + 1)
    return states


def assert_state(actual, states, epoch, what, cause):
    """`actual` is the state_dict that the model was given before call `epoch`."""
    assert_equal(sorted(actual), sorted(states), what=f"names in the state_dict {what}")
    for name, tensors in states.items():
        assert_equal(actual[name], tensors[epoch], what=f"{name} of the model {what}", cause=cause)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_steps(student):
    """Two epochs without improvement end the training, and the weights of the best epoch come back."""
    answers, summary, weight = student.run(first_steps, [3.0, 5.0, 7.0, 11.0], [0.75, 0.5, 0.625, 0.5])
    assert_equal(answers, [False, False, False, True], what="list of answers of step", cause="see the rule for wait")
    assert_equal(summary, [0.5, 1, 3, 2, True], what="list of best_value, best_epoch, epoch, wait, stopped")
    assert_equal(weight, 5.0, what="weight after the stop", cause="the kept state is not that of epoch 1")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    claims = student.claims
    right = sum(claims.get(name) is truth for name, truth in CLAIMS.items()) if isinstance(claims, dict) else 0
    assert_equal(right, len(CLAIMS), what="number of claims judged rightly")


@points(1)
@catches("nan-min-delta")
def test_settings(student, rng):
    """The defaults and the attributes before the first call are as stated, and senseless settings are refused."""
    for settings in ({}, {"patience": 1, "min_delta": 0.25, "mode": "max", "restore_best": False}):
        start = student.run(attributes_at_the_start, settings)
        for name, got, want in zip(ATTRIBUTES, start, (None, None, -1, 0, False), strict=True):
            assert_equal(got, want, what=f"{name} of {described(settings)} before the first call of step")

    low = float(rng.integers(1, 9)) / 8
    values = [low + 1, low, low + 1, low + 2, low]
    assert_history(student, {}, values, expected_history(values, patience=3), "the defaults are not as stated")

    for settings in (
        {"patience": 0},
        {"patience": -2},
        {"min_delta": -0.25},
        {"min_delta": NAN},
        {"min_delta": INF},
        {"mode": "auto"},
        {"mode": "minimum"},
        {"mode": ""},
    ):
        with raises(ValueError, what=described(settings)):
            student.EarlyStopping(**settings)


@points(1)
@catches("stops-at-first-rise", "one-too-late", "one-too-early", "previous-value", "wait-never-reset", "stop-not-final")
def test_patience(student, rng):
    """Training stops when `patience` evaluations in a row brought no improvement, and not before; the stop is final."""
    cause = "wait counts the calls since the last improvement over the best value; stop when it reaches patience"
    for patience in (1, int(rng.integers(3, 6))):
        best = float(rng.integers(-8, 9)) / 8
        settings = {"patience": patience}
        rows = [[False, best, 0, epoch, epoch, False] for epoch in range(patience)]
        rows += [[True, best, 0, patience, patience, True]] * 3  # the stop and two more calls, which change nothing
        worse_and_worse = [best + epoch / 8 for epoch in range(patience + 1)]
        less_and_less_bad = [best, *(best + (patience - epoch) / 8 for epoch in range(patience))]
        assert_history(student, settings, [*worse_and_worse, best - 1, best + 1], rows, cause)
        assert_history(student, settings, [*less_and_less_bad, best - 2, best - 3], rows, cause)

        values = [best]  # bad, but never for long
        rows = [[False, best, 0, 0, 0, False]]
        for _ in range(3):
            best_epoch = len(values) - 1
            for wait in range(1, patience):
                rows.append([False, best, best_epoch, len(values), wait, False])
                values.append(best + 0.5)
            best -= 0.25
            rows.append([False, best, len(values), len(values), 0, False])
            values.append(best)
        assert_history(student, settings, values, rows, cause)


@points(1)
@catches("equality-improves", "mode-ignored", "delta-widens-max", "best-creeps")
def test_improvements(student, rng):
    """An improvement beats the best value by more than min_delta, in the direction of mode."""

    def check(values, patience, min_delta):
        for mode, sign in (("min", 1.0), ("max", -1.0)):  # the mirrored values: the same decisions
            mirrored = [sign * value for value in values]
            settings = {"patience": patience, "min_delta": min_delta, "mode": mode}
            cause = "compare strictly, with the best value, on the side that mode names"
            assert_history(student, settings, mirrored, expected_history(mirrored, **settings), cause)

    start = 5 + float(rng.integers(0, 8)) / 8
    check([start, start, start, start], 3, 0.0)  # a plateau
    check([start, start - 0.5, start - 1.0, start - 0.5], 2, 0.5)  # better by exactly min_delta each time
    check([start - 0.25 * step for step in range(8)], 2, 0.125)  # always better by more than min_delta
    check([start - 0.125 * step for step in range(9)], 4, 0.25)  # steps below min_delta, in sum above
    check([start, start + 0.125, start - 0.125], 2, 0.25)  # within min_delta on both sides
    for _ in range(12):
        values = [float(value) / 8 for value in rng.integers(1, 12, int(rng.integers(3, 10)))]
        check(values, int(rng.integers(1, 5)), float(rng.integers(0, 4)) / 8)


@points(1)
@catches("nan-first-is-best", "infinity-is-best", "nan-not-counted")
def test_values_that_are_not_finite(student, rng):
    """NaN and infinity are evaluations without improvement."""
    low = float(rng.integers(-8, 9)) / 8
    scripts = [
        (1, [NAN, low, low - 1]),
        (3, [NAN, low, low - 1, low]),
        (2, [INF, -INF, low]),
        (2, [low, -INF, low - 1, INF, low - 2]),
        (2, [low, NAN, NAN, low - 1]),
        (3, [-INF, INF, low, NAN, INF, -INF, low]),
    ]
    for _ in range(6):
        values = rng.integers(-6, 7, 8) / 8
        values[rng.choice(8, 4, replace=False)] = rng.choice([NAN, INF, -INF], 4)
        scripts.append((int(rng.integers(2, 5)), values.tolist()))
    cause = "a value that is not finite never becomes the best one, and uses up patience like any other bad value"
    for patience, values in scripts:
        for mode in ("min", "max"):
            settings = {"patience": patience, "mode": mode}
            assert_history(student, settings, values, expected_history(values, **settings), cause)

    states = random_states(rng, 2)
    returned, end, _, _ = student.run(train, {"patience": 2}, [NAN, INF], states)
    assert_equal(returned, [False, True], what="list of answers of EarlyStopping(patience=2).step for nan, inf")
    assert_state(end, states, 1, "after a stop with no finite value seen", "the model stays as it is")


@points(1)
@catches("live-references", "buffers-forgotten", "last-weights", "restore-best-ignored")
def test_best_weights_after_the_stop(student, rng):
    """On the stop the model holds the state of the best epoch again, every parameter and every buffer."""
    values = [2.0, 0.5, 1.0, 0.25, 0.25, 0.75, -1.0, -2.0]  # best epoch 3, stop at 5 with patience 2, then two more
    states = random_states(rng, len(values))
    told = f"after the values {values[:6]} with patience=2"
    cause = "the kept state must be a copy that later training in place does not change, with parameters and buffers"
    settings = {"patience": 2}  # restore_best is True by default
    returned, end, _, _ = student.run(train, settings, values[:6], states)
    assert_equal(returned, [False] * 5 + [True], what=f"list of answers of step {told}")
    assert_state(end, states, 3, f"{told}; epoch 3 was the best", cause)

    _, end, _, _ = student.run(train, settings, values[:5], states)
    assert_state(end, states, 4, f"after the values {values[:5]} with patience=2", "restored before the stop")

    _, end, _, _ = student.run(train, settings, values, states)
    what = f"after the values {values} with patience=2, two calls beyond the stop"
    assert_state(end, states, 7, what, "step changed the model after the stop")

    settings = {"patience": 2, "restore_best": False}
    _, end, _, _ = student.run(train, settings, values[:6], states)
    assert_state(end, states, 5, f"{told} and restore_best=False", "restored although restore_best is False")


@points(1)
@catches("restore-hands-over-the-copy", "kept-only-to-restore", "restores-nothing-silently")
def test_restore_on_request(student, rng):
    """`restore` brings the best state back whenever it is asked to, and says so when there is none."""
    for settings, values in (
        ({"patience": 2, "mode": "max", "restore_best": False}, [0.5, 0.75, 0.25, 0.625]),  # stopped
        ({"patience": 3, "mode": "max", "restore_best": True}, [0.5, 0.75, 0.25]),  # the epochs ran out first
        ({"patience": 2, "mode": "max", "restore_best": True}, [0.5, 0.75, 0.25, 0.625]),  # restored already
    ):
        states = random_states(rng, len(values) + 2)
        _, _, restored, same = student.run(train, settings, values, states, restores=3)
        for times, state in enumerate(restored, start=1):
            what = f"after {described(settings)} saw {values} and call {times} of restore, with training before it"
            assert_state(state, states, 1, what, "the kept state was lost, or is shared with the model")
        assert_equal(
            same,
            True,
            what='answer to "are the model\'s parameters still the same objects after restore?"',
            cause="restore must write into the model's tensors: an optimiser would go on training the replaced ones",
        )
    for values in ([], [NAN, INF, -INF]):
        with raises(RuntimeError, what=f"restore after the values {values}"):
            student.run(restore_without_a_best_value, values)
