"""Checks of transfer/bert_fine_tuning.

A tiny BERT with random weights lives in the student's process; PyTorch tells there of each step of AdamW. A copy of the
model, given the weights before a step, says what loss and gradient belong to that batch; clipping, schedule, decay and
the rule of AdamW are worked out here.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_dtype, assert_equal, assert_shape, catches, points, visible

CLASSES = 3
CLOSE = {"rtol": 2e-4, "atol": 2e-6}
KEYS = ["attention_mask", "input_ids", "labels"]


# ---------------------------------------------------------------- what runs in the student's process


def finetune_bert(student, seed, batches, arguments, settings):
    """One run on a tiny BERT, and for each step of AdamW what it was given and what it did.

    settings: `old`, what every gradient is before; `frozen`, how many parameters, from the first on, are frozen;
    `training`, which modules are in training mode before ("all" or "some"; otherwise none); `expects_error`;
    `gradients`, whether to add to each step what the library says of its batch.
    """
    import copy

    import torch
    from torch.optim import optimizer as hooks
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=10,
        num_labels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    for parameter in list(model.parameters())[: settings.get("frozen", 0)]:
        parameter.requires_grad_(False)
    model.train(settings.get("training") == "all")
    if settings.get("training") == "some":
        for module in list(model.modules())[::3]:
            module.training = True
    twin = copy.deepcopy(model).eval()
    original = [(name, id(parameter)) for name, parameter in model.named_parameters()]
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if "old" in settings:
        for _, parameter in named:
            parameter.grad = torch.full_like(parameter, settings["old"])

    modes, steps = [], []

    def values():
        return {name: parameter.detach().clone() for name, parameter in named}

    def before_step(optimizer, args, kwargs):
        group_of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
        groups = {name: group_of.get(id(parameter)) for name, parameter in named}
        steps.append(
            {
                "optimizer": type(optimizer).__name__,
                "rates": {name: float(group["lr"]) for name, group in groups.items() if group},
                "decays": {name: float(group["weight_decay"]) for name, group in groups.items() if group},
                "before": values(),
                "used": {name: p.grad.detach().clone() for name, p in named if p.grad is not None},
            }
        )

    def after_step(optimizer, args, kwargs):
        steps[-1]["after"] = values()

    def note_modes(module, args, kwargs):
        modes.append([sum(m.training for m in model.modules()), torch.is_grad_enabled()])

    handles = [
        hooks.register_optimizer_step_pre_hook(before_step),
        hooks.register_optimizer_step_post_hook(after_step),
        model.register_forward_pre_hook(note_modes, with_kwargs=True),
    ]
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = [dict(batch) for batch in batches]
    error, losses, function = None, None, student.finetune_bert
    try:
        losses = function(model, given, **arguments)
    except Exception as raised:
        if not settings.get("expects_error"):
            raise
        error = [kind.__name__ for kind in type(raised).__mro__]
    finally:
        for handle in handles:
            handle.remove()

    # what the library itself says about the loss and the gradient of each step's batch, at the weights before the step
    for number, step in enumerate(steps if settings.get("gradients") else []):
        twin.zero_grad()
        twin.load_state_dict(step["before"], strict=False)
        loss = twin(**batches[number % len(batches)]).loss
        loss.backward()
        step["loss"] = loss.item()
        step["gradient"] = {n: p.grad.detach().clone() for n, p in twin.named_parameters() if p.grad is not None}
    return {
        "losses": losses,
        "error": error,
        "steps": steps,
        "modes": modes,
        "modules": len(list(model.modules())),
        "training_after": sum(module.training for module in model.modules()),
        "records_gradients": torch.is_grad_enabled(),
        "changed": [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, start[name])],
        "frozen": [name for name, parameter in twin.named_parameters() if not parameter.requires_grad],
        "own_parameters": original == [(name, id(parameter)) for name, parameter in model.named_parameters()],
        "keys": [sorted(batch) for batch in given],
    }


def predict(student, seed, batches, training, fails_at):
    """The predictions of a tiny BERT with much dropout, made twice, and what happened to the model.

    training: for each module whether it is in training mode. fails_at: the call of the model that raises, 0 for none.
    `alone` has the logits of each sample without its padding, from a copy in evaluation mode.
    """
    import copy

    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=10,
        num_labels=3,
        hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.5,
    )
    model = BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    twin = copy.deepcopy(model).eval()

    # a bias for the head that makes all classes about equally frequent
    def logits_alone():
        alone = []
        with torch.no_grad():
            for batch in batches:
                for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                    there = ids[mask.bool()][None]
                    alone.append(twin(input_ids=there, attention_mask=torch.ones_like(there)).logits[0])
        return torch.stack(alone)

    alone = logits_alone()
    with torch.no_grad():
        for head in (model.classifier, twin.classifier):
            head.bias.sub_(alone.mean(dim=0))
    modules = list(model.modules())
    for module, mode in zip(modules, training * len(modules), strict=False):
        module.training = mode
    modes = [module.training for module in modules]
    calls = []

    def note(module, args, kwargs):
        calls.append([sum(m.training for m in modules), torch.is_grad_enabled()])
        if len(calls) == fails_at:
            raise MemoryError("out of memory")

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    results, error, function = [], None, student.predict
    try:
        for _ in range(2):
            results.append(function(model, batches))
    except MemoryError as raised:
        if not fails_at:
            raise
        error = str(raised)
    handle.remove()
    after = [module.training for module in modules]
    records_gradients = torch.is_grad_enabled()
    return {
        "results": results,
        "error": error,
        "calls": calls,
        "modes": modes,
        "after": after,
        "records_gradients": records_gradients,
        "keys": [sorted(batch) for batch in batches],
        "alone": alone - alone.mean(dim=0),
    }


def predict_bad_input(student, batches):
    """Classes of the error that predict raises, None if it raises none."""
    model = student.tiny_bert(seed=1)
    function = student.predict
    try:
        function(model, batches)
    except Exception as raised:
        return [kind.__name__ for kind in type(raised).__mro__]
    return None


def first_steps(student):
    import torch

    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(4):
        input_ids = torch.randint(5, 40, (8, 6), generator=generator)
        labels = torch.randint(0, 2, (8,), generator=generator)
        input_ids[:, 0] = 3 + labels
        batches.append({"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels})
    model = student.tiny_bert(seed=0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = student.finetune_bert(model, batches, epochs=6, lr=2e-3)
    unmoved = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    training = model.training
    predicted = student.predict(model, batches)
    return len(losses), [type(loss).__name__ for loss in losses], unmoved, training, predicted, batches


# ---------------------------------------------------------------- what is expected, worked out here


def random_batches(rng: np.random.Generator, shapes: list[tuple[int, int]]) -> list[dict]:
    """Batches of the given (samples, length); each sample ends with padding, which is random ids too."""
    batches = []
    for size, length in shapes:
        mask = np.ones((size, length), dtype=np.int64)
        for row, there in enumerate(rng.integers(2, length, size)):
            mask[row, there:] = 0
        ids, labels = rng.integers(0, 20, (size, length)), rng.integers(0, CLASSES, size)
        values = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        batches.append({name: torch.from_numpy(value) for name, value in values.items()})
    return batches


def some_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def length_of(gradients: dict[str, Tensor]) -> float:
    return math.sqrt(sum(gradient.double().square().sum().item() for gradient in gradients.values()))


def schedule(steps: int, warmup: int) -> list[float]:
    """Shares of the highest rate, step by step."""
    return [step / warmup if step < warmup else (steps - step) / (steps - warmup) for step in range(steps)]


def assert_number_of_steps(seen: dict, count: int, case: str) -> None:
    steps = seen["steps"]
    if not steps:
        raise AssertionError(
            f"finetune_bert made no step of torch.optim.AdamW ({case}). model.train() by itself sets a flag and moves "
            "no parameter."
        )
    if len(steps) != count:
        raise AssertionError(f"finetune_bert made {len(steps)} optimiser steps ({case}); it should make {count}.")
    if not seen["own_parameters"]:
        raise AssertionError(f"After finetune_bert the model has other parameters than before ({case}).")


def assert_gradients(seen: dict, limit: float, case: str, cause: str) -> None:
    """Each step used the gradient that the library gives for its batch, clipped to the limit."""
    for number, step in enumerate(seen["steps"]):
        gradient = step["gradient"]
        scale = min(1.0, limit / length_of(gradient))
        for name, value in gradient.items():
            what = f"gradient of {name} in step {number} ({case})"
            if name not in step["used"]:
                raise AssertionError(f"The {what} is missing: the optimiser cannot move this parameter.")
            if name not in step["rates"]:
                raise AssertionError(f"The optimiser does not hold {name}, so it is never trained ({case}).")
            assert_close(step["used"][name], scale * value, what=what, cause=cause, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_steps(student):
    """The small example in the notebook is learned, and every parameter has moved."""
    count, kinds, unmoved, training, predicted, batches = student.run(first_steps)
    assert_equal(count, 24, what="number of losses for 6 epochs of 4 batches")
    if set(kinds) != {"float"}:
        raise AssertionError(
            f"The losses should be Python floats; among them is a {next(k for k in kinds if k != 'float')}."
        )
    if unmoved:
        raise AssertionError(f"{len(unmoved)} parameters have not changed at all, among them {unmoved[-1]}.")
    if training:
        raise AssertionError("The model is in training mode; it should be left in evaluation mode.")
    assert_shape(predicted, (32,), what="tensor of predictions")
    assert_dtype(predicted, "int64", what="tensor of predictions")
    right = int((predicted == torch.cat([batch["labels"] for batch in batches])).sum())
    if right != 32:
        raise AssertionError(f"{right} of 32 training samples are predicted rightly; all of them can be.")


@points(2)
@catches(
    "only-train-mode",
    "mask-dropped",
    "loss-of-probabilities",
    "only-the-head",
    "head-replaced-after-the-optimiser",
    "gradients-add-up",
    "old-gradient-in-the-first-step",
    "losses-as-tensors",
    "frozen-parameters-thawed",
    "labels-taken-out-of-the-batch",
)
def test_one_step_for_each_batch(student, rng):
    """Each batch makes one step with the gradient of its own loss, padding apart, and frozen parameters stay."""
    for shapes, epochs, frozen in (([(3, 5), (2, 7), (4, 4)], 2, 0), ([(2, 6)], 3, 0), ([(2, 4), (3, 6)], 2, 5)):
        batches = random_batches(rng, shapes)
        arguments = {"epochs": epochs, "lr": 0.01, "warmup_ratio": 0.0, "max_grad_norm": 1e6}
        seen = student.run(
            finetune_bert, some_seed(rng), batches, arguments, {"old": 1.5, "frozen": frozen, "gradients": True}
        )
        case = f"{epochs} epochs of {len(shapes)} batches; every .grad was 1.5 before"
        assert_number_of_steps(seen, epochs * len(shapes), case)
        cause = (
            "the loss is the cross-entropy of the logits, the mask keeps padding out, and each step uses the gradient "
            "of its own batch alone"
        )
        assert_gradients(seen, 1e6, case, cause)
        losses = seen["losses"]
        if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
            raise AssertionError(f"finetune_bert should return a list of Python floats ({case}).")
        expected = [step["loss"] for step in seen["steps"]]
        assert_close(losses, expected, what=f"list of losses ({case})", cause="the loss of each step's batch", **CLOSE)
        moved = [name for name in seen["frozen"] if name in seen["changed"]]
        if moved:
            raise AssertionError(f"{moved[0]} was frozen, and yet it has changed ({case}).")
        if seen["keys"] != [KEYS] * len(shapes):
            raise AssertionError("finetune_bert changed the dictionaries of the batches; they are needed again.")


@points(1)
@catches(
    "scheduler-once-an-epoch",
    "warmup-rounded-up",
    "schedule-of-one-epoch",
    "constant-after-the-warmup",
    "scheduler-before-the-optimiser",
    "no-schedule",
)
def test_learning_rates(student, rng):
    """The rate rises to its highest value and falls towards 0, step by step over the whole run."""
    for count, epochs, ratio, lr in ((4, 3, 0.3, 0.02), (3, 2, 0.0, 0.01), (2, 2, 0.2, 0.05)):
        batches = random_batches(rng, [(2, 4)] * count)
        arguments = {"epochs": epochs, "lr": lr, "warmup_ratio": ratio}
        seen = student.run(finetune_bert, some_seed(rng), batches, arguments, {})
        case = f"{epochs} epochs of {count} batches, warmup_ratio={ratio}, lr={lr}"
        assert_number_of_steps(seen, epochs * count, case)
        found = []
        for number, step in enumerate(seen["steps"]):
            rates = set(step["rates"].values())
            if len(rates) != 1:
                raise AssertionError(f"In step {number} different parameters have different rates: {sorted(rates)}.")
            found.append(rates.pop())
        expected = [lr * share for share in schedule(epochs * count, int(ratio * epochs * count))]
        cause = "the schedule counts optimiser steps, T = epochs * batches of them, and moves on after each"
        assert_close(found, expected, rtol=1e-6, atol=1e-9, what=f"list of learning rates ({case})", cause=cause)


@points(1)
@catches("decay-everywhere", "layer-norm-decays", "no-decay", "decay-as-penalty")
def test_weight_decay(student, rng):
    """Matrices decay, biases and layer normalisation do not, and each step follows the rule of AdamW."""
    batches = random_batches(rng, [(3, 5), (2, 4)])
    lr, decay = 0.05, 0.2
    arguments = {"epochs": 2, "lr": lr, "weight_decay": decay, "warmup_ratio": 0.25, "max_grad_norm": 2.0}
    seen = student.run(finetune_bert, some_seed(rng), batches, arguments, {})
    case = f"lr={lr}, weight_decay={decay}"
    assert_number_of_steps(seen, 4, case)
    if seen["steps"][0]["optimizer"] != "AdamW":
        raise AssertionError(f"The optimiser is {seen['steps'][0]['optimizer']}; it should be torch.optim.AdamW.")
    shapes = {name: value.ndim for name, value in seen["steps"][0]["before"].items()}
    for name, dimensions in shapes.items():
        what = f"weight decay of {name}, which has {dimensions} dimension{'s' * (dimensions > 1)}"
        found = seen["steps"][0]["decays"].get(name)
        if found is None:
            raise AssertionError(f"The optimiser does not hold {name}, so it is never trained.")
        assert_close(found, decay if dimensions >= 2 else 0.0, rtol=1e-9, atol=0, what=what)
    rates = [lr * share for share in schedule(4, 1)]
    for name, dimensions in shapes.items():
        first = second = torch.zeros(())
        for number, (step, rate) in enumerate(zip(seen["steps"], rates, strict=True), start=1):
            gradient, value = step["used"][name].double(), step["before"][name].double()
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            direction = (first / (1 - 0.9**number)) / ((second / (1 - 0.999**number)).sqrt() + 1e-8)
            value = value * (1 - rate * (decay if dimensions >= 2 else 0.0)) - rate * direction
            what = f"{name} after step {number - 1} ({case})"
            cause = "the rule of AdamW, whose decay is no part of the gradient, with PyTorch's betas and eps"
            assert_close(step["after"][name], value, what=what, cause=cause, rtol=1e-4, atol=1e-5)


@points(1)
@catches("not-clipped", "clipped-for-each-parameter", "clipped-by-value", "clipped-after-the-step")
def test_clipping(student, rng):
    """All gradients together are scaled down to max_grad_norm before the step, if they are longer."""
    for limit in (0.05, 0.7, 1.0, 3.0):
        batches = random_batches(rng, [(2, 5), (4, 4)])
        arguments = {"epochs": 1, "lr": 0.01} | ({} if limit == 1.0 else {"max_grad_norm": limit})
        seen = student.run(finetune_bert, some_seed(rng), batches, arguments, {"gradients": True})
        case = f"max_grad_norm={limit}" + " by default" * (limit == 1.0)
        assert_number_of_steps(seen, 2, case)
        cause = "one factor for the gradients of all parameters together, before the step"
        assert_gradients(seen, limit, case, cause)


@points(1)
@catches("left-in-training-mode", "trained-in-evaluation-mode")
def test_modes(student, rng):
    """The whole model is in training mode during the run, and in evaluation mode after it."""
    for before, epochs in (("none", 2), ("all", 1), ("some", 1)):
        batches = random_batches(rng, [(2, 4), (3, 5)])
        seen = student.run(finetune_bert, some_seed(rng), batches, {"epochs": epochs}, {"training": before})
        case = f"{before} of its modules were in training mode before"
        assert_number_of_steps(seen, 2 * epochs, case)
        for call, (training, records) in enumerate(seen["modes"]):
            if training != seen["modules"] or not records:
                raise AssertionError(
                    f"In call {call} of the model {training} of {seen['modules']} modules were in training mode "
                    f"({case}). from_pretrained gives a model in evaluation mode, in which dropout does nothing."
                )
        if seen["training_after"]:
            raise AssertionError(
                f"Afterwards {seen['training_after']} modules are in training mode ({case}); none should be."
            )
        if not seen["records_gradients"]:
            raise AssertionError("Afterwards torch.is_grad_enabled() is False; a further training would stand still.")


@points(2)
@catches(
    "predicts-in-training-mode",
    "predict-leaves-evaluation-mode",
    "predict-leaves-training-mode",
    "modes-lost-on-an-error",
    "predict-without-mask",
    "predict-records-gradients",
)
def test_predict(student, rng):
    """Predictions are the same each time, padding apart, and the model is left as it was."""
    for training, with_labels in (
        ([True], True),
        ([False], False),
        ([True, False, True], False),
        ([False, True], True),
    ):
        batches = random_batches(rng, [(7, 7), (1, 4), (8, 9)])
        for batch in batches:
            if with_labels:
                batch["labels"][0] = -100  # unknown, and not needed
            else:
                del batch["labels"]
        keys = [sorted(batch) for batch in batches]
        seen = student.run(predict, some_seed(rng), batches, training, 0)
        case = f"batches {'with' if with_labels else 'without'} labels, {sum(seen['modes'])} modules in training mode"
        scores = seen["alone"].double()
        top = scores.topk(2, dim=1).values
        clear = (top[:, 0] - top[:, 1]) > 1e-3  # whose largest logit is no matter of rounding
        for found in seen["results"]:
            assert_shape(found, (16,), what=f"tensor of predictions ({case})")
            assert_dtype(found, "int64", what=f"tensor of predictions ({case})")
            cause = "the largest logit in evaluation mode; padding is no part of the text"
            expected = scores.argmax(dim=1)
            assert_equal(found[clear], expected[clear], what=f"tensor of predictions ({case})", cause=cause)
        if not torch.equal(*seen["results"]):
            raise AssertionError(f"Two calls of predict on the same batches gave different predictions ({case}).")
        for in_training, records in seen["calls"]:
            if in_training or records:
                raise AssertionError(
                    f"While predict called the model, {in_training} of its modules were in training mode and "
                    f"torch.is_grad_enabled() was {records}; it should be none, and False."
                )
        if seen["keys"] != keys:
            raise AssertionError("predict changed the dictionaries of the batches.")
        assert_left_alone(seen, f"predict ({case})")
    for training in ([True], [True, False, True]):
        seen = student.run(predict, some_seed(rng), random_batches(rng, [(2, 4), (2, 5)]), training, 2)
        if seen["error"] is None:
            raise AssertionError("predict swallowed an error that the model raised.")
        assert_left_alone(seen, "predict, which the model left with an error")


def assert_left_alone(seen: dict, what: str) -> None:
    if seen["after"] != seen["modes"]:
        changed = sum(a != b for a, b in zip(seen["after"], seen["modes"], strict=True))
        raise AssertionError(
            f"After {what}, {changed} of {len(seen['modes'])} modules are in another mode than before. Each has a mode "
            "of its own and gets it back, also when the model raises an error."
        )
    if not seen["records_gradients"]:
        raise AssertionError(f"After {what}, torch.is_grad_enabled() is False: training would stand still.")


@points(1)
@catches(
    "labels-unchecked",
    "ignored-labels-accepted",
    "checked-in-the-loop",
    "any-warmup-ratio",
    "missing-mask-accepted",
)
def test_bad_input(student, rng):
    """Missing keys, labels that are no class, and a run without batches, epochs or a sensible warm-up are refused."""
    good = random_batches(rng, [(2, 4), (3, 5)])

    def without(key):
        return [good[0], {name: value for name, value in good[1].items() if name != key}]

    def with_label(label):
        return [good[0], good[1] | {"labels": torch.tensor([0, label, 1])}]

    for case, batches, arguments, wanted in (
        ("no batch", [], {}, "ValueError"),
        ("epochs=0", good, {"epochs": 0}, "ValueError"),
        ("warmup_ratio=1.0", good, {"warmup_ratio": 1.0}, "ValueError"),
        ("warmup_ratio=-0.1", good, {"warmup_ratio": -0.1}, "ValueError"),
        ("label 3 of 3 classes in the second batch", with_label(3), {}, "ValueError"),
        ("label -1 in the second batch", with_label(-1), {}, "ValueError"),
        ("label -100 in the second batch", with_label(-100), {}, "ValueError"),
        ("no input_ids in the second batch", without("input_ids"), {}, "KeyError"),
        ("no attention_mask in the second batch", without("attention_mask"), {}, "KeyError"),
        ("no labels in the second batch", without("labels"), {}, "KeyError"),
    ):
        seen = student.run(finetune_bert, 3, batches, {"lr": 0.01} | arguments, {"expects_error": True})
        if seen["error"] is None:
            raise AssertionError(f"finetune_bert with {case} should raise {wanted}; it returned a value.")
        if wanted not in seen["error"]:
            raise AssertionError(f"finetune_bert with {case} should raise {wanted}; it raised {seen['error'][0]}.")
        if seen["steps"] or seen["changed"]:
            raise AssertionError(f"finetune_bert with {case} had trained already when it raised {wanted}.")
    for case, batches, wanted in (
        ("no batch", [], "ValueError"),
        ("no input_ids in the second batch", without("input_ids"), "KeyError"),
        ("no attention_mask in the second batch", without("attention_mask"), "KeyError"),
    ):
        error = student.run(predict_bad_input, batches)
        if error is None:
            raise AssertionError(f"predict with {case} should raise {wanted}; it returned a value.")
        if wanted not in error:
            raise AssertionError(f"predict with {case} should raise {wanted}; it raised {error[0]}.")
