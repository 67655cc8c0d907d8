"""The map of the course in README.md: what there is, how long it takes, and what comes before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.course import Course, Exercise

BEGIN = "<!-- course map: written by `course build` from course.toml -->"
END = "<!-- end of the course map -->"


def with_map(readme: str, course: Course) -> str:
    """README's text with the present map between its two marks; as it was when it has no marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return readme
    return f"{before}{BEGIN}\n\n{course_map(course)}\n{END}{after}"


def course_map(course: Course) -> str:
    """One table of the topics, and below it each topic's notebooks, folded."""
    by_topic = {topic: [one for one in course.exercises if one.topic == topic.id] for topic in course.topics}
    questions = sum(exercise.written_points > 0 for exercise in course.exercises)
    lines = [
        f"{len(course.exercises)} notebooks, {_hours(course.exercises)} of work. {questions} of them ask an interview "
        "question.",
        "",
        "| topic | notebooks | time | builds on |",
        "|---|---|---|---|",
    ]
    for topic, exercises in by_topic.items():
        earlier = {needed.partition("/")[0] for exercise in exercises for needed in exercise.prerequisites}
        builds_on = ", ".join(other.id for other in course.topics if other.id in earlier - {topic.id})
        lines.append(f"| {topic.title} | {len(exercises)} | {_hours(exercises)} | {builds_on} |")
    for topic, exercises in by_topic.items():
        lines += ["", "<details>", f"<summary>{topic.title}</summary>", ""]
        lines += ["| notebook | kind | with | level | minutes | after |", "|---|---|---|---|---|---|"]
        lines += [_row(exercise) for exercise in exercises]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _row(exercise: Exercise) -> str:
    cells = (
        f"[{exercise.title}](exercises/{exercise.id}.ipynb)",
        exercise.kind.value,
        exercise.framework.value,
        str(exercise.difficulty),
        str(exercise.minutes),
        ", ".join(f"`{needed}`" for needed in exercise.prerequisites),
    )
    return f"| {' | '.join(cells)} |"


def _hours(exercises: Sequence[Exercise]) -> str:
    return f"{sum(exercise.minutes for exercise in exercises) / 60:.1f} h"
