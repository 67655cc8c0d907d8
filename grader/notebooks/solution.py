"""From a reference (percent script) and its checks to the solution notebook, with nbgrader's metadata."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from grader.notebooks.checks_index import ChecksIndexError, IndexedCheck, read_checks_index
from grader.notebooks.roles import (
    ACTIVE_IN_NOTEBOOK,
    AUTHORED_ROLES,
    BEGIN_HIDDEN_TESTS,
    BEGIN_SOLUTION,
    BUILD_TAGS,
    END_HIDDEN_TESTS,
    END_SOLUTION,
    MAX_GRADE_ID,
    Role,
    cell_id,
    nbgrader_metadata,
    numbered,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from grader.course import Exercise

KIND_NAMES = {"question": "Interview question", "coding": "Coding task", "milestone": "Capstone milestone"}
METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_COMMENT_WIDTH = 90  # fits a narrow browser window without scrolling
_GRADE_ID = re.compile(r"[A-Za-z0-9_-]+")


class BuildError(ValueError):
    """A notebook cannot be built; the message names the file, the line where known, and the remedy."""


def solution_notebook(exercise: Exercise) -> NotebookNode:
    """The solution notebook of an exercise: every cell of its reference, and one cell for each hidden check.

    Raises BuildError when the reference or the checks break a rule of the authoring contract.
    """
    import jupytext
    from nbformat import from_dict

    path = exercise.reference_path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"{path}: cannot be read: {error}") from error
    try:
        checks = read_checks_index(exercise.checks_path)
    except ChecksIndexError as error:
        raise BuildError(str(error)) from error
    authored = [cell for cell in jupytext.reads(text, fmt="py:percent").cells if cell.source.strip()]
    builder = _Builder(exercise, text, checks)
    cells: list[NotebookNode] = []
    for cell in authored:
        role = builder.role(cell)
        cells.append(builder.authored(cell, role))
        if role is Role.VISIBLE_CHECKS:
            cells.extend(builder.hidden(check) for check in checks if not check.visible)
    builder.verify(cells)
    notebook: NotebookNode = from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})
    return notebook


class _Builder:
    """Builds the cells of one exercise; counts them, to number their ids, and to verify them at the end."""

    def __init__(self, exercise: Exercise, text: str, checks: tuple[IndexedCheck, ...]) -> None:
        self._exercise = exercise
        self._lines = text.splitlines()
        self._checks = checks
        self._counts: Counter[Role] = Counter()

    def _error(self, message: str, cell: NotebookNode | None = None) -> BuildError:
        path = self._exercise.reference_path
        if cell is None:
            return BuildError(f"{path}: {message}")
        first = cell.source.strip().splitlines()[0]
        line = next((number for number, text in enumerate(self._lines, start=1) if text.endswith(first)), 1)
        return BuildError(f"{path}:{line}: {message}")

    def role(self, cell: NotebookNode) -> Role:
        """The role of an authored cell. Raises BuildError for a tag in the wrong place."""
        tags = cell.metadata.get("tags", [])
        roles = [role for role in AUTHORED_ROLES if role.value in tags]
        if len(roles) > 1:
            raise self._error(f"a cell has one role, not {' and '.join(role.value for role in roles)}", cell)
        role = roles[0] if roles else Role.TEXT if cell.cell_type == "markdown" else Role.CODE
        markdown = role in (Role.TEXT, Role.ANSWER)
        if markdown != (cell.cell_type == "markdown"):
            raise self._error(f"the role {role.value} needs a {'markdown' if markdown else 'code'} cell", cell)
        if role is Role.VISIBLE_CHECKS and ACTIVE_IN_NOTEBOOK not in tags:
            raise self._error(f'tag the visible checks "{ACTIVE_IN_NOTEBOOK}" too, and write them as comments', cell)
        begins, ends = (cell.source.count(mark) for mark in (BEGIN_SOLUTION, END_SOLUTION))
        expected = role in (Role.SOLUTION, Role.CLAIMS)
        if begins != ends or (begins > 0) != expected:
            where = f"a {role.value} cell" if expected else f"outside a solution cell ({role.value})"
            raise self._error(f"{where} has {begins} {BEGIN_SOLUTION} and {ends} {END_SOLUTION}", cell)
        return role

    def authored(self, cell: NotebookNode, role: Role) -> NotebookNode:
        """The notebook's cell for an authored one; the first gets the line that course.toml says about the exercise."""
        source = cell.source
        if not self._counts:
            source = self._with_facts(cell)
        points = {
            Role.ANSWER: self._exercise.written_points,
            Role.VISIBLE_CHECKS: sum(check.points for check in self._checks if check.visible),
        }.get(role)
        tags = [tag for tag in cell.metadata.get("tags", []) if tag not in BUILD_TAGS]
        return self._cell(role, source, points=points, tags=tags)

    def hidden(self, check: IndexedCheck) -> NotebookNode:
        """The cell of a hidden check: students see its points and title, nbgrader's kernel also the call."""
        where = f"{self._exercise.checks_path}:{check.line}"
        if not _GRADE_ID.fullmatch(check.name) or len(check.name) > MAX_GRADE_ID:
            raise BuildError(f"{where}: {check.name} is no id for nbgrader: at most {MAX_GRADE_ID} letters a-z, 0-9, _")
        points = "1 point" if check.points == 1 else f"{check.points:g} points"
        headline = f"# Hidden check, {points}: {check.title}"
        lines = [
            *textwrap.wrap(headline, _COMMENT_WIDTH, subsequent_indent="# ", break_long_words=False),
            BEGIN_HIDDEN_TESTS,
            "from grader.checking.in_kernel import run_check",
            f'run_check("{self._exercise.id}", "{check.name}", globals())',
            END_HIDDEN_TESTS,
        ]
        return self._cell(Role.HIDDEN_CHECK, "\n".join(lines), points=check.points, grade_id=check.name)

    def _cell(
        self, role: Role, source: str, *, points: float | None = None, tags: list[str] | None = None, grade_id: str = ""
    ) -> NotebookNode:
        from nbformat import from_dict

        self._counts[role] += 1
        identifier = grade_id or numbered(role, self._counts[role])
        metadata: dict[str, Any] = {}
        nbgrader = nbgrader_metadata(role, identifier, points)
        if nbgrader is not None:
            metadata["nbgrader"] = nbgrader
        if tags:
            metadata["tags"] = tags
        cell: dict[str, Any] = {
            "cell_type": "markdown",
            "id": cell_id(identifier),
            "metadata": metadata,
            "source": source,
        }
        if role not in (Role.TEXT, Role.ANSWER):
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        node: NotebookNode = from_dict(cell)
        return node

    def _with_facts(self, cell: NotebookNode) -> str:
        title, _, rest = cell.source.lstrip().partition("\n")
        if cell.cell_type != "markdown" or not title.startswith("# "):
            raise self._error("the first cell must be markdown and begin with the title, `# # Title`", cell)
        return f"{title}\n\n{facts(self._exercise)}\n\n{rest.lstrip()}".rstrip()

    def verify(self, cells: list[NotebookNode]) -> None:
        """Check the notebook as a whole. Raises BuildError."""
        for role in (Role.VISIBLE_CHECKS, Role.ANSWER, Role.CLAIMS):
            if self._counts[role] > 1:
                raise self._error(f"{self._counts[role]} cells are tagged {role.value}; one is possible")
        if not self._counts[Role.SOLUTION] + self._counts[Role.CLAIMS]:
            raise self._error("no cell is tagged solution or claims: there is nothing for a student to write")
        if not self._counts[Role.VISIBLE_CHECKS]:
            raise self._error("no cell is tagged visible-checks")
        if not any(check.visible for check in self._checks):
            raise BuildError(f"{self._exercise.checks_path}: no check is @visible, so the visible cell has no points")
        if bool(self._counts[Role.ANSWER]) != (self._exercise.written_points > 0):
            said = f"{self._exercise.written_points:g} written points in course.toml"
            raise self._error(f"{self._counts[Role.ANSWER]} cells are tagged answer, but there are {said}")
        total = sum(check.points for check in self._checks)
        if abs(total - self._exercise.points) > 1e-9:
            where = self._exercise.checks_path
            raise BuildError(
                f"{where}: the checks' points sum to {total:g}; course.toml says {self._exercise.points:g}"
            )
        repeated = [id for id, count in Counter(cell.id for cell in cells).items() if count > 1]
        if repeated:
            raise self._error(f"two cells have the id {repeated[0]}; rename the check")


def facts(exercise: Exercise) -> str:
    """What course.toml says about an exercise, as one line of markdown."""
    kind = KIND_NAMES[exercise.kind.value]
    points = f"{exercise.points:g} points"
    if exercise.written_points:
        points += f" by checks and {exercise.written_points:g} for the written answer"
    return f"**{kind}** · difficulty {exercise.difficulty} of 5 · about {exercise.minutes} minutes · {points}"
