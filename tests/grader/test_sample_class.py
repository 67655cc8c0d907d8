"""The sample class, graded as `make grade` does: every outcome is pinned, and every report says the same."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Course, Framework, Kind, load_course
from grader.gradebook.class_tables import TABLES
from grader.gradebook.feedback import has_page
from grader.gradebook.files import feedback_path
from grader.grading.class_grading import ClassResult, ClassRun, grade_class
from grader.grading.journal import JOURNAL_NAME, read_journal

pytest.importorskip("tensorflow")
pytest.importorskip("nbgrader")

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "sample_class"
SUBMITTED = SAMPLE / "submitted"
EXPECTED: dict[str, dict[str, dict[str, Any]]] = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
HANDED_IN = [(student, exercise) for student, exercises in EXPECTED.items() for exercise in exercises]
NOT_RUN = [("student-10", "metrics/classification")]  # untouched: nothing to run, so nothing to journal


@dataclass
class Graded:
    """The class after one run: what `grade_class` returned, and where it wrote."""

    course: Course
    output: Path
    result: ClassResult

    @property
    def records(self) -> dict[tuple[str, str], ResultRecord]:
        return {(record.student, record.exercise): record for record in self.result.records}

    def run(self, output: Path) -> ClassRun:
        return ClassRun(self.course, SUBMITTED, output, self.course.exercises, jobs=2)


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    course, output = load_course(ROOT), tmp_path_factory.mktemp("sample_class")
    run = ClassRun(course, SUBMITTED, output, course.exercises, jobs=2)
    return Graded(course, output, grade_class(run))


def what_became_of(record: ResultRecord) -> dict[str, Any]:
    """A record in the form of expected.json."""
    outcome: dict[str, Any] = {"status": record.status.value, "points": record.points, "diagnosis": None}
    if record.diagnoses:
        outcome["diagnosis"], outcome["match"] = record.diagnoses[0].id, record.diagnoses[0].match
    not_passed = {c.name: c.outcome.value for c in record.checks if c.outcome is not CheckOutcome.PASSED}
    return {**outcome, "not_passed": not_passed}


def without_times(record: ResultRecord) -> ResultRecord:
    checks = tuple(replace(check, seconds=0.0) for check in record.checks)
    return replace(record, checks=checks, seconds=0.0)


# --- outcomes --------------------------------------------------------------------------------------------------------


def test_the_class_is_complete_and_as_its_script_makes_it(graded: Graded) -> None:
    assert len(EXPECTED) == 14
    handed_in = [graded.course.exercise(identifier) for identifier in {exercise for _, exercise in HANDED_IN}]
    assert {exercise.framework for exercise in handed_in} == {Framework.NUMPY, Framework.TORCH, Framework.TENSORFLOW}
    assert {exercise.kind for exercise in handed_in} == {Kind.CODING, Kind.QUESTION}
    assert {(p.parts[0], f"{p.parts[1]}/{p.stem}") for p in relative_notebooks()} == set(HANDED_IN)
    script = [sys.executable, str(SAMPLE / "make_sample_class.py"), "--check"]
    made = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, f"run `python tests/sample_class/make_sample_class.py`:\n{made.stdout}{made.stderr}"


def relative_notebooks() -> Iterator[Path]:
    return (path.relative_to(SUBMITTED) for path in SUBMITTED.rglob("*.ipynb"))


@pytest.mark.parametrize(("student", "exercise"), HANDED_IN)
def test_outcome(graded: Graded, student: str, exercise: str) -> None:
    assert what_became_of(graded.records[student, exercise]) == EXPECTED[student][exercise]


def test_everything_else_was_not_handed_in(graded: Graded) -> None:
    others = {key: record for key, record in graded.records.items() if key not in HANDED_IN}
    assert len(others) == len(graded.result.records) - len(HANDED_IN) == 14 * 6 - len(HANDED_IN)
    for record in others.values():
        assert (record.status, record.points) == (SubmissionStatus.MISSING, 0.0)


def test_every_check_has_a_record_and_the_points_add_up(graded: Graded) -> None:
    for record in graded.result.records:
        exercise = graded.course.exercise(record.exercise)
        assert sum(check.max_points for check in record.checks) == record.max_points == exercise.points
        for check in record.checks:
            assert check.points == (check.max_points if check.outcome is CheckOutcome.PASSED else 0.0)
            assert check.title and (check.message or check.outcome is CheckOutcome.PASSED)


def test_written_answers_scratch_cells_and_prints_do_no_harm(graded: Graded) -> None:
    perfect = [record for record in graded.result.records if record.points == 10]
    assert len(perfect) == 10
    assert all(not record.notes for record in perfect), "no cell failed or was left out"
    assert "torch.Size([5, 2])" in graded.records["student-01", "attention/scaled_dot_product"].output


def test_messages_lead_to_the_place(graded: Graded) -> None:
    broken = graded.records["student-11", "attention/scaled_dot_product"]
    assert broken.message == "cell 4, line 20: expected ':': if scale is None"
    endless = graded.records["student-12", "regularisation/early_stopping"]
    assert "Loading the notebook: no answer within" in endless.message
    unwritten = graded.records["student-04", "metrics/classification"].checks[0]
    assert "binary_report" in unwritten.message and "not written yet" in unwritten.message


def test_reading_the_checks_and_writing_a_grade_gets_nowhere(graded: Graded) -> None:
    record = graded.records["student-13", "metrics/classification"]
    attempts = dict(line.split(" -> ") for line in record.output.strip().splitlines())
    assert len(attempts) >= 15, record.output
    refused = {"PermissionError", "FileNotFoundError", "OperationalError", "[]"}
    assert {result for attempt, result in attempts.items() if attempt != "run a program"} <= refused, record.output
    assert attempts["run a program"] != "0"
    assert not Path("/tmp/student-13-was-here").exists()
    own = [r for r in read_journal(graded.output / JOURNAL_NAME) if r.student == "student-13"]
    assert [r.points for r in own] == [0.0], "its own line was not written"


def test_no_message_gives_answers_away(graded: Graded) -> None:
    truths = ("'constant_guess': ", "'sparsity_is_penalised': ", "{'constant_guess'")
    for record in graded.result.records:
        for check in record.checks:
            for truth in truths:
                assert truth not in check.message, f"{record.student}, {check.name}: {check.message}"


# --- the journal -----------------------------------------------------------------------------------------------------


def test_a_second_run_grades_nothing_and_says_the_same(graded: Graded) -> None:
    again = grade_class(graded.run(graded.output))
    assert again.records == graded.result.records
    assert graded.result.graded == len(HANDED_IN) - len(NOT_RUN)
    assert (again.graded, again.reused) == (0, len(HANDED_IN) - len(NOT_RUN))
    assert again.seconds < 5


def test_after_a_cut_in_the_last_line_only_that_one_is_graded_again(graded: Graded, tmp_path: Path) -> None:
    lines = (graded.output / JOURNAL_NAME).read_bytes().splitlines(keepends=True)
    assert len(lines) == len(HANDED_IN) - len(NOT_RUN)
    cut = next(line for line in lines if b'"student-06"' in line)  # NumPy: graded again in no time
    lines = [line for line in lines if line is not cut] + [cut[: len(cut) // 2]]
    (tmp_path / JOURNAL_NAME).write_bytes(b"".join(lines))
    shutil.copy(graded.output / "gradebook.db", tmp_path)  # nbgrader takes seconds to make a new one
    again = grade_class(graded.run(tmp_path))
    assert again.reused == len(HANDED_IN) - len(NOT_RUN) - 1
    assert [without_times(r) for r in again.records] == [without_times(r) for r in graded.result.records]
    assert grade_class(graded.run(tmp_path)).reused == again.reused + 1, "now it is in the journal"


# --- reports ---------------------------------------------------------------------------------------------------------


def test_the_tables_agree_with_the_records(graded: Graded) -> None:
    with (graded.output / "grades.csv").open(newline="", encoding="utf-8") as file:
        grades = list(csv.DictReader(file))
    assert [row["student"] for row in grades] == sorted(EXPECTED)
    for row in grades:
        student = row["student"]
        for exercise in dict.fromkeys(exercise for _, exercise in HANDED_IN):
            given = EXPECTED[student].get(exercise)
            assert row[exercise] == ("" if given is None else str(given["points"]))
        assert int(row["total"]) == sum(given["points"] for given in EXPECTED[student].values())
    with (graded.output / "checks.csv").open(newline="", encoding="utf-8") as file:
        checks = {(row["student"], row["exercise"], row["check"]): row for row in csv.DictReader(file)}
    for record in graded.result.records:
        for check in record.checks:
            row = checks[record.student, record.exercise, check.name]
            assert (row["status"], row["outcome"]) == (record.status.value, check.outcome.value)
            assert float(row["points"]) == check.points
            assert row["diagnosis"] == "; ".join(diagnosis.id for diagnosis in record.diagnoses)


def test_the_tables_of_the_class_are_beside_the_report(graded: Graded) -> None:
    assert {path.name for path in (graded.output / "tables").iterdir()} == set(TABLES)
    with (graded.output / "tables" / "results.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(graded.result.records)
    assert (graded.output / "tables" / "similarity.csv").read_text().count("\n") == 1, "nobody copied"
    report = (graded.output / "report.html").read_text()
    assert "No two submissions are more alike" in report and "exercises/attention/scaled_dot_product.ipynb" in report


def test_every_notebook_has_a_feedback_page(graded: Graded) -> None:
    for (student, exercise), record in graded.records.items():
        topic, slug = exercise.split("/")
        page = graded.output / "feedback" / feedback_path(student, topic, slug)
        assert page.is_file() == has_page(record.status), page
        if (student, exercise) in HANDED_IN:
            text = page.read_text(encoding="utf-8")
            assert f"{record.points:g}" in text and student in text
            assert all(diagnosis.title.replace("`", "") in plain(text) for diagnosis in record.diagnoses)


def plain(page: str) -> str:
    return page.replace("<code>", "").replace("</code>", "").replace("&#39;", "'")


def test_the_report_names_students_misconceptions_and_problems(graded: Graded) -> None:
    report = graded.result.report
    assert report is not None and report.parent == graded.output
    text = plain(report.read_text(encoding="utf-8"))
    for student in EXPECTED:
        assert student in text
    for record in graded.result.records:
        for diagnosis in record.diagnoses:
            assert diagnosis.title.replace("`", "") in text


def test_the_gradebook_agrees_with_the_records(graded: Graded) -> None:
    from nbgrader.api import Gradebook

    assert graded.result.gradebook == f"sqlite:///{graded.output / 'gradebook.db'}"
    assert not graded.result.notes
    with Gradebook(graded.result.gradebook) as gradebook:
        for student, exercise in HANDED_IN:
            topic, slug = exercise.split("/")
            notebook = gradebook.find_submission_notebook(slug, topic, student)
            record = graded.records[student, exercise]
            assert sum(grade.auto_score or 0.0 for grade in notebook.grades) == record.points, (student, exercise)
            to_read = {grade.name for grade in notebook.grades if grade.needs_manual_grade}
            written = graded.course.exercise(exercise).written_points > 0 and student != "student-10"
            assert to_read == ({"answer"} if written else set()), (student, exercise)
    copies = list((graded.output / "autograded").rglob("*.ipynb"))
    assert len(copies) == len(HANDED_IN)


# --- the command -----------------------------------------------------------------------------------------------------


def course_grade(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grader.cli", "grade", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_command_s_json_is_the_records(graded: Graded) -> None:
    done = course_grade(SUBMITTED, "--output", graded.output, "--json", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [ResultRecord.from_dict(record) for record in answer["records"]] == graded.result.records
    assert answer["reused"] == len(HANDED_IN) - len(NOT_RUN)
    assert Path(answer["report"]) == graded.result.report
    assert answer["gradebook"] == graded.result.gradebook


def test_the_command_s_table_for_one_exercise(graded: Graded, tmp_path: Path) -> None:
    for name in (JOURNAL_NAME, "gradebook.db"):
        shutil.copy(graded.output / name, tmp_path)
    done = course_grade(SUBMITTED, "--output", tmp_path, "--exercise", "metrics/classification")
    assert done.returncode == 0, done.stderr
    assert "10/10" in done.stdout and "8/10" in done.stdout and "untouched" in done.stdout
    assert "behaves like macro-F1 over the classes that occur in y_true only" in " ".join(done.stdout.split())
    assert "cross" not in done.stdout, "only the exercise that was asked for"
    assert not (tmp_path / "feedback" / "student-05").exists()
