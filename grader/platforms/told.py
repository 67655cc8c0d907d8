"""What a platform may tell a student about one check and one submission, as plain text.

A visible check is shown in the notebook with its values, so its message may be. Of a hidden check a student reads what
must hold, and what became of it: its message quotes inputs and expected values, from which an answer could be copied.
"""

from __future__ import annotations

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.wording import BROKEN_CHECK, clean_text, explain_check, explain_status, format_points

MESSAGE_LIMIT = 6_000

HIDDEN_OUTCOMES = {
    CheckOutcome.PASSED: "",
    CheckOutcome.FAILED: "This does not hold for your answer.",
    CheckOutcome.ERROR: BROKEN_CHECK,
    CheckOutcome.TIMEOUT: "Your code did not answer in time.",
    CheckOutcome.CRASHED: "Python stopped while this was checked: out of memory, out of time, or it was ended.",
    CheckOutcome.SKIPPED: "This was not checked.",
}
_MATCH = {"exact": "Behaves exactly like", "partial": "Looks like"}


def about_check(check: CheckRecord) -> str:
    """What a student reads about a check; empty when it passed."""
    if not check.visible or check.outcome is CheckOutcome.PASSED:
        return HIDDEN_OUTCOMES[check.outcome]
    return explain_check(check, MESSAGE_LIMIT)


def about_submission(record: ResultRecord) -> str:
    """What became of a submission as a whole: its points, and why it was not checked where it was not."""
    score = f"{format_points(record.points)} of {format_points(record.max_points)} points."
    return score if record.status is SubmissionStatus.GRADED else f"{score}\n{about_status(record)}"


def about_status(record: ResultRecord) -> str:
    """The status in plain words, with the record's own message where it concerns the student."""
    return "\n".join(line for line in explain_status(record, MESSAGE_LIMIT) if line)


def about_diagnosis(record: ResultRecord) -> str:
    """The mistake that a submission behaves like most, and why it is one; empty when none was recognised."""
    if not record.diagnoses:
        return ""
    best = record.diagnoses[0]
    return clean_text(f"{_MATCH.get(best.match, _MATCH['partial'])}: {best.title}\n{best.explanation}", MESSAGE_LIMIT)


def first_to_fix(record: ResultRecord) -> CheckRecord | None:
    """The first check that ran and did not pass: the one a diagnosis speaks about."""
    harmless = (CheckOutcome.PASSED, CheckOutcome.SKIPPED)
    return next((check for check in record.checks if check.outcome not in harmless), None)
