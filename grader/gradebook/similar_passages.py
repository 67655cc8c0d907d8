"""Similar submissions as the class report shows them: groups, and the common code of the two that are most alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grader.gradebook.similarity import ExerciseSimilarity, Passage, SimilarGroup, SimilarPair
from grader.gradebook.wording import clean_text

MAX_GROUPS = 200  # shown; all pairs are in the table
MAX_EXCERPTS = 60  # groups with code beside them
MAX_LINES = 60
MAX_LINE = 160


@dataclass(frozen=True)
class ExcerptLine:
    """One line of a student's code, and whether the other submission has it too."""

    text: str
    shared: bool


@dataclass(frozen=True)
class Excerpt:
    """The part of a student's code between the first and the last shared line; `cut` lines of it are not shown."""

    student: str
    lines: tuple[ExcerptLine, ...]
    cut: int


@dataclass(frozen=True)
class GroupView:
    """A group of similar submissions; `excerpts` are of its closest pair, and none beyond the first groups."""

    group: SimilarGroup
    closest: SimilarPair
    usual: float
    excerpts: tuple[Excerpt, ...]


@dataclass(frozen=True)
class SimilarityView:
    """The section on similarity. `hidden` groups are only in the table; `small` exercises had too few submissions."""

    groups: tuple[GroupView, ...]
    hidden: int
    compared: int
    left_out: int
    small: int


def view_similarity(exercises: Sequence[ExerciseSimilarity]) -> SimilarityView:
    """All groups, those with the most evidence first."""
    found = [(exercise, group) for exercise in exercises for group in exercise.groups]
    found.sort(key=lambda entry: -entry[1].pairs[0].evidence)
    groups = tuple(
        GroupView(
            group=group,
            closest=group.pairs[0],
            usual=exercise.usual or 0.0,
            excerpts=_excerpts(group.pairs[0]) if place < MAX_EXCERPTS else (),
        )
        for place, (exercise, group) in enumerate(found[:MAX_GROUPS])
    )
    return SimilarityView(
        groups,
        hidden=max(len(found) - MAX_GROUPS, 0),
        compared=sum(exercise.compared for exercise in exercises),
        left_out=sum(exercise.left_out for exercise in exercises),
        small=sum(exercise.usual is None for exercise in exercises),
    )


def _excerpts(pair: SimilarPair) -> tuple[Excerpt, ...]:
    return tuple(
        _excerpt(student, passage) for student, passage in zip(pair.students, pair.passages or (), strict=False)
    )


def _excerpt(student: str, passage: Passage) -> Excerpt:
    lines = passage.code.split("\n")
    first, last = min(passage.lines, default=1), max(passage.lines, default=1)
    wanted = range(first, min(last, first + MAX_LINES - 1, len(lines)) + 1)
    shown = tuple(ExcerptLine(_clip(lines[number - 1]), number in passage.lines) for number in wanted)
    return Excerpt(student, shown, max(last - first + 1 - len(shown), 0))


def _clip(line: str) -> str:
    return clean_text(line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} …")
