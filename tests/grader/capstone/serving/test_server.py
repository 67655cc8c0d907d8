"""The server as a process: real connections, a real overload, a real end; and the load test that tries it."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.load_test import LoadReport, run_load_test
from grader.capstone.serving.probes import Refusal, bad_requests, send_probe
from grader.capstone.serving.sample_images import synthetic_png
from grader.capstone.serving.server_process import serving
from grader.capstone.serving.settings import KEY_HEADER, Settings

KEY = "a key of more than sixteen"
SETTINGS = Settings(KEY, concurrent=1, waiting=1, most_bytes=200_000)
PNG = {KEY_HEADER: KEY, "Content-Type": "image/png"}


@pytest.fixture(scope="module")
def url(index_folder):
    with serving(index_folder, SETTINGS) as server:
        yield server.url


def post(url: str, body: bytes, headers=PNG, path="/v1/names") -> httpx.Response:
    return httpx.post(url + path, content=body, headers=headers, trust_env=False, timeout=20)


class HalfSent:
    """A request of which only the first bytes of the body have been sent; it holds a place in the server."""

    def __init__(self, url: str, body: bytes) -> None:
        place = urlsplit(url)
        self.connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        self.connection.putrequest("POST", "/v1/names")
        for name, value in {**PNG, "Content-Length": str(len(body))}.items():
            self.connection.putheader(name, value)
        self.connection.endheaders(body[:10])
        self._rest = body[10:]

    def finish(self) -> int:
        self.connection.send(self._rest)
        return self.connection.getresponse().status


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def at_work(url: str) -> str:
    lines = httpx.get(url + "/metrics", trust_env=False).text.splitlines()
    return next(line.split()[1] for line in lines if line.startswith("capstone_requests_at_work "))


def test_answers_over_a_connection(url):
    answer = post(url, synthetic_png(1))
    assert answer.status_code == 200
    assert len(answer.json()["answers"]) == 10
    assert "server" not in answer.headers


def test_bad_requests_over_connections(url):
    async def conversation():
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            return [await send_probe(client, probe, KEY) for probe in bad_requests(SETTINGS, synthetic_png(1))]

    assert [refusal for refusal in asyncio.run(conversation()) if refusal.fault] == []


def test_an_endless_body_in_chunks_is_stopped(url):
    """The answer comes while the client is still sending, and what it sends is not kept."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        head = f"POST /v1/names HTTP/1.1\r\nHost: x\r\n{KEY_HEADER}: {KEY}\r\nContent-Type: image/png\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        for _ in range(7):
            connection.sendall(chunk)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_overload_and_recovery(url):
    good = synthetic_png(2)
    held = [HalfSent(url, good) for _ in range(2)]
    until(lambda: at_work(url) == "2.0")
    started = time.perf_counter()
    busy = post(url, good)
    assert busy.status_code == 429
    assert busy.headers["Retry-After"] == "1"
    assert time.perf_counter() - started < 2
    assert [request.finish() for request in held] == [200, 200]
    assert post(url, good).status_code == 200


def test_a_client_that_goes_away_gives_its_place_back(url):
    held = HalfSent(url, synthetic_png(2))
    until(lambda: at_work(url) == "1.0")
    held.connection.close()
    until(lambda: at_work(url) == "0.0")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_last_answer_is_given_before_the_end(index_folder, stop):
    program = (
        "import sys; from pathlib import Path\n"
        "from grader.capstone.serving.server import listen, run_server\n"
        "from grader.capstone.serving.settings import Settings\n"
        f"listening = listen('127.0.0.1', 0); print(listening.getsockname()[1], flush=True)\n"
        f"run_server(Path(sys.argv[1]), Settings({KEY!r}), listening)\n"
    )
    command = [sys.executable, "-c", program, str(index_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"

        def ready() -> bool:
            try:
                return httpx.get(url + "/ready", trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        until(ready)
        held = HalfSent(url, synthetic_png(2))
        until(lambda: at_work(url) == "1.0")
        os.kill(process.pid, stop)
        until(lambda: not ready())  # nobody new is let in
        assert process.poll() is None
        assert held.finish() == 200
        held.connection.close()
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert "Traceback" not in said
    assert "Application shutdown complete" in said


class TestLoadTest:
    def test_with_four_clients(self, index_folder):
        report = run_load_test(index_folder, clients=4, seconds=2, concurrent=1, waiting=1)
        assert report.faults == []
        assert report.statuses["200"] > 20
        assert report.statuses["429"] > 0  # four clients, two places
        assert set(report.statuses) == {"200", "429"}
        assert report.requests_per_second == pytest.approx(report.statuses["200"] / report.seconds)
        assert 0 < report.p50 <= report.p95 <= report.p99
        assert len(report.refusals) > 20
        assert report.as_json()["faults"] == []

    def test_no_index(self, tmp_path):
        with pytest.raises(CapstoneError, match="not an exported index"):
            run_load_test(tmp_path, clients=1, seconds=1)

    def test_what_counts_as_a_fault(self):
        good = LoadReport(16, 30, 100, 1, 2, 3, {"200": 5, "429": 7}, [Refusal("no key", 401, 401, "")], True)
        assert good.faults == []
        assert replace(good, statuses={"200": 5, "500": 1}).faults == ["1 requests ended with 500"]
        assert replace(good, statuses={"200": 5, "ReadError": 2}).faults == ["2 requests ended with ReadError"]
        assert replace(good, statuses={"429": 5}).faults == ["no request was answered with 200"]
        assert replace(good, stopped_cleanly=False).faults == ["the server did not stop cleanly when it was told to"]
        bad = Refusal("no key", 401, 200, "status 200 instead of 401")
        assert replace(good, refusals=[bad]).faults == ["no key: status 200 instead of 401"]
