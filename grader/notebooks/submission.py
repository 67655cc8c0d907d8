"""What a student handed in: code cells in order and written answers, whatever state the notebook is in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.checking.outcome import SubmissionStatus
from grader.notebooks.cells import RawCell, SubmissionError
from grader.notebooks.magics import UnparsableError, parse_cell
from grader.notebooks.names import defined_names, seeming_names
from grader.notebooks.reading import MAX_BYTES, read_cells
from grader.notebooks.roles import HIDDEN_TESTS_MARK

__all__ = [
    "CellSyntaxError",
    "Stub",
    "Submission",
    "SubmissionError",
    "is_untouched",
    "own_cells",
    "read_own_code",
    "read_stub",
    "read_submission",
]

MAX_CODE_CHARACTERS = 256 * 1024  # Python's parser needs about a thousand times as many bytes
MAX_ANSWER_CHARACTERS = 50_000
MAX_NOTES = 20


@dataclass(frozen=True)
class CellSyntaxError:
    """A code cell that is not Python, and so is not run.

    `cell` counts all cells of the notebook from 1; `line` is in the cell, 0 when unknown; `names` are what the cell
    seems to define.
    """

    cell: int
    line: int
    message: str
    text: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        where = f"cell {self.cell}, line {self.line}" if self.line else f"cell {self.cell}"
        return f"{where}: {self.message}" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True)
class Submission:
    """A submission that was read.

    `code_cells` are the cells to run, each one plain Python; `cell_numbers` says for each which cell of the notebook it
    is, from 1. `written_answers` are by nbgrader's id of the cell. `notes` are remarks for the student.
    """

    code_cells: tuple[str, ...]
    cell_numbers: tuple[int, ...]
    written_answers: dict[str, str]
    defined_names: frozenset[str]
    syntax_errors: tuple[CellSyntaxError, ...]
    notes: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Stub:
    """What the notebook was when it was handed out: its code and check cells as normal text, the ids of its answers."""

    code_cells: frozenset[str]
    check_cells: frozenset[str]
    answer_ids: tuple[str, ...]


def read_submission(
    path_or_bytes: Path | str | bytes, *, stub: Stub | None = None, max_bytes: int = MAX_BYTES
) -> Submission:
    """Read a notebook (or a percent script: a path that ends in .py, or bytes with percent cells).

    With the stub, copies of its check cells are recognised by their text too, and deleted answers are noted.
    Raises SubmissionError, with a message for the student, when there is nothing that can be run.
    """
    data, raw_cells, notes = read_cells(path_or_bytes, max_bytes)
    code_cells = [cell for cell in raw_cells if cell.is_code and cell.source.strip() and not _is_check(cell, stub)]
    if not code_cells:
        message = "The notebook has no code of yours: its code cells are missing, empty, or the checks that were given."
        raise SubmissionError(SubmissionStatus.NO_CODE, message)
    size = sum(len(cell.source) for cell in code_cells)
    if size > MAX_CODE_CHARACTERS:
        message = f"The notebook holds {size:,} characters of code; at most {MAX_CODE_CHARACTERS:,} are read."
        raise SubmissionError(SubmissionStatus.UNREADABLE, message)
    sources: list[str] = []
    numbers: list[int] = []
    names: set[str] = set()
    errors: list[CellSyntaxError] = []
    for cell in code_cells:
        try:
            source, tree = parse_cell(cell.source)
        except UnparsableError as error:
            errors.append(
                CellSyntaxError(cell.number, error.line, error.message, error.text, seeming_names(cell.source))
            )
            continue
        sources.append(source)
        numbers.append(cell.number)
        names |= defined_names(tree)
    notes += [f"{error} (this cell was not run)" for error in errors]
    answers, more = _answers(raw_cells, stub)
    return Submission(
        code_cells=tuple(sources),
        cell_numbers=tuple(numbers),
        written_answers=answers,
        defined_names=frozenset(names),
        syntax_errors=tuple(errors),
        notes=_capped([*notes, *more, *_copied_and_changed(raw_cells, stub)]),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def read_stub(path_or_bytes: Path | str | bytes) -> Stub:
    """Read the notebook that was handed out.

    Raises SubmissionError when it cannot be read.
    """
    _, cells, _ = read_cells(path_or_bytes, MAX_BYTES)
    code = [cell for cell in cells if cell.is_code]
    return Stub(
        code_cells=frozenset(_normal(_plain(cell.source)) for cell in code if not cell.is_locked_check),
        check_cells=frozenset(_normal(cell.source) for cell in code if cell.is_locked_check),
        answer_ids=tuple(cell.grade_id for cell in cells if cell.is_answer),
    )


def is_untouched(submission: Submission, stub: Stub) -> bool:
    """Whether no code cell of the submission holds anything that the stub does not."""
    return not submission.syntax_errors and not own_cells(submission, stub)


def read_own_code(path: Path, stub: Stub | None, max_bytes: int = MAX_BYTES) -> tuple[tuple[str, ...], str]:
    """The code cells that are neither checks nor as they were handed out, not parsed, and the SHA-256 of the file.

    Raises SubmissionError when there is nothing that can be read.
    """
    data, raw_cells, _ = read_cells(path, max_bytes)
    given = stub.code_cells if stub is not None else frozenset()
    own = (cell.source for cell in raw_cells if cell.is_code and not _is_check(cell, stub))
    return tuple(source for source in own if _normal(source) not in given), hashlib.sha256(data).hexdigest()


def own_cells(submission: Submission, stub: Stub | None) -> tuple[str, ...]:
    """The code cells that differ from what was handed out."""
    given = stub.code_cells if stub is not None else frozenset()
    return tuple(cell for cell in submission.code_cells if _normal(cell) not in given)


def _is_check(cell: RawCell, stub: Stub | None) -> bool:
    """Whether a cell is ours: by its metadata, by the mark of hidden tests, or word for word a check of the stub."""
    if cell.is_locked_check or HIDDEN_TESTS_MARK in cell.source:
        return True
    return stub is not None and _normal(cell.source) in stub.check_cells


def _answers(cells: Iterable[RawCell], stub: Stub | None) -> tuple[dict[str, str], list[str]]:
    """Written answers by id, the last of two with one id as nbgrader has it; and notes on them."""
    answers: dict[str, str] = {}
    notes: list[str] = []
    for cell in cells:
        if cell.is_answer:
            answers[cell.grade_id] = cell.source[:MAX_ANSWER_CHARACTERS]
            if len(cell.source) > MAX_ANSWER_CHARACTERS:
                notes.append(
                    f"cell {cell.number}: the written answer was cut after {MAX_ANSWER_CHARACTERS:,} characters"
                )
    for grade_id in stub.answer_ids if stub else ():
        if grade_id not in answers:
            notes.append(
                f"the cell for your written answer ({grade_id}) is missing: it was deleted or changed its type"
            )
    return answers, notes


def _copied_and_changed(cells: list[RawCell], stub: Stub | None) -> list[str]:
    counts = Counter(cell.grade_id for cell in cells if cell.grade_id)
    notes = [
        f"{count} cells carry the id {grade_id}: one is a copy of the other, and both were read"
        for grade_id, count in counts.items()
        if count > 1
    ]
    for cell in cells if stub else ():
        changed = cell.is_code and cell.is_locked_check and HIDDEN_TESTS_MARK not in cell.source
        if stub and changed and _normal(cell.source) not in stub.check_cells:
            notes.append(f"cell {cell.number} holds checks and was changed; write your own code in another cell")
    return notes


def _capped(notes: list[str]) -> tuple[str, ...]:
    rest = len(notes) - MAX_NOTES
    return tuple(notes) if rest <= 0 else (*notes[:MAX_NOTES], f"and {rest} more remarks")


def _normal(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().split("\n"))


def _plain(source: str) -> str:
    try:
        return parse_cell(source)[0]
    except UnparsableError:
        return source
