"""Checks of capstone/low_rank_adapters. Layers are compared in float64 with the one weight they stand for."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

FACTORS = ("lora_A", "lora_B")


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def assert_names(found: list[str], expected: list[str], *, what: str, cause: str = "") -> None:
    """Fail unless two lists hold the same names; the message names those that are missing or too many."""
    surplus, missing = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    if surplus or missing:
        parts = [f"Too many: {', '.join(surplus)}."] * bool(surplus) + [f"Missing: {', '.join(missing)}."] * bool(
            missing
        )
        hint = f"\nLikely cause: {cause}" if cause else ""
        raise AssertionError(f"The {what} is not what was expected. {' '.join(parts)}{hint}")


# ---------------------------------------------------------------- what runs in the student's process


def adapt_by_hand(student):
    """The worked numbers of the visible check."""
    import torch
    from torch import nn

    base = nn.Conv2d(1, 2, 3, stride=2, padding=1)
    layer = student.LoRAConv2d(base, rank=1, alpha=4)
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    start = torch.equal(layer(image), base(image))
    with torch.no_grad():
        base.weight.fill_(1.0)
        base.bias.copy_(torch.tensor([0.5, -0.5]))
        layer.lora_A.copy_(torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, -1]]).reshape(1, 1, 3, 3))
        layer.lora_B.copy_(torch.tensor([3.0, 0.25]).reshape(2, 1, 1, 1))
        output = layer(image)
        layer.merge()
        merged = [layer.merged, layer(image)]
        layer.unmerge()
        unmerged = [layer.merged, base.weight.detach().clone()]
        linear = student.LoRALinear(nn.Linear(2, 1, bias=False), rank=2, alpha=3)
        linear.base.weight.copy_(torch.tensor([[1.0, 0.0]]))
        linear.lora_A.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        linear.lora_B.copy_(torch.tensor([[2.0, -1.0]]))
        return start, output, merged, unmerged, linear(torch.tensor([[1.0, 1.0]]))


def describe_new_adapter(student, kind, x):
    """What a fresh adapter is made of, its output, and where the first backward pass leaves a gradient."""
    import torch
    from torch import nn

    def make_base():
        if kind == "LoRALinear":
            return nn.Linear(7, 4).to(x.dtype)
        return nn.Conv2d(3, 5, (3, 2), stride=2, padding=1).to(x.dtype)

    base = make_base()
    kept = {name: value.clone() for name, value in base.state_dict().items()}
    layer = getattr(student, kind)(base, 2, 5.0)
    other = getattr(student, kind)(make_base().eval(), 2, 5.0)
    parts = {
        "base is the given layer": layer.base is base,
        "merged": layer.merged,
        "parameters": {
            name: [list(value.shape), str(value.dtype), value.requires_grad] for name, value in layer.named_parameters()
        },
        "state": sorted(layer.state_dict()),
        "numbers of B that are not 0": int((layer.lora_B != 0).sum()),
        "numbers of A that are 0": int((layer.lora_A == 0).sum()),
        "same A again": bool(torch.equal(layer.lora_A, other.lora_A)),
        "modes": [layer.training, layer.base.training, other.training, other.base.training],
        "base changed": [name for name, value in base.state_dict().items() if not torch.equal(value, kept[name])],
    }
    output = layer(x)
    same = torch.equal(output, base(x))
    output.square().sum().backward()
    gradients = [
        None if factor.grad is None else bool((factor.grad != 0).any()) for factor in (layer.lora_A, layer.lora_B)
    ]
    return parts, same, gradients


def run_with_given_factors(student, settings, weight, bias, factors, alpha, x, direction):
    """Output, delta_weight and the gradients of A, B and x for given weights and factors."""
    import torch
    from torch import nn

    if settings is None:
        base = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    else:
        base = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), bias=bias is not None, **settings)
    base = base.to(weight.dtype)
    with torch.no_grad():
        base.weight.copy_(weight)
        if bias is not None:
            base.bias.copy_(bias)
    layer = (student.LoRALinear if settings is None else student.LoRAConv2d)(base, len(factors[0]), alpha)
    with torch.no_grad():
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
    delta = layer.delta_weight().detach()
    x = x.clone().requires_grad_()
    output = layer(x)
    (output * direction).sum().backward()
    gradients = {"lora_A": layer.lora_A.grad, "lora_B": layer.lora_B.grad, "x": x.grad}
    return output.detach(), delta, gradients


def run_with_dropout(student, kind, factors, rows):
    """Corrections for one-hot inputs times 3 in training and in inference mode; the output where B is 0."""
    import torch
    from torch import nn

    torch.manual_seed(8)
    width, out = factors[0].shape[1], len(factors[1])
    x = 3 * torch.eye(width, dtype=torch.float64).repeat(rows, 1)
    if kind == "LoRALinear":
        base, x = nn.Linear(width, out).double(), x[:, None].repeat(1, 2, 1)  # (samples, 2 places, width)
    else:
        base, x = nn.Conv2d(width, out, 1).double(), x[:, :, None, None].repeat(1, 1, 1, 2)  # (samples, width, 1, 2)

    def corrections():
        found = layer(x) - base(x)
        return found if found.dim() == 3 else found[:, :, 0].transpose(1, 2)  # (samples, 2 places, out)

    layer = getattr(student, kind)(base, len(factors[0]), 5, dropout=0.4)
    with torch.no_grad():
        layer.lora_A.copy_(factors[0].reshape(layer.lora_A.shape))
        layer.train()
        untouched = torch.equal(layer(x), base(x))
        layer.lora_B.copy_(factors[1].reshape(layer.lora_B.shape))
        trained = corrections()
        layer.eval()
        inference = corrections()[:width, 0]
        layer.merge()
        layer.train()
        merged_differs = not torch.equal(layer(x), base(x))
    dropped = (trained.abs() < 1e-12).all(dim=2)  # (samples, 2 places)
    kinds = torch.unique(trained.flatten(0, 1).round(decimals=7) + 0.0, dim=0)
    places_apart = bool((dropped[:, 0] != dropped[:, 1]).any())
    return kinds, 0.2 < dropped.double().mean().item() < 0.6, places_apart, inference, untouched, merged_differs


def merge_and_unmerge(student, settings, weight, bias, factors, alpha, x, steps):
    """Weight, output and flag after each step; the step "train" changes the factors, "eval" and "mode" the mode."""
    import torch
    from torch import nn

    if settings is None:
        base = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        base = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), **settings)
    base = base.to(weight.dtype)
    layer = (student.LoRALinear if settings is None else student.LoRAConv2d)(base, len(factors[0]), alpha)
    with torch.no_grad():
        base.weight.copy_(weight)
        base.bias.copy_(bias)
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
    parameter = base.weight
    rows = []
    for step in steps:
        if step == "train":
            with torch.no_grad():
                layer.lora_B.mul_(-2)
        elif step == "change the mode":
            layer.eval().train()
        else:
            getattr(layer, step)()
        rows.append(
            {
                "merged": layer.merged,
                "weight": layer.base.weight.detach().clone(),
                "delta": layer.delta_weight().detach(),
                "output": layer(x).detach(),
                "same parameter": layer.base.weight is parameter and not parameter.requires_grad,
                "state": sorted(layer.state_dict()),
            }
        )
    return rows, base.bias.detach(), [layer.lora_A.detach(), layer.lora_B.detach()]


def make_adapter(student, kind, changes):
    """An adapter around a layer with these settings."""
    from torch import nn

    sizes = {"rank": 2, "alpha": 3.0, "dropout": 0.0} | {
        k: v for k, v in changes.items() if k in ("rank", "alpha", "dropout")
    }
    settings = {k: v for k, v in changes.items() if k not in sizes and k != "base"}
    bases = {
        "linear": nn.Linear(4, 6),
        "conv2d": nn.Conv2d(4, 6, 3, **settings),
        "conv1d": nn.Conv1d(4, 6, 3),
        "embedding": nn.Embedding(4, 6),
    }
    base = bases[changes.get("base", "linear" if kind == "LoRALinear" else "conv2d")]
    getattr(student, kind)(base, sizes["rank"], sizes["alpha"], sizes["dropout"])


def ask_worth_adapting(student, table):
    """What worth_adapting says of layers with these names and kinds."""
    from torch import nn

    kinds = {"Conv2d": nn.Conv2d(2, 2, 1), "Linear": nn.Linear(2, 2), "Embedding": nn.Embedding(2, 2)}
    return [bool(student.worth_adapting(name, kinds[kind])) for name, kind in table]


def inject_into_two_towers(student, calls, rank, alpha, x, tokens):
    """A dual encoder after calls of inject: names, adapters, flags, modes, and whether the outputs are the old ones.

    A call is "default", or the part of a name that is wanted ("" = everything).
    """
    import torch
    from torch import nn

    torch.manual_seed(4)
    model = nn.Module()
    stage = nn.Sequential(nn.Conv2d(4, 6, (3, 2), bias=False), nn.BatchNorm2d(6))
    model.image_tower = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Dropout(0.3), stage)
    model.image_tower.value = nn.Linear(24, 5)
    model.text_tower = nn.Module()
    model.text_tower.words = nn.Embedding(7, 6)
    blocks = [
        {"query": nn.Linear(6, 6), "key": nn.Linear(6, 6), "value": nn.Linear(6, 6, bias=False)} for _ in range(2)
    ]
    model.text_tower.blocks = nn.ModuleList([nn.ModuleDict(block) for block in blocks])
    model.text_tower.local = nn.Conv2d(1, 1, 3, padding=1)
    model.image_projection, model.text_projection = nn.Linear(5, 3, bias=False), nn.Linear(6, 3, bias=False)
    model.log_scale = nn.Parameter(torch.tensor(1.0))
    model.lora_A = nn.Parameter(torch.ones(2))
    model.image_tower.eval()
    model.text_tower.train()

    def outputs():
        hidden = model.image_tower[2](model.image_tower[1](model.image_tower[0](x)))
        image = model.image_projection(model.image_tower.value(hidden.flatten(1)))
        text = model.text_tower.words(tokens)
        for block in model.text_tower.blocks:
            text = text + block["query"](text) * block["key"](text) + block["value"](text)
        return image.detach(), model.text_projection(model.text_tower.local(text[:, None])).detach()

    before = outputs()
    modes = {name: module.training for name, module in model.named_modules()}
    asked, returned = [], []
    for call in calls:
        if call == "default":
            wanted = {}
        else:

            def want(name, layer, part=call):
                asked.append(model.get_submodule(name) is layer)
                return part in name

            wanted = {"wanted": want}
        try:
            returned.append(student.inject(model, rank, alpha, **wanted))
        except ValueError:
            returned.append("ValueError")
    classes = ("LoRALinear", "LoRAConv2d")
    adapters = {name: module for name, module in model.named_modules() if type(module).__name__ in classes}
    report = {
        "returned": returned,
        "adapters": {name: type(module).__name__ for name, module in adapters.items()},
        "trained": {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad},
        "same outputs": [torch.equal(new, old) for new, old in zip(outputs(), before, strict=True)],
        "right layers asked": all(asked),
        "modes": [name for name, mode in modes.items() if model.get_submodule(name).training != mode],
    }
    return report


def hand_on_alpha_and_dropout(student, x):
    """Whether an injected layer does what a LoRALinear made with the same arguments does."""
    import torch
    from torch import nn

    torch.manual_seed(9)
    model = nn.ModuleDict({"q": nn.Linear(6, 5)})
    student.inject(model, 3, 7.0, lambda name, layer: True, 0.4)
    direct = student.LoRALinear(nn.Linear(6, 5), 3, 7.0, 0.4)
    with torch.no_grad():
        for layer in (model["q"], direct):
            layer.lora_A.fill_(0.5)
            layer.lora_B.fill_(2.0)
        return torch.allclose(model["q"].delta_weight(), direct.delta_weight()), not torch.equal(
            model["q"](x), model["q"](x)
        )


def inject_in_vain(student, kind):
    """The error of inject where there is nothing to replace, and what still requires a gradient."""
    from torch import nn

    model = nn.Linear(4, 4) if kind == "bare" else nn.ModuleDict({"q": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    error = None
    try:
        student.inject(model, 2, 3.0, lambda name, layer: kind == "bare")
    except Exception as raised:
        error = [base.__name__ for base in type(raised).__mro__]
    return error, sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def train_and_save(student, x):
    """An adapter's state before and after three steps of AdamW, what moved, and a second model that loads it."""
    import torch
    from torch import nn

    def build(adapted):
        torch.manual_seed(11)
        layers = nn.Sequential(nn.Conv2d(2, 3, 2, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))
        model = nn.ModuleDict({"tower": layers, "head": nn.Linear(4, 3)})
        model["head"].lora_A = nn.Parameter(torch.ones(3, 2))  # belongs to no adapter
        if adapted:
            student.inject(model, 2, 6.0, wanted=lambda name, layer: name.startswith("tower"))
        return model

    def run(model):
        return model["head"](model["tower"](x))

    model = build(True)
    plain = sorted(student.adapter_state(build(False)))
    first = student.adapter_state(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.3)
    for _ in range(3):
        optimizer.zero_grad()
        run(model).square().sum().backward()
        optimizer.step()
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    followed = [name for name, value in first.items() if name in before and not torch.equal(value, before[name])]
    model["head"].weight.requires_grad_(True)  # from here on somebody trains a head as well
    state = student.adapter_state(model)
    now = model.state_dict()
    wrong = [name for name, value in state.items() if name not in now or not torch.equal(value, now[name])]
    plainness = all(isinstance(v, torch.Tensor) and not v.requires_grad for v in state.values())
    return {
        "plain": plain,
        "names": sorted(state),
        "moved": moved,
        "followed": followed,
        "wrong": wrong,
        "plain tensors": plainness,
    }


def load_into_a_second_model(student, x, change):
    """What load_adapter does to a fresh model with a changed state: error, message, what moved, outputs."""
    import torch
    from torch import nn

    def build(seed):
        torch.manual_seed(11)
        layers = nn.Sequential(nn.Conv2d(2, 3, 2, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))
        model = nn.ModuleDict({"tower": layers, "head": nn.Linear(4, 3)})
        student.inject(model, 2, 6.0, wanted=lambda name, layer: name.startswith("tower"))
        torch.manual_seed(seed)
        for layer in (layers[0], layers[3]):
            nn.init.normal_(layer.lora_A)
            nn.init.normal_(layer.lora_B)
        return model

    names = [f"tower.{layer}.{factor}" for layer in (0, 3) for factor in ("lora_A", "lora_B")]
    source, target = build(12), build(13)
    state = {name: source.state_dict()[name].clone() for name in names}
    if change == "names":
        for name in ("tower.0.lora_B", "tower.3.lora_A"):
            del state[name]
        state["tower.4.lora_A"], state["head.weight"] = torch.ones(2, 3), torch.zeros(3, 4)
    elif change == "one missing":
        del state["tower.3.lora_B"]
    elif change == "one unknown":
        state["head.weight"] = torch.zeros(3, 4)
    elif change == "shape":
        state["tower.3.lora_B"] = torch.zeros(4, 1)
    elif change == "rank":
        state["tower.3.lora_A"] = torch.zeros(5, 12)
    elif change == "merged":
        target["tower"][3].merge()
    given = {name: value.clone() for name, value in state.items()}
    parameters = dict(target.named_parameters())
    flags = {name: parameter.requires_grad for name, parameter in parameters.items()}
    before = {name: value.clone() for name, value in target.state_dict().items()}
    error, message = None, ""
    try:
        student.load_adapter(target, state)
    except Exception as raised:
        error, message = [base.__name__ for base in type(raised).__mro__], str(raised)
    after = target.state_dict()
    now = dict(target.named_parameters())
    report = {
        "error": error,
        "message": message,
        "moved": [name for name, value in after.items() if not torch.equal(value, before[name])],
        "other parameters": [name for name in parameters if now[name] is not parameters[name]],
        "flags": [name for name in flags if now[name].requires_grad != flags[name]],
        "state changed": sorted(state) != sorted(given) or any(not torch.equal(state[n], given[n]) for n in given),
    }
    if error is None:
        state[names[0]].fill_(9.0)  # the state's owner goes on with it
        outputs = [model["head"](model["tower"](x)).detach() for model in (source, target)]
        report["same outputs"] = torch.equal(*outputs)
    return report


# ---------------------------------------------------------------- independent paths


def one_weight(factors: list[Tensor], alpha: float) -> Tensor:
    """The correction as one matrix or kernel: a sum over the rank of products, one output at a time."""
    a, b = factors
    rows = [sum(b[out, r].reshape(()) * a[r] for r in range(len(a))) for out in range(len(b))]
    return torch.stack(rows) * (alpha / len(a))


def apply_weight(settings: dict | None, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight, bias) if settings is None else F.conv2d(x, weight, bias, **settings)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_one_convolution_and_one_linear_layer_by_hand(student):
    """A convolution and a linear layer with known numbers: at the start, adapted, merged and unmerged."""
    start, output, (merged, merged_output), (still_merged, weight), linear = student.run(adapt_by_hand)
    assert_equal(start, True, what="answer to 'is a new layer's output that of its base, to the last bit'")
    expected = torch.tensor([[[[8.5, 12.5], [20.5, 24.5]], [[7.5, 11.5], [19.5, 23.5]]]])
    correction = 4 * torch.tensor([3.0, 0.25]).view(2, 1, 1) * torch.tensor([[-4.0, 2.0], [6.0, 8.0]])
    cause = "the convolution with A goes over the image with stride 2 and padding 1 too; the scaling is 4"
    assert_close(output, expected + correction, what="output of the adapted convolution", cause=cause)
    assert_equal(merged, True, what="attribute merged after merge()")
    assert_close(merged_output, expected + correction, what="output after merge()")
    assert_equal(still_merged, False, what="attribute merged after unmerge()")
    assert_equal(weight, torch.ones(2, 1, 3, 3), what="weight of the base after unmerge()")
    assert_close(linear, torch.tensor([[8.5]]), what="output of the linear layer", cause="A x is (3, 1), B A x is 5")


@points(1)
@catches(
    "both-zero", "both-random", "zero-and-random-exchanged", "base-trainable", "bias-forgotten", "base-copied",
    "factors-in-float32", "mode-of-the-base-ignored",
)  # fmt: skip
def test_a_new_adapter_changes_nothing_and_can_learn(student, rng):
    """A new adapter computes what its base computes to the last bit, its base is frozen, and B can learn at once."""
    bases = {
        "LoRALinear": ("nn.Linear(7, 4)", (2, 7), {"weight": [4, 7], "A": [2, 7], "B": [4, 2], "bias": [4]}),
        "LoRAConv2d": (
            "nn.Conv2d(3, 5, (3, 2), stride=2, padding=1)",
            (2, 3, 7, 6),
            {"weight": [5, 3, 3, 2], "A": [2, 3, 3, 2], "B": [5, 2, 1, 1], "bias": [5]},
        ),
    }
    for kind, (base, shape, shapes) in bases.items():
        for dtype in (torch.float32, torch.float64):
            parts, same, gradients = student.run(describe_new_adapter, kind, normal(rng, *shape).to(dtype))
            told = f"of a new {kind} around {base} in {str(dtype).removeprefix('torch.')}, rank 2"
            if not same:
                raise AssertionError(f"The output {told} is not to the last bit that of the base, although B is 0.")
            assert_equal(parts["base is the given layer"], True, what=f"answer to 'is base the given layer' {told}")
            assert_names(parts["base changed"], [], what=f"list of what changed in the base {told}")
            assert_equal(parts["merged"], False, what=f"attribute merged {told}")
            expected = {
                "base.weight": [shapes["weight"], str(dtype), False],
                "base.bias": [shapes["bias"], str(dtype), False],
                "lora_A": [shapes["A"], str(dtype), True],
                "lora_B": [shapes["B"], str(dtype), True],
            }
            assert_names(list(parts["parameters"]), list(expected), what=f"list of the parameters {told}")
            assert_names(parts["state"], list(expected), what=f"list of the names in state_dict() {told}")
            for name, described in expected.items():
                for what, found, wanted in zip(
                    ("shape", "dtype", "requires_grad"), parts["parameters"][name], described, strict=True
                ):
                    assert_equal(found, wanted, what=f"{what} of {name} {told}")
            assert_equal(
                parts["numbers of B that are not 0"], 0, what=f"number of entries of lora_B {told} that are not 0"
            )
            assert_equal(parts["numbers of A that are 0"], 0, what=f"number of entries of lora_A {told} that are 0")
            if parts["same A again"]:
                raise AssertionError(
                    f"lora_A {told} should be drawn anew for each layer; two layers have the same one."
                )
            cause = "a new layer has the mode of its base: the first base was in training mode, the second was not"
            assert_equal(
                parts["modes"], [True, True, False, False], what=f"list of the flags training {told}", cause=cause
            )
            cause = "with B = 0 and A random, the first backward pass reaches B, and A has to wait"
            assert_equal(gradients[1], True, what=f"answer to 'is the gradient of lora_B not 0' {told}", cause=cause)


@points(1.5)
@catches(
    "scaling-missing", "scaling-multiplied", "scaling-inverted", "no-stride", "no-padding", "no-dilation",
    "bias-twice", "kernel-reshaped", "delta-unscaled",
)  # fmt: skip
def test_both_ways_together_are_one_weight(student, rng):
    """Output, gradients and delta_weight are those of one weight: W plus alpha / rank times B A, as a kernel too."""
    image = (9, 8)
    cases = [
        ("LoRALinear", None, (4, 7), 2, 5.0, (3, 2)),
        ("LoRAConv2d", {"stride": 1, "padding": 0}, (4, 3, 2, 3), 2, 6.0, image),
        ("LoRAConv2d", {"stride": 1, "padding": "same", "dilation": 2}, (3, 4, 3, 3), 2, 7.0, image),
        ("LoRAConv2d", {"stride": 1, "padding": (2, 1)}, (5, 2, 3, 2), 3, 1.5, image),
        ("LoRAConv2d", {"stride": (2, 3), "padding": 1, "dilation": (1, 2)}, (5, 3, 3, 2), 4, 3.0, image),
    ]
    for kind, settings, shape, rank, alpha, places in cases:
        with_bias = shape[0] > 3
        weight, bias = normal(rng, *shape), normal(rng, shape[0]) if with_bias else None
        ones = () if settings is None else (1, 1)
        factors = [normal(rng, rank, *shape[1:]), normal(rng, shape[0], rank, *ones)]
        x = normal(rng, *places, shape[1]) if settings is None else normal(rng, 2, shape[1], *places)
        leaves = [value.clone().requires_grad_() for value in (*factors, x)]
        expected_delta = one_weight(leaves[:2], alpha)
        expected = apply_weight(settings, leaves[2], weight + expected_delta, bias)
        direction = normal(rng, *expected.shape)
        output, delta, gradients = student.run(
            run_with_given_factors, settings, weight, bias, factors, alpha, x, direction
        )
        described = "" if settings is None else ", ".join(f"{key}={value}" for key, value in settings.items())
        told = f"of {kind} with a weight {shape}{' and a bias' * with_bias}, rank={rank}, alpha={alpha}; {described}"
        assert_shape(output, tuple(expected.shape), what=f"output {told}")
        cause = "it is the base's output plus alpha / rank times the way through A and B; A walks as the base walks"
        assert_close(output, expected, rtol=1e-7, atol=1e-9, what=f"output {told}", cause=cause)
        assert_shape(delta, shape, what=f"result of delta_weight() {told}")
        cause = "each output channel mixes the rows of A with its own row of B, and the places of the kernel stay apart"
        assert_close(delta, expected_delta, rtol=1e-7, atol=1e-9, what=f"result of delta_weight() {told}", cause=cause)
        wanted = torch.autograd.grad((expected * direction).sum(), leaves)
        for name, gradient in zip(("lora_A", "lora_B", "x"), wanted, strict=True):
            if gradients[name] is None:
                raise AssertionError(f"No gradient reaches {name} {told}.")
            assert_close(gradients[name], gradient, rtol=1e-7, atol=1e-9, what=f"gradient of {name} {told}")


@points(0.5)
@catches("dropout-at-inference", "dropout-on-the-base", "dropout-behind-A", "dropout-by-channel", "dropout-left-out")
def test_dropout_acts_on_the_way_into_A_only(student, rng):
    """Dropout acts on what enters A, in training mode only, and never on the base."""
    for kind in ("LoRALinear", "LoRAConv2d"):
        factors = [normal(rng, 2, 4), normal(rng, 3, 2)]
        correction = 3 * one_weight(factors, 5.0).T  # (4, 3), for one-hot inputs times 3
        found, share_is_right, places_apart, inference, untouched, merged_differs = student.run(
            run_with_dropout, kind, factors, 75
        )
        told = f"of {kind} with dropout=0.4"
        if not untouched:
            raise AssertionError(
                f"With lora_B = 0, the output {told} in training mode differs from that of the base: the dropout "
                "reaches the way through the base."
            )
        assert_close(inference, correction, what=f"output minus that of the base {told} in inference mode")
        wanted = torch.cat((torch.zeros(1, 3, dtype=torch.float64), correction / 0.6))
        cause = "each number of x is either dropped or divided by 1 - dropout, by itself, before it meets A"
        what = f"correction {told} in training mode, for inputs with one number that is not 0"
        seen = set()
        for row in found:
            nearest = int((wanted - row).abs().sum(dim=1).argmin())
            assert_close(row, wanted[nearest], atol=1e-6, what=what, cause=cause)
            seen.add(nearest)
        assert_equal(len(seen), 5, what=f"number of different rows of the {what}", cause=cause)
        if not share_is_right:
            raise AssertionError(f"In training mode, far more or less than 40 of 100 numbers are dropped, {told}.")
        if not places_apart:
            raise AssertionError(
                f"In training mode, a number of x is dropped in all places of a sample or in none, {told}. Each number "
                "is dropped or kept by itself."
            )
        if merged_differs:
            raise AssertionError(f"A merged layer {told} should be its base alone, in training mode too.")


@points(1.5)
@catches(
    "merges-twice",
    "added-when-merged",
    "unmerged-by-subtraction",
    "unmerged-by-mode",
    "kept-weight-in-the-state",
    "weight-replaced",
    "factors-emptied-by-merge",
)
def test_merging_is_exact_and_unmerging_brings_back_every_bit(student, rng):
    """Merging changes the weight and not the output, twice is once, and unmerging brings back every bit."""
    steps = ["unmerge", "merge", "merge", "change the mode", "unmerge", "unmerge", "merge", "train", "unmerge", "merge"]
    for kind, settings, shape in (
        ("LoRALinear", None, (3, 5)),
        ("LoRAConv2d", {"stride": 2, "padding": 1}, (4, 2, 3, 2)),
    ):
        ones = () if settings is None else (1, 1)
        # a small weight and a large correction: what is added and taken off again leaves its rounding behind
        weight, bias = (0.01 * normal(rng, *shape)).float(), normal(rng, shape[0]).float()
        factors = [(30 * normal(rng, 2, *shape[1:])).float(), normal(rng, shape[0], 2, *ones).float()]
        x = normal(rng, 4, 5).float() if settings is None else normal(rng, 2, 2, 7, 5).float()
        rows, bias_after, factors_after = student.run(merge_and_unmerge, settings, weight, bias, factors, 5.0, x, steps)
        trained = False
        for count, row in enumerate(rows, start=1):
            told = f"of {kind} after {', '.join(steps[:count])}"
            trained = trained or steps[count - 1] == "train"
            state = "unmerge" if count == 1 else [step for step in steps[:count] if step.endswith("merge")][-1]
            assert_equal(row["merged"], state == "merge", what=f"attribute merged {told}")
            now = [factors[0], -2 * factors[1]] if trained else factors
            delta = one_weight([factor.double() for factor in now], 5.0)
            assert_close(row["delta"], delta, rtol=1e-4, atol=1e-3, what=f"result of delta_weight() {told}")
            if state == "unmerge":
                cause = "in floating point, (w + d) - d is not always w"
                assert_equal(row["weight"], weight, what=f"weight of the base {told}", cause=cause)
            else:
                inside = one_weight([factor.double() for factor in (now if count == len(steps) else factors)], 5.0)
                expected = weight.double() + inside
                cause = "W plus the correction, once"
                what = f"weight of the base {told}"
                assert_close(row["weight"], expected, rtol=1e-4, atol=1e-3, what=what, cause=cause)
            effective = weight.double() + (delta if state == "unmerge" else inside)
            expected = apply_weight(settings, x.double(), effective, bias.double())
            cause = "merged or not, the layer computes the same; once merged, the base does all of it"
            assert_close(row["output"], expected, rtol=1e-3, atol=1e-2, what=f"output {told}", cause=cause)
            if not row["same parameter"]:
                raise AssertionError(f"base.weight {told} should be the parameter it was, without a gradient.")
            names = ["base.weight", "base.bias", "lora_A", "lora_B"]
            assert_names(row["state"], names, what=f"list of the names in state_dict() {told}")
        assert_unchanged(bias_after, bias, what="bias of the base")
        for name, after, before in zip(FACTORS, factors_after, (factors[0], -2 * factors[1]), strict=True):
            assert_unchanged(after, before, what=name)


@points(0.5)
@catches(
    "groups-accepted",
    "padding-mode-accepted",
    "rank-unchecked",
    "large-rank-refused",
    "alpha-unchecked",
    "any-base-accepted",
)
def test_what_cannot_be_adapted_is_refused(student):
    """Arguments out of range, grouped convolutions and layers of other kinds are refused."""
    for kind in ("LoRALinear", "LoRAConv2d"):
        student.run(make_adapter, kind, {"rank": 1, "alpha": 0.5})
        for changes in (
            {"rank": 0},
            {"rank": -1},
            {"alpha": 0.0},
            {"alpha": -2.0},
            {"dropout": 1.0},
            {"dropout": -0.25},
            {"dropout": 1.5},
        ):
            described = ", ".join(f"{key}={value}" for key, value in changes.items())
            with raises(ValueError, what=f"{kind} with {described}"):
                student.run(make_adapter, kind, changes)
        other = "conv2d" if kind == "LoRALinear" else "linear"
        for base in (other, "conv1d", "embedding"):
            with raises(TypeError, what=f"{kind} around a layer of the kind {base}"):
                student.run(make_adapter, kind, {"base": base})
    for changes in (
        {"groups": 2},
        {"padding_mode": "reflect", "padding": 1},
        {"padding_mode": "circular", "padding": 1},
    ):
        described = ", ".join(f"{key}={value}" for key, value in changes.items())
        with raises(ValueError, what=f"LoRAConv2d around a convolution with {described}"):
            student.run(make_adapter, "LoRAConv2d", changes)
    student.run(make_adapter, "LoRAConv2d", {"padding": "same"})
    for kind in ("LoRALinear", "LoRAConv2d"):
        student.run(make_adapter, kind, {"rank": 50})  # one rank serves all layers of a model, small ones too


IMAGE = {"image_tower.0": ([3, 3, 3], 4), "image_tower.2.0": ([4, 3, 2], 6)}
TEXT = {f"text_tower.blocks.{block}.{name}": ([6], 6) for block in (0, 1) for name in ("query", "value")}
REST = {
    "image_tower.value": ([24], 5),
    "text_tower.blocks.0.key": ([6], 6),
    "text_tower.blocks.1.key": ([6], 6),
    "text_tower.local": ([1, 3, 3], 1),
    "image_projection": ([5], 3),
    "text_projection": ([6], 3),
}
EVERYTHING = IMAGE | TEXT | REST


def part_of_everything(text: str) -> dict[str, tuple[list[int], int]]:
    return {name: sizes for name, sizes in EVERYTHING.items() if text in name}


@points(2)
@catches(
    "only-the-image-tower",
    "name-by-substring",
    "tower-without-dot",
    "wrapped-twice",
    "everything-else-trainable",
    "heads-left-trainable",
    "earlier-factors-frozen",
    "first-level-only",
    "arguments-not-handed-on",
    "no-match-unnoticed",
    "frozen-before-refusing",
    "put-into-training-mode",
)
def test_adapters_go_into_both_towers_and_nothing_else_is_trained(student, rng):
    """Exactly the wanted layers of both towers get an adapter, once, and exactly their factors are trained."""
    table = [
        ("image_tower.0", "Conv2d", True),
        ("image_tower.stages.2.first.0", "Conv2d", True),
        ("image_tower.query", "Linear", False),
        ("text_tower.layer.3.attention.self.query", "Linear", True),
        ("text_tower.value", "Linear", True),
        ("text_tower.layer.3.attention.self.key", "Linear", False),
        ("text_tower.query_norm", "Linear", False),
        ("text_tower.value.output", "Linear", False),
        ("text_tower.value", "Conv2d", False),
        ("text_tower.words", "Embedding", False),
        ("image_projection", "Linear", False),
        ("image_tower_of_last_year.0", "Conv2d", False),
        ("text_tower_of_last_year.query", "Linear", False),
        ("decoder.image_tower.0", "Conv2d", False),
        ("query", "Linear", False),
    ]
    answers = student.run(ask_worth_adapting, [(name, kind) for name, kind, _ in table])
    for (name, kind, expected), answer in zip(table, answers, strict=True):
        assert_equal(answer, expected, what=f"answer of worth_adapting({name!r}, nn.{kind})")

    x, tokens = normal(rng, 2, 3, 8, 6).float(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    cases = [
        (["blocks"], [part_of_everything("blocks")]),
        (["default"], [IMAGE | TEXT]),
        (["tower.blocks", "image_"], [part_of_everything("tower.blocks"), part_of_everything("image_")]),
        (["default", ""], [IMAGE | TEXT, REST]),
        (["", ""], [EVERYTHING, None]),
        (["default", "default"], [IMAGE | TEXT, None]),
        (["no such name"], [None]),
    ]
    for calls, wanted in cases:
        report = student.run(inject_into_two_towers, calls, 3, 5.0, x, tokens)
        words = ["the default" if call == "default" else f"{call!r} in the name" for call in calls]
        told = f"inject(model, 3, 5.0) with wanted: {', then '.join(words)}"
        for number, (returned, part) in enumerate(zip(report["returned"], wanted, strict=True), start=1):
            what = f"result of call {number} of {told}"
            if part is None:
                cause = "there is nothing to replace: what lies inside an adapter has been adapted already"
                assert_equal(returned, "ValueError", what=what, cause=cause)
                continue
            if not isinstance(returned, list):
                assert_equal(returned, sorted(part), what=what)
            assert_names(returned, list(part), what=what)
            assert_equal(returned, sorted(part), what=what)
        adapted = {name: shape for part in wanted if part is not None for name, shape in part.items()}
        assert_names(list(report["adapters"]), list(adapted), what=f"list of the adapters after {told}")
        for name, kind in report["adapters"].items():
            expected_kind = "LoRALinear" if len(adapted[name][0]) == 1 else "LoRAConv2d"
            assert_equal(kind, expected_kind, what=f"class of the adapter {name} after {told}")
        if adapted:
            shapes = {}
            for name, (inputs, outputs) in adapted.items():
                shapes[f"{name}.lora_A"] = [3, *inputs]
                shapes[f"{name}.lora_B"] = [outputs, 3] + [1] * (len(inputs) - 1)
            what = f"list of the parameters that require a gradient after {told}"
            assert_names(list(report["trained"]), list(shapes), what=what)
            assert_equal(report["trained"], shapes, what=f"shape of trained parameters after {told}:")
        if not all(report["same outputs"]):
            raise AssertionError(f"After {told}, the model's outputs are not to the last bit what they were.")
        assert_equal(
            report["right layers asked"], True, what="answer to 'is wanted(name, layer) asked about its layer'"
        )
        assert_names(report["modes"], [], what=f"list of the modules whose mode changed in {told}")
    same, noisy = student.run(hand_on_alpha_and_dropout, normal(rng, 3, 6).float())
    if not same:
        raise AssertionError(
            "inject(model, 3, 7.0, …) makes layers with another correction than LoRALinear(…, 3, 7.0)."
        )
    if not noisy:
        raise AssertionError("After inject(model, 3, 7.0, wanted, 0.4), nothing is dropped in training mode.")
    for kind, told, expected in (
        ("plain", "a model in which nothing is wanted", ["norm.bias", "norm.weight", "q.bias", "q.weight"]),
        ("bare", "a bare nn.Linear, with nothing inside it", ["bias", "weight"]),
    ):
        error, trained = student.run(inject_in_vain, kind)
        if error is None or "ValueError" not in error:
            raised = "nothing" if error is None else error[0]
            raise AssertionError(f"inject on {told} should raise ValueError; it raised {raised}.")
        assert_names(trained, expected, what=f"list of what requires a gradient after inject on {told}")


NAMES = [f"tower.{layer}.{factor}" for layer in (0, 3) for factor in FACTORS]


@points(1)
@catches("checkpoint-holds-the-base", "checkpoint-by-flags", "checkpoint-by-name", "checkpoint-follows-training")
def test_the_checkpoint_holds_the_adapter_and_nothing_else(student, rng):
    """Training moves the factors alone, and adapter_state holds copies of them and nothing else."""
    report = student.run(train_and_save, normal(rng, 4, 2, 4, 4).float())
    assert_names(report["plain"], [], what="list of the names in adapter_state of a model without adapters")
    assert_names(report["names"], NAMES, what="list of the names in adapter_state")
    assert_names(report["moved"], NAMES, what="list of what three steps of AdamW moved in an adapted model")
    what = "list of the tensors of an earlier adapter_state that changed when training went on"
    assert_names(report["followed"], [], what=what, cause="the dict holds the parameters' own numbers, not copies")
    assert_names(report["wrong"], [], what="list of the tensors in adapter_state that are not those of the model")
    assert_equal(report["plain tensors"], True, what="answer to 'are these detached tensors'")


@points(1)
@catches(
    "missing-names-ignored",
    "unknown-names-ignored",
    "stretched-to-fit",
    "loaded-by-half",
    "loaded-over-a-merged-one",
    "factors-replaced",
    "state-adopted",
)
def test_an_adapter_is_loaded_as_a_whole_or_not_at_all(student, rng):
    """An adapter that fits is copied into the model; one that does not is refused, and the model stays as it was."""
    x = normal(rng, 4, 2, 4, 4).float()
    report = student.run(load_into_a_second_model, x, None)
    told = "load_adapter(model, state) with a state that fits"
    if report["error"]:
        raise AssertionError(f"{told} raised {report['error'][0]}: {report['message']}")
    assert_names(report["moved"], NAMES, what=f"list of what {told} changed")
    assert_names(report["other parameters"], [], what=f"list of the parameters that {told} put others in the place of")
    assert_names(report["flags"], [], what=f"list of the parameters whose requires_grad {told} changed")
    assert_equal(report["state changed"], False, what=f"answer to 'was the state changed' of {told}")
    cause = "the factors hold the state's own numbers, and the state's owner has changed them since"
    what = f"answer to 'same outputs as the model it came from' after {told}"
    assert_equal(report["same outputs"], True, what=what, cause=cause)
    for change, wanted, mentioned, told in (
        ("one missing", "KeyError", ["tower.3.lora_B"], "that lacks tower.3.lora_B"),
        ("one unknown", "KeyError", ["head.weight"], "that also has head.weight"),
        (
            "names",
            "KeyError",
            ["tower.0.lora_B", "tower.3.lora_A", "tower.4.lora_A", "head.weight"],
            "that lacks tower.0.lora_B and tower.3.lora_A and also has tower.4.lora_A and head.weight",
        ),
        ("rank", "ValueError", ["tower.3.lora_A"], "with a tower.3.lora_A of shape (5, 12) instead of (2, 12)"),
        ("shape", "ValueError", ["tower.3.lora_B"], "with a tower.3.lora_B of shape (4, 1) instead of (4, 2)"),
        ("merged", "ValueError", [], "that fits, on a model in which tower.3 is merged"),
    ):
        report = student.run(load_into_a_second_model, x, change)
        told = f"load_adapter with a state {told}"
        if report["error"] is None or wanted not in report["error"]:
            raised = "nothing" if report["error"] is None else f"{report['error'][0]}: {report['message']}"
            raise AssertionError(f"{told} should raise {wanted}; it raised {raised}.")
        unsaid = [name for name in mentioned if name not in report["message"]]
        if unsaid:
            raise AssertionError(f"The message of {told} should also name {', '.join(unsaid)}: {report['message']!r}")
        assert_names(report["moved"], [], what=f"list of what {told} changed, although it raised an error,")
