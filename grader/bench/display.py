"""How `make bench` shows its figures."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from grader.bench.figures import LEFT_OUT, BenchFigures, ClassFigures, Comparison, Overhead, together
from grader.bench.other_graders import TheirTimes

_HEADINGS = (
    "notebooks",
    "ours a second",
    "nbgrader: s each",
    "ratio",
    "same points",
    "otter: s each",
    "ratio",
    "same points",
)
PROJECTION = "{count} submissions, {jobs} at once: about {minutes:.1f} minutes from the sample's times."


def show(console: Console, figures: BenchFigures) -> None:
    """Print everything."""
    _show_class(console, figures.graded, figures.processors)
    if figures.overheads:
        console.print(_overhead_table(figures.overheads))
    if figures.comparisons:
        console.print(_comparison_table(together(figures.comparisons)))
        for one in figures.comparisons:
            for name, theirs in (("nbgrader", one.nbgrader), ("otter", one.otter)):
                if isinstance(theirs, str) and theirs != LEFT_OUT:
                    console.print(f"{name} did not run on {one.exercise}: {theirs}", markup=False)
    console.print(f"course --help (median of 5): {figures.course_help_seconds:.3f} s")


def _show_class(console: Console, graded: ClassFigures, processors: int) -> None:
    made_of = ", ".join(f"{count} {kind}" for kind, count in graded.made_of.items())
    console.print(
        f"{graded.submissions} submissions ({made_of}), {processors} processors, everything included: "
        f"{graded.seconds:.1f} s, {graded.each_second:.2f} submissions a second."
    )
    console.print(
        f"{graded.identical} were identical to another one and not run again; {graded.endless} endless ones took "
        f"{graded.endless_seconds:.0f} s until they were stopped."
    )
    console.print("Results: " + ", ".join(f"{count} {status}" for status, count in graded.statuses.items()))
    table = Table("framework", "ran", "p50, s", "p95, s", title="From code to verdict", title_justify="left")
    for name, times in graded.by_framework.items():
        table.add_row(name, str(times.submissions), f"{times.median:.3f}", f"{times.p95:.3f}")
    console.print(table)
    memory = Table("tenth of the run", "grader, MiB", "sandboxes, MiB", title="Peak memory", title_justify="left")
    for number, peaks in enumerate(graded.memory, start=1):
        memory.add_row(str(number), *(f"{value:.0f}" if value else "–" for value in (peaks.grader, peaks.sandboxes)))
    console.print(memory)


def _overhead_table(overheads: list[Overhead]) -> Table:
    table = Table("framework", "lessons", "alone, s", "in process, s", "over", title="What the sandbox costs")
    table.title_justify = "left"
    for one in overheads:
        table.add_row(one.framework, str(one.lessons), f"{one.alone:.3f}", f"{one.in_process:.3f}", f"{one.ratio:.2f}")
    return table


def _comparison_table(comparisons: list[Comparison]) -> Table:
    """A row a figure, since a column a figure would not fit on a terminal of 80 characters."""
    table = Table("", title="The same notebooks, steady state", title_justify="left")
    for one in comparisons:
        lessons = "\n".join(exercise.rpartition("/")[2] for exercise in one.exercise.split(", "))
        table.add_column(f"{one.framework}:\n{lessons}", justify="right", overflow="fold")
    for heading, cells in zip(_HEADINGS, zip(*map(_cells, comparisons), strict=True), strict=True):
        table.add_row(heading, *cells)
    return table


def _cells(one: Comparison) -> tuple[str, ...]:
    """What stands below one exercise, in the order of the headings."""
    return (
        str(one.submissions),
        f"{one.ours.each_second:.2f}",
        *_theirs(one, one.nbgrader),
        *_theirs(one, one.otter),
    )


def _theirs(one: Comparison, theirs: TheirTimes | str) -> tuple[str, str, str]:
    ratio = one.ratio(theirs)
    if isinstance(theirs, str) or ratio is None:
        return "–", "–", "–"
    return f"{theirs.each:.2f}", f"{ratio:.1f}", f"{one.agreeing(theirs)} of {one.submissions}"
