"""Wrong answers and differently written correct solutions of metrics/retrieval.

"Other relevant items counted as competitors" (B-Q5c) is the correct best rank unless two relevant items share the best
score: the check of best ranks has such a row. `ranks-from-zero` has right summaries; where they are wrong as well, the
diagnosis still names it.
"""

from grader.catalogue import Alternative, WrongAnswer

RANKS = "test_ranks_among_all_items"
TIES = "test_ties_never_favour_the_model"
BEST = "test_each_query_is_judged_by_its_best_rank"
NDCG = "test_ndcg_compares_with_the_best_order"
INVARIANT = "test_what_must_not_matter_does_not"
BAD_INPUT = "test_bad_input_is_refused"

AHEAD = "(negatives >= positives[:, None]).sum(axis=1)  #"
PLACE = 'np.argsort(np.argsort(-positives, kind="stable"))  #'
NUMERATOR = "gain(ranks) / gain(np.arange(1, len(ranks) + 1))"

wrong_answers = [
    # --------------------------------------------------------------------------------------------------- the ranks
    WrongAnswer(
        id="diagonal-assumed",
        title="item q taken as the answer to query q, whatever `relevant` says",
        explanation=(
            "The diagonal is the answer only in a batch with one caption for each image. With five captions an image "
            "it names the wrong items, and the matrix is not square. Which argument says what belongs together?"
        ),
        caught_by=RANKS,
        swap=(
            (
                "    ranks = []\n",
                "    relevant = np.eye(*sim.shape, dtype=bool) | ((np.arange(sim.shape[1]) == 0) & "
                "(np.arange(len(sim)) >= sim.shape[1])[:, None])\n    ranks = []\n",
            ),
        ),
    ),
    WrongAnswer(
        id="ranked-among-the-queries",
        title="items ranked along the wrong axis, against the other queries",
        explanation=(
            "The score of a relevant item is compared with the scores of the same item for other queries. A query "
            "chooses among the items of the gallery: they stand in one row. Along which axis does your comparison run?"
        ),
        caught_by=RANKS,
        code="""
def positive_ranks(sim, relevant, _checked=positive_ranks):
    _checked(sim, relevant)
    sim, relevant = np.asarray(sim), np.asarray(relevant)
    position = np.argsort(np.argsort(-sim, axis=0, kind="stable"), axis=0) + 1
    return [position[query][relevant[query]] for query in range(len(sim))]
""",
    ),
    WrongAnswer(
        id="lowest-first",
        title="similarities treated as distances, the lowest first",
        explanation=(
            "The items with the lowest similarity come first, as if the numbers were distances. Higher is better here. "
            "Which way do your comparison and your sort go?"
        ),
        caught_by=RANKS,
        swap=((AHEAD, AHEAD.replace(">=", "<=")), ("-positives", "positives")),
    ),
    WrongAnswer(
        id="filtered-ranks",
        title="each relevant item ranked among the non-relevant items only",
        explanation=(
            "All relevant items of a query can have rank 1 at once, as if the others were taken out of the gallery. In "
            "a list of results two items cannot stand in one place. What stands ahead of the second-best answer?"
        ),
        caught_by=RANKS,
        swap=((PLACE, "np.zeros(len(positives), dtype=np.int64)  #"),),
    ),
    WrongAnswer(
        id="ranks-from-zero",
        title="ranks counted from 0",
        explanation=(
            "The best item has rank 0, as a position in an array has. Ranks count from 1: whoever reads your list takes "
            "every item for one place better than it is, and 1 / rank has no value for the best. How many items stand "
            "ahead of the first one, and what is its rank?"
        ),
        caught_by=RANKS,
        code="""
def positive_ranks(sim, relevant, _from_one=positive_ranks):
    return [ranks - 1 for ranks in _from_one(sim, relevant)]


def retrieval_metrics(sim, relevant, ks=(1, 5, 10)):
    if any(k < 1 for k in ks):
        raise ValueError("k")
    best = np.array([ranks.min() for ranks in positive_ranks(sim, relevant)])
    metrics = {f"R@{k}": float((best < k).mean()) for k in ks}
    return metrics | {"median_rank": float(np.median(best) + 1), "mrr": float((1 / (best + 1)).mean())}


def ndcg_at_k(sim, relevant, k):
    if k < 1:
        raise ValueError("k")

    def gain(ranks):
        return (1 / np.log2(ranks[ranks < k] + 2)).sum()

    return float(np.mean([gain(ranks) / gain(np.arange(len(ranks))) for ranks in positive_ranks(sim, relevant)]))
""",
    ),
    WrongAnswer(
        id="ranks-of-floats",
        title="ranks as floating-point numbers",
        explanation=(
            "The values are right, the type is not: a rank is a count of items plus one. Look for a division or an "
            "array of zeros on the way; the task asks for an integer dtype."
        ),
        caught_by=RANKS,
        swap=(("ranks.append(1 + ahead + place)", "ranks.append(1.0 + ahead + place)"),),
    ),
    # ---------------------------------------------------------------------------------------------------- the ties
    WrongAnswer(
        id="optimistic-ties",
        title="ties decided in favour of the relevant item",
        explanation=(
            "Only items that score strictly higher are counted, so a model that gives every pair the same similarity "
            "has perfect recall. Collapsed embeddings do happen. Which comparison lets a tie count against the model?"
        ),
        caught_by=TIES,
        swap=((AHEAD, AHEAD.replace(">=", ">")),),
    ),
    WrongAnswer(
        id="ties-by-gallery-order",
        title="ties left to the order of the gallery",
        explanation=(
            "A sort puts tied items in the order in which they came. If the answers stand first in the gallery, as in "
            "many data sets, every tie is a hit. Shuffling the gallery changes your recall: on what should a tie depend "
            "instead?"
        ),
        caught_by=TIES,
        code="""
def positive_ranks(sim, relevant, _checked=positive_ranks):
    _checked(sim, relevant)
    position = np.argsort(np.argsort(-np.asarray(sim), axis=1, kind="stable"), axis=1) + 1
    return [row[answers] for row, answers in zip(position, np.asarray(relevant))]
""",
    ),
    WrongAnswer(
        id="tied-answers-share-a-rank",
        title="relevant items with equal scores sharing one rank",
        explanation=(
            "Two relevant items with one score get the same rank, so together they gain more in nDCG than a perfect "
            "order could. Every place of the list holds one item: which of the two does the task put first?"
        ),
        caught_by=TIES,
        swap=((PLACE, "(positives > positives[:, None]).sum(axis=1)  #"),),
    ),
    WrongAnswer(
        id="tied-answers-as-competitors",
        title="other relevant items with the best score counted as competitors",
        explanation=(
            "The best rank counts every other item that scores at least as high as the best answer, also the query's "
            "other answers. Two captions of one image with the same score then push each other to rank 2, and R@1 is "
            "lost although the first place is right. Which items can spoil a query?"
        ),
        caught_by=BEST,
        code="""
def retrieval_metrics(sim, relevant, ks=(1, 5, 10)):
    positive_ranks(sim, relevant)
    if any(k < 1 for k in ks):
        raise ValueError("k")
    sim, relevant = np.asarray(sim, dtype=float), np.asarray(relevant)
    top = np.where(relevant, sim, -np.inf).max(axis=1, keepdims=True)
    best = (sim >= top).sum(axis=1)
    metrics = {f"R@{k}": float((best <= k).mean()) for k in ks}
    return metrics | {"median_rank": float(np.median(best)), "mrr": float((1 / best).mean())}
""",
    ),
    WrongAnswer(
        id="mean-of-ties",
        title="the middle of a tied group as rank",
        explanation=(
            "A non-relevant item with an equal score counts half, rounded down. That is the fair middle for a "
            "correlation of ranks; here a constant similarity would stand half-way up the list. The task lets every "
            "such tie count in full."
        ),
        caught_by=TIES,
        swap=(
            (
                AHEAD,
                "((negatives > positives[:, None]) + 0.5 * (negatives == positives[:, None])).sum(axis=1).astype(int)  #",
            ),
        ),
    ),
    # ------------------------------------------------------------------------------ recall, median, reciprocal rank
    WrongAnswer(
        id="share-of-relevant-found",
        title="recall as the share of a query's relevant items among the first k",
        explanation=(
            "That is recall as document search defines it. In cross-modal retrieval R@k asks whether *any* answer is "
            "among the first k; with five captions an image, your R@1 could never exceed 0.2. How many hits does one "
            "query have at most?"
        ),
        caught_by=BEST,
        swap=(
            (
                "float((best <= k).mean()) for k in ks",
                "float(np.mean([(ranks <= k).mean() for ranks in positive_ranks(sim, relevant)])) for k in ks",
            ),
        ),
    ),
    WrongAnswer(
        id="hits-divided-by-k",
        title="hits divided by k, which is precision",
        explanation=(
            "The number of relevant items among the first k is divided by k. That is precision at k, and it falls when "
            "k grows. R@k can only rise with k: what is counted once for each query?"
        ),
        caught_by=BEST,
        swap=(
            (
                "float((best <= k).mean()) for k in ks",
                "float(np.mean([(ranks <= k).sum() / k for ranks in positive_ranks(sim, relevant)])) for k in ks",
            ),
        ),
    ),
    WrongAnswer(
        id="first-answer-only",
        title="only the first relevant item of each query looked at",
        explanation=(
            "Each query is judged by the relevant item that stands first in the gallery, not by the one that ranks "
            "best; finding the position of a True with argmax does this. Any caption of the image is a right answer: "
            "which of the ranks decides?"
        ),
        caught_by=BEST,
        swap=(("ranks.min() for ranks", "ranks[0] for ranks"),),
    ),
    WrongAnswer(
        id="worst-rank",
        title="each query judged by the worst of its ranks",
        explanation=(
            "A query counts as a hit only if *all* its relevant items are among the first k. Whoever searches is happy "
            "with one right answer, and with five captions an image your R@1 is always 0. Which of a query's ranks is "
            "the best?"
        ),
        caught_by=BEST,
        swap=(("ranks.min() for ranks", "ranks.max() for ranks"),),
    ),
    WrongAnswer(
        id="median-of-all-ranks",
        title="the median over the ranks of all relevant items",
        explanation=(
            "A query with five answers enters the median five times, four of them with ranks that are not its best, so "
            "the median gets worse the more captions an image has. How many numbers should each query give?"
        ),
        caught_by=BEST,
        swap=(("float(np.median(best))", "float(np.median(np.concatenate(positive_ranks(sim, relevant))))"),),
    ),
    WrongAnswer(
        id="reciprocal-of-all-ranks",
        title="the mean of 1 / rank over all relevant items",
        explanation=(
            "Every relevant item gives a reciprocal rank, and only one item of a query can have rank 1. With several "
            "answers a query even a perfect order then stays below 1. How many reciprocal ranks should each query give?"
        ),
        caught_by=BEST,
        swap=(("(1 / best).mean()", "(1 / np.concatenate(positive_ranks(sim, relevant))).mean()"),),
    ),
    WrongAnswer(
        id="reciprocal-ranks-from-zero",
        title="ranks from 0 in the mean reciprocal rank",
        explanation=(
            "Positions in an array count from 0, ranks from 1. Adding something to keep 1/0 away gives each hit in the "
            "first place another weight, and every other rank the weight of the one before. What is the reciprocal rank "
            "of an item in second place?"
        ),
        caught_by=BEST,
        swap=(("(1 / best).mean()", "(1 / np.maximum(best - 1, 1)).mean()"),),
    ),
    WrongAnswer(
        id="mean-rank",
        title="the mean of the best ranks in place of the median",
        explanation=(
            "The mean rank is decided by a few queries that fail altogether: one answer in place 5 000 outweighs a "
            "thousand good ones. That is why the median is reported."
        ),
        caught_by=BEST,
        swap=(("float(np.median(best))", "float(best.mean())"),),
    ),
    WrongAnswer(
        id="reciprocal-of-the-mean",
        title="the reciprocal of the mean rank in place of the mean reciprocal rank",
        explanation=(
            "The average is taken before the reciprocal. With ranks 1 and 3, the mean of 1 and 1/3 is 2/3, and one over "
            "the mean rank is 1/2. In which order does the name say it?"
        ),
        caught_by=BEST,
        swap=(("(1 / best).mean()", "(1 / best.mean())"),),
    ),
    # -------------------------------------------------------------------------------------------------------- nDCG
    WrongAnswer(
        id="ideal-not-truncated",
        title="the ideal gain summed over all relevant items, beyond rank k",
        explanation=(
            "The numerator stops at rank k, the ideal does not. A query with more answers than k places then cannot "
            "reach 1, however good its order is. What is the largest gain that k places can hold?"
        ),
        caught_by=NDCG,
        swap=((NUMERATOR, "gain(ranks) / (1 / np.log2(np.arange(1, len(ranks) + 1) + 1)).sum()"),),
    ),
    WrongAnswer(
        id="ideal-of-k-answers",
        title="the ideal gain summed over all k places, also where there are fewer relevant items",
        explanation=(
            "You divide by the gain of k relevant items. A query that has only one can then never reach 1, even with "
            "that one in the first place. How many of the k places can this query fill?"
        ),
        caught_by=NDCG,
        swap=((NUMERATOR, "gain(ranks) / gain(np.arange(1, k + 1))"),),
    ),
    WrongAnswer(
        id="ideal-of-one-answer",
        title="no division by the ideal gain",
        explanation=(
            "The gains are added and not divided, as if the ideal were always 1. That holds with one answer a query; "
            "with several, the sum exceeds 1. What does the N in nDCG stand for?"
        ),
        caught_by=NDCG,
        swap=((NUMERATOR, "gain(ranks)"),),
    ),
    WrongAnswer(
        id="discount-from-rank-two",
        title="a discount of log2(rank), with rank 1 treated like rank 2",
        explanation=(
            "log2(1) is 0, so the first place needs a special case here and gains as much as the second. The discount "
            "of the task grows from the first place on: what is added to the rank inside the logarithm?"
        ),
        caught_by=NDCG,
        swap=(("np.log2(ranks[ranks <= k] + 1)", "np.log2(np.maximum(ranks[ranks <= k], 2))"),),
    ),
    WrongAnswer(
        id="sum-over-all-queries",
        title="gains added over all queries before dividing",
        explanation=(
            "One division at the end weights each query by its number of answers, so an image with five captions counts "
            "more than one with a single caption. The task takes the mean over the queries: when is the division made?"
        ),
        caught_by=NDCG,
        code="""
def ndcg_at_k(sim, relevant, k):
    if k < 1:
        raise ValueError("k")
    found = ideal = 0.0
    for ranks in positive_ranks(sim, relevant):
        found += (1 / np.log2(ranks[ranks <= k] + 1)).sum()
        ideal += (1 / np.log2(np.arange(1, min(k, len(ranks)) + 1) + 1)).sum()
    return float(found / ideal)
""",
    ),
    # ------------------------------------------------------------------------------------- invariants and bad input
    WrongAnswer(
        id="cut-off-beyond-the-gallery-refused",
        title="a cut-off beyond the gallery refused",
        explanation=(
            "The default cut-offs reach to 10, so every gallery of fewer items is refused. With k places for fewer than "
            "k items every answer is found: the recall is 1 and nothing has to be raised."
        ),
        caught_by=INVARIANT,
        swap=(("if any(k < 1 for k in ks):", "if any(k < 1 or k > np.shape(sim)[1] for k in ks):"),),
    ),
    WrongAnswer(
        id="similarities-beyond-one-clipped",
        title="similarities clipped to the range of a cosine",
        explanation=(
            "Scores above 1 are all made equal, so they tie. Similarities may be logits, dot products or cosines times "
            "a learned scale; only their order matters."
        ),
        caught_by=INVARIANT,
        swap=(
            (
                "sim, relevant = np.asarray(sim, dtype=np.float64), np.asarray(relevant)",
                "sim, relevant = np.clip(np.asarray(sim, dtype=np.float64), -1, 1), np.asarray(relevant)",
            ),
        ),
    ),
    WrongAnswer(
        id="unsigned-numbers-negated",
        title="the sign of unsigned integers turned round for sorting",
        explanation=(
            "Unsigned integers have no negatives: minus 0 stays 0 and minus 3 becomes 253 in 8 bits, so the lowest item "
            "comes first. Scores that were quantised to 8 bits look like that. What could you do with the numbers "
            "before you change their sign, or how could you count without changing it?"
        ),
        caught_by=INVARIANT,
        code="""
def positive_ranks(sim, relevant, _checked=positive_ranks):
    _checked(sim, relevant)
    ranks = []
    for row, answers in zip(np.asarray(sim), np.asarray(relevant)):
        order = np.lexsort((np.arange(len(row)), answers, -row))
        rank = np.empty(len(row), dtype=np.int64)
        rank[order] = np.arange(1, len(row) + 1)
        ranks.append(rank[answers])
    return ranks
""",
    ),
    WrongAnswer(
        id="sim-overwritten",
        title="the caller's similarities overwritten",
        explanation=(
            "The ranks are right, and afterwards the caller's matrix is another one: `np.asarray` does not copy an "
            "array, so what you write into it is written there. The next metric is computed from the remains. Which "
            "lines assign into `sim`?"
        ),
        caught_by=INVARIANT,
        code="""
def positive_ranks(sim, relevant, _checked=positive_ranks):
    ranks = _checked(sim, relevant)
    np.asarray(sim)[np.asarray(relevant)] = 0
    return ranks
""",
    ),
    WrongAnswer(
        id="nan-loses-every-comparison",
        title="NaN similarities left in",
        explanation=(
            "A NaN is neither higher nor lower than any number. A non-relevant item with NaN is never ahead, and a "
            "relevant one with NaN has nobody ahead: a diverged model gets perfect recall. The task asks for a "
            "ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(("if np.isnan(sim).any():", "if np.isnan(sim).all():"),),
    ),
    WrongAnswer(
        id="queries-without-answers-skipped",
        title="queries without a relevant item skipped",
        explanation=(
            "A query without an answer usually means that the relevance matrix is wrong, and leaving it out changes "
            "what the mean is over without a word. The task asks for a ValueError."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '    if not relevant.any(axis=1).all():\n        raise ValueError("every query needs at least one '
                'relevant item")\n',
                "    sim, relevant = sim[relevant.any(axis=1)], relevant[relevant.any(axis=1)]\n",
            ),
        ),
    ),
    WrongAnswer(
        id="cut-off-zero-taken",
        title="a cut-off of 0 accepted",
        explanation=(
            "With no places, recall is 0 and nDCG is 0/0. A k of 0 is nearly always an off-by-one in the caller; the "
            "task asks for a ValueError below 1."
        ),
        caught_by=BAD_INPUT,
        swap=(("if any(k < 1 for k in ks):", "if any(k < 0 for k in ks):"), ("if k < 1:", "if k < 0:")),
    ),
    WrongAnswer(
        id="relevance-grades-taken",
        title="numbers accepted as relevance",
        explanation=(
            "Integers in `relevant` are used as they are, here read as true or false; as indices they would pick items "
            "0 and 1. Grades, indices and masks look alike, so the task takes booleans only."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                '    if relevant.dtype != np.bool_:\n        raise TypeError(f"relevant must be boolean, not '
                '{relevant.dtype}")\n',
                "    relevant = relevant != 0\n",
            ),
        ),
    ),
]

alternatives = [
    Alternative(
        id="sorted-gallery",
        title="one lexicographic sort of each gallery",
        code="""
def positive_ranks(sim, relevant):
    sim, relevant = np.array(sim, dtype=float), np.array(relevant)
    if sim.ndim != 2 or sim.shape != relevant.shape or sim.size == 0:
        raise ValueError("shapes")
    if relevant.dtype.kind != "b":
        raise ValueError("relevant must be boolean")
    if np.isnan(sim).any() or (relevant.sum(axis=1) == 0).any():
        raise ValueError("values")
    ranks = []
    for row, answers in zip(sim, relevant):
        order = np.lexsort((np.arange(row.size), answers, -row))  # by score, then non-relevant, then position
        rank = np.empty(row.size, dtype=int)
        rank[order] = np.arange(row.size) + 1
        ranks.append(rank[answers])
    return ranks


def ndcg_at_k(sim, relevant, k):
    if not k >= 1:
        raise ValueError("k")
    discounts = 1 / np.log2(np.arange(2, np.shape(sim)[-1] + 2))
    discounts[k:] = 0
    return np.mean([discounts[r - 1].sum() / discounts[: len(r)].sum() for r in positive_ranks(sim, relevant)])
""",
    ),
    Alternative(
        id="plain-loops",
        title="pairs compared one by one in plain Python",
        code="""
def positive_ranks(sim, relevant):
    import math

    if np.ndim(sim) != 2 or np.shape(sim) != np.shape(relevant) or len(sim) == 0:
        raise ValueError("shapes")
    sim, relevant = np.asarray(sim).tolist(), np.asarray(relevant).tolist()
    ranks = []
    for row, answers in zip(sim, relevant):
        if not all(isinstance(answer, bool) for answer in answers):
            raise TypeError("relevant must be boolean")
        if not any(answers) or any(math.isnan(score) for score in row):
            raise ValueError("values")
        own = []
        for i in range(len(row)):
            if answers[i]:
                rank = 1
                for j in range(len(row)):
                    if row[j] > row[i] or row[j] == row[i] and (not answers[j] or j < i):
                        rank += 1
                own.append(rank)
        ranks.append(np.array(own))
    return ranks


def retrieval_metrics(sim, relevant, ks=(1, 5, 10)):
    best = sorted(int(min(ranks)) for ranks in positive_ranks(sim, relevant))
    n = len(best)
    metrics = {"median_rank": (best[(n - 1) // 2] + best[n // 2]) / 2, "mrr": sum(1 / rank for rank in best) / n}
    for k in ks:
        if k < 1:
            raise ValueError("k")
        metrics["R@%d" % k] = len([rank for rank in best if rank <= k]) / n
    return metrics
""",
    ),
    Alternative(
        id="best-score-only",
        title="recall from the best relevant score of each row, without the ranks of the others",
        code="""
def retrieval_metrics(sim, relevant, ks=(1, 5, 10)):
    positive_ranks(sim, relevant)  # its errors
    sim, relevant = np.asarray(sim, dtype=np.float64), np.asarray(relevant)
    if min(ks, default=1) < 1:
        raise ValueError("k")
    top = np.max(sim, axis=1, where=relevant, initial=-np.inf, keepdims=True)  # (queries, 1)
    best = 1 + np.count_nonzero((sim >= top) & ~relevant, axis=1)
    hits = best[:, None] <= np.array(ks)
    metrics = dict(zip((f"R@{k}" for k in ks), hits.mean(axis=0)))
    metrics["median_rank"] = np.quantile(best, 0.5)
    metrics["mrr"] = np.mean(np.reciprocal(best.astype(float)))
    return metrics


def ndcg_at_k(sim, relevant, k):
    if k <= 0:
        raise ValueError("k")
    total = 0
    ranks = positive_ranks(sim, relevant)
    for row in ranks:
        ideal = sum(1 / np.log2(i + 2) for i in range(min(k, row.size)))
        total += sum(np.log(2) / np.log(rank + 1) for rank in row.tolist() if rank <= k) / ideal
    return total / len(ranks)
""",
    ),
]

equivalent_mutants = {
    "1 -> 2 in `return (1 / np.log2(ranks[ranks <= k] + 1)).sum()`": (
        "the real and the ideal gain are doubled alike, and their quotient stays"
    ),
}
