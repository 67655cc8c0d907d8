"""Checks of deployment/service.

The application runs behind uvicorn's own HTTP/1.1 protocol, on bytes in memory: everything that a socket would carry
is composed and parsed, but no socket is needed. What an answer should be follows from a table in plain Python.
"""

import base64
import json

import numpy as np

from grader.checking import assert_claims, catches, points, visible

CLAIMS = {
    "zeros_in_place": False,
    "weight_only": False,
    "hidden_loss": True,
    "six_replicas": True,
    "green_dashboard": False,
    "signed_injection": False,
    "copied_by_queries": True,
    "limit_after_decoding": False,
}
SETTINGS = dict(
    model_version="glass-3",
    max_text_chars=12,
    max_image_bytes=9,
    allowed_types=["image/png", "image/webp"],
    timeout_s=0.5,
)
FINE = [{"label": "crack", "score": 0.375}]
BROKEN_TEXT = {"text": "Zebra!"}  # six letters that no error may repeat


def post_to_the_app(student, settings, model, requests, hold=None, second_app_from=None):
    """Answers (status, content type, body) of POST /predict and the model's calls; requests come one after the other.

    model: what its calls do, one after the other, the last for all further ones; the label is the text by default. With
    hold, the others are sent while the first is with the model, which waits until some request is answered, and then
    hold seconds for a second call that should not come.
    """
    import asyncio
    import builtins
    import os
    import socket
    import threading
    from unittest import mock

    import h11
    import numpy as np
    from uvicorn.config import Config
    from uvicorn.lifespan.on import LifespanOn
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.server import ServerState

    seen = {"calls": [], "inside": 0, "most": 0, "answered": 0, "meanwhile": False, "now": 1000.0}
    guard = threading.Condition()

    def predict(text, image):
        with guard:
            number = len(seen["calls"])
            shown = text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else type(text).__name__
            seen["calls"].append([shown, image if isinstance(image, bytes) else type(image).__name__])
            seen["inside"] += 1
            seen["most"] = max(seen["most"], seen["inside"])
            guard.notify_all()
            if hold is not None and number == 0:
                guard.wait_for(lambda: seen["answered"] > 0, timeout=1.5)
                seen["meanwhile"] = seen["answered"] > 0
                guard.wait_for(lambda: seen["inside"] > 1, timeout=hold)
            does = model[min(number, len(model) - 1)]
            seen["now"] += does.get("takes", 0.0)
            seen["inside"] -= 1
        if "raises" in does:
            kind = getattr(builtins, does["raises"], None) or type(does["raises"], (Exception,), {})
            raise kind(does["says"])
        if "returns" in does:
            return does["returns"]
        return does.get("label", text), getattr(np, does.get("kind", "float64"))(does["score"])

    class Connection(asyncio.Transport):
        """A connection without a socket: what the server writes goes to an HTTP client."""

        def __init__(self, loop):
            super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 80)})
            self.loop, self.done, self.closing = loop, loop.create_future(), False
            self.client, self.status, self.content_type, self.body = h11.Connection(h11.CLIENT), None, "", b""

        def write(self, data):
            self.client.receive_data(data)
            while (event := self.client.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Response):
                    self.status = event.status_code
                    self.content_type = dict(event.headers).get(b"content-type", b"").decode()
                elif isinstance(event, h11.Data):
                    self.body += bytes(event.data)
                else:
                    self.finish()
                    return

        def finish(self):
            with guard:
                seen["answered"] += 1
                guard.notify_all()
            if not self.done.done():
                self.done.set_result(None)

        def is_closing(self):
            return self.closing

        def close(self):
            if not self.closing:
                self.closing = True
                self.loop.call_soon(self.protocol.connection_lost, None)
                if not self.done.done():
                    self.done.set_result(None)

        def pause_reading(self):
            pass

        def resume_reading(self):
            pass

        def send(self, protocol, content_type, body, chunked):
            headers = [("Host", "service"), ("Connection", "close")]
            headers += [("Content-Type", content_type)] if content_type is not None else []
            headers += [("Transfer-Encoding", "chunked")] if chunked else [("Content-Length", str(len(body)))]
            half = len(body) // 2
            events = [h11.Request(method="POST", target="/predict", headers=headers)]
            events += [h11.Data(data=part) for part in (body[:half], body[half:]) if part] + [h11.EndOfMessage()]
            self.protocol = protocol
            protocol.connection_made(self)
            for event in events:
                if data := self.client.send(event):  # the end of a body of known length takes no bytes
                    protocol.data_received(data)

    async def converse(loop):
        apps = []
        for _ in range(1 if second_app_from is None else 2):
            app = student.create_app(predict, clock=lambda: seen["now"], **settings)
            config = Config(app, log_config=None, access_log=False, http=H11Protocol, ws="none", lifespan="auto")
            config.load()
            lifespan = LifespanOn(config)
            await lifespan.startup()
            apps.append((config, lifespan))
        connections = []
        for number, (content_type, body, chunked) in enumerate(requests):
            config, lifespan = apps[second_app_from is not None and number >= second_app_from]
            connection = Connection(loop)
            connections.append(connection)
            protocol = H11Protocol(config, ServerState(), lifespan.state, loop)
            connection.send(protocol, content_type, body, chunked)
            if hold is None:
                await asyncio.wait([connection.done], timeout=3)
                if not connection.done.done():
                    break  # it would not be better the next time
            elif number == 0:
                for _ in range(1000):
                    if seen["calls"] or connection.done.done():
                        break
                    await asyncio.sleep(0.002)
        if hold is not None:
            await asyncio.wait([connection.done for connection in connections], timeout=3)
        answers = [[connection.status, connection.content_type, connection.body] for connection in connections]
        answers += [[None, "", b""]] * (len(requests) - len(answers))
        if None not in [status for status, _, _ in answers]:
            for _, lifespan in apps:
                await lifespan.shutdown()
            await loop.shutdown_default_executor()
        return answers

    class PipeEnd:
        """What wakes the event loop; a pair of sockets, the usual means, is denied to submissions."""

        def __init__(self, descriptor):
            self.fileno, self.close = (lambda: descriptor), (lambda: os.close(descriptor))
            self.setblocking = lambda blocking: os.set_blocking(descriptor, blocking)
            self.recv, self.send = (lambda size: os.read(descriptor, size)), (lambda data: os.write(descriptor, data))

    result = {}

    def serve():
        ends = [PipeEnd(descriptor) for descriptor in os.pipe()]
        with mock.patch.object(socket, "socketpair", lambda *_: ends):
            loop = asyncio.new_event_loop()
        try:
            result["answers"] = loop.run_until_complete(converse(loop))
        except BaseException as error:
            result["error"] = error
        finally:
            loop.close()

    # in a thread, since a notebook's kernel has a running event loop already, and since this one may stand still
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(8 if hold is None else 4)
    if "error" in result:
        raise result["error"]
    answers = result.get("answers", [[None, "", b""]] * len(requests))
    calls = seen["calls"] if hold is None else sorted(seen["calls"])
    return {"answers": answers, "calls": calls, "alone": seen["most"] <= 1, "meanwhile": seen["meanwhile"]}


def payload(**changes):
    """A good request as a dict; image is given as bytes, and a field that is None is left out."""
    values = {"id": "a1", "text": "Broken?", "image": b"\x89PNG\xff\x00", "image_type": "image/png", **changes}
    if isinstance(values["image"], bytes):
        values["image"] = base64.b64encode(values["image"]).decode("ascii")
    return {key: value for key, value in values.items() if value is not None}


def request(content_type="application/json", body=None, chunked=False, **changes):
    """What goes over the wire: content type, bytes of the body, and whether they are sent in chunks."""
    if body is None:
        body = json.dumps(payload(**changes)).encode()
    return [content_type, body, chunked]


def describe(sent):
    content_type, body, _ = sent
    shown = body if len(body) <= 160 else body[:60] + b"..."
    return f"POST /predict with Content-Type {content_type} and the body {shown.decode('utf-8', 'backslashreplace')}"


def strict_json(body):
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(body.decode("utf-8"), parse_constant=refuse)


def assert_answer(sent, answer, status, body=None, never=(), why="", exact=False):
    """One answer: its status, that it is a JSON object, and either its fields or words it must not contain.

    With exact, fields other than those of body are refused. The status None stands for any but 200: which one is the
    matter of another check.
    """
    called, (found, content_type, raw) = describe(sent), answer
    because = f" {why}" if why else ""
    if found is None:
        raise AssertionError(f"{called}: no answer came, as if the service stood still.{because}")
    if status is None and found != 200:
        return
    if found != status:
        status = status or "another than 200"
        raise AssertionError(f"{called}: the answer has status {found}; it should be {status}.{because}")
    try:
        content = strict_json(raw)
    except ValueError as error:
        raise AssertionError(f"{called}: the body of the answer, {raw[:200]!r}, is not JSON ({error}).") from None
    if not isinstance(content, dict) or content_type.partition(";")[0].strip() != "application/json":
        raise AssertionError(
            f"{called}: the answer should be a JSON object with Content-Type application/json; "
            f"it is {raw[:200]!r} with Content-Type {content_type}."
        )
    if body is not None:
        missing, extra = sorted(body.keys() - content.keys()), sorted(content.keys() - body.keys())
        if missing or (extra and exact):
            wrong = [f"lacks {', '.join(missing)}"] * bool(missing)
            wrong += [f"has {', '.join(extra)} too many"] * bool(extra and exact)
            raise AssertionError(f"{called}: the answer {raw[:200]!r} {' and '.join(wrong)}.")
        for key, value in body.items():
            same = (
                type(content[key]) in (int, float) and abs(content[key] - value) <= 1e-6 * abs(value)
                if isinstance(value, float)
                else content[key] == value
            )
            if not same:
                raise AssertionError(
                    f"{called}: `{key}` of the answer is {content[key]!r}; it should be {value!r}.{because}"
                )
    for word in never:
        if word.lower() in raw.decode("utf-8").lower():
            raise AssertionError(f"{called}: the answer {raw[:300]!r} contains {word!r}, which clients must not see.")


def fields(label="crack", score=0.375):
    """What the model has to say in an answer; id and version are the matter of another check."""
    return {"label": label, "score": score}


def assert_calls(result, texts, after):
    """Which texts the model was called with, in this order."""
    found = [text for text, _ in result["calls"]]
    if found != texts:
        raise AssertionError(f"After {after}, predict had been called with the texts {found}; it should be {texts}.")


def assert_refused(student, cases):
    """Each of the requests gets its status, and none of them reaches the model."""
    result = student.run(post_to_the_app, SETTINGS, FINE, [sent for sent, _, _ in cases])
    for (sent, status, why), answer in zip(cases, result["answers"], strict=True):
        assert_answer(sent, answer, status, never=(BROKEN_TEXT["text"], "iVBORw"), why=why)
    assert_calls(result, [], "requests that are all refused")


@points(1)
@visible
def test_worked_example(student):
    """The small example in the notebook comes out right."""
    settings = SETTINGS | {"max_text_chars": 16, "allowed_types": ["image/png"], "timeout_s": 60.0}
    model = [
        {"raises": "RuntimeError", "says": "weights at /srv/models/3 are gone"},
        {"label": "scratch", "score": 0.625},
    ]
    base = {"id": "r7", "text": " Anything wrong?", "image": b"\x89PNG\r\n"}
    changes = [{"id": 7}, {"text": "x" * 17}, {"text": "   "}, {"extra": ""}, {}, {}, {"text": "Anything else?"}]
    sent = [request(**base | change) for change in changes]
    result = student.run(post_to_the_app, settings, model, sent)
    body = {"id": "r7", "label": "scratch", "score": 0.625, "model_version": "glass-3"}
    for one, answer, status in zip(sent, result["answers"], (400, 413, 422, 400, 503, 200, 200), strict=True):
        expected = body if status == 200 else None
        assert_answer(one, answer, status, expected, never=["gone"] * (status == 503), exact=True)
    assert_calls(result, [" Anything wrong?"] * 2, "the requests of the worked example")


@points(3)
@catches("claims-as-published", "security-misjudged")
def test_claims(student):
    """All eight claims are judged rightly."""
    assert_claims(student.claims, CLAIMS)


@points(1)
@catches("image-left-in-base64", "text-stripped-for-the-model", "numpy-score-in-json", "charset-refused", "id-dropped")
def test_a_good_request_is_answered(student, rng):
    """A good request gets label, score, id and version, and the model gets the text as sent and the decoded image."""
    image = rng.bytes(6)
    score = float(rng.uniform(0.1, 0.9))
    cases = [
        (request(), {"label": "crack", "score": 0.375}, "Broken?", b"\x89PNG\xff\x00"),
        (
            request(id="b", text=" \tWo? ", image=image, chunked=True),
            {"label": "dent", "score": score, "kind": "float32"},
            " \tWo? ",
            image,
        ),
        (
            request("application/json; charset=utf-8", id="", text="玻璃?", image=b"\xfb\xff\xfe"),
            {"label": "裂", "score": 1, "kind": "int64"},
            "玻璃?",
            b"\xfb\xff\xfe",
        ),
        (
            request("application/json;charset=UTF-8", id="a 1", text="Why?", image_type="image/webp"),
            {"label": "", "score": -score, "kind": "float16"},
            "Why?",
            b"\x89PNG\xff\x00",
        ),
    ]
    result = student.run(post_to_the_app, SETTINGS, [does for _, does, _, _ in cases], [case[0] for case in cases])
    for (sent, does, _, _), answer in zip(cases, result["answers"], strict=True):
        score = float(getattr(np, does.get("kind", "float64"))(does["score"]))
        expected = {"id": json.loads(sent[1])["id"], "model_version": "glass-3", **fields(does["label"], score)}
        why = f"The model answered ({does['label']!r}, numpy.{does.get('kind', 'float64')}({does['score']:.6g}))."
        assert_answer(sent, answer, 200, expected, why=why, exact=True)
    assert_calls(result, [text for _, _, text, _ in cases], "four good requests")
    for (sent, _, _, expected), (_, found) in zip(cases, result["calls"], strict=True):
        if found != expected:
            raise AssertionError(f"{describe(sent)}: predict got the image {found!r}; it should be {expected!r}.")


@points(1)
@catches(
    "frameworks-own-422",
    "input-repeated",
    "unknown-fields-accepted",
    "numbers-turned-into-strings",
    "lenient-base64",
    "content-type-ignored",
    "broken-text-is-a-crash",
)
def test_what_is_no_request_is_refused(student, rng):
    """A body that is not such an object gets 400, another Content-Type 415, and the model is not called."""
    good = payload(**BROKEN_TEXT)
    fine, plain = json.dumps(good).encode(), "text/plain"
    cases = [(request(body=fine + b"}"), 400, "The body is not JSON.")]
    for name in good:
        cases.append((request(**BROKEN_TEXT | {name: None}), 400, f"The field `{name}` is missing."))
    for name in good:
        for value in (17, True, [], {}, 0.5):
            broken = json.dumps(good | {name: value}).encode()
            cases.append((request(body=broken), 400, f"The field `{name}` is not a string."))
        broken = json.dumps(good | {name: None}).encode()
        cases.append((request(body=broken), 400, f"The field `{name}` is null, which is no string."))
    cases.append((request(**BROKEN_TEXT, user="u1"), 400, "A field `user` is not among the four."))
    for broken in ("abcde", "a===", "iVBORw=", "iVBO Rw==", "iVBORw==\n", "iVB*ORw==", "éVBORw==", "-_8="):
        cases.append((request(**BROKEN_TEXT, image=broken), 400, "The image is not strict base64."))
    for body in (b"", b"{", b"[]", b"null", b'"text"', b"17", b"[" + fine + b"]", json.dumps(fine.decode()).encode()):
        cases.append((request(body=body), 400, "The body is no JSON object."))
    cases.append((request(body=fine.replace(b"Zebra!", b"Zebra!\xff")), 400, "The body is not UTF-8."))
    cases.append((request(body=b"[" * 100_000), 400, "The body is nested very deep."))
    cases.append((request(body=b'{"id":' * 50_000), 400, "The body is nested very deep."))
    for name in ("id", "text"):
        half = json.dumps(good | {name: "\ud83d"}).encode()
        cases.append((request(body=half), 400, f"`{name}` holds half a character, which cannot be encoded in UTF-8."))
    for content_type in (plain, None, "application/x-www-form-urlencoded", "image/png"):
        cases.append((request(content_type, body=fine), 415, "The Content-Type is not application/json."))
        cases.append((request(content_type, body=b"Zebra!"), 415, "The Content-Type is judged before the body."))
    # and values as they come
    values = ["zz", 3, None, True, [], {"a": 1}, "abcd", "image/png", 1e300, "=", ""]
    for _ in range(20):
        names = [*good, "extra"][: rng.integers(1, 6)]
        junk = {name: values[rng.integers(len(values))] for name in names}
        if not all(isinstance(junk.get(name), str) for name in good) or "extra" in junk:
            cases.append((request(body=json.dumps(junk).encode()), 400, "The body is not such an object."))
    assert_refused(student, cases)


@points(1)
@catches(
    "text-measured-in-bytes",
    "text-measured-after-stripping",
    "base64-measured",
    "limits-exclusive",
    "type-before-size",
    "emptiness-before-size",
    "emptiness-before-type",
    "blank-text-accepted",
    "empty-image-accepted",
    "everything-is-400",
)
def test_limits_types_and_emptiness(student, rng):
    """Sizes, type and emptiness are judged in the promised order; what is at a limit is accepted."""
    long, large = BROKEN_TEXT["text"] * 2 + "!", rng.bytes(10)
    too_long, too_large = "The text has 13 characters, 12 are allowed.", "The image has 10 bytes, 9 are allowed."
    cases = [
        (request(text=long), 413, too_long),
        (request(text="é" * 13), 413, too_long),
        (request(text="  Broken?    "), 413, f"{too_long} Spaces count."),
        (request(text=" " * 13), 413, f"{too_long} Size is judged before emptiness."),
        (request(**BROKEN_TEXT, image=large), 413, too_large),
        (request(text=long, image_type="image/gif"), 413, f"{too_long} Size is judged before the type."),
        (request(image=large, image_type="image/gif"), 413, f"{too_large} Size is judged before the type."),
        (request(image=large, text=" "), 413, f"{too_large} Size is judged before emptiness."),
        (request(text=long, image=b""), 413, f"{too_long} Size is judged before emptiness."),
        (request(**BROKEN_TEXT, image_type="image/gif"), 415, "image/gif is not allowed."),
        (request(image_type=""), 415, "An empty type is not allowed."),
        (request(image_type="png"), 415, "png is not among the allowed types."),
        (request(text=" ", image_type="image/gif"), 415, "The type is judged before emptiness."),
        (request(image=b"", image_type="image/gif"), 415, "The type is judged before emptiness."),
        (request(text=""), 422, "The text is empty."),
        (request(text=" \n\t "), 422, "The text is blank."),
        (request(text="\u3000\u2003"), 422, "The text holds nothing but wide spaces."),
        (request(**BROKEN_TEXT, image=b""), 422, "The image is empty."),
    ]
    assert_refused(student, cases)
    # at the limit: 12 characters of 4 bytes each, and 9 bytes that take 12 characters of base64
    largest = [{"text": "\U0001f50d" * 12}, {"image": rng.bytes(9)}, {"text": "e\u0301" * 6}, {"text": " " * 11 + "?"}]
    sent = [request(id=f"l{number}", **changes) for number, changes in enumerate(largest)]
    result = student.run(post_to_the_app, SETTINGS, FINE, sent)
    why = "12 characters (as len counts them) and 9 bytes are within the limits."
    for one, answer in zip(sent, result["answers"], strict=True):
        assert_answer(one, answer, 200, fields(), why=why)


@points(1)
@catches(
    "exceptions-escape",
    "only-some-exceptions",
    "ok-with-an-error-field",
    "message-leaked",
    "class-leaked",
    "nan-in-json",
    "nan-becomes-null",
    "late-answer-given",
    "late-at-the-limit",
    "late-answers-remembered",
    "wall-clock",
    "malformed-answer-is-a-crash",
    "label-unchecked",
)
def test_a_failing_model_is_a_503(student):
    """Whatever the model does wrong, the client learns that it failed, and nothing more."""
    secret = "no space on /srv/secret/weights.pt for key 8472"
    cases = [
        ({"raises": "RuntimeError", "says": secret}, 503, "The model raised RuntimeError."),
        *(
            ({"returns": ("crack", score)}, 503, f"The model answered ('crack', {score}).")
            for score in (float("nan"), float("inf"), -float("inf"))
        ),
        ({"label": "crack", "score": float("nan"), "kind": "float32"}, 503, "The score is numpy.float32(nan)."),
        ({"label": "crack", "score": 0.375, "takes": 0.75}, 503, "The call took 0.75 s, 0.5 s are allowed."),
        ({"label": "dent", "score": 0.875, "takes": 1e6}, 503, "The call took 1000000 s, 0.5 s are allowed."),
        ({"label": "crack", "score": 0.375}, 200, "The call before, for the same id, was too late to be remembered."),
        ({"label": "crack", "score": 0.375, "takes": 0.5}, 200, "The call took 0.5 s, as long as allowed."),
        ({"label": "crack", "score": 0.375, "takes": 0.25}, 200, "The call took 0.25 s, 0.5 s are allowed."),
        *(
            ({"raises": name, "says": secret}, 503, f"The model raised {name}.")
            for name in ("ValueError", "KeyError", "TimeoutError", "MemoryError", "AssertionError", "DeviceLostError")
        ),
        ({"raises": "RuntimeError", "says": secret, "takes": 0.75}, 503, "The model raised RuntimeError, late."),
        *(
            ({"returns": answer}, 503, f"The model answered {answer!r}.")
            for answer in (None, 0.5, (), ("crack",), ("crack", None), ("crack", "high"), (None, 0.5), (7, 0.5))
        ),
    ]
    late = [does.get("takes") for does, _, _ in cases].index(1e6)
    sent = [
        request(id=f"c{late if number == late + 1 else number}", text=f"Broken {number}?")
        for number in range(len(cases))
    ]
    result = student.run(post_to_the_app, SETTINGS, [does for does, _, _ in cases], sent)
    names = ("secret", "weights.pt", "8472", "Traceback", "Broken", "RuntimeError", "DeviceLost", "KeyError")
    for (_, status, why), one, answer in zip(cases, sent, result["answers"], strict=True):
        body, never = (fields(), ()) if status == 200 else (None, names)
        assert_answer(one, answer, status, body, never=never, why=why)


@points(1)
@catches(
    "nothing-remembered",
    "failures-remembered",
    "remembered-by-content",
    "memory-before-the-checks",
    "memory-shared-by-all-apps",
    "only-the-last-remembered",
)
def test_repeated_ids(student):
    """An id that was answered is answered again without the model; a failure is not remembered, nor a refusal."""
    model = [
        {"raises": "RuntimeError", "says": "busy"},
        {"raises": "ValueError", "says": "busy"},
        *({"label": f"answer {n}", "score": n / 8} for n in (1, 2, 3, 4)),
    ]
    first, second = fields("answer 1", 0.125), fields("answer 2", 0.25)
    other = dict(text="Scratched?", image=b"other", image_type="image/webp")
    known, refused = "The id has been answered before", "What is refused is refused, also when its id is known."
    steps = [
        (request(id="k1"), None, None, "The model raised RuntimeError."),
        (request(id="k1"), None, None, "The model raised ValueError."),
        (request(id="k1"), 200, first, "The calls before had failed, so the model is asked again."),
        (request(id="k1"), 200, first, f"{known}."),
        (request(id="k1", **other), 200, first, f"{known}, whatever else the request says."),
        (request(id="k2"), 200, second, "This id is new, though the rest is as before."),
        (request(id="k1"), 200, first, f"{known}."),
        (request(id="k1", text=" "), None, None, refused),
        (request(id="k1", text="x" * 13), None, None, refused),
        (request(id="k1", image_type="image/gif"), None, None, refused),
        (request(id="k3", image_type="image/gif"), None, None, "image/gif is not allowed."),
        (request(id="k3"), 200, fields("answer 3", 0.375), "An id that was refused is new to the model."),
        (request(id="k2"), 200, second, f"{known}."),
        (request(id="k1"), 200, fields("answer 4", 0.5), "This is the first request to a second application."),
    ]
    result = student.run(post_to_the_app, SETTINGS, model, [step[0] for step in steps], second_app_from=len(steps) - 1)
    for (sent, status, body, why), answer in zip(steps, result["answers"], strict=True):
        assert_answer(sent, answer, status, body, why=why)
    assert_calls(result, ["Broken?"] * 6, f"{len(steps)} requests, of which the first two failed and four had new ids,")


@points(1)
@catches(
    "event-loop-blocked",
    "model-entered-twice",
    "memory-looked-up-before-waiting",
    "waiting-counted-as-work",
    "thread-lock-across-await",
    "lock-for-each-id",
)
def test_several_at_once(student):
    """One call of the model at a time, one for an id, and requests that are refused do not wait for it."""
    model = [{"score": 0.25}]
    sent = [request(id="s1"), request(id="s1"), request(id="s2", text="Dented?"), request(id="s3", image_type="a/b")]
    result = student.run(post_to_the_app, SETTINGS, model, sent, hold=0.1)
    why = "Four requests came at once."
    for one, answer, status in zip(sent, result["answers"], (200, 200, 200, None), strict=True):
        assert_answer(one, answer, status, why=why)
    if not result["meanwhile"]:
        raise AssertionError(
            "While predict was at work on a first request, one for a type that is not allowed came. Refusing it "
            "takes no model, but its answer came only after the model had finished: the event loop stood still."
        )
    if not result["alone"]:
        raise AssertionError(
            "Three good requests came at once, and predict was entered by a second one before it had returned from the "
            "first; it must have returned before it is called again."
        )
    texts = [text for text, _ in result["calls"]]
    if texts != ["Broken?", "Dented?"]:
        raise AssertionError(
            f"Three good requests came at once, two of them with the same new id; predict was called {len(texts)} "
            f"times, with the texts {texts}; it should be called once for each id."
        )
    for one, answer, label in zip(sent, result["answers"], ("Broken?", "Broken?", "Dented?"), strict=False):
        assert_answer(one, answer, 200, fields(label, 0.25), why="Its label is the text of the request.")
    # the clock moves while others wait
    sent = [request(id="t1"), request(id="t2"), request(id="t3", image_type="a/b")]
    result = student.run(post_to_the_app, SETTINGS, [{"score": 0.25, "takes": 0.375}], sent, hold=0.0)
    why = "Two good requests came at once; the clock moved by 0.375 s in each call of predict, and 0.5 s are allowed."
    for one, answer, status in zip(sent, result["answers"], (200, 200, None), strict=True):
        assert_answer(one, answer, status, why=why)
