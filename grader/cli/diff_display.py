"""What `course diff` shows; `course regrade` shows the same of the results before and after."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.checking.outcome import SubmissionStatus
from grader.checking.versions import short_version
from grader.cli.tables import console_for_tables, plain_table, printable_text
from grader.course import CourseError, find_root
from grader.gradebook.comparison_csv import comparison_table
from grader.gradebook.csv_export import to_csv
from grader.gradebook.files import write_text
from grader.gradebook.wording import OUTCOME_WORDS, clean_text, format_points
from grader.grading.run_comparison import Cause, Change, CheckChange, Comparison, compare_runs, to_dict
from grader.grading.runs import newest_kept_run, read_run
from grader.release.manifest import read_version_names, version_names_beside

MAX_ROWS = 60
SAME = "No result differs: {compared} results of {students} students compared."
DIFFERENT = (
    "{changed} of {compared} results differ, of {students} students: {higher} scores higher, {lower} lower. "
    "Mean of the students' totals: {mean_before:.2f} before, {mean_after:.2f} after."
)
WITHOUT_EFFECT = "{count} more were graded with another version of the checks, to the same result."
MORE = "… and {count} more; --json and --csv have all of them."
WHY = {
    Cause.HANDED_IN: "Only one of the runs has a submission.",
    Cause.NOT_REPEATABLE: "Same submission, checks, libraries and seed: it does not do the same every time.",
}


def compare_and_show(
    first: Path, second: Path | None, *, as_json: bool, table: Path | None, manifest: Path | None
) -> int:
    """Compare two runs and show the result. Returns the exit status: 0 without a difference, else 1.

    Raises ResultsError, RunError, JournalError, ReleaseError.
    """
    before, after = (newest_kept_run(first), first) if second is None else (first, second)
    comparison = compare_runs(read_run(before), read_run(after))
    names = version_names(manifest)
    write_table(comparison, table, names)
    if as_json:
        print(json.dumps({"before": str(before), "after": str(after), **to_dict(comparison)}, indent=1))
    else:
        console = console_for_tables()
        console.print(printable_text(f"{before} → {after}"), soft_wrap=True)
        show_comparison(console, comparison, names)
    return 1 if comparison.changes else 0


def version_names(manifest: Path | None) -> Mapping[str, str]:
    """What a release calls the versions of checks, by hash; by default the release that lies in the course's folder."""
    if manifest is not None:
        return read_version_names(manifest)
    try:
        return version_names_beside(find_root())
    except CourseError:  # results can be compared anywhere
        return {}


def write_table(comparison: Comparison, path: Path | None, names: Mapping[str, str]) -> None:
    """Write the CSV file that was asked for. Raises OSError."""
    if path is not None:
        write_text(path, to_csv(comparison_table(comparison, names)))


def show_comparison(console: Console, comparison: Comparison, names: Mapping[str, str]) -> None:
    """A summary, and the changes grouped by what caused them."""
    summary = to_dict(comparison)["summary"]
    console.print((DIFFERENT if comparison.changes else SAME).format(**summary), highlight=False)
    if comparison.other_version_same_result:
        console.print(WITHOUT_EFFECT.format(count=comparison.other_version_same_result), highlight=False)
    left = MAX_ROWS
    for causes, changes in comparison.by_cause.items():
        console.print()
        console.print(Text(f"{' + '.join(cause.value for cause in causes)}: {len(changes)}", style="bold"))
        for line in _explained(causes, changes, names):
            console.print(printable_text(f"  {line}"), soft_wrap=True)
        if left > 0:
            console.print(_table(changes[:left]))
        if len(changes) > left:
            console.print(MORE.format(count=len(changes) - max(left, 0)), highlight=False)
        left -= len(changes)


def _explained(causes: Iterable[Cause], changes: Iterable[Change], names: Mapping[str, str]) -> list[str]:
    """What exactly changed: versions of checks by exercise, versions of libraries."""
    lines: dict[str, None] = {}
    for change in changes:
        if Cause.CHECKS in causes:
            old, new = (short_version(version, names) or "?" for version in (change.checks_before, change.checks_after))
            lines[f"{change.exercise}: checks {old} → {new}"] = None
        if Cause.ENVIRONMENT in causes:
            for name, before, after in change.environment:
                lines[f"{name} {before or 'missing'} → {after or 'missing'}"] = None
    return [*lines, *(WHY[cause] for cause in causes if cause in WHY)]


def _table(changes: Iterable[Change]) -> Table:
    table = plain_table()
    table.add_column("student", overflow="fold")
    table.add_column("exercise", overflow="fold")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("what changed", overflow="fold")
    for change in changes:
        worse = change.points_after < change.points_before
        table.add_row(
            printable_text(change.student),
            printable_text(change.exercise),
            _points(change.status_before, change.points_before, change.max_before),
            Text(
                _points(change.status_after, change.points_after, change.max_after),
                style="yellow" if worse else "green" if change.score_changed else "",
            ),
            Text("\n".join(_check(check) for check in change.checks)),
        )
    return table


def _points(status: SubmissionStatus, points: float, worth: float) -> str:
    shown = f"{format_points(points)}/{format_points(worth)}"
    return shown if status is SubmissionStatus.GRADED else status.value


def _check(check: CheckChange) -> str:
    before = OUTCOME_WORDS[check.before] if check.before else "not there"
    after = OUTCOME_WORDS[check.after] if check.after else "gone"
    points = ""
    if check.before is check.after:
        points = f" ({format_points(check.points_before)} → {format_points(check.points_after)})"
    return clean_text(f"{check.name}: {before} → {after}{points}")
