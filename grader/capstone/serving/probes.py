"""Requests that a server must refuse, each with the status it must be refused with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import httpx

from grader.capstone.serving.problems import MEDIA_TYPE
from grader.capstone.serving.sample_images import png_that_claims, scrambled
from grader.capstone.serving.service import DRAWINGS, NAMES
from grader.capstone.serving.settings import KEY_HEADER, Settings

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Probe:
    """A bad request. `body` makes its content anew each time; `with_key` says whether it comes with the right key."""

    title: str
    status: int
    method: str = "POST"
    path: str = NAMES
    media_type: str = "image/png"
    body: Callable[[], bytes | AsyncIterator[bytes]] = bytes
    with_key: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """What a probe was answered; `fault` says what is wrong with that, and is empty when nothing is."""

    title: str
    expected: int
    status: int | None
    fault: str


def bad_requests(settings: Settings, good: bytes) -> list[Probe]:
    """Malformed, oversized and unauthenticated ones, made of the good PNG `good`."""
    too_long = settings.most_bytes + 1
    return [
        Probe("no key", 401, body=lambda: good, with_key=False),
        Probe("wrong key", 401, body=lambda: good, with_key=False, headers={KEY_HEADER: "not the key at all"}),
        Probe("no key and an endless body", 401, body=lambda: _chunks(10 * too_long), with_key=False),
        Probe("unknown path", 404, path="/v2/names", body=lambda: good),
        Probe("a slash too many", 404, path=f"{NAMES}/", body=lambda: good),
        Probe("wrong method", 405, method="GET"),
        Probe("wrong content type", 415, media_type="image/jpeg", body=lambda: good),
        Probe("too many bytes", 413, body=lambda: good + bytes(too_long)),
        Probe("too many bytes in chunks", 413, body=lambda: _chunks(too_long)),
        Probe("k of 0", 422, path=f"{NAMES}?k=0", body=lambda: good),
        Probe("k of 51", 422, path=f"{NAMES}?k=51", body=lambda: good),
        Probe("k that is no number", 422, path=f"{NAMES}?k=many", body=lambda: good),
        Probe("empty body", 422),
        Probe("no PNG", 422, body=lambda: b"GIF89a" + bytes(100)),
        Probe("PNG cut short", 422, body=lambda: good[: len(good) // 2]),
        Probe("PNG with broken pixels", 422, body=lambda: scrambled(good)),
        Probe("image too wide", 422, body=lambda: png_that_claims(settings.most_side + 1, 8)),
        Probe("decompression bomb", 422, body=lambda: png_that_claims(200_000, 200_000)),
        _json_probe("no JSON", 422, b'{"name": '),
        _json_probe("JSON nested without end", 422, b"[" * min(100_000, settings.most_bytes)),
        _json_probe("half a character", 422, b'{"name": "\\ud83d"}'),
        _json_probe("name that is no string", 422, b'{"name": 7}'),
        _json_probe("unknown name", 404, b'{"name": "nothing that was ever drawn"}'),
    ]


def _json_probe(title: str, status: int, body: bytes) -> Probe:
    return Probe(title, status, path=DRAWINGS, media_type="application/json", body=lambda: body)


async def send_probe(client: httpx.AsyncClient, probe: Probe, key: str) -> Refusal:
    """Send a bad request and judge the answer: the right status, as a problem in JSON, with nothing of the inside."""
    headers = {"Content-Type": probe.media_type, **({KEY_HEADER: key} if probe.with_key else {}), **probe.headers}
    try:
        answer = await client.request(probe.method, probe.path, content=probe.body(), headers=headers)
    except httpx.HTTPError as error:
        return Refusal(probe.title, probe.status, None, f"no answer ({type(error).__name__}: {error})")
    return Refusal(probe.title, probe.status, answer.status_code, _fault(probe, answer))


def _fault(probe: Probe, answer: httpx.Response) -> str:
    if answer.status_code != probe.status:
        return f"status {answer.status_code} instead of {probe.status}"
    if answer.headers.get("content-type") != MEDIA_TYPE:
        return f"the answer is {answer.headers.get('content-type')}, not {MEDIA_TYPE}"
    if not answer.json().get("detail"):
        return "the answer does not say what is wrong"
    if "Traceback" in answer.text or ".py" in answer.text:
        return "the answer shows the inside of the server"
    return ""


async def _chunks(length: int) -> AsyncIterator[bytes]:
    """So many bytes, or a few more, piece by piece: HTTP cannot say beforehand how many they are."""
    for _ in range(-(-length // _CHUNK)):
        yield bytes(_CHUNK)
