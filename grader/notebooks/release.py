"""nbgrader's own steps from a solution notebook to the stub, and the settings that make its commands agree with ours.

Importing this module imports nbgrader (two seconds), so it is imported only where a notebook is built.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from nbgrader import preprocessors as steps
from traitlets import Dict, Unicode

from grader.course import find_root
from grader.notebooks.parsing import parse
from grader.notebooks.roles import ANSWER_PLACEHOLDER, Role

if TYPE_CHECKING:
    from nbformat import NotebookNode

NBGRADER_FEEDBACK = "nbgrader_feedback"
NBGRADER_GRADES = "nbgrader_grades.csv"
_UNNAMED = "the code of this cell"
_RAISE = 'raise NotImplementedError("write {}")'
_CODE_STUB = f"# YOUR CODE HERE\n{_RAISE.format(_UNNAMED)}"
_CLAIMS_STUB = '# YOUR ANSWERS HERE, one line for each claim, such as\n# claims["{claim}"] = True  # or False'
_DEFINITION = re.compile(r"(\s*)(?:async\s+)?(?:def|class)\s+(\w+)\s*[(\[:]")


class ClearSolutionsByName(steps.ClearSolutions):
    """nbgrader's ClearSolutions, whose stubs name what is to be written.

    A claims cell raises nothing: its dictionary of unanswered claims is a valid answer worth no points.
    """

    code_stub = Dict({"python": _CODE_STUB}).tag(config=True)
    text_stub = Unicode(ANSWER_PLACEHOLDER).tag(config=True)

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Replace the solution regions of one cell."""
        names = _region_names(cell.source, self.begin_solution_delimeter) if cell.cell_type == "code" else []
        original = cell.source
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader", {}).get("grade_id") == Role.CLAIMS.value:
            claim = next(iter(_claims(original)), "id_of_the_claim")
            cell.source = cell.source.replace(_CODE_STUB, _CLAIMS_STUB.format(claim=claim))
        for name in names:
            cell.source = cell.source.replace(_RAISE.format(_UNNAMED), _RAISE.format(name), 1)
        return cell, resources


# GenerateAssignment's own list, with our ClearSolutions in the place of nbgrader's.
ASSIGNMENT_STEPS = [
    steps.IncludeHeaderFooter,
    steps.InstantiateTests,
    steps.LockCells,
    ClearSolutionsByName,
    steps.ClearOutput,
    steps.CheckCellMetadata,
    steps.ComputeChecksums,
    steps.SaveCells,
    steps.ClearHiddenTests,
    steps.ClearMarkScheme,
    steps.ComputeChecksums,
    steps.CheckCellMetadata,
]


def stub_notebook(solution: NotebookNode) -> NotebookNode:
    """The stub of a solution notebook, which is left as it is. Nothing is written to a database."""
    from copy import deepcopy

    notebook = deepcopy(solution)
    resources: dict[str, Any] = {}
    for step in ASSIGNMENT_STEPS:
        if step is not steps.SaveCells:
            notebook, resources = step().preprocess(notebook, resources)
    return notebook


def configure(config: Any) -> None:
    """Settings for nbgrader's own commands, in the course's folder or in that of results: for `nbgrader_config.py`.

    `nbgrader generate_assignment` then writes the very stubs of `course build`, and formgrader lists the course's
    assignments wherever it runs. What a submission prints on stderr (a warning) no longer costs the points of the cell.
    nbgrader's feedback has a folder of its own: it skips a student whose folder is there, and `course grade` writes its
    own feedback into `feedback/`; so have the grades that it exports. Raises CourseError when there is no course.
    """
    config.CourseDirectory.source_directory = str(find_root() / "solutions")
    config.CourseDirectory.release_directory = "exercises"
    config.CourseDirectory.feedback_directory = NBGRADER_FEEDBACK
    config.ExportPlugin.to = NBGRADER_GRADES
    config.GenerateAssignment.preprocessors = ASSIGNMENT_STEPS
    config.IgnorePattern.enabled = True
    config.IgnorePattern.pattern = r"(?s).*"


def _region_names(source: str, begin: str) -> list[str]:
    """For each solution region, what it completes: `Model.forward` for a method's body."""
    lines = source.split("\n")
    return [_enclosing(lines, number) for number, line in enumerate(lines) if begin in line]


def _enclosing(lines: list[str], number: int) -> str:
    indent = len(lines[number]) - len(lines[number].lstrip())
    names: list[str] = []
    for line in reversed(lines[:number]):
        found = _DEFINITION.match(line)
        if found and len(found[1]) < indent:
            names.insert(0, found[2])
            indent = len(found[1])
    return ".".join(names) or _UNNAMED


def _claims(source: str) -> list[str]:
    """Ids of the claims: the keywords of `claims.update(…)`."""
    return [
        keyword.arg
        for node in ast.walk(parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update"
        for keyword in node.keywords
        if keyword.arg
    ]
