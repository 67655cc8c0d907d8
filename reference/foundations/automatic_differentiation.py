# %% [markdown]
# # Automatic differentiation
#
# "How is the gradient of the model with respect to its parameters obtained in practice?" The usual short answer is
# "the chain rule, expanded recursively". That leaves out why it is affordable: reverse mode walks the computation
# backwards *once*, keeps what the forward pass computed, and adds up the gradient of every value that was used more
# than once. For a number as result, the whole gradient costs a small multiple of the forward pass, however many
# parameters there are. Here you build this engine for single numbers; everything you know from `loss.backward()`
# (accumulating gradients, `zero_grad`, activations that fill the memory) will then have a reason you can point at.
#
# ## Your task (45 minutes)
#
# Write the class `Var`: a number that remembers how it was computed.
#
# | | |
# |---|---|
# | `Var(data)` | a new variable; `data` is an int or a float |
# | `x.data`, `x.grad` | its value, and its gradient: 0 at first. Plain numbers, int or float |
# | `x + y`, `x - y`, `x * y`, `x / y` | with a `Var` on either side or on both: `2 - x` and `2 / x` work like `x - 2` |
# | `-x`, `x ** p` | the exponent `p` is an int or a float |
# | `x.exp()`, `x.log()`, `x.tanh()`, `x.relu()` | natural logarithm; relu is max(x, 0) |
# | `x.backward(seed=1.0)` | adds `seed` · (derivative of x by v) to `v.grad`, for every `Var` v below x |
# | `x.zero_grad()` | sets `grad` to 0 for x and for every `Var` below x |
#
# *Below x* are all variables that x was computed from, at any distance.
#
# - **New values.** Each operation returns a new `Var` and leaves its operands as they are. `sum` of a list of `Var`
#   works too (it starts with `0 + first`).
# - **Everything in between counts.** `backward` fills the `grad` of the leaves, of all intermediate results and of `x`
#   itself (which gets `seed`). A `Var` that is not below x keeps what it has.
# - **Gradients add up**: over all uses of a value, and over repeated calls of `backward`, from the same result or from
#   others, until `zero_grad()`. Two calls in a row give exactly twice the gradient of one.
# - **One sweep.** 10 000 operations in a row work without raising Python's recursion limit, in `backward` and in
#   `zero_grad`. The number of multiplications grows with the number of operations, not with the number of paths
#   between a leaf and the result, so a chain of 60 values, each used twice by the next, takes no time at all.
# - **Corners.** The derivative of relu at 0 is 0. `x ** 0` is 1 with derivative 0, at x = 0 too. `tanh` works for every
#   finite float: at ±1000 it is ±1 with derivative 0.
# - **Errors** come from the operation itself, not later from `backward`:
#   - `TypeError`: `Var("3")`, `Var(None)`, any other operand or exponent that is no number (such as `x + "3"` or
#     `x * None`), and a `Var` as exponent, whatever the base (`x ** y`, `2 ** x`).
#   - `ValueError`: the logarithm of a number ≤ 0; a negative base with an exponent that is not whole; 0 to a power
#     between 0 and 1, since the slope there is infinite.
#   - `ZeroDivisionError`: division by 0, and 0 to a negative power.
#   - `OverflowError`: `exp` or `**` with a value beyond the largest float, as in Python's `math.exp(1000)`.
# - **Not asked:** comparisons, booleans, NaN and infinity, or what happens if `data` is changed between an operation
#   and `backward`.
# - **Forbidden:** torch, TensorFlow, Keras and NumPy. The module `math` is all you need.
#
# ## A worked example
#
# `p = Var(2)`, `q = Var(5)`, then `u = p * q`, `v = u - p`, `out = u * v`, and `out.backward()`:
#
# | | data | used by | grad |
# |---|---|---|---|
# | `out` | 80 | | 1 |
# | `v` | 8 | `out` | 1 · 10 = 10 |
# | `u` | 10 | `out` and `v` | 1 · 8 + 10 · 1 = 18 |
# | `p` | 2 | `u` and `v` | 18 · 5 + 10 · (−1) = 80 |
# | `q` | 5 | `u` | 18 · 2 = 36 |
#
# By hand: out = p²q² − p²q, so the derivatives are 2pq² − 2pq = 80 and 2p²q − p² = 36. The order matters: had `u`
# passed its gradient on before `v` had added its part, `q` would have received 8 · 2 = 16.
#
# ## What it is not
#
# It is not symbolic differentiation: no formula is ever written out, so shared parts are not copied. It is not a finite
# difference either: there is no step size, and the result is exact up to rounding. The price is memory: every
# intermediate result stays alive until the backward sweep. Checkpointing (Chen et al., 2016) drops some of them and
# computes them a second time.

# %%
from __future__ import annotations

import math

# %% [markdown]
# ## Your class
#
# The methods with names are there already. The operators are missing: add them to the class, with any helpers and
# attributes you like.


# %% tags=["solution"]
class Var:
    """A number that remembers how it was computed (reverse mode: Griewank and Walther, 2008; Baydin et al., 2018).

    Attributes:
        data: the value, a number.
        grad: sum of all gradients since the last `zero_grad`, a number; 0 at first.

    Supports `+ - * /` with numbers and `Var` on either side, `-x`, and `x ** p` with a number p.

    Raises:
        TypeError: an operand is no number and no `Var`, or an exponent is no number.
        ValueError: a negative base with an exponent that is not whole, or 0 to a power between 0 and 1.
        ZeroDivisionError: division by 0, or 0 to a negative power.
        OverflowError: a power is too large for a float.
    """

    def __init__(self, data: float) -> None:
        """A leaf: a variable that was not computed from others. Raises TypeError unless data is an int or a float."""
        ### BEGIN SOLUTION
        if not isinstance(data, int | float):
            raise TypeError(f"a Var holds a number, not {data!r}")
        self.data = float(data)
        self.grad = 0.0
        self._operands: tuple[tuple[Var, float], ...] = ()  # (operand, derivative of this node by the operand)

    @staticmethod
    def _of(value: Var | float) -> Var:
        """A Var as it is; a number as a new leaf."""
        return value if isinstance(value, Var) else Var(value)

    @staticmethod
    def _result(data: float, *operands: tuple[Var, float]) -> Var:
        """The node of an operation, which remembers its operands and the derivative by each of them."""
        node = Var(data)
        node._operands = operands
        return node

    def __add__(self, other: Var | float) -> Var:
        other = self._of(other)
        return self._result(self.data + other.data, (self, 1.0), (other, 1.0))

    def __mul__(self, other: Var | float) -> Var:
        other = self._of(other)
        return self._result(self.data * other.data, (self, other.data), (other, self.data))

    def __sub__(self, other: Var | float) -> Var:
        other = self._of(other)
        return self._result(self.data - other.data, (self, 1.0), (other, -1.0))

    def __truediv__(self, other: Var | float) -> Var:
        other = self._of(other)
        value = self.data / other.data
        # quotient rule: d(a / b) / da = 1 / b, and d(a / b) / db = -a / b^2
        return self._result(value, (self, 1 / other.data), (other, -value / other.data))

    def __pow__(self, exponent: float) -> Var:
        if not isinstance(exponent, int | float):
            raise TypeError("the exponent must be a number")
        if self.data < 0 and not float(exponent).is_integer():
            raise ValueError(f"{self.data} to the power {exponent} is not a real number")
        if self.data == 0 and 0 < exponent < 1:
            raise ValueError(f"0 to the power {exponent} has an infinite slope")
        # power rule: d(x^p) / dx = p x^(p-1); x^0 is flat everywhere, although 0^(-1) does not exist
        slope = 0.0 if exponent == 0 else exponent * self.data ** (exponent - 1)
        return self._result(self.data**exponent, (self, slope))

    def __neg__(self) -> Var:
        return self * -1

    def __radd__(self, number: float) -> Var:  # number + self
        return self + number

    def __rmul__(self, number: float) -> Var:  # number * self
        return self * number

    def __rsub__(self, number: float) -> Var:  # number - self
        return self._of(number) - self

    def __rtruediv__(self, number: float) -> Var:  # number / self
        return self._of(number) / self

    def _order(self) -> list[Var]:
        """This node and all it was computed from, every node before its operands (depth-first search on a stack)."""
        finished: list[Var] = []
        seen: set[Var] = set()
        stack = [(self, False)]  # (node, have all its operands been finished?)
        while stack:
            node, ready = stack.pop()
            if ready:
                finished.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((operand, False) for operand, _ in node._operands)
        return finished[::-1]
        ### END SOLUTION

    def exp(self) -> Var:
        """e to the power of this variable. Raises OverflowError if that is too large for a float."""
        ### BEGIN SOLUTION
        value = math.exp(self.data)
        return self._result(value, (self, value))  # the exponential is its own derivative
        ### END SOLUTION

    def log(self) -> Var:
        """Natural logarithm. Raises ValueError for a value of 0 or less."""
        ### BEGIN SOLUTION
        return self._result(math.log(self.data), (self, 1 / self.data))  # math.log raises the ValueError
        ### END SOLUTION

    def tanh(self) -> Var:
        """Hyperbolic tangent, for every finite value."""
        ### BEGIN SOLUTION
        value = math.tanh(self.data)
        return self._result(value, (self, 1 - value * value))  # derivative: 1 - tanh(x)^2
        ### END SOLUTION

    def relu(self) -> Var:
        """max(x, 0); the derivative at 0 is 0 (a subgradient, chosen by convention)."""
        ### BEGIN SOLUTION
        return self._result(max(self.data, 0.0), (self, 1.0 if self.data > 0 else 0.0))
        ### END SOLUTION

    def backward(self, seed: float = 1.0) -> None:
        """Add seed times the derivative of this variable by v to v.grad, for every Var v it was computed from.

        The variable itself gets `seed`. One sweep, no recursion.
        """
        ### BEGIN SOLUTION
        order = self._order()
        gradient = dict.fromkeys(order, 0.0)  # of this sweep alone: `grad` also holds what earlier sweeps left
        gradient[self] = seed
        for node in order:
            # all nodes that use this one came before it, so its gradient is complete
            node.grad += gradient[node]
            for operand, derivative in node._operands:
                # chain rule: gradient of the result times derivative of the result by the operand, summed over uses
                gradient[operand] += gradient[node] * derivative
        ### END SOLUTION

    def zero_grad(self) -> None:
        """Set grad to 0 for this variable and for every Var it was computed from. No recursion."""
        ### BEGIN SOLUTION
        for node in self._order():
            node.grad = 0.0
        ### END SOLUTION


# %% [markdown]
# ## Try it

# %% tags=["visible-checks", "active-ipynb"]
# x, y = Var(3.0), Var(-2.0)
# a = x * y
# b = a + x
# out = b / y  # = x + x / y
# assert (a.data, b.data, out.data) == (-6, -3, 1.5)
#
# out.backward()
# assert math.isclose(x.grad, 0.5) and math.isclose(y.grad, -0.75)
# assert math.isclose(a.grad, -0.5) and math.isclose(b.grad, -0.5) and out.grad == 1
#
# out.backward()  # a second sweep adds the same again
# assert math.isclose(x.grad, 1.0) and math.isclose(y.grad, -1.5) and math.isclose(a.grad, -1.0)
#
# out.zero_grad()
# assert [node.grad for node in (x, y, a, b, out)] == [0, 0, 0, 0, 0]
#
# difference = 2 - x
# difference.backward()
# assert difference.data == -1 and math.isclose(x.grad, -1.0)

# %% [markdown]
# The next cell trains a small classifier with your class: the two weights and the bias of a logistic regression of
# text and image scores. Compare the gradient that your sweep finds with a central difference, and watch the loss.

# %% tags=["active-ipynb"]
# pairs = [(1.2, 0.3, 1), (0.4, 1.1, 1), (-0.7, 0.2, 0), (-0.2, -1.3, 0), (0.9, -1.0, 1), (-1.1, 0.8, 0)]
#
#
# def risk(text_weight, image_weight, bias):
#     losses = []
#     for text, image, label in pairs:
#         score = text_weight * text + image_weight * image + bias
#         losses.append(((-score if label else score).exp() + 1).log())  # log(1 + e^-score), or log(1 + e^score)
#     return sum(losses) / len(pairs)
#
#
# weights = [Var(0.1), Var(-0.2), Var(0.05)]
# for step in range(5):
#     loss = risk(*weights)
#     loss.zero_grad()
#     loss.backward()
#     low, high = (risk(Var(weights[0].data + shift), *weights[1:]).data for shift in (-1e-5, 1e-5))
#     difference = (high - low) / 2e-5
#     print(f"loss {loss.data:.4f}   gradient {weights[0].grad:.8f}   central difference {difference:.8f}")
#     for weight in weights:
#         weight.data -= 0.5 * weight.grad

# %% [markdown]
# ## Hints
#
# <details><summary>Hint 1: a question</summary>
#
# Suppose you know how much the result changes with `u`, and `u` was computed as `p * q`. Which numbers do you need to
# say how much the result changes with `p`? And what if `p` was used in a second place as well?
# </details>
#
# <details><summary>Hint 2: the concept</summary>
#
# The operations form a graph without cycles. A node may pass its gradient on only when it is complete, that is, when
# every node that uses it has passed its own part on before. An order of the nodes with this property is called a
# topological order, and walking it from the result to the leaves visits every node once.
# </details>
#
# <details><summary>Hint 3: the structure in words</summary>
#
# Each operation makes a new `Var` that stores its operands together with the derivative by each of them, a number that
# is known at that moment. Lay out the graph with a stack of your own, on which a node is put twice: once to visit its
# operands, once to note it down after them. Reverse the notes. Then walk through them with a table of gradients that
# belongs to this sweep alone, and add to each `grad` what the table says.
# </details>
#
# <details><summary>Hint 4: one line of code</summary>
#
# For the reflected operators, the number comes first: `def __rsub__(self, number): return Var(number) - self`.
# </details>
#
# ## References
#
# - A. Griewank and A. Walther (2008). Evaluating Derivatives: Principles and Techniques of Algorithmic Differentiation.
# - A. G. Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind (2018). Automatic Differentiation in Machine
#   Learning: a Survey.
# - T. Chen, B. Xu, C. Zhang and C. Guestrin (2016). Training Deep Nets with Sublinear Memory Cost.
