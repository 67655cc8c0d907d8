"""What can become of one check and of one submission."""

from __future__ import annotations

from enum import Enum


class CheckOutcome(Enum):
    """Outcome of one check. Only `PASSED` earns points: everything else, silence included, earns none."""

    PASSED = "passed"
    FAILED = "failed"  # the check ran, and what the submission did was not right
    ERROR = "error"  # the check itself broke: our fault, never the student's
    TIMEOUT = "timeout"  # the submission did not answer within its limit
    CRASHED = "crashed"  # the student's process died (out of memory, os._exit, segmentation fault)
    SKIPPED = "skipped"  # not run, because the submission could not be read or the time budget was spent


class SubmissionStatus(Enum):
    """What became of one submission as a whole."""

    GRADED = "graded"  # the checks ran; see their outcomes
    MISSING = "missing"  # no notebook was handed in
    UNREADABLE = "unreadable"  # not JSON, not a notebook, or larger than the limit
    NO_CODE = "no code"  # a notebook without a code cell
    SYNTAX_ERROR = "syntax error"  # the cell that should define the answer does not parse
    UNTOUCHED = "untouched"  # the stub as it was handed out
    TIMED_OUT = "timed out"  # ran out of its whole time budget
    CRASHED = "crashed"  # its process died before any check could run
    DUPLICATE = "duplicate"  # a second notebook of one student for one exercise; the first one counts
    REFUSED = "refused"  # a file or folder name that is not safe to use
    GRADER_ERROR = "grader error"  # our fault: needs a person
