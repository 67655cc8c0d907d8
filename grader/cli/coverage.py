"""`course coverage`: what the source articles ask, and what the course answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grader.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from grader.coverage import Coverage, ItemCoverage


def run(
    everything: Annotated[bool, typer.Option("--all", help="Also the items that are covered.")] = False,
    as_json: Json = False,
) -> None:
    """Show which questions and tasks of the source articles still lack an exercise.

    Exits with 1 when course.toml names a source that no article has.
    """
    from grader.course import load_course
    from grader.coverage import coverage_of, load_source_items

    course = load_course()
    coverage = coverage_of(course, load_source_items(course.root))
    if as_json:
        import json

        print(json.dumps(_as_data(coverage), indent=2))
    else:
        from grader.cli.tables import console_for_tables

        console = console_for_tables()
        console.print(_as_table(coverage, everything))
        console.print(_counts_by_kind(coverage))
        for exercise, entry in coverage.unknown:
            console.print(f"course.toml: {exercise} names the source {entry}, which no article has.", markup=False)
    if coverage.unknown:
        raise typer.Exit(1)


def _as_data(coverage: Coverage) -> dict[str, Any]:
    return {
        "items": [
            {
                "id": covered.item.id,
                "place": covered.item.place,
                "kind": covered.item.kind.value,
                "what": covered.item.what,
                "status": covered.status.value,
                "exercises": covered.exercises,
                "lacking": covered.lacking,
            }
            for covered in coverage.items
        ],
        "unknown": [{"exercise": exercise, "source": entry} for exercise, entry in coverage.unknown],
    }


def _as_table(coverage: Coverage, everything: bool) -> Table:
    from grader.cli.tables import plain_table
    from grader.coverage import Status

    shown = [covered for covered in coverage.items if everything or covered.status in (Status.PARTLY, Status.MISSING)]
    table = plain_table(
        title="What the source articles ask" + ("" if everything else ", and the course does not answer yet"),
    )
    for heading in ("item", "kind", "status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("what", "exercises", "still lacking"):
        table.add_column(heading, overflow="fold")
    for covered in shown:
        table.add_row(
            covered.item.id,
            covered.item.kind.value,
            covered.status.value,
            covered.item.what,
            "\n".join(covered.exercises),
            _lacking(covered),
        )
    return table


def _lacking(covered: ItemCoverage) -> str:
    if not covered.item.entries:
        return covered.item.reason or f"see {', '.join(covered.item.see_also)}"
    return "\n".join(f"{entry}: {notebook or 'not planned yet'}" for entry, notebook in covered.lacking.items())


def _counts_by_kind(coverage: Coverage) -> Table:
    from grader.cli.tables import plain_table
    from grader.coverage import ItemKind, Status

    counts = Counter((covered.item.kind, covered.status) for covered in coverage.items)
    table = plain_table()
    table.add_column("kind")
    for status in Status:
        table.add_column(status.value, justify="right")
    for kind in ItemKind:
        table.add_row(kind.value, *(str(counts[kind, status]) for status in Status))
    return table
