"""Hidden checks of losses/uncertainty_weighting.

Totals and gradients are worked out with Python numbers from the formula and its derivatives, never by autograd.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

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
    "task_loss_settles_it": False,
    "sum_alone_learns": False,
    "optimum_is_log_loss": True,
    "units_cancel": True,
    "largest_loss_leads": False,
    "always_beats_fixed": False,
    "total_may_mislead": True,
    "one_modality_may_lead": True,
}


# ---------------------------------------------------------------- what runs in the student's process


def describe(student, n_terms):
    from torch import nn

    module = student.UncertaintyWeighting(n_terms)
    log_var = module.log_var
    names = [name for name, _ in module.named_parameters()]
    kind = [isinstance(module, nn.Module), isinstance(log_var, nn.Parameter), bool(log_var.requires_grad)]
    return kind, names, log_var.detach().clone()


def evaluate(student, log_var, losses, container):
    """Total and weights, with the losses as they are (a tensor) or in a list or tuple of scalars.

    The weights are asked for three times: with log_var as it is at first, then as given, and once more.
    """
    import torch

    module = student.UncertaintyWeighting(len(log_var)).to(log_var.dtype)
    before = module.weights()
    with torch.no_grad():
        module.log_var.copy_(log_var)
    given = losses if container == "tensor" else {"list": list, "tuple": tuple}[container](losses.unbind())
    weights = module.weights()
    return module(given).detach(), before, weights, module.weights()


def differentiate(student, log_var, model_weight, inputs, container):
    """Gradients of the total by log_var and by the weight of a model whose i-th loss is sum((weight * inputs[i])²)."""
    import torch

    module = student.UncertaintyWeighting(len(log_var)).to(log_var.dtype)
    with torch.no_grad():
        module.log_var.copy_(log_var)
    weight = model_weight.clone().requires_grad_()
    losses = [(weight * row).square().sum() for row in inputs]
    total = module(torch.stack(losses) if container == "tensor" else losses)
    return torch.autograd.grad(total, [module.log_var, weight], allow_unused=True)


def train_log_var(student, losses, rate, steps):
    import torch

    module = student.UncertaintyWeighting(len(losses)).to(losses.dtype)
    optimiser = torch.optim.SGD(module.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        module(losses).backward()
        optimiser.step()
    return module.log_var.detach().clone(), module.weights()


# ---------------------------------------------------------------- what is expected, number by number


def expected_total(log_var: Tensor, losses: Tensor) -> float:
    pairs = zip(log_var.tolist(), losses.tolist(), strict=True)
    return sum(0.5 * (loss / math.exp(s) + s) for s, loss in pairs)


def doubles(values: list[float] | np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
@catches("plain-sum")
def test_first_totals(student):
    """With log_var 0 the total is half the sum; with the best log_var every weighted term is 1."""
    losses = torch.tensor([8.0, 0.25])
    first, weights, _, _ = student.run(evaluate, torch.zeros(2), losses, "tensor")
    best, _, best_weights, _ = student.run(evaluate, losses.log(), losses, "tensor")
    assert_close(first, torch.tensor(4.125), what="total of the losses 8 and 0.25 with log_var 0")
    assert_close(weights, torch.ones(2), what="weight tensor with log_var 0")
    expected = torch.tensor((2 + math.log(8) + math.log(0.25)) / 2)
    assert_close(best, expected, what="total of the losses 8 and 0.25 with log_var = their logarithms")
    assert_close(best_weights * losses, torch.ones(2), what="product of weights and losses there")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("not-a-parameter", "weights-once", "weights-in-the-graph", "weights-overwrite-the-parameter")
def test_parameter_and_weights(student, rng):
    """log_var is the only parameter, zeros at first; weights() is exp(-log_var) of the moment, detached."""
    for n_terms in (1, 4):
        kind, names, log_var = student.run(describe, n_terms)
        asked = ("is the module an nn.Module", "is log_var an nn.Parameter", "does log_var require a gradient")
        for question, answer in zip(asked, kind, strict=True):
            assert_equal(answer, True, what=f'answer to "{question}?"', cause="an optimiser has to find log_var")
        assert_equal(names, ["log_var"], what="list of the module's parameters")
        assert_equal(log_var, torch.zeros(n_terms), what=f"log_var of UncertaintyWeighting({n_terms}) at first")
    for dtype in (torch.float32, torch.float64):
        log_var = doubles(rng.uniform(-2, 2, 3)).to(dtype)
        _, at_first, weights, again = student.run(evaluate, log_var, torch.ones(3, dtype=dtype), "tensor")
        assert_close(at_first, torch.ones(3, dtype=dtype), what="weight tensor with log_var 0")
        what = f"weight tensor with log_var {[round(s, 3) for s in log_var.tolist()]}"
        expected = torch.tensor([1 / math.exp(s) for s in log_var.tolist()], dtype=dtype)
        assert_close(weights, expected, what=what, cause="the weight is exp(-log_var), worked out at each call")
        assert_dtype(weights, str(dtype).removeprefix("torch."), what=what)
        assert_close(again, expected, what=f"second {what}", cause="asking for the weights changed log_var")
        assert_equal(weights.requires_grad, False, what='answer to "does the result of weights() require a gradient?"')


@points(1)
@catches(
    "half-forgotten",
    "mean-over-terms",
    "log-sigma",
    "exp-of-plus-s",
    "exp-of-plus-s-throughout",
    "softmax-weights",
    "weights-follow-the-loss",
    "s-not-halved",
    "log-var-clamped",
)
def test_total(student, rng):
    """The total is the sum of ½(exp(−s)·L + s), from a tensor, a list or a tuple of losses."""
    cases = [(3, "tensor"), (4, "list"), (2, "tuple"), (1, "list"), (5, "tensor")]
    for n_terms, container in cases:
        for dtype in (torch.float32, torch.float64):
            log_var = doubles(rng.uniform(0.3, 2, n_terms) * rng.choice([-1, 1], n_terms)).to(dtype)
            losses = doubles(rng.uniform(0.2, 6, n_terms)).to(dtype)
            total, _, _, _ = student.run(evaluate, log_var, losses, container)
            what = f"total of {n_terms} losses in a {container} of {dtype}"
            assert_shape(total, (), what=what)
            expected = torch.tensor(expected_total(log_var, losses), dtype=dtype)
            assert_close(total, expected, what=what, cause="each term is half of exp(-s) times its loss, plus s")
            assert_dtype(total, str(dtype).removeprefix("torch."), what=what)
    for log_var, losses in (([25.0, -17.0, 0.4], [2.0, 0.5, 3.0]), ([0.7, -1.2, 0.4], [2.0, 0.5, 1e12])):
        total, _, _, _ = student.run(evaluate, doubles(log_var), doubles(losses), "tensor")
        what = f"total of the losses {losses} with log_var {log_var}"
        cause = "the formula holds for any log_var and any loss; nothing is clamped"
        assert_close(total, doubles(expected_total(doubles(log_var), doubles(losses))), what=what, cause=cause)


@points(1)
@catches("losses-detached", "detached-weights-in-the-total", "torch-tensor-of-the-list")
def test_gradients(student, rng):
    """Gradients reach log_var, ½(1 − exp(−s)·L), and through the losses the model, ½·exp(−s)·∇L."""
    for container in ("tensor", "list"):
        log_var = doubles(rng.uniform(-1.5, 1.5, 3))
        weight, inputs = doubles(rng.normal(size=4)), doubles(rng.normal(size=(3, 4)))
        found = student.run(differentiate, log_var, weight, inputs, container)
        losses = [sum((w * x) ** 2 for w, x in zip(weight.tolist(), row, strict=True)) for row in inputs.tolist()]
        by_log_var = [0.5 * (1 - math.exp(-s) * loss) for s, loss in zip(log_var.tolist(), losses, strict=True)]
        by_weight = [
            sum(math.exp(-s) * w * row[k] ** 2 for s, row in zip(log_var.tolist(), inputs.tolist(), strict=True))
            for k, w in enumerate(weight.tolist())
        ]
        names = ("log_var", "the model's weight")
        for name, gradient, expected in zip(names, found, (by_log_var, by_weight), strict=True):
            what = f"gradient of {name} (losses in a {container})"
            if gradient is None:
                raise AssertionError(f"The {what} is missing: the total is cut off from {name}.")
            cause = "a part of the formula is outside the graph: detached, or made into a new tensor"
            assert_close(gradient, doubles(expected), what=what, cause=cause)


@points(1)
@catches("no-price-for-small-weights")
def test_log_var_comes_to_rest(student, rng):
    """Trained on constant losses, log_var comes to rest where the total is smallest, in any units."""
    losses = doubles([2.0, 0.1, *rng.uniform(0.2, 6, 2)])
    factors = doubles([1.0, 7.0, 0.5, 3.0])
    for given in (losses, losses * factors):
        log_var, weights = student.run(train_log_var, given, 1.0, 60)
        what = f"log_var after 60 steps on the losses {[round(loss, 3) for loss in given.tolist()]}"
        cause = "without a price for small weights, or with a wrong one, log_var runs away or rests elsewhere"
        assert_close(log_var, given.log(), rtol=1e-5, atol=1e-5, what=what, cause=cause)
        assert_close(weights * given, torch.ones_like(given), rtol=1e-4, atol=0, what="product of weights and losses")


@points(1)
@catches("broadcasts-one-loss")
def test_number_of_terms(student):
    """At least one term, and exactly as many losses as terms."""
    for n_terms in (0, -1):
        with raises(ValueError, what=f"UncertaintyWeighting({n_terms})"):
            student.UncertaintyWeighting(n_terms)
    module = student.UncertaintyWeighting(3)
    one = torch.tensor(1.0)
    for shape in ((1,), (2,), (4,), (3, 1), (1, 3), (3, 3), (0,), ()):
        with raises(ValueError, what=f"a call of UncertaintyWeighting(3) with a tensor of shape {shape}"):
            module(torch.ones(shape))
    for container in (list, tuple):
        with raises(ValueError, what=f"a call of UncertaintyWeighting(1) with an empty {container.__name__}"):
            student.UncertaintyWeighting(1)(container())
    for count in (0, 1, 2, 4):
        for container in (list, tuple):
            with raises(ValueError, what=f"a call of UncertaintyWeighting(3) with a {container.__name__} of {count}"):
                module(container([one] * count))


@points(1)
@catches("zero-refused", "negative-and-nan-accepted", "nan-and-infinity-accepted")
def test_values_of_losses(student):
    """A loss of 0 is allowed; a negative, infinite or undefined one is refused."""
    log_var, losses = doubles([0.7, -1.2, 0.4]), doubles([0.0, 0.0, 3.0])
    total, nearly = (student.run(evaluate, log_var, losses + tiny, "tensor")[0] for tiny in (0.0, 1e-14))
    what = "total of the losses 0, 0 and 3"
    assert_close(total, nearly, what=what, cause="a loss of 0 is weighed like any other, and its s counts too")
    module = student.UncertaintyWeighting(3)
    for bad in (-0.5, -1e-3, math.nan, math.inf, -math.inf):
        for position in range(3):
            values = [1.0, 2.0, 0.5]
            values[position] = bad
            with raises(ValueError, what=f"a call with the losses {values}"):
                module(torch.tensor(values))
    with raises(ValueError, what="a call with a list of losses of which one is negative"):
        module([torch.tensor(1.0), torch.tensor(-2.0), torch.tensor(3.0)])
