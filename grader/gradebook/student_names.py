"""Names and addresses of students, where nbgrader's gradebook knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbgrader.api import Gradebook


@dataclass(frozen=True)
class StudentName:
    """What nbgrader's table of students says; empty texts where it says nothing."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""

    @property
    def full(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


def read_names(gradebook: Gradebook, students: Sequence[str]) -> dict[str, StudentName]:
    """Names of some students by their ids; who has neither a name nor an address is left out."""
    from nbgrader.api import Student
    from sqlalchemy import select

    columns = select(Student.id, Student.first_name, Student.last_name, Student.email)
    rows = gradebook.db.execute(columns.where(Student.id.in_(list(students))))
    names = {row.id: StudentName(row.first_name or "", row.last_name or "", row.email or "") for row in rows}
    return {student: name for student, name in names.items() if name != StudentName()}
