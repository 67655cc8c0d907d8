"""Grades one submission where a platform has put it, and writes the results where the platform looks for them.

    python -m grader.platforms.grade_submission ROOT

runs in the bundle that `course export` made: COURSE_ROOT is the bundled course, with its settings beside the manifest,
and ROOT is where the platform lays out its files (/autograder on Gradescope, /grade on PrairieLearn, the repository on
GitHub). Standard output is for instructors, but on GitHub, where the student reads it. The exit status is 0 when there
are results, whatever they are (on GitHub 1 unless every check passed, which marks the push); 2 when there are none, so
that a fault of ours never becomes a zero.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from grader.behaviours import Diagnostician
from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import ResultRecord
from grader.checking.versions import short_version
from grader.course import Course, CourseError, Exercise, find_root, load_course
from grader.gradebook.files import write_text
from grader.gradebook.wording import OUTCOME_WORDS, clean_text
from grader.grading.engine import ConfinementUnavailable, LocalEngine
from grader.grading.handed_in import read_folder
from grader.grading.submission_grading import Grader
from grader.grading.temporary_directory import TemporaryDirectoryError
from grader.libraries import LibraryMissing
from grader.platforms.chosen_notebooks import chosen_notebooks
from grader.platforms.classroom_results import classroom_results, encoded, summary
from grader.platforms.gradescope_results import gradescope_results
from grader.platforms.prairielearn_results import prairielearn_results
from grader.platforms.settings import SETTINGS_NAME, AutograderSettings, Platform, SettingsError, read_settings

CONFINED = "The student's code ran confined ({confinement})."
UNCONFINED = (
    "The student's code ran WITHOUT confinement, as this autograder was exported with --unconfined: it could read the "
    "checks and change these results. Look at the code before you trust the score."
)
CANNOT_CONFINE = (
    "No results: {error}. Where students' code cannot be confined it is not run, unless the autograder is exported "
    "with --unconfined."
)
OUR_FAULT = "No results: {exercise}: {message}"
MESSAGE_LIMIT = 4_000
_SUBMISSION = {Platform.GRADESCOPE: "submission", Platform.PRAIRIELEARN: "student", Platform.CLASSROOM: ""}


class NoResults(RuntimeError):
    """There is nothing to give to the platform; the message is for instructors."""


def main(arguments: Sequence[str]) -> int:
    """Grade, and return the exit status."""
    root = Path(arguments[0])
    try:
        course_root = find_root()
        settings = read_settings(Path(os.environ.get("AUTOGRADER_SETTINGS") or course_root / SETTINGS_NAME))
        course = load_course(course_root)
        records, confinement = _grade(course, settings, root)
        _say(records, settings, confinement)
        return _write(records, settings, course, root, confinement)
    except (NoResults, CourseError, SettingsError, LibraryMissing, TemporaryDirectoryError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _grade(course: Course, settings: AutograderSettings, root: Path) -> tuple[list[ResultRecord], str]:
    exercises = course.select(settings.exercises)
    place = root / _SUBMISSION[settings.platform]
    handed_in = read_folder(place, leave_out=course.root)
    chosen = chosen_notebooks(handed_in.files, exercises, _student(settings, root))
    try:
        with LocalEngine(course, confine=settings.confine, exercises=exercises) as engine:
            grader = Grader(engine, Diagnostician(engine, course.root / ".course" / "diagnosis"), settings.seed)
            records = []
            for exercise, collected in zip(exercises, chosen, strict=True):
                read = grader.read(exercise, collected)
                records.append(read if isinstance(read, ResultRecord) else grader.grade(exercise, collected, read))
            return records, engine.confinement
    except ConfinementUnavailable as error:
        raise NoResults(CANNOT_CONFINE.format(error=error)) from None


def _student(settings: AutograderSettings, root: Path) -> str:
    """What the record calls the student: the platform's number of the submission, or just that there is one."""
    return str(_metadata(root).get("id", "submission")) if settings.platform is Platform.GRADESCOPE else "submission"


def _metadata(root: Path) -> dict[str, object]:
    """What Gradescope says about a submission; nothing of it is needed."""
    try:
        data = json.loads((root / "submission_metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _say(records: Sequence[ResultRecord], settings: AutograderSettings, confinement: str) -> None:
    """Everything, on standard output, for instructors. Only the repository of a student has no such place."""
    if settings.platform is Platform.CLASSROOM:
        print("" if settings.confine else f"::warning::{UNCONFINED}")
        return
    print(CONFINED.format(confinement=confinement) if settings.confine else UNCONFINED)
    for record in records:
        print(f"\n{record.exercise}: {record.status.value}, {record.points:g} of {record.max_points:g} points")
        versions = f"checks {short_version(record.checks_hash)}, notebook {short_version(record.submission_hash)}"
        print(f"{versions}, seed {record.seed}")
        for line in (record.message, *record.notes):
            print(clean_text(line, MESSAGE_LIMIT)) if line else None
        for check in record.checks:
            print(f"- {check.name}: {OUTCOME_WORDS[check.outcome]}, {check.points:g} of {check.max_points:g}")
            if check.outcome not in (CheckOutcome.PASSED, CheckOutcome.SKIPPED):
                print(clean_text(check.message, MESSAGE_LIMIT))
        for found in record.diagnoses:
            print(f"behaves like ({found.match}): {found.title}")


def _write(
    records: Sequence[ResultRecord], settings: AutograderSettings, course: Course, root: Path, confinement: str
) -> int:
    """Write the results where the platform looks for them, and return the exit status. Raises NoResults, OSError."""
    broken = next((record for record in records if record.status is SubmissionStatus.GRADER_ERROR), None)
    if broken is not None:
        raise NoResults(OUR_FAULT.format(exercise=broken.exercise, message=broken.message))
    if settings.platform is Platform.CLASSROOM:
        return _tell_github(records, _titles(course.exercises))
    if settings.platform is Platform.GRADESCOPE:
        about = {"submission": _metadata(root).get("id"), "confinement": confinement}
        results = gradescope_results(
            records, _titles(course.exercises), hidden_visibility=settings.hidden_visibility, about=about
        )
    else:
        results = prairielearn_results(records[0])
    write_text(root / "results" / "results.json", json.dumps(results, indent=1) + "\n")
    return 0


def _titles(exercises: Sequence[Exercise]) -> dict[str, str]:
    return {exercise.id: exercise.title for exercise in exercises}


def _tell_github(records: Sequence[ResultRecord], titles: dict[str, str]) -> int:
    """A step's output for the reporter, its summary for the student, and the reporter's two annotations of the run."""
    results = classroom_results(records)
    points, most = sum(record.points for record in records), sum(record.max_points for record in records)
    _append("GITHUB_OUTPUT", f"result={encoded(results)}\n")
    _append("GITHUB_STEP_SUMMARY", summary(records, titles))
    print(f"::notice title=Autograding complete::Points {points:g}/{most:g}")
    report = json.dumps({"totalPoints": points, "maxPoints": most})
    print(f"::notice title=Autograding report::{report}")
    return 0 if results["status"] == "pass" else 1


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
