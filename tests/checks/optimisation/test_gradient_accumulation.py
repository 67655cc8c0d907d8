"""Hidden checks of optimisation/gradient_accumulation.

The network over there is small and its optimiser is SGD, so that the step can be worked out here: for all samples in
one batch, in float64.
"""

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_claims, assert_close, assert_equal, catches, points, visible

CLAIMS = {
    "mean_of_means": False,
    "backward_replaces": False,
    "saves_activations": True,
    "more_negatives": False,
    "batch_norm_differs": True,
    "clip_each": False,
    "four_small_steps": False,
    "scaling_for_fp16": True,
}

SHAPES = {
    "hidden.weight": (4, 3),
    "hidden.bias": (4,),
    "head.weight": (5, 4),
    "head.bias": (5,),
    "unused.weight": (2, 3),  # trainable, and no part of the loss
    "frozen": (4,),
}
USED = ("hidden.weight", "hidden.bias", "head.weight", "head.bias")
RATE = 0.5
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


# ---------------------------------------------------------------- what runs in the student's process


def accumulated_step(student, settings, micro_batches, state):
    """One step on a small network: what came back, and what happened to network and optimiser.

    settings: `loss`, its name; `arguments` of the call; `decay` of the optimiser; `old`, a number that every gradient
    holds before; `frozen_is_optimised`; `evaluation`, names of modules in evaluation mode; `all_frozen`.
    `events` has the size of each batch that goes forward, and "back" for each backward pass.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    events, steps, error = [], [], None

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 4)
            self.head = nn.Linear(4, 5)
            self.unused = nn.Linear(3, 2, bias=False)
            self.frozen = nn.Parameter(torch.zeros(4), requires_grad=False)

        def forward(self, inputs):
            events.append(len(inputs))
            output = self.head(torch.tanh(self.hidden(inputs)) * self.frozen)
            if output.requires_grad:
                output.register_hook(lambda gradient: events.append("back"))
            return output

    def squared_error(output, targets):
        return (output - targets).square().mean()

    def absolute_error(output, targets):
        return (output - targets).abs().mean()

    def masked_error(output, targets):
        return (output - targets)[targets != settings["arguments"]["ignore_index"]].square().mean()

    def infinite_slope(output, targets):
        return squared_error(output, targets) + (output - output.detach()).square().sum().sqrt()

    def token_loss(output, targets):
        index = settings["arguments"].get("ignore_index", -100)
        return F.cross_entropy(output.flatten(0, -2), targets.flatten(), ignore_index=index)

    model = Network()
    model.load_state_dict(state)
    for name in settings.get("evaluation", []):
        model.get_submodule(name).training = False
    if settings.get("all_frozen"):
        model.requires_grad_(False)
    optimised = [p for p in model.parameters() if p.requires_grad or settings.get("frozen_is_optimised", True)]
    optimizer = torch.optim.SGD(optimised, lr=0.5, weight_decay=settings.get("decay", 0.0))
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    if "old" in settings:
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, settings["old"])
    losses = {"squared error": squared_error, "infinite slope": infinite_slope, "cross-entropy": token_loss}
    losses |= {"absolute error": absolute_error, "squared error of valid targets": masked_error}
    result, function = None, student.accumulated_step
    try:
        result = function(model, micro_batches, losses[settings["loss"]], optimizer, **settings["arguments"])
    except Exception as raised:
        if not settings.get("expects_error"):
            raise
        error = [cls.__name__ for cls in type(raised).__mro__]
    return {
        "result": result,
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "gradients": {name: parameter.grad for name, parameter in model.named_parameters()},
        "steps": len(steps),
        "events": events,
        "evaluation": [name for name, module in model.named_modules() if not module.training],
        "error": error,
    }


def first_steps(student, max_grad_norm):
    import torch
    from torch import nn

    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    x = torch.tensor([[1.0], [0.0], [1.0], [2.0], [2.0]])
    cut = [(x[:3], torch.zeros(3, 1)), (x[3:], torch.zeros(2, 1))]
    limit = {} if max_grad_norm is None else {"max_grad_norm": max_grad_norm}
    report = student.accumulated_step(model, cut, nn.functional.mse_loss, optimizer, **limit)
    return report, model.weight.item()


# ---------------------------------------------------------------- what is expected, worked out here


def random_state(rng: np.random.Generator) -> dict[str, Tensor]:
    return {name: torch.from_numpy(rng.normal(size=shape)).float() for name, shape in SHAPES.items()}


def regression(rng: np.random.Generator, samples: int) -> tuple[Tensor, Tensor]:
    """Inputs (samples, 3) and targets (samples, 5); the later a sample, the larger its loss."""
    inputs, targets = rng.normal(size=(samples, 3)), rng.normal(size=(samples, 5))
    return torch.from_numpy(inputs).float(), torch.from_numpy(targets + np.arange(samples)[:, None] / 3).float()


def token_targets(rng: np.random.Generator, counts: list[int], ignore_index: int) -> tuple[Tensor, Tensor]:
    """Inputs (samples, 4, 3) and targets (samples, 4), counts[i] of them valid in sample i; labels are 1 ... 4."""
    inputs = torch.from_numpy(rng.normal(size=(len(counts), 4, 3))).float()
    targets = torch.from_numpy(rng.integers(1, 5, (len(counts), 4)))
    for sample, count in enumerate(counts):
        targets[sample, rng.permutation(4)[count:]] = ignore_index
    return inputs, targets


def masked_regression(rng: np.random.Generator, counts: list[int], ignore_index: int) -> tuple[Tensor, Tensor]:
    """Inputs (samples, 3) and targets (samples, 5), whole numbers from -3 on, counts[i] of them valid in sample i."""
    inputs = torch.from_numpy(rng.normal(size=(len(counts), 3))).float()
    targets = torch.from_numpy(rng.integers(-3, ignore_index, (len(counts), 5))).float()
    for sample, count in enumerate(counts):
        targets[sample, rng.permutation(5)[count:]] = ignore_index
    return inputs, targets


def cut(tensors: tuple[Tensor, Tensor], sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(*(torch.split(tensor, sizes) for tensor in tensors), strict=True))


def loss_and_gradients(
    state: dict[str, Tensor], inputs: Tensor, targets: Tensor, ignore_index: int | None = None, power: int = 2
) -> tuple[float, dict[str, Tensor], float]:
    """The mean loss over everything in one batch, its gradients and their length, in float64.

    Targets of integers are classes; others have an error for each, which is squared or (power=1) absolute.
    """
    weights = {name: state[name].double().requires_grad_() for name in USED}
    hidden = torch.tanh(inputs.double() @ weights["hidden.weight"].T + weights["hidden.bias"])
    output = (hidden * state["frozen"].double()) @ weights["head.weight"].T + weights["head.bias"]
    valid = torch.ones(targets.shape, dtype=torch.bool) if ignore_index is None else targets != ignore_index
    if targets.is_floating_point():
        terms = (output[valid] - targets[valid].double()).abs() ** power
    else:
        scores = torch.log_softmax(output, dim=-1)[valid]  # (valid targets, classes)
        terms = -scores[torch.arange(len(scores)), targets[valid]]
    loss = terms.sum() / len(terms)
    gradients = dict(zip(USED, torch.autograd.grad(loss, list(weights.values())), strict=True))
    length = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients.values()))
    return loss.item(), gradients, length


def entry(seen: dict, key: str, kind: type | tuple[type, ...], kind_name: str):
    """One entry of the dictionary that came back, which must be of this type."""
    report = seen["result"]
    if not isinstance(report, dict):
        raise AssertionError(f"accumulated_step should return a dict; it returned {type(report).__name__}.")
    if key not in report:
        raise AssertionError(f"The dict has no entry {key!r}; its keys are {sorted(map(str, report))}.")
    if not isinstance(report[key], kind) or (kind is not bool and isinstance(report[key], bool)):
        raise AssertionError(f"The entry {key!r} should be {kind_name}; it is of type {type(report[key]).__name__}.")
    return report[key]


def loss_of(seen: dict) -> float:
    return entry(seen, "loss", float, "a Python float")


def norm_of(seen: dict) -> float:
    return entry(seen, "grad_norm", float, "a Python float")


def skipped_in(seen: dict) -> bool:
    return entry(seen, "skipped", bool, "a bool")


def count_of(seen: dict) -> int:
    return entry(seen, "count", int, "a Python int")


def assert_step(seen: dict, state: dict[str, Tensor], gradients: dict[str, Tensor], case: str, cause: str) -> None:
    """One step was made, with these gradients; everything else in the network is as before."""
    if seen["steps"] != 1:
        raise AssertionError(f"optimizer.step() was called {seen['steps']} times ({case}); it should be called once.")
    for name, before in state.items():
        after = before.double() - RATE * gradients[name] if name in gradients else before
        assert_close(seen["state"][name], after, what=f"parameter {name} after the step ({case})", cause=cause, **CLOSE)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_first_steps(student):
    """The small example in the notebook comes out right."""
    for limit, after in ((None, 0.0), (4.0, 1.0)):
        report, weight = student.run(first_steps, limit)
        seen = {"result": report}
        case = f"for 3 and 2 samples with max_grad_norm={limit}"
        assert_close(loss_of(seen), 8.0, rtol=0, atol=1e-5, what=f"loss {case}")
        assert_close(norm_of(seen), 8.0, rtol=0, atol=1e-5, what=f"grad_norm {case}")
        assert_equal(skipped_in(seen), False, what=f"entry skipped {case}")
        assert_equal(count_of(seen), 5, what=f"count {case}")
        assert_close(weight, after, rtol=0, atol=1e-5, what=f"weight after the step {case}")


@points(3)
@catches("published-claims", "more-negatives")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "mean-of-means",
    "sum-of-means",
    "step-for-each-micro-batch",
    "cleared-inside-the-loop",
    "last-micro-batch-only",
    "concatenated",
    "one-backward-at-the-end",
    "always-in-training-mode",
)
def test_same_step_as_the_large_batch(student, rng):
    """However the samples are cut, the parameters move as for one large batch, with one piece in memory at a time."""
    state = random_state(rng)
    inputs, targets = regression(rng, 10)
    _, gradients, _ = loss_and_gradients(state, inputs, targets)
    order = [2, 0, 1]
    for sizes, reordered in (
        ([4, 4, 2], False),
        ([10], False),
        ([1, 7, 2], False),
        ([1] * 10, False),
        ([5, 2, 3], True),
    ):
        pieces = cut((inputs, targets), sizes)
        if reordered:
            pieces = [pieces[place] for place in order]
        given = tuple(pieces) if reordered else pieces
        settings = {"loss": "squared error", "arguments": {}, "evaluation": ["hidden"]}
        seen = student.run(accumulated_step, settings, given, state)
        case = f"micro-batches of {', '.join(str(len(piece)) for piece, _ in pieces)} samples"
        cause = "each sample has to count the same, whichever micro-batch it is in, and there is one step at the end"
        assert_step(seen, state, gradients, case, cause)
        expected = [event for piece, _ in pieces for event in (len(piece), "back")]
        if seen["events"] != expected:
            raise AssertionError(
                f"Passes through the model ({case}), as sizes of batches going forward and 'back': {seen['events']}. "
                "Each micro-batch should go forward by itself, once, and back before the next one goes forward."
            )
        if seen["evaluation"] != ["hidden"]:
            after = ", ".join(repr(name) for name in seen["evaluation"]) or "none"
            raise AssertionError(
                f"Modules in evaluation mode: before the call 'hidden', after it {after} ({case}). The modes should "
                "stay as they are."
            )


@points(1)
@catches(
    "loss-tensor",
    "loss-averaged-over-micro-batches",
    "norm-as-tensor",
    "norm-without-a-limit-missing",
    "lengths-added-up",
    "entries-counted",
)
def test_report(student, rng):
    """The numbers in the dictionary are those of the large batch, as Python numbers."""
    for sizes, limit in (([4, 4, 2], None), ([1, 6], 0.5), ([3], None), ([2, 2, 2, 5], 100.0), ([3, 2], math.inf)):
        state = random_state(rng)
        inputs, targets = regression(rng, sum(sizes))
        loss, _, length = loss_and_gradients(state, inputs, targets)
        arguments = {} if limit is None else {"max_grad_norm": limit}
        settings = {"loss": "squared error", "arguments": arguments}
        seen = student.run(accumulated_step, settings, cut((inputs, targets), sizes), state)
        case = f"for micro-batches of {', '.join(map(str, sizes))} samples and max_grad_norm={limit}"
        assert_close(loss_of(seen), loss, what=f"loss {case}", cause="the mean over all samples alike", **CLOSE)
        cause = "the length of the whole gradient as one vector, before clipping"
        assert_close(norm_of(seen), length, what=f"grad_norm {case}", cause=cause, **CLOSE)
        assert_equal(skipped_in(seen), False, what=f"entry skipped {case}")
        assert_equal(count_of(seen), sum(sizes), what=f"count {case}")


@points(1)
@catches(
    "token-means-weighted-by-examples",
    "token-means-averaged",
    "padding-counted",
    "micro-batch-without-targets-is-nan",
    "hard-coded-index",
    "micro-batch-without-targets-refused",
    "zero-taken-for-none",
    "valid-samples-counted",
    "negative-targets-ignored",
)
def test_ignored_targets_do_not_count(student, rng):
    """With ignore_index the mean is over all valid targets, and a micro-batch without any changes nothing."""
    for counts, sizes, ignore_index in (
        ([4, 3, 1, 1, 2], [2, 3], -100),
        ([5, 1, 2, 4, 3], [1, 4], 2),  # these targets are numbers to be hit, some of them negative
        ([4, 1, 1], [1, 2], 0),
        ([1, 0, 4, 2], [1, 1, 2], -100),
        ([0, 0, 3, 4], [2, 2], -1),
        ([2, 1, 0], [2, 1], -100),
    ):
        state = random_state(rng)
        numbers = ignore_index == 2
        inputs, targets = (masked_regression if numbers else token_targets)(rng, counts, ignore_index)
        loss, gradients, _ = loss_and_gradients(state, inputs, targets, ignore_index)
        name = "squared error of valid targets" if numbers else "cross-entropy"
        settings = {"loss": name, "arguments": {"ignore_index": ignore_index}}
        seen = student.run(accumulated_step, settings, cut((inputs, targets), sizes), state)
        valid = [sum(part) for part in np.split(counts, np.cumsum(sizes)[:-1])]
        case = f"micro-batches with {', '.join(map(str, valid))} valid targets, ignore_index={ignore_index}, {name}"
        cause = "each valid target has to count the same; a mean over no target is NaN, and 0 times NaN is NaN"
        assert_equal(count_of(seen), sum(counts), what=f"count ({case})")
        assert_equal(skipped_in(seen), False, what=f"entry skipped ({case})", cause=cause)
        assert_step(seen, state, gradients, case, cause)
        assert_close(loss_of(seen), loss, what=f"loss ({case})", cause=cause, **CLOSE)


@points(1)
@catches(
    "never-cleared",
    "cleared-to-zero",
    "cleared-at-the-end-only",
    "cleared-only-in-the-optimiser",
    "frozen-gradient-in-the-norm",
    "only-trainable-cleared",
)
def test_nothing_from_before_counts(student, rng):
    """Old gradients have no influence, and what takes no part in the loss does not move."""
    for decay, optimised in ((0.0, True), (0.2, True), (0.2, False)):
        state = random_state(rng)
        inputs, targets = regression(rng, 7)
        _, gradients, length = loss_and_gradients(state, inputs, targets)
        settings = {
            "loss": "squared error",
            "arguments": {"max_grad_norm": 1000.0},
            "old": 3.0,
            "decay": decay,
            "frozen_is_optimised": optimised,
        }
        seen = student.run(accumulated_step, settings, cut((inputs, targets), [5, 2]), state)
        where = "the frozen parameter among those of the optimiser" if optimised else "the frozen one not optimised"
        case = f"every .grad was 3 before, weight decay {decay}, {where}"
        decayed = {name: gradient + decay * state[name].double() for name, gradient in gradients.items()}
        cause = (
            "an old gradient was still there, or zeros: an optimiser moves what has a gradient of zeros if there is "
            "weight decay, and leaves alone what has None"
        )
        assert_step(seen, state, decayed, case, cause)
        cause = "gradients of frozen parameters, and old ones, are no part of the norm"
        assert_close(norm_of(seen), length, what=f"grad_norm ({case})", cause=cause, **CLOSE)
        for name in ("unused.weight", "frozen"):
            if seen["gradients"][name] is not None:
                raise AssertionError(f"{name}.grad should be None after the step ({case}); it is a tensor.")


@points(1)
@catches(
    "clipped-for-each-parameter",
    "clipped-for-each-micro-batch",
    "clipped-by-value",
    "clipped-norm-reported",
    "clipped-after-the-step",
    "steps-with-nan",
    "loss-watched",
    "nan-gradients-left",
    "always-scaled-to-the-limit",
    "gradients-gone-after-the-step",
    "only-nan-noticed",
    "loss-watched-as-well",
    "ended-at-the-first-bad-loss",
)
def test_clipping_and_skipping(student, rng):
    """The whole gradient is clipped once to the limit; with a gradient that is not finite nothing moves."""
    state = random_state(rng)
    inputs, targets = regression(rng, 9)
    _, gradients, length = loss_and_gradients(state, inputs, targets)
    pieces = cut((inputs, targets), [2, 4, 3])
    for factor in (0.25, 0.75, 1.5):
        limit = factor * length
        settings = {"loss": "squared error", "arguments": {"max_grad_norm": limit}}
        seen = student.run(accumulated_step, settings, pieces, state)
        case = f"max_grad_norm is {factor} times the length of the gradient"
        scale = min(1.0, factor)
        clipped = {name: scale * gradient for name, gradient in gradients.items()}
        cause = "one factor for the whole gradient, applied once, and only if the gradient is longer than the limit"
        assert_step(seen, state, clipped, case, cause)
        assert_close(norm_of(seen), length, what=f"grad_norm ({case})", cause="it is that before clipping", **CLOSE)
        for name, gradient in clipped.items():
            what = f"{name}.grad after the step ({case})"
            if not isinstance(seen["gradients"][name], Tensor):
                raise AssertionError(f"The {what} is gone; the gradients that the step used should stay.")
            assert_close(seen["gradients"][name], gradient, what=what, cause=cause, **CLOSE)

    for bad, place, limit in ((math.nan, 0, None), (math.inf, 2, 1.0), (math.nan, 1, 1.0), (None, 0, None)):
        broken = [(piece, target.clone()) for piece, target in pieces]
        broken[place][1][0, 3] = 0.0 if bad is None else bad
        loss = "infinite slope" if bad is None else "squared error"
        settings = {"loss": loss, "arguments": {} if limit is None else {"max_grad_norm": limit}}
        seen = student.run(accumulated_step, settings | {"old": 2.0, "decay": 0.1}, broken, state)
        ordinal = ("first", "second", "third")[place]
        case = f"a target {bad} in the {ordinal} of three micro-batches and max_grad_norm={limit}"
        if bad is None:
            case = "a finite loss whose gradient is NaN, as of a square root at 0"
        forward = [event for event in seen["events"] if event != "back"]
        if forward != [2, 4, 3]:
            raise AssertionError(
                f"The model was called with batches of {', '.join(map(str, forward)) or 'no'} samples ({case}); it "
                "should be called once for each of the three micro-batches, of 2, 4 and 3 samples."
            )
        if seen["steps"]:
            raise AssertionError(f"optimizer.step() was called with gradients that are not finite ({case}).")
        assert_equal(skipped_in(seen), True, what=f"entry skipped ({case})")
        if math.isfinite(norm_of(seen)):
            raise AssertionError(f"The grad_norm is {norm_of(seen)} ({case}); it should be NaN or infinite.")
        for name, before in state.items():
            assert_equal(seen["state"][name], before, what=f"parameter {name} ({case})")
            gradient = seen["gradients"][name]
            if gradient is not None and gradient.count_nonzero():
                raise AssertionError(
                    f"{name}.grad still holds numbers after the step was skipped ({case}); it should be None or zero, "
                    "since a loop that adds to it would carry them on."
                )

    far = [(piece, target.clone()) for piece, target in pieces]
    far[1][1][2, 3] = math.inf
    _, gradients, length = loss_and_gradients(state, inputs, torch.cat([target for _, target in far]), power=1)
    seen = student.run(accumulated_step, {"loss": "absolute error", "arguments": {}}, far, state)
    case = "the absolute error with a target inf: the loss is infinite, and the gradient is finite"
    assert_equal(
        skipped_in(seen), False, what=f"entry skipped ({case})", cause="the loss plays no part in this decision"
    )
    assert_close(norm_of(seen), length, what=f"grad_norm ({case})", **CLOSE)
    assert_step(seen, state, gradients, case, "grad_norm alone decides whether there is a step")


@points(1)
@catches(
    "empty-micro-batch-accepted",
    "no-valid-target-accepted",
    "any-limit-accepted",
    "nan-limit-accepted",
    "nothing-to-train-accepted",
    "checked-too-late",
    "limit-checked-too-late",
)
def test_bad_input_changes_nothing(student, rng):
    """Micro-batches without samples or targets, a limit not above 0 and a frozen model are refused at once."""
    state = random_state(rng)
    good = cut(regression(rng, 5), [2, 3])
    empty = (torch.zeros(0, 3), torch.zeros(0, 5))
    tokens = cut(token_targets(rng, [3, 1], -100), [1, 1])
    none_valid = cut(token_targets(rng, [0, 0], -100), [1, 1])
    no_tokens = (torch.zeros(0, 4, 3), torch.zeros(0, 4, dtype=torch.int64))
    for case, micro_batches, arguments in (
        ("no micro-batch", [], {}),
        ("an empty tuple of micro-batches", (), {"ignore_index": -100}),
        ("an empty micro-batch at the end", [*good, empty], {}),
        ("an empty micro-batch at the start", [empty, *good], {}),
        ("an empty micro-batch alone", [empty], {}),
        ("an empty micro-batch and ignore_index=-100", [*tokens, no_tokens], {"ignore_index": -100}),
        ("no valid target", none_valid, {"ignore_index": -100}),
        ("max_grad_norm=0.0", good, {"max_grad_norm": 0.0}),
        ("max_grad_norm=0", good, {"max_grad_norm": 0}),
        ("max_grad_norm=-1.0", good, {"max_grad_norm": -1.0}),
        ("max_grad_norm=nan", good, {"max_grad_norm": math.nan}),
        ("a model that is frozen altogether", good, {}),
    ):
        loss = "cross-entropy" if "ignore_index" in arguments else "squared error"
        settings = {"loss": loss, "arguments": arguments, "old": 2.0, "decay": 0.1, "expects_error": True}
        settings["all_frozen"] = "frozen" in case
        seen = student.run(accumulated_step, settings, micro_batches, state)
        if seen["error"] is None:
            raise AssertionError(f"accumulated_step with {case} should raise ValueError; it returned a value.")
        if "ValueError" not in seen["error"]:
            raise AssertionError(f"accumulated_step with {case} should raise ValueError; it raised {seen['error'][0]}.")
        if seen["events"] or seen["steps"]:
            raise AssertionError(f"accumulated_step with {case} ran the model or the optimiser before it raised.")
        for name, before in state.items():
            assert_equal(seen["state"][name], before, what=f"parameter {name} after the error for {case}")
            gradient = seen["gradients"][name]
            if not isinstance(gradient, Tensor) or not torch.equal(gradient, torch.full_like(before, 2.0)):
                raise AssertionError(f"accumulated_step with {case} changed {name}.grad before it raised.")
