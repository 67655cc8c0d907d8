"""Checks of data/episodes. What is drawn is free; the checks look at facts that hold for every way of drawing."""

import math

import numpy as np

from grader.checking import (
    assert_claims,
    assert_close,
    assert_equal,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLAIMS = {
    "few_samples_overfit_less": False,
    "few_in_all": False,
    "classes_may_be_shared": False,
    "support_size": True,
    "chance_level": True,
    "prompt_changes_weights": False,
    "episodes_required": False,
    "interval_shrinks": True,
}
NUMBER = 900  # episodes of which shares are counted: half a unit of every share is 6 standard deviations or more

# Five classes with enough samples for 3 + 4, of different sizes and with gaps between their numbers.
PLENTY = [40] * 9 + [-3] * 12 + [7] * 8 + [1000] * 15 + [2] * 10


# Six classes with exactly enough samples for 3 + 4, so that every sample is in use.
EXACT = [label for label in (12, -7, 5, 300, 0, 31) for _ in range(7)]
# Classes that become one in 32 bits, or in the 53 bits of a float64.
LARGE = {1: 4, 1 + 2**32: 3, 2**53: 5, 2**53 + 1: 6}

# ---------------------------------------------------------------- what runs in the student's process


def sample_one_episode(student, labels, n_way, k_shot, n_query, seed):
    """Facts about one episode that do not depend on what is drawn, and the labels after the call."""
    from collections import Counter

    import numpy as np

    episode = student.sample_episode(labels, n_way, k_shot, n_query, np.random.default_rng(seed))
    if not isinstance(episode, dict):
        return {"type": type(episode).__name__}
    keys = ("support_idx", "support_y", "query_idx", "query_y", "classes")
    facts = {"type": "dict", "missing": [key for key in keys if key not in episode]}
    if facts["missing"]:
        return facts
    integers = [isinstance(episode[key], np.ndarray) and episode[key].dtype.kind in "iu" for key in keys]
    facts["not arrays of integers"] = [key for key, is_integer in zip(keys, integers, strict=True) if not is_integer]
    facts["shapes"] = {key: np.shape(episode[key]) for key in keys}
    if facts["not arrays of integers"] or any(len(shape) != 1 for shape in facts["shapes"].values()):
        return facts
    plain = np.asarray(labels).tolist()
    values = {key: episode[key].tolist() for key in keys}
    drawn = values["support_idx"] + values["query_idx"]
    facts["not positions"] = sorted({i for i in drawn if not 0 <= i < len(plain)})
    if facts["not positions"]:
        return facts
    facts["a sample twice"] = {key: len(set(values[key])) < len(values[key]) for key in ("support_idx", "query_idx")}
    facts["a sample in both"] = bool({*values["support_idx"]} & {*values["query_idx"]})
    for part in ("support", "query"):
        classes = [plain[i] for i in values[f"{part}_idx"]]
        facts[f"{part} of each class"] = sorted(Counter(classes).values())
        ys = values[f"{part}_y"]
        facts[f"{part} labels"] = sorted(Counter(ys).items())
        in_range = all(0 <= y < len(values["classes"]) for y in ys)
        facts[f"{part} matches classes"] = in_range and [values["classes"][y] for y in ys] == classes
    facts["different classes"] = len(set(values["classes"]))
    facts["labels after the call"] = labels
    return facts


def sample_many_episodes(student, labels, n_way, k_shot, n_query, times, seed):
    """All classes drawn in some of many episodes, each with a new generator, or that a ValueError was raised."""
    import numpy as np

    drawn = set()
    for number in range(times):
        try:
            episode = student.sample_episode(labels, n_way, k_shot, n_query, np.random.default_rng(seed + number))
        except ValueError:
            return {"refused": True}
        drawn |= {*np.asarray(episode["classes"]).tolist()}
    return {"classes": sorted(drawn)}


def sample_an_episode_of_bad_input(student, labels, n_way, k_shot, n_query):
    import numpy as np

    student.sample_episode(labels, n_way, k_shot, n_query, np.random.default_rng(0))


def sample_with_equal_generators(student, labels, n_way, k_shot, n_query, seed):
    """What decides about the draws: equal generators, other generators, the state of one, global ones."""
    import random

    import numpy as np

    def state():
        name, keys, *rest = np.random.get_state()
        return name, keys.tolist(), rest, random.getstate()

    def drawn(rng):
        episode = student.sample_episode(labels, n_way, k_shot, n_query, rng)
        return [np.asarray(episode[key]).tolist() for key in ("support_idx", "query_idx", "classes")]

    before = state()
    first = drawn(np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    again, next_one = drawn(rng), drawn(rng)
    return {
        "equal generators, equal episodes": first == again,
        "the next episode is another": next_one != again,
        "another generator, another episode": drawn(np.random.default_rng(seed + 1)) != first,
        "global generators untouched": state() == before,
    }


def sample_two_way_episodes(student, labels, k_shot, n_query, number, parts, seed):
    """How often each pair of classes is drawn in two-way episodes, as a whole number of `parts`-ths."""
    from collections import Counter
    from itertools import combinations

    import numpy as np

    rng, pairs = np.random.default_rng(seed), Counter()
    for _ in range(number):
        classes = student.sample_episode(labels, 2, k_shot, n_query, rng)["classes"]
        pairs[tuple(sorted(np.asarray(classes).tolist()))] += 1
    return [(pair, round(parts * pairs[pair] / number)) for pair in combinations(sorted(set(labels)), 2)]


def sample_one_shot_episodes(student, labels, number, seed):
    """Two-way one-shot episodes with three queries, of two classes of five samples: shares in fifths.

    How often each sample is support and query, and how often the support of both classes has one rank in its class.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    support, query = np.zeros(len(labels)), np.zeros(len(labels))
    rank = [labels[:i].count(label) for i, label in enumerate(labels)]
    same_rank = 0
    for _ in range(number):
        episode = student.sample_episode(labels, 2, 1, 3, rng)
        first, second = np.asarray(episode["support_idx"]).tolist()
        same_rank += rank[first] == rank[second]
        support[[first, second]] += 1
        query[np.asarray(episode["query_idx"])] += 1
    return {
        "support": [round(5 * count / number) for count in support.tolist()],
        "query": [round(5 * count / number) for count in query.tolist()],
        "same rank": round(5 * same_rank / number),
    }


def split_classes_once(student, labels, n_novel, seed):
    """Facts about one split of the classes that do not depend on what is drawn, and the labels after the call."""
    import numpy as np

    split = student.split_classes(labels, n_novel, np.random.default_rng(seed))
    if not isinstance(split, tuple | list) or len(split) != 2:
        return {"pair": False}
    facts = {"pair": True}
    for name, part in zip(("base", "novel"), split, strict=True):
        if not isinstance(part, np.ndarray) or part.dtype.kind not in "iu" or part.ndim != 1:
            facts["not an array of integers"] = name
            return facts
    base, novel = (part.tolist() for part in split)
    facts["sizes"] = (len(base), len(novel))
    facts["in both"] = len({*base} & {*novel})
    facts["all"] = sorted({*base, *novel})
    facts["labels after the call"] = labels
    return facts


def split_classes_many_times(student, labels, number, parts, seed):
    """How often each pair of classes is the novel one, as a whole number of `parts`-ths, and facts about randomness."""
    from collections import Counter
    from itertools import combinations

    import numpy as np

    before = np.random.get_state()[1].tolist(), np.random.get_state()[2]
    rng, pairs, drawn = np.random.default_rng(seed), Counter(), []
    for _ in range(number):
        _, novel = student.split_classes(labels, 2, rng)
        drawn.append(np.asarray(novel).tolist())
        pairs[tuple(sorted(drawn[-1]))] += 1
    rng = np.random.default_rng(seed)
    again = [np.asarray(student.split_classes(labels, 2, rng)[1]).tolist() for _ in range(10)]
    return {
        "equal generators, equal splits": again == drawn[:10],
        "global generators untouched": (np.random.get_state()[1].tolist(), np.random.get_state()[2]) == before,
        "shares": [(pair, round(parts * pairs[pair] / number)) for pair in combinations(sorted(set(labels)), 2)],
    }


def split_classes_of_bad_input(student, labels, n_novel):
    import numpy as np

    student.split_classes(labels, n_novel, np.random.default_rng(0))


# ---------------------------------------------------------------- the checks' side


def shuffled(labels, rng):
    return [labels[i] for i in rng.permutation(len(labels))]


def in_words(n_way, k_shot, n_query):
    return f"an episode with n_way={n_way}, k_shot={k_shot}, n_query={n_query}"


def assert_arrays(facts, sizes):
    """A dict with five one-dimensional arrays of integers, holding positions that exist."""
    call = in_words(*sizes)
    if facts["type"] != "dict":
        raise AssertionError(f"sample_episode returned {facts['type']}, expected a dict")
    if facts["missing"]:
        raise AssertionError(f"{call} lacks the keys {', '.join(facts['missing'])}")
    strange = facts["not arrays of integers"]
    if strange:
        raise AssertionError(f"In {call}, these are not NumPy arrays of integers: {', '.join(strange)}")
    n_way, k_shot, n_query = sizes
    lengths = {
        "support_idx": n_way * k_shot,
        "support_y": n_way * k_shot,
        "query_idx": n_way * n_query,
        "query_y": n_way * n_query,
        "classes": n_way,
    }
    for key, length in lengths.items():
        assert_equal(tuple(facts["shapes"][key]), (length,), what=f"shape of {key!r} in {call}")
    if facts["not positions"]:
        raise AssertionError(f"In {call}, {facts['not positions']} are no positions in labels")


def assert_counts(facts, sizes):
    """The right number of different samples of each class, and none on both sides."""
    n_way, k_shot, n_query = sizes
    call = in_words(*sizes)
    for part, size in (("support", k_shot), ("query", n_query)):
        if facts["a sample twice"][f"{part}_idx"]:
            raise AssertionError(
                f"The {part} of {call} holds a sample twice; it should have {n_way * size} different ones."
            )
        assert_equal(
            facts[f"{part} of each class"],
            [size] * n_way,
            what=f"number of {part} samples of the classes drawn, in {call}",
            cause="k_shot and n_query are counted in each class",
        )
    if facts["a sample in both"]:
        raise AssertionError(
            f"In {call}, support and query have a sample in common; a model that has seen a sample is not tested by it."
        )


def assert_labels(facts, sizes):
    """Episode labels from 0 to n_way - 1, in the order of `classes`."""
    n_way, k_shot, n_query = sizes
    call = in_words(*sizes)
    for part, size in (("support", k_shot), ("query", n_query)):
        found = {label: count for label, count in facts[f"{part} labels"]}
        if found != dict.fromkeys(range(n_way), size):
            held = ", ".join(f"{label} ({count} times)" for label, count in found.items())
            raise AssertionError(
                f"In {call}, {part}_y holds {held}; it should hold 0 to {n_way - 1}, {size} times each."
            )
    assert_equal(facts["different classes"], n_way, what=f"number of different classes in {call}")
    for part in ("support", "query"):
        if not facts[f"{part} matches classes"]:
            raise AssertionError(
                f"In {call}, classes[{part}_y] is not labels[{part}_idx]: label y stands for the class classes[y], "
                "and positions and labels stand in one order"
            )


@visible
@points(1)
def test_worked_example(student):
    """The small examples in the notebook come out right."""
    labels = [30, 10, 20, 10, 30, 30, 10, 30, 10, 10, 50, 30]
    facts = student.run(sample_one_episode, labels, 2, 2, 3, 0)
    assert_arrays(facts, (2, 2, 3))
    assert_counts(facts, (2, 2, 3))
    assert_labels(facts, (2, 2, 3))
    facts = student.run(split_classes_once, labels, 1, 0)
    assert_split(facts, labels, 1)
    mean, half_width = student.mean_ci95([0.25, 0.75, 0.5, 0.25, 0.75])
    assert_close(mean, 0.5, rtol=1e-5, atol=1e-8, what="mean of five accuracies")
    assert_close(half_width, 1.96 * 0.25 / math.sqrt(5), rtol=1e-5, atol=1e-8, what="half-width of five accuracies")


@points(3)
@catches("claims-as-published", "episodes-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches(
    "two-separate-draws",
    "shots-in-total",
    "queries-in-total",
    "drawn-with-replacement",
    "a-class-twice",
    "all-the-rest-as-query",
    "positions-within-the-class",
    "labels-sorted-in-place",
    "labels-of-32-bits",
)
def test_support_and_query_have_their_samples_apart(student, rng, seed):
    """Each class has k_shot support samples and n_query query samples, and no sample is taken twice."""
    labels = shuffled(PLENTY, rng)
    forms = [
        (shuffled(EXACT, rng), (6, 3, 4)),  # first, since parts that are not kept apart are sure to overlap here
        (labels, (3, 3, 4)),
        (labels, (5, 1, 6)),
        (labels, (1, 5, 2)),
        (np.array(labels, dtype=np.int64), (4, 2, 3)),
        (np.array(labels, dtype=np.int16), (2, 4, 4)),
        (np.array(labels) % 7, (2, 1, 1)),
        ((np.array(labels) % 7).astype(np.uint8), (1, 1, 1)),
    ]
    for values, sizes in forms:
        facts = student.run(sample_one_episode, values, *sizes, seed)
        assert_arrays(facts, sizes)
        assert_counts(facts, sizes)
        assert_unchanged(facts["labels after the call"], values, what="argument labels")

    large = shuffled([label for label, count in LARGE.items() for _ in range(count)], rng)
    for values in (np.array(large, dtype=np.int64), large):
        found = student.run(sample_many_episodes, values, 4, 1, 2, 1, seed)
        if found != {"classes": sorted(LARGE)}:
            said = f"drew {found['classes']}" if "classes" in found else "raised ValueError"
            raise AssertionError(
                f"4 ways of the four classes {', '.join(map(str, sorted(LARGE)))}, with 3 to 6 samples each: "
                f"sample_episode {said}. Labels may be as large as an int64 can be, and all of these are different."
            )


@points(1)
@catches("original-labels", "labels-in-sorted-order", "query-in-another-order")
def test_labels_of_an_episode_follow_its_classes(student, rng, seed):
    """Labels in an episode count from 0 and stand for the classes in the order of `classes`."""
    labels = shuffled(PLENTY, rng)
    for number, sizes in enumerate([(5, 2, 3), (4, 3, 1), (5, 1, 4), (3, 2, 2)]):
        facts = student.run(sample_one_episode, labels, *sizes, seed + number)
        assert_arrays(facts, sizes)
        assert_labels(facts, sizes)


@points(1)
@catches(
    "first-classes",
    "first-samples",
    "frequent-classes-preferred",
    "one-shuffle-for-all-classes",
    "query-the-first-of-the-rest",
    "sorted-before-the-cut",
    "first-samples-shuffled",
    "numpy-global-generator",
    "generator-of-its-own",
    "generator-copied",
)
def test_draws_are_uniform_and_come_from_the_given_generator(student, rng, seed):
    """Every set of classes and every choice of samples is equally likely, and only `rng` decides."""
    facts = student.run(sample_with_equal_generators, shuffled(PLENTY, rng), 3, 3, 4, seed)
    complaints = {
        "global generators untouched": "A global random generator was used; only the one that is passed in may be",
        "equal generators, equal episodes": "Two equal generators gave different episodes; rng must decide everything",
        "another generator, another episode": "Two different generators gave the same episode; rng decides nothing",
        "the next episode is another": "A second call with the same generator gave the first episode again",
    }
    for fact, complaint in complaints.items():
        if facts[fact] is not True:
            raise AssertionError(f"{complaint}.")

    sizes = {5: 4, 21: 5, 30: 9, 77: 20}
    labels = shuffled([label for label, count in sizes.items() for _ in range(count)], rng)
    for pair, share in student.run(sample_two_way_episodes, labels, 1, 2, NUMBER, 6, seed):
        if share != 1:
            raise AssertionError(
                f"The classes {pair[0]} and {pair[1]}, with {sizes[pair[0]]} and {sizes[pair[1]]} samples, were drawn "
                f"together in about {share * NUMBER // 6} of {NUMBER} episodes of two classes, expected about "
                f"{NUMBER // 6}: all six pairs are equally likely."
            )

    labels = shuffled([3] * 5 + [8] * 5, rng)
    shares = student.run(sample_one_shot_episodes, labels, NUMBER, seed)
    for part, wanted in (("support", 1), ("query", 3)):
        for position, share in enumerate(shares[part]):
            if share != wanted:
                raise AssertionError(
                    f"With labels {labels}, one shot and three queries, the sample at position {position} was in the "
                    f"{part} of about {share * NUMBER // 5} of {NUMBER} episodes, expected about "
                    f"{wanted * NUMBER // 5}: all samples of a class are equally likely."
                )
    if shares["same rank"] != 1:
        raise AssertionError(
            f"With labels {labels} and one shot, the support samples of both classes were the n-th of their class, "
            f"with one n, in about {shares['same rank'] * NUMBER // 5} of {NUMBER} episodes, expected about "
            f"{NUMBER // 5}: samples are drawn independently in each class."
        )


@points(1)
@catches(
    "any-class-drawn",
    "enough-for-the-support",
    "one-sample-too-many-wanted",
    "larger-part-counted",
    "drawn-until-numpy-refuses",
    "fewer-ways-without-a-word",
    "sizes-unchecked",
)
def test_classes_with_enough_samples_take_part(student, rng, seed):
    """A class takes part exactly if it has samples for support and query together; too few classes are refused."""
    enough = {11: 5, 3: 5, 90: 6, -4: 30}  # label -> samples; k_shot + n_query is 5
    short = {8: 4, 0: 1, 60: 3, 12: 4, 70: 2}
    labels = shuffled([label for label, count in (enough | short).items() for _ in range(count)], rng)
    found = student.run(sample_many_episodes, labels, 3, 2, 3, 60, seed)
    if "classes" not in found:
        raise AssertionError(
            "With four classes of at least 5 samples and five of fewer, an episode with n_way=3, k_shot=2, n_query=3 "
            "raised ValueError. Only the classes with 5 samples or more take part."
        )
    drawn = found["classes"]
    left_out, wrong = sorted(enough.keys() - {*drawn}), sorted({*drawn} - enough.keys())
    counts = "5 samples are needed (k_shot=2, n_query=3)"
    if wrong:
        raise AssertionError(f"A class with {(enough | short).get(wrong[0])} samples was drawn; {counts}")
    if left_out:
        raise AssertionError(
            f"A class with {enough[left_out[0]]} samples was not drawn in 60 episodes of 3 classes; {counts}"
        )

    refused = [
        ("5 ways, 4 classes with enough samples", labels, 5, 2, 3),
        ("2 ways, 1 class with enough samples", labels, 2, 4, 3),
        ("1 way, no class with enough samples", labels, 1, 20, 11),
        ("n_way=0", labels, 0, 2, 3),
        ("k_shot=0", labels, 2, 0, 3),
        ("n_query=0", labels, 2, 2, 0),
        ("n_way=-1", labels, -1, 2, 3),
        ("k_shot=-1", labels, 2, -1, 3),
        ("n_query=-1", labels, 2, 2, -1),
        ("no samples", [], 1, 1, 1),
        ("labels of shape (2, 4)", np.array([[0, 0, 0, 0], [1, 1, 1, 1]]), 2, 1, 1),
    ]
    for name, *arguments in refused:
        with raises(ValueError, what=f"sample_episode with {name}"):
            student.run(sample_an_episode_of_bad_input, *arguments)


def assert_split(facts, labels, n_novel):
    """Base and novel divide the classes that occur."""
    call = f"split_classes(labels, n_novel={n_novel}, rng)"
    if not facts["pair"]:
        raise AssertionError(f"{call} should return a tuple of two arrays")
    if "not an array of integers" in facts:
        raise AssertionError(f"The part {facts['not an array of integers']} of {call} is not an array of integers")
    classes = sorted({int(label) for label in labels})
    if facts["in both"]:
        raise AssertionError(f"{call}: {facts['in both']} classes are both base and novel")
    base, novel = facts["sizes"]
    if (base, novel) != (len(classes) - n_novel, n_novel):
        raise AssertionError(
            f"{call}, with {len(classes)} classes in labels, returned arrays of {base} base and {novel} novel classes; "
            f"they should have {len(classes) - n_novel} and {n_novel}."
        )
    if facts["all"] != classes:
        raise AssertionError(f"{call}: base and novel together are {facts['all']}; the classes are {classes}.")


@points(1)
@catches(
    "base-and-novel-overlap",
    "samples-split-instead-of-classes",
    "novel-are-the-last",
    "frequent-classes-novel-first",
    "all-classes-novel",
)
def test_base_and_novel_divide_the_classes(student, rng, seed):
    """Base and novel are disjoint, hold all classes once, and every set of novel classes is equally likely."""
    labels = shuffled(PLENTY + [6], rng)
    for n_novel, values in (
        (2, labels),
        (1, np.array(labels)),
        (5, np.array(labels, np.int16)),
        (3, labels),
        (1, np.array(sorted(LARGE))),
    ):
        facts = student.run(split_classes_once, values, n_novel, seed)
        assert_split(facts, values, n_novel)
        assert_unchanged(facts["labels after the call"], values, what="argument labels")

    sizes = {5: 1, 21: 2, 30: 9, 77: 20}
    labels = shuffled([label for label, count in sizes.items() for _ in range(count)], rng)
    facts = student.run(split_classes_many_times, labels, NUMBER, 6, seed)
    if not facts["global generators untouched"]:
        raise AssertionError("split_classes used a global random generator; only the one that is passed in may be.")
    if not facts["equal generators, equal splits"]:
        raise AssertionError("split_classes gave different splits for two equal generators.")
    for pair, share in facts["shares"]:
        if share != 1:
            raise AssertionError(
                f"The classes {pair[0]} and {pair[1]}, with {sizes[pair[0]]} and {sizes[pair[1]]} samples, were the "
                f"novel ones in about {share * NUMBER // 6} of {NUMBER} splits, expected about {NUMBER // 6}: all "
                "pairs are equally likely."
            )

    for name, values, n_novel in (
        ("n_novel=4 of 4 classes", labels, 4),
        ("n_novel=5 of 4 classes", labels, 5),
        ("n_novel=0", labels, 0),
        ("n_novel=-1", labels, -1),
        ("no samples", [], 1),
        ("labels of shape (2, 2)", np.array([[0, 1], [2, 3]]), 1),
    ):
        with raises(ValueError, what=f"split_classes with {name}"):
            student.run(split_classes_of_bad_input, values, n_novel)


@points(1)
@catches(
    "divided-by-n",
    "spread-of-one-episode",
    "divided-by-n-twice",
    "whole-width",
    "computed-in-the-input-type",
    "quantile-of-the-t-distribution",
    "infinite-accuracy-accepted",
)
def test_the_interval_is_that_of_a_mean(student, rng):
    """The half-width is 1.96 standard errors of the mean, and what makes no sense is refused."""
    accuracies = rng.uniform(0.3, 0.9, size=9)
    cases = [
        ("nine accuracies", accuracies),
        ("nine accuracies, a list", accuracies.tolist()),
        ("36 accuracies", np.tile(accuracies, 4)),
        ("two accuracies", accuracies[:2]),
        ("300 float32 accuracies", rng.uniform(0.3, 0.9, size=300).astype(np.float32)),
        ("300 float16 accuracies", rng.uniform(0.3, 0.9, size=300).astype(np.float16)),
        ("percentages as integers", rng.integers(20, 90, size=40)),
        ("the same accuracy five times", [0.625] * 5),
    ]
    for name, values in cases:
        result = student.mean_ci95(values)
        if not isinstance(result, tuple | list | np.ndarray) or len(result) != 2:
            raise AssertionError(f"mean_ci95 should return two numbers; it returned {result!r}")
        numbers = [float(value) for value in values]
        mean = math.fsum(numbers) / len(numbers)
        variance = math.fsum((value - mean) ** 2 for value in numbers) / (len(numbers) - 1)
        close = {"rtol": 1e-9, "atol": 1e-12}
        assert_close(result[0], mean, **close, what=f"mean of {name}")
        assert_close(
            result[1],
            1.96 * math.sqrt(variance / len(numbers)),
            **close,
            what=f"half-width of {name}",
            cause="1.96 times the sample standard deviation, over the root of the number of episodes, in float64",
        )

    nan, inf = math.nan, math.inf
    for values in ([0.5], [], [0.5, nan, 0.75], [0.5, inf], [[0.5, 0.75], [0.25, 0.5]], [[0.5], [0.75]]):
        with raises(ValueError, what=f"mean_ci95({values})"):
            student.mean_ci95(values)
