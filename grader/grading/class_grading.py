"""Grading a class: everything that was handed in, in parallel, journaled, and reported in every form."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread

from grader.behaviours import Diagnostician
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course, Exercise, Framework
from grader.gradebook.errors import GradebookError
from grader.grading.collect import CollectedSubmission, collect
from grader.grading.engine import LocalEngine
from grader.grading.journal import JOURNAL_NAME, EarlierResults, Journal, JournalKey
from grader.grading.output_folder import NO_LOCKS, claim
from grader.grading.results_file import write_results
from grader.grading.submission_grading import Grader
from grader.libraries import explain_missing
from grader.notebooks.submission import Submission

FEEDBACK_FOLDER, REPORT_NAME, GRADEBOOK_NAME = "feedback", "report.html", "gradebook.db"
CACHE_FOLDER = ".cache"
STOPPED = "stopped; run the same command again to go on where it stopped"
GRADER_FAILED = "The grader itself failed on this notebook ({error}); a person has to look at it."
_FASTEST_FIRST = (
    Framework.PYTHON,
    Framework.NUMPY,
    Framework.FASTAPI,
    Framework.TORCH,
    Framework.TRANSFORMERS,
    Framework.TENSORFLOW,
)

Progress = Callable[[ResultRecord, bool], None]


class GradingStopped(RuntimeError):
    """The run was interrupted; what was graded is in the journal, and the next run goes on from there."""


@dataclass(frozen=True)
class ClassRun:
    """What to grade and where the results go."""

    course: Course
    place: Path
    output: Path
    exercises: tuple[Exercise, ...]
    jobs: int = 2
    seed: int = 0
    confine: bool = True
    fresh: bool = False
    database_url: str | None = None


@dataclass
class ClassResult:
    """Everything a run produced. `reused` counts results taken from the journal."""

    records: list[ResultRecord] = field(default_factory=list)
    reused: int = 0
    seconds: float = 0.0
    report: Path | None = None
    gradebook: str = ""
    notes: list[str] = field(default_factory=list)


def grade_class(
    run: ClassRun, on_start: Callable[[int], None] | None = None, on_result: Progress | None = None
) -> ClassResult:
    """Grade all submissions and write every report.

    `on_start` is told the number of submissions, `on_result` every record and whether it came from the journal. Raises
    CollectError, ConfinementUnavailable, JournalError, LibraryMissing; OutputFolderInUse when another grader is writing
    there; GradingStopped on Ctrl-C.
    """
    try:
        with claim(run.output) as locked:
            result = _grade_class(run, on_start, on_result)
        if not locked:
            result.notes.append(NO_LOCKS.format(folder=run.output))
        return result
    except KeyboardInterrupt:
        raise GradingStopped(STOPPED) from None


def _grade_class(run: ClassRun, on_start: Callable[[int], None] | None, on_result: Progress | None) -> ClassResult:
    started = time.monotonic()
    cache = run.output / CACHE_FOLDER
    entries = collect(
        run.place, run.exercises, unpacked=cache / "unpacked", course=run.course.exercises, leave_out=run.output
    )
    result = ClassResult()
    if on_start is not None:
        on_start(len(entries))
    with (
        LocalEngine(run.course, confine=run.confine, exercises=_handed_in(run, entries)) as engine,
        Journal(run.output / JOURNAL_NAME, fresh=run.fresh) as journal,
    ):
        gradebook = Thread(target=_prepare_gradebook, args=(_database_url(run),), daemon=True)
        gradebook.start()
        grader = Grader(engine, Diagnostician(engine, cache / "diagnosis"), run.seed)
        known = EarlierResults(run.output / JOURNAL_NAME)
        records = _grade_entries(run, grader, entries, known, journal, result, on_result)
    gradebook.join()
    result.records = [records[index] for index in range(len(entries))]
    result.seconds = time.monotonic() - started
    write_reports(run, result)
    return result


def _prepare_gradebook(url: str) -> None:
    """Import nbgrader and make its database while the submissions are graded: both take seconds.

    What goes wrong here goes wrong again when the results are written, and is told then.
    """
    with contextlib.suppress(ImportError, GradebookError):
        from grader.gradebook.nbgrader_connection import open_gradebook
        from grader.gradebook.nbgrader_database import DEFAULT_COURSE_ID

        with open_gradebook(url, DEFAULT_COURSE_ID):
            pass


def _handed_in(run: ClassRun, entries: Sequence[CollectedSubmission]) -> list[Exercise]:
    """The exercises that somebody handed in."""
    handed_in = {entry.exercise for entry in entries}
    return [exercise for exercise in run.exercises if exercise.id in handed_in]


def _grade_entries(
    run: ClassRun,
    grader: Grader,
    entries: Sequence[CollectedSubmission],
    known: EarlierResults,
    journal: Journal,
    result: ClassResult,
    on_result: Progress | None,
) -> dict[int, ResultRecord]:
    by_id = {exercise.id: exercise for exercise in run.exercises}
    records: dict[int, ResultRecord] = {}
    waiting: list[tuple[int, Exercise, CollectedSubmission, Submission]] = []

    def finish(index: int, record: ResultRecord, reused: bool) -> None:
        records[index] = record
        result.reused += reused
        if on_result is not None:
            on_result(record, reused)

    for index, entry in enumerate(entries):
        exercise = by_id.get(entry.exercise)
        if exercise is None:  # a refused name that could not even be told apart by exercise
            status = entry.status or SubmissionStatus.REFUSED
            finish(index, ResultRecord(entry.student, "", status, message=entry.message, source=entry.source), False)
            continue
        read = _read_safely(grader, exercise, entry)
        if isinstance(read, ResultRecord):
            finish(index, read, False)
            continue
        earlier = known.get(JournalKey.of(grader.blank(exercise, entry, read.sha256)))
        if earlier is not None and earlier.status is not SubmissionStatus.GRADER_ERROR:
            finish(index, replace(earlier, source=grader.blank(exercise, entry).source), True)
        else:
            waiting.append((index, exercise, entry, read))
    order = {exercise.id: number for number, exercise in enumerate(run.exercises)}
    # One exercise after the other: the process that has its checks is then warm.
    waiting.sort(key=lambda item: (_FASTEST_FIRST.index(item[1].framework), order[item[1].id], item[0]))
    grader.engine.warm(*dict.fromkeys(exercise.framework for _, exercise, _, _ in waiting))
    for index, record in _in_parallel(run.jobs, grader, waiting):
        journal.append(record)
        finish(index, record, False)
    return records


def _in_parallel(
    jobs: int, grader: Grader, waiting: Sequence[tuple[int, Exercise, CollectedSubmission, Submission]]
) -> Iterable[tuple[int, ResultRecord]]:
    """Grade in `jobs` threads, yielding results as they come; on Ctrl-C nothing more is begun."""
    executor = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="grading")
    pending: dict[Future[ResultRecord], int] = {}
    try:
        for index, exercise, entry, submission in waiting:
            pending[executor.submit(_grade_safely, grader, exercise, entry, submission)] = index
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _read_safely(grader: Grader, exercise: Exercise, entry: CollectedSubmission) -> Submission | ResultRecord:
    try:
        return grader.read(exercise, entry)
    except Exception as error:
        return _our_fault(grader.blank(exercise, entry), error)


def _grade_safely(
    grader: Grader, exercise: Exercise, entry: CollectedSubmission, submission: Submission
) -> ResultRecord:
    try:
        return grader.grade(exercise, entry, submission)
    except Exception as error:
        return _our_fault(grader.blank(exercise, entry, submission.sha256), error)


def _our_fault(blank: ResultRecord, error: Exception) -> ResultRecord:
    """A fault of ours on one submission must not cost the others their grades."""
    message = GRADER_FAILED.format(error=f"{type(error).__name__}: {error}")
    return replace(blank, status=SubmissionStatus.GRADER_ERROR, message=message)


def _database_url(run: ClassRun) -> str:
    return run.database_url or f"sqlite:///{(run.output / GRADEBOOK_NAME).absolute()}"


def write_reports(run: ClassRun, result: ClassResult) -> None:
    """Write CSV, feedback pages, class report and nbgrader's gradebook.

    A gradebook that cannot be written is noted and does not keep the rest from being written.
    """
    from datetime import datetime

    from grader.gradebook.class_report import write_class_report
    from grader.gradebook.csv_export import write_csv
    from grader.gradebook.feedback import write_feedback
    from grader.gradebook.summary import summarise

    write_results(result.records, run.output)
    write_csv(result.records, run.course, run.output)
    feedback = run.output / FEEDBACK_FOLDER
    write_feedback(run.course, result.records, feedback)
    summary = summarise(result.records, run.course)
    result.report = write_class_report(
        summary, run.output / REPORT_NAME, feedback_directory=feedback, generated=datetime.now()
    )
    url = _database_url(run)
    try:
        from grader.gradebook.nbgrader_database import write_gradebook

        report = write_gradebook(run.course, result.records, url, course_directory=run.output)
        result.gradebook = url
        result.notes += report.notes
    except GradebookError as error:
        result.notes.append(f"The gradebook was not written: {error}")
    except ModuleNotFoundError as error:
        result.notes.append(f"The gradebook was not written: {explain_missing(error.name or 'a library')}")
