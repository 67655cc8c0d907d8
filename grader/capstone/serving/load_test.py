"""A load test on loopback: a real server in a process of its own, real connections, every answer judged.

The clients do as the service asks: after a 429 they come back when Retry-After says so. Anything but 200 and 429 is a
failure, and so is a bad request that is not refused as it should be.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from grader.capstone.serving.manifest import read_manifest
from grader.capstone.serving.probes import Refusal, bad_requests, send_probe
from grader.capstone.serving.sample_images import synthetic_png
from grader.capstone.serving.server_process import serving
from grader.capstone.serving.service import DRAWINGS, NAMES
from grader.capstone.serving.settings import KEY_HEADER, Settings

CLIENTS, SECONDS = 16, 30.0
_ANSWER_SECONDS = 10
_BODIES = 16
_ONE_IN = 8  # one request in so many asks for drawings instead of names


@dataclass(frozen=True)
class LoadReport:
    """What a load test found. Latencies are milliseconds of requests that were answered with 200."""

    clients: int
    seconds: float
    requests_per_second: float
    p50: float
    p95: float
    p99: float
    statuses: dict[str, int]
    refusals: list[Refusal]
    stopped_cleanly: bool

    @property
    def faults(self) -> list[str]:
        """What must not have happened; empty when the server did well."""
        allowed = {"200", "429"}
        faults = [
            f"{count} requests ended with {status}" for status, count in self.statuses.items() if status not in allowed
        ]
        if not self.statuses.get("200"):
            faults.append("no request was answered with 200")
        faults += [f"{refusal.title}: {refusal.fault}" for refusal in self.refusals if refusal.fault]
        if not self.stopped_cleanly:
            faults.append("the server did not stop cleanly when it was told to")
        return faults

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "faults": self.faults}


@dataclass
class _Tally:
    statuses: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)


def run_load_test(
    folder: Path, *, clients: int = CLIENTS, seconds: float = SECONDS, concurrent: int = 2, waiting: int = 8
) -> LoadReport:
    """Start a server for an exported index, load it, then send it bad requests."""
    settings = Settings(secrets.token_urlsafe(), concurrent=concurrent, waiting=waiting)
    names = [concept.name for concept in read_manifest(folder).concepts]
    bodies = [synthetic_png(seed) for seed in range(_BODIES)]
    with serving(folder, settings) as server:
        tally, taken = asyncio.run(_load(server.url, settings.api_key, bodies, names, clients, seconds))
        refusals = asyncio.run(_probe(server.url, settings, bodies[0]))
    p50, p95, p99 = np.percentile(tally.milliseconds, [50, 95, 99]) if tally.milliseconds else (float("nan"),) * 3
    return LoadReport(
        clients=clients,
        seconds=taken,
        requests_per_second=tally.statuses["200"] / taken,
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        statuses=dict(sorted(tally.statuses.items())),
        refusals=refusals,
        stopped_cleanly=server.exit_code == 0,
    )


async def _load(
    url: str, key: str, bodies: Sequence[bytes], names: Sequence[str], clients: int, seconds: float
) -> tuple[_Tally, float]:
    tally = _Tally()
    started = time.perf_counter()
    end = started + seconds
    await asyncio.gather(*(_client(number, url, key, bodies, names, end, tally) for number in range(clients)))
    return tally, time.perf_counter() - started


async def _client(
    number: int, url: str, key: str, bodies: Sequence[bytes], names: Sequence[str], end: float, tally: _Tally
) -> None:
    """One client, which keeps its connection and sends one request after the other until `end`."""
    async with _connect(url) as client:
        turn = number
        while (begun := time.perf_counter()) < end:
            turn += 1
            try:
                if turn % _ONE_IN:
                    png = {"Content-Type": "image/png", KEY_HEADER: key}
                    answer = await client.post(NAMES, content=bodies[turn % len(bodies)], headers=png)
                else:
                    answer = await client.post(
                        DRAWINGS, json={"name": names[turn % len(names)]}, headers={KEY_HEADER: key}
                    )
            except httpx.HTTPError as error:
                tally.statuses[type(error).__name__] += 1
                continue
            tally.statuses[str(answer.status_code)] += 1
            if answer.status_code == 200:
                tally.milliseconds.append(1000 * (time.perf_counter() - begun))
            elif answer.status_code == 429:
                await asyncio.sleep(min(float(answer.headers["Retry-After"]), max(0.0, end - time.perf_counter())))


async def _probe(url: str, settings: Settings, good: bytes) -> list[Refusal]:
    async with _connect(url) as client:
        return [await send_probe(client, probe, settings.api_key) for probe in bad_requests(settings, good)]


def _connect(url: str) -> httpx.AsyncClient:
    # No certificates (reading them takes longer than many a request) and no proxy: this is loopback.
    return httpx.AsyncClient(base_url=url, timeout=_ANSWER_SECONDS, verify=False, trust_env=False)
