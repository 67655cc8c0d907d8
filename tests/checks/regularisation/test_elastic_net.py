"""Checks of regularisation/elastic_net.

The step is compared with the minimiser found case by case for single numbers, the fit with closed forms and with the
conditions that hold at the minimum and nowhere else.
"""

from __future__ import annotations

import math

import numpy as np

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

NAN, INF = math.nan, math.inf


# ---------------------------------------------------------------- what is expected, worked out here


def minimiser(v, amount, strength):
    """The u that minimises 0.5 (u - v)² + amount |u| + strength / 2 u²: the best of the three candidates.

    Where u > 0 the derivative u - v + amount + strength u vanishes, where u < 0 it is u - v - amount + strength u.
    """
    candidates = [0.0, max((v - amount) / (1 + strength), 0.0), min((v + amount) / (1 + strength), 0.0)]
    return min(candidates, key=lambda u: 0.5 * (u - v) ** 2 + amount * abs(u) + strength / 2 * u**2)


def expected_step(w, grad, lr, l1=0.0, l2=0.0):
    w, grad = np.asarray(w, dtype=np.float64), np.asarray(grad, dtype=np.float64)
    values = [minimiser(v, lr * l1, lr * l2) for v in (w - lr * grad).ravel().tolist()]
    return np.array(values, dtype=np.float64).reshape(w.shape)


def expected_fit(X, y, l1, l2, n_steps):
    """The promised steps, with the step size from the largest singular value."""
    samples, features = X.shape
    lr = samples / np.linalg.norm(X, 2) ** 2
    w = np.zeros(features)
    for _ in range(n_steps):
        errors = [float(row @ w) - target for row, target in zip(X, y, strict=True)]
        grad = sum(error * row for error, row in zip(errors, X, strict=True)) / samples
        w = expected_step(w, grad, lr, l1, l2)
    return w


def orthonormal(rng, samples, features):
    """A design with X.T @ X / samples = 1: every feature has a problem of its own."""
    basis, _ = np.linalg.qr(rng.normal(size=(samples, features)))
    return basis * math.sqrt(samples)


# ---------------------------------------------------------------- what runs in the student's process


def elastic_prox_step_and_arguments(student, w, grad, lr, options):
    """The step, its two arrays after the call, and those after the result has been overwritten."""
    step = student.elastic_prox_step(w, grad, lr, **options)
    kept, after = step.copy(), (w.copy(), grad.copy())
    step[...] = 1234.0
    return kept, after, (w, grad)


def fit_elastic_net_and_arguments(student, X, y, l1, l2, n_steps):
    weights = student.fit_elastic_net(X, y, l1, l2, n_steps=n_steps)
    return weights, X, y


# ---------------------------------------------------------------- the checks


def assert_weights(weights, expected, what, cause="", rtol=1e-9, atol=1e-12):
    assert_shape(weights, np.shape(expected), what=what)
    assert_dtype(weights, "float64", what=what)
    assert_close(weights, expected, rtol=rtol, atol=atol, what=what, cause=cause)


def assert_step(student, w, grad, lr, cause, **options):
    what = f"result of elastic_prox_step(w, grad, {lr:g}, {', '.join(f'{k}={v:g}' for k, v in options.items())})"
    assert_weights(
        student.elastic_prox_step(w, grad, lr, **options), expected_step(w, grad, lr, **options), what, cause
    )


@visible
@points(1)
def test_worked_example(student):
    """One step of three weights and three fits of two features come out as worked out by hand."""
    step = student.elastic_prox_step([2.0, -0.5, 0.25], [1.0, -3.0, 0.5], lr=0.25, l1=0.5, l2=2.0)
    assert_weights(step, np.array([1.625 / 1.5, 0.125 / 1.5, 0.0]), "result of elastic_prox_step")
    assert_equal(float(step[2]), 0.0, what="third entry")
    X, y = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, -2.0]]), np.array([3.0, 0.5, 5.0, 0.5])
    for l1, l2, expected in ((0.0, 0.0, [2.0, 0.0]), (1.0, 0.0, [1.5, 0.0]), (1.0, 1.0, [1.0, 0.0])):
        weights = student.fit_elastic_net(X, y, l1, l2)
        assert_weights(
            weights, np.array(expected), f"result of fit_elastic_net(X, y, {l1}, {l2})", rtol=1e-5, atol=1e-8
        )


@points(2)
@catches(
    "zeros-punished",
    "subgradient-step",
    "hard-threshold",
    "threshold-without-rate",
    "shrinkage-without-rate",
    "decay-by-a-gradient-step",
    "divided-before-the-threshold",
    "l2-not-halved",
    "threshold-of-the-old-weights",
    "negative-weights-lost",
    "uphill",
    "clipped",
)
def test_one_step(student, rng):
    """One step goes against the gradient and then shrinks: L1 by an amount that stops at 0, L2 by a share."""
    w = np.array([1.5, -1.25, 0.5, -0.5, 0.125, -0.0625, 0.0, 3.0])
    grad = np.array([0.5, 0.25, -1.0, 1.0, 0.25, 0.0, 0.5, -2.0])
    for lr in (0.25, 0.5, 2.0):
        cause = "without penalties the step goes against the gradient, and that is all"
        assert_step(student, w, grad, lr, cause, l1=0.0, l2=0.0)
        cause = "with l1 alone each entry moves towards 0 by one amount, which depends on lr too, and stops there"
        assert_step(student, w, grad, lr, cause, l1=0.75, l2=0.0)
        cause = "with l2 alone each entry shrinks by the same share, which depends on lr too, and keeps its sign"
        assert_step(student, w, grad, lr, cause, l1=0.0, l2=0.75)
        cause = "the result minimises 0.5 * sum((u - v)**2) + lr * (l1 * sum(abs(u)) + l2 / 2 * sum(u**2))"
        assert_step(student, w, grad, lr, cause, l1=0.5, l2=1.25)
    for _ in range(4):
        w, grad = rng.normal(size=9), rng.normal(size=9)
        lr, l1, l2 = (float(value) for value in rng.uniform(0.05, 1.5, 3))
        assert_step(student, w, grad, lr, cause, l1=l1, l2=l2)
    step = student.elastic_prox_step(w, grad, 0.125, l1=float(np.abs(w).max() * 16 + np.abs(grad).max()))
    assert_equal(step, np.zeros(9), what="result of elastic_prox_step with a large l1", cause="the zeros are exact")


@points(1)
@catches("weights-changed-in-place", "float32-kept", "flattened", "gradient-overwritten")
def test_dtypes_shapes_and_arguments(student, rng):
    """Results are new float64 arrays of the same shape, for inputs of any dtype, which are left alone."""
    for shape in ((5,), (3, 4), (2, 3, 2)):
        for dtype in (np.float64, np.float32):
            w, grad = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
            for options in ({"l1": 0.25, "l2": 0.5}, {}):
                kept, after, later = student.run(elastic_prox_step_and_arguments, w, grad, 0.3, options)
                told = f"{w.dtype} weights of shape {shape} with {options}"
                assert_weights(kept, expected_step(w, grad, 0.3, **options), f"result of elastic_prox_step for {told}")
                for name, before, now, at_last in zip(("w", "grad"), (w, grad), after, later, strict=True):
                    assert_unchanged(now, before, what=f"{name} ({told})")
                    assert_unchanged(at_last, before, what=f"{name}, when the result was overwritten ({told})")
    step = student.elastic_prox_step([3, -2, 0], [1, 1, -1], 0.5, l1=1)
    assert_weights(step, np.array([2.0, -2.0, 0.0]), "result of elastic_prox_step for lists of ints")
    X, y = rng.integers(-4, 5, (7, 3)), rng.integers(-4, 5, 7)
    told = f"{X.dtype} data"
    for inputs, targets in ((X, y), (X.tolist(), y.tolist()), (X.astype(np.float32), y.astype(np.float32))):
        weights, X_after, y_after = student.run(fit_elastic_net_and_arguments, inputs, targets, 0.25, 0.5, 3)
        expected = expected_fit(X.astype(float), y.astype(float), 0.25, 0.5, 3)
        assert_weights(weights, expected, f"result of fit_elastic_net for {told}")
        assert_unchanged(X_after, X, what="X")
        assert_unchanged(y_after, y, what="y")
        told = "lists" if inputs is X else "float32 data"


@points(1)
@catches("error-not-averaged", "samples-in-the-step-only", "frobenius-step", "starts-elsewhere", "zero-data-divides")
def test_first_steps_of_the_fit(student, rng):
    """The fit starts at zeros and makes the promised steps, of the promised length."""
    cause = "from zeros, each step with the gradient of the mean squared error halved, and with lr = 1 / L"
    for samples, features, scale in ((12, 3, 1.0), (5, 8, 0.2), (30, 4, 20.0)):
        X, y = scale * rng.normal(size=(samples, features)), 2 * rng.normal(size=samples)
        l1, l2 = (float(value) * scale for value in rng.uniform(0.02, 0.2, 2))
        for n_steps in (1, 2, 3, 7, 0):
            weights = student.fit_elastic_net(X, y, l1, l2, n_steps=n_steps)
            told = f"fit_elastic_net(X, y, {l1:.3g}, {l2:.3g}, n_steps={n_steps}) for X of shape {X.shape}"
            assert_weights(weights, expected_fit(X, y, l1, l2, n_steps), f"result of {told}", cause)
    cause = "with X = 0 the largest eigenvalue is 0, and 1 / L has no value"
    weights = student.fit_elastic_net(np.zeros((4, 3)), np.ones(4), 0.1, 0.1)
    assert_weights(weights, np.zeros(3), "result of fit_elastic_net for X = 0", cause)


@points(1)
@catches("intercept-added", "l1-ignored-in-the-fit", "l2-ignored-in-the-fit")
def test_features_with_a_problem_of_their_own(student, rng):
    """Where features do not interact, the fit is one shrinkage of each; a larger L1 penalty means more zeros."""
    X = orthonormal(rng, 24, 6)
    y = X @ np.array([3.0, -2.0, 1.0, 0.5, -0.25, 0.0]) + 0.05 * rng.normal(size=24) + 1.0
    alone = X.T @ y / 24  # the least-squares weight of each feature
    zeros = []
    for l1 in (0.0, 0.4, 0.75, 1.5, float(np.abs(alone).max())):
        for l2 in (0.0, 0.5):
            weights = student.fit_elastic_net(X, y, l1, l2, n_steps=20)
            told = f"result of fit_elastic_net(X, y, {l1:.3g}, {l2:.3g}) for features that do not interact"
            expected = np.array([minimiser(v, l1, l2) for v in alone])
            assert_weights(weights, expected, told, "each weight is shrunk on its own; no intercept", atol=1e-9)
            if l2 == 0.0:
                zeros.append(int(np.count_nonzero(np.abs(weights) == 0)))
    told = "number of exact zeros as l1 grows"
    if zeros != sorted(zeros) or zeros[0] > 0 or zeros[-1] < 5:
        raise AssertionError(f"The {told} is {zeros}; it should start at 0 and grow to at least 5 of 6.")


@points(1)
@catches("zeros-by-rounding-down")
def test_l2_alone(student, rng):
    """With L2 alone the fit is ridge regression, which has a closed form, and no weight is zero."""
    for samples, features, l2 in ((40, 5, 0.3), (6, 10, 0.8)):
        X, y = rng.normal(size=(samples, features)), rng.normal(size=samples)
        X[:, 0] *= 1e-3  # a feature that matters little: its weight is small and is not 0
        weights = student.fit_elastic_net(X, y, 0.0, l2, n_steps=400)
        expected = np.linalg.solve(X.T @ X / samples + l2 * np.eye(features), X.T @ y / samples)
        told = f"result of fit_elastic_net(X, y, 0, {l2}) for X of shape {X.shape}"
        assert_weights(weights, expected, told, "ridge regression: (X.T @ X / samples + l2) w = X.T @ y / samples")


@points(2)
@catches("gradient-of-the-first-step-kept", "few-steps")
def test_conditions_of_the_minimum(student, rng):
    """At the result, the pull of the data balances the penalties on every weight, and is too weak on every zero."""
    correlations = np.full((5, 5), 0.95) + 0.05 * np.eye(5)
    correlated = orthonormal(rng, 60, 5) @ np.linalg.cholesky(correlations).T
    for X, share, l2 in (
        (rng.normal(size=(50, 7)), 0.3, 0.0),
        (rng.normal(size=(20, 12)), 0.3, 0.4),
        (correlated, 0.02, 0.0),
    ):
        samples, features = X.shape
        y = X[:, :3] @ np.array([2.0, -1.5, 1.0]) + 0.3 * rng.normal(size=samples)
        l1 = share * float(np.abs(X.T @ y).max()) / samples
        options = {} if X is correlated else {"n_steps": 600}
        weights = student.fit_elastic_net(X, y, l1, l2, **options)
        told = f"fit_elastic_net(X, y, {l1:.3g}, {l2}) for X of shape {X.shape}" + (f", {options}" if options else "")
        assert_shape(weights, (features,), what=f"result of {told}")
        pull = X.T @ (y - X @ weights) / samples - l2 * weights  # what data and L2 want each weight to do
        active = weights != 0
        if X is not correlated and (not active.any() or active.all()):
            raise AssertionError(
                f"{int(active.sum())} of {features} weights of {told} differ from 0; here some should, and some should "
                "be exactly 0."
            )
        cause = "the result is not where the objective is smallest"
        wanted = l1 * np.sign(weights[active])
        what = f"pull on the weights that are not 0, of {told},"
        assert_close(pull[active], wanted, rtol=1e-6, atol=1e-7, what=what, cause=cause)
        if (np.abs(pull[~active]) > l1 * (1 + 1e-6)).any():
            raise AssertionError(
                f"A weight of {told} is 0 although the data pull at it more strongly than l1: {cause}."
            )


@points(1)
@catches("broadcast", "nan-accepted", "negative-penalty-accepted", "empty-data-accepted", "column-of-targets-accepted")
def test_bad_input_is_refused(student):
    """Shapes that do not fit, empty data and arguments out of range are refused."""
    w, grad = [1.0, -2.0, 0.5], [0.5, 0.25, -1.0]
    for what, arguments, options in (
        ("lr=0", (w, grad, 0.0), {}),
        ("lr=-0.1", (w, grad, -0.1), {}),
        ("lr=nan", (w, grad, NAN), {}),
        ("lr=inf", (w, grad, INF), {}),
        ("l1=-0.1", (w, grad, 0.1), {"l1": -0.1}),
        ("l2=-0.1", (w, grad, 0.1), {"l2": -0.1}),
        ("l1=nan", (w, grad, 0.1), {"l1": NAN}),
        ("l2=nan", (w, grad, 0.1), {"l2": NAN}),
        ("l1=inf", (w, grad, 0.1), {"l1": INF}),
        ("l2=inf", (w, grad, 0.1), {"l2": INF}),
        ("a gradient of another length", (w, grad[:2], 0.1), {}),
        ("a gradient of one number", (w, [0.5], 0.1), {}),
        ("a single number as gradient", (w, 0.5, 0.1), {}),
        ("weights (3,) and gradient (3, 1)", (w, [[0.5], [0.25], [-1.0]], 0.1), {}),
        ("NaN among the weights", ([1.0, NAN, 0.5], grad, 0.1), {}),
        ("infinity in the gradient", (w, [0.5, INF, -1.0], 0.1), {}),
    ):
        with raises(ValueError, what=f"elastic_prox_step with {what}"):
            student.elastic_prox_step(*arguments, **options)
    X, y = np.arange(12.0).reshape(4, 3), np.arange(4.0)
    with_nan, with_inf = X.copy(), y.copy()
    with_nan[1, 2], with_inf[0] = NAN, INF
    for what, arguments in (
        ("l1=-0.1", (X, y, -0.1, 0.1)),
        ("l2=-0.1", (X, y, 0.1, -0.1)),
        ("l1=nan", (X, y, NAN, 0.1)),
        ("l2=inf", (X, y, 0.1, INF)),
        ("n_steps=-1", (X, y, 0.1, 0.1, -1)),
        ("X of shape (4,)", (y, y, 0.1, 0.1)),
        ("X of shape (1, 4, 3)", (X[None], y, 0.1, 0.1)),
        ("5 targets for 4 samples", (X, np.arange(5.0), 0.1, 0.1)),
        ("3 targets for 4 samples of 3 features", (X, y[:3], 0.1, 0.1)),
        ("1 target for 4 samples", (X, y[:1], 0.1, 0.1)),
        ("y of shape (4, 1)", (X, y[:, None], 0.1, 0.1)),
        ("no samples", (np.zeros((0, 3)), np.zeros(0), 0.1, 0.1)),
        ("no features", (np.zeros((4, 0)), y, 0.1, 0.1)),
        ("NaN in X", (with_nan, y, 0.1, 0.1)),
        ("infinity in y", (X, with_inf, 0.1, 0.1)),
        ("infinity in y and X = 0", (np.zeros((4, 3)), with_inf, 0.1, 0.1)),
        ("a negative penalty and X = 0", (np.zeros((4, 3)), y, -0.1, 0.1)),
    ):
        with raises(ValueError, what=f"fit_elastic_net with {what}"):
            student.fit_elastic_net(*arguments)
