"""Checks of optimisation/mixed_precision. What is expected of the scaler comes from torch.amp.GradScaler, run here."""

import math

import torch

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

NAN, INF = math.nan, math.inf

CLAIMS = {
    "small_steps_add_up": False,
    "scaling_saves_activations": False,
    "autocast_shrinks_adam": False,
    "bfloat16_range": True,
    "overflow_is_clamped": False,
    "sixteen_bytes": True,
    "frozen_base": True,
    "checkpointing_recomputes": True,
}


# ---------------------------------------------------------------- what runs in the student's process


def run_scaler(student, settings, start, slopes, rate):
    """One iteration for each slope on the loss slope * weight: what step returned, the weight and the scale."""
    import torch

    weight = torch.nn.Parameter(torch.tensor([start]))
    optimizer = torch.optim.SGD([weight], lr=rate)
    scaler = student.LossScaler(**settings)
    history = []
    for slope in slopes:
        optimizer.zero_grad()
        scaler.scale((slope * weight).sum()).backward()
        stepped = scaler.step(optimizer)
        scaler.update()
        history.append([stepped, weight.item(), scaler.get_scale()])
    return history


def scale_and_unscale(student, settings, values, slopes, calls):
    """The scaled loss, and the gradients after backward and after each of the calls "unscale_" and "step"."""
    import torch

    weights = [torch.nn.Parameter(value.clone()) for value in values]
    bystander = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": weights[:1]}, {"params": [*weights[1:], bystander], "lr": 0.25}]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    scaler = student.LossScaler(**settings)
    loss = sum((slope * weight).sum() for slope, weight in zip(slopes, weights, strict=True))
    scaled = scaler.scale(loss)
    scaled.backward()
    before = [weight.grad for weight in weights]
    after_calls = []
    for call in calls:
        answer = getattr(scaler, call)(optimizer)
        same = all(weight.grad is grad for weight, grad in zip(weights, before, strict=True))
        grads = [weight.grad.clone() for weight in weights]
        after_calls.append([answer, same, grads, [weight.detach().clone() for weight in weights]])
    return loss.detach(), scaled.detach(), after_calls, bystander.grad is None, scaler.get_scale()


def step_with_gradients(student, name, options, values, rows, grads_last):
    """Good steps with the gradients in rows, then one with the last: its answer, and all numbers around it."""
    import torch

    def numbers():
        state = [v for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
        return [tensor.detach().clone() for tensor in [*weights, *state]]

    weights = [torch.nn.Parameter(value.clone()) for value in values]
    optimizer = getattr(torch.optim, name)([{"params": [weight]} for weight in weights], **options)
    scaler = student.LossScaler(init_scale=4.0, growth_interval=100)
    for row in rows:
        for weight, grad in zip(weights, row, strict=True):
            weight.grad = 4 * grad
        scaler.step(optimizer)
        scaler.update()
    before = numbers()
    for weight, grad in zip(weights, grads_last, strict=True):
        weight.grad = 4 * grad
    answer = scaler.step(optimizer)
    scaler.update()
    return answer, before, numbers(), scaler.get_scale()


def step_without_gradients(student):
    import torch

    weight = torch.nn.Parameter(torch.ones(2))
    scaler = student.LossScaler(init_scale=4.0, growth_interval=1)
    stepped = scaler.step(torch.optim.SGD([weight], lr=0.5))
    scaler.update()
    return stepped, weight.detach().clone(), scaler.get_scale()


def call_in_sequence(student, calls):
    """Calls the named methods of a scaler; "update" takes no argument."""
    import torch

    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scaler = student.LossScaler(init_scale=8.0)
    weight.grad = torch.ones(2)
    for call in calls:
        getattr(scaler, call)(*[] if call == "update" else [optimizer])


def make_scaler(student, settings):
    student.LossScaler(**settings)


def amp_steps_with_a_fixed_scale(student, values, rows, factor, max_norm, answers):
    """amp_step on the loss sum(slopes * weights), old gradients present, with a scaler whose scale never changes.

    Returns what amp_step returned, the parameters after each step, and how often each method of the scaler was called.
    """
    import torch

    class FixedScale:
        def __init__(self):
            self.calls = {"scale": 0, "unscale_": 0, "step": 0, "update": 0}
            self.unscaled = False

        def get_scale(self):
            return factor

        def scale(self, loss):
            self.calls["scale"] += 1
            return loss * factor

        def unscale_(self, optimizer):
            self.calls["unscale_"] += 1
            self.unscaled = True
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.div_(factor)

        def step(self, optimizer):
            self.calls["step"] += 1
            if not self.unscaled:
                self.unscale_(optimizer)
            optimizer.step()
            return answers[self.calls["step"] - 1]

        def update(self):
            self.calls["update"] += 1
            self.unscaled = False

    model = torch.nn.ParameterList([torch.nn.Parameter(value.clone()) for value in values])
    model.append(torch.nn.Parameter(torch.ones(3)))  # takes no part in the loss
    for parameter in list(model)[:-1]:
        parameter.grad = torch.full_like(parameter, 100.0)
    optimizer, scaler, seen = torch.optim.SGD(model.parameters(), lr=1.0), FixedScale(), []
    for row in rows:
        loss = sum((slope * parameter).sum() for slope, parameter in zip(row, model, strict=False))
        answer = student.amp_step(loss, model, optimizer, scaler, max_norm)
        seen.append([answer, [parameter.detach().clone() for parameter in model]])
    return seen, scaler.calls


def amp_step_with_max_norm(student, max_norm):
    import torch

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    student.amp_step(model(torch.ones(1, 2)).sum(), model, optimizer, student.LossScaler(), max_norm)


def amp_steps_through_float16(student, start, slope, steps):
    """amp_step with the student's own scaler, the loss computed in float16."""
    import torch

    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, start)
    optimizer, scaler = torch.optim.SGD(model.parameters(), lr=1.0), student.LossScaler()
    answers = []
    for _ in range(steps):
        loss = (model.weight.half() * slope).float().sum()
        answers.append(student.amp_step(loss, model, optimizer, scaler, max_norm=100.0))
    return answers, model.weight.item(), scaler.get_scale()


def update_many_times(student, param, master, grad, lr, times):
    """Parameter and master copy after these many updates, and whether an argument changed."""
    import torch

    unchanged = True
    for _ in range(times):
        before = [param.clone(), master.clone(), grad.clone()]
        new_param, new_master = student.master_update(param, master, grad, lr)
        unchanged = unchanged and all(map(torch.equal, before, [param, master, grad]))
        param, master = new_param, new_master
    return param, master, unchanged


# ---------------------------------------------------------------- what is expected, worked out here


def expected_history(settings, start, slopes, rate):
    weight = torch.nn.Parameter(torch.tensor([start]))
    optimizer = torch.optim.SGD([weight], lr=rate)
    scaler = torch.amp.GradScaler("cpu", **settings)
    history = []
    for slope in slopes:
        optimizer.zero_grad()
        scaler.scale((slope * weight).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        history.append([math.isfinite(slope), weight.item(), scaler.get_scale()])
    return history


def number(value, what):
    """A single number as a Python float; Python numbers, NumPy scalars and 0-d tensors are all fine."""
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionError(f"The {what} is {value!r}; expected a number")
    return float(value)


def assert_history(student, settings, start, slopes, rate):
    found = student.run(run_scaler, settings, start, slopes, rate)
    told = ", ".join(f"{key}={value}" for key, value in settings.items())
    for t, (got, expected) in enumerate(zip(found, expected_history(settings, start, slopes, rate), strict=True)):
        where = f"of LossScaler({told}) after the gradients {slopes[: t + 1]}"
        cause = "a step is skipped exactly when a gradient is infinite or NaN"
        assert_equal(got[0], expected[0], what=f"answer of step {where}", cause=cause)
        assert_close(got[1], expected[1], rtol=1e-6, atol=1e-7, what=f"weight {where}", cause=cause)
        cause = "an overflow shrinks the scale, growth_interval good steps in a row grow it; both start the count anew"
        found_scale = number(got[2], f"scale {where}")
        assert_close(found_scale, expected[2], rtol=1e-6, atol=0, what=f"scale {where}", cause=cause)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    slopes = [1.0, 0.5, 2.0, NAN, 1.0]
    found = student.run(run_scaler, {"init_scale": 4.0, "growth_interval": 2}, 2.0, slopes, 0.5)
    expected = [(True, 1.5, 4.0), (True, 1.25, 8.0), (True, 0.25, 8.0), (False, 0.25, 4.0), (True, -0.25, 4.0)]
    for t, (got, wanted) in enumerate(zip(found, expected, strict=True)):
        told = f"after the gradients {slopes[: t + 1]}, init_scale=4.0, growth_interval=2"
        assert_equal(got[0], wanted[0], what=f"answer of step {told}")
        assert_close(got[1], wanted[1], rtol=0, atol=0, what=f"weight {told}")
        assert_close(number(got[2], f"scale {told}"), wanted[2], rtol=0, atol=0, what=f"scale {told}")

    def train(student):
        import torch
        from torch import nn

        layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(layer.weight)
        optimizer, scaler = torch.optim.SGD(layer.parameters(), lr=1.0), student.LossScaler()
        steps = []
        for _ in range(3):
            loss = (layer.weight.half() * 3).float().sum()
            steps.append(student.amp_step(loss, layer, optimizer, scaler, max_norm=1.0))
        return steps, scaler.get_scale(), layer.weight.item()

    steps, scale, weight = student.run(train)
    told = "amp_step on the loss (weight.half() * 3).float().sum(), three times"
    assert_equal(steps, [False, False, True], what=f"list of answers of {told}")
    assert_close(number(scale, f"scale after {told}"), 16384.0, rtol=0, atol=0, what=f"scale after {told}")
    assert_close(weight, 0.0, rtol=0, atol=1e-3, what=f"weight after {told}, max_norm=1.0")

    param, master = student.master_update(torch.ones(1).half(), torch.ones(1), torch.full((1,), 0.01).half(), lr=0.01)
    call = "master_update(ones.half(), ones, 0.01 * ones.half(), lr=0.01)"
    assert_dtype(param, "float16", what=f"parameter of {call}")
    assert_close(param, torch.ones(1).half(), rtol=0, atol=0, what=f"parameter of {call}")
    assert_dtype(master, "float32", what=f"master copy of {call}")
    assert_close(master, torch.tensor([0.9999]), rtol=0, atol=1e-5, what=f"master copy of {call}")


@points(3)
@catches("claims-as-published", "precisions-confused-in-the-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "never-unscaled",
    "unscaled-twice",
    "first-group-only",
    "multiplied-in-unscale",
    "new-gradient-tensors",
)
def test_scaling_leaves_no_trace_in_the_gradients(student, rng):
    """The scaled loss has scaled gradients, which are divided by the scale exactly once; the step is the plain one."""
    shapes = [(3,), (2, 2), (4,)]
    for settings, factor in (({}, 65536.0), ({"init_scale": 1024.0}, 1024.0), ({"init_scale": 0.25}, 0.25)):
        told = f"LossScaler({', '.join(f'{key}={value}' for key, value in settings.items())})"
        # multiples of 1/64: powers of two scale them without rounding
        values = [torch.from_numpy(rng.integers(-90, 91, shape)).float() / 64 for shape in shapes]
        slopes = [torch.from_numpy(rng.integers(1, 91, shape)).float() / 64 for shape in shapes]
        for calls in (["unscale_"], ["step"], ["unscale_", "step"]):
            loss, scaled, after, left_alone, scale = student.run(scale_and_unscale, settings, values, slopes, calls)
            assert_close(number(scale, f"scale of {told}"), factor, rtol=0, atol=0, what=f"scale of {told}")
            assert_shape(scaled, (), what=f"scaled loss of {told}")
            assert_dtype(scaled, "float32", what=f"scaled loss of {told}")
            assert_close(scaled, loss * factor, rtol=1e-6, atol=0, what=f"scaled loss of {told}")
            assert_equal(left_alone, True, what="answer to 'is the gradient that was None still None?'")
            for call, (answer, same, grads, weights) in zip(calls, after, strict=True):
                where = f"after {' and '.join(calls[: calls.index(call) + 1])} of {told}"
                cause = "the gradients of the scaled loss are divided by the scale once, in every group"
                for p, (grad, slope) in enumerate(zip(grads, slopes, strict=True)):
                    assert_close(grad, slope, rtol=1e-6, atol=0, what=f"gradient of parameter {p} {where}", cause=cause)
                cause = "the optimiser steps with the unscaled gradients"
                if call == "step":
                    assert_equal(answer, True, what=f"answer of step {where}")
                    for p, rate in enumerate((0.5, 0.25, 0.25)):
                        what = f"parameter {p} {where}"
                        assert_close(
                            weights[p], values[p] - rate * slopes[p], rtol=1e-6, atol=1e-6, what=what, cause=cause
                        )
                assert_equal(same, True, what=f"answer to 'are the gradients still the same tensors?' {where}")


@points(1)
@catches(
    "steps-on-overflow",
    "only-nan-noticed",
    "only-infinity-noticed",
    "first-parameter-decides",
    "overflow-entries-zeroed",
)
def test_an_overflow_anywhere_skips_the_whole_step(student, rng):
    """One infinite or undefined entry in any gradient skips the step: nothing moves, and the scale shrinks."""
    shapes = [(2, 3), (4,), (5,)]

    def normal(shape):
        return torch.from_numpy(rng.standard_normal(shape)).float()

    for name, options in (("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.1}), ("SGD", {"lr": 0.1})):
        for where, bad in ((2, INF), (1, NAN), (0, -INF), (2, NAN)):
            values, rows = [normal(s) for s in shapes], [[normal(s) for s in shapes] for _ in range(2)]
            last = [normal(s) for s in shapes]
            last[where].view(-1)[int(rng.integers(last[where].numel()))] = bad
            answer, before, after, scale = student.run(step_with_gradients, name, options, values, rows, last)
            told = f"a step of torch.optim.{name} with one entry {bad} in the gradient of parameter {where} of 3"
            assert_equal(answer, False, what=f"answer of {told}")
            for number_of, (old, new) in enumerate(zip(before, after, strict=True)):
                kind = f"parameter {number_of}" if number_of < 3 else f"tensor {number_of - 3} of the optimiser's state"
                cause = "the optimiser is not called at all: momentum and averages must not see such a gradient"
                assert_close(new, old, rtol=0, atol=0, what=f"{kind} after {told}", cause=cause)
            assert_close(number(scale, "scale"), 2.0, rtol=0, atol=0, what=f"scale after {told}, before it 4.0")
        values, rows = [normal(s) for s in shapes], [[normal(s) for s in shapes] for _ in range(2)]
        last = [1e10 * normal(s) for s in shapes]  # large, and finite
        answer, before, after, scale = student.run(step_with_gradients, name, options, values, rows, last)
        told = f"a step of torch.optim.{name} with gradients of size 1e10"
        assert_equal(answer, True, what=f"answer of {told}")
        if any(torch.equal(old, new) for old, new in zip(before[:3], after[:3], strict=True)):
            raise AssertionError(f"A parameter did not move in {told}, which are large but finite")
        assert_close(number(scale, "scale"), 4.0, rtol=0, atol=0, what=f"scale after {told}, before it 4.0")
    stepped, weight, scale = student.run(step_without_gradients)
    told = "a step without any gradient, growth_interval=1"
    assert_equal(stepped, True, what=f"answer of {told}")
    assert_close(weight, torch.ones(2), rtol=0, atol=0, what=f"parameter after {told}")
    assert_close(number(scale, "scale"), 8.0, rtol=0, atol=0, what=f"scale after {told}, before it 4.0")


@points(1)
@catches(
    "scale-never-shrinks",
    "overflow-keeps-the-count",
    "growth-keeps-the-count",
    "grows-at-every-step",
    "grows-one-step-late",
    "factors-fixed",
    "overflow-remembered",
)
def test_the_scale_follows_overflows_and_good_steps(student, rng):
    """The scale shrinks after an overflow, and grows after so many good steps in a row."""
    assert_history(student, {"init_scale": 16.0, "growth_interval": 3}, 1.0, [1.0] * 8, 0.125)
    slopes = [1.0, 1.0, INF, 1.0, 1.0, 1.0, NAN, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert_history(student, {"init_scale": 16.0, "growth_interval": 3}, 1.0, slopes, 0.125)
    assert_history(student, {"init_scale": 64.0, "growth_interval": 2}, 1.0, [1.0, -INF, 1.0, 1.0, 1.0], 0.25)
    assert_history(student, {"init_scale": 4.0, "growth_interval": 1}, 1.0, [1.0, 1.0, INF, INF, 1.0], 0.25)
    settings = {"init_scale": 10.0, "growth_factor": 1.5, "backoff_factor": 0.25, "growth_interval": 2}
    assert_history(student, settings, 2.0, [0.5, 0.5, 0.5, 0.5, NAN, 0.5, 0.5, INF, INF, 0.5], 0.125)
    for _ in range(4):
        slopes = [float(rng.choice([1.0, 0.5, -2.0, INF, NAN], p=[0.35, 0.25, 0.2, 0.1, 0.1])) for _ in range(14)]
        settings = {"init_scale": float(2 ** rng.integers(0, 9)), "growth_interval": int(rng.integers(1, 5))}
        assert_history(student, settings, 1.0, slopes, 0.125)


@points(1)
@catches(
    "second-unscale-accepted",
    "update-without-step-accepted",
    "second-step-accepted",
    "settings-unchecked",
    "nan-settings-accepted",
)
def test_calls_out_of_order_and_bad_settings_are_refused(student):
    """Calls out of order raise RuntimeError, settings out of range raise ValueError."""
    for calls in (
        ["unscale_", "unscale_"],
        ["unscale_", "step", "unscale_"],
        ["step", "unscale_"],
        ["step", "step"],
        ["unscale_", "step", "step"],
        ["update"],
        ["unscale_", "update"],
        ["step", "update", "update"],
        ["unscale_", "step", "update", "unscale_", "unscale_"],
        ["step", "update", "step", "step"],
    ):
        with raises(RuntimeError, what=f"the last of the calls {', '.join(calls)}"):
            student.run(call_in_sequence, calls)
    student.run(call_in_sequence, ["unscale_", "step", "update", "step", "update", "unscale_", "step", "update"])
    for name, values in (
        ("init_scale", (0.0, -8.0, NAN, INF)),
        ("growth_factor", (1.0, 0.5, NAN)),
        ("backoff_factor", (0.0, 1.0, 1.5, -0.5, NAN)),
        ("growth_interval", (0, -3)),
    ):
        for value in values:
            with raises(ValueError, what=f"LossScaler({name}={value})"):
                student.run(make_scaler, {name: value})
    for max_norm in (0.0, -1.0, NAN):
        with raises(ValueError, what=f"amp_step(..., max_norm={max_norm})"):
            student.run(amp_step_with_max_norm, max_norm)


@points(1)
@catches(
    "clipped-before-unscaling",
    "old-gradients-kept",
    "clipped-one-by-one",
    "clipped-by-value",
    "update-forgotten",
    "answer-of-its-own",
)
def test_clipping_sees_gradients_of_their_true_size(student, rng):
    """amp_step clips the norm of all unscaled gradients together, steps, updates and passes the answer on."""
    shapes = [(2, 3), (4,)]
    for factor, max_norm in ((1024.0, 1.0), (64.0, 0.25), (1024.0, 1e6)):
        values = [torch.from_numpy(rng.standard_normal(shape)).float() for shape in shapes]
        # one gradient much larger than the other, none short
        rows = [[(2 + rng.random(s)) * size for s, size in zip(shapes, (1.0, 9.0), strict=True)] for _ in range(2)]
        rows = [[torch.from_numpy(slope).float() for slope in row] for row in rows]
        answers = [bool(answer) for answer in rng.permutation([True, False])]
        seen, calls = student.run(amp_steps_with_a_fixed_scale, values, rows, factor, max_norm, answers)
        expected = [value.double() for value in values]
        for t, (row, (answer, parameters)) in enumerate(zip(rows, seen, strict=True)):
            norm = math.sqrt(math.fsum(float(slope.double().square().sum()) for slope in row))
            share = min(1.0, max_norm / norm)
            told = f"step {t + 1} of amp_step with scale {factor} and max_norm={max_norm}, gradients of norm {norm:.4g}"
            for p, slope in enumerate(row):
                expected[p] = expected[p] - share * slope.double()
                cause = "gradients of this loss alone, unscaled first, then multiplied by one factor for all of them"
                what = f"parameter {p} after {told}"
                atol = 3e-4 * min(max_norm, norm)
                assert_close(parameters[p], expected[p].float(), rtol=1e-5, atol=atol, what=what, cause=cause)
            assert_close(
                parameters[2], torch.ones(3), rtol=0, atol=0, what=f"parameter that takes no part after {told}"
            )
            assert_equal(answer, answers[t], what=f"answer of {told}, where the scaler's step returned {answers[t]}")
        assert_equal(calls["step"], 2, what="number of calls of the scaler's step in two calls of amp_step")
        assert_equal(calls["update"], 2, what="number of calls of the scaler's update in two calls of amp_step")
    slope = float(rng.integers(5, 8))
    answers, weight, scale = student.run(amp_steps_through_float16, 9.0, slope, 5)
    told = f"5 calls of amp_step with your LossScaler() on the loss (weight.half() * {slope}).float().sum()"
    assert_equal(answers, [False, False, False, True, True], what=f"list of answers of {told}")
    assert_close(weight, 9.0 - 2 * slope, rtol=1e-5, atol=1e-5, what=f"weight after {told}, from 9.0")
    assert_close(number(scale, "scale"), 8192.0, rtol=0, atol=0, what=f"scale after {told}")


@points(1)
@catches(
    "weights-only-in-half",
    "product-in-half",
    "master-rounded",
    "master-in-place",
    "returned-in-the-other-order",
    "shapes-broadcast",
)
def test_the_master_copy_keeps_small_updates(student, rng):
    """Many small updates add up in the float32 copy, and the parameter is that copy, rounded."""
    for dtype, name in ((torch.float16, "float16"), (torch.bfloat16, "bfloat16")):
        # near 1, half precision cannot hold steps of 1e-5; near 0.01 the master copy has digits to spare
        for size, grad_size, lr in ((1.0, 0.01, 1e-3), (0.01, 2e-4, 1e-3), (1.0, 0.5, 0.5), (1.0, 0.5, 0.0)):
            master = torch.from_numpy(size * rng.uniform(0.8, 1.2, (2, 3))).float()
            grad = torch.from_numpy(grad_size * rng.uniform(0.5, 1.0, (2, 3))).to(dtype)
            for times in (1, 100):
                param, after, unchanged = student.run(update_many_times, master.to(dtype), master, grad, lr, times)
                told = f"{times} x master_update, {name}, parameters of size {size}, gradients of {grad_size}, lr={lr}"
                assert_shape(param, (2, 3), what=f"parameter after {told}")
                assert_shape(after, (2, 3), what=f"master copy after {told}")
                assert_dtype(param, name, what=f"parameter after {told}")
                assert_dtype(after, "float32", what=f"master copy after {told}")
                expected = master.double() - times * lr * grad.double()
                cause = "the step is computed in float32 from the first operation on, and kept there"
                tolerance = 1e-3 * times * lr * grad_size + times * 1e-7 * size
                what = f"master copy after {told}"
                assert_close(after.double(), expected, rtol=0, atol=tolerance, what=what, cause=cause)
                cause = "the parameter is the new master copy, rounded to its own dtype"
                assert_close(param, after.to(dtype), rtol=0, atol=0, what=f"parameter after {told}", cause=cause)
                assert_equal(unchanged, True, what=f"answer to 'are the arguments as they were?' after {told}")
    half, single = torch.ones(3).half(), torch.ones(3)
    for param, master, grad in (
        (half, single, torch.ones(1).half()),
        (half, single, torch.ones(4).half()),
        (half, torch.ones(1), half),
        (torch.ones(1).half(), single, half),
        (half, torch.ones(1, 3), half),
    ):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (param, master, grad))
        with raises(ValueError, what=f"master_update with shapes {shapes}"):
            student.master_update(param, master, grad, 0.1)
    for lr in (-0.1, NAN):
        with raises(ValueError, what=f"master_update with lr={lr}"):
            student.master_update(half, single, half, lr)
