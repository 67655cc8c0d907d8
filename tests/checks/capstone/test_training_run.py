"""Hidden checks of capstone/training_run.

The models over there are tiny and deterministic. One step is worked out here in float64, on the large batch. A whole
run is watched: what loss and score were asked for, in which mode, with which weights, and what each step of the
optimiser left behind. What `fine_tune` is expected to do with the other functions is asked of the student's own, so
that a mistake in one of them is counted once.
"""

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import assert_close, assert_equal, catches, points, raises, visible

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
STEP_SHAPES = {"body.weight": (4, 3), "body.bias": (4,), "head.weight": (2, 4), "head.bias": (2,)}
RUN_SHAPES = STEP_SHAPES | {"frozen": (4,), "seen": (), "mean": ()}
BODY_RATE, HEAD_RATE = 0.5, 0.125  # of the optimiser in the checks of one step


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(np.asarray(rng.normal(size=shape))).float()


# ---------------------------------------------------------------- the optimiser and its rates


def make_optimizer(student, settings):
    import torch
    from torch import nn

    model = nn.Module()
    model.tower = nn.Linear(3, 4).requires_grad_(False)
    model.last_block = nn.Linear(4, 4)
    model.temperature = nn.Parameter(torch.tensor(2.0))
    model.head = nn.Linear(4, 2)
    recipe = student.Recipe(epochs=2, batch_size=8, micro_batch=4, **settings)
    optimizer = student.make_optimizer(model, recipe)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        [names.get(id(parameter), "a parameter that is not the model's"), group["lr"], group["weight_decay"]]
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    return found, isinstance(optimizer, torch.optim.AdamW), list(optimizer.param_groups[0]["betas"])


@points(1)
@visible
@catches("frozen-in-the-optimizer", "one-rate-for-all", "everything-decays")
def test_optimizer(student):
    """The optimiser holds each trainable parameter once, with the rate and the decay of its kind."""
    settings = {"backbone_rate": 1e-4, "head_rate": 1e-2, "weight_decay": 0.3}
    found, is_adamw, betas = student.run(make_optimizer, settings)
    if not is_adamw:
        raise AssertionError("make_optimizer should return a torch.optim.AdamW.")
    expected = {
        "last_block.weight": [1e-4, 0.3],
        "last_block.bias": [1e-4, 0.0],
        "temperature": [1e-4, 0.0],
        "head.weight": [1e-2, 0.3],
        "head.bias": [1e-2, 0.0],
    }
    assert_equal(sorted(name for name, _, _ in found), sorted(expected), what="list of optimised parameters")
    for name, *rate_and_decay in sorted(found):
        assert_close(rate_and_decay, expected[name], what=f"rate and decay of {name}")
    assert_close(betas, [0.9, 0.999], what="pair of betas", cause="everything else stays at AdamW's defaults")


def rates_by_schedule(student, settings, total_steps):
    import torch

    first, second = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.25}, {"params": [second], "lr": 2.0}])
    recipe = student.Recipe(epochs=1, batch_size=1, micro_batch=1, backbone_rate=1.0, head_rate=1.0, **settings)
    schedule = student.make_schedule(optimizer, recipe, total_steps)
    rates = []
    for _ in range(total_steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return rates


@points(1)
@catches("warm-up-from-zero", "cosine-from-the-start", "linear-decay")
def test_schedule(student):
    """Each update has the rate of its place in the run, in every group."""
    for warmup, total in ((4, 11), (0, 6), (2, 3), (1, 2)):
        rates = student.run(rates_by_schedule, {"warmup_steps": warmup}, total)
        assert_equal(len(rates), total, what="number of updates")
        for step, found in enumerate(rates):
            climb = (step + 1) / (warmup + 1)
            fall = math.cos(math.pi / 2 * max(0, step - warmup) / (total - warmup)) ** 2  # (1 + cos 2x) / 2 = cos² x
            factor = min(climb, 1.0) * fall
            what = f"rates of update {step} (counted from 0; warmup_steps={warmup}, total_steps={total})"
            assert_close(found, [0.25 * factor, 2.0 * factor], rtol=1e-6, atol=1e-9, what=what)
    for warmup, total in ((3, 3), (4, 3), (0, 0)):
        with raises(ValueError, what=f"make_schedule with warmup_steps={warmup} and total_steps={total}"):
            student.run(rates_by_schedule, {"warmup_steps": warmup}, total)


# ---------------------------------------------------------------- one step


def training_steps(student, state, batches, settings, limit_of_finite):
    """Some steps in a row on a small network with plain gradient descent.

    Of each: the report, the parameters afterwards, the rates afterwards, and `events`: "forward 3" for three samples,
    "backward", "step". A batch whose targets are larger than `limit_of_finite` has gradients that are NaN.
    """
    import torch
    from torch import nn

    events, reports = [], []
    model = nn.Module()
    model.body, model.head = nn.Linear(3, 4), nn.Linear(4, 2)
    model.load_state_dict(state)
    model.body.eval()
    groups = [
        {"params": list(model.body.parameters()), "lr": 0.5},
        {"params": list(model.head.parameters()), "lr": 0.125},
    ]
    optimizer = torch.optim.SGD(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.register_step_post_hook(lambda *_: events.append("step"))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1.5)

    def loss_fn(network, samples):
        events.append(f"forward {len(samples)}")
        inputs = torch.stack([sample[1] for sample in samples])
        targets = torch.stack([sample[2] for sample in samples])
        output = network.head(torch.tanh(network.body(inputs)))
        output.register_hook(lambda gradient: events.append("backward"))
        loss = (output - targets).square().mean()
        if targets.max() > limit_of_finite:
            loss = loss + (output - output.detach()).square().sum().sqrt()
        return loss

    recipe = student.Recipe(epochs=1, batch_size=99, backbone_rate=0.0, head_rate=0.0, **settings)
    for number, (inputs, targets) in enumerate(batches):
        samples = [((number, i), inputs[i], targets[i]) for i in range(len(inputs))]
        error = None
        try:
            report = student.training_step(model, samples, optimizer, schedule, loss_fn, recipe)
        except RuntimeError as raised:
            if targets.max() <= limit_of_finite:
                raise
            report, error = None, type(raised).__name__
        reports.append(
            {
                "report": report,
                "parameters": {name: value.detach().clone() for name, value in model.state_dict().items()},
                "rates": [group["lr"] for group in optimizer.param_groups],
                "events": list(events),
                "error": error,
            }
        )
        events.clear()
    return reports, [model.body.training, model.head.training]


def steps_on_the_large_batch(state: dict[str, Tensor], batches, max_norm: float) -> list[dict]:
    """The same steps in float64, with all samples of a step at once."""
    weights = {name: value.double() for name, value in state.items()}
    steps = []
    for number, (inputs, targets) in enumerate(batches):
        leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
        hidden = torch.tanh(inputs.double() @ leaves["body.weight"].T + leaves["body.bias"])
        output = hidden @ leaves["head.weight"].T + leaves["head.bias"]
        loss = sum((output[i] - targets[i].double()).square().sum() for i in range(len(inputs))) / output.numel()
        gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients.values()))
        for name, gradient in gradients.items():
            rate = (BODY_RATE if name.startswith("body") else HEAD_RATE) * 0.5**number
            weights[name] = weights[name] - rate * gradient * min(1.0, max_norm / norm)
        steps.append({"loss": loss.item(), "norm": norm, "rate": BODY_RATE * 0.5**number, "weights": dict(weights)})
    return steps


def check_report(report, expected: dict, what: str) -> None:
    if not isinstance(report, dict):
        raise AssertionError(f"training_step should return a dict; it returned a {type(report).__name__}.")
    missing = sorted({"loss", "rate", "gradient_norm"} - set(report))
    if missing:
        raise AssertionError(f"The report of training_step has no entry {missing[0]!r}; it has {sorted(report)}.")
    cause = "the mean is over the samples of all micro-batches, each counting the same"
    assert_close(report["loss"], expected["loss"], **CLOSE, what=f"loss {what}", cause=cause)
    cause = "the rate is that of this step, the largest among the groups, before the schedule moves on"
    assert_close(report["rate"], expected["rate"], **CLOSE, what=f"rate {what}", cause=cause)
    cause = "it is the length of the complete gradient, before it is clipped"
    assert_close(report["gradient_norm"], expected["norm"], **CLOSE, what=f"gradient norm {what}", cause=cause)


@points(1.5)
@catches(
    "losses-added-up",
    "mean-of-means",
    "last-micro-batch-dropped",
    "old-gradients-count",
    "cleared-in-each-micro-batch",
    "step-in-each-micro-batch",
    "schedule-in-each-micro-batch",
    "schedule-before-optimizer",
    "clipped-in-each-micro-batch",
    "norm-after-clipping",
    "activations-of-all",
    "nan-is-stepped",
)
def test_step_of_the_large_batch(student, rng):
    """A step in micro-batches is the step of the large batch, clipped once, with one move of the schedule."""
    state = {name: normal(rng, *shape) for name, shape in STEP_SHAPES.items()}
    batches = [(normal(rng, n, 3), normal(rng, n, 2) * torch.linspace(1, 4, n)[:, None]) for n in (8, 4, 3)]
    for micro_batch, clipped in ((8, False), (3, False), (3, True), (1, True)):
        max_norm = 1e4
        if clipped:
            max_norm = 0.4 * min(step["norm"] for step in steps_on_the_large_batch(state, batches, 1e-3))
        settings = {"micro_batch": micro_batch, "max_norm": max_norm}
        found, modes = student.run(training_steps, state, batches, settings, math.inf)
        steps = steps_on_the_large_batch(state, batches, max_norm)
        for number, (seen, expected) in enumerate(zip(found, steps, strict=True)):
            size = len(batches[number][0])
            what = (
                f"of step {number} ({size} samples in micro-batches of {micro_batch}; max_norm={max_norm:.3g}; "
                "old gradients before step 0)"
            )
            check_report(seen["report"], expected, what)
            for name, value in expected["weights"].items():
                assert_close(seen["parameters"][name], value, **CLOSE, what=f"parameter {name} at the end {what}")
            rates = [BODY_RATE * 0.5 ** (number + 1), HEAD_RATE * 0.5 ** (number + 1)]
            cause = "the schedule makes one step for each step of the optimiser"
            assert_close(seen["rates"], rates, what=f"list of rates after the end {what}", cause=cause)
            sizes = [micro_batch] * (size // micro_batch) + [size % micro_batch] * (size % micro_batch > 0)
            events = [event for piece in sizes for event in (f"forward {piece}", "backward")] + ["step"]
            assert_equal(seen["events"], events, what=f"course {what}")
        assert_equal(modes, [False, True], what="training flags of body and head", cause="modes stay as they are")

    broken = [batches[0], (batches[1][0], batches[1][1] + 1000)]
    found, _ = student.run(training_steps, state, broken, {"micro_batch": 3, "max_norm": 1e4}, 100.0)
    cause = "a gradient that is not finite must not reach the parameters"
    if found[1]["error"] is None:
        raise AssertionError("training_step should raise RuntimeError for gradients that are NaN; it returned.")
    for name, value in found[0]["parameters"].items():
        assert_close(found[1]["parameters"][name], value, rtol=0, atol=0, what=f"{name} after a NaN", cause=cause)
    assert_close(found[1]["rates"], found[0]["rates"], what="list of rates after a NaN", cause="no step, no move")


def precision_of_a_step(student, bfloat16):
    """Whether autocast was on in each phase of a step, and the dtypes of the parameters before and after."""
    import torch
    from torch import nn
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    seen = []

    def look(phase):
        on = torch.is_autocast_enabled("cpu")
        seen.append([phase, str(torch.get_autocast_dtype("cpu")) if on else "off"])

    model = nn.Module()
    model.body, model.head = nn.Linear(3, 4), nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    def loss_fn(network, samples):
        look("loss_fn")
        inputs = torch.stack([sample[1] for sample in samples])
        output = network.head(torch.tanh(network.body(inputs))).float()
        output.register_hook(lambda gradient: look("backward pass"))
        return output.square().mean()

    recipe = student.Recipe(
        epochs=1, batch_size=9, micro_batch=2, backbone_rate=0.0, head_rate=0.0, max_norm=9.0, bfloat16=bfloat16
    )
    samples = [(number, torch.linspace(-1, 1, 3) * number) for number in range(1, 4)]
    handle = register_optimizer_step_pre_hook(lambda *_: look("step of the optimiser"))
    try:
        student.training_step(model, samples, optimizer, schedule, loss_fn, recipe)
    finally:
        handle.remove()
    look("code after the call")
    return seen, sorted({str(parameter.dtype) for parameter in model.parameters()})


@points(0.5)
@catches("backward-under-autocast", "no-autocast", "model-in-bfloat16")
def test_bfloat16_is_for_the_loss_only(student):
    """Autocast reaches over the call of loss_fn, if the recipe asks for it, and over nothing else."""
    for bfloat16 in (True, False):
        seen, dtypes = student.run(precision_of_a_step, bfloat16)
        for phase, found in seen:
            expected = "torch.bfloat16" if bfloat16 and phase == "loss_fn" else "off"
            if found != expected:
                raise AssertionError(
                    f"With bfloat16={bfloat16}, autocast is {found} during the {phase}; it should be {expected}."
                )
        phases = [phase for phase, _ in seen]
        for phase in ("loss_fn", "backward pass"):
            assert_equal(phases.count(phase), 2, what=f"number of calls of the {phase} for 3 samples, 2 at a time")
        assert_equal(dtypes, ["torch.float32"], what="list of the parameters' dtypes after the step")


# ---------------------------------------------------------------- the average


def update_average(student, start, course, decay):
    """The average and the model after each of some states of the model."""
    import torch
    from torch import nn

    def network(values):
        model = nn.Module()
        model.norm = nn.BatchNorm1d(3)
        model.layer = nn.Linear(3, 2)
        model.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        model.load_state_dict(values)
        return model

    average, model, seen = network(start), network(start), []
    own = list(average.parameters()) + list(average.buffers())
    for values in course:
        model.load_state_dict(values)
        student.update_average(average, model, decay)
        same = all(a is b for a, b in zip(own, [*average.parameters(), *average.buffers()], strict=True))
        states = [{name: value.detach().clone() for name, value in m.state_dict().items()} for m in (average, model)]
        with_graph = [name for name, parameter in average.named_parameters() if parameter.grad_fn is not None]
        seen.append([*states, same, with_graph])
    return seen


@points(1)
@catches("decay-on-the-new", "buffers-left-behind", "buffers-averaged", "average-replaced")
def test_average(student, rng):
    """The average moves a little towards the model at each update, its buffers are the model's."""
    shapes = {
        "frozen": (2,),
        "norm.weight": (3,),
        "norm.bias": (3,),
        "norm.running_mean": (3,),
        "norm.running_var": (3,),
    }
    shapes |= {"layer.weight": (2, 3), "layer.bias": (2,)}
    states = [{name: normal(rng, *shape) for name, shape in shapes.items()} for _ in range(4)]
    for number, state in enumerate(states):
        state["norm.num_batches_tracked"] = torch.tensor(7 * number * number)
        state["frozen"] = states[0]["frozen"].clone()
    buffers = ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    for decay in (0.8, 0.3, 0.0):
        seen = student.run(update_average, states[0], states[1:], decay)
        for number, (average, model, same, with_graph) in enumerate(seen):
            what = f"after update {number} (counted from 0) with decay={decay}"
            for name, value in states[number + 1].items():
                assert_close(model[name], value, rtol=0, atol=0, what=f"model's {name} {what}", cause="model changed")
                if name in buffers:
                    cause = "a buffer of the average is a copy of the model's"
                    assert_close(
                        average[name], value, rtol=1e-6, atol=1e-7, what=f"average's {name} {what}", cause=cause
                    )
                    continue
                # closed form: each state with its weight, the start with decay^(number + 1)
                expected = decay ** (number + 1) * states[0][name].double()
                for passed in range(1, number + 2):
                    expected += (1 - decay) * decay ** (number + 1 - passed) * states[passed][name].double()
                assert_close(average[name], expected, **CLOSE, what=f"average's {name} {what}")
            if not same or with_graph:
                raise AssertionError(
                    "The average should be changed in place and without a record for gradients; "
                    + ("its tensors are other ones." if not same else f"{with_graph[0]} has a graph.")
                )


# ---------------------------------------------------------------- the file


def save_and_load(student, first, second):
    """Two saves, one that fails half-way, and a file that holds more than data."""
    import fractions
    import tempfile
    from pathlib import Path

    import torch

    class Broken:
        def __reduce__(self):
            raise OSError("no space left on device")

    def files():
        return sorted(file.name for file in folder.iterdir())

    def attempt(function, *arguments):
        try:
            return function(*arguments), None
        except Exception as raised:
            return None, [kind.__name__ for kind in type(raised).__mro__]

    folder = Path(tempfile.mkdtemp())
    path, foreign = folder / "run.pt", folder / "foreign.pt"
    save, load = student.save_checkpoint, student.load_checkpoint
    seen = {"missing": load(path)}
    save(path, first)
    seen["files"] = files()
    seen["first"] = load(path)
    with path.open("rb") as old:
        bytes_before = old.read()
        save(path, second)
        old.seek(0)
        seen["old_file_untouched"] = old.read() == bytes_before  # whoever had it open still reads the old one
    seen["second"] = load(path)
    seen["files_again"] = files()
    whole = path.read_bytes()
    _, seen["error_of_a_failed_save"] = attempt(save, path, {"epoch": 3, "broken": Broken()})
    seen["whole_after_a_failed_save"] = path.is_file() and path.read_bytes() == whole
    torch.save({"epoch": fractions.Fraction(1, 3)}, foreign)
    _, seen["error_of_a_foreign_file"] = attempt(load, foreign)
    return seen


@points(1)
@catches(
    "written-in-place", "old-file-removed-first", "any-object-is-made", "temporary-file-stays", "missing-file-empty"
)
def test_checkpoint_file(student, rng):
    """The file is whole at every moment, comes back as it was, and cannot bring foreign objects along."""
    states = [
        {
            "weights": {"layer.weight": normal(rng, 2, 3), "seen": torch.tensor(5 + number)},
            "history": [{"loss": 0.5 + number, "rates": [0.1, 0.2]}] * (number + 1),
            "best": None,
            "finished": False,
            "name": "run",
        }
        for number in range(2)
    ]
    seen = student.run(save_and_load, *states)
    if seen["missing"] is not None:
        raise AssertionError("load_checkpoint should return None where there is no file.")
    for name, state in zip(("first", "second"), states, strict=True):
        if not isinstance(seen[name], dict):
            raise AssertionError(
                f"load_checkpoint returned a {type(seen[name]).__name__} for the {name} file, not a dict."
            )
        assert_equal(seen[name], state, what=f"state from the {name} file")
    for when, key in (("first", "files"), ("second", "files_again")):
        assert_equal(seen[key], ["run.pt"], what=f"list of files in the folder after the {when} save")
    if not seen["old_file_untouched"]:
        raise AssertionError(
            "A second save_checkpoint wrote into the old file: somebody who had it open reads other bytes now. A "
            "process killed while it does that leaves half a file. The new file has to be written beside the old one."
        )
    if seen["error_of_a_failed_save"] is None or "OSError" not in seen["error_of_a_failed_save"]:
        raise AssertionError("Writing failed with an OSError (no space left); it should pass through save_checkpoint.")
    if not seen["whole_after_a_failed_save"]:
        raise AssertionError("Writing failed half-way, and the old checkpoint is gone or changed.")
    if seen["error_of_a_foreign_file"] is None:
        raise AssertionError(
            "load_checkpoint returned an object of another class out of a file; it should refuse such a file."
        )


# ---------------------------------------------------------------- a whole run


def fine_tune(student, plan):
    """One or several calls of fine_tune, all but the last one killed, and all that could be seen from outside.

    plan: `recipe`; `state` of the network; `sets`, inputs and targets of the three sets; `ids` of their samples;
    `scores`: of the validation set before training and after each epoch; `test_scores` after each epoch; `kills`: for
    each call but the last ["loss", k] or ["score", k], the call of that function, from 0, that does not come back;
    `finished_before`: for each call, how many epochs lie behind it; `checkpoint`: whether there is a file; `other`: a
    recipe for one more call with the same file; `again`: whether the same call is made once more; `averages`: whether
    an average is kept here, too. Weights come back as one list of numbers, in the order of `state`.
    """
    import copy
    import tempfile
    from pathlib import Path

    import torch
    from torch import nn
    from torch.optim.optimizer import register_optimizer_step_post_hook

    class Killed(BaseException):
        pass

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
            self.dropout = nn.Dropout(0.3)
            self.frozen = nn.Parameter(torch.zeros(4), requires_grad=False)
            self.register_buffer("seen", torch.tensor(0))
            self.register_buffer("mean", torch.tensor(0.0))
            self.load_state_dict(plan["state"])

        def forward(self, inputs):
            if self.training:
                self.seen += 1
                self.mean += 0.125 * (inputs.mean() - self.mean)
            return self.head(self.dropout(torch.tanh(self.body(inputs) * self.frozen)))

    sets = [
        [(name, inputs, targets) for name, inputs, targets in zip(names, *tensors, strict=True)]
        for names, tensors in zip(plan["ids"], plan["sets"], strict=True)
    ]
    n_train = len(sets[0])
    recipe = student.Recipe(**plan["recipe"])
    calls, random_states = [], []

    def flat(network):
        weights = network.state_dict()
        return torch.cat([weights[name].detach().double().flatten() for name in plan["state"]])

    def make_call(kill, finished_before, used_recipe):
        call = {"samples": [], "training": [], "step_of_loss": [], "losses": [], "dropout": [], "scores": []}
        call |= {"rates": [], "averages": [], "result": None, "error": None, "file": []}
        calls.append(call)
        model = Network()
        shadow = copy.deepcopy(model)
        trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}

        def epoch():
            return finished_before + len(call["samples"]) // max(1, n_train)

        def loss_fn(network, samples):
            if kill is not None and kill[0] == "loss" and len(call["losses"]) == kill[1]:
                raise Killed
            if len(call["samples"]) % n_train == 0:
                random_states.append(torch.get_rng_state())
                call["dropout"].append([torch.equal(random_states[-1], one) for one in random_states].index(True))
                call["file"].append(path.is_file())
            inputs = torch.stack([sample[1] for sample in samples])
            targets = torch.stack([sample[2] for sample in samples])
            call["training"].append(all(module.training for module in network.modules()) and torch.is_grad_enabled())
            call["samples"] += [sample[0] for sample in samples]
            call["step_of_loss"] += [len(call["rates"])] * len(samples)
            loss = (network(inputs) - targets).square().mean()
            call["losses"].append([loss.item(), len(samples)])
            return loss

        def score_fn(network, samples):
            if kill is not None and kill[0] == "score" and len(call["scores"]) == kill[1]:
                raise Killed
            names = [sample[0] for sample in samples]
            which = next(
                (
                    key
                    for key, own in zip(("train", "validation", "test"), plan["ids"], strict=True)
                    if sorted(own) == sorted(names)
                ),
                "no whole set",
            )
            modes = [module.training for module in network.modules()]
            call["scores"].append([which, epoch(), any(modes), torch.is_grad_enabled(), flat(network)])
            if plan.get("averages"):
                call["averages"].append(flat(shadow))
            return plan["test_scores" if which == "test" else "scores"][epoch()]

        def after_step(optimizer, *_):
            held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            if not held & trainable:
                return  # another one, of a model that is not this one
            call["rates"].append(max(group["lr"] for group in optimizer.param_groups))
            if not plan.get("averages"):
                return
            if plan["recipe"].get("ema_decay") is None:
                shadow.load_state_dict(model.state_dict())
            else:
                student.update_average(shadow, model, plan["recipe"]["ema_decay"])

        torch.manual_seed(1234 + len(calls))  # another process: another global random state
        before = torch.get_rng_state()
        handle = register_optimizer_step_post_hook(after_step)
        try:
            call["result"] = student.fine_tune(
                model,
                *sets,
                used_recipe,
                loss_fn=loss_fn,
                score_fn=score_fn,
                **({"checkpoint": path} if plan.get("checkpoint") else {}),
            )
        except Killed:
            call["error"] = ["Killed"]
        except ValueError as raised:
            if not plan.get("expects_error") and used_recipe is recipe:
                raise
            call["error"] = [kind.__name__ for kind in type(raised).__mro__]
        finally:
            handle.remove()
        call["random_state_kept"] = torch.equal(before, torch.get_rng_state())
        call["weights"] = flat(model)
        call["training_afterwards"] = any(module.training for module in model.modules())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pt"
        for kill, finished in zip([*plan.get("kills", []), None], plan.get("finished_before", [0]), strict=True):
            make_call(kill, finished, recipe)
        if plan.get("again"):
            make_call(None, len(calls[-1]["result"]["history"]), recipe)
        if plan.get("other"):
            make_call(None, 0, student.Recipe(**plan["other"]))
    return calls


def what_the_parts_say(student, settings, n_train, total_steps):
    """The orders of the epochs and the rates of all steps, by the student's own functions."""
    import torch

    recipe = student.Recipe(**settings)
    orders = [student.epoch_order(n_train, recipe.seed, epoch) for epoch in range(recipe.epochs)]
    model = torch.nn.Module()
    model.body, model.head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    optimizer = student.make_optimizer(model, recipe)
    schedule = student.make_schedule(optimizer, recipe, total_steps)
    rates = []
    for _ in range(total_steps):
        rates.append(max(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        schedule.step()
    return orders, rates


def orders_of_epochs(student, n, pairs):
    import random

    import numpy
    import torch

    def global_states():
        return torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())

    orders = [student.epoch_order(n, seed, epoch) for seed, epoch in pairs]
    torch.manual_seed(5)
    numpy.random.seed(5)
    random.seed(5)
    before = global_states()
    again = [student.epoch_order(n, seed, epoch) for seed, epoch in pairs]
    return orders, again, before == global_states()


def make_plan(rng: np.random.Generator, recipe: dict, sizes=(7, 3, 2), **more) -> dict:
    state = {name: normal(rng, *shape) for name, shape in RUN_SHAPES.items()}
    state["seen"] = torch.tensor(3)
    state["frozen"] = 1 + 0.25 * torch.tanh(state["frozen"])
    names = ("train", "validation", "test")
    plan = {
        "recipe": {"epochs": 4, "batch_size": 3, "micro_batch": 2, "backbone_rate": 0.02, "head_rate": 0.05} | recipe,
        "state": state,
        "sets": [[normal(rng, size, 3), normal(rng, size, 2)] for size in sizes],
        "ids": [[f"{name} {i}" for i in range(size)] for name, size in zip(names, sizes, strict=True)],
    }
    epochs = plan["recipe"]["epochs"]
    plan["scores"] = [0.5] + [0.25 + 0.125 * epoch for epoch in range(epochs)]
    plan["test_scores"] = [0.9 - 0.1 * epoch for epoch in range(epochs + 1)]
    return plan | more


def part_of(result, key: str, kind: type = object):
    if not isinstance(result, dict):
        raise AssertionError(f"fine_tune should return a dict; it returned a {type(result).__name__}.")
    if key not in result:
        raise AssertionError(f"The result of fine_tune has no entry {key!r}; it has {sorted(map(str, result))}.")
    if not isinstance(result[key], kind):
        raise AssertionError(f"The entry {key!r} should be a {kind.__name__}; it is a {type(result[key]).__name__}.")
    return result[key]


def epochs_of(result, count: int) -> list[dict]:
    history = part_of(result, "history", list)
    assert_equal(len(history), count, what="number of epochs in the history")
    for number, epoch in enumerate(history):
        lacking = {"loss", "rates", "gradient_norms", "validation"} - set(epoch if isinstance(epoch, dict) else ())
        if lacking:
            raise AssertionError(f"The history's entry of epoch {number} lacks {', '.join(sorted(lacking))}.")
    return history


def assert_weights(found: Tensor, expected: Tensor, what: str, cause: str, **close) -> None:
    sizes = [math.prod(shape) for shape in RUN_SHAPES.values()]
    for name, left, right in zip(RUN_SHAPES, found.split(sizes), expected.split(sizes), strict=True):
        assert_close(left, right, what=f"{name} {what}", cause=cause, **close)


@points(1.5)
@catches(
    "same-order-in-each-epoch",
    "order-without-the-seed",
    "seed-plus-epoch",
    "order-of-the-list",
    "schedule-restarts",
    "last-batch-dropped",
    "evaluation-in-training-mode",
    "training-in-evaluation-mode",
    "gradients-while-scoring",
    "average-before-the-step",
    "average-once-an-epoch",
    "average-never-scored",
    "global-random-state-moved",
    "same-dropout-in-each-epoch",
    "dropout-without-the-seed",
    "loss-mean-of-steps",
)
def test_epochs(student, rng):
    """An epoch trains on each sample once, in its own order, in training mode; the right weights are scored."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (5, 0), (2, 3), (3, 2)]
    orders, again, kept = student.run(orders_of_epochs, 30, pairs)
    for pair, order, repeated in zip(pairs, orders, again, strict=True):
        called = f"epoch_order(30, seed={pair[0]}, epoch={pair[1]})"
        if not isinstance(order, list) or sorted(order) != list(range(30)):
            raise AssertionError(f"{called} should be a list with each of the numbers 0 to 29 once.")
        if order == list(range(30)) or list(order) == list(range(29, -1, -1)):
            raise AssertionError(f"{called} does not look random: {order[:5]} …")
        if order != repeated:
            raise AssertionError(f"{called} differs when global random states differ; only its arguments may count.")
        twin = pairs[orders.index(order)]
        if twin != pair:
            raise AssertionError(f"{called} is the same order as that of seed={twin[0]}, epoch={twin[1]}.")
    if not kept:
        raise AssertionError("epoch_order changes a global random state.")

    for ema_decay, seed in ((None, 0), (0.75, 4)):
        # one micro-batch a step: what happens inside of a step has a check of its own
        recipe = {"ema_decay": ema_decay, "seed": seed, "warmup_steps": 4, "micro_batch": 3}
        plan = make_plan(rng, recipe, averages=True)
        call, other = student.run(fine_tune, plan | {"other": plan["recipe"] | {"seed": seed + 1}})
        orders, rates = student.run(what_the_parts_say, plan["recipe"], 7, 12)
        case = f"4 epochs, 7 samples, 3 a step, ema_decay={ema_decay}, seed={seed}"
        if len(call["samples"]) != 28 or len(call["rates"]) != 12:
            raise AssertionError(
                f"loss_fn was given {len(call['samples'])} samples in all, and the optimiser made "
                f"{len(call['rates'])} steps; expected are 28 and 12 ({case})."
            )
        for place, name in enumerate(call["samples"]):
            epoch, i = divmod(place, 7)
            expected = f"train {orders[epoch][i]}"
            cause = "the samples come in the order of epoch_order, three for each step and one for the last"
            assert_equal(name, expected, what=f"sample {i} of epoch {epoch} ({case})", cause=cause)
            step = 3 * epoch + i // 3
            assert_equal(
                call["step_of_loss"][place], step, what=f"step of sample {i} of epoch {epoch} ({case})", cause=cause
            )
        if not all(call["training"]):
            number = call["training"].index(False)
            raise AssertionError(
                f"Call {number} of loss_fn (from 0; 3 in each epoch) met a module in evaluation mode, or no gradients "
                f"were recorded ({case})."
            )
        cause = "one schedule for all steps of the run, whose length is known beforehand"
        assert_close(
            call["rates"], rates, rtol=1e-6, atol=1e-12, what=f"list of the steps' rates ({case})", cause=cause
        )
        if len(set(call["dropout"])) != 4:
            raise AssertionError(f"Two epochs began with the same state of the random numbers for dropout ({case}).")
        if set(call["dropout"]) & set(other["dropout"]):
            raise AssertionError(
                f"An epoch of seed={seed} and one of seed={seed + 1} began with the same state of the random numbers "
                "for dropout."
            )
        if not call["random_state_kept"]:
            raise AssertionError(f"Torch's global random state is another one after fine_tune ({case}).")
        for which, epoch, any_training, records, _ in call["scores"]:
            what = f"{which} set after {epoch} epochs"
            if any_training or records:
                problem = "met a module in training mode" if any_training else "ran with gradients recorded"
                raise AssertionError(f"score_fn {problem}, for the {what} ({case}).")
            if which == "no whole set":
                raise AssertionError(f"score_fn was not given all samples of one set at once ({case}).")
        for (which, epoch, _, _, weights), average in zip(call["scores"], call["averages"], strict=True):
            if which == "validation":
                cause = "with an average, it is moved after each step of the optimiser, and it is what is scored"
                what = f"when the validation set was scored after {epoch} epochs ({case})"
                assert_weights(weights, average, what, cause, rtol=1e-5, atol=1e-6)

        for number, epoch in enumerate(epochs_of(call["result"], 4)):
            losses = call["losses"][3 * number : 3 * number + 3]
            mean = sum(loss * size for loss, size in losses) / 7
            what = f"of epoch {number} in the history ({case})"
            assert_close(epoch["loss"], mean, **CLOSE, what=f"loss {what}", cause="it is the mean over the samples")
            assert_close(epoch["rates"], rates[3 * number : 3 * number + 3], what=f"list of rates {what}")
            assert_equal(len(epoch["gradient_norms"]), 3, what=f"number of gradient norms {what}")
            assert_close(epoch["validation"], plan["scores"][number + 1], what=f"validation {what}")


@points(1)
@catches(
    "test-set-chooses",
    "test-set-scored-each-epoch",
    "last-weights-kept",
    "best-is-an-alias",
    "buffers-not-brought-back",
    "test-before-the-best-weights",
    "baseline-after-training",
    "baseline-takes-part",
    "latest-of-equals",
    "patience-one-too-long",
    "patience-counts-all-failures",
    "overlap-accepted",
    "only-train-and-test-compared",
)
def test_selection(student, rng):
    """Validation alone chooses; the best weights stay, and the test set is opened once, with them."""
    cases = [
        # scores of the validation set: before training, and after each epoch; patience; best epoch; epochs run
        ([0.75, 0.25, 0.5, 0.375, 0.5, 0.125, 0.875, 1.0], 3, 1, 5),
        ([-4.0, -3.0, -2.0, -2.5, -2.25, -1.0], 3, 4, 5),
        ([0.5, 0.875, 0.75, 0.5, 0.25], 4, 0, 4),
        ([0.0, 0.25, 0.125, 0.5, 0.375, 0.625, 0.0, 0.875], 2, 6, 7),
    ]
    for number, (scores, patience, best, run) in enumerate(cases):
        recipe = {"epochs": len(scores) - 1, "patience": patience, "ema_decay": None if number % 2 else 0.5}
        plan = make_plan(rng, recipe, scores=scores, test_scores=[0.1 * i for i in range(len(scores))])
        (call,) = student.run(fine_tune, plan)
        result, seen = call["result"], call["scores"]
        case = f"validation scores {scores[1:]} after the epochs, {scores[0]} before training, patience={patience}"
        if not seen or seen[0][:2] != ["validation", 0]:
            raise AssertionError("The validation set should be scored before training; that is the baseline.")
        cause = "the baseline is the model's as it came, and training has not begun"
        start = torch.cat([value.double().flatten() for value in plan["state"].values()])
        assert_weights(seen[0][4], start, "when the baseline was scored", cause, rtol=0, atol=0)
        assert_close(part_of(result, "baseline"), scores[0], what=f"baseline ({case})", cause=cause)
        asked = [entry[0] for entry in seen]
        if asked.count("test") != 1 or asked[-1] != "test":
            raise AssertionError(
                f"The test set was scored {asked.count('test')} times, and the last set to be scored was the "
                f"{asked[-1]} set. The test set is scored once, at the very end."
            )
        epochs_of(result, run)
        assert_equal(
            asked[:-1], ["validation"] * (run + 1), what=f"list of the sets scored before the test set ({case})"
        )
        assert_equal(part_of(result, "best_epoch"), best, what=f"best_epoch ({case})")
        assert_close(part_of(result, "validation"), scores[best + 1], what=f"entry validation ({case})")
        kept = seen[best + 1][4]
        cause = "the test set is scored with the parameters and buffers of the best epoch"
        assert_weights(seen[-1][4], kept, "when the test set was scored", cause, rtol=0, atol=0)
        assert_close(part_of(result, "test"), 0.1 * run, what=f"entry test ({case})")
        cause = "the model ends with the parameters and buffers of the best epoch, as they were scored"
        assert_weights(call["weights"], kept, f"at the end ({case})", cause, rtol=0, atol=0)
        if call["training_afterwards"]:
            raise AssertionError("A module of the model is in training mode after fine_tune.")
        assert_equal(part_of(result, "stopped_early"), run < len(scores) - 1, what=f"stopped_early ({case})")

    names = ["training", "validation", "test"]
    for first, second in ((0, 2), (1, 2), (0, 1)):
        plan = make_plan(rng, {}, sizes=(5, 3, 2), expects_error=True)
        plan["ids"][second][-1] = plan["ids"][first][0]
        (call,) = student.run(fine_tune, plan)
        refuse(call, f"an id of the {names[first]} set stands in the {names[second]} set, too")
    for empty in range(3):
        sizes = [5, 3, 2]
        sizes[empty] = 0
        (call,) = student.run(fine_tune, make_plan(rng, {}, sizes=sizes, expects_error=True))
        refuse(call, f"the {names[empty]} set is empty")


def refuse(call: dict, when: str) -> None:
    if call["error"] is None:
        raise AssertionError(f"fine_tune should raise ValueError when {when}; it returned a result.")
    if call["losses"] or call["scores"]:
        raise AssertionError(f"fine_tune called loss_fn or score_fn before it refused: {when}.")


@points(1.5)
@catches(
    "optimizer-forgotten",
    "schedule-forgotten",
    "average-forgotten",
    "best-weights-forgotten",
    "baseline-measured-again",
    "epoch-repeated",
    "epoch-skipped",
    "patience-forgotten",
    "dropout-not-seeded",
    "saved-at-the-end-only",
    "recipe-not-compared",
)
def test_resume(student, rng):
    """A run that was killed and called again ends bit for bit as the run that was not."""
    cases = [
        # validation scores; patience; decay of the average; kills, and the epochs that lie behind each call
        ([0.5, 0.25, 0.75, 0.5, 0.625, 0.5, 0.875], 3, 0.75, [["loss", 3], ["loss", 12], ["score", 1]], [0, 0, 2, 3]),
        ([0.5, 0.25, 0.125, 0.375, 0.5, 0.25], 4, None, [["score", 3], ["loss", 6]], [0, 2, 3]),
    ]
    for scores, patience, ema_decay, kills, finished in cases:
        recipe = {"epochs": len(scores) - 1, "patience": patience, "ema_decay": ema_decay, "seed": 2, "warmup_steps": 3}
        plan = make_plan(rng, recipe, scores=scores)
        (whole,) = student.run(fine_tune, plan)
        more = {"checkpoint": True, "kills": kills, "finished_before": finished, "again": True}
        other = plan["recipe"] | {"head_rate": 0.06}
        calls = student.run(fine_tune, plan | more | {"other": other})
        *killed, last, again, refused = calls
        case = f"{len(scores) - 1} epochs of 5 calls of loss_fn, ema_decay={ema_decay}, patience={patience}"
        for number, call in enumerate(killed):
            if call["error"] != ["Killed"]:
                raise AssertionError(f"Call {number} of fine_tune came to its end before it could be killed ({case}).")
        for number, (call, behind) in enumerate(zip([*killed, last], finished, strict=True)):
            if behind and any(which == "validation" and epoch == behind for which, epoch, *_ in call["scores"]):
                raise AssertionError(
                    f"Call {number} (from 0) goes on after {behind} epochs, and it scored the validation set before it "
                    f"trained: the baseline of a run is in its checkpoint ({case})."
                )
            first = whole["samples"][7 * behind : 7 * behind + 7]
            found = call["samples"][:7]
            what = f"list of the first samples in call {number} (from 0), with {behind} whole epochs behind it ({case})"
            cause = "a run goes on with the epoch after the last whole one, in the order of that epoch"
            assert_equal(found, first[: len(found)], what=what, cause=cause)
            if number < len(killed) and not found:
                raise AssertionError(f"Nothing was trained in call {number} ({case}).")
        compare_results(last["result"], whole["result"], f"killed {len(killed)} times and continued; {case}")
        found = [entry for entry in last["scores"] if entry[0] == "validation"]
        expected = [entry for entry in whole["scores"] if entry[0] == "validation"][1 + finished[-1] :]
        assert_equal([e[1] for e in found], [e[1] for e in expected], what=f"list of epochs validated last ({case})")
        for seen, original in zip(found, expected, strict=True):
            cause = "something that the run depends on is not in the checkpoint, or not taken from it"
            what = f"when the validation set was scored after {seen[1]} epochs ({case})"
            assert_weights(seen[4], original[4], what, cause, rtol=0, atol=0)
        cause = "the best weights of the run belong into the checkpoint"
        assert_weights(last["weights"], whole["weights"], f"at the end ({case})", cause, rtol=0, atol=0)
        if not all(last["file"]):
            raise AssertionError("With `checkpoint`, the file should be there from the end of the first epoch on.")

        if again["losses"]:
            raise AssertionError("fine_tune was called with the checkpoint of a finished run, and trained.")
        compare_results(again["result"], whole["result"], f"called again after its end; {case}")
        assert_weights(again["weights"], whole["weights"], f"when called again ({case})", cause, rtol=0, atol=0)
        if refused["error"] is None:
            raise AssertionError(
                "fine_tune should raise ValueError for a checkpoint of a recipe with another head_rate."
            )


def compare_results(found, expected: dict, how: str) -> None:
    cause = "something that the run depends on is not in the checkpoint, or not taken from it"
    for key in ("baseline", "best_epoch", "validation", "test", "stopped_early"):
        assert_equal(part_of(found, key), part_of(expected, key), what=f"entry {key} of a run {how}", cause=cause)
    history = epochs_of(expected, len(part_of(expected, "history", list)))
    for number, (epoch, original) in enumerate(zip(epochs_of(found, len(history)), history, strict=True)):
        for key in ("loss", "rates", "gradient_norms", "validation"):
            what = f"{key} of epoch {number} in the history of a run {how}"
            assert_equal(epoch[key], original[key], what=what, cause=cause)
