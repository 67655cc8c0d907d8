"""Wrong and differently written answers to regularisation/dropout.

Every "must reject" line of B-Q6a and E-Q4b has an entry. Two lines of E-Q4b repeat lines of B-Q6a (no factor, p as keep
probability); the erratum takes only `modality_dropout` from E-Q4b, so the second has an entry for each function.
"""

from grader.catalogue import Alternative, WrongAnswer

DRAW = "    mask = rng.random(x.shape) >= p\n"
SCALED = "    return x * mask * scale, mask\n"
SCALE_FORWARD = """    # divided by the probability of being kept, an entry keeps its mean; with p = 1 nothing is kept
    scale = 1 / (1 - p) if p < 1 else 0.0
"""
SCALE_BACKWARD = """    # dropout multiplies x by mask * scale, so its gradient is multiplied by the same
    scale = 1 / (1 - p) if p < 1 else 0.0
"""
IDENTITY = """    if not training:
        return x, np.ones(x.shape, dtype=bool)
"""
DRAW_MODALITIES = "        present = rng.random((batch, modalities)) >= p\n"
GIVE_BACK = """        bare = np.flatnonzero(~present.any(axis=1))
        present[bare, rng.integers(modalities, size=len(bare))] = True
"""
KEPT = "feature.astype(np.float64) * present[:, [m]]"

wrong_answers = [
    WrongAnswer(
        id="not-rescaled",
        title="units dropped, and the rest left as they are",
        explanation=(
            "Dropping alone makes the layer's output smaller in training than at inference, where nothing is dropped. "
            "Average your output over many masks and compare it with the input: what is missing?"
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=((SCALED, "    return x * mask, mask\n"),),
    ),
    WrongAnswer(
        id="factor-at-inference",
        title="activations multiplied by 1 - p at inference",
        explanation=(
            "This factor belongs to the form of dropout that leaves training without one. Where kept entries are "
            "divided in training, the mean is right already, and a second factor makes inference too small."
        ),
        caught_by="test_nothing_is_dropped_at_inference",
        swap=((IDENTITY, IDENTITY.replace("return x,", "return x * (1 - p),")),),
    ),
    WrongAnswer(
        id="p-keeps",
        title="p read as the probability of being kept",
        explanation=(
            "With p = 0.25 your dropout drops three quarters of the entries. In PyTorch and Keras, and here, the rate is "
            "the probability of being dropped."
        ),
        caught_by="test_entries_are_dropped_independently_with_probability_p",
        swap=((DRAW, "    mask = rng.random(x.shape) < p\n"),),
    ),
    WrongAnswer(
        id="modality-p-keeps",
        title="p read as the probability that a modality stays",
        explanation=(
            "With a high rate your modality dropout drops little, and with a low one nearly everything. The rate is the "
            "probability of being dropped."
        ),
        caught_by="test_modalities_are_dropped_independently",
        swap=((DRAW_MODALITIES, "        present = rng.random((batch, modalities)) < p\n"),),
    ),
    WrongAnswer(
        id="divided-by-p",
        title="kept entries divided by p",
        explanation=(
            "Kept entries are divided by the probability of being dropped, which agrees with the right factor only for "
            "p = 0.5. What fraction of its entries does a mask let through?"
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(
            (
                SCALE_FORWARD,
                "    scale = 1 / p if p > 0 else 1.0\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-at-one",
        title="0 divided by 0 at p = 1",
        explanation=(
            "With p = 1 everything is dropped and the probability of being kept is 0, so your division gives NaN. One NaN "
            "spreads through the whole network. Treat this rate before you divide."
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(
            (SCALED, "    return x * mask / np.float64(1 - p), mask\n"),
            ("    return grad_y * mask * scale\n", "    return grad_y * mask / np.float64(1 - p)\n"),
        ),
    ),
    WrongAnswer(
        id="gradient-with-a-new-mask",
        title="a new mask in the backward pass",
        explanation=(
            "Your backward pass draws again instead of using the mask it is given, so it is the gradient of another "
            "function than the one that was computed. Which entries of x had an influence on y?"
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(
            (
                "    return grad_y * mask * scale\n",
                "    mask = np.random.default_rng(0).random(grad_y.shape) >= p\n    return grad_y * mask * scale\n",
            ),
        ),
    ),
    WrongAnswer(
        id="changed-in-place",
        title="x overwritten",
        explanation=(
            "Your function multiplies the caller's array in place. Whoever uses x again, in a residual connection for "
            "instance, finds the dropped version. Work on a new array."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            ("    x = np.array(x, dtype=np.float64)  # a copy\n", "    x = np.asarray(x, dtype=np.float64)\n"),
            (SCALED, "    x *= mask * scale\n    return x, mask\n"),
        ),
    ),
    WrongAnswer(
        id="active-at-inference",
        title="entries dropped at inference too",
        explanation=(
            "Your function drops whatever `training` says. Predictions then change from call to call. A layer that is "
            "not training passes its input on."
        ),
        caught_by="test_nothing_is_dropped_at_inference",
        swap=((IDENTITY, ""),),
    ),
    WrongAnswer(
        id="modalities-dropped-at-inference",
        title="modalities dropped at inference too",
        explanation=(
            "`modality_dropout` drops modalities although it is called with `training=False`. A deployed model would "
            "ignore the image of some requests."
        ),
        caught_by="test_nothing_is_dropped_at_inference",
        swap=(("    if training:\n", "    if True:\n"),),
    ),
    WrongAnswer(
        id="all-modalities-lost",
        title="samples that lose all of their modalities",
        explanation=(
            "Some of your samples keep no modality at all: their label would have to be learned from zeros. Look at the "
            "rows of `present` that have no True."
        ),
        caught_by="test_dropped_modalities_are_zero_and_one_is_left",
        swap=((GIVE_BACK, ""),),
    ),
    WrongAnswer(
        id="one-mask-for-all-rows",
        title="one mask for all rows",
        explanation=(
            "You draw one mask for the last axis and use it in every row, so a whole batch loses the same units. Each "
            "entry has to be drawn by itself: how many random numbers does that take?"
        ),
        caught_by="test_entries_are_dropped_independently_with_probability_p",
        swap=((DRAW, "    mask = np.broadcast_to(rng.random(x.shape[-1]) >= p, x.shape).copy()\n"),),
    ),
    WrongAnswer(
        id="one-row-for-all-samples",
        title="the same modalities dropped from every sample",
        explanation=(
            "Your function draws once for each modality, and the whole batch loses the same ones. The draw belongs to a "
            "sample and a modality."
        ),
        caught_by="test_modalities_are_dropped_independently",
        swap=((DRAW_MODALITIES, "        present = np.repeat(rng.random((1, modalities)) >= p, batch, axis=0)\n"),),
    ),
    WrongAnswer(
        id="gradient-not-rescaled",
        title="a gradient without the factor",
        explanation=(
            "Your gradient uses the mask but not the factor by which kept entries were multiplied. Compare it with "
            "(f(x + h) - f(x)) / h for one kept entry."
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(("    return grad_y * mask * scale\n", "    return grad_y * mask\n"),),
    ),
    WrongAnswer(
        id="gradient-without-the-mask",
        title="gradient for dropped entries",
        explanation=(
            "Dropped entries had no influence on the output, but your gradient is not 0 there. The mask of the forward "
            "pass has to act on the gradient too."
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(("    return grad_y * mask * scale\n", "    return grad_y * scale\n"),),
    ),
    WrongAnswer(
        id="computed-in-float32",
        title="float32 arguments computed in float32",
        explanation=(
            "Your results are right to about seven digits for float32 arguments, and no better. The rules ask for float64 "
            "throughout: convert before you divide, not afterwards."
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(
            (SCALED, "    return (x.astype(np.float32) * mask * np.float32(scale)).astype(np.float64), mask\n"),
            (
                "    return grad_y * mask * scale\n",
                "    return (grad_y.astype(np.float32) * mask * np.float32(scale)).astype(np.float64)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="integers-kept",
        title="a result in the type of x",
        explanation=(
            "For integers your result is an array of integers, so the division is cut off behind the point, and for "
            "float32 it is float32. The rules promise float64."
        ),
        caught_by="test_kept_entries_and_their_gradient_are_scaled_alike",
        swap=(
            (
                "    x = np.array(x, dtype=np.float64)  # a copy\n",
                "    kind = np.asarray(x).dtype\n    x = np.array(x, dtype=np.float64)\n",
            ),
            (SCALED, "    return (x * mask * scale).astype(kind), mask\n"),
        ),
    ),
    WrongAnswer(
        id="generator-used-at-inference",
        title="random numbers drawn at inference",
        explanation=(
            "At inference your result is right, but the generator has been used. Whatever is drawn from it next differs "
            "from a run without this call, and such runs are hard to reproduce. Draw only when you need the numbers."
        ),
        caught_by="test_nothing_is_dropped_at_inference",
        swap=((DRAW, ""), (IDENTITY, DRAW + IDENTITY)),
    ),
    WrongAnswer(
        id="exact-share-dropped",
        title="exactly p times the number of entries dropped",
        explanation=(
            "You pick a fixed number of entries. Then entries are no longer independent: one that is dropped makes it "
            "less likely for the others. Each entry has to be decided by itself, and the number varies."
        ),
        caught_by="test_entries_are_dropped_independently_with_probability_p",
        swap=(
            (
                DRAW,
                "    mask = np.ones(x.size, dtype=bool)\n"
                "    mask[rng.permutation(x.size)[: round(p * x.size)]] = False\n"
                "    mask = mask.reshape(x.shape)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="global-generator",
        title="dropout drawn from NumPy's global generator",
        explanation=(
            "`np.random.rand` and its like ignore the generator that is passed in: two runs with equal generators differ, "
            "and the state of somebody else's random numbers changes."
        ),
        caught_by="test_entries_are_dropped_independently_with_probability_p",
        swap=((DRAW, "    mask = np.random.random(x.shape) >= p\n"),),
    ),
    WrongAnswer(
        id="global-generator-for-modalities",
        title="modality dropout drawn from NumPy's global generator",
        explanation=(
            "`np.random.rand` and its like ignore the generator that is passed in: two runs with equal generators differ, "
            "and the state of somebody else's random numbers changes."
        ),
        caught_by="test_modalities_are_dropped_independently",
        swap=(
            (DRAW_MODALITIES, "        present = np.random.random((batch, modalities)) >= p\n"),
            ("rng.integers(modalities, size=len(bare))", "np.random.randint(modalities, size=len(bare))"),
        ),
    ),
    WrongAnswer(
        id="generator-of-its-own",
        title="a generator made inside the function",
        explanation=(
            "Your function makes a generator with a fixed seed, so every call drops the same entries: the network trains "
            "without them, and dropout adds no noise at all. Use the one that is passed in."
        ),
        caught_by="test_entries_are_dropped_independently_with_probability_p",
        swap=((DRAW, "    mask = np.random.default_rng(0).random(x.shape) >= p\n"),),
    ),
    WrongAnswer(
        id="drawn-again",
        title="bare samples drawn again until something is left",
        explanation=(
            "Samples without a modality are drawn once more as a whole. That gives bare samples several modalities at "
            "times, and shifts how often each set of modalities occurs. The rule gives exactly one of them back."
        ),
        caught_by="test_modalities_are_dropped_independently",
        swap=(
            (
                GIVE_BACK,
                "        if p == 1:\n"
                "            present[np.arange(batch), rng.integers(modalities, size=batch)] = True\n"
                "        for _ in range(10_000):\n"
                "            bare = np.flatnonzero(~present.any(axis=1))\n"
                "            if len(bare) == 0:\n"
                "                break\n"
                "            present[bare] = rng.random((len(bare), modalities)) >= p\n",
            ),
        ),
    ),
    WrongAnswer(
        id="first-modality-comes-back",
        title="bare samples always given the same modality back",
        explanation=(
            "A sample that lost everything always gets the same modality back, so that this one is dropped less often "
            "than the others and the model learns to lean on it. Draw which one returns."
        ),
        caught_by="test_modalities_are_dropped_independently",
        swap=((GIVE_BACK, "        present[~present.any(axis=1), 0] = True\n"),),
    ),
    WrongAnswer(
        id="one-draw-for-all-bare-samples",
        title="one draw for all bare samples of a batch",
        explanation=(
            "All samples of a batch that lost everything get the same modality back. Each of them needs a draw of its own."
        ),
        caught_by="test_modalities_are_dropped_independently",
        swap=(("rng.integers(modalities, size=len(bare))", "rng.integers(modalities)"),),
    ),
    WrongAnswer(
        id="present-rescaled",
        title="present modalities divided by 1 - p",
        explanation=(
            "Your present vectors are scaled as in ordinary dropout. Here a sample always keeps a modality, so this factor "
            "would not even give the right mean, and the rules ask for vectors as they are."
        ),
        caught_by="test_dropped_modalities_are_zero_and_one_is_left",
        swap=((KEPT, KEPT + " / (1 - p if p < 1 else 1)"),),
    ),
    WrongAnswer(
        id="entries-instead-of-vectors",
        title="single features dropped instead of whole modalities",
        explanation=(
            "Parts of a vector survive where `present` says that its modality is dropped, or the other way round. One "
            "boolean decides about the whole vector of a sample."
        ),
        caught_by="test_dropped_modalities_are_zero_and_one_is_left",
        swap=((KEPT, "feature.astype(np.float64) * (rng.random(feature.shape) >= p if training else 1)"),),
    ),
    WrongAnswer(
        id="present-inverted",
        title="`present` True where a modality was dropped",
        explanation=(
            "The features are right, but your booleans say the opposite of what they are called: True has to mean that "
            "the modality is there. A mask that is read the other way round hides what is present."
        ),
        caught_by="test_dropped_modalities_are_zero_and_one_is_left",
        swap=(("    return kept, present\n", "    return kept, ~present if training else present\n"),),
    ),
    WrongAnswer(
        id="nan-rate-accepted",
        title="NaN accepted as a rate",
        explanation=(
            "Your test of p lets NaN pass. Every comparison with NaN is False, so ask whether p is inside the interval "
            "rather than whether it is outside."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                '        raise ValueError(f"p must be in [0, 1], not {p}")\n    x = ',
                '        pass\n    if p < 0 or p > 1:\n        raise ValueError("p must be in [0, 1]")\n    x = ',
            ),
        ),
    ),
    WrongAnswer(
        id="integer-features-accepted",
        title="integer features accepted",
        explanation=(
            "Integer or boolean features go through. They are usually token ids or masks that were passed by mistake, and "
            "as numbers they mean nothing, so the rules ask for a `TypeError`."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                '        raise TypeError(f"features must be floating, not {[feature.dtype for feature in features]}")\n',
                "        pass\n",
            ),
        ),
    ),
    WrongAnswer(
        id="mask-broadcast",
        title="a mask of another shape stretched to fit",
        explanation=(
            "A gradient and a mask of different shapes are accepted, and NumPy stretches one of them if it can. Then one "
            "sample's mask acts on another sample's gradient. Compare the shapes first."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                '        raise ValueError(f"gradient {grad_y.shape} and mask {mask.shape} differ in shape")\n',
                "        pass\n",
            ),
        ),
    ),
    WrongAnswer(
        id="input-handed-back",
        title="the argument itself returned when nothing is dropped",
        explanation=(
            "At inference your result is the caller's own array. Whoever writes into the result then changes the input, "
            "but at inference only, which is hard to find."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(("    x = np.array(x, dtype=np.float64)  # a copy\n", "    x = np.asarray(x, dtype=np.float64)\n"),),
    ),
    WrongAnswer(
        id="published-claims",
        title="rotating and cropping the images alone taken for safe",
        explanation=(
            "One of the claims is advice that is often published for single images. Think of a caption that says where "
            "something is, and of the boxes that come with the image."
        ),
        caught_by="test_claims",
        swap=(("crops_are_safe=False", "crops_are_safe=True"),),
    ),
    WrongAnswer(
        id="expectation-and-share-misjudged",
        title="what dropout keeps on average mistaken for what it keeps each time",
        explanation=(
            "At least one claim that speaks of a mean, of a share or of single draws is judged wrongly. For each of them "
            "work out a case of two units, and of p = 0.5, by hand."
        ),
        caught_by="test_claims",
        swap=(
            ("exact_share=False", "exact_share=True"),
            ("mean_not_variance=True", "mean_not_variance=False"),
            ("mean_behind_relu=False", "mean_behind_relu=True"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="choice-and-argmax",
        title="Bernoulli draws with choice, and the largest of the uniform numbers always kept",
        code="""
def dropout(x, p, training, rng):
    if np.isnan(p) or p < 0 or p > 1:
        raise ValueError("p")
    x = np.asarray(x)
    if training:
        mask = rng.choice([True, False], size=x.shape, p=[1 - p, p])
    else:
        mask, p = np.full(x.shape, True), 0
    y = np.zeros(x.shape)
    if mask.any():
        y[mask] = x[mask].astype(float) / (1 - p)
    return y, mask


def dropout_backward(grad_y, mask, p):
    grad_y = np.asarray(grad_y, dtype=float)
    if np.isnan(p) or p < 0 or p > 1 or np.shape(grad_y) != np.shape(mask):
        raise ValueError("p or shape")
    if p == 1:
        return np.zeros_like(grad_y)
    return np.where(mask, grad_y / (1 - p), 0.0)


def modality_dropout(features, p, rng, training=True):
    if np.isnan(p) or p < 0 or p > 1:
        raise ValueError("p")
    shapes = [np.shape(feature) for feature in features]
    if {len(shape) for shape in shapes} != {2} or len({shape[0] for shape in shapes}) != 1:
        raise ValueError("shapes")
    if any(feature.dtype.kind != "f" for feature in features):
        raise TypeError("floating features only")
    present = np.full((shapes[0][0], len(shapes)), True)
    if training:
        # given that all numbers of a row lie below p, each of them is the largest equally often
        uniform = rng.random(present.shape)
        present = (uniform >= p) | (uniform == uniform.max(axis=1, keepdims=True))
    results = []
    for feature, column in zip(features, present.T):
        result = np.array(feature, dtype=float)
        result[~column] = 0
        results.append(result)
    return results, present
""",
    ),
    Alternative(
        id="loops",
        title="one random number at a time, in plain loops",
        code="""
def dropout(x, p, training, rng):
    if not (p >= 0 and p <= 1):
        raise ValueError("p")
    x = np.asarray(x, dtype=np.float64)
    y, mask = np.zeros(x.shape), np.zeros(x.shape, dtype=bool)
    for index in np.ndindex(x.shape):
        if not training:
            y[index], mask[index] = x[index], True
        elif rng.random() < 1 - p:
            y[index], mask[index] = x[index] / (1 - p), True
    return y, mask


def dropout_backward(grad_y, mask, p):
    if not (p >= 0 and p <= 1):
        raise ValueError("p")
    grad_y = np.asarray(grad_y)
    if grad_y.shape != mask.shape:
        raise ValueError("shapes")
    flat = [float(g) / (1 - p) if m else 0.0 for g, m in zip(grad_y.ravel(), mask.ravel())]
    return np.array(flat, dtype=np.float64).reshape(mask.shape)


def modality_dropout(features, p, rng, training=True):
    if not (p >= 0 and p <= 1):
        raise ValueError("p")
    if not features:
        raise ValueError("no modality")
    for feature in features:
        if feature.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError("type")
        if feature.ndim != 2 or feature.shape[0] != features[0].shape[0]:
            raise ValueError("shape")
    batch, count = features[0].shape[0], len(features)
    present = np.ones((batch, count), dtype=bool)
    results = [feature.astype(np.float64).copy() for feature in features]
    if not training:
        return results, present
    for sample in range(batch):
        lost = [m for m in range(count) if rng.random() < p]
        if len(lost) == count:
            lost.remove(int(rng.choice(count)))
        for m in lost:
            present[sample, m] = False
            results[m][sample] = 0.0
    return results, present
""",
    ),
    Alternative(
        id="binomial-and-permuted",
        title="binomial draws, and a shuffled one-hot row for bare samples",
        code="""
def checked(p):
    if not np.isfinite(p) or abs(p - 0.5) > 0.5:
        raise ValueError("p")
    return p


def dropout(x, p, training, rng):
    checked(p)
    x = np.asarray(x).astype(np.float64)
    if not training:
        return 1.0 * x, x == x
    mask = rng.binomial(1, 1 - p, size=x.shape).astype(bool)
    return np.divide(x * mask, 1 - p, out=np.zeros_like(x), where=mask), mask


def dropout_backward(grad_y, mask, p):
    checked(p)
    grad_y = np.array(grad_y, dtype=np.float64)
    if np.array_equal(grad_y.shape, mask.shape):
        grad_y[~mask] = 0
        grad_y[mask] /= 1 - p
        return grad_y
    raise ValueError("shape")


def modality_dropout(features, p, rng, training=True):
    checked(p)
    if len(features) < 1 or any(np.ndim(feature) != 2 for feature in features):
        raise ValueError("features")
    if not all(len(feature) == len(features[-1]) for feature in features):
        raise ValueError("batch")
    if not all(issubclass(feature.dtype.type, np.floating) for feature in features):
        raise TypeError("type")
    shape = (len(features[0]), len(features))
    if training:
        dropped = rng.binomial(1, p, size=shape).astype(bool)
        one_hot = np.zeros(shape, dtype=bool)
        one_hot[:, 0] = True
        present = ~dropped | (rng.permuted(one_hot, axis=1) & dropped.all(axis=1)[:, None])
    else:
        present = np.ones(shape, dtype=bool)
    return [np.where(present[:, m : m + 1], features[m], 0).astype(float) for m in range(shape[1])], present
""",
    ),
]

equivalent_mutants = {
    "0.0 -> 0.5 in `scale": "with p = 1 the mask is all False, so any finite factor gives the same zeros",
    "GtE -> Gt in `mask = rng.random": "a uniform float64 number equals p with a probability of at most 2**-53",
    "GtE -> Gt in `present = rng.random": "a uniform float64 number equals p with a probability of at most 2**-53",
}
