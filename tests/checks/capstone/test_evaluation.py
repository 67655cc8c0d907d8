"""Hidden checks of capstone/evaluation. What is expected is counted one query, one pair, one bin at a time."""

import math
import statistics

import numpy as np

from grader.checking import (
    assert_close,
    assert_equal,
    assert_shape,
    assert_unchanged,
    catches,
    points,
    raises,
    visible,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
KEYS = (
    *(f"to_names@{k}" for k in (1, 5, 10)),
    *(f"to_drawings@{k}" for k in (1, 5, 10)),
    "gain",
    "low",
    "high",
    "forgetting",
)


# ---------------------------------------------------------------- inputs and results


def gallery(rng, query_concepts, candidate_concepts, likeness=6):
    """Similarities without ties, pairs of one concept a little higher on the whole."""
    same = np.equal.outer(query_concepts, candidate_concepts)
    order = rng.permutation(same.size).reshape(same.shape)
    return (2 * order + same * (2 * (same.size // likeness) + 1)) / 64 - 0.5  # even and odd: no two are equal


def concepts_of(rng, numbers):
    return np.array(numbers)[rng.permutation(len(numbers))]


def number(value, what):
    """A single number as a Python float; Python numbers, NumPy scalars and 0-d arrays are all fine."""
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise AssertionError(f"The {what} is {value!r}; it should be a single number.")
    return float(value)


def interval(result, what):
    if not isinstance(result, tuple | list | np.ndarray) or len(result) != 2:
        raise AssertionError(f"The {what} should be two numbers, (low, high); it is {result!r}.")
    return number(result[0], f"low end of the {what}"), number(result[1], f"high end of the {what}")


def entries(result, keys, what):
    if not isinstance(result, dict):
        raise AssertionError(f"The {what} should be a dict; it is of type {type(result).__name__}.")
    missing, extra = sorted(set(keys) - set(result)), sorted(str(key) for key in set(result) - set(keys))
    if missing or extra:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} too many"] * bool(extra)
        raise AssertionError(f"The {what} {' and '.join(parts)}.")
    return {key: number(result[key], f"entry {key!r} of the {what}") for key in keys}


def found_ranks(student, similarity, query_concepts, candidate_concepts, what):
    result = student.ranks(similarity, query_concepts, candidate_concepts)
    assert_shape(result, (len(query_concepts),), what=what)
    if not isinstance(result, np.ndarray) or result.dtype != np.int64:
        kind = result.dtype if isinstance(result, np.ndarray) else type(result).__name__
        raise AssertionError(f"The {what} should be an array of int64; it is of {kind}.")
    return result


# ---------------------------------------------------------------- what is expected


def expected_ranks(similarity, query_concepts, candidate_concepts):
    """Positions in galleries that are sorted best first, at equal scores the wrong candidates before the right ones."""
    found = []
    for scores, concept in zip(similarity.tolist(), query_concepts.tolist(), strict=True):
        right = [other == concept for other in candidate_concepts.tolist()]
        order = sorted(range(len(scores)), key=lambda item: (-scores[item], right[item]))  # noqa: B023
        first = next(place for place, item in enumerate(order) if right[item])
        found.append(1 + first)
    return found


def expected_auc(similarity, query_concepts, candidate_concepts):
    right, wrong = [], []
    for scores, concept in zip(similarity.tolist(), query_concepts.tolist(), strict=True):
        for score, other in zip(scores, candidate_concepts.tolist(), strict=True):
            (right if other == concept else wrong).append(score)
    wins = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
    return wins / (len(right) * len(wrong))


def expected_error(logits, query_concepts, candidate_concepts, bins):
    """The calibration error, query by query; edges are compared as fractions of the number of bins."""
    gaps = {}
    for scores, concept in zip(logits.tolist(), query_concepts.tolist(), strict=True):
        top = max(scores)
        confidence = 1 / math.fsum(math.exp(score - top) for score in scores)
        winners = [other for score, other in zip(scores, candidate_concepts.tolist(), strict=True) if score == top]
        right = all(other == concept for other in winners)
        place = next(b for b in range(1, bins + 1) if confidence <= b / bins)
        gaps.setdefault(place, []).append(right - confidence)
    return math.fsum(abs(math.fsum(values)) for values in gaps.values()) / len(logits)


def distribution_of_resamples(values):
    """All means that a resample of values in {-1, 0, 1} can have, and the probability of being at most as large."""
    one = np.array([np.mean(values == value) for value in (-1, 0, 1)])
    probabilities = np.ones(1)
    for _ in values:
        probabilities = np.convolve(probabilities, one)
    count = len(values)
    return np.arange(-count, count + 1) / count, np.cumsum(probabilities)


def allowed_range(means, cumulative, probability, resamples):
    """Where a percentile of so many resamples lies, all but surely: within six standard errors."""
    slack = 6 * math.sqrt(probability * (1 - probability) / resamples)
    first = means[np.searchsorted(cumulative, max(probability - slack, 0.0))]
    last = means[min(np.searchsorted(cumulative, min(probability + slack, 1.0)), len(means) - 1)]
    return first - 1e-9, last + 1e-9


def check_interval(found, values, resamples, what, cause):
    means, cumulative = distribution_of_resamples(np.asarray(values))
    for end, value, probability in zip(("low", "high"), found, (0.025, 0.975), strict=True):
        first, last = allowed_range(means, cumulative, probability, resamples)
        if not first <= value <= last:
            raise AssertionError(
                f"The {end} end of the {what} is {value:.4g}; with {resamples} resamples it lies between {first:.4g} "
                f"and {last:.4g}, whatever is drawn.\nLikely cause: {cause}"
            )


# ---------------------------------------------------------------- probes


def interval_and_gain_with_generators(student, values, tuned, baseline, seed):
    """Both intervals, and facts about the generators; nothing that is drawn comes back."""
    import random

    import numpy as np

    def both(rng):
        low, high = student.bootstrap_interval(values, 40, rng)
        gain = student.paired_gain(tuned, baseline, 1, 40, rng)
        return float(low), float(high), float(gain["low"]), float(gain["high"])

    before = random.getstate(), repr(np.random.get_state())
    rng = np.random.default_rng(seed)
    drawn = [both(rng) for _ in range(6)]
    facts = {"untouched": (random.getstate(), repr(np.random.get_state())) == before}
    np.random.seed(7)
    random.seed(7)
    facts["repeatable"] = both(np.random.default_rng(seed)) == drawn[0]
    facts["goes on"] = len({ends[:2] for ends in drawn}) > 1 and len({ends[2:] for ends in drawn}) > 1
    return facts, (values, tuned, baseline)


def bootstrap_interval(student, values, resamples, seed):
    import numpy as np

    return student.bootstrap_interval(values, resamples, np.random.default_rng(seed))


def paired_gain(student, tuned, baseline, k, resamples, seed):
    import numpy as np

    return student.paired_gain(tuned, baseline, k, resamples, np.random.default_rng(seed))


def tables_after_compare(student, methods, image_concepts, text_concepts, resamples, seed):
    student.compare(methods, image_concepts, text_concepts, resamples, seed)
    return methods, image_concepts, text_concepts


def table_after_the_call(student, function, table, query_concepts, candidate_concepts):
    getattr(student, function)(table, query_concepts, candidate_concepts)
    return table, query_concepts, candidate_concepts


# ---------------------------------------------------------------- the checks


@points(1)
@visible
@catches("recall-in-percent", "recall-below-k")
def test_four_drawings_worked_out_by_hand(student):
    """Four drawings and five names, worked out by hand: ranks, recall and median."""
    similarity = np.array(
        [[0.5, 0.5, 0.1, 0.9, 0.2], [0.3, 0.7, 0.3, 0.1, 0.6], [0.4, 0.2, 0.4, 0.0, 0.8], [0.6, 0.9, 0.7, 0.6, 0.6]]
    )
    ranks = found_ranks(student, similarity, np.array([6, 2, 2, 8]), np.array([2, 2, 6, 6, 8]), "array of ranks")
    assert_equal(ranks, np.array([1, 1, 3, 5]), what="array of ranks")
    given = np.array([1, 1, 3, 5])
    for k, share in ((1, 0.5), (3, 0.75)):
        what = f"recall at {k} of the ranks 1, 1, 3, 5"
        assert_close(number(student.recall_at(given, k), what), share, what=what, cause="a share, of ranks up to k")
    what = "median of the ranks 1, 1, 3, 5"
    assert_close(number(student.median_rank(given), what), 2.0, what=what)


@points(1)
@catches(
    "diagonal-assumed",
    "right-candidates-in-the-way",
    "worst-right-candidate",
    "first-right-candidate",
    "lowest-first",
    "ranks-from-zero",
    "ranked-among-the-queries",
)
def test_ranks_of_the_best_right_candidate(student, rng):
    """ranks: the best right candidate among the candidates of other concepts, in tables of any shape."""
    cause = "count the candidates of other concepts above the best right one, and add 1"
    table, queries, candidates = [[0.1, 0.9, 0.5, 0.3], [0.8, 0.2, 0.5, 0.9]], [3, 3], [3, 3, 8, 5]
    what = f"array of ranks for queries {queries} among candidates {candidates}, similarities {table}"
    ranks = found_ranks(student, np.array(table), np.array(queries), np.array(candidates), what)
    assert_equal(ranks, np.array([1, 2]), what=what, cause=cause)
    for queries, candidates in (
        ([4, 9, 2, 7, 5], [4, 9, 2, 7, 5]),
        ([4, 9, 2], [4, 9, 2, 7, 5, 0]),
        ([3, 8, 3, 5, 8, 8], [8, 3, 5]),
        ([3, 8, 5, 0], [3, 3, 8, 8, 8, 5, 0, 0]),
        ([3, 8, 3, 5], [3, 8, 3, 5]),
    ):
        query_concepts, candidate_concepts = concepts_of(rng, queries), concepts_of(rng, candidates)
        similarity = gallery(rng, query_concepts, candidate_concepts)
        what = f"array of ranks for queries {query_concepts.tolist()} among candidates {candidate_concepts.tolist()}"
        ranks = found_ranks(student, similarity, query_concepts, candidate_concepts, what)
        wanted = expected_ranks(similarity, query_concepts, candidate_concepts)
        assert_equal(ranks, np.array(wanted), what=what, cause=cause)
        after = student.run(table_after_the_call, "ranks", similarity, query_concepts, candidate_concepts)
        for name, left, right in zip(
            ("similarity", "query_concepts", "candidate_concepts"),
            after,
            (similarity, query_concepts, candidate_concepts),
            strict=True,
        ):
            assert_unchanged(left, right, what=f"argument {name} of ranks")


@points(1)
@catches("ties-in-favour", "ties-by-position", "ties-half", "tied-right-candidates-in-the-way")
def test_ties_count_against_the_query(student, rng):
    """ranks: every candidate of another concept with an equal score stands before the right one."""
    cause = "a candidate of another concept with the same score goes first; a right one never stands in the way"
    cases = [
        ("all similarities equal", np.full((4, 6), 0.25), [3, 8, 5, 0], [3, 8, 5, 0, 3, 3]),
        ("all similarities equal, one query", np.zeros((1, 5)), [7], [7, 1, 2, 3, 4]),
    ]
    for _ in range(4):
        table = rng.integers(-1, 2, (5, 7)) / 4
        cases.append((f"similarities {table.tolist()}", table, [3, 8, 3, 5, 0], [0, 3, 8, 3, 5, 9, 0]))
    for case, table, queries, candidates in cases:
        query_concepts, candidate_concepts = np.array(queries), np.array(candidates)
        what = f"array of ranks for queries {queries} among candidates {candidates}, {case}"
        ranks = found_ranks(student, table, query_concepts, candidate_concepts, what)
        wanted = expected_ranks(table, query_concepts, candidate_concepts)
        assert_equal(ranks, np.array(wanted), what=what, cause=cause)


@points(1)
@catches("median-from-zero", "lower-median", "mean-rank", "forgetting-turned", "forgetting-cut-at-zero")
def test_recall_median_and_forgetting(student, rng):
    """recall_at, median_rank and forgetting are read off ranks that count from 1."""
    for count in (6, 9):
        ranks = rng.permutation(np.arange(1, 30))[:count] ** 2
        listed = ranks.tolist()
        for k in (int(sorted(listed)[2]), int(sorted(listed)[-1]), 1000):
            what = f"recall at {k} of the ranks {listed}"
            wanted = sum(rank <= k for rank in listed) / count
            assert_close(
                number(student.recall_at(ranks, k), what), wanted, what=what, cause="a share of 0 to 1", **CLOSE
            )
        what = f"median of the ranks {listed}"
        cause = "the rank in the middle, as it stands, of an even number the mean of the two in the middle"
        wanted = float(statistics.median(listed))
        assert_close(number(student.median_rank(ranks), what), wanted, what=what, cause=cause, **CLOSE)
    what = "median of the ranks 2, 1"
    assert_close(number(student.median_rank(np.array([2, 1])), what), 1.5, what=what, **CLOSE)
    before, after = np.array([1, 1, 2, 1, 7, 1, 3]), np.array([1, 4, 1, 2, 9, 3, 5])
    for case, first, second in (("more was known before", before, after), ("more is known after", after, before)):
        for k in (1, 3):
            what = f"value of forgetting({first.tolist()}, {second.tolist()}, k={k})"
            wanted = (sum(first <= k) - sum(second <= k)) / 7
            cause = f"recall before minus recall after; here {case}"
            assert_close(number(student.forgetting(first, second, k), what), wanted, what=what, cause=cause, **CLOSE)
    what = "value of forgetting without k"
    assert_close(
        number(student.forgetting(before, after), what), 2 / 7, what=what, cause="the default is k = 1", **CLOSE
    )


@points(1)
@catches(
    "auc-ties-against", "auc-ties-in-favour", "auc-ties-ignored", "auc-of-the-diagonal", "auc-row-by-row", "auc-turned"
)
def test_auc_compares_all_right_pairs_with_all_wrong_ones(student, rng):
    """matching_auc: the chance that a right pair scores above a wrong one, over the whole table, ties half."""
    cases = [(np.zeros((3, 3)), [1, 2, 3], [1, 2, 3], "all similarities equal")]
    for queries, candidates in (
        ([4, 9, 2, 7], [4, 9, 2, 7]),
        ([3, 8, 3], [8, 3, 5, 3]),
        ([1, 6], [6, 0, 1, 6, 1]),
        ([3, 8, 3, 5], [3, 8, 3, 5]),
    ):
        table = gallery(rng, np.array(queries), np.array(candidates), likeness=3)
        table += np.arange(len(queries))[:, None] * 0.503  # some queries score higher with everything
        cases.append((table, queries, candidates, "no ties"))
        cases.append((rng.integers(0, 3, table.shape) / 2, queries, candidates, "many ties"))
    for table, queries, candidates, case in cases:
        query_concepts, candidate_concepts = np.array(queries), np.array(candidates)
        what = f"value of matching_auc for queries {queries} and candidates {candidates}, {case}"
        found = number(student.matching_auc(table, query_concepts, candidate_concepts), what)
        cause = "all pairs of one concept against all other pairs of the table; an equal score counts half"
        assert_close(found, expected_auc(table, query_concepts, candidate_concepts), what=what, cause=cause, **CLOSE)


@points(1)
@catches(
    "edges-belong-above",
    "bins-count-the-same",
    "largest-gap",
    "confidence-of-the-right-answer",
    "sigmoid-as-confidence",
    "softmax-overflows",
    "tied-answers-taken-as-right",
    "calibration-in-float32",
    "gap-of-each-query",
    "bins-ignored",
    "signs-cancel",
    "equally-filled-bins",
)
def test_calibration_compares_confidence_with_accuracy(student, rng):
    """expected_calibration_error: gaps of the top answers in equal bins, an edge belonging to the bin below."""
    apart = math.log(1.5)  # a softmax of about 0.6 and 0.4
    cases = [
        ("six queries, one bin", rng.normal(size=(6, 4)) * 2, [3, 8, 5, 0, 3, 8], [0, 3, 5, 8], 1),
        (
            "a confidence of exactly 0.5, and one of 0.4, in 2 bins",
            np.array([[0.0, 0.0, -2000.0, -2000.0], [math.log(2), 0.0, math.log(1.5), math.log(0.5)]]),
            [3, 5],
            [3, 3, 8, 5],
            2,
        ),
        (
            "a confidence of exactly 1, and one near 0.6, in 5 bins",
            np.array([[2000.0, 0.0], [0.01, apart]]),
            [4, 7],
            [4, 7],
            5,
        ),
        ("four equal logits, in 4 bins", np.array([[1.0] * 4, [3.0, 0.0, 0.0, 0.0]]), [3, 8], [3, 8, 5, 0], 4),
        ("two equal largest logits, of two concepts", np.array([[2.0, 2.0, 0.0]] * 2), [3, 8], [3, 8, 5], 10),
        ("logits near 10000", np.array([[10000.0, 9999.0], [-9999.0, -10000.0]]), [1, 2], [1, 2], 3),
    ]
    for bins in (3, 10):
        for _ in range(2):
            queries = rng.integers(0, 4, 12)
            logits = rng.normal(size=(12, 4)) + 1.5 * np.equal.outer(queries, np.arange(4))
            cases.append((f"12 queries in {bins} bins", logits, queries.tolist(), [0, 1, 2, 3], bins))
    for case, logits, queries, candidates, bins in cases:
        query_concepts, candidate_concepts = np.array(queries), np.array(candidates)
        what = f"expected calibration error of {case}"
        found = number(student.expected_calibration_error(logits, query_concepts, candidate_concepts, bins), what)
        wanted = expected_error(logits, query_concepts, candidate_concepts, bins)
        cause = (
            "each bin weighs as much as it has queries; an edge belongs to the bin below; a shared top is rarely right"
        )
        assert_close(found, wanted, what=what, cause=cause, **CLOSE)
    query_concepts, candidate_concepts = np.arange(9), np.arange(9)
    logits = (rng.normal(size=(9, 9)) + 2 * np.eye(9)).astype(np.float32)
    what = "expected calibration error of logits in float32, bins left out"
    found = number(student.expected_calibration_error(logits, query_concepts, candidate_concepts), what)
    wanted = expected_error(logits.astype(np.float64), query_concepts, candidate_concepts, 10)
    assert_close(
        found, wanted, what=what, cause="the default is 10 bins, and everything is computed in float64", **CLOSE
    )
    after = student.run(table_after_the_call, "expected_calibration_error", logits, query_concepts, candidate_concepts)
    assert_unchanged(after[0], logits, what="argument logits of expected_calibration_error")


@points(2)
@catches(
    "interval-of-the-values",
    "not-divided-by-the-root",
    "reflected-interval",
    "normal-interval",
    "ninety-per-cent",
    "drawn-without-replacement",
    "one-query-short",
    "global-random-state",
    "seed-of-its-own",
    "unpaired",
    "intervals-subtracted",
    "gain-turned",
    "gain-of-mean-ranks",
    "k-ignored-in-the-interval",
    "resamples-ignored",
)
def test_intervals_are_over_queries_and_in_pairs(student, rng, seed):
    """bootstrap_interval and paired_gain: percentiles of the means of resampled queries, two models drawn in pairs."""
    resamples = 3000
    few = np.array([1.0] * 2 + [0.0] * 13)[rng.permutation(15)]
    many = rng.permutation(np.repeat([-1.0, 0.0, 1.0], [110, 1600, 290]))
    for case, values in (("2 of 15 queries are 1, the others 0", few), ("2000 values of -1, 0 and 1", many)):
        what = f"interval of the mean ({case})"
        found = interval(student.run(bootstrap_interval, values, resamples, seed), what)
        cause = "the interval is that of the mean: 2.5th and 97.5th percentile of the means of resampled queries"
        check_interval(found, values, resamples, what, cause)
    for count, value in ((6, 0.25), (1, -3.0)):
        what = f"interval of {count} times the value {value}"
        found = interval(student.run(bootstrap_interval, np.full(count, value), 20, seed), what)
        assert_close(found, (value, value), what=what, **CLOSE)
    low, high = interval(student.run(bootstrap_interval, many, 1, seed), "interval of a single resample")
    assert_close(high, low, what="high end for a single resample, compared with the low end", **CLOSE)

    # both find 150 of 250 in the first few, on nearly the same queries; ranks differ in what k = 1 does not see
    tuned, baseline = np.full(250, 2), np.full(250, 9)
    tuned[:170], baseline[20:160] = 1, 1
    order = rng.permutation(250)
    tuned, baseline = tuned[order], baseline[order]
    for k, model, other in ((1, tuned, baseline), (1, baseline, tuned), (5, tuned, baseline)):
        difference = (model <= k).astype(float) - (other <= k)
        what = f"result of paired_gain with k = {k}"
        result = entries(student.run(paired_gain, model, other, k, resamples, seed), ("gain", "low", "high"), what)
        cause = "recall at k of the tuned model minus that of the baseline"
        # with the submission's own recall: a mistake there costs its own check only
        own = number(student.recall_at(model, k), "recall") - number(student.recall_at(other, k), "recall")
        assert_close(result["gain"], own, what=f"gain at k = {k}", cause=cause, **CLOSE)
        what = f"interval of the gain at k = {k}"
        cause = (
            "a resample that picks a query picks it for both models, and counts whether it was found among the first k"
        )
        check_interval((result["low"], result["high"]), difference, resamples, what, cause)
    result = entries(student.run(paired_gain, tuned, tuned, 1, 30, seed), ("gain", "low", "high"), "gain over itself")
    for key, value in result.items():
        assert_close(
            value, 0.0, what=f"'{key}' of a model compared with itself", cause="the queries are paired", **CLOSE
        )

    uneven = rng.normal(size=60)
    facts, after = student.run(interval_and_gain_with_generators, uneven, tuned, baseline, seed)
    told = {
        "untouched": "a global random generator was used or seeded; only `rng` may be used",
        "repeatable": "two generators of one seed gave different intervals; something else than `rng` decides",
        "goes on": "calls in a row with one generator gave one and the same interval; `rng` should go on",
    }
    for fact, message in told.items():
        if not facts[fact]:
            raise AssertionError(f"bootstrap_interval and paired_gain: {message}.")
    for name, left, right in zip(
        ("values", "tuned_ranks", "baseline_ranks"), after, (uneven, tuned, baseline), strict=True
    ):
        assert_unchanged(left, right, what=f"argument {name}")


@points(1)
@catches(
    "one-direction-twice",
    "directions-exchanged",
    "first-method-as-baseline",
    "one-generator-for-all-lines",
    "gain-on-the-source",
    "forgetting-on-the-target",
    "forgetting-between-vendors",
    "zero-shot-left-out",
)
def test_the_table_of_methods(student, rng, seed):
    """compare: both directions, the gain over zero-shot on the target, forgetting on the source, line by line."""
    image_concepts, text_concepts = concepts_of(rng, [*range(14), 3, 3, 8, 8]), rng.permutation(14)
    names = ["lora", "zero-shot", "full", "probe", "replay"]
    methods = {
        name: tuple(gallery(rng, image_concepts, text_concepts, likeness=likeness) for likeness in likenesses)
        for name, likenesses in zip(names, ((3, 2), (9, 2), (2, 9), (4, 3), (3, 3)), strict=True)
    }
    table = student.compare(methods, image_concepts, text_concepts, 7, seed)
    if not isinstance(table, dict) or set(table) != set(names):
        told = sorted(map(str, table)) if isinstance(table, dict) else type(table).__name__
        raise AssertionError(f"compare should return a dict with the keys {sorted(names)}; it returned {told}.")
    known = {
        name: [np.array(expected_ranks(part, image_concepts, text_concepts)) for part in methods[name]]
        for name in names
    }
    for name in names:
        line = entries(table[name], KEYS, f"line {name!r} of compare")
        target, source = known[name]
        back = np.array(expected_ranks(methods[name][0].T, text_concepts, image_concepts))
        # what is read off the right ranks, the submission's own functions say: a mistake there costs its own check only
        for k in (1, 5, 10):
            for key, ranks in ((f"to_names@{k}", target), (f"to_drawings@{k}", back)):
                what = f"entry {key!r} of the line {name!r}"
                cause = "names look for drawings in the columns of the target's table, drawings for names in its rows"
                wanted = number(student.recall_at(ranks, k), f"recall at {k}")
                assert_close(line[key], wanted, what=what, cause=cause, **CLOSE)
        baseline, remembered = known["zero-shot"]
        own = entries(
            student.run(paired_gain, target, baseline, 1, 7, seed), ("gain", "low", "high"), "result of paired_gain"
        )
        for key in ("gain", "low", "high"):
            cause = "your own paired_gain gives another number for the target's ranks, zero-shot being the baseline"
            if key != "gain":
                cause = "your own paired_gain with a fresh np.random.default_rng(seed) gives another number"
            assert_close(line[key], own[key], what=f"{key!r} of the line {name!r}", cause=cause, **CLOSE)
        wanted = number(student.forgetting(remembered, source), "forgetting")
        cause = "your own forgetting gives another number for the source's ranks, those of zero-shot being before"
        assert_close(line["forgetting"], wanted, what=f"'forgetting' of the line {name!r}", cause=cause, **CLOSE)
    after = student.run(tables_after_compare, methods, image_concepts, text_concepts, 2, seed)
    for name in names:
        for part in (0, 1):
            assert_unchanged(after[0][name][part], methods[name][part], what=f"table of the method {name!r}")


@points(1)
@catches(
    "nan-taken",
    "matrix-entries-drawn",
    "queries-without-answer-last",
    "lengths-cut",
    "one-kind-of-pairs",
    "k-zero-taken",
)
def test_input_that_makes_no_sense_is_refused(student, rng, seed):
    """Tables that do not fit, NaN, queries without an answer, unequal lengths and numbers below 1 are refused."""
    table, queries, candidates = rng.normal(size=(3, 4)), np.array([3, 8, 5]), np.array([5, 3, 8, 0])
    nan = table.copy()
    nan[1, 3] = math.nan
    for what, bad_table, bad_queries, bad_candidates in (
        ("NaN", nan, queries, candidates),
        ("concepts of 2 of 3 queries", table, queries[:2], candidates),
        ("concepts of 5 for 4 candidates", table, queries, np.arange(5)),
        ("a table of one axis", table[0], queries[:1], candidates),
        ("a table of three axes", table[None], queries, candidates),
        ("no queries", table[:0], queries[:0], candidates),
        ("no candidates", table[:, :0], queries, candidates[:0]),
    ):
        for name in ("ranks", "matching_auc", "expected_calibration_error"):
            with raises(ValueError, what=f"{name} with {what}"):
                getattr(student, name)(bad_table, bad_queries, bad_candidates)
    with raises(ValueError, what="ranks with a query whose concept no candidate shows"):
        student.ranks(table, np.array([3, 8, 7]), candidates)
    with raises(ValueError, what="matching_auc without a right pair"):
        student.matching_auc(table, np.array([6, 7, 9]), candidates)
    with raises(ValueError, what="matching_auc without a wrong pair"):
        student.matching_auc(table, np.full(3, 2), np.full(4, 2))
    with raises(ValueError, what="expected_calibration_error with bins=0"):
        student.expected_calibration_error(table, queries, candidates, 0)

    ranks, others = np.array([1, 4, 2, 9]), np.array([2, 1, 1, 3])
    empty, square = np.array([], dtype=np.int64), ranks.reshape(2, 2)
    for what, bad in (("no ranks", empty), ("ranks of two axes", square)):
        with raises(ValueError, what=f"recall_at with {what}"):
            student.recall_at(bad, 1)
        with raises(ValueError, what=f"median_rank with {what}"):
            student.median_rank(bad)
        with raises(ValueError, what=f"forgetting with {what}"):
            student.forgetting(bad, bad)
        with raises(ValueError, what=f"paired_gain with {what}"):
            student.run(paired_gain, bad, bad, 1, 10, seed)
    for k in (0, -2):
        with raises(ValueError, what=f"recall_at with k={k}"):
            student.recall_at(ranks, k)
        with raises(ValueError, what=f"forgetting with k={k}"):
            student.forgetting(ranks, others, k)
        with raises(ValueError, what=f"paired_gain with k={k}"):
            student.run(paired_gain, ranks, others, k, 10, seed)
    for what, first, second in (("4 and 3 ranks", ranks, others[:3]), ("1 and 4 ranks", ranks[:1], others)):
        with raises(ValueError, what=f"forgetting with {what}"):
            student.forgetting(first, second)
        with raises(ValueError, what=f"paired_gain with {what}"):
            student.run(paired_gain, first, second, 1, 10, seed)
    for what, values in (
        ("no values", np.array([])),
        ("a table of values", rng.normal(size=(3, 4))),
        ("a NaN", np.array([0.5, math.nan])),
    ):
        with raises(ValueError, what=f"bootstrap_interval with {what}"):
            student.run(bootstrap_interval, values, 10, seed)
    with raises(ValueError, what="bootstrap_interval with resamples=0"):
        student.run(bootstrap_interval, ranks.astype(np.float64), 0, seed)
    with raises(ValueError, what="paired_gain with resamples=0"):
        student.run(paired_gain, ranks, others, 1, 0, seed)
    square_table, concepts = rng.normal(size=(3, 3)), np.array([1, 2, 3])
    with raises(KeyError, ValueError, what="compare without 'zero-shot'"):
        student.compare({"full": (square_table, square_table)}, concepts, concepts, 10, seed)
