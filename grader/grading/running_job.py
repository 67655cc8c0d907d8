"""One job on its way: hands the checker a line to the student's process, watches time and disk, collects the results.

It decides nothing about points.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from grader.checking.record import CheckRecord
from grader.course import Framework
from grader.grading.jobs import Job, JobResult
from grader.grading.processors import keep_on
from grader.sandbox import scratch, wire
from grader.sandbox.fork_server import Child, ForkServerError

if TYPE_CHECKING:
    from grader.grading.engine import Forked, LocalEngine

POLL_SECONDS = 0.1
ROOM_FOR_A_MARK = 100  # at the end of output that was cut
GRACE_SECONDS = 30.0


class RunningJob:
    """One job under way: its checker, its current student's process, and the watch over both."""

    def __init__(self, engine: LocalEngine, job: Job) -> None:
        self.engine, self.job = engine, job
        self.result = JobResult()
        self._student: Forked | None = None
        self._processor: int | None = None
        self._stopped_for = ""

    def run(self) -> JobResult:
        """Drive the job to its end. Raises ForkServerError when a warm process died, TemporaryDirectoryError."""
        self.engine.wait_until_warm(self.job.exercise.framework)
        if self.job.exercise.framework is not Framework.TENSORFLOW:  # whose own threads work beside each other
            self._processor = self.engine.processors.take()
        try:
            return self._run()
        finally:
            self.engine.processors.give_back(self._processor)

    def _run(self) -> JobResult:
        forked = self.engine.fork_checker(self.job)
        checker = forked.child
        keep_on(checker.process, self._processor)
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
            if self._student is not None:
                self.engine.end_soon(self._student)
            self.engine.end_soon(forked)
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
            self._student = self.engine.fork_student(self.job)
            student = self._student.child
            keep_on(student.process, self._processor)
            wire.send_message(channel, wire.pack({"ok": True}))
            socket.send_fds(channel, [b"f"], [student.channel.fileno()])
            student.channel.close()
        elif operation == "kill":
            if self._student is not None:
                self.engine.require_origin(self._student.child, has_ended=message["has_ended"])
            wire.send_message(channel, wire.pack({"reason": self._end_student(message["has_ended"])}))
        elif operation == "result":
            self.result.checks.append(CheckRecord.from_dict(message["check"]))
        elif operation == "finished":
            self.result.packed_traces = message["traces"]
            self.result.remarks = [str(remark) for remark in message["remarks"]]
            self.result.output, self.result.problem = message["output"], message["problem"]
            return True
        return False

    def _watch_disk(self) -> None:
        directory = self._student.directory if self._student is not None else None
        limit = self.job.exercise.limits.disk_megabytes * 2**20
        if directory is not None and scratch.bytes_under(directory) > limit:
            reason = f"it wrote more than {self.job.exercise.limits.disk_megabytes} MB, or thousands of files, to disk"
            self._end_student()
            self._stopped_for = reason

    def _end_student(self, has_ended: bool = False) -> str:
        """End the student's process; say what its end was, if it has ended by itself."""
        student, self._student = self._student, None
        reason, self._stopped_for = self._stopped_for, ""
        if student is not None:
            by_itself = has_ended and student.child.done.is_set()
            status = self.engine.end(student)
            if by_itself and status is not None:
                reason = describe_status(status)
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
