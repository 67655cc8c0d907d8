"""The roles a cell of a lesson can have, and what nbgrader calls them.

Nothing here imports a notebook library: the reader of submissions uses it too.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Role(Enum):
    """What a cell is for. The value is the cell tag that an author writes, where there is one."""

    TEXT = "text"  # no tag: lesson text
    CODE = "code"  # no tag: code that is shown as it is
    SOLUTION = "solution"
    CLAIMS = "claims"
    ANSWER = "answer"
    VISIBLE_CHECKS = "visible-checks"
    HIDDEN_CHECK = "hidden-check"  # never written by an author: one is built for each hidden check


AUTHORED_ROLES = (Role.SOLUTION, Role.CLAIMS, Role.ANSWER, Role.VISIBLE_CHECKS)
ACTIVE_IN_NOTEBOOK = "active-ipynb"
BUILD_TAGS = frozenset({ACTIVE_IN_NOTEBOOK, *(role.value for role in AUTHORED_ROLES)})

BEGIN_SOLUTION = "### BEGIN SOLUTION"
END_SOLUTION = "### END SOLUTION"
BEGIN_HIDDEN_TESTS = "### BEGIN HIDDEN TESTS"
END_HIDDEN_TESTS = "### END HIDDEN TESTS"
HIDDEN_TESTS_MARK = "BEGIN HIDDEN TESTS"  # the part of the line that nbgrader itself looks for

ANSWER_PLACEHOLDER = "*Write your answer here: double-click this text and replace it with your own words.*"

MAX_GRADE_ID = 128  # width of the column in nbgrader's database
_MAX_CELL_ID = 64  # nbformat's limit


def nbgrader_metadata(role: Role, grade_id: str, points: float | None = None) -> dict[str, Any] | None:
    """nbgrader's cell metadata (version 3) of a role; None for a cell that nbgrader is not told about.

    The `checksum`, which only a stub has, is left to nbgrader's own ComputeChecksums.
    """
    if role is Role.CODE:
        return None
    graded = role in (Role.ANSWER, Role.VISIBLE_CHECKS, Role.HIDDEN_CHECK)
    metadata: dict[str, Any] = {
        "schema_version": 3,
        "cell_type": "markdown" if role in (Role.TEXT, Role.ANSWER) else "code",
        "grade": graded,
        "grade_id": grade_id,
        "locked": role in (Role.TEXT, Role.VISIBLE_CHECKS, Role.HIDDEN_CHECK),
        "solution": role in (Role.SOLUTION, Role.CLAIMS, Role.ANSWER),
        "task": False,
    }
    if graded:
        metadata["points"] = points
    return metadata


def numbered(role: Role, number: int) -> str:
    """The id of the `number`-th cell of a role, counted from 1; the first of an authored role needs no number."""
    if role in AUTHORED_ROLES:
        return role.value if number == 1 else f"{role.value}-{number}"
    return f"{role.value}-{number:02}"


def cell_id(identifier: str) -> str:
    """A stable cell id that nbformat accepts: the identifier itself, or its beginning and a digest when too long."""
    if len(identifier) <= _MAX_CELL_ID:
        return identifier
    import hashlib

    digest = hashlib.sha256(identifier.encode()).hexdigest()[:12]
    return f"{identifier[: _MAX_CELL_ID - len(digest) - 1]}-{digest}"
