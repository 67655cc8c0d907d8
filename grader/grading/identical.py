"""Identical submissions are graded once: the queue that hands out the first of each kind and shares its result.

Two submissions are identical when the same code is run in the same cells and the same exercise asks for it. What a
notebook holds besides (outputs, metadata, written answers, text cells that move nothing) makes no difference.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.course import Exercise
from grader.grading.collect import CollectedSubmission
from grader.notebooks.submission import Submission


def code_hash(exercise: Exercise, submission: Submission) -> str:
    """SHA-256 of all of a submission that its grade can depend on.

    The numbers of its cells are of it, because messages name them, and so are cells that are not Python.
    """
    cells = list(zip(submission.cell_numbers, submission.code_cells, strict=True))
    errors = [[error.cell, error.line, error.message, error.text, error.names] for error in submission.syntax_errors]
    return hashlib.sha256(json.dumps([exercise.id, cells, errors]).encode()).hexdigest()


@dataclass(frozen=True)
class WaitingSubmission:
    """A submission that was read once and waits to be graded, without its code: there may be thousands.

    `index` is its place among all that were handed in, `submission_hash` of the file's bytes, `code_hash` of what is
    checked; `notes` are the remarks on reading it.
    """

    index: int
    exercise: Exercise
    collected: CollectedSubmission
    submission_hash: str
    code_hash: str
    notes: tuple[str, ...] = ()


class SubmissionQueue:
    """Hands out one submission of each kind at a time, in order, and shares its result with the others of the kind."""

    def __init__(self, waiting: Iterable[WaitingSubmission]) -> None:
        self.shared = 0  # results that were another submission's
        self._followers: dict[str, list[WaitingSubmission]] = {}
        self._queue: deque[WaitingSubmission] = deque()
        for one in waiting:
            if one.code_hash in self._followers:
                self._followers[one.code_hash].append(one)
            else:
                self._followers[one.code_hash] = []
                self._queue.append(one)

    def take(self) -> WaitingSubmission | None:
        """The next one to grade; None when there is none now, though `share` may bring one back."""
        return self._queue.popleft() if self._queue else None

    def share(self, graded: WaitingSubmission, record: ResultRecord) -> list[tuple[WaitingSubmission, ResultRecord]]:
        """The results of those that are identical to one that was graded.

        A fault of the grader is nobody else's result, nor is that of a file which was changed in the meantime: then
        the next of the kind is queued to be graded itself.
        """
        followers = self._followers.pop(graded.code_hash, [])
        usable = record.status is not SubmissionStatus.GRADER_ERROR
        if followers and not (usable and record.submission_hash == graded.submission_hash):
            self._queue.appendleft(followers[0])
            self._followers[graded.code_hash] = followers[1:]
            return []
        self.shared += len(followers)
        return [(one, _as_of(one, graded, record)) for one in followers]


def _as_of(one: WaitingSubmission, graded: WaitingSubmission, record: ResultRecord) -> ResultRecord:
    """A result as that of an identical submission: what was found is the same, whose it is and what was read is not."""
    return replace(
        record,
        student=one.collected.student,
        source=one.collected.place,
        submission_hash=one.submission_hash,
        notes=(*one.notes, *record.notes[len(graded.notes) :]),
        seconds=0.0,
    )
