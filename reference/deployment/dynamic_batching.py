# %% [markdown]
# # Dynamic batching: latency against throughput
#
# Asked why deployment matters, people praise what a deployed model brings: access, scale, lower cost, lower latency.
# None of these comes from deploying as such; each has to be engineered, and most are bought with something else.
# Dynamic batching is the clearest case: requests wait for company, so that the accelerator serves more of them a
# second. How long they wait, and for whom, you can work out on paper and simulate in twenty lines. Here you answer the
# interview question in your own words, judge eight claims about it, and simulate a server that batches, with the
# percentiles of its latencies.
#
# Plan about 45 minutes: 10 for the answer, 5 for the claims, 30 for the code.

# %%
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

# %% [markdown]
# ## The question
#
# *"What does it take to deploy a multimodal model, and why does deployment matter?"*
#
# Answer in the next cell as you would say it aloud, in 10 to 15 sentences. The answer is worth 4 points and is
# read by a person, one point for each of these:
#
# - *the artefact*: what exactly is shipped, how it is exported and made smaller, and what deploying alone does not do;
# - *serving*: how requests are batched and what that trades, for one forward pass and for generation, and what is
#   particular to a model of images and text;
# - *measuring*: which numbers about speed you report, under which conditions, and why not a mean;
# - *living with it*: how a new version goes live and comes back, what you watch, and what you protect against.

# %% [markdown] tags=["answer"]
# ### Model answer
#
# "Deployment is where a model begins to be useful, and where most of its running cost arises. By itself it makes
# nothing faster or cheaper: the same weights in the same code on the same hardware take as long as before.
#
# First I fix the **artefact**: weights together with tokenizer, image processor, normalisation, thresholds and label
# names under one version, so that the service cannot prepare its inputs differently from training. I export it
# (SavedModel, `torch.export`, ONNX), compile it, perhaps quantise it, and after each step compare outputs and quality
# with the original.
#
# For **serving** I use dynamic batching: a batch leaves when it is full or when its oldest request has waited long
# enough. That buys throughput with latency (Clipper, Crankshaw et al. 2017). In generation, sequences end at different
# steps, so that places are refilled after each step, continuous batching (Orca, Yu et al. 2022), and the key-value
# cache is kept in pages (vLLM, Kwon et al. 2023). A multimodal model has parts of different character: the vision
# encoder computes much at once, the language model decodes step by step. I let them scale separately, and I cache the
# embeddings of images that come again.
#
# I **report** p50, p95 and p99 of the latency at a stated load and batch setting, beside throughput and cost. A mean
# hides the slow requests that users remember, and near full utilisation queues grow much faster than the load.
#
# A new version runs in shadow, then as a canary with a small share of the traffic, and can be rolled back at once. I
# **monitor** drift of both modalities and a measure of quality, not only errors and latency: inputs that change, and
# the glue between components, are hidden debt (Sculley et al. 2015). Safety filters, authentication and rate limits
# belong to the service from the first day."
#
# ### Rubric, 4 points
#
# Half a point where an item is only partly there.
#
# - 1 point, the artefact: pre- and postprocessing versioned with the weights (training/serving skew); export with at
#   least one of compiling and quantising, compared afterwards; deploying alone lowers neither cost nor latency.
# - 1 point, serving: dynamic batching with its trade of latency for throughput; continuous batching or a paged cache
#   for generation; image embeddings cached, or vision encoder and language model scaled separately.
# - 1 point, measuring: percentiles such as p50, p95 and p99, at a stated load; why a mean misleads. Throughput, cost
#   and what happens near full utilisation are welcome.
# - 1 point, living with it: canary or shadow, and rollback; drift or quality monitored beside latency and errors; at
#   least one of safety filters, access control and rate limits.
#
# An answer that lists only advantages of deployment earns at most half a point.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; one of the wrong ones is often published. The point of the exercise is the reason
# you could give for each. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `moved_to_a_server` | The same model in the same code on an equal machine predicts faster once it is deployed. |
# | `lonely_requests` | 1 request a second, 20 ms a batch of up to 8: most finish later with `max_wait` 10 ms than 0. |
# | `fuller_batches` | `b` requests take 10 + b ms, the queue is never empty: throughput is higher with b = 8 than 1. |
# | `mean_bounds_p99` | If the mean latency is 50 ms, the 99th percentile is at most 500 ms. |
# | `mean_of_p99` | Over two servers with equally many requests, p99 is the mean of the two servers' p99. |
# | `hundred_calls` | If 1 % of calls are slow, independently, most pages that wait for 100 calls meet a slow one. |
# | `twice_the_load` | Poisson arrivals, one server, fixed service time: from 45 % to 90 % load the mean wait doubles. |
# | `stored_features` | A vision encoder sees only the image: its output can be reused for other questions about it. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "moved_to_a_server",
        "lonely_requests",
        "fuller_batches",
        "mean_bounds_p99",
        "mean_of_p99",
        "hundred_calls",
        "twice_the_load",
        "stored_features",
    ]
)
### BEGIN SOLUTION
claims.update(
    # Often published as an advantage of deployment. Batching, compiling, quantising or better hardware may do it.
    moved_to_a_server=False,
    # The server is idle and nobody else comes within 10 ms: almost every request takes 30 ms instead of 20 ms.
    lonely_requests=True,
    # 8 requests in 18 ms are 444 a second, 1 request in 11 ms is 91 a second: the fixed 10 ms are shared.
    fuller_batches=True,
    # 98 % at 10 ms and 2 % at 2010 ms have a mean of 50 ms and a p99 of 2010 ms.
    mean_bounds_p99=False,
    # One server always 10 ms, the other 1000 ms for 2 % of its requests and 10 ms else: 10 and 1000, together 10.
    mean_of_p99=False,
    # All 100 are fast with probability 0.99 to the power 100 = 0.37.
    hundred_calls=True,
    # The mean wait is proportional to load / (1 - load): 0.82 against 9, eleven times as long.
    twice_the_load=False,
    # The encoder's output depends on the image, its weights and the preprocessing; a new version empties the store.
    stored_features=True,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** a batch has one moment of departure, the first at which it is due *and* the server is free. Everything
# else (who is in it, when they finish, how long they took) follows from that moment.
#
# ### `simulate_batching(arrivals, max_batch, max_wait, service_time) -> dict`
#
# One server works on one batch at a time. Requests are served in the order of arrival.
#
# - `arrivals`: `(N,)` list or array of times, none earlier than the one before it (equal times are fine).
# - A batch is **due** as soon as `max_batch` requests wait, or the oldest waiting request has waited `max_wait` **since
#   it arrived**, whichever comes first. It leaves when it is due, but never before the server is free.
# - On leaving it takes all requests that wait at that moment, those that arrive **exactly** then included, up to
#   `max_batch`; the others stay.
# - `service_time(b)` gives the time that a batch of `b` requests (a whole number, at least 1) keeps the server busy.
#   All requests of a batch finish together, at departure plus this time, and at that moment the server is free again.
#
# At the end of the list the rules stay the same: the server does not know that nobody else will come. The dictionary
# holds NumPy arrays:
#
# | key | value |
# |---|---|
# | `finish` | `(N,)`, `float64`: when each request is finished |
# | `latency` | `(N,)`, `float64`: time from its arrival until it is finished |
# | `batch_sizes` | `(B,)`, `int64`: number of requests in each batch, in the order of departure |
#
# ### `percentile(latency, q) -> float`
#
# The nearest-rank percentile of `(N,)` latencies in any order: sort them; the result is the value at rank `r`, counted
# from 1, where `r` is the smallest whole number with `100 · r ≥ q · N`. It is one of the latencies, never a value
# between two of them.
#
# ### Rules
#
# - **No requests:** three empty arrays of shape `(0,)`, with the dtypes of the table.
# - **Bad input** raises `ValueError`: arrivals that go back in time, are not one-dimensional or contain NaN or
#   infinity; `max_batch` below 1; `max_wait` below 0, NaN or infinite; a `service_time(b)` that is 0, negative,
#   NaN or infinite; `percentile` of no latencies, or with `q` outside (0, 100] or NaN.
# - Arrivals may be integers; times are computed in `float64`. No argument is changed.
# - **Your choice:** `percentile` may return a Python number or a NumPy scalar; further keys in the dictionary are fine.
# - **Not allowed:** `np.percentile`, `np.quantile` and their `nan…` variants; PyTorch, TensorFlow, Keras.
#
# ### A worked example
#
# Milliseconds; `max_batch=3`, `max_wait=20`, and `b` requests take `20 + 5 b` together:
#
# | arrivals | due | server free | departure | size | finish | latency |
# |---|---|---|---|---|---|---|
# | 0, 10 | 20 (oldest has waited) | at once | 20 | 2 | 50 | 50, 40 |
# | 30, 35, 36 | 36 (full) | 50 | 50 | 3 | 85 | 55, 50, 49 |
# | 100 | 120 (oldest has waited) | 85 | 120 | 1 | 145 | 45 |
#
# Sorted, the latencies are 40, 45, 49, 50, 50, 55. p50 has rank 3 (100 · 3 ≥ 50 · 6) and is 49; p90 has rank 6 and is
# 55. The lonely last request spends 20 of its 45 ms waiting for nobody: that is the price of batching at low load.


# %% tags=["solution"]
def simulate_batching(
    arrivals: ArrayLike, max_batch: int, max_wait: float, service_time: Callable[[int], float]
) -> dict[str, np.ndarray]:
    """Finish times, latencies and batch sizes of one server that collects requests into batches.

    Args:
        arrivals: times of arrival, (N,), never decreasing.
        max_batch: the most requests in a batch, at least 1.
        max_wait: a batch is due at the latest when its oldest request has waited this long, at least 0.
        service_time: time that a batch of b requests takes, as a function of b; positive.

    Returns:
        A dict with `finish` (N,) float64, `latency` (N,) float64 and `batch_sizes` (B,) int64.

    Raises:
        ValueError: arrivals not one-dimensional, not finite or decreasing; max_batch < 1; max_wait negative or not
            finite; a service time that is not positive and finite.

    Source: Crankshaw et al. 2017 (batches with a limit on size and on waiting).
    """
    ### BEGIN SOLUTION
    times = np.asarray(arrivals, dtype=np.float64)  # (requests,)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError("arrivals must be a one-dimensional list of finite times that never go back")
    if max_batch < 1 or not 0 <= max_wait < np.inf:  # NaN fails the comparison
        raise ValueError(f"need max_batch >= 1 and a finite max_wait >= 0, got {max_batch} and {max_wait}")

    finish = np.empty_like(times)
    batch_sizes = []
    server_free, gone = -np.inf, 0
    for oldest in range(len(times)):
        if oldest < gone:  # left with an earlier batch
            continue
        # due = the arrival that fills the batch, or the moment the oldest has waited long enough
        filling = oldest + max_batch - 1
        full = times[filling] if filling < len(times) else np.inf
        departure = max(server_free, min(full, times[oldest] + max_wait))

        # everybody who is there by then, up to max_batch
        waiting = int((times <= departure).sum()) - oldest
        size = min(waiting, max_batch)

        duration = service_time(size)
        if not 0 < duration < np.inf:
            raise ValueError(f"service_time({size}) must be positive and finite, got {duration}")
        server_free = departure + duration
        finish[oldest : oldest + size] = server_free
        batch_sizes.append(size)
        gone = oldest + size
    return {
        "finish": finish,
        "latency": finish - times,
        "batch_sizes": np.array(batch_sizes, dtype=np.int64),
    }
    ### END SOLUTION


# %% tags=["solution"]
def percentile(latency: ArrayLike, q: float) -> float:
    """Nearest-rank percentile: the smallest latency that at least q percent of the requests do not exceed.

    Args:
        latency: latencies in any order, (N,), at least one.
        q: percentage, 0 < q <= 100.

    Returns:
        One of the latencies, one number.

    Raises:
        ValueError: no latencies, or q outside (0, 100].
    """
    ### BEGIN SOLUTION
    ordered = np.sort(np.asarray(latency, dtype=np.float64))  # a sorted copy, (requests,)
    if len(ordered) == 0 or not 0 < q <= 100:
        raise ValueError(f"need at least one latency and 0 < q <= 100, got {len(ordered)} latencies and q = {q}")
    rank = math.ceil(q * len(ordered) / 100)  # product first: 7 / 100 * 100 is a little more than 7
    return float(ordered[rank - 1])
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# arrivals = [0, 0.25, 0.75, 1, 1.25, 1.5, 4]
# served = simulate_batching(arrivals, max_batch=3, max_wait=0.5, service_time=lambda b: 0.5 + 0.25 * b)
# assert np.array_equal(served["batch_sizes"], [2, 3, 1, 1]), served["batch_sizes"]
# assert np.allclose(served["finish"], [1.5, 1.5, 2.75, 2.75, 2.75, 3.5, 5.25]), served["finish"]
# assert np.allclose(served["latency"], [1.5, 1.25, 2, 1.75, 1.5, 2, 1.25]), served["latency"]
#
# latency = [1.5, 1.25, 2, 1.75, 1.5, 2, 1.25]
# assert np.isclose(percentile(latency, 30), 1.5), percentile(latency, 30)
# assert np.isclose(percentile(latency, 75), 2), percentile(latency, 75)

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Take the requests that wait at some moment. Which three moments have to be compared before you know when their batch
# leaves? Which of them makes the batch *want* to leave, and which one can only hold it back?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Full or old: the earlier of the two makes a batch due. Due and free: the later of the two is the departure. While the
# server is busy, others may still arrive, so who is on board is decided at the departure and not before.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Go through the requests and keep two things: the first request that has not left yet, and when the server becomes
# free. Find when the batch of that request is due, then its departure, then count who has arrived by then, with the
# limit. Write one finish time for all of them and move on. The percentile sorts, computes a rank, and looks it up.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# waiting = np.count_nonzero(times <= departure) - gone  # all who have arrived, without those who have left
# ```
# </details>

# %% [markdown]
# ## References
#
# - Daniel Crankshaw, Xin Wang, Giulio Zhou, Michael J. Franklin, Joseph E. Gonzalez, Ion Stoica (2017). Clipper: A
#   Low-Latency Online Prediction Serving System.
# - Woosuk Kwon, Zhuohan Li, Siyuan Zhuang, et al. (2023). Efficient Memory Management for Large Language Model Serving
#   with PagedAttention.
# - D. Sculley, Gary Holt, Daniel Golovin, et al. (2015). Hidden Technical Debt in Machine Learning Systems.
# - Gyeong-In Yu, Joo Seong Jeong, Geon-Woo Kim, Soojeong Kim, Byung-Gon Chun (2022). Orca: A Distributed Serving System
#   for Transformer-Based Generative Models.
