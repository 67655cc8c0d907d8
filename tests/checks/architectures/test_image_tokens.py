"""Checks of architectures/image_tokens. Every value is copied, so all comparisons are exact."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from grader.checking import (
    assert_claims,
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
    "accepting_is_enough": False,
    "input_implies_output": False,
    "clip_only_scores": True,
    "format_is_modality": False,
    "connector_learns_first": True,
    "loss_on_image_seats": False,
    "resampler_fixes_count": True,
    "no_gap_after_training": False,
}
INPUTS = ("input_ids", "token_embeds", "image_embeds")


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).float()


def prompts(rng: np.random.Generator, length: int, seats: list[int], image_token_id: int) -> Tensor:
    """Ids of a batch in which sample i has seats[i] placeholders, at random places."""
    ids = torch.from_numpy(rng.integers(10, 90, (len(seats), length)))
    for sample, count in enumerate(seats):
        ids[sample, rng.permutation(length)[:count]] = image_token_id
    return ids


def merged_by_loops(input_ids: Tensor, token_embeds: Tensor, rows: Tensor, image_token_id: int) -> Tensor:
    """Seat after seat; `rows` is (rows, width)."""
    waiting = list(rows)
    samples = []
    for ids, tokens in zip(input_ids.tolist(), token_embeds, strict=True):
        samples.append([waiting.pop(0) if i == image_token_id else token for i, token in zip(ids, tokens, strict=True)])
    return torch.stack([torch.stack(sample) for sample in samples])


def merge(student, input_ids: Tensor, token_embeds: Tensor, image_embeds: Tensor, image_token_id: int) -> Tensor:
    merged = student.merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id)
    if not isinstance(merged, Tensor):
        raise AssertionError(f"The result should be a tensor; it is of type {type(merged).__name__}.")
    return merged


@points(1)
@visible
def test_three_samples_with_one_no_and_three_seats(student):
    """One image row goes to the first sample, none to the second, three to the third."""
    ids = torch.tensor([[3, 9, 4, 5], [3, 4, 5, 6], [9, 9, 3, 9]])
    tokens = torch.arange(24.0).reshape(3, 4, 2) / 100
    image = torch.tensor([[[1.0, -1.0], [2.0, -2.0]], [[3.0, -3.0], [4.0, -4.0]]])
    merged, tokens_after = student.run(merge_and_look_at_the_inputs, ids, tokens, image, 9)[0:3:2]
    assert_shape(merged, (3, 4, 2), what="result", cause="the length of the sequence stays as it is")
    expected = tokens.clone()
    expected[0, 1] = torch.tensor([1.0, -1.0])
    expected[2, 0], expected[2, 1], expected[2, 3] = image[0, 1], image[1, 0], image[1, 1]
    assert_equal(merged, expected, what="result")
    assert_unchanged(tokens_after, tokens, what="token_embeds")


@points(3)
@catches("published-claims", "generates-what-it-reads")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


def merge_and_look_at_the_inputs(student, input_ids, token_embeds, image_embeds, image_token_id):
    """The result, and the three inputs after the call."""
    merged = student.merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id)
    return merged, input_ids, token_embeds, image_embeds


@points(1)
@catches("prepended", "written-in-place", "dtype-of-the-image")
def test_the_result_looks_like_the_token_embeddings(student, rng):
    """The result has the shape and dtype of the token embeddings, whatever those of the image; inputs stay the same."""
    dtypes = (torch.float32, torch.float64, torch.bfloat16)
    for dtype in dtypes:
        for image_dtype in dtypes:
            case = f"{dtype} token embeddings and a {image_dtype} image"
            ids = prompts(rng, 7, [2, 2, 2], image_token_id=5)
            tokens, image = normal(rng, 3, 7, 4).to(dtype), normal(rng, 3, 2, 4).to(image_dtype)
            merged, *afterwards = student.run(merge_and_look_at_the_inputs, ids, tokens, image, 5)
            assert_shape(merged, (3, 7, 4), what=f"result for {case}", cause="an image row replaces a placeholder")
            assert_dtype(merged, str(dtype).removeprefix("torch."), what=f"result for {case}")
            for name, before, after in zip(INPUTS, (ids, tokens, image), afterwards, strict=True):
                assert_unchanged(after, before, what=f"{name} ({case})")


@points(1)
@catches("added", "multiplied-by-a-mask", "column-major", "every-sample-starts-over", "patches-before-images")
def test_rows_are_seated_sample_by_sample(student, rng):
    """Row number n sits on seat number n, counted sample by sample and from left to right, alone."""
    # row n holds the number n + 1 in all its columns, so that a value says which row it came from
    width, seats = 3, [1, 4, 0, 3]
    rows = torch.arange(1.0, 9.0)[:, None].expand(8, width).contiguous()
    ids = prompts(rng, 6, seats, image_token_id=2)
    tokens = -1 - torch.arange(4.0 * 6)[:, None].expand(24, width).reshape(4, 6, width)
    for name, image in (("(4, 2, 3)", rows.reshape(4, 2, width)), ("(8, 3)", rows)):
        merged = merge(student, ids, tokens, image, 2)
        assert_shape(merged, (4, 6, width), what=f"result for image_embeds of shape {name}")
        assert_equal(
            merged,
            merged_by_loops(ids, tokens, rows, 2),
            what=f"result for {seats} seats in the four samples, image_embeds of shape {name}",
            cause="a row replaces what is on its seat, and the seats are counted through the batch row by row",
        )
    for value in (float("nan"), float("inf")):
        tokens_with_holes = tokens.masked_fill((ids == 2)[..., None], value)
        merged = merge(student, ids, tokens_with_holes, rows, 2)
        assert_equal(
            merged,
            merged_by_loops(ids, tokens, rows, 2),
            what=f"result for a placeholder whose embedding is {value}",
            cause="0 times NaN or infinity is NaN; a seat has to be written, not masked by multiplication",
        )


@points(1)
@given(
    sizes=st.lists(st.integers(2, 6), min_size=3, max_size=3, unique=True),
    image_token_id=st.sampled_from([0, -200, 7, 151655]),
    id_dtype=st.sampled_from([torch.int64, torch.int32]),
    draw=st.integers(0, 2**32 - 1),
)
def test_random_batches_are_merged_as_by_two_loops(student, sizes, image_token_id, id_dtype, draw):
    """Random batches come out as from two loops over samples and positions, for any placeholder id."""
    rng = np.random.default_rng(draw)
    batch, length, width = sizes
    seats = rng.integers(0, length + 1, batch).tolist()
    ids = prompts(rng, length, seats, image_token_id).to(id_dtype)
    tokens, rows = normal(rng, batch, length, width), normal(rng, sum(seats), width)
    merged = merge(student, ids, tokens, rows, image_token_id)
    case = f"ids of shape {(batch, length)}, {seats} seats, width {width}, placeholder {image_token_id}"
    assert_shape(merged, (batch, length, width), what=f"result for {case}")
    assert_equal(merged, merged_by_loops(ids, tokens, rows, image_token_id), what=f"result for {case}")


def merge_and_overwrite_the_result(student, input_ids, token_embeds, image_embeds, image_token_id):
    """The result as it was, and the inputs after the result has been filled with a number."""
    merged = student.merge_multimodal_embeddings(input_ids, token_embeds, image_embeds, image_token_id)
    kept = merged.clone()
    merged.fill_(1234)
    return kept, token_embeds, image_embeds


@points(1)
@catches("input-handed-back")
def test_without_seats_the_result_is_a_copy(student, rng):
    """Without a seat the result is an independent copy of the token embeddings; with seats alone, of the image rows."""
    tokens = normal(rng, 2, 5, 3)
    full = torch.full((2, 5), 4)
    for case, ids, image in (
        ("image_embeds of shape (0, 3)", prompts(rng, 5, [0, 0], 4), torch.zeros(0, 3)),
        ("image_embeds of shape (0, 6, 3)", prompts(rng, 5, [0, 0], 4), torch.zeros(0, 6, 3)),
        ("a seat at every position", full, normal(rng, 2, 5, 3)),
    ):
        merged, tokens_after, image_after = student.run(merge_and_overwrite_the_result, ids, tokens, image, 4)
        assert_equal(merged, image if ids is full else tokens, what=f"result for {case}")
        for name, before, after in (("token_embeds", tokens, tokens_after), ("image_embeds", image, image_after)):
            if not torch.equal(before, after):
                raise AssertionError(f"Writing into the result changed {name} ({case}): the two share memory.")


@points(1)
@catches("surplus-dropped", "missing-repeated", "numbers-counted-instead-of-rows", "ids-broadcast")
def test_what_does_not_fit_is_refused(student, rng):
    """Too many or too few image rows, other widths and other shapes are refused."""
    tokens, image = normal(rng, 2, 6, 4), normal(rng, 4, 4)
    ids = torch.tensor([[1, 8, 8, 1, 1, 1], [8, 1, 1, 1, 1, 8]])  # 4 seats
    few = torch.tensor([[1, 8, 8, 1, 1, 1], [1, 1, 1, 1, 1, 1]])  # 2 seats
    none = torch.ones_like(ids)
    for what, bad_ids, bad_tokens, bad_image in (
        ("5 rows for 4 seats", ids, tokens, normal(rng, 5, 4)),
        ("2 images of 3 rows for 4 seats", ids, tokens, normal(rng, 2, 3, 4)),
        ("2 rows for 4 seats", ids, tokens, normal(rng, 2, 4)),
        ("1 row for 4 seats", ids, tokens, normal(rng, 1, 4)),
        ("no row for 4 seats", ids, tokens, torch.zeros(0, 4)),
        ("4 rows for no seat", none, tokens, image),
        ("rows of width 3 in place of 4", ids, tokens, normal(rng, 4, 3)),
        ("rows of width 1 in place of 4", ids, tokens, normal(rng, 4, 1)),
        ("4 rows of width 2 for 2 seats of width 4", few, tokens, normal(rng, 4, 2)),
        ("2 rows of width 8 for 4 seats of width 4", ids, tokens, normal(rng, 2, 8)),
        ("2 images of 2 rows of width 2 for 2 seats of width 4", few, tokens, normal(rng, 2, 2, 2)),
        ("1-D image_embeds for one seat", torch.tensor([[8, 1]]), normal(rng, 1, 2, 4), normal(rng, 4)),
        ("4-D image_embeds", ids, tokens, normal(rng, 2, 1, 2, 4)),
        ("ids of shape (1, 6) for 2 samples", ids[1:], tokens, image[:2]),
        ("ids of shape (2, 1) for 6 positions", ids[:, 1:2], tokens, image[:1]),
        ("ids of shape (2, 5) for 6 positions", ids[:, 1:], tokens, image[:3]),
        ("ids of shape (6, 2) for (2, 6, 4) token_embeds", ids.T.contiguous(), tokens, image),
        ("ids of shape (6,)", ids[0], tokens, image[:2]),
        ("ids of shape (2, 6, 4)", ids[..., None].expand(2, 6, 4).contiguous(), tokens, normal(rng, 16, 4)),
    ):
        with raises(ValueError, what=f"merge_multimodal_embeddings with {what}"):
            student.merge_multimodal_embeddings(bad_ids, bad_tokens, bad_image, 8)
    with raises(TypeError, ValueError, what="merge_multimodal_embeddings with ids of dtype float32"):
        student.merge_multimodal_embeddings(ids.float(), tokens, image, 8)


def gradients_of_the_merged_embeddings(
    student, input_ids, token_embeds, image_embeds, image_token_id, direction, tokens_are_frozen
):
    """Gradients of the sum of `direction` times the result; None where there is none."""
    tokens = token_embeds.clone().requires_grad_(not tokens_are_frozen)
    image = image_embeds.clone().requires_grad_()
    merged = student.merge_multimodal_embeddings(input_ids, tokens, image, image_token_id)
    if not merged.requires_grad:
        return None, None
    (merged * direction).sum().backward()
    return tokens.grad, image.grad


@points(1)
@catches("detached", "token-embeds-detached", "projector-cut-off")
def test_gradients_reach_the_image_and_the_other_tokens(student, rng):
    """The gradient of a seat goes to its image row, every other one to its token embedding."""
    ids = prompts(rng, 5, [3, 0, 1], image_token_id=6)
    tokens, image, direction = normal(rng, 3, 5, 4), normal(rng, 2, 2, 4), normal(rng, 3, 5, 4)
    is_seat = ids == 6
    expected_tokens = direction.clone()
    expected_tokens[is_seat] = 0.0
    expected_image = torch.stack([direction[b, i] for b in range(3) for i in range(5) if is_seat[b, i]])
    for frozen in (False, True):
        case = "token_embeds frozen" if frozen else "token_embeds and image_embeds both require a gradient"
        token_gradient, image_gradient = student.run(
            gradients_of_the_merged_embeddings, ids, tokens, image, 6, direction, frozen
        )
        if image_gradient is None:
            raise AssertionError(
                f"No gradient reaches image_embeds ({case}), so a connector behind it could not learn. "
                "Look for a step that autograd does not follow: detach, no_grad, .data, .tolist() or a new tensor."
            )
        assert_equal(image_gradient, expected_image.reshape(2, 2, 4), what=f"gradient of image_embeds ({case})")
        if frozen:
            continue
        if token_gradient is None:
            raise AssertionError(f"No gradient reaches token_embeds ({case}), although they fill all other positions.")
        assert_equal(token_gradient, expected_tokens, what=f"gradient of token_embeds ({case})")
