"""Catalogue of capstone/evaluation.

Every mistake of the milestone's list has an entry. "Rank by counting strictly greater only" is `ties-in-favour`, "argsort
of ascending order" `lowest-first`, "interval from the standard deviation without /sqrt(n)" `not-divided-by-the-root`,
"AUC only from the diagonal vs its row mean" two entries, `auc-of-the-diagonal` and `auc-row-by-row`.
"""

from grader.catalogue import Alternative, WrongAnswer

HAND = "test_four_drawings_worked_out_by_hand"
RANKS = "test_ranks_of_the_best_right_candidate"
TIES = "test_ties_count_against_the_query"
SUMMARIES = "test_recall_median_and_forgetting"
AUC = "test_auc_compares_all_right_pairs_with_all_wrong_ones"
CALIBRATION = "test_calibration_compares_confidence_with_accuracy"
INTERVALS = "test_intervals_are_over_queries_and_in_pairs"
TABLE = "test_the_table_of_methods"
REFUSED = "test_input_that_makes_no_sense_is_refused"

BEST = "best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)  # (queries, 1)"
COUNT = "return 1 + (~right & (similarity >= best)).sum(axis=1)"
FIRST = "best = similarity[np.arange(len(right)), right.argmax(axis=1)][:, None]"
RECALL = "return float((ranks <= k).mean())"
MEDIAN = "return float(np.median(ranks))"
FORGOTTEN = "return recall_at(before_ranks, k) - recall_at(after_ranks, k)"
SAME_PAIRS = "same = query_concepts[:, None] == candidate_concepts  # (queries, candidates)\n    if same.all()"
WINS = "return float(((below + up_to) / 2).mean() / len(wrong))"
IN_FLOAT64 = "logits = np.asarray(logits, dtype=np.float64)\n"
CONFIDENCE = "confidence = 1 / np.exp(shifted).sum(axis=1)  # (queries,)"
CORRECT = "correct = (same | (shifted < 0)).all(axis=1)  # (queries,)"
PLACE = "place = np.ceil(confidence * bins)  # (queries,): 1 to bins, an edge belongs to the bin below it"
GAPS = "gaps = [abs((correct[place == b] - confidence[place == b]).sum()) for b in np.unique(place)]"
ERROR = "return float(sum(gaps) / len(logits))"
MEANS = "means = [rng.choice(values, size=len(values)).mean() for _ in range(resamples)]"
ENDS = "low, high = np.quantile(means, [0.025, 0.975])"
GAIN = "gain = recall_at(tuned_ranks, k) - recall_at(baseline_ranks, k)"
DIFFERENCE = "difference = (tuned_ranks <= k).astype(np.float64) - (baseline_ranks <= k)  # (queries,)"
OF_THE_GAIN = "low, high = bootstrap_interval(difference, resamples, rng)"
TO_DRAWINGS = "to_drawings = ranks(target.T, text_concepts, image_concepts)  # (names,)"
LINE_GAIN = "**paired_gain(to_names, baseline, 1, resamples, np.random.default_rng(seed)),"
LINE_FORGETTING = '"forgetting": forgetting(remembered, ranks(source, image_concepts, text_concepts)),'

wrong_answers = [
    WrongAnswer(
        id="ties-in-favour",
        title="only candidates that score strictly higher counted",
        explanation=(
            "A model that gives every pair the same similarity gets rank 1 for every query from you, and a recall of "
            "1. Such models exist: a tower that has collapsed is one. Who should win when two candidates are equal?"
        ),
        caught_by=TIES,
        swap=((COUNT, COUNT.replace(">=", ">")),),
    ),
    WrongAnswer(
        id="ties-by-position",
        title="equal scores ordered by their place in the gallery",
        explanation=(
            "Your ranks come from sorting, and among equal scores the candidate that stands first wins. On a test set "
            "in which row i belongs to column i, that flatters the first queries and punishes the last."
        ),
        caught_by=TIES,
        swap=(
            (
                COUNT,
                "order = np.argsort(-similarity, axis=1, kind='stable')\n"
                "    return 1 + np.take_along_axis(right, order, axis=1).argmax(axis=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="ties-half",
        title="half of the equal candidates counted",
        explanation=(
            "Half of a tie is the right thing for the AUC. For ranks the statement asks for the cautious count: every "
            "equal candidate of another concept goes first."
        ),
        caught_by=TIES,
        swap=(
            (
                COUNT,
                "ahead = (~right & (similarity > best)).sum(axis=1)\n"
                "    return 1 + ahead + (~right & (similarity == best)).sum(axis=1) // 2",
            ),
        ),
    ),
    WrongAnswer(
        id="tied-right-candidates-in-the-way",
        title="right candidates with equal scores standing in each other's way",
        explanation=(
            "Where two right candidates share the best score, your query gets rank 2 although nothing wrong is ahead. "
            "Only candidates of other concepts count."
        ),
        caught_by=TIES,
        swap=((COUNT, "return (similarity >= best).sum(axis=1)"),),
    ),
    WrongAnswer(
        id="diagonal-assumed",
        title="candidate i taken for the answer to query i",
        explanation=(
            "Your ranks do not look at the concepts: you take row i and column i for a pair. As soon as a concept is "
            "drawn twice, or candidates stand in another order, that is another candidate."
        ),
        caught_by=RANKS,
        swap=((BEST, f"right = np.eye(*similarity.shape, dtype=bool)\n    {BEST}"),),
    ),
    WrongAnswer(
        id="right-candidates-in-the-way",
        title="other candidates of the query's concept counted as wrong",
        explanation=(
            "A query whose concept stands among the candidates twice gets a worse rank from you because its second "
            "right answer scores higher than its first. Both are right: the best one counts, and none is in the way."
        ),
        caught_by=RANKS,
        swap=((BEST, FIRST), (COUNT, "return (similarity >= best).sum(axis=1)")),
    ),
    WrongAnswer(
        id="first-right-candidate",
        title="the rank of the first right candidate instead of the best",
        explanation=(
            "Where several candidates are right you take the one that stands first in the gallery. Whoever searches is "
            "content with the best of them."
        ),
        caught_by=RANKS,
        swap=((BEST, FIRST),),
    ),
    WrongAnswer(
        id="worst-right-candidate",
        title="the rank of the worst right candidate instead of the best",
        explanation=(
            "Where several candidates are right, your rank is that of the lowest of them. A query is answered as soon "
            "as one of them is found."
        ),
        caught_by=RANKS,
        swap=((BEST, "best = np.where(right, similarity, np.inf).min(axis=1, keepdims=True)"),),
    ),
    WrongAnswer(
        id="lowest-first",
        title="ranks in ascending order of similarity",
        explanation=(
            "Your rank 1 is the candidate that is least similar. Sorting goes from small to large unless told "
            "otherwise; which end of the list does a search show first?"
        ),
        caught_by=RANKS,
        swap=((COUNT, COUNT.replace(">=", "<=")),),
    ),
    WrongAnswer(
        id="ranks-from-zero",
        title="ranks that count from 0",
        explanation=(
            "Your best rank is 0. Counting the candidates ahead is right, but a rank is the place of the query's own "
            "candidate: with nobody ahead it is the first, and recall at 1 looks for a 1."
        ),
        caught_by=RANKS,
        swap=((COUNT, COUNT.replace("1 + ", "")),),
    ),
    WrongAnswer(
        id="ranked-among-the-queries",
        title="counted along the wrong axis of the table",
        explanation=(
            "You count for each candidate how many queries reach it. A row belongs to a query, and its candidates lie "
            "along the row."
        ),
        caught_by=RANKS,
        swap=((COUNT, COUNT.replace("axis=1", "axis=0")),),
    ),
    WrongAnswer(
        id="recall-in-percent",
        title="recall in per cent",
        explanation="A recall of 50 is asked for as 0.5. Gains and intervals are differences of such shares.",
        caught_by=HAND,
        swap=((RECALL, "return float(100 * (ranks <= k).mean())"),),
    ),
    WrongAnswer(
        id="recall-below-k",
        title="recall at k counting the ranks below k",
        explanation=(
            "Your recall at 1 is 0 for a perfect model. Ranks count from 1 here, and the k-th place belongs to the "
            "first k."
        ),
        caught_by=HAND,
        swap=((RECALL, "return float((ranks < k).mean())"),),
    ),
    WrongAnswer(
        id="median-from-zero",
        title="a median rank that counts from 0",
        explanation=(
            "A model that puts every right answer first has the median rank 1, not 0. The ranks you are given count "
            "from 1 already."
        ),
        caught_by=SUMMARIES,
        swap=((MEDIAN, "return float(np.median(ranks) - 1)"),),
    ),
    WrongAnswer(
        id="lower-median",
        title="the lower of the two ranks in the middle",
        explanation=(
            "For an even number of queries there are two ranks in the middle, and the median is the mean of the two."
        ),
        caught_by=SUMMARIES,
        swap=((MEDIAN, "return float(np.sort(ranks)[(len(ranks) - 1) // 2])"),),
    ),
    WrongAnswer(
        id="mean-rank",
        title="the mean of the ranks instead of the median",
        explanation=(
            "One query that is lost at place 300 moves your number more than ninety that are found. That is why the "
            "median is reported."
        ),
        caught_by=SUMMARIES,
        swap=((MEDIAN, "return float(np.mean(ranks))"),),
    ),
    WrongAnswer(
        id="forgetting-turned",
        title="forgetting with the sign turned",
        explanation=(
            "Your forgetting is positive when the model has got better on the vendor it came from. Which of the two "
            "recalls is larger if something was forgotten?"
        ),
        caught_by=SUMMARIES,
        swap=((FORGOTTEN, "return recall_at(after_ranks, k) - recall_at(before_ranks, k)"),),
    ),
    WrongAnswer(
        id="forgetting-cut-at-zero",
        title="forgetting that is never negative",
        explanation=(
            "Some methods improve on the source vendor as well, and a reader wants to see that. The difference is "
            "reported as it is."
        ),
        caught_by=SUMMARIES,
        swap=((FORGOTTEN, "return max(0.0, recall_at(before_ranks, k) - recall_at(after_ranks, k))"),),
    ),
    WrongAnswer(
        id="auc-ties-against",
        title="an AUC in which a tie is a loss",
        explanation=(
            "A model that cannot tell any two pairs apart has an AUC of one half; yours is 0. Against the model is the "
            "rule for ranks. What is a tie worth here?"
        ),
        caught_by=AUC,
        swap=((WINS, "return float(below.mean() / len(wrong))"),),
    ),
    WrongAnswer(
        id="auc-ties-in-favour",
        title="an AUC in which a tie is a win",
        explanation=(
            "A model that cannot tell any two pairs apart has an AUC of one half; yours is 1. What is a tie worth here?"
        ),
        caught_by=AUC,
        swap=((WINS, "return float(up_to.mean() / len(wrong))"),),
    ),
    WrongAnswer(
        id="auc-ties-ignored",
        title="an AUC that leaves out the ties",
        explanation=(
            "You divide by the number of comparisons that had a winner. A model with one clear win and a thousand ties "
            "then looks perfect. Ties are comparisons too, worth half."
        ),
        caught_by=AUC,
        swap=(
            (
                WINS,
                "wins, losses = below.sum(), (len(wrong) - up_to).sum()\n    return float(wins / max(wins + losses, 1))",
            ),
        ),
    ),
    WrongAnswer(
        id="auc-of-the-diagonal",
        title="an AUC that takes the diagonal for the right pairs",
        explanation=(
            "Pairs of one concept off the diagonal are wrong pairs in your AUC, and since they score high they pull it "
            "down. The concepts say which pairs are right."
        ),
        caught_by=AUC,
        swap=(
            (
                SAME_PAIRS,
                SAME_PAIRS.replace(
                    "query_concepts[:, None] == candidate_concepts", "np.eye(*similarity.shape, dtype=bool)"
                ),
            ),
        ),
    ),
    WrongAnswer(
        id="auc-row-by-row",
        title="the mean of the AUCs of the rows",
        explanation=(
            "You compare right with wrong pairs within each query only. Matching needs one threshold for the whole "
            "table: a query that scores high with everything has to cost something."
        ),
        caught_by=AUC,
        swap=(
            (
                WINS,
                "rows = [matching_auc(row[None], query_concepts[i : i + 1], candidate_concepts)\n"
                "            for i, row in enumerate(similarity) if same[i].any() and not same[i].all()]\n"
                "    if len(similarity) > 1 and rows:\n"
                "        return float(np.mean(rows))\n"
                f"    {WINS}",
            ),
        ),
    ),
    WrongAnswer(
        id="auc-turned",
        title="the chance that a wrong pair scores above a right one",
        explanation="A good model gets an AUC near 0 from you. Whose scores are looked up among whose?",
        caught_by=AUC,
        swap=((WINS, "return float(1 - ((below + up_to) / 2).mean() / len(wrong))"),),
    ),
    WrongAnswer(
        id="edges-belong-above",
        title="bins open on the other side",
        explanation=(
            "A confidence of exactly 0.5 goes into the bin above 0.5. The statement, as Guo et al. (2017), puts an "
            "edge into the bin below it; then a confidence of 1 needs no bin of its own either."
        ),
        caught_by=CALIBRATION,
        swap=((PLACE, "place = np.minimum(np.floor(confidence * bins), bins - 1)"),),
    ),
    WrongAnswer(
        id="equally-filled-bins",
        title="bins that hold equally many queries",
        explanation=(
            "Your bins are cut so that each has as many queries as the others. That is another known error; asked for "
            "are bins of equal width."
        ),
        caught_by=CALIBRATION,
        swap=((PLACE, "place = np.argsort(np.argsort(confidence)) * bins // len(confidence)"),),
    ),
    WrongAnswer(
        id="bins-count-the-same",
        title="every bin counted the same",
        explanation=(
            "A bin with one query weighs as much as one with ninety in your mean. Each bin weighs as much as it has "
            "queries."
        ),
        caught_by=CALIBRATION,
        swap=(
            (GAPS, GAPS.replace(".sum())", ".mean())")),
            (ERROR, "return float(np.mean(gaps))"),
        ),
    ),
    WrongAnswer(
        id="largest-gap",
        title="the largest gap of a bin",
        explanation=(
            "What you return is the maximum calibration error, which goes by the worst bin, however few queries it "
            "has. Asked for is the expected one."
        ),
        caught_by=CALIBRATION,
        swap=(
            (GAPS, GAPS.replace(".sum())", ".mean())")),
            (ERROR, "return float(max(gaps))"),
        ),
    ),
    WrongAnswer(
        id="signs-cancel",
        title="gaps of different sign cancelling each other",
        explanation=(
            "Too sure in one bin and not sure enough in another make a perfect result with you. The size of each gap "
            "counts, whatever its sign."
        ),
        caught_by=CALIBRATION,
        swap=((GAPS, GAPS.replace("abs(", "(")),),
    ),
    WrongAnswer(
        id="gap-of-each-query",
        title="the distance of every single query's confidence from right or wrong",
        explanation=(
            "A model that says 0.7 and is right seven times of ten is perfectly calibrated, and each single answer is "
            "0.3 or 0.7 away. That is why queries of similar confidence are averaged before the difference is taken."
        ),
        caught_by=CALIBRATION,
        swap=((ERROR, "return float(np.abs(correct - confidence).mean())"),),
    ),
    WrongAnswer(
        id="bins-ignored",
        title="ten bins, whatever is asked for",
        explanation="Your error does not change with `bins`. Where does the number 10 stand in your code?",
        caught_by=CALIBRATION,
        swap=((PLACE, "place = np.ceil(confidence * 10)"),),
    ),
    WrongAnswer(
        id="confidence-of-the-right-answer",
        title="the probability of the right answer taken for the confidence",
        explanation=(
            "How sure a model is, it says by the probability of what it *answers*. The probability of the right answer "
            "is known only to whoever has the key; where the model is confidently wrong, the two differ most."
        ),
        caught_by=CALIBRATION,
        swap=(
            (
                CONFIDENCE,
                "named = query_concepts[:, None] == candidate_concepts\n"
                "    confidence = np.where(named, np.exp(shifted), 0).max(axis=1) / np.exp(shifted).sum(axis=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="sigmoid-as-confidence",
        title="a sigmoid of the largest logit taken for the confidence",
        explanation=(
            "A sigmoid looks at one candidate alone. The confidence asked for is a share among all candidates: the "
            "largest probability of their softmax."
        ),
        caught_by=CALIBRATION,
        swap=((CONFIDENCE, "confidence = 1 / (1 + np.exp(-np.clip(logits.max(axis=1), -500, 500)))"),),
    ),
    WrongAnswer(
        id="softmax-overflows",
        title="a softmax that overflows",
        explanation=(
            "exp(1000) does not fit into a float, and inf / inf is no probability. A softmax does not change when the "
            "same number is subtracted from a whole row; which one would make the largest exponential 1?"
        ),
        caught_by=CALIBRATION,
        swap=(
            (
                CONFIDENCE,
                "with np.errstate(all='ignore'):\n"
                "        powers = np.exp(logits)\n"
                "        confidence = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="tied-answers-taken-as-right",
        title="an answer counted as right when one of several equal largest logits is",
        explanation=(
            "Where two concepts share the largest logit the model has not answered, and you count that as right. The "
            "statement says what all of the tied candidates must show."
        ),
        caught_by=CALIBRATION,
        swap=((CORRECT, "correct = (same & (shifted == 0)).any(axis=1)"),),
    ),
    WrongAnswer(
        id="calibration-in-float32",
        title="calibration computed in float32",
        explanation=(
            "With logits in float32 your error has seven digits. Metrics are computed in float64, so that two machines "
            "agree on them."
        ),
        caught_by=CALIBRATION,
        swap=((IN_FLOAT64, "logits = np.asarray(logits)\n"),),
    ),
    WrongAnswer(
        id="interval-of-the-values",
        title="an interval of the values instead of their mean",
        explanation=(
            "You take percentiles of single queries. They say how different queries are, not how sure we are of their "
            "mean; with more queries your interval does not get shorter."
        ),
        caught_by=INTERVALS,
        swap=((MEANS, "means = rng.choice(values, size=(resamples, len(values)))"),),
    ),
    WrongAnswer(
        id="not-divided-by-the-root",
        title="the standard deviation of the queries taken for that of their mean",
        explanation=(
            "Your interval is √n times too wide, and reaches over what no mean can be: a mean of n queries varies by "
            "the standard deviation divided by √n. Asked for are percentiles of resampled means, anyway."
        ),
        caught_by=INTERVALS,
        swap=((ENDS, "low, high = np.mean(values) + np.array([-1.96, 1.96]) * np.std(values) + 0 * np.mean(means)"),),
    ),
    WrongAnswer(
        id="normal-interval",
        title="the mean plus and minus some standard errors",
        explanation=(
            "Your interval is symmetric by construction, and for few queries it reaches below what any resample shows. "
            "Asked for are percentiles of the resampled means themselves."
        ),
        caught_by=INTERVALS,
        swap=((ENDS, "low, high = np.mean(values) + np.array([-1.96, 1.96]) * np.std(means)"),),
    ),
    WrongAnswer(
        id="reflected-interval",
        title="the percentiles reflected at the mean (the basic bootstrap)",
        explanation=(
            "Twice the mean minus the percentiles is another interval, which has its uses. With few queries it reaches "
            "into what no resample shows; asked for are the percentiles."
        ),
        caught_by=INTERVALS,
        swap=((ENDS, "high, low = 2 * np.mean(values) - np.quantile(means, [0.025, 0.975])"),),
    ),
    WrongAnswer(
        id="ninety-per-cent",
        title="5 % cut off on each side",
        explanation="What lies between the 5th and the 95th percentile is an interval of 90 %. What is left for each side?",
        caught_by=INTERVALS,
        swap=((ENDS, "low, high = np.quantile(means, [0.05, 0.95])"),),
    ),
    WrongAnswer(
        id="drawn-without-replacement",
        title="queries drawn without replacement",
        explanation=(
            "As many queries as there are, none of them twice, is the same set in another order: every resample has "
            "the same mean, and your interval no width."
        ),
        caught_by=INTERVALS,
        swap=((MEANS, MEANS.replace("size=len(values)", "size=len(values), replace=False")),),
    ),
    WrongAnswer(
        id="one-query-short",
        title="one query too few in each resample",
        explanation=(
            "Your resamples are smaller than the test set; with a single query there is nothing left to draw. As many "
            "are drawn as there are."
        ),
        caught_by=INTERVALS,
        swap=(
            (
                MEANS,
                "means = [np.sum(rng.choice(values, len(values) - 1)) / max(len(values) - 1, 1) for _ in range(resamples)]",
            ),
        ),
    ),
    WrongAnswer(
        id="resamples-ignored",
        title="a number of resamples of its own",
        explanation="Your interval does not depend on `resamples`: a single resample should give two equal ends.",
        caught_by=INTERVALS,
        swap=((MEANS, MEANS.replace("range(resamples)", "range(1000)")),),
    ),
    WrongAnswer(
        id="global-random-state",
        title="resamples drawn from NumPy's global generator",
        explanation=(
            "The generator that is given has no effect: your interval depends on whatever drew numbers before, and "
            "nobody can compute your table again."
        ),
        caught_by=INTERVALS,
        swap=((MEANS, MEANS.replace("rng.choice", "np.random.choice")),),
    ),
    WrongAnswer(
        id="seed-of-its-own",
        title="the same resamples in every call",
        explanation=(
            "A second call with the same generator gives the same interval, because your function makes a generator of "
            "its own. Then the caller cannot tell how much of an interval is chance."
        ),
        caught_by=INTERVALS,
        swap=((MEANS, f"rng = np.random.default_rng(0)\n    {MEANS}"),),
    ),
    WrongAnswer(
        id="unpaired",
        title="the two models resampled each by itself",
        explanation=(
            "Your interval of a gain is much too wide, and a model compared with itself has one that is not zero: a "
            "resample draws some queries for one model and others for the other, although both answered the same."
        ),
        caught_by=INTERVALS,
        swap=(
            (
                OF_THE_GAIN,
                f"{OF_THE_GAIN}\n"
                "    means = [\n"
                "        rng.choice(tuned_ranks <= k, len(tuned_ranks)).mean()\n"
                "        - rng.choice(baseline_ranks <= k, len(baseline_ranks)).mean()\n"
                "        for _ in range(resamples)\n"
                "    ]\n"
                "    low, high = (float(end) for end in np.quantile(means, [0.025, 0.975]))",
            ),
        ),
    ),
    WrongAnswer(
        id="intervals-subtracted",
        title="the ends of two intervals subtracted",
        explanation=(
            "You take an interval for each model and subtract the ends from each other. The ends of two intervals do "
            "not occur together; what is resampled has to be the difference itself."
        ),
        caught_by=INTERVALS,
        swap=(
            (
                OF_THE_GAIN,
                "ends = [bootstrap_interval((r <= k).astype(float), resamples, rng) for r in (tuned_ranks, baseline_ranks)]\n"
                "    low, high = ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]",
            ),
        ),
    ),
    WrongAnswer(
        id="gain-turned",
        title="the gain as baseline minus tuned",
        explanation="Your gain is positive when tuning did harm. Which of the two models is the tuned one?",
        caught_by=INTERVALS,
        swap=(
            (GAIN, "gain = recall_at(baseline_ranks, k) - recall_at(tuned_ranks, k)"),
            (DIFFERENCE, f"{DIFFERENCE}\n    difference = -difference"),
        ),
    ),
    WrongAnswer(
        id="gain-of-mean-ranks",
        title="the gain in mean rank instead of in recall at k",
        explanation=(
            "Your gain is how many places queries moved up on average. Places behind the first k do not matter to "
            "recall at k: a query is found or it is not."
        ),
        caught_by=INTERVALS,
        swap=(
            (GAIN, "gain = float(np.mean(baseline_ranks) - np.mean(tuned_ranks)) + 0 * recall_at(tuned_ranks, k)"),
            (DIFFERENCE, "difference = np.asarray(baseline_ranks, dtype=float) - tuned_ranks"),
        ),
    ),
    WrongAnswer(
        id="k-ignored-in-the-interval",
        title="an interval of the gain at 1, whatever k is",
        explanation=(
            "Your gain follows `k` and your interval does not, so at larger k the gain can lie outside of its own "
            "interval. Both have to look at the same difference."
        ),
        caught_by=INTERVALS,
        swap=((DIFFERENCE, DIFFERENCE.replace("<= k", "<= 1")),),
    ),
    WrongAnswer(
        id="one-direction-twice",
        title="one direction reported under both names",
        explanation=(
            "Your names find their drawings exactly as often as drawings their names. The two can be far apart: a name "
            "that every drawing likes costs the others their first place."
        ),
        caught_by=TABLE,
        swap=((TO_DRAWINGS, "to_drawings = to_names"),),
    ),
    WrongAnswer(
        id="directions-exchanged",
        title="the two directions under each other's names",
        explanation=(
            "What you report as drawings looking for names is names looking for drawings. A row of the table is a "
            "drawing: who is choosing along it?"
        ),
        caught_by=TABLE,
        swap=(
            (TO_DRAWINGS, f"{TO_DRAWINGS}\n        to_names, to_drawings = to_drawings, to_names"),
            (LINE_GAIN, LINE_GAIN.replace("to_names", "to_drawings")),
        ),
    ),
    WrongAnswer(
        id="first-method-as-baseline",
        title="gains over whichever method stands first",
        explanation=(
            "Your baseline is the first method of the dictionary, and the table changes when its lines change places. "
            "The baseline is known by its name."
        ),
        caught_by=TABLE,
        swap=(
            (
                'for scores in methods["zero-shot"])',
                'for scores in (methods["zero-shot"] and next(iter(methods.values()))))',
            ),
        ),
    ),
    WrongAnswer(
        id="one-generator-for-all-lines",
        title="one generator shared by all lines of the table",
        explanation=(
            "The interval of a method depends on which methods were computed before it, so that adding a line changes "
            "the others. Each line gets a fresh generator of the same seed."
        ),
        caught_by=TABLE,
        swap=(
            ("    table = {}\n", "    table, rng = {}, np.random.default_rng(seed)\n"),
            (LINE_GAIN, LINE_GAIN.replace("np.random.default_rng(seed)", "rng")),
        ),
    ),
    WrongAnswer(
        id="gain-on-the-source",
        title="the gain measured on the source vendor",
        explanation=(
            "Your gain is that on the vendor the model knew already, where tuning for another one mostly does harm. It "
            "was tuned for the target."
        ),
        caught_by=TABLE,
        swap=(
            (
                LINE_GAIN,
                LINE_GAIN.replace("to_names, baseline", "ranks(source, image_concepts, text_concepts), remembered"),
            ),
        ),
    ),
    WrongAnswer(
        id="forgetting-on-the-target",
        title="forgetting measured on the target vendor",
        explanation=(
            "Your forgetting is the gain with its sign turned. What was forgotten shows on the vendor that the model "
            "came from."
        ),
        caught_by=TABLE,
        swap=((LINE_FORGETTING, '"forgetting": forgetting(baseline, to_names),'),),
    ),
    WrongAnswer(
        id="forgetting-between-vendors",
        title="the difference between the vendors taken for forgetting",
        explanation=(
            "You compare one model on two vendors. Forgetting compares two models on one vendor: before and after "
            "tuning, on the source."
        ),
        caught_by=TABLE,
        swap=(
            (
                LINE_FORGETTING,
                '"forgetting": forgetting(ranks(source, image_concepts, text_concepts), to_names),',
            ),
        ),
    ),
    WrongAnswer(
        id="zero-shot-left-out",
        title="a table without the line of zero-shot",
        explanation=(
            "Your table has no line for the baseline, so that a reader cannot see from where the others have gained. "
            "Every method has its line."
        ),
        caught_by=TABLE,
        swap=(
            ("    return table\n", '    return {name: line for name, line in table.items() if name != "zero-shot"}\n'),
        ),
    ),
    WrongAnswer(
        id="nan-taken",
        title="similarities that are NaN ranked like others",
        explanation=(
            "A NaN is neither higher nor lower nor equal, so it never stands in anybody's way: a model whose "
            "embeddings have broken gets rank 1 everywhere. Refuse such a table."
        ),
        caught_by=REFUSED,
        code="""
def require_table(similarity, query_concepts, candidate_concepts):
    shape = np.shape(similarity)
    if len(shape) != 2 or 0 in shape or shape != (*np.shape(query_concepts), *np.shape(candidate_concepts)):
        raise ValueError("shapes")
""",
    ),
    WrongAnswer(
        id="matrix-entries-drawn",
        title="a table of values resampled entry by entry",
        explanation=(
            "A table of values goes through, and its entries are drawn as if each were a query. Entries of one row "
            "belong together, and your interval is far too short. One number for each query is asked for."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "require_row(values)\n    if resamples < 1",
                "values = np.ravel(values)\n    require_row(values)\n    if resamples < 1",
            ),
        ),
    ),
    WrongAnswer(
        id="queries-without-answer-last",
        title="a query without any right candidate ranked last",
        explanation=(
            "Where no candidate shows the query's concept there is nothing to find, and your rank says that it was "
            "found last. Mostly the split is broken then: say so."
        ),
        caught_by=REFUSED,
        swap=(
            (
                'if not right.any(axis=1).all():\n        raise ValueError("a query has no right candidate")',
                "right = right.astype(bool)",
            ),
        ),
    ),
    WrongAnswer(
        id="lengths-cut",
        title="ranks of different numbers of queries compared",
        explanation=(
            "Three queries before and four after tuning go through in your forgetting. They cannot be the same "
            "queries, so their difference says nothing."
        ),
        caught_by=REFUSED,
        swap=(("if len(before_ranks) != len(after_ranks):", "if False:"),),
    ),
    WrongAnswer(
        id="one-kind-of-pairs",
        title="an AUC for a table of one kind of pairs",
        explanation=(
            "Without any wrong pair, or without any right one, there is nothing to compare, and you return a number "
            "all the same."
        ),
        caught_by=REFUSED,
        swap=(('raise ValueError("right and wrong pairs are needed")', "return 0.5"),),
    ),
    WrongAnswer(
        id="k-zero-taken",
        title="recall at 0",
        explanation="Recall at 0 is 0 for every model. Whoever asks for it counts ranks from 0; tell them.",
        caught_by=REFUSED,
        swap=(("    if k < 1:\n", "    if k < -10:\n"),),
    ),
]

alternatives = [
    Alternative(
        id="query-by-query",
        title="loops in Python's numbers, one query at a time",
        code="""
import math
import statistics


def _right(query_concepts, candidate_concepts):
    return [[int(q) == int(c) for c in candidate_concepts] for q in query_concepts]


def ranks(similarity, query_concepts, candidate_concepts):
    require_table(similarity, query_concepts, candidate_concepts)
    found = []
    for scores, right in zip(similarity.tolist(), _right(query_concepts, candidate_concepts)):
        if True not in right:
            raise ValueError("no right candidate")
        best = max(score for score, good in zip(scores, right) if good)
        found.append(1 + sum(score >= best for score, good in zip(scores, right) if not good))
    return np.array(found, dtype=np.int64)


def recall_at(ranks, k):
    require_row(ranks)
    if not k >= 1:
        raise ValueError("k")
    return sum(1 for rank in ranks if rank <= k) / len(ranks)


def median_rank(ranks):
    require_row(ranks)
    return float(statistics.median(ranks.tolist()))


def matching_auc(similarity, query_concepts, candidate_concepts):
    require_table(similarity, query_concepts, candidate_concepts)
    right, wrong = [], []
    for scores, flags in zip(similarity.tolist(), _right(query_concepts, candidate_concepts)):
        for score, good in zip(scores, flags):
            (right if good else wrong).append(score)
    if not right or not wrong:
        raise ValueError("one kind of pairs")
    points = [1.0 if a > b else 0.5 if a == b else 0.0 for a in right for b in wrong]
    return sum(points) / len(points)


def expected_calibration_error(logits, query_concepts, candidate_concepts, bins=10):
    require_table(logits, query_concepts, candidate_concepts)
    if bins < 1:
        raise ValueError("bins")
    heap = [[] for _ in range(bins)]
    for scores, flags in zip(logits.astype(float).tolist(), _right(query_concepts, candidate_concepts)):
        top = max(scores)
        confidence = 1 / sum(math.exp(score - top) for score in scores)
        right = all(good for score, good in zip(scores, flags) if score == top)
        for b in range(bins):
            if b / bins < confidence <= (b + 1) / bins:
                heap[b].append((right, confidence))
    total = 0.0
    for members in heap:
        if members:
            accuracy = sum(right for right, _ in members) / len(members)
            confidence = sum(confidence for _, confidence in members) / len(members)
            total += len(members) / len(logits) * abs(accuracy - confidence)
    return total


def bootstrap_interval(values, resamples, rng):
    require_row(values)
    if resamples < 1:
        raise ValueError("resamples")
    n = len(values)
    means = sorted(float(values[rng.integers(0, n, n)].mean()) for _ in range(resamples))
    return [means[int(0.025 * (resamples - 1))], means[math.ceil(0.975 * (resamples - 1))]]
""",
    ),
    Alternative(
        id="matrices",
        title="all resamples in one matrix, bins by digitize, the AUC from a table of differences",
        code="""
def ranks(similarity, query_concepts, candidate_concepts):
    require_table(similarity, query_concepts, candidate_concepts)
    right = np.equal.outer(query_concepts, candidate_concepts)
    if (right.sum(axis=1) == 0).any():
        raise ValueError("a query has no right candidate")
    best = np.max(similarity, axis=1, where=right, initial=-np.inf)
    reached = np.greater_equal(similarity, best[:, np.newaxis])
    return np.count_nonzero(reached & np.logical_not(right), axis=1) + 1


def recall_at(ranks, k):
    require_row(ranks)
    if k <= 0:
        raise ValueError(k)
    return np.count_nonzero(ranks <= k) / np.size(ranks)


def median_rank(ranks):
    require_row(ranks)
    ordered = np.sort(ranks)
    middle = len(ordered) // 2
    return np.float64((ordered[middle] + ordered[-middle - 1]) / 2)


def matching_auc(similarity, query_concepts, candidate_concepts):
    require_table(similarity, query_concepts, candidate_concepts)
    right = np.equal.outer(query_concepts, candidate_concepts)
    if right.sum() in (0, right.size):
        raise ValueError("one kind of pairs")
    signs = np.sign(np.subtract.outer(similarity[right], similarity[~right]))
    return (1 + signs.mean()) / 2


def expected_calibration_error(logits, query_concepts, candidate_concepts, bins=10):
    require_table(logits, query_concepts, candidate_concepts)
    if int(bins) <= 0:
        raise ValueError(bins)
    logits = logits.astype(np.float64)
    top = logits.max(axis=1)
    powers = np.exp(logits - top[:, None])
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    wrong = np.not_equal.outer(query_concepts, candidate_concepts)
    correct = ~(wrong & (logits == top[:, None])).any(axis=1)
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    sums = np.bincount(place, weights=correct - confidence, minlength=bins)
    return np.abs(sums).sum() / len(confidence)


def bootstrap_interval(values, resamples, rng):
    require_row(values)
    if resamples < 1:
        raise ValueError(resamples)
    rows = rng.integers(len(values), size=(resamples, len(values)))
    means = np.asarray(values, dtype=float)[rows].mean(axis=1)
    return tuple(np.percentile(means, (2.5, 97.5)))


def paired_gain(tuned_ranks, baseline_ranks, k, resamples, rng):
    if np.shape(tuned_ranks) != np.shape(baseline_ranks):
        raise ValueError("other queries")
    require_row(tuned_ranks)
    require_row(baseline_ranks)
    if k < 1 or resamples < 1:
        raise ValueError("k or resamples")
    found = np.stack([np.asarray(tuned_ranks) <= k, np.asarray(baseline_ranks) <= k]).astype(float)
    rows = rng.choice(found.shape[1], size=(resamples, found.shape[1]), replace=True)
    differences = found[0][rows].mean(axis=1) - found[1][rows].mean(axis=1)
    low, high = np.percentile(differences, [2.5, 97.5])
    return dict(gain=found[0].mean() - found[1].mean(), low=low, high=high)


def forgetting(before_ranks, after_ranks, k=1):
    if np.size(before_ranks) != np.size(after_ranks):
        raise ValueError("other queries")
    return np.float64(recall_at(before_ranks, k)) - np.float64(recall_at(after_ranks, k))
""",
    ),
    Alternative(
        id="counts-of-each-query",
        title="resamples as multinomial counts, the AUC from mean ranks, a table filled key by key",
        code="""
def ranks(similarity, query_concepts, candidate_concepts):
    require_table(similarity, query_concepts, candidate_concepts)
    result = np.empty(len(similarity), dtype=np.int64)
    for i in range(len(similarity)):
        mine = candidate_concepts == query_concepts[i]
        if not mine.any():
            raise ValueError("no right candidate")
        others = np.sort(similarity[i, ~mine])
        result[i] = len(others) - np.searchsorted(others, similarity[i, mine].max(), side="left") + 1
    return result


def matching_auc(similarity, query_concepts, candidate_concepts):
    require_table(similarity, query_concepts, candidate_concepts)
    right = (query_concepts[:, None] == candidate_concepts[None, :]).ravel()
    scores = similarity.ravel()
    positives, negatives = right.sum(), (~right).sum()
    if positives == 0 or negatives == 0:
        raise ValueError("one kind of pairs")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_ranks = (last - (counts - 1) / 2)[inverse.ravel()]
    return float((mean_ranks[right].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def bootstrap_interval(values, resamples, rng):
    require_row(values)
    if resamples < 1:
        raise ValueError("resamples")
    n = len(values)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    means = counts @ np.asarray(values, dtype=np.float64) / n
    low = np.quantile(means, 0.025, method="nearest")
    high = np.quantile(means, 0.975, method="nearest")
    return np.array([low, high])


def compare(methods, image_concepts, text_concepts, resamples, seed):
    if "zero-shot" not in methods:
        raise ValueError("zero-shot is missing")
    found = {}
    for name in methods:
        target, source = methods[name]
        found[name] = (
            ranks(target, image_concepts, text_concepts),
            ranks(np.transpose(target), text_concepts, image_concepts),
            ranks(source, image_concepts, text_concepts),
        )
    result = {}
    for name in found:
        line = {}
        for index, label in enumerate(["to_names", "to_drawings"]):
            for k in (1, 5, 10):
                line[label + "@" + str(k)] = recall_at(found[name][index], k)
        rng = np.random.default_rng(seed)
        line.update(paired_gain(found[name][0], found["zero-shot"][0], 1, resamples, rng))
        line["forgetting"] = forgetting(found["zero-shot"][2], found[name][2])
        result[name] = line
    return result
""",
    ),
]
