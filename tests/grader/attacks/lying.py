"""Attacks by what a submission returns: objects that lie, that are too large, or that end badly."""

from tests.grader.attacks.model import QUICK, TORCH, Answer, Attack

BOTH = """
classification_metrics = binary_report = lambda *arguments, **keywords: {value}
claims = {claims}
"""
ATTENTION = """
def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    return {value}
"""

LIAR = '''
import numpy as np


class Liar:
    """Equal to everything, true, close, as long and as deep as you like."""

    shape, dtype, ndim, size, T = (3, 3), np.dtype("int64"), 2, 9, property(lambda self: self)
    __module__ = "numpy"

    def yes(self, *arguments, **keywords):
        return True

    def me(self, *arguments, **keywords):
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = __instancecheck__ = yes
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __truediv__ = __abs__ = __neg__ = __pow__ = me
    __getitem__ = __call__ = __enter__ = __iter__ = __next__ = __array_ufunc__ = __array_function__ = me
    __hash__ = lambda self: 0
    __len__ = lambda self: 2
    __float__ = lambda self: 0.5
    __int__ = __index__ = lambda self: 1
    __array__ = lambda self, *arguments, **keywords: np.ones((3, 3))
    __class__ = property(lambda self: dict)

    def __getattr__(self, name):
        return self

    def __reduce__(self):
        return os.system, (f"touch {COURSE}/stolen",)


liar = Liar()
'''

SUBCLASSES = """
import numpy as np


class Anything(dict):
    __contains__ = lambda self, key: True
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __len__ = lambda self: 8
    keys = lambda self: ["constant_guess", "precision"]
    items = lambda self: [(name, True) for name in ("constant_guess", "precision", "micro_f1", "macro_f1")]

    def get(self, key, default=None):
        return Right(1)

    __getitem__ = __missing__ = get


class Right(int):
    __class__ = bool
    __eq__ = lambda self, other: True
    __bool__ = lambda self: True
    __hash__ = int.__hash__


class Close(float):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True
    __sub__ = __rsub__ = lambda self, other: 0.0
    __float__ = lambda self: 0.5
    __hash__ = float.__hash__


class Array(np.ndarray):
    __eq__ = lambda self, other: np.ones(self.shape, bool)
    __array_ufunc__ = lambda self, function, method, *inputs, **keywords: np.zeros(self.shape)
    __array_function__ = lambda self, *arguments, **keywords: True
    tobytes = lambda self, *arguments: b""
    dtype = property(lambda self: np.dtype("int64"))


zeros = np.zeros((3, 3)).view(Array)
numbers = {name: Close(0.0) for name in ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1")}
arrays = dict.fromkeys(("confusion", "precision", "recall", "f1"), zeros)
claims = Anything(constant_guess=Right(1))
classification_metrics = lambda *arguments, **keywords: Anything({**numbers, **arrays})
binary_report = lambda *arguments, **keywords: Anything(dict.fromkeys(("tp", "fp", "fn", "tn", *numbers), Close(1)))
"""

TENSORS = """
import torch


class Lying(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        return arguments[0] if arguments else True

    __eq__ = __le__ = __ge__ = lambda self, other: torch.ones((), dtype=torch.bool)
    shape = property(lambda self: torch.Size((2, 3, 3)))
    allclose = equal = lambda self, *arguments, **keywords: True


class Shaped:
    def __init__(self, like):
        self.shape, self.dtype, self.requires_grad = like.shape, like.dtype, True
    __eq__ = lambda self, other: True
    __getattr__ = lambda self, name: lambda *arguments, **keywords: self
    __len__ = lambda self: 2


def scaled_dot_product_attention(query, key, value, mask=None, causal=False, scale=None):
    lie = torch.zeros(3).as_subclass(Lying)
    return (lie, lie) if query.ndim == 3 else (Shaped(value), Shaped(query))
"""

ENDLESS = """
import itertools


class Endless:
    __len__ = lambda self: 1 << 62
    __iter__ = lambda self: itertools.count()
    __getitem__ = lambda self, key: self
    __repr__ = __str__ = lambda self: "x" * (1 << 33)
    __bool__ = lambda self: time.sleep(100)


Endless.__qualname__ = Endless.__name__ = "y" * (1 << 20)


class Loud(Exception):
    __str__ = __repr__ = lambda self: "z" * (1 << 28)


def classification_metrics(*arguments, **keywords):
    raise Loud()


def binary_report(*arguments, **keywords):
    return Endless()


claims = (number for number in itertools.count())
"""

SIZES = """
import numpy as np

nest = []
for _ in range(100_000):
    nest = [nest]
circle = []
circle.append(circle)
answers = iter([lambda: np.zeros(10 << 30, "u1"), lambda: b"x" * (60 << 20), lambda: nest, lambda: circle,
                lambda: {number: number for number in range(1_000_000)}, lambda: [[]] * 3_000_000,
                lambda: "\\U0001f600" * (15 << 20), lambda: 16**3000 * 16**3000])


def classification_metrics(*arguments, **keywords):
    return next(answers, dict)()


binary_report = classification_metrics
claims = {"constant_guess": "x" * (30 << 20), "y" * (20 << 20): True}
"""

ODD_TEXT = """
import numpy as np

bad = np.frombuffer(b"\\xff\\xff\\xff\\x7f", dtype="<U1").reshape(())
print("\\ud800 \\udcff \\x1b]0;owned\\x07 \\x1b[2J <script>alert(1)</script>", "\\u202e")


class NoName(Exception):
    __str__ = lambda self: sys.exit(3)


def classification_metrics(*arguments, **keywords):
    return {"confusion": bad, "\\ud800": 1, "accuracy": 16**3999}


def binary_report(*arguments, **keywords):
    return dict.fromkeys(("tp", "fp", "fn", "tn", "accuracy"), bad)


claims = {"constant_guess": bad, "precision": "\\ud800"}
raise NoName("\\ud800 \\x1b[31m")
"""

PICKLES = f"""
import pickle
import numpy as np


class Bomb:
    def __reduce__(self):
        return os.system, (f"touch {{COURSE}}/stolen",)

    def __getstate__(self):
        os.system(f"touch {{COURSE}}/stolen")


Bomb.__module__, Bomb.__qualname__ = "os", "system"
bomb = pickle.dumps(Bomb()) if False else b"cposix\\nsystem\\n(Vtouch " + COURSE.encode() + b"/stolen\\ntR."
{BOTH.format(value="np.array([Bomb(), bomb], dtype=object)", claims='{"constant_guess": bomb, "precision": Bomb()}')}
"""

FICKLE = """
import random
random.seed()


def classification_metrics(*arguments, **keywords):
    if random.random() < 0.6:
        raise ValueError("not this time")
    return random.choice([{}, 1, None, [], "text"])


def binary_report(*arguments, **keywords):
    return {name: random.random() for name in ("tp", "fp", "fn", "tn", "accuracy", "precision", "recall", "f1")}
"""

NOT_FUNCTIONS = """
classification_metrics, binary_report, claims = 5, "a text", 7
"""

HUGE_NUMBERS = """
names = "tp fp fn tn accuracy precision recall f1".split()
binary_report = lambda *arguments, **keywords: dict.fromkeys(names, 16**3000)
classification_metrics = lambda *arguments, **keywords: dict.fromkeys(["confusion", *names], -2**70)
claims = {"constant_guess": 2**10_000}
"""

FALSE_NAMES = """
class ValueError(Exception):
    pass


class Both(TypeError, ValueError):
    pass


def classification_metrics(*arguments, **keywords):
    raise Both("whatever you wish to hear")


binary_report = classification_metrics
"""

ALWAYS_RAISES = """
def classification_metrics(*arguments, **keywords):
    raise ValueError


binary_report = classification_metrics
"""

STOPS = """
class Stop(BaseException):
    pass


exceptions = [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), Stop(), StopIteration(), MemoryError(), Stop]


def classification_metrics(*arguments, **keywords):
    raise exceptions[len(arguments[0]) % len(exceptions)]


def binary_report(*arguments, **keywords):
    sys.exit("all 10 points")
"""


ATTACKS = (
    Attack("always-equal", "return objects that are equal and close to everything and claim to be dicts",
           LIAR + BOTH.format(value="liar", claims="liar"), baseline=ALWAYS_RAISES),
    Attack("liars-inside", "return a dict of objects that are equal and close to everything",
           LIAR + BOTH.format(value="dict.fromkeys(('confusion', 'precision', 'recall', 'f1', 'accuracy', 'tp'), liar)",
                              claims="dict.fromkeys(('constant_guess', 'precision', 'micro_f1'), liar)"),
           baseline=ALWAYS_RAISES),
    Attack("lying-subclasses", "return subclasses of dict, int, float and ndarray whose comparisons lie", SUBCLASSES),
    Attack("lying-tensors", "return subclasses of Tensor and objects with the right shape and dtype", TENSORS,
           exercise=TORCH),
    Attack("liar-for-tensors", "return an object that answers every question with itself for both tensors",
           LIAR + ATTENTION.format(value="liar"), exercise=TORCH,
           baseline=ATTENTION.format(value="(_ for _ in ()).throw(ValueError())")),
    Attack("endless-objects", "return endless generators, lengths of 2**62, names of 1 MB, texts of 8 GB", ENDLESS,
           limits={"seconds": 2, "total_seconds": 6}),
    Attack("oversized-values", "return 10 GB, 60 MB, nests of 100,000 lists, circles, a million keys", SIZES,
           limits={"seconds": 5, "total_seconds": 20}),
    Attack("odd-text", "return and raise half surrogates, impossible characters, terminal codes, huge integers",
           ODD_TEXT),
    Attack("pickles", "return pickles and objects that run a program when they are rebuilt", PICKLES),
    Attack("different-every-time", "return something else for the same question", FICKLE),
    Attack("not-functions", "bind the names of functions to numbers and texts", NOT_FUNCTIONS),
    Attack("huge-numbers", "return integers of 12,000 bits", HUGE_NUMBERS),
    Attack("false-exceptions", "raise exceptions of its own that are called ValueError", FALSE_NAMES,
           baseline=ALWAYS_RAISES),
    Attack("stops", "raise SystemExit, KeyboardInterrupt and other BaseExceptions", STOPS),
    Attack("exit-at-import", "end the process while the notebook is loaded", "os._exit(0)"),
    Attack("exit-later", "end the process in the middle of a check, with a right answer before",
           "classification_metrics = lambda *arguments, **keywords: os._exit(0)", answer=Answer.RIGHT,
           answer_first=True),
    Attack("crash", "crash by a bad pointer, at the first call", BOTH.format(value="ctypes.string_at(1)", claims="{}")),
    Attack("abort", "abort, at the first call", BOTH.format(value="os.abort()", claims="{}")),
    Attack("deep-recursion", "overflow the stack of the process",
           "sys.setrecursionlimit(1 << 30)\n" + BOTH.format(value="(f := lambda n: f(n + 1))(0)", claims="{}"),
           limits={"seconds": 2, "total_seconds": 4, "memory_megabytes": 100}),
    Attack("never-loads", "sleep for ever while the notebook is loaded", "time.sleep(1000)", limits=QUICK),
    Attack("never-answers", "sleep for ever in each function", BOTH.format(value="time.sleep(1000)", claims="{}"),
           limits=QUICK),
)  # fmt: skip
