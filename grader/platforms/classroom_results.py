"""What a grader's step tells GitHub: the results that GitHub Classroom's reporter reads, and a summary in Markdown.

The reporter (https://github.com/classroom-resources/autograding-grading-reporter) reads, for every runner NAME, the
variable NAME_RESULTS: JSON in base64 with `version`, `status` (pass, fail or error), `max_score` and `tests` of `name`,
`status`, `message`, `score`, `test_code`, `filename`, `line_no` and `execution_time`. It sums the scores of the tests
and says the sum in two annotations, "Autograding complete" and "Autograding report", which Classroom collects. The
student owns the repository and reads the log, so a hidden check says what must hold and never more.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from grader.checking.outcome import CheckOutcome
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.wording import OUTCOME_WORDS, clean_text, format_points
from grader.platforms.told import about_check, about_diagnosis, about_submission, first_to_fix

_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+!|@:~$-]")


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


def summary(records: Sequence[ResultRecord], titles: Mapping[str, str]) -> str:
    """The results as Markdown, with every text in it as it is."""
    lines = []
    for record in records:
        lines += [
            f"## {_markdown(titles.get(record.exercise, record.exercise))}",
            "",
            _markdown(about_submission(record)),
        ]
        lines += ["", "| check | | points |", "|---|---|---|"]
        for check in record.checks:
            points = f"{format_points(check.points)}/{format_points(check.max_points)}"
            lines.append(f"| {_markdown(check.title or check.name)} | {OUTCOME_WORDS[check.outcome]} | {points} |")
        first = first_to_fix(record)
        told = [about_check(first) if first else "", about_diagnosis(record)]
        lines += ["", *(f"{_markdown(text)}\n" for text in told if text), ""]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    escaped = html.escape(clean_text(text)).replace("\n", "<br>")
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", escaped)


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
