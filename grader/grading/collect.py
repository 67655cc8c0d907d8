"""Finding the submissions in what was handed in: nbgrader's folder, a flat folder, or a zip of either or of a platform.

Names are hostile until proven otherwise: no name of a student's decides where anything is written, and what is wrong
with one file concerns nobody but its student.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from grader.checking.outcome import SubmissionStatus
from grader.course import Exercise
from grader.grading.handed_in import HandedIn, HandedInFile, HandInError, read_folder, read_zip, read_zips, shown
from grader.grading.learning_platforms import by_student

MAX_NAME_BYTES = 200
MAX_NAMES_SHOWN = 3
# What browsers, Jupyter and file managers add to the name of a copy: " (1)", "(1)", "-Copy1", " - Copy (2)", " copy 3".
_MARK_OF_A_COPY = re.compile(r"(?: ?\(\d{1,3}\)|[ _-]{1,3}copy[ _-]?\d{0,3}){1,3}$", re.IGNORECASE)

REFUSED_NAME = "The name {name!r} is not safe to use: {reason}. Rename it and grade again."
UNKNOWN_NAME = "The name {name!r} matches no exercise. Rename it to <student>_<exercise>.ipynb and grade again."
DUPLICATE_OF = "A second notebook of this student for this exercise; {first!r} counts."
NOTHING_FOUND = (
    "{place}: no notebook of this course was found. Expected <student>/<topic>/<exercise>.ipynb (for example {names}), "
    "<student>/<exercise>.ipynb, or <student>_<exercise>.ipynb."
)
MISSING = "No notebook was handed in for this exercise."
MISSING_UNDER_THIS_NAME = "No notebook of this name was handed in. There is {names}: was it renamed?"


class CollectError(ValueError):
    """What was given is no folder or zip of submissions."""


@dataclass(frozen=True)
class CollectedSubmission:
    """One notebook that was handed in, or the reason why it does not count.

    `status` is None when it is to be graded. `source` is its name relative to the folder; `path` is the file itself.
    `exercise` is empty for a refused file that could not even be told apart by exercise.
    """

    student: str
    exercise: str
    source: str
    path: Path | None = None
    status: SubmissionStatus | None = None
    message: str = ""

    @property
    def place(self) -> str:
        """Where the notebook is, as a result record names it: the file, or its name where there is none to read."""
        return self.source if self.path is None else str(self.path)


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
    """The exercise a file name stands for; the marks of a copy are ignored."""
    plain = _without_mark(stem).casefold()
    candidates = [exercise for exercise in exercises if exercise.slug.casefold() == plain]
    in_topic = [exercise for exercise in candidates if exercise.topic == topic]
    return next(iter(in_topic or candidates), None)


def collect(
    place: Path,
    exercises: Sequence[Exercise],
    *,
    unpacked: Path,
    course: Sequence[Exercise] = (),
    leave_out: Path | None = None,
) -> list[CollectedSubmission]:
    """All submissions in a folder, a zip or a folder of zips, by student and exercise; what cannot count says why.

    For exercises that somebody handed in, everybody else gets an entry with status MISSING. The notebooks of a zip are
    written into the folder `unpacked`. `course` lists all exercises of the course, so that files for those that are not
    asked for are known and passed over; `leave_out` is a folder that holds results. Raises CollectError when there is
    nothing to grade.
    """
    known = [*exercises, *(exercise for exercise in course if exercise not in exercises)]
    handed_in = _read(place, unpacked, known, leave_out)
    located = [(file, *_located(file, known)) for file in handed_in.files]
    if len(exercises) == 1:
        located = _named_anyhow(located, exercises[0])
    is_flat = not any(exercise and len(file.parts) > 1 and not file.status for file, _, exercise in located)
    entries, strays = [], []
    for file, student, exercise in located:
        entry = _judged(file, student, exercise, is_flat)
        if entry is None:
            strays.append((student, file.parts[-1]))
        elif not entry.exercise or any(entry.exercise == exercise.id for exercise in exercises):
            entries.append(entry)
    if not any(entry.exercise for entry in entries):
        names = ", ".join(f"{exercise.slug}.ipynb" for exercise in exercises[:3])
        raise CollectError(NOTHING_FOUND.format(place=place, names=names))
    folders = [] if is_flat else sorted({canonical_student(path[0]) for path in handed_in.folders})
    entries = _without_duplicates(_in_one_spelling(entries))
    return entries + _missing(entries, exercises, [name for name in folders if not unsafe_reason(name)], strays)


def _read(place: Path, unpacked: Path, exercises: Sequence[Exercise], leave_out: Path | None) -> HandedIn:
    try:
        if place.is_dir():
            handed_in = read_folder(place, leave_out)
            return by_student(handed_in) if handed_in.files else by_student(read_zips(place, unpacked), depth=1)
        if place.is_file():
            handed_in = read_zip(place, unpacked)
            sorted_out = by_student(handed_in)
            return by_student(_unwrapped(handed_in, exercises)) if sorted_out is handed_in else sorted_out
    except HandInError as error:
        raise CollectError(str(error)) from None
    raise CollectError(f"{place}: there is no such folder or zip")


def _unwrapped(handed_in: HandedIn, exercises: Sequence[Exercise]) -> HandedIn:
    """A zip often holds one folder with everything in it ("submitted/"): that folder is not a student."""
    topics = {exercise.topic for exercise in exercises}
    while True:
        files = [file for file in handed_in.files if file.status is not SubmissionStatus.REFUSED]
        notebooks = [file for file in files if exercise_of(file.stem, exercises) or _split(file.stem, exercises)]
        outermost = {file.parts[0] for file in notebooks}
        if len(outermost) != 1 or any(len(file.parts) == 1 for file in notebooks):
            return handed_in
        inner = [replace(file, parts=file.parts[1:]) for file in notebooks]
        is_student = any(len(file.parts) == 2 and file.parts[0] in topics for file in inner)
        if is_student or not any(_located(file, exercises)[1] for file in inner):
            return handed_in
        handed_in = handed_in.within(outermost.pop())


def _without_mark(stem: str) -> str:
    return _MARK_OF_A_COPY.sub("", stem.strip())


def _split(stem: str, exercises: Sequence[Exercise]) -> tuple[str, Exercise] | None:
    """Student and exercise of a flat file name, `student-01_scaled_dot_product` or `student-01__…`."""
    stem = _without_mark(stem)
    for exercise in sorted(exercises, key=lambda entry: -len(entry.slug)):
        for separator in ("__", "_", "-", " "):
            ending = f"{separator}{exercise.slug}"
            if stem.casefold().endswith(ending.casefold()) and len(stem) > len(ending):
                return stem[: -len(ending)].rstrip("_- "), exercise
    return None


def _located(file: HandedInFile, exercises: Sequence[Exercise]) -> tuple[str, Exercise | None]:
    """Student and exercise of a file by its name."""
    if len(file.parts) > 1:
        return file.parts[0], exercise_of(file.stem, exercises, file.parts[1])
    return _split(file.stem, exercises) or (file.stem, None)


def _named_anyhow(
    located: Sequence[tuple[HandedInFile, str, Exercise | None]], exercise: Exercise
) -> list[tuple[HandedInFile, str, Exercise | None]]:
    """Where a platform's zip is graded for one exercise, the only notebook of a student is for it, however named."""
    counts = Counter(student for _, student, _ in located)
    return [
        (file, student, exercise if found is None and file.given and counts[student] == 1 else found)
        for file, student, found in located
    ]


def _judged(file: HandedInFile, student: str, exercise: Exercise | None, is_flat: bool) -> CollectedSubmission | None:
    """The entry for a file; None for a notebook beside the others that belongs to no exercise."""
    name = canonical_student(student)
    reason = unsafe_reason(name)
    id = exercise.id if exercise is not None else ""
    message = ""
    if file.status is SubmissionStatus.REFUSED:
        message = file.message
        if reason:  # the name is not a student's: it leads somewhere else
            name = str(PurePosixPath(*file.parts[:-1]))
    elif exercise is None and not is_flat:
        return None
    elif reason:
        message = REFUSED_NAME.format(name=shown(name), reason=reason)
    elif exercise is None:
        message = UNKNOWN_NAME.format(name=file.name)
    if message:
        whose = shown(name) or "(no name)"
        return CollectedSubmission(whose, id, file.name, status=SubmissionStatus.REFUSED, message=message)
    return CollectedSubmission(name, id, file.name, file.path, file.status, file.message)


def _in_one_spelling(entries: Iterable[CollectedSubmission]) -> list[CollectedSubmission]:
    """The entries in order; a student whose name is spelled in several ways (Student-01, student-01) is one student."""
    spelling: dict[str, str] = {}
    for student in sorted(entry.student for entry in entries if entry.status is not SubmissionStatus.REFUSED):
        spelling.setdefault(student.casefold(), student)
    renamed = [replace(entry, student=spelling.get(entry.student.casefold(), entry.student)) for entry in entries]
    return sorted(
        renamed,
        key=lambda entry: (entry.student.casefold(), entry.student, entry.exercise, len(entry.source), entry.source),
    )


def _without_duplicates(entries: Sequence[CollectedSubmission]) -> list[CollectedSubmission]:
    first: dict[tuple[str, str], str] = {}
    result = []
    for entry in entries:
        key = (entry.student, entry.exercise)
        if entry.status is SubmissionStatus.REFUSED:
            result.append(entry)
        elif key in first:
            message = DUPLICATE_OF.format(first=first[key])
            result.append(replace(entry, status=SubmissionStatus.DUPLICATE, message=message))
        else:
            first[key] = entry.source
            result.append(entry)
    return result


def _missing(
    entries: Sequence[CollectedSubmission],
    exercises: Sequence[Exercise],
    folders: Sequence[str],
    strays: Sequence[tuple[str, str]],
) -> list[CollectedSubmission]:
    """Entries for what was not handed in. A student with an empty folder, or with other files only, is one too."""
    handed_in = [exercise.id for exercise in exercises if any(entry.exercise == exercise.id for entry in entries)]
    present = {(entry.student, entry.exercise) for entry in entries}
    counted = [entry.student for entry in entries if entry.status is not SubmissionStatus.REFUSED]
    students: dict[str, str] = {}
    for student in (*counted, *folders):
        students.setdefault(student.casefold(), student)
    others: dict[str, list[str]] = {}
    for student, name in strays:
        others.setdefault(canonical_student(student).casefold(), []).append(shown(name))
    missing = []
    for key, student in sorted(students.items()):
        names = ", ".join(repr(name) for name in others.get(key, [])[:MAX_NAMES_SHOWN])
        message = MISSING_UNDER_THIS_NAME.format(names=names) if names else MISSING
        missing += [
            CollectedSubmission(student, exercise, "", status=SubmissionStatus.MISSING, message=message)
            for exercise in handed_in
            if (student, exercise) not in present
        ]
    return missing
