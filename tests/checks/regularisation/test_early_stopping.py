"""Hidden checks of regularisation/early_stopping.

Every metric value is a multiple of 1/8, so that both arrangements of the inequality give the same decisions. The oracle
walks from one improvement straight to the next; the submission counts call by call.
"""

import math

import numpy as np
import torch

from grader.checking import assert_claims, assert_equal, catches, points, raises, visible

NAN, INF = math.nan, math.inf

CLAIMS = {
    "sparsity_is_penalised": False,
    "l1_zeroes_l2_shrinks": True,
    "patience_is_in_steps": False,
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


def train(student, settings, values, states):
    """Overwrite the model in place with the numbers of states[e] before call e.

    Returns what step returned and the state of the model after the last call.
    """
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    stopper = student.EarlyStopping(**settings)
    returned = []
    for value, numbers in zip(values, states, strict=True):
        tensors = list(model.state_dict().values())
        with torch.no_grad():
            for tensor, part in zip(tensors, numbers.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))
        returned.append(stopper.step(value, model))
    return returned, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def train_and_restore(student, settings, values, states):
    """Train as above; restore; train once more and restore again; then restore in another model, in evaluation mode.

    Returns the three states after restoring, the state of the model after the third, whether the models consist of the
    tensors they began with, whether they are in training mode, and the attributes before and after restoring.
    """
    import torch
    from torch import nn

    def new_model():
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def overwrite(model, numbers):
        tensors = list(model.state_dict().values())
        with torch.no_grad():
            for tensor, part in zip(tensors, numbers.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def attributes():
        return [stopper.best_value, stopper.best_epoch, stopper.epoch, stopper.wait, stopper.stopped]

    model, other = new_model().train(), new_model().eval()
    tensors = [*model.parameters(), *model.buffers(), *other.parameters(), *other.buffers()]
    stopper = student.EarlyStopping(**settings)
    for value, numbers in zip(values, states[:-2], strict=True):
        overwrite(model, numbers)
        stopper.step(value, model)
    before = attributes()
    restored = []
    for trained, given in ((None, model), (model, model), (model, other)):
        if trained is not None:
            overwrite(trained, states[-2])
        overwrite(other, states[-1])
        stopper.restore(given)
        restored.append({name: tensor.clone() for name, tensor in given.state_dict().items()})
    untouched = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    now = [*model.parameters(), *model.buffers(), *other.parameters(), *other.buffers()]
    same = all(old is new for old, new in zip(tensors, now, strict=True))
    return restored, untouched, same, [model.training, other.training], before, attributes()


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


SHAPES = {  # the state_dict of Linear(3, 4), BatchNorm1d(4), Linear(4, 2), in its order
    "0.weight": (4, 3),
    "0.bias": (4,),
    "1.weight": (4,),
    "1.bias": (4,),
    "1.running_mean": (4,),
    "1.running_var": (4,),
    "1.num_batches_tracked": (),
    "2.weight": (2, 4),
    "2.bias": (2,),
}


def random_states(rng, count):
    """The numbers of `count` states, one a row, all different in every entry."""
    width = sum(math.prod(shape) for shape in SHAPES.values())
    states = rng.uniform(0.5, 1.5, (count, width)) + np.arange(count)[:, None]
    states[:, 32] = 7 * np.arange(1, count + 1)  # num_batches_tracked is a whole number
    return torch.tensor(states, dtype=torch.float32)


def assert_state(actual, numbers, what, cause):
    """`actual` is the state_dict of a model that was overwritten with these numbers."""
    assert_equal(sorted(actual), sorted(SHAPES), what=f"list of names in the state_dict {what}")
    parts = numbers.split([math.prod(shape) for shape in SHAPES.values()])
    for (name, shape), part in zip(SHAPES.items(), parts, strict=True):
        expected = part.view(shape).to(torch.int64 if name.endswith("tracked") else torch.float32)
        assert_equal(actual[name], expected, what=f"{name} of the model {what}", cause=cause)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_steps(student):
    """Two epochs without improvement end the training, and the weights of the best epoch come back."""
    answers, summary, weight = student.run(first_steps, [3.0, 5.0, 7.0, 11.0], [0.75, 0.5, 0.625, 0.5])
    told = "with patience=2 and the losses 0.75, 0.5, 0.625, 0.5"
    for call, (answer, expected) in enumerate(zip(answers, [False, False, False, True], strict=True), start=1):
        assert_equal(answer, expected, what=f"answer of call {call} of step {told}")
    for name, got, want in zip(ATTRIBUTES, summary, (0.5, 1, 3, 2, True), strict=True):
        assert_equal(got, want, what=f"{name} after the stop, {told},")
    cause = "the state of epoch 1 was not brought back, or what was kept went on changing with the model"
    assert_equal(weight, 5.0, what="weight after the stop", cause=cause)


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("best-value-begins-at-infinity", "epochs-counted-from-one", "nan-min-delta")
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
@catches(
    "stops-at-first-rise",
    "one-too-late",
    "one-too-early",
    "previous-value",
    "wait-never-reset",
    "stop-not-final",
    "stop-taken-back",
)
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
@catches("equality-improves", "min-delta-ignored", "mode-ignored", "delta-widens-max", "best-creeps")
def test_improvements(student, rng):
    """An improvement beats the best value by more than min_delta, in the direction of mode."""

    def check(values, patience, min_delta):
        for mode, sign in (("min", 1.0), ("max", -1.0)):  # the mirrored values: the same decisions
            mirrored = [sign * value for value in values]
            settings = {"patience": patience, "min_delta": min_delta, "mode": mode}
            cause = "an improvement beats the best value by more than min_delta, on the side that mode names"
            assert_history(student, settings, mirrored, expected_history(mirrored, **settings), cause)

    start = 5 + float(rng.integers(0, 8)) / 8
    check([start, start, start, start], 3, 0.0)  # a plateau
    check([start, start - 0.5, start - 1.0, start - 0.75], 2, 0.5)  # better by exactly min_delta, twice
    check([start - 0.25 * step for step in range(8)], 2, 0.125)  # always better by more than min_delta
    check([start - 0.125 * step for step in range(9)], 4, 0.25)  # steps below min_delta, in sum above
    check([start, start + 0.125, start - 0.125], 2, 0.25)  # within min_delta on both sides
    for _ in range(12):
        values = [float(value) / 8 for value in rng.integers(1, 12, int(rng.integers(3, 10)))]
        check(values, int(rng.integers(1, 5)), float(rng.integers(0, 4)) / 8)


@points(1)
@catches("nan-first-is-best", "infinity-is-best", "nan-not-counted", "stop-without-a-state-raises")
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
    returned, end = student.run(train, {"patience": 2}, [NAN, INF], states)
    assert_equal(returned, [False, True], what="list of answers of EarlyStopping(patience=2).step for nan, inf")
    assert_state(end, states[1], "after a stop with no finite value seen", "the model stays as it is")


@points(1)
@catches("live-references", "buffers-forgotten", "last-weights", "not-restored-at-the-stop", "restore-best-ignored")
def test_best_weights_after_the_stop(student, rng):
    """On the stop the model holds the state of the best epoch again, every parameter and every buffer."""
    values = [2.0, 0.5, 1.0, 0.25, 0.25, 0.75, -1.0, -2.0]  # best epoch 3, stop at 5 with patience 2, then two more
    states = random_states(rng, len(values))
    told = f"after the values {values[:6]} with patience=2"
    cause = "on the stop every parameter and buffer is what it was then; what was kept must not follow the training"
    settings = {"patience": 2}  # restore_best is True by default
    returned, end = student.run(train, settings, values[:6], states[:6])
    assert_equal(returned, [False] * 5 + [True], what=f"list of answers of step {told}")
    assert_state(end, states[3], f"{told} (epoch 3 was the best)", cause)

    _, end = student.run(train, settings, values[:5], states[:5])
    assert_state(end, states[4], f"after the values {values[:5]} with patience=2", "restored before the stop")

    _, end = student.run(train, settings, values, states)
    what = f"after the values {values} with patience=2, two calls beyond the stop"
    assert_state(end, states[7], what, "step changed the model after the stop")

    settings = {"patience": 2, "restore_best": False}
    _, end = student.run(train, settings, values[:6], states[:6])
    assert_state(end, states[5], f"{told} and restore_best=False", "restored although restore_best is False")


@points(1)
@catches(
    "restore-hands-over-the-copy",
    "restore-rebinds-the-name",
    "restore-ignores-its-argument",
    "restore-ends-training-mode",
    "kept-only-to-restore",
    "restores-nothing-silently",
)
def test_restore_on_request(student, rng):
    """`restore` brings the best state back whenever it is asked to, and says so when there is none."""
    for settings, values in (
        ({"patience": 2, "mode": "max", "restore_best": False}, [0.5, 0.75, 0.25, 0.625]),  # stopped
        ({"patience": 3, "mode": "max", "restore_best": True}, [0.5, 0.75, 0.25]),  # the epochs ran out first
        ({"patience": 2, "mode": "max", "restore_best": True}, [0.5, 0.75, 0.25, 0.625]),  # restored already
    ):
        states = random_states(rng, len(values) + 2)
        restored, model, same, modes, before, after = student.run(train_and_restore, settings, values, states)
        told = f"after {described(settings)} saw {values}"
        cause = "the kept state was lost, is shared with the model, or was not written into the model that was given"
        whens = ("and restore", "and restore, training and restore", "and another model was given to restore")
        for when, state in zip(whens, restored, strict=True):
            assert_state(state, states[1], f"{told} {when}", cause)
        cause = "restore writes into the model it is given, and into no other"
        assert_state(model, states[-2], f"that was trained, {told} {whens[2]}", cause)
        if not same:
            raise AssertionError(
                "After restore the model's parameters are other objects than before; restore must write into the "
                "model's own tensors. An optimiser would go on training the replaced ones."
            )
        for got, want in zip(modes, (True, False), strict=True):
            if got != want:
                raise AssertionError(f"restore was given a model with training={want} and left it with training={got}.")
        for name, got, want in zip(ATTRIBUTES, after, before, strict=True):
            assert_equal(got, want, what=f"{name} {told} and restore", cause="restore changed an attribute")
    for values in ([], [NAN, INF, -INF]):
        with raises(RuntimeError, what=f"restore after the values {values}"):
            student.run(restore_without_a_best_value, values)
