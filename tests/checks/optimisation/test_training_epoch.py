"""Checks of optimisation/training_epoch.

The network over there is small and without randomness; its epoch is worked out here in float64, with the update rule of
SGD with momentum written out.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_equal, catches, points, visible

SHAPES = {
    "text_layer.weight": (4, 3),
    "text_layer.bias": (4,),
    "image_layer.weight": (4, 2),
    "head.weight": (5, 4),
    "head.bias": (5,),
    "frozen": (5,),
}
TRAINABLE = tuple(SHAPES)[:5]
CLOSE = {"rtol": 2e-4, "atol": 1e-5}
MODULES = ["the model", "text_layer", "image_layer", "head", "dropout"]


# ---------------------------------------------------------------- what runs in the student's process


def train_epoch(student, state, batches, settings):
    """One epoch on a small network, and what it did.

    settings: `rate`, `momentum`; `factors` of the learning rate for a scheduler; `max_norm`; `old`, what every gradient
    is before; `generator`, hand the batches over one by one; `loss`, "missing" or "None" in the last batch;
    `evaluation`, the model comes in evaluation mode; `device`, passed on, with a count of the tensors moved.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    modes, moved, rates = [], [], []

    class Recorded(torch.Tensor):
        def to(self, *args, **keywords):
            moved.append(1)
            return super().to(*args, **keywords).as_subclass(torch.Tensor)

        cuda = cpu = to

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.text_layer = nn.Linear(3, 4)
            self.image_layer = nn.Linear(2, 4, bias=False)
            self.head = nn.Linear(4, 5)
            self.dropout = nn.Dropout(0.0)
            self.frozen = nn.Parameter(torch.zeros(5), requires_grad=False)

        def forward(self, text, image, labels, penalty):
            modes.append([name or "the model" for name, module in self.named_modules() if module.training])
            hidden = torch.tanh(self.text_layer(text) + self.image_layer(image))
            logits = self.head(self.dropout(hidden)) * self.frozen
            output = {"loss": F.cross_entropy(logits, labels) + penalty.mean(), "logits": logits}
            if len(modes) == len(batches) and settings.get("loss") == "missing":
                del output["loss"]
            if len(modes) == len(batches) and settings.get("loss") == "None":
                output["loss"] = None
            return output

    model = Network()
    model.load_state_dict(state)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=settings.get("rate", 0.25), momentum=settings.get("momentum", 0.0))
    optimizer.register_step_pre_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    named = {}
    factors = settings.get("factors")
    if factors:
        named["scheduler"] = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: factors[min(n, len(factors) - 1)])
    if "max_norm" in settings:
        named["max_norm"] = settings["max_norm"]
    if "device" in settings:
        named["device"] = settings["device"]
        batches = [{name: value.as_subclass(Recorded) for name, value in batch.items()} for batch in batches]
    if "old" in settings:
        for parameter in trainable:
            parameter.grad = torch.full_like(parameter, settings["old"])
    model.train(not settings.get("evaluation", False))
    given = (batch for batch in batches) if settings.get("generator") else batches

    result, error, function = None, None, student.train_epoch
    try:
        result = function(model, given, optimizer, **named)
    except Exception as raised:
        if not settings.get("expects_error"):
            raise
        error = [kind.__name__ for kind in type(raised).__mro__]
    return {
        "result": result,
        "error": error,
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "rates": rates,
        "next_rate": optimizer.param_groups[0]["lr"],
        "modes": modes,
        "modes_after": [name or "the model" for name, module in model.named_modules() if module.training],
        "moved": len(moved),
        "keys": [sorted(batch) for batch in batches],
    }


def first_steps(student, max_norm):
    import torch
    from torch import nn

    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(1.0))

        def forward(self, x, labels):
            return {"loss": ((self.weight * x - labels) ** 2).mean()}

    loader = [
        {"x": torch.tensor([1.0, 1.0]), "labels": torch.tensor([0.0, 0.0])},
        {"x": torch.tensor([2.0]), "labels": torch.tensor([3.0])},
    ]
    model = Line()
    limit = {} if max_norm is None else {"max_norm": max_norm}
    return student.train_epoch(
        model, loader, torch.optim.SGD(model.parameters(), lr=0.25), **limit
    ), model.weight.item()


# ---------------------------------------------------------------- what is expected, worked out here


def random_state(rng: np.random.Generator) -> dict[str, Tensor]:
    return {name: torch.from_numpy(rng.normal(size=shape)).float() for name, shape in SHAPES.items()}


def random_batches(rng: np.random.Generator, sizes: list[int]) -> list[dict[str, Tensor]]:
    """Batches of texts, images, labels and penalties, which are added to the loss and grow from batch to batch."""
    batches = []
    for number, size in enumerate(sizes):
        values = {"text": rng.normal(size=(size, 3)), "image": rng.normal(size=(size, 2))}
        values["penalty"] = rng.uniform(0.5, 1.5, size) + 2 * number
        batch = {name: torch.from_numpy(value).float() for name, value in values.items()}
        batches.append(batch | {"labels": torch.from_numpy(rng.integers(0, 5, size))})
    return batches


def loss_of(weights: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """The mean loss of a batch in float64."""
    text, image = batch["text"].double(), batch["image"].double()
    hidden = (
        text @ weights["text_layer.weight"].T + weights["text_layer.bias"] + image @ weights["image_layer.weight"].T
    )
    logits = (torch.tanh(hidden) @ weights["head.weight"].T + weights["head.bias"]) * weights["frozen"]
    scores = torch.log_softmax(logits, dim=1)[torch.arange(len(logits)), batch["labels"]]
    return (batch["penalty"].double() - scores).mean()


def epoch_by_hand(
    state: dict[str, Tensor], batches: list[dict[str, Tensor]], rates: list[float], momentum: float, max_norm: float
) -> tuple[dict[str, Tensor], list[float], list[float]]:
    """The parameters after the last batch, the loss of each batch and the length of each gradient."""
    weights = {name: tensor.double() for name, tensor in state.items()}
    velocity = {name: torch.zeros_like(weights[name]) for name in TRAINABLE}
    losses, lengths = [], []
    for batch, rate in zip(batches, rates, strict=True):
        leaves = {name: weights[name].clone().requires_grad_() for name in TRAINABLE}
        loss = loss_of(weights | leaves, batch)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        length = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
        for name, gradient in zip(TRAINABLE, gradients, strict=True):
            velocity[name] = momentum * velocity[name] + gradient * min(1.0, max_norm / length)
            weights[name] = weights[name] - rate * velocity[name]
        losses.append(loss.item())
        lengths.append(length)
    return weights, losses, lengths


def entry(result, key: str, kind: type, kind_name: str):
    """One entry of the dictionary that came back, which must be of this type."""
    if not isinstance(result, dict):
        raise AssertionError(f"train_epoch should return a dict; it returned {type(result).__name__}.")
    if key not in result:
        raise AssertionError(f"The dict has no entry {key!r}; its keys are {sorted(map(str, result))}.")
    if not isinstance(result[key], kind) or isinstance(result[key], bool):
        raise AssertionError(f"The entry {key!r} should be {kind_name}; it is of type {type(result[key]).__name__}.")
    return result[key]


def assert_state(seen: dict, weights: dict[str, Tensor], case: str, cause: str) -> None:
    for name, value in weights.items():
        assert_close(seen["state"][name], value, what=f"parameter {name} after {case}", cause=cause, **CLOSE)


def sizes_of(batches: list[dict[str, Tensor]]) -> str:
    return "batches of " + ", ".join(str(len(batch["labels"])) for batch in batches) + " samples"


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_steps(student):
    """The small example in the notebook comes out right."""
    for limit, weight, norm in ((None, 2.5, None), (1.0, 1.0, 4.0)):
        result, found = student.run(first_steps, limit)
        case = f"for batches of 2 and 1 samples with max_norm={limit}"
        assert_close(found, weight, rtol=0, atol=1e-5, what=f"weight after the epoch {case}")
        assert_equal(entry(result, "steps", int, "an int"), 2, what=f"number of steps {case}")
        assert_equal(entry(result, "samples", int, "an int"), 3, what=f"number of samples {case}")
        if norm is not None:
            assert_close(entry(result, "grad_norm", float, "a float"), norm, rtol=0, atol=1e-5, what=f"norm {case}")
        elif result.get("grad_norm", 0) is not None:
            raise AssertionError(f"The entry 'grad_norm' should be None without max_norm; it is {result['grad_norm']}.")
        else:
            assert_close(entry(result, "loss", float, "a float"), 2.0, rtol=0, atol=1e-5, what=f"loss {case}")


@points(2)
@catches(
    "gradients-add-up",
    "cleared-before-the-step",
    "old-gradient-in-the-first-step",
    "one-step-at-the-end",
    "last-batch-dropped",
    "tensors-not-moved",
    "labels-taken-out-of-the-batch",
)
def test_one_step_for_each_batch(student, rng):
    """Each batch makes one step with its own gradient, and the loader's batches stay as they are."""
    for sizes, momentum in (([4, 4, 2], 0.0), ([3], 0.9), ([1, 5, 2, 3, 2], 0.9)):
        state = random_state(rng)
        batches = random_batches(rng, sizes)
        settings = {"rate": 0.25, "momentum": momentum, "old": 2.0, "device": "cpu"}
        seen = student.run(train_epoch, state, batches, settings)
        case = f"{sizes_of(batches)}; every .grad was 2 before"
        if len(seen["rates"]) != len(sizes):
            raise AssertionError(f"The optimiser made {len(seen['rates'])} steps in an epoch of {case}.")
        weights, _, _ = epoch_by_hand(state, batches, [0.25] * len(sizes), momentum, math.inf)
        cause = "each step uses the gradient of its own batch, and nothing that was in .grad before"
        assert_state(seen, weights, f"an epoch of {case}", cause)
        if seen["keys"] != [sorted(batch) for batch in batches]:
            raise AssertionError(
                "train_epoch took entries out of the loader's batches; they are needed again tomorrow."
            )
        if seen["moved"] < 4 * len(sizes):
            raise AssertionError(
                f"{seen['moved']} of {4 * len(sizes)} tensors were moved with .to(device); "
                "a model on a GPU would refuse the rest."
            )


@points(2)
@catches(
    "mean-of-batch-means",
    "mean-of-batch-sums",
    "loss-tensor",
    "loss-of-the-last-batch",
    "loader-needs-a-length",
    "samples-from-the-first-batch",
    "norm-without-a-limit",
)
def test_report(student, rng):
    """The loss is the mean over all samples, steps and samples are counted, and a generator is as good as a list."""
    for sizes, generator in (([4, 4, 2], False), ([1, 7], True), ([3, 2, 5, 1], True), ([6], False)):
        state = random_state(rng)
        batches = random_batches(rng, sizes)
        seen = student.run(train_epoch, state, batches, {"generator": generator})
        _, losses, _ = epoch_by_hand(state, batches, [0.25] * len(sizes), 0.0, math.inf)
        mean = math.fsum(size * loss for size, loss in zip(sizes, losses, strict=True)) / sum(sizes)
        case = f"for {'a generator' if generator else 'a list'} of {sizes_of(batches)}"
        cause = "the model's loss is the mean of one batch; each sample of the epoch counts the same"
        found = entry(seen["result"], "loss", float, "a Python float")
        assert_close(found, mean, what=f"loss {case}", cause=cause, **CLOSE)
        assert_equal(entry(seen["result"], "steps", int, "an int"), len(sizes), what=f"number of steps {case}")
        assert_equal(entry(seen["result"], "samples", int, "an int"), sum(sizes), what=f"number of samples {case}")
        entry(seen["result"], "grad_norm", type(None), "None without max_norm")


@points(1)
@catches("scheduler-once-an-epoch", "scheduler-before-the-optimiser", "scheduler-forgotten")
def test_scheduler(student, rng):
    """The scheduler sets the rate of the next step, after each step of the optimiser."""
    state = random_state(rng)
    batches = random_batches(rng, [3, 2, 4, 2])
    factors = [1.0, 0.5, 1.5, 0.25, 0.125, 0.0625]
    seen = student.run(train_epoch, state, batches, {"rate": 0.5, "factors": factors})
    rates = [0.5 * factor for factor in factors[:4]]
    what = "list of learning rates at the four optimiser steps of an epoch"
    cause = "the scheduler's first rate is set before the epoch; each of its steps follows one of the optimiser"
    assert_close(seen["rates"], rates, rtol=1e-9, atol=0, what=what, cause=cause)
    what = "learning rate that the epoch of four steps leaves behind"
    assert_close(seen["next_rate"], 0.5 * factors[4], rtol=1e-9, atol=0, what=what, cause=cause)
    weights, _, _ = epoch_by_hand(state, batches, rates, 0.0, math.inf)
    assert_state(seen, weights, f"an epoch of {sizes_of(batches)} with a scheduler", cause)


@points(1)
@catches(
    "clipped-after-the-step",
    "not-clipped",
    "clipped-for-each-parameter",
    "clipped-by-value",
    "clipped-norm-reported",
    "norm-of-the-last-step",
    "norm-summed",
)
def test_clipping(student, rng):
    """Long gradients are scaled to the limit before the step, and the mean length before clipping is reported."""
    for sizes, share in (([3, 3, 2, 4], 0.8), ([2, 5, 3], 0.3), ([4, 1], 50.0)):
        state = random_state(rng)
        batches = random_batches(rng, sizes)
        _, _, free = epoch_by_hand(state, batches, [0.25] * len(sizes), 0.0, math.inf)
        limit = share * sorted(free)[len(free) // 2]
        settings = {"max_norm": limit, "momentum": 0.5}
        seen = student.run(train_epoch, state, batches, settings)
        weights, _, lengths = epoch_by_hand(state, batches, [0.25] * len(sizes), 0.5, limit)
        case = f"{sizes_of(batches)} with max_norm={limit:.4g}"
        cause = "all gradients together are one vector; it is scaled if it is longer than the limit, before the step"
        assert_state(seen, weights, f"an epoch of {case}", cause)
        found = entry(seen["result"], "grad_norm", float, "a Python float")
        cause = "the mean over the steps of the length before clipping"
        assert_close(found, math.fsum(lengths) / len(lengths), what=f"grad_norm for {case}", cause=cause, **CLOSE)


@points(1)
@catches("evaluation-mode-left-on", "evaluation-mode-set", "back-to-evaluation-mode")
def test_training_mode(student, rng):
    """The model trains in training mode, all of it, and is left in it."""
    state = random_state(rng)
    batches = random_batches(rng, [3, 2])
    for evaluation in (True, False):
        seen = student.run(train_epoch, state, batches, {"evaluation": evaluation})
        before = "evaluation" if evaluation else "training"
        for call, names in enumerate(seen["modes"]):
            if sorted(names) != sorted(MODULES):
                raise AssertionError(
                    f"The model came in {before} mode. In call {call}, in training mode: {names or 'no module'}; it "
                    "should be every module, or dropout does nothing and batch normalisation does not learn."
                )
        if sorted(seen["modes_after"]) != sorted(MODULES):
            raise AssertionError(
                f"The model came in {before} mode. After the epoch, in training mode: "
                f"{seen['modes_after'] or 'no module'}; it should be every module."
            )


@points(1)
@catches("non-finite-step-applied", "looked-at-after-the-step", "non-finite-batch-passed-over", "only-nan-is-refused")
def test_a_loss_that_is_not_finite(student, rng):
    """A loss of NaN or infinity ends the epoch before its batch changes anything."""
    factors = [1.0, 0.5, 1.5, 0.25, 0.125]
    for bad, place in ((math.nan, 2), (math.inf, 1), (math.nan, 0), (-math.inf, 3)):
        state = random_state(rng)
        batches = random_batches(rng, [2, 4, 3, 2])
        batches[place]["penalty"][1] = bad
        settings = {"momentum": 0.9, "factors": factors, "expects_error": True}
        seen = student.run(train_epoch, state, batches, settings)
        case = f"a loss of {bad} in batch {place} of 0 ... 3"
        if seen["error"] is None:
            raise AssertionError(f"train_epoch should raise FloatingPointError for {case}; it returned a value.")
        if "FloatingPointError" not in seen["error"]:
            raise AssertionError(
                f"train_epoch should raise FloatingPointError for {case}; it raised {seen['error'][0]}."
            )
        if len(seen["rates"]) != place:
            raise AssertionError(f"With {case} the optimiser made {len(seen['rates'])} steps; it should make {place}.")
        rates = [0.25 * factor for factor in factors[:place]]
        weights, _, _ = epoch_by_hand(state, batches[:place], rates, 0.9, math.inf)
        cause = "earlier batches count as usual, and the bad one changes nothing"
        assert_state(seen, weights, f"an epoch with {case}", cause)
        what = f"learning rate after {case}"
        assert_close(seen["next_rate"], 0.25 * factors[place], rtol=1e-9, atol=0, what=what, cause=cause)


@points(1)
@catches(
    "no-batch-gives-zero", "no-batch-divides-by-zero", "loss-of-none", "any-limit", "nan-limit", "limit-seen-too-late"
)
def test_bad_input(student, rng):
    """No batch, no loss and a limit that is not above 0 are refused."""
    state = random_state(rng)
    batches = random_batches(rng, [2, 3])
    for case, given, extra in (
        ("an empty list", [], {}),
        ("an exhausted generator", [], {"generator": True, "max_norm": 1.0}),
        ("max_norm=0.0", batches, {"max_norm": 0.0}),
        ("max_norm=0", batches, {"max_norm": 0}),
        ("max_norm=-1.0", batches, {"max_norm": -1.0}),
        ("max_norm=nan", batches, {"max_norm": math.nan}),
        ("a model whose dictionary has no loss for the last batch", batches, {"loss": "missing"}),
        ("a model whose loss is None for the last batch", batches, {"loss": "None"}),
    ):
        seen = student.run(train_epoch, state, given, extra | {"expects_error": True})
        if seen["error"] is None:
            raise AssertionError(f"train_epoch with {case} should raise ValueError; it returned a value.")
        if "ValueError" not in seen["error"]:
            raise AssertionError(f"train_epoch with {case} should raise ValueError; it raised {seen['error'][0]}.")
        calls, steps = (1, 1) if "loss" in extra else (0, 0)
        if len(seen["rates"]) != steps:
            raise AssertionError(f"train_epoch with {case} made {len(seen['rates'])} steps; it should make {steps}.")
        if "max_norm" in extra and len(seen["modes"]) > calls:
            raise AssertionError(f"train_epoch with {case} called the model before it raised.")
