"""Names in the zips that Canvas and Moodle make of an assignment's submissions.

Canvas (lib/content_zipper.rb of instructure/canvas-lms): `<name>[_LATE]_<user id>_<file id>_<file name>`, the name in
lower case and without spaces or punctuation, and `[LATE_]anon_<anonymous id>_<file id>_<file name>` for anonymous
grading. Moodle (mod/assign/locallib.php of moodle/moodle): `<full name>_<participant>_assignsubmission_file_`, as a
folder or in front of the file's name.

A student is called by name and number, `doejane_12345`, which `platform_student` takes apart for the way back. The file
name at the end is the student's own, so it never decides whose work it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grader.checking.outcome import SubmissionStatus
from grader.grading.handed_in import HandedIn, HandedInFile

_CANVAS = re.compile(r"(?P<name>\w*?)(?:_LATE)?_(?P<number>\d+)_(?P<upload>\d+)_(?P<file>.+)", re.DOTALL)
_CANVAS_ANONYMOUS = re.compile(r"(?:LATE_)?(?P<name>anon)_(?P<number>\w+?)_(?P<upload>\d+)_(?P<file>.+)", re.DOTALL)
_CANVAS_VERSION = re.compile(r"-\d{1,3}(?=\.ipynb$)", re.IGNORECASE)  # what Canvas adds to a file handed in again
_MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<number>\d+)_assignsubmission_file(?:_(?P<file>.*))?", re.DOTALL)
_STUDENT = re.compile(r"(?P<name>.*)_(?P<number>\w+)", re.DOTALL)


@dataclass(frozen=True)
class PlatformStudent:
    """A student as a learning platform names them in a zip: `number` is the platform's own id."""

    name: str
    number: str

    @property
    def key(self) -> str:
        """What the student is called in our results."""
        return f"{self.name}_{self.number}"


def platform_student(key: str) -> PlatformStudent | None:
    """The student that a key names, where it has the form of one from a platform's zip."""
    found = _STUDENT.fullmatch(key)
    return PlatformStudent(found["name"], found["number"]) if found else None


def by_student(handed_in: HandedIn, depth: int = 0) -> HandedIn:
    """The same with every file of a platform's zip in a folder of its student; anything else as it was.

    With `depth` 1 the zips are in folders side by side. A name in Canvas's form alone proves little, so all of the
    notebooks must have it, each with an upload of its own; so must they have Moodle's below a folder, which might be a
    student's. What was refused stays as it is, and decides nothing.
    """
    readable = [file for file in handed_in.files if file.status is not SubmissionStatus.REFUSED]
    refused = [file for file in handed_in.files if file.status is SubmissionStatus.REFUSED]
    canvas = _from_canvas(readable, depth)
    if canvas is not None:
        return HandedIn((*canvas, *refused), tuple(sorted({file.parts[:1] for file in canvas})))
    moodle = [_from_moodle(file, depth) for file in readable]
    if readable and (all(moodle) if depth else any(moodle)):
        files = tuple(new or file for new, file in zip(moodle, readable, strict=True))
        return HandedIn((*files, *refused), _folders(handed_in, files, depth))
    return handed_in


def _folders(handed_in: HandedIn, files: Sequence[HandedInFile], depth: int) -> tuple[tuple[str, ...], ...]:
    """The folders of a zip of Moodle's, by student; one with an empty folder is a student too."""
    named = [(parts, _MOODLE.fullmatch(parts[depth])) for parts in handed_in.folders if len(parts) > depth]
    students = {(PlatformStudent(found["name"], found["number"]).key,) for _, found in named if found}
    others = {parts for parts, found in named if not found and not depth}
    return tuple(sorted(students | others | {file.parts[:1] for file in files if len(file.parts) > 1}))


def _from_canvas(files: Sequence[HandedInFile], depth: int) -> list[HandedInFile] | None:
    found = []
    uploads = set()
    for file in files:
        match = _CANVAS_ANONYMOUS.fullmatch(file.parts[-1]) or _CANVAS.fullmatch(file.parts[-1])
        if len(file.parts) != depth + 1 or match is None:
            return None
        student = PlatformStudent(match["name"], match["number"])
        uploads.add(match["upload"])
        own_name = _CANVAS_VERSION.sub("", match["file"])
        found.append(replace(file, parts=(student.key, own_name), given=file.parts))
    return found if found and len(uploads) == len(found) else None


def _from_moodle(file: HandedInFile, depth: int) -> HandedInFile | None:
    """A file of Moodle's, by the outermost part of its name, which Moodle has written."""
    match = _MOODLE.fullmatch(file.parts[depth]) if len(file.parts) > depth else None
    if match is None:
        return None
    student = PlatformStudent(match["name"], match["number"])
    inner = file.parts[depth + 1 :] or (match["file"] or "",)
    return replace(file, parts=(student.key, *inner), given=file.parts)
