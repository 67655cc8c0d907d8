"""Hidden checks of foundations/fine_tuning_objective: exact sums, loops, eigendirections of X^T X."""

from math import fsum

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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

CLOSE = {"rtol": 1e-9, "atol": 1e-10}

# Independent paths


def path_by_loops(X, y, theta0, lr, steps):
    """Gradient descent one number at a time."""
    theta = [float(value) for value in theta0]
    path = [theta]
    for _ in range(steps):
        gradient = [0.0] * len(theta)
        for row, target in zip(X.tolist(), y.tolist(), strict=True):
            error = sum(a * b for a, b in zip(row, theta, strict=True)) - target
            gradient = [g + error * a for g, a in zip(gradient, row, strict=True)]
        theta = [value - lr * g for value, g in zip(theta, gradient, strict=True)]
        path.append(theta)
    return np.array(path, dtype=np.float64)


def limit_by_eigendirections(X, y, theta0):
    """In each eigendirection of X^T X the path ends at the optimum, or stays at the start if the eigenvalue is 0."""
    values, vectors = np.linalg.eigh(X.T @ X)
    limit = np.zeros(X.shape[1])
    for value, direction in zip(values, vectors.T, strict=True):
        moves = value > 1e-9 * max(values.max(), 1e-300)
        limit += direction * (direction @ (X.T @ y) / value if moves else direction @ theta0)
    return limit


def with_singular_values(rng, rows, columns, singular_values):
    """A random matrix with these singular values."""
    left, right = np.linalg.qr(rng.normal(size=(rows, rows)))[0], np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    rank = len(singular_values)
    return left[:, :rank] * singular_values @ right[:rank]


# Probes: they run in the student's process and return plain data.


def call_empirical_risk(student, losses, weights, mask):
    """The risk, and the arguments afterwards."""
    return student.empirical_risk(losses, weights, mask), losses, weights, mask


def call_gd_path(student, X, y, theta0, lr, steps):
    return student.gd_path(X, y, theta0, lr, steps), X, y, theta0


def call_gd_limit(student, X, y, theta0):
    return student.gd_limit(X, y, theta0), X, y, theta0


@points(1)
@visible
def test_small_examples_worked_by_hand(student):
    """The small examples of the notebook come out as worked by hand."""
    losses, mask = [1.0, 2.0, 6.0, 7.0, float("nan")], [True, True, True, True, False]
    assert_close(student.empirical_risk(losses, mask=mask), 4.0, **CLOSE, what="risk of the four losses that count")
    weighted = student.empirical_risk(losses, weights=[1, 1, 0, 3, 5], mask=mask)
    assert_close(weighted, 24 / 5, **CLOSE, what="risk with the weights 1, 1, 0, 3")
    merged = student.merge_batch_means([3.0, 7.0], [3, 1])
    assert_close(merged, 4.0, **CLOSE, what="mean of batches of 3 and 1 items")

    X, y, start = [[1, 0, 1], [0, 2, 0]], [4, 6], [3, 1, -1]
    path = student.gd_path(X, y, start, lr=0.25, steps=2)
    assert_shape(path, (3, 3), what="path of 2 steps")
    assert_dtype(path, np.float64, what="path")
    expected = [[3, 1, -1], [3.5, 3, -0.5], [3.75, 3, -0.25]]
    assert_close(path, expected, **CLOSE, what="path of 2 steps")
    assert_close(student.gd_limit(X, y, start), [4.0, 3.0, 0.0], **CLOSE, what="limit")


@points(1)
@catches("sum-of-losses", "weights-divided-by-n", "single-precision")
def test_the_risk_is_a_weighted_mean(student, rng):
    """The risk is the mean of the losses, each with its share of the weights, in float64."""
    losses = rng.normal(size=7) + 2
    risk = student.empirical_risk(losses)
    assert_close(risk, fsum(losses) / 7, **CLOSE, what="risk of 7 losses")
    weights = rng.uniform(0.5, 3.0, size=7)
    weights[2] = 0
    expected = fsum(weights * losses) / fsum(weights)
    cause = "what the sum is divided by; the weights need not sum to 1 or to the number of items"
    for scale in (1.0, 37.5, 1e-9):
        risk = student.empirical_risk(losses, scale * weights)
        assert_close(risk, expected, **CLOSE, what=f"risk of 7 losses, the weights times {scale}", cause=cause)
    counts = rng.integers(1, 9, size=7)
    risk = student.empirical_risk(losses.tolist(), counts.tolist())
    expected = fsum(np.repeat(losses, counts)) / counts.sum()
    assert_close(risk, expected, **CLOSE, what="risk with whole numbers as weights", cause=cause)
    for dtype in (np.float32, np.float16):
        narrow = rng.uniform(100, 1000, size=300).astype(dtype)
        risk = student.empirical_risk(narrow)
        expected = fsum(narrow.astype(np.float64)) / 300
        what, cause = f"risk of 300 losses in {narrow.dtype}", "the precision in which the sum is computed"
        assert_close(risk, expected, **CLOSE, what=what, cause=cause)


@points(1)
@catches("masked-in-the-denominator", "mask-multiplied", "masked-losses-overwritten")
def test_masked_items_have_no_influence(student, rng):
    """What stands at the places that do not count has no influence on the risk, and stays as it is."""
    mask = np.array([True, False, True, True, False, False, True])
    for junk, bad_weight, weighted in (
        (3.5, 2.0, False),
        (1e9, 3.0, True),
        (np.nan, 1.0, False),
        (np.inf, np.nan, True),
        (np.nan, -4.0, True),
    ):
        losses, weights = rng.normal(size=7) + 1, rng.uniform(0.5, 3.0, size=7)
        shares = weights[mask] if weighted else np.ones(4)
        expected = fsum(shares * losses[mask]) / fsum(shares)
        losses[~mask], weights[~mask] = junk, bad_weight
        given_weights = weights if weighted else None
        risk, losses_after, weights_after, mask_after = student.run(
            call_empirical_risk, losses.copy(), given_weights, mask.copy()
        )
        what = f"risk with losses of {junk} that do not count" + f" and weights of {bad_weight} there" * weighted
        cause = "an item that does not count belongs to neither of the two sums"
        assert_close(risk, expected, **CLOSE, what=what, cause=cause)
        assert_unchanged(losses_after, losses, what="array of losses")
        assert_unchanged(mask_after, mask, what="mask")
        if weighted:
            assert_unchanged(weights_after, weights, what="array of weights")


@points(1)
@catches("mean-of-means", "sum-of-batches")
@given(data_seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_batches_merge_to_the_mean_over_all_items(student, data_seed, sizes):
    """However items are cut into batches, the merged mean is the mean over all of them."""
    losses = np.random.default_rng(data_seed).normal(size=sum(sizes)) + 1
    means = [float(np.mean(batch)) for batch in np.split(losses, np.cumsum(sizes)[:-1])]
    merged = student.merge_batch_means(means, sizes)
    what, cause = f"mean of batches of {sizes} items", "how much a small batch weighs next to a large one"
    assert_close(merged, fsum(losses) / len(losses), **CLOSE, what=what, cause=cause)
    merged = student.merge_batch_means(np.array(means), np.array(sizes))
    assert_close(merged, fsum(losses) / len(losses), **CLOSE, what=f"{what} (arrays)", cause=cause)


@points(2)
@catches("gradient-divided-by-n", "uphill", "rows-of-one-array", "start-left-out", "start-truncated")
def test_the_path_takes_gradient_steps(student, rng):
    """The path begins with the start, and each row is one step of gradient descent further."""
    for rows, columns, steps, whole in ((3, 5, 4, False), (6, 2, 3, False), (4, 3, 2, True), (2, 4, 0, False)):
        X, y, theta0 = rng.normal(size=(rows, columns)), rng.normal(size=rows), rng.normal(size=columns)
        if whole:
            X, y, theta0 = (rng.integers(-4, 5, size=values.shape) for values in (X, y, theta0))
            X[0] = 1 + np.arange(columns)
        lr = float(rng.uniform(0.3, 0.6) / np.linalg.eigvalsh(X.T @ X).max())
        path, *after = student.run(call_gd_path, X.copy(), y.copy(), theta0.copy(), lr, steps)
        what = f"path of {steps} steps with {rows} samples and {columns} features"
        assert_shape(path, (steps + 1, columns), what=what)
        assert_dtype(path, np.float64, what=what)
        cause = "the objective is half the sum of squared errors, and each row must keep the parameters of its own step"
        assert_close(path, path_by_loops(X, y, theta0, lr, steps), **CLOSE, what=what, cause=cause)
        for found, before, name in zip(after, (X, y, theta0), ("X", "y", "theta0"), strict=True):
            assert_unchanged(found, before, what=name)


@points(1)
@catches("rate-not-checked", "largest-singular-value-not-squared", "only-half-the-rates")
def test_the_rate_decides_whether_it_arrives_not_where(student, rng):
    """All rates below the limit lead to one point, and from the limit on they are refused."""
    cause = "the limit is 2 over the largest eigenvalue of X^T X"
    for rows, columns, scale in ((2, 4, 3.0), (5, 3, 0.2), (3, 3, 1.0)):
        singular_values = scale * np.linspace(1.0, 0.6, min(rows, columns))
        X = with_singular_values(rng, rows, columns, singular_values)
        y, theta0 = rng.normal(size=rows), rng.normal(size=columns) + 1
        bound = 2 / scale**2
        limit = limit_by_eigendirections(X, y, theta0)
        for share in (0.98, 0.5, 0.1):
            path = student.gd_path(X, y, theta0, share * bound, 450)
            assert_shape(path, (451, columns), what=f"path at {share} of the largest rate allowed")
            what = f"last row of a path of 450 steps at {share} of the largest rate allowed"
            assert_close(path[-1], limit, rtol=1e-6, atol=1e-7, what=what)
        for lr in (1.01 * bound, 5 * bound):
            with raises(ValueError, what=f"gd_path with a rate of {lr:.4g}, where the limit is {bound:.4g},"):
                student.gd_path(X, y, theta0, lr, 0)
        for lr in (0.0, -0.3 * bound, float("nan"), float("inf")):
            with raises(ValueError, what=f"gd_path with the rate {lr:.4g}"):
                student.gd_path(X, y, theta0, lr, 2)
    start = rng.normal(size=3)
    path = student.gd_path(np.zeros((2, 3)), rng.normal(size=2), start, 1e6, 2)
    assert_close(path, [start] * 3, **CLOSE, what="path when X is all zero, with the rate 1e6", cause=cause)
    with raises(ValueError, what="gd_path with an infinite rate, X all zero,"):
        student.gd_path(np.zeros((2, 3)), np.ones(2), start, float("inf"), 1)


@points(2)
@catches("minimum-norm", "start-returned", "ridge", "fixed-number-of-steps")
def test_the_limit_is_the_minimiser_nearest_to_the_start(student, rng):
    """Of all minimisers the limit is the nearest to the start, whether or not rows or columns depend on each other."""
    wide = with_singular_values(rng, 3, 5, np.array([2.0, 1.2, 0.1]))
    tall = with_singular_values(rng, 6, 3, np.array([5.0, 1.0, 0.05]))
    twice = np.repeat(with_singular_values(rng, 2, 4, np.array([2.0, 1.0])), 2, axis=0)  # each sample twice
    unseen = np.zeros((3, 5))  # two features that no sample has
    unseen[:, [0, 2, 3]] = with_singular_values(rng, 3, 3, np.array([3.0, 1.0, 0.2]))
    same = np.repeat(tall[:, :1], 2, axis=1)  # one feature twice
    cause = "where several parameter vectors fit equally well, the start decides which one is reached"
    for X, name in (
        (wide, "more features than samples"),
        (tall, "full column rank"),
        (np.linalg.qr(rng.normal(size=(4, 4)))[0] * [1, 2, 3, 100], "as many features as samples"),
        (twice, "each sample twice"),
        (unseen, "two features all zero"),
        (same, "one feature twice"),
        (np.zeros((2, 3)), "X all zero"),
    ):
        y, theta0 = rng.normal(size=len(X)), rng.normal(size=X.shape[1]) + 1
        limit, *after = student.run(call_gd_limit, X.copy(), y.copy(), theta0.copy())
        expected = limit_by_eigendirections(X, y, theta0)
        assert_shape(limit, theta0.shape, what=f"limit ({name})")
        assert_dtype(limit, np.float64, what=f"limit ({name})")
        assert_close(limit, expected, rtol=1e-8, atol=1e-9, what=f"limit ({name})", cause=cause)
        for found, before, argument in zip(after, (X, y, theta0), ("X", "y", "theta0"), strict=True):
            assert_unchanged(found, before, what=argument)

    # A shift that X does not see moves the limit by as much; a shift along the rows does not move it at all.
    y, theta0 = rng.normal(size=3), rng.normal(size=5)
    combination = rng.normal(size=3) @ wide
    any_shift = rng.normal(size=5)
    unseen_shift = any_shift - np.linalg.lstsq(wide.T, any_shift, rcond=None)[0] @ wide
    limit = student.gd_limit(wide, y, theta0)
    moved = student.gd_limit(wide, y, theta0 + unseen_shift + combination)
    what = "movement of the limit when the start moves"
    assert_close(moved - limit, unseen_shift, rtol=1e-8, atol=1e-9, what=what, cause=cause)
    whole = student.gd_limit([[1, 2], [2, 4]], [5, 10], [4, 3])
    assert_close(whole, [3.0, 1.0], **CLOSE, what="limit of whole numbers in lists", cause=cause)


@points(1)
@catches("integer-mask", "nothing-counts", "column-of-targets")
def test_impossible_arguments_are_refused(student, rng):
    """Losses, weights, masks, sizes and regressions that make no sense raise an error."""
    nan, inf = float("nan"), float("inf")
    losses = rng.normal(size=4)
    for weights, mask, what in (
        ([1, 1, 1], None, "three weights for four losses"),
        ([[1, 1, 1, 1]], None, "weights with two axes"),
        (None, [True, False, True], "a mask of three for four losses"),
        (None, [False] * 4, "a mask without a True"),
        ([0, 0, 0, 0], None, "weights that are all 0"),
        ([0, 1, 2, 0], [True, False, False, True], "weights that sum to 0 where the items count"),
        ([3, -1, 2, 2], None, "a negative weight"),
        ([3, nan, 2, 2], None, "a weight that is NaN"),
        ([3, 2, inf, 2], None, "an infinite weight"),
    ):
        with raises(ValueError, what=f"empirical_risk with {what}"):
            student.empirical_risk(losses, weights, mask)
    for bad in (nan, inf, -inf):
        for weights in (None, [1, 0, 1, 1]):
            with raises(ValueError, what=f"empirical_risk with a loss of {bad} that counts, weights={weights},"):
                student.empirical_risk([1.0, bad, 2.0, 0.5], weights, [True, True, False, True])
    for bad, what in (([], "no losses"), ([[1.0, 2.0]], "losses with two axes"), (1.5, "a number for the losses")):
        with raises(ValueError, what=f"empirical_risk with {what}"):
            student.empirical_risk(bad)
    for mask in ([1, 0, 1, 1], np.array([0.0, 1.0, 1.0, 0.0])):
        with raises(TypeError, what=f"empirical_risk with the mask {list(mask)}"):
            student.empirical_risk(losses, None, mask)

    for means, sizes in (
        ([], []),
        ([1.0, 2.0], [3]),
        ([[1.0, 2.0]], [[3, 1]]),
        ([1.0, 2.0], [3, 0]),
        ([1.0, 2.0], [3, -1]),
        ([1.0, nan], [3, 1]),
        ([inf, 2.0], [3, 1]),
    ):
        with raises(ValueError, what=f"merge_batch_means({means}, {sizes})"):
            student.merge_batch_means(means, sizes)

    X, y, theta0 = rng.normal(size=(3, 2)) / 9, rng.normal(size=3), rng.normal(size=2)
    spoiled = X.copy()
    spoiled[1, 1] = nan
    for arguments, what in (
        ((X, y[:, None], theta0), "y (3, 1) for X (3, 2)"),
        ((X, y[:2], theta0), "y (2,) for X (3, 2)"),
        ((X, y, y), "theta0 (3,) for X (3, 2)"),
        ((X, y, theta0[:, None]), "theta0 (2, 1) for X (3, 2)"),
        ((X[0], y, theta0), "X (2,)"),
        ((X[:0], y[:0], theta0), "X (0, 2)"),
        ((spoiled, y, theta0), "a NaN in X"),
        ((X, y, [1.0, inf]), "an infinite number in theta0"),
    ):
        with raises(ValueError, what=f"gd_limit with {what}"):
            student.gd_limit(*arguments)
        with raises(ValueError, what=f"gd_path with {what}"):
            student.gd_path(*arguments, 0.1, 1)
    with raises(ValueError, what="gd_path with steps=-1"):
        student.gd_path(X, y, theta0, 0.1, -1)
    assert_equal(np.shape(student.gd_path(X, y, theta0, 0.1, 1)), (2, 2), what="shape of a path of 1 step")
