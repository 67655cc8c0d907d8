"""Wrong answers and differently written correct solutions of deployment/dynamic_batching."""

from grader.catalogue import Alternative, WrongAnswer

DUE = "test_a_batch_is_due_when_full_or_old"
BUSY = "test_a_busy_server_is_waited_for"
CALENDAR = "test_simulation_equals_a_calendar_of_events"
PERCENTILE = "test_percentile_is_the_latency_at_the_nearest_rank"
DTYPES = "test_dtypes_empty_input_and_arguments"
BAD_INPUT = "test_bad_input_is_refused"
DEPARTURE = "departure = max(server_free, min(full, times[oldest] + max_wait))"
WAITING = "waiting = int((times <= departure).sum()) - oldest"
FULL = "full = times[filling] if filling < len(times) else np.inf"

wrong_answers = [
    # ------------------------------------------------------------------------------------------- the published answer
    WrongAnswer(
        id="claims-as-published",
        title="deployment taken for a speed-up",
        explanation=(
            "One of the claims follows an advantage that is often published: that deploying a model makes it faster by "
            "itself. Name the step that would do it. Which of weights, code and hardware has changed?"
        ),
        caught_by="test_claims",
        swap=(("moved_to_a_server=False", "moved_to_a_server=True"),),
    ),
    # ------------------------------------------------------------------------------------------- when a batch leaves
    WrongAnswer(
        id="waits-for-a-full-batch",
        title="a batch leaves only when it is full",
        explanation=(
            "An incomplete batch waits until it is full, or until the list of requests ends, however long that takes. "
            "At night the first request then waits for the next morning. What limits the waiting of the oldest one?"
        ),
        caught_by=DUE,
        swap=((FULL, "full = times[min(filling, len(times) - 1)]"), (DEPARTURE, "departure = max(server_free, full)")),
    ),
    WrongAnswer(
        id="timer-restarts",
        title="the waiting time starts again with each arrival",
        explanation=(
            "Each new request restarts the timer, so that a steady stream of arrivals keeps a batch from leaving until "
            "it is full. The limit is a promise to one particular request. Which one, and when did its waiting begin?"
        ),
        caught_by=DUE,
        swap=(
            (
                DEPARTURE,
                "deadline = times[oldest] + max_wait\n"
                "        for later in times[oldest:]:\n"
                "            if later <= deadline:\n"
                "                deadline = later + max_wait\n"
                "        departure = max(server_free, min(full, deadline))",
            ),
        ),
    ),
    WrongAnswer(
        id="no-batching",
        title="each request is served alone",
        explanation=(
            "Each request makes a batch of its own, whatever `max_batch` allows. The fixed cost of a batch is then paid "
            "for every request, and throughput is that of a server without batching. Who else is waiting at that moment?"
        ),
        caught_by=DUE,
        swap=(
            (DEPARTURE, "departure = max(server_free, times[oldest])"),
            ("size = min(waiting, max_batch)", "size = 1"),
        ),
    ),
    WrongAnswer(
        id="leaves-when-the-server-is-free",
        title="a batch leaves as soon as the server is free",
        explanation=(
            "The server takes whatever waits as soon as it is idle, and `max_wait` has no effect. That is a sensible rule "
            "too, but not this one: with little load most batches hold one request. Until when does it pay to wait here?"
        ),
        caught_by=DUE,
        swap=((DEPARTURE, "departure = max(server_free, times[oldest])"),),
    ),
    WrongAnswer(
        id="last-one-leaves",
        title="the last batch leaves with the last arrival",
        explanation=(
            "When the list of requests ends, the batch leaves at once. The simulation knows that nobody follows, a server "
            "does not. Treat the last batch as the server would have to treat it."
        ),
        caught_by=DUE,
        swap=((FULL, "full = times[min(filling, len(times) - 1)]"),),
    ),
    WrongAnswer(
        id="busy-server-ignored",
        title="a batch leaves although the server is busy",
        explanation=(
            "A batch starts when it is due, even if the one before it is not done: several batches run at once, and under "
            "load no queue ever builds up. There is one server. What has to be known about it before a batch may start?"
        ),
        caught_by=BUSY,
        swap=((DEPARTURE, "departure = min(full, times[oldest] + max_wait)"),),
    ),
    WrongAnswer(
        id="batch-grows-beyond-max-batch",
        title="everybody who waits is taken along",
        explanation=(
            "A batch takes all waiting requests, also more than `max_batch`. While the server is busy many can gather, and "
            "a batch of that size may not fit into the memory of the accelerator. Where does the limit belong?"
        ),
        caught_by=BUSY,
        swap=(("size = min(waiting, max_batch)", "size = waiting"),),
    ),
    WrongAnswer(
        id="on-board-when-due",
        title="the passengers are fixed when the batch is due",
        explanation=(
            "Who belongs to a batch is decided when it is due, and requests that arrive while it still waits for the "
            "server stay behind, although there is room. Under load that keeps batches small when full ones are needed most."
        ),
        caught_by=BUSY,
        swap=(
            (
                WAITING,
                "waiting = int((times <= min(full, times[oldest] + max_wait)).sum()) - oldest",
            ),
        ),
    ),
    WrongAnswer(
        id="timer-starts-with-a-free-server",
        title="the waiting time is counted from when the server is free",
        explanation=(
            "A request that arrived while the server was busy waits up to `max_wait` once more after the server is free. "
            "The clock of a request runs from its arrival. How long has it waited already when the server is free?"
        ),
        caught_by=BUSY,
        swap=((DEPARTURE, "departure = max(server_free, min(full, max(server_free, times[oldest]) + max_wait))"),),
    ),
    # --------------------------------------------------------------------------------------------- who is on board
    WrongAnswer(
        id="arrival-at-the-departure-left-behind",
        title="who arrives exactly at the departure stays behind",
        explanation=(
            "Requests that arrive at the very moment of departure are left for the next batch. Whole milliseconds and "
            "simultaneous requests make such ties common. Look at the comparison of arrivals with the departure."
        ),
        caught_by=CALENDAR,
        # the oldest, and those that fill the batch, are on board even if they come at that moment
        swap=(
            (
                WAITING,
                "waiting = max(int((times < departure).sum()) - oldest, 1)\n"
                "        waiting = max(waiting, max_batch) if departure == full else waiting",
            ),
        ),
    ),
    WrongAnswer(
        id="latency-from-the-departure",
        title="latency without the time in the queue",
        explanation=(
            "Your latency is the service time of the batch alone. The user waits from the moment of sending, and under "
            "load most of that time is spent in the queue. Between which two moments does a user count?"
        ),
        caught_by=CALENDAR,
        swap=(
            ("finish = np.empty_like(times)", "finish, departures = np.empty_like(times), np.empty_like(times)"),
            (
                "finish[oldest : oldest + size] = server_free",
                "finish[oldest : oldest + size] = server_free\n        departures[oldest : oldest + size] = departure",
            ),
            ('"latency": finish - times', '"latency": finish - departures'),
        ),
    ),
    # --------------------------------------------------------------------------------------------------- percentiles
    WrongAnswer(
        id="mean-as-percentile",
        title="the mean given as a percentile",
        explanation=(
            "Whatever `q` is, your value is the mean of the latencies. Two servers with one mean can differ tenfold in "
            "their slowest requests. A percentile is about an order: which request stands where?"
        ),
        caught_by=PERCENTILE,
        swap=(("return float(ordered[rank - 1])", "return float(ordered.mean())"),),
    ),
    WrongAnswer(
        id="percentile-of-unsorted-latencies",
        title="the rank is looked up in the order of arrival",
        explanation=(
            "The rank is right, but it is looked up in the latencies as they came, so that the value says who arrived "
            "when. In which order must they stand before a rank means anything?"
        ),
        caught_by=PERCENTILE,
        swap=(("ordered = np.sort(np.asarray(latency, dtype=np.float64))", "ordered = np.asarray(latency)"),),
    ),
    WrongAnswer(
        id="interpolated",
        title="a percentile between two latencies",
        explanation=(
            "Your value is interpolated between two neighbours, as many libraries do by default. With few requests it can "
            "be a latency that nobody had. Nearest rank always gives one that somebody had."
        ),
        caught_by=PERCENTILE,
        swap=(
            (
                "return float(ordered[rank - 1])",
                "return float(np.interp(q / 100 * (len(ordered) - 1), np.arange(len(ordered)), ordered))",
            ),
        ),
    ),
    WrongAnswer(
        id="share-first",
        title="the percentage is divided by 100 before it is multiplied",
        explanation=(
            "For some round cases your rank is one too high: 7 % of 100 requests should be the seventh. In floating point "
            "q / 100 is often not exact, and a product that is a hair above a whole number is rounded up. Which order of "
            "the two operations keeps whole numbers whole?"
        ),
        caught_by=PERCENTILE,
        swap=(("rank = math.ceil(q * len(ordered) / 100)", "rank = math.ceil(q / 100 * len(ordered))"),),
    ),
    WrongAnswer(
        id="rank-rounded-down",
        title="the rank is rounded down",
        explanation=(
            "A rank between two whole numbers is rounded down, so that fewer than `q` percent of the requests are within "
            "the value you report: the tail looks better than it is. Test p99 on seven latencies."
        ),
        caught_by=PERCENTILE,
        swap=(("rank = math.ceil(q * len(ordered) / 100)", "rank = max(1, math.floor(q * len(ordered) / 100))"),),
    ),
    # ------------------------------------------------------------------------------------------- dtypes and arguments
    WrongAnswer(
        id="times-in-the-dtype-of-the-arrivals",
        title="times are kept in the dtype of the arrivals",
        explanation=(
            "Results are stored in an array like the arrivals. From whole milliseconds that array holds whole numbers, and "
            "each finish time loses its fraction without a word. Which dtype is promised?"
        ),
        caught_by=DTYPES,
        swap=(("times = np.asarray(arrivals, dtype=np.float64)", "times = np.asarray(arrivals)"),),
    ),
    WrongAnswer(
        id="latency-in-place",
        title="the arrivals are overwritten",
        explanation=(
            "Your function writes into the array of arrivals that it was given. The caller's times are gone, and a second "
            "call with the same array gives other results. Where does your code write, and to whom does that array belong?"
        ),
        caught_by=DTYPES,
        swap=(('"latency": finish - times', '"latency": np.subtract(finish, times, out=times)'),),
    ),
    WrongAnswer(
        id="sorts-in-place",
        title="the latencies of the caller are sorted",
        explanation=(
            "Asking for a percentile reorders the caller's array, so that its latencies no longer belong to the requests "
            "beside them. Sort a copy."
        ),
        caught_by=DTYPES,
        swap=(
            (
                "ordered = np.sort(np.asarray(latency, dtype=np.float64))",
                "ordered = np.asarray(latency)\n    ordered.sort()",
            ),
        ),
    ),
    WrongAnswer(
        id="empty-is-an-error",
        title="no requests are refused",
        explanation=(
            "An empty list of arrivals raises an error. A quiet minute is no mistake: the statement says what comes back "
            "when there is nothing to serve."
        ),
        caught_by=DTYPES,
        swap=(("if times.ndim != 1 or not", "if times.size == 0 or times.ndim != 1 or not"),),
    ),
    # ------------------------------------------------------------------------------------------------------ bad input
    WrongAnswer(
        id="nothing-refused",
        title="impossible input to the simulation is accepted",
        explanation=(
            "Arrivals that go back in time, a batch of at most 0 requests or a service that takes no time are simulated as "
            "if they were possible, and the numbers that come out look like any others. The rules say what to refuse."
        ),
        caught_by=BAD_INPUT,
        swap=(
            (
                "if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():",
                "if times.ndim != 1:",
            ),
            ("if max_batch < 1 or not 0 <= max_wait < np.inf:", "if False:"),
            ("if not 0 < duration < np.inf:", "if False:"),
        ),
    ),
    WrongAnswer(
        id="nan-is-accepted",
        title="NaN passes the checks of the arguments",
        explanation=(
            "A NaN is neither smaller than 0 nor larger than anything, so that a check for values that are too small lets "
            "it through. Ask whether a number is inside its range instead of whether it is outside."
        ),
        caught_by=BAD_INPUT,
        swap=(
            ("not np.isfinite(times).all() or (np", "np.isinf(times).any() or (np"),
            ("not 0 <= max_wait < np.inf", "max_wait < 0 or max_wait == np.inf"),
            ("if not 0 < duration < np.inf:", "if duration <= 0 or duration == np.inf:"),
        ),
    ),
    WrongAnswer(
        id="every-q-is-accepted",
        title="percentages outside (0, 100] are accepted",
        explanation=(
            "`q = 0` and other percentages that have no rank give a value. In Python an index of -1 is the last item: a "
            "percentage of 0 then reports the largest latency. Which `q` have a rank from 1 to N?"
        ),
        caught_by=BAD_INPUT,
        swap=(
            ("if len(ordered) == 0 or not 0 < q <= 100:", "if len(ordered) == 0 or q != q:"),
            ("return float(ordered[rank - 1])", "return float(ordered[min(rank, len(ordered)) - 1])"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="event-loop",
        title="a loop over moments with a queue; percentile by counting",
        code="""
def simulate_batching(arrivals, max_batch, max_wait, service_time):
    from collections import deque

    if np.ndim(arrivals) != 1:
        raise ValueError("one dimension")
    times = [float(time) for time in arrivals]
    if any(not math.isfinite(time) for time in times) or times != sorted(times):
        raise ValueError("arrivals")
    if max_batch < 1 or not (math.isfinite(max_wait) and max_wait >= 0):
        raise ValueError("limits")
    finish, sizes = {}, []
    coming, queue, free = deque(enumerate(times)), deque(), -math.inf
    while coming or queue:
        if not queue:
            queue.append(coming.popleft())
        due = queue[0][1] + max_wait
        # let people in while the batch cannot leave yet
        while coming and (
            (len(queue) < max_batch and coming[0][1] <= max(free, due)) or coming[0][1] <= free
        ):
            queue.append(coming.popleft())
        if len(queue) >= max_batch:
            due = min(due, queue[max_batch - 1][1])
        leave = max(free, due)
        batch = [queue.popleft() for _ in range(min(max_batch, len(queue)))]
        duration = service_time(len(batch))
        if not duration > 0 or math.isinf(duration):
            raise ValueError("service")
        free = leave + duration
        finish.update((i, free) for i, _ in batch)
        sizes.append(len(batch))
    ends = [finish[i] for i in range(len(times))]
    return {
        "batch_sizes": np.array(sizes, dtype=np.int64),
        "finish": np.array(ends, dtype=np.float64),
        "latency": np.array([end - start for end, start in zip(ends, times)], dtype=np.float64),
        "departures": len(sizes),
    }


def percentile(latency, q):
    latency = list(latency)
    if not latency or not (q > 0 and q <= 100):
        raise ValueError("q")
    return next(
        value for value in sorted(latency) if 100 * sum(other <= value for other in latency) >= q * len(latency)
    )
""",
    ),
    Alternative(
        id="binary-search",
        title="binary search for who has arrived; integer arithmetic for the rank",
        code="""
def simulate_batching(arrivals, max_batch, max_wait, service_time):
    t = np.array(arrivals, dtype=np.float64)
    if t.ndim != 1 or np.isnan(t).any() or np.isinf(t).any() or not np.all(t[1:] >= t[:-1]):
        raise ValueError("arrivals")
    if max_batch < 1:
        raise ValueError("max_batch")
    if math.isnan(max_wait) or math.isinf(max_wait) or max_wait < 0:
        raise ValueError("max_wait")
    padded = np.concatenate([t, np.full(max_batch, np.inf)])
    ends, sizes, start, free = [], [], 0, None
    while start < t.size:
        leave = min(padded[start + max_batch - 1], t[start] + max_wait)
        if free is not None and free > leave:
            leave = free
        stop = min(np.searchsorted(t, leave, side="right"), start + max_batch)
        duration = float(service_time(int(stop - start)))
        if duration <= 0 or not np.isfinite(duration):
            raise ValueError("service_time")
        free = leave + duration
        ends.append(free)
        sizes.append(stop - start)
        start = stop
    sizes = np.asarray(sizes, dtype=np.int64)
    finish = np.repeat(np.asarray(ends, dtype=np.float64), sizes)
    return dict(finish=finish, latency=finish - t, batch_sizes=sizes)


def percentile(latency, q):
    from fractions import Fraction

    values = np.array(latency, dtype=float)
    if values.size < 1 or np.isnan(q) or q <= 0 or q > 100:
        raise ValueError("percentile")
    rank = -(-Fraction(q) * values.size // 100)
    return np.partition(values, int(rank) - 1)[int(rank) - 1]
""",
    ),
    Alternative(
        id="recursion",
        title="one batch at a time by recursion; service times worked out beforehand",
        code="""
def simulate_batching(arrivals, max_batch, max_wait, service_time):
    times = np.asarray(arrivals, float)
    if times.ndim != 1 or not np.all(np.isfinite(times)) or np.any(times[1:] < times[:-1]):
        raise ValueError("arrivals")
    if not max_batch >= 1 or not 0 <= max_wait <= 1e300:
        raise ValueError("limits")
    durations = {b: service_time(b) for b in range(1, min(max_batch, len(times)) + 1)}
    if not all(0 < duration < math.inf for duration in durations.values()):
        raise ValueError("service")

    def serve(rest, free):
        if not rest:
            return [], []
        due = rest[0] + max_wait
        if len(rest) >= max_batch and rest[max_batch - 1] < due:
            due = rest[max_batch - 1]
        leave = due if due > free else free
        size = len([time for time in rest[:max_batch] if time <= leave])
        end = leave + durations[size]
        ends, sizes = serve(rest[size:], end)
        return [end] * size + ends, [size] + sizes

    ends, sizes = serve(times.tolist(), float("-inf"))
    finish = np.array(ends, dtype=np.float64)
    return {"finish": finish, "latency": finish - times, "batch_sizes": np.array(sizes, dtype=np.int64)}


def percentile(latency, q):
    ordered = np.array(latency, dtype=float)
    ordered.sort()
    if not ordered.size or not 0 < q <= 100:
        raise ValueError("q")
    ranks = np.arange(1, ordered.size + 1)
    return ordered[np.argmax(100 * ranks >= q * ordered.size)]
""",
    ),
]
