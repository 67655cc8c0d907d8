"""Files on their way out: safe names for any student, and pages written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path, PurePosixPath

_PLAIN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|.*-[0-9a-f]{8}")
_NAME_LENGTH = 48
_PARTIAL_NAME = re.compile(r"\..+\.(\d{1,10})\.part(?:-journal)?", re.DOTALL)  # SQLite's journal of one as well
_LONGEST_STUDENT_ID = 128  # nbgrader's database keeps no longer one


def safe_name(text: str) -> str:
    """A file name for any text, different for different texts on every file system, the text itself where it is plain.

    Plain is short, lower case and made of letters, digits, dots, hyphens and underscores. Anything else is reduced to
    these and gets a hash, so that `Anna` and `anna` do not share a file where case does not count.
    """
    if _PLAIN_NAME.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text
    reduced = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:_NAME_LENGTH]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{reduced or 'student'}-{digest}"


def is_folder_name(text: str) -> bool:
    """Whether a student's id can be used unchanged as one folder's name and as an id in nbgrader's database."""
    return (
        0 < len(text) <= _LONGEST_STUDENT_ID
        and text.isprintable()
        and text == text.strip()
        and not text.startswith(".")
        and not any(character in text for character in "/\\")
    )


def feedback_path(student: str, topic: str, slug: str) -> PurePosixPath:
    """Where the feedback page of a student and an exercise lies, relative to the folder of all feedback."""
    return PurePosixPath(safe_name(student), safe_name(topic), f"{safe_name(slug)}.html")


def partial_path(path: Path) -> Path:
    """Where this process writes a file before it gets its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, with its folders, so that readers see the old or the new one and never half.

    Raises OSError when it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what processes that were killed left half written below a folder; a living one's files stay."""
    for here, _, names in os.walk(folder):
        for name in names:
            partial = _PARTIAL_NAME.fullmatch(name)
            if partial and not _is_alive(int(partial[1])):
                with contextlib.suppress(OSError):  # it takes room, and nothing else
                    os.unlink(os.path.join(here, name))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
