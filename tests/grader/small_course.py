"""A small course of two exercises in plain Python, and submissions to it: whole, and quick to grade."""

from __future__ import annotations

import json
from pathlib import Path

from grader.course import Course, load_course
from grader.notebooks.build import build_course

_MANIFEST = """
schema = 1
[course]
name = "small"
title = "A small course"
version = "1.0"
[[topics]]
id = "numbers"
title = "Numbers"
"""

_EXERCISE = """
[[exercises]]
id = "numbers/{name}"
title = "{title}"
kind = "question"
framework = "python"
difficulty = 1
minutes = 5
points = 4
written_points = 2
"""

_REFERENCE = '''
# %% [markdown]
# # {title}
#
# Why it matters.

# %% tags=["solution"]
def {name}(number: float) -> float:
    """{title}."""
    ### BEGIN SOLUTION
    the_result_of_{name} = {formula}
    return the_result_of_{name}
    ### END SOLUTION

# %% [markdown] tags=["answer"]
# The model answer about {name}, which nobody may read beforehand.

# %% tags=["visible-checks", "active-ipynb"]
# assert {name}(2) == {example}
'''

_CHECKS = '''
from grader.checking import assert_equal, points, visible


@visible
@points(1)
def test_worked_example_of_{name}(student):
    """The worked example holds."""
    assert_equal(student.{name}(2), {example})


@points(3)
def test_hidden_{name}_of_others(student):
    """Other numbers are right, too."""
    assert_equal(student.{name}(10), {other})
'''

_CATALOGUE = """
from grader.catalogue import WrongAnswer

wrong_answers = [
    WrongAnswer(
        id="{name}-is-the-identity",
        title="the number comes back as it was given to {name}",
        explanation="Nothing happens to the number. Look at it before and after.",
        caught_by="test_hidden_{name}_of_others",
        swap=(("{formula}", "number"),),
    ),
]
alternatives = []
"""

EXERCISES = {"doubling": ("number * 2", 4, 20), "halving": ("number / 2", 1.0, 5.0)}


def make_course(root: Path) -> Course:
    """Write the course's sources into a folder and build its notebooks."""
    manifest = _MANIFEST
    for name, (formula, example, other) in EXERCISES.items():
        values = {"name": name, "title": name.title(), "formula": formula, "example": example, "other": other}
        manifest += _EXERCISE.format(**values)
        for path, text in (
            (root / "reference" / "numbers" / f"{name}.py", _REFERENCE),
            (root / "tests" / "checks" / "numbers" / f"test_{name}.py", _CHECKS),
            (root / "tests" / "wrong_answers" / "numbers" / f"{name}.py", _CATALOGUE),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(**values), encoding="utf-8")
    (root / "course.toml").write_text(manifest, encoding="utf-8")
    course = load_course(root)
    build_course(course)
    return course


def hand_in(place: Path, student: str, stub: Path, code: str, answer: str = "My answer.") -> Path:
    """Solve a stub: the code replaces that of its first solution cell; returns the notebook's path."""
    notebook = json.loads(stub.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")]
    next(cell for cell in cells if cell["cell_type"] == "code")["source"] = code
    next(cell for cell in cells if cell["cell_type"] == "markdown")["source"] = answer
    path = place / student / stub.parent.name / stub.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path
