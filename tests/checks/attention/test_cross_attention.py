"""Checks of attention/cross_attention."""

from __future__ import annotations

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
    catches,
    points,
    raises,
    visible,
)


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape))


def random_parameters(rng: np.random.Generator, q_dim: int, kv_dim: int, d_model: int) -> dict[str, Tensor]:
    """Weights and biases of the four layers. No bias is 0, so that forgetting one shows."""
    ends = {
        "q_proj": (q_dim, d_model),
        "k_proj": (kv_dim, d_model),
        "v_proj": (kv_dim, d_model),
        "out_proj": (d_model, q_dim),
    }
    parameters = {f"{name}.weight": normal(rng, into, out_of) / out_of**0.5 for name, (out_of, into) in ends.items()}
    return parameters | {f"{name}.bias": normal(rng, into) for name, (_, into) in ends.items()}


def attend_with_given_weights(student, n_heads, parameters, query, context, context_mask=None):
    import torch

    d_model = len(parameters["q_proj.weight"])
    module = student.CrossAttention(query.shape[-1], context.shape[-1], d_model, n_heads).to(query.dtype)
    with torch.no_grad():
        for name, value in parameters.items():
            layer, kind = name.split(".")
            getattr(getattr(module, layer), kind).copy_(value)
        output, weights = module(query, context, context_mask=context_mask)
    return output.detach(), weights.detach()


def attend_by_loops(
    n_heads: int, parameters: dict[str, Tensor], query: Tensor, context: Tensor, context_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output and weights of one sample, with query (queries, q_dim) and context (keys, kv_dim), one query at a time."""

    def project(name: str, tokens: Tensor) -> Tensor:
        return tokens @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]

    q, k, v = project("q_proj", query), project("k_proj", context), project("v_proj", context)
    width = q.shape[-1] // n_heads
    seen = [j for j in range(len(context)) if context_mask is None or context_mask[j]]
    weights = [[torch.zeros(len(context), dtype=query.dtype) for _ in query] for _ in range(n_heads)]
    rows = []
    for i in range(len(query)):
        heads = []
        for h in range(n_heads):
            block = slice(h * width, (h + 1) * width)
            head = torch.zeros(width, dtype=query.dtype)
            if seen:
                exponentials = {j: torch.exp((q[i, block] * k[j, block]).sum() / width**0.5) for j in seen}
                total = sum(exponentials.values())
                for j in seen:
                    head = head + exponentials[j] / total * v[j, block]
                    weights[h][i][j] = (exponentials[j] / total).detach()
            heads.append(head)
        rows.append(project("out_proj", torch.cat(heads)))
    return torch.stack(rows), torch.stack([torch.stack(head) for head in weights])


@points(1)
@visible
def test_queries_of_zero_take_the_average(student, rng):
    """Queries that are all 0 take the plain average of the image tokens they may see."""
    parameters = {name: value.float() for name, value in random_parameters(rng, 5, 7, 6).items()}
    for kind in ("weight", "bias"):
        parameters[f"q_proj.{kind}"] = torch.zeros_like(parameters[f"q_proj.{kind}"])
    text, image = normal(rng, 3, 2, 5).float(), normal(rng, 3, 4, 7).float()
    mask = torch.tensor([[True, True, True, True], [True, False, True, False], [False, False, False, False]])
    output, weights = student.run(attend_with_given_weights, 2, parameters, text, image, mask)

    share = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert_close(weights, share[:, None, None, :].expand(3, 2, 2, 4), what="weight tensor")
    assert_shape(output, (3, 2, 5), what="output")

    def project(name: str, tokens: Tensor) -> Tensor:
        return tokens @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]

    for sample, average in ((0, image[0].mean(dim=0)), (1, image[1, [0, 2]].mean(dim=0))):
        expected = project("out_proj", project("v_proj", average)).expand(2, 5)
        assert_close(output[sample], expected, rtol=1e-4, atol=1e-5, what=f"output of sample {sample}")
    assert_close(output[2], parameters["out_proj.bias"].expand(2, 5), what="output of sample 2")


def describe_module(student, q_dim, kv_dim, d_model, n_heads, query, context):
    import torch

    module = student.CrossAttention(q_dim, kv_dim, d_model, n_heads)
    shapes = {name: list(parameter.shape) for name, parameter in module.named_parameters()}
    results = [module.to(dtype)(query.to(dtype), context.to(dtype)) for dtype in (torch.float32, torch.float64)]
    return shapes, [(output.detach(), weights.detach()) for output, weights in results]


@points(1)
@catches("ready-made")
def test_four_projections_and_the_announced_shapes(student, rng):
    """The module owns the four projections, and returns output and weights in the announced shapes and dtypes."""
    shapes, results = student.run(describe_module, 5, 7, 6, 3, normal(rng, 2, 4, 5), normal(rng, 2, 8, 7))
    expected_shapes = {name: list(value.shape) for name, value in random_parameters(rng, 5, 7, 6).items()}
    for name, shape in expected_shapes.items():
        if name not in shapes:
            raise AssertionError(f"The module has no parameter {name}; it has {', '.join(sorted(shapes)) or 'none'}.")
        assert_equal(shapes[name], shape, what=f"shape of {name}")
    for (output, weights), dtype in zip(results, ("float32", "float64"), strict=True):
        assert_shape(output, (2, 4, 5), what="output for (2, 4, 5) queries and a (2, 8, 7) context")
        assert_shape(weights, (2, 3, 4, 8), what="weight tensor for 3 heads, 4 queries and 8 keys")
        assert_dtype(output, dtype, what=f"output of a {dtype} module")
        assert_dtype(weights, dtype, what=f"weight tensor of a {dtype} module")


@points(1)
@catches("softmax-over-queries")
def test_every_text_token_shares_its_attention_among_the_image_tokens(student, rng):
    """Every text token shares its attention among the image tokens. (One head of width 1, where √w = 1.)"""
    query, context, parameters = normal(rng, 2, 3, 4), normal(rng, 2, 5, 6), random_parameters(rng, 4, 6, 1)
    output, weights = student.run(attend_with_given_weights, 1, parameters, query, context)
    assert_shape(weights, (2, 1, 3, 5), what="weight tensor")
    assert_shape(output, (2, 3, 4), what="output")
    cause = "the softmax must run over the keys, the image tokens: a text token chooses among them"
    ones = torch.ones(2, 1, 3, dtype=torch.float64)
    assert_close(weights.sum(dim=-1), ones, what="sum of the weights over the keys", cause=cause)
    for b in range(2):
        expected_output, expected_weights = attend_by_loops(1, parameters, query[b], context[b])
        assert_close(weights[b], expected_weights, what=f"weight tensor of sample {b}", cause=cause)
        assert_close(output[b], expected_output, what=f"output of sample {b}", cause=cause)


@points(2)
@catches("unscaled", "scaled-by-model-width", "heads-not-transposed")
@given(
    sizes=st.lists(st.integers(2, 6), min_size=4, max_size=4, unique=True),
    heads=st.sampled_from([(2, 2), (2, 3), (3, 2), (4, 3)]),
    draw=st.integers(0, 2**32 - 1),
)
def test_every_head_scales_by_its_own_width(student, sizes, heads, draw):
    """Every head attends on its own block of columns, with scores divided by the square root of its width."""
    rng = np.random.default_rng(draw)
    (queries, keys, q_dim, kv_dim), (n_heads, width) = sizes, heads
    parameters = random_parameters(rng, q_dim, kv_dim, n_heads * width)
    query, context = normal(rng, 2, queries, q_dim), normal(rng, 2, keys, kv_dim)
    output, weights = student.run(attend_with_given_weights, n_heads, parameters, query, context)
    assert_shape(weights, (2, n_heads, queries, keys), what="weight tensor")
    assert_shape(output, (2, queries, q_dim), what="output")
    cause = (
        "head h uses the columns h·w to (h+1)·w − 1 of every token and divides its dot products by the square root of w"
    )
    for b in range(2):
        expected_output, expected_weights = attend_by_loops(n_heads, parameters, query[b], context[b])
        case = f"sample {b}; {n_heads} heads of width {width}, {queries} queries, {keys} keys"
        assert_close(weights[b], expected_weights, what=f"weight tensor ({case})", cause=cause)
        assert_close(output[b], expected_output, what=f"output ({case})", cause=cause)


@points(1)
@catches("inverted-mask", "mask-after-softmax")
def test_masking_an_image_token_equals_leaving_it_out(student, rng):
    """Masking an image token gives the same result as leaving it out, whatever it holds."""
    query, context, parameters = normal(rng, 3, 2, 4), normal(rng, 3, 6, 5), random_parameters(rng, 4, 5, 6)
    mask = torch.zeros(3, 6, dtype=torch.bool)
    for b, visible_tokens in enumerate((4, 1, 3)):
        mask[b, rng.permutation(6)[:visible_tokens]] = True
    context[~mask] *= 1e6
    output, weights = student.run(attend_with_given_weights, 3, parameters, query, context, mask)
    assert_shape(weights, (3, 3, 2, 6), what="weight tensor")
    assert_shape(output, (3, 2, 4), what="output")
    cause = "True in the mask means 'attend'; a masked token must be left out before the softmax, not after it"
    for b in range(3):
        shorter = context[b : b + 1, mask[b]]
        expected_output, expected_weights = student.run(
            attend_with_given_weights, 3, parameters, query[b : b + 1], shorter
        )
        case = f"sample {b}, {int(mask[b].sum())} of 6 tokens visible"
        hidden = weights[b][..., ~mask[b]]
        assert_close(
            hidden, torch.zeros_like(hidden), rtol=0, atol=0, what=f"weight of masked tokens ({case})", cause=cause
        )
        seen = weights[b : b + 1, ..., mask[b]]
        assert_close(seen, expected_weights, what=f"weight of visible tokens ({case})", cause=cause)
        assert_close(output[b : b + 1], expected_output, what=f"output ({case})", cause=cause)


@points(1)
@catches("nan-without-tokens", "output-zeroed-without-tokens")
def test_a_sample_without_image_tokens_gets_the_output_bias(student, rng):
    """A sample without any image token has weights 0 and the bias of out_proj as output, and disturbs no other."""
    query, context, parameters = normal(rng, 3, 2, 4), normal(rng, 3, 5, 7), random_parameters(rng, 4, 7, 6)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 3] = False
    mask[1] = False
    output, weights = student.run(attend_with_given_weights, 2, parameters, query, context, mask)
    assert_shape(weights, (3, 2, 2, 5), what="weight tensor")
    assert_shape(output, (3, 2, 4), what="output")
    cause = "with nothing to attend to, the weights are 0 and out_proj receives 0; what it makes of that is its bias"
    nothing = torch.zeros(2, 2, 5, dtype=torch.float64)
    assert_close(weights[1], nothing, rtol=0, atol=0, what="weight tensor of the sample without tokens", cause=cause)
    bias = parameters["out_proj.bias"].expand(2, 4)
    assert_close(output[1], bias, what="output of the sample without tokens", cause=cause)
    others = [0, 2]
    alone_output, alone_weights = student.run(
        attend_with_given_weights, 2, parameters, query[others], context[others], mask[others]
    )
    cause = "one sample must not influence another one of the same batch"
    assert_close(weights[others], alone_weights, what="weight tensor of the other samples", cause=cause)
    assert_close(output[others], alone_output, what="output of the other samples", cause=cause)


@points(1)
def test_shapes_and_masks_that_do_not_fit_are_refused(student):
    """Heads, shapes and masks that do not fit are refused with the announced exceptions."""
    with raises(ValueError, what="CrossAttention with d_model=6 and n_heads=4"):
        student.CrossAttention(5, 7, 6, 4)
    module = student.CrossAttention(5, 7, 6, 3)
    query, context = torch.ones(2, 4, 5), torch.ones(2, 8, 7)
    for what, bad_query, bad_context in (
        ("a call with a 2-D query", query[0], context),
        ("a call with a 2-D context", query, context[0]),
        ("a call with 2-D query and context", query[0], context[0]),
        ("a call with 2 samples of text and 1 image", query, context[:1]),
    ):
        with raises(ValueError, what=what):
            module(bad_query, bad_context)
    for shape in ((2, 7), (2, 4), (1, 8), (8,)):
        with raises(ValueError, what=f"a call with a mask of shape {shape} for a (2, 8, 7) context"):
            module(query, context, torch.ones(shape, dtype=torch.bool))
    for dtype in (torch.float32, torch.int64):
        with raises(TypeError, ValueError, what=f"a call with a mask of dtype {dtype}"):
            module(query, context, torch.ones(2, 8, dtype=dtype))


def differentiate_output(student, n_heads, parameters, query, context, context_mask, direction):
    import torch

    d_model = len(parameters["q_proj.weight"])
    module = student.CrossAttention(query.shape[-1], context.shape[-1], d_model, n_heads).to(query.dtype)
    with torch.no_grad():
        for name, value in parameters.items():
            layer, kind = name.split(".")
            getattr(getattr(module, layer), kind).copy_(value)
    query, context = query.clone().requires_grad_(), context.clone().requires_grad_()
    output, _ = module(query, context, context_mask=context_mask)
    (output * direction).sum().backward()
    gradients = {name: getattr(getattr(module, name.split(".")[0]), name.split(".")[1]).grad for name in parameters}
    return gradients | {"query": query.grad, "context": context.grad}


@points(2)
@catches("pooled-context", "nan-gradients")
def test_gradients_reach_every_projection(student, rng):
    """All gradients are right: those of q_proj and k_proj are not 0, and a sample without image tokens gives no NaN."""
    query, context, parameters = normal(rng, 3, 2, 4), normal(rng, 3, 5, 7), random_parameters(rng, 4, 7, 3)
    direction = normal(rng, 3, 2, 4)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 1] = False
    for case, case_mask in (
        ("no mask", None),
        ("no image token in sample 2", mask.index_fill(0, torch.tensor(2), False)),
    ):
        actual = student.run(differentiate_output, 3, parameters, query, context, case_mask, direction)
        leaves = {**parameters, "query": query, "context": context}
        leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}
        total = torch.zeros((), dtype=torch.float64)
        for b in range(3):
            sample_mask = None if case_mask is None else case_mask[b]
            output, _ = attend_by_loops(3, leaves, leaves["query"][b], leaves["context"][b], sample_mask)
            total = total + (output * direction[b]).sum()
        expected = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True))
        assert_shape(actual["q_proj.weight"], (3, 4), what="gradient of q_proj.weight")
        if not actual["q_proj.weight"].any():
            raise AssertionError(
                f"The gradient of q_proj.weight is exactly 0 ({case}): the queries have no say in the result. That "
                "happens when there is one key to choose from, for example because the image is pooled into one vector."
            )
        cause = "something on the way from the inputs to the output is cut off from autograd, for example by detach()"
        if case_mask is not None:
            cause = "NaN in the forward pass survives in the gradient, even if the result is repaired afterwards"
        for name, gradient in expected.items():
            assert_close(actual[name], gradient, what=f"gradient of {name} ({case})", cause=cause)
