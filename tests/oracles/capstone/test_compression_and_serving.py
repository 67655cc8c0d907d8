"""The reference of capstone/compression_and_serving against torch, and over Starlette's client and a real port."""

import http.client
import json
import math
import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

pytest.importorskip("fastapi")
parser = pytest.importorskip("prometheus_client.parser")
uvicorn = pytest.importorskip("uvicorn")
testclient = pytest.importorskip("fastapi.testclient")

from reference.capstone import compression_and_serving as lesson  # noqa: E402
from reference.capstone.compression_and_serving import create_app, dequantise, parity, prune, quantise  # noqa: E402

KEY = {"X-API-Key": "k-1"}
RANKING = [("owl", 0.5), ("duck", 0.25), ("bat", -0.5)]


# ------------------------------------------------------------------------------------------------------- the weights
@pytest.mark.parametrize("seed", range(5))
def test_quantise_is_torchs_per_channel_quantisation(seed):
    weight = np.random.default_rng(seed).normal(size=(5, 40)).astype(np.float32) * np.float32(
        [[1], [9], [1e-4], [3], [40]]
    )
    levels, scale = quantise(weight)
    zeros = torch.zeros(5, dtype=torch.int32)
    scales = torch.from_numpy(scale[:, 0])
    expected = torch.fake_quantize_per_channel_affine(torch.from_numpy(weight), scales, zeros, 0, -127, 127)
    np.testing.assert_allclose(dequantise(levels, scale), expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(scale[:, 0], np.abs(weight.astype(float)).max(axis=1) / 127, rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.37, 0.9, 0.99])
def test_prune_is_torchs_global_pruning(fraction):
    rng = np.random.default_rng(3)
    weights = {f"layer {n}": rng.normal(size=(4, 3 + n)).astype(np.float32) * (n + 1) for n in range(3)}
    layers = [nn.Linear(w.shape[1], w.shape[0]) for w in weights.values()]
    for layer, weight in zip(layers, weights.values(), strict=True):
        layer.weight.data = torch.from_numpy(weight.copy())
    number = round(fraction * sum(w.size for w in weights.values()))
    places = [(layer, "weight") for layer in layers]
    torch_prune.global_unstructured(places, torch_prune.L1Unstructured, amount=number)
    for layer, matrix in zip(layers, prune(weights, fraction).values(), strict=True):
        np.testing.assert_array_equal(layer.weight.detach().numpy(), matrix)


@given(
    values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=6, max_size=6), fraction=st.floats(0, 0.999)
)
@settings(max_examples=60, deadline=None)
def test_prune_takes_the_exact_number_of_the_smallest(values, fraction):
    weights = {"a": np.float32([values[:2]]), "b": np.float32(values[2:]).reshape(2, 2)}
    pruned = np.concatenate([matrix.ravel() for matrix in prune(weights, fraction).values()])
    before = np.float32(values)
    gone = pruned != before
    number = round(fraction * 6)
    assert number - int((before == 0).sum()) <= int(gone.sum()) <= number
    assert not gone.any() or np.abs(before[gone]).max() <= np.abs(pruned[pruned != 0]).min(initial=9)


def test_parity_against_torch():
    expected = torch.randn(50, 7, generator=torch.Generator().manual_seed(1))
    got = expected + 0.2 * torch.randn(50, 7, generator=torch.Generator().manual_seed(2))
    report = parity(expected.numpy(), got.numpy(), tolerance=9.0, agreement=0.5)
    assert report["max_difference"] == pytest.approx(torch.dist(expected.double(), got.double(), p=math.inf).item())
    same = torch.topk(expected, 1).indices == torch.topk(got, 1).indices
    assert report["same_top"] == pytest.approx(same.double().mean().item())
    assert report["passed"] is True
    assert parity(expected.numpy(), got.numpy())["passed"] is False


# ------------------------------------------------------------------------------------------------------- the service
def decode(body):
    if not body.startswith(b"\x89PNG"):
        raise OSError("secret")
    return body


def application(search=lambda drawing: RANKING, **changes):
    limits = dict(keys={"k-1", "k-2"}, version="w3", max_bytes=100, concurrent=2)
    return create_app(search, **{"decode": decode, "ready": lambda: True, **limits, **changes})


drawings = st.binary(max_size=120).map(lambda rest: b"\x89PNG" + rest)
keys = st.sampled_from(["k-1", "k-2", "k", "K-1", "", None])


@settings(max_examples=60, deadline=None)
@given(body=drawings | st.binary(max_size=120), key=keys, k=st.integers(-3, 60) | st.sampled_from(["", "x", "1.5"]))
def test_every_request_gets_the_status_of_the_rules(body, key, k):
    client = testclient.TestClient(application())
    headers = {} if key is None else {"X-API-Key": key}
    response = client.post("/v1/search", params={"k": k}, content=body, headers=headers)
    rules = (
        (401, key not in ("k-1", "k-2")),
        (422, not isinstance(k, int) or not 1 <= k <= 50),
        (413, len(body) > 100),
        (422, not body.startswith(b"\x89PNG")),
    )
    status = next((status for status, applies in rules if applies), 200)
    assert response.status_code == status, response.text
    assert "secret" not in response.text
    if status == 200:
        results = [{"name": name, "score": score} for name, score in RANKING[:k]]
        assert response.json() == {"version": "w3", "results": results}


def test_metrics_are_what_prometheus_reads():
    now = [0.0]

    def search(drawing):
        now[0] += 0.3
        if drawing.endswith(b"!"):
            raise RuntimeError("secret")
        return RANKING

    client = testclient.TestClient(application(search, clock=lambda: now[0]))
    for body, headers in ((b"\x89PNG", KEY), (b"\x89PNG!", KEY), (b"GIF", KEY), (b"\x89PNG", {})):
        client.post("/v1/search", content=body, headers=headers)
    families = {family.name: family for family in parser.text_string_to_metric_families(client.get("/metrics").text)}
    counts = {sample.labels["status"]: sample.value for sample in families["search_requests"].samples
              if sample.name == "search_requests_total"}  # fmt: skip
    assert counts == {"200": 1, "500": 1, "422": 1, "401": 1}
    seconds = families["search_seconds"]
    assert seconds.type == "histogram"
    values = {(sample.name, sample.labels.get("le")): sample.value for sample in seconds.samples}
    assert values["search_seconds_count", None] == values["search_seconds_bucket", "+Inf"] == 4
    assert values["search_seconds_sum", None] == pytest.approx(0.6)
    assert values["search_seconds_bucket", "0.25"] == 2 and values["search_seconds_bucket", "0.5"] == 4


def test_under_load_over_a_port():
    """Eight clients, two places: every answer is 200 or a 429 at once, and the places are all there afterwards."""

    def search(drawing):
        time.sleep(0.02)
        return RANKING

    config = uvicorn.Config(application(search), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    found = Counter()

    def ask(times):
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
        for _ in range(times):
            connection.request("POST", "/v1/search?k=1", b"\x89PNG", KEY)
            response = connection.getresponse()
            text = response.read()
            found[response.status] += 1
            assert (response.getheader("Retry-After") is not None) == (response.status == 429)
            if response.status == 200:
                assert len(json.loads(text)["results"]) == 1
        connection.close()

    try:
        clients = [threading.Thread(target=ask, args=(6,)) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert set(found) == {200, 429} and found.total() == 48
        ask(2)
        assert found.total() == 50 and found[429] < 47
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


# ------------------------------------------------------------------------------------------------ the lesson's examples
def test_the_worked_examples():
    levels, scale = quantise(np.float32([[-0.508, 0.1, 0.0]]))
    assert levels.tolist() == [[-127, 25, 0]] and scale[0, 0] == pytest.approx(0.004)
    both, shared = np.float32([[-0.508, 0.1, 0.0], [50.8, 0, 0]]), 0.4
    assert np.rint(both[0] / shared).tolist() == [-1, 0, 0]

    weights = {"image": np.float32([[0.9, -0.2]]), "text": np.float32([[0.3, -0.2], [0.2, -4.0]])}
    half = prune(weights, 0.5)
    np.testing.assert_allclose(half["image"], [[0.9, 0]])
    np.testing.assert_allclose(half["text"], [[0.3, 0], [0, -4]])
    third = prune(weights, 0.3)
    np.testing.assert_allclose(third["image"], [[0.9, 0]])
    np.testing.assert_allclose(third["text"], [[0.3, 0], [0.2, -4]])

    scores = np.array([[0.5, 0.25], [0.75, 1.0]]), np.array([[0.5, 0.375], [0.75, 0.625]])
    expected = {"max_difference": 0.375, "same_top": 0.5, "passed": True}
    assert parity(*scores, tolerance=0.375, agreement=0.5) == expected

    client = testclient.TestClient(application(keys={"t-4711"}))
    headers, drawing = {"X-API-Key": "t-4711"}, b"\x89PNG" + b"x" * 96
    response = client.post("/v1/search?k=2", content=drawing, headers=headers)
    results = [{"name": "owl", "score": 0.5}, {"name": "duck", "score": 0.25}]
    assert response.status_code == 200 and response.json() == {"version": "w3", "results": results}
    for k, body, sent, status in ((0, drawing, headers, 422), (2, drawing + b"x", headers, 413)):
        assert client.post(f"/v1/search?k={k}", content=body, headers=sent).status_code == status
    assert client.post("/v1/search?k=0", content=drawing + b"x", headers=headers).status_code == 422
    assert client.post("/v1/search?k=0", content=drawing + b"x").status_code == 401


def cell(start):
    text = Path(lesson.__file__).read_text(encoding="utf-8")
    found = re.search(rf"# %% tags=\[{start}\]\n((?:#.*\n)+)", text)
    return re.sub(r"(?m)^# ?", "", found.group(1))


def test_the_visible_cell_passes_with_the_reference():
    exec(cell('"visible-checks", "active-ipynb"'), {**vars(lesson)})
