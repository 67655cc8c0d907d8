"""What to write for some students: planned submissions for nbgrader's gradebook, and copies for formgrader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from grader.checking.outcome import SubmissionStatus
from grader.checking.record import ResultRecord
from grader.gradebook.autograded_copy import answer_texts, build_copy, find_answers, read_submission
from grader.gradebook.files import write_text
from grader.gradebook.grade_plan import PlannedNotebook, plan_notebook
from grader.gradebook.nbgrader_batch import PlannedSubmission
from grader.gradebook.solution_cells import SolutionNotebook
from grader.gradebook.submission_files import (
    SECRET_FILE,
    TIMESTAMP_FILE,
    BadTimestamp,
    parse_timestamp,
    read_small_text,
)

BAD_TIMESTAMP = "{path} is not a time; the submission is in the gradebook without one"


@dataclass(frozen=True)
class Copy:
    """A notebook to lay out for formgrader."""

    path: Path
    notebook: dict[str, Any]


class Planner:
    """Plans what to write for some students, with the notebooks they handed in."""

    def __init__(
        self,
        solutions: Mapping[str, SolutionNotebook],
        records: Mapping[tuple[str, str], ResultRecord],
        notebooks: Mapping[tuple[str, str], Path],
        directory: Path | None,
    ) -> None:
        self._records, self._notebooks, self._directory = records, notebooks, directory
        self._topics: dict[str, list[SolutionNotebook]] = {}
        for solution in solutions.values():
            self._topics.setdefault(solution.topic, []).append(solution)
        self.notes: list[str] = []

    def plan(self, students: Sequence[str]) -> tuple[list[PlannedSubmission], list[Copy]]:
        """Planned submissions and copies of some students."""
        planned: list[PlannedSubmission] = []
        copies: list[Copy] = []
        for student in students:
            for topic, solutions in self._topics.items():
                records = [(solution, self._records.get((student, solution.exercise))) for solution in solutions]
                if any(record is not None for _, record in records):
                    planned.append(self._plan_submission(student, topic, records, copies))
        return planned, copies

    def _plan_submission(
        self,
        student: str,
        topic: str,
        records: Sequence[tuple[SolutionNotebook, ResultRecord | None]],
        copies: list[Copy],
    ) -> PlannedSubmission:
        plans: dict[str, PlannedNotebook] = {}
        changed: set[tuple[str, str]] = set()
        for solution, record in records:
            if record is None:
                continue
            submitted = read_submission(self._source(record))
            plans[solution.slug] = plan_notebook(record, solution, find_answers(submitted, solution))
            if self._directory is None or record.status is SubmissionStatus.MISSING:
                continue
            path = self._directory / "autograded" / student / topic / f"{solution.slug}.ipynb"
            before, now = answer_texts(read_submission(path), solution), answer_texts(submitted, solution)
            changed.update((solution.slug, grade_id) for grade_id in before if before[grade_id] != now.get(grade_id))
            copies.append(Copy(path, build_copy(record, solution, submitted)))
        there = [record for _, record in records if record and record.status is not SubmissionStatus.MISSING]
        missing = frozenset(
            solution.slug for solution, record in records if record and record.status is SubmissionStatus.MISSING
        )
        timestamp = self._timestamp(student, topic, there) if there else None
        return PlannedSubmission(student, topic, bool(there), timestamp, plans, frozenset(changed), missing)

    def _source(self, record: ResultRecord) -> Path | None:
        if record.status is SubmissionStatus.REFUSED:
            return None  # its name is a stranger's choice; nothing is opened by it
        known = self._notebooks.get((record.student, record.exercise))
        return known or (Path(record.source) if record.source.endswith(".ipynb") else None)

    def _timestamp(self, student: str, topic: str, records: Sequence[ResultRecord]) -> datetime | None:
        """When the topic was handed in, as nbgrader notes it beside the notebooks.

        formgrader takes a submission for graded when submitted/ of its course directory, autograded/ and the gradebook
        name the same time, so the time is written to both; the secret, by which nbgrader releases feedback, goes along.
        """
        if self._directory is None:
            return None
        ours = self._directory / "submitted" / student / topic
        handed_in = self._folder(student, topic, records) or ours
        text = read_small_text(handed_in / TIMESTAMP_FILE)
        timestamp = None
        try:
            timestamp = parse_timestamp(text) if text is not None else None
        except BadTimestamp:
            self.notes.append(BAD_TIMESTAMP.format(path=handed_in / TIMESTAMP_FILE))
        copied = [self._directory / "autograded" / student / topic]
        if handed_in.absolute() != ours.absolute():
            copied.append(ours)
        for folder in copied:
            if text is None or timestamp is None:
                (folder / TIMESTAMP_FILE).unlink(missing_ok=True)
            else:
                write_text(folder / TIMESTAMP_FILE, text)
        secret = read_small_text(handed_in / SECRET_FILE)
        if secret and secret.strip().isalnum():
            write_text(copied[0] / SECRET_FILE, secret)
        return timestamp

    def _folder(self, student: str, topic: str, records: Sequence[ResultRecord]) -> Path | None:
        """The folder <student>/<topic> that a submission was read from; None for any other layout."""
        for record in records:
            source = self._source(record)
            if source is not None and source.is_file() and source.parent.name == topic:
                return source.parent
        return None
