"""What of a course a student must not get, as texts to look for: checks, solutions, right claims, catalogue, answers.

Lesson text, the titles of checks and the worked example are public; what stands there, word for word, is no secret.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from grader.catalogue import Alternative, WrongAnswer, load_catalogue
from grader.course import Exercise
from grader.notebooks.checks_index import IndexedCheck, read_checks_index
from grader.notebooks.parsing import parse
from grader.notebooks.roles import BEGIN_SOLUTION, END_SOLUTION, Role
from grader.release.leak_search import TextIndex, normal

SHORTEST_NAME = 12  # of the normal form; shorter ids ("unscaled") are words that lessons use
SHORTEST_LINE = 24  # shorter lines of code ("return output, weights") are nobody's secret
_HEADER = re.compile(r"# %%(?=\s|$)(.*)")
_CLAIM = re.compile(r"\b(\w+)=(True|False)\b")
_SENTENCE = re.compile(r"(?<=[.?!:;])\s+")


class SecretKind(Enum):
    """What a text gives away."""

    CHECK_NAME = "name of a hidden check"
    CHECK = "source of the checks"
    SOLUTION = "solution"
    CLAIM = "judgement of a claim"
    ANSWER = "model answer"
    CATALOGUE = "catalogue of mistakes"


@dataclass(frozen=True)
class Secret:
    """A text that must not be in a student's bundle."""

    exercise: str
    kind: SecretKind
    text: str


def secrets_of(exercises: Iterable[Exercise], lessons: Iterable[Exercise]) -> list[Secret]:
    """The secrets of some exercises, without what is public in any of the lessons.

    Raises OSError, ChecksIndexError, CatalogueError.
    """
    secrets: dict[str, Secret] = {}
    for exercise in exercises:
        for kind, text in _texts(exercise):
            wanted = normal(text)
            shortest = SHORTEST_NAME if kind in (SecretKind.CHECK_NAME, SecretKind.CLAIM) else SHORTEST_LINE
            if len(wanted) >= shortest:
                secrets.setdefault(wanted, Secret(exercise.id, kind, text))
    index = TextIndex(secrets)
    public = {found for exercise in lessons for found in index.found_in(normal(public_text(exercise)))}
    return [secret for wanted, secret in secrets.items() if wanted not in public]


def public_text(exercise: Exercise) -> str:
    """All of an exercise that everybody may read: its lesson without solutions, and the titles of its checks."""
    lines = [text for is_public, _, text in _lesson_lines(exercise) if is_public]
    titles = [check.title for check in read_checks_index(exercise.checks_path)]
    return "\n".join([*lines, *titles, exercise.id, exercise.title])


def _texts(exercise: Exercise) -> Iterator[tuple[SecretKind, str]]:
    checks = read_checks_index(exercise.checks_path)
    yield from ((SecretKind.CHECK_NAME, check.name) for check in checks if not check.visible)
    yield from ((SecretKind.CHECK, line) for line in _check_lines(exercise, checks))
    for is_public, role, text in _lesson_lines(exercise):
        if is_public:
            continue
        if role is Role.ANSWER:
            yield SecretKind.ANSWER, text
            continue
        yield SecretKind.SOLUTION, text
        if role is Role.CLAIMS:
            yield from ((SecretKind.CLAIM, f"{name}={value}") for name, value in _CLAIM.findall(text))
            yield SecretKind.CLAIM, text.partition("#")[2]
    if exercise.catalogue_path.is_file():
        yield from ((SecretKind.CATALOGUE, text) for text in _catalogue_texts(exercise))


def _lesson_lines(exercise: Exercise) -> Iterator[tuple[bool, Role | None, str]]:
    """Every line of the reference: whether it is public, the role of its cell where that matters, its text."""
    role: Role | None = None
    in_solution = False
    for line in exercise.reference_path.read_text(encoding="utf-8").splitlines():
        header = _HEADER.match(line)
        if header:
            role = next((role for role in (Role.ANSWER, Role.CLAIMS) if f'"{role.value}"' in header[1]), None)
        elif BEGIN_SOLUTION in line or END_SOLUTION in line:
            in_solution = BEGIN_SOLUTION in line
        elif role is Role.ANSWER:
            yield False, role, line.removeprefix("#").strip()
        else:
            shown = line if in_solution else line.removeprefix("# ")  # a comment of the script is text of the lesson
            yield not in_solution, role, shown.strip()


def _check_lines(exercise: Exercise, checks: Iterable[IndexedCheck]) -> Iterator[str]:
    """The lines of the file of checks, but for its visible check, which the notebook shows."""
    source = exercise.checks_path.read_text(encoding="utf-8")
    visible = {check.name for check in checks if check.visible}
    shown: set[int] = set()
    for node in parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in visible:
            shown.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for number, line in enumerate(source.splitlines(), start=1):
        if number not in shown and not line.startswith(("import ", "from ")):
            yield line.strip()


def _catalogue_texts(exercise: Exercise) -> Iterator[str]:
    catalogue = load_catalogue(exercise.catalogue_path)
    entries: tuple[WrongAnswer | Alternative, ...] = (*catalogue.wrong_answers, *catalogue.alternatives)
    for entry in entries:
        yield entry.id
        yield entry.title
        yield from _SENTENCE.split(getattr(entry, "explanation", ""))
        for changed in (entry.code, *(new for _, new in entry.swap)):
            yield from changed.splitlines()
