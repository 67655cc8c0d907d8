"""Which exercises go into which column of Canvas' gradebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grader.course import Course, CourseError
from grader.platforms.canvas import CanvasGradebook
from grader.platforms.points import ExportError

NO_COLUMN = (
    "no column of the gradebook is called like a topic or an exercise of these results. Say which is which: "
    "--column {example}=COLUMN, COLUMN being an assignment's title or id. The gradebook has: {assignments}"
)
BAD_COLUMN = "--column {given!r}: write EXERCISE=COLUMN or TOPIC=COLUMN, for example --column {example}='Homework 1'"
NOT_GRADED = "--column {given!r}: these results have no exercise {name!r}; they have: {exercises}"


def exercises_of_columns(
    gradebook: CanvasGradebook, course: Course, graded: Sequence[str], given: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Heading of a column -> ids of the exercises whose points it takes.

    `graded` are the exercises that have results, `given` the wishes of a person, `EXERCISE_OR_TOPIC=COLUMN`. Without
    any, an assignment is found that is called exactly like an exercise or a topic (its title, or its id). Raises
    ExportError.
    """
    wishes = list(given)
    if wishes:
        return _as_wished(gradebook, graded, wishes)
    found: dict[str, tuple[str, ...]] = {}
    for name, exercises in _names(course, graded):
        for column in gradebook.assignments:
            if column not in found and _is_called(gradebook, column, name):
                found[column] = exercises
    if not found:
        assignments = ", ".join(gradebook.assignments) or "no assignment"
        raise ExportError(NO_COLUMN.format(example=graded[0] if graded else "EXERCISE", assignments=assignments))
    return found


def _as_wished(gradebook: CanvasGradebook, graded: Sequence[str], wishes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for given in wishes:
        name, equals, column = given.partition("=")
        if not equals or not column.strip():
            raise ExportError(BAD_COLUMN.format(given=given, example=graded[0] if graded else "EXERCISE"))
        exercises = tuple(id for id in graded if name in (id, id.partition("/")[0]))
        if not exercises:
            raise ExportError(NOT_GRADED.format(given=given, name=name, exercises=", ".join(graded)))
        heading = gradebook.find(column.strip())
        found[heading] = tuple(dict.fromkeys((*found.get(heading, ()), *exercises)))
    return found


def _names(course: Course, graded: Sequence[str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """What a column may be called, and the exercises it then stands for."""
    for id in graded:
        try:
            exercise = course.exercise(id)
        except CourseError:
            continue
        for name in (exercise.id, exercise.title, exercise.slug):
            yield name, (id,)
    for topic in course.topics:
        exercises = tuple(id for id in graded if id.partition("/")[0] == topic.id)
        if exercises:
            yield topic.title, exercises
            yield topic.id, exercises


def _is_called(gradebook: CanvasGradebook, column: str, name: str) -> bool:
    try:
        return gradebook.find(name) == column
    except ExportError:
        return False
