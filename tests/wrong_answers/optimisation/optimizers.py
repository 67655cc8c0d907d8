"""Wrong answers and differently written correct solutions of optimisation/optimizers."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
PURE = "test_a_step_is_a_pure_function"
SGD = "test_sgd_follows_the_sum_of_all_gradients_so_far"
ADAMW = "test_adamw_divides_the_mean_gradient_by_its_root_mean_square"
SCALE = "test_what_scale_zero_and_the_rate_do"
RUN = "test_run_visits_the_right_points"
BAD_INPUT = "test_bad_input_is_refused"

# Not in the list: a first buffer of (1 - dampening) times nothing, that is a buffer that starts at 0 and is then
# updated as ever. It is the same buffer: momentum * 0 + gradient.

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="decay-as-smaller-step",
        title="weight decay as a smaller step",
        explanation=(
            "The decay shrinks the step and not the weight. Then a weight with a gradient of 0 stays where it is for "
            "ever, although decay is a pull towards 0. Which quantity should the decay be proportional to?"
        ),
        caught_by=SGD,
        swap=(
            ("    grad = grad + weight_decay * param\n", "    grad = grad * 1.0\n"),
            ("return param - lr * direction,", "return param - lr * (1 - lr * weight_decay) * direction,"),
        ),
    ),
    WrongAnswer(
        id="l2-in-adamw",
        title="AdamW with the decay added to the gradient",
        explanation=(
            "That is Adam with an L2 penalty, the method that AdamW was written to replace: the penalty runs through "
            "both averages and is divided by the root mean square with the rest, so that weights with large gradients "
            "hardly decay. Where must the decay act so that the averages never see it?"
        ),
        caught_by=ADAMW,
        swap=(
            (
                '    step = state.get("step", 0) + 1\n',
                '    grad = grad + weight_decay * param\n    step = state.get("step", 0) + 1\n',
            ),
            ("decayed = (1 - lr * weight_decay) * param", "decayed = param"),
        ),
    ),
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answers have them",
        explanation=(
            "Some claims follow statements that are in print and wrong. Write the two updates of each claim next to "
            "each other, once for SGD and once for Adam, and put in a gradient of 0."
        ),
        caught_by=CLAIMS,
        swap=(
            ("decay_slows_the_steps=False", "decay_slows_the_steps=True"),
            ("equal_under_adam=False", "equal_under_adam=True"),
        ),
    ),
    # ---------------------------------------------------------------------------------------------------- SGD
    WrongAnswer(
        id="gradient-added",
        title="the gradient added to the parameter",
        explanation=(
            "The parameter moves along the gradient, which points uphill: the loss grows with every step. Check the "
            "sign of the update on one weight of a loss that you know."
        ),
        caught_by=SGD,
        swap=(("return param - lr * direction,", "return param + lr * direction,"),),
    ),
    WrongAnswer(
        id="momentum-as-average",
        title="momentum as a moving average, with a factor 1 - momentum",
        explanation=(
            "The buffer is an average of the gradients. The one asked for, which PyTorch also has, is a sum in which "
            "older gradients count less: under a constant gradient it grows up to 1 / (1 - momentum) times as long. "
            "The two need different learning rates."
        ),
        caught_by=SGD,
        swap=(
            (
                'buffer = momentum * state.get("buffer", 0.0) + grad\n',
                'buffer = momentum * state.get("buffer", 0.0) + (1 - momentum) * grad\n',
            ),
        ),
    ),
    WrongAnswer(
        id="nesterov-as-heavy-ball",
        title="nesterov without any effect",
        explanation=(
            "With nesterov=True the steps are those of ordinary momentum. The variant looks one momentum step ahead: "
            "what is added to the gradient?"
        ),
        caught_by=SGD,
        swap=(("direction = grad + momentum * buffer if nesterov else buffer", "direction = buffer"),),
    ),
    WrongAnswer(
        id="nesterov-with-the-old-buffer",
        title="nesterov with the buffer of the step before",
        explanation=(
            "Gradient plus momentum times the *old* buffer is the new buffer, and so ordinary momentum again. Which "
            "buffer already knows the present gradient?"
        ),
        caught_by=SGD,
        swap=(
            (
                "direction = grad + momentum * buffer if nesterov else buffer",
                'direction = grad + momentum * state.get("buffer", 0.0) if nesterov else buffer',
            ),
        ),
    ),
    WrongAnswer(
        id="buffer-without-the-decay",
        title="the decay of SGD kept out of the momentum buffer",
        explanation=(
            "The buffer collects bare gradients, and the decay acts on the parameter alone. That is a decoupled decay, "
            "a fine method, but the L2 form asked for here is part of the gradient, so the buffer collects it too. "
            "Without momentum the two are equal."
        ),
        caught_by=SGD,
        swap=(
            ("    grad = grad + weight_decay * param\n", "    grad = grad * 1.0\n"),
            ("return param - lr * direction,", "return (1 - lr * weight_decay) * param - lr * direction,"),
        ),
    ),
    WrongAnswer(
        id="rate-in-the-buffer",
        title="the learning rate applied twice",
        explanation=(
            "The rate is multiplied into the buffer and then again into the step. Either place alone gives the same "
            "points while the rate is constant; the buffer asked for holds gradients."
        ),
        caught_by=SGD,
        swap=(
            (
                'buffer = momentum * state.get("buffer", 0.0) + grad\n',
                'buffer = momentum * state.get("buffer", 0.0) + lr * grad\n',
            ),
        ),
    ),
    WrongAnswer(
        id="dampening",
        title="from the second step on, the gradient enters the buffer with a factor 1 - momentum",
        explanation=(
            "The first buffer is the gradient and the later ones are averages; PyTorch calls that dampening and leaves "
            "it out by default. The buffer asked for is a sum: under a constant gradient it grows."
        ),
        caught_by=SGD,
        swap=(
            (
                'buffer = momentum * state.get("buffer", 0.0) + grad\n',
                'buffer = momentum * state["buffer"] + (1 - momentum) * grad if "buffer" in state else grad\n',
            ),
        ),
    ),
    # -------------------------------------------------------------------------------------------------- AdamW
    WrongAnswer(
        id="no-bias-correction",
        title="Adam without bias correction",
        explanation=(
            "The averages start at 0 and are much too small at first. Their errors do not cancel: with the default "
            "factors the first step is about three times too long. By what must each average be divided so that one "
            "gradient alone has the average it should?"
        ),
        caught_by=ADAMW,
        swap=(
            ("corrected_mean = mean / (1 - beta1**step)", "corrected_mean = mean"),
            ("corrected_square = square / (1 - beta2**step)", "corrected_square = square"),
        ),
    ),
    WrongAnswer(
        id="square-not-corrected",
        title="only one of the two averages corrected",
        explanation=(
            "The average of the gradient is corrected, the one of the square is not, and it is the one that needs it "
            "most: its factor is nearest to 1. The first steps come out far too long."
        ),
        caught_by=ADAMW,
        swap=(("corrected_square = square / (1 - beta2**step)", "corrected_square = square"),),
    ),
    WrongAnswer(
        id="epsilon-under-the-root",
        title="eps added under the square root",
        explanation=(
            "eps is added to the average of the squares before the root is taken, so it acts like the root of eps: "
            "1e-8 becomes 1e-4, and small gradients are damped. With gradients of size 1 nobody notices."
        ),
        caught_by=ADAMW,
        swap=(("(np.sqrt(corrected_square) + eps)", "np.sqrt(corrected_square + eps)"),),
    ),
    WrongAnswer(
        id="epsilon-before-the-correction",
        title="eps added before the bias correction",
        explanation=(
            "The corrections are put into the step size, and eps is added to the root of the average that is not "
            "corrected yet. Keras and the short form in the paper do that; in the form asked for eps joins the "
            "corrected root, so that in the first steps yours acts as a much larger eps."
        ),
        caught_by=ADAMW,
        swap=(
            ("corrected_square = square / (1 - beta2**step)", "scale = np.sqrt(1 - beta2**step)"),
            (
                "lr * corrected_mean / (np.sqrt(corrected_square) + eps)",
                "lr * scale * corrected_mean / (np.sqrt(square) + eps)",
            ),
        ),
    ),
    WrongAnswer(
        id="counter-from-zero",
        title="a step counter that is one behind",
        explanation=(
            "The first step is counted as step 0. There the correction 1 - beta**step is 0, and the division gives NaN; "
            "every later correction is one step late. How many gradients has the average seen when it is corrected?"
        ),
        caught_by=ADAMW,
        swap=(
            ("mean / (1 - beta1**step)", "mean / (1 - beta1 ** (step - 1))"),
            ("square / (1 - beta2**step)", "square / (1 - beta2 ** (step - 1))"),
        ),
    ),
    WrongAnswer(
        id="counter-stays-at-one",
        title="every step corrected as if it were the first",
        explanation=(
            "The correction of the first step is applied for ever. The averages fill up, so the correction has to fade: "
            "the number of steps belongs into the state that you return."
        ),
        caught_by=ADAMW,
        swap=(('step = state.get("step", 0) + 1', "step = 1"),),
    ),
    WrongAnswer(
        id="corrected-averages-kept",
        title="the corrected averages kept in the state",
        explanation=(
            "The corrected averages go into the state, so that they are corrected again at the next step, and again. "
            "The correction is for the one update; what the state carries on is the plain average."
        ),
        caught_by=ADAMW,
        swap=(('"mean": mean, "square": square}', '"mean": corrected_mean, "square": corrected_square}'),),
    ),
    WrongAnswer(
        id="one-square-for-all",
        title="one mean square for all coordinates together",
        explanation=(
            "All coordinates are divided by one common number. Adam keeps an average of the square for each single "
            "coordinate, which is what makes its steps equally long in all of them."
        ),
        caught_by=ADAMW,
        swap=(("(1 - beta2) * grad**2", "(1 - beta2) * np.full(grad.shape, (grad**2).mean())"),),
    ),
    WrongAnswer(
        id="decay-after-the-step",
        title="the decay applied to the parameter after the Adam step",
        explanation=(
            "The Adam step is taken first, and the result is shrunk, so that the step is shrunk as well. At the usual "
            "small rates that can hardly be seen. Which value should be multiplied?"
        ),
        caught_by=ADAMW,
        swap=(
            ("decayed = (1 - lr * weight_decay) * param", "decayed = param"),
            ('    return new_param, {"step"', '    return (1 - lr * weight_decay) * new_param, {"step"'),
        ),
    ),
    WrongAnswer(
        id="decay-without-the-rate",
        title="a decay that is not multiplied by the learning rate",
        explanation=(
            "The parameter shrinks by weight_decay at each step, whatever the rate is. Then a schedule that brings the "
            "rate down to 0 does not stop the decay, and the weights go on shrinking."
        ),
        caught_by=ADAMW,
        swap=(("decayed = (1 - lr * weight_decay) * param", "decayed = (1 - weight_decay) * param"),),
    ),
    WrongAnswer(
        id="zero-gradient-skipped",
        title="coordinates with a gradient of 0 left alone",
        explanation=(
            "A coordinate whose gradient is 0 is not touched. The decay does not depend on the gradient, and the "
            "averages still remember earlier ones: a gradient of 0 is a gradient."
        ),
        caught_by=SCALE,
        swap=(('    return new_param, {"step"', '    return np.where(grad == 0, param, new_param), {"step"'),),
    ),
    WrongAnswer(
        id="gradient-normalised-first",
        title="SGD on gradients of length 1",
        explanation=(
            "The gradient is divided by its length, so that only its direction counts. Gradient descent takes long "
            "steps where the slope is steep; a hundredfold gradient is a hundredfold step."
        ),
        caught_by=SCALE,
        swap=(
            (
                "    grad = grad + weight_decay * param\n",
                "    grad = grad / max(np.linalg.norm(grad), 1e-12) + weight_decay * param\n",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------- arguments and results
    WrongAnswer(
        id="state-changed-in-place",
        title="the state that was passed in changed",
        explanation=(
            "The new buffer or averages are written into the dictionary that the caller passed. Whoever kept it to "
            "repeat a step, or to go back to it after a step with NaN, finds another state."
        ),
        caught_by=PURE,
        swap=(
            (
                '    return new_param, {"step": step, "mean": mean, "square": square}',
                "    state.update(step=step, mean=mean, square=square)\n    return new_param, state",
            ),
            (
                'return param - lr * direction, {"buffer": buffer}',
                'state["buffer"] = buffer\n    return param - lr * direction, state',
            ),
        ),
    ),
    WrongAnswer(
        id="averages-changed-in-place",
        title="the dictionary copied, the arrays in it changed",
        explanation=(
            "A new dictionary is returned, but `*=` and `+=` work in the arrays of the old one, so the state that was "
            "passed in changes all the same. A copy of a dictionary still holds the same arrays."
        ),
        caught_by=PURE,
        swap=(
            (
                'mean = beta1 * state.get("mean", 0.0) + (1 - beta1) * grad',
                'mean = dict(state).get("mean", np.zeros_like(param))\n    mean *= beta1\n    mean += (1 - beta1) * grad',
            ),
        ),
    ),
    WrongAnswer(
        id="parameter-changed-in-place",
        title="the parameter array updated in place",
        explanation=(
            "`param -= ...` writes into the caller's array. The function is to return a new one: a run that keeps all "
            "points would otherwise keep the last one many times."
        ),
        caught_by=PURE,
        swap=(("return param - lr * direction,", "param -= lr * direction\n    return param,"),),
    ),
    WrongAnswer(
        id="buffer-is-the-gradient",
        title="the first buffer is the caller's gradient array itself",
        explanation=(
            "After the first step the buffer in the state is the very array that was passed as the gradient. Training "
            "loops reuse that array, and with it the buffer changes behind your back. What makes an array of its own?"
        ),
        caught_by=PURE,
        swap=(
            (
                "    grad = grad + weight_decay * param\n",
                "    grad = grad + weight_decay * param if weight_decay else grad\n",
            ),
            (
                'buffer = momentum * state.get("buffer", 0.0) + grad\n',
                'buffer = momentum * state["buffer"] + grad if "buffer" in state else grad\n',
            ),
        ),
    ),
    WrongAnswer(
        id="counter-outside-the-state",
        title="a step counter that does not live in the state",
        explanation=(
            "The number of steps is kept on the function or in a global variable. A step that is repeated, or a second "
            "parameter, then counts as a step further. What a step depends on has to come in with its arguments."
        ),
        caught_by=PURE,
        swap=(
            (
                '    step = state.get("step", 0) + 1\n',
                '    adamw_step.count = step = getattr(adamw_step, "count", 0) + 1 if state else 1\n',
            ),
        ),
    ),
    WrongAnswer(
        id="float32-kept",
        title="float32 arrays computed in float32",
        explanation=(
            "The arrays are used in the precision in which they come, so that float32 arrays give a float32 result, or "
            "one that was rounded on the way. The task promises float64: convert before the first operation."
        ),
        caught_by=PURE,
        code="""
_sgd_step, _adamw_step = sgd_step, adamw_step


def sgd_step(param, grad, state, **options):
    new_param, new_state = _sgd_step(param, grad, state, **options)
    return new_param.astype(param.dtype), new_state


def adamw_step(param, grad, state, **options):
    new_param, new_state = _adamw_step(param, grad, state, **options)
    return new_param.astype(param.dtype), new_state
""",
    ),
    # ------------------------------------------------------------------------------------------------ the run
    WrongAnswer(
        id="state-forgotten",
        title="every step started with an empty state",
        explanation=(
            "The state that a step returns is dropped, and the next one gets {} again. Momentum then never builds up, "
            "and Adam makes its first step over and over."
        ),
        caught_by=RUN,
        swap=(("    for _ in range(steps):\n", "    for _ in range(steps):\n        state = {}\n"),),
    ),
    WrongAnswer(
        id="gradient-at-the-start-only",
        title="the gradient of the start used for all steps",
        explanation=(
            "The gradient is asked for at theta0 at every step. The next step has to go downhill from where you are "
            "now."
        ),
        caught_by=RUN,
        swap=(("np.asarray(grad_fn(theta), dtype=np.float64)", "np.asarray(grad_fn(points[0]), dtype=np.float64)"),),
    ),
    WrongAnswer(
        id="rows-of-one-array",
        title="all rows of the run equal to the last point",
        explanation=(
            "One array is changed in place and put into the list again and again; the list then holds one array many "
            "times. Each row needs an array of its own."
        ),
        caught_by=RUN,
        swap=(("        points.append(theta)\n", "        points[0][:] = theta\n        points.append(points[0])\n"),),
    ),
    WrongAnswer(
        id="adamw-run-as-adam-l2",
        title="a run with adamw that adds the decay to the gradient",
        explanation=(
            'In the run, "adamw" and "adam_l2" visit the same points although the decay is not 0. The two differ '
            "in exactly one thing: what goes into the averages?"
        ),
        caught_by=RUN,
        swap=(
            (
                "theta, state = adamw_step(theta, grad, state, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)",
                "grad = grad + weight_decay * theta\n                "
                "theta, state = adamw_step(theta, grad, state, lr=lr, betas=betas, eps=eps, weight_decay=0)",
            ),
        ),
    ),
    WrongAnswer(
        id="decay-of-adam-ignored",
        title='a run with "adam" that ignores the decay',
        explanation=(
            'The decay has an effect for "adam_l2" only. As in PyTorch, "adam" with a weight decay adds it to the '
            "gradient: the two names stand for the same method."
        ),
        caught_by=RUN,
        swap=(
            (
                "                grad = grad + weight_decay * theta\n",
                '                grad = grad + (kind == "adam_l2") * weight_decay * theta\n',
            ),
        ),
    ),
    WrongAnswer(
        id="decay-of-sgd-ignored",
        title='a run with "sgd" that ignores the decay',
        explanation=(
            '`weight_decay` has an effect on the other kinds, but "sgd" visits the same points with and without it. '
            "Which arguments does the step get from the run?"
        ),
        caught_by=RUN,
        swap=(
            (
                "theta, state = sgd_step(theta, grad, state, lr=lr, weight_decay=weight_decay)",
                "theta, state = sgd_step(theta, grad, state, lr=lr)",
            ),
        ),
    ),
    WrongAnswer(
        id="nesterov-gradient-ahead",
        title="nesterov with the gradient taken at a point ahead",
        explanation=(
            "You ask for the gradient where the old buffer would lead, as the method was first written. The form asked "
            "for takes it at the current point, once a step, and looks ahead by way of the direction; the points "
            "visited are not the same."
        ),
        caught_by=RUN,
        swap=(
            (
                "        grad = np.asarray(grad_fn(theta), dtype=np.float64)\n",
                "        ahead = lr * momentum * state.get('buffer', 0.0) if kind == 'nesterov' else 0.0\n"
                "        grad = np.asarray(grad_fn(theta - ahead), dtype=np.float64)\n",
            ),
            ('look_ahead = kind == "nesterov"', 'look_ahead = kind == "nesterov" and momentum == 0'),
        ),
    ),
    WrongAnswer(
        id="gradient-array-changed",
        title="the penalty written into the array that grad_fn returned",
        explanation=(
            "`grad += ...` works in the array of the caller, who may return the same one at every call, or the very "
            "point that you hold: then the penalty piles up, or the point moves. (With integers it is an error.) "
            "What makes a new array?"
        ),
        caught_by=RUN,
        swap=(
            ("grad = np.asarray(grad_fn(theta), dtype=np.float64)", "grad = grad_fn(theta)"),
            ("                grad = grad + weight_decay * theta\n", "                grad += weight_decay * theta\n"),
        ),
    ),
    WrongAnswer(
        id="momentum-in-plain-sgd",
        title='a run with "sgd" that uses the momentum',
        explanation=(
            'The default of `momentum` is 0.9, and "sgd" is to ignore it. Your "sgd" visits the points of "momentum".'
        ),
        caught_by=RUN,
        swap=(
            (
                "theta, state = sgd_step(theta, grad, state, lr=lr, weight_decay=weight_decay)",
                "theta, state = sgd_step(theta, grad, state, lr=lr, momentum=momentum, weight_decay=weight_decay)",
            ),
        ),
    ),
    WrongAnswer(
        id="start-left-out",
        title="a run without its starting point",
        explanation="Row 0 is theta0, so `steps` steps give `steps + 1` rows; the start is missing from yours.",
        caught_by=RUN,
        swap=(("return np.stack(points)  #", "return np.stack(points[1:] or points)  #"),),
    ),
    WrongAnswer(
        id="integer-points",
        title="points cut to integers when theta0 holds integers",
        explanation=(
            "The array of the points took its type from theta0. If that holds integers, every point loses its "
            "fractional part on the way in. Say the type when you make the array."
        ),
        caught_by=RUN,
        swap=(("return np.stack(points)  #", "return np.stack(points).astype(np.asarray(theta0).dtype)  #"),),
    ),
    WrongAnswer(
        id="adam-misjudged",
        title="the claims about Adam's first step and about zero gradients the wrong way round",
        explanation=(
            "Put numbers into one AdamW step by hand: a gradient of 3 and one of 300, then a gradient of 0 with a "
            "weight of 1."
        ),
        caught_by=CLAIMS,
        swap=(
            ("first_adam_step=True", "first_adam_step=False"),
            ("zero_gradient_stays=False", "zero_gradient_stays=True"),
        ),
    ),
    # ---------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="shapes-broadcast",
        title="a gradient of another shape that broadcasts",
        explanation=(
            "A single number, or a row against a matrix, is spread over the parameter without a word. A gradient of "
            "another shape is a mistake of the caller, and nobody will find it later."
        ),
        caught_by=BAD_INPUT,
        code="""
_sgd_step, _adamw_step, _run_optimizer = sgd_step, adamw_step, run_optimizer


def sgd_step(param, grad, state, **options):
    return _sgd_step(*np.broadcast_arrays(param, grad), state, **options)


def adamw_step(param, grad, state, **options):
    return _adamw_step(*np.broadcast_arrays(param, grad), state, **options)


def run_optimizer(kind, grad_fn, theta0, steps, lr, **options):
    return _run_optimizer(kind, lambda theta: theta * 0 + grad_fn(theta), theta0, steps, lr, **options)
""",
    ),
    WrongAnswer(
        id="nan-accepted",
        title="NaN accepted as a setting",
        explanation=(
            "`lr < 0` is False for NaN, as every comparison with it is. Asked the other way round, whether the number "
            "is in its range, NaN fails too."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if not (lr >= 0 and weight_decay >= 0 and 0 <= momentum < 1):  # written so that NaN is refused too",
                "if lr < 0 or weight_decay < 0 or momentum < 0 or momentum >= 1:",
            ),
            (
                "if not (lr >= 0 and eps >= 0 and weight_decay >= 0 and 0 <= beta1 < 1 and 0 <= beta2 < 1):",
                "if lr < 0 or eps < 0 or weight_decay < 0 or min(betas) < 0 or max(betas) >= 1:",
            ),
        ),
    ),
    WrongAnswer(
        id="nesterov-without-momentum",
        title="nesterov accepted without momentum",
        explanation=(
            "With a momentum of 0 there is nothing to look ahead with, and the call silently becomes plain gradient "
            "descent. The task asks for ValueError, as PyTorch does it."
        ),
        caught_by=BAD_INPUT,
        swap=(("    if nesterov and momentum == 0:\n", "    if nesterov and momentum < 0:\n"),),
    ),
    WrongAnswer(
        id="unknown-kind-is-adam",
        title="an unknown kind run as Adam",
        explanation=(
            "The last branch takes everything that has no branch of its own, so a typing mistake in `kind` trains with "
            "another method than the one named, without a word."
        ),
        caught_by=BAD_INPUT,
        swap=(("    if kind not in KINDS:\n", "    if not kind:\n"),),
    ),
    WrongAnswer(
        id="betas-unchecked",
        title="a factor of 1 or more accepted for Adam's averages",
        explanation=(
            "With a factor of 1 the average never moves from 0 and its correction divides by 0; beyond 1 it grows "
            "without bound. Both factors belong in [0, 1)."
        ),
        caught_by=BAD_INPUT,
        swap=((" and 0 <= beta1 < 1 and 0 <= beta2 < 1):", "):"),),
    ),
    WrongAnswer(
        id="start-without-axes",
        title="a single number accepted as the start",
        explanation=(
            "A start without axes is turned into an array of one number and the run goes on. The task asks for "
            "`(d,)` and refuses everything else; look at the number of axes before you add one."
        ),
        caught_by=BAD_INPUT,
        swap=(("theta = np.array(theta0, dtype=np.float64)", "theta = np.array(theta0, dtype=np.float64, ndmin=1)"),),
    ),
]

alternatives = [
    Alternative(
        id="sums-and-weights",
        title="unnormalised sums with the sum of their weights; the run driven by a table of functions",
        code="""
def sgd_step(param, grad, state, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    for number, below in ((lr, np.inf), (momentum, 1), (weight_decay, np.inf)):
        if not 0 <= number < below:
            raise ValueError(number)
    if np.shape(param) != np.shape(grad) or (nesterov and not momentum):
        raise ValueError("shape or nesterov")
    full = np.array(grad, dtype=float) + np.multiply(weight_decay, param, dtype=float)
    if momentum == 0:
        return np.array(param, dtype=float) - lr * full, {}
    velocity = full.copy() if not state else np.add(full, momentum * state["velocity"])
    step = full + momentum * velocity if nesterov else velocity
    return np.array(param, dtype=float) - lr * step, dict(velocity=velocity)


def adamw_step(param, grad, state, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    if np.shape(param) != np.shape(grad):
        raise ValueError("shape")
    if any(not 0 <= number < np.inf for number in (lr, eps, weight_decay)) or any(not 0 <= b < 1 for b in betas):
        raise ValueError("range")
    param, grad = np.array(param, dtype=float), np.array(grad, dtype=float)
    sums = [power_sum * b + grad**power for power, b, power_sum in zip((1, 2), betas, state.get("sums", (0.0, 0.0)))]
    weights = [b * w + 1.0 for b, w in zip(betas, state.get("weights", (0.0, 0.0)))]
    first, second = (s / w for s, w in zip(sums, weights))
    return param - lr * (first / (second**0.5 + eps) + weight_decay * param), {"sums": sums, "weights": weights}


def run_optimizer(kind, grad_fn, theta0, steps, lr, *, momentum=0.9, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    adam = dict(lr=lr, betas=betas, eps=eps)
    table = {
        "sgd": (sgd_step, dict(lr=lr, weight_decay=weight_decay), 0),
        "momentum": (sgd_step, dict(lr=lr, weight_decay=weight_decay, momentum=momentum), 0),
        "nesterov": (sgd_step, dict(lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=True), 0),
        "adam": (adamw_step, dict(adam, weight_decay=0.0), weight_decay),
        "adam_l2": (adamw_step, dict(adam, weight_decay=0.0), weight_decay),
        "adamw": (adamw_step, dict(adam, weight_decay=weight_decay), 0),
    }
    if kind not in table or np.ndim(theta0) != 1 or steps < 0 or not weight_decay >= 0:
        raise ValueError("run")
    step, options, penalty = table[kind]
    path = np.empty((steps + 1, len(theta0)), dtype=float)
    path[0] = theta0
    state = {}
    for t in range(steps):
        grad = grad_fn(path[t].copy())
        if np.shape(grad) != path[t].shape:
            raise ValueError("gradient")
        path[t + 1], state = step(path[t], grad + penalty * path[t], state, **options)
    return path
""",
    ),
    Alternative(
        id="value-by-value",
        title="loops over single numbers, the whole history of gradients as the state",
        code="""
import math


def _flat(array):
    return [float(value) for value in np.ravel(array)]


def _check(param, grad, numbers, factors):
    if np.asarray(param).shape != np.asarray(grad).shape:
        raise ValueError("shape")
    if not all(number >= 0 for number in numbers) or not all(factor >= 0 and factor < 1 for factor in factors):
        raise ValueError("range")


def sgd_step(param, grad, state, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    _check(param, grad, [lr, weight_decay], [momentum])
    if nesterov and momentum == 0:
        raise ValueError("nesterov")
    values, new = _flat(param), []
    history = [*state.get("history", []), [g + weight_decay * p for g, p in zip(_flat(grad), values)]]
    for i, value in enumerate(values):
        buffer = 0.0
        for past in history:
            buffer = momentum * buffer + past[i]
        new.append(value - lr * (history[-1][i] + momentum * buffer if nesterov else buffer))
    return np.array(new).reshape(np.shape(param)), {"history": history}


def adamw_step(param, grad, state, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    _check(param, grad, [lr, eps, weight_decay], betas)
    history, new = [*state.get("history", []), _flat(grad)], []
    for i, value in enumerate(_flat(param)):
        m = v = 0.0
        for past in history:
            m, v = betas[0] * m + (1 - betas[0]) * past[i], betas[1] * v + (1 - betas[1]) * past[i] ** 2
        m, v = m / (1 - betas[0] ** len(history)), v / (1 - betas[1] ** len(history))
        new.append(value - lr * weight_decay * value - lr * m / (math.sqrt(v) + eps))
    return np.array(new).reshape(np.shape(param)), {"history": history}
""",
    ),
    Alternative(
        id="run-on-its-own",
        title="a run that calls neither step function",
        code="""
def run_optimizer(kind, grad_fn, theta0, steps, lr, *, momentum=0.9, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    if kind not in ("sgd", "momentum", "nesterov", "adam", "adam_l2", "adamw"):
        raise ValueError(kind)
    mu = 0.0 if kind == "sgd" else momentum
    b1, b2 = betas
    if kind == "nesterov" and mu == 0:
        raise ValueError("nesterov")
    for number in (lr, eps, weight_decay):
        if number != number or number < 0:
            raise ValueError(number)
    for factor in (mu, b1, b2):
        if factor != factor or factor < 0 or factor >= 1:
            raise ValueError(factor)
    theta = np.asarray(theta0, dtype=np.float64).copy()
    if theta.ndim != 1 or steps < 0:
        raise ValueError("start")
    m, v, b = np.zeros((3, theta.size))
    rows = [theta.copy()]
    for t in range(1, steps + 1):
        g = np.array(grad_fn(theta.copy()), dtype=np.float64)
        if g.shape != theta.shape:
            raise ValueError("gradient")
        if kind != "adamw":
            g += weight_decay * theta
        if kind.startswith("adam"):
            if kind == "adamw":
                theta *= 1 - lr * weight_decay
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            theta -= lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps * np.sqrt(1 - b2**t))
        else:
            b = mu * b + g
            theta -= lr * (g + mu * b if kind == "nesterov" else b)
        rows.append(theta.copy())
    return np.array(rows)
""",
    ),
]
