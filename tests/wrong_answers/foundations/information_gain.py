"""Mistakes people make in foundations/information_gain, and correct solutions in another style."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
ENTROPY = "test_entropy"
INFORMATION = "test_mutual_information"
KINDS = "test_tables_of_every_kind"
PARTS = "test_text_image_and_joint"
INTERACTION = "test_interaction"
REFUSED = "test_tables_that_are_none_are_refused"

CONVERT = "    probabilities = np.asarray(probabilities, dtype=np.float64)\n"
SIGN = "    if not (probabilities >= 0).all():  # NaN fails as well\n"
SUM = "    if abs(probabilities.sum() - 1) > 1e-8:\n"
OCCURRING = "    occurring = probabilities[probabilities > 0]  # (outcomes that can happen,)\n"
MEAN = "    return float(-(occurring * np.log2(occurring)).sum())"
TABLE = "    table = np.asarray(table, dtype=np.float64)\n"
TWO = "    if table.ndim != 2:\n"
MARGINS = "    first, second = table.sum(axis=1), table.sum(axis=0)  # (A,), (C,)\n"
INFO = "    return entropy(first) + entropy(second) - entropy(table)"
JOINT = "    joint = np.asarray(joint, dtype=np.float64)\n"
THREE = "    if joint.ndim != 3:\n"
TEXT = "    text = mutual_information(joint.sum(axis=1))  # (A, C)\n"
IMAGE = "    image = mutual_information(joint.sum(axis=0))  # (B, C)\n"
PAIRS = "    pairs = joint.reshape(-1, joint.shape[2])  # (A * B, C): every pair of text and image is one value\n"
BOTH = "    both = mutual_information(pairs)\n"
RESULT = '"interaction": both - text - image}'


def wrong(id, title, explanation, caught_by, *swap):
    return WrongAnswer(id=id, title=title, explanation=explanation, caught_by=caught_by, swap=swap)


wrong_answers = [
    wrong(
        "published-claims",
        "combining modalities taken as an improvement in every case",
        "You agree with what is often published: that adding a modality cannot hurt a model, and that what the "
        "modalities tell adds up. Ask what a model does with a modality of pure noise, and what a copy adds.",
        CLAIMS,
        ("    trained_model=False,", "    trained_model=True,"),
        ("    sum_of_parts=False,", "    sum_of_parts=True,"),
    ),
    # ------------------------------------------------------------------------------------------------ entropy
    wrong(
        "nats",
        "natural logarithms: nats in place of bits",
        "Your entropies are smaller by the factor 0.693. A fair coin holds one bit.",
        ENTROPY,
        (MEAN, MEAN.replace("log2", "log")),
    ),
    wrong(
        "decimal-digits",
        "logarithms to base 10",
        "Your entropies are smaller by the factor 0.301: they are counted in decimal digits, not in bits.",
        ENTROPY,
        (MEAN, MEAN.replace("log2", "log10")),
    ),
    wrong(
        "sign-of-the-entropy",
        "the sign of the logarithm forgotten",
        "Logarithms of probabilities are negative, and so are your entropies. Uncertainty is counted upwards from 0.",
        ENTROPY,
        (MEAN, "    return float((occurring * np.log2(occurring)).sum())"),
        (INFO, "    return entropy(table) - entropy(first) - entropy(second)"),
    ),
    wrong(
        "logarithms-without-weights",
        "all outcomes weighted alike",
        "You average -log2 p over the outcomes as if each were as frequent as any other. A rare outcome is surprising, "
        "but it seldom comes.",
        ENTROPY,
        (MEAN, "    return float(-np.log2(occurring).mean())"),
    ),
    wrong(
        "share-of-the-largest-entropy",
        "entropy as a share of the largest possible one",
        "You divide by the logarithm of the number of outcomes, so every fair die gets 1. Bits are asked for: a die of "
        "eight sides holds more of them than a coin.",
        ENTROPY,
        (MEAN, "    return float(-(occurring * np.log2(occurring)).sum() / np.log2(max(2, occurring.size)))"),
    ),
    wrong(
        "gini-impurity",
        "the Gini impurity in place of entropy",
        "You compute the probability that two draws differ. That measures uncertainty too, but not in bits, and does "
        "not add up over independent variables.",
        ENTROPY,
        (MEAN, "    return float(1 - (occurring**2).sum())"),
    ),
    wrong(
        "constant-inside-the-logarithm",
        "a constant added inside the logarithm",
        "A constant such as 1e-6 keeps the logarithm finite, and changes every result in the sixth digit. What has "
        "probability 0 can be left out instead.",
        ENTROPY,
        (OCCURRING, "    occurring = probabilities\n"),
        (MEAN, "    return float(-(occurring * np.log2(occurring + 1e-6)).sum())"),
    ),
    wrong(
        "constant-added-to-probabilities",
        "probabilities smoothed",
        "You add a constant to every probability and divide by the new sum. That is for counts from few samples; here "
        "the probabilities are known, and smoothing moves them towards each other.",
        ENTROPY,
        (OCCURRING, "    occurring = (probabilities + 1e-6) / (probabilities + 1e-6).sum()\n"),
    ),
    wrong(
        "small-probabilities-dropped",
        "small probabilities treated as 0",
        "You leave out outcomes that are rare but do occur. A probability of 4e-7 adds 8e-6 bits.",
        ENTROPY,
        (OCCURRING, "    occurring = probabilities[probabilities > 1e-6]\n"),
    ),
    wrong(
        "rounded-entropy",
        "results rounded to four decimals",
        "You round before you return. Round where you print: sums and differences of rounded numbers drift.",
        ENTROPY,
        (MEAN, "    return round(float(-(occurring * np.log2(occurring)).sum()), 4)"),
    ),
    wrong(
        "entropy-of-the-last-axis",
        "entropy along the last axis only",
        "For a table you return one number a row. Every entry of the array is one outcome, whatever its shape, and one "
        "number counts for all of them.",
        ENTROPY,
        (
            OCCURRING + MEAN,
            "    occurring = np.where(probabilities > 0, probabilities, 1.0)\n"
            "    return -(occurring * np.log2(occurring)).sum(axis=-1)",
        ),
        (INFO, "    return entropy(first) + entropy(second) - entropy(table.ravel())"),
    ),
    # ------------------------------------------------------------------------------------- mutual information
    wrong(
        "entropy-of-the-pairs",
        "the entropy of the pairs in place of what they share",
        "You return the uncertainty about both variables together. It is large even where one tells nothing about the "
        "other.",
        INFORMATION,
        (INFO, "    return entropy(table)"),
    ),
    wrong(
        "what-is-left-open",
        "the uncertainty that is left, not the one taken away",
        "You return how many bits of the second variable are still open once the first is known. For a copy that is 0, "
        "though a copy tells everything.",
        INFORMATION,
        (INFO, "    return entropy(table) - entropy(first)"),
    ),
    wrong(
        "uniform-label-assumed",
        "all values of the second variable taken as equally likely",
        "You begin from log2 of the number of values. That is the uncertainty only if all of them are equally likely.",
        INFORMATION,
        (INFO, "    return float(np.log2(second.size)) + entropy(first) - entropy(table)"),
    ),
    wrong(
        "share-of-the-label-entropy",
        "mutual information as a share of an entropy",
        "You divide by the entropy of the second variable. The share is useful in a report, but the result here is in "
        "bits, and shares of different wholes cannot be added.",
        INFORMATION,
        (INFO, "    return (entropy(first) + entropy(second) - entropy(table)) / max(entropy(second), 1e-12)"),
    ),
    wrong(
        "both-remainders",
        "what the variables do not share",
        "You add up what is left of each variable when the other is known. That is a distance between them: 0 for a "
        "copy, and large for independent variables.",
        INFORMATION,
        (INFO, "    return 2 * entropy(table) - entropy(first) - entropy(second)"),
    ),
    wrong(
        "divergence-turned-round",
        "weights from the margins in place of the table",
        "You weight the logarithm of the ratio with the product of the margins. The mean is over the pairs as they "
        "occur: the weights are the entries of the table.",
        INFORMATION,
        (
            INFO,
            "    product = np.outer(first, second)\n"
            "    occurs = table > 0\n"
            "    entropy(table)\n"
            "    return float(-(product[occurs] * np.log2(table[occurs] / product[occurs])).sum())",
        ),
    ),
    wrong(
        "mean-over-the-rows",
        "rows weighted alike",
        "You average the entropy of the second variable over the values of the first as if these were equally "
        "likely. A value that comes more often counts more.",
        INFORMATION,
        (
            INFO,
            "    entropy(table)\n"
            "    return entropy(second) - float(np.mean([entropy(row / row.sum()) for row in table if row.sum() > 0]))",
        ),
    ),
    wrong(
        "one-against-the-rest",
        "only the first value of the second variable told apart",
        "You compare the first column with all others together. With more than two labels that throws away what tells "
        "the others apart.",
        INFORMATION,
        (MARGINS, "    table = np.stack([table[:, 0], table[:, 1:].sum(axis=1)], axis=1)\n" + MARGINS),
    ),
    # ---------------------------------------------------------------------------------- tables of every kind
    wrong(
        "undefined-at-0",
        "0 times the logarithm of 0",
        "A probability of 0 gives 0 · (-inf), which is NaN, and one such cell spoils the sum. Such an outcome never "
        "happens and adds nothing.",
        KINDS,
        (OCCURRING, "    occurring = probabilities\n"),
    ),
    wrong(
        "product-of-tiny-margins",
        "division by a product of two tiny probabilities",
        "You divide by the product of the margins. Of two probabilities of 1e-200 it is 0 in float64, and the result "
        "infinite. A logarithm of a product can be taken in two steps.",
        KINDS,
        (
            INFO,
            "    entropy(table)\n"
            "    occurs = table > 0\n"
            "    product = np.outer(first, second)[occurs]\n"
            '    with np.errstate(divide="ignore"):\n'
            "        return float((table[occurs] * np.log2(table[occurs] / product)).sum())",
        ),
    ),
    wrong(
        "computed-in-the-dtype-given",
        "computed in the dtype of the table",
        "Sums and logarithms of a float16 table keep three digits if they are taken in float16. Convert the table to "
        "float64 before anything else.",
        KINDS,
        (CONVERT, "    probabilities = np.asarray(probabilities)\n"),
        (
            SUM,
            "    if abs(probabilities.sum(dtype=np.float64) - 1) > (1e-8 if probabilities.itemsize == 8 else 0.01):\n",
        ),
        (TABLE, "    table = np.asarray(table)\n"),
        (JOINT, "    joint = np.asarray(joint)\n"),
    ),
    wrong(
        "argument-overwritten",
        "the caller's table is overwritten",
        "You replace zeros inside the array that was passed in, and whoever called you goes on with another table. "
        "Work on a copy.",
        KINDS,
        (
            OCCURRING,
            "    probabilities[probabilities == 0] = 1.0\n    occurring = probabilities\n",
        ),
    ),
    wrong(
        "axes-of-length-1-removed",
        "axes of length 1 removed",
        "You squeeze the table, so that one with a single image loses the axis of the images. A modality that is the "
        "same for all samples is allowed; it tells nothing.",
        KINDS,
        (JOINT, "    joint = np.squeeze(np.asarray(joint, dtype=np.float64))\n"),
    ),
    # -------------------------------------------------------------------------------------- text, image, joint
    wrong(
        "joint-as-the-sum",
        "the joint information taken as the sum of both",
        "Your joint information is that of the text plus that of the image. Ask of two copies of one bit how much they "
        "tell together, and of two bits of which only the XOR matters.",
        PARTS,
        (BOTH, "    both = text + image\n"),
    ),
    wrong(
        "text-and-image-exchanged",
        "text and image exchanged",
        "You sum out the text where the image should go, and the other way round. The first axis is the text, and "
        "summing over an axis removes it.",
        PARTS,
        (TEXT, TEXT.replace("axis=1", "axis=0")),
        (IMAGE, IMAGE.replace("axis=0", "axis=1")),
    ),
    wrong(
        "information-between-text-and-image",
        "text compared with image, not with the label",
        "You measure what text and image tell about each other. Captions and photos may tell much about each other and "
        "nothing about the label.",
        PARTS,
        (TEXT, TEXT.replace("axis=1", "axis=2")),
    ),
    wrong(
        "image-beyond-the-text",
        "the image measured beyond the text",
        "Your number for the image is what it adds once the text is known. The question is what the image tells by "
        "itself.",
        PARTS,
        (IMAGE, ""),
        (BOTH, BOTH + "    image = both - text\n"),
    ),
    wrong(
        "label-on-the-first-axis",
        "the label taken from the first axis",
        "You read the table as (label, text, image). Its axes are text, image, label.",
        PARTS,
        (TEXT, "    joint = np.moveaxis(joint, 0, -1)\n" + TEXT),
    ),
    wrong(
        "mean-of-the-slices",
        "averaged over the values of the other modality",
        "For each image you measure what the text tells, and average. That is what the text tells to somebody who has "
        "seen the image; without it, the image has to be summed out first.",
        PARTS,
        (
            TEXT,
            "    weights = joint.sum(axis=(0, 2))\n"
            "    text = sum(w * mutual_information(joint[:, b] / w) for b, w in enumerate(weights) if w > 0)\n",
        ),
    ),
    wrong(
        "first-slice-only",
        "one value of the other modality picked",
        "You look at the samples that have the first image, and at no others. What the text tells by itself is "
        "measured over all images.",
        PARTS,
        (
            TEXT,
            "    seen = joint[:, 0] if joint[:, 0].sum() > 0 else joint.sum(axis=1)\n"
            "    text = mutual_information(seen / seen.sum())\n",
        ),
    ),
    wrong(
        "total-correlation",
        "all three variables compared with each other",
        "Your joint information also counts what text and image tell about each other. Read the pair of them as one "
        "variable, and compare that with the label.",
        PARTS,
        (
            BOTH,
            "    sums = joint.sum(axis=(1, 2)), joint.sum(axis=(0, 2)), joint.sum(axis=(0, 1))\n"
            "    both = sum(map(entropy, sums)) - entropy(pairs)\n",
        ),
    ),
    wrong(
        "pairs-mixed-up",
        "the wrong two axes read as one",
        "When you make one axis out of two, you join image and label. The pair to be joined is text and image.",
        PARTS,
        (PAIRS, "    pairs = joint.reshape(joint.shape[0], -1)\n"),
    ),
    # --------------------------------------------------------------------------------------------- interaction
    wrong(
        "interaction-cut-at-0",
        "the interaction cut off at 0",
        "You lift negative interactions to 0. A negative one is no error: it says that both modalities repeat each "
        "other, which is what you want to know about a missing modality.",
        INTERACTION,
        (RESULT, '"interaction": max(0.0, both - text - image)}'),
    ),
    wrong(
        "interaction-reversed",
        "the sign of the interaction turned round",
        "Your interaction is positive for copies and negative for the XOR. Here synergy counts upwards.",
        INTERACTION,
        (RESULT, '"interaction": text + image - both}'),
    ),
    wrong(
        "interaction-without-sign",
        "the absolute value of the interaction",
        "You return how far the interaction is from 0, and no longer to which side: synergy and redundancy look alike.",
        INTERACTION,
        (RESULT, '"interaction": abs(both - text - image)}'),
    ),
    wrong(
        "gain-over-the-better-one",
        "the gain over the better modality",
        "You subtract the better of the two only. That tells whether the second modality pays, not whether it takes "
        "both of them together.",
        INTERACTION,
        (RESULT, '"interaction": both - max(text, image)}'),
    ),
    wrong(
        "gain-over-the-text",
        "the gain over the text",
        "You subtract what the text tells, and keep what the image tells by itself: that part is no interaction.",
        INTERACTION,
        (RESULT, '"interaction": both - text}'),
    ),
    wrong(
        "interaction-as-a-share",
        "the interaction as a share of the joint information",
        "You divide by the joint information. The interaction is asked for in bits, like the other three.",
        INTERACTION,
        (RESULT, '"interaction": (both - text - image) / both if both > 0 else 0.0}'),
    ),
    # --------------------------------------------------------------------------------------------- bad tables
    wrong(
        "negative-accepted",
        "negative probabilities accepted",
        "A negative probability goes in and a number comes out. It has left the sum in order; look at the entries too.",
        REFUSED,
        (SIGN, "    if np.isnan(probabilities).any():\n"),
    ),
    wrong(
        "slightly-negative-accepted",
        "slightly negative probabilities accepted",
        "You let -1e-10 pass as rounding. The task asks to refuse any negative entry: who made it should know.",
        REFUSED,
        (SIGN, "    if not (probabilities >= -1e-8).all():\n"),
    ),
    wrong(
        "nan-accepted",
        "NaN accepted",
        "Every comparison with NaN is false, so 'is something negative?' and 'is the sum far off?' are both answered "
        "with no. Ask the other way round.",
        REFUSED,
        (SIGN, "    if (probabilities < 0).any():\n"),
    ),
    wrong(
        "sum-unchecked",
        "sums other than 1 accepted",
        "Percentages or counts go in and a number comes out that means nothing. Probabilities add up to 1.",
        REFUSED,
        (SUM, "    if probabilities.size == 0:\n"),
    ),
    wrong(
        "sum-loosely-checked",
        "the sum compared too loosely",
        "A sum that is off by 1e-6 passes. The usual tolerance of a comparison, 1e-5, is wider than the one asked for.",
        REFUSED,
        (SUM, "    if not np.isclose(probabilities.sum(), 1):\n"),
    ),
    wrong(
        "sum-exactly-1",
        "the sum has to be exactly 1",
        "You refuse tables whose sum is off by rounding. Ten times 0.1 is not 1 in float64; a small excess is allowed.",
        REFUSED,
        (SUM, "    if abs(probabilities.sum() - 1) > 1e-12:\n"),
    ),
    wrong(
        "counts-normalised",
        "tables divided by their sum without a word",
        "You divide by the sum, so that counts and broken tables pass as probabilities. Who forgot a column of the "
        "table gets a number and no warning.",
        REFUSED,
        (
            CONVERT,
            "    probabilities = np.asarray(probabilities, dtype=np.float64)\n"
            "    probabilities = probabilities / max(probabilities.sum(), 1e-300)\n",
        ),
        (
            JOINT,
            "    joint = np.asarray(joint, dtype=np.float64)\n    joint = joint / max(joint.sum(), 1e-300)\n",
        ),
    ),
    wrong(
        "axes-unchecked",
        "the number of axes of a three-way table is not looked at",
        "A table of four axes passes as (A, B, C), and something is summed that you did not mean.",
        REFUSED,
        (THREE, "    if joint.ndim < 3:\n"),
        (
            PAIRS,
            "    joint = joint.reshape(*joint.shape[:2], -1)\n" + PAIRS,
        ),
        (TEXT, TEXT.replace("joint.sum(axis=1)", "joint.reshape(*joint.shape[:2], -1).sum(axis=1)")),
        (IMAGE, IMAGE.replace("joint.sum(axis=0)", "joint.reshape(*joint.shape[:2], -1).sum(axis=0)")),
    ),
    wrong(
        "more-axes-accepted",
        "the number of axes of a two-way table is not looked at",
        "A table of three axes passes as (A, C). Say which two variables are meant: they have to have one axis each.",
        REFUSED,
        (TWO, "    if table.ndim < 2:\n"),
        (MARGINS, "    table = table.reshape(table.shape[0], -1)\n" + MARGINS),
    ),
]

# "Smoothing that biases by 1e-6 or more" is two entries, inside the logarithm and in the table. Constants up to about
# 1e-10 pass on purpose: results are compared to 1e-8.

equivalent_mutants = {
    "Gt -> GtE in `if abs(probabilities.sum() - 1) > 1e-8": (
        "a float64 sum near 1 differs from 1 by a multiple of 2**-53, and 1e-8 is none"
    ),
    "dropped `raise ValueError(f'expected a table (A, B, C)": (
        "summing one of two or four axes leaves no table of two axes, and mutual_information or NumPy refuses it"
    ),
    "1 -> 2 in `pairs = joint.reshape(-1": "NumPy reads every negative length as the one to be worked out",
}

alternatives = [
    Alternative(
        id="loops-over-cells",
        title="loops in plain Python over the cells of the table",
        code="""
import math


def checked(table, axes=None):
    table = np.array(table, dtype=float)
    total = 0.0
    for p in table.flat:
        if not p >= 0:
            raise ValueError(f"{p} is no probability")
        total += p
    if not math.isclose(total, 1, rel_tol=0, abs_tol=1e-8):
        raise ValueError(f"sum {total}")
    if axes is not None and len(table.shape) != axes:
        raise ValueError("axes")
    return table


def entropy(probabilities):
    return sum(p * math.log2(1 / p) if p > 1e-300 else 0.0 for p in checked(probabilities).flat)


def mutual_information(table):
    rows = checked(table, 2).tolist()
    first = [sum(row) for row in rows]
    second = [sum(column) for column in zip(*rows)]
    bits = 0.0
    for a, row in enumerate(rows):
        for c, p in enumerate(row):
            if p:
                bits += p * (math.log2(p) - math.log2(first[a]) - math.log2(second[c]))
    return bits


def interaction_bits(joint):
    joint = checked(joint, 3).tolist()
    text = mutual_information([[sum(cell[c] for cell in row) for c in range(len(row[0]))] for row in joint])
    image = mutual_information([[sum(cells) for cells in zip(*column)] for column in zip(*joint)])
    both = mutual_information([cell for row in joint for cell in row])
    return dict(text=text, image=image, joint=both, interaction=both - text - image, redundant=both < text + image)
""",
    ),
    Alternative(
        id="chain-rule",
        title="conditional entropies and the chain rule",
        code="""
def entropy(probabilities):
    p = np.asarray(probabilities).astype(np.float64).ravel()
    if np.isnan(p).any() or p.size == 0 or p.min() < 0 or np.abs(p.sum() - 1) > 1e-8:
        raise ValueError("no probabilities")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nansum(-p * np.log2(p))


def mutual_information(table):
    table = np.asarray(table).astype(np.float64)
    if len(table.shape) != 2:
        raise ValueError("two axes")
    entropy(table)
    margin = table.sum(0)
    left = 0.0
    for row in table:
        if row.sum() > 0:
            left = left + row.sum() * entropy(row / row.sum())
    return np.maximum(entropy(margin) - left, 0.0)


def interaction_bits(joint):
    joint = np.asarray(joint).astype(np.float64)
    if len(joint.shape) != 3:
        raise ValueError("three axes")
    entropy(joint)
    text, image = mutual_information(joint.sum(1)), mutual_information(joint.sum(0))
    beyond = 0.0  # what the image tells once the text is known
    for slice_ in joint:
        if slice_.sum() > 0:
            beyond = beyond + slice_.sum() * mutual_information(slice_ / slice_.sum())
    result = {"interaction": beyond - image}
    result.update(text=text, image=image, joint=text + beyond)
    return result
""",
    ),
    Alternative(
        id="logarithm-with-where",
        title="differences of logarithms with where, einsum for the margins, 0-d arrays",
        code="""
def safe_log2(p):
    return np.log2(p, out=np.zeros_like(p), where=p > 0)


def entropy(probabilities):
    p = np.array(probabilities, dtype="f8")
    if not np.all(p >= 0) or not abs(1 - p.sum()) <= 1e-8:
        raise ValueError("probabilities")
    return np.asarray(-np.vdot(p, safe_log2(p)))


def mutual_information(table):
    p = np.array(table, dtype="f8")
    if p.ndim != 2:
        raise ValueError("axes")
    entropy(p)
    a, c = np.einsum("ac->a", p), np.einsum("ac->c", p)
    return np.asarray(np.sum(p * (safe_log2(p) - safe_log2(a)[:, None] - safe_log2(c)[None, :])))


def interaction_bits(joint):
    p = np.array(joint, dtype="f8")
    if p.ndim != 3:
        raise ValueError("axes")
    text = mutual_information(np.einsum("abc->ac", p))
    image = mutual_information(np.einsum("abc->bc", p))
    both = mutual_information(np.concatenate(list(p), axis=0))
    return {"text": text, "image": image, "joint": both, "interaction": np.asarray(both - (text + image))}
""",
    ),
    Alternative(
        id="minute-constant",
        title="a constant of 1e-12 inside the logarithm",
        swap=(
            (OCCURRING, "    occurring = probabilities\n"),
            (MEAN, "    return float(-(occurring * np.log2(occurring + 1e-12)).sum())"),
        ),
    ),
]
