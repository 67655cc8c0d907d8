"""Submissions, grades and comments of some students in nbgrader's gradebook, in a few statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from grader.gradebook.grade_plan import PlannedGrade, PlannedNotebook

if TYPE_CHECKING:
    from nbgrader.api import Gradebook


@dataclass(frozen=True)
class PlannedSubmission:
    """One student's submission of one assignment: plans by notebook; a notebook left out keeps what it has.

    A student who handed in nothing gets no submission, which is how nbgrader records that; one there is gets zeros.
    `changed` holds (notebook, grade_id) of written answers that differ from those graded last time, `missing` the
    notebooks that were not handed in.
    """

    student: str
    assignment: str
    handed_in: bool
    timestamp: datetime | None
    notebooks: Mapping[str, PlannedNotebook]
    changed: frozenset[tuple[str, str]] = frozenset()
    missing: frozenset[str] = frozenset()


@dataclass
class BatchCounts:
    """What a batch wrote."""

    submissions: int = 0
    grades: int = 0
    waiting: int = 0  # grades that wait for a person


def write_batch(gradebook: Gradebook, submissions: Sequence[PlannedSubmission]) -> BatchCounts:
    """Write planned submissions; commits nothing. The assignments must be in the gradebook.

    A person's scores, comments and extra credit are never touched. A cell that has a manual score is put up for review
    when its automatic score or the written answer changed.
    """
    from nbgrader.api import Assignment, Student
    from sqlalchemy import insert, select

    session = gradebook.db
    students = sorted({submission.student for submission in submissions})
    known = set(session.scalars(select(Student.id).where(Student.id.in_(students))))
    _execute(session, insert(Student), [{"id": student} for student in students if student not in known])
    counts = BatchCounts()
    for name in dict.fromkeys(submission.assignment for submission in submissions):
        assignment = session.execute(select(Assignment.id).where(Assignment.name == name)).scalar_one()
        planned = {submission.student: submission for submission in submissions if submission.assignment == name}
        _AssignmentWriter(session, assignment).write(planned, counts)
    return counts


class _AssignmentWriter:
    """Writes the submissions of one assignment."""

    def __init__(self, session: Any, assignment: str) -> None:
        from nbgrader.api import BaseCell, Notebook
        from sqlalchemy import select

        self._session = session
        self._assignment = assignment
        rows = session.execute(select(Notebook.id, Notebook.name).where(Notebook.assignment_id == assignment))
        self._notebooks = {row.id: row.name for row in rows}
        cells = session.execute(
            select(BaseCell.id, BaseCell.name, BaseCell.notebook_id, BaseCell.type).where(
                BaseCell.notebook_id.in_(list(self._notebooks))
            )
        )
        self._cells = [(row.id, row.name, row.notebook_id, row.type) for row in cells]

    def write(self, planned: Mapping[str, PlannedSubmission], counts: BatchCounts) -> None:
        """Write the submissions, by student, and add to the counts."""
        submitted = self._submissions(planned)
        notebooks = self._submitted_notebooks(submitted)
        self._grades(planned, notebooks, counts)
        self._comments(planned, notebooks)
        counts.submissions += len(submitted)

    def _submissions(self, planned: Mapping[str, PlannedSubmission]) -> dict[str, str]:
        """Ids of the submissions, with their student; missing ones are made, time stamps brought up to date."""
        from nbgrader.api import SubmittedAssignment, new_uuid
        from sqlalchemy import insert, select, update

        table = SubmittedAssignment
        rows = self._session.execute(
            select(table.id, table.student_id, table.timestamp).where(
                table.assignment_id == self._assignment, table.student_id.in_(list(planned))
            )
        ).all()
        ids = {row.id: row.student_id for row in rows}
        stale = [
            {"id": row.id, "timestamp": planned[row.student_id].timestamp}
            for row in rows
            if row.timestamp != planned[row.student_id].timestamp
        ]
        new = [
            {
                "id": new_uuid(),
                "assignment_id": self._assignment,
                "student_id": student,
                "timestamp": submission.timestamp,
            }
            for student, submission in planned.items()
            if submission.handed_in and student not in ids.values()
        ]
        _execute(self._session, update(table), stale)
        _execute(self._session, insert(table), new)
        return {**ids, **{row["id"]: row["student_id"] for row in new}}

    def _submitted_notebooks(self, submitted: Mapping[str, str]) -> dict[tuple[str, str], str]:
        """Ids of the submitted notebooks by (student, notebook's id); missing ones are made."""
        from nbgrader.api import SubmittedNotebook, new_uuid
        from sqlalchemy import insert, select

        table = SubmittedNotebook
        rows = self._session.execute(
            select(table.id, table.notebook_id, table.assignment_id).where(table.assignment_id.in_(list(submitted)))
        )
        ids = {(submitted[row.assignment_id], row.notebook_id): row.id for row in rows}
        new = [
            {"id": new_uuid(), "notebook_id": notebook, "assignment_id": submission, "flagged": False}
            for submission, student in submitted.items()
            for notebook in self._notebooks
            if (student, notebook) not in ids
        ]
        _execute(self._session, insert(table), new)
        made = {(submitted[row["assignment_id"]], row["notebook_id"]): row["id"] for row in new}
        return {**ids, **made}

    def _grades(
        self, planned: Mapping[str, PlannedSubmission], notebooks: Mapping[tuple[str, str], str], counts: BatchCounts
    ) -> None:
        from nbgrader.api import Grade, new_uuid
        from sqlalchemy import insert, select, update

        columns = (Grade.id, Grade.notebook_id, Grade.cell_id, Grade.auto_score, Grade.manual_score)
        rows = self._session.execute(
            select(*columns, Grade.needs_manual_grade)
            .where(Grade.notebook_id.in_(list(notebooks.values())))
            .with_for_update()  # formgrader may be open; SQLite, which locks as a whole, leaves this out
        )
        existing = {(row.notebook_id, row.cell_id): row for row in rows}
        new, updates = [], []
        for student, name, notebook, cell, grade_id in self._places(notebooks, ("GradeCell", "TaskCell")):
            plan = planned[student].notebooks.get(name)
            grade = next((grade for grade in plan.grades if grade.grade_id == grade_id), None) if plan else None
            old = existing.get((notebook, cell))
            if old is None:
                grade = grade or PlannedGrade(grade_id, 0.0)
                needs = grade.needs_manual_grade
                values = {"auto_score": grade.auto_score, "needs_manual_grade": needs}
                new.append({"id": new_uuid(), "notebook_id": notebook, "cell_id": cell, **values})
            elif grade is not None:
                needs = _needs_manual_grade(old, grade, changed=(name, grade_id) in planned[student].changed)
                updates.append({"id": old.id, "auto_score": grade.auto_score, "needs_manual_grade": needs})
            else:
                needs = old.needs_manual_grade
            counts.waiting += bool(needs)
        counts.grades += len(new) + len(updates)
        _execute(self._session, insert(Grade), new)
        _execute(self._session, update(Grade), updates)

    def _comments(self, planned: Mapping[str, PlannedSubmission], notebooks: Mapping[tuple[str, str], str]) -> None:
        from nbgrader.api import Comment, new_uuid
        from sqlalchemy import insert, select, update

        rows = self._session.execute(
            select(Comment.id, Comment.notebook_id, Comment.cell_id).where(
                Comment.notebook_id.in_(list(notebooks.values()))
            )
        )
        existing = {(row.notebook_id, row.cell_id): row.id for row in rows}
        new, updates = [], []
        for student, name, notebook, cell, grade_id in self._places(notebooks, ("SolutionCell", "TaskCell")):
            plan = planned[student].notebooks.get(name)
            old = existing.get((notebook, cell))
            if old is None:
                comment = plan.comments.get(grade_id) if plan else None
                new.append({"id": new_uuid(), "notebook_id": notebook, "cell_id": cell, "auto_comment": comment})
            elif plan is not None and grade_id in plan.comments:
                updates.append({"id": old, "auto_comment": plan.comments[grade_id]})
        _execute(self._session, insert(Comment), new)
        _execute(self._session, update(Comment), updates)

    def _places(
        self, notebooks: Mapping[tuple[str, str], str], kinds: tuple[str, ...]
    ) -> list[tuple[str, str, str, str, str]]:
        """(student, notebook's name, submitted notebook's id, cell's id, grade_id) of every cell of these kinds."""
        cells: dict[str, list[tuple[str, str]]] = {}
        for cell, grade_id, notebook, kind in self._cells:
            if kind in kinds:
                cells.setdefault(notebook, []).append((cell, grade_id))
        return [
            (student, self._notebooks[notebook], submitted, cell, grade_id)
            for (student, notebook), submitted in notebooks.items()
            for cell, grade_id in cells.get(notebook, [])
        ]


def _needs_manual_grade(old: Any, grade: PlannedGrade, *, changed: bool) -> bool:
    """Whether a person has to look: a manual score stands until what it was given for changes."""
    if old.manual_score is None:
        return grade.needs_manual_grade
    return bool(changed or old.auto_score != grade.auto_score or old.needs_manual_grade)


def _execute(session: Any, statement: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.execute(statement, rows)
