"""What a server is told at its start, and where its key comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from grader.capstone.errors import CapstoneError

KEY_VARIABLE = "COURSE_API_KEY"
KEY_HEADER = "X-API-Key"
_SHORTEST_KEY = 16
_NEW_KEY = "python -c 'import secrets; print(secrets.token_urlsafe())'"


@dataclass(frozen=True)
class Settings:
    """Limits of a server; bytes are those of a request's body, `most_side` is in pixels."""

    api_key: str
    concurrent: int = 2
    waiting: int = 8
    most_bytes: int = 1_000_000
    most_side: int = 2048
    body_seconds: float = 10.0
    retry_after: int = 1

    def __post_init__(self) -> None:
        if len(self.api_key) < _SHORTEST_KEY or not self.api_key.isascii() or not self.api_key.isprintable():
            raise CapstoneError(
                f"the API key must have at least {_SHORTEST_KEY} printable ASCII characters; make one with: {_NEW_KEY}"
            )
        for name in ("concurrent", "most_bytes", "most_side", "retry_after"):
            if getattr(self, name) < 1:
                raise CapstoneError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.waiting < 0:
            raise CapstoneError(f"waiting must not be negative, but is {self.waiting}")


def find_key(file: Path | None = None) -> str:
    """The API key from a file or, without one, from the environment.

    It is never an argument of a command, which every user of a machine can read in the list of its processes. Raises
    CapstoneError when there is none.
    """
    if file is not None:
        try:
            return file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise CapstoneError(f"{file}: the API key cannot be read ({error})") from error
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        return key
    raise CapstoneError(
        f"there is no API key: name a file with --key-file, or set {KEY_VARIABLE}; make one with: {_NEW_KEY}"
    )
