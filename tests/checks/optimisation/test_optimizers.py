"""Checks of optimisation/optimizers.

Expected values are computed coordinate by coordinate in Python floats: the momentum buffer as an explicit sum over all
gradients so far, Adam's corrected averages as weighted means of them, so that no correction factor appears.
"""

import math

import numpy as np

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

CLAIMS = {
    "decay_slows_the_steps": False,
    "equal_under_sgd": True,
    "equal_under_adam": False,
    "first_adam_step": True,
    "zero_gradient_stays": False,
    "two_averages": True,
    "clipping_turns": False,
    "norm_statistics": False,
}


# ---------------------------------------------------------------- what is expected, worked out here


def sgd_by_sums(param, grads, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """The parameter after each step; `grads` (steps, *shape) are fixed."""
    start = np.asarray(param, dtype=np.float64)
    shape, theta = start.shape, start.ravel().tolist()
    seen, after = [], []
    for grad in np.asarray(grads, dtype=np.float64):
        seen.append([g + weight_decay * p for g, p in zip(grad.ravel().tolist(), theta, strict=True)])
        for i in range(len(theta)):
            buffer = math.fsum(momentum ** (len(seen) - 1 - s) * old[i] for s, old in enumerate(seen))
            theta[i] -= lr * (seen[-1][i] + momentum * buffer if nesterov else buffer)
        after.append(np.array(theta).reshape(shape))
    return after


def weighted_mean(values, factor):
    """Mean of the values so far in which each counts `factor` times as much as the one after it."""
    weights = [factor ** (len(values) - 1 - s) for s in range(len(values))]
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)


def adamw_by_means(param, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    """The parameter after each step; `grads` (steps, *shape) are fixed."""
    start, grads = np.asarray(param, dtype=np.float64), np.asarray(grads, dtype=np.float64)
    theta = start.ravel().tolist()
    history = grads.reshape(len(grads), -1).T.tolist()  # one row of gradients for each coordinate
    after = []
    for t in range(1, len(grads) + 1):
        for i, row in enumerate(history):
            step = weighted_mean(row[:t], betas[0])
            step /= math.sqrt(weighted_mean([g * g for g in row[:t]], betas[1])) + eps
            theta[i] -= lr * weight_decay * theta[i] + lr * step
        after.append(np.array(theta).reshape(start.shape))
    return after


def follow(rule, matrix, target, theta0, steps, penalty, **options):
    """Points of a rule above on the gradient matrix @ theta - target + penalty * theta."""
    at, grads = [np.array(theta0, dtype=np.float64)], []
    for _ in range(steps):
        grads.append(matrix @ at[-1] - target + penalty * at[-1])
        at.append(rule(theta0, grads, **options)[-1])
    return np.stack(at)


# ---------------------------------------------------------------- what runs in the student's process


def make_steps(student, name, param, grads, options):
    """The parameter after each step, the state handed on."""
    state, after = {}, []
    for grad in grads:
        param, state = getattr(student, name)(param, grad, state, **options)
        after.append(param)
    return after


def make_steps_and_look_back(student, name, param, grads, options):
    """Whether each of two steps changed an argument, shared memory with one, or came out otherwise when repeated."""
    import copy

    import numpy as np

    def arrays(value):
        if isinstance(value, np.ndarray):
            return [value]
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        return [array for part in parts for array in arrays(part)]

    def same(left, right):
        if isinstance(left, dict):
            return (
                isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
            )
        if isinstance(left, list | tuple):
            return len(left) == len(right) and all(map(same, left, right))
        return np.array_equal(left, right)

    step, state, found = getattr(student, name), {}, []
    for grad in grads:
        before = copy.deepcopy([param, grad, state])
        new_param, new_state = step(param, grad, state, **options)
        kept = [same(old, now) for old, now in zip(before, [param, grad, state], strict=True)]
        results, arguments = [*arrays(new_param), *arrays(new_state)], [param, grad, *arrays(state)]
        shared = any(np.shares_memory(result, argument) for result in results for argument in arguments)
        again, _ = step(*copy.deepcopy(before), **options)
        found.append([*kept, not shared, bool(np.array_equal(again, new_param)), isinstance(new_state, dict)])
        param, state = new_param, new_state
    return found


def run_on_a_quadratic(student, kind, matrix, target, theta0, steps, lr, options):
    """The points visited."""
    return student.run_optimizer(kind, lambda theta: matrix @ theta - target, theta0, steps, lr, **options)


def count_gradients_in_runs(student, kinds, theta0, steps, lr):
    """How often run_optimizer asks for a gradient, for each kind."""
    numbers = []
    for kind in kinds:
        calls = []
        student.run_optimizer(kind, lambda theta, calls=calls: calls.append(1) or 0.5 * theta, theta0, steps, lr)
        numbers.append(len(calls))
    return numbers


def what_steps_raise(student, name, cases):
    """For each case (param, grad, options): whether the step function raised ValueError, and else what it did."""
    found = []
    for param, grad, options in cases:
        try:
            getattr(student, name)(param, grad, {}, **options)
        except NotImplementedError:
            raise
        except ValueError:
            found.append("ValueError")
        except Exception as error:
            found.append(type(error).__name__)
        else:
            found.append("no error")
    return found


def run_with_a_gradient_of_shape(student, kind, theta0, steps, lr, options, shape):
    import numpy as np

    return student.run_optimizer(kind, lambda theta: np.ones(shape), theta0, steps, lr, **options)


def run_on_one_array(student, kind, gradient, theta0, steps, lr, options):
    """The points visited when grad_fn returns the same array at every call (None: its argument), and that array."""
    found = student.run_optimizer(
        kind, lambda theta: theta if gradient is None else gradient, theta0, steps, lr, **options
    )
    return found, gradient


def uneven(rng, *shape):
    """Gradients whose size differs by orders of magnitude from coordinate to coordinate; none is near 0."""
    size = 10.0 ** rng.uniform(-2.5, 1.0, size=shape[1:])
    return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.3, 1.7, size=shape) * size


def described(name, options):
    return f"{name}(param, grad, state, {', '.join(f'{key}={value}' for key, value in options.items())})"


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""

    def double_the_point(student, theta0, steps, lr):
        return student.run_optimizer("sgd", lambda theta: 2 * theta, theta0, steps=steps, lr=lr)

    param, grad = np.array([2.0, -1.0, 0.5]), np.array([0.5, 1.0, -2.0])
    options = {"lr": 0.25, "momentum": 0.5}
    after = student.run(make_steps, "sgd_step", param, [grad, grad], options)
    for number, expected in enumerate(([1.875, -1.25, 1.0], [1.6875, -1.625, 1.75])):
        what = f"parameter after step {number + 1} of {described('sgd_step', options)}"
        assert_close(after[number], np.array(expected), rtol=1e-5, atol=1e-8, what=what)
    options |= {"nesterov": True}
    after = student.run(make_steps, "sgd_step", param, [grad], options)
    what = f"parameter after step 1 of {described('sgd_step', options)}"
    assert_close(after[0], np.array([1.8125, -1.375, 1.25]), rtol=1e-5, atol=1e-8, what=what)

    options = {"lr": 0.25, "weight_decay": 0.5}
    after = student.run(make_steps, "adamw_step", param, [grad, grad], options)
    for number, expected in enumerate(([1.5, -1.125, 0.6875], [1.0625, -1.234375, 0.8515625])):
        what = f"parameter after step {number + 1} of {described('adamw_step', options)}"
        assert_close(after[number], np.array(expected), rtol=1e-5, atol=1e-8, what=what)

    found = student.run(double_the_point, np.array([1.0, -3.0]), 2, 0.25)
    expected = np.array([[1.0, -3.0], [0.5, -1.5], [0.25, -0.75]])
    what = "run_optimizer('sgd', lambda theta: 2 * theta, [1, -3], steps=2, lr=0.25)"
    assert_close(found, expected, rtol=1e-5, atol=1e-8, what=what)


@points(3)
@catches("claims-as-published", "adam-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "state-changed-in-place",
    "averages-changed-in-place",
    "parameter-changed-in-place",
    "float32-kept",
    "buffer-is-the-gradient",
    "counter-outside-the-state",
)
def test_a_step_is_a_pure_function(student, rng):
    """A step returns new float64 arrays in the parameter's shape and leaves its arguments as they were."""
    for name, options in (
        ("sgd_step", {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.3}),
        ("sgd_step", {"lr": 0.1, "momentum": 0.7, "nesterov": True}),
        ("sgd_step", {"lr": 0.0, "momentum": 0.4}),
        ("sgd_step", {"lr": 0.1}),
        ("adamw_step", {"lr": 0.1, "weight_decay": 0.3}),
        ("adamw_step", {"lr": 0.0}),
    ):
        param, grads = rng.normal(size=(3, 4)), list(uneven(rng, 2, 3, 4))
        call = described(name, options)
        for number, (*kept, apart, repeats, is_dict) in enumerate(
            student.run(make_steps_and_look_back, name, param, grads, options), start=1
        ):
            for argument, unchanged in zip(("param", "grad", "state"), kept, strict=True):
                if not unchanged:
                    raise AssertionError(
                        f"Step {number} of {call} changed its argument {argument!r}; expected it as it was before.\n"
                        "Likely cause: += and its like, and state[...] = ..., work in place"
                    )
            if not repeats:
                raise AssertionError(f"Step {number} of {call}, repeated with equal arguments, gives another parameter")
            if not apart:
                raise AssertionError(
                    f"An array in the result of step {number} of {call} shares its memory with an argument: whoever "
                    "overwrites that argument afterwards changes the result too. Expected an array of its own."
                )
            assert_equal(is_dict, True, what=f"answer to 'is the new state a dict?' after step {number} of {call}")
    for name, options in (
        ("sgd_step", {"lr": 0.1, "momentum": 0.7}),
        ("sgd_step", {"lr": 0.1}),
        ("adamw_step", {"lr": 0.1, "eps": 0.0, "weight_decay": 0.0}),
    ):
        for shape in ((5,), (2, 3), (2, 1, 4)):
            for dtype in (np.float64, np.float32):
                param, grads = rng.normal(size=shape).astype(dtype), list(uneven(rng, 2, *shape).astype(dtype))
                after = student.run(make_steps, name, param, grads, options)
                for number in range(2):
                    what = f"parameter after step {number + 1} of {described(name, options)} on {dtype.__name__} arrays"
                    assert_shape(after[number], shape, what=what)
                    assert_dtype(after[number], np.float64, what=what)
                oracle = sgd_by_sums if name == "sgd_step" else adamw_by_means
                expected = oracle(param, grads, **options)[0]
                # the rule itself has checks of its own: here only the precision of a first step
                if dtype is np.float32 and np.allclose(after[0], expected, rtol=1e-3, atol=1e-3):
                    cause = "float64 at the end is not enough: float32 arrays are converted before the arithmetic"
                    what = f"parameter after step 1 of {described(name, options)} on float32 arrays"
                    assert_close(after[0], expected, rtol=1e-9, atol=1e-12, what=what, cause=cause)


@points(1)
@catches(
    "decay-as-smaller-step",
    "gradient-added",
    "momentum-as-average",
    "nesterov-as-heavy-ball",
    "buffer-without-the-decay",
    "nesterov-with-the-old-buffer",
    "rate-in-the-buffer",
    "dampening",
)
def test_sgd_follows_the_sum_of_all_gradients_so_far(student, rng):
    """SGD moves against the gradient, and with momentum against a sum in which older gradients count less."""
    causes = {
        "plain": "the parameter moves against the gradient, by lr times the gradient",
        "decay": "weight_decay * param is added to the gradient, a pull towards 0",
        "momentum": "the buffer is momentum times the old buffer plus the gradient, with the decay in it",
        "nesterov": "the direction is the gradient plus momentum times the new buffer",
    }
    for case, options in (
        ("plain", {"lr": 0.3}),
        ("decay", {"lr": 0.3, "weight_decay": 0.4}),
        ("momentum", {"lr": 0.2, "momentum": 0.7}),
        ("nesterov", {"lr": 0.2, "momentum": 0.6, "nesterov": True}),
        ("momentum", {"lr": 0.2, "momentum": 0.8, "weight_decay": 0.4}),
        ("nesterov", {"lr": 0.2, "momentum": 0.8, "nesterov": True, "weight_decay": 0.4}),
    ):
        param, grads = rng.normal(size=(2, 3)), uneven(rng, 5, 2, 3)
        after = student.run(make_steps, "sgd_step", param, list(grads), options)
        for number, expected in enumerate(sgd_by_sums(param, grads, **options)):
            what = f"parameter after step {number + 1} of {described('sgd_step', options)}"
            assert_close(after[number], expected, rtol=1e-9, atol=1e-11, what=what, cause=causes[case])


@points(1)
@catches(
    "l2-in-adamw",
    "no-bias-correction",
    "epsilon-under-the-root",
    "epsilon-before-the-correction",
    "counter-from-zero",
    "decay-after-the-step",
    "counter-stays-at-one",
    "corrected-averages-kept",
    "one-square-for-all",
    "decay-without-the-rate",
    "square-not-corrected",
)
def test_adamw_divides_the_mean_gradient_by_its_root_mean_square(student, rng):
    """AdamW moves by the mean gradient over its root mean square, and decays the parameter apart from that."""
    causes = {
        "correction": "the averages start at 0 and are corrected for it, by the number of steps, this one included",
        "epsilon": "eps is added to the square root",
        "decay": "the parameter is first multiplied by 1 - lr * weight_decay; the decay is in neither average",
        "defaults": "the defaults are lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2",
    }
    for case, options in (
        ("correction", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.0, "weight_decay": 0.0}),
        ("epsilon", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.05, "weight_decay": 0.0}),
        ("decay", {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1}),
        ("decay", {"lr": 0.2, "betas": (0.6, 0.9), "eps": 0.01, "weight_decay": 1.5}),
        ("defaults", {}),
    ):
        param, grads = rng.normal(size=(2, 3)), uneven(rng, 6, 2, 3)
        after = student.run(make_steps, "adamw_step", param, list(grads), options)
        for number, expected in enumerate(adamw_by_means(param, grads, **options)):
            what = f"parameter after step {number + 1} of {described('adamw_step', options)}"
            assert_close(after[number], expected, rtol=1e-9, atol=1e-11, what=what, cause=causes[case])


@points(1)
@catches("zero-gradient-skipped", "gradient-normalised-first")
def test_what_scale_zero_and_the_rate_do(student, rng):
    """A zero gradient still decays the weight, a rate of 0 changes nothing, and Adam ignores the gradients' scale."""
    param = rng.normal(size=4) + np.sign(rng.normal(size=4)) * 2
    zeros = [np.zeros(4)] * 3
    options = {"lr": 0.1, "weight_decay": 0.5}
    for name in ("adamw_step", "sgd_step"):  # without momentum, SGD's decay shrinks the weight in the same way
        for number, after in enumerate(student.run(make_steps, name, param, zeros, options), start=1):
            what = f"parameter after step {number} of {described(name, options)} with a gradient of 0"
            cause = "a gradient of 0 leaves the decay: each step multiplies the weight by 1 - lr * weight_decay"
            assert_close(after, param * 0.95**number, rtol=1e-9, atol=1e-12, what=what, cause=cause)

    grads = uneven(rng, 4, 4)
    for name, options in (
        ("adamw_step", {"lr": 0.0, "weight_decay": 0.5}),
        ("sgd_step", {"lr": 0.0, "momentum": 0.8, "weight_decay": 0.5}),
    ):
        for number, after in enumerate(student.run(make_steps, name, param, list(grads), options), start=1):
            what = f"parameter after step {number} of {described(name, options)}"
            assert_close(after, param, rtol=1e-12, atol=0, what=what, cause="a learning rate of 0 changes nothing")

    options = {"lr": 0.1, "eps": 0.0, "weight_decay": 0.0}
    steps = {scale: student.run(make_steps, "adamw_step", param, list(scale * grads), options) for scale in (1.0, 1e-3)}
    what = f"parameter after step 1 of {described('adamw_step', options)}"
    cause = "without eps and decay the first step is lr in every coordinate, in the direction of the sign"
    assert_close(steps[1.0][0], param - 0.1 * np.sign(grads[0]), rtol=1e-9, atol=1e-12, what=what, cause=cause)
    for number in range(4):
        what = f"parameter after step {number + 1} of {described('adamw_step', options)} on gradients divided by 1000"
        cause = "without eps the scale of all gradients together cancels"
        assert_close(steps[1e-3][number], steps[1.0][number], rtol=1e-9, atol=1e-12, what=what, cause=cause)
    options = {"lr": 0.1, "momentum": 0.6}
    small, large = (student.run(make_steps, "sgd_step", param, list(c * grads), options)[-1] for c in (0.5, 10.0))
    what = f"way of 4 steps of {described('sgd_step', options)} on gradients 20 times as large"
    assert_close(large - param, 20 * (small - param), rtol=1e-9, atol=1e-11, what=what, cause="SGD scales with them")

    options = {"lr": 0.1, "betas": (0.0, 0.0), "eps": 0.0, "weight_decay": 0.0}
    for number, after in enumerate(student.run(make_steps, "adamw_step", param, list(grads), options), start=1):
        expected = param - 0.1 * sum(np.sign(grads[:number]))
        what = f"parameter after step {number} of {described('adamw_step', options)}"
        cause = "with both factors 0 the averages are the last gradient and its square"
        assert_close(after, expected, rtol=1e-9, atol=1e-11, what=what, cause=cause)


@points(1)
@catches(
    "state-forgotten",
    "gradient-at-the-start-only",
    "rows-of-one-array",
    "adamw-run-as-adam-l2",
    "decay-of-adam-ignored",
    "momentum-in-plain-sgd",
    "start-left-out",
    "integer-points",
    "decay-of-sgd-ignored",
    "nesterov-gradient-ahead",
    "gradient-array-changed",
)
def test_run_visits_the_right_points(student, rng):
    """Each kind visits the points of its rule, starting with theta0, one gradient a step at the current point."""
    basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = basis @ np.diag([0.4, 1.0, 2.5]) @ basis.T
    target, integers = rng.normal(size=3), rng.integers(2, 6, size=3) * rng.choice([-1, 1], size=3)
    momentum = {"momentum": 0.7}
    adam = {"betas": (0.7, 0.9)}
    cases = [  # kind, hyperparameters, penalty in the gradient, rule, its options
        ("sgd", {}, 0.0, sgd_by_sums, {}),
        ("sgd", momentum | {"weight_decay": 0.3}, 0.3, sgd_by_sums, {}),
        ("momentum", momentum, 0.0, sgd_by_sums, momentum),
        ("momentum", {"momentum": 0.0}, 0.0, sgd_by_sums, {}),
        ("momentum", {"weight_decay": 0.3}, 0.3, sgd_by_sums, {"momentum": 0.9}),
        ("nesterov", momentum, 0.0, sgd_by_sums, momentum | {"nesterov": True}),
        ("nesterov", {"weight_decay": 0.3}, 0.3, sgd_by_sums, {"momentum": 0.9, "nesterov": True}),
        ("adam", adam, 0.0, adamw_by_means, adam | {"weight_decay": 0.0}),
        ("adam_l2", {"weight_decay": 0.5}, 0.5, adamw_by_means, {"weight_decay": 0.0}),
        ("adam", adam | {"weight_decay": 0.5}, 0.5, adamw_by_means, adam | {"weight_decay": 0.0}),
        ("adamw", {}, 0.0, adamw_by_means, {"weight_decay": 0.0}),
        ("adamw", adam | {"weight_decay": 0.5}, 0.0, adamw_by_means, adam | {"weight_decay": 0.5}),
    ]
    for number, (kind, hyper, penalty, rule, options) in enumerate(cases):
        theta0 = integers if number % 2 == 0 else integers + 0.5
        points_seen = student.run(run_on_a_quadratic, kind, matrix, target, theta0, 5, 0.15, hyper)
        settings = "".join(f", {key}={value}" for key, value in hyper.items())
        call = f"run_optimizer({kind!r}, grad_fn, {theta0.tolist()}, 5, 0.15{settings})"
        assert_shape(points_seen, (6, 3), what=f"result of {call}")
        assert_dtype(points_seen, np.float64, what=f"result of {call}")
        expected = follow(rule, matrix, target, theta0, 5, penalty, lr=0.15, **options)
        # where exactly eps is added has a check of its own: its default is not seen within this tolerance
        exact = {"rtol": 1e-9, "atol": 1e-10} if rule is sgd_by_sums else {"rtol": 1e-5, "atol": 1e-6}
        assert_close(points_seen, expected, **exact, what=f"result of {call}")
    for kind in ("adam", "adam_l2", "adamw"):
        found = student.run(run_on_a_quadratic, kind, matrix, target, integers, 3, 0.15, {"eps": 1e12})
        what = f"result of run_optimizer({kind!r}, grad_fn, {integers.tolist()}, 3, 0.15, eps=1e12)"
        cause = "with so large an eps the point hardly moves"
        assert_close(found, np.stack([integers * 1.0] * 4), rtol=0, atol=1e-4, what=what, cause=cause)
    found = student.run(run_on_a_quadratic, "adamw", matrix, target, integers, 0, 0.15, {})
    call = f"run_optimizer('adamw', grad_fn, {integers.tolist()}, 0, 0.15)"
    assert_close(found, integers[None].astype(np.float64), what=f"result of {call}", cause="0 steps leave the start")
    assert_dtype(found, np.float64, what=f"result of {call}")

    kinds = ("sgd", "momentum", "nesterov", "adam", "adam_l2", "adamw")
    numbers = student.run(count_gradients_in_runs, kinds, np.array([3.0, -2.0]), 5, 0.15)
    for kind, number in zip(kinds, numbers, strict=True):
        assert_equal(
            number, 5, what=f"number of calls of grad_fn in run_optimizer({kind!r}, grad_fn, [3, -2], 5, 0.15)"
        )
    # what grad_fn returns belongs to the caller: one array at every call, its own argument, integers
    for kind, rule, options in (
        ("adam", adamw_by_means, {"weight_decay": 0.0}),
        ("adam_l2", adamw_by_means, {"weight_decay": 0.0}),
        ("adamw", adamw_by_means, {"weight_decay": 0.3}),
        ("sgd", sgd_by_sums, {}),
        ("momentum", sgd_by_sums, {"momentum": 0.9}),
        ("nesterov", sgd_by_sums, {"momentum": 0.9, "nesterov": True}),
    ):
        penalty = 0.0 if kind == "adamw" else 0.3
        own, whole = rng.normal(size=3) + 2.0, np.array([3, -2, 1])
        for returns, gradient in (("the same array at every call", own), ("its argument", None), ("integers", whole)):
            slope, shift = (np.eye(3), np.zeros(3)) if gradient is None else (np.zeros((3, 3)), -1.0 * gradient)
            found, after = student.run(run_on_one_array, kind, gradient, integers, 3, 0.15, {"weight_decay": 0.3})
            what = f"run_optimizer({kind!r}, grad_fn, {integers.tolist()}, 3, 0.15, weight_decay=0.3)"
            if gradient is not None and not np.array_equal(after, gradient):
                raise AssertionError(
                    f"The array that grad_fn returned was changed by {what}: it was {gradient.tolist()} and is "
                    f"{np.asarray(after).tolist()}."
                )
            expected = follow(rule, slope, shift, integers, 3, penalty, lr=0.15, **options)
            what = f"result of {what}, where grad_fn returns {returns},"
            assert_close(found, expected, rtol=1e-5, atol=1e-6, what=what)


@points(1)
@catches(
    "shapes-broadcast",
    "nan-accepted",
    "nesterov-without-momentum",
    "unknown-kind-is-adam",
    "betas-unchecked",
    "start-without-axes",
)
def test_bad_input_is_refused(student):
    """Shapes that differ and settings out of their range raise ValueError."""
    nan = math.nan
    for name in ("sgd_step", "adamw_step"):
        shapes = (((3,), (4,)), ((3,), (1,)), ((1,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((3,), (3, 1)))
        cases = [(np.ones(param), np.ones(grad), {"lr": 0.1}) for param, grad in shapes]
        calls = [f"{name} with param of shape {param} and grad of shape {grad}" for param, grad in shapes]
        bad = [{"lr": -0.1}, {"lr": nan}, {"lr": 0.1, "weight_decay": -0.1}, {"lr": 0.1, "weight_decay": nan}]
        if name == "sgd_step":
            bad += [{"lr": 0.1, "momentum": momentum} for momentum in (-0.1, 1.0, 1.5, nan)]
            bad += [{"lr": 0.1, "nesterov": True}, {"lr": 0.1, "momentum": 0.0, "nesterov": True}]
        else:
            bad += [{"eps": -1e-8}, {"eps": nan}]
            bad += [{"betas": betas} for betas in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, -0.1))]
            bad += [{"betas": betas} for betas in ((nan, 0.9), (0.9, nan), (0.9, 1.1), (1.1, 0.9))]
        cases += [(np.ones(3), np.ones(3), options) for options in bad]
        calls += [described(name, options) for options in bad]
        for call, raised in zip(calls, student.run(what_steps_raise, name, cases), strict=True):
            if raised != "ValueError":
                did = "returned without an error" if raised == "no error" else f"raised {raised}"
                raise AssertionError(f"{call} should raise ValueError; it {did}.")

    start = np.ones(3)
    for kind, theta0, steps, lr, options, shape in (
        ("rmsprop", start, 2, 0.1, {}, (3,)),
        ("", start, 2, 0.1, {}, (3,)),
        ("sgd", np.ones((2, 3)), 2, 0.1, {}, (2, 3)),
        ("adamw", np.array(1.0), 2, 0.1, {}, ()),
        ("sgd", np.array(1.0), 2, 0.1, {}, (1,)),
        ("sgd", start, -1, 0.1, {}, (3,)),
        ("sgd", start, 2, 0.1, {}, (4,)),
        ("sgd", start, 2, 0.1, {}, ()),
        ("adam", start, 2, 0.1, {}, (1,)),
        ("adam_l2", start, 2, 0.1, {"weight_decay": 0.1}, ()),
        ("adamw", start, 2, 0.1, {}, (1, 3)),
        ("momentum", start, 2, -0.1, {}, (3,)),
        ("adamw", start, 2, nan, {}, (3,)),
        ("nesterov", start, 2, 0.1, {"momentum": 0.0}, (3,)),
        ("momentum", start, 2, 0.1, {"momentum": 1.0}, (3,)),
        ("adam", start, 2, 0.1, {"betas": (0.9, 1.0)}, (3,)),
        ("adam_l2", start, 2, 0.1, {"weight_decay": -0.1}, (3,)),
        ("adam", start, 2, 0.1, {"eps": -0.1}, (3,)),
        ("adamw", start, 2, 0.1, {"weight_decay": nan}, (3,)),
    ):
        settings = "".join(f", {key}={value}" for key, value in options.items())
        call = f"run_optimizer({kind!r}, ..., {theta0.tolist()}, {steps}, {lr}{settings}), gradient of shape {shape},"
        with raises(ValueError, what=call):
            student.run(run_with_a_gradient_of_shape, kind, theta0, steps, lr, options, shape)
