"""What a grader's step hands to GitHub Classroom's reporter, from result records.

The reporter (classroom-resources/autograding-grading-reporter) reads, for every runner NAME, the variable NAME_RESULTS:
JSON in base64 with `version`, `status` (pass, fail or error), `max_score` and `tests` of `name`, `status`, `message`,
`score`, `test_code`, `filename`, `line_no` and `execution_time`. It sums the scores of the tests. The student owns the
repository and reads the log, so a hidden check says what must hold and never more.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from grader.checking.outcome import CheckOutcome
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.wording import clean_text
from grader.platforms.told import about_check, about_diagnosis, about_submission, first_to_fix


def classroom_results(records: Sequence[ResultRecord]) -> dict[str, Any]:
    """The results of one repository, its checks one after the other."""
    tests = [_test(record, check) for record in records for check in record.checks]
    complete = bool(tests) and all(test["status"] == "pass" for test in tests)
    broken = any(test["status"] == "error" for test in tests)
    return {
        "version": 1,
        "status": "error" if broken else "pass" if complete else "fail",
        "max_score": sum(record.max_points for record in records),
        "tests": tests,
    }


def encoded(results: dict[str, Any]) -> str:
    """The results as the reporter reads them from its environment."""
    return base64.b64encode(json.dumps(results).encode()).decode("ascii")


def _test(record: ResultRecord, check: CheckRecord) -> dict[str, Any]:
    message = about_check(check)
    if check.outcome is CheckOutcome.SKIPPED:
        message = about_submission(record)
    if check is first_to_fix(record):
        message = "\n".join(part for part in (message, about_diagnosis(record)) if part)
    statuses = {CheckOutcome.PASSED: "pass", CheckOutcome.ERROR: "error"}
    return {
        "name": f"{record.exercise}: {clean_text(check.title or check.name)}",
        "status": statuses.get(check.outcome, "fail"),
        "message": message or None,
        "test_code": "",
        "filename": "",
        "line_no": 0,
        "execution_time": f"{check.seconds:.2f}s",
        "score": check.points,
    }
