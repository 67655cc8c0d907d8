"""The autograders that `course export` makes: for Gradescope, PrairieLearn and GitHub, as files by path.

All three run `grade_submission` on a bundled part of the course; they differ in what a platform wants around it.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grader.course import Course, Exercise
from grader.gradebook.wording import format_points
from grader.platforms.bundle import below
from grader.platforms.bundled_course import Files, bundled_course
from grader.platforms.requirements import constraints, requirements
from grader.platforms.settings import SETTINGS_NAME, AutograderSettings

_TEMPLATES = Path(__file__).with_name("templates")
GRADESCOPE_PROGRAMS = ("run_autograder", "setup.sh")
PRAIRIELEARN_ENTRYPOINT = "/grade/tests/run.sh"
PRAIRIELEARN_PROGRAMS = ("tests/run.sh",)
PRAIRIELEARN_MOST_SECONDS = 600
START_SECONDS = 60  # for libraries to be imported in a container that has just started
INSTALL_MINUTES = 15


def gradescope_autograder(course: Course, exercises: Sequence[Exercise], settings: AutograderSettings) -> Files:
    """The files of an autograder zip (https://gradescope-autograders.readthedocs.io/en/latest/specs/)."""
    return {
        PurePosixPath("setup.sh"): _template("gradescope_setup.sh"),
        PurePosixPath("run_autograder"): _template("gradescope_run_autograder"),
        PurePosixPath("requirements.txt"): requirements(course, exercises).encode(),
        PurePosixPath("constraints.txt"): constraints(course).encode(),
        **below("course", _with_settings(course, exercises, settings)),
    }


def prairielearn_question(course: Course, exercise: Exercise, settings: AutograderSettings, image: str) -> Files:
    """The files of a question's folder (https://prairielearn.readthedocs.io/en/latest/externalGrading/)."""
    notebook = f"{exercise.slug}.ipynb"
    return {
        PurePosixPath("info.json"): (json.dumps(_question_info(course, exercise, image), indent=2) + "\n").encode(),
        PurePosixPath("question.html"): _filled(
            "prairielearn_question.html.j2",
            title=exercise.title,
            minutes=exercise.minutes,
            points=format_points(exercise.points),
            notebook=notebook,
        ),
        PurePosixPath("clientFilesQuestion", notebook): exercise.stub_path.read_bytes(),
        PurePosixPath("tests/run.sh"): _template("prairielearn_run.sh"),
        **below("tests/course", _with_settings(course, [exercise], settings)),
    }


def prairielearn_image(course: Course, exercises: Sequence[Exercise]) -> Files:
    """The files from which the image is built in which these questions are graded."""
    return {
        PurePosixPath("Dockerfile"): _template("prairielearn_Dockerfile"),
        PurePosixPath("requirements.txt"): requirements(course, exercises).encode(),
        PurePosixPath("constraints.txt"): constraints(course).encode(),
    }


def classroom_template(
    course: Course, exercises: Sequence[Exercise], settings: AutograderSettings, repository: str, ref: str
) -> Files:
    """The files of a template repository: stubs, and a workflow that takes the checks from the course's repository."""
    seconds = sum(exercise.limits.total_seconds + START_SECONDS for exercise in exercises)
    workflow = _filled(
        "classroom.yml.j2",
        minutes=INSTALL_MINUTES + int(seconds // 60) + 1,
        repository=json.dumps(repository),  # a JSON text is a YAML one too
        ref=json.dumps(ref),
    )
    return {
        PurePosixPath(".github/workflows/classroom.yml"): workflow,
        PurePosixPath(".github", SETTINGS_NAME): settings.to_json().encode(),
        PurePosixPath(".github/autograder-requirements.txt"): requirements(course, exercises).encode(),
        **{
            PurePosixPath(exercise.topic, f"{exercise.slug}.ipynb"): exercise.stub_path.read_bytes()
            for exercise in exercises
        },
    }


def _with_settings(course: Course, exercises: Sequence[Exercise], settings: AutograderSettings) -> Files:
    files = bundled_course(course, exercises, with_answers=settings.confine)
    return {**files, PurePosixPath(SETTINGS_NAME): settings.to_json().encode()}


def _question_info(course: Course, exercise: Exercise, image: str) -> dict[str, Any]:
    limits = exercise.limits
    seconds = START_SECONDS + limits.total_seconds + 2 * limits.seconds
    digest = hashlib.sha256(f"{course.name} {exercise.id}".encode()).digest()[:16]
    return {
        "uuid": str(uuid.UUID(bytes=digest, version=4)),  # the same whenever the question is exported
        "title": exercise.title,
        "topic": course.topic(exercise.topic).title,
        "tags": [exercise.kind.value, exercise.framework.value],
        "type": "v3",
        "gradingMethod": "External",
        "singleVariant": True,
        "partialCredit": True,
        "externalGradingOptions": {
            "enabled": True,
            "image": image,
            "entrypoint": PRAIRIELEARN_ENTRYPOINT,
            "timeout": min(int(seconds), PRAIRIELEARN_MOST_SECONDS),
            "enableNetworking": False,
        },
    }


def _template(name: str) -> bytes:
    return (_TEMPLATES / name).read_bytes()


def _filled(name: str, **values: object) -> bytes:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(**values).encode()
