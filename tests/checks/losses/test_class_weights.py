"""Checks of losses/class_weights. Expected values come from sums term by term and from counting draws."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from grader.checking import (
    assert_close,
    assert_dtype,
    assert_equal,
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


def draw(student, labels, num_samples, seeds):
    """The draws for each seed, and whether the global generators are where they were."""
    import random

    import numpy as np

    def state():
        name, keys, *rest = np.random.get_state()
        return name, keys.tolist(), rest, random.getstate()

    before = state()
    drawn = [student.balanced_indices(labels, num_samples, np.random.default_rng(seed)) for seed in seeds]
    return drawn, state() == before


def arguments_after_the_calls(student, counts, logits, targets, weights, labels):
    import numpy as np

    student.class_weights(counts, "inverse")
    student.class_weights(counts, "effective")
    student.weighted_cross_entropy(logits, targets, weights)
    student.sample_weights(labels)
    student.balanced_indices(labels, 3, np.random.default_rng(1))
    return counts, logits, targets, weights, labels


@points(1)
@visible
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    expected = [5 / 8, 5 / 2]
    assert_close(student.class_weights([8, 2], "inverse"), expected, **loose, what="result of inverse weighting")
    expected = [128 / 149, 170 / 149]
    weights = student.class_weights([8, 2], "effective", beta=0.5)
    assert_close(weights, expected, **loose, what="result of effective-number weighting")
    logits = np.log([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])
    loss = student.weighted_cross_entropy(logits, [0, 1, -100], [1, 4])
    assert_close(loss, (math.log(2) + 4 * math.log(1.25)) / 5, **loose, what="weighted loss")
    weights = student.sample_weights([7, 7, 3, 7])
    assert_close(weights, [1 / 6, 1 / 6, 1 / 2, 1 / 6], **loose, what="result of sample_weights([7, 7, 3, 7])")
    (drawn,), _ = student.run(draw, [7, 7, 3, 7], 10, [0])
    assert_shape(drawn, (10,), what="array of drawn indices")
    assert_dtype(drawn, np.int64, what="array of drawn indices")
    if not set(drawn.tolist()) <= {0, 1, 2, 3}:
        raise AssertionError(
            f"balanced_indices([7, 7, 3, 7], 10, rng) drew {drawn.tolist()}, expected positions 0 to 3"
        )


@points(3)
@catches("claims-as-published", "samplers-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    claims = student.claims
    if not isinstance(claims, dict):
        raise AssertionError(f"claims is {type(claims).__name__}, expected a dict")
    right = sum(
        isinstance(claims.get(name), (bool, np.bool_)) and bool(claims[name]) == truth for name, truth in CLAIMS.items()
    )
    if right != len(CLAIMS):
        raise AssertionError(f"{right} of {len(CLAIMS)} claims are right; each must be True or False")


@points(1)
@catches(
    "proportional-to-counts",
    "power-without-complement",
    "effective-not-rescaled",
    "inverse-not-rescaled",
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
        cause = "number of all samples, divided by the number of classes and by the class's own samples"
        assert_close(weights, inverse_weights(counts), **CLOSE, what=what, cause=cause)
    for name, keywords, value in (("", {}, 0.999), (f", beta={beta}", {"beta": beta}, beta)):
        weights = student.class_weights(counts, "effective", **keywords)
        what = f"result of class_weights({counts}, 'effective'{name})"
        assert_shape(weights, (len(counts),), what=what)
        assert_dtype(weights, np.float64, what=what)
        cause = f"rarer classes never weigh less, and the weights sum to {len(counts)}"
        assert_close(weights, effective_weights(counts, value), **CLOSE, what=what, cause=cause)


@points(1)
@catches("divided-by-batch-size", "ignored-in-the-denominator", "weights-dropped")
def test_the_loss_is_a_mean_weighted_by_the_targets(student, rng):
    """The loss is the mean of the losses of the samples that count, weighted by their targets' weights."""
    n_samples, n_classes = 7, 4
    logits = rng.normal(size=(n_samples, n_classes)) * 2
    weights = rng.uniform(0.2, 5, size=n_classes)
    targets = np.array([0, 3, 1, 1, 2, 0, 3])
    plain = dict(logits=logits, targets=targets, weights=weights)
    ignored = np.array([0, 3, -100, 1, -100, 0, 3])
    cases = [
        ("all samples count", plain, {}),
        ("lists", {name: value.tolist() for name, value in plain.items()}, {}),
        ("all weights tripled", plain | {"weights": 3 * weights}, {}),
        ("equal weights of 1", plain | {"weights": np.ones(n_classes)}, {}),
        ("a class of weight 0", plain | {"weights": np.array([weights[0], 0.0, *weights[2:]])}, {}),
        ("float32 logits, int32 targets", plain | {"logits": logits.astype("f4"), "targets": targets.astype("i4")}, {}),
        ("two targets are -100", plain | {"targets": ignored}, {}),
        ("ignore_index=1", plain, {"ignore_index": 1}),
        ("ignore_index=9", plain | {"targets": np.array([0, 9, 1, 1, 9, 9, 3])}, {"ignore_index": 9}),
    ]
    for name, arguments, keywords in cases:
        loss = student.weighted_cross_entropy(*arguments.values(), **keywords)
        rows = np.asarray(arguments["logits"], dtype=np.float64).tolist()
        expected = weighted_loss(rows, list(arguments["targets"]), list(arguments["weights"]), **keywords)
        cause = "the same samples must count above and below the fraction bar, each with the weight of its target"
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
@catches("proportional-to-frequency", "classes-from-zero-on")
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
            cause = "the weights of one class's samples add up to 1 / (number of classes that occur)"
            assert_close(weights, expected, **CLOSE, what=what, cause=cause)


@points(1)
@catches("one-weight-for-each-class", "without-replacement", "numpy-global-generator", "generator-ignored")
def test_draws_are_balanced_and_come_from_the_given_generator(student, rng, seed):
    """Classes are drawn equally often, samples with replacement, and all randomness comes from the generator."""
    labels = [30] * 12 + [10] * 5 + [20] * 2
    labels = [labels[i] for i in rng.permutation(len(labels))]
    number, seeds = 6000, [seed, seed, seed + 1]
    (first, again, other), untouched = student.run(draw, labels, number, seeds)
    for drawn in (first, again, other):
        assert_shape(drawn, (number,), what="array of drawn indices")
        assert_dtype(drawn, np.int64, what="array of drawn indices")
    if first.min() < 0 or first.max() >= len(labels):
        raise AssertionError(
            f"The drawn indices go from {first.min()} to {first.max()}, expected 0 to {len(labels) - 1}"
        )
    cause = "all randomness must come from the generator that is passed in"
    assert_equal(again, first, what="second draw with an equal generator", cause=cause)
    if np.array_equal(first, other):
        raise AssertionError(
            "Two generators with different seeds gave the same 6000 draws; the generator has no effect"
        )
    if not untouched:
        raise AssertionError("A global random generator was used; only the generator that is passed in may be")
    found = np.bincount(first, minlength=len(labels)) / number
    expected = [1 / 3 / labels.count(label) for label in labels]
    for position, (share, wanted) in enumerate(zip(found, expected, strict=True)):
        if abs(share - wanted) > 7 * math.sqrt(wanted * (1 - wanted) / number):  # 7 standard deviations
            raise AssertionError(
                f"Sample {position} was drawn in {share:.1%} of {number} draws, expected about {wanted:.1%}: its class "
                f"has a third of the draws, shared by {labels.count(labels[position])} samples"
            )
    (one,), _ = student.run(draw, labels, 1, [seed])
    assert_shape(one, (1,), what="array of one drawn index")
    (few,), _ = student.run(draw, labels, len(labels), [seed])
    if len(set(few.tolist())) == len(few):
        raise AssertionError(f"{len(few)} draws from {len(labels)} samples never repeated one; draw with replacement")


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
            student.run(draw, labels, number, [0])

    before = [np.array([3, 1, 2]), logits, np.array([0, -100, 1, 2]), np.array(weights), np.array([5, 2, 2])]
    after = student.run(arguments_after_the_calls, *[value.copy() for value in before])
    for name, left, right in zip(("counts", "logits", "targets", "weights", "labels"), after, before, strict=True):
        assert_unchanged(left, right, what=f"argument {name}")
