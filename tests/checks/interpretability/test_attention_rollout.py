"""Checks of interpretability/attention_rollout. All random attention is in float64 and has rows that differ."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
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


def attention(rng: np.random.Generator, batch: int, heads: int, tokens: int, row_sum: float | None = 1.0) -> Tensor:
    """Positive attention of one layer, uneven; its rows sum to `row_sum`, or to anything (None)."""
    weights = torch.from_numpy(rng.uniform(0.05, 1.0, (batch, heads, tokens, tokens)) ** 3)
    return weights if row_sum is None else row_sum * weights / weights.sum(dim=-1, keepdim=True)


def rollout_of(student, attentions, **settings) -> Tensor:
    rollout = student.attention_rollout(attentions, **settings)
    if not isinstance(rollout, Tensor):
        raise AssertionError(f"The result should be a tensor; it is of type {type(rollout).__name__}.")
    return rollout


def mixing_by_loops(layer: Tensor, add_residual: bool, head_fusion: str) -> list[list[list[float]]]:
    """What one layer does, in Python's floats: (batch, tokens, tokens)."""
    fuse = {"mean": lambda values: sum(values) / len(values), "max": max, "min": min}[head_fusion]
    matrices = []
    for heads in layer.tolist():
        matrix = []
        for i in range(len(heads[0])):
            row = [fuse([head[i][j] for head in heads]) for j in range(len(heads[0]))]
            if add_residual:
                row = [(value + (i == j)) / 2 for j, value in enumerate(row)]
            matrix.append([value / sum(row) for value in row])
        matrices.append(matrix)
    return matrices


def rollout_over_paths(attentions: list[Tensor], add_residual: bool, head_fusion: str) -> Tensor:
    """Sum over all paths from an input token up to token i, of the product of the weights on the way."""
    layers = [mixing_by_loops(layer, add_residual, head_fusion) for layer in attentions]
    batch, tokens = len(layers[0]), len(layers[0][0])
    result = [[[0.0] * tokens for _ in range(tokens)] for _ in range(batch)]
    for sample in range(batch):
        for path in itertools.product(
            range(tokens), repeat=len(layers) + 1
        ):  # path[0] in the input, path[-1] at the top
            weight = 1.0
            for layer, (below, above) in zip(layers, itertools.pairwise(path), strict=True):
                weight *= layer[sample][above][below]
            result[sample][path[-1]][path[0]] += weight
    return torch.tensor(result, dtype=torch.float64)


@points(1)
@visible
def test_two_layers_worked_out_by_hand(student):
    """Two layers of two heads, worked out by hand; then the first one alone, with the larger of its heads."""
    first = torch.tensor([[[[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]], [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]]])
    second = torch.tensor([[[[0, 0, 1.0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]]])
    rollout = rollout_of(student, [first, second])
    expected = torch.tensor([[[0.375, 0.25, 0.375], [0.375, 0.53125, 0.09375], [0.25, 0.34375, 0.40625]]])
    assert_close(rollout, expected, what="rollout of both layers")
    rollout = rollout_of(student, [first], add_residual=False, head_fusion="max")
    expected = torch.tensor([[[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.5, 0.5]]])
    assert_close(rollout, expected, what='rollout of the first layer, add_residual=False, head_fusion="max"')


def attention_rollout_and_its_arguments(student, attentions, add_residual, head_fusion):
    """The result, and the arguments after the call and after the result has been overwritten."""
    rollout = student.attention_rollout(attentions, add_residual=add_residual, head_fusion=head_fusion)
    kept = rollout.detach().clone()
    after_the_call = [layer.clone() for layer in attentions]
    rollout.detach().fill_(7)
    return kept, after_the_call, list(attentions)


@points(1)
@catches(
    "fused-over-the-batch",
    "identity-in-float32",
    "layers-taken-from-the-list",
    "normalised-in-place",
    "one-layer-handed-back",
)
def test_one_matrix_for_each_sample_and_the_arguments_stay(student, rng):
    """There is one matrix for each sample, in the dtype of the attention, and the arguments stay as they are."""
    for heads, dtype, count in (
        (3, torch.float32, 4),
        (1, torch.float32, 1),
        (3, torch.float64, 4),
        (3, torch.bfloat16, 1),
        (1, torch.bfloat16, 4),
    ):
        layers = [attention(rng, 2, heads, 5, row_sum=0.9).to(dtype) for _ in range(count)]
        for kind, add_residual, head_fusion in ((list, True, "mean"), (tuple, False, "max")):
            rollout, after_the_call, at_the_end = student.run(
                attention_rollout_and_its_arguments, kind(layers), add_residual, head_fusion
            )
            case = f"rollout of a {kind.__name__} of {count} {dtype} layers of shape (2, {heads}, 5, 5)"
            assert_shape(rollout, (2, 5, 5), what=case)
            assert_dtype(rollout, str(dtype).removeprefix("torch."), what=case)
            if len(after_the_call) != count:
                raise AssertionError(f"After the call the list has {len(after_the_call)} layers; it had {count}.")
            for index, (before, after, last) in enumerate(zip(layers, after_the_call, at_the_end, strict=True)):
                assert_unchanged(after, before, what=f"attention of layer {index}")
                if not torch.equal(last, before):
                    raise AssertionError(f"Writing into the {case} changed layer {index}: the two share memory.")


@points(1)
@catches("softmax-again", "columns-normalised", "residual-always", "transposed")
def test_one_layer_without_residual_is_that_layer(student, rng):
    """One layer of one head, without residual, comes back as it is."""
    for batch, tokens in ((2, 4), (3, 6)):
        layer = attention(rng, batch, 1, tokens)
        rollout = rollout_of(student, [layer], add_residual=False)
        cause = "there is nothing to add or to multiply, and the rows sum to 1 already"
        assert_close(
            rollout, layer[:, 0], what=f"rollout of one layer of shape ({batch}, 1, {tokens}, {tokens})", cause=cause
        )


@points(1)
@catches("no-residual", "little-residual")
def test_the_residual_is_half_of_a_layer(student, rng):
    """With the residual, one layer becomes half of itself plus half of the identity, which is also the default."""
    layer = attention(rng, 2, 1, 4)
    expected = layer[:, 0] / 2
    for token in range(4):
        expected[:, token, token] += 0.5
    for settings in ({"add_residual": True}, {}):
        case = f"rollout of one layer with {settings or 'the default settings'}"
        assert_close(
            rollout_of(student, [layer], **settings),
            expected,
            what=case,
            cause="each token keeps half of itself; the other half is what it attends to",
        )


@points(2)
@catches(
    "last-layer-only",
    "reversed-product",
    "mean-over-layers",
    "sum-over-layers",
    "entry-by-entry",
    "heads-rolled-out-separately",
    "first-layer-left-out",
)
def test_later_layers_are_multiplied_from_the_left(student, rng):
    """The result adds up all paths from an input token to an output token, through all layers and in their order."""
    cause = (
        "token i takes an average of what the layer below has left at each token: the later layer stands on the left"
    )
    for count, heads, add_residual in ((2, 1, False), (3, 1, False), (3, 2, True), (2, 3, True)):
        layers = [attention(rng, 2, heads, 4) for _ in range(count)]
        assert_close(
            rollout_of(student, layers, add_residual=add_residual),
            rollout_over_paths(layers, add_residual, "mean"),
            what=f"rollout of {count} layers of {heads} head{'s' * (heads > 1)}, add_residual={add_residual}",
            cause=cause,
        )


@points(1)
@catches("always-the-mean", "not-normalised", "normalised-before-the-residual", "normalised-at-the-end")
def test_heads_are_fused_and_rows_divided_by_their_sum(student, rng):
    """Heads become their mean, maximum or minimum, then comes the residual, then each row is divided by its sum."""
    # one layer, or the same layer twice, so that the order of the layers plays no part
    for count, head_fusion, add_residual in itertools.product((1, 2), ("max", "min", "mean"), (False, True)):
        layer = attention(rng, 2, 3, 4, row_sum=None)
        assert_close(
            rollout_of(student, [layer] * count, add_residual=add_residual, head_fusion=head_fusion),
            rollout_over_paths([layer] * count, add_residual, head_fusion),
            what=f"rollout of {'one layer' if count == 1 else 'one layer, used twice'} of 3 heads, "
            f"head_fusion={head_fusion!r}, add_residual={add_residual}",
            cause="first fuse, then half and half with the identity, then divide the rows; all of it in every layer",
        )


@points(1)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=3, unique=True),
    count=st.integers(1, 5),
    add_residual=st.booleans(),
    head_fusion=st.sampled_from(["mean", "max", "min"]),
    draw=st.integers(0, 2**32 - 1),
)
def test_random_stacks_come_out_as_chains_of_matrices(student, sizes, count, add_residual, head_fusion, draw):
    """Random stacks of layers come out as chains of matrices, and the rows sum to 1."""
    rng = np.random.default_rng(draw)
    batch, heads, tokens = sizes
    layers = [attention(rng, batch, heads, tokens, row_sum=None) for _ in range(count)]
    rollout = rollout_of(student, layers, add_residual=add_residual, head_fusion=head_fusion)
    case = (
        f"rollout of {count} layer{'s' * (count > 1)} of shape {(batch, heads, tokens, tokens)}, "
        f"head_fusion={head_fusion!r}, add_residual={add_residual}"
    )
    assert_shape(rollout, (batch, tokens, tokens), what=case)
    mixings = np.array([mixing_by_loops(layer, add_residual, head_fusion) for layer in layers])  # (layers, batch, ...)
    for sample in range(batch):
        chain = list(mixings[::-1, sample])
        expected = np.linalg.multi_dot(chain) if len(chain) > 1 else chain[0]
        assert_close(rollout[sample], torch.from_numpy(expected), what=f"sample {sample} of the {case}")


@points(1)
@catches("residual-once")
def test_looking_at_oneself_at_everybody_and_only_back(student, rng):
    """Identity attention gives the identity, uniform attention uniform rows, causal attention a causal rollout."""
    identity = torch.eye(5, dtype=torch.float64)
    alone = identity.expand(2, 3, 5, 5).contiguous()
    uniform = torch.full((2, 3, 5, 5), 0.2, dtype=torch.float64)
    for add_residual in (False, True):
        settings = f"add_residual={add_residual}"
        rollout = rollout_of(student, [alone] * 4, add_residual=add_residual)
        cause = "every token looks at itself only"
        assert_close(rollout, identity.expand(2, 5, 5), what=f"rollout of identities, {settings}", cause=cause)
        rollout = rollout_of(student, [uniform] * 60, add_residual=add_residual)
        cause = "after 60 layers of uniform attention every token consists of all tokens in equal parts"
        assert_close(rollout, uniform[:, 0], what=f"rollout of 60 uniform layers, {settings}", cause=cause)

        layers = [attention(rng, 2, 3, 5).tril() for _ in range(3)]
        rollout = rollout_of(student, layers, add_residual=add_residual)
        assert_shape(rollout, (2, 5, 5), what="rollout of three causal layers")
        hidden = rollout[:, torch.ones(5, 5).triu(1).bool()]
        cause = "no token has looked at a later one in any layer"
        assert_close(
            hidden,
            torch.zeros_like(hidden),
            atol=0,
            what=f"share of later tokens in causal layers, {settings}",
            cause=cause,
        )


@points(1)
@catches(
    "no-layer-is-the-identity",
    "unknown-fusion-is-mean",
    "negative-entries-accepted",
    "nan-accepted",
    "infinity-accepted",
    "row-of-zeros-divided",
    "row-of-zeros-behind-the-residual",
    "shapes-stretched",
)
def test_what_is_no_attention_is_refused(student, rng):
    """No layer, other shapes, negative or infinite entries, NaN, rows of zeros and unknown fusions are refused."""
    good = attention(rng, 2, 3, 4)

    def changed(value: float, *index) -> Tensor:
        layer = good.clone()
        layer[index] = value
        return layer

    disjoint = torch.eye(4, dtype=torch.float64).expand(2, 3, 4, 4).clone()
    disjoint[1, 2, 3] = torch.tensor([1.0, 0, 0, 0])  # the heads of one token look at different tokens
    for what, layers, head_fusion in (
        ("no layer", [], "mean"),
        ("an empty tuple", (), "mean"),
        ('head_fusion="median"', [good], "median"),
        ('head_fusion=""', [good, good], ""),
        ("a 3-D tensor", [good[:, 0]], "mean"),
        ("a 5-D tensor", [good[None]], "mean"),
        ("attention of 4 queries to 3 keys", [good[..., :3].contiguous()], "mean"),
        ("attention of 3 queries to 4 keys", [good[:, :, :3].contiguous()], "mean"),
        ("attention of 4 queries to 1 key", [good[..., :1].contiguous()], "mean"),
        ("4 tokens, then 5", [good, attention(rng, 2, 3, 5)], "mean"),
        ("4 tokens, then 1", [good, torch.ones(2, 3, 1, 1, dtype=torch.float64)], "mean"),
        ("2 samples, then 1", [good, good, good[:1]], "mean"),
        ("1 sample, then 2", [good[:1], good], "mean"),
        ("3 heads, then 1", [good, good[:, :1]], "max"),
        ("a negative entry", [good, changed(-0.01, 1, 2, 3, 0)], "mean"),
        ("a negative entry in one of three heads", [changed(-1e-9, 0, 1, 2, 2)], "max"),
        ("NaN", [changed(float("nan"), 1, 0, 2, 1), good], "mean"),
        ("NaN in the last layer", [good, good, changed(float("nan"), 0, 2, 0, 0)], "max"),
        ("infinity", [changed(float("inf"), 0, 0, 0, 0)], "mean"),
        ("infinity in one of three heads", [good, changed(float("inf"), 1, 1, 1, 1)], "min"),
        ("a token that attends to nothing", [good, changed(0.0, 1, slice(None), 2)], "mean"),
        ("a token whose heads look at different tokens", [disjoint], "min"),
    ):
        for add_residual in (False, True):
            with raises(ValueError, what=f"attention_rollout with {what}, add_residual={add_residual}"):
                student.attention_rollout(layers, add_residual=add_residual, head_fusion=head_fusion)
    # what looks similar and is allowed
    accepted = rollout_of(student, [changed(0.0, 1, 2, 2)], add_residual=False)
    assert_close(accepted.sum(dim=-1), torch.ones(2, 4), what="row sum when one of three heads attends to nothing")
    assert_equal(
        bool(torch.isfinite(accepted).all()), True, what="finiteness when one of three heads attends to nothing"
    )
