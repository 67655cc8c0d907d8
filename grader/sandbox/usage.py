"""What a student's process takes that no resource limit bounds: threads, and files that it has deleted.

Its parent looks many times a second and ends it when it takes too much. Only Linux can be asked; elsewhere nothing is
confined anyway.
"""

from __future__ import annotations

import os
import stat

# TensorFlow starts 9, a pool has one a processor; a process with thousands leaves none for the rest of the machine.
MAX_THREADS = 64 + (os.cpu_count() or 1)


def takes_too_much(process: int, deleted_bytes: int) -> bool:
    """Whether a process has more than MAX_THREADS, or more than so many bytes in deleted files.

    A process that has ended takes nothing.
    """
    try:
        threads = os.listdir(f"/proc/{process}/task")
        return len(threads) > MAX_THREADS or _deleted_bytes(process, threads) > deleted_bytes
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last for one that is just ending
        return False


def _deleted_bytes(process: int, threads: list[str]) -> int:
    """Bytes on disk in files that are open but have no name. Every thread is asked: it may have its own open files."""
    found: dict[tuple[int, int], int] = {}
    for thread in threads:
        place = f"/proc/{process}/task/{thread}/fd"
        for name in os.listdir(place):
            try:
                status = os.stat(f"{place}/{name}")
            except FileNotFoundError:
                continue  # closed in the meantime
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())
