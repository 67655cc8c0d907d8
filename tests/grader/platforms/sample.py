"""A few results to pass on, among them what a hostile student may have put into them; and golden files."""

from __future__ import annotations

import os
from pathlib import Path

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, Diagnosis, ResultRecord

GOLDEN = Path(__file__).with_name("golden")
RENEW = "RENEW_GOLDEN_FILES"
DOT, METRICS = "attention/scaled_dot_product", "metrics/classification"
TITLES = {DOT: "Scaled dot-product attention", METRICS: "Classification metrics"}

SECRET = "it is 0.25, expected 0.73105857863"
VISIBLE = CheckRecord(
    "test_example", "The worked example comes out right.", CheckOutcome.FAILED, 0.0, 1.0, True, "Expected 3, got 4.",
    expected="3", actual="4", called="f(1)", seconds=0.01,
)  # fmt: skip
HIDDEN = CheckRecord(
    "test_spread", "The spread of the scores does not grow.", CheckOutcome.FAILED, 0.0, 2.0, False, SECRET,
    expected="0.73105857863", actual="0.25", called="f([0.731058])", seconds=0.02,
)  # fmt: skip
PASSED = CheckRecord("test_shape", "Shapes follow the queries.", CheckOutcome.PASSED, 4.0, 4.0, seconds=0.125)
SLOW = CheckRecord("test_long", "Long input is fine.", CheckOutcome.TIMEOUT, 0.0, 2.0, message=f"slow: {SECRET}")
BROKEN = CheckRecord("test_odd", "Odd input is fine.", CheckOutcome.ERROR, 0.0, 1.0, message=f"our bug; {SECRET}")
SLIP = Diagnosis("unscaled", "no scaling of the scores", "Look at their spread <when> the keys grow.", "exact")


def record(student: str, exercise: str, status: SubmissionStatus, *checks: CheckRecord, **more: object) -> ResultRecord:
    values: dict[str, object] = {
        "course_version": "1.0", "checks_hash": "c" * 64, "submission_hash": "5" * 64, "seed": 7, "max_points": 10.0,
        "environment": {"python": "3.11.9", "confinement": "landlock+seccomp"}, "seconds": 0.5,
    }  # fmt: skip
    return ResultRecord(student, exercise, status, checks, **{**values, **more})  # type: ignore[arg-type]


def skipped(*checks: CheckRecord) -> tuple[CheckRecord, ...]:
    return tuple(
        CheckRecord(c.name, c.title, CheckOutcome.SKIPPED, 0.0, c.max_points, c.visible, "Not run.") for c in checks
    )


PARTLY = record("doejane_101", DOT, SubmissionStatus.GRADED, VISIBLE, HIDDEN, PASSED, SLOW, BROKEN, diagnoses=(SLIP,))
RIGHT = record("roerichard_102", DOT, SubmissionStatus.GRADED, PASSED, seconds=0.25)
SYNTAX = record(
    "<b>poe</b>_103", METRICS, SubmissionStatus.SYNTAX_ERROR, *skipped(VISIBLE, HIDDEN),
    message="cell 3, line 1: invalid syntax: <script>", seconds=0.0,
)  # fmt: skip
MISSING = record("nobody_104", DOT, SubmissionStatus.MISSING, *skipped(PASSED), seconds=0.0)
OUR_FAULT = record("unlucky_105", DOT, SubmissionStatus.GRADER_ERROR, message="the checker ended early", seconds=0.0)


def compare_with_golden(name: str, text: str) -> None:
    """Compare with a golden file. With the variable RENEW_GOLDEN_FILES set it is written first: read it then."""
    path = GOLDEN / name
    if os.environ.get(RENEW):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
    assert text == path.read_bytes().decode("utf-8")
