"""A copy of a class' results in which nobody can read whose work it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grader.course import Course
from grader.gradebook.anonymous_records import anonymous_late, anonymous_records, anonymous_similarity, can_be_found
from grader.gradebook.class_tables import TABLES_FOLDER
from grader.gradebook.csv_export import CHECKS_FILE, GRADES_FILE
from grader.gradebook.errors import GradebookError
from grader.gradebook.files import remove_partial_files, write_text
from grader.gradebook.late_penalties import read_late_table
from grader.gradebook.pseudonyms import Key, complete_key, read_key, write_key
from grader.gradebook.submitted_code import compare_class
from grader.grading.class_grading import FEEDBACK_FOLDER, REPORT_NAME, write_report_files
from grader.grading.output_folder import claim
from grader.grading.results_file import RESULTS_NAME, read_results, write_results
from grader.grading.unwritable import Attempts

KEY_NAME = "anonymous_ids.json"
MARKER_NAME = "anonymised.json"

KEY_INSIDE = "{key}: the key would lie in the folder that is given away. Name another file with --key"
NO_FOLDER = "{folder}: this is no folder"
ALREADY_ANONYMOUS = "{folder}: these results are anonymous already. Name the folder that `course grade` wrote"
NOT_OURS = (
    "{folder}: {name!r} was not written by `course anonymise`, and nothing there is removed. Name an empty folder, or "
    "one that it wrote earlier"
)
LEFT_IN_TEXT = (
    "These ids are too short to be told from other words and numbers. Where students wrote them into their notebooks, "
    "they may still stand in messages and printed output: {ids}"
)
NOT_COMPARED = (
    "{count} notebooks are not where they were graded, or have changed since: the report's section on similar "
    "submissions is without them."
)

_WRITTEN = frozenset({RESULTS_NAME, GRADES_FILE, CHECKS_FILE, TABLES_FOLDER, FEEDBACK_FOLDER, REPORT_NAME})


@dataclass(frozen=True)
class Anonymised:
    """What was written. `new` students had no pseudonym before."""

    records: int
    students: int
    new: int
    notes: tuple[str, ...] = ()


def anonymise(
    course: Course, results: Path, folder: Path, key_path: Path, on_step: Callable[[str], None] = lambda _: None
) -> Anonymised:
    """Write a copy of the results into a folder, with pseudonyms from the key, which is completed first.

    `on_step` is told what is being done. Raises GradebookError, ResultsError, OutputFolderError, ResultsNotWritten,
    OSError.
    """
    _refuse_places(results, folder, key_path)
    read = read_results(results)
    records = read.records
    students = {record.student for record in records}
    late = read_late_table(results, students)
    key = _complete(key_path, students)
    on_step("Comparing submissions")
    real = compare_class(records, course)  # reads the notebooks, whose places only the real records know
    on_step("Writing reports")
    anonymous = anonymous_records(records, key.pseudonyms)
    _clear(folder)
    attempts = Attempts()
    with attempts.at(folder / RESULTS_NAME):
        write_results(anonymous, folder)
    write_report_files(
        course,
        anonymous,
        folder,
        attempts,
        late=anonymous_late(late, key.pseudonyms),
        similarity=anonymous_similarity(real, key.pseudonyms),
        link_lessons=False,  # their address tells where the course lies on this machine
    )
    attempts.finish()
    notes = list(read.notes)
    if left := sorted(student for student in students if not can_be_found(student)):
        notes.append(LEFT_IN_TEXT.format(ids=", ".join(left)))
    if left_out := sum(exercise.left_out for exercise in real):
        notes.append(NOT_COMPARED.format(count=left_out))
    return Anonymised(len(records), len(students), key.new, tuple(notes))


def _refuse_places(results: Path, folder: Path, key_path: Path) -> None:
    inside = folder.resolve()
    if any(place.is_relative_to(inside) for place in (key_path.resolve(), key_path.parent.resolve())):
        raise GradebookError(KEY_INSIDE.format(key=key_path))
    if (results / MARKER_NAME).exists():
        raise GradebookError(ALREADY_ANONYMOUS.format(folder=results))
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GradebookError(NO_FOLDER.format(folder=folder))
    allowed: set[str] = set()
    if (folder / MARKER_NAME).is_file():
        remove_partial_files(folder)
        allowed = {MARKER_NAME, *_WRITTEN}
    if other := sorted(entry.name for entry in folder.iterdir() if entry.name not in allowed):
        raise GradebookError(NOT_OURS.format(folder=folder, name=other[0]))


def _complete(path: Path, students: set[str]) -> Key:
    """The key with everybody in it, written before anything is that uses it."""
    with claim(path.parent):  # two at once would draw different pseudonyms for the same student
        key = complete_key(read_key(path), students)
        if key.new or not path.exists() or path.stat().st_mode & 0o077:
            write_key(path, key)
    return key


def _clear(folder: Path) -> None:
    """Mark the folder as ours, and remove what an earlier copy left in it."""
    write_text(folder / MARKER_NAME, json.dumps({"schema": 1, "written_by": "course anonymise"}) + "\n")
    for name in _WRITTEN:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
