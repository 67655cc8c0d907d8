"""Attacks that look for what is hidden: files, other processes, and the student's own process."""

from tests.grader.attacks.lying import ATTENTION
from tests.grader.attacks.model import TORCH, Attack

# What only the checks or the reference hold. Never whole in the code that looks for it, which would find itself.
TARGETS = '''
import re
HALVES = [("count_by_", "class(y_tru"), ("attend_by_", "loops(que"), ("canary-", None)]


def hidden_in(data):
    """A hidden text in bytes, if there is one."""
    for first, second in HALVES:
        first = first.encode()
        start = data.find(first)
        while start >= 0:
            after = data[start + len(first):start + len(first) + 40]
            if second is None and re.match(rb"[0-9a-f]{20}", after) or second and after.startswith(second.encode()):
                return data[max(0, start - 40):start + 60]
            start = data.find(first, start + 1)
'''

READ_FILES = """
import ctypes, glob, io, linecache, mmap, pathlib, shutil, sqlite3, zipfile
import numpy as np

OTHERS = ["/etc/shadow", "/etc/passwd", HOME + "/.ssh/id_rsa", HOME + "/notes.txt", "/root/.bashrc", "/proc/1/environ",
          REPO + "/tests/checks/metrics/test_classification.py", REPO + "/reference/metrics/classification.py",
          REPO + "/solutions/metrics/classification.ipynb", REPO + "/.git/config", "/proc/cmdline", "/proc/kcore"]
libc = ctypes.CDLL(None, use_errno=True)


def by_libc(path):
    descriptor = libc.open(path.encode(), 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), path)
    return os.read(descriptor, 100)


def by_mmap(path):
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), 0)[:50]


def by_link(make):
    def read(path):
        name = f"link{len(os.listdir())}"
        make(path, name)
        return open(name).read()[:50]
    return read


def after_moving(path):
    home = os.getcwd()
    os.chdir(os.path.dirname(path))
    try:
        return open(os.path.basename(path)).read()[:50]
    finally:
        os.chdir(home)


def by_lines(path):
    lines = linecache.getlines(path)
    if not lines:
        raise OSError(errno.EACCES, path)
    return lines[:3]


def by_openat(path):
    folder = os.open(os.path.dirname(path), os.O_PATH)
    return os.read(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=folder), 50)


WAYS = dict(
    open=lambda path: open(path).read()[:50], fd=lambda path: os.read(os.open(path, os.O_RDONLY), 50),
    append=lambda path: open(path, "a+").read(), libc=by_libc, mmap=by_mmap, numpy=lambda path: np.fromfile(path, "u1"),
    pathlib=lambda path: pathlib.Path(path).read_bytes()[:50], symlink=by_link(os.symlink), hardlink=by_link(os.link),
    copy=lambda path: shutil.copy(path, "copy"), rename=lambda path: os.rename(path, "stolen"), openat=by_openat,
    root=lambda path: open("/proc/self/root" + path).read()[:50], chdir=after_moving, linecache=by_lines,
    dots=lambda path: open(os.path.relpath(path)).read()[:50], run=lambda path: exec(open(path).read()),
    thread=lambda path: open("/proc/thread-self/root" + path).read()[:50],
)
for path in HIDDEN + OTHERS:
    for way, read in WAYS.items():
        attempt(f"{way} {path}", lambda: read(path))
for path in HIDDEN:
    if path.endswith(".db"):
        attempt("sqlite", lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("select 1").fetchall())
    attempt("truncating open", lambda: os.open(path, os.O_RDONLY | os.O_TRUNC))
"""

LIST_FOLDERS = """
import glob
if os.listdir():
    print("GOT something in its own directory", os.listdir())
for folder in ["/", "/tmp", "/home", "/root", "/work", "/etc", "/proc", "/proc/1", f"/proc/{GRADER}", "/dev",
               "/dev/shm", "/sys", "/var", "/run", "/usr", "/usr/bin", COURSE, COURSE + "/tests/checks/metrics",
               COURSE + "/submitted", REPO, HOME, "..", "../..", "/proc/self/root", "/proc/self/cwd/.."]:
    attempt("listdir " + folder, lambda: os.listdir(folder))
    attempt("scandir " + folder, lambda: [entry.name for entry in os.scandir(os.open(folder, os.O_PATH))])
    if found := glob.glob(folder + "/*"):
        print("GOT glob", folder, found)
"""

READ_PROCESSES = """
libc = ctypes.CDLL(None, use_errno=True)
for process in [GRADER, 1, *NEAR]:
    for name in ["environ", "cmdline", "maps", "mem", "stack", "status", "fdinfo/3", "task"]:
        path = f"/proc/{process}/{name}"
        attempt(path, lambda: os.listdir(path) if name == "task" else open(path, "rb").read(100))
    for name in ["cwd", "root", "exe", "fd/0", "fd/3"]:
        path = f"/proc/{process}/{name}"
        attempt(path, lambda: os.open(path, os.O_RDONLY))
    attempt("process_vm_readv", lambda: call((310, 270), process, None, 0, None, 0, 0))
    attempt("process_vm_writev", lambda: call((311, 271), process, None, 0, None, 0, 0))
    attempt("PTRACE_ATTACH", lambda: call((101, 117), 16, process, 0, 0))
    attempt("PTRACE_SEIZE", lambda: call((101, 117), 0x4206, process, 0, 0))
    attempt("pidfd_getfd", lambda: call((438, 438), process, 0, 0))
    attempt("kcmp", lambda: call((312, 272), process, ME, 0, 0, 0))
attempt("PTRACE_TRACEME", lambda: call((101, 117), 0, 0, 0, 0))
"""

IMPORT_HIDDEN = """
import importlib, importlib.util, runpy
names = ["reference.metrics.classification", "tests.checks.metrics.test_classification", "grader.checking.plugin",
         "grader.checking", "grader.checking.comparison", "grader.course", "grader.grading.engine", "grader.cli",
         "tests.wrong_answers.metrics.classification", "grader.gradebook.nbgrader_database", "conftest"]
for name in names:
    attempt("import " + name, lambda: importlib.import_module(name))
    attempt("fork server's " + name, lambda: sys.modules[name])
for place in [COURSE, REPO, COURSE + "/tests/checks/metrics", COURSE + "/reference", "/proc/self/root" + REPO]:
    sys.path.insert(0, place)
    importlib.invalidate_caches()
for name in [*names, "test_classification", "classification"]:
    sys.modules.pop(name, None)
    attempt("import with a path " + name, lambda: importlib.import_module(name))
for path in [path for path in HIDDEN if path.endswith(".py")]:
    attempt("run_path", lambda: runpy.run_path(path))
    spec = importlib.util.spec_from_file_location("stolen", path)
    attempt("spec", lambda: spec.loader.exec_module(importlib.util.module_from_spec(spec)))
    attempt("get_source", lambda: spec.loader.get_source("stolen"))
    attempt("get_data", lambda: spec.loader.get_data(path))
"""

SCAN_PROCESS = (
    TARGETS
    + """
import gc, inspect, linecache, types


def look(where, thing):
    data = thing if isinstance(thing, bytes) else str(thing).encode("utf-8", "replace")
    found = hidden_in(data)
    if found:
        print("GOT", where, found)


for text in [*linecache.cache.values(), *os.environ.items(), *sys.argv, *sys.path]:
    look("linecache, environment, arguments", text)
look("environ", open("/proc/self/environ", "rb").read())
look("cmdline", open("/proc/self/cmdline", "rb").read())
frame_ = sys._getframe()
while frame_:
    for name, value in [*frame_.f_locals.items()]:
        look("frame " + frame_.f_code.co_name, f"{name} {value!r:.2000}")
    frame_ = frame_.f_back
for name, module in list(sys.modules.items()):
    for wanted in ["CLAIMS", "count_by_" + "class", "attend_by_" + "loops", "CheckPlugin", "points", "expected"]:
        if name.startswith(("tests", "reference", "grader.checking")) or wanted in getattr(module, "__dict__", {}):
            if wanted != "points" or name.startswith("grader"):
                print("GOT module", name, wanted)
own, everything = {id(HALVES), id(globals())}, gc.get_objects()
for thing in everything:
    if isinstance(thing, dict) and id(thing) not in own:
        for value in list(thing.values()):
            if isinstance(value, (str, bytes)):
                look("object", value)
            elif isinstance(value, types.FunctionType):
                look("code", value.__code__.co_name + repr(value.__code__.co_consts)[:2000])
print(f"SAID nothing hidden in {len(everything)} objects and {len(sys.modules)} modules")
"""
)

SCAN_MEMORY = (
    TARGETS
    + """
total = 0
with open("/proc/self/mem", "rb", 0) as memory:
    for line in open("/proc/self/maps").read().splitlines():
        place, rights, _, device, *_ = line.split()
        if not rights.startswith("rw") and "[" not in line and "/" in line:
            continue  # the libraries' own pages
        start, end = (int(part, 16) for part in place.split("-"))
        for begin in range(start, end, 1 << 24):
            try:
                memory.seek(begin)
                data = memory.read(min(end - begin, (1 << 24) + 100))
            except (OSError, ValueError, OverflowError):
                continue
            total += len(data)
            found = hidden_in(data)
            if found:
                print("GOT memory", line, found)
print(f"SAID nothing hidden in {total >> 20} MB")
for descriptor in range(3, 200):
    if descriptor != LINE:
        attempt(f"descriptor {descriptor}", lambda: os.read(descriptor, 100))
"""
)

# Watches everything that a probe and the requests bring: their sources are no secret, expected values must not come.
SPY = (
    TARGETS
    + '''
import builtins
from grader.sandbox import student_process, wire
seen = []
real_exec, real_compile, real_unpack = builtins.exec, builtins.compile, wire.unpack


def spying_exec(source, *arguments, **keywords):
    seen.append(repr(source))
    return real_exec(source, *arguments, **keywords)


def spying_compile(source, *arguments, **keywords):
    seen.append(repr(source))
    return real_compile(source, *arguments, **keywords)


def spying_unpack(data, *arguments, **keywords):
    seen.append(data)
    request = real_unpack(data, *arguments, **keywords)
    seen.append(repr(request))
    return request


def tell(said):
    """Says when asked what came until then; the last check's answers carry it."""
    for thing in seen:
        found = hidden_in(thing if isinstance(thing, bytes) else thing.encode("utf-8", "replace"))
        if found:
            print("GOT request", found)
        text = str(thing)
        if "assert_close" in text or "expected" in text.replace("expected_", "") and "probe" not in text:
            print("GOT expectation", text[:200])
    if any("differentiate" in str(thing) for thing in seen):
        print("SAID saw a probe's source and arguments, no expected value")
    seen.clear()


class Tampered(student_process.StudentNamespace):
    def __getattr__(self, name):
        tell(name)
        return super().__getattr__(name)


builtins.exec, builtins.compile, wire.unpack = spying_exec, spying_compile, spying_unpack
student_process.StudentNamespace = Tampered


def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    tell("call")
    return query, key
'''
)

REMEMBER = """
# a first life leaves what it saw for the next one
import glob
for path in ["note", "/tmp/note", "/dev/shm/note", "../note", os.path.expanduser("~/note"), "/var/tmp/note"]:
    try:
        print("GOT memory of an earlier life", open(path).read())
    except OSError:
        pass


def classification_metrics(y_true, y_pred, n_classes):
    for path in ["note", "/tmp/note", "/dev/shm/note", "../note", "/var/tmp/note"]:
        try:
            open(path, "w").write(repr(y_true))
        except OSError:
            pass
    os._exit(3)


binary_report = classification_metrics
"""

ATTACKS = (
    Attack("read-files", "read hidden checks, reference, other submissions and private files in 18 ways", READ_FILES),
    Attack("list-folders", "list /, /proc, /tmp, the course and the folders around its own", LIST_FOLDERS),
    Attack("read-processes", "read and trace the grader, process 1 and 120 neighbours by /proc, ptrace, pidfd",
           READ_PROCESSES),
    Attack("import-hidden", "import the reference, the checks and the grader, with and without paths to them",
           IMPORT_HIDDEN),
    Attack("scan-process", "look through frames, modules, objects, caches and the environment for checks and values",
           SCAN_PROCESS, limits={"seconds": 20}),
    Attack("scan-memory", "look through its whole memory and every descriptor for checks and values", SCAN_MEMORY,
           limits={"seconds": 20}),
    Attack("spy-on-probes", "hook exec, compile, the wire and a probe's namespace to see expected values", SPY,
           exercise=TORCH, baseline=ATTENTION.format(value="query, key")),
    Attack("learn-over-restarts", "leave what a check asked for the process that takes its place after a crash",
           REMEMBER),
)  # fmt: skip
