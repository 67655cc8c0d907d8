"""Which of the files that a student uploaded is the notebook of which exercise."""

from __future__ import annotations

from collections.abc import Sequence

from grader.checking.outcome import SubmissionStatus
from grader.course import Exercise
from grader.grading.collect import CollectedSubmission, exercise_of
from grader.grading.handed_in import HandedInFile

NOTHING = "There is no notebook (a file that ends in .ipynb) in what was uploaded."
WHICH = "None of the notebooks is named after this exercise ({name}.ipynb): {names}."
MAX_NAMES = 5


def chosen_notebooks(
    files: Sequence[HandedInFile], exercises: Sequence[Exercise], student: str
) -> list[CollectedSubmission]:
    """The notebook of every exercise, in their order, or why there is none.

    For one exercise a single notebook may have any name. Otherwise the name decides; of several with one name, the
    first by depth and name counts.
    """
    readable = sorted((file for file in files if file.status is None), key=lambda file: (len(file.parts), file.parts))
    if len(exercises) == 1 and len(readable) == 1:
        return [_entry(readable[0], exercises[0], student)]
    return [_chosen(exercise, readable, files, exercises, student) for exercise in exercises]


def _chosen(
    exercise: Exercise,
    readable: Sequence[HandedInFile],
    files: Sequence[HandedInFile],
    exercises: Sequence[Exercise],
    student: str,
) -> CollectedSubmission:
    for file in readable:
        folder = file.parts[-2] if len(file.parts) > 1 else ""
        if exercise_of(file.stem, exercises, folder) == exercise:
            return _entry(file, exercise, student)
    refused = next((file for file in files if file.status is not None), None)
    if not readable and refused is not None:
        return CollectedSubmission(student, exercise.id, refused.name, status=refused.status, message=refused.message)
    names = ", ".join(file.name for file in readable[:MAX_NAMES])
    message = WHICH.format(name=exercise.slug, names=names) if readable else NOTHING
    return CollectedSubmission(student, exercise.id, "", status=SubmissionStatus.MISSING, message=message)


def _entry(file: HandedInFile, exercise: Exercise, student: str) -> CollectedSubmission:
    return CollectedSubmission(student, exercise.id, file.name, file.path)
