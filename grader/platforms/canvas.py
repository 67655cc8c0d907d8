"""Canvas' gradebook: points into the columns of the CSV file that Canvas itself exported, ready to be imported again.

What Canvas writes and reads is in lib/gradebook_exporter.rb and lib/gradebook_importer.rb of instructure/canvas-lms: a
first row with Student (or LastName, FirstName), ID, perhaps SIS User ID, SIS Login ID, Integration ID and Root Account,
Section, own columns, and one column `Title (id)` an assignment; perhaps a row about manual posting; a row "Points
Possible"; then a row a student.

The file written has the students' columns, the assignments that were filled in, and the students who have a score.
Canvas changes nothing that is not in a file, so grades that were entered since the export stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader.gradebook.csv_export import safe_cell
from grader.grading.learning_platforms import platform_student
from grader.platforms.csv_file import format_rows, parse_maximum, parse_rows, read_text
from grader.platforms.placing import NoRow, Unmatched, place
from grader.platforms.points import ExportError, StudentPoints, plain, scaled

_IDENTITY = frozenset(
    {
        "Student",
        "LastName",
        "FirstName",
        "ID",
        "SIS User ID",
        "SIS Login ID",
        "Integration ID",
        "Root Account",
        "Section",
    }
)
_IDS = ("ID", "SIS User ID", "SIS Login ID")
_TITLE_AND_ID = re.compile(r"(?P<title>.*\S)\s*\((?P<id>\d+)\)", re.DOTALL)

NOT_CANVAS = (
    "{path}: this is no gradebook of Canvas: its first row should begin with Student, ID. In Canvas: Grades, Export, "
    "Export Entire Gradebook."
)
NOT_UTF8 = "{path}: this is not UTF-8, the encoding of Canvas' exports; export the gradebook again and do not resave it"
NO_STUDENT = "no row of the gradebook has this ID, SIS User ID or SIS Login ID"
OTHER_NAME = "the row with ID {number} belongs to {name!r}; see to it by hand"
SEVERAL_ROWS = "several rows of the gradebook have this id"


@dataclass(frozen=True)
class CanvasGradebook:
    """The gradebook as Canvas exported it. `students` are the rows below the heading that are students."""

    header: tuple[str, ...]
    points_possible: tuple[str, ...]
    students: tuple[tuple[str, ...], ...]
    delimiter: str = ","
    has_mark: bool = False

    @property
    def assignments(self) -> tuple[str, ...]:
        """The headings of all assignments, `Title (id)`."""
        return tuple(name for name in self.header if name not in _IDENTITY and _TITLE_AND_ID.fullmatch(name))

    @cached_property
    def rows(self) -> dict[str, list[int]]:
        """The rows of every ID, SIS User ID and SIS Login ID."""
        places = [self.header.index(name) for name in _IDS if name in self.header]
        found: dict[str, list[int]] = {}
        for row, cells in enumerate(self.students):
            for id in dict.fromkeys(_cells(cells, places)):
                found.setdefault(id, []).append(row)
        return found

    def possible(self, column: str) -> float | None:
        """The points that an assignment gives at most, where the gradebook says so."""
        cells = self.points_possible
        place = self.header.index(column)
        return parse_maximum(cells[place]) if place < len(cells) else None

    def find(self, name: str) -> str:
        """The heading of the assignment with this heading, title or id, compared exactly.

        Raises ExportError when there is none, or several.
        """
        found = [column for column in self.assignments if name in _names(column)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ExportError(f"several assignments are called {name!r}: {', '.join(found)}; name one by its id")
        raise ExportError(f"the gradebook has no assignment {name!r}; it has: {', '.join(self.assignments) or 'none'}")


@dataclass(frozen=True)
class CanvasExport:
    """The text to import, how many cells of each column were filled, and whose points are not in it.

    `without_results` are the students of the gradebook that nothing was filled in for.
    """

    text: str
    filled: Mapping[str, int]
    unmatched: tuple[Unmatched, ...]
    without_results: tuple[str, ...] = ()


def read_gradebook(path: Path) -> CanvasGradebook:
    """Read an exported gradebook. Raises ExportError, OSError."""
    text, has_mark = read_text(path, NOT_UTF8)
    first_line = text.partition("\n")[0]
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    rows = parse_rows(text, delimiter)
    if not rows or not _is_header(rows[0]):
        raise ExportError(NOT_CANVAS.format(path=path))
    header, below = rows[0], rows[1:]
    points_possible = next((row for row in below if _is_points_possible(row)), ())
    id_column = header.index("ID")
    students = [
        row for row in below if len(row) > id_column and row[id_column].strip() and not _is_points_possible(row)
    ]
    return CanvasGradebook(header, points_possible, tuple(students), delimiter, has_mark)


def fill_gradebook(
    gradebook: CanvasGradebook, columns: Mapping[str, Sequence[StudentPoints]], *, scale: bool = False
) -> CanvasExport:
    """Put points into columns, by the heading of each; with `scale`, in proportion to the points possible there."""
    cells: dict[int, dict[str, str]] = {}
    unmatched: list[Unmatched] = []
    filled: dict[str, int] = {}
    for column, students in columns.items():
        possible = gradebook.possible(column) if scale else None
        placement = place(students, column, lambda student: _row_of(gradebook, student))
        unmatched += placement.unmatched
        filled[column] = len(placement.rows)
        for row, student in placement.rows.items():
            assert student.points is not None
            cells.setdefault(row, {})[column] = plain(scaled(student.points, student.max_points, possible))
    identity = [place for place, name in enumerate(gradebook.header) if name in _IDENTITY]
    rows = [[*(gradebook.header[place] for place in identity), *columns]]
    if gradebook.points_possible:
        rows.append([*_cells(gradebook.points_possible, identity), *_possible_cells(gradebook, columns)])
    for row, student_row in enumerate(gradebook.students):
        if row in cells:
            who = [str(safe_cell(cell)) for cell in _cells(student_row, identity)]
            rows.append([*who, *(cells[row].get(column, _cell(gradebook, student_row, column)) for column in columns)])
    text = format_rows(rows, delimiter=gradebook.delimiter, has_mark=gradebook.has_mark)
    left = [_sortable_name(gradebook, student) for row, student in enumerate(gradebook.students) if row not in cells]
    return CanvasExport(text, filled, tuple(unmatched), tuple(left))


def _row_of(gradebook: CanvasGradebook, student: str) -> int:
    """The row of a student. Ids are compared exactly. Raises NoRow."""
    known = platform_student(student)
    found = gradebook.rows.get(student, [])
    by_number = not found and known is not None
    if known is not None and by_number:
        place = gradebook.header.index("ID")
        found = [row for row in gradebook.rows.get(known.number, ()) if gradebook.students[row][place] == known.number]
    if not found:
        raise NoRow(NO_STUDENT)
    if len(found) > 1:
        raise NoRow(SEVERAL_ROWS)
    name = _sortable_name(gradebook, gradebook.students[found[0]])
    if known is not None and by_number and _normal(name) != _normal(known.name):
        raise NoRow(OTHER_NAME.format(number=known.number, name=name))
    return found[0]


def _sortable_name(gradebook: CanvasGradebook, cells: Sequence[str]) -> str:
    if "LastName" in gradebook.header:
        return f"{cells[0]}, {cells[1]}"
    return cells[gradebook.header.index("Student")]


def _normal(name: str) -> str:
    """A name as it stands in the name of a file: in lower case, letters and digits only."""
    return re.sub(r"[\W_]", "", name).lower()


def _names(column: str) -> tuple[str, ...]:
    found = _TITLE_AND_ID.fullmatch(column)
    return (column, found["title"], found["id"]) if found else (column,)


def _is_header(row: Sequence[str]) -> bool:
    return row[:2] == ("Student", "ID") or row[:3] == ("LastName", "FirstName", "ID")


def _is_points_possible(row: Sequence[str]) -> bool:
    return row[0].strip() == "Points Possible"


def _cells(row: Sequence[str], places: Sequence[int]) -> list[str]:
    return [row[place] if place < len(row) else "" for place in places]


def _cell(gradebook: CanvasGradebook, row: Sequence[str], column: str) -> str:
    return str(safe_cell(_cells(row, [gradebook.header.index(column)])[0]))


def _possible_cells(gradebook: CanvasGradebook, columns: Mapping[str, object]) -> list[str]:
    return _cells(gradebook.points_possible, [gradebook.header.index(column) for column in columns])
