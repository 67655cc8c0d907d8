"""The files of the two bundles, by their path in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import grader
from grader.course import MANIFEST_NAME, Course, Exercise
from grader.notebooks.checks_index import read_checks_index
from grader.release.leak_search import TextIndex, normal
from grader.release.manifest import ReleaseError
from grader.release.requirements import CONSTRAINTS_NAME, constraints_path, student_requirements
from grader.release.secrets import secrets_of
from grader.release.student_readme import student_readme
from grader.release.student_stub import student_stub

Files = dict[str, bytes]

_COURSE_FOLDERS = (
    "reference",
    "solutions",
    "exercises",
    "tests/checks",
    "tests/wrong_answers",
    "tests/oracles",
    "tests/sample_class",
    "docs",
)
_COURSE_FILES = (MANIFEST_NAME, "README.md", "CONTRIBUTING.md", "nbgrader_config.py")
_TOOLKIT_FILES = ("pyproject.toml", CONSTRAINTS_NAME)
_LEFT_OUT = frozenset({"__pycache__", ".ipynb_checkpoints", ".cache", ".course", "results"})
LEAK = (
    "{file} would give students the {kind} of {exercise}: {text!r}. Nothing was written. Take it out of the lesson, "
    "or, if it may be read, put the same words into the lesson's own text."
)


def student_files(course: Course, exercises: Sequence[Exercise], release: str) -> Files:
    """The student's bundle, but for its manifest and changelog. Raises OSError, ChecksIndexError."""
    files = {
        f"exercises/{exercise.topic}/{exercise.slug}.ipynb": student_stub(
            exercise.stub_path.read_bytes(), read_checks_index(exercise.checks_path)
        )
        for exercise in exercises
    }
    files["README.md"] = student_readme(course, exercises, release).encode()
    files["requirements.txt"] = student_requirements(course, exercises).encode()
    return files


def instructor_files(course: Course) -> Files:
    """The instructor's bundle: the whole course and the toolkit, but for manifest and changelog. Raises OSError."""
    toolkit = Path(grader.__file__).resolve().parent
    files = {name: path.read_bytes() for name in _COURSE_FILES if (path := course.root / name).is_file()}
    for folder in _COURSE_FOLDERS:
        files |= {f"{folder}/{name}": path.read_bytes() for name, path in _below(course.root / folder)}
    files |= {f"grader/{name}": path.read_bytes() for name, path in _below(toolkit)}
    for name in _TOOLKIT_FILES:
        if (path := toolkit.parent / name).is_file():
            files[name] = path.read_bytes()
    tested = constraints_path(course)
    if tested is not None:
        files[CONSTRAINTS_NAME] = tested.read_bytes()
    return files


def refuse_leaks(files: Files, course: Course, exercises: Sequence[Exercise]) -> int:
    """Look for everything hidden in the files of a student's bundle; returns for how many texts.

    The secrets are those of all exercises that the course has, not only of those released. Raises ReleaseError, naming
    file and text, when one is found.
    """
    secrets = {normal(secret.text): secret for secret in secrets_of(course.exercises, exercises)}
    index = TextIndex(secrets)
    for name, data in files.items():
        for text in sorted({*index.found_in_file(data), *index.found_in(normal(name))}):
            found = secrets[text]
            raise ReleaseError(LEAK.format(file=name, kind=found.kind.value, exercise=found.exercise, text=found.text))
    return len(secrets)


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    """The plain files below a folder, in order; links are not followed."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            path = Path(here) / name
            if not path.is_symlink() and not name.startswith(".") and not name.endswith((".db", ".pyc")):
                yield path.relative_to(folder).as_posix(), path
