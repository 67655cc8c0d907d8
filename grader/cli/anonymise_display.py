"""What `course anonymise` shows: where the copy and its key are, and what to look at."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from grader.cli.tables import printable_text
from grader.course import Course
from grader.grading.anonymising import KEY_NAME, anonymise

DONE = "{folder}: {records} results of {students} students under pseudonyms, {new} of them new."
KEY = "{key} tells who is who: keep it, and do not give it away."
STOPPED = "stopped; the same command writes the copy anew, with the same pseudonyms"


def anonymise_and_show(course: Course, results: Path, folder: Path, key: Path | None, *, as_json: bool) -> None:
    """Write the copy and tell where it is.

    Raises typer.Exit(130) when interrupted, and what `anonymise` raises.
    """
    errors = Console(stderr=True)
    key = key or results / KEY_NAME
    with errors.status("Reading results") as status:
        try:
            done = anonymise(course, results, folder, key, status.update)
        except KeyboardInterrupt:
            errors.print(f"course: {STOPPED}")
            raise typer.Exit(130) from None
    if as_json:
        facts = {"directory": str(folder), "key": str(key), **vars(done), "notes": list(done.notes)}
        print(json.dumps(facts, indent=1))
        return
    console = Console()
    counts = DONE.format(folder=folder, records=done.records, students=done.students, new=done.new)
    for line in (counts, KEY.format(key=key), *(f"Note: {note}" for note in done.notes)):
        console.print(printable_text(line), soft_wrap=True)
