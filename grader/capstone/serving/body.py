"""Reading a request's body, whose size and speed are the client's choice, within the server's limits."""

from __future__ import annotations

import asyncio

from fastapi import Request

from grader.capstone.serving.problems import refuse


def check_head(request: Request, media_type: str, most_bytes: int) -> None:
    """Refuse by what the head says already: 415 for another media type, 413 for too many bytes."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise refuse(415, f"the body must be {media_type}, and the header Content-Type must say so")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most_bytes:
        raise _too_large(most_bytes)


async def read_body(request: Request, most_bytes: int, seconds: float) -> bytes:
    """The whole body.

    A body in chunks does not say how long it is, so bytes are counted as they come: 413 as soon as there are too many,
    408 when the rest takes too long.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise _too_large(most_bytes)
    except TimeoutError:
        raise refuse(408, f"the body did not come within {seconds:g} seconds", {"Connection": "close"}) from None
    return bytes(body)


def _too_large(most_bytes: int) -> Exception:
    return refuse(413, f"the body must have at most {most_bytes} bytes")
