"""Checks of adversarial/gan_losses. The expected numbers are the formulas of the statement, in 60 decimal digits."""

from __future__ import annotations

import math
from decimal import Context, Decimal

import numpy as np
import torch
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

EXACT = Context(prec=60)
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
KINDS = ("non_saturating", "saturating")


# ---------------------------------------------------------------- what runs in the student's process


def arguments_after_the_calls(student, real_logits, fake_logits):
    student.d_loss(real_logits, fake_logits, real_label=0.9)
    for kind in ("non_saturating", "saturating"):
        student.g_loss(fake_logits, kind)
    return real_logits, fake_logits


def gradients_of_d_loss(student, real_logits, fake_logits, real_label):
    real_logits, fake_logits = real_logits.clone().requires_grad_(), fake_logits.clone().requires_grad_()
    student.d_loss(real_logits, fake_logits, real_label=real_label).backward()
    return real_logits.grad, fake_logits.grad


def gradient_of_g_loss(student, fake_logits, kind):
    fake_logits = fake_logits.clone().requires_grad_()
    student.g_loss(fake_logits, kind).backward()
    return fake_logits.grad


# ---------------------------------------------------------------- what is expected, worked out here


def probability(logit: float) -> Decimal:
    return EXACT.divide(Decimal(1), EXACT.add(Decimal(1), EXACT.exp(Decimal(-logit))))


def minus_log_d(logit: float) -> float:
    """-log D for a logit: the logarithm of 1 / D, which is 1 + exp(-logit), with no rounding that matters."""
    return float(EXACT.ln(EXACT.add(Decimal(1), EXACT.exp(Decimal(-logit)))))


def minus_log_one_minus_d(logit: float) -> float:
    return float(EXACT.ln(EXACT.add(Decimal(1), EXACT.exp(Decimal(logit)))))


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def expected_d_loss(real_logits: Tensor, fake_logits: Tensor, real_label: float = 1.0) -> Tensor:
    real = [
        real_label * minus_log_d(logit) + (1 - real_label) * minus_log_one_minus_d(logit)
        for logit in real_logits.double().flatten().tolist()
    ]
    fake = [minus_log_one_minus_d(logit) for logit in fake_logits.double().flatten().tolist()]
    return torch.tensor(mean(real) + mean(fake), dtype=torch.float64)


def expected_g_loss(fake_logits: Tensor, kind: str) -> Tensor:
    logits = fake_logits.double().flatten().tolist()
    if kind == "non_saturating":
        return torch.tensor(mean([minus_log_d(logit) for logit in logits]), dtype=torch.float64)
    return torch.tensor(-mean([minus_log_one_minus_d(logit) for logit in logits]), dtype=torch.float64)


def slopes(logits: Tensor, target: float) -> Tensor:
    """Derivative, by each logit, of the mean cross-entropy with this target: (D - target) / number of logits."""
    differences = [float(EXACT.subtract(probability(s), Decimal(target))) for s in logits.flatten().tolist()]
    return torch.tensor(differences, dtype=torch.float64).reshape(logits.shape) / logits.numel()


def uneven(rng: np.random.Generator, *shape: int) -> Tensor:
    """Logits between -5 and 5 whose mean is far from 0, so that no two samples can be exchanged unnoticed."""
    return torch.from_numpy(np.asarray(rng.uniform(-3, 3, shape) + rng.choice([-2.0, 2.0])))


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_example_worked_out_by_hand(student):
    """The example in the notebook comes out right."""
    real_logits = torch.tensor([math.log(3), math.log(9), -math.log(3)], dtype=torch.float64)
    fake_logits = torch.tensor([[-math.log(4)], [-math.log(9)]], dtype=torch.float64)
    on_real = -(math.log(0.75) + math.log(0.9) + math.log(0.25)) / 3
    on_fake = -(math.log(0.8) + math.log(0.9)) / 2
    turned = -(math.log(0.25) + math.log(0.1) + math.log(0.75)) / 3
    tolerance = {"rtol": 0, "atol": 1e-6}
    loss = student.d_loss(real_logits, fake_logits)
    assert_close(loss, torch.tensor(on_real + on_fake), what="d_loss", **tolerance)
    smooth = student.d_loss(real_logits, fake_logits, real_label=0.8)
    expected = torch.tensor(0.8 * on_real + 0.2 * turned + on_fake)
    assert_close(smooth, expected, what="d_loss with real_label=0.8", **tolerance)
    for kind, value in (("non_saturating", -(math.log(0.2) + math.log(0.1)) / 2), ("saturating", -on_fake)):
        assert_close(
            student.g_loss(fake_logits, kind), torch.tensor(value), what=f"g_loss with kind={kind!r}", **tolerance
        )


@points(1)
@catches("number-instead-of-tensor", "always-float32", "changed-in-place", "ready-made")
def test_one_differentiable_number_in_the_dtype_of_the_logits(student, rng):
    """Each loss is one differentiable number in the dtype of the logits, and the arguments stay as they were."""
    for dtype, shapes in (
        (torch.float64, (((5,), (3, 1)), ((2, 1, 3, 3), (4,)), ((), (2,)), ((3,), ()))),
        (torch.float32, (((5,), (3, 1)),)),
        (torch.float16, (((2, 3), (5,)),)),
        (torch.bfloat16, (((4, 1), (2, 3)),)),
    ):
        name = str(dtype).removeprefix("torch.")
        for real_shape, fake_shape in shapes:
            real, fake = uneven(rng, *real_shape).to(dtype), uneven(rng, *fake_shape).to(dtype)
            case = f"{name} logits of shapes {real_shape} and {fake_shape}"
            results = {"d_loss": student.d_loss(real, fake.requires_grad_())}
            results |= {f"g_loss ({kind})": student.g_loss(fake, kind) for kind in KINDS}
            for what, result in results.items():
                if not isinstance(result, Tensor):
                    raise AssertionError(f"The {what} should be a tensor; it is of type {type(result).__name__}.")
                assert_shape(result, (), what=f"{what} for {case}")
                assert_dtype(result, name, what=f"{what} for {case}")
                if not result.requires_grad:
                    raise AssertionError(
                        f"The {what} does not depend on the logits for autograd: a generator could not learn from it."
                    )
    before = uneven(rng, 4), uneven(rng, 3)
    after = student.run(arguments_after_the_calls, *(logits.clone() for logits in before))
    for what, left, right in zip(("real_logits", "fake_logits"), after, before, strict=True):
        assert_unchanged(left, right, what=what)


@points(1)
@catches("labels-swapped", "sum-instead-of-mean", "one-mean-over-all", "halved", "sigmoid-twice")
def test_discriminator_loss_is_the_sum_of_two_means(student, rng):
    """The loss of the discriminator adds the mean over the real samples to the mean over the fakes."""
    cause = "real samples have the target 1 and fakes 0; each of the two means is over its own samples, and they add up"
    zeros = torch.zeros(3, dtype=torch.float64)
    undecided = student.d_loss(zeros, zeros[:2])
    assert_close(undecided, torch.tensor(2 * math.log(2)), what="d_loss of logits that are all 0", cause=cause, **CLOSE)
    for real_shape, fake_shape in (((5,), (3,)), ((1,), (4,)), ((2, 3), (5, 1)), ((3, 1, 2, 2), (1,))):
        real, fake = uneven(rng, *real_shape), uneven(rng, *fake_shape)
        case = f"{real.numel()} real and {fake.numel()} fake logits"
        loss = student.d_loss(real, fake)
        assert_close(loss, expected_d_loss(real, fake), what=f"d_loss of {case}", cause=cause, **CLOSE)
        mirrored = student.d_loss(-fake, -real)
        what = f"d_loss with the two arguments exchanged and all signs turned ({case})"
        assert_close(mirrored, expected_d_loss(real, fake), what=what, cause="it should be the same number", **CLOSE)


@points(1)
@catches("fakes-smoothed", "half-a-cross-entropy", "label-ignored")
def test_only_the_target_of_the_real_samples_is_smoothed(student, rng):
    """`real_label` is the target of the real samples, and of nothing else."""
    cause = "a target y has two terms, with the weights y and 1 - y; it belongs to the real samples alone"
    # one logit each, so that a sum and a mean agree here
    for label in (0.9, 0.7, 0.25, 1.0):
        for real_value, fake_value in ((1.5, -0.5), (-2.0, 3.0), (4.0, -1.0)):
            real = torch.tensor([real_value + rng.uniform(0, 0.5)], dtype=torch.float64)
            fake = torch.tensor([fake_value + rng.uniform(0, 0.5)], dtype=torch.float64)
            loss = student.d_loss(real, fake, real_label=label)
            expected = expected_d_loss(real, fake, label).reshape(())
            case = f"one real logit {real.item():.3f}, one fake logit {fake.item():.3f}, real_label={label}"
            assert_close(loss, expected, what=f"d_loss ({case})", cause=cause, **CLOSE)


@points(1)
@catches("saturating-with-the-wrong-sign", "generator-helps-the-discriminator", "kinds-exchanged")
def test_generator_loss_of_both_kinds(student, rng):
    """The generator's two losses have the right values, and both become smaller when D takes the fakes for real."""
    cause = "both are minimised, and both fall when the fakes' logits rise: -log D falls, and log(1 - D) falls"
    for kind in KINDS:
        for shape in ((1,), (4,), (3, 2), (2, 1, 2, 3)):
            fake = uneven(rng, *shape)
            loss = student.g_loss(fake, kind)
            what = f"g_loss of {fake.numel()} logits with kind={kind!r}"
            assert_close(loss, expected_g_loss(fake, kind), what=what, cause=cause, **CLOSE)


@points(1)
@catches("log-of-probabilities", "probability-loss", "overflow")
def test_values_of_saturated_logits(student, rng):
    """A discriminator that is sure, rightly or wrongly, gives finite and right losses."""
    cause = "a probability rounds to 0 or 1 and exp overflows; with logits of this size neither may stand in between"
    for dtype, precision in ((torch.float64, CLOSE), (torch.float32, {"rtol": 1e-5, "atol": 1e-5})):
        for size in (30.0, 90.0, 800.0, 10000.0):
            for sign in (-1, 1):
                # single logits, and never beyond 10000
                real = torch.tensor(sign * size * rng.uniform(0.9, 1.0), dtype=dtype)
                fake = torch.tensor(-sign * size * rng.uniform(0.9, 1.0), dtype=dtype)
                case = f"{real.item():.1f} for the real and {fake.item():.1f} for the fake sample, {dtype}"
                for label in (1.0, 0.9):
                    loss = student.d_loss(real, fake, real_label=label)
                    what = f"d_loss with logits {case}, real_label={label}"
                    assert_close(loss, expected_d_loss(real, fake, label), what=what, cause=cause, **precision)
                for kind in KINDS:
                    loss = student.g_loss(fake, kind)
                    what = f"g_loss with the logit {fake.item():.1f}, kind={kind!r}, {dtype}"
                    assert_close(loss, expected_g_loss(fake, kind), what=what, cause=cause, **precision)


@points(1)
@catches("nan-gradients")
def test_gradient_of_the_discriminator_loss(student, rng):
    """The discriminator's gradient is right for every logit, and finite at ±10000."""
    cause = "the slope of a cross-entropy by its logit is the probability minus the target, however large the logit is"
    for sizes in ((1.0, 2.5, 4.0), (30.0, 60.0, 200.0), (800.0, 5000.0, 9999.0)):
        signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
        real = torch.tensor(sizes, dtype=torch.float64) * signs * float(rng.uniform(0.9, 1.0))
        fake = -real.flip(0)[:2] * float(rng.uniform(0.9, 1.0))
        for label in (1.0, 0.8):
            gradients = student.run(gradients_of_d_loss, real, fake, label)
            for name, gradient, logits, target in zip(
                ("real_logits", "fake_logits"), gradients, (real, fake), (label, 0.0), strict=True
            ):
                if not isinstance(gradient, Tensor):
                    raise AssertionError(f"No gradient reaches {name} in d_loss.")
                numbers = ", ".join(f"{logit:.1f}" for logit in logits.tolist())
                what = f"gradient of d_loss by {name} ({numbers}; real_label={label})"
                assert_close(gradient, slopes(logits, target), what=what, cause=cause, **CLOSE)


@points(2)
@catches("clamped-probabilities")
def test_gradient_of_the_generator_loss(student, rng):
    """Fakes that D rejects with certainty still teach the generator, if its loss does not saturate."""
    cause = "clamping, and rounding to 0 or 1, cut the gradient off where the discriminator is sure"
    for sizes in ((-20.0, 1.5), (-1.0, 3.0, 5.0, -4.0), (-40.0, 30.0, 90.0), (-10000.0, 10000.0, 800.0)):
        # single logits, so that a sum and a mean agree here
        for logit in sizes:
            fake = torch.tensor([logit * rng.uniform(0.95, 1.0)], dtype=torch.float64)
            for kind, target in (("non_saturating", 1.0), ("saturating", 0.0)):
                gradient = student.run(gradient_of_g_loss, fake, kind)
                if not isinstance(gradient, Tensor):
                    raise AssertionError("No gradient reaches fake_logits in g_loss.")
                expected = slopes(fake, target) * (1 if target else -1)
                what = f"gradient of g_loss with kind={kind!r} at the logit {fake.item():.2f}"
                assert_close(gradient, expected, what=what, cause=cause, **CLOSE)


@points(1)
@catches("empty-is-nan", "any-label-accepted", "nan-label-accepted", "unknown-kind-accepted")
def test_bad_input_is_refused(student, rng):
    """Empty tensors, targets outside (0, 1] and unknown kinds raise ValueError."""
    good, empty = uneven(rng, 3), torch.zeros(0, dtype=torch.float64)
    for what, real, fake in (
        ("no real logits", empty, good),
        ("no fake logits", good, empty),
        ("no logits at all", empty, empty),
        ("fake logits of shape (2, 0)", good, torch.zeros(2, 0, dtype=torch.float64)),
    ):
        with raises(ValueError, what=f"d_loss with {what}"):
            student.d_loss(real, fake)
    for label in (0.0, -0.1, 1.1, 1.5, 2.0, math.nan, math.inf):
        with raises(ValueError, what=f"d_loss with real_label={label}"):
            student.d_loss(good, good, real_label=label)
    for kind in KINDS:
        with raises(ValueError, what=f"g_loss of an empty tensor with kind={kind!r}"):
            student.g_loss(empty, kind)
    for kind in ("minimax", "", "wasserstein"):
        with raises(ValueError, what=f"g_loss with kind={kind!r}"):
            student.g_loss(good, kind)
