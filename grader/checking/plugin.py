"""The pytest plugin: the `student` fixture, points, and what became of each check as a `CheckRecord`."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis.errors import Flaky

from grader.checking.comparison import Mismatch
from grader.checking.outcome import CheckOutcome
from grader.checking.record import CheckRecord
from grader.sandbox.proxy import Session, Student, StudentCrashed, StudentError, StudentTimeout, StudentUnavailable
from grader.sandbox.wire import WireError

MAX_MESSAGE_CHARACTERS = 4000
MAX_SHRINKS = 10
MAX_SUMMARY_CHARACTERS = 1000
_EXAMPLE_NOTES = ("Failing test case", "Failing explicit example", "Falsifying")  # of newer and older hypothesis
BUDGET_SPENT = "Not run: the checks before it used up the time for the whole notebook."


@dataclass(frozen=True)
class CheckJob:
    """One submission to check, and how.

    `load` connects the session to a freshly loaded submission and returns remarks on the loading; it is called before
    the first check and again after one that ended the submission's process. `explain_end` says why that process has
    ended; `stop` ends one that does not answer.
    """

    session: Session
    load: Callable[[Session], list[str]]
    explain_end: Callable[[], str]
    stop: Callable[[], object]
    seed: int = 0
    only: frozenset[str] = frozenset()
    total_seconds: float = 60.0
    stop_at_first: bool = False
    on_result: Callable[[CheckRecord], None] | None = None
    started: float = field(default_factory=lambda: time.monotonic())


@dataclass
class CheckPlugin:
    """Runs each check against the submission of its job and keeps the results.

    The job may come after the checks were collected (`begin`), as long as it comes before the first of them is run.
    """

    job: CheckJob | None = None
    results: list[CheckRecord] = field(default_factory=list)
    traces: dict[str, list[Any]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    collection_errors: list[str] = field(default_factory=list)
    _loaded: bool = False
    _cannot_load: StudentUnavailable | None = None

    def begin(self, job: CheckJob) -> None:
        """Take a job, the first or another one; its seed decides from here on what hypothesis draws."""
        from hypothesis import core

        self.job, self.results, self.traces, self.remarks = job, [], {}, []
        self._loaded, self._cannot_load = False, None
        core.global_force_seed = job.seed  # type: ignore[assignment]  # hypothesis declares the None it starts with

    @property
    def _the_job(self) -> CheckJob:
        if self.job is None:
            raise RuntimeError("the checks were run without a submission")
        return self.job

    @property
    def session(self) -> Session:
        """The line to the submission."""
        return self._the_job.session

    # -- fixtures ------------------------------------------------------------------------------------------------

    @pytest.fixture
    def student(self) -> Student:
        """The submission."""
        return Student(self.session)

    @pytest.fixture(name="seed")
    def _seed(self) -> int:
        return self._the_job.seed

    @pytest.fixture
    def rng(self, request: pytest.FixtureRequest) -> np.random.Generator:
        """Random numbers that depend on the run's seed and the check's name."""
        return np.random.default_rng([self._the_job.seed, zlib.crc32(request.node.name.encode())])

    # -- hooks ---------------------------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the marks and the hypothesis profile."""
        for mark in ("points(number)", "catches(*ids)", "visible"):
            config.addinivalue_line("markers", f"{mark}: see grader.checking")
        _configure_hypothesis()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Keep the checks that were asked for."""
        only = self._the_job.only
        if only:
            session.items[:] = [item for item in session.items if item.name in only]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A check file that cannot be imported is our fault; keep the reason."""
        if report.failed:
            self.collection_errors.append(str(report.longrepr))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """What is said with the submission from here on belongs to this check."""
        self.session.trace, self.session.last_call, self.session.asked = [], "", False
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        """Run one check; whatever happens becomes a record, and pytest sees a pass."""
        started = time.monotonic()
        reason = self._reason_to_skip(started)
        error = None if reason else self._loading_error()
        if reason or error is not None:
            outcome, message = (CheckOutcome.SKIPPED, reason) if reason else self._judge(error)
            self._record(pyfuncitem, outcome, message, started, error)
            check, pyfuncitem.obj = pyfuncitem.obj, _nothing
            yield
            pyfuncitem.obj = check
            return None
        try:
            yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as raised:
            error = raised
        outcome, message = self._judge(error)
        if isinstance(error, StudentUnavailable):
            self._loaded = False
        self._record(pyfuncitem, outcome, message, started, error)
        self.traces[pyfuncitem.name] = self.session.trace
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Function, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A check that cannot even be set up (a fixture that does not exist) leaves a record as well: our fault."""
        report = yield
        if call.when == "setup" and not report.passed:
            reason = f"The check itself could not be set up: {call.excinfo.value if call.excinfo else report.outcome}"
            self._record(item, CheckOutcome.ERROR, reason, time.monotonic(), None)
        return report

    def _reason_to_skip(self, now: float) -> str:
        if now - self._the_job.started > self._the_job.total_seconds:
            return BUDGET_SPENT
        if self._the_job.stop_at_first and any(record.outcome is not CheckOutcome.PASSED for record in self.results):
            return "Not run: an earlier check has already decided."
        return ""

    def _loading_error(self) -> BaseException | None:
        """Load the submission where needed, and say what came in the way."""
        try:
            if self._cannot_load is not None:
                raise self._cannot_load
            if not self._loaded:
                self._load()
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            return error
        return None

    def _load(self) -> None:
        """Load the submission; one that cannot be loaded is not tried again for every check."""
        try:
            self.remarks = self._the_job.load(self.session)
        except StudentUnavailable as error:
            reason = self._end(error)  # of which only the first one who asks is told
            self._cannot_load = type(error)(f"{error} ({reason})" if reason else str(error))
            raise self._cannot_load from None
        self._loaded = True
        self.session.asked = False  # loading is not yet a question of the check's

    def _end(self, error: StudentUnavailable) -> str:
        """See to it that the submission's process is gone; the reason for its end, if it came by itself."""
        if isinstance(error, StudentTimeout):
            self._the_job.stop()
            return ""
        return self._the_job.explain_end()

    # -- judging -------------------------------------------------------------------------------------------------

    def _judge(self, error: BaseException | None) -> tuple[CheckOutcome, str]:
        if error is None:
            return CheckOutcome.PASSED, ""
        if isinstance(error, Flaky) and isinstance(
            error, ExceptionGroup
        ):  # a failure that the same input did not repeat
            outcome, message = self._judge(error.exceptions[0])
            return outcome, f"{message}\nThe next time, the same check came out differently."
        message = _message_of(error)
        if isinstance(error, StudentTimeout):
            self._end(error)
            return CheckOutcome.TIMEOUT, f"{self.session.last_call or 'Loading the notebook'}: {message}."
        if isinstance(error, StudentCrashed):
            reason = self._end(error)
            where = self.session.last_call or "Loading the notebook"
            return CheckOutcome.CRASHED, f"{where}: {message}{f' ({reason})' if reason else ''}."
        if isinstance(error, StudentError):
            return CheckOutcome.FAILED, message
        if isinstance(error, AssertionError | pytest.fail.Exception):
            called = f"Called: {self.session.last_call}\n" if self.session.last_call else ""
            return CheckOutcome.FAILED, called + message
        ours = isinstance(error, WireError) or not isinstance(error, Exception)
        if (
            self.session.asked and not ours
        ):  # a check stumbles over what came back: a number where a table should be, say
            called = f"Called: {self.session.last_call}\n" if self.session.last_call else ""
            what = f"What came back could not be looked at: {type(error).__name__}: {message}"
            return CheckOutcome.FAILED, called + what
        return CheckOutcome.ERROR, f"The check itself broke: {type(error).__name__}: {message}"

    def _record(
        self, item: pytest.Function, outcome: CheckOutcome, message: str, started: float, error: BaseException | None
    ) -> None:
        mark = item.get_closest_marker("points")
        worth = float(mark.args[0]) if mark else 0.0
        documentation = (item.function.__doc__ or "").strip() or item.name
        record = CheckRecord(
            name=item.name,
            title=documentation.splitlines()[0],
            outcome=outcome,
            points=worth if outcome is CheckOutcome.PASSED else 0.0,
            max_points=worth,
            visible=item.get_closest_marker("visible") is not None,
            message=message[:MAX_MESSAGE_CHARACTERS],
            expected=error.expected[:MAX_SUMMARY_CHARACTERS] if isinstance(error, Mismatch) else "",
            actual=error.actual[:MAX_SUMMARY_CHARACTERS] if isinstance(error, Mismatch) else "",
            called=self.session.last_call[:MAX_SUMMARY_CHARACTERS] if outcome is not CheckOutcome.PASSED else "",
            seconds=round(time.monotonic() - started, 4),
        )
        self.results.append(record)
        if self._the_job.on_result is not None:
            self._the_job.on_result(record)


def _nothing(**_: Any) -> None:
    """Stands in for a check that is not run."""


def _message_of(error: BaseException) -> str:
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(_EXAMPLE_NOTES)]
    text = str(error).strip() or type(error).__name__
    if notes:
        lines = [line.partition("  # ")[0].strip() for line in notes[0].splitlines()[1:-1]]
        arguments = [line for line in lines if not line.startswith(("student=", "rng="))]
        text += "\nSmallest example found: " + " ".join(arguments).rstrip(",")
    return text


def _configure_hypothesis() -> None:
    from hypothesis import HealthCheck, Phase, Verbosity, settings
    from hypothesis.internal.conjecture import engine

    # A smaller example is worth a moment, not seconds: without the phase that explains, and few steps of shrinking.
    # By count, not by time, so that the same submission is always asked the same.
    engine.MAX_SHRINKS = MAX_SHRINKS
    settings.register_profile(
        "course",
        max_examples=20,
        deadline=None,
        derandomize=False,  # hypothesis sets it where the variable CI is; the seed decides here
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("course")
