"""nbgrader and otter on a sample of the class: the same notebooks, and the same checks run in the notebook's kernel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from grader.bench.sample import Sample
from grader.course import Course
from grader.notebooks.checks_index import read_checks_index

_CONFIGURATION = """c = get_config()
c.CourseDirectory.course_id = "bench"
c.CourseDirectory.root = {root!r}
c.ExecutePreprocessor.timeout = 120
c.Exchange.root = {exchange!r}
"""
# What a check cell of our notebooks says, as otter's kind of test: an exception is a failure.
_OTTER_TEST = """from otter.test_files import test_case

OK_FORMAT = False
name = {name!r}
points = {points!r}

@test_case(points={points!r}, hidden=False)
def {name}(env):
    from grader.checking.in_kernel import run_check
    run_check({exercise!r}, {name!r}, env)
"""
_OTTER_LOOP = """import json, sys, time
from otter.api import grade_submission
results = []
for path in sys.argv[2:]:
    started = time.perf_counter()
    graded = grade_submission(path, sys.argv[1], quiet=True)
    results.append([time.perf_counter() - started, graded.total])
print("RESULTS" + json.dumps(results))
"""


@dataclass(frozen=True)
class TheirTimes:
    """Seconds a submission in the steady state (start-up taken off), seconds to start, and points by student."""

    each: float
    start: float
    points: dict[str, float]


class DidNotRun(RuntimeError):
    """Another grader could not be run here; the message has the end of what it said."""


def environment(course: Course) -> dict[str, str]:
    """The environment in which commands of either side run: quiet, one thread a library, this course's checks."""
    own = str(Path(sys.executable).parent)
    package = str(Path(__file__).resolve().parents[2])
    return {
        **os.environ,
        **{"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        "PATH": own + os.pathsep + os.environ.get("PATH", ""),
        "PYTHONPATH": package + os.pathsep + os.environ.get("PYTHONPATH", ""),
        "COURSE_ROOT": str(course.root),
    }


def time_nbgrader(course: Course, sample: Sample, root: Path) -> TheirTimes:
    """`nbgrader autograde` on a sample, as a command; what it takes with nothing left to do is its start-up."""
    root.mkdir(parents=True)
    (root / "nbgrader_config.py").write_text(_CONFIGURATION.format(root=str(root), exchange=str(root / "exchange")))
    exercise = sample.exercise
    source = root / "source" / exercise.topic / f"{exercise.slug}.ipynb"
    source.parent.mkdir(parents=True)
    shutil.copy(exercise.solution_path, source)
    for student in sample.students:
        target = root / "submitted" / student / exercise.topic / f"{exercise.slug}.ipynb"
        target.parent.mkdir(parents=True)
        shutil.copy(sample.path(student), target)

    def nbgrader(*arguments: str) -> float:
        # autograde exits with an error when a notebook fails; the database says what it gave
        command = [sys.executable, "-m", "nbgrader", *arguments]
        started = time.perf_counter()
        subprocess.run(command, cwd=root, env=environment(course), capture_output=True, check=False)
        return time.perf_counter() - started

    nbgrader("generate_assignment", exercise.topic)
    everything = nbgrader("autograde", exercise.topic)
    start = nbgrader("autograde", exercise.topic)
    each = (everything - start) / len(sample.students)
    return TheirTimes(each, start, _nbgrader_points(root / "gradebook.db", sample))


def _nbgrader_points(database: Path, sample: Sample) -> dict[str, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{database}") as gradebook:
        return {
            submission.student.id: sum(grade.auto_score or 0.0 for grade in submission.grades)
            for submission in gradebook.notebook_submissions(sample.exercise.slug, sample.exercise.topic)
        }


def time_otter(course: Course, sample: Sample, root: Path) -> TheirTimes:
    """otter's API in one process, its quickest way, on a sample. Raises DidNotRun."""
    root.mkdir(parents=True)
    bundle = root / "autograder.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("otter_config.json", json.dumps({"lang": "python"}))
        for check in read_checks_index(sample.exercise.checks_path):
            text = _OTTER_TEST.format(name=check.name, points=check.points, exercise=sample.exercise.id)
            archive.writestr(f"tests/{check.name}.py", text)
    paths = [str(sample.path(student)) for student in sample.students]
    command = [sys.executable, "-c", _OTTER_LOOP, str(bundle), *paths]
    started = time.perf_counter()
    finished = subprocess.run(command, cwd=root, env=environment(course), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    line = next((line for line in finished.stdout.splitlines() if line.startswith("RESULTS")), "")
    if not line:
        raise DidNotRun((finished.stderr.strip() or "it said nothing").splitlines()[-1][:300])
    results = json.loads(line.removeprefix("RESULTS"))
    busy = sum(taken for taken, _ in results)
    points = {student: float(total) for student, (_, total) in zip(sample.students, results, strict=True)}
    return TheirTimes(busy / len(results), seconds - busy, points)
