"""Processes made before a job needs them, and the processor that a job's processes share."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from grader.course import Exercise, Framework, Kind, Limits, load_course
from grader.grading import processors
from grader.grading.ahead import MAX_KINDS, MadeAhead
from grader.grading.engine import LocalEngine
from grader.grading.jobs import Job, JobResult
from grader.grading.processors import Processors, keep_on
from grader.sandbox.confinement import missing_protections
from tests.grader.waiting import eventually

COURSE = load_course()
CHECKS = '''
from grader.checking import *

@points(1)
def test_first(student):
    """One becomes two."""
    assert_equal(student.double(1), {expected})

@points(1)
def test_second(student):
    """Two become four."""
    assert_equal(student.double(2), 4)
'''
RIGHT = "def double(x):\n    return 2 * x\n"
can_confine = pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")


class TestMadeAhead:
    def test_the_first_is_not_there_and_the_second_is(self):
        made = []
        ahead = MadeAhead[str, int](lambda kind: made.append(kind) or len(made), lambda one: None)
        assert ahead.take("a") is None
        assert eventually(lambda: ahead.waiting() == [1])
        assert ahead.take("a") == 1
        assert ahead.take("b") is None
        assert ahead.take("a") == 2 or made.count("b") == 1
        ahead.close()

    def test_what_cannot_be_made_is_not_there(self):
        def fail(kind):
            raise OSError("no more processes")

        ahead = MadeAhead[str, int](fail, lambda one: None)
        assert [ahead.take("a") for _ in range(3)] == [None, None, None]
        ahead.close()

    def test_kinds_that_are_not_used_any_more_are_ended(self):
        ended = []
        ahead = MadeAhead[int, int](lambda kind: kind, ended.append)
        for kind in range(MAX_KINDS + 3):
            ahead.take(kind)
        assert eventually(lambda: sorted(ended) == [0, 1, 2])
        ahead.close()
        assert sorted(ended) == list(range(MAX_KINDS + 3))

    def test_close_ends_what_is_left_and_what_comes_later(self):
        ended = []
        ahead = MadeAhead[str, str](lambda kind: kind, ended.append)
        ahead.take("a")
        ahead.close()
        assert ended == ["a"]
        ahead.end_later(lambda: ended.append("later"))
        assert ended == ["a", "later"]
        assert ahead.take("a") is None and ended == ["a", "later"]

    def test_nobody_waits_for_an_end(self):
        release, ended = threading.Event(), []
        ahead = MadeAhead[str, str](lambda kind: kind, ended.append)
        ahead.end_later(lambda: release.wait(5) and ended.append("slow"))
        ahead.take("a")
        assert ahead.take("a") == "a" and ended == []
        release.set()
        ahead.close()
        assert sorted(ended) == ["a", "slow"]

    def test_every_one_is_taken_once(self):
        count = iter(range(10_000))
        ahead = MadeAhead[str, int](lambda kind: next(count), lambda one: None)
        with ThreadPoolExecutor(8) as executor:
            taken = [one for one in executor.map(lambda _: ahead.take("a"), range(400)) if one is not None]
        assert len(taken) == len(set(taken)) > 300
        ahead.close()


class TestProcessors:
    def test_each_job_has_the_one_with_the_fewest(self, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
        found = Processors()
        taken = [found.take() for _ in range(6)]
        assert Counter(taken) == {2: 2, 5: 2, 7: 2}
        found.give_back(5)
        assert found.take() == 5

    def test_of_these_the_one_that_was_idle_longest(self, monkeypatch):
        idle = iter([Counter({2: 10, 5: 10}), Counter({2: 11, 5: 30})])
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5}, raising=False)
        monkeypatch.setattr(processors, "idle_time", lambda: next(idle))
        assert Processors().take() == 5

    def test_without_affinity_the_system_chooses(self, monkeypatch):
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        found = Processors()
        assert found.take() is None
        found.give_back(None)
        keep_on(os.getpid(), None)

    def test_idle_time_of_this_machine(self):
        if processors._STATISTICS.exists():
            assert set(processors.idle_time()) >= set(os.sched_getaffinity(0))

    def test_no_statistics(self, monkeypatch, tmp_path):
        monkeypatch.setattr(processors, "_STATISTICS", tmp_path / "stat")
        assert processors.idle_time() == Counter()

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system knows no affinity")
    def test_a_process_that_has_ended_is_left(self):
        process = os.fork()
        if process == 0:
            os._exit(0)
        os.waitpid(process, 0)
        keep_on(process, min(os.sched_getaffinity(0)))


@pytest.fixture
def small(tmp_path):
    """An exercise of two quick checks."""
    limits = Limits(seconds=5, total_seconds=30)
    exercise = Exercise(tmp_path, "topic/small", "Small", Kind.CODING, Framework.NUMPY, 1, 5, 6, limits=limits)
    exercise.checks_path.parent.mkdir(parents=True)
    exercise.checks_path.write_text(CHECKS.format(expected=2))
    return exercise


def said(result: JobResult) -> list[object]:
    return [result.problem, result.traces, [replace(check, seconds=0.0) for check in result.checks]]


@can_confine
class TestAnEngineThatForksAhead:
    def test_results_are_those_of_one_that_does_not(self, small):
        sources = [RIGHT, "def double(x): return x\n", RIGHT + "import os; os._exit(3)", "", "def double(x): 1 / 0"]
        jobs = [Job(small, (source,), trace=True) for source in sources] * 3
        with LocalEngine(COURSE) as engine:
            expected = [said(engine.run(job)) for job in jobs]
        with LocalEngine(COURSE, ahead=True) as engine, ThreadPoolExecutor(3) as executor:
            assert [said(result) for result in executor.map(engine.run, jobs)] == expected

    def test_nothing_is_left_of_what_ran(self, small):
        with LocalEngine(COURSE, ahead=True) as engine:
            directory = engine._directory
            for _ in range(3):
                engine.run(Job(small, (RIGHT,)))
            assert eventually(lambda: len(list(directory.glob("student-*"))) == 1)  # the next one's
        assert not directory.exists()

    def test_one_that_was_killed_is_not_used(self, small):
        with LocalEngine(COURSE, ahead=True) as engine:
            engine.run(Job(small, (RIGHT,)))
            assert engine._ahead is not None
            waiting = [future.result() for ready in engine._ahead._ready.values() for future in ready]
            assert len(waiting) == 2
            for forked in waiting:
                os.kill(forked.child.process, signal.SIGKILL)
            assert eventually(lambda: all(forked.child.done.is_set() for forked in waiting))
            assert [check.points for check in engine.run(Job(small, (RIGHT,))).checks] == [1.0, 1.0]

    def test_a_check_that_was_corrected_counts_at_once(self, small):
        with LocalEngine(COURSE, ahead=True) as engine:
            small.checks_path.write_text(CHECKS.format(expected=200))
            assert [check.points for check in engine.run(Job(small, (RIGHT,))).checks] == [0.0, 1.0]
            small.checks_path.write_text(CHECKS.format(expected=2))
            assert [check.points for check in engine.run(Job(small, (RIGHT,))).checks] == [1.0, 1.0]
