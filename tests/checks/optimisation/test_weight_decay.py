"""Checks of optimisation/weight_decay.

The expected parameters come from the momentum buffer written as a sum over all steps so far, in float64. The expected
points come from matrices whose eigenvalues and eigenvectors are known, since the matrices are made of them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_dtype, assert_equal, assert_shape, catches, points, raises, visible

NAN = math.nan


# ---------------------------------------------------------------- what runs in the student's process


def make_steps(student, settings, values, grads):
    """All parameters after each step; a gradient of None is none."""
    import torch

    parameters = [torch.nn.Parameter(value.clone()) for value in values]
    optimizer = student.SGDDecay(parameters, **settings)
    after = []
    for row in grads:
        for parameter, grad in zip(parameters, row, strict=True):
            parameter.grad = None if grad is None else grad.clone()
        optimizer.step()
        after.append([parameter.detach().clone() for parameter in parameters])
    return after


def make_one_step(student, settings, value, grad):
    """What one step does to the parameter, its gradient and the class of things."""
    import torch

    parameter = torch.nn.Parameter(value.clone())
    optimizer = student.SGDDecay([parameter], **settings)
    given = parameter.grad = grad.clone()
    answer = optimizer.step()
    return {
        "is_optimizer": isinstance(optimizer, torch.optim.Optimizer),
        "answer": answer,
        "parameter": parameter.detach().clone(),
        "is_leaf": parameter.is_leaf and parameter.requires_grad,
        "same_gradient": parameter.grad is given,
        "gradient": given.clone(),
        "settings": {
            key: optimizer.param_groups[0].get(key) for key in ("lr", "momentum", "weight_decay", "decay_mode")
        },
    }


def step_with_closure(student, settings, value, factors):
    """Two steps on the loss 2 * (factors * value).sum(); the losses and the parameter afterwards."""
    import torch

    parameter = torch.nn.Parameter(value.clone())
    optimizer = student.SGDDecay([parameter], **settings)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = 2 * (factors * parameter).sum()
        loss.backward()
        calls.append(None)
        return loss

    losses = [optimizer.step(closure) for _ in range(2)]
    losses = [loss if loss is None else float(torch.as_tensor(loss).detach()) for loss in losses]
    return losses, len(calls), parameter.detach().clone()


def make_steps_with_reused_gradients(student, settings, values, grads):
    """As make_steps, but each gradient is one tensor that is overwritten in place."""
    import torch

    parameters = [torch.nn.Parameter(value.clone()) for value in values]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = student.SGDDecay(parameters, **settings)
    after = []
    for row in grads:
        for parameter, grad in zip(parameters, row, strict=True):
            parameter.grad.copy_(grad)
        optimizer.step()
        after.append([parameter.detach().clone() for parameter in parameters])
    return after


def make_steps_in_groups(student, settings, overrides, values, grads, rates):
    """Each parameter in a group of its own; before step t the rate of every group is multiplied by rates[t]."""
    import torch

    parameters = [torch.nn.Parameter(value.clone()) for value in values]
    groups = [{"params": [p], **own} for p, own in zip(parameters, overrides, strict=True)]
    optimizer = student.SGDDecay(groups, **settings)
    after = []
    for row, rate in zip(grads, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] *= rate
        for parameter, grad in zip(parameters, row, strict=True):
            parameter.grad = grad.clone()
        optimizer.step()
        after.append([parameter.detach().clone() for parameter in parameters])
    return after


def make_steps_with_a_change_of_optimizer(student, settings, values, grads, switch):
    """As make_steps, but from step `switch` on a new optimiser goes on, with new parameters and the old state."""
    import copy

    import torch

    parameters = [torch.nn.Parameter(value.clone()) for value in values]
    optimizer = student.SGDDecay(parameters, **settings)
    after = []
    for t, row in enumerate(grads):
        if t == switch:
            parameters = [torch.nn.Parameter(parameter.detach().clone()) for parameter in parameters]
            successor = student.SGDDecay(parameters, lr=1.0)
            successor.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer = successor
        for parameter, grad in zip(parameters, row, strict=True):
            parameter.grad = grad.clone()
        optimizer.step()
        after.append([parameter.detach().clone() for parameter in parameters])
    return after


def make_optimizer(student, settings):
    import torch

    student.SGDDecay([torch.nn.Parameter(torch.ones(2))], **settings)


# ---------------------------------------------------------------- what is expected, worked out here


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def expected_steps(value, grads, rates, momentum=0.0, weight_decay=0.0, decay_mode="decoupled"):
    """The parameter after each step; in the buffer a step counts `momentum` times as much as the next one."""
    theta, entered, after = value.double(), [], []
    for t, (grad, rate) in enumerate(zip(grads, rates, strict=True)):
        entered.append(grad.double() + (weight_decay * theta if decay_mode == "coupled" else 0))
        buffer = sum(momentum ** (t - s) * past for s, past in enumerate(entered))
        shrunk = weight_decay * theta if decay_mode == "decoupled" else 0
        theta = theta - rate * (shrunk + buffer)
        after.append(theta)
    return after


def quadratic(rng: np.random.Generator, eigenvalues: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix with these eigenvalues, symmetric to the last bit, and its eigenvectors as columns."""
    basis, _ = torch.linalg.qr(normal(rng, len(eigenvalues), len(eigenvalues)))
    matrix = basis @ torch.diag(eigenvalues) @ basis.T
    return (matrix + matrix.T) / 2, basis


def described(settings) -> str:
    return f"SGDDecay(..., {', '.join(f'{name}={value!r}' for name, value in settings.items())})"


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    value, grad = torch.tensor([4.0, -2.0]), torch.tensor([1.0, 2.0])
    for mode, expected in (
        ("decoupled", [[3.0, -2.75], [1.875, -3.90625]]),
        ("coupled", [[3.0, -2.75], [1.625, -3.78125]]),
    ):
        settings = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25, "decay_mode": mode}
        after = student.run(make_steps, settings, [value], [[grad], [grad]])
        for t in range(2):
            what = f"parameter after step {t + 1} of {described(settings)}"
            assert_close(after[t][0], torch.tensor(expected[t]), rtol=0, atol=0, what=what)
    H, b = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([3.0, 0.0])
    assert_close(student.risk_minimiser(H, b), torch.tensor([2.0, -1.0]), what="risk_minimiser(H, b)")
    assert_close(
        student.decay_fixed_point(H, b, 1.0), torch.tensor([1.125, -0.375]), what="decay_fixed_point(H, b, 1.0)"
    )
    assert_close(student.shrinkage(H, 1.0), torch.tensor([0.5, 0.75]), what="shrinkage(H, 1.0)")


@points(1)
@catches("parameter-replaced", "gradient-changed", "closure-ignored", "loss-not-returned")
def test_a_step_changes_the_parameter_and_nothing_else(student, rng):
    """A step changes the parameter in its own dtype, leaves the gradient alone and returns the closure's loss."""
    for dtype in (torch.float32, torch.float64):
        for mode in ("decoupled", "coupled"):
            for momentum in (0.0, 0.7):
                value, grad = normal(rng, 2, 3).to(dtype), normal(rng, 2, 3).to(dtype)
                settings = {"lr": 0.3, "momentum": momentum, "weight_decay": 0.2, "decay_mode": mode}
                seen = student.run(make_one_step, settings, value, grad)
                call = f"one step of {described(settings)} on {dtype}"
                assert_equal(seen["is_optimizer"], True, what="isinstance(SGDDecay(...), torch.optim.Optimizer)")
                assert_equal(seen["answer"], None, what=f"answer of {call} without a closure")
                assert_equal(seen["settings"], settings, what=f"dictionary of settings in param_groups of {call}")
                assert_equal(
                    seen["is_leaf"], True, what=f"answer to 'is it still a leaf that requires grad?' after {call}"
                )
                if not seen["same_gradient"] or not torch.equal(seen["gradient"], grad):
                    raise AssertionError(
                        f"The gradient was changed by {call}; expected it as it was before.\n"
                        "Likely cause: an operation in place, such as grad.add_(...), on the gradient itself"
                    )
                assert_dtype(seen["parameter"], str(dtype).removeprefix("torch."), what=f"parameter after {call}")
                (expected,) = expected_steps(value, [grad], [0.3], momentum, 0.2, mode)
                cause = "the parameter in the model has to change, not a new tensor that replaces it in the optimiser"
                what = f"parameter after {call}"
                assert_close(seen["parameter"], expected.to(dtype), rtol=2e-5, atol=1e-6, what=what, cause=cause)

    value, factors = normal(rng, 4), normal(rng, 4)
    settings = {"lr": 0.3, "weight_decay": 0.2}
    losses, calls, parameter = student.run(step_with_closure, settings, value, factors)
    expected = expected_steps(value, [2 * factors] * 2, [0.3] * 2, 0.0, 0.2)
    assert_equal(calls, 2, what="number of calls of the closure in two steps")
    for t, before in enumerate((value, expected[0])):
        what = f"loss that step {t + 1} returned for the closure's loss"
        if losses[t] is None:
            raise AssertionError(f"The {what} is None; expected what the closure returned")
        assert_close(losses[t], float(2 * (factors * before).sum()), rtol=1e-9, atol=1e-11, what=what)
    cause = "the closure computes the gradients that the step uses, so it is called first"
    assert_close(parameter, expected[1], rtol=1e-9, atol=1e-11, what="parameter after two steps", cause=cause)


@points(2)
@catches(
    "coupled-for-both",
    "decay-after-the-step",
    "decay-without-the-rate",
    "decay-grows-the-weights",
    "momentum-as-average",
)
def test_decoupled_decay_bypasses_the_momentum(student, rng):
    """Decoupled decay shrinks the parameter as it was before the step, and leaves no trace in the momentum buffer."""
    causes = {
        "plain": "gradient descent: the parameter minus lr times the gradient",
        "momentum": "the buffer is momentum times the old buffer plus the gradient, with no factor in front of that",
        "decay": "the parameter as it was before the step shrinks by lr * weight_decay times itself",
        "both": "the buffer holds gradients only; the decay acts on the parameter, past the buffer",
    }
    for case, settings in (
        ("plain", {"lr": 0.4}),
        ("decay", {"lr": 0.4, "weight_decay": 0.9}),
        ("momentum", {"lr": 0.2, "momentum": 0.7}),
        ("both", {"lr": 0.3, "momentum": 0.6, "weight_decay": 0.9}),
        ("both", {"lr": 0.2, "momentum": 0.9, "weight_decay": 0.5, "decay_mode": "decoupled"}),
    ):
        values, grads = [normal(rng, 2, 3), normal(rng, 4)], [[normal(rng, 2, 3), normal(rng, 4)] for _ in range(4)]
        after = student.run(make_steps, settings, values, grads)
        options = {name: value for name, value in settings.items() if name != "lr"}
        for number, value in enumerate(values):
            expected = expected_steps(value, [row[number] for row in grads], [settings["lr"]] * 4, **options)
            for t in range(4):
                what = f"parameter {number} after step {t + 1} of {described(settings)}"
                assert_close(after[t][number], expected[t], rtol=1e-9, atol=1e-11, what=what, cause=causes[case])


@points(1)
@catches("decoupled-for-both")
def test_coupled_decay_is_part_of_the_gradient(student, rng):
    """Coupled decay enters the momentum buffer with the gradient, as in torch.optim.SGD."""
    for momentum in (0.8, 0.5, 0.0):
        settings = {"lr": 0.3, "momentum": momentum, "weight_decay": 0.7, "decay_mode": "coupled"}
        value, grads = normal(rng, 3, 2), [normal(rng, 3, 2) for _ in range(4)]
        after = student.run(make_steps, settings, [value], [[grad] for grad in grads])
        parameter = torch.nn.Parameter(value.clone())
        library = torch.optim.SGD([parameter], lr=0.3, momentum=momentum, weight_decay=0.7)
        for t, grad in enumerate(grads):
            parameter.grad = grad.clone()
            library.step()
            what = f"parameter after step {t + 1} of {described(settings)}"
            cause = "weight_decay times the parameter is added to the gradient before anything else is done with it"
            assert_close(after[t][0], parameter.detach(), rtol=1e-9, atol=1e-11, what=what, cause=cause)
    without = student.run(make_steps, settings | {"decay_mode": "decoupled"}, [value], [[grad] for grad in grads])
    assert_close(
        without[-1][0], parameter.detach(), rtol=1e-9, atol=1e-11, what="parameter after 4 decoupled steps, momentum 0"
    )


@points(1)
@catches("none-decays", "zeros-skipped", "first-buffer-without-the-gradient")
def test_no_gradient_is_not_a_gradient_of_zeros(student, rng):
    """A parameter without gradient is skipped, one with a gradient of zeros decays like any other."""
    value, grads = normal(rng, 3) + 3, [normal(rng, 3) for _ in range(2)]
    zeros = torch.zeros(3, dtype=torch.float64)
    for mode in ("decoupled", "coupled"):
        settings = {"lr": 0.2, "momentum": 0.6, "weight_decay": 0.5, "decay_mode": mode}
        # the first has no gradient at first; the second never; the third has zeros throughout
        rows = [[None, None, zeros], [None, None, zeros], [grads[0], None, zeros], [grads[1], None, zeros]]
        after = student.run(make_steps, settings, [value, value, value], rows)
        options = {"momentum": 0.6, "weight_decay": 0.5, "decay_mode": mode}
        late = [value, value, *expected_steps(value, grads, [0.2] * 2, **options)]
        still = expected_steps(value, [zeros] * 4, [0.2] * 4, **options)
        for t in range(4):
            told = f"after step {t + 1} of {described(settings)}"
            cause = "without a gradient there is no step: no decay, and no buffer"
            assert_close(after[t][1], value, rtol=0, atol=0, what=f"parameter without gradient {told}", cause=cause)
            cause = "the buffer of a parameter begins at the first step at which it has a gradient"
            what = f"parameter whose gradient comes at step 3 {told}"
            assert_close(after[t][0], late[t], rtol=1e-9, atol=1e-11, what=what, cause=cause)
            cause = "a gradient of zeros leaves the decay to act"
            what = f"parameter with a gradient of zeros {told}"
            assert_close(after[t][2], still[t], rtol=1e-9, atol=1e-11, what=what, cause=cause)


@points(1)
@catches(
    "buffer-is-the-gradient", "groups-ignored", "rate-of-the-start", "buffers-outside-the-state", "one-buffer-for-all"
)
def test_groups_schedules_and_saved_states(student, rng):
    """Settings are those of the group at each step, buffers belong to the optimiser, and its state can be handed on."""
    shapes = [(2, 3), (4,), (5,)]
    values = [normal(rng, *shape) for shape in shapes]
    grads = [[normal(rng, *shape) for shape in shapes] for _ in range(4)]
    columns = [[row[number] for row in grads] for number in range(3)]

    def compare(after, expected, told, cause):
        for t in range(4):
            for number in range(3):
                what = f"parameter {number} after step {t + 1} {told}"
                assert_close(after[t][number], expected[number][t], rtol=1e-9, atol=1e-11, what=what, cause=cause)

    for mode in ("decoupled", "coupled"):
        settings = {"lr": 0.2, "momentum": 0.7, "weight_decay": 0.4, "decay_mode": mode}
        expected = [expected_steps(v, c, [0.2] * 4, 0.7, 0.4, mode) for v, c in zip(values, columns, strict=True)]
        after = student.run(make_steps_with_reused_gradients, settings, values, grads)
        told = f"of {described(settings)} with gradients that are overwritten in place"
        compare(after, expected, told, "what the optimiser keeps of a gradient must be a copy")

        after = student.run(make_steps_with_a_change_of_optimizer, settings, values, grads, 2)
        told = f"of {described(settings)}, where another optimiser loads the state and takes over after step 2"
        compare(after, expected, told, "what is to be in state_dict() has to stand in self.state and self.param_groups")

    settings = {"lr": 0.2, "momentum": 0.7, "weight_decay": 0.4}
    overrides = [
        {"lr": 0.3, "decay_mode": "coupled"},
        {"momentum": 0.0, "weight_decay": 0.9},
        {"weight_decay": 0.0, "momentum": 0.5},
    ]
    factors = [1.0, 0.5, 4.0, 0.1]
    expected = []
    for value, column, own in zip(values, columns, overrides, strict=True):
        options = settings | own
        rate = options.pop("lr")
        rates = [rate * math.prod(factors[: t + 1]) for t in range(4)]
        expected.append(expected_steps(value, column, rates, **options))
    after = student.run(make_steps_in_groups, settings, overrides, values, grads, factors)
    told = f"of {described(settings)}, with groups that override {overrides} and rates multiplied by {factors}"
    compare(after, expected, told, "lr, momentum, weight_decay and decay_mode are read from the group, at every step")


@points(1)
@catches("same-point-for-both", "half-the-decay", "decay-on-every-entry", "one-factor-for-the-point")
def test_at_the_fixed_point_the_two_pulls_cancel(student, rng):
    """The loss is smallest where its gradient is 0, and the update rests where gradient and decay cancel."""
    for dtype, tolerance, cases in (
        (torch.float64, 1e-9, ([0.5, 1.5, 4.0], [3.0, 0.8], [2.5])),
        (torch.float32, 2e-4, ([1.2, 0.7, 3.0],)),
    ):
        for eigenvalues in cases:
            exact = torch.tensor(eigenvalues, dtype=torch.float64)
            H, basis = quadratic(rng, exact)
            b = normal(rng, len(exact)) + 1
            along = basis.T @ b
            given = f"for an H with eigenvalues {eigenvalues}, {str(dtype).removeprefix('torch.')}"
            found = student.risk_minimiser(H.to(dtype), b.to(dtype))
            what = f"risk_minimiser(H, b) {given}"
            assert_shape(found, (len(exact),), what=what)
            assert_dtype(found, str(dtype).removeprefix("torch."), what=what)
            cause = "the gradient H @ theta - b has to be 0 there"
            assert_close(
                found, (basis @ (along / exact)).to(dtype), rtol=tolerance, atol=tolerance, what=what, cause=cause
            )
            for lam in (0.0, 0.3, 2.0, 100.0):
                found = student.decay_fixed_point(H.to(dtype), b.to(dtype), lam)
                what = f"decay_fixed_point(H, b, {lam}) {given}"
                assert_shape(found, (len(exact),), what=what)
                assert_dtype(found, str(dtype).removeprefix("torch."), what=what)
                expected = (basis @ (along / (exact + lam))).to(dtype)
                cause = "there the gradient H @ theta - b and the decay lam * theta cancel"
                assert_close(found, expected, rtol=tolerance, atol=tolerance, what=what, cause=cause)

    # large entries, whose rounding errors are larger than those of numbers near 1
    H = torch.tensor([[30000.0, 10000.0], [10000.0 + 1e-8, 20000.0]], dtype=torch.float64)
    expected = torch.tensor([1.0, -1.0], dtype=torch.float64)
    b = torch.tensor([20000.0 + 5.0, -10000.0 - 5.0], dtype=torch.float64)
    what = "decay_fixed_point(H, b, 5.0) for a large H that is symmetric up to rounding"
    assert_close(student.decay_fixed_point(H, b, 5.0), expected, rtol=1e-9, atol=1e-9, what=what)


@points(1)
@catches("one-factor-for-all", "largest-first", "half-the-decay-in-the-factors", "factors-of-the-diagonal")
def test_flat_directions_shrink_most(student, rng):
    """The factors belong to the eigenvalues in ascending order, and are smallest where the loss is flattest."""
    for dtype, tolerance, cases in (
        (torch.float64, 1e-9, ([4.0, 0.5, 1.5], [0.8, 3.0], [2.5])),
        (torch.float32, 2e-4, ([1.2, 3.0, 0.7],)),
    ):
        for eigenvalues in cases:
            exact = torch.tensor(sorted(eigenvalues), dtype=torch.float64)
            H, _ = quadratic(rng, exact)
            for lam in (0.3, 2.0, 0.0):
                found = student.shrinkage(H.to(dtype), lam)
                what = f"shrinkage(H, {lam}) for an H with eigenvalues {exact.tolist()}, {dtype}"
                assert_shape(found, (len(exact),), what=what)
                assert_dtype(found, str(dtype).removeprefix("torch."), what=what)
                expected = (exact / (exact + lam)).to(dtype)
                cause = "each direction has a factor of its own, from its eigenvalue and lam"
                assert_close(found, expected, rtol=tolerance, atol=tolerance, what=what, cause=cause)


@points(1)
@catches("unknown-mode-accepted", "nan-accepted", "any-matrix-accepted", "indefinite-accepted")
def test_bad_input_is_refused(student):
    """Settings out of their range and matrices that do not fit raise ValueError."""
    good = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}
    for name, values in (
        ("lr", (-0.1, NAN)),
        ("momentum", (-0.1, 1.0, 1.5, NAN)),
        ("weight_decay", (-0.1, NAN)),
        ("decay_mode", ("l2", "", "Coupled")),
    ):
        for value in values:
            settings = good | {name: value}
            with raises(ValueError, what=described(settings)):
                student.run(make_optimizer, settings)
    student.run(make_optimizer, {"lr": 0.0})

    H, b = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([1.0, 2.0])
    matrices = {
        "a matrix that is not symmetric": torch.tensor([[2.0, 0.5], [1.0, 3.0]]),
        "a symmetric matrix with a negative eigenvalue": torch.tensor([[1.0, 2.0], [2.0, 1.0]]),
        "a matrix with an eigenvalue of 0": torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        "a negative definite matrix": torch.tensor([[-2.0, 0.5], [0.5, -1.0]]),
        "a matrix of shape (2, 3)": torch.ones(2, 3),
        "a matrix of shape (3, 2)": torch.ones(3, 2),
        "a vector as matrix": torch.ones(2),
    }
    for name, matrix in matrices.items():
        with raises(ValueError, what=f"risk_minimiser with {name}"):
            student.risk_minimiser(matrix, b)
        with raises(ValueError, what=f"decay_fixed_point with {name}"):
            student.decay_fixed_point(matrix, b, 5.0)
        with raises(ValueError, what=f"shrinkage with {name}"):
            student.shrinkage(matrix, 5.0)
    for shape in ((3,), (1,), (2, 1), (2, 2), ()):
        with raises(ValueError, what=f"risk_minimiser with H (2, 2) and b {shape}"):
            student.risk_minimiser(H, torch.ones(shape))
        with raises(ValueError, what=f"decay_fixed_point with H (2, 2) and b {shape}"):
            student.decay_fixed_point(H, torch.ones(shape), 0.5)
    for lam in (-0.1, NAN):
        with raises(ValueError, what=f"decay_fixed_point(H, b, {lam})"):
            student.decay_fixed_point(H, b, lam)
        with raises(ValueError, what=f"shrinkage(H, {lam})"):
            student.shrinkage(H, lam)
