"""Wrong answers and differently written correct solutions of foundations/binary_cross_entropy."""

from grader.catalogue import Alternative, WrongAnswer

LOSS = "test_each_pair_costs_the_negative_log_probability"
CLIP = "test_probabilities_are_clipped_at_both_ends"
RISK = "test_the_risk_is_a_weighted_mean"
PRIOR = "test_two_scores_and_another_prior_become_one_logit"
GRADIENT = "test_the_gradient_is_the_mean_residual_times_the_features"
SATURATED = "test_the_gradient_is_finite_at_saturation"
CENTRAL = "test_differences_are_central"
BAD_INPUT = "test_bad_input_is_refused"

SOFTPLUS = "return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))"
DIFFERENCES = "return np.array([(f(theta + step) - f(theta - step)) / (2 * h) for step in steps])"
RESIDUAL = "return (p - z) @ X / len(X)  # (features,)"

wrong_answers = [
    # ------------------------------------------------------------------------------------- the published formulas
    WrongAnswer(
        id="formula-as-printed",
        title="the printed formula applied to the sigmoid of the logit",
        explanation=(
            "From a logit of about 37 on the sigmoid is exactly 1 in floating point, and the loss of a confident "
            "mistake becomes infinite, or NaN where 0 meets the infinite logarithm. Write log p and log(1 - p) in terms "
            "of the logit before any number is put in."
        ),
        caught_by=LOSS,
        swap=(
            (
                SOFTPLUS,
                'with np.errstate(all="ignore"):\n'
                "        p = 1 / (1 + np.exp(-logits))\n"
                "        return -targets * np.log(p) - (1 - targets) * np.log(1 - p)",
            ),
        ),
    ),
    WrongAnswer(
        id="gradient-through-the-probability",
        title="the gradient as a product of derivatives through the probability",
        explanation=(
            "At saturation ∂ℓ/∂p is infinite and ∂p/∂s is 0, so their product is NaN, although the gradient itself is "
            "as plain as can be there. Multiply the two on paper first: what is left of p (1 - p)?"
        ),
        caught_by=SATURATED,
        code="""
def bce_logistic_grad(X, z, theta):
    return chain_form_grad(X, z, theta)
""",
    ),
    # ------------------------------------------------------------------------------------- loss of each pair
    WrongAnswer(
        id="mismatches-cost-nothing",
        title="the term of the mismatches left out",
        explanation=(
            "Only -z log p is there, so a mismatch costs nothing and calling everything a match is perfect. What does "
            "a pair with target 0 contribute, and which probability belongs to it?"
        ),
        caught_by=LOSS,
        swap=((SOFTPLUS, "return targets * (np.maximum(-logits, 0) + np.log1p(np.exp(-np.abs(logits))))"),),
    ),
    WrongAnswer(
        id="hard-labels-only",
        title="targets treated as 0 or 1 only",
        explanation=(
            "Every target is taken for 0 or 1, whichever is nearer. A soft label mixes both losses: with z = 0.75 the "
            "pair counts three quarters as a match. No `if` is needed for that."
        ),
        caught_by=LOSS,
        swap=((SOFTPLUS, "targets = (targets > 0.5) * 1.0\n    " + SOFTPLUS),),
    ),
    WrongAnswer(
        id="logarithm-to-base-two",
        title="the loss in bits instead of nats",
        explanation=(
            "The losses are too large by a factor of 1 / ln 2 = 1.44: the logarithm has base 2. Frameworks use the "
            "natural logarithm; otherwise the gradient is no longer p - z."
        ),
        caught_by=LOSS,
        swap=((SOFTPLUS, f"return ({SOFTPLUS.removeprefix('return ')}) / np.log(2)"),),
    ),
    WrongAnswer(
        id="mean-of-the-losses",
        title="one mean instead of a loss for each pair",
        explanation=(
            "The losses are averaged already. Weights, masks and a look at the worst pairs all need the loss of each "
            "pair; the mean belongs into the risk."
        ),
        caught_by=LOSS,
        swap=((SOFTPLUS, f"return ({SOFTPLUS.removeprefix('return ')}).mean()"),),
    ),
    WrongAnswer(
        id="epsilon-added",
        title="eps added inside the logarithms instead of clipping",
        explanation=(
            "log(p + eps) is finite, but it changes every loss a little, and at p = 1 it is above 0, so a loss becomes "
            "negative. Limit the probability itself, from below and from above, and leave those in between alone."
        ),
        caught_by=CLIP,
        swap=(
            (
                "return -targets * np.log(clipped) - (1 - targets) * np.log1p(-clipped)",
                "return -targets * np.log(probs + eps) - (1 - targets) * np.log(1 - probs + eps)",
            ),
        ),
    ),
    WrongAnswer(
        id="clipped-at-one-end",
        title="probabilities clipped from below only",
        explanation=(
            "A probability of 0 is lifted to eps, one of 1 stays 1, and log(1 - p) is minus infinity there. The second "
            "logarithm needs a limit as well: at which end of the interval?"
        ),
        caught_by=CLIP,
        swap=(("np.clip(probs, eps, 1 - eps)", "np.maximum(probs, eps)"),),
    ),
    # ------------------------------------------------------------------------------------- risk
    WrongAnswer(
        id="pos-weight-on-both-terms",
        title="pos_weight on both terms",
        explanation=(
            "pos_weight multiplies the whole loss, so it changes the learning rate and nothing about matches against "
            "mismatches. Which of the two terms belongs to the matches?"
        ),
        caught_by=RISK,
        swap=(("+ (1 - targets) * as_mismatch", "+ pos_weight * (1 - targets) * as_mismatch"),),
    ),
    WrongAnswer(
        id="pos-weights-in-the-denominator",
        title="the sum of the positive weights in the denominator",
        explanation=(
            "You divide by the weights including pos_weight, as a class-weighted mean does. Here, as in the frameworks, "
            "pos_weight appears above the fraction bar only; below are the sample weights."
        ),
        caught_by=RISK,
        swap=(
            (
                "(weights * losses).sum() / weights.sum())",
                "(weights * losses).sum() / (weights * (pos_weight * targets + 1 - targets)).sum())",
            ),
        ),
    ),
    WrongAnswer(
        id="risk-of-clipped-probabilities",
        title="the risk computed from clipped probabilities",
        explanation=(
            "The logits go through a sigmoid and a clip, so no pair can cost more than 27.6, and beyond that the "
            "gradient is 0: the worst mistakes are the ones that teach nothing. The logits are there; use them."
        ),
        caught_by=RISK,
        swap=(
            (
                "as_match = bce_with_logits(logits, np.ones_like(logits))",
                "probs = np.exp(np.minimum(logits, 0)) / (1 + np.exp(-np.abs(logits)))\n"
                "    as_match = bce_from_probs(probs, np.ones_like(logits))",
            ),
            (
                "as_mismatch = bce_with_logits(logits, np.zeros_like(logits))",
                "as_mismatch = bce_from_probs(probs, np.zeros_like(logits))",
            ),
        ),
    ),
    WrongAnswer(
        id="divided-by-pairs",
        title="weighted losses divided by the number of pairs",
        explanation=(
            "Multiplying all sample weights by ten makes the risk ten times as large. In a weighted mean the size of "
            "the weights cancels: what stands below the fraction bar?"
        ),
        caught_by=RISK,
        swap=(("(weights * losses).sum() / weights.sum())", "(weights * losses).mean())"),),
    ),
    # ------------------------------------------------------------------------------------- margin and prior
    WrongAnswer(
        id="margin-reversed",
        title="the score of the match subtracted from that of the mismatch",
        explanation=(
            "The margin has the wrong sign, so a pair that clearly matches gets a negative logit. The second column is "
            "the match: should the margin rise or fall when that score rises?"
        ),
        caught_by=PRIOR,
        swap=(("return logits[:, 1] - logits[:, 0]", "return logits[:, 0] - logits[:, 1]"),),
    ),
    WrongAnswer(
        id="correction-reversed",
        title="the prior correction with its sign turned round",
        explanation=(
            "The correction makes rare matches more likely. A model trained on half matches is too optimistic where "
            "one pair in ten matches: which prior has to come out of the logit, and which has to go in?"
        ),
        caught_by=PRIOR,
        swap=(("- sampled_log_odds + true_log_odds", "+ sampled_log_odds - true_log_odds"),),
    ),
    WrongAnswer(
        id="ratio-of-rates",
        title="logarithms of the rates instead of log odds",
        explanation=(
            "The correction uses log(rate). A logit is a logarithm of odds, p / (1 - p), so the prior enters as log "
            "odds too. For rare matches the two nearly agree, for a share of a half they do not."
        ),
        caught_by=PRIOR,
        swap=(
            ("np.log(sampled_pos_rate / (1 - sampled_pos_rate))", "np.log(sampled_pos_rate)"),
            ("np.log(true_pos_rate / (1 - true_pos_rate))", "np.log(true_pos_rate)"),
        ),
    ),
    # ------------------------------------------------------------------------------------- gradient
    WrongAnswer(
        id="gradient-not-averaged",
        title="the gradient of the sum instead of the mean",
        explanation=(
            "The gradient grows with the number of pairs: it belongs to the sum of the losses. The risk is a mean, and "
            "so is its gradient."
        ),
        caught_by=GRADIENT,
        swap=((RESIDUAL, "return (p - z) @ X  # (features,)"),),
    ),
    WrongAnswer(
        id="gradient-with-the-wrong-sign",
        title="target minus probability",
        explanation=(
            "The gradient points downhill, so a step against it makes the loss larger. Where p is too large, should "
            "the derivative with respect to the logit be positive or negative?"
        ),
        caught_by=GRADIENT,
        swap=((RESIDUAL, "return (z - p) @ X / len(X)  # (features,)"),),
    ),
    WrongAnswer(
        id="extra-factor",
        title="an extra factor p (1 - p)",
        explanation=(
            "The derivative of the sigmoid is in there, as for a squared error. For the cross-entropy it cancels "
            "against the denominator of ∂ℓ/∂p; left in, it silences exactly the confident mistakes."
        ),
        caught_by=GRADIENT,
        swap=((RESIDUAL, "return ((p - z) * p * (1 - p)) @ X / len(X)  # (features,)"),),
    ),
    WrongAnswer(
        id="labels-of-plus-and-minus-one",
        title="targets treated as +1 and -1",
        explanation=(
            "A mismatch is taken for the label -1, so its residual is p + 1 and never gets small. The targets here are "
            "0 and 1; formulas for the other convention look different throughout."
        ),
        caught_by=GRADIENT,
        swap=((RESIDUAL, "return (p - (2 * z - 1)) @ X / len(X)  # (features,)"),),
    ),
    WrongAnswer(
        id="exponential-ratio",
        title="the sigmoid as exp(s) / (1 + exp(s))",
        explanation=(
            "exp overflows above about 709, and infinity / infinity is NaN. Use an exponential whose argument is never "
            "positive: which of the two forms of the sigmoid fits which sign of the logit?"
        ),
        caught_by=SATURATED,
        swap=(
            (
                "p = np.where(logits >= 0, 1, small) / (1 + small)",
                'with np.errstate(all="ignore"):\n        p = np.exp(logits) / (1 + np.exp(logits))',
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------- finite differences
    WrongAnswer(
        id="forward-differences",
        title="forward differences",
        explanation=(
            "The step goes to one side only, so the error is of the order of h, and a test needs a tolerance so loose "
            "that wrong gradients pass. With a step to both sides, what happens to the second derivative in the "
            "Taylor series?"
        ),
        caught_by=CENTRAL,
        swap=((DIFFERENCES, "return np.array([(f(theta + step) - f(theta)) / h for step in steps])"),),
    ),
    WrongAnswer(
        id="integer-step-lost",
        title="steps lost in an array of integers",
        explanation=(
            "theta holds integers and the step is written into a copy of it, where 2 + 0.01 becomes 2 again: the "
            "difference is 0 without an error. Which type should the copy have?"
        ),
        caught_by=CENTRAL,
        code="""
def finite_difference(f, theta, h=1e-6):
    theta = np.asarray(theta)
    if theta.ndim != 1 or not 0 < h < np.inf:
        raise ValueError("theta or h")
    gradient = np.zeros(theta.size)
    for i in range(theta.size):
        up, down = theta.copy(), theta.copy()
        up[i] = up[i] + h
        down[i] = down[i] - h
        gradient[i] = (f(up) - f(down)) / (2 * h)
    return gradient
""",
    ),
    WrongAnswer(
        id="theta-moved-along",
        title="an entry not put back before the next one is moved",
        explanation=(
            "After its turn an entry stays where the step down had left it, so all later derivatives are taken "
            "elsewhere. (If it is your caller's array that moves, the damage goes further.) Take a fresh copy for each "
            "entry, or undo the step."
        ),
        caught_by=CENTRAL,
        code="""
def finite_difference(f, theta, h=1e-6):
    at = np.array(theta, dtype=np.float64)
    if at.ndim != 1 or not 0 < h < np.inf:
        raise ValueError("theta or h")
    gradient = np.zeros(at.size)
    for i in range(at.size):
        at[i] += h
        above = f(at.copy())
        at[i] -= 2 * h
        gradient[i] = (above - f(at.copy())) / (2 * h)
    return gradient
""",
    ),
    # ------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="pairs-broadcast",
        title="logits and targets broadcast against each other",
        explanation=(
            "A column (N, 1) and a row (N,) broadcast to N times N losses, and one target serves for all logits, "
            "without an error. Compare the shapes before anything else; the helper does it."
        ),
        caught_by=BAD_INPUT,
        code="""
def bce_with_logits(logits, targets):
    logits, targets = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if not np.isfinite(logits).all() or not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError("logits or targets")
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
""",
    ),
    WrongAnswer(
        id="any-pos-weight",
        title="a pos_weight of 0, or below, accepted",
        explanation=(
            "With pos_weight = 0 matches cost nothing, with a negative one mistakes on them are rewarded. Ask for what "
            "is allowed, finite and above 0, so that NaN is refused too."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if not 0 < pos_weight < np.inf:\n"
                '        raise ValueError(f"pos_weight must be finite and above 0, not {pos_weight}")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="nothing-to-average",
        title="0/0 when no pair counts",
        explanation=(
            "Without pairs, or with weights that are all 0, the weighted mean is 0/0 and comes back as NaN. Test the "
            "sum of the weights before dividing by it."
        ),
        caught_by=BAD_INPUT,
        swap=(("(weights < np.inf)).all() or weights.sum() == 0:", "(weights < np.inf)).all():"),),
    ),
]

equivalent_mutants = {
    "GtE -> Gt in `p = np.where(logits >= 0": "at a logit of 0 the exponential is 1, so both branches are the same",
}

alternatives = [
    Alternative(
        id="logaddexp",
        title="softplus by np.logaddexp, weighted means by np.average, a loop over the entries of theta",
        code="""
def _softplus(s):
    return np.where(s > 30, s + np.exp(-np.abs(s)), np.logaddexp(0, s))


def bce_with_logits(logits, targets):
    s, z = as_pairs(logits, targets)
    return z * _softplus(-s) + (1 - z) * _softplus(s)


def bce_from_probs(probs, targets, eps=1e-12):
    p, z = as_pairs(probs, targets)
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError("probs")
    if not (eps > 0 and eps < 0.5):
        raise ValueError("eps")
    p = np.minimum(np.maximum(p, eps), 1 - eps)
    return -(z * np.log(p) + (1 - z) * np.log(1 - p))


def bce_risk(logits, targets, pos_weight=1.0, sample_weight=None):
    s, z = as_pairs(logits, targets)
    if s.ndim != 1 or s.size == 0:
        raise ValueError("shape")
    if not np.isfinite(pos_weight) or pos_weight <= 0:
        raise ValueError("pos_weight")
    w = np.ones(s.size) if sample_weight is None else np.array(sample_weight, float)
    if w.shape != s.shape or not np.isfinite(w).all() or w.min() < 0 or not w.any():
        raise ValueError("weights")
    return np.average(pos_weight * z * _softplus(-s) + (1 - z) * _softplus(s), weights=w)


def two_logit_to_margin(logits):
    logits = np.array(logits, float)
    if logits.shape != (len(logits), 2):
        raise ValueError("shape")
    return np.diff(logits, axis=1)[:, 0]


def prior_correction(logit, sampled_pos_rate, true_pos_rate):
    if not (0 < sampled_pos_rate < 1 and 0 < true_pos_rate < 1):
        raise ValueError("rates")

    def log_odds(rate):
        return np.log(rate) - np.log1p(-rate)

    return np.add(logit, log_odds(true_pos_rate) - log_odds(sampled_pos_rate), dtype=np.float64)


def bce_logistic_grad(X, z, theta):
    X, s, z = linear_logits(X, z, theta)
    p = np.exp(-np.logaddexp(0, -s))
    return np.einsum("n,nd->d", p - z, X) / len(z)


def chain_form_grad(X, z, theta):
    X, s, z = linear_logits(X, z, theta)
    with np.errstate(all="ignore"):
        p = np.exp(-np.logaddexp(0, -s))
        return np.mean(((p - z) / (p * (1 - p)) * (p * (1 - p)))[:, None] * X, axis=0)


def finite_difference(f, theta, h=1e-6):
    theta = np.array(theta, dtype=float)
    if theta.ndim != 1:
        raise ValueError("theta")
    if not np.isfinite(h) or h <= 0:
        raise ValueError("h")
    gradient = np.empty(len(theta))
    for i in range(len(theta)):
        kept = theta[i]
        theta[i] = kept + h
        above = f(theta.copy())
        theta[i] = kept - h
        below = f(theta.copy())
        theta[i] = kept
        gradient[i] = (above - below) / (2 * h)
    return gradient
""",
    ),
    Alternative(
        id="pair-by-pair",
        title="plain Python, one pair at a time, without the helpers",
        code="""
def _finite_pairs(values, targets):
    values, targets = np.array(values, dtype=float), np.array(targets, dtype=float)
    if values.shape != targets.shape:
        raise ValueError("shapes")
    for s, z in zip(values.flat, targets.flat):
        if s != s or s in (float("inf"), float("-inf")) or not 0 <= z <= 1:
            raise ValueError("values")
    return values, targets


def _pair_loss(s, z, pos_weight=1.0):
    from math import exp, log1p

    tail = log1p(exp(-abs(s)))
    return pos_weight * z * (max(-s, 0.0) + tail) + (1 - z) * (max(s, 0.0) + tail)


def bce_with_logits(logits, targets):
    s, z = _finite_pairs(logits, targets)
    return np.array([_pair_loss(a, b) for a, b in zip(s.ravel().tolist(), z.ravel().tolist())]).reshape(s.shape)


def bce_from_probs(probs, targets, eps=1e-12):
    from math import log, log1p

    p, z = _finite_pairs(probs, targets)
    if not eps > 0 or not eps < 0.5:
        raise ValueError("eps")
    losses = np.empty_like(p)
    for index in np.ndindex(p.shape):
        if not 0 <= p[index] <= 1:
            raise ValueError("probs")
        limited = min(max(float(p[index]), eps), 1 - eps)
        losses[index] = -z[index] * log(limited) - (1 - z[index]) * log1p(-limited)
    return losses


def bce_risk(logits, targets, pos_weight=1.0, sample_weight=None):
    s, z = _finite_pairs(logits, targets)
    w = [1.0] * len(s) if sample_weight is None else [float(v) for v in sample_weight]
    if s.ndim != 1 or len(w) != len(s) or not pos_weight > 0 or pos_weight == float("inf"):
        raise ValueError("arguments")
    if any(not 0 <= v < float("inf") for v in w) or not sum(w) > 0:
        raise ValueError("weights")
    return sum(v * _pair_loss(a, b, pos_weight) for v, a, b in zip(w, s.tolist(), z.tolist())) / sum(w)


def two_logit_to_margin(logits):
    if np.ndim(logits) != 2 or np.shape(logits)[1] != 2:
        raise ValueError("shape")
    return np.array([float(match) - float(mismatch) for mismatch, match in logits])


def prior_correction(logit, sampled_pos_rate, true_pos_rate):
    if min(sampled_pos_rate, true_pos_rate) <= 0 or max(sampled_pos_rate, true_pos_rate) >= 1:
        raise ValueError("rates")
    if sampled_pos_rate != sampled_pos_rate or true_pos_rate != true_pos_rate:
        raise ValueError("rates")
    odds = true_pos_rate / (1 - true_pos_rate) / (sampled_pos_rate / (1 - sampled_pos_rate))
    return np.array(logit, dtype=float) + np.log(odds)


def bce_logistic_grad(X, z, theta):
    from math import exp

    X = np.array(X, dtype=float)
    theta = np.array(theta, dtype=float)
    if X.ndim != 2 or len(X) < 1 or theta.ndim != 1 or X.shape[1] != len(theta):
        raise ValueError("shapes")
    logits, z = _finite_pairs([sum(row * theta) for row in X], z)
    total = np.zeros(len(theta))
    for row, s, target in zip(X, logits.tolist(), z.tolist()):
        p = 1 / (1 + exp(-s)) if s > 0 else exp(s) / (1 + exp(s))
        total = total + (p - target) * row
    return total / len(X)


def chain_form_grad(X, z, theta):
    return bce_logistic_grad(X, z, theta)


def finite_difference(f, theta, h=1e-6):
    if np.ndim(theta) != 1 or not 0 < h < float("inf"):
        raise ValueError("theta or h")
    start = [float(entry) for entry in theta]
    gradient = []
    for i in range(len(start)):
        up, down = list(start), list(start)
        up[i] += h
        down[i] -= h
        gradient.append((f(np.array(up)) - f(np.array(down))) / (2 * h))
    return np.array(gradient, dtype=float)
""",
    ),
    Alternative(
        id="branches-by-sign",
        title="boolean masks for the two signs of the logit, tanh for the sigmoid",
        code="""
def bce_with_logits(logits, targets):
    s, z = as_pairs(logits, targets)
    losses = np.empty(s.shape)
    up = s > 0
    losses[up] = s[up] * (1 - z[up]) + np.log1p(np.exp(-s[up]))
    losses[~up] = -s[~up] * z[~up] + np.log1p(np.exp(s[~up]))
    return losses


def bce_from_probs(probs, targets, eps=1e-12):
    p, z = as_pairs(probs, targets)
    if np.any((p < 0) | (p > 1)) or not 0 < eps < 0.5:
        raise ValueError("probs or eps")
    p = np.where(p < eps, eps, np.where(p > 1 - eps, 1 - eps, p))
    return np.negative(z * np.log(p) + (1 - z) * np.log1p(-p))


def bce_risk(logits, targets, pos_weight=1.0, sample_weight=None):
    s, z = as_pairs(logits, targets)
    if len(s.shape) != 1 or not len(s) or not (pos_weight > 0 and np.isfinite(pos_weight)):
        raise ValueError("arguments")
    if sample_weight is None:
        sample_weight = [1] * len(s)
    w = np.asarray(sample_weight, dtype=np.float64)
    if w.shape != s.shape or np.isnan(w).any() or np.isinf(w).any() or (w < 0).any() or not w.sum() > 0:
        raise ValueError("weights")
    factor = 1 + (pos_weight - 1) * z  # softplus(-s) appears pos_weight * z + (1 - z) times
    losses = (1 - z) * s + factor * bce_with_logits(s, np.ones(len(s)))
    return w @ losses / w.sum()


def two_logit_to_margin(logits):
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[-1] != 2:
        raise ValueError("shape")
    return logits @ np.array([-1.0, 1.0])


def bce_logistic_grad(X, z, theta):
    X, s, z = linear_logits(X, z, theta)
    return X.T @ (0.5 + 0.5 * np.tanh(s / 2) - z) / z.size


def finite_difference(f, theta, h=1e-6):
    theta = np.asarray(theta) * 1.0
    if theta.ndim != 1 or not h > 0 or np.isinf(h):
        raise ValueError("theta or h")
    unit = np.identity(len(theta))
    above = np.array([f(row) for row in theta + h * unit])
    below = np.array([f(row) for row in theta - h * unit])
    return 0.5 / h * (above - below)
""",
    ),
]
