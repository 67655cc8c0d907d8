"""Checks of transfer/freezing. What moves and what is in training mode is listed by hand, not computed by a rule."""

from __future__ import annotations

import numpy as np
import torch

from grader.checking import assert_equal, catches, points, raises, visible

# ---------------------------------------------------------------- what runs in the student's process


def freeze_and_train_a_small_model(student, x):
    """The steps of the visible cell."""
    import torch
    from torch import nn

    model = nn.Sequential()
    model.add_module("body", nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
    model.add_module("whiten", nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.Dropout(0.2)))
    model.add_module("head", nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2)))
    model(x).sum().backward()
    names = student.freeze_except(model, ["head.*"])
    left = [name for name, parameter in model.body.named_parameters() if parameter.grad is not None]
    student.set_training_mode(model)
    modes = [name or "model" for name, module in model.named_modules() if module.training]
    optimizer = student.make_optimizer(model, lr=0.1, weight_decay=0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(2):
        optimizer.zero_grad()
        model(x + 1).square().sum().backward()
        optimizer.step()
    moved = sorted(name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name]))
    return names, left, modes, moved


def freeze_in_turn(student, calls):
    """What freeze_except returned and which flags were set, call by call, on a model of 12 layers and two scales."""
    import torch
    from torch import nn

    model = nn.Module()
    model.projector = nn.Linear(3, 3)
    model.layers = nn.ModuleList([nn.Linear(3, 3, bias=i % 2 == 0) for i in range(12)])
    model.Head = nn.Linear(3, 2)
    model.head = nn.Linear(3, 2)
    model.scale, model.scale_offset = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    rows = []
    for patterns in calls:
        returned = student.freeze_except(model, patterns)
        rows.append([returned, sorted(name for name, p in model.named_parameters() if p.requires_grad)])
    return rows


def freeze_tied(student, patterns):
    """As above, for one weight under two names."""
    from torch import nn

    model = nn.Module()
    model.embedding = nn.Embedding(5, 3)
    model.body = nn.Linear(3, 3)
    model.out = nn.Linear(3, 5)
    model.out.weight = model.embedding.weight
    returned = student.freeze_except(model, patterns)
    return returned, sorted(name for name, p in model.named_parameters() if p.requires_grad)


def freeze_with_gradients(student, patterns, frozen_before):
    """Names of the parameters that have a gradient after freezing, and the smallest values in those gradients."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number + 1.0)
    model[0].bias.grad = None
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen_before)
    student.freeze_except(model, patterns)
    kept = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return sorted(kept), [float(gradient.min()) for gradient in kept.values()]


def freeze_in_vain(student, patterns):
    """The classes of the error, the flags and the names with a gradient afterwards; one parameter is frozen before."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model[0].weight.requires_grad_(False)
    error = None
    try:
        student.freeze_except(model, patterns)
    except Exception as raised:
        error = [base.__name__ for base in type(raised).__mro__]
    flags = sorted(name for name, p in model.named_parameters() if p.requires_grad)
    return error, flags, sorted(name for name, p in model.named_parameters() if p.grad is not None)


def modes_after(student, trainable, start, with_statistics):
    """Names of the modules in training mode, when these parameters are trainable and all modes were `start`."""
    from collections import OrderedDict

    import torch
    from torch import nn

    class RunningMean(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(6), persistent=False)

    extra = nn.Sequential(nn.Dropout(0.1), nn.ReLU())
    block = nn.Sequential(OrderedDict(lin=nn.Linear(6, 6), drop=nn.Dropout(0.2), extra=extra))
    encoder = OrderedDict(lin=nn.Linear(4, 6), norm=nn.BatchNorm1d(6), whiten=nn.BatchNorm1d(6, affine=False))
    encoder |= OrderedDict(drop=nn.Dropout(0.3), block=block)
    if with_statistics:
        encoder["both"] = nn.Sequential(OrderedDict(norm=nn.BatchNorm1d(6, affine=False), drop=nn.Dropout(0.6)))
        encoder["instance"] = nn.InstanceNorm1d(6, track_running_stats=True)
        encoder["average"] = RunningMean()
    head = OrderedDict(drop=nn.Dropout(0.4), lin=nn.Linear(6, 5), norm=nn.BatchNorm1d(5))
    head["whiten"] = nn.BatchNorm1d(5, affine=False)
    model = nn.Module()
    model.input_norm = nn.BatchNorm1d(4, affine=False)
    model.encoder, model.head = nn.Sequential(encoder), nn.Sequential(head)
    model.drop = nn.Dropout(0.5)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    for number, module in enumerate(model.modules()):
        module.training = number % 2 == 0 if start is None else start
    returned = student.set_training_mode(model)
    flags = sorted(name for name, p in model.named_parameters() if p.requires_grad)
    odd = sorted(name for name, module in model.named_modules() if not isinstance(module.training, bool))
    return sorted(name or "model" for name, m in model.named_modules() if m.training), flags, odd, returned is None


def modes_without_parameters(student):
    """Names of the modules in training mode in a model that has buffers and dropout but no parameters."""
    from torch import nn

    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.ReLU()))
    student.set_training_mode(model)
    return [name or "model" for name, module in model.named_modules() if module.training]


def train_after_freezing(student, x, y, stages):
    """Two steps for everything, then some for each stage (patterns), with a new optimiser and with the old one.

    Returns for each stage the names of parameters and buffers that changed, and whether two passes through the encoder
    agreed.
    """
    import torch
    from torch import nn

    torch.manual_seed(5)
    model = nn.Sequential()
    model.add_module("encoder", nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5)))
    model.add_module("head", nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.2), nn.Linear(5, 3)))
    old = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.3)

    def steps(count, *optimizers):
        for _ in range(count):
            for optimizer in optimizers[:1]:
                optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()

    steps(2, old)
    rows = []
    for patterns in stages:
        student.freeze_except(model, patterns)
        student.set_training_mode(model)
        new = student.make_optimizer(model, 0.05, 0.3)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        steps(3, new, old)
        moved = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
        with torch.no_grad():
            same = torch.equal(model.encoder(x), model.encoder(x))
        rows.append([sorted(moved), same])
    return rows


def describe_optimizer(student, trainable, lr, weight_decay):
    """The class of the optimiser, the names it holds with rate and decay, and how far one step moves a weight of 1."""
    import torch
    from torch import nn

    model = nn.Module()
    model.body, model.head = nn.Linear(2, 3), nn.Linear(3, 2)
    model.tied = nn.Linear(3, 2)
    model.tied.weight = model.head.weight
    for name, parameter in model.named_parameters():
        nn.init.ones_(parameter)
        parameter.requires_grad_(name in trainable)
    optimizer = student.make_optimizer(model, lr, weight_decay)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held = sorted(
        [names.get(id(parameter), "a parameter of no model"), group["lr"], group["weight_decay"]]
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    optimizer.step()
    values = {name: [float(p.detach().min()), float(p.detach().max())] for name, p in model.named_parameters()}
    return isinstance(optimizer, torch.optim.AdamW), held, values


# ---------------------------------------------------------------- the checks


def assert_names(found, wanted, what, cause=""):
    """Fail with the names that are too many and those that are missing, unless both lists are the same."""
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise AssertionError(f"The {what} should hold names as str; it is {found!r}.")
    surplus, missing = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    if surplus or missing:
        raise AssertionError(
            f"The {what} has these names too many: {', '.join(surplus) or 'none'}; and lacks these: "
            f"{', '.join(missing) or 'none'}." + (f"\nLikely cause: {cause}" if cause else "")
        )
    assert_equal(found, list(wanted), what=what, cause=cause)


@points(1)
@visible
def test_a_frozen_body_and_a_head_that_learns(student, rng):
    """A frozen body with batch normalisation and dropout stays what it was, and the head learns."""
    x = torch.from_numpy(rng.standard_normal((6, 3))).float()
    names, left, modes, moved = student.run(freeze_and_train_a_small_model, x)
    head = ["head.1.bias", "head.1.weight"]
    assert_names(names, head, what="list returned by freeze_except(model, ['head.*'])")
    assert_names(left, [], what="list of the frozen parameters that still have a gradient")
    training = ["model", "whiten.1", "head", "head.0", "head.1"]
    assert_names(modes, training, what="list of the modules in training mode")
    assert_names(moved, head, what="list of what changed in training")


LAYERS = [f"layers.{i}.{kind}" for i in range(12) for kind in (("bias", "weight") if i % 2 == 0 else ("weight",))]
PROJECTOR = ["projector.bias", "projector.weight"]
HEAD, CAPITAL_HEAD = ["head.bias", "head.weight"], ["Head.bias", "Head.weight"]
EVERYTHING = sorted([*LAYERS, *PROJECTOR, *HEAD, *CAPITAL_HEAD, "scale", "scale_offset"])


@points(2)
@catches(
    "substring-matched",
    "beginning-matched",
    "regular-expression",
    "never-unfrozen",
    "unsorted",
    "tied-by-first-name",
    "tied-listed-twice",
    "upper-and-lower-case-alike",
    "end-left-open",
    "dots-not-covered",
    "one-name-freezes",
    "regular-expression-by-hand",
    "beginning-left-open",
)
def test_exactly_the_matching_parameters_are_trainable(student):
    """Exactly the parameters whose names match a pattern as a whole are trainable, whatever was trainable before."""
    biases = [name for name in EVERYTHING if name.endswith(".bias")]
    steps = [
        (["layers.1.*", "head.*"], ["head.bias", "head.weight", "layers.1.weight"]),
        (["*"], EVERYTHING),
        (("layers.1[01].*",), ["layers.10.bias", "layers.10.weight", "layers.11.weight"]),
        (["layers.?.bias"], [f"layers.{i}.bias" for i in range(0, 10, 2)]),
        (["*.bias"], biases),
        (["head.weight", "h*", "projector.bias"], [*HEAD, "projector.bias"]),
        ([], []),
        (["H*"], CAPITAL_HEAD),
        (["*r.w*"], ["projector.weight"]),
        (["scale", "Head.weight"], ["Head.weight", "scale"]),
    ]
    rows = [student.run(freeze_in_turn, [patterns])[0] for patterns, _ in steps]
    together = student.run(freeze_in_turn, [patterns for patterns, _ in steps])
    for on_its_own, found in ((True, rows), (False, together)):
        for (returned, flags), (patterns, wanted) in zip(found, steps, strict=True):
            told = f"freeze_except(model, {patterns!r})" + ("" if on_its_own else ", called after others,")
            surplus, missing = sorted(set(flags) - set(wanted)), sorted(set(wanted) - set(flags))
            if surplus or missing:
                raise AssertionError(
                    f"After {told} these parameters are trainable and should not be: {', '.join(surplus) or 'none'}; "
                    f"these should be and are not: {', '.join(missing) or 'none'}."
                )
            assert_names(returned, sorted(wanted), what=f"list returned by {told}")
    for patterns, wanted in (
        (["embedding.*"], ["embedding.weight"]),
        (["embedding.*", "out.weight"], ["embedding.weight"]),
        (["out.*"], ["embedding.weight", "out.bias"]),
        (["body.*"], ["body.bias", "body.weight"]),
    ):
        returned, flags = student.run(freeze_tied, patterns)
        told = f"freeze_except(model, {patterns!r}) with out.weight tied to embedding.weight"
        cause = "a tied parameter has several names, and is one parameter"
        assert_names(flags, wanted, what=f"list of trainable parameters after {told}", cause=cause)
        assert_names(returned, wanted, what=f"list returned by {told}", cause=cause)


@points(1)
@catches(
    "stale-gradients",
    "gradients-zeroed",
    "gradients-zeroed-in-place",
    "all-gradients-cleared",
    "cleared-when-switched-off",
)
def test_frozen_parameters_have_no_gradient(student):
    """Frozen parameters have no gradient afterwards, and the gradients of the others stay."""
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]
    for patterns, trainable, frozen_before in (
        (["2.*"], names[4:], []),
        (["*.bias"], names[1::2], []),
        ([], [], []),
        (["*"], names, []),
        (["2.*"], names[4:], ["1.weight", "2.bias"]),
        (["0.*", "1.bias"], [*names[:2], names[3]], names),
    ):
        left, values = student.run(freeze_with_gradients, patterns, frozen_before)
        wanted = [name for name in trainable if name != "0.bias"]  # that one had none before
        told = f"after freeze_except(model, {patterns!r})"
        if frozen_before:
            told += f", where {'every parameter' if frozen_before == names else ' and '.join(frozen_before)} was frozen"
            told += " and had an old gradient before"
        assert_names(left, sorted(wanted), what=f"list of the parameters whose .grad is not None {told}")
        numbers = [names.index(name) + 1.0 for name in wanted]
        assert_equal(values, numbers, what=f"list of values in the gradients of {', '.join(wanted)} {told}")


@points(1)
@catches("unmatched-pattern-unnoticed", "only-all-unmatched", "frozen-before-refusing", "string-accepted")
def test_patterns_that_match_nothing_are_refused(student):
    """A pattern that matches nothing is refused, as is a plain string, and the model stays as it was."""
    for patterns, wanted in (
        (["head.*"], ValueError),
        (["0.*", "head.*"], ValueError),
        (["head.*", "1.*"], ValueError),
        (["0"], ValueError),
        ([""], ValueError),
        ("*", TypeError),
        ("1.weight", TypeError),
    ):
        error, flags, gradients = student.run(freeze_in_vain, patterns)
        told = f"freeze_except(model, {patterns!r}) for a model of two layers called 0 and 1"
        if error is None or wanted.__name__ not in error:
            raised = "nothing" if error is None else error[0]
            raise AssertionError(f"{told} should raise {wanted.__name__}; it raised {raised}.")
        cause = "look at all the patterns before you change anything"
        before = ["0.bias", "0.weight", "1.bias", "1.weight"]
        assert_names(
            flags, ["0.bias", "1.bias", "1.weight"], what=f"list of trainable parameters after {told}", cause=cause
        )
        assert_names(gradients, before, what=f"list of parameters with a gradient after {told}", cause=cause)


HEAD_PARAMETERS = ["head.lin.weight", "head.lin.bias", "head.norm.weight", "head.norm.bias"]
BLOCK_PARAMETERS = ["encoder.block.lin.weight", "encoder.block.lin.bias"]
REST = ["encoder.lin.weight", "encoder.lin.bias", "encoder.norm.weight", "encoder.norm.bias"]
TOP = ["model", "drop"]
BLOCK = ["encoder.block", *(f"encoder.block.{name}" for name in ("lin", "drop", "extra", "extra.0", "extra.1"))]
WHOLE_HEAD = ["head", "head.drop", "head.lin", "head.norm"]
WHOLE_ENCODER = ["encoder", "encoder.lin", "encoder.norm", "encoder.drop", *BLOCK]
WHITEN = ["input_norm", "encoder.whiten", "head.whiten"]
BOTH = ["encoder.both", "encoder.both.norm", "encoder.both.drop"]
STATISTICS = ["encoder.whiten", *BOTH, "encoder.instance", "encoder.average"]
WHAT = {  # what a message says about the modules without parameters
    "input_norm": "BatchNorm1d with buffers only; its nearest ancestor with parameters is the model",
    "drop": "Dropout; its nearest ancestor with parameters is the model",
    "encoder.norm": "BatchNorm1d with two parameters",
    "head.norm": "BatchNorm1d with two parameters",
    "encoder.whiten": "BatchNorm1d with buffers only, in encoder",
    "head.whiten": "BatchNorm1d with buffers only, in head",
    "encoder.drop": "Dropout in encoder",
    "head.drop": "Dropout in head",
    "encoder.block.drop": "Dropout in encoder.block",
    "encoder.block.extra": "Sequential of a Dropout and a ReLU, in encoder.block",
    "encoder.both": "Sequential of a BatchNorm1d with buffers only and a Dropout, in encoder",
    "encoder.both.norm": "BatchNorm1d with buffers only; its nearest ancestor with parameters is encoder",
    "encoder.both.drop": "Dropout; its nearest ancestor with parameters is encoder",
    "encoder.instance": "InstanceNorm1d with buffers only, in encoder",
    "encoder.average": "a module of our own with a buffer that is not saved, in encoder",
}


def assert_modes(student, trainable, wanted, start, with_statistics=False):
    found, flags, odd, returned_nothing = student.run(modes_after, trainable, start, with_statistics)
    before = {True: "all in training mode", False: "all in evaluation mode", None: "mixed"}[start]
    told = f"with {', '.join(trainable) or 'nothing'} trainable and everything else frozen (modes before: {before})"
    surplus, missing = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    if surplus or missing:
        lists = [
            "; ".join(f"{n} ({WHAT[n]})" if n in WHAT else n for n in list_) or "none" for list_ in (surplus, missing)
        ]
        raise AssertionError(
            f"After set_training_mode, {told}: in training mode and should not be: {lists[0]}.\n"
            f"Should be in training mode and are not: {lists[1]}."
        )
    assert_names(odd, [], what=f"list of modules whose attribute training is no bool, {told}")
    assert_names(flags, sorted(trainable), what=f"list of trainable parameters after set_training_mode, {told}")
    assert_equal(returned_nothing, True, what="answer to 'did set_training_mode return None'")


@points(2)
@catches(
    "all-in-training-mode",
    "dropout-of-the-frozen-part",
    "dropout-of-the-head-off",
    "own-parameters-only",
    "mode-of-the-parent-only",
    "all-parameters-needed",
    "statistics-without-parameters",
    "only-batch-normalisation",
    "own-buffers-only",
    "mode-handed-down",
    "all-of-the-model-asked",
    "saved-buffers-only",
    "partly-frozen-norm",
    "parent-asked",
    "containers-forgotten",
)
def test_modes_follow_what_is_trainable(student):
    """Every module is in the mode that the table gives it, with parameters, with buffers only or with neither."""
    for trainable, wanted in (
        (HEAD_PARAMETERS, [*TOP, *WHOLE_HEAD, "head.whiten"]),
        (
            [*BLOCK_PARAMETERS, "head.lin.bias"],
            [*TOP, "encoder", "encoder.drop", "encoder.both.drop", *BLOCK, "head", "head.drop", "head.lin"],
        ),
        (["encoder.norm.weight"], [*TOP, "encoder", "encoder.norm", "encoder.drop", "encoder.both.drop"]),
        ([*REST, *BLOCK_PARAMETERS], [*TOP, *WHOLE_ENCODER, *STATISTICS]),
        (
            [name for name in REST + BLOCK_PARAMETERS + HEAD_PARAMETERS if "bias" in name],
            [*TOP, *WHOLE_ENCODER, "encoder.both.drop", *WHOLE_HEAD],
        ),
        (
            [*REST, *HEAD_PARAMETERS],
            [*TOP, *(n for n in WHOLE_ENCODER if n not in BLOCK), "encoder.both.drop", *WHOLE_HEAD, "head.whiten"],
        ),
    ):
        assert_modes(student, trainable, wanted, True, with_statistics=True)


@points(1)
@catches("never-switched-on", "statistics-never-move", "nothing-trainable-ignored")
def test_modes_do_not_depend_on_what_they_were(student):
    """All, some or no parameters trainable: the modes are the same whatever they were before."""
    everything = REST + BLOCK_PARAMETERS + HEAD_PARAMETERS
    for start in (False, None, True):
        assert_modes(student, everything, [*TOP, *WHOLE_ENCODER, *WHOLE_HEAD, *WHITEN], start)
        assert_modes(student, [], [], start)
        assert_modes(student, BLOCK_PARAMETERS, [*TOP, "encoder", "encoder.drop", *BLOCK], start)
    found = student.run(modes_without_parameters)
    assert_names(found, [], what="list of modules in training mode in a model without parameters")


@points(1)
@catches("gradients-zeroed-only", "batch-norm-left-in-training-mode")
def test_training_moves_nothing_that_is_frozen(student, rng):
    """Neither an old optimiser nor the forward pass changes anything frozen, and everything trainable moves."""
    x = torch.from_numpy(rng.standard_normal((8, 4))).float()
    y = torch.from_numpy(rng.integers(0, 3, 8))
    statistics = ["num_batches_tracked", "running_mean", "running_var"]
    head = [
        *(f"head.{i}.{kind}" for i in (0, 1, 3) for kind in ("bias", "weight")),
        *(f"head.1.{s}" for s in statistics),
    ]
    norm = ["encoder.1.bias", "encoder.1.weight", *(f"encoder.1.{s}" for s in statistics)]
    # a bias in front of a normalisation has the gradient 0 up to rounding, and weight decay moves it anyway
    stages = [["head.*"], ["head.3.*"], ["head.*", "encoder.1.*"]]
    rows = student.run(train_after_freezing, x, y, stages)
    for patterns, wanted, (moved, same) in zip(
        stages, (head, ["head.3.bias", "head.3.weight"], head + norm), rows, strict=True
    ):
        told = f"{patterns!r} trainable"
        surplus, missing = sorted(set(moved) - set(wanted)), sorted(set(wanted) - set(moved))
        if surplus or missing:
            raise AssertionError(
                f"Three steps of training with {told}, by a new and an older AdamW, changed what should stay: "
                f"{', '.join(surplus) or 'nothing'}; and did not move: {', '.join(missing) or 'nothing'}."
            )
        if "encoder.1.*" not in patterns and not same:
            raise AssertionError(f"With {told}, two passes through the frozen encoder differ: its dropout is active.")


@points(1)
@catches("optimizer-holds-everything", "decay-ignored", "l2-penalty-instead", "rate-ignored")
def test_the_optimizer_holds_what_is_trainable(student, rng):
    """The optimiser is an AdamW with the given rate and decay, for the trainable parameters alone."""
    for trainable in (["head.bias", "head.weight"], ["body.weight"], ["body.bias", "head.weight", "tied.bias"]):
        lr, weight_decay = float(rng.uniform(0.01, 0.1)), float(rng.uniform(0.2, 0.9))
        is_adamw, held, values = student.run(describe_optimizer, trainable, lr, weight_decay)
        told = f"make_optimizer(model, {lr:.3g}, {weight_decay:.3g}) with {', '.join(trainable)} trainable"
        if not is_adamw:
            raise AssertionError(f"{told} should return a torch.optim.AdamW.")
        assert_names([row[0] for row in held], sorted(trainable), what=f"list of parameters held by {told}")
        for name, rate, decay in held:
            assert_equal(rate, lr, what=f"learning rate of {name} in {told}")
            assert_equal(decay, weight_decay, what=f"weight decay of {name} in {told}")
        after = 1 - lr * weight_decay - lr  # decay, and a first step of Adam, which is lr long
        for name, (low, high) in values.items():
            wanted = after if name in trainable else 1.0
            if not np.allclose([low, high], wanted, rtol=0, atol=1e-6):
                raise AssertionError(
                    f"One step of {told} moved {name} from 1 to {low:.6g}; it should be {wanted:.6g} (gradient 2)."
                )
    with raises(ValueError, what="make_optimizer for a model in which nothing is trainable"):
        student.run(describe_optimizer, [], 0.1, 0.1)
