"""What every lesson has: its title and minutes as in course.toml, four hints, references, the published mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grader.catalogue import load_catalogue
from grader.course import Exercise, Kind, load_course

ROOT = Path(__file__).resolve().parents[2]
each_exercise = pytest.mark.parametrize("exercise", load_course(ROOT).exercises, ids=lambda exercise: exercise.id)
HINTS = (
    r"Hint 1: (a question|an invariant)",
    r"Hint 2: the concept",
    r"Hint 3: the structure in words",
    r"Hint 4: one line of code",
)


def lesson(exercise: Exercise) -> str:
    return exercise.reference_path.read_text(encoding="utf-8")


@each_exercise
def test_title_and_minutes_are_those_of_the_course(exercise: Exercise) -> None:
    text = lesson(exercise)
    assert text.startswith(f"# %% [markdown]\n# # {exercise.title}\n")
    assert re.search(rf"\b{exercise.minutes} minutes\b", text), (
        f"the lesson should say: about {exercise.minutes} minutes"
    )


@each_exercise
def test_four_hints_from_a_question_to_one_line_of_code(exercise: Exercise) -> None:
    found = re.findall(r"<summary>(.*?)</summary>", lesson(exercise))
    assert len(found) == len(HINTS), found
    for summary, pattern in zip(found, HINTS, strict=True):
        assert re.fullmatch(pattern, summary), summary


@each_exercise
def test_references_have_authors_and_years(exercise: Exercise) -> None:
    text = lesson(exercise)
    heading = re.search(r"^# #{2,3} References$", text, re.MULTILINE)
    assert heading is not None
    assert re.search(r"\((19|20)\d\d\)", text[heading.end() :]), "name at least one work with its year"


@each_exercise
def test_the_catalogue_is_rich_enough(exercise: Exercise) -> None:
    catalogue = load_catalogue(exercise.catalogue_path)
    assert len(catalogue.wrong_answers) >= 6
    assert len(catalogue.alternatives) >= 2


@each_exercise
def test_a_question_has_five_to_eight_claims_of_both_kinds(exercise: Exercise) -> None:
    source = lesson(exercise)
    if exercise.kind is not Kind.QUESTION:
        assert 'tags=["claims"]' not in source
        return
    start = source.index("claims.update(")
    values = re.findall(r"^    \w+=(True|False),", source[start:], re.MULTILINE)
    assert 5 <= len(values) <= 8
    assert set(values) == {"True", "False"}
    assert 'tags=["answer"]' in source and "Rubric" in source


def test_what_an_exercise_builds_on_stands_before_it() -> None:
    course = load_course(ROOT)
    topics = [topic.id for topic in course.topics]
    places = [topics.index(exercise.topic) for exercise in course.exercises]
    assert places == sorted(places), "course.toml lists the exercises topic by topic"
    order = [exercise.id for exercise in course.exercises]
    for exercise in course.exercises:
        for needed in exercise.prerequisites:
            assert order.index(needed) < order.index(exercise.id), (
                f"{exercise.id} builds on {needed}, which comes later"
            )
