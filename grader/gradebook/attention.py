"""Who needs help: students ordered by how much they need it, with the reasons in words. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grader.checking.outcome import SubmissionStatus
from grader.gradebook.class_summary import Cell, ClassSummary, StudentRow

LOW_SHARE = 0.5
MANY_MISSING = 0.5

NOTHING = "nothing handed in"
FEW = "{count} of {all} exercises handed in"
STUCK = "no point yet in {exercises}"
LOW = "less than half of the points"
MISCONCEPTIONS = "known misconceptions: {titles}"

_WORKED_ON = frozenset({SubmissionStatus.GRADED, SubmissionStatus.TIMED_OUT, SubmissionStatus.CRASHED})
_NAMED = 3


@dataclass(frozen=True)
class NeedsHelp:
    """A student to talk to, and why."""

    row: StudentRow
    reasons: tuple[str, ...]


def students_to_help(summary: ClassSummary) -> tuple[NeedsHelp, ...]:
    """Students with at least one reason, those with the fewest points first.

    A few points missing is no reason: half of the points or of the exercises must be, or the student got stuck.
    """
    titles = {(diagnosis.exercise, diagnosis.id): diagnosis.title for diagnosis in summary.diagnoses}
    found = (NeedsHelp(row, _reasons(row, titles)) for row in summary.students if row.cells)
    return tuple(sorted((entry for entry in found if entry.reasons), key=lambda entry: entry.row.share))


def _reasons(row: StudentRow, titles: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    if not row.handed_in:
        return (NOTHING,)
    reasons = []
    if row.handed_in < len(row.cells) * MANY_MISSING:
        reasons.append(FEW.format(count=row.handed_in, all=len(row.cells)))
    stuck = [cell.exercise for cell in row.cells if _is_stuck(cell)]
    if stuck:
        reasons.append(STUCK.format(exercises=_listed(stuck)))
    if row.share < LOW_SHARE and not reasons:
        reasons.append(LOW)
    if row.diagnoses and reasons:
        named = dict.fromkeys(titles.get(diagnosis, diagnosis[1]) for diagnosis in row.diagnoses)
        reasons.append(MISCONCEPTIONS.format(titles=_listed(list(named))))
    return tuple(reasons)


def _is_stuck(cell: Cell) -> bool:
    return cell.status in _WORKED_ON and cell.points == 0 and cell.max_points > 0


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
