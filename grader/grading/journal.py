"""The journal: one line of JSON a result, on disk before it is reported.

A run that is killed at any moment loses nothing that was reported; the next one reads the journal and grades only what
changed. A last line that was cut off is dropped.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from grader.checking.record import ResultRecord

JOURNAL_NAME = "journal.jsonl"


class JournalError(RuntimeError):
    """The journal cannot be read or written."""


@dataclass(frozen=True)
class JournalKey:
    """What a result depends on: when any of it differs, the submission is graded again."""

    student: str
    exercise: str
    submission_hash: str
    checks_hash: str
    environment: tuple[tuple[str, str], ...]
    seed: int

    @classmethod
    def of(cls, record: ResultRecord) -> JournalKey:
        """The key of a graded record."""
        environment = tuple(sorted(record.environment.items()))
        return cls(
            record.student, record.exercise, record.submission_hash, record.checks_hash, environment, record.seed
        )


def read_journal(path: Path) -> Iterator[ResultRecord]:
    """All results in a journal, oldest first; lines that are cut off, damaged or of another version are passed over.

    Raises JournalError when the file exists and cannot be read.
    """
    if not path.exists():
        return
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"{path}: the journal cannot be read: {error.strerror}") from None
    for line in lines:
        try:
            record = ResultRecord.from_dict(json.loads(line))
            hash(JournalKey.of(record))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        yield record


class Journal:
    """An open journal. `append` is thread-safe and returns once the line is on disk."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """Open for appending; with `fresh`, earlier results are forgotten. Raises JournalError."""
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb" if fresh else "ab")
            if not fresh and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
                self._file.write(b"\n")  # after a line that was cut off
        except OSError as error:
            raise JournalError(f"{path}: the journal cannot be written: {error.strerror}") from None

    def append(self, record: ResultRecord) -> None:
        """Write a result. Raises JournalError when it cannot be put on disk."""
        line = json.dumps(record.to_dict(), ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                self._file.write(line)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise JournalError(f"{self.path}: the journal cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
