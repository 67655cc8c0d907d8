"""Hidden checks of foundations/automatic_differentiation.

Expressions are written as text and run twice: over there with `Var`, and here with `Dual`, a number that carries its
derivative by one chosen name forwards. Forward mode shares nothing with a backward sweep.
"""

import math

from grader.checking import assert_close, assert_equal, catches, points, raises, visible

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


# Independent path: forward mode, one run for each derivative.


class Dual:
    """A value and its slope, the derivative by the one name that was chosen."""

    def __init__(self, value, slope=0.0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        other = dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = dual(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __pow__(self, power):
        if power == 0:
            return Dual(1.0, 0.0)
        return Dual(self.value**power, power * self.value ** (power - 1) * self.slope)

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -dual(other)

    def __truediv__(self, other):
        return self * dual(other) ** -1

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, number):
        return dual(number) - self

    def __rtruediv__(self, number):
        return dual(number) / self

    def exp(self):
        return Dual(math.exp(self.value), math.exp(self.value) * self.slope)

    def log(self):
        return Dual(math.log(self.value), self.slope / self.value)

    def tanh(self):
        return Dual(math.tanh(self.value), self.slope * (1 - math.tanh(self.value) ** 2))

    def relu(self):
        return Dual(self.value, self.slope) if self.value > 0 else Dual(0.0, 0.0)


def dual(value):
    return value if isinstance(value, Dual) else Dual(value)


def forward_derivatives(statements, values):
    """For each name: its value and the derivative of the last name by it."""
    lines = [line.partition(" = ") for line in statements.split("; ")]
    last = lines[-1][0]
    results = {}
    for chosen in (*values, *(name for name, _, _ in lines)):
        names = {name: Dual(value, float(name == chosen)) for name, value in values.items()}
        for name, _, formula in lines:
            names[name] = eval(formula, {}, names)
            if name == chosen:
                names[name] = Dual(names[name].value, 1.0)
        results[chosen] = (names[chosen].value, names[last].slope)
    return results


# Probes: they run in the student's process and return plain data.


def differentiate(student, statements, **values):
    names = {name: student.Var(value) for name, value in values.items()}
    exec(statements, {}, names)
    names[statements.split("; ")[-1].split(" = ")[0]].backward()
    return {name: (float(node.data), float(node.grad)) for name, node in names.items()}


def run_statements(student, statements, **values):
    names = {name: student.Var(value) for name, value in values.items()}
    exec(statements, {}, names)
    return {name: float(node.grad) for name, node in names.items()}


def compute(student, formula, **values):
    names = {name: student.Var(value) for name, value in values.items()}
    operands = dict(names)
    result = eval(formula, {}, names)
    return {
        "value": float(result.data),
        "gradient before backward": float(result.grad),
        "operands": {name: (float(node.data), float(node.grad)) for name, node in operands.items()},
        "new": all(result is not node for node in operands.values()),
    }


def make_variable(student, data):
    node = student.Var(data)
    return float(node.data), float(node.grad)


def walk_a_long_chain(student, start, steps):
    import sys

    sys.setrecursionlimit(1000)
    x = student.Var(start)
    y = x
    for step in range(steps):
        y = y / 1.0001 if step % 2 else y - 0.5
    y.backward()
    slope = float(x.grad)
    y.zero_grad()
    return slope, float(x.grad), float(y.grad), sys.getrecursionlimit()


def count_multiplications(student, start, doublings, most):
    class Counted(float):
        """A seed that counts how often it, or what became of it, is multiplied."""

        count = 0

        def __mul__(self, other):
            Counted.count += 1
            if Counted.count > most:
                raise RuntimeError(f"more than {most} multiplications for a chain of {doublings} values used twice")
            return Counted(float(self) * float(other))

        def __add__(self, other):
            return Counted(float(self) + float(other))

        __rmul__, __radd__ = __mul__, __add__

    x = student.Var(start)
    y = x
    for _ in range(doublings):
        y = y + y
    y.backward(Counted(1.0))
    return float(x.grad)


def run_visible_example(student):
    x, y = student.Var(3.0), student.Var(-2.0)
    a = x * y
    b = a + x
    out = b / y
    nodes = (x, y, a, b, out)
    data = [float(node.data) for node in (a, b, out)]
    out.backward()
    first = [float(node.grad) for node in nodes]
    out.backward()
    second = [float(node.grad) for node in nodes]
    out.zero_grad()
    cleared = [float(node.grad) for node in nodes]
    difference = 2 - x
    difference.backward()
    return data, first, second, cleared, [float(difference.data), float(x.grad)]


def compare(student, statements, leaves_only=False, **values):
    """Value and gradient of every name in the statements (gradient of leaves only, if asked) against forward mode."""
    found = student.run(differentiate, statements, **values)
    at = ", ".join(f"{name}={value:.6g}" for name, value in values.items())
    for name, (value, slope) in forward_derivatives(statements, values).items():
        where = f"`{name}` in `{statements}` at {at}"
        assert_close(found[name][0], float(value), **CLOSE, what=f"value of {where}")
        if leaves_only and name not in values:
            continue
        assert_close(
            found[name][1], float(slope), **CLOSE, what=f"gradient of {where} after the backward of its last name"
        )


def signed(rng, low=0.4, high=1.9):
    return float(rng.uniform(low, high) * rng.choice([-1.0, 1.0]))


@points(1)
@visible
def test_small_example_worked_by_hand(student):
    """The small example of the notebook comes out as worked by hand."""
    data, first, second, cleared, difference = student.run(run_visible_example)
    once = [0.5, -0.75, -0.5, -0.5, 1.0]
    assert_close(data, [-6.0, -3.0, 1.5], **CLOSE, what="list of values of a, b and out")
    assert_close(first, once, **CLOSE, what="list of gradients of x, y, a, b and out after out.backward()")
    assert_close(
        second,
        [2 * value for value in once],
        **CLOSE,
        what="list of gradients of x, y, a, b and out after two calls of out.backward()",
        cause="what the first sweep left is passed on by the second, is replaced by it, or stops it",
    )
    assert_close(cleared, [0.0] * 5, **CLOSE, what="list of gradients of x, y, a, b and out after out.zero_grad()")
    assert_close(difference, [-1.0, -1.0], **CLOSE, what="value of 2 - x, and gradient of x after its backward")


@points(1)
@catches(
    "no-reflected-operators",
    "no-reflected-difference",
    "reflected-difference-swapped",
    "reflected-quotient-swapped",
    "sum-in-place",
    "no-minus-sign",
)
def test_numbers_may_stand_on_either_side(student, rng):
    """Numbers and variables mix on either side of an operator, and the operands stay as they are."""
    for formula, expected in (
        ("c - x", lambda x, c: c - x),
        ("c / x", lambda x, c: c / x),
        ("x + c", lambda x, c: x + c),
        ("x - c", lambda x, c: x - c),
        ("x * c", lambda x, c: x * c),
        ("x / c", lambda x, c: x / c),
        ("c + x", lambda x, c: c + x),
        ("c * x", lambda x, c: c * x),
        ("-x", lambda x, c: -x),
        ("x ** c", lambda x, c: x**c),
        ("sum([x, x, c])", lambda x, c: x + x + c),
    ):
        for x, number in ((float(rng.uniform(0.6, 1.9)), round(float(rng.uniform(2.1, 3.9)), 3)), (1.7, 3)):
            text = formula.replace("c", str(number))
            found = student.run(compute, text, x=x)
            at = f"`{text}` at x={x:.6g}"
            assert_close(found["value"], float(expected(x, number)), **CLOSE, what=f"value of {at}")
            assert_equal(found["gradient before backward"], 0.0, what=f"gradient of {at} before any backward")
            assert_equal(found["operands"]["x"], (x, 0.0), what=f"pair of value and gradient of x after {at}")
            assert_equal(found["new"], True, what=f"statement that {at} is a new Var, not x itself")


@points(2)
@catches(
    "quotient-not-squared",
    "quotient-sign",
    "difference-sign",
    "product-own-factor",
    "power-without-exponent",
    "power-of-same-degree",
    "tanh-of-input",
    "exp-of-input",
    "log-without-slope",
    "logarithm-to-base-ten",
    "second-operand-forgotten",
    "relu-passes-everything",
)
def test_each_operation_has_its_own_derivative(student, rng):
    """Every single operation passes the right gradient to each of its operands."""
    for statements in ("out = x / y", "out = x - y", "out = x * y", "out = x + y"):
        compare(student, statements, leaves_only=True, x=signed(rng), y=signed(rng))
    for power in (3, -2, 2.5, -0.5):
        compare(student, f"out = x ** {power}", leaves_only=True, x=float(rng.uniform(0.5, 1.8)))
    for power in (3, 4.0, -3):
        compare(student, f"out = x ** {power}", leaves_only=True, x=-float(rng.uniform(0.5, 1.8)))
    for statements in ("out = x.exp()", "out = x.log()", "out = x.tanh()", "out = x.relu()"):
        compare(student, statements, leaves_only=True, x=float(rng.uniform(0.3, 1.6)))
    for statements in ("out = x.exp()", "out = x.tanh()", "out = x.relu()"):
        compare(student, statements, leaves_only=True, x=-float(rng.uniform(0.3, 1.6)))


@points(1)
@catches(
    "overwrites",
    "depth-first-double-counting",
    "breadth-first",
    "leaves-first",
    "equal-values-merged",
    "leaves-only",
)
def test_a_value_used_twice_collects_both_parts(student, rng):
    """The gradient of a value is the sum over all its uses, and it is passed on when it is complete."""
    x, y = signed(rng), signed(rng)
    compare(student, "out = x + x", x=x)
    # the same node by a short and by a long road, the short one written first and last
    compare(student, "a = x + y; b = a / 4; c = b / 0.7; out = c + a", x=x, y=y)
    compare(student, "a = x + y; b = a / 4; c = b / 0.7; out = a + c", x=x, y=y)
    compare(student, "a = x / 3; b = a + y; c = b / 0.4; d = c + a; e = d + b; out = e + d", x=x, y=y)
    # two leaves with one value are two leaves
    compare(student, "a = x / 2; b = y / 3; out = a + b", x=x, y=x)


@points(1)
@catches("first-operand-twice")
def test_random_expressions_agree_with_forward_mode(student, rng):
    """Random expressions of many operations get the gradients that forward differentiation finds."""
    templates = (
        "{a} * {b}.tanh()",
        "{a} + {b}",
        "{a} - {b}",
        "{a} / ({b}.tanh() + 2.5)",
        "{a}.tanh().exp()",
        "({a} * {a} + 0.5).log()",
        "({a} * {a} + 1.5) ** -0.5",
        "{a}.relu() - {b}",
    )
    for steps in (4, 6, 9, 12):
        names, statements = ["x", "y", "z"], []
        for step in range(steps):
            # the newest value, and one of the others
            other = names[int(rng.integers(len(names) - 1))]
            statements.append(f"v{step} = " + str(rng.choice(templates)).format(a=names[-1], b=other))
            names.append(f"v{step}")
        compare(student, "; ".join(statements), x=signed(rng), y=signed(rng), z=signed(rng))
    compare(student, "a = 2.5 / x; b = 1.5 - a; c = 2 + b; d = 3 * c; e = -d; out = sum([e, x, e])", x=signed(rng))


@points(1)
@catches(
    "inner-gradients-reused",
    "starts-from-zero",
    "visited-for-ever",
    "seed-ignored",
    "seed-for-the-result-only",
    "clears-itself-only",
    "clears-leaves-only",
)
def test_gradients_add_up_until_they_are_cleared(student, rng):
    """Gradients add up over calls of backward, each scaled by its seed, until zero_grad clears what lies below."""
    x = signed(rng)
    factor, other = round(signed(rng, 0.3, 0.9), 3), round(signed(rng, 1.3, 2.9), 3)
    for statements, expected, cause in (
        (
            "a = x / 4; y = a / 0.5; y.backward(); y.backward()",
            {"x": 1.0, "a": 4.0, "y": 2.0},
            "the second sweep takes the gradients that the first one left for its own, or does not start afresh",
        ),
        (
            "y = x / 0.2; z = x / 0.5; y.backward(); z.backward()",
            {"x": 7.0, "y": 1.0, "z": 1.0},
            "what another result left in x is lost",
        ),
        (
            f"a = x / 4; y = a / 0.2; y.backward({factor}); y.backward(seed={other})",
            {"x": 1.25 * (factor + other), "a": 5 * (factor + other), "y": factor + other},
            "the sweep starts with the seed",
        ),
        (
            "a = x / 3; y = a / 0.7; z = y / 0.9; z.backward(); y.zero_grad()",
            {"x": 0.0, "a": 0.0, "y": 0.0, "z": 1.0},
            "which variables zero_grad reaches: the one it is called on, and those it was computed from",
        ),
        (
            "a = x / 0.1; y = a / 0.2; y.backward(); y.zero_grad(); y.backward(); a.backward()",
            {"x": 60.0, "a": 6.0, "y": 1.0},
            "a sweep after zero_grad is a sweep like any other",
        ),
    ):
        found = student.run(run_statements, statements, x=x)
        for name, value in expected.items():
            what = f"gradient of `{name}` at the end of `{statements}`"
            assert_close(found[name], value, **CLOSE, what=what, cause=cause)


@points(1)
@catches("recursive-search", "recursive-clearing", "recursion-limit-raised", "every-path-walked")
def test_one_sweep_is_enough_for_long_and_shared_graphs(student, rng):
    """Chains of 10 000 operations need no recursion, and a value used twice is passed through once."""
    start = signed(rng)
    for doublings, most in ((2, 100), (16, 2000)):
        slope = student.run(count_multiplications, start, doublings, most)
        assert_close(slope, 2.0**doublings, **CLOSE, what=f"gradient of x after {doublings} times y = y + y")
    slope = student.run(count_multiplications, start, 60, 10_000)
    assert_close(slope, 2.0**60, **CLOSE, what="gradient of x after 60 times y = y + y")
    slope, cleared, cleared_result, limit = student.run(walk_a_long_chain, start, 10_000)
    assert_close(slope, 1.0001**-5000, **CLOSE, what="gradient of x below 10 000 operations")
    assert_equal([cleared, cleared_result], [0.0, 0.0], what="list of gradients of x and of the result after zero_grad")
    assert_equal(limit, 1000, what="recursion limit after backward")


@points(1)
@catches("relu-slope-one", "zero-to-the-zero", "tanh-by-exponentials", "product-by-division", "power-by-logarithm")
def test_kinks_zeros_and_large_values(student, rng):
    """The corners are as agreed: relu and powers at zero, products with zero, tanh of large numbers."""
    y = signed(rng)
    for formula, x, value, slope in (
        ("x.relu()", 0.0, 0.0, 0.0),
        ("x.relu()", 0, 0.0, 0.0),
        ("x ** 0", 0.0, 1.0, 0.0),
        ("x ** 0", 2.5, 1.0, 0.0),
        ("x ** 0.0", 0.0, 1.0, 0.0),
        ("x ** 1", 0.0, 0.0, 1.0),
        ("x ** 2", 0.0, 0.0, 0.0),
        ("x ** 1.5", 0.0, 0.0, 0.0),
        ("x.tanh()", 1000.0, 1.0, 0.0),
        ("x.tanh()", -1000.0, -1.0, 0.0),
        ("x.tanh()", 0.0, 0.0, 1.0),
        ("x.relu()", 1e200, 1e200, 1.0),
        ("x.relu()", -1e200, 0.0, 0.0),
        ("x * y", 0.0, 0.0, y),
        ("x / y", 0.0, 0.0, 1 / y),
    ):
        found = student.run(differentiate, f"out = {formula}", x=x, y=y)
        assert_close(found["out"][0], value, **CLOSE, what=f"value of `{formula}` at x={x:g}")
        assert_close(found["x"][1], slope, **CLOSE, what=f"gradient of x for `{formula}` at x={x:g}")
    found = student.run(differentiate, "out = x * y", x=0.0, y=y)
    assert_close(found["y"][1], 0.0, **CLOSE, what="gradient of y for `x * y` at x=0")
    found = student.run(differentiate, "a = x - y; b = a.relu(); out = b * 3", x=y, y=y)
    assert_close(found["x"][1], 0.0, **CLOSE, what="gradient of x for `(x - y).relu() * 3` at x=y")


@points(1)
@catches(
    "variable-as-exponent",
    "number-to-a-variable",
    "logarithm-clipped",
    "quotient-guarded",
    "complex-powers",
    "infinite-slope",
    "infinite-slope-later",
    "overflow-to-infinity",
    "texts-converted",
)
def test_impossible_operations_are_refused(student, rng):
    """An operation without a result or without a slope raises the agreed error at once."""
    y = float(rng.uniform(1.2, 1.9))
    for error, formula, x in (
        (ValueError, "x.log()", 0.0),
        (ValueError, "x.log()", -y),
        (ValueError, "x ** 0.5", -y),
        (ValueError, "x ** -1.5", -y),
        (ValueError, "x ** 0.5", 0.0),
        (ValueError, "x ** 0.25", 0),
        (ZeroDivisionError, "y / x", 0.0),
        (ZeroDivisionError, "y / 0", 0.0),
        (ZeroDivisionError, "x ** -1", 0.0),
        (ZeroDivisionError, "x ** -0.5", 0.0),
        (OverflowError, "x.exp()", 1000.0),
        (OverflowError, "x ** 2", 1e200),
        (TypeError, "y ** x", 1.5),
        (TypeError, "2 ** x", 1.5),
        (TypeError, "x ** '2'", 1.5),
        (TypeError, "x ** None", 1.5),
        (TypeError, "x + '3'", 1.5),
        (TypeError, "x * '3'", 1.5),
        (TypeError, "x - None", 1.5),
        (TypeError, "x / [2.0]", 1.5),
    ):
        with raises(error, what=f"`{formula}` at x={x:.4g}, y={y:.4g}"):
            student.run(compute, formula, x=x, y=y)
    for data in ("3", None):
        with raises(TypeError, what=f"Var({data!r})"):
            student.run(make_variable, data)
