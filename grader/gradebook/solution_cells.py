"""Cells of a built solution notebook as nbgrader's gradebook needs them: which cell grades which check."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.gradebook.errors import GradebookError
from grader.notebooks.parsing import parse

if TYPE_CHECKING:
    from grader.course import Exercise

CHECK_FUNCTION = "run_check"

UNREADABLE = "{path} cannot be read ({reason}). Build the notebooks again with `course build`."
REPEATED = "{path} has two cells with the grade_id {grade_id!r}. Build the notebooks again with `course build`."


class CellRole(Enum):
    """What a cell with nbgrader metadata is for."""

    VISIBLE_CHECKS = "visible checks"  # graded: the sum of all visible checks
    HIDDEN_CHECK = "hidden check"  # graded: one check
    WRITTEN_ANSWER = "written answer"  # graded by a person
    SOLUTION = "solution"  # code that the student writes; carries our comment
    LOCKED = "locked"  # text or code that nbgrader puts back

    @property
    def graded(self) -> bool:
        """Whether nbgrader keeps a grade for the cell."""
        return self in (CellRole.VISIBLE_CHECKS, CellRole.HIDDEN_CHECK, CellRole.WRITTEN_ANSWER)

    @property
    def students(self) -> bool:
        """Whether the cell's text is the student's; nbgrader keeps comments for these cells."""
        return self in (CellRole.WRITTEN_ANSWER, CellRole.SOLUTION)


@dataclass(frozen=True)
class SolutionCell:
    """One cell with nbgrader metadata. `source` is what nbgrader shows for a cell that a student lost or changed."""

    grade_id: str
    role: CellRole
    cell_type: str
    points: float
    check: str
    source: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class SolutionNotebook:
    """The graded notebook of one exercise."""

    exercise: str
    topic: str
    slug: str
    path: Path
    kernelspec: dict[str, Any]
    cells: tuple[SolutionCell, ...]

    @property
    def graded(self) -> tuple[SolutionCell, ...]:
        """Cells that nbgrader keeps a grade for."""
        return tuple(cell for cell in self.cells if cell.role.graded)

    @property
    def commented(self) -> tuple[SolutionCell, ...]:
        """Cells that nbgrader keeps a comment for."""
        return tuple(cell for cell in self.cells if cell.role.students)


def read_solution(exercise: Exercise) -> SolutionNotebook:
    """Read the built notebooks of an exercise: cells from the solution, the student's empty cells from the stub.

    Raises GradebookError when one of them is missing, is not a notebook, or has a grade_id twice.
    """
    notebook = _read_json(exercise.solution_path)
    empty = {identifier: text for identifier, text in _sources(_read_json(exercise.stub_path))}
    cells: list[SolutionCell] = []
    for cell in _dictionaries(notebook.get("cells")):
        metadata = nbgrader_metadata(cell)
        role = _role(cell, metadata)
        grade_id = metadata.get("grade_id")
        if role is None or not isinstance(grade_id, str):
            continue
        if any(known.grade_id == grade_id for known in cells):
            raise GradebookError(REPEATED.format(path=exercise.solution_path, grade_id=grade_id))
        source = cell_source(cell)
        cells.append(
            SolutionCell(
                grade_id=grade_id,
                role=role,
                cell_type="markdown" if cell.get("cell_type") == "markdown" else "code",
                points=float(metadata.get("points") or 0.0),
                check=check_name(source) or "",
                source=empty.get(grade_id, "") if role.students else source,
                metadata=metadata,
            )
        )
    kernelspec = notebook.get("metadata", {}).get("kernelspec", {})
    return SolutionNotebook(
        exercise.id, exercise.topic, exercise.slug, exercise.solution_path, kernelspec, tuple(cells)
    )


def check_name(source: str) -> str | None:
    """Name of the check that a cell runs, the second argument of `run_check`; None when it runs none."""
    if CHECK_FUNCTION not in source:
        return None
    try:
        tree = parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) > 1 and _called_name(node) == CHECK_FUNCTION:
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                return name.value
    return None


def nbgrader_metadata(cell: dict[str, Any]) -> dict[str, Any]:
    """nbgrader's metadata of a cell; empty when there is none or it is not what it should be."""
    metadata = cell.get("metadata")
    found = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def cell_source(cell: dict[str, Any]) -> str:
    """Text of a cell, which a notebook keeps as a string or as a list of strings; empty for anything else."""
    source = cell.get("source")
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _role(cell: dict[str, Any], metadata: dict[str, Any]) -> CellRole | None:
    if metadata.get("grade") and (metadata.get("solution") or cell.get("cell_type") == "markdown"):
        return CellRole.WRITTEN_ANSWER
    if metadata.get("grade"):
        return CellRole.HIDDEN_CHECK if check_name(cell_source(cell)) else CellRole.VISIBLE_CHECKS
    if metadata.get("solution"):
        return CellRole.SOLUTION
    return CellRole.LOCKED if metadata.get("locked") else None


def _called_name(node: ast.Call) -> str:
    return (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )


def _sources(notebook: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for cell in _dictionaries(notebook.get("cells")):
        grade_id = nbgrader_metadata(cell).get("grade_id")
        if isinstance(grade_id, str):
            yield grade_id, cell_source(cell)


def _dictionaries(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _read_json(path: Path) -> dict[str, Any]:
    try:
        notebook = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GradebookError(UNREADABLE.format(path=path, reason=reason)) from error
    if not isinstance(notebook, dict):
        raise GradebookError(UNREADABLE.format(path=path, reason="not a notebook"))
    return notebook
