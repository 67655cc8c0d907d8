"""What grading a class needs of the place where submissions are graded: this machine, or a cluster."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import Protocol

from grader.checking.record import ResultRecord
from grader.course import Exercise, Framework
from grader.grading.collect import CollectedSubmission
from grader.grading.submission_grading import Grader
from grader.notebooks.submission import Submission

AHEAD = 2  # submissions handed over for every one at work, so that none waits for the next


class EngineKind(Enum):
    """Where the submissions of a class are graded."""

    LOCAL = "local"
    RAY = "ray"


class EngineStopped(RuntimeError):
    """The engine can grade nothing more; what was graded is in the journal, and the next run goes on from there."""


class SubmissionEngine(Protocol):
    """Grades submissions that were read, several at once. Nobody but its caller writes results anywhere.

    A future that `submit` gives holds the record, or the fault of ours that there is instead of one; `close` cancels
    those that are waiting.
    """

    @property
    def confinement(self) -> str:
        """How student code is held, for the result record."""

    @property
    def at_once(self) -> int:
        """How many submissions are worth handing over before a result is back; it changes as machines come and go."""

    @property
    def notes(self) -> list[str]:
        """What an instructor should know about the places that took part."""

    def warm(self, *frameworks: Framework) -> None:
        """Start what these frameworks need. Raises LibraryMissing, EngineStopped when nothing can be graded at all."""

    def submit(
        self, exercise: Exercise, collected: CollectedSubmission, submission: Submission
    ) -> Future[ResultRecord]:
        """Grade a submission as soon as there is room."""

    def close(self) -> None:
        """Begin nothing more, and end every process."""


class ThisMachine:
    """Grades in threads of this process, with an engine whose processes are on this machine."""

    def __init__(self, grader: Grader, jobs: int) -> None:
        """`jobs` submissions are graded at once. The grader's engine is closed with this one."""
        self._grader, self._jobs = grader, jobs
        self._executor = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="grading")
        self.notes: list[str] = []

    @property
    def confinement(self) -> str:
        """How student code is held, for the result record."""
        return self._grader.engine.confinement

    @property
    def at_once(self) -> int:
        """How many submissions are worth handing over before a result is back."""
        return AHEAD * self._jobs

    def warm(self, *frameworks: Framework) -> None:
        """Start the warm processes for these frameworks without waiting for them. Raises LibraryMissing."""
        self._grader.engine.warm(*frameworks)

    def submit(
        self, exercise: Exercise, collected: CollectedSubmission, submission: Submission
    ) -> Future[ResultRecord]:
        """Grade a submission as soon as a thread is free."""
        return self._executor.submit(self._grader.grade, exercise, collected, submission)

    def close(self) -> None:
        """Begin nothing more, and end every process."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._grader.engine.close()
