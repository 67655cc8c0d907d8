"""CSV files that a platform wrote and will read again: the same encoding, delimiter and byte order mark both ways."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from grader.platforms.points import ExportError

_BYTE_ORDER_MARK = "\ufeff"


def read_text(path: Path, not_utf8: str) -> tuple[str, bool]:
    """The text without its byte order mark, and whether it had one.

    Raises ExportError with `not_utf8`, in which {path} stands for the file, and OSError.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ExportError(not_utf8.format(path=path)) from None
    return text.removeprefix(_BYTE_ORDER_MARK), text.startswith(_BYTE_ORDER_MARK)


def parse_rows(text: str, delimiter: str = ",") -> list[tuple[str, ...]]:
    """The rows in which anything stands."""
    return [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]


def format_rows(rows: Iterable[Sequence[str]], *, delimiter: str = ",", has_mark: bool = False) -> str:
    """The text of a file with these rows."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return (_BYTE_ORDER_MARK if has_mark else "") + buffer.getvalue()


def parse_maximum(cell: str) -> float | None:
    """The most points that a cell gives, with a decimal point or comma; None for 0 or no number."""
    try:
        return float(cell.replace(",", ".")) or None
    except ValueError:
        return None
