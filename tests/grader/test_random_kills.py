"""Warm processes and checkers killed while a class is graded: every result is the one of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome
from grader.course import Exercise, Framework, Kind, Limits, load_course
from grader.grading.engine import ATTEMPTS, LocalEngine
from grader.grading.jobs import Job, JobResult
from grader.sandbox.confinement import missing_protections
from tests.grader import waiting

COURSE = load_course()
CHECKS = '''
import time
from hypothesis import given, strategies as st
from grader.checking import *

@visible
@points(1)
def test_first(student):
    """One becomes two."""
    assert_equal(student.double(1), 2)

@points(2)
@given(n=st.integers(0, 1000))
def test_many(student, n):
    """Everything is doubled."""
    assert_equal(student.double(n), 2 * n)
'''
TORCH_CHECKS = CHECKS.replace("import time", "import torch")
RIGHT = "import time\ntime.sleep(0.15)\ndef double(x):\n    return 2 * x\n"
WRONG = RIGHT.replace("2 * x", "2 * x if x < 50 else x")
DIES = "import os\n" + RIGHT.replace("2 * x", "2 * x if x < 50 else os._exit(3)")
STUMBLES = "1 / 0"

pytestmark = pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")
eventually = partial(waiting.eventually, seconds=20.0)


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    with LocalEngine(COURSE, exercises=[]) as engine:
        yield engine


def make_exercise(root: Path, framework: Framework, checks: str) -> Exercise:
    limits = Limits(seconds=20, total_seconds=120)  # a busy machine must not decide
    exercise = Exercise(root, "topic/small", "Small", Kind.CODING, framework, 1, 5, 3, limits=limits)
    exercise.checks_path.parent.mkdir(parents=True)
    exercise.checks_path.write_text(checks)
    return exercise


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Twenty-four: two thirds NumPy, one third torch; a third right, the others wrong in three ways."""
    numpy = make_exercise(tmp_path_factory.mktemp("numpy"), Framework.NUMPY, CHECKS)
    torch = make_exercise(tmp_path_factory.mktemp("torch"), Framework.TORCH, TORCH_CHECKS)
    torch = replace(torch, id="topic/large")
    torch.checks_path.write_text(TORCH_CHECKS)
    sources = (RIGHT, WRONG, RIGHT, DIES, STUMBLES, WRONG)
    return [
        Job(torch if number % 3 == 2 else numpy, (sources[number % 6], f"# {number}"), seed=number, trace=True)
        for number in range(24)
    ]


def comparable(result: JobResult) -> list[object]:
    """A result without times."""
    checks = [replace(check, seconds=0.0) for check in result.checks]
    return [checks, result.traces, result.remarks, result.output, result.problem, result.out_of_time]


def kill(process: int | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_results_are_those_of_an_undisturbed_run(engine: LocalEngine, jobs: list[Job]) -> None:
    undisturbed = [comparable(engine.run(job)) for job in jobs]
    assert len({str(result[0]) for result in undisturbed}) >= 4, "right and wrong ones are told apart"
    assert not any(result[4] for result in undisturbed)
    chance = random.Random(7)
    killed = []
    with ThreadPoolExecutor(2) as executor:
        running = [executor.submit(engine.run, job) for job in jobs]
        for number in range(0, len(jobs) - 2, 4):  # so seldom that no job is hit in all of its attempts
            running[number].result(120)
            time.sleep(chance.uniform(0, 0.3))
            name, server = chance.choice(sorted(engine.warm_processes._servers.items()))
            kill(server.process_id)
            killed.append(name.partition("-")[0])
        disturbed = [comparable(future.result(120)) for future in running]
    assert disturbed == undisturbed
    assert len(killed) == 6 and len(set(killed)) >= 3, killed


@pytest.mark.parametrize("name", ["first", "students-numpy", "checkers-numpy", "checks-topic-small"])
def test_each_kind_killed_while_a_submission_is_loading(engine: LocalEngine, jobs: list[Job], name: str) -> None:
    job = replace(jobs[0], cells=("import time\ntime.sleep(0.8)", *jobs[0].cells))
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(engine.run, job)
        assert eventually(lambda: name in engine.warm_processes._servers)
        students = engine.warm_processes.students(job.exercise.framework)
        assert eventually(lambda: students.has_children)
        kill(engine.warm_processes._servers[name].process_id)
        result = running.result(120)
    assert result.problem == "" and [check.outcome for check in result.checks] == [CheckOutcome.PASSED] * 2


def checker_at_work(engine: LocalEngine, job: Job) -> int:
    """The process that runs the checks of the one job that is running, once it waits for the student's answer."""
    students, checks = (
        engine.warm_processes.students(job.exercise.framework),
        engine.warm_processes.checks(job.exercise),
    )
    for server in (students, checks):
        server.wait_until_ready()
    assert eventually(lambda: students.has_children and checks.has_children)
    return children_of(checks.process_id or 0)[0]


def test_a_checker_that_is_killed_is_no_fault_of_the_submissions(engine: LocalEngine, jobs: list[Job]) -> None:
    job = replace(jobs[0], cells=("import time\ntime.sleep(0.8)", *jobs[0].cells))
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(engine.run, job)
        kill(checker_at_work(engine, job))
        result = running.result(120)
    assert result.problem == "" and [check.outcome for check in result.checks] == [CheckOutcome.PASSED] * 2


def test_one_that_is_killed_at_every_attempt_is_told(engine: LocalEngine, jobs: list[Job]) -> None:
    job = replace(jobs[0], cells=("import time\ntime.sleep(1.5)", *jobs[0].cells))
    killed: set[int] = set()
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(engine.run, job)
        while len(killed) < ATTEMPTS:
            checker = checker_at_work(engine, job)
            if checker not in killed:
                kill(checker)
                killed.add(checker)
            time.sleep(0.05)
        result = running.result(120)
    assert "the process that runs the checks ended early" in result.problem
    assert all(check.outcome is not CheckOutcome.CRASHED for check in result.checks)
