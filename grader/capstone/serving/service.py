"""The web service: ranks names for a drawing and drawings for a name, and refuses clearly what it cannot answer.

The order of refusals is that of their cost: key (401), parameters (422), head of the body (415, 413), model loaded
(503), a free place (429); only then is the body read (413, 408) and looked at (422, 404).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from grader import __version__
from grader.capstone.serving.admission import Admission, Overloaded
from grader.capstone.serving.body import check_head, read_body
from grader.capstone.serving.index import Index, Ranked
from grader.capstone.serving.metrics import MeasuringMiddleware, Metrics
from grader.capstone.serving.png import UnreadableImage, read_png
from grader.capstone.serving.problems import answer_problems, documented, explain_errors, refuse
from grader.capstone.serving.schemas import MOST_ANSWERS, Health, NameQuery, Ranking, Readiness
from grader.capstone.serving.settings import KEY_HEADER, Settings

NAMES, DRAWINGS = "/v1/names", "/v1/drawings"
HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
_PNG, _JSON = "image/png", "application/json"

Count = Annotated[int, Query(ge=1, le=MOST_ANSWERS, description="How many answers.")]
_Answer = Callable[[Index, bytes, int], list[Ranked]]  # what to answer about a body, at most so many of them
_logger = logging.getLogger("uvicorn.error")  # the one that a person who starts the server sees


class _Service:
    """What the routes of one application share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.index: Index | None = None
        self._missing = "the model is not loaded yet"
        self.metrics = Metrics()
        self._admission = Admission(settings.concurrent, settings.waiting, on_change=self.metrics.at_work.set)
        self._key_digest = hashlib.sha256(settings.api_key.encode()).digest()

    async def load(self, load: Callable[[], Index]) -> None:
        try:
            self.index = await anyio.to_thread.run_sync(load)
        except Exception:
            _logger.exception("the model cannot be loaded")
            self._missing = "the model cannot be loaded; the server's log says why"
            return
        self.metrics.ready.set(1)

    def ready_index(self) -> Index:
        if self.index is None:
            raise refuse(503, self._missing, self._come_back())
        return self.index

    def check_key(self, key: str | None) -> None:
        # Digests have one length, so that the time of the comparison tells neither the key's length nor its beginning.
        given = hashlib.sha256((key or "").encode()).digest()
        if not hmac.compare_digest(given, self._key_digest):
            raise refuse(401, f"the header {KEY_HEADER} must hold the API key", {"WWW-Authenticate": "APIKey"})

    @contextmanager
    def place(self) -> Iterator[None]:
        try:
            with self._admission.enter():
                yield
        except Overloaded:
            raise refuse(429, "the server is busy; try again later", self._come_back()) from None

    async def rank(self, request: Request, media_type: str, k: int, answer: _Answer) -> Ranking:
        """The common way of all requests: what `answer` says, in a thread, about a body within the limits."""
        settings = self.settings
        check_head(request, media_type, settings.most_bytes)
        index = self.ready_index()
        with self.place():
            body = await read_body(request, settings.most_bytes, settings.body_seconds)
            ranked = await self._admission.work(answer, index, body, k)
        return Ranking.of(index.manifest, ranked)

    def names(self, index: Index, body: bytes, k: int) -> list[Ranked]:
        try:
            image = read_png(body, index.manifest.size, self.settings.most_side)
        except UnreadableImage as error:
            raise refuse(422, str(error)) from None
        return index.names_of(image, k)

    def drawings(self, index: Index, body: bytes, k: int) -> list[Ranked]:
        try:
            query = NameQuery.model_validate_json(body)
        except ValidationError as error:
            raise refuse(422, explain_errors(error.errors())) from None
        row = index.row_of(query.name)
        if row is None:
            similar = ", ".join(index.similar_names(query.name))
            raise refuse(404, "no concept has this name" + (f"; similar ones are: {similar}" if similar else ""))
        return index.drawings_of(row, k)

    def _come_back(self) -> dict[str, str]:
        return {"Retry-After": str(self.settings.retry_after)}


def create_app(load: Callable[[], Index], settings: Settings) -> FastAPI:
    """The application. `load` brings the model; it is called in a thread when the application starts.

    The application answers `/health` from its first moment and `/ready` with 200 once the model is there.
    """
    service = _Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load(load))
        yield
        await loading  # a thread cannot be cancelled

    def check_key(key: Annotated[str | None, Depends(APIKeyHeader(name=KEY_HEADER, auto_error=False))] = None) -> None:
        service.check_key(key)

    app = FastAPI(
        title="Names for drawings, drawings for names",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # these two pages load scripts from elsewhere; /openapi.json has all they would show
        redoc_url=None,
        redirect_slashes=False,  # a path with a slash too many is no path of ours, with or without a key
    )
    answer_problems(app)
    refusals = documented(401, 408, 413, 415, 422, 429, 503)
    v1 = APIRouter(dependencies=[Depends(check_key)], responses=refusals)

    # The body is no parameter of these routes: FastAPI would read all of it before it asks for the key.
    @v1.post(NAMES, openapi_extra=_body(_PNG, {"type": "string", "format": "binary"}))
    async def rank_names(request: Request, k: Count = 10) -> Ranking:
        """The likeliest names of a drawing, which is the body, a PNG."""
        return await service.rank(request, _PNG, k, service.names)

    @v1.post(DRAWINGS, openapi_extra=_body(_JSON, NameQuery.model_json_schema()), responses=documented(404))
    async def rank_drawings(request: Request, k: Count = 10) -> Ranking:
        """The concepts whose drawings go best with a name, which must be one the index knows."""
        return await service.rank(request, _JSON, k, service.drawings)

    @app.get(HEALTH)
    async def health() -> Health:
        """Whether the process is alive."""
        return Health()

    @app.get(READY, responses=documented(503))
    async def ready() -> Readiness:
        """Whether the model is loaded, and which it is."""
        return Readiness.of(service.ready_index().manifest)

    @app.get(METRICS, response_class=Response)
    async def metrics() -> Response:
        """Counts and latencies for Prometheus."""
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    app.include_router(v1)
    paths = {NAMES, DRAWINGS, HEALTH, READY, METRICS, app.openapi_url or ""}
    app.add_middleware(MeasuringMiddleware, metrics=service.metrics, paths=paths)
    return app


def _body(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The part of a route's description that FastAPI cannot know."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}
