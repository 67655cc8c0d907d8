"""The local engine: warm processes on this machine, and one job at a time through a pair of them.

For every job a checker (trusted, runs the checks) and a student's process (confined, runs the submission) are forked
from warm processes. This module starts them, hands the checker a line to the student's process, watches time and disk,
and collects the results. It decides nothing about points.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.checking.record import CheckRecord
from grader.course import Course, Exercise, Framework
from grader.grading.temporary_directory import TemporaryDirectory
from grader.grading.warm_processes import WarmProcesses
from grader.libraries import require_libraries
from grader.sandbox import scratch, wire
from grader.sandbox.confinement import missing_protections
from grader.sandbox.fork_server import Child, ForkServer, ForkServerError

POLL_SECONDS = 0.1
ROOM_FOR_A_MARK = 100  # at the end of output that was cut
ATTEMPTS = 3  # of a job whose warm process dies
GRACE_SECONDS = 30.0
SECONDS_TO_END = 2.0  # for a process that has closed its line


class ConfinementUnavailable(RuntimeError):
    """This machine cannot confine a student's process as the course demands."""


def confinement_name(confine: bool) -> str:
    """How an engine holds student code, for the result record."""
    return "landlock+seccomp" if confine else "none"


@dataclass(frozen=True)
class Job:
    """Code to check: the cells of one submission to one exercise.

    `only` limits it to checks of those names; `stop_at_first` skips all after one that did not pass; `trace` brings
    back what the submission returned. With `more_seeds` everything is done again for each of them, with the code loaded
    again into the same process: for code of our own, whose process need not be a fresh one.
    """

    exercise: Exercise
    cells: tuple[str, ...]
    seed: int = 0
    more_seeds: tuple[int, ...] = ()
    only: frozenset[str] = frozenset()
    trace: bool = False
    stop_at_first: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """All of them, in the order of the results."""
        return self.seed, *self.more_seeds


@dataclass
class JobResult:
    """What came back: checks in file order (all that were recorded before an end), and remarks.

    `problem` is set when the grader itself failed; `out_of_time` when the job was stopped by its overall limit. `more`
    are the results of the further seeds.
    """

    checks: list[CheckRecord] = field(default_factory=list)
    traces: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    output: str = ""
    problem: str = ""
    out_of_time: bool = False
    seconds: float = 0.0
    more: list[JobResult] = field(default_factory=list)


class LocalEngine:
    """Warm processes and the jobs that run through them. Thread-safe; use it as a context manager."""

    def __init__(self, course: Course, *, confine: bool = True, exercises: Sequence[Exercise] | None = None) -> None:
        """Nothing is started yet. `exercises` are those that will be run, by default all of the course.

        Raises ConfinementUnavailable when `confine` is set and this machine cannot, TemporaryDirectoryError.
        """
        if confine:
            missing = missing_protections(course.allow_degraded)
            if missing:
                names = ", ".join(protection.value for protection in missing)
                raise ConfinementUnavailable(f"this machine cannot confine a student's code; it lacks: {names}")
        self.course, self.confine = course, confine
        self.exercises = course.exercises if exercises is None else tuple(exercises)
        self._temporary = TemporaryDirectory()
        self._directory = self._temporary.path
        self.warm_processes = WarmProcesses(course, self.exercises, self._directory)
        self._origins: dict[int, ForkServer] = {}  # process number of a child -> the warm process it comes from
        self._lock = threading.Lock()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def confinement(self) -> str:
        """How student code is held, for the result record."""
        return confinement_name(self.confine)

    def warm(self, *frameworks: Framework) -> None:
        """Start the warm processes for these frameworks without waiting for them. Raises LibraryMissing."""
        for framework in frameworks:
            require_libraries(framework)
            self.warm_processes.students(framework)
            self.warm_processes.checkers(framework)

    def close(self) -> None:
        """End every process and remove every temporary file."""
        self.warm_processes.close()
        self._temporary.close()

    def process_ids(self) -> list[int]:
        """Process numbers of the warm processes, for measurement."""
        return self.warm_processes.process_ids()

    def run(self, job: Job) -> JobResult:
        """Run the checks of a job. A warm process that dies is started anew, and the job with it.

        Raises TemporaryDirectoryError when there is no room for what a submission may write.
        """
        with contextlib.suppress(ForkServerError):  # which is met again below
            self.wait_until_warm(job.exercise.framework)
        started = time.monotonic()
        result = JobResult()
        for _ in range(ATTEMPTS):
            try:
                result = _RunningJob(self, job).run()
                break
            except ForkServerError as error:
                result = JobResult(problem=str(error))
        result.seconds = round(time.monotonic() - started, 4)
        return result

    def wait_until_warm(self, framework: Framework) -> None:
        """Wait for the libraries, whose loading is no submission's time. Raises ForkServerError."""
        for server in (self.warm_processes.students(framework), self.warm_processes.checkers(framework)):
            server.wait_until_ready()

    def fork_checker(self, job: Job) -> Child:
        """A fresh checker for a job, which has the exercise's checks. Raises ForkServerError."""
        return self._fork(self.warm_processes.checks(job.exercise), {})

    def fork_student(self, job: Job) -> tuple[Child, Path]:
        """A fresh student's process for a job, and its directory. Raises ForkServerError, TemporaryDirectoryError."""
        limits = job.exercise.limits
        directory = self._temporary.for_a_student(int(limits.disk_megabytes * 2**20))
        settings = {
            "directory": str(directory),
            "confine": self.confine,
            "memory_bytes": int(limits.memory_megabytes * 2**20),
            "cpu_seconds": int(len(job.seeds) * (limits.total_seconds + limits.seconds) + GRACE_SECONDS),
            "file_bytes": int(limits.disk_megabytes * 2**20),
            "output_bytes": int(limits.output_kilobytes * 1024),
            "allow_degraded": list(self.course.allow_degraded),
            "forbidden": list(job.exercise.forbidden),
        }
        try:
            return self._fork(self.warm_processes.students(job.exercise.framework), settings), directory
        except ForkServerError:
            self.take_back(directory)
            raise

    def take_back(self, directory: Path) -> None:
        """Remove the directory of a student's process that has ended."""
        self._temporary.take_back(directory)

    def _fork(self, server: ForkServer, settings: dict[str, Any]) -> Child:
        child = server.fork(settings)
        with self._lock:
            self._origins[child.process] = server
        return child

    def require_origin(self, child: Child, *, has_ended: bool) -> None:
        """Raise ForkServerError when the warm process that a child comes from has died, and the child with it.

        With `has_ended`, the child has closed its line: a warm process that lives tells how it ended, so that is waited
        for; one that has died tells nothing.
        """
        with self._lock:
            server = self._origins.get(child.process)
        if has_ended:
            child.done.wait(SECONDS_TO_END)
        if server is None or (child.status is None and not server.is_alive):
            raise ForkServerError("a warm process has died")

    def kill(self, child: Child) -> int | None:
        """End a child for good. Returns its wait status if known."""
        with self._lock:
            server = self._origins.pop(child.process, None)
        return server.kill(child) if server is not None else None


class _RunningJob:
    """One job under way: its checker, its current student's process, and the watch over both."""

    def __init__(self, engine: LocalEngine, job: Job) -> None:
        self.engine, self.job = engine, job
        self.result = JobResult()
        self._student: Child | None = None
        self._directory: Path | None = None
        self._stopped_for = ""

    def run(self) -> JobResult:
        """Drive the job to its end."""
        self.engine.wait_until_warm(self.job.exercise.framework)
        checker = self.engine.fork_checker(self.job)
        results = [self.result]
        try:
            wire.send_message(checker.channel, wire.pack(self._description()))
            self._follow(checker.channel)
            while len(results) < len(self.job.seeds) and not self.result.out_of_time:
                self.result = JobResult()
                results.append(self.result)
                self._follow(checker.channel)
        except wire.ConnectionClosed:
            self.engine.require_origin(checker, has_ended=True)
            self.result.problem = _explain_checkers_end(checker)
        finally:
            self._end_student()
            self.engine.kill(checker)
        first, *first.more = results
        return first

    def _follow(self, channel: socket.socket) -> None:
        """Do what the checker asks until it has finished with a seed, or the time is up."""
        limits = self.job.exercise.limits
        deadline = time.monotonic() + limits.total_seconds + 2 * limits.seconds + GRACE_SECONDS
        while time.monotonic() < deadline:
            readable, _, _ = select.select([channel], [], [], POLL_SECONDS)
            self._watch_disk()
            if readable and self._answer(channel, wire.unpack(wire.receive_message(channel))):
                return
        self.result.out_of_time = True

    def _description(self) -> dict[str, Any]:
        exercise = self.job.exercise
        return {
            "cells": list(self.job.cells),
            "forbidden": list(exercise.forbidden),
            "seeds": list(self.job.seeds),
            "only": sorted(self.job.only),
            "trace": self.job.trace,
            "stop_at_first": self.job.stop_at_first,
            "seconds": float(exercise.limits.seconds),
            "load_seconds": float(exercise.limits.seconds) * 2,
            "total_seconds": float(exercise.limits.total_seconds),
            "output_bytes": int(exercise.limits.output_kilobytes * 1024) + ROOM_FOR_A_MARK,
        }

    def _answer(self, channel: socket.socket, message: dict[str, Any]) -> bool:
        """Do what the checker asks; True when it has finished."""
        operation = message["op"]
        if operation == "spawn":
            self._end_student()
            self._student, self._directory = self.engine.fork_student(self.job)
            wire.send_message(channel, wire.pack({"ok": True}))
            socket.send_fds(channel, [b"f"], [self._student.channel.fileno()])
            self._student.channel.close()
        elif operation == "kill":
            if self._student is not None:
                self.engine.require_origin(self._student, has_ended=message["has_ended"])
            wire.send_message(channel, wire.pack({"reason": self._end_student(message["has_ended"])}))
        elif operation == "result":
            self.result.checks.append(CheckRecord.from_dict(message["check"]))
        elif operation == "finished":
            self.result.traces = message["traces"]
            self.result.remarks = [str(remark) for remark in message["remarks"]]
            self.result.output, self.result.problem = message["output"], message["problem"]
            return True
        return False

    def _watch_disk(self) -> None:
        limit = self.job.exercise.limits.disk_megabytes * 2**20
        if self._directory is not None and self._student is not None and scratch.bytes_under(self._directory) > limit:
            reason = f"it wrote more than {self.job.exercise.limits.disk_megabytes} MB, or thousands of files, to disk"
            self._end_student()
            self._stopped_for = reason

    def _end_student(self, has_ended: bool = False) -> str:
        """End the student's process and remove its directory; say what its end was, if it has ended by itself."""
        child, directory = self._student, self._directory
        self._student = self._directory = None
        reason, self._stopped_for = self._stopped_for, ""
        if child is not None:
            by_itself = has_ended and child.done.is_set()
            status = self.engine.kill(child)
            if by_itself and status is not None:
                reason = describe_status(status)
        if directory is not None:
            self.engine.take_back(directory)
        return reason


def _explain_checkers_end(checker: Child) -> str:
    """Why a checker ended before it was done. Raises ForkServerError when it was killed: that is worth another try."""
    if checker.status is None:
        return "the process that runs the checks closed its line"
    said = f"the process that runs the checks ended early: {describe_status(checker.status)}"
    if os.WIFSIGNALED(checker.status) and os.WTERMSIG(checker.status) == signal.SIGKILL:
        raise ForkServerError(said)
    return said


def describe_status(status: int) -> str:
    """What a wait status means, in words a student understands."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or number == signal.SIGKILL:
            return "it was stopped: out of processor time or memory"
        if number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            return f"it crashed ({signal.Signals(number).name}), often for lack of memory"
        return f"it was ended by signal {number}"
    return f"it ended itself with exit code {os.WEXITSTATUS(status)}"
