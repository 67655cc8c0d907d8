"""Attacks by processes, threads and signals."""

from tests.grader.attacks.lying import BOTH
from tests.grader.attacks.model import QUICK, Answer, Attack

NEW_PROCESSES = """
import multiprocessing, pty, subprocess
libc = ctypes.CDLL(None, use_errno=True)
program = [sys.executable, "-c", "import time; time.sleep(60)"]


def child_of(process):
    if process == 0:
        os._exit(0)
    if process < 0:
        raise OSError(ctypes.get_errno(), "fork")
    return process


attempt("fork", lambda: child_of(os.fork()))
attempt("forkpty", lambda: child_of(pty.fork()[0]))
attempt("libc fork", lambda: child_of(libc.fork()))
attempt("vfork", lambda: child_of(call((58, None))))
attempt("syscall fork", lambda: child_of(call((57, None))))
for flags in (17, 0x4000 | 17, 0x100 | 17, 0x10000000 | 17, 0x20000000, 0x08000000 | 17, 0x8000 | 17, 0x4100, 0):
    attempt(f"clone {flags:#x}", lambda: child_of(call((56, 220), flags, None, None, None, None)))
attempt("clone3", lambda: child_of(call((435, 435), struct.pack("<11Q", *[0] * 4, 17, *[0] * 6), 88)))
attempt("posix_spawn", lambda: os.posix_spawn(program[0], program, {}))
attempt("spawnv", lambda: os.spawnv(os.P_NOWAIT, program[0], program))
for shell in (False, True):
    attempt("subprocess", lambda: subprocess.Popen(program, shell=shell, start_new_session=True))
attempt("system", lambda: os.system("true") and (_ for _ in ()).throw(OSError(errno.EPERM, "system")))
attempt("popen", lambda: os.popen("id").read())
for method in ("fork", "spawn", "forkserver"):
    attempt(method, lambda: multiprocessing.get_context(method).Process(target=print).start())
attempt("Pool", lambda: multiprocessing.Pool(2))
attempt("execve", lambda: os.execve("/bin/true", ["true"], {}))
attempt("execve of Python", lambda: os.execv(program[0], program))
attempt("execveat", lambda: call((322, 281), os.open(sys.executable, os.O_RDONLY), b"", None, None, 0x1000))
attempt("setsid", lambda: os.setsid())
attempt("setpgid", lambda: os.setpgid(0, 0))
"""

DAEMON = """
def live_on():
    for _ in range(2):
        try:
            if os.fork():
                return
        except OSError:
            pass
        try:
            os.setsid()
        except OSError:
            pass
    while True:
        for path in (COURSE + "/gradebook.db", COURSE + "/results/grades.csv", COURSE + "/results/journal.jsonl"):
            try:
                open(path, "a").write("10 points")
            except OSError:
                pass
        time.sleep(0.05)


import threading
threading.Thread(target=live_on, daemon=False).start()
"""

THREADS = """
import threading
threading.stack_size(32768)
count = 0
try:
    for count in range(10_000):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
finally:
    print("GOT", count, "threads")
"""

BUSY_THREADS = """
import hashlib, threading


def spin():
    while True:
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9)  # without Python's lock


for _ in range(50):
    threading.Thread(target=spin, daemon=True).start()
time.sleep(1000)
"""

SIGNALS = """
import fcntl, signal
# harmless ones: what may send SIGCONT or SIGURG may send SIGKILL
for process in [GRADER, 1, 0, -1, -GRADER, *NEAR]:
    for number in (0, signal.SIGCONT, signal.SIGURG):
        attempt(f"kill {process}", lambda: os.kill(process, number))
        attempt(f"killpg {process}", lambda: os.killpg(abs(process), number))
        attempt(f"tgkill {process}", lambda: call((234, 131), process, process, int(number)))
        attempt(f"tkill {process}", lambda: call((200, 130), process, int(number)))
        attempt(f"rt_sigqueueinfo {process}", lambda: call((129, 138), process, int(number), bytes(128)))
        attempt(f"rt_tgsigqueueinfo {process}", lambda: call((297, 240), process, process, int(number), bytes(128)))
    attempt(f"pidfd_open {process}", lambda: call((434, 434), process, 0))
for process in [GRADER, *NEAR, -GRADER]:
    reader, writer = os.pipe()
    attempt(f"F_SETOWN {process}", lambda: fcntl.fcntl(reader, fcntl.F_SETOWN, process))
    attempt(f"F_SETOWN_EX {process}", lambda: fcntl.fcntl(reader, 15, struct.pack("ii", 1, process)))
    attempt("F_SETSIG", lambda: fcntl.fcntl(reader, 10, signal.SIGURG))
    os.close(reader), os.close(writer)
attempt("pidfd_send_signal", lambda: call((424, 424), os.open("/proc/self", os.O_RDONLY), 0, None, 0))
attempt("process_mrelease", lambda: call((448, 448), os.open("/proc/self", os.O_RDONLY), 0))
attempt("no death with the parent", lambda: call((157, 167), 1, 0, 0, 0, 0))
attempt("hide from the parent", lambda: call((157, 167), 4, 0, 0, 0, 0))
"""

SCHEDULING = """
every = os.sched_getaffinity(0)
attributes = struct.pack("<IIQiIQQQ", 48, 0, 0, 0, 0, 0, 0, 0)
for process in [GRADER, *NEAR]:
    attempt(f"affinity of {process}", lambda: os.sched_setaffinity(process, every))
    attempt(f"policy of {process}", lambda: os.sched_setscheduler(process, os.SCHED_OTHER, os.sched_param(0)))
    attempt(f"parameter of {process}", lambda: os.sched_setparam(process, os.sched_param(0)))
    attempt(f"attributes of {process}", lambda: call((314, 274), process, attributes, 0))
    attempt(f"priority of {process}", lambda: os.setpriority(os.PRIO_PROCESS, process, 0))
    attempt(f"input priority of {process}", lambda: call((251, 30), 1, process, 0x4000))
    attempt(f"limits of {process}", lambda: call((302, 261), process, 7, None, ctypes.create_string_buffer(16)))
    attempt(f"pages of {process}", lambda: call((256, 238), process, 0, None, None))
    attempt(f"places of {process}", lambda: call((279, 239), process, 0, None, None, None, 0))
attempt("priority of all", lambda: os.setpriority(os.PRIO_USER, 0, 0))
attempt("a real-time priority", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
"""

STUBBORN = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
"""

ATTACKS = (
    Attack("new-processes", "fork, vfork, clone, clone3, spawn, exec, pools and shells, setsid", NEW_PROCESSES,
           answer=Answer.WRONG),
    Attack("stay-behind", "leave a daemon that changes grades after the end", DAEMON, answer=Answer.WRONG),
    Attack("ten-thousand-threads", "start 10,000 threads", THREADS, limits={"seconds": 10}),
    Attack("busy-threads", "compute in 50 threads for as long as it is let, beside an honest neighbour", BUSY_THREADS,
           limits={"seconds": 2, "total_seconds": 5}),
    Attack("signals", "signal the grader, process 1, groups and 120 neighbours in ten ways", SIGNALS,
           answer=Answer.WRONG),
    Attack("scheduling", "slow down or starve 120 neighbours by priority, processor, policy and limits", SCHEDULING,
           answer=Answer.WRONG),
    Attack("stops-itself", "stop itself by SIGSTOP", "os.kill(ME, 19)", limits=QUICK),
    Attack("ignores-signals", "ignore and block every signal and sleep for ever", STUBBORN, limits=QUICK),
    Attack("kills-itself", "end by SIGKILL in the middle of a check",
           BOTH.format(value="os.kill(ME, 9)", claims="{}"), answer=Answer.RIGHT, answer_first=True),
)  # fmt: skip
