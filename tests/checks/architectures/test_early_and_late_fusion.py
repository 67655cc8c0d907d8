"""Checks of architectures/early_and_late_fusion. Expected values are worked out sample by sample, head by head."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from grader.checking import (
    assert_claims,
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

CLAIMS = {
    "cascade_fuses_results": False,
    "raw_data_share_layers": False,
    "late_fusion_does_xor": False,
    "vectors_ahead_of_time": True,
    "dual_encoders_get_order": False,
    "mean_of_logits": True,
    "late_leaves_out": True,
    "projector_lengthens": True,
}
DIMS = {"text": 4, "image": 2, "audio": 6}
COMBINE = ("mean_prob", "log_opinion")


# ---------------------------------------------------------------- what runs in the student's process


def early_logits(student, dims, feats, parameters):
    """Logits of an EarlyFusion with given parameters, its own parameter shapes, and the features afterwards."""
    import torch

    hidden, n_classes = len(parameters["fc1.weight"]), len(parameters["fc2.weight"])
    module = student.EarlyFusion(dims, hidden, n_classes).to(parameters["fc1.weight"].dtype)
    shapes = {name: list(parameter.shape) for name, parameter in module.named_parameters()}
    with torch.no_grad():
        for name, value in parameters.items():
            layer, kind = name.split(".")
            getattr(getattr(module, layer), kind).copy_(value)
        logits = module(feats)
    return logits.detach(), shapes, feats


def late_fusion_with_given_heads(student, combine, parameters):
    """A LateFusion whose heads have given weights and biases. It stays over there, to be called from here."""
    import torch

    dims = {name: weight.shape[1] for name, (weight, _) in parameters.items()}
    weight = next(iter(parameters.values()))[0]
    module = student.LateFusion(dims, len(weight), combine).to(weight.dtype)
    with torch.no_grad():
        for name, (weight, bias) in parameters.items():
            module.heads[name].weight.copy_(weight)
            module.heads[name].bias.copy_(bias)
    return module


def late_gradients(student, combine, feats, mask, direction, parameters):
    """Log-probabilities, gradients of their weighted sum by the heads' weights and biases, the features afterwards."""
    import torch

    dims = {name: weight.shape[1] for name, (weight, _) in parameters.items()}
    module = student.LateFusion(dims, direction.shape[1], combine).to(direction.dtype)
    with torch.no_grad():
        for name, (weight, bias) in parameters.items():
            module.heads[name].weight.copy_(weight)
            module.heads[name].bias.copy_(bias)
    log_probs = module(feats, mask)
    (log_probs * direction).sum().backward()
    gradients = {name: (module.heads[name].weight.grad, module.heads[name].bias.grad) for name in dims}
    return log_probs.detach(), gradients, feats


# ---------------------------------------------------------------- what is expected, worked out here


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def random_features(rng: np.random.Generator, dims: dict[str, int], batch: int) -> dict[str, Tensor]:
    return {name: normal(rng, batch, width) for name, width in dims.items()}


def random_heads(rng: np.random.Generator, dims: dict[str, int], n_classes: int) -> dict[str, tuple[Tensor, Tensor]]:
    return {name: (normal(rng, n_classes, width) / width**0.5, normal(rng, n_classes)) for name, width in dims.items()}


def opinion(head: tuple[Tensor, Tensor], features: Tensor) -> Tensor:
    """Probabilities of one head for one sample, from the definition of the softmax."""
    weight, bias = head
    exponentials = torch.stack([((row * features).sum() + b).exp() for row, b in zip(weight, bias, strict=True)])
    return exponentials / sum(exponentials)


def pooled(combine: str, opinions: list[Tensor]) -> Tensor:
    """Log-probabilities of one sample: the arithmetic or the renormalised geometric mean of the opinions."""
    if combine == "mean_prob":
        return (sum(opinions) / len(opinions)).log()
    product = torch.stack(opinions).prod(dim=0) ** (1 / len(opinions))
    return (product / product.sum()).log()


def pooled_by_loops(
    combine: str,
    heads: dict[str, tuple[Tensor, Tensor]],
    feats: dict[str, Tensor],
    mask: dict[str, Tensor] | None = None,
) -> Tensor:
    rows = []
    for b in range(len(next(iter(feats.values())))):
        there = [name for name in heads if mask is None or name not in mask or mask[name][b]]
        rows.append(pooled(combine, [opinion(heads[name], feats[name][b]) for name in there]))
    return torch.stack(rows)


def assert_log_probs(actual: Tensor, expected: Tensor, case: str, cause: str, present: list[float]) -> None:
    """Equal to `expected`; says first when they are no log-probabilities at all.

    `present` is, for each sample, the share of the modalities that it has.
    """
    assert_shape(actual, tuple(expected.shape), what=f"result ({case})")
    total = actual.exp().sum(dim=1)
    why = "forward must return normalised log-probabilities"
    if torch.allclose(actual.sum(dim=1), torch.ones_like(total)):
        why = "these are probabilities; forward returns their logarithms"
    elif min(present) < 1 and torch.allclose(total, torch.tensor(present, dtype=total.dtype)):
        why = "divided by the number of all modalities; the samples have fewer. How many votes has each of them?"
    assert_close(total, torch.ones_like(total), what=f"sum of the exponentials of each row ({case})", cause=why)
    assert_close(actual, expected, what=f"log-probability tensor ({case})", cause=cause)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
@catches("mask-needs-every-name", "probabilities-returned")
def test_small_examples(student):
    """Two small modules with given weights give the values of the example, whatever the order of the features."""
    text, image = torch.tensor([[2.0], [-2.0]]), torch.tensor([[3.0], [-3.0]])
    parameters = {
        "fc1.weight": torch.tensor([[1.0, 10.0]]),
        "fc1.bias": torch.tensor([0.0]),
        "fc2.weight": torch.tensor([[1.0], [-1.0]]),
        "fc2.bias": torch.tensor([0.5, 0.0]),
    }
    expected = torch.tensor([[32.5, -32.0], [0.5, 0.0]])
    for order, feats in (
        ("in the order of dims", {"text": text, "image": image}),
        ("in another order", {"image": image, "text": text}),
    ):
        logits, _, _ = student.run(early_logits, {"text": 1, "image": 1}, feats, parameters)
        assert_close(logits, expected, what=f"result of EarlyFusion for features {order}")

    weight = torch.zeros(2, 1)  # the text says 4 : 1, the image 1 : 1, whatever they see
    heads = {"text": (weight, torch.tensor([4.0, 1.0]).log()), "image": (weight, torch.tensor([1.0, 1.0]).log())}
    first, second = torch.tensor([True, False]), torch.tensor([False, True])
    for combine, both, why in (
        ("mean_prob", [0.65, 0.35], "the mean of 4/5 and 1/2 is 0.65"),
        ("log_opinion", [2 / 3, 1 / 3], "the roots of 4/5 · 1/2 and 1/5 · 1/2 are in the ratio 2 : 1"),
    ):
        late = student.run(late_fusion_with_given_heads, combine, heads)
        for mask, probabilities, present, cause in (
            (
                {"text": first, "image": second},
                [[0.8, 0.2], [0.5, 0.5]],
                [0.5, 0.5],
                "the first sample has no image, so the text alone decides; the second has no text",
            ),
            (
                {"text": first},
                [both, [0.5, 0.5]],
                [1.0, 0.5],
                f"the first sample has both, and {why}; the second has no text, so the image alone decides",
            ),
        ):
            listed = {name: values.tolist() for name, values in mask.items()}
            log_probs = late({"text": text, "image": image}, mask)
            case = f"combine={combine!r}, mask {listed}"
            assert_log_probs(log_probs, torch.tensor(probabilities).log(), case, cause, present)


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("summed-features", "order-of-the-caller", "no-relu")
def test_early_fusion(student, rng):
    """EarlyFusion puts the features side by side in the order of dims: linear, ReLU, linear, with biases."""
    for dims in (DIMS, {"text": 3, "image": 3}):
        width, batch, hidden, n_classes = sum(dims.values()), 5, 7, 3
        parameters = {
            "fc1.weight": normal(rng, hidden, width),
            "fc1.bias": normal(rng, hidden),
            "fc2.weight": normal(rng, n_classes, hidden),
            "fc2.bias": normal(rng, n_classes),
        }
        feats = random_features(rng, dims, batch)
        backwards = dict(reversed(feats.items()))
        for given_feats, order in ((feats, "dims"), (backwards, "dims, reversed")):
            for dtype in (torch.float64, torch.float32):
                given_parameters = {name: value.to(dtype) for name, value in parameters.items()}
                sent = {name: value.to(dtype) for name, value in given_feats.items()}
                case = f"dims={dims}, features in the order of {order}"
                logits, shapes, after = student.run(early_logits, dims, sent, given_parameters)
                wanted = {name: list(value.shape) for name, value in parameters.items()}
                cause = "fc1 takes all features side by side, fc2 takes the hidden units; both have a bias"
                assert_equal(shapes, wanted, what=f"dict of the parameters' shapes ({case})", cause=cause)

                expected = torch.zeros(batch, n_classes, dtype=torch.float64)
                for b in range(batch):
                    joined = [float(x) for name in dims for x in feats[name][b]]
                    units = [
                        max(0.0, float(bias) + sum(float(w) * x for w, x in zip(row, joined, strict=True)))
                        for row, bias in zip(parameters["fc1.weight"], parameters["fc1.bias"], strict=True)
                    ]
                    for c in range(n_classes):
                        row, bias = parameters["fc2.weight"][c], parameters["fc2.bias"][c]
                        expected[b, c] = float(bias) + sum(float(w) * u for w, u in zip(row, units, strict=True))
                cause = "the columns belong to the modalities in the order of dims; ReLU between the layers, none after"
                tolerance = {} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
                assert_close(logits, expected, what=f"logit tensor ({case})", cause=cause, **tolerance)
                assert_dtype(logits, str(dtype).removeprefix("torch."), what="logit tensor")
                for name in dims:
                    assert_unchanged(after[name], sent[name], what=f"tensor feats[{name!r}]")


@points(1)
@catches("mean-of-logits", "unnormalised", "product-of-opinions", "softmax-over-the-batch")
@given(
    sizes=st.lists(st.integers(2, 6), min_size=4, max_size=4, unique=True),
    modalities=st.integers(1, 3),
    draw=st.integers(0, 2**32 - 1),
)
def test_late_fusion_of_everything(student, sizes, modalities, draw):
    """With every modality there, LateFusion returns the log of the mean probability, or the mean log renormalised."""
    rng = np.random.default_rng(draw)
    n_classes, *widths = sizes
    dims = dict(zip(("text", "image", "audio")[:modalities], widths, strict=False))
    heads, feats = random_heads(rng, dims, n_classes), random_features(rng, dims, 5)
    for combine in reversed(COMBINE):  # so that a mean of logits differs from the two ways exchanged
        late = student.run(late_fusion_with_given_heads, combine, heads)
        case = f"combine={combine!r}, dims={dims}, {n_classes} classes"
        cause = {
            "mean_prob": "the mean is taken of the probabilities, after the softmax; the logarithm comes last",
            "log_opinion": "the mean (not the sum) is taken of the log-probabilities, and the result is renormalised",
        }[combine]
        assert_log_probs(late(feats), pooled_by_loops(combine, heads, feats), case, cause, [1.0])


@points(1)
@catches("divided-by-all", "inverted-mask", "mask-ignored", "absent-unless-listed", "certain-when-absent")
def test_missing_modalities_have_no_vote(student, rng):
    """The mean is over the modalities that a sample has; a modality without an entry in the mask is there for all."""
    heads, feats = random_heads(rng, DIMS, 3), random_features(rng, DIMS, 5)
    text = torch.tensor([True, False, True, False, True])
    image = torch.tensor([True, True, False, False, False])
    audio = torch.tensor([True, False, True, True, False])
    for mask in (
        {"text": text, "image": image, "audio": audio},
        {"audio": audio, "text": torch.ones_like(text)},
        {"image": image},
        {},
    ):
        for combine in COMBINE:
            late = student.run(late_fusion_with_given_heads, combine, heads)
            listed = {name: values.int().tolist() for name, values in mask.items()}
            case = f"combine={combine!r}, mask {listed}"
            cause = "True means there; divide by the number of modalities the sample has; no entry means there for all"
            present = [
                sum(float(mask[name][b]) if name in mask else 1.0 for name in DIMS) / len(DIMS) for b in range(5)
            ]
            expected = pooled_by_loops(combine, heads, feats, mask)
            assert_log_probs(late(feats, mask), expected, case, cause, present)
    for dtype in (torch.float32, torch.bfloat16):
        low = {name: (weight.to(dtype), bias.to(dtype)) for name, (weight, bias) in heads.items()}
        sent = {name: features.to(dtype) for name, features in feats.items()}
        for combine in COMBINE:
            late = student.run(late_fusion_with_given_heads, combine, low)
            what = f"result with combine={combine!r} of a module with {dtype} parameters"
            assert_dtype(late(sent, {"image": image}), str(dtype).removeprefix("torch."), what=what)


@points(1)
@catches("nan-times-zero", "mask-after-the-head", "emptied-in-place")
def test_content_of_a_missing_modality(student, rng):
    """What stands in for a missing modality changes neither the result nor the gradients, not even NaN."""
    heads, feats = random_heads(rng, DIMS, 3), random_features(rng, DIMS, 5)
    mask = {
        "text": torch.tensor([True, False, True, True, True]),
        "audio": torch.tensor([False, True, True, False, True]),
    }
    direction = normal(rng, 5, 3)
    for combine in COMBINE:
        leaves = {name: tuple(value.clone().requires_grad_() for value in head) for name, head in heads.items()}
        expected = pooled_by_loops(combine, leaves, feats, mask)
        (expected * direction).sum().backward()
        for content in (1e6, torch.nan, torch.inf, -torch.inf):
            sent = dict(feats)
            for name, there in mask.items():
                sent[name] = feats[name].masked_fill(~there[:, None], content)
            log_probs, gradients, after = student.run(late_gradients, combine, sent, mask, direction, heads)
            case = f"combine={combine!r}, {content} where a modality is missing"
            cause = "a product with 0 does not remove NaN or infinity; replace what is missing"
            assert_close(log_probs, expected.detach(), what=f"log-probability tensor ({case})", cause=cause)
            cause = "on the way back, a head's gradient is a product with its input: replace that before the head"
            for name in DIMS:
                for kind, actual, leaf in zip(("weight", "bias"), gradients[name], leaves[name], strict=True):
                    what = f"gradient of heads[{name!r}].{kind} ({case})"
                    assert_close(actual, leaf.grad, what=what, cause=cause)
                assert_unchanged(after[name], sent[name], what=f"tensor feats[{name!r}]")


@points(1)
@catches("log-of-the-mean")
def test_large_logits(student, rng):
    """Logits in the thousands give finite log-probabilities."""
    surprise = dict(zip(DIMS, rng.permutation([1000.0, 1500.0, 2000.0]).tolist(), strict=True))
    feats = random_features(rng, DIMS, 2)
    mask = {name: torch.tensor([True, value < 2000.0]) for name, value in surprise.items()}
    for dtype in (torch.float64, torch.float32):
        heads = {
            name: (torch.zeros(2, width, dtype=dtype), torch.tensor([0.0, surprise[name]], dtype=dtype))
            for name, width in DIMS.items()
        }
        sent = {name: features.to(dtype) for name, features in feats.items()}
        # log p(class 0) of a head is minus its surprise, and next to e^-1000 the other probabilities are 0
        for combine, first in (("mean_prob", [-1000 - np.log(3), -1000 - np.log(2)]), ("log_opinion", [-1500, -1250])):
            expected = torch.tensor([[value, 0.0] for value in first], dtype=dtype)
            late = student.run(late_fusion_with_given_heads, combine, heads)
            what = f"log-probability tensor (combine={combine!r}, logits 0 and 1000 to 2000, {dtype})"
            cause = "e^-1000 is 0 in floating point, and no logarithm brings it back: stay with logarithms all the way"
            assert_close(late(sent, mask), expected, what=what, cause=cause)


@points(1)
@catches("masked-key-optional", "nobody-votes")
def test_bad_input(student, rng):
    """Input that does not fit is refused with the announced exceptions."""
    for combine in ("mean", "max", "", "MEAN_PROB"):
        with raises(ValueError, what=f"LateFusion with combine={combine!r}"):
            student.LateFusion(DIMS, 3, combine)
    feats = {name: features.float() for name, features in random_features(rng, DIMS, 4).items()}
    nobody = torch.tensor([True, True, False, True])
    for combine in COMBINE:
        with raises(ValueError, what=f"LateFusion with combine={combine!r} and a sample without any modality"):
            student.LateFusion(DIMS, 3, combine)(feats, dict.fromkeys(DIMS, nobody))
    late = student.LateFusion(DIMS, 3)
    for shape in ((3,), (1,), (4, 1), (1, 4), ()):
        with raises(ValueError, what=f"LateFusion with a mask {shape} for a batch of 4"):
            late(feats, {"image": torch.ones(shape, dtype=torch.bool)})
    for dtype in (torch.float32, torch.int64):
        with raises(TypeError, ValueError, what=f"LateFusion with a mask of dtype {dtype}"):
            late(feats, {"image": torch.ones(4, dtype=dtype)})
    with raises(KeyError, what="LateFusion without the features of image, which the mask says is missing everywhere"):
        late({"text": feats["text"], "audio": feats["audio"]}, {"image": torch.zeros(4, dtype=torch.bool)})
    modules = (("EarlyFusion", student.EarlyFusion(DIMS, 7, 3)), ("LateFusion", late))
    cases = [(what, module, name, width) for what, module in modules for name, width in DIMS.items()]
    for what, module, name, _ in cases:
        with raises(KeyError, what=f"{what} without the features of {name}"):
            module({other: features for other, features in feats.items() if other != name})
    # every modality gets every wrong shape, but first each of them one: diagnosis compares a check's first 40 calls
    for turn in range(7):
        for number, (what, module, name, width) in enumerate(cases):
            shapes = ((1, width), (4, width + 1), (width,), (3, width), (4, 1, width), (4, width - 1), (1, 4, width))
            shape = shapes[(number + turn) % 7]
            with raises(ValueError, what=f"{what} with features {shape} of {name} (width {width}, batch 4)"):
                module({**feats, name: torch.ones(shape)})
