"""Finding the submissions in what was handed in: nbgrader's folder, a flat folder, or a zip of either.

Names are hostile until proven otherwise: nothing outside the folder is followed, no name of a student's decides where
anything is written, and what is wrong with one file concerns nobody but its student.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from grader.checking.outcome import SubmissionStatus
from grader.course import Exercise
from grader.gradebook.files import safe_name
from grader.notebooks.reading import MAX_BYTES

MAX_ARCHIVE_FILES = 50_000
MAX_ARCHIVE_BYTES = 4 * 1024**3  # of notebooks, unpacked, each counted up to MAX_BYTES
MAX_NAME_BYTES = 200
_NOT_SUBMISSIONS = frozenset({".ipynb_checkpoints", ".git", "__pycache__", "__MACOSX"})
# What browsers, Jupyter and file managers add to the name of a copy: " (1)", "(1)", "-Copy1", " - Copy (2)", " copy 3".
_MARK_OF_A_COPY = re.compile(r"(?: ?\(\d{1,3}\)|[ _-]+copy[ _-]?\d{0,3})+$", re.IGNORECASE)
_BROKEN_ENTRY = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError)
_BROKEN_DATA = (zlib.error, lzma.LZMAError)

REFUSED_NAME = "The name {name!r} is not safe to use: {reason}. Rename it and grade again."
REFUSED_LINK = "{name!r} is a link to another place; only real files are read."
UNKNOWN_NAME = "The name {name!r} matches no exercise. Rename it to <student>_<exercise>.ipynb and grade again."
CANNOT_BE_OPENED = "{name!r} cannot be opened: {reason}."
DUPLICATE_OF = "A second notebook of this student for this exercise; {first!r} counts."
MISSING = "No notebook was handed in for this exercise."
MISSING_UNDER_THIS_NAME = "No notebook of this name was handed in for this exercise; there are others: {names}."


class CollectError(ValueError):
    """What was given is no folder or zip of submissions."""


@dataclass(frozen=True)
class CollectedSubmission:
    """One notebook that was handed in, or the reason why it does not count.

    `status` is None when it is to be graded. `source` is its name relative to the folder; `path` is the file.
    """

    student: str
    exercise: str
    source: str
    path: Path | None = None
    status: SubmissionStatus | None = None
    message: str = ""


@dataclass(frozen=True)
class _File:
    """A notebook by its name below the folder, wherever it is kept; `refused` says why it must not be opened."""

    parts: tuple[str, ...]
    path: Path | None = None
    entry: zipfile.ZipInfo | None = None
    refused: str = ""

    @property
    def name(self) -> str:
        return _shown("/".join(self.parts))

    @property
    def stem(self) -> str:
        return PurePosixPath(self.parts[-1]).stem


def canonical_student(name: str) -> str:
    """One spelling for one student: Unicode's composed form, no spaces around."""
    return unicodedata.normalize("NFC", name).strip()


def unsafe_reason(name: str) -> str:
    """Why a student's name cannot be used as one; empty when it can."""
    if not name or name in (".", ".."):
        return "it is empty or a path"
    if "/" in name or "\\" in name or "\0" in name:
        return "it holds a path"
    categories = {unicodedata.category(character) for character in name}
    if "Cs" in categories:
        return "it is not text in UTF-8"
    if categories & {"Cc", "Cf", "Zl", "Zp"}:
        return "it holds invisible characters"
    if len(name.encode()) > MAX_NAME_BYTES:
        return "it is too long"
    return ""


def exercise_of(stem: str, exercises: Sequence[Exercise], topic: str = "") -> Exercise | None:
    """The exercise a file name stands for; browsers' and systems' marks of a copy are ignored."""
    plain = _without_mark(stem).casefold()
    candidates = [exercise for exercise in exercises if exercise.slug.casefold() == plain]
    in_topic = [exercise for exercise in candidates if exercise.topic == topic]
    return (in_topic or candidates or [None])[0]


def collect(
    place: Path, exercises: Sequence[Exercise], *, unpacked: Path, course: Sequence[Exercise] = ()
) -> list[CollectedSubmission]:
    """All submissions in a folder or zip, sorted by student and exercise; what cannot count says why.

    For exercises that somebody handed in, everybody else gets an entry with status MISSING. Notebooks in a zip are
    written into the folder `unpacked`, which is emptied first. `course` lists exercises that are not to be graded, but
    may be among the files. Raises CollectError when there is no notebook of the course at all.
    """
    known = [*exercises, *(exercise for exercise in course if exercise not in exercises)]
    if place.is_dir():
        files, students = _in_folder(place)
        found = list(_submissions(files, known))
    elif place.is_file():
        found, students = _from_zip(place, known, unpacked)
    else:
        raise CollectError(f"{place}: there is no such folder or zip")
    if not any(entry.exercise for entry in found):
        names = ", ".join(f"{exercise.slug}.ipynb" for exercise in exercises[:3])
        raise CollectError(
            f"{place}: no notebook of this course was found. Expected <student>/<topic>/<exercise>.ipynb "
            f"(for example {names}), <student>/<exercise>.ipynb, or <student>_<exercise>.ipynb."
        )
    wanted = {exercise.id for exercise in exercises}
    strays = [entry for entry in found if not entry.exercise and entry.status is None]
    counted = [entry for entry in found if entry.exercise in wanted or (not entry.exercise and entry.status is not None)]
    entries = _without_duplicates(_in_one_spelling(counted))
    return entries + list(_missing(entries, exercises, students, strays))


# --- what lies where ---------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> tuple[list[_File], list[str]]:
    """The notebooks below a folder, and the names of the folders directly in it."""
    files: list[_File] = []
    students: list[str] = []

    def cannot_be_opened(error: OSError) -> None:
        parts = Path(os.path.relpath(error.filename, folder)).parts
        reason = CANNOT_BE_OPENED.format(name=_shown("/".join(parts)), reason=error.strerror)
        files.append(_File(parts, refused=reason))

    for parent, folders, names in os.walk(folder, onerror=cannot_be_opened):
        here = Path(parent)
        above = here.relative_to(folder).parts
        for name in sorted(folders):
            parts = (*above, name)
            if (here / name).is_symlink():  # os.walk does not follow it
                files.append(_File(parts, refused=REFUSED_LINK.format(name=_shown("/".join(parts)))))
        folders[:] = sorted(name for name in folders if name not in _NOT_SUBMISSIONS)
        if not above:
            students = [name for name in folders if not (here / name).is_symlink()]
        for name in sorted(names):
            if name.lower().endswith(".ipynb"):
                parts = (*above, name)
                refused = "" if _is_plain(here / name) else REFUSED_LINK.format(name=_shown("/".join(parts)))
                files.append(_File(parts, here / name, refused=refused))
    return files, students


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _from_zip(
    archive: Path, exercises: Sequence[Exercise], unpacked: Path
) -> tuple[list[CollectedSubmission], list[str]]:
    """The submissions in a zip, unpacked; and the names of the folders directly in it."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = bundle.infolist()
            files = [_zipped(entry) for entry in entries if not entry.is_dir() and _is_notebook(entry.filename)]
            size = sum(min(file.entry.file_size, MAX_BYTES) for file in files if file.entry)
            if len(entries) > MAX_ARCHIVE_FILES or size > MAX_ARCHIVE_BYTES:
                raise CollectError(f"{archive}: too many files or too much data for a class's submissions")
            wrapper = _wrapping_folders([file.parts for file in files if not file.refused], exercises)
            files = [
                file if file.refused else replace(file, parts=file.parts[len(wrapper) :])
                for file in files
                if file.refused or file.parts[: len(wrapper)] == wrapper
            ]
            shutil.rmtree(unpacked, ignore_errors=True)
            found = [_unpack(bundle, file, unpacked, number) for number, file in enumerate(_submissions(files, exercises))]
            inside = [_parts(entry.filename) for entry in entries]
            top = [
                parts[len(wrapper)]
                for entry, parts in zip(entries, inside, strict=True)
                if parts[: len(wrapper)] == wrapper and len(parts) > len(wrapper) + (not entry.is_dir())
            ]
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CollectError(f"{archive}: not a zip archive that can be read ({error})") from None
    return found, sorted({name for name in top if name not in _NOT_SUBMISSIONS and name not in ("..", "/")})
