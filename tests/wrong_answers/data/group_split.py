"""Wrong answers and differently written correct ones for data/group_split.

Every line under "must reject" of B-Q4b and E-X02 has an entry: rows instead of groups (split-by-rows), no permutation
(in-sorted-order), rounding (groups-lost, groups-twice, rounded-boundaries), seed and global states (seed-ignored,
unseeded, global-generator), an empty test split (empty-test-split), leakage by rows (rows-counted), the first part takes
all large groups (largest-groups-first).

Not told apart from correct answers: giving every split a group at the beginning instead of keeping room at the end. In
1500 random cases of 4 or 5 groups, each of its results was also one of the rule for another order of the groups, and
the order is free.
"""

from grader.catalogue import Alternative, WrongAnswer

SHAPE = "test_each_split_is_a_sorted_int64_array"
PARTITION = "test_every_row_is_in_one_split_and_every_group_too"
COUNTS = "test_numbers_of_groups_follow_the_largest_remainders"
SEED = "test_the_seed_and_nothing_else_decides"
ROWS = "test_rows_follow_the_fractions_when_groups_differ_in_size"
LEAKS = "test_leakage_counts_each_group_once"
REFUSED = "test_impossible_splits_are_refused"

REST = "    counts[by_remainder[: len(names) - counts.sum()]] += 1\n"
MINIMUM = """    for split, fraction in enumerate(fractions):
        if fraction > 0 and counts[split] == 0:
            counts[counts.argmax()] -= 1
            counts[split] = 1

"""
ORDER = "    order = np.random.default_rng(seed).permutation(len(names))\n"
CHECKED = """    groups = np.asarray(groups)
    if groups.ndim != 1 or groups.size == 0:
        raise ValueError("groups")
    names, group_of_row = np.unique(groups, return_inverse=True)
    require_fractions(fractions, len(names))
"""

wrong_answers = [
    WrongAnswer(
        id="split-by-rows",
        title="rows shuffled and split instead of groups",
        explanation=(
            "Every row is placed on its own, so the five captions of one image end up in different splits, and the test "
            "score rewards the memory of pictures. Decide first what must stay together, and shuffle these things."
        ),
        caught_by=PARTITION,
        code=f"""
def group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
{CHECKED}    order = np.random.default_rng(seed).permutation(len(groups))
    bounds = np.round(np.cumsum(fractions) * len(groups)).astype(int)
    return tuple(np.sort(part) for part in np.split(order, bounds[:-1]))


size_aware_group_split = group_split
""",
    ),
    WrongAnswer(
        id="neighbours-only",
        title="only neighbouring rows taken for one group",
        explanation=(
            "Runs of equal names are kept together, but a name that comes back later in the list is treated as a new "
            "group. Rows of one group need not be neighbours: number the distinct names, not the changes of name."
        ),
        caught_by=PARTITION,
        swap=(
            (
                "    names, group_of_row = np.unique(groups, return_inverse=True)  # (groups,), (rows,)\n",
                "    group_of_row = np.append(0, np.cumsum(groups[1:] != groups[:-1]))\n"
                "    names = np.unique(group_of_row)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="row-quota-cuts-groups",
        title="shuffled groups laid in a row and cut at a number of rows",
        explanation=(
            "The rows follow the order of their groups, and still the cut falls inside a group: its first rows are in "
            "one split and the others in the next. A group moves as a whole, even if the numbers of rows then miss "
            "their targets a little."
        ),
        caught_by=PARTITION,
        code=f"""
def size_aware_group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
{CHECKED}    place = np.random.default_rng(seed).permutation(len(names))
    order = np.argsort(place[group_of_row], kind="stable")
    bounds = np.round(np.cumsum(fractions) * len(groups)).astype(int)
    return tuple(np.sort(part) for part in np.split(order, bounds[:-1]))
""",
    ),
    WrongAnswer(
        id="groups-lost",
        title="quotas rounded down and the rest of the groups forgotten",
        explanation=(
            "The whole parts of the quotas do not add up to the number of groups, and what is missing at the end is in "
            "no split: data is lost without a message. Add up your counts."
        ),
        caught_by=PARTITION,
        swap=(
            (REST, ""),
            ("split_of_group = np.empty(len(names), dtype=np.int64)\n    split_of_group[order] =", "dealt ="),
            (
                "    split_of_row = split_of_group[group_of_row]  # (rows,)\n"
                "    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
                "    split_of_group = np.full(len(names), -1)\n"
                "    split_of_group[order[: len(dealt)]] = dealt\n"
                "    split_of_row = split_of_group[group_of_row]  # (rows,)\n"
                "    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
            ),
        ),
    ),
    WrongAnswer(
        id="groups-twice",
        title="quotas rounded up, so that splits overlap",
        explanation=(
            "Each split gets its quota rounded up, and each begins where the exact quotas of the splits before it end. "
            "The last group of one split is then the first of the next as well: a leak made by rounding."
        ),
        caught_by=PARTITION,
        code=f"""
def group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
{CHECKED}    order = np.random.default_rng(seed).permutation(len(names))
    parts, start = [], 0.0
    for fraction in fractions:
        end = start + fraction * len(names)
        chosen = order[int(start) : int(np.ceil(end))] if fraction else []
        parts.append(np.flatnonzero(np.isin(group_of_row, chosen)))
        start = end
    return tuple(parts)
""",
    ),
    WrongAnswer(
        id="unsorted-rows",
        title="row numbers in the order in which the groups were drawn",
        explanation=(
            "The rows are the right ones, but they are listed group by group in shuffled order. The task asks for "
            "ascending row numbers, so that two splits can be compared and data be read from front to back."
        ),
        caught_by=SHAPE,
        swap=(
            (
                "    split_of_row = split_of_group[group_of_row]  # (rows,)\n"
                "    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
                "    parts = [[] for _ in fractions]\n"
                "    for group in order:\n"
                "        parts[split_of_group[group]].extend(np.flatnonzero(group_of_row == group).tolist())\n"
                "    return tuple(np.array(part, dtype=np.int64) for part in parts)\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
            ),
        ),
    ),
    WrongAnswer(
        id="groups-instead-of-rows",
        title="numbers of groups returned instead of numbers of rows",
        explanation=(
            "The groups are split well, but what comes back are the groups' own numbers. Whoever indexes the data with "
            "them picks the wrong rows, and gets no error. One more step leads from a group to its rows."
        ),
        caught_by=SHAPE,
        swap=(
            (
                "    split_of_row = split_of_group[group_of_row]  # (rows,)\n"
                "    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
                "    return tuple(np.flatnonzero(split_of_group == split) for split in range(len(fractions)))\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
            ),
        ),
    ),
    WrongAnswer(
        id="empty-split-of-floats",
        title="an empty split of another dtype",
        explanation=(
            "`np.array([])` holds floats, and an array of floats cannot be used as an index, not even an empty one. Say "
            "which dtype row numbers have, also where there are none."
        ),
        caught_by=SHAPE,
        swap=(
            (
                "    split_of_row = split_of_group[group_of_row]  # (rows,)\n"
                "    return tuple(np.flatnonzero(split_of_row == split) for split in range(len(fractions)))\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
                "    split_of_row = split_of_group[group_of_row]  # (rows,)\n"
                "    return tuple(\n"
                "        np.array([row for row, home in enumerate(split_of_row) if home == split])\n"
                "        for split in range(len(fractions))\n"
                "    )\n"
                "    ### END SOLUTION\n\n\n# %% [markdown]\n# ## Part 2",
            ),
        ),
    ),
    WrongAnswer(
        id="set-order",
        title="groups taken in the order of a set",
        explanation=(
            "The order of a set of strings changes whenever Python is started again, so the same call gives another "
            "split tomorrow, and rows of the old training split are in the new test split. Bring the names into an "
            "order of their own before you shuffle."
        ),
        caught_by=SEED,
        swap=(
            (
                "    names, group_of_row = np.unique(groups, return_inverse=True)  # (groups,), (rows,)\n",
                "    names = list(set(groups.tolist()))\n"
                "    group_of_row = np.array([names.index(name) for name in groups.tolist()])\n",
            ),
        ),
    ),
    WrongAnswer(
        id="in-sorted-order",
        title="groups dealt out in the order of their names",
        explanation=(
            "Nothing is shuffled: the first names are for training and the last for testing. Names often carry a date, "
            "a camera or a hospital, so the splits differ in kind, and no seed can change it."
        ),
        caught_by=SEED,
        swap=((ORDER, "    order = np.arange(len(names))\n"),),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="one fixed seed, whatever was asked for",
        explanation=(
            "All seeds give the same split. It is shuffled, but whoever repeats an experiment with five seeds to learn "
            "how much the split matters gets the same one five times."
        ),
        caught_by=SEED,
        swap=((ORDER, "    order = np.random.default_rng(0).permutation(len(names))\n"),),
    ),
    WrongAnswer(
        id="unseeded",
        title="a generator without a seed",
        explanation=(
            "Two calls with the same arguments give different splits. After a restart, rows of the old training split "
            "are in the new test split, which is a leak across runs. Something decides here that is not an argument."
        ),
        caught_by=SEED,
        swap=((ORDER, "    order = np.random.default_rng().permutation(len(names))\n"),),
    ),
    WrongAnswer(
        id="global-generator",
        title="NumPy's global generator seeded and used",
        explanation=(
            "The split is reproducible, but your function resets the generator that the rest of the program shares: "
            "everything drawn afterwards, in other code too, repeats itself from that seed."
        ),
        caught_by=SEED,
        swap=((ORDER, "    np.random.seed(seed)\n    order = np.random.permutation(len(names))\n"),),
    ),
    WrongAnswer(
        id="largest-groups-first",
        title="the largest groups first, into the first split until it is full",
        explanation=(
            "The first split takes all large groups, whatever the seed is, and the last one holds nothing but small "
            "ones: patients with one scan only, say. The splits then differ in kind. The seed is to decide the order."
        ),
        caught_by=SEED,
        code=f"""
def size_aware_group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
{CHECKED}    sizes = np.bincount(group_of_row)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    split_of_group = np.empty(len(names), dtype=np.int64)
    lacking = np.asarray(fractions) * len(groups)
    for group in sorted(shuffled, key=lambda group: -sizes[group]):
        split = int(np.argmax(lacking > 1e-9))
        split_of_group[group] = split
        lacking[split] -= sizes[group]
    return tuple(np.flatnonzero(split_of_group[group_of_row] == split) for split in range(len(fractions)))
""",
    ),
    WrongAnswer(
        id="empty-test-split",
        title="a split left empty because its quota is below one",
        explanation=(
            "With few groups a small fraction rounds to nothing, and the test split is empty: the mean of no scores is "
            "NaN, hours later. A split with a positive fraction has to get a group from a richer one."
        ),
        caught_by=COUNTS,
        swap=((MINIMUM, ""),),
    ),
    WrongAnswer(
        id="rounded-boundaries",
        title="cumulated quotas rounded to boundaries",
        explanation=(
            "No group is lost or doubled, but each boundary is rounded by itself, so where the fractional parts go "
            "depends on what stands before a split rather than on its own quota. Compare your counts with the quotas "
            "for 45 groups and 0.8, 0.1, 0.1, and see which split should get the group that is left over."
        ),
        caught_by=COUNTS,
        swap=(
            (
                "    counts = np.floor(quota).astype(np.int64)  # (splits,)\n",
                "    bounds = np.round(np.cumsum(quota)).astype(np.int64)\n    counts = np.diff(bounds, prepend=0)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="floored-boundaries",
        title="cumulated quotas rounded down to boundaries",
        explanation=(
            "No group is lost or doubled, but what the rounding takes from the earlier splits adds up in the later ones. "
            "Each split first gets the whole part of its own quota; who gets one of the groups that are left, its "
            "fractional part decides."
        ),
        caught_by=COUNTS,
        swap=(
            (
                "    counts = np.floor(quota).astype(np.int64)  # (splits,)\n",
                "    bounds = np.floor(np.cumsum(quota) + 1e-9).astype(np.int64)\n    counts = np.diff(bounds, prepend=0)\n",
            ),
        ),
    ),
    WrongAnswer(
        id="ties-to-the-later-split",
        title="ties of the fractional parts given to the later split",
        explanation=(
            "Of two splits with the same fractional part, the later one gets the group; the task gives it to the earlier "
            "one. If you sort: an ascending order turned round also turns round the equal ones."
        ),
        caught_by=COUNTS,
        swap=(('np.argsort(counts - quota, kind="stable")', 'np.argsort(quota - counts, kind="stable")[::-1]'),),
    ),
    WrongAnswer(
        id="rest-to-the-first",
        title="all remaining groups given to the first split",
        explanation=(
            "The whole parts of the quotas are right, but all that is left goes to one split, which can then be off by "
            "more than a group. Look at the fractional parts: who is owed most?"
        ),
        caught_by=COUNTS,
        swap=((REST, "    counts[0] += len(names) - counts.sum()\n"),),
    ),
    WrongAnswer(
        id="rounded-then-adjusted",
        title="each quota rounded, and the first split made to fit",
        explanation=(
            "Your counts add up, but when several quotas are rounded the same way, the first split pays for all of them "
            "and can be off by more than a group. Start from the whole parts, and see who is owed most."
        ),
        caught_by=COUNTS,
        swap=(
            ("counts = np.floor(quota).astype(np.int64)", "counts = np.round(quota).astype(np.int64)"),
            (REST, "    counts[0] += len(names) - counts.sum()\n"),
        ),
    ),
    WrongAnswer(
        id="zero-fraction-filled",
        title="a group given to a split whose fraction is zero",
        explanation=(
            "An empty split is filled whether or not anything was asked for it. A fraction of 0 says that the split is "
            "to stay empty; only positive fractions are promised a group."
        ),
        caught_by=COUNTS,
        swap=(("if fraction > 0 and counts[split] == 0:", "if counts[split] == 0:"),),
    ),
    WrongAnswer(
        id="groups-counted",
        title="groups counted where rows were asked for",
        explanation=(
            "The number of groups in each split is right, but groups of 8 rows weigh as much as groups of 1, so the "
            "numbers of rows are far from their targets. What does a split lack less of when a group joins it?"
        ),
        caught_by=ROWS,
        swap=(
            ("lacking = np.asarray(fractions) * len(groups)", "lacking = np.asarray(fractions) * len(names)"),
            ("lacking[split] -= sizes[group]", "lacking[split] -= 1"),
        ),
    ),
    WrongAnswer(
        id="filled-one-after-the-other",
        title="the first split filled up before the second gets anything",
        explanation=(
            "Each split takes groups until its target is reached, and only then the next one begins. What an early "
            "split takes too much, the last one lacks. Compare after each group who lacks most."
        ),
        caught_by=ROWS,
        swap=(
            (
                "split = max(eligible, key=lacking.__getitem__)",
                "split = next((split for split in eligible if lacking[split] > 1e-9), eligible[-1])",
            ),
        ),
    ),
    WrongAnswer(
        id="no-room-kept",
        title="no group kept back for the splits that are still empty",
        explanation=(
            "A split with a small target never lacks most, so it stays empty. Near the end the groups that are left "
            "have to be kept for the splits that have none."
        ),
        caught_by=ROWS,
        swap=(("only_empty = len(names) - placed == len(empty)", "only_empty = False"),),
    ),
    WrongAnswer(
        id="lacking-ties-to-the-later",
        title="of several splits that lack the same, the later one served",
        explanation=(
            "When two splits lack the same number of rows, your code takes the later one; the task says the earlier. "
            "For groups of equal size this decides how many each split gets."
        ),
        caught_by=ROWS,
        swap=(("max(eligible, key=lacking.__getitem__)", "max(reversed(eligible), key=lacking.__getitem__)"),),
    ),
    WrongAnswer(
        id="random-split",
        title="a split drawn at random for every group",
        explanation=(
            "The fractions serve as probabilities, so the sizes of the splits are right on average only, and a small "
            "split is empty every now and then. Only the order of the groups is random here; where a group goes follows "
            "from what the splits lack."
        ),
        caught_by=ROWS,
        swap=(
            (
                "    for placed, group in enumerate(np.random.default_rng(seed).permutation(len(names))):\n",
                "    generator = np.random.default_rng(seed)\n"
                "    for placed, group in enumerate(generator.permutation(len(names))):\n",
            ),
            (
                "split = max(eligible, key=lacking.__getitem__)",
                "split = generator.choice(empty if only_empty else len(fractions), p=None if only_empty else fractions)",
            ),
        ),
    ),
    WrongAnswer(
        id="rows-counted",
        title="rows of leaking groups counted instead of groups",
        explanation=(
            "Your number grows with the size of the leaking groups. The question is how many groups are in more than "
            "one part: a group of a hundred rows counts as much as one of two."
        ),
        caught_by=LEAKS,
        swap=(
            (
                "for name in set().union(*names_in_part)}\n",
                "for name in set().union(*names_in_part)}\n"
                "    groups = groups[[row for part in parts for row in part]] if len(parts) else groups[:0]\n",
            ),
            (
                "return sum(count > 1 for count in found_in.values())",
                "return sum(found_in[name] > 1 for name in groups.tolist())",
            ),
        ),
    ),
    WrongAnswer(
        id="pairs-counted",
        title="a group counted once for every pair of parts",
        explanation=(
            "A group that is in three parts is counted three times, once for each pair. Count the groups, not the "
            "meetings of parts."
        ),
        caught_by=LEAKS,
        swap=(
            (
                "return sum(count > 1 for count in found_in.values())",
                "return sum(count * (count - 1) // 2 for count in found_in.values())",
            ),
        ),
    ),
    WrongAnswer(
        id="further-parts-counted",
        title="a group counted once for every further part",
        explanation=(
            "A group that is in three parts is counted twice, once for each part beyond the first. Count the groups, not "
            "the places where they turn up again."
        ),
        caught_by=LEAKS,
        swap=(
            (
                "return sum(count > 1 for count in found_in.values())",
                "return sum(count - 1 for count in found_in.values())",
            ),
        ),
    ),
    WrongAnswer(
        id="rows-of-one-part-counted",
        title="two rows in the same part taken for a leak",
        explanation=(
            "A group with two rows in one part has not leaked: it is in that part alone. Ask in how many parts a group "
            "is, not in how many rows."
        ),
        caught_by=LEAKS,
        swap=(
            (
                "found_in = {name: sum(name in names for names in names_in_part)",
                "rows = [name for part in parts for name in groups[np.asarray(part, dtype=np.int64)].tolist()]\n"
                "    found_in = {name: rows.count(name)",
            ),
        ),
    ),
    WrongAnswer(
        id="number-as-float",
        title="the number of groups returned as another type than an integer",
        explanation=(
            "The number is right, but a count is a whole number, and the task promises an `int` or a NumPy integer. "
            "Which step of yours makes something else of it?"
        ),
        caught_by=LEAKS,
        swap=(
            (
                "return sum(count > 1 for count in found_in.values())",
                "return float(sum(count > 1 for count in found_in.values()))",
            ),
        ),
    ),
    WrongAnswer(
        id="only-against-the-first-part",
        title="only leaks out of the first part counted",
        explanation=(
            "The first part is compared with all others, but the others are not compared with each other. A group that "
            "is in validation and test makes the choice of a model depend on test data."
        ),
        caught_by=LEAKS,
        swap=(
            (
                "return sum(count > 1 for count in found_in.values())",
                "first = set(groups[np.asarray(parts[0], dtype=np.int64)].tolist()) if len(parts) else ()\n"
                "    return sum(found_in[name] > 1 for name in first)",
            ),
        ),
    ),
    WrongAnswer(
        id="empty-part-breaks",
        title="an empty list of rows is an error",
        explanation=(
            "`np.asarray([])` holds floats, and floats cannot be used as an index, so a part without rows stops your "
            "function. Say which dtype the row numbers have."
        ),
        caught_by=LEAKS,
        swap=(("set(groups[np.asarray(part, dtype=np.int64)].tolist())", "set(groups[np.asarray(part)].tolist())"),),
    ),
    WrongAnswer(
        id="sum-unchecked",
        title="fractions of any sum accepted",
        explanation=(
            "Fractions that sum to 0.9 or 1.1 go through, and rows are lost or the last split is shortened without a "
            "message. The given function `require_fractions` finds such calls."
        ),
        caught_by=REFUSED,
        swap=((" or not abs(sum(fractions) - 1) <= 1e-9", ""),),
    ),
    WrongAnswer(
        id="sum-taken-exactly",
        title="fractions refused because of a rounding error in their sum",
        explanation=(
            "0.7, 0.2 and 0.1 add up to 0.9999999999999999 in floating point, and your function refuses them. The task "
            "says by how much a sum may differ from 1."
        ),
        caught_by=REFUSED,
        swap=((" or not abs(sum(fractions) - 1) <= 1e-9", " or sum(fractions) != 1"),),
    ),
    WrongAnswer(
        id="column-accepted",
        title="groups of another shape flattened",
        explanation=(
            "A column of shape (rows, 1), or a list in a list, is flattened and split. Often such a table has several "
            "columns, and then the row numbers mean nothing. Refuse what is not one-dimensional."
        ),
        caught_by=REFUSED,
        code="""
_split_by_rows, _split_by_groups = size_aware_group_split, group_split


def group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    return _split_by_groups(np.ravel(groups), fractions, seed)


def size_aware_group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    return _split_by_rows(np.ravel(groups), fractions, seed)
""",
    ),
    WrongAnswer(
        id="too-few-groups-accepted",
        title="fewer groups than splits accepted",
        explanation=(
            "With fewer groups than positive fractions at least one split has to stay empty, although every one was "
            "promised a group. Compare the two numbers before you split."
        ),
        caught_by=REFUSED,
        swap=(("    if n_groups < sum(fraction > 0 for fraction in fractions):", "    if n_groups < 1:"),),
    ),
    WrongAnswer(
        id="zero-fractions-refused",
        title="a fraction of zero refused",
        explanation=(
            "A fraction of 0 is allowed and gives an empty split: a caller who needs no validation data may say so. "
            "Only negative fractions are impossible, and only positive ones need a group."
        ),
        caught_by=REFUSED,
        swap=(("if not all(fraction >= 0 for", "if not all(fraction > 0 for"),),
    ),
]

alternatives = [
    Alternative(
        id="plain-python",
        title="dictionaries, lists and Python's own generator",
        code="""
import random


def _rows_by_group(groups, fractions):
    if np.ndim(groups) != 1 or len(groups) == 0:
        raise ValueError("groups")
    rows = {}
    for row, name in enumerate(groups.tolist() if isinstance(groups, np.ndarray) else groups):
        rows.setdefault(name, []).append(row)
    if any(f < 0 or f != f for f in fractions) or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError("fractions")
    if len(rows) < len([f for f in fractions if f > 0]):
        raise ValueError("too few groups")
    return rows


def group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    rows = _rows_by_group(groups, fractions)
    names = list(rows)
    random.Random(seed).shuffle(names)
    counts = [int(f * len(names)) for f in fractions]
    rest = [f * len(names) - count for f, count in zip(fractions, counts)]
    for number in sorted(range(len(rest)), key=lambda i: (-rest[i], i))[: len(names) - sum(counts)]:
        counts[number] += 1
    for number, f in enumerate(fractions):
        if f > 0 and counts[number] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[number] += 1
    parts, start = [], 0
    for count in counts:
        chosen = sorted(row for name in names[start : start + count] for row in rows[name])
        parts.append(np.array(chosen, dtype=np.int64))
        start += count
    return tuple(parts)


def size_aware_group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    rows = _rows_by_group(groups, fractions)
    names = list(rows)
    random.Random(seed).shuffle(names)
    parts = [[] for _ in fractions]
    while names:
        open_splits = [i for i, f in enumerate(fractions) if f > 0 and not parts[i]]
        if len(open_splits) < len(names):
            open_splits = [i for i, f in enumerate(fractions) if f > 0]
        best = max(open_splits, key=lambda i: (fractions[i] * len(groups) - len(parts[i]), -i))
        parts[best] += rows[names.pop()]
    return tuple(np.array(sorted(part), dtype=np.int64) for part in parts)


def leakage(groups, parts):
    homes = {}
    for number, part in enumerate(parts):
        for row in part:
            homes.setdefault(groups[row], set()).add(number)
    return len([name for name in homes if len(homes[name]) >= 2])
""",
    ),
    Alternative(
        id="split-and-isin",
        title="np.split on the shuffled names and np.isin on the rows",
        code="""
def _check(groups, fractions):
    groups = np.array(groups)
    if groups.shape != (groups.size,) or not groups.size:
        raise ValueError("groups")
    names = np.unique(groups)
    require_fractions(fractions, names.size)
    return groups, names


def group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    groups, names = _check(groups, fractions)
    shares = np.array(fractions, dtype=float)
    fractional, whole = np.modf(shares * names.size)
    counts = whole.astype(int)
    while counts.sum() < names.size:
        split = fractional.argmax()
        counts[split] += 1
        fractional[split] = -1
    for split in np.flatnonzero(shares):
        if counts[split] == 0:
            counts[np.argmax(counts)] -= 1
            counts[split] = 1
    np.random.RandomState(seed).shuffle(names)
    dealt = np.split(names, np.cumsum(counts)[:-1])
    return tuple(np.where(np.isin(groups, chosen))[0].astype(np.int64) for chosen in dealt)


def size_aware_group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    groups, names = _check(groups, fractions)
    shares = np.array(fractions, dtype=float)
    taken = np.full(len(groups), -1)
    rng = np.random.Generator(np.random.PCG64(seed))
    rng.shuffle(names)
    for place, name in enumerate(names):
        rows_so_far = np.array([np.sum(taken == split) for split in range(len(shares))])
        wanted = shares * len(groups) - rows_so_far
        still_empty = (rows_so_far == 0) & (shares > 0)
        if still_empty.sum() == len(names) - place:
            wanted[~still_empty] = -np.inf
        taken[groups == name] = np.argmax(wanted)
    return tuple(np.nonzero(taken == split)[0].astype(np.int64) for split in range(len(shares)))


def leakage(groups, parts):
    groups = np.array(groups)
    inside = [np.isin(np.arange(len(groups)), part) for part in parts]
    return int(sum(sum(bool(np.any(mask & (groups == name))) for mask in inside) >= 2 for name in np.unique(groups)))
""",
    ),
    Alternative(
        id="random-keys",
        title="groups sorted by random keys, leaks from the intersections of sets",
        code="""
def group_split(groups, fractions=(0.8, 0.1, 0.1), seed=0):
    groups = list(groups)
    if not groups or isinstance(groups[0], (list, tuple)) or np.ndim(groups[0]) > 0:
        raise ValueError("groups")
    names = sorted(set(groups))
    require_fractions(fractions, len(names))
    quota = [fraction * len(names) for fraction in fractions]
    counts = [int(np.floor(q)) for q in quota]
    ranking = sorted(range(len(quota)), key=lambda split: counts[split] - quota[split])
    for split in ranking[: len(names) - sum(counts)]:
        counts[split] += 1
    for split in range(len(counts)):
        if counts[split] == 0 and fractions[split] > 0:
            richest = int(np.argmax(counts))
            counts[richest], counts[split] = counts[richest] - 1, 1
    keys = np.random.default_rng(seed).random(len(names))
    queue = iter([name for _, name in sorted(zip(keys, names))])
    home = {next(queue): split for split, count in enumerate(counts) for _ in range(count)}
    return tuple(
        np.array([row for row, name in enumerate(groups) if home[name] == split], dtype="int64")
        for split in range(len(fractions))
    )


def leakage(groups, parts):
    sets = [{groups[int(row)] for row in part} for part in parts]
    leaking = set()
    for first in range(len(sets)):
        for second in range(first):
            leaking |= sets[first] & sets[second]
    return len(leaking)
""",
    ),
]
