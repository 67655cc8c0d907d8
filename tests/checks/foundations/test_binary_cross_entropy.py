"""Checks of foundations/binary_cross_entropy.

Expected losses come from the formula as printed, in decimal arithmetic with enough digits for it to work.
"""

import math
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import example, given
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


def loss_by_hand(logit, target, pos_weight=1.0):
    """-w z log p - (1 - z) log(1 - p) with p = 1 / (1 + exp(-s)), in decimals; beyond 60 the losses are linear."""
    if abs(logit) > 60:
        wrong, factor = (1 - target, 1) if logit > 0 else (target, pos_weight)
        return abs(logit) * wrong * factor
    with localcontext(prec=60):
        s, z = Decimal(float(logit)), Decimal(float(target))
        p = 1 / (1 + (-s).exp())
        return float(-Decimal(float(pos_weight)) * z * p.ln() - (1 - z) * (1 - p).ln())


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def gradient_by_hand(X, z, theta):
    """Mean over the pairs of (p - z) x, one product at a time."""
    gradient = [0.0] * len(theta)
    for row, target in zip(X, z, strict=True):
        residual = sigmoid(math.fsum(x * t for x, t in zip(row, theta, strict=True))) - target
        gradient = [old + residual * x / len(X) for old, x in zip(gradient, row, strict=True)]
    return np.array(gradient)


# ---------------------------------------------------------------- what runs in the student's process


def differentiate_cubic(student, slopes, mixed, theta, h):
    """Differences of sum(slopes * theta^3) + mixed * theta_0 * theta_1; theta and the arguments f was called with."""
    import numpy as np

    arguments = []

    def f(at):
        arguments.append(at)
        value = mixed * at[0] * at[1]
        for slope, entry in zip(slopes, at, strict=True):
            value = value + slope * entry**3
        return float(value)

    gradient = student.finite_difference(f, theta, h)
    good = all(isinstance(at, np.ndarray) and at.dtype == np.float64 and at.shape == theta.shape for at in arguments)
    return gradient, theta, good


def differentiate_risk(student, X, z, theta):
    return student.finite_difference(lambda at: student.bce_risk(X @ at, z), theta)


def shape_of_difference(student, theta, h):
    import numpy as np

    return np.shape(student.finite_difference(lambda at: float(np.sum(at)), theta, h))


def arguments_after_the_calls(student, logits, probs, targets, weights, X, z, theta):
    student.bce_with_logits(logits, targets)
    student.bce_from_probs(probs, targets)
    student.bce_risk(logits, targets, 2.0, weights)
    student.prior_correction(logits, 0.5, 0.2)
    student.bce_logistic_grad(X, z, theta)
    student.chain_form_grad(X, z, theta)
    return logits, probs, targets, weights, X, z, theta


def run_visible_example(student):
    import numpy as np

    s = np.log(3)
    X, z, theta = [[1, 2], [3, 0], [-1, 1]], [1, 0, 1], [s, 0]
    return {
        "bce_with_logits": student.bce_with_logits([s, s, -s], [1, 0, 0.5]),
        "bce_with_logits at 500": student.bce_with_logits([500, -500], [0, 1]),
        "bce_from_probs": student.bce_from_probs([0.75, 1.0], [1, 0], eps=0.125),
        "bce_risk": student.bce_risk([s, s], [1, 0], pos_weight=2, sample_weight=[1, 3]),
        "two_logit_to_margin": student.two_logit_to_margin([[1, 4], [2, 0]]),
        "prior_correction": student.prior_correction([s, -s], 0.5, 0.25),
        "bce_logistic_grad": student.bce_logistic_grad(X, z, theta),
        "chain_form_grad": student.chain_form_grad(X, z, theta),
        "finite_difference": student.finite_difference(lambda at: student.bce_risk(np.array(X) @ at, z), theta),
    }


@points(1)
@visible
def test_small_examples_worked_by_hand(student):
    """The small examples of the notebook come out as worked by hand."""
    s = math.log(3)
    gradient = [(-1 / 4 + 3 * 27 / 28 + 3 / 4) / 3, (-1 / 2 - 3 / 4) / 3]
    expected = {
        "bce_with_logits": [math.log(4 / 3), math.log(4), math.log(16 / 3) / 2],
        "bce_with_logits at 500": [500, 500],
        "bce_from_probs": [math.log(4 / 3), math.log(8)],
        "bce_risk": (2 * math.log(4 / 3) + 3 * math.log(4)) / 4,
        "two_logit_to_margin": [3, -2],
        "prior_correction": [0, -2 * s],
        "bce_logistic_grad": gradient,
        "chain_form_grad": gradient,
        "finite_difference": gradient,
    }
    results = student.run(run_visible_example)
    for name, value in expected.items():
        assert_close(results[name], value, rtol=1e-5, atol=1e-7, what=f"result of {name}")


@points(1)
@catches(
    "formula-as-printed", "mismatches-cost-nothing", "hard-labels-only", "logarithm-to-base-two", "mean-of-the-losses"
)
@given(
    logits=st.lists(st.floats(-1e4, 1e4) | st.floats(-8, 8), min_size=1, max_size=5),
    target=st.sampled_from([0.0, 1.0, 0.3125, 0.75]),
)
@example(logits=[-200.0, -3.0, 0.0, 3.0, 200.0, 1e4, -1e4, 37.0], target=0.0)
@example(logits=[-200.0, -3.0, 0.0, 3.0, 200.0, 1e4, -1e4, 37.0], target=1.0)
@example(logits=[1.5, -2.5, 0.25], target=0.75)
def test_each_pair_costs_the_negative_log_probability(student, logits, target):
    """The loss of each pair is the negative log-probability of its target, for soft targets and large logits too."""
    targets = [target, *[1 - target, target] * 4][: len(logits)]
    call = f"bce_with_logits({logits}, {targets})"
    losses = student.bce_with_logits(logits, targets)
    assert_shape(losses, (len(logits),), what=f"result of {call}")
    assert_dtype(losses, np.float64, what=f"result of {call}")
    expected = [loss_by_hand(s, z) for s, z in zip(logits, targets, strict=True)]
    cause = "at a large logit p rounds to 0 or 1, and the logarithm of 0 has to be avoided, not repaired"
    assert_close(losses, np.array(expected), **CLOSE, what=f"result of {call}", cause=cause)
    mirrored = student.bce_with_logits(-np.array(logits)[:, None], 1 - np.array(targets)[:, None])
    assert_shape(mirrored, (len(logits), 1), what="result for a column of pairs")
    assert_close(mirrored[:, 0], losses, **CLOSE, what="loss with the sign of the logit and the label turned")


@points(1)
@catches("epsilon-added", "clipped-at-one-end")
def test_probabilities_are_clipped_at_both_ends(student, rng):
    """Probabilities below eps count as eps, those above 1 - eps as 1 - eps, and the others are left alone."""
    targets = np.array([0, 1, 0.25, 1, 0, 0.625, 1, 0])
    cause = "the probability is limited on both sides before any logarithm; nothing is added to the others"
    for eps in (0.125, 0.03125, 2.0**-20):
        probs = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, *rng.uniform(0.2, 0.8, 2)])
        limited = [min(max(p, eps), 1 - eps) for p in probs.tolist()]
        pairs = zip(limited, targets.tolist(), strict=True)
        expected = np.array([-z * math.log(p) - (1 - z) * math.log(1 - p) for p, z in pairs])
        for name, shape in (("(8,)", (8,)), ("(2, 4)", (2, 4))):
            losses = student.bce_from_probs(probs.reshape(shape), targets.reshape(shape), eps=eps)
            what = f"result of bce_from_probs with arrays {name}, eps {eps}"
            assert_shape(losses, shape, what=what)
            assert_dtype(losses, np.float64, what=what)
            assert_close(losses, expected.reshape(shape), **CLOSE, what=what, cause=cause)
    losses = student.bce_from_probs([0.0, 1.0, 0.0, 1.0], [1, 0, 0, 1])
    edge = -math.log(1e-12)
    assert_close(losses, np.array([edge, edge, 0, 0]), rtol=1e-4, atol=1e-9, what="result of bce_from_probs at 0 and 1")


@points(2)
@catches(
    "pos-weight-on-both-terms", "pos-weights-in-the-denominator", "risk-of-clipped-probabilities", "divided-by-pairs"
)
def test_the_risk_is_a_weighted_mean(student, rng):
    """The risk divides by the sum of the sample weights, and pos_weight multiplies the losses of the matches only."""
    logits = np.concatenate([rng.normal(size=5) * 2, [60.0, -45.0, 3000.0]])
    targets = np.array([1, 0, 1, 0.25, 0.5, 0, 1, 0.125])
    weights = rng.uniform(0.2, 3, size=8)
    weights[1] = 0
    causes = {
        "plain": "confident mistakes cost as much as their logit; probabilities would have to be clipped, logits not",
        "pos": "pos_weight stands before -z log p and nowhere else: not at the other term, not in the denominator",
        "sample": "the sum of weight times loss is divided by the sum of the weights",
    }
    cases = [
        ("", causes["plain"], 1.0, None),
        (", pos_weight=2.5", causes["pos"], 2.5, None),
        (", sample_weight given", causes["sample"], 1.0, weights),
        (", pos_weight=0.4, sample_weight given", causes["pos"], 0.4, weights),
        (", sample_weight ten times as large", causes["sample"], 1.0, 10 * weights),
    ]
    for name, cause, pos_weight, sample_weight in cases:
        risk = student.bce_risk(logits, targets, pos_weight=pos_weight, sample_weight=sample_weight)
        losses = [loss_by_hand(s, z, pos_weight) for s, z in zip(logits, targets, strict=True)]
        factors = [1.0] * 8 if sample_weight is None else sample_weight.tolist()
        expected = math.fsum(w * loss for w, loss in zip(factors, losses, strict=True)) / math.fsum(factors)
        assert_close(risk, expected, **CLOSE, what=f"result of bce_risk(logits, targets{name})", cause=cause)
    single = student.bce_risk([0.5], [1], 3.0)
    assert_close(single, loss_by_hand(0.5, 1, 3.0), **CLOSE, what="result of bce_risk([0.5], [1], 3.0)")


@points(1)
@catches("margin-reversed", "correction-reversed", "ratio-of-rates")
def test_two_scores_and_another_prior_become_one_logit(student, rng):
    """Two scores become one logit with the same probability, and the correction replaces one prior by another."""
    scores = rng.normal(size=(6, 2)) * 2
    margin = student.two_logit_to_margin(scores)
    assert_shape(margin, (6,), what="margin")
    assert_dtype(margin, np.float64, what="margin")
    match = [math.exp(b) / (math.exp(a) + math.exp(b)) for a, b in scores.tolist()]
    expected = np.array([math.log(p / (1 - p)) for p in match])
    cause = "a larger score of the match means a larger logit; the columns are (mismatch, match)"
    assert_close(margin, expected, **CLOSE, what="margin", cause=cause)
    assert_close(student.two_logit_to_margin([[2, 7]]), np.array([5.0]), **CLOSE, what="margin of [[2, 7]]")

    # counting: of the pairs with equal evidence, the odds of a match are multiplied by (true odds / sampled odds)
    logits = rng.normal(size=(2, 3))
    for sampled, true in ((0.5, 0.1), (0.25, 0.6), (0.3, 0.3)):
        odds = np.exp(logits) * (true * (1 - sampled)) / ((1 - true) * sampled)
        corrected = student.prior_correction(logits, sampled, true)
        what = f"result of prior_correction(logits, {sampled}, {true})"
        assert_shape(corrected, (2, 3), what=what)
        assert_dtype(corrected, np.float64, what=what)
        cause = "fewer matches than in training must lower the logits; log odds are log(rate / (1 - rate))"
        assert_close(corrected, np.log(odds), **CLOSE, what=what, cause=cause)


@points(1)
@catches("gradient-not-averaged", "gradient-with-the-wrong-sign", "extra-factor", "labels-of-plus-and-minus-one")
def test_the_gradient_is_the_mean_residual_times_the_features(student, rng):
    """Both forms of the gradient are the mean of (p - z) times the features."""
    for n_pairs, width in ((7, 3), (1, 4), (5, 1)):
        X, theta = rng.normal(size=(n_pairs, width)), rng.normal(size=width)
        z = np.array([1, 0, 0.25, 1, 0.75, 0, 1])[:n_pairs]
        expected = gradient_by_hand(X.tolist(), z.tolist(), theta.tolist())
        for name in ("bce_logistic_grad", "chain_form_grad"):
            gradient = getattr(student, name)(X, z, theta)
            what = f"result of {name} for X ({n_pairs}, {width})"
            assert_shape(gradient, (width,), what=what)
            assert_dtype(gradient, np.float64, what=what)
            cause = "the mean over the pairs; what multiplies the features is positive where p is too large"
            assert_close(gradient, expected, **CLOSE, what=what, cause=cause)
    integers = np.array([[1, -2], [0, 3], [2, 2]])
    expected = gradient_by_hand(integers.tolist(), [1, 0, 1], [1, 0])
    gradient = student.bce_logistic_grad(integers, [1, 0, 1], [1, 0])
    assert_close(gradient, expected, **CLOSE, what="result of bce_logistic_grad for integers")


@points(1)
@catches("gradient-through-the-probability", "exponential-ratio")
def test_the_gradient_is_finite_at_saturation(student, rng):
    """Logits of 200 and of 10000, right and wrong, give finite and correct gradients."""
    X = np.array([[200.0, 1.0], [-200.0, 2.0], [1e4, -1.0], [-1e4, 0.5], [0.25, -3.0], [40.0, 1.0]])
    theta = np.array([1.0, rng.uniform(-0.5, 0.5)])
    for name, z in (
        ("all wrong", [0, 1, 0, 1, 0, 0]),
        ("all right", [1, 0, 1, 0, 1, 1]),
        ("mixed", [0, 0, 0.5, 1, 1, 1]),
    ):
        expected = gradient_by_hand(X.tolist(), z, theta.tolist())
        gradient = student.bce_logistic_grad(X, z, theta)
        what = f"result of bce_logistic_grad at logits up to 10000 ({name})"
        cause = "where p rounds to 0 or 1 a derivative through p is infinity times 0, and exp(10000) is infinite"
        assert_close(gradient, expected, **CLOSE, what=what, cause=cause)
        assert_shape(student.chain_form_grad(X, z, theta), (2,), what="result of chain_form_grad at saturation")


@points(1)
@catches("forward-differences", "integer-step-lost", "theta-moved-along")
def test_differences_are_central(student, rng):
    """Differences are taken to both sides, one entry at a time, from a float copy of theta."""
    slopes, mixed = rng.uniform(0.5, 2, size=3), 1.5
    for theta in (rng.normal(size=3), np.array([2, -1, 3])):
        for h in (0.01, 0.25):
            # of a cubic: (a (t + h)^3 - a (t - h)^3) / 2h = a (3 t^2 + h^2); products of two entries are exact
            expected = slopes * (3 * theta**2 + h**2)
            expected[0] += mixed * theta[1]
            expected[1] += mixed * theta[0]
            before = theta.copy()
            gradient, after, good = student.run(differentiate_cubic, slopes, mixed, theta.copy(), h)
            what = f"result of finite_difference (theta of {theta.dtype}, h={h})"
            assert_shape(gradient, (3,), what=what)
            assert_dtype(gradient, np.float64, what=what)
            cause = "a step to one side only has an error of the order of h; on both sides it is of the order of h^2"
            assert_close(gradient, expected, rtol=1e-9, atol=1e-9, what=what, cause=cause)
            assert_unchanged(after, before, what="argument theta")
            assert_equal(good, True, what="statement 'f got float64 arrays in the shape of theta'")
    X, theta, z = rng.normal(size=(5, 3)), rng.normal(size=3), np.array([1, 0, 0, 1, 0.5])
    numerical = student.run(differentiate_risk, X, z, theta)
    expected = gradient_by_hand(X.tolist(), z.tolist(), theta.tolist())
    assert_close(numerical, expected, rtol=1e-6, atol=1e-8, what="result of finite_difference of the risk (default h)")


@points(1)
@catches("pairs-broadcast", "any-pos-weight", "nothing-to-average")
def test_bad_input_is_refused(student, rng):
    """Shapes, targets, probabilities, weights, rates and steps that make no sense raise ValueError."""
    nan, inf = math.nan, math.inf
    logits, probs, targets = rng.normal(size=3), np.array([0.2, 0.9, 0.5]), np.array([0.0, 1.0, 0.5])
    for name, values in (("bce_with_logits", logits), ("bce_from_probs", probs)):
        function = getattr(student, name)
        for what, first, second in (
            ("3 values and 2 targets", values, targets[:2]),
            ("3 values and 1 target", values, targets[:1]),
            ("a column and a row", values[:, None], targets),
            ("a target of 1.5", values, [0, 1.5, 1]),
            ("a target of -1", values, [0, -1, 1]),
            ("a target that is NaN", values, [0, nan, 1]),
            ("a value that is NaN", [0.5, nan, 0.5], targets),
            ("an infinite value", [0.5, inf, 0.5], targets),
        ):
            with raises(ValueError, what=f"{name} with {what}"):
                function(first, second)
    for value in (-0.25, 1.25):
        with raises(ValueError, what=f"bce_from_probs with a probability of {value}"):
            student.bce_from_probs([0.5, value, 0.5], targets)
    for eps in (0.0, 0.5, 0.7, -0.1, nan):
        with raises(ValueError, what=f"bce_from_probs with eps={eps}"):
            student.bce_from_probs(probs, targets, eps=eps)

    for what, arguments, keywords in (
        ("no pairs", ([], []), {}),
        ("3 logits and 1 target", (logits, targets[:1]), {}),
        ("pairs of shape (3, 1)", (logits[:, None], targets[:, None]), {}),
        ("a logit that is NaN", ([0.5, nan, 1], targets), {}),
        ("a target of 2", (logits, [0, 2, 1]), {}),
        ("2 sample weights", (logits, targets), {"sample_weight": [1, 2]}),
        ("1 sample weight", (logits, targets), {"sample_weight": [1]}),
        ("a negative sample weight", (logits, targets), {"sample_weight": [1, -0.25, 2]}),
        ("a sample weight that is NaN", (logits, targets), {"sample_weight": [1, nan, 2]}),
        ("an infinite sample weight", (logits, targets), {"sample_weight": [1, inf, 2]}),
        ("sample weights of 0", (logits, targets), {"sample_weight": [0, 0, 0]}),
        *((f"pos_weight={value}", (logits, targets), {"pos_weight": value}) for value in (0.0, -1.0, nan, inf)),
    ):
        with raises(ValueError, what=f"bce_risk with {what}"):
            student.bce_risk(*arguments, **keywords)

    for shape in ((4,), (4, 3), (4, 1), (2, 2, 2)):
        with raises(ValueError, what=f"two_logit_to_margin with an array {shape}"):
            student.two_logit_to_margin(np.ones(shape))
    for sampled, true in (
        (0.0, 0.5),
        (1.0, 0.5),
        (0.5, 0.0),
        (0.5, 1.0),
        (-0.5, 0.5),
        (0.5, 1.5),
        (nan, 0.5),
        (0.5, nan),
    ):
        with raises(ValueError, what=f"prior_correction with the rates {sampled} and {true}"):
            student.prior_correction(logits, sampled, true)

    X, theta = rng.normal(size=(3, 2)), rng.normal(size=2)
    for name in ("bce_logistic_grad", "chain_form_grad"):
        function = getattr(student, name)
        for what, *arguments in (
            ("no pairs", np.zeros((0, 2)), [], theta),
            ("a row as X", X[0], targets[:1], theta),
            ("2 targets for 3 pairs", X, targets[:2], theta),
            ("targets (3, 1)", X, targets[:, None], theta),
            ("theta of 3 features", X, targets, np.ones(3)),
            ("theta (2, 1)", X, targets, theta[:, None]),
            ("a target of -1", X, [0, -1, 1], theta),
            ("a target of 1.5", X, [0, 1.5, 1], theta),
        ):
            with raises(ValueError, what=f"{name} with {what}"):
                function(*arguments)
    for what, at, h in (
        ("theta (2, 1)", theta[:, None], 1e-3),
        *((f"h={h}", theta, h) for h in (0.0, -1e-3, nan, inf)),
    ):
        with raises(ValueError, what=f"finite_difference with {what}"):
            student.run(shape_of_difference, at, h)

    before = [logits, probs, targets, np.array([1.0, 0.5, 2.0]), X, targets[::-1].copy(), theta]
    after = student.run(arguments_after_the_calls, *[value.copy() for value in before])
    names = ("logits", "probs", "targets", "sample_weight", "X", "z", "theta")
    for name, left, right in zip(names, after, before, strict=True):
        assert_unchanged(left, right, what=f"argument {name}")
