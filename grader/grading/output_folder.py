"""One grader at a time in an output folder.

The lock is the kernel's (`flock`), so it ends with the process that holds it, however that ends: a lock file that was
left behind blocks nobody. What stands in the file is only there to be told to the one who comes second.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from grader.grading.unwritable import explain_unwritable

LOCK_NAME = ".lock"
NO_LOCKS = (
    "{folder} lies on a file system without locks: see to it yourself that no second grader writes there meanwhile."
)
_IN_USE = (
    "{folder} is in use: {owner} is grading into it. Nothing was changed. Wait until it is done (or end it: nothing "
    "that it graded is lost), or name another folder with --output."
)
_OWNER = "process {process} on {host}, since {since},"
_WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_MOST_BYTES = 1_000  # of what another process says about itself


class OutputFolderError(RuntimeError):
    """Results cannot be written into the output folder."""


class OutputFolderInUse(OutputFolderError):
    """Another grader is writing into the output folder."""


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Make the folder if need be, and keep other graders out of it; False where the file system has no locks.

    Raises OutputFolderInUse when another process is grading into it, OutputFolderError when it cannot be written to.
    """
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise OutputFolderError(explain_unwritable(path, error)) from None
    try:
        locked = _lock(descriptor, folder)
        if locked:
            _sign(descriptor)
        yield locked
    finally:
        os.close(descriptor)  # which ends the lock; the file stays, since removing it could remove another's


def _lock(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputFolderInUse(_IN_USE.format(folder=folder, owner=_owner(descriptor))) from None
    except OSError as error:
        if error.errno in _WITHOUT_LOCKS:
            return False
        raise OutputFolderError(explain_unwritable(folder / LOCK_NAME, error)) from None
    return True


def _sign(descriptor: int) -> None:
    owner = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)


def _owner(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
        return _OWNER.format(process=int(owner["process"]), host=str(owner["host"]), since=str(owner["since"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
