"""Checks of schedules/warmup_cosine. Expected factors come from fractions and from cos² of the half angle."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_claims, assert_close, assert_equal, catches, points, raises, visible

CLAIMS = {
    "decay_quickens_the_end": False,
    "small_data_fixed_rate": False,
    "adam_sets_the_rate": False,
    "overfitting_comes_first": False,
    "downward_search_misses": True,
    "flattest_direction_limits": False,
    "noise_floor_falls": True,
    "stepped_each_epoch": True,
}
KINDS = ("cosine", "linear", "constant")
NAN, INF = math.nan, math.inf
RULES = (
    "0 at step 0 (if there is a warm-up), 1 at step warmup_steps, min_ratio at step total_steps and ever after; the "
    "fall is measured between these two steps"
)


# ---------------------------------------------------------------- what is expected, worked out here


def expected_factor(step: int, warmup_steps: int, total_steps: int, kind: str, min_ratio: float = 0.0) -> float:
    if step < warmup_steps:
        return float(Fraction(step, warmup_steps))
    if kind == "constant":
        return 1.0
    remaining = Fraction(max(total_steps - step, 0), total_steps - warmup_steps)  # 1 at the peak, 0 at the end
    height = float(remaining) if kind == "linear" else math.sin(math.pi / 2 * remaining) ** 2
    return height + min_ratio * (1 - height)


def number(value: object, what: str) -> float:
    """A single number of the submission; NumPy scalars and tensors of one number pass as well."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionError(f"The {what} should be a number; it is {type(value).__name__}.")
    return float(value)


# ---------------------------------------------------------------- what runs in the student's process


def lr_factors(student, steps, arguments):
    return [student.lr_factor(step, **arguments) for step in steps]


def warmup_cosine_rates(student, steps, arguments):
    """The rates, and what the submission's own lr_factor makes of the same arguments (None if it raises)."""
    rates = [student.warmup_cosine_lr(step, **arguments) for step in steps]
    lengths, base_lr = (arguments["warmup_steps"], arguments["total_steps"]), arguments["base_lr"]
    try:
        floor = arguments.get("min_lr", 0.0) / base_lr
        return rates, [base_lr * float(student.lr_factor(step, *lengths, "cosine", floor)) for step in steps]
    except Exception:
        return rates, None


def rates_of_the_groups(student, function, arguments, base_rates, updates):
    """Whether the function made a LambdaLR, the rates of all groups before each update and after the last, and the
    factors of the submission's own lr_factor (None if it raises).
    """
    import torch

    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in base_rates]
    optimizer = torch.optim.SGD(groups, lr=base_rates[0])
    scheduler = getattr(student, function)(optimizer, **arguments)
    rates = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(updates):
        optimizer.step()
        scheduler.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    try:
        own = [float(student.lr_factor(step, **{"kind": "cosine", **arguments})) for step in range(updates + 1)]
    except Exception:
        own = None
    return isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR), rates, own


def train_with_a_table(student, factors, base_rates, batches, epochs, start):
    """Train two parameters whose gradient is the batch itself, at rates from a table.

    Returns the rates reported, the two parameters at the end, and how many steps the scheduler has made.
    """
    import torch

    parameters = [torch.nn.Parameter(start.clone()) for _ in base_rates]
    for parameter in parameters:
        parameter.grad = torch.full_like(start, 100.0)  # left over from before the call
    optimizer = torch.optim.SGD(
        [{"params": [parameter], "lr": rate} for parameter, rate in zip(parameters, base_rates, strict=True)]
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factors[step])
    rates = student.train_with_schedule(
        optimizer, scheduler, lambda batch: sum((parameter * batch).sum() for parameter in parameters), batches, epochs
    )
    return list(rates), [parameter.detach().clone() for parameter in parameters], scheduler.last_epoch


def first_training(student):
    import torch

    trunk, head = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [trunk]}, {"params": [head], "lr": 1.0}], lr=0.01)
    scheduler = student.make_scheduler(optimizer, total_steps=4, warmup_steps=1)
    rates = student.train_with_schedule(
        optimizer, scheduler, lambda batch: (trunk + head).sum() * batch, [1.0, 3.0], epochs=2
    )
    return list(rates), head.item()


def max_stable_lr_or_error(student, hessian):
    """The bound and the name of the exception's class, one of them None."""
    try:
        return student.max_stable_lr(hessian), None
    except Exception as error:
        return None, type(error).__name__


def error_of_max_stable_lr(student, hessian):
    """The names of the exception's classes; None if there was none, whatever was returned."""
    try:
        student.max_stable_lr(hessian)
    except Exception as error:
        return [base.__name__ for base in type(error).__mro__]


# ---------------------------------------------------------------- the checks


def assert_number(value, wanted, what, cause, own=None):
    """The number is `wanted`, or what follows from the submission's own lr_factor, which has a check of its own."""
    found = number(value, what)
    if own is not None and math.isclose(found, own, rel_tol=1e-9, abs_tol=1e-12):
        return
    if math.isclose(found, wanted, rel_tol=1e-5, abs_tol=1e-6 * abs(wanted)):
        cause = "right to a few digits only: was it computed in float32? Double precision is asked for"
    assert_close(found, wanted, rtol=1e-9, atol=1e-12, what=what, cause=cause)


def assert_factors(student, steps, arguments):
    values = student.run(lr_factors, list(steps), arguments)
    for step, value in zip(steps, values, strict=True):
        assert_number(value, expected_factor(step, **arguments), f"lr_factor at step {step} with {arguments}", RULES)


def assert_rates(student, steps, arguments):
    values, own = student.run(warmup_cosine_rates, list(steps), arguments)
    cause = "0 at step 0, base_lr at step warmup_steps, min_lr at step total_steps and ever after"
    base_lr, min_lr = arguments["base_lr"], arguments.get("min_lr", 0.0)
    lengths = (arguments["warmup_steps"], arguments["total_steps"])
    for index, (step, value) in enumerate(zip(steps, values, strict=True)):
        wanted = base_lr * expected_factor(step, *lengths, "cosine", min_lr / base_lr)
        what = f"warmup_cosine_lr at step {step} with {arguments}"
        assert_number(value, wanted, what, cause, own and own[index])


@visible
@points(1)
def test_worked_example(student):
    """Two curves, the rates of a training, and one bound come out."""
    arguments = {"warmup_steps": 2, "total_steps": 6, "kind": "linear"}
    factors = [number(factor, "factor") for factor in student.run(lr_factors, list(range(8)), arguments)]
    expected = [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0]
    what = f"list of lr_factor at steps 0 to 7, {arguments}"
    assert_close(factors, expected, rtol=1e-5, atol=1e-8, what=what, cause=RULES)
    arguments = {"total_steps": 6, "warmup_steps": 2, "base_lr": 0.5, "min_lr": 0.1}
    rates = [number(rate, "rate") for rate in student.run(warmup_cosine_rates, list(range(8)), arguments)[0]]
    expected = [0, 0.25, 0.5, 0.441421, 0.3, 0.158579, 0.1, 0.1]
    assert_close(rates, expected, rtol=1e-5, atol=1e-8, what=f"list of warmup_cosine_lr at steps 0 to 7, {arguments}")
    rates, head = student.run(first_training)
    assert_close(
        [number(rate, "rate") for rate in rates],
        [0, 0.01, 0.0075, 0.0025],
        rtol=1e-5,
        atol=1e-8,
        what="list of rates of the first group in a training of 2 epochs of 2 batches",
    )
    cause = "an update was made at another rate than the one returned, or with more than the gradient of its own batch"
    assert_close(head, -4.5, rtol=1e-5, what="head after that training", cause=cause)
    bound = number(student.max_stable_lr(torch.diag(torch.tensor([5.0, 0.1]))), "max_stable_lr")
    assert_close(bound, 0.4, rtol=1e-5, what="max_stable_lr of diag(5, 0.1)")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "rate-never-changes",
    "rises-again",
    "decay-from-step-zero",
    "decay-over-all-steps",
    "full-period",
    "quarter-of-a-period",
    "one-step-short",
    "single-precision",
    "warm-up-one-step-late",
    "warm-up-one-step-early",
    "no-warm-up",
    "floor-as-a-clip",
    "constant-with-a-floor",
    "warm-up-from-the-floor",
    "floor-on-top",
    "floor-ignored",
    "warm-up-of-zero-divides",
)
def test_factors_climb_fall_and_stay(student, rng):
    """The factor climbs to 1, falls to its floor as `kind` says, and stays there."""
    for min_ratio in (0.3, 0.0, 0.05):
        warmup_steps, decay_steps = int(rng.integers(3, 30)), int(rng.integers(5, 60))
        total_steps = warmup_steps + decay_steps
        steps = range(total_steps + 9)
        for kind in KINDS:
            arguments = {
                "warmup_steps": warmup_steps,
                "total_steps": total_steps,
                "kind": kind,
                "min_ratio": min_ratio,
            }
            assert_factors(student, steps, arguments)
    for kind in KINDS:
        for warmup_steps, total_steps in ((0, 1), (0, 6)):
            arguments = {"warmup_steps": warmup_steps, "total_steps": total_steps, "kind": kind}
            assert_factors(student, (0, 1, 3, 6, 9), arguments)


@points(1)
@catches("floor-is-a-ratio", "floor-added-to-the-rate", "rate-without-a-floor", "rate-cut-off-at-the-floor")
def test_rates_run_between_zero_base_and_floor(student, rng):
    """The rate reaches `base_lr`, never more, and ends at `min_lr`; the shortest schedules work too."""
    for warmup_steps, total_steps in ((7, 31), (0, 9), (0, 1), (1, 2), (8, 9), (1000, 100_000)):
        base_lr = float(rng.uniform(1e-5, 1e-3))
        for min_lr in (base_lr * float(rng.uniform(0.1, 0.6)), 0.0, base_lr):
            arguments = {
                "total_steps": total_steps,
                "warmup_steps": warmup_steps,
                "base_lr": base_lr,
                "min_lr": min_lr,
            }
            middle = (warmup_steps + total_steps) // 2
            steps = sorted({0, 1, warmup_steps, middle, total_steps - 1, total_steps, total_steps + 5, 10**7})
            assert_rates(student, steps, arguments)
    assert_rates(student, (3, 5, 12, 20), {"total_steps": 20, "warmup_steps": 5, "base_lr": 2.5})


@points(1)
@catches(
    "unknown-kind-is-cosine",
    "nan-accepted",
    "nan-accepted-as-a-rate",
    "warm-up-as-long-as-the-run",
    "negative-step-accepted",
)
def test_arguments_out_of_range_are_refused(student):
    """Arguments out of range are refused at once, in all functions, and those at the limits are not."""
    good = {"step": 3, "warmup_steps": 4, "total_steps": 10, "kind": "linear", "min_ratio": 0.25}
    steps_out_of_range = (
        {"step": -1},
        {"warmup_steps": -1},
        {"warmup_steps": 10},
        {"warmup_steps": 11},
        {"warmup_steps": 0, "total_steps": 0},
        {"total_steps": -5},
    )
    ratios = ({"min_ratio": -0.1}, {"min_ratio": 1.1}, {"min_ratio": NAN}, {"min_ratio": INF})
    for bad in (*steps_out_of_range, *ratios, {"kind": "cos"}, {"kind": "polynomial"}, {"kind": ""}):
        for step in (3, 7):  # in the climb and in the fall
            arguments = {**good, "step": step, **bad}
            with raises(ValueError, what=f"lr_factor with {arguments}"):
                student.lr_factor(**arguments)
    for bad in ratios:
        arguments = {**good, "kind": "constant", **bad}
        with raises(ValueError, what=f"lr_factor with {arguments}"):
            student.lr_factor(**arguments)

    good = {"step": 3, "warmup_steps": 4, "total_steps": 10, "base_lr": 0.5, "min_lr": 0.125}
    bad_rates = [{"base_lr": value} for value in (0.0, -0.5, NAN, INF)]
    bad_rates += [{"min_lr": value} for value in (-0.125, 0.75, NAN, INF)]
    for bad in (*steps_out_of_range, *bad_rates):
        for step in (3, 7):
            arguments = {**good, "step": step, **bad}
            with raises(ValueError, what=f"warmup_cosine_lr with {arguments}"):
                student.warmup_cosine_lr(**arguments)

    for bad in ({"warmup_steps": -1}, {"warmup_steps": 10}, {"min_ratio": 1.5}, {"kind": "cos"}):
        arguments = {"warmup_steps": 4, "total_steps": 10, "kind": "linear", **bad}
        with raises(ValueError, what=f"make_factor_scheduler with {arguments}"):
            student.run(rates_of_the_groups, "make_factor_scheduler", arguments, [0.5], 0)
        if "kind" in bad:
            continue
        del arguments["kind"]
        with raises(ValueError, what=f"make_scheduler with {arguments}"):
            student.run(rates_of_the_groups, "make_scheduler", arguments, [0.5], 0)

    for arguments in (
        {"step": 0, "warmup_steps": 0, "total_steps": 1, "kind": "linear", "min_ratio": 1.0},
        {"step": 2, "warmup_steps": 2, "total_steps": 3, "kind": "cosine", "min_ratio": 0.0},
    ):
        student.lr_factor(**arguments)  # at the limits: the value is looked at elsewhere


@points(1)
@catches(
    "one-rate-for-all-groups",
    "rate-in-place-of-a-factor",
    "floor-lost-on-the-way",
    "kind-lost-on-the-way",
    "lengths-exchanged",
)
def test_every_group_keeps_its_own_rate(student, rng):
    """The scheduler is a LambdaLR that gives each group its own rate times the factor."""
    warmup_steps, total_steps = 3, 8
    base_rates = [float(rate) for rate in rng.uniform(0.1, 0.9, 3) * (0.01, 0.1, 1.0)]
    for function, kinds in (("make_scheduler", ("cosine",)), ("make_factor_scheduler", KINDS)):
        for kind in kinds:
            for min_ratio in (0.25, None):
                options = {} if min_ratio is None else {"min_ratio": min_ratio}
                arguments = {"warmup_steps": warmup_steps, "total_steps": total_steps, **options}
                expected = [expected_factor(step, kind=kind, **arguments) for step in range(11)]
                if function == "make_factor_scheduler":
                    arguments["kind"] = kind
                is_lambda_lr, rates, own = student.run(rates_of_the_groups, function, arguments, base_rates, 10)
                assert_equal(is_lambda_lr, True, what=f"isinstance({function}(...), LambdaLR)")
                for step, found in enumerate(rates):
                    for base_rate, rate in zip(base_rates, found, strict=True):
                        assert_number(
                            rate,
                            base_rate * expected[step],
                            f"rate, at step {step} of {function} with {arguments}, of a group with {base_rate}",
                            "LambdaLR multiplies each group's own rate by what its function returns, a factor",
                            own and base_rate * own[step],
                        )


@points(1)
@catches(
    "stepped-once-an-epoch",
    "scheduler-before-the-update",
    "scheduler-before-the-optimiser",
    "rates-read-too-late",
    "gradients-not-cleared",
    "gradients-cleared-once-an-epoch",
    "gradients-cleared-after-the-update",
)
def test_training_moves_on_with_every_update(student, rng):
    """Each batch is one update with its own gradient at its own rate, and one step of the scheduler."""
    start = torch.tensor([0.5, -1.0], dtype=torch.float64)
    for epochs, count in ((3, 4), (2, 1), (0, 3), (2, 0)):
        updates = epochs * count
        factors = [float(factor) for factor in rng.permutation(np.linspace(0.1, 1.5, updates + 4))]
        base_rates = [0.5, 0.03125]
        batches = list(torch.from_numpy(rng.uniform(0.5, 2.0, (count, 2))))
        rates, parameters, steps = student.run(train_with_a_table, factors, base_rates, batches, epochs, start)
        told = f"a training of {epochs} epochs of {count} batches with a different factor for every step"
        assert_equal(len(rates), updates, what=f"number of rates returned by {told}")
        for update, rate in enumerate(rates):
            what = f"rate of update {update} returned by {told}"
            cause = "the factor of step n belongs to update n, counted through all epochs"
            assert_close(number(rate, what), base_rates[0] * factors[update], rtol=1e-9, what=what, cause=cause)
        assert_equal(steps, updates, what=f"number of steps that the scheduler has made in {told}")
        for index, (parameter, base_rate) in enumerate(zip(parameters, base_rates, strict=True)):
            wanted = start.clone()
            for update in range(updates):
                wanted -= base_rate * factors[update] * batches[update % count]
            assert_close(
                parameter,
                wanted,
                rtol=1e-9,
                what=f"parameter of group {index} after {told}",
                cause="an update was made at another rate, or with more than the gradient of its own batch",
            )


def symmetric(rng: np.random.Generator, eigenvalues: list[float]) -> Tensor:
    """A dense matrix with these eigenvalues, exactly symmetric, float64."""
    rotation, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues), len(eigenvalues))))
    matrix = rotation @ np.diag(eigenvalues) @ rotation.T
    return torch.from_numpy((matrix + matrix.T) / 2)


@points(1)
@catches(
    "one-over-the-largest",
    "two-over-the-smallest",
    "frobenius-norm",
    "diagonal-alone",
    "asymmetry-unnoticed",
    "asymmetry-by-an-absolute-size",
    "rounding-taken-for-asymmetry",
    "bound-may-be-infinite",
)
def test_bound_of_the_rate(student, rng):
    """The bound separates the rates that converge from those that diverge, and nonsense has no bound."""
    for eigenvalues in ([3.0, 0.5, 1.25], [40.0, 39.0, 0.0, 7.0, 1.0], [1e-4, 3e-5], [2.5e6, 1.0, 9.0, 5.0]):
        for hessian in (symmetric(rng, eigenvalues), symmetric(rng, eigenvalues).float()):
            found = number(student.max_stable_lr(hessian), "max_stable_lr")
            assert_close(
                found,
                2 / max(eigenvalues),
                rtol=1e-9 if hessian.dtype == torch.float64 else 1e-4,
                what=f"max_stable_lr of a {hessian.dtype} matrix with the eigenvalues {eigenvalues}",
                cause="along each eigenvector a step multiplies x by a factor; at the bound the first of these grows",
            )
    rounded = symmetric(rng, [4.0, 1.0, 2.0]).float()
    rounded[0, 1] += 1e-6
    bound, error = student.run(max_stable_lr_or_error, rounded)
    distance = (rounded - rounded.T).abs().max() / rounded.abs().max()
    told = f"a float32 matrix that differs from its transpose by {distance:.1e} of its largest entry, which is rounding"
    if error is not None:
        entries = [[round(entry, 7) for entry in row] for row in rounded.tolist()]
        raise AssertionError(f"max_stable_lr raised {error} for {told}. It must accept this matrix:\n{entries}")
    assert_close(number(bound, "max_stable_lr"), 0.5, rtol=1e-4, what=f"max_stable_lr of {told},")
    assert_close(number(student.max_stable_lr(torch.tensor([[8.0]])), "max_stable_lr"), 0.25, rtol=1e-5, what="bound")

    lopsided = symmetric(rng, [4.0, 1.0, 2.0])
    lopsided[0, 2] += 0.5
    a_little = symmetric(rng, [4.0, 1.0, 2.0])
    a_little[2, 1] += 0.02 * a_little.abs().max()
    with_nan, with_inf = symmetric(rng, [1.0, 2.0]), symmetric(rng, [1.0, 2.0])
    with_nan[0, 0], with_inf[1, 1] = NAN, INF
    for what, bad in (
        ("a matrix that is not symmetric", lopsided),
        ("a matrix that differs from its transpose by 2 % of its largest entry", a_little),
        ("a matrix of entries around 1e-9 that is not symmetric", 1e-9 * lopsided),
        ("a matrix of zeros", torch.zeros(3, 3)),
        ("a matrix of shape (2, 3)", torch.ones(2, 3)),
        ("a vector", torch.ones(3)),
        ("a tensor of shape (2, 2, 2)", torch.ones(2, 2, 2)),
        ("an empty matrix", torch.zeros(0, 0)),
        ("a matrix with NaN", with_nan),
        ("a matrix with an infinite entry", with_inf),
    ):
        error = student.run(error_of_max_stable_lr, bad)
        if error is None or "ValueError" not in error:
            raised = "it returned without an error" if error is None else f"it raised {error[0]}"
            raise AssertionError(f"max_stable_lr of {what} should raise ValueError; {raised}.")
