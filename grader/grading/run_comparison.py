"""What differs between two runs, and why: plain data from two sets of records, no I/O.

Two results of one student for one exercise differ when the status, the points or the outcome of a check does. The cause
is whatever changed of all that a result depends on; where none of it changed, the result itself is not repeatable.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord
from grader.grading.runs import Run

_SAME_POINTS = 1e-9


class Cause(Enum):
    """What changed between two results."""

    HANDED_IN = "handed in or taken back"
    SUBMISSION = "submission changed"
    CHECKS = "checks changed"
    ENVIRONMENT = "environment changed"
    SEED = "seed changed"
    NOT_REPEATABLE = "nothing changed but the result"  # flaky


@dataclass(frozen=True)
class CheckChange:
    """A check whose outcome or points differ. None stands for a check that the other version does not have."""

    name: str
    title: str
    before: CheckOutcome | None
    after: CheckOutcome | None
    points_before: float
    points_after: float
    message: str = ""


@dataclass(frozen=True)
class Change:
    """One student's two results for one exercise, which differ; `checks_before` and `checks_after` are hashes."""

    student: str
    exercise: str
    causes: tuple[Cause, ...]
    status_before: SubmissionStatus
    status_after: SubmissionStatus
    points_before: float
    points_after: float
    max_before: float
    max_after: float
    checks_before: str
    checks_after: str
    checks: tuple[CheckChange, ...] = ()
    environment: tuple[tuple[str, str, str], ...] = ()  # library, version before, version after

    @property
    def score_changed(self) -> bool:
        """Whether the points differ, those earned or those to be had."""
        earned = abs(self.points_after - self.points_before)
        return max(earned, abs(self.max_after - self.max_before)) > _SAME_POINTS


@dataclass(frozen=True)
class Comparison:
    """Two runs compared. `compared` counts pairs of a student and an exercise; means are over students' totals."""

    changes: tuple[Change, ...]
    compared: int
    students: int
    mean_before: float
    mean_after: float
    other_version_same_result: int  # graded with other checks, to no effect

    @property
    def by_cause(self) -> dict[tuple[Cause, ...], tuple[Change, ...]]:
        """The changes that have the same causes together, the most frequent ones first."""
        counts = Counter(change.causes for change in self.changes)
        return {
            causes: tuple(change for change in self.changes if change.causes == causes)
            for causes, _ in counts.most_common()
        }

    @property
    def higher(self) -> int:
        """How many scores are higher afterwards."""
        return sum(change.points_after - change.points_before > _SAME_POINTS for change in self.changes)

    @property
    def lower(self) -> int:
        """How many scores are lower afterwards."""
        return sum(change.points_before - change.points_after > _SAME_POINTS for change in self.changes)


def compare_runs(before: Run, after: Run) -> Comparison:
    """Compare two runs, student by student and exercise by exercise."""
    keys = sorted({*before.records, *after.records}, key=lambda key: (key[0].casefold(), *key))
    changes = []
    without_effect = 0
    for key in keys:
        old, new = before.records.get(key), after.records.get(key)
        if old is None or new is None:
            known = new if old is None else old
            assert known is not None
            complete = before.complete if old is None else after.complete
            if not complete and not _was_run(known):
                continue  # a journal alone does not hold what was never run
            blank = _not_handed_in(known)
            old, new = old or blank, new or blank
        change = _compare(old, new)
        if change is not None:
            changes.append(change)
        elif old.checks_hash != new.checks_hash and SubmissionStatus.MISSING not in (old.status, new.status):
            without_effect += 1
    return Comparison(
        changes=tuple(changes),
        compared=len(keys),
        students=len({student for student, _ in keys}),
        mean_before=_mean_total(before),
        mean_after=_mean_total(after),
        other_version_same_result=without_effect,
    )


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """The JSON form."""
    return {
        "summary": {
            "compared": comparison.compared,
            "changed": len(comparison.changes),
            "scores_changed": sum(change.score_changed for change in comparison.changes),
            "higher": comparison.higher,
            "lower": comparison.lower,
            "students": comparison.students,
            "mean_before": comparison.mean_before,
            "mean_after": comparison.mean_after,
            "other_version_same_result": comparison.other_version_same_result,
            "by_cause": {
                cause.value: sum(cause in change.causes for change in comparison.changes)
                for cause in Cause
                if any(cause in change.causes for change in comparison.changes)
            },
        },
        "changes": [_change_to_dict(change) for change in comparison.changes],
    }


def _change_to_dict(change: Change) -> dict[str, Any]:
    return {
        "student": change.student,
        "exercise": change.exercise,
        "causes": [cause.value for cause in change.causes],
        "status": {"before": change.status_before.value, "after": change.status_after.value},
        "points": {"before": change.points_before, "after": change.points_after},
        "max_points": {"before": change.max_before, "after": change.max_after},
        "checks_hash": {"before": change.checks_before, "after": change.checks_after},
        "environment": {name: {"before": old, "after": new} for name, old, new in change.environment},
        "checks": [
            {
                "name": check.name,
                "title": check.title,
                "outcome": {
                    "before": check.before.value if check.before else None,
                    "after": check.after.value if check.after else None,
                },
                "points": {"before": check.points_before, "after": check.points_after},
                "message": check.message,
            }
            for check in change.checks
        ],
    }


def _compare(old: ResultRecord, new: ResultRecord) -> Change | None:
    checks = _changed_checks(old, new)
    same_points = abs(old.points - new.points) < _SAME_POINTS and abs(old.max_points - new.max_points) < _SAME_POINTS
    if old.status is new.status and same_points and not checks:
        return None
    return Change(
        student=new.student,
        exercise=new.exercise,
        causes=_causes(old, new),
        status_before=old.status,
        status_after=new.status,
        points_before=old.points,
        points_after=new.points,
        max_before=old.max_points,
        max_after=new.max_points,
        checks_before=old.checks_hash,
        checks_after=new.checks_hash,
        checks=checks,
        environment=tuple(
            (name, old.environment.get(name, ""), new.environment.get(name, ""))
            for name in sorted({*old.environment, *new.environment})
            if old.environment.get(name) != new.environment.get(name)
        ),
    )


def _causes(old: ResultRecord, new: ResultRecord) -> tuple[Cause, ...]:
    if (old.status is SubmissionStatus.MISSING) != (new.status is SubmissionStatus.MISSING):
        return (Cause.HANDED_IN,)
    differs = {
        Cause.SUBMISSION: old.submission_hash != new.submission_hash,
        Cause.CHECKS: old.checks_hash != new.checks_hash,
        Cause.ENVIRONMENT: old.environment != new.environment,
        Cause.SEED: old.seed != new.seed,
    }
    return tuple(cause for cause, changed in differs.items() if changed) or (Cause.NOT_REPEATABLE,)


def _changed_checks(old: ResultRecord, new: ResultRecord) -> tuple[CheckChange, ...]:
    if SubmissionStatus.MISSING in (old.status, new.status):
        return ()  # every check of a notebook that was not there: nobody wants to read that
    before = {check.name: check for check in old.checks}
    after = {check.name: check for check in new.checks}
    changes = []
    for name in [*after, *(name for name in before if name not in after)]:
        one, two = before.get(name), after.get(name)
        if one is not None and two is not None and one.outcome is two.outcome and one.points == two.points:
            continue
        told: CheckRecord | None = next(
            (check for check in (two, one) if check is not None and check.outcome is not CheckOutcome.PASSED), None
        )
        changes.append(
            CheckChange(
                name=name,
                title=(two or one).title,  # type: ignore[union-attr]
                before=one.outcome if one else None,
                after=two.outcome if two else None,
                points_before=one.points if one else 0.0,
                points_after=two.points if two else 0.0,
                message=told.message if told else "",
            )
        )
    return tuple(changes)


def _was_run(record: ResultRecord) -> bool:
    return any(check.outcome is not CheckOutcome.SKIPPED for check in record.checks)


def _not_handed_in(record: ResultRecord) -> ResultRecord:
    return ResultRecord(record.student, record.exercise, SubmissionStatus.MISSING, max_points=record.max_points)


def _mean_total(run: Run) -> float:
    totals: Counter[str] = Counter()
    for (student, _), record in run.records.items():
        totals[student] += record.points  # type: ignore[assignment]
    return statistics.fmean(totals.values()) if totals else 0.0
