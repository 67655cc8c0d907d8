"""Measure how fast a class is graded, beside nbgrader and otter on a sample of the same notebooks in the same run.

A class is generated, graded as `course grade` does, and a sample of it is graded by the others with the same checks.
Machines differ and are noisy; what is worth quoting are the ratios of one run. docs/speed.md says what they mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from grader.bench.class_at_scale import ClassSubmission, HandedIn, choose_exercises, make_class, write_class
from grader.bench.display import PROJECTION, show
from grader.bench.figures import (
    LEFT_OUT,
    BenchFigures,
    ClassFigures,
    Comparison,
    overheads_by_framework,
    projected_seconds,
    times_by_framework,
)
from grader.bench.memory_watch import MemoryWatch
from grader.bench.other_graders import DidNotRun, TheirTimes, environment, time_nbgrader, time_otter
from grader.bench.sample import OurTimes, Sample, lessons_to_compare, take_sample, time_all_ours
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course, Exercise, load_course
from grader.grading.class_grading import ClassRun, grade_class

STAGES = "1 of 3: a sample of each notebook", "2 of 3: the class …", "3 of 3: {exercise} under the other graders …"


def read_libraries_from_disk(course: Course) -> None:
    """Import once what all sides import, so that none is timed while a cold disk is read for the others."""
    libraries = "import hypothesis, nbgrader.api, numpy, pytest, tensorflow, torch"
    subprocess.run([sys.executable, "-c", libraries], env=environment(course), capture_output=True, check=False)


def time_class(
    course: Course, exercises: Sequence[Exercise], written: Sequence[ClassSubmission], folder: Path, jobs: int
) -> ClassFigures:
    """Grade the class in `folder`/submitted as `course grade` does, with a progress bar, and watch the memory."""
    from grader.cli.grade_display import grading_progress

    run = ClassRun(course, folder / "submitted", folder / "results", tuple(exercises), jobs=jobs)
    done = total = 0
    started = time.perf_counter()
    with MemoryWatch() as watch, grading_progress(Console(stderr=True), quiet=True) as (on_start, on_result):

        def count(number: int) -> None:
            nonlocal total
            total = number
            on_start(number)

        def progress(record: ResultRecord, reused: bool) -> None:
            nonlocal done
            done += 1
            watch.progress(done / total)
            on_result(record, reused)

        result = grade_class(run, count, progress)
    seconds = time.perf_counter() - started
    endless = {(one.student, one.exercise.id) for one in written if one.handed_in is HandedIn.ENDLESS}
    ran = [record for record in result.records if record.seconds]
    stopped = [record for record in ran if (record.student, record.exercise) in endless]
    return ClassFigures(
        submissions=len(written),
        made_of=dict(Counter(one.handed_in.value for one in written)),
        seconds=seconds,
        identical=result.identical,
        endless=len(stopped),
        endless_seconds=sum(record.seconds for record in stopped),
        statuses=dict(
            Counter(one.status.value for one in result.records if one.status is not SubmissionStatus.MISSING)
        ),
        by_framework=times_by_framework(course, [record for record in ran if record not in stopped]),
        memory=watch.peaks,
    )


def compare(course: Course, sample: Sample, ours: OurTimes, folder: Path, others: bool) -> Comparison:
    """A sample under the other graders, unless they are left out."""

    def theirs(name: str, grade: Callable[[Course, Sample, Path], TheirTimes]) -> TheirTimes | str:
        if not others:
            return LEFT_OUT
        try:
            return grade(course, sample, folder / name / sample.exercise.slug)
        except DidNotRun as error:
            return str(error)

    nbgrader, otter = theirs("nbgrader", time_nbgrader), theirs("otter", time_otter)
    exercise = sample.exercise
    return Comparison(exercise.id, exercise.framework.value, len(sample.students), ours, nbgrader, otter)


def time_help(course: Course, repeats: int = 5) -> float:
    """Median seconds of `course --help`."""
    command, times = [str(Path(sys.executable).parent / "course"), "--help"], []
    if not Path(command[0]).exists():
        command = [sys.executable, "-m", "grader.cli", "--help"]
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, env=environment(course), capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m grader.bench", description=__doc__)
    parser.add_argument("--students", type=int, default=300, help="students in the class (default 300)")
    parser.add_argument("--notebooks", type=int, default=20, help="notebooks for each student (default 20)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="graded at once (default: one a core)")
    parser.add_argument("--sample", type=int, default=4, help="notebooks a lesson for the comparison (default 4)")
    parser.add_argument("--lessons", type=int, default=2, help="lessons a framework for the comparison (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes another class (default 0)")
    parser.add_argument("--alone", action="store_true", help="leave nbgrader and otter out: they take most of the time")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    counts = arguments.students, arguments.notebooks, arguments.jobs, arguments.sample, arguments.lessons
    if min(counts) < 1:
        parser.error("students, notebooks, jobs, sample and lessons must be at least 1")
    return arguments


def main() -> None:
    """Entry point of `python -m grader.bench`."""
    arguments, course, progress = _arguments(), load_course(), Console(stderr=True)
    exercises = choose_exercises(course, arguments.notebooks)
    with tempfile.TemporaryDirectory(prefix="course-bench-") as directory:
        folder = Path(directory)
        written = write_class(make_class(exercises, arguments.students, arguments.seed), folder / "submitted")
        read_libraries_from_disk(course)
        samples = [take_sample(written, exercise, arguments.sample, folder / "submitted") for exercise in exercises]
        samples = [sample for sample in samples if sample.students]
        with Progress(console=progress) as bar:
            task = bar.add_task(STAGES[0], total=len(samples))
            ours = time_all_ours(course, samples, arguments.jobs, folder / "cache", lambda: bar.advance(task))
        timed = list(zip(samples, ours, strict=True))
        overheads = overheads_by_framework(timed)
        minutes = projected_seconds(written, {sample.exercise: times for sample, times in timed}, arguments.jobs) / 60
        progress.print(PROJECTION.format(count=len(written), jobs=arguments.jobs, minutes=minutes))
        progress.print(STAGES[1])
        figures = BenchFigures(time_class(course, exercises, written, folder, arguments.jobs), overheads)
        compared = lessons_to_compare(exercises, arguments.lessons)
        for sample, times in timed:
            if sample.exercise in compared:
                if not arguments.alone:
                    progress.print(STAGES[2].format(exercise=sample.exercise.id))
                    # Again, right before the others: a machine is not as fast as it was before the class.
                    (times,) = time_all_ours(course, [sample], arguments.jobs, folder / "cache")
                figures.comparisons.append(compare(course, sample, times, folder, not arguments.alone))
    figures.course_help_seconds = time_help(course)
    if arguments.json:
        print(json.dumps(figures.as_json(), indent=1))
    else:
        show(Console(), figures)


if __name__ == "__main__":
    main()
