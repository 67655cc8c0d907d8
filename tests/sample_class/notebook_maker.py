"""A student's notebook in the making: the stub as it was handed out, filled in, run and saved as a student would."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

EXERCISES = Path(__file__).resolve().parents[2] / "exercises"
_SAVED_BY_JUPYTER = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": "3.12.4",
}


class Notebook:
    """One student's notebook for one exercise, to be filled in step by step.

    Cells of the stub are named by nbgrader's id (`solution`, `claims`, `answer`, `visible-checks`, `code-01`, ...).
    """

    def __init__(self, student: str, exercise: str) -> None:
        self.student, self.exercise = student, exercise
        self._notebook = json.loads((EXERCISES / f"{exercise}.ipynb").read_text(encoding="utf-8"))
        self._notebook["metadata"]["language_info"] = _SAVED_BY_JUPYTER
        self._scratch_cells = 0

    @property
    def path(self) -> Path:
        """Where it belongs in nbgrader's folder of submissions."""
        return Path(self.student, f"{self.exercise}.ipynb")

    def write(self, function: str, body: str) -> None:
        """Put a body in the place of the stub's `raise NotImplementedError("write <function>")`."""
        blank = re.compile(rf'( *)# YOUR CODE HERE\n *raise NotImplementedError\("write {re.escape(function)}"\)')
        for cell in self._code_cells():
            found = blank.search(cell["source"])
            if found:
                new = indent(dedent(body).strip("\n"), found[1])
                cell["source"] = cell["source"][: found.start()] + new + cell["source"][found.end() :]
                return
        raise LookupError(f"{self.exercise}: the stub has no place for {function}")

    def claim(self, **claims: bool) -> None:
        """Answer claims, each on a line of its own below what the stub says."""
        cell = self._cell("claims")
        cell["source"] += "".join(f"\nclaims[{name!r}] = {truth}" for name, truth in claims.items())

    def answer(self, text: str) -> None:
        """Give the written answer."""
        self._cell("answer")["source"] = dedent(text).strip()

    def rewrite(self, cell_id: str, source: str) -> None:
        """Put other code into a cell."""
        self._cell(cell_id)["source"] = dedent(source).strip()

    @property
    def scratch_id(self) -> str:
        """Id of the latest cell that `scratch` added."""
        name = f"{self.student}/{self.exercise}/{self._scratch_cells}"
        return hashlib.sha256(name.encode()).hexdigest()[:8]

    def scratch(self, after: str, source: str, printed: str = "", value: str = "") -> None:
        """Add a cell of the student's own below another one, with what it printed and the value of its last line."""
        self._scratch_cells += 1
        cell = {
            "cell_type": "code",
            "execution_count": None,
            "id": self.scratch_id,
            "metadata": {},
            "outputs": [*_printed(printed), *_value(value)],
            "source": dedent(source).strip(),
        }
        cells = self._notebook["cells"]
        cells.insert(cells.index(self._cell(after)) + 1, cell)

    def failed(self, cell_id: str, error: str, message: str, line: str) -> None:
        """Leave an error message under a cell, as Jupyter shows it."""
        heading = f"\x1b[31m{error}\x1b[39m: {message}" if message else f"\x1b[31m{error}\x1b[39m"
        trace = [f"\x1b[31m{'-' * 75}\x1b[39m", f"\x1b[32m----> 1\x1b[39m {line}", heading]
        self._cell(cell_id)["outputs"] = [
            {"output_type": "error", "ename": error, "evalue": message, "traceback": trace}
        ]

    def to_json(self) -> str:
        """The notebook as Jupyter writes it, after running every code cell from the top."""
        for count, cell in enumerate(self._code_cells(), start=1):
            cell["execution_count"] = count
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
        cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in self._cells()]
        return json.dumps({**self._notebook, "cells": cells}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"

    def _cell(self, cell_id: str) -> dict[str, Any]:
        found = [cell for cell in self._cells() if cell["id"] == cell_id]
        if not found:
            raise LookupError(f"{self.exercise}: the stub has no cell {cell_id}")
        return found[0]

    def _code_cells(self) -> list[dict[str, Any]]:
        return [cell for cell in self._cells() if cell["cell_type"] == "code"]

    def _cells(self) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = self._notebook["cells"]
        for cell in cells:
            if isinstance(cell["source"], list):
                cell["source"] = "".join(cell["source"])
        return cells


def _printed(text: str) -> list[dict[str, Any]]:
    text = dedent(text).strip("\n")
    lines = f"{text}\n".splitlines(keepends=True)
    return [{"name": "stdout", "output_type": "stream", "text": lines}] if text else []


def _value(text: str) -> list[dict[str, Any]]:
    result = {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": {"text/plain": [text]}}
    return [result] if text else []
