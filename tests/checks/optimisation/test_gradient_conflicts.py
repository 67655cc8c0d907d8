"""Checks of optimisation/gradient_conflicts.

The expected projections never touch a vector: each working copy is a row of coefficients over the original gradients,
and all dot products are read off the matrix of their dot products.
"""

import math

import numpy as np

from grader.checking import assert_claims, assert_close, assert_dtype, assert_shape, catches, points, raises, visible

CLAIMS = {
    "negative_transfer": True,
    "separate_networks": False,
    "first_order": True,
    "two_tasks": True,
    "three_tasks": False,
    "balances_sizes": False,
    "tuned_sum": True,
    "hard_sharing": False,
}


def expected_pcgrad(grads, order=None):
    """PCGrad in coefficients: copy i is sum c[k] * grads[k], its dot product with task j sum c[k] * dots[k][j]."""
    grads = np.asarray(grads, dtype=np.float64)
    n_tasks = len(grads)
    dots = [[math.fsum(a * b for a, b in zip(left, right, strict=True)) for right in grads] for left in grads]
    total = [0.0] * n_tasks
    for i in range(n_tasks):
        c = [float(k == i) for k in range(n_tasks)]
        for j in order[i] if order is not None else [k for k in range(n_tasks) if k != i]:
            overlap = math.fsum(c[k] * dots[k][j] for k in range(n_tasks))
            if overlap < 0:
                c[j] -= overlap / dots[j][j]
        total = [t + part for t, part in zip(total, c, strict=True)]
    return np.array(total) @ grads


def expected_cosines(grads):
    """One pair at a time, in Python floats."""
    rows = np.asarray(grads, dtype=np.float64).tolist()
    lengths = [math.hypot(*row) for row in rows]
    return np.array(
        [
            [
                math.fsum(a * b for a, b in zip(left, right, strict=True)) / (m * n) if m and n else 0.0
                for right, n in zip(rows, lengths, strict=True)
            ]
            for left, m in zip(rows, lengths, strict=True)
        ]
    )


def all_pairs_conflict(rng, n_tasks, width):
    """Gradients of different sizes of which each two conflict; width must be at least n_tasks."""
    basis, _ = np.linalg.qr(rng.normal(size=(width, width)))
    directions = basis[:n_tasks] - basis[:n_tasks].mean(axis=0) * rng.uniform(1.15, 1.5)
    return directions * rng.uniform(0.5, 4.0, size=(n_tasks, 1))


def combine_and_look_back(student, grads, method):
    """The result, and the argument after the call."""
    import numpy as np

    result = student.combine_gradients(grads, method)
    return result, grads, bool(np.shares_memory(result, grads))


def measure_and_look_back(student, grads):
    """The matrix, and the argument after the call."""
    return student.conflict_matrix(grads), grads


def called(grads, method, order=None):
    rows = np.round(np.asarray(grads, dtype=float), 3).tolist()
    return f"combine_gradients({rows}, {method!r}{'' if order is None else f', order={order}'})"


def assert_combined(student, grads, expected, method="pcgrad", order=None, cause=""):
    options = {} if order is None else {"order": order}
    found = student.combine_gradients(grads, method, **options)
    size = float(np.abs(np.asarray(grads, dtype=float)).max())
    what = f"result of {called(grads, method, order)}"
    assert_close(found, expected, rtol=1e-9, atol=1e-11 * size, what=what, cause=cause)


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    grads = [[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]
    half = math.sqrt(0.5)
    cosines = np.array([[1, -half, 0], [-half, 1, -half], [0, -half, 1]])
    assert_close(student.conflict_matrix(grads), cosines, rtol=1e-5, atol=1e-8, what=f"conflict_matrix({grads})")
    for method, order, expected in (
        ("sum", None, [1.0, -1.0]),
        ("pcgrad", None, [0.0, -1.0]),
        ("pcgrad", [[2, 1], [2, 0], [1, 0]], [1.0, 0.0]),
    ):
        options = {} if order is None else {"order": order}
        found = student.combine_gradients(grads, method, **options)
        what = f"result of {called(grads, method, order)}"
        assert_close(found, np.array(expected), rtol=1e-5, atol=1e-8, what=what)


@points(3)
@catches("claims-as-published", "pcgrad-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("mean-for-sum", "float32-throughout", "argument-changed", "single-task-is-a-view")
def test_the_sum_and_what_is_returned(student, rng):
    """Both methods return one new float64 gradient of the parameters' shape, and the plain sum is a plain sum."""
    for shape, dtype in (((3, 5), np.float64), ((4, 2), np.float32), ((3, 4), np.int64), ((1, 3), np.float64)):
        grads = (3 * rng.normal(size=shape) + np.sign(rng.normal(size=shape))).astype(dtype)
        for method in ("sum", "pcgrad"):
            found, after, shared = student.run(combine_and_look_back, grads, method)
            what = f"result of {called(grads, method)}, gradients {shape} {np.dtype(dtype).name}"
            assert_shape(found, shape[1:], what=what)
            assert_dtype(found, np.float64, what=what)
            if shared or not np.array_equal(after, grads):
                raise AssertionError(
                    f"{called(grads, method)} changed its argument, or returned a part of it: gradients {shape}"
                )
            if method == "sum":
                expected = [math.fsum(column) for column in grads.T.astype(float).tolist()]
                cause = "the sum over the tasks, computed in float64"
                assert_close(found, np.array(expected), rtol=1e-12, atol=1e-13, what=what, cause=cause)
    grads = [[1, -2, 3], [-4, 5, -7]]
    assert_combined(student, grads, np.array([-3.0, 3.0, -4.0]), method="sum")
    # an order has no meaning for the sum
    assert_combined(student, grads, np.array([-3.0, 3.0, -4.0]), method="sum", order=[[1], [0]])


@points(1)
@catches(
    "always-the-sum",
    "projects-without-conflict",
    "divided-by-the-own-length",
    "all-normalised-first",
    "divided-by-the-length-once",
    "only-the-first-task-projected",
)
def test_two_tasks_in_conflict(student, rng):
    """Of two conflicting tasks, each loses its component along the other's gradient, and nothing else."""
    cause = "each of the two gradients loses its component along the other original one"
    for width in (2, 3, 6):
        first, second = all_pairs_conflict(rng, 2, width)
        overlap = math.fsum((first * second).tolist())
        for sizes in ((1.0, 1.0), (5.0, 0.25)):
            a, b = sizes[0] * first, sizes[1] * second
            dot = sizes[0] * sizes[1] * overlap
            # the closed form: each loses dot / (squared length of the other) times the other
            expected = a + b - dot / math.fsum((a * a).tolist()) * a - dot / math.fsum((b * b).tolist()) * b
            assert_combined(student, np.stack([a, b]), expected, cause=cause)
            assert_combined(student, np.stack([b, a]), expected, cause="the order of two tasks plays no part")
    first, second = all_pairs_conflict(rng, 2, 4)
    cause = "without a negative dot product nothing is projected: the result is the plain sum"
    assert_combined(student, np.stack([first, -second]), first - second, cause=cause)
    # one step for both: neither task is made worse, up to rounding
    result = student.combine_gradients(np.stack([first, second]), "pcgrad")
    for grad in (first, second):
        if not np.dot(result, grad) >= -1e-12 * np.dot(grad, grad):
            raise AssertionError(
                f"The result {result.tolist()} of pcgrad for two tasks has the dot product {np.dot(result, grad):.3g} "
                f"with the gradient {grad.tolist()}; for two tasks it is never negative."
            )


@points(1)
@catches(
    "only-earlier-tasks",
    "against-projected-gradients",
    "original-copy-decides",
    "all-projections-at-once",
    "order-ignored",
    "stops-after-one-conflict",
)
def test_many_tasks_meet_in_the_given_order(student, rng):
    """Each working copy meets the others' original gradients in its own order, and the copy as it then is decides."""
    cause = "the copy as it is at that moment against the original gradient of the other task, in the order of order[i]"
    # meeting task 1 brings task 0 into conflict with task 2, with which its original gradient agrees
    grads = [[1.0, 0.0, 0.125], [-1.0, 1.0, 0.0], [1.0, -2.0, 0.5]]
    assert_combined(student, grads, expected_pcgrad(grads), cause=cause)
    # all in conflict with one another
    for n_tasks, width in ((3, 3), (3, 5), (4, 4)):
        grads = all_pairs_conflict(rng, n_tasks, width)
        order = [rng.permutation([j for j in range(n_tasks) if j != i]).tolist() for i in range(n_tasks)]
        backwards = [[j for j in reversed(range(n_tasks)) if j != i] for i in range(n_tasks)]
        for chosen in (None, order, backwards):
            assert_combined(student, grads, expected_pcgrad(grads, chosen), order=chosen, cause=cause)
    # as they come: some conflict, some do not
    for n_tasks, width in ((3, 2), (4, 3), (5, 2), (5, 4), (6, 3)):
        grads = rng.normal(size=(n_tasks, width)) * rng.uniform(0.3, 3.0, size=(n_tasks, 1))
        order = tuple(tuple(rng.permutation([j for j in range(n_tasks) if j != i]).tolist()) for i in range(n_tasks))
        assert_combined(student, grads, expected_pcgrad(grads), cause=cause)
        assert_combined(student, grads, expected_pcgrad(grads, order), order=order, cause=cause)


@points(1)
@catches("nan-for-zeros", "epsilon-in-the-denominator")
def test_zeros_one_task_and_the_scale(student, rng):
    """A gradient of zeros changes nothing, one task keeps its gradient, and scaling all gradients scales the result."""
    grads = all_pairs_conflict(rng, 3, 4)
    with_zeros = np.stack([grads[0], np.zeros(4), grads[1], grads[2], np.zeros(4)])
    cause = "a gradient of zeros has no direction to project off, and nothing to lose"
    assert_combined(student, with_zeros, expected_pcgrad(grads), cause=cause)
    assert_combined(student, np.zeros((3, 2)), np.zeros(2), cause=cause)
    alone = rng.normal(size=(1, 5))
    cause = "a single task has nobody to meet"
    assert_combined(student, alone, alone[0], cause=cause)
    assert_combined(student, alone, alone[0], order=[[]], cause=cause)
    cause = "when all gradients are multiplied by one positive number, so is the result"
    for scale in (1e-9, 1e9):
        assert_combined(student, scale * grads, scale * expected_pcgrad(grads), cause=cause)
    # opposite gradients: each is all component, so nothing is left
    assert_combined(student, [[3.0, -1.0], [-6.0, 2.0]], np.zeros(2), cause="opposite gradients leave nothing")


@points(1)
@catches("dot-products-for-cosines", "zeros-are-similar-to-themselves", "matrix-of-nan", "scaled-by-the-longest")
def test_conflict_matrix(student, rng):
    """The conflict matrix holds the cosine of each pair, and 0 for a gradient of zeros."""
    causes = {
        "plain": "the cosine is the dot product divided by both lengths",
        "zeros": "a gradient of zeros has cosine 0 with every gradient, itself included",
    }
    uneven = rng.normal(size=(4, 3)) * np.array([[0.01], [1.0], [30.0], [2.0]])
    with_zeros = rng.normal(size=(4, 5))
    with_zeros[[1, 3]] = 0
    for case, grads in (
        ("plain", uneven),
        ("plain", all_pairs_conflict(rng, 3, 6)),
        ("plain", np.array([[2, 0, -1], [-3, 1, 1]])),
        ("plain", (10 * rng.normal(size=(3, 4))).astype(np.float32)),
        ("plain", 1e-9 * uneven),
        ("zeros", with_zeros),
        ("zeros", np.zeros((2, 3))),
        ("plain", rng.normal(size=(1, 4))),
    ):
        found, after = student.run(measure_and_look_back, grads)
        what = f"conflict_matrix(grads), grads {grads.shape} {grads.dtype}"
        assert_shape(found, (len(grads), len(grads)), what=what)
        assert_dtype(found, np.float64, what=what)
        assert_close(found, expected_cosines(grads), rtol=1e-9, atol=1e-11, what=what, cause=causes[case])
        if not np.array_equal(after, grads):
            raise AssertionError(f"conflict_matrix changed its argument, gradients {grads.shape} {grads.dtype}")


@points(1)
@catches("nan-accepted", "vector-accepted", "unknown-method-is-the-sum", "order-unchecked", "order-may-miss-tasks")
def test_bad_input_is_refused(student):
    """Gradients that are not (T, P) or not finite, an unknown method and an incomplete order raise ValueError."""
    good = [[1.0, 0.0, 2.0], [-1.0, 1.0, 0.0], [0.5, -2.0, 1.0]]
    bad = [
        [1.0, 2.0, 3.0],
        [good],
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        [[1.0, math.nan], [0.0, 1.0]],
        [[1.0, 2.0], [math.inf, 1.0]],
        [[1.0, 2.0], [0.0, -math.inf]],
    ]
    for grads in bad:
        shown = f"an array of shape {grads.shape}" if isinstance(grads, np.ndarray) else grads
        for method in ("sum", "pcgrad"):
            with raises(ValueError, what=f"combine_gradients({shown}, {method!r})"):
                student.combine_gradients(grads, method)
        with raises(ValueError, what=f"conflict_matrix({shown})"):
            student.conflict_matrix(grads)
    for method in ("mean", "", "PCGrad"):
        with raises(ValueError, what=f"combine_gradients(grads, {method!r})"):
            student.combine_gradients(good, method)
    for order in (
        [[1, 2], [0, 2]],
        [[1, 2], [0, 2], [0, 1], [0, 1]],
        [],
        [[1, 2], [0, 2], [0]],
        [[1, 2], [0, 2], []],
        [[1, 2], [0, 2], [0, 0]],
        [[1, 2], [0, 2], [0, 1, 1]],
        [[1, 2], [0, 2], [0, 1, 2]],
        [[1, 2], [0, 1], [0, 1]],
        [[1, 3], [0, 2], [0, 1]],
        [[1, -1], [0, 2], [0, 1]],
    ):
        with raises(ValueError, what=f"combine_gradients(grads, 'pcgrad', order={order}) for three tasks"):
            student.combine_gradients(good, "pcgrad", order=order)
