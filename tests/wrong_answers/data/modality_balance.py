"""Wrong answers and differently written correct solutions of data/modality_balance.

The published answer has no code; two of its remedies are wrong claims (`claims-as-published`), and its "random choice of
a part of the data" is `random-rows-dropped`.
"""

from grader.catalogue import Alternative, WrongAnswer

CELLS = "test_every_cell_has_the_same_total"
PATTERN = "test_a_cell_is_a_label_with_a_whole_pattern"
COPIES = "test_copies_and_a_complete_modality_change_nothing"
AHEAD = "test_the_branch_ahead_is_slowed_down"
TIES = "test_ties_zero_sums_and_alpha_zero"
BAD_INPUT = "test_bad_input_is_refused"
CLAIMS = "test_claims"

ROWS = "cell = np.column_stack([labels, present])"
SHARE = "return 1 / (counts.size * counts[cell_of_sample])"
SLOWED = "return 1 - math.tanh(alpha * own / other) if other > 0 else 0.0"
TIE = "if own <= other or alpha == 0:"
SUMS = "sum_text, sum_image = math.fsum(text), math.fsum(image)"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answer
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answer has them",
        explanation=(
            "Some claims follow remedies that are in print and do not help. What does leaving out data do to the gap "
            "between training and test, and what has a network that only draws images to do with captions?"
        ),
        caught_by=CLAIMS,
        swap=(
            ("subset_prevents_overfitting=False", "subset_prevents_overfitting=True"),
            ("gan_completes_pairs=False", "gan_completes_pairs=True"),
            ("eight_bits_regularise=False", "eight_bits_regularise=True"),
        ),
    ),
    WrongAnswer(
        id="one-imbalance-for-another",
        title="all kinds of imbalance taken for one",
        explanation=(
            "Classes, presence of modalities and speed of learning are judged as if one remedy cured them all. Think of "
            "a data set with equal classes and ask of each of the other two whether it must be in balance."
        ),
        caught_by=CLAIMS,
        swap=(
            ("classes_cure_speed=False", "classes_cure_speed=True"),
            ("coverage_is_separate=True", "coverage_is_separate=False"),
        ),
    ),
    # ------------------------------------------------------------------------------------------- what is balanced
    WrongAnswer(
        id="classes-only",
        title="classes balanced, presence of modalities ignored",
        explanation=(
            "Every class gets the same total, but within a class the samples with an image may be nearly all or nearly "
            "none. The model can then tell the class from the presence of an image. What else defines a cell?"
        ),
        caught_by=CELLS,
        swap=((ROWS, "cell = labels[:, None]"),),
    ),
    WrongAnswer(
        id="random-rows-dropped",
        title="random samples of large cells dropped",
        explanation=(
            "Large cells are cut down to the size of the smallest, so most samples get probability 0 and are never "
            "seen. Sampling can balance without throwing data away: what should the samples of a large cell share?"
        ),
        caught_by=CELLS,
        swap=(
            (
                SHARE,
                "kept = [np.flatnonzero(cell_of_sample == c)[: counts.min()] for c in range(counts.size)]\n"
                "    probabilities = np.zeros(labels.size)\n"
                "    probabilities[np.concatenate(kept)] = 1 / (counts.size * counts.min())\n"
                "    return probabilities",
            ),
        ),
    ),
    WrongAnswer(
        id="uniform-sampling",
        title="the same probability for every sample",
        explanation=(
            "Uniform sampling reproduces the data as they are: a cell with ten times the samples is seen ten times as "
            "often. It is the cells that should be equally likely."
        ),
        caught_by=CELLS,
        swap=((SHARE, "return np.full(labels.size, 1 / labels.size)"),),
    ),
    WrongAnswer(
        id="patterns-only",
        title="presence patterns balanced, classes ignored",
        explanation=(
            "Every presence pattern gets the same total, and the classes stay as unequal as they were. A cell is the "
            "pattern together with the label."
        ),
        caught_by=CELLS,
        swap=((ROWS, "cell = present"),),
    ),
    WrongAnswer(
        id="classes-times-patterns",
        title="inverse class frequency times inverse pattern frequency",
        explanation=(
            "Label and pattern are balanced each by itself and the weights multiplied. That is right only if the two are "
            "independent; where images are missing mostly in one class, some cells get far more than others."
        ),
        caught_by=CELLS,
        swap=(
            (
                SHARE,
                "_, of_label, n_label = np.unique(labels, return_inverse=True, return_counts=True)\n"
                "    _, of_row, n_row = np.unique(present, axis=0, return_inverse=True, return_counts=True)\n"
                "    weights = 1 / (n_label[of_label] * n_row[of_row.reshape(-1)])\n"
                "    return weights / weights.sum()",
            ),
        ),
    ),
    WrongAnswer(
        id="total-of-one-for-each-cell",
        title="one over the size of the cell, not divided by the number of cells",
        explanation=(
            "The weights have the right ratios, but each cell has the total 1, so they do not sum to 1 and are no "
            "probabilities. How many cells share the total?"
        ),
        caught_by=CELLS,
        swap=((SHARE, "return 1 / counts[cell_of_sample]"),),
    ),
    WrongAnswer(
        id="proportional-to-the-cell",
        title="samples of large cells preferred",
        explanation=(
            "The probability of a sample grows with the size of its cell, so the imbalance is squared instead of "
            "removed. In a larger cell, should a single sample get more or less?"
        ),
        caught_by=CELLS,
        swap=((SHARE, "return counts[cell_of_sample] / counts[cell_of_sample].sum()"),),
    ),
    WrongAnswer(
        id="modalities-counted",
        title="the number of modalities instead of the pattern",
        explanation=(
            "A sample with text and image and one with text and sound are put into one cell, because both have two "
            "modalities. Which ones a sample has matters, not how many."
        ),
        caught_by=PATTERN,
        swap=((ROWS, "cell = np.column_stack([labels, present.sum(axis=1)])"),),
    ),
    WrongAnswer(
        id="label-and-pattern-added",
        title="different cells with the same code",
        explanation=(
            "Label and pattern are combined into one number, and different pairs can have the same one: 1 + 2 is "
            "2 + 1. A tuple, a row, or a number with enough room for every pattern keeps them apart."
        ),
        caught_by=PATTERN,
        swap=((ROWS, "cell = (labels + present @ (2 ** np.arange(present.shape[1])))[:, None]"),),
    ),
    WrongAnswer(
        id="last-modality-only",
        title="the presence of a single modality",
        explanation=(
            "Only one column of `present` decides, as if all the others were always there. A sample without text is "
            "another case than one with text, even if both have an image."
        ),
        caught_by=PATTERN,
        swap=((ROWS, "cell = np.column_stack([labels, present[:, -1]])"),),
    ),
    WrongAnswer(
        id="pattern-in-64-bits",
        title="patterns coded as numbers with too few bits",
        explanation=(
            "Powers of two name each pattern, but an integer has 64 bits (fewer for small types), and what does not fit "
            "is lost without a word. Compare the rows themselves."
        ),
        caught_by=PATTERN,
        swap=((ROWS, "cell = np.column_stack([labels, present @ (1 << np.arange(present.shape[1]))])"),),
    ),
    WrongAnswer(
        id="all-possible-cells",
        title="empty cells given a share",
        explanation=(
            "The total is divided among all combinations of label and pattern that could occur, and the share of the "
            "empty ones is lost: the probabilities sum to less than 1. Count the cells that do occur."
        ),
        caught_by=COPIES,
        swap=((SHARE, "return 1 / (np.unique(labels).size * 2 ** present.shape[1] * counts[cell_of_sample])"),),
    ),
    # ------------------------------------------------------------------------------------------ which branch is slowed
    WrongAnswer(
        id="slows-the-one-behind",
        title="the branch that is behind slowed down",
        explanation=(
            "The factor below 1 goes to the branch with the smaller sum, so the gap grows. A higher probability of the "
            "true class means that the branch has learned more: which one can wait?"
        ),
        caught_by=AHEAD,
        swap=(
            (
                "return coefficient(sum_text, sum_image), coefficient(sum_image, sum_text)",
                "return coefficient(sum_image, sum_text), coefficient(sum_text, sum_image)",
            ),
        ),
    ),
    WrongAnswer(
        id="boosted",
        title="a factor above 1",
        explanation=(
            "1 + tanh makes the gradient of a branch larger than it is. The method only ever holds back the branch "
            "that is ahead; its factors lie between 0 and 1."
        ),
        caught_by=AHEAD,
        swap=(
            (SLOWED, "return 1 + math.tanh(alpha * own / other) if other > 0 else 2.0"),
            (
                "return coefficient(sum_text, sum_image), coefficient(sum_image, sum_text)",
                "return coefficient(sum_image, sum_text), coefficient(sum_text, sum_image)",
            ),
        ),
    ),
    WrongAnswer(
        id="mean-of-ratios",
        title="the mean of the samples' ratios",
        explanation=(
            "A sample to which the other branch gives nearly 0 has a huge ratio and decides about the whole batch, and "
            "the two sides no longer mirror each other. Divide sums, not samples."
        ),
        caught_by=AHEAD,
        swap=(
            (
                SUMS,
                SUMS + "\n    ratios = (text + 1e-300) / (image + 1e-300)\n"
                "    if sum_text and sum_image and sum_text != sum_image:\n"
                "        sum_text, sum_image = max(ratios.mean(), 1.0), max((1 / ratios).mean(), 1.0)\n"
                "        sum_text, sum_image = (sum_text, 1.0) if sum_text > sum_image else (1.0, sum_image)",
            ),
        ),
    ),
    WrongAnswer(
        id="both-slowed",
        title="both branches slowed down",
        explanation=(
            "Each branch gets 1 - tanh of its own ratio, also the one behind, so both learn more slowly and the gap "
            "closes less. Only the branch ahead is held back."
        ),
        caught_by=AHEAD,
        swap=((TIE, "if own == other or alpha == 0:"),),
    ),
    WrongAnswer(
        id="alpha-outside",
        title="alpha in front of tanh",
        explanation=(
            "With 1 - alpha · tanh(ratio) the factor never falls below 1 - alpha, however far a branch is ahead. Alpha "
            "scales the ratio, inside."
        ),
        caught_by=AHEAD,
        swap=((SLOWED, "return 1 - alpha * math.tanh(own / other) if other > 0 else 0.0"),),
    ),
    WrongAnswer(
        id="alpha-ignored",
        title="alpha without effect",
        explanation="The factor is the same for every alpha. It decides how strongly a given ratio slows a branch down.",
        caught_by=AHEAD,
        swap=((SLOWED, "return 1 - math.tanh(own / other) if other > 0 else 0.0"),),
    ),
    WrongAnswer(
        id="difference-of-sums",
        title="the difference of the sums instead of their ratio",
        explanation=(
            "A difference grows with the number of samples, so the factor depends on the batch size. A ratio does not: "
            "copying the batch leaves it as it is."
        ),
        caught_by=AHEAD,
        swap=((SLOWED, "return 1 - math.tanh(alpha * (own - other)) if other > 0 else 0.0"),),
    ),
    WrongAnswer(
        id="epsilon-in-the-denominator",
        title="a small number added to the denominator",
        explanation=(
            "Adding a constant avoids the division by 0 but changes every other ratio a little as well, the more the "
            "smaller the sums. Treat the one case that needs it by itself."
        ),
        caught_by=AHEAD,
        swap=((SLOWED, "return 1 - math.tanh(alpha * own / (other + 1e-6)) if other > 0 else 0.0"),),
    ),
    WrongAnswer(
        id="computed-in-the-input-type",
        title="sums taken in the type of the input",
        explanation=(
            "Probabilities from a network come in float32 or float16, and hundreds of them are added in that type, with "
            "its few digits. Convert first, then add."
        ),
        caught_by=AHEAD,
        swap=((SUMS, "sum_text, sum_image = (float(np.asarray(p).sum()) for p in (p_text, p_image))"),),
    ),
    WrongAnswer(
        id="tie-slowed",
        title="a tie treated as a lead",
        explanation=(
            "With equal sums no branch is ahead, and both get 1. Where does your comparison put the case of equality?"
        ),
        caught_by=TIES,
        swap=((TIE, "if own < other or alpha == 0:"),),
    ),
    WrongAnswer(
        id="zero-sum-divides",
        title="a division by a sum of 0",
        explanation=(
            "If one branch gives every true class probability 0, the ratio is not a number you can compute, but the "
            "factor of the other branch has a limit. Which value does 1 - tanh(x) approach as x grows?"
        ),
        caught_by=TIES,
        swap=((SLOWED, "return 1 - math.tanh(alpha * own / other)"),),
    ),
    WrongAnswer(
        id="alpha-zero-overruled",
        title="a branch stopped although alpha is 0",
        explanation=(
            "alpha = 0 switches the modulation off, and both factors are 1. The case of a sum of 0 comes before it in "
            "your code. Which of the two rules has the last word?"
        ),
        caught_by=TIES,
        swap=((TIE, "if own <= other:"),),
    ),
    WrongAnswer(
        id="single-zeros-refused",
        title="single probabilities of 0 refused",
        explanation=(
            "A branch may well give one sample's true class probability 0; 0 and 1 belong to the allowed range. Only "
            "the sums matter, and only both of them being 0 is a mistake."
        ),
        caught_by=TIES,
        swap=(("(probability >= 0) & (probability <= 1)", "(probability > 0) & (probability <= 1)"),),
    ),
    # ------------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="empty-sample-accepted",
        title="a sample without any modality accepted",
        explanation=(
            "A sample that has nothing gets a cell of its own, and a full share of the training. It is a mistake in the "
            "data that the caller has to hear of."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not present.any(axis=1).all():", "if False:"),),
    ),
    WrongAnswer(
        id="one-pattern-for-all",
        title="a single presence row stretched over all samples",
        explanation=(
            "One row of `present` is used for every sample, by broadcasting. That is how a wrong shape stays unnoticed. "
            "Compare the number of rows with the number of labels."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "present.ndim != 2 or len(present) != labels.size",
                "present.ndim != 2 or len(present) not in (1, labels.size)",
            ),
            (ROWS, "cell = np.column_stack([labels, np.repeat(present, labels.size // len(present), axis=0)])"),
        ),
    ),
    WrongAnswer(
        id="nan-slips-through",
        title="NaN accepted as a probability",
        explanation=(
            "Every comparison with NaN is false, so a test for values below 0 or above 1 does not find it. Ask whether "
            "all values are inside the range instead."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if not ((probability >= 0) & (probability <= 1)).all():",
                "if ((probability < 0) | (probability > 1)).any():",
            ),
        ),
    ),
    WrongAnswer(
        id="lengths-unchecked",
        title="different numbers of samples on the two sides",
        explanation=(
            "Sums exist for any lengths, so a batch of three is compared with one of two and the longer one leads. Both "
            "branches have to see the same samples."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if text.ndim != 1 or text.shape != image.shape or text.size == 0:",
                "if text.ndim != 1 or text.size == 0:",
            ),
        ),
    ),
    WrongAnswer(
        id="alpha-unchecked",
        title="a negative or undefined alpha accepted",
        explanation=(
            "A negative alpha turns holding back into boosting, and NaN spreads into the gradients. Mind how NaN "
            "compares when you write the condition."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not 0 <= alpha < math.inf:", "if False:"),),
    ),
]

alternatives = [
    Alternative(
        id="counters",
        title="tuples and a Counter; the ratio of the larger to the smaller sum",
        code="""
def balanced_sampling_probs(labels, present):
    from collections import Counter

    if np.ndim(labels) != 1 or np.ndim(present) != 2 or len(labels) != len(present) or len(labels) == 0:
        raise ValueError("shapes")
    cells = []
    for label, row in zip(labels, present):
        if int(label) != label:
            raise ValueError("label")
        if not any(row):
            raise ValueError("no modality")
        cells.append((int(label), *map(bool, row)))
    sizes = Counter(cells)
    share = 1.0 / len(sizes)
    return np.array([share / sizes[cell] for cell in cells])


def ogm_coefficients(p_text, p_image, alpha=0.5):
    sides = []
    for side in (p_text, p_image):
        if np.ndim(side) != 1 or len(side) == 0:
            raise ValueError("shape")
        numbers = [float(p) for p in side]
        if any(not 0.0 <= p <= 1.0 for p in numbers):
            raise ValueError("probability")
        sides.append(numbers)
    if len(sides[0]) != len(sides[1]) or alpha < 0 or not math.isfinite(alpha):
        raise ValueError("lengths or alpha")
    text, image = sum(sides[0]), sum(sides[1])
    high, low = max(text, image), min(text, image)
    if high == 0:
        raise ValueError("zeros")
    if alpha == 0 or high == low:
        return 1, 1
    slowed = 0 if low == 0 else 1 - math.tanh(alpha * (high / low))
    return (slowed, 1) if text > image else (1, slowed)
""",
    ),
    Alternative(
        id="pairwise-comparison",
        title="every sample compared with every other; the limit through infinity",
        code="""
def balanced_sampling_probs(labels, present):
    labels, present = np.array(labels), np.array(present)
    n = len(labels) if labels.ndim == 1 else 0
    if n == 0 or present.ndim != 2 or present.shape[0] != n or labels.dtype.kind not in "iu":
        raise ValueError("input")
    if (present.sum(axis=1) == 0).any():
        raise ValueError("nothing there")
    together = labels[:, None] == labels
    together &= (present[:, None, :] == present[None, :, :]).all(axis=2)
    weights = 1.0 / together.sum(axis=1)
    return weights / np.sum(weights)


def ogm_coefficients(p_text, p_image, alpha=0.5):
    p = [np.array(side, dtype=float) for side in (p_text, p_image)]
    if p[0].ndim != 1 or p[0].shape != p[1].shape or len(p[0]) == 0:
        raise ValueError("shape")
    p = np.stack(p)
    if np.isnan(p).any() or p.min() < 0 or p.max() > 1 or not np.isfinite(alpha) or alpha < 0 or not p.any():
        raise ValueError("value")
    totals = p.sum(axis=1)
    if alpha == 0:
        return np.ones(2)
    with np.errstate(divide="ignore"):
        ratio = totals / totals[::-1]
    return np.where(ratio > 1, 1 - np.tanh(alpha * ratio), 1.0)
""",
    ),
    Alternative(
        id="nested-groups",
        title="one group after the other by masks; a sigmoid in place of tanh",
        code="""
def balanced_sampling_probs(labels, present):
    labels = np.asarray(labels)
    present = np.asarray(present)
    if labels.ndim != 1 or not labels.size or present.ndim != 2 or present.shape[0] != labels.shape[0]:
        raise ValueError("shapes")
    if not np.can_cast(labels.dtype, np.int64) or labels.dtype == bool:
        raise TypeError("labels")
    if (~present.astype(bool)).all(axis=1).any():
        raise ValueError("row")
    result, cells = np.zeros(labels.size), 0
    todo = np.ones(labels.size, dtype=bool)
    while todo.any():
        first = int(np.argmax(todo))
        members = (labels == labels[first]) & (present == present[first]).all(axis=1)
        result[members] = 1 / members.sum()
        todo &= ~members
        cells += 1
    return result / cells


def ogm_coefficients(p_text, p_image, alpha=0.5):
    text, image = np.atleast_1d(np.float64(p_text)), np.atleast_1d(np.float64(p_image))
    if text.ndim > 1 or image.ndim > 1 or text.size != image.size or text.size == 0:
        raise ValueError("shape")
    both = np.concatenate([text, image])
    if not np.all((0 <= both) & (both <= 1)) or not 0 <= alpha <= 1e300:
        raise ValueError("values")
    a, b = math.fsum(text.tolist()), math.fsum(image.tolist())
    if a + b == 0:
        raise ValueError("zeros")
    factors = [1.0, 1.0]
    if alpha > 0 and a != b:
        ahead = 0 if a > b else 1
        x = alpha * max(a, b) / min(a, b) if min(a, b) else math.inf
        factors[ahead] = 2 * math.exp(-2 * x) / (1 + math.exp(-2 * x))  # 1 - tanh(x)
    return np.float64(factors[0]), np.float64(factors[1])
""",
    ),
]
