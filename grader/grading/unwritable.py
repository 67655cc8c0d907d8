"""Why something could not be written, and what to do about it, in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

GO_ON = "What was graded so far is kept; run the same command again, and it goes on from there."

_FULL = "the disk is full (or your quota on it). Make room there"
_TOO_LARGE = "no file may grow that large for this process (ulimit -f). Raise the limit"
_READ_ONLY = "the file system is read-only. Make it writable, or write somewhere else with --output"
_NO_RIGHT = (
    "you have no right to write there. Give yourself the right (chmod u+w), or name another folder with --output"
)
_FIXES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _TOO_LARGE,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
}


def is_full(error: OSError) -> bool:
    """Whether there was no room, rather than no right."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain_unwritable(path: Path, error: OSError) -> str:
    """One line on a file or folder that could not be written: which, why, and what to do."""
    return f"{path} could not be written: {_FIXES.get(error.errno or 0, error.strerror or str(error))}."


class UnwritableError(RuntimeError):
    """A file that grading needs could not be written; the message says why, and what to do about it."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever is written in here belongs to this file or folder. Raises UnwritableError in the place of OSError."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(f"{explain_unwritable(path, error)} {GO_ON}") from None


class ResultsNotWritten(RuntimeError):
    """Grading is done and in the journal, but something that tells of it could not be written."""


class Attempts:
    """Several files to write, of which one that cannot be written does not keep the others from it."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    @contextmanager
    def at(self, path: Path) -> Iterator[None]:
        """Whatever is written in here belongs to this file or folder."""
        try:
            yield
        except OSError as error:
            self.failures.append(explain_unwritable(path, error))

    def finish(self, notes: Sequence[str] = ()) -> None:
        """Raise ResultsNotWritten if something could not be written: it names all of that, and tells the notes."""
        if self.failures:
            raise ResultsNotWritten("\n".join([*self.failures, *notes, GO_ON]))
