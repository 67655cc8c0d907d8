"""The manifest `course.toml` as typed data: `load_course` reads it, checks all of it, and says what to mend where."""

from __future__ import annotations

import bisect
import difflib
import keyword
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

MANIFEST_NAME = "course.toml"
MANIFEST_SCHEMA = 1
DEGRADABLE = ("signal-scope", "abstract-socket-scope")  # the sandbox's protections that may be missing, by name

_E = TypeVar("_E", bound=Enum)
_Place = tuple[str | int, ...]  # where a value is in the parsed manifest: ("exercises", 2, "kind")


class Kind(Enum):
    """What an exercise asks for."""

    QUESTION = "question"  # an interview question: claims, code and a written answer
    CODING = "coding"
    MILESTONE = "milestone"  # one step of the capstone


class Framework(Enum):
    """The library a solution is written with; it decides what the student's process has loaded."""

    PYTHON = "python"
    NUMPY = "numpy"
    TORCH = "torch"
    TENSORFLOW = "tensorflow"
    TRANSFORMERS = "transformers"


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


class CourseError(ValueError):
    """The manifest is missing or wrong, or an exercise or topic is not in it.

    `problems` lists every mistake found in the manifest; it is empty for an error that is not about its text.
    """

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> CourseError:
        """The error that lists these problems, ordered by line."""
        ordered = sorted(problems, key=lambda problem: problem.line)
        count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
        return cls("\n".join([f"{MANIFEST_NAME} has {count}:", *(f"  {problem}" for problem in ordered)]), ordered)


@dataclass(frozen=True)
class Limits:
    """What one submission may use. `seconds` is for one call into it, `total_seconds` for all its checks."""

    seconds: float = 10
    total_seconds: float = 60
    memory_megabytes: int = 2048  # beyond the loaded libraries
    disk_megabytes: int = 64
    output_kilobytes: int = 64


@dataclass(frozen=True)
class Topic:
    """A group of exercises; nbgrader's assignment."""

    id: str
    title: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: one notebook, its reference, its checks and its catalogue of wrong answers.

    `points` are those of the checks; `written_points` are graded by hand and come on top. `forbidden` holds dotted
    names of functions, classes or modules that a solution may not use.
    """

    root: Path
    id: str
    title: str
    kind: Kind
    framework: Framework
    difficulty: int
    minutes: int
    points: float
    written_points: float = 0
    prerequisites: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def topic(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]

    @property
    def slug(self) -> str:
        """The part of the id after the slash."""
        return self.id.partition("/")[2]

    @property
    def max_points(self) -> float:
        """Points of the checks and of the written answer together."""
        return self.points + self.written_points

    @property
    def reference_path(self) -> Path:
        """The authored lesson."""
        return self.root / "reference" / self.topic / f"{self.slug}.py"

    @property
    def solution_path(self) -> Path:
        """The built notebook for instructors."""
        return self.root / "solutions" / self.topic / f"{self.slug}.ipynb"

    @property
    def stub_path(self) -> Path:
        """The built notebook for students."""
        return self.root / "exercises" / self.topic / f"{self.slug}.ipynb"

    @property
    def checks_path(self) -> Path:
        """The hidden checks."""
        return self.root / "tests" / "checks" / self.topic / f"test_{self.slug}.py"

    @property
    def catalogue_path(self) -> Path:
        """The wrong answers and the other correct ones."""
        return self.root / "tests" / "wrong_answers" / self.topic / f"{self.slug}.py"

    @property
    def oracle_path(self) -> Path:
        """The reference's own test, against an independent implementation."""
        return self.root / "tests" / "oracles" / self.topic / f"test_{self.slug}.py"


@dataclass(frozen=True)
class Course:
    """A whole course, as its manifest describes it. `root` is the folder of the manifest."""

    root: Path
    name: str
    title: str
    version: str
    limits: Limits
    allow_degraded: tuple[str, ...]
    topics: tuple[Topic, ...]
    exercises: tuple[Exercise, ...]

    def exercise(self, id: str) -> Exercise:
        """The exercise with this id.

        Raises CourseError, with the nearest ids, when there is none.
        """
        return self.select([id])[0]

    def select(self, ids: Sequence[str] = ()) -> tuple[Exercise, ...]:
        """The exercises with these ids, each once, in the order given; all of them, in the manifest's, for no ids.

        Raises CourseError, naming every unknown id and the ones nearest to it.
        """
        known = {exercise.id: exercise for exercise in self.exercises}
        unknown = [id for id in dict.fromkeys(ids) if id not in known]
        if unknown:
            lines = [f"no exercise {id!r}{_did_you_mean(id, known)}" for id in unknown]
            raise CourseError("\n".join([*lines, "`course list` shows all exercises"]))
        return tuple(known[id] for id in dict.fromkeys(ids)) or self.exercises

    def topic(self, id: str) -> Topic:
        """The topic with this id.

        Raises CourseError, with the nearest ids, when there is none.
        """
        known = {topic.id: topic for topic in self.topics}
        if id not in known:
            raise CourseError(f"no topic {id!r}{_did_you_mean(id, known)}; topics: {', '.join(known)}")
        return known[id]

    @property
    def by_topic(self) -> dict[str, tuple[Exercise, ...]]:
        """Exercises of every topic, by the topic's id, both in the manifest's order."""
        return {
            topic.id: tuple(exercise for exercise in self.exercises if exercise.topic == topic.id)
            for topic in self.topics
        }


def find_root() -> Path:
    """The folder of the course: COURSE_ROOT, else the nearest parent of the working directory, else of this package.

    Raises CourseError when none of them has a course.toml.
    """
    given = os.environ.get("COURSE_ROOT")
    if given:
        root = Path(given).expanduser().resolve()
        if (root / MANIFEST_NAME).is_file():
            return root
        raise CourseError(f"COURSE_ROOT is {given!r}, but there is no {root / MANIFEST_NAME}; correct it or unset it")
    here = Path.cwd()
    for start in (here, Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / MANIFEST_NAME).is_file():
                return folder
    raise CourseError(
        f"no {MANIFEST_NAME} in {here} or a folder above it; change into the course's folder, or set COURSE_ROOT to it"
    )


def load_course(root: Path | None = None) -> Course:
    """Read and check the manifest of the course in `root` (by default, see `find_root`).

    Raises CourseError listing every problem with its line, key and remedy.
    """
    folder = find_root() if root is None else Path(root).resolve()
    path = folder / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CourseError.of([Problem(path, line, "text", "is not UTF-8", "save the file as UTF-8")]) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = Problem(path, _syntax_error_line(error, text), "syntax", str(error), "correct that line")
        raise CourseError.of([problem]) from error
    return _read_course(folder, data, _Report(path, text))


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


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known names as a remark to append to a message; "" when none is near."""
    close = _suggestions(word, known)
    return f" (did you mean {' or '.join(repr(name) for name in close)}?)" if close else ""


# --- lines -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' + r"'''.*?'''|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|#[^\n]*|[\[\]{}]", re.DOTALL
)
_HEADER = re.compile(r"\s*\[(\[?)([^\[\]]+)\]")
_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")


def _syntax_error_line(error: tomllib.TOMLDecodeError, text: str) -> int:
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else text.rstrip("\n").count("\n") + 1


class _Lines:
    """Line numbers of the tables and keys of a valid TOML text."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._starts: dict[_Place, int] = {}
        self._statements = _statement_lines(text)
        sizes: dict[_Place, int] = {}
        table: _Place = ()
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

    def line(self, place: _Place, value: str = "") -> int:
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


def _latest(place: _Place, sizes: Mapping[_Place, int]) -> _Place:
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


# --- reading and checking --------------------------------------------------------------------------------------------


class _Report:
    """Collects the problems of one manifest; lines are looked up only when there is one."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._text = text
        self._lines: _Lines | None = None

    def add(self, place: _Place, key: str, message: str, fix: str, value: str = "") -> None:
        """Note a problem; `value` is the text to look for when the place spans several lines."""
        self._lines = self._lines or _Lines(self._text)
        self.problems.append(Problem(self.path, self._lines.line(place, value), key, message, fix))


@dataclass(frozen=True)
class _Shape:
    """What a text must look like, in words and as a test; `choices` are offered for a misspelt one."""

    words: str
    fits: Callable[[str], bool]
    choices: tuple[str, ...] = ()


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", text) is not None and not keyword.iskeyword(text)


_TITLE = _Shape("one line of text", lambda text: bool(text.strip()) and text.isprintable())
_NAME_ID = _Shape("a lower-case Python name such as `early_stopping`", _is_name)
_EXERCISE_ID = _Shape(
    "`topic/exercise`, both lower-case Python names",
    lambda text: text.count("/") == 1 and all(_is_name(part) for part in text.split("/")),
)
_COURSE_NAME = _Shape(
    "lower-case words joined by hyphens", lambda text: re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text) is not None
)
_PROTECTION = _Shape(f"one of {', '.join(DEGRADABLE)}", DEGRADABLE.__contains__, DEGRADABLE)
_VERSION = _Shape(
    "a version such as `1.2.0`", lambda text: re.fullmatch(r"[0-9]+(\.[0-9A-Za-z]+)*", text, re.ASCII) is not None
)
_SOURCE = _Shape(
    "a syllabus id such as `B-Q5a`", lambda text: re.fullmatch(r"[A-Z]-[A-Z][0-9]+[a-z]*", text) is not None
)
_DOTTED = _Shape(
    "a dotted Python name such as `torch.nn.MultiheadAttention`",
    lambda text: all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split(".")),
)


class _Table:
    """Takes the values of one table, typed; what is wrong goes to the report, and a harmless value is returned.

    `close` must come last: it reports the keys that nobody asked for, and the required ones that are missing.
    """

    def __init__(self, report: _Report, place: _Place, data: Any, name: str) -> None:
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

    def text(self, key: str, shape: _Shape) -> str:
        """A required string of a shape; "" when it is missing or wrong."""
        value = self._take(key, shape.words, required=True)
        return value if value is not None and self._check_text(key, value, shape) else ""

    def texts(self, key: str, shape: _Shape) -> tuple[str, ...]:
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

    def _check_text(self, key: str, value: Any, shape: _Shape, verb: str = "is") -> bool:
        if not isinstance(value, str):
            self.problem(key, f"{verb} {_described(value)}, not a string", f"it must be {shape.words}, in quotes")
        elif not shape.fits(value):
            hint = _did_you_mean(value, shape.choices)
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
            hint = _did_you_mean(value, known) if isinstance(value, str) else ""
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

    def table(self, key: str) -> _Table:
        """An optional table inside this one."""
        value = self._take(key, "a table", required=False)
        name = ".".join(filter(None, (self._name, key)))
        return _Table(self._report, (*self._place, key), {} if value is None else value, name)

    def tables(self, key: str, title: Callable[[dict[str, Any]], str]) -> list[_Table]:
        """A required array of tables; `title` names one of them for messages."""
        value = self._take(key, f"tables, [[{key}]]", required=True)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem(key, f"is {_described(value)}, not a list of tables", f"head each of them with [[{key}]]")
            return []
        return [
            _Table(self._report, (key, index), element, f"{key}[{title(element) or index + 1}]")
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


def _read_course(root: Path, data: dict[str, Any], report: _Report) -> Course:
    """Build the course from the parsed manifest.

    Raises CourseError when anything in it is wrong.
    """
    top = _Table(report, (), data, "")
    schema = top.raw("schema", f"{MANIFEST_SCHEMA}")
    if schema != MANIFEST_SCHEMA or isinstance(schema, bool):
        said = "is missing" if schema is None else f"{schema!r} is not a version that this toolkit reads"
        top.problem("schema", said, f"write schema = {MANIFEST_SCHEMA}, or update the toolkit")
        if isinstance(schema, int):  # a manifest of another age: what else it says may mean something else
            raise CourseError.of(report.problems)

    about = top.table("course")
    name = about.text("name", _COURSE_NAME)
    title = about.text("title", _TITLE)
    version = about.text("version", _VERSION)
    about.close()

    limits = _read_limits(top.table("limits"), Limits())

    sandbox = top.table("sandbox")
    allow_degraded = sandbox.texts("allow_degraded", _PROTECTION)
    sandbox.close()

    topics = []
    topic_tables = top.tables("topics", _title_of)
    for table in topic_tables:
        topics.append(Topic(table.text("id", _NAME_ID), table.text("title", _TITLE)))
        table.close()
    _check_ids(topic_tables, [topic.id for topic in topics], "topic")

    exercise_tables = top.tables("exercises", _title_of)
    exercises = [_read_exercise(table, root, limits) for table in exercise_tables]
    _check_ids(exercise_tables, [exercise.id for exercise in exercises], "exercise")
    top.close()

    _check_links(exercise_tables, exercises, [topic.id for topic in topics if topic.id])
    if report.problems:
        raise CourseError.of(report.problems)
    return Course(root, name, title, version, limits, allow_degraded, tuple(topics), tuple(exercises))


def _title_of(element: Any) -> str:
    """How messages name a topic or an exercise: by its id, where it has a usable one."""
    id = element.get("id") if isinstance(element, dict) else None
    return id if isinstance(id, str) and id.isprintable() else ""


def _read_limits(table: _Table, defaults: Limits) -> Limits:
    """Limits of a table, the rest from `defaults`; `defaults` alone when they contradict each other."""
    memory, disk, output = defaults.memory_megabytes, defaults.disk_megabytes, defaults.output_kilobytes
    limits = Limits(
        seconds=table.number("seconds", 0, 3600, default=defaults.seconds, whole=False, open=True),
        total_seconds=table.number("total_seconds", 0, 86400, default=defaults.total_seconds, whole=False, open=True),
        memory_megabytes=int(table.number("memory_megabytes", 16, 1_000_000, default=memory)),
        disk_megabytes=int(table.number("disk_megabytes", 1, 1_000_000, default=disk)),
        output_kilobytes=int(table.number("output_kilobytes", 1, 1_000_000, default=output)),
    )
    table.close()
    if limits.total_seconds < limits.seconds:
        key = "total_seconds" if "total_seconds" in table else "seconds"
        message = f"all checks get {limits.total_seconds:g} s, less than the {limits.seconds:g} s of a single call"
        table.problem(key, message, "raise total_seconds or lower seconds")
        return defaults
    return limits


def _read_exercise(table: _Table, root: Path, limits: Limits) -> Exercise:
    exercise = Exercise(
        root=root,
        id=table.text("id", _EXERCISE_ID),
        title=table.text("title", _TITLE),
        kind=table.choice("kind", Kind),
        framework=table.choice("framework", Framework),
        difficulty=int(table.number("difficulty", 1, 5)),
        minutes=int(table.number("minutes", 1, 600)),
        points=table.number("points", 0, 1000, whole=False, open=True),
        written_points=table.number("written_points", 0, 1000, default=0, whole=False),
        prerequisites=table.texts("prerequisites", _EXERCISE_ID),
        sources=table.texts("sources", _SOURCE),
        forbidden=table.texts("forbidden", _DOTTED),
        limits=_read_limits(table.table("limits"), limits),
    )
    table.close()
    return exercise


def _check_ids(tables: Sequence[_Table], ids: Sequence[str], what: str) -> None:
    """Report every id that an earlier table has already."""
    seen: set[str] = set()
    for table, id in zip(tables, ids, strict=True):
        if id and id in seen:
            table.problem("id", f"another {what} has the id {id!r}", "rename or remove one of them", id)
        seen.add(id)


def _check_links(tables: Sequence[_Table], exercises: Sequence[Exercise], topics: Sequence[str]) -> None:
    """Report unknown topics, unknown prerequisites, and prerequisites that lead back to themselves."""
    table_of: dict[str, _Table] = {}
    known: dict[str, Exercise] = {}
    for table, exercise in zip(tables, exercises, strict=True):
        if exercise.id and exercise.id not in known:
            known[exercise.id], table_of[exercise.id] = exercise, table
    for exercise in known.values():
        table = table_of[exercise.id]
        if exercise.topic not in topics:
            hint = _did_you_mean(exercise.topic, topics)
            table.problem("id", f"there is no topic {exercise.topic!r}{hint}", "correct it or add it to [[topics]]")
        for id in exercise.prerequisites:
            if id not in known:
                hint = _did_you_mean(id, known)
                table.problem("prerequisites", f"there is no exercise {id!r}{hint}", "correct or remove it", id)
    for circle in _circles({id: exercise.prerequisites for id, exercise in known.items()}):
        message = f"they lead in a circle: {' -> '.join([*circle, circle[0]])}"
        table_of[circle[-1]].problem("prerequisites", message, "remove one of them", circle[0])


def _circles(links: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Circles in a graph, at least one of every tangle, each as a path whose last element links to its first."""
    circles: list[list[str]] = []
    done: set[str] = set()

    def follow(id: str, path: list[str]) -> None:
        if id in path:
            circles.append(path[path.index(id) :])
        elif id not in done and id in links:
            for following in links[id]:
                follow(following, [*path, id])
            done.add(id)

    for id in links:
        follow(id, [])
    return circles
