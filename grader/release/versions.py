"""Which version of every exercise a release has: one more than before where checks, points or statement changed."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence

from grader.checking.versions import rules_hash
from grader.course import Course, Exercise
from grader.notebooks.checks_index import read_checks_index
from grader.notebooks.parsing import parse
from grader.release.manifest import (
    Bundle,
    CheckVersion,
    ExerciseVersion,
    ReleasedExercise,
    ReleaseError,
    ReleaseManifest,
)
from grader.release.student_stub import statement_hash

BESIDE, CATALOGUE, LIMITS = "code beside the checks", "catalogue of mistakes", "forbidden names and limits"
OTHER_COURSE = "the earlier release is of the course {other!r}, and this is {course!r}: name one of the same course"


def make_manifest(
    course: Course, exercises: Sequence[Exercise], previous: ReleaseManifest | None, bundle: Bundle
) -> ReleaseManifest:
    """The manifest of a release of these exercises, their versions counted on from the previous one's.

    Raises ReleaseError when the previous release is of another course, ChecksIndexError, OSError.
    """
    if previous is not None and previous.course != course.name:
        raise ReleaseError(OTHER_COURSE.format(other=previous.course, course=course.name))
    earlier = {**previous.withdrawn, **previous.exercises} if previous else {}
    released = {exercise.id: _release(course, exercise, earlier.get(exercise.id)) for exercise in exercises}
    versions = {id: [entry.now.version, entry.now.checks, entry.now.statement] for id, entry in released.items()}
    digest = hashlib.sha256(json.dumps([course.name, versions], sort_keys=True).encode()).hexdigest()
    return ReleaseManifest(
        course=course.name,
        title=course.title,
        course_version=course.version,
        release=f"{course.version}+{digest[:8]}",
        bundle=bundle,
        exercises=released,
        withdrawn={id: entry for id, entry in earlier.items() if id not in released},
    )


def _release(course: Course, exercise: Exercise, earlier: ReleasedExercise | None) -> ReleasedExercise:
    checks = read_checks_index(exercise.checks_path)
    now = ExerciseVersion(
        version=1,
        course_version=course.version,
        checks=rules_hash(exercise),
        statement=statement_hash(exercise.stub_path.read_bytes(), checks),
        points=exercise.points,
        written_points=exercise.written_points,
    )
    history = earlier.history if earlier else ()
    if not history or _differs(history[-1], now):
        number = history[-1].version + 1 if history else 1
        history = (*history, ExerciseVersion(**{**vars(now), "version": number}))
    source = exercise.checks_path.read_text(encoding="utf-8")
    functions = {
        node.name: _with_decorators(source, node) for node in parse(source).body if isinstance(node, ast.FunctionDef)
    }
    names = {check.name for check in checks}
    beside = source
    for name in names:
        beside = beside.replace(functions[name], "")
    catalogue = exercise.catalogue_path.read_bytes() if exercise.catalogue_path.is_file() else b""
    return ReleasedExercise(
        title=exercise.title,
        framework=exercise.framework.value,
        history=history,
        hidden={check.name: CheckVersion(check.points, _sha(functions[check.name])) for check in checks},
        shared={
            BESIDE: _sha(beside),
            CATALOGUE: hashlib.sha256(catalogue).hexdigest(),
            LIMITS: _sha(repr((exercise.forbidden, exercise.limits))),
        },
    )


def _differs(one: ExerciseVersion, other: ExerciseVersion) -> bool:
    return any(
        getattr(one, name) != getattr(other, name) for name in ("checks", "statement", "points", "written_points")
    )


def _with_decorators(source: str, node: ast.FunctionDef) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "".join(source.splitlines(keepends=True)[first - 1 : node.end_lineno])


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
