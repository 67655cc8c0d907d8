"""What differs between two runs as CSV: one row for every check that changed."""

from __future__ import annotations

from collections.abc import Mapping

from grader.checking.versions import short_version
from grader.gradebook.csv_export import Value
from grader.grading.run_comparison import Comparison

COLUMNS = (
    "student",
    "exercise",
    "cause",
    "status before",
    "status after",
    "points before",
    "points after",
    "max before",
    "max after",
    "check",
    "title",
    "outcome before",
    "outcome after",
    "checks version before",
    "checks version after",
)


def comparison_table(comparison: Comparison, names: Mapping[str, str] | None = None) -> list[list[Value]]:
    """The rows, headed by `COLUMNS`; a result that differs in its status alone has one row with no check in it.

    `names` are what a release calls the versions of checks, by hash.
    """
    rows: list[list[Value]] = [list(COLUMNS)]
    for change in comparison.changes:
        start: list[Value] = [
            change.student,
            change.exercise,
            " + ".join(cause.value for cause in change.causes),
            change.status_before.value,
            change.status_after.value,
            change.points_before,
            change.points_after,
            change.max_before,
            change.max_after,
        ]
        versions = [short_version(change.checks_before, names), short_version(change.checks_after, names)]
        for check in change.checks:
            before, after = (outcome.value if outcome else "" for outcome in (check.before, check.after))
            rows.append([*start, check.name, check.title, before, after, *versions])
        if not change.checks:
            rows.append([*start, "", "", "", "", *versions])
    return rows
