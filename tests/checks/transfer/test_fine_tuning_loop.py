"""Hidden checks of transfer/fine_tuning_loop.

Two models live over there. One has batch normalisation; its run is worked out here in float64, formula by formula. The
other counts its steps and reads its validation loss from a table, so that any course of the validation can be played.
"""

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_claims, assert_close, assert_equal, catches, points, visible

CLAIMS = {
    "training_loss_suffices": False,
    "random_pairs": False,
    "no_grad_is_eval": False,
    "test_set_chooses": False,
    "baseline_needed": True,
    "prompt_is_masked": True,
    "best_of_many": True,
    "blank_image": True,
}
NAN, INF = math.nan, math.inf
SHAPES = {
    "text_layer.weight": (4, 3),
    "image_layer.weight": (4, 2),
    "norm.weight": (4,),
    "norm.bias": (4,),
    "norm.running_mean": (4,),
    "norm.running_var": (4,),
    "norm.num_batches_tracked": (),
    "head.weight": (5, 4),
    "head.bias": (5,),
    "frozen": (5,),
}
TRAINABLE = ("text_layer.weight", "image_layer.weight", "norm.weight", "norm.bias", "head.weight", "head.bias")
MODULES = ["the model", "text_layer", "image_layer", "norm", "head"]
CLOSE = {"rtol": 1e-3, "atol": 2e-5}
RATE = 0.25


# ---------------------------------------------------------------- what runs in the student's process


def finetune(student, state, train, val, settings):
    """A run on a small network with batch normalisation, and what happened in it.

    settings: `epochs`; `factors` of the learning rate for a scheduler; `old`, what every gradient is before;
    `evaluation`, the model comes in evaluation mode. Of each call of the model `calls` has the number of samples, the
    modules in training mode and whether gradients are recorded; `steps` has the trainable parameters after each step.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    calls, steps, rates = [], [], []

    class Batches:
        """Can be walked through again and again, and has no length."""

        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            for text, image, labels in self.batches:
                yield (text, image), labels

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.text_layer = nn.Linear(3, 4, bias=False)
            self.image_layer = nn.Linear(2, 4, bias=False)
            self.norm = nn.BatchNorm1d(4)
            self.head = nn.Linear(4, 5)
            self.frozen = nn.Parameter(torch.zeros(5), requires_grad=False)

        def forward(self, text, image):
            training = [name or "the model" for name, module in self.named_modules() if module.training]
            calls.append([len(text), training, torch.is_grad_enabled()])
            return self.head(torch.tanh(self.norm(self.text_layer(text) + self.image_layer(image)))) * self.frozen

    def copies(tensors):
        return {name: tensor.detach().clone() for name, tensor in tensors}

    model = Network()
    model.load_state_dict(state)
    model.train(not settings.get("evaluation", False))
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if "old" in settings:
        for _, parameter in trainable:
            parameter.grad = torch.full_like(parameter, settings["old"])
    tensors = [*model.parameters(), *model.buffers()]
    optimizer = torch.optim.SGD([parameter for _, parameter in trainable], lr=0.25, momentum=0.5)
    optimizer.register_step_pre_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    optimizer.register_step_post_hook(lambda *_: steps.append(copies(trainable)))
    named = {}
    factors = settings.get("factors")
    if factors:
        named["scheduler"] = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: factors[min(n, len(factors) - 1)])

    result = student.finetune(
        model, Batches(train), Batches(val), F.cross_entropy, optimizer, epochs=settings["epochs"], **named
    )
    modes_after = [name or "the model" for name, module in model.named_modules() if module.training]
    records_gradients = torch.is_grad_enabled()
    calls_of_the_run = list(calls)
    with torch.no_grad():
        text, image, labels = (torch.cat(parts) for parts in zip(*val, strict=True))
        loss_again = F.cross_entropy(model(text, image), labels).item()
    return {
        "result": result,
        "state": copies(model.state_dict().items()),
        "calls": calls_of_the_run,
        "steps": steps,
        "rates": rates,
        "next_rate": optimizer.param_groups[0]["lr"],
        "modes_after": modes_after,
        "records_gradients": records_gradients,
        "own_tensors": all(a is b for a, b in zip(tensors, [*model.parameters(), *model.buffers()], strict=True)),
        "loss_again": loss_again,
    }


def finetune_a_counter(student, course, epochs, empty):
    """A run on a model whose one weight counts its steps, two an epoch; `course` has the validation loss by epoch.

    `empty` names a set that has no batch. Returns the result, the weight afterwards and the classes of an error.
    """
    import torch
    from torch import nn

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = nn.Parameter(torch.zeros(1))

        def forward(self, ones):
            return self.steps * ones  # (batch, 1)

    def loss_fn(output, targets):
        if targets.shape[1] == 1:
            return -output.mean()  # with a rate of 1, each step adds 1
        epoch = int(output[0].item()) // 2 - 1
        return targets[:, epoch].mean() + 0 * output.mean()

    model = Counter()
    train = [((torch.ones(3, 1),), torch.zeros(3, 1)), ((torch.ones(1, 1),), torch.zeros(1, 1))]
    val = [((torch.ones(2, 1),), torch.tensor([[*course, 0.0, 0.0]] * 2))]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    sets = [[] if empty == "train" else train, [] if empty == "val" else val]
    result, error, function = None, None, student.finetune
    try:
        result = function(model, *sets, loss_fn, optimizer, epochs=epochs)
    except Exception as raised:
        error = [kind.__name__ for kind in type(raised).__mro__]
    return result, model.steps.item(), error


def first_steps(student):
    import torch
    from torch import nn

    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 8.0)
    train = [((torch.ones(2, 1),), torch.zeros(2, 1))]
    val = [((torch.ones(2, 1),), torch.ones(2, 1)), ((torch.ones(1, 1),), torch.full((1, 1), 4.0))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    result = student.finetune(model, train, val, nn.functional.mse_loss, optimizer, epochs=4)
    return result, model.weight.item(), model.training


# ---------------------------------------------------------------- what is expected, worked out here


def random_state(rng: np.random.Generator) -> dict[str, Tensor]:
    state = {name: torch.from_numpy(np.asarray(rng.normal(size=shape))).float() for name, shape in SHAPES.items()}
    state["norm.running_var"] = torch.from_numpy(rng.uniform(0.5, 3.0, size=4)).float()
    state["norm.num_batches_tracked"] = torch.tensor(7)
    return state


def random_batches(rng: np.random.Generator, sizes: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Batches of texts, images and labels."""
    return [
        (
            torch.from_numpy(rng.normal(size=(size, 3))).float(),
            torch.from_numpy(rng.normal(size=(size, 2))).float(),
            torch.from_numpy(rng.integers(0, 5, size)),
        )
        for size in sizes
    ]


def losses_of(weights: dict[str, Tensor], batch: tuple[Tensor, Tensor, Tensor], training: bool):
    """Loss of each sample in float64, with the mean and variance that batch normalisation has used."""
    text, image, labels = batch
    hidden = text.double() @ weights["text_layer.weight"].T + image.double() @ weights["image_layer.weight"].T
    if training:
        mean = hidden.mean(dim=0)
        variance = ((hidden - mean) ** 2).mean(dim=0)
    else:
        mean, variance = weights["norm.running_mean"], weights["norm.running_var"]
    hidden = (hidden - mean) / torch.sqrt(variance + 1e-5) * weights["norm.weight"] + weights["norm.bias"]
    logits = (torch.tanh(hidden) @ weights["head.weight"].T + weights["head.bias"]) * weights["frozen"]
    return -torch.log_softmax(logits, dim=1)[torch.arange(len(labels)), labels], mean, variance


def train_by_hand(state: dict[str, Tensor], train, epochs: int) -> dict:
    """The training of a run: SGD with momentum 0.5 and batch normalisation written out."""
    weights = {name: tensor.double() for name, tensor in state.items()}
    velocity = {name: torch.zeros_like(weights[name]) for name in TRAINABLE}
    run = {"train_loss": [], "states": [], "steps": [], "least_variance": math.inf}
    for _ in range(epochs):
        losses = []
        for batch in train:
            leaves = {name: weights[name].clone().requires_grad_() for name in TRAINABLE}
            of_examples, mean, variance = losses_of(weights | leaves, batch, training=True)
            gradients = torch.autograd.grad(of_examples.mean(), list(leaves.values()))
            for name, gradient in zip(TRAINABLE, gradients, strict=True):
                velocity[name] = 0.5 * velocity[name] + gradient
                weights[name] = weights[name] - RATE * velocity[name]
            size = len(batch[2])
            unbiased = variance.detach() * size / (size - 1)
            weights["norm.running_mean"] = 0.9 * weights["norm.running_mean"] + 0.1 * mean.detach()
            weights["norm.running_var"] = 0.9 * weights["norm.running_var"] + 0.1 * unbiased
            weights["norm.num_batches_tracked"] = weights["norm.num_batches_tracked"] + 1
            run["least_variance"] = min(run["least_variance"], variance.min().item())
            losses += of_examples.tolist()
            run["steps"].append({name: weights[name] for name in TRAINABLE})
        run["train_loss"].append(math.fsum(losses) / len(losses))
        run["states"].append(dict(weights))
    return run


def case_with_best_epoch(rng: np.random.Generator, train_sizes, val_sizes, epochs: int):
    """A random run whose best epoch is neither the first nor the last, and well apart from the others."""
    for _ in range(50):
        state, train = random_state(rng), random_batches(rng, train_sizes)
        run = train_by_hand(state, train, epochs)
        if run["least_variance"] < 0.1:
            continue  # normalisation divides by its root, and would magnify the rounding of float32
        for _ in range(20):
            val = random_batches(rng, val_sizes)
            joined = tuple(torch.cat(parts) for parts in zip(*val, strict=True))
            losses = [losses_of(weights, joined, training=False)[0].mean().item() for weights in run["states"]]
            order = sorted(losses)
            if losses.index(order[0]) not in (0, epochs - 1) and order[1] > order[0] * 1.01:
                return state, train, val, run | {"val_loss": losses}
    raise RuntimeError("no random run has its best epoch in the middle")


def entry(result, key: str):
    if not isinstance(result, dict):
        raise AssertionError(f"finetune should return a dict; it returned {type(result).__name__}.")
    if key not in result:
        raise AssertionError(f"The dict has no entry {key!r}; its keys are {sorted(map(str, result))}.")
    return result[key]


def numbers(result, key: str, count: int) -> list[float]:
    found = entry(result, key)
    if not isinstance(found, list):
        raise AssertionError(f"The entry {key!r} should be a list; it is of type {type(found).__name__}.")
    if len(found) != count:
        raise AssertionError(f"The list {key!r} has {len(found)} numbers for {count} epochs.")
    strange = [value for value in found if not isinstance(value, float)]
    if strange:
        raise AssertionError(f"The list {key!r} should hold Python floats; it holds a {type(strange[0]).__name__}.")
    return found


def best_epoch(result) -> int:
    found = entry(result, "best_epoch")
    if not isinstance(found, int) or isinstance(found, bool):
        raise AssertionError(f"The entry 'best_epoch' should be an int; it is of type {type(found).__name__}.")
    return found


def sizes_of(batches) -> str:
    return ", ".join(str(len(batch[2])) for batch in batches)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_steps(student):
    """The small example in the notebook comes out right."""
    result, weight, training = student.run(first_steps)
    for key, value in {"train_loss": [64.0, 16.0, 4.0, 1.0], "val_loss": [6.0, 2.0, 3.0, 4.25]}.items():
        assert_close(numbers(result, key, 4), value, rtol=1e-5, atol=1e-6, what=f"list {key}")
    assert_equal(best_epoch(result), 1, what="best_epoch")
    assert_close(weight, 2.0, rtol=1e-6, atol=1e-6, what="weight afterwards", cause="it was 2 after the best epoch")
    if training:
        raise AssertionError("The model is in training mode afterwards; it should be left in evaluation mode.")


@points(3)
@catches("published-claims", "no-grad-is-eval")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "gradients-add-up",
    "old-gradient-in-the-first-step",
    "evaluation-mode-from-the-second-epoch",
    "train-loss-unweighted",
    "one-epoch-short",
    "step-in-each-epoch-only",
)
def test_training(student, rng):
    """Every epoch trains in training mode, one step for each batch, and its loss is the mean over the samples."""
    for sizes, evaluation in (([4, 4, 2], False), ([3, 6], True)):
        state, train, val, run = case_with_best_epoch(rng, sizes, [3, 2], epochs=4)
        settings = {"epochs": 4, "old": 1.5, "evaluation": evaluation}
        seen = student.run(finetune, state, train, val, settings)
        case = f"4 epochs with training batches of {sizes_of(train)} samples; every .grad was 1.5 before"
        if len(seen["steps"]) != 4 * len(train):
            raise AssertionError(f"The optimiser made {len(seen['steps'])} steps in {case}.")
        whole = sum(sorted(training) == sorted(MODULES) and records for _, training, records in seen["calls"])
        if whole != 4 * len(train):
            raise AssertionError(
                f"{whole} of {4 * len(train)} training batches went through the model with all of its modules in "
                f"training mode and gradients recorded, in {case}. Every epoch has to see to its own mode."
            )
        for step, (found, expected) in enumerate(zip(seen["steps"], run["steps"], strict=True)):
            epoch, number = divmod(step, len(train))
            for name, value in expected.items():
                what = f"parameter {name} after step {number} of epoch {epoch} ({case})"
                cause = "in training mode, each step uses the gradient of its own batch alone"
                assert_close(found[name], value, what=what, cause=cause, **CLOSE)
        found = numbers(seen["result"], "train_loss", 4)
        cause = "the mean over the samples of what the loss was during the epoch"
        assert_close(found, run["train_loss"], what=f"list train_loss for {case}", cause=cause, **CLOSE)


@points(1)
@catches(
    "validation-in-training-mode",
    "gradients-recorded-in-validation",
    "mean-of-batch-means",
    "validation-before-the-epoch",
    "losses-as-tensors",
)
def test_validation(student, rng):
    """After each epoch the loss over all validation samples is taken in evaluation mode without gradients."""
    for train_sizes, val_sizes in (([4, 3], [5, 5, 1]), ([3, 4, 3], [1, 6])):
        state, train, val, run = case_with_best_epoch(rng, train_sizes, val_sizes, epochs=3)
        seen = student.run(finetune, state, train, val, {"epochs": 3})
        calls = seen["calls"]
        expected = (len(train) + len(val)) * 3
        case = f"3 epochs of {len(train)} training and {len(val)} validation batches"
        if len(calls) != expected:
            raise AssertionError(f"The model was called {len(calls)} times in {case}; it should be {expected} times.")
        for epoch in range(3):
            start = epoch * (len(train) + len(val)) + len(train)
            for size, training, records in calls[start : start + len(val)]:
                if training:
                    raise AssertionError(
                        f"In the validation of epoch {epoch}, with {size} samples, these modules were in training "
                        f"mode: {', '.join(training)}. Batch normalisation then uses and learns from validation data."
                    )
                if records:
                    raise AssertionError(f"In the validation of epoch {epoch} gradients were recorded.")
        found = numbers(seen["result"], "val_loss", 3)
        what = f"list val_loss for {case}, the latter of {sizes_of(val)} samples"
        cause = "the mean over the samples, with the weights that the epoch has left"
        assert_close(found, run["val_loss"], what=what, cause=cause, **CLOSE)


@points(1)
@catches("scheduler-before-the-optimiser", "scheduler-once-an-epoch", "scheduler-in-validation-too")
def test_scheduler(student, rng):
    """The scheduler sets the rate of the next step, after each step of the optimiser."""
    state, train, val = random_state(rng), random_batches(rng, [3, 2]), random_batches(rng, [2, 4])
    factors = [1.0, 0.5, 1.5, 0.75, 0.25, 2.0, 0.125, 0.0625, 3.0]
    seen = student.run(finetune, state, train, val, {"epochs": 3, "factors": factors})
    rates = [RATE * factor for factor in factors[:6]]
    cause = "the scheduler's first rate is set before the run; each of its steps follows one of the optimiser"
    what = "list of learning rates at the optimiser's steps, 3 epochs of 2 batches,"
    assert_close(seen["rates"], rates, rtol=1e-9, atol=0, what=what, cause=cause)
    what = "learning rate after 3 epochs of 2 batches"
    assert_close(seen["next_rate"], RATE * factors[6], rtol=1e-9, atol=0, what=what, cause=cause)


@points(1)
@catches(
    "last-weights",
    "live-references",
    "parameters-without-buffers",
    "last-of-equals",
    "left-in-training-mode",
    "epochs-counted-from-one",
    "chosen-by-training-loss",
    "each-epoch-restarts-from-the-best",
)
def test_the_best_epoch_comes_back(student, rng):
    """Afterwards the model is the one of the best epoch, parameters and buffers, ready to be used."""
    state, train, val, run = case_with_best_epoch(rng, [5, 3], [3, 4], epochs=5)
    seen = student.run(finetune, state, train, val, {"epochs": 5})
    best = run["val_loss"].index(min(run["val_loss"]))
    losses = ", ".join(f"{loss:.4g}" for loss in run["val_loss"])
    case = f"validation losses {losses}"
    assert_equal(best_epoch(seen["result"]), best, what=f"best_epoch for {case}")
    for name, value in run["states"][best].items():
        cause = f"the model should be what it was after epoch {best}, buffers included, whatever came later"
        assert_close(seen["state"][name], value, what=f"{name} of the model for {case}", cause=cause, **CLOSE)
    if seen["modes_after"]:
        raise AssertionError(f"Afterwards in training mode: {', '.join(seen['modes_after'])}; it should be no module.")
    if not seen["records_gradients"]:
        raise AssertionError("Afterwards torch.is_grad_enabled() is False; a further training would stand still.")
    if not seen["own_tensors"]:
        raise AssertionError(
            "The model's tensors are other objects than before; an optimiser would train the old ones."
        )
    what = "validation loss of the model that came back"
    assert_close(seen["loss_again"], run["val_loss"][best], what=what, **CLOSE)
    for course in ([3.0, 1.0, 2.0, 1.0], [2.0, 2.0, 2.0], [5.0, 4.0, 3.0], [1.0, 2.0, -1.0, 0.0], [0.5]):
        assert_course(student, course)


def assert_course(student, course: list[float]) -> None:
    """The best epoch of this course of validation losses is chosen, the first of equal ones."""
    result, steps, error = student.run(finetune_a_counter, course, len(course), "")
    case = f"validation losses {course}"
    if error is not None:
        raise AssertionError(f"finetune raised {error[0]} for {case}.")
    best = min((epoch for epoch in range(len(course)) if math.isfinite(course[epoch])), key=lambda e: course[e])
    assert_equal(best_epoch(result), best, what=f"best_epoch for {case}")
    assert_close(
        numbers(result, "val_loss", len(course)), course, rtol=1e-6, atol=1e-6, what=f"list val_loss for {case}"
    )
    what = f"number of steps in the weights of the model, two an epoch, for {case},"
    assert_close(steps, 2.0 * (best + 1), rtol=0, atol=1e-6, what=what, cause=f"epoch {best} was the best")


@points(1)
@catches("nan-is-best", "nan-is-skipped-by-stopping", "minus-infinity-is-best", "all-nan-returns")
def test_losses_that_are_not_finite(student):
    """NaN or infinity never makes an epoch the best one; if there is nothing else, RuntimeError."""
    for course in (
        [NAN, 2.0, 1.0, 3.0],
        [2.0, NAN, 1.0],
        [2.0, 1.0, NAN],
        [INF, 3.0, NAN, 2.0],
        [1.0, -INF, 2.0],
        [NAN, NAN, 4.0, NAN],
    ):
        assert_course(student, course)
    for course in ([NAN], [NAN, INF], [INF, INF, INF], [-INF, NAN]):
        result, _, error = student.run(finetune_a_counter, course, len(course), "")
        if error is None:
            raise AssertionError(f"finetune with validation losses {course} should raise RuntimeError; it returned.")
        if "RuntimeError" not in error or "NotImplementedError" in error:
            raise AssertionError(f"finetune with validation losses {course} should raise RuntimeError, not {error[0]}.")


@points(1)
@catches("no-epochs-accepted", "no-training-data-accepted", "no-validation-data-accepted", "divides-by-zero")
def test_bad_input(student):
    """No epochs, no training batches and no validation batches are refused."""
    for case, epochs, empty in (
        ("epochs=0", 0, ""),
        ("epochs=-2", -2, ""),
        ("no training batch", 2, "train"),
        ("no validation batch", 2, "val"),
        ("no validation batch and a single epoch", 1, "val"),
    ):
        _, steps, error = student.run(finetune_a_counter, [2.0, 1.0], epochs, empty)
        if error is None:
            raise AssertionError(f"finetune with {case} should raise ValueError; it returned a value.")
        if "ValueError" not in error:
            raise AssertionError(f"finetune with {case} should raise ValueError; it raised {error[0]}.")
        allowed = 2.0 if empty == "val" else 0.0
        if steps > allowed:
            raise AssertionError(f"finetune with {case} made {steps:g} optimiser steps before it raised.")
