"""Moodle's grading worksheet: points and comments into the CSV file that Moodle itself made for an assignment.

What Moodle writes and reads is in mod/assign/gradingtable.php and mod/assign/feedback/offline of moodle/moodle: a row a
student with Identifier ("Participant 123"), Full name, Email address, Status, Grade, Maximum Grade, Grade can be
changed, Last modified (submission), Last modified (grade) and Feedback comments; which of them there are depends on the
assignment. Moodle needs Identifier, Grade and Last modified (grade) and finds a student by the number in Identifier, so
all columns are given back as they came, and Grade and Feedback comments are filled in.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.checking.outcome import CheckOutcome
from grader.checking.record import ResultRecord
from grader.gradebook.csv_export import safe_cell
from grader.grading.learning_platforms import platform_student
from grader.platforms.csv_file import format_rows, parse_maximum, parse_rows, read_text
from grader.platforms.placing import NoRow, Unmatched, place
from grader.platforms.points import ExportError, StudentPoints, plain, scaled
from grader.platforms.told import about_diagnosis, about_submission

IDENTIFIER, FULL_NAME, EMAIL, GRADE = "Identifier", "Full name", "Email address", "Grade"
MAXIMUM, CHANGEABLE, COMMENTS = "Maximum Grade", "Grade can be changed", "Feedback comments"
_NEEDED = (IDENTIFIER, GRADE, "Last modified (grade)")
_READ_BY_MOODLE = frozenset({*_NEEDED, "Last modified (submission)", MAXIMUM, CHANGEABLE})
_NUMBER = re.compile(r"\D*(\d+)")

NOT_MOODLE = (
    "{path}: this is no grading worksheet of Moodle in English: the column {column!r} is missing. In the assignment, "
    "switch on the feedback type 'Offline grading worksheet', set your language to English, and choose 'Download "
    "grading worksheet'."
)
NOT_UTF8 = "{path}: this is not UTF-8, the encoding of Moodle's worksheets; download it again and do not resave it"
NO_STUDENT = "no row of the worksheet has this participant's number or email address"
OTHER_NAME = "participant {number} is {name!r}; see to it by hand"
SEVERAL_ROWS = "several rows of the worksheet have this number or address"
LOCKED = "Moodle says that this grade cannot be changed"


@dataclass(frozen=True)
class MoodleWorksheet:
    """The worksheet as Moodle made it."""

    header: tuple[str, ...]
    students: tuple[tuple[str, ...], ...]
    has_mark: bool = False

    def cell(self, row: int, column: str) -> str:
        """The text of a cell; empty where the worksheet has no such column."""
        place = self.header.index(column) if column in self.header else -1
        cells = self.students[row]
        return cells[place] if 0 <= place < len(cells) else ""

    def maximum(self, row: int) -> float | None:
        """The most points that a row can get, where it says so."""
        return parse_maximum(self.cell(row, MAXIMUM))


@dataclass(frozen=True)
class MoodleExport:
    """The text to upload, how many rows were filled, and whose points are not in it.

    `without_results` are the students of the worksheet that nothing was filled in for.
    """

    text: str
    filled: int
    unmatched: tuple[Unmatched, ...]
    without_results: tuple[str, ...] = ()


def read_worksheet(path: Path) -> MoodleWorksheet:
    """Read a grading worksheet. Raises ExportError, OSError."""
    text, has_mark = read_text(path, NOT_UTF8)
    rows = parse_rows(text)
    header = rows[0] if rows else ()
    for column in _NEEDED:
        if column not in header:
            raise ExportError(NOT_MOODLE.format(path=path, column=column))
    return MoodleWorksheet(header, tuple(rows[1:]), has_mark)


def fill_worksheet(
    worksheet: MoodleWorksheet, students: Sequence[StudentPoints], *, column: str, scale: bool = False
) -> MoodleExport:
    """Put the points of one assignment into its worksheet; with `scale`, in proportion to the maximum grade.

    `column` is what the points are called for those that are left over.
    """
    placement = place(students, column, lambda student: _row_of(worksheet, student))
    rows = [list(worksheet.header)]
    for row, cells in enumerate(worksheet.students):
        padded = [*cells, *[""] * (len(worksheet.header) - len(cells))]
        guarded = [
            cell if name in _READ_BY_MOODLE else str(safe_cell(cell))
            for name, cell in zip(worksheet.header, padded, strict=False)
        ]
        student = placement.rows.get(row)
        if student is not None and student.points is not None:
            possible = worksheet.maximum(row) if scale else None
            guarded[worksheet.header.index(GRADE)] = plain(scaled(student.points, student.max_points, possible))
            if COMMENTS in worksheet.header:
                guarded[worksheet.header.index(COMMENTS)] = str(safe_cell(comments(student.records)))
        rows.append(guarded)
    text = format_rows(rows, has_mark=worksheet.has_mark)
    left = [row for row in range(len(worksheet.students)) if row not in placement.rows]
    names = tuple(worksheet.cell(row, FULL_NAME) or worksheet.cell(row, IDENTIFIER) for row in left)
    return MoodleExport(text, len(placement.rows), placement.unmatched, names)


def comments(records: Sequence[ResultRecord]) -> str:
    """Feedback for a student, as the HTML that Moodle takes it for: points, what does not hold, a likely cause."""
    return "".join(_paragraphs(record) for record in records)


def _paragraphs(record: ResultRecord) -> str:
    failed = [check for check in record.checks if check.outcome not in (CheckOutcome.PASSED, CheckOutcome.SKIPPED)]
    lines = [f"<p><b>{_html(record.exercise)}</b>: {_html(about_submission(record))}</p>"]
    if failed:
        items = "".join(f"<li>{_html(check.title or check.name)}</li>" for check in failed)
        lines.append(f"<p>Not passed:</p><ul>{items}</ul>")
    diagnosis = about_diagnosis(record)
    if diagnosis:
        lines.append(f"<p>{_html(diagnosis)}</p>")
    return "".join(lines)


def _html(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _row_of(worksheet: MoodleWorksheet, student: str) -> int:
    """The row of a student. Numbers and addresses are compared exactly. Raises NoRow."""
    known = platform_student(student)
    number = known.number if known else student
    rows = range(len(worksheet.students))
    found = [row for row in rows if worksheet.cell(row, EMAIL) == student]
    by_number = not found
    if by_number:
        found = [row for row in rows if _number(worksheet.cell(row, IDENTIFIER)) == number]
    if not found:
        raise NoRow(NO_STUDENT)
    if len(found) > 1:
        raise NoRow(SEVERAL_ROWS)
    name = worksheet.cell(found[0], FULL_NAME)
    if by_number and known and name and not _same_name(known.name, name):
        raise NoRow(OTHER_NAME.format(number=number, name=name))
    if worksheet.cell(found[0], CHANGEABLE).strip().lower() == "no":
        raise NoRow(LOCKED)
    return found[0]


def _number(identifier: str) -> str:
    found = _NUMBER.fullmatch(identifier.strip())
    return found[1] if found else ""


def _same_name(in_zip: str, full_name: str) -> bool:
    """Whether a name in a zip is that of a row; in the zip, a group's name may stand in front ("Group A-Jane Doe")."""
    name, whole = _normal(full_name), _normal(in_zip)
    return whole == name or whole == "participant" or (in_zip.count("-") > 0 and whole.endswith(name) and bool(name))


def _normal(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()
