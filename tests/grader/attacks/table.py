"""The table of what attacks tried and got."""

from __future__ import annotations

from collections.abc import Sequence

from tests.grader.attacks.outcome import Outcome

WIDTHS = (24, 58, 72)


def _cut(text: str, width: int) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def render(outcomes: Sequence[Outcome]) -> list[str]:
    """The table as lines: attack, what it tried, what it got, points with and without it, seconds."""
    heads = [name.ljust(width) for name, width in zip(("attack", "what it tried", "what it got"), WIDTHS, strict=True)]
    lines = ["  ".join([*heads, "points", "seconds"])]
    for outcome in outcomes:
        texts = (outcome.attack.id, outcome.attack.tries, outcome.got)
        cells = [_cut(text, width).ljust(width) for text, width in zip(texts, WIDTHS, strict=True)]
        points = f"{outcome.points:g}/{outcome.honest_points:g}".rjust(6)
        mark = "" if not outcome.faults() else " (known)" if outcome.attack.known else " SUCCEEDED"
        lines.append("  ".join([*cells, points, f"{outcome.seconds:7.1f}"]) + mark)
    return lines
