"""What a process has at a moment: descendants, file descriptors, threads, memory (from /proc, so on Linux only)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

WARM_NAME = "course:"  # the beginning of the names that warm processes give themselves
FORKED_FOR_A_JOB = "course:job"


@dataclass(frozen=True)
class ProcessEntry:
    """A process that has not ended."""

    process: int
    name: str
    parent: int
    session: int


@dataclass(frozen=True)
class Census:
    """What this process holds. `processes` are those of the sessions that it has started, `memory_bytes` is its own."""

    processes: tuple[ProcessEntry, ...]
    descriptors: int
    threads: int
    memory_bytes: int
    temporary: tuple[str, ...]


def all_processes() -> list[ProcessEntry]:
    """Every process that has not ended, of all users."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path("/proc", name, "stat").read_text(errors="replace")
            except OSError:
                continue  # it has just ended
            said, _, rest = text.partition("(")[2].rpartition(")")
            state, parent, _, session = rest.split()[:4]
            if state not in "ZX":
                found.append(ProcessEntry(int(name), said, int(parent), int(session)))
    return found


def warm_processes(own: int) -> list[ProcessEntry]:
    """The warm processes that `own` has started: the first, which leads a session, and all that branched from it.

    Processes that were forked for one submission are not among them.
    """
    processes = all_processes()
    firsts = {entry.process for entry in processes if entry.parent == own and entry.session == entry.process}
    return [
        entry
        for entry in processes
        if entry.session in firsts and entry.name.startswith(WARM_NAME) and entry.name != FORKED_FOR_A_JOB
    ]


def take_census(sessions: set[int], temporary: Path) -> Census:
    """Count what this process has; `sessions` are those of its warm processes, `temporary` is its temporary folder."""
    own = os.getpid()
    held = [entry for entry in all_processes() if entry.parent == own or entry.session in sessions]
    return Census(
        processes=tuple(held),
        descriptors=len(os.listdir("/proc/self/fd")) - 1,  # without the one that lists them
        threads=len(os.listdir("/proc/self/task")),
        memory_bytes=resident_bytes(),
        temporary=tuple(sorted(path.name for path in temporary.iterdir())),
    )


def resident_bytes() -> int:
    """This process's memory that is resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
