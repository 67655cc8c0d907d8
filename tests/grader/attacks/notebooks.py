"""Attacks by the notebook file itself: what reading, grading and showing it must survive."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import load_course
from grader.gradebook.feedback import render_feedback
from grader.grading.collect import CollectedSubmission
from grader.grading.submission_grading import Grader
from tests.grader.attacks.arena import Arena
from tests.grader.attacks.honest import answer_code
from tests.grader.attacks.model import NUMPY, Answer
from tests.grader.attacks.table import Row

Cell = dict[str, Any]
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e"


@dataclass(frozen=True)
class NotebookAttack:
    """A hostile file: `build` makes it, `points` is what it is worth, `statuses` are those it may get."""

    id: str
    tries: str
    build: Callable[[], bytes]
    points: float = 0.0
    statuses: tuple[SubmissionStatus, ...] = (SubmissionStatus.GRADED,)


def _cell(source: Any, kind: str = "code", **nbgrader: Any) -> Cell:
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    return {"cell_type": kind, "metadata": metadata, "source": source, "outputs": [], "execution_count": 1}


def _notebook(*cells: Cell, **more: Any) -> bytes:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}).encode()


def _script() -> bytes:
    code = f"print({SCRIPT!r})\nraise type({SCRIPT!r}, (Exception,), dict())({SCRIPT!r})"
    shown = {"output_type": "display_data", "data": {"text/html": SCRIPT}, "metadata": {}}
    raising = f"def classification_metrics(*arguments, **keywords):\n    raise ValueError({SCRIPT!r})"
    cells = [_cell(code), _cell(SCRIPT, "markdown"), _cell(raising)]
    cells[0]["outputs"] = [shown]
    return _notebook(*cells, metadata={"title": SCRIPT, "authors": [{"name": SCRIPT}]})


def _old_metadata() -> bytes:
    old: dict[str, Any] = dict(schema_version=1, grade=True, grade_id="x", points=1000, checksum="0", solution=True)
    right = _cell(answer_code(NUMPY, Answer.RIGHT), **old)
    odd = _cell("1", grade_id="../../gradebook", schema_version="@", points=float("nan"), locked="yes")
    return _notebook(
        right, odd, _cell("2", **{**old, "schema_version": 99}), metadata={"kernelspec": 7, "nbgrader": []}
    )


def _own_checks() -> bytes:
    stub = json.loads(load_course().exercise(NUMPY).stub_path.read_text(encoding="utf-8"))
    for cell in stub["cells"]:
        grading = cell["metadata"].get("nbgrader", {})
        if grading.get("grade"):
            cell["source"] = "print('all tests passed')"
            grading.update(points=1000, checksum="0" * 32, locked=False)
    stub["cells"] += [_cell("assert True", grade=True, locked=True, grade_id="more", points=1000, schema_version=3)]
    return json.dumps(stub).encode()


ATTACKS = (
    NotebookAttack("script-in-notebook", "show scripts to whoever reads the feedback", _script),
    NotebookAttack(
        "script-in-an-error",
        "show scripts by code that cannot be parsed",
        lambda: _notebook(_cell(f"{SCRIPT} = 1")),
        statuses=(SubmissionStatus.SYNTAX_ERROR,),
    ),
    NotebookAttack("old-metadata", "stop the class with metadata of other versions", _old_metadata, points=10),
    NotebookAttack(
        "own-checks",
        "replace the checks in the notebook by passing ones worth 1000 points",
        _own_checks,
        statuses=(SubmissionStatus.GRADED, SubmissionStatus.UNTOUCHED),
    ),
    NotebookAttack(
        "deep-notebook",
        "hand in JSON that is nested 100,000 deep",
        lambda: b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b', "nbformat": 4}',
        statuses=(SubmissionStatus.UNREADABLE,),
    ),
    NotebookAttack(
        "deep-code",
        "hand in code that the parser cannot follow",
        lambda: _notebook(*map(_cell, ["x = " + "(" * 5000 + ")" * 5000, "-" * 50_000 + "1", "a." * 50_000 + "b"])),
        statuses=(SubmissionStatus.GRADED, SubmissionStatus.SYNTAX_ERROR, SubmissionStatus.NO_CODE),
    ),
    NotebookAttack(
        "many-cells",
        "hand in 2,000 cells, each with an error of 10,000 letters",
        lambda: _notebook(*[_cell("raise Exception('x' * 10_000)")] * 2_000),
    ),
    NotebookAttack(
        "too-many-cells",
        "hand in 100,000 cells",
        lambda: _notebook(*[_cell("1")] * 100_000),
        statuses=(SubmissionStatus.UNREADABLE,),
    ),
)


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.active: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object") or any(name.startswith("on") for name, _ in attributes):
            self.active.append(tag)


def run(arena: Arena, attack: NotebookAttack) -> tuple[Row, list[str]]:
    """Read, grade and show one notebook; a row for the table, and what went wrong."""
    path = arena.place / f"{attack.id}.ipynb"
    path.write_bytes(attack.build())
    exercise = arena.course.exercise(NUMPY)
    collected = CollectedSubmission(attack.id, NUMPY, path.name, path)
    grader = Grader(arena.engine, None)
    try:
        read = grader.read(exercise, collected)
        record = read if isinstance(read, ResultRecord) else grader.grade(exercise, collected, read)
        page = render_feedback(record, exercise, arena.course)
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
        return Row(attack.id, attack.tries, f"THE GRADER RAISED {raised}", 0, attack.points, 0, " SUCCEEDED"), [raised]
    finally:
        path.unlink()
    faults = []
    if record.status not in attack.statuses:
        faults.append(f"its status is {record.status.value}: {record.message[:200]}")
    if record.points != attack.points:
        faults.append(f"it earned {record.points:g} points instead of {attack.points:g}")
    faults += [f"the page holds <{tag}>" for tag in _Tags(page).active]
    faults += ["the page holds terminal codes"] * ("\x1b" in page or "\u202e" in page)
    if len(page) > 1 << 20:
        faults.append(f"the page takes {len(page) >> 20} MB")
    got = record.message or (f"{record.status.value}; a page of {len(page) >> 10} KB without anything active")
    mark = " SUCCEEDED" if faults else ""
    return Row(attack.id, attack.tries, got, record.points, attack.points, record.seconds, mark), faults
