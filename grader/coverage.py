"""Which questions and tasks of the source articles the course covers, and which are still missing.

`tests/source_items.toml` lists everything the articles ask; an exercise names in course.toml (`sources`) the syllabus
entries it answers. An item is covered when every entry of its own is named by an exercise.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from grader.course import Course, CourseError

_ITEMS = Path("tests") / "source_items.toml"


class ItemKind(Enum):
    """What an item of an article is."""

    QUESTION = "question"
    TASK = "task"
    FORMULA = "formula"
    CLAIM = "claim"


class Status(Enum):
    """How far the course covers an item."""

    COVERED = "covered"
    PARTLY = "partly"
    MISSING = "missing"
    NO_EXERCISE = "no exercise"


@dataclass(frozen=True)
class SourceItem:
    """One question, task, formula or claim of an article.

    `entries` are the syllabus entries that answer it, `see_also` those that only touch it; `reason` says why an item
    needs no exercise of its own.
    """

    id: str
    place: str
    kind: ItemKind
    what: str
    entries: tuple[str, ...]
    see_also: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class SourceItems:
    """Every item, and the notebook where each syllabus entry is to be found (or is planned)."""

    items: tuple[SourceItem, ...]
    notebook: dict[str, str]

    @property
    def known_ids(self) -> frozenset[str]:
        """Everything that `sources` in course.toml may name."""
        entries = {entry for item in self.items for entry in (*item.entries, *item.see_also)}
        return frozenset(entries | {item.id for item in self.items})


@dataclass(frozen=True)
class ItemCoverage:
    """One item: what covers it, and what it still lacks (syllabus entry -> planned notebook, "" = not planned)."""

    item: SourceItem
    status: Status
    exercises: tuple[str, ...]
    lacking: dict[str, str]


@dataclass(frozen=True)
class Coverage:
    """Every item's coverage, and the ids in course.toml that no article knows, as (exercise, id)."""

    items: tuple[ItemCoverage, ...]
    unknown: tuple[tuple[str, str], ...]


def load_source_items(root: Path) -> SourceItems:
    """Read `tests/source_items.toml` of the course in `root`.

    Raises:
        CourseError: the file is missing or says something that is not understood.
    """
    path = root / _ITEMS
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        items = tuple(
            SourceItem(
                id=table["id"],
                place=table["place"],
                kind=ItemKind(table["kind"]),
                what=table["what"],
                entries=tuple(table["entries"]),
                see_also=tuple(table.get("see_also", ())),
                reason=table.get("reason", ""),
            )
            for table in data["items"]
        )
        return SourceItems(items, dict(data["notebook"]))
    except FileNotFoundError:
        raise CourseError(f"{path} is missing; it lists what the source articles ask.") from None
    except (tomllib.TOMLDecodeError, KeyError, ValueError) as error:
        raise CourseError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def coverage_of(course: Course, source_items: SourceItems) -> Coverage:
    """Hold the exercises' `sources` against the list of source items."""
    exercises_by_entry: dict[str, list[str]] = defaultdict(list)
    for exercise in course.exercises:
        for entry in exercise.sources:
            exercises_by_entry[entry].append(exercise.id)
    unknown = tuple(
        (exercise, entry)
        for entry, exercises in exercises_by_entry.items()
        if entry not in source_items.known_ids
        for exercise in exercises
    )
    return Coverage(
        tuple(_item_coverage(item, exercises_by_entry, source_items.notebook) for item in source_items.items), unknown
    )


def _item_coverage(
    item: SourceItem, exercises_by_entry: dict[str, list[str]], notebook: dict[str, str]
) -> ItemCoverage:
    lacking = {entry: notebook.get(entry, "") for entry in item.entries if entry not in exercises_by_entry}
    exercises = [name for entry in (item.id, *item.entries) for name in exercises_by_entry.get(entry, ())]
    if not item.entries:
        status = Status.NO_EXERCISE
    elif not lacking:
        status = Status.COVERED
    else:
        status = Status.PARTLY if exercises else Status.MISSING
    return ItemCoverage(item, status, tuple(dict.fromkeys(exercises)), lacking)
