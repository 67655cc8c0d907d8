"""Wrong and differently written answers to attention/cost_of_attention.

Every line under "Reject" of D-Q5 has an entry. "Masked keys counted as free" cannot be a function, since none has a
mask; as the errata say, it is a claim here.
"""

from grader.catalogue import Alternative, WrongAnswer

MACS = "return n_query * n_key * (d_model + d_value)"
HEADS = """    if d_model % num_heads or d_value % num_heads:
        raise ValueError(f"{num_heads} heads do not divide the widths {d_model} and {d_value}")
"""
JOINT = "n_tokens = n_text + n_image\n        return attention_macs(n_tokens, n_tokens, d_model)"
CROSS = "return attention_macs(n_text, n_image, d_model) + attention_macs(n_image, n_text, d_model)"
RESAMPLER = "return attention_macs(n_latent, n_image, d_model) + attention_macs(n_tokens, n_tokens, d_model)"

wrong_answers = [
    WrongAnswer(
        id="linear-in-tokens",
        title="a cost proportional to the number of tokens, as if only the important ones were looked at",
        explanation=(
            "Your cost grows with the number of tokens, not with the number of pairs. That would be right if each query "
            "knew its key beforehand. To find out which key matters it has to be compared with all of them: how many "
            "comparisons are that for all queries together?"
        ),
        caught_by="test_every_query_meets_every_key",
        swap=((MACS, "return (n_query + n_key) * (d_model + d_value)"),),
    ),
    WrongAnswer(
        id="published-claims",
        title="attention taken to save computation",
        explanation=(
            "One of the claims repeats an advantage that is often printed: that attention spends its computation on "
            "what matters. Follow an implementation step by step. When is a weight known, and which multiplications "
            "are left out because it is small?"
        ),
        caught_by="test_claims",
        swap=(("small_weights_save=False", "small_weights_save=True"),),
    ),
    WrongAnswer(
        id="masked-keys-free",
        title="masked keys taken to cost nothing",
        explanation=(
            "One of the claims is about a mask in plain dense attention. Recall the two lines of code around the mask: "
            "which tensor does it act on, and how did that tensor come about?"
        ),
        caught_by="test_claims",
        swap=(("masked_keys_are_free=False", "masked_keys_are_free=True"),),
    ),
    WrongAnswer(
        id="quadratic-in-width",
        title="the square of the width",
        explanation=(
            "Twice the width makes your cost four times as large. The square of the width belongs to the projections, "
            "which are not counted here. How many products does one dot product take?"
        ),
        caught_by="test_every_query_meets_every_key",
        swap=((MACS, "return n_query * n_key * (d_model * d_model + d_value * d_value)"),),
    ),
    WrongAnswer(
        id="scores-only",
        title="only the scores counted, not the weighted sums",
        explanation=(
            "You count the products of queries and keys. Attention has a second matrix product: every weight multiplies "
            "a value. How wide is that one?"
        ),
        caught_by="test_scores_and_weighted_sums_are_counted",
        swap=((MACS, "return n_query * n_key * d_model"),),
    ),
    WrongAnswer(
        id="value-width-ignored",
        title="values taken to be as wide as the keys",
        explanation=(
            "With `d_value` equal to `d_model` you are right, otherwise not. The scores depend on one of the two "
            "widths and the weighted sums on the other."
        ),
        caught_by="test_scores_and_weighted_sums_are_counted",
        swap=((MACS, "return n_query * n_key * 2 * d_model"),),
    ),
    WrongAnswer(
        id="flops",
        title="multiplications and additions counted separately",
        explanation=(
            "All your results are twice what is asked for. A MAC is one multiplication together with one addition; "
            "libraries that report FLOPs count two."
        ),
        caught_by="test_scores_and_weighted_sums_are_counted",
        swap=((MACS, "return 2 * n_query * n_key * (d_model + d_value)"),),
    ),
    WrongAnswer(
        id="times-heads",
        title="the cost multiplied by the number of heads",
        explanation=(
            "You let every head work on the whole width. The heads share it: with twice as many of them, how many "
            "columns does each one have?"
        ),
        caught_by="test_heads_share_the_width",
        swap=((MACS, "return num_heads * n_query * n_key * (d_model + d_value)"),),
    ),
    WrongAnswer(
        id="one-head-only",
        title="the cost of a single head",
        explanation=(
            "Your cost falls as the heads become more. Each head has its share of the columns, so one head is cheaper "
            "than the whole. How many of them are there to pay for?"
        ),
        caught_by="test_heads_share_the_width",
        swap=((MACS, "return n_query * n_key * (d_model // num_heads + d_value // num_heads)"),),
    ),
    WrongAnswer(
        id="any-number-of-heads",
        title="heads that do not divide the width accepted",
        explanation=(
            "Twelve columns cannot be shared evenly by five heads, and no attention layer is built like that. Check "
            "both widths, that of the keys and that of the values."
        ),
        caught_by="test_heads_share_the_width",
        swap=((HEADS, ""),),
    ),
    WrongAnswer(
        id="joint-as-cross",
        title="joint attention counted like cross-attention",
        explanation=(
            "In one sequence with the image, a word also attends to the other words, and a patch to the other patches. "
            "You count only the pairs of a word and a patch."
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=((JOINT, CROSS),),
    ),
    WrongAnswer(
        id="joint-as-two",
        title="joint attention counted as two separate self-attentions",
        explanation=(
            "You let the words attend to the words and the patches to the patches, each kind for itself. In one sequence "
            "they meet as well. Draw the square of all pairs: which parts of it have you counted?"
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=((JOINT, "return attention_macs(n_text, n_text, d_model) + attention_macs(n_image, n_image, d_model)"),),
    ),
    WrongAnswer(
        id="one-direction",
        title="cross-attention in one direction",
        explanation=(
            'You count the text attending to the image. In the mode "cross" the image attends to the text as well.'
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=((CROSS, "return attention_macs(n_text, n_image, d_model)"),),
    ),
    WrongAnswer(
        id="resampler-joins-the-image",
        title="the whole image in the joint sequence behind the resampler",
        explanation=(
            "Your resampler is dearer than joint attention. Its point is that the latents stand for the image from "
            "then on: which tokens are left in the second step?"
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=(("n_tokens = n_text + n_latent", "n_tokens = n_text + n_image"),),
    ),
    WrongAnswer(
        id="resampler-reads-only",
        title="only the reading of the image counted",
        explanation=(
            "You stop once the latents have read the image. Text and latents still have to meet, in one sequence."
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=((RESAMPLER, "return attention_macs(n_latent, n_image, d_model)"),),
    ),
    WrongAnswer(
        id="resampler-unread",
        title="the reading of the image left out",
        explanation=(
            "You count the sequence of text and latents only. The latents know nothing of the image until they have "
            "attended to it, and every latent has to meet every patch for that."
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=((RESAMPLER, "return attention_macs(n_tokens, n_tokens, d_model)"),),
    ),
    WrongAnswer(
        id="resampler-then-cross",
        title="text attending to the latents instead of one sequence with them",
        explanation=(
            "Behind the resampler your text reads the latents by cross-attention. There are models that do so, but here "
            "the second step is self-attention over text and latents in one sequence: who attends to whom in that?"
        ),
        caught_by="test_every_way_of_fusing_counts_its_own_pairs",
        swap=(
            (
                RESAMPLER,
                "return attention_macs(n_latent, n_image, d_model) + attention_macs(n_text, n_latent, d_model)",
            ),
        ),
    ),
    WrongAnswer(
        id="float-result",
        title="a division that turns the count into a float",
        explanation=(
            "Your result is a float. It looks right for small sizes, but a float has 53 bits, and the counts of large "
            "models have more. Find the division with `/`."
        ),
        caught_by="test_results_are_exact_integers_of_any_size",
        swap=((MACS, "return num_heads * n_query * n_key * (d_model / num_heads + d_value / num_heads)"),),
    ),
    WrongAnswer(
        id="numpy-integers-overflow",
        title="NumPy's integers multiplied as they are",
        explanation=(
            "Sizes that come from an array shape or a table may be NumPy integers of 8, 16 or 32 bits. Their products "
            "wrap around, with a warning at most. Turn each size into a Python int first."
        ),
        caught_by="test_results_are_exact_integers_of_any_size",
        code="""
def whole_number(name, size):
    if isinstance(size, bool):
        raise TypeError(name)
    if operator.index(size) < 1:
        raise ValueError(name)
    return size
""",
    ),
    WrongAnswer(
        id="booleans-counted",
        title="True taken for the size 1",
        explanation=(
            "In Python a bool is an int, so that a flag given in the wrong place passes for one token. The rules ask "
            "for a TypeError."
        ),
        caught_by="test_sizes_and_modes_that_make_no_sense_are_refused",
        code="""
def whole_number(name, size):
    if operator.index(size) < 1:
        raise ValueError(name)
    return operator.index(size)
""",
    ),
    WrongAnswer(
        id="floats-accepted",
        title="sizes rounded to integers",
        explanation=(
            "A size of 2.5 is quietly made 2, or a string is converted. Nobody has two and a half tokens: the caller "
            "made a mistake and has to be told."
        ),
        caught_by="test_sizes_and_modes_that_make_no_sense_are_refused",
        code="""
def whole_number(name, size):
    if isinstance(size, bool):
        raise TypeError(name)
    if int(size) < 1:
        raise ValueError(name)
    return int(size)
""",
    ),
    WrongAnswer(
        id="latents-ignored",
        title="n_latent accepted where it has no effect",
        explanation=(
            'With `mode="joint"` or `"cross"` your function takes `n_latent` and ignores it. Whoever passes it believes '
            "that the image is summarised, and plans with the wrong number."
        ),
        caught_by="test_sizes_and_modes_that_make_no_sense_are_refused",
        swap=(('(n_latent is None) == (mode == "resampler")', 'n_latent is None and mode == "resampler"'),),
    ),
    WrongAnswer(
        id="latents-by-truth",
        title="n_latent=0 taken for no n_latent at all",
        explanation=(
            'With `mode="joint"` or `"cross"` an `n_latent` of 0 goes through. You ask whether it is true, and 0 is not; '
            "but it was given, and the caller expects it to matter. How do you ask whether an argument was left out?"
        ),
        caught_by="test_sizes_and_modes_that_make_no_sense_are_refused",
        swap=(('(n_latent is None) == (mode == "resampler")', '(not n_latent) == (mode == "resampler")'),),
    ),
    WrongAnswer(
        id="parts-not-checked",
        title="only the sum of text and image checked",
        explanation=(
            "In the joint mode -1 text tokens and 7 image tokens pass as a sequence of 6. Check the two sizes before "
            "you add them."
        ),
        caught_by="test_sizes_and_modes_that_make_no_sense_are_refused",
        swap=(('    n_text, n_image = whole_number("n_text", n_text), whole_number("n_image", n_image)\n', ""),),
    ),
]

alternatives = [
    Alternative(
        id="head-by-head",
        title="the cost of one head, times the number of heads",
        code="""
def attention_macs(n_query, n_key, d_model, d_value=None, num_heads=1):
    if d_value is None:
        d_value = d_model
    sizes = [whole_number("a size", size) for size in (n_query, n_key, d_model, d_value, num_heads)]
    queries, keys, width, value_width, heads = sizes
    head_width, rest = divmod(width, heads)
    head_value_width, value_rest = divmod(value_width, heads)
    if rest > 0 or value_rest > 0:
        raise ValueError("heads")
    scores = queries * head_width * keys
    sums = queries * keys * head_value_width
    return heads * (scores + sums)
""",
    ),
    Alternative(
        id="closed-forms",
        title="one closed formula a mode, with checks of its own",
        code="""
import numbers


def _integers(**sizes):
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, numbers.Integral):
            raise TypeError(name)
        if size <= 0:
            raise ValueError(name)
    return [int(size) for size in sizes.values()]


def attention_macs(n_query, n_key, d_model, d_value=None, num_heads=1):
    d_value = d_model if d_value is None else d_value
    q, k, d, v, h = _integers(a=n_query, b=n_key, c=d_model, d=d_value, e=num_heads)
    if (d % h, v % h) != (0, 0):
        raise ValueError("num_heads")
    return q * k * d + q * k * v


def fusion_macs(n_text, n_image, d_model, mode, n_latent=None):
    t, i, d = _integers(a=n_text, b=n_image, c=d_model)
    match mode:
        case "joint" if n_latent is None:
            return 2 * d * (t * t + 2 * t * i + i * i)
        case "cross" if n_latent is None:
            return 4 * t * i * d
        case "resampler" if n_latent is not None:
            (latents,) = _integers(a=n_latent)
            return 2 * d * (latents * i + (t + latents) ** 2)
    raise ValueError("mode or n_latent")
""",
    ),
    Alternative(
        id="list-of-attentions",
        title="a table of who attends to whom, summed",
        code="""
def fusion_macs(n_text, n_image, d_model, mode, n_latent=None):
    text, image = whole_number("n_text", n_text), whole_number("n_image", n_image)
    if mode == "resampler" and n_latent is None:
        raise ValueError("n_latent is missing")
    if mode != "resampler" and n_latent is not None:
        raise ValueError("n_latent is not needed")
    latent = 0 if n_latent is None else whole_number("n_latent", n_latent)
    plans = {
        "joint": [(text, text), (text, image), (image, text), (image, image)],
        "cross": [(text, image), (image, text)],
        "resampler": [(latent, image), (text + latent, text + latent)],
    }
    if mode not in plans:
        raise ValueError("mode")
    return sum(attention_macs(queries, keys, d_model) for queries, keys in plans[mode])
""",
    ),
]
