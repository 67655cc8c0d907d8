"""Hidden checks of fusion/attention_fusion.

The oracle works on one sample at a time, leaves padding out instead of masking it, and writes attention and norm out.
With closed gates almost every mistake is invisible, so the values are compared with open gates and random biases.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
    assert_shape,
    catches,
    points,
    raises,
    visible,
)

TEXT_DIM, IMAGE_DIM, CLASSES = 3, 5, 7


# ---------------------------------------------------------------- what runs in the student's process


def module_with_given_weights(student, name, sizes, parameters):
    """The module with the given parameters, in their dtype. It stays over there, to be called from here."""
    import torch

    module = getattr(student, name)(*sizes)
    with torch.no_grad():
        for path, value in parameters.items():
            module.to(value.dtype)
            target = module
            for part in path.split("."):
                target = getattr(target, part)
            target.copy_(value)
    return module


def gradients(student, name, sizes, text, image, masks, direction, parameters):
    """Gradients of (result * direction).sum() by the parameters and the two inputs."""
    import torch

    module = getattr(student, name)(*sizes).to(text.dtype)
    leaves = {}
    with torch.no_grad():
        for path, value in parameters.items():
            target = module
            for part in path.split("."):
                target = getattr(target, part)
            target.copy_(value)
            leaves[path] = target
    leaves["text"], leaves["image"] = text.clone().requires_grad_(), image.clone().requires_grad_()
    total = (module(leaves["text"], leaves["image"], **masks) * direction).sum()
    return dict(zip(leaves, torch.autograd.grad(total, list(leaves.values()), allow_unused=True), strict=True))


def describe(student, name, sizes):
    """Shapes of the parameters, how many tensors they are, and the gates."""
    module = getattr(student, name)(*sizes)
    named = list(module.named_parameters(remove_duplicate=False))
    block = module.block if name == "AttentionFusion" else module
    gates = [block.gate_text.item(), block.gate_image.item()]
    return {path: list(value.shape) for path, value in named}, len({id(value) for _, value in named}), gates


# ---------------------------------------------------------------- what is expected, one sample at a time


def block_shapes(dim: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("norm_text", "norm_image"):
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    for attention in ("text_from_image", "image_from_text"):
        shapes |= {f"{attention}.in_proj_weight": (3 * dim, dim), f"{attention}.in_proj_bias": (3 * dim,)}
        shapes |= {f"{attention}.out_proj.weight": (dim, dim), f"{attention}.out_proj.bias": (dim,)}
    return shapes | {"gate_text": (), "gate_image": ()}


def classifier_shapes(dim: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"block.{path}": shape for path, shape in block_shapes(dim).items()}
    shapes |= {"text_proj.weight": (dim, TEXT_DIM), "text_proj.bias": (dim,)}
    shapes |= {"image_proj.weight": (dim, IMAGE_DIM), "image_proj.bias": (dim,)}
    shapes |= {"norm.weight": (2 * dim,), "norm.bias": (2 * dim,)}
    return shapes | {"head.weight": (CLASSES, 2 * dim), "head.bias": (CLASSES,)}


def random_parameters(rng: np.random.Generator, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """No bias is 0, and the gates are open, different, and far enough from 0 for tanh to bend."""
    parameters = {path: normal(rng, *shape) / max(shape[-1:], default=1) ** 0.5 for path, shape in shapes.items()}
    for path in parameters:
        if path.endswith("gate_text"):
            parameters[path] = torch.tensor(rng.uniform(0.6, 0.9), dtype=torch.float64)
        if path.endswith("gate_image"):
            parameters[path] = torch.tensor(-rng.uniform(1.1, 1.5), dtype=torch.float64)
    return parameters


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(np.asarray(rng.standard_normal(shape)))


def normalise(tokens: Tensor, parameters: dict[str, Tensor], path: str) -> Tensor:
    centred = tokens - tokens.mean(dim=-1, keepdim=True)
    variance = (centred * centred).mean(dim=-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * parameters[f"{path}.weight"] + parameters[f"{path}.bias"]


def attention_of(parameters: dict[str, Tensor], path: str, heads: int, queries: Tensor, context: Tensor) -> Tensor:
    """Attention of queries (queries, dim) to context (keys, dim) without padding; 0 without a key."""
    if len(queries) == 0 or len(context) == 0:
        return torch.zeros_like(queries)
    dim = queries.shape[-1]
    weight, bias = parameters[f"{path}.in_proj_weight"], parameters[f"{path}.in_proj_bias"]
    rows = [slice(start, end) for start, end in pairwise((0, dim, 2 * dim, 3 * dim))]
    q, k, v = (
        tokens @ weight[row].T + bias[row] for tokens, row in zip((queries, context, context), rows, strict=True)
    )
    width = dim // heads
    results = []
    for query in q:
        parts = []
        for h in range(heads):
            columns = slice(h * width, (h + 1) * width)
            exponentials = torch.exp(k[:, columns] @ query[columns] / width**0.5)  # (keys,)
            parts.append(exponentials @ v[:, columns] / exponentials.sum())
        results.append(torch.cat(parts))
    return torch.stack(results) @ parameters[f"{path}.out_proj.weight"].T + parameters[f"{path}.out_proj.bias"]


def fuse_sample(parameters: dict[str, Tensor], heads: int, text: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """The block on one sample without padding."""
    text_normed, image_normed = normalise(text, parameters, "norm_text"), normalise(image, parameters, "norm_image")
    to_text = attention_of(parameters, "text_from_image", heads, text_normed, image_normed)
    to_image = attention_of(parameters, "image_from_text", heads, image_normed, text_normed)
    text_gate, image_gate = parameters["gate_text"].tanh(), parameters["gate_image"].tanh()
    return text + text_gate * to_text, image + image_gate * to_image


def classify_sample(parameters: dict[str, Tensor], heads: int, text: Tensor, image: Tensor) -> Tensor:
    text = text @ parameters["text_proj.weight"].T + parameters["text_proj.bias"]
    image = image @ parameters["image_proj.weight"].T + parameters["image_proj.bias"]
    block = {path.removeprefix("block."): value for path, value in parameters.items() if path.startswith("block.")}
    streams = fuse_sample(block, heads, text, image)
    means = [tokens.sum(dim=0) / max(len(tokens), 1) for tokens in streams]
    return normalise(torch.cat(means), parameters, "norm") @ parameters["head.weight"].T + parameters["head.bias"]


def random_mask(rng: np.random.Generator, valid: list[int], length: int) -> Tensor:
    mask = torch.zeros(len(valid), length, dtype=torch.bool)
    for row, count in zip(mask, valid, strict=True):
        row[rng.permutation(length)[:count]] = True
    return mask


def all_hidden(found: Tensor, tokens: Tensor, added: Tensor) -> bool:
    """Whether NaN, nothing or only a constant was added to the tokens, as an attention does that sees no key."""
    difference = found - tokens
    return bool(difference.isnan().all()) or any(torch.isclose(difference, x).all() for x in (added, added * 0))


# ---------------------------------------------------------------- the checks


@points(1)
@visible
@catches("gate-at-1", "pooled-self-attention", "nan-without-masks", "token-axis-for-batch-axis", "image-first")
def test_closed_gates(student, rng):
    """With closed gates the block changes nothing, and the classifier is a network without attention."""
    parameters = {path: value.float() for path, value in random_parameters(rng, block_shapes(6)).items()}
    del parameters["gate_text"], parameters["gate_image"]  # as the constructor sets them
    block = student.run(module_with_given_weights, "BidirectionalCrossAttention", (6, 2), parameters)
    for batch, words, patches in ((3, 3, 3), (3, 4, 5)):  # the first fits even where batch and tokens are mixed up
        text, image = normal(rng, batch, words, 6).float(), normal(rng, batch, patches, 6).float()
        new_text, new_image = block(text, image)
        for what, found, tokens in (("new text", new_text, text), ("new image", new_image, image)):
            cause = "the gates start at 0, and the input plus tanh(0) times anything finite is the input"
            if isinstance(found, Tensor) and found.isnan().any():
                cause = "NaN times a closed gate is NaN. In `key_padding_mask`, True means hidden: is every key hidden?"
            assert_close(found, tokens, what=f"{what} with closed gates", cause=cause)
    for zero_init, value in ((True, 0.0), (False, 0.5)):
        _, _, gates = student.run(describe, "BidirectionalCrossAttention", (6, 2, zero_init))
        assert_equal(gates, [value, value], what=f"list of the gates with zero_init={zero_init}")

    sizes = (TEXT_DIM, IMAGE_DIM, 6, 2, CLASSES)
    parameters = random_parameters(rng, classifier_shapes(6))
    parameters["block.gate_text"] = parameters["block.gate_image"] = torch.zeros((), dtype=torch.float64)
    text, image = normal(rng, 2, 4, TEXT_DIM), normal(rng, 2, 5, IMAGE_DIM)
    model = student.run(module_with_given_weights, "AttentionFusion", sizes, parameters)
    expected = torch.stack([classify_sample(parameters, 2, text[b], image[b]) for b in range(2)])
    cause = "project, mean over the tokens, the text's mean before the image's, norm, head"
    assert_close(model(text, image), expected, what="logit tensor with closed gates, without masks", cause=cause)
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    expected = torch.stack([classify_sample(parameters, 2, text[b, mask[b]], image[b]) for b in range(2)])
    cause = "the mean is the sum of the valid tokens, divided by their number"
    assert_close(model(text, image, text_mask=mask), expected, what="logit tensor with closed gates", cause=cause)


@points(1)
@catches("tied-attention", "head-of-width-dim")
def test_parts(student):
    """The modules own the announced layers, and the two directions share none of them."""
    for name, sizes, shapes in (
        ("BidirectionalCrossAttention", (6, 3), block_shapes(6)),
        ("AttentionFusion", (TEXT_DIM, IMAGE_DIM, 6, 3, CLASSES), classifier_shapes(6)),
    ):
        found, tensors, _ = student.run(describe, name, sizes)
        for path, shape in shapes.items():
            if path not in found:
                raise AssertionError(f"{name} has no parameter {path}; it has {', '.join(sorted(found)) or 'none'}.")
            if tuple(found[path]) != shape:
                raise AssertionError(f"{path} in {name} has shape {tuple(found[path])}; it should be {shape}.")
        assert_equal(
            tensors,
            len(found),
            what=f"number of different tensors among the {len(found)} parameters of {name}",
            cause="two layers are one and the same object; each direction needs its own",
        )


@points(2)
@catches(
    "gate-without-tanh",
    "no-residual",
    "sequential",
    "self-attention",
    "context-not-normalised",
    "hidden-without-masks",
    "pooled-context",
)
def test_two_directions(student, rng):
    """Each modality adds what it read from the other, through its own gate; both read the inputs as they came."""
    several = "every query, normalised like the keys, has weights of its own for all tokens of the other modality"
    steps = (  # from the outside in: the gates, what is read from a single token, the weights of several
        (
            False,
            2,
            6,
            3,
            4,
            5,
            "here all that is read is the output bias; the input plus tanh(its own gate) times that",
        ),
        (
            True,
            2,
            6,
            3,
            1,
            1,
            "a single token has weight 1; it is read as it came in, normalised by its modality's norm",
        ),
        (True, 2, 6, 3, 4, 5, several),
        (True, 1, 4, 2, 3, 2, several),
        (True, 4, 8, 1, 2, 6, several),
    )
    for reading, heads, dim, batch, words, patches, step_cause in steps:
        parameters = random_parameters(rng, block_shapes(dim))
        for direction in ("text_from_image", "image_from_text"):
            parameters[f"{direction}.out_proj.weight"] *= reading
        text, image = normal(rng, batch, words, dim), normal(rng, batch, patches, dim)
        block = student.run(module_with_given_weights, "BidirectionalCrossAttention", (dim, heads), parameters)
        new_text, new_image = block(text, image)
        case = f"dim {dim}, {heads} head{'s' * (heads > 1)}, gates open"
        assert_shape(new_text, (batch, words, dim), what=f"new text ({case})")
        assert_shape(new_image, (batch, patches, dim), what=f"new image ({case})")
        assert_dtype(new_text, "float64", what=f"new text of a float64 module ({case})")
        fused = [fuse_sample(parameters, heads, text[b], image[b]) for b in range(batch)]
        for what, found, tokens, expected, direction, gate in (
            ("new text", new_text, text, [pair[0] for pair in fused], "text_from_image", "gate_text"),
            ("new image", new_image, image, [pair[1] for pair in fused], "image_from_text", "gate_image"),
        ):
            cause = step_cause
            if all_hidden(found, tokens, parameters[gate].tanh() * parameters[f"{direction}.out_proj.bias"]):
                cause = "nothing is read at all: in `key_padding_mask`, True means hidden. Is every key hidden?"
            for b in range(batch):
                assert_close(found[b], expected[b], what=f"{what} of sample {b} ({case})", cause=cause)


@points(1)
@catches("inverted-masks", "image-mask-ignored")
def test_padding_in_the_block(student, rng):
    """Padding gives the valid tokens the same result as leaving it out, in both directions."""
    parameters = random_parameters(rng, block_shapes(6))
    block = student.run(module_with_given_weights, "BidirectionalCrossAttention", (6, 3), parameters)
    text, image = normal(rng, 3, 4, 6), normal(rng, 3, 7, 6)
    cause = "True in a mask means valid; each direction needs the mask of the modality that is read"
    tolerance = {"rtol": 1e-8, "atol": 1e-9}
    for names, words, patches in (  # the samples without padding come last
        (("image_mask",), [4, 4, 4], [5, 2, 4]),
        (("text_mask",), [1, 3, 2], [7, 7, 7]),
        (("text_mask", "image_mask"), [1, 4, 3], [5, 2, 7]),
    ):
        kept = {"text_mask": random_mask(rng, words, 4), "image_mask": random_mask(rng, patches, 7)}
        sent = {"text_mask": text.clone(), "image_mask": image.clone()}
        for name, tokens in sent.items():
            tokens[~kept[name]] *= 1e4
        new_text, new_image = block(*sent.values(), **{name: kept[name] for name in names})
        assert_shape(new_text, (3, 4, 6), what="new text")
        assert_shape(new_image, (3, 7, 6), what="new image")
        for b in range(3):
            seen_words, seen_patches = kept["text_mask"][b], kept["image_mask"][b]
            expected_text, expected_image = fuse_sample(parameters, 3, text[b, seen_words], image[b, seen_patches])
            case = f"{words[b]} of 4 words and {patches[b]} of 7 patches valid"
            what = f"new text of the valid words ({case})"
            assert_close(new_text[b, seen_words], expected_text, what=what, cause=cause, **tolerance)
            what = f"new image of the valid patches ({case})"
            assert_close(new_image[b, seen_patches], expected_image, what=what, cause=cause, **tolerance)


@points(1)
@catches("nan-without-context", "bias-without-context")
def test_nothing_to_attend_to(student, rng):
    """Tokens stay as they are if the other modality has no valid token, and other samples do not notice."""
    parameters = random_parameters(rng, block_shapes(6))
    text, image = normal(rng, 3, 4, 6), normal(rng, 3, 5, 6)
    text_mask, image_mask = random_mask(rng, [0, 4, 2], 4), random_mask(rng, [5, 0, 3], 5)
    block = student.run(module_with_given_weights, "BidirectionalCrossAttention", (6, 2), parameters)
    new_text, new_image = block(text, image, text_mask=text_mask, image_mask=image_mask)
    cause = "with nothing to attend to, the whole attention term is 0, the bias of out_proj included"
    assert_close(new_image[0], image[0], rtol=0, atol=0, what="new image of a sample without words", cause=cause)
    assert_close(new_text[1], text[1], rtol=0, atol=0, what="new text of a sample without patches", cause=cause)
    expected_text, expected_image = fuse_sample(parameters, 2, text[2, text_mask[2]], image[2, image_mask[2]])
    cause = "a sample with words and patches is treated as if it were alone in the batch"
    assert_close(new_text[2, text_mask[2]], expected_text, what="new text of the complete sample", cause=cause)
    assert_close(new_image[2, image_mask[2]], expected_image, what="new image of the complete sample", cause=cause)


@points(2)
@catches("padding-in-the-mean", "mean-of-no-tokens")
def test_classifier(student, rng):
    """The classifier averages the valid tokens of each modality; the mean of no tokens is 0."""
    sizes = (TEXT_DIM, IMAGE_DIM, 6, 2, CLASSES)
    parameters = random_parameters(rng, classifier_shapes(6))
    text, image = normal(rng, 4, 3, TEXT_DIM), normal(rng, 4, 4, IMAGE_DIM)
    model = student.run(module_with_given_weights, "AttentionFusion", sizes, parameters)
    expected = torch.stack([classify_sample(parameters, 2, text[b], image[b]) for b in range(4)])
    assert_close(
        model(text, image), expected, what="logit tensor without masks", cause="the means are of the new tokens"
    )
    for words, patches in (([3, 1, 2, 2], [2, 4, 1, 3]), ([0, 3, 0, 2], [4, 0, 0, 1])):
        masks = {"text_mask": random_mask(rng, words, 3), "image_mask": random_mask(rng, patches, 4)}
        logits = model(text, image, **masks)
        assert_shape(logits, (4, CLASSES), what="logit tensor")
        for b in range(4):
            kept = text[b, masks["text_mask"][b]], image[b, masks["image_mask"][b]]
            what = f"row of logits for {words[b]} of 3 words and {patches[b]} of 4 patches"
            cause = (
                "only valid tokens are read and averaged" if words[b] and patches[b] else "the mean of no tokens is 0"
            )
            assert_close(logits[b], classify_sample(parameters, 2, *kept), what=what, cause=cause)


@points(1)
@catches("nan-gradients")
def test_gradients(student, rng):
    """All gradients are right, also in a batch with empty samples, and closed gates get a gradient too."""
    sizes = (TEXT_DIM, IMAGE_DIM, 4, 2, CLASSES)
    parameters = random_parameters(rng, classifier_shapes(4))
    closed = {path: value * 0 if "gate" in path else value for path, value in parameters.items()}
    text, image, direction = normal(rng, 4, 3, TEXT_DIM), normal(rng, 4, 2, IMAGE_DIM), normal(rng, 4, CLASSES)
    empty = {"text_mask": random_mask(rng, [3, 0, 2, 0], 3), "image_mask": random_mask(rng, [1, 2, 0, 0], 2)}
    for case, given, masks in (
        ("no masks, gates open", parameters, {}),
        ("samples without words or patches, gates open", parameters, empty),
        ("no masks, gates closed", closed, {}),
    ):
        found = student.run(gradients, "AttentionFusion", sizes, text, image, masks, direction, given)
        leaves = {**given, "text": text, "image": image}
        leaves = {path: value.clone().requires_grad_() for path, value in leaves.items()}
        total = torch.zeros((), dtype=torch.float64)
        for b in range(4):
            words = masks["text_mask"][b] if masks else slice(None)
            patches = masks["image_mask"][b] if masks else slice(None)
            logits = classify_sample(leaves, 2, leaves["text"][b, words], leaves["image"][b, patches])
            total = total + (logits * direction[b]).sum()
        expected = torch.autograd.grad(total, list(leaves.values()))
        for (path, gradient), wanted in zip(found.items(), expected, strict=True):
            what = f"gradient of {path} ({case})"
            if gradient is None:
                raise AssertionError(f"The {what} is missing: it has no part in the logits.")
            cause = ""
            if gradient.isnan().any():
                cause = "NaN in the forward pass survives in the gradient, even if the result is repaired afterwards"
            elif not gradient.any():
                cause = "something on the way to it is cut off from autograd, or always multiplied by 0"
            assert_close(gradient, wanted, rtol=1e-8, atol=1e-10, what=what, cause=cause)


@points(1)
@catches("masks-unchecked")
def test_bad_input(student):
    """Heads, shapes and masks that do not fit are refused with the announced exceptions."""
    for dim, heads in ((6, 4), (5, 2), (6, 0)):
        with raises(ValueError, what=f"BidirectionalCrossAttention(dim={dim}, heads={heads})"):
            student.BidirectionalCrossAttention(dim, heads)
        with raises(ValueError, what=f"AttentionFusion with dim={dim} and heads={heads}"):
            student.AttentionFusion(3, 5, dim, heads, 2)
    text, image = torch.ones(2, 4, 6), torch.ones(2, 5, 6)
    for name, sizes in (("BidirectionalCrossAttention", (6, 2)), ("AttentionFusion", (6, 6, 6, 2, 3))):
        module = getattr(student, name)(*sizes)
        for what, bad_text, bad_image in (
            ("2-D text", text[0], image),
            ("2-D image", text, image[0]),
            ("2-D text and image", text[0], image[0]),
            ("2 texts and 1 image", text, image[:1]),
            ("1 text and 2 images", text[:1], image),
        ):
            with raises(ValueError, what=f"{name} with {what}"):
                module(bad_text, bad_image)
        for key, length, shapes in (
            ("text_mask", 4, ((2, 5), (4,), (1, 4), (2, 1))),
            ("image_mask", 5, ((2, 4), (5,), (1, 5), (2, 1))),
        ):
            for shape in shapes:
                with raises(ValueError, what=f"{name} with {key} of shape {shape} for (2, 4) words and (2, 5) patches"):
                    module(text, image, **{key: torch.ones(shape, dtype=torch.bool)})
            for dtype in (torch.float32, torch.int64):
                with raises(TypeError, ValueError, what=f"{name} with {key} of dtype {dtype}"):
                    module(text, image, **{key: torch.ones(2, length, dtype=dtype)})
