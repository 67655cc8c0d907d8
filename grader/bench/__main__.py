"""Measure and print: `course grade` and `nbgrader autograde` on the same class, warm checks, start of the command.

Machines differ and are noisy; what is worth quoting are the ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from grader.bench.submissions import BENCH_EXERCISES, BenchSubmission, generate, write
from grader.course import Course, load_course
from grader.grading.engine import Job, LocalEngine

_CONFIGURATION = """c = get_config()
c.CourseDirectory.course_id = "bench"
c.CourseDirectory.root = {root!r}
c.ExecutePreprocessor.timeout = 120
c.Exchange.root = {exchange!r}
"""


def _environment(course: Course) -> dict[str, str]:
    own = str(Path(sys.executable).parent)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return {
        **os.environ,
        **quiet,
        "PATH": own + os.pathsep + os.environ.get("PATH", ""),
        "COURSE_ROOT": str(course.root),
    }


def read_libraries_from_disk(course: Course) -> None:
    """Import once what both sides import, so that neither is timed while a cold disk is read for the other."""
    libraries = "import hypothesis, nbgrader.api, numpy, pytest, tensorflow, torch"
    subprocess.run([sys.executable, "-c", libraries], env=_environment(course), capture_output=True, check=False)


def time_course_grade(course: Course, folder: Path, output: Path) -> tuple[float, dict[str, float]]:
    """Seconds for `course grade` as a command, and the points by "student exercise"."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "grader.cli", "grade", str(folder), "--output", str(output), "--json"]
    finished = subprocess.run(command, env=_environment(course), capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"course grade failed:\n{finished.stderr[-3000:]}")
    seconds = time.perf_counter() - started
    records = json.loads(finished.stdout)["records"]
    return seconds, {f"{record['student']} {record['exercise']}": record["points"] for record in records}


def time_nbgrader(
    course: Course, submissions: Sequence[BenchSubmission], root: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds for `nbgrader autograde` by topic (set-up not counted), and the points by "student exercise"."""
    environment = _environment(course)
    (root / "nbgrader_config.py").write_text(_CONFIGURATION.format(root=str(root), exchange=str(root / "exchange")))
    exercises = {submission.exercise.id: submission.exercise for submission in submissions}
    for exercise in exercises.values():
        source = root / "source" / exercise.topic / f"{exercise.slug}.ipynb"
        source.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(exercise.solution_path, source)
    write(list(submissions), root / "submitted")

    def nbgrader(*arguments: str) -> None:
        # autograde exits with an error when a notebook fails; the database says what it gave
        command = [sys.executable, "-m", "nbgrader", *arguments]
        subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)

    seconds = {}
    for exercise in exercises.values():
        nbgrader("generate_assignment", exercise.topic)
        started = time.perf_counter()
        nbgrader("autograde", exercise.topic)
        seconds[exercise.id] = time.perf_counter() - started
    return seconds, _nbgrader_points(root / "gradebook.db", exercises.keys())


def _nbgrader_points(database: Path, exercises: Iterable[str]) -> dict[str, float]:
    from nbgrader.api import Gradebook

    points = {}
    with Gradebook(f"sqlite:///{database}") as gradebook:
        for identifier in exercises:
            topic, _, slug = identifier.partition("/")
            for submission in gradebook.notebook_submissions(slug, topic):
                automatic = sum(grade.auto_score or 0.0 for grade in submission.grades)
                points[f"{submission.student.id} {identifier}"] = automatic
    return points


def time_warm_checks(course: Course, repeats: int) -> dict[str, float]:
    """Median seconds from code to verdict in a warm engine, by exercise."""
    medians = {}
    with LocalEngine(course) as engine:
        for identifier in BENCH_EXERCISES:
            exercise = course.exercise(identifier)
            job = Job(exercise, (exercise.reference_path.read_text(encoding="utf-8"),), trace=True)
            engine.run(job)
            medians[identifier] = statistics.median(engine.run(job).seconds for _ in range(repeats))
    return medians


def time_help(course: Course, repeats: int = 5) -> float:
    """Median seconds of `course --help`."""
    command, times = [str(Path(sys.executable).parent / "course"), "--help"], []
    if not Path(command[0]).exists():
        command = [sys.executable, "-m", "grader.cli", "--help"]
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, env=_environment(course), capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Entry point of `python -m grader.bench`."""
    parser = argparse.ArgumentParser(prog="python -m grader.bench", description=__doc__)
    parser.add_argument("--students", type=int, default=10, help="submissions an exercise (default 10, so 30 in all)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    course = load_course()
    submissions = generate(course, arguments.students)
    with tempfile.TemporaryDirectory(prefix="course-bench-") as directory:
        folder = Path(directory)
        print(f"Grading {len(submissions)} submissions with course grade …", file=sys.stderr)
        write(submissions, folder / "submitted")
        read_libraries_from_disk(course)
        ours, our_points = time_course_grade(course, folder / "submitted", folder / "results")
        print(f"  {ours:.1f} s. The same with nbgrader autograde (minutes) …", file=sys.stderr)
        (folder / "nbgrader").mkdir()
        theirs, their_points = time_nbgrader(course, submissions, folder / "nbgrader")
    warm = time_warm_checks(course, 5)
    help_seconds = time_help(course)
    total = sum(theirs.values())
    agree = sum(our_points.get(key) == points for key, points in their_points.items())
    figures = {
        "submissions": len(submissions),
        "course_grade_seconds": round(ours, 2),
        "nbgrader_autograde_seconds": round(total, 2),
        "nbgrader_by_exercise": {name: round(seconds, 2) for name, seconds in theirs.items()},
        "ratio": round(total / ours, 1),
        "same_points": f"{agree} of {len(their_points)}",
        "warm_check_seconds": {name: round(seconds, 3) for name, seconds in warm.items()},
        "course_help_seconds": round(help_seconds, 3),
        "processors": os.cpu_count(),
    }
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{len(submissions)} submissions, {os.cpu_count()} processors, everything included:")
    print(f"  course grade         {ours:8.1f} s   {len(submissions) / ours:6.2f} submissions a second")
    print(f"  nbgrader autograde   {total:8.1f} s   {len(submissions) / total:6.2f} submissions a second")
    for name, seconds in theirs.items():
        print(f"    {name:<34} {seconds / arguments.students:6.2f} s each")
    print(f"  ratio                {total / ours:8.1f}   same points: {agree} of {len(their_points)}")
    print("Warm, from code to verdict (median):")
    for name, seconds in warm.items():
        print(f"    {name:<34} {seconds:6.3f} s")
    print(f"course --help (median of 5): {help_seconds:.3f} s")


if __name__ == "__main__":
    main()
