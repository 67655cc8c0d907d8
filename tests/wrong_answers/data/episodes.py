"""Wrong answers and differently written correct solutions of data/episodes.

The published answer has no code; what it says wrongly is a claim (`claims-as-published`).
"""

from grader.catalogue import Alternative, WrongAnswer

APART = "test_support_and_query_have_their_samples_apart"
LABELS = "test_labels_of_an_episode_follow_its_classes"
ELIGIBLE = "test_classes_with_enough_samples_take_part"
UNIFORM = "test_draws_are_uniform_and_come_from_the_given_generator"
SPLIT = "test_base_and_novel_divide_the_classes"
INTERVAL = "test_the_interval_is_that_of_a_mean"
CLAIMS = "test_claims"

POSITIONS = "        positions = rng.permutation(np.flatnonzero(labels == label))"
CHOSEN = "chosen = rng.choice(eligible, size=n_way, replace=False)"
ELIGIBLE_CLASSES = "eligible = classes[counts >= k_shot + n_query]"
SUPPORT = "support.append(positions[:k_shot])"
QUERY = "query.append(positions[k_shot : k_shot + n_query])"
SHUFFLED_CLASSES = "classes = rng.permutation(np.unique(labels))"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answer
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answer has them",
        explanation=(
            "Some claims follow statements that are in print and wrong. Think of five images and a network with a "
            "million weights: what is easier than fitting them, and where can the ability to do better come from?"
        ),
        caught_by=CLAIMS,
        swap=(
            ("few_samples_overfit_less=False", "few_samples_overfit_less=True"),
            ("few_in_all=False", "few_in_all=True"),
        ),
    ),
    WrongAnswer(
        id="episodes-misjudged",
        title="shared classes accepted and episodes taken for the only way",
        explanation=(
            "Two claims about episodes are judged as many first read them. What would an accuracy on classes of the "
            "training say about new classes? And which simple method was found hard to beat?"
        ),
        caught_by=CLAIMS,
        swap=(
            ("classes_may_be_shared=False", "classes_may_be_shared=True"),
            ("episodes_required=False", "episodes_required=True"),
        ),
    ),
    # ------------------------------------------------------------------------------------------ what is drawn
    WrongAnswer(
        id="two-separate-draws",
        title="support and query not kept apart, so that they overlap",
        explanation=(
            "The query is taken without regard to what went into the support: in a second draw from all samples of the "
            "class, or from the beginning of the same shuffle. Each part by itself repeats nothing, but together they do, "
            "and the model is tested on samples whose labels it was given. Which single operation yields two parts that "
            "cannot overlap?"
        ),
        caught_by=APART,
        swap=(
            (SUPPORT, "support.append(rng.choice(positions, size=k_shot, replace=False))"),
            (QUERY, "query.append(rng.choice(positions, size=n_query, replace=False))"),
        ),
    ),
    WrongAnswer(
        id="labels-of-32-bits",
        title="labels converted to a smaller type",
        explanation=(
            "Labels that differ become equal when they are converted to a type with fewer bits: 1 and 1 + 2**32 are both "
            "1 in int32. Two classes are then one, without an error. There is no need to convert them."
        ),
        caught_by=APART,
        swap=(
            (
                "    if min(n_way, k_shot, n_query) < 1:",
                "    labels = labels.astype(np.int32)\n    if min(n_way, k_shot, n_query) < 1:",
            ),
            (SHUFFLED_CLASSES, "classes = rng.permutation(np.unique(labels.astype(np.int32)))"),
        ),
    ),
    WrongAnswer(
        id="shots-in-total",
        title="k_shot counted over all classes",
        explanation=(
            "The support has k_shot samples altogether. In N-way K-shot the K belongs to each class, so a 5-way 1-shot "
            "support has five samples; otherwise some class may have no example at all."
        ),
        caught_by=APART,
        swap=(
            ('"support_idx": np.concatenate(support)', '"support_idx": np.concatenate(support)[:k_shot]'),
            ('"support_y": np.repeat(np.arange(n_way), k_shot)', '"support_y": np.arange(k_shot) % n_way'),
        ),
    ),
    WrongAnswer(
        id="queries-in-total",
        title="n_query counted over all classes",
        explanation=(
            "The query has n_query samples altogether, so some classes are tested more than others, or not at all. The "
            "number of queries belongs to each class, as the number of shots does."
        ),
        caught_by=APART,
        swap=(
            ('"query_idx": np.concatenate(query)', '"query_idx": np.concatenate(query)[:n_query]'),
            (
                '"query_y": np.repeat(np.arange(n_way), n_query)',
                '"query_y": np.repeat(np.arange(n_way), n_query)[:n_query]',
            ),
        ),
    ),
    WrongAnswer(
        id="drawn-with-replacement",
        title="samples of a class drawn with replacement",
        explanation=(
            "One sample comes up twice: the support then has fewer than K different examples, or a query sample lies in "
            "the support as well. What does your way of drawing do with a sample that was drawn already?"
        ),
        caught_by=APART,
        swap=((POSITIONS, "        positions = rng.choice(np.flatnonzero(labels == label), size=k_shot + n_query)"),),
    ),
    WrongAnswer(
        id="a-class-twice",
        title="classes drawn with replacement",
        explanation=(
            "A class can be drawn twice and gets two different episode labels, so no classifier can be right about it. "
            "An N-way episode has N different classes."
        ),
        caught_by=APART,
        swap=((CHOSEN, "chosen = rng.choice(eligible, size=n_way)"),),
    ),
    WrongAnswer(
        id="all-the-rest-as-query",
        title="all remaining samples of a class as queries",
        explanation=(
            "Everything that is not in the support becomes a query, so n_query has no effect and frequent classes "
            "count more in the accuracy. Where does the second piece of the shuffled samples end?"
        ),
        caught_by=APART,
        swap=(
            (QUERY, "query.append(positions[k_shot:])"),
            (
                '"query_y": np.repeat(np.arange(n_way), n_query)',
                '"query_y": np.repeat(np.arange(n_way), [part.size for part in query])',
            ),
        ),
    ),
    WrongAnswer(
        id="positions-within-the-class",
        title="positions counted within the class",
        explanation=(
            "Number 3 is the fourth sample of its class, not the fourth of `labels`. As an index into the data set it "
            "points at a sample of some other class. Draw among the positions themselves, not among their numbers."
        ),
        caught_by=APART,
        swap=((POSITIONS, "        positions = rng.permutation(int((labels == label).sum()))"),),
    ),
    WrongAnswer(
        id="labels-sorted-in-place",
        title="labels sorted before the positions are taken",
        explanation=(
            "Sorting groups the classes nicely, but the positions then belong to the sorted list; in the caller's order "
            "other samples stand there. And where the argument is an array, `sort()` reorders the caller's data."
        ),
        caught_by=APART,
        swap=(
            (
                "    # a class takes part",
                "    labels.sort()\n    # a class takes part",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------- labels of the episode
    WrongAnswer(
        id="original-labels",
        title="the classes' original numbers as labels of the episode",
        explanation=(
            "support_y and query_y hold the data set's class numbers. A classifier for this episode has n_way outputs, "
            "so its labels run from 0 to n_way - 1; the original numbers belong in `classes`."
        ),
        caught_by=LABELS,
        swap=(
            ("np.repeat(np.arange(n_way), k_shot)", "np.repeat(chosen, k_shot)"),
            ("np.repeat(np.arange(n_way), n_query)", "np.repeat(chosen, n_query)"),
        ),
    ),
    WrongAnswer(
        id="labels-in-sorted-order",
        title="labels in one order, classes in another",
        explanation=(
            "Label 0 stands for the first class drawn, but `classes` lists the classes in another order, sorted for "
            "instance. classes[support_y] then names wrong classes. Any order will do, as long as it is one."
        ),
        caught_by=LABELS,
        swap=(('"classes": chosen', '"classes": np.sort(chosen)'),),
    ),
    WrongAnswer(
        id="query-in-another-order",
        title="query labels 0, 1, 2, 0, 1, 2 for queries that stand class by class",
        explanation=(
            "The positions list all queries of one class, then those of the next; the labels change with every sample. "
            "Repeating each label and repeating the list of labels are two operations: which one do you need?"
        ),
        caught_by=LABELS,
        swap=(("np.repeat(np.arange(n_way), n_query)", "np.tile(np.arange(n_way), n_query)"),),
    ),
    # ------------------------------------------------------------------------------------------ eligible classes
    WrongAnswer(
        id="any-class-drawn",
        title="classes drawn without counting their samples",
        explanation=(
            "A class with too few samples can be drawn, and the episode comes out smaller than promised, in most runs "
            "without an error. Count first, and draw among the classes that have enough."
        ),
        caught_by=ELIGIBLE,
        swap=((ELIGIBLE_CLASSES, "eligible = classes"),),
    ),
    WrongAnswer(
        id="enough-for-the-support",
        title="a class needs k_shot samples only",
        explanation=(
            "A class whose samples all go into the support is drawn too, and nothing is left to test it with. How many "
            "samples of a class does one episode use?"
        ),
        caught_by=ELIGIBLE,
        swap=((ELIGIBLE_CLASSES, "eligible = classes[counts >= k_shot]"),),
    ),
    WrongAnswer(
        id="larger-part-counted",
        title="a class needs as many samples as the larger part only",
        explanation=(
            "Your code asks for the larger of k_shot and n_query. Support and query have no sample in common, so how "
            "many samples of a class does one episode use?"
        ),
        caught_by=ELIGIBLE,
        swap=((ELIGIBLE_CLASSES, "eligible = classes[counts >= max(k_shot, n_query)]"),),
    ),
    WrongAnswer(
        id="drawn-until-numpy-refuses",
        title="a class with too few samples drawn, and an error from NumPy instead of another class",
        explanation=(
            "Your count lets a class pass that has too few samples for support and query together, and the draw of its "
            "samples then fails. How many samples of a class does one episode use?"
        ),
        caught_by=ELIGIBLE,
        swap=(
            (ELIGIBLE_CLASSES, "eligible = classes[counts >= k_shot]"),
            (
                POSITIONS,
                "        positions = rng.choice(np.flatnonzero(labels == label), size=k_shot + n_query, replace=False)",
            ),
        ),
    ),
    WrongAnswer(
        id="one-sample-too-many-wanted",
        title="a class with exactly enough samples left out",
        explanation=(
            "A class with k_shot + n_query samples fills an episode exactly, and your code never draws it. In a data "
            "set with few samples of each class those may be all there are."
        ),
        caught_by=ELIGIBLE,
        swap=((ELIGIBLE_CLASSES, "eligible = classes[counts > k_shot + n_query]"),),
    ),
    WrongAnswer(
        id="fewer-ways-without-a-word",
        title="an episode with fewer classes when there are not enough",
        explanation=(
            "Asked for five ways with four eligible classes, you return a 4-way episode. It is an easier task (chance "
            "is 25 %, not 20 %), and the average over episodes mixes the two. The caller has to hear of it."
        ),
        caught_by=ELIGIBLE,
        swap=(
            (
                "    if eligible.size < n_way:\n        raise ValueError(",
                "    n_way = min(n_way, eligible.size)\n    if n_way == 0:\n        raise ValueError(",
            ),
        ),
    ),
    WrongAnswer(
        id="sizes-unchecked",
        title="no shots, no queries or negative sizes accepted",
        explanation=(
            "With k_shot=0 the support is empty, and a slice with a negative end takes nearly everything, without an "
            "error. Sizes below 1 make no episode; refuse them first."
        ),
        caught_by=ELIGIBLE,
        swap=(("if min(n_way, k_shot, n_query) < 1:", "if False:"),),
    ),
    # ----------------------------------------------------------------------------------------------- randomness
    WrongAnswer(
        id="first-classes",
        title="always the first n_way classes",
        explanation=(
            "The same few classes come up in every episode; the others are never tested, and an interval over such "
            "episodes says nothing about new classes. Draw the classes too."
        ),
        caught_by=UNIFORM,
        swap=((CHOSEN, "chosen = eligible[:n_way]"),),
    ),
    WrongAnswer(
        id="first-samples",
        title="always the first samples of a class",
        explanation=(
            "The support of a class is the same in each episode, and the samples behind it are never used. Which "
            "samples are drawn matters a lot with few shots, so this has to vary between episodes."
        ),
        caught_by=UNIFORM,
        swap=((POSITIONS, "        positions = np.flatnonzero(labels == label)"),),
    ),
    WrongAnswer(
        id="query-the-first-of-the-rest",
        title="the first of the remaining samples as queries",
        explanation=(
            "The support is drawn, and then the query takes the first samples that are left, in the order of the data. "
            "Those at the end of a class are hardly ever tested. Draw the query as well."
        ),
        caught_by=UNIFORM,
        swap=((QUERY, "query.append(np.sort(positions[k_shot:])[:n_query])"),),
    ),
    WrongAnswer(
        id="sorted-before-the-cut",
        title="the samples drawn are sorted before they are cut into support and query",
        explanation=(
            "You draw at random which samples take part, and then sort them, so the support gets those that come first in "
            "the data and the query those that come later. Data often lie in the order in which they were taken."
        ),
        caught_by=UNIFORM,
        swap=((SUPPORT, "positions = np.sort(positions[: k_shot + n_query])\n        " + SUPPORT),),
    ),
    WrongAnswer(
        id="first-samples-shuffled",
        title="only the first samples of a class ever drawn",
        explanation=(
            "Which samples are support and which are query is random, but both come from the first k_shot + n_query "
            "samples of a class. Those behind are never used. Shuffle all of them before you cut."
        ),
        caught_by=UNIFORM,
        swap=((POSITIONS, POSITIONS[:-1] + "[: k_shot + n_query])"),),
    ),
    WrongAnswer(
        id="frequent-classes-preferred",
        title="classes with many samples drawn more often",
        explanation=(
            "Drawing among the labels of all samples prefers the classes that occur often, such as the label of a random "
            "sample does. Every set of classes should be equally likely: draw among the distinct classes."
        ),
        caught_by=UNIFORM,
        swap=(
            (
                CHOSEN,
                "drawn = rng.permutation(labels[np.isin(labels, eligible)])\n"
                "    chosen = drawn[np.sort(np.unique(drawn, return_index=True)[1])[:n_way]]",
            ),
        ),
    ),
    WrongAnswer(
        id="one-shuffle-for-all-classes",
        title="one shuffle shared by all classes",
        explanation=(
            "If the first sample of one class is in the support, so is the first of the others: the same random order is "
            "used for each class. Data sets often store matching samples at matching places, so this can leak. Shuffle "
            "anew for each class."
        ),
        caught_by=UNIFORM,
        swap=(
            ("    support, query = [], []", "    keys = rng.random(labels.size)\n    support, query = [], []"),
            (
                POSITIONS,
                "        positions = np.flatnonzero(labels == label)\n"
                "        positions = positions[np.argsort(keys[: positions.size])]",
            ),
        ),
    ),
    WrongAnswer(
        id="numpy-global-generator",
        title="NumPy's global generator used",
        explanation=(
            "np.random.choice and its relatives draw from one hidden generator that all code shares. `rng` then has no "
            "effect, and two runs differ although the caller passed equal generators."
        ),
        caught_by=UNIFORM,
        swap=(
            (CHOSEN, "chosen = np.random.choice(eligible, size=n_way, replace=False)"),
            (POSITIONS, "        positions = np.random.permutation(np.flatnonzero(labels == label))"),
        ),
    ),
    WrongAnswer(
        id="generator-of-its-own",
        title="a new generator with a fixed seed in every call",
        explanation=(
            "Each call starts from the same seed, so a thousand episodes are one episode a thousand times, and the "
            "interval has width 0. Draw from the generator that is passed in; it remembers where it stands."
        ),
        caught_by=UNIFORM,
        swap=(
            (
                "    if min(n_way, k_shot, n_query) < 1:",
                "    rng = np.random.default_rng(0)\n    if min(n_way, k_shot, n_query) < 1:",
            ),
        ),
    ),
    WrongAnswer(
        id="generator-copied",
        title="draws that leave the given generator where it was",
        explanation=(
            "You draw from a copy of `rng`, or from a generator made out of its state, and the one that was passed in "
            "does not move on. The next call then gives the same episode again. Draw from `rng` itself."
        ),
        caught_by=UNIFORM,
        swap=(
            (
                "    if min(n_way, k_shot, n_query) < 1:",
                '    rng = __import__("copy").deepcopy(rng)\n    if min(n_way, k_shot, n_query) < 1:',
            ),
        ),
    ),
    # ------------------------------------------------------------------------------------------ base and novel
    WrongAnswer(
        id="base-and-novel-overlap",
        title="base and novel classes drawn separately, so that they overlap",
        explanation=(
            "A class can be in both parts: it is trained on and then counted as new. The accuracy on such classes says "
            "nothing about learning from few samples. One shuffle, cut once, makes two parts without a common class."
        ),
        caught_by=SPLIT,
        swap=(
            (
                "return classes[n_novel:], classes[:n_novel]",
                "return rng.choice(classes, size=classes.size - n_novel, replace=False), classes[:n_novel]",
            ),
        ),
    ),
    WrongAnswer(
        id="samples-split-instead-of-classes",
        title="samples divided, not classes",
        explanation=(
            "The samples are shuffled and cut, and the classes of both parts are listed. That is the usual split into "
            "training and test set, in which nearly every class is on both sides."
        ),
        caught_by=SPLIT,
        swap=(
            (
                "return classes[n_novel:], classes[:n_novel]",
                "shuffled = rng.permutation(labels)\n"
                "    cut = labels.size * n_novel // classes.size\n"
                "    return np.unique(shuffled[cut:]), np.unique(shuffled[:cut])",
            ),
        ),
    ),
    WrongAnswer(
        id="novel-are-the-last",
        title="always the last classes novel",
        explanation=(
            "The split does not depend on `rng`: the classes with the highest numbers are always the novel ones. Class "
            "numbers often follow a hierarchy, so these may all be of one kind."
        ),
        caught_by=SPLIT,
        swap=(
            (SHUFFLED_CLASSES, "classes = np.unique(labels)"),
            ("return classes[n_novel:], classes[:n_novel]", "return classes[:-n_novel], classes[-n_novel:]"),
        ),
    ),
    WrongAnswer(
        id="frequent-classes-novel-first",
        title="classes with many samples more often novel",
        explanation=(
            "The novel classes are read off randomly drawn samples, so a class with many samples becomes novel more "
            "often. Every set of classes should be equally likely: shuffle the distinct classes."
        ),
        caught_by=SPLIT,
        swap=(
            (
                SHUFFLED_CLASSES,
                "drawn = rng.permutation(labels)\n    classes = drawn[np.sort(np.unique(drawn, return_index=True)[1])]",
            ),
        ),
    ),
    WrongAnswer(
        id="all-classes-novel",
        title="a split without base classes accepted",
        explanation=(
            "When all classes are novel there is nothing to train on, and you return an empty array for the base. The "
            "caller has to hear that so many novel classes are not possible."
        ),
        caught_by=SPLIT,
        swap=(("if not 1 <= n_novel < classes.size:", "if not 1 <= n_novel <= classes.size:"),),
    ),
    # -------------------------------------------------------------------------------------------- the interval
    WrongAnswer(
        id="divided-by-n",
        title="the standard deviation divides by n",
        explanation=(
            "NumPy's std divides by n unless told otherwise, which makes the spread of a sample look smaller than it is "
            "on average. The sample standard deviation divides by n - 1; which argument says so?"
        ),
        caught_by=INTERVAL,
        swap=(("accuracies.std(ddof=1)", "accuracies.std()"),),
    ),
    WrongAnswer(
        id="spread-of-one-episode",
        title="the spread of single episodes, not of their mean",
        explanation=(
            "1.96 standard deviations describe where one further episode would fall. The interval is about the mean, "
            "which becomes more certain with every episode: how should the width change when n is four times as large?"
        ),
        caught_by=INTERVAL,
        swap=(("accuracies.std(ddof=1) / np.sqrt(accuracies.size)", "accuracies.std(ddof=1)"),),
    ),
    WrongAnswer(
        id="divided-by-n-twice",
        title="divided by n where its root belongs",
        explanation=(
            "The variance of a mean is s² / n. You divide the standard deviation by n, so the interval is far too narrow "
            "and covers the true mean much less often than in 95 % of cases."
        ),
        caught_by=INTERVAL,
        swap=(("/ np.sqrt(accuracies.size)", "/ accuracies.size"),),
    ),
    WrongAnswer(
        id="whole-width",
        title="the whole width of the interval",
        explanation=(
            "Your second number is the distance from the lower to the upper end. Written as mean ± number, it would "
            "claim an interval twice as wide."
        ),
        caught_by=INTERVAL,
        swap=(("float(1.96 * standard_error)", "float(2 * 1.96 * standard_error)"),),
    ),
    WrongAnswer(
        id="quantile-of-the-t-distribution",
        title="a quantile of Student's t distribution in place of 1.96",
        explanation=(
            "With few episodes the quantile of the t distribution is the more careful choice, and a sound one. The task "
            "fixes 1.96, as papers on few-shot learning do; over hundreds of episodes the two hardly differ."
        ),
        caught_by=INTERVAL,
        swap=(
            (
                "float(1.96 * standard_error)",
                'float(__import__("scipy.stats").stats.t.ppf(0.975, accuracies.size - 1) * standard_error)',
            ),
        ),
    ),
    WrongAnswer(
        id="infinite-accuracy-accepted",
        title="an infinite accuracy accepted",
        explanation=(
            "Your code looks for NaN and lets infinity through; mean and half-width are then no numbers to report. Ask "
            "whether all accuracies are finite."
        ),
        caught_by=INTERVAL,
        swap=(("not np.isfinite(accuracies).all()", "np.isnan(accuracies).any()"),),
    ),
    WrongAnswer(
        id="computed-in-the-input-type",
        title="computed in the type of the input",
        explanation=(
            "Accuracies that come in float16 or float32 are averaged in that type, with its few digits. Convert once at "
            "the beginning, then compute."
        ),
        caught_by=INTERVAL,
        swap=(("np.asarray(accuracies, dtype=np.float64)", "np.asarray(accuracies)"),),
    ),
]

alternatives = [
    Alternative(
        id="plain-lists",
        title="plain lists and a Fisher-Yates shuffle; the statistics module",
        code="""
def shuffle_list(items, rng):
    items = list(items)
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.integers(last + 1))
        items[last], items[other] = items[other], items[last]
    return items


def plain_labels(labels):
    if np.ndim(labels) != 1 or len(labels) == 0:
        raise ValueError("labels")
    return [int(label) for label in labels]


def sample_episode(labels, n_way, k_shot, n_query, rng):
    labels = plain_labels(labels)
    for size in (n_way, k_shot, n_query):
        if size <= 0:
            raise ValueError("size")
    members = {}
    for position, label in enumerate(labels):
        members.setdefault(label, []).append(position)
    eligible = [label for label in members if len(members[label]) >= k_shot + n_query]
    if len(eligible) < n_way:
        raise ValueError("too few classes")
    classes = shuffle_list(eligible, rng)[:n_way]
    support, query = [], []
    for y, label in enumerate(classes):
        order = shuffle_list(members[label], rng)
        support += [(position, y) for position in order[:k_shot]]
        query += [(position, y) for position in order[-n_query:]]
    support, query = shuffle_list(support, rng), shuffle_list(query, rng)
    return dict(
        classes=np.array(classes),
        support_idx=np.array([position for position, _ in support]),
        support_y=np.array([y for _, y in support]),
        query_idx=np.array([position for position, _ in query]),
        query_y=np.array([y for _, y in query]),
        sizes=(n_way, k_shot, n_query),
    )


def split_classes(labels, n_novel, rng):
    classes = shuffle_list(sorted(set(plain_labels(labels))), rng)
    if n_novel < 1 or n_novel >= len(classes):
        raise ValueError("n_novel")
    return np.array(classes[:-n_novel]), np.array(classes[-n_novel:])


def mean_ci95(accuracies):
    import math
    import statistics

    values = [float(value) for value in accuracies] if np.ndim(accuracies) == 1 else []
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise ValueError("accuracies")
    return statistics.fmean(values), 1.96 * statistics.stdev(values) / len(values) ** 0.5
""",
    ),
    Alternative(
        id="random-keys",
        title="one random key a sample, sorted within the classes; differences of sets",
        code="""
def sample_episode(labels, n_way, k_shot, n_query, rng):
    labels = np.array(labels)
    if labels.ndim != 1 or labels.size == 0 or n_way < 1 or k_shot < 1 or n_query < 1:
        raise ValueError("arguments")
    order = np.lexsort((rng.random(labels.size), labels))  # class by class, in random order within each
    classes, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    (eligible,) = np.nonzero(counts - k_shot >= n_query)
    if n_way > len(eligible):
        raise ValueError("too few classes")
    drawn = eligible[np.argsort(rng.random(len(eligible)))[:n_way]]
    table = order[starts[drawn][:, None] + np.arange(k_shot + n_query)]  # (n_way, k_shot + n_query)
    ys = np.broadcast_to(np.arange(n_way, dtype=np.int32)[:, None], table.shape)
    return {
        "classes": classes[drawn],
        "support_idx": table[:, :k_shot].ravel(),
        "support_y": ys[:, :k_shot].ravel(),
        "query_idx": table[:, k_shot:].T.ravel(),  # one query of each class, then the next
        "query_y": ys[:, k_shot:].T.ravel(),
    }


def split_classes(labels, n_novel, rng):
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError("labels")
    classes = np.unique(labels)
    if n_novel < 1 or classes.size - n_novel < 1:
        raise ValueError("n_novel")
    novel = rng.choice(classes, n_novel, replace=False)
    return np.setdiff1d(classes, novel), np.sort(novel)


def mean_ci95(accuracies):
    x = np.array(accuracies, np.float64)
    if x.ndim != 1 or len(x) < 2 or np.isinf(x).any() or np.isnan(x).any():
        raise ValueError("accuracies")
    return np.array([x.mean(), 1.96 * np.sqrt(np.var(x, ddof=1) / len(x))])
""",
    ),
    Alternative(
        id="query-from-what-is-left",
        title="the support drawn first, the query drawn from what is left",
        code="""
def sample_episode(labels, n_way, k_shot, n_query, rng):
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError("labels")
    if n_way <= 0 or k_shot <= 0 or n_query <= 0:
        raise ValueError("sizes")
    eligible = [c for c in set(labels.tolist()) if np.count_nonzero(labels == c) >= k_shot + n_query]
    if len(eligible) < n_way:
        raise ValueError("classes")
    classes = np.sort(rng.choice(sorted(eligible), n_way, replace=False))
    episode = {"classes": classes}
    support, query = np.empty((n_way, k_shot), int), np.empty((n_way, n_query), int)
    for y, label in enumerate(classes):
        available = np.where(labels == label)[0]
        support[y] = np.sort(rng.choice(available, k_shot, replace=False))
        query[y] = rng.choice(np.setdiff1d(available, support[y]), n_query, replace=False)
    for name, table in (("support", support), ("query", query)):
        episode[f"{name}_idx"] = table.reshape(-1)
        episode[f"{name}_y"] = np.searchsorted(classes, labels[table.reshape(-1)])
    return episode


def split_classes(labels, n_novel, rng):
    if np.ndim(labels) != 1:
        raise ValueError("labels")
    classes = np.unique(labels).astype(np.int64)
    rng.shuffle(classes)
    base, novel = classes[n_novel:], classes[:n_novel]
    if n_novel < 1 or len(base) == 0:
        raise ValueError("n_novel")
    return [base, novel]
""",
    ),
]

equivalent_mutants = {
    "dropped `raise ValueError(f'{n_way} classes": (
        "rng.choice without replacement raises a ValueError of its own when it is asked for more classes than there are"
    ),
}
