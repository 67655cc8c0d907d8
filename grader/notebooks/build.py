"""Build the notebooks: reference -> solution -> stub, the same bytes every time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from grader.notebooks.course_map import with_map
from grader.notebooks.solution import BuildError, solution_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from grader.course import Course, Exercise

__all__ = ["BuildError", "BuildReport", "IncompleteBuildError", "Staleness", "StaleFile", "build_course", "render"]


class Staleness(Enum):
    """Why a built file is not what it should be."""

    MISSING = "missing"
    OUTDATED = "outdated"  # differs from what its sources build now
    ORPHANED = "orphaned"  # no exercise of the course builds it


@dataclass(frozen=True)
class StaleFile:
    """A built file that is not what it should be."""

    path: Path
    reason: Staleness


@dataclass(frozen=True)
class BuildReport:
    """What a build did. `stale` are files left as they are: orphans, and with `check` everything not up to date."""

    written: tuple[Path, ...] = ()
    unchanged: tuple[Path, ...] = ()
    stale: tuple[StaleFile, ...] = ()


class IncompleteBuildError(BuildError):
    """Some exercises could not be built; `problems` says why, `report` what became of the others."""

    def __init__(self, problems: Sequence[str], report: BuildReport) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.report = report


def build_course(course: Course, exercises: Sequence[Exercise] | None = None, check: bool = False) -> BuildReport:
    """Build the notebooks of some exercises, or of all and with them the map of the course in README.md.

    Files that are up to date are not touched; orphans are reported, never deleted. With `check` nothing is written.
    Raises IncompleteBuildError, after all the others are built, when an exercise breaks the authoring contract.
    """
    written: list[Path] = []
    unchanged: list[Path] = []
    stale: list[StaleFile] = []
    problems: list[str] = []

    def settle(contents: Mapping[Path, bytes]) -> None:
        for path, content in contents.items():
            reason = _compare(path, content)
            if reason is None:
                unchanged.append(path)
            elif check:
                stale.append(StaleFile(path, reason))
            else:
                _write(path, content)
                written.append(path)

    for exercise in course.exercises if exercises is None else exercises:
        try:
            settle(render(exercise))
        except BuildError as error:
            problems.append(str(error))
    if exercises is None:
        settle(_readme(course))
        stale.extend(StaleFile(path, Staleness.ORPHANED) for path in _orphans(course))
    report = BuildReport(tuple(written), tuple(unchanged), tuple(stale))
    if problems:
        raise IncompleteBuildError(problems, report)
    return report


def render(exercise: Exercise) -> dict[Path, bytes]:
    """The two notebooks of an exercise, by path, as the bytes to write.

    Raises BuildError when the exercise breaks the authoring contract.
    """
    solution = solution_notebook(exercise)

    from grader.notebooks.release import stub_notebook

    try:
        stub = stub_notebook(solution)
    except (RuntimeError, ValueError) as error:  # what nbgrader's steps raise for a notebook they refuse
        raise BuildError(f"{exercise.reference_path}: nbgrader refuses the notebook: {error}") from error
    return {exercise.solution_path: _serialised(solution), exercise.stub_path: _serialised(stub)}


def _readme(course: Course) -> dict[Path, bytes]:
    """README.md with its map of the course, where the course has one."""
    path = course.root / "README.md"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return {path: with_map(text, course).encode()}


def _serialised(notebook: NotebookNode) -> bytes:
    """The notebook as JSON with sorted keys, exactly as nbgrader's commands write it."""
    import nbformat

    text: str = nbformat.writes(notebook, version=4)
    return (text.rstrip("\n") + "\n").encode()


def _compare(path: Path, content: bytes) -> Staleness | None:
    try:
        current = path.read_bytes()
    except FileNotFoundError:
        return Staleness.MISSING
    return None if current == content else Staleness.OUTDATED


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _orphans(course: Course) -> Iterator[Path]:
    """Notebooks beside the built ones that no exercise builds; hidden files and folders are somebody else's."""
    expected = {path for exercise in course.exercises for path in (exercise.solution_path, exercise.stub_path)}
    for folder in (course.root / "solutions", course.root / "exercises"):
        for path in sorted(folder.rglob("*.ipynb")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden and path not in expected:
                yield path
