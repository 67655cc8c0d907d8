"""The reference of foundations/automatic_differentiation against torch's autograd and closed forms."""

import math
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch

from reference.foundations import automatic_differentiation as lesson
from reference.foundations.automatic_differentiation import Var


def random_expression(rng, leaves, steps):
    """A recipe of operations on a growing list of values; it works for Var and for tensors."""
    binary = ["+", "-", "*", "/"]
    unary = ["exp", "log", "tanh", "relu", "square", "root", "reflected"]
    recipe, size = [], leaves
    for _ in range(steps):
        name = str(rng.choice(binary + unary))
        recipe.append((name, int(rng.integers(size)), int(rng.integers(size))))
        size += 1
    return recipe


def follow(recipe, values):
    values = list(values)
    for name, first, second in recipe:
        a, b = values[first], values[second]
        values.append(
            {
                "+": lambda a, b: a + b,
                "-": lambda a, b: a - b,
                "*": lambda a, b: a * b.tanh(),
                "/": lambda a, b: a / (b * b + 0.7),
                "exp": lambda a, b: a.tanh().exp(),
                "log": lambda a, b: (a * a + 0.3).log(),
                "tanh": lambda a, b: a.tanh(),
                "relu": lambda a, b: a.relu(),
                "square": lambda a, b: a.tanh() ** 2,
                "root": lambda a, b: (a * a + 1) ** -0.5,
                "reflected": lambda a, b: 2 / (3 - a.tanh()) - (1 + -b) * 0.5,
            }[name](a, b)
        )
    return values


@pytest.mark.parametrize("seed", range(25))
def test_random_expressions_agree_with_torch(seed):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=3)
    recipe = random_expression(rng, 3, 14)
    ours = follow(recipe, [Var(float(number)) for number in numbers])
    theirs = follow(recipe, [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in numbers])
    for node in theirs[3:]:
        if node.requires_grad:
            node.retain_grad()
    for factor in (1.0, -0.3):
        ours[-1].backward(factor)
        theirs[-1].backward(torch.tensor(factor, dtype=torch.float64), retain_graph=True)
    np.testing.assert_allclose([v.data for v in ours], [t.item() for t in theirs], rtol=1e-12, atol=1e-14)
    expected = [0.0 if t.grad is None else t.grad.item() for t in theirs]
    np.testing.assert_allclose([v.grad for v in ours], expected, rtol=1e-10, atol=1e-12)


def test_worked_example_of_the_lesson():
    p, q = Var(2), Var(5)
    u = p * q
    v = u - p
    out = u * v
    out.backward()
    assert (out.data, v.data, u.data) == (80, 8, 10)
    assert (out.grad, v.grad, u.grad, p.grad, q.grad) == (1, 10, 18, 80, 36)


def test_second_sweep_does_not_use_the_gradients_of_the_first():
    x = Var(3.0)
    y = (x * x) * 2
    y.backward()
    y.backward()
    assert x.grad == 24


def test_long_chain_and_many_paths():
    x = Var(1.0)
    y = x
    for _ in range(10_000):
        y = y * 1.0001
    y.backward()
    assert x.grad == pytest.approx(1.0001**10_000)
    y.zero_grad()
    assert x.grad == 0
    for _ in range(60):
        x = x + x
    x.backward()
    assert x.data == 2.0**60


def test_corners_and_errors():
    for value, exponent, slope in ((0.0, 0, 0.0), (0.0, 1, 1.0), (0.0, 1.5, 0.0), (-2.0, 3.0, 12.0)):
        x = Var(value)
        (x**exponent).backward()
        assert x.grad == slope
    x = Var(0.0)
    x.relu().backward()
    assert x.grad == 0
    for error, operation in (
        (TypeError, lambda: Var("3")),
        (TypeError, lambda: Var(1.0) ** Var(2.0)),
        (TypeError, lambda: 2 ** Var(2.0)),
        (ValueError, lambda: Var(0.0) ** 0.5),
        (ValueError, lambda: Var(-1.0) ** 0.5),
        (ValueError, lambda: Var(0.0).log()),
        (ZeroDivisionError, lambda: 1 / Var(0.0)),
        (ZeroDivisionError, lambda: Var(0.0) ** -1),
        (OverflowError, lambda: Var(1000.0).exp()),
    ):
        with pytest.raises(error):
            operation()


@pytest.mark.parametrize("tag", ["visible-checks"])
def test_cells_of_the_notebook_run(tag):
    notebook = jupytext.read(Path(lesson.__file__))
    cells = [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    assert len(cells) == 1 and "assert" in cells[0]
    exec(compile(cells[0], tag, "exec"), {**vars(lesson), "math": math})
