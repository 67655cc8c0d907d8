"""The generated class and the arithmetic of `make bench`; what it measures is not measured here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from grader.bench.class_at_scale import ClassSubmission, HandedIn, choose_exercises, make_class, write_class
from grader.bench.figures import Comparison, overheads_by_framework, percentile, projected_seconds, together
from grader.bench.in_process import time_in_process
from grader.bench.other_graders import TheirTimes
from grader.bench.sample import OurTimes, Sample, take_sample
from grader.course import Framework, Kind, load_course
from grader.grading.identical import code_hash
from grader.notebooks.submission import SubmissionError, is_untouched, read_stub, read_submission

COURSE = load_course(Path(__file__).resolve().parents[2])
TWENTY = choose_exercises(COURSE, 20)
METRICS = COURSE.exercise("metrics/classification")


def test_lessons_are_spread_over_the_frameworks_and_none_is_a_milestone() -> None:
    assert len(set(TWENTY)) == 20
    assert {exercise.framework for exercise in TWENTY[:3]} == {Framework.NUMPY, Framework.TORCH, Framework.TENSORFLOW}
    assert len({exercise.framework for exercise in TWENTY}) == 5
    assert all(exercise.kind is not Kind.MILESTONE for exercise in TWENTY)
    assert choose_exercises(COURSE, 3) == TWENTY[:3]


class TestTheClass:
    made = list(make_class([METRICS], 200))

    def test_it_has_every_kind_in_its_share_and_is_the_same_again(self) -> None:
        counted = Counter(one.handed_in for one in self.made)
        assert set(counted) == set(HandedIn) - {HandedIn.ENDLESS}
        assert (counted[HandedIn.WRONG], counted[HandedIn.HOSTILE], counted[HandedIn.UNTOUCHED]) == (50, 20, 10)
        assert counted[HandedIn.RIGHT] + counted[HandedIn.COPY] == 110, "a copy of nothing is an answer of one's own"
        assert len(self.made) == 190, "some are missing"
        assert list(make_class([METRICS], 200)) == self.made
        assert list(make_class([METRICS], 200, seed=1)) != self.made

    def test_only_copies_are_identical(self) -> None:
        stub, seen = read_stub(METRICS.stub_path), Counter[str]()
        for one in self.made:
            try:
                submission = read_submission(one.content.encode(), stub=stub)
            except SubmissionError:
                assert one.handed_in is HandedIn.HOSTILE, "cut off in the middle"
                continue
            assert is_untouched(submission, stub) == (one.handed_in is HandedIn.UNTOUCHED)
            if one.handed_in is not HandedIn.UNTOUCHED:
                code = code_hash(METRICS, submission)
                assert (one.handed_in is HandedIn.COPY) == bool(seen[code])
                seen[code] += 1

    def test_one_in_a_thousand_never_ends(self) -> None:
        made = [one.handed_in for one in make_class([METRICS], 2_000)]
        assert made.count(HandedIn.ENDLESS) == 2


def test_a_sample_is_honest_and_its_checks_run_in_one_process(tmp_path: Path) -> None:
    written = write_class(make_class([METRICS], 8), tmp_path)
    sample = take_sample(written, METRICS, 2, tmp_path)
    kinds = {one.student: one.handed_in for one in written}
    assert len(sample.students) == 2
    assert {kinds[student] for student in sample.students} <= {HandedIn.RIGHT, HandedIn.WRONG}
    reference = [METRICS.reference_path.read_text(encoding="utf-8")]
    (seconds, points), (_, none) = time_in_process(METRICS, [reference, ["x = 1"]])
    assert seconds > 0 and points == METRICS.points and none == 0


def test_ratios_and_agreement() -> None:
    ours = OurTimes(each_second=10.0, alone=0.3, in_process=0.2, points={"anna": 10.0, "boris": 7.0})
    one = Comparison("a/b", "numpy", 2, ours, TheirTimes(2.0, 3.0, {"anna": 10.0, "boris": 6.0}), "not installed")
    assert one.ratio(one.nbgrader) == 20.0 and one.ratio(one.otter) is None
    assert (one.agreeing(one.nbgrader), one.agreeing(one.otter)) == (1, 0)


def test_the_lessons_of_a_framework_are_counted_together() -> None:
    quick = OurTimes(each_second=10.0, alone=0.2, in_process=0.1, points={"anna": 10.0})
    slow = OurTimes(each_second=1.0, alone=1.2, in_process=0.9, points={"anna": 5.0})
    lessons = [
        Comparison("a/b", "numpy", 1, quick, TheirTimes(1.0, 3.0, {"anna": 10.0}), "not installed"),
        Comparison("a/c", "numpy", 3, slow, TheirTimes(2.0, 4.0, {"anna": 6.0}), TheirTimes(1.0, 1.0, {})),
        Comparison("a/d", "torch", 3, slow, "broken", "broken"),
    ]
    numpy, torch = together(lessons)
    assert (numpy.exercise, numpy.submissions, torch.exercise) == ("a/b, a/c", 4, "a/d")
    assert numpy.ours.each_second == pytest.approx(4 / (0.1 + 3)), "one after the other"
    assert isinstance(numpy.nbgrader, TheirTimes) and numpy.nbgrader.each == pytest.approx(7 / 4)
    assert numpy.agreeing(numpy.nbgrader) == 1, "the points of a student are those of a lesson"
    assert (numpy.otter, torch.nbgrader) == ("not installed", "broken")


def test_the_cost_of_the_sandbox_is_that_of_all_lessons() -> None:
    sample = Sample(METRICS, ("anna",), Path())
    timed = [(sample, OurTimes(9.0, 0.2, 0.1, {})), (sample, OurTimes(9.0, 1.0, 0.9, {}))]
    numpy, everything = overheads_by_framework(timed)
    assert (numpy.framework, numpy.lessons, everything.framework) == ("numpy", 2, "all")
    assert numpy.ratio == pytest.approx(1.2) == everything.ratio


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(number) for number in range(1, 101)], 95) == 95.0
    assert percentile([4.0], 95) == 4.0


def test_the_projection_counts_what_runs() -> None:
    def handed_in(kind: HandedIn) -> ClassSubmission:
        return ClassSubmission("anna", METRICS, kind, "")

    times = {METRICS: OurTimes(4.0, 0.3, 0.2, {})}
    kinds = [HandedIn.RIGHT, HandedIn.WRONG, HandedIn.UNTOUCHED, HandedIn.COPY]
    assert projected_seconds([handed_in(kind) for kind in kinds], times, 2) == pytest.approx(0.5)
    assert projected_seconds([handed_in(HandedIn.ENDLESS)], times, 2) == METRICS.limits.seconds
