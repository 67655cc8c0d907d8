"""Checks of losses/focal_and_logit_adjustment. Expected values are worked out sample by sample in plain Python."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
SIX_DIGITS = {"rtol": 1e-5, "atol": 1e-6}  # leaves room for any small lower bound of 1 - p, in every dtype


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = math.log(math.fsum(math.exp(value - top) for value in row))
    return [value - top - total for value in row]


def focal_by_hand(logits: Tensor, targets: Tensor, gamma: float, alpha: Tensor | None = None) -> float:
    """The mean of -alpha (1 - p)^gamma log p; 1 - p is the sum of the other classes' probabilities."""
    losses = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        log_p = log_softmax(row)
        others = math.fsum(math.exp(value) for c, value in enumerate(log_p) if c != target)
        factor = 1.0 if alpha is None else alpha[target].item()
        losses.append(-factor * others**gamma * log_p[target])
    return math.fsum(losses) / len(losses)


def focal_gradient(logits: Tensor, targets: Tensor, gamma: float, alpha: Tensor) -> Tensor:
    """Closed form: alpha (gamma (1 - p)^(gamma - 1) p log p - (1 - p)^gamma) (1[c = target] - p_c) / batch."""
    rows = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        log_p = log_softmax(row)
        p = [math.exp(value) for value in log_p]
        others = math.fsum(value for c, value in enumerate(p) if c != target)
        slope = gamma * others ** (gamma - 1) * p[target] * log_p[target] - others**gamma
        rows.append([alpha[target].item() * slope * ((c == target) - p[c]) / len(logits) for c in range(len(row))])
    return torch.tensor(rows, dtype=torch.float64)


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def random_priors(rng: np.random.Generator, n_classes: int) -> Tensor:
    priors = torch.from_numpy(rng.uniform(0.1, 3, n_classes))
    return priors / priors.sum()


# ---------------------------------------------------------------- what runs in the student's process


def differentiate_focal_loss(student, logits, targets, gamma, alpha):
    logits = logits.clone().requires_grad_()
    loss = student.focal_loss(logits, targets, gamma, alpha)
    loss.backward()
    return loss.detach(), logits.grad


def differentiate_adjust_logits(student, logits, priors, direction, mode):
    logits = logits.clone().requires_grad_()
    (student.adjust_logits(logits, priors, 1.4, mode=mode) * direction).sum().backward()
    return logits.grad


def inputs_after_the_calls(student, logits, targets, alpha, priors):
    student.focal_loss(logits, targets, 1.5, alpha)
    student.adjust_logits(logits, priors, mode="train")
    student.adjust_logits(logits, priors, mode="posthoc")
    return logits, targets, alpha, priors


@points(1)
@visible
def test_two_samples_worked_out_by_hand(student):
    """The small examples of the notebook come out as worked by hand."""
    logits = torch.log(torch.tensor([[0.75, 0.25], [0.4, 0.6]]))
    targets = torch.tensor([0, 0])
    easy, hard = -torch.log(torch.tensor([0.75, 0.4]))
    loss = student.focal_loss(logits, targets, gamma=1.0)
    assert_close(loss, (0.25 * easy + 0.6 * hard) / 2, what="focal loss with gamma 1")
    loss = student.focal_loss(logits, torch.tensor([0, 1]), gamma=0.0, alpha=torch.tensor([3.0, 0.5]))
    expected = (3 * easy - 0.5 * torch.log(torch.tensor(0.6))) / 2
    cause = "each loss is multiplied by the alpha of its own class, and the mean divides by N all the same"
    assert_close(loss, expected, what="focal loss with gamma 0 and alpha", cause=cause)
    priors, zeros = torch.tensor([0.8, 0.2]), torch.zeros(1, 2)
    for mode, expected in (("train", [[0.64, 0.04]]), ("posthoc", [[1.5625, 25]])):
        adjusted = student.adjust_logits(zeros, priors, 2.0, mode=mode)
        assert_close(adjusted, torch.log(torch.tensor(expected)), what=f"adjusted tensor of logits ({mode})")


@points(2)
@catches(
    "probability-to-the-gamma",
    "alpha-in-the-denominator",
    "summed-over-the-batch",
    "alpha-inside-the-power",
    "p-from-the-weighted-loss",
)
def test_easy_samples_count_less_than_hard_ones(student, rng):
    """The loss is the plain mean of each sample's cross-entropy times (1 - p)^gamma times its class's alpha."""
    batch, n_classes = 7, 4
    logits, alpha = 1.5 * normal(rng, batch, n_classes), torch.from_numpy(rng.uniform(0.2, 4, n_classes))
    targets = torch.tensor([0, 3, 1, 1, 2, 0, 3])
    cause = "the factor is small where the right class is likely; alpha multiplies each loss, and the mean divides by N"
    for gamma in (0.0, 0.5, 1.0, 2.0, 3.7):
        for name, factors in (("no alpha", None), ("alpha given", alpha)):
            loss = student.focal_loss(logits, targets, gamma=gamma, alpha=factors)
            what = f"focal loss (gamma {gamma}, {name})"
            assert_close(loss, focal_by_hand(logits, targets, gamma, factors), **SIX_DIGITS, what=what, cause=cause)
    loss = student.focal_loss(logits, targets)
    expected = focal_by_hand(logits, targets, 2.0)
    assert_close(loss, expected, **SIX_DIGITS, what="focal loss with its defaults", cause=cause)


@points(1)
@catches("dtype-of-alpha", "dtype-of-the-priors", "priors-rounded-first")
def test_results_keep_the_dtype_of_the_logits(student, rng):
    """A loss has no axes, adjusted logits keep their shape, and both have the dtype of the logits."""
    logits, targets = normal(rng, 5, 4), torch.tensor([3, 0, 1, 2, 2])
    priors = random_priors(rng, 4)
    for dtype, name in DTYPES.items():
        for other, other_name in DTYPES.items():
            loss = student.focal_loss(logits.to(dtype), targets, alpha=priors.to(other))
            what = f"focal loss of {name} logits with {other_name} alpha"
            assert_shape(loss, (), what=what)
            assert_dtype(loss, name, what=what)
            for mode in ("train", "posthoc"):
                adjusted = student.adjust_logits(logits.to(dtype), priors.to(other), mode=mode)
                what = f"adjusted tensor of {name} logits with {other_name} priors (mode {mode})"
                assert_shape(adjusted, (5, 4), what=what)
                assert_dtype(adjusted, name, what=what)

    shares = torch.tensor([0.5002, 0.25011, 0.12506, 0.12463], dtype=torch.float64)  # in float16 they sum to 0.9995
    for dtype, name, atol in ((torch.float16, "float16", 0.02), (torch.bfloat16, "bfloat16", 0.1)):
        rounded = logits.clamp(-2, 2).to(dtype)
        for other, other_name in DTYPES.items():
            for mode, sign in (("train", 1), ("posthoc", -1)):
                adjusted = student.adjust_logits(rounded, shares.to(other), mode=mode)
                what = f"adjusted tensor of {name} logits with {other_name} priors (mode {mode})"
                assert_dtype(adjusted, name, what=what)
                expected = rounded.double() + sign * shares.log()
                assert_close(adjusted, expected.to(dtype), rtol=0, atol=atol, what=what)


@points(1)
@catches("log-of-softmax", "p-clamped-before-the-logarithm")
def test_hopeless_samples_have_a_large_but_finite_loss(student, rng):
    """Logits that are thousands apart give finite and correct losses."""
    noise = normal(rng, 3, 3)
    logits = torch.tensor([[0.0, 2000.0, 0.0], [-900.0, 0.0, 900.0], [1e4, 1e4, -1e4]], dtype=torch.float64) + noise
    targets = torch.tensor([0, 1, 2])
    underflow = (
        "a probability below the smallest number becomes 0 and its logarithm infinite; never leave the log scale"
    )
    bounded = "something holds p, or its logarithm, above a lower bound; the loss of a hopeless sample has none"
    for dtype, name in DTYPES.items():
        rounded = logits.to(dtype)
        for gamma in (0.0, 2.0):
            loss = student.focal_loss(rounded, targets, gamma=gamma)
            expected = torch.tensor(focal_by_hand(rounded, targets, gamma), dtype=dtype)
            finite = isinstance(loss, Tensor) and bool(loss.isfinite().all())
            cause = bounded if finite else underflow
            assert_close(loss, expected, **SIX_DIGITS, what=f"focal loss ({name}, gamma {gamma})", cause=cause)


@points(2)
@catches("nan-gradient-when-certain", "modulation-detached")
def test_gradients_are_right_and_finite(student, rng):
    """The gradients flow through both factors, and are finite when the right class is certain."""
    batch, n_classes = 5, 3
    logits, alpha = 1.2 * normal(rng, batch, n_classes), torch.from_numpy(rng.uniform(0.5, 2, n_classes))
    targets = torch.tensor([2, 0, 1, 1, 0])
    for gamma in (0.0, 0.5, 1.0, 2.0):
        loss, gradient = student.run(differentiate_focal_loss, logits, targets, gamma, alpha)
        expected = focal_gradient(logits, targets, gamma, alpha)
        right = math.isclose(float(loss), focal_by_hand(logits, targets, gamma, alpha), rel_tol=1e-5)
        cut = "a factor is cut off from autograd: the modulating factor depends on the logits too"
        cause = cut if right else "the loss itself is another one, so its gradient is too"
        assert_close(gradient, expected, **SIX_DIGITS, what=f"gradient of the logits (gamma {gamma})", cause=cause)

    cause = "where 1 - p is exactly 0, the derivative of its power is infinite, and infinity times 0 is NaN"
    for dtype, gap in ((torch.float64, 60.0), (torch.float32, 30.0)):
        certain = logits.to(dtype)
        certain[3] = torch.tensor([0.0, gap, 0.0], dtype=dtype)  # the right class: p rounds to 1
        others = [0, 1, 2, 4]
        for gamma in (0.0, 0.5, 1.0, 2.5):
            loss, gradient = student.run(differentiate_focal_loss, certain, targets, gamma, alpha)
            expected = torch.zeros(batch, n_classes, dtype=torch.float64)
            rows = focal_gradient(certain[others], targets[others], gamma, alpha)
            expected[others] = rows * len(others) / batch
            what = f"gradient of the logits ({DTYPES[dtype]}, gamma {gamma}, one certain sample)"
            assert_close(gradient, expected.to(dtype), **SIX_DIGITS, what=what, cause=cause)
            value = focal_by_hand(certain[others], targets[others], gamma, alpha) * len(others) / batch
            assert_close(
                loss, torch.tensor(value, dtype=dtype), **SIX_DIGITS, what="focal loss with one certain sample"
            )

    direction, priors = normal(rng, batch, n_classes), random_priors(rng, n_classes)
    for mode in ("train", "posthoc"):
        gradient = student.run(differentiate_adjust_logits, logits, priors, direction, mode)
        assert_close(gradient, direction, what=f"gradient through adjust_logits (mode {mode})")


@points(1)
@catches(
    "signs-swapped", "probabilities-adjusted", "prior-without-logarithm", "tau-left-out", "tau-inside-the-logarithm"
)
def test_the_log_prior_is_added_in_training_and_subtracted_afterwards(student, rng):
    """Training adds tau times the log prior to the logits, post-hoc prediction subtracts it."""
    logits, priors = 2 * normal(rng, 5, 4), random_priors(rng, 4)
    for tau in (1.0, 0.6, 2.5, 0.0):
        for mode, sign in (("train", 1), ("posthoc", -1)):
            expected = torch.tensor(
                [
                    [value + sign * tau * math.log(prior) for value, prior in zip(row, priors.tolist(), strict=True)]
                    for row in logits.tolist()
                ],
                dtype=torch.float64,
            )
            adjusted = student.adjust_logits(logits, priors, tau=tau, mode=mode)
            cause = "tau times the log prior is added in training and subtracted afterwards, to and from the logits"
            assert_close(adjusted, expected, what=f"tensor of logits (tau {tau}, mode {mode})", cause=cause)
    expected = student.adjust_logits(logits, priors, 1.0, mode="train")
    assert_close(student.adjust_logits(logits, priors, mode="train"), expected, what="tensor of logits (default tau)")


@points(1)
@catches("log-probabilities-returned")
@given(draw=st.integers(0, 2**32 - 1), gammas=st.lists(st.floats(0, 5), min_size=2, max_size=4, unique=True))
def test_laws_of_focal_loss_and_adjustment(student, draw, gammas):
    """A larger gamma never raises the loss, and adjusting takes a prior out of the logits exactly once."""
    rng = np.random.default_rng(draw)
    logits, targets = 2 * normal(rng, 4, 3), torch.from_numpy(rng.integers(3, size=4))
    losses = [student.focal_loss(logits, targets, gamma=gamma).item() for gamma in sorted(gammas)]
    for smaller, larger, before, after in zip(
        sorted(gammas)[:-1], sorted(gammas)[1:], losses[:-1], losses[1:], strict=True
    ):
        if after > before * (1 + SIX_DIGITS["rtol"]) + SIX_DIGITS["atol"]:
            raise AssertionError(f"focal_loss rose from {before} with gamma {smaller} to {after} with gamma {larger}")

    evidence, priors = torch.from_numpy(rng.uniform(0.1, 2, (4, 3))), random_priors(rng, 3)
    adjusted = student.adjust_logits(torch.log(priors * evidence), priors, mode="posthoc")
    cause = "logits log(prior * evidence) should leave log(evidence) when the prior is taken out"
    assert_close(adjusted, torch.log(evidence), what="tensor of post-hoc logits", cause=cause)
    restored = student.adjust_logits(
        student.adjust_logits(logits, priors, 1.7, mode="train"), priors, 1.7, mode="posthoc"
    )
    assert_close(restored, logits, what="tensor of logits after training and post-hoc adjustment")
    uniform = student.adjust_logits(logits, torch.full((3,), 1 / 3, dtype=torch.float64), mode="train")
    shift = (uniform - logits).flatten()
    assert_close(shift, shift[0].expand(12), what="shift by uniform priors, which is the same for all classes")


@points(1)
@catches("targets-wrap-around", "any-mode", "priors-normalised", "any-gamma", "nan-gamma")
def test_bad_input_is_refused(student, rng):
    """Shapes, targets, priors and options that make no sense are refused, and the inputs stay unchanged."""
    nan = math.nan
    logits, targets, alpha = normal(rng, 4, 3), torch.tensor([0, 2, 1, 2]), torch.tensor([1.0, 2.0, 0.5])
    cases = [
        ("logits with one axis", logits[0], targets[:3], {}),
        ("logits with three axes", logits[None], targets[None], {}),
        ("3 targets for 4 rows", logits, targets[:3], {}),
        ("1 target for 4 rows", logits, targets[:1], {}),
        ("targets (4, 1)", logits, targets[:, None], {}),
        ("an empty batch", torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), {}),
        ("a target of 3 with 3 classes", logits, torch.tensor([0, 3, 1, 2]), {}),
        ("a target of -1", logits, torch.tensor([0, -1, 1, 2]), {}),
        ("a target of -100", logits, torch.tensor([0, -100, 1, 2]), {}),
        ("gamma -0.5", logits, targets, {"gamma": -0.5}),
        ("gamma NaN", logits, targets, {"gamma": nan}),
        ("alpha for 2 classes", logits, targets % 2, {"alpha": alpha[:2]}),
        ("alpha for 5 classes", logits, targets, {"alpha": torch.ones(5)}),
        ("alpha (3, 1)", logits, targets, {"alpha": alpha[:, None]}),
    ]
    for name, *arguments, keywords in cases:
        with raises(ValueError, what=f"focal_loss with {name}"):
            student.focal_loss(*arguments, **keywords)
    with raises(TypeError, ValueError, what="focal_loss with float targets"):
        student.focal_loss(logits, targets.double())

    priors = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    for name, values in (
        ("a prior of 0", torch.tensor([0.6, 0.4, 0.0])),
        ("a negative prior", torch.tensor([0.6, 0.6, -0.2])),
        ("a prior that is NaN", torch.tensor([0.6, 0.4, nan])),
        ("priors that sum to 0.9", 0.9 * priors),
        ("priors that sum to 1.001", 1.001 * priors),
        ("counts instead of priors", torch.tensor([50.0, 30.0, 20.0])),
        ("priors of 2 classes", torch.tensor([0.6, 0.4])),
        ("one prior for all classes", torch.ones(1)),
        ("priors (4, 3)", priors.expand(4, 3)),
    ):
        for mode in ("train", "posthoc"):
            with raises(ValueError, what=f"adjust_logits with {name}, mode {mode!r}"):
                student.adjust_logits(logits, values, mode=mode)
    with raises(ValueError, what="adjust_logits with logits of one axis"):
        student.adjust_logits(logits[0], priors, mode="train")
    for mode in ("test", "Train", ""):
        with raises(ValueError, what=f"adjust_logits with mode {mode!r}"):
            student.adjust_logits(logits, priors, mode=mode)

    inputs = [logits, targets, alpha.double(), priors]
    after = student.run(inputs_after_the_calls, *[tensor.clone() for tensor in inputs])
    for name, left, right in zip(("logits", "targets", "alpha", "priors"), after, inputs, strict=True):
        assert_unchanged(left, right, what=name)
