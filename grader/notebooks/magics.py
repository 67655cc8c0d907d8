"""Turn what only IPython understands (magics, shell lines, help) into comments, keeping every line's number."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from grader.notebooks.parsing import parse

_BODY_IS_PYTHON = frozenset({"time", "capture", "prun"})  # cell magics that run their body in the notebook's namespace
MAX_LINE = 20_000
_LINE_MAGIC = re.compile(r"\s*(?:%{1,2}[A-Za-z_?]|!|\?)")
_MAGIC_VALUE = re.compile(r"\s*[\w.,\[\]'\" ()*]+?=\s*(?:%[A-Za-z_]|!)")  # files = !ls, spent = %timeit -o f()
_HELP = re.compile(r"\s*%{0,2}[A-Za-z_*][\w*]*(?:\.[\w*]+|\[\d+\])*\?{1,2}\s*;?\s*")
_TIMED_STATEMENT = re.compile(r"(\s*)%time\s+(?=[^\s])(.*)")


class UnparsableError(ValueError):
    """Code that does not parse: the line (from 1, or 0 when unknown), Python's message, and the text of that line."""

    def __init__(self, line: int, message: str, text: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message
        self.text = text


def parse_cell(source: str) -> tuple[str, ast.Module]:
    """The cell as plain Python, and its syntax tree; code that is plain Python already is left as it is.

    Raises UnparsableError when it is not Python even without what is IPython's, or too deep for Python's parser.
    """
    try:
        return source, _parse(source)
    except UnparsableError:
        plain = without_magics(source)
        if plain == source:
            raise
        return plain, _parse(plain)


def without_magics(source: str) -> str:
    """The cell with every magic, shell line and request for help as a comment, on the line where it was."""
    lines = source.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    cell_magic = re.match(r"%%\s*([A-Za-z_]\w*)", lines[first])
    if cell_magic and cell_magic[1] not in _BODY_IS_PYTHON:
        return "\n".join(f"# {line}" if line else line for line in lines)
    if cell_magic:
        lines[first] = f"# {lines[first]}"
    for number in _statement_starts(lines):
        line = lines[number]
        if timed := _TIMED_STATEMENT.fullmatch(line):
            lines[number] = timed[1] + timed[2]
        elif _LINE_MAGIC.match(line) or _MAGIC_VALUE.match(line) or _HELP.fullmatch(line):
            lines[number] = _as_comment(line)
            while line.endswith("\\") and number + 1 < len(lines):  # a magic goes on after a backslash
                number += 1
                line = lines[number]
                lines[number] = f"# {line}"
    return "\n".join(lines)


def _as_comment(line: str) -> str:
    """A comment in the place of a line; an indented one may be the only statement of its block, so it stays one."""
    code = line.lstrip()
    indent = line[: len(line) - len(code)]
    return f"{indent}pass  # {code}" if indent else f"# {code}"


def _parse(source: str) -> ast.Module:
    longest = max(map(len, source.splitlines()), default=0)
    if longest > MAX_LINE:  # Python's parser takes time that grows with the square of some lines' length
        raise UnparsableError(0, f"a line of {longest:,} characters; at most {MAX_LINE:,} are read", "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape sequence: the student's own affair
            return parse(source)
    except SyntaxError as error:
        line = error.lineno or 0
        raise UnparsableError(line, error.msg or "invalid syntax", _line(source, line)) from None
    except (RecursionError, MemoryError):
        raise UnparsableError(0, "the code is nested too deeply", "") from None
    except (ValueError, OverflowError) as error:
        raise UnparsableError(0, str(error), "") from None


def _line(source: str, number: int) -> str:
    lines = source.split("\n")
    return lines[number - 1].strip()[:120] if 0 < number <= len(lines) else ""


def _statement_starts(lines: list[str]) -> Iterator[int]:
    """Indices of the lines that begin a statement: not inside a string or brackets, and not a continuation.

    The lines may be changed while this runs; a line that was turned into a comment is then seen as one.
    """
    quotes = ""  # the triple quotes of an open string
    depth = 0
    continued = False
    for number in range(len(lines)):
        if not quotes and depth <= 0 and not continued:
            yield number
        quotes, depth, continued = _scan(lines[number], quotes, depth)


# Every alternative begins with another character, so that no text takes more than linear time.
_REST_OF_STRING = {quotes: re.compile(rf"(?:\\.|(?!{quotes})[^\\])*?{quotes}", re.DOTALL) for quotes in ("'''", '"""')}
_TOKEN = re.compile(r"""\\.|'''|\"\"\"|#.*|[\[({]|[\])}]|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)


def _scan(line: str, quotes: str, depth: int) -> tuple[str, int, bool]:
    """The state after a line: open triple quotes, depth of brackets, and whether a backslash continues the line."""
    position = 0
    while position < len(line):
        if quotes:
            position = _end_of_string(line, position, quotes)
            if position < 0:
                return quotes, depth, False
            quotes = ""
            continue
        token = _TOKEN.search(line, position)
        if token is None:
            break
        position = token.end()
        if token[0] in ("'''", '"""'):
            quotes = token[0]
        elif token[0] in "[({":
            depth += 1
        elif token[0] in "])}":
            depth -= 1
        elif token[0].startswith("#"):
            return "", max(depth, 0), False
    return quotes, max(depth, 0), not quotes and line.endswith("\\")


def _end_of_string(line: str, position: int, quotes: str) -> int:
    """Where a triple-quoted string ends that is open at a position; -1 when it goes on."""
    found = _REST_OF_STRING[quotes].match(line, position)
    return found.end() if found else -1
