"""What `course collect` shows: what became of each submission, and what a person should look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from grader.cli.tables import printable_text
from grader.course import Course
from grader.gradebook.errors import GradebookError
from grader.gradebook.nbgrader_connection import database_file
from grader.gradebook.nbgrader_exchange import Collected, CollectRequest, ExchangeReport, collect_from_exchange
from grader.gradebook.nbgrader_settings import read_settings

DEFAULT_DATABASE = Path("results") / "gradebook.db"
NO_DATABASE = "sqlite://"  # in memory: nbgrader looks due dates up in some database
UNKNOWN_TOPIC = "The course has no topic {topic!r}. It has: {topics}"
NO_GRADEBOOK = "{file}: there is no gradebook with due dates. Name it with --db"
LISTED = 60
STOPPED = "stopped; what was collected is whole, and the same command goes on"


def collect_and_show(
    course: Course,
    topics: Sequence[str],
    into: Path,
    *,
    exchange: str,
    course_id: str,
    update: bool,
    before_duedate: bool,
    database_url: str | None,
    as_json: bool,
) -> None:
    """Collect and tell what was collected.

    Raises GradebookError, typer.Exit(1) when something was refused or looks wrong, typer.Exit(130) when interrupted.
    """
    known = [topic.id for topic in course.topics]
    for topic in topics:
        if topic not in known:
            raise GradebookError(UNKNOWN_TOPIC.format(topic=topic, topics=", ".join(known)))
    errors = Console(stderr=True)
    request = CollectRequest(
        assignments=list(dict.fromkeys(topics)) or known,
        submitted=into,
        settings=read_settings(course.root, DEFAULT_DATABASE.parent),
        database_url=database_url or _default_database(before_duedate),
        course_id=course_id,
        exchange=exchange,
        update=update,
        before_duedate=before_duedate,
    )
    with errors.status("Collecting") as status:
        try:
            report = collect_from_exchange(request, lambda assignment: status.update(f"Collecting {assignment}"))
        except KeyboardInterrupt:
            errors.print(f"course: {STOPPED}")
            raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(_as_json(report, into), indent=1))
    else:
        _show(Console(), report, into)
    if report.warnings or report.count(Collected.REFUSED):
        raise typer.Exit(1)


def _default_database(needed: bool) -> str:
    url = f"sqlite:///{DEFAULT_DATABASE.absolute()}"
    file = database_file(url)
    if file is not None and file.is_file():
        return url
    if needed:
        raise GradebookError(NO_GRADEBOOK.format(file=DEFAULT_DATABASE))
    return NO_DATABASE


def _as_json(report: ExchangeReport, into: Path) -> dict[str, object]:
    return {
        "exchange": report.exchange,
        "course": report.course_id,
        "into": str(into),
        "submissions": [
            {
                "assignment": entry.assignment,
                "student": entry.student,
                "outcome": entry.outcome.value,
                "timestamp": entry.timestamp.isoformat() + "Z" if entry.timestamp else None,
                "name": entry.name,
                "reason": entry.reason,
            }
            for entry in report.entries
        ],
        "warnings": report.warnings,
    }


def _show(console: Console, report: ExchangeReport, into: Path) -> None:
    changed = [entry for entry in report.entries if entry.outcome in (Collected.NEW, Collected.UPDATED)]
    if changed:
        table = Table()
        for heading in ("student", "topic", "handed in (UTC)", "outcome"):
            table.add_column(heading, overflow="fold")
        for entry in changed[:LISTED]:
            time = f"{entry.timestamp:%Y-%m-%d %H:%M:%S}" if entry.timestamp else "not known"
            table.add_row(printable_text(entry.student), entry.assignment, time, entry.outcome.value)
        console.print(table)
        if len(changed) > LISTED:
            console.print(f"… and {len(changed) - LISTED} more.")
    for entry in report.entries:
        if entry.outcome is Collected.REFUSED:
            console.print(printable_text(f"Refused: {entry.name}: {entry.reason}"), soft_wrap=True)
    for warning in report.warnings:
        console.print(printable_text(f"Warning: {warning}"), soft_wrap=True)
    counts = ", ".join(f"{report.count(outcome)} {outcome.value}" for outcome in Collected)
    console.print(printable_text(f"{counts}; course {report.course_id} in {report.exchange}"), soft_wrap=True)
    if changed:
        console.print(printable_text(f"Next: course grade {into}"), soft_wrap=True)
