"""Wrong answers and differently written correct solutions of deployment/service."""

from grader.catalogue import Alternative, WrongAnswer

CLAIMS = "test_claims"
GOOD = "test_a_good_request_is_answered"
NO_REQUEST = "test_what_is_no_request_is_refused"
LIMITS = "test_limits_types_and_emptiness"
FAILING = "test_a_failing_model_is_a_503"
REPEATED = "test_repeated_ids"
AT_ONCE = "test_several_at_once"

# The statements of the reference that several entries replace.
SIZES = """        if len(request.text) > max_text_chars or len(image) > max_image_bytes:
            raise fastapi.HTTPException(413, "text or image too large")
"""
TYPE = """        if request.image_type not in allowed_types:
            raise fastapi.HTTPException(415, "type of image not supported")
"""
EMPTY = """        if not request.text.strip() or not image:
            raise fastapi.HTTPException(422, "text or image is empty")
"""
GIVE_UP = """        except Exception:
            pass  # a real service writes it into its log
        return None
"""
FAILED = """                if result is None:
                    raise fastapi.HTTPException(503, "the model failed; try again")
"""
UNDER_THE_LOCK = "        async with model_is_free:\n"
REMEMBER = "answers[request.id] = dict("
GIVE = "return fastapi.responses.JSONResponse(answers[request.id])"
GOOD_ENOUGH = "if in_time and isinstance(label, str) and isinstance(score, numbers.Real) and math.isfinite(score):"

wrong_answers = [
    # ----------------------------------------------------------------------------------- the published answers
    WrongAnswer(
        id="claims-as-published",
        title="the claims as the published answers have them",
        explanation=(
            "Some claims follow headings that are in print without their conditions. Count the bytes of a tensor half "
            "of which is zero, ask which numbers are stored in 8 bits, and think of what a graph of latency never sees."
        ),
        caught_by=CLAIMS,
        swap=(
            ("zeros_in_place=False", "zeros_in_place=True"),
            ("weight_only=False", "weight_only=True"),
            ("green_dashboard=False", "green_dashboard=True"),
        ),
    ),
    WrongAnswer(
        id="security-misjudged",
        title="the claims with security taken for a matter of access alone",
        explanation=(
            "Whoever may send requests is taken for harmless, and what they send as well. Think of a picture with text "
            "in it, sent by a customer in good standing, and of somebody who trains a model on a million answers."
        ),
        caught_by=CLAIMS,
        swap=(
            ("signed_injection=False", "signed_injection=True"),
            ("copied_by_queries=True", "copied_by_queries=False"),
        ),
    ),
    # ------------------------------------------------------------------------------------------ a good request
    WrongAnswer(
        id="image-left-in-base64",
        title="the image handed to the model as base64 text in bytes",
        explanation=(
            "The model gets the letters of the base64 text, not the image that they stand for. JSON has no bytes, so "
            "the client encoded them; who decodes?"
        ),
        caught_by=GOOD,
        swap=(("call_model, request.text, image)", "call_model, request.text, request.image.encode())"),),
    ),
    WrongAnswer(
        id="text-stripped-for-the-model",
        title="the text stripped before it goes to the model",
        explanation=(
            "Spaces at the ends are cut off for the model too. Stripping tells whether there is anything to read; what "
            "the model gets is the text as it was sent."
        ),
        caught_by=GOOD,
        swap=(("call_model, request.text, image)", "call_model, request.text.strip(), image)"),),
    ),
    WrongAnswer(
        id="numpy-score-in-json",
        title="a NumPy score put into the answer as it is",
        explanation=(
            "Python's own floats become JSON, NumPy's float32 does not, and the service fails after the model has done "
            "its work. numpy.float64 hides this, because it is a Python float as well. What turns any of them into a "
            "Python float?"
        ),
        caught_by=GOOD,
        swap=(("return label, float(score)", "return label, score"),),
    ),
    WrongAnswer(
        id="charset-refused",
        title="application/json refused when a charset follows",
        explanation=(
            "The Content-Type is compared as a whole, so a client that adds `; charset=utf-8` is turned away. The media "
            "type ends at the semicolon."
        ),
        caught_by=GOOD,
        swap=(
            ('http.headers.get("content-type", "").partition(";")[0].strip()', 'http.headers.get("content-type", "")'),
        ),
    ),
    WrongAnswer(
        id="id-dropped",
        title="an answer without the id",
        explanation=(
            "The answer lacks the id, with which a client that has several requests under way finds the one it belongs "
            "to. Compare the keys of your answer with those that are promised."
        ),
        caught_by=GOOD,
        swap=(("dict(id=request.id, label=label", "dict(label=label"),),
    ),
    # -------------------------------------------------------------------------------------------- no request
    WrongAnswer(
        id="frameworks-own-422",
        title="422 where the body does not have the promised form",
        explanation=(
            "A body that is no such object gets 422, which is FastAPI's own choice for it. This contract says 400, and "
            "keeps 422 for requests that are well-formed and empty. A handler for the framework's error, or reading the "
            "body yourself, gives you the say."
        ),
        caught_by=NO_REQUEST,
        swap=(("raise fastapi.HTTPException(400,", "raise fastapi.HTTPException(422,"),),
    ),
    WrongAnswer(
        id="input-repeated",
        title="the error of the validation sent to the client",
        explanation=(
            "The text of the validation's error goes into the answer. It quotes what was sent, and so may carry private "
            "text into places where errors are collected. Say what is wrong in words of your own."
        ),
        caught_by=NO_REQUEST,
        swap=(
            (
                "        except ValueError:  # pydantic's and base64's errors are ValueErrors, and repeat what was sent\n"
                '            raise fastapi.HTTPException(400, "the body is not a request as documented") from None\n',
                "        except ValueError as error:\n"
                '            sent = (await http.body()).decode("utf-8", "replace")\n'
                '            raise fastapi.HTTPException(400, f"{sent}: {error}") from None\n',
            ),
        ),
    ),
    WrongAnswer(
        id="unknown-fields-accepted",
        title="fields that are not in the contract ignored",
        explanation=(
            "A body with a fifth field is accepted. A client with a typo, or with a field for another version of the "
            "service, then never learns that it has no effect. The object has exactly four fields."
        ),
        caught_by=NO_REQUEST,
        swap=(('pydantic.ConfigDict(extra="forbid")', 'pydantic.ConfigDict(extra="ignore")'),),
    ),
    WrongAnswer(
        id="numbers-turned-into-strings",
        title="numbers turned into strings instead of refused",
        explanation=(
            "A number where a string is promised is converted and accepted, so 7 and the string of 7 become one id. What "
            "is of the wrong type is malformed; repairing it hides the client's mistake."
        ),
        caught_by=NO_REQUEST,
        swap=(
            ('pydantic.ConfigDict(extra="forbid")', 'pydantic.ConfigDict(extra="forbid", coerce_numbers_to_str=True)'),
        ),
    ),
    WrongAnswer(
        id="lenient-base64",
        title="characters that are not base64 skipped in silence",
        explanation=(
            "By default, Python's decoder skips every character outside of the alphabet, so a damaged image arrives at "
            "the model as other bytes. The decoder has a stricter mode."
        ),
        caught_by=NO_REQUEST,
        swap=(("base64.b64decode(request.image, validate=True)", "base64.b64decode(request.image)"),),
    ),
    WrongAnswer(
        id="content-type-ignored",
        title="the Content-Type of the request not looked at",
        explanation=(
            "Whatever the client declares, the body is read as JSON. A request without the right Content-Type has its "
            "own status, and it comes before the body is looked at."
        ),
        caught_by=NO_REQUEST,
        swap=(
            (
                '        if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":\n'
                '            raise fastapi.HTTPException(415, "the body must be application/json")\n',
                "",
            ),
        ),
    ),
    WrongAnswer(
        id="broken-text-is-a-crash",
        title="a crash for text that cannot be encoded, or for JSON nested very deep",
        explanation=(
            "Python's json reads half a character without complaint, and the id with it fails only when the answer is "
            "encoded; and very deep nesting raises something that is no ValueError. A body can break in more ways than "
            "by wrong syntax, and none of them may end in a 500."
        ),
        caught_by=NO_REQUEST,
        swap=(
            (
                "            request = Request.model_validate_json(await http.body())\n",
                "            import json\n\n"
                "            fields = json.loads(await http.body())\n"
                "            if not isinstance(fields, dict) or set(fields) != {*Request.model_fields}:\n"
                "                raise ValueError\n"
                "            if not all(isinstance(value, str) for value in fields.values()):\n"
                "                raise ValueError\n"
                "            request = Request.model_construct(**fields)\n",
            ),
        ),
    ),
    # --------------------------------------------------------------------------------------- sizes and types
    WrongAnswer(
        id="text-measured-in-bytes",
        title="the length of the text measured in bytes",
        explanation=(
            "The limit is compared with the bytes of the encoded text. A Chinese text is then allowed a third of the "
            "length of an English one. The promise is about characters, and Python's strings count those."
        ),
        caught_by=LIMITS,
        swap=(("len(request.text) > max_text_chars", "len(request.text.encode()) > max_text_chars"),),
    ),
    WrongAnswer(
        id="text-measured-after-stripping",
        title="the length of the text measured after its spaces are cut off",
        explanation=(
            "The limit is compared with the stripped text, so spaces at the ends cost nothing. The promise is about the "
            "text as it was sent, which is also what the model gets."
        ),
        caught_by=LIMITS,
        swap=(("len(request.text) > max_text_chars", "len(request.text.strip()) > max_text_chars"),),
    ),
    WrongAnswer(
        id="base64-measured",
        title="the size of the image measured before it is decoded",
        explanation=(
            "The limit is compared with the length of the base64 text, which takes four characters for three bytes, so "
            "images are refused from three quarters of the limit on."
        ),
        caught_by=LIMITS,
        swap=(("len(image) > max_image_bytes", "len(request.image) > max_image_bytes"),),
    ),
    WrongAnswer(
        id="limits-exclusive",
        title="a text or an image exactly at its limit refused",
        explanation=(
            "What is exactly as long as the most that is allowed gets 413. Only what has *more* than that is too large."
        ),
        caught_by=LIMITS,
        swap=(
            (
                "len(request.text) > max_text_chars or len(image) > max_image_bytes",
                "len(request.text) >= max_text_chars or len(image) >= max_image_bytes",
            ),
        ),
    ),
    WrongAnswer(
        id="type-before-size",
        title="the type of the image judged before the sizes",
        explanation=(
            "A request that is both too large and of the wrong type gets 415. Where several rules apply, the earlier "
            "one decides."
        ),
        caught_by=LIMITS,
        swap=((SIZES + TYPE, TYPE + SIZES),),
    ),
    WrongAnswer(
        id="emptiness-before-size",
        title="emptiness judged before the sizes",
        explanation=(
            "A blank text that is too long gets 422. Where several rules apply, the earlier one decides, and it comes "
            "before stripping."
        ),
        caught_by=LIMITS,
        swap=((SIZES + TYPE + EMPTY, EMPTY + SIZES + TYPE),),
    ),
    WrongAnswer(
        id="emptiness-before-type",
        title="emptiness judged before the type of the image",
        explanation=(
            "An empty request of the wrong type gets 422. Where several rules apply, the earlier one decides."
        ),
        caught_by=LIMITS,
        swap=((TYPE + EMPTY, EMPTY + TYPE),),
    ),
    WrongAnswer(
        id="blank-text-accepted",
        title="a text of nothing but spaces accepted",
        explanation=(
            "Only the text of length 0 is taken for empty. One that consists of spaces and line breaks asks the model "
            "nothing either."
        ),
        caught_by=LIMITS,
        swap=(("if not request.text.strip() or not image:", "if not request.text or not image:"),),
    ),
    WrongAnswer(
        id="empty-image-accepted",
        title="an image of no bytes accepted",
        explanation=(
            "The text must not be empty, but the image may be. The empty string is good base64, for no bytes at all; "
            "which rule speaks of them?"
        ),
        caught_by=LIMITS,
        swap=(("if not request.text.strip() or not image:", "if not request.text.strip():"),),
    ),
    WrongAnswer(
        id="everything-is-400",
        title="400 for every request that is refused",
        explanation=(
            "Whatever is wrong with a request, it gets 400. A client can then not tell a picture that it has to shrink "
            "from one that it has to convert."
        ),
        caught_by=LIMITS,
        swap=(
            ("raise fastapi.HTTPException(413,", "raise fastapi.HTTPException(400,"),
            ('raise fastapi.HTTPException(415, "type', 'raise fastapi.HTTPException(400, "type'),
            ("raise fastapi.HTTPException(422,", "raise fastapi.HTTPException(400,"),
        ),
    ),
    # --------------------------------------------------------------------------------------- the model fails
    WrongAnswer(
        id="exceptions-escape",
        title="exceptions of the model that nobody catches",
        explanation=(
            "What the model raises leaves the endpoint, and the client gets the framework's 500. A model that fails is "
            "to be expected, so it has a status of its own."
        ),
        caught_by=FAILING,
        swap=((GIVE_UP, "        except ZeroDivisionError:\n            pass\n        return None\n"),),
    ),
    WrongAnswer(
        id="only-some-exceptions",
        title="only some kinds of exceptions caught",
        explanation=(
            "The kinds of errors that came to mind are caught, the others become a 500. What libraries raise when "
            "memory runs out, or a device is lost, is hard to list."
        ),
        caught_by=FAILING,
        swap=(
            (GIVE_UP, "        except (RuntimeError, ValueError, TypeError):\n            pass\n        return None\n"),
        ),
    ),
    WrongAnswer(
        id="ok-with-an-error-field",
        title="status 200 with an error inside",
        explanation=(
            "When the model fails, the answer is 200 and holds an error. Clients, caches and monitors look at the "
            "status: for all of them the request went well."
        ),
        caught_by=FAILING,
        swap=(
            (FAILED, '                if result is None:\n                    return {"error": "the model failed"}\n'),
            (") -> fastapi.responses.JSONResponse:", "):"),
        ),
    ),
    WrongAnswer(
        id="message-leaked",
        title="the message of the exception sent to the client",
        explanation=(
            "What the exception says goes into the answer: paths, keys, parts of other people's data. It belongs into "
            "the log; the client needs to know that it failed, not how."
        ),
        caught_by=FAILING,
        swap=(
            (GIVE_UP, "        except Exception as error:\n            return str(error)\n        return None\n"),
            (
                FAILED,
                "                if not isinstance(result, tuple):\n"
                '                    raise fastapi.HTTPException(503, result or "no answer")\n',
            ),
        ),
    ),
    WrongAnswer(
        id="class-leaked",
        title="a trace of the code, or the class of the exception, sent to the client",
        explanation=(
            "The answer tells which exception was raised and where. That helps whoever attacks the service more than "
            "anybody who uses it; put it into the log."
        ),
        caught_by=FAILING,
        swap=(
            (
                GIVE_UP,
                "        except Exception:\n            import traceback\n\n"
                "            return traceback.format_exc(limit=-1)\n        return None\n",
            ),
            (
                FAILED,
                "                if not isinstance(result, tuple):\n"
                '                    raise fastapi.HTTPException(503, (result or "no answer").split("Error:")[0])\n',
            ),
        ),
    ),
    WrongAnswer(
        id="nan-in-json",
        title="a score that is not finite written into the answer",
        explanation=(
            "Python's json writes NaN and Infinity, which are not JSON: the client's parser fails on an answer with "
            "status 200. A score that is no number means that the model has failed."
        ),
        caught_by=FAILING,
        swap=(
            (GOOD_ENOUGH, "if in_time and isinstance(label, str) and isinstance(score, numbers.Real):"),
            (
                GIVE,
                "import json\n\n"
                "        body = json.dumps(answers[request.id])\n"
                '        return fastapi.responses.Response(body, media_type="application/json")',
            ),
            (") -> fastapi.responses.JSONResponse:", "):"),
        ),
    ),
    WrongAnswer(
        id="nan-becomes-null",
        title="null, or some number, in place of a score that is not finite",
        explanation=(
            "A score that is NaN or infinite is replaced by something that JSON can hold, and sent with status 200. The "
            "client cannot tell it from a real answer. What does such a score say about the call of the model?"
        ),
        caught_by=FAILING,
        swap=(
            (GOOD_ENOUGH, "if in_time and isinstance(label, str) and isinstance(score, numbers.Real):"),
            ("return label, float(score)", "return label, float(score) if math.isfinite(score) else None"),
        ),
    ),
    WrongAnswer(
        id="late-answer-given",
        title="an answer given however long the model took",
        explanation=(
            "The time that the call took is not compared with the limit, so an answer that comes too late is sent as if "
            "it were in time."
        ),
        caught_by=FAILING,
        swap=(("in_time = clock() - started <= timeout_s", "in_time = clock() - started <= math.inf"),),
    ),
    WrongAnswer(
        id="late-at-the-limit",
        title="a call that takes exactly as long as allowed taken for too late",
        explanation="A call of exactly `timeout_s` seconds gets 503. Only one that takes longer is too late.",
        caught_by=FAILING,
        swap=(("in_time = clock() - started <= timeout_s", "in_time = clock() - started < timeout_s"),),
    ),
    WrongAnswer(
        id="wall-clock",
        title="time taken from the computer instead of from `clock`",
        explanation=(
            "The argument `clock` is not used: the time comes from the computer's own clock. A test cannot wait for "
            "minutes, so it brings a clock that it can turn."
        ),
        caught_by=FAILING,
        swap=(
            ("        started = clock()\n", "        started = time.monotonic()\n"),
            ("in_time = clock() - started", "in_time = time.monotonic() - started"),
        ),
    ),
    WrongAnswer(
        id="late-answers-remembered",
        title="an answer that came too late remembered for the next request",
        explanation=(
            "An answer that comes too late is refused, but kept, and the same id gets it the next time. The contract "
            "remembers answers with status 200 only."
        ),
        caught_by=FAILING,
        swap=(
            (
                GOOD_ENOUGH,
                "if isinstance(label, str) and isinstance(score, numbers.Real) and math.isfinite(score):\n"
                "                if not in_time:\n"
                "                    return label, float(score), None",
            ),
            (
                "                label, score = result\n",
                "                label, score, *late = result\n",
            ),
            (
                "label=label, score=score, model_version=model_version)\n",
                "label=label, score=score, model_version=model_version)\n"
                "                if late:\n"
                '                    raise fastapi.HTTPException(503, "the model was too slow")\n',
            ),
        ),
    ),
    WrongAnswer(
        id="malformed-answer-is-a-crash",
        title="a crash when the model answers something else than a pair",
        explanation=(
            "Only the call itself is guarded. When the model returns None, or one value, taking the answer apart fails "
            "outside of the guard, with a 500."
        ),
        caught_by=FAILING,
        swap=(
            (
                "            label, score = predict(text, image)\n            in_time",
                "            found = predict(text, image)\n        except Exception:\n            return None\n"
                "        label, score = found\n        try:\n            in_time",
            ),
        ),
    ),
    WrongAnswer(
        id="label-unchecked",
        title="a label that is not a string passed on",
        explanation=(
            "The score is looked at, the label is not: None or a number goes to the client as the label. Of what kind "
            "are the two values that the model promises?"
        ),
        caught_by=FAILING,
        swap=((GOOD_ENOUGH, "if in_time and isinstance(score, numbers.Real) and math.isfinite(score):"),),
    ),
    # ------------------------------------------------------------------------------------------ repeated ids
    WrongAnswer(
        id="nothing-remembered",
        title="every request answered by the model anew",
        explanation=(
            "A client that lost the answer sends its request again, and the model works twice for it, perhaps with "
            "another result. What identifies a request that was sent before?"
        ),
        caught_by=REPEATED,
        swap=(("            if request.id not in answers:\n", "            if True:\n"),),
    ),
    WrongAnswer(
        id="failures-remembered",
        title="a failure remembered like an answer",
        explanation=(
            "After the model has failed once, the id gets the failure again, without a new call. Sending the request "
            "again is what a client does after a 503: it must be able to succeed."
        ),
        caught_by=REPEATED,
        swap=(
            (FAILED + "                label, score = result\n", ""),
            (
                "answers[request.id] = dict(id=request.id, label=label, score=score, model_version=model_version)\n",
                "answers[request.id] = result and dict(\n"
                "                    id=request.id, label=result[0], score=result[1], model_version=model_version\n"
                "                )\n"
                "            if answers[request.id] is None:\n"
                '                raise fastapi.HTTPException(503, "the model failed")\n',
            ),
        ),
    ),
    WrongAnswer(
        id="remembered-by-content",
        title="answers remembered by text and image instead of by id",
        explanation=(
            "Two requests with the same content share an answer although their ids differ, and one id with other "
            "content calls the model again. The client says with the id what is the same request."
        ),
        caught_by=REPEATED,
        swap=(
            ("            if request.id not in answers:\n", "            if (request.text, image) not in answers:\n"),
            (REMEMBER, "answers[request.text, image] = dict("),
            (GIVE, "return fastapi.responses.JSONResponse(answers[request.text, image])"),
        ),
    ),
    WrongAnswer(
        id="memory-before-the-checks",
        title="the memory asked before the request is checked",
        explanation=(
            "A request that breaks a rule gets the remembered answer when its id is known. The rule about known ids "
            "comes after those that refuse a request."
        ),
        caught_by=REPEATED,
        swap=(
            (
                SIZES,
                "        if request.id in answers:\n            return fastapi.responses.JSONResponse(answers[request.id])\n"
                + SIZES,
            ),
        ),
    ),
    WrongAnswer(
        id="memory-shared-by-all-apps",
        title="one memory for all applications",
        explanation=(
            "The remembered answers live outside of `create_app`, so a new application, perhaps of another version of "
            "the model, gives the old one's answers."
        ),
        caught_by=REPEATED,
        swap=(
            ("    answers: dict[str, dict] = {}  # id -> body of its answer with status 200\n", ""),
            ('# %% tags=["solution"]\ndef create_app(', "answers = {}\n\n\ndef create_app("),
        ),
    ),
    WrongAnswer(
        id="only-the-last-remembered",
        title="only the last answer remembered",
        explanation=(
            "Each new answer takes the place of the one before, so an id is forgotten as soon as another request has "
            "been answered."
        ),
        caught_by=REPEATED,
        swap=((REMEMBER, "answers.clear()\n                " + REMEMBER),),
    ),
    # ------------------------------------------------------------------------------------------ several at once
    WrongAnswer(
        id="event-loop-blocked",
        title="the model called in the event loop",
        explanation=(
            "The model blocks the thread that calls it, and in an `async def` endpoint that is the thread of the event "
            "loop: until the model returns, nobody gets an answer, not even a refusal or a sign of life."
        ),
        caught_by=AT_ONCE,
        swap=(("await asyncio.to_thread(call_model, request.text, image)", "call_model(request.text, image)"),),
    ),
    WrongAnswer(
        id="model-entered-twice",
        title="the model called by several requests at the same time",
        explanation=(
            "Each request calls the model in a thread of its own, so several are inside at once: on a graphics card, "
            "several times the memory. What makes the second one wait?"
        ),
        caught_by=AT_ONCE,
        swap=((UNDER_THE_LOCK, "        if True:\n"),),
    ),
    WrongAnswer(
        id="memory-looked-up-before-waiting",
        title="the memory looked up before waiting for the model, and not again afterwards",
        explanation=(
            "Two requests with the same new id come at once: both look into the memory and find nothing, and the second "
            "waits for the model and then calls it again. What has changed while it waited?"
        ),
        caught_by=AT_ONCE,
        swap=(
            (
                UNDER_THE_LOCK + "            if request.id not in answers:\n",
                "        if request.id not in answers:\n            async with model_is_free:\n",
            ),
        ),
    ),
    WrongAnswer(
        id="waiting-counted-as-work",
        title="the time of waiting for the model counted as time of the call",
        explanation=(
            "The clock is read when the request arrives, so one that waits for others is too late although its own call "
            "was fast. The limit is for the call of `predict` alone: where are the two readings?"
        ),
        caught_by=AT_ONCE,
        swap=(
            ("        started = clock()\n", ""),
            (
                "    def call_model(text: str, image: bytes)",
                "    def call_model(text: str, image: bytes, started: float)",
            ),
            (UNDER_THE_LOCK, "        started = clock()\n" + UNDER_THE_LOCK),
            ("call_model, request.text, image)", "call_model, request.text, image, started)"),
        ),
    ),
    WrongAnswer(
        id="thread-lock-across-await",
        title="a lock of threads held across an await",
        explanation=(
            "A `threading.Lock` is held while the endpoint awaits the model. The next request waits for it in the thread "
            "of the event loop, which then never gets to let the first one finish: everything stands still for good. "
            "Which lock lets the event loop go on while somebody waits for it?"
        ),
        caught_by=AT_ONCE,
        swap=(
            ("    model_is_free = asyncio.Lock()\n", "    import threading\n\n    model_is_free = threading.Lock()\n"),
            (UNDER_THE_LOCK, "        with model_is_free:\n"),
        ),
    ),
    WrongAnswer(
        id="lock-for-each-id",
        title="a lock for each id, so that requests with different ids enter the model together",
        explanation=(
            "Requests with the same id wait for each other, but those with different ids do not, and the model is "
            "entered by several at once. For what is the lock: the answer of an id, or the model?"
        ),
        caught_by=AT_ONCE,
        swap=(
            ("    model_is_free = asyncio.Lock()\n", "    locks: dict[str, asyncio.Lock] = {}\n"),
            (UNDER_THE_LOCK, "        async with locks.setdefault(request.id, asyncio.Lock()):\n"),
        ),
    ),
]

alternatives = [
    Alternative(
        id="the-framework-parses",
        title="a pydantic model as parameter, handlers for errors, a plain endpoint in FastAPI's threads",
        code="""
import threading
from typing import Annotated

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse


def from_base64(value):
    if not isinstance(value, str):
        raise ValueError("not a string")
    return base64.b64decode(value, validate=True)


def encodable(value):
    value.encode("utf-8")  # a UnicodeEncodeError is a ValueError
    return value


Text = Annotated[str, pydantic.AfterValidator(encodable)]


class PredictBody(pydantic.BaseModel, extra="forbid", strict=True):
    id: Text
    text: Text
    image: Annotated[bytes, pydantic.BeforeValidator(from_base64)]
    image_type: str


class Refused(Exception):
    def __init__(self, status, reason):
        self.status, self.reason = status, reason


def create_app(
    predict, *, model_version, max_text_chars, max_image_bytes, allowed_types, timeout_s, clock=time.monotonic
):
    app, lock, known = FastAPI(), threading.Lock(), {}

    @app.exception_handler(RequestValidationError)
    def malformed(request, error):
        declared = request.headers.get("content-type", "").lower()
        if declared.split(";")[0].strip() == "application/json":
            return JSONResponse({"error": "malformed"}, status_code=400)
        return JSONResponse({"error": "send JSON"}, status_code=415)

    @app.exception_handler(Refused)
    def refused(request, error):
        return JSONResponse({"error": error.reason}, status_code=error.status)

    @app.post("/predict")
    def run(body: PredictBody):
        if len(body.text) > max_text_chars:
            raise Refused(413, "text too long")
        if len(body.image) > max_image_bytes:
            raise Refused(413, "image too large")
        if body.image_type not in set(allowed_types):
            raise Refused(415, "image type")
        if body.text.isspace() or body.text == "" or body.image == b"":
            raise Refused(422, "empty")
        with lock:
            if body.id in known:
                return known[body.id]
            before = clock()
            try:
                label, score = predict(body.text, body.image)
                after = clock()
                assert isinstance(label, str)
                score = float(score)
                assert score - score == 0
            except Exception:
                raise Refused(503, "unavailable") from None
            if after - before > timeout_s:
                raise Refused(503, "unavailable")
            known[body.id] = {"model_version": model_version, "score": score, "label": label, "id": body.id}
            return known[body.id]

    return app
""",
    ),
    Alternative(
        id="by-hand",
        title="the body read and judged by hand, one worker thread as the queue, futures by id",
        code='''
import json
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import JSONResponse

FIELDS = ("id", "text", "image", "image_type")


async def read(http):
    """The four values, or the status of a refusal."""
    declared = http.headers.get("Content-Type")
    if declared is None or declared.split(";")[0].strip() != "application/json":
        return 415
    chunks = []
    async for chunk in http.stream():
        chunks.append(chunk)
    try:
        data = json.loads(b"".join(chunks).decode("utf-8"))
        if type(data) is not dict or sorted(data) != sorted(FIELDS):
            return 400
        values = [data[name] for name in FIELDS]
        for value in values:
            if type(value) is not str:
                return 400
            value.encode("utf-8")
        values[2] = base64.b64decode(values[2].encode("ascii"), validate=True)
    except (ValueError, RecursionError):
        return 400
    return values


class Predictor:
    def __init__(self, predict, clock, timeout):
        self.predict, self.clock, self.timeout = predict, clock, timeout
        self.worker = ThreadPoolExecutor(max_workers=1)
        self.pending = {}

    def work(self, text, image):
        start = self.clock()
        pair = self.predict(text, image)
        if self.clock() - start > self.timeout:
            raise TimeoutError
        label, score = pair
        if not isinstance(label, str) or not math.isfinite(score):
            raise ValueError("not an answer")
        return str(label), float(score)

    async def ask(self, key, text, image):
        future = self.pending.get(key)
        if future is None or (future.done() and future.exception() is not None):
            loop = asyncio.get_running_loop()
            future = self.pending[key] = loop.run_in_executor(self.worker, self.work, text, image)
        return await asyncio.shield(future)


def create_app(predict, *, model_version, max_text_chars, max_image_bytes, allowed_types, timeout_s, clock=time.monotonic):
    predictor = Predictor(predict, clock, timeout_s)
    app = FastAPI(docs_url=None, redoc_url=None)

    def error(status):
        return JSONResponse({"status": status}, status_code=status)

    async def endpoint(http: fastapi.Request):
        values = await read(http)
        if isinstance(values, int):
            return error(values)
        key, text, image, kind = values
        for status, bad in (
            (413, len(text) > max_text_chars or len(image) > max_image_bytes),
            (415, kind not in allowed_types),
            (422, text.strip() == "" or len(image) == 0),
        ):
            if bad:
                return error(status)
        try:
            label, score = await predictor.ask(key, text, image)
        except Exception:
            return error(503)
        return JSONResponse({"id": key, "label": label, "score": score, "model_version": model_version})

    app.add_api_route("/predict", endpoint, methods=["POST"])
    return app
''',
    ),
    Alternative(
        id="router-dependencies-and-lifespan",
        title="a router with dependencies, state made in the lifespan, AnyIO's limiter and a response model",
        code='''
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Request


class Incoming(pydantic.BaseModel):
    model_config = {"extra": "forbid"}
    id: pydantic.StrictStr
    text: pydantic.StrictStr
    image: pydantic.StrictStr
    image_type: pydantic.StrictStr


class Outgoing(pydantic.BaseModel):
    model_config = {"protected_namespaces": ()}
    id: str
    label: pydantic.StrictStr
    score: pydantic.FiniteFloat
    model_version: str


def create_app(
    predict, *, model_version, max_text_chars, max_image_bytes, allowed_types, timeout_s, clock=time.monotonic
):
    @asynccontextmanager
    async def lifespan(app):
        app.state.limiter = anyio.CapacityLimiter(1)
        app.state.answers = {}
        yield

    async def json_only(http: Request):
        media_type, _, _ = http.headers.get("content-type", "").partition(";")
        if media_type.strip() != "application/json":
            raise HTTPException(status_code=415)

    async def incoming(http: Request, _: None = Depends(json_only)) -> dict:
        try:
            fields = Incoming.model_validate_json(await http.body()).model_dump()
            fields["image"] = base64.b64decode(fields["image"], validate=True)
        except (pydantic.ValidationError, ValueError) as error:
            raise HTTPException(status_code=400) from error
        return fields

    async def acceptable(fields: dict = Depends(incoming)) -> dict:
        if len(fields["text"]) > max_text_chars or len(fields["image"]) > max_image_bytes:
            raise HTTPException(status_code=413)
        if all(fields["image_type"] != allowed for allowed in allowed_types):
            raise HTTPException(status_code=415)
        if not fields["text"].strip() or not fields["image"]:
            raise HTTPException(status_code=422)
        return fields

    def think(state, fields):
        """In a worker thread; the limiter lets in one at a time."""
        if fields["id"] not in state.answers:
            start = clock()
            label, score = predict(fields["text"], fields["image"])
            if clock() - start > timeout_s:
                raise TimeoutError
            score = float(score) if not isinstance(score, str) else None
            found = Outgoing(id=fields["id"], label=str(label) if isinstance(label, str) else label, score=score,
                             model_version=model_version)
            state.answers[fields["id"]] = found
        return state.answers[fields["id"]]

    router = APIRouter()

    @router.post("/predict", response_model=Outgoing)
    async def run(http: Request, fields: dict = Depends(acceptable)):
        state = http.app.state
        try:
            return await anyio.to_thread.run_sync(think, state, fields, limiter=state.limiter)
        except Exception as error:
            raise HTTPException(status_code=503) from error

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    return app
''',
    ),
]
