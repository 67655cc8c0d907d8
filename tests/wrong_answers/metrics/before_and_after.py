"""Catalogue of metrics/before_and_after."""

from grader.catalogue import Alternative, WrongAnswer

EXACT = "test_the_p_value_counts_both_directions_exactly"
AGREE = "test_items_on_which_the_models_agree_do_not_count"
DIFFERENCE = "test_the_difference_and_what_no_resample_can_show"
MIDDLE = "test_the_interval_holds_the_middle_of_the_resamples"
SEED = "test_seed_and_number_of_resamples_decide"
REFUSED = "test_arguments_that_make_no_sense_are_refused"

P = "return min(1.0, 2 * tail / 2**tosses)"
TOSSES = "tosses = only_a + only_b"
GENERATOR = "rng = np.random.default_rng(seed)"
RESAMPLES = "resamples = [gain[rng.integers(len(gain), size=len(gain))].mean() for _ in range(n_boot)]"
PERCENTILES = "np.quantile(resamples, [(1 - level) / 2, (1 + level) / 2])"
CHI_SQUARE = "return 1.0 if tosses == 0 else math.erfc(math.sqrt({numerator} ** 2 / tosses / 2))"

wrong_answers = [
    WrongAnswer(
        id="difference-taken-for-gain",  # what the published step does: two numbers, one subtraction
        title="the difference alone, without any uncertainty",
        explanation=(
            "Both ends of your interval are the difference itself, as if another test set would give exactly the same "
            "two accuracies. How far would the difference move if other items of the same kind had been drawn?"
        ),
        caught_by=DIFFERENCE,
        swap=((PERCENTILES, "(gain.mean(), gain.mean())"),),
    ),
    WrongAnswer(
        id="sign-reversed",
        title="the difference as before minus after",
        explanation=(
            "Your difference is positive when fine-tuning did harm. The numbers are right and the report says the "
            "opposite. Which of the two arrays is the model after fine-tuning?"
        ),
        caught_by=DIFFERENCE,
        swap=(
            (
                "gain = correct_b.astype(np.float64) - correct_a.astype(np.float64)",
                "gain = correct_a.astype(np.float64) - correct_b.astype(np.float64)",
            ),
        ),
    ),
    WrongAnswer(
        id="normal-interval",
        title="the difference plus and minus some standard errors",
        explanation=(
            "The interval is symmetric around the difference by construction, and for few discordant items it reaches "
            "into what cannot happen. Asked for are percentiles of the resamples themselves."
        ),
        caught_by=DIFFERENCE,
        swap=(
            (
                f"low, high = {PERCENTILES}",
                "from statistics import NormalDist\n\n"
                "    reach = NormalDist().inv_cdf((1 + level) / 2) * np.std(resamples)\n"
                "    low, high = gain.mean() - reach, gain.mean() + reach",
            ),
        ),
    ),
    WrongAnswer(
        id="reflected-interval",
        title="the percentiles reflected at the difference (the basic bootstrap)",
        explanation=(
            "Your ends are twice the difference minus the percentiles: the 'basic' interval, which has its uses. Asked "
            "for are the percentiles themselves; with few discordant items yours reaches into what no resample shows."
        ),
        caught_by=DIFFERENCE,
        swap=((PERCENTILES, f"2 * gain.mean() - {PERCENTILES}[::-1]"),),
    ),
    WrongAnswer(
        id="discordant-items-only",
        title="only the discordant items resampled",
        explanation=(
            "Items on which the models agree are left out of the resampling, so that their number stays fixed. How many "
            "items the models disagree on is itself a matter of chance: draw from all items."
        ),
        caught_by=DIFFERENCE,
        swap=(
            (
                RESAMPLES,
                "some = gain[gain != 0] if gain.any() else gain\n"
                "    resamples = [rng.choice(some, size=len(some)).sum() / len(gain) for _ in range(n_boot)]",
            ),
        ),
    ),
    WrongAnswer(
        id="unpaired",
        title="each model's items resampled by themselves",
        explanation=(
            "A resample takes some items for one model and others for the other. What both models find easy or hard no "
            "longer cancels, and the interval becomes far too wide; a model compared with itself does not get 0. One "
            "draw of items has to serve both."
        ),
        caught_by=MIDDLE,
        swap=(
            (
                RESAMPLES,
                "resamples = [\n"
                "        rng.choice(correct_b, len(gain)).mean() - rng.choice(correct_a, len(gain)).mean() "
                "for _ in range(n_boot)\n    ]",
            ),
        ),
    ),
    WrongAnswer(
        id="level-as-tails",
        title="1 - level left out on each side instead of half of it",
        explanation=(
            "At a level of 0.95 you cut off 5 % on the left and 5 % on the right: that is an interval of 90 %. How "
            "much is left for each side if both together are 1 - level?"
        ),
        caught_by=MIDDLE,
        swap=((PERCENTILES, "np.quantile(resamples, [1 - level, level])"),),
    ),
    WrongAnswer(
        id="fractions-as-percent",
        title="fractions handed to a function that expects percent",
        explanation=(
            "`np.percentile` counts from 0 to 100 and `np.quantile` from 0 to 1. With 0.025 and 0.975 percent both ends "
            "lie at the far left of the resamples."
        ),
        caught_by=MIDDLE,
        swap=((PERCENTILES, PERCENTILES.replace("quantile", "percentile")),),
    ),
    WrongAnswer(
        id="one-sided",
        title="one tail only",
        explanation=(
            "Your p-value counts results at least as lopsided to one side. Before looking you did not know which model "
            "would win, so the other side counts as well. This halves the p-value of every comparison."
        ),
        caught_by=EXACT,
        swap=((P, "return tail / 2**tosses"),),
    ),
    WrongAnswer(
        id="chi-square",
        title="the chi-square approximation",
        explanation=(
            "The squared difference over the sum is compared with a chi-square distribution. That is an approximation "
            "for many discordant items; with ten of them it is far off. Count the outcomes of the tosses instead."
        ),
        caught_by=EXACT,
        swap=(
            ("    only_a = int(", "    import math\n\n    only_a = int("),
            (P, CHI_SQUARE.format(numerator="(only_a - only_b)")),
        ),
    ),
    WrongAnswer(
        id="continuity-correction",
        title="the chi-square approximation with a continuity correction",
        explanation=(
            "The correction by one brings the approximation closer, and it stays an approximation. With counts this "
            "small the exact probability is a short sum."
        ),
        caught_by=EXACT,
        swap=(
            ("    only_a = int(", "    import math\n\n    only_a = int("),
            (P, CHI_SQUARE.format(numerator="max(abs(only_a - only_b) - 1, 0)")),
        ),
    ),
    WrongAnswer(
        id="mid-p",
        title="the observed result counted half (mid-p)",
        explanation=(
            "Your p-value is smaller than the exact one by the probability of the observed result. Mid-p is a variant "
            "in its own right; the exact test counts 'at least as lopsided', with the observed result in full."
        ),
        caught_by=EXACT,
        swap=(
            (
                P,
                "from math import comb\n\n"
                "    return min(1.0, (2 * tail - comb(tosses, min(only_a, only_b))) / 2**tosses)",
            ),
        ),
    ),
    WrongAnswer(
        id="all-items-as-trials",
        title="all items counted as tosses",
        explanation=(
            "Items on which both models agree are treated as tosses that came up against one side. Then a test set of "
            "easy questions makes any difference look significant. Which items could have spoken for one model?"
        ),
        caught_by=AGREE,
        swap=((TOSSES, "tosses = len(correct_a)"),),
    ),
    WrongAnswer(
        id="nothing-from-nothing",
        title="0 or NaN without discordant items",
        explanation=(
            "Two models that answer alike get the p-value of overwhelming evidence, or no number. Without a single "
            "toss nothing speaks against 'no difference': what does a probability look like that something at least as "
            "lopsided as nothing happens?"
        ),
        caught_by=AGREE,
        swap=((TOSSES, f"{TOSSES}\n    if tosses == 0:\n        return float('nan')"),),
    ),
    WrongAnswer(
        id="above-one",
        title="a p-value above 1 when both sides are equal",
        explanation=(
            "Doubling one tail counts the middle twice when both models won equally often, and gives 2 when there is "
            "nothing to toss. Then every outcome is at least as lopsided: what is the largest value a probability can "
            "have?"
        ),
        caught_by=AGREE,
        swap=((P, "return 2 * tail / 2**tosses"),),
    ),
    WrongAnswer(
        id="above-one-but-for-no-tosses",
        title="a p-value above 1 when both sides are equal, unless both are 0",
        explanation=(
            "You have thought of two models that never disagree. When each wins equally often, doubling one tail still "
            "counts the middle twice: what is the largest value a probability can have?"
        ),
        caught_by=AGREE,
        swap=((P, "return 1.0 if tosses == 0 else 2 * tail / 2**tosses"),),
    ),
    WrongAnswer(
        id="underflow",
        title="powers of 0.5 that vanish for many items",
        explanation=(
            "0.5 to the power of 1100 is 0 in floating point, and the number of ways is too large for a float. Keep "
            "the two together, in whole numbers or in logarithms, until the quotient is of ordinary size."
        ),
        caught_by="test_thousands_of_discordant_items",
        swap=(
            (
                P,
                "from math import comb\n\n"
                "    return min(1.0, 2 * sum(comb(tosses, k) * 0.5**tosses for k in range(min(only_a, only_b) + 1)))",
            ),
        ),
    ),
    WrongAnswer(
        id="integers-of-64-bits",
        title="whole numbers of NumPy that overflow",
        explanation=(
            "The counts are NumPy integers of 64 bits, and so is everything computed from them: 2**64 is 0 there, "
            "without any error. Python's own integers grow as far as needed."
        ),
        caught_by="test_thousands_of_discordant_items",
        swap=(
            ("only_a = int((correct_a & ~correct_b).sum())", "only_a = (correct_a & ~correct_b).sum()"),
            ("only_b = int((correct_b & ~correct_a).sum())", "only_b = (correct_b & ~correct_a).sum()"),
        ),
    ),
    WrongAnswer(
        id="global-random-state",
        title="the global random state seeded and used",
        explanation=(
            "`np.random.seed` restarts the random numbers of the whole program: whatever the caller draws afterwards "
            "repeats itself. A generator of your own disturbs nobody."
        ),
        caught_by="test_floats_come_back_and_nothing_else_changes",
        swap=((GENERATOR, "np.random.seed(seed)"), ("rng.integers(", "np.random.randint(")),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="always the same generator, whatever the seed",
        explanation=(
            "Every seed gives the same resamples, so nobody can find out how much the interval depends on them. Which "
            "argument have you not used?"
        ),
        caught_by=SEED,
        swap=((GENERATOR, "rng = np.random.default_rng(0)"),),
    ),
    WrongAnswer(
        id="unseeded",
        title="a generator without the seed",
        explanation=(
            "Two calls with the same seed give different intervals, so that a published number cannot be reproduced. "
            "Where does your generator start?"
        ),
        caught_by=SEED,
        # the global generator, seeded by whoever runs the checks: system entropy would differ from build to build
        swap=((GENERATOR, "rng = np.random"), ("rng.integers(", "rng.randint(")),
    ),
    WrongAnswer(
        id="number-of-resamples-ignored",
        title="a fixed number of resamples",
        explanation="However many resamples are asked for, you draw the same number. Which argument have you not used?",
        caught_by=SEED,
        swap=((RESAMPLES, RESAMPLES.replace("range(n_boot)", "range(2000)")),),
    ),
    WrongAnswer(
        id="level-unchecked",
        title="levels such as 95 or NaN accepted",
        explanation=(
            "A level of 95 is meant as percent and taken as a fraction; NaN is not in any order, so a check that asks "
            "'is it too small or too large' lets it pass. Ask whether it is where it should be instead."
        ),
        caught_by=REFUSED,
        swap=(
            ("if not 0 < level < 1:  # NaN fails as well", "if level <= 0 or level >= 1:"),
            (PERCENTILES, "np.quantile(resamples, np.nan_to_num([(1 - level) / 2, (1 + level) / 2]))"),
        ),
    ),
    WrongAnswer(
        id="pairs-unchecked",
        title="arrays accepted that are no pairs of right and wrong",
        explanation=(
            "With 0 and 1 as integers `~` gives -1 and -2, and arrays of different length may be stretched to fit: "
            "numbers come out, and they mean nothing. Check the arrays before you count."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    require_pairs(correct_a, correct_b)\n    only_a",
                "    correct_a, correct_b = correct_a.astype(bool), correct_b.astype(bool)\n    only_a",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="plain-python",
        title="counts by a loop, probabilities through logarithms, resampling with the module random",
        code="""
import math
import random


def mcnemar_exact(correct_a, correct_b):
    require_pairs(correct_a, correct_b)
    b = c = 0
    for left, right in zip(correct_a.tolist(), correct_b.tolist()):
        b += left and not right
        c += right and not left
    n = b + c
    if b == c:
        return 1.0
    terms = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
             for k in range(min(b, c) + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, terms)))


def paired_bootstrap(correct_a, correct_b, n_boot=2000, seed=0, level=0.95):
    require_pairs(correct_a, correct_b)
    if n_boot <= 0 or not (level > 0 and level < 1):
        raise ValueError("n_boot or level")
    generator = random.Random(seed)
    gains = [int(right) - int(left) for left, right in zip(correct_a, correct_b)]
    n = len(gains)
    draws = sorted(sum(generator.choices(gains, k=n)) / n for _ in range(n_boot))
    first = draws[max(0, math.ceil((1 - level) / 2 * n_boot) - 1)]
    last = draws[max(0, math.ceil((1 + level) / 2 * n_boot) - 1)]
    return dict(diff=sum(gains) / n, low=first, high=last)
""",
    ),
    Alternative(
        id="multinomial",
        title="the four kinds of items drawn as counts, p-value by convolving coins",
        code="""
def mcnemar_exact(correct_a, correct_b):
    require_pairs(correct_a, correct_b)
    wins, losses = np.sum(correct_b > correct_a), np.sum(correct_b < correct_a)
    outcomes = np.ones(1)
    for _ in range(wins + losses):
        outcomes = (np.append(outcomes, 0.0) + np.append(0.0, outcomes)) / 2
    heads = np.arange(len(outcomes))
    lopsided = np.abs(2 * heads - (len(heads) - 1)) >= abs(int(wins) - int(losses))
    return float(outcomes[lopsided].sum())


def paired_bootstrap(correct_a, correct_b, n_boot=2000, seed=0, level=0.95):
    require_pairs(correct_a, correct_b)
    if n_boot < 1 or np.isnan(level) or level <= 0 or level >= 1:
        raise ValueError("n_boot or level")
    n = len(correct_a)
    kinds = np.array([np.mean(correct_a & ~correct_b), np.mean(correct_a == correct_b), np.mean(~correct_a & correct_b)])
    counts = np.random.default_rng(seed).multinomial(n, kinds / kinds.sum(), size=n_boot)
    differences = (counts[:, 2] - counts[:, 0]) / n
    low, high = np.percentile(differences, [50 * (1 - level), 50 * (1 + level)], method="inverted_cdf")
    return {"diff": kinds[2] - kinds[0], "low": low, "high": high}
""",
    ),
    Alternative(
        id="index-matrix",
        title="one matrix of drawn items that indexes both arrays; exact fractions",
        code="""
from fractions import Fraction
from math import comb


def mcnemar_exact(correct_a, correct_b):
    require_pairs(correct_a, correct_b)
    only_a = int(np.count_nonzero(np.logical_and(correct_a, np.logical_not(correct_b))))
    n = int(np.count_nonzero(correct_a != correct_b))
    fewer = min(only_a, n - only_a)
    if n == 2 * fewer:
        return float(1)
    term = total = Fraction(1)
    for k in range(fewer):
        term = term * (n - k) / (k + 1)
        total += term
    return float(2 * total / 2**n)


def paired_bootstrap(correct_a, correct_b, n_boot=2000, seed=0, level=0.95):
    require_pairs(correct_a, correct_b)
    if n_boot < 1:
        raise ValueError("n_boot")
    if not (0 < level and level < 1):
        raise ValueError("level")
    picks = np.random.RandomState(seed).randint(len(correct_a), size=(n_boot, len(correct_a)))
    differences = correct_b[picks].mean(axis=1) - correct_a[picks].mean(axis=1)
    outside = 1 - level
    return {
        "diff": correct_b.mean() - correct_a.mean(),
        "low": np.quantile(differences, outside / 2),
        "high": np.quantile(differences, 1 - outside / 2),
        "n_boot": n_boot,
    }
""",
    ),
]
