"""The notebook that formgrader shows: a copy of the submission in which nothing can run, with our results in it.

Nothing is executed and nothing of the submission's metadata is believed: known cells are found by their grade_id, their
type and metadata come from the solution, locked ones get our text back, and the student's own outputs are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from grader.checking.record import ResultRecord
from grader.gradebook.files import write_text
from grader.gradebook.grade_plan import Answer, checks_of
from grader.gradebook.inert_markdown import inert_markdown, safe_attachments
from grader.gradebook.solution_cells import (
    CellRole,
    SolutionCell,
    SolutionNotebook,
    cell_source,
    nbgrader_metadata,
)
from grader.gradebook.wording import (
    OUTCOME_SYMBOLS,
    OUTCOME_WORDS,
    clean_text,
    explain_check,
    explain_status,
    format_points,
)

LARGEST_NOTEBOOK = 10_000_000  # bytes
MOST_CELLS = 1_000
OUTPUT_LIMIT = 4_000

MISSING_CELL = "*This cell was missing from the submission and was put back.*"
UNREAD = "**The submission could not be shown.** {status}\n\n{message}"
TOO_MANY_CELLS = "*{count} more cells are not shown.*"


def read_submission(path: Path | None) -> dict[str, Any] | None:
    """A submitted notebook as plain data; None when it cannot be read as one."""
    if path is None:
        return None
    try:
        if path.stat().st_size > LARGEST_NOTEBOOK:
            return None
        notebook = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return notebook if isinstance(notebook, dict) and isinstance(notebook.get("cells"), list) else None


def find_answers(notebook: Mapping[str, Any] | None, solution: SolutionNotebook) -> dict[str, Answer]:
    """What became of the written answers in a submission; empty when there is no readable one."""
    if notebook is None:
        return {}
    texts = answer_texts(notebook, solution)
    answers = {}
    for cell in solution.cells:
        if cell.role is CellRole.WRITTEN_ANSWER:
            text = texts.get(cell.grade_id)
            empty = text is not None and text.strip() in ("", inert_markdown(cell.source).strip())
            answers[cell.grade_id] = Answer.LOST if text is None else Answer.EMPTY if empty else Answer.GIVEN
    return answers


def answer_texts(notebook: Mapping[str, Any] | None, solution: SolutionNotebook) -> dict[str, str]:
    """The written answers in a notebook, submitted or copied, as they are shown."""
    wanted = {cell.grade_id for cell in solution.cells if cell.role is CellRole.WRITTEN_ANSWER}
    texts: dict[str, str] = {}
    for cell in _cells(notebook):
        grade_id = nbgrader_metadata(cell).get("grade_id")
        if isinstance(grade_id, str) and grade_id in wanted and grade_id not in texts:
            texts[grade_id] = _shown_markdown(cell)["source"]
    return texts


def build_copy(record: ResultRecord, solution: SolutionNotebook, notebook: Mapping[str, Any] | None) -> dict[str, Any]:
    """The copy of a submission, as notebook data; made of our own cells alone where the submission cannot be read."""
    known = {cell.grade_id: cell for cell in solution.cells}
    submitted = list(_cells(notebook))
    cells: list[dict[str, Any]] = []
    if notebook is None:
        status, message = explain_status(record, OUTPUT_LIMIT)
        cells.append(_markdown(inert_markdown(UNREAD.format(status=status, message=message))))
    for cell in submitted[:MOST_CELLS]:
        grade_id = nbgrader_metadata(cell).get("grade_id")
        ours = known.pop(grade_id, None) if isinstance(grade_id, str) else None
        cells.append(_students_cell(cell) if ours is None else _known_cell(ours, record, cell))
    if len(submitted) > MOST_CELLS:
        cells.append(_markdown(TOO_MANY_CELLS.format(count=len(submitted) - MOST_CELLS)))
    for ours in known.values():
        if ours.role is not CellRole.LOCKED:
            if notebook is not None and ours.role.students:
                cells.append(_markdown(MISSING_CELL))
            cells.append(_known_cell(ours, record, None))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {
        "cells": cells,
        "metadata": {"kernelspec": solution.kernelspec, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write_copy(path: Path, notebook: Mapping[str, Any]) -> None:
    """Write a copy. Raises OSError when it cannot be written."""
    write_text(path, json.dumps(notebook, indent=1) + "\n")


def _known_cell(ours: SolutionCell, record: ResultRecord, cell: Mapping[str, Any] | None) -> dict[str, Any]:
    """One of our cells: the student's text where it is theirs, ours where it is locked; our results as output."""
    if not ours.role.students or cell is None:
        shown = _markdown(ours.source) if ours.cell_type == "markdown" else _code(ours.source)
    else:
        shown = _shown_markdown(cell) if ours.cell_type == "markdown" else _code(cell_source(dict(cell)))
    shown["metadata"] = {"nbgrader": {**ours.metadata, "cell_type": ours.cell_type}}
    results = [_result(record, ours)] if ours.role in (CellRole.HIDDEN_CHECK, CellRole.VISIBLE_CHECKS) else []
    if "outputs" in shown:
        shown["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": _writable(text)} for text in results if text
        ]
    return shown


def _result(record: ResultRecord, cell: SolutionCell) -> str:
    """The outcome of a cell's checks, in words."""
    lines = []
    for check in checks_of(cell, record):
        points = f"{format_points(check.points)} of {format_points(check.max_points)}"
        lines.append(f"{OUTCOME_SYMBOLS[check.outcome]} {OUTCOME_WORDS[check.outcome]}, {points}: {check.title}")
        if check.points < check.max_points:
            lines += [f"  {line}" for line in explain_check(check, OUTPUT_LIMIT).splitlines()]
    return clean_text("\n".join(lines)) or explain_status(record)[0]


def _students_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell of the student's own. A raw cell is shown as code, because a raw cell's HTML would be active."""
    return _shown_markdown(cell) if cell.get("cell_type") == "markdown" else _code(cell_source(dict(cell)))


def _shown_markdown(cell: Mapping[str, Any]) -> dict[str, Any]:
    attachments = safe_attachments(cell.get("attachments"))
    shown = _markdown(inert_markdown(cell_source(dict(cell)), frozenset(attachments)))
    return {**shown, "attachments": attachments} if attachments else shown


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": _writable(source)}


def _code(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": _writable(source),
    }


def _writable(text: str) -> str:
    """Text without lone surrogates, which no page can be written with."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _cells(notebook: Mapping[str, Any] | None) -> Iterable[dict[str, Any]]:
    cells = notebook.get("cells") if notebook is not None else None
    return [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
