"""Checks of capstone/dual_encoder. Towers are look-up tables and small stacks of layers, in float64 where possible."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)


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


def compare_drawings_with_names(student, vectors, weights, log_scale, pixels, tokens, mask):
    """Vectors, scale and logits of a dual encoder with a flattening image tower and a look-up table for tokens."""
    import torch
    from torch import nn

    class LookUp(nn.Module):
        def __init__(self):
            super().__init__()
            self.vectors = nn.Parameter(vectors.clone())

        def forward(self, tokens, mask):
            return self.vectors[tokens]

    image_weight, text_weight = weights
    sizes = (image_weight.shape[1], text_weight.shape[1], len(image_weight))
    model = student.DualEncoder(nn.Flatten(), LookUp(), *sizes).to(vectors.dtype)
    with torch.no_grad():
        model.image_projection.weight.copy_(image_weight)
        model.text_projection.weight.copy_(text_weight)
        model.log_scale.fill_(log_scale)
        return {
            "images": model.encode_images(pixels),
            "texts": model.encode_texts(tokens, mask),
            "scale": model.scale(),
            "logits": model(pixels, tokens, mask),
        }


def describe_dual_encoder(student, image_features, text_features, width):
    """What a new model is made of: its own parameters, and whether the towers are the given ones."""
    from torch import nn

    image_tower, text_tower = nn.Identity(), nn.Identity()
    model = student.DualEncoder(image_tower, text_tower, image_features, text_features, width)
    same = {"image_tower": model.image_tower is image_tower, "text_tower": model.text_tower is text_tower}
    kinds = {name: isinstance(getattr(model, name), nn.Linear) for name in ("image_projection", "text_projection")}
    parameters = {name: [list(value.shape), value.requires_grad] for name, value in model.named_parameters()}
    return same, kinds, parameters, model.log_scale.item()


def record_call_of_the_text_tower(student, tokens, mask):
    """What arrives at the text tower."""
    import torch
    from torch import nn

    class Recorder(nn.Module):
        def forward(self, *arguments):
            self.arguments = [argument.clone() for argument in arguments]
            return torch.ones(*arguments[0].shape, 3)

    tower = Recorder()
    student.DualEncoder(nn.Flatten(), tower, 2, 3, 4).encode_texts(tokens, mask)
    return tower.arguments


def use_scale(student, weights, log_scale, pixels, tokens, mask):
    """The scale, the parameter behind it after a forward pass, and its gradient by autograd and by differences."""
    import torch
    from torch import nn

    class OneHot(nn.Module):
        def forward(self, tokens, mask):
            return nn.functional.one_hot(tokens, 5).to(torch.float64)

    model = student.DualEncoder(nn.Flatten(), OneHot(), weights[0].shape[1], 5, len(weights[0])).double()
    with torch.no_grad():
        model.image_projection.weight.copy_(weights[0])
        model.text_projection.weight.copy_(weights[1])
        model.log_scale.fill_(log_scale)
    parameter = model.log_scale
    value = parameter.detach().clone()
    scale = model.scale().detach()
    logits = model(pixels, tokens, mask)
    images, texts = model.encode_images(pixels).detach(), model.encode_texts(tokens, mask).detach()
    if logits.requires_grad:
        logits.sum().backward()
    same = model.log_scale is parameter and torch.equal(parameter.detach(), value)
    gradient = torch.zeros_like(value) if parameter.grad is None else parameter.grad
    return scale, same, gradient, logits.detach(), images, texts


def differentiate_logits(student, pixels, tokens, mask, direction, steps):
    """Slope of (logits * direction).sum() along a step of each parameter: by autograd, and by central differences."""
    import torch
    from torch import nn

    class LookUp(nn.Module):
        def __init__(self):
            super().__init__()
            self.vectors = nn.Parameter(torch.linspace(-1, 2, 20, dtype=torch.float64).reshape(5, 4) ** 2)

        def forward(self, tokens, mask):
            return self.vectors[tokens]

    torch.manual_seed(3)
    image_tower = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh())
    model = student.DualEncoder(image_tower, LookUp(), 5, 4, 3).double()
    model.log_scale.data.fill_(1.7)

    def total():
        return (model(pixels, tokens, mask) * direction).sum()

    named = {
        "image tower": model.image_tower[1].weight,
        "text tower": model.text_tower.vectors,
        "image_projection": model.image_projection.weight,
        "text_projection": model.text_projection.weight,
        "log_scale": model.log_scale,
    }
    value = total()
    if value.requires_grad:
        value.backward()
    slopes = {}
    for name, parameter in named.items():
        step = steps[name]
        by_autograd = 0.0 if parameter.grad is None else (parameter.grad * step).sum().item()
        with torch.no_grad():
            parameter.add_(1e-5 * step)
            above = total().item()
            parameter.sub_(2e-5 * step)
            below = total().item()
            parameter.add_(1e-5 * step)
        slopes[name] = [by_autograd, (above - below) / 2e-5]
    return slopes


def call_freeze(student, training, features):
    """Modes, flags, gradients and values of a model whose middle part is frozen, after several calls of train()."""
    import torch
    from torch import nn

    torch.manual_seed(5)
    inner = nn.Sequential(nn.Dropout(0.4), nn.BatchNorm1d(6, affine=False))
    tower = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), inner, nn.Linear(6, 3))
    model = nn.ModuleDict({"before": nn.Linear(5, 4), "tower": tower, "after": nn.BatchNorm1d(3)})

    def forward():
        return model["after"](model["tower"](model["before"](features)))

    def modes():
        return [name for name, module in model.named_modules() if name and module.training]

    forward().square().sum().backward()
    model.train(training)
    values = {name: value.clone() for name, value in model.state_dict().items()}
    student.freeze(tower)
    report = {"modes": {"right after freeze(tower)": modes()}}
    report["changed by freeze"] = [n for n, value in model.state_dict().items() if not torch.equal(value, values[n])]
    report["require a gradient"] = [name for name, p in model.named_parameters() if p.requires_grad]
    report["have a gradient"] = [name for name, p in model.named_parameters() if p.grad is not None]
    model.train()
    report["modes"]["after model.train()"] = modes()
    model.eval()
    report["modes"]["after model.train() and model.eval()"] = modes()
    model.train()
    same = tower.train() is tower and inner.train(True) is inner and tower[1].train() is tower[1]
    report["train() returns its module"] = same and tower.eval() is tower
    report["modes"]["after train() on the tower and on two of its parts"] = modes()
    student.freeze(tower)
    model.apply(lambda module: module.train())
    report["modes"]["after freezing twice and model.apply(lambda module: module.train())"] = modes()

    model["before"].zero_grad()
    first = tower(model["before"](features))
    report["repeats"] = torch.equal(first, tower(model["before"](features)))
    report["statistics that moved"] = [
        name for name, value in model.state_dict().items() if "tower" in name and not torch.equal(value, values[name])
    ]
    if first.requires_grad:
        first.square().sum().backward()
    gradient = model["before"].weight.grad
    report["reaches what comes before"] = gradient is not None and bool(gradient.abs().sum() > 0)
    return report


def freeze_one_layer(student, features):
    """Mode, flags and statistics of a single BatchNorm that is frozen and then used in training mode."""
    import torch
    from torch import nn

    layer = nn.BatchNorm1d(features.shape[1])
    student.freeze(layer)
    layer.train()
    layer(features)
    return layer.training, layer.weight.requires_grad, torch.equal(layer.running_mean, torch.zeros(features.shape[1]))


def fill_parameter_groups(student, frozen, rates):
    """Rate and decay of each parameter of a model, by its name, after everything that starts with `frozen` is frozen.

    The text tower's output shares its weight with the tokens' vectors, and one gate is shared by the two towers.
    """
    import torch
    from torch import nn

    torch.manual_seed(6)
    model = nn.Module()
    model.log_scale = nn.Parameter(torch.tensor(1.0))
    model.image_tower = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4))
    model.image_projection, model.text_projection = nn.Linear(4, 5, bias=False), nn.Linear(6, 5, bias=False)
    model.text_tower = nn.ModuleDict({"words": nn.Embedding(7, 6), "norm": nn.LayerNorm(6), "out": nn.Linear(6, 7)})
    model.text_tower["out"].weight = model.text_tower["words"].weight
    model.text_tower.norm_matrix = nn.Parameter(torch.ones(2, 3))
    model.image_tower.gate = nn.Parameter(torch.ones(4))
    model.text_tower.gate = model.image_tower.gate
    model.text_tower.amount = nn.Parameter(torch.tensor(0.5))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(frozen)))
    groups = student.parameter_groups(model, *rates)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in groups:
        for parameter in list(group["params"]):
            place = [float(group["lr"]), float(group["weight_decay"])]
            found.setdefault(names.get(id(parameter), "something that is no parameter of the model"), []).append(place)
    if found and all(len(places) == 1 for places in found.values()):
        torch.optim.AdamW(student.parameter_groups(model, *rates))  # is content with the form
    return found


def train_with_frozen_parts(student, pixels, tokens):
    """What two steps of AdamW move in a dual encoder whose text tower and first stage are frozen."""
    import torch
    from torch import nn

    class Names(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.norm, self.dropout = nn.Embedding(9, 6), nn.BatchNorm1d(6), nn.Dropout(0.2)

        def forward(self, tokens, mask):
            hidden = self.words(tokens)
            return self.dropout(self.norm(hidden.flatten(0, 1)).unflatten(0, tokens.shape))

    torch.manual_seed(7)
    first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.2))
    second = nn.Sequential(nn.Conv2d(4, 5, 2, bias=False), nn.BatchNorm2d(5), nn.Tanh())
    model = student.DualEncoder(nn.Sequential(first, second, nn.Flatten()), Names(), 20, 6, 3)
    model.image_projection.weight.data.normal_()
    own = torch.arange(len(pixels))

    def step():
        logits = model(pixels, tokens, tokens > 0)
        (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)).backward()

    step()  # leaves gradients everywhere
    student.freeze(model.text_tower)
    student.freeze(first)
    model.eval()
    optimizer = torch.optim.AdamW(student.parameter_groups(model, 0.01, 0.02, 0.1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):
        model.train()
        step()
        optimizer.step()
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    return moved, list(before)


# ---------------------------------------------------------------- independent paths


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length if length else 0.0 for number in vector]


def project(weight: Tensor, features: list[float]) -> list[float]:
    return [sum(w * f for w, f in zip(row, features, strict=True)) for row in weight.tolist()]


def mean_of_real(vectors: Tensor, tokens: Tensor, mask: Tensor) -> list[float]:
    real = [vectors[token].tolist() for token, keep in zip(tokens.tolist(), mask.tolist(), strict=True) if keep]
    return [sum(column) / len(real) for column in zip(*real, strict=True)] if real else [0.0] * vectors.shape[1]


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_two_drawings_and_three_names(student):
    """Two drawings and three names with known vectors get the logits that the cosines and the scale make."""
    start = student.run(describe_dual_encoder, 2, 2, 2)[3]
    assert_close(start, -math.log(0.07), atol=1e-4, what="log_scale of a new model")
    vectors = torch.tensor([[100.0, -100.0], [1.0, 0.0], [7.0, 6.0], [-8.0, 15.0]])
    pixels = torch.tensor([[3.0, 4.0], [5.0, -12.0]]).reshape(2, 1, 1, 2)
    tokens = torch.tensor([[1, 2, 0], [3, 0, 0], [3, 2, 1]])
    weights = [torch.eye(2), torch.eye(2)]
    found = student.run(compare_drawings_with_names, vectors, weights, math.log(25), pixels, tokens, tokens > 0)
    cosines = torch.tensor([[24 / 25, 36 / 85, 4 / 5], [-16 / 65, -220 / 221, -12 / 13]])
    cause = "a logit is the scale, here 25, times the cosine; token 0 is padding"
    assert_close(found["logits"], 25 * cosines, rtol=1e-4, atol=1e-4, what="logit matrix", cause=cause)


@points(1)
@catches("plain-temperature", "starts-at-the-temperature", "starts-inverted", "head-with-bias")
def test_towers_heads_and_a_learnable_temperature(student):
    """A model holds the given towers, two projections without bias and a learnable temperature, and nothing else."""
    same, kinds, parameters, start = student.run(describe_dual_encoder, 7, 5, 3)
    told = "of DualEncoder(image_tower, text_tower, image_features=7, text_features=5, width=3)"
    for name, is_given in same.items():
        if not is_given:
            raise AssertionError(f"The attribute {name} {told} should be the given module itself.")
    for name, is_linear in kinds.items():
        if not is_linear:
            raise AssertionError(f"The attribute {name} {told} should be an nn.Linear.")
    expected = {"image_projection.weight": [3, 7], "text_projection.weight": [3, 5], "log_scale": []}
    cause = "both heads come without bias, and the temperature is learned like any weight"
    assert_names(
        list(parameters), list(expected), what=f"list of the parameters {told}, with empty towers,", cause=cause
    )
    for name, shape in expected.items():
        assert_equal(parameters[name][0], shape, what=f"shape of {name} {told}")
        assert_equal(parameters[name][1], True, what=f"requires_grad of {name} {told}")
    cause = "it starts at the logarithm of 1 / 0.07; the scale itself is then 14.3"
    assert_close(start, -math.log(0.07), atol=1e-4, what=f"log_scale {told}", cause=cause)


@points(1)
@catches("not-normalised", "normalised-over-the-batch", "normalised-as-a-whole", "half-precision-vectors")
def test_drawings_and_names_become_unit_vectors(student, rng):
    """Each drawing and each name becomes a vector of length 1, computed in float32 where the model is in less."""
    vectors, weights = normal(rng, 4, 5), [normal(rng, 3, 6), normal(rng, 3, 5)]
    pixels = normal(rng, 4, 1, 2, 3) * torch.tensor([1.0, 0.2, 5.0, 30.0]).view(4, 1, 1, 1)
    tokens = torch.tensor([[1, 3], [0, 2]])
    told = "of a float64 model for 4 drawings and 2 names without padding"
    everything = torch.ones_like(tokens, dtype=torch.bool)
    found = student.run(compare_drawings_with_names, vectors, weights, 1.0, pixels, tokens, everything)
    images = [unit(project(weights[0], drawing.flatten().tolist())) for drawing in pixels]
    texts = [unit(project(weights[1], mean_of_real(vectors, t, m))) for t, m in zip(tokens, everything, strict=True)]
    for name, method, expected in (("images", "encode_images", images), ("texts", "encode_texts", texts)):
        assert_shape(found[name], (len(expected), 3), what=f"result of {method} {told}")
        assert_dtype(found[name], "float64", what=f"result of {method} {told}")
        cause = "each row is projected and divided by its own length"
        assert_close(found[name], expected, rtol=1e-7, atol=1e-7, what=f"result of {method} {told}", cause=cause)

    # small integers are exact in half precision, and so are their products and sums: only the division is inexact
    whole = [torch.from_numpy(rng.integers(-3, 4, size=(3, n))).double() for n in (6, 5)]
    vectors, pixels = (
        torch.from_numpy(rng.integers(1, 4, size=(4, 5))),
        torch.from_numpy(rng.integers(1, 5, size=(4, 6))),
    )
    whole = [weight + 7 * torch.eye(3, weight.shape[1], dtype=torch.float64) for weight in whole]
    tokens = torch.tensor([[1], [3]])
    images = [unit(project(whole[0], drawing.tolist())) for drawing in pixels]
    texts = [unit(project(whole[1], vectors[token].tolist())) for token in tokens.flatten()]
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        found = student.run(
            compare_drawings_with_names,
            vectors.to(dtype),
            [weight.to(dtype) for weight in whole],
            0.0,
            pixels.to(dtype).reshape(4, 1, 2, 3),
            tokens,
            torch.ones_like(tokens, dtype=torch.bool),
        )
        cause = "bring the projection to float32 before you divide by its length"
        for name, method, expected in (("images", "encode_images", images), ("texts", "encode_texts", texts)):
            told = f"result of {method} of a {str(dtype).removeprefix('torch.')} model"
            assert_dtype(found[name], "float32", what=told, cause=cause)
            assert_close(found[name], expected, rtol=1e-4, atol=1e-5, what=told, cause=cause)
        assert_dtype(found["logits"], "float32", what=f"logit matrix of a {str(dtype).removeprefix('torch.')} model")


@points(1)
@catches(
    "padding-pooled",
    "first-token-taken",
    "nan-without-tokens",
    "tower-without-mask",
    "mask-stretched",
)
def test_a_name_is_the_mean_of_its_real_tokens(student, rng):
    """A name's features are the mean over its real tokens; padding has no influence, and without tokens it is zeros."""
    vectors, weights = normal(rng, 6, 4), [normal(rng, 3, 2), normal(rng, 3, 4)]
    vectors[0] = 1e4
    pixels = normal(rng, 2, 1, 1, 2)
    tokens = torch.tensor([[3, 0, 5, 0, 2], [0, 4, 0, 0, 0], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [5, 5, 1, 0, 0]])
    for mask in (tokens > 0, (tokens > 0).long()):
        found = student.run(compare_drawings_with_names, vectors, weights, 1.0, pixels, tokens, mask)
        told = f"with a mask of dtype {str(mask.dtype).removeprefix('torch.')}"
        assert_shape(found["texts"], (5, 3), what=f"result of encode_texts for tokens (5, 5) {told}")
        for row, kind in ((0, "padding in between"), (1, "one real token"), (2, "no padding"), (4, "padding behind")):
            # compared by direction, so that this check is not about the length of the vectors
            expected = unit(project(weights[1], mean_of_real(vectors, tokens[row], mask[row])))
            direction = unit(found["texts"][row].tolist())
            cause = "the mean runs over the real tokens alone: those with True or 1 in the mask"
            what = f"direction of the vector of name {row} ({kind}) {told}"
            assert_close(direction, expected, rtol=1e-7, atol=1e-7, what=what, cause=cause)
        zeros = torch.zeros(3, dtype=torch.float64)
        cause = "0 divided by 0 real tokens is not a number"
        assert_close(found["texts"][3], zeros, what=f"vector of the name without tokens {told}", cause=cause)

    arguments = student.run(record_call_of_the_text_tower, tokens, tokens > 0)
    assert_equal(len(arguments), 2, what="number of positional arguments of the text tower")
    for name, found_argument, given in zip(("tokens", "mask"), arguments, (tokens, tokens > 0), strict=True):
        assert_dtype(found_argument, str(given.dtype).removeprefix("torch."), what=f"argument {name} of the text tower")
        assert_unchanged(found_argument, given, what=f"argument {name} on its way to the text tower")
    for shape in ((1, 5), (5, 1), (5,), (5, 4)):
        with raises(ValueError, what=f"encode_texts with tokens (5, 5) and a mask of shape {shape}"):
            student.run(record_call_of_the_text_tower, tokens, torch.ones(shape, dtype=torch.bool))


@points(1)
@catches("divided-by-the-scale", "names-by-drawings", "frozen-by-no-grad", "scale-detached", "logarithm-used-as-scale")
def test_logits_are_scaled_cosines_through_which_everything_learns(student, rng):
    """Logits are the scale times the cosines, drawings in rows, and all five parts of the model get their gradients."""
    pixels, tokens = normal(rng, 2, 1, 2, 3), torch.tensor([[1, 3, 0], [2, 0, 0], [4, 1, 2], [3, 3, 4]])
    vectors, weights = normal(rng, 5, 4), [normal(rng, 3, 6), normal(rng, 3, 4)]
    found = student.run(compare_drawings_with_names, vectors, weights, 1.3, pixels, tokens, tokens > 0)
    told = "logit matrix for 2 drawings and 4 names"
    assert_shape(found["logits"], (2, 4), what=told, cause="a row for each drawing and a column for each name")
    assert_dtype(found["logits"], "float64", what=f"{told} of a float64 model")
    images, texts, scale = found["images"].tolist(), found["texts"].tolist(), float(found["scale"])
    expected = [[scale * sum(a * b for a, b in zip(image, text, strict=True)) for text in texts] for image in images]
    cause = "each logit is scale() times the dot product of a row of encode_images with one of encode_texts"
    assert_close(found["logits"], expected, rtol=1e-7, atol=1e-9, what=told, cause=cause)

    shapes = {
        "image tower": (5, 6),
        "text tower": (5, 4),
        "image_projection": (3, 5),
        "text_projection": (3, 4),
        "log_scale": (),
    }
    steps = {name: normal(rng, *shape) if shape else torch.tensor(1.0).double() for name, shape in shapes.items()}
    slopes = student.run(differentiate_logits, pixels, tokens, tokens > 0, normal(rng, 2, 4), steps)
    for name, (by_autograd, by_differences) in slopes.items():
        cause = "something between this part and the logits is cut off from autograd"
        what = f"slope of the logits along a step of the {name}, as backward() has it,"
        assert_close(by_autograd, by_differences, rtol=1e-4, atol=1e-6, what=what, cause=cause)


@points(1.5)
@catches("uncapped", "kept-above-the-cap", "capped-at-log-100", "logarithm-capped-at-100", "parameter-rewritten")
def test_the_scale_is_capped_where_it_is_used(student, rng):
    """The scale is exp(log_scale) and never more than 100; the parameter itself keeps its value."""
    weights, pixels = [normal(rng, 3, 2), normal(rng, 3, 5)], normal(rng, 2, 1, 1, 2)
    tokens = torch.tensor([[1, 3], [2, 0], [4, 4]])
    for log_scale in (2.0, 6.0, -1.5, 4.5, 4.7, 18.0):
        scale, same, gradient, logits, images, texts = student.run(
            use_scale, weights, log_scale, pixels, tokens, tokens > 0
        )
        expected = min(math.exp(log_scale), 100.0)
        told = f"with log_scale = {log_scale}"
        assert_shape(scale, (), what=f"result of scale() {told}")
        cause = "it is exp(log_scale), and 100 where that would be more"
        assert_close(scale, expected, rtol=1e-5, what=f"result of scale() {told}", cause=cause)
        products = images @ texts.T
        assert_close(logits, expected * products, rtol=1e-5, atol=1e-7, what=f"logit matrix {told}", cause=cause)
        if not same:
            raise AssertionError(
                f"After a forward pass {told}, log_scale is no longer the same parameter with the same value. The cap "
                "belongs to what is computed from it."
            )
        slope = expected * float(products.sum()) if math.exp(log_scale) < 100 else 0.0
        cause = "below the cap the scale follows its logarithm, above it stands still"
        what = f"gradient of log_scale from the sum of the logits {told}"
        assert_close(gradient, slope, rtol=1e-4, atol=1e-7, what=what, cause=cause)


OUTSIDE = ["before", "after"]
TRAINED_OUTSIDE = ["before.weight", "before.bias", "after.weight", "after.bias"]


@points(1.5)
@catches(
    "thawed-by-train",
    "statistics-move",
    "dropout-thaws",
    "only-the-top-protected",
    "stale-gradients",
    "train-returns-nothing",
    "no-gradient-through",
    "still-requires-gradients",
)
def test_what_is_frozen_stays_frozen(student, rng):
    """A frozen part has no gradients and stays in inference mode whatever train() is called on, and only that part."""
    features = normal(rng, 6, 5).float()
    for training in (True, False):
        told = f"in a model in {'training' if training else 'inference'} mode"
        report = student.run(call_freeze, training, features)
        for moment, found in report["modes"].items():
            expected = OUTSIDE if (training if moment == "right after freeze(tower)" else "eval" not in moment) else []
            what = f"list of the modules in training mode {moment}, frozen {told},"
            assert_names(
                found, expected, what=what, cause="frozen parts stay in inference mode, all others as they were"
            )
        assert_names(report["changed by freeze"], [], what=f"list of the values that freeze(tower) changed {told}")
        what = f"list of the parameters that require a gradient after freeze(tower) {told}"
        assert_names(report["require a gradient"], TRAINED_OUTSIDE, what=what)
        what = f"list of the parameters that still have a gradient after freeze(tower) {told}"
        assert_names(
            report["have a gradient"], TRAINED_OUTSIDE, what=what, cause="an old gradient can still be applied"
        )
        if not report["train() returns its module"]:
            raise AssertionError("train() and eval() on a frozen module should return that module, as they always do.")
        what = "list of the running statistics in the frozen tower that moved in two forward passes after model.train()"
        assert_names(report["statistics that moved"], [], what=what)
        if not report["repeats"]:
            raise AssertionError(
                "Two forward passes of a frozen tower gave different features: its dropout is at work."
            )
        if not report["reaches what comes before"]:
            raise AssertionError(
                "No gradient flows through the frozen tower to the layer in front of it, although only the tower's own "
                "parameters are frozen."
            )
    training, requires, still = student.run(freeze_one_layer, normal(rng, 6, 3).float())
    if training or requires or not still:
        raise AssertionError(
            "freeze(nn.BatchNorm1d(3)), train(), one forward pass: the layer should be in inference mode, require no "
            f"gradient and keep its statistics. training: {training}, requires_grad: {requires}, kept: {still}."
        )


TOWERS = {  # number of axes of each parameter of the model in fill_parameter_groups
    "image_tower.gate": 1,
    "image_tower.0.weight": 4,
    "image_tower.0.bias": 1,
    "image_tower.1.weight": 1,
    "image_tower.1.bias": 1,
    "image_tower.2.weight": 2,
    "image_tower.2.bias": 1,
    "text_tower.norm_matrix": 2,
    "text_tower.amount": 0,
    "text_tower.words.weight": 2,
    "text_tower.norm.weight": 1,
    "text_tower.norm.bias": 1,
    "text_tower.out.bias": 1,
}
HEADS = {"image_projection.weight": 2, "text_projection.weight": 2, "log_scale": 0}


@points(1)
@catches(
    "frozen-in-a-group",
    "biases-decay",
    "temperature-decays",
    "decay-by-name",
    "decay-by-kind",
    "heads-forgotten",
    "temperature-forgotten",
    "heads-at-the-towers-rate",
    "shared-parameter-twice",
    "empty-groups-unnoticed",
)
def test_each_trainable_parameter_is_in_one_group(student):
    """Each parameter that is trained is in one group, once, with the rate and the decay that the table says."""
    for frozen, rates in (
        ((), (0.01, 0.2, 0.3)),
        (("text_tower",), (0.02, 0.5, 0.1)),
        (("image_projection", "image_tower.1", "log_scale"), (0.03, 0.4, 0.2)),
    ):
        told = f"with {', '.join(frozen) or 'nothing'} frozen, tower_rate, head_rate, weight_decay = {rates}"
        found = student.run(fill_parameter_groups, frozen, rates)
        expected = {
            name: [rate, rates[2] if axes >= 2 else 0.0]
            for parameters, rate in ((TOWERS, rates[0]), (HEADS, rates[1]))
            for name, axes in parameters.items()
            if not name.startswith(frozen)
        }
        assert_names(list(found), list(expected), what=f"list of the parameters in groups {told}")
        for name, places in found.items():
            if len(places) != 1:
                raise AssertionError(
                    f"The parameter {name} is in the groups {len(places)} times, {told}. What two places share is one "
                    "parameter, and an optimiser takes it once."
                )
            rate, decay = places[0]
            assert_equal(rate, expected[name][0], what=f"lr of {name}, {told}")
            assert_equal(decay, expected[name][1], what=f"weight_decay of {name}, {told}")
    with raises(ValueError, what="parameter_groups of a model in which everything is frozen"):
        student.run(fill_parameter_groups, ("image", "text", "log_scale"), (0.01, 0.2, 0.3))


@points(1)
def test_training_moves_what_is_trained_and_nothing_else(student, rng):
    """Two steps of training move every part that is trained, and not one bit of what is frozen."""
    pixels, tokens = (
        normal(rng, 5, 3, 5, 5).float(),
        torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6], [7, 8, 0], [2, 6, 0]]),
    )
    moved, everything = student.run(train_with_frozen_parts, pixels, tokens)
    expected = [name for name in everything if not name.startswith(("text_tower.", "image_tower.0."))]
    what = (
        "list of what moved in two steps of AdamW, with freeze(text_tower), freeze(image_tower[0]) and model.train(),"
    )
    assert_names(moved, expected, what=what, cause="see which of the checks of freeze and parameter_groups fails")
