"""A generated class for measurements: half right, half with catalogued mistakes, on real notebooks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.catalogue import apply_change, load_catalogue
from grader.course import Course, Exercise

BENCH_EXERCISES = ("metrics/classification", "attention/scaled_dot_product", "schedules/exponential_decay")
_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"


@dataclass(frozen=True)
class BenchSubmission:
    """One generated notebook and whether it is right."""

    student: str
    exercise: Exercise
    notebook: dict[str, Any]
    right: bool


def generate(course: Course, students: int) -> list[BenchSubmission]:
    """Submissions of a class to one exercise each of NumPy, torch and TensorFlow.

    Even students hand in the reference, odd ones a catalogued mistake, each the next. Raises OSError when the notebooks
    are not built, CatalogueError.
    """
    submissions = []
    for identifier in BENCH_EXERCISES:
        exercise = course.exercise(identifier)
        stub = json.loads(exercise.stub_path.read_text(encoding="utf-8"))
        reference = exercise.reference_path.read_text(encoding="utf-8")
        mistakes = load_catalogue(exercise.catalogue_path).wrong_answers
        for index in range(students):
            right = index % 2 == 0
            source = reference if right else apply_change(mistakes[(index // 2) % len(mistakes)], reference)
            student = f"student-{index + 1:02d}"
            submissions.append(BenchSubmission(student, exercise, filled(stub, source, student), right))
    return submissions


def filled(stub: dict[str, Any], source: str, student: str) -> dict[str, Any]:
    """The stub with a whole answer in its last code cell to be solved, and the other ones emptied."""
    notebook: dict[str, Any] = json.loads(json.dumps(stub))
    solutions = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("solution")
    ]
    for cell in solutions:
        cell["source"] = "pass"
    code = "\n".join(
        line for line in source.splitlines() if not line.startswith("#") and line.strip() not in (_BEGIN, _END)
    )
    # One line of each student's own, so that no two files are the same.
    solutions[-1]["source"] = f"# {student}\n{code}"
    return notebook


def write(submissions: list[BenchSubmission], folder: Path) -> None:
    """Write the notebooks in nbgrader's layout."""
    for submission in submissions:
        path = folder / submission.student / submission.exercise.topic / f"{submission.exercise.slug}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(submission.notebook), encoding="utf-8")
