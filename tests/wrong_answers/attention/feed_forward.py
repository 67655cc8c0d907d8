"""Catalogue of attention/feed_forward."""

from grader.catalogue import Alternative, WrongAnswer

GELU_CHECK = "test_the_default_is_exact_gelu"
BETWEEN = "test_bias_and_activation_stand_between_the_two_maps"
SWIGLU = "test_swiglu_opens_and_closes_one_branch_with_the_other"
POSITIONS = "test_every_token_is_processed_by_itself"

GELU = "inner = z * (1 + erf(z / np.sqrt(2))) / 2"
GELU_TANH = "inner = z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2"
SILU = "gate = z * (1 + np.tanh(z / 2)) / 2"
BRANCH = "(x @ W3 + (0 if b3 is None else b3))"
FIRST = "z = x @ W1 + b1"

FITS = "NumPy refuses what is left through here as well, in the unpacking or in the first product, with ValueError."
equivalent_mutants = {
    "Or -> And in `if W1.ndim != 2": FITS,
    "dropped `raise ValueError(f'x {x.shape} and W1": FITS,
}

wrong_answers = [
    WrongAnswer(
        id="relu-for-gelu",  # the published formula, presented as BERT's
        title="ReLU where GELU is asked for",
        explanation=(
            "max(0, z) is the activation of the first transformer, and often published as BERT's. BERT was trained "
            "with GELU, which keeps a part of small negative entries. Look up which function belongs to the name, and "
            "compare the two at z = -1."
        ),
        caught_by=GELU_CHECK,
        swap=((GELU, "inner = np.maximum(z, 0)  # gelu"),),
    ),
    WrongAnswer(
        id="tanh-for-gelu",
        title="the approximation by tanh taken for GELU",
        explanation=(
            "The curve is right to three decimals and off by up to 0.0005, most of all near z = 2.7 and z = -2.7. Two "
            "functions carry the name GELU: one with the normal distribution function itself, and a fast "
            "approximation of it. Weights trained with the first want the first."
        ),
        caught_by=GELU_CHECK,
        swap=((GELU, GELU_TANH + "  # gelu"),),
    ),
    WrongAnswer(
        id="quick-gelu",
        title="z times the logistic function of 1.702 z",
        explanation=(
            "This is the coarser approximation that the original CLIP uses, off by up to 0.02. It is fine for weights "
            "that were trained with it and for no others. What does Φ(z) stand for in the exact form?"
        ),
        caught_by=GELU_CHECK,
        swap=((GELU, "inner = z / (1 + np.exp(-1.702 * z))"),),
    ),
    WrongAnswer(
        id="exact-for-gelu-tanh",
        title="the exact GELU where its approximation is asked for",
        explanation=(
            "More exact is not better here: GPT-2 was trained with the approximation, and reproducing it means using "
            "the same one. The name asks for the form with tanh."
        ),
        caught_by="test_relu_and_gelu_by_tanh_are_those_asked_for",
        swap=((GELU_TANH, GELU + "  # gelu_tanh"),),
    ),
    WrongAnswer(
        id="activation-after-the-second-map",
        title="the activation after the second map",
        explanation=(
            "With nothing in between, the two matrices collapse into a single one of the same width, and the hidden "
            "width buys nothing. The bend has to stand where it can do something for each hidden unit."
        ),
        caught_by=BETWEEN,
        code="""
activate = feed_forward


def feed_forward(x, W1, b1, W2, b2, activation="gelu", W3=None, b3=None):
    correct = activate(x, W1, b1, W2, b2, activation, W3, b3)
    if activation == "swiglu":
        return correct
    linear = (x @ W1 + b1) @ W2 + b2
    identity, nothing = np.eye(linear.shape[-1]), np.zeros(linear.shape[-1])
    return activate(linear, identity, nothing, identity, nothing, activation)
""",
    ),
    WrongAnswer(
        id="first-bias-left-out",
        title="no bias before the activation",
        explanation=(
            "z is x W1 alone. The bias moves the place of the bend for every hidden unit; without it all of them bend "
            "at 0. Which of the arguments have you not used?"
        ),
        caught_by=BETWEEN,
        swap=((FIRST, "z = x @ W1"),),
    ),
    WrongAnswer(
        id="second-bias-left-out",
        title="no bias after the second map",
        explanation=(
            "The last line lacks its bias, so a token whose hidden units are all 0 comes out as exactly 0. Compare the "
            "two affine maps with each other."
        ),
        caught_by=BETWEEN,
        swap=(("return inner @ W2 + b2", "return inner @ W2"),),
    ),
    WrongAnswer(
        id="tokens-flattened",
        title="all tokens of a sentence flattened into one vector",
        explanation=(
            "A sentence is turned into one long vector, as for a classifier on top of a convolutional network. That "
            "does not fit a matrix made for one token, and where it would fit, the layer could not take sentences of "
            "another length. Which axis does `@` sum over if you leave x as it is?"
        ),
        caught_by=POSITIONS,
        swap=((FIRST, "z = x.reshape(len(x), -1) @ W1 + b1"),),
    ),
    WrongAnswer(
        id="tokens-pooled",
        title="the tokens averaged before the layer",
        explanation=(
            "Every token of a sentence gets the same result, that of their mean. Bringing tokens together is the work "
            "of attention; this layer treats each token as if it were alone."
        ),
        caught_by=POSITIONS,
        swap=((FIRST, "x = x - x + x.mean(axis=-2, keepdims=True) if x.ndim > 1 else x\n    z = x @ W1 + b1"),),
    ),
    WrongAnswer(
        id="silu-on-the-wrong-branch",
        title="SiLU applied to the branch of W3",
        explanation=(
            "Both branches are made from x and look alike, but only one of them is the gate. In the table, see which "
            "matrix stands inside SiLU. Loaded weights in the wrong roles give wrong features without any error."
        ),
        caught_by=SWIGLU,
        swap=(
            (SILU, "gate = z"),
            (
                f"inner = gate * {BRANCH}",
                f"branch = {BRANCH}\n        inner = gate * branch * (1 + np.tanh(branch / 2)) / 2",
            ),
        ),
    ),
    WrongAnswer(
        id="sigmoid-gate",
        title="a sigmoid as the gate instead of SiLU",
        explanation=(
            "This is the gated linear unit from which SwiGLU was made; its gate only scales between 0 and 1. SiLU is "
            "the sigmoid of z with one more factor."
        ),
        caught_by=SWIGLU,
        swap=((SILU, "gate = (1 + np.tanh(z / 2)) / 2"),),
    ),
    WrongAnswer(
        id="third-bias-left-out",
        title="the bias of the second branch left out",
        explanation=(
            "`b3` is accepted and not used. Most models have none there, which is why it may be None; when it is "
            "given, it belongs to x W3, before the product of the branches."
        ),
        caught_by=SWIGLU,
        swap=((BRANCH, "(x @ W3)"),),
    ),
    WrongAnswer(
        id="silu-overflow",
        title="the logistic function as exp(z) / (1 + exp(z))",
        explanation=(
            "For z = 1000 this is infinity divided by infinity, which is not a number. The form with exp(-z) survives "
            "on both sides, and so does one with tanh. Try both ends before you trust a formula."
        ),
        caught_by="test_large_values_stay_finite",
        swap=((SILU, "gate = z * np.exp(z) / (1 + np.exp(z))"),),
    ),
    WrongAnswer(
        id="third-matrix-ignored",
        title="W3 or b3 silently ignored with another activation",
        explanation=(
            "Whoever passes a third matrix wants a gated layer. With a forgotten `activation=` your function computes "
            "a different one and says nothing. A call that contradicts itself should be refused."
        ),
        caught_by="test_arguments_that_do_not_fit_are_refused",
        swap=(("    elif W3 is not None or b3 is not None:\n", "    elif False:\n"),),
    ),
    WrongAnswer(
        id="input-precision",
        title="computed in the precision of the inputs",
        explanation=(
            "With float32 or float16 inputs your numbers carry only as many digits as those. Asked for are float64 "
            "results from the first product on. Where do you decide on the precision?"
        ),
        caught_by="test_the_output_has_the_shape_of_the_tokens",
        swap=(("x = np.asarray(x, dtype=np.float64)", "x = np.asarray(x)"),),
    ),
]

alternatives = [
    Alternative(
        id="one-token-at-a-time",
        title="a loop over the tokens and hidden units with plain numbers",
        code="""
from statistics import NormalDist

FUNCTIONS = {
    "relu": lambda z: max(z, 0.0),
    "gelu": lambda z: z * NormalDist().cdf(z),
    "gelu_tanh": lambda z: 0.5 * z * (1.0 + math.tanh((2 / math.pi) ** 0.5 * (z + 0.044715 * z * z * z))),
    "swiglu": lambda z: z / (1 + math.exp(-z)) if z > -700 else 0.0,
}


def feed_forward(x, W1, b1, W2, b2, activation="gelu", W3=None, b3=None):
    if activation not in FUNCTIONS:
        raise ValueError("activation")
    gated = activation == "swiglu"
    if gated and W3 is None or not gated and not (W3 is None and b3 is None):
        raise ValueError("W3")
    if W1.ndim != 2 or x.ndim < 1:
        raise ValueError("axes")
    d, f = W1.shape
    for array, shape in ((x, x.shape[:-1] + (d,)), (b1, (f,)), (W2, (f, d)), (b2, (d,)), (W3, (d, f)), (b3, (f,))):
        if array is not None and array.shape != shape:
            raise ValueError("shape")
    output = np.empty(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        token = x[index].astype(float)
        inner = [FUNCTIONS[activation](float(np.dot(token, W1[:, j]) + b1[j])) for j in range(f)]
        if gated:
            other = [float(np.dot(token, W3[:, j])) + (0.0 if b3 is None else float(b3[j])) for j in range(f)]
            inner = [left * right for left, right in zip(inner, other)]
        for o in range(d):
            output[index + (o,)] = math.fsum(h * float(W2[j, o]) for j, h in enumerate(inner)) + float(b2[o])
    return output
""",
    ),
    Alternative(
        id="flattened-and-back",
        title="all tokens as rows of one matrix, biases as one more row of the matrices",
        code="""
def feed_forward(x, W1, b1, W2, b2, activation="gelu", W3=None, b3=None):
    if np.ndim(x) == 0 or np.ndim(W1) != 2:
        raise ValueError("x or W1")
    if (W3 is not None) != (activation == "swiglu"):
        raise ValueError("W3")
    if b3 is not None and W3 is None:
        raise ValueError("b3")

    def affine(rows, W, b, shape):
        if W.shape != shape or b.shape != shape[1:] or rows.shape[1] != shape[0]:
            raise ValueError("shapes")
        return np.column_stack([rows, np.ones(len(rows))]) @ np.vstack([W, b]).astype(np.float64)

    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)  # (tokens, width)
    width, hidden = W1.shape
    z = affine(rows, W1, b1, (width, hidden))
    match activation:
        case "relu":
            inner = np.where(z > 0, z, 0.0)
        case "gelu":
            inner = z * np.array([[math.erfc(-value / 2**0.5) / 2 for value in row] for row in z.tolist()])
        case "gelu_tanh":
            inner = 0.5 * z + 0.5 * z * np.tanh(math.sqrt(2 / math.pi) * z * (1 + 0.044715 * z * z))
        case "swiglu":
            other = affine(rows, W3, np.zeros(hidden) if b3 is None else b3, (width, hidden))
            inner = z * np.exp(-np.logaddexp(0.0, -z)) * other
        case _:
            raise ValueError("activation")
    return affine(inner, W2, b2, (hidden, width)).reshape(x.shape)
""",
    ),
    Alternative(
        id="einsum",
        title="einsum, and a table of functions of z and the other branch",
        code="""
def feed_forward(x, W1, b1, W2, b2, activation="gelu", W3=None, b3=None):
    table = {
        "relu": lambda z, _: z * (z > 0),
        "gelu": lambda z, _: 0.5 * z * (1 + erf(z / math.sqrt(2))),
        "gelu_tanh": lambda z, _: z / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (z + 0.044715 * np.power(z, 3)))),
        "swiglu": lambda z, other: z / (1 + np.exp(-z)) * other,
    }
    try:
        function = table[activation]
    except KeyError:
        raise ValueError("activation") from None
    if activation == "swiglu":
        if W3 is None:
            raise ValueError("W3 is missing")
        b3 = np.zeros(len(b1)) if b3 is None else b3
        if W3.shape != W1.shape or b3.shape != b1.shape:
            raise ValueError("W3 or b3")
    elif not (W3 is None and b3 is None):
        raise ValueError("W3 or b3 without swiglu")
    if not (x.ndim and W1.ndim == 2 and x.shape[-1:] == b2.shape == W1.shape[:1] and b1.shape == W1.shape[1:]
            and W2.shape == W1.shape[::-1]):
        raise ValueError("shapes")
    x = x.astype("float64")
    with np.errstate(over="ignore"):
        z = np.einsum("...d,df->...f", x, W1) + b1
        other = None if W3 is None else np.einsum("...d,df->...f", x, W3) + b3
        return np.einsum("...f,fd->...d", function(z, other), W2) + b2
""",
    ),
]
