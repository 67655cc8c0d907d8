"""Hidden checks of data/group_split. They look at properties that hold for every order of drawing random numbers."""

import itertools
import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grader.checking import assert_dtype, assert_equal, assert_unchanged, catches, points, raises, visible

SPLITTERS = ("group_split", "size_aware_group_split")


def split(student, function, groups, fractions, seed, call=""):
    """The parts, each as a list of row numbers; which dtype they have is for another check."""
    call = call or f"{function}({len(groups)} rows, {fractions}, seed={seed})"
    parts = getattr(student, function)(groups, fractions, seed)
    if not isinstance(parts, tuple | list) or len(parts) != len(fractions):
        found = f"{len(parts)} items" if isinstance(parts, tuple | list) else f"a {type(parts).__name__}"
        raise AssertionError(f"{call} returned {found}; it should return a tuple of {len(fractions)} arrays.")
    for number, part in enumerate(parts):
        if not isinstance(part, np.ndarray):
            raise AssertionError(f"Split {number} of {call} is of type {type(part).__name__}; it should be an array.")
        whole = part.dtype.kind in "iu" or (part.dtype.kind == "f" and bool((part == np.floor(part)).all()))
        if part.ndim != 1 or not whole:
            raise AssertionError(
                f"Split {number} of {call} has dtype {part.dtype} and shape {part.shape}; it should be a "
                "one-dimensional array of row numbers."
            )
    return [part.astype(np.int64).tolist() for part in parts]


def assert_numbers(found, expected, what):
    """Fail with both lists whole unless they agree."""
    if list(found) != list(expected):
        raise AssertionError(f"The {what} are {list(found)}; they should be {list(expected)}.")


def assert_partition(groups, parts, call):
    """Every row in exactly one part, every group in one part only."""
    home = {}
    for number, part in enumerate(parts):
        for row in part:
            if not 0 <= row < len(groups):
                raise AssertionError(f"{call}: split {number} holds row {row}, but there are {len(groups)} rows.")
            if row in home:
                raise AssertionError(f"{call}: row {row} is in split {home[row]} and again in split {number}.")
            home[row] = number
    missing = [row for row in range(len(groups)) if row not in home]
    if missing:
        raise AssertionError(
            f"{call}: {len(missing)} of {len(groups)} rows are in no split, the first is {missing[0]}."
        )
    first_row = {}
    for row, name in enumerate(groups):
        other = first_row.setdefault(name, row)
        if home[other] != home[row]:
            raise AssertionError(
                f"{call}: rows {other} and {row} belong to the same group, {name!r}, but row {other} is in split "
                f"{home[other]} and row {row} in split {home[row]}."
            )


def largest_remainder(n_groups, fractions):
    """Exact counts: the floor of each quota, the rest one by one, then one group for each empty split."""
    quotas = [Fraction(fraction).limit_denominator(1000) * n_groups for fraction in fractions]
    counts = [math.floor(quota) for quota in quotas]
    rest = [quota - count for quota, count in zip(quotas, counts, strict=True)]
    for _ in range(n_groups - sum(counts)):
        split_number = rest.index(max(rest))
        counts[split_number] += 1
        rest[split_number] = Fraction(-1)
    for split_number, fraction in enumerate(fractions):
        if fraction and not counts[split_number]:
            counts[counts.index(max(counts))] -= 1
            counts[split_number] += 1
    return counts


def all_results_of_the_rule(sizes, fractions):
    """What the size-aware rule makes of groups of these sizes, for every order in which they may be taken."""
    targets = [Fraction(fraction) * sum(sizes) for fraction in fractions]
    results = set()
    for order in itertools.permutations(range(len(sizes))):
        rows, home = [0] * len(fractions), {}
        for placed, group in enumerate(order):
            open_splits = [number for number, target in enumerate(targets) if target and not rows[number]]
            allowed = open_splits if len(sizes) - placed == len(open_splits) else range(len(fractions))
            home[group] = min(allowed, key=lambda number: (rows[number] - targets[number], number))
            rows[home[group]] += sizes[group]
        results.add(tuple(home[group] for group in range(len(sizes))))
    return results


def rows_of(rng, sizes):
    """Rows of groups of the given sizes in random order; group number i has sizes[i] rows."""
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes))


@points(1)
@visible
def test_twelve_photos_with_three_captions_each(student):
    """The twelve photos of the notebook are split without a leak, and the leak of a split by rows is counted."""
    photo = [f"photo {row % 12}" for row in range(36)]
    assert_equal(
        student.leakage(photo, (list(range(24)), list(range(24, 36)))),
        12,
        what="leakage of the first 24 rows against the last 12",
    )
    for function in SPLITTERS:
        call = f"{function}(photo, (0.3, 0.4, 0.3), seed=3)"
        parts = split(student, function, photo, (0.3, 0.4, 0.3), 3, call)
        assert_partition(photo, parts, call)
        assert_numbers([len(part) for part in parts], [12, 15, 9], f"numbers of rows in the splits of {call}")
        assert_equal(student.leakage(photo, parts), 0, what=f"leakage of {call}")


def split_and_look_at_the_arguments(student, function, groups, fractions, seed):
    parts = getattr(student, function)(groups, fractions, seed)
    return parts, groups, fractions


@points(1)
@catches("unsorted-rows", "groups-instead-of-rows", "empty-split-of-floats")
def test_each_split_is_a_sorted_int64_array(student, rng):
    """Each split is an int64 array of ascending row numbers, empty ones too; no argument is changed."""
    numbers = rows_of(rng, [2, 5, 1, 3, 4, 2, 3])
    names = np.array(["cat", "dog", "Cat", "a dog", "emu", "fox", "gnu"])[numbers]
    cases = (
        ("strings", names, (0.6, 0.4)),
        ("a list of strings", names.tolist(), (0.25, 0.25, 0.5)),
        ("numbers with gaps", (numbers - 3) * 10, (0.5, 0.0, 0.25, 0.25)),
        ("a list of numbers", numbers.tolist(), [0.0, 1.0]),
    )
    for function in SPLITTERS:
        for kind, groups, fractions in cases:
            call = f"{function}(groups, {fractions}, 5) where groups is an array or a list: {kind}"
            split(student, function, groups, fractions, 5, call)
            parts, groups_after, fractions_after = student.run(
                split_and_look_at_the_arguments, function, groups, fractions, 5
            )
            for number, part in enumerate(parts):
                empty = " (which is empty)" if part.size == 0 else ""
                assert_dtype(part, "int64", what=f"split {number}{empty} of {call}")
                if (np.diff(part) <= 0).any():
                    raise AssertionError(f"Split {number} of {call} is {part.tolist()}: not in ascending order.")
            if sorted(np.concatenate(parts).tolist()) != list(range(len(numbers))):
                found = [part.tolist() for part in parts]
                raise AssertionError(
                    f"{call} returned {found}; together they should hold the row numbers 0 to {len(numbers) - 1}."
                )
            for name, before, after in (("groups", groups, groups_after), ("fractions", fractions, fractions_after)):
                if isinstance(before, np.ndarray) and before.dtype.kind != "U":
                    assert_unchanged(after, before, what=name)
                elif list(after) != list(before):
                    raise AssertionError(f"The argument {name} was changed by {call}.")


@points(2)
@catches("split-by-rows", "neighbours-only", "groups-lost", "groups-twice", "row-quota-cuts-groups")
@given(
    groups=st.lists(st.integers(0, 9), min_size=8, max_size=24).filter(lambda names: len(set(names)) >= 4),
    fractions=st.sampled_from([(0.5, 0.3, 0.2), (0.8, 0.1, 0.1), (0.7, 0.3), (0.4, 0.0, 0.35, 0.25), (1.0,)]),
    seed=st.integers(0, 1000),
    named=st.booleans(),
)
def test_every_row_is_in_one_split_and_every_group_too(student, groups, fractions, seed, named):
    """Every row is in exactly one split, and all rows of a group are in the same one."""
    if named:
        groups = [f"scan {name}" for name in groups]
    for function in SPLITTERS:
        call = f"{function}(groups, {fractions}, {seed})"
        parts = split(student, function, groups, fractions, seed, call)
        assert_partition(groups, parts, call)


@points(1)
@catches(
    "empty-test-split",
    "rounded-boundaries",
    "floored-boundaries",
    "ties-to-the-later-split",
    "rest-to-the-first",
    "rounded-then-adjusted",
    "zero-fraction-filled",
)
def test_numbers_of_groups_follow_the_largest_remainders(student, rng):
    """group_split gives each split its quota of groups by largest remainder, and none with a share stays empty."""
    usual = (0.8, 0.1, 0.1)
    # the first case is one in which the usual mistakes all come out differently
    cases = [(18, (0.25, 0.25, 0.25, 0.25), [5, 5, 4, 4])]
    cases += [(15, usual, [12, 2, 1]), (5, usual, [3, 1, 1]), (45, usual, [36, 5, 4]), (3, usual, [1, 1, 1])]
    cases += [(6, (0.5, 0.5, 0.0), [3, 3, 0]), (4, (0.5, 0.48, 0.01, 0.01), [1, 1, 1, 1])]
    for _ in range(12):
        sixteenths = rng.multinomial(16, [0.1, 0.4, 0.3, 0.2])  # exact as floats, so that ties are ties
        fractions, count = tuple((sixteenths / 16).tolist()), int(rng.integers(5, 40))
        cases.append((count, fractions, largest_remainder(count, fractions)))
    for count, fractions, expected in cases:
        groups = np.arange(count).repeat(2)
        parts = split(student, "group_split", groups, fractions, 11)
        numbers = [len({groups[row] for row in part}) for part in parts]
        quotas = [round(fraction * count, 4) for fraction in fractions]
        assert_numbers(
            numbers, expected, f"numbers of groups in the splits of {count} groups by {fractions} (quotas {quotas})"
        )


def split_with_many_seeds(student, function, groups, fractions, n_seeds):
    """What the seed decides; how a correct answer draws its numbers has no influence on what comes back."""
    import random

    import numpy as np

    splitter = getattr(student, function)

    def result(seed):
        split_of_row = [-1] * len(groups)
        for number, part in enumerate(splitter(groups, fractions, seed)):
            for row in part:
                split_of_row[row] = number
        return tuple(split_of_row)

    random.seed(5)
    np.random.seed(5)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    results = [result(seed) for seed in range(n_seeds)]
    same_python, now = random.getstate() == python_state, np.random.get_state()
    same_numpy = now[2] == numpy_state[2] and bool((now[1] == numpy_state[1]).all())
    stuck = sorted({group for row, group in enumerate(groups) if len({one[row] for one in results}) == 1})
    return result(3) == results[3], len(set(results)), stuck, same_numpy, same_python


def split_with_sets_in_two_orders(student, function, groups, fractions):
    """Whether the result stays the same when sets of strings come in another order, as after a restart of Python."""
    import __main__

    def sets(descending):
        class Set(set):
            def __iter__(self):
                items = list(super().__iter__())
                if any(isinstance(item, str) for item in items):
                    items.sort(key=str, reverse=descending)
                return iter(items)

        return Set

    results = []
    for descending in (False, True):
        __main__.set = sets(descending)
        try:
            parts = getattr(student, function)(groups, fractions, 3)
        finally:
            del __main__.set
        results.append([[int(row) for row in part] for part in parts])
    return results[0] == results[1]


@points(1)
@catches("in-sorted-order", "seed-ignored", "unseeded", "set-order", "global-generator", "largest-groups-first")
def test_the_seed_and_nothing_else_decides(student, rng):
    """The same seed gives the same splits, other seeds others; global random states stay as they are."""
    groups = rows_of(rng, [*range(1, 13), 2, 3, 4, 5]).tolist()
    for function in SPLITTERS:
        repeats, different, stuck, same_numpy, same_python = student.run(
            split_with_many_seeds, function, groups, (0.25, 0.25, 0.25, 0.25), 40
        )
        if different == 1:
            raise AssertionError(f"{function} gave the same splits for 40 different seeds: does it use the seed?")
        if not repeats:
            raise AssertionError(f"{function} gave two different results for the same groups, fractions and seed.")
        if different < 35:  # a few may coincide by chance
            raise AssertionError(
                f"{function} gave only {different} different results for 40 seeds and 16 groups of 1 to 12 rows: is "
                "the order of the groups, or of some of them, decided by something else than the seed?"
            )
        if stuck:
            raise AssertionError(
                f"{function} put {len(stuck)} of 16 groups into the same split for each of 40 seeds, "
                f"among them group {stuck[-1]} with {groups.count(stuck[-1])} rows (the largest has 12)."
            )
        for library, same in (("NumPy's", same_numpy), ("Python's", same_python)):
            if not same:
                raise AssertionError(f"{function} changed {library} global random state; use a generator of your own.")
        names = [f"scan {number}" for number in groups]
        if not student.run(split_with_sets_in_two_orders, function, names, (0.25, 0.25, 0.25, 0.25)):
            raise AssertionError(
                f"The same call of {function} gave another result when a set of strings was gone through in another "
                "order. That order changes whenever Python is started again."
            )


@points(2)
@catches(
    "groups-counted",
    "filled-one-after-the-other",
    "no-room-kept",
    "lacking-ties-to-the-later",
    "random-split",
)
def test_rows_follow_the_fractions_when_groups_differ_in_size(student, rng):
    """size_aware_group_split keeps every split near its target of rows, and gives each one at least one group."""
    # with groups of one size, the number of groups in each split is the same for every order
    for count, size, fractions, expected in (
        (6, 1, (0.5, 0.25, 0.25), [3, 2, 1]),
        (14, 3, (0.25, 0.125, 0.625), [3, 2, 9]),
        (5, 2, (0.98, 0.01, 0.01), [3, 1, 1]),
        (3, 4, (0.0, 0.01, 0.98, 0.01), [0, 1, 1, 1]),
        (12, 2, (0.375, 0.375, 0.25), [5, 4, 3]),
    ):
        parts = split(student, "size_aware_group_split", np.arange(count).repeat(size), fractions, 8)
        targets = [round(fraction * count * size, 4) for fraction in fractions]
        assert_numbers(
            [len(part) for part in parts],
            [number * size for number in expected],
            f"numbers of rows in the splits of {count} groups of {size} row{'s' * (size > 1)} (targets: {targets})",
        )
    # for a few groups, the results of all orders can be listed
    for sizes, fractions in (([9, 1, 3, 7, 2], (0.5, 0.25, 0.25)), ([6, 1, 2, 5], (0.75, 0.0, 0.25))):
        possible = all_results_of_the_rule(sizes, fractions)
        groups = rows_of(rng, sizes)
        for seed in range(6):
            parts = split(student, "size_aware_group_split", groups, fractions, seed)
            home = {int(groups[row]): number for number, part in enumerate(parts) for row in part}
            result = tuple(home.get(group, -1) for group in range(len(sizes)))
            if result not in possible:
                raise AssertionError(
                    f"size_aware_group_split(groups of {sizes} rows, {fractions}, seed={seed}) put these groups into "
                    f"the splits {list(result)}. In whatever order the groups are taken, the rule does not lead there "
                    f"(targets: {[fraction * sum(sizes) for fraction in fractions]} rows)."
                )
    # with other sizes it is not, but these bounds hold for every order
    for sizes, fractions in (([8] * 20 + [1] * 24, (0.5, 0.25, 0.25)), ([5, 7, 9] * 9 + [1], (0.2, 0.2, 0.6))):
        groups = rows_of(rng, sizes)
        for seed in range(8):
            call = f"size_aware_group_split(groups of {min(sizes)} to {max(sizes)} rows, {fractions}, {seed})"
            parts = split(student, "size_aware_group_split", groups, fractions, seed, call)
            for number, (part, fraction) in enumerate(zip(parts, fractions, strict=True)):
                target = fraction * len(groups)
                if not target - 2 * max(sizes) - 1e-6 <= len(part) <= target + max(sizes) + 1e-6:
                    raise AssertionError(
                        f"{call}: split {number} has {len(part)} rows, its target is {target:g}. It may exceed that by "
                        f"{max(sizes)} rows, the largest group, and, with three splits, fall short by twice that."
                    )


@points(1)
@catches(
    "rows-counted",
    "pairs-counted",
    "further-parts-counted",
    "rows-of-one-part-counted",
    "only-against-the-first-part",
    "empty-part-breaks",
    "number-as-float",
)
def test_leakage_counts_each_group_once(student, rng):
    """leakage counts the groups that are in more than one part, each once."""
    groups = ["a", "a", "b", "c", "b", "c", "c", "d", "a", "d", "e"]
    for parts, expected in (
        (([0, 1, 8], [2, 4, 7, 9], [3, 5, 6, 10]), 0),
        (([0, 2, 3], [1, 4, 5], [6, 7, 8]), 3),
        (([0, 1, 10], [2, 3, 7], [4, 5, 6, 9]), 3),
        (([0, 1, 8], [], [2, 4], [3]), 0),
        ([[7, 9, 8], np.array([], dtype=np.int64), np.array([0, 1])], 1),
        (([3, 5, 6, 3], [10, 10]), 0),
        ((), 0),
    ):
        shown = [list(map(int, part)) for part in parts]
        found = student.leakage(groups, parts)
        assert_equal(found, expected, what=f"leakage of {groups} in the parts {shown}")
        if isinstance(found, bool) or not isinstance(found, int | np.integer):
            raise AssertionError(
                f"leakage returned {found!r}, a {type(found).__name__}; it should return an int or a NumPy integer."
            )
    numbers = rows_of(rng, [1, 2, 3, 4, 5, 6])
    parts = np.array_split(rng.permutation(len(numbers)), 4)
    inside = [set(numbers[part].tolist()) for part in parts]
    expected = sum(sum(name in names for names in inside) > 1 for name in range(6))
    shown = [numbers[part].tolist() for part in parts]
    assert_equal(student.leakage(numbers, parts), expected, what=f"leakage of parts with the groups {shown}")


@points(1)
@catches("sum-unchecked", "sum-taken-exactly", "column-accepted", "too-few-groups-accepted", "zero-fractions-refused")
def test_impossible_splits_are_refused(student):
    """Impossible fractions, too few groups and groups of another shape are refused, and nothing else is."""
    groups = [3, 3, 1, 4, 1, 5, 9]  # five groups
    for function in SPLITTERS:
        for what, bad_groups, fractions in (
            ("no rows", [], (0.5, 0.5)),
            ("an empty array of integers", np.array([], dtype=np.int64), (1.0,)),
            ("groups of shape (7, 1)", np.array(groups)[:, None], (0.5, 0.5)),
            ("groups of shape (1, 7)", [groups], (0.5, 0.5)),
            ("fractions that sum to 0.9", groups, (0.6, 0.2, 0.1)),
            ("fractions that sum to 1.1", groups, (0.8, 0.2, 0.1)),
            ("fractions that sum to 1.000001", groups, (0.8, 0.2, 0.000001)),
            ("a negative fraction", groups, (0.8, 0.3, -0.1)),
            ("a fraction that is NaN", groups, (0.8, float("nan"), 0.2)),
            ("no fractions", groups, ()),
            ("5 groups for 6 positive fractions", groups, (0.5, 0.1, 0.1, 0.1, 0.1, 0.1)),
            ("1 group for 2 positive fractions", ["x", "x", "x"], (0.5, 0.5)),
        ):
            with raises(ValueError, what=f"{function} with {what}"):
                getattr(student, function)(bad_groups, fractions, 0)
        for what, good_groups, fractions in (
            ("fractions that sum to 1 up to rounding", groups, (0.7, 0.2, 0.1)),
            ("as many groups as positive fractions, and a zero", groups, (0.5, 0.0, 0.125, 0.125, 0.125, 0.125)),
            ("a single row", ["x"], (0.0, 1.0)),
        ):
            parts = split(student, function, good_groups, fractions, 0, f"{function} with {what}")
            assert_partition(good_groups, parts, f"{function} with {what}")
