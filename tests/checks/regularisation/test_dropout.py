"""Hidden checks of regularisation/dropout: facts that hold for every mask, however it is drawn."""

import math

import numpy as np

from grader.checking import (
    assert_claims,
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
    "crops_are_safe": False,
    "factor_at_inference": False,
    "tenth_is_dropped": True,
    "exact_share": False,
    "mean_not_variance": True,
    "mean_behind_relu": False,
    "absent_in_18_percent": True,
    "leak_misleads": True,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-12}

# --------------------------------------------------- probes: they run in the student's process and return
# facts that are the same for every way of drawing, so that no check depends on how a solution uses its generator.


def facts_of_dropout(student, x, p, seed):
    """Types, shapes, and the smallest and largest y / x among kept and among dropped entries."""
    import numpy as np

    y, mask = student.dropout(x, p, True, np.random.default_rng(seed))
    y, mask = np.asarray(y), np.asarray(mask)
    facts = {"types": [str(y.dtype), str(mask.dtype)], "shapes": [list(y.shape), list(mask.shape)]}
    if y.shape == mask.shape == x.shape and mask.dtype == bool:
        ratio = y / x
        for name, chosen in (("kept", mask), ("dropped", ~mask)):
            found = ratio[chosen]
            facts[name] = [round(float(found.min()), 12), round(float(found.max()), 12)] if found.size else None
    return facts, x


def dropout_at_inference(student, x, p, seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    before = rng.bit_generator.state
    y, mask = student.dropout(x, p, False, rng)
    return y, mask, rng.bit_generator.state == before


def modality_dropout_at_inference(student, features, p, seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    before = rng.bit_generator.state
    kept, present = student.modality_dropout(features, p, rng, training=False)
    return list(kept), present, rng.bit_generator.state == before


def overwrite_the_results(student, x, mask, features, training):
    """The arguments after every result has been overwritten."""
    import numpy as np

    rng = np.random.default_rng(0)
    results = [*student.dropout(x, 0.0, training, rng), student.dropout_backward(x, mask, 0.0)]
    kept, present = student.modality_dropout(features, 0.0, rng, training=training)
    for result in [*results, *kept, present]:
        result[...] = 1 - result if result.dtype != bool else ~result
    return x, mask, list(features)


def shares_of_dropout(student, p, rows, columns, parts, seed):
    """How often entries and pairs of neighbours are kept, in whole parts, and whether their number varies."""
    import numpy as np

    _, mask = student.dropout(np.ones((rows, columns)), p, True, np.random.default_rng(seed))
    facts = {
        "entries": round(parts * float(mask.mean())),
        "pairs in a row": round(parts * float((mask[:, 1:] & mask[:, :-1]).mean())),
        "pairs in a column": round(parts * float((mask[1:] & mask[:-1]).mean())),
    }
    rng = np.random.default_rng(seed + 1)
    small = [student.dropout(np.ones((4, 12)), p, True, rng)[1] for _ in range(40)]
    facts["whole varies"] = len({int(mask.sum()) for mask in small}) > 1
    facts["rows vary"] = len({int(count) for mask in small for count in mask.sum(axis=1)}) > 1
    facts["columns vary"] = len({int(count) for mask in small for count in mask.sum(axis=0)}) > 1
    return facts


def use_of_generators(student, which, seed):
    """Whether global generators are left alone, and whether the given one, and it alone, decides."""
    import random

    import numpy as np

    def draw(rng):
        if which == "dropout":
            return np.asarray(student.dropout(np.ones((9, 13)), 0.375, True, rng)[1])
        return np.asarray(student.modality_dropout([np.ones((90, 2)), np.ones((90, 1))], 0.375, rng)[1])

    before = random.getstate(), repr(np.random.get_state())
    rng = np.random.default_rng(seed)
    first, second = draw(rng), draw(rng)
    return {
        "untouched": (random.getstate(), repr(np.random.get_state())) == before,
        "repeatable": bool(np.array_equal(first, draw(np.random.default_rng(seed)))),
        "seed matters": not np.array_equal(first, draw(np.random.default_rng(seed + 1))),
        "goes on": not np.array_equal(first, second),
    }


def facts_of_modality_dropout(student, features, p, seed):
    """Types, shapes, the range of result / feature where present and where not, and the fewest left to a sample."""
    import numpy as np

    kept, present = student.modality_dropout(features, p, np.random.default_rng(seed))
    kept, present = [np.asarray(vectors) for vectors in kept], np.asarray(present)
    facts = {
        "types": [str(array.dtype) for array in (*kept, present)],
        "shapes": [list(array.shape) for array in (*kept, present)],
    }
    if facts["shapes"] == [*(list(f.shape) for f in features), [len(features[0]), len(features)]]:
        if present.dtype == bool:
            facts["fewest"] = int(present.sum(axis=1).min())
            ratios = [vectors / feature for vectors, feature in zip(kept, features, strict=True)]
            for name, chosen in (("present", present), ("dropped", ~present)):
                parts = [ratio[chosen[:, m]].ravel() for m, ratio in enumerate(ratios)]
                found = np.concatenate(parts)
                facts[name] = [round(float(found.min()), 12), round(float(found.max()), 12)] if found.size else None
    return facts, list(features)


def shares_of_modality_dropout(student, modalities, p, batch, parts, seed):
    """How many samples have each set of modalities (a bit mask), in whole parts."""
    import numpy as np

    features = [np.ones((batch, 1)) for _ in range(modalities)]
    _, present = student.modality_dropout(features, p, np.random.default_rng(seed))
    sets = np.asarray(present).astype(int) @ (2 ** np.arange(modalities))
    return [round(parts * float((sets == code).mean())) for code in range(2**modalities)]


def call_dropout(student, shape, p, training):
    import numpy as np

    student.dropout(np.ones(shape), p, training, np.random.default_rng(0))


def call_modality_dropout(student, features, p, training):
    import numpy as np

    student.modality_dropout(features, p, np.random.default_rng(0), training)


def try_the_example(student):
    import numpy as np

    x = np.linspace(1, 2, 60).reshape(3, 20)
    y, mask = student.dropout(x, 0.2, True, np.random.default_rng(0))
    y, mask = np.asarray(y), np.asarray(mask)
    shapes = [list(y.shape), list(mask.shape)]
    kept = bool(np.allclose(y[mask], x[mask] / 0.8))
    dropped = bool((y[~mask] == 0).all())
    gradient = student.dropout_backward([1.0, 1.0, 2.0], np.array([True, False, True]), 0.5)
    text, image = np.full((4, 2), 5.0), np.full((4, 3), 7.0)
    (new_text, new_image), present = student.modality_dropout([text, image], 1.0, np.random.default_rng(0))
    present = np.asarray(present)
    left = [int(count) for count in present.sum(axis=1)]
    agree = np.allclose(new_text[:, 0], 5 * present[:, 0]) and np.allclose(new_image[:, 2], 7 * present[:, 1])
    return shapes, str(mask.dtype), kept, dropped, gradient, left, bool(agree)


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_the_example_of_the_notebook(student):
    """The example of the notebook: scaled entries, a gradient, and one modality left at p = 1."""
    shapes, dtype, kept, dropped, gradient, left, agree = student.run(try_the_example)
    assert_equal(shapes, [[3, 20], [3, 20]], what="list of the shapes of y and mask")
    assert_equal(dtype, "bool", what="dtype of the mask")
    for fact, complaint in (
        (kept, "dropout with p = 0.2: kept entries should be divided by the probability of being kept"),
        (dropped, "dropout with p = 0.2: entries whose mask is False should be 0"),
        (agree, "modality_dropout: the returned features do not agree with present"),
    ):
        if not fact:
            raise AssertionError(f"{complaint}.")
    loose = {"rtol": 1e-5, "atol": 1e-8}  # np.allclose in the notebook
    assert_close(gradient, [2.0, 0.0, 4.0], **loose, what="gradient for a mask [True, False, True] and p = 0.5")
    assert_equal(left, [1, 1, 1, 1], what="list of modalities left to each sample at p = 1")


@points(3)
@catches("published-claims", "expectation-and-share-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "not-rescaled",
    "divided-by-p",
    "nan-at-one",
    "computed-in-float32",
    "integers-kept",
    "gradient-not-rescaled",
    "gradient-with-a-new-mask",
    "gradient-without-the-mask",
)
def test_kept_entries_and_their_gradient_are_scaled_alike(student, rng, seed):
    """Kept entries are divided by the probability of being kept, in the forward and in the backward pass."""
    floats = rng.uniform(0.5, 2, size=(6, 7, 8)) * rng.choice([-1, 1], size=(6, 7, 8))
    cases = [
        (floats, 0.3),
        (floats, 0.85),
        (floats, 0.0),
        (floats, 1.0),
        (rng.integers(1, 9, size=200), 0.4),
        (floats[0].astype(np.float32), 0.3),
    ]
    cause = "by what a kept entry has to be divided, so that its mean over many masks is x"
    for x, p in cases:
        what = f"dropout of {x.dtype} {x.shape} with p = {p}"
        facts, after = student.run(facts_of_dropout, x.copy(), p, seed)
        assert_equal(facts["types"], ["float64", "bool"], what=f"list of the dtypes of y and mask in {what}")
        assert_equal(facts["shapes"], [list(x.shape)] * 2, what=f"list of the shapes of y and mask in {what}")
        assert_equal(facts["dropped"] is None, p == 0, what=f"answer to 'nothing was dropped' in {what}")
        assert_equal(facts["kept"] is None, p == 1, what=f"answer to 'nothing was kept' in {what}")
        if p < 1:
            expected = [1 / (1 - p)] * 2
            assert_close(facts["kept"], expected, **CLOSE, what=f"(least, greatest) kept y / x in {what}", cause=cause)
        if p > 0:
            assert_close(facts["dropped"], [0.0, 0.0], **CLOSE, what=f"(least, greatest) dropped y / x in {what}")
        assert_unchanged(after, x, what=f"argument x of {what}")

    cause = "the gradient is that of the forward pass: the same mask and the same factor"
    for shape, p in (((3, 5), 0.3), ((40,), 0.85), ((3, 5), 0.0), ((2, 3, 4), 1.0)):
        for gradient in (rng.normal(size=shape), rng.normal(size=shape).astype("f4"), rng.integers(1, 9, size=shape)):
            mask = rng.random(shape) < 0.6 if p < 1 else np.zeros(shape, dtype=bool)
            result = student.dropout_backward(gradient, mask, p)
            what = f"result of dropout_backward ({gradient.dtype} {shape}, p = {p})"
            assert_shape(result, shape, what=what)
            assert_dtype(result, np.float64, what=what)
            expected = np.zeros(shape)
            for index in np.ndindex(*shape):
                if mask[index]:
                    expected[index] = float(gradient[index]) / (1 - p)
            assert_close(result, expected, **CLOSE, what=what, cause=cause)


@points(1)
@catches("factor-at-inference", "active-at-inference", "modalities-dropped-at-inference", "generator-used-at-inference")
def test_nothing_is_dropped_at_inference(student, rng, seed):
    """At inference both kinds of dropout are the identity, whatever p is, and draw nothing."""
    x = rng.normal(size=(4, 30))
    features = [rng.normal(size=(9, 2)), rng.normal(size=(9, 5)), rng.normal(size=(9, 3))]
    for p in (0.6, 1.0, 0.0):
        for values in (x, x.astype("f4"), rng.integers(-5, 6, size=11)):
            y, mask, untouched = student.run(dropout_at_inference, values, p, seed)
            what = f"dropout of {values.dtype} {values.shape} at inference with p = {p}"
            assert_dtype(y, np.float64, what=f"y of {what}")
            cause = "nothing is multiplied or drawn at inference"
            assert_close(y, values.astype(np.float64), rtol=0, atol=0, what=f"y of {what}", cause=cause)
            assert_dtype(mask, np.bool_, what=f"mask of {what}")
            assert_equal(mask, np.ones(values.shape, dtype=bool), what=f"mask of {what}")
            if not untouched:
                raise AssertionError(f"The {what} has used its generator: the state of rng differs afterwards.")
        kept, present, untouched = student.run(modality_dropout_at_inference, features, p, seed)
        what = f"modality_dropout at inference with p = {p}"
        assert_equal(len(kept), 3, what=f"number of arrays from {what} of 3 modalities")
        for m, (result, feature) in enumerate(zip(kept, features, strict=True)):
            assert_dtype(result, np.float64, what=f"array {m} of {what}")
            assert_close(result, feature, rtol=0, atol=0, what=f"array {m} of {what}")
        assert_dtype(present, np.bool_, what=f"present of {what}")
        assert_equal(present, np.ones((9, 3), dtype=bool), what=f"present of {what}")
        if not untouched:
            raise AssertionError(f"The {what} has used its generator: the state of rng differs afterwards.")


def assert_good_use_of_generators(student, which, seed):
    facts = student.run(use_of_generators, which, seed)
    complaints = {
        "untouched": "changed the state of a global random generator; only the one passed in may be used",
        "repeatable": "gave different masks for two equal generators; all randomness must come from rng",
        "seed matters": "gave the same mask for generators with different seeds; rng has no effect",
        "goes on": "gave the same mask twice with one generator",
    }
    for fact, complaint in complaints.items():
        if facts[fact] is not True:
            raise AssertionError(f"The function {which} {complaint}.")


@points(1)
@catches("p-keeps", "exact-share-dropped", "one-mask-for-all-rows", "global-generator", "generator-of-its-own")
def test_entries_are_dropped_independently_with_probability_p(student, seed):
    """Each entry is dropped with probability p, independently of all others, by the generator that is passed in."""
    p, rows, columns, parts = 0.25, 120, 200, 16  # half a part is more than 7 standard deviations of each share
    facts = student.run(shares_of_dropout, p, rows, columns, parts, seed)
    told = f"dropout of {rows} x {columns} ones with p = {p}"
    for name, expected in (("entries", 12), ("pairs in a row", 9), ("pairs in a column", 9)):
        if facts[name] != expected:
            kept = "were kept" if name == "entries" else "were both kept"
            raise AssertionError(
                f"In a {told}, about {facts[name]}/{parts} of the {name} {kept}, expected about {expected}/{parts}: "
                + ("p is the probability of being dropped." if name == "entries" else "the draws depend on each other.")
            )
    for name, where in (("whole varies", "all"), ("rows vary", "a row"), ("columns vary", "a column")):
        if not facts[name]:
            raise AssertionError(
                f"In 40 calls of dropout on 4 x 12 ones with p = {p}, the number of kept entries of {where} was never "
                "different; independent draws make it vary."
            )
    assert_good_use_of_generators(student, "dropout", seed)


@points(1)
@catches("all-modalities-lost", "present-rescaled", "entries-instead-of-vectors", "present-inverted")
def test_dropped_modalities_are_zero_and_one_is_left(student, rng, seed):
    """Dropped vectors are 0, present ones are as they were, and every sample keeps a modality."""
    for widths, p, dtype in (
        ((3, 5, 2), 0.4, np.float64),
        ((4, 1), 0.9, np.float64),
        ((2, 3, 1, 4), 1.0, np.float64),
        ((3, 2), 0.0, np.float64),
        ((5,), 0.7, np.float64),
        ((2, 3), 0.5, np.float32),
    ):
        features = [(rng.uniform(0.5, 2, (60, width)) * rng.choice([-1, 1])).astype(dtype) for width in widths]
        facts, after = student.run(facts_of_modality_dropout, [feature.copy() for feature in features], p, seed)
        what = f"modality_dropout of 60 samples with the widths {widths}, p = {p}"
        expected = ["float64"] * len(widths) + ["bool"]
        assert_equal(facts["types"], expected, what=f"list of dtypes (features, present) of {what}")
        expected = [[60, width] for width in widths] + [[60, len(widths)]]
        assert_equal(facts["shapes"], expected, what=f"list of shapes (features, present) of {what}")
        assert_equal(facts["fewest"] >= 1, True, what=f"answer to 'every sample has a modality' of {what}")
        if p == 1:
            assert_equal(facts["fewest"], 1, what=f"least number of modalities left to a sample of {what}")
        cause = "present vectors stay as they are and dropped ones are 0, as a whole and as `present` says"
        what = f"(least, greatest) value divided by its feature, of {{}} vectors of {what}"
        assert_close(facts["present"], [1.0, 1.0], **CLOSE, what=what.format("present"), cause=cause)
        if p == 0 or len(widths) == 1:
            assert_equal(facts["dropped"], None, what=what.format("dropped"), cause="nothing should be dropped here")
        else:
            assert_close(facts["dropped"], [0.0, 0.0], **CLOSE, what=what.format("dropped"), cause=cause)
        for m, (left, right) in enumerate(zip(after, features, strict=True)):
            assert_unchanged(left, right, what=f"array {m} of the features")


@points(1)
@catches(
    "modality-p-keeps",
    "one-row-for-all-samples",
    "drawn-again",
    "first-modality-comes-back",
    "one-draw-for-all-bare-samples",
    "global-generator-for-modalities",
)
def test_modalities_are_dropped_independently(student, seed):
    """Each modality of each sample is dropped by itself, and a bare sample gets any of its modalities back."""

    def names(code, modalities):
        return "only " * (code.bit_count() == 1) + " and ".join(str(m) for m in range(modalities) if code >> m & 1)

    # half a part is more than 7 standard deviations of each share
    for modalities, p, batch, parts in ((3, 0.5, 20000, 24), (2, 0.75, 60000, 32), (3, 1.0, 6000, 9)):
        found = student.run(shares_of_modality_dropout, modalities, p, batch, parts, seed)
        for code in range(1, 2**modalities):
            size = code.bit_count()
            share = p ** (modalities - size) * (1 - p) ** size + (size == 1) * p**modalities / modalities
            expected = round(parts * share)
            if found[code] != expected:
                raise AssertionError(
                    f"In modality_dropout with {modalities} modalities and p = {p}, about {found[code]}/{parts} of "
                    f"{batch} samples had {names(code, modalities)} left, expected about {expected}/{parts}. Draw for "
                    "each modality of each sample; a sample without any gets one back, each equally often."
                )
    assert_good_use_of_generators(student, "modality_dropout", seed)


@points(1)
@catches("nan-rate-accepted", "integer-features-accepted", "changed-in-place", "input-handed-back", "mask-broadcast")
def test_bad_input_is_refused_and_arguments_stay(student, rng):
    """Senseless rates, shapes and types are refused, and results share no memory with the arguments."""
    good = [rng.normal(size=(4, 2)), rng.normal(size=(4, 3))]
    for p in (-0.1, 1.01, math.nan, math.inf):
        for training in (True, False):
            with raises(ValueError, what=f"dropout with p = {p} and training = {training}"):
                student.run(call_dropout, (3, 2), p, training)
            with raises(ValueError, what=f"modality_dropout with p = {p} and training = {training}"):
                student.run(call_modality_dropout, good, p, training)
        with raises(ValueError, what=f"dropout_backward with p = {p}"):
            student.dropout_backward(np.ones(3), np.ones(3, dtype=bool), p)
    for gradient, mask in (((3, 2), (2, 3)), ((3, 2), (2,)), ((1,), (4,)), ((4,), (1,))):
        with raises(ValueError, what=f"dropout_backward with a gradient {gradient} and a mask {mask}"):
            student.dropout_backward(np.ones(gradient), np.ones(mask, dtype=bool), 0.5)
    floats = np.ones((4, 2))
    for training in (True, False):
        for name, features in (
            ("no modality", []),
            ("4 and 1 samples", [floats, floats[:1]]),
            ("4 and 3 samples", [floats, floats, floats[:3]]),
            ("an array of one axis", [floats, np.ones(4)]),
            ("an array of three axes", [np.ones((4, 2, 2)), floats]),
        ):
            with raises(ValueError, what=f"modality_dropout with {name} and training = {training}"):
                student.run(call_modality_dropout, features, 0.5, training)
        for kind in (np.int64, np.uint8, np.bool_):
            for features in ([floats, floats.astype(kind)], [floats.astype(kind), floats]):
                with raises(TypeError, what=f"modality_dropout with {kind.__name__} and training = {training}"):
                    student.run(call_modality_dropout, features, 0.5, training)

    x, mask = rng.normal(size=(4, 3)), rng.random((4, 3)) < 2  # all True
    for training in (True, False):
        left = student.run(overwrite_the_results, x.copy(), mask.copy(), [f.copy() for f in good], training)
        for name, after, before in zip(
            ("x", "mask", "features 0", "features 1"), (*left[:2], *left[2]), (x, mask, *good), strict=True
        ):
            try:
                assert_unchanged(after, before, what=name)
            except AssertionError:
                raise AssertionError(
                    f"With training = {training} and p = 0 the argument {name} changed, either in the call or when the "
                    "results were overwritten afterwards: a result must share no memory with an argument."
                ) from None
