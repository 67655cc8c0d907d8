"""What a client is told when its request is refused or fails: problem details (RFC 9457), never a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Why a request was not answered with 200."""

    title: str = Field(description="The name of the status.", examples=["Content Too Large"])
    status: int = Field(description="The status once more.", examples=[413])
    detail: str = Field(description="What is wrong with this request, and what would be right.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a FastAPI route that may refuse with these statuses."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def answer_problems(app: FastAPI) -> None:
    """Let every refusal and every failure of `app` be answered with a Problem."""

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return _answer(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(422, explain_errors(error.errors()))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return _answer(400, "the connection closed before the whole body had come")  # for the metrics: nobody reads it

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return _answer(500, "the server failed; its log says why")


def explain_errors(errors: Any) -> str:
    """pydantic's errors in one sentence, without what was sent."""
    return "; ".join(f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}" for error in errors)


def refuse(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HTTPException:
    """The exception that ends a request with this status."""
    return HTTPException(status, detail, dict(headers or {}))


def _answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, headers, media_type=MEDIA_TYPE)
