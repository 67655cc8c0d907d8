"""Automatic mutants of a reference: one small change each, inside what the student has to write."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from grader.notebooks.parsing import parse

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


@dataclass(frozen=True)
class Mutant:
    """A changed reference. `description` names line and change: "line 58: `/` -> `*` in `scores / width`"."""

    description: str
    source: str


_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def solution_lines(source: str) -> set[int]:
    """Numbers of the lines between the solution marks; those of a claims cell are left out."""
    inside, claims, lines = False, False, set()
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith("# %%"):
            claims = '"claims"' in line
        if line.strip().startswith(BEGIN):
            inside = True
        elif line.strip().startswith(END):
            inside = False
        elif inside and not claims:
            lines.add(number)
    return lines


def _edits(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST]]]:
    """Changes of one node: what changes, and a function that makes the change on a copy of the node."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        other = _ARITHMETIC[type(node.op)]
        yield f"{type(node.op).__name__} -> {other.__name__}", lambda copied: _with(copied, "op", other())
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISON:
        swapped = _COMPARISON[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {swapped.__name__}", lambda copied: _with(copied, "ops", [swapped()])
    if isinstance(node, ast.BoolOp):
        joined = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{type(node.op).__name__} -> {joined.__name__}", lambda copied: _with(copied, "op", joined())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "`not` dropped", lambda copied: copied.operand  # type: ignore[attr-defined]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "minus dropped", lambda copied: copied.operand  # type: ignore[attr-defined]
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield f"{value} -> {not value}", lambda copied: _with(copied, "value", not value)
        elif isinstance(value, int):
            yield f"{value} -> {value + 1}", lambda copied: _with(copied, "value", value + 1)
        elif isinstance(value, float):
            changed = value * 1.5 if value else 0.5
            yield f"{value} -> {changed}", lambda copied: _with(copied, "value", changed)
    if isinstance(node, ast.Raise | ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield f"dropped `{ast.unparse(node)[:60]}`", lambda _: ast.Pass()


def _with(node: ast.AST, attribute: str, value: object) -> ast.AST:
    setattr(node, attribute, value)
    return node


class _Replace(ast.NodeTransformer):
    """Replaces the node found at one position of a walk."""

    def __init__(self, target: int, edit: Callable[[ast.AST], ast.AST]) -> None:
        self.target, self.edit, self.position = target, edit, -1

    def visit(self, node: ast.AST) -> ast.AST:
        self.position += 1
        if self.position == self.target:
            return ast.copy_location(self.edit(node), node)
        return self.generic_visit(node)


def _preorder(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _preorder(child)


def mutants(source: str) -> list[Mutant]:
    """All mutants of a reference, in the order of its text.

    Text constants, annotations' insides and error messages stay as they are: changing them changes no behaviour that a
    check may look at.
    """
    tree = parse(source)
    lines = solution_lines(source)
    text = source.splitlines()
    quiet: set[int] = set()
    for node in ast.walk(tree):
        silent = [node.exc] if isinstance(node, ast.Raise) and node.exc else []
        if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: for lengths that are equal anyway
            silent.append(node.value)
        silent += [
            part for part in (getattr(node, "annotation", None), getattr(node, "returns", None)) if part is not None
        ]
        for part in silent:
            quiet.update(id(inner) for inner in ast.walk(part))
    found = []
    for position, node in enumerate(_preorder(tree)):
        number = getattr(node, "lineno", 0)
        if number not in lines or id(node) in quiet:
            continue
        for change, edit in _edits(node):
            mutated = ast.fix_missing_locations(_Replace(position, edit).visit(copy.deepcopy(tree)))
            found.append(Mutant(f"line {number}: {change} in `{text[number - 1].strip()}`", ast.unparse(mutated)))
    return found
