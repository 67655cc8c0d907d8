"""Wrong and differently written answers to schedules/warmup_cosine.

Every "must reject" line of B-Q8a and E-Q2 has an entry. Lines that both share appear once: "rebounds after total"
(rises-again), "decay measured from step 0" (decay-from-step-zero; its milder form is decay-over-all-steps).
"""

from grader.catalogue import Alternative, WrongAnswer

CURVE = "test_factors_climb_fall_and_stay"
RATES = "test_rates_run_between_zero_base_and_floor"
RANGE = "test_arguments_out_of_range_are_refused"
GROUPS = "test_every_group_keeps_its_own_rate"
TRAINING = "test_training_moves_on_with_every_update"
BOUND = "test_bound_of_the_rate"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="published-claims",
        title="the claims as they are published",
        explanation=(
            "Some of the claims follow sentences that are in print: what decay is for, what Adam takes care of, which "
            "data want a fixed rate, what too large a rate does first. Ask of each what would be seen in the training "
            "loss, or work it out for a loss with one parameter."
        ),
        caught_by="test_claims",
        swap=(
            ("decay_quickens_the_end=False", "decay_quickens_the_end=True"),
            ("small_data_fixed_rate=False", "small_data_fixed_rate=True"),
            ("adam_sets_the_rate=False", "adam_sets_the_rate=True"),
            ("overfitting_comes_first=False", "overfitting_comes_first=True"),
        ),
    ),
    WrongAnswer(
        id="rate-never-changes",
        title="the same factor for every step, as if the optimiser adapted the rate",
        explanation=(
            "Your factor is 1 at every step. Adam rescales each coordinate, but the rate that multiplies all of them "
            "stays where you put it. What should the factor be at step 0, and what at the last step?"
        ),
        caught_by=CURVE,
        swap=(("    if step < warmup_steps:\n", "    return 1.0\n    if step < warmup_steps:\n"),),
    ),
    # ------------------------------------------------------------------------------------------- the curve
    WrongAnswer(
        id="rises-again",
        title="the curve goes on after the last step",
        explanation=(
            "After `total_steps` your factor does not stay where it was: a cosine climbs again, a line falls below its "
            "floor and becomes negative. Runs often last a few updates longer than planned. Which quantity has to stop "
            "growing there?"
        ),
        caught_by=CURVE,
        swap=(
            (
                "    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)",
                "    progress = (step - warmup_steps) / (total_steps - warmup_steps)",
            ),
        ),
    ),
    WrongAnswer(
        id="decay-from-step-zero",
        title="the decay counted from step 0 instead of the end of the warm-up",
        explanation=(
            "Part of the fall is over before the climb has ended, so the factor jumps down at `warmup_steps` and never "
            "reaches 1. How much of the fall should be over at step `warmup_steps`?"
        ),
        caught_by=CURVE,
        swap=(
            (
                "    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)",
                "    progress = min(step / total_steps, 1.0)",
            ),
        ),
    ),
    WrongAnswer(
        id="decay-over-all-steps",
        title="the length of the fall taken as `total_steps`, warm-up included",
        explanation=(
            "The fall begins at the right step but takes too long: at `total_steps` the factor has not arrived at its "
            "floor. How many steps are left for the fall when the climb is over?"
        ),
        caught_by=CURVE,
        swap=(
            (
                "    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)",
                "    progress = min((step - warmup_steps) / total_steps, 1.0)",
            ),
        ),
    ),
    WrongAnswer(
        id="full-period",
        title="a whole period of the cosine instead of half of one",
        explanation=(
            "Your cosine reaches the floor in the middle of the fall and is back at the peak at `total_steps`. Which "
            "angle has a cosine of -1?"
        ),
        caught_by=CURVE,
        swap=(("math.cos(math.pi * progress)", "math.cos(2 * math.pi * progress)"),),
    ),
    WrongAnswer(
        id="quarter-of-a-period",
        title="a quarter of a cosine's period instead of half of one",
        explanation=(
            "Your curve starts flat but arrives at its floor with the steepest slope of all. Half a period is flat at "
            "both ends: it runs from the highest to the lowest value of a cosine."
        ),
        caught_by=CURVE,
        swap=(("(1 + math.cos(math.pi * progress)) / 2", "math.cos(math.pi * progress / 2)"),),
    ),
    WrongAnswer(
        id="one-step-short",
        title="the floor reached one step before `total_steps`",
        explanation=(
            "Your fall arrives at its floor at step `total_steps - 1`, which is the last update; here it is to arrive at "
            "`total_steps`. Count the steps between the end of the warm-up and `total_steps`."
        ),
        caught_by=CURVE,
        swap=(
            (
                "    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)",
                "    progress = min((step - warmup_steps) / max(total_steps - 1 - warmup_steps, 1), 1.0)",
            ),
        ),
    ),
    WrongAnswer(
        id="single-precision",
        title="factors that are right to a few digits only",
        explanation=(
            "Your values differ from the right ones in the seventh digit or so, as when a step of the computation runs in "
            "float32, the default of PyTorch. For single numbers Python's own floats are more precise, and quicker."
        ),
        caught_by=CURVE,
        swap=(("math.cos(math.pi * progress)", "torch.cos(torch.tensor(math.pi * progress)).item()"),),
    ),
    WrongAnswer(
        id="warm-up-one-step-late",
        title="the warm-up ends one step late",
        explanation=(
            "At step `warmup_steps` your factor is still below 1. The step number 0 is the first of the climb, so there "
            "are `warmup_steps` parts between 0 and 1. Which step is the first with a factor of 1?"
        ),
        caught_by=CURVE,
        swap=(
            (
                "    if step < warmup_steps:\n        return step / warmup_steps\n",
                "    if step <= warmup_steps:\n        return step / (warmup_steps + 1)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="warm-up-one-step-early",
        title="the warm-up starts one step up the ramp",
        explanation=(
            "Your factor of step 0 is not 0, and the climb arrives one step early. Some libraries do that; the "
            "convention of this task is that step 0 has the factor 0."
        ),
        caught_by=CURVE,
        swap=(("        return step / warmup_steps\n", "        return (step + 1) / warmup_steps\n"),),
    ),
    WrongAnswer(
        id="no-warm-up",
        title="the full rate from the first step",
        explanation=(
            "During the warm-up your factor is 1 already. The first updates are the least informed ones, with Adam's "
            "averages still empty: they should be the smallest. What should step 0 have?"
        ),
        caught_by=CURVE,
        swap=(("        return step / warmup_steps\n", "        return 1.0\n"),),
    ),
    WrongAnswer(
        id="floor-as-a-clip",
        title="the floor cuts the curve off instead of stretching it",
        explanation=(
            "Your curve falls towards 0 and is cut off at `min_ratio`, so it lies too low on the way and stands still "
            "before the end. It should arrive at `min_ratio` at the very last step. Where should it be half-way?"
        ),
        caught_by=CURVE,
        swap=(("min_ratio + (1 - min_ratio) * height", "max(height, min_ratio)"),),
    ),
    WrongAnswer(
        id="constant-with-a-floor",
        title="the constant kind drops to the floor at the end",
        explanation=(
            'With `kind="constant"` the factor should stay 1 after the warm-up, whatever `min_ratio` says; yours drops '
            "at `total_steps`."
        ),
        caught_by=CURVE,
        swap=(("        return 1.0\n", "        return 1.0 if step < total_steps else min_ratio\n"),),
    ),
    WrongAnswer(
        id="warm-up-from-the-floor",
        title="the climb starts at the floor",
        explanation=(
            "Your climb runs from `min_ratio` to 1. The floor belongs to the end of the run; the climb starts at 0 "
            "whatever the floor is."
        ),
        caught_by=CURVE,
        swap=(
            (
                "        return step / warmup_steps\n",
                "        return min_ratio + (1 - min_ratio) * step / warmup_steps\n",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- the rates
    WrongAnswer(
        id="floor-on-top",
        title="the floor added on top of the curve",
        explanation=(
            "Your factor is the whole curve plus the floor, so its peak is above 1. The floor takes room away from the "
            "curve: how much is left between floor and peak?"
        ),
        caught_by=CURVE,
        swap=(("min_ratio + (1 - min_ratio) * height", "min_ratio + height"),),
    ),
    WrongAnswer(
        id="floor-ignored",
        title="the floor is ignored, the curve ends at 0",
        explanation=(
            "Your curve ends at 0 whatever the floor says. A last part at a rate of almost 0 is paid for and teaches "
            "nothing. Place the height between the floor and the peak."
        ),
        caught_by=CURVE,
        swap=(("min_ratio + (1 - min_ratio) * height", "height"),),
    ),
    WrongAnswer(
        id="floor-is-a-ratio",
        title="`min_lr` taken for a fraction of `base_lr`",
        explanation=(
            "Your rate ends at `base_lr * min_lr`: the floor of `warmup_cosine_lr` is a rate, while that of `lr_factor` "
            "is a fraction of the peak. Which fraction of `base_lr` is `min_lr`?"
        ),
        caught_by=RATES,
        swap=(('"cosine", min_lr / base_lr)', '"cosine", min(min_lr, 1.0))'),),
    ),
    WrongAnswer(
        id="warm-up-of-zero-divides",
        title="a warm-up of 0 steps divides by zero",
        explanation=(
            "Without a warm-up your code still divides by its length at step 0. No step is part of a climb of length "
            "0: step 0 is at the peak already."
        ),
        caught_by=CURVE,
        swap=(("    if step < warmup_steps:\n", "    if step <= warmup_steps:\n"),),
    ),
    WrongAnswer(
        id="floor-added-to-the-rate",
        title="`min_lr` added on top of the rate",
        explanation=(
            "Your rate has its peak at `base_lr + min_lr`, more than was asked for, and the climb does not start at 0. "
            "The floor takes room away from the fall: how much is left between floor and peak?"
        ),
        caught_by=RATES,
        swap=(
            (
                'base_lr * lr_factor(step, warmup_steps, total_steps, "cosine", min_lr / base_lr)',
                'min_lr + base_lr * lr_factor(step, warmup_steps, total_steps, "cosine")',
            ),
        ),
    ),
    WrongAnswer(
        id="rate-without-a-floor",
        title="`min_lr` plays no part in the rate",
        explanation=(
            "Your rate ends at 0 whatever `min_lr` says. Follow `min_lr` from the call to the formula: which `min_ratio` "
            "belongs to it?"
        ),
        caught_by=RATES,
        swap=(('total_steps, "cosine", min_lr / base_lr)', 'total_steps, "cosine")'),),
    ),
    WrongAnswer(
        id="rate-cut-off-at-the-floor",
        title="the rate falls towards 0 and is cut off at `min_lr`",
        explanation=(
            "Your rate lies too low on the way and stands still before the end; perhaps the climb does not start at 0 "
            "either. The fall should arrive at `min_lr` at `total_steps` and not before. Where should it be half-way?"
        ),
        caught_by=RATES,
        swap=(
            (
                'base_lr * lr_factor(step, warmup_steps, total_steps, "cosine", min_lr / base_lr)',
                'max(min_lr, base_lr * lr_factor(step, warmup_steps, total_steps, "cosine"))',
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="unknown-kind-is-cosine",
        title="an unknown kind quietly taken for cosine",
        explanation=(
            "A kind that does not exist, such as a misspelt one, gives a curve without any error. A run with the wrong "
            "schedule looks like any other run. Refuse what you do not know."
        ),
        caught_by=RANGE,
        swap=(('    if kind not in ("constant", "linear", "cosine"):\n', "    if not isinstance(kind, str):\n"),),
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN passes the comparison of the range",
        explanation=(
            "Every comparison with NaN is false, so a test of the form 'too small or too large' lets it through. Phrase "
            "the condition so that it has to be true for good values."
        ),
        caught_by=RANGE,
        swap=(("    if not 0 <= min_ratio <= 1:", "    if min_ratio < 0 or min_ratio > 1:"),),
    ),
    WrongAnswer(
        id="nan-accepted-as-a-rate",
        title="NaN passes as `min_lr`",
        explanation=(
            "Every comparison with NaN is false, so a test of the form 'too small or too large' lets it through, and the "
            "rate becomes NaN in the fall. Phrase the condition so that it has to be true for good values."
        ),
        caught_by=RANGE,
        swap=(
            (
                "not 0 < base_lr < math.inf or not 0 <= min_lr <= base_lr",
                "not 0 < base_lr < math.inf or min_lr < 0 or min_lr > base_lr",
            ),
            (
                '    return base_lr * lr_factor(step, warmup_steps, total_steps, "cosine", min_lr / base_lr)',
                '    factor = lr_factor(step, warmup_steps, total_steps, "cosine")\n'
                "    return min_lr + (base_lr - min_lr) * factor if step >= warmup_steps else base_lr * factor",
            ),
        ),
    ),
    WrongAnswer(
        id="warm-up-as-long-as-the-run",
        title="a warm-up as long as the run accepted",
        explanation=(
            "With `warmup_steps` equal to `total_steps` no step is left for the fall, and its length, 0, becomes a "
            "divisor sooner or later. The task asks for a ValueError."
        ),
        caught_by=RANGE,
        swap=(("not 0 <= warmup_steps < total_steps", "not 0 <= warmup_steps <= total_steps"),),
    ),
    WrongAnswer(
        id="negative-step-accepted",
        title="a negative step accepted",
        explanation=(
            "A negative step gives a negative factor: gradient ascent. It comes from a counter that went wrong, so say "
            "so with a ValueError."
        ),
        caught_by=RANGE,
        swap=(("step < 0 or not 0 <= warmup_steps", "not 0 <= warmup_steps"),),
    ),
    # ---------------------------------------------------------------------------------------- the schedulers
    WrongAnswer(
        id="one-rate-for-all-groups",
        title="one rate forced on all groups of parameters",
        explanation=(
            "After your function all groups have the rate of the first. A new head and a pretrained trunk want rates "
            "far apart; only the factor is shared. Who remembers the rate of each group?"
        ),
        caught_by=GROUPS,
        swap=(
            (
                "    # LambdaLR remembers the rate",
                '    for group in optimizer.param_groups:\n        group["lr"] = optimizer.param_groups[0]["lr"]\n'
                "    # LambdaLR remembers the rate",
            ),
        ),
    ),
    WrongAnswer(
        id="rate-in-place-of-a-factor",
        title="the scheduler multiplies the rate by the rate",
        explanation=(
            "Your function hands LambdaLR a rate, and LambdaLR multiplies it by the rate of the group: 1e-4 becomes "
            "1e-8, and the model does not move. What does LambdaLR expect its function to return?"
        ),
        caught_by=GROUPS,
        swap=(
            (
                "lambda step: lr_factor(step, warmup_steps, total_steps, kind, min_ratio))",
                'lambda step, rate=optimizer.param_groups[0]["lr"]: rate\n'
                "        * lr_factor(step, warmup_steps, total_steps, kind, min_ratio),\n    )",
            ),
        ),
    ),
    WrongAnswer(
        id="floor-lost-on-the-way",
        title="the scheduler does not pass the floor on",
        explanation=(
            "The factor knows `min_ratio`, but the scheduler decays to 0: the argument is taken and not handed on. "
            "Follow `min_ratio` from the call to the formula."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "lr_factor(step, warmup_steps, total_steps, kind, min_ratio))",
                "lr_factor(step, warmup_steps, total_steps, kind))",
            ),
        ),
    ),
    WrongAnswer(
        id="kind-lost-on-the-way",
        title="every scheduler decays along a cosine",
        explanation=(
            "`make_factor_scheduler` gives the same curve for all three kinds. Follow `kind` from the call to the "
            "formula."
        ),
        caught_by=GROUPS,
        swap=(
            (
                "lambda step: lr_factor(step, warmup_steps, total_steps, kind, min_ratio))",
                'lambda step: lr_factor(step, warmup_steps, total_steps, kind and "cosine", min_ratio))',
            ),
        ),
    ),
    WrongAnswer(
        id="lengths-exchanged",
        title="`make_scheduler` refuses good arguments, as when the two lengths are exchanged on the way",
        explanation=(
            "The arguments are refused on their way to the factor. Do both lengths arrive in the right order? One of the "
            "signatures names `warmup_steps` first, another `total_steps`."
        ),
        caught_by=GROUPS,
        swap=(
            (
                'return make_factor_scheduler(optimizer, warmup_steps, total_steps, "cosine", min_ratio)',
                'return make_factor_scheduler(optimizer, total_steps, warmup_steps, "cosine", min_ratio)',
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------ the training
    WrongAnswer(
        id="stepped-once-an-epoch",
        title="the scheduler stepped once an epoch",
        explanation=(
            "All updates of an epoch have the same rate, and the schedule is hardly begun when the training is over. "
            "No error is raised: the model learns at a fraction of its rate. In which unit does the schedule count?"
        ),
        caught_by=TRAINING,
        swap=(("            scheduler.step()", "        scheduler.step()"),),
    ),
    WrongAnswer(
        id="scheduler-before-the-update",
        title="the scheduler moves before the optimiser",
        explanation=(
            "The first update already has the rate of step 1, so the first rate of the schedule is never used; PyTorch "
            "warns about it. The scheduler sets the rate of the update that comes next."
        ),
        caught_by=TRAINING,
        swap=(
            (
                "            optimizer.zero_grad()\n            loss_fn(batch).backward()\n",
                "            scheduler.step()\n            optimizer.zero_grad()\n            loss_fn(batch).backward()\n",
            ),
            (
                "            scheduler.step()  # after the update, and once for each: it sets the rate of the next one\n",
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="scheduler-before-the-optimiser",
        title="the scheduler moves between noting the rate and updating",
        explanation=(
            "The rates that you return are right, but each update is made at the rate of the next step. The scheduler "
            "sets the rate of the update that comes next, so it moves after the optimiser."
        ),
        caught_by=TRAINING,
        swap=(
            ("            optimizer.step()\n", "            scheduler.step()\n            optimizer.step()\n"),
            (
                "            scheduler.step()  # after the update, and once for each: it sets the rate of the next one\n",
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="rates-read-too-late",
        title="the rates are read after the scheduler has moved on",
        explanation=(
            "The training is right, but your list begins with the rate of the second update and ends with one that was "
            "never used. At which moment does the optimiser hold the rate that the update uses?"
        ),
        caught_by=TRAINING,
        swap=(
            ('            rates.append(optimizer.param_groups[0]["lr"])\n', ""),
            (
                "            scheduler.step()  #",
                '            scheduler.step()\n            rates.append(optimizer.param_groups[0]["lr"])  #',
            ),
        ),
    ),
    WrongAnswer(
        id="gradients-not-cleared",
        title="the gradients of all batches add up",
        explanation=(
            "`backward` adds to the gradients that are there, so every update repeats the ones before it, and the "
            "first contains what was left over from before the call. What has to happen before `backward`, for the "
            "parameters of every group?"
        ),
        caught_by=TRAINING,
        swap=(("            optimizer.zero_grad()\n", ""),),
    ),
    WrongAnswer(
        id="gradients-cleared-once-an-epoch",
        title="the gradients are cleared once an epoch only",
        explanation=(
            "The first update of an epoch is right; the later ones contain the gradients of the batches before them, "
            "since `backward` adds to what is there."
        ),
        caught_by=TRAINING,
        swap=(
            ("    for _ in range(epochs):\n", "    for _ in range(epochs):\n        optimizer.zero_grad()\n"),
            ("            optimizer.zero_grad()\n            loss_fn", "            loss_fn"),
        ),
    ),
    WrongAnswer(
        id="gradients-cleared-after-the-update",
        title="the gradients are cleared after each update only",
        explanation=(
            "All updates but the first are right. The first contains the gradient that was left over from before the "
            "call: clear it before the first `backward` as well."
        ),
        caught_by=TRAINING,
        swap=(
            ("            optimizer.zero_grad()\n            loss_fn", "            loss_fn"),
            ("            scheduler.step()  #", "            optimizer.zero_grad()\n            scheduler.step()  #"),
        ),
    ),
    # --------------------------------------------------------------------------------------------- the bound
    WrongAnswer(
        id="one-over-the-largest",
        title="the bound is half of what it should be",
        explanation=(
            "At 1 / curvature a step lands exactly in the minimum of that direction, the best rate rather than the "
            "limit. A larger step overshoots and may still come closer. When does it land as far away as it started?"
        ),
        caught_by=BOUND,
        swap=(("    return 2 / largest\n", "    return 1 / largest\n"),),
    ),
    WrongAnswer(
        id="two-over-the-smallest",
        title="the bound taken from the flattest direction",
        explanation=(
            "Your bound comes from the smallest eigenvalue. The flat direction would allow such a rate, but the steep "
            "one is multiplied by a number far below -1 at each step. Which direction has to survive?"
        ),
        caught_by=BOUND,
        swap=(("torch.linalg.eigvalsh(hessian).max().item()", "torch.linalg.eigvalsh(hessian).min().item()"),),
    ),
    WrongAnswer(
        id="frobenius-norm",
        title="the norm of all entries taken for the largest curvature",
        explanation=(
            "The default norm of a matrix in PyTorch adds up the squares of all entries. It is an upper limit of the "
            "largest eigenvalue, so your bound is safe but too small as soon as there is a second direction."
        ),
        caught_by=BOUND,
        swap=(("torch.linalg.eigvalsh(hessian).max().item()", "torch.linalg.matrix_norm(hessian).item()"),),
    ),
    WrongAnswer(
        id="diagonal-alone",
        title="the largest diagonal entry taken for the largest curvature",
        explanation=(
            "The diagonal holds the curvature along the axes. The steepest direction usually lies between them, where "
            "the other entries count as well, and is steeper."
        ),
        caught_by=BOUND,
        swap=(("torch.linalg.eigvalsh(hessian).max().item()", "hessian.diagonal().max().item()"),),
    ),
    WrongAnswer(
        id="asymmetry-unnoticed",
        title="a matrix that is not symmetric accepted",
        explanation=(
            "A matrix that is not symmetric is no matrix of second derivatives, and a symmetric eigenvalue routine "
            "reads one half of it only: it answers without noticing. Compare the matrix with its transpose."
        ),
        caught_by=BOUND,
        swap=(
            (
                "    if (hessian - hessian.T).abs().max() > 1e-5 * hessian.abs().max():\n"
                '        raise ValueError("the matrix must be symmetric")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="asymmetry-by-an-absolute-size",
        title="asymmetry judged by an absolute size",
        explanation=(
            "Your test of symmetry has a tolerance that does not grow and shrink with the matrix: among entries around "
            "1e-9 every difference looks small, and among large ones rounding looks like a fault. Compare the "
            "difference with the largest entry."
        ),
        caught_by=BOUND,
        swap=(("> 1e-5 * hessian.abs().max()", "> 1e-5"),),
    ),
    WrongAnswer(
        id="rounding-taken-for-asymmetry",
        title="a difference that is rounding taken for asymmetry",
        explanation=(
            "A matrix that was computed in float32 is rarely symmetric to the last digit, and where an entry is small, "
            "rounding of the others is large beside it. Compare the difference with the largest entry of the matrix, and "
            "leave room for rounding."
        ),
        caught_by=BOUND,
        swap=(
            ("(hessian - hessian.T).abs().max() > 1e-5 * hessian.abs().max()", "not torch.equal(hessian, hessian.T)"),
        ),
    ),
    WrongAnswer(
        id="bound-may-be-infinite",
        title="a bound for a loss without any curvature",
        explanation=(
            "A matrix of zeros has no direction that curves upwards, so there is no bound to return: yours is infinite, "
            "or a division by zero. The task asks for a ValueError."
        ),
        caught_by=BOUND,
        swap=(("    if largest <= 0:\n", "    if math.isnan(largest):\n"),),
    ),
]

equivalent_mutants = {
    "Gt -> GtE in `if (hessian - hessian.T)": (
        "they differ where the largest difference is exactly the tolerance; for zeros, which have no positive eigenvalue "
        "either, both raise ValueError"
    ),
    "1e-05 -> 1.5000000000000002e-05": "the task leaves open where between rounding and asymmetry the line is drawn",
}

alternatives = [
    Alternative(
        id="pieces-by-interpolation",
        title="the line by interpolation, the cosine as a squared sine, a function for each group",
        code="""
import numpy as np


def _checked(step, warmup_steps, total_steps):
    if min(step, warmup_steps, total_steps) < 0 or warmup_steps >= total_steps:
        raise ValueError("steps")


def lr_factor(step, warmup_steps, total_steps, kind, min_ratio=0.0):
    _checked(step, warmup_steps, total_steps)
    if not (min_ratio >= 0 and min_ratio <= 1):
        raise ValueError("ratio")
    lowest = {"constant": 1.0, "linear": min_ratio, "cosine": min_ratio}.get(kind)
    if lowest is None:
        raise ValueError("kind")
    corners, values = [0, warmup_steps, total_steps], [0.0, 1.0, 0.0]
    if warmup_steps == 0:
        corners, values = corners[1:], values[1:]
    height = np.interp(step, corners, values)
    if step < warmup_steps:
        return height
    if kind == "cosine":
        height = np.sin(np.pi / 2 * height) ** 2
    return lowest + height * (1.0 - lowest)


def warmup_cosine_lr(step, *, total_steps, warmup_steps, base_lr, min_lr=0.0):
    _checked(step, warmup_steps, total_steps)
    if not (math.isfinite(base_lr) and base_lr > 0 and min_lr >= 0 and min_lr <= base_lr):
        raise ValueError("rates")
    if step < warmup_steps:
        return base_lr / warmup_steps * step
    angle = math.pi * (min(step, total_steps) - warmup_steps) / (total_steps - warmup_steps)
    return (base_lr + min_lr) / 2 + (base_lr - min_lr) / 2 * math.cos(angle)


def make_factor_scheduler(optimizer, warmup_steps, total_steps, kind, min_ratio=0.0):
    def factor(step):
        return float(lr_factor(step, warmup_steps, total_steps, kind, min_ratio))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=[factor for _ in optimizer.param_groups])


def max_stable_lr(hessian):
    if hessian.dim() != 2 or len(set(hessian.shape)) != 1 or not len(hessian) or hessian.isnan().any():
        raise ValueError("shape")
    scale = hessian.abs().max()
    if scale == 0 or scale.isinf() or not torch.allclose(hessian / scale, hessian.T / scale, rtol=0, atol=1e-4):
        raise ValueError("entries")
    values = np.linalg.eigvals(((hessian + hessian.T) / 2).double().numpy()).real
    if values.max() <= 0:
        raise ValueError("no curvature")
    return 2.0 / values.max()
""",
    ),
    Alternative(
        id="table-of-rates",
        title="a class of its own for the factor, the loop over one sequence of all batches",
        code="""
import itertools


class Factor:
    def __init__(self, warmup_steps, total_steps, kind, min_ratio):
        if warmup_steps < 0 or total_steps - warmup_steps < 1 or not min_ratio == min(max(min_ratio, 0), 1):
            raise ValueError("settings")
        self.falls = {
            "constant": lambda p: 1,
            "linear": lambda p: 1 - p + min_ratio * p,
            "cosine": lambda p: math.cos(math.pi / 2 * p) ** 2 + min_ratio * math.sin(math.pi / 2 * p) ** 2,
        }
        if kind not in self.falls:
            raise ValueError("kind")
        self.warmup_steps, self.total_steps, self.kind = warmup_steps, total_steps, kind

    def __call__(self, step):
        if step < 0:
            raise ValueError("step")
        if self.warmup_steps > step:
            return step / self.warmup_steps
        if step >= self.total_steps:
            return self.falls[self.kind](1)
        return self.falls[self.kind]((step - self.warmup_steps) / (self.total_steps - self.warmup_steps))


def lr_factor(step, warmup_steps, total_steps, kind, min_ratio=0.0):
    return Factor(warmup_steps, total_steps, kind, min_ratio)(step)


def warmup_cosine_lr(step, *, total_steps, warmup_steps, base_lr, min_lr=0.0):
    if not all(math.isfinite(rate) for rate in (base_lr, min_lr)) or base_lr <= 0 or min_lr < 0 or min_lr > base_lr:
        raise ValueError("rates")
    return Factor(warmup_steps, total_steps, "cosine", min_lr / base_lr)(step) * base_lr


def make_factor_scheduler(optimizer, warmup_steps, total_steps, kind, min_ratio=0.0):
    return LambdaLR(optimizer, Factor(warmup_steps, total_steps, kind, min_ratio))


def make_scheduler(optimizer, **settings):
    return LambdaLR(optimizer, Factor(kind="cosine", **{"min_ratio": 0.0, **settings}))


def train_with_schedule(optimizer, scheduler, loss_fn, batches, epochs):
    rates = []
    for batch in itertools.chain.from_iterable([batches] * epochs):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        rates += scheduler.get_last_lr()[:1]
        loss_fn(batch).backward()
        optimizer.step()
        scheduler.step()
    return rates
""",
    ),
    Alternative(
        id="singular-value",
        title="the largest singular value, the rates in NumPy, gradients cleared after each update",
        code="""
import numpy as np


def train_with_schedule(optimizer, scheduler, loss_fn, batches, epochs):
    rates = np.zeros(epochs * len(batches))
    optimizer.zero_grad()
    update = 0
    for epoch in range(epochs):
        for batch in batches:
            loss = loss_fn(batch)
            loss.backward()
            optimizer.step()
            rates[update] = optimizer.param_groups[0]["lr"]
            scheduler.step()
            optimizer.zero_grad()
            update += 1
    return rates.tolist()


def max_stable_lr(hessian):
    matrix = hessian.detach().numpy().astype(float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError("matrix")
    if np.linalg.norm(matrix - matrix.T) > 1e-4 * np.linalg.norm(matrix) or np.trace(matrix) <= 0:
        raise ValueError("not a positive semidefinite matrix")
    return float(2 / np.linalg.svd(matrix, compute_uv=False)[0])
""",
    ),
]
