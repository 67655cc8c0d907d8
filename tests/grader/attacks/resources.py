"""Attacks on time, memory and output."""

from tests.grader.attacks.lying import BOTH
from tests.grader.attacks.model import QUICK, Answer, Attack

BIG_MEMORY = """
import mmap
import numpy as np
for gibibytes in (50, 3):
    attempt(f"{gibibytes} GB of bytes", lambda: len(bytearray(gibibytes << 30)))
    attempt(f"{gibibytes} GB in NumPy", lambda: np.ones(gibibytes << 30, "u1").sum())
    attempt(f"{gibibytes} GB shared", lambda: mmap.mmap(-1, gibibytes << 30)[0])
    attempt(f"{gibibytes} GB from libc", lambda: call((9, 222), None, gibibytes << 30, 3, 0x22, -1, 0))
"""

SMALL_PIECES = """
kept = []
try:
    while True:
        kept.append(bytearray(100_000))
except MemoryError:
    kept.clear()
    print("REFUSED 1 MemoryError:1")
"""

IN_EVERY_CELL = "while True:\n    pass"
NUMPY_LOOP = """
import numpy as np
huge = np.ones((6000, 6000))
while True:
    huge = huge @ huge
"""
REGEX_LOOP = "import re\nre.match('(a+)+$', 'a' * 60 + 'b')"
SLOW_ENDINGS = """
import atexit, threading


class Slow:
    def __del__(self):
        while True:
            time.sleep(1000)


slow = Slow()
atexit.register(time.sleep, 1000)
threading.Thread(target=time.sleep, args=(1000,)).start()
"""
SLOW_ANSWERS = """
def classification_metrics(*arguments, **keywords):
    time.sleep(0.9)
    raise ValueError("slowly")


binary_report = classification_metrics
"""

OUTPUT = """
line = "\\x1b[2J\\x1b]0;owned\\x07 <script>alert('x')</script> " + "x" * 1_000_000
for _ in range(300):
    print(line)
    print(line, file=sys.stderr)
data = b"x" * (1 << 20)
for _ in range(500):
    os.write(1, data)
    os.write(2, data)
"""

OUTPUT_IN_CALLS = """
def classification_metrics(*arguments, **keywords):
    print("x" * 1_000_000)
    return {}


binary_report = classification_metrics
"""

TIMERS = """
libc, kept = ctypes.CDLL(None, use_errno=True), []
while len(kept) < 100_000:
    timer = ctypes.c_void_p()
    if libc.timer_create(1, None, ctypes.byref(timer)) != 0:
        break
    kept.append(timer)
print("GOT" if len(kept) > 1000 else "REFUSED 1 EAGAIN:1", len(kept), "of the user's timers")
"""

PIPES = """
import fcntl
kept = []
try:
    while True:
        reader, writer = os.pipe()
        kept += [reader, writer]
        attempt("a pipe of 1 MB", lambda: fcntl.fcntl(writer, 1031, 1 << 20))
        os.set_blocking(writer, False)
        while True:
            try:
                os.write(writer, b"x" * 65536)
            except BlockingIOError:
                break
except OSError as error:
    print("SAID", len(kept), "ends of pipes, then", errno.errorcode[error.errno])
"""

ATTACKS = (
    Attack("fifty-gigabytes", "take 50 GB and 3 GB in one piece", BIG_MEMORY, limits={"seconds": 10}),
    Attack("small-pieces", "take memory in small pieces until there is no more", SMALL_PIECES, answer=Answer.WRONG,
           answer_first=True, limits={"seconds": 10, "memory_megabytes": 500}),
    Attack("loop-in-every-cell", "loop for ever in each of ten cells", (IN_EVERY_CELL,) * 10, limits=QUICK),
    Attack("loop-in-c", "loop for ever in a matrix product", NUMPY_LOOP, limits=QUICK),
    Attack("loop-in-a-regex", "loop for ever in a regular expression, at each call",
           f"def hang():\n    {REGEX_LOOP.splitlines()[0]}\n    {REGEX_LOOP.splitlines()[1]}\n"
           + BOTH.format(value="hang()", claims="{}"), limits=QUICK),
    Attack("slow-endings", "sleep for ever when objects, threads and the process end", SLOW_ENDINGS,
           answer=Answer.WRONG),
    Attack("just-in-time", "use almost all of the time at every call", SLOW_ANSWERS, limits=QUICK),
    Attack("gigabyte-of-output", "print 600 MB with terminal codes and scripts, write 1 GB to the streams", OUTPUT,
           answer=Answer.WRONG, limits={"seconds": 20}),
    Attack("output-at-every-call", "print 1 MB at every call", OUTPUT_IN_CALLS),
    Attack("timers", "take all timers and pending signals that the user may have", TIMERS, answer=Answer.WRONG),
    Attack("pipes", "fill pipes with the kernel's memory", PIPES, answer=Answer.WRONG),
)  # fmt: skip
