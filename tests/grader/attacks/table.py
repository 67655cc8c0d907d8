"""The table of what attacks tried and got."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WIDTHS = (24, 58, 72)


@dataclass(frozen=True)
class Row:
    """One attack: `honest` is what its answer earns without it, `mark` says that it succeeded."""

    attack: str
    tries: str
    got: str
    points: float
    honest: float
    seconds: float
    mark: str = ""


def _cut(text: str, width: int) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def render(rows: Iterable[Row]) -> list[str]:
    """The table as lines: attack, what it tried, what it got, points with and without it, seconds."""
    heads = [name.ljust(width) for name, width in zip(("attack", "what it tried", "what it got"), WIDTHS, strict=True)]
    lines = ["  ".join([*heads, "points", "seconds"])]
    for row in rows:
        texts = zip((row.attack, row.tries, row.got), WIDTHS, strict=True)
        cells = [_cut(text, width).ljust(width) for text, width in texts]
        points = f"{row.points:g}/{row.honest:g}".rjust(6)
        lines.append("  ".join([*cells, points, f"{row.seconds:7.1f}"]) + row.mark)
    return lines
