"""What a run leaves for the commands that pass its results on."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord
from grader.grading.journal import JOURNAL_NAME, Journal
from grader.grading.results_file import RESULTS_NAME, ResultsError, read_results, write_results

CHECK = CheckRecord("test_x", "It holds – always.", CheckOutcome.FAILED, 0.0, 2.0, message="\ud800\x00\u2028")
ADA = ResultRecord(
    "ada", "a/one", SubmissionStatus.GRADED, (CHECK,), (Diagnosis("slip", "a slip", "Because.", "exact"),)
)
MISSING = ResultRecord("bob", "a/one", SubmissionStatus.MISSING)
SECOND = ResultRecord("ada", "a/one", SubmissionStatus.DUPLICATE)
STRAY = ResultRecord("who?", "", SubmissionStatus.REFUSED)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert write_results([ADA, SECOND, MISSING, STRAY], tmp_path) == tmp_path / RESULTS_NAME
    results = read_results(tmp_path)
    assert results.records == (ADA, SECOND, MISSING, STRAY)
    assert results.counted == (ADA, MISSING), "neither a duplicate nor what belongs to no exercise counts"
    assert results.notes == ()


def test_an_interrupted_run_has_a_journal_at_least(tmp_path: Path) -> None:
    again = ResultRecord("ada", "a/one", SubmissionStatus.GRADED, submission_hash="2")
    with Journal(tmp_path / JOURNAL_NAME) as journal:
        journal.append(ADA)
        journal.append(again)
    results = read_results(tmp_path)
    assert results.records == (again,)
    assert "interrupted" in results.notes[0]


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="output folder of a `course grade` run"):
        read_results(tmp_path)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    write_results([ADA], tmp_path)
    with (tmp_path / RESULTS_NAME).open("a") as file:
        file.write('{"schema": 99}\n')
    with pytest.raises(ResultsError, match=r"line 2: .* schema 99"):
        read_results(tmp_path)
