"""The table of a class on a terminal: who has how many points in what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.cli.tables import printable_text
from grader.course import Exercise
from grader.gradebook.wording import STATUS_FOR_INSTRUCTOR, format_points

MAX_COLUMNS = 8  # exercises; more are shown by topic
_UNLIMITED = 10_000  # columns: more than any table needs
_SHORT = STATUS_FOR_INSTRUCTOR | {
    SubmissionStatus.UNTOUCHED: "untouched",
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

    Cells are in one line, or have a line for each word, and then the headings may be numbers, with a list under the
    table that says what they mean: the first that the terminal has room for. If none is, long names are folded.
    """
    by_topic = len(exercises) > MAX_COLUMNS
    columns: dict[str, list[Exercise]] = {}
    for exercise in exercises:
        columns.setdefault(exercise.topic if by_topic else exercise.id, []).append(exercise)
    groups = list(columns.values())
    names = [(group[0].topic if by_topic else group[0].slug).replace("_", " ") for group in groups]
    numbers = [str(number) for number in range(1, len(groups) + 1)]
    for headings, between_words in ((names, " "), (names, "\n"), (numbers, "\n")):
        table = _table(headings, groups, records, students, between_words)
        if _width(console, table) <= console.width:
            break
    table.title = title
    console.print(table)
    if headings is numbers:
        for number, column in zip(numbers, columns, strict=True):
            console.print(Text(f"  {number}  {column}"))


def _width(console: Console, table: Table) -> int:
    """The columns of a terminal that the table needs if no line of it is to be broken."""
    return Measurement.get(console, console.options.update(width=_UNLIMITED), table).maximum


def _table(
    headings: Sequence[str],
    groups: Sequence[Sequence[Exercise]],
    records: Mapping[tuple[str, str], ResultRecord],
    students: Sequence[str],
    between_words: str,
) -> Table:
    table = Table(title_justify="left")
    table.add_column("student", overflow="fold")  # rich takes from the widest column first: the names, if they are long
    for heading in headings:
        table.add_column(heading.replace(" ", between_words), justify="right", overflow="fold")
    table.add_column("points", justify="right")
    worth = sum(exercise.points for group in groups for exercise in group)
    for student in students:
        row = [[records.get((student, exercise.id)) for exercise in group] for group in groups]
        total = sum(record.points for cell in row for record in cell if record is not None)
        cells = [_cell(*each, between_words) for each in zip(row, groups, strict=True)]
        table.add_row(printable_text(student), *cells, f"{format_points(total)}/{format_points(worth)}")
    return table


def _cell(records: Sequence[ResultRecord | None], exercises: Sequence[Exercise], between_words: str) -> Text:
    """What became of one exercise, or the points of several."""
    handed_in = [record for record in records if record and record.status is not SubmissionStatus.MISSING]
    if not handed_in:
        return Text("–", style="dim")
    if any(record.status is SubmissionStatus.GRADER_ERROR for record in handed_in):
        return Text(_SHORT[SubmissionStatus.GRADER_ERROR].replace(" ", between_words), style="red")
    if len(exercises) == 1 and handed_in[0].status is not SubmissionStatus.GRADED:
        return Text(_SHORT[handed_in[0].status].replace(" ", between_words), style="yellow")
    points = sum(record.points for record in handed_in)
    worth = sum(exercise.points for exercise in exercises)
    return Text(
        f"{format_points(points)}/{format_points(worth)}",
        style="green" if points == worth else "" if points else "yellow",
    )
