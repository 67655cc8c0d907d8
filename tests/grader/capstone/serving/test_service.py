"""The web service: every promise of its contract, asked of the real application with a real model."""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.probes import bad_requests, send_probe
from grader.capstone.serving.sample_images import synthetic_png
from grader.capstone.serving.service import create_app
from grader.capstone.serving.settings import KEY_HEADER, KEY_VARIABLE, Settings, find_key
from grader.capstone.vendors import Vendor

KEY = "a key of more than sixteen"
SETTINGS = Settings(KEY, concurrent=2, waiting=1, most_bytes=20_000, most_side=256, retry_after=7)
PNG = {KEY_HEADER: KEY, "Content-Type": "image/png"}
AUTHORISED = {KEY_HEADER: KEY}


@asynccontextmanager
async def client_of(load, settings=SETTINGS, *, wait=True):
    """A client of a started application, once it is ready."""
    app = create_app(load, settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            while wait and (await client.get("/ready")).status_code == 503:
                await asyncio.sleep(0.01)
            yield client


def ask(index, *requests, settings=SETTINGS):
    """Answers to requests (method, path, options), one after the other."""

    async def conversation():
        async with client_of(lambda: index, settings) as client:
            return [await client.request(method, path, **options) for method, path, options in requests]

    answers = asyncio.run(conversation())
    return answers if len(answers) > 1 else answers[0]


def png_of(data, row: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(data.of(Vendor.WINDOWS)[row].permute(1, 2, 0).numpy(), "RGBA").save(stream, "PNG")
    return stream.getvalue()


class SlowIndex:
    """An index that answers only when it is let go, and knows how many are inside at most."""

    def __init__(self, index):
        self.manifest = index.manifest
        self._index = index
        self._lock = threading.Lock()
        self.go = threading.Event()
        self.inside = self.most_inside = 0

    def names_of(self, image, k):
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        assert self.go.wait(20)
        with self._lock:
            self.inside -= 1
        return self._index.names_of(image, k)


class TestAnswers:
    def test_names_of_a_drawing(self, index, data):
        answer = ask(index, ("POST", "/v1/names", {"content": png_of(data, 11), "headers": PNG, "params": {"k": 3}}))
        assert answer.status_code == 200
        body = answer.json()
        assert body["model"] == index.manifest.model_digest
        assert [sorted(one) for one in body["answers"]] == [["characters", "name", "probability"]] * 3
        assert body["answers"][0]["name"] == "Blot no 11"
        assert body["answers"][0]["characters"] == data.concepts[11].characters
        assert 1 >= body["answers"][0]["probability"] > body["answers"][2]["probability"] > 0

    def test_the_pixels_are_those_of_training(self, index, data):
        """A drawing of the model's size goes through HTTP and PNG without the loss of a single bit."""
        drawn = data.of(Vendor.WINDOWS)[30].numpy()
        seen = []

        class Watching:
            manifest = index.manifest

            def names_of(self, image, k):
                seen.append(image)
                return index.names_of(image, k)

        ask(Watching(), ("POST", "/v1/names", {"content": png_of(data, 30), "headers": PNG}))
        scaled = drawn.astype(np.float32) / 255
        assert np.abs(seen[0] - (scaled[:3] * scaled[3:] + 1 - scaled[3:])).max() < 1e-6
        assert seen[0].dtype == np.float32

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "I;16"])
    def test_any_kind_of_png(self, index, mode):
        stream = io.BytesIO()
        grey = Image.fromarray(np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8))
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
        image.save(stream, "PNG")
        expected = io.BytesIO()
        grey.save(expected, "PNG")
        found, plain = ask(
            index, *(("POST", "/v1/names", {"content": s.getvalue(), "headers": PNG}) for s in (stream, expected))
        )
        assert found.status_code == 200
        if mode not in ("1", "P"):  # those lose levels of grey
            assert found.json()["answers"][0] == plain.json()["answers"][0]

    def test_drawings_for_a_name(self, index):
        found, unknown = ask(
            index,
            ("POST", "/v1/drawings", {"json": {"name": "blot_NO 33"}, "headers": AUTHORISED, "params": {"k": 2}}),
            ("POST", "/v1/drawings", {"json": {"name": "blot no 333"}, "headers": AUTHORISED}),
        )
        assert found.status_code == 200
        assert [one["name"] for one in found.json()["answers"]][0] == "Blot no 33"
        assert len(found.json()["answers"]) == 2
        assert unknown.status_code == 404
        assert "Blot no 33" in unknown.json()["detail"]

    def test_k_is_10_by_default_and_at_most_50(self, index, data):
        request = {"content": png_of(data, 0), "headers": PNG}
        default, most = ask(
            index, ("POST", "/v1/names", request), ("POST", "/v1/names", {**request, "params": {"k": 50}})
        )
        assert len(default.json()["answers"]) == 10
        assert len(most.json()["answers"]) == len(data.concepts)

    def test_the_description_has_bodies_answers_and_the_key(self, index):
        described = ask(index, ("GET", "/openapi.json", {})).json()
        names, drawings = (described["paths"][path]["post"] for path in ("/v1/names", "/v1/drawings"))
        assert list(names["requestBody"]["content"]) == ["image/png"]
        assert drawings["requestBody"]["content"]["application/json"]["schema"]["required"] == ["name"]
        assert names["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Ranking")
        assert {"401", "408", "413", "415", "422", "429", "503"} <= set(names["responses"])
        assert list(names["responses"]["413"]["content"]) == ["application/problem+json"]
        assert described["components"]["securitySchemes"]["APIKeyHeader"]["name"] == KEY_HEADER
        assert names["security"]


class TestRefusals:
    def test_every_bad_request_gets_its_status(self, index):
        async def conversation():
            async with client_of(lambda: index) as client:
                probes = bad_requests(SETTINGS, synthetic_png(1))
                return [await send_probe(client, probe, KEY) for probe in probes]

        refusals = asyncio.run(conversation())
        assert len(refusals) > 20
        assert [refusal for refusal in refusals if refusal.fault] == []

    def test_the_key_is_asked_for_before_the_body_is_read(self, index):
        taken = []

        async def endless():
            while len(taken) < 100:
                taken.append(1)
                yield bytes(1000)

        answer = ask(index, ("POST", "/v1/names", {"content": endless(), "headers": {"Content-Type": "image/png"}}))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "APIKey"
        assert not taken

    @pytest.mark.parametrize("key", ["", KEY[:-1], KEY + "x", KEY.upper(), "ключ"])
    def test_no_other_key_will_do(self, index, key):
        headers = {**PNG, KEY_HEADER: key.encode()}
        assert ask(index, ("POST", "/v1/names", {"content": b"", "headers": headers})).status_code == 401

    def test_a_body_in_chunks_is_read_up_to_the_limit_and_no_further(self, index):
        taken = []

        async def endless():
            while len(taken) < 1000:
                taken.append(1)
                yield bytes(1000)

        answer = ask(index, ("POST", "/v1/names", {"content": endless(), "headers": PNG}))
        assert answer.status_code == 413
        assert "20000 bytes" in answer.json()["detail"]
        assert len(taken) == 21

    def test_a_body_that_does_not_come(self, index):
        async def stalled():
            yield b"\x89PNG"
            await asyncio.sleep(20)

        patience = replace(SETTINGS, body_seconds=0.3)
        answer = ask(index, ("POST", "/v1/names", {"content": stalled(), "headers": PNG}), settings=patience)
        assert answer.status_code == 408
        assert "0.3 seconds" in answer.json()["detail"]

    def test_a_body_of_exactly_the_limit(self, index):
        good = synthetic_png(3)
        settings = Settings(KEY, most_bytes=len(good))
        at, above = ask(
            index,
            ("POST", "/v1/names", {"content": good, "headers": PNG}),
            ("POST", "/v1/names", {"content": good + b"\0", "headers": PNG}),
            settings=settings,
        )
        assert (at.status_code, above.status_code) == (200, 413)

    def test_wrong_method_says_which_is_right(self, index):
        answer = ask(index, ("DELETE", "/v1/drawings", {"headers": AUTHORISED}))
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "POST"

    def test_nothing_of_a_failure_inside_is_told(self, index, data):
        class Failing:
            manifest = index.manifest

            def names_of(self, image, k):
                raise RuntimeError("secret place /srv/models")

        answer = ask(Failing(), ("POST", "/v1/names", {"content": png_of(data, 0), "headers": PNG}))
        assert answer.status_code == 500
        assert answer.json()["title"] == "Internal Server Error"
        for secret in ("secret", "/srv", "RuntimeError", "Traceback"):
            assert secret not in answer.text


class TestOverload:
    def test_some_work_some_wait_and_the_rest_is_told_at_once(self, index, data):
        slow = SlowIndex(index)

        async def conversation():
            async with client_of(lambda: slow) as client:
                request = {"content": png_of(data, 5), "headers": PNG}
                first = [asyncio.create_task(client.post("/v1/names", **request)) for _ in range(3)]
                while slow.inside < 2:
                    await asyncio.sleep(0.01)
                refused = await asyncio.wait_for(client.post("/v1/names", **request), 5)
                # The event loop is free, although both threads are at work.
                health = await asyncio.wait_for(client.get("/health"), 5)
                busy = (await client.get("/metrics")).text
                slow.go.set()
                answered = await asyncio.gather(*first)
                again = await client.post("/v1/names", **request)
                return refused, health, busy, answered, again

        refused, health, busy, answered, again = asyncio.run(conversation())
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "7"
        assert health.status_code == 200
        assert "capstone_requests_at_work 3.0" in busy
        assert [answer.status_code for answer in answered] == [200] * 3
        assert again.status_code == 200
        assert slow.most_inside == 2

    def test_a_refused_request_gives_its_place_back(self, index):
        requests = [("POST", "/v1/names", {"content": b"no PNG", "headers": PNG})] * 6
        assert [answer.status_code for answer in ask(index, *requests)] == [422] * 6


class TestLifecycle:
    def test_alive_before_it_is_ready(self, index, data):
        go = threading.Event()

        def load():
            assert go.wait(20)
            return index

        async def conversation():
            async with client_of(load, wait=False) as client:
                request = {"content": png_of(data, 0), "headers": PNG}
                early = [
                    await client.get("/health"),
                    await client.get("/ready"),
                    await client.post("/v1/names", **request),
                ]
                go.set()
                while (ready := await client.get("/ready")).status_code != 200:
                    await asyncio.sleep(0.01)
                return early, ready, await client.post("/v1/names", **request)

        early, ready, late = asyncio.run(conversation())
        assert [answer.status_code for answer in early] == [200, 503, 503]
        assert early[2].headers["Retry-After"] == "7"
        assert ready.json() == {
            "status": "ready",
            "model": index.manifest.model_digest,
            "method": "LoRA",
            "compression": "none",
            "concepts": 48,
        }
        assert late.status_code == 200

    def test_a_model_that_cannot_be_loaded(self, caplog):
        def load():
            raise CapstoneError("the file is broken")

        async def conversation():
            async with client_of(load, wait=False) as client:
                while "log" not in (answer := await client.get("/ready")).text:
                    await asyncio.sleep(0.01)
                return answer, await client.get("/health")

        ready, health = asyncio.run(conversation())
        assert (ready.status_code, health.status_code) == (503, 200)
        assert "broken" not in ready.text
        assert "the file is broken" in caplog.text

    def test_metrics(self, index, data):
        *_, metrics = ask(
            index,
            ("POST", "/v1/names", {"content": png_of(data, 0), "headers": PNG}),
            ("POST", "/v1/names", {"content": png_of(data, 0)}),
            ("GET", "/no/such/path/1", {}),
            ("GET", "/no/such/path/2", {}),
            ("GET", "/metrics", {}),
        )
        assert metrics.headers["content-type"].startswith("text/plain")
        lines = metrics.text.splitlines()
        for line in (
            'capstone_requests_total{path="/v1/names",status="200"} 1.0',
            'capstone_requests_total{path="/v1/names",status="401"} 1.0',
            'capstone_requests_total{path="other",status="404"} 2.0',
            'capstone_request_seconds_count{path="/v1/names"} 2.0',
            "capstone_requests_at_work 0.0",
            "capstone_ready 1.0",
        ):
            assert line in lines
        assert "no/such" not in metrics.text

    def test_two_applications_count_apart(self, index):
        ask(index, ("GET", "/health", {}))
        assert 'path="/health"' not in ask(index, ("GET", "/metrics", {})).text


class TestSettings:
    def test_the_key_comes_from_a_file_or_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
        with pytest.raises(CapstoneError, match=f"--key-file, or set {KEY_VARIABLE}; make one with"):
            find_key()
        monkeypatch.setenv(KEY_VARIABLE, "from the environment")
        assert find_key() == "from the environment"
        (tmp_path / "key").write_text("from a file\n", "utf-8")
        assert find_key(tmp_path / "key") == "from a file"
        with pytest.raises(CapstoneError, match="cannot be read"):
            find_key(tmp_path / "nothing")

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"api_key": "short"}, "at least 16 printable ASCII"),
            ({"api_key": "ключ" * 8}, "at least 16 printable ASCII"),
            ({"concurrent": 0}, "concurrent must be at least 1, not 0"),
            ({"waiting": -1}, "waiting must not be negative"),
        ],
    )
    def test_bad_settings(self, changes, says):
        with pytest.raises(CapstoneError, match=says):
            Settings(**{"api_key": KEY, **changes})
