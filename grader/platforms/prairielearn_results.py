"""PrairieLearn's `results.json` of an external grader, from a result record.

The format is the one of https://prairielearn.readthedocs.io/en/latest/externalGrading/ ("Grading results").
PrairieLearn shows every test to the student at once, so hidden checks say what must hold and never more; and nothing
that the student's code printed is passed on, since it may have printed what a hidden check called it with. What could
not be read as an answer is not gradable: it costs no attempt.
"""

from __future__ import annotations

from typing import Any

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.wording import OUTCOME_WORDS, clean_text
from grader.platforms.told import about_check, about_diagnosis, about_status, about_submission, first_to_fix

NOT_GRADABLE = frozenset(
    {
        SubmissionStatus.MISSING,
        SubmissionStatus.UNREADABLE,
        SubmissionStatus.NO_CODE,
        SubmissionStatus.SYNTAX_ERROR,
        SubmissionStatus.UNTOUCHED,
        SubmissionStatus.REFUSED,
    }
)


def prairielearn_results(record: ResultRecord) -> dict[str, Any]:
    """The results of one submission; the score is the share of the points of the checks, from 0 to 1."""
    if record.status in NOT_GRADABLE:
        return {"gradable": False, "format_errors": [about_status(record)]}
    return {
        "gradable": True,
        "score": round(min(record.points / record.max_points, 1.0), 6) if record.max_points else 0.0,
        "message": about_submission(record),
        "output": "",
        "tests": [_test(record, check) for check in record.checks],
    }


def _test(record: ResultRecord, check: CheckRecord) -> dict[str, Any]:
    message = about_check(check)
    if check is first_to_fix(record):
        message = "\n\n".join(part for part in (message, about_diagnosis(record)) if part)
    return {
        "name": clean_text(check.title or check.name),
        "description": OUTCOME_WORDS[check.outcome],
        "points": check.points,
        "max_points": check.max_points,
        "message": message,
        "output": "",
    }
