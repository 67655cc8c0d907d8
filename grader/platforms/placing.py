"""Whose points go into which row of another gradebook; nobody is dropped without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grader.platforms.points import StudentPoints

SAME_ROW = "{other!r} has points for the same row; see to both by hand"


class NoRow(LookupError):
    """A student has no row of their own; the message says why."""


@dataclass(frozen=True)
class Unmatched:
    """A student whose points did not reach the other gradebook, and why.

    It is no problem where there are none to pass on, because nothing was handed in.
    """

    student: str
    column: str
    reason: str
    is_problem: bool = True


@dataclass(frozen=True)
class Placement:
    """Row -> the student whose points belong there, and everybody else."""

    rows: dict[int, StudentPoints]
    unmatched: tuple[Unmatched, ...]


def place(students: Sequence[StudentPoints], column: str, row_of: Callable[[str], int]) -> Placement:
    """Find the row of every student who has a score; `row_of` raises NoRow.

    Two students with points for one row have neither's: which of them it is only a person can tell.
    """
    claims: dict[int, list[StudentPoints]] = {}
    unmatched: list[Unmatched] = []
    for student in students:
        if student.points is None:
            unmatched.append(Unmatched(student.student, column, student.reason, is_problem=student.handed_in))
            continue
        try:
            claims.setdefault(row_of(student.student), []).append(student)
        except NoRow as error:
            unmatched.append(Unmatched(student.student, column, str(error)))
    for claimants in claims.values():
        for student in claimants if len(claimants) > 1 else ():
            other = next(one.student for one in claimants if one is not student)
            unmatched.append(Unmatched(student.student, column, SAME_ROW.format(other=other)))
    rows = {row: claimants[0] for row, claimants in claims.items() if len(claimants) == 1}
    return Placement(rows, tuple(unmatched))
