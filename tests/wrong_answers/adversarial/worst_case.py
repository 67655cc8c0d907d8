"""Wrong answers and differently written correct ones for adversarial/worst_case.

The published answer has no code. It speaks of adversarial noise, which is `random-noise` here, and of better
generalisation and less overfitting, which is `claims-as-published`.
"""

from grader.catalogue import Alternative, WrongAnswer

CUBE = "test_largest_entry_is_bounded"
ROUND = "test_euclidean_length_is_bounded"
ONE = "test_sum_of_sizes_is_bounded"
MARGIN = "test_the_smallest_margin_in_the_ball"
TYPES = "test_types_zeros_and_arguments"
REFUSED = "test_bad_input_is_refused"

STEP = "return -y * eps * direction  # (features,)"
SIGNS = "direction = np.sign(w)\n"
LENGTH = "direction = w / length if length > 0 else np.zeros_like(w)"
LARGEST = "    strongest = np.argmax(np.abs(w))\n        direction[strongest] = np.sign(w[strongest])\n"
RESULT = "return float(y * (w @ (x + delta) + b))"

wrong_answers = [
    WrongAnswer(
        id="random-noise",
        title="Gaussian noise of the right length",
        explanation=(
            "The noise does not know the model: it raises the margin as often as it lowers it, and in many dimensions "
            "it is nearly at right angles to the weights. The opponent may choose the direction, and knows the "
            "weights. Which direction lowers the margin most?"
        ),
        caught_by=CUBE,
        swap=(
            (
                STEP,
                "noise = np.random.default_rng(0).normal(size=w.shape)\n"
                "    length = {'linf': np.abs(noise).max(), 'l2': np.linalg.norm(noise), 'l1': np.abs(noise).sum()}[norm]\n"
                "    return eps * noise / length * (w != 0)",
            ),
        ),
    ),
    WrongAnswer(
        id="claims-as-published",
        title="noise counts as adversarial, and robustness as a free gain",
        explanation=(
            "That adversarial training makes a model better at everything is often published. Ask what noise of mean "
            "zero does to a linear function on average, and what is known about accuracy on clean data and about the "
            "late epochs of robust training."
        ),
        caught_by="test_claims",
        swap=(
            ("    noise_on_average=False,", "    noise_on_average=True,"),
            ("    raises_both=False,", "    raises_both=True,"),
            ("    fresh_examples=False,", "    fresh_examples=True,"),
        ),
    ),
    WrongAnswer(
        id="claims-about-attacks-wrong",
        title="attack, norms and opponents are mixed up",
        explanation=(
            "Work the small cases out: two features that may both move by ε, the gradient of a linear model at two "
            "different inputs, the number of backward passes in one attack. And ask from which network the gradient "
            "comes."
        ),
        caught_by="test_claims",
        swap=(
            ("    one_step_is_exact=True,", "    one_step_is_exact=False,"),
            ("    largest_weight=False,", "    largest_weight=True,"),
            ("    second_network=False,", "    second_network=True,"),
        ),
    ),
    WrongAnswer(
        id="random-signs",
        title="every feature moves by eps, with a random sign",
        explanation=(
            "The size is right and the corner is not: half of the moves help the model, and on average nothing "
            "happens. For each feature alone, one of the two signs lowers the margin. What does it depend on?"
        ),
        caught_by=CUBE,
        swap=((SIGNS, "direction = np.random.default_rng(0).choice([-1.0, 1.0], size=w.shape) * (w != 0)\n"),),
    ),
    WrongAnswer(
        id="sign-flipped",
        title="the perturbation helps the model",
        explanation=(
            "The margin grows: the step goes the way in which the model becomes surer. In training one descends on the "
            "loss; an opponent wants the opposite. Check the sign with one feature and one label."
        ),
        caught_by=CUBE,
        swap=((STEP, "return y * eps * direction"),),
    ),
    WrongAnswer(
        id="label-ignored",
        title="the label plays no part in the perturbation",
        explanation=(
            "The score is pushed in one direction for both classes. That hurts samples of one class and helps those of "
            "the other. Write the margin down for both labels and see what changes."
        ),
        caught_by=CUBE,
        swap=((STEP, "return -eps * direction"),),
    ),
    WrongAnswer(
        id="weights-in-place-of-signs",
        title="with linf, each feature moves in proportion to its weight",
        explanation=(
            "Multiplying by the weight makes the step of a large weight too long, so that it leaves the ball, and that "
            "of a small one too short. In this ball no feature pays for what another one does, so how far should each "
            "of them go?"
        ),
        caught_by=CUBE,
        swap=((SIGNS, "direction = w\n"),),
    ),
    WrongAnswer(
        id="linf-step-along-the-weights",
        title="with linf, a step of Euclidean length eps along the weights",
        explanation=(
            "This is the worst case of another ball. It stays inside this one, but deep inside: most features move by "
            "far less than they may, and the margin falls too little. Which entries of delta could still grow?"
        ),
        caught_by=CUBE,
        swap=((SIGNS, "direction = w / max(np.linalg.norm(w), 1e-300)\n"),),
    ),
    WrongAnswer(
        id="linf-step-shared-out",
        title="with linf, the features share one eps",
        explanation=(
            "The length of delta in this norm is its largest entry, so moving one feature leaves just as much for all "
            "the others. Nothing has to be divided by their number."
        ),
        caught_by=CUBE,
        swap=((SIGNS, "direction = np.sign(w) / w.size\n"),),
    ),
    WrongAnswer(
        id="l2-divided-by-the-square",
        title="with l2, the weights are divided by the square of their length",
        explanation=(
            "The direction is right, the length is not: dividing by the sum of the squares leaves a vector of length "
            "one over the length of w. Compute the length of your delta and compare it with eps."
        ),
        caught_by=ROUND,
        swap=((LENGTH, "direction = w / length**2 if length > 0 else np.zeros_like(w)"),),
    ),
    WrongAnswer(
        id="epsilon-in-the-denominator",
        title="with l2, a small constant is added to the length before dividing",
        explanation=(
            "The constant is meant to save the case of all zeros. But for weights, or gradients, that are as small as "
            "the constant it makes the step too short, and the opponent looks harmless. Treat zero as a case of its "
            "own."
        ),
        caught_by=ROUND,
        swap=((LENGTH, "direction = w / (length + 1e-12)"),),
    ),
    WrongAnswer(
        id="l2-unnormalised",
        title="with l2, eps times the weights",
        explanation=(
            "The step grows with the weights, so for a model with large weights it leaves the ball, and for one with "
            "small weights it hardly moves. The length of delta is given; only the direction comes from w."
        ),
        caught_by=ROUND,
        swap=((LENGTH, "direction = w"),),
    ),
    WrongAnswer(
        id="nan-for-zero-weights",
        title="weights of zero give NaN",
        explanation=(
            "Zero divided by zero is not a number, and one such row spoils a whole batch. Weights of zero have no "
            "direction: nothing that the opponent does changes the margin. What should delta be then?"
        ),
        caught_by=ROUND,
        swap=((LENGTH, "direction = w / length"),),
    ),
    WrongAnswer(
        id="l1-spread-over-all",
        title="with l1, eps is spread evenly over all features",
        explanation=(
            "The length is right, but part of it is spent on features that hardly count. Take a little from one "
            "feature and give it to another: when does the margin fall further, and where does that end?"
        ),
        caught_by=ONE,
        swap=((LARGEST, "    direction = np.sign(w) / w.size\n"),),
    ),
    WrongAnswer(
        id="l1-largest-signed-weight",
        title="with l1, the largest weight is looked for with its sign",
        explanation=(
            "A weight of -4 counts for more than one of 3: the feature can be moved in either direction. With the sign "
            "left on, the most important feature is overlooked whenever its weight is negative."
        ),
        caught_by=ONE,
        swap=(("strongest = np.argmax(np.abs(w))\n        ", "strongest = np.argmax(w)\n        "),),
    ),
    WrongAnswer(
        id="l1-shared-among-equals",
        title="with l1, equally good features share eps",
        explanation=(
            "The margin comes out the same, since it does not matter which of them moves. The task asks for one "
            "definite answer, though: see what the rules say about equally good features."
        ),
        caught_by=ONE,
        swap=(
            (
                LARGEST,
                "    equals = np.abs(w) == np.abs(w).max()\n        direction = equals * np.sign(w) / equals.sum()\n",
            ),
        ),
    ),
    WrongAnswer(
        id="l1-last-of-equals",
        title="with l1, the last of equally good features takes eps",
        explanation=(
            "The margin comes out the same, since it does not matter which of them moves. The task asks for one "
            "definite answer, though. Sorting and taking the last one, or comparing with >=, finds the wrong end."
        ),
        caught_by=ONE,
        swap=(
            (
                "strongest = np.argmax(np.abs(w))\n        ",
                "strongest = np.argsort(np.abs(w), kind='stable')[-1]\n        ",
            ),
        ),
    ),
    WrongAnswer(
        id="clean-margin",
        title="the margin without any opponent",
        explanation=(
            "The margin of the sample as it is comes back, whatever eps is. The opponent has not moved yet: the "
            "smallest margin in the ball is asked for."
        ),
        caught_by=MARGIN,
        swap=((RESULT, "return float(y * (w @ x + b))"),),
    ),
    WrongAnswer(
        id="same-norm-in-place-of-the-dual",
        title="the margin falls by eps times the same norm of the weights",
        explanation=(
            "The norm that measures delta is also used for w. That is right for l2 only. If every feature may move by "
            "eps, do their effects add up, or does only the largest one count? And if they share one eps?"
        ),
        caught_by=MARGIN,
        swap=(
            (
                RESULT,
                "size = {'linf': np.abs(w).max(), 'l2': np.linalg.norm(w), 'l1': np.abs(w).sum()}[norm]\n"
                "    return float(y * (w @ x + b) - eps * size)",
            ),
        ),
    ),
    WrongAnswer(
        id="bias-without-label",
        title="the label multiplies the weights but not the bias",
        explanation=(
            "For label 1 nothing can be seen; for label -1 the bias comes in with the wrong sign. The margin is the "
            "label times the whole score."
        ),
        caught_by=MARGIN,
        swap=((RESULT, "return float(y * (w @ (x + delta)) + b)"),),
    ),
    WrongAnswer(
        id="bias-forgotten",
        title="the margin without the bias",
        explanation=(
            "The bias does not matter for the choice of the perturbation, but it is part of the score and so of the "
            "margin that is left."
        ),
        caught_by=MARGIN,
        swap=((RESULT, "return float(y * (w @ (x + delta)))"),),
    ),
    WrongAnswer(
        id="geometric-margin",
        title="the margin is divided by the length of the weights",
        explanation=(
            "That is the distance of the sample from the decision boundary, another quantity with nearly the same "
            "name. Here the margin is the label times the score, in the units of the score."
        ),
        caught_by=MARGIN,
        swap=((RESULT, "return float(y * (w @ (x + delta) + b) / max(np.linalg.norm(w), 1e-300))"),),
    ),
    WrongAnswer(
        id="never-below-zero",
        title="the margin is cut off at zero",
        explanation=(
            "A negative margin says that the model is wrong, and by how much. Cut off at zero, a sample at the "
            "boundary and one that is hopelessly lost look alike."
        ),
        caught_by=MARGIN,
        swap=((RESULT, "return max(0.0, float(y * (w @ (x + delta) + b)))"),),
    ),
    WrongAnswer(
        id="margin-raised",
        title="the margin with the best perturbation, not the worst",
        explanation=(
            "The margin grows with eps. Here the one who moves the sample is an opponent: the result can only be "
            "smaller than the margin of the clean sample. Look at the sign of the step."
        ),
        caught_by=MARGIN,
        swap=((RESULT, "return float(y * (w @ (x - delta) + b))"),),
    ),
    WrongAnswer(
        id="integer-delta",
        title="for whole-numbered weights delta is cut off to whole numbers",
        explanation=(
            "An array made like an integer array holds integers: 0.3 written into it becomes 0, without a word. Decide "
            "on the type of the numbers before you fill the array."
        ),
        caught_by=TYPES,
        swap=(
            (
                "    w = np.asarray(w, dtype=np.float64)  # (features,)\n",
                "    kind = np.asarray(w).dtype\n    w = np.asarray(w, dtype=np.float64)\n",
            ),
            (
                STEP,
                "delta = -y * eps * direction\n    return delta.astype(kind) if norm == 'l1' and kind.kind in 'iu' else delta",
            ),
        ),
    ),
    WrongAnswer(
        id="half-precision",
        title="the computation stays in the type of the weights",
        explanation=(
            "Squares of a few hundred are too large for float16, and products overflow in small integers, so lengths "
            "and scores become infinite or wrong. Turn everything into float64 first."
        ),
        caught_by=TYPES,
        code="""
def worst_case_perturbation(w, y, eps, norm):
    w = np.asarray(w)
    if w.ndim != 1 or w.size == 0 or y not in (-1, 1) or not 0 <= eps < math.inf:
        raise ValueError("out of range")
    if norm == "linf":
        direction = np.sign(w)
    elif norm == "l2":
        length = np.sqrt(np.sum(w * w, dtype=w.dtype))
        direction = w / length if length > 0 else np.zeros(w.shape)
    elif norm == "l1":
        direction = np.where(np.arange(w.size) == np.argmax(np.abs(w)), np.sign(w), 0)
    else:
        raise ValueError(norm)
    return -y * eps * direction
""",
    ),
    WrongAnswer(
        id="changed-in-place",
        title="the caller's weights are divided by their length in place",
        explanation=(
            "`w /= length` changes the array that the caller still uses: after one attack the model has other weights. "
            "Make a new array."
        ),
        caught_by=TYPES,
        swap=(
            (
                LENGTH,
                "if length > 0:\n            w /= length\n        direction = w.copy()",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-of-0-and-1",
        title="a label of 0 is accepted",
        explanation=(
            "With the label 0 the perturbation is zero and so is the margin, and nobody notices that the labels were "
            "coded differently. The formula needs the two labels that the task names."
        ),
        caught_by=REFUSED,
        swap=(("if y not in (-1, 1):", "if y not in (-1, 0, 1):"),),
    ),
    WrongAnswer(
        id="negative-radius",
        title="a negative eps is accepted",
        explanation=(
            "A ball has no negative radius. The sign of the step turns around with it, and the opponent becomes a "
            "helper without any message."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= eps < math.inf:", "if not abs(eps) < math.inf:"),),
    ),
    WrongAnswer(
        id="nan-radius",
        title="an eps of NaN is accepted",
        explanation=(
            "Every comparison with NaN is false, so `eps < 0` does not notice it. Ask whether eps is in its range, not "
            "whether it is outside."
        ),
        caught_by=REFUSED,
        swap=(("if not 0 <= eps < math.inf:", "if eps < 0 or eps == math.inf:"),),
    ),
    WrongAnswer(
        id="unknown-norm-is-l1",
        title="every unknown norm is treated like one of the three",
        explanation=(
            "A typing error in the name of the norm gives the worst case of another ball, without a message. The last "
            "`else` is the place for what you did not expect."
        ),
        caught_by=REFUSED,
        swap=(
            ('elif norm == "l1":  #', "else:  #"),
            ("    else:\n        raise ValueError(f\"norm must be 'linf', 'l2' or 'l1', not {norm!r}\")\n", ""),
        ),
    ),
    WrongAnswer(
        id="one-number-for-all-features",
        title="an x of length 1 serves for all features",
        explanation=(
            "NumPy stretches an array of length 1 to any length, so a sample of the wrong width gives a margin instead "
            "of an error. Compare the two shapes yourself."
        ),
        caught_by=REFUSED,
        swap=(("if x.shape != w.shape:", "if x.shape not in (w.shape, (1,)):"),),
    ),
]

alternatives = [
    Alternative(
        id="plain-python",
        title="loops over lists, and the margin from the dual norm",
        code="""
def worst_case_perturbation(w, y, eps, norm):
    if np.ndim(w) != 1 or len(w) == 0 or abs(y) != 1 or not (eps >= 0 and math.isfinite(eps)):
        raise ValueError("out of range")
    values = [float(value) for value in w]
    if norm == "linf":
        delta = [-y * eps * ((value > 0) - (value < 0)) for value in values]
    elif norm == "l2":
        length = math.hypot(*values)
        delta = [-y * eps * value / length if length else 0.0 for value in values]
    elif norm == "l1":
        first = max(range(len(values)), key=lambda i: abs(values[i]))
        delta = [0.0] * len(values)
        delta[first] = -y * math.copysign(eps, values[first]) if values[first] else 0.0
    else:
        raise ValueError(norm)
    return np.array(delta, dtype=float)


def worst_case_margin(w, b, x, y, eps, norm):
    worst_case_perturbation(w, y, eps, norm)
    if np.shape(x) != np.shape(w):
        raise ValueError("shapes")
    sizes = [abs(float(value)) for value in w]
    dual = {"linf": sum(sizes), "l2": math.hypot(*sizes), "l1": max(sizes)}[norm]
    clean = y * (sum(float(a) * float(v) for a, v in zip(w, x)) + b)
    return clean - eps * dual
""",
    ),
    Alternative(
        id="table-of-directions",
        title="the three directions in a dictionary of functions, the margin as a NumPy number",
        code="""
def _first_of_the_largest(w):
    index = np.flatnonzero(np.abs(w) == np.abs(w).max())[0]
    return np.eye(w.size)[index] * np.sign(w)


DIRECTIONS = {
    "linf": np.sign,
    "l2": lambda w: np.nan_to_num(w / np.sqrt((w * w).sum())) if w.any() else w * 0,
    "l1": _first_of_the_largest,
}


def worst_case_perturbation(w, y, eps, norm):
    if norm not in DIRECTIONS or y not in {-1, 1} or not np.isfinite(eps) or eps < 0:
        raise ValueError((y, eps, norm))
    w = np.array(w, dtype="f8")
    if w.ndim != 1 or not len(w):
        raise ValueError(w.shape)
    return DIRECTIONS[norm](w) * eps * -y


def worst_case_margin(w, b, x, y, eps, norm):
    if np.shape(x) != np.shape(w):
        raise ValueError("shapes")
    delta = worst_case_perturbation(w, y, eps, norm)
    moved = np.add(x, delta)
    return (np.dot(np.array(w, float), moved) + b) * y
""",
    ),
    Alternative(
        id="gradient-of-the-dual-norm",
        title="a class for the ball; the margin from the dual norm, as an array without axes",
        code="""
class Ball:
    orders = {"linf": 1, "l2": 2, "l1": np.inf}

    def __init__(self, radius, norm):
        if not isinstance(norm, str) or norm not in self.orders:
            raise ValueError(norm)
        if not (radius >= 0) or radius == math.inf:
            raise ValueError(radius)
        self.radius, self.norm = radius, norm

    def support(self, w):
        return self.radius * np.linalg.norm(w, self.orders[self.norm])

    def furthest(self, w):
        if not np.any(w):
            return np.zeros(len(w))
        unit = w / np.abs(w).max()
        if self.norm == "l2":
            return self.radius * unit / np.linalg.norm(unit)
        keep = np.ones(len(w), bool) if self.norm == "linf" else np.arange(len(w)) == np.argmax(np.abs(unit))
        return np.where(keep, self.radius * np.sign(unit), 0.0)


def _vector(values, name):
    values = np.array(values, np.float64)
    if values.ndim != 1 or values.shape[0] < 1:
        raise ValueError(name)
    return values


def worst_case_perturbation(w, y, eps, norm):
    if not (y == 1 or y == -1):
        raise ValueError(y)
    return Ball(eps, norm).furthest(-y * _vector(w, "w"))


def worst_case_margin(w, b, x, y, eps, norm):
    if not (y == 1 or y == -1):
        raise ValueError(y)
    w, x = _vector(w, "w"), _vector(x, "x")
    if len(w) != len(x):
        raise ValueError("x")
    return np.array(y * (np.sum(w * x) + b) - Ball(eps, norm).support(w))
""",
    ),
]
