"""Catalogue of foundations/automatic_differentiation."""

from grader.catalogue import Alternative, WrongAnswer

SIDES = "test_numbers_may_stand_on_either_side"
DERIVATIVES = "test_each_operation_has_its_own_derivative"
SHARED = "test_a_value_used_twice_collects_both_parts"
RANDOM = "test_random_expressions_agree_with_forward_mode"
SUMS = "test_gradients_add_up_until_they_are_cleared"
SWEEP = "test_one_sweep_is_enough_for_long_and_shared_graphs"
CORNERS = "test_kinks_zeros_and_large_values"
REFUSED = "test_impossible_operations_are_refused"

PART = "                gradient[operand] += gradient[node] * derivative\n"
SWEEP_LINES = (
    "        for node in order:\n"
    "            # all nodes that use this one came before it, so its gradient is complete\n"
    "            node.grad += gradient[node]\n"
)
QUOTIENT = "return self._result(value, (self, 1 / other.data), (other, -value / other.data))"
POWER = "slope = 0.0 if exponent == 0 else exponent * self.data ** (exponent - 1)"
INFINITE = (
    "        if self.data == 0 and 0 < exponent < 1:\n"
    '            raise ValueError(f"0 to the power {exponent} has an infinite slope")\n'
)
EXPONENT = (
    '        if not isinstance(exponent, int | float):\n            raise TypeError("the exponent must be a number")\n'
)
COMPLEX = (
    "        if self.data < 0 and not float(exponent).is_integer():\n"
    '            raise ValueError(f"{self.data} to the power {exponent} is not a real number")\n'
)
DATA = (
    "        if not isinstance(data, int | float):\n"
    '            raise TypeError(f"a Var holds a number, not {data!r}")\n'
)

wrong_answers = [
    WrongAnswer(
        id="overwrites",  # the published answer: recursive expansion, without accumulation at shared values
        title="a value used twice keeps the gradient of one use only",
        explanation=(
            "The part that one use contributes replaces the part of another. Ask how much `x + x` changes with x, and "
            "which of the two uses your gradient remembers."
        ),
        caught_by=SHARED,
        swap=((PART, PART.replace("+=", "=")),),
    ),
    WrongAnswer(
        id="depth-first-double-counting",
        title="a value passes its whole gradient on again each time it is reached",
        explanation=(
            "A value that is reached along two roads passes on what it has so far, and then passes the first part on "
            "once more. Let it wait until all who use it have contributed, and pass its gradient on once."
        ),
        caught_by=SHARED,
        code="""
def backward(self, seed=1.0):
    gradient = dict.fromkeys(self._order(), 0.0)
    gradient[self] = seed
    stack = [self]
    while stack:
        node = stack.pop()
        for operand, derivative in node._operands:
            gradient[operand] += gradient[node] * derivative
            stack.append(operand)
    for node, value in gradient.items():
        node.grad += value


Var.backward = backward
""",
    ),
    WrongAnswer(
        id="breadth-first",
        title="values are visited by their distance from the result",
        explanation=(
            "A value may be one step from the result and three steps from it as well. Visited after the shorter road, "
            "it passes on a gradient that is not complete yet. Distance is not the order you need."
        ),
        caught_by=SHARED,
        code="""
from collections import deque


def _order(self):
    order, seen, queue = [], {self}, deque([self])
    while queue:
        node = queue.popleft()
        order.append(node)
        for operand, _ in node._operands:
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)
    return order


Var._order = _order
""",
    ),
    WrongAnswer(
        id="leaves-first",
        title="the sweep starts at the leaves",
        explanation=(
            "The values are visited in the order in which they were computed, so each passes its gradient on before it "
            "has received any. In which direction does a backward sweep walk?"
        ),
        caught_by=SHARED,
        swap=(("        return finished[::-1]\n", "        return finished\n"),),
    ),
    WrongAnswer(
        id="equal-values-merged",
        title="values are told apart by their number",
        explanation=(
            "Two variables that happen to hold the same number are treated as one when the graph is laid out. What "
            "makes a variable itself is not its value. (A dataclass or an `__eq__` compares by value, too.)"
        ),
        caught_by=SHARED,
        swap=(
            ("            elif node not in seen:\n", "            elif (node.data, node._operands) not in seen:\n"),
            ("                seen.add(node)\n", "                seen.add((node.data, node._operands))\n"),
            (
                "gradient = dict.fromkeys(order, 0.0)  #",
                "from collections import defaultdict\n        gradient = defaultdict(float)  #",
            ),
        ),
    ),
    WrongAnswer(
        id="leaves-only",
        title="intermediate results get no gradient",
        explanation=(
            "Only variables that you made yourself keep a gradient. The task asks for the gradients of everything in "
            "between, too: they are known during the sweep anyway."
        ),
        caught_by=SHARED,
        swap=(("node.grad += gradient[node]\n", "node.grad += 0.0 if node._operands else gradient[node]\n"),),
    ),
    WrongAnswer(
        id="recursive-search",
        title="the graph is searched by a function that calls itself",
        explanation=(
            "Each operation on the way takes one level of recursion, and Python allows about 1000. Keep a stack of "
            "your own, on which you note where you still have to go."
        ),
        caught_by=SWEEP,
        code="""
def _order(self):
    finished, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for operand, _ in node._operands:
                visit(operand)
            finished.append(node)

    visit(self)
    return finished[::-1]


Var._order = _order
""",
    ),
    WrongAnswer(
        id="recursive-clearing",
        title="zero_grad calls itself for each operand",
        explanation=(
            "The gradients are found without recursion, but cleared with it, so a long chain cannot be cleared. The "
            "list of variables that the sweep walks through serves here as well."
        ),
        caught_by=SWEEP,
        code="""
def zero_grad(self, seen=None):
    seen = set() if seen is None else seen
    if self not in seen:
        seen.add(self)
        self.grad = 0.0
        for operand, _ in self._operands:
            operand.zero_grad(seen)


Var.zero_grad = zero_grad
""",
    ),
    WrongAnswer(
        id="recursion-limit-raised",
        title="Python's recursion limit is raised",
        explanation=(
            "Raising the limit moves the problem to the next longer chain, and changes a setting of the whole program. "
            "The task asks for a search that needs no recursion."
        ),
        caught_by=SWEEP,
        code="""
import sys


def _order(self):
    sys.setrecursionlimit(50_000)
    finished, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for operand, _ in node._operands:
                visit(operand)
            finished.append(node)

    visit(self)
    return finished[::-1]


Var._order = _order
""",
    ),
    WrongAnswer(
        id="every-path-walked",
        title="every path from the result to a leaf is walked",
        explanation=(
            "The sum over all paths is right, but their number doubles with each value that is used twice, so the work "
            "explodes. Add up what arrives at a value first, and then pass the sum on once."
        ),
        caught_by=SWEEP,
        code="""
def backward(self, seed=1.0):
    stack = [(self, seed)]
    while stack:
        node, part = stack.pop()
        node.grad += part
        stack.extend((operand, part * derivative) for operand, derivative in node._operands)


Var.backward = backward
""",
    ),
    WrongAnswer(
        id="quotient-not-squared",
        title="the derivative of a / b by b lacks one division by b",
        explanation=(
            "The numerator gets its gradient, the denominator a wrong one. Write a / b as a times a power of b, and "
            "take the derivative of that power."
        ),
        caught_by=DERIVATIVES,
        swap=((QUOTIENT, QUOTIENT.replace("-value / other.data)", "-value)")),),
    ),
    WrongAnswer(
        id="quotient-sign",
        title="the derivative of a / b by b has the wrong sign",
        explanation="With a positive numerator, does a quotient rise or fall when its positive denominator grows?",
        caught_by=DERIVATIVES,
        swap=((QUOTIENT, QUOTIENT.replace("-value", "value")),),
    ),
    WrongAnswer(
        id="difference-sign",
        title="both operands of a difference get the same gradient",
        explanation="Increase the number that is subtracted a little: in which direction does the difference move?",
        caught_by=DERIVATIVES,
        swap=(("(other, -1.0)", "(other, 1.0)"),),
    ),
    WrongAnswer(
        id="product-own-factor",
        title="each factor of a product gets itself as derivative",
        explanation="If x rises by 1, how much does x · y rise: by x or by the other factor?",
        caught_by=DERIVATIVES,
        swap=(("(self, other.data), (other, self.data))", "(self, self.data), (other, other.data))"),),
    ),
    WrongAnswer(
        id="power-without-exponent",
        title="the exponent is missing as a factor in the derivative of a power",
        explanation="The derivative has the right degree but the wrong size. What is the slope of the square of x at 1?",
        caught_by=DERIVATIVES,
        swap=((POWER, POWER.replace("else exponent * ", "else ")),),
    ),
    WrongAnswer(
        id="power-of-same-degree",
        title="the derivative of a power keeps the exponent",
        explanation="The derivative of a power is one degree lower. Compare the slope of the square of x at 1 and 2.",
        caught_by=DERIVATIVES,
        swap=((POWER, POWER.replace(" ** (exponent - 1)", " ** exponent")),),
    ),
    WrongAnswer(
        id="tanh-of-input",
        title="the derivative of tanh is taken from the input instead of the output",
        explanation=(
            "The well-known short formula for the slope of tanh is written in terms of its *value*. With the input in "
            "its place the slope becomes negative for large numbers, although tanh rises everywhere."
        ),
        caught_by=DERIVATIVES,
        swap=(("(self, 1 - value * value)", "(self, 1 - self.data * self.data)"),),
    ),
    WrongAnswer(
        id="exp-of-input",
        title="the derivative of exp is its input",
        explanation="What is the one function that is its own derivative, and which of its two numbers is passed on?",
        caught_by=DERIVATIVES,
        swap=(("return self._result(value, (self, value))", "return self._result(value, (self, self.data))"),),
    ),
    WrongAnswer(
        id="log-without-slope",
        title="the logarithm passes the gradient on unchanged",
        explanation="The logarithm is steep for small numbers and flat for large ones; yours has the slope 1 everywhere.",
        caught_by=DERIVATIVES,
        swap=(("(self, 1 / self.data))  # math.log", "(self, 1.0))  # math.log"),),
    ),
    WrongAnswer(
        id="logarithm-to-base-ten",
        title="another logarithm than the natural one",
        explanation="The value is that of the logarithm to base 10. The task asks for the natural logarithm.",
        caught_by=DERIVATIVES,
        swap=(("math.log(self.data), (self", "math.log10(self.data), (self"),),
    ),
    WrongAnswer(
        id="second-operand-forgotten",
        title="the second operand of a product gets no gradient",
        explanation="A product of two variables depends on both, and each of them has a gradient.",
        caught_by=DERIVATIVES,
        swap=(("(self, other.data), (other, self.data))", "(self, other.data))"),),
    ),
    WrongAnswer(
        id="relu-passes-everything",
        title="relu lets the gradient through for negative numbers too",
        explanation="Where relu is flat, the result does not change with its input. What should its gradient be there?",
        caught_by=DERIVATIVES,
        swap=(("(self, 1.0 if self.data > 0 else 0.0)", "(self, 1.0)"),),
    ),
    WrongAnswer(
        id="first-operand-twice",
        title="with two variables in a sum, one of them gets both gradients",
        explanation="A sum of two variables passes its gradient to each of them once; look at which names you stored.",
        caught_by=RANDOM,
        swap=(("(self, 1.0), (other, 1.0))", "(self, 1.0), (self, 1.0))"),),
    ),
    WrongAnswer(
        id="no-reflected-operators",
        title="a number on the left of an operator is not possible",
        explanation=(
            "Python asks the number first, which knows nothing of your class, and then your class for the method of "
            "the reflected operator. Look these methods up in Python's data model."
        ),
        caught_by=SIDES,
        code="\ndel Var.__radd__, Var.__rmul__, Var.__rsub__, Var.__rtruediv__\n",
    ),
    WrongAnswer(
        id="no-reflected-difference",
        title="a number minus a variable, or divided by one, is not possible",
        explanation=(
            "Sums and products work with a number on the left, differences and quotients do not: each of the four "
            "operators has a reflected method of its own."
        ),
        caught_by=SIDES,
        code="\ndel Var.__rsub__, Var.__rtruediv__\n",
    ),
    WrongAnswer(
        id="reflected-difference-swapped",
        title="`2 - x` is computed as `x - 2`",
        explanation="The reflected method is called on the *right* operand, and a difference depends on the order.",
        caught_by=SIDES,
        code="\nVar.__rsub__ = Var.__sub__\n",
    ),
    WrongAnswer(
        id="reflected-quotient-swapped",
        title="`2 / x` is computed as `x / 2`",
        explanation="The reflected method is called on the *right* operand, and a quotient depends on the order.",
        caught_by=SIDES,
        code="\nVar.__rtruediv__ = Var.__truediv__\n",
    ),
    WrongAnswer(
        id="no-minus-sign",
        title="`-x` is not possible",
        explanation="The minus sign in front of a variable is an operator with a method of its own.",
        caught_by=SIDES,
        code="\ndel Var.__neg__\n",
    ),
    WrongAnswer(
        id="sum-in-place",
        title="an addition changes its left operand",
        explanation=(
            "After `y = x + 2` the variable x has another value. An operation makes a new variable; its operands may "
            "be needed elsewhere with the values they had."
        ),
        caught_by=SIDES,
        swap=(
            (
                "        return self._result(self.data + other.data, (self, 1.0), (other, 1.0))\n",
                "        result = self._result(self.data + other.data, (self, 1.0), (other, 1.0))\n"
                "        self.data = result.data\n"
                "        return result\n",
            ),
        ),
    ),
    WrongAnswer(
        id="inner-gradients-reused",
        title="a second sweep passes on what the first one left",
        explanation=(
            "The gradients of intermediate results still hold the first sweep when the second one starts, so parts of "
            "it are passed on twice. What a sweep passes on must be its own."
        ),
        caught_by=SUMS,
        code="""
def backward(self, seed=1.0):
    order = self._order()
    self.grad = seed
    for node in order:
        for operand, derivative in node._operands:
            operand.grad += node.grad * derivative


Var.backward = backward
""",
    ),
    WrongAnswer(
        id="starts-from-zero",
        title="each call of backward forgets the gradients before it",
        explanation=(
            "The sweep clears the gradients before it starts, so those of another result, or of an earlier call, are "
            "lost. Clearing is the work of zero_grad."
        ),
        caught_by=SUMS,
        swap=((SWEEP_LINES, SWEEP_LINES.replace("node.grad +=", "node.grad =")),),
    ),
    WrongAnswer(
        id="visited-for-ever",
        title="a variable that was visited once is never visited again",
        explanation=(
            "The mark that says 'visited' stays on the variable after the sweep, so a second sweep passes it by. Marks "
            "belong to one sweep."
        ),
        caught_by=SUMS,
        swap=(
            ("            elif node not in seen:\n", '            elif not hasattr(node, "_visited"):\n'),
            ("                seen.add(node)\n", "                node._visited = True\n"),
            ("gradient = dict.fromkeys(order, 0.0)  #", "gradient = dict.fromkeys([self, *order], 0.0)  #"),
            (
                "                gradient[operand] +=",
                "                gradient[operand] = gradient.get(operand, 0.0)\n                gradient[operand] +=",
            ),
        ),
    ),
    WrongAnswer(
        id="seed-ignored",
        title="the seed is ignored",
        explanation="Every sweep starts with 1, whatever seed it was given.",
        caught_by=SUMS,
        swap=(("        gradient[self] = seed\n", "        gradient[self] = 1.0\n"),),
    ),
    WrongAnswer(
        id="seed-for-the-result-only",
        title="the seed reaches the result, but not what lies below it",
        explanation=(
            "The result itself gets the seed, all others the gradient for a seed of 1. The seed is where the chain of "
            "products starts, so everything scales with it."
        ),
        caught_by=SUMS,
        swap=(("        gradient[self] = seed\n", "        gradient[self] = 1.0\n        self.grad += seed - 1.0\n"),),
    ),
    WrongAnswer(
        id="clears-itself-only",
        title="zero_grad clears one variable only",
        explanation="The task asks to clear the variable and everything it was computed from.",
        caught_by=SUMS,
        swap=(
            (
                "        for node in self._order():\n            node.grad = 0.0\n",
                "        self.grad = 0.0\n",
            ),
        ),
    ),
    WrongAnswer(
        id="clears-leaves-only",
        title="zero_grad leaves the gradients of intermediate results",
        explanation="The task asks to clear the variable and everything it was computed from, not the leaves alone.",
        caught_by=SUMS,
        swap=(("            node.grad = 0.0\n", "            node.grad = node.grad if node._operands else 0.0\n"),),
    ),
    WrongAnswer(
        id="relu-slope-one",
        title="relu has the slope 1 at 0",
        explanation="At its kink relu has no derivative, and the agreement is 0. Which comparison decides at 0?",
        caught_by=CORNERS,
        swap=(("if self.data > 0 else", "if self.data >= 0 else"),),
    ),
    WrongAnswer(
        id="zero-to-the-zero",
        title="`x ** 0` cannot be differentiated at 0",
        explanation=(
            "The value is 1, but the rule for its slope divides by zero on the way. A constant function is flat "
            "everywhere, at 0 too."
        ),
        caught_by=CORNERS,
        swap=((POWER, POWER.replace("0.0 if exponent == 0 else ", "")),),
    ),
    WrongAnswer(
        id="tanh-by-exponentials",
        title="tanh of a large number overflows",
        explanation=(
            "Built from exponentials, tanh leaves the range of floats although its own value stays between -1 and 1. "
            "The module `math` has functions that know how to avoid that."
        ),
        caught_by=CORNERS,
        swap=(
            (
                "value = math.tanh(self.data)",
                "value = (math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)",
            ),
        ),
    ),
    WrongAnswer(
        id="product-by-division",
        title="the derivative of a product is found by dividing it by a factor",
        explanation="Dividing the product by one factor gives the other one, except where the factor is zero.",
        caught_by=CORNERS,
        swap=(
            (
                "return self._result(self.data * other.data, (self, other.data), (other, self.data))",
                "value = self.data * other.data\n"
                "        return self._result(value, *((node, value / node.data if node.data else 0.0)\n"
                "                                     for node in (self, other)))",
            ),
        ),
    ),
    WrongAnswer(
        id="power-by-logarithm",
        title="the slope of a power is found by dividing the power by its base",
        explanation=(
            "The exponent times the power divided by the base is the right slope, except at 0, where a linear function "
            "has a slope as well."
        ),
        caught_by=CORNERS,
        swap=(
            (POWER, "slope = exponent * self.data**exponent / self.data if self.data else 0.0 * self.data**exponent"),
        ),
    ),
    WrongAnswer(
        id="variable-as-exponent",
        title="a variable as exponent is taken for a number",
        explanation=(
            "The exponent's value is used and its gradient is lost without a word. A wrong gradient is worse than an "
            "error; the task asks for a TypeError."
        ),
        caught_by=REFUSED,
        swap=(
            (
                EXPONENT,
                "        if isinstance(exponent, Var):\n            exponent = exponent.data\n" + EXPONENT,
            ),
        ),
    ),
    WrongAnswer(
        id="number-to-a-variable",
        title="a number to the power of a variable is possible",
        explanation="The task asks for a TypeError where the exponent is a variable, whatever the base.",
        caught_by=REFUSED,
        code="""
def __rpow__(self, base):
    value = base**self.data
    return self._result(value, (self, value * math.log(base)))


Var.__rpow__ = __rpow__
""",
    ),
    WrongAnswer(
        id="logarithm-clipped",
        title="the logarithm of zero or less is clipped",
        explanation=(
            "A tiny number stands in for 0 and for negative numbers, so a mistake before it goes unnoticed. The task "
            "asks for a ValueError."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "math.log(self.data), (self, 1 / self.data)",
                "math.log(max(self.data, 1e-300)), (self, 1 / (self.data or 1e-300))",
            ),
        ),
    ),
    WrongAnswer(
        id="quotient-guarded",
        title="division by zero gives a large number",
        explanation=(
            "A small number takes the place of a denominator that is 0, so the result is huge instead of undefined. "
            "The task asks for Python's ZeroDivisionError."
        ),
        caught_by=REFUSED,
        swap=(
            (
                "        value = self.data / other.data\n",
                "        other = other if other.data else Var(1e-12)\n        value = self.data / other.data\n",
            ),
        ),
    ),
    WrongAnswer(
        id="complex-powers",
        title="a negative base with a broken exponent is not recognised",
        explanation=(
            "Python answers with a complex number, which your class was not made for. Look at the combination of base "
            "and exponent before computing, and raise a ValueError."
        ),
        caught_by=REFUSED,
        swap=(
            (COMPLEX, ""),
            (
                "return self._result(self.data**exponent, (self, slope))",
                "return self._result((self.data**exponent).real, (self, slope.real))",
            ),
        ),
    ),
    WrongAnswer(
        id="infinite-slope",
        title="0 to a power between 0 and 1 is not recognised",
        explanation=(
            "The value is 0, but the slope is infinite there, and what comes instead is not the ValueError that the "
            "task asks for."
        ),
        caught_by=REFUSED,
        swap=((INFINITE, ""),),
    ),
    WrongAnswer(
        id="infinite-slope-later",
        title="an infinite slope is let through",
        explanation=(
            "0 to a power between 0 and 1 gets a value, and the trouble starts in the backward sweep, far from its "
            "cause. The task asks for a ValueError from the operation."
        ),
        caught_by=REFUSED,
        swap=(
            (
                INFINITE,
                "        if self.data == 0 and 0 < exponent < 1:\n            return self._result(0.0, (self, math.inf))\n",
            ),
        ),
    ),
    WrongAnswer(
        id="overflow-to-infinity",
        title="exp of a large number is infinite",
        explanation="Infinity turns into NaN further on; the task asks for Python's OverflowError.",
        caught_by=REFUSED,
        swap=(
            (
                "        value = math.exp(self.data)\n",
                "        value = math.exp(self.data) if self.data < 709 else math.inf\n",
            ),
        ),
    ),
    WrongAnswer(
        id="texts-converted",
        title="a text is taken for a number",
        explanation="`float` reads a text such as '3' as a number. The task asks for a TypeError.",
        caught_by=REFUSED,
        swap=((DATA, ""),),
    ),
]

alternatives = [
    Alternative(
        id="closures",
        title="each operation stores a function that passes the gradient on; the nodes are ordered by counting uses",
        code='''
class Var:
    def __init__(self, data, parents=()):
        if not isinstance(data, (int, float)):
            raise TypeError("a number, please")
        self.data, self.grad, self.parents = data, 0, parents
        self.part = 0
        self.pass_on = lambda: None

    def coerce(self, other):
        return other if isinstance(other, Var) else Var(other)

    def __add__(self, other):
        other = self.coerce(other)
        out = Var(self.data + other.data, (self, other))

        def pass_on():
            self.part += out.part
            other.part += out.part

        out.pass_on = pass_on
        return out

    def __mul__(self, other):
        other = self.coerce(other)
        out = Var(self.data * other.data, (self, other))

        def pass_on():
            self.part += out.part * other.data
            other.part += out.part * self.data

        out.pass_on = pass_on
        return out

    def unary(self, value, slope):
        out = Var(value, (self,))

        def pass_on():
            self.part += out.part * slope()

        out.pass_on = pass_on
        return out

    def __pow__(self, p):
        if isinstance(p, Var) or not isinstance(p, (int, float)):
            raise TypeError("exponents are numbers")
        if self.data == 0 and 0 < p < 1:
            raise ValueError("infinite slope")
        value = self.data**p
        if isinstance(value, complex):
            raise ValueError("complex")
        if abs(value) == math.inf:
            raise OverflowError("too large")
        return self.unary(float(value), lambda: p * self.data ** (p - 1) if p else 0)

    def __rpow__(self, base):
        raise TypeError("exponents are numbers")

    def __neg__(self):
        return self.unary(-self.data, lambda: -1)

    def __sub__(self, other):
        return self + -self.coerce(other)

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * self.coerce(other) ** -1

    def __rtruediv__(self, other):
        return self**-1 * other

    __radd__ = __add__
    __rmul__ = __mul__

    def exp(self):
        value = math.exp(self.data)
        return self.unary(value, lambda: value)

    def log(self):
        if self.data <= 0:
            raise ValueError("log of a number that is not positive")
        return self.unary(math.log(self.data), lambda: 1 / self.data)

    def tanh(self):
        return self.unary(math.tanh(self.data), lambda: 1 - math.tanh(self.data) ** 2)

    def relu(self):
        return self.unary(self.data if self.data > 0 else 0, lambda: int(self.data > 0))

    def uses(self):
        """How often each node below is used; keys are the nodes."""
        counts, todo = {self: 0}, [self]
        while todo:
            for parent in todo.pop().parents:
                if parent not in counts:
                    counts[parent] = 0
                    todo.append(parent)
                counts[parent] += 1
        return counts

    def backward(self, seed=1.0):
        counts = self.uses()
        for node in counts:
            node.part = 0
        self.part = seed
        ready = [self]
        while ready:
            node = ready.pop()
            node.grad += node.part
            node.pass_on()
            for parent in node.parents:
                counts[parent] -= 1
                if counts[parent] == 0:
                    ready.append(parent)

    def zero_grad(self):
        for node in self.uses():
            node.grad = 0
''',
    ),
    Alternative(
        id="numbered",
        title="nodes are numbered when they are made, and the sweep takes the youngest first",
        code="""
import heapq
import itertools
import operator

_numbers = itertools.count()


class Var:
    __slots__ = ("data", "grad", "number", "inputs")

    def __init__(self, data):
        self.data = data + 0.0 if type(data) in (int, float, bool) else operator.add(float.__add__(0.0, data), 0.0)
        self.grad = 0.0
        self.number = next(_numbers)
        self.inputs = []

    def below(self):
        heap, known = [(-self.number, self)], {self.number}
        while heap:
            node = heapq.heappop(heap)[1]
            yield node
            for _, other in node.inputs:
                if other.number not in known:
                    known.add(other.number)
                    heapq.heappush(heap, (-other.number, other))

    def backward(self, seed=1.0):
        arrived = {self.number: seed}
        for node in self.below():
            amount = arrived.pop(node.number)
            node.grad = node.grad + amount
            for slope, other in node.inputs:
                arrived[other.number] = arrived.get(other.number, 0.0) + slope * amount

    def zero_grad(self):
        for node in self.below():
            node.grad = 0.0


def apply(value, *inputs):
    out = Var(value)
    out.inputs = [(slope, node) for slope, node in inputs if slope != 0 or True]
    return out


def binary(compute):
    def method(self, other):
        if not isinstance(other, (Var, int, float)):
            return NotImplemented
        return compute(self, other if isinstance(other, Var) else Var(other))

    def reflected(self, other):
        return compute(Var(other), self) if isinstance(other, (int, float)) else NotImplemented

    return method, reflected


def power(base, exponent):
    if not isinstance(exponent, (int, float)):
        return NotImplemented
    if base.data < 0 and exponent % 1:
        raise ValueError("no real power")
    value = math.pow(base.data, exponent) if base.data else 0.0**exponent
    if exponent in (0, 1):
        return apply(value, (float(exponent), base))
    if base.data == 0 and exponent < 1:
        raise ValueError("no slope")
    return apply(value, (exponent * math.pow(base.data, exponent - 1), base))


Var.__add__, Var.__radd__ = binary(lambda a, b: apply(a.data + b.data, (1.0, a), (1.0, b)))
Var.__sub__, Var.__rsub__ = binary(lambda a, b: apply(a.data - b.data, (1.0, a), (-1.0, b)))
Var.__mul__, Var.__rmul__ = binary(lambda a, b: apply(a.data * b.data, (b.data, a), (a.data, b)))
Var.__truediv__, Var.__rtruediv__ = binary(
    lambda a, b: apply(a.data / b.data, (1 / b.data, a), (-a.data / b.data / b.data, b)))
Var.__neg__ = lambda a: apply(-a.data, (-1.0, a))
Var.__pow__ = power
Var.exp = lambda a: apply(math.exp(a.data), (math.exp(a.data), a))
Var.log = lambda a: apply(math.log(a.data), (1 / a.data, a))
Var.tanh = lambda a: apply(math.tanh(a.data), ((1 - math.tanh(a.data)) * (1 + math.tanh(a.data)), a))
Var.relu = lambda a: apply((a.data + abs(a.data)) / 2, (float(a.data > 0), a))
""",
    ),
    Alternative(
        id="slopes-later",
        title="nodes store the name of their operation, and the slopes are worked out in the sweep",
        code="""
class Var:
    def __init__(self, data, operation=None, arguments=()):
        if isinstance(data, bool) or type(data) not in (int, float):
            raise TypeError(type(data).__name__)
        self.data, self.grad = data, 0.0
        self.operation, self.arguments = operation, arguments

    def _make(self, value, operation, *arguments):
        return Var(value, operation, arguments)

    def _var(self, value):
        if isinstance(value, Var):
            return value
        return Var(value)

    def __add__(self, o):
        o = self._var(o)
        return self._make(self.data + o.data, "add", self, o)

    def __radd__(self, o):
        return self._var(o) + self

    def __mul__(self, o):
        o = self._var(o)
        return self._make(self.data * o.data, "mul", self, o)

    def __rmul__(self, o):
        return self._var(o) * self

    def __neg__(self):
        return self * -1

    def __sub__(self, o):
        return self + (-self._var(o))

    def __rsub__(self, o):
        return self._var(o) - self

    def __truediv__(self, o):
        o = self._var(o)
        return self._make(self.data / o.data, "div", self, o)

    def __rtruediv__(self, o):
        return self._var(o) / self

    def __pow__(self, p):
        if type(p) not in (int, float):
            raise TypeError("exponent")
        base = float(self.data)
        if base < 0 and p != math.floor(p):
            raise ValueError("not real")
        if base == 0 and 0 < p < 1:
            raise ValueError("vertical")
        out = self._make(base**p, "pow", self)
        out.exponent = p
        return out

    def exp(self):
        return self._make(math.exp(self.data), "exp", self)

    def log(self):
        return self._make(math.log(self.data), "log", self)

    def tanh(self):
        return self._make(math.tanh(self.data), "tanh", self)

    def relu(self):
        return self._make(self.data if self.data > 0 else 0.0, "relu", self)

    def _slopes(self):
        a = self.arguments
        match self.operation:
            case "add":
                return 1.0, 1.0
            case "mul":
                return a[1].data, a[0].data
            case "div":
                return 1 / a[1].data, -a[0].data / a[1].data**2
            case "pow":
                p = self.exponent
                return (0.0 if p == 0 else p * float(a[0].data) ** (p - 1),)
            case "exp":
                return (self.data,)
            case "log":
                return (1 / a[0].data,)
            case "tanh":
                return (1 - self.data**2,)
            case "relu":
                return (1.0 if a[0].data > 0 else 0.0,)
        return ()

    def _postorder(self):
        done, result, path = {id(self)}, [], [(self, iter(self.arguments))]
        while path:
            node, rest = path[-1]
            for child in rest:
                if id(child) not in done:
                    done.add(id(child))
                    path.append((child, iter(child.arguments)))
                    break
            else:
                result.append(node)
                path.pop()
        return result

    def backward(self, seed=1.0):
        nodes = self._postorder()
        saved = [node.grad for node in nodes]
        for node in nodes:
            node.grad = 0.0
        self.grad = seed
        for node in reversed(nodes):
            for child, slope in zip(node.arguments, node._slopes()):
                child.grad = child.grad + node.grad * slope
        for node, before in zip(nodes, saved):
            node.grad = node.grad + before

    def zero_grad(self):
        for node in self._postorder():
            node.grad = 0.0
""",
    ),
]

equivalent_mutants = {
    "the exponent must be a number": (
        "Without the guard a Var, a text or None as exponent raises a TypeError in the arithmetic that follows; the "
        "guard makes the message clear."
    ),
    "Mult -> Div in `return self * -1`": "Division by -1 and multiplication by -1 are the same, derivative included.",
}
