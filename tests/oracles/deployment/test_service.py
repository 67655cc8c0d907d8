"""The reference of deployment/service against a table of rules in plain Python, over Starlette's client and a port."""

import base64
import http.client
import json
import math
import re
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
testclient = pytest.importorskip("fastapi.testclient")

from reference.deployment import service as lesson  # noqa: E402
from reference.deployment.service import create_app  # noqa: E402

SETTINGS = dict(
    model_version="v9", max_text_chars=5, max_image_bytes=4, allowed_types={"image/png", "image/jpeg"}, timeout_s=2.0
)
GOOD = {"id": "a", "text": "Why?", "image": "iVBORw==", "image_type": "image/png"}


def status_by_the_rules(body):
    """The status of a JSON value sent as application/json to an application that knows no id yet."""
    if not isinstance(body, dict) or body.keys() != GOOD.keys():
        return 400
    if not all(isinstance(value, str) for value in body.values()):
        return 400
    try:
        image = base64.b64decode(body["image"], validate=True)
    except ValueError:
        return 400
    rules = (
        (413, len(body["text"]) > 5 or len(image) > 4),
        (415, body["image_type"] not in SETTINGS["allowed_types"]),
        (422, body["text"].strip() == "" or image == b""),
    )
    return next((status for status, applies in rules if applies), 200)


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=7), st.lists(st.text())
)
texts = st.text(max_size=7)
images = st.binary(max_size=6).map(lambda data: base64.b64encode(data).decode())
types = st.sampled_from(["image/png", "image/gif", ""])
bodies = st.one_of(
    values,
    st.dictionaries(st.sampled_from([*GOOD, "more"]), values),
    st.fixed_dictionaries({"id": texts, "text": texts, "image": images, "image_type": types}),
    st.fixed_dictionaries({"id": st.just("a"), "text": texts, "image": texts, "image_type": types}),
)


@settings(max_examples=100, deadline=None)
@given(body=bodies)
def test_every_body_gets_the_status_of_the_rules(body):
    calls = []
    client = testclient.TestClient(create_app(lambda *request: calls.append(request) or ("yes", 0.5), **SETTINGS))
    sent = json.dumps(body, ensure_ascii=False)
    response = client.post("/predict", content=sent, headers={"content-type": "application/json"})
    assert response.status_code == status_by_the_rules(body), response.text
    assert len(calls) == (response.status_code == 200)
    json.dumps(response.json(), allow_nan=False)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (("yes", np.float32(0.1)), 200),
        (("yes", np.float64(0.1)), 200),
        (("yes", np.int32(3)), 200),
        ((np.str_("yes"), 2), 200),
        (["yes", -0.5], 200),
        (("yes", math.nan), 503),
        (("yes", np.float32("inf")), 503),
        (("yes", "0.5"), 503),
        (("yes", 10**400), 503),
        (("yes", 1j), 503),
        ((b"yes", 0.5), 503),
        (("yes", 0.5, 0.5), 503),
        (0.5, 503),
        (None, 503),
    ],
)
def test_answers_of_the_model(answer, status):
    response = testclient.TestClient(create_app(lambda *_: answer, **SETTINGS)).post("/predict", json=GOOD)
    assert response.status_code == status, response.text
    if status == 200:
        assert response.json() == {"id": "a", "label": "yes", "score": float(answer[1]), "model_version": "v9"}


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), KeyError("secret"), StopIteration("secret"), OSError(2, "s")]
)
def test_failures_of_the_model_say_nothing(error):
    def predict(text, image):
        raise error

    response = testclient.TestClient(create_app(predict, **SETTINGS)).post("/predict", json=GOOD)
    assert response.status_code == 503
    assert "secret" not in response.text and type(error).__name__ not in response.text


def test_time_by_the_given_clock():
    readings = iter([10.0, 12.0, 20.0, 22.25])
    client = testclient.TestClient(create_app(lambda *_: ("yes", 1), **SETTINGS, clock=lambda: next(readings)))
    assert client.post("/predict", json=GOOD).status_code == 200
    assert client.post("/predict", json=GOOD | {"id": "b"}).status_code == 503


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 50_000, json.dumps(GOOD | {"id": "\ud83d"}).encode()]
)
def test_bodies_that_are_no_json(body):
    client = testclient.TestClient(create_app(lambda *_: ("yes", 1), **SETTINGS))
    headers = {"content-type": "application/json"}
    assert client.post("/predict", content=body, headers=headers).status_code == 400
    for other in ({}, {"content-type": "text/plain"}, {"content-type": "application/json-patch+json"}):
        assert client.post("/predict", content=json.dumps(GOOD), headers=other).status_code == 415


def test_over_a_port():
    """A real server, and clients at the same time."""
    inside, most, calls = [], [], []

    def predict(text, image):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(text)
        calls.append((text, image))
        return "yes", np.float32(0.25)

    config = uvicorn.Config(create_app(predict, **SETTINGS), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    found = {}

    def ask(number, body):
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
        connection.request("POST", "/predict", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        found[number] = response.status, json.loads(response.read())
        connection.close()

    requests = [GOOD, GOOD, GOOD | {"id": "b", "text": "Who?"}, GOOD | {"text": " "}, GOOD | {"image": "?"}]
    clients = [threading.Thread(target=ask, args=pair) for pair in enumerate(requests)]
    try:
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    assert [found[number][0] for number in range(5)] == [200, 200, 200, 422, 400]
    assert found[0] == found[1] == (200, {"id": "a", "label": "yes", "score": 0.25, "model_version": "v9"})
    assert sorted(calls) == [("Who?", b"\x89PNG"), ("Why?", b"\x89PNG")]
    assert max(most) == 1


def test_claims_that_can_be_computed():
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    masked = np.where(np.arange(64) % 2, weights, 0).astype(np.float32)
    assert (masked.nbytes < weights.nbytes) == lesson.claims["zeros_in_place"]
    assert (math.ceil(3 * 90 / 50) == 6) == lesson.claims["six_replicas"]
    # 95 samples of a frequent class, 5 of a rare one
    rare = np.arange(100) >= 95
    before, after = np.where(rare, 1, np.arange(100) < 85), np.where(rare, 0, np.arange(100) < 90)
    assert before.mean() == after.mean()
    assert (after[rare].mean() < before[rare].mean()) == lesson.claims["hidden_loss"]


def test_the_worked_example():
    limits = dict(max_text_chars=20, max_image_bytes=1000, allowed_types=["image/png"], timeout_s=1.0)
    calls = []
    app = create_app(lambda *sent: calls.append(sent) or ("cat", 0.875), model_version="pets-7", **limits)
    client = testclient.TestClient(app)
    body = {"id": "q1", "text": "Which animal?", "image": "iVBORw==", "image_type": "image/png"}
    assert client.post("/predict", json=body | {"id": 1}).status_code == 400
    assert client.post("/predict", json=body | {"image_type": "image/gif", "text": " " * 21}).status_code == 413
    assert not calls
    expected = {"id": "q1", "label": "cat", "score": 0.875, "model_version": "pets-7"}
    assert client.post("/predict", json=body).json() == expected


def test_the_visible_cell_passes_with_the_reference():
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    cell = re.search(r'# %% tags=\["visible-checks", "active-ipynb"\]\n((?:#.*\n)+)', text)
    exec(re.sub(r"(?m)^# ?", "", cell.group(1)), {**vars(lesson)})
