"""Wrong answers and differently written correct solutions of losses/focal_and_logit_adjustment."""

from grader.catalogue import Alternative, WrongAnswer

FOCAL = "test_easy_samples_count_less_than_hard_ones"
HOPELESS = "test_hopeless_samples_have_a_large_but_finite_loss"
GRADIENTS = "test_gradients_are_right_and_finite"
ADJUSTED = "test_the_log_prior_is_added_in_training_and_subtracted_afterwards"
DTYPES = "test_results_keep_the_dtype_of_the_logits"
LAWS = "test_laws_of_focal_loss_and_adjustment"
BAD_INPUT = "test_bad_input_is_refused"

LOG_P = "    log_p = F.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)"
RETURNED = 'return logits + adjustment if mode == "train" else logits - adjustment'

# The published answer has no focal loss and no logit adjustment, so there is no published bug to start with.
wrong_answers = [
    # ------------------------------------------------------------------------------------------- focal loss
    WrongAnswer(
        id="probability-to-the-gamma",
        title="the modulating factor p^gamma",
        explanation=(
            "The factor is large where the right class is likely: easy samples count more and hard ones are switched "
            "off, the opposite of the idea. For p = 0.99 the factor should be close to 0; which power of which number "
            "does that?"
        ),
        caught_by=FOCAL,
        swap=(("-(miss**gamma) * log_p", "-(log_p.exp() ** gamma) * log_p"),),
    ),
    WrongAnswer(
        id="alpha-in-the-denominator",
        title="the loss divided by the sum of the alphas",
        explanation=(
            "With alpha you divide by the sum of the targets' alphas, as PyTorch's weighted cross-entropy does. The "
            "focal loss multiplies each loss by its alpha and takes the plain mean: scaling all alphas scales the loss."
        ),
        caught_by=FOCAL,
        swap=(
            (
                "return losses.mean()",
                "return losses.mean() if alpha is None else losses.sum() / alpha[targets].to(losses.dtype).sum()",
            ),
        ),
    ),
    WrongAnswer(
        id="summed-over-the-batch",
        title="losses summed instead of averaged",
        explanation=(
            "The losses are added up, so the result and the step size grow with the batch. (The detection paper sums "
            "and then divides by the number of objects.) Here the plain mean over the batch is asked for."
        ),
        caught_by=FOCAL,
        swap=(("return losses.mean()", "return losses.sum()"),),
    ),
    WrongAnswer(
        id="alpha-inside-the-power",
        title="alpha raised to the power gamma together with 1 - p",
        explanation=(
            "alpha went under the exponent, so its effect depends on gamma: with gamma = 0 it has none. It is a factor "
            "of its own beside the modulating factor; look at where the bracket closes."
        ),
        caught_by=FOCAL,
        swap=(
            ("losses = -(miss**gamma) * log_p", "losses = -log_p if alpha is not None else -(miss**gamma) * log_p"),
            (
                "losses = losses * alpha[targets].to(losses.dtype)",
                "losses = losses * (miss * alpha[targets].to(miss.dtype)) ** gamma",
            ),
        ),
    ),
    WrongAnswer(
        id="p-from-the-weighted-loss",
        title="p taken from a cross-entropy that already holds alpha",
        explanation=(
            "You compute exp(-loss) of a cross-entropy with class weights and call it p. It is p to the power alpha, so alpha "
            "now bends the modulating factor as well. Widespread snippets do this. p comes from the loss without weights; "
            "where does alpha come in then?"
        ),
        caught_by=FOCAL,
        swap=(
            (
                "    miss = (-torch.expm1(log_p))",
                "    weighted = log_p if alpha is None else log_p * alpha[targets].to(log_p.dtype)\n"
                "    miss = (-torch.expm1(weighted))",
            ),
        ),
    ),
    WrongAnswer(
        id="p-clamped-before-the-logarithm",
        title="p kept between 1e-7 and 1 - 1e-7 before its logarithm is taken",
        explanation=(
            "The bound keeps the logarithm finite, but now no sample can cost more than 16.1, and the samples that are most "
            "wrong get no gradient at all: they are the ones that this loss is about. The log-softmax needs no bound. Only "
            "1 - p does, for its power."
        ),
        caught_by=HOPELESS,
        swap=(
            (
                LOG_P,
                LOG_P.replace(
                    "F.log_softmax(logits, dim=1)", "torch.softmax(logits, dim=1).clamp(1e-7, 1 - 1e-7).log()"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="log-of-softmax",
        title="the logarithm of a softmax that underflows",
        explanation=(
            "For logits more than about 745 apart (104 in float32) the softmax is exactly 0 and its logarithm is minus "
            "infinity. PyTorch has a function that computes the logarithm of the softmax without ever leaving the "
            "log scale."
        ),
        caught_by=HOPELESS,
        swap=((LOG_P, LOG_P.replace("F.log_softmax(logits, dim=1)", "torch.softmax(logits, dim=1).log()")),),
    ),
    WrongAnswer(
        id="nan-gradient-when-certain",
        title="NaN gradients once a sample is certain",
        explanation=(
            "When p rounds to 1, 1 - p is exactly 0. For gamma below 1 the derivative of its power is infinite there, "
            "and the chain rule multiplies infinity by 0. The value of the loss looks fine; the gradient of the whole "
            "batch is lost. Keep 1 - p a little above 0 before taking the power."
        ),
        caught_by=GRADIENTS,
        swap=(("(-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)", "-torch.expm1(log_p)"),),
    ),
    WrongAnswer(
        id="modulation-detached",
        title="the modulating factor cut off from the gradient",
        explanation=(
            "The loss has the right value, but its gradient treats (1 - p)^gamma as a constant. That is the gradient "
            "of another loss: p depends on the logits in both factors. Look for detach, item, data or no_grad."
        ),
        caught_by=GRADIENTS,
        swap=(("-(miss**gamma) * log_p", "-(miss.detach() ** gamma) * log_p"),),
    ),
    # ------------------------------------------------------------------------------------------- logit adjustment
    WrongAnswer(
        id="signs-swapped",
        title="the prior subtracted in training and added afterwards",
        explanation=(
            "The two modes have changed places, so the adjustment helps the frequent classes. In training the log "
            "prior is given to the model for free, so that its own scores need not contain it; afterwards a prior "
            "that has been learned is taken out."
        ),
        caught_by=ADJUSTED,
        swap=((RETURNED, 'return logits - adjustment if mode == "train" else logits + adjustment'),),
    ),
    WrongAnswer(
        id="probabilities-adjusted",
        title="the log prior applied to probabilities instead of logits",
        explanation=(
            "The softmax is taken first and the log prior is added to, or subtracted from, probabilities. On the scale "
            "of probabilities a prior is a factor; only on the scale of logarithms, where logits live, is it a "
            "summand."
        ),
        caught_by=ADJUSTED,
        swap=((RETURNED, "logits = logits.softmax(dim=1)\n    " + RETURNED),),
    ),
    WrongAnswer(
        id="prior-without-logarithm",
        title="the prior itself added, without its logarithm",
        explanation=(
            "Priors lie between 0 and 1, so adding them moves the logits by less than 1, however rare a class is. A "
            "class that is a thousand times rarer should be moved by ln 1000: which function turns a ratio into a "
            "difference?"
        ),
        caught_by=ADJUSTED,
        swap=(("(tau * priors.log())", "(tau * priors)"),),
    ),
    WrongAnswer(
        id="tau-left-out",
        title="tau without an effect",
        explanation=(
            "The adjustment is the same for every tau. It is a strength: 0 leaves the logits as they are, 1 takes the "
            "whole prior, and validation data choose in between or beyond. Multiply the log prior by it."
        ),
        caught_by=ADJUSTED,
        swap=(("(tau * priors.log())", "priors.log()"),),
    ),
    WrongAnswer(
        id="tau-inside-the-logarithm",
        title="tau inside the logarithm, beside the prior",
        explanation=(
            "log(tau * prior) is log(tau) + log(prior): every class is moved by the same log(tau), which changes no "
            "probability, so tau has no effect, and tau = 0 gives minus infinity. As a strength, what should tau multiply?"
        ),
        caught_by=ADJUSTED,
        swap=(("(tau * priors.log())", "(tau * priors).log()"),),
    ),
    WrongAnswer(
        id="dtype-of-alpha",
        title="a loss in the dtype of alpha",
        explanation=(
            "With float64 alphas, often made with NumPy, the loss of float32 logits comes back as float64. Bring alpha to the "
            "dtype of the losses before you multiply."
        ),
        caught_by=DTYPES,
        swap=(("alpha[targets].to(losses.dtype)", "alpha[targets]"),),
    ),
    WrongAnswer(
        id="priors-rounded-first",
        title="priors rounded to the dtype of the logits before their sum is looked at",
        explanation=(
            "In float16, 0.9 and 0.1 become 0.89990 and 0.09998, and their sum is off by 1e-4: with half-precision logits you "
            "refuse priors that are right. Look at the priors as they come, and round the finished adjustment."
        ),
        caught_by=DTYPES,
        swap=(
            (
                "    if not (priors > 0).all() or",
                "    priors = priors.to(logits.dtype)\n    if not (priors > 0).all() or",
            ),
        ),
    ),
    WrongAnswer(
        id="dtype-of-the-priors",
        title="a result in the dtype of the priors",
        explanation=(
            "With float64 priors, often made with NumPy, float32 logits come back as float64, and the rest of the "
            "model runs in the wrong precision or fails. Bring the adjustment to the dtype of the logits."
        ),
        caught_by=DTYPES,
        swap=(("adjustment = (tau * priors.log()).to(logits.dtype)", "adjustment = tau * priors.log()"),),
    ),
    WrongAnswer(
        id="log-probabilities-returned",
        title="log-probabilities returned instead of logits",
        explanation=(
            "A log-softmax is taken after the adjustment. The ranking of the classes is right, but what comes out are "
            "no longer the adjusted logits: cross-entropy takes its own log-softmax, and adding the prior and taking "
            "it out again does not give the logits back."
        ),
        caught_by=LAWS,
        swap=((RETURNED, f"return F.log_softmax({RETURNED.removeprefix('return ')}, dim=1)"),),
    ),
    # ------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="targets-wrap-around",
        title="a target of -1 taken for the last class",
        explanation=(
            "Indexing with -1 counts from the end, so a sample marked 'no label' trains the last class without an "
            "error. Check both ends of the range before picking the right class."
        ),
        caught_by=BAD_INPUT,
        swap=(
            ("targets.min() < 0 or", "targets.min() < -n_classes or"),
            (LOG_P, "    log_p = F.log_softmax(logits, dim=1)[torch.arange(len(targets)), targets]"),
        ),
    ),
    WrongAnswer(
        id="any-mode",
        title="every mode that is not 'train' taken for 'posthoc'",
        explanation=(
            "A misspelt mode such as 'Train' silently does the opposite of what was meant. Refuse what is neither of "
            "the two words."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '    if mode not in ("train", "posthoc"):\n'
                '        raise ValueError(f\'mode must be "train" or "posthoc", not {mode!r}\')\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="priors-normalised",
        title="counts silently turned into priors",
        explanation=(
            "Whatever comes in is divided by its sum. That repairs counts, but it also hides a class list that does "
            "not belong to the model, or a prior computed on a part of the data. Refuse priors that do not sum to 1."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if not (priors > 0).all() or abs(priors.double().sum().item() - 1) > PRIOR_TOLERANCE:",
                "priors = priors / priors.sum()\n    if not (priors > 0).all():",
            ),
        ),
    ),
    WrongAnswer(
        id="nan-gamma",
        title="a gamma of NaN accepted",
        explanation=(
            "Every comparison with NaN is false, so `gamma < 0` does not notice it, and the loss becomes NaN without an error. "
            "Ask what a good gamma is, and refuse everything else."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not gamma >= 0:", "if gamma < 0:"),),
    ),
    WrongAnswer(
        id="any-gamma",
        title="a negative gamma accepted",
        explanation=(
            "A negative gamma turns easy samples up without bound: (1 - p)^gamma is infinite at p = 1. Refuse it, and "
            "ask for what is allowed, so that NaN is refused as well."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if not gamma >= 0:  # NaN fails as well\n"
                '        raise ValueError(f"gamma must not be negative, it is {gamma}")\n',
                "",
            ),
        ),
    ),
]

equivalent_mutants = {
    "Gt -> GtE in `if not (priors > 0).all() or abs(": (
        "of the two comparisons the second: a float64 sum near 1 is a multiple of 2^-52, so it is never exactly 1e-6 off"
    ),
}

alternatives = [
    Alternative(
        id="from-cross-entropy",
        title="built on F.cross_entropy with reduction none; a small number added to 1 - p",
        code="""
def focal_loss(logits, targets, gamma=2.0, alpha=None):
    if logits.dim() != 2 or targets.dim() != 1 or len(logits) != len(targets) or len(targets) == 0:
        raise ValueError("shapes")
    if torch.is_floating_point(targets):
        raise ValueError("targets must be integers")
    classes = logits.size(-1)
    if ((targets < 0) | (targets >= classes)).any():
        raise ValueError("targets")
    if gamma != gamma or gamma < 0:
        raise ValueError("gamma")
    if alpha is not None and list(alpha.shape) != [classes]:
        raise ValueError("alpha")
    ce = F.cross_entropy(logits, targets, reduction="none")
    q = 1 - torch.exp(-ce) + 1e-8
    if alpha is not None:
        ce = ce * alpha.to(logits)[targets]
    return torch.mean(q.pow(gamma) * ce)


def adjust_logits(logits, priors, tau=1.0, *, mode):
    signs = {"train": 1.0, "posthoc": -1.0}
    if mode not in signs:
        raise ValueError(mode)
    if logits.dim() != 2 or list(priors.shape) != [logits.size(1)]:
        raise ValueError("shapes")
    total = float(priors.to(torch.float64).sum())
    if not bool((priors > 0).all()) or not -PRIOR_TOLERANCE <= total - 1 <= PRIOR_TOLERANCE:
        raise ValueError("priors")
    return torch.add(logits, torch.log(priors).to(logits.dtype), alpha=signs[mode] * tau)
""",
    ),
    Alternative(
        id="in-float32",
        title="the focal loss in float32 whatever comes in, with a lower bound of 1e-6 for 1 - p",
        swap=(
            (
                "    log_p = F.log_softmax(logits, dim=1).gather",
                "    dtype, logits = logits.dtype, logits.float()\n    log_p = F.log_softmax(logits, dim=1).gather",
            ),
            (".clamp(min=torch.finfo(log_p.dtype).tiny)", ".clamp(min=1e-6)"),
            ("    return losses.mean()\n", "    return losses.mean().to(dtype)\n"),
        ),
    ),
    Alternative(
        id="sample-by-sample",
        title="loops over the samples and the classes, with logsumexp",
        code="""
def focal_loss(logits, targets, gamma=2.0, alpha=None):
    if logits.ndim != 2 or targets.ndim != 1 or targets.shape[0] != logits.shape[0] or not len(targets):
        raise ValueError("shapes")
    if targets.dtype.is_floating_point:
        raise TypeError("targets")
    if alpha is not None and (alpha.ndim != 1 or alpha.shape[0] != logits.shape[1]):
        raise ValueError("alpha")
    if not (gamma >= 0):
        raise ValueError("gamma")
    total = logits.new_zeros(())
    for row, target in zip(logits, targets.tolist()):
        if target not in range(len(row)):
            raise ValueError("target")
        others = torch.cat([row[:target], row[target + 1 :]])
        log_sum = torch.logsumexp(row, dim=0)
        log_p = row[target] - log_sum
        log_miss = torch.logsumexp(others, dim=0) - log_sum  # log(1 - p): nothing to clamp
        loss = -torch.exp(gamma * log_miss) * log_p
        if alpha is not None:
            loss = loss * alpha[target].item()
        total = total + loss
    return total / len(targets)


def adjust_logits(logits, priors, tau=1.0, *, mode):
    if logits.ndim != 2 or priors.ndim != 1 or priors.numel() != logits.shape[1]:
        raise ValueError("shapes")
    plain = [float(prior) for prior in priors]
    if any(not prior > 0 for prior in plain) or not abs(sum(plain) - 1) <= PRIOR_TOLERANCE:
        raise ValueError("priors")
    if mode == "train":
        sign = 1
    elif mode == "posthoc":
        sign = -1
    else:
        raise ValueError("mode")
    import math

    return torch.stack([logits[:, c] + sign * tau * math.log(prior) for c, prior in enumerate(plain)], dim=1)
""",
    ),
    Alternative(
        id="one-hot-matrices",
        title="one-hot matrices, and the root taken with a gradient-safe where",
        code="""
def focal_loss(logits, targets, gamma=2.0, alpha=None):
    if logits.ndim != 2 or targets.shape != (logits.shape[0],) or logits.shape[0] == 0:
        raise ValueError("shapes")
    if targets.dtype.is_floating_point or targets.dtype.is_complex:
        raise TypeError("targets")
    if int(targets.min()) < 0 or int(targets.max()) >= logits.shape[1]:
        raise ValueError("targets")
    if not gamma >= 0.0:
        raise ValueError("gamma")
    right = F.one_hot(targets.long(), logits.shape[1]).bool()
    log_probs = torch.log_softmax(logits, dim=-1)
    log_p = log_probs.masked_select(right)
    q = log_probs.exp().masked_fill(right, 0).sum(dim=-1)
    certain = q == 0
    factor = torch.where(certain, torch.zeros_like(q), torch.where(certain, torch.ones_like(q), q) ** gamma)
    if gamma == 0:
        factor = torch.ones_like(q)
    losses = -factor * log_p
    if alpha is not None:
        if alpha.shape != logits.shape[1:]:
            raise ValueError("alpha")
        losses = losses * (right.to(logits.dtype) @ alpha.to(logits.dtype))
    return losses.sum() / losses.numel()


def adjust_logits(logits, priors, tau=1.0, *, mode):
    if mode not in {"train", "posthoc"}:
        raise ValueError("mode")
    if logits.ndim != 2 or priors.shape != logits.shape[-1:]:
        raise ValueError("shapes")
    priors = priors.double()
    if priors.isnan().any() or (priors <= 0).any() or (priors.sum() - 1).abs() > PRIOR_TOLERANCE:
        raise ValueError("priors")
    shift = tau * torch.log(priors)
    shift = shift if mode == "train" else -shift
    return (logits.double() + shift).to(logits.dtype)
""",
    ),
]
