"""Catalogue of attention/multi_head."""

from grader.catalogue import Alternative, WrongAnswer

# The published formula stops at one head: it has no heads, no output projection and no mask, so there is no published
# answer to run here. Its description, one score for each word, is caught in attention/scaled_dot_product.

HEADS = "test_heads_are_contiguous_blocks_of_features"
PADDING = "test_padding_is_hidden_as_key_only"
LONE = "test_a_lone_token_is_projected_twice"
SCALE = "test_dot_products_are_divided_by_the_square_root_of_the_head_width"
EMPTY = "test_a_sample_of_padding_gets_the_output_bias"
SHAPES = "test_shapes_and_float64_whatever_the_input"

SPLIT = "projected.reshape(batch, tokens, n_heads, head_width).transpose(0, 2, 1, 3)"
JOIN = "heads.transpose(0, 2, 1, 3).reshape(batch, tokens, width)"
SOFTMAX = "weights = exponentials / np.maximum(exponentials.sum(axis=-1, keepdims=True), 1)"
HIDE = "scores = np.where(visible, scores, np.finfo(np.float64).min)"
HIDDEN = "np.exp(scores - scores.max(axis=-1, keepdims=True)) * visible"
RETURN = "return joined @ Wo.T + bo, weights"

equivalent_mutants = {
    "dropped `raise ValueError(f'x must be": "Taking three sizes out of a shape that has not three raises ValueError too.",
    "Add -> Sub in `key = split_heads(x @ Wk.T + bk)": "The same vector added to all keys changes no softmax.",
}

wrong_answers = [
    WrongAnswer(
        id="scaled-by-model-width",
        title="scores divided by the square root of the model's width",
        explanation=(
            "The scale is that of one head over the full width. With eight heads the scores come out smaller by √8, "
            "so every softmax is flatter than it was in training. Count how many products are added up for one score "
            "of one head."
        ),
        caught_by=SCALE,
        swap=(("np.sqrt(head_width)", "np.sqrt(width)"),),
    ),
    WrongAnswer(
        id="unscaled",
        title="no scaling of the scores",
        explanation=(
            "The dot products go into the softmax as they are. Their spread grows with the number of products added "
            "up, and in a wide head the softmax collapses onto one key. Undo the growth of their standard deviation."
        ),
        caught_by=SCALE,
        swap=((" / np.sqrt(head_width)", ""),),
    ),
    WrongAnswer(
        id="reshape-without-transpose",
        title="reshaped straight to (batch, heads, tokens, head width)",
        explanation=(
            "The shape is right and the content is not: a reshape keeps the order of the numbers, and in that order "
            "all features of the first token come before those of the second. Your head 0 holds the first tokens with "
            "all their features. Draw the border inside the last axis first, then move an axis."
        ),
        caught_by=HEADS,
        swap=((SPLIT, "projected.reshape(batch, n_heads, tokens, head_width)"), (JOIN, "heads.reshape(x.shape)")),
    ),
    WrongAnswer(
        id="heads-split-without-transpose",
        title="the heads split by a reshape alone, joined with a transpose",
        explanation=(
            "Your way back undoes a move that the way there never made. Reshaped straight to (batch, heads, tokens, "
            "head width), head 0 holds the first tokens with all their features. A reshape keeps the order of the "
            "numbers: draw the border inside the last axis first, then move an axis."
        ),
        caught_by=HEADS,
        swap=((SPLIT, "projected.reshape(batch, n_heads, tokens, head_width)"),),
    ),
    WrongAnswer(
        id="heads-joined-without-transpose",
        title="the heads joined by a reshape alone",
        explanation=(
            "The split is right, and the weights too, but on the way back the tokens are not brought in front of the "
            "heads again. The rows of your output mix several tokens of one head. Undo both steps of the split, the "
            "last one first."
        ),
        caught_by=HEADS,
        swap=((JOIN, "heads.reshape(batch, tokens, width)"),),
    ),
    WrongAnswer(
        id="heads-interleaved",
        title="every n-th feature given to a head instead of a block",
        explanation=(
            "The last axis is read as (head width, heads), so neighbouring features go to different heads. Trained "
            "from scratch that would do, but weights of an existing model expect contiguous blocks. Which of the two "
            "new axes varies slowest within the row of a token?"
        ),
        caught_by=HEADS,
        swap=((SPLIT, "projected.reshape(batch, tokens, head_width, n_heads).transpose(0, 3, 1, 2)"),),
    ),
    WrongAnswer(
        id="heads-averaged",
        title="the heads averaged instead of put side by side",
        explanation=(
            "The mean over the heads makes them all say the same, so what one head found is diluted by the others. "
            "The heads work on different features: each should keep its own place in the output."
        ),
        caught_by=HEADS,
        swap=((JOIN, "np.tile(heads.mean(axis=1), n_heads)"),),
    ),
    WrongAnswer(
        id="no-output-projection",
        title="the output projection left out",
        explanation=(
            "What comes back are the heads side by side. Up to here no head knows what the others found: the last "
            "matrix lets the features of different heads meet. Which arguments have you not used yet?"
        ),
        caught_by=LONE,
        swap=((RETURN, "return joined, weights"),),
    ),
    WrongAnswer(
        id="in-out-layout",
        title="weight matrices read as (in, out)",
        explanation=(
            "The matrices are multiplied without transposing them. They are square here, so nothing complains. In the "
            "layout (out, in) each row makes one output feature: which axis of the matrix has to meet the features "
            "of x?"
        ),
        caught_by=LONE,
        swap=(("(x @ Wq.T + bq)\n", "(x @ Wq + bq)\n"), ("Wk.T", "Wk"), ("Wv.T", "Wv"), ("Wo.T", "Wo")),
    ),
    WrongAnswer(
        id="value-bias-left-out",
        title="no bias on the values",
        explanation=(
            "The values are projected without their bias. Since the weights sum to 1, that bias goes straight through "
            "to the output projection, whatever the tokens say. Compare how you make query, key and value."
        ),
        caught_by=LONE,
        swap=((" + bv", ""),),
    ),
    WrongAnswer(
        id="query-and-key-bias-left-out",
        title="no biases on queries and keys",
        explanation=(
            "Queries and keys are projected without their biases, as some newer models do. A bias on the queries "
            "makes some keys attractive to everyone, so here it cannot be left out."
        ),
        caught_by=PADDING,
        swap=(("(x @ Wq.T + bq)\n", "(x @ Wq.T)\n"), (" + bk", "")),
    ),
    WrongAnswer(
        id="mask-on-queries",
        title="the mask applied to the queries instead of the keys",
        explanation=(
            "Padded tokens ask nothing, but everybody still listens to them. What must not happen is that padding "
            "flows into other tokens. Of the two last axes of the scores, along which one does the softmax choose?"
        ),
        caught_by=PADDING,
        swap=(("key_mask[:, None, None, :]", "key_mask[:, None, :, None]"),),
    ),
    WrongAnswer(
        id="mask-on-queries-and-keys",
        title="padded tokens hidden as queries as well",
        explanation=(
            "The weights of padded tokens are 0 in their rows too, not only in their columns. That is a choice some "
            "code makes, but here a padded token asks like any other. What others see of it is the matter of the keys "
            "alone."
        ),
        caught_by=PADDING,
        swap=(("key_mask[:, None, None, :]", "key_mask[:, None, None, :] & key_mask[:, None, :, None]"),),
    ),
    WrongAnswer(
        id="mask-of-ten-thousand",
        title="-10000 added to the scores of padding",
        explanation=(
            "The code of the first BERT did this, and for scores of a trained model it is enough. A padded token with "
            "large numbers has a score that is larger still, and wins all the same. Which score can no number make up "
            "for?"
        ),
        caught_by=PADDING,
        swap=((HIDE, "scores = np.where(visible, scores, scores - 10000)"),),
    ),
    WrongAnswer(
        id="mask-inverted",
        title="`True` taken for padding",
        explanation=(
            "The tokens to attend to are hidden, and the padding is not. `nn.MultiheadAttention` has its "
            "`key_padding_mask` that way round; here `True` is a token that counts."
        ),
        caught_by=PADDING,
        swap=(("key_mask[:, None, None, :]", "~key_mask[:, None, None, :] | key_mask.all()"),),
    ),
    WrongAnswer(
        id="mask-after-softmax",
        title="the mask applied to finished weights",
        explanation=(
            "The softmax has already given part of its 1 to the padding; setting that part to 0 leaves weights that "
            "sum to less. The longer the padding, the smaller your outputs. Take the keys out of the competition "
            "before it starts."
        ),
        caught_by=PADDING,
        swap=(
            ("    scores = np.where(visible, scores, np.finfo(np.float64).min)\n", ""),
            (
                SOFTMAX,
                "exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))\n"
                "    weights = exponentials / exponentials.sum(axis=-1, keepdims=True) * visible",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-without-keys",
        title="NaN for a sample of padding only",
        explanation=(
            "With no key to choose from the softmax is 0/0. One empty caption in a batch then makes the loss of the "
            "whole batch NaN. What should such a sample get, and what do you divide by in that case?"
        ),
        caught_by=EMPTY,
        swap=((SOFTMAX, "weights = exponentials / exponentials.sum(axis=-1, keepdims=True)"),),
    ),
    WrongAnswer(
        id="uniform-without-keys",
        title="equal weights for a sample of padding only",
        explanation=(
            "All scores are the same very negative number, so the softmax is uniform and the sample gets the average "
            "of its padding. That is a normal-looking vector with nothing behind it. Hidden keys need a weight of 0 "
            "also where there are no others."
        ),
        caught_by=EMPTY,
        swap=((HIDDEN, "np.exp(scores - scores.max(axis=-1, keepdims=True))"),),
    ),
    WrongAnswer(
        id="padding-among-itself",
        title="a sample of padding only attends to its padding",
        explanation=(
            "A very negative number is added to the scores of hidden keys. Where all keys are hidden it is added to "
            "all scores of a query, and that changes no softmax: the sample comes out as if it had no padding at all. "
            "Hidden keys need a weight of 0 also where there are no others."
        ),
        caught_by=EMPTY,
        swap=(
            (HIDE, "scores = scores + np.where(visible, 0, -1e9)"),
            (HIDDEN, "np.exp(scores - scores.max(axis=-1, keepdims=True))"),
        ),
    ),
    WrongAnswer(
        id="overflow",
        title="no maximum taken off before the exponential",
        explanation=(
            "exp(800) is already infinite in float64, and exp(-800) is 0: both turn into NaN or nothing after the "
            "division. A softmax does not change when the same number is taken off all scores of a query; choose "
            "that number well."
        ),
        caught_by="test_scores_of_ten_thousand_stay_finite",
        swap=((HIDDEN, "np.exp(scores) * visible"),),
    ),
    WrongAnswer(
        id="weights-averaged-over-heads",
        title="weights averaged over the heads",
        explanation=(
            "The weights come back without their axis of heads, as `nn.MultiheadAttention` returns them by default. "
            "The average hides that heads look at different tokens, which is what one looks at them for."
        ),
        caught_by=SHAPES,
        swap=((RETURN, "return joined @ Wo.T + bo, weights.mean(axis=1)"),),
    ),
    WrongAnswer(
        id="input-precision",
        title="computed in the precision of the inputs",
        explanation=(
            "Your numbers are right, but with float32 or float16 inputs they carry only as many digits as those. "
            "Asked for are float64 results from the first product on. Where do you decide on the precision?"
        ),
        caught_by=SHAPES,
        swap=(("np.asarray(x, dtype=np.float64)", "np.asarray(x)"),),
    ),
    WrongAnswer(
        id="single-precision",
        title="computed in float32 and converted at the end",
        explanation=(
            "The results are float64 by name, but seven digits are all that is in them: what a step in single "
            "precision has rounded away does not come back. Convert on the way in, not on the way out."
        ),
        caught_by=SHAPES,
        swap=(
            (
                "x = np.asarray(x, dtype=np.float64)",
                "x, Wq, Wk, Wv, Wo, bq, bk, bv, bo = (\n"
                "        np.asarray(a, dtype=np.float32) for a in (x, Wq, Wk, Wv, Wo, bq, bk, bv, bo)\n"
                "    )",
            ),
            (HIDE, "scores = np.where(visible, scores, np.finfo(np.float32).min)"),
            (RETURN, "return (joined @ Wo.T + bo).astype(np.float64), weights.astype(np.float64)"),
        ),
    ),
    WrongAnswer(
        id="mask-of-numbers",
        title="a mask of numbers taken for a boolean one",
        explanation=(
            "Libraries also use additive masks, 0 for a token that counts and a very negative number for padding. Read "
            "as a boolean such a mask means the opposite, without any error. That is why a mask that is not boolean "
            "is to be refused."
        ),
        caught_by="test_arguments_that_do_not_fit_are_refused",
        swap=(('raise TypeError(f"key_mask must be boolean, not {key_mask.dtype}")', "key_mask = key_mask != 0"),),
    ),
]

alternatives = [
    Alternative(
        id="one-head-at-a-time",
        title="a loop over the heads with the rows of the matrices that belong to them, contributions added up",
        code="""
def multi_head_self_attention(x, Wq, Wk, Wv, Wo, bq, bk, bv, bo, n_heads, key_mask=None):
    if x.ndim != 3:
        raise ValueError("x has three axes")
    b, t, d = x.shape
    if n_heads <= 0 or d // n_heads * n_heads != d:
        raise ValueError("heads")
    for w in (Wq, Wk, Wv, Wo):
        if w.shape != (d, d):
            raise ValueError("weights")
    for bias in (bq, bk, bv, bo):
        if bias.shape != (d,):
            raise ValueError("bias")
    if key_mask is not None and (key_mask.dtype != np.bool_ or key_mask.shape != (b, t)):
        raise ValueError("mask")
    x, Wq, Wk, Wv, Wo, bq, bk, bv, bo = (a.astype(float) for a in (x, Wq, Wk, Wv, Wo, bq, bk, bv, bo))
    output, maps = np.zeros((b, t, d)), []
    for rows in np.split(np.arange(d), n_heads):
        q, k, v = x @ Wq[rows].T + bq[rows], x @ Wk[rows].T + bk[rows], x @ Wv[rows].T + bv[rows]
        scores = np.matmul(q, np.swapaxes(k, 1, 2)) * len(rows) ** -0.5
        if key_mask is not None:
            scores[~np.repeat(key_mask[:, None, :], t, axis=1)] = -np.inf
        top = scores.max(axis=2, keepdims=True)
        e = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
        total = e.sum(axis=2, keepdims=True)
        w = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
        output += w @ v @ Wo[:, rows].T
        maps.append(w)
    return output + bo, np.stack(maps, axis=1)
""",
    ),
    Alternative(
        id="einsum",
        title="einsum over matrices cut into heads, softmax by the logarithm of the sum",
        code="""
def multi_head_self_attention(x, Wq, Wk, Wv, Wo, bq, bk, bv, bo, n_heads, key_mask=None):
    if np.ndim(x) != 3 or n_heads < 1 or x.shape[2] % n_heads:
        raise ValueError("x or heads")
    d = x.shape[2]
    if {Wq.shape, Wk.shape, Wv.shape, Wo.shape} != {(d, d)} or {bq.shape, bk.shape, bv.shape, bo.shape} != {(d,)}:
        raise ValueError("parameters")
    if key_mask is not None:
        if not np.issubdtype(key_mask.dtype, np.bool_):
            raise TypeError("mask")
        if key_mask.shape != x.shape[:2]:
            raise ValueError("mask")
    x = x.astype(np.float64)

    def project(weight, bias):
        weight = weight.astype(np.float64).reshape(n_heads, d // n_heads, d)
        return np.einsum("btd,hwd->bhtw", x, weight) + bias.astype(np.float64).reshape(n_heads, 1, d // n_heads)

    scores = np.einsum("bhqw,bhkw->bhqk", project(Wq, bq), project(Wk, bk)) / (d / n_heads) ** 0.5
    if key_mask is not None:
        scores = np.where(key_mask[:, np.newaxis, np.newaxis], scores, -np.inf)
    with np.errstate(all="ignore"):
        weights = np.exp(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True))
    weights = np.nan_to_num(weights, nan=0.0)
    heads = np.einsum("bhqk,bhkw->bqhw", weights, project(Wv, bv))
    return np.einsum("bqhw,ohw->bqo", heads, Wo.astype(np.float64).reshape(d, n_heads, d // n_heads)) + bo, weights
""",
    ),
    Alternative(
        id="one-sample-at-a-time",
        title="a loop over samples that drops the padding instead of masking it",
        code="""
def multi_head_self_attention(x, Wq, Wk, Wv, Wo, bq, bk, bv, bo, n_heads, key_mask=None):
    if len(x.shape) != 3:
        raise ValueError("x")
    d = x.shape[-1]
    if n_heads not in [n for n in range(1, d + 1) if d % n == 0]:
        raise ValueError("heads")
    if not all(w.shape == (d, d) for w in (Wq, Wk, Wv, Wo)) or not all(v.shape == (d,) for v in (bq, bk, bv, bo)):
        raise ValueError("parameters")
    key_mask = np.full(x.shape[:2], True) if key_mask is None else key_mask
    if key_mask.dtype.kind != "b":
        raise TypeError("mask")
    if key_mask.shape != x.shape[:2]:
        raise ValueError("mask")
    output = np.empty(x.shape, dtype=np.float64)
    weights = np.zeros((len(x), n_heads, x.shape[1], x.shape[1]))
    for i, (sample, keep) in enumerate(zip(np.array(x, dtype=np.float64), key_mask)):
        q = np.hsplit(sample @ Wq.T + bq, n_heads)
        k = np.hsplit(sample[keep] @ Wk.T + bk, n_heads)
        v = np.hsplit(sample[keep] @ Wv.T + bv, n_heads)
        parts = []
        for h in range(n_heads):
            part = np.zeros(q[h].shape)
            if keep.any():
                scores = q[h] @ k[h].T / np.sqrt(q[h].shape[1])
                e = np.exp(scores - scores.max(axis=1)[:, None])
                w = e / e.sum(axis=1)[:, None]
                weights[i, h][:, keep] = w
                part = w @ v[h]
            parts.append(part)
        output[i] = np.concatenate(parts, axis=1) @ Wo.T + bo
    return output, weights
""",
    ),
]
