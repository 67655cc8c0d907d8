"""What differs between two runs, and what is said to have caused it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.comparison_csv import comparison_table
from grader.gradebook.csv_export import to_csv
from grader.grading.run_comparison import Cause, compare_runs
from grader.grading.runs import Run, newest_kept_run, read_run, write_run

PASSED, FAILED = CheckOutcome.PASSED, CheckOutcome.FAILED


def check(name: str, outcome: CheckOutcome = PASSED, points: float = 2.0) -> CheckRecord:
    return CheckRecord(name, f"{name} holds.", outcome, points if outcome is PASSED else 0.0, points, message="Why.")


RECORD = ResultRecord(
    student="ada",
    exercise="a/one",
    status=SubmissionStatus.GRADED,
    checks=(check("test_x"), check("test_y")),
    checks_hash="aa" * 32,
    submission_hash="bb" * 32,
    environment={"numpy": "2.1", "python": "3.12"},
    max_points=4.0,
)
WORSE = replace(RECORD, checks=(check("test_x"), check("test_y", FAILED)))


def run(*records: ResultRecord, complete: bool = True) -> Run:
    return Run(Path("run"), {(record.student, record.exercise): record for record in records}, complete)


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        ({}, (Cause.NOT_REPEATABLE,)),
        ({"checks_hash": "cc" * 32}, (Cause.CHECKS,)),
        ({"submission_hash": "cc" * 32}, (Cause.SUBMISSION,)),
        ({"environment": {"numpy": "2.2", "python": "3.12"}}, (Cause.ENVIRONMENT,)),
        ({"seed": 3}, (Cause.SEED,)),
        ({"seed": 3, "checks_hash": "cc" * 32}, (Cause.CHECKS, Cause.SEED)),
    ],
)
def test_the_cause_is_what_changed_of_all_a_result_depends_on(changes: dict, causes: tuple[Cause, ...]) -> None:
    comparison = compare_runs(run(RECORD), run(replace(WORSE, **changes)))
    (change,) = comparison.changes
    assert change.causes == causes
    assert list(comparison.by_cause) == [causes]
    assert [(found.name, found.before, found.after) for found in change.checks] == [("test_y", PASSED, FAILED)]
    assert (comparison.higher, comparison.lower, comparison.mean_before, comparison.mean_after) == (0, 1, 4.0, 2.0)


def test_the_versions_of_libraries_are_told() -> None:
    other = replace(WORSE, environment={"numpy": "2.2", "torch": "2.13"})
    (change,) = compare_runs(run(RECORD), run(other)).changes
    assert change.environment == (("numpy", "2.1", "2.2"), ("python", "3.12", ""), ("torch", "", "2.13"))


def test_an_equal_result_of_other_checks_is_counted_and_no_difference() -> None:
    comparison = compare_runs(run(RECORD), run(replace(RECORD, checks_hash="cc" * 32)))
    assert (comparison.changes, comparison.other_version_same_result) == ((), 1)


def test_checks_that_came_went_or_are_worth_something_else() -> None:
    other = replace(RECORD, checks_hash="cc" * 32, checks=(check("test_x", points=3.0), check("test_z", FAILED)))
    (change,) = compare_runs(run(RECORD), run(other)).changes
    assert [(found.name, found.before, found.after) for found in change.checks] == [
        ("test_x", PASSED, PASSED),
        ("test_z", None, FAILED),
        ("test_y", PASSED, None),
    ]


def test_another_maximum_is_a_difference_even_where_the_points_stay() -> None:
    (change,) = compare_runs(run(RECORD), run(replace(RECORD, max_points=5.0))).changes
    assert change.score_changed


def test_a_status_can_change_without_points() -> None:
    broken = replace(WORSE, status=SubmissionStatus.TIMED_OUT)
    (change,) = compare_runs(run(WORSE), run(broken)).changes
    assert (change.score_changed, change.status_after) == (False, SubmissionStatus.TIMED_OUT)


def test_what_only_one_run_has() -> None:
    comparison = compare_runs(run(RECORD), run(RECORD, replace(RECORD, student="bob")))
    (change,) = comparison.changes
    assert (change.student, change.causes, change.checks) == ("bob", (Cause.HANDED_IN,), ())
    missing = ResultRecord("bob", "a/one", SubmissionStatus.MISSING, max_points=4.0)
    assert compare_runs(run(RECORD), run(RECORD, missing)).changes == (), "not handed in, in neither"


def test_a_journal_alone_is_not_taken_to_know_what_was_never_run() -> None:
    untouched = replace(WORSE, student="bob", status=SubmissionStatus.UNTOUCHED, checks=())
    assert compare_runs(run(RECORD, complete=False), run(RECORD, untouched)).changes == ()
    assert len(compare_runs(run(RECORD), run(RECORD, untouched)).changes) == 1


def test_no_spreadsheet_runs_a_name_as_a_formula() -> None:
    hostile = replace(RECORD, student="=HYPERLINK(1)")
    comparison = compare_runs(run(hostile), run(replace(WORSE, student="=HYPERLINK(1)")))
    rows = to_csv(comparison_table(comparison, {"aa" * 32: "version 2"})).splitlines()
    assert rows[1].startswith("'=HYPERLINK(1),a/one,nothing changed but the result,graded,graded,4.0,2.0")
    assert rows[1].endswith("test_y,test_y holds.,passed,failed,version 2,version 2")


class TestRunsAreKept:
    def test_when_results_change_and_only_then(self, tmp_path: Path) -> None:
        assert write_run(tmp_path, [RECORD]) is None
        assert write_run(tmp_path, [replace(RECORD, seconds=9.0, source="elsewhere")]) is None
        kept = write_run(tmp_path, [WORSE])
        assert kept == newest_kept_run(tmp_path) == tmp_path / "runs" / "0001"
        assert read_run(kept).records["ada", "a/one"].points == 4.0
        assert read_run(tmp_path).records["ada", "a/one"].points == 2.0
        assert write_run(tmp_path, [RECORD]) == tmp_path / "runs" / "0002"

    def test_a_kill_between_keeping_and_writing_keeps_nothing_twice(self, tmp_path: Path) -> None:
        write_run(tmp_path, [RECORD])
        facts = (tmp_path / "run.json").read_bytes()
        write_run(tmp_path, [WORSE])
        (tmp_path / "run.json").write_bytes(facts)  # the records were replaced, the facts were not
        assert write_run(tmp_path, [WORSE]) == tmp_path / "runs" / "0001"
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["0001"]
        assert read_run(newest_kept_run(tmp_path)).records["ada", "a/one"].points == 4.0

    def test_a_damaged_description_loses_no_results(self, tmp_path: Path) -> None:
        write_run(tmp_path, [RECORD])
        (tmp_path / "run.json").write_text("{")
        assert write_run(tmp_path, [WORSE]) == tmp_path / "runs" / "0001"
