"""Catalogue of attention/scaled_dot_product."""

from grader.catalogue import Alternative, WrongAnswer

SOFTMAX = "weights = torch.softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1)"
EMPTY = "weights = weights.masked_fill(~allowed, 0)"

wrong_answers = [
    WrongAnswer(
        id="one-score-per-token",  # the published description: every word gets a score of how important it is
        title="one score per token, the same for all queries",
        explanation=(
            "All queries come back with the same weights, as if each key had one score of importance. Ask who is "
            "looking: in 'the dog chased its ball', 'its' and 'chased' do not look at the same words. Check along "
            "which axes you average or sum, and give every query its own row of weights."
        ),
        caught_by="test_every_query_has_its_own_distribution_over_the_keys",
        swap=((EMPTY, f"{EMPTY}.mean(dim=-2, keepdim=True).expand_as(scores)"),),
    ),
    WrongAnswer(
        id="unscaled",
        title="no scaling of the scores",
        explanation=(
            "The dot products go into the softmax as they are. Their spread grows with the width of the keys, so in a "
            "wide model the softmax collapses onto a single key and its gradients vanish. Work out the variance of "
            "the dot product of two vectors with independent entries of variance 1, and undo its growth."
        ),
        caught_by="test_dot_products_are_divided_by_the_square_root_of_the_key_width",
        swap=(("1 / math.sqrt(query.shape[-1])", "1.0"),),
    ),
    WrongAnswer(
        id="scaled-by-key-width",
        title="scores divided by the key width itself, without the square root",
        explanation=(
            "The variance of a dot product grows with the width of the keys, and you divided by that width. What has "
            "to be brought back to 1 is the standard deviation of the scores: compare how the two depend on the "
            "width."
        ),
        caught_by="test_dot_products_are_divided_by_the_square_root_of_the_key_width",
        swap=(("1 / math.sqrt(query.shape[-1])", "1 / query.shape[-1]"),),
    ),
    WrongAnswer(
        id="scaled-by-value-width",
        title="scores divided by the square root of the value width",
        explanation=(
            "The scale is taken from the values. They play no part in the scores: look at which two tensors are "
            "multiplied there, and how many products are added up for one score. In many models both widths are "
            "equal, which hides this."
        ),
        caught_by="test_dot_products_are_divided_by_the_square_root_of_the_key_width",
        swap=(("1 / math.sqrt(query.shape[-1])", "1 / math.sqrt(value.shape[-1])"),),
    ),
    WrongAnswer(
        id="scale-or-default",
        title="a scale of 0 is taken for a missing one",
        explanation=(
            "With scale=0.0 the default scale is used. In Python 0.0 counts as false, so `scale or default` and `if "
            "not scale` cannot tell 'zero' from 'not given'. Ask for the one value that means 'not given'."
        ),
        caught_by="test_dot_products_are_divided_by_the_square_root_of_the_key_width",
        swap=(("if scale is None:", "if not scale:"),),
    ),
    WrongAnswer(
        id="softmax-over-queries",
        title="softmax over the queries instead of the keys",
        explanation=(
            "The columns of your weights sum to 1, the rows do not: the queries compete for a key. It is the other "
            "way round, each query shares its attention among the keys. Look at the axis that the softmax runs over."
        ),
        caught_by="test_every_query_has_its_own_distribution_over_the_keys",
        swap=((SOFTMAX, SOFTMAX.replace("dim=-1", "dim=-2")),),
    ),
    WrongAnswer(
        # with renormalisation it would be right: the same numbers up to rounding, unless a masked score exceeds all
        # others by about 750, where it becomes 0/0
        id="mask-after-softmax",
        title="mask applied after the softmax",
        explanation=(
            "Masked keys have weight 0, but the other weights no longer sum to 1: the softmax had already given the "
            "masked keys their share, and it is lost. Think about which scores would make the softmax itself give a "
            "weight of 0."
        ),
        caught_by="test_masked_keys_are_left_out_of_the_softmax",
        swap=((SOFTMAX, "weights = torch.softmax(scores, dim=-1)"),),
    ),
    WrongAnswer(
        id="causal-aligned-bottom-right",
        title="causal triangle aligned at the last query and the last key",
        explanation=(
            "When there are more keys than queries, or fewer, your triangle ends at the last key. That is the "
            "convention for a text that grows behind a stored prefix; here, as in PyTorch, query 0 sees key 0 only. "
            "Look at the diagonal on which the triangle starts."
        ),
        caught_by="test_masked_keys_are_left_out_of_the_softmax",
        swap=((".tril()", ".tril(diagonal=key.shape[-2] - query.shape[-2])"),),
    ),
    WrongAnswer(
        id="nan-without-keys",
        title="NaN for a query without any allowed key",
        explanation=(
            "A query whose keys are all masked out comes back as NaN: all its scores are minus infinity, and the "
            "softmax becomes 0/0. One padded row of that kind spoils the loss of the whole batch. Decide what "
            "attending to nothing should give, and put that in where no key is allowed."
        ),
        caught_by="test_a_query_without_keys_attends_to_nothing",
        swap=((f"\n    {EMPTY}", ""),),
    ),
    WrongAnswer(
        id="uniform-without-keys",
        title="a query without any allowed key averages all the masked values",
        explanation=(
            "A large negative number instead of minus infinity avoids NaN, but when all scores of a query are equally "
            "low the softmax is uniform: the query reads exactly what it should not see. Compare what your weights "
            "say there with the mask."
        ),
        caught_by="test_a_query_without_keys_attends_to_nothing",
        swap=((SOFTMAX, SOFTMAX.replace("-torch.inf", "-1e9")), (f"\n    {EMPTY}", "")),
    ),
    WrongAnswer(
        id="overflow",
        title="exponentials taken without subtracting the maximum",
        explanation=(
            "Large scores give inf/inf or 0/0, because exp overflows above about 709 in float64 and above 88 in "
            "float32. What happens to the softmax when you subtract the same number from all scores of a query, and "
            "which number would make the largest exponential 1?"
        ),
        caught_by="test_scores_of_ten_thousand_stay_finite",
        swap=(
            (
                SOFTMAX,
                "weights = torch.exp(scores.masked_fill(~allowed, -torch.inf))\n"
                "    weights = weights / weights.sum(dim=-1, keepdim=True)",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-gradients",
        title="NaN gradients behind a result that looks right",
        explanation=(
            "The results are right, but as soon as one query has no key the gradients are NaN. Replacing the NaN "
            "after the softmax repairs the forward pass only; on the way back the NaN is multiplied in again and "
            "reaches queries and keys. Make sure that nothing flows back from there, for example by *replacing* the "
            "scores that are not allowed instead of adding minus infinity to them."
        ),
        caught_by="test_gradients_are_right_and_finite",
        swap=(
            (
                SOFTMAX,
                "bias = torch.zeros_like(scores).masked_fill(~allowed, -torch.inf)\n"
                "    weights = torch.softmax(scores + bias, dim=-1)",
            ),
            (EMPTY, "weights = weights.nan_to_num(0.0)"),
        ),
    ),
    WrongAnswer(
        id="query-changed-in-place",
        title="the caller's queries are scaled in place",
        explanation=(
            "The results are right, and the queries that were handed in are smaller than before: an in-place "
            "operation such as `*=` or `mul_` writes into the tensor that the caller still holds, and the second call "
            "sees other queries. Which of your lines changes a tensor instead of making a new one?"
        ),
        caught_by="test_output_and_weights_have_the_announced_shapes",
        swap=(("scores = (query * scale) @", "query *= scale\n    scores = query @"),),
    ),
    WrongAnswer(
        id="ready-made",
        title="the library's own attention",
        explanation=(
            "The numbers are right, but the work is done by a ready-made attention function. It returns no weights, "
            "and you have written them out already: what is missing to get the output from them?"
        ),
        caught_by="test_output_and_weights_have_the_announced_shapes",
        swap=(
            (
                "return weights @ value, weights",
                "return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, scale=scale), weights",
            ),
            ("import torch\n", "import torch\nimport torch.nn.functional as F\n"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="einsum-and-logsumexp",
        title="einsum, and a softmax written with logsumexp",
        code="""
def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    if key.size(-1) != query.size(-1) or key.size(-2) != value.size(-2):
        raise ValueError("shapes do not fit")
    allowed = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool)
    if causal:
        allowed = torch.arange(query.size(-2))[:, None] >= torch.arange(key.size(-2))
    if mask is not None:
        if mask.dtype is not torch.bool:
            raise ValueError("mask must be boolean")
        if any(m not in (1, n) for m, n in zip(reversed(mask.shape), (key.size(-2), query.size(-2)))):
            raise ValueError("mask does not fit")
        allowed = allowed & mask
    scores = torch.einsum("...qd,...kd->...qk", query, key)
    scores = scores * (query.size(-1) ** -0.5 if scale is None else scale)
    lowest = torch.finfo(scores.dtype).min
    scores = torch.where(allowed, scores, lowest)
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    weights = torch.where(allowed, weights, torch.zeros_like(weights))
    return torch.einsum("...qk,...kv->...qv", weights, value), weights
""",
    ),
    Alternative(
        id="loops",
        title="one query at a time, with only the keys it may see",
        code="""
def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    *leading, queries, width = query.shape
    keys = key.shape[-2]
    if key.shape[-1] != width:
        raise ValueError("queries and keys have different widths")
    if value.shape[-2] != keys:
        raise ValueError("keys and values have different lengths")
    if mask is None:
        mask = torch.ones(queries, keys, dtype=torch.bool)
    if mask.dtype != torch.bool:
        raise TypeError("mask must be boolean")
    try:
        mask = torch.broadcast_to(mask, (*leading, queries, keys)).reshape(-1, queries, keys)
    except RuntimeError:
        raise ValueError("mask does not fit") from None
    scale = 1 / math.sqrt(width) if scale is None else scale
    flat = [tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (query, key, value)]
    outputs, all_weights = [], []
    for q, k, v, m in zip(*flat, mask):
        for i in range(queries):
            seen = [j for j in range(keys) if m[i, j] and (not causal or j <= i)]
            row = torch.zeros(keys, dtype=query.dtype)
            if seen:
                row = row.index_put((torch.tensor(seen),), torch.softmax(k[seen] @ q[i] * scale, dim=0))
            outputs.append(row @ v)
            all_weights.append(row)
    return (
        torch.stack(outputs).reshape(*leading, queries, value.shape[-1]),
        torch.stack(all_weights).reshape(*leading, queries, keys),
    )
""",
    ),
    Alternative(
        id="softmax-by-hand",
        title="maximum, exponentials and sum written out, with a divisor that is never 0",
        code="""
def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError("shapes do not fit")
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError("mask must be boolean")
    if scale is None:
        scale = query.shape[-1] ** -0.5
    scores = torch.matmul(query, key.mT) * scale
    keep = torch.ones_like(scores)
    if causal:
        keep = torch.tril(keep)
    if mask is not None:
        try:
            keep = keep * torch.broadcast_to(mask, scores.shape)
        except RuntimeError as error:
            raise ValueError("mask does not fit") from error
    top = torch.where(keep > 0, scores, -torch.inf).amax(dim=-1, keepdim=True).detach()
    top = torch.where(torch.isinf(top), torch.zeros_like(top), top)
    exponentials = torch.where(keep > 0, (scores - top).clamp(max=0), -torch.inf).exp()
    total = exponentials.sum(dim=-1, keepdim=True)
    weights = exponentials / torch.where(total > 0, total, torch.ones_like(total))
    return torch.matmul(weights, value), weights
""",
    ),
    Alternative(
        id="bias-and-any-key",
        title="additive bias; queries without keys see everything and are multiplied by 0 afterwards",
        code="""
def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    if query.shape[-1] != key.shape[-1]:
        raise ValueError("queries and keys have different widths")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError("keys and values have different lengths")
    shape = (*query.shape[:-1], key.shape[-2])
    keep = torch.ones(shape, dtype=torch.bool)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError("mask must be boolean")
        try:
            keep = keep.logical_and(mask)
        except RuntimeError as error:
            raise ValueError("mask does not fit") from error
    if causal:
        keep = keep.logical_and(~torch.triu(torch.ones(shape[-2:], dtype=torch.bool), diagonal=1))
    any_key = keep.any(dim=-1, keepdim=True)
    bias = torch.zeros(shape, dtype=query.dtype).masked_fill(~(keep | ~any_key), float("-inf"))
    factor = 1.0 / query.shape[-1] ** 0.5 if scale is None else scale
    weights = torch.nn.functional.softmax(factor * query.matmul(key.transpose(-1, -2)) + bias, -1) * any_key
    return weights.matmul(value), weights
""",
    ),
]
