"""The temporary directory of an engine: room for the students' processes, and nothing left of graders that died.

Every directory holds a file that its grader keeps locked (`flock`). When a grader is killed the kernel ends the lock,
and the next grader removes what it left; a directory whose grader lives, or that has no such file, is never touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import threading
from pathlib import Path

from grader.grading.unwritable import GO_ON, is_full
from grader.sandbox import scratch

PREFIX = "course-"
OWNER_FILE = "owner"
_STUDENT_PREFIX = "student-"
_LOOK_AGAIN_SECONDS = 0.2

_NO_ROOM = (
    "the temporary directory {path} is on a full disk: {free:.0f} MB are free, and the submissions that run now "
    "may take {needed:.0f} MB. Make room there, or name another place with the environment variable TMPDIR. {go_on}"
)
_UNUSABLE = (
    "the temporary directory {path} cannot be used: {reason}. Name another place with the environment variable TMPDIR. "
    "{go_on}"
)


class TemporaryDirectoryError(RuntimeError):
    """There is no room, or no right, for the files of the students' processes: the machine's fault, no submission's."""


class TemporaryDirectory:
    """A directory that ends with its grader. Thread-safe."""

    def __init__(self) -> None:
        """Make it, after removing those of dead graders. Raises TemporaryDirectoryError."""
        self._closed = threading.Event()
        self._given_out: set[Path] = set()
        self._lock = threading.Lock()
        parent = Path(os.environ.get("TMPDIR", "/tmp"))
        try:
            parent = Path(tempfile.gettempdir())
            remove_abandoned(parent)
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._owner = _own(self.path)
        except OSError as error:
            raise _unusable(parent, error) from None

    def make_ahead(self) -> Path:
        """An empty directory for a process that is not needed yet; `for_a_student` makes room for what it may write.

        Raises TemporaryDirectoryError.
        """
        try:
            return Path(tempfile.mkdtemp(prefix=_STUDENT_PREFIX, dir=self.path))
        except OSError as error:
            raise _unusable(self.path, error) from None

    def for_a_student(self, bytes_allowed: int, made_ahead: Path | None = None) -> Path:
        """An empty directory for one process, which may write so many bytes: a new one, or one made ahead.

        Waits while there is too little room and other submissions are running, since theirs will be free again: on a
        full disk a right submission would fail. Raises TemporaryDirectoryError when there is none to wait for.
        """
        try:
            while not self._closed.is_set():
                with self._lock:
                    needed = bytes_allowed * (len(self._given_out) + 1)
                    free = shutil.disk_usage(self.path).free
                    if free >= needed:
                        directory = made_ahead or self.make_ahead()
                        self._given_out.add(directory)
                        return directory
                    if not self._given_out:
                        sizes = {"free": free / 2**20, "needed": needed / 2**20}
                        raise TemporaryDirectoryError(_NO_ROOM.format(path=self.path.parent, go_on=GO_ON, **sizes))
                self._closed.wait(_LOOK_AGAIN_SECONDS)
        except OSError as error:
            raise _unusable(self.path, error) from None
        raise TemporaryDirectoryError(_UNUSABLE.format(path=self.path, reason="the engine is closed", go_on=GO_ON))

    def take_back(self, directory: Path) -> None:
        """Remove a student's directory; its process must have ended."""
        scratch.remove(directory)
        with self._lock:
            self._given_out.discard(directory)

    def close(self) -> None:
        """Remove it and all that is in it."""
        if not self._closed.is_set():
            self._closed.set()
            try:
                scratch.remove(self.path)
            finally:
                os.close(self._owner)


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove what dead graders of this user left in a folder of temporary files; returns what was removed."""
    removed = []
    with os.scandir(parent) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX) and _is_our_folder(entry)]
    for directory in left:
        with contextlib.suppress(OSError):  # what cannot be removed takes room, and the next run tries again
            if _remove_if_abandoned(directory):
                removed.append(directory)
    return removed


def _own(directory: Path) -> int:
    """Lock a directory for as long as this process lives. The file gets its name when it is locked, never before."""
    unlocked = directory / f"{OWNER_FILE}.new"
    descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # without locks on its file system nobody can take the directory away either
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(directory / OWNER_FILE)
    return descriptor


def _is_our_folder(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _remove_if_abandoned(directory: Path) -> bool:
    try:
        descriptor = os.open(directory / OWNER_FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # not of an engine, or its grader is just making or removing it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        # The owner's file goes last: should something still be written meanwhile, the next run finds it.
        for entry in directory.iterdir():
            if entry.name != OWNER_FILE:
                scratch.remove(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        if any(entry.name != OWNER_FILE for entry in directory.iterdir()):
            return False
        (directory / OWNER_FILE).unlink()
        directory.rmdir()
        return True
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> TemporaryDirectoryError:
    reason = "the disk is full" if is_full(error) else error.strerror or str(error)
    if error.errno == errno.EMFILE:
        reason = "this process has too many files open (ulimit -n)"
    return TemporaryDirectoryError(_UNUSABLE.format(path=path, reason=reason, go_on=GO_ON))
