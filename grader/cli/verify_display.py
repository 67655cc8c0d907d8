"""What `course verify` shows: a table, every gap, every surviving mutant."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from grader.audit.exercise_audit import Auditor, ExerciseAudit
from grader.course import load_course
from grader.grading.engine import LocalEngine


def verify_and_show(ids: Sequence[str], *, seeds: int, with_mutants: bool, as_json: bool) -> int:
    """Audit exercises and show the result. Returns the exit status: 0 without gaps, else 1.

    Raises CourseError, ConfinementUnavailable, LibraryMissing.
    """
    from grader.notebooks.build import build_course

    course = load_course()
    exercises = course.select(ids)
    stale = build_course(course, exercises, check=True).stale
    audits: list[ExerciseAudit] = []
    jobs = os.cpu_count() or 1
    with LocalEngine(course) as engine, ThreadPoolExecutor(jobs) as executor:
        engine.warm(*dict.fromkeys(exercise.framework for exercise in exercises))
        auditor = Auditor(engine, executor, seeds)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Verifying", total=len(exercises))
            # Two at once, so that the processors are busy while one waits for the last of its jobs.
            with ThreadPoolExecutor(2) as auditing:
                try:
                    for audit in auditing.map(partial(auditor.audit, with_mutants=with_mutants), exercises):
                        audits.append(audit)
                        progress.update(task, description=audit.exercise, advance=1)
                except KeyboardInterrupt:
                    executor.shutdown(wait=False, cancel_futures=True)  # the audits under way end with it
                    raise
    problems = [f"{path}: not up to date; run `course build`" for path in stale]
    if as_json:
        print(
            json.dumps(
                {"exercises": [asdict(audit) for audit in audits], "stale": [str(path) for path in stale]}, indent=1
            )
        )
    else:
        _show(Console(), audits, problems, with_mutants)
    return 1 if problems or any(audit.gaps for audit in audits) else 0


def _show(console: Console, audits: list[ExerciseAudit], problems: list[str], with_mutants: bool) -> None:
    table = Table(title="course verify", title_justify="left")
    table.add_column("exercise", overflow="fold")
    for heading in ("checks", "wrong", "alternatives", "mutants", "seconds", "gaps"):
        table.add_column(heading, justify="right", overflow="fold")
    for audit in audits:
        table.add_row(
            audit.exercise,
            str(audit.checks),
            f"{audit.rejected}/{audit.wrong_answers}",
            f"{audit.accepted}/{audit.alternatives}",
            f"{audit.mutants_caught}/{audit.mutants}" if with_mutants else "–",
            f"{audit.seconds_of_checks:.2f}",
            str(len(audit.gaps)),
            style="red" if audit.gaps else None,
        )
    console.print(table)
    lines = list(problems)
    lines += [f"{audit.exercise}: {gap}" for audit in audits for gap in audit.gaps]
    if lines:
        console.print(Text("\n".join(["Gaps:", *(f"  {line}" for line in lines)])))
    if with_mutants:
        caught, total = sum(audit.mutants_caught for audit in audits), sum(audit.mutants for audit in audits)
        share = f"{100 * caught / total:.1f} %" if total else "none"
        console.print(f"Mutants caught: {caught} of {total} ({share}).", highlight=False)
        for audit in audits:
            for survivor in audit.survivors:
                console.print(Text(f"  survivor: {audit.exercise}: {survivor}"))
            for description, reason in audit.equivalent.items():
                console.print(Text(f"  equivalent: {audit.exercise}: {description}: {reason}"))
    wrong, rejected = sum(audit.wrong_answers for audit in audits), sum(audit.rejected for audit in audits)
    verdict = "No gaps." if not lines else f"{len(lines)} gaps."
    console.print(f"{rejected} of {wrong} wrong answers rejected by their named checks. {verdict}", highlight=False)
