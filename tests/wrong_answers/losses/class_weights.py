"""Wrong answers and differently written correct solutions of losses/class_weights."""

from grader.catalogue import Alternative, WrongAnswer

FORMULAS = "test_class_weights_follow_the_two_formulas"
LOSS = "test_the_loss_is_a_mean_weighted_by_the_targets"
LARGE = "test_logits_of_ten_thousand_stay_finite"
SHARES = "test_every_class_has_the_same_total_weight"
DRAWS = "test_draws_are_balanced_independent_and_come_from_the_given_generator"
BAD_INPUT = "test_bad_input_is_refused"
CLAIMS = "test_claims"

wrong_answers = [
    # The published answer has no code: it lists resampling (of anything), weights and GANs side by side.
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answer has them",
        explanation=(
            "Some claims follow statements that are in print and wrong. Ask of each remedy on which part of the data "
            "it acts, what a test score means after the test set was changed too, and how much a generative model can "
            "learn from the handful of samples that a rare class has."
        ),
        caught_by=CLAIMS,
        swap=(("resample_everything=False", "resample_everything=True"), ("gan_fills_up=False", "gan_fills_up=True")),
    ),
    WrongAnswer(
        id="samplers-misjudged",
        title="the claims about the sampler judged the wrong way round",
        explanation=(
            "Of the two claims about class-balanced sampling one is about a single random batch and one about sampling "
            "and weighting at once. Work out, for two classes of 90 and 10 samples, share of draws times weight in the "
            "loss."
        ),
        caught_by=CLAIMS,
        swap=(("correct_twice=True", "correct_twice=False"), ("exact_batches=False", "exact_batches=True")),
    ),
    # ------------------------------------------------------------------------------------------- class weights
    WrongAnswer(
        id="proportional-to-counts",
        title="class weights proportional to the counts",
        explanation=(
            "The frequent classes get the large weights, so the loss looks away from the rare ones even more than "
            "before. Which way should a weight move when a class gets more samples?"
        ),
        caught_by=FORMULAS,
        swap=(("samples.sum() / (samples.size * samples)", "samples.size * samples / samples.sum()"),),
    ),
    WrongAnswer(
        id="inverse-not-rescaled",
        title="inverse weights of 1 / count, without the number of samples and classes",
        explanation=(
            "The ratios of the weights are right, their size is not: with equal counts every weight should be 1. Think "
            "of the count each class would have if all were equal, and compare each class with that."
        ),
        caught_by=FORMULAS,
        swap=(("samples.sum() / (samples.size * samples)", "1 / samples"),),
    ),
    WrongAnswer(
        id="inverse-without-the-classes",
        title="inverse weights of all samples / count, without the number of classes",
        explanation=(
            "With equal counts each weight comes out as the number of classes; it should be 1. A class is compared with "
            "the count it would have if all classes were equal: what is that count?"
        ),
        caught_by=FORMULAS,
        swap=(("samples.sum() / (samples.size * samples)", "samples.sum() / samples"),),
    ),
    WrongAnswer(
        id="power-without-complement",
        title="effective number taken as β to the n, without the complement",
        explanation=(
            "β^n shrinks as n grows, so one over it explodes for the frequent classes. The effective number is a sum "
            "1 + β + β² + ... with one term for each sample: how does its closed form look, and what is it for n = 1?"
        ),
        caught_by=FORMULAS,
        swap=(("weights = 1 / (1 - beta**samples)", "weights = 1 / beta**samples"),),
    ),
    WrongAnswer(
        id="effective-number-not-inverted",
        title="class weights proportional to the effective number instead of to one over it",
        explanation=(
            "The effective number grows with the samples of a class, so frequent classes weigh most. It takes the "
            "place of the count: what do you do with a count to get a weight that is large for rare classes?"
        ),
        caught_by=FORMULAS,
        swap=(("weights = 1 / (1 - beta**samples)", "weights = 1 - beta**samples"),),
    ),
    WrongAnswer(
        id="effective-not-rescaled",
        title="effective-number weights that do not sum to the number of classes",
        explanation=(
            "One over the effective number lies between 0 and 1, so all weights together are small. In a weighted mean "
            "that cancels, but next to a second loss term, or with a summed loss, the learning rate seems to change. "
            "To which sum should the weights be scaled?"
        ),
        caught_by=FORMULAS,
        swap=(("return weights * samples.size / weights.sum()", "return (1 - beta) * weights"),),
    ),
    WrongAnswer(
        id="counts-in-eight-bits",
        title="counts multiplied in their own small integer type",
        explanation=(
            "Arithmetic on uint8 counts stays uint8 and wraps around at 256 without a word: four classes times 100 "
            "samples is 144. Which type should the counts have before anything is multiplied?"
        ),
        caught_by=FORMULAS,
        swap=(("samples = counts.astype(np.float64)", "samples = counts"),),
    ),
    # ------------------------------------------------------------------------------------------- weighted loss
    WrongAnswer(
        id="divided-by-batch-size",
        title="weighted losses divided by the number of samples",
        explanation=(
            "The sum of the weighted losses is divided by the number of samples. The loss, and with it the step size, "
            "then depends on which classes happen to be in the batch. A weighted mean of equal values is that value: "
            "what must the sum be divided by?"
        ),
        caught_by=LOSS,
        swap=(("(target_weights * losses).sum() / target_weights.sum()", "(target_weights * losses).mean()"),),
    ),
    WrongAnswer(
        id="ignored-in-the-denominator",
        title="ignored samples counted in the denominator",
        explanation=(
            "Ignored samples add nothing above the fraction bar, but they still count below it, with 1 or with the "
            "weight of whichever class their target was replaced by. Then padding a batch makes the loss smaller. Use "
            "the same samples above and below."
        ),
        caught_by=LOSS,
        swap=(
            (
                "(target_weights * losses).sum() / target_weights.sum()",
                "(target_weights * losses).sum() / (target_weights.sum() + weights[0] * (~counted).sum())",
            ),
        ),
    ),
    WrongAnswer(
        id="weights-dropped",
        title="class weights that have no effect on the loss",
        explanation=(
            "The loss is the plain mean: the weights are checked and then not used. Try one rare sample with a loss of "
            "its own and a weight of 100; the result should be close to that loss."
        ),
        caught_by=LOSS,
        swap=(("(target_weights * losses).sum() / target_weights.sum()", "losses.mean()"),),
    ),
    WrongAnswer(
        id="ignore-index-fixed",
        title="ignore_index taken to be -100, whatever was passed",
        explanation=(
            "Samples are left out if their target is -100, which is only the default. With another `ignore_index`, the "
            "number of a class for example, the marked samples go on counting. Compare the targets with the argument."
        ),
        caught_by=LOSS,
        swap=(("counted = targets != ignore_index", "counted = targets != -100"),),
    ),
    WrongAnswer(
        id="exponentials-overflow",
        title="exponentials of the logits as they are",
        explanation=(
            "exp overflows above about 709 and underflows below about -745, so large logits give inf or NaN. The "
            "softmax of a row does not change when the same number is taken off all its logits: which number makes the "
            "largest exponential 1?"
        ),
        caught_by=LARGE,
        swap=(("shifted = logits - logits.max(axis=1, keepdims=True)", "shifted = logits"),),
    ),
    WrongAnswer(
        id="maximum-of-the-batch",
        title="one maximum taken off the whole batch",
        explanation=(
            "The largest logit of the whole batch is subtracted everywhere. A row far below it then underflows to "
            "zeros, and the logarithm of their sum is minus infinity. Each row is a softmax of its own: over which "
            "axis is the maximum?"
        ),
        caught_by=LARGE,
        swap=(("logits.max(axis=1, keepdims=True)", "logits.max()"),),
    ),
    # ------------------------------------------------------------------------------------------- sampling
    WrongAnswer(
        id="proportional-to-frequency",
        title="sample weights that grow with the frequency of the class",
        explanation=(
            "A sample of a frequent class gets a larger weight than a sample of a rare one, which makes the imbalance "
            "worse than drawing at random. Add up your weights class by class: what should each sum be?"
        ),
        caught_by=SHARES,
        swap=(
            (
                "return 1 / (classes.size * counts[class_of_sample])",
                "return counts[class_of_sample] / counts[class_of_sample].sum()",
            ),
        ),
    ),
    WrongAnswer(
        id="share-of-the-class-for-each-sample",
        title="the share of the whole class given to each of its samples",
        explanation=(
            "Each sample gets 1 / (number of classes), so a class of five samples has five shares, and all weights "
            "together exceed 1. That number is what a class may have in total: how much of it is left for one sample?"
        ),
        caught_by=SHARES,
        # balanced_indices stays as it was, so that the mistake is recognised whatever the draws are made with
        code="""
balanced_indices = type(balanced_indices)(balanced_indices.__code__, dict(globals()))


def sample_weights(labels):
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError("labels must be (samples,)")
    return np.full(labels.size, 1 / np.unique(labels).size)
""",
    ),
    WrongAnswer(
        id="classes-from-zero-on",
        title="labels taken for the numbers 0, 1, 2, ... without gaps",
        explanation=(
            "The labels are used as positions in a table of counts. That fails for strings and negative numbers, and "
            "with gaps it counts classes that have no sample, so the weights do not sum to 1. First find which "
            "distinct labels there are and number those."
        ),
        caught_by=SHARES,
        code="""
def sample_weights(labels):
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError("labels must be (samples,)")
    counts = np.bincount(labels)
    return 1 / (counts.size * counts[labels])
""",
    ),
    WrongAnswer(
        id="one-weight-for-each-class",
        title="one weight for each class handed to a sampler of samples",
        explanation=(
            "The probabilities are those of the classes, so the numbers drawn are class numbers: the indices never "
            "exceed the number of classes, and training sees the same few samples for ever. The sampler needs one "
            "probability for each *sample*; look each one up by the sample's label."
        ),
        caught_by=DRAWS,
        code="""
def balanced_indices(labels, num_samples, rng):
    if num_samples < 1 or len(labels) == 0:
        raise ValueError("nothing to draw")
    counts = np.unique(labels, return_counts=True)[1]
    weights = (1 / counts) / (1 / counts).sum()
    return rng.choice(counts.size, size=num_samples, p=weights)
""",
    ),
    WrongAnswer(
        id="without-replacement",
        title="samples drawn without replacement",
        explanation=(
            "Every sample can be drawn once only, so a rare class runs out and an epoch contains what it contained "
            "before. To see a rare class as often as a frequent one, its samples have to repeat."
        ),
        caught_by=DRAWS,
        swap=(("size=num_samples, p=probabilities)", "size=num_samples, p=probabilities, replace=False)"),),
    ),
    WrongAnswer(
        id="numpy-global-generator",
        title="NumPy's global generator used for the draws",
        explanation=(
            "The draws come from numpy.random.choice, which ignores the generator you were given and changes a state "
            "that the whole program shares. Two runs with equal generators then differ. Call a method of `rng`."
        ),
        caught_by=DRAWS,
        swap=(("return rng.choice(", "return np.random.choice("),),
    ),
    WrongAnswer(
        id="generator-ignored",
        title="a generator with a fixed seed instead of the one passed in",
        explanation=(
            "A generator made inside the function with a fixed seed draws the same samples in every epoch. The caller "
            "decides about the randomness: draw from `rng`."
        ),
        caught_by=DRAWS,
        swap=(("return rng.choice(", "return np.random.default_rng(0).choice("),),
    ),
    WrongAnswer(
        id="generator-of-its-own",
        title="a fresh generator made inside the function",
        explanation=(
            "A generator without a seed is made at each call, so nobody can repeat a training run, and the one that was "
            "passed in is never asked. Draw from `rng`."
        ),
        caught_by=DRAWS,
        swap=(("return rng.choice(", "return np.random.default_rng().choice("),),
    ),
    WrongAnswer(
        id="equal-counts-shuffled",
        title="the same number of samples of each class, shuffled",
        explanation=(
            "Each class gets its part of the draws exactly, and the order is shuffled afterwards. Such draws are not "
            "independent: after one sample of a class, the next is less likely to be of that class. Are two draws "
            "from three classes ever of one class in your version?"
        ),
        caught_by=DRAWS,
        code="""
def balanced_indices(labels, num_samples, rng):
    if num_samples < 1:
        raise ValueError("nothing to draw")
    sample_weights(labels)  # refuses what is no list of labels
    members = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]
    turns = rng.permutation(np.arange(num_samples) % len(members))
    return np.array([members[turn][rng.integers(members[turn].size)] for turn in turns])
""",
    ),
    WrongAnswer(
        id="classes-in-turn",
        title="the classes drawn in turn, each once in every round",
        explanation=(
            "Every round contains each class once, so what has come tells which class comes next. Each draw should be "
            "able to give any class, whatever came before it."
        ),
        caught_by=DRAWS,
        code="""
def balanced_indices(labels, num_samples, rng):
    if num_samples < 1:
        raise ValueError("nothing to draw")
    sample_weights(labels)  # refuses what is no list of labels
    members = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]
    turns = np.arange(num_samples) % len(members)
    return np.array([members[turn][rng.integers(members[turn].size)] for turn in turns])
""",
    ),
    WrongAnswer(
        id="draws-sorted",
        title="draws sorted, or grouped by class",
        explanation=(
            "The right samples are drawn, but in an order: neighbours are nearly always of one class. A model trained on "
            "such batches forgets one class while it sees the next. Leave the draws in the order in which they came."
        ),
        caught_by=DRAWS,
        swap=(
            (
                "return rng.choice(probabilities.size, size=num_samples, p=probabilities)",
                "return np.sort(rng.choice(probabilities.size, size=num_samples, p=probabilities))",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------- bad input
    WrongAnswer(
        id="empty-class-accepted",
        title="a class without samples gets an infinite weight",
        explanation=(
            "A count of 0 divides by zero, and the infinite weight turns the loss into NaN at the first sample of that "
            "class in another split. Refuse counts below 1."
        ),
        caught_by=BAD_INPUT,
        swap=(("(counts >= 1)", "(counts >= 0)"),),
    ),
    WrongAnswer(
        id="negative-targets-wrap-around",
        title="a target of -1 taken for the last class",
        explanation=(
            "A negative index counts from the end, so the target -1, a usual mark for 'no label', trains the last "
            "class without an error. Check both ends of the range after the ignored samples are gone."
        ),
        caught_by=BAD_INPUT,
        swap=(("((targets >= 0) &", "((targets >= -weights.size) &"),),
    ),
    WrongAnswer(
        id="negative-weights-accepted",
        title="negative class weights accepted",
        explanation=(
            "A negative weight rewards mistakes on that class, and the weighted mean may divide by almost nothing. "
            "Weights are finite and not negative; ask for what is allowed, so that NaN fails as well."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not ((weights >= 0) & (weights < np.inf)).all():", "if not np.isfinite(weights).all():"),),
    ),
    WrongAnswer(
        id="zero-over-zero",
        title="0/0 when nothing is left to average",
        explanation=(
            "When all targets are ignored, or their weights are all 0, the mean is 0/0 and comes back as NaN, which "
            "spoils the running average of the loss. Test the sum of the weights before dividing by it."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "    if target_weights.sum() == 0:\n"
                '        raise ValueError("nothing to average: no sample counts, or all that count have weight 0")\n',
                "",
            ),
        ),
    ),
]

equivalent_mutants = {
    "1 -> 2 in `weights = 1 / (1 - beta**samples)`": "a common factor of all weights drops out of the rescaling",
}

alternatives = [
    Alternative(
        id="plain-loops",
        title="plain Python loops and a Counter; a class is drawn first, then one of its samples",
        code="""
def class_weights(counts, method, beta=0.999):
    from math import isfinite

    if np.ndim(counts) != 1 or len(counts) == 0:
        raise ValueError("counts must be one-dimensional")
    plain = [float(count) for count in counts]
    if any(not isfinite(count) or count < 1 or count % 1 for count in plain):
        raise ValueError("counts must be whole")
    if method == "inverse":
        even = sum(plain) / len(plain)
        return np.array([even / count for count in plain])
    if method != "effective" or not (beta >= 0 and beta < 1):
        raise ValueError("method or beta")
    raw = [(1 - beta) / (1 - beta**count) for count in plain]
    return np.array([len(raw) * weight / sum(raw) for weight in raw])


def weighted_cross_entropy(logits, targets, weights, ignore_index=-100):
    from math import exp, isfinite, log

    if np.ndim(logits) != 2 or np.ndim(targets) != 1 or np.ndim(weights) != 1:
        raise ValueError("shapes")
    if len(logits) != len(targets) or np.shape(logits)[1] != len(weights):
        raise ValueError("lengths")
    if any(not isfinite(weight) or weight < 0 for weight in weights):
        raise ValueError("weights")
    above = below = 0.0
    for row, target in zip(logits, targets):
        if target == ignore_index:
            continue
        if target not in range(len(weights)):
            raise ValueError("target")
        row = [float(value) for value in row]
        top = max(row)
        loss = top + log(sum(exp(value - top) for value in row)) - row[int(target)]
        above += float(weights[target]) * loss
        below += float(weights[target])
    if not below:
        raise ValueError("nothing to average")
    return above / below


def sample_weights(labels):
    from collections import Counter

    if np.ndim(labels) != 1 or len(labels) == 0:
        raise ValueError("labels")
    counts = Counter(labels if isinstance(labels, list) else labels.tolist())
    return np.array([1 / len(counts) / counts[label] for label in labels])


def balanced_indices(labels, num_samples, rng):
    if np.ndim(labels) != 1 or len(labels) == 0 or num_samples < 1:
        raise ValueError("nothing to draw")
    members = {}
    for position, label in enumerate(labels):
        members.setdefault(label, []).append(position)
    pools = list(members.values())
    drawn = []
    for _ in range(num_samples):
        pool = pools[rng.integers(len(pools))]
        drawn.append(pool[rng.integers(len(pool))])
    return np.array(drawn, dtype=np.int64)
""",
    ),
    Alternative(
        id="library-functions",
        title="logsumexp of SciPy, np.average, and draws by inverting the cumulative distribution",
        code="""
def class_weights(counts, method, beta=0.999):
    counts = np.array(counts, dtype=float)
    if counts.ndim != 1 or not counts.size or np.any(counts < 1) or np.any(np.mod(counts, 1) != 0):
        raise ValueError("counts")
    match method:
        case "inverse":
            return counts.mean() / counts
        case "effective" if 0 <= beta < 1:
            with np.errstate(divide="ignore"):
                raw = 1 / -np.expm1(counts * np.log(beta))
            return raw / raw.mean()
    raise ValueError("method or beta")


def weighted_cross_entropy(logits, targets, weights, ignore_index=-100):
    from scipy.special import logsumexp

    logits, targets, weights = np.array(logits, float), np.array(targets), np.array(weights, float)
    if logits.ndim != 2 or (len(logits),) != targets.shape or (logits.shape[1],) != weights.shape:
        raise ValueError("shapes")
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError("weights")
    keep = targets != ignore_index
    if not np.isin(targets[keep], np.arange(len(weights))).all():
        raise ValueError("targets")
    one_hot = targets[keep, None] == np.arange(len(weights))  # (counted, classes)
    chosen = one_hot @ weights
    if not chosen.any():
        raise ValueError("nothing to average")
    losses = logsumexp(logits[keep], axis=1) - logits[keep][one_hot]
    return np.average(losses, weights=chosen)


def sample_weights(labels):
    labels = np.array(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError("labels")
    same = labels[:, None] == labels  # (samples, samples)
    weights = 1 / same.sum(axis=1)
    return weights / weights.sum()


def balanced_indices(labels, num_samples, rng):
    if num_samples < 1:
        raise ValueError("num_samples")
    edges = np.cumsum(sample_weights(labels))
    return np.searchsorted(edges / edges[-1], rng.random(num_samples), side="right").astype(np.int64)
""",
    ),
    Alternative(
        id="group-by-group",
        title="masks for each class, a weight vector filled class by class, and draws by multinomial counts",
        code="""
def class_weights(counts, method, beta=0.999):
    counts = np.asarray(counts)
    if counts.ndim != 1 or len(counts) < 1:
        raise ValueError("one number for each class")
    if counts.dtype.kind not in "iu":
        if not np.array_equal(counts, np.trunc(counts)) or np.isinf(counts).any():
            raise TypeError("whole numbers") if np.isfinite(counts).all() else ValueError("finite numbers")
    if counts.min() < 1:
        raise ValueError("empty class")
    counts = counts.astype(float)
    if method not in {"inverse", "effective"}:
        raise ValueError(method)
    if not 0 <= beta < 1:
        raise ValueError("beta")
    effective = counts if method == "inverse" else (1 - beta**counts) / (1 - beta)
    if method == "inverse":
        return np.full(len(counts), counts.sum()) / len(counts) / effective
    share = effective**-1.0
    return share * (len(counts) / share.sum())


def weighted_cross_entropy(logits, targets, weights, ignore_index=-100):
    logits, weights = np.asarray(logits, np.float64), np.asarray(weights, np.float64)
    targets = np.asarray(targets)
    if logits.ndim != 2:
        raise ValueError("logits")
    n_samples, n_classes = logits.shape
    if targets.shape != (n_samples,) or weights.shape != (n_classes,):
        raise ValueError("shapes")
    if np.isnan(weights).any() or np.isinf(weights).any() or (weights < 0).any():
        raise ValueError("weights")
    known = np.zeros(n_samples, dtype=bool)
    sample_weight, losses = np.zeros(n_samples), np.zeros(n_samples)
    log_sum = np.logaddexp.reduce(logits, axis=1)
    for c in range(n_classes):
        members = targets == c
        known |= members
        if c != ignore_index:
            sample_weight[members] = weights[c]
            losses[members] = (log_sum - logits[:, c])[members]
    if (~known & (targets != ignore_index)).any():
        raise ValueError("targets")
    total = sample_weight.sum()
    if total == 0:
        raise ValueError("nothing to average")
    return np.dot(sample_weight, losses) / total


def sample_weights(labels):
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels):
        raise ValueError("labels")
    weights = np.empty(len(labels))
    names = set(labels.tolist())
    for name in names:
        weights[labels == name] = 1 / np.count_nonzero(labels == name)
    return weights / len(names)


def balanced_indices(labels, num_samples, rng):
    p = sample_weights(labels)
    if not num_samples > 0:
        raise ValueError("num_samples")
    times = rng.multinomial(num_samples, p / p.sum())
    return rng.permutation(np.repeat(np.arange(len(p), dtype=np.int64), times))
""",
    ),
]
