"""The table of a class on a terminal: who has how many points in what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Exercise
from grader.gradebook.wording import clean_text

MAX_COLUMNS = 8  # exercises; more are shown by topic
MAX_NAME = 24
_UNLIMITED = 10_000  # columns: more than any table needs
_SHORT = {
    SubmissionStatus.MISSING: "–",
    SubmissionStatus.UNREADABLE: "unreadable",
    SubmissionStatus.NO_CODE: "no code",
    SubmissionStatus.SYNTAX_ERROR: "syntax error",
    SubmissionStatus.UNTOUCHED: "untouched",
    SubmissionStatus.TIMED_OUT: "timed out",
    SubmissionStatus.CRASHED: "crashed",
    SubmissionStatus.DUPLICATE: "duplicate",
    SubmissionStatus.REFUSED: "refused",
    SubmissionStatus.GRADER_ERROR: "GRADER ERROR",
}


def show_class_table(
    console: Console,
    title: str,
    records: Mapping[tuple[str, str], ResultRecord],
    exercises: Sequence[Exercise],
    students: Sequence[str],
) -> None:
    """Print a row for each student, a column for each exercise, or for each topic where the exercises are too many.

    Where the headings are too wide for the terminal they are numbers, and a list under the table says what they mean.
    """
    by_topic = len(exercises) > MAX_COLUMNS
    columns: dict[str, list[Exercise]] = {}
    for exercise in exercises:
        heading = exercise.topic if by_topic else exercise.id
        columns.setdefault(heading, []).append(exercise)
    groups = list(columns.values())
    headings = [(group[0].topic if by_topic else group[0].slug).replace("_", " ") for group in groups]
    table = _table(headings, groups, records, students)
    numbered = _narrowest(console, table) > console.width
    if numbered:
        table = _table([str(number) for number in range(1, len(groups) + 1)], groups, records, students)
    table.title = title
    console.print(table)
    if numbered:
        for number, name in enumerate(columns, start=1):
            console.print(Text(f"  {number}  {name}"))


def printable_text(text: str) -> Text:
    """Text with names and messages of students in it, which must not steer the terminal."""
    return Text(clean_text(text))


def _narrowest(console: Console, table: Table) -> int:
    """The columns of a terminal that the table needs if no word of it is to be broken."""
    return Measurement.get(console, console.options.update(width=_UNLIMITED), table).minimum


def _table(
    headings: Sequence[str],
    groups: Sequence[Sequence[Exercise]],
    records: Mapping[tuple[str, str], ResultRecord],
    students: Sequence[str],
) -> Table:
    table = Table(title_justify="left")
    table.add_column("student", no_wrap=True, min_width=min(MAX_NAME, max(map(len, students), default=0)))
    for heading in headings:
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("points", justify="right")
    worth = sum(exercise.points for group in groups for exercise in group)
    for student in students:
        row = [[records.get((student, exercise.id)) for exercise in group] for group in groups]
        total = sum(record.points for cell in row for record in cell if record is not None)
        table.add_row(printable_text(student), *map(_cell, row, groups), f"{total:g}/{worth:g}")
    return table


def _cell(records: Sequence[ResultRecord | None], exercises: Sequence[Exercise]) -> Text:
    """What became of one exercise, or the points of several."""
    handed_in = [record for record in records if record and record.status is not SubmissionStatus.MISSING]
    if not handed_in:
        return Text("–", style="dim")
    if any(record.status is SubmissionStatus.GRADER_ERROR for record in handed_in):
        return Text(_SHORT[SubmissionStatus.GRADER_ERROR], style="red")
    if len(exercises) == 1 and handed_in[0].status is not SubmissionStatus.GRADED:
        return Text(_SHORT[handed_in[0].status], style="yellow")
    points = sum(record.points for record in handed_in)
    worth = sum(exercise.points for exercise in exercises)
    return Text(f"{points:g}/{worth:g}", style="green" if points == worth else "" if points else "yellow")
