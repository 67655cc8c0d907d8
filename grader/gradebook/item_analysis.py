"""Statistics of checks over a class: how many pass, and whether passing goes with doing well otherwise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from grader.checking.outcome import CheckOutcome, SubmissionStatus
from grader.checking.record import CheckRecord, ResultRecord

# What the student did decided these outcomes. A broken check or one that never ran says nothing about the class.
ANSWERED = frozenset({CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.TIMEOUT, CheckOutcome.CRASHED})

# Submissions that somebody worked on and that we could judge; their points enter mean and median.
ATTEMPTED = frozenset(
    {
        SubmissionStatus.GRADED,
        SubmissionStatus.NO_CODE,
        SubmissionStatus.SYNTAX_ERROR,
        SubmissionStatus.TIMED_OUT,
        SubmissionStatus.CRASHED,
    }
)

FEWEST_FOR_A_HINT = 5
FEWEST_FOR_DISCRIMINATION = 20
WEAK_DISCRIMINATION = 0.1
# A correlation of unrelated things in a class of n lies within this many times 1/sqrt(n) of 0, 19 times of 20.
CHANCE_FACTOR = 2.0


class Hint(Enum):
    """Something about a check that an instructor should look at; `str` of it is the sentence to show."""

    BROKEN = "Broke while it ran: our fault, nobody else's. Mend the check and grade again."
    NOBODY_PASSES = "Nobody passes this check. Is it broken, or is the statement silent about what it wants?"
    NEGATIVE = "Those who do well otherwise fail it more often. Look for an ambiguity in the statement."
    SEPARATES_NOBODY = "Passing it says next to nothing about the rest: it separates nobody."
    EVERYBODY_PASSES = "Everybody passes: good as a first step, but it separates nobody."

    def __str__(self) -> str:
        return self.value

    @property
    def urgent(self) -> bool:
        """Whether the check or the statement may be wrong."""
        return self in (Hint.BROKEN, Hint.NOBODY_PASSES, Hint.NEGATIVE)


@dataclass(frozen=True)
class CheckStatistics:
    """One check over all submissions that contain it.

    `discrimination` is the point-biserial correlation of passing with the points of the exercise's other checks; it is
    None where one of the two does not vary.
    """

    name: str
    title: str
    visible: bool
    max_points: float
    answered: int
    passed: int
    broken: int
    discrimination: float | None

    @property
    def pass_rate(self) -> float | None:
        """Share of the submissions that passed, among those where the check could judge."""
        return self.passed / self.answered if self.answered else None

    @property
    def hints(self) -> tuple[Hint, ...]:
        """What to look at; silent where there are too few submissions to say."""
        hints = [Hint.BROKEN] if self.broken else []
        if self.answered >= FEWEST_FOR_A_HINT and self.passed in (0, self.answered):
            hints.append(Hint.EVERYBODY_PASSES if self.passed else Hint.NOBODY_PASSES)
        elif self.answered >= FEWEST_FOR_DISCRIMINATION and self.discrimination is not None:
            if beyond_chance(self.discrimination, self.answered):
                hints.append(Hint.NEGATIVE)
            elif self.discrimination < WEAK_DISCRIMINATION:
                hints.append(Hint.SEPARATES_NOBODY)
        return tuple(hints)

    @property
    def suspect(self) -> bool:
        """Whether the check or its statement may be wrong."""
        return any(hint.urgent for hint in self.hints)


def item_rest_correlation(item: Sequence[float], rest: Sequence[float]) -> float | None:
    """Correlation of the scores of one item with those of all others together (the corrected item-total correlation).

    None when either does not vary or there are fewer than two. For an item that is only right or wrong, it is the
    point-biserial correlation.
    """
    if len(item) < 2 or len(set(item)) < 2 or len(set(rest)) < 2:
        return None
    try:
        return statistics.correlation(item, rest)
    except statistics.StatisticsError:  # scores so close that their variance rounds to zero
        return None


def point_biserial(passed: Sequence[bool], rest: Sequence[float]) -> float | None:
    """Correlation of a yes/no outcome with a score; None when either does not vary or there are fewer than two."""
    return item_rest_correlation([float(value) for value in passed], rest)


def beyond_chance(discrimination: float, count: int) -> bool:
    """Whether a negative correlation among so many is more than unrelated things show, 19 times of 20."""
    return count >= FEWEST_FOR_DISCRIMINATION and discrimination < -CHANCE_FACTOR / math.sqrt(count)


def analyse_checks(records: Iterable[ResultRecord]) -> tuple[CheckStatistics, ...]:
    """Statistics of every check of one exercise, in the order of the checks."""
    seen: dict[str, list[tuple[CheckRecord, float]]] = {}
    for record in records:
        for check in record.checks:
            seen.setdefault(check.name, []).append((check, record.points - check.points))
    return tuple(_analyse(entries) for entries in seen.values())


def _analyse(entries: list[tuple[CheckRecord, float]]) -> CheckStatistics:
    judged = [(check.outcome is CheckOutcome.PASSED, rest) for check, rest in entries if check.outcome in ANSWERED]
    latest = entries[-1][0]
    return CheckStatistics(
        name=latest.name,
        title=latest.title,
        visible=latest.visible,
        max_points=latest.max_points,
        answered=len(judged),
        passed=sum(passed for passed, _ in judged),
        broken=sum(check.outcome is CheckOutcome.ERROR for check, _ in entries),
        discrimination=point_biserial([passed for passed, _ in judged], [rest for _, rest in judged]),
    )
