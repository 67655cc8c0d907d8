"""A student's own directory: measured while its owner changes it, removed whatever was left in it.

What lies there is hostile: folders nested deeper than a path can be long, folders that nobody may read, folders that
become links while one looks.
"""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
from pathlib import Path

MAX_ENTRIES = 2_000  # files and folders
MAX_DEPTH = 32


def bytes_under(directory: Path) -> float:
    """Bytes on disk under a directory, for measuring against a limit.

    Infinite when there are more than MAX_ENTRIES files and folders, folders nested deeper than MAX_DEPTH, or a folder
    that cannot be looked into.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        return _Measure().bytes_in(descriptor, 0)
    finally:
        os.close(descriptor)


class _Measure:
    """One walk, by descriptors of folders rather than by paths: no link is followed, whatever changes meanwhile."""

    def __init__(self) -> None:
        self._entries = 0

    def bytes_in(self, folder: int, depth: int) -> float:
        if depth > MAX_DEPTH:
            return math.inf
        total = 0.0
        with os.scandir(folder) as entries:
            for entry in entries:
                self._entries += 1
                if self._entries > MAX_ENTRIES:
                    return math.inf
                try:
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        total += self._bytes_in_folder(entry.name, folder, depth + 1)
                except (FileNotFoundError, NotADirectoryError):
                    continue  # gone or replaced in the meantime
                except PermissionError:
                    return math.inf
                except OSError:  # ELOOP: it has become a link
                    continue
                if total == math.inf:
                    return total
        return total

    def _bytes_in_folder(self, name: str, parent: int, depth: int) -> float:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            return self.bytes_in(descriptor, depth)
        finally:
            os.close(descriptor)


def remove(directory: Path) -> None:
    """Remove a directory and all that is in it; its owner's process must have ended."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):  # folders without permissions, or nested deeper than Python can follow
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(directory)], stderr=subprocess.DEVNULL, check=False)
