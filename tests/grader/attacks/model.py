"""What an attack is, and what the cells around it define for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.grader.attacks.outcome import Outcome

NUMPY, TORCH = "metrics/classification", "attention/scaled_dot_product"
FIRST_CHECK = {NUMPY: "test_worked_example", TORCH: "test_two_keys_worked_out_by_hand"}


class Answer(Enum):
    """The honest part of a hostile submission: what the attack must not earn more than."""

    NOTHING = "nothing"
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(frozen=True)
class Attack:
    """A hostile submission.

    `code` is its cell (or cells), run after the tools below and before the honest `answer`, unless `answer_first`.
    What it gains it prints with `attempt` or as a line that begins with GOT; `may` names what is no gain; a line that
    begins with SAID is for the table. `baseline` replaces the answer as the honest version whose points are compared.
    `limits` replaces limits of the exercise, `checks` chooses some of its checks. `judge` says what else went wrong, or
    nothing. `known` is why it succeeds all the same, where that is known and told.
    """

    id: str
    tries: str
    code: str | tuple[str, ...]
    answer: Answer = Answer.NOTHING
    exercise: str = NUMPY
    answer_first: bool = False
    baseline: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    judge: Callable[[Outcome], str] | None = None
    known: str = ""


QUICK = {"seconds": 1, "total_seconds": 4}  # for what runs into its time limit on purpose

TOOLS = '''
import collections, ctypes, errno, os, platform, struct, sys, time

COURSE, REPO, HOME = "@COURSE@", "@REPO@", "@HOME@"
HIDDEN = [COURSE + "/" + name for name in """@HIDDEN@""".split()]
COLUMN = 0 if platform.machine() == "x86_64" else 1
GRADER, ME = os.getppid(), os.getpid()
NEAR = [number for number in range(max(2, ME - 60), ME + 60) if number != ME]  # neighbours, the grader, anybody
_refusals = collections.Counter()


def attempt(what, action):
    """Try something; whatever does not raise is a gain."""
    try:
        got = action()
    except BaseException as error:
        code = getattr(error, "errno", None)
        _refusals[errno.errorcode.get(code, type(error).__name__) if code else type(error).__name__] += 1
    else:
        print(f"GOT {what}: {got!r:.120}")


def call(numbers, *arguments):
    """A system call by its numbers on x86_64 and aarch64."""
    number = numbers[COLUMN]
    if number is None:
        raise OSError(errno.ENOSYS, "not on this processor")
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    result = function(*[ctypes.c_long(value) if isinstance(value, int) else value for value in (number, *arguments)])
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def channel():
    """The descriptor of the line to the check."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                return int(name)
        except OSError:
            continue


def frame(body):
    """Bytes as the wire frames them."""
    return struct.pack("<I", len(body)) + body


def send(data):
    while data:
        data = data[os.write(LINE, data):]


LINE = channel()
'''

REPORT = """
print("REFUSED", sum(_refusals.values()), *(f"{name}:{count}" for name, count in _refusals.most_common()))
"""
