"""What a checks file contains, read without importing it: names, titles, points, in file order."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from grader.notebooks.parsing import parse


class ChecksIndexError(ValueError):
    """A checks file is missing, does not parse, or has a test that breaks the rules; the message says where."""


@dataclass(frozen=True)
class IndexedCheck:
    """One check as its file declares it. `title` is the first line of the docstring, which students see."""

    name: str
    title: str
    points: float
    visible: bool
    catches: tuple[str, ...]
    line: int


def read_checks_index(path: Path) -> tuple[IndexedCheck, ...]:
    """The checks of a file, in file order.

    Raises ChecksIndexError with file and line when the file is missing or does not parse, or when a test has no
    points, no docstring, a name used twice, or a decorator whose arguments are not written out.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChecksIndexError(f"{path}: cannot be read: {error}") from error
    try:
        tree = parse(source, str(path))
    except SyntaxError as error:
        raise ChecksIndexError(f"{path}:{error.lineno}: does not parse: {error.msg}") from error
    checks = tuple(_indexed(path, node) for node in tree.body if _is_test(node))
    if not checks:
        raise ChecksIndexError(f"{path}:1: holds no check: write at least one function named test_…")
    seen: set[str] = set()
    for check in checks:
        if check.name in seen:
            raise ChecksIndexError(f"{path}:{check.line}: a second test named {check.name}; it would hide the first")
        seen.add(check.name)
    return checks


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")


def _indexed(path: Path, node: ast.stmt) -> IndexedCheck:
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    where = f"{path}:{node.lineno}"
    docstring = ast.get_docstring(node)
    if not docstring or not docstring.strip():
        raise ChecksIndexError(f"{where}: {node.name} has no docstring; its first line is the title students see")
    points: float | None = None
    visible = False
    catches: tuple[str, ...] = ()
    for decorator in node.decorator_list:
        name = _decorator_name(decorator)
        if name == "points":
            points = _points(where, node.name, decorator)
        elif name == "visible":
            visible = True
        elif name == "catches":
            catches += _catches(where, node.name, decorator)
    if points is None:
        raise ChecksIndexError(f"{where}: {node.name} has no points; write @points(1) above it")
    return IndexedCheck(node.name, docstring.strip().splitlines()[0].strip(), points, visible, catches, node.lineno)


def _decorator_name(decorator: ast.expr) -> str:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else ""


def _literals(decorator: ast.expr) -> list[object] | None:
    """The values of the decorator's positional arguments, or None when one is not a constant."""
    if not isinstance(decorator, ast.Call) or decorator.keywords:
        return None
    values: list[object] = []
    for argument in decorator.args:
        if not isinstance(argument, ast.Constant):
            return None
        values.append(argument.value)
    return values


def _points(where: str, test: str, decorator: ast.expr) -> float:
    values = _literals(decorator)
    if values is None or len(values) != 1:
        raise ChecksIndexError(f"{where}: {test}: write @points(2), with the number written out")
    value = values[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1000:
        raise ChecksIndexError(f"{where}: {test}: @points({value!r}) is not a positive number below 1000")
    return value


def _catches(where: str, test: str, decorator: ast.expr) -> tuple[str, ...]:
    values = _literals(decorator)
    if not values or not all(isinstance(value, str) for value in values):
        raise ChecksIndexError(f'{where}: {test}: write @catches("id", …), with the ids written out')
    return tuple(str(value) for value in values)
