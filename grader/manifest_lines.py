"""Where things stand in the text of a TOML file: `tomllib` reads values, and forgets their lines."""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Mapping

Place = tuple[str | int, ...]  # where a value is in the parsed file: ("exercises", 2, "kind")

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' + r"'''.*?'''|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|#[^\n]*|[\[\]{}]", re.DOTALL
)
_HEADER = re.compile(r"\s*\[(\[?)([^\[\]]+)\]")
_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")


def syntax_error_line(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line that a syntax error is about: the one it names, else the last."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else text.rstrip("\n").count("\n") + 1


class Lines:
    """Line numbers of the tables and keys of a valid TOML text."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._starts: dict[Place, int] = {}
        self._statements = _statement_lines(text)
        sizes: dict[Place, int] = {}
        table: Place = ()
        for number in self._statements:
            line = self._lines[number - 1]
            if header := _HEADER.match(line):
                table = ()
                *parents, last = _key_parts(header[2])
                for part in parents:
                    table = _latest((*table, part), sizes)
                table = (*table, last)
                if header[1]:
                    sizes[table] = sizes.get(table, 0) + 1
                table = _latest(table, sizes)
                self._starts.setdefault(table, number)
            elif key := _KEY.match(line):
                place = table
                for part in _key_parts(key[1]):
                    place = (*place, part)
                    self._starts.setdefault(place, number)

    def line(self, place: Place, value: str = "") -> int:
        """Line of a place, or of the nearest known one around it; with `value`, the line of that string in it."""
        while place and place not in self._starts:
            place = place[:-1]
        start = self._starts.get(place, 1)
        following = bisect.bisect_right(self._statements, start)
        end = self._statements[following] if following < len(self._statements) else len(self._lines) + 1
        quoted = (f'"{value}"', f"'{value}'")
        for number in range(start, end if value else start):
            if any(text in self._lines[number - 1] for text in quoted):
                return number
        return start


def _latest(place: Place, sizes: Mapping[Place, int]) -> Place:
    """A place, with the index of the last element where it is an array of tables."""
    return (*place, sizes[place] - 1) if place in sizes else place


def _key_parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_NAME, dotted)]


def _statement_lines(text: str) -> list[int]:
    """Numbers of the lines that are not the continuation of an array or a string begun on an earlier line."""
    breaks = [match.start() for match in re.finditer("\n", text)]
    continued: set[int] = set()
    depth = opened = 0
    for token in _TOKEN.finditer(text):
        begin, end = token.span()
        if token[0] in "[{":
            opened = opened if depth else begin
            depth += 1
            continue
        if token[0] in "]}":
            depth -= 1
            begin = opened
        if not depth:
            first, last = (bisect.bisect_left(breaks, position) + 1 for position in (begin, end - 1))
            continued.update(range(first + 1, last + 1))
    return [number for number in range(1, len(breaks) + 2) if number not in continued]
