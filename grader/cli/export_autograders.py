"""What `course export` writes for platforms that grade, and what it shows: where it is, and what to do with it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rich.console import Console

from grader.course import load_course
from grader.platforms.autograders import (
    GRADESCOPE_PROGRAMS,
    PRAIRIELEARN_PROGRAMS,
    classroom_template,
    gradescope_autograder,
    prairielearn_image,
    prairielearn_question,
)
from grader.platforms.bundle import below, write_folder, write_zip
from grader.platforms.bundled_course import Files
from grader.platforms.gradescope_results import Visibility
from grader.platforms.points import ExportError
from grader.platforms.settings import AutograderSettings, Platform

BAD_REPOSITORY = "--repository {given!r}: write OWNER/NAME, as in https://github.com/OWNER/NAME"
UNCONFINED = (
    "Exported with --unconfined: students' code can read the checks and change the results. Instructors see that in "
    "the output of every run; there are no diagnoses."
)
GRADESCOPE_NEXT = "Upload it under Configure Autograder; the base image must have Python 3.11 or newer (Ubuntu 24.04)."
PRAIRIELEARN_NEXT = "Build and push the image ({image}) from {folder}, and copy questions/ into your course."
CLASSROOM_NEXT = "Push the folder as a template repository; a private course needs the secret COURSE_TOKEN."
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


def export_gradescope(
    exercises: Sequence[str], output: Path, *, hidden_visibility: str, seed: int, confine: bool, as_json: bool
) -> None:
    """Write an autograder zip. Raises CourseError, OSError."""
    course = load_course()
    chosen = course.select(exercises)
    ids = tuple(exercise.id for exercise in chosen)
    settings = AutograderSettings(Platform.GRADESCOPE, ids, seed, Visibility(hidden_visibility), confine)
    size = write_zip(gradescope_autograder(course, chosen, settings), output, GRADESCOPE_PROGRAMS)
    points = sum(exercise.points for exercise in chosen)
    _report(output, ids, f"{size / 1024:.0f} KB, {points:g} points. {GRADESCOPE_NEXT}", confine, as_json)


def export_prairielearn(
    folder: Path, exercises: Sequence[str], image: str, *, seed: int, confine: bool, as_json: bool
) -> None:
    """Write questions and the image's folder. Raises CourseError, OSError."""
    course = load_course()
    chosen = course.select(exercises)
    files: Files = below("image", prairielearn_image(course, chosen))
    programs = []
    for exercise in chosen:
        settings = AutograderSettings(Platform.PRAIRIELEARN, (exercise.id,), seed, confine=confine)
        question = f"questions/{exercise.topic}_{exercise.slug}"
        files |= below(question, prairielearn_question(course, exercise, settings, image))
        programs += [str(PurePosixPath(question, name)) for name in PRAIRIELEARN_PROGRAMS]
    write_folder(files, folder, programs)
    following = PRAIRIELEARN_NEXT.format(image=image, folder=folder / "image")
    _report(folder, [exercise.id for exercise in chosen], following, confine, as_json)


def export_classroom(
    folder: Path, exercises: Sequence[str], repository: str, ref: str, *, seed: int, confine: bool, as_json: bool
) -> None:
    """Write a template repository. Raises CourseError, ExportError, OSError."""
    if not _REPOSITORY.fullmatch(repository):
        raise ExportError(BAD_REPOSITORY.format(given=repository))
    course = load_course()
    chosen = course.select(exercises)
    ids = tuple(exercise.id for exercise in chosen)
    settings = AutograderSettings(Platform.CLASSROOM, ids, seed, confine=confine)
    write_folder(classroom_template(course, chosen, settings, repository, ref), folder)
    _report(folder, ids, CLASSROOM_NEXT, confine, as_json)


def _report(path: Path, exercises: Sequence[str], following: str, confine: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"written": str(path), "exercises": list(exercises), "confined": confine}, indent=1))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"Written: {path} ({', '.join(exercises)})")
    console.print(following)
    if not confine:
        Console(stderr=True, soft_wrap=True).print(UNCONFINED, style="bold red", markup=False)
