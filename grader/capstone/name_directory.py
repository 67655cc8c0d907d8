"""Finds concepts by the names that a person types."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grader.capstone.errors import CapstoneError

if TYPE_CHECKING:  # the server does without what the concepts are made of
    from grader.capstone.concepts import Concept


class NameDirectory:
    """The rows of names, whatever their case, spaces and underscores; of equal names the first counts."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._rows = {_fold(name): row for row, name in reversed(list(enumerate(names)))}

    def row_of(self, name: str) -> int | None:
        """The row of this name; None where there is none."""
        return self._rows.get(_fold(name))

    def similar_names(self, name: str) -> list[str]:
        """Up to three names spelt like this one, the likeliest first."""
        return [self._names[self._rows[folded]] for folded in difflib.get_close_matches(_fold(name), self._rows, n=3)]


def find_concepts(names: Sequence[str], concepts: Sequence[Concept]) -> tuple[int, ...]:
    """The rows of concepts by their English names or their emoji, each once.

    Raises CapstoneError naming similar ones for a name that none has.
    """
    directory = NameDirectory([concept.name for concept in concepts])
    characters = {concept.characters: row for row, concept in enumerate(concepts)}
    found = []
    for name in names:
        if (row := characters.get(name.strip(), directory.row_of(name))) is None:
            similar = directory.similar_names(name)
            hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
            raise CapstoneError(f"there is no concept {name!r}{hint}")
        found.append(row)
    return tuple(dict.fromkeys(found))


def _fold(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
