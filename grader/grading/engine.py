"""The local engine: warm processes on this machine, and one job at a time through a pair of them.

For every job a checker (trusted, runs the checks) and a student's process (confined, runs the submission) are forked
from warm processes. This module starts and ends them.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course import Course, Exercise, Framework
from grader.grading.ahead import MadeAhead
from grader.grading.jobs import Job, JobResult
from grader.grading.processors import Processors
from grader.grading.running_job import GRACE_SECONDS, RunningJob
from grader.grading.temporary_directory import TemporaryDirectory
from grader.grading.warm_processes import WarmProcesses
from grader.libraries import require_libraries
from grader.sandbox.confinement import missing_protections
from grader.sandbox.fork_server import Child, ForkServer, ForkServerError

ATTEMPTS = 3  # of a job whose warm process dies
_PAUSE_SECONDS = 0.2  # before another one: on a busy machine a killed process takes a while to end, and seems to live
SECONDS_TO_END = 2.0  # for a process that has closed its line


class ConfinementUnavailable(RuntimeError):
    """This machine cannot confine a student's process as the course demands."""


def confinement_name(confine: bool) -> str:
    """How an engine holds student code, for the result record."""
    return "landlock+seccomp" if confine else "none"


@dataclass(frozen=True)
class Forked:
    """A process that was forked for a job, and a student's directory."""

    child: Child
    directory: Path | None = None


class LocalEngine:
    """Warm processes and the jobs that run through them. Thread-safe; use it as a context manager."""

    def __init__(
        self,
        course: Course,
        *,
        confine: bool = True,
        exercises: Sequence[Exercise] | None = None,
        ahead: bool = False,
    ) -> None:
        """Nothing is started yet. `exercises` are those that will be run, by default all of the course.

        With `ahead`, the processes of a job are forked while the job before it runs: for many jobs of few exercises.

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
        self.processors = Processors()
        self._ahead = MadeAhead[tuple[ForkServer, str], Forked](self._fork, self.end) if ahead else None

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
        if self._ahead is not None:
            self._ahead.close()
        self.warm_processes.close()
        self._temporary.close()

    def process_ids(self) -> list[int]:
        """Process numbers of the warm processes and of those forked ahead, for measurement."""
        ahead = self._ahead.waiting() if self._ahead is not None else []
        return [*self.warm_processes.process_ids(), *(forked.child.process for forked in ahead)]

    def run(self, job: Job) -> JobResult:
        """Run the checks of a job. A warm process that dies is started anew, and the job with it.

        Raises TemporaryDirectoryError when there is no room for what a submission may write.
        """
        with contextlib.suppress(ForkServerError):  # which is met again below
            self.wait_until_warm(job.exercise.framework)
        started = time.monotonic()
        result = JobResult()
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            try:
                result = RunningJob(self, job).run()
                break
            except ForkServerError as error:
                result = JobResult(problem=str(error))
        result.seconds = round(time.monotonic() - started, 4)
        return result

    def wait_until_warm(self, framework: Framework) -> None:
        """Wait for the libraries, whose loading is no submission's time. Raises ForkServerError."""
        for server in (self.warm_processes.students(framework), self.warm_processes.checkers(framework)):
            server.wait_until_ready()

    def fork_checker(self, job: Job) -> Forked:
        """A fresh checker for a job, which has the exercise's checks. Raises ForkServerError."""
        return self._take((self.warm_processes.checks(job.exercise), ""))

    def fork_student(self, job: Job) -> Forked:
        """A fresh student's process for a job. Raises ForkServerError, TemporaryDirectoryError."""
        limits = job.exercise.limits
        settings = {
            "confine": self.confine,
            "memory_bytes": int(limits.memory_megabytes * 2**20),
            "cpu_seconds": int(len(job.seeds) * (limits.total_seconds + limits.seconds) + GRACE_SECONDS),
            "file_bytes": int(limits.disk_megabytes * 2**20),
            "output_bytes": int(limits.output_kilobytes * 1024),
            "allow_degraded": list(self.course.allow_degraded),
            "forbidden": list(job.exercise.forbidden),
        }
        student = self._take((self.warm_processes.students(job.exercise.framework), json.dumps(settings)))
        try:
            self._temporary.for_a_student(int(limits.disk_megabytes * 2**20), student.directory)
        except BaseException:
            self.end(student)
            raise
        return student

    def _take(self, kind: tuple[ForkServer, str]) -> Forked:
        """A process that was forked ahead and still lives, or a fresh one."""
        forked = self._ahead.take(kind) if self._ahead is not None else None
        if forked is not None and forked.child.done.is_set():
            self.end(forked)
            forked = None
        return forked or self._fork(kind)

    def _fork(self, kind: tuple[ForkServer, str]) -> Forked:
        """A child of a warm process; a student's, which alone has settings, with a directory of its own."""
        server, settings = kind
        directory = self._temporary.make_ahead() if settings else None
        try:
            child = server.fork({**json.loads(settings), "directory": str(directory)} if settings else {})
        except BaseException:
            if directory is not None:
                self._temporary.take_back(directory)
            raise
        with self._lock:
            self._origins[child.process] = server
        return Forked(child, directory)

    def end(self, forked: Forked) -> int | None:
        """End a process for good and remove its directory. Returns its wait status if known."""
        with self._lock:
            server = self._origins.pop(forked.child.process, None)
        status = server.kill(forked.child) if server is not None else None
        if forked.directory is not None:
            self._temporary.take_back(forked.directory)
        return status

    def end_soon(self, forked: Forked) -> None:
        """The same, without waiting for it where processes are made ahead."""
        if self._ahead is not None:
            self._ahead.end_later(lambda: self.end(forked))
        else:
            self.end(forked)

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
