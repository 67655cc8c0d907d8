"""Hidden checks of losses/contrastive.

The oracle writes both losses as sums over pairs, one pair at a time, in float64; the submission works with matrices.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "distance_is_enough": False,
    "named_by_modality": False,
    "scale_one_suffices": False,
    "sigmoid_pairs_alone": True,
    "loss_without_batch": False,
    "scale_sharpens": True,
    "bias_starts_negative": True,
    "shared_target_floor": True,
}
CLOSE = {"rtol": 1e-6, "atol": 1e-7}  # leaves room for an epsilon of 1e-8 in the normalisation
SINGLE = {"rtol": 1e-3, "atol": 1e-3}  # float32 with logits of 100 and more


# ---------------------------------------------------------------- what is expected, pair by pair


def cosine(u: Tensor, v: Tensor) -> Tensor:
    lengths = torch.linalg.vector_norm(u) * torch.linalg.vector_norm(v)
    return (u * v).sum() / lengths if lengths > 0 else torch.zeros((), dtype=u.dtype)


def choose(rows: Tensor, candidates: Tensor, scale: Tensor, ids: list[int]) -> Tensor:
    """Mean over the rows of the cross-entropy of choosing the partner among the candidates."""
    total = torch.zeros((), dtype=torch.float64)
    for i, row in enumerate(rows):
        logits = [scale * cosine(row, candidate) for candidate in candidates]
        largest = max(logit.item() for logit in logits)
        log_sum = largest + sum(torch.exp(logit - largest) for logit in logits).log()
        partners = [j for j in range(len(candidates)) if ids[j] == ids[i]]
        total = total + sum(log_sum - logits[j] for j in partners) / len(partners)
    return total / len(rows)


def expected_clip(
    text: Tensor, image: Tensor, logit_scale: Tensor, direction: str, ids: list[int] | None = None
) -> Tensor:
    text, image, logit_scale = text.double(), image.double(), logit_scale.double()
    ids = list(range(len(text))) if ids is None else ids
    scale = torch.minimum(logit_scale.exp(), torch.tensor(100.0, dtype=torch.float64))
    parts = {"t2i": lambda: choose(text, image, scale, ids), "i2t": lambda: choose(image, text, scale, ids)}
    if direction == "both":
        return (parts["t2i"]() + parts["i2t"]()) / 2
    return parts[direction]()


def expected_siglip(text: Tensor, image: Tensor, log_t: Tensor, bias: Tensor) -> Tensor:
    text, image, log_t, bias = text.double(), image.double(), log_t.double(), bias.double()
    total = torch.zeros((), dtype=torch.float64)
    for i, row in enumerate(text):
        for j, column in enumerate(image):
            logit = log_t.exp() * cosine(row, column) + bias
            wrong_way = -logit if i == j else logit
            total = total + torch.logaddexp(torch.zeros_like(wrong_way), wrong_way)  # -log sigmoid(-wrong_way)
    return total / len(text)


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def scalar(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype)


def draw_pairs(rng: np.random.Generator, n: int, width: int, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Texts and images of different lengths with some likeness between partners."""
    text = normal(rng, n, width)
    image = text + noise * normal(rng, n, width)
    return text * (torch.arange(n)[:, None] + 0.5), image * 1.7


# ---------------------------------------------------------------- the checks


@points(1)
@visible
@catches("squared-distance", "siglip-mean-over-pairs")
def test_losses_in_closed_form(student):
    """Partners that all look alike, and partners on perpendicular axes, have the losses known in closed form."""
    same_vector = torch.tensor([[1.0, 2.0, 2.0]]).repeat(5, 1)
    for scale in (1.0, 20.0):
        loss = student.clip_loss(same_vector, 3 * same_vector, torch.tensor(scale).log())
        what = f"clip_loss of five identical pairs at scale {scale}"
        assert_close(loss, scalar(math.log(5)), rtol=0, atol=1e-4, what=what, cause="five equal choices cost ln 5")
    axes = torch.eye(3)
    loss = student.clip_loss(2 * axes, 7 * axes, torch.tensor(4.0).log())
    what = "clip_loss of three perpendicular pairs at scale 4"
    assert_close(loss, scalar(math.log(1 + 2 * math.exp(-4))), rtol=0, atol=1e-4, what=what)
    loss = student.siglip_loss(same_vector, 3 * same_vector, torch.tensor(6.0).log(), torch.tensor(-6.0))
    what = "siglip_loss of five pairs whose logits are all 0"
    cause = "25 pairs cost ln 2 each, and the sum is divided by the number of rows"
    assert_close(loss, scalar(5 * math.log(2)), rtol=0, atol=1e-4, what=what, cause=cause)


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("one-direction", "directions-exchanged", "not-normalised", "scale-without-exp", "scale-divides")
def test_clip_in_each_direction(student, rng):
    """CLIP: each direction is its own cross-entropy over the scaled cosines, and both is their mean."""
    for n, width, log_scale in ((2, 3, 0.7), (4, 3, 2.1), (5, 7, 1.3)):
        text, image = draw_pairs(rng, n, width)
        logit_scale = scalar(log_scale)
        for direction in ("t2i", "i2t", "both"):
            what = f"clip_loss of {n} pairs with logit_scale {log_scale}, direction {direction!r}"
            loss = student.clip_loss(text, image, logit_scale, direction=direction)
            assert_shape(loss, (), what=what)
            cause = (
                "t2i is a softmax over the images for each text, i2t one over the texts for each image; logit_scale "
                "is the logarithm of what the cosines are multiplied by"
            )
            assert_close(loss, expected_clip(text, image, logit_scale, direction), what=what, cause=cause, **CLOSE)
        loss = student.clip_loss(text, image, logit_scale)
        wanted = expected_clip(text, image, logit_scale, "both")
        assert_close(loss, wanted, what="clip_loss without a direction", cause="the default is both", **CLOSE)


@points(1)
@catches("pair-ids-ignored", "target-not-shared")
def test_equal_pair_ids_share_the_target(student, rng):
    """CLIP: pairs with equal ids are each other's partners, and share the target equally."""
    for ids in ([3, 8, 3, 5, 3, 8], [4, 4, 4], [-1, 7, 0, 7]):
        text, image = draw_pairs(rng, len(ids), 4)
        for direction in ("t2i", "i2t", "both"):
            loss = student.clip_loss(text, image, scalar(1.6), direction=direction, pair_ids=torch.tensor(ids))
            wanted = expected_clip(text, image, scalar(1.6), direction, ids)
            what = f"clip_loss with pair_ids {ids}, direction {direction!r}"
            cause = "of k partners with the same id, each has the target 1/k, and the row is one sample of the mean"
            assert_close(loss, wanted, what=what, cause=cause, **CLOSE)


@points(1)
@catches("siglip-labels-0-and-1", "siglip-true-pairs-only", "siglip-without-bias")
def test_siglip(student, rng):
    """SigLIP: every one of the N·N pairs is a yes/no question; the sum is divided by N."""
    for n, width, log_t, bias in ((1, 4, 0.4, 0.9), (2, 3, 1.2, -0.8), (5, 3, 0.9, -2.5), (4, 6, 1.7, 0.6)):
        text, image = draw_pairs(rng, n, width)
        loss = student.siglip_loss(text, image, scalar(log_t), scalar(bias))
        what = f"siglip_loss of {n} pairs with log_t {log_t} and bias {bias}"
        assert_shape(loss, (), what=what)
        wanted = expected_siglip(text, image, scalar(log_t), scalar(bias))
        cause = "true pairs are pushed up, all other pairs down, and bias is added to every logit"
        assert_close(loss, wanted, what=what, cause=cause, **CLOSE)


@points(1)
@catches("softmax-overflows", "log-of-softmax", "log-of-sigmoid", "scale-not-capped", "nan-for-zero-vectors")
def test_extreme_scales_and_vectors(student, rng):
    """Large scales, float32, zero vectors and a single pair give finite and right values."""
    for dtype, tolerance in ((torch.float64, CLOSE), (torch.float32, SINGLE)):
        text, image = normal(rng, 4, 3), normal(rng, 4, 3)
        text, image = (text / 8 + 3).to(dtype), (image / 8 + 3).to(dtype)  # all cosines near 1
        for log_scale in (4.5, 5.5):
            logit_scale = scalar(log_scale, dtype)
            what = f"clip_loss in {dtype} with logit_scale {log_scale} and cosines near 1"
            loss = student.clip_loss(text, image, logit_scale)
            assert_dtype(loss, str(dtype).removeprefix("torch."), what=what)
            wanted = expected_clip(text, image, logit_scale, "both")
            cause = (
                "the scale is capped at 100; if the loss is infinite or NaN, the exponential of a logit near 100 was "
                "taken, which does not fit into float32"
            )
            assert_close(loss.double(), wanted, what=what, cause=cause, **tolerance)
        axis = normal(rng, 1, 3).to(dtype)
        pair = torch.cat([2 * axis, -axis])  # cosines of 1 and -1 in each row: the logits differ by 200
        for case, partners in (("like their partners", pair), ("opposite to their partners", -pair)):
            for direction in ("t2i", "i2t"):
                logit_scale = scalar(math.log(100), dtype)
                what = f"clip_loss in {dtype}, scale 100, two texts {case}, direction {direction!r}"
                loss = student.clip_loss(pair, partners, logit_scale, direction=direction)
                wanted = expected_clip(pair, partners, logit_scale, direction)
                cause = "a softmax can be rounded to 0, and its logarithm is then minus infinity: take both in one step"
                assert_close(loss.double(), wanted, what=what, cause=cause, **tolerance)
        signs = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=dtype)
        log_t, bias = scalar(math.log(1000), dtype), scalar(-10.0, dtype)
        what = f"siglip_loss in {dtype} with scale 1000 and cosines near 1 and -1"
        loss = student.siglip_loss(text, signs * image, log_t, bias)
        assert_dtype(loss, str(dtype).removeprefix("torch."), what=what)
        wanted = expected_siglip(text, signs * image, log_t, bias)
        cause = "sigmoid(-1000) is 0, and its logarithm minus infinity: take both in one step"
        assert_close(loss.double(), wanted, what=what, cause=cause, **tolerance)

    text, image = normal(rng, 3, 4), normal(rng, 3, 4)
    text[1] = 0
    image[2] = 0
    cause = "a vector of zeros has cosine 0 with everything"
    loss, wanted = student.clip_loss(text, image, scalar(1.5)), expected_clip(text, image, scalar(1.5), "both")
    assert_close(loss, wanted, what="clip_loss with a text and an image of zeros", cause=cause, **CLOSE)
    arguments = (text, image, scalar(1.5), scalar(-0.5))
    loss, wanted = student.siglip_loss(*arguments), expected_siglip(*arguments)
    assert_close(loss, wanted, what="siglip_loss with a text and an image of zeros", cause=cause, **CLOSE)

    for direction in ("t2i", "i2t", "both"):
        loss = student.clip_loss(normal(rng, 1, 4), normal(rng, 1, 4), scalar(2.0), direction=direction)
        assert_close(loss, scalar(0.0), what=f"clip_loss of a single pair, direction {direction!r}", **CLOSE)


def gradients_of_the_loss(student, name, tensors, options):
    import torch

    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    before = [leaf.detach().clone() for leaf in leaves]
    loss = getattr(student, name)(*leaves, **options)
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return found, before, [leaf.detach() for leaf in leaves]


@points(1)
@catches("scale-detached")
def test_gradients(student, rng):
    """Every embedding and every learned scalar gets its gradient; above the cap, that of logit_scale is 0."""
    text, image = draw_pairs(rng, 4, 3)
    cases = [
        ("clip_loss", expected_clip, {"direction": "t2i"}, ["logit_scale"], [scalar(1.4)]),
        ("clip_loss", expected_clip, {"direction": "both"}, ["logit_scale"], [scalar(2.0)]),
        ("clip_loss", expected_clip, {"direction": "both"}, ["logit_scale"], [scalar(5.0)]),  # above ln 100
        ("siglip_loss", expected_siglip, {}, ["log_t", "bias"], [scalar(1.1), scalar(-0.7)]),
    ]
    for name, oracle, options, names, scalars in cases:
        tensors = [text, image, *scalars]
        found, before, after = student.run(gradients_of_the_loss, name, tensors, options)
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        wanted = torch.autograd.grad(oracle(*leaves, **options), leaves)
        cause = "something on its way is detached"
        if scalars[0] > math.log(100):
            cause = "above the cap the scale is 100, whatever logit_scale: it gets the gradient 0"
        told = ", ".join(f"{key} {value.item():g}" for key, value in zip(names, scalars, strict=True))
        for key, gradient, expected in zip(["text_emb", "image_emb", *names], found, wanted, strict=True):
            what = f"gradient of {key} in {name} with {told}"
            if gradient is None:
                raise AssertionError(f"The {what} is missing: the loss is cut off from {key}, for example by .item().")
            assert_close(gradient, expected, what=what, cause=cause, **CLOSE)
        for key, old, new in zip(["text_emb", "image_emb", *names], before, after, strict=True):
            assert_unchanged(new, old, what=key)


@points(1)
@catches("broadcasts-one-text")
def test_bad_input(student, rng):
    """Shapes that do not fit and unknown directions are refused with ValueError."""
    text, image, one = normal(rng, 4, 3), normal(rng, 4, 3), scalar(1.0)
    for what, bad_text, bad_image in (
        ("one text and 4 images", text[:1], image),
        ("4 texts and one image", text, image[:1]),
        ("4 texts and 3 images", text, image[:3]),
        ("widths 3 and 2", text, image[:, :2]),
        ("two vectors", text[0], image[0]),
        ("two 3-D tensors", text[None], image[None]),
        ("no pairs (N = 0)", text[:0], image[:0]),
    ):
        with raises(ValueError, what=f"clip_loss with {what}"):
            student.clip_loss(bad_text, bad_image, one)
        with raises(ValueError, what=f"siglip_loss with {what}"):
            student.siglip_loss(bad_text, bad_image, one, one)
    for direction in ("text", "", "I2T"):
        with raises(ValueError, what=f"clip_loss with direction {direction!r}"):
            student.clip_loss(text, image, one, direction=direction)
    for shape in ((3,), (1,), (4, 1), (4, 4), ()):
        with raises(ValueError, what=f"clip_loss of 4 pairs with pair_ids of shape {shape}"):
            student.clip_loss(text, image, one, pair_ids=torch.ones(shape, dtype=torch.int64))
