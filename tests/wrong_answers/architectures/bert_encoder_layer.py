"""Catalogue of architectures/bert_encoder_layer."""

from grader.catalogue import Alternative, WrongAnswer

NORM = "test_layer_norm_brings_every_token_to_one_scale"
ORDER = "test_each_half_adds_to_its_input_and_normalises_the_sum"
HEADS = "test_attention_in_heads_with_the_stored_matrices"
GELU_CHECK = "test_the_activation_is_exact_gelu"
PADDING = "test_padding_changes_nothing_for_the_tokens"
REFUSED = "test_arguments_that_do_not_fit_are_refused"

VARIANCE = "variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)  # (..., 1)"
ROOT = "np.sqrt(variance + 1e-12)"
GELU = "activated = z * (1 + erf(z / np.sqrt(2))) / 2"
HIDE = "scores = np.where(mask[:, None, None, :], scores, -np.inf)"
ATTENDED = 'attended = add_and_norm("attention.output.LayerNorm", x, dense("attention.output.dense", joined))'
RESULT = 'return add_and_norm("output.LayerNorm", attended, dense("output.dense", activated))'
PROJECTIONS = '(split_heads(dense(f"attention.self.{name}", x)) for name in ("query", "key", "value"))'

equivalent_mutants = {
    "dropped `raise ValueError(f'x must be": "Taking three sizes out of a shape that has not three raises ValueError too.",
    "FloorDiv -> Div in `scores = ": "The number of heads divides the width.",
}

wrong_answers = [
    WrongAnswer(
        id="relu",  # the published formula, presented as BERT's
        title="ReLU in the feed-forward part",
        explanation=(
            "max(0, z) is often published as BERT's activation. It is that of the first transformer; BERT was trained "
            "with GELU, which keeps a part of small negative entries. With BERT's weights every layer is then off."
        ),
        caught_by=GELU_CHECK,
        swap=((GELU, "activated = np.maximum(z, 0)"),),
    ),
    WrongAnswer(
        id="tanh-gelu",
        title="the approximation of GELU by tanh",
        explanation=(
            "The outputs agree to three decimals and then go apart. Two functions carry the name GELU; this model uses "
            "the one with the normal distribution function itself."
        ),
        caught_by=GELU_CHECK,
        swap=((GELU, "activated = z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2"),),
    ),
    WrongAnswer(
        id="pre-norm",
        title="the input of each half normalised instead of the sum",
        explanation=(
            "That is the order of today's language models. BERT normalises after the addition, so that nothing passes "
            "a layer without going through both normalisations. Read the four steps again: what is inside the "
            "brackets of each layer norm?"
        ),
        caught_by=ORDER,
        swap=(
            (
                "    # attention: in every head",
                '    first, second = "attention.output.LayerNorm", "output.LayerNorm"\n'
                "    before = x\n"
                '    x = layer_norm(x, params[f"{first}.weight"], params[f"{first}.bias"])\n'
                "    # attention: in every head",
            ),
            (ATTENDED, 'attended = before + dense("attention.output.dense", joined)'),
            (
                'z = dense("intermediate.dense", attended)',
                'z = dense("intermediate.dense", layer_norm(attended, params[f"{second}.weight"], '
                'params[f"{second}.bias"]))',
            ),
            (RESULT, 'return attended + dense("output.dense", activated)'),
        ),
    ),
    WrongAnswer(
        id="no-residual",
        title="nothing added to what attention and feed-forward part return",
        explanation=(
            "Your layer replaces its input by what its parts return; with parts that return 0 nothing of the token is "
            "left. The connection around each part is what lets twelve such layers train at all."
        ),
        caught_by=ORDER,
        swap=(("return layer_norm(before + change, ", "return layer_norm(change, "),),
    ),
    WrongAnswer(
        id="second-residual-from-x",
        title="the second addition takes the layer's input",
        explanation=(
            "The output of the feed-forward part is added to x, past the first normalisation. What came out of the "
            "attention then reaches the output only through the feed-forward part. Which vector did that part get as "
            "its input?"
        ),
        caught_by=ORDER,
        swap=((RESULT, RESULT.replace("attended, dense", "x, dense")),),
    ),
    WrongAnswer(
        id="one-norm-for-both",
        title="the first normalisation's parameters used twice",
        explanation=(
            "Both normalisations run with `attention.output.LayerNorm`. They are separate layers with weights and "
            "biases of their own, though their names are easy to confuse."
        ),
        caught_by=ORDER,
        swap=((RESULT, RESULT.replace('"output.LayerNorm"', '"attention.output.LayerNorm"')),),
    ),
    WrongAnswer(
        id="second-norm-for-both",
        title="the second normalisation's parameters used twice",
        explanation=(
            "Both normalisations run with `output.LayerNorm`. The one after the attention has parameters of its own, "
            "and the beginning of their names says so."
        ),
        caught_by=ORDER,
        swap=((ATTENDED, ATTENDED.replace('"attention.output.LayerNorm"', '"output.LayerNorm"')),),
    ),
    WrongAnswer(
        id="norms-exchanged",
        title="the parameters of the two normalisations exchanged",
        explanation=(
            "The sum after the attention is normalised with `output.LayerNorm`, and the one after the feed-forward "
            "part with `attention.output.LayerNorm`. Shapes cannot tell them apart. What does each name begin with?"
        ),
        caught_by=ORDER,
        swap=(
            (ATTENDED, ATTENDED.replace('"attention.output.LayerNorm"', '"output.LayerNorm"')),
            (RESULT, RESULT.replace('"output.LayerNorm"', '"attention.output.LayerNorm"')),
        ),
    ),
    WrongAnswer(
        id="norm-before-addition",
        title="what attention and feed-forward part return normalised before it is added",
        explanation=(
            "You normalise the change and then add it: x itself passes by the normalisation and may grow from layer "
            "to layer. In BERT the addition comes first. What is inside the brackets of each layer norm?"
        ),
        caught_by=ORDER,
        swap=(("return layer_norm(before + change, ", "return before + layer_norm(change, "),),
    ),
    WrongAnswer(
        id="second-norm-before-addition",
        title="the second normalisation before the addition",
        explanation=(
            "The first half is right. In the second you normalise what the feed-forward part returns and add it "
            "afterwards, so that nothing keeps the sum at one scale. Both halves have the same form: compare them."
        ),
        caught_by=ORDER,
        swap=(
            (
                RESULT,
                'last = "output.LayerNorm"\n'
                '    change = layer_norm(dense("output.dense", activated), params[f"{last}.weight"], '
                'params[f"{last}.bias"])\n'
                "    return attended + change",
            ),
        ),
    ),
    WrongAnswer(
        id="large-epsilon",
        title="an epsilon of 1e-5",
        explanation=(
            "1e-5 is PyTorch's default for layer normalisation; BERT's is far smaller. The difference is small on "
            "ordinary vectors and large on those of tiny spread."
        ),
        caught_by=NORM,
        swap=((ROOT, "np.sqrt(variance + 1e-5)"),),
    ),
    WrongAnswer(
        id="epsilon-outside-the-root",
        title="epsilon added to the standard deviation",
        explanation=(
            "Your epsilon stands outside the square root. For vectors of ordinary spread nobody notices; where the "
            "variance is as small as epsilon itself the results differ by a third."
        ),
        caught_by=NORM,
        swap=((ROOT, "(np.sqrt(variance) + 1e-12)"),),
    ),
    WrongAnswer(
        id="sample-variance",
        title="the variance of a sample, divided by n - 1",
        explanation=(
            "You divide the squared deviations by one less than their number. That estimates the variance of a "
            "population from a sample; here the features of the token are all there is."
        ),
        caught_by=NORM,
        swap=((VARIANCE, "variance = x.var(axis=-1, ddof=1, keepdims=True)"),),
    ),
    WrongAnswer(
        id="norm-over-time",
        title="the normalisation over the tokens instead of the features",
        explanation=(
            "Mean and variance are taken along the axis of tokens, so each feature is brought to one scale over the "
            "sentence. A token would then depend on how long the sentence is. Which numbers belong to one token?"
        ),
        caught_by=NORM,
        code="""
def layer_norm(x, weight, bias):
    x = np.asarray(x, dtype=np.float64)
    axis = -2 if x.ndim > 1 else -1
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-12) * weight + bias
""",
    ),
    WrongAnswer(
        id="one-pass-variance",
        title="the variance as mean of squares minus squared mean",
        explanation=(
            "Both terms are huge when the mean is, and their difference keeps only the digits that are left over; it "
            "can even become negative. Take the mean off first and square what remains."
        ),
        caught_by=NORM,
        swap=((VARIANCE, "variance = (x**2).mean(axis=-1, keepdims=True) - mean**2"),),
    ),
    WrongAnswer(
        id="attention-weights-transposed",
        title="the square matrices read as (in, out)",
        explanation=(
            "The four matrices of the attention are multiplied the wrong way round. They are square, so that nothing "
            "complains, unlike the two of the feed-forward part. In the layout (out, in) each row makes one output "
            "feature."
        ),
        caught_by=HEADS,
        swap=(
            (
                'return inputs @ params[f"{name}.weight"].T + params[f"{name}.bias"]',
                'weight = params[f"{name}.weight"]\n'
                '        return inputs @ (weight if name.startswith("attention") else weight.T) + params[f"{name}.bias"]',
            ),
        ),
    ),
    WrongAnswer(
        id="heads-mixed-up",
        title="heads split by a reshape alone",
        explanation=(
            "The shape is right and the content is not: reshaped straight to (batch, heads, tokens, head width), head "
            "0 gets the first tokens with all their features. Split the last axis first, then move an axis."
        ),
        caught_by=HEADS,
        swap=(
            (
                "projected.reshape(batch, tokens, n_heads, width // n_heads).transpose(0, 2, 1, 3)",
                "projected.reshape(batch, n_heads, tokens, width // n_heads)",
            ),
        ),
    ),
    WrongAnswer(
        id="scaled-by-model-width",
        title="scores divided by the square root of the model's width",
        explanation=(
            "The scale is that of one head over the full width; with more heads every softmax comes out too flat. "
            "Count how many products are added up for one score."
        ),
        caught_by=HEADS,
        swap=(("np.sqrt(width // n_heads)", "np.sqrt(width)"),),
    ),
    WrongAnswer(
        id="overflow",
        title="no maximum taken off before the exponential",
        explanation=(
            "exp(800) is already infinite in float64, and exp(-800) is 0: both turn into NaN after the division. A "
            "softmax does not change when the same number is taken off all scores of a query; choose that number well."
        ),
        caught_by=HEADS,
        swap=(("np.exp(scores - scores.max(axis=-1, keepdims=True))", "np.exp(scores)"),),
    ),
    WrongAnswer(
        id="biases-left-out",
        title="matrices without their biases",
        explanation=(
            "The affine maps are multiplied by their matrices only. Every one of BERT's comes with a bias, under the "
            "same name with another ending."
        ),
        caught_by="test_the_whole_layer_with_random_parameters",
        swap=(
            (
                'return inputs @ params[f"{name}.weight"].T + params[f"{name}.bias"]',
                'return inputs @ params[f"{name}.weight"].T',
            ),
        ),
    ),
    WrongAnswer(
        id="mask-ignored",
        title="padding attended to like any token",
        explanation=(
            "The mask is accepted and not used, so a sentence comes out differently depending on how much padding the "
            "longest sentence of its batch forces on it. Where must a hidden key drop out so that the rest still sums "
            "to 1?"
        ),
        caught_by=PADDING,
        swap=((HIDE, "pass"),),
    ),
    WrongAnswer(
        id="mask-inverted",
        title="`True` taken for padding",
        explanation=(
            "The tokens are hidden from each other and attend to the padding. Some libraries mark padding with True; "
            "here, as in Hugging Face's attention mask, it is the tokens that are marked."
        ),
        caught_by=PADDING,
        swap=(
            (
                HIDE,
                "scores = np.where(~mask[:, None, None, :] | mask.all(axis=1)[:, None, None, None], scores, -np.inf)",
            ),
        ),
    ),
    WrongAnswer(
        id="mask-of-ten-thousand",
        title="-10000 added to the scores of padding",
        explanation=(
            "The code of the first BERT did this, and for scores of a trained model it is enough. Where a token scores "
            "itself very low and the padding very high, the padding wins all the same. Which score can no number make "
            "up for?"
        ),
        caught_by=PADDING,
        swap=((HIDE, "scores = scores + np.where(mask[:, None, None, :], 0, -10000)"),),
    ),
    WrongAnswer(
        id="missing-parameters-are-zero",
        title="zeros in place of a missing parameter",
        explanation=(
            "A checkpoint without one of the biases, or with one spelt differently, is loaded without a word and gives "
            "wrong features. A missing name should stop the program where it is noticed."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    for name, shape in weight_shapes.items():\n",
                "    params = dict(params)\n"
                "    for name, shape in weight_shapes.items():\n"
                '        params.setdefault(f"{name}.weight", np.zeros(shape))\n'
                '        params.setdefault(f"{name}.bias", np.zeros(shape[:1]))\n',
            ),
        ),
    ),
    WrongAnswer(
        id="sample-without-tokens",
        title="NaN for a sample without any token",
        explanation=(
            "With every key hidden the softmax is 0/0, and the NaN goes on into everything computed from this batch. "
            "An empty sentence is a fault in the data: say so at the door."
        ),
        caught_by=REFUSED,
        swap=((" or not mask.any(axis=1).all()", ""),),
    ),
    WrongAnswer(
        id="input-precision",
        title="computed in the precision of the inputs",
        explanation=(
            "With float32 or float16 inputs your numbers carry only as many digits as those. Asked for are float64 "
            "results from the first product on. Where do you decide on the precision?"
        ),
        caught_by="test_shapes_and_float64_whatever_the_input",
        swap=(
            ("x = np.asarray(x, dtype=np.float64)\n    mean", "x = np.asarray(x)\n    mean"),
            ("x = np.asarray(x, dtype=np.float64)\n    if", "x = np.asarray(x)\n    if"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="one-sentence-at-a-time",
        title="one sentence at a time without its padding, one head at a time, GELU by the normal distribution",
        code="""
from statistics import NormalDist


def layer_norm(x, weight, bias):
    x = x.astype(float)
    centred = x - np.expand_dims(x.mean(axis=-1), -1)
    return weight * centred / np.expand_dims(np.sqrt(np.square(centred).mean(axis=-1) + 1e-12), -1) + bias


def bert_encoder_layer(x, params, n_heads, mask):
    if len(x.shape) != 3:
        raise ValueError("x")
    d = x.shape[2]
    if n_heads not in [n for n in range(1, d + 1) if d % n == 0]:
        raise ValueError("heads")
    if mask.dtype != np.bool_ or mask.shape != x.shape[:2]:
        raise ValueError("mask")
    layers = {}
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                 "intermediate.dense", "output.dense", "attention.output.LayerNorm", "output.LayerNorm"):
        layers[name] = params[name + ".weight"], params[name + ".bias"]
    f = layers["intermediate.dense"][0].shape[0]
    for name, (weight, bias) in layers.items():
        out = f if name == "intermediate.dense" else d
        expected = (out,) if name.endswith("Norm") else (out, f if name == "output.dense" else d)
        if weight.shape != expected or bias.shape != (out,):
            raise ValueError(name)
    cdf = np.vectorize(NormalDist().cdf)
    output = np.zeros(x.shape)
    for i, keep in enumerate(mask):
        if not keep.any():
            raise ValueError("empty sentence")
        tokens = x[i][keep].astype(float)
        q, k, v = (np.split(tokens @ layers[f"attention.self.{part}"][0].T + layers[f"attention.self.{part}"][1],
                            n_heads, axis=1) for part in ("query", "key", "value"))
        heads = []
        for a, b, c in zip(q, k, v):
            scores = a @ b.T * a.shape[1] ** -0.5
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(powers / powers.sum(axis=1, keepdims=True) @ c)
        weight, bias = layers["attention.output.dense"]
        h = layer_norm(tokens + np.hstack(heads) @ weight.T + bias, *layers["attention.output.LayerNorm"])
        z = h @ layers["intermediate.dense"][0].T + layers["intermediate.dense"][1]
        weight, bias = layers["output.dense"]
        output[i, keep] = layer_norm(h + (z * cdf(z)) @ weight.T + bias, *layers["output.LayerNorm"])
    return output
""",
    ),
    Alternative(
        id="einsum",
        title="einsum over (batch, token, head, width), softmax by the logarithm of the sum",
        code="""
def layer_norm(x, weight, bias):
    x = np.array(x, dtype=np.float64)
    return weight * ((x - np.mean(x, -1, keepdims=True)) / np.hypot(np.std(x, -1, keepdims=True), 1e-6)) + bias


def bert_encoder_layer(x, params, n_heads, mask):
    if np.ndim(x) != 3:
        raise ValueError("three axes please")
    b, t, d = np.shape(x)
    if n_heads <= 0 or n_heads * (d // n_heads) != d:
        raise ValueError("heads")
    if mask.dtype.kind != "b":
        raise TypeError("mask")
    if mask.shape != (b, t) or mask.sum(axis=1).min() == 0:
        raise ValueError("mask")
    W1, b1, W2, b2 = (params[f"{name}.{kind}"] for name in ("intermediate.dense", "output.dense")
                      for kind in ("weight", "bias"))
    if W1.ndim != 2 or W1.shape[1] != d or b1.shape != W1.shape[:1] or W2.shape != W1.shape[::-1] or b2.shape != (d,):
        raise ValueError("feed-forward part")
    x = np.asarray(x, dtype=np.float64)

    def heads(name):
        weight, bias = params[f"attention.{name}.weight"], params[f"attention.{name}.bias"]
        if weight.shape != (d, d) or bias.shape != (d,):
            raise ValueError(name)
        return np.asarray(weight, float).reshape(n_heads, d // n_heads, d), np.reshape(bias, (n_heads, d // n_heads))

    def norm(y, name):
        weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
        if weight.shape != (d,) or bias.shape != (d,):
            raise ValueError(name)
        return layer_norm(y, weight, bias)

    q, k, v = (np.einsum("btd,hwd->bthw", x, W) + c for W, c in map(heads, ("self.query", "self.key", "self.value")))
    scores = np.einsum("bqhw,bkhw->bhqk", q, k) / (d / n_heads) ** 0.5
    scores[np.broadcast_to(~mask[:, None, None, :], scores.shape)] = -np.inf
    weights = np.exp(scores - np.logaddexp.reduce(scores, axis=3, keepdims=True))
    W, c = heads("output.dense")
    joined = np.einsum("bhqk,bkhw->bqhw", weights, v).reshape(b, t, d)
    h = norm(x + joined @ W.reshape(d, d).T + c.reshape(d), "attention.output.LayerNorm")
    z = h @ W1.T + b1
    return norm(h + 0.5 * z * (1 + erf(z / math.sqrt(2))) @ W2.T + b2, "output.LayerNorm")
""",
    ),
    Alternative(
        id="one-head-at-a-time",
        title="a loop over heads with rows of the matrices, additive mask, parameters read once into a table",
        code="""
def bert_encoder_layer(x, params, n_heads, mask):
    x = np.array(x, dtype=float)
    if x.ndim != 3 or n_heads < 1 or x.shape[-1] % n_heads != 0:
        raise ValueError("x or heads")
    b, t, d = x.shape
    if not mask.dtype == bool:
        raise TypeError("mask")
    if mask.shape != (b, t):
        raise ValueError("mask")
    for row in mask:
        if not any(row):
            raise ValueError("no token")
    names = [f"attention.self.{part}" for part in ("query", "key", "value")]
    names += ["attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense",
              "output.LayerNorm"]
    (Wq, bq), (Wk, bk), (Wv, bv), (Wo, bo), (g1, c1), (W1, b1), (W2, b2), (g2, c2) = (
        (params[name + ".weight"], params[name + ".bias"]) for name in names)
    if {Wq.shape, Wk.shape, Wv.shape, Wo.shape} != {(d, d)}:
        raise ValueError("attention")
    if {a.shape for a in (bq, bk, bv, bo, g1, c1, b2, g2, c2)} != {(d,)}:
        raise ValueError("vectors")
    if W1.shape != b1.shape + (d,) or W2.shape != (d,) + b1.shape:
        raise ValueError("feed-forward part")
    attention = np.zeros_like(x)
    hidden = np.where(mask, 0.0, -1e12)[:, None, :]  # (batch, 1, keys)
    size = d // n_heads
    for h in range(n_heads):
        rows = slice(h * size, (h + 1) * size)
        q, k, v = (x @ W[rows].T + bias[rows] for W, bias in ((Wq, bq), (Wk, bk), (Wv, bv)))
        scores = q @ np.swapaxes(k, 1, 2) / math.sqrt(size) + hidden
        powers = np.exp(scores - np.max(scores, axis=2, keepdims=True))
        attention += powers / np.sum(powers, axis=2, keepdims=True) @ v @ Wo[:, rows].T
    y = layer_norm(x + attention + bo, g1, c1)
    z = np.einsum("btd,fd->btf", y, W1) + b1
    return layer_norm(y + np.einsum("btf,df->btd", z * 0.5 * (1 + erf(z / 2**0.5)), W2) + b2, g2, c2)
""",
    ),
]
