"""Wrong answers and differently written correct solutions of data/timestamp_alignment.

The published answer has no code; two of its remedies for mismatched pairs are claims (`claims-as-published`).
The table of all pairs is no danger here: 10^5 x 10^5 numbers exceed the memory a student's process may have at once.
Comparing in a loop over the queries (no table, but as many comparisons) is not in the list, since it would cost every
verification its time limit.
"""

from grader.catalogue import Alternative, WrongAnswer

NEAREST = "test_the_nearer_neighbour_is_found"
TOLERANCE = "test_the_tolerance_is_the_largest_distance_that_counts"
TIES = "test_ties_go_to_the_earlier_and_the_first"
OFFSET = "test_the_offset_moves_the_references"
LONG = "test_long_streams_are_aligned"
BAD_INPUT = "test_empty_and_bad_input"
CLAIMS = "test_claims"

CHOICE = "nearest = np.where(gap_before <= gap_after, before, after)"
FIRST = "    nearest = np.searchsorted(times, times[nearest])\n"
RESULT = "return np.where(np.minimum(gap_before, gap_after) <= tolerance, nearest, -1)"
MOVED = "times = times + offset"
CONVERTED = "query, times = np.asarray(query_t, dtype=np.float64), np.asarray(ref_t, dtype=np.float64)"
FINITE = "if not (np.isfinite(query).all() and np.isfinite(times).all() and np.isfinite(offset)):"
ASCENDING = "if (times[1:] < times[:-1]).any():"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answer
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answer has them",
        explanation=(
            "Some claims follow remedies that are in print and do not help. Take a photo of a dog with the caption 'a "
            "red car': what do a time, an attention layer or another task change about that sentence?"
        ),
        caught_by=CLAIMS,
        swap=(
            ("timestamps_for_photos=False", "timestamps_for_photos=True"),
            ("attention_repairs_pairs=False", "attention_repairs_pairs=True"),
            ("second_task_repairs_pairs=False", "second_task_repairs_pairs=True"),
        ),
    ),
    WrongAnswer(
        id="join-misjudged",
        title="a wrong offset expected to show, a filter to make no mistakes",
        explanation=(
            "Draw two rows of evenly spaced points and move one of them by a hundred intervals: how far is the nearest "
            "neighbour now? And think of a correct caption that a similarity score would not recognise."
        ),
        caught_by=CLAIMS,
        swap=(
            ("offset_goes_unnoticed=True", "offset_goes_unnoticed=False"),
            ("filter_loses_nothing=False", "filter_loses_nothing=True"),
        ),
    ),
    # -------------------------------------------------------------------------------------- which reference is nearest
    WrongAnswer(
        id="paired-by-row",
        title="paired by row number",
        explanation=(
            "Query i gets reference i, whatever their times are. It works while both streams have the same rate and "
            "nothing is missing; after the first lost frame every pair is wrong."
        ),
        caught_by=NEAREST,
        swap=(
            (
                CHOICE,
                "nearest = np.minimum(np.arange(query.size), times.size - 1)\n"
                "    gap_before = gap_after = np.abs(query - times[nearest])",
            ),
        ),
    ),
    WrongAnswer(
        id="previous-only",
        title="always the reference before the query",
        explanation=(
            "A query shortly before a reference gets the one before that, which is farther away. A search finds one "
            "place between two neighbours; both have to be looked at."
        ),
        caught_by=NEAREST,
        swap=(
            (
                CHOICE,
                "nearest = np.maximum(np.searchsorted(times, query, side='right') - 1, 0)\n"
                "    gap_before = gap_after = np.abs(query - times[nearest])",
            ),
        ),
    ),
    WrongAnswer(
        id="next-only",
        title="always the reference at or after the query",
        explanation=(
            "The place that a binary search returns is the first reference at or after the query. The one before it can "
            "be nearer, and your code never looks at it."
        ),
        caught_by=NEAREST,
        swap=((CHOICE, "nearest = after\n    gap_before = gap_after"),),
    ),
    WrongAnswer(
        id="each-reference-once",
        title="every reference given to one query only",
        explanation=(
            "A second query near the same reference gets -1. Several words can belong to one frame: each query is "
            "answered by itself."
        ),
        caught_by=NEAREST,
        swap=(
            (
                RESULT,
                "found = np.where(np.minimum(gap_before, gap_after) <= tolerance, nearest, -1)\n"
                "    taken = np.zeros(found.size, dtype=bool)\n"
                "    taken[np.unique(found, return_index=True)[1]] = True\n"
                "    return np.where(taken, found, -1)",
            ),
        ),
    ),
    WrongAnswer(
        id="queries-sorted",
        title="results in the order of the sorted queries",
        explanation=(
            "The queries were sorted, and the results stayed in that order, so element i no longer belongs to query i. "
            "Binary search needs sorted references; the queries may stay as they are."
        ),
        caught_by=NEAREST,
        swap=((CONVERTED, f"{CONVERTED}\n    query = np.sort(query, axis=-1)"),),
    ),
    WrongAnswer(
        id="times-returned",
        title="times instead of positions",
        explanation=(
            "The result holds the times of the nearest references. With a position the caller can look up the time, the "
            "frame, and everything else."
        ),
        caught_by=NEAREST,
        swap=((RESULT, "return np.where(np.minimum(gap_before, gap_after) <= tolerance, times[nearest], -1)"),),
    ),
    WrongAnswer(
        id="computed-in-the-input-type",
        title="distances computed in the type of the input",
        explanation=(
            "Unsigned integers have no negative numbers: 3 - 5 wraps around to a huge one, and the neighbour on that "
            "side is never the nearest. Convert to float64 first."
        ),
        caught_by=NEAREST,
        swap=(
            (CONVERTED, "query, times = np.asarray(query_t), np.asarray(ref_t)"),
            (MOVED, "times = times + np.asarray(offset).astype(times.dtype)"),
        ),
    ),
    WrongAnswer(
        id="rounded-to-float32",
        title="times rounded to float32",
        explanation=(
            "Seconds since 1970 need ten digits before the point, and float32 has seven altogether: times within two "
            "minutes become equal. Use float64."
        ),
        caught_by=NEAREST,
        swap=(
            (
                CONVERTED,
                "query, times = np.asarray(query_t, dtype=np.float32), np.asarray(ref_t, dtype=np.float32)",
            ),
        ),
    ),
    # -------------------------------------------------------------------------------------------------- tolerance
    WrongAnswer(
        id="tolerance-ignored",
        title="a partner for everything",
        explanation=(
            "Even a query hours away from all references gets one. A pair that should not exist teaches the model "
            "something wrong; what has no partner is to be marked with -1."
        ),
        caught_by=TOLERANCE,
        swap=((RESULT, "return nearest"),),
    ),
    WrongAnswer(
        id="tolerance-exclusive",
        title="a distance of exactly the tolerance refused",
        explanation=(
            "The comparison is strict. A distance of exactly the tolerance is close enough; with a tolerance of 0 that "
            "is what lets equal times match."
        ),
        caught_by=TOLERANCE,
        swap=((RESULT, RESULT.replace("<= tolerance", "< tolerance")),),
    ),
    WrongAnswer(
        id="half-the-tolerance",
        title="the tolerance taken as the width of a window",
        explanation=(
            "The tolerance is spread over both sides, so references farther away than half of it are refused. It is the "
            "largest distance in either direction."
        ),
        caught_by=TOLERANCE,
        swap=((RESULT, RESULT.replace("<= tolerance", "<= tolerance / 2")),),
    ),
    WrongAnswer(
        id="marked-with-another-number",
        title="the number of references as the mark for no match",
        explanation=(
            "Some libraries answer M, one past the last position, where nothing is near enough. Asked for is -1, which "
            "no position can be."
        ),
        caught_by=TOLERANCE,
        swap=((RESULT, RESULT.replace("nearest, -1", "nearest, times.size")),),
    ),
    # ------------------------------------------------------------------------------------------- ties and equal times
    WrongAnswer(
        id="later-in-a-tie",
        title="the later of two references at the same distance",
        explanation=(
            "A query exactly in the middle gets the reference after it. The earlier one was asked for: what does your "
            "comparison do when both distances are equal?"
        ),
        caught_by=TIES,
        swap=((CHOICE, CHOICE.replace("<=", "<")),),
    ),
    WrongAnswer(
        id="last-of-equal-times",
        title="the last of several equal times",
        explanation=(
            "Several references have the same time, and the neighbour just before the place that the search returns is "
            "the last of them. The first was asked for. What does a search for that time itself arrive at?"
        ),
        caught_by=TIES,
        swap=((FIRST, ""),),
    ),
    # ------------------------------------------------------------------------------------------------------- offset
    WrongAnswer(
        id="offset-subtracted",
        title="the offset with the wrong sign",
        explanation=(
            "The references are moved the wrong way, so the error of the clock is doubled instead of removed, and still "
            "most queries find a partner. Reference j happened at ref_t[j] + offset."
        ),
        caught_by=OFFSET,
        swap=((MOVED, "times = times - offset"),),
    ),
    WrongAnswer(
        id="offset-ignored",
        title="the offset without effect",
        explanation="The two clocks are compared as if they agreed. Where does the offset enter?",
        caught_by=OFFSET,
        swap=((MOVED, "times = times + 0"),),
    ),
    WrongAnswer(
        id="offset-after-the-search",
        title="the offset used for the distance, not for the search",
        explanation=(
            "The neighbours are searched on the uncorrected clock, and only their distances are corrected. Then others "
            "may be nearer. Bring both to one clock before anything else."
        ),
        caught_by=OFFSET,
        swap=(("after = np.searchsorted(times, query)", "after = np.searchsorted(times - offset, query)"),),
    ),
    # ------------------------------------------------------------------------------------------- size and bad input
    WrongAnswer(
        id="table-of-all-pairs",
        title="a table of all distances",
        explanation=(
            "Every query is compared with every reference. For 100 000 of each that is a table of ten thousand million "
            "numbers, 80 gigabytes. The references are sorted: which few of them can be the nearest?"
        ),
        caught_by=LONG,
        swap=(
            (
                CHOICE,
                "gaps = np.abs(query[:, None] - times[None, :])\n"
                "    nearest = gaps.argmin(axis=1)\n"
                "    gap_before = gap_after = gaps.min(axis=1)",
            ),
        ),
    ),
    WrongAnswer(
        id="sorted-in-silence",
        title="unsorted references sorted without a word",
        explanation=(
            "The positions then refer to the sorted list, not to the caller's, and nobody notices. References that are "
            "not in order are a mistake in the data that the caller has to hear of."
        ),
        caught_by=BAD_INPUT,
        swap=((ASCENDING, "times = np.sort(times)\n    if (times[1:] < times[:-1]).any():"),),
    ),
    WrongAnswer(
        id="order-unchecked",
        title="unsorted references searched all the same",
        explanation=(
            "Binary search in a list that is not sorted returns some place, without an error. Compare each reference "
            "with the next one first."
        ),
        caught_by=BAD_INPUT,
        swap=((ASCENDING, "if False:"),),
    ),
    WrongAnswer(
        id="not-a-number-accepted",
        title="times that are NaN or infinite accepted",
        explanation=(
            "NaN is neither before nor after anything, so the search puts it somewhere, and a comparison of neighbours "
            "does not find it either. Ask whether all times are finite."
        ),
        caught_by=BAD_INPUT,
        swap=((FINITE, "if not np.isfinite(offset):"),),
    ),
    WrongAnswer(
        id="negative-tolerance-accepted",
        title="a negative tolerance accepted",
        explanation=(
            "No distance is below 0, so everything comes back as unmatched. A caller who passes a negative tolerance has "
            "made a mistake and should hear of it."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not tolerance >= 0:", "if tolerance != tolerance:"),),
    ),
    WrongAnswer(
        id="nan-tolerance-accepted",
        title="a tolerance of NaN accepted",
        explanation=(
            "Every comparison with NaN is false, so a test for values below 0 lets it pass, and afterwards nothing is "
            "near enough. Ask whether the tolerance is 0 or more instead."
        ),
        caught_by=BAD_INPUT,
        swap=(("if not tolerance >= 0:", "if tolerance < 0:"),),
    ),
    WrongAnswer(
        id="no-references-crash",
        title="an error where there are no references",
        explanation=(
            "With an empty list of references there is no neighbour to look at, and an index error is raised. A stream "
            "without frames is no mistake: nothing matches."
        ),
        caught_by=BAD_INPUT,
        swap=(("    if times.size == 0:\n        return np.full(query.shape, -1, dtype=np.int64)\n", ""),),
    ),
    WrongAnswer(
        id="repeats-refused",
        title="equal times refused as if they were unsorted",
        explanation=(
            "Two frames with the same time are in ascending order as it is meant here. Only a time that is smaller than "
            "the one before it breaks the order."
        ),
        caught_by=BAD_INPUT,
        swap=((ASCENDING, "if (times[1:] <= times[:-1]).any():"),),
    ),
]

alternatives = [
    Alternative(
        id="bisect",
        title="a loop over the queries with bisect",
        code="""
def align_nearest(query_t, ref_t, tolerance, offset=0.0):
    import math
    from bisect import bisect_left

    if np.ndim(query_t) != 1 or np.ndim(ref_t) != 1:
        raise ValueError("one-dimensional")
    queries, times = [float(t) for t in query_t], [float(t) for t in ref_t]
    if not all(map(math.isfinite, [*queries, *times, offset])) or math.isnan(tolerance) or tolerance < 0:
        raise ValueError("numbers")
    if times != sorted(times):
        raise ValueError("order")
    shifted = [t + offset for t in times]
    result = []
    for query in queries:
        place = bisect_left(shifted, query)
        best, gap = -1, math.inf
        for candidate in (place - 1, place):
            if 0 <= candidate < len(shifted) and abs(shifted[candidate] - query) < gap:
                best, gap = candidate, abs(shifted[candidate] - query)
        if best >= 0 and gap <= tolerance:
            result.append(bisect_left(shifted, shifted[best]))
        else:
            result.append(-1)
    return np.array(result, dtype=np.int64)
""",
    ),
    Alternative(
        id="midpoints",
        title="one search among the midpoints of the distinct times, with the offset on the queries",
        code="""
def align_nearest(query_t, ref_t, tolerance, offset=0.0):
    query, ref = np.array(query_t, dtype=float), np.array(ref_t, dtype=float)
    if query.ndim != 1 or ref.ndim != 1 or not np.isfinite([*query, *ref, offset]).all():
        raise ValueError("times")
    if np.any(np.diff(ref) < 0) or np.isnan(tolerance) or tolerance < 0:
        raise ValueError("order or tolerance")
    result = -np.ones(len(query), dtype=np.int64)
    if len(ref) and len(query):
        query -= offset
        distinct, first = np.unique(ref, return_index=True)
        place = np.searchsorted((distinct[1:] + distinct[:-1]) / 2, query, side="left")
        close = np.abs(query - distinct[place]) <= tolerance
        result[close] = first[place[close]]
    return result
""",
    ),
    Alternative(
        id="two-pointers",
        title="both streams walked through once, in the order of time",
        code="""
def align_nearest(query_t, ref_t, tolerance, offset=0.0):
    query, ref = np.asarray(query_t).astype("f8"), np.asarray(ref_t).astype("f8") + offset
    if query.ndim - 1 or ref.ndim - 1:
        raise ValueError("shapes")
    if np.isfinite(query).sum() + np.isfinite(ref).sum() < query.size + ref.size or not np.isfinite(offset):
        raise ValueError("finite")
    if not (np.sort(ref) == ref).all() or not tolerance >= 0:
        raise ValueError("order or tolerance")
    found = np.empty(query.size, dtype=np.int64)
    times, here = ref.tolist(), 0  # the first position with the time that is nearest so far
    for i in np.argsort(query, kind="stable").tolist():
        now, best = float(query[i]), here
        for ahead in range(here + 1, len(times)):
            if abs(times[ahead] - now) < abs(times[best] - now):
                best = ahead
            elif times[ahead] > now:
                break
        here = best
        found[i] = best if times and abs(times[best] - now) <= tolerance else -1
    return found
""",
    ),
]
