"""Wrong and differently written answers to transfer/semantic_alignment.

Every "reject" line of E-K3 has an entry, but for `quality = -alignment`: there is no such function (erratum), so it is
the claim `low_alignment_is_enough` ("published-claims"). The source leaves the question unanswered; it has no code.
"""

from grader.catalogue import Alternative, WrongAnswer

UNIT = "    return x / length\n"
ALIGNMENT = "    return float(((u - v) ** 2).sum(axis=1).mean())\n"
EXPONENTS = "    exponents = -t * ((x[i] - x[j]) ** 2).sum(axis=1)  # (pairs,)\n"
RESULT = "    return float(largest + np.log(np.exp(exponents - largest).mean()))\n"
GAP = "    return float(np.linalg.norm(u.mean(axis=0) - v.mean(axis=0)))\n"
ASARRAY = "    x = np.asarray(x, dtype=np.float64)\n"
FINITE = """    if not np.isfinite(x).all():
        raise ValueError("embeddings must be finite")
"""

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="close partners taken for proof of a good space",
        explanation=(
            "One of the claims draws a conclusion from alignment alone. Map every text and every image to the same point, "
            "and see what alignment says about it."
        ),
        caught_by="test_claims",
        swap=(("low_alignment_is_enough=False", "low_alignment_is_enough=True"),),
    ),
    WrongAnswer(
        id="gap-misjudged",
        title="a claim about the modality gap judged wrongly",
        explanation=(
            "At least one claim about the gap is judged wrongly. Add a coordinate that is 1 for every text and -1 for every "
            "image: what happens to the gap, and what to the ranking of the images for a text?"
        ),
        caught_by="test_claims",
        swap=(
            ("gap_closes=False", "gap_closes=True"),
            ("perfect_recall_with_gap=True", "perfect_recall_with_gap=False"),
        ),
    ),
    WrongAnswer(
        id="not-normalised",
        title="rows used as they come",
        explanation=(
            "Your measures change when a row is multiplied by 2. The encoders' outputs have arbitrary lengths, and only "
            "their directions are compared: normalise first."
        ),
        caught_by="test_only_directions_count",
        swap=((UNIT, "    return x\n"),),
    ),
    WrongAnswer(
        id="pairs-with-oneself",
        title="every row paired with itself as well",
        explanation=(
            "Your mean runs over the whole table of distances, with the zeros of the diagonal in it. They make every set "
            "look less uniform than it is, small sets most of all."
        ),
        caught_by="test_uniformity_is_a_logarithm_of_a_mean_over_pairs",
        swap=(("k=1)  # all pairs i < j\n", "k=0)\n"),),
    ),
    WrongAnswer(
        id="all-pairs",
        title="alignment over all pairs of a text and an image",
        explanation=(
            "You average the distance of every text to every image. Alignment is about partners only; the others belong to "
            "uniformity."
        ),
        caught_by="test_alignment_compares_partners",
        swap=((ALIGNMENT, "    return float(((u[:, None] - v[None]) ** 2).sum(axis=2).mean())\n"),),
    ),
    WrongAnswer(
        id="mean-pair-distance",
        title="the mean distance of partners taken for the gap",
        explanation=(
            "You average the distances of partners. Two clouds may lie on top of each other while partners are far apart; "
            "the gap is about the centres of the clouds."
        ),
        caught_by="test_the_gap_is_a_distance_of_centres",
        swap=((GAP, "    return float(np.linalg.norm(u - v, axis=1).mean())\n"),),
    ),
    WrongAnswer(
        id="no-logarithm",
        title="the logarithm forgotten",
        explanation="Your uniformity lies between 0 and 1. The measure is the logarithm of this mean.",
        caught_by="test_uniformity_is_a_logarithm_of_a_mean_over_pairs",
        swap=((RESULT, "    return float(np.exp(exponents).mean())\n"),),
    ),
    WrongAnswer(
        id="columns-normalised",
        title="columns normalised instead of rows",
        explanation=(
            "You divide each column by its length. One row is one embedding, so the sum of squares runs along the row: check "
            "the axis."
        ),
        caught_by="test_only_directions_count",
        swap=((UNIT, "    return x / np.linalg.norm(x, axis=0)\n"),),
    ),
    WrongAnswer(
        id="whole-array-normalised",
        title="the whole array divided by one number",
        explanation=(
            "You divide all rows by the same number, such as the norm of the whole array. Each row has a length of its own."
        ),
        caught_by="test_only_directions_count",
        swap=((UNIT, "    return x / np.linalg.norm(x)\n"),),
    ),
    WrongAnswer(
        id="sums-of-rows-set-to-one",
        title="rows divided by the sum of their magnitudes",
        explanation=(
            "Your rows have a sum of magnitudes of one, which puts them on a diamond, not on a sphere. The Euclidean length "
            "is the root of the sum of squares."
        ),
        caught_by="test_only_directions_count",
        swap=((UNIT, "    return x / np.abs(x).sum(axis=1, keepdims=True)\n"),),
    ),
    WrongAnswer(
        id="narrow-dtype",
        title="lengths computed in the type of the argument",
        explanation=(
            "Squares of float16, float32 or int8 numbers overflow, or lose digits, in their own type. Convert to float64 "
            "before you square."
        ),
        caught_by="test_only_directions_count",
        swap=(
            (ASARRAY, "    x = np.asarray(x)\n"),
            (
                "    length = np.linalg.norm(x, axis=1, keepdims=True)  # (n, 1)\n",
                "    length = np.sqrt((x**2).sum(axis=1, keepdims=True))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="distance-not-squared",
        title="distances of partners that are not squared",
        explanation="You average the distances. Alignment averages their squares.",
        caught_by="test_alignment_compares_partners",
        swap=((ALIGNMENT, "    return float(np.linalg.norm(u - v, axis=1).mean())\n"),),
    ),
    WrongAnswer(
        id="sum-over-partners",
        title="the sum over the partners instead of the mean",
        explanation="Your alignment grows with the number of pairs. It is a mean over them.",
        caught_by="test_alignment_compares_partners",
        swap=((ALIGNMENT, "    return float(((u - v) ** 2).sum())\n"),),
    ),
    WrongAnswer(
        id="mean-over-the-width",
        title="squares averaged over the width, too",
        explanation=(
            "You average over all entries, so your alignment is too small by the width. Along a row the squares are summed: "
            "that is what makes them a squared distance."
        ),
        caught_by="test_alignment_compares_partners",
        swap=((ALIGNMENT, "    return float(((u - v) ** 2).mean())\n"),),
    ),
    WrongAnswer(
        id="mean-of-exponents",
        title="the mean of the logarithms instead of the logarithm of the mean",
        explanation=(
            "Logarithm and exponential have cancelled: your uniformity is -t times the mean squared distance. Then near "
            "pairs count no more than far ones. First exp, then the mean, then log."
        ),
        caught_by="test_uniformity_is_a_logarithm_of_a_mean_over_pairs",
        swap=((RESULT, "    return float(exponents.mean())\n"),),
    ),
    WrongAnswer(
        id="t-fixed",
        title="t ignored",
        explanation="Your uniformity is the same for every t. Its default is 2, but it is an argument.",
        caught_by="test_uniformity_is_a_logarithm_of_a_mean_over_pairs",
        swap=((EXPONENTS, EXPONENTS.replace("-t *", "-2 *")),),
    ),
    WrongAnswer(
        id="distance-instead-of-its-square",
        title="the distance in the exponent, not its square",
        explanation="The exponent holds t times the distance. The Gaussian potential has the squared distance there.",
        caught_by="test_uniformity_is_a_logarithm_of_a_mean_over_pairs",
        swap=((EXPONENTS, "    exponents = -t * np.linalg.norm(x[i] - x[j], axis=1)\n"),),
    ),
    WrongAnswer(
        id="log-two",
        title="a logarithm of another base",
        explanation="Your uniformity differs from the right one by a constant factor: the logarithm is the natural one.",
        caught_by="test_uniformity_is_a_logarithm_of_a_mean_over_pairs",
        swap=((RESULT, "    return float((largest + np.log(np.exp(exponents - largest).mean())) / np.log(2))\n"),),
    ),
    WrongAnswer(
        id="exponentials-vanish",
        title="minus infinity for a large t",
        explanation=(
            "For a large t every exponential is 0 in floating point, and the logarithm of 0 is minus infinity. What can be "
            "taken out of the sum before exp, and put back after log?"
        ),
        caught_by="test_a_large_t_stays_finite",
        swap=(
            (
                RESULT,
                "    with np.errstate(divide='ignore'):\n        return float(np.log(np.exp(exponents).mean()))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-from-below",
        title="a tiny number added inside the logarithm",
        explanation=(
            "A small constant keeps the logarithm finite, but for a large t your uniformity is the logarithm of that "
            "constant, whatever the embeddings are."
        ),
        caught_by="test_a_large_t_stays_finite",
        swap=((RESULT, "    return float(np.log(np.exp(exponents).mean() + 1e-300))\n"),),
    ),
    WrongAnswer(
        id="centres-normalised",
        title="the mean rows normalised again",
        explanation=(
            "You bring the centres to length one before you compare them. How far a centre lies from the origin says how "
            "narrow the cone is, and that belongs to the gap."
        ),
        caught_by="test_the_gap_is_a_distance_of_centres",
        swap=(
            (
                GAP,
                "    a, b = u.mean(axis=0), v.mean(axis=0)\n"
                "    return float(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="gap-squared",
        title="the squared distance of the centres",
        explanation="Your gap is a sum of squares. It is a distance: the root is missing.",
        caught_by="test_the_gap_is_a_distance_of_centres",
        swap=((GAP, "    return float(((u.mean(axis=0) - v.mean(axis=0)) ** 2).sum())\n"),),
    ),
    WrongAnswer(
        id="first-row-only",
        title="means over the width instead of over the rows",
        explanation=(
            "You average along each row, which gives a number for each embedding. The centre of a cloud is the mean over its "
            "rows: check the axis."
        ),
        caught_by="test_the_gap_is_a_distance_of_centres",
        swap=((GAP, "    return float(np.linalg.norm(u.mean(axis=1) - v.mean(axis=1)))\n"),),
    ),
    WrongAnswer(
        id="raw-centres",
        title="centres of the rows as they come, normalised afterwards",
        explanation=(
            "You average first and normalise then, so long rows decide where the centre lies. Each row is normalised before "
            "the mean."
        ),
        caught_by="test_the_gap_is_a_distance_of_centres",
        swap=(
            (
                "    u, v = unit_rows(u), unit_rows(v)\n    if u.shape != v.shape:\n"
                '        raise ValueError(f"both modalities',
                "    unit_rows(u), unit_rows(v)\n"
                "    u, v = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)\n"
                "    if u.shape != v.shape:\n"
                '        raise ValueError(f"both modalities',
            ),
            (
                GAP,
                "    a, b = u.mean(axis=0), v.mean(axis=0)\n"
                "    return float(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="row-of-zeros-accepted",
        title="a row of zeros accepted",
        explanation=(
            "A row of zeros has no direction. Your function returns NaN, or protects the division with a tiny number and "
            "compares a point that is not on the sphere. Refuse it."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            ('        raise ValueError("a row of zeros has no direction")\n', "        pass\n"),
            (UNIT, "    return x / np.maximum(length, 1e-300)\n"),
        ),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN and infinity accepted",
        explanation="Numbers that are not finite make the result NaN without a word. Look for them first.",
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=((FINITE, ""),),
    ),
    WrongAnswer(
        id="shapes-broadcast",
        title="sets of different sizes accepted",
        explanation=(
            "Your function takes sets of different shapes: rows without a partner are dropped or repeated, or only the "
            "centres are compared. Partners need equal shapes, and the rules ask for them in both functions."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(
            (
                '        raise ValueError(f"partners must have one shape, not {u.shape} and {v.shape}")\n',
                "        n = min(len(u), len(v))\n        u, v = u[:n], v[:n]\n",
            ),
            (
                '        raise ValueError(f"both modalities must have one shape, not {u.shape} and {v.shape}")\n',
                "        pass\n",
            ),
        ),
    ),
    WrongAnswer(
        id="t-unchecked",
        title="any t accepted",
        explanation=(
            "With t = 0 every set has uniformity 0, and with a negative t the measure rewards collapse. NaN passes a test "
            "for t <= 0; ask for t > 0."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(("    if not t > 0:\n", "    if t <= 0:\n"),),
    ),
    WrongAnswer(
        id="normalised-in-place",
        title="the caller's array normalised in place",
        explanation=(
            "`/=` writes into the array that was passed in, so the caller's embeddings are changed by being measured. Make "
            "a new array."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=((UNIT, "    x /= length\n    return x\n"),),
    ),
    WrongAnswer(
        id="single-row",
        title="a single row accepted",
        explanation=(
            "One row makes no pair, and a centre of one point says nothing about a cloud. The rules ask for two rows at "
            "least, in all three measures."
        ),
        caught_by="test_bad_input_is_refused_and_arguments_stay",
        swap=(("    if x.ndim != 2 or len(x) < 2:\n", "    if x.ndim != 2 or len(x) < 1:\n"),),
    ),
]

alternatives = [
    Alternative(
        id="cosines",
        title="from cosines, with logaddexp",
        code="""
def _prepared(x):
    x = np.array(x, dtype=float)
    if x.ndim != 2 or x.shape[0] < 2 or not np.all(np.isfinite(x)) or not np.all(np.any(x != 0, axis=1)):
        raise ValueError("embeddings")
    return x / np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]


def alignment(u, v):
    u, v = _prepared(u), _prepared(v)
    if u.shape != v.shape:
        raise ValueError("shapes")
    return 2 - 2 * np.mean(np.einsum("nd,nd->n", u, v))


def uniformity(x, t=2):
    if not t > 0:
        raise ValueError("t")
    x = _prepared(x)
    squared = 2 - 2 * x @ x.T
    n = len(x)
    return np.logaddexp.reduce(-t * squared[~np.tri(n, dtype=bool)]) - np.log(n * (n - 1) / 2)


def modality_gap(u, v):
    u, v = _prepared(u), _prepared(v)
    if u.shape != v.shape:
        raise ValueError("shapes")
    difference = (u - v).mean(axis=0)
    return np.sqrt(difference @ difference)
""",
    ),
    Alternative(
        id="loops",
        title="plain Python loops",
        code="""
from itertools import combinations
from math import dist, exp, hypot, isfinite, log


def rows_of_length_one(x):
    if np.ndim(x) != 2 or len(x) < 2:
        raise ValueError("two axes, two rows")
    rows = []
    for row in x:
        row = [float(value) for value in row]
        if not all(isfinite(value) for value in row) or not any(row):
            raise ValueError("a row cannot be normalised")
        rows.append([value / hypot(*row) for value in row])
    return rows


def alignment(u, v):
    if np.shape(u) != np.shape(v):
        raise ValueError("shapes")
    distances = [dist(a, b) ** 2 for a, b in zip(rows_of_length_one(u), rows_of_length_one(v))]
    return sum(distances) / len(distances)


def uniformity(x, t=2):
    if t != t or t <= 0:
        raise ValueError("t")
    exponents = [-t * dist(a, b) ** 2 for a, b in combinations(rows_of_length_one(x), 2)]
    top = max(exponents)
    return top + log(sum(exp(value - top) for value in exponents) / len(exponents))


def modality_gap(u, v):
    if np.shape(u) != np.shape(v):
        raise ValueError("shapes")
    u, v = rows_of_length_one(u), rows_of_length_one(v)
    return dist([sum(c) / len(u) for c in zip(*u)], [sum(c) / len(v) for c in zip(*v)])
""",
    ),
    Alternative(
        id="one-stacked-array",
        title="both modalities in one array, and ordered pairs",
        code="""
def normalised(*sets):
    if len({np.shape(s) for s in sets}) != 1:
        raise ValueError("shapes")
    stacked = np.stack([np.asarray(s, dtype=np.float64) for s in sets])  # (sets, n, width)
    if stacked.ndim != 3 or stacked.shape[1] < 2 or np.isnan(stacked).any() or np.isinf(stacked).any():
        raise ValueError("rows")
    lengths = np.linalg.norm(stacked, axis=2)
    if lengths.min() <= 0:
        raise ValueError("zero")
    return np.divide(stacked, lengths[..., np.newaxis])


def alignment(u, v):
    difference = np.subtract(*normalised(u, v))
    return np.sum(np.square(difference)) / len(difference)


def uniformity(x, t=2):
    (x,) = normalised(x)
    if np.isnan(t) or t <= 0:
        raise ValueError("t")
    squared = np.square(x[:, None] - x[None]).sum(-1)
    off_diagonal = squared[~np.eye(len(x), dtype=bool)]  # every pair twice, which leaves the mean as it is
    least = off_diagonal.min()
    return np.log(np.mean(np.exp(t * (least - off_diagonal)))) - t * least


def modality_gap(u, v):
    centres = normalised(u, v).mean(axis=1)
    return np.linalg.norm(np.diff(centres, axis=0))
""",
    ),
]
