"""Grading a class: everything that was handed in, in parallel, journaled, and reported in every form."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grader.behaviours import Diagnostician
from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course, Exercise, Framework
from grader.gradebook.errors import GradebookError
from grader.gradebook.files import remove_partial_files
from grader.gradebook.made_meanwhile import made_meanwhile
from grader.grading.collect import CollectedSubmission, collect
from grader.grading.engine import LocalEngine
from grader.grading.identical import SubmissionQueue, WaitingSubmission, code_hash
from grader.grading.journal import JOURNAL_NAME, EarlierResults, Journal, JournalKey
from grader.grading.output_folder import NO_LOCKS, claim
from grader.grading.results_file import RESULTS_NAME
from grader.grading.submission_engine import EngineKind, EngineStopped, SubmissionEngine, ThisMachine
from grader.grading.submission_grading import Grader, SubmissionReader
from grader.grading.temporary_directory import TemporaryDirectoryError
from grader.grading.unwritable import Attempts
from grader.libraries import explain_missing
from grader.notebooks.submission import Submission

if TYPE_CHECKING:
    from grader.gradebook.late_penalties import LateSubmission
    from grader.gradebook.similarity import ExerciseSimilarity
    from grader.gradebook.student_names import StudentName

FEEDBACK_FOLDER, REPORT_NAME, GRADEBOOK_NAME = "feedback", "report.html", "gradebook.db"
CACHE_FOLDER = ".cache"
STOPPED = "stopped; run the same command again to go on where it stopped"
GRADER_FAILED = "The grader itself failed on this notebook ({error}); a person has to look at it."
GRADED_ONCE = "{count} notebooks hold the same code as another one; identical code was graded once."
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
    """What to grade, where, and where the results go.

    `jobs` submissions are graded at once, by default one a core; on a cluster, on every node. `address` is a cluster's.
    With `scratch`, the journal and what is unpacked go there, and nothing is written into `output`; its journal is read
    all the same.
    """

    course: Course
    place: Path
    output: Path
    exercises: tuple[Exercise, ...]
    jobs: int | None = 2
    seed: int = 0
    confine: bool = True
    fresh: bool = False
    database_url: str | None = None
    scratch: Path | None = None
    engine: EngineKind = EngineKind.LOCAL
    address: str | None = None


@dataclass
class ClassResult:
    """Everything a run produced.

    `graded` counts those that were run now, `identical` those among them that are another submission's with the same
    code, `reused` results taken from the journal; what is neither had nothing to run. `kept` is where the results are
    that these took the place of.
    """

    records: list[ResultRecord] = field(default_factory=list)
    graded: int = 0
    reused: int = 0
    identical: int = 0
    seconds: float = 0.0
    report: Path | None = None
    gradebook: str = ""
    notes: list[str] = field(default_factory=list)
    kept: Path | None = None
    late: list[LateSubmission] = field(default_factory=list)
    names: dict[str, StudentName] = field(default_factory=dict)


def grade_class(
    run: ClassRun, on_start: Callable[[int], None] | None = None, on_result: Progress | None = None
) -> ClassResult:
    """Grade all submissions and write every report.

    `on_start` is told the number of submissions, `on_result` every record and whether it came from the journal. Raises
    CollectError, ConfinementUnavailable, EngineStopped, JournalError, LibraryMissing, TemporaryDirectoryError,
    ResultsNotWritten; OutputFolderInUse when another grader is writing there; GradingStopped on Ctrl-C.
    """
    try:
        with claim(run.output) as locked:
            remove_partial_files(run.output)
            result = grade_submissions(run, on_start, on_result)
            write_reports(run, result)
    except KeyboardInterrupt:
        raise GradingStopped(STOPPED) from None
    if not locked:
        result.notes.append(NO_LOCKS.format(folder=run.output))
    return result


def grade_submissions(
    run: ClassRun, on_start: Callable[[int], None] | None = None, on_result: Progress | None = None
) -> ClassResult:
    """Grade all submissions into the journal, in a folder that the caller has claimed, and write no report.

    Arguments and errors as of `grade_class`.
    """
    try:
        return _grade_submissions(run, on_start, on_result)
    except KeyboardInterrupt:
        raise GradingStopped(STOPPED) from None


def _grade_submissions(
    run: ClassRun, on_start: Callable[[int], None] | None, on_result: Progress | None
) -> ClassResult:
    started = time.monotonic()
    workplace = run.scratch or run.output
    unpacked = workplace / CACHE_FOLDER / "unpacked"
    entries = collect(run.place, run.exercises, unpacked=unpacked, course=run.course.exercises, leave_out=run.output)
    result = ClassResult()
    if on_start is not None:
        on_start(len(entries))
    with (
        contextlib.closing(_open_engine(run, _handed_in(run, entries))) as engine,
        Journal(workplace / JOURNAL_NAME, fresh=run.fresh) as journal,
        contextlib.nullcontext() if run.scratch is not None else made_meanwhile(_database_url(run)),
    ):
        reader = SubmissionReader(run.course.version, engine.confinement, run.seed)
        known = EarlierResults(run.output / JOURNAL_NAME, workplace / JOURNAL_NAME)
        records = _grade_entries(run, engine, reader, entries, known, journal, result, on_result)
        result.notes += engine.notes
    result.records = [records[index] for index in range(len(entries))]
    result.seconds = time.monotonic() - started
    return result


def _handed_in(run: ClassRun, entries: Sequence[CollectedSubmission]) -> list[Exercise]:
    """The exercises that somebody handed in."""
    handed_in = {entry.exercise for entry in entries}
    return [exercise for exercise in run.exercises if exercise.id in handed_in]


def _open_engine(run: ClassRun, exercises: Sequence[Exercise]) -> SubmissionEngine:
    """Where this run's submissions are graded. Raises ConfinementUnavailable, LibraryMissing, EngineStopped."""
    if run.engine is EngineKind.RAY:
        from grader.grading.on_ray.cluster_engine import ClusterEngine

        return ClusterEngine(
            run.course, run.address, jobs=run.jobs, seed=run.seed, confine=run.confine, exercises=exercises
        )
    engine = LocalEngine(run.course, confine=run.confine, exercises=exercises, ahead=True)
    diagnostician = Diagnostician(engine, (run.scratch or run.output) / CACHE_FOLDER / "diagnosis")
    return ThisMachine(Grader(engine, diagnostician, run.seed), run.jobs or os.cpu_count() or 1)


def _grade_entries(
    run: ClassRun,
    engine: SubmissionEngine,
    reader: SubmissionReader,
    entries: Sequence[CollectedSubmission],
    known: EarlierResults,
    journal: Journal,
    result: ClassResult,
    on_result: Progress | None,
) -> dict[int, ResultRecord]:
    by_id = {exercise.id: exercise for exercise in run.exercises}
    records: dict[int, ResultRecord] = {}
    waiting: list[WaitingSubmission] = []

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
        read = _read_safely(reader, exercise, entry)
        if isinstance(read, ResultRecord):
            finish(index, read, False)
            continue
        earlier = known.get(JournalKey.of(reader.blank(exercise, entry, read.sha256)))
        if earlier is not None and earlier.status is not SubmissionStatus.GRADER_ERROR:
            finish(index, replace(earlier, source=entry.place), True)
        else:
            digest = code_hash(exercise, read)
            waiting.append(WaitingSubmission(index, exercise, entry, read.sha256, digest, read.notes))
    order = {exercise.id: number for number, exercise in enumerate(run.exercises)}
    # One exercise after the other: the process that has its checks is then warm.
    waiting.sort(key=lambda one: (_FASTEST_FIRST.index(one.exercise.framework), order[one.exercise.id], one.index))
    engine.warm(*dict.fromkeys(one.exercise.framework for one in waiting))
    queue = SubmissionQueue(waiting)
    for one, record in _in_parallel(engine, reader, queue):
        for each, result_of_it in [(one, record), *queue.share(one, record)]:
            journal.append(result_of_it)
            finish(each.index, result_of_it, False)
            result.graded += 1
    result.identical = queue.shared
    if queue.shared:
        result.notes.append(GRADED_ONCE.format(count=queue.shared))
    return records


def _in_parallel(
    engine: SubmissionEngine, reader: SubmissionReader, queue: SubmissionQueue
) -> Iterable[tuple[WaitingSubmission, ResultRecord]]:
    """Grade what is queued, yielding results as they come; no more is handed over than the engine can use.

    A notebook is read again when its turn comes, so that the code of thousands is not held until then.
    """
    pending: dict[Future[ResultRecord], tuple[WaitingSubmission, ResultRecord]] = {}
    while True:
        while len(pending) < engine.at_once and (one := queue.take()) is not None:
            read = _read_safely(reader, one.exercise, one.collected)
            if isinstance(read, ResultRecord):  # it was changed since it was read first
                yield one, read
                continue
            blank = reader.blank(one.exercise, one.collected, read.sha256)
            pending[engine.submit(one.exercise, one.collected, read)] = one, blank
        if not pending:
            return
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            one, blank = pending.pop(future)
            yield one, _result(future, blank)


def _read_safely(reader: SubmissionReader, exercise: Exercise, entry: CollectedSubmission) -> Submission | ResultRecord:
    try:
        return reader.read(exercise, entry)
    except Exception as error:
        return _our_fault(reader.blank(exercise, entry), error)


def _result(future: Future[ResultRecord], blank: ResultRecord) -> ResultRecord:
    try:
        return future.result()
    except (TemporaryDirectoryError, EngineStopped):
        raise  # no fault of one submission's, and the next would fare no better
    except Exception as error:
        return _our_fault(blank, error)


def _our_fault(blank: ResultRecord, error: Exception) -> ResultRecord:
    """A fault of ours on one submission must not cost the others their grades."""
    message = GRADER_FAILED.format(error=f"{type(error).__name__}: {error}")
    return replace(blank, status=SubmissionStatus.GRADER_ERROR, message=message)


def _database_url(run: ClassRun) -> str:
    return run.database_url or f"sqlite:///{(run.output / GRADEBOOK_NAME).absolute()}"


def write_reports(run: ClassRun, result: ClassResult) -> None:
    """Write CSV, feedback pages, class report and nbgrader's gradebook, each of them whatever becomes of the others.

    Results that change are kept as a run first (`runs.write_run`). A gradebook that cannot be written is noted, and
    `gradebook` of the result stays empty. Raises ResultsNotWritten when anything else could not be written.
    """
    from grader.gradebook.late_penalties import LATE_FILE, write_late_table
    from grader.grading.runs import write_run

    attempts = Attempts()
    with attempts.at(run.output / RESULTS_NAME):
        result.kept = write_run(run.output, result.records)
    _write_gradebook(run, result)  # before the others, which show what nbgrader takes off for being late
    with attempts.at(run.output / LATE_FILE):
        write_late_table(result.late, run.output)
    result.report = write_report_files(
        run.course,
        result.records,
        run.output,
        attempts,
        late=result.late,
        names=result.names,
        remarks=[GRADED_ONCE.format(count=result.identical)] if result.identical else (),
    )
    attempts.finish(result.notes)


def write_report_files(
    course: Course,
    records: Sequence[ResultRecord],
    output: Path,
    attempts: Attempts,
    *,
    late: Sequence[LateSubmission] = (),
    names: Mapping[str, StudentName] | None = None,
    similarity: Sequence[ExerciseSimilarity] | None = None,
    link_lessons: bool = True,
    remarks: Sequence[str] = (),
) -> Path | None:
    """Write CSV, feedback pages, tables and the class report of these records into a folder.

    Without `similarity`, the notebooks are compared where the records say that they lie. Returns the report's path,
    None where it could not be written, which `attempts` notes.
    """
    from datetime import datetime

    from grader.gradebook.class_report import write_class_report
    from grader.gradebook.class_tables import TABLES_FOLDER, ClassTables, write_class_tables
    from grader.gradebook.csv_export import write_csv
    from grader.gradebook.feedback import write_feedback
    from grader.gradebook.submitted_code import compare_class
    from grader.gradebook.summary import summarise

    feedback, report, tables = (output / name for name in (FEEDBACK_FOLDER, REPORT_NAME, TABLES_FOLDER))
    with attempts.at(output):
        write_csv(records, course, output, late=late, names=names)
    with attempts.at(feedback):
        write_feedback(course, records, feedback, late=late, names=names)
    summary = summarise(records, course)
    if similarity is None:
        similarity = compare_class(records, course)
    with attempts.at(tables):
        write_class_tables(ClassTables(summary, records, similarity), tables)
    with attempts.at(report):
        return write_class_report(
            summary,
            report,
            similarity=similarity,
            feedback_directory=feedback,
            course_root=course.root if link_lessons else None,
            generated=datetime.now(),
            remarks=remarks,
        )
    return None


def _write_gradebook(run: ClassRun, result: ClassResult) -> None:
    url = _database_url(run)
    try:
        from grader.gradebook.nbgrader_connection import masked_url
        from grader.gradebook.nbgrader_database import write_gradebook

        report = write_gradebook(run.course, result.records, url, course_directory=run.output)
        result.gradebook = masked_url(url)
        result.notes += report.notes
        result.late, result.names = report.late, report.names
    except GradebookError as error:
        result.notes.append(f"The gradebook was not written: {error}")
    except ModuleNotFoundError as error:
        result.notes.append(f"The gradebook was not written: {explain_missing(error.name or 'a library')}")
