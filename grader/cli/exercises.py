"""`course list`: the exercises of the course."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from grader.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from grader.course import Course, Exercise


def run(
    topic: Annotated[str | None, typer.Option(metavar="ID", help="Only the exercises of this topic.")] = None,
    as_json: Json = False,
) -> None:
    """Show the exercises: what each asks for, how hard it is, how long it takes."""
    from grader.course import load_course

    course = load_course()
    chosen = course.by_topic[course.topic(topic).id] if topic else course.exercises
    if as_json:
        import json

        print(json.dumps(_as_data(course, chosen), indent=2))
        return
    from grader.cli.tables import console_for_tables

    console_for_tables().print(_as_table(course, chosen))


def _as_data(course: Course, exercises: tuple[Exercise, ...]) -> dict[str, Any]:
    return {
        "name": course.name,
        "title": course.title,
        "version": course.version,
        "exercises": [
            {
                "id": exercise.id,
                "title": exercise.title,
                "topic": exercise.topic,
                "kind": exercise.kind.value,
                "framework": exercise.framework.value,
                "difficulty": exercise.difficulty,
                "minutes": exercise.minutes,
                "points": exercise.points,
                "written_points": exercise.written_points,
                "prerequisites": exercise.prerequisites,
                "sources": exercise.sources,
                "stub": exercise.stub_path.relative_to(course.root).as_posix(),
            }
            for exercise in exercises
        ],
    }


def _as_table(course: Course, exercises: tuple[Exercise, ...]) -> Table:
    from rich.text import Text

    from grader.cli.tables import plain_table

    minutes = sum(exercise.minutes for exercise in exercises)
    points = sum(exercise.max_points for exercise in exercises)
    count = "1 exercise" if len(exercises) == 1 else f"{len(exercises)} exercises"
    table = plain_table(
        title=Text(f"{course.title} {course.version}"),
        caption=f"{count}, {minutes / 60:.1f} hours, {points:g} points",
    )
    table.add_column("exercise", overflow="fold")
    for heading in ("kind", "framework"):
        table.add_column(heading, no_wrap=True)
    for heading in ("level", "min", "points"):
        table.add_column(heading, justify="right", no_wrap=True)
    for exercise in exercises:
        written = f" + {exercise.written_points:g}" if exercise.written_points else ""
        table.add_row(
            Text(exercise.id, style="bold").append(f"\n{exercise.title}", style="not bold"),
            exercise.kind.value,
            exercise.framework.value,
            f"{exercise.difficulty}/5",
            f"{exercise.minutes}",
            f"{exercise.points:g}{written}",
        )
    return table
