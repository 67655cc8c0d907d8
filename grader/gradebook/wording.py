"""Words, numbers and safe text that the gradebook's pages and tables share."""

from __future__ import annotations

import re

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord

OUTCOME_WORDS = {
    CheckOutcome.PASSED: "passed",
    CheckOutcome.FAILED: "not passed",
    CheckOutcome.ERROR: "the check broke",
    CheckOutcome.TIMEOUT: "out of time",
    CheckOutcome.CRASHED: "crashed",
    CheckOutcome.SKIPPED: "not run",
}
OUTCOME_SYMBOLS = {
    CheckOutcome.PASSED: "✓",
    CheckOutcome.FAILED: "✗",
    CheckOutcome.ERROR: "!",
    CheckOutcome.TIMEOUT: "✗",
    CheckOutcome.CRASHED: "✗",
    CheckOutcome.SKIPPED: "–",
}
BROKEN_CHECK = "This check itself broke. That is our fault, not yours; your instructor sees it and will correct it."
FAILED_WITHOUT_MESSAGE = "No further explanation was recorded."

STATUS_FOR_STUDENT = {
    SubmissionStatus.GRADED: "Your notebook was graded.",
    SubmissionStatus.MISSING: "No notebook was handed in for this exercise.",
    SubmissionStatus.UNREADABLE: "The file could not be read as a notebook, so no check could run. "
    "Open it in Jupyter, save it again and hand it in again.",
    SubmissionStatus.NO_CODE: "The notebook has no code cell, so there was nothing to check.",
    SubmissionStatus.SYNTAX_ERROR: "Python could not read the cell that should define the answer. "
    "Correct the syntax error, run the notebook from the top once, and hand it in again.",
    SubmissionStatus.UNTOUCHED: "This is the notebook as it was handed out: nothing has been written in it yet.",
    SubmissionStatus.TIMED_OUT: "The notebook used up all of its time. "
    "The usual cause is a loop that does not end, or a training run in a cell that the checks do not need.",
    SubmissionStatus.CRASHED: "Python stopped before any check could run. "
    "The usual causes are using too much memory and leaving Python with exit().",
    SubmissionStatus.DUPLICATE: "This is a second notebook for the same exercise. The first one counts.",
    SubmissionStatus.REFUSED: "The file was not accepted, because its name is not safe to use.",
    SubmissionStatus.GRADER_ERROR: "Grading broke. That is our fault, not yours; "
    "your instructor sees it and will grade the notebook again.",
}
STATUS_FOR_INSTRUCTOR = {
    SubmissionStatus.GRADED: "graded",
    SubmissionStatus.MISSING: "not handed in",
    SubmissionStatus.UNREADABLE: "unreadable",
    SubmissionStatus.NO_CODE: "no code",
    SubmissionStatus.SYNTAX_ERROR: "syntax error",
    SubmissionStatus.UNTOUCHED: "untouched stub",
    SubmissionStatus.TIMED_OUT: "timed out",
    SubmissionStatus.CRASHED: "crashed",
    SubmissionStatus.DUPLICATE: "duplicate",
    SubmissionStatus.REFUSED: "refused",
    SubmissionStatus.GRADER_ERROR: "grader error",
}

TRUNCATED = "\n… {count} more characters are not shown."

_TERMINAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_BIDIRECTIONAL = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str, limit: int | None = None) -> str:
    """Text fit for a page or a table: no terminal colours, control characters, lone surrogates or direction overrides.

    A carriage return overwrites its line, as in a terminal. Longer than `limit`, the text is cut and says so. Escaping
    for HTML is the template's job.
    """
    kept = text if limit is None else text[:limit]
    kept = _TERMINAL_SEQUENCE.sub("", kept)
    if "\r" in kept:
        kept = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in kept.split("\n"))
    kept = _BIDIRECTIONAL.sub("�", _UNPRINTABLE.sub("�", kept))
    return kept + (TRUNCATED.format(count=len(text) - limit) if limit is not None and len(text) > limit else "")


def format_points(points: float) -> str:
    """Points without needless zeros: 4, 4.5, 0.33."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def format_percentage(share: float | None) -> str:
    """A share as a whole percentage; a dash where it is undefined. 100 % and 0 % are never reached by rounding."""
    if share is None:
        return "–"
    rounded = round(share * 100)
    if share < 1.0:
        rounded = min(rounded, 99)
    if share > 0.0:
        rounded = max(rounded, 1)
    return f"{rounded} %"


def explain_check(check: CheckRecord, limit: int | None = None) -> str:
    """What a student reads about a check that did not pass.

    The message of a check that broke stays with the instructor: it may quote the text of a hidden check.
    """
    if check.outcome is CheckOutcome.ERROR:
        return BROKEN_CHECK
    return clean_text(check.message, limit) or FAILED_WITHOUT_MESSAGE


def explain_status(record: ResultRecord, limit: int | None = None) -> tuple[str, str]:
    """The status in plain words for a student, and the record's own message where it concerns the student."""
    private = record.status in (SubmissionStatus.GRADER_ERROR, SubmissionStatus.REFUSED)
    return STATUS_FOR_STUDENT[record.status], "" if private else clean_text(record.message, limit)
