"""README.md of a student's bundle."""

from __future__ import annotations

from collections.abc import Sequence

from grader.course import Course, Exercise, Kind
from grader.gradebook.wording import format_points
from grader.notebooks.solution import KIND_NAMES

_TEXT = """# {title}: notebooks

Release {release}: {count} notebooks, about {hours:.1f} hours of work.

## Set up

Python 3.11 or newer.

```
python -m venv .venv && . .venv/bin/activate     # on Windows: .venv\\Scripts\\activate
python -m pip install -r requirements.txt
jupyter lab exercises
```

## Work

Each notebook explains its task and has cells that say `YOUR CODE HERE`. Until you have written them, they raise
`NotImplementedError`. The cell of visible checks runs in the notebook: no message means that they pass. What the hidden
checks ask for stands below it; they are run when your notebook is graded, in a sandbox, with other values.

- Keep the names of functions and arguments. Cells of your own may be added anywhere.
- The hints are folded up, from a question to one line of code.
- A question notebook also has a cell for a written answer (a person reads it), and claims to set to True or False:
  their points are given only when all of them are right.
- Run the notebook from the top once before you hand it in.

This bundle has neither the hidden checks nor the toolkit, so `course check` and the other `course` commands that a
notebook may mention are not part of it.{capstone}

Hand in the `.ipynb` files under their names, as `<topic>/<exercise>.ipynb`.

## Notebooks

| notebook | kind | with | level | minutes | points | after |
|---|---|---|---|---|---|---|
{rows}

CHANGELOG.md says what changed since the last release; manifest.json has the version of every notebook.
"""
_CAPSTONE = """ The milestones of the capstone are whole without it: `course capstone`
trains and serves what they build, and needs the toolkit, which your instructor has."""


def student_readme(course: Course, exercises: Sequence[Exercise], release: str) -> str:
    """The text, with a table of the notebooks."""
    inside = {exercise.id for exercise in exercises}
    return _TEXT.format(
        title=course.title,
        release=release,
        count=len(exercises),
        hours=sum(exercise.minutes for exercise in exercises) / 60,
        capstone=_CAPSTONE if any(exercise.kind is Kind.MILESTONE for exercise in exercises) else "",
        rows="\n".join(_row(exercise, inside) for exercise in exercises),
    )


def _row(exercise: Exercise, inside: set[str]) -> str:
    points = format_points(exercise.points)
    if exercise.written_points:
        points += f" + {format_points(exercise.written_points)}"
    after = ", ".join(
        f"[{id}](exercises/{id}.ipynb)" if id in inside else f"{id} (not in this release)"
        for id in exercise.prerequisites
    )
    cells = [
        f"[{exercise.title}](exercises/{exercise.id}.ipynb)",
        KIND_NAMES[exercise.kind.value],
        exercise.framework.value,
        str(exercise.difficulty),
        str(exercise.minutes),
        points,
        after,
    ]
    return f"| {' | '.join(cells)} |"
