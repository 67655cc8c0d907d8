"""The reference against `nn.MultiheadAttention` and against one head, and the asserts the student sees."""

from __future__ import annotations

from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from torch import nn

from reference.attention import multi_head
from reference.attention.multi_head import multi_head_self_attention

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
MASK = np.array([[True, True, False, True, False], [True] * 5, [False, False, False, True, False]])


def inputs(width: int) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 5, width))
    return x, [rng.normal(size=(width, width)) for _ in range(4)] + [rng.normal(size=width) for _ in range(4)]


@pytest.mark.parametrize("n_heads", [1, 2, 3, 6])
@pytest.mark.parametrize("mask", [None, MASK])
def test_equals_multihead_attention_with_copied_weights(n_heads, mask) -> None:
    x, parameters = inputs(6)
    Wq, Wk, Wv, Wo, bq, bk, bv, bo = map(torch.from_numpy, parameters)
    library = nn.MultiheadAttention(6, n_heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        library.in_proj_weight.copy_(torch.cat([Wq, Wk, Wv]))
        library.in_proj_bias.copy_(torch.cat([bq, bk, bv]))
        library.out_proj.weight.copy_(Wo)
        library.out_proj.bias.copy_(bo)
        tokens = torch.from_numpy(x)
        padding = None if mask is None else torch.from_numpy(~mask)
        expected = library(tokens, tokens, tokens, key_padding_mask=padding, average_attn_weights=False)
    output, weights = multi_head_self_attention(x, *parameters, n_heads, mask)
    np.testing.assert_allclose(output, expected[0].numpy(), **CLOSE)
    np.testing.assert_allclose(weights, expected[1].numpy(), **CLOSE)


def test_sample_without_keys_gets_the_output_bias() -> None:
    x, parameters = inputs(6)
    mask = MASK & np.array([[True], [False], [True]])
    output, weights = multi_head_self_attention(x, *parameters, 2, mask)
    assert not weights[1].any()
    np.testing.assert_array_equal(output[1], np.tile(parameters[-1], (5, 1)))
    others = multi_head_self_attention(x[[0, 2]], *parameters, 2, mask[[0, 2]])
    np.testing.assert_allclose(output[[0, 2]], others[0], **CLOSE)


def test_permuting_the_tokens_permutes_the_result() -> None:
    x, parameters = inputs(6)
    order = np.array([3, 0, 4, 2, 1])
    output, weights = multi_head_self_attention(x, *parameters, 3, MASK)
    shuffled_output, shuffled_weights = multi_head_self_attention(x[:, order], *parameters, 3, MASK[:, order])
    np.testing.assert_allclose(shuffled_output, output[:, order], **CLOSE)
    np.testing.assert_allclose(shuffled_weights, weights[:, :, order][..., order], **CLOSE)


def test_content_of_padding_is_irrelevant_to_the_other_tokens() -> None:
    x, parameters = inputs(6)
    changed = np.where(MASK[:, :, None], x, 1e3)
    before, _ = multi_head_self_attention(x, *parameters, 2, MASK)
    after, _ = multi_head_self_attention(changed, *parameters, 2, MASK)
    np.testing.assert_array_equal(before[MASK], after[MASK])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_everything_is_computed_in_float64(dtype) -> None:
    x, parameters = inputs(6)
    narrow = [(3 * array).astype(dtype) for array in (x, *parameters)]
    result = multi_head_self_attention(*narrow, 2)
    exact = multi_head_self_attention(*(array.astype(np.float64) for array in narrow), 2)
    for part, exact_part in zip(result, exact, strict=True):
        assert part.dtype == np.float64
        np.testing.assert_array_equal(part, exact_part)


def test_bad_input() -> None:
    x, parameters = inputs(6)
    for n_heads in (4, 0, -2):
        with pytest.raises(ValueError, match="heads"):
            multi_head_self_attention(x, *parameters, n_heads)
    with pytest.raises(ValueError, match="batch, tokens, width"):
        multi_head_self_attention(x[0], *parameters, 2)
    for position in range(8):
        changed = list(parameters)
        changed[position] = changed[position][:1]
        with pytest.raises(ValueError, match="must be"):
            multi_head_self_attention(x, *changed, 2)
    for mask in (MASK[:, :4], MASK[:1], MASK[0]):
        with pytest.raises(ValueError, match="does not fit"):
            multi_head_self_attention(x, *parameters, 2, mask)
    with pytest.raises(TypeError, match="boolean"):
        multi_head_self_attention(x, *parameters, 2, MASK.astype(float))


def test_worked_example_of_the_lesson() -> None:
    identity, nothing = np.eye(2), np.zeros(2)
    matrices, biases = (np.log(3) * identity, identity, identity, identity), (nothing,) * 4
    output, _ = multi_head_self_attention(identity[None], *matrices, *biases, 2)
    np.testing.assert_allclose(output, [[[3 / 4, 1 / 2], [1 / 2, 3 / 4]]], **CLOSE)


def test_visible_checks_pass() -> None:
    notebook = jupytext.read(Path(multi_head.__file__))
    cells = [cell.source for cell in notebook.cells if "visible-checks" in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0] and not cells[0].startswith("#")
    exec(cells[0], dict(vars(multi_head)))
