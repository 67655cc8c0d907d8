"""Finding the submissions in what was handed in: nbgrader's folder, a flat folder, or a zip of either.

Names are hostile until proven otherwise: nothing outside the folder is followed, and no name of a student's decides
where anything is written.
"""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.checking.outcome import SubmissionStatus
from grader.course import Exercise

MAX_ARCHIVE_FILES = 50_000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_ARCHIVE_BYTES = 4 * 1024**3
_COPY_SUFFIXES = (" - copy", "-copy", "_copy", " copy")

REFUSED_NAME = "The name {name!r} is not safe to use: {reason}. Rename it and grade again."
REFUSED_LINK = "{name!r} is a link to another place; only real files are read."
DUPLICATE_OF = "A second notebook of this student for this exercise; {first!r} counts."
MISSING = "No notebook was handed in for this exercise."


class CollectError(ValueError):
    """What was given is no folder or zip of submissions."""


@dataclass(frozen=True)
class CollectedSubmission:
    """One notebook that was handed in, or the reason why it does not count.

    `status` is None when it is to be graded. `source` is its name relative to the folder; `path` or `data` hold it.
    """

    student: str
    exercise: str
    source: str
    path: Path | None = None
    data: bytes | None = None
    status: SubmissionStatus | None = None
    message: str = ""


def canonical_student(name: str) -> str:
    """One spelling for one student: Unicode's composed form, no spaces around."""
    return unicodedata.normalize("NFC", name).strip()


def unsafe_reason(name: str) -> str:
    """Why a student's name cannot be used as one; empty when it can."""
    if not name or name in (".", ".."):
        return "it is empty or a path"
    if "/" in name or "\\" in name or "\0" in name:
        return "it holds a path"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in name):
        return "it holds invisible characters"
    if len(name.encode("utf-8", "surrogatepass")) > 200:
        return "it is too long"
    return ""


def exercise_of(stem: str, exercises: Sequence[Exercise], topic: str = "") -> Exercise | None:
    """The exercise a file name stands for; browsers' and systems' marks of a copy are ignored."""
    plain = stem.strip().casefold()
    if plain.endswith(")") and " (" in plain:
        plain = plain[: plain.rindex(" (")]
    for suffix in _COPY_SUFFIXES:
        plain = plain.removesuffix(suffix)
    candidates = [exercise for exercise in exercises if exercise.slug.casefold() == plain]
    in_topic = [exercise for exercise in candidates if exercise.topic == topic]
    return next(iter(in_topic or candidates), None)


def _split_flat(stem: str, exercises: Sequence[Exercise]) -> tuple[str, Exercise] | None:
    """Student and exercise of a flat file name, `student-01_scaled_dot_product` or `student-01__…`."""
    for exercise in sorted(exercises, key=lambda entry: -len(entry.slug)):
        for separator in ("__", "_", "-", " "):
            ending = separator + exercise.slug
            if stem.casefold().endswith(ending.casefold()) and len(stem) > len(ending):
                return stem[: -len(ending)].rstrip("_- "), exercise
    return None


def _located(parts: tuple[str, ...], exercises: Sequence[Exercise]) -> tuple[str, Exercise] | None:
    """Student and exercise of a file by its path below the folder."""
    stem = PurePosixPath(parts[-1]).stem
    if len(parts) == 1:
        return _split_flat(stem, exercises)
    exercise = exercise_of(stem, exercises, parts[1] if len(parts) > 2 else "")
    return (parts[0], exercise) if exercise is not None else None


def _refused(name: str, exercise: str, source: str, message: str) -> CollectedSubmission:
    return CollectedSubmission(name, exercise, source, status=SubmissionStatus.REFUSED, message=message)


def _from_folder(folder: Path, exercises: Sequence[Exercise]) -> Iterator[CollectedSubmission]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in (".ipynb_checkpoints", ".git", "__pycache__"))
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                relative = os.path.relpath(os.path.join(parent, name), folder)
                yield _refused(
                    _shown(relative.split(os.sep)[0]), "", _shown(relative), REFUSED_LINK.format(name=_shown(name))
                )
        for name in sorted(files):
            path = Path(parent) / name
            below = path.relative_to(folder)
            found = _located(below.parts, exercises) if name.lower().endswith(".ipynb") else None
            if found is None:
                continue
            student, exercise = found
            shown = _shown(below.as_posix())
            if not stat.S_ISREG(path.lstat().st_mode):
                yield _refused(_shown(student), exercise.id, shown, REFUSED_LINK.format(name=shown))
                continue
            yield _judged(student, exercise, shown, path=path)


def _from_zip(archive: Path, exercises: Sequence[Exercise]) -> Iterator[CollectedSubmission]:
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = bundle.infolist()
            if len(entries) > MAX_ARCHIVE_FILES or sum(entry.file_size for entry in entries) > MAX_ARCHIVE_BYTES:
                raise CollectError(f"{archive}: too many files or too much data for a class's submissions")
            prefix = _common_folder([entry.filename for entry in entries if not entry.is_dir()], exercises)
            for entry in entries:
                if entry.is_dir() or not entry.filename.lower().endswith(".ipynb") or "__MACOSX" in entry.filename:
                    continue
                name = entry.filename.removeprefix(prefix)
                parts = PurePosixPath(name.replace("\\", "/")).parts
                found = _located(parts, exercises) if parts else None
                if ".." in parts or name.startswith("/") or stat.S_ISLNK(entry.external_attr >> 16):
                    exercise = exercise_of(PurePosixPath(parts[-1]).stem, exercises)
                    reason = REFUSED_NAME.format(name=_shown(name), reason="it points outside the archive")
                    yield _refused(
                        _shown("/".join(parts[:-2]) or name), exercise.id if exercise else "", _shown(name), reason
                    )
                elif found is not None and entry.file_size > MAX_FILE_BYTES:
                    message = (
                        f"The notebook takes {entry.file_size >> 20} MB; at most {MAX_FILE_BYTES >> 20} MB are read."
                    )
                    status = SubmissionStatus.UNREADABLE
                    yield CollectedSubmission(
                        _shown(found[0]), found[1].id, _shown(name), status=status, message=message
                    )
                elif found is not None:
                    yield _judged(*found, _shown(name), data=bundle.read(entry))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise CollectError(f"{archive}: not a zip archive that can be read ({error})") from None


def _common_folder(names: list[str], exercises: Sequence[Exercise]) -> str:
    """The folder that wraps a whole archive ("submitted/"), if there is one."""
    first = {name.partition("/")[0] for name in names if "__MACOSX" not in name}
    if len(first) == 1 and any(name.count("/") >= 2 for name in names):
        wrapper = first.pop()
        inner = [PurePosixPath(name).parts[1:] for name in names]
        if wrapper == "submitted" or all(len(parts) >= 2 for parts in inner if parts and parts[-1].endswith(".ipynb")):
            topics = {exercise.topic for exercise in exercises}
            return "" if any(parts[0] in topics for parts in inner if parts) else f"{wrapper}/"
    return ""


def _shown(name: str) -> str:
    """A name fit to be shown and stored: anything that is not text is replaced."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _judged(
    student: str, exercise: Exercise, source: str, *, path: Path | None = None, data: bytes | None = None
) -> CollectedSubmission:
    name = canonical_student(_shown(student))
    reason = unsafe_reason(name)
    if reason:
        return _refused(name or "(no name)", exercise.id, source, REFUSED_NAME.format(name=name, reason=reason))
    return CollectedSubmission(name, exercise.id, source, path, data)


def collect(place: Path, exercises: Sequence[Exercise]) -> list[CollectedSubmission]:
    """All submissions in a folder or zip, sorted by student and exercise; what cannot count says why.

    For exercises that somebody handed in, everybody else gets an entry with status MISSING. Raises CollectError when
    there is no notebook of the course at all.
    """
    if place.is_dir():
        found = list(_from_folder(place, exercises))
    elif place.is_file():
        found = list(_from_zip(place, exercises))
    else:
        raise CollectError(f"{place}: there is no such folder or zip")
    if not any(entry.exercise for entry in found):
        names = ", ".join(f"{exercise.slug}.ipynb" for exercise in exercises[:3])
        raise CollectError(
            f"{place}: no notebook of this course was found. Expected <student>/<topic>/<exercise>.ipynb "
            f"(for example {names}), <student>/<exercise>.ipynb, or <student>_<exercise>.ipynb."
        )
    ordered = sorted(
        found,
        key=lambda entry: (entry.student.casefold(), entry.student, entry.exercise, len(entry.source), entry.source),
    )
    return _with_missing(_without_duplicates(ordered), exercises)


def _without_duplicates(entries: list[CollectedSubmission]) -> list[CollectedSubmission]:
    first: dict[tuple[str, str], CollectedSubmission] = {}
    result = []
    for entry in entries:
        key = (entry.student.casefold(), entry.exercise)
        if entry.status is SubmissionStatus.REFUSED or key not in first:
            if entry.status is not SubmissionStatus.REFUSED:
                first[key] = entry
            result.append(entry)
            continue
        message = DUPLICATE_OF.format(first=first[key].source)
        student = first[key].student
        result.append(
            CollectedSubmission(
                student, entry.exercise, entry.source, entry.path, entry.data, SubmissionStatus.DUPLICATE, message
            )
        )
    return result


def _with_missing(entries: list[CollectedSubmission], exercises: Sequence[Exercise]) -> list[CollectedSubmission]:
    handed_in = [exercise.id for exercise in exercises if any(entry.exercise == exercise.id for entry in entries)]
    counted = [entry for entry in entries if entry.status is not SubmissionStatus.REFUSED]
    present = {(entry.student, entry.exercise) for entry in entries}
    students = sorted({entry.student for entry in counted})
    missing = [
        CollectedSubmission(student, exercise, "", status=SubmissionStatus.MISSING, message=MISSING)
        for student in students
        for exercise in handed_in
        if (student, exercise) not in present
    ]
    return entries + missing
