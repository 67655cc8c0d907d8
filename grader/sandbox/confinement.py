"""How a process takes away its own rights before it runs a student's code.

Order matters: file descriptors, resource limits, capabilities, Landlock, seccomp; each step only needs what the later
ones still allow. Nothing here can be undone by the process itself.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
import sysconfig
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from grader.sandbox import system_calls


class Protection(Enum):
    """What a confined process is denied."""

    FILES = "files"  # reading or writing outside the libraries and its own directory (Landlock)
    NETWORK = "network"  # any socket (seccomp; TCP by Landlock as well)
    PROCESSES = "processes"  # new processes and programs (seccomp)
    SIGNALS = "signals"  # signals to other processes (seccomp)
    SIGNAL_SCOPE = "signal-scope"  # the same again by Landlock, Linux 6.12
    ABSTRACT_SOCKET_SCOPE = "abstract-socket-scope"  # abstract sockets again by Landlock, Linux 6.12
    TRACING = "tracing"  # reading or changing another process's memory (seccomp and Landlock)
    LIMITS = "limits"  # memory, processor time, file size, open files (rlimits)


class ConfinementError(RuntimeError):
    """The process could not be confined as demanded."""


@dataclass(frozen=True)
class ConfinementLimits:
    """Resource limits of one student process: memory beyond what the warm process already maps, processor seconds,
    bytes in one file."""

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 120
    file_bytes: int = 64 << 20


_LANDLOCK_MINIMUM_ABI = {
    Protection.FILES: 4,  # what sandlock asks for: with moving, truncating and TCP
    Protection.SIGNAL_SCOPE: 6,
    Protection.ABSTRACT_SOCKET_SCOPE: 6,
}
MAY_DEGRADE = (Protection.SIGNAL_SCOPE, Protection.ABSTRACT_SOCKET_SCOPE)

_SYSTEM_PATHS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
)


def readable_paths() -> list[str]:
    """What a student's process may read: the interpreter, the installed libraries and a few system files."""
    # Of a system's Python (prefix /usr) only the libraries; a virtual environment as a whole.
    own = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/lib"]
    own += [sys.prefix] if sys.prefix != sys.base_prefix else []
    candidates = [*_SYSTEM_PATHS, *own, *(entry for entry in sys.path if "-packages" in entry)]
    existing = {
        str(Path(path).resolve()) if path != "/proc/self" else path for path in candidates if Path(path).exists()
    }
    return sorted(existing)


def landlock_abi() -> int:
    """Landlock's version on this kernel, 0 when there is none."""
    if platform.system() != "Linux":
        return 0
    try:
        import sandlock
    except (ImportError, OSError):
        return 0
    return max(0, sandlock.landlock_abi_version())


def available_protections() -> dict[Protection, bool]:
    """Which protections this machine can give."""
    linux, abi, seccomp = platform.system() == "Linux", landlock_abi(), system_calls.is_supported()
    available = {}
    for protection in Protection:
        if protection in _LANDLOCK_MINIMUM_ABI:
            available[protection] = abi >= _LANDLOCK_MINIMUM_ABI[protection]
        elif protection is Protection.LIMITS:
            available[protection] = linux
        else:
            available[protection] = seccomp
    return available


def missing_protections(allow_degraded: tuple[str, ...] = ()) -> list[Protection]:
    """Protections that are missing here and not named in `allow_degraded`."""
    excused = {protection for protection in MAY_DEGRADE if protection.value in allow_degraded}
    return [
        protection
        for protection, present in available_protections().items()
        if not present and protection not in excused
    ]


def _limit_resources(limits: ConfinementLimits) -> None:
    mapped_pages = int(Path("/proc/self/statm").read_text().split()[0])
    for which, value in (
        (resource.RLIMIT_AS, mapped_pages * resource.getpagesize() + limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 64),  # the kernel counts signals and timers of all the user's processes together
    ):
        resource.setrlimit(which, (value, value))


def _drop_capabilities() -> None:
    """Give up root's special rights where the grader runs as root; for other users there is nothing to give up."""

    class _Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    libc = ctypes.CDLL(None, use_errno=True)
    header, empty = _Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(ctypes.byref(header), empty) != 0:
        raise ConfinementError(f"capabilities could not be dropped: {os.strerror(ctypes.get_errno())}")


def _confine_files(directory: str, readable: list[str], allow_degraded: tuple[str, ...]) -> None:
    import sandlock

    names = {
        Protection.SIGNAL_SCOPE.value: sandlock.Protection.SIGNAL_SCOPE,
        Protection.ABSTRACT_SOCKET_SCOPE.value: sandlock.Protection.ABSTRACT_UNIX_SOCKET_SCOPE,
    }
    older_kernels = [sandlock.Protection.FS_IOCTL_DEV] if landlock_abi() < 5 else []
    degraded = [names[name] for name in allow_degraded if name in names] + older_kernels
    try:
        sandlock.confine(sandlock.Sandbox(fs_readable=readable, fs_writable=[directory], allow_degraded=degraded))
    except sandlock.SandlockError as error:
        raise ConfinementError(f"Landlock: {error}") from None


def close_other_descriptors(keep: set[int]) -> None:
    """Close every file descriptor not in `keep`."""
    highest = max([*keep, *(int(name) for name in os.listdir("/proc/self/fd"))])
    for descriptor in range(highest + 1):
        if descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue


def confine_this_process(
    directory: str,
    limits: ConfinementLimits,
    readable: list[str] | None = None,
    allow_degraded: tuple[str, ...] = (),
) -> None:
    """Take every right from the calling process that a student's code does not need.

    `directory` is the only place it can write to. Raises ConfinementError when a protection is missing that is not
    named in `allow_degraded`; the process must then not run anything.
    """
    missing = missing_protections(allow_degraded)
    if missing:
        raise ConfinementError(f"this kernel lacks: {', '.join(protection.value for protection in missing)}")
    # Loaded now: after this point there is no looking for it.
    paths = readable_paths() if readable is None else readable
    _limit_resources(limits)
    _drop_capabilities()
    _confine_files(directory, paths, allow_degraded)
    try:
        system_calls.install_filter()
    except system_calls.FilterUnavailable as error:
        raise ConfinementError(str(error)) from None
