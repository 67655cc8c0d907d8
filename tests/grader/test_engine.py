"""The engine with real processes: full marks for what is right, and what becomes of processes that die."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome
from grader.course import Exercise, Framework, Kind, Limits, load_course
from grader.grading import engine as engine_module
from grader.grading import running_job
from grader.grading.engine import ConfinementUnavailable, LocalEngine
from grader.grading.jobs import Job, JobResult
from grader.grading.running_job import describe_status
from grader.grading.warm_processes import checker_framework
from grader.libraries import FRAMEWORK_LIBRARIES, LibraryMissing
from grader.sandbox.confinement import Protection, missing_protections
from tests.grader.waiting import eventually

COURSE = load_course()
EXERCISE = COURSE.exercise("metrics/classification")
REFERENCE = EXERCISE.reference_path.read_text(encoding="utf-8")
PASSED, FAILED = CheckOutcome.PASSED, CheckOutcome.FAILED

CHECKS = '''
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

@points(3)
def test_other(student):
    """The other function."""
    assert_equal(student.other([1]), [1])
'''
RIGHT = "def double(x):\n    return 2 * x\n\ndef other(x):\n    return x\n"

READ_THE_MANIFEST = f"""
try:
    open({str(COURSE.root / "course.toml")!r}).read()
    double = lambda x: 2 * x
except OSError:
    pass
"""

pytestmark = pytest.mark.skipif(bool(missing_protections(COURSE.allow_degraded)), reason="this machine cannot confine")


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(COURSE) as engine:
        yield engine


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An exercise of three quick checks."""
    limits = Limits(seconds=2, total_seconds=30)
    exercise = Exercise(
        tmp_path_factory.mktemp("small"), "topic/small", "Small", Kind.CODING, Framework.NUMPY, 1, 5, 6, limits=limits
    )
    exercise.checks_path.parent.mkdir(parents=True)
    exercise.checks_path.write_text(CHECKS)
    return exercise


def outcomes(result: JobResult) -> dict[str, str]:
    assert result.problem == ""
    return {check.name.removeprefix("test_"): check.outcome.value for check in result.checks}


def full_marks(result: JobResult) -> bool:
    return result.problem == "" and bool(result.checks) and all(check.outcome is PASSED for check in result.checks)


def comparable(result: JobResult) -> list[object]:
    """A result without times."""
    checks = [replace(check, seconds=0.0) for check in result.checks]
    return [checks, result.remarks, result.output, result.problem, result.out_of_time]


def processes_of(servers: list[int]) -> set[int]:
    """Processes in the servers' sessions, they themselves included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) in servers and state != "Z":
                found.add(int(entry.name))
    return found


class TestAJob:
    def test_the_reference_gets_full_marks(self, engine):
        result = engine.run(Job(EXERCISE, (REFERENCE,)))
        assert full_marks(result)
        assert sum(check.points for check in result.checks) == EXERCISE.points
        assert sum(check.visible for check in result.checks) == 1
        assert (result.remarks, result.traces, result.out_of_time) == ([], {}, False)
        assert result.seconds > 0

    def test_a_wrong_answer_does_not(self, engine, small):
        result = engine.run(Job(small, (RIGHT.replace("2 * x", "2 * x if x < 50 else x"),)))
        assert outcomes(result) == {"first": "passed", "many": "failed", "other": "passed"}
        message = result.checks[1].message
        assert message.startswith("Called: double(50)\nThe result is 50; it should be 100.")
        assert message.endswith("Smallest example found: n=50")
        assert sum(check.points for check in result.checks) == 4

    def test_cells_outputs_remarks_and_traces(self, engine, small):
        cells = ("print('loading')", "1 / 0", RIGHT, "print('loaded')")
        result = engine.run(Job(small, cells, trace=True))
        assert full_marks(result)
        assert result.output == "loading\nloaded\n"
        assert result.remarks == ["Cell 2 of the notebook stopped with ZeroDivisionError: division by zero"]
        assert result.traces["test_first"] == [2] and result.traces["test_other"] == [[1]]

    def test_only_and_stop_at_first(self, engine, small):
        assert outcomes(engine.run(Job(small, (RIGHT,), only=frozenset({"test_other"})))) == {"other": "passed"}
        stopped = engine.run(Job(small, (RIGHT.replace("2 * x", "3 * x"),), stop_at_first=True))
        assert outcomes(stopped) == {"first": "failed", "many": "skipped", "other": "skipped"}

    def test_a_seed_decides_about_the_inputs(self, engine, small):
        traces = [
            engine.run(Job(small, (RIGHT,), seed=seed, trace=True, only=frozenset({"test_many"}))).traces["test_many"]
            for seed in (1, 1, 2)
        ]
        assert traces[0] == traces[1] != traces[2]

    def test_what_is_forbidden_is_refused(self, engine, small):
        cell = RIGHT.replace("return x\n", "import math\n    return math.hypot(3, 4)\n")
        result = engine.run(Job(replace(small, forbidden=("math.hypot",)), (cell,)))
        assert outcomes(result) == {"first": "passed", "many": "passed", "other": "failed"}
        assert "ForbiddenCall: math.hypot is not allowed in this exercise" in result.checks[2].message

    def test_checks_that_cannot_be_imported_are_a_problem_of_ours(self, engine, small, tmp_path):
        broken = replace(small, root=tmp_path)
        broken.checks_path.parent.mkdir(parents=True)
        broken.checks_path.write_text("import no_such_module_anywhere\n")
        result = engine.run(Job(broken, (RIGHT,)))
        assert "The checks could not be imported" in result.problem and "no_such_module_anywhere" in result.problem
        assert result.checks == []

    def test_a_message_is_the_checks_own_and_shows_nothing_of_what_the_check_knows(self, engine, small, tmp_path):
        telling = replace(small, root=tmp_path)
        telling.checks_path.parent.mkdir(parents=True)
        telling.checks_path.write_text(
            "SECRETS = {'first': False}\n"
            "def test_a(student):\n    assert len(SECRETS) == 2, f'{len(SECRETS)} of 2 are right'\n"
            "def test_b(student):\n    assert student.double(1) == SECRETS\n"
        )
        result = engine.run(Job(telling, (RIGHT,)))
        assert outcomes(result) == {"a": "failed", "b": "failed"}
        assert [check.message for check in result.checks] == ["1 of 2 are right", "Called: double(1)\nAssertionError"]

    def test_text_that_is_no_text_does_not_stop_anything(self, engine, small):
        cell = "def double(x):\n    print('\\udc80')\n    raise ValueError('\\ud800')\n"
        result = engine.run(Job(small, ("'\ud800'", cell), trace=True))
        assert outcomes(result) == {"first": "failed", "many": "failed", "other": "failed"}
        assert "raised ValueError: \\ud800" in result.checks[0].message

    def test_traces_that_are_too_much_are_left_out(self, engine, small):
        deep = "def double(x):\n    value = []\n    for _ in range(39):\n        value = [value]\n    return value\n"
        result = engine.run(Job(small, (deep,), trace=True))
        assert outcomes(result) == {"first": "failed", "many": "failed", "other": "failed"}
        assert result.traces == {}


class TestStudentProcessesThatEnd:
    def test_the_next_check_has_a_new_one(self, engine, small):
        dying = "import os\n" + RIGHT.replace("return 2 * x", "return 2 * x if x < 50 else os._exit(3)")
        result = engine.run(Job(small, (dying,)))
        assert outcomes(result) == {"first": "passed", "many": "crashed", "other": "passed"}
        assert (
            "the process ended while it was working on this (it ended itself with exit code 3)"
            in result.checks[1].message
        )

    def test_by_a_signal(self, engine, small):
        dying = "import os, signal\n" + RIGHT.replace("return x\n", "os.kill(os.getpid(), signal.SIGSEGV)\n")
        result = engine.run(Job(small, (dying,)))
        assert outcomes(result) == {"first": "passed", "many": "passed", "other": "crashed"}
        assert "it crashed (SIGSEGV)" in result.checks[2].message

    def test_before_any_check(self, engine, small):
        result = engine.run(Job(small, ("import os\nos._exit(4)", RIGHT)))
        assert outcomes(result) == {"first": "crashed", "many": "crashed", "other": "crashed"}
        for check in result.checks:
            assert check.message == (
                "Loading the notebook: the process ended while it was working on this "
                "(it ended itself with exit code 4)."
            )

    def test_by_taking_too_long(self, engine, small):
        endless = RIGHT.replace("return x\n", "while True: pass\n")
        quick = replace(small, limits=replace(small.limits, seconds=0.5))
        result = engine.run(Job(quick, (endless,)))
        assert outcomes(result) == {"first": "passed", "many": "passed", "other": "timeout"}
        assert result.checks[2].message == "other([1]): no answer within 0.5 seconds."

    def test_nothing_is_left_of_them(self, engine, small):
        engine.run(Job(small, ("open('left', 'w').write('x')", RIGHT)))
        servers = engine.process_ids()
        assert eventually(lambda: processes_of(servers) == set(servers))
        assert not list(engine._directory.glob("student-*/left"))


class TestConfinement:
    def test_a_confined_submission_cannot_read_the_course(self, engine, small):
        assert engine.confinement == "landlock+seccomp"
        assert outcomes(engine.run(Job(small, (READ_THE_MANIFEST,))))["first"] == "failed"

    def test_a_machine_that_cannot_confine_is_refused(self, monkeypatch):
        asked = []

        def missing(allowed):
            asked.append(allowed)
            return [Protection.FILES, Protection.SIGNAL_SCOPE]

        monkeypatch.setattr(engine_module, "missing_protections", missing)
        with pytest.raises(
            ConfinementUnavailable, match="cannot confine a student's code; it lacks: files, signal-scope"
        ):
            LocalEngine(replace(COURSE, allow_degraded=("abstract-socket-scope",)))
        assert asked == [("abstract-socket-scope",)]
        LocalEngine(COURSE, confine=False).close()


class TestWarmProcesses:
    def test_those_killed_between_jobs_are_started_anew(self, engine, small):
        assert full_marks(engine.run(Job(small, (RIGHT,))))
        killed = engine.process_ids()
        for process in reversed(killed):
            with contextlib.suppress(ProcessLookupError):  # some end with those they are forked from
                os.kill(process, signal.SIGKILL)
        assert full_marks(engine.run(Job(small, (RIGHT,))))
        assert engine.process_ids() and not set(engine.process_ids()) & set(killed)

    def test_one_that_is_killed_during_a_job_is_started_anew(self, engine, small):
        warm = engine.warm_processes
        for server in (
            lambda: warm.checks(small),
            lambda: warm.checkers(small.framework),
            lambda: warm.students(small.framework),
        ):
            with ThreadPoolExecutor(1) as executor:
                assert full_marks(engine.run(Job(small, (RIGHT,))))
                servers = set(engine.process_ids())
                running = executor.submit(engine.run, Job(small, ("import time\ntime.sleep(1)", RIGHT)))
                assert eventually(lambda servers=servers: len(processes_of(list(servers)) - servers) == 2)
                os.kill(server().process_id, signal.SIGKILL)
                assert full_marks(running.result(60))

    def test_unconfined_they_work_outlive_the_thread_that_started_them_and_end_with_the_engine(self, small):
        engine = LocalEngine(COURSE, confine=False)
        try:
            assert engine.confinement == "none"
            results: list[JobResult] = []
            thread = threading.Thread(target=lambda: results.append(engine.run(Job(small, (RIGHT,)))))
            thread.start()
            thread.join()
            assert full_marks(results[0])
            servers, directory = engine.process_ids(), engine._directory
            time.sleep(0.3)
            assert outcomes(engine.run(Job(small, (READ_THE_MANIFEST,))))["first"] == "passed"
            assert engine.process_ids() == servers
            engine.fork_student(Job(small, (RIGHT,)))  # one that still waits for its first request
            assert len(processes_of(servers)) == len(servers) + 1 and directory.is_dir()
        finally:
            engine.close()
        assert eventually(lambda: processes_of(servers) == set())
        assert not directory.exists()
        assert "the engine is closed" in engine.run(Job(small, (RIGHT,))).problem
        engine.close()

    def test_tensorflow_runs_graphs_as_they_were_traced(self, engine, small):
        setting = 'tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]'
        code = RIGHT.replace("2 * x", f"2 * x if {setting} else x")
        exercise = replace(small, framework=Framework.TENSORFLOW)
        assert full_marks(engine.run(Job(exercise, (f"import tensorflow as tf\n{code}",))))

    def test_close_while_they_are_still_starting(self):
        engine = LocalEngine(COURSE)
        engine.warm(Framework.NUMPY, Framework.PYTHON)
        servers = engine.process_ids()
        assert servers
        engine.close()
        assert eventually(lambda: processes_of(servers) == set())

    def test_one_that_cannot_start_is_a_problem_and_no_exception(self, engine, small, monkeypatch):
        monkeypatch.setitem(FRAMEWORK_LIBRARIES, Framework.PYTHON, ("no_such_module_anywhere",))
        result = engine.run(Job(replace(small, framework=Framework.PYTHON), (RIGHT,)))
        assert "the warm process 'students-python' is gone" in result.problem
        assert "No module named 'no_such_module_anywhere'" in result.problem

    def test_a_library_that_is_not_installed_is_named_before_anything_runs(self, engine, monkeypatch):
        monkeypatch.setitem(FRAMEWORK_LIBRARIES, Framework.FASTAPI, ("no_such_module_anywhere",))
        with pytest.raises(LibraryMissing, match="no_such_module_anywhere is not installed; run: python"):
            engine.warm(Framework.FASTAPI)


class TestSeveralSeeds:
    SOURCE = "calls = []\n" + RIGHT.replace(
        "return x\n", "calls.append(x)\n    return x if len(calls) == 1 else None\n"
    )

    def test_they_agree_with_one_at_a_time_and_start_afresh(self, engine, small):
        wavering = self.SOURCE.replace("2 * x", "2 * x if x < 990 else x")
        together = engine.run(Job(small, (wavering,), seed=5, more_seeds=(6, 7)))
        alone = [engine.run(Job(small, (wavering,), seed=seed)) for seed in (5, 6, 7)]
        assert [comparable(result) for result in (together, *together.more)] == [comparable(run) for run in alone]
        assert all(outcomes(result)["other"] == "passed" for result in alone)

    def test_after_an_end_the_next_seed_has_a_new_process(self, engine, small):
        dying = RIGHT.replace("return x\n", "import os; os._exit(4)\n")
        result = engine.run(Job(small, (dying,), more_seeds=(1,)))
        expected = {"first": "passed", "many": "passed", "other": "crashed"}
        assert [outcomes(run) for run in (result, *result.more)] == [expected, expected]

    def test_after_the_last_moment_no_seed_is_begun(self, engine, small, monkeypatch):
        monkeypatch.setattr(running_job, "GRACE_SECONDS", 1 - small.limits.total_seconds - 2 * small.limits.seconds)
        started = time.monotonic()
        result = engine.run(Job(small, ("import time\ntime.sleep(3.5)", RIGHT), more_seeds=(1, 2)))
        assert result.out_of_time and result.more == []
        assert time.monotonic() - started < 3.5


def test_concurrent_runs_agree_with_one_at_a_time(engine, small):
    dying = "import os\n" + RIGHT.replace("return x\n", "os._exit(1)\n")
    sources = [RIGHT, RIGHT.replace("2 * x", "x"), dying, "def double(x): raise NotImplementedError"]
    jobs = [Job(small, (source,), seed=3, trace=False) for source in sources]
    alone = [comparable(engine.run(job)) for job in jobs]
    with ThreadPoolExecutor(4) as executor:
        together = [comparable(result) for result in executor.map(engine.run, jobs * 3)]
    assert together == alone * 3
    assert len({str(result) for result in alone}) == 4


USES_TORCH_IN_TWELVE_THREADS = """
import threading
import numpy
import torch

start, errors = threading.Barrier(12), []
numbers = torch.from_numpy(numpy.ones(200_000, numpy.float32))  # made by NumPy: torch has computed nothing yet


def work():
    start.wait()
    try:
        numbers.add(1)
    except RuntimeError as error:
        errors.append(error)


threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("errors:", errors)
"""


def test_threads_of_a_submission_can_use_torch_at_once():
    exercise = COURSE.exercise("attention/scaled_dot_product")
    with LocalEngine(COURSE, exercises=[exercise]) as engine:
        job = Job(exercise, (USES_TORCH_IN_TWELVE_THREADS,), stop_at_first=True)
        assert ["errors: []" in engine.run(job).output for _ in range(8)] == [True] * 8


def test_a_lesson_that_names_another_library_does_not_load_it():
    optimizers = COURSE.exercise("optimisation/optimizers")
    assert "torch.optim" in optimizers.reference_path.read_text(encoding="utf-8")
    with LocalEngine(COURSE) as engine:
        also = engine.warm_processes._also
        assert also((Framework.NUMPY,), lambda one: (one.reference_path,)) in ((), ("matplotlib.pyplot",))
        assert "torch._dynamo" in also((Framework.TORCH,), lambda one: (one.checks_path,))
        assert also((), lambda one: (one.checks_path,)) == ()


def test_a_checkers_libraries():
    assert checker_framework(Framework.TORCH) == checker_framework(Framework.TRANSFORMERS) == Framework.TORCH
    for framework in (Framework.PYTHON, Framework.NUMPY, Framework.TENSORFLOW):
        assert checker_framework(framework) is Framework.NUMPY


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "it ended itself with exit code 0"),
        (3 << 8, "it ended itself with exit code 3"),
        (signal.SIGKILL, "it was stopped: out of processor time or memory"),
        (signal.SIGXCPU, "it was stopped: out of processor time or memory"),
        (signal.SIGSEGV, "it crashed (SIGSEGV), often for lack of memory"),
        (signal.SIGABRT | 0x80, "it crashed (SIGABRT), often for lack of memory"),
        (signal.SIGTERM, "it was ended by signal 15"),
    ],
)
def test_the_end_of_a_process_in_words(status, said):
    assert describe_status(status) == said
