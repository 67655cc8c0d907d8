"""Checks of capstone/compression_and_serving.

The arithmetic is compared with float64, Python's `sorted` and loops. The application runs behind uvicorn's own HTTP/1.1
protocol, on bytes in memory, as in deployment/service; here the client can also keep a part of a body back.
"""

import json
import math
import re

import numpy as np

from grader.checking import assert_close, assert_dtype, assert_equal, assert_shape, catches, points, raises, visible

SETTINGS = dict(keys=["t-4711", "Owl.9"], version="w3", max_bytes=64, concurrent=40)
KEY = ["X-API-Key", "t-4711"]
RANKING = [["cat", 0.875], ["dog", 0.5], ["猫头鹰", 0.25], ["fox", 0.0], ["bat", -0.125], ["eel", -0.5], ["yak", -0.75]]
SECRET = "no space on /srv/secret/weights for key 8472"
NEVER = ("secret", "8472", "traceback", "runtimeerror", "keyerror", "oserror", "syntaxerror", "strangeerror")


# ------------------------------------------------------------------------------------------------------- the weights
@points(1)
@visible
def test_worked_example(student):
    """The small matrix in the notebook becomes integers and comes back."""
    weight = np.array([[2.54, -0.486, 0.037], [-0.0127, 0.0012, 0.0]], dtype=np.float32)
    levels, scale = student.quantise(weight)
    assert_dtype(levels, "int8", what="levels of quantise(weight)")
    assert_equal(levels.tolist(), [[127, -24, 2], [-127, 12, 0]], what="levels of quantise(weight)")
    assert_dtype(scale, "float32", what="scale of quantise(weight)")
    assert_close(scale, [[0.02], [0.0001]], rtol=1e-5, atol=0, what="scale of quantise(weight)")
    restored = student.dequantise(levels, scale)
    assert_dtype(restored, "float32", what="result of dequantise(levels, scale)")
    expected = [[2.54, -0.48, 0.04], [-0.0127, 0.0012, 0.0]]
    assert_close(restored, expected, rtol=1e-5, atol=1e-9, what="result of dequantise(levels, scale)")


def quantise_and_look_again(student, weight):
    """levels and scale of quantise(weight), and what weight is afterwards."""
    levels, scale = student.quantise(weight)
    return levels, scale, weight


def assert_integers(levels, scale, shape, what):
    assert_dtype(levels, "int8", what=f"levels of {what}")
    assert_shape(levels, shape, what=f"levels of {what}")
    assert_dtype(scale, "float32", what=f"scale of {what}")
    assert_shape(scale, (shape[0], 1), what=f"scale of {what}")


@points(1)
@catches(
    "one-scale-for-all",
    "signed-maximum",
    "level-minus-128",
    "truncated",
    "halves-away-from-zero",
    "zero-row-divided",
    "scale-in-float16",
    "wraps-around",
    "quantised-in-place",
    "scale-in-float64",
)
def test_weights_become_integers(student, rng):
    """quantise has one scale for each row, rounds halves to even, keeps to -127 ... 127 and copes with zeros."""
    # rows whose scale is a power of two, so that the quotients are exact: halves, both signs, zeros
    exact = np.array(
        [[127.0, 0.5, 1.5, 2.5, -2.5], [-127.0, -0.5, 3.5, -1.5, 126.5], [0.0] * 5, [-0.0, 0.75, -0.5, 0.1, 31.75]],
        dtype=np.float32,
    )
    expected = [[127, 0, 2, 2, -2], [-127, 0, 4, -2, 126], [0] * 5, [0, 3, -2, 0, 127]]
    levels, scale, after = student.run(quantise_and_look_again, exact)
    what = "quantise of a matrix with the row scales 1, 1, 1 and 0.25"
    assert_integers(levels, scale, (4, 5), what)
    assert_close(scale, [[1.0], [1.0], [1.0], [0.25]], what=f"scale of {what}", cause="a row of zeros has the scale 1")
    assert_equal(levels.tolist(), expected, what=f"levels of {what}")
    assert_equal(after.tolist(), exact.tolist(), what="weight after quantise(weight)")

    # rows of very different sizes, in float32 and in float16; every weight is restored to half of a level
    for dtype, spread in ((np.float32, (1.0, 300.0, 2e-4, 3e-2)), (np.float16, (3e-4, 20.0, 2e-5, 0.2))):
        weight = (rng.normal(size=(4, 6)) * np.array(spread)[:, None]).astype(dtype)
        weight[:, 2] *= np.array([-3, 3, -3, 3], dtype=dtype)
        levels, scale = student.quantise(weight)
        what = f"quantise of a random {np.dtype(dtype).name} matrix (4, 6)"
        assert_integers(levels, scale, (4, 6), what)
        wide = weight.astype(np.float64)
        largest = np.abs(wide).max(axis=1, keepdims=True)
        assert_close(scale, largest / 127, rtol=1e-5, atol=0, what=f"scale of {what}")
        extreme = np.abs(levels.astype(int)).max(axis=1).tolist()
        assert_equal(extreme, [127] * 4, what=f"largest absolute level in each row of {what}")
        restored = student.dequantise(levels, scale)
        assert_dtype(restored, "float32", what="result of dequantise(levels, scale)")
        assert_close(restored, levels.astype(float) * scale, rtol=1e-6, atol=0, what="result of dequantise")
        worst = float((np.abs(restored - wide) / (largest / 127)).max())
        if worst > 0.501:
            raise AssertionError(
                f"{what}: after dequantise a weight is off by {worst:.3g} levels of its row; rounding to the nearest "
                "level costs at most half of one."
            )

    # the smallest numbers that float32 knows: one row whose scale underflows, one whose scale is badly rounded
    tiny = np.array([[1e-44, -3e-45, 0.0], [2e-43, -2e-43, 1e-43]], dtype=np.float32)
    levels, scale = student.quantise(tiny)
    what = "quantise of rows as small as 1e-44 and 2e-43"
    assert_integers(levels, scale, (2, 3), what)
    assert_equal([float(scale[0, 0]), levels[0].tolist()], [1.0, [0, 0, 0]], what=f"first scale and levels of {what}")
    assert_equal(levels[1, :2].tolist(), [127, -127], what=f"levels of 2e-43 and -2e-43 in {what}")

    for bad in (np.ones(3), np.ones((1, 2, 3)), np.array([[1.0, np.nan]]), np.array([[-np.inf], [1.0]])):
        with raises(ValueError):
            student.quantise(bad.astype(np.float32))


def prune_and_look_again(student, weights, fraction):
    """The result of prune as lists, its dtypes, the caller's weights afterwards, and which memory is shared."""
    import numpy as np

    result = student.prune(weights, fraction)
    shared = [name for name in weights if name in result and np.shares_memory(result[name], weights[name])]
    plain = {name: np.asarray(array).tolist() for name, array in result.items()}
    dtypes = sorted({str(array.dtype) for array in result.values()})
    return {"pruned": plain, "dtypes": dtypes, "after": {k: v.tolist() for k, v in weights.items()}, "shared": shared}


def pruned_by_sorting(weights, fraction):
    """The same by Python's own stable sort of places."""
    places = [(name, row, column) for name, w in weights.items() for row, column in np.ndindex(*w.shape)]
    ranked = sorted(places, key=lambda place: abs(float(weights[place[0]][place[1:]])))
    expected = {name: w.tolist() for name, w in weights.items()}
    for name, row, column in ranked[: round(fraction * len(places))]:
        expected[name][row][column] = 0.0
    return expected


@points(1)
@catches(
    "each-matrix-by-itself",
    "the-largest-go",
    "signs-ranked",
    "ties-all-go",
    "last-of-equals",
    "count-rounded-down",
    "pruned-in-place",
    "zeros-not-ranked",
    "shapes-lost",
    "fractions-unchecked",
)
def test_the_smallest_weights_go(student, rng):
    """prune takes exactly as many weights as asked for, the smallest of all matrices together."""
    small = {"image": np.array([[0.9, -0.2, 0.1]]), "text": np.array([[0.3, -0.2], [0.2, -4.0], [0.2, 0.0]])}
    equal = {"b": np.full((2, 3), -0.5), "a": np.full((1, 4), 0.5)}
    large = {"first": rng.normal(size=(3, 4)), "second": 0.05 * rng.normal(size=(5, 2)), "third": np.ones((1, 1))}
    turned = {"x": rng.normal(size=(4, 3)).T.round(1), "y": -rng.normal(size=(2, 2))}
    cases = [(small, 0.3), (small, 0.5), (small, 0.6), (equal, 0.45), (equal, 0.8), (large, 0.37), (large, 0.7)]
    cases += [(turned, 0.55), (turned, 0.0), (small, 0.99), (small, 0.05)]
    for weights, fraction in cases:
        weights = {name: weight.astype(np.float32) for name, weight in weights.items()}
        result = student.run(prune_and_look_again, weights, fraction)
        shapes = ", ".join(f"{name} {weight.shape}" for name, weight in weights.items())
        what = f"prune of {shapes} with fraction={fraction}"
        names = list(result["pruned"])
        if names != list(weights):
            raise AssertionError(f"{what}: the result has the names {names}; it should have {list(weights)}.")
        expected = pruned_by_sorting(weights, fraction)
        for name, weight in weights.items():
            assert_shape(np.array(result["pruned"][name]), weight.shape, what=f"matrix {name!r} after {what}")
        gone = sum(int((np.array(matrix) == 0).sum()) for matrix in result["pruned"].values())
        wanted = sum(int((np.array(matrix) == 0).sum()) for matrix in expected.values())
        if gone != wanted:
            raise AssertionError(f"{what}: {gone} entries are 0 in the result; it should be {wanted}.")
        for name in weights:
            assert_close(result["pruned"][name], expected[name], what=f"matrix {name!r} after {what}")
        assert_equal(result["dtypes"], ["float32"], what=f"list of dtypes after {what}")
        before = {name: weight.tolist() for name, weight in weights.items()}
        assert_equal(result["after"], before, what=f"dictionary of the caller after {what}")
        if result["shared"]:
            raise AssertionError(
                f"{what}: the result uses the memory of the caller's {', '.join(result['shared'])}, so that changing "
                "one changes the other; it should have arrays of its own."
            )
    for fraction in (-0.1, 1.0, 1.5, math.nan, math.inf):
        with raises(ValueError):
            student.prune({"a": np.ones((2, 2), dtype=np.float32)}, fraction)


@points(1)
@catches(
    "nan-passes",
    "means-compared",
    "shapes-broadcast",
    "differences-signed",
    "favourites-by-column",
    "exactly-at-the-limit-fails",
    "either-is-enough",
    "narrow-differences",
    "nothing-compared-passes",
    "passed-as-numpy-bool",
)
def test_parity_report(student, rng):
    """parity finds the largest difference and the share of equal favourites, and passes nothing it cannot compare."""
    expected = np.array([[0.5, 0.25, 0.0], [0.75, 1.0, 0.5], [-1.0, -2.0, -0.5], [0.0, 0.0, -1.0]], dtype=np.float32)
    got = np.array([[0.5, 0.375, 0.0], [0.75, 0.625, 0.5], [-1.0, -2.0, -0.375], [0.0, -0.125, -1.0]], dtype=np.float32)
    cases = [
        (expected, got, {"tolerance": 0.375, "agreement": 0.75}, 0.375, 0.75, True),
        (expected, got, {"tolerance": 0.3, "agreement": 0.75}, 0.375, 0.75, False),
        (expected, got, {"tolerance": 0.375, "agreement": 0.8}, 0.375, 0.75, False),
        (got, expected, {"tolerance": 0.375, "agreement": 0.75}, 0.375, 0.75, True),
        (expected, got, {"tolerance": 1.0}, 0.375, 0.75, False),
        (expected, expected.copy(), {}, 0.0, 1.0, True),
        (expected, expected + np.float32(0.0625), {"agreement": 0.0}, 0.0625, 1.0, False),
        (expected * 0.001, got * 0.001, {"agreement": 0.75}, 0.000375, 0.75, True),
        (expected[:, ::-1], expected[:, ::-1] * 2, {"tolerance": 9.0}, 2.0, 1.0, True),
        (np.array([[250, 3]], np.uint8), np.array([[200, 9]], np.uint8), {"tolerance": 50}, 50.0, 1.0, True),
        (np.array([[200, 9]], np.uint8), np.array([[250, 3]], np.uint8), {"tolerance": 49}, 50.0, 1.0, False),
        (
            np.array([[-6e4, 0]], np.float16),
            np.array([[6e4, 0]], np.float16),
            {},
            2 * float(np.float16(6e4)),
            0.0,
            False,
        ),
    ]
    cases.append((np.array([[0.5]]), np.array([[0.25]]), {"tolerance": 0.25}, 0.25, 1.0, True))
    wide = rng.normal(size=(7, 3))
    moved = wide + rng.normal(size=(7, 3)) * 0.3
    pairs = list(zip(wide.tolist(), moved.tolist(), strict=True))
    difference = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    same = sum(one.index(max(one)) == other.index(max(other)) for one, other in pairs) / 7
    cases.append((wide, moved, {"tolerance": difference + 1, "agreement": same - 0.01}, difference, same, True))
    for nothing in (math.nan, math.inf, -math.inf):
        broken = got.copy()
        broken[2, 1] = nothing
        cases += [(expected, broken, {"tolerance": 9.0, "agreement": 0.0}, math.inf, 0.0, False)]
        cases += [(broken, expected, {"tolerance": 9.0, "agreement": 0.0}, math.inf, 0.0, False)]
        cases += [(broken, broken.copy(), {"agreement": 0.0}, math.inf, 0.0, False)]
    for one, other in (
        (expected, expected[:1]),
        (np.ones((3, 1)), np.ones((3, 4))),
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(3), np.ones(3)),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2))),
        (np.ones((0, 3)), np.ones((0, 3))),
        (np.ones((3, 0)), np.ones((3, 0))),
    ):
        cases.append((one, other, {"tolerance": 9.0, "agreement": 0.0}, math.inf, 0.0, False))
    for one, other, limits, difference, same, passed in cases:
        report = student.parity(one, other, **limits)
        shown = "".join(f", {name}={value:.4g}" for name, value in limits.items())
        values = f"{one.tolist()} and {other.tolist()}" if one.size <= 12 else "random scores"
        what = f"parity(expected, got{shown}) for {values}"
        if not isinstance(report, dict) or sorted(report) != ["max_difference", "passed", "same_top"]:
            keys = sorted(map(str, report)) if isinstance(report, dict) else type(report).__name__
            raise AssertionError(f"{what}: the report is {keys}; a dictionary with the three keys is expected.")
        for key, kind in (("max_difference", float), ("same_top", float), ("passed", bool)):
            if not isinstance(report[key], kind):
                found = f"{type(report[key]).__module__}.{type(report[key]).__name__}".removeprefix("builtins.")
                raise AssertionError(f"{what}: `{key}` is a {found}; it should be a Python {kind.__name__}.")
        assert_close(report["max_difference"], difference, rtol=1e-6, atol=1e-12, what=f"max_difference of {what}")
        assert_close(report["same_top"], same, what=f"same_top of {what}")
        if report["passed"] is not passed:
            raise AssertionError(f"{what}: `passed` is {report['passed']}; it should be {passed}.")


# ------------------------------------------------------------------------------------------------------- the service
def talk_to_create_app(student, apps, steps, ranking, secret, internals):
    """What applications made by create_app answered, and what their search and decode were called with.

    Answers are told in a form that does not depend on words of one's own: the JSON value or text of a 200; of an error
    whether it is an object, which words of `internals` it holds, and which 401 was the first with the same body.

    Steps are done one after the other: "ask" sends a request and waits for its answer (or not, with wait=False); with
    end=False the end of the body is kept back, and "end" sends it. "inside" waits until so many searches have been
    entered, "let go" lets those return that wait, "ready" sets what `ready()` says, "note" writes down who has an
    answer.
    A drawing says what becomes of it: "hold" waits, "fail X" raises X, "take S" takes S seconds.
    """
    import asyncio
    import builtins
    import json
    import os
    import re
    import socket
    import threading
    from unittest import mock

    import h11
    import prometheus_client
    from uvicorn.config import Config
    from uvicorn.lifespan.on import LifespanOn
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.server import ServerState

    seen = {"now": 1000.0, "ready": True, "inside": 0, "entered": 0, "most": 0, "decoded": [], "searched": []}
    gate, guard = threading.Event(), threading.Lock()
    collectors = prometheus_client.REGISTRY._collector_to_names
    known = set(collectors)

    def fail(name):
        raise (getattr(builtins, name, None) or type(name, (Exception,), {}))(secret)

    def decode(body):
        seen["decoded"].append(body if isinstance(body, bytes) else type(body).__name__)
        if not body.startswith(b"PNG "):
            fail(body.split()[-1].decode() if body else "ValueError")
        return ("drawing", body[4:].decode("latin-1").strip())

    def search(drawing):
        kind, text = drawing if isinstance(drawing, tuple) else ("not what decode made", "")
        with guard:
            seen["searched"].append([kind, text])
            seen["inside"] += 1
            seen["entered"] += 1
            seen["most"] = max(seen["most"], seen["inside"])
        if text.startswith("hold"):
            gate.wait(2.5)
        with guard:
            seen["inside"] -= 1
        if text.startswith("fail"):
            fail(text.split()[1])
        if text.startswith("take"):
            seen["now"] += float(text.split()[1])
        return [] if text == "nothing" else [(name, score) for name, score in ranking]

    class Connection(asyncio.Transport):
        """A connection without a socket: what the server writes goes to an HTTP client."""

        def __init__(self, loop):
            super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 80)})
            self.loop, self.done, self.closing = loop, loop.create_future(), False
            self.client, self.status, self.headers, self.body = h11.Connection(h11.CLIENT), None, {}, b""

        def write(self, data):
            self.client.receive_data(data)
            while (event := self.client.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Response):
                    self.status = event.status_code
                    self.headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    self.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    self.finish()
                    return

        def finish(self):
            if not self.done.done():
                self.done.set_result(None)

        def is_closing(self):
            return self.closing

        def close(self):
            if not self.closing:
                self.closing = True
                self.loop.call_soon(self.protocol.connection_lost, None)
                self.finish()

        def pause_reading(self):
            pass

        def resume_reading(self):
            pass

        def send(self, *events):
            for event in events:
                if self.closing or self.done.done():
                    return
                if data := self.client.send(event):  # the end of a body of known length takes no bytes
                    self.protocol.data_received(data)

        def ask(self, protocol, step):
            body = step.get("body", b"")
            headers = [("Host", "service"), ("Connection", "close"), *map(tuple, step.get("headers", []))]
            if step.get("chunked"):
                headers.append(("Transfer-Encoding", "chunked"))
            elif step.get("method") == "POST":
                headers.append(("Content-Length", str(step.get("length", len(body)))))
            self.protocol = protocol
            protocol.connection_made(self)
            half = len(body) // 2
            self.send(h11.Request(method=step.get("method", "GET"), target=step["target"], headers=headers))
            self.send(*[h11.Data(data=part) for part in (body[:half], body[half:]) if part])
            self.rest = [h11.Data(data=b"x" * (step["length"] - len(body)))] if "length" in step else []
            self.rest.append(h11.EndOfMessage())
            if step.get("end", True):
                self.end()

        def end(self):
            rest, self.rest = self.rest, []
            self.send(*rest)

    connections, notes = {}, {}

    async def converse(loop):
        configs = []
        for settings in apps:
            app = student.create_app(
                search, decode=decode, ready=lambda: seen["ready"], clock=lambda: seen["now"], **settings
            )
            config = Config(app, log_config=None, access_log=False, http=H11Protocol, ws="none", lifespan="auto")
            config.load()
            lifespan = LifespanOn(config)
            await lifespan.startup()
            configs.append((config, lifespan))
        for step in steps:
            if step["do"] == "ask":
                for _ in range(10 if step.get("again") else 1):  # a place may come back a moment after its answer
                    config, lifespan = configs[step.get("app", 0)]
                    connection = connections[step["name"]] = Connection(loop)
                    connection.ask(H11Protocol(config, ServerState(), lifespan.state, loop), step)
                    if step.get("wait", True):
                        await asyncio.wait([connection.done], timeout=step.get("patience", 2.0))
                    if connection.status != 429:
                        break
                    await asyncio.sleep(0.02)
            elif step["do"] == "end":
                connection = connections[step["name"]]
                connection.end()
                await asyncio.wait([connection.done], timeout=2.0)
            elif step["do"] == "inside":
                for _ in range(1000):
                    if seen["entered"] >= step["count"]:
                        break
                    await asyncio.sleep(0.002)
            elif step["do"] == "settle":  # what is done after an answer was sent gets its time
                await asyncio.sleep(0.01)
            elif step["do"] == "let go":
                gate.set()
            elif step["do"] == "ready":
                seen["ready"] = step["says"]
            else:
                notes[step["as"]] = sorted(name for name, one in connections.items() if one.status is not None)
        gate.set()
        for connection in connections.values():
            connection.end()  # nobody is left behind with half a body
        await asyncio.wait([connection.done for connection in connections.values()], timeout=1.0)
        if all(connection.status for connection in connections.values()):
            for _, lifespan in configs:
                await lifespan.shutdown()
            await loop.shutdown_default_executor()

    class PipeEnd:
        """What wakes the event loop; a pair of sockets, the usual means, is denied to submissions."""

        def __init__(self, descriptor):
            self.fileno, self.close = (lambda: descriptor), (lambda: os.close(descriptor))
            self.setblocking = lambda blocking: os.set_blocking(descriptor, blocking)
            self.recv, self.send = (lambda size: os.read(descriptor, size)), (lambda data: os.write(descriptor, data))

    errors = []

    def serve():
        ends = [PipeEnd(descriptor) for descriptor in os.pipe()]
        with mock.patch.object(socket, "socketpair", lambda *_: ends):
            loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(converse(loop))
        except BaseException as error:
            errors.append(error)
        finally:
            loop.close()

    # in a thread, since a notebook's kernel has a running event loop already, and since this one may stand still
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(8)
    for collector in set(collectors) - known:  # so that a default registry is the matter of some checks, not of all
        prometheus_client.REGISTRY.unregister(collector)
    if errors:
        raise errors[0]
    posted = {step["name"] for step in steps if step.get("method") == "POST"}
    first_with = {}  # body of a 401 -> the first request that got it

    def told(name, one):
        kind = one.headers.get("content-type", "")
        text = one.body.decode("utf-8", "replace")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if one.status is None or (one.status == 200 and name in posted):
            return [one.status, value]
        if name not in posted:  # comments and times of creation are the library's own
            lines = [line for line in text.splitlines() if not re.match(r"#|\w+_created\b", line)]
            return [one.status, kind, lines] if name.startswith("metrics") else [one.status]
        is_object = isinstance(value, dict) and kind.partition(";")[0].strip() == "application/json"
        words = [word for word in internals if word in text.lower()]
        error = {"is_object": is_object, "words": words}
        if one.status == 401:
            error["like"] = first_with.setdefault(one.body, name)
        if one.status == 429:
            given = one.headers.get("retry-after")
            fine = given is not None and re.fullmatch(r"[0-9]+", given) and int(given) >= 1
            error["retry_after"] = "a whole number" if fine else given
        return [one.status, error if is_object and not words else {**error, "text": text[:200], "kind": kind}]

    answers = {name: told(name, one) for name, one in connections.items()}
    return {"answers": answers, "notes": notes, **{key: seen[key] for key in ("decoded", "searched", "most")}}


def post(name, drawing="owl", *, query="", headers=(KEY,), body=None, **more):
    """A step that posts a drawing, or other bytes, to the service."""
    body = b"PNG " + drawing.encode() if body is None else body
    step = {"do": "ask", "name": name, "method": "POST", "target": f"/v1/search{query}"}
    return {**step, "headers": [list(header) for header in headers], "body": body, **more}


def get(name, target, **more):
    return {"do": "ask", "name": name, "method": "GET", "target": target, **more}


def talk(student, apps, steps):
    return student.run(talk_to_create_app, apps, steps, RANKING, SECRET, NEVER)


def describe(step):
    if step["method"] == "GET":
        return f"GET {step['target']}"
    shown = ", ".join(f"{name}: {value!r}" for name, value in step["headers"]) or "no header"
    size = "in chunks" if step.get("chunked") else f"{step.get('length', len(step['body']))} bytes"
    body = step["body"] if len(step["body"]) <= 80 else step["body"][:24] + b"..."
    return f"POST {step['target']} with {shown} and the body {body!r} ({size})"


def assert_status(result, step, status, why):
    """The status of one answer; returns the rest that is told of it."""
    found, *told = result["answers"].get(step["name"], [None])
    if found is None:
        raise AssertionError(f"{describe(step)}: no answer came, as if the service stood still. {why}")
    if found != status:
        raise AssertionError(f"{describe(step)}: the answer has status {found}; it should be {status}. {why}")
    return told


def assert_error(result, step, status, why):
    """Status, that the body is a JSON object, and that it holds nothing of an exception."""
    (error,) = assert_status(result, step, status, why)
    if not error["is_object"]:
        raise AssertionError(
            f"{describe(step)}: an error should be a JSON object with Content-Type application/json; "
            f"the answer is {error['text']!r} with {error['kind']!r}."
        )
    if error["words"]:
        raise AssertionError(
            f"{describe(step)}: the answer begins {error['text']!r} and holds the words {', '.join(error['words'])}, "
            "which are internal details."
        )
    return error


def assert_found(result, step, pairs, version="w3"):
    """Status 200, and exactly these results."""
    (found,) = assert_status(result, step, 200, "It is a good request.")
    expected = {"version": version, "results": [{"name": name, "score": score} for name, score in pairs]}
    if found != expected:
        shown, wanted = (json.dumps(value, ensure_ascii=False)[:400] for value in (found, expected))
        raise AssertionError(f"{describe(step)}: the answer is {shown}; it should be {wanted}.")


def properties_described_by_create_app(student, settings):
    """The properties of the answer 200 of POST /v1/search, and of its results, by the application's own document."""
    import prometheus_client

    known = set(prometheus_client.REGISTRY._collector_to_names)
    document = student.create_app(lambda _: [], decode=bytes, ready=lambda: True, **settings).openapi()
    for collector in set(prometheus_client.REGISTRY._collector_to_names) - known:
        prometheus_client.REGISTRY.unregister(collector)

    def properties(schema):
        while "$ref" in schema:
            place = document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                place = place[part]
            schema = place
        return schema.get("properties", {})

    try:
        answers = document["paths"]["/v1/search"]["post"]["responses"]
        outer = properties(answers["200"]["content"]["application/json"]["schema"])
        return [sorted(outer), sorted(properties(outer.get("results", {}).get("items", {})))]
    except KeyError:
        return [[], []]


@points(1)
@catches("k-not-applied", "results-as-pairs", "no-schema", "version-left-out", "only-the-first-key", "body-as-text")
def test_a_search_is_answered(student, rng):
    """A good request gets the version and the first k results, and the answer has a schema."""
    noise = b"PNG " + bytes([*rng.integers(33, 127, size=40), 0xFF, 0x80])
    cases = [
        (post("plain"), RANKING[:5]),
        (post("one", "emu", query="?k=1"), RANKING[:1]),
        (post("many", "elk", query="?k=50"), RANKING),
        (post("other key", "cow", query="?k=6", headers=[["X-API-Key", "Owl.9"]]), RANKING[:6]),
        (post("chunks", query="?k=3", body=noise, chunked=True), RANKING[:3]),
        (post("typed", "hen", headers=[["content-type", "application/json"], ["x-api-key", "t-4711"]]), RANKING[:5]),
        (post("nothing", "nothing", query="?k=4"), []),
    ]
    steps = [step for step, _ in cases]
    result = talk(student, [SETTINGS], steps)
    for step, pairs in cases:
        assert_found(result, step, pairs)
    sent = [step["body"] for step in steps]
    if result["decoded"] != sent:
        raise AssertionError(
            f"After seven good requests, decode had been called with {result['decoded']}; it should be {sent}."
        )
    searched = [["drawing", body[4:].decode("latin-1").strip()] for body in sent]
    if result["searched"] != searched:
        raise AssertionError(
            f"After seven good requests, search had been called with {result['searched']}; it should be called once "
            f"for each of them, with what decode returned: {searched}."
        )
    described = student.run(properties_described_by_create_app, SETTINGS)
    if described != [["results", "version"], ["name", "score"]]:
        raise AssertionError(
            "/openapi.json describes the answer 200 of POST /v1/search as an object with the properties "
            f"{described[0]}, and the results in it with the properties {described[1]}; it should be "
            "['results', 'version'] and ['name', 'score']."
        )


@points(1)
@catches(
    "key-in-the-query",
    "missing-and-wrong-differ",
    "beyond-ascii-crashes",
    "prefix-of-a-key",
    "letter-case-ignored",
    "body-read-before-the-key",
    "k-judged-before-the-key",
    "crash-without-the-header",
)
def test_only_holders_of_a_key_get_in(student):
    """Without a right key in its header a request is refused at once, always in the same words."""
    wrong = ["", "t-471", "t-47110", "T-4711", "t-4711,Owl.9", "Owl", "'t-4711'", "x", "Bearer t-4711"]
    steps = [post("no key", headers=[])]
    steps += [post(f"wrong {n}", headers=[["X-API-Key", value]]) for n, value in enumerate(wrong)]
    steps.append(post("beyond ascii", headers=[["X-API-Key", b"t-\xfc711"]]))
    steps.append(post("bearer", headers=[["Authorization", "Bearer t-4711"]]))
    steps.append(post("cookie", headers=[["Cookie", "X-API-Key=t-4711"]]))
    for number, name in enumerate(("key", "api_key", "x_api_key", "X-API-Key", "x-api-key", "token")):
        steps.append(post(f"query {number}", query=f"?{name}=t-4711", headers=[]))
    steps.append(post("no k", query="?k=99", headers=[]))
    steps.append(post("no drawing", body=b"GIF ValueError", headers=[["X-API-Key", "x"]]))
    steps.append(post("too long", body=b"PNG " + b"x" * 61, headers=[]))
    endless = [post("endless", headers=[], chunked=True, end=False, patience=1.5)]
    endless.append(post("announced", headers=[["X-API-Key", "x"]], length=9000, end=False, patience=1.5))
    late = {"do": "note", "as": "before the end"}
    result = talk(student, [SETTINGS], [*steps, *endless, late, post("good")])
    for step in (*steps, *endless):
        error = assert_error(result, step, 401, "There is no right key in the header X-API-Key.")
        if error["like"] != "no key":
            raise AssertionError(
                f"{describe(step)}: the body of the answer is another than without any key; it should be the same."
            )
    for step in endless:
        if step["name"] not in result["notes"]["before the end"]:
            raise AssertionError(
                f"{describe(step)}: the client had not sent the end of its body, and got no answer before it did. "
                "Whoever has no key should be refused without waiting for the body."
            )
    assert_status(result, post("good"), 200, "Its key is right.")
    if len(result["decoded"]) != 1:
        raise AssertionError(
            f"decode was called {len(result['decoded'])} times for many requests without a right key and one with it."
        )


@points(1)
@catches(
    "only-content-length",
    "body-read-whole",
    "limit-itself-refused",
    "k-unchecked",
    "k-clipped",
    "k-off-by-one",
    "only-value-errors",
    "no-drawing-is-a-500",
    "search-errors-are-422",
    "exceptions-escape",
    "trace-in-the-answer",
    "message-in-the-answer",
)
def test_what_is_refused_and_what_fails(student, rng):
    """Bodies that are too large, no drawing or no k get their status, a failing search 500, all without details."""
    cases = []
    for k in ("0", "51", "-1", "many", "2.5", "1000000", "1e1"):
        cases.append((post(f"k {k}", query=f"?k={k}"), 422, "k is not a whole number from 1 to 50."))
    cases.append((post("both", query="?k=0", body=b"x" * 65), 422, "k is judged before the size."))
    for size in (65, 66, int(rng.integers(70, 300))):
        why = f"The body has {size} bytes, 64 are allowed."
        cases.append((post(f"long {size}", body=b"PNG " + b"x" * (size - 4)), 413, why))
        cases.append((post(f"chunks {size}", body=b"PNG " + b"x" * (size - 4), chunked=True), 413, why))
    cases.append((post("long and strange", body=b"x" * 70), 413, "The size is judged before decoding."))
    early = [
        post("endless", body=b"PNG " + b"x" * 200, chunked=True, end=False, patience=1.5),
        post("announced", body=b"PNG " + b"x" * 200, length=9000, end=False, patience=1.5),
    ]
    cases += [(step, 413, "204 bytes have come, 64 are allowed.") for step in early]
    undecoded = len(cases)
    for name in ("ValueError", "OSError", "SyntaxError", "StrangeError", "KeyError", "RuntimeError", "MemoryError"):
        cases.append((post(f"not {name}", body=f"GIF {name}".encode()), 422, f"decode raised {name}: no drawing."))
    cases.append((post("empty", body=b""), 422, "decode raised ValueError for the empty body."))
    searched = len(cases)
    for name in ("RuntimeError", "ValueError", "KeyError", "OSError", "StrangeError", "TimeoutError"):
        cases.append((post(f"fail {name}", f"fail {name}"), 500, f"search raised {name}."))
    steps = [step for step, _, _ in cases]
    at = steps.index(early[-1]) + 1
    fine = [post("full", body=b"PNG " + b"x" * 60), post("full chunks", body=b"PNG " + b"y" * 60, chunked=True)]
    note = {"do": "note", "as": "before the end"}
    result = talk(student, [SETTINGS], [*steps[:at], note, *steps[at:], *fine])
    for step, status, why in cases:
        assert_error(result, step, status, why)
    for step in early:
        if step["name"] not in result["notes"]["before the end"]:
            raise AssertionError(
                f"{describe(step)}: 204 bytes had been sent, 64 are allowed, and no answer came until the client had "
                "sent the end of its body. A body without an end would fill the memory."
            )
    for step in fine:
        assert_status(result, step, 200, "The body has 64 bytes, as many as are allowed.")
    decoded = [step["body"] for step in (*steps[undecoded:], *fine)]
    if result["decoded"] != decoded:
        extra = [body for body in result["decoded"] if body not in decoded]
        raise AssertionError(
            f"decode was called {len(result['decoded'])} times, {len(decoded)} bodies should have come so far; "
            f"too many are {extra[:3]}."
        )
    texts = [text for _, text in result["searched"]]
    expected = [body[4:].decode() for body in [step["body"] for step in (*steps[searched:], *fine)]]
    if texts != expected:
        raise AssertionError(f"search was called for the drawings {texts}; it should be {expected}.")


@points(2)
@catches(
    "waits-for-a-place",
    "place-lost-after-an-error",
    "place-lost-without-a-drawing",
    "place-taken-before-the-key",
    "place-taken-before-the-body",
    "event-loop-blocked",
    "no-retry-after",
    "one-place-too-few",
    "one-place-too-many",
    "no-limit",
    "places-shared",
    "decoded-before-the-place",
)
def test_places_are_limited_and_given_back(student):
    """More requests at work than allowed are refused at once, and every place comes back, whatever happened."""
    wrong = ["X-API-Key", "x"]
    first = [post("held 1", "hold 1", wait=False), post("held 2", "hold 2", wait=False), {"do": "inside", "count": 2}]
    cases = [
        (post("third", "hold 3", patience=0.3), 429, "Two requests are at work, two are allowed."),
        (post("no drawing", body=b"GIF ValueError"), 429, "A place is needed before anything is decoded."),
        (post("wrong key", headers=[wrong]), 401, "A request without a right key needs no place."),
        (post("no key", headers=[], body=b"GIF ValueError"), 401, "A request without a right key needs no place."),
        (post("bad k", query="?k=0"), 422, "k is judged before a place is needed."),
        (post("too long", body=b"x" * 65), 413, "The size is judged before a place is needed."),
        (post("fourth", "hold 4", patience=0.3, chunked=True), 429, "Two requests are at work, two are allowed."),
    ]
    meanwhile = [
        *(step for step, _, _ in cases),
        get("alive", "/health"),
        get("is ready", "/ready"),
        get("metrics", "/metrics"),
    ]
    slow = [post("slow 1", "slow 1", end=False, wait=False, chunked=True), post("slow 2", "s2", end=False, wait=False)]
    slow[1] |= {"length": len(slow[1]["body"]) + 1}
    failures = [
        ("fail", post("failed", "fail RuntimeError", app=1), 500),
        ("no drawing", post("undrawn", body=b"GIF OSError", app=1), 422),
        ("key", post("unknown", headers=[wrong], app=1), 401),
        ("k", post("k", query="?k=51", app=1), 422),
        ("size", post("large", body=b"x" * 65, app=1), 413),
    ]
    settle = {"do": "settle"}
    later = []
    for _, step, _ in failures:
        later += [{**step, "again": True}, post(f"after {step['name']}", app=1, again=True)]
    slow = [{**step, "app": 1} for step in slow]
    steps = [*first, *meanwhile, post("elsewhere", app=1), {"do": "note", "as": "while two are held"}, {"do": "let go"}]
    steps += [{"do": "end", "name": name} for name in ("held 1", "held 2")]
    steps += [post("afterwards", again=True), *later, *slow, settle, post("overtakes", app=1, again=True), settle]
    steps += [item for step in slow for item in ({"do": "end", "name": step["name"]}, settle)]
    one = {**SETTINGS, "concurrent": 1}
    result = talk(student, [{**SETTINGS, "concurrent": 2}, one], steps)
    for step, status, why in cases:
        if step["name"] not in result["notes"]["while two are held"]:
            raise AssertionError(
                f"{describe(step)}: no answer came while two other requests were at work. It should come at once, with "
                f"status {status}. {why}"
            )
    for step, status, why in cases:
        error = assert_error(result, step, status, why)
        if status == 429 and error["retry_after"] != "a whole number":
            raise AssertionError(
                f"{describe(step)}: the answer 429 has the header Retry-After {error['retry_after']!r}; it should be a "
                "whole number of seconds, at least 1."
            )
    for step in meanwhile[-3:]:
        assert_status(result, step, 200, "It needs no place.")
        if step["name"] not in result["notes"]["while two are held"]:
            raise AssertionError(f"{describe(step)}: no answer came while two requests were at work.")
    for step in (first[0], first[1]):
        assert_status(result, step, 200, "It was at work first, and its search came to an end.")
    if result["most"] > 3:  # two of the one application, one of the other
        raise AssertionError(f"{result['most']} searches were at work at once; two and one are allowed.")
    assert_status(result, post("elsewhere"), 200, "It went to another application, where nobody was at work.")
    assert_status(result, post("afterwards"), 200, "The two requests before it had their answers.")
    for reason, step, status in failures:
        assert_status(result, step, status, "It went to an application for one request at a time, which was free.")
        why = f"The one place should be free: the request before it ended with {status} ({reason})."
        assert_status(result, post(f"after {step['name']}"), 200, why)
    why = "Two clients have sent only parts of their bodies, so nobody is at work."
    assert_status(result, post("overtakes"), 200, why)
    for step in slow:
        assert_status(result, step, 200, "Its body is complete now, and nobody else is at work.")


def read_metrics(lines):
    """Samples of Prometheus' text format: a list of (name, labels, value)."""
    samples = []
    for line in lines:
        if line.strip():
            match = re.fullmatch(r"\s*([A-Za-z_:][\w:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*", line)
            if match is None:
                raise AssertionError(f"GET /metrics: {line!r} is not a line of Prometheus' text format.")
            labels = dict(re.findall(r'([A-Za-z_]\w*)\s*=\s*"([^"]*)"', match[2] or ""))
            samples.append((match[1], labels, float(match[3])))
    return samples


def counted(samples):
    """Requests by status, without statuses that did not occur."""
    found = {}
    for name, labels, value in samples:
        if name == "search_requests_total" and value:
            status = labels.get("status", "no label")
            found[status] = found.get(status, 0) + value
    return found


def total(samples, name):
    values = [value for found, _, value in samples if found == name]
    if not values:
        raise AssertionError(f"GET /metrics: there is no line {name}.")
    return sum(values)


@points(1)
@catches(
    "only-successes-counted",
    "every-route-counted",
    "health-needs-a-key",
    "health-says-ready",
    "ready-asked-once",
    "metrics-of-all-applications",
    "default-registry",
    "metrics-redirected",
    "milliseconds",
    "another-clock",
    "buckets-not-cumulative",
    "status-in-words",
)
def test_health_and_metrics(student):
    """Health, readiness and metrics need no key; the metrics count every search request, by status and by time."""
    calls = {
        "200": [post("a"), post("b", "take 0.3125"), post("c", query="?k=2"), post("d", "take 1.625")],
        "401": [post("e", headers=[]), post("f", headers=[["X-API-Key", "x"]])],
        "413": [post("g", body=b"x" * 80)],
        "422": [post("h", query="?k=0"), post("i", body=b"GIF ValueError"), post("j", body=b"GIF OSError")],
        "500": [post("k", "fail RuntimeError")],
    }
    held = [post("held", "hold 1", wait=False), {"do": "inside", "count": 6}, post("l"), {"do": "let go"}]
    probes = [get("alive", "/health"), {"do": "ready", "says": False}, get("not ready", "/ready")]
    probes += [get("still alive", "/health"), {"do": "ready", "says": True}, get("is ready", "/ready")]
    posts = [step for steps in calls.values() for step in steps]
    settle = {"do": "settle"}
    end = [{"do": "end", "name": "held"}, settle, get("metrics", "/metrics"), get("metrics again", "/metrics")]
    other = [post("other post", app=1), settle, get("metrics elsewhere later", "/metrics", app=1)]
    other.insert(0, get("metrics elsewhere", "/metrics", app=1))
    elsewhere = [get("elsewhere", "/openapi.json"), get("not posted", "/v1/search")]
    elsewhere.append({**post("posted elsewhere"), "target": "/health"})
    apps = [{**SETTINGS, "concurrent": 1}, SETTINGS]
    spaced = [item for step in posts for item in (step, settle)]
    steps = [*probes, *elsewhere, *spaced, *held, *end, *other]
    result = talk(student, apps, steps)

    for name, status, why in (
        ("alive", 200, "It needs no key."),
        ("still alive", 200, "The process is alive, though the model is not loaded."),
        ("not ready", 503, "ready() says False."),
        ("is ready", 200, "ready() says True again, and no key is needed."),
    ):
        assert_status(result, next(step for step in probes if step.get("name") == name), status, why)
    expected = {status: float(len(posts)) for status, posts in calls.items()}
    expected["200"] += 1  # the one that was held
    expected["429"] = 1.0
    for name in ("metrics", "metrics again"):
        content_type, lines = assert_status(result, get(name, "/metrics"), 200, "It needs no key.")
        if content_type.partition(";")[0].strip() != "text/plain":
            raise AssertionError(f"GET /metrics: the Content-Type is {content_type!r}; it should be text/plain.")
        samples = read_metrics(lines)
        found = counted(samples)
        if found != expected:
            raise AssertionError(
                f"GET /metrics: search_requests_total by status is {dict(sorted(found.items()))}; after these requests "
                f"to POST /v1/search it should be {dict(sorted(expected.items()))}."
            )
    number = sum(expected.values())
    seconds = total(samples, "search_seconds_sum")
    assert_close(
        seconds,
        0.3125 + 1.625,
        rtol=1e-6,
        atol=1e-9,
        what="line search_seconds_sum of /metrics, after searches of 0.3125 s and 1.625 s by the given clock",
    )
    assert_equal(total(samples, "search_seconds_count"), number, what="line search_seconds_count of /metrics")
    buckets = {labels.get("le"): value for name, labels, value in samples if name == "search_seconds_bucket"}
    if "+Inf" not in buckets or len(buckets) < 2:
        raise AssertionError(
            f'GET /metrics: search_seconds_bucket has the limits le={sorted(map(str, buckets))}; "+Inf" and at least '
            "one other are expected."
        )
    for limit, value in buckets.items():
        wanted = number - sum(took > float(limit) for took in (0.3125, 1.625))
        if value != wanted:
            raise AssertionError(
                f'GET /metrics: search_seconds_bucket{{le="{limit}"}} is {value:g}; {number:g} requests took 0 s but '
                f"for one of 0.3125 s and one of 1.625 s, so it should be {wanted:g}."
            )
    for name, wanted in (("metrics elsewhere", {}), ("metrics elsewhere later", {"200": 1.0})):
        found = counted(read_metrics(assert_status(result, get(name, "/metrics"), 200, "It needs no key.")[1]))
        if found != wanted:
            raise AssertionError(
                f"GET /metrics of a second application: search_requests_total by status is {found}; it should be "
                f"{wanted}, since requests to the first one do not count here."
            )
