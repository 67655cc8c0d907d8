"""Checks of metrics/retrieval. Expected ranks are positions in a gallery that is sorted as the task says."""

import math
import statistics

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

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

FUNCTIONS = ("positive_ranks", "retrieval_metrics", "ndcg_at_k")


@st.composite
def galleries(draw, ties=True):
    """Few different similarities, so that many are tied, or all different; one relevant item or several in each row."""
    items = draw(st.integers(1, 6))
    row = st.lists(st.integers(-1, 2), min_size=items, max_size=items) if ties else st.permutations(range(items))
    rows = draw(st.lists(row, min_size=1, max_size=4))
    answers = st.lists(st.booleans(), min_size=items, max_size=items).filter(any)
    return rows, [draw(answers) for _ in rows]


def ranks_in_the_sorted_gallery(sim, relevant):
    """Sort each gallery, best first: at equal scores the non-relevant items go first, then the earlier ones."""
    ranks = []
    for scores, answers in zip(sim, relevant, strict=True):
        order = sorted(range(len(scores)), key=lambda item: (-scores[item], answers[item], item))
        ranks.append([order.index(item) + 1 for item, answer in enumerate(answers) if answer])
    return ranks


def mean_ndcg(ranks, k):
    total = 0.0
    for row in ranks:
        found = math.fsum(1 / math.log2(rank + 1) for rank in row if rank <= k)
        total += found / math.fsum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(row)) + 1))
    return total / len(ranks)


def random_gallery(rng, queries, items):
    """Similarities without ties, a margin of 1/1024 apart, and one to four relevant items a query."""
    sim = np.stack([rng.permutation(4 * items)[:items] for _ in range(queries)]) / 1024 - 0.02
    relevant = np.zeros((queries, items), dtype=bool)
    for row, count in enumerate(rng.permutation(np.arange(queries) % 4) + 1):
        relevant[row, rng.permutation(items)[:count]] = True
    return sim, relevant


def assert_ranks(student, sim, relevant, expected, call, cause=""):
    ranks = student.positive_ranks(sim, relevant)
    if not isinstance(ranks, list | tuple):
        raise AssertionError(f"{call} returned {type(ranks).__name__}; it should return a list of arrays.")
    if len(ranks) != len(expected):
        raise AssertionError(f"{call} returned {len(ranks)} arrays; it should return one for each query.")
    rows = zip(ranks, expected, np.round(sim, 4).tolist(), np.asarray(relevant).tolist(), strict=True)
    for query, (found, wanted, scores, answers) in enumerate(rows):
        what = f"ranks of query {query} in {call}"
        if len(expected) > 1:
            what += f" (sim[{query}] = {scores}, relevant[{query}] = {answers})"
        assert_shape(found, (len(wanted),), what=f"array with the {what}", cause="one rank for each relevant item")
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu" or found.dtype.itemsize < 4:
            kind = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
            raise AssertionError(f"The {what} are {kind}; they should be an array of 32-bit or 64-bit integers.")
        if found.tolist() != wanted and sorted(found.tolist()) == sorted(wanted):
            cause = "the ranks are those of this query, in another order than the one of its items in the gallery"
        assert_equal(found, np.array(wanted), what=f"array with the {what}", cause=cause)


def number(value, what):
    """A single number as a Python float; Python numbers, NumPy scalars and 0-d arrays are all fine."""
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise AssertionError(f"The {what} is {value!r}; it should be a single number.")
    return float(value)


def entry(metrics, key, call):
    if not isinstance(metrics, dict):
        raise AssertionError(f"{call} returned {type(metrics).__name__}; it should return a dict.")
    if key not in metrics:
        raise AssertionError(f"{call} returned a dict without {key!r}; it has {sorted(map(str, metrics))}.")
    return number(metrics[key], f"entry {key!r} of {call}")


def assert_metrics(student, sim, relevant, ks, call, **causes):
    metrics = student.retrieval_metrics(sim, relevant, ks=ks)
    best = [min(row) for row in ranks_in_the_sorted_gallery(sim, relevant)]
    expected = {f"R@{k}": sum(rank <= k for rank in best) / len(best) for k in ks}
    expected |= {"median_rank": statistics.median(best), "mrr": math.fsum(1 / rank for rank in best) / len(best)}
    for key, value in expected.items():
        cause = causes.get("recall" if key.startswith("R@") else key, "")
        found = entry(metrics, key, call)
        assert_close(found, float(value), rtol=1e-9, atol=1e-12, what=f"entry {key!r} of {call}", cause=cause)


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    sim = [[0.5, 0.25, 0.5, 0.75], [0.125, 0.75, 0.5, 0.25], [0.5, 0.5, 0.5, 0.5]]
    relevant = [[True, False, False, False], [False, True, True, False], [False, False, True, False]]
    ranks = student.positive_ranks(sim, relevant)
    if [[float(rank) for rank in row] for row in ranks] != [[3], [1, 2], [4]]:
        raise AssertionError(f"positive_ranks returned {ranks}; the ranks should be [3], [1, 2] and [4].")
    call = "retrieval_metrics(sim, relevant, ks=(1, 3, 9))"
    metrics = student.retrieval_metrics(sim, relevant, ks=(1, 3, 9))
    for key, expected in {"R@1": 1 / 3, "R@3": 2 / 3, "R@9": 1.0, "median_rank": 3.0, "mrr": 19 / 36}.items():
        assert_close(entry(metrics, key, call), expected, rtol=1e-5, atol=1e-8, what=f"entry {key!r} of {call}")
    for k, expected in ((2, 1 / 3), (3, 1 / 2)):
        what = f"value of ndcg_at_k(sim, relevant, {k})"
        assert_close(number(student.ndcg_at_k(sim, relevant, k), what), expected, rtol=1e-5, atol=1e-8, what=what)


@points(2)
@catches(
    "diagonal-assumed",
    "ranked-among-the-queries",
    "lowest-first",
    "filtered-ranks",
    "ranks-from-zero",
    "ranks-of-floats",
)
def test_ranks_among_all_items(student, rng):
    """Each relevant item gets its rank among all items of the gallery, in gallery order, for matrices of any shape."""
    cause = "the rank counts all items of the row that score higher, relevant or not, the best item having rank 1"
    for queries, items in ((7, 5), (4, 9), (6, 6)):
        sim, relevant = random_gallery(rng, queries, items)
        expected = ranks_in_the_sorted_gallery(sim, relevant)
        call = f"positive_ranks(sim, relevant) with {queries} queries and {items} items, no ties"
        assert_ranks(student, sim, relevant, expected, call, cause)
        whole = np.rint((sim + 0.02) * 1024).astype(np.int64)
        for name, convert in (("float32", np.float32), ("lists", np.ndarray.tolist)):
            what = f"{call}, {name}"
            assert_ranks(student, convert(whole), relevant.tolist(), expected, what, cause)
    # every item is an answer: the ranks are 1 to 4 in some order
    call = "positive_ranks([[0, 3, -1, 2]], [[True, True, True, True]])"
    assert_ranks(student, [[0, 3, -1, 2]], [[True] * 4], [[3, 1, 4, 2]], call, cause)


@points(2)
@catches(
    "optimistic-ties",
    "ties-by-gallery-order",
    "tied-answers-share-a-rank",
    "mean-of-ties",
)
@given(gallery=galleries())
@example(gallery=([[1, 1, 1, 1, 1]], [[True, False, False, False, False]]))
@example(gallery=([[0, 2, 2, 1]], [[False, True, True, False]]))
@example(gallery=([[1, 1, 1], [0, 0, 2]], [[True, False, True], [True, True, False]]))
def test_ties_never_favour_the_model(student, gallery):
    """Among equal scores the non-relevant items stand first, then the relevant ones in gallery order."""
    sim, relevant = gallery
    expected = ranks_in_the_sorted_gallery(sim, relevant)
    cause = "a non-relevant item with an equal score is ahead; of relevant items with equal scores the earlier is ahead"
    call = f"positive_ranks({sim}, {relevant})"
    assert_ranks(student, sim, relevant, expected, call, cause)


@points(2)
@catches(
    "share-of-relevant-found",
    "hits-divided-by-k",
    "first-answer-only",
    "worst-rank",
    "tied-answers-as-competitors",
    "reciprocal-ranks-from-zero",
    "mean-rank",
    "median-of-all-ranks",
    "reciprocal-of-the-mean",
    "reciprocal-of-all-ranks",
)
def test_each_query_is_judged_by_its_best_rank(student, rng):
    """Recall, median rank and mean reciprocal rank look at the best relevant item of each query, in both directions."""
    causes = {
        "recall": "a query is a hit if its best rank is at most k; then the share of hits among the queries",
        "median_rank": "the median of the best ranks, one a query; of an even number the mean of the middle two",
        "mrr": "the mean of 1 / best rank, with rank 1 for the best item of the gallery",
    }
    for queries in (8, 9):
        sim, relevant = random_gallery(rng, queries, 13)
        sim[:2] -= relevant[:2] / 8  # two queries whose answers stand behind all else
        call = (
            f"retrieval_metrics(sim, relevant, ks=(1, 3, 4, 13)) with {queries} queries, 13 items, 1 to 4 answers each"
        )
        assert_metrics(student, sim, relevant, (1, 3, 4, 13), call, **causes)
    # five captions for each of four images, in both directions
    image_of = np.repeat(np.arange(4), 5)
    relevant = image_of == np.arange(4)[:, None]
    sim = (rng.permutation(80).reshape(4, 20) + relevant * 16.5) / 64  # no two are equal
    for name, matrix, answers in (
        ("4 images, 20 captions", sim, relevant),
        ("20 captions, 4 images", sim.T, relevant.T),
    ):
        call = f"retrieval_metrics(sim, relevant, ks=(2, 4)) with {name}"
        assert_metrics(student, np.ascontiguousarray(matrix), np.ascontiguousarray(answers), (2, 4), call, **causes)
    # two answers share the best score
    sim, relevant = [[0, 2, 2, 1]], [[False, True, True, False]]
    cause = "a query's best rank is 1 + the non-relevant items that score at least as high as its best answer"
    call = f"retrieval_metrics({sim}, {relevant}, ks=(1,))"
    assert_metrics(student, sim, relevant, (1,), call, recall=cause, median_rank=cause, mrr=cause)


@points(1)
@catches(
    "ideal-not-truncated",
    "ideal-of-k-answers",
    "ideal-of-one-answer",
    "discount-from-rank-two",
    "sum-over-all-queries",
)
@given(gallery=galleries(ties=False), k=st.integers(1, 7))
@example(gallery=([[4, 3, 2, 1, 0]], [[True, False, True, True, True]]), k=2)
@example(gallery=([[4, 3, 2, 1, 0], [4, 3, 2, 1, 0]], [[False, True, False, True, True], [True] + [False] * 4]), k=3)
def test_ndcg_compares_with_the_best_order(student, gallery, k):
    """nDCG divides each query's gain up to rank k by the largest that k places allow, and averages over the queries."""
    sim, relevant = gallery
    what = f"value of ndcg_at_k({sim}, {relevant}, {k})"
    expected = mean_ndcg(ranks_in_the_sorted_gallery(sim, relevant), k)
    cause = f"a perfect order of the same query has nDCG 1, with more or with fewer relevant items than the {k} places"
    found = number(student.ndcg_at_k(sim, relevant, k), what)
    assert_close(found, expected, rtol=1e-9, atol=1e-12, what=what, cause=cause)


def arguments_after_the_call(student, function, *arguments):
    """Probe: what a function makes of its arguments."""
    getattr(student, function)(*arguments)
    return arguments


@points(1)
@catches(
    "cut-off-beyond-the-gallery-refused",
    "similarities-beyond-one-clipped",
    "unsigned-numbers-negated",
    "sim-overwritten",
)
def test_what_must_not_matter_does_not(student, rng):
    """Scale and type of the similarities and the order of the items do not matter; a cut-off may exceed the gallery."""
    sim, relevant = random_gallery(rng, 5, 7)
    whole = np.rint((sim + 0.02) * 1024)
    sim = whole / 64 - 0.2
    from_zero = (whole - whole.min(axis=1, keepdims=True)).astype(np.uint8)
    order = rng.permutation(7)
    hopeless = np.hstack([sim, sim.min(axis=1, keepdims=True) - 1]), np.hstack([relevant, np.zeros((5, 1), bool)])
    cases = {
        "64 * sim - 7": (64 * sim - 7, relevant),
        "sim ** 3": (sim**3, relevant),
        "sim in unsigned integers, from 0 in each row": (from_zero, relevant),
        "the gallery in another order": (sim[:, order], relevant[:, order]),
        "one more item, worse than all": hopeless,
    }
    ks, cut_offs = (1, 2, 4, 7, 50), (3, 50)
    keys = [*(f"R@{k}" for k in ks), "median_rank", "mrr"]

    def summaries(sim, relevant, name):
        call = f"retrieval_metrics(sim, relevant, ks={ks}) with 5 queries and 7 items{name}"
        metrics = student.retrieval_metrics(sim, relevant, ks=ks)
        for key in keys:
            yield f"entry {key!r} of {call}", entry(metrics, key, call)
        for k in cut_offs:
            what = f"value of ndcg_at_k(sim, relevant, {k}) with 5 queries and 7 items{name}"
            yield what, number(student.ndcg_at_k(sim, relevant, k), what)

    before = [value for _, value in summaries(sim, relevant, "")]
    for name, (changed, answers) in cases.items():
        cause = f"this change leaves every rank as it was: {name}"
        for (what, found), expected in zip(summaries(changed, answers, f", {name}"), before, strict=True):
            assert_close(found, expected, rtol=1e-9, atol=1e-12, what=what, cause=cause)
    call = "retrieval_metrics([[2, 1]], [[True, False]]), ks left out,"
    metrics = student.retrieval_metrics([[2, 1]], [[True, False]])
    for k in (1, 5, 10):
        assert_close(entry(metrics, f"R@{k}", call), 1.0, rtol=1e-9, atol=1e-12, what=f"entry 'R@{k}' of {call}")
    call = "retrieval_metrics([[2, 1]], [[True, False]], ks=())"
    metrics = student.retrieval_metrics([[2, 1]], [[True, False]], ks=())
    for key in ("median_rank", "mrr"):
        assert_close(entry(metrics, key, call), 1.0, rtol=1e-9, atol=1e-12, what=f"entry {key!r} of {call}")
    for function in FUNCTIONS:
        arguments = (sim, relevant, 3) if function == "ndcg_at_k" else (sim, relevant)
        after = student.run(arguments_after_the_call, function, *arguments)
        for name, left, right in zip(("sim", "relevant"), after, arguments, strict=False):
            assert_unchanged(left, right, what=f"argument {name} of {function}")


@points(1)
@catches(
    "nan-loses-every-comparison", "queries-without-answers-skipped", "cut-off-zero-taken", "relevance-grades-taken"
)
def test_bad_input_is_refused(student):
    """Matrices that do not fit, a query without an answer, NaN and cut-offs below 1 raise the announced errors."""
    nan = float("nan")
    sim, relevant = [[0.5, 0.25, 0.75], [0.25, 0.5, 0.125]], [[True, False, False], [False, True, True]]
    refused = {
        "a one-dimensional sim": (sim[0], relevant[0]),
        "a one-dimensional relevant": (sim, relevant[0]),
        "relevant for two of three items": (sim, [[True, False], [False, True]]),
        "relevant for one of two queries": (sim, relevant[:1]),
        "a three-dimensional sim": ([sim], [relevant]),
        "no query": (np.zeros((0, 3)), np.zeros((0, 3), dtype=bool)),
        "no item": (np.zeros((2, 0)), np.zeros((2, 0), dtype=bool)),
        "a second query without a relevant item": (sim, [[True, False, False], [False] * 3]),
        "NaN for a relevant item": ([[nan, 0.25, 0.75], sim[1]], relevant),
        "NaN for another item": ([[0.5, nan, 0.75], sim[1]], relevant),
    }
    for name in FUNCTIONS:
        k = (1,) if name == "ndcg_at_k" else ()
        for case, arguments in refused.items():
            with raises(ValueError, what=f"{name} with {case}"):
                getattr(student, name)(*arguments, *k)
        for kind in (np.int64, np.float64):
            with raises(TypeError, ValueError, what=f"{name} with relevant of dtype {np.dtype(kind)}"):
                getattr(student, name)(np.array(sim), np.array(relevant).astype(kind), *k)
    for k in (0, -1):
        with raises(ValueError, what=f"ndcg_at_k with k={k}"):
            student.ndcg_at_k(sim, relevant, k)
        with raises(ValueError, what=f"retrieval_metrics with ks=(2, {k})"):
            student.retrieval_metrics(sim, relevant, ks=(2, k))
