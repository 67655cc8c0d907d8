"""The stub of a student's bundle: that of the course, without the cells of the hidden checks.

The cells of hidden checks carry the names of the checks (nbgrader finds them by these), and a name can give an idea
away. One cell of text says instead what the hidden checks ask for, in the words that students see in their feedback.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from grader.gradebook.wording import format_points
from grader.notebooks.checks_index import IndexedCheck

HEADLINE = "## Hidden checks\n\nWhoever grades this notebook runs these as well:\n"
_LINE = "- {title} ({points})"
_CELL_ID = "hidden-checks"


def student_stub(stub: bytes, checks: Sequence[IndexedCheck]) -> bytes:
    """The stub as a student gets it, in the same form as nbgrader writes notebooks."""
    notebook = json.loads(stub)
    hidden = {check.name for check in checks if not check.visible}
    cells: list[dict[str, Any]] = []
    told = False
    for cell in notebook["cells"]:
        if _grade_id(cell) not in hidden:
            cells.append(cell)
        elif not told:
            cells.append(_told(checks))
            told = True
    text = json.dumps({**notebook, "cells": cells}, indent=1, sort_keys=True, ensure_ascii=False)
    return f"{text}\n".encode()


def statement_hash(stub: bytes, checks: Sequence[IndexedCheck]) -> str:
    """SHA-256 of what the stub asks for: the text of its cells, those of hidden checks left out."""
    hidden = {check.name for check in checks if not check.visible}
    sources = [
        [cell["cell_type"], "".join(cell["source"])]
        for cell in json.loads(stub)["cells"]
        if _grade_id(cell) not in hidden
    ]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def _grade_id(cell: dict[str, Any]) -> str:
    grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
    return str(grade_id)


def _told(checks: Sequence[IndexedCheck]) -> dict[str, Any]:
    lines = [_LINE.format(title=check.title, points=_points(check.points)) for check in checks if not check.visible]
    source = "\n".join([HEADLINE, *lines])
    return {
        "cell_type": "markdown",
        "id": _CELL_ID,
        "metadata": {"deletable": False, "editable": False},
        "source": source.splitlines(keepends=True),
    }


def _points(points: float) -> str:
    return "1 point" if points == 1 else f"{format_points(points)} points"
