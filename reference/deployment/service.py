# %% [markdown]
# # A service for the model
#
# Asked how a model is put into service, most people name a row of headings: make it smaller, put it behind an API,
# scale it, watch it, secure it. The next questions are what each of them changes, how one would notice that it went
# wrong, and what a client is told then. The last can be written down completely: for every request, however broken,
# there is exactly one right answer. Here you answer the interview question in your own words, judge eight claims about
# it, and write a web service around a model that keeps its promises.
#
# Plan about 60 minutes: 10 for the answer, 5 for the claims, 45 for the code.

# %%
import asyncio
import base64
import math
import numbers
import time
from collections.abc import Callable, Collection

import fastapi
import pydantic
from fastapi import FastAPI

# %% [markdown]
# ## The question
#
# *"What do you consider when you put a fine-tuned model into service?"*
#
# Answer in the next cell as you would say it aloud, in 12 to 18 sentences. The answer is worth 4 points and is read by
# a person, one point for each of these:
#
# 1. how the model is made smaller or faster, and how you check what that cost;
# 2. what the service promises to its clients;
# 3. how it grows and shrinks with the load, and how a new version goes live;
# 4. what you watch and what you protect against.

# %% [markdown] tags=["answer"]
# ### Model answer
#
# "First I make the **model** as small as the task allows. Pruning helps on ordinary hardware when whole neurons, heads
# or layers go, so that the matrices shrink; zeros behind a mask keep their place in memory and in the product.
# Distillation into a smaller network and fewer image tokens help as well. For weights I start with int8 or int4 and a
# scale for each channel or group. That is not the same as fixed point, where the position of the point is given
# beforehand: scales are calibrated to the numbers. Quantising activations too is harder, because a few channels hold
# outliers; SmoothQuant moves that difficulty into the weights (Xiao et al. 2023). After each such step I evaluate
# again, slice by slice, since an average hides what rare classes or languages lost.
#
# The **service** is a contract: a schema for requests, limits on their size, a time limit, one status for each kind of
# failure, and the version of the model in each answer. Bad requests are refused before they cost anything, a repeated
# request does not cost twice, the model's exceptions go to the log and never to the client, and a slow model does not
# stop the service from answering.
#
# **Scaling** needs a metric, bounds and patience: length of the queue or utilisation of the GPU, a least and a greatest
# number of replicas, scaling up at once and down only after a while, so that it does not flap. Loading weights can take
# minutes, so some replicas are kept warm. A new version first gets a small share of the traffic, a canary, is compared
# with the old one, and can be rolled back within minutes; weights, code and preprocessing share one version.
#
# I **watch** percentiles of latency, errors and cost, and also what such graphs cannot show: shift of the inputs, shift
# of the scores, and a proxy for quality, such as corrections by users or a small labelled sample. There are tests for
# shift (Rabanser et al. 2019) and checklists for production (Breck et al. 2017); retraining follows evidence rather
# than the calendar. For **security**: authentication and rate limits, personal data masked in logs, signed requests
# against tampering. These do not help against attacks by valid requests: copying a model through its answers (Tramèr
# et al. 2016), drawing training data out of it (Carlini et al. 2021), or instructions hidden in text or images that
# the model reads (Greshake et al. 2023). Against those I limit queries, return no more than is needed, keep the rights
# of the model small, and write an audit log."
#
# ### Rubric, 4 points
#
# Half a point where an item is only partly there.
#
# - 1 point, a smaller model: two of structured pruning (with the reason why a mask alone shrinks nothing),
#   distillation, token reduction, quantisation with scales and outliers; and a new evaluation by slices afterwards.
# - 1 point, the contract: at least three of schema, limits, time limit, error statuses without internals, model
#   version, idempotent repetition.
# - 1 point, scaling and rollout: a metric with bounds or a cool-down, slow loading or warm replicas; canary and
#   rollback.
# - 1 point, watching and protecting: drift or quality beside system metrics, and at least two of access and rate
#   limits, masking or audit, extraction of model or data, prompt injection.
#
# ### References of the model answer
#
# - Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley (2017). The ML Test Score: A Rubric for ML
#   Production Readiness and Technical Debt Reduction.
# - Nicholas Carlini, Florian Tramèr, Eric Wallace, et al. (2021). Extracting Training Data from Large Language Models.
# - Kai Greshake, Sahar Abdelnabi, Shailesh Mishra, Christoph Endres, Thorsten Holz, Mario Fritz (2023). Not What You've
#   Signed Up For: Compromising Real-World LLM-Integrated Applications with Indirect Prompt Injection.
# - Stephan Rabanser, Stephan Günnemann, Zachary C. Lipton (2019). Failing Loudly: An Empirical Study of Methods for
#   Detecting Dataset Shift.
# - Florian Tramèr, Fan Zhang, Ari Juels, Michael K. Reiter, Thomas Ristenpart (2016). Stealing Machine Learning Models
#   via Prediction APIs.
# - Guangxuan Xiao, Ji Lin, Mickaël Seznec, Hao Wu, Julien Demouth, Song Han (2023). SmoothQuant: Accurate and Efficient
#   Post-Training Quantization for Large Language Models.

# %% [markdown]
# ## Eight claims
#
# Set each claim to `True` or `False`; some of the wrong ones are often published. The point of the exercise is the
# reason you could give for each. All of them must be right for the 3 points, so guessing earns nothing.
#
# | id | claim |
# |---|---|
# | `zeros_in_place` | Setting half of the weights of a dense tensor to zero with a mask halves the memory it takes. |
# | `weight_only` | Weight-only int8 quantisation makes the activations smaller by the same factor as the weights. |
# | `hidden_loss` | A quantised model with the same overall accuracy as before can be worse on a rare class. |
# | `six_replicas` | By replicas = ceil(current · load / target load), 3 at 90 % load with a target of 50 % become 6. |
# | `green_dashboard` | Constant latency and error rate show that the inputs still look like the training data. |
# | `signed_injection` | Checking a signature on every request keeps out instructions hidden in the images sent. |
# | `copied_by_queries` | A model can be imitated closely by somebody who only sends requests and reads the answers. |
# | `limit_after_decoding` | Comparing the decoded image with a size limit bounds the memory a request body can take. |

# %% tags=["claims"]
claims = dict.fromkeys(  # None = no answer; set each to True or False
    [
        "zeros_in_place",
        "weight_only",
        "hidden_loss",
        "six_replicas",
        "green_dashboard",
        "signed_injection",
        "copied_by_queries",
        "limit_after_decoding",
    ]
)
### BEGIN SOLUTION
claims.update(
    # A dense tensor stores its zeros like any other number, and the mask comes on top. Whole rows have to go.
    zeros_in_place=False,
    # Only the weights are stored in 8 bits; activations keep their floating-point format.
    weight_only=False,
    # A few lost samples of a rare class can be made up for by a frequent one: evaluate slice by slice.
    hidden_loss=True,
    # 3 · 0.9 / 0.5 = 5.4, and a fraction of a replica is rounded up.
    six_replicas=True,
    # Both are measured without looking at the inputs. Shift needs a test of its own (Rabanser et al. 2019).
    green_dashboard=False,
    # The signature proves who sent the bytes and that nobody changed them, not what the bytes say to the model.
    signed_injection=False,
    # Tramèr et al. (2016) did that with services in use, for several kinds of models.
    copied_by_queries=True,
    # By then the whole body has been read and decoded. The limit on the body has to act while it is being received.
    limit_after_decoding=False,
)
### END SOLUTION

# %% [markdown]
# ## The code
#
# **One idea:** a service is a contract. Each request gets exactly one status, bad ones are refused before the model is
# called, and whatever happens inside, the client learns that it failed but not how.
#
# Write `create_app`, which puts a model behind `POST /predict`. The model is a function `predict(text, image)` from a
# `str` and `bytes` to a pair `(label, score)`, a `str` and a number. It is called with these two by position. It is
# slow (it **blocks** the thread that calls it), it may fail, and it must not be entered a second time before it has
# returned.
#
# The body of a request is a JSON object with exactly four fields, all of them strings:
#
# | field | meaning |
# |---|---|
# | `id` | chosen by the client, any string; a client that got no answer sends the same request again |
# | `text` | the question about the image |
# | `image` | the image in strict base64, with padding: `base64.b64decode(image, validate=True)` decodes it |
# | `image_type` | the image's media type, such as `image/png` |
#
# ### The contract
#
# The **first** rule that applies decides. Rules 1 to 5 refuse a request, and a refused request never reaches `predict`.
#
# 1. **415**: the `Content-Type` of the request is missing or not `application/json` (`; charset=utf-8` may follow it).
# 2. **400**: the body is not such an object: not UTF-8, not JSON, another kind of value, a field missing or one too
#    many, a value that is not a string, base64 that is not strict.
# 3. **413**: `text` has more than `max_text_chars` characters (`len` of it, as it was sent), or the decoded image more
#    than `max_image_bytes` bytes.
# 4. **415**: `image_type` is not in `allowed_types`.
# 5. **422**: `text.strip()` is empty, or the image has no bytes.
# 6. **200**: this `id` has been answered with 200 before. The same answer again, without a call of `predict`, whatever
#    else the request says.
# 7. **503**: `predict` raises an exception, or takes longer than `timeout_s`, or returns anything but a pair of a `str`
#    and a finite number.
# 8. **200**: otherwise.
#
# - **The answer** with 200 is a JSON object with the keys `id`, `label`, `score` and `model_version`, and no others.
#   Label and score are the model's; the score, a number of Python or NumPy, becomes a JSON number. `predict` gets the
#   text as it was sent, spaces included, and the decoded bytes.
# - **Errors** are JSON objects too, so the `Content-Type` of every answer is `application/json`; their keys and wording
#   are yours. They contain nothing of the exception, neither its message nor its class nor a trace of the code, and
#   nothing of the `text` or `image` that was sent.
# - **No other status** ever comes from `POST /predict`, least of all 500. A body nested a hundred thousand levels deep
#   is a case of rule 2. So is a string with half a character: JSON's `"\ud83d"` cannot be encoded in UTF-8.
# - **Time** is what `clock()` says, in seconds: it is read right before and right after the call of `predict`. Exactly
#   `timeout_s` is still in time. Nothing has to be interrupted: an answer that comes too late is thrown away.
# - **Failures are not remembered**: after a 503 the same `id` leads to a new call of `predict`.
# - **Several requests at once**: one call of `predict` at a time, the others wait. Two requests with the same new `id`
#   cost one call, if that succeeds, and get the same answer. Requests that are refused are answered *while* `predict`
#   is at work: the event loop must go on.
# - Every application that `create_app` makes has a memory of its own.
# - The arguments of `create_app` are right and need no checks. Nothing is forbidden: use FastAPI, Starlette, pydantic,
#   AnyIO and the standard library as you like.
#
# A real service also writes the model's exceptions into a log; that is not asked for here.
#
# ### A worked example
#
# The model always finds `("cat", 0.875)`; version `pets-7`, at most 20 characters and 1000 bytes, PNG only. The body
# `{"id": "q1", "text": "Which animal?", "image": "iVBORw==", "image_type": "image/png"}` is answered with 200 and
# `{"id": "q1", "label": "cat", "score": 0.875, "model_version": "pets-7"}`. With `"id": 1` it is 400, and `predict` is
# not called. With `"image_type": "image/gif"` and a text of 21 spaces, rules 3, 4 and 5 all apply: it is 413.


# %% tags=["solution"]
def create_app(
    predict: Callable[[str, bytes], tuple[str, float]],
    *,
    model_version: str,
    max_text_chars: int,
    max_image_bytes: int,
    allowed_types: Collection[str],
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """A web service that answers `POST /predict` with what the model says, or with one of the contract's errors.

    Args:
        predict: from text and decoded image to (label, score); blocks, may raise, must run once at a time.
        model_version: given in every answer with status 200.
        max_text_chars: most characters of a text.
        max_image_bytes: most bytes of a decoded image.
        allowed_types: media types of images that are accepted.
        timeout_s: most seconds, by `clock`, that a call of `predict` may take.
        clock: from nothing to seconds.

    Returns:
        The application, with a memory of its own for answered ids.

    Source: the contract above; why such promises are tested, Breck et al. 2017.
    """

    ### BEGIN SOLUTION
    class Request(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        id: str
        text: str
        image: str
        image_type: str

    app = FastAPI()
    answers: dict[str, dict] = {}  # id -> body of its answer with status 200
    model_is_free = asyncio.Lock()

    def call_model(text: str, image: bytes) -> tuple[str, float] | None:
        """What the model says, or None when it fails in any way."""
        started = clock()
        try:
            label, score = predict(text, image)
            in_time = clock() - started <= timeout_s
            if in_time and isinstance(label, str) and isinstance(score, numbers.Real) and math.isfinite(score):
                return label, float(score)  # JSON knows no NumPy
        except Exception:
            pass  # a real service writes it into its log
        return None

    @app.post("/predict")
    async def answer(http: fastapi.Request) -> fastapi.responses.JSONResponse:
        if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise fastapi.HTTPException(415, "the body must be application/json")
        try:
            request = Request.model_validate_json(await http.body())
            image = base64.b64decode(request.image, validate=True)
        except ValueError:  # pydantic's and base64's errors are ValueErrors, and repeat what was sent
            raise fastapi.HTTPException(400, "the body is not a request as documented") from None
        if len(request.text) > max_text_chars or len(image) > max_image_bytes:
            raise fastapi.HTTPException(413, "text or image too large")
        if request.image_type not in allowed_types:
            raise fastapi.HTTPException(415, "type of image not supported")
        if not request.text.strip() or not image:
            raise fastapi.HTTPException(422, "text or image is empty")

        # whoever waited looks again: another request of the same id may have been answered meanwhile
        async with model_is_free:
            if request.id not in answers:
                # the model blocks its thread, so it gets one other than the event loop's
                result = await asyncio.to_thread(call_model, request.text, image)
                if result is None:
                    raise fastapi.HTTPException(503, "the model failed; try again")
                label, score = result
                answers[request.id] = dict(id=request.id, label=label, score=score, model_version=model_version)
        return fastapi.responses.JSONResponse(answers[request.id])

    return app
    ### END SOLUTION


# %% tags=["visible-checks", "active-ipynb"]
# from fastapi.testclient import TestClient
#
# calls = []
#
#
# def predict(text, image):
#     calls.append((text, image))
#     if len(calls) == 1:
#         raise RuntimeError("weights at /srv/models/3 are gone")
#     return "scratch", 0.625
#
#
# limits = dict(max_text_chars=16, max_image_bytes=9, allowed_types=["image/png"], timeout_s=60.0)
# app = create_app(predict, model_version="glass-3", **limits)
# image = base64.b64encode(b"\x89PNG\r\n").decode()
# request = {"id": "r7", "text": " Anything wrong?", "image": image, "image_type": "image/png"}
# with TestClient(app) as client:
#     for change, status in (({"id": 7}, 400), ({"text": "x" * 17}, 413), ({"text": "   "}, 422), ({"extra": ""}, 400)):
#         response = client.post("/predict", json=request | change)
#         assert response.status_code == status and not calls, (change, response.status_code, calls)
#     response = client.post("/predict", json=request)
#     assert response.status_code == 503 and "gone" not in response.text, (response.status_code, response.text)
#     expected = {"id": "r7", "label": "scratch", "score": 0.625, "model_version": "glass-3"}
#     for text in (" Anything wrong?", "Anything else?"):  # the second answer comes from memory
#         response = client.post("/predict", json=request | {"text": text})
#         assert (response.status_code, response.json()) == (200, expected), (response.status_code, response.text)
# assert calls == [(" Anything wrong?", b"\x89PNG\r\n")] * 2, calls

# %% [markdown]
# The same application runs on a port as well: put your `predict` and `create_app` into a file `app.py` with
# `app = create_app(predict, …)` at its end, and `uvicorn app:app` serves it. The checker talks real HTTP/1.1 to your
# application, without a network; cells of your own that start a `TestClient` are stepped over there.
#
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Send a request that breaks two rules at once. Does your code answer by the earlier one? And if two requests with the
# same new id come at the same moment, what does the second one know when it has to decide whether to call the model?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# Whatever FastAPI checks by itself comes with statuses and texts of its own: 422 for a body that does not fit, with the
# input repeated. Either you read the body yourself, or you say what becomes of such an error; and Python's reader of
# JSON, which FastAPI uses, lets half a character pass. As to time: in an `async def` endpoint all code up to the next
# `await` holds up every other request, while a plain `def` endpoint runs in a thread of its own, beside others.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Media type, parse and decode, sizes, type, emptiness: each an early end with its status. Then a lock that only the
# model's callers wait for; inside it look into the memory *first*, and if there is nothing, call the model in a thread,
# judge time, label and score, and remember the answer only if all is well. One `try` around everything of the model's.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# ```python
# result = await asyncio.to_thread(blocking_function, argument)  # the event loop goes on meanwhile
# ```
# </details>

# %% [markdown]
# ## References
#
# - Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley (2017). The ML Test Score: A Rubric for ML
#   Production Readiness and Technical Debt Reduction.
