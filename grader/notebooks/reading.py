"""Opening what a student handed in: only a plain file, only so much of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from grader.checking.outcome import SubmissionStatus
from grader.notebooks.cells import RawCell, SubmissionError, notebook_cells
from grader.notebooks.percent import is_percent_script, script_cells

MAX_BYTES = 8 * 1024 * 1024


def read_cells(path_or_bytes: Path | str | bytes, max_bytes: int) -> tuple[bytes, list[RawCell], list[str]]:
    """The bytes, the cells of the notebook or percent script that they are, and notes.

    Raises SubmissionError when there is no file, it is not a plain one, it is too large, or it is no notebook.
    """
    if isinstance(path_or_bytes, bytes):
        data, is_script = path_or_bytes, is_percent_script(path_or_bytes)
    else:
        path = Path(path_or_bytes)
        data, is_script = _file_bytes(path, max_bytes), path.suffix == ".py"
    if len(data) > max_bytes:
        message = (
            f"The file is larger than the {max_bytes / 2**20:.3g} MiB that are read. Clear all outputs "
            "(in Jupyter: Edit, Clear Outputs of All Cells), save, and hand it in again."
        )
        raise SubmissionError(SubmissionStatus.UNREADABLE, message)
    if is_script:
        return data, script_cells(data), []
    cells, notes = notebook_cells(data)
    return data, cells, notes


def _file_bytes(path: Path, max_bytes: int) -> bytes:
    """The file's content, or a little more than the limit of it. Only a plain file is opened: no link, no pipe."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    refused = SubmissionError(
        SubmissionStatus.REFUSED, f"{path.name} is not a plain file; hand in the notebook itself."
    )
    try:
        if path.is_symlink():
            raise refused
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise refused
            return file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise SubmissionError(SubmissionStatus.MISSING, f"There is no file {path.name}.") from None
    except IsADirectoryError:
        raise refused from None
    except (OSError, ValueError) as error:
        message = f"{path.name} cannot be opened: {getattr(error, 'strerror', None) or error}."
        raise SubmissionError(SubmissionStatus.UNREADABLE, message) from None
