"""What `course release` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader.cli.tables import console_for_tables
from grader.course import Course, Exercise, load_course
from grader.release.manifest import Bundle
from grader.release.release import Form, Release, make_release

WORKING = "Building, and searching the student's bundle for what is hidden"
SUMMARY = (
    "Release {release}: {exercises} exercises; {student} files for students, {instructor} for instructors. "
    "None of {secrets:,} hidden texts is in the student's bundle."
)
SINCE = "Versions count on from {path}."


def release_and_show(
    target: Path, ids: Sequence[str], topics: Sequence[str], *, since: Path | None, form: str, as_json: bool
) -> None:
    """Make a release and show what it is. Raises CourseError, ReleaseError, BuildError, OSError."""
    course = load_course()
    with Console(stderr=True).status(WORKING):
        made = make_release(course, _selected(course, ids, topics), target, since=since, form=Form(form))
    if as_json:
        print(json.dumps(_as_json(made), indent=1))
        return
    console = console_for_tables()
    console.print(
        SUMMARY.format(
            release=made.manifest.release,
            exercises=len(made.manifest.exercises),
            student=made.files[Bundle.STUDENT],
            instructor=made.files[Bundle.INSTRUCTOR],
            secrets=made.secrets,
        ),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if made.since is not None:
        console.print(Text(SINCE.format(path=made.since)), soft_wrap=True)
    for path in made.written:
        console.print(Text(f"  {path}"), soft_wrap=True)
    newest = made.changelog.split("\n## ", 2)[1]
    console.print(Text(f"\n{newest.rstrip()}"), soft_wrap=True)


def _selected(course: Course, ids: Sequence[str], topics: Sequence[str]) -> tuple[Exercise, ...]:
    """The exercises asked for by id or by topic, in the course's order; all of them when none are."""
    if not ids and not topics:
        return course.exercises
    wanted = {exercise.id for exercise in course.select(ids)} if ids else set()
    for topic in topics:
        wanted.update(exercise.id for exercise in course.by_topic[course.topic(topic).id])
    return tuple(exercise for exercise in course.exercises if exercise.id in wanted)


def _as_json(made: Release) -> dict[str, object]:
    return {
        "release": made.manifest.release,
        "since": str(made.since) if made.since else None,
        "written": [str(path) for path in made.written],
        "secrets_searched_for": made.secrets,
        "exercises": {id: entry.now.version for id, entry in made.manifest.exercises.items()},
        "changelog": made.changelog,
    }
