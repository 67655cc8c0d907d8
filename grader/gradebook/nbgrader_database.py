"""Results into nbgrader's gradebook, so that formgrader, manual grading and nbgrader's exporters work with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checking.record import ResultRecord
from grader.gradebook.autograded_copy import write_copy
from grader.gradebook.errors import GradebookError
from grader.gradebook.files import is_folder_name
from grader.gradebook.grade_plan import require_cells
from grader.gradebook.late_penalties import LatePenalties, LateSubmission
from grader.gradebook.nbgrader_batch import write_batch
from grader.gradebook.nbgrader_connection import begin_writing, database_file, open_gradebook
from grader.gradebook.nbgrader_plan import Copy, Planner
from grader.gradebook.nbgrader_settings import read_settings
from grader.gradebook.nbgrader_structure import write_structure
from grader.gradebook.solution_cells import SolutionNotebook, read_solution
from grader.gradebook.student_names import StudentName, read_names
from grader.gradebook.summary import counted_records

if TYPE_CHECKING:
    from grader.course import Course

DEFAULT_COURSE_ID = "default_course"  # nbgrader's own default
STUDENTS_IN_A_BATCH = 50

UNSAFE_STUDENT = "{student!r} cannot be a student's id in nbgrader, so nothing of this student is in the gradebook"
NO_COPIES = "the database is not a file, so formgrader's copies of the notebooks need `course_directory`"
COPY_FAILED = "{path} could not be written ({reason}). The scores are in the gradebook; formgrader needs this file too"


@dataclass
class GradebookReport:
    """What was written; `waiting` grades wait for a person, `late` came after it was due, `notes` are for people."""

    students: int = 0
    submissions: int = 0
    grades: int = 0
    waiting: int = 0
    late: list[LateSubmission] = field(default_factory=list)
    names: dict[str, StudentName] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_gradebook(
    course: Course,
    records: Sequence[ResultRecord],
    database_url: str,
    *,
    notebooks: Mapping[tuple[str, str], Path] | None = None,
    course_directory: Path | None = None,
    course_id: str = DEFAULT_COURSE_ID,
) -> GradebookReport:
    """Write all results into nbgrader's gradebook, made where there is none, and lay out what formgrader shows.

    `notebooks` are the submitted files by (student, exercise id), by default each record's `source`: their written
    answers decide what waits for a person, and their copies go to `autograded/<student>/<topic>/<exercise>.ipynb` below
    `course_directory`, which is the database's folder unless given; times of submission come from the files beside the
    notebooks, and what is late gets nbgrader's penalty. Nothing of a student's is executed. One batch of students is
    one transaction; manual scores, extra credit and a person's comments stay as they are.

    Raises GradebookError for a locked, read-only or broken database, for built notebooks that are missing or do not fit
    the checks, and for copies that cannot be written.
    """
    report = GradebookReport()
    exercises = {exercise.id: exercise for exercise in course.exercises}
    counted = {key: record for key, record in counted_records(records).items() if record.exercise in exercises}
    unsafe = sorted({student for student, _ in counted if not is_folder_name(student)})
    report.notes += [UNSAFE_STUDENT.format(student=student) for student in unsafe]
    counted = {key: record for key, record in counted.items() if key[0] not in unsafe}
    solutions = _read_solutions(course, {exercise for _, exercise in counted})
    for (_, exercise), record in counted.items():
        require_cells(record, solutions[exercise])
    directory = _course_directory(database_url, course_directory)
    if directory is None:
        report.notes.append(NO_COPIES)
    planner = Planner(solutions, counted, notebooks or {}, directory)
    students = sorted({student for student, _ in counted})
    settings = [course.root] if directory is None else [course.root, directory]
    penalties = LatePenalties(lambda: read_settings(*settings))
    with open_gradebook(database_url, course_id) as gradebook:
        begin_writing(gradebook)
        report.notes += write_structure(gradebook, solutions.values())
        gradebook.db.commit()
        for start in range(0, len(students), STUDENTS_IN_A_BATCH):
            batch = students[start : start + STUDENTS_IN_A_BATCH]
            planned, copies = planner.plan(batch)
            begin_writing(gradebook)
            counts = write_batch(gradebook, planned)
            report.late += penalties.apply(gradebook, planned)
            report.names |= read_names(gradebook, batch)
            gradebook.db.commit()
            _write_copies(copies)
            report.students += len(batch)
            report.submissions += counts.submissions
            report.grades += counts.grades
            report.waiting += counts.waiting
    report.notes += planner.notes
    return report


def _read_solutions(course: Course, graded: set[str]) -> dict[str, SolutionNotebook]:
    """Built notebooks of all exercises of the topics that were graded, since nbgrader's assignment is the whole topic.

    An exercise that nobody was graded for may be without one.
    """
    topics = {exercise.topic for exercise in course.exercises if exercise.id in graded}
    return {
        exercise.id: read_solution(exercise)
        for exercise in course.exercises
        if exercise.id in graded or (exercise.topic in topics and exercise.solution_path.is_file())
    }


def _course_directory(database_url: str, given: Path | None) -> Path | None:
    file = database_file(database_url)
    return given or (file.parent if file else None)


def _write_copies(copies: Sequence[Copy]) -> None:
    for copy in copies:
        try:
            write_copy(copy.path, copy.notebook)
        except OSError as error:
            raise GradebookError(COPY_FAILED.format(path=copy.path, reason=error.strerror or error)) from error
