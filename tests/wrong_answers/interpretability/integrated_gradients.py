"""Wrong and differently written answers to interpretability/integrated_gradients.

Every "reject" line of D-Q29 has an entry; "right-endpoint sum" is "right-ends", and the checks ask for the midpoint
rule's own value, which is stricter than a tolerance on the gap. The published answer has no code: its reading
(explanations optimise the model) is a claim.
"""

from grader.catalogue import Alternative, WrongAnswer

POINT = "point = [start + fraction * way for start, way in zip(starts, ways, strict=True)]"
MIDDLE = "fraction = (step + 0.5) / steps  # the middle of the piece"
RESULT = "return [way * total / steps for way, total in zip(ways, sums, strict=True)]"
LOOP = """    for step in range(steps):
        fraction = (step + 0.5) / steps  # the middle of the piece
        point = [start + fraction * way for start, way in zip(starts, ways, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(point)
            score = explained_score(f, point, target)  # (1,)
        gradients = tape.gradient(score, point, unconnected_gradients="zero")
        sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
"""


def one_at_a_time(others: str) -> tuple[str, str]:
    """The loop with one modality on its way and the others at `starts` or `inputs`."""
    return (
        LOOP,
        f"""    for place in range(len(inputs)):
        for step in range(steps):
            point = [tf.convert_to_tensor(x) for x in {others}]
            point[place] = starts[place] + (step + 0.5) / steps * ways[place]
            with tf.GradientTape() as tape:
                tape.watch(point)
                score = explained_score(f, point, target)
            gradients = tape.gradient(score, point, unconnected_gradients="zero")
            sums[place] = sums[place] + gradients[place]
""",
    )


wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="explanations taken for an improvement of the model",
        explanation=(
            "One of the claims is published as the benefit of interpretability. Compute the attributions of a thousand "
            "samples: which weight of the model is another one afterwards? Go through each claim with a model of one "
            "or two features that you can work out by hand."
        ),
        caught_by="test_claims",
        swap=(("explaining_improves=False,", "explaining_improves=True,"),),
    ),
    WrongAnswer(
        id="gradient-times-input",
        title="the gradient at the input, times the way from the baseline",
        explanation=(
            "All your gradients are taken at the input itself. For a linear score that is the same as on the rest of "
            "the path, for others it is not: the parts do not sum to what the score rises by. In the worked example "
            "it is the row that sums to 12."
        ),
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=((MIDDLE, "fraction = 1.0"),),
    ),
    WrongAnswer(
        id="raw-gradient",
        title="the gradient at the input, as it is",
        explanation=(
            "You return the gradient at the input. It says what the next small change would do, not what the value has "
            "contributed since the baseline, and it has other units than the score."
        ),
        caught_by="test_a_linear_score_is_shared_out_exactly",
        swap=((MIDDLE, "fraction = 1.0"), (RESULT, "return [total / steps for total in sums]")),
    ),
    WrongAnswer(
        id="no-difference-in-front",
        title="the mean gradient without the way from the baseline",
        explanation=(
            "Your result is the mean of the gradients on the path. An attribution is that mean times how far the value "
            "has come. Which attribution should a value get that is at its baseline?"
        ),
        caught_by="test_a_linear_score_is_shared_out_exactly",
        swap=((RESULT, "return [total / steps for total in sums]"),),
    ),
    WrongAnswer(
        id="input-in-front",
        title="the mean gradient times the input, also with baselines",
        explanation=(
            "The path begins at the baselines, but the factor in front of the mean gradient is the input, as if they "
            "were zeros. Work out a linear score of one value by hand, from 1 to 3."
        ),
        caught_by="test_a_linear_score_is_shared_out_exactly",
        swap=((RESULT, "return [x * total / steps for x, total in zip(inputs, sums, strict=True)]"),),
    ),
    WrongAnswer(
        id="baseline-ignored",
        title="baselines ignored",
        explanation=(
            "Your attributions are the same for all baselines: the path begins at zeros. The baseline is what the "
            "prediction is compared with, so it decides what is to be explained."
        ),
        caught_by="test_a_linear_score_is_shared_out_exactly",
        swap=(
            (
                "starts = [tf.zeros_like(x) for x in inputs] if baselines is None else baselines\n",
                "starts = [tf.zeros_like(x) for x in inputs]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="sum-over-steps",
        title="a sum over the steps instead of a mean",
        explanation=(
            "Twice the steps give twice your attributions. Each piece of the path is only a part of it: how long is it?"
        ),
        caught_by="test_a_linear_score_is_shared_out_exactly",
        swap=((RESULT, "return [way * total for way, total in zip(ways, sums, strict=True)]"),),
    ),
    WrongAnswer(
        id="absolute-values",
        title="attributions without their sign",
        explanation=(
            "All your attributions are positive. A value that speaks against the output has a negative one, and only "
            "with the signs do they sum to the rise of the score."
        ),
        caught_by="test_a_linear_score_is_shared_out_exactly",
        swap=((RESULT, "return [tf.abs(way * total / steps) for way, total in zip(ways, sums, strict=True)]"),),
    ),
    WrongAnswer(
        id="right-ends",
        title="gradients at the end of every piece",
        explanation=(
            "You evaluate the gradient where each piece ends. Where it grows along the path your sum is too large, by "
            "an error that shrinks only like 1 / steps. Print the fractions you use for four steps."
        ),
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=((MIDDLE, "fraction = (step + 1) / steps"),),
    ),
    WrongAnswer(
        id="left-ends",
        title="gradients at the beginning of every piece",
        explanation=(
            "You evaluate the gradient where each piece begins, so the first is that of the baseline. Where the "
            "gradient grows along the path your sum is too small. Print the fractions you use for four steps."
        ),
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=((MIDDLE, "fraction = step / steps"),),
    ),
    WrongAnswer(
        id="ends-included",
        title="fractions from 0 to 1, both ends included",
        explanation=(
            "Your fractions are spread evenly with the baseline and the input among them. These two belong to half a "
            "piece each, but count like the others. Where are the middles of `steps` equal pieces?"
        ),
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=((MIDDLE, "fraction = step / max(steps - 1, 1)"),),
    ),
    WrongAnswer(
        id="midpoint-of-the-path-only",
        title="one gradient in the middle of the whole path",
        explanation=(
            "All your gradients are taken half-way between baseline and input. That is the midpoint rule with one "
            "piece; every piece has a middle of its own."
        ),
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=((MIDDLE, "fraction = 0.5"),),
    ),
    WrongAnswer(
        id="steps-not-used",
        title="50 steps, whatever was asked for",
        explanation="Your attributions do not depend on `steps`. With few of them the midpoint rule has a known error.",
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=(("    sums = [tf.zeros_like(x) for x in inputs]\n", "    sums, steps = [0.0 for _ in inputs], 50\n"),),
    ),
    WrongAnswer(
        id="rescaled-to-the-sum",
        title="attributions rescaled until they are complete",
        explanation=(
            "Your attributions are multiplied so that they sum to the rise of the score. That hides the error of the "
            "integral, which the gap is there to show, and it does not make the single parts right."
        ),
        caught_by="test_gradients_are_taken_in_the_middle_of_every_piece",
        swap=(
            (
                RESULT,
                "parts = [way * total / steps for way, total in zip(ways, sums, strict=True)]\n"
                "    rise = explained_score(f, inputs, target) - explained_score(f, starts, target)\n"
                "    whole = tf.add_n([tf.reduce_sum(part) for part in parts])\n"
                "    return [part * tf.math.divide_no_nan(rise[0], whole) for part in parts]",
            ),
        ),
    ),
    WrongAnswer(
        id="others-at-their-input",
        title="one modality on its way, the others already at their input",
        explanation=(
            "Each modality walks alone while the others wait at their input. What text and image do together is then "
            "given to both: in the worked example it is the row that sums to 12. How many paths does the method have?"
        ),
        caught_by="test_all_modalities_walk_together_to_one_output",
        swap=(one_at_a_time("inputs"),),
    ),
    WrongAnswer(
        id="others-at-their-baseline",
        title="one modality on its way, the others still at their baseline",
        explanation=(
            "Each modality walks alone while the others wait at their baseline. What text and image do only together "
            "is then given to nobody. How many paths does the method have?"
        ),
        caught_by="test_all_modalities_walk_together_to_one_output",
        swap=(one_at_a_time("starts"),),
    ),
    WrongAnswer(
        id="path-beyond-the-input",
        title="a path that goes on from the baseline by the whole input",
        explanation=(
            "Your path adds a fraction of the input to the baseline, so at its end it is at baseline + input. Check "
            "where it is at the fraction 1."
        ),
        caught_by="test_all_modalities_walk_together_to_one_output",
        swap=((POINT, "point = [start + fraction * x for start, x in zip(starts, inputs, strict=True)]"),),
    ),
    WrongAnswer(
        id="all-outputs-together",
        title="the sum of all outputs explained",
        explanation=(
            "The gradient of a tensor of several outputs is that of their sum. Pick the output that was asked for "
            "before you ask for gradients."
        ),
        caught_by="test_all_modalities_walk_together_to_one_output",
        swap=(
            (
                "score = explained_score(f, point, target)  # (1,)",
                "explained_score(f, point, target)\n            score = f(point)",
            ),
        ),
    ),
    WrongAnswer(
        id="highest-output",
        title="the highest output explained",
        explanation=(
            "You explain the output that is highest at each point, whichever was asked for. It can even change on the "
            "way from the baseline to the input."
        ),
        caught_by="test_all_modalities_walk_together_to_one_output",
        swap=(("return scores[:, target]  # (rows,)", "return tf.reduce_max(scores, axis=1)"),),
    ),
    WrongAnswer(
        id="softmax-of-the-output",
        title="a softmax before the output is picked",
        explanation=(
            "The outputs of `f` go through a softmax of yours. A probability also rises when the other outputs fall, "
            "and the attributions no longer sum to the difference that was asked for. `f` decides what its outputs are."
        ),
        caught_by="test_all_modalities_walk_together_to_one_output",
        swap=(("return scores[:, target]  # (rows,)", "return tf.nn.softmax(scores)[:, target]"),),
    ),
    WrongAnswer(
        id="none-for-unused",
        title="None for a modality that is not used",
        explanation=(
            "If the score does not use a modality, a tape has no gradient for it and says None. A value that changes "
            "nothing has contributed 0, and that is a number."
        ),
        caught_by="test_what_is_not_used_gets_zeros",
        swap=(
            (
                'gradients = tape.gradient(score, point, unconnected_gradients="zero")\n'
                "        sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]",
                "gradients = tape.gradient(score, point)\n"
                "        sums = [None if g is None else total + g for total, g in zip(sums, gradients, strict=True)]",
            ),
            (RESULT, "return [None if t is None else way * t / steps for way, t in zip(ways, sums, strict=True)]"),
        ),
    ),
    WrongAnswer(
        id="one-number-for-each-modality",
        title="one number for each modality",
        explanation=(
            "You have added up the attributions of each modality. Sums can be taken later; the method says what every "
            "single value contributed."
        ),
        caught_by="test_attributions_look_like_the_inputs_and_these_stay_as_they_are",
        swap=((RESULT, "return [tf.reduce_sum(way * total) / steps for way, total in zip(ways, sums, strict=True)]"),),
    ),
    WrongAnswer(
        id="without-the-first-axis",
        title="the first axis removed",
        explanation="The attributions lack the first axis of length 1, so they do not fit the inputs any more.",
        caught_by="test_attributions_look_like_the_inputs_and_these_stay_as_they_are",
        swap=((RESULT, "return [(way * total / steps)[0] for way, total in zip(ways, sums, strict=True)]"),),
    ),
    WrongAnswer(
        id="float32-for-float64",
        title="everything computed in float32",
        explanation=(
            "Inputs in float64 come back as attributions in float32. A small gap is then below the rounding, and a "
            "model in float64 may refuse the points of your path."
        ),
        caught_by="test_attributions_look_like_the_inputs_and_these_stay_as_they_are",
        swap=((RESULT, "return [tf.cast(w * t / steps, tf.float32) for w, t in zip(ways, sums, strict=True)]"),),
    ),
    WrongAnswer(
        id="lists-overwritten",
        title="the caller's list overwritten",
        explanation=(
            "You convert the inputs inside the list that was passed in, so the caller finds other objects in it "
            "afterwards. Make a list of your own."
        ),
        caught_by="test_attributions_look_like_the_inputs_and_these_stay_as_they_are",
        swap=(
            (
                '        raise ValueError(f"steps must be at least 1, not {steps}")\n'
                "    inputs = [tf.convert_to_tensor(x) for x in inputs]\n",
                '        raise ValueError(f"steps must be at least 1, not {steps}")\n'
                "    inputs = list(inputs) if isinstance(inputs, tuple) else inputs\n"
                "    for place, x in enumerate(inputs):\n"
                "        inputs[place] = tf.convert_to_tensor(x)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="gap-without-sign",
        title="the gap without its sign",
        explanation="Your gap is never negative. Its sign says whether too much or too little was given away.",
        caught_by="test_the_gap_is_the_sum_minus_the_rise_of_the_score",
        swap=(("return total - rise", "return abs(total - rise)"),),
    ),
    WrongAnswer(
        id="gap-the-other-way-round",
        title="the gap with the opposite sign",
        explanation="You subtract the sum of the attributions from the rise of the score. Which one comes first?",
        caught_by="test_the_gap_is_the_sum_minus_the_rise_of_the_score",
        swap=(("return total - rise", "return rise - total"),),
    ),
    WrongAnswer(
        id="gap-without-the-baseline",
        title="the score of the input taken for its rise",
        explanation=(
            "You compare the sum of the attributions with the score of the input alone. The score of the baseline was "
            "there before any of them and is nobody's contribution."
        ),
        caught_by="test_the_gap_is_the_sum_minus_the_rise_of_the_score",
        swap=((" - float(explained_score(f, starts, target)[0])", ""),),
    ),
    WrongAnswer(
        id="gap-of-the-first-modality",
        title="the attributions of the first modality only",
        explanation="Only the first modality's attributions enter your sum. The rise of the score belongs to all.",
        caught_by="test_the_gap_is_the_sum_minus_the_rise_of_the_score",
        swap=(("for attribution in attributions)", "for attribution in attributions[:1])"),),
    ),
    WrongAnswer(
        id="integers-converted",
        title="integer inputs converted to floats",
        explanation=(
            "Integers are turned into floats without a word. Token ids are integers, and a point half-way between two "
            "ids means nothing: for text, the embeddings are what can be attributed to."
        ),
        caught_by="test_bad_arguments_are_refused",
        code="""
given_check, float_path, float_gap = require_one_sample, integrated_gradients, completeness_gap


def integrated_gradients(f, inputs, baselines=None, target=None, steps=50):
    return float_path(f, [tf.cast(x, tf.float64) for x in inputs], baselines, target, steps)


def completeness_gap(f, inputs, baselines, attributions, target=None):
    return float_gap(f, [tf.cast(x, tf.float64) for x in inputs], baselines, attributions, target)
""",
    ),
    WrongAnswer(
        id="several-samples",
        title="inputs of several rows accepted",
        explanation=(
            "Inputs whose first axis is not of length 1 go through. Attributions are of one sample; a second row would "
            "be left out of the gap, and rows that do not fit each other would be stretched."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(("if np.shape(x)[:1] != (1,):", "if np.ndim(x) == 0:"),),
    ),
    WrongAnswer(
        id="baselines-stretched",
        title="baselines of other shapes stretched to the inputs",
        explanation=(
            "A baseline of another shape is broadcast, so one number can stand for a whole text by accident. The "
            "shapes have to be equal."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(
            (
                "[np.shape(start) for start in baselines] != [np.shape(x) for x in inputs]",
                "len(baselines) != len(inputs)",
            ),
        ),
    ),
    WrongAnswer(
        id="no-steps",
        title="zero steps accepted",
        explanation="With no step at all there is no mean to take. Fewer than one step is refused.",
        caught_by="test_bad_arguments_are_refused",
        swap=(
            ("    if steps < 1:\n", "    if steps < 0:\n"),
            (RESULT, "return [way * total / max(steps, 1) for way, total in zip(ways, sums, strict=True)]"),
        ),
    ),
    WrongAnswer(
        id="first-output-by-default",
        title="output 0 explained where no target was given",
        explanation=(
            "Without a target you explain output 0. Nobody asked about it: with several outputs the question is "
            "incomplete, and that is an error."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(
            (
                "    if target is None or not 0 <= target < scores.shape[1]:\n",
                "    target = 0 if target is None else target\n    if not 0 <= target < scores.shape[1]:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="negative-target",
        title="negative targets counted from the end",
        explanation="A target of -1 explains the last output. The outputs are 0, 1, … only.",
        caught_by="test_bad_arguments_are_refused",
        swap=(("not 0 <= target < scores.shape[1]", "target >= scores.shape[1]"),),
    ),
    WrongAnswer(
        id="target-ignored-for-one-output",
        title="a target ignored where there is one output",
        explanation=(
            "A model of shape `(rows,)` has nothing to choose from. A caller who gives a target expects another model, "
            "and should learn that."
        ),
        caught_by="test_bad_arguments_are_refused",
        swap=(("        if target is not None:\n", "        if False:\n"),),
    ),
]

alternatives = [
    Alternative(
        id="all-steps-in-one-batch",
        title="all points of the path as one batch, NumPy attributions",
        code="""
def explained_score(f, inputs, target=None):
    result = f([tf.convert_to_tensor(x) for x in inputs])
    if result.shape.rank == 2:
        if target is None or target < 0 or target >= int(result.shape[-1]):
            raise ValueError("target")
        return tf.gather(result, target, axis=1)
    if target is not None:
        raise ValueError("no target possible")
    return result


def integrated_gradients(f, inputs, baselines=None, target=None, steps=50):
    require_one_sample(inputs, baselines)
    if steps <= 0:
        raise ValueError("steps")
    inputs = [np.asarray(x) for x in inputs]
    baselines = [np.zeros_like(x) for x in inputs] if baselines is None else [np.asarray(b) for b in baselines]
    middles = (np.arange(steps) + 0.5) / steps
    paths = []
    for x, b in zip(inputs, baselines):
        alpha = middles.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
        paths.append(tf.Variable((1 - alpha) * b + alpha * x))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(explained_score(f, paths, target))
    slopes = [0.0 if g is None else g.numpy().mean(axis=0, keepdims=True) for g in tape.gradient(total, paths)]
    return [(x - b) * s for x, b, s in zip(inputs, baselines, slopes)]


def completeness_gap(f, inputs, baselines, attributions, target=None):
    require_one_sample(inputs, baselines)
    if baselines is None:
        baselines = [np.zeros_like(x) for x in inputs]
    both = [np.concatenate([np.asarray(b), np.asarray(x)]) for b, x in zip(baselines, inputs)]
    begin, end = np.asarray(explained_score(f, both, target))
    return sum(np.sum(a) for a in attributions) - (end - begin)
""",
    ),
    Alternative(
        id="derivative-of-the-share",
        title="one flat vector for all modalities, float32 fractions, the gap as a tensor",
        code="""
def explained_score(f, inputs, target=None):
    scores = f(inputs)
    if (target is None) != (len(scores.shape) == 1):
        raise ValueError("a target is needed for several outputs and for these only")
    if target is None:
        return scores
    if target not in range(scores.shape[1]):
        raise ValueError("no such output")
    return tf.reduce_sum(scores * tf.one_hot(target, scores.shape[1], dtype=scores.dtype), axis=-1)


def flatten(tensors):
    return tf.concat([tf.reshape(x, [-1]) for x in tensors], axis=0)


def split(flat, like):
    parts = tf.split(flat, [tf.size(x) for x in like])
    return [tf.reshape(part, tf.shape(x)) for part, x in zip(parts, like)]


def integrated_gradients(f, inputs, baselines=None, target=None, steps=50):
    require_one_sample(inputs, baselines)
    if not steps >= 1:
        raise ValueError(steps)
    end = flatten(inputs)
    begin = tf.zeros_like(end) if baselines is None else flatten(baselines)
    mean = tf.zeros_like(end)
    for fraction in tf.unstack(tf.linspace(0.5 / steps, 1 - 0.5 / steps, steps)):
        place = begin + tf.cast(fraction, end.dtype) * (end - begin)
        with tf.GradientTape() as tape:
            tape.watch(place)
            score = explained_score(f, split(place, inputs), target)
        mean += tape.gradient(score, place) / steps
    return split(mean * (end - begin), inputs)


def completeness_gap(f, inputs, baselines, attributions, target=None):
    require_one_sample(inputs, baselines)
    inputs = [tf.convert_to_tensor(x) for x in inputs]
    if baselines is None:
        baselines = [0.0 * x for x in inputs]
    baselines = [tf.convert_to_tensor(b) for b in baselines]
    rise = explained_score(f, inputs, target) - explained_score(f, baselines, target)
    return tf.reduce_sum(flatten(attributions)) - tf.squeeze(rise)
""",
    ),
    Alternative(
        id="own-checks-and-compiled",
        title="checks written by hand, a persistent tape and a compiled gradient",
        code="""
def explained_score(f, inputs, target=None):
    scores = f(inputs)
    if scores.ndim == 1 and target is None:
        return scores
    if scores.ndim == 1 or target is None or target < 0 or target > scores.shape[1] - 1:
        raise ValueError("target")
    return scores[..., target]


def tensors_of(inputs, baselines):
    inputs = [tf.constant(np.array(x)) for x in inputs]
    if not inputs:
        raise ValueError("no inputs")
    if any(x.dtype not in (tf.float32, tf.float64) for x in inputs):
        raise TypeError("floats only")
    baselines = [np.zeros(x.shape) for x in inputs] if baselines is None else baselines
    if len(baselines) != len(inputs):
        raise ValueError("number of baselines")
    for x, b in zip(inputs, baselines):
        if x.ndim == 0 or x.shape[0] != 1 or tuple(b.shape) != tuple(x.shape):
            raise ValueError("shapes")
    return inputs, [tf.cast(b, x.dtype) for x, b in zip(inputs, baselines)]


def integrated_gradients(f, inputs, baselines=None, target=None, steps=50):
    inputs, baselines = tensors_of(inputs, baselines)
    if steps < 1:
        raise ValueError("steps")
    explained_score(f, inputs, target)

    @tf.function
    def slopes(point):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(point)
            score = explained_score(f, point, target)
        found = [tape.gradient(score, x) for x in point]
        return [tf.zeros_like(x) if g is None else g for x, g in zip(point, found)]

    result = [tf.zeros_like(x) for x in inputs]
    for k in range(1, 2 * steps, 2):
        point = [b + (x - b) * (k / (2 * steps)) for x, b in zip(inputs, baselines)]
        for place, g in enumerate(slopes(point)):
            result[place] += g * (inputs[place] - baselines[place]) / steps
    return result


def completeness_gap(f, inputs, baselines, attributions, target=None):
    inputs, baselines = tensors_of(inputs, baselines)
    end, begin = (explained_score(f, x, target).numpy().item() for x in (inputs, baselines))
    return float(np.sum([np.sum(a) for a in attributions])) - (end - begin)
""",
    ),
]
