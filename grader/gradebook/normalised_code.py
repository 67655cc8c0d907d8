"""Python code reduced to its shape: what is left when names, values, comments and layout are taken away."""

from __future__ import annotations

import ast
from enum import Enum
from functools import cache
from typing import NamedTuple

MAX_TOKENS = 20_000  # of one program; more is no exercise, and comparing it would keep everybody waiting

_LEFT_OUT = frozenset({ast.Import, ast.ImportFrom, ast.Pass})
_MAYBE_SILENT = frozenset({ast.Expr, ast.AnnAssign})
_LEAVES = frozenset({ast.Constant, ast.JoinedStr})
_ANY_NAME = ast.Name("", ast.Load())
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Fields that say nothing about what the code does; `kind` marks u"…".
_SILENT_FIELDS = frozenset({"annotation", "returns", "type_comment", "type_params", "kind", "ctx"})


class Sign(Enum):
    """What takes the place of something that can be changed without changing what the code does."""

    NAME = "name"
    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"


class CodeToken(NamedTuple):
    """One piece of a program's shape, and the line where it stands, from 1."""

    text: str
    line: int


def normalised_segments(tree: ast.Module) -> tuple[tuple[CodeToken, ...], ...]:
    """The program's shape in segments: one for each function or class at the top, one for everything else there.

    Left out are comments, docstrings, layout, imports, annotations, `pass` and printing. Names that the program itself
    gives, numbers, texts, True and False become signs; names of builtins, of what libraries offer, and of keyword
    arguments stay. Keyword arguments are put in the order of their names; segments let functions change places.
    """
    placed = [(statement, _placed_nodes(statement)) for statement in tree.body]
    own = frozenset(name for _, nodes in placed for node, _ in nodes if (name := _bound_name(node)))
    room = MAX_TOKENS
    segments: list[tuple[CodeToken, ...]] = []
    rest: list[CodeToken] = []
    for statement, nodes in placed:
        tokens = [CodeToken(_text(node, own), line) for node, line in nodes[:room]]
        room -= len(tokens)
        if isinstance(statement, _DEFINITIONS):
            segments.append(tuple(tokens))
        else:
            rest += tokens
    return (*segments, tuple(rest)) if rest else tuple(segments)


def _bound_name(node: ast.AST) -> str | None:
    """A name that the program binds here, and so could have called anything."""
    if isinstance(node, ast.Name):
        return node.id if type(node.ctx) is not ast.Load else None
    if isinstance(node, ast.Attribute):
        return node.attr if type(node.ctx) is not ast.Load else None
    if isinstance(node, ast.arg):
        return node.arg
    return node.name if isinstance(node, _DEFINITIONS) else None


def _placed_nodes(statement: ast.stmt) -> list[tuple[ast.AST, int]]:
    """The nodes that count, from the top, first to last, with their lines.

    The stack is our own, since a chain of sums may be deeper than Python's.
    """
    found: list[tuple[ast.AST, int]] = []
    stack: list[tuple[ast.AST, int]] = [(statement, 1)]
    while stack:
        node, line = stack.pop()
        kind = type(node)
        if kind in _LEFT_OUT or (kind in _MAYBE_SILENT and _is_silent(node)):
            continue
        line = getattr(node, "lineno", line)
        found.append((node, line))
        if kind not in _LEAVES:
            stack.extend((child, line) for child in reversed(_children(node)))
    return found


def _is_silent(node: ast.AST) -> bool:
    """Whether a statement changes nothing: a docstring, another value on its own, a declaration, printing."""
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    value = node.value if isinstance(node, ast.Expr) else None
    printing = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print"
    return printing or isinstance(value, (ast.Constant, ast.JoinedStr))


@cache
def _telling_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    return tuple(name for name in kind._fields if name not in _SILENT_FIELDS)


def _children(node: ast.AST) -> list[ast.AST]:
    found: list[ast.AST] = []
    for name in _telling_fields(type(node)):  # type: ignore[arg-type]  # mypy thinks that classes have no hash
        value = getattr(node, name, None)
        if isinstance(value, list):
            if name == "keywords":
                value = sorted(value, key=lambda keyword: keyword.arg or "")
            found += [child for child in value if isinstance(child, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return [_ANY_NAME]  # `np.exp` and `numpy.exp` are the same: how the library was imported does not matter
    return found


def _text(node: ast.AST, own: frozenset[str]) -> str:
    kind = type(node)
    if kind is ast.Name:
        name = node.id  # type: ignore[attr-defined]
        return Sign.NAME.value if name in own or node is _ANY_NAME else name
    if kind is ast.Attribute:
        name = node.attr  # type: ignore[attr-defined]
        return f".{Sign.NAME.value if name in own else name}"
    if kind is ast.Constant:
        value = node.value  # type: ignore[attr-defined]
        if isinstance(value, (str, bytes)):
            return Sign.TEXT.value
        if isinstance(value, bool):
            return Sign.FLAG.value
        return Sign.NUMBER.value if type(value) in (int, float, complex) else str(value)
    if kind is ast.JoinedStr:
        return Sign.TEXT.value
    if kind is ast.keyword:
        name = node.arg  # type: ignore[attr-defined]
        return f"{Sign.NAME.value if name is None or name in own else name}="
    return "Assign" if kind is ast.AnnAssign else kind.__name__
