"""Checks of transfer/lora. Layers are compared in float64 with the one matrix that base and correction make."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grader.checking import (
    assert_claims,
    assert_close,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "all_weights_move": False,
    "both_factors_random": False,
    "b_moves_first": True,
    "rank_stays_bounded": True,
    "merging_is_free": True,
    "forward_gets_cheaper": False,
    "accuracy_is_kept": False,
    "qlora_base_frozen": True,
}
FACTORS = ("lora_A", "lora_B")


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def assert_names(actual: object, expected: list[str], *, what: str, cause: str = "") -> None:
    """Fail unless `actual` is the list `expected`; the message names what is missing, superfluous or in disorder."""
    if not isinstance(actual, list) or not all(isinstance(name, str) for name in actual) or actual == expected:
        assert_equal(actual, expected, what=what, cause=cause)
        return
    surplus, missing = sorted(set(actual) - set(expected)), sorted(set(expected) - set(actual))
    parts = [f"Superfluous: {', '.join(surplus)}."] * bool(surplus) + [f"Missing: {', '.join(missing)}."] * bool(
        missing
    )
    if not parts:
        repeated = len(actual) != len(expected)
        parts = ["Some names are in there twice." if repeated else f"The names are right, but not sorted: {actual}."]
    hint = f"\nLikely cause: {cause}" if cause else ""
    raise AssertionError(f"The {what} is not what was expected. {' '.join(parts)}{hint}")


# ---------------------------------------------------------------- what runs in the student's process


def adapt_a_layer_and_a_model(student, x, weight, bias, factors):
    """Outputs before and after the factors are set, merged weight and output; then an injected model."""
    import torch
    from torch import nn

    base = nn.Linear(3, 2)
    layer = student.LoRALinear(base, r=2, alpha=6)
    start, of_base = layer(x).detach(), base(x).detach()
    with torch.no_grad():
        base.weight.copy_(weight)
        base.bias.copy_(bias)
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
    adapted = layer(x).detach()
    layer.merge()
    merged = [layer.merged, base.weight.detach().clone(), layer(x).detach()]
    model = nn.ModuleDict({"q": nn.Linear(4, 4), "norm": nn.LayerNorm(4), "head": nn.Linear(4, 3)})
    names = student.inject_lora(model, ["q"], r=2, alpha=6)
    trained = sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return start, of_base, adapted, merged, names, trained, sorted(student.lora_state(model))


def describe_new_layer(student, weight, bias, r, alpha, x, direction):
    """What a fresh layer is made of, its output, and where the first backward pass leaves a gradient."""
    import torch
    from torch import nn

    out_features, in_features = weight.shape
    base = nn.Linear(in_features, out_features, bias=bias is not None).to(weight.dtype)
    with torch.no_grad():
        base.weight.copy_(weight)
        if bias is not None:
            base.bias.copy_(bias)
    layer = student.LoRALinear(base, r, alpha)
    other = student.LoRALinear(nn.Linear(in_features, out_features).to(weight.dtype), r, alpha)
    parts = {
        "base is the given layer": layer.base is base,
        "merged": layer.merged,
        "parameters": {
            name: [list(parameter.shape), str(parameter.dtype), parameter.requires_grad]
            for name, parameter in layer.named_parameters()
        },
        "numbers of B that are not 0": int((layer.lora_B != 0).sum()),
        "rows of A that are 0": int((layer.lora_A == 0).all(dim=1).sum()),
        "same A again": bool(torch.equal(layer.lora_A, other.lora_A)),
    }
    output = layer(x)
    (output * direction).sum().backward()
    gradients = {
        name: None if parameter.grad is None else bool((parameter.grad != 0).any())
        for name, parameter in layer.named_parameters()
    }
    return parts, str(output.dtype), torch.equal(output, base(x)), gradients


def draw_lora_A(student, r, widths):
    """What is to be seen of the distribution of lora_A at two input widths, the second four times the first."""
    import torch
    from torch import nn

    torch.manual_seed(6)
    narrow, wide = (student.LoRALinear(nn.Linear(width, r), r, 2.0).lora_A.detach().double() for width in widths)
    ordered = (wide / wide.abs().max()).flatten().sort().values
    evenly = bool((ordered - torch.linspace(-1, 1, len(ordered), dtype=torch.float64)).abs().max() < 0.14)
    follows_width = bool(1.8 < (narrow.std() / wide.std()).item() < 2.2)
    largest = (6 / widths[1]) ** 0.5 * 1.0001  # of a = 0; every other a makes the numbers smaller
    return {
        "evenly spread around 0": evenly,
        "follows the width": follows_width,
        "too large": evenly and follows_width and bool(wide.abs().max() > largest),
    }


def run_with_given_factors(student, weight, bias, factors, alpha, x, direction):
    """Output, delta_weight and the gradients of A, B and x for given weights and factors."""
    import torch
    from torch import nn

    out_features, in_features = weight.shape
    base = nn.Linear(in_features, out_features, bias=bias is not None).to(weight.dtype)
    with torch.no_grad():
        base.weight.copy_(weight)
        if bias is not None:
            base.bias.copy_(bias)
    layer = student.LoRALinear(base, len(factors[0]), alpha)
    with torch.no_grad():
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
    x = x.clone().requires_grad_()
    output = layer(x)
    (output * direction).sum().backward()
    gradients = {"lora_A": layer.lora_A.grad, "lora_B": layer.lora_B.grad, "x": x.grad}
    return output.detach(), layer.delta_weight().detach(), gradients


def run_with_dropout(student, base_training, mode, factors, x):
    """Twice the output minus that of the base, for a base in training or evaluation mode; mode None leaves it so."""
    import torch
    from torch import nn

    torch.manual_seed(7)
    base = nn.Linear(x.shape[-1], len(factors[1])).to(x.dtype).train(base_training)
    weight = base.weight.detach().clone()
    layer = student.LoRALinear(base, len(factors[0]), 5, dropout=0.4)
    with torch.no_grad():
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
    if mode is not None:
        layer.train(mode)
    with torch.no_grad():
        outputs = [layer(x) - base(x) for _ in range(2)]
        return outputs, torch.equal(layer(x), base(x)), torch.equal(base.weight, weight)


def drop_inputs(student, factors, width, rows):
    """For one-hot inputs times 3 in training mode: the different corrections, and whether about 0.4 are dropped."""
    import torch
    from torch import nn

    torch.manual_seed(8)
    base = nn.Linear(width, len(factors[1])).to(factors[0].dtype)
    layer = student.LoRALinear(base, len(factors[0]), 5, dropout=0.4)
    with torch.no_grad():
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
        x = 3 * torch.eye(width, dtype=factors[0].dtype).repeat(rows, 1)
        found = (layer(x) - base(x)).round(decimals=9) + 0.0
    share = (found == 0).all(dim=1).double().mean().item()
    return torch.unique(found, dim=0), 0.2 < share < 0.6


def merge_and_unmerge(student, weight, bias, factors, alpha, x, steps):
    """Weight, output and flag after each of the steps, on a layer with dropout; unmerged outputs in evaluation mode."""
    import torch
    from torch import nn

    out_features, in_features = weight.shape
    base = nn.Linear(in_features, out_features).to(weight.dtype)
    with torch.no_grad():
        base.weight.copy_(weight)
        base.bias.copy_(bias)
    layer = student.LoRALinear(base, len(factors[0]), alpha, dropout=0.4)
    with torch.no_grad():
        layer.lora_A.copy_(factors[0])
        layer.lora_B.copy_(factors[1])
    rows = []
    for step in steps:
        getattr(layer, step)()
        layer.train(layer.merged is True)  # a merged layer drops nothing, whatever the mode
        kept = layer.base.weight
        rows.append(
            {
                "merged": layer.merged,
                "weight": kept.detach().clone(),
                "output": layer(x).detach(),
                "delta": layer.delta_weight().detach(),
                "is_parameter": isinstance(kept, nn.Parameter) and kept.is_leaf and not kept.requires_grad,
            }
        )
    return rows, layer.base.bias.detach(), [layer.lora_A.detach(), layer.lora_B.detach()]


def adapt_a_transformer(student, calls):
    """A small model after calls of inject_lora with (targets, r): names, LoRA layers, and which parameters train."""
    import torch
    from torch import nn

    class Projection(nn.Linear):
        pass

    def block():
        attention = nn.ModuleDict({"q": nn.Linear(6, 5), "qkv": nn.Linear(6, 7), "q_norm": nn.LayerNorm(6)})
        attention["freq"] = nn.Linear(6, 6)
        return nn.ModuleDict(
            {"attention": attention, "up": nn.Linear(6, 8, bias=False), "exploration": nn.Linear(6, 2)}
        )

    model = nn.Module()
    model.encoder = nn.ModuleList([block(), block()])
    model.up = nn.Conv1d(3, 4, 2)  # not linear, though it has the name
    model.q = Projection(4, 4)
    model.head = nn.Linear(6, 3)
    model.lora_gate = nn.Parameter(torch.ones(2))  # these two belong to no LoRALinear
    model.adapter = nn.Module()
    model.adapter.lora_A = nn.Parameter(torch.ones(3, 2))
    returned = [student.inject_lora(model, targets, r, 4.0) for targets, r in calls]
    adapted = sorted(name for name, module in model.named_modules() if type(module).__name__ == "LoRALinear")
    trained = {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    return returned, adapted, type(model.up).__name__, trained


def adapt_a_shared_layer(student, in_one_parent):
    """One nn.Linear under two names, in one parent or in two; and the names in lora_state."""
    from torch import nn

    shared = nn.Linear(4, 4)
    if in_one_parent:
        model = nn.ModuleDict({"q": shared, "k": shared})
        names = student.inject_lora(model, {"q", "k"}, 2, 3.0)
        one, two = model["q"], model["k"]
    else:
        model = nn.ModuleDict({"text": nn.ModuleDict({"q": shared}), "image": nn.ModuleDict({"q": shared})})
        names = student.inject_lora(model, {"q"}, 2, 3.0)
        one, two = model["text"]["q"], model["image"]["q"]
    around_it = one is two and getattr(one, "base", None) is shared
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return names, around_it, trained


def hand_on_alpha_and_dropout(student, x):
    """Whether an injected layer does what a LoRALinear made with the same alpha and dropout does."""
    import torch
    from torch import nn

    torch.manual_seed(9)
    model = nn.ModuleDict({"q": nn.Linear(6, 5)})
    student.inject_lora(model, ["q"], 3, 7.0, 0.4)
    direct = student.LoRALinear(nn.Linear(6, 5), 3, 7.0, 0.4)
    with torch.no_grad():
        for layer in (model["q"], direct):
            layer.lora_A.fill_(0.5)
            layer.lora_B.fill_(2.0)
        same_correction = torch.allclose(model["q"].delta_weight(), direct.delta_weight())
        model.train()
        return same_correction, not torch.equal(model["q"](x), model["q"](x))


def inject_in_vain(student, targets, kind):
    """The error that inject_lora raises on a model of this kind, and what still requires a gradient."""
    from torch import nn

    model = nn.Linear(4, 4) if kind == "bare" else nn.ModuleDict({"q": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    if kind == "adapted":
        student.inject_lora(model, ["q"], 2, 3.0)
    error = None
    try:
        student.inject_lora(model, targets, 2, 3.0)
    except Exception as raised:
        error = [base.__name__ for base in type(raised).__mro__]
    return error, sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def train_and_save(student, factor, x):
    """Train an adapted model with weight decay: the states before and after, and what moved."""
    from collections import OrderedDict

    import torch
    from torch import nn

    model = nn.Sequential(OrderedDict(q=nn.Linear(4, 6), act=nn.Tanh(), exploration=nn.Linear(6, 3)))
    model.act.lora_A = nn.Parameter(torch.ones(2, 3))  # of a module that is no LoRALinear
    empty = student.lora_state(model)
    student.inject_lora(model, ["q"], 2, 3.0)
    with torch.no_grad():
        model.q.lora_B.copy_(factor)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = student.lora_state(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    after = model.state_dict()
    moved = sorted(name for name in after if not torch.equal(before[name], after[name]))
    follows = sorted(name for name in state if not torch.equal(state[name], before[name]))
    return sorted(empty), sorted(state), follows, [tensor.requires_grad for tensor in state.values()], moved


def save_a_shared_layer(student):
    """The names in lora_state of a model that holds one adapted layer under two names."""
    from torch import nn

    layer = student.LoRALinear(nn.Linear(4, 4), 2, 3.0)
    model = nn.ModuleDict({"text": nn.ModuleDict({"q": layer}), "image": nn.ModuleDict({"q": layer})})
    return sorted(student.lora_state(model))


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_a_layer_by_hand_and_a_small_model(student):
    """A layer with known numbers, before, after and merged, and a model of which only the factors are trained."""
    x = torch.tensor([[1.0, 0.0, 2.0]])
    factors = [torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]]), torch.tensor([[1.0, 0.0], [-1.0, 1.0]])]
    start, of_base, adapted, (flag, weight, output), names, trained, state = student.run(
        adapt_a_layer_and_a_model, x, torch.ones(2, 3), torch.tensor([0.5, 0.5]), factors
    )
    assert_equal(start, of_base, what="output before training", cause="it should be that of the base: B starts at 0")
    expected = torch.tensor([[6.5, 6.5]])
    assert_close(adapted, expected, what="output", cause="the base gives 3.5 twice, B A x is (1, 1), the scaling is 3")
    assert_equal(flag, True, what="attribute merged after merge()")
    assert_close(weight, torch.tensor([[4.0, 4.0, 1.0], [-2.0, 4.0, 4.0]]), what="merged weight of the base")
    assert_close(output, expected, what="output after merging", cause="a merged layer adds nothing any more")
    assert_names(names, ["q"], what="list returned by inject_lora")
    assert_names(trained, ["q.lora_A", "q.lora_B"], what="list of the parameters that would be trained")
    assert_names(state, ["q.lora_A", "q.lora_B"], what="list of the names in lora_state")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "both-random",
    "both-zero",
    "zero-and-random-exchanged",
    "base-trainable",
    "bias-left-trainable",
    "factors-in-float32",
    "spread-not-by-width",
    "standard-normal-start",
    "normal-by-width",
)
def test_a_new_layer_changes_nothing_and_can_learn(student, rng):
    """A new layer computes what its base computes, its base is frozen, and the first gradient reaches B."""
    for dtype, with_bias in ((torch.float32, True), (torch.float64, False)):
        weight, x = normal(rng, 5, 24).to(dtype), normal(rng, 3, 24).to(dtype)
        bias = normal(rng, 5).to(dtype) if with_bias else None
        parts, output_dtype, output_is_of_base, gradients = student.run(
            describe_new_layer, weight, bias, 3, 2.0, x, normal(rng, 3, 5).to(dtype)
        )
        told = f"of a new layer around nn.Linear(24, 5, bias={with_bias}), {dtype}, r=3"
        assert_equal(parts["base is the given layer"], True, what=f"answer to 'is base the given layer' {told}")
        assert_equal(parts["merged"], False, what=f"attribute merged {told}")
        expected = {"base.weight": [[5, 24], False], "lora_A": [[3, 24], True], "lora_B": [[5, 3], True]}
        if with_bias:
            expected["base.bias"] = [[5], False]
        assert_names(sorted(parts["parameters"]), sorted(expected), what=f"list of the parameters {told}")
        for name, (shape, trains) in expected.items():
            found_shape, found_dtype, found_trains = parts["parameters"][name]
            assert_equal(found_shape, shape, what=f"shape of {name} {told}")
            assert_equal(found_dtype, str(dtype), what=f"dtype of {name} {told}")
            assert_equal(found_trains, trains, what=f"requires_grad of {name} {told}")
        assert_equal(parts["numbers of B that are not 0"], 0, what=f"number of entries of lora_B {told} that are not 0")
        assert_equal(parts["rows of A that are 0"], 0, what=f"number of rows of lora_A {told} that are all 0")
        if parts["same A again"]:
            raise AssertionError(f"lora_A {told} should be drawn anew for each layer; two layers have the same one.")
        assert_equal(output_dtype, str(dtype), what=f"dtype of the output {told}")
        if not output_is_of_base:
            raise AssertionError(f"The output {told} is not to the last bit that of the base, although lora_B is 0.")
        cause = "with B = 0 and A random, the first backward pass reaches B, and A has to wait"
        assert_equal(gradients["lora_B"], True, what=f"answer to 'is the gradient of lora_B not 0' {told}", cause=cause)
        if gradients["lora_A"]:
            raise AssertionError(f"The gradient of lora_A {told} is not 0, although lora_B is 0.")

    drawn = student.run(draw_lora_A, 40, [50, 200])
    told = "lora_A, r=40, of layers around nn.Linear(50, 40) and nn.Linear(200, 40) is not drawn as the table says"
    if not drawn["evenly spread around 0"]:
        raise AssertionError(f"{told}: its numbers are not spread evenly over an interval around 0.")
    if not drawn["follows the width"]:
        raise AssertionError(f"{told}: with inputs four times as wide, the numbers should be half as large.")
    if drawn["too large"]:
        raise AssertionError(f"{told}: its numbers are larger than with any `a`; leave the other arguments alone.")


@points(1)
@catches("scaling-inverted", "scaling-missing", "scaling-by-root", "delta-unscaled", "base-without-gradients")
def test_base_and_correction_act_like_one_matrix(student, rng):
    """Output, its gradients and delta_weight are those of W + (alpha / r) B A, for any leading axes."""
    for leading, (in_features, out_features, r), alpha, with_bias in (
        ((4,), (5, 3, 2), 7.0, True),
        ((2, 3), (3, 6, 3), 1.0, False),
        ((), (4, 5, 1), 0.5, True),
        ((0, 2), (4, 2, 2), 3, True),
        ((2, 1, 3), (6, 4, 4), 6.0, False),
    ):
        weight, x = normal(rng, out_features, in_features), normal(rng, *leading, in_features)
        bias = normal(rng, out_features) if with_bias else None
        factors = [normal(rng, r, in_features), normal(rng, out_features, r)]
        direction = normal(rng, *leading, out_features)
        output, delta, gradients = student.run(run_with_given_factors, weight, bias, factors, alpha, x, direction)

        leaves = {"lora_A": factors[0], "lora_B": factors[1], "x": x}
        leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}
        rank_ones = [torch.outer(leaves["lora_B"][:, i], leaves["lora_A"][i]) for i in range(r)]
        correction = sum(rank_ones) * alpha / r
        expected = leaves["x"] @ (weight + correction).T
        if with_bias:
            expected = expected + bias
        told = f"for x of shape {tuple(x.shape)}, {out_features} outputs, r={r}, alpha={alpha}, bias={with_bias}"
        assert_shape(output, (*leading, out_features), what=f"output {told}")
        cause = "it is base(x) plus alpha / r times B (A x)"
        assert_close(output, expected, what=f"output {told}", cause=cause)
        assert_close(delta, correction, what=f"delta_weight() {told}", cause="it is alpha / r times B A")
        wanted = torch.autograd.grad((expected * direction).sum(), list(leaves.values()))
        for name, gradient in zip(leaves, wanted, strict=True):
            if gradients[name] is None:
                raise AssertionError(f"No gradient reaches {name} {told}.")
            assert_close(gradients[name], gradient, what=f"gradient of {name} {told}", cause="cut off from autograd")


@points(1)
@catches(
    "dropout-on-the-base",
    "dropout-behind-A",
    "dropout-without-rescaling",
    "dropout-at-inference",
    "mode-of-the-base-ignored",
    "merged-by-eval",
)
def test_dropout_acts_on_the_way_into_the_correction_only(student, rng):
    """Dropout acts on what enters A, in training mode only, and a new layer is in the mode of its base."""
    factors = [normal(rng, 2, 4), normal(rng, 3, 2)]
    correction = 5 / 2 * factors[1] @ factors[0]  # (3, 4)
    without = [factors[0], torch.zeros_like(factors[1])]
    x = normal(rng, 50, 4)
    same = student.run(run_with_dropout, True, True, without, x)[1]
    if not same:
        raise AssertionError(
            "With lora_B = 0 and dropout=0.4 in training mode, the output differs from that of the base: the dropout "
            "reaches the path through the base."
        )
    for base_training, mode in ((True, False), (False, None)):
        (first, second), _, weight_kept = student.run(run_with_dropout, base_training, mode, factors, x)
        told = "after eval()" if base_training else "of a layer made from a base in evaluation mode"
        if not weight_kept:
            raise AssertionError(
                f"The weight of the base {told} is not what it was, although merge() was never called: changing the "
                "mode should not merge."
            )
        expected = x @ correction.T
        cause = "dropout is off in evaluation mode" + (
            "" if base_training else "; a new layer has the mode of its base"
        )
        assert_close(first, expected, what=f"output minus that of the base {told}", cause=cause)
        assert_close(second, expected, what=f"output minus that of the base {told}, second call", cause=cause)

    # one-hot rows: each is dropped as a whole, or it arrives divided by 1 - 0.4
    found, share_is_right = student.run(drop_inputs, factors, 4, 75)
    wanted = torch.cat((torch.zeros(1, 3, dtype=torch.float64), 3 * correction.T / 0.6))
    told = "in training mode, dropout=0.4, for 300 rows with one number that is not 0"
    cause = "each number of x is either dropped or divided by 1 - dropout, by itself, before it meets A"
    for row in found:
        nearest = wanted[(wanted - row).abs().sum(dim=1).argmin()]
        assert_close(row, nearest, atol=1e-7, what=f"row of the correction {told}", cause=cause)
    assert_equal(len(found), 5, what=f"number of different rows of the correction {told}", cause=cause)
    if not share_is_right:
        raise AssertionError("With dropout=0.4 in training mode, far more or less than 40 of 100 numbers are dropped.")


@points(1)
@catches(
    "merges-twice",
    "merged-unscaled",
    "branch-added-when-merged",
    "unmerge-unasked",
    "merged-weight-trainable",
    "factors-emptied-by-merge",
)
def test_merging_and_unmerging(student, rng):
    """Merging changes the weight and not the output, a second time changes nothing, and unmerging brings W back."""
    weight, bias, x = normal(rng, 3, 5), normal(rng, 3), normal(rng, 4, 5)
    factors, alpha = [normal(rng, 2, 5), normal(rng, 3, 2)], 3.0
    steps = ["unmerge", "merge", "merge", "unmerge", "unmerge", "merge"]
    rows, bias_after, factors_after = student.run(merge_and_unmerge, weight, bias, factors, alpha, x, steps)
    delta = alpha / 2 * factors[1] @ factors[0]
    expected_output = x @ (weight + delta).T + bias
    for count, row in enumerate(rows, start=1):
        told = f"after {', '.join(steps[:count])} on a new layer"
        merged = steps[count - 1] == "merge"
        assert_equal(row["merged"], merged, what=f"attribute merged {told}")
        assert_close(row["weight"], weight + delta if merged else weight, what=f"weight of the base {told}")
        cause = "merged or not, the layer computes the same; dropout has no effect on a merged layer"
        assert_close(row["output"], expected_output, what=f"output {told}", cause=cause)
        assert_close(row["delta"], delta, what=f"delta_weight() {told}")
        if not row["is_parameter"]:
            raise AssertionError(f"base.weight {told} should be an nn.Parameter of its own that requires no gradient.")
    assert_unchanged(bias_after, bias, what="bias of the base")
    for name, after, before in zip(FACTORS, factors_after, factors, strict=True):
        assert_unchanged(after, before, what=name)


EVERYWHERE = ["encoder.0.attention.q", "encoder.1.attention.q", "q"]
UPS = ["encoder.0.up", "encoder.1.up"]
SIZES = {"attention.q": (6, 5), "up": (6, 8), "q": (4, 4)}


@points(1)
@catches(
    "everything-trained",
    "substring-matched",
    "suffix-matched",
    "first-level-only",
    "dropout-not-handed-on",
    "subclasses-left-out",
    "lora-in-any-name",
    "factors-known-by-prefix",
    "factors-known-by-name",
    "earlier-factors-frozen",
    "shared-layer-adapted-twice",
    "further-names-left-out",
    "siblings-left-out",
    "own-names-returned",
    "names-in-model-order",
)
def test_injection_replaces_what_was_asked_for_and_freezes_the_rest(student, rng):
    """Exactly the linear layers of the given names are replaced, and exactly their factors are trained."""
    for calls, ranks in (
        ([(["q"], 3)], [(EVERYWHERE, 3)]),
        ([({"up", "q", "gate"}, 2)], [(sorted(EVERYWHERE + UPS), 2)]),
        ([(("up",), 4), (["q"], 2)], [(UPS, 4), (EVERYWHERE, 2)]),
    ):
        returned, adapted, up, trained = student.run(adapt_a_transformer, calls)
        told = "inject_lora with the targets " + ", then ".join(str(sorted(targets)) for targets, _ in calls)
        for count, (names, (expected, _)) in enumerate(zip(returned, ranks, strict=True), start=1):
            which = "" if len(calls) == 1 else f", call {count}"
            assert_names(names, expected, what=f"list returned by {told}{which}")
        expected = sorted(name for names, _ in ranks for name in names)
        assert_names(adapted, expected, what=f"list of the LoRALinear modules after {told}")
        assert_equal(up, "Conv1d", what=f"class of the convolution called 'up' after {told}")
        shapes = {}
        for names, r in ranks:
            for name in names:
                size = SIZES["q" if name == "q" else "up" if name.endswith("up") else "attention.q"]
                shapes[f"{name}.lora_A"], shapes[f"{name}.lora_B"] = [r, size[0]], [size[1], r]
        surplus, missing = sorted(trained.keys() - shapes.keys()), sorted(shapes.keys() - trained.keys())
        if surplus or missing:
            raise AssertionError(
                f"After {told}, the factors of all LoRA layers should require a gradient, and nothing else."
                + (f" Also trained: {', '.join(surplus)}." if surplus else "")
                + (f" Not trained: {', '.join(missing)}." if missing else "")
            )
        assert_equal(trained, shapes, what=f"shape of trained parameters after {told}:")

    for in_one_parent, expected in ((False, ["image.q", "text.q"]), (True, ["k", "q"])):
        names, around_it, count = student.run(adapt_a_shared_layer, in_one_parent)
        told = f"after inject_lora on a model with one nn.Linear(4, 4) as {expected[0]!r} and as {expected[1]!r}, r=2"
        assert_names(names, expected, what=f"list returned {told}")
        if not around_it:
            raise AssertionError(f"The two names should lead to one LoRALinear around the shared layer {told}.")
        assert_equal(count, 16, what=f"number of trained weights {told}")

    same_correction, noisy = student.run(hand_on_alpha_and_dropout, normal(rng, 3, 6).float())
    told = "after inject_lora(model, ['q'], 3, 7.0, 0.4)"
    if not same_correction:
        raise AssertionError(
            f"The layer 'q' {told} has another delta_weight() than a LoRALinear made with r=3 and alpha=7.0 that has "
            "the same factors."
        )
    if not noisy:
        raise AssertionError(
            f"The layer 'q' {told} gives the same output twice in training mode: nothing is dropped, although the "
            "dropout is 0.4."
        )


@points(0.5)
@catches("state-follows-training", "everything-saved", "saved-without-path", "saved-by-name", "saved-under-one-name")
def test_training_moves_the_factors_only_and_lora_state_keeps_them(student, rng):
    """Training an adapted model moves nothing but the factors, and lora_state is a copy of them."""
    factor, x = normal(rng, 6, 2).float(), normal(rng, 5, 4).float()
    empty, names, follows, trainable, moved = student.run(train_and_save, factor, x)
    assert_names(empty, [], what="list of the names in lora_state of a model without LoRA layers")
    expected = ["q.lora_A", "q.lora_B"]
    assert_names(names, expected, what="list of the names in lora_state after inject_lora with the target 'q'")
    assert_names(moved, expected, what="list of what two steps of AdamW moved in the adapted model")
    if follows or any(trainable):
        raise AssertionError(
            "The values of lora_state should be copies: plain tensors that stay what they were when training goes on. "
            + (f"These changed: {', '.join(follows)}." if follows else "Some of them require a gradient.")
        )
    assert_names(
        student.run(save_a_shared_layer),
        [f"{place}.q.{factor}" for place in ("image", "text") for factor in FACTORS],
        what="list of the names in lora_state of a model with one LoRALinear as 'text.q' and as 'image.q'",
    )


@points(0.5)
@catches(
    "rank-unbounded",
    "alpha-unchecked",
    "not-a-number-accepted",
    "string-taken-letter-by-letter",
    "no-match-unnoticed",
    "frozen-before-refusing",
    "wrapped-again",
)
def test_what_cannot_be_adapted_is_refused(student, rng):
    """Arguments out of range are refused, and a model in which nothing matches stays as it was."""

    for arguments in ((6, 4, 0, 1.0, 0.0), (6, 4, -1, 1.0, 0.0), (6, 4, 5, 1.0, 0.0), (3, 8, 4, 1.0, 0.0)):
        with raises(ValueError, what=f"LoRALinear(nn.Linear{arguments[:2]}, r={arguments[2]}, alpha=1.0)"):
            student.run(make_a_layer, *arguments)
    for alpha in (0, 0.0, -2.0, float("nan"), float("inf")):
        with raises(ValueError, what=f"LoRALinear(nn.Linear(6, 4), r=2, alpha={alpha})"):
            student.run(make_a_layer, 6, 4, 2, alpha, 0.0)
    for dropout in (-0.25, 1.0, 1.5, float("nan")):
        with raises(ValueError, what=f"LoRALinear(nn.Linear(6, 4), r=2, alpha=1.0, dropout={dropout})"):
            student.run(make_a_layer, 6, 4, 2, 1.0, dropout)
    student.run(make_a_layer, 6, 4, 4, 0.25, 0.0)  # the largest rank there is
    for kind in ("Conv1d", "Embedding", "Sequential"):
        with raises(TypeError, what=f"LoRALinear around an nn.{kind}"):
            student.run(make_a_layer_around, kind)

    models = {
        "plain": ("a model of q and norm", ["norm.bias", "norm.weight", "q.bias", "q.weight"]),
        "bare": ("nn.Linear(4, 4)", ["bias", "weight"]),
        "adapted": ("a model of q and norm with q adapted", ["q.lora_A", "q.lora_B"]),
    }
    for targets, kind, wanted in (
        ("q", "plain", TypeError),
        (["k"], "plain", ValueError),
        ([], "plain", ValueError),
        (["norm"], "plain", ValueError),
        (["weight"], "bare", ValueError),
        (["base"], "adapted", ValueError),
    ):
        error, trained = student.run(inject_in_vain, targets, kind)
        told = f"inject_lora({models[kind][0]}, {targets!r}, 2, 3.0)"
        if error is None or wanted.__name__ not in error:
            raised = "nothing" if error is None else error[0]
            raise AssertionError(f"{told} should raise {wanted.__name__}; it raised {raised}.")
        cause = "find out whether anything matches before you change the model"
        assert_names(trained, models[kind][1], what=f"list of what still requires a gradient after {told}", cause=cause)


def make_a_layer(student, in_features, out_features, r, alpha, dropout):
    from torch import nn

    student.LoRALinear(nn.Linear(in_features, out_features), r, alpha, dropout)


def make_a_layer_around(student, kind):
    from torch import nn

    module = {
        "Conv1d": nn.Conv1d(4, 4, 1),
        "Embedding": nn.Embedding(4, 4),
        "Sequential": nn.Sequential(nn.Linear(4, 4)),
    }
    student.LoRALinear(module[kind], 2, 1.0)
