"""What a student's process takes that no resource limit bounds: threads, memory that was resident, deleted files.

Its parent looks many times a second and ends it when it takes too much. Only Linux can be asked; elsewhere nothing is
confined anyway.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

# TensorFlow starts 9, a pool has one a processor; a process with thousands leaves none for the rest of the machine.
MAX_THREADS = 64 + (os.cpu_count() or 1)
_THREADS_FIELD, _RESIDENT_FIELD = 17, 21  # in /proc/<process>/stat, counted from the state


@dataclass(frozen=True)
class Allowance:
    """What one process may take: memory beyond what its parent has, and disk by files that have no name any more."""

    resident_bytes: int
    deleted_bytes: int
    threads: int = MAX_THREADS

    @classmethod
    def beyond_this_process(cls, memory_bytes: int, deleted_bytes: int) -> Allowance:
        """For a child that starts as a copy of the calling process."""
        return cls(_threads_and_resident_bytes(os.getpid())[1] + memory_bytes, deleted_bytes)


def takes_too_much(process: int, allowance: Allowance) -> bool:
    """Whether a process exceeds its allowance; one that has ended does not."""
    try:
        threads, resident = _threads_and_resident_bytes(process)
        if threads > allowance.threads or resident > allowance.resident_bytes:
            return True
        return _deleted_bytes(process) > allowance.deleted_bytes
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the latter for one that is just ending
        return False


def _threads_and_resident_bytes(process: int) -> tuple[int, int]:
    fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[_THREADS_FIELD]), int(fields[_RESIDENT_FIELD]) * os.sysconf("SC_PAGE_SIZE")


def _deleted_bytes(process: int) -> int:
    """Bytes on disk in files that are open but have no name. Every thread is asked: it may have its own open files."""
    found: dict[tuple[int, int], int] = {}
    for thread in os.listdir(f"/proc/{process}/task"):
        place = f"/proc/{process}/task/{thread}/fd"
        for name in os.listdir(place):
            try:
                status = os.stat(f"{place}/{name}")
            except FileNotFoundError:
                continue  # closed in the meantime
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())
