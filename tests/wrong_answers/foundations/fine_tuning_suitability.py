"""Mistakes people make in foundations/fine_tuning_suitability, and correct solutions in another style."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
DISTANCES = "test_pooled_distances"
MEDIAN = "test_median_sigma"
ESTIMATE = "test_unbiased_estimate"
SPREAD = "test_spread_and_sign"
TEST = "test_permutation_test"
REFUSED = "test_arguments_that_make_no_sense_are_refused"

ROOT = "    return np.sqrt((differences**2).sum(axis=-1))  # (n + m, n + m)"
CONVERTED = "np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)\n    if source.ndim"
DIFFERENCES = "    differences = pooled[:, None, :] - pooled[None, :, :]  # (n + m, n + m, d)\n"
MEDIAN_LINE = "    median = np.median(distances[np.triu_indices(len(distances), k=1)])"
PAIRS = "    pairs = distances[np.triu_indices(len(distances), k=1)]\n"
KERNEL = "    kernel = np.exp(-0.5 * (pooled_distances(source, target) / sigma) ** 2)"
DIAGONAL = "    np.fill_diagonal(kernel, 0.0)  # no row is paired with itself\n"
RESULT = "    return float(within_source + within_target - 2 * between)"
ORDER = "        order = generator.permutation(len(pooled))  # (n + m,)\n"
COUNT = "        count += mmd2_unbiased(pooled[order[:n]], pooled[order[n:]], sigma) >= stat - 1e-12\n"
P = "float((1 + count) / (1 + n_perm))"
GENERATOR = "    generator = np.random.default_rng(seed)\n"
SIGMA = "    if not 0 < sigma < np.inf:"

wrong_answers = [
    WrongAnswer(
        id="published-claims",
        title="multimodal fine-tuning recommended for every task",
        explanation=(
            "You agree with what is often published: that multimodal fine-tuning helps on every task of language "
            "processing, and most of all where data are few. Ask what an image could add where there is none, and which "
            "has more to fit from ten samples, a probe or all weights."
        ),
        caught_by=CLAIMS,
        swap=(("    text_alone=False,", "    text_alone=True,"), ("    few_labels=False,", "    few_labels=True,")),
    ),
    # ---------------------------------------------------------------------------------------------- distances
    WrongAnswer(
        id="squares-without-root",
        title="squared distances",
        explanation="You return squared distances. A median of these is no width for a kernel that divides by sigma squared.",
        caught_by=DISTANCES,
        swap=((ROOT, "    return (differences**2).sum(axis=-1)"),),
    ),
    WrongAnswer(
        id="mean-over-the-width",
        title="the mean over the width in place of the sum",
        explanation=(
            "You average the squared differences over the d components. Distances then shrink with the root of the "
            "width; the Euclidean distance adds them up."
        ),
        caught_by=DISTANCES,
        swap=((ROOT, "    return np.sqrt((differences**2).mean(axis=-1))"),),
    ),
    WrongAnswer(
        id="sum-of-absolute-differences",
        title="sums of absolute differences",
        explanation="You add up absolute differences, the distance of a taxi in Manhattan. The kernel takes the Euclidean one.",
        caught_by=DISTANCES,
        swap=((ROOT, "    return np.abs(differences).sum(axis=-1)"),),
    ),
    WrongAnswer(
        id="target-first",
        title="the rows of target before those of source",
        explanation=(
            "Your matrix begins with the rows of `target`. Every block of it, and the meaning of 'the first n rows', "
            "depends on the order."
        ),
        caught_by=DISTANCES,
        swap=(
            (
                "    pooled = np.concatenate([source, target])  # (n + m, d)\n",
                "    pooled = np.vstack([target, source])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="expanded-square",
        title="the square multiplied out: |x|² + |y|² - 2xy",
        explanation=(
            "Far from the origin the three terms are huge and nearly cancel, and with them go the digits that you want: "
            "duplicates come out apart, and neighbours at distance 0. Subtract first, then square."
        ),
        caught_by=DISTANCES,
        swap=(
            (DIFFERENCES, "    squares = (pooled**2).sum(axis=-1)\n"),
            (ROOT, "    return np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * pooled @ pooled.T, 0))"),
        ),
    ),
    WrongAnswer(
        id="differences-in-the-dtype-given",
        title="differences taken in the dtype of the embeddings",
        explanation=(
            "In `uint8`, 3 - 5 is 254, and float16 keeps three digits. Stored embeddings come in many dtypes; convert "
            "them to float64 before the first subtraction."
        ),
        caught_by=DISTANCES,
        swap=(
            (CONVERTED, "np.asarray(source), np.asarray(target)\n    if source.ndim"),
            (ROOT, "    return np.sqrt((differences**2).sum(axis=-1)).astype(np.float64)"),
        ),
    ),
    WrongAnswer(
        id="single-precision",
        title="distances in float32",
        explanation="float32 keeps seven digits, and fewer of a difference. Everything is to be computed in float64.",
        caught_by=DISTANCES,
        swap=(
            (
                CONVERTED,
                "np.asarray(source, dtype=np.float32), np.asarray(target, dtype=np.float32)\n    if source.ndim",
            ),
            (ROOT, "    return np.sqrt((differences**2).sum(axis=-1)).astype(np.float64)"),
        ),
    ),
    WrongAnswer(
        id="argument-centred-in-place",
        title="the caller's embeddings are moved",
        explanation=(
            "After the call the caller's array has other values: `np.asarray` makes no copy of an array that has the "
            "right dtype already, and `-=` works on it. Work on values of your own."
        ),
        caught_by=DISTANCES,
        swap=(
            (
                "    pooled = np.concatenate([source, target])  # (n + m, d)\n",
                "    centre = source.mean(axis=0)\n    source -= centre\n    target -= centre\n"
                "    pooled = np.concatenate([source, target])  # (n + m, d)\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- median
    WrongAnswer(
        id="median-with-self-pairs",
        title="zeros of the diagonal in the median",
        explanation=(
            "You take the median of the whole matrix. The distance of every row to itself is in it, as many zeros as "
            "there are rows, and pulls the median down."
        ),
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, "    median = np.median(distances)"),),
    ),
    WrongAnswer(
        id="median-between-only",
        title="the median of the distances between the sets only",
        explanation="You leave out the pairs within the sets. The pooled sample knows no sets: every pair of rows counts.",
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, "    median = np.median(distances[: len(source), len(source) :])"),),
    ),
    WrongAnswer(
        id="median-within-source",
        title="the median of the distances within source only",
        explanation="You look at one set. A width chosen there may be far too narrow for distances between the sets.",
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, "    median = np.median(distances[np.triu_indices(len(source), k=1)])"),),
    ),
    WrongAnswer(
        id="mean-in-place-of-median",
        title="the mean distance",
        explanation="You average. One row far from all others then widens the kernel; the median does not notice it.",
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, PAIRS + "    median = np.mean(pairs)"),),
    ),
    WrongAnswer(
        id="median-of-squares",
        title="the median of squared distances",
        explanation="Some authors take it for sigma squared. Here sigma itself is asked for, in the unit of the distances.",
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, PAIRS + "    median = np.median(pairs**2)"),),
    ),
    WrongAnswer(
        id="root-of-the-median-of-squares",
        title="the root taken after the median",
        explanation=(
            "For an odd number of pairs it makes no difference whether the root comes before or after the median. For an "
            "even one the median is a mean of two numbers, and the root of a mean is not the mean of the roots."
        ),
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, PAIRS + "    median = np.sqrt(np.median(pairs**2))"),),
    ),
    WrongAnswer(
        id="median-over-root-two",
        title="the median divided by the root of 2",
        explanation=(
            "Your width belongs to a kernel that divides by the squared median without the 2. The kernel here has its 2 "
            "already; sigma is the median as it is."
        ),
        caught_by=MEDIAN,
        swap=(("    return float(median)", "    return float(median / np.sqrt(2))"),),
    ),
    WrongAnswer(
        id="upper-median",
        title="the upper of the two middle distances",
        explanation="For an even number of pairs you take one of the middle distances. The median is the mean of both.",
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, PAIRS + "    median = np.quantile(pairs, 0.5, method='higher')"),),
    ),
    WrongAnswer(
        id="lower-median",
        title="the lower of the two middle distances",
        explanation="For an even number of pairs you take one of the middle distances. The median is the mean of both.",
        caught_by=MEDIAN,
        swap=((MEDIAN_LINE, PAIRS + "    median = np.sort(pairs)[(len(pairs) - 1) // 2]"),),
    ),
    # ----------------------------------------------------------------------------------------------- estimate
    WrongAnswer(
        id="self-pairs-kept",
        title="every row paired with itself too",
        explanation=(
            "You average the blocks within the sets with their diagonals. These are ones, whatever the data, so two sets "
            "of one distribution seem apart, the more so the smaller they are. That is the biased estimate."
        ),
        caught_by=ESTIMATE,
        swap=(
            (DIAGONAL, ""),
            ("kernel[:n, :n].sum() / (n * (n - 1))", "kernel[:n, :n].mean()"),
            ("kernel[n:, n:].sum() / (m * (m - 1))", "kernel[n:, n:].mean()"),
        ),
    ),
    WrongAnswer(
        id="self-pairs-in-the-sum-only",
        title="the diagonal in the sum, but not in the count",
        explanation=(
            "You divide by the number of pairs of two rows, but the ones of the diagonal are still in the sum. For two "
            "rows alone this adds a whole 1."
        ),
        caught_by=ESTIMATE,
        swap=((DIAGONAL, ""),),
    ),
    WrongAnswer(
        id="self-pairs-in-the-count-only",
        title="the diagonal in the count, but not in the sum",
        explanation=(
            "You leave the diagonal out of the sum and still divide by the number of all entries of the block. How many "
            "pairs of two rows are there?"
        ),
        caught_by=ESTIMATE,
        swap=(
            ("kernel[:n, :n].sum() / (n * (n - 1))", "kernel[:n, :n].mean()"),
            ("kernel[n:, n:].sum() / (m * (m - 1))", "kernel[n:, n:].mean()"),
        ),
    ),
    WrongAnswer(
        id="between-once",
        title="the mean between the sets subtracted once",
        explanation=(
            "You subtract the similarity between the sets once. There are two means within: for two sets of one "
            "distribution all three are equal, and the estimate has to be 0 on average."
        ),
        caught_by=ESTIMATE,
        swap=((RESULT, "    return float(within_source + within_target - between)"),),
    ),
    WrongAnswer(
        id="partners-left-out-between",
        title="row i of one set not paired with row i of the other",
        explanation=(
            "Between the sets you leave out the pairs of equal number, as within them. Row i of `source` and row i of "
            "`target` are two different samples: all n m pairs count."
        ),
        caught_by=ESTIMATE,
        swap=(
            (
                "    between = kernel[:n, n:].mean()\n",
                "    between = (kernel[:n, n:].sum() - kernel[:n, n:].trace()) / (n * m - min(n, m))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="sigma-squared-without-2",
        title="a kernel without the 2 in its denominator",
        explanation="Your kernel divides the squared distance by sigma squared. What else stands below the line?",
        caught_by=ESTIMATE,
        swap=((KERNEL, KERNEL.replace("-0.5 * ", "-")),),
    ),
    WrongAnswer(
        id="distance-not-squared",
        title="the distance in the exponent not squared",
        explanation="Your kernel falls with the distance itself. The Gaussian kernel falls with its square.",
        caught_by=ESTIMATE,
        swap=((KERNEL, "    kernel = np.exp(-0.5 * pooled_distances(source, target) / sigma**2)"),),
    ),
    WrongAnswer(
        id="sigma-as-gamma",
        title="sigma multiplied where it should divide",
        explanation=(
            "Your kernel becomes narrower as sigma grows: sigma is used as the factor that libraries call gamma. It is "
            "a width, in the unit of the distances."
        ),
        caught_by=ESTIMATE,
        swap=((KERNEL, "    kernel = np.exp(-sigma * pooled_distances(source, target) ** 2)"),),
    ),
    WrongAnswer(
        id="root-of-the-estimate",
        title="the root of the estimate",
        explanation=(
            "You return the discrepancy itself. The squared one is asked for: its estimate may be negative, and then it "
            "has no root."
        ),
        caught_by=ESTIMATE,
        swap=(
            (
                RESULT,
                "    value = within_source + within_target - 2 * between\n    return float(max(value, 0.0) ** 0.5)",
            ),
        ),
    ),
    WrongAnswer(
        id="equal-sizes-assumed",
        title="both sets divided by the size of source",
        explanation="You divide the sum within `target` by the number of pairs in `source`. The sets may differ in size.",
        caught_by=ESTIMATE,
        swap=(("kernel[n:, n:].sum() / (m * (m - 1))", "kernel[n:, n:].sum() / (n * (n - 1))"),),
    ),
    WrongAnswer(
        id="sigma-ignored",
        title="the median width in place of the one given",
        explanation="You compute a width from the data. The caller has chosen one and passed it as `sigma`.",
        caught_by=ESTIMATE,
        swap=((KERNEL, "    sigma = median_sigma(source, target)\n" + KERNEL),),
    ),
    WrongAnswer(
        id="blocks-rounded",
        title="a kernel in float32",
        explanation="You keep the kernel in float32, so the three means cancel to a few digits. Compute in float64.",
        caught_by=ESTIMATE,
        swap=((DIAGONAL, "    kernel = kernel.astype(np.float32)\n" + DIAGONAL),),
    ),
    # ---------------------------------------------------------------------------------------- spread and sign
    WrongAnswer(
        id="difference-of-means",
        title="the difference of the mean vectors only",
        explanation=(
            "You compare the mean embeddings. Two sets with one mean and different spread, or with two clusters against "
            "one, look the same that way; the kernel is there to see them."
        ),
        caught_by=SPREAD,
        swap=(
            (
                KERNEL + "  # (n + m, n + m)\n",
                "    pooled = np.concatenate([np.asarray(source, float), np.asarray(target, float)])\n"
                "    pooled_distances(source, target)\n    kernel = pooled @ pooled.T / sigma**2\n",
            ),
        ),
    ),
    WrongAnswer(
        id="difference-of-means-and-variances",
        title="the differences of means and variances only",
        explanation=(
            "You compare means and variances, with a polynomial in place of the Gaussian. Two shapes can agree in both "
            "and still be different."
        ),
        caught_by=SPREAD,
        swap=(
            (
                KERNEL + "  # (n + m, n + m)\n",
                "    pooled = np.concatenate([np.asarray(source, float), np.asarray(target, float)])\n"
                "    pooled_distances(source, target)\n    kernel = (1 + pooled @ pooled.T / sigma**2) ** 2\n",
            ),
        ),
    ),
    WrongAnswer(
        id="estimate-cut-at-0",
        title="the estimate cut off at 0",
        explanation=(
            "The squared discrepancy cannot be negative, but its estimate can, and has to where the truth is 0: cut off, "
            "it would be too large on average."
        ),
        caught_by=SPREAD,
        swap=((RESULT, "    return max(0.0, float(within_source + within_target - 2 * between))"),),
    ),
    WrongAnswer(
        id="absolute-estimate",
        title="the size of the estimate, without its sign",
        explanation=(
            "Sets that are mixed better than by chance have a negative estimate. Without its sign they look as far apart "
            "as others that are."
        ),
        caught_by=SPREAD,
        swap=((RESULT, "    return abs(float(within_source + within_target - 2 * between))"),),
    ),
    # --------------------------------------------------------------------------------------- permutation test
    WrongAnswer(
        id="p-without-the-real-split",
        title="p as the plain share of the random splits",
        explanation=(
            "You divide the count by the number of random splits. A p of 0 can come out, from 19 splits, and no test of "
            "19 splits can be so sure. The real split is one of the arrangements too."
        ),
        caught_by=TEST,
        swap=((P, "float(count / n_perm)"),),
    ),
    WrongAnswer(
        id="one-more-in-the-denominator-only",
        title="the real split counted below the line only",
        explanation="You count the real split among all arrangements, but not among those that reach `stat`. It does.",
        caught_by=TEST,
        swap=((P, "float(count / (1 + n_perm))"),),
    ),
    WrongAnswer(
        id="one-more-in-the-numerator-only",
        title="the real split counted above the line only",
        explanation="You count the real split among those that reach `stat`, but not among all: p can exceed 1.",
        caught_by=TEST,
        swap=((P, "float((1 + count) / n_perm)"),),
    ),
    WrongAnswer(
        id="share-of-smaller-splits",
        title="splits counted whose estimate is at most the real one",
        explanation="Your p is near 1 where the sets are far apart. Which splits speak against the difference?",
        caught_by=TEST,
        swap=((COUNT, COUNT.replace(">= stat - 1e-12", "<= stat + 1e-12")),),
    ),
    WrongAnswer(
        id="ties-not-counted",
        title="only splits counted whose estimate is larger",
        explanation=(
            "A random split that is as far apart as the real one, the real one itself for instance, speaks against the "
            "difference as well. You count only those that are farther apart."
        ),
        caught_by=TEST,
        swap=((COUNT, COUNT.replace(">= stat - 1e-12", "> stat + 1e-12")),),
    ),
    WrongAnswer(
        id="ties-left-to-rounding",
        title="equal splits left to rounding",
        explanation=(
            "The same split in another order is the same number up to the last digit, and that digit decides whether "
            "you count it. Read again how far below `stat` an estimate may be."
        ),
        caught_by=TEST,
        swap=((COUNT, COUNT.replace(">= stat - 1e-12", ">= stat")),),
    ),
    WrongAnswer(
        id="labels-drawn-for-each-block",
        title="a new split for each of the three means",
        explanation=(
            "You shuffle separately for the block within `source`, the one within `target` and the one between. The "
            "three means then belong to three different splits. One split, three means."
        ),
        caught_by=TEST,
        code="""
def mmd_permutation_test(source, target, sigma, n_perm, seed):
    if n_perm < 1:
        raise ValueError("n_perm")
    stat, n, m = mmd2_unbiased(source, target, sigma), len(source), len(target)
    kernel = np.exp(-0.5 * (pooled_distances(source, target) / sigma) ** 2)
    np.fill_diagonal(kernel, 0.0)
    generator = np.random.default_rng(seed)
    count = 0
    for _ in range(n_perm):
        one, two, three = (generator.permutation(n + m) for _ in range(3))
        value = kernel[np.ix_(one[:n], one[:n])].sum() / (n * (n - 1))
        value += kernel[np.ix_(two[n:], two[n:])].sum() / (m * (m - 1))
        value -= 2 * kernel[np.ix_(three[:n], three[n:])].mean()
        count += value >= stat - 1e-12
    return stat, float((1 + count) / (1 + n_perm))
""",
    ),
    WrongAnswer(
        id="sets-shuffled-within",
        title="each set shuffled for itself",
        explanation=(
            "You change the order of the rows within each set. No row ever changes sides, so every split is the real one "
            "and p is 1. What is shuffled is who belongs where."
        ),
        caught_by=TEST,
        swap=(
            (
                ORDER,
                "        order = np.concatenate(\n"
                "            [generator.permutation(n), n + generator.permutation(len(pooled) - n)]\n        )\n",
            ),
        ),
    ),
    WrongAnswer(
        id="drawn-with-replacement",
        title="rows drawn with replacement",
        explanation=(
            "You draw rows with replacement, as a bootstrap does. Rows then occur twice, on both sides at once, which "
            "makes them more alike. A permutation uses every row once."
        ),
        caught_by=TEST,
        swap=((ORDER, "        order = generator.integers(len(pooled), size=len(pooled))\n"),),
    ),
    WrongAnswer(
        id="same-split-every-time",
        title="the generator made anew for every split",
        explanation=(
            "You make the generator inside the loop, from the same seed. It begins again each time and draws the same "
            "split; p is then one of two values only."
        ),
        caught_by=TEST,
        swap=((GENERATOR, ""), (ORDER, "        generator = np.random.default_rng(seed)\n" + ORDER)),
    ),
    WrongAnswer(
        id="cumulative-shuffle",
        title="the shuffled rows shuffled again",
        explanation=(
            "Each of your splits shuffles what the last one left. That is as random, but it is not the drawing that the "
            "task fixes, so p is another one. Apply every permutation to the pooled rows in their first order."
        ),
        caught_by=TEST,
        swap=(
            (
                COUNT,
                "        pooled = pooled[order]\n"
                "        count += mmd2_unbiased(pooled[:n], pooled[n:], sigma) >= stat - 1e-12\n",
            ),
        ),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="the seed not used",
        explanation="Whatever seed the caller passes, your splits are the same. Make the generator from `seed`.",
        caught_by=TEST,
        swap=((GENERATOR, "    generator = np.random.default_rng(0)\n"),),
    ),
    WrongAnswer(
        id="global-generator",
        title="the global random state seeded and used",
        explanation=(
            "You seed the random state that all of NumPy shares. Other code that draws from it now gets other numbers, "
            "and yours depend on theirs. Make a generator of your own."
        ),
        caught_by=TEST,
        swap=(
            (GENERATOR, "    np.random.seed(seed)\n"),
            (ORDER, "        order = np.random.permutation(len(pooled))\n"),
        ),
    ),
    WrongAnswer(
        id="real-split-drawn-first",
        title="one random split less than asked for",
        explanation=(
            "You take the real split as one of the `n_perm`, and draw one less. The real one comes on top: n_perm random "
            "splits, n_perm + 1 arrangements."
        ),
        caught_by=TEST,
        swap=(("    for _ in range(n_perm):", "    for _ in range(n_perm - 1):"),),
    ),
    WrongAnswer(
        id="sizes-exchanged-in-the-split",
        title="the last n rows of a split play source",
        explanation="In your splits the first m rows play `target`. The first n numbers of the permutation name `source`.",
        caught_by=TEST,
        swap=(
            (COUNT, COUNT.replace("pooled[order[:n]], pooled[order[n:]]", "pooled[order[-n:]], pooled[order[:-n]]")),
        ),
    ),
    WrongAnswer(
        id="p-before-stat",
        title="p and stat exchanged in the result",
        explanation="The result is stat first and p second; yours comes the other way round.",
        caught_by=TEST,
        swap=(("    return stat, " + P, "    return " + P + ", stat"),),
    ),
    # ---------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="one-row-accepted",
        title="a set of one row accepted",
        explanation=(
            "With one row there is no pair within the set, and its mean is 0/0. The task asks for a ValueError, from "
            "all four functions."
        ),
        caught_by=REFUSED,
        swap=(("    if len(source) < 2 or len(target) < 2:", "    if len(source) < 1 or len(target) < 1:"),),
    ),
    WrongAnswer(
        id="widths-unchecked",
        title="another width broadcast",
        explanation=(
            "A set of width 1 is stretched to the width of the other, and distances come out that mean nothing. Compare "
            "the widths first."
        ),
        caught_by=REFUSED,
        swap=(
            (" or source.shape[1] != target.shape[1]:", ":"),
            (
                "    pooled = np.concatenate([source, target])  # (n + m, d)\n",
                "    width = max(source.shape[1], target.shape[1])\n"
                "    pooled = np.concatenate([np.resize(part, (len(part), width)) for part in (source, target)])\n",
            ),
            (
                "    pooled = np.concatenate([np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)])"
                "  # (n + m, d)\n",
                "    width = max(np.shape(source)[1], np.shape(target)[1])\n"
                "    pooled = np.concatenate([np.resize(part, (len(part), width)) for part in (source, target)])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="axes-unchecked",
        title="sets with one axis accepted",
        explanation=(
            "You take a vector for a set of numbers. It may as well be one embedding; a set has two axes, rows and "
            "components. The task asks for a ValueError."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if source.ndim != 2 or target.ndim != 2 or source.shape[1]",
                "    source, target = (part[:, None] if part.ndim == 1 else part for part in (source, target))\n"
                "    if source.shape[1]",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN accepted",
        explanation="One NaN makes every result NaN, and every comparison with it false. The task asks for a ValueError.",
        caught_by=REFUSED,
        swap=(("    if not np.isfinite(pooled).all():", "    if np.isinf(pooled).any():"),),
    ),
    WrongAnswer(
        id="infinity-accepted",
        title="infinity accepted",
        explanation="You look for NaN only. An embedding that is infinite is at distance infinity or NaN from all others.",
        caught_by=REFUSED,
        swap=(("    if not np.isfinite(pooled).all():", "    if np.isnan(pooled).any():"),),
    ),
    WrongAnswer(
        id="median-of-0-accepted",
        title="a median of 0 returned",
        explanation=(
            "Where half of all pairs are duplicates, the median is 0, and no kernel can have that width. The task asks "
            "for a ValueError."
        ),
        caught_by=REFUSED,
        swap=(("    if median == 0:", "    if False:"),),
    ),
    WrongAnswer(
        id="sigma-unchecked",
        title="a negative sigma accepted",
        explanation="Sigma is squared, so a negative one gives a result that looks right. A width is positive.",
        caught_by=REFUSED,
        swap=((SIGMA, "    if sigma == 0 or not np.isfinite(sigma):"),),
    ),
    WrongAnswer(
        id="nan-sigma-accepted",
        title="a sigma that is NaN accepted",
        explanation=(
            "Every comparison with NaN is false, so 'too small or too large' lets it through. Phrase the condition so "
            "that it has to be true for a good value."
        ),
        caught_by=REFUSED,
        swap=((SIGMA, "    if sigma <= 0 or sigma == np.inf:"),),
    ),
    WrongAnswer(
        id="infinite-sigma-accepted",
        title="an infinite sigma accepted",
        explanation="With an infinite width all rows are alike, and the estimate is 0 whatever the data. Refuse it.",
        caught_by=REFUSED,
        swap=((SIGMA, "    if not sigma > 0:"),),
    ),
    WrongAnswer(
        id="no-splits-accepted",
        title="a test without random splits accepted",
        explanation="Without a split, p is 1 from no evidence at all; with -1 it is a division by zero. Refuse both.",
        caught_by=REFUSED,
        swap=(("    if n_perm < 1:", "    if n_perm == -1:"),),
    ),
]

NEVER_THAT_CLOSE = (
    "equal splits agree to some 1e-16 and different ones are far more than 1e-12 apart, so no estimate comes to lie where "
    "the two conditions differ"
)
equivalent_mutants = {
    "GtE -> Gt in `count += mmd2_unbiased": NEVER_THAT_CLOSE,
    "1e-12 -> 1.5e-12 in `count += mmd2_unbiased": NEVER_THAT_CLOSE,
}

alternatives = [
    Alternative(
        id="plain-python",
        title="plain Python with loops over pairs",
        code="""
import itertools
import math
import statistics


def pooled_distances(source, target):
    rows = []
    for part in (source, target):
        if np.ndim(part) != 2 or len(part) < 2:
            raise ValueError("two axes and two rows")
        rows.extend([float(value) for value in row] for row in part)
    if len({len(row) for row in rows}) != 1 or not all(math.isfinite(value) for row in rows for value in row):
        raise ValueError("widths or values")
    return np.array([[math.hypot(*(a - b for a, b in zip(one, other))) for other in rows] for one in rows])


def median_sigma(source, target):
    distances = pooled_distances(source, target).tolist()
    middle = statistics.median(distances[i][j] for i, j in itertools.combinations(range(len(distances)), 2))
    if not middle:
        raise ValueError("median 0")
    return middle


def mmd2_unbiased(source, target, sigma):
    distances = pooled_distances(source, target).tolist()
    if math.isnan(sigma) or math.isinf(sigma) or sigma <= 0:
        raise ValueError("sigma")
    first, second = range(len(source)), range(len(source), len(distances))

    def similarity(i, j):
        return math.exp(-distances[i][j] ** 2 / (2 * sigma * sigma))

    return (
        statistics.fmean(similarity(i, j) for i, j in itertools.combinations(first, 2))
        + statistics.fmean(similarity(i, j) for i, j in itertools.permutations(second, 2))
        - 2 * statistics.fmean(similarity(i, j) for i in first for j in second)
    )


def mmd_permutation_test(source, target, sigma, n_perm, seed):
    stat = mmd2_unbiased(source, target, sigma)
    if n_perm <= 0:
        raise ValueError("n_perm")
    rng = np.random.default_rng(seed)
    pooled = [list(row) for row in source] + [list(row) for row in target]
    reached = 1
    for _ in range(n_perm):
        shuffled = [pooled[i] for i in rng.permutation(len(pooled))]
        if mmd2_unbiased(shuffled[: len(source)], shuffled[len(source) :], sigma) - stat >= -1e-12:
            reached += 1
    return [stat, reached / (n_perm + 1)]
""",
    ),
    Alternative(
        id="one-kernel-matrix",
        title="one kernel matrix for all splits, signed weights for the estimate",
        code="""
def pooled_distances(source, target):
    x, y = np.array(source, dtype=float), np.array(target, dtype=float)
    if x.ndim != 2 or y.ndim != 2 or min(len(x), len(y)) < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError("shapes")
    z = np.vstack((x, y))
    if np.isnan(z).any() or np.isinf(z).any():
        raise ValueError("values")
    return np.stack([np.linalg.norm(z - row, axis=1) for row in z])


def median_sigma(source, target):
    table = pooled_distances(source, target)
    sigma = np.median(table[~np.eye(len(table), dtype=bool)])  # every pair twice: the same median
    if not sigma > 0:
        raise ValueError("median")
    return sigma


def similarities(source, target, sigma):
    table = pooled_distances(source, target)
    if not (np.isfinite(sigma) and sigma > 0):
        raise ValueError("sigma")
    return np.exp(-np.square(table) / (2 * sigma**2)) - np.eye(len(table))


def weights(n, m):
    w = np.full((n + m, n + m), -1 / (n * m))
    w[:n, :n], w[n:, n:] = 1 / (n * (n - 1)), 1 / (m * (m - 1))
    return w


def mmd2_unbiased(source, target, sigma):
    kernel = similarities(source, target, sigma)
    return np.sum(kernel * weights(len(source), len(target)))


def mmd_permutation_test(source, target, sigma, n_perm, seed):
    if not n_perm >= 1:
        raise ValueError("n_perm")
    kernel = similarities(source, target, sigma)
    w = weights(len(source), len(target))
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(kernel)) for _ in range(n_perm)]
    values = np.array([(kernel[order][:, order] * w).sum() for order in orders])
    stat = (kernel * w).sum()
    return np.asarray(stat), (1 + np.count_nonzero(values >= stat - 1e-12)) / (1 + n_perm)
""",
    ),
    Alternative(
        id="indicator-vectors",
        title="indicator vectors of the sets, permuted rows",
        code="""
def checked(source, target):
    parts = [np.asarray(part).astype(np.float64) for part in (source, target)]
    for part in parts:
        if part.ndim != 2:
            raise ValueError("expected two axes")
        if part.shape[0] <= 1 or not np.all(np.abs(part) < np.inf):
            raise ValueError("rows or values")
    if parts[0].shape[1] != parts[1].shape[1]:
        raise ValueError("widths")
    return np.append(*parts, axis=0), len(parts[0])


def pooled_distances(source, target):
    pooled, _ = checked(source, target)
    squares = np.zeros((len(pooled), len(pooled)))
    for column in pooled.T:
        squares += np.subtract.outer(column, column) ** 2
    return squares**0.5


def median_sigma(source, target):
    table = pooled_distances(source, target)
    ordered = np.sort(table[np.tril_indices(len(table), -1)])
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    if middle <= 0:
        raise ValueError("median")
    return middle


def mmd2_unbiased(source, target, sigma):
    pooled, n = checked(source, target)
    if not sigma > 0 or sigma == float("inf"):
        raise ValueError("sigma")
    kernel = np.exp(pooled_distances(source, target) ** 2 / (-2 * sigma**2))
    first = np.arange(len(pooled)) < n
    a, b = first.astype(float), (~first).astype(float)
    n, m = a.sum(), b.sum()
    within = (a @ kernel @ a - n) / (n * n - n) + (b @ kernel @ b - m) / (m * m - m)
    return within - a @ kernel @ b / n / m * 2


def mmd_permutation_test(source, target, sigma, n_perm, seed):
    stat = mmd2_unbiased(source, target, sigma)
    if n_perm < 1:
        raise ValueError("n_perm")
    pooled, n = checked(source, target)
    rng = np.random.default_rng(seed)
    shuffled = (rng.permutation(pooled) for _ in range(n_perm))  # draws as permutation(n + m) does
    values = [mmd2_unbiased(rows[:n], rows[n:], sigma) for rows in shuffled]
    return stat, np.mean([True, *(value >= stat - 1e-12 for value in values)])
""",
    ),
]
