"""What Prometheus is told about an application, in a registry of the application's own."""

from __future__ import annotations

import time
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Seconds; an answer takes some milliseconds, and one that waits in the queue some tens.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_OTHER = "other"


class Metrics:
    """Requests by path and status, their latencies, and how many are at work."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["path", "status"]
        self.requests = Counter("capstone_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "capstone_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["path"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.at_work = Gauge("capstone_requests_at_work", "Requests let in, waiting ones too.", registry=self.registry)
        self.ready = Gauge("capstone_ready", "1 when the model is loaded.", registry=self.registry)

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class MeasuringMiddleware:
    """Counts every request of an application.

    Paths that are none of the application's count as one, since every value of a label is kept in memory for good: a
    client that asks for a million paths must not make a million counters.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            path = scope["path"] if scope["path"] in self._paths else _OTHER
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)
