"""Grading again after something changed: first what it would do, then doing it.

Only what a change concerns is run again, because the journal knows everything that a result depends on. A trial writes
nothing into the folder of results; what it graded is kept in the user's cache, and regrading takes it from there, so
that the results are the very ones that were shown.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from grader.gradebook.files import remove_partial_files
from grader.gradebook.summary import counted_records
from grader.grading.class_grading import (
    STOPPED,
    ClassResult,
    ClassRun,
    GradingStopped,
    Progress,
    grade_submissions,
    write_reports,
)
from grader.grading.journal import JOURNAL_NAME, EarlierResults, Journal, JournalKey, read_journal
from grader.grading.output_folder import NO_LOCKS, claim
from grader.grading.run_comparison import Comparison, compare_runs
from grader.grading.runs import Run, read_run


@dataclass(frozen=True)
class Regraded:
    """What regrading found or did. `kept` is the folder of the earlier run, None in a trial or without a change."""

    comparison: Comparison
    result: ClassResult
    kept: Path | None = None


def try_regrading(
    run: ClassRun, on_start: Callable[[int], None] | None = None, on_result: Progress | None = None
) -> Regraded:
    """Grade what changed and compare, without writing anything into `run.output`.

    Raises ResultsError when there are no results to compare with, and what `grade_class` raises.
    """
    before = read_run(run.output)
    scratch = trial_folder(run.output)
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    with claim(scratch):
        result = grade_submissions(replace(run, scratch=scratch), on_start, on_result)
    _with_the_others(run, before, result)
    return Regraded(compare_runs(before, _as_run(run, result)), result)


def regrade(
    run: ClassRun, on_start: Callable[[int], None] | None = None, on_result: Progress | None = None
) -> Regraded:
    """Grade what changed, keep the earlier results as a run, and write every report anew.

    A trial's results are taken over. Interrupted, the same command goes on: until the reports are written, the results
    count that counted before. Raises ResultsError when there are no earlier results, and what `grade_class` raises.
    """
    scratch = trial_folder(run.output)
    with claim(run.output) as locked:
        remove_partial_files(run.output)
        before = read_run(run.output)
        _adopt(scratch / JOURNAL_NAME, run.output / JOURNAL_NAME)
        result = grade_submissions(run, on_start, on_result)
        _with_the_others(run, before, result)
        try:
            write_reports(run, result)
        except KeyboardInterrupt:
            raise GradingStopped(STOPPED) from None
    if not locked:
        result.notes.append(NO_LOCKS.format(folder=run.output))
    shutil.rmtree(scratch, ignore_errors=True)
    return Regraded(compare_runs(before, _as_run(run, result)), result, result.kept)


def trial_folder(output: Path) -> Path:
    """Where a trial for this folder of results keeps what it graded: in the user's cache, away from the results."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "course" / "regrade" / hashlib.sha256(bytes(output.resolve())).hexdigest()[:16]


def _adopt(trial: Path, journal: Path) -> None:
    """Append to the journal what a trial graded."""
    if not trial.is_file():
        return
    known = EarlierResults(journal)
    with Journal(journal) as file:
        for record in read_journal(trial):
            if known.get(JournalKey.of(record)) is None:
                file.append(record)


def _with_the_others(run: ClassRun, before: Run, result: ClassResult) -> None:
    """Exercises that were not asked for keep the results that they have."""
    asked_for = {exercise.id for exercise in run.exercises}
    others = [record for (_, exercise), record in before.records.items() if exercise not in asked_for]
    result.records = [*others, *result.records]


def _as_run(run: ClassRun, result: ClassResult) -> Run:
    return Run(run.output, counted_records(record for record in result.records if record.exercise))
