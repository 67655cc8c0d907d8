"""The manifest `course.toml` as typed data: `load_course` reads it, checks all of it, and says what to mend where."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from grader.manifest_lines import syntax_error_line
from grader.manifest_reader import (
    COURSE_NAME,
    DOTTED_NAME,
    EXERCISE_ID,
    NAME_ID,
    SYLLABUS_ID,
    TITLE,
    VERSION,
    Problem,
    Report,
    Shape,
    Table,
    did_you_mean,
)

MANIFEST_NAME = "course.toml"
MANIFEST_SCHEMA = 1
DEGRADABLE = ("signal-scope", "abstract-socket-scope")  # the sandbox's protections that may be missing, by name
_PROTECTION = Shape(f"one of {', '.join(DEGRADABLE)}", DEGRADABLE.__contains__, DEGRADABLE)


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
    FASTAPI = "fastapi"


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
            lines = [f"no exercise {id!r}{did_you_mean(id, known)}" for id in unknown]
            raise CourseError("\n".join([*lines, "`course list` shows all exercises"]))
        return tuple(known[id] for id in dict.fromkeys(ids)) or self.exercises

    def topic(self, id: str) -> Topic:
        """The topic with this id.

        Raises CourseError, with the nearest ids, when there is none.
        """
        known = {topic.id: topic for topic in self.topics}
        if id not in known:
            raise CourseError(f"no topic {id!r}{did_you_mean(id, known)}; topics: {', '.join(known)}")
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
        problem = Problem(path, syntax_error_line(error, text), "syntax", str(error), "correct that line")
        raise CourseError.of([problem]) from error
    return _read_course(folder, data, Report(path, text))


# --- what the manifest says -------------------------------------------------------------------------------------------


def _read_course(root: Path, data: dict[str, Any], report: Report) -> Course:
    """Build the course from the parsed manifest.

    Raises CourseError when anything in it is wrong.
    """
    top = Table(report, (), data, "")
    schema = top.raw("schema", f"{MANIFEST_SCHEMA}")
    if schema != MANIFEST_SCHEMA or isinstance(schema, bool):
        said = "is missing" if schema is None else f"{schema!r} is not a version that this toolkit reads"
        top.problem("schema", said, f"write schema = {MANIFEST_SCHEMA}, or update the toolkit")
        if isinstance(schema, int):  # a manifest of another age: what else it says may mean something else
            raise CourseError.of(report.problems)

    about = top.table("course")
    name = about.text("name", COURSE_NAME)
    title = about.text("title", TITLE)
    version = about.text("version", VERSION)
    about.close()

    limits = _read_limits(top.table("limits"), Limits())

    sandbox = top.table("sandbox")
    allow_degraded = sandbox.texts("allow_degraded", _PROTECTION)
    sandbox.close()

    topics = []
    topic_tables = top.tables("topics", _title_of)
    for table in topic_tables:
        topics.append(Topic(table.text("id", NAME_ID), table.text("title", TITLE)))
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


def _read_limits(table: Table, defaults: Limits) -> Limits:
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


def _read_exercise(table: Table, root: Path, limits: Limits) -> Exercise:
    exercise = Exercise(
        root=root,
        id=table.text("id", EXERCISE_ID),
        title=table.text("title", TITLE),
        kind=table.choice("kind", Kind),
        framework=table.choice("framework", Framework),
        difficulty=int(table.number("difficulty", 1, 5)),
        minutes=int(table.number("minutes", 1, 600)),
        points=table.number("points", 0, 1000, whole=False, open=True),
        written_points=table.number("written_points", 0, 1000, default=0, whole=False),
        prerequisites=table.texts("prerequisites", EXERCISE_ID),
        sources=table.texts("sources", SYLLABUS_ID),
        forbidden=table.texts("forbidden", DOTTED_NAME),
        limits=_read_limits(table.table("limits"), limits),
    )
    table.close()
    return exercise


def _check_ids(tables: Sequence[Table], ids: Sequence[str], what: str) -> None:
    """Report every id that an earlier table has already."""
    seen: set[str] = set()
    for table, id in zip(tables, ids, strict=True):
        if id and id in seen:
            table.problem("id", f"another {what} has the id {id!r}", "rename or remove one of them", id)
        seen.add(id)


def _check_links(tables: Sequence[Table], exercises: Sequence[Exercise], topics: Sequence[str]) -> None:
    """Report unknown topics, unknown prerequisites, and prerequisites that lead back to themselves."""
    table_of: dict[str, Table] = {}
    known: dict[str, Exercise] = {}
    for table, exercise in zip(tables, exercises, strict=True):
        if exercise.id and exercise.id not in known:
            known[exercise.id], table_of[exercise.id] = exercise, table
    for exercise in known.values():
        table = table_of[exercise.id]
        if exercise.topic not in topics:
            hint = did_you_mean(exercise.topic, topics)
            table.problem("id", f"there is no topic {exercise.topic!r}{hint}", "correct it or add it to [[topics]]")
        for id in exercise.prerequisites:
            if id not in known:
                hint = did_you_mean(id, known)
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
