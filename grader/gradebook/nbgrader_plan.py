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

TIMESTAMP_FILE = "timestamp.txt"
TIMESTAMP_LIMIT = 200  # characters
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
        handed_in = any(record and record.status is not SubmissionStatus.MISSING for _, record in records)
        timestamp = self._timestamp(student, topic) if handed_in else None
        return PlannedSubmission(student, topic, handed_in, timestamp, plans, frozenset(changed))

    def _source(self, record: ResultRecord) -> Path | None:
        if record.status is SubmissionStatus.REFUSED:
            return None  # its name is a stranger's choice; nothing is opened by it
        known = self._notebooks.get((record.student, record.exercise))
        return known or (Path(record.source) if record.source.endswith(".ipynb") else None)

    def _timestamp(self, student: str, topic: str) -> datetime | None:
        """When the topic was handed in, as nbgrader notes it; formgrader compares it with the gradebook."""
        from nbgrader.utils import parse_utc

        if self._directory is None:
            return None
        path = self._directory / "submitted" / student / topic / TIMESTAMP_FILE
        try:
            text = path.read_bytes()[:TIMESTAMP_LIMIT].decode()
        except (OSError, UnicodeDecodeError):
            return None
        try:
            timestamp: datetime = parse_utc(text.strip())
        except (ValueError, OverflowError, TypeError):
            self.notes.append(BAD_TIMESTAMP.format(path=path))
            return None
        write_text(self._directory / "autograded" / student / topic / TIMESTAMP_FILE, text)
        return timestamp
