"""The small files that nbgrader keeps beside a submission: when it was handed in, and the secret of its feedback."""

from __future__ import annotations

import os
import stat
from datetime import datetime
from pathlib import Path

TIMESTAMP_FILE = "timestamp.txt"
SECRET_FILE = "submission_secret.txt"  # noqa: S105
TEXT_LIMIT = 400  # bytes; nbgrader writes a time, and 128 hexadecimal digits


class BadTimestamp(ValueError):
    """A file is there, and what stands in it is not a time."""


def read_small_text(path: Path, limit: int = TEXT_LIMIT) -> str | None:
    """Text of a student's small file, cut at `limit` bytes; None where there is no ordinary readable file.

    Neither a link nor a pipe is opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        try:
            return file.read(limit).decode()
        except (OSError, UnicodeDecodeError):
            return ""


def parse_timestamp(text: str) -> datetime:
    """The time that nbgrader's file names, in UTC without a zone, as its database keeps it. Raises BadTimestamp."""
    from nbgrader.utils import parse_utc

    try:
        timestamp: datetime = parse_utc(text.strip())
    except (ValueError, OverflowError, TypeError) as error:
        raise BadTimestamp(text[:TEXT_LIMIT]) from error
    return timestamp


def read_timestamp(folder: Path) -> datetime | None:
    """When a submission was handed in; None where that is not known."""
    text = read_small_text(folder / TIMESTAMP_FILE)
    try:
        return parse_timestamp(text) if text else None
    except BadTimestamp:
        return None
