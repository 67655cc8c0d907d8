"""What `make bench` found, as plain data, and the arithmetic behind it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from grader.bench.class_at_scale import ClassSubmission, HandedIn
from grader.bench.memory_watch import MemoryPeaks
from grader.bench.other_graders import TheirTimes
from grader.bench.sample import OurTimes, Sample, average
from grader.checking.record import ResultRecord
from grader.course import Course, Exercise, Framework

LEFT_OUT = "left out"
ALL = "all"


@dataclass(frozen=True)
class FrameworkTimes:
    """Seconds from code to verdict of the submissions that ran, without endless ones."""

    submissions: int
    median: float
    p95: float


@dataclass
class ClassFigures:
    """The generated class, graded as `course grade` does: everything from reading it to the gradebook is in `seconds`.

    `endless` is how many submissions ran until their time was up, and `endless_seconds` what that took.
    """

    submissions: int
    made_of: dict[str, int]
    seconds: float
    identical: int
    endless: int
    endless_seconds: float
    statuses: dict[str, int]
    by_framework: dict[str, FrameworkTimes]
    memory: list[MemoryPeaks]

    @property
    def each_second(self) -> float:
        """Submissions a second, with everything."""
        return self.submissions / self.seconds


@dataclass(frozen=True)
class Comparison:
    """One exercise's sample under each grader; `nbgrader` and `otter` hold the reason where one did not run."""

    exercise: str
    framework: str
    submissions: int
    ours: OurTimes
    nbgrader: TheirTimes | str
    otter: TheirTimes | str

    def ratio(self, theirs: TheirTimes | str) -> float | None:
        """Our throughput over theirs, both in the steady state."""
        return None if isinstance(theirs, str) else theirs.each * self.ours.each_second

    def agreeing(self, theirs: TheirTimes | str) -> int:
        """How many of the sample got the same points from both."""
        points = {} if isinstance(theirs, str) else theirs.points
        return sum(points.get(student) == ours for student, ours in self.ours.points.items())


@dataclass(frozen=True)
class Overhead:
    """Mean seconds of one submission, over so many lessons' samples: ours alone, and the checks' own in one process."""

    framework: str
    lessons: int
    alone: float
    in_process: float

    @property
    def ratio(self) -> float:
        """What the sandbox costs."""
        return self.alone / self.in_process


@dataclass
class BenchFigures:
    """Everything of one run."""

    graded: ClassFigures
    overheads: list[Overhead] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    course_help_seconds: float = 0.0
    processors: int = os.cpu_count() or 1

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the ratios."""
        compared = [
            {
                **asdict(one),
                "nbgrader_ratio": one.ratio(one.nbgrader),
                "otter_ratio": one.ratio(one.otter),
                "nbgrader_same_points": one.agreeing(one.nbgrader),
                "otter_same_points": one.agreeing(one.otter),
            }
            for one in self.comparisons
        ]
        overheads = [{**asdict(one), "ratio": one.ratio} for one in self.overheads]
        return {
            **asdict(self),
            "overheads": overheads,
            "comparisons": compared,
            "submissions_a_second": self.graded.each_second,
        }


def together(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The lessons of each framework as one comparison: all their notebooks, one after the other."""
    groups: dict[str, list[Comparison]] = {}
    for one in comparisons:
        groups.setdefault(one.framework, []).append(one)
    return [
        Comparison(
            exercise=", ".join(one.exercise for one in group),
            framework=framework,
            submissions=sum(one.submissions for one in group),
            ours=replace(
                average([one.ours for one in group], [one.submissions for one in group]),
                points={f"{one.exercise} {who}": points for one in group for who, points in one.ours.points.items()},
            ),
            nbgrader=_their_average(group, [one.nbgrader for one in group]),
            otter=_their_average(group, [one.otter for one in group]),
        )
        for framework, group in groups.items()
    ]


def _their_average(group: Sequence[Comparison], times: Sequence[TheirTimes | str]) -> TheirTimes | str:
    ran = [one for one in times if not isinstance(one, str)]
    if len(ran) < len(times):
        return next(one for one in times if isinstance(one, str))
    weights = [one.submissions for one in group]
    return TheirTimes(
        each=sum(weight * one.each for weight, one in zip(weights, ran, strict=True)) / sum(weights),
        start=max(one.start for one in ran),
        points={
            f"{lesson.exercise} {who}": points
            for lesson, one in zip(group, ran, strict=True)
            for who, points in one.points.items()
        },
    )


def times_by_framework(course: Course, records: Iterable[ResultRecord]) -> dict[str, FrameworkTimes]:
    """Median and 95th percentile of the seconds of those that ran, by framework."""
    seconds: dict[Framework, list[float]] = {}
    for record in records:
        seconds.setdefault(course.exercise(record.exercise).framework, []).append(record.seconds)
    return {
        framework.value: FrameworkTimes(len(values), percentile(values, 50), percentile(values, 95))
        for framework, values in sorted(seconds.items(), key=lambda item: item[0].value)
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def overheads_by_framework(timed: Sequence[tuple[Sample, OurTimes]]) -> list[Overhead]:
    """For each framework, and for all together."""
    groups: dict[str, list[OurTimes]] = {}
    for sample, times in timed:
        groups.setdefault(sample.exercise.framework.value, []).append(times)
    groups[ALL] = [times for _, times in timed]
    return [
        Overhead(name, len(group), fmean(one.alone for one in group), fmean(one.in_process for one in group))
        for name, group in groups.items()
        if group
    ]


def projected_seconds(submissions: Sequence[ClassSubmission], times: Mapping[Exercise, OurTimes], jobs: int) -> float:
    """How long the class will take, from the samples; a notebook without one counts as the slowest."""
    slowest = min((one.each_second for one in times.values()), default=1.0)
    total = 0.0
    for one in submissions:
        if one.handed_in in (HandedIn.UNTOUCHED, HandedIn.COPY):
            continue
        if one.handed_in is HandedIn.ENDLESS:
            total += 2 * one.exercise.limits.seconds / jobs
            continue
        total += 1 / (times[one.exercise].each_second if one.exercise in times else slowest)
    return total
