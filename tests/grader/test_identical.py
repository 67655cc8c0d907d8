"""Identical submissions: graded once, each with a result of its own, and no fault of ours shared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.course import load_course
from grader.grading.class_grading import ClassRun, grade_class
from grader.grading.collect import CollectedSubmission
from grader.grading.identical import SubmissionQueue, WaitingSubmission, code_hash
from grader.grading.journal import JOURNAL_NAME, read_journal
from grader.notebooks.submission import read_submission

ROOT = Path(__file__).resolve().parents[2]
COURSE = load_course(ROOT)
METRICS = "metrics/classification"
EXERCISE = COURSE.exercise(METRICS)
NOTEBOOK = (ROOT / "tests/sample_class/submitted/student-01" / f"{METRICS}.ipynb").read_text(encoding="utf-8")
CRASH = "import os\nos._exit(3)"


def with_cell(source: str, **changes: Any) -> str:
    notebook = {**json.loads(NOTEBOOK), **changes}
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "added",
        "metadata": {},
        "outputs": [],
        "source": source,
    }
    return json.dumps({**notebook, "cells": [*notebook["cells"], cell]})


def hash_of(text: str) -> str:
    return code_hash(EXERCISE, read_submission(text.encode()))


class TestCodeHash:
    def test_outputs_and_metadata_make_no_difference(self) -> None:
        notebook = json.loads(NOTEBOOK)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["execution_count"], cell["outputs"] = (
                    99,
                    [{"output_type": "stream", "name": "stdout", "text": "x"}],
                )
        assert hash_of(json.dumps(notebook, indent=3)) == hash_of(NOTEBOOK)
        assert hash_of(json.dumps({**notebook, "metadata": {}})) == hash_of(NOTEBOOK)

    def test_code_its_place_and_broken_cells_do(self) -> None:
        notebook = json.loads(NOTEBOOK)
        moved = {**notebook, "cells": [{"cell_type": "markdown", "metadata": {}, "source": "hi"}, *notebook["cells"]]}
        texts = [
            NOTEBOOK,
            json.dumps(moved),
            with_cell("x = 1"),
            with_cell("x = 2"),
            with_cell("x ="),
            with_cell("y ="),
        ]
        assert len({hash_of(text) for text in texts}) == len(texts)

    def test_the_exercise_does(self) -> None:
        submission = read_submission(NOTEBOOK.encode())
        other = replace(EXERCISE, id="metrics/other")
        assert code_hash(EXERCISE, submission) != code_hash(other, submission)


def waiting(index: int, code: str) -> WaitingSubmission:
    collected = CollectedSubmission(f"student-{index}", METRICS, f"{index}.ipynb")
    return WaitingSubmission(index, EXERCISE, collected, f"file-{index}", code, (f"read {index}",))


def graded(one: WaitingSubmission, status: SubmissionStatus = SubmissionStatus.GRADED) -> ResultRecord:
    checks = (CheckRecord("test_one", "One.", CheckOutcome.PASSED, 1.0, 1.0),)
    record = ResultRecord(one.collected.student, METRICS, status, checks, submission_hash=one.submission_hash)
    return replace(record, source=one.collected.source, notes=(*one.notes, "a remark"), seconds=2.0)


class TestTheQueue:
    def test_the_first_of_a_kind_is_handed_out_and_shares_its_result(self) -> None:
        queue = SubmissionQueue([waiting(0, "a"), waiting(1, "b"), waiting(2, "a"), waiting(3, "a")])
        first, second = queue.take(), queue.take()
        assert first is not None and second is not None and queue.take() is None
        shared = queue.share(first, graded(first))
        assert [one.index for one, _ in shared] == [2, 3] and queue.shared == 2
        record = shared[0][1]
        assert (record.student, record.source, record.submission_hash) == ("student-2", "2.ipynb", "file-2")
        assert record.notes == ("read 2", "a remark") and record.points == 1 and record.seconds == 0
        assert queue.share(second, graded(second)) == [] and queue.take() is None

    @pytest.mark.parametrize("fault", ["grader error", "changed file"])
    def test_what_is_nobody_elses_result_is_not_shared(self, fault: str) -> None:
        queue = SubmissionQueue([waiting(0, "a"), waiting(1, "a"), waiting(2, "a")])
        first = queue.take()
        assert first is not None
        bad = graded(first, SubmissionStatus.GRADER_ERROR) if fault == "grader error" else graded(first)
        assert queue.share(first, bad if fault == "grader error" else replace(bad, submission_hash="other")) == []
        second = queue.take()
        assert second is not None and second.index == 1
        assert [one.index for one, _ in queue.share(second, graded(second))] == [2]
        assert queue.take() is None and queue.shared == 1


def test_a_class_with_copies(tmp_path: Path) -> None:
    """Six notebooks of three kinds: every student has a result, the journal a line for each, and three are graded."""
    copies = {"anna": NOTEBOOK, "boris": with_cell(CRASH), "clara": NOTEBOOK, "david": with_cell("x = 1")}
    copies |= {"emma": with_cell(CRASH, metadata={}), "felix": json.dumps(json.loads(NOTEBOOK), indent=4)}
    for student, text in copies.items():
        path = tmp_path / "submitted" / student / f"{METRICS}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    run = ClassRun(COURSE, tmp_path / "submitted", tmp_path / "results", (EXERCISE,))
    result = grade_class(run)
    records = {record.student: record for record in result.records}
    assert [record.student for record in result.records] == sorted(copies)
    assert {student for student, record in records.items() if record.status is SubmissionStatus.CRASHED} == {
        "boris",
        "emma",
    }
    assert all(records[student].points == EXERCISE.points for student in ("anna", "clara", "david", "felix"))
    assert records["boris"].message == records["emma"].message
    assert len({record.submission_hash for record in result.records}) == 5  # two files are the same to the byte
    assert result.identical == 3 and sum(record.seconds > 0 for record in result.records) == 3
    assert any(note.startswith("3 notebooks hold the same code as another one") for note in result.notes)
    assert "3 notebooks hold the same code as another one" in (tmp_path / "results" / "report.html").read_text()
    lines = [record.student for record in read_journal(tmp_path / "results" / JOURNAL_NAME)]
    assert sorted(lines) == sorted(copies)
    again = grade_class(run)
    assert (again.reused, again.identical) == (6, 0)
    assert [(record.student, record.points) for record in again.records] == [
        (record.student, record.points) for record in result.records
    ]
