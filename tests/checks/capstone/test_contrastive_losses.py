"""Hidden checks of capstone/contrastive_losses.

What is expected is written pair by pair, in float64; probes hold the matchers and the generators.
"""

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

CLOSE = {"rtol": 1e-6, "atol": 1e-7}  # leaves room for embeddings that are brought to length 1 once more
SINGLE = {"rtol": 1e-4, "atol": 2e-4}
ROUNDED = "can be rounded to 0, and its logarithm is then minus infinity: take both in one step"
HALVES = (torch.float16, torch.bfloat16)

# Whole numbers whose squares add up to 64²: divided by 64 they are unit vectors, exactly, in half precision too
SIXTY_FOURTHS = ((10, 11, 17, 16, 27, 51), (3, 12, 21, 1, 30, 51), (15, 26, 21, 32, 7, 41), (40, 22, 9, 37, 11, 21))


# ---------------------------------------------------------------- inputs


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def scalar(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype)


def unit(rows: Tensor) -> Tensor:
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def draw_pairs(rng: np.random.Generator, batch: int, width: int) -> tuple[Tensor, Tensor]:
    """Unit vectors of images and texts with some likeness between partners, float64."""
    text = normal(rng, batch, width)
    return unit(text + normal(rng, batch, width)), unit(text)


def exact_vectors(rng: np.random.Generator, batch: int) -> Tensor:
    """Unit vectors (batch, 6) that every half precision holds exactly, float64."""
    rows = [rng.permutation(SIXTY_FOURTHS[rng.integers(4)]) * rng.choice([-1, 1], 6) for _ in range(batch)]
    return torch.from_numpy(np.array(rows, dtype=np.float64)) / 64


def tensor_of(value, what: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise AssertionError(f"The {what} should be a tensor; it is of type {type(value).__name__}.")
    return value


# ---------------------------------------------------------------- what is expected, pair by pair


def expected_logits(image: Tensor, text: Tensor, log_scale: Tensor) -> list[list[Tensor]]:
    scale = log_scale.double().exp()
    return [[scale * (u * v).sum() for v in text.double()] for u in image.double()]


def choose(table: list[list[Tensor]], concepts: list[int]) -> Tensor:
    """Mean over the rows of the cross-entropy of choosing among the columns, every place of the concept being right."""
    total = torch.zeros((), dtype=torch.float64)
    for i, logits in enumerate(table):
        largest = max(logit.item() for logit in logits)
        log_sum = largest + sum(torch.exp(logit - largest) for logit in logits).log()
        right = [j for j in range(len(logits)) if concepts[j] == concepts[i]]
        total = total + sum(log_sum - logits[j] for j in right) / len(right)
    return total / len(table)


def expected_info_nce(image: Tensor, text: Tensor, log_scale: Tensor, concepts: list[int]) -> Tensor:
    table = expected_logits(image, text, log_scale)
    columns = [list(column) for column in zip(*table, strict=True)]
    return (choose(table, concepts) + choose(columns, concepts)) / 2


def expected_sigmoid(image: Tensor, text: Tensor, log_scale: Tensor, bias: Tensor, concepts: list[int]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i, row in enumerate(expected_logits(image, text, log_scale)):
        for j, cosine in enumerate(row):
            logit = cosine + bias.double()
            wrong_way = -logit if concepts[i] == concepts[j] else logit
            total = total + torch.logaddexp(torch.zeros_like(wrong_way), wrong_way)  # -log sigmoid(-wrong_way)
    return total / len(image)


def expected_matching(
    weight: Tensor, image: Tensor, text: Tensor, wrong_texts: list[int], wrong_images: list[int]
) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(image)):
        for u, v, sign in ((i, i, 1), (i, wrong_texts[i], -1), (wrong_images[i], i, -1)):
            logit = image[u].double() @ weight.double() @ text[v].double() + 0.25
            total = total + torch.logaddexp(torch.zeros_like(logit), -sign * logit)
    return total / (3 * len(image))


# ---------------------------------------------------------------- probes


def losses_under_autocast(student, image, text, log_scale, bias, concepts):
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (
            student.pair_logits(image, text, log_scale),
            student.symmetric_info_nce(image, text, log_scale, concepts),
            student.sigmoid_loss(image, text, log_scale, bias, concepts),
        )


def draw_hard_negatives(student, similarity, concepts, seed):
    """The two tensors, the similarity afterwards, and whether the global generator was left alone."""
    import torch

    similarity.requires_grad_()
    before = torch.random.get_rng_state()
    drawn = student.hard_negatives(similarity, concepts, torch.Generator().manual_seed(seed))
    untouched = bool(torch.equal(before, torch.random.get_rng_state()))
    return drawn, similarity.detach(), untouched


def hard_negatives_again_and_again(student, similarity, concepts, seed):
    """Facts about three draws: two from one generator, one from a second generator of the same seed."""
    import torch

    generator, twin = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    torch.manual_seed(1)
    first = student.hard_negatives(similarity, concepts, generator)
    torch.manual_seed(2)
    same = student.hard_negatives(similarity, concepts, twin)
    second = student.hard_negatives(similarity, concepts, generator)
    return {
        "repeatable": all(bool(torch.equal(a, b)) for a, b in zip(first, same, strict=True)),
        "goes on": not any(bool(torch.equal(a, b)) for a, b in zip(first, second, strict=True)),
    }


def concepts_of_hard_negatives(student, table, concepts, seed):
    """How often rows of each concept get a text of each concept, columns an image, and how many different ones."""
    import torch

    similarity = table[concepts][:, concepts]
    wrong_texts, wrong_images = student.hard_negatives(similarity, concepts, torch.Generator().manual_seed(seed))
    counts = []
    for wrong in (wrong_texts, wrong_images):
        count = torch.zeros(len(table), len(table), dtype=torch.int64)
        count.index_put_((concepts, concepts[wrong]), torch.ones_like(wrong), accumulate=True)
        counts.append(count)
    return counts, [len(set(wrong.tolist())) for wrong in (wrong_texts, wrong_images)]


def matching_loss_of_a_matcher(student, weight, image, text, concepts, wrong_texts, wrong_images, half=""):
    """Loss with logits image · weight · text + 0.25, and its gradients in weight, image and text."""
    import torch

    leaves = [tensor.clone().requires_grad_() for tensor in (weight, image, text)]

    def matcher(images, texts):
        logits = ((images @ leaves[0]) * texts).sum(dim=1) + 0.25
        return logits.to(getattr(torch, half)) if half else logits

    loss = student.matching_loss(matcher, leaves[1], leaves[2], concepts, wrong_texts, wrong_images)
    return loss, torch.autograd.grad(loss, leaves, allow_unused=True)


def gradients_of_the_loss(student, name, raw_image, raw_text, scalars, concepts):
    """Gradients in the vectors before they were brought to length 1, and in the learned scalars; unit vectors after."""
    import torch

    leaves = [tensor.clone().requires_grad_() for tensor in (raw_image, raw_text, *scalars)]
    image, text = (rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True) for rows in leaves[:2])
    kept = image.detach().clone(), text.detach().clone()
    loss = getattr(student, name)(image, text, *leaves[2:], concepts)
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return found, kept, (image.detach(), text.detach())


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_three_drawings_worked_out_by_hand(student):
    """Three drawings of two concepts, worked out by hand: logits and symmetric loss."""
    axes = torch.eye(3)
    image, text = axes[[0, 1, 2]], axes[[0, 1, 0]]
    concepts = torch.tensor([7, 4, 7])
    log_scale = torch.tensor(3.0).log()
    logits = student.pair_logits(image, text, log_scale)
    assert_close(logits, torch.tensor([[3.0, 0.0, 3.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]), what="table of logits")
    one = math.exp(3)
    drawings = (math.log(2 * one + 1) - 3) + (math.log(one + 2) - 3) + math.log(3)
    names = 2 * (math.log(one + 2) - 3 / 2) + (math.log(one + 2) - 3)
    loss = student.symmetric_info_nce(image, text, log_scale, concepts)
    what = "symmetric_info_nce of three pairs of the concepts 7, 4 and 7"
    assert_close(loss, torch.tensor((drawings + names) / 6), rtol=0, atol=1e-5, what=what)


@points(1)
@catches(
    "scale-without-exp",
    "scale-divides",
    "texts-in-rows",
    "always-float32",
    "half-precision-products",
    "autocast-left-on",
)
def test_logits_are_scaled_cosines_in_full_precision(student, rng):
    """pair_logits: a row for each image, cosines times exp(log_scale), at full precision whatever comes in."""
    for dtype, tolerance in ((torch.float64, CLOSE), (torch.float32, SINGLE)):
        for batch, width, log_scale in ((2, 3, 1.3), (5, 4, 3.1)):
            image, text = (rows.to(dtype) for rows in draw_pairs(rng, batch, width))
            logits = student.pair_logits(image, text, scalar(log_scale, dtype))
            what = f"table of pair_logits for {batch} pairs in {dtype} with log_scale {log_scale}"
            assert_shape(logits, (batch, batch), what=what)
            assert_dtype(logits, str(dtype).removeprefix("torch."), what=what)
            wanted = torch.tensor(expected_logits(image, text, scalar(log_scale)), dtype=dtype)
            cause = "rows are images; log_scale is the logarithm of what the cosines are multiplied by"
            assert_close(logits, wanted, what=what, cause=cause, **tolerance)

    log_scale, bias = scalar(4.2, torch.float32), scalar(-3.0, torch.float32)
    concepts = torch.tensor([3, 8, 3, 1])
    for half in HALVES:
        image, text = exact_vectors(rng, 4), exact_vectors(rng, 4)
        what = f"table of pair_logits for {half} embeddings"
        logits = student.pair_logits(image.to(half), text.to(half), log_scale)
        assert_dtype(logits, "float32", what=what)
        cause = "products of half-precision numbers have few digits; the embeddings are turned into float32 first"
        wanted = torch.tensor(expected_logits(image, text, log_scale), dtype=torch.float32)
        assert_close(logits, wanted, rtol=1e-5, atol=1e-4, what=what, cause=cause)
        # the losses are compared with themselves in float32, so that a mistake in a loss costs its own check only
        for name, arguments in (("symmetric_info_nce", (concepts,)), ("sigmoid_loss", (bias, concepts))):
            loss = getattr(student, name)(image.to(half), text.to(half), log_scale, *arguments)
            own = getattr(student, name)(image.float(), text.float(), log_scale, *arguments)
            what = f"{name} of {half} embeddings, compared with that of the same numbers in float32,"
            assert_dtype(loss, "float32", what=what)
            assert_close(loss, own, rtol=1e-5, atol=1e-4, what=what, cause=cause)

    image, text = (rows.float() for rows in draw_pairs(rng, 4, 5))
    found = student.run(losses_under_autocast, image, text, log_scale, bias, concepts)
    own = (
        torch.tensor(expected_logits(image, text, log_scale), dtype=torch.float32),
        student.symmetric_info_nce(image, text, log_scale, concepts),
        student.sigmoid_loss(image, text, log_scale, bias, concepts),
    )
    cause = "inside autocast a matrix product runs in bfloat16, whatever its inputs are; the statement says what helps"
    for name, value, expected in zip(("pair_logits", "symmetric_info_nce", "sigmoid_loss"), found, own, strict=True):
        what = f"result of {name} inside torch.autocast, compared with that outside,"
        assert_dtype(value, "float32", what=what, cause=cause)
        assert_close(value, expected, rtol=1e-4, atol=5e-4, what=what, cause=cause)


@points(2)
@catches(
    "labels-from-row-numbers",
    "duplicates-left-out",
    "target-not-shared",
    "one-direction",
    "directions-summed",
    "softmax-twice",
    "sum-over-the-rows",
)
def test_images_choose_texts_and_texts_choose_images(student, rng):
    """symmetric_info_nce: the mean of both directions, every place of a concept sharing the target evenly."""
    for numbers in ([4, 9, 2, 7], [1, 0], [6], [3, 8, 3, 5, 3, 8], [4, 4, 4], [0, 7, -1, 7, 0]):
        image, text = draw_pairs(rng, len(numbers), 3)
        for log_scale in (1.6, 0.4):
            what = f"symmetric_info_nce of pairs of the concepts {numbers} with log_scale {log_scale}"
            loss = student.symmetric_info_nce(image, text, scalar(log_scale), torch.tensor(numbers))
            assert_shape(tensor_of(loss, what), (), what=what)
            assert_dtype(loss, "float64", what=what)
            cause = "it is the mean of two cross-entropies, one over the texts for each image, one over the images"
            if len(set(numbers)) < len(numbers):
                cause = (
                    "of k places that show the row's concept, each has the target 1/k, and none of them is a negative"
                )
            wanted = expected_info_nce(image, text, scalar(log_scale), numbers)
            assert_close(loss, wanted, what=what, cause=cause, **CLOSE)


@points(1)
@catches(
    "sigmoid-labels-from-row-numbers",
    "sigmoid-mean-over-pairs",
    "sigmoid-diagonal-only",
    "sigmoid-sign-turned",
    "sigmoid-labels-0-and-1",
    "bias-inside-the-scale",
)
def test_every_pair_is_a_question_of_its_own(student, rng):
    """sigmoid_loss: every pair of one concept pushes up, every other down; the sum is divided by the batch size."""
    for numbers, log_scale, bias in (
        ([4, 9, 2, 7], 1.2, -0.8),
        ([5], 0.4, 0.9),
        ([3, 8, 3, 5, 3], 0.9, -2.5),
        ([6, 6], 1.7, 0.6),
    ):
        image, text = draw_pairs(rng, len(numbers), 3)
        what = f"sigmoid_loss of pairs of the concepts {numbers} with log_scale {log_scale} and bias {bias}"
        loss = student.sigmoid_loss(image, text, scalar(log_scale), scalar(bias), torch.tensor(numbers))
        assert_shape(tensor_of(loss, what), (), what=what)
        assert_dtype(loss, "float64", what=what)
        wanted = expected_sigmoid(image, text, scalar(log_scale), scalar(bias), numbers)
        cause = "all batch² pairs count; the bias is added to the scaled cosine; the sum is divided by the batch size"
        assert_close(loss, wanted, what=what, cause=cause, **CLOSE)


def two_row_numbers(drawn, batch: int, case: str) -> tuple[Tensor, Tensor]:
    if not (isinstance(drawn, (tuple, list)) and len(drawn) == 2 and all(isinstance(part, Tensor) for part in drawn)):
        raise AssertionError(
            "hard_negatives should return two tensors, (wrong_texts, wrong_images); "
            f"it returned a {type(drawn).__name__}."
        )
    for name, part in zip(("wrong_texts", "wrong_images"), drawn, strict=True):
        assert_shape(part, (batch,), what=f"{name} tensor ({case})", cause="one row number for each pair")
        assert_dtype(part, "int64", what=f"{name} tensor ({case})", cause="row numbers are asked for, not weights")
    return drawn[0], drawn[1]


def partners_of_other_concepts(rng: np.random.Generator, concepts: np.ndarray) -> np.ndarray:
    """A permutation, not its own inverse, that gives every row a row of another concept."""
    for _ in range(10000):
        partners = rng.permutation(len(concepts))
        if (concepts[partners] != concepts).all() and (partners[partners] != np.arange(len(concepts))).any():
            return partners
    raise RuntimeError("no such permutation was found")


@points(1)
@catches(
    "positives-not-masked",
    "only-the-diagonal-masked",
    "masked-with-zero",
    "masked-after-the-softmax",
    "converse-from-the-rows",
    "images-and-texts-exchanged",
    "least-similar",
    "weights-instead-of-rows",
    "similarity-masked-in-place",
    "global-generator",
    "seed-of-its-own",
)
def test_negatives_show_another_concept(student, rng, seed):
    """hard_negatives: never the own concept, the close ones rather than the far ones, from the generator alone."""
    numbers = np.array([3, 8, 3, 5, 9, 5, 8])[rng.permutation(7)]
    partners = partners_of_other_concepts(rng, numbers)
    concepts = torch.from_numpy(numbers)
    same = concepts[:, None] == concepts
    for case, offset, own, dtype in (
        ("as logits usually are", 0.0, 30.0, torch.float32),
        ("the own concept 200 above all others", 0.0, 200.0, torch.float32),
        ("all others near -300", -300.0, 0.0, torch.float32),
        ("in bfloat16", 0.0, 30.0, torch.bfloat16),
        ("in float64", 0.0, 30.0, torch.float64),
    ):
        # of the wrong texts, one is so far above the others that no other is drawn
        similarity = normal(rng, 7, 7) - 40
        similarity[range(7), partners] = 20.0
        similarity = (similarity + offset).masked_fill(same, own).to(dtype)
        drawn, after, untouched = student.run(draw_hard_negatives, similarity, concepts, seed)
        wrong_texts, wrong_images = two_row_numbers(drawn, 7, case)
        for name, wrong in (("wrong_texts", wrong_texts), ("wrong_images", wrong_images)):
            if (wrong < 0).any() or (wrong > 6).any():
                raise AssertionError(f"An entry of {name} ({case}) is no row of a batch of 7: {wrong.tolist()}.")
            if (concepts[wrong] == concepts).any():
                raise AssertionError(
                    f"In {name} ({case}) a row got one of its own concept, for the concepts {numbers.tolist()}: "
                    f"rows {wrong.tolist()}.\nLikely cause: a candidate of the row's own concept, which may stand in "
                    "the batch more than once, can still be drawn"
                )
        cause = "one candidate of another concept stands 60 above the rest: its chance is 1 to within 1e-25"
        assert_equal(wrong_texts, torch.from_numpy(partners), what=f"wrong_texts tensor ({case})", cause=cause)
        cause = "the wrong image of text j comes from column j, in which one candidate stands 60 above the rest"
        inverse = torch.from_numpy(np.argsort(partners))
        assert_equal(wrong_images, inverse, what=f"wrong_images tensor ({case})", cause=cause)
        assert_unchanged(after, similarity, what=f"similarity ({case})")
        if not untouched:
            raise AssertionError(
                "hard_negatives used PyTorch's global generator; only the one that is given may be used."
            )

    facts = student.run(hard_negatives_again_and_again, torch.zeros(40, 40), torch.arange(40), seed)
    if not facts["repeatable"]:
        raise AssertionError("Two generators of one seed gave different rows: something else than `generator` decides.")
    if not facts["goes on"]:
        raise AssertionError(
            "Two calls in a row with one generator gave the same rows, among 39 equally likely ones each: the "
            "generator that is given should go on from call to call."
        )


@points(1)
@catches(
    "hardest-only",
    "uniform",
    "one-draw-for-all-rows",
    "chance-proportional-to-similarity",
    "softmax-of-softmax",
    "columns-of-the-row-softmax",
)
def test_chances_are_the_softmax_of_the_similarity(student, rng, seed):
    """hard_negatives: each row draws for itself, with the softmax over the candidates of other concepts."""
    # every image of concept a has the similarity table[a, b] to every text of concept b; 300 rows of each concept
    table = torch.tensor([[9.0, 4.0, 5.5], [5.5, 9.0, 4.0], [5.5, 7.0, 9.0]])
    concepts = torch.from_numpy(rng.permutation(np.repeat(np.arange(3), 300)))
    counts, different = student.run(concepts_of_hard_negatives, table, concepts, seed)
    for name, count, scores in zip(("wrong_texts", "wrong_images"), counts, (table, table.T), strict=True):
        kind = name.removeprefix("wrong_")
        for own in range(3):
            first, second = (other for other in range(3) if other != own)
            one, two = float(scores[own, first]), float(scores[own, second])
            likely = math.exp(one) / (math.exp(one) + math.exp(two))
            slack = 6 * math.sqrt(likely * (1 - likely) / 300)
            share = float(count[own, first]) / 300
            if not abs(share - likely) < slack:
                raise AssertionError(
                    f"Of 300 rows that had to choose among 300 wrong {kind} of similarity {one} and 300 of {two}, a "
                    f"share of {share:.3f} got one of the first kind; a softmax gives {likely:.3f}, and chance moves "
                    f"it by {slack:.2f} at most.\nLikely cause: the chances are another function of the similarity, "
                    "or not every row draws for itself"
                )
    for name, number in zip(("wrong_texts", "wrong_images"), different, strict=True):
        if number < 300:
            raise AssertionError(
                f"The 900 entries of {name} name only {number} different rows, although in each row 300 candidates "
                "are equally close.\nLikely cause: the first of equal candidates is taken, or all rows share one draw"
            )


@points(1)
@catches(
    "true-pairs-only",
    "probabilities-as-logits",
    "matching-summed",
    "negatives-weigh-as-much-as-positives",
    "wrong-images-left-out",
    "wrong-rows-exchanged",
    "labels-turned",
    "matching-in-half-precision",
)
def test_three_questions_for_each_pair(student, rng):
    """matching_loss: the mean binary cross-entropy of the true pairs, the wrong texts and the wrong images."""
    for numbers, wrong_texts, wrong_images in (
        ([4, 9, 2], [1, 2, 0], [1, 2, 1]),
        ([3, 8, 3, 5, 8], [1, 0, 4, 1, 3], [4, 3, 3, 0, 2]),
        ([1, 2], [1, 0], [1, 0]),
    ):
        image, text, weight = normal(rng, len(numbers), 4), normal(rng, len(numbers), 4), normal(rng, 4, 4)
        arguments = [torch.tensor(values) for values in (numbers, wrong_texts, wrong_images)]
        loss, _ = student.run(matching_loss_of_a_matcher, weight, image, text, *arguments)
        what = f"matching_loss for concepts {numbers}, wrong_texts {wrong_texts} and wrong_images {wrong_images}"
        assert_shape(tensor_of(loss, what), (), what=what)
        wanted = expected_matching(weight, image, text, wrong_texts, wrong_images)
        cause = "the matcher returns logits; of 3 · batch pairs the true ones have the label 1; all count the same"
        assert_close(loss, wanted, what=what, cause=cause, **CLOSE)

    numbers, wrong_texts, wrong_images = [3, 8, 3, 5], [1, 0, 3, 2], [3, 2, 1, 0]
    image, text = (torch.from_numpy(rng.integers(-3, 4, (4, 4)) / 2).float() for _ in range(2))
    weight = torch.eye(4) / 2  # the logits are eighths, which half precision holds exactly
    arguments = [torch.tensor(values) for values in (numbers, wrong_texts, wrong_images)]
    exact, _ = student.run(matching_loss_of_a_matcher, weight, image, text, *arguments)
    for half in HALVES:
        name = str(half).removeprefix("torch.")
        loss, _ = student.run(matching_loss_of_a_matcher, weight, image, text, *arguments, name)
        what = f"matching_loss with a matcher that returns {name}"
        assert_dtype(loss, "float32", what=what)
        cause = "logarithms and means of half-precision numbers have few digits; compute with the logits in float32"
        assert_close(loss, exact, rtol=1e-5, atol=1e-5, what=what, cause=cause)


@points(1)
@catches("log-of-softmax", "log-of-sigmoid", "scale-detached", "matching-detached", "log-of-matching-sigmoid")
def test_extreme_logits_and_gradients(student, rng):
    """Confidently wrong pairs cost what they should, and everything that is learned gets its gradient."""
    axis = unit(normal(rng, 1, 3))
    wrong = torch.cat([axis, -axis, axis])
    numbers = [2, 6, 2]
    for dtype in (torch.float32, torch.float64):
        image, text = (-wrong).to(dtype), wrong.to(dtype)  # every true pair has the cosine -1
        log_scale, bias = scalar(math.log(100), dtype), scalar(-10.0, dtype)
        what = f"symmetric_info_nce in {dtype} at scale 100 with true pairs of cosine -1"
        loss = student.symmetric_info_nce(image, text, log_scale, torch.tensor(numbers))
        wanted = expected_info_nce(image, text, log_scale, numbers)
        cause = "" if tensor_of(loss, what).isfinite().all() else f"a softmax {ROUNDED}"
        assert_close(loss.double(), wanted, rtol=1e-4, atol=1e-3, what=what, cause=cause)
        what = f"sigmoid_loss in {dtype} at scale 100 with true pairs of cosine -1"
        loss = student.sigmoid_loss(image, text, log_scale, bias, torch.tensor(numbers))
        wanted = expected_sigmoid(image, text, log_scale, bias, numbers)
        cause = "" if tensor_of(loss, what).isfinite().all() else f"a sigmoid {ROUNDED}"
        assert_close(loss.double(), wanted, rtol=1e-4, atol=1e-3, what=what, cause=cause)
        weight = 120 * torch.eye(3, dtype=dtype)
        rows = [torch.tensor(values) for values in (numbers, [1, 0, 1], [1, 2, 1])]
        loss, _ = student.run(matching_loss_of_a_matcher, weight, image, text, *rows)
        what = f"matching_loss in {dtype} with logits near -120 for true pairs and 120 for wrong ones"
        wanted = expected_matching(weight, image, text, [1, 0, 1], [1, 2, 1])
        cause = "a pair with the logit 120 and the label 0 costs 120; a probability that was rounded to 1 does not know"
        assert_close(tensor_of(loss, what).double(), wanted, rtol=1e-4, atol=1e-3, what=what, cause=cause)

    raw = [normal(rng, 5, 3), normal(rng, 5, 3)]
    numbers = [3, 8, 3, 5, 8]
    for name, oracle, names, scalars in (
        ("symmetric_info_nce", expected_info_nce, ["log_scale"], [scalar(1.4)]),
        ("sigmoid_loss", expected_sigmoid, ["log_scale", "bias"], [scalar(1.1), scalar(-0.7)]),
    ):
        found, before, after = student.run(gradients_of_the_loss, name, *raw, scalars, torch.tensor(numbers))
        leaves = [tensor.clone().requires_grad_() for tensor in (*raw, *scalars)]
        loss = oracle(unit(leaves[0]), unit(leaves[1]), *leaves[2:], numbers)
        wanted = torch.autograd.grad(loss, leaves)
        compare_gradients(f"{name} of 5 pairs", ["image", "text", *names], found, wanted)
        for key, old, new in zip(("image", "text"), before, after, strict=True):
            assert_unchanged(new, old, what=f"{key} of {name}")

    weight = normal(rng, 3, 3)
    wrong_texts, wrong_images = [1, 0, 4, 1, 3], [4, 3, 3, 0, 2]
    rows = [torch.tensor(values) for values in (numbers, wrong_texts, wrong_images)]
    _, found = student.run(matching_loss_of_a_matcher, weight, *raw, *rows)
    leaves = [tensor.clone().requires_grad_() for tensor in (weight, *raw)]
    wanted = torch.autograd.grad(expected_matching(*leaves, wrong_texts, wrong_images), leaves)
    compare_gradients("matching_loss of 5 pairs", ["the matcher's weight", "image", "text"], found, wanted)


def compare_gradients(loss: str, names: list[str], found, wanted) -> None:
    for name, gradient, expected in zip(names, found, wanted, strict=True):
        what = f"gradient of {name} in {loss}"
        if gradient is None:
            raise AssertionError(f"The {what} is missing: the loss is cut off from it, for example by .item().")
        assert_close(
            gradient, expected, what=what, cause="something on its way is detached, or the value differs", **CLOSE
        )


@points(1)
@catches("one-concept-only-goes-through", "false-negatives-accepted", "shapes-unchecked", "nan-similarity-accepted")
def test_batches_that_make_no_sense_are_refused(student, rng, seed):
    """Shapes that do not fit, batches of one concept, NaN, and wrong rows that are right are refused."""
    image, text, concepts, one = normal(rng, 4, 3), normal(rng, 4, 3), torch.tensor([3, 8, 3, 5]), scalar(1.0)
    rows = torch.tensor([1, 0, 3, 2]), torch.tensor([3, 2, 1, 0])
    matcher_weight = normal(rng, 3, 3)
    for what, bad_image, bad_text, bad_concepts in (
        ("one image and 4 texts", image[:1], text, concepts),
        ("4 images and 3 texts", image, text[:3], concepts),
        ("widths 3 and 2", image, text[:, :2], concepts),
        ("two vectors", image[0], text[0], concepts[:3]),
        ("two 3-D tensors", image[None], text[None], concepts[:1]),
        ("no pairs", image[:0], text[:0], concepts[:0]),
        ("concepts of 3 of 4 pairs", image, text, concepts[:3]),
        ("one concept for 4 pairs", image, text, concepts[:1]),
        ("concepts of shape (4, 1)", image, text, concepts[:, None]),
    ):
        with raises(ValueError, what=f"symmetric_info_nce with {what}"):
            student.symmetric_info_nce(bad_image, bad_text, one, bad_concepts)
        with raises(ValueError, what=f"sigmoid_loss with {what}"):
            student.sigmoid_loss(bad_image, bad_text, one, one, bad_concepts)
        with raises(ValueError, what=f"matching_loss with {what}"):
            student.run(matching_loss_of_a_matcher, matcher_weight, bad_image, bad_text, bad_concepts, *rows)

    similarity = normal(rng, 4, 4)
    for what, bad_similarity, bad_concepts in (
        ("a batch of one concept", similarity, torch.tensor([6, 6, 6, 6])),
        ("a single pair", similarity[:1, :1], concepts[:1]),
        ("a similarity of shape (3, 4)", similarity[:3], concepts),
        ("a similarity of shape (4, 3)", similarity[:, :3], concepts),
        ("a similarity of one axis", similarity[0], concepts),
        ("similarities of 4 pairs and concepts of 3", similarity, concepts[:3]),
        ("NaN", similarity.masked_fill(torch.eye(4, dtype=torch.bool).roll(1, 1), math.nan), concepts),
        ("infinity", similarity.masked_fill(torch.eye(4, dtype=torch.bool).roll(1, 1), math.inf), concepts),
    ):
        with raises(ValueError, what=f"hard_negatives with {what}"):
            student.run(draw_hard_negatives, bad_similarity, bad_concepts, seed)

    for what, wrong_texts, wrong_images in (
        ("wrong_texts that name the row itself", torch.tensor([1, 1, 3, 2]), rows[1]),
        ("wrong_texts that name another place of the row's concept", torch.tensor([2, 0, 3, 2]), rows[1]),
        ("wrong_images that name another place of the row's concept", rows[0], torch.tensor([3, 2, 0, 0])),
        ("wrong_texts for 3 of 4 pairs", rows[0][:3], rows[1]),
        ("wrong_images of shape (1,)", rows[0], rows[1][:1]),
    ):
        with raises(ValueError, what=f"matching_loss with {what}"):
            student.run(matching_loss_of_a_matcher, matcher_weight, image, text, concepts, wrong_texts, wrong_images)
