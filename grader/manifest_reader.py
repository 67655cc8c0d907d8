"""Typed reading of the tables of a manifest: every value is checked, every problem is kept with its line and remedy."""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from grader.manifest_lines import Lines, Place

_E = TypeVar("_E", bound=Enum)


@dataclass(frozen=True)
class Problem:
    """One mistake in the manifest: where it is, what is wrong, and how to mend it."""

    file: Path
    line: int
    key: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{_shown(self.file)}:{self.line}: {self.key}: {self.message}; {self.fix}"


class Report:
    """Collects the problems of one manifest; lines are looked up only when there is one."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._text = text
        self._lines: Lines | None = None

    def add(self, place: Place, key: str, message: str, fix: str, value: str = "") -> None:
        """Note a problem; `value` is the text to look for when the place spans several lines."""
        self._lines = self._lines or Lines(self._text)
        self.problems.append(Problem(self.path, self._lines.line(place, value), key, message, fix))


@dataclass(frozen=True)
class Shape:
    """What a text must look like, in words and as a test; `choices` are offered for a misspelt one."""

    words: str
    fits: Callable[[str], bool]
    choices: tuple[str, ...] = ()


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", text) is not None and not keyword.iskeyword(text)


TITLE = Shape("one line of text", lambda text: bool(text.strip()) and text.isprintable())
NAME_ID = Shape("a lower-case Python name such as `early_stopping`", _is_name)
EXERCISE_ID = Shape(
    "`topic/exercise`, both lower-case Python names",
    lambda text: text.count("/") == 1 and all(_is_name(part) for part in text.split("/")),
)
COURSE_NAME = Shape(
    "lower-case words joined by hyphens", lambda text: re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text) is not None
)
VERSION = Shape(
    "a version such as `1.2.0`", lambda text: re.fullmatch(r"[0-9]+(\.[0-9A-Za-z]+)*", text, re.ASCII) is not None
)
SYLLABUS_ID = Shape(
    "a syllabus id such as `B-Q5a`", lambda text: re.fullmatch(r"[A-Z]-[A-Z][0-9]+(\.[0-9]+)?[a-z]*", text) is not None
)
DOTTED_NAME = Shape(
    "a dotted Python name such as `torch.nn.MultiheadAttention`",
    lambda text: all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split(".")),
)


class Table:
    """Takes the values of one table, typed; what is wrong goes to the report, and a harmless value is returned.

    `close` must come last: it reports the keys that nobody asked for, and the required ones that are missing.
    """

    def __init__(self, report: Report, place: Place, data: Any, name: str) -> None:
        self._report = report
        self._place = place
        self._name = name
        self._asked: dict[str, str] = {}  # key -> what it must be
        self._missing: list[str] = []
        self._is_table = isinstance(data, dict)
        self._data: dict[str, Any] = data if self._is_table else {}
        if not self._is_table:
            self.problem("", f"is {_described(data)}, not a table", "write it as a table")

    def problem(self, key: str, message: str, fix: str, value: str = "") -> None:
        """Report a problem of one key (or, for no key, of the table)."""
        place = (*self._place, key) if key else self._place
        self._report.add(place, ".".join(filter(None, (self._name, key))), message, fix, value)

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def _take(self, key: str, what: str, required: bool) -> Any:
        self._asked[key] = what
        if key not in self._data and required:
            self._missing.append(key)
        return self._data.get(key)

    def raw(self, key: str, what: str) -> Any:
        """A value as it is, for the caller to check; None when it is missing."""
        return self._take(key, what, required=False)

    def text(self, key: str, shape: Shape) -> str:
        """A required string of a shape; "" when it is missing or wrong."""
        value = self._take(key, shape.words, required=True)
        return value if value is not None and self._check_text(key, value, shape) else ""

    def texts(self, key: str, shape: Shape) -> tuple[str, ...]:
        """An optional list of strings of a shape, without repetition; what is wrong is left out."""
        value = self._take(key, f"a list, each element {shape.words}", required=False)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problem(key, f"is {_described(value)}, not a list", f'write it as a list, {key} = ["…"]')
            return ()
        good = [element for element in value if self._check_text(key, element, shape, "holds")]
        for element in dict.fromkeys(good):
            if good.count(element) > 1:
                self.problem(key, f"lists {element!r} {good.count(element)} times", "keep one", element)
        return tuple(dict.fromkeys(good))

    def _check_text(self, key: str, value: Any, shape: Shape, verb: str = "is") -> bool:
        if not isinstance(value, str):
            self.problem(key, f"{verb} {_described(value)}, not a string", f"it must be {shape.words}, in quotes")
        elif not shape.fits(value):
            hint = did_you_mean(value, shape.choices)
            self.problem(key, f"{value!r} is not allowed{hint}", f"it must be {shape.words}", value)
        else:
            return True
        return False

    def choice(self, key: str, choices: type[_E]) -> _E:
        """A required member of an enumeration, by its value."""
        known = [member.value for member in choices]
        value = self._take(key, f"one of {', '.join(known)}", required=True)
        if isinstance(value, str) and value in known:
            return choices(value)
        if value is not None:
            hint = did_you_mean(value, known) if isinstance(value, str) else ""
            self.problem(key, f"{value!r} is not known{hint}", f"use one of {', '.join(known)}")
        return next(iter(choices))

    def number(
        self, key: str, low: float, high: float, *, default: float | None = None, whole: bool = True, open: bool = False
    ) -> float:
        """A number from `low` (not included when `open`) to `high`; required when there is no default."""
        bounds = f"more than {low:.9g} and at most {high:.9g}" if open else f"from {low:.9g} to {high:.9g}"
        what = f"a {'whole ' if whole else ''}number {bounds}"
        value = self._take(key, what, required=default is None)
        if value is None:
            return low if default is None else default
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            quotes = ", without quotes" if isinstance(value, str) else ""
            self.problem(key, f"is {_described(value)}", f"it must be {what}{quotes}")
        elif not math.isfinite(value) or not low <= value <= high or (open and value == low):
            self.problem(key, f"{value} is out of range", f"it must be {what}")
        else:
            number: float = value
            return number
        return low if default is None else default

    def table(self, key: str) -> Table:
        """An optional table inside this one."""
        value = self._take(key, "a table", required=False)
        name = ".".join(filter(None, (self._name, key)))
        return Table(self._report, (*self._place, key), {} if value is None else value, name)

    def tables(self, key: str, title: Callable[[dict[str, Any]], str]) -> list[Table]:
        """A required array of tables; `title` names one of them for messages."""
        value = self._take(key, f"tables, [[{key}]]", required=True)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem(key, f"is {_described(value)}, not a list of tables", f"head each of them with [[{key}]]")
            return []
        return [
            Table(self._report, (key, index), element, f"{key}[{title(element) or index + 1}]")
            for index, element in enumerate(value)
        ]

    def close(self) -> None:
        """Report unknown and missing keys; a missing key that was only misspelt is reported once."""
        misspelt: set[str] = set()
        for key in self._data.keys() - self._asked.keys():
            close = [name for name in _suggestions(key, self._asked) if name not in self._data]
            misspelt.update(close[:1])
            fix = f"did you mean {close[0]!r}?" if close else f"remove it; keys here: {', '.join(sorted(self._asked))}"
            self.problem(key, "is not a known key", fix)
        for key in self._missing:
            if self._is_table and key not in misspelt:
                self.problem(key, "is missing", f"add it: {self._asked[key]}")


def _described(value: Any) -> str:
    """The type of a TOML value, in words, and the value where it is short."""
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= 40 else "a string"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def _shown(path: Path) -> str:
    """A path as a person wants to read it: relative where it is below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _suggestions(word: str, known: Iterable[str]) -> list[str]:
    """Known names that resemble a word, best first; the part after a slash counts as a name too."""
    names: dict[str, str] = {}
    for name in known:
        names.setdefault(name, name)
        names.setdefault(name.rpartition("/")[2], name)
    close = difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.6)
    return list(dict.fromkeys(names[match] for match in close))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known names as a remark to append to a message; "" when none is near."""
    close = _suggestions(word, known)
    return f" (did you mean {' or '.join(repr(name) for name in close)}?)" if close else ""
