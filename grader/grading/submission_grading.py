"""Grading one submission: from a notebook to a result record. No notebook, however broken, raises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from grader.behaviours import Diagnostician
from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.checking.versions import checks_hash, environment_versions, rules_hash
from grader.course import Exercise
from grader.grading.collect import CollectedSubmission
from grader.grading.engine import LocalEngine
from grader.grading.jobs import Job, JobResult
from grader.notebooks.checks_index import IndexedCheck, read_checks_index
from grader.notebooks.names import defined_names
from grader.notebooks.parsing import parse
from grader.notebooks.submission import (
    CellSyntaxError,
    Stub,
    Submission,
    SubmissionError,
    is_untouched,
    read_stub,
    read_submission,
)

UNTOUCHED = "The code is as it was handed out."
OUT_OF_TIME = "The whole time for this notebook was used up; checks that did not run earn nothing."
_NOT_RUN = "Not run: {why}"


@dataclass(frozen=True)
class SubmissionReader:
    """Reads notebooks, and says what is known of each before any check runs. Needs no engine."""

    course_version: str
    confinement: str
    seed: int = 0

    def blank(self, exercise: Exercise, collected: CollectedSubmission, submission_hash: str = "") -> ResultRecord:
        """A record without results: what is known before any check runs."""
        return ResultRecord(
            student=collected.student,
            exercise=exercise.id,
            status=SubmissionStatus.MISSING,
            course_version=self.course_version,
            checks_hash=rules_hash(exercise),
            submission_hash=submission_hash,
            seed=self.seed,
            environment=environment_versions(exercise.framework, self.confinement),
            max_points=exercise.points,
            source=collected.place,
        )

    def read(self, exercise: Exercise, collected: CollectedSubmission) -> Submission | ResultRecord:
        """Read the notebook, or give the record that says why there is nothing to run."""
        blank = self.blank(exercise, collected)
        if collected.status is not None:
            return _unchecked(blank, exercise, collected.status, collected.message)
        try:
            stub = _stub(exercise)
            submission = read_submission(collected.path or Path(collected.source), stub=stub)
        except SubmissionError as error:
            return _unchecked(blank, exercise, error.status, str(error))
        blank = replace(blank, submission_hash=submission.sha256, notes=submission.notes)
        if stub is not None and is_untouched(submission, stub):
            return _unchecked(blank, exercise, SubmissionStatus.UNTOUCHED, UNTOUCHED)
        return submission


@dataclass(frozen=True)
class Grader:
    """Grades submissions with one engine, one seed and one diagnostician."""

    engine: LocalEngine
    diagnostician: Diagnostician | None
    seed: int = 0

    @property
    def reader(self) -> SubmissionReader:
        """What reads the notebooks that this grades."""
        return SubmissionReader(self.engine.course.version, self.engine.confinement, self.seed)

    def blank(self, exercise: Exercise, collected: CollectedSubmission, submission_hash: str = "") -> ResultRecord:
        """A record without results: what is known before any check runs."""
        return self.reader.blank(exercise, collected, submission_hash)

    def read(self, exercise: Exercise, collected: CollectedSubmission) -> Submission | ResultRecord:
        """Read the notebook, or give the record that says why there is nothing to run."""
        return self.reader.read(exercise, collected)

    def grade(self, exercise: Exercise, collected: CollectedSubmission, submission: Submission) -> ResultRecord:
        """Run the checks on a notebook that was read."""
        blank = replace(self.blank(exercise, collected, submission.sha256), notes=submission.notes)
        result = self.engine.run(Job(exercise, _cells_by_number(submission), seed=self.seed, trace=True))
        if result.problem:
            return replace(
                _unchecked(blank, exercise, SubmissionStatus.GRADER_ERROR, result.problem), seconds=result.seconds
            )
        status, message = _status(result, submission, _stub(exercise))
        checks = tuple(result.checks) + _not_run(exercise, result, OUT_OF_TIME)
        failed = any(check.outcome is CheckOutcome.FAILED for check in checks)
        diagnoses: tuple[Diagnosis, ...] = ()
        if self.diagnostician is not None and status is SubmissionStatus.GRADED and failed:
            diagnoses = self.diagnostician.diagnose(exercise, result, self.seed)
        return replace(
            blank,
            status=status,
            message=message,
            checks=checks,
            diagnoses=diagnoses,
            notes=(*blank.notes, *(f"{remark} (stepped over)" for remark in result.remarks)),
            output=result.output,
            seconds=result.seconds,
        )


def _unchecked(blank: ResultRecord, exercise: Exercise, status: SubmissionStatus, message: str) -> ResultRecord:
    checks = _not_run(exercise, JobResult(), _NOT_RUN.format(why=status.value))
    return replace(blank, status=status, message=message, checks=checks)


def _stub(exercise: Exercise) -> Stub | None:
    try:
        status = exercise.stub_path.stat()
    except OSError:
        return None
    return _read_stub(exercise.stub_path, status.st_mtime_ns, status.st_size)


@lru_cache
def _read_stub(path: Path, _changed: int, _size: int) -> Stub:
    return read_stub(path)


def _not_run(exercise: Exercise, result: JobResult, message: str) -> tuple[CheckRecord, ...]:
    """A record without points for every check that left none."""
    recorded = {check.name for check in result.checks}
    return tuple(
        CheckRecord(check.name, check.title, CheckOutcome.SKIPPED, 0.0, check.points, check.visible, message)
        for check in _checks_index(exercise.checks_path, checks_hash(exercise.checks_path))
        if check.name not in recorded
    )


@lru_cache
def _checks_index(path: Path, _version: str) -> tuple[IndexedCheck, ...]:
    return read_checks_index(path)


def _cells_by_number(submission: Submission) -> tuple[str, ...]:
    """The cells to run, with empty ones between: a message on "cell 7" then means the notebook's seventh cell."""
    by_number = dict(zip(submission.cell_numbers, submission.code_cells, strict=True))
    return tuple(by_number.get(number, "") for number in range(1, max(by_number, default=0) + 1))


def _status(result: JobResult, submission: Submission, stub: Stub | None) -> tuple[SubmissionStatus, str]:
    """What became of a submission whose checks ran."""
    outcomes = {check.outcome for check in result.checks}
    if result.out_of_time:
        return SubmissionStatus.TIMED_OUT, OUT_OF_TIME
    if CheckOutcome.ERROR in outcomes:
        broken = next(check for check in result.checks if check.outcome is CheckOutcome.ERROR)
        return SubmissionStatus.GRADER_ERROR, f"{broken.name}: {broken.message}"
    if outcomes and outcomes <= {CheckOutcome.TIMEOUT, CheckOutcome.SKIPPED}:
        return SubmissionStatus.TIMED_OUT, result.checks[0].message
    if outcomes and outcomes <= {CheckOutcome.CRASHED, CheckOutcome.SKIPPED}:
        return SubmissionStatus.CRASHED, result.checks[0].message
    error = _decisive_syntax_error(submission, stub)
    if error is not None and CheckOutcome.PASSED not in outcomes:
        return SubmissionStatus.SYNTAX_ERROR, str(error)
    return SubmissionStatus.GRADED, ""


def _decisive_syntax_error(submission: Submission, stub: Stub | None) -> CellSyntaxError | None:
    """The syntax error for which something is missing that the stub defines; one in a scratch cell costs nothing."""
    if stub is None:
        return next(iter(submission.syntax_errors), None)
    wanted = set().union(*(defined_names(parse(cell)) for cell in stub.code_cells))
    missing = wanted - submission.defined_names
    if not missing:
        return None
    named = [error for error in submission.syntax_errors if missing.intersection(error.names)]
    return next(iter(named or submission.syntax_errors), None)
