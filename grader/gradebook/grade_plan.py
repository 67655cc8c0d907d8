"""What nbgrader's gradebook should say about one submission: scores, hand grading and comments. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.gradebook.errors import GradebookError
from grader.gradebook.inert_markdown import inert_markdown
from grader.gradebook.solution_cells import CellRole, SolutionCell, SolutionNotebook
from grader.gradebook.wording import OUTCOME_WORDS, clean_text, explain_check, explain_status

STALE = (
    "{path} has no cell for the check {check}, so its points would be lost. "
    "Build the notebooks again with `course build`; nothing was written."
)
NO_RESPONSE = "No response."
ANSWER_LOST = (
    "The cell of the answer is missing or lost its id. "
    "The answer may be in another cell, or in the file as it was handed in."
)
NEEDS_A_PERSON = "Grading broke for this notebook. A person has to grade it, or `course grade` has to run again."
BEHAVES_LIKE = "Behaves like: {title}. {explanation}"

COMMENT_CHECKS = 3
COMMENT_LIMIT = 1_200

_UNREAD = (SubmissionStatus.UNREADABLE, SubmissionStatus.REFUSED)


class Answer(Enum):
    """What is known about a written answer."""

    GIVEN = "given"  # there is text that a person should read
    EMPTY = "empty"  # the cell is as it was handed out, or empty
    LOST = "lost"  # the notebook has no such cell any more


@dataclass(frozen=True)
class PlannedGrade:
    """A cell's automatic score, None when a person has to decide."""

    grade_id: str
    auto_score: float | None

    @property
    def needs_manual_grade(self) -> bool:
        """Whether a person has to grade the cell."""
        return self.auto_score is None


@dataclass(frozen=True)
class PlannedNotebook:
    """Grades of all graded cells and automatic comments of all commented cells of one submitted notebook."""

    grades: tuple[PlannedGrade, ...]
    comments: Mapping[str, str | None]


def plan_notebook(
    record: ResultRecord | None, solution: SolutionNotebook, answers: Mapping[str, Answer]
) -> PlannedNotebook:
    """Scores and comments for one submission; `record` is None when there is none for this exercise.

    `answers` tells about written answers by grade_id; one it does not mention counts as given. Points of a check
    without a cell are lost, see `require_cells`.
    """
    if record is None or record.status is SubmissionStatus.MISSING:
        return PlannedNotebook(
            tuple(PlannedGrade(cell.grade_id, 0.0) for cell in solution.graded),
            {cell.grade_id: NO_RESPONSE for cell in solution.commented},
        )
    found = {cell.grade_id: answers.get(cell.grade_id, Answer.GIVEN) for cell in solution.graded}
    if record.status in _UNREAD:
        found = dict.fromkeys(found, Answer.LOST)
    return PlannedNotebook(
        tuple(PlannedGrade(cell.grade_id, _score(cell, record, found[cell.grade_id])) for cell in solution.graded),
        _comments(record, solution, found),
    )


def checks_of(cell: SolutionCell, record: ResultRecord) -> tuple[CheckRecord, ...]:
    """The checks of a record that a cell stands for."""
    if cell.role is CellRole.HIDDEN_CHECK:
        return tuple(check for check in record.checks if check.name == cell.check)
    if cell.role is CellRole.VISIBLE_CHECKS:
        return tuple(check for check in record.checks if check.visible)
    return ()


def require_cells(record: ResultRecord, solution: SolutionNotebook) -> None:
    """Raises GradebookError when the record has a check that the notebook has no cell for."""
    named = {cell.check for cell in solution.cells if cell.role is CellRole.HIDDEN_CHECK}
    has_visible = any(cell.role is CellRole.VISIBLE_CHECKS for cell in solution.cells)
    for check in record.checks:
        if not (has_visible if check.visible else check.name in named):
            raise GradebookError(STALE.format(path=solution.path, check=check.name))


def _score(cell: SolutionCell, record: ResultRecord, answer: Answer) -> float | None:
    if cell.role is CellRole.WRITTEN_ANSWER:
        return 0.0 if answer is Answer.EMPTY else None
    checks = checks_of(cell, record)
    broken = any(check.outcome is CheckOutcome.ERROR for check in checks)
    if broken or record.status is SubmissionStatus.GRADER_ERROR:
        return None
    return sum(check.points for check in checks)


def _comments(record: ResultRecord, solution: SolutionNotebook, answers: Mapping[str, Answer]) -> dict[str, str | None]:
    comments: dict[str, str | None] = {}
    remaining = _explanation(record)
    for cell in solution.commented:
        if cell.role is CellRole.WRITTEN_ANSWER:
            words = {Answer.EMPTY: NO_RESPONSE, Answer.LOST: ANSWER_LOST}
            comments[cell.grade_id] = words.get(answers[cell.grade_id])
        else:  # the first solution cell carries the comment on all of the code
            comments[cell.grade_id], remaining = remaining, None
    return comments


def _explanation(record: ResultRecord) -> str | None:
    """What happened, in words, as markdown: nbgrader's feedback renders it, formgrader shows it as it is."""
    if record.status is SubmissionStatus.GRADER_ERROR:
        return NEEDS_A_PERSON
    parts = []
    if record.status is not SubmissionStatus.GRADED:
        parts += [part for part in explain_status(record, COMMENT_LIMIT) if part]
    for diagnosis in record.diagnoses:
        parts.append(BEHAVES_LIKE.format(title=diagnosis.title, explanation=diagnosis.explanation))
    failures = [check for check in record.checks if check.outcome is not CheckOutcome.PASSED]
    for check in failures[:COMMENT_CHECKS]:
        parts.append(f"{check.title} – {OUTCOME_WORDS[check.outcome]}")
        parts.append("\n".join(f"    {line}" for line in explain_check(check, COMMENT_LIMIT).splitlines()))
    if len(failures) > COMMENT_CHECKS:
        parts.append(f"… and {len(failures) - COMMENT_CHECKS} more checks that did not pass.")
    return inert_markdown(clean_text("\n\n".join(parts))) or None
