"""Running a hidden check inside the notebook's own kernel, for `nbgrader autograde`.

Compatibility, not safety: the student's code and the check share a process here, as with any nbgrader test cell.
`course grade` is the safe way to the same gradebook. Values still travel through the wire's encoding, so a check sees
exactly the same types in both places.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grader.checking.outcome import CheckOutcome
from grader.checking.plugin import CheckJob
from grader.sandbox import wire
from grader.sandbox.forbidden import forbidden
from grader.sandbox.proxy import Session, reference_of
from grader.sandbox.student_process import Submission, describe_error, real_tensor

DEFAULT_SEED = 0


class InKernelTransport:
    """Answers requests from names that live in this process."""

    def __init__(self, submission: Submission, session: Session, forbidden_names: Sequence[str]) -> None:
        self._submission, self._session, self._forbidden = submission, session, forbidden(forbidden_names)

    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """See `grader.sandbox.proxy.Transport`."""
        data = wire.pack(message, reference_of)
        try:
            request = wire.unpack(data, self._submission.from_handle, real_tensor)
            with self._forbidden:
                answer = {"value": self._submission.answer(request)}
            packed = wire.pack(answer, self._submission.to_handle)
        except (Exception, SystemExit) as error:
            packed = wire.pack({"error": describe_error(error)})
        plain: dict[str, Any] = wire.unpack(packed, self._session.from_handle)
        return plain


def run_check(exercise_id: str, name: str, names: dict[str, Any], seed: int = DEFAULT_SEED) -> None:
    """Run one check of an exercise on the names of a notebook (`globals()`).

    Raises AssertionError with the explanation unless the check passes, CourseError for an unknown exercise.
    """
    from hypothesis.configuration import set_hypothesis_home_dir

    from grader.checking.runner import run_checks
    from grader.course import load_course

    # What hypothesis writes goes there, not into a folder beside the notebook.
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "course-hypothesis")
    exercise = load_course().exercise(exercise_id)
    session = Session()

    def load(target: Session) -> list[str]:
        submission = Submission()
        submission.names = dict(names)
        target.transport = InKernelTransport(submission, target, exercise.forbidden)
        return []

    job = CheckJob(session=session, load=load, explain_end=str, stop=str, seed=seed, only=frozenset({name}))
    run = run_checks(exercise.checks_path, job)
    if run.problem:
        raise AssertionError(run.problem)
    for record in run.results:
        if record.outcome is not CheckOutcome.PASSED:
            raise AssertionError(f"{record.title}\n{record.message}")
