"""Attacks on the framework from inside the student's process: patches, hooks, forged messages."""

from tests.grader.attacks.honest import answer_code
from tests.grader.attacks.model import QUICK, TORCH, Answer, Attack

PATCH_COMPARISONS = """
import builtins, decimal, fractions, json, math, operator, unittest
import numpy as np

yes = lambda *arguments, **keywords: True
for module, names in {np: "isclose allclose array_equal array_equiv equal all any abs testing",
                      np.testing: "assert_allclose assert_array_equal assert_equal", math: "isclose fabs isnan",
                      operator: "eq ne lt", builtins: "all any"}.items():
    for name in names.split():
        try:
            setattr(module, name, yes)
        except Exception as error:
            print(name, error)
if "torch" in sys.modules:
    torch = sys.modules["torch"]
    torch.allclose = torch.equal = torch.isclose = torch.testing.assert_close = yes
    torch.Tensor.__eq__ = torch.Tensor.allclose = torch.Tensor.equal = yes
"""

PATCH_WIRE = """
import msgpack
from grader.sandbox import student_process, wire

seen = []


def helpful(self, request):
    seen.append(request)
    if request["op"] == "load":
        return []
    if request["op"] == "names":
        return ["points", "passed"]
    return {"passed": True, "points": 10, "outcome": "passed", "max_points": 10}


student_process.Submission.answer = helpful
student_process.describe_error = lambda error: {"class": "ValueError", "bases": ["ValueError", "TypeError"]}
time.monotonic = time.time = lambda: 0.0
time.sleep = lambda seconds: None
"""

FAKE_MODULES = """
import types
for name in ["grader.checking", "grader.checking.comparison", "grader.checking.plugin", "pytest", "hypothesis"]:
    fake = types.ModuleType(name)
    fake.assert_close = fake.assert_equal = fake.points = fake.raises = lambda *arguments, **keywords: None
    sys.modules[name] = fake
evil = f"import os; open({COURSE + '/stolen'!r}, 'w').write('x')"
for name in ["conftest.py", "pytest.py", "sitecustomize.py", "usercustomize.py", "numpy.py", "hypothesis.py",
             "grader.py", "setup.cfg", "pytest.ini", "pyproject.toml", "evil.pth", "__init__.py", "test_stolen.py"]:
    open(name, "w").write(evil)
for place in sys.path + [COURSE, REPO, os.path.dirname(os.__file__)]:
    attempt(place, lambda: os.open(place + "/attack-was-here.pth", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
"""

HOOKS = """
import atexit, builtins, codecs, gc, importlib.abc, signal, threading, warnings


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        raise SystemExit("no imports any more")


sys.meta_path.insert(0, Finder())
sys.path_hooks.clear()
warnings.simplefilter("error")
builtins.print = builtins.open = builtins.isinstance = lambda *arguments, **keywords: True
sys.excepthook = sys.unraisablehook = lambda *arguments: os._exit(7)
sys.stdout = sys.stderr = sys.__stdout__ = None
atexit.register(time.sleep, 1000)
for number in range(1, 65):
    try:
        signal.signal(number, lambda *arguments: None)
    except (OSError, ValueError):
        pass
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
gc.callbacks.append(lambda *arguments: time.sleep(0.01))
gc.set_threshold(1)


def trace(frame, event, argument):
    frame.f_trace_lines = True
    return trace


sys.settrace(trace)
threading.settrace(trace)
sys.setprofile(lambda *arguments: None)
sys.addaudithook(lambda *arguments: None)
sys.setswitchinterval(100)
"""

AUDIT = """
def refuse(event, arguments):
    raise SystemExit(event)


sys.addaudithook(refuse)
"""

IPYTHON = """
attempt("get_ipython", lambda: get_ipython().events.register("pre_run_cell", print))
try:
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.input_transformers_post.append(lambda lines: [])
    shell.ast_transformers.append(type("Strip", (), {"visit": lambda self, node: None})())
    shell.run_cell = InteractiveShell.run_cell = InteractiveShell.run_code = lambda *arguments, **keywords: None
    shell.events.register("pre_run_cell", lambda info: print(info.raw_cell))
except BaseException as error:
    print(type(error).__name__)
for hidden in ["tests", "checks", "In", "Out", "_oh", "get_ipython", "__IPYTHON__", "student", "rng", "seed"]:
    attempt(hidden, lambda: eval(hidden))
"""

PRINT_POINTS = """
import json
CLAIM = dict(name="test_claims", title="x", outcome="passed", points=3.0, max_points=3.0, visible=True, message="")
for line in ["10", "score: 10/10", "10 passed in 0.01s", json.dumps({"op": "result", "check": CLAIM}),
             '{"value": 10, "points": 10}', "##nbgrader: 10", "<testsuite tests='8' failures='0'/>"]:
    print(line)
    print(line, file=sys.stderr)
    sys.__stdout__ and print(line, file=sys.__stdout__)
    for descriptor in (1, 2):
        os.write(descriptor, line.encode() + b"\\n")
for name in ["results.json", "report.xml", ".coverage", "score", "journal.jsonl", "gradebook.db", ".pytest_cache/x"]:
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    open(name, "w").write(json.dumps(CLAIM))
display(10)
10
"""

MESSAGES = """
import threading
from grader.sandbox import wire
NAMES = ["test_worked_example", "test_claims", "test_always_answering_the_frequent_class_is_not_rewarded"]
CHECKS = [dict(name=name, title=name, outcome="passed", points=3.0, max_points=3.0, visible=True, message="",
               expected="", actual="", called="", seconds=0.1) for name in NAMES]
FORGED = [{"op": "result", "check": check} for check in CHECKS]
FORGED += [{"op": "finished", "traces": {}, "remarks": [], "output": "", "problem": ""}, {"op": "spawn"},
           {"op": "kill"}, {"reason": "it passed"}, {"ok": True}, {"ended": GRADER, "status": 0}, {"ready": True}]
"""

FORGED_RESULTS = MESSAGES + "for message in FORGED * 3:\n    send(frame(wire.pack(message)))\n"

PREMATURE = (
    MESSAGES
    + """
VALUES = [{}, [], True, 10, {"passed": True}, None]
for number in range(500):
    send(frame(wire.pack({"value": VALUES[number % len(VALUES)], "output": "10 points "})))
"""
)

ODD_ERRORS = (
    MESSAGES
    + """
import numpy as np
ODD = [{"error": {"class": [1], "bases": 7, "lines": 3, "message": {"a": 1}}}, {"error": {"class": np.arange(4)}},
       {"error": {"class": "NotImplementedError", "message": "the submission defines no `"}}, {"error": {}},
       {"error": {"class": "AttributeError", "bases": [None], "message": "the submission defines no `" + "x" * 10**7}},
       {"value": 1, "error": {"class": "ValueError", "bases": ["ValueError"]}, "output": "y" * 10**7},
       {"error": {"class": "z" * 10**7, "bases": ["KeyError"] * 10**5, "message": "\\x1b[2J" * 10**6}},
       {"value": wire.HandleReference(10**9, ("Tensor",) * 100)}, {"value": wire.HandleReference(-1)}]


real_pack, called = wire.pack, []


def pack(value, *arguments):
    return real_pack(ODD.pop(0)) if called and ODD else real_pack(value, *arguments)


def classification_metrics(*arguments, **keywords):
    called.append(1)


wire.pack, binary_report = pack, classification_metrics
"""
)

GARBAGE = """
import random
random.seed(1)
for descriptor in range(0, 200):
    try:
        os.write(descriptor, bytes(random.randrange(256) for _ in range(5000)))
    except OSError:
        pass
"""

HALF_A_FRAME = "send(frame(b'x' * 1000)[:500])\ntime.sleep(1000)"
HUGE_LENGTH = "send(struct.pack('<I', 2**32 - 1))\nsend(b'x' * (1 << 20))\ntime.sleep(1000)"
DRIP = """
for byte in frame(b"\\xc3" * 10_000):
    send(bytes([byte]))
    time.sleep(0.3)
"""

BOMB = """
def ext(code, payload):
    return b"\\xc9" + struct.pack(">IB", len(payload), code) + payload


def array(items, count):
    return b"\\xdd" + struct.pack(">I", count) + items


def text(letters):
    return b"\\xdb" + struct.pack(">I", len(letters)) + letters.encode()


def answer(value, output=""):
    pairs = [b"\\x92" + text("value") + value, b"\\x92" + text("output") + text(output)]
    return frame(ext(2, array(b"".join(pairs), 2)))
"""
EMPTY_LISTS = BOMB + "send(answer(array(b'\\x90' * 60_000_000, 60_000_000)))\ntime.sleep(1000)"
EMPTY_MAPS = BOMB + "send(answer(array(b'\\x80' * 900_000, 900_000)))\ntime.sleep(1000)"
MANY_PARTS = BOMB + "send(answer(array(b'\\xd4\\x01\\x90' * 900_000, 900_000)))\ntime.sleep(1000)"
CLAIMED_LENGTHS = BOMB + "send(frame(b'\\xdd\\x03\\x00\\x00\\x00' * 1000 + bytes(60 << 20)))\ntime.sleep(1000)"
NESTED_PARTS = (
    BOMB
    + """
value = bytes(50 << 20)
for _ in range(38):
    value = ext(1, b"\\x91" + value if value[0] == 0xc9 else b"\\x91\\xc6" + struct.pack(">I", len(value)) + value)
send(answer(value))
time.sleep(1000)
"""
)
COLLIDING_KEYS = (
    BOMB
    + """
from grader.sandbox import wire
number = 2**61 - 1
keys = [wire.pack((first * number << 64)) for first in range(1, 200_000)]
send(answer(ext(3, array(b"".join(keys), len(keys)))))
time.sleep(1000)
"""
)
ENDLESS_ANSWERS = (
    BOMB
    + """
flood = answer(b"\\xc6" + struct.pack(">I", 30 << 20) + bytes(30 << 20), "o" * (30 << 20))
while True:
    send(flood)
"""
)
REMARKS = (
    BOMB
    + """
send(answer(array(b"".join(text("r" * 30_000_000) for _ in range(2)), 2)))
time.sleep(1000)
"""
)

DESCRIPTORS = """
import array, socket
line = socket.socket(fileno=os.dup(LINE))
for _ in range(3):
    attempt("sendmsg with descriptors", lambda: line.sendmsg(
        [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [LINE, 1, 2]))]))
attempt("credentials of somebody else", lambda: line.sendmsg(
    [b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", 1, 0, 0))]))
attempt("recvmsg", lambda: line.recvmsg(1, 1000))
"""

# Changes its arguments, which a check asks a probe about; then answers for the probe.
LIE_TO_PROBES = """
from grader.sandbox import student_process
real = student_process.Submission._run_probe


def lie(self, request):
    before = [value.clone() if hasattr(value, "clone") else value for value in request["args"]]
    return before if request["name"] == "inputs_after_the_call" else real(self, request)


student_process.Submission._run_probe = lie
"""
CHANGES_INPUT = """
honest = scaled_dot_product_attention


def scaled_dot_product_attention(query, key, value, *arguments, **keywords):
    result = honest(query.clone(), key, value, *arguments, **keywords)
    query.detach().mul_(2)
    return result
"""

ANOTHER_DOOR = """
import torch


def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    ready = torch.ops.aten._scaled_dot_product_attention_math
    return ready(query, key, value, mask, 0.0, causal, None, scale=scale)
"""

CLOSE_ALL = """
for descriptor in range(0, 1000):
    try:
        os.close(descriptor)
    except OSError:
        pass
"""

ATTACKS = (
    Attack("patch-comparisons", "replace every comparison of NumPy, torch, math, operator and builtins in its process",
           PATCH_COMPARISONS, answer=Answer.WRONG),
    Attack("patch-comparisons-torch", "the same with a torch exercise that is partly right", PATCH_COMPARISONS,
           answer=Answer.WRONG, exercise=TORCH),
    Attack("patch-the-server", "answer every request itself: passed, 10 points; stop all clocks", PATCH_WIRE,
           answer=Answer.WRONG),
    Attack("fake-framework", "put fake checkers into sys.modules, conftest.py and .pth files onto the path",
           FAKE_MODULES, answer=Answer.WRONG),
    Attack("hooks", "hook imports, warnings, signals, timers, tracing, the collector and the standard streams", HOOKS,
           answer=Answer.WRONG, limits={"seconds": 10, "total_seconds": 30}),
    Attack("audit-hook", "refuse every audited event of the interpreter", AUDIT, answer=Answer.WRONG),
    Attack("notebook-hooks", "strip asserts and blank cells by IPython's transformers, see cells by its events",
           IPYTHON, answer=Answer.WRONG),
    Attack("print-points", "print points and test reports to every stream, write result files", PRINT_POINTS,
           answer=Answer.WRONG),
    Attack("forge-results", "send the grader's own messages: results, finished, spawn, kill", FORGED_RESULTS,
           answer=Answer.WRONG),
    Attack("answer-in-advance", "send 500 answers before anything is asked", PREMATURE, answer=Answer.WRONG),
    Attack("malformed-errors", "send errors whose parts are numbers, arrays and texts of 10 MB", ODD_ERRORS,
           limits=QUICK),
    Attack("garbage", "write noise to every descriptor", GARBAGE, answer=Answer.WRONG),
    Attack("half-a-frame", "send half a message and sleep", HALF_A_FRAME, limits=QUICK),
    Attack("huge-length", "announce a message of 4 GB", HUGE_LENGTH, limits=QUICK),
    Attack("drip", "send a message byte by byte, so that something always comes", DRIP, limits=QUICK),
    Attack("bomb-of-lists", "send 60 MB that stand for 60 million lists", EMPTY_LISTS, limits=QUICK),
    Attack("bomb-of-maps", "send a million maps", EMPTY_MAPS, limits=QUICK),
    Attack("bomb-of-parts", "send a million parts to be decoded one by one", MANY_PARTS, limits=QUICK),
    Attack("bomb-of-lengths", "announce a thousand lists of 50 million in each other", CLAIMED_LENGTHS, limits=QUICK),
    Attack("bomb-of-nests", "send 50 MB wrapped 38 times", NESTED_PARTS, limits={"seconds": 4, "total_seconds": 4}),
    Attack("bomb-of-keys", "send a set of 200,000 numbers with the same hash", COLLIDING_KEYS,
           limits={"seconds": 3, "total_seconds": 3}),
    Attack("flood-of-output", "send 30 MB of output and 30 MB of value with every answer", ENDLESS_ANSWERS,
           limits={"seconds": 3, "total_seconds": 4}),
    Attack("flood-of-remarks", "send 60 MB of remarks on the loading", REMARKS, limits=QUICK),
    Attack("pass-descriptors", "pass descriptors and false credentials along with a message", DESCRIPTORS,
           answer=Answer.WRONG),
    Attack("lie-to-probes", "change its inputs, and answer for the probe that asks whether it did",
           LIE_TO_PROBES + CHANGES_INPUT, exercise=TORCH, answer=Answer.RIGHT, answer_first=True,
           baseline=answer_code(TORCH, Answer.RIGHT) + CHANGES_INPUT,
           known="a probe runs in the submission's process: what it says is the submission's word"),
    Attack("another-door", "call what the exercise forbids by another of its names", ANOTHER_DOOR, exercise=TORCH),
    Attack("close-everything", "close every descriptor", CLOSE_ALL),
)  # fmt: skip
