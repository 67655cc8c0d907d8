"""A sample of the class's right and wrong notebooks, and how fast this grades it once everything is warm."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from grader.behaviours import Diagnostician
from grader.bench.class_at_scale import ClassSubmission, HandedIn
from grader.bench.in_process import time_in_process
from grader.checking.record import ResultRecord
from grader.course import Course, Exercise, Framework
from grader.grading.collect import CollectedSubmission
from grader.grading.engine import LocalEngine
from grader.grading.submission_grading import Grader
from grader.notebooks.submission import Submission, read_stub, read_submission

COMPARED = (Framework.NUMPY, Framework.TORCH, Framework.TENSORFLOW)
PARALLEL_REPEATS = 3  # of the sample, so that a throughput is more than a moment


@dataclass(frozen=True)
class Sample:
    """Some students' notebooks for one exercise, in nbgrader's layout in `folder`."""

    exercise: Exercise
    students: tuple[str, ...]
    folder: Path

    def path(self, student: str) -> Path:
        """A student's notebook."""
        return self.folder / student / self.exercise.topic / f"{self.exercise.slug}.ipynb"


@dataclass(frozen=True)
class OurTimes:
    """Warm, for one sample: submissions a second with `jobs` at once, seconds each alone, and of the checks in process;
    points by student."""

    each_second: float
    alone: float
    in_process: float
    points: dict[str, float]


def average(times: Sequence[OurTimes], weights: Sequence[int]) -> OurTimes:
    """Of several lessons' samples, each of so many submissions; points stay with their lessons."""
    total = sum(weights)
    return OurTimes(
        each_second=total / sum(weight / one.each_second for one, weight in zip(times, weights, strict=True)),
        alone=sum(weight * one.alone for one, weight in zip(times, weights, strict=True)) / total,
        in_process=sum(weight * one.in_process for one, weight in zip(times, weights, strict=True)) / total,
        points={},
    )


def lessons_to_compare(exercises: Sequence[Exercise], count: int) -> list[Exercise]:
    """So many lessons of each of the frameworks that are compared, the first of each."""
    return [
        one
        for framework in COMPARED
        for one in [exercise for exercise in exercises if exercise.framework is framework][:count]
    ]


def take_sample(submissions: Sequence[ClassSubmission], exercise: Exercise, size: int, folder: Path) -> Sample:
    """The first right and wrong notebooks for an exercise: no hostile ones, which other graders would not survive."""
    honest = (HandedIn.RIGHT, HandedIn.WRONG)
    chosen = [one.student for one in submissions if one.exercise is exercise and one.handed_in in honest]
    return Sample(exercise, tuple(chosen[:size]), folder)


def time_all_ours(
    course: Course, samples: Sequence[Sample], jobs: int, cache: Path, on_done: Callable[[], object] = lambda: None
) -> list[OurTimes]:
    """The times of each sample, in the warm processes of one class; `on_done` is called after each."""
    times = []
    with LocalEngine(course, exercises=[sample.exercise for sample in samples], ahead=True) as engine:
        grader = Grader(engine, Diagnostician(engine, cache))
        for sample in samples:
            times.append(time_ours(grader, sample, jobs))
            on_done()
    return times


def time_ours(grader: Grader, sample: Sample, jobs: int) -> OurTimes:
    """Grade a sample: each submission once unmeasured, then one at a time, then `jobs` at once."""

    def grade(student: str) -> ResultRecord:
        path = sample.path(student)
        collected = CollectedSubmission(student, sample.exercise.id, str(path), path=path)
        read = grader.read(sample.exercise, collected)
        return grader.grade(sample.exercise, collected, read) if isinstance(read, Submission) else read

    records = [grade(student) for student in sample.students]
    started = time.perf_counter()
    for student in sample.students:
        grade(student)
    alone = (time.perf_counter() - started) / len(sample.students)
    many = sample.students * PARALLEL_REPEATS
    started = time.perf_counter()
    with ThreadPoolExecutor(jobs) as executor:
        list(executor.map(grade, many))
    each_second = len(many) / (time.perf_counter() - started)
    stub = read_stub(sample.exercise.stub_path)
    cells = [read_submission(sample.path(student), stub=stub).code_cells for student in sample.students]
    in_process = time_in_process(sample.exercise, cells)
    points = {record.student: record.points for record in records}
    if list(points.values()) != [found for _, found in in_process]:
        raise RuntimeError(f"{sample.exercise.id}: in process {in_process}, in the sandbox {points}")
    return OurTimes(each_second, alone, sum(seconds for seconds, _ in in_process) / len(in_process), points)
