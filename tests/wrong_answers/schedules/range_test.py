"""Wrong and differently written answers to schedules/range_test.

Every "must reject" line of C-Q2a has an entry, the published rule (a tenth, whatever the curve says) first.
"""

from grader.catalogue import Alternative, WrongAnswer

STEEPEST = "test_steepest_fall"
SMOOTHING = "test_smoothing"
END = "test_where_the_curve_ends"
REFUSED = "test_arguments_that_make_no_sense_are_refused"
BATCH = "test_batch_size"
RANDOM = "test_random_curves"


wrong_answers = [
    # --------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="tenth-of-the-first-rate",
        title="a tenth of a given rate, whatever the curve says",
        explanation=(
            "Your suggestion does not look at the losses. One tenth of the pretraining rate is a rule without a "
            "reason: good recipes range from ten times that rate to a fiftieth of it. What does the curve say?"
        ),
        caught_by=STEEPEST,
        swap=(("    return float(lrs[slopes.argmin()])\n", "    return float(lrs[0] / 10)\n"),),
    ),
    WrongAnswer(
        id="published-claims",
        title="the claims as they are published",
        explanation=(
            "Some claims follow advice that is in print. Compare them with recipes you know, as numbers: BERT, LoRA, "
            "a projector; and ask what the lowest point of a curve that blows up is followed by."
        ),
        caught_by="test_claims",
        swap=(
            ("tenth_of_pretraining=False", "tenth_of_pretraining=True"),
            ("bert_is_a_tenth=False", "bert_is_a_tenth=True"),
            ("fewer_weights_smaller_rate=False", "fewer_weights_smaller_rate=True"),
        ),
    ),
    # --------------------------------------------------------------------------------------- reading the curve
    WrongAnswer(
        id="rate-at-the-lowest-loss",
        title="the rate at which the loss is lowest",
        explanation=(
            "The lowest point is the last one before the training can no longer bear the rate, and the loss there was "
            "earned by the smaller rates before it. Look for the rate that does the most work."
        ),
        caught_by=STEEPEST,
        swap=(("slopes.argmin()", "np.argmin(smooth)"),),
    ),
    WrongAnswer(
        id="tenth-of-the-lowest",
        title="a tenth of the rate at which the loss is lowest",
        explanation=(
            "A tenth of the rate at the minimum is a known rule of thumb, and stays clear of the divergence. It is not "
            "what this task asks for: the point of the steepest fall can lie elsewhere."
        ),
        caught_by=STEEPEST,
        swap=(("float(lrs[slopes.argmin()])", "float(lrs[np.argmin(smooth)] / 10)"),),
    ),
    WrongAnswer(
        id="slope-against-the-rate",
        title="the slope against the rate instead of its logarithm",
        explanation=(
            "Against the rate itself, the distances between small rates are tiny, so the slopes there look huge and "
            "the suggestion lands among the smallest. Which axis makes a step from 1e-5 to 1e-4 as long as one from "
            "1e-3 to 1e-2?"
        ),
        caught_by=STEEPEST,
        swap=(("np.log(lrs[: len(smooth)])", "lrs[: len(smooth)]"),),
    ),
    WrongAnswer(
        id="distances-ignored",
        title="the distances between the rates ignored",
        explanation=(
            "Your slope is the difference of the losses alone. Where the rates stand at uneven distances, the widest "
            "gap then looks like the steepest fall. A slope is a difference divided by a distance."
        ),
        caught_by=STEEPEST,
        swap=(("np.gradient(smooth, np.log(lrs[: len(smooth)]))", "np.gradient(smooth)"),),
    ),
    WrongAnswer(
        id="difference-of-neighbours",
        title="the slope of one interval taken for the slope at its left end",
        explanation=(
            "A difference of two neighbours belongs to the interval between them, so your suggestion lies up to a "
            "point too low. `np.gradient` gives a slope for each point, from both of its sides."
        ),
        caught_by=STEEPEST,
        swap=(
            (
                "np.gradient(smooth, np.log(lrs[: len(smooth)]))",
                "np.diff(smooth) / np.diff(np.log(lrs[: len(smooth)]))",
            ),
        ),
    ),
    WrongAnswer(
        id="secant-of-the-neighbours",
        title="the slope between the two neighbours, whatever the distances",
        explanation=(
            "You divide the difference of the two neighbours by their distance. At even distances that is right; at "
            "uneven ones the wider interval then counts more, although it says less about the point itself. Weigh the "
            "slopes of the two intervals the other way round, as `np.gradient` does when it is given the positions."
        ),
        caught_by=STEEPEST,
        swap=(
            (
                "    slopes = np.gradient(smooth, np.log(lrs[: len(smooth)]))  # (usable points,)\n",
                "    x, y = np.log(lrs[: len(smooth)]), np.array(smooth)\n"
                "    ends = np.diff(y) / np.diff(x)\n"
                "    slopes = np.concatenate([ends[:1], (y[2:] - y[:-2]) / (x[2:] - x[:-2]), ends[-1:]])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="edges-of-second-order",
        title="parabolas at the two ends as well",
        explanation=(
            "At the first and at the last point you extend the parabola through three points (`edge_order=2`). The task "
            "takes the slope of the one interval there: what lies beyond the ends is not measured."
        ),
        caught_by=STEEPEST,
        swap=(("np.log(lrs[: len(smooth)]))", "np.log(lrs[: len(smooth)]), edge_order=2)"),),
    ),
    WrongAnswer(
        id="steepest-in-size",
        title="the steepest point, up or down",
        explanation=(
            "You look for the largest slope in size, and where the loss climbs faster than it ever fell, that is a "
            "rate at which the training falls apart. The sign matters."
        ),
        caught_by=STEEPEST,
        swap=(("slopes.argmin()", "np.abs(slopes).argmax()"),),
    ),
    WrongAnswer(
        id="index-in-place-of-the-rate",
        title="the number of the point instead of its rate",
        explanation="Your answer is where in the list the rate stands. The caller wants the rate itself.",
        caught_by=STEEPEST,
        swap=(("float(lrs[slopes.argmin()])", "float(slopes.argmin())"),),
    ),
    WrongAnswer(
        id="last-of-the-steepest",
        title="the last of several equal slopes",
        explanation=(
            "Where several points share the lowest slope, a flat curve for example, yours is the last of them. The task "
            "asks for the first, the smallest and safest of these rates."
        ),
        caught_by=STEEPEST,
        swap=(("slopes.argmin()", "np.flatnonzero(slopes == slopes.min())[-1]"),),
    ),
    # --------------------------------------------------------------------------------------------- smoothing
    WrongAnswer(
        id="no-bias-correction",
        title="the average is not corrected for its start at 0",
        explanation=(
            "Your smoothed curve begins near 0 and climbs towards the losses for a while, whatever they do. The weights "
            "of the first values do not add up to 1. What do they add up to?"
        ),
        caught_by=SMOOTHING,
        swap=(("average / (1 - beta ** (len(smooth) + 1))", "average"),),
    ),
    WrongAnswer(
        id="average-starts-at-the-first-loss",
        title="the average starts at the first loss instead of being corrected",
        explanation=(
            "Starting the average at the first loss gives that one loss a far larger weight than the others: with "
            "beta 0.9 as much as ten of them. The correction of this task treats all losses by their age alone."
        ),
        caught_by=SMOOTHING,
        swap=(
            ("    average = 0.0\n", "    average = losses[0] if len(losses) else 0.0\n"),
            ("average / (1 - beta ** (len(smooth) + 1))", "average"),
        ),
    ),
    WrongAnswer(
        id="weights-swapped",
        title="`beta` as the weight of the new loss",
        explanation=(
            "Your average gives the new loss the weight `beta` and the past the rest, so a large beta hardly smooths. "
            "With `beta=0` nothing should be smoothed at all."
        ),
        caught_by=SMOOTHING,
        swap=(
            (
                "        average = beta * average + (1 - beta) * loss\n"
                "        value = average / (1 - beta ** (len(smooth) + 1))\n",
                "        average = (1 - beta) * average + beta * loss\n"
                "        value = average / (1 - (1 - beta) ** (len(smooth) + 1)) if beta else loss\n",
            ),
        ),
    ),
    WrongAnswer(
        id="weights-swapped-throughout",
        title="`beta` and `1 - beta` exchanged in the average",
        explanation=(
            "Your average gives the new loss the weight `beta`. With the default `beta=0` no loss ever enters it, so it "
            "stays 0 and every curve is flat. Put `beta=0` into your line: which of the two terms should be left?"
        ),
        caught_by=SMOOTHING,
        swap=(
            (
                "        average = beta * average + (1 - beta) * loss\n",
                "        average = (1 - beta) * average + beta * loss\n",
            ),
        ),
    ),
    WrongAnswer(
        id="smoothing-for-the-cut-only",
        title="the slope of the raw losses",
        explanation=(
            "You smooth in order to find the end of the curve, and then take the slope of the raw losses, where noise "
            "decides. Both steps work on the smoothed curve."
        ),
        caught_by=SMOOTHING,
        swap=(("np.gradient(smooth, ", "np.gradient(losses[: len(smooth)], "),),
    ),
    WrongAnswer(
        id="smoothing-ignored",
        title="`beta` has no effect",
        explanation=(
            "The losses are used as they are. A single noisy loss can then have the steepest fall. Follow `beta` from "
            "the call to the average."
        ),
        caught_by=SMOOTHING,
        swap=(("        value = average / (1 - beta ** (len(smooth) + 1))\n", "        value = loss\n"),),
    ),
    # ---------------------------------------------------------------------------------- where the curve ends
    WrongAnswer(
        id="diverged-tail-included",
        title="the curve is used beyond the point where it blew up",
        explanation=(
            "After the loss has jumped, it may come down again, and steeply: your suggestion is a rate at which the "
            "training had already fallen apart. Where does the usable part of the curve end?"
        ),
        caught_by=END,
        swap=(("        if smooth and 0 < min(smooth) * divergence < value:\n            break\n", ""),),
    ),
    WrongAnswer(
        id="diverged-point-kept",
        title="the first diverged point is still used",
        explanation=(
            "The curve should end *before* the value that is too high. With that value in, the slope of the last point "
            "in front of it is ruined as well."
        ),
        caught_by=END,
        swap=(
            (
                "        if smooth and 0 < min(smooth) * divergence < value:\n            break\n"
                "        smooth.append(value)\n",
                "        smooth.append(value)\n        if 0 < min(smooth) * divergence < value:\n            break\n",
            ),
        ),
    ),
    WrongAnswer(
        id="diverged-points-skipped",
        title="diverged points are left out, and the curve goes on after them",
        explanation=(
            "You leave out single values that are too high and use what follows. Once the training has blown up, a "
            "lower loss later is no longer the work of the rate: the curve ends there for good."
        ),
        caught_by=END,
        swap=(
            (
                "        if smooth and 0 < min(smooth) * divergence < value:\n            break\n",
                "        if smooth and 0 < min(smooth) * divergence < value:\n"
                "            lrs = np.delete(lrs, len(smooth))\n            continue\n",
            ),
        ),
    ),
    WrongAnswer(
        id="minimum-of-the-whole-curve",
        title="the minimum of the whole curve taken for the running one",
        explanation=(
            "You compare each value with the smallest of all, also of those that come later. A curve that falls by "
            "more than the factor then ends at its very beginning. Which values were known at that update?"
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 < np.nanmin(losses) * divergence < value"),),
    ),
    WrongAnswer(
        id="ratio-to-the-value-before",
        title="each value compared with the one before it",
        explanation=(
            "You compare with the previous value alone, so a curve that climbs in small steps is never cut, however high "
            "it gets. Real divergences climb like that. The measure is the smallest value of all before."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 < smooth[-1] * divergence < value"),),
    ),
    WrongAnswer(
        id="minimum-of-the-last-few",
        title="the smallest of the last few values only",
        explanation=(
            "Your minimum forgets what lies more than a few updates back, so it climbs along with a curve that climbs "
            "slowly. The smallest value of all before is the measure."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 < min(smooth[-5:]) * divergence < value"),),
    ),
    WrongAnswer(
        id="raw-minimum",
        title="smoothed values compared with the smallest raw loss",
        explanation=(
            "A single loss that happens to be low sets your limit, and the smoothed curve, which never went down that "
            "far, ends for it. Compare like with like: smoothed values with the smallest smoothed value."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 < losses[: len(smooth)].min() * divergence < value"),),
    ),
    WrongAnswer(
        id="exactly-the-factor-cut",
        title="a value of exactly `divergence` times the minimum cut",
        explanation=(
            "The curve ends before a value that is *more* than `divergence` times the minimum. Yours ends already where "
            "the two are equal."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 < min(smooth) * divergence <= value"),),
    ),
    WrongAnswer(
        id="ratio-to-the-first-loss",
        title="the loss compared with the first one instead of the smallest so far",
        explanation=(
            "A run that has come down a long way can blow up to many times its minimum and still be below your limit, "
            "which hangs on the first loss."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 < smooth[0] * divergence < value"),),
    ),
    WrongAnswer(
        id="cut-on-the-raw-losses",
        title="the end of the curve looked for in the raw losses",
        explanation=(
            "A single outlier ends your curve, although the smoothing would have taken it in. Smooth first, then look "
            "for the end."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value:", "0 < losses[: len(smooth)].min() * divergence < loss:"),),
    ),
    WrongAnswer(
        id="not-finite-skipped",
        title="NaN and infinity are left out, and the curve goes on after them",
        explanation=(
            "You drop the losses that are not finite and use what follows. After a NaN the weights are usually NaN too; "
            "a finite loss behind it, or behind an infinite one, is no sign of a usable rate. The curve ends there."
        ),
        caught_by=END,
        swap=(
            (
                "        if not np.isfinite(loss):\n            break\n",
                "        if not np.isfinite(loss):\n            lrs = np.delete(lrs, len(smooth))\n            continue\n",
            ),
        ),
    ),
    WrongAnswer(
        id="not-finite-kept",
        title="NaN and infinity take part in the slope",
        explanation=(
            "A loss that is not finite makes the slopes around it NaN or infinite, and the lowest of them is no slope "
            "any more. End the curve before it."
        ),
        caught_by=END,
        swap=(("        if not np.isfinite(loss):\n            break\n", ""),),
    ),
    WrongAnswer(
        id="infinity-kept",
        title="infinity not taken for the end of the curve",
        explanation=(
            "Your curve ends at NaN, but infinity gets through: a loss of minus infinity, or of plus infinity where "
            "`divergence` is infinite too, stays in the average for ever. The end is at the first loss that is not finite."
        ),
        caught_by=END,
        swap=(("        if not np.isfinite(loss):\n", "        if np.isnan(loss):\n"),),
    ),
    WrongAnswer(
        id="negative-losses-cut",
        title="a ratio to a minimum of 0 or below",
        explanation=(
            "Four times a negative number is smaller than that number, so the next value always looks too high, and "
            "above 0 times four everything does. Where the minimum is not positive, the curve does not end."
        ),
        caught_by=END,
        swap=(
            ("if smooth and 0 < min(smooth) * divergence < value:", "if smooth and min(smooth) * divergence < value:"),
        ),
    ),
    WrongAnswer(
        id="size-of-a-negative-minimum",
        title="the size of a negative minimum taken as the measure",
        explanation=(
            "You multiply the absolute value of the minimum. A curve that has gone below 0 then ends as soon as it comes "
            "up a little. Where the minimum is not positive, a ratio to it means nothing."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "abs(min(smooth)) * divergence < value"),),
    ),
    WrongAnswer(
        id="minimum-of-0-taken-as-the-measure",
        title="the curve ended by a minimum of exactly 0",
        explanation=(
            "You leave negative minima out, but not 0: four times 0 is 0, so after a loss of exactly 0 any positive value "
            "ends your curve. A ratio to 0 means nothing either."
        ),
        caught_by=END,
        swap=(("0 < min(smooth) * divergence < value", "0 <= min(smooth) * divergence < value"),),
    ),
    # --------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="two-points-are-enough",
        title="two usable points accepted",
        explanation=(
            "With two points left there is one interval, and its slope is all that can be said: no suggestion can be "
            "read from that. The task asks for a ValueError below three."
        ),
        caught_by=REFUSED,
        swap=(("    if len(smooth) < 3:\n", "    if len(smooth) < 2:\n"),),
    ),
    WrongAnswer(
        id="order-of-rates-unchecked",
        title="rates accepted in any order",
        explanation=(
            "Rates that fall, or stand still, give slopes with the wrong sign or a division by zero. A range test "
            "raises its rate, so anything else is a mistake of the caller."
        ),
        caught_by=REFUSED,
        swap=((" or not (np.diff(lrs) > 0).all():", ":"),),
    ),
    WrongAnswer(
        id="rates-behind-the-end-unchecked",
        title="rates behind the end of the curve not looked at",
        explanation=(
            "You check the rates only as far as the curve is used. Rates that fall or are NaN behind its end show that "
            "the two lists do not belong together. Check all of them first."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "    if not np.isfinite(lrs).all() or not (lrs > 0).all() or not (np.diff(lrs) > 0).all():\n"
                '        raise ValueError("the rates must be positive, finite and strictly increasing")\n',
                "",
            ),
            (
                "    if len(smooth) < 3:\n",
                "    used = lrs[: len(smooth)]\n"
                "    if not np.isfinite(used).all() or not (used > 0).all() or not (np.diff(used) > 0).all():\n"
                '        raise ValueError("rates")\n'
                "    if len(smooth) < 3:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN passes the tests of the options",
        explanation=(
            "Every comparison with NaN is false, so a test of the form 'too small or too large' lets it through. Phrase "
            "the conditions so that they have to be true for good values."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= beta < 1 or not divergence > 1:", "if beta < 0 or beta >= 1 or divergence <= 1:"),),
    ),
    WrongAnswer(
        id="batch-of-zero-accepted",
        title="a batch of no samples accepted",
        explanation=(
            "A batch size of 0 gives a rate of 0 or a division by zero, and two negative ones even a rate that looks "
            "right. The task asks for a ValueError below 1."
        ),
        caught_by=REFUSED,
        swap=((" or base_batch < 1 or new_batch < 1:", " or base_batch == 0:"),),
    ),
    # -------------------------------------------------------------------------------------------- batch size
    WrongAnswer(
        id="linear-for-adam",
        title="the rate grows in proportion to the batch for Adam too",
        explanation=(
            "Adam divides by the size of the gradient's noise, which shrinks with the square root of the batch; a rate "
            "that grows in proportion is soon too large. Which power does the rule for Adam have?"
        ),
        caught_by=BATCH,
        swap=(('(ratio if optimizer == "sgd" else ratio**0.5)', "ratio"),),
    ),
    WrongAnswer(
        id="root-for-sgd",
        title="the square root for SGD too",
        explanation=(
            "For SGD the rule of thumb is linear: one step on a batch twice as large stands for two small steps, so it "
            "should be as long as both."
        ),
        caught_by=BATCH,
        swap=(('(ratio if optimizer == "sgd" else ratio**0.5)', "ratio**0.5"),),
    ),
    WrongAnswer(
        id="ratio-upside-down",
        title="the ratio upside down: a larger batch gets a smaller rate",
        explanation=(
            "A larger batch has less noise and can take larger steps; yours become smaller. Which of the two batch "
            "sizes stands above the fraction bar?"
        ),
        caught_by=BATCH,
        swap=(("new_batch / base_batch", "base_batch / new_batch"),),
    ),
    WrongAnswer(
        id="whole-ratios-only",
        title="the ratio of the batch sizes rounded down",
        explanation="With whole-number division a batch of 48 in place of 36 changes nothing, and a smaller one gives a rate of 0.",
        caught_by=BATCH,
        swap=(("new_batch / base_batch", "new_batch // base_batch"),),
    ),
    # ------------------------------------------------------------------------------------- arrays and dtypes
    WrongAnswer(
        id="arguments-changed",
        title="the caller's losses are overwritten",
        explanation=(
            "After the call the caller's array holds other losses than before: `np.asarray` makes no copy of an array "
            "that has the right type already. Work on values of your own."
        ),
        caught_by=RANDOM,
        swap=(
            ("        smooth.append(value)\n", "        losses[len(smooth)] = value\n        smooth.append(value)\n"),
        ),
    ),
    WrongAnswer(
        id="computed-in-float32",
        title="everything computed in float32",
        explanation=(
            "float32 keeps seven digits. Differences of neighbouring losses live in the later ones, so slopes become "
            "rounding noise, and the returned rate is off in the eighth digit. Compute in float64."
        ),
        caught_by=RANDOM,
        swap=(
            (
                "    smooth: list[float] = []\n",
                "    lrs, losses = lrs.astype(np.float32), losses.astype(np.float32)\n    smooth: list[float] = []\n",
            ),
        ),
    ),
    WrongAnswer(
        id="computed-in-the-dtype-given",
        title="averages kept in the dtype of the losses",
        explanation=(
            "You smooth in the dtype that the losses came in. Losses that were logged in 16 bits have averages between "
            "the numbers of 16 bits, and rounding these makes steps where there are none. Compute in float64."
        ),
        caught_by=RANDOM,
        swap=(
            ("np.asarray(losses, dtype=np.float64)  # (n,), (n,)", "np.asarray(losses)  # (n,), (n,)"),
            ("for loss in losses.tolist():", "for loss in losses:"),
        ),
    ),
]

SCALED = (
    "it multiplies every smoothed value by the same positive number, which changes neither the ratios nor the place of "
    "the lowest slope"
)
equivalent_mutants = {
    "Sub -> Add in `average = beta * average": SCALED,
    "1 -> 2 in `average = beta * average": SCALED,
}

alternatives = [
    Alternative(
        id="vectorised",
        title="a matrix of weights for the averages, an accumulated minimum for the end",
        code="""
def lr_range_suggestion(lrs, losses, beta=0.0, divergence=4.0):
    x, y = (np.array(values, dtype=float) for values in (lrs, losses))
    if x.ndim != 1 or y.ndim != 1 or x.size != y.size or x.size < 3:
        raise ValueError("shapes")
    if not (np.isfinite(x).all() and x[0] > 0 and np.all(x[1:] > x[:-1])):
        raise ValueError("rates")
    if not (beta >= 0 and beta < 1 and divergence > 1):
        raise ValueError("options")
    broken = np.flatnonzero(~np.isfinite(y))
    y = y[: broken[0]] if len(broken) else y
    if len(y) < 3:
        raise ValueError("too few")
    ages = np.subtract.outer(np.arange(len(y)), np.arange(len(y)))
    weights = np.where(ages >= 0, np.power(float(beta), np.maximum(ages, 0)), 0.0)
    y = weights @ y / weights.sum(axis=1)
    lowest = np.minimum.accumulate(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        diverged = np.flatnonzero((lowest > 0) & (y / lowest > divergence))
    end = diverged[0] if diverged.size else y.size
    if end < 3:
        raise ValueError("too few")
    slope = np.gradient(y[:end], np.log10(x[:end]), edge_order=1)
    return x[np.nanargmin(slope)]


def scale_lr(lr, base_batch, new_batch, optimizer):
    powers = {"sgd": 1.0, "adam": 0.5}
    if optimizer not in powers or min(base_batch, new_batch) < 1 or not np.isfinite(lr) or lr <= 0:
        raise ValueError("arguments")
    return np.float64(lr) * (new_batch / base_batch) ** powers[optimizer]
""",
    ),
    Alternative(
        id="plain-python",
        title="plain Python with the slope written out",
        code="""
import math


def lr_range_suggestion(lrs, losses, beta=0.0, divergence=4.0):
    if np.ndim(lrs) != 1 or np.ndim(losses) != 1:
        raise ValueError("shape")
    lrs, losses = [float(v) for v in lrs], [float(v) for v in losses]
    if len(lrs) != len(losses) or any(not 0 < v < math.inf for v in lrs) or lrs != sorted(set(lrs)):
        raise ValueError("lrs")
    if beta != beta or divergence != divergence or beta < 0 or beta >= 1 or divergence <= 1:
        raise ValueError("options")
    total = weight = 0.0
    curve, lowest = [], None
    for loss in losses:
        if math.isnan(loss) or math.isinf(loss):
            break
        total, weight = beta * total + loss, beta * weight + 1.0
        value = total / weight
        if lowest is not None and lowest > 0 and value > divergence * lowest:
            break
        lowest = value if lowest is None else min(lowest, value)
        curve.append((math.log(lrs[len(curve)]), value))
    if len(curve) <= 2:
        raise ValueError("too short")
    steepest, answer = math.inf, None
    for i, (x, y) in enumerate(curve):
        pairs = [(curve[j][0] - x, curve[j][1] - y) for j in (i - 1, i + 1) if 0 <= j < len(curve)]
        if len(pairs) == 1:
            slope = pairs[0][1] / pairs[0][0]
        else:
            (a, da), (b, db) = pairs
            slope = (b * da / a - a * db / b) / (b - a)
        if slope < steepest:
            steepest, answer = slope, lrs[i]
    return answer


def scale_lr(lr, base_batch, new_batch, optimizer):
    if not (lr > 0 and lr < math.inf and base_batch >= 1 and new_batch >= 1):
        raise ValueError("arguments")
    match optimizer:
        case "sgd":
            return lr / base_batch * new_batch
        case "adam":
            return lr * math.sqrt(new_batch) / math.sqrt(base_batch)
    raise ValueError("optimizer")
""",
    ),
    Alternative(
        id="steps-in-functions",
        title="one small function for each step, a generator for the averages",
        code="""
import itertools


def averages(losses, beta):
    average, power = 0.0, 1.0
    for loss in losses:
        average, power = average + (1 - beta) * (loss - average), power * beta
        yield average / (1 - power)


def before_divergence(values, divergence):
    values = list(values)
    for number, (lowest, value) in enumerate(zip(itertools.accumulate(values, min), values)):
        if lowest > 0 and value > lowest * divergence:
            return values[:number]
    return values


def lr_range_suggestion(lrs, losses, beta=0.0, divergence=4.0):
    lrs, losses = np.asarray(lrs, np.float64), np.asarray(losses, np.float64)
    valid = lrs.ndim == losses.ndim == 1 and lrs.shape == losses.shape and bool(np.all(lrs > 0))
    if not valid or not np.all(np.ediff1d(lrs) > 0) or np.isinf(lrs).any():
        raise ValueError("lrs")
    if not 0 <= beta < 1 or not divergence > 1:
        raise ValueError("options")
    finite = list(itertools.takewhile(np.isfinite, losses))
    curve = before_divergence(averages(finite, beta), divergence)
    if len(curve) < 3:
        raise ValueError("usable points")
    ranked = sorted(zip(np.gradient(curve, np.log(lrs)[: len(curve)]), lrs), key=lambda pair: pair[0])
    return ranked[0][1]
""",
    ),
]
