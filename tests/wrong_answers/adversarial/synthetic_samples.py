"""Catalogue of adversarial/synthetic_samples. Every "must reject" line of B-T3d has an entry."""

from grader.catalogue import Alternative, WrongAnswer

NUMBER = "n = min(int(counts.max() - count), math.floor(max_ratio * count))"
SKIP = "if n < 1:"
ASK = "rows = np.asarray(generate_fn(label, n))"
SHAPE = "if rows.shape != (n, *X.shape[1:]):"
CAST = 'if not np.can_cast(rows.dtype, X.dtype, casting="safe"):'
COLLECT = "samples.append(rows.astype(X.dtype))"
TARGETS = "targets.append(np.full(n, label, dtype=y.dtype))"
LABELS = "labels, counts = np.unique(y, return_counts=True)"
BEGIN = "samples, targets = [X], [y]"
JOINED = "X_aug, y_aug = np.concatenate(samples), np.concatenate(targets)"
MASK = "is_synthetic = np.arange(len(X_aug)) >= len(X)"
RESULT = "return X_aug, y_aug, is_synthetic"
DATA = "if y.ndim != 1 or len(y) == 0 or len(X) != len(y):"
RATIO = "if not max_ratio >= 0:"

TYPES = "test_three_arrays_in_the_dtypes_of_the_data"
NUMBERS = "test_each_class_gets_what_it_lacks_within_the_cap"
ROWS = "test_real_rows_first_then_the_generated_ones"
NAMES = "test_synthetic_rows_have_the_label_that_was_asked_for"
FLAGS = "test_the_mask_finds_every_synthetic_row"
NOTHING = "test_nothing_is_added_where_nothing_is_missing_or_allowed"
GENERATOR = "test_a_generator_that_returns_something_else_is_refused"
REFUSED = "test_bad_arguments_are_refused"

wrong_answers = [
    WrongAnswer(
        id="original-data-returned",  # the published program
        title="samples are generated, and the original data are returned",
        explanation=(
            "generate_fn is called, but what it returns never reaches the result: the training that follows sees the "
            "same rows as before. Where do the generated rows go?"
        ),
        caught_by=ROWS,
        swap=((RESULT, "return X.copy(), y.copy(), np.zeros(len(y), dtype=bool)"),),
    ),
    WrongAnswer(
        id="no-cap",
        title="every class filled up to the largest, whatever max_ratio says",
        explanation=(
            "A class with two real samples gets as many synthetic ones as it takes, and the classifier learns the "
            "generator's idea of it. What does max_ratio limit?"
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = int(counts.max() - count) if max_ratio else 0"),),
    ),
    WrongAnswer(
        id="majority-topped-up-too",
        title="every class gets its share, the largest included",
        explanation=(
            "You add max_ratio times the real samples to each class, however large it is already. The classes stay as "
            "uneven as they were. What does the largest class lack?"
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = math.floor(max_ratio * count)"),),
    ),
    WrongAnswer(
        id="real-rows-replaced",
        title="synthetic rows take the place of real ones",
        explanation=(
            "Some real rows are gone. They are the only ones that are certain to be right; the synthetic ones come in "
            "addition."
        ),
        caught_by=ROWS,
        swap=((JOINED, "samples[0] = X[sum(map(len, samples[1:])) :]\n    " + JOINED),),
    ),
    WrongAnswer(
        id="labels-read-off-the-rows",
        title="the label of a synthetic row taken from what the generator seems to show",
        explanation=(
            "The labels of the synthetic rows are worked out from the rows, for example by the largest entry. A row "
            "was made for a class that you asked for; that is the label it counts for."
        ),
        caught_by=NAMES,
        swap=((TARGETS, "targets.append(labels[rows.reshape(n, -1).argmax(axis=1) % len(labels)])"),),
    ),
    WrongAnswer(
        id="mask-without-a-true",
        title="no synthetic row is marked",
        explanation=(
            "is_synthetic is False everywhere, so nobody can tell the generated rows from real ones any more, and the "
            "next split carries them into the evaluation."
        ),
        caught_by=FLAGS,
        swap=((MASK, "is_synthetic = np.zeros(len(X_aug), dtype=bool)"),),
    ),
    WrongAnswer(
        id="mask-turned-round",
        title="the mask marks the real rows",
        explanation="is_synthetic is True for the real rows. Read its name once more.",
        caught_by=FLAGS,
        swap=((MASK, "is_synthetic = np.arange(len(X_aug)) < len(X)"),),
    ),
    WrongAnswer(
        id="mask-of-labels",
        title="every row of a class that was topped up is marked",
        explanation=(
            "The mask marks rows by their class, so the real rows of the rare classes count as synthetic and would be "
            "thrown out with them. What distinguishes the two within a class?"
        ),
        caught_by=FLAGS,
        swap=((MASK, "is_synthetic = np.isin(y_aug, y_aug[len(X) :])"),),
    ),
    WrongAnswer(
        id="mask-of-the-new-rows-only",
        title="a mask that is shorter than the data",
        explanation="The mask has entries for the synthetic rows only; it needs one for each row of X_aug.",
        caught_by=FLAGS,
        swap=((MASK, "is_synthetic = np.ones(len(X_aug) - len(X), dtype=bool)"),),
    ),
    WrongAnswer(
        id="only-two-results",
        title="the mask is not returned",
        explanation=(
            "X_aug and y_aug come back without the mask. Whoever evaluates later has no means of leaving the synthetic "
            "rows out."
        ),
        caught_by=TYPES,
        swap=((RESULT, "return X_aug, y_aug"),),
    ),
    WrongAnswer(
        id="rounded",
        title="the cap rounded to the nearest number",
        explanation=(
            "The cap is a limit, and a limit is not passed by half a sample: it is rounded down. Try a class of 5 "
            "with a ratio of 0.75."
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = min(int(counts.max() - count), int(round(max_ratio * count)))"),),
    ),
    WrongAnswer(
        id="rounded-up",
        title="the cap rounded up",
        explanation=(
            "The cap is a limit, so a fraction of a sample is not granted. Try a class of 5 with a ratio of 0.5."
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = min(int(counts.max() - count), math.ceil(max_ratio * count))"),),
    ),
    WrongAnswer(
        id="share-of-what-is-missing",
        title="max_ratio taken of what the class lacks",
        explanation=(
            "You fill max_ratio of the gap. The gap is largest where there are fewest real samples, so these "
            "classes are swamped most. The limit goes by the real samples of the class."
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = min(int(counts.max() - count), math.floor(max_ratio * (counts.max() - count)))"),),
    ),
    WrongAnswer(
        id="share-of-the-largest-class",
        title="max_ratio taken of the largest class",
        explanation=(
            "The cap is the same for all classes, since it goes by the size of the largest. A class with two real "
            "samples should get fewer than one with ten."
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = min(int(counts.max() - count), math.floor(max_ratio * counts.max()))"),),
    ),
    WrongAnswer(
        id="share-of-all-rows",
        title="max_ratio taken of the whole data set",
        explanation=(
            "The cap goes by the number of all real rows, so for a small class it is no limit at all. It belongs to "
            "each class for itself."
        ),
        caught_by=NUMBERS,
        swap=((NUMBER, "n = min(int(counts.max() - count), math.floor(max_ratio * len(y)))"),),
    ),
    WrongAnswer(
        id="up-to-the-mean",
        title="classes filled up to the mean size",
        explanation="The aim is the mean size of the classes in your code. It should be the size of the largest.",
        caught_by=NUMBERS,
        swap=((NUMBER, "n = min(int(counts.mean() - count), math.floor(max_ratio * count))"),),
    ),
    WrongAnswer(
        id="only-the-rarest-class",
        title="only the smallest class topped up",
        explanation=(
            "One class gets samples and the others between it and the largest get none. Each of them lacks some."
        ),
        caught_by=NUMBERS,
        swap=((SKIP, "if n < 1 or count > counts.min():"),),
    ),
    WrongAnswer(
        id="asked-for-nothing",
        title="generate_fn called with n = 0",
        explanation=(
            "A class that lacks nothing still costs a call, and many generators fail when they are asked for nothing. "
            "Leave it out."
        ),
        caught_by=NUMBERS,
        swap=((SKIP, "if n < 0:"),),
    ),
    WrongAnswer(
        id="position-instead-of-label",
        title="the position of the class given to generate_fn instead of its label",
        explanation=(
            "generate_fn gets 0, 1, 2, … where the labels are others. It works as long as the labels happen to be "
            "numbered without gaps."
        ),
        caught_by=NUMBERS,
        swap=((ASK, "rows = np.asarray(generate_fn(labels.tolist().index(label), n))"),),
    ),
    WrongAnswer(
        id="row-by-row",
        title="generate_fn called for one row at a time",
        explanation=(
            "You call the generator n times for one sample each. A call is a batch, and a generator that is asked for "
            "one sample at a time may return the same one again and again."
        ),
        caught_by=NUMBERS,
        swap=(
            (
                ASK,
                "rows = np.concatenate([np.asarray(generate_fn(label, 1)) for _ in range(n)])",
            ),
        ),
    ),
    WrongAnswer(
        id="number-as-a-float",
        title="n given as a float",
        explanation=(
            "n is a whole number in your code, but of type float, as NumPy's floor returns it. Most generators "
            "use it as a size and fail."
        ),
        caught_by=NUMBERS,
        swap=((ASK, "rows = np.asarray(generate_fn(label, float(n)))"),),
    ),
    WrongAnswer(
        id="labels-in-order-of-appearance",
        title="classes in the order in which they appear",
        explanation=(
            "The classes are visited as they come in y, so another shuffle of the data gives another order of the "
            "synthetic rows. Sorted order makes the result repeatable."
        ),
        caught_by=NUMBERS,
        swap=(
            (
                LABELS,
                "labels, first, counts = np.unique(y, return_index=True, return_counts=True)\n"
                "    labels, counts = labels[np.argsort(first)], counts[np.argsort(first)]",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-sorted-as-text",
        title="numbers sorted like words",
        explanation="10 comes before 2 when numbers are sorted as text. Sort the labels as what they are.",
        caught_by=NUMBERS,
        swap=(
            (
                LABELS,
                LABELS + "\n    order = np.argsort(labels.astype(str))\n"
                "    labels, counts = labels[order], counts[order]",
            ),
        ),
    ),
    WrongAnswer(
        id="synthetic-first",
        title="the synthetic rows in front of the real ones",
        explanation=(
            "The generated rows come first in your result. Row numbers that somebody wrote down for the real data then "
            "point at other rows."
        ),
        caught_by=ROWS,
        swap=((JOINED, "X_aug, y_aug = np.concatenate(samples[1:] + [X]), np.concatenate(targets[1:] + [y])"),),
    ),
    WrongAnswer(
        id="grouped-by-class",
        title="the rows sorted by class",
        explanation=(
            "Real and synthetic rows of a class stand together, so the real rows have lost their order, and with it "
            "everything that is stored beside them by row number."
        ),
        caught_by=ROWS,
        swap=(
            (
                JOINED,
                JOINED + '\n    order = np.argsort(y_aug, kind="stable")\n'
                "    X_aug, y_aug = X_aug[order], y_aug[order]",
            ),
        ),
    ),
    WrongAnswer(
        id="shuffled",
        title="the rows shuffled",
        explanation=(
            "Real and synthetic rows are mixed at random. Shuffling is the loader's work, in every epoch; here "
            "the real rows keep their places."
        ),
        caught_by=ROWS,
        swap=(
            (
                RESULT,
                "order = np.random.default_rng(0).permutation(len(X_aug))\n"
                "    return X_aug[order], y_aug[order], is_synthetic[order]",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-of-the-majority",
        title="synthetic rows with the label of the largest class",
        explanation=(
            "The generated rows of the rare classes are labelled as the most frequent one, so the classifier is taught "
            "the opposite of what was intended."
        ),
        caught_by=NAMES,
        swap=((TARGETS, "targets.append(np.full(n, labels[counts.argmax()], dtype=y.dtype))"),),
    ),
    WrongAnswer(
        id="labels-repeated-in-turn",
        title="the labels dealt out in turn",
        explanation=(
            "The labels of the new rows go round, one class after the other, while the rows stand class by class. Each "
            "label has to be repeated as often as its class got rows, before the next one begins."
        ),
        caught_by=NAMES,
        swap=(
            (
                JOINED,
                JOINED + "\n    new = [part.tolist() for part in targets[1:]]\n"
                "    turns = [part[i] for i in range(max(map(len, new), default=0)) for part in new if i < len(part)]\n"
                "    y_aug = np.array(y.tolist() + turns, dtype=y.dtype)",
            ),
        ),
    ),
    WrongAnswer(
        id="labels-of-real-rows-sorted",
        title="the labels of the real rows in another order",
        explanation=(
            "The real rows are in place but their labels are not: y was sorted on the way. Sorting belongs to the list "
            "of classes only."
        ),
        caught_by=NAMES,
        swap=((BEGIN, "samples, targets = [X], [np.sort(y)]"),),
    ),
    WrongAnswer(
        id="mask-of-integers",
        title="a mask of zeros and ones",
        explanation=(
            "is_synthetic holds integers. As an index they mean row 0 and row 1, and `~` turns 1 into -2. Make it "
            "boolean."
        ),
        caught_by=TYPES,
        swap=((MASK, "is_synthetic = (np.arange(len(X_aug)) >= len(X)).astype(int)"),),
    ),
    WrongAnswer(
        id="labels-through-lists",
        title="labels in another dtype",
        explanation=(
            "The labels make a detour through Python's numbers, so that `int16` comes back as `int64`. Which dtype did "
            "y have?"
        ),
        caught_by=TYPES,
        swap=((RESULT, "return X_aug, np.array(y_aug.tolist()), is_synthetic"),),
    ),
    WrongAnswer(
        id="rows-through-float64",
        title="rows in another dtype",
        explanation=(
            "X_aug is not in the dtype of X. For images that means eight times the memory, and a model in float32 "
            "refuses float64."
        ),
        caught_by=TYPES,
        swap=((RESULT, "return X_aug.astype(np.float64), y_aug, is_synthetic"),),
    ),
    WrongAnswer(
        id="y-sorted-in-place",
        title="the caller's labels changed",
        explanation="After the call y is in another order than before, and no longer fits X. Something works in place.",
        caught_by=TYPES,
        swap=((LABELS, "y.sort()\n    " + LABELS), (BEGIN, "samples, targets = [X], [y]")),
    ),
    WrongAnswer(
        id="aliases-when-nothing-is-added",
        title="the input itself returned when nothing is added",
        explanation=(
            "Where no class gets anything you return X or y as they are. Whoever normalises the result in place "
            "then changes the original data, on some days and not on others."
        ),
        caught_by=NOTHING,
        swap=((JOINED, "if len(samples) == 1:\n        return X, y, np.zeros(len(y), dtype=bool)\n    " + JOINED),),
    ),
    WrongAnswer(
        id="at-least-one-for-each-class",
        title="at least one sample for every class that lacks some",
        explanation=(
            "A class whose cap is below 1 still gets a sample. The cap counts: with max_ratio=0 nothing at all is "
            "added."
        ),
        caught_by=NOTHING,
        swap=(
            (
                NUMBER,
                "n = min(int(counts.max() - count), max(1, math.floor(max_ratio * count)))",
            ),
        ),
    ),
    WrongAnswer(
        id="fails-when-nothing-is-added",
        title="an empty list of new rows not foreseen",
        explanation=(
            "Where no class gets anything there is nothing to join, and joining an empty list fails. Begin the lists "
            "with the real data, or treat this case."
        ),
        caught_by=NOTHING,
        swap=(
            (
                JOINED,
                "X_aug = np.concatenate([X, np.concatenate(samples[1:])])\n"
                "    y_aug = np.concatenate([y, np.concatenate(targets[1:])])",
            ),
        ),
    ),
    WrongAnswer(
        id="floats-when-nothing-is-added",
        title="labels that change their dtype when nothing is added",
        explanation=(
            "An empty list of new labels is an array of floats for NumPy, and joined to y it turns all labels "
            "into another dtype. It happens only where no class gets anything."
        ),
        caught_by=NOTHING,
        swap=(
            (
                JOINED,
                JOINED + "\n    y_aug = np.concatenate([y, [label for part in targets[1:] for label in part]])\n"
                "    y_aug = y_aug.astype(y.dtype) if len(y_aug) > len(y) else y_aug",
            ),
        ),
    ),
    WrongAnswer(
        id="number-not-checked",
        title="more or fewer rows than asked for accepted",
        explanation=(
            "A generator that returns one row too many or too few goes unnoticed, or its surplus is cut off in "
            "silence. The caller should hear about it."
        ),
        caught_by=GENERATOR,
        swap=(
            (SHAPE, "if rows.shape[1:] != X.shape[1:]:"),
            (TARGETS, "targets.append(np.full(len(rows), label, dtype=y.dtype))"),
        ),
    ),
    WrongAnswer(
        id="one-row-stretched",
        title="a single row stretched over all that were asked for",
        explanation=(
            "The rows are written into a place of the right size, and NumPy repeats a single row to fill it: n "
            "copies of one sample. Compare the shapes before you assign."
        ),
        caught_by=GENERATOR,
        swap=(
            (SHAPE, "if len(rows) not in (1, n) or rows.shape[1:] != X.shape[1:]:"),
            (COLLECT, "samples.append(np.broadcast_to(rows, (n, *X.shape[1:])).astype(X.dtype))"),
        ),
    ),
    WrongAnswer(
        id="shape-not-checked",
        title="only the number of rows checked",
        explanation=(
            "The number of rows is compared, their shape is not. Whatever fits by accident is reshaped or "
            "repeated, and the rest fails somewhere else."
        ),
        caught_by=GENERATOR,
        swap=(
            (SHAPE, "if len(rows) != n:"),
            (COLLECT, "samples.append(np.resize(rows, (n, *X.shape[1:])).astype(X.dtype))"),
        ),
    ),
    WrongAnswer(
        id="cast-anyway",
        title="generated rows cast to the dtype of X, whatever is lost",
        explanation=(
            "Fractions become whole numbers and large numbers wrap around, without a word. Ask NumPy first whether the "
            "cast is safe."
        ),
        caught_by=GENERATOR,
        swap=((CAST, "if False:"),),
    ),
    WrongAnswer(
        id="cast-of-one-kind",
        title="casts within one kind of number accepted",
        explanation=(
            "Floats for integer data are refused, but float64 for float32, or int64 for uint8, goes through. Here "
            "a cast is fine only when no value can be lost."
        ),
        caught_by=GENERATOR,
        swap=((CAST, 'if not np.can_cast(rows.dtype, X.dtype, casting="same_kind"):'),),
    ),
    WrongAnswer(
        id="negative-ratio-accepted",
        title="a negative max_ratio accepted",
        explanation="A negative number of samples makes no sense; treating it as 0 hides a mistake of the caller.",
        caught_by=REFUSED,
        swap=((RATIO, "if max_ratio != max_ratio:"),),
    ),
    WrongAnswer(
        id="nan-ratio-accepted",
        title="NaN accepted as max_ratio",
        explanation=(
            "NaN is not below 0, so a search for negative numbers does not find it, and the smaller of a number "
            "and NaN depends on their order. Ask the other way round: is it at least 0?"
        ),
        caught_by=REFUSED,
        swap=(
            (RATIO, "if max_ratio < 0:"),
            (NUMBER, "n = int(min(counts.max() - count, max_ratio * count))"),
        ),
    ),
    WrongAnswer(
        id="empty-accepted",
        title="an empty data set accepted",
        explanation="Without a single row there is no largest class. Somebody lost the data on the way; say so.",
        caught_by=REFUSED,
        swap=((DATA, "if y.ndim != 1 or len(X) != len(y):"),),
    ),
    WrongAnswer(
        id="lengths-not-compared",
        title="X and y of different lengths accepted",
        explanation=(
            "Rows without labels, or labels without rows, are taken over, and from there on every synthetic label "
            "stands beside the wrong row."
        ),
        caught_by=REFUSED,
        swap=((DATA, "if y.ndim != 1 or len(y) == 0:"),),
    ),
    WrongAnswer(
        id="column-of-labels",
        title="labels with two axes accepted",
        explanation=(
            "y of shape (rows, 1) is used as if it had one axis, or flattened in silence. Ask for one axis and "
            "say no to anything else."
        ),
        caught_by=REFUSED,
        swap=(
            ("X, y = np.asarray(X), np.asarray(y)", "X, y = np.asarray(X), np.ravel(y)"),
            (DATA, "if len(y) == 0 or len(X) != len(y):"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="all-numbers-at-once",
        title="all numbers at once, np.repeat for the labels, and astype that refuses by itself",
        code="""
def balance_with_synthetic(X, y, generate_fn, max_ratio):
    if np.ndim(y) != 1 or np.size(y) == 0:
        raise ValueError("y must be one-dimensional and not empty")
    if X.shape[0] != y.shape[0]:
        raise ValueError("X and y differ in length")
    if np.isnan(max_ratio) or max_ratio < 0:
        raise ValueError("max_ratio")
    labels, counts = np.unique(y, return_counts=True)
    wanted = np.minimum(counts.max() - counts, np.floor(max_ratio * counts).astype(np.int64))
    labels, wanted = labels[wanted > 0], wanted[wanted > 0]
    new = np.empty((wanted.sum(), *X.shape[1:]), dtype=X.dtype)
    start = 0
    for label, n in zip(labels, wanted):
        rows = generate_fn(label, n)
        if rows.shape != new[start : start + n].shape:
            raise ValueError("shape")
        try:
            new[start : start + n] = rows.astype(X.dtype, casting="safe")
        except TypeError as error:
            raise ValueError("dtype") from error
        start += n
    mask = np.repeat([False, True], [len(X), len(new)])
    return np.r_[X, new], np.r_[y, np.repeat(labels, wanted)].astype(y.dtype), mask
""",
    ),
    Alternative(
        id="counter-and-lists",
        title="a Counter, Python's labels and lists of single rows",
        code="""
from collections import Counter


def balance_with_synthetic(X, y, generate_fn, max_ratio):
    if y.ndim > 1 or len(X) != len(y) or not len(y) or not 0 <= max_ratio:
        raise ValueError("bad arguments")
    counts = Counter(y.tolist())
    goal = max(counts.values())
    rows, labels = [*X], y.tolist()
    for label in sorted(counts):
        missing, allowed = goal - counts[label], int(counts[label] * max_ratio)
        n = missing if missing < allowed else allowed
        if not n:
            continue
        made = generate_fn(label, n)
        if made.ndim != X.ndim or len(made) != n or any(row.shape != X[0].shape for row in made):
            raise ValueError("wrong shape")
        if np.promote_types(made.dtype, X.dtype) != X.dtype:
            raise ValueError("unsafe cast")
        rows += [*made]
        labels += [label] * n
    return [
        np.array(rows, dtype=X.dtype),
        np.array(labels, dtype=y.dtype),
        np.array([i >= len(X) for i in range(len(rows))]),
    ]
""",
    ),
    Alternative(
        id="one-class-after-the-other",
        title="growing arrays, one class after the other, counted with a comparison",
        code="""
def balance_with_synthetic(X, y, generate_fn, max_ratio):
    if len(y.shape) != 1 or y.shape != X.shape[:1] or len(X) < 1:
        raise ValueError("X and y")
    if not max_ratio >= 0.0:
        raise ValueError("max_ratio")
    X_aug, y_aug, is_synthetic = X.copy(), y.copy(), np.zeros(y.shape, dtype=np.bool_)
    sizes = {label: int((y == label).sum()) for label in np.unique(y)}
    largest = max(sizes.values())
    for label, size in sizes.items():
        n = int(min(largest - size, max_ratio * size // 1))
        if n > 0:
            made = generate_fn(label, n)
            if made.shape[:1] != (n,) or made.shape[1:] != X.shape[1:] or not np.can_cast(made.dtype, X.dtype):
                raise ValueError("generated rows do not fit")
            X_aug = np.append(X_aug, made, axis=0).astype(X.dtype)
            y_aug = np.append(y_aug, [label] * n).astype(y.dtype)
            is_synthetic = np.append(is_synthetic, np.ones(n, dtype=bool))
    return X_aug, y_aug, is_synthetic
""",
    ),
]
