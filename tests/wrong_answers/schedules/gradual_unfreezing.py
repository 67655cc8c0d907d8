"""Wrong and differently written answers to schedules/gradual_unfreezing.

Every reject line of D-Q21 has an entry. The published answer has no code; its claims come first.
"""

from grader.catalogue import Alternative, WrongAnswer

RATES = "test_rates_grow_with_depth"
PLAN = "test_one_group_more_in_each_epoch"
CLIMB = "test_climb"
FALL = "test_fall"
RANGE = "test_arguments_out_of_range_are_refused"

wrong_answers = [
    # --------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="published-claims",
        title="transfer learning taken for a gain without a price",
        explanation=(
            "Some of the claims follow texts that list benefits only. Think of what the finished network computes for "
            "one answer."
        ),
        caught_by="test_claims",
        swap=(("answers_faster=False", "answers_faster=True"),),
    ),
    WrongAnswer(
        id="one-rate-for-all",
        title="one rate for all groups",
        explanation=(
            "Every group has the rate of the top. The general features at the bottom then move as fast as the new head, "
            "which is how they are lost. What should `factor` do from one group to the next?"
        ),
        caught_by=RATES,
        swap=(("top_lr / factor ** (n_groups - 1 - group)", "top_lr"),),
    ),
    # ----------------------------------------------------------------------------------------------- the rates
    WrongAnswer(
        id="largest-at-the-bottom",
        title="the largest rate at the bottom",
        explanation=(
            "Your list is upside down: the bottom group, index 0, has the largest rate. The features there are the most "
            "general ones and need the least change."
        ),
        caught_by=RATES,
        swap=(("top_lr / factor ** (n_groups - 1 - group)", "top_lr / factor**group"),),
    ),
    WrongAnswer(
        id="one-division-too-many",
        title="the top group divided by the factor as well",
        explanation=(
            "Your top group has `top_lr / factor`. How many groups lie above the top one, and how often is it divided?"
        ),
        caught_by=RATES,
        swap=(("factor ** (n_groups - 1 - group)", "factor ** (n_groups - group)"),),
    ),
    WrongAnswer(
        id="subtracted-from-group-to-group",
        title="a fixed amount subtracted from group to group",
        explanation=(
            "Your rates fall by equal differences, so that the quotient of neighbours is not `factor`, and the lowest "
            "rates may even be 0 or negative. Rates live on a logarithmic scale."
        ),
        caught_by=RATES,
        swap=(
            (
                "top_lr / factor ** (n_groups - 1 - group)",
                "top_lr - (top_lr - top_lr / factor) * (n_groups - 1 - group)",
            ),
        ),
    ),
    WrongAnswer(
        id="divided-by-a-multiple",
        title="divided by a multiple of the factor instead of a power",
        explanation=(
            "The second group from the top is right; from the third on your divisor grows by addition. Each group is "
            "divided by `factor` once more than the one above it: what is that in one divisor?"
        ),
        caught_by=RATES,
        swap=(("top_lr / factor ** (n_groups - 1 - group)", "top_lr / max(factor * (n_groups - 1 - group), 1.0)"),),
    ),
    WrongAnswer(
        id="factor-fixed",
        title="the factor is always 2.6",
        explanation="2.6 is the default of `factor`, the value of the paper. Another one has no effect in your code.",
        caught_by=RATES,
        swap=(("top_lr / factor ** (n_groups - 1 - group)", "top_lr / 2.6 ** (n_groups - 1 - group)"),),
    ),
    # ------------------------------------------------------------------------------------------------ the plan
    WrongAnswer(
        id="unfrozen-from-the-bottom",
        title="unfreezing from the bottom",
        explanation=(
            "Your plan sets the bottom free first and the new head last: the general features would adapt to a head "
            "that knows nothing. Which group has everything to learn?"
        ),
        caught_by=PLAN,
        swap=(
            (
                "list(range(max(n_groups - 1 - epoch, 0), n_groups))",
                "list(range(min(epoch + 1, n_groups)))",
            ),
        ),
    ),
    WrongAnswer(
        id="everything-at-once",
        title="everything trained from epoch 0 on",
        explanation=(
            "All groups are free in the first epoch, so nothing is gradual: the large gradients of a random head reach "
            "every layer. Epoch 0 belongs to the top alone."
        ),
        caught_by=PLAN,
        swap=(("list(range(max(n_groups - 1 - epoch, 0), n_groups))", "list(range(n_groups))"),),
    ),
    WrongAnswer(
        id="one-group-at-a-time",
        title="one group trained in each epoch, the others frozen again",
        explanation=(
            "Your plan walks down the network and freezes what it has left. Here a group that has been set free stays "
            "free, so that it can follow the changes below it."
        ),
        caught_by=PLAN,
        swap=(("list(range(max(n_groups - 1 - epoch, 0), n_groups))", "[max(n_groups - 1 - epoch, 0)]"),),
    ),
    WrongAnswer(
        id="numbers-below-zero",
        title="group numbers below 0 when all groups are free",
        explanation=(
            "With more epochs than groups your list begins below 0. In Python such an index is no error: -1 is the top "
            "group once more. What should epochs do that come after all groups are free?"
        ),
        caught_by=PLAN,
        swap=(("range(max(n_groups - 1 - epoch, 0), n_groups)", "range(n_groups - 1 - epoch, n_groups)"),),
    ),
    WrongAnswer(
        id="one-epoch-for-each-group",
        title="as many epochs as groups, whatever was asked for",
        explanation=(
            "Your plan has one entry for each group. A training may be longer, with everything free at the end, or "
            "shorter, with the bottom frozen throughout."
        ),
        caught_by=PLAN,
        swap=(("for epoch in range(epochs)]", "for epoch in range(n_groups)]"),),
    ),
    WrongAnswer(
        id="head-alone-for-two-epochs",
        title="every step of the plan one epoch late",
        explanation=(
            "Epoch 1 still trains the top alone. Epochs are counted from 0, and epoch 1 is the second one: how many "
            "groups does it train?"
        ),
        caught_by=PLAN,
        swap=(("max(n_groups - 1 - epoch, 0)", "min(max(n_groups - epoch, 0), n_groups - 1)"),),
    ),
    WrongAnswer(
        id="lists-shared",
        title="several epochs share one list",
        explanation=(
            "Once all groups are free, your epochs hold the same list object, so that a change of one epoch's list is a "
            "change of all. Make a new list for each epoch."
        ),
        caught_by=PLAN,
        swap=(
            (
                "    return [list(range(max(n_groups - 1 - epoch, 0), n_groups)) for epoch in range(epochs)]\n",
                "    everything = list(range(n_groups))\n"
                "    early = [list(range(n_groups - 1 - epoch, n_groups)) for epoch in range(min(epochs, n_groups - 1))]\n"
                "    return early + [everything] * (epochs - len(early))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="descending-order",
        title="the groups of an epoch from the top down",
        explanation="The groups are the right ones, in the order in which they were set free. The task asks for ascending order.",
        caught_by=PLAN,
        swap=(
            (
                "list(range(max(n_groups - 1 - epoch, 0), n_groups))",
                "list(range(max(n_groups - 1 - epoch, 0), n_groups))[::-1]",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------------- the triangle
    WrongAnswer(
        id="no-climb",
        title="the highest rate from the first update",
        explanation=(
            "There is no climb: update 0 has `lr_max` already. The first updates, with a random head, should be the "
            "smallest ones."
        ),
        caught_by=CLIMB,
        swap=(("        height = t / cut\n", "        height = 1.0\n"),),
    ),
    WrongAnswer(
        id="peak-one-early",
        title="the peak one update early",
        explanation=(
            "Your highest rate belongs to update `cut - 1`. Update 0 is the first of the climb, so `cut` steps lie "
            "between the lowest rate and the highest."
        ),
        caught_by=CLIMB,
        swap=(("        height = t / cut\n", "        height = (t + 1) / cut\n"),),
    ),
    WrongAnswer(
        id="climb-from-zero",
        title="the rate starts at 0 instead of `lr_max / ratio`",
        explanation=(
            "Your triangle stands on 0. The lowest rate of this schedule is `lr_max / ratio`, at both ends, so that no "
            "update is wasted."
        ),
        caught_by=CLIMB,
        swap=(("    return lr_max * (1 + height * (ratio - 1)) / ratio\n", "    return lr_max * height\n"),),
    ),
    WrongAnswer(
        id="lowest-rate-subtracted",
        title="the height stretched by `ratio` instead of `ratio - 1`",
        explanation=(
            "Your highest rate is above `lr_max`: the lowest rate was added to a triangle that already reaches "
            "`lr_max`. How much is left between `lr_max / ratio` and `lr_max`?"
        ),
        caught_by=CLIMB,
        swap=(("(1 + height * (ratio - 1)) / ratio\n    ### END", "(1 + height * ratio) / ratio\n    ### END"),),
    ),
    WrongAnswer(
        id="ratio-fixed",
        title="the ratio is always 32",
        explanation="32 is the default of `ratio`, the value of the paper. Another one has no effect in your code.",
        caught_by=CLIMB,
        swap=(("(1 + height * (ratio - 1)) / ratio\n    ### END", "(1 + height * 31) / 32\n    ### END"),),
    ),
    WrongAnswer(
        id="negative-at-the-end",
        title="the line of the fall followed below the lowest rate",
        explanation=(
            "Where `total * cut_frac` is no whole number, the paper's line arrives early, and yours goes on: below "
            "`lr_max / ratio`, and even below 0, which is gradient ascent. What should happen after it has arrived?"
        ),
        caught_by=FALL,
        swap=(("max(1 - (t - cut) / (cut * (1 / cut_frac - 1)), 0.0)", "1 - (t - cut) / (cut * (1 / cut_frac - 1))"),),
    ),
    WrongAnswer(
        id="falls-to-the-last-update",
        title="the fall stretched to the last update",
        explanation=(
            "Your line arrives at update `total`. That is a sensible schedule and not the one described: the fall takes "
            "`cut * (1 / cut_frac - 1)` updates, which is less where the cut was rounded down."
        ),
        caught_by=FALL,
        swap=(("(cut * (1 / cut_frac - 1))", "(total - cut)"),),
    ),
    WrongAnswer(
        id="cut-rounded",
        title="the cut rounded to the nearest update",
        explanation=(
            "Your peak comes one update late where the share of the climb has a fraction of a half or more. Which "
            "rounding does `floor` stand for?"
        ),
        caught_by=FALL,
        swap=(("cut = math.floor(total * cut_frac)", "cut = round(total * cut_frac)"),),
    ),
    WrongAnswer(
        id="cut-rounded-up",
        title="the cut rounded up",
        explanation=(
            "Your peak comes one update late wherever `total * cut_frac` is no whole number. Which rounding does "
            "`floor` stand for?"
        ),
        caught_by=FALL,
        swap=(("cut = math.floor(total * cut_frac)", "cut = math.ceil(total * cut_frac)"),),
    ),
    WrongAnswer(
        id="falls-to-zero",
        title="the fall ends at 0",
        explanation=(
            "The climb starts at `lr_max / ratio`, and your fall ends at 0. Both ends of the triangle stand on the same "
            "lowest rate."
        ),
        caught_by=FALL,
        swap=(
            (
                "        height = max(1 - (t - cut) / (cut * (1 / cut_frac - 1)), 0.0)\n",
                "        return lr_max * max(1 - (t - cut) / (cut * (1 / cut_frac - 1)), 0.0)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="length-of-the-fall-rounded",
        title="the length of the fall rounded to a whole number",
        explanation=(
            "`1 / cut_frac - 1` is rarely a whole number. With whole-number division your line falls too fast and "
            "arrives updates too early."
        ),
        caught_by="test_shapes_that_hold_for_all_arguments",
        swap=(("(cut * (1 / cut_frac - 1)), 0.0)", "max(cut * (1 / cut_frac - 1) // 1, 1), 0.0)"),),
    ),
    # ------------------------------------------------------------------------------------------------ bad input
    WrongAnswer(
        id="share-of-one-accepted",
        title="a share of 1 accepted",
        explanation=(
            "With `cut_frac=1` there is no fall, and its length, 0, is a divisor. The task asks for a ValueError at "
            "both ends of the range."
        ),
        caught_by=RANGE,
        swap=(("not 0 < cut_frac < 1:", "not 0 < cut_frac <= 1:"),),
    ),
    WrongAnswer(
        id="short-training-accepted",
        title="a training too short for its climb accepted",
        explanation=(
            "Where `total * cut_frac` is below 1 the cut is update 0, and your code divides by it or skips the climb. "
            "The task asks for a ValueError."
        ),
        caught_by=RANGE,
        swap=(("    cut = math.floor(total * cut_frac)\n", "    cut = max(math.floor(total * cut_frac), 1)\n"),),
    ),
    WrongAnswer(
        id="updates-out-of-range",
        title="updates after the end, or before the beginning, accepted",
        explanation=(
            "An update beyond `total` or below 0 comes from a counter that went wrong. Your code answers with a rate "
            "nevertheless; the task asks for a ValueError."
        ),
        caught_by=RANGE,
        swap=(("    if not 0 <= t <= total:\n", "    if total < 0:\n"),),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN passes the tests of the range",
        explanation=(
            "Every comparison with NaN is false, so a test of the form 'too small or too large' lets it through. Phrase "
            "the conditions so that they have to be true for good values."
        ),
        caught_by=RANGE,
        swap=(("not 1 < ratio < math.inf or not 0 < cut_frac < 1:", "ratio <= 1 or cut_frac <= 0 or cut_frac >= 1:"),),
    ),
    WrongAnswer(
        id="factor-below-one",
        title="a factor of 1 or less accepted",
        explanation=(
            "A factor of 1 makes all rates equal, and a smaller one makes the bottom the fastest. Neither is meant "
            "here: refuse it, also where there is one group only."
        ),
        caught_by=RANGE,
        swap=(("not 1 < factor < math.inf:", "not 0 < factor < math.inf:"),),
    ),
]

equivalent_mutants = {"Lt -> LtE in `if t < cut:": "at update `cut` both lines have the height 1"}

alternatives = [
    Alternative(
        id="numpy",
        title="NumPy: powers of the factor, a triangular matrix, interpolation",
        code="""
import numpy as np


def discriminative_lrs(n_groups, top_lr, factor=2.6):
    if n_groups < 1 or not np.isfinite([top_lr, factor]).all() or top_lr <= 0 or factor <= 1:
        raise ValueError("arguments")
    return (top_lr * np.power(float(factor), np.arange(1 - n_groups, 1))).tolist()


def unfreeze_schedule(n_groups, epochs):
    if n_groups <= 0 or epochs <= -1:
        raise ValueError("arguments")
    trained = np.arange(n_groups)[None, :] >= n_groups - 1 - np.arange(epochs)[:, None]  # (epochs, groups)
    return [np.flatnonzero(row).tolist() for row in trained]


def slanted_triangular(t, total, lr_max, cut_frac=0.1, ratio=32):
    numbers = np.array([t, total, lr_max, cut_frac, ratio], dtype=float)
    if not np.isfinite(numbers).all() or lr_max <= 0 or ratio <= 1 or cut_frac <= 0 or cut_frac >= 1:
        raise ValueError("arguments")
    if t < 0 or t > total or int(total * cut_frac) == 0:
        raise ValueError("updates")
    cut = int(total * cut_frac)
    return np.interp(t, [0, cut, cut / cut_frac], [lr_max / ratio, lr_max, lr_max / ratio])
""",
    ),
    Alternative(
        id="one-step-at-a-time",
        title="lists that grow step by step, the lower of two lines",
        code="""
def discriminative_lrs(n_groups, top_lr, factor=2.6):
    if not (n_groups >= 1 and top_lr > 0 and factor > 1) or math.inf in (top_lr, factor):
        raise ValueError("arguments")
    rates = [top_lr]
    for _ in range(n_groups - 1):
        rates.insert(0, rates[0] / factor)
    return rates


def unfreeze_schedule(n_groups, epochs):
    if min(n_groups - 1, epochs) < 0:
        raise ValueError("arguments")
    plan, free, frozen = [], [], list(range(n_groups))
    for _ in range(epochs):
        if frozen:
            free.insert(0, frozen.pop())
        plan.append(free.copy())
    return plan


def slanted_triangular(t, total, lr_max, cut_frac=0.1, ratio=32):
    for value, low, high in ((lr_max, 0, math.inf), (ratio, 1, math.inf), (cut_frac, 0, 1)):
        if not low < value < high:
            raise ValueError(value)
    cut = total * cut_frac // 1
    if t not in range(total + 1) or not cut:
        raise ValueError("updates")
    lowest = lr_max / ratio
    up = lowest + (lr_max - lowest) * t / cut
    down = lr_max - (lr_max - lowest) * (t - cut) / (cut / cut_frac - cut)
    return max(min(up, down), lowest)
""",
    ),
    Alternative(
        id="logarithms",
        title="rates by logarithms, sorted slices, the paper's formula with a clamp",
        code="""
def discriminative_lrs(n_groups, top_lr, factor=2.6):
    try:
        steps = math.log(factor)
        top = math.log(top_lr)
    except ValueError:
        raise ValueError("not positive") from None
    if n_groups < 1 or not 0 < steps < math.inf or not math.isfinite(top):
        raise ValueError("out of range")
    return [math.exp(top - steps * above) for above in reversed(range(n_groups))]


def unfreeze_schedule(n_groups, epochs):
    if n_groups < 1 or epochs < 0:
        raise ValueError("out of range")
    groups = tuple(range(n_groups))
    return [list(groups[-min(epoch, n_groups) :]) for epoch in range(1, epochs + 1)]


def slanted_triangular(t, total, lr_max, cut_frac=0.1, ratio=32):
    if not (0 <= t <= total and 0 < cut_frac < 1 and lr_max > 0 and ratio > 1):
        raise ValueError("out of range")
    if math.isinf(lr_max) or math.isinf(ratio):
        raise ValueError("infinite")
    cut = int(total * cut_frac)
    if cut < 1:
        raise ValueError("too short")
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    p = min(max(p, 0), 1)
    return lr_max * (1 + p * (ratio - 1)) / ratio
""",
    ),
]
