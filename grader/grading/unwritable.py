"""Why something could not be written, and what to do about it, in words."""

from __future__ import annotations

import errno
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
