"""The cells of a notebook as a student handed it in, read with `json` alone and trusted in nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from grader.checking.outcome import SubmissionStatus

MAX_CELLS = 2000

_GRADE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LOOKS_LIKE = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive or an Office document"),
    (b"<", "a web page (HTML)"),
    (b"version https://git-lfs", "a pointer of Git LFS, without the file it points to"),
)
_SAVE_AGAIN = "Open it in Jupyter, save it, and hand in that file (it ends in .ipynb)."


class SubmissionError(Exception):
    """A submission that cannot be graded: what became of it, and a message that its student understands."""

    def __init__(self, status: SubmissionStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class RawCell:
    """One cell. `number` counts all cells of the notebook from 1; a flag is set only where the metadata says `true`."""

    number: int
    is_code: bool
    source: str
    grade: bool = False
    locked: bool = False
    solution: bool = False
    grade_id: str = ""

    @property
    def is_locked_check(self) -> bool:
        """Whether the metadata says that this is one of our check cells."""
        return self.grade and self.locked and not self.solution

    @property
    def is_answer(self) -> bool:
        """Whether the metadata says that this is the cell of a written answer."""
        return not self.is_code and self.grade and self.solution and bool(self.grade_id)


def notebook_cells(data: bytes) -> tuple[list[RawCell], list[str]]:
    """The code and markdown cells of a notebook, and notes on what could not be read.

    Raises SubmissionError when this is not a notebook.
    """
    notebook = _load(data)
    if not isinstance(notebook, dict):
        raise _unreadable(f"it is JSON, but {_described(notebook)} instead of a notebook. {_SAVE_AGAIN}")
    if "cells" not in notebook and isinstance(notebook.get("worksheets"), list):
        raise _unreadable(f"it is in the old notebook format of IPython (version 3 or earlier). {_SAVE_AGAIN}")
    if not isinstance(notebook.get("cells"), list):
        raise _unreadable(f"it is JSON, but has no list of cells. {_SAVE_AGAIN}")
    if len(notebook["cells"]) > MAX_CELLS:
        raise _unreadable(f"it has {len(notebook['cells']):,} cells; at most {MAX_CELLS:,} are read")
    cells: list[RawCell] = []
    problems: Counter[str] = Counter()
    for number, raw in enumerate(notebook["cells"], start=1):
        kind = raw.get("cell_type") if isinstance(raw, dict) else None
        if kind in ("code", "markdown"):
            source = _source(raw.get("source"))
            if source is None:
                problems["without readable text"] += 1
            else:
                cells.append(_cell(number, kind == "code", source, raw.get("metadata")))
        elif kind != "raw":
            problems["of no known type"] += 1
    return cells, [_left_out(count, what) for what, count in problems.items()]


def writable_text(text: str) -> str:
    """Text that can be written anywhere: lone surrogates replaced, line ends as `\\n`."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cell(number: int, is_code: bool, source: str, metadata: Any) -> RawCell:
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if not isinstance(nbgrader, dict):
        return RawCell(number, is_code, source)
    grade_id = nbgrader.get("grade_id")
    return RawCell(
        number,
        is_code,
        source,
        grade=nbgrader.get("grade") is True,
        locked=nbgrader.get("locked") is True,
        solution=nbgrader.get("solution") is True,
        grade_id=grade_id if isinstance(grade_id, str) and _GRADE_ID.fullmatch(grade_id) else "",
    )


def _source(source: Any) -> str | None:
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return writable_text(source) if isinstance(source, str) else None


def _load(data: bytes) -> Any:
    """The parsed JSON. Numbers are of no interest: they are read as 0, so that a huge one costs nothing."""
    stripped = data.lstrip()
    if not stripped:
        raise _unreadable(f"it is empty. {_SAVE_AGAIN}")
    for beginning, what in _LOOKS_LIKE:
        if stripped.startswith(beginning):
            raise _unreadable(f"it is {what}, not a notebook. {_SAVE_AGAIN}")
    try:
        return json.loads(data, parse_int=_zero, parse_float=_zero, parse_constant=_zero)
    except UnicodeDecodeError as error:
        raise _unreadable(f"it is not text in UTF-8 (byte {error.start + 1}). {_SAVE_AGAIN}") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
            raise _unreadable(
                f"it ends in the middle, at line {error.lineno}: it was probably cut off while it was being saved, "
                f"downloaded or uploaded. {_SAVE_AGAIN}"
            ) from None
        where = f"line {error.lineno}, column {error.colno}"
        raise _unreadable(f"it is not valid JSON ({error.msg}, {where}). {_SAVE_AGAIN}") from None
    except RecursionError:
        raise _unreadable(f"its data are nested absurdly deep. {_SAVE_AGAIN}") from None


def _zero(_text: str) -> int:
    return 0


def _unreadable(reason: str) -> SubmissionError:
    return SubmissionError(SubmissionStatus.UNREADABLE, f"The file could not be read as a notebook: {reason}")


def _left_out(count: int, what: str) -> str:
    return f"1 cell {what} was left out" if count == 1 else f"{count} cells {what} were left out"


def _described(value: Any) -> str:
    return {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}.get(type(value), "a number")
