"""Assignments, notebooks and cells in nbgrader's gradebook, as `nbgrader generate_assignment` would have them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from grader.gradebook.solution_cells import CellRole, SolutionCell, SolutionNotebook

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

KEPT_CELL = (
    "{exercise}: the cell {name} is not in the notebook any more, but somebody has graded or commented it by hand, "
    "so it stays in the gradebook"
)


def write_structure(gradebook: Gradebook, solutions: Iterable[SolutionNotebook]) -> list[str]:
    """Create or update assignments (topics), notebooks (exercises) and their cells; commits nothing.

    A cell that the notebook no longer has is removed with its automatic grades, unless there is work of a person on it;
    the notes returned name those cells.
    """
    from nbgrader.api import Assignment, Notebook

    session = gradebook.db
    notes = []
    for solution in solutions:
        assignment = session.query(Assignment).filter(Assignment.name == solution.topic).one_or_none()
        if assignment is None:
            assignment = Assignment(name=solution.topic, course_id=gradebook.course_id)
            session.add(assignment)
            session.flush()
        notebook = (
            session.query(Notebook)
            .filter(Notebook.name == solution.slug, Notebook.assignment_id == assignment.id)
            .one_or_none()
        )
        if notebook is None:
            notebook = Notebook(name=solution.slug, assignment=assignment, kernelspec=json.dumps(solution.kernelspec))
            session.add(notebook)
            session.flush()
        notes += _write_cells(session, notebook, solution)
    return notes


def _write_cells(session: Any, notebook: Any, solution: SolutionNotebook) -> list[str]:
    from nbgrader.api import GradeCell, SolutionCell, SourceCell

    graded = {cell.name: cell for cell in notebook.grade_cells}
    solved = {cell.name: cell for cell in notebook.solution_cells}
    sources = {cell.name: cell for cell in notebook.source_cells}
    for cell in solution.graded:
        values = {"max_score": cell.points, "cell_type": cell.cell_type}
        _put(session, graded.pop(cell.grade_id, None), GradeCell, cell.grade_id, notebook, values)
    for cell in solution.commented:
        _put(session, solved.pop(cell.grade_id, None), SolutionCell, cell.grade_id, notebook, {})
    for cell in solution.cells:
        values = {
            "cell_type": cell.cell_type,
            "locked": not cell.role.students,
            "source": cell.source,
            "checksum": _checksum(cell),
        }
        _put(session, sources.pop(cell.grade_id, None), SourceCell, cell.grade_id, notebook, values)
    session.flush()
    gone = [*graded.items(), *solved.items()]
    kept = {name for name, cell in gone if _is_marked(session, cell)}
    for name, cell in [*gone, *sources.items()]:
        if name not in kept:
            _remove(session, cell)
        elif name in graded:
            _void(session, graded[name])
    session.flush()
    return [KEPT_CELL.format(exercise=solution.exercise, name=name) for name in sorted(kept)]


def _put(session: Any, found: Any, kind: Any, name: str, notebook: Any, values: dict[str, Any]) -> None:
    if found is None:
        session.add(kind(name=name, notebook=notebook, **values))
        return
    for attribute, value in values.items():
        if getattr(found, attribute) != value:
            setattr(found, attribute, value)


def _is_marked(session: Any, cell: Any) -> bool:
    """Whether a person has graded or commented a cell in any submission."""
    from nbgrader.api import Comment, Grade
    from sqlalchemy import or_

    grades = session.query(Grade.id).filter(
        Grade.cell_id == cell.id, or_(Grade.manual_score.is_not(None), Grade.extra_credit.is_not(None))
    )
    comments = session.query(Comment.id).filter(Comment.cell_id == cell.id, Comment.manual_comment.is_not(None))
    return grades.first() is not None or comments.first() is not None


def _void(session: Any, cell: Any) -> None:
    """Take back automatic scores of a cell that stays only for what a person wrote there."""
    from nbgrader.api import Grade

    without = session.query(Grade).filter(Grade.cell_id == cell.id, Grade.manual_score.is_(None))
    without.update({"auto_score": 0.0, "needs_manual_grade": False}, synchronize_session=False)


def _remove(session: Any, cell: Any) -> None:
    from nbgrader.api import Comment, Grade, SourceCell

    if not isinstance(cell, SourceCell):
        for kind in (Grade, Comment):
            session.query(kind).filter(kind.cell_id == cell.id).delete(synchronize_session=False)
    session.delete(cell)


def _checksum(cell: SolutionCell) -> str:
    """nbgrader's checksum of a cell as it is stored, which autograding compares with the submission's cell."""
    from nbformat import from_dict
    from nbgrader.utils import compute_checksum

    metadata = {
        "grade_id": cell.grade_id,
        "grade": cell.role.graded,
        "solution": cell.role.students,
        "locked": cell.role is CellRole.LOCKED or (cell.role.graded and not cell.role.students),
        "points": cell.points,
    }
    node = from_dict({"cell_type": cell.cell_type, "metadata": {"nbgrader": metadata}, "source": cell.source})
    checksum: str = compute_checksum(node)
    return checksum
