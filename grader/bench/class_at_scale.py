"""A generated class of any size, for measurements: half right, a quarter with catalogued mistakes, a tenth hostile.

The rest is untouched, missing, or a copy of another student's notebook. The same seed makes the same class, and no two
notebooks hold the same code unless one is a copy.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from grader.bench.soak_class import HOSTILITIES, with_hostile_cell
from grader.bench.submissions import BENCH_EXERCISES, filled
from grader.catalogue import apply_change, load_catalogue
from grader.course import Course, Exercise, Framework, Kind

ENDLESS = "never ends"  # takes all the time there is, so it is seldom
ENDLESS_ONE_IN = 1_000  # submissions
_MIX = (  # of twenty students, in an order that gives a small class some of everything
    *("right", "wrong", "right", "hostile", "right", "wrong", "right", "copy", "right", "wrong"),
    *("right", "untouched", "right", "wrong", "right", "missing", "right", "wrong", "right", "hostile"),
)
_FRAMEWORKS = (
    *(Framework.NUMPY, Framework.TORCH, Framework.TENSORFLOW, Framework.NUMPY, Framework.TORCH),
    *(Framework.PYTHON, Framework.NUMPY, Framework.TORCH, Framework.TENSORFLOW, Framework.TRANSFORMERS),
)


class HandedIn(Enum):
    """What a student did with a notebook."""

    RIGHT = "right"
    WRONG = "wrong"
    HOSTILE = "hostile"
    ENDLESS = "endless"
    UNTOUCHED = "untouched"
    COPY = "copy"


@dataclass(frozen=True)
class ClassSubmission:
    """One notebook as it is written to disk."""

    student: str
    exercise: Exercise
    handed_in: HandedIn
    content: str


@dataclass(frozen=True)
class _Answers:
    """All that is handed in for an exercise: the stub's text, right and wrong programs."""

    stub: dict[str, Any]
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def choose_exercises(course: Course, count: int) -> tuple[Exercise, ...]:
    """So many lessons, over all frameworks in turn; the first three are NumPy, torch and TensorFlow. No milestones."""
    chosen = [course.exercise(identifier) for identifier in BENCH_EXERCISES]
    left = [one for one in course.exercises if one not in chosen and one.kind is not Kind.MILESTONE]
    for number in range(len(chosen), count):
        wanted = _FRAMEWORKS[number % len(_FRAMEWORKS)]
        found = next((one for one in left if one.framework is wanted), left[0] if left else None)
        if found is None:
            break
        left.remove(found)
        chosen.append(found)
    return tuple(chosen[:count])


def make_class(exercises: Sequence[Exercise], students: int, seed: int = 0) -> Iterator[ClassSubmission]:
    """What every student hands in for every exercise, one at a time; a missing notebook is left out.

    Raises OSError when the notebooks are not built, CatalogueError.
    """
    width, number = len(str(students)), 0
    for exercise in exercises:
        answers = _answers(exercise)
        chance = random.Random(f"{seed} {exercise.id}")
        before = ""
        kinds = list(islice(cycle(_MIX), students))
        chance.shuffle(kinds)
        for index, kind in enumerate(kinds, start=1):
            student = f"student-{index:0{width}d}"
            number += 1
            if number % ENDLESS_ONE_IN == 0:
                kind = "endless"
            made = _content(kind, student, exercise, answers, chance, before)
            if made is not None:
                before = made[1] if made[0] in (HandedIn.RIGHT, HandedIn.WRONG) else before
                yield ClassSubmission(student, exercise, *made)


def write_class(submissions: Iterator[ClassSubmission], folder: Path) -> list[ClassSubmission]:
    """Write the notebooks in nbgrader's layout; returns them without their contents."""
    written = []
    for submission in submissions:
        path = folder / submission.student / submission.exercise.topic / f"{submission.exercise.slug}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(submission.content, encoding="utf-8")
        written.append(ClassSubmission(submission.student, submission.exercise, submission.handed_in, ""))
    return written


def _answers(exercise: Exercise) -> _Answers:
    reference = exercise.reference_path.read_text(encoding="utf-8")
    catalogue = load_catalogue(exercise.catalogue_path)
    return _Answers(
        stub=json.loads(exercise.stub_path.read_text(encoding="utf-8")),
        right=(reference, *(apply_change(entry, reference) for entry in catalogue.alternatives)),
        wrong=tuple(apply_change(entry, reference) for entry in catalogue.wrong_answers),
    )


def _content(
    kind: str, student: str, exercise: Exercise, answers: _Answers, chance: random.Random, before: str
) -> tuple[HandedIn, str] | None:
    if kind == "missing":
        return None
    if kind == "untouched":
        return HandedIn.UNTOUCHED, json.dumps(answers.stub)
    if kind == "copy" and before:
        return HandedIn.COPY, before
    if kind == "wrong":
        return HandedIn.WRONG, json.dumps(filled(answers.stub, chance.choice(answers.wrong), student))
    right = json.dumps(filled(answers.stub, chance.choice(answers.right), student))
    if kind == "endless":
        return HandedIn.ENDLESS, with_hostile_cell(right, student, ENDLESS)
    if kind == "hostile":
        return HandedIn.HOSTILE, with_hostile_cell(right, student, chance.choice(sorted({*HOSTILITIES} - {ENDLESS})))
    return HandedIn.RIGHT, right
