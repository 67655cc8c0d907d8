"""The part of a course that grades some of its exercises, as files by path: what an autograder on a platform needs.

A bundle has the toolkit without the capstone, the audit and the benchmarks; the manifest of these exercises alone;
their stubs and checks; and, for diagnoses, their catalogues of mistakes with the reference. Those are left out of a
bundle that runs students' code unconfined, since such code could read them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from grader.behaviours import behaviours_path
from grader.course import MANIFEST_NAME, Course, Exercise

Files = dict[PurePosixPath, bytes]

_LEFT_OUT = frozenset({"audit", "bench", "capstone", "cli", "release", "study", "__pycache__"})
_PACKAGE = Path(__file__).resolve().parents[1]


def bundled_course(course: Course, exercises: Sequence[Exercise], *, with_answers: bool) -> Files:
    """Everything below the root of the bundled course. Raises OSError when a file cannot be read."""
    files = {PurePosixPath(MANIFEST_NAME): _manifest(course, exercises).encode()}
    for path in sorted(_PACKAGE.rglob("*.py")):
        inside = path.relative_to(_PACKAGE)
        if not _LEFT_OUT.intersection(inside.parts[:-1]):
            files[PurePosixPath("grader", *inside.parts)] = path.read_bytes()
    for exercise in exercises:
        needed = [exercise.checks_path, exercise.stub_path]
        if with_answers:
            needed += [exercise.catalogue_path, behaviours_path(exercise), exercise.reference_path]
        for path in needed:
            if path.is_file():
                files[PurePosixPath(*path.relative_to(course.root).parts)] = path.read_bytes()
    return files


def _manifest(course: Course, exercises: Sequence[Exercise]) -> str:
    """The manifest with these exercises alone, and the prerequisites that are among them."""
    data = tomllib.loads((course.root / MANIFEST_NAME).read_text(encoding="utf-8-sig"))
    ids = {exercise.id for exercise in exercises}
    topics = {exercise.topic for exercise in exercises}
    data["topics"] = [topic for topic in data["topics"] if topic["id"] in topics]
    data["exercises"] = [entry for entry in data["exercises"] if entry["id"] in ids]
    for entry in data["exercises"]:
        entry["prerequisites"] = [id for id in entry.get("prerequisites", ()) if id in ids]
    return "\n".join(_toml(data, ()))


def _toml(table: dict[str, Any], place: tuple[str, ...]) -> list[str]:
    """The lines of a table of texts, numbers, truth values, lists of them, tables, and lists of tables."""
    lines: list[str] = []
    inner: list[str] = []
    for key, value in table.items():
        name = ".".join((*place, key))
        if isinstance(value, dict):
            inner += ["", f"[{name}]", *_toml(value, (*place, key))]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                inner += ["", f"[[{name}]]", *_toml(entry, (*place, key))]
        else:
            # A JSON text is a TOML one too, but for a single character that `course.toml` may not hold unescaped.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return [*lines, *inner]
