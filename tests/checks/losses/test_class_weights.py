"""Checks of losses/class_weights. Expected values come from sums term by term and from counting draws."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from grader.checking import (
    assert_claims,
    assert_close,
    assert_dtype,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "resample_everything": False,
    "correct_twice": True,
    "gan_fills_up": False,
    "scale_of_weights": True,
    "effective_number": True,
    "exact_batches": False,
    "probabilities_stay": False,
    "effect_can_vanish": True,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-12}

# likely causes
INVERSE = "the number of all samples, divided by the number of classes and by the class's own samples"
WEIGHTED_MEAN = "weight times loss above the fraction bar, the same weights below it; each weight is that of the target"
LEFT_OUT = "a sample whose target equals ignore_index, whichever number that is, counts neither above nor below"
SHARED = "the weights of one class's samples add up to 1 / (number of classes that occur)"


def inverse_weights(counts):
    return np.array([math.fsum(counts) / (len(counts) * count) for count in map(float, counts)])


def effective_weights(counts, beta):
    """The effective number is the geometric sum 1 + beta + beta^2 + ... of as many terms as the class has samples."""
    raw = [1 / math.fsum(beta**k for k in range(int(count))) for count in counts]
    return np.array([len(raw) * weight / math.fsum(raw) for weight in raw])


def weighted_loss(logits, targets, weights, ignore_index=-100):
    """The weighted mean, one sample and one class at a time."""
    above, below = [], []
    for row, target in zip(logits, targets, strict=True):
        if target != ignore_index:
            top = max(row)
            loss = top - row[target] + math.log(math.fsum(math.exp(value - top) for value in row))
            above.append(weights[target] * loss)
            below.append(weights[target])
    return math.fsum(above) / math.fsum(below)


# ---------------------------------------------------------------- what runs in the student's process


# What is drawn differs with the way of drawing; what comes back here are facts that do not, in coarse numbers.


def kinds_of_draws(student, labels, numbers, seed):
    """Dtype and shape of what is drawn for each number of samples, and whether all are positions in `labels`."""
    import numpy as np

    kinds = []
    for number in numbers:
        drawn = student.balanced_indices(labels, number, np.random.default_rng(seed))
        dtype = str(getattr(drawn, "dtype", type(drawn).__name__))
        inside = dtype.startswith("int") and all(0 <= position < len(labels) for position in np.ravel(drawn).tolist())
        kinds.append((dtype, np.shape(drawn), inside))
    return kinds


def randomness_of_draws(student, labels, seed):
    """What decides about the draws: equal generators, other generators, global ones; and whether samples repeat."""
    import random

    import numpy as np

    def state():
        name, keys, *rest = np.random.get_state()
        return name, keys.tolist(), rest, random.getstate()

    def drawn(number, seed):
        return np.asarray(student.balanced_indices(labels, number, np.random.default_rng(seed))).tolist()

    before = state()
    first, again, other = drawn(200, seed), drawn(200, seed), drawn(200, seed + 1)
    untouched = state() == before
    passes = [drawn(len(labels), seed + k) for k in range(8)]
    return {
        "equal generators, equal draws": first == again,
        "other generator, other draws": first != other,
        "global generators untouched": untouched,
        "samples repeat": any(len(set(positions)) < len(positions) for positions in passes),
    }


def shares_of_draws(student, labels, number, parts, seed):
    """How often each position is drawn, as a whole number of `parts`-ths of all draws."""
    import numpy as np

    drawn = student.balanced_indices(labels, number, np.random.default_rng(seed))
    return [round(parts * count / number) for count in np.bincount(drawn, minlength=len(labels)).tolist()]


def neighbours_of_draws(student, labels, number, times, parts, seed):
    """How often two samples are of one class, in whole `parts`-ths: neighbours in one call, and any two of short calls.

    A short call draws as many samples as there are classes.
    """
    from itertools import combinations, pairwise

    import numpy as np

    def share(pairs):
        return round(parts * sum(labels[i] == labels[j] for i, j in pairs) / len(pairs))

    long = student.balanced_indices(labels, number, np.random.default_rng(seed)).tolist()
    pairs = []
    for k in range(times):
        short = student.balanced_indices(labels, len(set(labels)), np.random.default_rng(seed + k)).tolist()
        pairs += combinations(short, 2)
    return {"neighbours": share(list(pairwise(long))), "short calls": share(pairs)}


def arguments_after_the_calls(student, counts, logits, targets, weights, labels):
    import numpy as np

    student.class_weights(counts, "inverse")
    student.class_weights(counts, "effective")
    student.weighted_cross_entropy(logits, targets, weights)
    student.sample_weights(labels)
    student.balanced_indices(labels, 3, np.random.default_rng(1))
    return counts, logits, targets, weights, labels


def assert_kinds(student, labels, numbers, seed):
    """Shape, dtype and range of the indices, for each number of samples to draw."""
    for number, kind in zip(numbers, student.run(kinds_of_draws, labels, numbers, seed), strict=True):
        dtype, shape, inside = kind
        what = f"The result of balanced_indices({labels}, {number}, rng)"
        if tuple(shape) != (number,):
            raise AssertionError(f"{what} has shape {tuple(shape)}; it should be ({number},).")
        if dtype != "int64":
            raise AssertionError(f"{what} is {dtype}; it should be an array of int64.")
        if not inside:
            raise AssertionError(f"{what} holds numbers that are no positions, which go from 0 to {len(labels) - 1}.")


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    expected = [5 / 8, 5 / 2]
    weights = student.class_weights([8, 2], "inverse")
    assert_close(weights, expected, **loose, what="result of inverse weighting", cause=INVERSE)
    expected = [128 / 149, 170 / 149]
    weights = student.class_weights([8, 2], "effective", beta=0.5)
    cause = "the rarer class weighs more, and the weights sum to 2"
    assert_close(weights, expected, **loose, what="result of effective-number weighting", cause=cause)
    logits = np.log([[0.5, 0.5], [0.2, 0.8], [0.75, 0.25]])
    loss = student.weighted_cross_entropy(logits, [0, 1, 0], [1, 4])
    expected = (math.log(2) + 4 * math.log(1.25) + math.log(4 / 3)) / 6
    assert_close(loss, expected, **loose, what="weighted loss", cause=WEIGHTED_MEAN)
    loss = student.weighted_cross_entropy(logits, [0, 1, -100], [1, 4])
    expected = (math.log(2) + 4 * math.log(1.25)) / 5
    assert_close(loss, expected, **loose, what="weighted loss with an ignored target", cause=LEFT_OUT)
    weights = student.sample_weights([7, 7, 3, 7])
    expected = [1 / 6, 1 / 6, 1 / 2, 1 / 6]
    assert_close(weights, expected, **loose, what="result of sample_weights([7, 7, 3, 7])", cause=SHARED)
    assert_kinds(student, [7, 7, 3, 7], [10], 0)


@points(3)
@catches("claims-as-published", "samplers-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "proportional-to-counts",
    "effective-number-not-inverted",
    "power-without-complement",
    "effective-not-rescaled",
    "inverse-not-rescaled",
    "inverse-without-the-classes",
    "counts-in-eight-bits",
)
@given(
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    beta=st.sampled_from([0.0, 0.25, 0.9, 0.99, 0.9999]),
)
@example(counts=[1, 250, 17, 4], beta=0.99)
@example(counts=[6, 6, 6], beta=0.9)  # equal counts: all ones
@example(counts=[3, 90, 20], beta=0.0)  # every effective number is 1: all ones
def test_class_weights_follow_the_two_formulas(student, counts, beta):
    """Both kinds of class weights have the promised values, for counts of any integer type."""
    integers = np.array(counts, dtype=np.uint8 if max(counts) < 256 else np.int64)
    for name, values in (("a list", counts), (f"{integers.dtype} counts", integers)):
        weights = student.class_weights(values, "inverse")
        what = f"result of class_weights({counts}, 'inverse') with {name}"
        assert_shape(weights, (len(counts),), what=what)
        assert_dtype(weights, np.float64, what=what)
        assert_close(weights, inverse_weights(counts), **CLOSE, what=what, cause=INVERSE)
    for name, keywords, value in (("", {}, 0.999), (f", beta={beta}", {"beta": beta}, beta)):
        weights = student.class_weights(counts, "effective", **keywords)
        what = f"result of class_weights({counts}, 'effective'{name})"
        assert_shape(weights, (len(counts),), what=what)
        assert_dtype(weights, np.float64, what=what)
        cause = f"rarer classes never weigh less, and the weights sum to {len(counts)}"
        assert_close(weights, effective_weights(counts, value), **CLOSE, what=what, cause=cause)


@points(1)
@catches("divided-by-batch-size", "ignored-in-the-denominator", "weights-dropped", "ignore-index-fixed")
def test_the_loss_is_a_mean_weighted_by_the_targets(student, rng):
    """The loss is the mean of the losses of the samples that count, weighted by their targets' weights."""
    n_samples, n_classes = 7, 4
    logits = rng.normal(size=(n_samples, n_classes)) * 2
    weights = rng.uniform(0.2, 5, size=n_classes)
    targets = np.array([0, 3, 1, 1, 2, 0, 3])
    plain = dict(logits=logits, targets=targets, weights=weights)
    ignored = np.array([0, 3, -100, 1, -100, 0, 3])
    cases = [
        ("all samples count", plain, {}, WEIGHTED_MEAN),
        ("lists", {name: value.tolist() for name, value in plain.items()}, {}, WEIGHTED_MEAN),
        ("all weights tripled", plain | {"weights": 3 * weights}, {}, WEIGHTED_MEAN),
        ("equal weights of 1", plain | {"weights": np.ones(n_classes)}, {}, WEIGHTED_MEAN),
        ("a class of weight 0", plain | {"weights": np.array([weights[0], 0.0, *weights[2:]])}, {}, WEIGHTED_MEAN),
        (
            "float32 logits, int32 targets",
            plain | {"logits": logits.astype("f4"), "targets": targets.astype("i4")},
            {},
            WEIGHTED_MEAN,
        ),
        ("two targets are -100", plain | {"targets": ignored}, {}, LEFT_OUT),
        ("ignore_index=1", plain, {"ignore_index": 1}, LEFT_OUT),
        ("ignore_index=9", plain | {"targets": np.array([0, 9, 1, 1, 9, 9, 3])}, {"ignore_index": 9}, LEFT_OUT),
    ]
    for name, arguments, keywords, cause in cases:
        loss = student.weighted_cross_entropy(*arguments.values(), **keywords)
        rows = np.asarray(arguments["logits"], dtype=np.float64).tolist()
        expected = weighted_loss(rows, list(arguments["targets"]), list(arguments["weights"]), **keywords)
        assert_close(loss, expected, **CLOSE, what=f"weighted loss ({name})", cause=cause)


@points(1)
@catches("exponentials-overflow", "maximum-of-the-batch")
def test_logits_of_ten_thousand_stay_finite(student, rng):
    """Logits of 10000 and -10000 give finite and correct losses."""
    weights = rng.uniform(0.5, 3, size=3)
    small = rng.normal(size=3)
    cases = [
        ("rows around 10000 and -10000", [(small + 1e4).tolist(), (small[::-1] - 1e4).tolist()], [2, 0]),
        ("a target 20000 below the top", [[1e4, -1e4, 0.5], small.tolist()], [1, 2]),
        ("a target 10000 above the rest", [[0.0, 1e4, -1e4], small.tolist()], [1, 1]),
    ]
    cause = "exp(10000) is infinite and log(exp(-10000)) is minus infinity; each row has its own maximum to take off"
    for name, logits, targets in cases:
        loss = student.weighted_cross_entropy(np.array(logits), targets, weights)
        expected = weighted_loss(logits, targets, weights.tolist())
        assert_close(loss, expected, **CLOSE, what=f"weighted loss ({name})", cause=cause)


@points(1)
@catches("proportional-to-frequency", "share-of-the-class-for-each-sample", "classes-from-zero-on")
def test_every_class_has_the_same_total_weight(student, rng):
    """Each class that occurs has the same total weight, shared equally by its samples, whatever the labels are."""
    names = ["a cat on a mat", "a dog", "b", ""]
    cases = [
        ("classes 0 to 2", [0] * 9 + [1] * 2 + [2] * 5),
        ("classes with gaps and negative numbers", [40] * 3 + [-7] * 8 + [1000] + [3] * 2),
        ("strings", [name for name, count in zip(names, (6, 1, 3, 2), strict=True) for _ in range(count)]),
        ("one class only", [5, 5, 5]),
    ]
    for name, labels in cases:
        labels = [labels[i] for i in rng.permutation(len(labels))]
        forms = [("a list", labels)] + ([] if name == "strings" else [("an int32 array", np.array(labels, "i4"))])
        for form, values in forms:
            weights = student.sample_weights(values)
            what = f"result of sample_weights ({name}, {form})"
            assert_shape(weights, (len(labels),), what=what)
            assert_dtype(weights, np.float64, what=what)
            share = 1 / len(set(labels))
            expected = np.array([share / labels.count(label) for label in labels])
            assert_close(weights, expected, **CLOSE, what=what, cause=SHARED)


@points(1)
@catches(
    "one-weight-for-each-class",
    "without-replacement",
    "numpy-global-generator",
    "generator-ignored",
    "generator-of-its-own",
    "equal-counts-shuffled",
    "classes-in-turn",
    "draws-sorted",
)
def test_draws_are_balanced_independent_and_come_from_the_given_generator(student, rng, seed):
    """Classes are drawn equally often, samples independently, with replacement, and only by the generator passed in."""
    labels = [30] * 4 + [10] + [20] * 2
    labels = [labels[i] for i in rng.permutation(len(labels))]
    assert_kinds(student, labels, [8000, 1], seed)

    facts = student.run(randomness_of_draws, labels, seed)
    complaints = {
        "global generators untouched": "A global random generator was used; only the one that is passed in may be",
        "equal generators, equal draws": "Two equal generators gave different draws; all randomness must come from rng",
        "other generator, other draws": "Generators with different seeds gave the same 200 draws; rng has no effect",
        "samples repeat": f"{len(labels)} draws from {len(labels)} samples never repeated one; draw with replacement",
    }
    for fact, complaint in complaints.items():
        if facts[fact] is not True:
            raise AssertionError(f"{complaint}.")

    number, parts = 8000, 12  # half a part is more than 7 standard deviations of the share of a class
    shares = student.run(shares_of_draws, labels, number, parts, seed)
    uniform = "; all samples are drawn equally often, whatever their class" if len(set(shares)) == 1 else ""
    for position, (share, label) in enumerate(zip(shares, labels, strict=True)):
        wanted = parts // (len(set(labels)) * labels.count(label))
        if share != wanted:
            raise AssertionError(
                f"Sample {position} of the labels {labels} was drawn in about {share}/{parts} of {number} draws, "
                f"expected about {wanted}/{parts}: its class has a third of the draws and {labels.count(label)} of the "
                f"samples{uniform}."
            )

    number, times, parts = 2000, 200, 3  # half a part is more than 8 standard deviations
    together = student.run(neighbours_of_draws, labels, number, times, parts, seed)
    where = {
        "neighbours": f"neighbours in one call of {number} draws",
        "short calls": f"pairs of samples within {times} calls of {parts} draws each",
    }
    for name, description in where.items():
        if together[name] != 1:
            raise AssertionError(
                f"Of the {description}, about {together[name]}/{parts} are of one class, expected about 1/{parts} with "
                f"{parts} classes: the draws depend on each other."
            )


@points(1)
@catches("empty-class-accepted", "negative-targets-wrap-around", "negative-weights-accepted", "zero-over-zero")
def test_bad_input_is_refused(student, rng):
    """Counts, targets, weights, labels and options that make no sense are refused, and arguments stay unchanged."""
    nan, inf = math.nan, math.inf
    for counts in ([], [4, 0, 3], [4, -1, 3], [[4, 2], [3, 1]], [4, inf]):
        for method in ("inverse", "effective"):
            with raises(ValueError, what=f"class_weights({counts}, {method!r})"):
                student.class_weights(counts, method)
    for counts in ([4, 1.5, 3], [4, nan, 3]):
        with raises(TypeError, ValueError, what=f"class_weights({counts}, 'inverse')"):
            student.class_weights(counts, "inverse")
    for method in ("balanced", "Inverse", ""):
        with raises(ValueError, what=f"class_weights([4, 2], {method!r})"):
            student.class_weights([4, 2], method)
    for beta in (1.0, 1.5, -0.1, nan):
        with raises(ValueError, what=f"class_weights([4, 2], 'effective', beta={beta})"):
            student.class_weights([4, 2], "effective", beta=beta)

    logits, targets, weights = rng.normal(size=(4, 3)), [0, 2, 1, 2], [1.0, 2.0, 0.5]
    refused = [
        ("3 targets for 4 rows", logits, targets[:3], weights),
        ("1 target for 4 rows", logits, targets[:1], weights),
        ("2 weights for 3 classes", logits, [0, 1, 1, 0], weights[:2]),
        ("1 weight for 3 classes", logits, [0, 0, 0, 0], weights[:1]),
        ("logits with one axis", logits[0], targets[:3], weights),
        ("logits with three axes", logits[None], targets, weights),
        ("a target of 3 with 3 classes", logits, [0, 3, 1, 2], weights),
        ("a target of -1", logits, [0, -1, 1, 2], weights),
        ("a negative weight", logits, targets, [1.0, -0.25, 0.5]),
        ("a weight that is NaN", logits, targets, [1.0, nan, 0.5]),
        ("an infinite weight", logits, targets, [1.0, inf, 0.5]),
        ("all targets ignored", logits, [-100] * 4, weights),
        ("no samples", np.zeros((0, 3)), np.zeros(0, dtype=np.int64), weights),
        ("weight 0 for every target", logits, [0, 2, 2, 0], [0.0, 1.0, 0.0]),
    ]
    for name, *arguments in refused:
        with raises(ValueError, what=f"weighted_cross_entropy with {name}"):
            student.weighted_cross_entropy(*arguments)
    with raises(TypeError, ValueError, what="weighted_cross_entropy with a target of 1.5"):
        student.weighted_cross_entropy(logits, np.array([0, 1.5, 1, 2]), weights)

    with raises(ValueError, what="sample_weights([])"):
        student.sample_weights([])
    with raises(ValueError, what="sample_weights of a (2, 2) array"):
        student.sample_weights(np.array([[0, 1], [1, 1]]))
    for labels, number in (([0, 1, 1], 0), ([0, 1, 1], -2), ([], 3)):
        with raises(ValueError, what=f"balanced_indices({labels}, {number}, rng)"):
            student.run(kinds_of_draws, labels, [number], 0)

    before = [np.array([3, 1, 2]), logits, np.array([0, -100, 1, 2]), np.array(weights), np.array([5, 2, 2])]
    after = student.run(arguments_after_the_calls, *[value.copy() for value in before])
    for name, left, right in zip(("counts", "logits", "targets", "weights", "labels"), after, before, strict=True):
        assert_unchanged(left, right, what=f"argument {name}")
