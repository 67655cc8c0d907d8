"""The journal: one line of JSON a result, on disk before it is reported.

A run that is killed at any moment loses nothing that was reported; the next one reads the journal and grades only what
changed. A last line that was cut off is dropped. Nothing is ever taken out: when a check is changed back, its results
are still there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from grader.checking.record import ResultRecord
from grader.grading.unwritable import GO_ON, explain_unwritable

JOURNAL_NAME = "journal.jsonl"
CANNOT_READ = "{path}: the journal cannot be read: {reason}"


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
    for _, record in _read(path):
        yield record


def _read(path: Path) -> Iterator[tuple[int, ResultRecord]]:
    """Results with the places of their lines, line by line, however long the file is."""
    try:
        with path.open("rb") as file:
            place = 0
            for line in file:
                record = _parse(line)
                if record is not None:
                    yield place, record
                place += len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(CANNOT_READ.format(path=path, reason=error.strerror)) from None


def _parse(line: bytes) -> ResultRecord | None:
    try:
        record = ResultRecord.from_dict(json.loads(line))
        hash(JournalKey.of(record))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return record


class EarlierResults:
    """What some journals hold, by key; of several results with one key the last.

    Only keys and places are kept in memory: a journal of many runs is much larger than any of them. A record is read
    from the file when it is asked for.
    """

    def __init__(self, *paths: Path) -> None:
        """Read each journal once. Raises JournalError when a file exists and cannot be read."""
        self._places = {
            _digest(JournalKey.of(record)): (path, place)
            for path in dict.fromkeys(paths)
            for place, record in _read(path)
        }

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: JournalKey) -> ResultRecord | None:
        """The last result with this key, None when there is none. Raises JournalError."""
        found = self._places.get(_digest(key))
        if found is None:
            return None
        path, place = found
        try:
            with path.open("rb") as file:
                file.seek(place)
                record = _parse(file.readline())
        except OSError as error:
            raise JournalError(CANNOT_READ.format(path=path, reason=error.strerror)) from None
        return record if record is not None and JournalKey.of(record) == key else None


def _digest(key: JournalKey) -> bytes:
    """A key in 16 bytes, where the key itself takes a thousand."""
    return hashlib.blake2b(repr(key).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Journal:
    """An open journal. `append` is thread-safe and returns once the line is on disk."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """Open for appending; with `fresh`, earlier results are forgotten. Raises JournalError."""
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = not path.exists()
            # Unbuffered: what a full disk refused must not be tried again later, behind the back of who was told.
            self._file = path.open("wb" if fresh else "ab", buffering=0)
        except OSError as error:
            raise JournalError(_cannot_write(path, error)) from None
        if new:
            _sync_folder(path.parent)
        self._cut = not fresh and not _ends_with_a_line(path)

    def append(self, record: ResultRecord) -> None:
        """Write a result. Raises JournalError when it cannot be put on disk; then nothing of it stays in the file."""
        line = json.dumps(record.to_dict(), ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            descriptor = self._file.fileno()
            before = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, b"\n" + line if self._cut else line)
                os.fsync(descriptor)
            except OSError as error:
                self._take_back(before)
                raise JournalError(_cannot_write(self.path, error)) from None
            self._cut = False

    def _take_back(self, size: int) -> None:
        """Cut the file to the size before a line that could not be written whole."""
        try:
            os.ftruncate(self._file.fileno(), size)
        except OSError:
            self._cut = True  # so that the next line does not continue this one

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on disk, without which what is in it could not be found after a power failure."""
    with contextlib.suppress(OSError):  # some file systems do not do this for folders
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _ends_with_a_line(path: Path) -> bool:
    """Whether the next line can follow directly; not after one that was cut off."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    except OSError as error:
        raise JournalError(CANNOT_READ.format(path=path, reason=error.strerror)) from None


def _cannot_write(path: Path, error: OSError) -> str:
    return f"the journal {explain_unwritable(path, error)} {GO_ON}"
