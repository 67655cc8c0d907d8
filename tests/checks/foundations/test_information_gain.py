"""Checks of foundations/information_gain. Expected values come from loops over cells and exact sums."""

from __future__ import annotations

import math

import numpy as np

from grader.checking import assert_claims, assert_close, assert_unchanged, catches, points, raises, visible

CLAIMS = {
    "trained_model": False,
    "not_below_either": True,
    "sum_of_parts": False,
    "useless_alone": False,
    "late_average": True,
    "copied_modality": True,
    "zero_interaction": False,
    "beats_baselines": False,
}
KEYS = ("text", "image", "joint", "interaction")
NAN = math.nan


# ---------------------------------------------------------------- what is expected, worked out here


def expected_entropy(probabilities):
    return math.fsum(-p * math.log2(p) for p in np.ravel(probabilities).tolist() if p)


def expected_information(table):
    """The sum over the cells of p log2 (p / product of the margins), one cell at a time."""
    rows = [[float(p) for p in row] for row in table]
    first = [math.fsum(row) for row in rows]
    second = [math.fsum(column) for column in zip(*rows, strict=True)]
    return math.fsum(
        p * (math.log2(p) - math.log2(first[a]) - math.log2(second[c]))
        for a, row in enumerate(rows)
        for c, p in enumerate(row)
        if p
    )


def expected_parts(joint):
    texts, images, labels = (range(size) for size in joint.shape)
    text = [[math.fsum(joint[a, b, c] for b in images) for c in labels] for a in texts]
    image = [[math.fsum(joint[a, b, c] for a in texts) for c in labels] for b in images]
    pairs = [joint[a, b] for a in texts for b in images]
    return {
        "text": expected_information(text),
        "image": expected_information(image),
        "joint": expected_information(pairs),
    }


def probabilities(rng, *shape):
    """Random probabilities, all above 0 and uneven."""
    weights = rng.random(shape) ** 2 + 0.02
    return weights / weights.sum()


def number(value, what):
    """A single number of the submission; NumPy scalars and arrays of shape () pass as well."""
    if isinstance(value, np.ndarray | np.generic) and value.shape == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AssertionError(f"The {what} should be a number; it is {type(value).__name__}.")
    return float(value)


def dictionary(value, call):
    """The four numbers of interaction_bits."""
    if not isinstance(value, dict):
        raise AssertionError(f"{call} should return a dictionary; it returned {type(value).__name__}.")
    missing = [key for key in KEYS if key not in value]
    if missing:
        raise AssertionError(f"{call} lacks the keys {missing}; it has {list(value)}.")
    return {key: number(value[key], f"entry {key!r} of {call}") for key in KEYS}


def same(found, expected, what, cause=""):
    assert_close(found, expected, rtol=0.0, atol=1e-8, what=what, cause=cause)


def result_and_argument(student, function, table):
    """What a call returned, and its argument after it."""
    return getattr(student, function)(table), table


# ---------------------------------------------------------------- the checks


@visible
@points(1)
def test_worked_example(student):
    """Tables of two texts, three images and two labels give the numbers shown in the notebook."""
    same(number(student.entropy([[1 / 2, 1 / 4], [1 / 8, 1 / 8]]), "result of entropy"), 1.75, "result of entropy")
    table = np.array([[6, 1], [1, 4], [2, 2]]) / 16
    found = number(student.mutual_information(table), "result of mutual_information")
    same(found, expected_information(table), "result of mutual_information")
    joint = np.array([[[9, 1], [2, 3], [2, 1]], [[1, 2], [1, 4], [1, 5]]]) / 32
    parts = dictionary(student.interaction_bits(joint), "interaction_bits(joint)")
    expected = expected_parts(joint)
    expected["interaction"] = expected["joint"] - expected["text"] - expected["image"]
    for key, value in expected.items():
        same(parts[key], value, f"entry {key!r} of interaction_bits(joint)")


@points(3)
@catches("published-claims")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "nats",
    "decimal-digits",
    "sign-of-the-entropy",
    "logarithms-without-weights",
    "share-of-the-largest-entropy",
    "gini-impurity",
    "constant-inside-the-logarithm",
    "constant-added-to-probabilities",
    "small-probabilities-dropped",
    "rounded-entropy",
    "entropy-of-the-last-axis",
)
def test_entropy(student, rng):
    """Entropy is the weighted mean of -log2 p over all entries, whatever the shape."""
    rare = np.array([1 - 7e-7, 4e-7, 3e-7])
    cases = [
        ("four equal outcomes", np.full(4, 1 / 4)),
        ("three equal outcomes", np.full(3, 1 / 3)),
        ("five random probabilities", probabilities(rng, 5)),
        ("a random (3, 4) table", probabilities(rng, 3, 4)),
        ("a random (2, 3, 5) table", probabilities(rng, 2, 3, 5)),
        ("two rare outcomes (4e-7 and 3e-7)", rare),
        ("a single outcome", np.ones(1)),
    ]
    answers = [student.entropy(table) for _, table in cases]
    cause = "the sum of -p log2 p over every entry, in bits, with the probabilities as they are"
    for (told, table), answer in zip(cases, answers, strict=True):
        what = f"entropy of {told}"
        same(number(answer, what), expected_entropy(table), what, cause)


@points(1)
@catches(
    "entropy-of-the-pairs",
    "what-is-left-open",
    "uniform-label-assumed",
    "share-of-the-label-entropy",
    "both-remainders",
    "divergence-turned-round",
    "mean-over-the-rows",
    "one-against-the-rest",
)
def test_mutual_information(student, rng):
    """Mutual information is what one variable tells about the other, in tables of every shape."""
    first, second = probabilities(rng, 3), probabilities(rng, 4)
    cases = [(f"a random {shape} table", probabilities(rng, *shape)) for shape in ((2, 3), (5, 2), (3, 3), (4, 6))]
    cases += [
        ("two independent variables", np.outer(first, second)),
        ("a table with one row", probabilities(rng, 1, 4)),
        ("a table with one column", probabilities(rng, 3, 1)),
    ]
    answers = [student.mutual_information(table) for _, table in cases]
    cause = "the uncertainty about one variable that the other takes away, in bits"
    for (told, table), answer in zip(cases, answers, strict=True):
        what = f"mutual_information of {told}"
        same(number(answer, what), expected_information(table), what, cause)


@points(1)
@catches(
    "undefined-at-0",
    "product-of-tiny-margins",
    "computed-in-the-dtype-given",
    "argument-overwritten",
    "axes-of-length-1-removed",
)
def test_tables_of_every_kind(student, rng):
    """Probabilities of 0, tiny ones, short axes, lists and every dtype are handled, and arguments stay as they were."""

    def entropy(table, told):
        return number(student.entropy(table), f"entropy of {told}")

    def information(table, told):
        return number(student.mutual_information(table), f"mutual_information of {told}")

    def parts(table, told):
        return dictionary(student.interaction_bits(table), f"interaction_bits of {told}")

    # every expected value is an answer of the submission itself, to a table without any of the difficulties
    some = probabilities(rng, 3)
    padded = np.array([some[0], 0.0, some[1], some[2], 0.0])
    zero = "an outcome of probability 0 adds 0"
    same(entropy(padded, "probabilities with zeros"), entropy(some, "the same without"), "entropy with zeros", zero)
    for certain in ([0.0, 1.0], [0, 1], [[0], [1], [0]]):
        same(entropy(certain, f"{certain}"), 0.0, f"entropy of {certain}", zero)
    table = probabilities(rng, 3, 2)
    wider = np.insert(np.insert(table, 1, 0.0, axis=0), 2, 0.0, axis=1)
    expected = information(table, "a random (3, 2) table")
    for told, other in (("a row and a column of zeros", wider), ("its axes exchanged", table.T)):
        same(information(other, told), expected, f"mutual_information of a table with {told}", zero)
    copy = "mutual_information of a variable and its copy"
    same(information(np.diag(some), "a diagonal table"), entropy(some, "the diagonal"), copy, zero)

    cause = "the product of two tiny probabilities is 0 in float64"
    for told, tiny in (
        ("[[1, 0], [0, 1e-200]]", [[1.0, 0.0], [0.0, 1e-200]]),
        ("[[1, 1e-200], [1e-200, 1e-200]]", [[1.0, 1e-200], [1e-200, 1e-200]]),
    ):
        same(information(tiny, told), 0.0, f"mutual_information of {told}", cause)

    counts = rng.integers(1, 60, (2, 3, 2))
    counts[0, 0, 0] += 1024 - counts.sum()
    joint = counts / 1024  # exact in float16 as well
    whole = parts(joint, "a float64 table")
    for told, other in (
        ("lists", joint.tolist()),
        ("float16", joint.astype(np.float16)),
        ("float32", joint.astype(np.float32)),
    ):
        found = parts(other, f"the same table as {told}")
        for key in KEYS:
            what = f"entry {key!r} of interaction_bits of the same table as {told}"
            same(found[key], whole[key], what, "the table is to be converted to float64 before anything else")
    certain = parts(np.array([[[0, 1]], [[0, 0]]]), "a table of integers with one certain outcome")
    short = parts(table[:, None, :], "a table with a single image")
    for key, value in {"text": expected, "image": 0.0, "joint": expected}.items():
        same(certain[key], 0.0, f"entry {key!r} for a table of integers with one certain outcome")
        same(short[key], value, f"entry {key!r} of interaction_bits of a (3, 1, 2) table with a single image")

    for function, argument in (("entropy", padded), ("mutual_information", wider), ("interaction_bits", joint)):
        _, after = student.run(result_and_argument, function, argument)
        assert_unchanged(after, argument, what=f"argument of {function}")


@points(1)
@catches(
    "joint-as-the-sum",
    "text-and-image-exchanged",
    "information-between-text-and-image",
    "image-beyond-the-text",
    "label-on-the-first-axis",
    "mean-of-the-slices",
    "first-slice-only",
    "total-correlation",
    "pairs-mixed-up",
)
def test_text_image_and_joint(student, rng):
    """Text, image and both together are each compared with the label."""
    joints = [probabilities(rng, *shape) for shape in ((2, 3, 4), (4, 2, 3), (3, 3, 3), (3, 5, 2))]
    answers = [student.interaction_bits(joint) for joint in joints]
    causes = {
        "text": "text and label, the image summed out",
        "image": "image and label, the text summed out",
        "joint": "every pair of a text and an image is one value, compared with the label",
    }
    for joint, answer in zip(joints, answers, strict=True):
        call = f"interaction_bits of a random {joint.shape} table"
        found = dictionary(answer, call)
        for key, value in expected_parts(joint).items():
            same(found[key], value, f"entry {key!r} of {call}", causes[key])


@points(1)
@catches(
    "interaction-cut-at-0",
    "interaction-reversed",
    "interaction-without-sign",
    "gain-over-the-better-one",
    "gain-over-the-text",
    "interaction-as-a-share",
)
def test_interaction(student, rng):
    """The interaction is what both tell together beyond the sum of what each tells, with its sign."""
    noise, other = rng.uniform(0.03, 0.12), rng.uniform(0.15, 0.3)
    right, also_right = (
        np.array([[1 - noise, noise], [noise, 1 - noise]]),
        np.array([[1 - other, other], [other, 1 - other]]),
    )
    xor, unequal = np.empty((2, 2, 2)), probabilities(rng, 2)
    for t in (0, 1):
        for i in (0, 1):
            xor[t, i] = right[t ^ i] / 4
    cases = [
        ("the noisy XOR of both modalities", xor),
        ("two noisy copies of the label", np.einsum("c,ca,cb->abc", unequal, right, also_right)),
        ("a label of two bits, one in each modality", np.einsum("ac,bd->abcd", right, also_right).reshape(2, 2, 4) / 4),
        ("a random (3, 4, 2) table", probabilities(rng, 3, 4, 2)),
    ]
    answers = [student.interaction_bits(joint) for _, joint in cases]
    for (told, _), answer in zip(cases, answers, strict=True):
        call = f"interaction_bits for {told}"
        found = dictionary(answer, call)
        expected = found["joint"] - found["text"] - found["image"]
        same(found["interaction"], expected, f"entry 'interaction' of {call}", "joint - text - image, with its sign")


@points(1)
@catches(
    "negative-accepted",
    "slightly-negative-accepted",
    "nan-accepted",
    "sum-unchecked",
    "sum-loosely-checked",
    "sum-exactly-1",
    "counts-normalised",
    "axes-unchecked",
    "more-axes-accepted",
)
def test_tables_that_are_none_are_refused(student, rng):
    """Negative and undefined probabilities, other sums and other numbers of axes are refused; tiny excess is not."""
    functions = (("entropy", (4,)), ("mutual_information", (3, 2)), ("interaction_bits", (2, 3, 2)))
    for function, shape in functions:
        fine = probabilities(rng, *shape)
        flat = fine.ravel()

        def changed(*values, flat=flat, shape=shape):
            """The table with other first values, and what the sum then lacks in the last one."""
            table = flat.copy()
            table[: len(values)] = values
            table[-1] += 1 - table.sum()
            return table.reshape(shape)

        for told, table in (
            ("a negative probability (-0.2)", changed(-0.2)),
            ("a slightly negative probability (-1e-10)", changed(-1e-10)),
            ("NaN in one place", np.where(np.arange(flat.size) == 1, NAN, flat).reshape(shape)),
            ("a sum of 1.25", fine * 1.25),
            ("a sum of 0.5", fine / 2),
            ("a sum of 1 + 1e-6", fine * (1 + 1e-6)),
            ("a sum of 1 + 1.3e-8", fine * (1 + 1.3e-8)),
            ("a sum of 1 - 1e-6", fine * (1 - 1e-6)),
            ("counts in place of probabilities", np.arange(1, flat.size + 1).reshape(shape)),
            ("nothing but zeros", np.zeros(shape)),
        ):
            with raises(ValueError, what=f"{function} with {told}"):
                getattr(student, function)(table)
        off = getattr(student, function)(fine * (1 + 8e-9))
        value = dictionary(off, f"{function} with a sum of 1 + 8e-9")["joint"] if isinstance(off, dict) else off
        if not math.isfinite(number(value, f"result of {function} with a sum of 1 + 8e-9")):
            raise AssertionError(f"{function} gives {value} for a table whose sum is 1 + 8e-9")
    for function, shapes in (
        ("mutual_information", ((4,), (1,), (2, 3, 2), (1, 2, 2))),
        ("interaction_bits", ((4,), (2, 3), (2, 3, 2, 2), (1, 2, 2, 2))),
    ):
        for shape in shapes:
            with raises(ValueError, what=f"{function} with a table of shape {shape}"):
                getattr(student, function)(probabilities(rng, *shape))
