"""The cells of a percent script, so that a reference or a wrong answer can be read like a student's notebook."""

from __future__ import annotations

import re

from grader.checking.outcome import SubmissionStatus
from grader.notebooks.cells import RawCell, SubmissionError, writable_text
from grader.notebooks.roles import ACTIVE_IN_NOTEBOOK, Role

_HEADER = re.compile(r"# %%(?=\s|$)(.*)")
_TAGS = re.compile(r"tags=\[([^\]]*)\]")


def is_percent_script(data: bytes) -> bool:
    """Whether bytes are a script with percent cells, rather than a notebook's JSON."""
    return not data.lstrip().startswith(b"{") and re.search(rb"^# %%(?:\s|$)", data, re.MULTILINE) is not None


def script_cells(data: bytes) -> list[RawCell]:
    """The cells that running the script would run, and its written answers.

    As for Python, all that is not a comment is code, whatever the header above it says: cells of text, and cells for
    the notebook only, hold nothing but comments, and what follows their comments is a cell of its own.
    Raises SubmissionError when it is not text.
    """
    try:
        text = writable_text(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"The script is not text in UTF-8 (byte {error.start + 1})."
        raise SubmissionError(SubmissionStatus.UNREADABLE, message) from None
    cells: list[RawCell] = []
    header, lines = "", list[str]()
    for line in [*text.split("\n"), "# %%"]:
        found = _HEADER.match(line)
        if not found:
            lines.append(line)
            continue
        cells.extend(_split(len(cells) + 1, header, lines))
        header, lines = found[1], []
    return cells


def _split(number: int, header: str, lines: list[str]) -> list[RawCell]:
    tags = {tag.strip(" \"'") for tag in (_TAGS.search(header) or ["", ""])[1].split(",")}
    comments: list[str] = []
    if "[markdown]" in header or ACTIVE_IN_NOTEBOOK in tags:
        count = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
        comments, lines = lines[:count], lines[count:]
    cells: list[RawCell] = []
    if Role.ANSWER.value in tags:
        answer = "\n".join(line.removeprefix("#").removeprefix(" ") for line in comments).strip()
        cells.append(RawCell(number, False, answer, grade=True, solution=True, grade_id=Role.ANSWER.value))
    code = "\n".join(lines).strip("\n")
    if code.strip():
        cells.append(RawCell(number + len(cells), True, code))
    return cells
