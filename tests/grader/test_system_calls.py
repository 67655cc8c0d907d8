"""The seccomp filter, run by a small interpreter of classic BPF: what it lets through and what it refuses."""

from __future__ import annotations

import errno
import os
import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from grader.sandbox import system_calls

ROOT = Path(__file__).resolve().parents[2]
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
OWN, OTHER = 4321, 1234
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE_VM, CLONE_THREAD, SIGCHLD, SIGKILL = 0x100, 0x10000, 17, 9

# Numbers of calls, written down from the kernel's tables once more: (x86_64, aarch64).
CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "ioctl": (16, 29),
    "madvise": (28, 233),
    "socket": (41, 198),
    "sendto": (44, 206),
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "exit": (60, 93),
    "kill": (62, 129),
    "fcntl": (72, 25),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "ptrace": (101, 117),
    "prctl": (157, 167),
    "futex": (202, 98),
    "sched_setaffinity": (203, 122),
    "sched_getaffinity": (204, 123),
    "tkill": (200, 130),
    "exit_group": (231, 94),
    "tgkill": (234, 131),
    "openat": (257, 56),
    "unlinkat": (263, 35),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "getrandom": (318, 278),
    "memfd_create": (319, 279),
    "bpf": (321, 280),
    "execveat": (322, 281),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
}


@pytest.fixture(params=sorted(ARCHITECTURE))
def machine(request, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    return request.param


class Filter:
    """The filter's verdict on a call, by name or number, with these arguments."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.program = system_calls.filter_program(OWN)

    def number(self, name: str) -> int | None:
        return CALLS[name][sorted(ARCHITECTURE, reverse=True).index(self.machine)]

    def __call__(self, call: str | int, *arguments: int, architecture: int | None = None) -> int:
        number = self.number(call) if isinstance(call, str) else call
        assert number is not None
        words = [argument & (2**64 - 1) for argument in (*arguments, *[0] * (6 - len(arguments)))]
        of = ARCHITECTURE[self.machine] if architecture is None else architecture
        return run(self.program, struct.pack("<IIQ6Q", number & (2**32 - 1), of, 0x7F0000000000, *words))


def run(program: list[tuple[int, int, int, int]], data: bytes) -> int:
    """Interpret a classic BPF program over the 64 bytes of a seccomp_data."""
    accumulator = place = 0
    for _ in range(len(program)):
        code, if_true, if_false, operand = program[place]
        place += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                place += if_true if accumulator == operand else if_false
            case 0x35:  # BPF_JMP | BPF_JGE | BPF_K
                place += if_true if accumulator >= operand else if_false
            case 0x45:  # BPF_JMP | BPF_JSET | BPF_K
                place += if_true if accumulator & operand else if_false
            case 0x06:  # BPF_RET | BPF_K
                return operand
            case _:
                raise AssertionError(f"an instruction of code {code:#x}")
    raise AssertionError("the program does not end")


@pytest.fixture
def verdict(machine):
    return Filter(machine)


def refusal(name: str) -> int:
    return REFUSE | getattr(errno, name)


def test_the_program_is_one_that_the_kernel_takes(verdict):
    program = verdict.program
    assert len(program) <= 4096
    assert program[-1][0] == 0x06
    for place, (code, if_true, if_false, operand) in enumerate(program):
        assert code in (0x20, 0x15, 0x35, 0x45, 0x06)
        assert 0 <= operand < 2**32 and 0 <= if_true < 256 and 0 <= if_false < 256
        if code == 0x20:
            assert operand % 4 == 0 and operand <= 60
        elif code != 0x06:
            assert place + 1 + max(if_true, if_false) < len(program)


def test_every_instruction_can_be_reached(verdict):
    program, reached, ahead = verdict.program, set(), [0]
    while ahead:
        place = ahead.pop()
        if place in reached:
            continue
        reached.add(place)
        code, if_true, if_false, _ = program[place]
        if code == 0x20:
            ahead.append(place + 1)
        elif code != 0x06:
            ahead += [place + 1 + if_true, place + 1 + if_false]
    assert reached == set(range(len(program)))


@pytest.mark.parametrize(
    "name",
    ["read", "write", "close", "mmap", "madvise", "openat", "unlinkat", "futex", "getrandom", "exit", "exit_group"]
    + ["sendto", "sched_getaffinity"],
)
def test_what_computing_and_answering_need_is_allowed(verdict, name):
    assert verdict(name, 3, 2, 1) == ALLOW


@pytest.mark.parametrize(
    "name",
    ["socket", "execve", "execveat", "ptrace", "process_vm_readv", "memfd_create", "bpf", "pidfd_open", "fchmod"]
    + ["pidfd_send_signal", "io_uring_setup", "tkill"],
)
def test_what_reaches_beyond_the_process_is_refused_whatever_its_arguments(verdict, name):
    for arguments in ((), (OWN, OWN), (2**64 - 1,) * 6):
        assert verdict(name, *arguments) == refusal("EPERM")


def test_calls_of_one_processor_only(verdict):
    if verdict.machine == "x86_64":
        for name in ("fork", "vfork", "chmod"):
            assert verdict(name) == refusal("EPERM")
    else:
        assert [verdict.number(name) for name in ("fork", "vfork", "chmod")] == [None] * 3
        assert verdict(57) == verdict(58) == ALLOW  # close and vhangup there, not fork and vfork


@pytest.mark.parametrize("name", ["kill", "tgkill"])
def test_signals_go_to_the_process_itself_only(verdict, name):
    assert verdict(name, OWN, OWN, SIGKILL) == ALLOW
    assert verdict(name, OWN + 2**32, OWN, SIGKILL) == ALLOW  # the kernel looks at the same 32 bits
    for other in (OTHER, 0, 1, -1, -OWN, -OTHER, OWN ^ 1):
        assert verdict(name, other, OWN, SIGKILL) == refusal("EPERM")


@pytest.mark.parametrize("name", ["prlimit64", "sched_setaffinity"])
def test_limits_and_processors_are_the_processes_own(verdict, name):
    assert verdict(name, 0) == verdict(name, OWN) == ALLOW
    for other in (OTHER, 1, -1, -OWN):
        assert verdict(name, other) == refusal("EPERM")


def test_threads_are_made_and_processes_are_not(verdict):
    assert verdict("clone", CLONE_VM | CLONE_THREAD | 0x3D0E00) == ALLOW
    for flags in (0, SIGCHLD, CLONE_VM | SIGCHLD, 0x4000 | CLONE_VM | SIGCHLD, CLONE_THREAD << 32):
        assert verdict("clone", flags) == refusal("EPERM")
    for arguments in ((), (CLONE_THREAD, 88)):
        assert verdict("clone3", *arguments) == refusal("ENOSYS")  # the C library then falls back to clone


def test_prctl(verdict):
    set_death_signal, set_dumpable, set_name, get_dumpable = 1, 4, 15, 3
    for option in (set_death_signal, set_dumpable, set_death_signal + 2**32):
        assert verdict("prctl", option, 0) == refusal("EPERM")
    for option in (set_name, get_dumpable):
        assert verdict("prctl", option, 0) == ALLOW


def test_fcntl(verdict):
    get_flags, duplicate, set_owner, set_signal, set_owner_ex, set_lease, notify = 1, 1030, 8, 10, 15, 1024, 1026
    for command in (set_owner, set_signal, set_owner_ex, set_lease, notify):
        assert verdict("fcntl", 3, command, OTHER) == refusal("EPERM")
    for command in (get_flags, duplicate):
        assert verdict("fcntl", set_owner, command, set_owner) == ALLOW  # the command is the second argument


def test_ioctl(verdict):
    is_a_terminal, push_a_character, clone_a_file = 0x5401, 0x5412, 0x40049409
    assert verdict("ioctl", 1, is_a_terminal) == ALLOW
    for command in (push_a_character, clone_a_file, 0):
        assert verdict("ioctl", is_a_terminal, command, is_a_terminal) == refusal("ENOTTY")


def test_numbers_of_the_x32_interface_are_refused(verdict):
    for number in (0x40000000, 0x40000000 + 59, 0x40000000 + 520, -1):
        assert verdict(number) == refusal("EPERM")


def test_a_call_in_another_architectures_numbering_is_fatal(verdict):
    i386, arm = 0x40000003, 0x40000028
    others = {i386, arm, 0, *ARCHITECTURE.values()} - {ARCHITECTURE[verdict.machine]}
    for architecture in others:
        for number in (0, 39, 59, 221):
            assert verdict(number, architecture=architecture) == KILL


def test_every_call_in_the_table_is_judged_by_its_name(machine, verdict):
    """Whatever has a number here and no rule of its own is refused, and no two names share a number."""
    column = 0 if machine == "x86_64" else 1
    numbers = [pair[column] for pair in system_calls._NUMBERS.values() if pair[column] is not None]
    assert len(numbers) == len(set(numbers))
    for name, pair in system_calls._NUMBERS.items():
        if pair[column] is not None and name not in system_calls._SPECIAL:
            assert verdict(pair[column]) == refusal("EPERM"), name
    for name, pair in CALLS.items():
        if name in system_calls._NUMBERS:
            assert system_calls._NUMBERS[name] == pair


@pytest.mark.parametrize(
    ("header", "column"),
    [("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0), ("/usr/include/asm-generic/unistd.h", 1)],
    ids=["x86_64", "aarch64"],
)
def test_numbers_are_those_of_the_kernels_headers(header, column):
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    known = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", Path(header).read_text(), re.MULTILINE))
    assert len(known) > 250
    newest = max(map(int, known.values()))
    for name, pair in system_calls._NUMBERS.items():
        if pair[column] is None:
            assert name not in known, name
        elif pair[column] <= newest:
            assert int(known[name]) == pair[column], name


def test_other_systems_have_no_filter(monkeypatch):
    assert not system_calls.is_supported() or platform.machine() in ARCHITECTURE
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not system_calls.is_supported()
    with pytest.raises(system_calls.FilterUnavailable, match="no table of system calls for .* on riscv64"):
        system_calls.install_filter()


@pytest.mark.skipif(not system_calls.is_supported(), reason="no filter for this machine")
def test_the_kernel_agrees():
    """The filter, installed for good in a process of its own."""
    code = """
import os, signal, socket, threading
from grader.sandbox import system_calls

system_calls.install_filter()

def outcome(call, *arguments):
    try:
        call(*arguments)
        return "allowed"
    except OSError as error:
        return error.strerror
    except RuntimeError as error:
        return str(error)

print(outcome(os.getrandom, 8))
thread = threading.Thread(target=print, args=("thread",))
print(outcome(lambda: (thread.start(), thread.join())))
print(outcome(socket.socket))
print(outcome(os.fork))
print(outcome(os.execv, "/bin/true", ["true"]))
print(outcome(os.kill, os.getppid(), 0))
print(outcome(os.kill, 0, 0))
print(outcome(os.kill, os.getpid(), 0))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-u", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    refused = os.strerror(errno.EPERM)
    lines = done.stdout.splitlines()
    assert sorted(lines) == sorted(["allowed", "allowed", "thread", *[refused] * 5, "allowed"]), done.stderr
    assert done.returncode == -15
