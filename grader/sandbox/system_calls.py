"""A seccomp filter that takes from the calling process what a student's code never needs.

Landlock guards files; this guards the rest: no sockets, no new processes, no new programs, no tracing, no signals to
others, no say in how others are scheduled, no change of modes, times or flags of files and no leases on them (Landlock
does not cover those), no kernel interfaces with a history of holes. Refused calls fail with EPERM, as if the user
lacked the right.
The program is classic BPF (Linux, Documentation/userspace-api/seccomp_filter.rst), installed by the process on itself,
irrevocable, and inherited by its threads.

It is written here rather than taken from a library because the ready-made ones either need a system library that may
be absent (libseccomp), or put a supervisor process into the path of every file access, which makes importing torch
three times slower (measured: 5.6 s instead of 1.8 s).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

# name -> number for (x86_64, aarch64); None where the architecture does not have the call
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "bind": (49, 200),
    "listen": (50, 201),
    "socketpair": (53, 199),
    "accept4": (288, 242),
    "sendmsg": (46, 211),  # the channel needs no more than send and receive; these can pass file descriptors
    "recvmsg": (47, 212),
    "sendmmsg": (307, 269),
    "recvmmsg": (299, 243),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_mrelease": (448, 448),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "fchmodat2": (452, 452),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "fallocate": (285, 47),
    "sync": (162, 81),  # of all that anybody has written
    "syncfs": (306, 267),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "sched_setaffinity": (203, 122),  # allowed for oneself, see below
    "prlimit64": (302, 261),  # allowed for reading and for oneself, see below
    "kill": (62, 129),  # allowed for oneself, see below
    "tgkill": (234, 131),  # allowed for oneself, see below
    "tkill": (200, 130),
    "clone": (56, 220),  # allowed for threads, see below
    "clone3": (435, 435),  # answered with ENOSYS: its flags lie in memory that a filter cannot read
    "prctl": (157, 167),  # allowed, except for what hides a process from its parent or lets it outlive it
    "fcntl": (72, 25),  # allowed, except for signals by way of a file, and for leases, which make others wait
    "ioctl": (16, 29),  # answered with ENOTTY, except for what Python itself asks
    "sendto": (44, 206),  # allowed, except for urgent data, as which the kernel has freed what it still used
    "recvfrom": (45, 207),
}
_SPECIAL = (
    *("sched_setaffinity", "prlimit64", "kill", "tgkill", "clone", "clone3"),
    *("prctl", "fcntl", "ioctl", "sendto", "recvfrom"),
)
_PRCTL_REFUSED = (1, 4)  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE
_FCNTL_REFUSED = (8, 10, 15, 1024, 1026, 1031)  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ
_IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIO(N)CLEX

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD_WORD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOTTY, _ENOSYS = 1, 25, 38
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENT_OFFSET, _SECOND_ARGUMENT_OFFSET, _FOURTH_ARGUMENT_OFFSET = 0, 4, 16, 24, 40
_CLONE_THREAD, _MSG_OOB, _X32_BIT = 0x00010000, 1, 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2

Instruction = tuple[int, int, int, int]


class FilterUnavailable(RuntimeError):
    """This kernel or processor cannot install the filter."""


def is_supported() -> bool:
    """True when this processor's call numbers are known; the kernel is only asked on installation."""
    return platform.system() == "Linux" and platform.machine() in _ARCHITECTURES


def filter_program(own_process: int) -> list[Instruction]:
    """The filter as BPF instructions (code, jump if true, jump if false, operand) for a process of that number."""
    column, architecture = _ARCHITECTURES[platform.machine()]

    def number(name: str) -> int:
        value = _NUMBERS[name][column]
        assert value is not None, name
        return value

    allow, deny = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | _EPERM)
    program: list[Instruction] = [
        (_LOAD_WORD, 0, 0, _ARCH_OFFSET),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),  # a call in another architecture's numbering
        (_LOAD_WORD, 0, 0, _NUMBER_OFFSET),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT),
        deny,
    ]
    for name, numbers in _NUMBERS.items():
        value = numbers[column]
        if value is not None and name not in _SPECIAL:
            program += [(_JUMP_EQUAL, 0, 1, value), deny]
    program += [(_JUMP_EQUAL, 0, 1, number("clone3")), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    program += [(_JUMP_EQUAL, 0, 4, number("clone")), (_LOAD_WORD, 0, 0, _ARGUMENT_OFFSET)]
    program += [(_JUMP_BITS, 1, 0, _CLONE_THREAD), deny, allow]
    for name in ("sendto", "recvfrom"):
        program += [(_JUMP_EQUAL, 0, 4, number(name)), (_LOAD_WORD, 0, 0, _FOURTH_ARGUMENT_OFFSET)]
        program += [(_JUMP_BITS, 0, 1, _MSG_OOB), deny, allow]
    for name, offset, values, listed, others in (
        ("prctl", _ARGUMENT_OFFSET, _PRCTL_REFUSED, deny, allow),
        ("fcntl", _SECOND_ARGUMENT_OFFSET, _FCNTL_REFUSED, deny, allow),
        ("ioctl", _SECOND_ARGUMENT_OFFSET, _IOCTL_ALLOWED, allow, (_RETURN, 0, 0, _ERRNO | _ENOTTY)),
    ):
        program += [(_JUMP_EQUAL, 0, 2 * len(values) + 2, number(name)), (_LOAD_WORD, 0, 0, offset)]
        for value in values:
            program += [(_JUMP_EQUAL, 0, 1, value), listed]
        program.append(others)
    for name in ("kill", "tgkill", "prlimit64", "sched_setaffinity"):
        program += [(_JUMP_EQUAL, 0, 5, number(name)), (_LOAD_WORD, 0, 0, _ARGUMENT_OFFSET)]
        program += [(_JUMP_EQUAL, 1, 0, own_process)]
        # prlimit64(0, …) and sched_setaffinity(0, …) mean oneself; kill(0, …) means the whole group and stays refused
        program += [(_JUMP_EQUAL, 0, 1, own_process if "kill" in name else 0), allow, deny]
    program.append(allow)
    return program


def install_filter() -> None:
    """Install the filter on the calling process, for good.

    Raises FilterUnavailable when the kernel refuses it or the processor is not known.
    """
    if not is_supported():
        raise FilterUnavailable(f"no table of system calls for {platform.system()} on {platform.machine()}")
    program = filter_program(os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *instruction) for instruction in program))

    class _Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    argument = _Program(len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise FilterUnavailable(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(argument), 0, 0) != 0:
        raise FilterUnavailable(f"seccomp: {os.strerror(ctypes.get_errno())}")
