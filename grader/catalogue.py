"""The catalogue of wrong answers and of differently written correct ones, as data.

`tests/wrong_answers/<topic>/<exercise>.py` defines two lists, `wrong_answers` and `alternatives`, of the classes here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType


class CatalogueError(ValueError):
    """A catalogue file is missing, malformed, or a substitution does not apply to the reference."""


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake people really make.

    `title` completes "behaves like …"; `explanation` is addressed to the student: the cause first, then the way to the
    fix, no formula given away at once. `caught_by` names the check that must reject it. The mistake itself is either
    `swap`, pairs of (text in the reference, replacement), or `code`, definitions that are run after the reference's and
    so take their place.
    """

    id: str
    title: str
    explanation: str
    caught_by: str
    swap: tuple[tuple[str, str], ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Alternative:
    """A correct solution written differently; it must get full marks. Same forms of change as a wrong answer."""

    id: str
    title: str
    swap: tuple[tuple[str, str], ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Catalogue:
    """The wrong answers and the alternatives of one exercise.

    `equivalent_mutants` explains automatic mutants of the reference that no check can tell from it: a part of the
    mutant's description -> the reason why.
    """

    wrong_answers: tuple[WrongAnswer, ...]
    alternatives: tuple[Alternative, ...]
    equivalent_mutants: dict[str, str] = field(default_factory=dict)


def apply_change(entry: WrongAnswer | Alternative, reference_source: str) -> str:
    """Source code of an entry: the reference with its substitutions, or followed by its own definitions.

    Raises CatalogueError when a substitution's text does not occur exactly once, or when nothing is changed.
    """
    if entry.code:
        return f"{reference_source}\n\n{entry.code}"
    if not entry.swap:
        raise CatalogueError(f"{entry.id}: neither `swap` nor `code` is given")
    source = reference_source
    for old, new in entry.swap:
        count = source.count(old)
        if count != 1:
            raise CatalogueError(
                f"{entry.id}: the text {old!r} occurs {count} times in the reference; it must occur once"
            )
        source = source.replace(old, new)
    if source == reference_source:
        raise CatalogueError(f"{entry.id}: `swap` changes nothing")
    return source


def load_catalogue(path: Path) -> Catalogue:
    """Load a catalogue file.

    Raises CatalogueError when the file is missing, cannot be run, or defines duplicate ids or anything but entries.
    """
    if not path.is_file():
        raise CatalogueError(f"{path}: no catalogue of wrong answers")
    module = ModuleType(f"catalogue_{path.parent.name}_{path.stem}")
    try:
        # Not imported, since bytecode that is kept would stand for a catalogue corrected within the same second.
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        raise CatalogueError(f"{path}: cannot be run: {type(error).__name__}: {error}") from error
    catalogue = Catalogue(
        tuple(getattr(module, "wrong_answers", ())),
        tuple(getattr(module, "alternatives", ())),
        dict(getattr(module, "equivalent_mutants", {})),
    )
    for name, kind in (("wrong_answers", WrongAnswer), ("alternatives", Alternative)):
        strange = [entry for entry in getattr(catalogue, name) if not isinstance(entry, kind)]
        if strange:
            raise CatalogueError(f"{path}: {name} holds a {type(strange[0]).__name__}, not a {kind.__name__}")
    entries: list[WrongAnswer | Alternative] = [*catalogue.wrong_answers, *catalogue.alternatives]
    ids = [entry.id for entry in entries]
    repeated = sorted({identifier for identifier in ids if ids.count(identifier) > 1})
    if repeated:
        raise CatalogueError(f"{path}: ids used twice: {', '.join(repeated)}")
    return catalogue
