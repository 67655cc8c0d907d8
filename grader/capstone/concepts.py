"""The concepts of the capstone: emoji with their English and Chinese names, and the families they belong to.

A *family* is what must not be torn apart by a split: knowing one member gives away most of another (the cook, the man
cook and the woman cook; the flags; the keycaps; the clocks).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SKIN_TONES = range(0x1F3FB, 0x1F400)
_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
_KEYCAP = "\N{COMBINING ENCLOSING KEYCAP}"
_CLOCK_FACES = range(0x1F550, 0x1F568)
_MOONS = range(0x1F311, 0x1F31F)
_PEOPLE = {
    *("man", "woman", "person", "men", "women", "people", "boy", "girl", "child", "adult"),
    *("old", "older", "mr", "mrs", "mx", "mrs.", "mr.", "prince", "princess", "king", "queen"),
}
_MERPEOPLE = ("merman", "mermaid", "merperson")
# People drawn with the same few heads, whose names differ in who is there.
_COUPLES = ("family", "kiss", "couple with heart", "holding hands", "with bunny ears")


@dataclass(frozen=True)
class Concept:
    """One emoji: `characters` is its text, `name` and `chinese_name` are read out loud for it."""

    characters: str
    name: str
    chinese_name: str
    family: str


def has_skin_tone(characters: str) -> bool:
    """Whether an emoji is a variant in one of the five skin tones."""
    return any(ord(character) in _SKIN_TONES for character in characters)


def family_of(characters: str, name: str) -> str:
    """The family of an emoji: flags, keycaps, clock faces, moons, couples, or its name without people.

    `man cook`, `woman cook` and `cook` are one family, as are a person and a person with another hair colour.
    """
    code_points = [ord(character) for character in characters]
    if all(point in _REGIONAL_INDICATORS for point in code_points) or "flag" in name.split():
        return "flags"
    if _KEYCAP in characters:
        return "keycaps"
    if code_points[0] in _CLOCK_FACES:
        return "clock faces"
    if code_points[0] in _MOONS:
        return "moons"
    if couple := next((words for words in _COUPLES if words in name), None):
        return couple
    words = name.split(":")[0].split()  # "man: red hair" is a man
    if words[0] in _MERPEOPLE:
        return "merpeople"
    return " ".join(word for word in words if word not in _PEOPLE) or "people"


def describe(characters: Iterable[str]) -> tuple[Concept, ...]:
    """The concepts of emoji, in the order of their code points; those without skin tone that have both names."""
    data = _emoji_data()
    found = []
    for text in sorted(set(characters)):
        entry = data.get(text, {})
        if has_skin_tone(text) or "en" not in entry or "zh" not in entry:
            continue
        name = _readable(entry["en"])
        found.append(Concept(text, name, _readable(entry["zh"]), family_of(text, name.lower())))
    return tuple(found)


def _readable(alias: str) -> str:
    """`:man_cook:` -> `man cook`."""
    return re.sub(r"\s+", " ", alias.strip(":").replace("_", " ")).strip()


@functools.cache
def _emoji_data() -> dict[str, dict[str, str]]:
    import emoji

    emoji.config.load_language("zh")
    return emoji.EMOJI_DATA
