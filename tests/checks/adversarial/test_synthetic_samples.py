"""Checks of adversarial/synthetic_samples.

The generator runs over there and writes down what it was asked for and what it returned. The checks of rows, labels and
mask start from these notes, so that a mistake in the numbers costs its own check only.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from grader.checking import assert_dtype, assert_equal, assert_shape, assert_unchanged, catches, points, raises, visible

PARTS = ("X_aug", "y_aug", "is_synthetic")


# ---------------------------------------------------------------- what runs in the student's process


def balance_with_synthetic(student, X, y, max_ratio, settings):
    """One call with a generator that takes notes.

    settings: `dtype` of the generated rows; `spoil`, what is wrong with them, a key of SPOILED.
    """
    import numpy as np

    notes = {"asked": [], "made": []}

    def plain(value):
        return value.item() if hasattr(value, "item") else value

    def generate_fn(label, n):
        notes["asked"].append((plain(label), plain(n)))
        n = max(int(n), 0)
        spoil, shape = settings.get("spoil"), X.shape[1:]
        count = {"one more": n + 1, "one less": n - 1, "nothing": 0, "one for all": 1}.get(spoil, n)
        if spoil == "one axis less":
            shape = shape[1:]
        if spoil == "one axis more":
            shape = (*shape, 1)
        if spoil == "wider":
            shape = (*shape[:-1], shape[-1] + 1)
        size = int(np.prod((count, *shape)))
        start = 40 + 13 * len(notes["made"])
        values = (start + 7 * np.arange(size) % 10).reshape(count, *shape)
        rows = values.astype(settings.get("dtype", X.dtype))
        notes["made"].append(rows.copy())
        return rows

    notes["result"] = student.balance_with_synthetic(X, y, generate_fn, max_ratio)
    notes["arguments"] = [X, y]
    result = notes["result"]
    if isinstance(result, (tuple, list)):
        arrays = [part for part in result if isinstance(part, np.ndarray)]
        notes["shared"] = [bool(np.shares_memory(part, given)) for part in arrays for given in (X, y)]
    return notes


# ---------------------------------------------------------------- what is expected, worked out here


def samples(rng, counts, shape=(3,), dtype="float64"):
    """Shuffled labels with the given counts, and random rows for them."""
    labels = list(counts)
    y = rng.permutation(np.array(labels).repeat([counts[label] for label in labels]))
    X = rng.integers(0, 100, (len(y), *shape)).astype(dtype)
    return X, y


def expected_requests(y, max_ratio):
    """What generate_fn should be asked for: a loop with counts, in exact arithmetic."""
    counts = {}
    for label in y.tolist():
        counts[label] = counts.get(label, 0) + 1
    requests = []
    for label in sorted(counts):
        allowed = math.floor(Fraction(max_ratio) * counts[label])
        n = min(max(counts.values()) - counts[label], allowed)
        if n > 0:
            requests.append((label, n))
    return requests


def described(y, max_ratio):
    counts = {}
    for label in sorted(y.tolist()):
        counts[label] = counts.get(label, 0) + 1
    return f"{', '.join(f'{count} real of {label!r}' for label, count in counts.items())}; max_ratio={max_ratio}"


def part_of(notes, name, case):
    """One of the three arrays of a result."""
    result, number = notes["result"], PARTS.index(name)
    if not isinstance(result, tuple | list):
        raise AssertionError(
            f"balance_with_synthetic returned a {type(result).__name__} ({case}); it should return three arrays."
        )
    if len(result) <= number:
        raise AssertionError(
            f"balance_with_synthetic returned {len(result)} items ({case}); it should return three arrays, and {name} "
            "is missing."
        )
    if not isinstance(result[number], np.ndarray):
        raise AssertionError(f"{name} is of type {type(result[number]).__name__} ({case}); it should be an array.")
    return result[number]


def run(student, X, y, max_ratio, **settings):
    return student.run(balance_with_synthetic, X, y, max_ratio, settings)


def require_requests(notes, case):
    if not notes["asked"]:
        raise AssertionError(f"generate_fn was never called ({case}); some class should get synthetic samples.")


def in_order_of_labels(notes):
    """The requests and the generated rows, sorted by label."""
    pairs = sorted(zip(notes["asked"], notes["made"], strict=True), key=lambda pair: pair[0][0])
    return [request for request, _ in pairs], [rows for _, rows in pairs]


CLASSES = {10: 5, 2: 8, -3: 4, 7: 2}
WORDS = {"owl": 4, "cat": 9, "lynx": 3}
RATIO = 0.75


# ---------------------------------------------------------------- the checks


@points(1)
@visible
def test_three_classes_worked_out_by_hand(student):
    """The example in the notebook comes out right."""
    y = np.array([5, 10, 2, 5, 2, 5, 5, 2, 10, 5, 2, 5, 2, 5, 10, 5])
    X = np.stack([np.arange(16.0), -np.arange(16.0)], axis=1)
    notes = run(student, X, y, 0.5)
    assert_equal(notes["asked"], [(2, 2), (10, 1)], what="list of requests (label, n)")
    X_aug, y_aug, is_synthetic = (part_of(notes, name, "the example") for name in PARTS)
    assert_equal(X_aug, np.concatenate([X, *notes["made"]]), what="array X_aug")
    assert_equal(y_aug, np.array([*y.tolist(), 2, 2, 10]), what="array y_aug")
    assert_equal(is_synthetic, np.array([False] * 16 + [True] * 3), what="array is_synthetic")


@points(1)
@catches("only-two-results", "mask-of-integers", "labels-through-lists", "rows-through-float64", "y-sorted-in-place")
def test_three_arrays_in_the_dtypes_of_the_data(student, rng):
    """Three arrays of the announced shapes and dtypes come back, and the arguments stay unchanged."""
    for shape, dtype, made, counts, label_dtype in (
        ((3,), "float32", "float32", CLASSES, "int16"),
        ((2, 4), "float64", "float32", CLASSES, "int64"),
        ((), "float64", "int16", CLASSES, "int32"),
        ((2, 3, 2), "uint8", "uint8", WORDS, None),
        ((4,), "float32", "uint8", WORDS, None),
        ((), "<U5", "<U3", CLASSES, "int64"),
    ):
        X, y = samples(rng, counts, shape, dtype)
        X = np.char.zfill(X, 5) if X.dtype.kind == "U" else X  # texts as long as the dtype allows
        y = y if label_dtype is None else y.astype(label_dtype)
        notes = run(student, X, y, RATIO, dtype=made)
        case = f"X {X.dtype} {X.shape}, y {y.dtype}, generated rows {made}"
        parts = [part_of(notes, name, case) for name in PARTS]
        if len(notes["result"]) != 3:
            raise AssertionError(
                f"balance_with_synthetic returned {len(notes['result'])} items; it should return three."
            )
        for name, part, width, wanted in zip(PARTS, parts, (shape, (), ()), (X.dtype, y.dtype, bool), strict=True):
            assert_shape(part, (*part.shape[:1], *width), what=f"array {name} ({case})")
            assert_dtype(part, wanted, what=f"array {name} ({case})")
        for name, after, before in zip(("X", "y"), notes["arguments"], (X, y), strict=True):
            assert_unchanged(after, before, what=f"array {name} ({case})")


@points(2)
@catches(
    "no-cap",
    "majority-topped-up-too",
    "rounded",
    "rounded-up",
    "share-of-what-is-missing",
    "share-of-the-largest-class",
    "share-of-all-rows",
    "up-to-the-mean",
    "only-the-rarest-class",
    "asked-for-nothing",
    "position-instead-of-label",
    "row-by-row",
    "number-as-a-float",
    "labels-in-order-of-appearance",
    "labels-sorted-as-text",
)
def test_each_class_gets_what_it_lacks_within_the_cap(student, rng):
    """generate_fn is asked once for each class that gets samples, for the right number."""
    cause = "a class gets what it lacks to the largest, but at most max_ratio times its own real rows, rounded down"
    for counts, ratio in (
        (CLASSES, 0.75),
        (CLASSES, 1.5),
        ({0: 3, 1: 12, 2: 10, 3: 5}, 0.5),
        (WORDS, 0.5),
        (WORDS, 4.0),
        ({100: 2, 20: 5, 3: 9}, 1),
        ({4: 1, 8: 3, 6: 11, 5: 11}, 0.375),
    ):
        X, y = samples(rng, counts, (2,))
        notes = run(student, X, y, ratio)
        case = described(y, ratio)
        for label, n in notes["asked"]:
            if not isinstance(n, int) or isinstance(n, bool):
                raise AssertionError(
                    f"generate_fn was given n = {n!r} of type {type(n).__name__} for the label {label!r} ({case}); n "
                    "should be an integer."
                )
        expected = expected_requests(y, ratio)
        if notes["asked"] != expected:
            raise AssertionError(
                f"generate_fn was asked for these (label, n): {notes['asked']}. It should be asked for: {expected}. "
                f"The data: {case}.\nLikely cause: {cause}"
            )


@points(1)
@catches("original-data-returned", "real-rows-replaced", "synthetic-first", "grouped-by-class", "shuffled")
def test_real_rows_first_then_the_generated_ones(student, rng):
    """X_aug holds all real rows in their order, and behind them every generated row, class by class."""
    cause = "real rows in their order, then the generated rows in sorted order of labels, all of them and nothing else"
    for counts, shape in ((CLASSES, (3,)), (WORDS, (2, 2)), ({20: 3, 3: 7, 100: 4}, ())):
        X, y = samples(rng, counts, shape)
        notes = run(student, X, y, RATIO)
        case = described(y, RATIO)
        X_aug = part_of(notes, "X_aug", case)
        require_requests(notes, case)
        _, made = in_order_of_labels(notes)
        expected = np.concatenate([X, *made])
        if len(X_aug) != len(expected):
            raise AssertionError(
                f"X_aug has {len(X_aug)} rows; {len(X)} are real, and generate_fn returned "
                f"{len(expected) - len(X)} more ({case}).\nLikely cause: {cause}"
            )
        assert_equal(X_aug[: len(X)], X, what=f"part of X_aug that should be the real rows ({case})", cause=cause)
        what = f"part of X_aug that should be the generated rows ({case})"
        assert_equal(X_aug[len(X) :], expected[len(X) :], what=what, cause=cause)


@points(1)
@catches("labels-read-off-the-rows", "labels-of-the-majority", "labels-repeated-in-turn", "labels-of-real-rows-sorted")
def test_synthetic_rows_have_the_label_that_was_asked_for(student, rng):
    """y_aug holds the labels of the real rows, and for each generated row the label it was asked for."""
    cause = "a generated row has the label that was given to generate_fn, next to the row it belongs to"
    for counts, ratio in ((CLASSES, RATIO), (WORDS, 1.0)):
        X, y = samples(rng, counts)
        notes = run(student, X, y, ratio)
        case = described(y, ratio)
        y_aug = part_of(notes, "y_aug", case)
        require_requests(notes, case)
        requests, made = in_order_of_labels(notes)
        new = [label for (label, _), rows in zip(requests, made, strict=True) for _ in rows]
        found = y_aug.tolist()
        if found[: len(y)] != y.tolist():
            raise AssertionError(f"y_aug does not begin with the labels of the real rows, in their order ({case}).")
        if found[len(y) :] != new:
            raise AssertionError(
                f"Behind the real labels y_aug holds {found[len(y) :]}; it should hold {new} ({case}).\n"
                f"Likely cause: {cause}"
            )


@points(1)
@catches("mask-without-a-true", "mask-turned-round", "mask-of-labels", "mask-of-the-new-rows-only")
def test_the_mask_finds_every_synthetic_row(student, rng):
    """is_synthetic is True for the generated rows and for no other one."""
    for counts, ratio in ((CLASSES, RATIO), (WORDS, 1.0)):
        X, y = samples(rng, counts)
        notes = run(student, X, y, ratio)
        case = described(y, ratio)
        is_synthetic = part_of(notes, "is_synthetic", case)
        require_requests(notes, case)
        new = sum(len(rows) for rows in notes["made"])
        found = np.flatnonzero(is_synthetic).tolist()
        expected = list(range(len(X), len(X) + new))
        if is_synthetic.shape != (len(X) + new,) or found != expected:
            raise AssertionError(
                f"is_synthetic has shape {is_synthetic.shape} and is True at {found}; there are {len(X)} real rows and "
                f"{new} generated ones behind them, so it should be True at {expected} ({case})."
            )


@points(1)
@catches(
    "aliases-when-nothing-is-added",
    "at-least-one-for-each-class",
    "fails-when-nothing-is-added",
    "floats-when-nothing-is-added",
)
def test_nothing_is_added_where_nothing_is_missing_or_allowed(student, rng):
    """Where no class gets anything the result equals the input, in new arrays."""
    for counts, ratio in (
        (CLASSES, 0),
        (CLASSES, 0.0),
        ({3: 1, 9: 3, 1: 7}, 0.125),
        ({5: 4, 6: 4, 1: 4}, 2.0),
        ({8: 6}, 3.0),
        ({"dog": 1}, 1.0),
    ):
        X, y = samples(rng, counts, (2,))
        notes = run(student, X, y, ratio)
        case = described(y, ratio)
        if notes["asked"]:
            raise AssertionError(f"generate_fn was asked for {notes['asked']}; it should not be called ({case}).")
        for name, wanted in zip(PARTS, (X, y, np.zeros(len(y), dtype=bool)), strict=True):
            part = part_of(notes, name, case)
            assert_equal(part, wanted, what=f"array {name} ({case})")
            if name == "y_aug":  # the other dtypes are for another check
                assert_dtype(part, y.dtype, what=f"array {name} ({case})")
        if any(notes["shared"]):
            raise AssertionError(f"A result shares memory with X or y ({case}); it should be a new array.")


@points(1)
@catches("number-not-checked", "one-row-stretched", "shape-not-checked", "cast-anyway", "cast-of-one-kind")
def test_a_generator_that_returns_something_else_is_refused(student, rng):
    """Generated rows of another number or shape, or of a dtype that does not cast safely, are refused."""
    counts = {4: 9, 2: 5, 6: 3}  # with the ratio 1 class 2 gets four rows and class 6 three
    for spoil in ("one more", "one less", "nothing", "one for all", "one axis less", "one axis more", "wider"):
        X, y = samples(rng, counts, (3,))
        with raises(ValueError, what=f"balance_with_synthetic with a generate_fn that returns {SPOILED[spoil]}"):
            run(student, X, y, 1.0, spoil=spoil)
    for dtype, made in (
        ("uint8", "float64"),
        ("int32", "float32"),
        ("float32", "float64"),
        ("uint8", "int64"),
        ("int16", "uint16"),
        ("<U2", "<U4"),
    ):
        X, y = samples(rng, counts, (3,), dtype)
        names = f"rows of dtype {made} for data of dtype {dtype}"
        with raises(ValueError, what=f"balance_with_synthetic with a generate_fn that returns {names}"):
            run(student, X, y, 1.0, dtype=made)


SPOILED = {
    "one more": "one row too many",
    "one less": "one row too few",
    "nothing": "no row",
    "one for all": "a single row instead of n",
    "one axis less": "shape (n,) instead of (n, 3)",
    "one axis more": "shape (n, 3, 1) instead of (n, 3)",
    "wider": "shape (n, 4) instead of (n, 3)",
}


@points(1)
@catches("negative-ratio-accepted", "nan-ratio-accepted", "empty-accepted", "lengths-not-compared", "column-of-labels")
def test_bad_arguments_are_refused(student, rng):
    """Bad ratios, empty data, labels with two axes and lengths that differ are refused."""
    X, y = samples(rng, CLASSES)
    level, even = samples(rng, {1: 3, 2: 3})
    for case, arguments in (
        ("max_ratio=-0.5", (X, y, -0.5)),
        ("max_ratio=-0.5 and balanced classes", (level, even, -0.5)),
        ("max_ratio=nan", (X, y, math.nan)),
        ("no rows", (X[:0], y[:0], 0.5)),
        ("no rows and max_ratio=0", (X[:0], y[:0], 0)),
        ("19 rows of X and 18 labels", (X, y[:-1], 0.5)),
        ("18 rows of X and 19 labels", (X[:-1], y, 0.5)),
        ("one row more in X than labels, and balanced classes", (np.concatenate([level, level[:1]]), even, 0.5)),
        ("y of shape (19, 1)", (X, y[:, None], 0.5)),
        ("y of shape (6, 1), and balanced classes", (level, even[:, None], 0.5)),
    ):
        with raises(ValueError, what=f"balance_with_synthetic with {case}"):
            run(student, *arguments)
